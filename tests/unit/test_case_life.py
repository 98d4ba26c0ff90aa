"""The whole life of a case (domain table 6.1): every turn, a clock on every stage, who verifies."""

from dataclasses import replace

import msgspec
import pytest

from gateway.core import photos
from gateway.core import state as states
from gateway.core.cases import ENDED, FALSE_REASONS, TURNS, Sheet, sheet_of
from gateway.core.clocks import DEFAULTS
from gateway.core.deeds import GUARDED, TURN_OF, turn_of
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    Case,
    Clock,
    During,
    Entry,
    Kind,
    Level,
    Message,
    Messages,
    NotificationState,
    Person,
    Photo,
    Post,
    Recurrence,
    Stage,
    Step,
    Tick,
    Told,
    Verb,
)
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, START_NS, Play, of, payload, world

CLOCKS = tuple(DEFAULTS.values())
HOUR, DAY = 3600, 86400
LADDER = (
    Step(role="property", by=("inbox",)),
    Step(role="committee", by=("inbox",), after_s=300),
    Step(role="street", by=("inbox",), after_s=900),
)
QUIET = replace(HOT, clear_hold_s=0, limits=HOT.limits[:1], respond_within_s=0.0)  # yellow only


def street(*rules, **changes):
    """wang for the property firm, li for the committee, zhao for the street; the shipped clocks."""
    found = world(rules=rules)
    zhao = Person(id="zhao", says="赵队长", unit="jw", reach={"inbox": "zhao"})
    post = Post(role="street", at="street", unit="jw", person="zhao", since=found.posts[0].since)
    parts = {
        "persons": {**found.persons, "zhao": zhao},
        "posts": (*found.posts, post),
        "ladders": dict.fromkeys(Level, LADDER),
        "clocks": CLOCKS,
    }
    return replace(found, **{**parts, **changes})


def playing(*rules, **changes):
    return Play(Engine(street(*rules, **changes), State(identity="0000002a")))


@pytest.fixture
def fire():
    """Smoke in the cabinet; Wang has been told."""
    play = playing(SMOKE)
    play.say(smoke=1)
    deliver(play)
    return play


def deliver(play):
    for one in list(play.engine.state.notifications.values()):
        play.told(one)


def told(play):
    return [(n.person, n.kind) for n in play.notifications() if n.state is NotificationState.DUE]


def words(play):
    return [one.what for one in of(play.effects, Entry)]


def do(play, verb, person="wang", note="", case="", **more):
    name = case or next(iter(play.engine.state.cases))
    return play.give(Act(play.at, play.wall(), name, person, verb, note, **more))


def case(play):
    return next(iter(play.engine.state.cases.values()))


def ignored(effects):
    return [one.fields["reason"] for one in effects if getattr(one, "event", "") == "act_ignored"]


# ---------------------------------------------------------------- the table

FITTING = {  # what an act needs to be one that could be done
    Verb.TRANSFER: {"to": "committee"},
    Verb.RETURN: {"note": "不归我管"},
    Verb.SUSPEND: {"note": "等配件", "until_ns": START_NS + 600 * SECOND},
    Verb.APPROVE: {"person": "li"},
    Verb.VERIFY: {"person": "li"},
    Verb.MERGE: {"to": "other"},
    Verb.NOTE: {"note": "已联系厂家"},
}
OPEN = [one for one in Stage if one not in (*ENDED, Stage.VERIFIED)]


def in_stage(stage):
    """A case in a stage, beside another one that it can be merged into, and all that verbs may need."""
    play = playing(SMOKE)
    play.say(smoke=1)
    deliver(play)
    state = play.engine.state
    (name,) = state.cases
    found = state.cases[name]
    until = {"until_ns": START_NS + 900 * SECOND, "word_by": "wang"}
    held = {"suspended_at": 0, "suspended_until": 900 * SECOND} if stage is Stage.SUSPENDED else {}
    changed = msgspec.structs.replace(
        found, stage=stage, handled_by="wang", acknowledged_by="wang", **until, **held
    )
    other = msgspec.structs.replace(found, id="other", alerts=(), stage=Stage.SENT, level=Level.RED)
    state.cases = {name: changed, "other": other}
    if stage is Stage.HANDLED:  # the sensor is normal: only the second person is wanted
        state.alerts.clear()
        state.tracks.clear()
        state.last[name] = of(play.effects, Alert)[-1]
    return play, name


