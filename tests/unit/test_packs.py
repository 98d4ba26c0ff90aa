"""The models and rules that are shipped, the example street, and the manuals that describe them."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway import packs
from gateway.config import (
    ArchiveConfig,
    BrokerConfig,
    ConfigKeys,
    InfluxConfig,
    IntakeConfig,
    Loaded,
    OutwardKeys,
    WebKeys,
    load,
)
from gateway.core.catalogue import Ask, Catalogue
from gateway.core.codecs import CODECS, COMMON, KEYS
from gateway.core.codecs.bits import TYPES
from gateway.core.decoding import Decoder
from gateway.core.model import (
    Actor,
    Basis,
    Cause,
    Codec,
    Components,
    Device,
    Digest,
    During,
    Example,
    Fault,
    Field,
    Leave,
    Level,
    Message,
    Model,
    Override,
    PayloadError,
    Period,
    Person,
    Place,
    Post,
    Recurrence,
    Refusal,
    Rotation,
    Rule,
    Scenario,
    Step,
    Unit,
    Wave,
    World,
)
from gateway.core.templates import Template
from gateway.core.units import QUANTITIES
from gateway.grammar import (
    CalibrationKeys,
    ClockKeys,
    DayKeys,
    DeriveKeys,
    LevelKeys,
    MaintenanceKeys,
    PackKeys,
    RuleKeys,
    SiteKeys,
    SomeLevelKeys,
    SourceKeys,
    SubjectKeys,
    TuneKeys,
)
from gateway.packs import Directories
from gateway.tuning import coverage, scenarios
from gateway.tuning.examples import spoken, takes_frames
from gateway.typed import keys_of
from tests.unit.config_files import FILES, loaded, spoiled, told, write

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/example/lilong.yaml"
RECEIVED_NS = 1_800_000_000_000_000_000
EXAMPLE_TOPIC = "example/24e124713d004a11"


def example_street() -> Loaded:
    return load(EXAMPLE, "en", environ={})


@cache
def world() -> World:
    found = example_street().world
    assert found is not None
    return found


# ---------------------------------------------------------------- what is shipped


def test_the_example_street_is_sound_and_has_every_scene() -> None:
    street = example_street()
    assert street.problems == [] and street.config is not None
    scenes = {world().models[device.model].scene for device in world().devices.values()}
    assert scenes == {"structure", "lift", "waste", "cabinet", "shed", "report", "gateway"}
    assert {rule.scene for rule in world().rules} == scenes


MODELS = sorted((ROOT / "devices").glob("*.yaml"))
EXAMPLES = [(model, index) for model in world().models.values() for index in range(len(model.examples))]


@pytest.mark.parametrize(
    ("model", "index"), EXAMPLES, ids=[f"{model.id}:{model.examples[i].origin.line}" for model, i in EXAMPLES]
)
def test_an_example_decodes_to_what_it_says(model: Model, index: int) -> None:
    """An example is the model's own test; the sensor's own words, not ours."""
    example = model.examples[index]
    readings, error = decoded(model, spoken(model, example))
    assert error == example.error
    assert readings == [expected(reading) for reading in example.readings]


def decoded(model: Model, payload: str | bytes) -> tuple[list[dict[str, Any]], str]:
    """The readings of a payload as an example writes them, and the first flaw's code."""
    device = Device(id="example", model=model.id, at="", topic=EXAMPLE_TOPIC, constants=model.constants)
    decoder = Decoder(dataclasses.replace(world(), devices={"example": device}))
    faults: list[Fault] = []
    body = payload.encode() if isinstance(payload, str) else payload
    try:
        readings = decoder.decode(Message(EXAMPLE_TOPIC, body), RECEIVED_NS, faults)
    except PayloadError as error:
        return [], str(error.code)
    code, found = str(faults[0].code) if faults else "", []
    for reading in readings:
        possible = {name: value for name, value in reading.values.items() if in_range(name, value)}
        code = code if len(possible) == len(reading.values) else code or str(Refusal.RANGE)
        entry: dict[str, Any] = {"component": reading.component, **possible}
        if reading.timed:
            entry["measured_at"] = reading.measured_ns // 1000
        if reading.history:
            entry["history"] = True
        found += [entry] if possible else []
    return found, code


def in_range(name: str, value: float) -> bool:
    return QUANTITIES[name].low <= value <= QUANTITIES[name].high


