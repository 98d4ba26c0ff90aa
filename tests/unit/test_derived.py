"""Derived quantities through the real engine and a real pack: a house that drifts, breathes and trembles."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.config import load
from gateway.core import state as states
from gateway.core.derived import BLOCKS, KEPT_DAYS, RECORD, Deriving
from gateway.core.engine import Engine
from gateway.core.lines import Formatter
from gateway.core.model import (
    SECOND,
    Alert,
    AlertState,
    Calibration,
    Device,
    Link,
    Marked,
    Message,
    Messages,
    Noted,
    Notification,
    Period,
    Tick,
    World,
)
from gateway.core.state import State
from tests.unit.config_files import FILES, loaded

START_NS = int(datetime(2026, 11, 2, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * SECOND
DEG = 1 / 17.4532925199433  # degrees of 1 mm/m
PACK = """\
derive:
  - quantity: tilt_x_compensated_mm_m
    how: compensated
    on: {scene: structure}
    of: tilt_x_deg
    compensated_by: temperature_c
  - quantity: tilt_x_trend_mm_m_day
    how: trend
    on: {scene: structure}
    of: tilt_x_deg
    compensated_by: temperature_c
    over: 30d
  - {quantity: lean_mm_per_m, how: lean, on: {scene: structure}, of: tilt_x_deg, across: tilt_y_deg}
  - {quantity: settlement_difference_mm, how: difference, on: {scene: structure}, of: settlement_mm}
  - quantity: angular_distortion_mm_m
    how: distortion
    on: {scene: structure}
    of: settlement_mm
    within: 1h
rules:
"""
RULE = """\
  - id: {id}
    says: {id}
    on: {{scene: structure}}
    when: {when}
    relative_to: {to}
    levels: {{yellow: {{above: {above}, hold: 1h}}}}
    basis: {{text: 试验, confidence: D}}
    action: 到场查看
"""
RULES = (
    ("raw", "tilt_x_deg", "baseline", 0.35 * DEG),
    ("moved", "tilt_x_compensated_mm_m", "zero", 0.35),
    ("trend", "tilt_x_trend_mm_m_day", "zero", 0.008),
    ("leans", "lean_mm_per_m", "zero", 5),
    ("apart", "settlement_difference_mm", "zero", 10),
    ("bent", "angular_distortion_mm_m", "zero", 2),
)
MODEL = """\
says: 测斜仪
source: invented
scene: structure
codec: {kind: json, time: ts, time_unit: s}
fields:
  - {quantity: tilt_x_deg, path: x}
  - {quantity: tilt_y_deg, path: y}
  - {quantity: temperature_c, path: t}
  - {quantity: settlement_mm, path: s}
examples:
  - {payload: '{"x": 1}', readings: [{tilt_x_deg: 1}]}
"""
DEVICES = """\
  - id: wall
    model: tilt
    at: estate
    topic: site/estate/wall/up
    baseline: {tilt_x_deg: 0, settlement_mm: 0}
    baseline_period: {from: 2026-11-02, to: 2026-11-23, approved_by: 王工}
    neighbours: {pot: 4.0, far: 40}
  - id: pot
    model: tilt
    at: estate
    topic: site/estate/pot/up
    baseline: {tilt_x_deg: 0, settlement_mm: -3}
  - {id: far, model: tilt, at: estate, topic: site/estate/far/up, baseline: {tilt_x_deg: 0}}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> World:
    rules = [RULE.format(id=name, when=when, to=to, above=f"{above:.6f}") for name, when, to, above in RULES]
    files = {**FILES, "devices/tilt.yaml": MODEL, "rules/house.yaml": PACK + "".join(rules)}
    files["sites/site.yaml"] += DEVICES
    found = loaded(tmp_path_factory.mktemp("house"), files)
    assert found.world is not None, [str(one) for one in found.problems]
    return found.world


