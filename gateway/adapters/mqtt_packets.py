"""MQTT packets out of bytes, and back: no input or output, no paho (see mqtt.py)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.model import Message

PACKET_BYTES_MOST = 8 << 20  # of a longer message only the beginning is kept; decoding refuses it by size
TOPICS_MOST, TOPIC_BYTES_MOST = 20_000, 256  # what the cache of decoded topics may hold
RETAIN, QOS, DUP = 0x01, 0x06, 0x08  # bits of a PUBLISH's first byte
PUBLISH_OURS = frozenset(range(0x30, 0x34)) | frozenset(range(0x38, 0x3C))  # QoS 0 and 1; 2 is paho's
PUBACK = 0x40020000
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"


class MalformedError(Exception):
    """The bytes are not MQTT; nothing that follows them in this connection can be read."""


class Batch(NamedTuple):
    """What some bytes held."""

    mids: list[int]  # the packet id of each message; 0 for QoS 0
    messages: list[Message]
    others: list[bytes]  # every packet that is not a PUBLISH of QoS 0 or 1, whole


class Topics(dict[bytes, str]):
    """Topics as text, each decoded once. What is not UTF-8 becomes a topic that no device has."""

    def __missing__(self, raw: bytes) -> str:
        text = raw.decode("utf-8", "replace")
        if len(raw) <= TOPIC_BYTES_MOST:
            if len(self) >= TOPICS_MOST:
                self.clear()
            self[raw] = text
        return text


class PacketParser:
    """A stream of bytes from a broker, cut anywhere, to packets."""

    def __init__(self, protocol: int) -> None:
        self._properties = protocol == 5
        self._topics = Topics()
        self._parts: list[bytes] = []  # a packet's beginning
        self._have = 0  # bytes of it that came; more than `_parts` holds when it is too long to be kept
        self._need = 0  # bytes before it is worth looking at again

    def receive(self, data: bytes) -> Batch:
        """Every packet that `data` completes. After MalformedError the parser is of no more use."""
        batch = Batch([], [], [])
        self._have += len(data)
        if self._have < self._need:
            if self._have - len(data) <= PACKET_BYTES_MOST:
                self._parts.append(data)
            return batch
        try:
            self._parse(self._joined(data, batch), batch)
        except IndexError:
            raise MalformedError("a PUBLISH is shorter than its own fields") from None
        return batch

    def _joined(self, data: bytes, batch: Batch) -> bytes:
        """`data` behind the beginning that was kept; a monster is finished with first."""
        if self._need <= PACKET_BYTES_MOST:
            return b"".join((*self._parts, data)) if self._parts else data
        self._shorten(b"".join(self._parts), batch)
        return data[len(data) - (self._have - self._need) :]

    def _shorten(self, beginning: bytes, batch: Batch) -> None:
        """A message too long to be kept: its beginning is enough to refuse it and to acknowledge it."""
        if beginning[0] not in PUBLISH_OURS:
            raise MalformedError(f"a packet of {self._need} bytes that is not a message")
        _, body = _variable(beginning, 1)
        self._publish(beginning, 0, body, len(beginning), batch)

    def _parse(self, data: bytes, batch: Batch) -> None:
        at, size, need = 0, len(data), 2
        while size - at >= 2:
            try:
                length, body = _variable(data, at + 1)
            except IndexError:
                need = size - at + 1
                break
            end = body + length
            if end > size:
                need = end - at
                break
            if data[at] in PUBLISH_OURS:
                self._publish(data, at, body, end, batch)
            else:
                batch.others.append(data[at:end])
            at = end
        self._parts, self._have, self._need = ([data[at:]] if at < size else []), size - at, need

    def _publish(self, data: bytes, at: int, body: int, end: int, batch: Batch) -> None:
        head, mid, begin = data[at], 0, body + 2
        payload = topic_end = begin + (data[body] << 8 | data[body + 1])
        if head & QOS:
            mid = data[payload] << 8 | data[payload + 1]
            payload += 2
        if self._properties:
            length, payload = _variable(data, payload)
            payload += length
        if payload > end or (head & QOS and not mid):
            raise MalformedError("a PUBLISH whose fields do not fit")
        batch.mids.append(mid)
        topic = self._topics[data[begin:topic_end]]
        batch.messages.append(Message(topic, data[payload:end], head & RETAIN != 0, head & DUP != 0))


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at `at`, and where it ends. IndexError when it is cut off."""
    byte = data[at]
    value, shift = byte & 127, 7
    while byte > 127:
        if shift > 21:
            raise MalformedError("a length of more than four bytes")
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return value, at + 1


def pubacks(mids: Sequence[int]) -> bytes:
    """PUBACK packets, `40 02 id` in 3.1.1 and 5 alike; packet id 0 needs none."""
    packets = [PUBACK | mid for mid in mids if mid]
    return struct.pack(f">{len(packets)}I", *packets)
