"""What a critical reading found: each of these once lost an alert, raised a false one, or told two stories."""

import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import Store
from gateway.core import engine as engines
from gateway.core import state as states
from gateway.core.caseload import Caseload
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    AlertState,
    Basis,
    Case,
    Codec,
    Configured,
    Field,
    Kind,
    Level,
    Link,
    Message,
    Messages,
    Model,
    Notification,
    NotificationState,
    Outcome,
    Place,
    Rule,
    Stage,
    Told,
    Verb,
)
from gateway.core.state import State
from gateway.notifier import Notifier
from gateway.pipeline import Pipeline, rebuild
from tests.unit.test_pipeline import Broker, Gateway, fragile
from tests.unit.worlds import CABINET, HOT, SILENT, SMOKE, START_NS, TOPIC, Play, limits, of, payload, world
from tests.waiting import until

OUTSIDE = replace(SMOKE, id="smoke-outside", outside="works", clear_hold_s=60)


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
    return Broker()


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("change", [lambda play: play, restored], ids=["undisturbed", "restarted"])
def test_a_window_that_ends_after_a_restart_still_ends(change):
    """A bag on the floor at 20:00 that nobody says again must ring when the drop-off window closes at 20:10."""
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


def start(directory, away_s=0, rules=(SILENT,), **changes):
    """A gateway as App starts one, resumed after so many seconds."""
    store = Store(directory)
    at, _ = store.last_instant()
    clock = Clock(at, away_s * SECOND, Anchor(time.monotonic_ns(), START_NS + at + away_s * SECOND))
    found = Pipeline(world(rules=rules, **changes), store, clock, lambda due: None, lambda *_: None)
    found.submit(lambda at, wall: Link(at, wall, False))
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
    known = world(rules=(), models={"flat": flat}, devices={"cab-1": replace(device, model="flat")})
    decoder, said = Decoder(known), Message(TOPIC, b'{"smoke":1,"ts":0}')
    first, second = (decoder.decode(said, 5 * SECOND) for _ in range(2))
    assert first == second
    assert first[0].measured_ns == 5 * SECOND and not first[0].timed


# ---------------------------------------------------------------- memory


def test_topics_that_vary_under_a_wildcard_do_not_fill_the_memory(monkeypatch):
    """A device's filter may hold + for a part that its gateway changes with every message."""
    monkeypatch.setattr(engines, "TOPICS_MOST", 100, raising=False)
    device = world().devices["cab-1"]
    play = playing(SMOKE, devices={"cab-1": replace(device, topic="site/+/cab-1")})
    for number in range(500):
        play.say(smoke=0, topic=f"site/{number}/cab-1")
    play.say(smoke=1, topic="site/1/cab-1")
    assert len(play.engine._by_topic) <= 100 and play.levels() == ["red"]
