"""What a critical reading found: each of these lost an alert, raised a false one, or told two stories."""

import sqlite3
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from random import Random
from unittest.mock import Mock

import pytest

from gateway import telemetry
from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import Store
from gateway.app import App
from gateway.channels.base import Answer
from gateway.core import hearing
from gateway.core import state as states
from gateway.core.caseload import Caseload
from gateway.core.codecs import CODECS
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Case,
    Codec,
    Configured,
    During,
    Field,
    Kind,
    Level,
    Link,
    Message,
    Messages,
    Model,
    Notification,
    Outcome,
    PayloadError,
    Place,
    Stage,
    Told,
    Verb,
)
from gateway.core.state import State
from gateway.notifier import Notifier
from gateway.pipeline import Pipeline, _Asked, rebuild
from tests.unit.test_pipeline import Broker, Gateway, fragile
from tests.unit.worlds import HOT, SILENT, SMOKE, START_NS, TOPIC, Play, limits, of, payload, world
from tests.waiting import until

OUTSIDE = replace(SMOKE, id="smoke-outside", during=During(outside="works"), clear_hold_s=60)


def open_until(minutes):
    """A window that holds at the start (20:00) and ends so many minutes later."""
    return {
        "street": Place(id="street", says="枫林街道", kind="street"),
        "yard": Place(
            id="yard", says="向阳小区", kind="compound", within="street",
            windows={"works": (f"19:00-20:{minutes:02d}",)},
        ),
    }  # fmt: skip


def playing(*rules, **changes):
    return Play(Engine(world(rules=rules, **changes), State(identity="0000002a")))


def restored(play):
    """As after a restart: the state from a checkpoint, the rest made anew."""
    state = states.load(states.save(play.engine.state))
    play.engine = Engine(play.engine.world, state, play.engine.recent)
    return play


def seconds(play, offset_s=0):
    return play.wall() // SECOND + offset_s


@pytest.fixture
def broker():
    """Troubles said again within seconds are told as one line: say them before the next test listens."""
    yield Broker()
    telemetry.flush(everything=True)


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("change", [lambda play: play, restored], ids=["undisturbed", "restarted"])
def test_a_window_that_ends_after_a_restart_still_ends(change):
    """A bag on the floor at 20:00 that nobody says again rings when the drop-off window closes at 20:10."""
    play = playing(OUTSIDE, places=open_until(10))
    play.say(smoke=1)
    play.wait(125)
    change(play).wait(600)
    assert play.levels() == ["red"]


def test_a_window_that_ends_after_a_reload_still_ends():
    """Rules are edited in office hours, that is within windows."""
    play = playing(OUTSIDE, places=open_until(10))
    play.say(smoke=1)
    play.wait(125)
    play.engine.reconfigure(Configured(play.at, play.wall(), "one"), play.engine.world)
    play.wait(600)
    assert play.levels() == ["red"]


def test_windows_are_looked_at_in_the_same_instants_live_and_stepped_again():
    """Else the alert that is stepped again has another id than the one that was committed."""

    def ids(change):
        play = playing(OUTSIDE, places=open_until(10))
        play.wait(7)
        play.say(smoke=1)
        play.wait(125)
        change(play).wait(600)
        return [alert.id for alert in play.engine.state.alerts.values()]

    assert ids(restored) == ids(lambda play: play) != []


# ---------------------------------------------------------------- silence


def test_silent_again_while_we_wait_for_the_sensor_bounces():
    """The doer said done, the device spoke once and fell silent again: nobody would have gone back."""
    play = playing(replace(SILENT, clear_hold_s=1000))
    play.say(smoke=0)
    play.wait(300)
    play.say(smoke=0)
    play.wait(10)
    play.act(play.case().id, Verb.DONE)
    assert play.case().stage is Stage.HANDLED
    play.wait(300)
    assert play.case().stage is Stage.HANDLING
    assert play.notifications()[-1].kind is Kind.BOUNCED


