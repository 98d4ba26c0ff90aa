"""Seams between expressions, groups, arming, latches, tuning and edits: each part is right alone."""

from __future__ import annotations

from dataclasses import replace

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    Basis,
    Case,
    Cause,
    Codec,
    Configured,
    During,
    Level,
    LevelTuning,
    Limit,
    Link,
    Maintenance,
    Message,
    Messages,
    Rule,
    Tuning,
    Verb,
    Wave,
)
from gateway.core.state import State
from gateway.core.watches import has_component
from tests.unit.worlds import CABINET, SMOKE, START_NS, TOPIC, Play, of, payload, rule, world

CALM = replace(CABINET, expect_every_s=60.0)
BASIS = Basis(text="test", confidence="D")
TRUE = (Limit(level=Level.RED, equals=1.0),)


def play(*rules: Rule, devices=("cab-1",), model=CALM, **changes) -> Play:
    street = world(rules=rules, devices=devices, models={"cabinet": model}, **changes)
    return Play(Engine(street, State(identity="0000002a")))


def restart(found: Play) -> None:
    state = states.load(states.save(found.engine.state))
    found.engine = Engine(found.engine.world, state, found.engine.recent)


def edit(found: Play, **changes) -> None:
    street = replace(found.engine.world, **{"digest": "two", **changes})
    found.effects += found.engine.reconfigure(Configured(found.at, found.wall(), street.digest), street)


# ---------------------------------------------------------------- a latch, and what people said before


def test_a_new_fire_after_a_latched_false_alarm_is_told():
    """ "False" was said of what stood then. Latched, it was normal in between: the next smoke is news."""
    found = play(replace(SMOKE, latch=True))
    found.say(smoke=1)
    found.act(of(found.effects, Case)[-1].id, Verb.FALSE)
    found.say(smoke=0)
    found.wait(7200)
    told = len(found.notifications())
    found.say(smoke=1)
    assert len(found.notifications()) > told, "nobody is told of a fire"


def test_a_latched_alert_is_bad_again_by_its_limit_not_by_its_clear_limit():
    found = play(rule(limits=(Limit(level=Level.RED, above=60, clear=50),), latch=True))
    found.say(t=70)
    found.say(t=40)
    assert of(found.effects, Alert)[-1].state == "latched"
    found.say(t=55)
    assert of(found.effects, Alert)[-1].state == "latched", "55 raises nothing"


# ---------------------------------------------------------------- windows: one fails, others live


def test_a_full_window_does_not_starve_the_windows_of_other_rules(monkeypatch):
    monkeypatch.setattr("gateway.core.measures.SAMPLES_MOST", 5)
    found = play(
        rule("count(temperature_c > 99, 1h)", id="greedy"),
        rule("count(smoke > 0.5, 3s)", "smoke", above=2.5, id="safety"),
    )
    for _ in range(7):
        found.say(t=20, smoke=0)
        found.wait(1)
    assert [key.partition("|")[0] for key in found.engine.state.disabled] == ["greedy"]
    for _ in range(3):
        found.say(t=20, smoke=1)
        found.wait(1)
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- clocks


def say_ahead(found: Play, **values) -> None:
    """One word while the wall clock was ten years ahead; then it is set back."""
    ahead = 10 * 365 * 86400 * SECOND
    found.wall = lambda: START_NS + found.at + ahead  # type: ignore[method-assign]
    found.say(**values)
    del found.wall


def test_a_wall_clock_set_back_does_not_freeze_what_is_known():
    found = play(rule("temperature_c + 0", above=50.0))
    say_ahead(found, t=20)
    found.wait(60)
    found.say(t=80)
    assert found.levels() == ["red"]


def test_a_wall_clock_set_back_while_we_were_down_does_not_freeze_what_is_known():
    """How far ahead anything lies is remembered beside the state: an engine made anew finds it out."""
    found = play(rule("temperature_c + 0", above=50.0))
    say_ahead(found, t=20)
    restart(found)
    found.wait(60)
    found.say(t=80)
    assert found.levels() == ["red"]