@pytest.mark.parametrize("verb", [*TURN_OF, *GUARDED, Verb.RETURN])
@pytest.mark.parametrize("stage", OPEN)
def test_every_act_in_every_stage(stage, verb):
    """It does what the table says, or nothing at all and says why."""
    play, name = in_stage(stage)
    before = msgspec.json.encode(play.engine.state)
    given = {"person": "wang", **FITTING.get(verb, {})}
    found = do(play, verb, case=name, **given)
    turn = turn_of(verb, stage)
    if (stage, turn) not in TURNS:
        assert ignored(found) == [f"already {stage}"]
        assert msgspec.json.encode(play.engine.state) == before
    else:
        moved = [one.stage for one in of(found, Case) if one.id == name]
        wanted = TURNS[stage, turn]
        if verb is Verb.DONE and stage is not Stage.HANDLED:
            wanted = Stage.HANDLING  # the smoke is still there: it bounces
        assert wanted in moved and not ignored(found), (moved, ignored(found))
        assert [one for one in of(found, Entry) if one.case == name]


def test_no_turn_leaves_an_end_and_every_open_stage_has_one():
    assert not [stage for stage, _ in TURNS if stage in ENDED]
    reached = {Stage.FOUND, *TURNS.values()}
    assert reached == set(Stage) - {Stage.VERIFIED}
    for stage in OPEN:
        assert any(start is stage and end in ENDED for (start, _), end in TURNS.items())


def test_a_reason_is_of_the_closed_list(fire):
    assert ignored(do(fire, Verb.FALSE, reason="because")) == ["no such reason"]
    do(fire, Verb.FALSE, reason=FALSE_REASONS[0])
    assert of(fire.effects, Case)[-1].reason == "sensor"


# ---------------------------------------------------------------- red is verified by somebody else


def handled(play):
    do(play, Verb.ACKNOWLEDGE)
    play.say(smoke=0)
    play.wait(61)
    do(play, Verb.DONE, reason="fixed")
    return play


def test_red_waits_for_a_second_person(fire):
    handled(fire)
    assert case(fire).stage is Stage.HANDLED and told(fire)[-1] == ("li", Kind.VERIFY)
    assert ignored(do(fire, Verb.VERIFY, "wang")) == ["handled it himself"]
    do(fire, Verb.VERIFY, "li")
    assert fire.engine.state.cases == {} and words(fire)[-2:] == ["confirmed", "closed"]
    ended = of(fire.effects, Case)[-1]
    assert (ended.handled_by, ended.verified_by, ended.reason) == ("wang", "li", "fixed")


def test_the_sensor_comes_first(fire):
    do(fire, Verb.ACKNOWLEDGE)
    fire.say(smoke=0)
    do(fire, Verb.DONE)
    assert ignored(do(fire, Verb.VERIFY, "li")) == ["the sensor verifies it"]
    assert Kind.VERIFY not in [kind for _, kind in told(fire)]
    fire.wait(61)
    assert told(fire)[-1] == ("li", Kind.VERIFY), "asked once it is normal"


def test_bad_again_before_anybody_verified_is_a_case_of_its_own(fire):
    handled(fire)
    fire.say(smoke=1)
    assert len(fire.engine.state.cases) == 2, "a new episode never joins an old answer"


def test_who_does_not_verify_is_passed_over(fire):
    handled(fire)
    deliver(fire)
    fire.wait(4 * HOUR)
    assert told(fire)[-1] == ("zhao", Kind.UNVERIFIED) and "overdue" in words(fire)
    deliver(fire)
    fire.wait(4 * HOUR)
    assert told(fire)[-1] == ("zhao", Kind.UNVERIFIED), "the highest again"


