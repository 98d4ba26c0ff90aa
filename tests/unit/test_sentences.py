"""A rule as sentences: what a reviewer from the street office reads aloud must be what is judged."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest

from gateway.config import load
from gateway.core.model import Basis, DoubleControl, Level, Limit, Rule, World
from gateway.core.sentences import ARMING, CLEARING, CONDITIONS, EXTRAS, SAID, SAID_OF_LIMITS, sentences
from tests.unit.worlds import HOT, SILENT, SMOKE

SNAPSHOT = Path(__file__).with_name("rule_sentences.txt")
EXAMPLE = Path(__file__).parents[2] / "deploy/example/lilong.yaml"


@cache
def shipped() -> World:
    found = load(EXAMPLE, "en", environ={})
    assert found.world is not None
    return found.world


def spoken() -> dict[str, list[str]]:
    """What rule_sentences.txt holds, by the id of the rule."""
    blocks = SNAPSHOT.read_text("utf-8").strip().split("\n\n")
    return {head.removeprefix("## "): rest for head, *rest in (block.splitlines() for block in blocks)}


def test_every_shipped_rule_has_its_sentences() -> None:
    assert list(spoken()) == [rule.id for rule in shipped().rules]


@pytest.mark.parametrize("name", list(spoken()))
def test_a_shipped_rule_says_what_it_said(name: str) -> None:
    """A change here is a change of what people were promised: read it, then put it into the file."""
    rule = next(rule for rule in shipped().rules if rule.id == name)
    assert sentences(rule) == spoken()[name]


def test_every_key_is_said() -> None:
    """A new key of a rule or of a level needs its row in a table of sentences.py."""
    assert {one.name for one in fields(Rule)} == SAID | EXTRAS.keys()
    assert {one.name for one in fields(Limit)} == SAID_OF_LIMITS | CONDITIONS.keys() | ARMING.keys()
    assert CLEARING.keys() == CONDITIONS.keys()


def lines(rule: Rule, **changes) -> list[str]:
    return sentences(replace(rule, **changes))


def test_whom_it_is_about() -> None:
    assert lines(HOT, model="cabinet", labels={"class": "old"})[0] == (
        "适用：cabinet 场景的设备，型号 cabinet，标签 class 为 old，每个仓单独判断。"
    )
    assert lines(SMOKE)[0] == "适用：cabinet 场景的设备。"


def test_numbers_are_the_rules_own() -> None:
    limit = Limit(level=Level.ORANGE, below=-4.5, hold_s=5400, clear=2.0)
    assert lines(HOT, limits=(limit,), clear_hold_s=0.0, respond_within_s=0.0)[1:3] == [
        "仓温度低于 -4.5 ℃，持续 90 分钟：橙色预警；恢复：高于 2 ℃。",
        "可疑数据（尖峰、读数不动）：不触发也不解除。",
    ]


def test_a_limit_of_zero_is_said() -> None:
    limit = Limit(level=Level.RED, above=0.0, clear=0.0)
    assert lines(HOT, limits=(limit,))[1] == "仓温度高于 0 ℃：红色报警；恢复：低于 0 ℃，持续 5 分钟。"
    limit = Limit(level=Level.RED, below=0.0)
    assert lines(SMOKE, limits=(limit,))[1] == "没有“烟雾”：红色报警；恢复：重新出现，持续 1 分钟。"


@pytest.mark.parametrize(
    ("levels", "given", "said"),
    [
        ((Level.YELLOW, Level.RED), "", "红色可以触发，其余等可信数据"),
        ((Level.RED,), "", "可以触发，不据此解除"),
        ((Level.YELLOW,), "", "不触发也不解除"),
        ((Level.RED,), "hold", "不触发也不解除"),
        ((Level.YELLOW,), "judge", "与其他数据同样判断"),
    ],
)
def test_what_a_doubted_value_does(levels, given: str, said: str) -> None:
    """As conditions.Judge.despite has it, whose default goes by the level."""
    limits = tuple(Limit(level=level, above=50.0 + level) for level in levels)
    (found,) = [one for one in lines(HOT, limits=limits, on_bad_quality=given) if one.startswith("可疑")]
    assert said in found


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"inside": (5.0, 12.0), "readings": (3, 5)}, "仓温度在 5 ℃到 12 ℃之间，最近 5 次中有 3 次"),
        ({"outside": (5.0, 12.0), "readings": (3, 3)}, "仓温度不在 5 ℃到 12 ℃之间，连续 3 次"),
        ({"equals": 5.0, "hold_s": 600.0, "within_s": 3600.0}, "仓温度为 5 ℃，1 小时内累计 10 分钟"),
    ],
)
def test_ranges_and_what_gathers(keys, said: str) -> None:
    assert lines(HOT, limits=(Limit(level=Level.YELLOW, **keys),))[1].startswith(said + "：黄色提示；恢复：")


def test_how_long_it_stands() -> None:
    found = lines(SMOKE, latch=True, min_on_s=600.0)
    assert "触发后至少保持 10 分钟。" in found and "恢复后仍保持，须由人说明原因后复位。" in found
    limit = Limit(level=Level.YELLOW, outside=(5.0, 12.0), clear_range=(6.0, 11.0), clear_hold_s=60.0)
    assert lines(HOT, limits=(limit,))[1].endswith("恢复：回到 6 ℃到 11 ℃之间，持续 1 分钟。")


def test_double_control_says_both_control_values_and_which_counts() -> None:
    both = DoubleControl(cumulative=30, rate_per_day=2, rate_over_s=7 * 86400.0, combine="either")
    rule = replace(SMOKE, quantity="settlement_mm", when=both.expression("settlement_mm"), called="沉降")
    said = "双控的控制值：自基线累计变化 30 mm，近 7 天每天变化 2 mm；取占比较大的一个。"
    assert lines(rule, double_control=both)[1] == said


def test_silence_is_heard_again() -> None:
    both = Limit(level=Level.YELLOW, absent_s=600.0, missed=3.0)
    assert lines(SILENT, limits=(both, Limit(level=Level.RED, missed=2.5)))[1:3] == [
        "10 分钟没有任何消息且按设备自己的间隔漏报 3 次：黄色提示；恢复：重新上报，持续 30 秒。",
        "按设备自己的间隔漏报 2.5 次：红色报警；恢复：重新上报，持续 30 秒。",
    ]


def test_the_clause_stands_beside_the_text() -> None:
    basis = Basis(text="JGJ 125", confidence="V", clause="第 5.2 条")
    assert lines(HOT, basis=basis)[-1] == "依据：JGJ 125，第 5.2 条（已核对原文）。"
