"""What befalls a street in a week, and what must be told of it: drawn from a seed, with a known truth.

The truth is arithmetic on the limits and holds of the rules, never a question to the engine: each alert is
told as the exact row of its levels, each with the instants between which it must come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.core.model import SECOND, Level, Limit, Rule
from simulators.incidents import Incident
from simulators.lives import Episode

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Turn:
    """An alert reaches a level, or ends (None), between two instants."""

    level: Level | None
    earliest_ns: int
    latest_ns: int


@dataclass(frozen=True, slots=True)
class Told:
    """One alert that must come, with everything that becomes of it."""

    rule: str
    device: str
    component: str
    turns: tuple[Turn, ...]
    counted: str = ""  # the state whose every word must be counted, once


@dataclass(frozen=True, slots=True)
class Kept:
    """What a device stored while it could not send, and sends at once: long over, and nobody's news."""

    begins_ns: int
    ends_ns: int
    component: str
    quantity: str
    value: float


@dataclass(frozen=True, slots=True)
class Story:
    """One thing that happens, to one device or to all behind it."""

    name: str
    incidents: tuple[Incident, ...]
    told: tuple[Told, ...] = ()
    kept: Kept | None = None
    drift: float = 0.0  # seconds a second by which its clock goes wrong

    @property
    def begins_ns(self) -> int:
        return self.incidents[0].span.begins_ns


# ---------------------------------------------------------------- from courses to turns


@dataclass(frozen=True, slots=True)
class Flip:
    """A level becomes true, or ceases to be, between two instants."""

    earliest_ns: int
    latest_ns: int
    level: Level
    on: bool


def turns(rule: Rule, points: Points, begins_ns: int, every_s: float, blur_s: float = 0.0) -> list[Turn]:
    """What an alert of `rule` does along straight lines between points, said every so often.

    `blur_s`: what rounding a value may shift its crossing a limit by.
    """
    flips = [flip for limit in rule.limits for flip in _flips(rule, limit, points, every_s, blur_s)]
    standing: set[Level] = set()
    found: list[Turn] = []
    for flip in sorted(flips, key=lambda one: (one.earliest_ns, one.level)):
        before = max(standing, default=None)
        (standing.add if flip.on else standing.discard)(flip.level)
        after = max(standing, default=None)
        if after == before:
            continue
        if found and found[-1].earliest_ns == begins_ns + flip.earliest_ns:
            found.pop()  # two at one instant are told as one
        found.append(Turn(after, begins_ns + flip.earliest_ns, begins_ns + flip.latest_ns))
    return found


def _flips(rule: Rule, limit: Limit, points: Points, every_s: float, blur_s: float) -> Iterator[Flip]:
    """Beyond its limit for its hold, then past its clear limit for the rule's clear hold."""
    clear = limit.clear if limit.clear is not None else _threshold(limit)
    every, blur = int(every_s * SECOND), int(blur_s * SECOND)
    hold, calm = int(limit.hold_s * SECOND), int(rule.clear_hold_s * SECOND)
    at = 0
    while (bad := _crossing(limit, _threshold(limit), points, at, True)) is not None:
        over = _crossing(limit, clear, points, bad, False)
        if over is not None and over - bad < hold:
            at = over
            continue
        yield Flip(bad - blur + hold, bad + blur + every + hold, limit.level, True)
        if over is None:
            return
        yield Flip(over - blur + calm, over + blur + every + calm, limit.level, False)
        at = over


def _threshold(limit: Limit) -> float:
    found = limit.above if limit.above is not None else limit.below
    assert found is not None
    return found


def _crossing(limit: Limit, value: float, points: Points, since: int, into: bool) -> int | None:
    """When a course first lies beyond (`into`) or again within a value, from `since` on."""
    way = 1 if limit.above is not None else -1

    def beyond(x: float) -> bool:
        return (way * (x - value) > 0) is into

    for (left_ns, left), (right_ns, right) in pairwise(points):
        if right_ns <= since:
            continue
        if beyond(left) and left_ns >= since:
            return left_ns
        if beyond(right) and left != right:
            at = left_ns + int((right_ns - left_ns) * (value - left) / (right - left))
            if at >= since:
                return at
    last_ns, last = points[-1]
    return last_ns if beyond(last) else None


def steps(*pairs: tuple[float, float]) -> Points:
    """(seconds, value) each of which holds until the next: as corners of straight lines."""
    corners: list[tuple[int, float]] = []
    for (at, value), (until, _) in pairwise(pairs):
        corners += [(int(at * SECOND), value), (int(until * SECOND), value)]
    return [*corners, (int(pairs[-1][0] * SECOND), pairs[-1][1])]


# ---------------------------------------------------------------- silence


def silent_ns(last_ns: int, span_ns: int, deaf: Sequence[Episode]) -> int:
    """When a silence counts as one: while we are deaf it proves nothing, and is counted anew afterwards."""
    since = last_ns
    for one in deaf:
        if since < one.ends_ns and one.begins_ns <= since + span_ns:
            since = one.ends_ns
    return since + span_ns
