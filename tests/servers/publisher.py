"""Publishes to a test's broker, fast, and returns when the broker has taken everything."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import islice

SECONDS_MOST = 30.0  # for one answer of the broker
AT_ONCE = 500  # messages on their way before the broker's answers are awaited
PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"


def publish(port: int, messages: Iterable[tuple[str, bytes]], *, qos: int = 1, retain: bool = False) -> None:
    """Each (topic, payload) in order (MQTT 3.1.1, anonymous, QoS 0 or 1); the broker has them on return."""
    with socket.create_connection(("127.0.0.1", port), SECONDS_MOST) as broker:
        broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        broker.sendall(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x3c" + _text(f"publisher-{id(broker)}")))
        assert _read(broker, 4) == b"\x20\x02\x00\x00", "the broker did not take the publisher in"
        head = 0x30 | qos << 1 | retain
        for some in _chunks(messages):
            packets = [_publish(head, mid, *each) for mid, each in enumerate(some, 1)]
            broker.sendall(b"".join(packets) + PINGREQ)
            _read(broker, 4 * len(packets) * qos + len(PINGRESP))
        broker.sendall(DISCONNECT)


def _chunks(messages: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    left = iter(messages)
    while some := list(islice(left, AT_ONCE)):
        yield some


def _publish(head: int, mid: int, topic: str, payload: bytes) -> bytes:
    return _packet(head, _text(topic) + (struct.pack(">H", mid) if head & 2 else b"") + payload)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(head: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    return bytes([head, *length, left]) + body


def _read(broker: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes: the answers to what was sent, PUBACKs of four bytes and one PINGRESP."""
    parts, left = [], size
    while left:
        part = broker.recv(left)
        assert part, "the broker closed the publisher's connection"
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
