"""Alerts that will not stand still: three raised in a minute (ISA-18.2), or a value that keeps crossing its
limit (after Nagios: at least half of the last 21 readings changed sides).

Such an alert is told once, and stands until it has been good for long.
"""

from __future__ import annotations

from itertools import takewhile

from gateway.core.model import SECOND

RAISED_MOST = 3
RAISED_NS = 60 * SECOND
READINGS = 21
CHANGED_LEAST = READINGS // 2
QUIET_NS = 600 * SECOND  # good on end for so long ends it
NONE = 1  # before the first reading: the sides are bits below a leading one


def note_raised(raised: dict[str, list[int]], key: str, at: int) -> bool:
    """Remembers that the track `key` raised its alert; True when it did so too often of late."""
    for old in list(takewhile(lambda name: raised[name][-1] <= at - RAISED_NS, raised)):
        del raised[old]
    raised[key] = [*raised.pop(key, [])[1 - RAISED_MOST :], at]  # the last to raise is the last of them
    return len(raised[key]) == RAISED_MOST and raised[key][0] > at - RAISED_NS


def note_side(sides: int, beyond: bool) -> int:
    """The sides of the last readings with one more: 1 for beyond the limit."""
    sides = sides << 1 | beyond
    return sides & (1 << READINGS) - 1 | 1 << READINGS if sides >> READINGS > 1 else sides


def crosses(sides: int) -> bool:
    """Whether a full memory shows a value that keeps changing sides."""
    if not sides >> READINGS:
        return False
    changed = (sides ^ sides >> 1) & (1 << READINGS - 1) - 1
    return changed.bit_count() >= CHANGED_LEAST