def test_not_verified_goes_back_to_the_doer(fire):
    handled(fire)
    assert ignored(do(fire, Verb.RETURN, "li")) == ["no reason given"]
    do(fire, Verb.RETURN, "li", "柜体还烫手")
    assert case(fire).stage is Stage.HANDLING and told(fire)[-1] == ("wang", Kind.REJECTED)
    assert "柜体还烫手" in fire.notifications()[-1].text
    do(fire, Verb.DONE)
    assert case(fire).stage is Stage.HANDLED


def test_nobody_else_to_verify_is_an_error_and_the_case_stays():
    """One person alone: it is not closed behind everybody's back."""
    alone = tuple(post for post in street(SMOKE).posts if post.role == "property")
    play = playing(SMOKE, posts=alone)
    play.say(smoke=1)
    handled(play)
    assert case(play).stage is Stage.HANDLED and "verifier_missing" in play.noted()


def test_yellow_is_verified_by_the_sensor_and_a_rule_may_ask_for_a_person():
    for rule, stage in ((QUIET, Stage.CLOSED), (replace(QUIET, verify="person"), Stage.HANDLED)):
        play = playing(rule)
        play.say({3: 56})
        play.wait(60)
        play.say({3: 20})
        play.wait(1)
        do(play, Verb.DONE)
        assert of(play.effects, Case)[-1].stage is stage
    assert "person" not in [one.verify_by for one in CLOCKS if one.level is not Level.RED]


# ---------------------------------------------------------------- a clock on every stage


def test_unanswered_red_is_known_above_after_two_minutes(fire):
    fire.wait(119)
    assert told(fire) == [("wang", Kind.RAISED)]
    fire.wait(1)
    assert told(fire)[1:] == [("li", Kind.LATE)] and "overdue" in words(fire)
    fire.wait(180)
    assert told(fire)[2:] == [], "li's own rung is taken already"
    fire.wait(600)
    assert told(fire)[2:] == [("zhao", Kind.ESCALATED)]


def test_a_post_above_that_knows_is_not_told_twice():
    """The ladder has been there before the clock ran out: the history says so, and no message."""
    clocks = (Clock(level=Level.RED, acknowledge_s=400),)
    play = playing(SMOKE, clocks=clocks)
    play.say(smoke=1)
    deliver(play)
    play.wait(400)
    assert told(play)[1:] == [("li", Kind.ESCALATED)] and words(play).count("overdue") == 1


def test_the_shorter_of_rule_and_street_counts():
    play = playing(replace(SMOKE, respond_within_s=60))
    play.say(smoke=1)
    play.wait(60)
    assert told(play)[-1] == ("li", Kind.LATE)
    assert "20:01 前响应" in play.notifications()[0].text


def test_red_not_handled_in_half_an_hour_is_nobodys_again(fire):
    do(fire, Verb.ACKNOWLEDGE)
    fire.wait(1799)
    assert len(told(fire)) == 1
    fire.wait(1)
    assert told(fire)[1:] == [("wang", Kind.OVERDUE), ("li", Kind.OVERDUE)]
    assert case(fire).stage is Stage.SENT and "expired" in words(fire)


def test_yellow_wants_feedback_within_a_day_also_when_it_is_over():
    play = playing(QUIET)
    play.say({3: 56})
    play.wait(60)
    deliver(play)
    play.say({3: 20})
    play.wait(1)
    deliver(play)
    before = len(told(play))
    play.wait(DAY - 2)
    assert len(told(play)) == before
    play.wait(1)
    assert told(play)[before:] == [("li", Kind.LATE)]
    play.wait(3 * DAY)
    assert len(told(play)) == before + 1, "once"


def test_what_stands_unanswered_is_told_again_every_day():
    play = playing(QUIET)
    play.say({3: 56})
    for seconds in (60, 300, 600):
        play.wait(seconds)
        deliver(play)
    before = len(told(play))
    for day in range(3):
        play.wait(DAY)
        deliver(play)
        assert told(play)[before:].count(("zhao", Kind.ESCALATED)) == day + 1


