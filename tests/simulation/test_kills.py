"""Killed at a thousand points, edited at a thousand: the same is told at the same time."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import Alert, AlertState
from tests.simulation.kills import CHECKPOINT_EVERY, Row, configured, edited, make_row, timing

EVENTS = 700
KILLS = EDITS = 1_000
ONWARDS = 2 * CHECKPOINT_EVERY  # events that each broken run is followed over; some go to the very end
TO_THE_END = 50  # one of so many

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def row(seed) -> Row:
    return make_row(seed % (1 << 16), EVENTS)


def points(row: Row, wanted: int, what: str) -> list[int]:
    """Where to break: every event from which anything followed, and others by lot."""
    dice = random.Random(f"{row.seed}/{what}")
    telling = [index for index, effects in enumerate(row.effects) if effects]
    dice.shuffle(telling)
    found = telling[: wanted // 2]
    return [*found, *(dice.randrange(len(row.events)) for _ in range(wanted - len(found)))]


def test_the_row_has_everything_in_it(row):
    """Every kind of condition raises, and clears."""
    alerts = [effect for effects in row.effects for effect in effects if isinstance(effect, Alert)]
    assert {alert.rule for alert in alerts} >= {
        "slot-hot", "cabinet-smoke", "cabinet-silent", "lift-ebike", "waste-bag", "shed-smoke", "crack",
    }  # fmt: skip
    assert {alert.rule for alert in alerts if alert.state is AlertState.CLEARED} >= {"slot-hot", "lift-ebike"}


def test_a_thousand_kills_change_nothing(row):
    """Killed at a point: loaded from the checkpoint before it, the events behind that told again, then on.

    Whether the last event had been stepped and not committed makes no difference: it is stepped again. Each
    run must come to the very checkpoints of the undisturbed one, so that one that is followed no further
    would have gone on like those which are.
    """
    for number, index in enumerate(points(row, KILLS, "kills")):
        until = len(row.events) if number % TO_THE_END == 0 else min(index + ONWARDS, len(row.events))
        saved = row.before(index)
        engine = Engine(row.world, states.load(saved.body), saved.recent)
        for at in range(saved.index, until):
            if at % CHECKPOINT_EVERY == 0:
                same = states.save(engine.state) == row.checkpoints[at // CHECKPOINT_EVERY].body
                assert same, f"seed {row.seed}: killed at {index}, another state at {at}"
            found = engine.step(row.events[at])
            assert found == row.effects[at], f"seed {row.seed}: killed at {index}, told otherwise at {at}"


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
