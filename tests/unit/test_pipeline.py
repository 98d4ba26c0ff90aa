"""The one writer: commit, then acknowledge; a crash on any line loses nothing and tells nothing twice."""

import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from gateway import telemetry
from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import Store
from gateway.core.model import (
    Alert,
    Level,
    Link,
    Message,
    Messages,
    Notification,
    NotificationState,
    Outcome,
    Receipt,
    Told,
)
from gateway.pipeline import Pipeline, judged_last, rebuild
from tests.unit.worlds import HOT, SMOKE, START_NS, TOPIC, limits, of, payload, world
from tests.waiting import until

WORLD = world(rules=(HOT, SMOKE))


@dataclass
class Broker:
    """What a gateway sees of one: it keeps what is not acknowledged."""

    acknowledged: list = field(default_factory=list)
    waiting: list = field(default_factory=list)

    def acknowledge(self, deliveries):
        for delivery in deliveries:
            self.acknowledged += delivery.messages
            if delivery in self.waiting:
                self.waiting.remove(delivery)

    def send(self, pipeline, *payloads, topic=TOPIC):
        delivery = Delivery(1, tuple(range(1, len(payloads) + 1)), [Message(topic, p) for p in payloads])
        self.waiting.append(delivery)
        assert pipeline.deliver(delivery)


class Killed(BaseException):
    """The process ends here."""


def until_killed(run):
    with suppress(Killed):
        run()


class Gateway:
    """A pipeline on a real store, with what it offers collected. `crash` leaves as kill -9 does."""

    def __init__(self, directory, broker):
        self.store = Store(directory)
        at, _ = self.store.last_instant()
        self.clock = Clock(at, 0, Anchor(time.monotonic_ns(), START_NS))
        self.offered: list[Notification] = []
        self.pipeline = Pipeline(WORLD, self.store, self.clock, self.offered.extend, lambda *_: None)
        self.pipeline.listen_to(broker)
        self.pipeline._thread = threading.Thread(target=until_killed, args=[self.pipeline._run], daemon=True)
        self.broker = broker

    def start(self):
        self.pipeline.start()
        self.pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
        for delivery in list(self.broker.waiting):  # the broker sends again what was not acknowledged
            self.broker.waiting.remove(delivery)
            again = [Message(m.topic, m.payload, m.retained, True) for m in delivery.messages]
            self.broker.waiting.append(Delivery(2, delivery.mids, again))
            self.pipeline.deliver(self.broker.waiting[-1])
        return self

    def crash(self):
        self.pipeline._save_last = lambda: None
        self.pipeline.stop()
        self.store.close()

    def alerts(self):
        return (
            self.store.reader().execute("SELECT id, rule, component, state FROM alert ORDER BY id").fetchall()
        )


@pytest.fixture
def broker():
    return Broker()


def test_acknowledged_after_the_commit_and_in_order(tmp_path, broker):
    gateway = Gateway(tmp_path, broker).start()
    committed_then = []
    original = broker.acknowledge
    broker.acknowledge = lambda found: (committed_then.append(gateway.store.position()), original(found))
    broker.send(gateway.pipeline, payload({1: 20}), payload({2: 20}))
    until(lambda: len(broker.acknowledged) == 2)
    assert committed_then[-1] >= 2
    assert [m.payload for m in broker.acknowledged] == [payload({1: 20}), payload({2: 20})]
    gateway.crash()


def test_what_is_due_is_offered_after_the_commit_and_once(tmp_path, broker):
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload(smoke=1))
    until(lambda: gateway.offered)
    assert [n.person for n in gateway.store.due_notifications()] == ["wang"]
    told = gateway.offered[0].id
    gateway.pipeline.submit(lambda at, wall: Outcome(at, wall, told, Told.ACCEPTED)).result(10)
    assert gateway.store.due_notifications() == []
    gateway.crash()


def test_what_waits_for_its_receipt_is_offered_and_outlives_a_crash(tmp_path, broker):
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload(smoke=1))
    until(lambda: gateway.offered)
    told = gateway.offered.pop().id
    gateway.pipeline.submit(lambda at, wall: Outcome(at, wall, told, Told.ACCEPTED, receipt_s=60.0)).result(
        10
    )
    (waiting,) = gateway.offered
    assert (waiting.id, waiting.state) == (told, NotificationState.ACCEPTED)
    gateway.crash()

    again = Gateway(tmp_path, broker).start()
    at = waiting.receipt_by
    assert again.store.awaited_notifications(at - 1) == [waiting]
    assert again.store.awaited_notifications(at) == []
    again.pipeline.submit(lambda at, wall: Receipt(at, wall, "inbox", told, True)).result(10)
    assert again.store.awaited_notifications(at - 1) == []
    again.crash()
    with telemetry.testing() as log:
        engine = rebuild(WORLD, Store(tmp_path))
    assert [one.state for one in engine.state.sent.values()] == [NotificationState.DELIVERED]
    assert log == []


