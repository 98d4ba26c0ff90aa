"""Warnings at their borders: what is still meant, and what hardly is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.checks.lengths import longest, short_messages
from gateway.checks.lint import STORM_MOST
from tests.unit.config_files import FILES, loaded, write

RULE = """\
rules:
  - id: warm
    says: 温度
    on: {{scene: cabinet, each: slot}}
    when: slot_temperature_c
    levels: {{yellow: {level}}}
    clear_hold: 1m
    {more}
    basis: {{text: 项目缺省值, confidence: D}}
    action: 看一眼
"""


def codes(folder: Path, rules: str, site: str = "") -> list[str]:
    from gateway.config import load

    files = {**FILES, "rules/all.yaml": rules, "sites/site.yaml": FILES["sites/site.yaml"] + site}
    found = load(write(folder, files), "en", environ={}, lint=True)
    assert found.problems == []
    return [one.code for one in found.warnings]


@pytest.mark.parametrize(
    ("level", "more", "code"),
    [
        # the quantity lies from -60 to 400
        ("{above: 399}", "", ""),
        ("{above: 400}", "", "W501"),
        ("{below: -59}", "", ""),
        ("{below: -60}", "", "W501"),
        ("{inside: 390..410}", "", ""),
        ("{inside: 401..410}", "", "W501"),
        ("{outside: -50..400}", "", ""),
        ("{outside: -60..400}", "", "W501"),
        ("{is: 400}", "", ""),
        ("{is: 401}", "", "W501"),
        ("{above: 399}", "relative_to: zero", ""),
        ("{above: 400}", "relative_to: zero", "W501"),
        # what never ends
        ("{above: 50, clear_below: -60}", "", ""),
        ("{above: 50, clear_below: -61}", "", "W502"),
        ("{above: 50, clear_below: -1}", "relative_to: zero", "W502"),
        ("{below: 50, clear_above: 400}", "", ""),
        ("{below: 50, clear_above: 401}", "", "W502"),
        ("{inside: 5..12, clear_outside: -60..400}", "", "W502"),
        ("{above: -61}", "", "W502"),
        ("{above: 50, clear_below: 50}", "", "W503"),
        ("{above: 50, clear_below: 49.9}", "", ""),
        # the cabinet speaks every 30 s
        ("{above: 50, hold: 30s}", "", ""),
        ("{above: 50, hold: 29s}", "", "W504"),
        ("{above: 50, hold: 0s}", "", ""),
        ("{above: 50, readings: 3}", "", ""),
        # what does not judge is let be
        ("{above: 400}", "mode: off", ""),
        ("{above: 400}", "mode: shadow", "W501"),
        # who is meant
        ("{above: 50}", "owner: 物业", ""),
    ],
)
def test_what_a_level_can_be(tmp_path: Path, level: str, more: str, code: str) -> None:
    text = RULE.format(level=level, more=more or "owner: 物业")
    assert codes(tmp_path, text) == ([code] if code else [])


UNUSUAL = """\
  - id: odd
    says: 反常
    on: {{scene: cabinet{each}}}
    when: {when}
    called: 偏离往常
    levels: {{yellow: {{above: 6}}}}
    basis: {{text: 项目缺省值, confidence: D}}
    action: 看一眼
