"""The bulk parser: any cut of a stream gives the same messages, and no bytes whatever a surprise."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters import mqtt_packets
from gateway.adapters.mqtt_packets import Batch, MalformedError, PacketParser, Topics, pubacks
from gateway.core.model import Message

PROTOCOLS = st.sampled_from([4, 5])


@dataclass(frozen=True)
class Packet:
    """A packet and what the parser must make of it."""

    body: bytes
    mid: int = 0
    message: Message | None = None  # None: handed on whole


def variable(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 127
        out.append(byte | (128 if value else 0))
        if not value:
            return bytes(out)


def packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + variable(len(body)) + body


def publish(
    topic: bytes,
    payload: bytes,
    mid: int = 0,
    *,
    retained: bool = False,
    again: bool = False,
    properties: bytes | None = None,
) -> bytes:
    """A PUBLISH of QoS 1, or 0 when `mid` is 0; `properties` None: MQTT 3.1.1."""
    head = 0x30 | (2 if mid else 0) | (1 if retained else 0) | (8 if again else 0)
    body = struct.pack(">H", len(topic)) + topic + (struct.pack(">H", mid) if mid else b"")
    body += b"" if properties is None else variable(len(properties)) + properties
    return packet(head, body + payload)


@st.composite
def messages(draw: st.DrawFn, protocol: int) -> Packet:
    topic, payload = draw(st.binary(max_size=40)), draw(st.binary(max_size=300))
    mid = draw(st.integers(0, 65535))
    retained, again = draw(st.booleans()), draw(st.booleans())
    properties = draw(st.binary(max_size=200)) if protocol == 5 else None
    body = publish(topic, payload, mid, retained=retained, again=again, properties=properties)
    return Packet(body, mid, Message(topic.decode("utf-8", "replace"), payload, retained, again))


def others() -> st.SearchStrategy[Packet]:
    """CONNACK, SUBACK, PINGRESP and the like, and PUBLISH of QoS 2."""
    heads = st.sampled_from([0x20, 0x40, 0x62, 0x90, 0xB0, 0xD0, 0xE0, 0x34, 0x3D])
    return st.builds(lambda head, body: Packet(packet(head, body)), heads, st.binary(max_size=200))


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[Packet]]:
    protocol = draw(PROTOCOLS)
    return protocol, draw(st.lists(messages(protocol) | others(), max_size=12))


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces, at places of hypothesis's choice, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=20)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def parsed(parser: PacketParser, pieces: list[bytes]) -> Batch:
    whole = Batch([], [], [])
    for piece in pieces:
        for sum_, part in zip(whole, parser.receive(piece), strict=True):
            sum_ += part  # type: ignore[operator]
    return whole


def expected(packets: list[Packet]) -> Batch:
    ours = [packet for packet in packets if packet.message]
    others = [packet.body for packet in packets if not packet.message]
    return Batch([p.mid for p in ours], [p.message for p in ours if p.message], others)


# ---------------------------------------------------------------- properties


@given(streams(), st.data())
def test_any_cut_of_a_stream_gives_the_same(stream: tuple[int, list[Packet]], data: st.DataObject) -> None:
    """TCP keeps no borders: packets arrive in pieces and in heaps."""
    protocol, packets = stream
    pieces = data.draw(cut(b"".join(packet.body for packet in packets)))
    assert parsed(PacketParser(protocol), pieces) == expected(packets)


@given(streams(), st.data())
def test_what_is_cut_off_gives_a_beginning_and_nothing_else(
    stream: tuple[int, list[Packet]], data: st.DataObject
) -> None:
    protocol, packets = stream
    whole = b"".join(packet.body for packet in packets)
    part = whole[: data.draw(st.integers(0, len(whole)))]
    got, all_ = parsed(PacketParser(protocol), data.draw(cut(part))), expected(packets)
    for some, every in zip(got, all_, strict=True):
        assert some == every[: len(some)]


@given(PROTOCOLS, st.data())
def test_garbage_ends_in_its_own_error_or_in_packets(protocol: int, data: st.DataObject) -> None:
    """Nothing a broker says may raise anything else: the network thread knows only MalformedError."""
    garbage = data.draw(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"\x32" + b))
    parser = PacketParser(protocol)
    try:
        for piece in data.draw(cut(garbage)):
            parser.receive(piece)
    except MalformedError:
        pass


@given(st.data())
def test_a_monster_is_shortened_and_what_follows_is_read(data: st.DataObject) -> None:
    """One device must not fill the memory, and not stop its neighbours either."""
    most = 2000
    monster = publish(b"site/a", b"m" * data.draw(st.integers(most + 10, 5 * most)), 7)
    stream = publish(b"site/b", b"before", 6) + monster + publish(b"site/c", b"after", 8)
    pieces = [piece[i : i + 500] for piece in data.draw(cut(stream)) for i in range(0, len(piece), 500)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mqtt_packets, "PACKET_BYTES_MOST", most)
        got = parsed(PacketParser(4), pieces)
    assert got.mids == [6, 7, 8]
    assert [message.topic for message in got.messages] == ["site/b", "site/a", "site/c"]
    assert most - 520 < len(got.messages[1].payload) <= most + 500  # to a read's worth
    assert got.messages[2].payload == b"after"


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (4, b"\x32\xff\xff\xff\xff\x01"),
        (4, packet(0x32, b"\x00\x05site")),
        (4, packet(0x32, b"\x00\x04site")),
        (4, packet(0x32, b"\x00\x04site\x00")),
        (4, packet(0x32, b"\x00\x04site\x00\x00payload")),
        (4, packet(0x30, b"")),
        (5, packet(0x32, b"\x00\x04site\x00\x01\x7f{}")),
        (5, packet(0x32, b"\x00\x04site\x00\x01\xff\xff\xff\xff\x01")),
    ],
    ids=["length", "topic", "no-id", "half-id", "id-0", "empty", "properties", "properties-length"],
)
def test_malformed(protocol: int, data: bytes) -> None:
    """Behind it stands a whole message: it must not be borrowed from."""
    with pytest.raises(MalformedError):
        PacketParser(protocol).receive(data + publish(b"site/a", b"{}", 1))


def test_a_topic_that_is_not_utf8_is_a_topic_nobody_has() -> None:
    (message,) = PacketParser(4).receive(publish(b"site/\xff\xfe/x", b"{}", 1)).messages
    assert message.topic == "site/��/x"


def test_payloads_are_bytes_of_their_own() -> None:
    """They outlive the read they came in, and msgspec stores bytes only."""
    (message,) = PacketParser(4).receive(publish(b"site/a", b"{}", 1)).messages
    assert type(message.payload) is bytes


def test_the_cache_of_topics_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that invents topics, or very long ones, fills no memory."""
    monkeypatch.setattr(mqtt_packets, "TOPICS_MOST", 10)
    topics = Topics()
    assert [topics[b"site/%d" % i] for i in range(100)] == [f"site/{i}" for i in range(100)]
    assert topics[b"x" * 60_000] == "x" * 60_000
    assert len(topics) <= 10 and all(len(raw) < 1000 for raw in topics)


def test_pubacks() -> None:
    assert pubacks([1, 0, 0xABCD, 65535]) == b"\x40\x02\x00\x01\x40\x02\xab\xcd\x40\x02\xff\xff"
    assert pubacks([0, 0]) == b""


# ---------------------------------------------------------------- canary


def test_canary_a_parser_that_forgets_a_packets_beginning_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above can fail: without the kept beginning, cut messages are gone."""
    stream = b"".join(publish(b"site/a", b"%d" % i, i) for i in range(1, 100))
    pieces = [stream[i : i + 64] for i in range(0, len(stream), 64)]
    assert len(parsed(PacketParser(4), pieces).messages) == 99

    class Forgetful(PacketParser):
        def receive(self, data: bytes) -> Batch:
            self._parts, self._have, self._need = [], 0, 0
            return super().receive(data)

    try:
        found = len(parsed(Forgetful(4), pieces).messages)
    except MalformedError:
        found = 0
    assert found < 99
