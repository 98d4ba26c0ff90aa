"""A device that floods must not keep the others waiting: what it merely repeats beyond its bound is let go
before it costs a decision, a place in the log and a point.

Never let go are the first word beyond the bound, a value that has moved, a sample a second from the last one
by the device's own clock, new bytes that nobody can read, and what a broker may have kept while we were away.
"""

from __future__ import annotations

from collections import Counter

from gateway.core.decoding import Decoder
from gateway.core.model import SECOND, Device, Fault, Message, PayloadError, Reading, World
from gateway.core.state import State
from gateway.core.units import QUANTITIES

TIMES_MOST = 50  # its expected rate: no retry and no burst of an event comes near
LEAST = 600  # messages a minute that every device may send: ten a second keep nobody waiting
UNTOLD_MOST = 6_000  # of a device whose model does not say how often it speaks
SPACED_NS = SECOND  # samples so far apart are news, whatever they say: a hold or a count must see them
MINUTE_NS = 60 * SECOND
BACKLOG_NS = 600 * SECOND  # after we hear again: as long it may take until all that the broker kept is here
TOPICS_MOST = 100_000  # counted in a minute; strangers may invent any number


class Noise:
    """Counts by topic and minute. One for a World, used by one thread."""

    def __init__(self, world: World, decoder: Decoder) -> None:
        self.decoder, self._world = decoder, world
        self._minute = -1
        self._said: dict[str, int] = {}
        self._last: dict[tuple[str, str], Reading] = {}  # topic, component -> what was let through
        self._again: dict[str, tuple[bytes, int]] = {}  # topic -> payload let through last, and when
        self._bounds: dict[str, int | None] = {}

    def sift(
        self, messages: list[Message], at: int, wall_ns: int, kept_ns: int, let_go: Counter[str]
    ) -> list[Message]:
        """Those that count, in order; the others are counted into `let_go` by device.

        `kept_ns`: for so long a broker may have kept what comes now; it has that time's allowance.
        """
        if at // MINUTE_NS != self._minute or len(self._said) > TOPICS_MOST:
            self._minute, self._said, self._last, self._again = at // MINUTE_NS, {}, {}, {}
        minutes = 1 + kept_ns // MINUTE_NS
        free: dict[str, int] = {}  # topics beyond their bound -> how many of these messages are within it
        for topic, count in Counter([one.topic for one in messages]).items():
            before = self._said.get(topic, 0)
            self._said[topic] = before + count
            bound = self._bound(topic) if before + count > LEAST else None
            if bound is not None and before + count > bound * minutes:
                free[topic] = bound * minutes - before
        return self._thinned(messages, free, wall_ns, let_go) if free else messages

    def _thinned(
        self, messages: list[Message], free: dict[str, int], wall_ns: int, let_go: Counter[str]
    ) -> list[Message]:
        found = []
        for one in messages:
            if one.topic in free:
                free[one.topic] -= 1
                device = self.decoder.device_of(one.topic)
                if free[one.topic] < 0 and device is not None and not self._is_news(device, one, wall_ns):
                    let_go[device.id] += 1
                    continue
            found.append(one)
        return found

    def _bound(self, topic: str) -> int | None:
        """Messages a minute; None for a stranger, whom quarantine bounds."""
        if topic not in self._bounds:
            if len(self._bounds) > TOPICS_MOST:
                self._bounds.clear()
            device = self.decoder.device_of(topic)
            self._bounds[topic] = None if device is None else self._bound_of(device)
        return self._bounds[topic]

    def _bound_of(self, device: Device) -> int:
        every_s = self._world.models[device.model].expect_every_s
        return max(LEAST, int(TIMES_MOST * 60 / every_s)) if every_s else UNTOLD_MOST

    def _is_news(self, device: Device, message: Message, wall_ns: int) -> bool:
        again = self._again.get(message.topic)  # the cheapest flood of all: the very same bytes
        if again is not None and again[0] == message.payload and 0 <= wall_ns - again[1] < SPACED_NS:
            return False
        news = self._says_news(device, message, wall_ns)
        if news:
            self._again[message.topic] = message.payload, wall_ns
        return news

    def _says_news(self, device: Device, message: Message, wall_ns: int) -> bool:
        faults: list[Fault] = []
        try:
            readings = self.decoder.decode(message, wall_ns, faults)
        except PayloadError:
            return True  # quarantine shall show it
        news = [one for one in readings if self._moved(message.topic, one)]
        for one in news:
            before = self._last.get((message.topic, one.component))
            self._last[message.topic, one.component] = one if before is None else _both(before, one)
        return bool(news or faults)

    def _moved(self, topic: str, reading: Reading) -> bool:
        last = self._last.get((topic, reading.component))
        if last is None or reading.history or abs(reading.measured_ns - last.measured_ns) >= SPACED_NS:
            return True
        return any(
            name not in last.values or abs(value - last.values[name]) >= QUANTITIES[name].resolution * 0.999
            for name, value in reading.values.items()
        )


def kept_ns(state: State, at: int) -> int:
    """How long the broker may have kept what comes now."""
    heard_at = state.listening_since if state.link_up else at
    return max(heard_at - state.deaf_since, 0) if at - heard_at <= BACKLOG_NS else 0


def _both(before: Reading, now: Reading) -> Reading:
    """What is known after both: a message need not hold every quantity."""
    return Reading(
        now.device, now.component, {**before.values, **now.values}, now.measured_ns, now.received_ns
    )
