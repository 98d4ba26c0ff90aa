"""Which open cases should have moved by now: worked out from what is stored alone, not from what the engine
has in mind, so that it finds a timer that was lost, a step that fails again and again, an engine that stands.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.casebook import Casebook
from gateway.core.model import SECOND, Alert, Case, World
from gateway.core.state import State
from gateway.core.telling import Telling

GRACE_NS = 180 * SECOND  # a step that failed is tried again after one minute, and looked after in another


def stalled(world: World, cases: Iterable[Case], alerts: Iterable[Alert], at: int) -> list[Case]:
    """Of the open cases, those whose next step was due more than GRACE_NS before a steady instant, or that
    must move and have none.
    """
    state = State(identity="")
    state.cases = {case.id: case for case in cases}
    state.alerts = {alert.id: alert for alert in alerts}
    telling = Telling(Casebook(world, state))
    return [case for case in state.cases.values() if _is_stalled(telling, case, at)]


def _is_stalled(telling: Telling, case: Case, at: int) -> bool:
    next_at = telling.next_at(case)
    return telling.must_move(case) if next_at is None else next_at + GRACE_NS < at
