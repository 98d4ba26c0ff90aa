"""After the answer: it may run out, the trouble may come back, an alarm may wait to be reset."""

from dataclasses import replace

import msgspec
import pytest

from gateway.core.alerts import ACTIVE, Phase
from gateway.core.caseload import RETURN_NS, Step
from gateway.core.cases import ENDED, TURNS
from gateway.core.deeds import TURN_OF
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Case,
    Cause,
    Entry,
    Kind,
    NotificationState,
    Person,
    Stage,
    Told,
    Verb,
)
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, Play, of, world

BRIEF = replace(SMOKE, handle_within_s=1800)
QUICK = replace(HOT, clear_hold_s=0)
AWHILE_S = RETURN_NS // SECOND


def playing(*rules, **changes):
    return Play(Engine(world(rules=rules, **changes), State(identity="0000002a")))


def told(play):
    return [(n.person, n.kind) for n in play.notifications() if n.state is NotificationState.DUE]


def words(play):
    return [one.what for one in of(play.effects, Entry)]


def deliver(play):
    for one in list(play.engine.state.notifications.values()):
        play.told(one)


# ---------------------------------------------------------------- an acknowledgement runs out


@pytest.fixture
def taken():
    """Smoke, told to Wang, who took it on at once and must be done within half an hour."""
    play = playing(BRIEF)
    play.say(smoke=1)
    deliver(play)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    return play


def test_not_handled_in_time_is_nobodys_again(taken):
    taken.wait(1799)
    assert told(taken) == [("wang", Kind.RAISED)]
    taken.wait(1)
    assert told(taken)[1:] == [("wang", Kind.OVERDUE), ("li", Kind.OVERDUE)]
    case = taken.case()
    assert (case.stage, case.acknowledged_by) == (Stage.SENT, "") and "expired" in words(taken)
    last = taken.notifications()[-1]
    assert last.title.startswith("【红色报警，接手后未处理完】")
    assert "王经理已接手，但30 分钟内没有处理完。" in last.text


def test_it_climbs_on_from_there(taken):
    """Red: the last rung again and again, until somebody takes it on; the next rungs keep their distance."""
    taken.wait(1800)
    taken.wait(899)
    assert told(taken)[3:] == []
    deliver(taken)
    taken.wait(901)
    assert told(taken)[3:] == [("li", Kind.ESCALATED)]
    taken.act(taken.case().id, Verb.ACKNOWLEDGE, "li")
    deliver(taken)
    taken.wait(1799)
    assert len(told(taken)) == 4 and taken.case().acknowledged_by == "li"
    taken.wait(1)
    assert ("li", Kind.OVERDUE) in told(taken)[4:], "the second acknowledgement runs out like the first"


def test_handled_or_normal_in_time_is_left_in_peace(taken):
    taken.say(smoke=0)
    taken.wait(3600)
    assert Kind.OVERDUE not in [kind for _, kind in told(taken)]
    assert taken.case().stage is Stage.ACKNOWLEDGED


def test_a_bounce_gives_the_time_anew(taken):
    taken.wait(1000)
    taken.act(taken.case().id, Verb.DONE)
    deliver(taken)
    taken.wait(1799)
    assert Kind.OVERDUE not in [kind for _, kind in told(taken)]
    taken.wait(1)
    assert Kind.OVERDUE in [kind for _, kind in told(taken)]


def test_it_runs_out_after_a_restart_too(taken):
    taken.wait(1000)
    taken.engine = Engine(world(rules=(BRIEF,)), taken.engine.state)
    taken.wait(799)
    assert len(told(taken)) == 1
    taken.wait(1)
    assert len(told(taken)) == 3


def test_without_handle_within_an_acknowledgement_holds():
    play = playing(SMOKE)
    play.say(smoke=1)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.wait(100_000)
    assert told(play) == [("wang", Kind.RAISED)]


# ---------------------------------------------------------------- back at the worst level


def acknowledged():
    play = playing(QUICK)
    play.say({3: 80})
    deliver(play)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.wait(61)  # yellow and orange stand too
    return play


def falls_for(play, seconds):
    play.say({3: 60})  # yellow is held as long as the value is above 50; red and orange go
    play.wait(61)
    play.say({3: 57})
    play.wait(seconds)
    play.say({3: 80})


def test_a_return_after_a_while_is_told_to_whoever_is_at_it():
    play = acknowledged()
    falls_for(play, AWHILE_S)
    assert told(play) == [("wang", Kind.RAISED), ("wang", Kind.RISEN)]
    assert play.case().stage is Stage.ACKNOWLEDGED, "the ladder does not begin again"


def test_a_short_dip_is_not():
    play = acknowledged()
    play.say({3: 60})
    play.wait(AWHILE_S - 1)
    play.say({3: 80})
    assert told(play) == [("wang", Kind.RAISED)]


