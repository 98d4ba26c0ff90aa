"""The subscriber against real brokers, on both of its paths: bulk reading, and paho reading for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt
import pytest

from gateway import telemetry
from gateway.adapters import mqtt, mqtt_connection
from gateway.adapters.mqtt import Delivery, Subscriber
from gateway.adapters.mqtt_packets import pubacks
from gateway.config import BrokerConfig
from gateway.core.model import Message
from tests.servers.certificates import make_certificates
from tests.servers.mosquitto import Mosquitto
from tests.servers.nats import Nats
from tests.servers.proxy import Proxy
from tests.servers.publisher import publish
from tests.servers.scripted import SUBSCRIBE, Scripted
from tests.waiting import until

pytestmark = pytest.mark.servers

V311, V5 = 4, 5


class Taker:
    """The gateway behind a subscriber: takes, and acknowledges at once or when the test says so."""

    def __init__(self, config: BrokerConfig, fast: bool | None, acknowledging: bool, **more: Any) -> None:
        self.acknowledging, self.room = acknowledging, True
        self.deliveries: list[Delivery] = []
        self.links: list[tuple[bool, str]] = []
        self.subscriber = Subscriber(config, self.take, self.note_link, fast=fast, **more)

    def take(self, delivery: Delivery) -> bool:
        if not self.room:
            return False
        self.deliveries.append(delivery)
        if self.acknowledging:
            self.subscriber.acknowledge([delivery])
        return True

    def note_link(self, up: bool, reason: str) -> None:
        self.links.append((up, reason))

    @property
    def messages(self) -> list[Message]:
        return [message for delivery in list(self.deliveries) for message in delivery.messages]

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    @property
    def reason(self) -> str:
        return self.links[-1][1] if self.links else ""

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Message]:
        until(lambda: len(self.messages) >= count, seconds, f"{count} messages, {len(self.messages)} came")
        return self.messages

    def wait_connected(self, seconds: float = 20.0) -> None:
        until(lambda: self.subscriber.connected, seconds, "connected")


Connect = Callable[..., Taker]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "RETRY_S_MIN", 0.1)
    monkeypatch.setattr(mqtt, "RETRY_S_MAX", 0.5)


@pytest.fixture
def said() -> Iterator[list[telemetry.Said]]:
    with telemetry.testing() as lines:
        yield lines


@pytest.fixture(params=[True, False], ids=["bulk", "stock"])
def fast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def connect(fast: bool) -> Iterator[Connect]:
    """connect(port, ...) starts a subscriber as the same client every time, and waits till it is in."""
    takers: list[Taker] = []

    def make(port: int, *, acknowledging: bool = True, waiting: bool = True, **more: Any) -> Taker:
        arguments = {key: more.pop(key) for key in ("formerly",) if key in more}
        config = BrokerConfig(host="127.0.0.1", port=port, client_id="gateway-1", **more)
        takers.append(Taker(config, fast, acknowledging, **arguments))
        takers[-1].subscriber.start()
        if waiting:
            takers[-1].wait_connected()
        return takers[-1]

    yield make
    for taker in takers:
        taker.subscriber.stop()
        assert not taker.subscriber._thread.is_alive()


@pytest.fixture(params=[V5, V311], ids=["v5", "v3.1.1"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as server:
        yield server


def numbered(count: int, topic: str = "site/a", first: int = 0) -> list[tuple[str, bytes]]:
    return [(topic, b"%d" % number) for number in range(first, first + count)]


def named(said: Sequence[telemetry.Said], event: str) -> list[telemetry.Said]:
    return [line for line in list(said) if line.event == event]


# ---------------------------------------------------------------- taking messages


def test_what_a_message_says(broker: Mosquitto, connect: Connect, protocol: int) -> None:
    publish(broker.port, [("site/kept", b"state")], retain=True)
    taker = connect(broker.port, protocol=protocol)
    publish(broker.port, [("site/once", b"news")], qos=0)
    publish(broker.port, [("site/safe", b"news"), ("site/空", b"")])
    assert taker.wait_for(4) == [
        Message("site/kept", b"state", retained=True),
        Message("site/once", b"news"),
        Message("site/safe", b"news"),
        Message("site/空", b""),
    ]
    mids = [mid for delivery in taker.deliveries for mid in delivery.mids]
    assert mids[1] == 0 and all(mids[2:]), "only QoS 1 has a packet id"
    assert taker.links == [(True, "")]


def test_20000_messages_keep_their_order(broker: Mosquitto, connect: Connect, protocol: int) -> None:
    """None lost, none twice, each topic in the order it was published."""
    taker = connect(broker.port, protocol=protocol)
    publish(broker.port, [(f"site/{number % 7}", b"%d" % number) for number in range(20_000)])
    taker.wait_for(20_000, 60)
    for topic in range(7):
        got = [int(m.payload) for m in taker.messages if m.topic == f"site/{topic}"]
        assert got == list(range(topic, 20_000, 7))


def test_a_megabyte(broker: Mosquitto, connect: Connect, protocol: int) -> None:
    """Large messages once made paho disconnect itself; small neighbours are not disturbed."""
    taker = connect(broker.port, protocol=protocol)
    large = bytes(range(256)) * 4096
    publish(broker.port, [("site/a", b"before"), ("site/a", large), ("site/a", b"after")])
    taker.wait_for(3)
    assert taker.payloads == [b"before", large, b"after"]
    assert taker.subscriber.epoch == 1


def test_receive_maximum_holds_and_acknowledging_lets_go_on(broker: Mosquitto, connect: Connect) -> None:
    """Five unacknowledged are all the broker sends; an acknowledgement from another thread wakes ours."""
    taker = connect(broker.port, acknowledging=False, receive_maximum=5, keepalive_s=30)
    publish(broker.port, numbered(12))
    taker.wait_for(5)
    publish(broker.port, numbered(1, "other/a"))  # a round through the broker: nothing more is coming
    assert len(taker.messages) == 5
    began = time.monotonic()
    taker.subscriber.acknowledge(taker.deliveries[:])
    taker.wait_for(10)
    assert time.monotonic() - began < 3, "it was not woken, but went on with its next look at the keepalive"


# ---------------------------------------------------------------- the session


def test_the_session_survives_us(broker: Mosquitto, connect: Connect, protocol: int) -> None:
    connect(broker.port, protocol=protocol).subscriber.stop()
    publish(broker.port, numbered(50))
    taker = connect(broker.port, protocol=protocol)
    assert [int(m.payload) for m in taker.wait_for(50)] == list(range(50))


def leave(taker: Taker, broker: Mosquitto) -> None:
    """Stop, and let Mosquitto read to the end (one packet a turn): a new client would cut it short."""
    before = broker.log.count("Client gateway-1 disconnected")
    taker.subscriber.stop()
    until(lambda: broker.log.count("Client gateway-1 disconnected") > before)


def redelivered(broker: Mosquitto, connect: Connect, *, acknowledging: bool) -> list[Message]:
    """What a second subscriber gets of five messages that a first one took but did not make safe."""
    first = connect(broker.port, acknowledging=acknowledging)
    publish(broker.port, numbered(5))
    first.wait_for(5)
    leave(first, broker)
    second = connect(broker.port)
    publish(broker.port, [("site/end", b"end")])
    until(lambda: b"end" in second.payloads)
    return [message for message in second.messages if message.payload != b"end"]


def test_what_is_not_acknowledged_comes_again(broker: Mosquitto, connect: Connect) -> None:
    got = redelivered(broker, connect, acknowledging=False)
    assert got == [Message("site/a", b"%d" % n, again=True) for n in range(5)]


def test_canary_acknowledging_on_receipt_is_found(broker: Mosquitto, connect: Connect) -> None:
    """The test above can fail: a gateway that acknowledges what it has not stored gets nothing again."""
    assert redelivered(broker, connect, acknowledging=True) == []


def new_after_stale_acknowledgements(broker: Mosquitto, connect: Connect, protocol: int) -> list[bytes]:
    """Five old ones held, the broker killed, five new ones come, the old are acknowledged; what is left.

    The broker numbers from 1 again, so that an old packet id names a new message.
    """
    taker = connect(broker.port, acknowledging=False, protocol=protocol)
    publish(broker.port, numbered(5))
    taker.wait_for(5)
    held = taker.deliveries[:]
    broker.kill()
    until(lambda: not taker.subscriber.connected)
    broker.start()
    taker.wait_connected()
    publish(broker.port, [("site/new", b"%d" % number) for number in range(5)])
    until(lambda: sum(m.topic == "site/new" for m in taker.messages) == 5)
    taker.subscriber.acknowledge(held)
    leave(taker, broker)  # sends them, if it does
    after = connect(broker.port, protocol=protocol)
    publish(broker.port, [("site/end", b"end")])
    until(lambda: b"end" in after.payloads)
    return [m.payload for m in after.messages if m.topic == "site/new"]


@pytest.mark.parametrize("persistence", [False, True], ids=["forgetful", "persistent"])
def test_a_stale_acknowledgement_costs_no_message(
    tmp_path: Path, connect: Connect, protocol: int, persistence: bool, said: list[telemetry.Said]
) -> None:
    with Mosquitto(tmp_path, persistence=persistence) as broker:
        assert new_after_stale_acknowledgements(broker, connect, protocol) == [b"0", b"1", b"2", b"3", b"4"]
    assert [line.fields["count"] for line in named(said, "mqtt_acknowledged_stale")] == [5]


def test_canary_ignoring_the_epoch_is_found(
    broker: Mosquitto, connect: Connect, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: without the epoch the broker forgets five messages nobody stored."""
    monkeypatch.setattr(mqtt, "is_current", lambda delivery, epoch: True)
    assert new_after_stale_acknowledgements(broker, connect, protocol) == []