@dataclass
class Run:
    """An engine that is told what a wall says, every ten minutes."""

    world: World
    restore: bool = False
    effects: list = field(default_factory=list)
    derived: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    at: int = 0

    def __post_init__(self) -> None:
        self.engine = Engine(self.world, State(identity="0000002a"))
        self.give(Link(0, START_NS, True))

    def give(self, event) -> list:
        found = self.engine.step(event)
        self.effects += found
        return found

    def say(self, device: str = "wall", **values: float) -> list:
        return self.tell(f"site/estate/{device}/up", ts=(START_NS + self.at) / SECOND, **values)

    def tell(self, topic: str, **said: Any) -> list:
        while (due := self.engine.next_due()) is not None and due < self.at:
            self.give(Tick(due, START_NS + due))
        found = self.give(Messages(self.at, START_NS + self.at, [Message(topic, json.dumps(said).encode())]))
        for mark in found:
            if isinstance(mark, Marked) and mark.derived:
                self.derived.append((self.at / 86400 / SECOND, mark.derived))
        if self.restore:
            state = states.load(states.save(self.engine.state))
            self.engine = Engine(self.world, state, self.engine.recent)
        return found

    def live(self, days: float, x: Callable[[float, float, random.Random], float], every_s: int = 600) -> Run:
        """`x(day, temperature, dice)` in mm/m; a warm afternoon, and weather that changes from day to day."""
        dice = random.Random(7)
        weather = [random.Random(day).gauss(0, 2) for day in range(200)]
        end = self.at + int(days * 86400) * SECOND
        while self.at < end:
            day = self.at / 86400 / SECOND
            t = 14 + weather[int(day)] + 8 * math.sin(2 * math.pi * (day - 0.4))
            self.say(x=x(day, t, dice) * DEG, t=round(t, 1))
            self.at += every_s * SECOND
        return self

    def alerts(self, rule: str) -> list[Alert]:
        return [one for one in self.effects if isinstance(one, Alert) and one.rule == rule]

    def given(self, quantity: str) -> list[tuple[float, float]]:
        return [(day, found[quantity]) for day, found in self.derived if quantity in found]

    def noted(self, event: str) -> list[Noted]:
        return [one for one in self.effects if isinstance(one, Noted) and one.event == event]


def stamp(at: int) -> str:
    return datetime.fromtimestamp((START_NS + at) / SECOND, ZoneInfo("Asia/Shanghai")).isoformat()


def drifting(per_day: float) -> Callable[[float, float, random.Random], float]:
    """0.4 mm/m either way from the sun, weather besides, and noise."""
    return lambda day, t, dice: per_day * day + 0.05 * (t - 14) + dice.gauss(0, 0.05)


# ---------------------------------------------------------------- the proof


@pytest.mark.parametrize("drift", [0.01, -0.01])
def test_the_true_drift_is_found_where_the_raw_limit_cries_wolf(house: World, drift: float) -> None:
    run = Run(house).live(33, drifting(drift))
    raised = [one for one in run.alerts("raw") if one.state is AlertState.FIRING]
    assert len(raised) >= 10, "the raw limit alarms on warm afternoons"
    assert run.alerts("moved") == [], "without temperature nothing has moved so far yet"
    day, found = next((day, slope) for day, slope in run.given("tilt_x_trend_mm_m_day") if day >= 30)
    assert 30 <= day < 30.1 and found == pytest.approx(drift, rel=0.1)
    (alert,) = run.alerts("trend")
    assert (alert.level.word, alert.state) == ("yellow", AlertState.FIRING)
    assert "基准期 2026-11-02 至 2026-11-22，王工批准，版本 " in alert.evidence
    told, *_ = [one for one in run.effects if isinstance(one, Notification) and one.alert == alert.id]
    assert f"X向倾斜趋势 {alert.value:g} mm/m/天（限 ±0.008 mm/m/天）" in told.text
    assert f"数据来源：{alert.evidence}" in told.text and "每日中位数的走势" in told.text
    fitted = run.noted("baseline_fitted")
    assert len(fitted) == 1 and fitted[0].fields["version"] in alert.evidence


def test_a_house_at_rest_is_left_alone(house: World) -> None:
    run = Run(house).live(40, drifting(0.0))
    assert run.alerts("raw") and run.alerts("trend") == [] == run.alerts("moved")
    assert all(abs(slope) < 0.002 for _, slope in run.given("tilt_x_trend_mm_m_day"))


def test_what_is_left_without_temperature_is_what_it_moved(house: World) -> None:
    """A step of 0.6 mm/m on day 25, on the coldest hour: raw it hides in the swing, compensated it stands."""
    run = Run(house).live(27, lambda day, t, dice: 0.6 * (day >= 25) + 0.05 * (t - 14) + dice.gauss(0, 0.02))
    left = run.given("tilt_x_compensated_mm_m")
    before, after = [v for day, v in left if day < 25], [v for day, v in left if day >= 25]
    assert 21 <= left[0][0] < 21.1, "nothing is said before the period is over"
    assert max(map(abs, before)) < 0.15 and min(after) > 0.45
    (alert,) = run.alerts("moved")
    assert alert.evidence.startswith("已扣除温度影响（基准期 2026-11-02")


