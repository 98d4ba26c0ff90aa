"""A broker that only replays: it hands one subscriber pre-encoded messages and counts the acknowledgements.

    python -m tests.benchmarks.replay --count 100000

Nothing is decided while it runs, so what is measured is the subscriber alone.
Prints its port, then the result.
"""

from __future__ import annotations

import argparse
import json
import socket
import time

from tests.benchmarks import wire
from tests.benchmarks.load import Load
from tests.benchmarks.publisher import add_load_arguments, load_of

WINDOW = 2_000  # unacknowledged messages; less when the client's Receive Maximum says so
GULP = 200  # packets in one send


class Replay:
    """One subscriber, one load, once."""

    def __init__(self, connection: socket.socket, blobs: dict[int, list[bytes]], count: int) -> None:
        self._socket, self._blobs, self._count = connection, blobs, count
        self._packets = wire.Packets()
        self._level = self._window = 0
        self._ready = False
        self.sent = self.acknowledged = 0

    def run(self) -> float:
        """Serves until everything is acknowledged; the seconds from the first message on."""
        while not self._ready:
            self._hear()
        start = time.monotonic()
        while self.acknowledged < self._count:
            self._send_what_may_go()
            if not self._hear():
                break  # the bare subscriber leaves without acknowledging its last message
        return time.monotonic() - start

    def linger(self) -> None:
        """Answers pings until the client goes."""
        while self._hear():
            pass

    def _send_what_may_go(self) -> None:
        while self.sent < self._count and self.sent - self.acknowledged + GULP <= self._window:
            self._socket.sendall(self._blobs[self._level][self.sent // GULP])
            self.sent = min(self._count, self.sent + GULP)

    def _hear(self) -> bool:
        data = self._socket.recv(65_536)
        if self._ready and not self._packets.rest and wire.only_pubacks(data):
            self.acknowledged += len(data) // 4
            return bool(data)
        for kind, body in self._packets.feed(data):
            self._answer(kind, body)
        return bool(data)

    def _answer(self, kind: int, body: bytes) -> None:
        if kind == wire.CONNECT:
            self._level, most = wire.read_connect(body)
            self._window = max(GULP, min(WINDOW, most))
            self._socket.sendall(wire.connack(self._level))
        elif kind == wire.SUBSCRIBE:
            self._socket.sendall(wire.suback(int.from_bytes(body[:2], "big"), self._level))
            self._ready = True
        elif kind == wire.PUBACK:
            self.acknowledged += 1
        elif kind == wire.PINGREQ:
            self._socket.sendall(wire.PINGRESP_BYTES)


def blobs(load: Load, level: int) -> list[bytes]:
    """The load as byte strings of GULP packets each."""
    packets = [
        wire.publish(topic, payload, index % wire.PACKET_IDS + 1, level)
        for index, (topic, payload) in enumerate(load.messages())
    ]
    return [b"".join(packets[at : at + GULP]) for at in range(0, len(packets), GULP)]


def main() -> None:
    parser = argparse.ArgumentParser()
    add_load_arguments(parser)
    options = parser.parse_args()
    load = load_of(options)
    encoded = {level: blobs(load, level) for level in (wire.V311, wire.V5)}
    server = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": server.getsockname()[1]}), flush=True)
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    replay = Replay(connection, encoded, load.count)
    seconds = replay.run()
    print(json.dumps({"seconds": seconds, "acknowledged": replay.acknowledged}), flush=True)
    replay.linger()


if __name__ == "__main__":
    main()