def test_the_brokers_queue_survives_its_own_death(tmp_path: Path, connect: Connect) -> None:
    with Mosquitto(tmp_path, persistence=True) as broker:
        connect(broker.port).subscriber.stop()
        publish(broker.port, numbered(50))
        broker.kill()
        broker.start()
        taker = connect(broker.port)
        assert [int(m.payload) for m in taker.wait_for(50)] == list(range(50))


# ---------------------------------------------------------------- NATS, the broker of the first try


def test_nats_keeps_the_session_through_both_deaths(tmp_path: Path, connect: Connect) -> None:
    with Nats(tmp_path, ack_wait_s=2) as broker:
        first = connect(broker.port, protocol=V311, acknowledging=False)
        publish(broker.port, numbered(5))
        first.wait_for(5)
        first.subscriber.stop()
        publish(broker.port, numbered(45, first=5))
        broker.kill()
        broker.start()
        second = connect(broker.port, protocol=V311)
        second.wait_for(50)
        assert sorted(set(map(int, second.payloads))) == list(range(50))


def test_nats_2000_messages_in_order(tmp_path: Path, connect: Connect) -> None:
    with Nats(tmp_path) as broker:
        taker = connect(broker.port, protocol=V311)
        publish(broker.port, numbered(2000))
        assert [int(m.payload) for m in taker.wait_for(2000, 60)] == list(range(2000))


