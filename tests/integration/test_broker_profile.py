"""The shipped Mosquitto profile, run by a real Mosquitto: who may speak, and that nothing is lost."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.adapters.mqtt import Delivery, Subscriber
from gateway.config import BrokerConfig, load
from gateway.core.model import OWN, POSTED
from tests.fleet import Fleet
from tests.servers.certificates import make_certificates
from tests.servers.process import Process, free_port
from tests.waiting import until

pytestmark = pytest.mark.servers

PROFILE = Path(__file__).parents[2] / "deploy" / "mosquitto"
EXAMPLE = PROFILE.parent / "example"
DEVICES = [f"tilt-{number:02}" for number in range(50)]
PASSWORD = "not-a-secret-here"
UNSAVED_S = 3.0  # README's figure: what a killed broker acknowledged longer ago than this is on disk
EVERY_CHANGE = {"autosave_on_changes": "true"}  # the profile as it once was


class Broker(Process):
    """The profile, its paths and ports replaced; to see what settings are for, `without` leaves some out and
    `instead` gives some another value."""

    def __init__(
        self, directory: Path, without: tuple[str, ...] = (), instead: Mapping[str, str] | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.plain, self.tls = free_port(), free_port()
        make_certificates(directory / "certs")
        (directory / "data").mkdir()
        (directory / "lilong.acl").write_bytes((PROFILE / "lilong.acl").read_bytes())
        self._make_passwords(directory / "lilong.passwd")
        text = (PROFILE / "lilong.conf").read_text("utf-8")
        for old, new in {
            "/etc/mosquitto/": f"{directory}/",
            "/var/lib/mosquitto/": f"{directory}/data/",
            "listener 1883 ": f"listener {self.plain} ",
            "listener 8883": f"listener {self.tls}",
        }.items():
            assert old in text
            text = text.replace(old, new)
        lines = dict.fromkeys(without, "") | {
            name: f"{name} {value}" for name, value in (instead or {}).items()
        }
        for setting, line in lines.items():
            text, times = re.subn(rf"^{setting} .*$", line, text, flags=re.MULTILINE)
            assert times == 1, setting
        text += "log_dest stderr\n" + ("user root\n" if os.geteuid() == 0 else "")
        (directory / "lilong.conf").write_text(text, "utf-8")
        super().__init__(directory, ["mosquitto", "-c", f"{directory}/lilong.conf"], [self.plain, self.tls])

    @staticmethod
    def _make_passwords(file: Path) -> None:
        names = ["lilong", "chirpstack", *DEVICES]
        file.write_text("".join(f"{name}:{PASSWORD}\n" for name in names))
        subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Peer:
    """A paho client that collects what it is told. The gateway's: MQTT 5 with a lasting session."""

    def __init__(
        self, port: int, user: str, *, client_id: str = "", protocol: int = 5, tls: Path | None = None
    ) -> None:
        self.payloads: list[str] = []
        self.answers: dict[int, str] = {}  # mid -> the PUBACK's reason
        self.refused, self.lost = "", 0
        self._subscribed = threading.Event()
        more = {} if protocol == 5 else {"clean_session": user != "lilong"}
        kind = mqtt.MQTTv5 if protocol == 5 else mqtt.MQTTv311
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id or f"x-{user}", protocol=kind, **more
        )
        self.client.username_pw_set(user, PASSWORD)
        if tls:
            self.client.tls_set(str(tls / "certs" / "ca.crt"))
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.payloads.append(message.payload.decode())
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.answers.update({mid: str(reason)})
        self._port, self._lasting = port, user == "lilong" and protocol == 5

    def _on_connect(self, client, userdata, flags, reason, properties) -> None:
        if reason.is_failure:
            self.refused = str(reason)
        else:
            self.session_present = flags.session_present

    def _on_disconnect(self, *_: object) -> None:
        self.lost += 1

    def connect(self) -> Self:
        more = {}
        if self._lasting:
            more = {"clean_start": False, "properties": (properties := Properties(PacketTypes.CONNECT))}
            properties.SessionExpiryInterval = 3600
            properties.ReceiveMaximum = 2000
        self.client.connect("127.0.0.1", self._port, keepalive=20, **more)
        self.client.loop_start()
        until(lambda: self.client.is_connected() or self.refused, 20, "CONNACK")
        return self

    def hear(self, topic: str) -> Self:
        self._subscribed.clear()
        self.client.subscribe(topic, 1)
        assert self._subscribed.wait(20)
        return self

    def say(self, topic: str, payload: str) -> str:
        """Publish at QoS 1; the PUBACK's reason."""
        told = self.client.publish(topic, payload, qos=1)
        return until(lambda: self.answers.get(told.mid), 20, f"PUBACK of {topic}")

    def vanish(self) -> None:
        """As a crash would: no DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().close()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def gateway(broker: Broker) -> Iterator[Peer]:
    peer = Peer(broker.plain, "lilong", client_id="lilong-1").connect().hear("site/#")
    yield peer
    peer.close()


# ---------------------------------------------------------------- who may speak


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_device_speaks_only_for_itself(broker: Broker, gateway: Peer, protocol: int) -> None:
    """The spoofed message goes first on the same connection, so that its absence is no matter of patience."""
    device = Peer(broker.tls, "tilt-01", protocol=protocol, tls=broker.directory).connect()
    spoofed = device.say("site/yard/tilt-02/telemetry", "spoofed")
    device.say("site/yard/tilt-01/telemetry", "own")
    until(lambda: gateway.payloads, 10, "the device's own message")
    assert gateway.payloads == ["own"]
    assert spoofed == ("Not authorized" if protocol == 5 else "Success")  # 3.1.1 cannot say so
    device.close()


def test_a_device_hears_nothing_but_its_own_commands(broker: Broker, gateway: Peer) -> None:
    device = Peer(broker.plain, "tilt-01").connect().hear("site/#").hear("site/yard/tilt-01/command/#")
    gateway.say("site/yard/tilt-02/command/reset", "another's")
    Peer(broker.plain, "tilt-02").connect().say("site/yard/tilt-02/telemetry", "another's")
    gateway.say("site/yard/tilt-01/command/reset", "mine")
    until(lambda: device.payloads, 10, "the device's own command")
    assert set(device.payloads) == {"mine"}  # (twice: both filters hold it)
    device.close()


def test_a_camera_is_asked_for_pictures_alone(broker: Broker, gateway: Peer) -> None:
    """Below the topic it speaks on, the gateway may say nothing else, and it hears no other camera's."""
    camera = Peer(broker.plain, "tilt-01").connect().hear("site/yard/+/event/#")
    assert gateway.say("site/yard/tilt-01/event/command/open", "a door") == "Not authorized"
    assert gateway.say("site/yard/tilt-02/event/command/snapshot", "another's") == "Success"
    assert gateway.say("site/yard/tilt-01/event/command/snapshot", "mine") == "Success"
    until(lambda: camera.payloads, 10, "the request")
    assert camera.payloads == ["mine"]
    camera.close()