def test_done_that_no_sensor_confirms_is_known_above():
    """It is on its way to normal, says no more, and the case would wait for ever."""
    play = playing(replace(QUIET, clear_hold_s=40 * DAY))
    play.say({3: 56})
    play.wait(60)
    play.say({3: 20})
    do(play, Verb.DONE)
    deliver(play)
    play.wait(DAY)
    assert told(play)[-1] == ("li", Kind.UNVERIFIED) and case(play).stage is Stage.HANDLED
    play.wait(3 * DAY)
    assert [kind for _, kind in told(play)].count(Kind.UNVERIFIED) == 1


def test_only_working_hours_count_where_it_says_so():
    """Monday 20:00, two working hours: Tuesday 11:00."""
    hours = During(inside="09:00-17:00", days=("workdays",))
    play = playing(QUIET, clocks=(Clock(level=Level.YELLOW, acknowledge_s=7200, during=hours),), ladders=SLOW)
    play.say({3: 56})
    play.wait(60)
    deliver(play)
    play.wait(15 * HOUR - 61)
    assert told(play) == [("wang", Kind.RAISED)]
    play.wait(1)
    assert told(play)[1:] == [("li", Kind.LATE)]
    assert "11-03 11:00 前响应" in play.notifications()[0].text


SLOW = dict.fromkeys(Level, (LADDER[0], replace(LADDER[1], after_s=9 * DAY)))


def test_a_scene_has_a_clock_of_its_own():
    clocks = (*CLOCKS, Clock(level=Level.RED, scene="cabinet", acknowledge_s=30))
    play = playing(SMOKE, clocks=clocks)
    play.say(smoke=1)
    play.wait(30)
    assert told(play)[-1] == ("li", Kind.LATE)


def test_the_clock_survives_a_restart_and_a_step_of_the_wall(fire):
    fire.wait(60)
    fire.engine = Engine(street(SMOKE), fire.engine.state)
    fire.wall = lambda: START_NS + fire.at + 7 * 24 * HOUR * SECOND
    fire.wait(59)
    assert len(told(fire)) == 1
    fire.wait(1)
    assert told(fire)[-1] == ("li", Kind.LATE)


# ---------------------------------------------------------------- returned, transferred, suspended


def test_returned_goes_to_the_post_above_with_the_reason(fire):
    assert ignored(do(fire, Verb.RETURN)) == ["no reason given"]
    do(fire, Verb.RETURN, note="这是供电公司的柜子")
    assert case(fire).stage is Stage.RETURNED and sheet_of(case(fire)) is Sheet.COORDINATION
    message = fire.notifications()[-1]
    assert (message.person, message.kind) == ("li", Kind.RETURNED)
    assert "王经理退单" in message.text and "这是供电公司的柜子" in message.text
    deliver(fire)
    assert case(fire).stage is Stage.SENT


def test_the_ladder_goes_on_when_who_got_it_back_says_nothing(fire):
    do(fire, Verb.RETURN, note="不归我管")
    deliver(fire)
    fire.wait(900)
    assert ("zhao", Kind.ESCALATED) in told(fire)


def test_returned_where_nobody_is_above_is_refused():
    alone = tuple(post for post in street(SMOKE).posts if post.role == "property")
    play = playing(SMOKE, posts=alone)
    play.say(smoke=1)
    deliver(play)
    assert ignored(do(play, Verb.RETURN, note="不归我管")) == ["nobody above"]


def test_transferred_is_told_and_theirs_to_take_on(fire):
    do(fire, Verb.ACKNOWLEDGE)
    do(fire, Verb.TRANSFER, note="我在外地", to="zhao")
    assert told(fire)[-1] == ("zhao", Kind.TRANSFERRED) and case(fire).responsible == "zhao"
    assert "我在外地" in fire.notifications()[-1].text
    assert case(fire).acknowledged_by == "" and "transferred" in words(fire)
    deliver(fire)
    fire.wait(120)
    assert told(fire)[-1] == ("li", Kind.LATE), "not taken on in time: the post above whoever had it"
    do(fire, Verb.ACKNOWLEDGE, "zhao")
    assert case(fire).acknowledged_by == "zhao"