def expected(reading: Mapping[str, Any]) -> dict[str, Any]:
    entry = {"component": "", **reading}
    if "measured_at" in entry:
        instant = datetime.fromisoformat(entry["measured_at"])
        entry["measured_at"] = int(instant.timestamp()) * 10**6 + instant.microsecond
    return entry


def test_an_example_that_is_wrong_is_noticed() -> None:
    """The comparison above can fail: by a value, by a missing component, by a code."""
    model = world().models["cabinet-8"]
    readings, error = decoded(model, '{"smoke": 1, "slots": [{"no": 2, "t": 40}]}')
    assert readings == [expected({"smoke": 1}), expected({"component": "slot-2", "slot_temperature_c": 40})]
    assert error == "" and readings != [expected({"smoke": 0}), expected({"component": "slot-2"})]
    assert decoded(model, '{"smoke": 2}') == ([], "range")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_has_examples_of_every_flaw_that_happens(path: Path) -> None:
    model = world().models[path.stem]
    errors = {example.error for example in model.examples}
    if takes_frames(model):  # bytes are always numbers: what happens to them is that they are cut off
        assert len(model.examples) >= 3 and {"", "syntax"} <= errors
        return
    wanted = {"", "type", "missing"} if model.codec.kind in ("json", "signals") else {""}
    if "type" in wanted and any(not field.values for field in model.fields):  # a word is in no range
        wanted |= {"range"}
    assert len(model.examples) >= 4 and len(errors) >= 3 and wanted <= errors
    if model.components:
        assert "component" in errors


@pytest.mark.parametrize("scenario", world().scenarios, ids=lambda scenario: scenario.title)
def test_a_scenario_comes_true(scenario: Scenario) -> None:
    rules = {rule.id: rule for rule in world().rules}
    assert scenarios.play(scenario, *(rules[name] for name in scenario.tested)).missed == ""


def test_every_level_of_every_rule_is_raised_cleared_and_left_alone() -> None:
    played = [
        scenarios.play(one, *(rule for rule in world().rules if rule.id in one.tested))
        for one in world().scenarios
    ]
    covered = coverage.cover(world().rules, played)
    assert [(one.rule, one.level.word, one.missing) for one in covered if one.missing] == []


def test_a_rule_that_is_off_is_not_there(tmp_path: Path) -> None:
    """Nor is its scenario: there is nothing to play it with."""
    off = spoiled("rules/all.yaml", "    respond_within: 10m\n", "    respond_within: 10m\n    mode: off\n")
    world = loaded(tmp_path, off).world
    assert world is not None and world.scenarios == ()
    assert [rule.id for rule in world.rules] == ["bag", "silent", "lean"]


def test_what_follows_from_an_alert_is_read(tmp_path: Path) -> None:
    more = "    mode: shadow\n    steps: [case]\n    handle_within: 30m\n"
    more += "    inhibited_by: [{rule: slot-hot, at: place, level: red}]\n"
    old = "    levels: {orange: {absent: 5m}}\n"
    world = loaded(tmp_path, spoiled("rules/all.yaml", old, old + more)).world
    assert world is not None
    rule = next(rule for rule in world.rules if rule.id == "silent")
    assert (rule.mode, rule.steps, rule.handle_within_s) == ("shadow", ("case",), 1800.0)
    assert rule.inhibited_by == (Cause(rule="slot-hot", at="place", level=Level.RED),)
    assert not rule.opens and not rule.tells


def test_a_scenario_with_another_limit_does_not() -> None:
    """The scenarios see the limits: every rule with one limit moved makes one of its scenarios fail."""
    for rule in world().rules:
        own = [scenario for scenario in world().scenarios if scenario.rule == rule.id]
        assert own, f"{rule.id} has no scenario"
        for moved in moved_limits(rule):
            assert any(scenarios.missed(one, scenarios.run(one, moved)) for one in own), (
                rule.id,
                moved.limits,
            )


def moved_limits(rule: Rule) -> list[Rule]:
    """The rule with its first limit asking for more, its hold longer, its clear hold longer."""
    first, rest = rule.limits[0], rule.limits[1:]
    later = dataclasses.replace(first, hold_s=first.hold_s + 7)
    if first.absent_s is not None:
        later = dataclasses.replace(first, absent_s=first.absent_s + 7)
    if first.readings is not None:
        later = dataclasses.replace(first, readings=(first.readings[0] + 1, first.readings[1] + 1))
    return [
        dataclasses.replace(rule, limits=(later, *rest)),
        dataclasses.replace(rule, clear_hold_s=rule.clear_hold_s + 7),
    ]


