"""Calibration by effective time: a corrected, re-zeroed or changed sensor makes no false alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import calibration, state
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    Calibration,
    Codec,
    Device,
    Field,
    Level,
    Marked,
    Message,
    Messages,
    Model,
    Quality,
    Rule,
    World,
)
from gateway.core.state import State
from gateway.tuning.examples import understand
from tests.unit.config_files import FILES, loaded, told
from tests.unit.worlds import HOT, START_NS, Play, levels, limits, of, world

CRACK = Model(
    id="crack", says="裂缝计", scene="structure", source="test", lateness_s=600,
    codec=Codec(kind="json", time="ts", time_unit="s"), fields=(Field(quantity="crack_mm", path="mm"),),
)  # fmt: skip
WIDER = Rule(
    id="wider", says="裂缝变宽", scene="structure", quantity="crack_mm", relative_to="baseline",
    limits=limits((Level.YELLOW, 1, 0, None)), basis=HOT.basis, action="看", clear_hold_s=0,
)  # fmt: skip
START_S = START_NS // SECOND
T = START_NS + 1000 * SECOND  # the joint


def entry(since_ns: int = T, **more) -> Calibration:
    return Calibration(quantity="crack_mm", since_ns=since_ns, **more)


def site(*entries: Calibration) -> World:
    wall = Device(id="wall", model="crack", at="yard", topic="wall", baseline={"crack_mm": 2.5})
    parts = {"models": {"crack": CRACK}, "calibrations": {"wall": entries} if entries else {}}
    return replace(world(rules=(WIDER,), models={"crack": CRACK}), devices={"wall": wall}, **parts)


def play(*entries: Calibration) -> Play:
    return Play(Engine(site(*entries), State(identity="0000002a")))


def say(played: Play, second: float, mm: float, arrives: float | None = None) -> list:
    """The wall's gauge says so many mm, measured in that second after the start."""
    played.wait((second if arrives is None else arrives) - played.at / SECOND)
    return played.say(topic="wall", ts=START_S + second, mm=mm)


def decode(world: World, mm: float, measured_ns: int, received_ns: int = 0) -> float:
    body = f'{{"ts": {measured_ns / SECOND}, "mm": {mm}}}'.encode()
    (found,) = Decoder(world).decode(Message("wall", body), received_ns or measured_ns)
    return found.values["crack_mm"]


# ---------------------------------------------------------------- values


def test_an_entry_holds_from_its_instant_until_the_next() -> None:
    found = site(entry(T, scale=2.0, offset=0.5), entry(T + 100 * SECOND, offset=-1.0))
    values = [decode(found, 3.0, T + s * SECOND) for s in (-1, 0, 99, 100, 5000)]
    assert values == [3.0, 6.5, 6.5, 2.0, 2.0]


def test_what_was_measured_before_the_joint_is_not_corrected_however_late_it_comes() -> None:
    assert decode(site(entry(offset=1.0)), 3.0, T - SECOND, T + 300 * SECOND) == 3.0


@pytest.mark.parametrize("measured_ns", [1 * SECOND, T + 8 * 3600 * SECOND], ids=["1970", "ahead"])
def test_a_clock_that_cannot_be_right_does_not_choose_the_entry(measured_ns: int) -> None:
    """Its values are judged by arrival, so they must be corrected by arrival."""
    assert decode(site(entry(offset=1.0)), 3.0, measured_ns, T + SECOND) == 4.0
    assert decode(site(entry(offset=1.0)), 3.0, measured_ns, T - SECOND) == 3.0


def test_a_device_without_an_entry_is_decoded_by_the_very_same_codec() -> None:
    """No work a message for those that do not use it."""
    codec = Decoder(site()).codec_of(site().devices["wall"])
    assert not isinstance(codec, calibration.Corrected)
    only_a_sensor = Calibration(quantity="", since_ns=T, sensor="SN-2")
    assert calibration.corrected(codec, [only_a_sensor]) is codec
    assert isinstance(Decoder(site(entry())).codec_of(site().devices["wall"]), calibration.Corrected)


