"""What a value is worth that is possible, and in order: has it stopped moving, or does it stand out alone?

Asked only of fields whose model declares it. A doubted value is stored as it came; what a rule makes of it is
the rule's own `on_bad_quality`. States (smoke, a door) are never asked: an alarm that comes once is no spike.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.core.model import Field, Quality
from gateway.core.units import QUANTITIES

STUCK = "sensor_stuck"  # the quantity by which a rule hears of it: 1 while any field of the subject is stuck
SIGMAS = 3.0  # Hampel's own choice
MAD_TO_SIGMA = 1.4826  # of a normal distribution
ALMOST = 1e-9  # relative: 0.3 - 0.2 is no more than a resolution of 0.1
RESOLUTIONS = 3  # a spike of less than so many is noise


class Trace(msgspec.Struct):
    """Where one quantity of one subject was. `low`..`high` holds its last `count` values."""

    low: float = 0.0
    high: float = 0.0
    count: int = 0
    stuck: bool = False
    window: list[float] = []


def is_stuck(trace: Trace, value: float, field: Field) -> bool:
    """Whether the last `stuck_after` values, this one included, lie within the resolution of each other."""
    low, high = min(trace.low, value), max(trace.high, value)
    resolution = QUANTITIES[field.quantity].resolution
    if trace.count and high - low <= resolution * (1 + ALMOST):
        trace.low, trace.high, trace.count = low, high, min(trace.count + 1, field.stuck_after)
    else:
        trace.low = trace.high = value
        trace.count = 1
    trace.stuck = trace.count >= field.stuck_after
    return trace.stuck


def is_spike(trace: Trace, value: float, field: Field) -> bool:
    """Hampel: whether it lies far from the median of the last `spike_window` raw values, itself included.

    A step persists, and is believed as soon as it makes the majority of the window: of 5, the third value.
    A ramp widens the deviation it is measured by, and is believed sooner. Until half of the window is full
    nothing is a spike: there is nothing to stand out from.
    """
    trace.window = window = [*trace.window[1 - field.spike_window :], value]
    if len(window) <= field.spike_window // 2 + 1:
        return False
    middle = _median(window)
    sigma = MAD_TO_SIGMA * _median(abs(one - middle) for one in window)
    least = field.spike_over or RESOLUTIONS * QUANTITIES[field.quantity].resolution
    return abs(value - middle) > max(SIGMAS * sigma, least)


def _median(values: Iterable[float]) -> float:
    """Of an odd number of values; the statistics module costs a start 10 ms."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def traced(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Those that are watched from value to value; of a quantity that stands in two places, the first."""
    found: dict[str, Field] = {}
    for field in fields:
        if field.stuck_after or field.spike_window:
            found.setdefault(field.quantity, field)
    return tuple(found.values())


def doubt(trace: Trace, value: float, field: Field) -> Quality:
    """GOOD, SPIKE or STUCK; both filters see every value."""
    spike = field.spike_window > 0 and is_spike(trace, value, field)
    stuck = field.stuck_after > 0 and is_stuck(trace, value, field)
    if stuck:
        return Quality.STUCK
    return Quality.SPIKE if spike else Quality.GOOD