def test_short_silences_are_found_in_time_after_a_lost_link():
    """Deaf until the link is back; from then on the span counts, not our own habit of looking."""
    quick = replace(SILENT, limits=(replace(SILENT.limits[0], absent_s=20),))
    play = playing(quick)
    play.say(smoke=0)
    play.give(Link(play.at, play.wall(), False))
    play.wait(85)
    play.give(Link(play.at, play.wall(), True))
    play.wait(20)
    assert play.levels() == ["orange"]


def test_being_down_is_no_silence_of_the_devices(tmp_path, broker):
    """Ten minutes without power at the gateway are not five hundred dead sensors."""
    pipeline, store = speaking_once(tmp_path)
    pipeline.stop()
    store.close()
    again, store = start(tmp_path, away_s=600)
    again.submit(lambda at, wall: Link(at, wall, True)).result(10)
    assert store.reader().execute("SELECT count(*) FROM alert").fetchone()[0] == 0
    again.stop()
    store.close()


def test_a_full_disk_is_no_silence_of_the_devices(tmp_path, broker, monkeypatch):
    """While nothing could be committed nothing was heard either: the messages wait at the broker."""
    monkeypatch.setattr("gateway.pipeline.STORE_RETRY_S", 0.01)
    pipeline, store = speaking_once(tmp_path)
    commit, clock, failed = store.commit, pipeline.clock, threading.Event()

    def failing(*arguments):
        if failed.is_set():
            return commit(*arguments)
        clock._base += 600 * SECOND  # so long the disk was full
        failed.set()
        raise sqlite3.OperationalError("disk is full")

    store.commit = failing
    pipeline.deliver(Delivery(1, (1,), [Message(TOPIC, payload(smoke=0))]))
    pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
    assert failed.is_set() and store.reader().execute("SELECT count(*) FROM alert").fetchone()[0] == 0
    pipeline.stop()
    store.close()


def test_standing_still_is_no_silence_of_the_devices(tmp_path):
    """SIGSTOP, a frozen virtual machine: the link stays up, and the kernel keeps what was said."""
    store, clock = Store(tmp_path), Clock(0, 0, Anchor(time.monotonic_ns(), START_NS))
    pipeline = Pipeline(world(rules=(SILENT,)), store, clock, lambda due: None, lambda *_: None)
    pipeline._do([_Asked(lambda at, wall: Link(at, wall, True), Future())])
    pipeline._do([Delivery(1, (1,), [Message(TOPIC, payload(smoke=0))])])
    clock._base += 600 * SECOND
    pipeline._turned_at -= 600
    pipeline._do([])
    assert store.reader().execute("SELECT count(*) FROM alert").fetchone()[0] == 0
    clock._base += 600 * SECOND
    pipeline._do([])
    assert store.reader().execute("SELECT count(*) FROM alert").fetchone()[0] == 1, "this one was silence"
    store.close()


def start(directory, away_s=0, rules=(SILENT,), **changes):
    """A gateway as App starts one, resumed after so many seconds."""
    store = Store(directory)
    at, _ = store.last_instant()
    clock = Clock(at, away_s * SECOND, Anchor(time.monotonic_ns(), START_NS + at + away_s * SECOND))
    found = Pipeline(world(rules=rules, **changes), store, clock, lambda due: None, lambda *_: None)
    found.start()
    return found, store


def speaking_once(directory):
    pipeline, store = start(directory)
    pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
    pipeline.deliver(Delivery(1, (1,), [Message(TOPIC, payload(smoke=0))]))
    pipeline.submit(lambda at, wall: Outcome(at, wall, "nobody", Told.ACCEPTED)).result(10)
    return pipeline, store


# ---------------------------------------------------------------- edited rules


@pytest.mark.parametrize(
    "edited",
    [
        replace(HOT, model="another"),
        replace(HOT, labels={"kind": "indoor"}),
        replace(HOT, each="", quantity="temperature_c"),
        replace(SILENT, id="slot-hot"),
    ],
    ids=["model", "labels", "each", "silence"],
)
def test_an_alert_whose_rule_no_longer_speaks_of_its_subject_ends(edited):
    """Else it stands for ever: no reading can clear it, and every "done" bounces."""
    play = playing(HOT)
    play.say({3: 80})
    play.effects += play.engine.reconfigure(
        Configured(play.at, play.wall(), "two"), world(rules=(edited,), digest="two")
    )
    assert play.levels() == ["red", "clear"]
    assert play.engine.state.tracks == {}
    play.say({3: 20})
    play.wait(5)