def test_half_way_back_is_not_either():
    play = acknowledged()
    play.say({3: 57})
    play.wait(400)
    play.say({3: 70})
    play.wait(100)
    assert told(play) == [("wang", Kind.RAISED)] and play.levels()[-1] == "orange"
    play.say({3: 80})
    assert told(play)[1:] == [("wang", Kind.RISEN)], "counted from when it left red"


def test_a_return_after_done_bounces_and_is_not_told_twice():
    play = playing(replace(HOT, clear_hold_s=1000))
    play.say({3: 80})
    deliver(play)
    play.wait(61)
    play.say({3: 57})
    play.wait(900)
    play.say({3: 30})
    play.act(play.case().id, Verb.DONE)
    play.wait(100 + AWHILE_S)
    assert play.levels()[-1] == "yellow" and play.case().stage is Stage.HANDLED
    before = len(told(play))
    play.say({3: 80})
    assert told(play)[before:] == [("wang", Kind.BOUNCED)]


def test_whoever_is_gone_cannot_be_told_so_the_ladder_begins_again():
    play = playing(QUICK)
    play.say({3: 80})
    play.act(play.case().id, Verb.ACKNOWLEDGE, "gone")
    play.wait(61)
    falls_for(play, AWHILE_S)
    assert told(play)[1:] == [("wang", Kind.RISEN)] and play.case().stage is Stage.FOUND


def test_a_ladder_that_still_climbs_goes_on_undisturbed():
    """Else an alert that comes and goes every six minutes would never reach the upper rungs."""
    slow = {level: (steps[0], replace(steps[1], after_s=3000)) for level, steps in world().ladders.items()}
    play = playing(QUICK, ladders=slow)
    play.say({3: 80})
    deliver(play)
    play.wait(61)
    for _ in range(7):
        play.say({3: 57})
        play.wait(AWHILE_S + 60)
        play.say({3: 80})
        deliver(play)
    assert told(play)[1:] == [("wang", Kind.RISEN)] * 7
    play.wait(3000 - 61 - 7 * (AWHILE_S + 60))
    assert told(play)[-1] == ("li", Kind.ESCALATED)


def test_a_ladder_that_is_used_up_begins_again():
    orange = replace(QUICK, limits=QUICK.limits[:2])
    play = playing(orange)
    play.say({3: 70})
    play.wait(10)
    deliver(play)
    play.wait(300)
    deliver(play)
    play.wait(10_000)
    assert len(told(play)) == 2
    play.say({3: 57})
    play.wait(AWHILE_S)
    play.say({3: 70})
    play.wait(10)
    assert told(play)[2:] == [("wang", Kind.RISEN)]
    play.wait(300)
    assert told(play)[3:] == [("li", Kind.ESCALATED)]


# ---------------------------------------------------------------- everyone told is told of the end


def test_everyone_who_was_told_hears_of_the_end():
    ladder = world().ladders
    play = playing(SMOKE, ladders=ladder)
    play.say(smoke=1)
    deliver(play)
    play.wait(300)
    deliver(play)
    play.act(play.case().id, Verb.ACKNOWLEDGE, "li")
    play.say(smoke=0)
    play.wait(61)
    assert sorted(told(play)[2:]) == [("li", Kind.CLEARED), ("wang", Kind.CLEARED)]
    assert play.case().told == ("wang", "li")


def test_who_took_it_on_without_being_told_hears_of_it_too():
    persons = {**world().persons, "zhao": Person(id="zhao", says="赵工", unit="jw", reach={"inbox": "zhao"})}
    play = playing(SMOKE, persons=persons)
    play.say(smoke=1)
    deliver(play)
    play.act(play.case().id, Verb.ACKNOWLEDGE, "zhao")
    play.say(smoke=0)
    play.wait(61)
    assert ("zhao", Kind.CLEARED) in told(play) and ("wang", Kind.CLEARED) in told(play)


def test_ten_thousand_repeats_are_one_alert_with_their_count():
    play = playing(SMOKE)
    for _ in range(10_000):
        play.say(smoke=1)
        play.at += SECOND // 10
    play.say(smoke=0)
    play.wait(60)
    assert len({one.id for one in of(play.effects, Alert)}) == 1
    last = of(play.effects, Alert)[-1]
    assert (last.count, last.value, last.state) == (10_000, 0.0, AlertState.CLEARED)


# ---------------------------------------------------------------- latched


def turn(play, phase):
    """What the engine does to a track: its standing levels go into a phase, and the caseload is told."""
    step = Step(play.at, play.wall())
    for track in play.engine.state.tracks.values():
        for one in track.standings:
            one.phase = phase if one.phase in ACTIVE else one.phase
        play.engine.cases.level_moved(step, track, play.engine.cases.rules[track.rule])
    play.effects += step.effects


def act(play, verb, note="", case=""):
    step = Step(play.at, play.wall())
    play.engine.cases.act(step, Act(play.at, play.wall(), case or play.case().id, "wang", verb, note))
    play.effects += step.effects
    return step.resets


