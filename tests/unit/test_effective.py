"""A rule's numbers for one device: pack, site, class, place, device, each with the line of who set it."""

from __future__ import annotations

import gc
from dataclasses import replace

import msgspec
import pytest

from gateway.core.conditions import judge_for
from gateway.core.effective import NUMBERS, book_of, effective, provenance, rule_of
from gateway.core.model import Device, DoubleControl, Level, LevelTuning, Limit, Place, Rule, Tuning, World
from gateway.grammar import LIMIT_FIELDS, RULE_NUMBERS, LevelKeys, SomeLevelKeys
from gateway.tuning.facts import number_of
from gateway.typed import keys_of
from tests.unit.config_files import FILES, loaded
from tests.unit.worlds import HOT, SMOKE, Play, world

PLACES = {
    "street": Place(id="street", says="街道", kind="street"),
    "yard": Place(id="yard", says="小区", kind="compound", within="street"),
    "shed": Place(id="shed", says="车棚", kind="point", within="yard"),
}


def tuning(above: float | None = None, level: Level = Level.YELLOW, **more) -> Tuning:
    more.setdefault("levels", {level: LevelTuning(numbers={"above": above})} if above else {})
    return Tuning(**{"rule": "slot-hot", "because": "夏天", **more})


def site(*tunings: Tuning) -> World:
    """cab-1 in the shed of a yard, old and by the west wall; cab-2 in the street, nothing known of it."""
    labels = {"class": "old", "wall": "west"}
    one = Device(id="cab-1", model="cabinet", at="shed", topic="site/cab-1", labels=labels)
    two = Device(id="cab-2", model="cabinet", at="street", topic="site/cab-2")
    return replace(world(), places=PLACES, tunings=tunings, devices={"cab-1": one, "cab-2": two})


def yellow(found: World, device: str = "cab-1") -> float | None:
    return effective(found, HOT, found.devices[device]).limits[0].above


# ---------------------------------------------------------------- precedence

SITE = tuning(51)
CLASS = tuning(52, labels={"class": "old"})
WALL = tuning(53, labels={"class": "old", "wall": "west"})
STREET = tuning(54, at="street")
YARD = tuning(56, at="yard")
OWN = tuning(57, device="cab-1")
RISING = [SITE, CLASS, WALL, STREET, YARD, OWN]


@pytest.mark.parametrize("count", range(1, len(RISING) + 1))
def test_the_nearest_has_the_last_word(count: int) -> None:
    """Whatever the order in which they stand in the files."""
    entries = RISING[:count]
    assert yellow(site(*entries)) == entries[-1].levels[Level.YELLOW].numbers["above"]
    assert yellow(site(*reversed(entries))) == yellow(site(*entries))


def test_each_entry_is_about_its_own_devices() -> None:
    """cab-2 stands in the street, has no labels and no entry of its own."""
    assert yellow(site(*RISING), "cab-2") == 54
    assert yellow(site(CLASS, WALL, YARD, OWN), "cab-2") == 55
    assert yellow(site(tuning(53, labels={"class": "new"}))) == 55


def test_a_rule_nobody_tuned_is_the_packs_own() -> None:
    found = site(OWN)
    assert effective(found, SMOKE, found.devices["cab-1"]) is SMOKE
    assert effective(found, HOT, found.devices["cab-2"]) is HOT
    assert rule_of(found, "smoke", "cab-1") is SMOKE


def test_only_what_is_given_changes() -> None:
    entry = tuning(
        levels={Level.YELLOW: LevelTuning(numbers={"hold_s": 120.0})}, numbers={"clear_hold_s": 60.0}
    )
    found = site(entry, OWN)
    rule = effective(found, HOT, found.devices["cab-1"])
    first = replace(HOT.limits[0], hold_s=120.0, above=57)
    assert rule == replace(HOT, limits=(first, *HOT.limits[1:]), clear_hold_s=60.0)


def test_a_level_is_added_in_its_order() -> None:
    found = world(rules=(HOT, SMOKE), tunings=(tuning(0.3, rule="smoke"),))
    rule = rule_of(found, "smoke", "cab-1")
    assert rule is not None
    assert [(one.level, one.above) for one in rule.limits] == [(Level.YELLOW, 0.3), (Level.RED, 0.5)]


