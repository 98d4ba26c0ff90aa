"""How reliable a way to people is: after failures in a row it fails, until a message is taken again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from gateway import telemetry
from gateway.channels.base import Answer
from gateway.core.breaker import Breaker
from gateway.core.model import SECOND, Told

FORGOTTEN_S = 3600.0  # nothing was sent since: nobody knows how it is now
OPEN = telemetry.gauge(
    "lilong_channel_open", "1 while a way to people has failed again and again, by the channel", ["channel"]
)


@runtime_checkable
class Several(Protocol):
    """A channel made of others."""

    def failing(self) -> Sequence[str]:
        """The names of those that fail now."""
        ...


class Reliability:
    """Of one channel. Instants are steady nanoseconds."""

    def __init__(self, name: str) -> None:
        self.name, self.breaker = name, Breaker()
        self._learnt_at = 0
        self._open = OPEN.labels(name)
        self._open.set(0)

    def learn(self, answer: Answer, at: int) -> None:
        """That a single address is not served is no fault of the whole way."""
        self._learnt_at = at
        if answer.told is Told.ACCEPTED:
            if self.breaker.succeeded():
                telemetry.log("channel_closed", channel=self.name)
        elif not answer.personal and self.breaker.failed(at):
            telemetry.log("channel_opened", "error", channel=self.name, error=answer.detail)
        self._open.set(self.breaker.is_open)

    def failing(self, at: int) -> bool:
        return self.breaker.is_open and at - self._learnt_at < FORGOTTEN_S * SECOND
