"""What is only unusual for a device: a hint beside limits, and never instead of one."""

from __future__ import annotations

import random
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from gateway.adapters.store import Store
from gateway.config import load
from gateway.core import state as states
from gateway.core import texts
from gateway.core.engine import Engine
from gateway.core.measures import BEFORE_LEAST, Window
from gateway.core.model import Alert, Level, Limit, Notification, Rule
from gateway.core.sentences import sentences
from gateway.core.state import State
from gateway.core.units import QUANTITIES
from gateway.schema import schema_of
from gateway.tuning import scenarios
from gateway.web import pages
from tests.unit.config_files import write
from tests.unit.test_schema import misfits, of_text
from tests.unit.test_why import Kept
from tests.unit.test_whynot import Street
from tests.unit.worlds import CABINET, SMOKE, START_NS, Play, of, rule, world

S = 1_000_000_000
MINUTE = 60 * S
ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "rules/README.md").read_text("utf-8")
EXAMPLE = ROOT / "deploy/example/lilong.yaml"
CALM = replace(CABINET, expect_every_s=60.0)
YELLOW = (Limit(level=Level.YELLOW, above=6.0, clear=4.0),)
ODD = replace(
    rule("unusual(temperature_c, 1h)", limits=YELLOW), id="odd", says="温度反常", called="温度偏离往常"
)
HOT = replace(
    rule(quantity="temperature_c", above=60.0, limits=(Limit(level=Level.YELLOW, above=60.0),)), id="hot"
)


def window(*samples: tuple[float, float], least: float = 0.1, minutes: float = 60) -> Window:
    """Of samples (minutes, value)."""
    one = Window("unusual", round(minutes * MINUTE), least)
    for at, value in samples:
        one.add(round(at * MINUTE), value)
    return one


# ---------------------------------------------------------------- the number


def test_it_is_counted_in_robust_standard_deviations() -> None:
    """By hand: the median of 1..25 is 13, of the distances 6; 30 lies 17 away."""
    found = window(*((2 * i, float(i)) for i in range(1, 26)), (54, 30.0), minutes=100)
    assert found.value(54 * MINUTE) == pytest.approx(17 / (1.4826 * 6), rel=1e-12)
    usual = found.usual(54 * MINUTE)
    assert usual is not None and (usual.newest, usual.median) == (30.0, 13.0)
    assert usual.scatter == pytest.approx(1.4826 * 6)


def test_less_than_usual_is_as_unusual_as_more() -> None:
    low, high = (window(*((i, 5.0) for i in range(40)), (40, 5.0 + x)).value(40 * MINUTE) for x in (-2, 2))
    assert low == high == pytest.approx(20.0)


def test_where_nothing_ever_moved_one_digit_is_one_deviation() -> None:
    """The median of the distances is 0: everything else would be infinitely unusual."""
    still = window(*((i, 20.0) for i in range(40)), (40, 20.1))
    assert still.value(40 * MINUTE) == pytest.approx(1.0)
    assert window(*((i, 20.0) for i in range(41))).value(40 * MINUTE) == 0.0
    assert all(one.resolution > 0 for one in QUANTITIES.values())


def test_odd_readings_do_not_make_the_next_one_usual() -> None:
    noise = [20.0 + (i % 5) / 10 for i in range(50)]
    clean, foul = list(noise), list(noise)
    foul[3::4] = [90.0] * len(foul[3::4])  # a quarter of them
    one, other = (window(*enumerate([*values, 30.0])).value(50 * MINUTE) for values in (clean, foul))
    assert one is not None and other is not None and one > 40 and other > 0.4 * one


def test_the_newest_is_no_part_of_what_is_usual() -> None:
    """Beside itself a reading of twenty-five would weigh on the median that it is compared with."""
    before = [1.0] * 12 + [2.0] * 12
    found = window(*((2 * i, value) for i, value in enumerate([*before, 2.0]))).usual(48 * MINUTE)
    assert found is not None and found.median == 1.5