def test_a_handled_case_whose_rule_is_gone_closes():
    """The doer said done and waits for a sensor that nobody asks any more: no button would end it."""
    play = playing(HOT)
    play.say({3: 80})
    play.say({3: 20})
    play.act(play.case().id, Verb.DONE)
    play.effects += play.engine.reconfigure(
        Configured(play.at, play.wall(), "two"), world(rules=(SMOKE,), digest="two")
    )
    assert play.case().stage is Stage.CLOSED and play.engine.state.cases == {}


# ---------------------------------------------------------------- cases


def test_a_rise_after_a_false_alarm_is_a_new_case():
    """ "False" was said of the yellow; when it grows to red people must hear of it."""
    play = playing(HOT)
    play.say({3: 56})
    play.wait(60)
    play.act(play.case().id, Verb.FALSE)
    play.effects.clear()
    play.say({3: 80})
    assert play.levels() == ["red"]
    assert play.case().level is Level.RED and play.case().stage is Stage.FOUND
    assert [told.kind for told in play.notifications()] == [Kind.RISEN]
    alert = next(iter(play.engine.state.alerts.values()))
    assert alert.case == play.case().id and play.case().alerts == (alert.id,)


def test_a_fall_after_a_false_alarm_wakes_nobody():
    play = playing(HOT)
    play.say({3: 80})
    play.wait(60)
    play.act(play.case().id, Verb.FALSE)
    play.effects.clear()
    play.say({3: 60})
    play.wait(300)
    assert play.levels()[-1] != "red"
    assert play.notifications() == [] and of(play.effects, Case) == []


# ---------------------------------------------------------------- instants


def test_every_sample_of_one_second_counts():
    """A clock of whole seconds: the third word of a second is as true as the second one."""
    play = playing(SMOKE)
    for smoke, t in ((0, 20), (0, 21), (0, 22), (1, 23)):
        play.say(smoke=smoke, t=t, ts=seconds(play))
    assert play.levels() == ["red"]


def test_our_own_clock_set_right_blinds_us_to_nobody():
    """Booted with the battery clock eight hours ahead; NTP sets it. Devices had been right all along."""
    play = playing(SMOKE)
    wrong = 8 * 3600 * SECOND
    for _ in range(4):
        said = Message(TOPIC, payload(smoke=0, ts=seconds(play)))
        play.give(Messages(play.at, play.wall() + wrong, [said]))
        play.wait(30)
    for smoke in (0, 1):
        play.say(smoke=smoke, ts=seconds(play))
        play.wait(30)
    assert play.levels() == ["red"]


def test_a_late_good_word_clears_nothing_that_the_next_takes_back():
    """After an outage: good 400 s ago, bad 390 s ago. The alert never ended; nobody is told that it did."""
    play = playing(SMOKE)
    play.say(smoke=1, ts=seconds(play))
    play.wait(500)
    play.say(smoke=0, ts=seconds(play, -400))
    play.wait(0.1)
    play.say(smoke=1, ts=seconds(play, -390))
    play.wait(100)
    assert play.levels() == ["red"]


def test_a_clock_at_zero_is_no_instant_however_it_is_parsed():
    """The learned shape and the parser before it must agree: one steps live, the other after a restart."""
    flat = Model(
        id="flat", says="", scene="cabinet", source="", codec=Codec(kind="json", time="ts", time_unit="s"),
        fields=(Field(quantity="smoke", path="smoke"),),
    )  # fmt: skip
    device = world(rules=()).devices["cab-1"]
    known = replace(world(rules=()), models={"flat": flat}, devices={"cab-1": replace(device, model="flat")})
    decoder, said = Decoder(known), Message(TOPIC, b'{"smoke":1,"ts":0}')
    first, second = (decoder.decode(said, 5 * SECOND) for _ in range(2))
    assert first == second
    assert first[0].measured_ns == 5 * SECOND and not first[0].timed


