"""The other load: a thousand devices of shipped models, spread over the scenes, under every shipped rule.

Each speaks its model's own payload, as the simulators write it, at rest like an ordinary day; the one thing
that happens is smoke in a bike shed. By number of messages, not of devices: a cabinet says more in a day than
twenty houses, so it is one message in twenty here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from gateway.core.model import SECOND, Device
from simulators.encoding import Encoder, instant
from simulators.lives import Life, life_of
from tests.benchmarks.load import HIGH, Load, device_id
from tests.fuzz.target import models

DETECTOR = "shed-smoke"
# Of every twenty devices in a row; both detectors of a pair hang in one shed, and only the first sees smoke.
MIX = (
    DETECTOR, DETECTOR, "milesight-em310-tilt", "tilt-chirpstack", "structure-monitor", "crack-gauge",
    "static-level", "lift-camera", "waste-camera", "milesight-gs301",
    DETECTOR, DETECTOR, "milesight-em310-tilt", "milesight-em300-th", "vibration-event", "lift-edge-box",
    "cabinet-8", "extinguisher", "door-access", "lorawan-gateway",
)  # fmt: skip
PAIRS_EVERY = 10  # devices
SCENES = ("structure", "lift", "waste", "cabinet", "shed", "gateway")
BASELINES = ("tilt_x_deg", "tilt_y_deg", "crack_mm", "settlement_mm")  # all begin at nothing
COMPOUNDS = 50
ZONE = timezone(timedelta(hours=8))
SEED, SHOTS = 1, 16  # what a device says in turn: other values each time, as real ones have
NOON_NS, BETWEEN_NS = 1_793_592_000 * SECOND, 30 * SECOND  # of the shots
HOLE_NS, HOLE = 1_793_592_000_123_000_000, 987_654_321  # an instant and a number that stand for others
DEDUPLICATION = re.compile(rb'(?<="deduplicationId":"[0-9a-f-]{24})[0-9a-f]{12}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Street(Load):
    """The same series of instants, spoken by a street of shipped models."""

    kind: ClassVar[str] = "shipped"
    scenes: ClassVar[tuple[str, ...]] = SCENES

    @property
    def points(self) -> int:
        each = [Voice(number).points for number in range(len(MIX))]
        return sum(each[index % self.devices % len(MIX)] for index in range(self.count))

    def may_cross(self) -> range:
        return range(0, self.devices, PAIRS_EVERY)

    def messages(self) -> Iterator[tuple[str, bytes]]:
        voices = [Voice(number) for number in range(self.devices)]
        odd = self.odd_values()
        for index in range(self.count):
            voice = voices[index % self.devices]
            smoke = odd.get(index) == HIGH
            yield voice.device.topic, voice.say(index // self.devices, self.at_ms(index), smoke)


class Voice:
    """One device: its payloads are made once, with a hole for the instant and one for the number."""

    def __init__(self, number: int) -> None:
        model = models()[MIX[number % len(MIX)]]
        self.device, self._unit = device(number), model.codec.time_unit
        self._life: Life = life_of(self.device, model, SEED, ZONE)
        self._encode = Encoder(device=self.device, model=model, zone=ZONE)
        self._calm = [self._shot(NOON_NS + turn * BETWEEN_NS) for turn in range(SHOTS)]

    @property
    def points(self) -> int:
        """Of one message: a component has its own."""
        return sum(map(bool, self._life.say(NOON_NS, []).values()))

    def say(self, turn: int, at_ms: int, smoke: bool) -> bytes:
        shot = self._smoking if smoke else self._calm[turn % SHOTS]
        return shot % {b"at": str(instant(at_ms * 1_000_000, self._unit, ZONE)).encode(), b"no": turn}

    @cached_property
    def _smoking(self) -> bytes:
        return self._shot(NOON_NS, smoke=1.0)

    def _shot(self, ns: int, **own: float) -> bytes:
        said = self._life.say(ns, [])
        said[""] |= own
        whole = self._encode(said, HOLE_NS, HOLE).replace(b"%", b"%%")
        for text, hole in ((str(instant(HOLE_NS, self._unit, ZONE)), b"%(at)b"), (str(HOLE), b"%(no)d")):
            whole = whole.replace(text.encode(), hole)
        return DEDUPLICATION.sub(b"%(no)012d", whole)


def device(number: int) -> Device:
    """Behind ChirpStack it is known by its EUI, and the topic says so."""
    name, model = device_id(number), models()[MIX[number % len(MIX)]]
    topic = f"site/lora/device/24e1{number:012x}/event/up" if model.codec.envelope else f"site/{name}/up"
    at = f"shed-{number // 2}" if model.id == DETECTOR else compound(number)
    measured = {field.quantity for field in model.fields}
    baseline = {quantity: 0.0 for quantity in BASELINES if quantity in measured}
    return Device(id=name, says=name, model=model.id, at=at, topic=topic, baseline=baseline)


def compound(number: int) -> str:
    return f"yard-{number // len(MIX) % COMPOUNDS}"


def write_world(folder: Path, load: Load) -> None:
    """sites/ with the devices and the places they stand at; models and rules are those that are shipped."""
    devices = [device(number) for number in range(load.devices)]
    head = ",".join(["id,says,model,at,topic", *(f"baseline.{quantity}" for quantity in BASELINES)])
    (folder / "sites").mkdir(parents=True, exist_ok=True)
    (folder / "sites/devices.csv").write_text("\n".join([head, *map(_row, devices)]), "utf-8")
    (folder / "sites/places.yaml").write_text("places:\n" + "".join(_places(devices)), "utf-8")


def _row(one: Device) -> str:
    baseline = (str(one.baseline.get(quantity, "")) for quantity in BASELINES)
    return ",".join([one.id, one.says, one.model, one.at, one.topic, *baseline])


def _places(devices: list[Device]) -> Iterator[str]:
    windows = 'windows: {drop_off: ["06:30-08:30", "17:30-20:30"]}'
    for number in range(COMPOUNDS):
        yield f"  - {{id: yard-{number}, says: 里弄{number}, kind: compound, within: street, {windows}}}\n"
    sheds = {one.at: compound(number) for number, one in enumerate(devices) if one.model == DETECTOR}
    for shed, within in sheds.items():
        yield f"  - {{id: {shed}, says: 车棚, kind: point, within: {within}}}\n"
