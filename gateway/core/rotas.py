"""Who of those that take turns is on duty at an instant, by the clock on the wall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.core.calendars import local, parse_clock, zone
from gateway.core.model import SECOND, Override, Rotation

MINUTE = "%Y-%m-%dT%H:%M"  # as an override writes it: such texts are in the order of time


def on_duty(rotation: Rotation, wall_ns: int, timezone: str) -> tuple[str, Override | None]:
    """The person, and the override that put them there; "" before the first turn begins."""
    now = local(wall_ns, timezone).replace(tzinfo=None)
    minute = now.strftime(MINUTE)
    for one in rotation.overrides:
        if one.since <= minute < one.until:
            return one.person, one
    turn = (now - _first(rotation)) // timedelta(seconds=rotation.turn_s)
    return (rotation.members[turn % len(rotation.members)] if turn >= 0 else ""), None


def changes(rotation: Rotation, since_ns: int, until_ns: int, timezone: str) -> Iterator[int]:
    """Every instant in between at which another may come on duty; in no order."""
    first, turn = _first(rotation), timedelta(seconds=rotation.turn_s)
    begins = local(since_ns, timezone).replace(tzinfo=None)
    edges = [datetime.fromisoformat(edge) for one in rotation.overrides for edge in (one.since, one.until)]
    at = first + max((begins - first) // turn, 0) * turn
    while wall_of(at, timezone) < until_ns:
        edges.append(at)
        at += turn
    yield from (ns for edge in edges if since_ns < (ns := wall_of(edge, timezone)) < until_ns)


def wall_of(at: datetime, timezone: str) -> int:
    """UTC nanoseconds of a local time."""
    return int(at.replace(tzinfo=zone(timezone)).timestamp()) * SECOND


def _first(rotation: Rotation) -> datetime:
    midnight = datetime(rotation.since.year, rotation.since.month, rotation.since.day)
    return midnight + timedelta(minutes=parse_clock(rotation.handover))
