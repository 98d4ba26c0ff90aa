"""What `lilong test` says of the scenarios: how much of each rule they show, and why one failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gateway.core.model import Basis, Level, Limit, Rule, Scenario
from gateway.series import parse_expectation, parse_series
from gateway.tuning import coverage, report, scenarios
from gateway.tuning.scenarios import Played
from tests.unit.config_files import FILES, spoiled, write

YELLOW, RED = Level.YELLOW, Level.RED
HOT = Rule(
    id="hot", says="热", scene="cabinet", quantity="temperature_c", action="看",
    limits=(Limit(level=YELLOW, above=50, hold_s=90), Limit(level=RED, above=80)),
    basis=Basis(text="缺省值", confidence="D"), clear_hold_s=60,
)  # fmt: skip
SILENT = replace(HOT, id="silent", quantity="", limits=(Limit(level=YELLOW, absent_s=300),))
SMOKE = replace(HOT, id="smoke", quantity="smoke", limits=(Limit(level=RED, above=0.5),))
BELOW = replace(HOT, id="low", limits=(Limit(level=YELLOW, below=20),))


def played(rule: Rule, text: str, *expect: str, **given: Any) -> Played:
    """A scenario of one-minute steps."""
    series = {rule.quantity or "temperature_c": parse_series(text)}
    wanted = tuple(map(parse_expectation, expect))
    one = Scenario(name="x", rule=rule.id, every_s=60, series=series, expect=wanted, **given)
    return scenarios.play(one, rule)


def shown(rule: Rule, *texts: str) -> dict[str, set[str]]:
    """What these series show of each level; each expects what happens in it."""
    plays = []
    for text in texts:
        found = played(rule, text).found
        plays.append(played(rule, text, *(f"{one.what} @ {one.after_s:g}s" for one in found)))
        assert not plays[-1].missed
    return {one.level.word: set(coverage.WAYS) - set(one.missing) for one in coverage.cover([rule], plays)}


# ---------------------------------------------------------------- what counts


@pytest.mark.parametrize(
    ("text", "yellow", "red"),
    [
        ("30x5", set(), set()),
        ("39x5", set(), set()),
        ("40x5", {"not_raised"}, set()),  # within a fifth of the limit
        ("60 30x5", {"not_raised"}, set()),  # shorter than its hold
        ("60x5", {"raised"}, {"not_raised"}),  # the lower level stands
        ("60x5 30x5", {"raised", "cleared"}, {"not_raised"}),
        ("90 30x5", {"not_raised"}, {"raised", "cleared"}),
        ("90 60x4", {"raised"}, {"raised", "cleared"}),  # left downward
        ("60x3 90 30x5", {"raised", "cleared"}, {"raised", "cleared"}),
        ("60x3 90", {"raised"}, {"raised"}),
    ],
)
def test_a_level_is_raised_cleared_or_left_alone(text: str, yellow: set[str], red: set[str]) -> None:
    assert shown(HOT, text) == {"yellow": yellow, "red": red}


def test_what_one_scenario_does_not_show_another_may() -> None:
    assert shown(HOT, "60 30x5", "60x3 90 30x5") == {
        "yellow": {"raised", "cleared", "not_raised"},
        "red": {"raised", "cleared"},
    }


def test_near_is_another_thing_for_silence_states_and_what_falls() -> None:
    assert shown(SILENT, "1 gapx3 1x5") == {"yellow": {"not_raised"}}
    assert shown(SILENT, "1 gapx2 1x5") == {"yellow": set()}
    assert shown(SMOKE, "0x5") == {"red": {"not_raised"}}
    assert shown(SMOKE, "gapx2 0") == {"red": {"not_raised"}}
    assert shown(BELOW, "24x3") == {"yellow": {"not_raised"}}
    assert shown(BELOW, "25x3") == {"yellow": set()}
    between = replace(HOT, limits=(Limit(level=YELLOW, inside=(50, 60), hold_s=900),))
    assert shown(between, "41x3") == shown(between, "71x3") == {"yellow": {"not_raised"}}
    assert shown(between, "39x3") == {"yellow": set()}
    held = replace(SMOKE, limits=(Limit(level=RED, above=0.5, hold_s=90),))
    assert shown(held, "0x5") == {"red": set()}, "a state with a hold must have been on for less"
    assert shown(held, "0x2 1 0x5") == {"red": {"not_raised"}}


def test_of_an_expression_the_engine_tells_whether_it_was_near() -> None:
    rule = replace(HOT, quantity="temperature_c - 1")
    one = Scenario(name="x", rule="hot", every_s=60, series={"temperature_c": (60.0,)}, expect=())
    plays = [Played(one, (), frozenset(near)) for near in ((), [("hot", YELLOW)])]
    missing = [[covered.missing for covered in coverage.cover([rule], [play])] for play in plays]
    assert missing[0] == [list(coverage.WAYS), ["raised", "cleared"]], "red waits for nothing"
    assert missing[1] == [["raised", "cleared"], ["raised", "cleared"]]


def test_a_scenario_that_fails_shows_nothing() -> None:
    (one, _) = coverage.cover([HOT], [played(HOT, "60x5", "yellow @ 2m")])
    assert one.missing == list(coverage.WAYS)


def test_the_share_is_of_all_there_is_to_show() -> None:
    assert coverage.share([]) == 100
    covered = coverage.cover([HOT], [played(HOT, "60x5", "yellow @ 90s")])
    assert coverage.share(covered) == pytest.approx(100 / 3)
    assert report.coverage_rows(covered) == [("", "yellow", "orange", "red"), ("hot", "✓--", "", "--✓")]


# ---------------------------------------------------------------- why one failed


def test_what_differs_stands_side_by_side_and_on_the_line_of_values() -> None:
    one = played(HOT, "40x2 60x3 gap dup 90 40..60/3", "yellow @ 2m", "red @ 7m", "red @ 8m")
    assert report.side_by_side(one) == [
        ("yellow @ 2m", "-"),
        ("-", "yellow @ 3m30s"),
        ("red @ 7m", "red @ 7m"),
        ("red @ 8m", "-"),
        ("-", "clear @ 9m"),
    ]
    assert report.timeline(one) == ["temperature_c  ▁▁▃▃▃·=█▁▂▃  40 … 90", "                 ^ 2m"]


def test_a_long_series_is_shown_around_the_difference() -> None:
    values, mark = report.timeline(played(HOT, "40x200 60x5 40x200", "yellow @ 3h30m"))
    assert values.split()[1].count("▁") == 11 + 9 and mark.endswith("            ^ 3h21m")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (90061, "1d1h1m1s"), (0.5, "0.5s"), (7200, "2h")]
)
def test_a_span_is_written_as_it_is_read(seconds: float, text: str) -> None:
    assert report.spoken_span(seconds) == text


# ---------------------------------------------------------------- the command


def test_a_rule_or_a_name_picks_scenarios(run, folder: Path) -> None:
    assert "1 passed" in run("test", "--rule", "slot-hot").output
    assert run("test", "--rule", "bag").exit_code == 1
    ran = run("test", "--name", "CLIMB")
    assert "1 passed" in ran.output and "\nbag" not in ran.output and "\nslot-hot  ✓" in ran.output


def test_too_little_coverage_fails(run, folder: Path) -> None:
    assert run("test", "--coverage-min", "13").exit_code == 0
    ran = run("test", "--coverage-min", "14")
    assert ran.exit_code == 1 and ran.stderr == "coverage is below 14 %\n"
    assert run("test", "--coverage-min", "101").exit_code == 2


def test_machines_read_json_and_junit(run, folder: Path) -> None:
    write(folder, spoiled("rules/all.yaml", "yellow @ 1m30s", "yellow @ 1m"))
    ran = run("test", "--json", "--junit", str(folder / "report.xml"))
    told = json.loads(ran.output)
    assert ran.exit_code == 1 and (told["passed"], told["failed"]) == (3, 1)
    assert told["trials"][-1] | {"took_s": 0} == {
        "name": "slot-hot: climbs", "file": str(folder / "rules/all.yaml"), "line": 37, "ok": False,
        "reason": "found [yellow @ 90s], expected [yellow @ 60s]", "took_s": 0,
    }  # fmt: skip
    assert told["coverage"]["levels"][0] == {
        "rule": "slot-hot", "level": "yellow", "raised": "", "cleared": "", "not_raised": "",
    }  # fmt: skip
    suites = ElementTree.parse(folder / "report.xml").getroot()
    assert [(one.get("tests"), one.get("failures")) for one in suites] == [("2", "0"), ("1", "0"), ("1", "1")]
    (failure,) = suites.iter("failure")
    assert "yellow @ 1m | -" in str(failure.text) and "^ 1m" in str(failure.text)


def test_a_failure_shows_both_sides(run, folder: Path) -> None:
    write(folder, spoiled("rules/all.yaml", "yellow @ 1m30s", "yellow @ 1m"))
    lines = run("test").output.splitlines()
    assert "     expected     found" in lines and "     yellow @ 1m  -" in lines


def test_a_bare_folder_of_packs_needs_no_lilong_yaml(run, folder: Path) -> None:
    """The models beside it are found too: slots of the test's own cabinet are no builtin."""
    ran = run("test", str(folder / "rules"), config=False)
    assert "ok   slot-hot: climbs" in ran.output and "coverage" in ran.output and ran.exit_code == 0
    assert "example" not in ran.output
    ran = run("test", str(folder / "devices"), str(folder / "rules/all.yaml"), config=False)
    assert "4 passed, 0 failed" in ran.output
    ran = run("test", str(folder / "sites"), config=False)
    assert ran.exit_code == 1 and "no scenario or example" in ran.stderr


def test_a_folder_outside_the_site_is_taken_as_it_lies(run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, FILES)
    assert "1 passed, 0 failed" in run("test", str(other / "rules")).output


def test_mistakes_of_a_bare_folder_are_told(run, folder: Path) -> None:
    write(folder, spoiled("rules/all.yaml", "yellow @ 1m30s", "purple @ 1m"))
    ran = run("test", str(folder / "rules"), config=False)
    assert ran.exit_code == 1 and "expect[0]" in ran.stderr
    write(folder, {"rules/all.yaml": "rules: ["})
    assert run("test", str(folder / "rules"), config=False).exit_code == 1
