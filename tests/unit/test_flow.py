"""The flow as those see it who are told at night: each hears once, of what is his, and by a fitting way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.clocks import DEFAULTS
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    AlertState,
    Case,
    Cause,
    Clock,
    Entry,
    Kind,
    Level,
    Noted,
    NotificationState,
    Person,
    Place,
    Post,
    Receipt,
    Reply,
    Rule,
    Stage,
    Step,
    Verb,
)
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, Play, limits, of, world

HOUR = 3600
RED = replace(HOT, id="hot", limits=HOT.limits[2:], clear_hold_s=0, respond_within_s=0.0)
SMOKY = replace(SMOKE, clear_hold_s=0, respond_within_s=0.0)
HIDDEN = replace(RED, inhibited_by=(Cause(rule="smoke"),))
PEOPLE = {"wang": "王经理", "sun": "孙主任", "wu": "吴值班"}
LADDER = (  # a call, then the next post up; the grid's post is empty and falls back to the committee
    Step(role="property", by=("card", "sms")),
    Step(role="property", by=("voice",), after_s=120),
    Step(role="grid", by=("card", "voice"), after_s=360),
    Step(role="committee", by=("card", "voice"), after_s=480),
    Step(role="street", by=("card", "voice"), after_s=600),
)
REACH = {"card": "c", "sms": "13800000001", "voice": "13800000001"}


def night(*rules: Rule, **changes) -> Play:
    base = world(rules=rules or (RED, SMOKY))
    persons = {one: Person(id=one, says=says, unit="jw", reach=REACH) for one, says in PEOPLE.items()}
    held = {"property": "wang", "committee": "sun", "street": "wu"}
    parts = {
        "persons": persons,
        "posts": tuple(
            Post(role=role, at="street", unit="jw", person=who, since=base.posts[0].since)
            for role, who in held.items()
        ),
        "ladders": dict.fromkeys(Level, LADDER),
        "fallback": {"grid": ("committee",)},
        "clocks": tuple(DEFAULTS.values()),
        "loud": frozenset({"voice"}),
    }
    return Play(Engine(replace(base, **{**parts, **changes}), State(identity="0000002a")))


def deliver(play: Play) -> None:
    for one in list(play.engine.state.notifications.values()):
        if one.due_at <= play.at:
            play.told(one, number=one.id, card=f"card-{one.id}" if one.channel == "card" else "")


def wait(play: Play, seconds: float) -> None:
    """Whatever is due goes out meanwhile."""
    for _ in range(int(seconds) // 10):
        play.wait(10)
        deliver(play)


def told(play: Play, person: str = "") -> list[tuple[str, str, Kind]]:
    due = [one for one in play.notifications() if one.state is NotificationState.DUE and not one.attempt]
    due = [one for one in due if one.kind is not Kind.ANSWERED and person in ("", one.person)]
    return [(one.person, one.channel, one.kind) for one in due]


def newest(play: Play, person: str):
    return [one for one in play.notifications() if one.person == person and one.kind is not Kind.ANSWERED][-1]


def cards(play: Play) -> list[tuple[str, str]]:
    return [
        (one.person, one.title)
        for one in play.notifications()
        if one.kind is Kind.ANSWERED and one.state is NotificationState.DUE
    ]


def words(play: Play) -> list[str]:
    return [one.what for one in of(play.effects, Entry)]


def cases(play: Play) -> list[Case]:
    return list(play.engine.state.cases.values())


def do(play: Play, verb: Verb, person: str = "wang", note: str = "", **more):
    (case,) = play.engine.state.cases
    return play.give(Act(play.at, play.wall(), case, person, verb, note, **more))


# ---------------------------------------------------------------- joining puts no step off


@pytest.mark.parametrize("how", ["merges", "joins"])
def test_smoke_puts_off_no_call_of_the_fire(how: str) -> None:
    """The slot is red at 0, the call is due at 2 min; the smoke comes at 1 min 40 s."""
    rules = (HIDDEN, SMOKY) if how == "merges" else (RED, SMOKY)
    play = night(*rules, join_within_s=0.0 if how == "merges" else 120.0)
    play.say({3: 80})
    deliver(play)
    wait(play, 100)
    play.say({3: 80}, smoke=1)
    deliver(play)
    assert len(cases(play)) == 1
    play.wait(19)
    assert ("wang", "voice", Kind.ESCALATED) not in told(play)
    play.wait(1)
    assert ("wang", "voice", Kind.ESCALATED) in told(play)
    assert words(play).count("overdue") == 1, "the clock of the fire counts as well"
    wait(play, 240)
    assert ("sun", "voice", Kind.ESCALATED) in told(play), "six minutes since the slot was red"


def test_a_person_who_merges_puts_off_no_step_either() -> None:
    play = night()
    play.say({3: 80})
    first = cases(play)[0].id
    deliver(play)
    wait(play, 130)  # the call has been made
    play.say({3: 80}, smoke=1)
    deliver(play)
    wait(play, 30)
    second = next(one.id for one in cases(play) if one.id != first)
    play.give(Act(play.at, play.wall(), first, "sun", Verb.MERGE, to=second))
    calls = told(play, "wang").count(("wang", "voice", Kind.ESCALATED))
    wait(play, 190)
    assert told(play, "wang").count(("wang", "voice", Kind.ESCALATED)) == calls, "he was called already"
    assert ("sun", "voice", Kind.ESCALATED) not in told(play)
    wait(play, 10)
    assert ("sun", "voice", Kind.ESCALATED) in told(play)


def test_a_cause_of_a_higher_level_takes_over_the_earlier_step() -> None:
    """An orange slot whose next step is due in 20 s: the red smoke does not wait for longer."""
    orange = replace(HIDDEN, limits=limits((Level.ORANGE, 65, 0, None)))
    slow = (LADDER[0], replace(LADDER[2], after_s=120))
    play = night(orange, SMOKY, ladders={**dict.fromkeys(Level, LADDER), Level.ORANGE: slow})
    play.say({3: 70})
    deliver(play)
    wait(play, 100)
    play.say({3: 70}, smoke=1)
    deliver(play)
    wait(play, 20)
    assert told(play, "wang")[-1] == ("wang", "voice", Kind.ESCALATED)
    assert "overdue" not in words(play), "red's own two minutes are not up, and orange's ten neither"


def test_who_was_told_of_the_symptom_alone_hears_of_the_cause() -> None:
    """Their cards of the other case are void."""
    play = night(HIDDEN, SMOKY)
    play.say({3: 80})
    deliver(play)
    wait(play, 370)
    assert "sun" in cases(play)[0].told
    play.say({3: 80}, smoke=1)
    assert ("sun", "card", Kind.RAISED) in told(play) and newest(play, "sun").case == cases(play)[0].id
    assert cases(play)[0].rung == 3, "and the ladder is where it was"


def test_what_stood_beside_the_symptom_is_not_left_in_an_ended_case() -> None:
    """Two troubles of one moment share a case; the smoke explains only one of them."""
    warm = replace(SMOKY, id="warm", quantity="temperature_c", limits=limits((Level.RED, 40, 0, None)))
    play = night(HIDDEN, SMOKY, warm, join_within_s=60.0)
    play.say({3: 80}, t=60)
    wait(play, 70)
    play.say({3: 80}, t=60, smoke=1)
    (case,) = cases(play)
    assert {one.case for one in play.engine.state.alerts.values()} == {case.id}
    own = {one.rule for one in play.engine.state.alerts.values() if not one.hidden_by}
    assert own == {"smoke", "warm"} and len(case.alerts) == 2


def test_an_answer_to_the_message_of_a_merged_case_is_one_of_the_other() -> None:
    play = night(HIDDEN, SMOKY)
    play.say({3: 80})
    deliver(play)
    sms = next(one for one in play.notifications() if one.channel == "sms")
    play.say({3: 80}, smoke=1)
    play.give(Reply(play.at, play.wall(), "sms", sms.address, "1", sms.id))
    assert cases(play)[0].stage is Stage.ACKNOWLEDGED and cases(play)[0].acknowledged_by == "wang"


# ---------------------------------------------------------------- nobody is his own superior


def test_an_overdue_notice_goes_to_somebody_else_and_by_no_call() -> None:
    """Two minutes: his phone rings, and whoever is above has a card, before the ladder calls her too."""
    play = night()
    play.say({3: 80})
    deliver(play)
    wait(play, 120)
    assert told(play, "wang")[2:] == [("wang", "voice", Kind.ESCALATED)]
    assert told(play, "sun") == [("sun", "card", Kind.LATE)]
    assert "已通知王经理，至今无人接手" in newest(play, "sun").text
    call = newest(play, "wang")
    assert call.title.startswith("【红色报警，请您响应】") and "此前已通知您" in call.text


def test_what_is_overdue_goes_to_nobody_where_there_is_nobody_else() -> None:
    play = night(ladders=dict.fromkeys(Level, LADDER[:2]))
    play.say({3: 80})
    deliver(play)
    wait(play, 700)
    assert "overdue" in words(play)
    assert {kind for _, _, kind in told(play)} == {Kind.RAISED, Kind.ESCALATED}


def test_who_has_been_told_for_an_empty_post_is_not_told_again_as_the_next_one() -> None:
    play = night(clocks=())
    play.say({3: 80})
    deliver(play)
    wait(play, 600)
    assert told(play, "sun") == [("sun", "card", Kind.ESCALATED), ("sun", "voice", Kind.ESCALATED)]
    assert told(play, "wu") == [("wu", "card", Kind.ESCALATED), ("wu", "voice", Kind.ESCALATED)]


def test_when_her_call_fails_it_is_not_made_again_for_the_next_post() -> None:
    play = night(clocks=())
    play.say({3: 80})
    deliver(play)
    wait(play, 370)
    call = newest(play, "sun")
    assert call.channel == "voice" and not told(play, "wu")
    play.give(Receipt(play.at, play.wall(), "voice", call.id, False, "无人接听"))
    assert told(play, "wu"), "at once"
    assert len(told(play, "sun")) == 2


def test_overdue_after_the_acknowledgement_each_hears_it_once() -> None:
    """He took it on before the call: the next rung is his own, so that the one after it is told."""
    play = night()
    play.say({3: 80})
    deliver(play)
    do(play, Verb.ACKNOWLEDGE)
    wait(play, 1800)
    assert told(play, "wang")[2:] == [("wang", "card", Kind.OVERDUE), ("wang", "sms", Kind.OVERDUE)]
    assert told(play, "sun") == [("sun", "card", Kind.OVERDUE), ("sun", "voice", Kind.OVERDUE)]
    assert "您已接手，但30 分钟内没有处理完" in newest(play, "wang").text
    assert "王经理已接手，但30 分钟内没有处理完" in newest(play, "sun").text


def test_rungs_that_fall_due_together_tell_nobody_twice() -> None:
    """The box was off for an hour."""
    play = night(clocks=())
    play.say({3: 80})
    play.at += HOUR * SECOND
    play.wait(0)
    found = told(play)
    assert len(found) == len(set(found)) and ("wu", "voice", Kind.ESCALATED) in found


# ---------------------------------------------------------------- the night


def handled(play: Play) -> Play:
    play.say(smoke=1)
    deliver(play)
    do(play, Verb.ACKNOWLEDGE)
    play.say(smoke=0)
    play.wait(1)
    do(play, Verb.DONE)
    return play


UPWARD = (LADDER[0], Step(role="street", by=("voice",), after_s=120))


def test_nobody_is_called_to_verify() -> None:
    """The next post up is reached by voice alone: it has a card and a short message all the same."""
    play = handled(night(ladders=dict.fromkeys(Level, UPWARD)))
    assert told(play, "wu") == [("wu", "card", Kind.VERIFY), ("wu", "sms", Kind.VERIFY)]


def test_who_has_no_other_way_is_called() -> None:
    base = night().engine.world
    assert base is not None
    deaf = {**base.persons, "wu": replace(base.persons["wu"], reach={"voice": "13800000001"})}
    play = handled(night(persons=deaf, ladders=dict.fromkeys(Level, UPWARD)))
    assert told(play, "wu") == [("wu", "voice", Kind.VERIFY)]


@pytest.mark.parametrize(
    ("until", "verify_s", "waits_s"),
    [("23:00", 4 * HOUR, 3 * HOUR), ("23:00", 2 * HOUR, 0), ("19:00", 4 * HOUR, 0)],
)
def test_a_look_waits_for_the_morning_if_its_time_is_not_up_by_then(
    until: str, verify_s: int, waits_s: int
) -> None:
    """At 20:00. Red has no quiet hours of its own: what is no alarm keeps those of the levels below."""
    clocks = (Clock(level=Level.RED, handle_s=1800, verify_s=verify_s, verify_by="person"),)
    play = handled(night(clocks=clocks, quiet={"orange": f"19:30-{until}"} if until != "19:00" else {}))
    asked = newest(play, "sun")
    assert asked.kind is Kind.VERIFY
    assert (asked.due_at - play.at) // SECOND in (waits_s, waits_s - 1), "one second has passed"


def test_red_breaks_through_the_same_night() -> None:
    play = night(quiet={"orange": "19:30-23:00"})
    play.say(smoke=1)
    assert {one.due_at for one in play.notifications()} == {play.at}
    deliver(play)
    wait(play, 120)
    assert ("wang", "voice", Kind.ESCALATED) in told(play)


def test_whoever_is_on_duty_in_the_morning_is_asked() -> None:
    """The post changes hands at midnight, the quiet hours end at seven."""
    play = night()
    base = play.engine.world
    assert base is not None
    since, midnight = base.posts[0].since, base.posts[0].since.replace(month=11, day=3)
    committee = Post(role="committee", at="street", unit="jw", person="sun", since=since, until=midnight)
    after = replace(committee, person="wu", since=midnight, until=None)
    clocks = (Clock(level=Level.RED, handle_s=1800, verify_s=24 * HOUR, verify_by="person"),)
    posts = (base.posts[0], committee, after)
    play = handled(night(posts=posts, quiet={"yellow": "19:30-07:00"}, clocks=clocks))
    assert told(play, "wu") == [("wu", "card", Kind.VERIFY)] and not told(play, "sun")


# ---------------------------------------------------------------- a call that rings on


def test_a_call_that_is_not_answered_once_somebody_has_pressed_is_no_failure() -> None:
    play = night(clocks=())
    play.say({3: 80})
    deliver(play)
    wait(play, 130)
    call = newest(play, "wang")
    do(play, Verb.ACKNOWLEDGE, "wang")
    play.give(Receipt(play.at, play.wall(), "voice", call.id, False, "无人接听"))
    assert words(play)[-1] == "unneeded" and "undelivered" not in words(play)
    assert play.notifications()[-1].state is NotificationState.CANCELLED
    assert "notification_undelivered" not in play.noted()


@pytest.mark.parametrize("channel", ["voice", "sms"])
def test_a_failure_is_one_while_nobody_has_and_of_what_does_not_ring(channel: str) -> None:
    play = night(clocks=())
    play.say({3: 80})
    deliver(play)
    wait(play, 130)
    sent = next(one for one in reversed(play.notifications()) if one.channel == channel)
    if channel == "sms":
        do(play, Verb.ACKNOWLEDGE, "wang")
    play.give(Receipt(play.at, play.wall(), channel, sent.id, False, "空号"))
    assert "undelivered" in words(play)


# ---------------------------------------------------------------- what is left when the smoke is gone


@pytest.fixture
def both() -> Play:
    """Smoke, and a hot slot behind it."""
    play = night(HIDDEN, SMOKY)
    play.say(smoke=1)
    play.say({3: 80})
    deliver(play)
    return play


def test_heat_that_is_left_goes_on_in_the_same_case_and_on_its_ladder(both: Play) -> None:
    before = cases(both)[0]
    wait(both, 60)
    both.say({3: 80}, smoke=0)
    both.wait(1)
    (case,) = cases(both)
    assert (case.id, case.rule, case.climbing_at) == (before.id, "hot", before.climbing_at)
    assert told(both, "wang")[-1] == ("wang", "sms", Kind.RAISED) and "过热" in newest(both, "wang").title
    wait(both, 60)
    assert ("wang", "voice", Kind.ESCALATED) in told(both), "two minutes since the smoke"
    both.say({3: 20})
    both.wait(1)
    do(both, Verb.DONE)
    assert cases(both)[0].stage is Stage.HANDLED


def test_whoever_is_at_it_hears_what_is_left(both: Play) -> None:
    do(both, Verb.ACKNOWLEDGE, "sun")
    both.say({3: 80}, smoke=0)
    both.wait(1)
    (case,) = cases(both)
    assert (case.stage, case.acknowledged_by) == (Stage.ACKNOWLEDGED, "sun")
    last = newest(both, "sun")
    assert (last.kind, last.asks) == (Kind.RAISED, (Verb.DONE,)), "it is hers already"


def test_done_is_not_confirmed_by_the_smoke_alone() -> None:
    play = night(HIDDEN, replace(SMOKY, clear_hold_s=60.0))
    play.say(smoke=1)
    play.say({3: 80})
    do(play, Verb.ACKNOWLEDGE)
    play.say({3: 80}, smoke=0)
    do(play, Verb.DONE)
    assert cases(play)[0].stage is Stage.HANDLED, "the smoke is on its way"
    play.wait(61)
    assert cases(play)[0].stage is Stage.HANDLING and told(play)[-1][2] is Kind.BOUNCED
    assert Kind.VERIFY not in {kind for _, _, kind in told(play)}, "nobody is asked to look at what burns"


def test_heat_of_another_place_is_a_case_of_its_own() -> None:
    devices = world(devices=("cab-1", "cab-2")).devices
    places = {**world().places, "shed": Place(id="shed", says="车棚", kind="point", within="yard")}
    devices["cab-2"] = replace(devices["cab-2"], at="shed")
    near = replace(RED, inhibited_by=(Cause(rule="smoke", at="place"),))
    play = night(near, SMOKY, devices=devices, places=places)
    play.say(smoke=1)
    play.say({3: 80}, topic="site/cab-2")
    assert len(cases(play)) == 1
    play.say(smoke=0)
    play.wait(1)
    assert len(cases(play)) == 2


# ---------------------------------------------------------------- waiting for its reset


LATCHING = replace(SMOKY, latch=True)


@pytest.fixture
def latched() -> Play:
    play = night(LATCHING)
    play.say(smoke=1)
    deliver(play)
    wait(play, 700)  # everybody on the ladder knows
    play.say(smoke=0)
    play.wait(1)
    deliver(play)
    (alert,) = play.engine.state.alerts.values()
    assert alert.state is AlertState.LATCHED
    return play


def test_what_waits_for_its_reset_says_so_once_an_hour_and_calls_nobody(latched: Play) -> None:
    seen = len(told(latched))
    wait(latched, 6 * HOUR)
    again = told(latched)[seen:]
    assert {kind for _, _, kind in again} <= {Kind.LATCHED, Kind.LATE}
    assert "voice" not in {channel for _, channel, _ in again}
    assert 5 <= [one[0] for one in again if one[2] is Kind.LATCHED].count("wu") <= 6
    last = [one for one in latched.notifications() if one.kind is Kind.LATCHED][-1]
    assert last.title.startswith("【已恢复，须人工复位】") and "时限" not in last.text
    assert last.asks == (Verb.ACKNOWLEDGE, Verb.RESET)


def test_nobody_took_it_on_so_its_ladder_still_goes_up() -> None:
    play = night(LATCHING)
    play.say(smoke=1)
    deliver(play)
    play.say(smoke=0)
    wait(play, 700)
    assert ("wu", "card", Kind.LATCHED) in told(play) and Kind.ESCALATED not in {k for _, _, k in told(play)}


def test_bad_again_it_is_an_alarm_again(latched: Play) -> None:
    wait(latched, 120)
    latched.say(smoke=1)
    seen = len(told(latched))
    wait(latched, 900)
    assert Kind.ESCALATED in {kind for _, _, kind in told(latched)[seen:]}, "every quarter of an hour"


# ---------------------------------------------------------------- one word of two


def two(**changes) -> Play:
    play = night(acknowledge_by={"red": 2}, **changes)
    play.say(smoke=1)
    deliver(play)
    return play


def test_done_while_it_burns_is_one_word_and_stops_nothing() -> None:
    play = two()
    do(play, Verb.DONE)
    assert cases(play)[0].stage is Stage.SENT and cases(play)[0].agreed == ("wang",)
    assert told(play, "wang")[-1][2] is Kind.BOUNCED
    wait(play, 370)
    assert ("sun", "voice", Kind.ESCALATED) in told(play)
    do(play, Verb.ACKNOWLEDGE, "sun")
    assert cases(play)[0].stage is Stage.ACKNOWLEDGED


def test_done_when_it_is_over_is_borne_out_by_the_sensor() -> None:
    play = two()
    play.say(smoke=0)
    play.wait(1)
    do(play, Verb.DONE)
    assert cases(play)[0].stage is Stage.HANDLED and ("sun", "card", Kind.VERIFY) in told(play)


def test_false_needs_as_many() -> None:
    play = two()
    do(play, Verb.FALSE, reason="sensor")
    assert cases(play)[0].stage is Stage.SENT and "denied" in words(play)
    found = do(play, Verb.FALSE, reason="sensor")
    assert [one.fields["reason"] for one in of(found, Noted)] == ["said before"]
    do(play, Verb.ACKNOWLEDGE, "sun")
    assert cases(play)[0].stage is Stage.SENT, "one says mine, the other false: neither are two"
    do(play, Verb.FALSE, "sun", reason="sensor")
    assert cases(play) == []


def test_one_is_enough_where_no_more_must() -> None:
    play = night()
    play.say(smoke=1)
    do(play, Verb.FALSE, reason="sensor")
    assert cases(play) == []


# ---------------------------------------------------------------- good news


def test_of_what_another_is_at_the_others_hear_that_it_is_over_and_no_more() -> None:
    play = night()
    play.say(smoke=1)
    deliver(play)
    wait(play, 370)
    do(play, Verb.ACKNOWLEDGE, "sun")
    play.say(smoke=0)
    play.wait(1)
    his, hers = newest(play, "wang"), newest(play, "sun")
    assert (his.kind, his.asks, hers.asks) == (Kind.CLEARED, (), (Verb.DONE,))
    assert "供您了解" in his.text and "“已处理”" in hers.text


def test_without_feedback_the_one_above_reads_what_is_so() -> None:
    """It is normal again, somebody has taken it on, and says nothing more."""
    play = night()
    play.say(smoke=1)
    deliver(play)
    do(play, Verb.ACKNOWLEDGE)
    play.say(smoke=0)
    play.wait(1)
    wait(play, HOUR)
    late = newest(play, "sun")
    assert late.title.startswith("【已恢复，逾期未反馈】") and late.channel == "card"
    assert "王经理已接手，至今没有反馈结果" in late.text and "无人接手" not in late.text
