"""The clock on every stage of a case: which one counts, and when it has run out.

A span counts from when the stage began. Where only some hours count it is worked out on the wall's clock of
that beginning, and then runs on the steady one: a step of the wall changes no duration.
"""

from __future__ import annotations

from functools import lru_cache

from gateway.core.calendars import MINUTE_NS, Hours, hours_of
from gateway.core.cases import ANSWERED, UNANSWERED
from gateway.core.model import SECOND, Case, Clock, Level, Rule, Stage, World

HOUR_S, DAY_S = 3600.0, 86400.0
DEFAULTS = {  # of a street that says nothing else (domain table 6.1); verification is the project's own
    Level.RED: Clock(
        level=Level.RED, acknowledge_s=120, handle_s=1800, verify_s=4 * HOUR_S, verify_by="person"
    ),
    Level.ORANGE: Clock(level=Level.ORANGE, acknowledge_s=600, handle_s=4 * HOUR_S, verify_s=DAY_S),
    Level.YELLOW: Clock(level=Level.YELLOW, handle_s=DAY_S, verify_s=DAY_S),
}
DAYS_MOST = 120  # working hours are looked for no further


def clock_of(world: World, rule: Rule | None, level: Level) -> Clock | None:
    """The street's entry for a level: the one of the rule's scene before the general one."""
    scene = rule.scene if rule else ""
    fitting = [one for one in world.clocks if one.level is level and one.scene in ("", scene)]
    return max(fitting, key=lambda one: one.scene != "", default=None)


def needs_person(world: World, rule: Rule | None, level: Level) -> bool:
    """Whether somebody other than the doer must look, after the sensor."""
    clock = clock_of(world, rule, level)
    said = (rule.verify if rule else "") or (clock.verify_by if clock else "sensor")
    return said == "person"


def limit_s(world: World, rule: Rule | None, case: Case, standing: bool) -> float:
    """How long the case's present stage may last; 0: as long as it likes.

    Of a rule's span and the street's the shorter one counts. What nobody has taken on and is normal again
    asks no haste, but feedback all the same.
    """
    clock = clock_of(world, rule, case.level) or Clock(level=case.level)
    respond_s, handle_s = (rule.respond_within_s, rule.handle_within_s) if rule else (0.0, 0.0)
    if case.stage in UNANSWERED:
        soon_s = _shorter(respond_s, clock.acknowledge_s) if standing or case.reopened else 0.0
        return soon_s or clock.handle_s
    if case.stage in ANSWERED:
        return _shorter(handle_s, clock.handle_s) if standing else clock.handle_s
    return clock.verify_s if case.stage is Stage.HANDLED else 0.0


def runs_out_ns(world: World, rule: Rule | None, case: Case, standing: bool) -> int | None:
    """The wall instant at which the present stage has lasted too long; None when it never has."""
    span_s = limit_s(world, rule, case, standing)
    if not span_s:
        return None
    began_ns, clock = case.clock_ns or case.opened_ns, clock_of(world, rule, case.level)
    if clock is None or clock.during is None:
        return began_ns + int(span_s * SECOND)
    return counted(hours_of(world, case.place, clock.during), began_ns, span_s)


def runs_out_at(world: World, rule: Rule | None, case: Case, standing: bool) -> int | None:
    """The same on the steady clock; None too where the street has no clocks, and what nobody has taken on
    goes by its ladder alone.
    """
    if case.stage not in ANSWERED and clock_of(world, rule, case.level) is None:
        return None
    until_ns = runs_out_ns(world, rule, case, standing)
    return None if until_ns is None else began_at(case) + until_ns - (case.clock_ns or case.opened_ns)


def began_at(case: Case) -> int:
    """When the present stage's clock began; older stores wrote it down under other names."""
    if case.clock_at is not None:
        return case.clock_at
    return case.climbing_at if case.answered_at is None else case.answered_at


@lru_cache(maxsize=4096)
def counted(hours: Hours, since_ns: int, span_s: float) -> int:
    """The first instant by which so many seconds of those hours have passed since another, to the minute."""
    left_ns, now_ns = int(span_s * SECOND), since_ns
    end_ns = since_ns + int(DAYS_MOST * DAY_S) * SECOND
    while now_ns < end_ns:
        next_ns = (now_ns // MINUTE_NS + 1) * MINUTE_NS
        if hours.hold_at(now_ns):
            if left_ns <= next_ns - now_ns:
                return now_ns + left_ns
            left_ns -= next_ns - now_ns
        now_ns = next_ns
    return end_ns


def _shorter(one_s: float, other_s: float) -> float:
    return min((span_s for span_s in (one_s, other_s) if span_s), default=0.0)
