"""Messages that came before: a second delivery, a device's retry, a broker that does not flag its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, islice, repeat

from gateway.core.model import SECOND, Message, Messages, PayloadError, Reading
from gateway.core.quality import TIES_NS
from gateway.core.watches import Watch

RECENT_MOST = 20_000  # messages remembered to know a second delivery; brokers overrun a receive maximum
IN_FLIGHT_NS = 600 * SECOND  # what we heard longer before a line broke has surely been acknowledged on it
LOOKED_BACK_MOST = (
    5_000  # messages among which a device's last one is looked for, once an instant comes twice
)


class Repeats:
    """The last messages. `recent` are (at, message), those of the event being stepped not among them yet."""

    def __init__(self, recent: Iterable[tuple[int, Message]]) -> None:
        self.recent: deque[tuple[int, Message]] = deque(recent, maxlen=RECENT_MOST)
        self._items: Sequence[Message] = []  # of the event being stepped
        self._said: set[tuple[str, bytes]] | None = None
        self._said_until = 0

    def begin(self, items: Sequence[Message]) -> None:
        self._items, self._said, self._said_until = items, None, 0

    def end(self, at: int) -> None:
        self.recent.extend(zip(repeat(at), self._items, strict=False))

    def delivered_before(self, event: Messages, deaf_since: int) -> set[int]:
        """Which messages were delivered and committed before: asked only of those the broker flags itself."""
        flagged = [index for index, message in enumerate(event.items) if message.again]
        if not flagged:
            return set()
        since = deaf_since - IN_FLIGHT_NS
        seen = {(message.topic, message.payload) for at, message in self.recent if at >= since}
        return {i for i in flagged if (event.items[i].topic, event.items[i].payload) in seen}

    def said_before(self, watch: Watch, reading: Reading, message: Message, index: int) -> bool:
        """An instant we know, in the very bytes or under the same number: a device's retry, or a broker that
        does not flag its own.
        """
        heard = watch.heard
        newest = heard.newest_ns.get(reading.component, 0)
        measured_ns = reading.measured_ns + heard.shift_ns
        if not reading.timed:
            return False
        if any(
            (one.component, one.measured_ns) == (reading.component, measured_ns)
            and one.values.items() >= reading.values.items()
            for one in heard.held
        ):
            return True
        if measured_ns > newest:
            return False
        if (message.topic, message.payload) in self._said_until_now(index):
            return True
        tie = measured_ns >= newest - TIES_NS and reading.sequence != "" and not watch.numbered
        return tie and self._last_number(watch, message.topic, index) == reading.sequence

    def _last_number(self, watch: Watch, topic: str, index: int) -> str:
        """What the device numbered its last message by: asked only when an instant comes twice."""
        before = chain(reversed(self._items[:index]), (old for _, old in reversed(self.recent)))
        for old in islice(before, LOOKED_BACK_MOST):
            if old.topic == topic:
                try:
                    return next((one.sequence for one in watch.decode(watch.device, old, 0, [])), "")
                except PayloadError:
                    continue
        return ""

    def _said_until_now(self, index: int) -> set[tuple[str, bytes]]:
        """What came before message `index`, also in its own event; made once somebody asks."""
        said = self._said
        if said is None:
            said = self._said = {(old.topic, old.payload) for _, old in self.recent}
        said.update((one.topic, one.payload) for one in self._items[self._said_until : index])
        self._said_until = index
        return said
