"""What the history of cases comes to: how long each stage took, how much of it was in time, who was behind.

Every stage and time here is worked out from the lines of the audited history; a case itself says where it
is, whose rule, which level, whether anybody was told, and why it was false. A stage was late when its clock
ran out while it lasted, and that the history says (`overdue`, `expired`): so the clocks that held then count,
working hours and all, whatever they are today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from gateway.core.cases import ANSWERED, ENDED, UNANSWERED, Turn
from gateway.core.duty import holds, posts_at
from gateway.core.model import LEVEL_OF, SECOND, Case, Entry, Level, Stage, World
from gateway.core.places import ancestors

LATE = ("overdue", Turn.EXPIRED)  # lines that say that a clock ran out
LEADS: Mapping[str, Stage] = {  # line of the history -> the stage that begins with it
    **{stage: stage for stage in Stage if stage is not Stage.VERIFIED},  # verified, it is closed at once
    Turn.TRANSFERRED: Stage.FOUND,
    Turn.RAISED: Stage.FOUND,
    Turn.RESUMED: Stage.ACKNOWLEDGED,
    Turn.BOUNCED: Stage.HANDLING,
    Turn.REJECTED: Stage.HANDLING,
    Turn.EXPIRED: Stage.SENT,
}
LEGS: Mapping[Stage, tuple[Stage, ...]] = {  # by what ends it: the stages whose time it is; never suspended
    Stage.SENT: (Stage.FOUND, Stage.RETURNED),
    Stage.ACKNOWLEDGED: UNANSWERED,
    Stage.HANDLED: ANSWERED,
    Stage.VERIFIED: (Stage.HANDLED,),
    Stage.CLOSED: (*UNANSWERED, *ANSWERED, Stage.HANDLED),
}
CLOCKS = (Stage.ACKNOWLEDGED, Stage.HANDLED, Stage.VERIFIED)  # the legs that have one
_FAR: Mapping[Stage, int] = {  # how far a case has come that stands there
    Stage.SENT: 1, Stage.ACKNOWLEDGED: 2, Stage.HANDLING: 2, Stage.SUSPENDED: 2, Stage.HANDLED: 3,
    Stage.FALSE: 3, Stage.CLOSED: 4,
}  # fmt: skip

# ---------------------------------------------------------------- one case


@dataclass(frozen=True, slots=True)
class Span:
    """One stay of a case in a stage. `ended_ns` None: it is there still."""

    stage: Stage
    began_ns: int
    ended_ns: int | None = None
    person: str = ""  # who brought it there; "" for the gateway itself
    late: bool = False  # its clock ran out meanwhile

    def lasted_s(self, now_ns: int) -> float:
        """Seconds; 0 where the clock on the wall was set back meanwhile."""
        return max((now_ns if self.ended_ns is None else self.ended_ns) - self.began_ns, 0) / SECOND


def spans(entries: Iterable[Entry]) -> tuple[Span, ...]:
    """The stages of a case, one after the other, from its lines in their order. An end has no length."""
    found: list[Span] = []
    worst: Level | None = None
    for entry in entries:
        rose = entry.what in LEVEL_OF and (worst is None or LEVEL_OF[entry.what] > worst)
        stage = _stage_after(entry, found[-1].stage if found else None, rose and worst is not None)
        worst = LEVEL_OF[entry.what] if rose else worst
        if found and entry.what in LATE:
            found[-1] = replace(found[-1], late=True)
        if stage is not None and (not found or stage is not found[-1].stage):
            if found:
                found[-1] = replace(found[-1], ended_ns=entry.wall_ns)
            over = entry.wall_ns if stage in ENDED else None
            found.append(Span(stage, entry.wall_ns, over, entry.person))
    return tuple(found)


def _stage_after(entry: Entry, now: Stage | None, rose: bool) -> Stage | None:
    """The stage that a line leads to; None: it leaves it as it is. Nothing moves a case that has ended."""
    if now is None:
        return Stage.FOUND
    if now in ENDED:
        return None
    if entry.what == "handed_over":
        return Stage.SENT if now in ANSWERED else None
    return Stage.FOUND if rose else LEADS.get(entry.what)


@dataclass(frozen=True, slots=True)
class Course:
    """A case and the stages it went through, as known at an instant."""

    case: Case
    spans: tuple[Span, ...]
    now_ns: int

    @property
    def stage(self) -> Stage:
        return self.spans[-1].stage

    @property
    def found_ns(self) -> int:
        return self.spans[0].began_ns

    @property
    def is_open(self) -> bool:
        return self.stage not in ENDED

    @property
    def late_now(self) -> bool:
        """Open, and the stage it is in has outrun its clock."""
        return self.is_open and self.spans[-1].late

    def leg_s(self, leg: Stage) -> float:
        """The seconds of all the stages of a leg, however often it came back to them."""
        return sum(span.lasted_s(self.now_ns) for span in self.spans if span.stage in LEGS[leg])

    def entered(self, leg: Stage) -> bool:
        return any(span.stage in LEGS[leg] for span in self.spans)

    def reached(self, leg: Stage) -> bool:
        """Whether it is past the end of a leg. What was called false is handled, and never verified; what
        was returned, or got worse, is back at the beginning.
        """
        return _FAR.get(self.stage, 0) >= _FAR[Stage.CLOSED if leg is Stage.VERIFIED else leg]

    def was_late(self, leg: Stage) -> bool:
        return any(span.late for span in self.spans if span.stage in LEGS[leg])


# ---------------------------------------------------------------- many


@dataclass(slots=True)
class Leg:
    """One leg of many cases."""

    lasted_s: list[float] = field(default_factory=list)  # of those that came to its end
    judged: int = 0  # where it has a clock: that came to its end, or were late before
    late: int = 0

    @property
    def on_time(self) -> float | None:
        return (self.judged - self.late) / self.judged if self.judged else None

    def note(self, course: Course, leg: Stage) -> None:
        late, reached = course.was_late(leg), course.reached(leg)
        if reached:
            self.lasted_s.append(course.leg_s(leg))
        if leg in CLOCKS and (late or reached):
            self.judged, self.late = self.judged + 1, self.late + late


@dataclass(slots=True)
class Tally:
    """The figures of some cases. A merged one is counted in the case that went on with it, and only there;
    one of which nobody was told has nobody who could be late.
    """

    found: int = 0
    closed: int = 0
    open: int = 0
    late_now: int = 0
    merged: int = 0  # beside `found`
    silent: int = 0  # beside `found`
    reopened: int = 0
    again: int = 0
    false: Counter[str] = field(default_factory=Counter)  # reason -> cases; "" where none was given
    levels: Counter[Level] = field(default_factory=Counter)
    legs: dict[Stage, Leg] = field(default_factory=lambda: {leg: Leg() for leg in LEGS})

    def note(self, course: Course) -> None:
        case = course.case
        if case.unheard or course.stage is Stage.MERGED:
            self.silent += case.unheard
            self.merged += not case.unheard
            return
        self.found += 1
        self.closed += course.stage is Stage.CLOSED
        self.open += course.is_open
        self.late_now += course.late_now
        self.reopened += case.reopened
        self.again += case.again > 1
        self.levels[case.level] += 1
        if course.stage is Stage.FALSE:
            self.false[case.reason] += 1
        for leg, one in self.legs.items():
            if course.entered(leg):
                one.note(course, leg)

    @property
    def false_share(self) -> float | None:
        """Of those that ended."""
        false = self.false.total()
        return false / (self.closed + false) if self.closed + false else None

    @property
    def on_time(self) -> float | None:
        """Of all the clocks that were asked for an answer: what a ranking goes by."""
        judged = sum(self.legs[leg].judged for leg in CLOCKS)
        late = sum(self.legs[leg].late for leg in CLOCKS)
        return (judged - late) / judged if judged else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all do not exceed (nearest rank): one that did occur."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)] if values else None


def ranked(groups: Mapping[str, Tally]) -> list[str]:
    """The best first: the larger share in time, then the shorter median to close, then the more cases.

    Of whom no clock has asked anything yet stands last.
    """

    def place(name: str) -> tuple[float, float, int, str]:
        tally = groups[name]
        share, median = tally.on_time, quantile(tally.legs[Stage.CLOSED].lasted_s, 0.5)
        return (1.0 if share is None else -share, median or 0.0, -tally.found, name)

    return sorted(groups, key=place)


# ---------------------------------------------------------------- whose they are


def owner_by(world: World, by: str) -> Callable[[Course], str]:
    """Which group a case belongs to; "" where there is none.

    `by` is a kind of place (street, area, committee, compound …): the nearest such place around it; else a
    role (property …): the unit that held it there when the case was found.
    """
    if any(place.kind == by for place in world.places.values()):
        return lambda course: next(
            (one.id for one in ancestors(world, course.case.place) if one.kind == by), ""
        )
    return lambda course: next(_units(world, course.case.place, by, course.found_ns), "")


def _units(world: World, place: str, role: str, wall_ns: int) -> Iterator[str]:
    for around in ancestors(world, place):
        for post in posts_at(world, role, around.id):
            if holds(world, post, wall_ns):
                yield post.unit