def test_nothing_is_said_before_half_of_the_span_is_covered() -> None:
    found = window(*((i / 2, 5.0) for i in range(59)), (29.5, 9.0))
    assert found.value(round(29.5 * MINUTE)) is None and found.usual(round(29.5 * MINUTE)) is None
    found.add(30 * MINUTE, 9.0)
    assert found.value(30 * MINUTE) == pytest.approx(40.0)
    assert found.value(60 * MINUTE) == pytest.approx(40.0)
    assert found.value(60 * MINUTE + 1) is None, "the oldest has left"


@pytest.mark.parametrize("count", range(BEFORE_LEAST - 2, BEFORE_LEAST + 3))
def test_few_readings_say_nothing(count: int) -> None:
    every = 50 / count
    found = window(*((i * every, float(i % 3)) for i in range(count)), (55, 90.0))
    assert (found.value(55 * MINUTE) is None) is (count < BEFORE_LEAST)
    assert (found.usual(55 * MINUTE) is None) is (count < BEFORE_LEAST)


# ---------------------------------------------------------------- in the engine


def play(*rules: Rule, **changes: object) -> Street:
    return Street(Engine(world(rules=rules, models={"cabinet": CALM}, **changes), State(identity="0000002a")))


def hum(found: Play, count: int = 50) -> Play:
    """So many minutes of a temperature that moves by some tenths."""
    for index in range(count):
        found.say(t=20 + index % 5 / 10)
        found.wait(60)
    return found


def test_it_rings_yellow_and_is_over_when_it_is_usual_again() -> None:
    found = hum(play(ODD))
    found.say(t=25)
    assert found.levels() == ["yellow"]
    found.wait(60)
    found.say(t=20.2)
    assert found.levels() == ["yellow", "clear"]


def test_until_it_is_known_nothing_rings() -> None:
    found = hum(play(ODD), 24)
    found.say(t=90)
    assert found.levels() == []


def test_people_read_that_it_is_unusual_and_beside_what() -> None:
    found = hum(play(ODD))
    found.say(t=25)
    (told,) = [one for one in found.notifications() if one.kind == "raised"][:1]
    lines = told.text.splitlines()
    assert lines[1] == "情况：温度偏离往常 32.38（反常界限 6），只是对该设备反常，并非超限，20:50 起"
    assert lines[2] == "数据来源：温度 25 ℃，此前 1 小时中位数 20.2 ℃，相差 32.4 个标准差"
    assert texts.HINT in told.text
    assert pages._limit(of(found.effects, Alert)[-1], ODD) == "反常界限 6"
    found.wait(60)
    found.say(t=20.2)
    over = of(found.effects, Alert)[-1]
    said = texts.situation(over, found.engine.world, found.wall())
    assert said.startswith("温度偏离往常 0（反常界限 6），20:50 至 "), "it is usual again"


def test_a_truth_says_so_too() -> None:
    both = "unusual(temperature_c, 1h) > 6 and abs(temperature_c - median(temperature_c, 1h)) > 3"
    found = hum(play(replace(ODD, when=both, limits=(Limit(level=Level.YELLOW, equals=1.0),))))
    found.say(t=22)
    assert found.levels() == [], "unusual, and too little to matter"
    found.wait(60)
    found.say(t=25)
    alert = of(found.effects, Alert)[-1]
    said = texts.situation(alert, found.engine.world, found.wall())
    assert said.startswith("温度偏离往常，只是对该设备反常，并非超限，")
    assert alert.evidence.startswith("温度 25 ℃，此前 1 小时中位数 20.2 ℃，相差 ")


def test_of_a_group_the_member_furthest_off_is_named() -> None:
    group = replace(ODD, when="worst(unusual(temperature_c, 1h))", group="place")
    found = play(group, devices=("cab-1", "cab-2"))
    for index in range(50):
        for name in ("cab-1", "cab-2"):
            found.say(t=20 + index % 5 / 10, topic=f"site/{name}")
        found.wait(60)
    found.say(t=20.2)
    found.say(t=25, topic="site/cab-2")
    assert found.levels() == ["yellow"]
    assert of(found.effects, Alert)[-1].evidence.startswith("cab-2 温度 25 ℃，此前 1 小时中位数 20.2 ℃，")