def test_transferred_to_a_role_or_to_nobody(fire):
    assert ignored(do(fire, Verb.TRANSFER, to="mayor")) == ["no such person or post"]
    do(fire, Verb.TRANSFER, to="committee")
    assert told(fire)[-1] == ("li", Kind.TRANSFERRED)


def test_a_transfer_that_reaches_nobody_goes_on_up(fire):
    do(fire, Verb.TRANSFER, to="li")
    fire.told(fire.notifications()[-1], Told.REFUSED, detail="no such address")
    assert told(fire)[-1][1] is Kind.ESCALATED


def suspended(until_s, level=SMOKE):
    play = playing(level)
    play.say(**({"smoke": 1} if level is SMOKE else {"slots": {3: 56}}))
    play.wait(0 if level is SMOKE else 60)
    deliver(play)
    do(play, Verb.ACKNOWLEDGE)
    play.wait(600)
    do(play, Verb.SUSPEND, note="等配件", until_ns=play.wall() + until_s * SECOND)
    return play


def test_clocks_stand_only_while_suspended():
    """Ten minutes of thirty were used: after the suspension twenty are left."""
    play = suspended(1800)
    assert case(play).stage is Stage.SUSPENDED and sheet_of(case(play)) is Sheet.COORDINATION
    play.wait(1799)
    assert len(told(play)) == 1
    play.wait(1)
    assert case(play).stage is Stage.ACKNOWLEDGED and told(play)[-1] == ("wang", Kind.RESUMED)
    deliver(play)
    play.wait(1199)
    assert len(told(play)) == 2
    play.wait(1)
    assert Kind.OVERDUE in [kind for _, kind in told(play)]


def test_red_for_long_needs_a_second_person():
    play = suspended(1801)
    assert case(play).stage is Stage.ACKNOWLEDGED and told(play)[-1] == ("li", Kind.ASKED)
    assert "等配件" in play.notifications()[-1].text
    assert ignored(do(play, Verb.APPROVE, "wang")) == ["asked for it himself"]
    do(play, Verb.APPROVE, "li")
    assert case(play).stage is Stage.SUSPENDED and "approved" in words(play)


def test_unapproved_its_clock_runs_on():
    play = suspended(7200)
    play.wait(1200)
    assert case(play).stage is Stage.SENT and Kind.OVERDUE in [kind for _, kind in told(play)]
    do(play, Verb.ACKNOWLEDGE)
    assert ignored(do(play, Verb.APPROVE, "li")) == ["nothing to approve"]


def test_yellow_is_suspended_by_its_owner_alone_but_not_without_a_day():
    assert case(suspended(5 * DAY, QUIET)).stage is Stage.SUSPENDED
    assert case(suspended(0, QUIET)).stage is Stage.ACKNOWLEDGED
    assert case(suspended(400 * DAY, QUIET)).stage is Stage.ACKNOWLEDGED


def test_a_rise_pages_through_a_suspension():
    play = playing(replace(HOT, clear_hold_s=0))
    play.say({3: 56})
    play.wait(60)
    do(play, Verb.ACKNOWLEDGE)
    do(play, Verb.SUSPEND, note="等配件", until_ns=play.wall() + DAY * SECOND)
    play.say({3: 80})
    assert told(play)[-1] == ("wang", Kind.RISEN) and case(play).stage is Stage.FOUND
    assert case(play).suspended_until is None


# ---------------------------------------------------------------- joining, merging, splitting


def joining(*rules, **changes):
    return playing(*rules, join_within_s=120, **changes)


def test_forty_slots_in_one_fire_are_one_case_and_one_message_with_the_count():
    cabinets = tuple(f"cab-{number}" for number in range(1, 6))
    hot = replace(HOT, limits=HOT.limits[2:])
    play = joining(hot, devices=world(devices=cabinets).devices)
    items = [Message(f"site/{one}", payload(dict.fromkeys(range(1, 9), 90))) for one in cabinets]
    play.give(Messages(play.at, play.wall(), items))
    assert len(play.engine.state.cases) == 1 and len(case(play).alerts) == 40
    (message,) = play.notifications()
    assert message.title.endswith("等 40 处") and told(play) == [("wang", Kind.RAISED)]