def test_a_wall_clock_set_back_does_not_freeze_a_window():
    found = play(rule("count(temperature_c > 50, 10m)", above=2.5))
    say_ahead(found, t=20)
    for _ in range(3):
        found.wait(60)
        found.say(t=80)
    assert found.levels() == ["red"]


def test_a_sample_from_ahead_that_is_not_believed_freezes_nothing():
    model = replace(CALM, wrong_clock="hold")
    found = play(rule("temperature_c + 0", above=50.0), model=model)
    said = START_NS // SECOND
    found.say(t=20, ts=said + 10**8)
    found.wait(60)
    found.say(t=80, ts=said + 60)
    assert found.levels() == ["red"]


def test_of_two_words_of_one_second_the_last_is_known():
    found = play(rule("temperature_c + 0", above=50.0))
    said = START_NS // SECOND
    both = [Message(TOPIC, payload(t=heat, ts=said)) for heat in (20, 80)]
    found.give(Messages(found.at, found.wall(), both))
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- what is a reading


THREE = (Limit(level=Level.RED, above=50.0, readings=(3, 3)),)


def test_the_same_value_looked_at_each_minute_is_one_reading():
    found = play(rule(limits=THREE, during=During(inside="00:00-24:00")))
    found.say(t=60)
    found.wait(600)
    assert found.levels() == []
    found.say(t=60)
    found.say(t=60)
    assert found.levels() == ["red"]


def test_a_window_that_time_moves_is_no_reading():
    limits = (Limit(level=Level.RED, above=0.5, readings=(3, 3)),)
    found = play(rule("times(smoke > 0.5, 10m)", "smoke", limits=limits))
    found.say(smoke=0)
    for _ in range(2):
        found.say(smoke=1)
        found.wait(10)
    found.wait(3600)
    assert found.levels() == []


WARM = "members(slot_temperature_c > 50)"


def test_a_message_of_eight_slots_is_one_reading_of_their_group():
    limits = (Limit(level=Level.RED, above=1.5, readings=(3, 3)),)
    found = play(rule(WARM, "slot_temperature_c", limits=limits, group="device"))
    slots = dict.fromkeys(range(1, 9), 60)
    found.say(slots)
    assert found.levels() == []
    (track,) = found.engine.state.tracks.values()
    assert track.count == 1
    found.wait(60)
    found.say(slots)
    found.wait(60)
    found.say(slots)
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- edits


def test_a_spell_that_is_over_does_not_fire_under_another_way_of_holding():
    of_window = (Limit(level=Level.RED, above=50.0, hold_s=120, within_s=3600),)
    found = play(rule(limits=of_window))
    found.say(t=60)
    found.wait(60)
    found.say(t=20)
    found.wait(300)
    plain = (Limit(level=Level.RED, above=50.0, hold_s=120),)
    edit(found, rules=(rule(limits=plain),))
    found.wait(600)
    assert found.levels() == []


def test_readings_that_are_over_do_not_fire_under_a_hold():
    found = play(rule(limits=(Limit(level=Level.RED, above=50.0, readings=(3, 9)),)))
    found.say(t=60)
    found.say(t=20)
    edit(found, rules=(rule(limits=(Limit(level=Level.RED, above=50.0, hold_s=30),)),))
    found.wait(600)
    assert found.levels() == []


def test_what_is_kept_over_another_question_does_not_rise_by_time_alone():
    limits = (Limit(level=Level.YELLOW, above=50.0), Limit(level=Level.RED, above=60.0, hold_s=120))
    found = play(rule(limits=limits))
    found.say(t=70)
    assert found.levels() == ["yellow"]
    edit(found, rules=(rule("temperature_c - 15", limits=limits, if_changed="keep"),))
    found.wait(600)
    assert found.levels() == ["yellow"], "the new question never said red"


# ---------------------------------------------------------------- groups


TWO = "all(temperature_c > 50)"