@pytest.mark.parametrize("rule", world().rules, ids=lambda rule: rule.id)
def test_a_rule_tells_what_to_do_and_claims_no_norm(rule: Rule) -> None:
    """Nothing that we have not read is presented as what a standard says."""
    assert re.search("[\u4e00-\u9fff]", rule.says) and re.search("[\u4e00-\u9fff]", rule.action)
    assert len(rule.action) <= 60 and "装修" not in rule.action  # an SMS template refuses the word
    assert rule.respond_within_s > 0
    if rule.basis.confidence in ("M", "D"):
        assert "缺省值" in rule.basis.text and not rule.basis.clause
    if rule.scene == "structure" and rule.relative_to:
        assert "筛查提示，不是法定鉴定结论" in rule.basis.text


def test_smoke_and_suppression_are_red_at_once() -> None:
    for rule in world().rules:
        if rule.quantity in ("smoke", "suppression_fired"):
            assert [(limit.level, limit.hold_s) for limit in rule.limits] == [(Level.RED, 0.0)]


def test_the_builtin_directories_are_the_top_level_ones_of_a_checkout() -> None:
    assert packs.builtin("devices") == ROOT / "devices" and packs.builtin("rules") == ROOT / "rules"


# ---------------------------------------------------------------- how directories become a World


def test_every_value_arrives_in_the_world(tmp_path: Path) -> None:
    found = loaded(tmp_path, FILES).world
    assert found is not None
    hot = next(rule for rule in found.rules if rule.id == "slot-hot")
    assert [(limit.level, limit.above, limit.hold_s, limit.clear) for limit in hot.limits] == [
        (Level.YELLOW, 55, 60, 50),
        (Level.RED, 75, 0, None),
    ]
    assert (hot.each, hot.quantity, hot.respond_within_s, hot.clear_hold_s) == (
        "slot",
        "slot_temperature_c",
        600,
        300,
    )
    assert (hot.origin.line, Path(hot.origin.file).name) == (2, "all.yaml")
    assert found.models["cabinet"].components[0].count == 8
    assert found.models["cabinet"].expect_every_s == 30
    assert found.places["estate"].windows == {"drop_off": ("06:30-08:30",)}
    assert found.posts[0].since.isoformat() == "2025-01-01" and str(found.posts[0].until) == "2027-01-01"
    assert found.ladders[Level.RED] == (Step(role="property", by=("inbox",)),)
    assert found.devices["cam-1"].baseline == {"tilt_x_deg": 0.1}
    assert found.scenarios[0].series == {"slot_temperature_c": (40.0, 56.0, 56.0, 56.0, 56.0)}
    assert found.scenarios[0].expect == (("yellow", 90.0),)


