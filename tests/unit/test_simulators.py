"""The neighbourhood itself: were it wrong, every score taken on it would be wrong too."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.core.codecs import CODECS
from gateway.core.decoding import Decoder
from gateway.core.model import SECOND, Alert, AlertState, Device, Level, Model
from gateway.core.places import windows_of
from gateway.core.units import QUANTITIES
from simulators.__main__ import main
from simulators.encoding import Encoder, concrete
from simulators.frames import sayable
from simulators.incidents import Script, ScriptError, Truth, load_script, span_ns
from simulators.lives import DAY, HOUR, MINUTE, life_of, midnights
from simulators.neighbourhood import WINDOW, Neighbourhood, Sent
from simulators.numbers import raw
from simulators.publisher import Pace
from simulators.scoring import Seen, load_truths, save_truths, score, seen_in_effects
from simulators.street import load_street

ROOT = Path(__file__).parents[2]
ZONE = ZoneInfo("Asia/Shanghai")
START = int(datetime(2026, 11, 2, tzinfo=ZONE).timestamp()) * SECOND
WORLD = load_street([ROOT / "devices"], [ROOT / "simulators" / "site"])
BY_SCENE = {WORLD.models[device.model].scene: device for device in WORLD.devices.values()}
NOTHING = Script(())
SCRIPTS = sorted((ROOT / "simulators" / "scripts").glob("*.yaml"))


def neighbourhood(script: Script = NOTHING, seed: int = 7, hours: float = 24, **changes) -> Neighbourhood:
    return Neighbourhood(
        replace(WORLD, **changes), script, seed=seed, start_ns=START, end_ns=START + int(hours * HOUR)
    )


def only(scene: str) -> dict:
    device = BY_SCENE[scene]
    return {device.id: device}


def written(tmp_path: Path, text: str) -> Script:
    file = tmp_path / "script.yaml"
    file.write_text(text, encoding="utf-8")
    return load_script(file, START, ZONE)


def decoded(sents: list[Sent]) -> list:
    """Every reading; a fault in any part fails the test."""
    decoder, faults = Decoder(WORLD), []
    readings = [reading for sent in sents for reading in decoder.decode(sent.message(), sent.at_ns, faults)]
    assert faults == []
    return readings


# ---------------------------------------------------------------- what is said


def test_all_five_scenes_live_here():
    assert set(BY_SCENE) == {"structure", "lift", "waste", "cabinet", "shed", "gateway"}


def speaker(shape: Model) -> Device:
    """The street's first device of a model, or one of our own."""
    own = Device(
        id="d-1", model=shape.id, at="", topic="application/7/device/d-1/event/up", constants=shape.constants
    )
    return next((device for device in WORLD.devices.values() if device.model == shape.id), own)


CAMERAS = {name for name, model in WORLD.models.items() if model.codec.kind in ("isapi", "dahua", "keda")}
WAVES = sorted(name for name, model in WORLD.models.items() if model.codec.wave)


@pytest.mark.parametrize("model", WAVES)
def test_a_block_of_samples_shakes_as_was_said(model):
    """PPV within 3 %, frequency within a line; the other features follow from these two."""
    shape = WORLD.models[model]
    device = Device(id="shaker", model=model, at="", topic="site/shaker")
    said = {f"axis-{axis}": {"ppv_mm_s": 2.5, "dominant_hz": 18.0} for axis in shape.codec.wave.axes}
    said |= {"": life_of(device, shape, 1, ZONE).say(START, [])[""]}
    payload = Encoder(device=device, model=shape, zone=ZONE)(said, START, 41)
    faults: list = []
    readings = CODECS["waveform"](shape)(device, Sent(START, "site/shaker", payload).message(), START, faults)
    assert faults == [] and len(readings) == 1 + len(shape.codec.wave.axes)
    for reading in readings[1:]:
        assert reading.values["ppv_mm_s"] == pytest.approx(2.5, rel=0.03)
        assert reading.values["dominant_hz"] == pytest.approx(18.0, abs=0.5)


@pytest.mark.parametrize("model", sorted(set(WORLD.models) - set(WAVES) - CAMERAS))
def test_what_is_encoded_decodes_to_what_was_true(model):
    """The encoder is the codec's inverse for every model of the street: nothing refused."""
    shape = WORLD.models[model]
    device = speaker(shape)
    topic = concrete(device.topic)
    said = life_of(device, shape, 1, ZONE).say(START + 9 * HOUR, [])
    if shape.codec.blocks:
        said = {"": {name: value for name, value in said[""].items() if name in sayable(shape)}}
    payload = Encoder(device=device, model=shape, zone=ZONE)(said, START, 41)
    faults: list = []
    readings = CODECS[shape.codec.kind](shape)(device, Sent(START, topic, payload).message(), START, faults)
    dumb = {field.quantity for field in shape.fields if field.required} - sayable(shape)
    assert [fault for fault in faults if fault.field not in dumb] == []
    heard = {reading.component: reading.values for reading in readings}
    assert heard.keys() == {part for part, values in said.items() if values}
    for part, values in said.items():
        more = {field.quantity for field in shape.fields if field.formula}
        assert set(values) <= set(heard.get(part, ())) <= set(values) | more
    for part, values in said.items():
        for quantity, value in values.items():
            assert heard[part][quantity] == pytest.approx(value, abs=QUANTITIES[quantity].resolution)
    assert all(reading.measured_ns == START for reading in readings if reading.timed)


