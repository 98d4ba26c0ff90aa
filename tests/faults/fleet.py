"""Devices on plain sockets that play a script at QoS 1, as sensors do: what has no PUBACK is sent again."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from tests.faults.street import NAMES, Message, Script
from tests.waiting import until

ANSWER_S = 30.0  # a broker that saves may be slow, never silent
COMING_BACK_S = 30.0  # for a killed broker
PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"


class Fleet:
    """One connection for each device of the street. `confirmed` counts what the broker has for good."""

    def __init__(self, port: int, password: str) -> None:
        self._port, self._password = port, password
        self._links: dict[str, socket.socket] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.confirmed = self.sent_again = 0
        self._latest: list[tuple[str, Message]] = []
        self.failure: BaseException | None = None

    def play(self, script: Script, rounds: int, *, depth: int = 5, rate: float = 0.0) -> None:
        """So many rounds, `depth` of them on their way at a time; `rate` messages a second (0: flat out)."""
        start, done = time.monotonic(), 0
        while done < rounds and not self._stopping.is_set():
            some = [each for _ in range(min(depth, rounds - done)) for each in script.round()]
            done += min(depth, rounds - done)
            self._latest = some
            self._send(some)
            if rate:
                self._stopping.wait(max(0.0, start + done * len(NAMES) / rate - time.monotonic()))

    def say_again(self) -> int:
        """What was sent last once more, as devices do whose PUBACK was lost; returns how many."""
        self._send(self._latest)
        self.sent_again += len(self._latest)
        return len(self._latest)

    def begin(self, script: Script, rounds: int, *, depth: int = 5, rate: float = 0.0) -> None:
        """The same on a thread of its own; `wait` for its end."""
        self._thread = threading.Thread(
            target=self._guarded, args=(lambda: self.play(script, rounds, depth=depth, rate=rate),)
        )
        self._thread.start()

    def wait(self, seconds: float = 120.0) -> None:
        if self._thread:
            self._thread.join(seconds)
            assert not self._thread.is_alive(), "the devices are not done"
        if self.failure:
            raise self.failure

    @property
    def playing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join(ANSWER_S + COMING_BACK_S)
        self._hang_up()

    # ------------------------------------------------------------ on the wire

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self.failure = error

    def _send(self, some: list[tuple[str, Message]]) -> None:
        """Until the broker has taken all of it: PUBACKs, and one turn of its loop (PINGREQ) after the last.

        What is on its disk by then is another matter: `Broker.until_saved`.
        """
        while True:
            try:
                self._connect({device for device, _ in some})
                self._publish(some)
                self._turn()
            except OSError:
                self.sent_again += len(some)
                self._hang_up()
            else:
                self.confirmed += len(some)
                return

    def _publish(self, some: Iterable[tuple[str, Message]]) -> None:
        packets: dict[str, list[bytes]] = {}
        for device, message in some:
            queue = packets.setdefault(device, [])
            queue.append(_publish(len(queue) + 1, *message))
        for device, queue in packets.items():
            self._links[device].sendall(b"".join(queue))
        for device, queue in packets.items():
            _read(self._links[device], 4 * len(queue))

    def _turn(self) -> None:
        link = next(iter(self._links.values()))
        link.sendall(PINGREQ)
        assert _read(link, 2) == PINGRESP

    def _connect(self, devices: Iterable[str]) -> None:
        for device in sorted(set(devices) - set(self._links)):
            self._links[device] = until(lambda d=device: self._dialled(d), COMING_BACK_S, "the broker")

    def _dialled(self, device: str) -> socket.socket | None:
        with suppress(OSError):
            link = socket.create_connection(("127.0.0.1", self._port), ANSWER_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            flags = 0b11000010  # user name, password, clean session
            head = _text("MQTT") + bytes([4, flags]) + struct.pack("!H", 600)
            link.sendall(_packet(0x10, head + _text(device) + _text(device) + _text(self._password)))
            answer = _read(link, 4)
            assert answer == b"\x20\x02\x00\x00", f"{device} was not let in: {answer!r}"
            return link
        return None

    def _hang_up(self) -> None:
        for link in self._links.values():
            with suppress(OSError):
                link.sendall(DISCONNECT)
            link.close()
        self._links.clear()


def _publish(mid: int, topic: str, payload: bytes) -> bytes:
    return _packet(0x32, _text(topic) + struct.pack("!H", mid) + payload)


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text.encode())) + text.encode()


def _packet(head: int, body: bytes) -> bytes:
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([head]) + length + body


def _read(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise ConnectionError("the broker closed the connection")
        data += more
    return data
