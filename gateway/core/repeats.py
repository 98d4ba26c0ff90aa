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

Said = tuple[str, bytes]  # topic and payload


class Repeats:
    """The last messages. `recent` are (at, message), those of the event being stepped not among them yet."""

    def __init__(self, recent: Iterable[tuple[int, Message]]) -> None:
        self.recent: deque[tuple[int, Message]] = deque(recent, maxlen=RECENT_MOST)
        self._count = len(self.recent)  # of all that have ever been among them: the number of the next one
        self._numbers: dict[Said, int] = {}  # of the last message that said so; made once somebody asks
        self._numbered = 0  # so many messages have been looked at for it
        self._items: Sequence[Message] = []  # of the event being stepped
        self._said: set[Said] = set()  # by those of them before `_said_until`
        self._said_until = 0

    def begin(self, items: Sequence[Message]) -> None:
        self._items, self._said_until = items, 0
        if self._said:
            self._said = set()

    def end(self, at: int) -> None:
        self.recent.extend(zip(repeat(at), self._items, strict=False))
        self._count += len(self._items)

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
        if self._came_before(message, index):
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

    def _came_before(self, message: Message, index: int) -> bool:
        """Whether the very bytes came before message `index`, also in its own event."""
        new = self._items[self._said_until : index]
        self._said.update((one.topic, one.payload) for one in new)
        self._said_until = index
        self._number_the_new()
        said = message.topic, message.payload
        return said in self._said or self._numbers.get(said, -1) >= self._count - len(self.recent)

    def _number_the_new(self) -> None:
        """Looks at what has come since somebody asked last: at each message once, however often one asks."""
        new = min(self._count - self._numbered, len(self.recent))
        if len(self._numbers) + new > 2 * RECENT_MOST:
            self._numbers.clear()
            new = len(self.recent)
        newest = list(islice(reversed(self.recent), new))
        for number, (_, old) in enumerate(reversed(newest), self._count - new):
            self._numbers[old.topic, old.payload] = number
        self._numbered = self._count
