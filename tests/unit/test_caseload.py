"""A case from found to closed: who is told when, what people may do, who has the last word."""

from dataclasses import replace
from datetime import date

import pytest

from gateway.core.cases import ENDED, TURNS, Turn
from gateway.core.engine import Engine
from gateway.core.ids import make_id
from gateway.core.model import Case, Entry, Kind, Level, NotificationState, Post, Stage, Told, Verb
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, START_NS, Play, of, world


@pytest.fixture
def play():
    """Smoke in the cabinet, at 20:00."""
    found = Play()
    found.say(smoke=1)
    return found


def told(play):
    return [(n.person, n.kind) for n in play.notifications() if n.state is NotificationState.DUE]


def test_the_one_responsible_person_is_told_at_once(play):
    (notification,) = play.notifications()
    assert (notification.person, notification.channel, notification.kind) == ("wang", "inbox", Kind.RAISED)
    assert play.case().stage is Stage.FOUND and play.case().place == "yard"
    for needed in ("充电柜烟雾", "向阳小区", "疏散"):
        assert needed in notification.title + notification.text


def test_accepted_means_sent(play):
    play.told(play.notifications()[0])
    assert play.case().stage is Stage.SENT


def test_unanswered_goes_up_the_ladder_once(play):
    play.told(play.notifications()[0])
    play.wait(299)
    assert told(play) == [("wang", Kind.RAISED)]
    play.wait(1)
    assert told(play)[1:] == [("li", Kind.ESCALATED)]


def test_acknowledgement_stops_the_ladder(play):
    case = play.case().id
    play.wait(60)
    play.act(case, Verb.ACKNOWLEDGE)
    play.wait(3600)
    assert told(play) == [("wang", Kind.RAISED)]
    assert play.case().stage is Stage.ACKNOWLEDGED and play.case().acknowledged_by == "wang"


def test_acknowledgement_takes_back_what_was_not_sent_yet(play):
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    assert play.notifications()[-1].state is NotificationState.CANCELLED
    assert play.engine.state.notifications == {}


def test_unanswered_red_is_told_again_and_again(play):
    """Nobody answers a fire: silence is not an option."""
    for seconds in (300, 900, 900, 900):
        play.told(play.notifications()[-1])
        play.wait(seconds)
    assert [kind for person, kind in told(play) if person == "li"] == [Kind.ESCALATED] * 4


def test_done_while_still_bad_bounces_to_the_doer(play):
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.act(play.case().id, Verb.DONE)
    assert play.case().stage is Stage.HANDLING
    assert told(play)[-1] == ("wang", Kind.BOUNCED)


def test_done_and_normal_for_the_clear_time_closes(play):
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.say(smoke=0)
    play.act(play.case().id, Verb.DONE)
    assert play.case().stage is Stage.HANDLED, "normal, but not for long enough"
    play.wait(60)
    assert play.case().stage is Stage.CLOSED
    assert [e.what for e in of(play.effects, Entry)][-3:] == ["cleared", "verified", "closed"]
    assert play.engine.state.cases == {}


def test_done_after_the_sensor_cleared_closes_at_once(play):
    play.say(smoke=0)
    play.wait(61)
    assert told(play)[-1] == ("wang", Kind.CLEARED), "who was told of it is told of its end"
    play.act(play.case().id, Verb.DONE)
    assert play.case().stage is Stage.CLOSED


def test_bad_again_while_waiting_for_the_sensor_bounces(play):
    play.say(smoke=0)
    play.act(play.case().id, Verb.DONE)
    play.wait(30)
    play.say(smoke=1)
    assert play.case().stage is Stage.HANDLING
    assert told(play)[-1] == ("wang", Kind.BOUNCED)


def test_a_rise_pages_through_the_acknowledgement():
    play = Play()
    play.say({3: 56})
    play.wait(60)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.say({3: 80})
    assert told(play)[-1] == ("wang", Kind.RISEN)
    assert play.case().stage is Stage.FOUND and play.case().level is Level.RED


