"""What becomes of a message after a provider took it: receipts, their absence, and replies."""

import pytest

from gateway.core import state as states
from gateway.core.casebook import SENT_MOST
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Entry,
    Failure,
    Kind,
    Level,
    Noted,
    Notification,
    NotificationState,
    Person,
    Receipt,
    Reply,
    Stage,
    Step,
    Told,
    Verb,
)
from gateway.core.state import State
from gateway.web import words
from tests.unit.worlds import HOT, SMOKE, Play, of, world

WANG, LI = "13800000001", "+86 139-0000-0002"
MISSED, FAILED, DELIVERED = (
    NotificationState.MISSED,
    NotificationState.FAILED,
    NotificationState.DELIVERED,
)


def site(by=("sms",), **changes):
    """Rungs: the property by SMS, the same by voice after 5 min, the committee after 15."""
    ladder = (
        Step(role="property", by=by),
        Step(role="property", by=("voice",), after_s=300),
        Step(role="committee", by=("sms",), after_s=900),
    )
    persons = {
        "wang": Person(
            id="wang", says="王经理", unit="firm", reach={"sms": WANG, "voice": WANG, "wecom": "wang"}
        ),
        "li": Person(id="li", says="李主任", unit="jw", reach={"sms": LI}),
    }
    return world(rules=(HOT, SMOKE), ladders={level: ladder for level in Level}, persons=persons, **changes)


def fresh(by=("sms",), **values) -> Play:
    play = Play(engine=Engine(site(by), State(identity="0000002a")))
    play.say(**(values or {"smoke": 1}))
    return play


@pytest.fixture
def play() -> Play:
    return fresh()


def due(play) -> list[tuple[str, str, Kind]]:
    return [(n.person, n.channel, n.kind) for n in play.notifications() if n.state is NotificationState.DUE]


def accept(play, number="biz-1", receipt_s=60.0, which=-1) -> Notification:
    one = [n for n in play.notifications() if n.state is NotificationState.DUE][which]
    play.told(one, number=number, receipt_s=receipt_s)
    return one


def receipt(play, number="biz-1", delivered=True, channel="sms", detail="DELIVRD"):
    return play.give(Receipt(play.at, play.wall(), channel, number, delivered, detail))


def reply(play, text="1", address=WANG, channel="sms", number=""):
    return play.give(Reply(play.at, play.wall(), channel, address, text, number))


def history(play) -> list[str]:
    return [entry.what for entry in of(play.effects, Entry)]


def ignored(play) -> list[str]:
    return [one.fields["reason"] for one in of(play.effects, Noted) if one.event.endswith("_ignored")]


# ---------------------------------------------------------------- calls that nobody answers


def ring(play, failure):
    """The call that is due is made, and ends so."""
    one = accept(play, number=f"call-{len(play.effects)}", receipt_s=120.0)
    play.give(Receipt(play.at, play.wall(), "voice", one.id, False, "无人接听 200003", failure))


def called(by=("voice",)):
    return fresh(by)


def test_who_does_not_answer_is_rung_twice_more_and_then_the_next_rung_is_told():
    play = called()
    for number in (1, 2):
        ring(play, Failure.NO_ANSWER)
        assert history(play)[-2:] == ["no_answer", "call_again"]
        again = play.notifications()[-1]
        assert (again.state, again.calls) == (NotificationState.DUE, number)
        assert again.due_at == play.at + 60 * SECOND
        play.wait(60)
    ring(play, Failure.NO_ANSWER)
    assert history(play)[-2:] == ["no_answer", "escalated"]


@pytest.mark.parametrize("failure", [Failure.BUSY, Failure.OFF, Failure.INVALID])
def test_any_other_failure_goes_on_at_once_and_its_name_is_in_the_history(failure):
    play = called()
    ring(play, failure)
    assert history(play)[-2:] == [failure, "escalated"]
    assert str(failure) in words.ENTRIES


def test_the_ladders_own_time_is_not_lengthened_by_calls():
    """The next rung is due after 5 min: whoever does not answer then is rung no more for the first one."""
    play = called()
    play.wait(299)
    one = accept(play, number="call", receipt_s=120.0)
    play.wait(1)
    assert due(play)[-1] == ("wang", "voice", Kind.ESCALATED)
    play.give(Receipt(play.at, play.wall(), "voice", "call", False, "", Failure.NO_ANSWER))
    assert "call_again" not in history(play)
    assert one.calls == 0


def test_a_call_that_waits_for_its_minute_is_not_made_once_somebody_answered():
    play = called()
    ring(play, Failure.NO_ANSWER)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    assert play.notifications()[-1].state is NotificationState.CANCELLED


