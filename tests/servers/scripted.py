"""A broker that says exactly what a test wants, right or wrong."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ = 1, 8, 10, 12
CONNACK = {4: b"\x20\x02\x00\x00", 5: b"\x20\x03\x00\x00\x00"}


class Scripted:
    """Answers CONNECT, SUBSCRIBE and PINGREQ; everything else is `send()` and `packets`.

    `connack` is said instead of the usual one (b"": nothing at all). While `reading` is cleared it leaves
    what the client says in the socket, whose buffer is kept small.
    """

    def __init__(self, protocol: int = 5, connack: bytes | None = None) -> None:
        self._protocol = protocol
        self._connack = CONNACK[protocol] if connack is None else connack
        self.packets: list[bytes] = []  # what came, whole packets, of all connections
        self.connections = 0
        self.reading = threading.Event()
        self.reading.set()
        self._closed = threading.Event()
        self._client: socket.socket | None = None
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.settimeout(0.2)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self.reading.set()
        self.drop()
        self._thread.join(5)
        self._listener.close()

    def send(self, data: bytes) -> None:
        assert self._client, "nobody is connected"
        self._client.sendall(data)

    def drop(self) -> None:
        if self._client:
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def of_kind(self, kind: int) -> list[bytes]:
        return [packet for packet in self.packets if packet[0] >> 4 == kind]

    def _run(self) -> None:
        while not self._closed.is_set():
            with suppress(OSError):
                self._client, _ = self._listener.accept()
                self._client.settimeout(None)
                self.connections += 1
                with self._client:
                    self._serve(self._client)

    def _serve(self, client: socket.socket) -> None:
        data = b""
        while not self._closed.is_set() and (part := self._received(client)):
            data += part
            while (whole := _packet_length(data)) and len(data) >= whole:
                packet, data = data[:whole], data[whole:]
                self.packets.append(packet)
                client.sendall(self._answer(packet))

    def _received(self, client: socket.socket) -> bytes:
        self.reading.wait()
        return client.recv(4096)

    def _answer(self, packet: bytes) -> bytes:
        kind, body = packet[0] >> 4, packet[_header_length(packet) :]
        five = b"\x00" if self._protocol == 5 else b""
        if kind == CONNECT:
            return self._connack
        if kind == SUBSCRIBE:
            return struct.pack(">BB", 0x90, 3 + len(five)) + body[:2] + five + b"\x01"
        if kind == UNSUBSCRIBE:
            return struct.pack(">BB", 0xB0, 2 + 2 * len(five)) + body[:2] + five + five
        return b"\xd0\x00" if kind == PINGREQ else b""


def _header_length(data: bytes) -> int:
    return next((at + 1 for at in range(1, len(data)) if data[at] < 128), 0)


def _packet_length(data: bytes) -> int:
    """Of the first packet, header included; 0 while that cannot be told."""
    header = _header_length(data)
    if not header:
        return 0
    return header + sum((byte & 127) << 7 * i for i, byte in enumerate(data[1:header]))
