"""Which days people work in China, as the State Council published (chinesecalendar) and as the site says.

Every autumn the holidays of the next year, and the Saturdays and Sundays worked in exchange, are published;
the library follows with a release. A site may say it first, or otherwise, under `calendar:`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import chinese_calendar

from gateway.core.model import Calendar
from gateway.grammar import DayKeys

SOURCE = f"chinesecalendar {chinese_calendar.__version__}"
FIXED = ((1, 1), (5, 1), (10, 1))  # holidays whose date the law fixes: whoever wrote a year down has them


def calendar_of(days: Iterable[DayKeys]) -> Calendar:
    """The published calendar with a site's own days, which count before it."""
    own = {entry.day: entry.kind == "workday" for entry in days}
    said: Mapping[date, bool] = {**published(), **own}
    differs = frozenset(day for day, worked in said.items() if worked != (day.weekday() < 5))
    return Calendar(differs=differs, years=frozenset({day.year for day in published()}) | _told(own))


def published() -> dict[date, bool]:
    """Every day that was published as a holiday (False) or as worked in exchange (True)."""
    return dict.fromkeys(chinese_calendar.holidays, False) | dict.fromkeys(chinese_calendar.workdays, True)


def _told(own: Mapping[date, bool]) -> frozenset[int]:
    """The years that a site tells itself, fixed holidays and all. One odd day does not tell a year."""
    years = {day.year for day in own}
    return frozenset(year for year in years if all(own.get(date(year, *day)) is False for day in FIXED))
