"""What befalls a street in a week, and what must be told of it: drawn from a seed, with a known truth.

The truth is arithmetic on the limits and holds of the rules, never a question to the engine: each alert is
told as the exact row of its levels, each with the instants between which it must come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gateway.core.model import SECOND, Level, Limit, Rule
from simulators.incidents import Incident
from simulators.lives import DAY, HOUR, Episode

Points = Sequence[tuple[int, float]]
RESET_NS = 600 * SECOND  # after being told that an alarm is latched somebody was there, and resets it
NOISE_A_DAY = 0.1  # what the noise of 0.05 mm may do to a slope over two days


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

    @property
    def devices(self) -> set[str]:
        """Whom it befalls."""
        return {one.device for one in self.incidents}


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
    """Beyond its limit for its hold, or for so many words on end, then past its clear limit for the rule's
    clear hold, and, where it latches, until somebody resets it.
    """
    clear = limit.clear if limit.clear is not None else _threshold(limit)
    every, blur = int(every_s * (limit.readings or (1,))[0] * SECOND), int(blur_s * SECOND)
    hold, calm = int(limit.hold_s * SECOND), int(rule.clear_hold_s * SECOND) + RESET_NS * rule.latch
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
    """Of what is 0 or 1 the half."""
    found = limit.above if limit.above is not None else limit.below
    return 0.5 if found is None else found


def _crossing(limit: Limit, value: float, points: Points, since: int, into: bool) -> int | None:
    """When a course first lies beyond (`into`) or again within a value, from `since` on."""
    way = -1 if limit.below is not None else 1

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


def slopes(rule: Rule, points: Points, begins_ns: int, span_ns: int, every_s: float) -> list[Turn]:
    """What an alert on a slope over a span does: its one limit, a minute, is surely crossed once all of the
    span lies on lines that are steeper, and may be as soon as some of it does. It may have been less steep
    before, and falls afterwards.
    """
    (limit,), minute = rule.limits, 60 * SECOND
    assert limit.above is not None and limit.clear is not None
    parts = [(left, (b - a) * minute / (right - left)) for (left, a), (right, b) in pairwise(points)]
    steep = next(left for left, slope in parts if slope > limit.above)
    milder = next(left for left, slope in parts if left > steep and slope <= limit.above)
    over = next(left for left, slope in parts if left > steep and slope <= limit.clear)
    hold, calm = int(limit.hold_s * SECOND), int(rule.clear_hold_s * SECOND)
    sure = span_ns + int(every_s * SECOND)
    assert milder - steep >= sure + hold, "or nobody knows whether it lasts for its hold"
    on, off = begins_ns + steep + hold, begins_ns + over + calm
    return [Turn(limit.level, on, on + sure), Turn(None, off, off + sure)]


def trends(points: Points, span_ns: int) -> tuple[Points, Points]:
    """The least and the most that the slope a day may be over a span of hourly words, hour by hour: the
    median of the slopes of all pairs, whenever in its hour it speaks. Before its first point a course rests.
    """
    at, values = (np.array(row, float) for row in zip(*points, strict=True))
    found = []
    for hour in range(int((points[-1][0] - points[0][0]) // HOUR)):
        told = []
        for late in np.arange(-1, 1.01, 0.25):
            words = (hour + late) * HOUR - np.arange(0, span_ns + 1, HOUR)
            first, second = np.triu_indices(len(words), 1)
            said = np.interp(words, at, values)
            slope = np.median((said[first] - said[second]) / (words[first] - words[second]))
            told.append(abs(float(slope)) * DAY)
        found.append((hour * HOUR, min(told) - NOISE_A_DAY, max(told) + NOISE_A_DAY))
    return [(ns, least) for ns, least, _ in found], [(ns, most) for ns, _, most in found]


def between(early: Sequence[Turn], late: Sequence[Turn]) -> list[Turn]:
    """The turns of what is known only within bounds, from those of either bound. Both take the same."""
    assert [one.level for one in early] == [one.level for one in late]
    return [
        Turn(a.level, min(a.earliest_ns, b.earliest_ns), max(a.latest_ns, b.latest_ns))
        for a, b in zip(early, late, strict=True)
    ]


def counted(rule: Rule, times_s: Sequence[float], begins_ns: int, span_s: float) -> list[Turn]:
    """What an alert on how often something began within a span does."""
    (limit,) = rule.limits
    assert limit.above is not None and times_s[-1] - times_s[0] < span_s
    on = begins_ns + int(times_s[int(limit.above)] * SECOND)
    left = times_s[len(times_s) - 1 - int(limit.above)]  # once this one is out of the span there are too few
    off = begins_ns + int((left + span_s + rule.clear_hold_s) * SECOND)
    return [Turn(limit.level, on, on), Turn(None, off, off)]


# ---------------------------------------------------------------- silence


def silent_ns(last_ns: int, span_ns: int, deaf: Sequence[Episode], patience_ns: int) -> int:
    """When a silence counts as one: we have listened in vain for so long, and since we last could hear again
    whoever had to find the way back to us has had the time. `deaf`: in order, none within another.
    """
    due = proven = last_ns + span_ns
    for one in deaf:
        if last_ns < one.ends_ns and one.begins_ns < due:
            proven += one.ends_ns - max(one.begins_ns, last_ns)
            due = max(proven, one.ends_ns + min(span_ns, patience_ns))
    return due
