"""How long a battery will last: a robust line through the days since it was last changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.signals import theil_sen

DAYS_MOST = 60  # looked at
DAYS_LEAST = 10  # fewer make no line (theil_sen)
EMPTY_PCT = 10.0  # below that sensors stop in the first frost
CHANGED_PCT = 15.0  # a rise by more from one day to the next is another battery
LATELY = 5  # days whose median is how full it is


@dataclass(frozen=True, slots=True)
class Forecast:
    """`left_d` is None when it does not plainly fall, or is known for too short a time."""

    now_pct: float
    per_month_pct: float | None
    left_d: float | None


def forecast(days: Sequence[int], percents: Sequence[float]) -> Forecast:
    """From one median a day, ascending, at least one. What frost takes and gives back is no trend: the whole
    confidence interval of the slope must fall.
    """
    first = max(
        (n for n in range(1, len(percents)) if percents[n] - percents[n - 1] > CHANGED_PCT), default=0
    )
    days, percents = days[first:], percents[first:]
    lately = sorted(percents[-LATELY:])
    now = lately[len(lately) // 2]
    if len(days) < DAYS_LEAST:
        return Forecast(now, None, None)
    slope = theil_sen([float(day - days[0]) for day in days], percents)
    falls = slope.high < 0
    left = max(now - EMPTY_PCT, 0.0) / -slope.per_day if falls else None
    return Forecast(now, 30 * slope.per_day, left)