def test_a_limit_says_nothing_of_the_unusual() -> None:
    found = play(rule("max(temperature_c, 10m)", above=60.0))
    for _ in range(11):
        found.say(t=61)
        found.wait(60)
    (told,) = [one for one in found.notifications() if one.kind == "raised"][:1]
    assert "（限 60 ℃）" in told.text and "反常" not in told.text


def test_a_limit_that_is_crossed_never_joins_the_case_of_what_was_only_unusual() -> None:
    """Both yellow, both of one minute: whoever read "only unusual" is told of the limit, by itself."""
    found = hum(play(ODD, HOT, join_within_s=120))
    found.say(t=40)
    found.wait(10)
    found.say(t=70)
    raised = [one for one in found.notifications() if one.kind == "raised"]
    assert {one.alert for one in raised} == {one.id for one in of(found.effects, Alert)}
    assert len({one.case for one in raised}) == 2


def test_what_is_unusual_joins_the_case_of_a_limit() -> None:
    found = hum(
        play(
            replace(ODD, limits=(Limit(level=Level.YELLOW, above=6.0, hold_s=60.0),)), HOT, join_within_s=120
        )
    )
    found.say(t=70)
    found.wait(60)
    found.say(t=70)
    assert {one.rule for one in of(found.effects, Alert)} == {"odd", "hot"}
    assert len({one.case for one in of(found.effects, Alert)}) == 1


def test_two_of_the_unusual_are_one_case() -> None:
    found = hum(play(ODD, replace(ODD, id="odder", when="unusual(temperature_c, 40m)"), join_within_s=120))
    found.say(t=40)
    assert {one.rule for one in of(found.effects, Alert)} == {"odd", "odder"}
    assert len({one.case for one in of(found.effects, Alert)}) == 1


def shuffled(seed: int) -> list[tuple[int, float]]:
    """Minutes and values of some hours: jumps, gaps, words that come twice, some late; one jump is sure."""
    chance = random.Random(seed)
    said = []
    for minute in range(240):
        if chance.random() < 0.9:
            value = 20 + chance.randrange(5) / 10 + (8 if chance.random() < 0.03 else 0)
            late = chance.choice([0, 0, 0, 0, 0, 3])
            said += [(minute + late, minute, value)] * chance.choice([1, 1, 1, 2])
    return sorted([*(one for one in said if one[1] != 200), (200, 200, 40.0)])