def test_a_level_is_switched_off_and_on_again_as_it_was() -> None:
    """Who gives it one number has it back with the others."""
    off = tuning(levels={Level.ORANGE: LevelTuning(off=True)})
    again = tuning(66, Level.ORANGE, device="cab-1")
    found = site(off, again)
    levels = {name: effective(found, HOT, device).limits for name, device in found.devices.items()}
    assert [one.level for one in levels["cab-2"]] == [Level.YELLOW, Level.RED]
    assert levels["cab-1"][1] == Limit(level=Level.ORANGE, above=66, hold_s=10, clear=58.0)


def test_what_outlives_the_trouble_is_tuned_too(tmp_path) -> None:
    tune = "tune:\n  - {rule: slot-hot, latch: true, min_on: 1m, because: x}\n"
    found = loaded(tmp_path, {**FILES, "sites/tune.yaml": tune})
    assert found.problems == [] and found.world is not None
    rule = rule_of(found.world, "slot-hot", "cab-1")
    assert rule is not None
    assert (rule.latch, rule.min_on_s) == (True, 60)


def test_silence_is_tuned_too() -> None:
    entry = Tuning(
        rule="silent", because="x", levels={Level.ORANGE: LevelTuning(numbers={"absent_s": 600.0})}
    )
    rule = rule_of(world(tunings=(entry,)), "silent", "cab-1")
    assert rule is not None
    assert [one.absent_s for one in rule.limits] == [600.0, 900]


# ---------------------------------------------------------------- one Rule for all that are alike


def test_devices_with_the_same_entries_share_one_rule() -> None:
    many = tuple(f"cab-{number}" for number in range(50))
    found = world(devices=many, tunings=(tuning(52), tuning(53, device="cab-7")))
    rules = {id(effective(found, HOT, device)) for device in found.devices.values()}
    assert len(rules) == 2
    assert rule_of(found, "slot-hot", "cab-3") is effective(found, HOT, found.devices["cab-4"])


def test_another_world_has_numbers_of_its_own() -> None:
    """A reload, and the world that judged before it: each remembers its own."""
    first, second = site(tuning(51)), site(tuning(52))
    assert [yellow(first), yellow(second), yellow(first)] == [51, 52, 51]
    assert book_of(first) is book_of(first)
    assert [yellow(site(tuning(50 + n))) for n in range(5)] == [50, 51, 52, 53, 54]


def test_names_that_are_gone() -> None:
    found = site(OWN)
    assert rule_of(found, "nothing", "cab-1") is None
    assert rule_of(found, "slot-hot", "gone") is HOT


# ---------------------------------------------------------------- what is judged by it


def test_the_judge_goes_by_the_tuned_numbers() -> None:
    found = site(tuning(52))
    judge = judge_for(HOT, found.devices["cab-1"], "slot-3", found)
    assert judge is not None
    assert (judge.high, judge.rule) == (52, effective(found, HOT, found.devices["cab-1"]))


def test_a_tuned_limit_raises_where_the_packs_would_not() -> None:
    from gateway.core.engine import Engine
    from gateway.core.state import State

    entry = tuning(levels={Level.YELLOW: LevelTuning(numbers={"above": 45.0, "clear": 40.0})}, device="cab-1")
    play = Play(Engine(world(rules=(HOT,), tunings=(entry,)), State(identity="0000002a")))
    play.say({3: 48.0})
    play.wait(70)
    play.say({3: 48.0})
    assert play.levels() == ["yellow"]


# ---------------------------------------------------------------- who set it

TUNED = """\
tune:
  - rule: slot-hot
    device: cab-1
    levels:
      yellow: {above: 52, clear_below: 48}
      orange: {above: 60}
    because: 夏天靠西墙
  - {rule: slot-hot, at: estate, levels: {yellow: {above: 50, hold: 2m}}, clear_hold: 1m, because: 物业}
  - {rule: slot-hot, levels: {orange: off}, because: 不用}
  - {rule: lean, levels: {yellow: off, orange: {above: 2}}, because: 街道}
"""


def files_world(tmp_path) -> World:
    found = loaded(tmp_path, {**FILES, "sites/tune.yaml": TUNED})
    assert found.problems == []
    assert found.world is not None
    return found.world


def said(found: World, rule: str, device: str) -> list[tuple[str, str, object, str, str]]:
    known = next(one for one in found.rules if one.id == rule)
    return [
        (
            one.level.word if one.level else "",
            one.name,
            one.value,
            f"{one.origin.file.rpartition('/')[2]}:{one.origin.line}",
            one.because,
        )
        for one in provenance(found, known, found.devices[device])
    ]


