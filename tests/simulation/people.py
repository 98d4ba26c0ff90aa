"""What providers and people will do about what they are told, in the order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from gateway.core.model import SECOND, Act, Event, Kind, Notification, Outcome, Tick, Told, Verb
from simulators.lives import MINUTE

PROVIDER_NS, ACKNOWLEDGED_NS = SECOND, MINUTE
Make = Callable[[int, int], Event]  # (at, wall_ns) -> what happens then


class People:
    """Each acknowledges what reaches it, does it, and resets what may be latched (0: never)."""

    def __init__(self, done_ns: int = 10 * MINUTE, reset_ns: int = 0, note: str = "") -> None:
        self.done_ns, self.reset_ns, self.note = done_ns, reset_ns, note
        self._due: list[tuple[int, int, Make]] = []
        self._number = count()
        self._read: set[tuple[str, str, Kind, int]] = set()

    def plan(self, at_ns: int, make: Make) -> None:
        heapq.heappush(self._due, (at_ns, next(self._number), make))

    def first(self, timer: int | None, until_ns: int) -> tuple[int, Make] | None:
        """What is due by an instant, taken off: the engine's timer, unless people are as early."""
        person = self._due[0][0] if self._due else None
        if person is not None and person <= until_ns and (timer is None or person <= timer):
            at_ns, _, make = heapq.heappop(self._due)
            return at_ns, make
        return (timer, Tick) if timer is not None and timer <= until_ns else None

    def told(self, told: Notification, now: int) -> None:
        """The provider takes it at once; that all is well asks nothing of anybody, nor does the same by
        another channel.
        """
        self.plan(now + PROVIDER_NS, outcome(told))
        read = told.case, told.person, told.kind, now
        if told.kind is Kind.CLEARED or read in self._read:
            return
        self._read.add(read)
        if told.kind in (Kind.VERIFY, Kind.UNVERIFIED):
            self.plan(now + self.done_ns, act(told, Verb.VERIFY, self.note))
            return
        if told.kind is not Kind.BOUNCED:
            self.plan(now + ACKNOWLEDGED_NS, act(told, Verb.ACKNOWLEDGE, self.note))
        self.plan(now + self.done_ns, act(told, Verb.DONE, self.note))
        if told.kind is Kind.RAISED and self.reset_ns:
            self.plan(now + self.reset_ns, act(told, Verb.RESET, self.note))


def outcome(told: Notification, found: Told = Told.ACCEPTED) -> Make:
    return lambda at, wall: Outcome(at, wall, told.id, found)


def act(told: Notification, verb: Verb, note: str = "") -> Make:
    return lambda at, wall: Act(at, wall, told.case, told.person, verb, note)