def test_a_broker_without_version_5_says_so(
    tmp_path: Path, connect: Connect, said: list[telemetry.Said]
) -> None:
    with Nats(tmp_path) as broker:
        taker = connect(broker.port, protocol=V5, waiting=False)
        until(lambda: "nsupported protocol version" in taker.reason, what="the refusal")
        assert named(said, "mqtt_refused")[0].fields["hint"]


# ---------------------------------------------------------------- who we are


def test_tls(tmp_path: Path, connect: Connect, protocol: int) -> None:
    """Records are not packets: many small ones, and one message over many."""
    certificates = make_certificates(tmp_path / "certificates")
    plain = Mosquitto(tmp_path / "unused").port  # a second listener, for the publisher
    options = [f"listener {plain} 127.0.0.1"]
    with Mosquitto(tmp_path, certificates=certificates, options=options) as broker:
        taker = connect(broker.port, protocol=protocol, ca_file=certificates.ca)
        publish(plain, [*numbered(2000), ("site/a", b"x" * 300_000)])
        taker.wait_for(2001, 30)
        assert taker.payloads == [*(b"%d" % number for number in range(2000)), b"x" * 300_000]


def test_a_stranger_with_the_brokers_name_is_not_believed(tmp_path: Path, connect: Connect) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    others = make_certificates(tmp_path / "others")
    with Mosquitto(tmp_path, certificates=certificates) as broker:
        taker = connect(broker.port, waiting=False, ca_file=others.ca)
        until(lambda: "CERTIFICATE_VERIFY_FAILED" in taker.reason)