def test_parts_are_corrected_each_on_its_own() -> None:
    entries = (Calibration(quantity="slot_temperature_c", since_ns=0, component="slot-2", offset=-3.0),)
    found = world(calibrations={"cab-1": entries})
    body = b'{"t": 20, "slots": [{"no": 1, "t": 30}, {"no": 2, "t": 30}]}'
    said = Decoder(found).decode(Message("site/cab-1", body), T)
    assert [one.values for one in said] == [
        {"temperature_c": 20}, {"slot_temperature_c": 30}, {"slot_temperature_c": 27}
    ]  # fmt: skip


# ---------------------------------------------------------------- judging


def test_without_the_entry_the_jump_would_ring() -> None:
    """Else nothing below shows anything."""
    played = play()
    say(played, 900, 2.6)
    say(played, 1100, 0.1)
    assert played.levels() == ["yellow"]


def test_a_sensor_mounted_anew_makes_no_jump_and_goes_on_counting() -> None:
    played = play(entry(offset=2.5))
    say(played, 900, 2.6)
    say(played, 1100, 0.1)
    assert played.levels() == []
    say(played, 1200, 1.2)  # 3.7 mm by the old count: 1.2 above the baseline
    assert played.levels() == ["yellow"]
    assert of(played.effects, Alert)[-1].value == pytest.approx(3.7)


def test_a_new_baseline_counts_from_its_instant() -> None:
    """After a repair the crack begins anew; what was measured before counts from the old zero."""
    played = play(entry(baseline=0.0))
    say(played, 900, 2.6)
    say(played, 1100, 0.1)
    assert played.levels() == []
    assert levels(say(played, 1200, 1.2)) == ["yellow"]
    played = play(entry(baseline=0.0))
    assert levels(say(played, 1200, 2.6)) == ["yellow"], "calm by the old zero, not by the new"


def test_a_late_word_from_before_the_joint_is_counted_from_the_old_baseline() -> None:
    played = play(entry(baseline=0.0))
    assert levels(say(played, 990, 2.6, arrives=1100)) == [], "0.1 from 2.5, not 2.6 from 0"
    played = play(entry(baseline=0.0))
    say(played, 990, 0.2, arrives=1100)
    played.wait(60)  # a late word may be taken back by the next
    assert played.levels() == ["yellow"], "2.3 from 2.5, not 0.2 from 0"


def test_a_joint_to_come_changes_nothing_before_it_comes() -> None:
    played = play(entry(baseline=0.0, offset=1.0))
    assert levels(say(played, 900, 0.2)) == ["yellow"]


def test_a_sensor_that_is_not_joined_yet_raises_and_clears_nothing() -> None:
    """Nobody knows where it counts from: silence about that is worse than an alarm, a false one is both."""
    played = play(entry(unjoined=True))
    say(played, 900, 2.6)
    assert levels(say(played, 1100, 0.1)) == [], "it would be 2.4 from the baseline"
    played = play(entry(unjoined=True))
    say(played, 900, 4.0)
    say(played, 1100, 2.5)
    played.wait(600)
    assert played.levels() == ["yellow"], "nor is the old trouble over because the new one reads low"


def test_once_it_is_joined_it_is_judged_again() -> None:
    later = entry(T + 200 * SECOND, offset=2.5)
    played = play(entry(unjoined=True), later)
    say(played, 1100, 0.1)
    say(played, 1300, 0.1)
    assert played.levels() == []
    assert levels(say(played, 1400, 1.2)) == ["yellow"]


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=20),
    st.floats(-5, 5),
    st.integers(0, 20),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_a_changed_sensor_gives_the_alerts_of_one_that_was_never_changed(
    truth: list[float], shift: float, joint: int, scale: float
) -> None:
    """The new one reads shift + truth / scale; the entry puts that right."""
    one, twin = play(), play(entry(START_NS + joint * 60 * SECOND, scale=scale, offset=-shift * scale))
    for number, mm in enumerate(truth):
        say(one, number * 60, mm)
        say(twin, number * 60, mm if number < joint else shift + mm / scale)
    margin = min(abs(abs(mm - 2.5) - 1) for mm in truth)
    if margin > 1e-6:  # a hair from the limit the last bit decides
        assert one.levels() == twin.levels()


