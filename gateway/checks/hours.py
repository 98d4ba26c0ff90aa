"""When things count: `during`, the calendar of working days, works that hold alerts back."""

from __future__ import annotations

from datetime import date, datetime

from gateway import holidays
from gateway.checks.parts import Parts, check_known, check_unique, upward
from gateway.core.calendars import asks_for_workdays, is_empty, is_window, missing_years
from gateway.core.model import Device, During, Person, Place
from gateway.grammar import MaintenanceKeys
from gateway.problems import say
from gateway.typed import Builder

DAY_S = 86400.0
BLANKET_DAYS_MOST = 31  # of works without hours: what is forgotten must not silence a place for good


def named_windows(during: During | None) -> list[tuple[str, str]]:
    """(key, name) of the windows that a place must have."""
    named = [(key, getattr(during, key)) for key in ("inside", "outside") if during]
    return [(key, name) for key, name in named if name and not is_window(name)]


def check_hours(parts: Parts, builder: Builder) -> None:
    for entry in parts.timed:
        if entry.during == During():
            builder.mistake(entry, "during", say("none_of"), say("at_least_one"))
        elif entry.during and is_empty(entry.during):
            builder.mistake(entry, "during", say("no_hours"), say("some_hours"))
    check_unique(builder, "day", parts.calendar, "date", lambda entry: entry.day)
    for works in parts.maintenance:
        _check_where(works, parts, builder)
        _check_when(works, builder)
        check_known(builder, works, "by", "person", works.by, builder.ids(Person))


def check_years(parts: Parts, today: date | None, builder: Builder) -> None:
    """Without this year's holidays a rule of workdays would ring on all of them."""
    asking = [entry for entry in parts.timed if asks_for_workdays(entry.during)]
    calendar = holidays.calendar_of(parts.calendar)
    if today and today.year in missing_years(calendar, [entry.during for entry in asking], today):
        for entry in asking:
            builder.mistake(entry, "during.days", say("no_year", year=today.year), say("a_year"))


def _check_where(works: MaintenanceKeys, parts: Parts, builder: Builder) -> None:
    if bool(works.at) == bool(works.device):
        found = say("both", first="at", second="device") if works.at else say("none_of")
        builder.mistake(works, "", found, say("only_one_of", words="at, device"))
        return
    if works.at:
        check_known(builder, works, "at", "place", works.at, builder.ids(Place))
    else:
        check_known(builder, works, "device", "device", works.device, builder.ids(Device))
    place = works.at or next((one.at for one in parts.devices if one.id == works.device), "")
    parents = {one.id: one.within for one in parts.places}
    around = set(upward(place, parents))
    known = {name for one in parts.places if one.id in around for name in one.windows}
    for key, name in named_windows(works.during) if around else ():
        check_known(builder, works, f"during.{key}", "window", name, known)


def _check_when(works: MaintenanceKeys, builder: Builder) -> None:
    """It ends: by its own end, or every day by the end of a window."""
    for key, given in (("from", works.since), ("to", works.until)):
        if works.during is None and given is None:
            builder.mistake(works, key, say("missing"), say("required"))
    if works.during and not works.during.inside:
        builder.mistake(works, "during.inside", say("missing"), say("required"))
    if works.since is None or works.until is None:
        return
    span = datetime.fromisoformat(works.until) - datetime.fromisoformat(works.since)
    if span.total_seconds() <= 0:
        builder.mistake(works, "to", say("ends_first"), say("later"))
    elif works.during is None and span.total_seconds() > BLANKET_DAYS_MOST * DAY_S:
        expected = say("days_between", low=0, high=BLANKET_DAYS_MOST)
        builder.mistake(works, "to", say("days", days=f"{span.total_seconds() / DAY_S:g}"), expected)