# ---------------------------------------------------------------- delivered or not


def test_a_notification_keeps_its_number(play):
    play.wait(3)
    accept(play)
    taken = play.notifications()[-1]
    assert (taken.number, taken.receipt_by) == ("biz-1", play.at + 60 * SECOND)
    assert taken.told_at == play.at > 0, "what a restart counts against the provider's limits"


def test_delivered_is_an_entry_and_the_ladder_keeps_its_time(play):
    one = accept(play)
    play.wait(10)
    receipt(play)
    assert history(play)[-1] == "delivered"
    told = play.notifications()[-1]
    assert (told.id, told.state, told.detail, told.receipt_by) == (one.id, DELIVERED, "DELIVRD", 0)
    play.wait(289)
    assert len(due(play)) == 1
    play.wait(1)
    assert due(play)[1:] == [("wang", "voice", Kind.ESCALATED)]


def test_without_a_receipt_the_next_rung_goes_at_once(play):
    accept(play)
    play.wait(59)
    assert len(due(play)) == 1
    play.wait(1)
    assert due(play)[1:] == [("wang", "voice", Kind.ESCALATED)]
    assert history(play)[-2:] == ["unreceipted", "escalated"]
    assert "notification_undelivered" in play.noted()


@pytest.mark.parametrize("delivered", [True, False])
def test_one_receipt_is_for_all_that_one_text_told(play, delivered):
    """A digest: the provider knows one message, we know what stands in it."""
    play.say({3: 80})
    both = [n for n in play.notifications() if n.state is NotificationState.DUE]
    assert [n.person for n in both] == ["wang", "wang"]
    for one in both:
        play.told(one, number="biz-1", receipt_s=60.0)
    receipt(play, number=both[0].id, delivered=delivered)  # as sms_aliyun says it: by our id of the worst
    heard = [n.id for n in play.notifications() if n.state is (DELIVERED if delivered else FAILED)]
    assert sorted(heard) == sorted(n.id for n in both)
    receipt(play, number=both[1].id)
    assert ignored(play) == ["heard already"]


def test_a_failed_receipt_does_not_wait_for_its_time(play):
    accept(play)
    play.wait(3)
    receipt(play, delivered=False, detail="MOBILE_NOT_ON_SERVICE")
    assert due(play)[1:] == [("wang", "voice", Kind.ESCALATED)]
    failed = [n for n in play.notifications() if n.state is FAILED]
    assert [n.detail for n in failed] == ["MOBILE_NOT_ON_SERVICE"]
    play.wait(60)  # the timer of the same message finds nothing to do any more
    assert len(due(play)) == 2


def test_the_rungs_after_a_hurried_one_keep_their_distance(play):
    accept(play)
    play.wait(60)
    play.wait(599)
    assert len(due(play)) == 2
    play.wait(1)
    assert due(play)[2:] == [("li", "sms", Kind.ESCALATED)]


def test_whoever_has_answered_needs_no_receipt(play):
    accept(play)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.wait(60)
    receipt(play, delivered=False)
    assert len(due(play)) == 1


def test_a_channel_without_receipts_is_not_waited_for(play):
    accept(play, number="", receipt_s=0.0)
    play.wait(299)
    assert len(due(play)) == 1
    assert play.engine.state.sent == {}


def test_another_way_of_the_same_rung_is_enough():
    """An SMS that fails beside a WeCom card that was delivered wakes nobody."""
    play = fresh(by=("sms", "wecom"))
    accept(play, "biz-1", which=0)
    accept(play, "card-1", which=1)
    receipt(play, "card-1", channel="wecom")
    receipt(play, "biz-1", delivered=False)
    play.wait(60)
    assert len(due(play)) == 2


def test_both_ways_must_fail_before_the_next_rung_hurries():
    play = fresh(by=("sms", "wecom"))
    accept(play, "biz-1", which=0)
    accept(play, "card-1", which=1)
    receipt(play, "biz-1", delivered=False)
    assert len(due(play)) == 2
    receipt(play, "card-1", channel="wecom", delivered=False)
    assert due(play)[2:] == [("wang", "voice", Kind.ESCALATED)]


def test_a_rung_that_was_taken_meanwhile_is_not_taken_twice(play):
    accept(play, receipt_s=400.0)
    play.wait(300)
    assert len(due(play)) == 2
    play.wait(100)
    assert len(due(play)) == 2


def test_good_news_that_fails_hurries_nobody(play):
    accept(play, receipt_s=0.0)
    play.say(smoke=0)
    play.wait(60)
    accept(play, "biz-2")
    assert play.notifications()[-2].kind is Kind.CLEARED
    receipt(play, "biz-2", delivered=False)
    assert (len(due(play)), play.case().rung) == (2, 1)
    assert history(play)[-1] == "undelivered"