def test_a_late_word_of_one_member_does_not_hold_for_all():
    """That all are warm is true since the last of them got warm."""
    limits = (Limit(level=Level.RED, equals=1.0, hold_s=240),)
    found = play(rule(TWO, limits=limits, group="place"), devices=("cab-1", "cab-2"))
    found.say(t=20)
    found.say(t=20, topic="site/cab-2")
    found.wait(400)
    now = (START_NS + found.at) // SECOND
    found.say(t=60, topic="site/cab-2", ts=now)
    found.say(t=60, ts=now - 300)
    found.wait(120)
    assert found.levels() == []
    found.say(t=60)  # both still speak: a hold of what nobody knows any more would wait
    found.say(t=60, topic="site/cab-2")
    found.wait(110)
    assert found.levels() == []
    found.wait(20)
    assert found.levels() == ["red"]


def test_a_group_is_not_held_by_works_at_one_of_its_members():
    found = play(
        rule("any(smoke > 0.5)", "smoke", limits=(Limit(level=Level.ORANGE, equals=1.0),), group="place"),
        devices=("cab-1", "cab-2"),
        maintenance=(Maintenance(device="cab-1", says="检修", by="wang"),),
    )
    found.say(smoke=0)
    found.say(smoke=1, topic="site/cab-2")
    assert found.levels() == ["orange"]


def test_a_group_is_judged_by_one_rule_though_a_member_is_tuned():
    """A level that is off for the member that speaks must not stop the Link, nor its timers."""
    limits = (Limit(level=Level.YELLOW, above=0.5, hold_s=60), Limit(level=Level.RED, above=1.5))
    tuned = Tuning(rule="weighed", device="cab-2", levels={Level.YELLOW: LevelTuning(off=True)}, because="x")
    found = play(
        rule("members(smoke > 0.5)", "smoke", limits=limits, group="place"),
        devices=("cab-1", "cab-2"),
        tunings=(tuned,),
    )
    found.say(smoke=0)
    found.say(smoke=1, topic="site/cab-2")
    found.give(Link(found.at, found.wall(), True))
    found.wait(120)
    assert found.levels() == ["yellow"] and "timer_failed" not in found.noted()
    restart(found)
    found.say(smoke=0, topic="site/cab-2")
    assert found.levels() == ["yellow", "clear"]


# ---------------------------------------------------------------- edits under cases


def test_an_alert_that_joins_a_case_of_the_shadow_is_told():
    """Live, shadow for a while, live again: the case of then is silent, the next alert of it must not be."""
    hot = rule(above=50.0)
    found = play(hot)
    found.say(t=60)
    edit(found, rules=(replace(hot, mode="shadow"),), digest="two")
    found.wait(1)
    found.say(t=20)
    edit(found, rules=(hot,), digest="three")
    found.wait(3600)
    told = len(found.notifications())
    found.say(t=60)
    assert len(found.notifications()) > told


def test_a_symptom_whose_device_goes_with_its_cause_does_not_stop_the_reload():
    symptom = rule(id="symptom", above=50.0, inhibited_by=(Cause(rule="cause", at="place"),))
    cause = rule(id="cause", quantity="smoke")
    found = play(symptom, cause, devices=("cab-1", "cab-2"))
    found.say(smoke=1)
    found.say(t=60, topic="site/cab-2")
    assert found.noted().count("alert_hidden") == 1
    devices = {name: one for name, one in found.engine.world.devices.items() if name != "cab-2"}
    edit(found, rules=(symptom,), devices=devices)
    assert found.engine.state.alerts == {}


# ---------------------------------------------------------------- restart


def test_a_restart_knows_every_component_of_every_model():
    """Else its alert would end with each start as one of a device that is gone."""
    wave = replace(CALM, codec=Codec(kind="waveform", wave=Wave(axes={"x": "x", "y": "y"}, unit="mm/s")))
    for model in (CALM, wave):
        for kind in ("", *model.kinds):
            assert all(has_component(model, part) for part in model.parts(kind)) and model.parts(kind)
    assert not has_component(CALM, "slot-9") and not has_component(CALM, "axis-x")


def test_a_wake_that_was_put_off_is_put_off_over_a_restart_too():
    """A look that came too early in one engine and not in the other would count otherwise."""

    def run(restarts: bool) -> list:
        found = play(rule("times(smoke > 0.5, 2s)", "smoke", above=0.5))
        for index in range(40):
            found.say(smoke=index % 3 == 1)
            found.wait(0.7)
            if restarts:
                restart(found)
        found.wait(20)
        return found.effects

    assert run(True) == run(False)
