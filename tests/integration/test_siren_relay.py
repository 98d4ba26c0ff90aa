"""The last resort: a relay at the broker sounds for red while every line out is cut."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateway import channels
from gateway.app import App
from gateway.channels.base import Channel
from gateway.config import BrokerConfig
from gateway.core.model import Act, Kind, Level, Told, Verb
from gateway.web.rows import open_cases
from tests.contract.dialects import notification
from tests.contract.provider import Provider, silence
from tests.servers.mosquitto import Mosquitto
from tests.servers.publisher import publish
from tests.sirens import silenced
from tests.waiting import until

pytestmark = pytest.mark.servers

TOPIC = "relay/yard/siren"
V311, V5 = 4, 5
USERS = {"lilong": "one-of-ours", "relay": "the-yards-own"}
ACL = "user relay\ntopic read relay/#\nuser lilong\ntopic read site/#\n"  # lilong may not write
SMOKE = b'{"temperature":18.5,"smoke":1}'
CONFIG = """
state: state
directories: {sites: [sites]}
broker: {host: 127.0.0.1, port: %d, client_id: cut-off}
web: {listen: "127.0.0.1:0"}
channels:
  sms:
    {kind: sms_aliyun, key_id: k, key_secret_file: secret, sign: s, template: t, variables: title, url: "%s"}
  siren: {kind: siren, topic: relay/yard/siren, sounds: 60s}
"""
SITE = """
places: [{id: street, says: 枫桥里街道, kind: street}]
units: [{id: centre, says: 城运中心}]
persons: [{id: duty, says: 值班长, unit: centre, reach: {sms: "13812341234"}}]
posts: [{role: street, at: street, unit: centre, person: duty, from: 2026-01-01}]
ladders:
  yellow: [{role: street, by: [sms]}]
  orange: [{role: street, by: [sms]}]
  red: [{role: street, by: [sms, siren]}]
devices: [{id: cab-1, model: cabinet-8, at: street, topic: site/street/cab-1/up}]
"""


class Relay:
    """What hangs in the yard: it keeps what it is told, and when."""

    def __init__(self, port: int, user: str = "") -> None:
        self.heard: list[tuple[float, MQTTMessage]] = []
        self.ready = False
        self._client = Client(CallbackAPIVersion.VERSION2, "the-yards-relay")
        if user:
            self._client.username_pw_set(user, USERS[user])
        self._client.on_message = self._hear
        self._client.on_subscribe = self._subscribed
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(TOPIC, qos=1)
        self._client.loop_start()
        until(lambda: self.ready, what="the relay listens")

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.loop_stop()
        self._client.disconnect()

    def _subscribed(self, *_: object) -> None:
        self.ready = True

    def _hear(self, _c: object, _u: object, message: MQTTMessage) -> None:
        self.heard.append((time.monotonic(), message))

    @property
    def orders(self) -> list[Any]:
        return [json.loads(message.payload) for _, message in list(self.heard)]


@pytest.fixture(autouse=True)
def no_siren_is_left() -> Iterator[None]:
    with silenced():
        yield


def siren(port: int, protocol: int = V5, **more: Any) -> Channel:
    broker = BrokerConfig(host="127.0.0.1", port=port, protocol=protocol, client_id="gateway", **more)
    return channels.build("roof", "siren", {"topic": TOPIC, "sounds": "60s"}, {}, broker=broker)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as one:
        yield one


def red(**changes: Any) -> Any:
    return notification(**{"level": Level.RED, **changes})


@pytest.mark.parametrize("protocol", [V311, V5])
def test_on_and_off_are_heard_once_each_and_never_kept(broker: Mosquitto, protocol: int) -> None:
    channel = siren(broker.port, protocol)
    with Relay(broker.port) as relay:
        assert channel.send(red(), "t", "").told is Told.ACCEPTED
        assert channel.send(red(kind=Kind.CLEARED), "t", "").told is Told.ACCEPTED
        until(lambda: len(relay.heard) == 2, what="on and off")
        assert relay.orders == [{"on": True, "for_s": 60}, {"on": False}]
        assert [(message.qos, message.retain) for _, message in relay.heard] == [(1, False)] * 2
    with Relay(broker.port) as late:  # what is kept would come at once, before what is said now
        channel.send(red(), "t", "")
        until(lambda: late.heard, what="the next order")
        assert len(late.heard) == 1


def test_a_relay_that_is_not_there_is_noticed(broker: Mosquitto) -> None:
    answer = siren(broker.port).send(red(), "t", "")
    assert (answer.told, answer.detail) == (Told.LATER, "nobody listens on its topic")


@pytest.mark.parametrize(
    ("acl", "told"), [(ACL, Told.REFUSED), (ACL + "topic write relay/#\n", Told.ACCEPTED)]
)
def test_a_broker_that_does_not_let_us_speak_there_is_noticed(tmp_path: Path, acl: str, told: Told) -> None:
    (tmp_path / "password").write_text(USERS["lilong"])
    with Mosquitto(tmp_path, users=USERS, acl=acl) as broker, Relay(broker.port, "relay"):
        channel = siren(broker.port, username="lilong", password_file=tmp_path / "password")
        assert channel.send(red(), "t", "").told is told


def test_a_wrong_password_is_for_good(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("another")
    with Mosquitto(tmp_path, users=USERS) as broker:
        channel = siren(broker.port, username="lilong", password_file=tmp_path / "password")
        answer = channel.send(red(), "t", "")
        assert answer.told is Told.REFUSED
        assert "another" not in answer.detail


# ---------------------------------------------------------------- the whole gateway, with every line out cut


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[int, int], App]]:
    apps: list[App] = []

    def start(port: int, cloud: int) -> App:
        (tmp_path / "sites").mkdir()
        (tmp_path / "sites" / "street.yaml").write_text(SITE, "utf-8")
        (tmp_path / "secret").write_text("s3cr3t")
        (tmp_path / "lilong.yaml").write_text(CONFIG % (port, f"http://127.0.0.1:{cloud}"))
        apps.append(App(tmp_path / "lilong.yaml", "en"))
        apps[0].start()
        return apps[0]

    yield start
    for app in apps:
        app.stop()


def test_red_sounds_within_two_seconds_though_no_line_leads_out_and_stops_when_somebody_answers(
    broker: Mosquitto, started: Callable[[int, int], App]
) -> None:
    """The provider hangs, as it does behind a cut line: the siren waits for nobody."""
    with Provider(silence) as cloud, Relay(broker.port) as relay:
        app = started(broker.port, cloud.port)
        until(lambda: app.pipeline.engine.state.link_up, what="the broker")
        began = time.monotonic()
        publish(broker.port, [("site/street/cab-1/up", SMOKE)])
        until(lambda: relay.heard, what="the siren")
        assert relay.orders[0] == {"on": True, "for_s": 60}
        assert relay.heard[0][0] - began < 2.0
        until(lambda: open_cases(app.store.reader()), what="the case")
        (case,) = open_cases(app.store.reader())
        app.pipeline.submit(
            lambda at, wall_ns: Act(at, wall_ns, case.id, "duty", Verb.ACKNOWLEDGE, "", "cli")
        )
        until(lambda: {"on": False} in relay.orders, what="silence")