"""
SLOTS = {"each": ", each: slot", "when": "unusual(slot_temperature_c, 2h)"}


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (RULE.format(level="{above: 50}", more=""), ""),
        (RULE.format(level="{above: 50}", more="mode: shadow"), "W511"),  # it tells nobody
        (RULE.format(level="{above: 50}", more="mode: off"), "W511"),
        (RULE.format(level="{above: 0.5}", more="").replace("slot_temperature_c", "smoke"), "W511"),
        ("rules:\n", "W511"),
    ],
    ids=["a limit", "in the shadow", "off", "of another quantity", "none"],
)
def test_what_is_unusual_stands_beside_a_limit(tmp_path: Path, limit: str, code: str) -> None:
    limit = limit.replace(", each: slot", "") if "smoke" in limit else limit
    assert codes(tmp_path, limit + UNUSUAL.format(**SLOTS)) == ([code] if code else [])


def test_another_rule_of_the_unusual_is_no_limit_and_an_expression_may_be_one(tmp_path: Path) -> None:
    odd, even = (
        UNUSUAL.format(**SLOTS),
        UNUSUAL.format(**SLOTS).replace("2h", "3h").replace("id: odd", "id: even"),
    )
    assert codes(tmp_path, "rules:\n" + odd + even) == ["W511", "W511"]
    rate = odd.replace("unusual(slot_temperature_c, 2h)", "rate_per_minute(slot_temperature_c, 3m)")
    assert codes(tmp_path, "rules:\n" + odd + rate.replace("id: odd", "id: rate")) == []
    allowed = even.replace("    basis", "    inhibited_by: [{rule: odd}]\n    basis", 1)
    assert codes(tmp_path, "rules:\n" + odd + allowed) == ["W511", "W511"], (
        "one of the unusual may hide another"
    )


def test_a_limit_of_another_scene_is_none_beside_it(tmp_path: Path) -> None:
    from gateway.config import load

    limit = RULE.format(level="{above: 50}", more="").replace("scene: cabinet", "scene: shed")
    files = {**FILES, "rules/all.yaml": limit + UNUSUAL.format(**SLOTS)}
    files["devices/shelf.yaml"] = FILES["devices/cabinet.yaml"].replace("scene: cabinet", "scene: shed")
    found = load(write(tmp_path, files), "en", environ={}, lint=True)
    assert found.problems == [] and [one.code for one in found.warnings] == ["W511"]
    (warning,) = found.warnings
    assert "rules[1].when: found how unusual slot_temperature_c is, and no live rule" in str(warning)
    assert str(warning).endswith("by a limit: what is unusual never replaces one")


def test_no_site_makes_it_more_than_yellow(tmp_path: Path) -> None:
    limit = RULE.format(level="{above: 50}", more="")
    entry = "tune:\n  - {rule: odd, because: x, levels: {orange: {above: 9}}}\n"
    rules = limit + UNUSUAL.format(**SLOTS)
    files = {**FILES, "rules/all.yaml": rules, "sites/site.yaml": FILES["sites/site.yaml"] + entry}
    (found,) = loaded(tmp_path, files).problems
    assert found.code == "L520" and "sites/site.yaml:23: tune[0].levels.orange:" in str(found)
    entry = entry.replace("orange", "yellow")
    assert codes(tmp_path, rules, entry) == []


def test_a_sensors_own_range_counts(tmp_path: Path) -> None:
    spoilt = FILES["devices/cabinet.yaml"].replace(
        "of: slot, unit: F", "of: slot, unit: F, low: -20, high: 85"
    )
    files = {**FILES, "devices/cabinet.yaml": spoilt}
    files["rules/all.yaml"] = RULE.format(level="{above: 85}", more="owner: 物业")
    from gateway.config import load

    (warning,) = load(write(tmp_path, files), "en", environ={}, lint=True).warnings
    assert str(warning).endswith(
        "rules[0].levels.yellow.above: found above 85, while slot_temperature_c is never outside -20 to 85, "
        "expected a limit inside -20 to 85"
    )


def test_a_state_waits_for_no_second_word(tmp_path: Path) -> None:
    text = RULE.replace(", each: slot", "").replace("slot_temperature_c", "smoke")
    assert (
        codes(tmp_path, text.format(level="{above: 0.5, hold: 5s, clear_below: 0.5}", more="owner: 物业"))
        == []
    )


def test_only_the_lowest_level_needs_a_second_message(tmp_path: Path) -> None:
    """66 degrees taken back five seconds later: what is already yellow may ask for ten seconds."""
    higher = "{above: 50, hold: 60s, clear_below: 45}, orange: {above: 60, hold: 10s, clear_below: 55}"
    lowest = "{above: 50, hold: 10s, clear_below: 45}, orange: {above: 60, clear_below: 55}"
    assert codes(tmp_path, RULE.format(level=higher, more="owner: 物业")) == []
    assert codes(tmp_path, RULE.format(level=lowest, more="owner: 物业")) == ["W504"]


@pytest.mark.parametrize(
    ("level", "code"),
    [
        ("{above: 390}", ""),
        ("{above: 400}", "W501"),
        ("{clear_below: -61}", "W502"),
        ("{clear_below: 50}", "W503"),
        ("{hold: 10s}", "W504"),
    ],
)
def test_the_numbers_of_a_site_are_looked_at_like_those_of_a_pack(tmp_path: Path, level, code) -> None:
    """At the entry that gives them, and once, however many devices have it."""
    rules = RULE.format(level="{above: 50, clear_below: 45}", more="owner: 物业")
    entry = f"tune:\n  - {{rule: warm, because: x, levels: {{yellow: {level}}}}}\n"
    assert codes(tmp_path, rules, entry) == ([code] if code else [])


def test_what_was_odd_of_the_pack_is_told_of_the_pack_alone(tmp_path: Path) -> None:
    rules = RULE.format(level="{above: 50, hold: 10s, clear_below: 45}", more="owner: 物业")
    entry = "tune:\n  - {rule: warm, because: x, levels: {yellow: {above: 60}}}\n"
    assert codes(tmp_path, rules, entry) == ["W504"]


def test_nothing_is_said_unless_it_is_asked_for(tmp_path: Path) -> None:
    files = {**FILES, "rules/all.yaml": RULE.format(level="{above: 400}", more="owner: 物业")}
    assert not loaded(tmp_path, files).warnings and loaded(tmp_path, files).problems == []


@pytest.mark.parametrize(("more", "code"), [(0, ""), (1, "W508")])
def test_a_storm_begins_above_its_number(tmp_path: Path, more: int, code: str) -> None:
    """cab-1 is one of them; what is behind something is told of together and does not count."""
    silent = RULE.replace(", each: slot", "").replace("    when: slot_temperature_c\n", "")
    lines = [
        f"  - {{id: c{n}, model: cabinet, at: estate, topic: site/c{n}}}\n"
        for n in range(STORM_MOST - 1 + more)
    ]
    lines += ["  - {id: quiet, model: cabinet, at: estate, topic: site/quiet, behind: c0}\n"]
    found = codes(tmp_path, silent.format(level="{absent: 5m}", more="owner: 物业"), "".join(lines))
    assert found == ([code] if code else [])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("字" * 70, 1),
        ("字" * 71, 2),
        ("字" * 134, 2),
        ("字" * 135, 3),
        ("字" * 201, 3),
        ("字" * 202, 4),
        ("😀" * 36, 2),
    ],
)
def test_short_messages(text: str, count: int) -> None:
    assert short_messages(text) == count


def test_the_longest_text_names_the_longest_device(tmp_path: Path) -> None:
    """At the top level, unanswered, with dates: as somebody on duty would get it."""
    world = loaded(tmp_path, FILES).world
    assert world is not None
    rule = next(rule for rule in world.rules if rule.id == "slot-hot")
    device, text = longest(rule, list(world.devices.values())[:1], world)
    assert device.id == "cab-1"
    assert text.splitlines() == [
        "【红色报警，无人响应】充电仓过热 · cab-1 8号仓",
        "位置：小区（街道）",
        "情况：仓温度 399.9 ℃（限 75 ℃），01-15 16:00 起",
        "要做：断开该仓",
        "时限：16:02 前响应（2 分钟内）",
        "此前已通知王经理，尚无响应。",
        "筛查提示，不是法定鉴定结论。",
    ]


RED = RULE.replace("温度", "高温").format(
    level="{above: 40}, red: {above: 50, clear_below: 45}",
    more="owner: 物业\n    consequence: 起火\n    respond_within: 10m",
)
SECOND = """\
  - {role: committee, at: street, unit: firm, person: li, from: 2025-01-01}