def test_mutual_tls(tmp_path: Path, connect: Connect) -> None:
    certificates = make_certificates(tmp_path / "certificates", client_name="gateway")
    with Mosquitto(tmp_path, certificates=certificates, mutual=True, acl="user gateway\n") as broker:
        bare = connect(broker.port, ca_file=certificates.ca, waiting=False)
        until(lambda: bare.links)
        assert not bare.links[0][0]
        bare.subscriber.stop()
        client = {"cert_file": certificates.client, "key_file": certificates.client_key}
        connect(broker.port, ca_file=certificates.ca, **client)


def test_a_wrong_password_is_reported_and_a_corrected_one_read_again(
    tmp_path: Path, connect: Connect, protocol: int, said: list[telemetry.Said]
) -> None:
    secret = tmp_path / "broker-password"
    secret.write_text("wr0ng-secret\n")
    with Mosquitto(tmp_path, users={"gateway": "right-secret"}) as broker:
        who = {"username": "gateway", "password_file": secret}
        taker = connect(broker.port, protocol=protocol, waiting=False, **who)
        until(lambda: taker.links)
        assert taker.links[0][0] is False and "uthori" in taker.reason
        assert named(said, "mqtt_refused")[0].level == "error"
        assert "secret" not in str(said) + str(taker.links)
        secret.write_text("right-secret\n")
        taker.wait_connected()


def test_an_unreadable_password_is_reported(broker: Mosquitto, connect: Connect, tmp_path: Path) -> None:
    missing = tmp_path / "nothing-here"
    taker = connect(broker.port, waiting=False, username="gateway", password_file=missing)
    until(lambda: str(missing) in taker.reason)


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize("version", [V5, V311], ids=["mosquitto-v5", "mosquitto-v3.1.1"])
def test_a_refused_subscription_is_reported(
    tmp_path: Path, connect: Connect, version: int, said: list[telemetry.Said]
) -> None:
    """The others still work; after the filter is taken out of the configuration, all is well."""
    filters = ("site/a/#", "secret/#")
    with Mosquitto(tmp_path, subscribable=["site/a/#"]) as broker:
        taker = connect(broker.port, protocol=version, waiting=False, subscribe=filters)
        check_refused(taker, broker.port, said)


def test_a_subscription_refused_by_nats_is_reported(
    tmp_path: Path, connect: Connect, said: list[telemetry.Said]
) -> None:
    with Nats(tmp_path, deny_subscribe="secret.>") as broker:
        filters = ("site/a/#", "secret/#")
        taker = connect(broker.port, protocol=V311, waiting=False, subscribe=filters)
        check_refused(taker, broker.port, said)


def check_refused(taker: Taker, port: int, said: list[telemetry.Said]) -> None:
    until(lambda: taker.links)
    assert taker.links[0][0] is False and "secret/#" in taker.reason and "site/a" not in taker.reason
    (line,) = named(said, "subscription_refused")
    assert line.level == "error" and line.fields["topic"] == "secret/#"
    publish(port, numbered(3, "site/a/x"))
    taker.wait_for(3)
    taker.subscriber.subscribe(["site/a/#"])
    taker.wait_connected()


def test_what_is_no_filter_is_refused(connect: Connect, broker: Mosquitto) -> None:
    taker = connect(broker.port, waiting=False, subscribe=("site/#/a", "site/a"))
    until(lambda: taker.links)
    assert taker.links[0][0] is False and "site/#/a" in taker.reason
    publish(broker.port, numbered(1))
    taker.wait_for(1)


def test_reload_changes_the_filters(broker: Mosquitto, connect: Connect, protocol: int) -> None:
    """A persistent session would keep the old ones for ever."""
    taker = connect(broker.port, protocol=protocol, subscribe=("site/a", "site/b"))
    taker.subscriber.subscribe(["site/b", "site/c"])
    until(lambda: taker.subscriber._held == {"site/b", "site/c"}, what="UNSUBACK")
    publish(broker.port, [(f"site/{name}", name.encode()) for name in "abc"])
    assert [m.topic for m in taker.wait_for(2)] == ["site/b", "site/c"]
    assert taker.subscriber.epoch == 1


def test_reload_while_the_broker_is_away(broker: Mosquitto, connect: Connect) -> None:
    taker = connect(broker.port, subscribe=("site/a",))
    broker.stop()
    until(lambda: not taker.subscriber.connected)
    taker.subscriber.subscribe(["site/b"])
    broker.start()
    taker.wait_connected()
    publish(broker.port, [("site/a", b"old"), ("site/b", b"new")])
    assert taker.wait_for(1) == [Message("site/b", b"new")]