# ---------------------------------------------------------------- another sensor

SWAP = Calibration(quantity="", since_ns=T, sensor="SN-2")


def qualities(effects: list) -> list[Quality]:
    return [mark.quality for mark in of(effects, Marked)]


def old_clock_ahead(played: Play) -> None:
    say(played, 1095, 2.5, arrives=990)  # 105 s ahead: believed, and remembered as the newest


def test_the_old_sensors_clock_is_forgotten() -> None:
    played = play()
    old_clock_ahead(played)
    assert qualities(say(played, 1010, 2.5)) == [Quality.DISORDER], "else nothing is shown"
    played = play(SWAP)
    old_clock_ahead(played)
    assert qualities(say(played, 1010, 9.0)) == [] and played.levels() == ["yellow"]
    assert played.noted().count("sensor_swapped") == 1
    say(played, 1020, 9.0)
    assert played.noted().count("sensor_swapped") == 1


def test_it_is_forgotten_once_over_a_restart() -> None:
    played = play(SWAP)
    old_clock_ahead(played)
    say(played, 1095, 2.5, arrives=1005)
    again = Play(Engine(site(SWAP), state.load(state.save(played.engine.state))), at=played.at)
    assert qualities(say(again, 1010, 2.5)) == [Quality.DISORDER], "the new one's memory is kept"
    assert state.save(again.engine.state) != b"" and "sensor_swapped" not in again.noted()


def test_every_change_of_several_counts() -> None:
    later = replace(SWAP, since_ns=T + 60 * SECOND, sensor="SN-3")
    played = play(SWAP, later)
    for second in (990, 1010, 1020, 1070, 1080):
        say(played, second, 2.5)
    assert played.noted().count("sensor_swapped") == 2


# ---------------------------------------------------------------- what is due


def test_what_is_due_is_the_entry_in_force_most_urgent_first() -> None:
    day = date(2026, 11, 2)
    entries = {
        "a": (entry(0, due=date(2026, 1, 1)), entry(1, due=date(2026, 11, 30))),
        "b": (entry(0, due=date(2026, 10, 1)), entry(START_NS + 1, due=date(2030, 1, 1))),
        "c": (entry(0), entry(1, due=date(2027, 11, 30))),
    }
    found = calibration.due_within(entries, START_NS, "Asia/Shanghai", 30)
    assert [(one.device, one.days) for one in found] == [
        ("b", (date(2026, 10, 1) - day).days),
        ("a", 28),
    ]


# ---------------------------------------------------------------- the files

HEAD = "device,quantity,from,scale,offset,baseline,sensor,certificate,due,component\n"


def calibrated(rows: str) -> dict[str, str]:
    return {**FILES, "sites/calibrations.csv": HEAD + rows}


