"""A drill goes the real way to real people, says in every text what it is, and is counted in nothing real."""

import json
from dataclasses import replace

import pytest

from gateway.adapters.store import Record, Store
from gateway.core import state as states
from gateway.core.digest import digest
from gateway.core.engine import Engine
from gateway.core.lines import change_line
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Case,
    Cause,
    Kind,
    Level,
    Noted,
    Notification,
    NotificationState,
    Recurrence,
    Stage,
    Step,
    Tick,
    Verb,
)
from gateway.core.state import State
from gateway.core.templates import SAID
from gateway.reporting import drills, tables
from gateway.reporting.gather import gather
from tests.unit.test_case_life import street
from tests.unit.worlds import HOT, SMOKE, START_NS, Play, of

MINUTE, DAY = 60, 86400
AGAIN = replace(SMOKE, recurrence=Recurrence(within_s=DAY, times=2))


def playing(*rules, **changes):
    return Play(Engine(street(*(rules or (HOT, AGAIN)), **changes), State(identity="0000002a")))


def drill(play, name="smoke|cab-1|", person="li", to="", until_s=0):
    until_ns = play.wall() + until_s * SECOND if until_s else 0
    return play.give(
        Act(play.at, play.wall(), name, person, Verb.DRILL, "月度演练", "cli", to=to, until_ns=until_ns)
    )


def do(play, verb, case, person="wang", note="知道了"):
    return play.give(Act(play.at, play.wall(), case, person, verb, note))


def the_case(play):
    return next(one.id for one in of(play.effects, Case) if one.drill)


def texts_of(play):
    return [one for one in of(play.effects, Notification) if one.state is NotificationState.DUE]


def told(play):
    return [(one.person, one.kind) for one in texts_of(play)]


def test_it_climbs_as_the_real_thing_and_every_text_says_what_it_is():
    play = playing()
    drill(play)
    play.wait(20 * MINUTE)
    assert {person for person, _ in told(play)} == {"wang", "li", "zhao"}
    play.wait(10 * MINUTE)
    assert told(play)[-1][1] is Kind.CLEARED
    for one in texts_of(play):
        assert one.drill and one.title.startswith("【演练】") and one.text.startswith("【演练】")
        assert "演练" in SAID["title"](one) and "演练" in SAID["situation"](one), "as an SMS says it"
    assert "演练" in digest([*texts_of(play)[:3]]).title


def test_it_ends_with_the_first_done_and_a_second_person_of_red():
    play = playing()
    drill(play)
    case = the_case(play)
    do(play, Verb.ACKNOWLEDGE, case)
    do(play, Verb.DONE, case)
    assert play.engine.state.alerts == {}
    assert ("li", Kind.VERIFY) in told(play)
    do(play, Verb.VERIFY, case, person="li")
    assert of(play.effects, Case)[-1].stage is Stage.CLOSED
    before = len(play.effects)
    play.wait(DAY)
    assert of(play.effects[before:], Notification) == []


def test_nobody_answering_it_ends_all_the_same():
    play = playing()
    drill(play, until_s=5 * MINUTE)
    play.wait(5 * MINUTE)
    last = of(play.effects, Case)[-1]
    assert (last.stage, last.reason) == (Stage.FALSE, "drill")
    assert (play.engine.state.alerts, play.engine.state.cases) == ({}, {})
    assert of(play.effects, Alert)[-1].state is AlertState.CLEARED


def test_the_real_thing_meanwhile_is_told_as_ever():
    """It neither joins the drill, nor hides behind it, nor recurs because of it."""
    hidden = replace(HOT, inhibited_by=(Cause(rule="smoke"),))
    play = playing(hidden, AGAIN, join_within_s=600.0)
    drill(play)
    do(play, Verb.FALSE, the_case(play))
    drill(play)
    play.say({3: 80.0}, smoke=1)
    real = [one for one in play.engine.state.cases.values() if not one.drill]
    assert [one.rule for one in real] == ["smoke"]
    assert (real[0].again, real[0].level) == (0, Level.RED)
    assert all(not one.title.startswith("【演练】") for one in texts_of(play) if one.case == real[0].id)
    drilled = [one for one in play.engine.state.alerts.values() if one.mode == "drill"]
    assert [one.hidden_by for one in drilled] == [""]
    merge = Act(play.at, play.wall(), real[0].id, "wang", Verb.MERGE, to=drilled[0].case)
    (ignored,) = [one for one in play.give(merge) if isinstance(one, Noted)]
    assert ignored.fields["reason"] == "one of them is a drill"


@pytest.mark.parametrize(
    ("name", "until_s", "reason"),
    [
        ("nothing|cab-1|", 0, "no such rule or device"),
        ("smoke|cab-9|", 0, "no such rule or device"),
        ("", 0, "no such rule or device"),
        ("smoke|cab-1|", DAY + 1, "no end within a day"),
    ],
)
def test_what_is_no_drill(name, until_s, reason):
    play = playing()
    (ignored,) = [one for one in drill(play, name, until_s=until_s) if isinstance(one, Noted)]
    assert ignored.fields["reason"] == reason
    assert play.engine.state.cases == {}


