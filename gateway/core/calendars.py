"""When something counts: windows such as "06:30-08:30" in local time, one may cross midnight; days; works."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.core.model import SECOND, Calendar, Device, During, Maintenance, World
from gateway.core.places import ancestors, windows_of

DAY_MIN = 1440
MINUTE_NS = 60 * SECOND
WORKDAYS, RESTDAYS = "workdays", "restdays"
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS = (WORKDAYS, RESTDAYS, *WEEK)
MISSING_SOON = timedelta(days=60)  # so long before it begins, a year without a calendar is told of
Windows = tuple[tuple[int, int], ...]  # minutes of the day, from and to

# ---------------------------------------------------------------- windows


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
    return any(begun(window, minute) is not None for window in windows)


def begun(window: tuple[int, int], minute: int) -> int | None:
    """How many days ago the window began that holds this minute of a day: 0 or 1; None outside it."""
    start, end = window
    if start < end:
        return 0 if start <= minute < end else None
    if minute >= start:
        return 0
    return 1 if minute < end else None


def gaps(windows: Windows) -> Windows:
    """What lies between windows, each gap by the minute at which it begins."""
    starts = sorted(start for start, _ in windows)
    ends = {end % DAY_MIN for _, end in windows}
    if not windows:
        return ((0, DAY_MIN),)
    return tuple(
        (end, next((start for start in starts if start > end), starts[0]))
        for end in sorted(ends)
        if not inside(windows, end)
    )


def never(within: Windows, without: Windows) -> bool:
    """Whether nothing is left of the one outside the other."""
    edges = [start for start, _ in within] + [end % DAY_MIN for _, end in without]
    return not any(inside(within, minute) and not inside(without, minute) for minute in edges)


# ---------------------------------------------------------------- local time


@lru_cache(maxsize=4)
def zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(wall_ns: int, timezone: str) -> datetime:
    """The wall clock at a place."""
    return datetime.fromtimestamp(wall_ns / SECOND, zone(timezone))


def local_date(wall_ns: int, timezone: str) -> date:
    return local(wall_ns, timezone).date()


@lru_cache(maxsize=1024)  # thousands of readings share a minute
def _clock(minute: int, timezone: str) -> tuple[date, int]:
    """Local day and minute of the day of a minute of UTC since 1970."""
    at = local(minute * MINUTE_NS, timezone)
    return at.date(), at.hour * 60 + at.minute


# ---------------------------------------------------------------- days


def is_workday(calendar: Calendar, day: date) -> bool:
    return (day.weekday() < 5) != (day in calendar.differs)


def is_one_of(calendar: Calendar, days: Iterable[str], day: date) -> bool:
    """Whether a day is any of these words of DAYS."""
    worked = WORKDAYS if is_workday(calendar, day) else RESTDAYS
    return any(word in (worked, WEEK[day.weekday()]) for word in days)


def asks_for_workdays(during: During | None) -> bool:
    return during is not None and bool({WORKDAYS, RESTDAYS} & set(during.days))


def durings(world: World) -> list[During | None]:
    asked = [*(rule.during for rule in world.rules), *(works.during for works in world.maintenance)]
    asked += [post.during for post in world.posts]
    return [*asked, *(clock.during for clock in world.clocks)]


def missing_years(calendar: Calendar, asked: Iterable[During | None], today: date) -> list[int]:
    """The years of today and of the next weeks whose workdays somebody asks for, and nobody has told."""
    if not any(map(asks_for_workdays, asked)):
        return []
    return sorted({today.year, (today + MISSING_SOON).year} - calendar.years)


# ---------------------------------------------------------------- hours


@dataclass(frozen=True, slots=True)
class Hours:
    """A `During` made ready for one place."""

    spans: Windows  # inside any of these, by the day on which it began
    barred: Windows  # and inside none of these
    days: tuple[str, ...]
    calendar: Calendar
    timezone: str

    def hold_at(self, wall_ns: int) -> bool:
        """By the clock on the wall: the hour that spring skips never comes, the one in autumn comes twice."""
        day, minute = _clock(wall_ns // MINUTE_NS, self.timezone)
        if self.barred and inside(self.barred, minute):
            return False
        ages = (begun(span, minute) for span in self.spans)
        return any(age is not None and self._on(day, age) for age in ages)

    def _on(self, day: date, age: int) -> bool:
        return not self.days or is_one_of(self.calendar, self.days, day - timedelta(days=age))


def hours_of(world: World, place: str, during: During) -> Hours:
    """A gap between the windows of `outside` is a window like any other: it belongs to the day it begins."""
    within, without = (_windows(world, place, name) for name in (during.inside, during.outside))
    spans, barred = (within, without) if during.inside else (gaps(without), ())
    return Hours(spans, barred, during.days, world.calendar, world.timezone)


def is_window(text: str) -> bool:
    """Whether it is a window itself and no name of one."""
    return ":" in text


def is_empty(during: During) -> bool:
    """Whether its own windows leave no hour of any day; those of places are the places' affair."""
    names = during.inside, during.outside
    if any(name and not is_window(name) for name in names):
        return False
    within, without = ((parse_window(name),) if name else () for name in names)
    return never(within or gaps(()), without)


def _windows(world: World, place: str, name: str) -> Windows:
    if not name or is_window(name):
        return (parse_window(name),) if name else ()
    return tuple(map(parse_window, windows_of(world, place, name) or ()))


# ---------------------------------------------------------------- works


@dataclass(frozen=True, slots=True)
class Works:
    """A `Maintenance` made ready for one device."""

    entry: Maintenance
    hours: Hours | None

    def hold_at(self, wall_ns: int) -> bool:
        entry = self.entry
        if wall_ns < entry.since_ns or (entry.until_ns and wall_ns >= entry.until_ns):
            return False
        return self.hours is None or self.hours.hold_at(wall_ns)


def works_on(world: World, device: Device) -> tuple[Works, ...]:
    """What is or will be worked on at a device."""
    if not world.maintenance:
        return ()
    around = {place.id for place in ancestors(world, device.at)}
    return tuple(
        Works(entry, hours_of(world, device.at, entry.during) if entry.during else None)
        for entry in world.maintenance
        if entry.device == device.id or entry.at in around
    )


def maintained(world: World, device: Device, wall_ns: int) -> Maintenance | None:
    """The works that go on at a device at an instant; of several, one that holds red levels too."""
    going = [works.entry for works in works_on(world, device) if works.hold_at(wall_ns)]
    return max(going, key=lambda entry: entry.also_red, default=None)