CRASHES = ["before the commit", "after the commit", "after the acknowledgement"]


@pytest.mark.parametrize("where", CRASHES)
def test_a_crash_on_any_line_loses_nothing_and_tells_once(tmp_path, broker, where):
    """The next start steps the log again and takes the broker's second delivery for what it is."""
    gateway = Gateway(tmp_path, broker).start()
    crashed = []

    def die(*_):
        crashed.append(True)
        gateway.pipeline._stopping = True
        raise Killed

    if where == "before the commit":
        gateway.store.commit = die
    elif where == "after the commit":
        broker.acknowledge = die
    else:
        gateway.pipeline._tell = die
    broker.send(gateway.pipeline, payload(smoke=1, ts=START_NS // 10**9))
    until(lambda: crashed)
    gateway.crash()

    broker.__dict__.pop("acknowledge", None)
    again = Gateway(tmp_path, broker).start()
    until(lambda: not broker.waiting)
    assert [tuple(row)[1:] for row in again.alerts()] == [("smoke", "", "firing")]
    assert len(again.store.due_notifications()) == 1, "due in the store: the app offers it at start"
    again.crash()


def test_mutant_acknowledging_first_loses_the_alert(tmp_path, broker):
    """The test above sees: with the acknowledgement before the commit the same crash loses the alert."""
    gateway = Gateway(tmp_path, broker).start()
    decide, crashed = gateway.pipeline._decide, []

    def acknowledge_first(work):
        broker.acknowledge([found for found in work if isinstance(found, Delivery)])
        return decide(work)

    def die(*_):
        crashed.append(True)
        gateway.pipeline._stopping = True
        raise Killed

    gateway.pipeline._decide, gateway.store.commit = acknowledge_first, die
    broker.send(gateway.pipeline, payload(smoke=1))
    until(lambda: crashed)
    gateway.crash()
    again = Gateway(tmp_path, broker).start()
    assert not broker.waiting and again.alerts() == []
    again.crash()


def test_what_a_channel_answered_before_the_stop_counts(tmp_path, broker):
    """Else whoever was told in the last moment would be told again after every restart."""
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload(smoke=1))
    until(lambda: gateway.offered)
    told, taken, go_on = gateway.offered[0].id, threading.Event(), threading.Event()

    def held(*arguments):
        taken.set()
        assert go_on.wait(10)
        return commit(*arguments)

    commit, gateway.store.commit = gateway.store.commit, held
    broker.send(gateway.pipeline, payload({1: 20}))
    assert taken.wait(10)
    gateway.pipeline.submit(lambda at, wall: Outcome(at, wall, told, Told.ACCEPTED))
    threading.Timer(0.1, go_on.set).start()
    gateway.pipeline.stop()
    assert gateway.store.due_notifications() == []
    gateway.store.close()


def test_a_hold_goes_on_over_a_crash(tmp_path, broker):
    """Bad for 30 s, killed, down for no time, 30 s more: it fires at 60 s as if nothing had been."""
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload({3: 56}))
    until(lambda: not broker.waiting)
    gateway.crash()
    engine = rebuild(WORLD, Store(tmp_path))
    (track,) = engine.state.tracks.values()
    assert track.rule == "slot-hot" and engine.next_due() == track.standings[0].since + 60 * 10**9


def test_an_answer_waits_for_no_message(tmp_path, broker):
    """Behind thousands of redelivered messages an outcome would be told again by the next crash."""
    gateway = Gateway(tmp_path, broker)  # not started: the queue fills
    broker.send(gateway.pipeline, payload({1: 20}))
    gateway.pipeline.submit(lambda at, wall: Outcome(at, wall, "told", Told.ACCEPTED))
    gateway.pipeline.submit_in_order(lambda at, wall: Link(at, wall, False))
    kinds = [type(event).__name__ for event, _ in gateway.pipeline._events(gateway.pipeline._take())]
    assert kinds[-3:] == ["Outcome", "Messages", "Link"]
    gateway.store.close()


def test_full_queue_makes_the_broker_wait(tmp_path, broker, monkeypatch):
    monkeypatch.setattr("gateway.pipeline.QUEUE_MOST", 2)
    gateway = Gateway(tmp_path, broker)  # not started: nothing is taken out
    broker.send(gateway.pipeline, b"{}", b"{}")
    assert gateway.pipeline.deliver(Delivery(1, (3,), [Message(TOPIC, b"{}")])) is False
    gateway.store.close()