def test_it_is_nobodys_symptom():
    """Behind a real fire nobody would hear of it, and its case would be the fire's."""
    play = playing(replace(HOT, inhibited_by=(Cause(rule="smoke"),)), AGAIN)
    drill(play, "slot-hot|cab-1|slot-3", to="red")
    play.say(smoke=1)
    (drilled,) = [one for one in play.engine.state.alerts.values() if one.mode == "drill"]
    assert (drilled.hidden_by, drilled.case) == ("", the_case(play))


def test_what_was_drilled_and_closed_has_not_happened_before():
    play = playing()
    drill(play)
    do(play, Verb.DONE, the_case(play))
    do(play, Verb.VERIFY, the_case(play), person="li")
    assert of(play.effects, Case)[-1].stage is Stage.CLOSED
    play.say(smoke=1)
    (real,) = play.engine.state.cases.values()
    assert (real.again, play.engine.state.closings) == (0, {})


def test_its_card_says_so_too_when_somebody_has_answered():
    play = playing()
    drill(play)
    play.told(texts_of(play)[0], card="card-1")
    do(play, Verb.ACKNOWLEDGE, the_case(play))
    (change,) = [one for one in texts_of(play) if one.kind is Kind.ANSWERED]
    assert change.title == "【演练】已由王经理接手"


def test_an_empty_post_found_by_a_drill_is_told_of_again_when_it_matters():
    found = street(AGAIN)
    nobody = tuple(post for post in found.posts if post.role != "property")
    supervisor = Step(role="street", by=("inbox",))
    play = playing(AGAIN, posts=nobody, supervisor=supervisor)
    drill(play)
    play.say(smoke=1)
    assert [one.drill for one in texts_of(play) if one.kind is Kind.GAP] == [True, False]


def test_one_at_a_time_on_a_device():
    play = playing()
    drill(play)
    assert "a drill goes on there" in [
        one.fields.get("reason") for one in drill(play, "slot-hot|cab-1|slot-3") if isinstance(one, Noted)
    ]


def test_a_restart_and_another_world_change_nothing():
    plays = [playing(), playing()]
    for number, play in enumerate(plays):
        drill(play, to="red")
        play.wait(2 * MINUTE)
        if number:
            play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
        play.wait(40 * MINUTE)
    assert plays[0].effects == plays[1].effects


def test_the_report_counts_it_apart_with_the_time_to_the_answer(tmp_path):
    play = playing()
    drill(play)
    play.wait(90)
    do(play, Verb.ACKNOWLEDGE, the_case(play))
    play.wait(40 * MINUTE)
    drill(play, until_s=120)
    play.wait(200)
    store = Store(tmp_path)
    store.commit([Record(Tick(1, START_NS), play.effects)])
    now_ns = play.wall()
    found = gather(store.reader(), play.engine.world, START_NS, now_ns, now_ns, "compound")
    store.close()
    assert (found.total.found, found.load.alerts.count, found.load.persons, found.late) == (0, 0, {}, [])
    assert [drills.answer_s(one) for one in found.drills] == [90.0, None]
    assert [row[4:6] for row in drills.rows(found.drills, found.world)] == [
        ("1 分 30 秒", "王经理"), ("无人接手", ""),
    ]  # fmt: skip
    assert drills.trend(found.drills, found.world) == [
        {"month": "2026-11", "drills": 2, "answered": 1, "median_s": 90.0, "slowest_s": 90.0}
    ]
    said = json.loads(json.dumps(tables.as_json(found)))
    assert [one["answer_s"] for one in said["drills"]["found"]] == [90.0, None]


def test_one_that_nobody_answers_is_not_late(tmp_path):
    play = playing()
    drill(play)
    play.wait(10 * MINUTE)
    assert of(play.effects, Case)[-1].overdue
    store = Store(tmp_path)
    store.commit([Record(Tick(1, START_NS), play.effects)])
    found = gather(store.reader(), play.engine.world, START_NS, play.wall(), play.wall(), "compound")
    store.close()
    assert (found.late, len(found.drills)) == ([], 1)


def test_the_database_has_it_under_a_name_of_its_own():
    play = playing()
    drill(play)
    world = play.engine.world
    changes = [one for one in play.effects if isinstance(one, Alert | Case | Notification)]
    assert {change_line(one, world).partition(",")[0] for one in changes} == {
        "drill_alert", "drill_case", "drill_notification",
    }  # fmt: skip


def test_the_command_asks_the_gateway(run, monkeypatch):
    asked = []
    monkeypatch.setattr("gateway.cli_drill.ask_gateway", lambda path, do, **more: asked.append(more) or [])
    found = run("drill", "smoke", "cab-1", "--person", "li", "--level", "red", "--minutes", "10")
    assert found.exit_code == 0
    assert (asked[0]["case"], asked[0]["verb"], asked[0]["to"]) == ("smoke|cab-1|", "drill", "red")
    monkeypatch.setattr("gateway.cli_drill.ask_gateway", lambda *_, **__: ["a drill goes on there"])
    refused = run("drill", "smoke", "cab-1", "--person", "li")
    assert (refused.exit_code, refused.output) == (1, "lilong: drill: a drill goes on there\n")
