"""Reference B: what people write today, paho + json + Point + the batching WriteApi, one rule and a POST.

    python -m tests.benchmarks.tutorial --port 1883 --client-id b --url http://… --bucket b --hook http://…

Prints one line of JSON when the first message arrives, then works until SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import time
import urllib.request
from collections import Counter

import paho.mqtt.client as mqtt
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision

from tests.benchmarks.load import LIMIT

NUMBERS = ("tilt_x", "tilt_y", "tilt_z", "crack", "settlement", "temperature", "humidity", "battery")
BATCH, FLUSH_MS = 5_000, 1_000


class Tutorial:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._database = InfluxDBClient(options.url, options.token, org="street")
        self._write = self._database.write_api(WriteOptions(batch_size=BATCH, flush_interval=FLUSH_MS))
        self._high: Counter[str] = Counter()
        self._heard = False
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, options.client_id, clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("site/#", qos=1)
        self._client.on_message = self._on_message

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._client.disconnect())
        self._client.connect("127.0.0.1", self._options.port)
        self._client.loop_forever()
        self._write.close()

    def _on_message(self, client, userdata, message) -> None:
        if not self._heard:
            self._heard = True
            print(json.dumps({"first_ns": time.monotonic_ns()}), flush=True)
        sample = json.loads(message.payload)
        self._store(sample, message.topic.split("/"))
        self._judge(sample)

    def _store(self, sample: dict, place: list[str]) -> None:
        point = Point("structure").tag("device", sample["id"])
        point = point.tag("street", place[1]).tag("compound", place[2])
        for name in NUMBERS:
            point = point.field(name, sample[name])
        self._write.write(self._options.bucket, record=point.time(sample["ts"], WritePrecision.MS))

    def _judge(self, sample: dict) -> None:
        """Alert once when the tilt was above the limit in `--streak` messages of a device in a row."""
        device = sample["id"]
        self._high[device] = self._high[device] + 1 if sample["tilt_x"] > LIMIT else 0
        if self._high[device] == self._options.streak:
            self._post(device)

    def _post(self, device: str) -> None:
        body = json.dumps({"device": device, "text": f"tilt of {device}"}).encode()
        with contextlib.suppress(OSError), urllib.request.urlopen(self._options.hook, body, timeout=10):
            pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streak", type=int, default=1)
    for name in ("client-id", "url", "token", "bucket", "hook"):
        parser.add_argument(f"--{name}", required=True)
    Tutorial(parser.parse_args()).run()


if __name__ == "__main__":
    main()
