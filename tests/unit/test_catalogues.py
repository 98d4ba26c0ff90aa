"""Catalogue files: what is wrong in one is told, and which rules the city would never hear of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from gateway import catalogues
from gateway.config import load
from gateway.core.catalogue import Catalogue, differs, record_of
from gateway.core.changes import Line, change_at, facts, told
from gateway.core.model import Case, Entry, Level, Stage
from gateway.problems import Problems
from gateway.typed import Builder
from tests.unit.config_files import FILES, write
from tests.unit.worlds import HOT, SMOKE, START_NS, world

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example"
OUTWARD = """
outward:
  hub: {url: "https://hub.example/in", secret_file: hub-secret}
  city: {url: "https://city.example/cases", secret_file: city-secret, catalogue: city.yaml}
"""
CITY = """\
says: 目录
fields: {eventId: case, status: stage, code: code}
codes: {cabinet: "01", waste: "02"}
"""
# (what is there, what is put in its place, the beginnings of all that must be told)
MISTAKES = [
    ("status: stage, ", "", ["city.yaml:2: fields: found fields without stage,"]),
    ("status: stage", "status: stagge", [
        "city.yaml:2: fields.status: found the unknown fact stagge, expected one of",
        "city.yaml:2: fields: found fields without stage,",
    ]),
    ("says: 目录", "says: 目录\nstages: {done: '9'}", ["city.yaml:2: stages.done: found the unknown stage"]),
    ("says: 目录", "says: 目录\nlevels: {blue: '9'}", ["city.yaml:2: levels.blue: found the unknown level"]),
    ("says: 目录", "says: 目录\nkodes: {}", ["city.yaml:2: kodes: found the unknown key kodes,"]),
    ('"01"', "01", ["city.yaml:3: codes.cabinet: found 01, which begins with a zero,"]),
    (": city.yaml", ": none.yaml", ["none.yaml:0: whole file: found a file that cannot be read"]),
    (": hub-secret", ': x, secret: "abc"', ["lilong.yaml:10: outward.hub.secret: found a secret"]),
    ("hub.example/in", "hub.example/in?key=abc", ["lilong.yaml:10: outward.hub.url: found an address"]),
    (": hub-secret", ": x, ask_url: 'https://h'", ["lilong.yaml:10: outward.hub.ask_url: found"]),
    (": city.yaml", ": city.yaml, reconcile_at: '25:00'", ["lilong.yaml:11: outward.city.reconcile_at: f"]),
    (": city.yaml", ": city.yaml, look_back_days: 0", ["lilong.yaml:11: outward.city.look_back_days: f"]),
    ("https://hub", "ftp://hub", ["lilong.yaml:10: outward.hub.url: found"]),
]  # fmt: skip


def checked(folder: Path, outward: str, city: str):
    write(folder, {**FILES, "lilong.yaml": FILES["lilong.yaml"].rstrip("\n") + outward, "city.yaml": city})
    return load(folder / "lilong.yaml", "en", environ={}, lint=True)


@pytest.mark.parametrize(("there", "instead", "expected"), MISTAKES)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, there: str, instead: str, expected: list[str]
) -> None:
    loaded = checked(tmp_path, OUTWARD.replace(there, instead), CITY.replace(there, instead))
    found = sorted(str(one).removeprefix(f"{tmp_path}/") for one in loaded.problems)
    assert len(found) == len(expected), found
    for line, beginning in zip(found, sorted(expected), strict=True):
        assert line.startswith(beginning)


def test_sound_files_make_a_configuration(tmp_path: Path) -> None:
    found = checked(tmp_path, OUTWARD, CITY)
    assert found.problems == [] and found.config and found.world
    hub, city = found.config.outward["hub"], found.config.outward["city"]
    assert hub.catalogue is None and hub.secret_file == tmp_path / "hub-secret"
    assert city.catalogue and city.ask_url == city.url and city.look_back_days == 30


def test_rules_without_a_code_and_codes_for_nothing_are_warnings(tmp_path: Path) -> None:
    city = CITY.replace('waste: "02"', 'bag: "02", bagg: "03"') + "not_theirs: [lean, leen]\n"
    found = checked(tmp_path, OUTWARD, city.replace('cabinet: "01", ', ""))
    said = {f"{one.code} {one.path}: {one.found}" for one in found.warnings if one.code in ("W301", "W302")}
    assert said == {
        "W301 codes: the rule slot-hot, for which the catalogue has no code",
        "W301 codes: the rule silent, for which the catalogue has no code",
        "W302 codes.bagg: bagg, which is no rule or scene of the site",
        "W302 not_theirs[1]: leen, which is no rule or scene of the site",
    }


def test_the_example_maps_every_rule_that_is_shipped() -> None:
    problems = Problems("en")
    builder = Builder(problems)
    catalogue = catalogues.read(EXAMPLE / "city.yaml", builder)
    site = load(EXAMPLE / "lilong.yaml", "en").world
    assert catalogue and site
    catalogues.lint(catalogue, site, builder)
    assert problems.listed() == [] and problems.warnings() == []
    assert set(catalogue.stages) == set(Stage), "none is told in our own words"


# ---------------------------------------------------------------- what is told

CASE = Case(
    id="01C", alerts=("01A",), device="cab-1", component="slot-3", place="yard", rule="slot-hot",
    level=Level.RED, stage=Stage.CLOSED, opened_ns=START_NS, changed_ns=START_NS,
)  # fmt: skip
WHAT = ("found", "yellow", "sent", "orange", "sent", "acknowledged", "note")
LINES = [
    Line(10 + 3 * n, Entry(case="01C", wall_ns=START_NS + n * 10**9, what=what))
    for n, what in enumerate(WHAT)
]


def test_a_change_says_what_was_so_then() -> None:
    """Not the level and stage that the case has by now."""
    found = [change_at(CASE, LINES, line.seq) for line in LINES]
    assert [one.stage.value for one in found] == [
        "found", "found", "sent", "found", "sent", "acknowledged", "acknowledged",
    ]  # fmt: skip
    assert [one.level for one in found] == [Level.YELLOW] * 3 + [Level.ORANGE] * 4
    assert [one.before for one in found] == [0, 10, 13, 16, 19, 22, 25]
    assert found[-1].stage_ns == START_NS + 5 * 10**9 and found[-1].key == "01C:28"
    assert all(change_at(CASE, LINES[: n + 1], one.seq) == one for n, one in enumerate(found) if n)


def test_the_facts_name_no_person() -> None:
    change = change_at(CASE, LINES, 28)
    found = facts(change, world(rules=(HOT,)))
    assert found["title"] == "充电仓过热" and found["address"] == "向阳小区（枫林街道）"
    assert told(change, world())["drill"] is False
    drill = change_at(structs.replace(CASE, drill=True), LINES, 28)
    assert told(drill, world())["drill"] is True
    assert not {"wang", "王经理"} & set(found.values()) and told(change, world())["seq"] == 28


def test_a_code_is_the_rules_own_or_that_of_its_scene() -> None:
    catalogue = Catalogue(says="x", fields={"id": "case", "s": "stage", "c": "code"}, codes={"cabinet": "1"})
    change, here = change_at(CASE, LINES, 28), world(rules=(HOT, SMOKE))
    assert record_of(catalogue, change, here) == {"id": "01C", "s": "acknowledged", "c": "1"}
    own = replace(catalogue, codes={"cabinet": "1", "slot-hot": "2"})
    assert (record_of(own, change, here) or {})["c"] == "2"
    assert record_of(replace(catalogue, not_theirs=("slot-hot",)), change, here) is None
    assert record_of(replace(catalogue, not_theirs=("cabinet",)), change, here) is None
    assert record_of(replace(own, not_theirs=("cabinet",)), change, here) is not None, (
        "its own code outweighs"
    )
    assert record_of(replace(catalogue, codes={"lift": "3"}), change, here) is None
    assert record_of(catalogue, change, world(rules=())) is None, "a rule that is gone, and of no scene"


def test_a_platform_may_leave_fields_out_and_write_numbers() -> None:
    assert not differs({"id": "1", "s": "2", "t": "x"}, {"id": "1", "s": 2})
    assert differs({"id": "1", "s": "2"}, {"id": "1", "s": "3"})