def test_the_shipped_pack_tells_of_a_drifting_house() -> None:
    """rules/house.yaml on the shipped model: yellow on the second day, with period and approver."""
    street = load(Path(__file__).parents[2] / "deploy/example/lilong.yaml", "en", environ={}).world
    assert street is not None
    at_rest = Period(since=date(2026, 11, 2), until=date(2026, 11, 23), approved_by="王工")
    home = next(iter(street.places))
    wall = Device(
        id="wall", model="structure-monitor", at=home, topic="site/wall", baseline_period=at_rest,
        baseline={"tilt_x_deg": 0, "tilt_y_deg": 0, "crack_mm": 0, "settlement_mm": 0},
    )  # fmt: skip
    run = Run(replace(street, devices={"wall": wall}))
    rise, dice = drifting(0.013), random.Random(7)
    for hour in range(34 * 24):
        run.at = hour * 3600 * SECOND
        t = 14 + 8 * math.sin(2 * math.pi * (hour / 24 - 0.4))
        tilt = {"x": rise(hour / 24, t, dice) * DEG, "y": 0.05 * (t - 14) * DEG}
        run.tell("site/wall", time=stamp(run.at), tilt=tilt, settlement=-0.2 * hour / 24, temperature=t)
    raised = {one.rule: one for one in run.effects if isinstance(one, Alert)}
    assert raised.keys() == {"tilt-x-trend", "settlement-trend"}
    assert raised["tilt-x-trend"].level.word == "yellow" and "王工批准" in raised["tilt-x-trend"].evidence
    assert raised["settlement-trend"].value == pytest.approx(-0.2, rel=0.01)
    assert raised["settlement-trend"].evidence.startswith("近 30 天（"), "nobody compensates a level pot"


# ---------------------------------------------------------------- what is remembered


def test_a_restart_anywhere_changes_nothing(house: World) -> None:
    """Checkpoint and restore after every message: the same effects, the same state."""
    plain, broken = (Run(house, restore=restore).live(31, drifting(0.02), 3600) for restore in (False, True))
    assert plain.effects == broken.effects and plain.given("tilt_x_trend_mm_m_day")
    assert states.save(plain.engine.state) == states.save(broken.engine.state)


def test_memory_is_bounded_whatever_a_device_sends(house: World) -> None:
    run = Run(house).live(KEPT_DAYS + 30, drifting(0.0), 3600)
    series = run.engine.state.series["tilt_x_deg|temperature_c|wall"]
    assert len(series.closed) <= (KEPT_DAYS + 1) * BLOCKS * RECORD.size <= 5000
    assert len(states.save(run.engine.state)) < 12_500


def test_nothing_is_learnt_without_approval_or_swing(house: World) -> None:
    wall = house.devices["wall"]
    nobody = replace(house, devices={**house.devices, "wall": replace(wall, baseline_period=None)})
    run = Run(nobody).live(32, drifting(0.01), 3600)
    assert run.derived == [] and run.noted("baseline_fitted") == []
    late = Period(since=date(2026, 11, 16), until=date(2026, 11, 30), approved_by="王工")
    later = replace(house, devices={**house.devices, "wall": replace(wall, baseline_period=late)})
    run = Run(nobody).live(31, drifting(0.01), 3600)
    run.world = later
    run.engine = Engine(later, states.load(states.save(run.engine.state)), run.engine.recent)
    run.live(2, drifting(0.01), 3600)
    assert run.given("tilt_x_trend_mm_m_day"), "a period of the past can be approved: its means are kept"


def test_a_cellar_without_weather_says_that_it_cannot_tell(house: World) -> None:
    run = Run(house)
    for hour in range(23 * 24):
        run.at = hour * 3600 * SECOND
        run.say(x=0.001 * (hour % 5), t=12.0)
    reasons = [one.fields["reason"] for one in run.noted("baseline_unfit")]
    assert (
        reasons and "temperature moved by 0.0 K" in reasons[0] and run.given("tilt_x_compensated_mm_m") == []
    )


def test_too_few_days_make_no_trend(house: World) -> None:
    """Twenty of thirty days are wanted: a device that was away for two weeks says nothing for a while."""
    run = Run(house).live(22, drifting(0.01), 3600)
    run.at += 14 * 86400 * SECOND
    run.live(13, drifting(0.01), 3600)
    days = [day for day, _ in run.given("tilt_x_trend_mm_m_day")]
    assert min(days) < 22.5 and not any(36.5 < day < 47 for day in days)


def test_a_trend_is_told_once_a_day(house: World) -> None:
    run = Run(house).live(33, drifting(0.01), 3600)
    days = [int(day) for day, _ in run.given("tilt_x_trend_mm_m_day")]
    assert days == list(range(days[0], 33)) and days[0] == 21


