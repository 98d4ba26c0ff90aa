"""One pass over a store: the figures of some time, of all cases and of each group of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.adapters import history
from gateway.core.calendars import local_date
from gateway.core.figures import Course, Tally, owner_by, spans
from gateway.core.load import STANDING_NS, Load, is_borne
from gateway.core.model import Alert, Case, Stage, World
from gateway.core.places import ancestors

LATE_MOST = 200  # rows of the list of what is overdue; `late_count` is the true number


@dataclass(slots=True, kw_only=True)
class Report:
    """The cases found in [since, until), and what is known of them at `now`: the same three instants give
    the same stages and times again. Its level is the case's own, whatever it was then.
    """

    since_ns: int
    until_ns: int
    now_ns: int
    by: str
    place: str  # only what is in it; "": everything
    world: World
    total: Tally = field(default_factory=Tally)
    groups: dict[str, Tally] = field(default_factory=dict)  # "" for those that belong to none
    load: Load = field(default_factory=Load)
    late: list[Course] = field(default_factory=list)  # open and overdue, whenever they were found
    late_count: int = 0
    found_on: Counter[str] = field(default_factory=Counter)  # local date -> cases
    closed_on: Counter[str] = field(default_factory=Counter)
    standing: list[Alert] = field(default_factory=list)  # for more than a day, now
    drills: list[Course] = field(default_factory=list)  # counted in nothing above

    @property
    def span_ns(self) -> int:
        """How much of the time asked for has passed."""
        return max(min(self.until_ns, self.now_ns) - self.since_ns, 0)


def gather(
    db: sqlite3.Connection, world: World, since_ns: int, until_ns: int, now_ns: int, by: str, place: str = ""
) -> Report:
    """Reads what was written by `now`. Raises sqlite3.OperationalError when the store cannot be read."""
    report = Report(since_ns=since_ns, until_ns=until_ns, now_ns=now_ns, by=by, place=place, world=world)
    owner, here = owner_by(world, by), _inside(world, place)
    for course in courses(db, since_ns, until_ns, now_ns):
        if here(course.case.place) and course.case.drill:
            report.drills.append(course)
        elif here(course.case.place):
            _note(report, course, owner(course))
    late = _late(db, until_ns, now_ns, here)
    report.late, report.late_count = late[:LATE_MOST], len(late)
    _note_load(report, db, here)
    return report


def courses(db: sqlite3.Connection, since_ns: int, until_ns: int, now_ns: int) -> Iterator[Course]:
    """Of every case found in that time, oldest first; one at a time is in memory."""
    for case in history.made_between(db, Case, since_ns, until_ns):
        if course := course_of(db, case, now_ns):
            yield course


def course_of(db: sqlite3.Connection, case: Case, now_ns: int) -> Course | None:
    """None when nothing had been written of it by then."""
    found = spans(history.lines_of(db, case.id, now_ns))
    return Course(case, found, now_ns) if found else None


def _note(report: Report, course: Course, group: str) -> None:
    report.total.note(course)
    report.groups.setdefault(group, Tally()).note(course)
    if course.case.unheard or course.stage is Stage.MERGED:
        return
    report.found_on[_day(report.world, course.found_ns)] += 1
    if course.stage is Stage.CLOSED:
        report.closed_on[_day(report.world, course.spans[-1].began_ns)] += 1


def _late(db: sqlite3.Connection, until_ns: int, now_ns: int, here: Callable[[str], bool]) -> list[Course]:
    """The worst first, then the oldest."""
    cases = (
        case
        for case in history.open_before(db, until_ns)
        if here(case.place) and not (case.unheard or case.drill)
    )
    found = [one for case in cases if (one := course_of(db, case, now_ns)) and one.late_now]
    return sorted(found, key=lambda one: (-one.case.level, one.found_ns))


def _note_load(report: Report, db: sqlite3.Connection, here: Callable[[str], bool]) -> None:
    """Of a place only its own alerts; what its people were told of elsewhere is no load of the place."""
    devices, since_ns, until_ns = report.world.devices, report.since_ns, report.until_ns

    def at(alert: Alert) -> bool:
        device = devices.get(alert.device)
        return here(device.at if device else "")

    for alert in filter(at, history.made_between(db, Alert, since_ns, min(until_ns, report.now_ns))):
        report.load.note_alert(alert, report.now_ns)
    if not report.place:
        for person, wall_ns in history.tellings(db, since_ns, min(until_ns, report.now_ns)):
            report.load.note_told(person, wall_ns)
    standing = history.standing_before(db, report.now_ns - STANDING_NS)
    report.standing = [alert for alert in filter(at, standing) if is_borne(alert)]


def _inside(world: World, place: str) -> Callable[[str], bool]:
    return lambda at: not place or any(one.id == place for one in ancestors(world, at))


def _day(world: World, wall_ns: int) -> str:
    return local_date(wall_ns, world.timezone).isoformat()
