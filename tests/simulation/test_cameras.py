"""A day of lifts and waste rooms watched by every make of camera: nothing missed, nothing false."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config import load
from gateway.core.model import SECOND, Device, World
from simulators.incidents import load_script
from simulators.lives import HOUR
from simulators.neighbourhood import Neighbourhood
from simulators.scoring import score, seen_in_effects
from tests.simulation.day import Day

ROOT = Path(__file__).parents[2]
ZONE = ZoneInfo("Asia/Shanghai")
START = int(datetime(2026, 11, 2, tzinfo=ZONE).timestamp()) * SECOND
LIFTS = ("lift-camera-hikvision", "lift-camera-dahua", "lift-camera-keda", "lift-camera")
WASTE = ("waste-camera-hikvision", "waste-camera-dahua", "waste-camera")
SCRIPT = """
incidents:
{stays}
{bags}
"""
STAYS = """\
  - name: e-bike stays for 3 minutes, {device}
    says: 电动车停留3分钟
    device: {device}
    after: {after}h
    every: 2s
    courses:
      - {{quantity: ebike_present, steps: "0s 1, 3m 0"}}
    must:
      - {{rule: lift-ebike, level: yellow, within: 19s..30s}}
      - {{rule: lift-ebike, level: orange, within: 119s..130s}}
"""
BAGS = """\
  - name: bag at night, {device}
    says: 夜间垃圾落地
    device: {device}
    after: {after}h
    every: 2s
    courses:
      - {{quantity: bag_on_floor, steps: "0s 1, 10m 0"}}
    must:
      - {{rule: waste-bag, level: yellow, within: 179s..190s}}
"""


@pytest.fixture(scope="module")
def world() -> World:
    """The shipped models and rules; the example street with these cameras and no other device."""
    found = load(ROOT / "deploy" / "example" / "lilong.yaml", "en", environ={}).world
    assert found is not None
    places = dict.fromkeys(LIFTS, "yuyuan-lane-9") | dict.fromkeys(WASTE, "yuyuan-lane-waste")
    devices = {
        f"{model}-1": Device(id=f"{model}-1", model=model, at=place, topic=f"http/{model}-1")
        for model, place in places.items()
    }
    return replace(found, devices=devices)


def lane(world: World, folder: Path, seed: int) -> Neighbourhood:
    stays = "".join(STAYS.format(device=f"{model}-1", after=8 + n) for n, model in enumerate(LIFTS))
    bags = "".join(BAGS.format(device=f"{model}-1", after=1 + n) for n, model in enumerate(WASTE))
    file = folder / "script.yaml"
    file.write_text(SCRIPT.format(stays=stays, bags=bags), encoding="utf-8")
    script = load_script(file, START, ZONE)
    return Neighbourhood(world, script, seed=seed, start_ns=START, end_ns=START + 14 * HOUR)


def test_every_make_of_camera_tells_the_same_story(world: World, tmp_path: Path, seed: int) -> None:
    """Most never say that it is over; glances of 8 to 15 s and bags inside the window tell nobody."""
    played = lane(world, tmp_path, seed)
    day = Day(world, played).play()
    result = score(played.truths(), seen_in_effects(day.alerts()))
    assert result.perfect, f"seed {seed}\n{result}"
    assert day.engine.state.alerts == {}, "every one of them has ended"


def test_canary_without_ends_after_the_alerts_stand_for_ever(world: World, tmp_path: Path) -> None:
    models = {name: replace(model, ends_after_s=0.0) for name, model in world.models.items()}
    hour = lane(world, tmp_path, 1)
    hour.start_ns, hour.end_ns = START + 8 * HOUR, START + 8 * HOUR + HOUR // 2
    day = Day(replace(world, models=models), hour).play()
    assert {alert.device for alert in day.engine.state.alerts.values()} == {"lift-camera-hikvision-1"}
