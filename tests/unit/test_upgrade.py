"""Starting on what an older version left: what stood stands, and nothing is judged without its hours."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from gateway import telemetry
from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.store import WORLD, Store
from gateway.core import state as states
from gateway.core.model import SECOND, Act, Alert, During, Level, Link, Stage, Verb, World
from gateway.pipeline import Pipeline, judged_last, rebuild
from gateway.upgrades import read_world
from tests.unit.worlds import HOT, SMOKE, START_NS, limits, of, world

STORES = Path(__file__).parent / "stores"
TIPPED = replace(
    SMOKE, id="tipped", says="非投放时段有人投放", quantity="temperature_c",
    limits=limits((Level.YELLOW, 30, 0, None)), during=During(outside="drop_off"),
)  # fmt: skip
HELD = replace(HOT, id="held", limits=limits((Level.YELLOW, 40, 3600, None)))


def as_now() -> World:
    """The same knowledge as this version says it."""
    found = world(rules=(SMOKE, TIPPED, HELD), devices=("cab-1", "cab-2"), digest="now")
    yard = replace(found.places["yard"], windows={"drop_off": ("19:30-21:00",)})
    return replace(found, places={**found.places, "yard": yard})


@pytest.fixture
def store(tmp_path):
    with sqlite3.connect(tmp_path / "lilong.db") as db:
        db.executescript((STORES / "7ddeede.sql").read_text())
    db.close()
    found = Store(tmp_path)
    yield found
    found.close()


def committed(store):
    return [row["id"] for row in store.reader().execute("SELECT id FROM alert ORDER BY id")]


def test_its_checkpoint_loads_with_what_stood(store):
    state = states.load(store.load_checkpoint().body)
    (alert,) = state.alerts.values()
    case = state.cases[alert.case]
    assert (alert.device, case.stage, case.acknowledged_by) == ("cab-1", Stage.ACKNOWLEDGED, "wang")
    assert list(state.tracks) == ["smoke|cab-1|", "held|cab-1|slot-3"]


def test_its_world_keeps_the_hours_of_its_rules(store):
    judged = judged_last(store)
    assert {rule.id: rule.during for rule in judged.rules} == {
        "smoke": None,
        "tipped": During(outside="drop_off"),
        "held": None,
    }
    assert judged == replace(as_now(), digest="7ddeede")


def test_the_log_behind_its_checkpoint_comes_out_as_it_was_told(store):
    """35 C within the window was good; judged without it, an alert would stand of which nobody was told."""
    with telemetry.testing() as seen:
        engine = rebuild(judged_last(store), store)
    assert sorted(engine.state.alerts) == committed(store)
    assert not [said for said in seen if said.event == "log_rejudged"]


def test_a_world_without_its_hours_is_noticed(store):
    """What the fix is for: read as msgspec reads it, the rule would count at every hour. It is said aloud."""
    careless = replace(as_now(), rules=(SMOKE, replace(TIPPED, during=None), HELD))
    with telemetry.testing() as seen:
        engine = rebuild(careless, store)
    assert sorted(engine.state.alerts) != committed(store)
    (said,) = [said for said in seen if said.event == "log_rejudged"]
    assert said.level == "error"


def test_a_start_on_it_goes_on(store):
    """By the files of this version: nobody is told twice, the hold counts from when it began."""
    offered = []
    at, _ = store.last_instant()
    clock = Clock(at, 0, Anchor(time.monotonic_ns(), START_NS + SECOND))
    pipeline = Pipeline(as_now(), store, clock, offered.extend, lambda *_: None)
    since = pipeline.engine.state.tracks["held|cab-1|slot-3"].standings[0].since
    pipeline.start()
    effects = pipeline.submit_in_order(lambda at, wall_ns: Link(at, wall_ns, True)).result(10)
    state = pipeline.engine.state
    assert not of(effects, Alert) and not offered and sorted(state.alerts) == committed(store)
    assert sorted(case.acknowledged_by for case in state.cases.values()) == ["", "wang"]
    assert pipeline.engine.world.digest == "now"
    assert 0 < since == state.tracks["held|cab-1|slot-3"].standings[0].since < SECOND
    (told,) = (case.id for case in state.cases.values() if case.device == "cab-2")
    assert told in [row["id"] for row in store.reader().execute("SELECT id FROM cases")]
    pipeline.submit(lambda at, wall_ns: Act(at, wall_ns, told, "wang", Verb.ACKNOWLEDGE)).result(10)
    assert state.cases[told].acknowledged_by == "wang", "by the link that he was sent"
    pipeline.stop()


def test_a_world_that_says_more_than_we_know_is_not_read_for_less(store):
    body = store.recall(WORLD)
    assert read_world(body) is not None
    said = msgspec.msgpack.decode(body)
    said["rules"][1]["only_when_it_rains"] = True
    assert read_world(msgspec.msgpack.encode(said)) is None
    assert read_world(b"\x93") is None and read_world(msgspec.msgpack.encode([1])) is None


def test_our_own_world_is_read_as_it_was_written():
    body = msgspec.msgpack.encode(as_now())
    assert read_world(body) == as_now()
