"""A day of all five scenes against a known truth: nothing missed, nothing false; and proof it would show."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.adapters.store import Store
from gateway.config import load
from gateway.core import hearing
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Event,
    Kind,
    Link,
    Message,
    Notification,
    Quality,
    Refused,
    Stage,
    Tick,
    World,
)
from gateway.core.quality import Worth
from simulators.incidents import load_script
from simulators.lives import HOUR, MINUTE
from simulators.neighbourhood import Neighbourhood
from simulators.scoring import Score, score, seen_in_effects, seen_in_store
from tests.simulation.day import Day, Outage

ROOT = Path(__file__).parents[2]
STREET = ROOT / "simulators"
START = int(datetime(2026, 11, 2, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * SECOND
OUTAGE = Outage(START + 11 * HOUR, START + 11 * HOUR + 8 * MINUTE)
TOGETHER = 500  # records in one transaction: the day is about what is stored, not about fsync
CONFIG = f"""
broker: {{host: 127.0.0.1, subscribe: [site/#, application/#]}}
directories: {{sites: [{STREET / "site"}]}}
channels: {{wecom: {{kind: inbox}}, sms: {{kind: inbox}}, voice: {{kind: inbox}}}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """The shipped models and rules on the practice street."""
    file = tmp_path_factory.mktemp("config") / "lilong.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    loaded = load(file, "en")
    assert loaded.world, loaded.problems
    return loaded.world


@cache
def the_script():
    return load_script(STREET / "scripts" / "day.yaml", START, ZoneInfo("Asia/Shanghai"))


@dataclass(frozen=True)
class Part:
    """Some scenes of the street, for some hours of the day."""

    scenes: Collection[str] = frozenset({"structure", "lift", "waste", "cabinet", "shed"})
    begins_h: float = 0
    ends_h: float = 24

    def lane(self, world: World, seed: int) -> Neighbourhood:
        devices = {i: d for i, d in world.devices.items() if world.models[d.model].scene in self.scenes}
        script = the_script()
        script = replace(
            script,
            incidents=tuple(one for one in script.incidents if one.device in devices),
            remembered=tuple(one for one in script.remembered if one.device in devices),
        )
        start, end = (START + int(hours * HOUR) for hours in (self.begins_h, self.ends_h))
        return Neighbourhood(replace(world, devices=devices), script, seed=seed, start_ns=start, end_ns=end)


def played(world: World, lane: Neighbourhood, **spoilt) -> Day:
    """The day played to an engine of this world; `spoilt` says what of it is (see Day)."""
    outages = (OUTAGE,) if lane.start_ns < OUTAGE.begins_ns and OUTAGE.ends_ns < lane.end_ns else ()
    return Day(replace(world, devices=lane.world.devices), lane, outages, **spoilt).play()


def scored(day: Day) -> Score:
    return score(day.lane.truths(), seen_in_effects(day.alerts()), day.lane.end_ns)


# ---------------------------------------------------------------- the day


@pytest.fixture(scope="module")
def day(world, seed) -> Day:
    print(f"seed {seed}")
    return played(world, Part().lane(world, seed))


def test_nothing_is_missed_and_nothing_is_false(day):
    result = scored(day)
    print(result)
    assert result.perfect, f"seed {day.lane.seed}\n{result}"
    assert result.played == len(the_script().incidents) and not result.ahead
    assert {truth.rule for truth, _ in result.found} >= {
        "slot-hot", "cabinet-smoke", "cabinet-silent", "lift-ebike", "waste-bag", "tilt-x", "shed-smoke",
    }  # fmt: skip


def test_the_street_itself_says_nothing_wrong(day):
    """A payload refused would be the simulator's mistake, and might hide the engine's."""
    assert [effect for effect in day.effects() if isinstance(effect, Refused)] == []


def test_the_person_responsible_there_is_told_first(day, world):
    """王经理 answers for two committees, 陈师傅 for the third: by place, not by rule."""
    first: dict[str, Notification] = {}
    for effect in day.effects():
        if isinstance(effect, Notification) and effect.kind is Kind.RAISED:
            first.setdefault(effect.case, effect)
    cases = day.cases()
    assert first.keys() == cases.keys()
    for case, told in first.items():
        assert told.person == ("chen" if "heping" in cases[case].place else "wang"), cases[case]


def test_every_case_ends_when_its_sensor_is_well_again(day):
    """Two walls are still beyond their limit, or within its clear time, when the day ends."""
    left = {(case.rule, case.device) for case in day.cases().values() if case.stage is not Stage.CLOSED}
    assert left == {("tilt-x", "tilt-2"), ("crack", "house-yongkang-7-1")}


def test_the_store_tells_the_same_story(day, tmp_path):
    """What `score` reads from a gateway's directory is what the engine decided."""
    store = Store(tmp_path / "state")
    for begin in range(0, len(day.records), TOGETHER):
        store.commit(day.records[begin : begin + TOGETHER])
    store.close()
    seen, last_ns = seen_in_store(tmp_path / "state")
    assert seen == sorted(seen_in_effects(day.alerts()), key=lambda one: (one.reached[0][1], one.alert))
    assert abs(last_ns - day.lane.end_ns) < 2 * MINUTE  # the last word may come a little after midnight
    assert score(day.lane.truths(), seen, last_ns).perfect


def test_the_same_seed_is_the_same_day(world, seed):
    part = Part(ends_h=1)
    once, again = (played(world, part.lane(world, seed)).records for _ in range(2))
    assert once == again


# ---------------------------------------------------------------- canaries: would it show?


def without_hold(world: World) -> World:
    rules = [replace(rule, limits=tuple(replace(x, hold_s=0.0) for x in rule.limits)) for rule in world.rules]
    return replace(world, rules=tuple(rules))


def without_silence(world: World) -> World:
    return replace(world, rules=tuple(rule for rule in world.rules if rule.quantity))


def without_windows(world: World) -> World:
    return replace(world, rules=tuple(replace(rule, during=None) for rule in world.rules))


class TrustsTheLink(Engine):
    """Never hears that the broker is gone, so that every device seems to fall silent."""

    def step(self, event: Event):
        lost = isinstance(event, Link) and not event.up
        return super().step(Tick(event.at, event.wall_ns) if lost else event)


def forgetting_retained(message: Message) -> Message:
    return Message(message.topic, message.payload, again=message.again)


def judging_nothing_odd(heard, reading, lateness_ns, known, wrong_clock):
    """A clock that is wrong makes the reading worthless: hides what happens behind it."""
    return Worth(Quality.AHEAD, judge=False)


@dataclass(frozen=True)
class Canary:
    """A planted bug, and a part of the day in which it must show."""

    part: Part
    world: Callable[[World], World] = lambda world: world
    spoilt: dict = field(default_factory=dict)  # of Day
    patched: dict = field(default_factory=dict)  # of the module that hears


CANARIES = {
    "ignores hold": Canary(Part({"cabinet"}, 15, 16), without_hold),
    "no rule of silence": Canary(Part({"cabinet"}, 5.4, 5.9), without_silence),
    "no windows": Canary(Part({"waste"}, 6, 9), without_windows),
    "windows in UTC": Canary(Part({"waste"}, 1, 9), lambda world: replace(world, timezone="UTC")),
    "retained is news": Canary(Part({"shed"}, 0, 1), spoilt={"heard": forgetting_retained}),
    "an outage is silence": Canary(Part({"cabinet"}, 10.9, 11.3), spoilt={"make": TrustsTheLink}),
    "a wrong clock hides": Canary(Part({"lift"}, 19.4, 20.5), patched={"assess": judging_nothing_odd}),
}


@pytest.mark.parametrize("name", CANARIES)
def test_a_planted_bug_is_seen(name, world, seed, monkeypatch):
    """The same part of the day is perfect without the bug, and not with it, for one seed of three at least:
    what a broker remembers of an hour may by chance be no trouble.
    """
    canary = CANARIES[name]
    for number in (seed, seed + 1, seed + 2):
        lane = canary.part.lane(world, number)
        sound = scored(played(world, lane))
        assert sound.perfect, f"seed {number}\n{sound}"
        with monkeypatch.context() as patch:
            for part, bug in canary.patched.items():
                patch.setattr(hearing, part, bug)
            result = scored(played(canary.world(world), lane, **canary.spoilt))
        if result.missed or result.false:
            return
    raise AssertionError(f"seed {seed}: nobody noticed")