def test_a_table_of_calibrations(tmp_path: Path) -> None:
    rows = "cam-1,tilt_x_deg,2026/3/1 10:00,1.002,-0.5,,SN-2,C-17,2027/3/1,\n"
    rows += "cam-1,,2026-01-01T00:00,,,,SN-1,,,\n"
    found = loaded(tmp_path, calibrated(rows))
    assert found.problems == []
    first, second = found.world.calibrations["cam-1"]
    assert (first.sensor, first.quantity) == ("SN-1", "")
    assert second == Calibration(
        quantity="tilt_x_deg", since_ns=1_772_330_400 * SECOND, scale=1.002, offset=-0.5, sensor="SN-2",
        certificate="C-17", due=date(2027, 3, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("cam-9,tilt_x_deg,2026-03-01T10:00", "2: device: found the unknown device cam-9"),
        ("cam-1,crack_mm,2026-03-01T10:00", "2: quantity: found the unknown quantity crack_mm, expected"),
        ("cam-1,tilt_x_deg,tomorrow", '2: from: found "tomorrow", expected a local time such as'),
        ("cam-1,tilt_x_deg,2026-03-01T10:00,0", "2: scale: found the number 0, expected a number other"),
        ("cam-1,,2026-03-01T10:00,,0.5", "2: offset: found offset without quantity"),
        ("cab-1,smoke,2026-03-01T10:00,,1,,,,,slot-9", "2: component: found the unknown component slot-9"),
        ("cab-1,slot_temperature_c,2026-03-01T10:00,,1", "2: quantity: found the unknown"),
        ("cam-1,tilt_x_deg,2026/3/1 10:00\ncam-1,tilt_x_deg,2026-03-01T10:00",
         "3: from: found calibration entry cam-1 tilt_x_deg 2026-03-01T10:00 a second time"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_calibration_is_told(row: str, says: str, tmp_path: Path) -> None:
    (line,) = told(tmp_path, calibrated(row + "\n"))
    assert line.removeprefix("sites/calibrations.csv:").startswith(says)


def test_decode_shows_a_devices_values_as_they_will_be_stored(tmp_path: Path) -> None:
    found = loaded(tmp_path, calibrated("cam-1,tilt_x_deg,2026-03-01T10:00,2,0.5\n")).world
    device = found.devices["cam-1"]
    (reading,) = understand(
        found.models["camera"], '{"tilt": 1}', device, found.calibrations["cam-1"]
    ).readings
    assert reading.values == {"tilt_x_deg": 2.5}


# ---------------------------------------------------------------- past its day

DUE = date(2026, 11, 2)  # the day of START_NS: it is over four hours later
LAST_S = 4 * 3600 - 1


def marks(found: Play, mm: float = 2.5, **more) -> list[Quality]:
    """The marks of one message that is said now."""
    body = f'{{"mm": {mm}, "ts": {(START_NS + found.at) / SECOND}}}'.encode()
    effects = found.give(Messages(found.at, found.wall(), [Message("wall", body, **more)]))
    return [one.quality for one in of(effects, Marked)]


def test_a_sensor_past_its_day_is_marked_and_still_judged() -> None:
    found = play(entry(START_NS - SECOND, due=DUE))
    found.wait(LAST_S)
    assert marks(found) == []
    found.wait(1)
    assert marks(found) == [Quality.OVERDUE]
    found.wait(60)
    assert marks(found, mm=9) == [Quality.OVERDUE]
    assert levels(found.effects) == ["yellow"]


def test_a_new_certificate_ends_it_from_its_instant_on() -> None:
    joint = START_NS + (LAST_S + 100) * SECOND
    found = play(entry(START_NS - SECOND, due=DUE), entry(joint, due=date(2027, 11, 2)))
    found.wait(LAST_S + 99)
    assert marks(found) == [Quality.OVERDUE]
    found.wait(1)
    assert marks(found) == []


def test_only_what_is_past_its_day_is_marked() -> None:
    other = replace(entry(START_NS - SECOND, due=DUE), quantity="tilt_x_deg")
    whole = replace(entry(START_NS - SECOND, due=DUE), quantity="")
    assert [marks(late(play(one))) for one in (other, whole)] == [[], [Quality.OVERDUE]]


def late(found: Play) -> Play:
    found.wait(LAST_S + 1)
    return found


def test_a_worse_mark_stands_for_the_point() -> None:
    found = late(play(entry(START_NS - SECOND, due=DUE)))
    assert marks(found, retained=True) == [Quality.OVERDUE, Quality.RETAINED]  # the last one is written


def test_a_clock_set_back_is_looked_at_anew() -> None:
    """Deterministic: the wall clock of the event alone decides."""
    found = late(play(entry(START_NS - SECOND, due=DUE)))
    assert marks(found) == [Quality.OVERDUE]
    body = f'{{"mm": 2.5, "ts": {(START_NS + found.at) / SECOND - 3600}}}'.encode()
    effects = found.give(Messages(found.at, found.wall() - 3600 * SECOND, [Message("wall", body)]))
    assert Quality.OVERDUE not in [one.quality for one in of(effects, Marked)]