def test_a_word_and_a_scale_are_taken_back():
    field = next(f for model in WORLD.models.values() for f in model.fields if not f.values)
    stretched = replace(field, quantity="slot_current_a", unit="mA", scale=10.0, offset=500.0)
    assert raw(stretched, 2.5) == 200  # 200 * 10 + 500 mA
    assert (
        raw(
            replace(stretched, quantity="slot_state", unit="", scale=1.0, offset=0.0, values={"busy": 1}), 1.0
        )
        == "busy"
    )
    assert (
        raw(replace(stretched, quantity="door_open", unit="", scale=1.0, offset=0.0, values={"true": 1}), 1.0)
        is True
    )


def test_nothing_it_says_is_refused():
    """A refusal in the gateway would hide an incident, and the score would blame the engine."""
    sents = list(neighbourhood(hours=3))
    assert len(decoded(sents)) >= len(sents) > 1000


# ---------------------------------------------------------------- the same again


def test_the_same_seed_says_the_same_and_another_does_not():
    assert list(neighbourhood(hours=1)) == list(neighbourhood(hours=1))
    assert list(neighbourhood(hours=1)) != list(neighbourhood(hours=1, seed=8))


def test_it_speaks_in_order_of_time():
    sents = list(neighbourhood(hours=2))
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(sents))
    assert sents[0].at_ns >= START
    assert sents[-1].at_ns < START + 2 * HOUR + 2 * MINUTE  # a late repetition may trail behind


def test_an_incident_here_changes_nothing_there(tmp_path):
    device = BY_SCENE["cabinet"].id
    fire = written(tmp_path, FIRE.format(device=device))
    calm, burning = list(neighbourhood(hours=1)), list(neighbourhood(fire, hours=1))
    assert [s for s in calm if device not in s.topic] == [s for s in burning if device not in s.topic]
    assert calm != burning


def test_some_messages_come_twice_and_some_come_back_late():
    sents = list(neighbourhood(hours=4))
    first: dict[tuple, int] = {}
    gaps = [sent.at_ns - first.setdefault((sent.topic, sent.payload), sent.at_ns) for sent in sents]
    gaps = [gap for gap in gaps if gap]
    assert len(gaps) > len(sents) / 500
    assert min(gaps) < SECOND and max(gaps) > 15 * SECOND


# ---------------------------------------------------------------- incidents

FIRE = """
incidents:
  - name: fire
    says: 起火
    device: {device}
    after: 10m
    courses:
      - {{component: slot-3, quantity: slot_temperature_c, points: "0s 30, 2m 60, 10m 60, 20m 30"}}
      - {{quantity: smoke, steps: "5m 1, 15m 0"}}
    must:
      - {{rule: slot-hot, component: slot-3, level: yellow, within: 1m..4m}}
"""
FAULT = """
incidents:
  - {{name: odd, says: 异常, device: {device}, after: 10m, lasts: 30m, fault: {fault}, shift: 8h}}
"""


def test_a_course_runs_from_point_to_point_and_then_life_goes_on(tmp_path):
    device = BY_SCENE["cabinet"]
    script = written(tmp_path, FIRE.format(device=device.id))
    readings = decoded(list(neighbourhood(script, hours=1, devices=only("cabinet"))))
    hot = [(r.measured_ns - START) / MINUTE for r in readings if r.values.get("slot_temperature_c", 0) > 55]
    smoky = [(r.measured_ns - START) / MINUTE for r in readings if r.values.get("smoke")]
    assert min(hot) > 11.6 and max(hot) < 22
    assert {r.component for r in readings if r.values.get("slot_temperature_c", 0) > 55} == {"slot-3"}
    assert min(smoky) == pytest.approx(15, abs=0.01) and max(smoky) < 25


def faulty(tmp_path: Path, fault: str) -> list:
    """(arrival, reading) of a cabinet, from which minute 10 to 40 are faulty."""
    device = BY_SCENE["cabinet"]
    script = written(tmp_path, FAULT.format(device=device.id, fault=fault))
    sents = list(neighbourhood(script, hours=1, devices=only("cabinet")))
    return [
        (s, r) for s in sents for r in Decoder(WORLD).decode(s.message(), s.at_ns) if r.component == "slot-1"
    ]


