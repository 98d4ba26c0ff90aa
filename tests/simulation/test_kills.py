"""Killed at a thousand points, edited at a thousand: the same is told at the same time."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain

import pytest

from gateway.core import state as states
from gateway.core.alerts import Phase
from gateway.core.engine import Engine
from gateway.core.model import Alert, AlertState, Level, Messages
from tests.simulation.comparing import configured, edited, timing
from tests.simulation.kills import CHECKPOINT_EVERY, Row, make_row

EVENTS = 700
KILLS = EDITS = 1_000
ONWARDS = 2 * CHECKPOINT_EVERY  # events that each broken run is followed over; some go to the very end
TO_THE_END = 20  # one of so many

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def row(seed) -> Row:
    """The first of five, from this seed on, in which something that was measured also came to its end."""
    rows = (make_row((seed + number) % (1 << 16), EVENTS) for number in range(5))
    return next((one for one in rows if ended(one)), make_row(seed % (1 << 16), EVENTS))


def points(row: Row, wanted: int, what: str) -> list[int]:
    """Where to break: what comes once more, events from which anything followed, and others by lot."""
    dice = random.Random(f"{row.seed}/{what}")
    telling = [index for index, effects in enumerate(row.effects) if effects]
    dice.shuffle(telling)
    found = [*repeated(row), *telling[: wanted // 2]]
    return [*found, *(dice.randrange(len(row.events)) for _ in range(wanted - len(found)))]


def repeated(row: Row) -> list[int]:
    """The events in which the broker delivers something once more."""
    heard = [(index, event) for index, event in enumerate(row.events) if isinstance(event, Messages)]
    return [index for index, event in heard if any(message.again for message in event.items)]


def ended(row: Row) -> bool:
    """Whether the alert of a value has cleared in it."""
    alerts = [effect for effects in row.effects for effect in effects if isinstance(effect, Alert)]
    return any(alert.state is AlertState.CLEARED and alert.value is not None for alert in alerts)


def test_the_row_has_everything_in_it(row):
    """Every kind of condition raises, and clears."""
    alerts = [effect for effects in row.effects for effect in effects if isinstance(effect, Alert)]
    raised = {alert.rule for alert in alerts}
    assert len(raised) > 9 and any(rule.endswith("-silent") for rule in raised), raised
    assert ended(row)
    assert {str(alert.level) for alert in alerts} == {str(level) for level in Level}
    assert len(repeated(row)) > 9


def follow(row: Row, index: int, until: int, make: Callable[..., Engine] = Engine) -> str:
    """What is otherwise after a kill at `index`, up to event `until`; empty when nothing is."""
    saved = row.before(index)
    engine = make(row.world, states.load(saved.body), saved.recent)
    for at in range(saved.index, until):
        kept = row.checkpoints[at // CHECKPOINT_EVERY].body
        if at % CHECKPOINT_EVERY == 0 and states.save(engine.state) != kept:
            return f"seed {row.seed}: killed at {index}, another state at {at}"
        if engine.step(row.events[at]) != row.effects[at]:
            return f"seed {row.seed}: killed at {index}, told otherwise at {at}"
    return ""


def test_a_thousand_kills_change_nothing(row):
    """Killed at a point: loaded from the checkpoint before it, the events behind that told again, then on.

    Whether the last event had been stepped and not committed makes no difference: it is stepped again. Each
    run must also come to the very checkpoints of the undisturbed one.
    """
    for number, index in enumerate(points(row, KILLS, "kills")):
        until = len(row.events) if number % TO_THE_END == 0 else index + ONWARDS
        wrong = follow(row, index, min(until, len(row.events)))
        assert not wrong, wrong


def without_timers(*args) -> Engine:
    engine = Engine(*args)
    engine.timers._heap.clear()
    engine.timers._armed.clear()
    return engine


def without_holds(world, state, recent) -> Engine:
    for track in state.tracks.values():
        for one in track.standings:
            one.since = state.at if one.phase is Phase.PENDING else one.since
    return Engine(world, state, recent)


def without_numbers(world, state, recent) -> Engine:
    state.counter -= 1
    return Engine(world, state, recent)


def without_memory(world, state, recent) -> Engine:
    return Engine(world, state, ())


@pytest.mark.parametrize("make", [without_timers, without_holds, without_numbers, without_memory])
def test_a_bug_in_the_restart_is_seen(row, make):
    """Some of the kill points tell at once when something is not restored."""
    found = points(row, 200, "kills")
    assert any(follow(row, index, min(index + 10 * ONWARDS, len(row.events)), make) for index in found)


def test_a_thousand_edits_change_nothing(row):
    """Edited just before an event, in what concerns nothing that stands: nothing changes."""
    dice = random.Random(f"{row.seed}/edit")
    for number, index in enumerate(points(row, EDITS, "edits")):
        until = len(row.events) if number % TO_THE_END == 0 else min(index + ONWARDS, len(row.events))
        world = edited(row.world, dice, str(number))
        engine = row.resumed(index)
        told = engine.reconfigure(configured(row.events[index], world.digest), world)
        for event in row.events[index:until]:
            told += engine.step(event)
        expected = chain.from_iterable(row.effects[index:until])
        assert timing(told) == timing(expected), f"seed {row.seed}: edit {number} before event {index}"