def test_every_number_names_the_line_that_set_it(tmp_path) -> None:
    assert said(files_world(tmp_path), "slot-hot", "cab-1") == [
        ("yellow", "above", 52.0, "tune.yaml:5", "夏天靠西墙"),
        ("yellow", "hold_s", 120.0, "tune.yaml:8", "物业"),
        ("yellow", "clear", 48.0, "tune.yaml:5", "夏天靠西墙"),
        ("orange", "above", 60.0, "tune.yaml:6", "夏天靠西墙"),
        ("red", "above", 75.0, "all.yaml:8", ""),
        ("", "clear_hold_s", 60.0, "tune.yaml:8", "物业"),
        ("", "respond_within_s", 600.0, "all.yaml:2", ""),
    ]


def test_a_level_that_is_off_says_who_switched_it_off(tmp_path) -> None:
    assert said(files_world(tmp_path), "lean", "cam-1")[:2] == [
        ("yellow", "off", True, "tune.yaml:10", "街道"),
        ("orange", "above", 2.0, "tune.yaml:10", "街道"),
    ]


def test_what_is_said_is_what_is_judged_by(tmp_path) -> None:
    """Two ways through the same entries: they must not part."""
    found = files_world(tmp_path)
    for rule in found.rules:
        for device in found.devices.values():
            judged = {limit.level: limit for limit in effective(found, rule, device).limits}
            told = [one for one in provenance(found, rule, device) if one.level and one.name != "off"]
            assert {one.level for one in told} == judged.keys()
            assert all(getattr(judged[one.level], one.name) == one.value for one in told if one.level)


def test_a_world_with_tuning_survives_the_store(tmp_path) -> None:
    found = files_world(tmp_path)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=World) == found


def test_loading_leaves_the_search_for_garbage_as_it_was(tmp_path) -> None:
    """Switched off while it loads, also when what it loads is broken."""
    for tune in (TUNED, "tune: ["):
        loaded(tmp_path, {**FILES, "sites/tune.yaml": tune})
        assert gc.isenabled()
    gc.disable()
    try:
        loaded(tmp_path, FILES)
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---------------------------------------------------------------- the tables of the grammar


def test_every_key_of_a_level_can_be_tuned() -> None:
    """And each is called in Limit as LIMIT_FIELDS says: a new key of a level needs no line here."""
    keys = [key.key for key in keys_of(LevelKeys)]
    assert [key.key for key in keys_of(SomeLevelKeys)] == keys
    assert not any(key.required for key in keys_of(SomeLevelKeys))
    assert {LIMIT_FIELDS.get(key, key) for key in keys} <= Limit.__dataclass_fields__.keys()
    assert set(RULE_NUMBERS.values()) == set(NUMBERS) <= Rule.__dataclass_fields__.keys()


# ---------------------------------------------------------------- what can be tuned


def test_a_rule_about_a_derived_quantity_is_tuned_like_any(tmp_path) -> None:
    """No model measures it, yet the device feels it."""
    derive = """\
derive:
  - {quantity: tilt_x_trend_mm_m_day, how: trend, on: {scene: waste}, of: tilt_x_deg, over: 28d}
rules:
  - id: trend
    says: 倾斜趋势
    on: {scene: waste}
    when: tilt_x_trend_mm_m_day
    relative_to: zero
    levels: {yellow: {above: 0.01}}
    basis: {text: 项目缺省值, confidence: D}
    action: 到场查看
"""
    tune = "tune:\n  - {rule: trend, levels: {yellow: {above: 0.02}}, because: x}\n"
    found = loaded(tmp_path, {**FILES, "rules/derive.yaml": derive, "sites/tune.yaml": tune})
    assert found.problems == []


def test_two_entries_of_one_rank_may_set_different_numbers(tmp_path) -> None:
    """And two labels may meet in no device."""
    tune = """\
tune:
  - {rule: slot-hot, at: estate, levels: {yellow: {above: 52}}, because: x}
  - {rule: slot-hot, at: estate, levels: {yellow: {hold: 2m}}, clear_hold: 1m, because: y}
  - {rule: slot-hot, at: street, levels: {yellow: {above: 53}}, because: z}
  - {rule: silent, device: cab-1, levels: {orange: {absent: 9m}}, because: z}
"""
    found = loaded(tmp_path, {**FILES, "sites/tune.yaml": tune})
    assert found.problems == []
    assert found.world is not None
    rule = rule_of(found.world, "slot-hot", "cab-1")
    assert rule is not None
    assert (rule.limits[0].above, rule.limits[0].hold_s, rule.clear_hold_s) == (52, 120, 60)


