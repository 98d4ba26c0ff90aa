"""The few MQTT packets the load generator and the replay broker speak, as bytes. No sockets here.

Written by hand and pre-encoded, so that the load costs next to nothing beside what is measured.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

V311, V5 = 4, 5  # the protocol level byte of CONNECT
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
SESSION_EXPIRY, RECEIVE_MAXIMUM = 0x11, 0x21  # MQTT 5 property ids
PINGRESP_BYTES = b"\xd0\x00"
DISCONNECT_BYTES = b"\xe0\x00"
PACKET_IDS = 65_535
# Sizes of the CONNECT properties, to walk past those we do not read (all others carry a length).
PROPERTY_SIZE = {0x11: 4, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x27: 4}


def length_bytes(length: int) -> bytes:
    """MQTT's variable length: seven bits a byte, low ones first."""
    out = bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out)


def packet(first_byte: int, body: bytes) -> bytes:
    return bytes((first_byte,)) + length_bytes(len(body)) + body


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def connect(client_id: str, level: int, clean: bool = False, keepalive_s: int = 600) -> bytes:
    """CONNECT; with MQTT 5 the session never expires, which is what 3.1.1 without `clean` means."""
    head = text("MQTT") + bytes((level, 2 if clean else 0)) + struct.pack(">H", keepalive_s)
    properties = b"" if level < V5 else b"\x05" + struct.pack(">BI", SESSION_EXPIRY, 0xFFFFFFFF)
    return packet(CONNECT << 4, head + properties + text(client_id))


def subscribe(filter_: str, level: int, packet_id: int = 1) -> bytes:
    properties = b"" if level < V5 else b"\x00"
    return packet(SUBSCRIBE << 4 | 2, struct.pack(">H", packet_id) + properties + text(filter_) + b"\x01")


def publish(topic: str, payload: bytes, packet_id: int, level: int = V311) -> bytes:
    """PUBLISH at QoS 1."""
    properties = b"" if level < V5 else b"\x00"
    return packet(PUBLISH << 4 | 2, text(topic) + struct.pack(">H", packet_id) + properties + payload)


def connack(level: int) -> bytes:
    return packet(CONNACK << 4, b"\x00\x00" + (b"" if level < V5 else b"\x00"))


def suback(packet_id: int, level: int, filters: int = 1) -> bytes:
    properties = b"" if level < V5 else b"\x00"
    return packet(SUBACK << 4, struct.pack(">H", packet_id) + properties + b"\x01" * filters)


class Packets:
    """Cuts a byte stream into (type, body) pairs; keeps what is not complete yet."""

    def __init__(self) -> None:
        self.rest = b""  # the beginning of a packet whose end is still to come

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        data = self.rest + data if self.rest else data
        at = 0
        while cut := _cut(data, at):
            start, end = cut
            yield data[at] >> 4, data[start:end]
            at = end
        self.rest = data[at:]


def _cut(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` starts and ends, or None when it is not all there."""
    length, shift, here = 0, 0, at + 1
    while here < len(data):
        length |= (data[here] & 127) << shift
        shift += 7
        here += 1
        if data[here - 1] < 128:
            return (here, here + length) if here + length <= len(data) else None
    return None


def only_pubacks(data: bytes) -> bool:
    """True for a run of whole, plain four-byte PUBACKs: what a busy client sends, counted by length."""
    count, rest = divmod(len(data), 4)
    return not rest and data[::4].count(PUBACK << 4) == count and data[1::4].count(2) == count


def read_connect(body: bytes) -> tuple[int, int]:
    """(protocol level, how many unacknowledged messages the client will hold)."""
    name_length = int.from_bytes(body[:2], "big")
    level = body[2 + name_length]
    properties = body[2 + name_length + 4 :]
    return level, _receive_maximum(properties) if level >= V5 else PACKET_IDS


def _receive_maximum(data: bytes) -> int:
    """Reads the property section (its length first) that starts `data`."""
    end, at = data[0] + 1, 1
    while at < end and data[at] in PROPERTY_SIZE:
        if data[at] == RECEIVE_MAXIMUM:
            return int.from_bytes(data[at + 1 : at + 3], "big")
        at += 1 + PROPERTY_SIZE[data[at]]
    return PACKET_IDS
