"""Who is told of a case: empty posts, several roles, copies, quiet hours, firms that change at midnight."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Configured,
    Entry,
    Kind,
    Leave,
    Level,
    NotificationState,
    Person,
    Post,
    Stage,
    Step,
    Tick,
    Told,
    Verb,
)
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, Play, of, world

RED = (Step(role="property", by=("inbox",)), Step(role="committee", by=("inbox",), after_s=300))


def playing(*, wang_away=False, **changes) -> Play:
    base = world(rules=(HOT, SMOKE))
    persons = {
        **base.persons,
        "zhou": Person(id="zhou", says="周值班", unit="jw", reach={"inbox": "zhou"}),
        "ma": Person(id="ma", says="马工", unit="firm", reach={"inbox": "ma"}),
    }
    if wang_away:
        leave = (Leave(since=date(2026, 11, 1), until=date(2026, 11, 4)),)
        persons["wang"] = replace(persons["wang"], leave=leave)
    posts = (*base.posts, Post(role="street", at="street", unit="jw", person="zhou", since=date(2026, 1, 1)))
    changes = {"persons": persons, "posts": posts, **changes}
    return Play(Engine(replace(base, **changes), State(identity="0000002a")))


def told(play) -> list[tuple[str, Kind]]:
    return [(one.person, one.kind) for one in play.notifications() if one.state is NotificationState.DUE]


def entries(play) -> list[tuple[str, str]]:
    return [(one.what, one.person) for one in of(play.effects, Entry)]


# ---------------------------------------------------------------- empty posts

SUPERVISOR = Step(role="street", by=("inbox",))


def test_an_empty_post_falls_back_in_the_same_step_and_its_supervisor_hears_of_it_once():
    play = playing(wang_away=True, fallback={"property": ("committee",)}, supervisor=SUPERVISOR)
    play.say(smoke=1)
    assert told(play) == [("zhou", Kind.GAP), ("li", Kind.RAISED)], "no time has passed"
    gap = play.notifications()[0]
    assert gap.title.startswith("【岗位空缺】") and "向阳小区 物业（王经理休假，无人代理）" in gap.text
    assert ("post_empty", "") in entries(play) and play.noted().count("post_empty") == 1
    play.say({3: 80})  # another case of the same gap
    assert [kind for _, kind in told(play)] == [Kind.GAP, Kind.RAISED, Kind.RAISED]
    assert play.noted().count("post_empty") == 2, "in each case, and counted"


def test_a_gap_that_was_filled_is_told_of_anew():
    play = playing(wang_away=True, fallback={"property": ("committee",)}, supervisor=SUPERVISOR)
    play.say(smoke=1)
    play.wait(2 * 86_400)
    play.say({3: 80})  # he is back
    assert not play.engine.state.gaps
    assert told(play)[-1] == ("wang", Kind.RAISED)


def test_without_a_supervisor_nothing_is_owed_to_him():
    play = playing(wang_away=True)
    play.say(smoke=1)
    assert told(play) == [("li", Kind.RAISED)] and not play.engine.state.gaps


# ---------------------------------------------------------------- several, and copies


def test_several_roles_of_a_step_are_responsible_together_and_a_copy_is_not():
    step = Step(role=("property", "committee"), by=("inbox",), copy=("street",))
    play = playing(ladders={level: (step, replace(RED[1], after_s=600)) for level in Level})
    play.say(smoke=1)
    assert told(play) == [("wang", Kind.RAISED), ("li", Kind.RAISED), ("zhou", Kind.COPIED)]
    case = play.case()
    assert (case.responsible, case.told, case.copies) == ("wang", ("wang", "li"), ("zhou",))
    copy = play.notifications()[-1]
    assert "抄送" in copy.title and "您无需接手" in copy.text


@pytest.mark.parametrize("verb", [Verb.ACKNOWLEDGE, Verb.DONE, Verb.FALSE])
def test_whatever_a_copy_presses_stops_nothing(verb):
    step = Step(role="property", by=("inbox",), copy=("street",))
    play = playing(ladders={level: (step, RED[1]) for level in Level})
    play.say(smoke=1)
    case = play.case()
    play.act(case.id, verb, "zhou")
    assert play.case().stage is Stage.FOUND and ("copy_seen", "zhou") in entries(play)
    play.wait(300)
    assert ("li", Kind.ESCALATED) in told(play)
    play.act(case.id, Verb.ACKNOWLEDGE, "li")
    assert play.case().stage is Stage.ACKNOWLEDGED


def test_who_is_only_informed_is_not_told_for_whoever_is_responsible():
    """Neither a copy that arrives nor the notice of a gap has told anybody who must answer."""
    step = Step(role="property", by=("inbox",), copy=("street",))
    ladders = {level: (step, RED[1]) for level in Level}
    play = playing(
        ladders=ladders, fallback={"property": ("committee",)}, supervisor=SUPERVISOR, wang_away=True
    )
    play.say(smoke=1)
    gap, responsible, copy = play.notifications()
    assert (gap.kind, responsible.kind, copy.kind) == (Kind.GAP, Kind.RAISED, Kind.COPIED)
    play.told(gap)
    assert play.case().stage is Stage.FOUND
    play.told(copy, Told.REFUSED)
    assert play.case().rung == 1, "the one who must answer has not refused"
    play.told(responsible)
    assert play.case().stage is Stage.SENT


def test_a_copy_under_way_holds_nothing_up():
    step = Step(role="property", by=("inbox",), copy=("street",))
    play = playing(ladders={level: (step, RED[1]) for level in Level})
    play.say(smoke=1)
    play.told(play.notifications()[0], Told.REFUSED)
    assert told(play)[-1] == ("li", Kind.ESCALATED)


def test_who_was_informed_first_and_is_responsible_now_may_take_it_on():
    step = Step(role="property", by=("inbox",), copy=("committee",))
    play = playing(ladders={level: (step, RED[1]) for level in Level})
    play.say(smoke=1)
    play.wait(300)
    assert [kind for who, kind in told(play) if who == "li"] == [Kind.COPIED, Kind.ESCALATED]
    play.act(play.case().id, Verb.ACKNOWLEDGE, "li")
    assert play.case().acknowledged_by == "li"


def test_a_copy_is_not_told_again_with_every_repetition_and_hears_of_the_end():
    step = Step(role="property", by=("inbox",), copy=("street",))
    play = playing(ladders={level: (step,) for level in Level})
    play.say(smoke=1)
    for one in list(play.notifications()):
        play.told(one)
    play.wait(3600)
    assert [kind for who, kind in told(play) if who == "zhou"] == [Kind.COPIED]
    play.say(smoke=0)
    play.wait(120)
    assert ("zhou", Kind.CLEARED) in told(play)


def test_one_of_two_who_must_answer_stops_nothing():
    play = playing(acknowledge_by={"cabinet.red": 2})
    play.say(smoke=1)
    case = play.case().id
    play.act(case, Verb.ACKNOWLEDGE, "wang")
    play.act(case, Verb.ACKNOWLEDGE, "wang")
    assert play.case().stage is Stage.FOUND and play.case().agreed == ("wang",)
    play.wait(300)
    assert ("li", Kind.ESCALATED) in told(play)
    play.act(case, Verb.ACKNOWLEDGE, "zhou")
    assert play.case().stage is Stage.ACKNOWLEDGED and play.case().acknowledged_by == "zhou"
    before = len(told(play))
    play.wait(3600)
    assert len(told(play)) == before


def test_where_the_ladder_finds_one_person_only_one_is_enough():
    play = playing(acknowledge_by={"red": 2}, ladders={level: RED[:1] for level in Level})
    play.say(smoke=1)
    play.act(play.case().id, Verb.ACKNOWLEDGE, "wang")
    assert play.case().stage is Stage.ACKNOWLEDGED


def test_a_higher_level_begins_the_counting_anew():
    play = playing(acknowledge_by={"orange": 2, "red": 2})
    play.say({3: 70})
    play.wait(15)
    play.say({3: 70})
    play.act(play.case().id, Verb.ACKNOWLEDGE, "wang")
    assert play.case().agreed == ("wang",)
    play.say({3: 80})
    assert play.case().level is Level.RED and play.case().agreed == ()


def test_a_scene_climbs_its_own_ladder():
    own = (Step(role="street", by=("inbox",)),)
    play = playing(scene_ladders={"cabinet.red": own})
    play.say(smoke=1)
    assert told(play) == [("zhou", Kind.RAISED)]


# ---------------------------------------------------------------- quiet hours: it is 20:00

QUIET = {"yellow": "20:00-07:00", "orange": "20:00-07:00"}
NIGHT = 11 * 3600


def yellow(play) -> None:
    play.say({3: 56})
    play.wait(60)
    play.say({3: 56})


def test_a_night_yellow_waits_for_the_morning_and_its_ladder_with_it():
    play = playing(quiet=QUIET)
    yellow(play)
    (waiting,) = play.notifications()
    assert waiting.due_at == NIGHT * SECOND and ("quiet", "") in entries(play)
    play.wait(NIGHT - 60 - 1)
    assert told(play) == [("wang", Kind.RAISED)], "nobody higher up by night"
    play.wait(302)
    assert told(play)[-1] == ("li", Kind.ESCALATED) and play.notifications()[-1].due_at >= NIGHT * SECOND


def test_red_always_breaks_through():
    play = playing(quiet={**QUIET, "red": "20:00-07:00"})
    play.say(smoke=1)
    assert play.notifications()[0].due_at == play.at


def test_a_night_yellow_that_turns_red_is_told_at_once():
    play = playing(quiet=QUIET)
    yellow(play)
    play.say({3: 80})
    assert told(play)[-1] == ("wang", Kind.RISEN) and play.notifications()[-1].due_at == play.at
    cancelled = [one for one in play.notifications() if one.state is NotificationState.CANCELLED]
    assert [one.kind for one in cancelled] == [Kind.RAISED]


def test_what_began_by_day_climbs_no_further_by_night():
    play = playing(quiet={"yellow": "20:03-07:00"})
    yellow(play)
    assert play.notifications()[0].due_at == play.at
    play.wait(NIGHT - 120)
    assert told(play) == [("wang", Kind.RAISED)]
    play.wait(500)
    assert told(play)[-1] == ("li", Kind.ESCALATED)


def test_a_night_yellow_that_is_over_is_told_once_in_the_morning():
    play = playing(quiet=QUIET)
    yellow(play)
    play.say({3: 40})
    play.wait(400)
    play.say({3: 40})
    waiting = [one for one in play.engine.state.notifications.values()]
    assert [(one.person, one.kind, one.due_at) for one in waiting] == [("wang", Kind.CLEARED, NIGHT * SECOND)]


def test_whoever_is_at_work_by_night_hears_at_once():
    """He says done, the sensor says no: that is nothing for the morning."""
    play = playing(quiet=QUIET)
    yellow(play)
    play.act(play.case().id, Verb.ACKNOWLEDGE, "wang")
    play.act(play.case().id, Verb.DONE, "wang")
    assert told(play)[-1] == ("wang", Kind.BOUNCED) and play.notifications()[-1].due_at == play.at


def test_after_a_restart_by_night_it_still_waits():
    play = playing(quiet=QUIET)
    yellow(play)
    again = Play(Engine(play.engine.world, states.load(states.save(play.engine.state))), at=play.at)
    again.wait(NIGHT - 60 - 1)
    assert not again.notifications()
    again.wait(302)
    assert told(again) == [("li", Kind.ESCALATED)]


# ---------------------------------------------------------------- another firm at midnight

TURN = date(2026, 11, 3)
MIDNIGHT = 4 * 3600


def replaced(**changes) -> Play:
    old, committee = world().posts
    posts = (
        replace(old, until=TURN),
        Post(role="property", at="yard", unit="firm", person="ma", since=TURN),
        committee,
    )
    slow = (RED[0], replace(RED[1], after_s=6 * 3600))
    return playing(**{"posts": posts, "ladders": dict.fromkeys(Level, slow), **changes})


def test_an_unanswered_case_goes_to_the_new_firm_and_both_are_told():
    play = replaced()
    play.say(smoke=1)
    play.told(play.notifications()[0])
    play.wait(MIDNIGHT - 1)
    assert play.case().responsible == "wang" and len(told(play)) == 1
    play.wait(1)
    assert play.case().responsible == "ma"
    assert told(play)[1:] == [("wang", Kind.HANDED_OVER), ("ma", Kind.TAKEN_OVER)]
    assert ("handed_over", "ma") in entries(play) and "case_handed_over" in play.noted()
    assert "由徐房物业马工接任" in play.notifications()[-1].text
    play.wait(3600)
    assert entries(play).count(("handed_over", "ma")) == 1


def test_what_the_old_firm_had_taken_on_is_nobodys_until_the_new_one_says_so():
    play = replaced()
    play.say(smoke=1)
    play.act(play.case().id, Verb.ACKNOWLEDGE, "wang")
    play.wait(MIDNIGHT)
    case = play.case()
    assert (case.stage, case.acknowledged_by, case.responsible) == (Stage.SENT, "", "ma")
    play.wait(6 * 3600 - 1)
    assert told(play)[-1] == ("ma", Kind.TAKEN_OVER)
    play.wait(1)
    assert told(play)[-1] == ("li", Kind.ESCALATED), "the next step counts from the handover"
    play.act(case.id, Verb.ACKNOWLEDGE, "ma")
    assert play.case().acknowledged_by == "ma"


def test_what_somebody_above_has_taken_on_stays_theirs():
    play = replaced()
    play.say(smoke=1)
    play.act(play.case().id, Verb.ACKNOWLEDGE, "li")
    play.wait(MIDNIGHT + 3600)
    assert play.case().acknowledged_by == "li" and ("handed_over", "ma") not in entries(play)


def test_a_box_that_was_down_at_midnight_hands_over_when_it_is_back():
    play = replaced()
    play.say(smoke=1)
    again = Play(
        Engine(play.engine.world, states.load(states.save(play.engine.state))), at=MIDNIGHT * SECOND + 9
    )
    again.wait(1)
    assert again.case().responsible == "ma"


def test_a_post_that_an_edit_has_ended_is_handed_over_too():
    play = replaced()
    play.say(smoke=1)
    after = play.engine.world
    ended = (
        replace(after.posts[0], until=date(2026, 11, 2)),
        replace(after.posts[1], since=date(2026, 11, 2)),
    )
    after = replace(after, posts=(*ended, after.posts[2]), digest="two")
    play.effects += play.engine.reconfigure(Configured(play.at, play.wall(), "two"), after)
    play.wait(1)
    assert play.case().responsible == "ma"


def test_the_clock_on_the_wall_put_back_hands_nothing_over_early():
    """The timer was set for midnight; then an hour is put in."""
    play = replaced()
    play.say(smoke=1)
    late = MIDNIGHT * SECOND
    play.effects += play.engine.step(Tick(late, play.wall() + late - 3600 * SECOND))
    assert play.case().responsible == "wang"
    play.effects += play.engine.step(Tick(late + 3600 * SECOND, play.wall() + late))
    assert play.case().responsible == "ma"


def test_refused_at_the_new_firm_it_goes_on_climbing():
    play = replaced()
    play.say(smoke=1)
    play.wait(MIDNIGHT)
    for one in [one for one in play.notifications() if one.state is NotificationState.DUE]:
        if one.id in play.engine.state.notifications:
            play.told(one, Told.REFUSED)
    assert told(play)[-1] == ("li", Kind.ESCALATED)