def test_mornings_alone_make_no_day(house: World) -> None:
    """Three means of eight are half a morning: whoever speaks at noon only has no median of the day."""
    run = Run(house)
    for hour in range(33 * 24):
        if hour % 24 < 9:
            run.at = hour * 3600 * SECOND
            run.say(x=hour * 1e-5, t=10.0 + hour % 24)
    assert run.noted("baseline_fitted") and run.given("tilt_x_trend_mm_m_day") == []


def test_a_clock_that_was_set_back_counts_no_hour_twice(house: World) -> None:
    run = Run(house)
    run.at = 4 * 3600 * SECOND
    run.say(x=0.1, t=20.0)
    run.tell("site/estate/wall/up", x=0.3, t=20.0)
    series = run.engine.state.series["tilt_x_deg|temperature_c|wall"]
    assert (series.count, series.total) == (2, pytest.approx(0.4))
    derived = run.engine.watches.of["wall"].subjects[""].derived
    derived.add({"tilt_x_deg": 5.0, "temperature_c": 20.0}, START_NS, lambda *_, **__: None)  # type: ignore[union-attr]
    assert (series.count, series.total) == (2, pytest.approx(0.4))


def test_another_period_is_learnt_anew(house: World) -> None:
    """What was learnt from a period that nobody approves of any more is used no more."""
    run = Run(house).live(29.5, drifting(0.0), 3600)
    first = run.engine.state.series["tilt_x_deg|temperature_c|wall"].fit
    other = Period(since=date(2026, 11, 5), until=date(2026, 11, 30), approved_by="李工")
    wall = replace(house.devices["wall"], baseline_period=other)
    state, recent = run.engine.state, run.engine.recent
    run.engine = Engine(replace(house, devices={**house.devices, "wall": wall}), state, recent)
    run.derived.clear()
    run.say(x=0.0, t=20.0)
    assert run.derived == []
    run.at += 86400 * SECOND
    run.say(x=0.0, t=20.0)
    second = run.engine.state.series["tilt_x_deg|temperature_c|wall"].fit
    assert first is not None and second is not None and first.version != second.version
    assert run.given("tilt_x_compensated_mm_m")


def test_a_reading_without_temperature_is_not_counted(house: World) -> None:
    run = Run(house)
    run.say(x=0.1)
    assert run.engine.state.series["tilt_x_deg|temperature_c|wall"].count == 0
    run.say(x=0.1, t=20.0)
    assert run.engine.state.series["tilt_x_deg|temperature_c|wall"].count == 1


def test_what_is_no_longer_declared_is_forgotten(house: World) -> None:
    run = Run(house).live(2, drifting(0.0), 3600)
    assert run.engine.state.series
    engine = Engine(replace(house, derivations=()), run.engine.state)
    assert engine.state.series == {} and engine.state.latest == {}


# ---------------------------------------------------------------- lean and differences


def test_lean_of_both_axes_by_hand(house: World) -> None:
    run = Run(house)
    run.say(x=3 * DEG, y=4 * DEG)
    ((_, found),) = run.given("lean_mm_per_m")[:1] and run.derived
    assert found == {"lean_mm_per_m": pytest.approx(5.0, abs=1e-3)}
    run.say(x=6 * DEG, y=8 * DEG)
    run.at = 3700 * SECOND
    run.say(x=6 * DEG, y=8 * DEG)
    (alert,) = run.alerts("leans")
    assert "顺时针 53° 方向，约 1/100" in alert.evidence


def test_the_worst_pair_is_named_with_its_distance(house: World) -> None:
    """Each from its own baseline: the pot's level is -3 at rest, so -15 means 12 deeper."""
    run = Run(house)
    run.say("wall", s=0.5)
    assert run.derived == [], "nobody to compare with yet"
    run.say("pot", s=-15.0)
    run.say("far", s=20.0)
    run.say("wall", s=0.0)
    assert run.derived[-1][1] == {"settlement_difference_mm": -20.0, "angular_distortion_mm_m": 3.0}
    run.at = 3599 * SECOND
    run.say("wall", s=0.1)
    run.at = 3601 * SECOND
    run.say("wall", s=0.2)
    assert run.derived[-1][1] == {"settlement_difference_mm": -19.8}, "an hour ago is not now"
    run.at = 3700 * SECOND
    run.say("pot", s=-15.0)
    run.say("wall", s=0.0)
    (apart,) = run.alerts("apart")
    assert apart.evidence == "与测点 far 相比（相距 40 米），两点都从各自的基线算起"


