"""Causes and symptoms: one trouble is one case, and nothing that may be true by itself stays unsaid."""

from dataclasses import replace

import pytest

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    Alert,
    AlertState,
    Case,
    Cause,
    Configured,
    Entry,
    Kind,
    Level,
    NotificationState,
    Place,
    Stage,
    Verb,
)
from gateway.core.state import State
from tests.unit.worlds import HOT, SILENT, SMOKE, START_NS, Play, limits, of, world

SMOKY = replace(SMOKE, limits=limits((Level.ORANGE, 0.5, 0, None), (Level.RED, 1.5, 0, None)))
HIDDEN = replace(HOT, inhibited_by=(Cause(rule="smoke"),), clear_hold_s=60)


def playing(*rules, **changes):
    return Play(Engine(world(rules=rules, **changes), State(identity="0000002a")))


def reload(play, *rules, **changes):
    play.effects += play.engine.reconfigure(
        Configured(play.at, play.wall(), "two"), world(rules=rules, digest="two", **changes)
    )
    play.wait(0)


def due(play):
    return [
        (n.kind, alert_of(play, n).rule) for n in play.notifications() if n.state is NotificationState.DUE
    ]


def alert_of(play, notification):
    return next(one for one in of(play.effects, Alert) if one.id == notification.alert)


def alert(play, rule):
    return [one for one in of(play.effects, Alert) if one.rule == rule][-1]


def case(play, rule):
    return [one for one in of(play.effects, Case) if one.rule == rule][-1]


@pytest.fixture
def play():
    """Smoke first (red), then heat in slot 3 (orange)."""
    found = playing(HIDDEN, SMOKE)
    found.say(smoke=1)
    found.say({3: 70})
    found.wait(10)
    return found


def test_a_symptom_stands_in_its_causes_case_and_tells_nobody(play):
    assert due(play) == [(Kind.RAISED, "smoke")]
    symptom, cause = alert(play, "slot-hot"), alert(play, "smoke")
    assert (symptom.hidden_by, symptom.case, symptom.state) == (cause.id, cause.case, AlertState.FIRING)
    assert list(play.engine.state.cases) == [cause.case]
    (line,) = [one for one in of(play.effects, Entry) if one.what == "symptom"]
    assert line.case == cause.case and "充电仓过热 · cab-1 3号仓" in line.note and "70" in line.note
    assert "alert_hidden" in play.noted()


def test_a_symptom_that_ends_first_is_a_line_in_the_history(play):
    play.say({3: 30})
    play.wait(60)
    assert alert(play, "slot-hot").state is AlertState.CLEARED
    assert due(play) == [(Kind.RAISED, "smoke")], "nobody is told that it is over: smoke goes on"
    assert [one.what for one in of(play.effects, Entry)][-1] == "symptom_ended"


def test_a_cause_that_ends_first_shows_what_is_still_bad(play):
    play.say(smoke=0)
    play.wait(60)
    assert due(play)[1:] == [(Kind.CLEARED, "smoke"), (Kind.RAISED, "slot-hot")]
    shown = alert(play, "slot-hot")
    assert not shown.hidden_by and play.engine.state.cases[shown.case].rule == "slot-hot"


def test_a_cause_called_false_shows_it_at_once(play):
    play.act(case(play, "smoke").id, Verb.FALSE)
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


def test_a_cause_whose_rule_goes_shows_it(play):
    reload(play, HOT)
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


def test_shown_by_an_edit_its_ladder_climbs_without_a_restart(play):
    reload(play, HOT)
    play.wait(300)
    assert due(play)[2:] == [(Kind.ESCALATED, "slot-hot")]


def test_inhibition_taken_out_of_the_rule_shows_it(play):
    reload(play, replace(HOT, clear_hold_s=60), SMOKE)
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


def test_red_is_never_hidden_by_orange():
    play = playing(HIDDEN, SMOKY)
    play.say(smoke=1)
    play.say({3: 70})
    play.wait(10)
    assert due(play) == [(Kind.RAISED, "smoke")]
    play.say({3: 80})
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]
    assert play.notifications()[-1].level is Level.RED


def test_a_symptom_shows_when_its_cause_falls_below_it():
    warm = replace(SMOKY, quantity="temperature_c", clear_hold_s=60,
                   limits=limits((Level.YELLOW, 40, 0, None), (Level.RED, 60, 0, None)))  # fmt: skip
    play = playing(HIDDEN, warm)
    play.say({3: 20}, t=70)
    play.say({3: 70}, t=70)
    play.wait(10)
    assert due(play) == [(Kind.RAISED, "smoke")]
    play.say({3: 70}, t=50)
    play.wait(60)
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


def test_the_lowest_level_that_counts():
    play = playing(replace(HIDDEN, inhibited_by=(Cause(rule="smoke", level=Level.RED),)), SMOKY)
    play.say(smoke=1)
    play.say({3: 70})
    play.wait(10)
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


# ---------------------------------------------------------------- the cause comes later


