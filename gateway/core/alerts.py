"""The life of one level of one rule on one subject, as a table.

CALM -bad-> PENDING -sustained-> FIRING -good-> CLEARING -good long enough-> CALM, or LATCHED until a reset

Sustained is one of: bad for `hold` on end; bad for `hold` in all within `within`; so many readings of the
last so many. `core.arming` tells which.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.core.model import SECOND, Level, Limit, Rule, Verdict


class Phase(IntEnum):
    CALM = 0
    PENDING = 1
    FIRING = 2
    CLEARING = 3
    LATCHED = 4  # good again, and waiting for a person to reset it


TURNS = {
    (Phase.CALM, Verdict.BAD): Phase.PENDING,
    (Phase.PENDING, Verdict.GOOD): Phase.CALM,
    (Phase.FIRING, Verdict.GOOD): Phase.CLEARING,
    (Phase.CLEARING, Verdict.BAD): Phase.FIRING,
    (Phase.LATCHED, Verdict.BAD): Phase.FIRING,
}
AT_ONCE = -(1 << 62)  # before any steady instant, also those before a new store's first
ACTIVE = (Phase.FIRING, Phase.CLEARING, Phase.LATCHED)  # the alert stands
UNENDED = (Phase.FIRING, Phase.CLEARING)  # and has not been good for long enough: it goes by its clear limit


class Standing(msgspec.Struct):
    """Where one level stands. `since`, `not_before` and `fired` are steady instants."""

    level: Level
    phase: Phase = Phase.CALM
    since: int = 0
    not_before: int = AT_ONCE  # a late word may be taken back by the next one: wait for it until then
    fired: int = 0  # when it last went from PENDING to FIRING
    bits: int = 0  # of `readings`: the last ones, 1 for bad, the newest lowest
    bad: list[tuple[int, int]] = []  # of `within`: from when to when it was bad; the open one ends at OPEN
    waits: bool = False  # its time came while its value was not known: the next known word moves it


OPEN = 1 << 62  # still bad


def turn(one: Standing, limit: Limit, verdict: Verdict, at: int, not_before: int = AT_ONCE) -> None:
    """Moves by one verdict given at an instant. UNKNOWN is in no row: it moves nothing."""
    if verdict is Verdict.UNKNOWN:
        return
    one.waits = False
    if one.phase not in ACTIVE and (limit.readings or limit.within_s):
        _gather(one, limit, verdict, at, not_before)
        return
    turned = TURNS.get((one.phase, verdict))
    if turned is not None:
        one.phase, one.since, one.not_before = turned, at, not_before


def _gather(one: Standing, limit: Limit, verdict: Verdict, at: int, not_before: int) -> None:
    """What does not ask for bad on end: a good reading in between takes nothing back."""
    bad = verdict is Verdict.BAD
    if limit.readings:
        one.bits = (one.bits << 1 | bad) & (1 << limit.readings[1]) - 1
        pending = one.bits != 0
    else:
        one.bad = _noted(one.bad, bad, at, at - int(limit.within_s * SECOND))
        pending = bool(one.bad)
    if bad and one.phase is Phase.CALM:
        one.not_before = not_before
    if bad and (limit.readings or one.phase is Phase.CALM):
        one.since = at
    one.phase = Phase.PENDING if pending else Phase.CALM


def _noted(spells: list[tuple[int, int]], bad: bool, at: int, oldest: int) -> list[tuple[int, int]]:
    """The spells with one more verdict, without those that ended before `oldest`."""
    kept = [spell for spell in spells if spell[1] > oldest]
    is_open = bool(kept) and kept[-1][1] == OPEN
    if bad and not is_open:
        return [*kept, (at, OPEN)]
    if is_open and not bad:
        return [*kept[:-1], (kept[-1][0], max(at, kept[-1][0]))]
    return kept


def due_at(one: Standing, limit: Limit, rule: Rule, quiet_ns: int = 0) -> int | None:
    """When time alone moves it; None when only a reading can.

    `quiet_ns`: it must be good at least so long before it ends.
    """
    if one.waits:
        return None
    if one.phase is Phase.PENDING:
        sustained = _sustained_at(one, limit)
        return None if sustained is None else max(sustained, one.not_before)
    if one.phase is Phase.CLEARING:
        least = one.fired + int(rule.min_on_s * SECOND)
        return max(one.since + max(clear_ns(limit, rule), quiet_ns), least, one.not_before)
    return None


def _sustained_at(one: Standing, limit: Limit) -> int | None:
    """When what is pending fires, or, of spells none of which is open, is forgotten."""
    if limit.readings:
        return one.since if one.bits.bit_count() >= limit.readings[0] else None
    if not limit.within_s:
        return one.since + int(limit.hold_s * SECOND)
    if not one.bad:
        return None
    until = one.bad[-1][1]
    if until == OPEN:
        return _filled_at(one.bad, int(limit.hold_s * SECOND), int(limit.within_s * SECOND))
    return until + int(limit.within_s * SECOND)


def _filled_at(spells: list[tuple[int, int]], hold_ns: int, within_ns: int) -> int:
    """The first instant before which it was bad for `hold` of the last `within`, should it stay bad.

    Spells that have slid out of the window no longer count, so that the fewest that suffice are looked for:
    the newest first.
    """
    since = spells[-1][0]
    best = since + hold_ns
    gathered = 0
    for begun, ended in reversed(spells[:-1]):
        gathered += ended - begun
        filled = since + max(hold_ns - gathered, 0)
        best = min(best, max(filled, since)) if filled - begun <= within_ns else best
    return best


def expire(one: Standing, limit: Limit, rule: Rule, now: int, quiet_ns: int = 0, known: bool = True) -> None:
    """Moves by the passing of time up to `now`; what is not `known` then moves by its next word."""
    due = due_at(one, limit, rule, quiet_ns)
    if due is None or due > now:
        return
    if not known:
        one.waits = True
        return
    if one.phase is Phase.CLEARING:
        one.phase = Phase.LATCHED if rule.latch else Phase.CALM
    elif limit.within_s and one.bad[-1][1] != OPEN:
        one.phase = Phase.CALM
    else:
        one.phase, one.fired = Phase.FIRING, due
    one.since, one.bits, one.bad = due, 0, []


def reset(one: Standing) -> bool:
    """A person says that what is latched is in order; False when there is nothing to reset."""
    if one.phase is not Phase.LATCHED:
        return False
    one.phase = Phase.CALM
    return True


def drop_pending(one: Standing) -> None:
    """What was gathered of a question that is no longer asked."""
    if one.phase is Phase.PENDING:
        one.phase = Phase.CALM
    one.bits, one.bad = 0, []


def refit(one: Standing, limit: Limit) -> None:
    """What is pending, under a limit that an edit may let gather in another way: what is bad now goes on,
    what was bad before does not fire by time alone.
    """
    if one.phase is not Phase.PENDING or (limit.within_s and one.bad):
        return
    if limit.readings and one.bits:
        one.bits &= (1 << limit.readings[1]) - 1
        one.phase = Phase.PENDING if one.bits else Phase.CALM
        return
    since = one.bad[-1][0] if one.bad else one.since
    is_over = (bool(one.bits) and not one.bits & 1) or (bool(one.bad) and one.bad[-1][1] != OPEN)
    drop_pending(one)
    if not is_over:
        one.phase, one.since, one.bits = Phase.PENDING, since, int(bool(limit.readings))
        one.bad = [(since, OPEN)] if limit.within_s else []


def clear_ns(limit: Limit, rule: Rule) -> int:
    """How long a level must be good before it is over."""
    return int((rule.clear_hold_s if limit.clear_hold_s is None else limit.clear_hold_s) * SECOND)
