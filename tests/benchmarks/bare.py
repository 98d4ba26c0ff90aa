"""Reference A: a bare, stock paho-mqtt subscriber as people write it, whose callback only counts.

    python -m tests.benchmarks.bare --port 1883 --client-id a --count 200000

MQTT 3.1.1, QoS 1, persistent session, paho's own loop and acknowledgement. It times itself from the first to
the last message (so that nobody disturbs it by looking) and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import paho.mqtt.client as mqtt


class Bare:
    def __init__(self, client_id: str, count: int) -> None:
        self._count, self._seen = count, 0
        self._first: tuple[int, float] = (0, 0.0)
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def run(self, port: int) -> None:
        self._client.connect("127.0.0.1", port)
        self._client.loop_forever()

    def _on_connect(self, client, userdata, flags, reason, properties) -> None:
        client.subscribe("site/#", qos=1)

    def _on_message(self, client, userdata, message) -> None:
        self._seen += 1
        if self._seen == 1:
            self._first = now()
        elif self._seen == self._count:
            self._report(now())
            client.disconnect()

    def _report(self, last: tuple[int, float]) -> None:
        seconds, cpu = (last[0] - self._first[0]) / 1e9, last[1] - self._first[1]
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "cpu_s": cpu, "rss_mb": rss}), flush=True)


def now() -> tuple[int, float]:
    """(steady ns, user and system seconds of this process)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic_ns(), usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    Bare(options.client_id, options.count).run(options.port)


if __name__ == "__main__":
    main()