@pytest.fixture
def late():
    """Heat first (orange), then smoke (red) when the test says so."""
    found = playing(HIDDEN, SMOKE)
    found.say({3: 70})
    found.wait(10)
    return found


def test_a_cause_that_comes_later_takes_over_what_nobody_answered(late):
    late.say(smoke=1)
    symptom, into = case(late, "slot-hot"), case(late, "smoke")
    assert (symptom.stage, symptom.merged_into) == (Stage.MERGED, into.id)
    assert list(late.engine.state.cases) == [into.id] and into.told == ("wang",)
    states_ = {n.alert: n.state for n in late.notifications()}
    assert states_[alert(late, "slot-hot").id] is NotificationState.CANCELLED
    assert states_[alert(late, "smoke").id] is NotificationState.DUE
    late.wait(3600)
    assert not [n for n in due(late)[1:] if n[1] == "slot-hot"], "the merged case climbs no further"


def test_who_was_told_of_the_symptom_hears_of_the_end_of_both(late):
    late.wait(300)
    assert (Kind.ESCALATED, "slot-hot") in due(late)
    late.say({3: 30}, smoke=1)
    late.wait(61)
    late.say(smoke=0)
    late.wait(61)
    assert {n.person for n in late.notifications() if n.kind is Kind.CLEARED} == {"wang", "li"}


def test_it_leaves_alone_what_somebody_is_at(late):
    late.act(case(late, "slot-hot").id, Verb.ACKNOWLEDGE)
    late.say(smoke=1)
    assert case(late, "slot-hot").stage is Stage.ACKNOWLEDGED and not alert(late, "slot-hot").hidden_by


def test_it_does_not_take_over_a_case_that_was_worse():
    play = playing(HIDDEN, SMOKY)
    play.say({3: 80})
    play.say({3: 70})
    play.wait(100)
    play.say(smoke=1)
    assert case(play, "slot-hot").stage is Stage.FOUND, "red was told, and nobody has answered it"


def test_a_cause_of_which_nobody_is_told_hides_nothing():
    for how in ({"mode": "shadow"}, {"steps": ("case", "event")}, {"steps": ("event",)}):
        play = playing(HIDDEN, replace(SMOKE, **how))
        play.say(smoke=1)
        play.say({3: 70})
        play.wait(10)
        assert due(play) == [(Kind.RAISED, "slot-hot")], how


# ---------------------------------------------------------------- where


def test_another_device_is_another_matter():
    play = playing(HIDDEN, SMOKE, devices=("cab-1", "cab-2"))
    play.say(smoke=1, topic="site/cab-2")
    play.say({3: 70})
    play.wait(10)
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


@pytest.mark.parametrize(("symptom_at", "hides"), [("yard", True), ("shed", True), ("street", False)])
def test_at_a_place_means_there_or_inside(symptom_at, hides):
    """Smoke in the yard explains heat in the yard's shed, not heat anywhere in the street."""
    places = {**world().places, "shed": Place(id="shed", says="车棚", kind="point", within="yard")}
    devices = world(devices=("cab-1", "cab-2")).devices
    devices["cab-2"] = replace(devices["cab-2"], at=symptom_at)
    hot = replace(HIDDEN, inhibited_by=(Cause(rule="smoke", at="place"),))
    play = playing(hot, SMOKE, devices=(), places=places)
    play = Play(
        Engine(replace(world(rules=(hot, SMOKE)), places=places, devices=devices), State(identity="0000002a"))
    )
    play.say(smoke=1)
    play.say({3: 70}, topic="site/cab-2")
    play.wait(10)
    assert bool(alert(play, "slot-hot").hidden_by) is hides


# ---------------------------------------------------------------- chains, and restarts


CHAIN = (
    replace(HIDDEN, inhibited_by=(Cause(rule="warm"),)),
    replace(SMOKE, id="warm", quantity="temperature_c", inhibited_by=(Cause(rule="smoke"),),
            limits=limits((Level.RED, 40, 0, None))),
    SMOKE,
)  # fmt: skip


def test_a_chain_opens_one_case_and_falls_apart_link_by_link():
    play = playing(*CHAIN)
    play.say(smoke=1)
    play.say({3: 80}, t=60)
    assert due(play) == [(Kind.RAISED, "smoke")] and len(play.engine.state.cases) == 1
    play.say(smoke=0)
    play.wait(60)
    assert due(play)[1:] == [(Kind.CLEARED, "smoke"), (Kind.RAISED, "warm")]
    assert alert(play, "slot-hot").case == alert(play, "warm").case


def test_a_chain_that_comes_from_its_end_is_one_case_too():
    play = playing(*CHAIN)
    play.say({3: 80})
    play.say(t=60)
    play.say(smoke=1)
    assert list(play.engine.state.cases) == [case(play, "smoke").id]
    assert {one.case for one in play.engine.state.alerts.values()} == {case(play, "smoke").id}


