"""What a sensor's values are corrected by, and counted from, by the instant at which they were measured.

A certificate, a sensor that was mounted anew, another sensor in its place: each is an entry that holds from
an instant on until the next of the same quantity. The correction is made right after decoding, so that what
is stored, charted and judged goes on without a jump; devices without an entry are decoded as ever.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from msgspec import structs

from gateway.core.calendars import local_date
from gateway.core.codecs import Decode
from gateway.core.model import SECOND, Calibration, Device, Fault, Message, Reading

NEVER_SET_NS = 946_684_800 * SECOND  # 2000: a clock that says less was never set, and arrival counts
ALWAYS = -(2**63)


class Corrected:
    """A codec whose values are corrected; called like the one it is made of."""

    __slots__ = ("_decode", "_entries")

    def __init__(self, decode: Decode, calibrations: Iterable[Calibration]) -> None:
        self._decode = decode
        self._entries: dict[str, dict[str, list[Calibration]]] = {}  # component -> quantity -> ascending
        for one in calibrations:
            self._entries.setdefault(one.component, {}).setdefault(one.quantity, []).append(one)

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        return [self._correct(one) for one in self._decode(device, message, received_ns, faults)]

    def _correct(self, reading: Reading) -> Reading:
        entries = self._entries.get(reading.component)
        if entries is None:
            return reading
        instant = instant_of(reading)
        values = dict(reading.values)
        for quantity in entries.keys() & values.keys():
            found = in_force(entries[quantity], instant)
            if found is not None:
                values[quantity] = values[quantity] * found.scale + found.offset
        return structs.replace(reading, values=values)


def corrected(decode: Decode, calibrations: Sequence[Calibration]) -> Decode:
    """The codec with its corrections; the very same when there are none."""
    effective = [one for one in calibrations if one.quantity]
    return Corrected(decode, effective) if effective else decode


def instant_of(reading: Reading) -> int:
    """When a value was measured, as far as it can be believed here: before clocks have been judged."""
    measured = reading.measured_ns
    return measured if NEVER_SET_NS < measured <= reading.received_ns else reading.received_ns


def in_force(entries: Sequence[Calibration], instant_ns: int) -> Calibration | None:
    """The entry of one sensor (ascending) that holds at an instant."""
    index = bisect_right(entries, instant_ns, key=lambda one: one.since_ns)
    return entries[index - 1] if index else None


def zeros(
    calibrations: Iterable[Calibration], component: str, quantity: str, baseline: float
) -> tuple[tuple[int, float], ...]:
    """(since, baseline) ascending: what is counted from, from when on; NaN while nobody knows."""
    found, zero = [(ALWAYS, baseline)], baseline
    for one in calibrations:
        if (one.component, one.quantity) == (component, quantity):
            zero = zero if one.baseline is None else one.baseline
            found.append((one.since_ns, math.nan if one.unjoined else zero))
    return tuple(found) if len({repr(zero) for _, zero in found}) > 1 else ((ALWAYS, baseline),)


def zero_at(found: tuple[tuple[int, float], ...], instant_ns: int) -> float:
    """What is counted from at an instant; NaN while nobody knows."""
    return found[bisect_right(found, instant_ns, key=lambda one: one[0]) - 1][1]


def swaps(calibrations: Iterable[Calibration]) -> tuple[int, ...]:
    """The instants from which a device has another sensor, ascending."""
    return tuple(one.since_ns for one in calibrations if one.sensor)


# ---------------------------------------------------------------- what is due


@dataclass(frozen=True, slots=True)
class Due:
    """A sensor to be calibrated again; `days` below zero: so long ago."""

    device: str
    entry: Calibration
    days: int


def due_within(
    calibrations: Mapping[str, Sequence[Calibration]], now_ns: int, timezone: str, days: int
) -> list[Due]:
    """What is overdue or falls due within so many days, the most urgent first."""
    today = local_date(now_ns, timezone)
    found = [
        Due(device, entry, (_day(entry) - today).days)
        for device, entries in calibrations.items()
        for entry in newest(entries, now_ns)
        if entry.due is not None
    ]
    return sorted((one for one in found if one.days <= days), key=lambda one: (one.days, one.device))


def _day(entry: Calibration) -> date:
    assert entry.due is not None
    return entry.due


def newest(entries: Iterable[Calibration], now_ns: int) -> Iterator[Calibration]:
    """The entry of each sensor that is in force now."""
    found = {(one.component, one.quantity): one for one in entries if one.since_ns <= now_ns}
    return iter(found.values())
