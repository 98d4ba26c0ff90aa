"""`lilong oncall`, `lilong route test`: who answers, which posts will be empty, whom an alert would reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway import doctor
from gateway.config import load
from gateway.terminal import instant
from tests.unit.config_files import FILES, write

PEOPLE = """\
persons:
  - {id: li, says: 李主任, unit: firm, reach: {inbox: li}}
  - id: an
    says: 安
    unit: firm
    reach: {inbox: an, hook: "13812345678"}
    leave: [{from: 2026-11-05, to: 2026-11-07}]
  - {id: bo, says: 博, unit: firm, reach: {inbox: bo}}
posts:
  - {role: duty, at: street, unit: firm, rotation: night, from: 2026-11-02, during: {inside: "20:00-08:00"}}
  - {role: duty, at: street, unit: firm, person: li, from: 2026-11-02}
rotations:
  - {id: night, members: [an, bo], from: 2026-11-02, handover: "20:00", turn: 1d}
ladders:
  cabinet.red:
    - {role: property, by: [inbox], copy: duty}
    - {role: duty, by: [hook, inbox], after: 2m}
quiet: {yellow: "22:00-07:00"}
supervisor: {role: duty, by: [inbox]}
"""


@pytest.fixture
def run(run, folder: Path):
    """A site of three who answer; the property firm ends with the year."""
    write(folder, {**FILES, "sites/duty.yaml": PEOPLE})
    return run


def test_who_is_on_duty_until_when_and_why(run) -> None:
    ran = run("oncall", "show", "--at", "2026-11-03T21:00", "--json")
    first, second = json.loads(ran.stdout)
    assert (first["place"], first["role"], first["person"], first["until"]) == (
        "street",
        "duty",
        "bo",
        "2026-11-04 08:00:00",
    )
    assert second["person"] == "wang" and second["until"] == ""
    assert first["why"] == "on duty as duty at street"


def test_at_a_place_it_is_what_counts_there(run) -> None:
    ran = run("oncall", "show", "--at", "2026-11-04T12:00", "--place", "street")
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["place", "role", "who", "until", "why"]
    assert len(lines) == 2 and lines[1].split()[:3] == ["street", "duty", "李主任"]
    assert run("oncall", "show", "--place", "nowhere").exit_code == 1


def test_gaps_of_a_fortnight_are_found_with_status_1(run) -> None:
    """安 is away for two days: the end of one night of hers and the beginning of another."""
    ran = run("oncall", "gaps", "--from", "2026-11-03T00:00", "--days", "14", "--json")
    assert ran.exit_code == 1
    assert [
        (one["from"], one["to"], one["role"], one["lack"], one["person"], one["instead"])
        for one in json.loads(ran.stdout)
    ] == [
        ("2026-11-05 00:00:00", "2026-11-05 08:00:00", "duty", "leave", "an", ""),
        ("2026-11-06 20:00:00", "2026-11-07 00:00:00", "duty", "leave", "an", ""),
    ]
    table = run("oncall", "gaps", "--from", "2026-11-03T00:00").stdout.splitlines()
    assert table[0].split() == ["from", "to", "place", "role", "why", "instead"]
    assert table[1].endswith("an is on leave, nobody stands in  nobody!")


def test_no_gap_is_status_0(run) -> None:
    ran = run("oncall", "gaps", "--from", "2026-11-10T00:00")
    assert (ran.exit_code, ran.stdout) == (0, "ok: no empty post in 14 days\n")


def test_the_end_of_the_firm_is_seen_beforehand(run) -> None:
    ran = run("oncall", "gaps", "--from", "2026-12-25T00:00", "--days", "10", "--json")
    (found,) = json.loads(ran.stdout)
    assert (found["from"], found["lack"], found["place"]) == ("2027-01-01 00:00:00", "vacant", "estate")


@pytest.mark.parametrize(("day", "ok"), [("2026-11-10", True), ("2026-12-20", False)])
def test_the_doctor_looks_a_fortnight_ahead(run, folder: Path, day, ok) -> None:
    world = load(folder / "lilong.yaml", "en", environ={}).world
    found = doctor._oncall(world, instant(f"{day}T12:00", "Asia/Shanghai"), doctor.Texts("en"))
    assert found.ok is ok and ("property @ estate" in found.detail) is not ok
    assert ok or "lilong oncall gaps" in found.hint


# ---------------------------------------------------------------- routes


def route(run, *words: str):
    return run("route", "test", "--device", "cab-1", "--rule", "slot-hot", *words)


def test_each_rung_with_person_channel_instant_and_reason(run) -> None:
    ran = route(run, "--level", "red", "--at", "2026-11-03T21:00", "--json")
    told = json.loads(ran.stdout)["told"]
    assert [(one["person"], one["copy"], one["after_s"], one["at"], list(one["by"])) for one in told] == [
        ("wang", False, 0, "2026-11-03 21:00:00", ["inbox"]),
        ("bo", True, 0, "2026-11-03 21:00:00", ["inbox"]),
        ("bo", False, 120, "2026-11-03 21:02:00", ["hook", "inbox"]),
    ]


def test_a_rung_asks_who_it_is_at_its_own_instant(run) -> None:
    """The shift ends between the two steps. A number is masked."""
    ran = route(run, "--at", "2026-11-04T19:59", "--json")
    last = json.loads(ran.stdout)["told"][-1]
    assert (last["person"], last["by"]) == ("an", {"hook": "138****5678", "inbox": "an"})


def test_an_empty_post_is_shown_with_its_reason(run) -> None:
    ran = route(run, "--at", "2026-11-06T22:00")
    last = ran.stdout.splitlines()[-1]
    assert last.split()[:4] == ["+120s", "2026-11-06", "22:02:00", "nobody"]
    assert last.endswith("duty at street empty: an is on leave, nobody stands in")


def test_quiet_hours_are_told_first(run) -> None:
    ran = route(run, "--level", "yellow", "--at", "2026-11-06T23:00")
    lines = ran.stdout.splitlines()
    assert lines[0] == "quiet hours: told 480 minutes later"
    assert lines[2].split()[:3] == ["+0s", "2026-11-07", "07:00:00"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--device", "cab-9", "--rule", "slot-hot"), "no device cab-9"),
        (("--device", "cab-1", "--rule", "hot"), "no rule hot"),
        (("--device", "cam-1", "--rule", "slot-hot"), "does not judge device cam-1"),
        (("--device", "cab-1", "--rule", "slot-hot", "--level", "orange"), "has no level orange"),
    ],
)
def test_a_question_without_an_answer(run, words, told) -> None:
    ran = run("route", "test", *words)
    assert ran.exit_code == 1 and told in str(ran.exception)
    assert run("route", "test", "--device", "cab-1").exit_code == 2


ROUTES = """\
routes:
  - {device: cab-1, rule: slot-hot, level: red, at: 2026-11-03T21:00, expect: [wang,copy:bo,bo@2m/hook/inbox]}
  - {device: cab-1, rule: slot-hot, level: yellow, at: 2026-11-03T12:00, expect: [%s]}
