"""On the shelf nobody is told of an alarm, because somebody said why and until when; and it is never lost."""

from dataclasses import replace

import msgspec
import pytest

from gateway.adapters import audit
from gateway.adapters.store import Record, Store
from gateway.core import state as states
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
    Level,
    NotificationState,
    Shelf,
    Verb,
)
from gateway.core.state import State
from gateway.web import rows
from tests.unit.test_case_life import street
from tests.unit.worlds import HOT, SILENT, SMOKE, START_NS, Play, of

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.fixture
def play():
    return playing(HOT, SMOKE)


def playing(*rules, **changes):
    return Play(Engine(street(*rules, **changes), State(identity="0000002a")))


def do(play, verb, name, person="wang", until_s=0.0, note="换传感器，已约厂家", to=""):
    until_ns = play.wall() + int(until_s * SECOND) if until_s else 0
    return play.give(Act(play.at, play.wall(), name, person, verb, note, "cli", to=to, until_ns=until_ns))


def hot(play, slot=3, t=58.0, seconds=61):
    """A slot is warm for longer than its hold."""
    play.say({slot: t})
    play.wait(seconds)
    play.say({slot: t})


def told(play, kinds=None):
    return [
        (one.person, one.kind)
        for one in play.notifications()
        if one.state is NotificationState.DUE and (kinds is None or one.kind in kinds)
    ]


def ignored(effects):
    return [one.fields["reason"] for one in effects if getattr(one, "event", "") == "act_ignored"]


def alert(play):
    (found,) = play.engine.state.alerts.values()
    return found


def shelf(play):
    (found,) = play.engine.state.shelves.values()
    return found


# ---------------------------------------------------------------- onto it


def test_a_shelved_case_tells_nobody_until_its_end_and_then_at_once(play):
    hot(play)
    (case,) = play.engine.state.cases
    do(play, Verb.SHELVE, case, until_s=2 * HOUR)
    before = len(told(play))
    play.wait(2 * HOUR - 1)
    assert told(play)[before:] == []
    assert (alert(play).shelved, alert(play).state) == (shelf(play).id, AlertState.FIRING)
    play.wait(1)
    assert told(play)[before:] == [("wang", Kind.RAISED)]
    assert play.engine.state.shelves == {}
    play.wait(5 * MINUTE)
    assert told(play)[before:] == [("wang", Kind.RAISED), ("li", Kind.ESCALATED)]


def test_what_is_raised_on_the_shelf_is_kept_and_opens_its_case_at_the_end(play):
    do(play, Verb.SHELVE, "slot-hot|cab-1|slot-3", until_s=HOUR)
    hot(play)
    assert alert(play).shelved == shelf(play).id
    assert (play.engine.state.cases, told(play)) == ({}, [])
    hot(play, slot=4)
    assert [person for person, _ in told(play)] == ["wang"]  # the slot beside it is no shelf's
    play.wait(HOUR)
    assert ("wang", Kind.RAISED) in told(play)[1:]
    assert all(one.case and not one.shelved for one in play.engine.state.alerts.values())


def test_what_ended_on_the_shelf_is_told_to_nobody_who_was_not_told_of_it(play):
    do(play, Verb.SHELVE, "slot-hot|cab-1|slot-3", until_s=HOUR)
    hot(play)
    play.say({3: 30.0})
    play.wait(2 * HOUR)
    assert (told(play), play.engine.state.alerts, play.engine.state.shelves) == ([], {}, {})


def test_who_was_told_before_it_was_shelved_is_told_of_its_end(play):
    hot(play)
    do(play, Verb.SHELVE, alert(play).id, until_s=2 * HOUR)
    play.say({3: 30.0})
    play.wait(10 * MINUTE)
    assert ("wang", Kind.CLEARED) in told(play)
    assert not play.case().silent  # its feedback is asked for as of any


@pytest.mark.parametrize("where", ["case", "alert"])
def test_a_rise_beyond_the_shelved_level_breaks_through(play, where):
    hot(play)
    name = next(iter(play.engine.state.cases)) if where == "case" else alert(play).id
    do(play, Verb.SHELVE, name, until_s=DAY)
    before = len(told(play))
    play.say({3: 70.0})
    play.wait(11)
    assert told(play)[before:] == [("wang", Kind.RISEN)]
    assert (alert(play).level, alert(play).shelved) == (Level.ORANGE, "")
    play.say({3: 57.0})  # and whoever was told of it stays told: it does not slip back
    play.wait(6 * MINUTE)
    assert not play.case().silent


def test_a_rise_of_what_was_raised_on_the_shelf_breaks_through_too(play):
    do(play, Verb.SHELVE, "slot-hot|cab-1|slot-3", until_s=DAY)
    hot(play)
    play.say({3: 80.0})
    play.wait(1)
    assert told(play) == [("wang", Kind.RISEN)]


def test_an_answer_does_not_outlast_the_shelf(play):
    """Whoever took it on hears anew: an alarm that comes back from the shelf is nobody's yet."""
    hot(play)
    (case,) = play.engine.state.cases
    play.act(case, Verb.ACKNOWLEDGE)
    do(play, Verb.SHELVE, case, until_s=HOUR)
    before = len(told(play))
    play.wait(HOUR)
    assert told(play)[before:] == [("wang", Kind.RAISED)]


