"""Pictures of alerts, for any series of values, pauses, answers and restarts."""

from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import Alert, Noted, SnapshotState, Told
from tests.property.test_engine import saying
from tests.unit.test_snapshots import PICTURED, answer, playing, snapshots
from tests.unit.worlds import of

WAITS = (SnapshotState.DUE, SnapshotState.ASKED)
became = st.sampled_from([*Told, "answered", "nothing"])  # of every request that is due, at once
told = st.lists(st.tuples(saying, became), max_size=8)


def play(script, between=lambda found: None):
    found = playing(replace(PICTURED, clear_hold_s=60.0))
    for (slots, seconds), outcome in script:
        between(found)
        found.say(slots)
        between(found)
        for one in snapshots(found):
            if one.state in WAITS and outcome == "answered":
                answer(found, one.id)
            elif one.state in WAITS and outcome != "nothing":
                found.told(one, outcome)
        between(found)
        found.wait(seconds)
    found.wait(200)  # a hold, and an answer waited for
    return found


def restore(found):
    world = found.engine.world
    found.engine = Engine(world, states.load(states.save(found.engine.state)), found.engine.recent)


@given(told)
def test_one_for_each_level_of_each_alert_and_each_comes_to_an_end(script):
    found = play(script)
    reached = {(one.id, level) for one in of(found.effects, Alert) for level, _ in one.rises}
    wanted = [one for one in of(found.effects, Noted) if one.event == "snapshot_wanted"]
    assert {(one.alert, one.level) for one in snapshots(found)} == reached and len(wanted) == len(reached)
    assert all(one.state not in WAITS for one in snapshots(found)) and not found.engine.state.snapshots


@given(told)
def test_restarts_anywhere_ask_for_nothing_else(script):
    assert msgspec.json.encode(play(script, restore).effects) == msgspec.json.encode(play(script).effects)


@given(told)
def test_a_picture_moves_no_alert(script):
    """The very same alerts, whatever becomes of the pictures."""
    nothing = [(saying, "nothing") for saying, _ in script]
    alerts = [[(one.id, one.state, one.level, one.changed_ns) for one in of(play(s).effects, Alert)]
              for s in (script, nothing)]  # fmt: skip
    assert alerts[0] == alerts[1]
