"""The notifier without its threads, over a store in memory, in time that a test turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from msgspec.structs import replace

from gateway import channels
from gateway.channels.base import Channel
from gateway.core.model import SECOND, Event, Notification, NotificationState, Outcome, Told
from gateway.notifier import WENT, Notifier

MINUTE = 60 * SECOND


class Wheel:
    """Time that the test turns."""

    def __init__(self) -> None:
        self.now = 0

    def at(self) -> int:
        return self.now

    def steady_s(self) -> float:
        """The same as a channel has it."""
        return self.now / SECOND

    def real_s(self, span_ns: int) -> float:
        raise AssertionError("nobody waits in real time here")


class Ledger:
    """What the store would say."""

    def __init__(self) -> None:
        self.rows: dict[str, Notification] = {}

    def still_due(self, one: Notification) -> bool:
        return self.rows[one.id].state is NotificationState.DUE

    def still_waited_for(self, one: Notification) -> bool:
        return False

    def due(self, channel: str, most: int) -> list[Notification]:
        rows = self.rows.values()
        return [one for one in rows if one.channel == channel and one.state is NotificationState.DUE][:most]

    def sent(self, channel: str, since_at: int) -> list[Notification]:
        rows = self.rows.values()
        return [
            one for one in rows if one.channel == channel and one.state in WENT and one.told_at >= since_at
        ]


class Carrier:
    """`ways` by name; `kinds` says whose limits each has. What is told LATER is left to the test."""

    def __init__(self, wheel: Wheel, ways: Mapping[str, Channel], kinds: Mapping[str, str]) -> None:
        self.wheel, self.ledger = wheel, Ledger()
        self.later: list[Outcome] = []
        self._ways, self._kinds = ways, kinds
        self.start()

    def start(self) -> None:
        """As after a crash: nothing is known but what the store says."""
        self.notifier = Notifier(
            self._ways,
            self.submit,
            self.wheel,
            self.ledger,
            lambda told: "https://a.example/c/x",
            {name: channels.quotas(name, kind, {}) for name, kind in self._kinds.items()},
        )
        self.notifier.offer(one for one in self.ledger.rows.values() if one.state is NotificationState.DUE)

    def submit(self, make: Callable[[int, int], Event]) -> Future[Any]:
        outcome = make(self.wheel.now, 0)
        assert isinstance(outcome, Outcome)
        row = self.ledger.rows[outcome.notification]
        if outcome.told is Told.ACCEPTED:
            changes: dict[str, Any] = {"state": NotificationState.ACCEPTED, "told_at": outcome.at}
            self.ledger.rows[row.id] = replace(row, number=outcome.number, **changes)
        else:
            self.later.append(outcome)
        done: Future[Any] = Future()
        done.set_result([])
        return done

    def raises(self, told: Sequence[Notification]) -> None:
        self.ledger.rows |= {one.id: one for one in told}
        self.notifier.offer(told)

    def runs(self, until_at: int) -> None:
        while self.wheel.now < until_at:
            turned = [worker.turn() for worker in self.notifier.workers]
            nexts = [at for worker in self.notifier.workers if (at := worker.next_at()) is not None]
            if not any(turned):
                assert all(at > self.wheel.now for at in nexts), "waits without waiting"
                self.wheel.now = min([*nexts, until_at])