def test_disk_trouble_acknowledges_nothing_and_heals(tmp_path, broker, monkeypatch):
    monkeypatch.setattr("gateway.pipeline.STORE_RETRY_S", 0.01)
    gateway = Gateway(tmp_path, broker).start()
    commit, failures = gateway.store.commit, iter([sqlite3.OperationalError("disk is full")] * 3)

    def failing(*arguments):
        for failure in failures:
            assert not broker.acknowledged
            raise failure
        return commit(*arguments)

    gateway.store.commit = failing
    broker.send(gateway.pipeline, payload(smoke=1))
    until(lambda: not broker.waiting)
    assert len(gateway.alerts()) == 1 and next(failures, None) is None
    gateway.crash()


def test_a_message_that_breaks_our_code_is_kept_and_its_neighbours_go_on(tmp_path, broker, monkeypatch):
    gateway = Gateway(tmp_path, broker).start()
    fragile(gateway.pipeline.engine)
    monkeypatch.setattr("gateway.pipeline.rebuild", lambda *arguments: fragile(rebuild(*arguments)))
    broker.send(gateway.pipeline, payload({1: 20}), b'{"poison":1}', payload(smoke=1))
    until(lambda: not broker.waiting)
    rows = gateway.store.reader().execute("SELECT code, payload FROM quarantine").fetchall()
    assert [tuple(row) for row in rows] == [("crashed", b'{"poison":1}')]
    assert len(gateway.alerts()) == 1
    gateway.crash()


def fragile(engine):
    """A bug of ours that one payload wakes."""
    step = engine.step

    def breaking(event):
        if isinstance(event, Messages) and any(b"poison" in m.payload for m in event.items):
            raise ZeroDivisionError("a bug of ours")
        return step(event)

    engine.step = breaking
    return engine


def test_edit_while_we_were_down_loses_no_alert(tmp_path, broker):
    """The log behind the checkpoint is stepped by the rules that judged it, then the new ones take over."""
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload(smoke=1))
    until(lambda: not broker.waiting)
    gateway.crash()
    store = Store(tmp_path)
    offered: list[Notification] = []
    pipeline = Pipeline(
        world(rules=(HOT,), digest="two"),
        store,
        Clock(*store.last_instant()),
        offered.extend,
        lambda *_: None,
    )
    pipeline.start()
    effects = pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
    assert not of(effects, Alert)
    state = store.reader().execute("SELECT state FROM alert").fetchone()[0]
    assert state == "cleared", "its rule is gone: ended in good order, the case stays open"
    assert store.reader().execute("SELECT count(*) FROM cases WHERE open").fetchone()[0] == 1
    pipeline.stop()
    store.close()


def test_an_objection_sees_what_stands_right_before_the_reload(tmp_path, broker):
    """Also an alert of the same stretch of the queue; then nothing changes, and only time has passed."""
    gateway = Gateway(tmp_path, broker)
    objected = LookupError("an alert stands")
    broker.send(gateway.pipeline, payload(smoke=1))
    taken = gateway.pipeline.reconfigure(
        world(rules=(HOT,), digest="two"), lambda state: objected if state.alerts else None
    )
    gateway.start()
    assert taken.exception(10) is objected
    assert gateway.pipeline.engine.world == WORLD and [row["state"] for row in gateway.alerts()] == ["firing"]
    gateway.crash()


def test_a_reload_can_be_taken_back_until_it_begins(tmp_path, broker):
    gateway = Gateway(tmp_path, broker)
    taken = gateway.pipeline.reconfigure(world(rules=(HOT,), digest="two"))
    assert taken.cancel()
    gateway.start()
    gateway.pipeline.submit_in_order(lambda at, wall: Link(at, wall, True)).result(10)
    assert gateway.pipeline.engine.world == WORLD
    gateway.crash()


@pytest.mark.parametrize("torn", [False, True])
def test_the_log_before_a_reload_is_never_stepped_again_by_the_rules_after_it(tmp_path, broker, torn):
    """Also when the checkpoint that the reload made is torn: 52 C was good, and nobody was told of it."""
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload({3: 52}))
    gateway.pipeline.submit_in_order(lambda at, wall: Link(at, wall, True)).result(10)
    stricter = replace(HOT, limits=limits((Level.ORANGE, 50, 0, None)))
    gateway.pipeline.reconfigure(world(rules=(stricter,), digest="two")).result(10)
    broker.send(gateway.pipeline, payload({4: 51}))
    until(lambda: not broker.waiting)
    gateway.crash()
    store = Store(tmp_path)
    if torn:
        with sqlite3.connect(store.path) as db:
            db.execute("UPDATE checkpoint SET crc = crc + 1 WHERE id = (SELECT max(id) FROM checkpoint)")
        db.close()
    engine = rebuild(judged_last(store), store)
    assert [alert.component for alert in engine.state.alerts.values()] == ["slot-4"]
    assert engine.world.digest == engine.state.digest == "two"
    store.close()
