"""What stands and is said again: within which values a track keeps every level where it is."""

from __future__ import annotations

import math

import msgspec

from gateway.core.alerts import AT_ONCE, Phase, Standing
from gateway.core.conditions import Judge, crossed
from gateway.core.model import Limit
from gateway.core.state import Track

Band = tuple[float, float]  # both included
NOWHERE: Band = (math.inf, -math.inf)


class Steady(msgspec.Struct, gc=False):
    """Until a level of its track moves, a sound value in the band is noted, and changes nothing else."""

    track: Track
    baseline: float | None  # in the band is |value - baseline|
    low: float
    high: float
    beyond: bool  # whether those values count as bad readings

    def holds(self, value: float) -> bool:
        measure = value if self.baseline is None else abs(value - self.baseline)
        return self.low <= measure <= self.high


def steady_of(judge: Judge, track: Track, value: float) -> Steady | None:
    """For a track that this value has just left as it was; None while time or a reading may move it.

    Of a judge whose verdict does not change with the hour.
    """
    if judge.zeros:
        return None
    limits, measure = judge.rule.limits, judge.measure(value)
    bands = [stays(one, limit) for limit, one in zip(limits, track.standings, strict=True)]
    crossing = [limit for limit in limits if crossed(limit, measure, False)]
    bands += [beyond(limit, False) for limit in crossing] or [short(limit) for limit in limits]
    low, high = max(low for low, _ in bands), min(high for _, high in bands)
    return Steady(track, judge.baseline, low, high, bool(crossing)) if low <= measure <= high else None


def stays(one: Standing, limit: Limit) -> Band:
    """The values that leave a level as it is, whenever they are said."""
    if one.phase is Phase.FIRING and one.not_before == AT_ONCE:
        return beyond(limit, True)
    return short(limit) if one.phase in (Phase.CALM, Phase.LATCHED) else NOWHERE


def beyond(limit: Limit, active: bool) -> Band:
    """The values of which conditions.crossed is true, if they are one interval."""
    if limit.above is not None:
        least = limit.above if not active or limit.clear is None else limit.clear
        return math.nextafter(least, math.inf), math.inf
    if limit.below is not None:
        most = limit.below if not active or limit.clear is None else limit.clear
        return -math.inf, math.nextafter(most, -math.inf)
    if limit.equals is not None:
        return limit.equals, limit.equals
    return NOWHERE


def short(limit: Limit) -> Band:
    """The values of which it is false for a level that is not active, if they are one interval."""
    if limit.above is not None:
        return -math.inf, limit.above
    return (limit.below, math.inf) if limit.below is not None else NOWHERE