# ---------------------------------------------------------------- memory


def test_topics_that_vary_under_a_wildcard_do_not_fill_the_memory(monkeypatch):
    """A device's filter may hold + for a part that its gateway changes with every message."""
    monkeypatch.setattr(hearing, "TOPICS_MOST", 100)
    known = world(rules=(SMOKE,))
    device = replace(known.devices["cab-1"], topic="site/+/cab-1")
    play = Play(Engine(replace(known, devices={"cab-1": device}), State(identity="0000002a")))
    for number in range(500):
        play.say(smoke=0, topic=f"site/{number}/cab-1")
    play.say(smoke=1, topic="site/1/cab-1")
    assert len(play.engine.hearing._by_topic) <= 101 and play.levels() == ["red"]


# ---------------------------------------------------------------- the pipeline when something is wrong


def acknowledged(gateway):
    until(lambda: not gateway.broker.waiting)
    return gateway


def test_neighbours_of_a_poison_message_are_judged_by_a_clean_engine(tmp_path, broker):
    """The step that failed had judged those before it already; judged again they said nothing new."""
    gateway = Gateway(tmp_path, broker).start()
    say_poison(gateway.pipeline.engine.decoder)
    broker.send(gateway.pipeline, payload(smoke=1), b'{"poison":1}')
    assert [row["rule"] for row in acknowledged(gateway).alerts()] == ["smoke"]
    assert len(gateway.offered) == 1
    gateway.crash()


def say_poison(decoder):
    """A bug of ours in the midst of a step: it fails after messages before it have been judged."""
    watches = decoder._codecs
    codec = watches["cabinet"]

    class Fragile(type(codec)):
        def __call__(self, device, message, *more):
            if b"poison" in message.payload:
                raise ZeroDivisionError("a bug of ours")
            return super().__call__(device, message, *more)

    codec.__class__ = Fragile


def test_what_a_timer_did_beside_a_refused_message_is_the_same_after_a_crash(tmp_path, broker, monkeypatch):
    """One by one, a payload that cannot be read came with the end of a hold: the restart had skipped both."""
    monkeypatch.setattr("gateway.pipeline.CHECKPOINT_S", 1000.0)
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload({3: 56}))
    acknowledged(gateway)
    say_poison(gateway.pipeline.engine.decoder)
    with gateway.pipeline._news:  # so that both are one piece of work, and the hold ends right before it
        gateway.clock._base += 61 * SECOND
        for body in (b"{", b'{"poison":1}'):
            delivery = Delivery(1, (9,), [Message(TOPIC, body)])
            broker.waiting.append(delivery)
            gateway.pipeline._queue.append(delivery)
        gateway.pipeline._news.notify()
    acknowledged(gateway)
    (committed,) = [row["id"] for row in gateway.alerts()]
    gateway.crash()
    store = Store(tmp_path)
    assert list(rebuild(gateway.pipeline.engine.world, store).state.alerts) == [committed]
    store.close()


def test_rules_that_were_not_committed_judge_nothing(tmp_path, broker, monkeypatch):
    """The disk refuses the very commit of new rules: what the old ones said must be ended in good order."""
    monkeypatch.setattr("gateway.pipeline.STORE_RETRY_S", 0.01)
    monkeypatch.setattr("gateway.pipeline.CHECKPOINT_S", 1000.0)
    gateway = Gateway(tmp_path, broker).start()
    broker.send(gateway.pipeline, payload(smoke=1))
    acknowledged(gateway)
    commit, failures = gateway.store.commit, iter([sqlite3.OperationalError("disk is full")])

    def failing(*arguments):
        for failure in failures:
            raise failure
        return commit(*arguments)

    gateway.store.commit = failing
    gateway.pipeline.reconfigure(world(rules=(HOT,), digest="two")).result(10)
    assert [row["state"] for row in gateway.alerts()] == ["cleared"]
    gateway.crash()