@pytest.mark.parametrize("script", ["shtc", "tshc", "hst"])
def test_a_restart_anywhere_changes_nothing(script):
    """What hides what is asked of the state alone: after any step a new engine finds nothing to put right."""
    saying = {
        "s": lambda play: play.say(smoke=1),
        "h": lambda play: play.say({3: 80}),
        "t": lambda play: play.say(t=60),
        "c": lambda play: play.say(smoke=0),
    }

    def run(again):
        play = playing(*CHAIN)
        for word in script:
            saying[word](play)
            play.wait(61)
            if again:
                play.engine = Engine(
                    world(rules=CHAIN), states.load(states.save(play.engine.state)), play.engine.recent
                )
        return play.effects

    assert run(again=True) == run(again=False)


# ---------------------------------------------------------------- shadow, off, steps


def test_a_shadow_alert_is_there_and_tells_nobody():
    play = playing(replace(SMOKE, mode="shadow"), HOT)
    play.say(smoke=1)
    assert alert(play, "smoke").mode == "shadow" and play.levels() == ["red"]
    assert not play.notifications() and not of(play.effects, Case) and not of(play.effects, Entry)
    play.say(smoke=0)
    play.wait(60)
    assert play.levels() == ["red", "clear"]


def test_out_of_the_shadow_it_tells_at_once():
    play = playing(replace(SMOKE, mode="shadow"), HOT)
    play.say(smoke=1)
    reload(play, SMOKE, HOT)
    assert due(play) == [(Kind.RAISED, "smoke")] and alert(play, "smoke").mode == "live"
    play.wait(3600)
    assert (Kind.ESCALATED, "smoke") in due(play)


def test_into_the_shadow_the_telling_ends_and_the_case_stays():
    play = playing(SMOKE, HOT)
    play.say(smoke=1)
    reload(play, replace(SMOKE, mode="shadow"), HOT)
    assert [n.state for n in play.notifications()] == [NotificationState.DUE, NotificationState.CANCELLED]
    play.wait(7200)
    assert len(play.notifications()) == 2
    open_case = play.engine.state.cases[case(play, "smoke").id]
    play.act(open_case.id, Verb.ACKNOWLEDGE)
    play.say(smoke=0)
    play.act(open_case.id, Verb.DONE)
    play.wait(60)
    assert case(play, "smoke").stage is Stage.CLOSED and len(play.notifications()) == 2


def test_in_the_shadow_nobody_hears_of_the_end_either():
    play = playing(SMOKE, HOT)
    play.say(smoke=1)
    reload(play, replace(SMOKE, mode="shadow"), HOT)
    play.say(smoke=0)
    play.wait(60)
    assert play.levels()[-1] == "clear" and len(play.notifications()) == 2


def test_back_out_of_the_shadow_the_same_case_tells_again():
    play = playing(SMOKE, HOT)
    play.say(smoke=1)
    reload(play, replace(SMOKE, mode="shadow"), HOT)
    reload(play, SMOKE, HOT)
    assert due(play) == [(Kind.RAISED, "smoke")] * 2 and len({one.id for one in of(play.effects, Case)}) == 1


def test_a_cause_that_goes_into_the_shadow_shows_its_symptoms(play):
    reload(play, HIDDEN, replace(SMOKE, mode="shadow"))
    assert due(play)[1:] == [(Kind.RAISED, "slot-hot")]


def test_a_hidden_one_that_goes_into_the_shadow_leaves_its_causes_case(play):
    reload(play, replace(HIDDEN, mode="shadow"), SMOKE)
    assert (alert(play, "slot-hot").case, alert(play, "slot-hot").hidden_by) == ("", "")


def test_without_notify_a_case_opens_silently():
    play = playing(replace(SMOKE, steps=("case", "event")), HOT)
    play.say(smoke=1)
    play.wait(3600)
    assert case(play, "smoke").silent and not play.notifications()
    assert "ladder_missing" not in play.noted()


def test_without_case_nothing_opens():
    play = playing(replace(SMOKE, steps=("event",)), HOT)
    play.say(smoke=1)
    assert play.levels() == ["red"] and alert(play, "smoke").point and not of(play.effects, Case)


def test_without_event_it_is_no_point():
    play = playing(replace(SMOKE, steps=("case", "notify")), HOT)
    play.say(smoke=1)
    assert not alert(play, "smoke").point and due(play) == [(Kind.RAISED, "smoke")]


def test_the_same_event_stepped_again_after_a_crash_does_nothing_twice():
    """Nothing of it was committed: the checkpoint gives the same ids, which every table and channel knows."""
    play = playing(HIDDEN, SMOKE, SILENT)
    play.say(smoke=1)
    before = states.save(play.engine.state), list(play.engine.recent)
    first = play.say({3: 80})
    again = Play(Engine(world(rules=(HIDDEN, SMOKE, SILENT)), states.load(before[0]), before[1]))
    again.effects.clear()
    again.at = play.at
    assert again.say({3: 80}) == first and START_NS