def test_filters_of_an_earlier_process_are_given_back(broker: Mosquitto, connect: Connect) -> None:
    connect(broker.port, subscribe=("site/a", "site/b")).subscriber.stop()
    taker = connect(broker.port, subscribe=("site/b",), formerly=("site/a", "site/b"))
    until(lambda: taker.subscriber._held == {"site/b"}, what="UNSUBACK")
    publish(broker.port, [("site/a", b"old"), ("site/b", b"new")])
    assert taker.wait_for(1) == [Message("site/b", b"new")]


def test_retained_state_comes_once_not_at_every_reconnection(broker: Mosquitto, connect: Connect) -> None:
    publish(broker.port, [("site/kept", b"state")], retain=True)
    first = connect(broker.port, protocol=V5)
    first.wait_for(1)
    first.subscriber.stop()
    second = connect(broker.port, protocol=V5)
    publish(broker.port, [("site/end", b"end")])
    assert second.wait_for(1) == [Message("site/end", b"end")]


# ---------------------------------------------------------------- when things break


def test_a_pulled_cable_is_noticed(broker: Mosquitto, connect: Connect, protocol: int) -> None:
    """Within twice the keepalive, though TCP says nothing."""
    with Proxy(broker.port) as proxy:
        taker = connect(proxy.port, protocol=protocol, keepalive_s=2)
        proxy.hold()
        until(lambda: not taker.subscriber.connected, 4)
        assert "nothing came" in taker.reason
        proxy.release()
        taker.wait_connected()
        publish(broker.port, numbered(3))
        taker.wait_for(3)


def test_a_quiet_connection_stays(broker: Mosquitto, connect: Connect) -> None:
    """Pings keep it, on our side and on the broker's: four keepalives without a message."""
    taker = connect(broker.port, keepalive_s=1)
    before = taker.subscriber.progress_at
    until(lambda: taker.subscriber.progress_at - before > 4)
    assert taker.subscriber.epoch == 1 and taker.links == [(True, "")]


def test_nothing_moves_though_connected(broker: Mosquitto, connect: Connect) -> None:
    """The last resort, whatever the keepalive says: the client is rebuilt."""
    with Proxy(broker.port) as proxy:
        taker = connect(proxy.port, keepalive_s=30, rebuild_after_s=1)
        proxy.hold()
        until(lambda: taker.subscriber.epoch > 1, 5)
        proxy.release()
        taker.wait_connected()


def test_resets_and_refusals_are_survived(broker: Mosquitto, connect: Connect, fast: bool) -> None:
    with Proxy(broker.port) as proxy:
        taker = connect(proxy.port, keepalive_s=5)
        for _ in range(3):
            proxy.refuse()
            proxy.reset()
            until(lambda: not taker.subscriber.connected)
            publish(broker.port, numbered(10, first=len(set(taker.payloads))))
            proxy.refuse(False)
            taker.wait_connected()
            until(lambda: len(set(taker.payloads)) % 10 == 0 and taker.payloads)
        assert set(map(int, taker.payloads)) == set(range(30))


def test_a_full_gateway_keeps_its_connection(
    broker: Mosquitto, connect: Connect, said: list[telemetry.Said]
) -> None:
    """Nothing is read meanwhile, but pings go out; then everything comes, once and in order.

    Seven seconds, because Mosquitto looks for dead clients every five.
    """
    taker = connect(broker.port, keepalive_s=1)
    taker.room = False
    publish(broker.port, numbered(5000))
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 7)
    taker.room = True
    assert [int(m.payload) for m in taker.wait_for(5000, 30)] == list(range(5000))
    assert taker.subscriber.epoch == 1 and taker.links == [(True, "")]
    assert named(said, "mqtt_held_back")


def test_a_full_gateway_pings(connect: Connect, protocol: int) -> None:
    """The same of any broker, and the answers, which we do not read, are not missed."""
    with Scripted(protocol) as broker:
        taker = connect(broker.port, protocol=protocol, keepalive_s=1)
        taker.room = False
        broker.send(scripted_publish(b"site/a", b"waits", 1, protocol))
        until(lambda: len(broker.of_kind(12)) >= 6)
        taker.room = True
        taker.wait_for(1)
        until(lambda: len(broker.of_kind(12)) >= 8)
        assert taker.subscriber.epoch == 1 and taker.links == [(True, "")]