def meanwhile(at_ns: int) -> bool:
    return START + 11 * MINUTE <= at_ns < START + 39 * MINUTE


def test_a_silent_device_says_nothing_and_comes_back(tmp_path):
    pairs = faulty(tmp_path, "silent")
    assert not [s for s, _ in pairs if meanwhile(s.at_ns)]
    assert [s for s, _ in pairs if s.at_ns > START + 41 * MINUTE]


def test_a_silent_device_repeats_nothing_either(tmp_path, monkeypatch):
    """A late repetition would be a word: the silence would begin a minute after the truth says."""
    monkeypatch.setattr("simulators.neighbourhood.AGAIN", 1.0)
    assert not [s for s, _ in faulty(tmp_path, "silent") if meanwhile(s.at_ns + MINUTE)]


def test_a_frozen_device_repeats_its_values_but_not_its_instant(tmp_path):
    stuck = [r for s, r in faulty(tmp_path, "frozen") if meanwhile(s.at_ns)]
    assert len({tuple(r.values.items()) for r in stuck}) == 1 < len({r.measured_ns for r in stuck})


def test_a_wrong_clock_is_eight_hours_ahead_and_only_then(tmp_path):
    pairs = faulty(tmp_path, "clock")
    assert {round((r.measured_ns - s.at_ns) / HOUR) for s, r in pairs if meanwhile(s.at_ns)} == {8}
    assert {round((r.measured_ns - s.at_ns) / HOUR) for s, r in pairs if s.at_ns < START + 9 * MINUTE} == {0}


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("after: 10m -> after: ten", "found 'ten'"),
        ("after: 10m -> at: '01:00'\n    after: 1m", "either at"),
        ("slot_temperature_c, points -> slot_temperature_c, steps: '0s 1', points", "exactly one"),
        ("2m 60 -> 0s 60", "later span"),
        ("device: -> devise:", "unknown field"),
        ("level: yellow -> level: purple", "'purple'"),
    ],
)
def test_a_mistake_in_a_script_names_the_entry(tmp_path, spoilt, told):
    text = FIRE.format(device="x")
    before, after = spoilt.split(" -> ")
    assert before in text
    with pytest.raises(ScriptError, match="fire") as caught:
        written(tmp_path, text.replace(before, after))
    assert told in str(caught.value)


def test_a_script_for_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nobody"):
        neighbourhood(written(tmp_path, FIRE.format(device="nobody")))


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_shipped_scripts_name_devices_and_components_that_exist(file):
    script = load_script(file, START, ZONE)
    lane = neighbourhood(script)
    for incident in script.incidents:
        said = life_of(
            WORLD.devices[incident.device], WORLD.models[WORLD.devices[incident.device].model], 1, ZONE
        ).say(START, [])
        for course in incident.courses:
            assert course.quantity in said[course.component], incident.name
    assert lane.truths()


# ---------------------------------------------------------------- ordinary life


def test_bags_stand_about_only_while_the_window_is_open():
    device = BY_SCENE["waste"]
    windows = windows_of(WORLD, device.at, WINDOW)
    assert windows, "the waste room's place needs a drop_off window"
    life = life_of(device, WORLD.models[device.model], 3, ZONE, windows)
    found = [
        episode
        for midnight in midnights(START, START + 20 * DAY, ZONE)
        for episode in life.episodes(midnight)
    ]
    assert len(found) > 20
    for episode in found:
        hours = [
            f"{datetime.fromtimestamp(ns // SECOND, ZONE):%H:%M}"
            for ns in (episode.begins_ns, episode.ends_ns)
        ]
        assert any(window[:5] <= hours[0] <= hours[1] <= window[6:] for window in windows)


def test_days_are_local_days():
    assert [(ns - START) // DAY for ns in midnights(START + 23 * HOUR, START + 49 * HOUR, ZONE)] == [0, 1, 2]


def test_spans():
    assert [span_ns(text) // SECOND for text in ("90s", "6m", "1d12h", "0s", "0.5m")] == [
        90,
        360,
        129600,
        0,
        30,
    ]
    for wrong in ("", "6", "6 m", "m", "-3s", "6min"):
        with pytest.raises(ValueError, match="expected a span"):
            span_ns(wrong)


def test_both_processes_reckon_the_same_time():
    """The gateway's clock reads the text that the simulator was given."""
    from gateway.adapters.clock import Anchor

    text = "1000:1793548800000000000:20.0"
    ours, theirs = Pace.parse(text), Anchor.parse(text)
    assert (ours.monotonic_ns, ours.wall_ns, ours.speed) == (
        theirs.monotonic_ns,
        theirs.wall_ns,
        theirs.speed,
    )
    assert str(ours) == str(theirs) == text


def test_it_owes_nothing_to_the_code_under_test():
    """Were the encoder made of the gateway's shell, both could be wrong in the same way."""
    for file in (ROOT / "simulators").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] != "gateway" or name.startswith("gateway.core"), (
                    f"{file.name}: {name}"
                )