def test_nobody_comes_in_without_a_name_or_with_a_wrong_password(broker: Broker) -> None:
    stranger = Peer(broker.plain, "")
    stranger.client.username_pw_set(None)
    assert stranger.connect().refused == "Not authorized"
    liar = Peer(broker.plain, "tilt-01")
    liar.client.username_pw_set("tilt-01", "guess")
    assert liar.connect().refused == "Not authorized"


def test_no_device_can_push_another_out(broker: Broker, gateway: Peer) -> None:
    """With Mosquitto's defaults, a valid user who takes the victim's client id throws it out."""
    victim = Peer(broker.tls, "tilt-01", client_id="tilt-01", tls=broker.directory).connect()
    thieves = [
        Peer(broker.tls, "tilt-02", client_id="tilt-01", tls=broker.directory).connect(),
        Peer(broker.tls, "tilt-03", client_id="lilong-1", tls=broker.directory).connect(),
    ]
    for number, thief in enumerate(thieves, start=2):
        thief.say(f"site/yard/tilt-0{number}/telemetry", "in")
    victim.say("site/yard/tilt-01/telemetry", "still here")
    until(lambda: len(gateway.payloads) == 3, 10, "all three")
    assert (victim.lost, gateway.lost) == (0, 0)
    for peer in (victim, *thieves):
        peer.close()


def test_a_message_larger_than_any_sensors_is_not_passed_on(broker: Broker, gateway: Peer) -> None:
    device = Peer(broker.plain, "tilt-01", protocol=4).connect()
    device.say("site/yard/tilt-01/telemetry", "x" * 70_000)
    device.say("site/yard/tilt-01/telemetry", "small")
    until(lambda: gateway.payloads, 10, "the small one")
    assert gateway.payloads == ["small"]
    device.close()


def test_it_listens_where_it_says_and_nowhere_else(broker: Broker) -> None:
    """A setting of a listener above the first `listener` line once opened 1883 to everybody."""
    opened = re.findall(r"Opening ipv4 listen socket on port (\d+)", broker.log)
    assert sorted(map(int, opened)) == sorted([broker.plain, broker.tls])
    assert re.search(
        r"^listener 1883 127\.0\.0\.1$", (PROFILE / "lilong.conf").read_text("utf-8"), re.MULTILINE
    )