ladders:
  yellow: [{role: property, by: [inbox]}]
  orange: [{role: property, by: [inbox]}]
  red: [{role: property, by: [inbox]}, {role: committee, by: [inbox], after: 5m}]
"""


def red_codes(folder: Path, *, site: str = "", clocks: str = "", rules: str = RED) -> list[str]:
    from gateway.config import load

    files = {**FILES, "rules/all.yaml": rules, "sites/site.yaml": (site or FILES["sites/site.yaml"]) + clocks}
    found = load(write(folder, files), "en", environ={}, lint=True)
    assert found.problems == []
    return [str(one) for one in found.warnings if one.code == "W705"]


def test_one_person_alone_cannot_verify_his_own_work(tmp_path: Path) -> None:
    """At the post, with the way out: the case would stand for ever."""
    (said,) = red_codes(tmp_path)
    assert "site.yaml:9: posts[0]: found property at estate: red needs another person to verify" in said
    assert "wang alone" in said and "{level: red, verify_by: sensor}" in said
    zh = load_zh(tmp_path)
    assert "须由另一人核验" in zh and "verify_by: sensor" in zh


def load_zh(folder: Path) -> str:
    from gateway.config import load

    found = load(folder / "lilong.yaml", "zh", environ={}, lint=True)
    return "".join(str(one) for one in found.warnings if one.code == "W705")


def test_the_sensor_or_another_post_ends_it(tmp_path: Path) -> None:
    by_sensor = "clocks:\n  - {level: red, verify_by: sensor}\n"
    assert red_codes(tmp_path / "sensor", clocks=by_sensor) == []
    assert (
        red_codes(tmp_path / "yellow", rules=RULE.format(level="{above: 50, clear_below: 45}", more="")) == []
    )
    site = FILES["sites/site.yaml"]
    head, tail = site.split("ladders:\n")
    devices = tail[tail.index("devices:") :]
    persons = "  - {id: li, says: 李主任, unit: firm, reach: {inbox: li}}\nposts:\n"
    two = head.replace("posts:\n", persons) + SECOND + devices
    assert red_codes(tmp_path / "two", site=two) == []
    ended = two.replace("person: li, from: 2025-01-01", "person: li, from: 2025-01-01, to: 2025-02-01")
    assert red_codes(tmp_path / "ended", site=ended) == [], "no day was asked: it may be held again"


def test_who_stands_in_while_he_is_away_does_not_verify_what_he_did(tmp_path: Path) -> None:
    site = FILES["sites/site.yaml"].replace(
        "reach: {inbox: wang}}\n",
        "reach: {inbox: wang}, leave: [{from: 2026-02-05, to: 2026-02-13, delegate: li}]}\n"
        "  - {id: li, says: 李主任, unit: firm, reach: {inbox: li}}\n",
    )
    assert len(red_codes(tmp_path, site=site)) == 1
