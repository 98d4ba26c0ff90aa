"""JSON Schemas for editors: every file that we ship fits its schema, and a misspelt key does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest

from gateway import yamlfile
from gateway.problems import Problems
from gateway.schema import FILES, _Making, schema_of
from gateway.typed import between
from tests.unit.config_files import FILES as SOUND

ROOT = Path(__file__).parents[2]
SITES = [*ROOT.glob("deploy/example/sites/*.yaml"), *ROOT.glob("simulators/site/*.yaml")]
SHIPPED = [
    *(("model", path) for path in sorted(ROOT.glob("devices/*.yaml"))),
    *(("rules", path) for path in sorted(ROOT.glob("rules/*.yaml"))),
    *(("site", path) for path in sorted(SITES)),
    ("config", ROOT / "deploy/example/lilong.yaml"),
    ("catalogue", ROOT / "deploy/example/city.yaml"),
]  # fmt: skip
KEYWORDS = {
    "$schema", "title", "definitions", "description", "$ref", "type", "enum", "pattern", "properties",
    "required", "additionalProperties", "patternProperties", "propertyNames", "items", "anyOf", "minimum",
    "maximum",
}  # fmt: skip
TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: type(v) is int,
    "number": lambda v: type(v) in (int, float),
    "boolean": lambda v: isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}


def misfits(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "") -> list[str]:
    """Why a value does not fit: the part of JSON Schema that ours use, as its draft 7 says."""
    assert schema.keys() <= KEYWORDS, schema.keys() - KEYWORDS
    if "$ref" in schema:
        return misfits(value, root["definitions"][schema["$ref"].rpartition("/")[2]], root, where)
    if "anyOf" in schema:
        return (
            []
            if any(not misfits(value, one, root) for one in schema["anyOf"])
            else [f"{where}: none of anyOf"]
        )
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(TYPES[name](value) for name in wanted):
        return [f"{where}: {value!r} is no {wanted}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum'][:5]}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{where}: {value!r} is not {schema['pattern']}")
    if type(value) in (int, float) and not schema.get("minimum", value) <= value <= schema.get(
        "maximum", value
    ):
        found.append(f"{where}: {value!r} is out of bounds")
    if isinstance(value, list):
        found += [
            why
            for n, one in enumerate(value)
            for why in misfits(one, schema.get("items", {}), root, f"{where}[{n}]")
        ]
    if isinstance(value, dict):
        found += _misfits_of_object(value, schema, root, where)
    return found


def _misfits_of_object(value: dict, schema: dict[str, Any], root: dict[str, Any], where: str) -> list[str]:
    found = [f"{where}: no {name}" for name in schema.get("required", ()) if name not in value]
    known = schema.get("properties", {})
    for name, one in value.items():
        found += misfits(name, schema.get("propertyNames", {}), root, f"{where}.{name}")
        more = schema.get("additionalProperties", {})
        alike = next((p for p in schema.get("patternProperties", {}) if re.search(p, name)), "")
        if name in known:
            found += misfits(one, known[name], root, f"{where}.{name}")
        elif alike:
            found += misfits(one, schema["patternProperties"][alike], root, f"{where}.{name}")
        elif more is False:
            found.append(f"{where}: unknown {name}")
        else:
            found += misfits(one, more, root, f"{where}.{name}")
    return found


def plain(node: yamlfile.Node | None) -> Any:
    if isinstance(node, yamlfile.Map):
        return {name: plain(value) for name, (_, value) in node.entries.items()}
    if isinstance(node, yamlfile.List):
        return [plain(item) for item in node.items]
    assert isinstance(node, yamlfile.Scalar)
    return node.value


def of_text(text: str) -> Any:
    return plain(yamlfile.parse(text.encode(), Problems(), "x"))


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=lambda one: getattr(one, "name", one))
def test_every_shipped_file_fits(kind: str, path: Path) -> None:
    schema = schema_of(kind)
    assert misfits(of_text(path.read_text("utf-8")), schema, schema) == []


def test_enough_is_shipped_to_show_anything() -> None:
    assert {kind for kind, _ in SHIPPED} == set(FILES) and len(SHIPPED) > 12


KIND_OF = {
    "devices/cabinet.yaml": "model",
    "rules/all.yaml": "rules",
    "sites/site.yaml": "site",
    "lilong.yaml": "config",
}
SPOILS = [
    ("devices/cabinet.yaml", "scene:", "sceen:", "unknown sceen"),
    ("devices/cabinet.yaml", "quantity: smoke,", "quantity: smoek,", "'smoek' is none of"),
    ("devices/cabinet.yaml", "kind: json", "kind: jsn", "'jsn' is none of"),
    ("devices/cabinet.yaml", "count: 8", "count: 800", "800 is out of bounds"),
    ("devices/cabinet.yaml", "required: true", "required: yes", "'yes' is no ['boolean']"),
    ("devices/cabinet.yaml", "source: invented\n", "", "no source"),
    ("devices/cabinet.yaml", "expect_every: 30s", "expect_every: 30", "30 is no ['string']"),
    ("devices/cabinet.yaml", "expect_every: 30s", "expect_every: 30 s", "'30 s' is not"),
    ("rules/all.yaml", "{orange: {absent: 5m}}", "{purple: {absent: 5m}}", "'purple' is none of"),
    ("rules/all.yaml", "when: bag_on_floor", "when: bag_on_flor", "none of anyOf"),
    ("rules/all.yaml", "slot_temperature_c: 40", "slot_temprature_c: 40", "unknown slot_temprature_c"),
    ("sites/site.yaml", 'drop_off: ["06:30-08:30"]', 'drop_off: ["6:30-08:30"]', "'6:30-08:30' is not"),
    ("sites/site.yaml", "model: cabinet,", "modle: cabinet,", "unknown modle"),
    ("lilong.yaml", "  host: 127.0.0.1", "  hots: 127.0.0.1", "unknown hots"),
]  # fmt: skip


@pytest.mark.parametrize("file", KIND_OF)
def test_the_sound_files_fit(file: str) -> None:
    schema = schema_of(KIND_OF[file])
    assert misfits(of_text(SOUND[file]), schema, schema) == []


@pytest.mark.parametrize(("file", "old", "new", "why"), SPOILS)
def test_a_slip_does_not_fit(file: str, old: str, new: str, why: str) -> None:
    assert SOUND[file].count(old) == 1
    schema = schema_of(KIND_OF[file])
    found = misfits(of_text(SOUND[file].replace(old, new)), schema, schema)
    assert any(why in one for one in found), found


def test_what_belongs_there_is_told_in_the_readers_language() -> None:
    durations = [
        schema_of("model", locale)["properties"]["lateness"]["description"] for locale in ("zh", "en")
    ]
    assert durations[0].startswith("大于零的时长") and durations[1].startswith("a duration above zero")


def test_a_key_that_stands_for_a_number_is_a_text() -> None:
    making = _Making("en")
    schema = making.of(Mapping[Annotated[int, between(0, 9)], str])
    assert misfits({"7": "x"}, schema, schema) == []
    assert misfits({"seven": "x"}, schema, schema) and misfits({"7": 1}, schema, schema)
