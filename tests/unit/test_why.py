"""Why an alert fired, from a real store: what an expression read, what hid it, whom it told."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.adapters.store import Record, Store
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Alert, Cause, During, Level, Limit, Rule, Verb
from gateway.core.state import State
from gateway.tuning.why import Why, find, why
from tests.unit.test_whynot import CALM, WARM, Street, disorderly, spiking, weighed, works
from tests.unit.worlds import SILENT, SMOKE, of, world


@dataclass
class Kept(Street):
    """A street whose every event is committed."""

    store: Store | None = None

    def give(self, event):
        found = super().give(event)
        assert self.store is not None
        self.store.commit([Record(event, found)])
        return found

    def why(self, alert: Alert | None = None, **changes: object) -> Why:
        assert self.store is not None
        newest = alert or of(self.effects, Alert)[-1]
        (known,) = find(self.store.reader(), newest.id)
        now = replace(self.engine.world, **changes)  # type: ignore[arg-type]
        return why(self.store.reader(), self.fetch, now, known)


@pytest.fixture
def kept(tmp_path: Path):
    opened = []

    def make(*rules: Rule, model=CALM, **changes) -> Kept:
        opened.append(Store(tmp_path / str(len(opened))))
        given = world(rules=rules, models={"cabinet": model}, **changes)
        return Kept(Engine(given, State(identity="0000002a")), store=opened[-1])

    yield make
    for one in opened:
        one.close()


def test_an_expression_tells_what_it_read(kept) -> None:
    found = kept(weighed("temperature_c - peers(temperature_c)"), devices=("cab-1", "cab-2", "cab-3"))
    for name in ("cab-2", "cab-3"):
        found.say(t=20, topic=f"site/{name}")
    found.wait(1)
    found.say(t=31)
    view = found.why()
    assert [(one.text, one.shown) for one in view.terms] == [
        ("temperature_c", "31 ℃"),
        ("peers(temperature_c) [2/2]", "20 ℃"),
    ]
    assert view.alert.evidence and view.spark


def test_levels_and_what_was_on_its_way(kept) -> None:
    found = kept(WARM)
    found.say(t=50)
    found.wait(30)
    found.say(t=61)
    view = found.why()
    assert [(one.level, one.limit, one.phase, one.since_s) for one in view.armed] == [
        ("yellow", "> 40 ℃", "pending", 30.0),
        ("orange", "> 60 ℃", "firing", 0.0),
    ]
    assert [row.value for row in view.readings] == [50, 61]
    assert (view.origin, view.changed) == ("rules/x.yaml:7", False)
    assert found.why(digest="another").changed


def test_who_was_told_and_the_path(kept) -> None:
    found = kept(WARM)
    found.say(t=50)
    found.wait(60)
    found.say(t=70)
    view = found.why()
    assert [one.what for one in view.path] == ["found", "yellow", "orange"]
    assert ("raised", "wang", "inbox") in {(one.kind, one.person, one.channel) for one in view.told}
    found.act(found.case().id, Verb.ACKNOWLEDGE)
    assert [one.what for one in found.why().path] == ["found", "yellow", "orange"], "levels, not deeds"


def test_a_path_holds_no_level_of_another_alert_in_the_case(kept) -> None:
    found = kept(WARM, SMOKE, join_within_s=120)
    found.say(smoke=1)
    found.wait(1)
    found.say(t=70)
    smoke, warm = of(found.effects, Alert)[0], of(found.effects, Alert)[-1]
    assert smoke.case == warm.case and smoke.rule != warm.rule
    assert [one.what for one in found.why(smoke).path] == ["found", "red"]
    assert [one.what for one in found.why(warm).path] == ["found", "orange"]


def test_a_symptom_names_its_cause(kept) -> None:
    found = kept(SMOKE, replace(WARM, inhibited_by=(Cause(rule="smoke"),)))
    found.say(smoke=1)
    found.say(t=70)
    view = found.why()
    assert view.alert.hidden_by in view.beside and view.told == ()


def test_the_shadow_told_nobody(kept) -> None:
    found = kept(replace(WARM, mode="shadow"))
    found.say(t=70)
    view = found.why()
    assert view.alert.mode == "shadow" and view.case is None and view.told == () and view.path == ()


def test_when_it_counts_and_what_works_went_on(kept) -> None:
    night = replace(SMOKE, during=During(outside="06:00-18:00"), quantity="smoke")
    found = kept(night, maintenance=works())
    found.say(smoke=1)
    view = found.why()
    assert view.during == "outside 06:00-18:00" and view.works.startswith("更换风扇 (wang")


def test_marks_on_the_readings_are_counted(kept) -> None:
    red = replace(WARM, limits=(Limit(level=Level.RED, above=60.0),))
    found = kept(red, model=spiking())
    for heat in (20, 20, 20, 20, 20, 70):
        found.say(t=heat)
        found.wait(60)
    assert found.why().marks == (("spike", 1),)
    found = kept(WARM)
    disorderly(found)
    found.say(t=70, ts=found.wall() // SECOND + 1)
    assert ("disorder", 1) in found.why().marks


def test_silence_has_no_value(kept) -> None:
    found = kept(SILENT)
    found.say(t=20)
    found.wait(400)
    view = found.why()
    assert view.alert.value is None and view.alert.heard_ns and view.terms == () and view.armed == ()


def test_of_a_rule_or_device_that_is_gone_the_store_still_tells(kept) -> None:
    found = kept(WARM)
    found.say(t=70)
    view = found.why(rules=())
    assert (view.says, view.numbers, view.origin) == ("warm", (), "rules/x.yaml:7")
    assert found.why(devices={}).told and found.why(devices={}).place == ""


def test_by_the_beginning_the_end_or_the_case(kept) -> None:
    found = kept(WARM, SMOKE)
    found.say(t=70)
    alert, case = of(found.effects, Alert)[-1], found.case().id
    db = found.store.reader()
    assert [one.id for one in find(db, alert.id[-5:])] == [alert.id] == [one.id for one in find(db, case)]
    assert find(db, "zz") == []
    found.say(smoke=1)
    assert len(find(db, alert.id[:2])) == 2, "more than one begins so"


def test_those_that_nobody_was_told_of_stay_on_a_list(folder, run) -> None:
    """Hidden behind the smoke, in the shadow, and the smoke itself: all stand, two of them untold."""
    hidden = replace(WARM, id="hidden", inhibited_by=(Cause(rule="smoke"),))
    shadow = replace(WARM, id="shadow", mode="shadow")
    given = world(rules=(SMOKE, hidden, shadow, replace(WARM, id="over")), models={"cabinet": CALM})
    with closing(Store(folder / "state")) as store:
        found = Kept(Engine(given, State(identity="0000002a")), store=store)
        found.say(smoke=1, t=70)
        found.say(t=70)
        found.wait(120)
        cause = next(one.id for one in found.engine.state.alerts.values() if one.rule == "smoke")
    listed = {words: run("alerts", *words).output for words in ((), ("--hidden",), ("--shadow",))}
    rules = {
        words: set(re.findall(r"\b(smoke|hidden|shadow|over)  ", text)) for words, text in listed.items()
    }
    assert rules == {
        (): {"smoke", "hidden", "shadow", "over"}, ("--hidden",): {"hidden"}, ("--shadow",): {"shadow"},
    }  # fmt: skip
    assert f"behind {cause}" in listed["--hidden",]
