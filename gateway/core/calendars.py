"""Site windows: "06:30-08:30" in local time of day; one may cross midnight."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MIN = 1440
NS = 1_000_000_000


def parse_window(text: str) -> tuple[int, int]:
    """Minutes of the day (from, to); "22:00-06:00" crosses midnight; "00:00-24:00" is the whole day.

    Raises ValueError.
    """
    start, dash, end = text.partition("-")
    window = parse_clock(start), parse_clock(end)
    if not dash or window[0] == window[1]:
        raise ValueError(f"found {text!r}, expected HH:MM-HH:MM")
    return window


def parse_clock(text: str) -> int:
    """Minutes after midnight of "HH:MM", 00:00 to 24:00. Raises ValueError."""
    hours, colon, minutes = text.strip().partition(":")
    if not (colon and len(hours) == 2 and len(minutes) == 2 and (hours + minutes).isdecimal()):
        raise ValueError(f"found {text!r}, expected HH:MM")
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY_MIN:
        raise ValueError(f"found {text!r}, expected 00:00 to 24:00")
    return minute


def inside(windows: Iterable[tuple[int, int]], minute: int) -> bool:
    """Whether a minute of the day lies in one of the windows (end excluded)."""
    return any(
        start <= minute < end if start < end else minute >= start or minute < end for start, end in windows
    )


@lru_cache(maxsize=4)
def zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(wall_ns: int, timezone: str) -> datetime:
    """The wall clock at a place."""
    return datetime.fromtimestamp(wall_ns / NS, zone(timezone))


def local_date(wall_ns: int, timezone: str) -> date:
    return local(wall_ns, timezone).date()


def minute_of_day(wall_ns: int, timezone: str) -> int:
    at = local(wall_ns, timezone)
    return at.hour * 60 + at.minute
