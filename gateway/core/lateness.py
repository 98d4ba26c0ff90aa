"""Values of a rule that says how late one may come: each waits so long, then they are judged in order.

A rule with `lateness: 30s` judges half a minute behind its devices' clocks. Whatever overtook what on the
way, it sees the same values at the same instants, and its holds run on those instants too.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import msgspec

from gateway.core.alerts import AT_ONCE


class Late(msgspec.Struct, array_like=True, frozen=True, order=True):
    """One value of one subject that waits. `at` is its instant by our steady clock."""

    at: int
    measured_ns: int
    value: float
    doubted: bool = False


class Queue(msgspec.Struct):
    """What one rule has before it of one subject. `until`: the instant of the last value that has left."""

    question: str  # of the rule: core.edits.question
    until: int = AT_ONCE
    waiting: list[Late] = []

    def add(self, one: Late) -> bool:
        """Puts a value in its place; False when a newer one has been judged. A repeated one counts once."""
        if one.at < self.until:
            return False
        place = bisect_left(self.waiting, one)
        if self.waiting[place : place + 1] != [one]:
            insort(self.waiting, one)
        return True

    def leave(self, until: int) -> list[Late]:
        """Those whose instant is not after `until`, in order."""
        count = sum(one.at <= until for one in self.waiting)
        leaving, self.waiting = self.waiting[:count], self.waiting[count:]
        if leaving:
            self.until = leaving[-1].at
        return leaving
