"""Sensors past the day on which they were to be calibrated again: judged as ever, and marked on every point.

Who is overdue changes at midnights and when an entry begins, so it is looked at then, by the wall clock of
the event that comes first after it; until then an event costs one comparison, a message nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta

from gateway.core.calendars import zone
from gateway.core.calibration import newest
from gateway.core.model import SECOND, Calibration, Reading, World
from gateway.core.watches import Watch

NEVER_NS = 2**63 - 1


class Overdue:
    """Keeps `overdue` of the watches of one World true."""

    def __init__(self, world: World, watches: Mapping[str, Watch]) -> None:
        self._timezone = world.timezone
        self._entries = [
            (watches[device], entries)
            for device, entries in world.calibrations.items()
            if device in watches and any(one.due for one in entries)
        ]
        self._since_ns, self._until_ns = (0, 0) if self._entries else (0, NEVER_NS)

    def look(self, wall_ns: int) -> None:
        if self._since_ns <= wall_ns < self._until_ns:
            return
        turns = {NEVER_NS, wall_ns}
        for watch, entries in self._entries:
            watch.overdue = overdue(entries, wall_ns, self._timezone)
            watch.look_up()
            turns |= {one.since_ns for one in entries}
            turns |= {ended_ns(one.due, self._timezone) for one in entries if one.due}
        self._since_ns = max(turn for turn in turns if turn <= wall_ns)
        self._until_ns = min(turn for turn in turns if turn > wall_ns)


def overdue(entries: Iterable[Calibration], now_ns: int, timezone: str) -> frozenset[tuple[str, str]]:
    """(component, quantity) of what is overdue; quantity "" of a device as a whole."""
    return frozenset(
        (one.component, one.quantity)
        for one in newest(entries, now_ns)
        if one.due and ended_ns(one.due, timezone) <= now_ns
    )


def is_overdue(found: frozenset[tuple[str, str]], reading: Reading) -> bool:
    """Whether anything in a reading was measured by a sensor that is overdue."""
    return ("", "") in found or any((reading.component, name) in found for name in reading.values)


def ended_ns(day: date, timezone: str) -> int:
    """The midnight at which a local day is over."""
    midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone(timezone))
    return int(midnight.timestamp()) * SECOND
