"""A street of two thousand devices: the shipped models and rules, places and devices by number.

What a gateway has remembered of the weeks before is made here too, since a trend over thirty days cannot be
played within seven.

Every shipped rule is there as it is shipped. Some have nothing to tell of: `gateway-*`, vibration and works,
reports, shed doors and fill levels speak of devices that this street has not, `*-offline` of wills that its
broker never speaks, `settlement-double` of more than a fortnight. Others only have to hold their tongue for a
week: stuck sensors, compensated leans, differences between neighbours. Their scenarios show that they ring.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32
from zoneinfo import ZoneInfo

from gateway.config import load
from gateway.core.derived import BLOCK_H, BLOCKS, RECORD, Deriving
from gateway.core.model import SECOND, Device, Period, Place, World
from gateway.core.state import State
from simulators.lives import (
    COOL_C,
    CRACK_MM_PER_C,
    DAY,
    HOUR,
    LEAN_DEG_PER_C,
    Structure,
    life_of,
    midnight_before,
)

SITE = Path(__file__).parents[2] / "simulators" / "site"
CHANNELS = "channels: {wecom: {kind: inbox}, sms: {kind: inbox}, voice: {kind: inbox}}\n"  # of that site
ZONE = ZoneInfo("Asia/Shanghai")
START_NS = int(datetime(2026, 11, 2, tzinfo=ZONE).timestamp()) * SECOND  # a Monday, midnight
IDENTITY = "000000e5"
REMEMBERED_DAYS = 40
BASELINE = (35, 21)  # days before the start: the approved period from which temperature is learnt
COMPOUNDS = 24
WINDOWS = (("06:30-08:30", "17:30-20:30"), ("07:00-09:00", "18:00-20:00"), ("06:00-09:30",))
PER_DEGREE = {"tilt_x_deg": LEAN_DEG_PER_C, "crack_mm": CRACK_MM_PER_C}  # as simulators.lives has it
RESTS = {"tilt_x_deg": 0.5, "tilt_y_deg": 0.5, "crack_mm": 3.0, "settlement_mm": 2.0}  # baselines lie within


@dataclass(frozen=True, slots=True)
class Stock:
    """So many devices of a model, speaking so often."""

    model: str
    count: int
    every_s: int  # 3600 or a divisor of it, or a multiple
    group: str = ""  # behind gateways of this kind
    learnt: int = 0  # the first so many have an approved baseline period and a past


STOCK = (  # beside those that are told here less often than their models say: what those say
    Stock("tilt-chirpstack", 300, 3600, "houses", 30),  # 10 m
    Stock("milesight-em310-tilt", 440, 3600, "houses"),
    Stock("structure-monitor", 150, 3600, "", 20),  # 10 m
    Stock("crack-gauge", 250, 3600, "", 30),  # 30 m
    Stock("static-level", 180, 3600, "", 30),  # 30 m
    Stock("cabinet-8", 26, 120),  # 30 s, and that is what they do while something burns
    Stock("cabinet-signals", 6, 240),  # 60 s
    Stock("lift-camera", 30, 60),
    Stock("lift-edge-box", 146, 600),
    Stock("waste-camera", 24, 60),
    Stock("milesight-gs301", 108, 1200, "yards"),
    Stock("shed-smoke", 210, 600),
    Stock("extinguisher", 114, 43_200),
    Stock("lorawan-gateway", 16, 60),  # 30 s
)
GROUPS = {"houses": range(0, 12), "yards": range(12, 16)}  # which gateways carry whom
EVERY_S = {stock.model: stock.every_s for stock in STOCK}


def street(seed: int, stock: tuple[Stock, ...] = STOCK) -> World:
    """Two thousand devices, under the shipped models and rules, with people who answer for them."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "lilong.yaml"
        text = f"broker: {{host: h, subscribe: [site/#, application/#]}}\ndirectories: {{sites: [{SITE}]}}\n"
        file.write_text(text + CHANNELS, encoding="utf-8")
        loaded = load(file, "en")
    assert loaded.world, loaded.problems
    dice = random.Random(f"{seed}/street")
    devices = {device.id: device for one in stock for device in _devices(one, dice)}
    places = {**loaded.world.places, **_places()}
    return replace(loaded.world, devices=devices, places=places, scenarios=(), digest="0")


def _places() -> dict[str, Place]:
    committees = ("dongsi", "heping", "xincun")
    made = [
        Place(
            id=f"c{number:02}", says=f"{number}号里弄", kind="compound", within=committees[number % 3],
            windows={"drop_off": WINDOWS[number % 3]},
        )
        for number in range(COMPOUNDS)
    ]  # fmt: skip
    return {place.id: place for place in made}


def _devices(stock: Stock, dice: random.Random) -> Iterator[Device]:
    for number in range(stock.count):
        name = f"{stock.model.removeprefix('milesight-')}-{number:03}"
        if stock.model == "lorawan-gateway":
            name = f"gw-{number:02}"
        eui = f"24e1{crc32(stock.model.encode()) & 0xFFFF:04x}{number:08x}"
        lora = bool(stock.group)
        yield Device(
            id=name,
            model=stock.model,
            at=f"c{(number * 7 + len(stock.model)) % COMPOUNDS:02}",
            topic=f"application/7/device/{eui}/event/up" if lora else f"site/{name}/up",
            says=name,
            baseline={quantity: round(dice.uniform(-most, most), 2) for quantity, most in RESTS.items()},
            behind=_gateway(stock.group, number),
            baseline_period=_period() if number < stock.learnt else None,
        )


def _gateway(group: str, number: int) -> str:
    return f"gw-{GROUPS[group][number % len(GROUPS[group])]:02}" if group else ""


def _period() -> Period:
    begins, ends = (_day(START_NS) - timedelta(days=days) for days in BASELINE)
    return Period(since=begins, until=ends, approved_by="王工")


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // SECOND, ZONE).date()


# ---------------------------------------------------------------- the weeks before


def remembered(world: World, seed: int, creeping: Mapping[tuple[str, str], float]) -> State:
    """The state in which the gateway begins: means of three hours of the last forty days of every house with
    an approved period. `creeping`: (device, quantity) -> its change a day, which the week goes on with.
    """
    state = State(identity=IDENTITY, at=START_NS - SECOND)
    Deriving(world, state)
    for key, series in state.series.items():
        quantity, _, name = key.split("|")
        device = world.devices[name]
        if device.baseline_period is None:
            continue
        life = life_of(device, world.models[device.model], seed, ZONE)
        assert isinstance(life, Structure)
        dice = random.Random(f"{seed}/{key}/past")
        for back in range(REMEMBERED_DAYS, 0, -1):
            midnight = midnight_before(START_NS - back * DAY + 12 * HOUR, ZONE)
            for part in range(BLOCKS):
                warmth = life.ambient_c(midnight + int((part + 0.5) * BLOCK_H * HOUR))
                value = device.baseline[quantity] + dice.gauss(0, 0.001)
                value += PER_DEGREE.get(quantity, 0.0) * (warmth - COOL_C)
                value += creeping.get((name, quantity), 0.0) * (part / BLOCKS - back)
                series.block = _day(midnight).toordinal() * BLOCKS + part
                series.closed += RECORD.pack(series.block, value, warmth if "|temp" in key else 0.0)
    return state
