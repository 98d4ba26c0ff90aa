"""`lilong rule …`: what judges, in plain words, and who set which number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.config_files import FILES, write

TUNED = """\
tune:
  - rule: slot-hot
    device: cab-1
    levels: {yellow: {above: 52, clear_below: 48}, orange: {above: 60, hold: 90s}}
    because: 夏天靠西墙
  - {rule: lean, at: street, levels: {yellow: off, orange: {above: 2}}, clear_hold: 1h, because: 街道}
"""


@pytest.fixture
def run(run, folder: Path):
    """`lilong rule WORDS…` on a tuned site."""
    write(folder, {"sites/tune.yaml": TUNED})
    return lambda *words, **how: run("rule", *words, **how)


def test_every_rule_is_listed_with_whom_it_judges(run) -> None:
    ran = run("list")
    assert [line.split() for line in ran.stdout.splitlines()] == [
        ["id", "says", "scene", "levels", "devices", "tuned"],
        ["slot-hot", "充电仓过热", "cabinet", "yellow", "red", "1", "1"],
        ["bag", "小包垃圾落地", "waste", "yellow", "1", "0"],
        ["silent", "失联", "cabinet", "orange", "1", "0"],
        ["lean", "倾斜", "waste", "yellow", "1", "1"],
    ]
    assert ran.stderr == "4 rules\n"


def test_a_rule_is_shown_in_sentences(run, folder: Path) -> None:
    ran = run("show", "slot-hot")
    assert ran.stdout.replace(f"{folder}/", "").splitlines() == [
        "充电仓过热（slot-hot，rules/all.yaml:2）",
        "  适用：cabinet 场景的设备，每个仓单独判断。",
        "  仓温度高于 55 ℃，持续 1 分钟：黄色提示；恢复：低于 50 ℃，持续 5 分钟。",
        "  仓温度高于 75 ℃：红色报警；恢复：低于 75 ℃，持续 5 分钟。",
        "  无人处理的后果：起火。",
        "  负责：物业。",
        "  可疑数据（尖峰、读数不动）：红色可以触发，其余等可信数据；都不据此解除。",
        "  要做：断开该仓。",
        "  时限：10 分钟内有人到场。",
        "  依据：项目缺省值（项目缺省）。",
        "  试验：climbs（rules/all.yaml:37）",
        "  调整：设备 cab-1：夏天靠西墙（sites/tune.yaml:2）",
    ]


def test_who_set_each_number(run, folder: Path) -> None:
    ran = run("effective", "cab-1", "--rule", "slot-hot")
    assert [line.split(maxsplit=3) for line in ran.stdout.replace(f"{folder}/", "").splitlines()[1:3]] == [
        ["slot-hot", "yellow", "above", "52 ℃     sites/tune.yaml:4  夏天靠西墙"],
        ["slot-hot", "yellow", "hold", "1 分钟   rules/all.yaml:7   -"],
    ]
    assert "silent" not in ran.stdout and "silent" in run("effective", "cab-1").stdout
    ran = run("effective", "cam-1", "--rule", "lean", lang="zh_CN.UTF-8")
    assert ran.stdout.startswith("规则  级别") and "lean  yellow  off         off" in ran.stdout


def test_and_for_programs(run, folder: Path) -> None:
    found = json.loads(run("effective", "cam-1", "--json").stdout)
    assert {one["rule"] for one in found} == {"bag", "lean"}
    (held,) = [one for one in found if one["key"] == "clear_hold" and one["rule"] == "lean"]
    where = {"file": str(folder / "sites/tune.yaml"), "line": 6}
    assert held == {
        "rule": "lean", "level": None, "key": "clear_hold", "value": 3600.0, **where, "because": "街道"
    }  # fmt: skip


def test_how_long_an_approved_text_comes_to_be(run, folder: Path) -> None:
    """Of the text as it is sent, with its sign and the longest number, not of the message with its link."""
    entry = "  sms: {kind: sms_aliyun, key_id: k, key_secret_file: s, sign: 枫林}\n"
    text = "${level}：${title}，${situation}。"
    template = f"{{channel: sms, id: SMS_1, text: '{text}', state: approved, since: 2026-10-08}}"
    channels = FILES["lilong.yaml"].replace("channels:\n", f"templates: [{template}]\nchannels:\n{entry}")
    write(folder, {"lilong.yaml": channels})
    situation = "仓温度 399.9 度（限 75 度），01-15 16:00 至 01-16 15:59 异常"
    kept = situation.partition("，")[0]  # the rest has no room
    worst = len(f"【枫林】黄色提示，接手后未处理完：充电仓过热 cab-1 8号仓，{kept}。")
    found = json.loads(run("effective", "cab-1", "--rule", "slot-hot", "--json").stdout)
    (row,) = [one for one in found if one["key"] == "text"]
    assert worst <= row["value"] <= worst + 35 - len(kept)
    assert (row["line"], row["because"]) == (6, "sms SMS_1")
    shown = run("effective", "cab-1", "--rule", "slot-hot").stdout
    assert f"{row['value']} characters (1)" in shown


def test_names_that_are_none(run) -> None:
    assert str(run("show", "slot-hat").exception) == "lilong: no rule slot-hat; did you mean slot-hot?"
    assert str(run("effective", "cab-9").exception) == "lilong: no device cab-9; did you mean cab-1?"
    ran = run("effective", "cab-1", "--rule", "bag")
    assert (ran.exit_code, ran.stderr) == (0, "no rule judges this device\n")