# ---------------------------------------------------------------- nothing is lost


def outage(broker: Broker) -> tuple[set[str], set[str]]:
    """Acknowledged to devices, and got by the gateway that was away for 2 s at 2,000 messages a second."""
    gateway = Peer(broker.plain, "lilong", client_id="lilong-1").connect().hear("site/#")
    fleet = Fleet(broker.plain, DEVICES, PASSWORD)
    gateway.vanish()
    fleet.send(seconds=2, rate=2000)
    back = Peer(broker.plain, "lilong", client_id="lilong-1").connect()
    assert back.session_present
    fleet.round()  # the newest of each device: behind everything that was queued
    last = {payload for payload in fleet.acknowledged if int(payload.split(":")[1]) == fleet.rounds}
    until(lambda: last <= set(back.payloads) or quiet(back), 60, "the last round")
    fleet.close()
    back.close()
    return fleet.acknowledged, set(back.payloads)


def quiet(peer: Peer, seconds: float = 3.0) -> bool:
    """Nothing more came for so long: what is missing now is lost."""
    before = len(peer.payloads)
    threading.Event().wait(seconds)
    return len(peer.payloads) == before


@pytest.mark.slow
def test_an_outage_of_two_seconds_at_2000_a_second_loses_nothing(broker: Broker) -> None:
    sent, got = outage(broker)
    print(f"{len(sent)} acknowledged, {len(sent - got)} missing")
    assert len(sent) >= 4000
    assert sent - got == set()


@pytest.mark.slow
def test_without_the_profiles_queue_the_same_outage_loses_samples(tmp_path: Path) -> None:
    """The test above can fail: this is Mosquitto's own default."""
    with Broker(
        tmp_path, without=("max_queued_messages", "max_queued_bytes", "max_inflight_messages")
    ) as broker:
        sent, got = outage(broker)
    assert len(sent - got) > 0


def kill(broker: Broker) -> tuple[set[str], set[str]]:
    """Acknowledged to devices longer than UNSAVED_S before kill -9, the gateway away, and got afterwards."""
    Peer(broker.plain, "lilong", client_id="lilong-1").connect().hear("site/#").vanish()
    fleet = Fleet(broker.plain, DEVICES, PASSWORD)
    began, old = time.monotonic(), {}
    while time.monotonic() < began + 2 * UNSAVED_S:
        fleet.send(seconds=0.1, rate=1000)
        old[time.monotonic()] = set(fleet.acknowledged)
    broker.kill()
    killed = time.monotonic()
    fleet.close()
    sent = max((some for at, some in old.items() if at < killed - UNSAVED_S), key=len)
    got = after_restart(broker, sent)
    print(f"{len(sent)} old enough, {len(sent - got)} missing; of all {len(fleet.acknowledged - got)}")
    return sent, got


def after_restart(broker: Broker, wanted: set[str]) -> set[str]:
    broker.start()
    back = Peer(broker.plain, "lilong", client_id="lilong-1").connect()
    until(lambda: wanted <= set(back.payloads) or quiet(back), 60, "the queue")
    back.close()
    return set(back.payloads)


@pytest.mark.slow
def test_kill_9_keeps_what_was_acknowledged_three_seconds_ago(broker: Broker) -> None:
    sent, got = kill(broker)
    assert len(sent) >= 1000
    assert sent - got == set()


@pytest.mark.slow
def test_without_saving_every_second_kill_9_loses_it(tmp_path: Path) -> None:
    with Broker(tmp_path, without=("autosave_interval",)) as broker:
        sent, got = kill(broker)
    assert len(sent - got) > 0


@pytest.mark.slow
def test_a_proper_stop_loses_nothing(broker: Broker) -> None:
    """Nothing was saved for two seconds at least: SIGTERM does it."""
    Peer(broker.plain, "lilong", client_id="lilong-1").connect().hear("site/#").vanish()
    fleet = Fleet(broker.plain, DEVICES, PASSWORD)
    for _ in range(10):
        fleet.round()
    broker.stop()
    fleet.close()
    assert fleet.acknowledged - after_restart(broker, fleet.acknowledged) == set()


# ---------------------------------------------------------------- it keeps up