# ---------------------------------------------------------------- twice, late, unknown, too early


def test_a_receipt_counts_once(play):
    accept(play)
    receipt(play)
    found = receipt(play)
    assert [type(one) for one in found] == [Noted]
    receipt(play, delivered=False)
    assert ignored(play) == ["heard already"] * 2
    assert len(due(play)) == 1


def test_a_receipt_too_late_changes_nothing(play):
    accept(play)
    play.wait(60)
    found = receipt(play)
    assert [one.event for one in of(found, Noted)] == ["receipt_ignored"]
    assert ignored(play) == ["too late"]


@pytest.mark.parametrize("number", ["biz-7", ""])
def test_a_receipt_for_nothing_of_ours(play, number):
    accept(play, number="")
    found = receipt(play, number)
    assert [type(one) for one in found] == [Noted]
    assert ignored(play) == ["no message of ours"]


def test_a_receipt_of_another_channel_is_not_ours(play):
    accept(play)
    receipt(play, channel="voice", delivered=False)
    assert ignored(play) == ["no message of ours"]
    assert len(due(play)) == 1


def test_a_receipt_may_overtake_the_answer(play):
    """A provider may call before we have written down that it took the message; it knows our id of it."""
    one = play.notifications()[0]
    receipt(play, one.id)
    assert play.case().stage is Stage.SENT
    play.told(one, number="biz-1", receipt_s=60.0)
    play.wait(299)
    assert len(due(play)) == 1


# ---------------------------------------------------------------- a time-out after sending


def unsure(play, **more):
    one = [n for n in play.notifications() if n.state is NotificationState.DUE][-1]
    play.told(one, Told.UNKNOWN, once=True, detail="timed out", **more)
    return one


def test_what_may_have_been_sent_is_not_sent_again(play):
    one = unsure(play, receipt_s=60.0)
    play.wait(3600)
    assert [n.id for n in play.notifications() if n.state is NotificationState.DUE].count(one.id) == 1
    assert "notification_retried" not in play.noted()
    assert "unsure" in history(play)


def test_red_goes_to_the_next_rung_at_once(play):
    unsure(play, receipt_s=60.0)
    assert due(play)[1:] == [("wang", "voice", Kind.ESCALATED)]


def test_less_than_red_waits_for_the_receipt():
    play = fresh(slots={3: 56})
    play.wait(60)  # HOT holds
    assert play.notifications()[0].level is Level.YELLOW
    one = unsure(play, receipt_s=60.0)
    assert len(due(play)) == 1 and play.case().stage is Stage.FOUND
    play.wait(30)
    receipt(play, one.id)
    assert play.case().stage is Stage.SENT
    play.wait(100)
    assert len(due(play)) == 1


def test_less_than_red_without_a_receipt_goes_on_too():
    play = fresh(slots={3: 56})
    play.wait(60)
    unsure(play, receipt_s=60.0)
    play.wait(60)
    assert len(due(play)) == 2


def test_without_any_receipt_to_wait_for_it_goes_on_at_once():
    play = fresh(slots={3: 56})
    play.wait(60)
    unsure(play)
    assert len(due(play)) == 2


def test_an_outcome_counts_once(play):
    """A process that died before it knew of the commit reports the same again."""
    one = unsure(play, receipt_s=60.0)
    found = play.told(one, Told.UNKNOWN, once=True, detail="timed out")
    assert found == []


def test_a_channel_that_may_repeat_is_retried_as_ever(play):
    play.told(play.notifications()[0], Told.UNKNOWN)
    assert "notification_retried" in play.noted()


# ---------------------------------------------------------------- a provider that is full


def test_red_does_not_wait_for_a_number_over_its_limit(play):
    play.told(play.notifications()[0], Told.LATER, retry_after_s=300.0)
    assert due(play)[-1] == ("wang", "voice", Kind.ESCALATED)
    assert "notification_retried" in play.noted()


def test_it_waits_for_a_short_turn(play):
    play.told(play.notifications()[0], Told.LATER, retry_after_s=60.0)
    assert {channel for _, channel, _ in due(play)} == {"sms"}


def test_less_than_red_waits_its_turn():
    play = fresh(slots={3: 56})
    play.wait(60)
    play.told(play.notifications()[0], Told.LATER, retry_after_s=300.0)
    assert {channel for _, channel, _ in due(play)} == {"sms"}


# ---------------------------------------------------------------- replies