"""


@pytest.mark.parametrize(
    ("expect", "passes"),
    [
        ("wang@0s/inbox", True),
        ("li", False),
        ("wang@1s", False),
        ("wang/hook", False),
        ("copy:wang", False),
        ("wang, li", False),
        ("", False),
    ],
)
def test_many_are_compared_with_what_is_expected(run, folder: Path, expect, passes) -> None:
    (folder / "routes.yaml").write_text(ROUTES % expect, "utf-8")
    ran = run("route", "test", "--file", str(folder / "routes.yaml"))
    assert ran.exit_code == (0 if passes else 1)
    assert ran.stdout.splitlines()[0] == "ok   cab-1 slot-hot red @ 2026-11-03T21:00"
    assert ran.stdout.splitlines()[-1] == ("2 passed, 0 failed" if passes else "1 passed, 1 failed")
    if not passes:
        assert "found:    wang@0s/inbox" in ran.stdout and f"{folder / 'routes.yaml'}:3" in ran.stdout


def test_a_table_says_the_same(run, folder: Path) -> None:
    rows = "device,rule,level,at,expect\ncab-1,slot-hot,red,2026-11-03T21:00,wang copy:bo bo@2m/hook/inbox\n"
    (folder / "routes.csv").write_text(rows, "utf-8")
    ran = run("route", "test", "--file", str(folder / "routes.csv"), "--json")
    assert ran.exit_code == 0 and json.loads(ran.stdout)[0]["passed"] is True


def test_a_broken_file_passes_nothing(run, folder: Path) -> None:
    text = ROUTES.replace("slot-hot, level: yellow", "bag, level: yellow") % "wang@soon"
    (folder / "routes.yaml").write_text(text, "utf-8")
    ran = run("route", "test", "--file", str(folder / "routes.yaml"))
    assert (
        ran.exit_code == 1
        and 'routes[1].expect[0]: found "wang@soon", expected a person such as wang' in ran.stderr
    )
    (folder / "routes.yaml").write_text(text.replace("wang@soon", "wang"), "utf-8")
    ran = run("route", "test", "--file", str(folder / "routes.yaml"))
    assert (
        "routes[1].rule: found no yellow level of rule bag on device cab-1" in ran.stderr
        and "[L712]" in ran.stderr
    )


def test_a_rule_in_the_shadow_tells_nobody(run, folder: Path) -> None:
    text = FILES["rules/all.yaml"].replace(
        "    says: 充电仓过热\n", "    says: 充电仓过热\n    mode: shadow\n"
    )
    write(folder, {"rules/all.yaml": text})
    assert route(run, "--at", "2026-11-03T21:00").stdout == "tells nobody\n"