def told(seed: int, restart_every: int) -> tuple[list[object], bytes]:
    found = play(ODD)
    for count, (now, measured, value) in enumerate(shuffled(seed)):
        found.wait(now * 60 - found.at / S)
        found.say(t=value, ts=START_NS // S + measured * 60)
        if restart_every and count % restart_every == 0:
            again = states.load(states.save(found.engine.state))
            found.engine = Engine(found.engine.world, again, found.engine.recent)
    return [*of(found.effects, Alert), *of(found.effects, Notification)], states.save(found.engine.state)


def test_a_restart_anywhere_changes_nothing(seed: int) -> None:
    whole, kept = told(seed, 0)
    assert whole, seed
    assert told(seed, 7) == (whole, kept)


# ---------------------------------------------------------------- why, and why not


def test_why_names_what_it_lay_beside(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        given = world(rules=(ODD,), models={"cabinet": CALM})
        found = hum(Kept(Engine(given, State(identity="0000002a")), store=store))
        found.say(t=25)
        view = found.why()
    assert [(one.text, one.shown) for one in view.terms] == [
        ("temperature_c", "25 ℃"),
        ("unusual(temperature_c, 3600s, 0.1)", "32.3756"),
        ("unusual(temperature_c, 3600s, 0.1) median", "20.2 ℃"),
        ("unusual(temperature_c, 3600s, 0.1) scatter", "0.14826 ℃"),
    ]
    assert view.alert.evidence == "温度 25 ℃，此前 1 小时中位数 20.2 ℃，相差 32.4 个标准差"


@pytest.mark.parametrize("exact", [True, False], ids=["log", "archive"])
def test_why_not_says_how_far_off_it_was_or_that_nobody_knows(exact: bool) -> None:
    found = hum(play(ODD))
    found.say(t=20.8)
    answer = found.why_not("odd", exact=exact)
    assert (answer.reason, answer.en) == (
        "not_beyond",
        "not beyond the limit: 4.047, yellow is > 6, 1.953 short",
    )
    assert "unusual(temperature_c, 3600s, 0.1) median" in {one.text for one in answer.terms}
    found = hum(play(ODD), 20)
    found.say(t=90)
    answer = found.why_not("odd", exact=exact)
    assert (answer.reason, answer.en) == (
        "unknown",
        "the expression is unknown, because of unusual(temperature_c, 3600s, 0.1)",
    )


def test_a_sentence_says_what_it_is_counted_in() -> None:
    said = sentences(ODD)
    assert said[1].startswith("反常提示，不是限值：最新读数与同一设备此前读数的中位数相差几个稳健标准差：")
    assert said[1].endswith("温度（此前 1 小时，至少 0.1 ℃）。")
    assert said[2] == "温度偏离往常高于 6：黄色提示；恢复：低于 4。"
    assert not [line for line in sentences(SMOKE) if "反常" in line]


# ---------------------------------------------------------------- the manual, and its scenarios


def printed() -> str:
    (found,) = re.findall(r"^```text\n(rules:\n.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)
    return found


WORDS = """\
  - name: late words land in their place, and one said twice is one reading
    rule: crack-unusual
    every: 1h
    crack_mm: 0.50x150 0.51~30m dup 0.49x19~10m 0.60x2 dup 0.60 0.50x4
    expect: [yellow @ 174h, clear @ 175h5m]
  - name: a fortnight's gap, and nobody knows any more what is usual
    rule: crack-unusual
    every: 1h
    crack_mm: 0.50x170 gapx330 0.60x20
    expect: []
  - name: a gap of some hours is none
    rule: crack-unusual
    every: 1h
    crack_mm: 0.50x170 gapx5 0.60x4 0.50x3
    expect: [yellow @ 177h, clear @ 179h5m]
  - name: a word two hours late is remembered and rings nobody
    rule: crack-unusual
    every: 1h
    crack_mm: 0.50x170 0.60~2h gap gap 0.60x3 0.50x3
    expect: [yellow @ 175h, clear @ 176h5m]
"""


def test_the_rule_of_the_manual_works_as_printed(tmp_path: Path) -> None:
    files = {
        "lilong.yaml": EXAMPLE.read_text("utf-8").replace("rules: [builtin]", "rules: [builtin, rules]"),
        "rules/my-street.yaml": printed() + WORDS,
    }
    files |= {f"sites/{path.name}": path.read_text("utf-8") for path in EXAMPLE.parent.glob("sites/*.yaml")}
    found = load(write(tmp_path, files), "en", environ={}, lint=True)
    assert found.problems == [] and found.world is not None
    schema = schema_of("rules")
    assert misfits(of_text(printed()), schema, schema) == []
    assert [one for one in found.warnings if "my-street" in str(one.file)] == []
    (odd,) = [one for one in found.world.rules if one.id == "crack-unusual"]
    played = [one for one in found.world.scenarios if one.rule == odd.id]
    assert len(played) == 6
    for one in played:
        assert scenarios.missed(one, scenarios.run(one, odd)) == "", one.name


def test_no_pack_goes_by_the_unusual() -> None:
    """What costs memory for every device, and may ring for none, is for a site to choose."""
    assert not [
        path.name for path in (ROOT / "rules").glob("*.yaml") if "unusual(" in path.read_text("utf-8")
    ]


def test_a_median_of_medians_by_hand(seed: int) -> None:
    """Beside plain statistics, without arrays."""
    chance = random.Random(seed)
    values = [round(chance.gauss(20, 3), 2) for _ in range(chance.randrange(25, 400))]
    found = window(*((i, value) for i, value in enumerate(values)), minutes=len(values))
    middle = median(values[:-1])
    scatter = max(1.4826 * median(abs(one - middle) for one in values[:-1]), 0.1)
    assert found.value((len(values) - 1) * MINUTE) == pytest.approx(abs(values[-1] - middle) / scatter), seed
