"""Beside the pipeline somebody looks whether every open case moves; and tells by himself when none does."""

import sqlite3

import pytest

from gateway import telemetry
from gateway.adapters.store import Record, Store
from gateway.channels import Answer
from gateway.core.model import SECOND, Act, Step, Tick, Told, Verb
from gateway.core.stalled import GRACE_NS, stalled
from gateway.watchdog import STALLED, Watchdog
from tests.unit.test_case_life import playing
from tests.unit.worlds import SMOKE, START_NS

MINUTE = 60


class FakeClock:
    """As the pipeline's, standing where it is put."""

    def __init__(self):
        self.now = 0

    def at(self):
        return self.now

    def wall_ns(self):
        return START_NS + self.now

    def real_s(self, span_ns):
        return span_ns / SECOND


class Way:
    """A channel that keeps what it is given."""

    def __init__(self, fails=False):
        self.sent, self.fails = [], fails

    def send(self, told, text, link):
        self.sent.append(told)
        if self.fails:
            raise OSError("no line")
        return Answer(Told.ACCEPTED)


@pytest.fixture
def fire():
    play = playing(SMOKE, supervisor=Step(role="street", by=("siren", "inbox")), groups=frozenset({"siren"}))
    play.say(smoke=1)
    for one in list(play.engine.state.notifications.values()):
        play.told(one)
    return play


class Watch:
    """A watchdog over the store that a play left, at an hour of its own."""

    def __init__(self, play, folder, **channels):
        self.store, self.clock, self.woken = Store(folder), FakeClock(), []
        self.store.commit([Record(Tick(1, START_NS), play.effects)])
        self.channels = channels or {"siren": Way(), "inbox": Way()}
        self.dog = Watchdog(
            self.store, self.clock, lambda: play.engine.world, self.channels, lambda: self.woken.append(1)
        )

    def look(self, seconds):
        self.clock.now = int(seconds * SECOND)
        return [case.id for case in self.dog.look()]


@pytest.fixture
def watch(fire, tmp_path):
    watches = []

    def make(play=fire, **channels):
        watches.append(Watch(play, tmp_path, **channels))
        return watches[-1]

    yield make
    for one in watches:
        one.store.close()


def test_a_case_whose_step_is_not_long_overdue_is_left_alone(watch):
    """Its clock runs out after two minutes; three more are patience."""
    one = watch()
    assert one.look(5 * MINUTE) == [] and one.woken == []
    assert one.look(5 * MINUTE + 1) != [] and one.woken == [1]


def test_first_the_pipeline_is_woken_and_then_it_tells_by_itself(watch, fire):
    one = watch()
    with telemetry.testing() as seen:
        one.look(6 * MINUTE)
        assert not one.channels["inbox"].sent and not one.channels["siren"].sent
        one.look(7 * MINUTE)
    (case,) = fire.engine.state.cases
    assert [(told.person, told.case) for told in one.channels["siren"].sent] == [("zhao", case)]
    (told,) = one.channels["inbox"].sent
    assert told.title == "【红色报警，网关升级停滞】充电柜烟雾 · cab-1"
    assert "位置：向阳小区" in told.text and "请直接联系现场处理" in told.text
    assert [said.event for said in seen].count("case_stalled") == 2
    assert STALLED._value.get() == 1


def test_it_tells_again_each_hour_and_not_each_minute(watch):
    one = watch()
    for minute in range(6, 67):
        one.look(minute * MINUTE)
    assert len(one.channels["inbox"].sent) == 1
    one.look(67 * MINUTE)
    assert len(one.channels["inbox"].sent) == 2


def test_one_way_that_fails_keeps_no_other_from_it(watch):
    one = watch(siren=Way(fails=True), inbox=Way())
    one.look(6 * MINUTE)
    one.look(7 * MINUTE)
    assert len(one.channels["siren"].sent) == len(one.channels["inbox"].sent) == 1


def test_what_moves_again_is_told_of_no_more(watch, fire):
    one = watch()
    one.look(6 * MINUTE)
    before = len(fire.effects)
    fire.wait(6 * MINUTE)
    one.store.commit([Record(Tick(2, START_NS), fire.effects[before:])])
    assert one.look(7 * MINUTE) == []
    assert one.channels["inbox"].sent == [] and STALLED._value.get() == 0


def test_it_needs_no_disk_that_can_be_written(watch):
    one = watch()
    one.store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(sqlite3.OperationalError):
        one.store.remember("x", b"")
    one.look(6 * MINUTE)
    one.look(7 * MINUTE)
    assert one.channels["inbox"].sent


def test_what_is_answered_suspended_or_on_the_shelf_does_not_lie(fire):
    """Each has a clock of its own, and may stand as long as that says."""
    state, world = fire.engine.state, fire.engine.world
    (name,) = state.cases

    def lies(seconds):
        return bool(stalled(world, state.cases.values(), state.alerts.values(), int(seconds * SECOND)))

    assert lies(10 * MINUTE)
    fire.act(name, Verb.ACKNOWLEDGE)
    assert not lies(10 * MINUTE) and lies(2 * 3600)
    until_ns = fire.wall() + 1500 * SECOND
    fire.give(Act(fire.at, fire.wall(), name, "wang", Verb.SHELVE, "换探头", until_ns=until_ns))
    assert not lies(1400)
    assert GRACE_NS == 180 * SECOND