def test_a_device_without_neighbours_derives_no_difference(house: World) -> None:
    run = Run(house)
    run.say("wall", s=0.0)
    run.say("pot", s=-15.0)
    assert run.derived == []


# ---------------------------------------------------------------- what it costs the others, and where it goes


def test_only_devices_with_a_declaration_pay(house: World) -> None:
    run = Run(house)
    run.say("wall", x=0.0)
    watch = run.engine.watches.of["wall"]
    assert watch is not None and watch.subjects[""].derived is not None
    run.give(Messages(run.at, START_NS + run.at, [Message("site/estate/cab-1/up", b'{"smoke": 0}')]))
    watch = run.engine.watches.of["cab-1"]
    assert watch is not None and watch.subjects[""].derived is None and watch.subjects[""].astir == 0


def test_a_declaration_speaks_of_its_own_devices_only(house: World) -> None:
    """By scene, model and labels; and only of devices that measure what it is worked out from."""

    def derives(**changes: Any) -> bool:
        one = replace(house.derivations[2], **changes)
        derived = Deriving(replace(house, derivations=(one,)), State(identity="0000002a"))
        return derived.of(house.devices["wall"], "") is not None

    assert derives() and derives(model="tilt")
    assert not derives(scene="waste") and not derives(model="camera") and not derives(across="crack_mm")
    assert not derives(labels={"class": "listed"})
    assert Deriving(house, State(identity="0000002a")).of(house.devices["wall"], "slot-1") is None


def test_derived_values_are_points_beside_the_measured_ones(house: World) -> None:
    """Also when the message is decoded again from the log, by somebody who has no engine."""
    run = Run(house)
    body = json.dumps({"ts": START_NS // SECOND, "x": 3 * DEG, "y": 4 * DEG}).encode()
    event = Messages(1, START_NS, [Message("site/estate/wall/up", body)])
    marks = [one for one in run.give(event) if isinstance(one, Marked)]

    @dataclass
    class Logged:
        first: int
        event: Messages
        marks: list[Marked]
        changes: list

    line = Formatter(house, run.engine.decoder.decode).format(Logged(1, event, marks, [])).lines.decode()
    assert ",lean_mm_per_m=5.0" in line and 'quality="good"' in line and "tilt_x_deg=" in line


# ---------------------------------------------------------------- another sensor, and what is derived of it


def joints(**more: Any) -> tuple[Calibration, ...]:
    entries = [
        Calibration(quantity=name, since_ns=START_NS, **more) for name in ("settlement_mm", "tilt_x_deg")
    ]
    return tuple(entries)


def test_nothing_is_derived_of_a_sensor_that_is_not_joined_yet(house: World) -> None:
    """Rules on the values themselves wait for the joint; those on lean and differences rang meanwhile."""
    run = Run(replace(house, calibrations={"wall": joints(unjoined=True)}))
    run.say("pot", s=-3.0)
    run.say("wall", x=9 * DEG, y=0.0, t=14.0, s=-400.0)
    run.say("pot", s=-3.0)
    assert run.derived == [] and run.engine.state.series["tilt_x_deg|temperature_c|wall"].count == 0


def test_what_is_derived_counts_from_the_baseline_in_force(house: World) -> None:
    """A new zero that people approved held for the value and not for its difference and its lean."""
    run = Run(replace(house, calibrations={"wall": joints(baseline=-12.0)}))
    run.say("pot", s=-3.0)
    run.say("wall", s=-12.0)
    assert run.derived[-1][1] == {"settlement_difference_mm": 0.0, "angular_distortion_mm_m": 0.0}
    run.say("wall", x=-12.0, y=0.0)
    assert run.derived[-1][1] == {"lean_mm_per_m": 0.0}


def test_what_is_derived_has_no_baseline_in_a_devices_entry(tmp_path):
    """The rule would judge nobody, and nobody would hear of it."""
    given = "{quantity: tilt_x_trend_mm_m_day, how: trend, on: {scene: waste}, of: tilt_x_deg, over: 30d}"
    text = FILES["rules/all.yaml"].replace("when: tilt_x_deg", "when: tilt_x_trend_mm_m_day")
    rules = {"rules/all.yaml": f"derive: [{given}]\n{text}"}
    (problem,) = loaded(tmp_path, {**FILES, **rules}).problems
    assert str(problem).endswith(
        "relative_to: found both relative_to: baseline and tilt_x_trend_mm_m_day, expected one of zero"
    )
    sound = {"rules/all.yaml": rules["rules/all.yaml"].replace("baseline", "zero")}
    assert loaded(tmp_path, {**FILES, **sound}).problems == []
