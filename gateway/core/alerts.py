"""The life of one level of one rule on one subject, as a table.

CALM -bad-> PENDING -held long enough-> FIRING -good-> CLEARING -good long enough-> CALM
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gateway.core.model import Level, Verdict


class Phase(IntEnum):
    CALM = 0
    PENDING = 1
    FIRING = 2
    CLEARING = 3
    LATCHED = 4  # normal again, until a person resets it


TURNS = {
    (Phase.CALM, Verdict.BAD): Phase.PENDING,
    (Phase.PENDING, Verdict.GOOD): Phase.CALM,
    (Phase.FIRING, Verdict.GOOD): Phase.CLEARING,
    (Phase.CLEARING, Verdict.BAD): Phase.FIRING,
}
AT_ONCE = -(1 << 62)  # before any steady instant, also those before a new store's first
ACTIVE = (Phase.FIRING, Phase.CLEARING, Phase.LATCHED)  # the alert stands


class Standing(msgspec.Struct):
    """Where one level stands. `since` and `not_before` are steady instants."""

    level: Level
    phase: Phase = Phase.CALM
    since: int = 0
    not_before: int = AT_ONCE  # a late word may be taken back by the next one: wait for it until then


def turn(one: Standing, verdict: Verdict, at: int, not_before: int = AT_ONCE) -> None:
    """Moves by one verdict given at an instant. UNKNOWN is in no row: it moves nothing."""
    turned = TURNS.get((one.phase, verdict))
    if turned is not None:
        one.phase, one.since, one.not_before = turned, at, not_before


def due_at(one: Standing, hold_ns: int, clear_hold_ns: int) -> int | None:
    """When time alone moves it; None when only a reading can."""
    if one.phase is Phase.PENDING:
        return max(one.since + hold_ns, one.not_before)
    if one.phase is Phase.CLEARING:
        return max(one.since + clear_hold_ns, one.not_before)
    return None


def expire(one: Standing, hold_ns: int, clear_hold_ns: int, now: int) -> None:
    """Moves by the passing of time up to `now`."""
    due = due_at(one, hold_ns, clear_hold_ns)
    if due is not None and due <= now:
        one.phase = Phase.FIRING if one.phase is Phase.PENDING else Phase.CALM
        one.since = due
