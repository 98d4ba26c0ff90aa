"""The language of `when`: what it says, what it refuses, what it costs, and what it does not know."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from itertools import product
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import units, words
from gateway.core.expressions import COST_MOST, DEPTH_MOST, NODES_MOST, RATE_COST, Expression, parse
from gateway.core.measures import (
    BEFORE_LEAST,
    SAMPLES_MOST,
    Measure,
    Overrun,
    Windows,
    feed,
    recall,
    wakes_ns,
)
from gateway.core.measures import FUNCTIONS as OVER_TIME
from gateway.core.terms import MEMBERS_MOST, OTHERS_MOST
from gateway.core.units import QUANTITIES
from gateway.core.words import FUNCTIONS, LONGEST, PARSE, Mistake, span_ns
from gateway.typed import parse_duration

S = 1_000_000_000
MANUAL = (Path(__file__).parents[2] / "rules" / "README.md").read_text("utf-8")


@dataclass
class Subject:
    """A Scope by hand; `steps` counts what an evaluation asks, windows and others at their fullest."""

    values: Mapping[str, float] = field(default_factory=dict)
    windows: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, Sequence[float]] = field(default_factory=dict)
    group: Sequence[Subject] = ()
    steps: int = 0

    def value(self, quantity: str) -> float | None:
        self.steps += 1
        return self.values.get(quantity)

    def window(self, measure: Measure) -> float | None:
        self.steps += SAMPLES_MOST * (2 if measure.function == "unusual" else 1)
        self.steps += RATE_COST if "rate" in measure.function else 0
        return self.windows.get(measure.key)

    def siblings(self, quantity: str) -> Sequence[float]:
        self.steps += OTHERS_MOST
        return self.others.get(f"siblings {quantity}", ())

    def peers(self, quantity: str) -> Sequence[float]:
        self.steps += OTHERS_MOST
        return self.others.get(f"peers {quantity}", ())

    def members(self) -> Sequence[Subject]:
        return self.group


def said(text: str, **values: float) -> float | bool | None:
    return parse(text).evaluate(Subject(values))


# ---------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("24 / 4 / 2", 3),
        ("-2 * -3", 6),
        ("- - 2", 2),
        ("2 - -2", 4),
        ("abs(3 - 5)", 2),
        ("greatest(2, 3) + least(2, 3)", 5),
        ("1.5 * 2", 3),
        ("1 + 1 < 3 and 2 >= 2", True),
        ("1 == 1 and 1 != 2 and not 2 <= 1", True),
        ("1 > 2 or 1 > 2 and true", False),  # and binds tighter
        ("true or true and 1 > 2", True),
        ("not 1 > 2 and 1 > 2", False),  # not binds tighter still
        ("not not true", True),
    ],
)
def test_signs_bind_as_at_school(text, expected):
    assert said(text) == expected and type(said(text)) is type(expected if expected is True else said(text))


leaf = st.sampled_from(["temperature_c", "slot_temperature_c", "3", "0.5", "12"])
tree = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda one: f"({' '.join(one)})"),
        inner.map(lambda one: f"-{one}"),
        inner.map(lambda one: f"abs({one})"),
        st.tuples(st.sampled_from(["greatest", "least"]), inner, inner).map(
            lambda one: f"{one[0]}({one[1]}, {one[2]})"
        ),
    ),
    max_leaves=8,
)


@given(tree, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_arithmetic_is_that_of_python(text, warm, hot):
    """Units aside: one quantity without a unit stands for each, so that every tree is a legal one."""
    text = text.replace("slot_temperature_c", "confidence").replace("temperature_c", "smoke")
    names = {"smoke": warm, "confidence": hot, "abs": abs, "greatest": max, "least": min}
    try:
        found = parse(text)
    except Mistake as error:
        assert error.expected.en.startswith("at most")
        return
    subject = Subject({"smoke": warm, "confidence": hot})
    try:
        expected = eval(text, {"__builtins__": {}}, names)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            found.evaluate(subject)
        return
    if math.isfinite(expected):
        assert found.evaluate(subject) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("crack_mm / smoke", ZeroDivisionError),
        ("crack_mm / smoke > 1", ZeroDivisionError),
        ("crack_mm * 1" + "0" * 150 + " * 1" + "0" * 10 + " * crack_mm", OverflowError),
        ("crack_mm / smoke > 1 or online > 2", ZeroDivisionError),
    ],
)
def test_what_has_no_result_raises_and_what_is_not_known_comes_first(text, error):
    known = {"crack_mm": 1e150, "smoke": 0.0, "online": 1.0}
    assert issubclass(error, ArithmeticError)
    with pytest.raises(error):
        said(text, **known)
    for missing in parse(text).quantities:
        assert said(text, **{name: v for name, v in known.items() if name != missing}) is None, missing


def test_a_guard_keeps_a_division_from_being_tried():
    text = "smoke > 0.5 and crack_mm / smoke > 2"
    assert said(text, smoke=0.0, crack_mm=5.0) is False
    assert said(text, smoke=1.0, crack_mm=5.0) is True


# ---------------------------------------------------------------- truth

TRUTHS = {"true": 1.0, "false": 0.0, "unknown": None}


def table_of(title: str) -> list[list[str]]:
    """The cells of the table that stands below a heading of the manual, its head left out."""
    text = MANUAL.split(f"\n### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def judged(text: str, **words: str) -> str:
    values = {name: TRUTHS[word] for name, word in words.items() if TRUTHS[word] is not None}
    return {True: "true", False: "false", None: "unknown"}[said(text, **values)]


def test_the_truth_table_is_the_one_in_the_manual():
    rows = table_of("Truth table")
    assert {(a, b) for a, b, *_ in rows} == set(product(TRUTHS, TRUTHS)) and len(rows) == 9
    for a, b, both, either, neither in rows:
        assert judged("smoke > 0.5 and online > 0.5", smoke=a, online=b) == both
        assert judged("smoke > 0.5 or online > 0.5", smoke=a, online=b) == either
        assert judged("not smoke > 0.5", smoke=a) == neither


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_a_comparison_with_what_is_not_known_is_not_known(sign):
    assert said(f"smoke {sign} online", smoke=1.0) is None
    assert said(f"smoke {sign} online", online=1.0) is None
    for a, b in product((0.0, 1.0), repeat=2):
        assert said(f"smoke {sign} online", smoke=a, online=b) is eval(f"{a} {sign} {b}")


@pytest.mark.parametrize("text", ["smoke + 1", "-smoke", "abs(smoke)", "greatest(1, smoke)", "smoke * 0"])
def test_a_number_from_what_is_not_known_is_not_known(text):
    assert said(text) is None and said(text, smoke=1.0) is not None


# ---------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("crack_mm", "mm"),
        ("crack_mm - settlement_mm", "mm"),
        ("crack_mm + 1", "mm"),
        ("1 - crack_mm", "mm"),
        ("greatest(0, crack_mm)", "mm"),
        ("-abs(crack_mm)", "mm"),
        ("crack_mm / settlement_mm", "1"),
        ("crack_mm * 2 / 3", "mm"),
        ("2 * 3", "1"),
        ("1 / duration_s", "Hz"),
        ("crack_mm / duration_s", "mm/s"),
        ("ppv_mm_s / dominant_hz", "mm"),
        ("voltage_v * current_a", "W"),
        ("power_w / voltage_v", "A"),
        ("crack_mm * crack_mm", "mm2"),
        ("crack_mm / temperature_c", "mm/C"),
        ("load_kg * crack_mm / duration_s / duration_s", "kg*mm/s2"),
        ("crest_factor", "1"),
        ("mean(crack_mm, 1h)", "mm"),
        ("percentile(crack_mm, 1h, 95)", "mm"),
        ("rate_per_minute(slot_temperature_c, 3m)", "C/min"),
        ("rate_per_hour(slot_temperature_c, 3h)", "C/h"),
        ("rate_per_day(crack_mm, 30d)", "mm/d"),
        ("rate_per_day(crack_mm, 30d) - crack_trend_mm_day", "mm/d"),
        ("rate_per_day(tilt_x_compensated_mm_m, 30d) - tilt_x_trend_mm_m_day", "mm/m/d"),
        ("count(crack_mm > 3, 1h) + times(crack_mm > 3, 1h)", "1"),
        ("share(smoke > 0.5, 1h) - humidity_pct", "%"),
        ("slot_temperature_c - siblings(slot_temperature_c)", "C"),
        ("peers(crack_mm) - last(crack_mm)", "mm"),
        ("average(crack_mm)", "mm"),
        ("members(smoke > 0.5)", "1"),
        ("crack_mm > 3", ""),
    ],
)
def test_units_combine(text, unit):
    found = parse(text)
    assert (found.unit, found.kind) == (unit, "number" if unit else "truth")


@pytest.mark.parametrize(
    ("text", "column", "found"),
    [
        ("crack_mm + temperature_c", 10, "mm + C"),
        ("crack_mm - ppv_mm_s", 10, "mm - mm/s"),
        ("crack_mm > temperature_c", 10, "mm > C"),
        ("tilt_x_deg == lean_mm_per_m", 12, "deg == mm/m"),
        ("leakage_ma + current_a", 12, "mA + A"),
        ("greatest(crack_mm, temperature_c)", 1, "mm and C"),
        ("crack_mm * 2 + temperature_c * 2", 14, "mm + C"),
        ("rate_per_hour(crack_mm, 6h) > crack_trend_mm_day", 29, "mm/h > mm/d"),
        ("rate_per_day(crack_mm, 6d) > crack_mm", 28, "mm/d > mm"),
        ("smoke + crack_mm", 7, "1 + mm"),
        ("crack_mm / settlement_mm + crack_mm", 26, "1 + mm"),
        ("battery_pct - battery_v", 13, "% - V"),
    ],
)
def test_what_has_two_units_is_refused_with_both(text, column, found):
    with pytest.raises(Mistake) as error:
        parse(text)
    assert (error.value.column, error.value.found.en) == (column, found)


UNITS = sorted({one.unit for one in QUANTITIES.values()})


@pytest.mark.parametrize("left", UNITS)
def test_every_unit_is_read_and_written_alike(left):
    assert units.dimension(units.unit_of(units.dimension(left))) == units.dimension(left)
    assert units.product(units.dimension(left), units.dimension(left), -1) == ()
    for right in UNITS:
        a, b = units.dimension(left), units.dimension(right)
        assert units.product(units.product(a, b), b, -1) == a
        assert units.product(a, b) == units.product(b, a)


# ---------------------------------------------------------------- mistakes

REMEMBERED = "what one reading says, since it is remembered over time"


@pytest.mark.parametrize(
    ("text", "column", "found", "expected"),
    [
        ("", 1, "the end", "a number, a quantity or a function"),
        ("   ", 4, "the end", "a number, a quantity or a function"),
        ("slot_temprature_c > 3", 1, "slot_temprature_c", "a quantity, such as slot_temperature_c"),
        ("SMOKE > 0.5", 1, "SMOKE", "a quantity, such as smoke"),
        ("mean(smok, 1h)", 6, "smok", "a quantity, such as smoke"),
        ("siblings(smok)", 10, "smok", "a quantity, such as smoke"),
        ("medium(smoke, 1h)", 1, "medium", "a function, such as median"),
        ("open('x')", 6, "'", "a number, name, sign or bracket"),
        ("qqqqqqq(1)", 1, "qqqqqqq", "a function"),
        ("__import__(1)", 1, "__import__", "a function"),
        ("smoke.real", 6, ".", "a number, name, sign or bracket"),
        ("smoke[0]", 6, "[", "a number, name, sign or bracket"),
        ("crack_mm（", 9, "（", "a number, name, sign or bracket"),
        ("smoke = 1", 7, "=", "=="),
        ("smoke > 1 && online > 1", 11, "&&", "and"),
        ("false", 1, "false", "not true"),
        ("crack_mm ** 2", 11, "*", "a number, a quantity or a function"),
        ("1.2.3 > 1", 1, "1.2.3", "a number, name, sign or bracket"),
        ("crack_mm > 3mm", 12, "3mm", "a number, a quantity or a function"),
        ("(smoke > 1", 11, "the end", ")"),
        ("smoke > 1)", 10, ")", "an operator or the end"),
        ("smoke > 1 1", 11, "1", "an operator or the end"),
        ("1 < smoke < 2", 11, "<", "and between two comparisons"),
        ("smoke and online", 1, "smoke", "a condition such as smoke > 0.5"),
        ("not 3", 5, "a number", "a condition such as smoke > 0.5"),
        ("(smoke > 1) + 1", 1, "a condition", "a number"),
        ("1 * true", 5, "a condition", "a number"),
        ("true == true", 1, "a condition", "a number"),
        ("abs(smoke > 1)", 11, ">", ")"),
        ("mean", 5, "the end", "( after mean"),
        ("mean(smoke)", 11, ")", ","),
        ("mean(smoke, 3)", 13, "3", "a span such as 24h, up to 366d"),
        ("min(1, 2)", 5, "1", "a quantity"),
        ("min(smoke, online)", 12, "online", "a span such as 24h, up to 366d; of two numbers: least"),
        ("mean(smoke, 0s)", 13, "0s", "a span such as 24h, up to 366d"),
        ("mean(smoke, 367d)", 13, "367d", "a span such as 24h, up to 366d"),
        ("mean(smoke, 3x)", 13, "3x", "a span such as 24h, up to 366d"),
        ("mean(smoke + 1, 3h)", 12, "+", ","),
        ("percentile(smoke, 1h)", 21, ")", ","),
        ("percentile(smoke, 1h, 101)", 23, "101", "a percentage, 0 to 100"),
        ("times(smoke, 1h)", 7, "smoke", "a condition such as smoke > 0.5"),
        ("share(true, 1h)", 7, "true", "a condition that reads a quantity"),
        ("count(smoke + 1, 1h)", 7, "a number", "a condition such as smoke > 0.5"),
        ("count(mean(smoke, 1h) > 1, 1h)", 7, "mean", REMEMBERED),
        ("times(siblings(smoke) > 1, 1h)", 7, "siblings", REMEMBERED),
        ("all(any(smoke > 0.5))", 5, "any", "what one member says"),
        ("count(any(smoke > 0.5), 1h)", 7, "any", "what one member says"),
        ("all(smoke)", 5, "smoke", "a condition such as smoke > 0.5"),
        ("worst(smoke > 1)", 7, "a condition", "a number"),
        ("quorum(2 of 1, smoke > 0.5, 60s)", 13, "1", "a whole number, 2 to 64"),
        ("quorum(0 of 3, smoke > 0.5, 60s)", 8, "0", "a whole number, 1 to 64"),
        ("quorum(1.5 of 3, smoke > 0.5, 60s)", 8, "1.5", "a whole number, 1 to 64"),
        ("quorum(2 of 3, smoke > 0.5)", 27, ")", ","),
        ("quorum(2 of 3, smoke > 0.5, 60s, 1)", 34, "1", "degraded"),
        ("quorum(2 of 3, smoke > 0.5, 60s, degraded 3)", 43, "3", "a whole number, 1 to 2"),
        ("quorum(2 of 3, true, 60s)", 16, "true", "a condition that reads a quantity"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_column(text, column, found, expected):
    with pytest.raises(Mistake) as error:
        parse(text)
    assert (error.value.column, error.value.found.en, error.value.expected.en) == (column, found, expected)
    assert (
        re.search("[一-鿿]", error.value.expected.zh) or error.value.expected.zh in "==and)not true,degraded"
    )
    assert str(error.value) == f"column {column}: found {found}, expected {expected}"


def test_a_group_has_no_readings_of_its_own():
    for text in ("any(smoke > 0.5) and online > 0.5", "online > 0.5 and any(smoke > 0.5)"):
        with pytest.raises(Mistake, match=rf"^column {text.index('online') + 1}: found a reading"):
            parse(text)
    for text in ("worst(smoke) > mean(smoke, 1h)", "worst(smoke) > peers(smoke) + smoke"):
        with pytest.raises(Mistake, match=r"^column 16: found a reading"):
            parse(text)


def test_bounds_of_the_text():
    assert parse("1" + " " * (LONGEST - 1)).text
    with pytest.raises(Mistake, match=r"^column 201: found 201 characters"):
        parse("1" + " " * LONGEST)
    deep = "(" * DEPTH_MOST + "1" + ")" * DEPTH_MOST
    assert parse(deep).evaluate(Subject()) == 1
    for text in (f"({deep})", "-" * (DEPTH_MOST + 1) + "1", "not " * (DEPTH_MOST + 1) + "true"):
        with pytest.raises(Mistake, match=f"at most {DEPTH_MOST} within each other"):
            parse(text)
    wide = "+".join("1" * (NODES_MOST // 2))
    assert parse(f"-{wide}").evaluate(Subject()) == NODES_MOST // 2 - 2
    with pytest.raises(Mistake, match=f"at most {NODES_MOST} numbers"):
        parse(f"--{wide}")


@given(
    st.text(max_size=220)
    | st.lists(
        st.sampled_from([*"()+-*/<>,= ", "smoke", "24h", "3", "all(", "not ", "mean("]), max_size=40
    ).map("".join)
)
def test_any_text_is_an_expression_or_a_mistake(text):
    try:
        found = parse(text)
    except Mistake as error:
        assert 1 <= error.column <= len(text) + 1 and all(error.found) and all(error.expected)
    else:
        assert isinstance(found, Expression) and found.cost <= COST_MOST


spans = st.tuples(
    *(st.sampled_from(["", f"1{unit}", f"03{unit}", f"60{unit}"]) for unit in "dhm"),
    st.sampled_from(["", "5s", "1.5s"]),
)


@given(spans.map("".join).filter(bool))
def test_a_span_is_read_as_everywhere_else(text):
    assert span_ns(text) == round(parse_duration(text) * S)
    assert parse(f"mean(smoke, {text})").windows[0].span_ns == span_ns(text)


# ---------------------------------------------------------------- what it reads


def test_an_expression_tells_what_it_reads_and_needs():
    found = parse("median(tilt_x_deg, 24h) - peers(tilt_y_deg) > 2 or count(ppv_mm_s>3 and smoke<1, 1h) > 1")
    assert found.quantities == ("tilt_x_deg", "tilt_y_deg", "ppv_mm_s", "smoke")
    assert found.scope == {"peers"} and found.quantity == "" and found.kind == "truth"
    keys = ["median(tilt_x_deg, 86400s)", "count(ppv_mm_s > 3 and smoke < 1, 3600s)"]
    assert [one.key for one in found.windows] == keys
    assert found.windows[1].quantities == ("ppv_mm_s", "smoke")
    with pytest.raises(FrozenInstanceError):
        found.text = "other"  # type: ignore[misc]


def test_a_plain_quantity_is_known_as_one():
    assert parse(" slot_temperature_c ").quantity == "slot_temperature_c"
    for text in ("(smoke)", "-smoke", "smoke > 1", "last(smoke)", "siblings(smoke)", "1"):
        assert parse(text).quantity == "", text


@pytest.mark.parametrize(
    ("text", "values", "kept"),
    [
        ("mean(smoke, 1h)", {"smoke": 0.25, "online": 1}, 0.25),
        ("mean(smoke, 1h)", {"online": 1.0}, None),
        ("count(smoke, 1h)", {"smoke": 0.0}, True),
        ("count(smoke, 1h)", {"online": 0.0}, None),
        ("count(smoke > 0.5, 1h)", {"smoke": 0.0}, False),
        ("times(smoke > 0.5, 1h)", {"smoke": 1.0}, True),
        ("share(smoke > 0.5 and online > 0.5, 1h)", {"smoke": 1.0}, None),
        ("share(smoke > 0.5 and online > 0.5, 1h)", {"smoke": 0.0}, False),
        ("quorum(2 of 3, smoke > 0.5, 60s)", {"smoke": 1.0}, True),
    ],
)
def test_a_window_keeps_what_one_reading_says(text, values, kept):
    (one,) = parse(text).windows
    assert one.sample(values) is kept or one.sample(values) == kept


def test_a_condition_over_time_may_have_no_result_either():
    (one,) = parse("count(crack_mm / smoke > 1, 1h)").windows
    with pytest.raises(ZeroDivisionError):
        one.sample({"crack_mm": 1.0, "smoke": 0.0})
    assert one.sample({"smoke": 0.0}) is None


def test_a_window_asked_twice_is_kept_once_and_spelling_does_not_matter():
    found = parse("count(smoke>0.5, 1d) > 3 or count( smoke > 0.5,24h) > count(smoke > 0.5, 2h)")
    assert [one.key for one in found.windows] == [
        "count(smoke > 0.5, 86400s)",
        "count(smoke > 0.5, 7200s)",
    ]


@pytest.mark.parametrize("name", OVER_TIME)
def test_every_function_over_time_is_asked_of_its_window(name):
    span = "" if name == "last" else ", 1h, 95" if name == "percentile" else ", 1h"
    of = "smoke > 0.5" if name in ("times", "share") else "smoke"
    found = parse(f"{name}({of}{span}) + 1")
    (one,) = found.windows
    assert (one.function, one.span_ns) == (name, 0 if name == "last" else 3600 * S)
    assert one.argument == {"percentile": 95, "unusual": QUANTITIES["smoke"].resolution}.get(name, 0)
    assert found.evaluate(Subject(windows={one.key: 41.0})) == 42.0
    assert found.evaluate(Subject()) is None
    assert one.window().function == name


@dataclass
class Kept(Subject):
    """A subject whose windows are real ones, as the engine keeps them."""

    kept: Windows = field(default_factory=dict)
    now_ns: int = 0

    def window(self, measure: Measure) -> float | None:
        return recall(self.kept, "wall-1", measure, self.now_ns)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3)], ids=str)
def test_a_rule_with_memory_from_readings_to_its_answer(order):
    """What the engine does: feed each reading, ask at its instant, ask again when time alone matters."""
    found = parse("count(ppv_mm_s > 3, 1h) >= 3 and max(ppv_mm_s, 1h) < 10")
    readings = [(10 * i * 60 * S, {"ppv_mm_s": value}) for i, value in enumerate((4.0, 1.0, 5.0, 6.0, 2.0))]
    one = Kept()
    for place in order:
        measured_ns, values = readings[place]
        feed(one.kept, "wall-1", found.windows, values, measured_ns)
    one.now_ns = readings[-1][0]
    assert found.evaluate(one) is True
    wake = wakes_ns(one.kept, "wall-1", found.windows, one.now_ns)
    assert wake == 3600 * S + 1  # the first reading leaves both windows
    one.now_ns = wake - 1
    assert found.evaluate(one) is True
    one.now_ns = wake
    assert found.evaluate(one) is False


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("unusual(crack_mm, 14d)", ["crack_mm"]),
        ("crack_mm > 3 or not unusual(tilt_x_deg, 1d) < 6", ["tilt_x_deg"]),
        ("greatest(unusual(crack_mm, 1d), unusual(crack_mm, 14d))", ["crack_mm", "crack_mm"]),
        ("any(peers(crack_mm) > 1 and unusual(crack_mm, 14d) > 6)", ["crack_mm"]),
        ("median(crack_mm, 14d)", []),
        ("crack_mm > 3", []),
    ],
)
def test_what_asks_for_the_unusual_is_known_by_it(text, of):
    found = parse(text)
    assert [one.of for one in found.unusual] == of
    assert all(one.argument == QUANTITIES[one.of].resolution for one in found.unusual)


def test_how_unusual_is_a_bare_number_of_one_reading():
    assert parse("unusual(crack_mm, 14d)").unit == "1"
    assert parse("unusual(crack_mm, 14d) > unusual(tilt_x_deg, 1h)").kind == "truth"
    for text, column in (("count(unusual(crack_mm, 1d) > 6, 1h)", 7), ("unusual(crack_mm > 1, 1d)", 18)):
        with pytest.raises(Mistake, match=f"column {column}"):
            parse(text)


# ---------------------------------------------------------------- others


@pytest.mark.parametrize("name", ["siblings", "peers"])
def test_others_are_a_median_of_at_least_two(name):
    text = f"slot_temperature_c - {name}(slot_temperature_c)"

    def found(*others: float) -> float | bool | None:
        key = f"{name} slot_temperature_c"
        return parse(text).evaluate(Subject({"slot_temperature_c": 50.0}, others={key: others}))

    assert found() is None and found(20.0) is None
    assert found(20.0, 30.0) == 25.0 and found(90.0, 20.0, 30.0) == 20.0
    assert parse(text).scope == {name}
    assert found(*[20.0] * OTHERS_MOST) == 30.0
    with pytest.raises(Overrun, match="1025, more than 1024"):
        found(*[20.0] * (OTHERS_MOST + 1))


# ---------------------------------------------------------------- groups


def group(*words: bool | None) -> Subject:
    """Members whose smoke says so; None: not known."""
    return Subject(group=[Subject({} if one is None else {"smoke": float(one)}) for one in words])


ANSWERS = (True, False, None)
CROWDS = [crowd for size in range(5) for crowd in product(ANSWERS, repeat=size)]


def completions(crowd: Sequence[bool | None]) -> list[list[bool]]:
    """Every way in which what is not known may turn out."""
    return [list(one) for one in product(*((word,) if word is not None else (True, False) for word in crowd))]


@pytest.mark.parametrize("crowd", CROWDS, ids=str)
def test_a_group_is_sure_as_soon_as_nothing_could_change_it(crowd):
    """Kleene, by trying every way in which the unknown may turn out."""
    questions = {
        "all(smoke > 0.5)": all,
        "any(smoke > 0.5)": any,
        **{
            f"members(smoke > 0.5) {sign} {n}": lambda one, sign=sign, n=n: eval(f"{sum(one)} {sign} {n}")
            for sign in ("<", "<=", ">", ">=", "==", "!=")
            for n in range(5)
        },
    }
    for text, question in questions.items():
        outcomes = {question(one) for one in completions(crowd)}
        expected = outcomes.pop() if len(outcomes) == 1 and crowd else None
        assert parse(text).evaluate(group(*crowd)) is expected, text


def test_bounds_may_stand_on_either_side():
    assert parse("2 <= members(smoke > 0.5)").evaluate(group(True, True, None)) is True
    assert parse("members(smoke > 0.5) > members(smoke < 0.5)").evaluate(group(True, True, None)) is True
    assert parse("members(smoke > 0.5) > members(smoke < 0.5)").evaluate(group(True, None, None)) is None
    assert parse("members(smoke > 0.5) > members(smoke < 0.5)").evaluate(group(None)) is None
    assert parse("(members(smoke > 0.5)) >= 1").evaluate(group(True, None)) is True
    assert parse("members(smoke > 0.5) * 1 >= 1").evaluate(group(True, None)) is None
    assert parse("members(smoke > 0.5)").evaluate(group(True, True, False)) == 2.0
    assert parse("members(smoke > 0.5)").evaluate(group(True, None)) is None


@pytest.mark.parametrize("crowd", [one for one in CROWDS if len(one) <= 3], ids=str)
@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_quorum_counts_who_is_missing_as_not_known(crowd, needed):
    text = f"quorum({needed} of 3, smoke > 0.5, 60s)"
    outcomes = {sum(one) >= needed for one in completions([*crowd, *[None] * (3 - len(crowd))])}
    expected = outcomes.pop() if len(outcomes) == 1 else None
    assert parse(text).evaluate(group(*crowd)) is expected


@pytest.mark.parametrize(
    ("crowd", "expected"),
    [
        ((True, False, False), False),  # all three are known: two are needed
        ((True, True, False), True),
        ((True, False, None), True),  # one is not known: one is enough
        ((True, None, None), True),
        ((False, False, None), None),  # the third may be the one that burns
        ((None, None, None), None),
        ((True,), True),
        ((), None),
    ],
)
def test_a_degraded_quorum_needs_fewer_when_somebody_is_not_known(crowd, expected):
    found = parse("quorum(2 of 3, smoke > 0.5, 60s, degraded 1)")
    assert found.evaluate(group(*crowd)) is expected


def test_a_member_of_a_quorum_counts_for_the_span_after_it_held():
    found = parse("quorum(2 of 3, smoke > 0.5, 60s)")
    (one,) = found.windows
    assert (one.function, one.span_ns) == ("count", 60 * S)
    calm, recent = Subject({"smoke": 0.0}), Subject({"smoke": 0.0}, {one.key: 1.0})
    assert found.evaluate(Subject(group=[recent, recent, calm])) is True
    assert found.evaluate(Subject(group=[recent, calm, calm])) is False
    silent = Subject({}, {one.key: 2.0})
    assert found.evaluate(Subject(group=[recent, silent, calm])) is True


def test_numbers_over_members_are_of_those_that_are_known():
    members = [Subject({"temperature_c": one}) for one in (20.0, 32.0, 26.0)] + [Subject()]
    for name, expected in (("worst", 32.0), ("lowest", 20.0), ("average", 26.0)):
        assert parse(f"{name}(temperature_c)").evaluate(Subject(group=members)) == expected
        assert parse(f"{name}(-temperature_c / 2)").evaluate(Subject(group=members)) in (-10, -16, -13)
        assert parse(f"{name}(temperature_c)").evaluate(Subject(group=[Subject()])) is None
        assert parse(f"{name}(temperature_c)").evaluate(Subject()) is None
    assert parse("average(temperature_c)").evaluate(Subject(group=members)) == fmean((20.0, 32.0, 26.0))


def test_members_have_windows_and_others_of_their_own():
    found = parse("all(mean(crack_mm, 1h) > peers(crack_mm))")
    (one,) = found.windows
    member = Subject(windows={one.key: 5.0}, others={"peers crack_mm": (1.0, 2.0)})
    assert found.evaluate(Subject(group=[member, member])) is True
    assert found.scope == {"members", "peers"}


def test_a_member_without_a_result_stops_the_rule_and_one_not_known_does_not():
    found = parse("any(crack_mm / smoke > 1)")
    assert found.evaluate(Subject(group=[Subject({"smoke": 0.0})])) is None
    with pytest.raises(ZeroDivisionError):
        found.evaluate(Subject(group=[Subject({"smoke": 0.0, "crack_mm": 1.0})]))


def test_a_group_has_a_bound():
    found = parse("any(smoke > 0.5)")
    assert found.evaluate(group(*[False] * MEMBERS_MOST)) is False
    with pytest.raises(Overrun, match="a group of 65, more than 64"):
        found.evaluate(group(*[False] * (MEMBERS_MOST + 1)))


# ---------------------------------------------------------------- cost

PARTS = [
    "smoke > 0.5", "mean(smoke, 1h) > 1", "rate_per_day(smoke, 9d) > 1", "smoke > peers(smoke)",
    "siblings(smoke) + 1 > 2", "abs(smoke - online) < 2", "count(smoke > 0.5, 1h) > 2", "not smoke < 1",
    "unusual(smoke, 1h) > 6",
]  # fmt: skip
own = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(" or ".join)
grouped = st.tuples(st.sampled_from(["all", "any"]), st.sampled_from(PARTS)).map(
    lambda one: f"{one[0]}({one[1]})"
)


@given(own | grouped | st.just("quorum(2 of 3, smoke > 0.5, 60s)"))
def test_the_cost_is_never_exceeded(text):
    """What an evaluation asks, each window and comparison at its fullest, and each group as well."""
    found = parse(text)
    members = [Subject({"smoke": 1.0, "online": 0.0}) for _ in range(MEMBERS_MOST)]
    subject = Subject({"smoke": 0.0, "online": 0.0}, group=members)
    found.evaluate(subject)
    asked = subject.steps + sum(one.steps for one in members)
    assert asked <= found.cost <= COST_MOST


def test_what_would_cost_too_much_is_refused():
    assert parse("all(rate_per_day(smoke, 9d) > 1)").cost > COST_MOST // 2
    with pytest.raises(Mistake, match=f"work of [0-9]+ steps, expected at most {COST_MOST}"):
        parse("all(rate_per_day(smoke, 9d) > 1) and all(rate_per_day(online, 9d) > 1)")


# ---------------------------------------------------------------- limits that depend on something


SENSITIVE = "curve(dominant_hz, 1 3, 10 3, 50 8, 100 10)"


@pytest.mark.parametrize(
    ("hz", "limit"), [(0.2, 3), (1, 3), (9, 3), (10, 3), (30, 5.5), (50, 8), (75, 9), (100, 10), (300, 10)]
)
def test_a_curve_is_straight_between_its_points_and_flat_beyond(hz, limit):
    assert said(SENSITIVE, dominant_hz=hz) == limit


def test_a_curve_may_go_below_zero():
    assert said("curve(temperature_c, -10 4, 0 -2)", temperature_c=-5) == 1


def test_a_limit_at_an_unknown_frequency_is_unknown():
    assert said(f"percent(ppv_mm_s, {SENSITIVE})", ppv_mm_s=90) is None
    assert said(f"percent(ppv_mm_s, {SENSITIVE})", ppv_mm_s=4.4, dominant_hz=30) == pytest.approx(80)


def test_double_control_is_the_nearer_of_two_limits():
    text = "greatest(percent(abs(settlement_mm), 30), percent(crack_mm, 2))"
    assert said(text, settlement_mm=-15, crack_mm=0.2) == 50
    assert said(text, settlement_mm=-3, crack_mm=3) == 150
    assert parse(text).unit == "%"


@pytest.mark.parametrize(
    ("text", "column", "found"),
    [
        ("curve(dominant_hz, 1 3)", 23, r"\)"),
        ("curve(dominant_hz, 1 3, 1 4)", 25, "1"),
        ("curve(dominant_hz, 5 3, 1 4)", 25, "1"),
        ("curve(dominant_hz, 1 3, 2, 3)", 26, ","),
        ("curve(smoke > 1, 1 3, 2 3)", 13, ">"),
        ("percent(ppv_mm_s, dominant_hz)", 1, "mm/s and Hz"),
        ("percent(crack_mm)", 17, r"\)"),
        ("percent(crack_mm > 1, 2)", 18, ">"),
    ],
)
def test_a_mistake_in_a_limit_is_told_where_it_stands(text, column, found):
    with pytest.raises(Mistake, match=f"column {column}: found {found}"):
        parse(text)


# ---------------------------------------------------------------- the manual


def test_the_manual_lists_every_function_as_it_is_written():
    listed = {row[0].strip("`"): row[1] for row in table_of("Functions")}
    assert listed == {name: row.gives for name, row in FUNCTIONS.items()}
    assert set(OVER_TIME) <= PARSE.keys()


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=str)
def test_every_function_is_written_as_the_manual_says(row):
    text = re.sub(r"\bC\b", "crack_mm > 3", re.sub(r"\b[qxy]\b", "crack_mm", row.written))
    found = parse(text)
    unit = (
        {"unit of": "mm", "truth": ""}.get(row.gives[:7].removesuffix(" "))
        if row.gives[0] in "ut"
        else row.gives
    )
    assert found.unit == (unit or "") + ("/" + row.gives.partition(" / ")[2] if " / " in row.gives else "")


def test_the_manual_gives_the_bounds_that_hold():
    text = MANUAL.split("\n## Expressions\n")[1].split("\n## ")[0]
    for number in (LONGEST, DEPTH_MOST, NODES_MOST, SAMPLES_MOST, MEMBERS_MOST, OTHERS_MOST, BEFORE_LEAST):
        assert re.search(rf"\b{number}\b", text), number


@pytest.mark.parametrize(
    "text", re.findall(r"^- `([^`]+)`", MANUAL.partition("\n## Expressions\n")[2].split("\n## ")[0], re.M)
)
def test_every_example_of_the_manual_is_an_expression(text):
    assert parse(text).quantities


def test_chinese_is_written_with_chinese_punctuation():
    said = [one.zh for one in vars(words).values() if isinstance(one, words.Said)]
    for text in ("smok > 1", "smoke >", "mean(smoke, x)", "curve(smoke, 1 3)", "percentile(smoke, 1h, 101)"):
        with pytest.raises(Mistake) as mistake:
            parse(text)
        said += [mistake.value.found.zh, mistake.value.expected.zh]
    assert not [one for one in said if re.search(r"[\u4e00-\u9fff][,;:]|[,;:][\u4e00-\u9fff]", one)]