def test_one_takes_the_case_on(play):
    accept(play)
    reply(play)
    case = play.case()
    assert (case.stage, case.acknowledged_by) == (Stage.ACKNOWLEDGED, "wang")
    entry = of(play.effects, Entry)[-1]
    assert (entry.what, entry.person, entry.channel) == ("acknowledged", "wang", "sms")
    play.wait(3600)
    assert len(due(play)) == 1


def test_a_number_is_known_however_it_is_written(play):
    accept(play)
    play.wait(960)  # the committee was told, by +86 139-0000-0002
    accept(play, "biz-3")
    reply(play, " 1 ", address="8613900000002")
    assert play.case().acknowledged_by == "li"


def test_the_newest_unanswered_message_is_meant():
    play = Play(engine=Engine(site(), State(identity="0000002a")))
    play.say(smoke=1)
    first = accept(play, "biz-1")
    play.wait(1)
    play.say(slots={3: 80})
    play.wait(60)
    newest = [n for n in play.notifications() if n.state is NotificationState.DUE and n.channel == "sms"][-1]
    play.told(newest, number="biz-2", receipt_s=60.0)
    found = reply(play)
    assert [one.case for one in of(found, Entry)] == [newest.case]
    found = reply(play)
    assert [one.case for one in of(found, Entry)] == [first.case] != [newest.case]


def test_the_message_that_is_named_is_meant(play):
    accept(play)
    play.say(slots={3: 80})
    first = play.notifications()[0]
    reply(play, number="biz-1")
    assert play.engine.state.cases[first.case].stage is Stage.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("1", {"address": "13800000009"}),
        ("1", {"number": "biz-9"}),
        ("1", {"channel": "voice"}),
        ("1", {"number": "biz-1", "address": "13800000009"}),
    ],
)
def test_a_reply_from_nobody_of_ours_changes_nothing(play, text, more):
    accept(play)
    found = reply(play, text, **more)
    assert [one.event for one in found] == ["reply_ignored"]


def test_other_words_are_kept_and_answer_nothing(play):
    accept(play)
    found = reply(play, "马上到" * 100)
    (entry,) = of(found, Entry)
    assert (entry.what, entry.person, len(entry.note)) == ("replied", "wang", 200)
    assert play.case().stage is Stage.SENT
    assert ignored(play) == ["no answer we know"]


def test_one_that_comes_twice_is_one(play):
    accept(play)
    reply(play, number="biz-1")
    found = reply(play, number="biz-1")
    assert [one.event for one in found] == ["act_ignored"]


# ---------------------------------------------------------------- kept, bounded, restarted


def test_what_is_waited_for_survives_a_restart(play):
    accept(play)
    play.wait(30)
    play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
    assert play.engine.next_due() == 60 * SECOND
    play.wait(30)
    assert due(play)[1:] == [("wang", "voice", Kind.ESCALATED)]
    assert [n.state for n in play.notifications() if n.number == "biz-1"][-1] is MISSED


def test_a_restart_after_the_time_goes_on_at_once(play):
    accept(play)
    play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
    play.at += 3600 * SECOND
    play.say(smoke=1)
    assert ("wang", "voice", Kind.ESCALATED) in due(play)


def test_how_many_wait_is_bounded():
    devices = tuple(f"cab-{i}" for i in range(SENT_MOST + 5))
    play = Play(engine=Engine(site(devices=devices), State(identity="0000002a")))
    for name in devices:
        play.say(smoke=1, topic=f"site/{name}")
        accept(play, f"biz-{name}")
    assert len(play.engine.state.sent) == SENT_MOST
    assert ignored(play) == ["too many wait"] * 5


def test_what_is_over_is_forgotten(play):
    accept(play)
    play.act(play.case().id, Verb.FALSE)
    play.say(smoke=0)
    play.wait(120)
    play.say(smoke=1)
    accept(play, "biz-2")
    assert [one.number for one in play.engine.state.sent.values()] == ["biz-2"]


def test_a_userid_is_the_same_in_any_case():
    """WeCom says wangjl of whom its console calls WangJL."""
    ladder = (Step(role="property", by=("app",)),)
    wang = Person(id="wang", says="王经理", unit="firm", reach={"app": "WangJL"})
    street = world(rules=(SMOKE,), ladders={level: ladder for level in Level}, persons={"wang": wang})
    play = Play(engine=Engine(street, State(identity="0000002a")))
    play.say(smoke=1)
    play.told(play.notifications()[-1], number="msg-1")
    play.give(Reply(play.at, play.wall(), "app", "wangjl", "1", ""))
    assert play.case().stage is Stage.ACKNOWLEDGED
