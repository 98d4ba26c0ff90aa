"""Where a message's microseconds go: CPU of each step of the gateway, one by one, without a server.

    python -m tests.benchmarks.micro [--messages 20000] [--batch 250] [--only NAME]

The steps run alone, so that their sum is less than what the process costs with all its threads; it tells
which step to look at first. A budget, not a promise.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import tempfile
import time
from array import array
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median

from gateway.adapters.mqtt_packets import PacketParser, pubacks
from gateway.adapters.store import Logged, Record, Store
from gateway.config import load
from gateway.core import state
from gateway.core.codecs import CODECS
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.lines import Formatter
from gateway.core.model import Codec, Device, Field, Message, Messages, Model, Wave, World
from tests.benchmarks import wire
from tests.benchmarks.load import Load
from tests.benchmarks.site import write
from tests.benchmarks.subjects import Setting
from tests.benchmarks.table import Row, render
from tests.fuzz.target import Target, models

REPEATS = 5
IDENTITY = "0badcafe"  # of a store; hexadecimal
BATCH_NS = 10_000_000  # between two batches
FEW = 20  # one message in so many is a waveform, or closes a day
READ = 65_536  # bytes the gateway reads at a time


@dataclass(frozen=True, slots=True)
class Bench:
    """The load in every shape that a step takes it in. The engine sees each repeat as news."""

    folder: Path
    world: World
    items: list[Message]
    size: int

    def batches(self) -> list[Messages]:
        now = time.time_ns()
        chunks = [self.items[at : at + self.size] for at in range(0, len(self.items), self.size)]
        return [
            Messages(at, now + at, chunk)
            for at, chunk in zip(count(BATCH_NS, BATCH_NS), chunks, strict=False)
        ]

    def records(self) -> list[Record]:
        """Each batch with what follows from it."""
        engine = Engine(self.world, state.State(IDENTITY))
        return [Record(batch, engine.step(batch)) for batch in self.batches()]

    def logged(self) -> list[Logged]:
        return [Logged(index * self.size, batch, [], []) for index, batch in enumerate(self.batches())]

    def yardstick(self) -> None:
        """The standard library's json.loads of the same payloads (4.1 us each on an idle 2.6 GHz EPYC)."""
        for one in self.items:
            json.loads(one.payload)

    # ------------------------------------------------------------ the steps

    def parse(self) -> Callable[[], object]:
        """MQTT 5 bytes to messages, and their PUBACKs."""
        stream = b"".join(
            wire.publish(one.topic, one.payload, index % wire.PACKET_IDS + 1, wire.V5)
            for index, one in enumerate(self.items)
        )
        reads = [stream[at : at + READ] for at in range(0, len(stream), READ)]
        parser = PacketParser(5)
        return lambda: [pubacks(parser.receive(data).mids) for data in reads]

    def decode(self) -> Callable[[], object]:
        """Payload to readings (inside engine.step, and again inside format)."""
        decode, now = Decoder(self.world).decode, time.time_ns()
        return lambda: [decode(one, now) for one in self.items]

    def waveform(self) -> Callable[[], object]:
        """A block of 3 x 256 samples in base64, in JSON, to the five features of each axis."""
        features = [("ppv_mm_s", "ppv"), ("dominant_hz", "dominant"), ("crest_factor", "crest")]
        features += [("acceleration_rms_m_s2", "rms"), ("acceleration_peak_m_s2", "peak")]
        axes = {axis: f"block.{axis}" for axis in "xyz"}
        block = Wave(axes=axes, unit="m/s2", samples="int16le", rate_hz=200.0, scale=1e-4)
        model = Model(
            id="shaker", says="", scene="structure", source="",
            codec=Codec(kind="waveform", time="t", time_unit="s", wave=block),
            fields=tuple(Field(quantity=name, path=feature, of="axis") for name, feature in features),
        )  # fmt: skip
        decode, device = CODECS["waveform"](model), Device(id="shaker", model=model.id, at="", topic="shaker")
        swell = (math.exp(-(((i - 128) / 40) ** 2)) for i in range(256))
        wave = array("h", (round(3000 * math.sin(i * 0.4) * size) for i, size in enumerate(swell)))
        samples = b64encode(wave.tobytes()).decode()
        body = json.dumps({"t": 1793592000, "block": dict.fromkeys("xyz", samples)}).encode()
        message, now = Message("shaker", body), time.time_ns()
        return self._some(lambda: decode(device, message, now))

    def slope(self) -> Callable[[], object]:
        """Theil-Sen over 30 daily medians, with its interval."""
        from gateway.core.signals import theil_sen

        days = [float(day) for day in range(30)]
        medians = [0.01 * day + 0.03 * math.sin(day * day) for day in days]
        return self._some(lambda: theil_sen(days, medians))

    def _some(self, once: Callable[[], object]) -> Callable[[], object]:
        """As if done once a message, but done for a few only: these are slow, and rare in life."""
        few = max(len(self.items) // FEW, 1)

        def run() -> None:
            started = time.process_time()
            for _ in range(few):
                once()
            raise _Timed((time.process_time() - started) * len(self.items) / few)

        return run

    def decode_tlv(self) -> Callable[[], object]:
        """A ChirpStack 4 event of two gateways with a TLV frame to readings (promised: 15 us)."""
        return self._decode_example("milesight-em310-tilt")

    def decode_signals(self) -> Callable[[], object]:
        """A list of twelve signals of a cabinet to readings."""
        return self._decode_example("cabinet-signals")

    def _decode_example(self, name: str) -> Callable[[], object]:
        """The model's first example that is a whole message, as often as there are messages."""
        target = Target(models()[name])
        payload = next(one.payload for one in target.model.examples if one.payload).encode()
        message, now = Message(target.device.topic, payload), time.time_ns()
        return lambda: [target.decode(target.device, message, now) for _ in self.items]

    def step(self) -> Callable[[], object]:
        """engine.step with 20 rules on each message, decoding included; every device was heard before."""
        return self._stepped(self.world)

    def quality(self) -> Callable[[], object]:
        """Decode and quality alone (bar: 5 us): engine.step without a rule; every device was heard before."""
        return self._stepped(replace(self.world, rules=()))

    def _stepped(self, world: World) -> Callable[[], object]:
        def run() -> None:
            engine, batches = Engine(world, state.State(IDENTITY)), self.batches()
            known = len(self.world.devices) // self.size + 1
            for batch in batches[:known]:
                engine.step(batch)
            started = time.process_time()
            for batch in batches[known:]:
                engine.step(batch)
            spent = time.process_time() - started
            raise _Timed(spent * len(batches) / (len(batches) - known))

        return run

    def acquaint(self) -> Callable[[], object]:
        """An engine made, and the first word of every device: once in a process's life."""

        def run() -> None:
            engine = Engine(self.world, state.State(IDENTITY))
            for batch in self.batches()[: len(self.world.devices) // self.size]:
                engine.step(batch)

        return run

    def checkpoint(self) -> Callable[[], object]:
        """Saving the whole state once for all these messages (every few seconds in life)."""
        engine = Engine(self.world, state.State(IDENTITY))
        for batch in self.batches():
            engine.step(batch)
        return lambda: state.save(engine.state)

    def commit(self) -> Callable[[], object]:
        """Store.commit, one fsynced transaction a batch."""
        records, store = self.records(), self._store("commit")
        return lambda: [store.commit([record]) for record in records]

    def read_log(self) -> Callable[[], object]:
        """The forwarder's way in: rows of the log back to events."""
        store = self._store("read")
        store.commit(self.records())
        return lambda: list(self._pages(store))

    def _pages(self, store: Store) -> Iterable[list[Logged]]:
        at = 0
        while page := store.read_log(at, 2_500):
            at = page[-1].first + self.size
            yield page

    def format(self) -> Callable[[], object]:
        """Events to line protocol and archive rows, decoding included."""
        formatter, logged = Formatter(self.world, Decoder(self.world).decode), self.logged()
        return lambda: [formatter.format(one) for one in logged]

    def pack(self) -> Callable[[], object]:
        """gzip level 1 of the bodies."""
        formatter = Formatter(self.world, Decoder(self.world).decode)
        bodies = [formatter.format(one).lines for one in self.logged()]
        return lambda: [gzip.compress(body, 1) for body in bodies]

    def _store(self, name: str) -> Store:
        return Store(self.folder / name)


class _Timed(Exception):
    """A step that took its own time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


DECODING = ("decode", "decode_tlv", "decode_signals", "waveform")
STEPS = ("parse", *DECODING, "quality", "step", "commit", "read_log", "format", "pack", "checkpoint")
STEPS += ("acquaint", "slope")
APART = frozenset(
    {*DECODING, "quality", "checkpoint", "acquaint", "slope"}
)  # inside other steps, or rare: not in the sum


def cpu_s(run: Callable[[], object]) -> float:
    """CPU seconds of one call, kernel included."""
    started = time.process_time()
    try:
        run()
    except _Timed as timed:
        return timed.seconds
    return time.process_time() - started


def budget(bench: Bench, names: Sequence[str]) -> list[Row]:
    """A row a step, and their sum."""
    rows = [_measured(bench, name) for name in names]
    summed = [row for row in rows if row["step"] not in APART]
    total = {key: sum(float(row[key]) for row in summed) for key in ("us / message", "x json.loads")}
    return [*rows, {"step": "sum", **total, "what": f"Without {', '.join(sorted(APART))}."}]


def _measured(bench: Bench, name: str) -> Row:
    """Each repeat beside one of the yardstick: a busy box is slower in everything."""
    make = getattr(bench, name)
    run = make()
    pairs = [(cpu_s(run), cpu_s(bench.yardstick)) for _ in range(REPEATS)]
    spent = median(step for step, _ in pairs) / len(bench.items) * 1e6
    ratio = median(step / yardstick for step, yardstick in pairs)
    return {"step": name, "us / message": spent, "x json.loads": ratio, "what": make.__doc__}


def bench_in(folder: Path, messages: int, size: int, kind: type[Load] = Load) -> Bench:
    """Raises ValueError when our own configuration does not load."""
    nobody = "http://127.0.0.1:9"
    loads = kind.waiting(messages)
    setting = Setting(folder=folder, port=1, url=nobody, bucket="b", hook=f"{nobody}/hook", load=loads)
    loaded = load(write(setting, "micro"), "en")
    if loaded.world is None:
        raise ValueError("\n".join(map(str, loaded.problems)))
    items = [Message(topic, payload) for topic, payload in loads.messages()]
    return Bench(folder, loaded.world, items, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=250, help="messages in one transaction")
    parser.add_argument("--only", nargs="*", default=list(STEPS), choices=STEPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lilong-micro-") as folder:
        bench = bench_in(Path(folder), options.messages, options.batch)
        print(
            render(
                f"{options.messages:,} messages in batches of {options.batch}", budget(bench, options.only)
            )
        )


if __name__ == "__main__":
    main()