def test_the_digest_names_the_files_and_what_is_in_them(tmp_path: Path) -> None:
    """Two gateways with the same files have the same version; one letter makes another."""
    digests = [
        world_of(tmp_path / "a", FILES).digest,
        world_of(tmp_path / "b", FILES).digest,
        world_of(tmp_path / "c", spoiled("rules/all.yaml", "above: 75", "above: 76")).digest,
        world_of(tmp_path / "d", spoiled("lilong.yaml", "state: state", "timezone: Asia/Tokyo")).digest,
        world_of(tmp_path / "e", renamed("sites/site.yaml", "sites/other.yaml")).digest,
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 4


def world_of(folder: Path, files: Mapping[str, str]) -> World:
    found = loaded(folder, files)
    assert found.world is not None, found.problems
    return found.world


def renamed(old: str, new: str) -> dict[str, str]:
    return {new if name == old else name: content for name, content in FILES.items()}


def test_a_later_directory_replaces_files_of_the_same_name(tmp_path: Path) -> None:
    files = spoiled("lilong.yaml", "rules: [rules]", "rules: [rules, own]")
    files["own/all.yaml"] = FILES["rules/all.yaml"].replace("above: 75", "above: 80")
    hot = next(rule for rule in world_of(tmp_path, files).rules if rule.id == "slot-hot")
    assert [limit.above for limit in hot.limits] == [55, 80]


def test_builtin_models_and_rules_beside_own_ones(tmp_path: Path) -> None:
    files = {
        "lilong.yaml": "broker: {host: x}\ndirectories: {rules: [builtin, rules], sites: []}\n",
        "rules/own.yaml": "rules: []\n",
    }
    assert {"cabinet-8", "shed-smoke"} <= world_of(tmp_path, files).models.keys()


def test_a_file_that_would_not_be_read_is_a_mistake(tmp_path: Path) -> None:
    (line,) = told(tmp_path, {**FILES, "rules/more.yml": "rules: []\n"})
    assert line.startswith("rules/more.yml:0: whole file: found a file named .yml")


def test_other_files_in_the_directories_are_left_alone(tmp_path: Path) -> None:
    """Manuals, an editor's swap files and backups lie beside the packs."""
    strangers = {"rules/README.md": "# x", "rules/.all.yaml.swp": b"\0", "rules/all.yaml~": "x: ["}
    assert told(tmp_path, {**FILES, **strangers}) == []


def test_a_broken_file_takes_no_names_with_it(tmp_path: Path) -> None:
    """Else every device of the street would be called unknown for one missing bracket."""
    files = {**FILES, "sites/places.yaml": "places: [", "sites/site.yaml": FILES["sites/site.yaml"]}
    assert len(told(tmp_path, files)) == 1


def test_mistakes_between_files_name_both(tmp_path: Path) -> None:
    files = {
        **FILES,
        "devices/my cabinet.yaml": FILES["devices/camera.yaml"],
        "sites/second.yaml": "ladders: {red: [{role: property, by: [inbox]}]}\nunits: [{id: firm, says: x}]",
    }
    assert told(tmp_path, files) == [  # as read: second.yaml before site.yaml
        'devices/my cabinet.yaml:1: whole file: found "my cabinet", expected an identifier '
        "(letters, digits, - _ . and at most 64 of them)",
        "sites/site.yaml:5: units[0].id: found unit firm a second time (first at second.yaml:2), "
        "expected each unit once",
        "sites/site.yaml:13: ladders.red: found ladder red a second time (first at second.yaml:1), "
        "expected each ladder once",
    ]


# ---------------------------------------------------------------- the manuals


MANUALS: dict[str, dict[str, Any]] = {
    "devices/README.md": {
        "The file": Model,
        "`codec`": Codec,
        "`wave`": Wave,
        "An entry of `fields`": Field,
        "An entry of `components`": Components,
        "An entry of `examples`": Example,
    },
    "rules/README.md": {
        "The file": PackKeys,
        "An entry of `rules`": RuleKeys,
        "An entry of `inhibited_by`": Cause,
        "`on`": SubjectKeys,
        "`during`": During,
        "An entry of `derive`": DeriveKeys,
        "`on` of a derived quantity": SourceKeys,
        "A level": LevelKeys,
        "`basis`": Basis,
        "`recurrence`": Recurrence,
        "An entry of `scenarios`": Scenario,
        "A device of a scenario": Actor,
    },
    "deploy/example/README.md": {
        "The file": ConfigKeys,
        "`directories`": Directories,
        "`broker`": BrokerConfig,
        "`influx`": InfluxConfig,
        "`archive`": ArchiveConfig,
        "`web`": WebKeys,
        "`web.intake`": IntakeConfig,
        "An entry of `outward`": OutwardKeys,
        "A catalogue": Catalogue,
        "`ask`": Ask,
        "An entry of `templates`": Template,
        "A site file": SiteKeys,
        "An entry of `places`": Place,
        "An entry of `units`": Unit,
        "An entry of `persons`": Person,
        "`leave`": Leave,
        "An entry of `posts`": Post,
        "An entry of `rotations`": Rotation,
        "`overrides`": Override,
        "A rung of `ladders`": Step,
        "An entry of `clocks`": ClockKeys,
        "An entry of `digests`": Digest,
        "An entry of `devices`": Device,
        "An entry of `calibrations`": CalibrationKeys,
        "An entry of `calendar`": DayKeys,
        "An entry of `maintenance`": MaintenanceKeys,
        "`baseline_period`": Period,
        "An entry of `tune`": TuneKeys,
        "A level of `tune`": SomeLevelKeys,
    },
}
TABLES = [(manual, heading) for manual, headings in MANUALS.items() for heading in headings]


@pytest.mark.parametrize(("manual", "heading"), TABLES)
def test_a_manual_lists_exactly_the_keys_there_are(manual: str, heading: str) -> None:
    rows = table(manual, heading)
    keys = [key for key in keys_of(MANUALS[manual][heading]) if not key.rest and key.key != "id"]
    assert sorted(rows.keys() - {"id", "*a quantity*"}) == sorted(key.key for key in keys)
    for key in keys:
        assert key.required == rows[key.key].endswith("required"), f"{key.key} is required: {key.required}"


def table(manual: str, heading: str) -> dict[str, str]:
    """First column -> second, of the table under a heading."""
    text = (ROOT / manual).read_text("utf-8")
    section = text.split(f"\n### {heading}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| ([^|]+?) \| (.+) \|$", section, re.MULTILINE)
    return {key.strip("`"): meaning for key, meaning in rows if key not in ("key", "---")}


def test_the_manual_lists_the_quantities_and_codes() -> None:
    text = (ROOT / "devices/README.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (\S+) … (\S+) \| (.+), (.+) \|$", text.split("## Quantities")[1], re.MULTILINE
    )
    known = [(q.name, f"{q.low:g}", f"{q.high:g}", q.says, q.english) for q in QUANTITIES.values()]
    assert rows == known
    codes = re.findall(r"`(\w+)`", text.split("## Error codes")[1].split("## Quantities")[0])
    assert set(Refusal) <= set(codes)


def test_the_manual_tells_which_codec_uses_which_keys() -> None:
    text = (ROOT / "devices/README.md").read_text("utf-8").split("### Which codec uses which keys")[1]
    said = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| ?(.*)\|$", text.split("\n## ")[0], re.MULTILINE)
    cells = {kind: [set(re.findall(r"`(\w+)`", cell)) for cell in row] for kind, *row in said}
    assert cells == {kind: [set(k.codec), set(k.field), set(k.components)] for kind, k in KEYS.items()}
    bold = {kind: {key for cell in row for key in re.findall(r"\*\*`(\w+)`", cell)} for kind, *row in said}
    assert bold == {kind: {need.split(".")[1] for need in k.needs} for kind, k in KEYS.items()}
    assert set(re.findall(r"`(\w+)`", text.split("Every field has")[1].split("\n")[0])) == COMMON
    assert KEYS.keys() <= CODECS.keys()


def test_the_manual_lists_the_types() -> None:
    said = table("devices/README.md", "An entry of `fields`")["type"].split(" with ")[0]
    kinds = [word for word in re.findall(r"`(\w+)`", said)]
    assert {
        kind if kind.endswith("8") else f"{kind}{order}" for kind in kinds for order in ("le", "be")
    } == set(TYPES)


def snippets(manual: str) -> list[str]:
    text = (ROOT / manual).read_text("utf-8")
    return [
        textwrap.dedent(body)
        for body in re.findall(r"^ *```yaml\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    ]


def test_the_model_and_the_rule_of_the_manuals_work_as_printed(tmp_path: Path) -> None:
    """The five minutes of a newcomer: both pass `check`, the example decodes, the scenario comes true."""
    (model,), (pack,) = snippets("devices/README.md"), snippets("rules/README.md")
    files = {
        "lilong.yaml": EXAMPLE.read_text("utf-8")
        .replace("devices: [builtin]", "devices: [builtin, devices]")
        .replace("rules: [builtin]", "rules: [builtin, rules]"),
        "devices/door-sensor.yaml": model,
        "rules/my-street.yaml": pack,
    }
    files |= {f"sites/{path.name}": path.read_text("utf-8") for path in EXAMPLE.parent.glob("sites/*.yaml")}
    found = load(write(tmp_path, files), "en", environ={})
    assert found.problems == [] and found.world is not None
    door = found.world.models["door-sensor"]
    device = Device(id="example", model="door-sensor", at="", topic=EXAMPLE_TOPIC)
    decoder = Decoder(dataclasses.replace(found.world, devices={"example": device}))
    reading = decoder.decode(Message(EXAMPLE_TOPIC, door.examples[0].payload.encode()), RECEIVED_NS)[0]
    assert reading.values == {"door_open": 1.0, "battery_pct": 71.0}
    scenario = next(one for one in found.world.scenarios if one.rule == "slot-warm")
    rule = next(one for one in found.world.rules if one.id == "slot-warm")
    assert scenarios.missed(scenario, scenarios.run(scenario, rule)) == ""