def test_a_new_episode_never_joins_an_answered_case(play):
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.say(smoke=0)
    play.wait(61)
    play.say(smoke=1)
    assert len({case.id for case in of(play.effects, Case)}) == 2
    assert told(play)[-1] == ("wang", Kind.RAISED)


def test_a_new_episode_of_an_unanswered_case_tells_again(play):
    play.say(smoke=0)
    play.wait(61)
    play.say(smoke=1)
    assert len({case.id for case in of(play.effects, Case)}) == 1
    assert [kind for _, kind in told(play)] == [Kind.RAISED, Kind.CLEARED, Kind.RAISED]


def test_false_alarm_ends_the_case(play):
    play.act(play.case().id, Verb.FALSE)
    assert play.case().stage is Stage.FALSE
    play.wait(3600)
    assert told(play) == [("wang", Kind.RAISED)]


def test_a_word_that_comes_twice_or_too_late_changes_nothing(play):
    case = play.case().id
    play.act(case, Verb.FALSE)
    before = len(of(play.effects, Entry))
    play.act(case, Verb.ACKNOWLEDGE)
    play.act("nobody-knows", Verb.DONE)
    assert len(of(play.effects, Entry)) == before
    assert play.noted().count("act_ignored") == 2


# ---------------------------------------------------------------- delivery


def test_later_is_tried_again_with_growing_waits(play):
    first = play.notifications()[0]
    waits = []
    for _ in range(5):
        play.told(first, Told.LATER)
        again = play.notifications()[-1]
        assert again.id == first.id and again.state is NotificationState.DUE
        waits.append(again.due_at - play.at)
        play.at = again.due_at
    assert waits == sorted(waits) and waits[0] < 10**9


def test_what_the_provider_asks_for_is_waited(play):
    play.told(play.notifications()[0], Told.LATER, retry_after_s=60)
    assert play.notifications()[-1].due_at - play.at >= 60 * 10**9


def test_refused_for_good_takes_the_next_rung_now(play):
    play.told(play.notifications()[0], Told.REFUSED, detail="no such robot")
    assert told(play)[-1] == ("li", Kind.ESCALATED)
    assert "notification_refused" in play.noted()


def test_an_empty_post_falls_upward_at_once_and_is_reported():
    posts = tuple(post for post in world().posts if post.role == "committee")
    play = Play(Engine(world(posts=posts), State(identity="0000002a")))
    play.say(smoke=1)
    assert told(play) == [("li", Kind.RAISED)]
    assert "post_empty" in play.noted()


def test_a_firm_replaced_at_midnight():
    """The alert before midnight goes to the old firm, the one after it to the new."""
    old, committee = world().posts
    posts = (
        replace(old, until=date(2026, 11, 3)),
        Post(role="property", at="yard", unit="firm", person="li", since=date(2026, 11, 3)),
        committee,
    )
    play = Play(Engine(world(posts=posts, rules=(HOT, SMOKE)), State(identity="0000002a")))
    play.say(smoke=1)
    play.wait(4 * 3600 + 60)  # 00:01
    play.say({3: 80})
    raised = [n.person for n in play.notifications() if n.kind is Kind.RAISED]
    assert raised == ["wang", "li"]


# ---------------------------------------------------------------- tables


def test_the_table_lets_nothing_out_of_an_ended_case():
    assert not [key for key in TURNS if key[0] in ENDED]


def test_closing_needs_the_sensor():
    assert [stage for (stage, turn) in TURNS if turn is Turn.VERIFIED] == [Stage.HANDLED]


def test_ids_sort_by_time_and_never_repeat():
    ids = [make_id(START_NS + n * 10**6, "0000002a", n) for n in range(1000)]
    assert ids == sorted(set(ids)) and {len(one) for one in ids} == {26}
    assert make_id(START_NS, "0000002b", 1) != make_id(START_NS, "0000002a", 1)