def test_a_red_never_hides_behind_a_yellow():
    play = joining(HOT, SMOKE)
    play.say({3: 56})
    play.wait(60)
    deliver(play)
    play.say(smoke=1)
    assert len(play.engine.state.cases) == 1
    assert told(play)[-1] == ("wang", Kind.RISEN) and case(play).level is Level.RED
    assert "充电柜烟雾" in play.notifications()[-1].title and case(play).rule == "smoke"


def test_what_was_answered_is_not_joined():
    play = joining(HOT, SMOKE)
    play.say({3: 56})
    play.wait(60)
    do(play, Verb.ACKNOWLEDGE)
    play.say(smoke=1)
    assert len(play.engine.state.cases) == 2


def test_another_moment_place_or_scene_is_another_case():
    far = world(devices=("cab-1", "cab-2")).devices
    far = {**far, "cab-2": replace(far["cab-2"], at="street")}
    for rules, wait_s, topic in (
        ((SMOKE,), 1, "site/cab-2"),
        ((HOT, replace(SMOKE, scene="cabinet")), 121, "site/cab-1"),
    ):
        play = joining(*rules, devices=far)
        first = {"smoke": 1} if len(rules) == 1 else {"slots": {3: 90}}
        play.say(**first)
        play.wait(wait_s)
        play.say(smoke=1, topic=topic)
        assert len(play.engine.state.cases) == 2


def test_a_silent_rule_neither_joins_nor_is_joined():
    quiet = replace(HOT, limits=HOT.limits[2:], steps=("case", "event"))
    play = joining(quiet, SMOKE)
    play.say({3: 90})
    play.say(smoke=1)
    assert sorted(one.silent for one in play.engine.state.cases.values()) == [False, True]


def test_it_ends_only_when_all_of_it_is_normal():
    play = joining(replace(HOT, clear_hold_s=0), replace(SMOKE, clear_hold_s=0), clocks=())
    play.say({3: 90})
    play.say(smoke=1)
    play.say(smoke=0)
    play.wait(1)
    do(play, Verb.DONE)
    assert case(play).stage is Stage.HANDLING, "the slot is still hot"
    play.say({3: 20})
    play.wait(1)
    do(play, Verb.DONE)
    assert play.engine.state.cases == {}


def two(*first):
    """Heat in a slot (yellow), and, five minutes later, smoke (red): two cases."""
    play = joining(HOT, SMOKE)
    play.say({3: 56})
    play.wait(360)
    play.say(smoke=1)
    deliver(play)
    hot, smoke = sorted(play.engine.state.cases)
    return play, hot, smoke


def test_merging_keeps_the_earlier_deadline_and_tells_what_is_worse():
    play, hot, smoke = two()
    do(play, Verb.ACKNOWLEDGE, case=hot)
    began = play.engine.state.cases[hot].clock_at
    do(play, Verb.MERGE, "li", case=smoke, to=hot)
    kept = case(play)
    assert (kept.id, kept.level, len(kept.alerts)) == (hot, Level.RED, 2)
    assert told(play)[-1] == ("wang", Kind.RISEN), "nobody had answered the red one"
    play, hot, smoke = two()
    began = play.engine.state.cases[hot].clock_at
    do(play, Verb.MERGE, "li", case=hot, to=smoke)
    assert case(play).id == smoke and case(play).clock_at == began
    assert {one.case for one in play.engine.state.alerts.values()} == {smoke}
    assert ignored(do(play, Verb.MERGE, "li", to=smoke)) == ["no such open case"]