def test_of_two_that_stand_in_a_case_the_other_is_told_on(play):
    play = playing(HOT, SMOKE, join_within_s=120.0)
    play.say({3: 58.0, 4: 58.0})
    play.wait(61)
    play.say({3: 58.0, 4: 58.0})
    first, second = sorted(play.engine.state.alerts)
    (case,) = play.engine.state.cases.values()
    do(play, Verb.SHELVE, first, until_s=DAY)
    assert not play.engine.state.cases[case.id].silent
    do(play, Verb.SHELVE, second, until_s=DAY)
    assert play.engine.state.cases[case.id].silent
    do(play, Verb.UNSHELVE, first)
    assert not play.engine.state.cases[case.id].silent


def test_what_hid_behind_a_shelved_cause_is_shown(play):
    behind = replace(HOT, inhibited_by=(Cause(rule="smoke"),))
    play = playing(behind, SMOKE)
    play.say(smoke=1)
    hot(play)
    (symptom,) = [one for one in play.engine.state.alerts.values() if one.rule == "slot-hot"]
    assert symptom.hidden_by
    do(play, Verb.SHELVE, symptom.hidden_by, until_s=20 * MINUTE)
    assert not play.engine.state.alerts[symptom.id].hidden_by
    assert told(play)[-1] == ("wang", Kind.RAISED)


# ---------------------------------------------------------------- what may not be


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"note": " "}, "no reason given"),
        ({"person": ""}, "nobody answers for it"),
        ({"until_s": 0.0}, "no end given"),
        ({"until_s": -1.0}, "no end given"),
        ({"until_s": 7 * DAY + 1}, "longer than yellow may be shelved: 7 天"),
        ({"name": "slot-hot|no-such|slot-3"}, "no such alert, rule or device"),
        ({"name": ""}, "no such alert, rule or device"),
    ],
)
def test_without_reason_owner_or_end_nothing_is_shelved(play, changes, reason):
    hot(play)
    given = {"name": alert(play).id, "until_s": float(HOUR), **changes}
    assert ignored(do(play, Verb.SHELVE, **given)) == [reason]
    assert play.engine.state.shelves == {}


def test_the_street_says_for_how_long_each_level_may_be(play):
    play = playing(HOT, SMOKE, shelve_most_s={"yellow": 600.0, "cabinet.yellow": 300.0})
    hot(play)
    assert ignored(do(play, Verb.SHELVE, alert(play).id, until_s=301))
    assert not ignored(do(play, Verb.SHELVE, alert(play).id, until_s=300))


def test_red_for_more_than_half_an_hour_needs_a_second_person(play):
    play.say(smoke=1)
    (case,) = play.engine.state.cases
    do(play, Verb.SHELVE, case, until_s=2 * HOUR)
    assert not shelf(play).in_force
    assert ("li", Kind.SHELVE_ASKED) in told(play)
    play.wait(5 * MINUTE)
    assert ("li", Kind.LATE) in told(play)  # until somebody agrees, it rings
    assert ignored(do(play, Verb.AGREE, case, person="wang")) == ["asked for it himself"]
    before = len(told(play))
    do(play, Verb.AGREE, case, person="li")
    assert (shelf(play).in_force, shelf(play).agreed_by) == (True, "li")
    play.wait(HOUR)
    assert told(play)[before:] == []


def test_half_an_hour_of_red_is_one_persons_affair_and_not_longer_by_renewing_it(play):
    play.say(smoke=1)
    (case,) = play.engine.state.cases
    do(play, Verb.SHELVE, case, until_s=30 * MINUTE)
    assert shelf(play).in_force
    play.wait(20 * MINUTE)
    do(play, Verb.SHELVE, case, until_s=30 * MINUTE)
    assert sorted(one.in_force for one in play.engine.state.shelves.values()) == [False, True]
    before = len(told(play))
    play.wait(10 * MINUTE)
    assert ("wang", Kind.RAISED) in told(play)[before:]


def test_what_nobody_agreed_to_is_forgotten_at_its_end(play):
    play.say(smoke=1)
    (case,) = play.engine.state.cases
    do(play, Verb.SHELVE, case, until_s=HOUR)
    play.wait(HOUR)
    assert play.engine.state.shelves == {}
    assert ignored(do(play, Verb.AGREE, case, person="li")) == ["nothing to agree to"]


def test_a_case_on_the_shelf_still_counts_and_one_that_nobody_heard_of_does_not(play):
    hot(play)
    do(play, Verb.SHELVE, alert(play).id, until_s=HOUR)
    (case,) = play.engine.state.cases.values()
    assert case.silent and not case.unheard
    assert msgspec.structs.replace(case, told=()).unheard


# ---------------------------------------------------------------- a device out of service