def test_no_checkpoint_of_what_was_never_committed(tmp_path, broker, monkeypatch):
    """Told to stop while the disk is full: the engine knows an alert that nobody was told of."""
    gateway = Gateway(tmp_path, broker).start()
    commit, failed = gateway.store.commit, threading.Event()

    def failing(records, *more):
        if records:
            failed.set()
            raise sqlite3.OperationalError("disk is full")
        return commit(records, *more)

    gateway.store.commit = failing
    broker.send(gateway.pipeline, payload(smoke=1, ts=START_NS // SECOND))
    assert failed.wait(10)
    gateway.pipeline.stop()
    gateway.store.close()
    again = acknowledged(Gateway(tmp_path, broker).start())
    assert [row["rule"] for row in again.alerts()] == ["smoke"]
    again.crash()


@pytest.mark.parametrize("fails", ["commit", "answer"])
def test_trouble_while_trying_one_by_one_does_not_end_the_thread(tmp_path, broker, monkeypatch, fails):
    """A full disk, or a page that has stopped waiting for its answer, at the worst moment."""
    monkeypatch.setattr("gateway.pipeline.STORE_RETRY_S", 0.01)
    gateway = Gateway(tmp_path, broker).start()
    fragile(gateway.pipeline.engine)
    if fails == "commit":
        commit, failures = gateway.store.commit, iter([sqlite3.OperationalError("disk is full")] * 2)

        def failing(*arguments):
            for failure in failures:
                raise failure
            return commit(*arguments)

        gateway.store.commit = failing
    else:

        def broken(at, wall_ns):
            future.cancel()
            raise ZeroDivisionError("a bug of ours")

        with gateway.pipeline._news:
            future = gateway.pipeline.submit(broken)
    broker.send(gateway.pipeline, payload({1: 20}), b'{"poison":1}', payload(smoke=1))
    acknowledged(gateway)
    assert gateway.pipeline.alive and [row["rule"] for row in gateway.alerts()] == ["smoke"]
    gateway.crash()


def test_a_bug_in_one_timer_stops_no_other(tmp_path, broker, monkeypatch):
    """It came due before every message, so that each of them was taken for the poison."""
    climb = Caseload.climb

    def breaking(self, step, case_id, due):
        if self.state.cases[case_id].component == "slot-1":
            raise ZeroDivisionError("a bug of ours")
        climb(self, step, case_id, due)

    monkeypatch.setattr(Caseload, "climb", breaking)
    play = playing(HOT)
    play.say({1: 80, 2: 80})
    play.wait(300)
    play.say({3: 80})
    assert "timer_failed" in play.noted()
    escalated = [told for told in play.notifications() if told.kind is Kind.ESCALATED]
    assert len(escalated) == 1 and len(play.engine.state.alerts) == 3


# ---------------------------------------------------------------- what the disk forgets


def test_a_torn_checkpoint_leaves_the_log_that_the_one_before_it_needs(tmp_path, broker, monkeypatch):
    """Two checkpoints are kept; the log must be kept for the older one, or keeping it is for show."""
    monkeypatch.setattr("gateway.pipeline.RECENT_MOST", 1)
    monkeypatch.setattr("gateway.pipeline.CHECKPOINT_S", 0.0)
    gateway = Gateway(tmp_path, broker).start()
    for number in range(5):
        broker.send(gateway.pipeline, payload(smoke=number % 2), payload({number + 1: 20}))
        acknowledged(gateway)
    older = gateway.store.reader().execute("SELECT min(position) FROM checkpoint").fetchone()[0]
    assert 0 < gateway.pipeline.checkpointed <= older
    gateway.crash()


def test_a_damaged_row_of_the_log_does_not_stop_the_start(tmp_path, broker, monkeypatch):
    """One flipped bit behind the checkpoint: named, and only that row is not known any more."""
    monkeypatch.setattr("gateway.pipeline.CHECKPOINT_S", 1000.0)
    gateway = Gateway(tmp_path, broker).start()
    for body in (payload({1: 20}), payload({2: 20}), payload(smoke=1)):
        broker.send(gateway.pipeline, body)
        acknowledged(gateway)
    gateway.crash()
    with sqlite3.connect(tmp_path / "lilong.db") as db:
        db.execute("UPDATE log SET crc = crc + 1 WHERE first = (SELECT max(first) - 1 FROM log)")
    db.close()
    again = Gateway(tmp_path, broker)
    assert len(again.pipeline.engine.state.alerts) == 1
    again.store.close()


# ---------------------------------------------------------------- telling people


class Ledger:
    """A store that fails once in each of its questions."""

    def __init__(self, told):
        self.told, self.failures = told, {"still_due": 1, "due": 1}

    def still_due(self, notification):
        self._fail("still_due")
        return True

    def due(self, channel, most):
        self._fail("due")
        return [self.told]

    def _fail(self, name):
        self.failures[name] -= 1
        if self.failures[name] >= 0:
            raise sqlite3.OperationalError("disk I/O error")


def test_a_message_survives_a_store_that_cannot_be_read_for_a_moment(monkeypatch):
    """The job was dropped, or the channel's thread ended; the message stayed due until the next restart."""
    monkeypatch.setattr("gateway.notifier.REFILL_S", 0.01)
    told = Notification(
        id="n1", case="c", alert="a", kind=Kind.RAISED, level=Level.RED, person="wang", channel="inbox",
        address="wang", title="", text="", created_ns=0, due_at=0,
    )  # fmt: skip
    sent = []

    class Channel:
        def send(self, notification, text, link):
            sent.append(notification.id)
            return Answer(Told.ACCEPTED, "")

    def submit(make):
        future = Future()
        future.set_result([])
        return future

    notifier = Notifier({"inbox": Channel()}, submit, Clock(), Ledger(told), lambda told: "")
    notifier.start()
    notifier.offer([told])
    until(lambda: sent)
    notifier.stop()


# ---------------------------------------------------------------- what the broker kept for us


def test_what_the_broker_kept_while_we_were_deaf_is_judged_by_what_still_stands():
    """Smoke, said once, while our line to the broker was down for 20 minutes: no memory of the device's."""
    play = playing(SMOKE)
    play.say(smoke=0, ts=seconds(play))
    play.give(Link(play.at, play.wall(), False))
    play.wait(1800)
    play.give(Link(play.at, play.wall(), True))
    play.say(smoke=1, ts=seconds(play, -1200))
    play.wait(60)
    assert play.levels() == ["red"]


def test_what_the_broker_kept_and_took_back_rings_nothing():
    """An hour of messages takes seconds to come; the word that ends it may be a thousand behind."""
    play = playing(SMOKE)
    play.give(Link(play.at, play.wall(), False))
    play.wait(3600)
    play.give(Link(play.at, play.wall(), True))
    play.say(smoke=1, ts=seconds(play, -3000))
    play.wait(20)
    play.say(smoke=0, ts=seconds(play, -2500))
    play.wait(300)
    assert play.levels() == []


def test_what_a_device_kept_itself_pages_nobody_though_we_were_deaf_before():
    """Older than our deafness, or long after it: its own memory, as ever."""
    play = playing(SMOKE)
    play.wait(7200)
    play.give(Link(play.at, play.wall(), False))
    play.wait(1800)
    play.give(Link(play.at, play.wall(), True))
    play.say(smoke=1, ts=seconds(play, -3600))
    play.wait(3600)
    play.say(smoke=1, ts=seconds(play, -3500))
    play.wait(60)
    assert play.levels() == []


def test_a_second_delivery_is_one_of_what_was_on_its_way_not_of_an_old_word():
    """Without a clock "smoke" is said in the bytes of yesterday's test, and the line breaks on it."""
    play = playing(SMOKE)
    play.say(smoke=1)
    play.say(smoke=0)
    play.wait(86_400)
    play.give(Link(play.at, play.wall(), False))
    play.give(Link(play.at, play.wall(), True))
    play.effects.clear()
    play.say(smoke=1, again=True)
    assert play.levels() == ["red"]


# ---------------------------------------------------------------- nobody reached


def test_a_provider_that_is_down_for_hours_does_not_get_a_pile():
    """Red is told again every 15 minutes; what waits already need not wait twice."""
    play = playing(SMOKE)
    play.say(smoke=1)
    play.wait(5 * 3600)
    waiting = [(told.person, told.channel) for told in play.engine.state.notifications.values()]
    assert sorted(waiting) == [("li", "inbox"), ("wang", "inbox")]


def test_a_case_that_reached_nobody_is_told_again():
    """Every address refused for good: whoever repairs one within the hour should not find a dead case."""
    play = playing(HOT)
    play.say({3: 66})
    play.wait(10)
    for _ in range(2):
        for told in list(play.engine.state.notifications.values()):
            play.told(told, Told.REFUSED)
    before = len(play.notifications())
    play.wait(1800)
    again = play.notifications()[before:]
    assert [told.person for told in again] == ["li"]
    play.told(again[0])
    play.wait(7200)
    assert [told.state for told in play.notifications()[before:]] == ["due", "accepted"]


def test_a_hold_does_not_end_while_nobody_could_take_it_back():
    """Hot for five seconds, an upgrade of two minutes: the next word says cool and waits at the broker."""
    play = playing(HOT)
    play.say({3: 56}, ts=seconds(play))
    play.wait(5)
    play.give(Link(play.at, play.wall(), False))
    play.wait(120)
    play.give(Link(play.at, play.wall(), True))
    play.say({3: 40}, ts=seconds(play, -110))
    play.wait(600)
    assert play.levels() == []


def test_a_hold_that_nobody_took_back_ends_soon_after_the_line_is_back():
    play = playing(HOT)
    play.say({3: 56}, ts=seconds(play))
    play.give(Link(play.at, play.wall(), False))
    play.wait(120)
    restored(play).give(Link(play.at, play.wall(), True))
    restored(play).wait(2)
    assert play.levels() == ["yellow"]


def test_nothing_clears_while_nobody_could_say_that_it_is_bad_again():
    play = playing(SMOKE)
    play.say(smoke=1, ts=seconds(play))
    play.wait(10)
    play.say(smoke=0, ts=seconds(play))
    play.give(Link(play.at, play.wall(), False))
    play.wait(250)
    play.give(Link(play.at, play.wall(), True))
    play.say(smoke=1, ts=seconds(play, -240))
    play.wait(600)
    assert play.levels() == ["red"]


def test_what_comes_back_to_a_doer_who_cannot_be_reached_goes_up_the_ladder():
    """Done was said, the sensor disagrees, and the doer's number is dead: the case had no clock any more."""
    play = playing(SMOKE)
    play.say(smoke=1)
    play.told(play.notifications()[0])
    play.act(play.case().id, Verb.DONE, "li")
    bounced = play.notifications()[-1]
    assert bounced.kind is Kind.BOUNCED and bounced.person == "li"
    play.told(bounced, Told.REFUSED)
    assert [told.person for told in play.engine.state.notifications.values()] == ["wang"]
    assert play.case().stage is Stage.FOUND


def test_what_comes_back_to_nobody_goes_up_the_ladder():
    """The doer left the list of persons between "done" and the sensor's word."""
    play = playing(SMOKE)
    play.say(smoke=1)
    play.say(smoke=0)
    play.act(play.case().id, Verb.DONE, "gone")
    play.say(smoke=1)
    assert [told.person for told in play.engine.state.notifications.values()] == ["wang"]
    assert play.case().stage is Stage.FOUND


def test_a_text_that_is_no_text_is_refused_however_it_is_parsed():
    """In a key that nobody maps: the learned shape did not look at it, the parser before it did."""
    flat = Model(
        id="flat", says="", scene="cabinet", source="", codec=Codec(kind="json"),
        fields=(Field(quantity="smoke", path="smoke"),),
    )  # fmt: skip
    known = world(rules=())
    decode = CODECS["json"](flat)
    decode(known.devices["cab-1"], Message(TOPIC, b'{"smoke":1,"x":"a"}'), 5)
    with pytest.raises(PayloadError, match="encoding"):
        decode(known.devices["cab-1"], Message(TOPIC, b'{"smoke":1,"x":"\xff"}'), 5)


def test_a_full_disk_does_not_cut_the_stop_short():
    """The high-water mark cannot be written: the pipeline must still commit what channels have answered."""
    app = App.__new__(App)
    app.__dict__.update({name: Mock() for name in ("control", "chores", "store", "web", "notifier")})
    parts = ("pipeline", "subscriber", "forwarder", "selfcheck", "watchdog", "outward", "requester", "_stop")
    app.__dict__.update({name: Mock() for name in parts}, _reloading=Mock(), pullers=[Mock()])
    app.store.mark_high_water.side_effect = OSError("No space left on device")
    app.stop()
    assert app.pipeline.stop.called and app.store.close.called


# ---------------------------------------------------------------- live and stepped again


def any_day(random, play):
    """Two cabinets, windows, lost lines, wrong clocks, second deliveries, people: anything in any order."""
    said = [(TOPIC, b"{}")]
    for _ in range(random.randint(5, 40)):
        what = random.randrange(9)
        case = random.choice(sorted(play.engine.state.cases) or [""])
        told = random.choice(sorted(play.engine.state.notifications) or [""])
        if what < 4:
            said.append((random.choice(["site/cab-1", "site/cab-2"]), any_payload(random, play)))
            play.say(topic=said[-1][0], raw=said[-1][1])
        elif what == 4:
            topic, body = random.choice(said)
            play.say(topic=topic, raw=body, again=random.random() < 0.5)
        elif what == 5:
            play.give(Link(play.at, play.wall(), random.random() < 0.5))
        elif what == 6:
            play.act(case, random.choice(list(Verb)), random.choice(["wang", "li", "gone"]))
        elif what == 7:
            play.give(Outcome(play.at, play.wall(), told, random.choice(list(Told))))
        play.wait(random.choice([0, 0, 0.5, 3, 30, 61, 300, 301, 1000, 4000]))


def any_payload(random, play):
    values = {"smoke": random.choice([0, 1]), "t": random.choice([20, 35, 60])}
    late = random.choice([0, 0, 0, 5, 30, 200, 500, 900, 3600, -100, -8 * 3600])
    values = {name: value for name, value in values.items() if random.random() < 0.5}
    if random.random() < 0.7:
        values["ts"] = seconds(play, -late)
    return payload({random.randint(1, 2): random.choice([20, 52, 56, 60, 66, 80])}, **values)


@pytest.mark.parametrize("number", range(40))
def test_stepping_the_log_again_from_any_checkpoint_tells_the_same_story(seed, number):
    """Byte for byte: an id that differs is an alert that stands for ever, or a person told twice."""
    warm = replace(OUTSIDE, quantity="temperature_c", limits=limits((Level.YELLOW, 30, 20, None)))
    rules = (HOT, SMOKE, replace(SILENT, clear_hold_s=200), warm)
    known = world(rules=rules, devices=("cab-1", "cab-2"), places=open_until(10))
    play, live = Play(Engine(known, State(identity="0000002a"))), []
    step = play.engine.step

    def watched(event):
        before = states.save(play.engine.state), list(play.engine.recent)
        live.append((*before, event, step(event)))
        return live[-1][-1]

    play.engine.step = watched
    random = Random(f"{seed}:{number}")
    any_day(random, play)
    for start in random.sample(range(len(live)), min(5, len(live))):
        again = Engine(known, states.load(live[start][0]), live[start][1])
        for *_, event, effects in live[start:]:
            assert again.step(event) == effects, event
    for watch in play.engine.watches.of.values():
        for component, subject in watch.subjects.items():
            keys = {judge.key for judge in subject.judges} & set(play.engine.state.tracks)
            assert subject.astir == len(keys), component
