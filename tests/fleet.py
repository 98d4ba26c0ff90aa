"""Many devices on plain sockets: each sends at QoS 1 and waits for its PUBACK, as sensors do.

Not on a client library: fifty of those are fifty threads, and the answer that proves something
(this very PUBACK) is easier to see on the wire.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence

ANSWER_S = 60.0  # a broker that saves every change may be slow, never silent


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text.encode())) + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([kind]) + length + body


class Fleet:
    """Devices `names` with their passwords, on topics site/yard/NAME/telemetry; payloads NAME:NUMBER."""

    def __init__(self, port: int, names: Sequence[str], password: str) -> None:
        self.acknowledged: set[str] = set()
        self._sockets: dict[str, socket.socket] = {}
        self.rounds = 0
        for name in names:
            link = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
            flags = 0b11000010  # user name, password, clean session
            head = _text("MQTT") + bytes([4, flags]) + struct.pack("!H", 600)
            link.sendall(_packet(0x10, head + _text(name) + _text(name) + _text(password)))
            answer = self._read(link, 4)
            assert answer == b"\x20\x02\x00\x00", f"{name} was not let in: {answer!r}"
            self._sockets[name] = link

    @staticmethod
    def _read(link: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := link.recv(size - len(data))):
            data += more
        return data

    def round(self) -> None:
        """Every device sends one message; returns when each has its PUBACK."""
        self.rounds += 1
        number = self.rounds % 65535 + 1
        for name, link in self._sockets.items():
            body = _text(f"site/yard/{name}/telemetry") + struct.pack("!H", number)
            link.sendall(_packet(0x32, body + f"{name}:{self.rounds}".encode()))
        for name, link in self._sockets.items():
            answer = self._read(link, 4)
            assert answer == b"\x40\x02" + struct.pack("!H", number), f"{name}: {answer!r}"
            self.acknowledged.add(f"{name}:{self.rounds}")

    def ping(self) -> None:
        """One more round trip: the broker has turned its loop since the last PUBACK."""
        link = next(iter(self._sockets.values()))
        link.sendall(b"\xc0\x00")
        assert self._read(link, 2) == b"\xd0\x00"

    def send(self, *, seconds: float, rate: float) -> None:
        """Rounds for so long at so many messages a second, all devices together."""
        pause, rounds = threading.Event(), max(1, round(seconds * rate / len(self._sockets)))
        start = time.monotonic()
        for done in range(rounds):
            self.round()
            pause.wait(max(0.0, start + (done + 1) * seconds / rounds - time.monotonic()))

    def close(self) -> None:
        for link in self._sockets.values():
            link.close()