def test_a_range_a_code_and_readings_are_tuned_like_any(tmp_path) -> None:
    """Keys that are written otherwise than they are called: `is`, `inside`, `3 of 5`."""
    pack = FILES["rules/all.yaml"].replace("above: 55, hold: 60s", "above: 55")
    tune = "tune:\n  - {rule: slot-hot, levels: {yellow: {readings: 3 of 5, clear_hold: 2m}}, because: x}\n"
    found = loaded(tmp_path, {**FILES, "rules/all.yaml": pack, "sites/tune.yaml": tune})
    assert found.problems == [] and found.world is not None
    limit = effective(found.world, found.world.rules[0], found.world.devices["cab-1"]).limits[0]
    assert (limit.above, limit.readings, limit.clear_hold_s) == (55.0, (3, 5), 120.0)


def test_a_number_is_shown_with_the_unit_of_what_is_judged() -> None:
    """70 of a percentage is no 70 mm, and a confidence is of nothing."""
    both = DoubleControl(cumulative=30, rate_per_day=2, rate_over_s=7 * 86400.0, combine="either")
    rule = replace(
        HOT, quantity="settlement_mm", when=both.expression("settlement_mm"), double_control=both,
        confidence=0.6,
    )  # fmt: skip
    shown = {
        (one.level, one.name): number_of(rule, one)
        for one in provenance(
            world(rules=(rule,)), rule, Device(id="x", model="cabinet", at="yard", topic="x")
        )
    }
    assert shown[Level.RED, "above"] == "75%" and shown[None, "confidence"] == "0.6"


CONTROLLED = """\
rules:
  - id: leaning
    says: 倾斜
    on: {scene: waste, model: camera}
    when: tilt_x_deg
    double_control: {cumulative: 30, rate_per_day: 2, rate_over: 6h, combine: either}
    levels: {yellow: {above: 70}}
    basis: {text: 项目缺省值, confidence: D}
    action: 到场查看
"""


def controlled(tmp_path, *entries: str):
    tune = "tune:\n" + "".join(f"  - {{{entry}, because: 住建评估}}\n" for entry in entries)
    return loaded(tmp_path, {**FILES, "rules/leaning.yaml": CONTROLLED, "sites/tune.yaml": tune})


def test_control_values_are_tuned_one_by_one_with_their_lines(tmp_path) -> None:
    found = controlled(
        tmp_path,
        "rule: leaning, double_control: {cumulative: 20}",
        "rule: leaning, device: cam-1, double_control: {rate_per_day: 0.5}",
    )
    assert found.problems == [] and found.world is not None
    rule = next(one for one in found.world.rules if one.id == "leaning")
    own = effective(found.world, rule, device := found.world.devices["cam-1"])
    assert own.double_control == replace(rule.double_control, cumulative=20.0, rate_per_day=0.5)
    assert own.when == own.double_control.expression(rule.quantity) != rule.when, "it is judged by them"
    said = {one.name: one for one in provenance(found.world, rule, device) if one.level is None}
    lines = {name: (one.value, one.origin.line, one.because) for name, one in said.items()}
    assert lines["double_control.cumulative"] == (20.0, 2, "住建评估")
    assert lines["double_control.rate_per_day"] == (0.5, 3, "住建评估")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["rule: leaning, double_control: {cumulative: 0}"], "tune[0].double_control.cumulative"),
        (["rule: slot-hot, double_control: {cumulative: 9}"], "the unknown key double_control"),
        (["rule: leaning, double_control: {cumulative: 9, rate_over: 9d}"], "rate_over"),
        (["rule: leaning, double_control: {}"], "changes nothing"),
        (["rule: leaning, double_control: {cumulative: 9}"] * 2, "double_control.cumulative"),
    ],
)
def test_what_is_no_tuning_of_control_values(tmp_path, entries, said) -> None:
    (problem,) = controlled(tmp_path, *entries).problems
    assert said in str(problem)
