"""Sends a load over one raw socket at QoS 1, flat out behind a window or paced; prints what it did as JSON.

    python -m tests.benchmarks.publisher --port 1883 --count 200000 [--rate 5000]

Pre-encoded packets, no library: 0.6 s CPU per 100,000 messages instead of paho's 8.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import chain, islice

from tests.benchmarks import wire
from tests.benchmarks.load import Load
from tests.benchmarks.shipped import Street

WINDOW = 1_000  # unacknowledged messages
GULP = 100  # packets in one send when flat out
CLIENT = "load-generator"
LOADS = {kind.kind: kind for kind in (Load, Street)}


class Publisher:
    """One connection; `sent_ns` remembers the steady instant at which chosen messages left."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._packets = wire.Packets()
        self.sent = self.acknowledged = 0
        self.sent_ns: dict[str, int] = {}
        self._socket.sendall(wire.connect(CLIENT, wire.V311, clean=True))
        if next(self._packets.feed(self._socket.recv(64)))[0] != wire.CONNACK:
            raise ConnectionError("no CONNACK")

    def flat_out(self, packets: Iterator[bytes]) -> None:
        """As fast as the broker acknowledges, never more than WINDOW ahead of it."""
        while chunk := list(islice(packets, GULP)):
            while self.sent - self.acknowledged > WINDOW - GULP:
                self._hear(block=True)
            self._socket.sendall(b"".join(chunk))
            self.sent += len(chunk)
        self._finish()

    def paced(self, packets: Iterator[bytes], rate: float, crossings: dict[int, str]) -> None:
        """`rate` messages a second, each at its own instant; crossing ones are stamped as they leave."""
        start, never = time.monotonic(), threading.Event()
        for index, one in enumerate(packets):
            left_s = start + index / rate - time.monotonic()
            if left_s > 0:
                self._hear(block=False)
                never.wait(left_s)  # for the instant, not for the broker: a wake-up more would be load too
            if index in crossings:
                self.sent_ns[crossings[index]] = time.monotonic_ns()
            self._socket.sendall(one)
            self.sent += 1
        self._finish()

    def _finish(self) -> None:
        while self.acknowledged < self.sent:
            self._hear(block=True)
        self._socket.sendall(wire.DISCONNECT_BYTES)
        self._socket.close()

    def _hear(self, block: bool) -> None:
        try:
            data = self._socket.recv(65_536, 0 if block else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("the broker closed the connection")
        self.acknowledged += sum(kind == wire.PUBACK for kind, _ in self._packets.feed(data))


def encoded(load: Load) -> Iterator[bytes]:
    """Packets with ids 1..65535, round and round (the window is far smaller)."""
    for index, (topic, payload) in enumerate(load.messages()):
        yield wire.publish(topic, payload, index % wire.PACKET_IDS + 1)


def begun(packets: Iterator[bytes]) -> Iterator[bytes]:
    """The same; what it takes to make the first one is done before the pace begins."""
    return chain([next(packets)], packets)


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """The options from which another process makes the very same load."""
    for name in ("count", "devices", "alerts", "streak", "start-ms"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--kind", choices=LOADS, required=True)


def load_of(options: argparse.Namespace) -> Load:
    return LOADS[options.kind](
        count=options.count, devices=options.devices, alerts=options.alerts, streak=options.streak,
        per_second=options.per_second, start_ms=options.start_ms,
    )  # fmt: skip


def arguments_of(load: Load) -> list[str]:
    return [
        f"--count={load.count}", f"--devices={load.devices}", f"--alerts={load.alerts}",
        f"--streak={load.streak}", f"--per-second={load.per_second}", f"--start-ms={load.start_ms}",
        f"--kind={load.kind}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: flat out")
    add_load_arguments(parser)
    options = parser.parse_args()
    load = load_of(options)
    publisher = Publisher(options.port)
    packets = begun(encoded(load)) if options.rate else iter(list(encoded(load)))
    print(json.dumps({"started_ns": time.monotonic_ns()}), flush=True)
    if options.rate:
        publisher.paced(packets, options.rate, load.crossings())
    else:
        publisher.flat_out(packets)
    print(json.dumps({"sent": publisher.sent, "ended_ns": time.monotonic_ns(), "sent_ns": publisher.sent_ns}))


if __name__ == "__main__":
    main()