# ---------------------------------------------------------------- scoring


def truth(**changes) -> Truth:
    base = Truth(
        incident="fire", says="起火", device="c1", begins_ns=0, until_ns=HOUR, component="slot-3",
        rule="slot-hot", level="orange", earliest_ns=2 * MINUTE, latest_ns=5 * MINUTE,
    )  # fmt: skip
    return Truth(**{name: getattr(base, name) for name in base.__struct_fields__} | changes)


def seen(*reached: tuple[str, float], **changes) -> Seen:
    parts = {"alert": "a", "rule": "slot-hot", "device": "c1", "component": "slot-3"} | changes
    return Seen(
        reached=tuple((Level[word.upper()], int(minute * MINUTE)) for word, minute in reached), **parts
    )


def test_found_with_its_minutes():
    result = score([truth()], [seen(("yellow", 2), ("orange", 4))])
    assert result.perfect and [minutes for _, minutes in result.found] == [4.0]


@pytest.mark.parametrize(
    ("alerts", "missed", "why"),
    [
        ([], 1, ""),
        ([seen(("yellow", 3))], 1, ""),  # never rose
        ([seen(("orange", 6))], 1, ""),  # too late
        ([seen(("orange", 1))], 1, "too early"),
        ([seen(("orange", 3), ("red", 4))], 0, "worst"),
        ([seen(("orange", 3)), seen(("orange", 9), alert="b")], 0, "told twice"),
        ([seen(("orange", 3)), seen(("orange", 90), alert="b")], 0, "nothing of the kind"),
        ([seen(("orange", 3)), seen(("orange", 3), component="slot-4")], 0, "nothing of the kind"),
        ([seen(("orange", 3)), seen(("orange", 3), rule="other")], 0, "nothing of the kind"),
    ],
)
def test_missed_and_false(alerts, missed, why):
    result = score([truth()], alerts)
    assert len(result.missed) == missed
    assert [why in reason for _, reason in result.false] == ([True] if why else [])
    assert not result.perfect and ("MISSED" in str(result) or "FALSE" in str(result))


def test_what_the_run_did_not_live_to_see_is_neither_found_nor_missed():
    result = score([truth()], [], until_ns=4 * MINUTE)
    assert result.perfect and result.ahead == [truth()]
    assert not score([truth()], [], until_ns=5 * MINUTE).perfect


def test_a_near_miss_excuses_no_alert():
    quiet = truth(rule="", level="", component="")
    assert score([quiet], []).perfect
    assert not score([quiet], [seen(("yellow", 3))]).perfect


def test_the_truth_file_holds_what_was_written(tmp_path):
    truths = [truth(), truth(rule="", level="", component="")]
    save_truths(tmp_path / "truth.jsonl", truths)
    assert load_truths(tmp_path / "truth.jsonl") == truths
    assert (
        json.loads((tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()[0])["rule"]
        == "slot-hot"
    )


def test_levels_are_read_from_effects():
    def alert(level: Level, minute: int, state: AlertState = AlertState.FIRING) -> Alert:
        return Alert(
            id="a", rule="slot-hot", device="c1", component="slot-3", case="k", level=level, worst=level,
            state=state, raised_ns=2 * MINUTE, changed_ns=minute * MINUTE,
            quantity="slot_temperature_c", value=60.0, limit=55.0,
        )  # fmt: skip

    effects = [alert(Level.YELLOW, 2), alert(Level.ORANGE, 4), alert(Level.ORANGE, 30, AlertState.CLEARED)]
    assert seen_in_effects(effects) == [seen(("yellow", 2), ("orange", 4))]


# ---------------------------------------------------------------- the manual


README = (ROOT / "simulators" / "README.md").read_text(encoding="utf-8")


def test_the_manual_names_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["play", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    table = [line for line in README.splitlines() if line.startswith("| `--")]
    assert set(re.findall(r"--[a-z-]+", "".join(table))) == options


def test_the_manuals_script_can_be_played(tmp_path):
    example = re.search(r"```yaml\n(incidents:.*?)```", README, re.DOTALL)
    assert example
    assert neighbourhood(written(tmp_path, example[1])).truths()


def test_the_manual_counts_its_devices():
    assert f"the {len(WORLD.devices)} devices" in README


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["play", "--site", "/nowhere"], "/nowhere: no such"),
        (["play", "--script", "/nowhere.yaml"], "/nowhere.yaml"),
        (["play", "--lasts", "soon"], "found 'soon'"),
        (["score", "--truth", "/nowhere", "--state", "/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, told, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert told in said and len(said.splitlines()) == 1