def test_splitting_puts_off_no_deadline():
    play = joining(HOT, SMOKE)
    play.say({3: 90})
    play.say(smoke=1)
    deliver(play)
    play.wait(60)
    whole = case(play)
    do(play, Verb.SPLIT, to=whole.alerts[1])
    left, own = (play.engine.state.cases[name] for name in sorted(play.engine.state.cases))
    assert (left.alerts, own.alerts) == (whole.alerts[:1], whole.alerts[1:])
    assert own.clock_at == whole.clock_at and (left.rule, own.rule) == ("slot-hot", "smoke")
    assert told(play)[-1] == ("wang", Kind.RAISED)
    play.wait(60)
    assert own.id in [n.case for n in play.notifications() if n.kind is Kind.LATE], "two minutes in all"
    assert ignored(do(play, Verb.SPLIT, case=own.id, to=own.alerts[0])) == ["no such alert beside another"]


# ---------------------------------------------------------------- again

OFTEN = replace(QUIET, recurrence=Recurrence(within_s=7 * DAY, times=3))


def once(play):
    """One episode, handled."""
    play.say({3: 56})
    play.wait(60)
    found = case(play)
    play.say({3: 20})
    play.wait(1)
    do(play, Verb.DONE)
    assert play.engine.state.cases == {}
    return found


def test_the_third_in_a_week_goes_to_the_committee_at_once_with_its_history():
    play = playing(OFTEN)
    for _ in range(2):
        once(play)
        play.wait(DAY)
    seen = len(play.effects)
    third = once(play)
    first = [(n.person, n.kind) for n in of(play.effects[seen:], type(play.notifications()[0]))][:2]
    assert first == [("wang", Kind.RECURRED), ("li", Kind.RECURRED)]
    assert (third.again, third.lifted) == (3, 1) and third.again_of
    assert "第 3 次" in next(n.text for n in play.notifications() if n.kind is Kind.RECURRED)
    play.wait(DAY)
    assert once(play).lifted == 2, "the fourth: the street as well"


def test_a_week_later_it_begins_anew_and_a_false_alarm_does_not_count():
    play = playing(OFTEN)
    for _ in range(2):
        once(play)
    play.wait(8 * DAY)
    assert (once(play).again, play.notifications()[-1].kind) != (3, Kind.RECURRED)
    play = playing(OFTEN)
    for _ in range(3):
        play.say({3: 56})
        play.wait(60)
        do(play, Verb.FALSE, reason="sensor")
        play.say({3: 20})
        play.wait(1)
    assert once(play).again == 0


def test_it_is_remembered_through_a_checkpoint():
    play = playing(OFTEN)
    for _ in range(2):
        once(play)
    play.engine = Engine(street(OFTEN), states.load(states.save(play.engine.state)))
    assert once(play).lifted == 1


def test_opened_again_is_a_new_case_that_knows_the_old_one():
    play = playing(QUIET)
    old = once(play)
    assert ignored(do(play, Verb.REOPEN, "li", case=old.id)) == ["no reason given"]
    do(play, Verb.REOPEN, "li", "插座还是焦的", case=old.id)
    new = case(play)
    assert new.id != old.id and new.again_of == old.id and told(play)[-1] == ("wang", Kind.REOPENED)
    assert "插座还是焦的" in play.notifications()[-1].text
    assert ignored(do(play, Verb.REOPEN, "li", "再来", case=old.id)) == ["not remembered as ended"]
    deliver(play)
    play.wait(300)
    assert told(play)[-1] == ("li", Kind.ESCALATED), "nobody answers: the ladder climbs, normal or not"
    do(play, Verb.DONE)
    assert play.engine.state.cases == {}


def test_a_false_alarm_that_was_none():
    play = playing(SMOKE)
    play.say(smoke=1)
    name = case(play).id
    do(play, Verb.FALSE, reason="work")
    do(play, Verb.REOPEN, "li", "真的在冒烟", case=name)
    (alert,) = play.engine.state.alerts.values()
    assert alert.case == case(play).id and alert.id in case(play).alerts


# ---------------------------------------------------------------- the four lists, the watchdog