@pytest.fixture
def latched():
    play = playing(SMOKE)
    play.say(smoke=1)
    deliver(play)
    turn(play, Phase.LATCHED)
    return play


def test_latched_says_so_to_everyone_told(latched):
    alert = of(latched.effects, Alert)[-1]
    assert alert.state is AlertState.LATCHED and "latched" in words(latched)
    last = latched.notifications()[-1]
    assert last.kind is Kind.LATCHED and last.title.startswith("【已恢复，须人工复位】充电柜烟雾")
    assert "传感器已恢复，须人工复位" in last.text and "复位前不能结案" in last.text


def test_it_is_said_once(latched):
    turn(latched, Phase.LATCHED)
    assert words(latched).count("latched") == 1


def test_a_latched_case_does_not_close_before_its_reset(latched):
    act(latched, Verb.DONE)
    assert latched.case().stage is Stage.HANDLED
    latched.wait(7200)
    assert latched.case().stage is Stage.HANDLED
    assert act(latched, Verb.RESET, "现场确认无烟") == ["smoke|cab-1|"]
    turn(latched, Phase.CALM)
    assert latched.case().stage is Stage.CLOSED
    (line,) = [one for one in of(latched.effects, Entry) if one.what == "reset"]
    assert (line.person, line.note) == ("wang", "现场确认无烟")


def test_while_one_level_still_rings_nothing_is_normal():
    play = playing(HOT)
    play.say({3: 80})
    play.wait(61)
    (track,) = play.engine.state.tracks.values()
    track.standings[-1].phase = Phase.LATCHED
    play.engine.cases.level_moved(Step(play.at, play.wall()), track, HOT)
    assert [one.state for one in play.engine.state.alerts.values()] == [AlertState.FIRING]


@pytest.mark.parametrize("note", ["", "  "])
def test_a_reset_needs_a_reason(latched, note):
    assert act(latched, Verb.RESET, note) == [] and "reset" not in words(latched)
    assert "act_ignored" in latched.noted()


def test_what_still_rings_cannot_be_reset():
    play = playing(SMOKE)
    play.say(smoke=1)
    assert act(play, Verb.RESET, "别响了") == [] and "act_ignored" in play.noted()


def test_called_false_it_can_still_be_reset(latched):
    act(latched, Verb.FALSE)
    assert latched.case().stage is Stage.FALSE
    assert act(latched, Verb.RESET, "烟感误报") == ["smoke|cab-1|"]


def test_a_latched_one_that_gets_bad_again_bounces_to_the_doer(latched):
    act(latched, Verb.DONE)
    turn(latched, Phase.FIRING)
    assert latched.case().stage is Stage.HANDLING and told(latched)[-1] == ("wang", Kind.BOUNCED)
    assert of(latched.effects, Alert)[-1].state is AlertState.FIRING


def test_a_latched_cause_hides_nothing():
    """The sensor no longer says so: heat goes on without smoke, and must be told."""
    play = playing(replace(HOT, inhibited_by=(Cause(rule="smoke"),)), SMOKE)
    play.say(smoke=1)
    play.say({3: 80})
    step = Step(play.at, play.wall())
    track = play.engine.state.tracks["smoke|cab-1|"]
    for one in track.standings:
        one.phase = Phase.LATCHED
    play.engine.cases.level_moved(step, track, SMOKE)
    play.effects += step.effects
    assert [one.kind for one in of(step.effects, type(play.notifications()[0]))] == [
        Kind.LATCHED,
        Kind.RAISED,
    ]


# ---------------------------------------------------------------- the table


def case_in(stage):
    """An engine whose one case is in a stage."""
    play = playing(SMOKE)
    play.say(smoke=1)
    deliver(play)
    state = play.engine.state
    state.cases = {
        name: msgspec.structs.replace(one, stage=stage, handled_by="wang", acknowledged_by="wang")
        for name, one in state.cases.items()
    }
    return play


@pytest.mark.parametrize("verb", TURN_OF)
@pytest.mark.parametrize("stage", [one for one in Stage if one not in (*ENDED, Stage.VERIFIED)])
def test_a_move_that_the_table_does_not_have_changes_nothing(stage, verb):
    play = case_in(stage)
    before = msgspec.json.encode(play.engine.state)
    (case,) = play.engine.state.cases
    found = play.act(case, verb)
    if (stage, TURN_OF[verb]) in TURNS:
        assert of(found, Case) and of(found, Entry)
    else:
        assert [one.event for one in found] == ["act_ignored"]
        assert msgspec.json.encode(play.engine.state) == before


def test_refused_everywhere_is_tried_up_the_ladder_also_when_overdue(taken):
    taken.wait(1800)
    for one in list(taken.engine.state.notifications.values()):
        taken.told(one, Told.REFUSED, detail="no such address")
    taken.wait(1200)
    assert told(taken)[-1][1] is Kind.ESCALATED
