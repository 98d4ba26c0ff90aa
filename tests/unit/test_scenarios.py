"""What a scenario can say and expect: each fault word does to the engine what it does on the street."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.model import Actor, Basis, Level, Limit, Rule, Sample, Scenario, World
from gateway.schema import schema_of
from gateway.series import UNSET, parse_act, parse_expectation, parse_link, parse_series, parse_subject
from gateway.tuning import playing, scenarios
from gateway.typed import Misread
from tests.unit.config_files import loaded, spoiled, told

HOT = Rule(
    id="hot", says="热", scene="cabinet", quantity="temperature_c", action="看",
    limits=(Limit(level=Level.YELLOW, above=50, hold_s=60), Limit(level=Level.RED, above=70)),
    basis=Basis(text="缺省值", confidence="D"), clear_hold_s=60,
)  # fmt: skip
SLOT = Rule(
    id="slot", says="仓热", scene="cabinet", each="slot", quantity="slot_temperature_c", action="看",
    limits=(Limit(level=Level.YELLOW, above=50),), basis=HOT.basis, clear_hold_s=60,
)  # fmt: skip
SILENT = Rule(
    id="silent", says="失联", scene="cabinet", quantity="", action="看",
    limits=(Limit(level=Level.YELLOW, absent_s=300),), basis=HOT.basis, clear_hold_s=60,
)  # fmt: skip


def found(*rules: Rule, expect: str = "", **given: Any) -> list[str]:
    """What happens in a scenario of one-minute steps, until its end or the instant of `expect`."""
    series = {key.replace("__", "."): parse_series(text) for key, text in given.pop("series").items()}
    scenario = Scenario(
        name="x", rules=tuple(rule.id for rule in rules), every_s=60, series=series,
        expect=(parse_expectation(expect),) if expect else (), **given,
    )  # fmt: skip
    played = scenarios.play(scenario, *rules)
    return [played.line(one) for one in played.found]


def hot(series: str, **given: Any) -> list[str]:
    return found(HOT, series={"temperature_c": series}, **given)


# ---------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("40 56x2 gap -x2", (40, 56, 56, None, None, None)),
        ("gapx2 40", (None, None, 40)),
        ("40..43/4", (40, 41, 42, 43)),
        ("1..-1/3 stuckx2", (1, 0, -1, -1, -1)),
        ("76~10m 5x2~1m30s", (Sample(76, late_s=600), *[Sample(5, late_s=90)] * 2)),
        ("0..1/2~5s", (Sample(0, late_s=5), Sample(1, late_s=5))),
        ("7 stuck~1m", (7, Sample(7, late_s=60))),
        ("40 dupx2", (40, Sample(again=True), Sample(again=True))),
        ("40 skew+8h 41x2", (40, Sample(41, skew_s=28800), 41)),
        ("skew-90s 4~1m", (Sample(4, late_s=60, skew_s=-90),)),
        ("skew1970 gap 4", (Sample(None, skew_s=UNSET), 4)),
    ],
)
def test_a_series_is_read_as_it_is_said(written: str, said: object) -> None:
    assert parse_series(written) == said


@pytest.mark.parametrize(
    ("written", "word", "column"),
    [
        ("40 56*4", "56*4", 4),
        ("40  late", "late", 5),
        ("stuck", "stuck", 1),
        ("gap dup", "dup", 5),
        ("gap~1m", "gap~1m", 1),
        ("4 dup~1m", "dup~1m", 3),
        ("40 76~10", "76~10", 4),
        ("40 76~0s", "76~0s", 4),
        ("1..2", "1..2", 1),
        ("1..2/1", "1..2/1", 1),
        ("1..2/3x2", "1..2/3x2", 1),
        ("40 skew8h 4", "skew8h", 4),
        ("40 skew+8h", "skew+8h", 4),
    ],
)
def test_a_word_that_is_none_is_shown_with_its_column(written: str, word: str, column: int) -> None:
    with pytest.raises(Misread, match=f'^"{word.replace("*", ".").replace("+", ".")}" at column {column}$'):
        parse_series(written)


def test_a_series_cannot_be_made_endless_by_a_few_words() -> None:
    assert len(parse_series("1x99999 2")) == 100_000
    for written in ("1x99999 2x2", "0..1/100001", "1x50001 stuckx50000"):
        with pytest.raises(Misread):
            parse_series(written)


def test_the_subject_of_a_series_has_up_to_three_parts() -> None:
    assert parse_subject("smoke") == ("", "", "smoke")
    assert parse_subject("slot-2/slot_temperature_c") == ("", "slot-2", "slot_temperature_c")
    assert parse_subject("b.slot-12/slot_temperature_c") == ("b", "slot-12", "slot_temperature_c")


def test_moments_are_a_word_and_an_instant() -> None:
    assert parse_expectation("slot-hot  b.slot-2 red @ 9m") == ("slot-hot b.slot-2 red", 540)
    assert parse_act("acknowledge@5m") == ("acknowledge", 300)
    assert parse_link("down @ 5m") == ("down", 300)
    for parse, wrong in (
        (parse_expectation, "a b c red @ 9m"),
        (parse_expectation, "red hot @ 9m"),
        (parse_act, "sleep @ 5m"),
        (parse_link, "left @ 5m"),
        (parse_link, "down"),
    ):
        with pytest.raises(ValueError):
            parse(wrong)


# ---------------------------------------------------------------- what the faults do


def test_a_late_value_counts_from_when_it_was_measured() -> None:
    assert hot("40 60 60 60 40x3") == ["yellow @ 120s", "clear @ 300s"]
    assert hot("40 60 gapx6 60", expect="yellow @ 8m") == ["yellow @ 120s"]
    assert hot("40 60~3m gapx6", expect="yellow @ 8m") == ["yellow @ 242s"], (
        "2 s for a word that takes it back"
    )


def test_a_very_late_value_is_not_judged() -> None:
    assert hot("40 80 40x30") == ["red @ 60s", "clear @ 180s"]
    assert hot("40 80~20m 40x30") == []


def test_a_message_said_again_is_a_sign_of_life_and_no_second_value() -> None:
    assert hot("40x2 80 dupx8 40x4") == ["red @ 120s", "clear @ 720s"]
    assert found(SILENT, series={"temperature_c": "40 dupx10"}) == []
    assert found(SILENT, series={"temperature_c": "40 gapx10"}) == ["yellow @ 300s"]


def test_a_repeat_is_made_of_the_very_bytes() -> None:
    scenario = Scenario(
        name="x", rule="hot", every_s=60, series={"temperature_c": parse_series("40 dup 41")}, expect=()
    )
    sent = [e.items[0].payload for e in playing.events(scenario, [HOT], "UTC") if hasattr(e, "items")]
    assert sent[0] == sent[1] != sent[2] and len(sent) == 3


def test_a_wrong_clock_is_corrected_after_three_messages() -> None:
    """Behind by eight hours: late until the constant error is known, then judged again."""
    assert hot("40 80 40x3")[0] == "red @ 60s"
    assert hot("skew-8h 80x2 40x8") == []
    assert hot("skew-8h 80x9")[0] == "red @ 120s"
    assert hot("skew1970 80x9")[0] == "red @ 120s"
    assert hot("skew-8h 80x2 skew+0s 80x3")[0] == "red @ 120s"


def test_a_gap_is_silence_only_while_we_can_hear() -> None:
    series = {"temperature_c": "40x3 gapx10 40x3"}
    assert found(SILENT, series=series) == ["yellow @ 420s", "clear @ 840s"]
    assert found(SILENT, series=series, link=(("down", 150.0), ("up", 650.0))) == []


def test_what_is_said_while_the_link_is_down_comes_when_it_is_up() -> None:
    series = {"temperature_c": "40x2 60x9 40x5"}
    assert found(HOT, series=series)[0] == "yellow @ 180s"
    late = found(HOT, series=series, link=(("down", 90.0), ("up", 400.0)))
    assert late and all(float(line.partition("@ ")[2][:-1]) >= 400 for line in late)
    assert found(HOT, series=series, link=(("down", 90.0),)) == []


# ---------------------------------------------------------------- several of everything


def test_parts_and_devices_are_judged_each_on_its_own() -> None:
    assert found(SLOT, series={"slot_temperature_c": "40 60"}) == ["yellow @ 60s"]
    both = {"slot-1/slot_temperature_c": "40 60 40", "slot-3/slot_temperature_c": "40 40 60"}
    assert found(SLOT, series=both) == ["scenario.slot-1 yellow @ 60s", "scenario.slot-3 yellow @ 120s"]
    two = {"a__slot_temperature_c": "40 60", "b__slot-2/slot_temperature_c": "60 60"}
    assert found(SLOT, series=two) == ["b.slot-2 yellow @ 0s", "a.slot-1 yellow @ 60s"]


def test_several_rules_judge_each_its_own_quantity() -> None:
    series = {"temperature_c": "40 80", "slot_temperature_c": "60 60"}
    lines = found(HOT, SLOT, series=series)
    assert lines == ["slot scenario.slot-1 yellow @ 0s", "hot scenario red @ 60s"]


def test_a_device_may_be_of_another_scene() -> None:
    gateway = Rule(
        id="gw", says="x", scene="gateway", quantity="", action="x", basis=HOT.basis,
        limits=(Limit(level=Level.YELLOW, absent_s=120),),
    )  # fmt: skip
    series = {"temperature_c": "40x6", "g__frames_received": "1 gapx5"}
    lines = found(HOT, gateway, series=series, devices={"g": Actor(scene="gateway")})
    assert lines == ["gw yellow @ 120s"]


@pytest.mark.parametrize(
    ("expect", "fails"),
    [
        (["yellow @ 0s", "yellow @ 1m"], False),
        (["b.slot-2 yellow @ 0s", "slot a yellow @ 1m"], False),
        (["a yellow @ 0s", "b yellow @ 1m"], True),
        (["yellow @ 0s"], True),
        (["yellow @ 0s", "yellow @ 1m", "yellow @ 1m"], True),
        (["hot yellow @ 0s", "yellow @ 1m"], True),
    ],
)
def test_an_expectation_may_name_its_subject(expect: list[str], fails: bool) -> None:
    series = {"a.slot_temperature_c": (40.0, 60.0), "b.slot-2/slot_temperature_c": (60.0, 60.0)}
    wanted = tuple(map(parse_expectation, expect))
    one = Scenario(name="x", rule="slot", every_s=60, series=series, expect=wanted)
    assert bool(scenarios.play(one, SLOT).missed) == fails


def test_the_expectation_that_says_most_chooses_first() -> None:
    series = {"a.slot_temperature_c": (60.0, 60.0), "b.slot_temperature_c": (60.0, 60.0)}
    for expect in (["yellow @ 0s", "a yellow @ 0s"], ["b yellow @ 0s", "yellow @ 0s"]):
        wanted = tuple(map(parse_expectation, expect))
        one = Scenario(name="x", rule="slot", every_s=60, series=series, expect=wanted)
        assert scenarios.play(one, SLOT).missed == ""


# ---------------------------------------------------------------- people


def test_people_are_told_of_each_rise_and_only_asked_for_when_expected() -> None:
    assert hot("60x3 80 60 40x4") == ["yellow @ 60s", "red @ 180s", "yellow @ 300s", "clear @ 360s"]
    lines = hot("60x3 80 60 40x4", expect="told @ 1m")
    assert {"told @ 60s", "told @ 180s"} == {line for line in lines if "told" in line}


def test_a_rise_of_which_nobody_is_told_is_seen_too() -> None:
    """Red again after yellow: people know of the red."""
    lines = hot("80 60x4 80x2", expect="untold @ 5m")
    assert [line for line in lines if "told" in line] == ["told @ 0s", "untold @ 300s"]
    assert hot("80 60x4 80x2") == ["red @ 0s", "yellow @ 120s", "red @ 300s"]


def test_what_happens_after_the_last_step_does_not_turn_time_back() -> None:
    late = hot("80 40", acts=(("acknowledge", 30 * 86400.0),))
    assert late == ["red @ 0s", "clear @ 120s"]
    assert hot("80 40") == ["red @ 0s"], "while nothing else is expected it ends with its last step"


def test_an_unanswered_red_is_told_again_and_an_answered_one_is_not() -> None:
    told = [line for line in hot("80x40", expect="told @ 1m") if line.startswith("told")]
    assert told == ["told @ 0s", "told @ 900s", "told @ 1800s"]
    answered = hot("80x40", expect="told @ 1m", acts=(("acknowledge", 300.0),))
    assert [line for line in answered if line.startswith("told")] == ["told @ 0s"]


def test_done_while_it_is_still_bad_bounces() -> None:
    acts = (("acknowledge", 60.0), ("done", 120.0))
    assert "told @ 120s" in hot("80x10", expect="told @ 1m", acts=acts)


# ---------------------------------------------------------------- in a file


def test_a_scenario_with_all_of_it_is_read_kept_and_described(tmp_path: Path) -> None:
    """As the store keeps it and as an editor's schema knows it."""
    more = """    b.slot-2/slot_temperature_c: skew+8h 40 56x4~10m
    devices: {b: {labels: {street: a}}}
    acts: [acknowledge @ 1m]
    link: [down @ 1m, up @ 2m]
"""
    found = loaded(tmp_path, spoiled("rules/all.yaml", "    every: 30s\n", f"    every: 30s\n{more}"))
    assert found.world is not None, found.problems
    one = found.world.scenarios[0]
    assert one.series["b.slot-2/slot_temperature_c"] == (
        Sample(40, skew_s=28800),
        *[Sample(56, late_s=600)] * 4,
    )
    assert (one.acts, one.link) == ((("acknowledge", 60),), (("down", 60), ("up", 120)))
    assert one.devices == {"b": Actor(labels={"street": "a"})}
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(found.world), type=World)
    assert kept.scenarios == found.world.scenarios
    (pattern,) = schema_of("rules")["definitions"]["Scenario"]["patternProperties"]
    assert re.search(pattern, "b.slot-2/slot_temperature_c") and not re.search(pattern, "b.slot-2/heat")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("rule: slot-hot\n", "rules: [slot-hot, slot-hott]\n", "rules[1]: found the unknown rule slot-hott"),
        ("rule: slot-hot\n", "rule: slot-hot\n    rules: [bag]\n", "found rule beside rules"),
        ("    rule: slot-hot\n", "", "expected rule, or rules"),
        ("    every: 30s\n", "    every: 30s\n    devices: {b: {}}\n", "the device b, of which no series"),
        ("    every: 30s\n", "    every: 30s\n    acts: [sleep @ 5m]\n", "expected what a person does"),
        ("    every: 30s\n", "    every: 30s\n    link: [off @ 5m]\n", "expected what the connection does"),
        ("slot_temperature_c: 40", "slot-0/slot_temperature_c: 40", "the unknown key"),
    ],
)
def test_a_mistake_in_a_scenario_is_told(tmp_path: Path, old: str, new: str, says: str) -> None:
    mistakes = "\n".join(told(tmp_path, spoiled("rules/all.yaml", old, new)))
    assert says in mistakes, mistakes