def test_every_case_is_on_one_of_four_lists(fire):
    found = [sheet_of(case(fire))]
    do(fire, Verb.TRANSFER, to="li")
    found.append(sheet_of(case(fire)))
    handled(fire)
    found.append(sheet_of(case(fire)))
    do(fire, Verb.VERIFY, "li")
    found.append(sheet_of(of(fire.effects, Case)[-1]))
    assert found == [Sheet.PROBLEM, Sheet.COORDINATION, Sheet.FEEDBACK, Sheet.CLOSURE]


def test_a_note_changes_nothing_else(fire):
    before = case(fire)
    found = do(fire, Verb.NOTE, note="已联系厂家")
    assert case(fire) == before and [one.note for one in of(found, Entry)] == ["已联系厂家"]


def test_a_case_without_a_timer_is_noticed_and_moved(fire):
    """A defect of ours, made by hand: nothing is armed."""
    fire.engine.timers = type(fire.engine.timers)()
    fire.at += 61 * SECOND
    fire.give(Tick(fire.at, fire.wall()))
    assert "case_unwatched" in fire.noted()
    fire.wait(HOUR)
    assert ("li", Kind.LATE) in told(fire)
    assert fire.noted().count("case_unwatched") == 1


def test_what_is_normal_again_goes_by_a_clock_that_may_run_out_earlier():
    """Days to respond while it stands, the handling's hours once it does not: armed anew when it ends."""
    play = playing(
        replace(QUIET, respond_within_s=3.0 * DAY), clocks=(Clock(level=Level.YELLOW, handle_s=HOUR),)
    )
    play.say({3: 58.0})
    for _ in range(20):  # to the end of its ladder
        play.wait(61)
        deliver(play)
        play.say({3: 58.0})
    play.say({3: 20.0})
    assert not play.engine.state.alerts and case(play).stage is Stage.SENT
    play.wait(2 * HOUR)
    assert "case_unwatched" not in play.noted() and Kind.LATE in [kind for _, kind in told(play)]


# ---------------------------------------------------------------- pictures


def photo(number=1, kind="jpeg", size=150_000):
    return Photo(f"{number:064x}", kind, size)


def test_a_picture_stands_in_the_history_by_its_hash(fire):
    do(fire, Verb.PHOTO, photo=photo())
    (line,) = [one for one in of(fire.effects, Entry) if one.what == "photo"]
    assert (line.person, line.note) == ("wang", f"{1:064x}.jpeg 150000")
    assert case(fire).photos == (photo().sha256,) and photos.read(line.note) == photo()


def test_the_same_picture_twice_is_one(fire):
    do(fire, Verb.PHOTO, photo=photo())
    assert ignored(do(fire, Verb.PHOTO, "li", photo=photo())) == ["the same photo"]
    assert words(fire).count("photo") == 1 and len(case(fire).photos) == 1


def test_a_case_takes_so_many_pictures_and_no_more(fire):
    for number in range(photos.PHOTOS_MOST):
        assert not ignored(do(fire, Verb.PHOTO, photo=photo(number)))
    assert ignored(do(fire, Verb.PHOTO, photo=photo(99))) == ["photos enough"]


@pytest.mark.parametrize(
    "wrong",
    [None, photo(kind="gif"), photo(size=0), photo(size=photos.BYTES_MOST + 1), Photo("../../etc", "jpeg", 9),
     Photo("A" * 64, "jpeg", 9)],
)  # fmt: skip
def test_what_cannot_be_one_is_no_picture(fire, wrong):
    assert ignored(do(fire, Verb.PHOTO, photo=wrong)) == ["no such photo"]
    assert "photo" not in words(fire) and case(fire).photos == ()


def test_a_picture_comes_before_the_end_and_answers_nothing(fire):
    """It is proof, and no acknowledgement: the ladder goes on."""
    name, stage = case(fire).id, case(fire).stage
    do(fire, Verb.PHOTO, photo=photo())
    assert case(fire).stage is stage and case(fire).acknowledged_by == ""
    do(fire, Verb.FALSE, reason="drill")
    assert ignored(do(fire, Verb.PHOTO, case=name, photo=photo(2))) == ["not open"]