@pytest.mark.parametrize("fast", [True])
def test_canary_a_full_gateway_that_forgets_to_ping_is_found(
    broker: Mosquitto, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: without our pings the broker drops us."""
    monkeypatch.setattr(mqtt_connection, "PINGREQ", b"")
    taker = connect(broker.port, keepalive_s=1)
    taker.room = False
    publish(broker.port, numbered(10))
    until(lambda: "exceeded timeout" in broker.log, 20, "Mosquitto drops us")


def test_a_full_gateway_notices_a_dead_broker(broker: Mosquitto, connect: Connect) -> None:
    """And hands over what it holds, for a broker that lost its session will not send it again."""
    taker = connect(broker.port, keepalive_s=5)
    taker.room = False
    publish(broker.port, numbered(5))
    until(lambda: taker.subscriber._parked)
    broker.kill()
    until(lambda: not taker.subscriber.connected)
    taker.room = True
    assert [int(m.payload) for m in taker.wait_for(5)[:5]] == list(range(5))


# ---------------------------------------------------------------- what no broker should do


def test_a_topic_that_is_not_utf8(connect: Connect, protocol: int) -> None:
    with Scripted(protocol) as broker:
        taker = connect(broker.port, protocol=protocol)
        broker.send(scripted_publish(b"site/\xff", b"bad", 1, protocol))
        broker.send(scripted_publish(b"site/a", b"good", 2, protocol))
        assert [m.topic for m in taker.wait_for(2)] == ["site/�", "site/a"]
        until(lambda: broker.of_kind(4) == [pubacks([1]), pubacks([2])])


def test_qos_2_is_taken_and_said(connect: Connect, protocol: int, said: list[telemetry.Said]) -> None:
    """An older session may hold such a subscription; refusing would stop everything behind it."""
    with Scripted(protocol) as broker:
        taker = connect(broker.port, protocol=protocol)
        broker.send(scripted_publish(b"site/a", b"twice safe", 7, protocol, head=0x34))
        until(lambda: broker.of_kind(5), what="PUBREC")
        broker.send(b"\x62\x02\x00\x07" + scripted_publish(b"site/a", b"after", 8, protocol))
        assert sorted(m.payload for m in taker.wait_for(2)) == [b"after", b"twice safe"]
        until(lambda: broker.of_kind(7), what="PUBCOMP")
        until(lambda: broker.of_kind(4), what="PUBACK")
        assert broker.of_kind(4) == [pubacks([8])]
    assert named(said, "mqtt_exactly_once")


@pytest.mark.parametrize("fast", [True])
def test_the_end_of_a_qos_2_message_we_forgot_is_answered(connect: Connect, protocol: int) -> None:
    """It was taken by an earlier connection; without an answer it would hold a place for ever."""
    with Scripted(protocol) as broker:
        connect(broker.port, protocol=protocol)
        broker.send(b"\x62\x02\x00\x09")
        until(lambda: broker.of_kind(7) == [b"\x70\x02\x00\x09"], what="PUBCOMP")


@pytest.mark.parametrize(
    "garbage",
    [b"\x32\xff\xff\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x36\x03\x00\x00\x00", b"\x20\x00\x20\x00"],
    ids=["length", "zeros", "qos3", "connack"],
)
def test_garbage_ends_the_connection_not_the_thread(connect: Connect, protocol: int, garbage: bytes) -> None:
    with Scripted(protocol) as broker:
        taker = connect(broker.port, protocol=protocol)
        broker.send(garbage)
        until(lambda: broker.connections >= 2, what="a second connection")
        taker.wait_connected()
        broker.send(scripted_publish(b"site/a", b"good", 2, protocol))
        until(lambda: b"good" in taker.payloads)


def test_being_sent_away_is_told(connect: Connect) -> None:
    """MQTT 5: another client with our id took the session over."""
    with Scripted(V5) as broker:
        taker = connect(broker.port, protocol=V5)
        broker.send(b"\xe0\x01\x8e")
        until(lambda: any("Session taken over" in reason for _, reason in taker.links))


def test_a_broker_that_never_answers(connect: Connect, protocol: int) -> None:
    with Scripted(protocol, connack=b"") as broker:
        taker = connect(broker.port, protocol=protocol, waiting=False, keepalive_s=1)
        until(lambda: broker.connections >= 2, 6, "a second attempt")
        assert taker.links[0][0] is False


def test_acknowledgements_and_pahos_packets_do_not_mingle(connect: Connect) -> None:
    """The broker reads nothing while 300 kB of PUBACK and some SUBSCRIBE wait; then all are whole."""
    with Scripted(V311) as broker:
        taker = connect(broker.port, protocol=V311, keepalive_s=20)
        broker.reading.clear()
        ids = list(range(1, 60_001))
        for first in range(0, len(ids), 5000):
            taker.subscriber.acknowledge([Delivery(1, ids[first : first + 5000], [])])
            taker.subscriber.subscribe(["site/#", f"site/{first}"])
        broker.reading.set()
        until(lambda: len(broker.of_kind(4)) == len(ids) and len(broker.of_kind(SUBSCRIBE)) > 1, 30)
        assert b"".join(broker.of_kind(4)) == pubacks(ids)
        assert {packet[0] >> 4 for packet in broker.packets} <= {1, 4, 8, 10, 12}


def scripted_publish(topic: bytes, payload: bytes, mid: int, protocol: int, head: int = 0x32) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + mid.to_bytes(2, "big")
    body += (b"\x00" if protocol == V5 else b"") + payload
    return bytes([head, len(body)]) + body


# ---------------------------------------------------------------- our own mistakes, and the end


def test_a_failing_callback_does_not_end_the_thread(
    broker: Mosquitto, connect: Connect, monkeypatch: pytest.MonkeyPatch, said: list[telemetry.Said]
) -> None:
    taker = connect(broker.port)
    failures = [OverflowError("a mistake of ours"), KeyError("another")]
    take = taker.take

    def fail_first(delivery: Delivery) -> bool:
        if failures:
            raise failures.pop()
        return take(delivery)

    monkeypatch.setattr(taker.subscriber, "_deliver", fail_first)
    publish(broker.port, numbered(10))
    until(lambda: set(map(int, taker.payloads)) == set(range(10)))
    assert len(named(said, "mqtt_thread_failed")) == 2
    taker.wait_connected()


def test_a_failing_link_callback_does_not_end_the_thread(broker: Mosquitto, connect: Connect) -> None:
    taker = connect(broker.port)

    def fail(up: bool, reason: str) -> None:
        raise RuntimeError("a mistake of ours")

    taker.subscriber._link = fail
    broker.stop()
    until(lambda: taker.subscriber.epoch > 3)
    taker.subscriber._link = taker.note_link
    broker.start()
    taker.wait_connected()


def test_stopping_sends_the_last_acknowledgements(broker: Mosquitto, connect: Connect) -> None:
    taker = connect(broker.port, acknowledging=False)
    publish(broker.port, numbered(2000))
    taker.wait_for(2000)
    taker.subscriber.acknowledge(taker.deliveries)
    leave(taker, broker)
    after = connect(broker.port)
    publish(broker.port, [("site/end", b"end")])
    assert after.wait_for(1) == [Message("site/end", b"end")]
    assert not taker.subscriber.connected and taker.reason == "stopped"


@pytest.mark.parametrize("where", ["waiting", "hanging"])
def test_stopping_does_not_wait_for_a_broker(connect: Connect, where: str) -> None:
    """Between two attempts (nobody listens), and in the midst of one (nobody answers)."""
    with Scripted(V5, connack=b"") as silent:
        port = silent.port
        if where == "waiting":
            silent.__exit__()
        taker = connect(port, waiting=False)
        until(lambda: taker.links if where == "waiting" else silent.connections)
        began = time.monotonic()
        taker.subscriber.stop()
        assert time.monotonic() - began < 3


def test_an_unknown_paho_reads_for_itself(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, said: list[telemetry.Said]
) -> None:
    assert mqtt_connection.paho_is_known(), "the pinned paho is the known one"
    monkeypatch.setattr(paho.mqtt, "__version__", "3.0.0")
    taker = Taker(
        BrokerConfig(host="127.0.0.1", port=broker.port, client_id="gateway-1"), fast=None, acknowledging=True
    )  # type: ignore[arg-type]
    taker.subscriber.start()
    taker.wait_connected()
    publish(broker.port, numbered(3))
    taker.wait_for(3)
    taker.subscriber.stop()
    assert named(said, "mqtt_slow_path")