def returned(broker: Broker, seconds: float) -> tuple[set[str], set[str], list[str], int]:
    """The gateway comes back to 5,000 messages with 1,000 a second on top, and acknowledges each at once.

    What devices sent, what it got, what came once more to its next connection (its acknowledgement still
    lay unread at the broker, 3 s after the last message), and how many connections it needed.
    """
    Peer(broker.plain, "lilong", client_id="lilong-1").connect().hear("site/#").close()
    fleet = Fleet(broker.plain, DEVICES, PASSWORD)
    for _ in range(100):
        fleet.round()
    got: set[str] = set()
    gateway = listener(broker, got)
    fleet.send(seconds=seconds, rate=1000)
    threading.Event().wait(UNSAVED_S - 2)  # stop() takes up to two more
    gateway.stop()
    again = Peer(broker.plain, "lilong", client_id="lilong-1").connect()
    fleet.round()  # behind everything that is still in the session
    until(lambda: sum(payload.endswith(f":{fleet.rounds}") for payload in again.payloads) == len(DEVICES), 60)
    again.close()
    fleet.close()
    last = {payload for payload in fleet.acknowledged if payload.endswith(f":{fleet.rounds}")}
    return fleet.acknowledged - last, got, [one for one in again.payloads if one not in last], gateway.epoch


def listener(broker: Broker, got: set[str]) -> Subscriber:
    """The gateway's own network thread, without the gateway behind it."""

    def deliver(delivery: Delivery) -> bool:
        got.update(message.payload.decode() for message in delivery.messages)
        subscriber.acknowledge([delivery])
        return True

    secret = broker.directory / "password"
    secret.write_text(PASSWORD)
    config = BrokerConfig(
        host="127.0.0.1", port=broker.plain, client_id="lilong-1", username="lilong", password_file=secret
    )
    subscriber = Subscriber(config, deliver, lambda *_: None)
    subscriber.start()
    until(lambda: subscriber.connected, 20, "the gateway's connection")
    return subscriber


@pytest.mark.slow
def test_it_keeps_up_with_a_thousand_messages_a_second(broker: Broker) -> None:
    began = time.monotonic()
    sent, got, again, connections = returned(broker, seconds=8)
    print(
        f"{len(sent)} sent, {len(sent - got)} missing, {len(again)} again, {time.monotonic() - began:.1f} s"
    )
    assert len(sent) == 13_000
    assert (sent - got, again, connections) == (set(), [], 1)


@pytest.mark.slow
def test_saving_every_change_it_does_not_keep_up(tmp_path: Path) -> None:
    """One acknowledgement of the gateway's is read for each time the database is written."""
    with Broker(tmp_path, instead=EVERY_CHANGE) as broker:
        _, _, again, _ = returned(broker, seconds=4)
    print(f"{len(again)} again")
    assert again


# ---------------------------------------------------------------- for others


def test_a_network_server_speaks_for_its_devices(broker: Broker) -> None:
    gateway = Peer(broker.plain, "lilong", client_id="lilong-1").connect().hear("application/#")
    server = Peer(broker.plain, "chirpstack").connect()
    server.say("application/3/device/24e124713d004b01/event/up", "frame")
    until(lambda: gateway.payloads, 10, "the frame")
    server.close()
    gateway.close()


# ---------------------------------------------------------------- the words around it


def test_the_example_speaks_by_the_access_list() -> None:
    """User name, filters and every device topic of deploy/example are what the list allows; nobody may
    publish in the name of a device that posts, or of the gateway itself.
    """
    acl = (PROFILE / "lilong.acl").read_text("utf-8")
    loaded = load(EXAMPLE / "lilong.yaml")
    assert loaded.problems == []
    assert f"user {loaded.config.broker.username}\n" in acl
    patterns = re.findall(r"^pattern write (\S+)", acl, re.MULTILINE)
    patterns += re.findall(r"^topic write (\S+)", acl, re.MULTILINE)
    readable = re.findall(r"^topic read (\S+)", acl, re.MULTILINE)
    for device in loaded.world.devices.values():
        posts = device.topic.startswith((POSTED, OWN))
        own = [pattern.replace("%u", device.id) for pattern in patterns]
        assert any(mqtt.topic_matches_sub(pattern, device.topic) for pattern in own) != posts, device.topic
        heard = any(mqtt.topic_matches_sub(filter, device.topic) for filter in readable)
        assert heard != posts, device.topic


def test_the_window_is_the_gateways_own() -> None:
    """Both sides must name the same number of unacknowledged messages."""
    text = (PROFILE / "lilong.conf").read_text("utf-8")
    window = int(re.search(r"^max_inflight_messages (\d+)", text, re.MULTILINE)[1])
    assert window == BrokerConfig(host="x").receive_maximum