def test_of_a_device_out_of_service_nothing_is_told_and_its_silence_is_no_alarm():
    play = playing(HOT, SMOKE, SILENT)
    play.say(smoke=0)
    do(play, Verb.OUT_OF_SERVICE, "cab-1", until_s=3 * DAY)
    do(play, Verb.AGREE, "cab-1", person="li")
    hot(play)
    play.say(smoke=1)
    play.wait(2 * DAY)
    assert {one.rule for one in play.engine.state.alerts.values()} == {"slot-hot", "smoke", "silent"}
    assert (told(play), play.engine.state.cases) == ([], {})
    play.wait(DAY)
    assert {one.rule for one in of(play.effects, Case)} >= {"slot-hot", "smoke", "silent"}


def test_past_its_date_whoever_answers_for_it_has_an_alarm_until_it_is_back():
    play = playing(HOT, SMOKE)
    do(play, Verb.OUT_OF_SERVICE, "cab-1", person="zhao", until_s=20 * MINUTE)
    play.wait(20 * MINUTE)
    assert sorted(told(play)) == [("wang", Kind.RAISED), ("zhao", Kind.RAISED)]
    (text,) = [one.text for one in play.notifications() if one.person == "zhao"]
    assert "停用到期" in text and "赵队长：换传感器，已约厂家" in text
    assert alert(play).rule == "out-of-service"
    do(play, Verb.OUT_OF_SERVICE, "cab-1", person="zhao", until_s=20 * MINUTE)  # it takes longer
    play.wait(30 * MINUTE)
    assert alert(play).rule == "out-of-service", "one alarm, however often it is put off"
    do(play, Verb.DONE, next(iter(play.engine.state.cases)), person="zhao")
    assert (play.engine.state.alerts, play.engine.state.cases) == ({}, {})


def test_a_device_that_nobody_agreed_to_put_out_of_service_need_not_return():
    play = playing(HOT, SMOKE)
    do(play, Verb.OUT_OF_SERVICE, "cab-1", until_s=DAY)
    play.wait(2 * DAY)
    assert (told(play), play.engine.state.shelves) == ([], {})


def test_what_came_back_before_its_date_is_no_alarm():
    play = playing(HOT, SMOKE)
    do(play, Verb.OUT_OF_SERVICE, "cab-1", until_s=20 * MINUTE)
    do(play, Verb.UNSHELVE, "cab-1")
    play.wait(HOUR)
    assert told(play) == []


def test_it_comes_back_when_somebody_says_so(play):
    do(play, Verb.OUT_OF_SERVICE, "cab-1", until_s=20 * MINUTE)
    play.say(smoke=1)
    assert told(play) == []
    do(play, Verb.UNSHELVE, "cab-1", person="li", note="")
    assert told(play) == [("wang", Kind.RAISED)]
    assert ignored(do(play, Verb.UNSHELVE, "cab-1")) == ["nothing is shelved"]


# ---------------------------------------------------------------- it is kept


def week(play):
    """Every turn of a shelf, with the hours between."""
    hot(play)
    name = next(iter(play.engine.state.cases))
    yield do(play, Verb.SHELVE, name, until_s=HOUR)
    yield play.wait(30 * MINUTE)
    yield do(play, Verb.SHELVE, "slot-hot|cab-1|slot-4", until_s=2 * HOUR, to="orange")
    hot(play, slot=4)
    yield play.wait(31 * MINUTE)
    play.say({4: 80.0})
    yield play.wait(HOUR)
    play.say({4: 57.0})
    yield play.wait(10 * MINUTE)
    yield do(play, Verb.OUT_OF_SERVICE, "cab-1", until_s=DAY)
    yield do(play, Verb.AGREE, "cab-1", person="li")
    yield play.wait(DAY)


def test_a_restart_anywhere_changes_nothing(play):
    undisturbed = list(week(play))
    other = playing(HOT, SMOKE)
    for number, found in enumerate(week(other)):
        assert found == undisturbed[number], number
        assert other.effects == play.effects[: len(other.effects)]
        other.engine = Engine(other.engine.world, states.load(states.save(other.engine.state)))


def test_every_shelf_is_in_the_chained_history_and_in_the_store(play, tmp_path):
    assert len(list(week(play))) == 9
    effects, shelves = play.effects, of(play.effects, Shelf)
    lines = [one for one in of(effects, Entry) if one.case in {each.id for each in shelves}]
    assert [one.what for one in lines] == [
        "shelved", "shelved", "held", "shelf_ended", "shelve_asked", "out_of_service", "shelf_ended",
        "shelf_ended",
    ]  # fmt: skip
    store = Store(tmp_path)
    store.commit([Record(Act(0, START_NS, "", "", Verb.NOTE), effects)])
    assert rows.shelves(store.reader()) == []
    first = msgspec.structs.replace(shelves[0], ended_ns=0)
    store.commit([Record(Act(1, START_NS, "", "", Verb.NOTE), [first])])
    assert [one.id for one in rows.shelves(store.reader())] == [first.id]
    assert audit.verify(store.reader()).broken is None
    store.close()


def test_an_alert_of_the_shelf_says_so_in_its_own_row(play):
    do(play, Verb.SHELVE, "slot-hot|cab-1|slot-3", until_s=HOUR)
    hot(play)
    assert of(play.effects, Alert)[-1].shelved == of(play.effects, Shelf)[0].id
