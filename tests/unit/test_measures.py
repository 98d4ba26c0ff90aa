"""Windows with memory against what can be worked out by hand."""

from __future__ import annotations

import math
from statistics import median, stdev

import msgspec
import pytest

from gateway.core.measures import (
    FUNCTIONS,
    RATE_POINTS_MOST,
    SAMPLES_MOST,
    SHARE_STEPS,
    Measure,
    Overrun,
    Window,
    Windows,
    feed,
    key_of,
    recall,
    wakes_ns,
)

S = 1_000_000_000
MINUTE, HOUR = 60 * S, 3600 * S
T0 = 1_790_000_000 * S  # some afternoon


def window(function: str, span_ns: int, *samples: tuple[float, float], argument: float = 0.0) -> Window:
    """Of samples (minutes after T0, value)."""
    one = Window(function, span_ns, argument)
    for minutes, value in samples:
        one.add(T0 + round(minutes * MINUTE), value)
    return one


def at(minutes: float) -> int:
    return T0 + round(minutes * MINUTE)


RISING = [(0, 1.0), (10, 2.0), (20, 4.0), (30, 7.0), (40, 6.0), (50, 20.0)]
VALUES = [value for _, value in RISING]


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        ("mean", 0, sum(VALUES) / 6),
        ("median", 0, median(VALUES)),
        ("min", 0, 1.0),
        ("max", 0, 20.0),
        ("std", 0, stdev(VALUES)),
        ("percentile", 0, 1.0),
        ("percentile", 50, 5.0),
        ("percentile", 90, 13.5),  # halfway between 7 and 20: rank 4.5 of 0..5
        ("percentile", 12.5, 1.625),
        ("percentile", 100, 20.0),
        ("change", 0, 19.0),
        ("last", 0, 20.0),
    ],
)
def test_a_function_says_what_its_name_says(function, argument, expected):
    one = window(function, HOUR, *RISING, argument=argument)
    assert one.value(at(50)) == pytest.approx(expected, rel=1e-12)


def test_counted_are_the_samples_of_the_span_that_held():
    held = [(0, 1), (10, 0), (20, 1), (30, 1), (40, 0), (50, 1), (60, 1)]
    assert window("count", HOUR, *held).value(at(60)) == 5
    assert [window("count", 20 * MINUTE, *held).value(at(minute)) for minute in (60, 70, 71)] == [2, 2, 1]
    assert [window("times", HOUR, *held).value(at(minute)) for minute in (60, 80, 81)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("function", "per_minute"), [("rate_per_minute", 1), ("rate_per_hour", 60), ("rate_per_day", 1440)]
)
@pytest.mark.parametrize("count", [2, 3, RATE_POINTS_MOST, RATE_POINTS_MOST + 1, 1000])
def test_a_rate_is_the_slope_of_a_straight_line_however_many_points(function, per_minute, count):
    line = [(i * 60 / (count - 1), 5 + 0.25 * i * 60 / (count - 1)) for i in range(count)]
    assert window(function, HOUR, *line).value(at(60)) == pytest.approx(0.25 * per_minute, rel=1e-9)


def test_groups_of_readings_stand_at_their_mean_instant():
    """Of two readings the median is the mean, so that an uneven line stays a line."""
    line = [(t, 3 * t) for t in (i / 3 + (i**3 % 101) / 400 for i in range(150))]
    assert window("rate_per_minute", HOUR, *line).value(at(50)) == pytest.approx(3, rel=1e-9)


def test_a_rate_does_not_believe_an_outlier():
    line = [(i, 2.0 * i) for i in range(30)]
    line[7], line[19] = (7, 500.0), (19, -400.0)
    assert window("rate_per_minute", 30 * MINUTE, *line).value(at(29)) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("count", [4, 40])
def test_of_two_values_of_one_instant_a_rate_takes_the_lower(count):
    line = [(i * 40 / count, i * i / 7) for i in range(count)]
    twice = [*line, *((t, value + 9.0) for t, value in line[1::3])]
    plain, both = (window("rate_per_minute", 40 * MINUTE, *samples) for samples in (line, twice))
    assert both.value(at(40)) == plain.value(at(40)) != 0


def test_the_window_holds_both_of_its_ends():
    """Two readings ten minutes apart are a change over ten minutes, not a window of one reading."""
    one = window("change", 10 * MINUTE, (0, 1.0), (10, 4.0))
    assert one.value(at(10)) == 3.0
    assert one.value(at(10) + 1) is None  # a nanosecond later the older one has left


# ---------------------------------------------------------------- not yet, and no longer, known


@pytest.mark.parametrize(
    "function", [one for one in FUNCTIONS if one not in ("count", "times", "share", "last")]
)
def test_nothing_is_said_before_half_of_the_span_is_covered(function):
    short = window(function, HOUR, *((i, float(i)) for i in range(30)))
    assert short.value(at(29)) is None and short.value(at(45)) is None
    short.add(at(30), 30.0)
    assert short.value(at(30)) is not None
    assert window(function, HOUR).value(at(0)) is None


def test_silence_makes_a_mean_unknown_again():
    one = window("mean", HOUR, *((i, 5.0) for i in range(0, 61, 5)))
    assert one.value(at(90)) == 5.0  # those of minutes 30 to 60
    assert one.value(at(90) + 1) is None
    assert one.value(at(500)) is None


def test_counts_begin_with_what_they_have():
    assert window("count", HOUR).value(T0) == 0.0
    assert window("times", HOUR).value(T0) == 0.0
    assert window("share", HOUR).value(T0) is None
    assert window("last", 0).value(T0) is None
    assert window("count", HOUR, (0, True), (1, False), (2, True)).value(at(2)) == 2.0


# ---------------------------------------------------------------- conditions


def test_times_counts_rises_and_knows_what_held_before_the_window():
    door = [(0, 1), (10, 0), (20, 1), (30, 1), (40, 0), (50, 1), (70, 1)]
    one = window("times", HOUR, *door)
    assert one.value(at(70)) == 2.0  # at 20 and 50; the word at 0 rose from nothing we know of
    assert one.value(at(80)) == 2.0  # the rise at 20 is just in it
    assert one.value(at(80) + 1) == 1.0
    assert one.value(at(110) + 1) == 0.0
    assert window("times", HOUR, (0, 1)).value(at(0)) == 0.0
    first = window("times", HOUR, (0, 0), (61, 1))
    assert first.value(at(61)) == 1.0  # the 0 has left the window, yet it is what the 1 rose from


def test_a_share_weighs_by_time_and_a_value_holds_until_the_next():
    one = window("share", HOUR, (0, 0), (30, 1), (45, 0), (60, 0))
    assert one.value(at(60)) == pytest.approx(25.0)
    assert one.value(at(75)) == pytest.approx(25.0)
    assert one.value(at(95)) == pytest.approx(100 * 10 / 60)
    assert one.value(at(200)) == 0.0
    held = window("share", HOUR, (0, 1))
    assert held.value(at(0)) is None  # no time has passed
    assert held.value(at(10)) == 100.0 and held.value(at(500)) == 100.0
    young = window("share", HOUR, (0, 1), (5, 0))
    assert young.value(at(20)) == 25.0  # of the twenty minutes that are known


# ---------------------------------------------------------------- time alone


def test_a_value_changes_with_time_alone_when_it_says_so():
    """Between two samples every change falls on an instant that next_change_ns told."""
    for function in ("mean", "max", "change", "rate_per_hour", "count", "times"):
        one = window(function, HOUR, *((i * 7, float(i % 3 == 1)) for i in range(9)))
        now = at(56)
        seen = [one.value(now)]
        for _ in range(20):
            later = one.next_change_ns(now)
            if later is None:
                break
            assert later > now
            assert one.value(later - 1) == seen[-1], function
            seen.append(one.value(later))
            now = later
        assert one.next_change_ns(now) is None
        assert one.value(now + 100 * HOUR) == seen[-1], function
        assert len(set(seen)) > 1, function


def test_a_count_wakes_nobody_for_readings_that_did_not_hold():
    one = window("count", HOUR, (0, 0), (10, 0), (20, 1), (30, 0))
    assert one.next_change_ns(at(30)) == at(80) + 1
    assert window("count", HOUR, (0, 0)).next_change_ns(at(0)) is None
    door = window("times", HOUR, (0, 0), (10, 1), (20, 1))
    assert door.next_change_ns(at(20)) == at(70) + 1  # when the rise leaves
    assert door.next_change_ns(at(70) + 1) is None


def test_a_share_is_looked_at_again_while_it_moves_and_left_alone_when_it_does_not():
    one = window("share", HOUR, (0, 0), (30, 1))
    assert one.next_change_ns(at(40)) == at(40) + HOUR // SHARE_STEPS
    assert one.next_change_ns(at(90) + 1) is None  # a whole hour of 1: nothing moves any more
    before, now = one.value(at(31)), at(31)
    while (later := one.next_change_ns(now)) is not None:
        value = one.value(later)
        assert abs(value - before) <= 100 / SHARE_STEPS * (HOUR / (now - at(0)) if now < at(60) else 1) + 1e-9
        before, now = value, later
    assert before == 100.0


@pytest.mark.parametrize("function", ["last", "mean", "share"])
def test_nothing_to_wait_for(function):
    assert Window(function, HOUR).next_change_ns(T0) is None
    assert window(function, HOUR, (0, 1.0)).next_change_ns(at(1)) is None


def test_a_sample_from_ahead_moves_now():
    one = window("count", HOUR, (0, 1), (90, 1))
    assert one.value(at(10)) == 1.0


# ---------------------------------------------------------------- what goes in


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_never_enters(value):
    one = window("mean", HOUR, (0, 1.0))
    with pytest.raises(ValueError, match="finite"):
        one.add(at(1), value)
    assert len(one) == 1


def test_a_repeated_sample_counts_once_and_two_of_one_instant_twice():
    one = window("mean", HOUR, (0, 1.0), (40, 1.0), (40, 4.0), (40, 1.0), (0, 1.0))
    assert len(one) == 3 and one.value(at(40)) == 2.0


def test_the_sign_of_a_zero_leaves_no_trace():
    orders = [window("last", 0, (0, a), (0, b)) for a, b in ((0.0, -0.0), (-0.0, 0.0))]
    assert len({msgspec.msgpack.encode(one) for one in orders}) == 1


def test_what_is_older_than_the_span_is_forgotten_and_comes_back_no_more():
    one = window("mean", HOUR, *((i, 1.0) for i in range(0, 200)))
    assert len(one) == 61
    one.add(at(100), 99.0)
    assert len(one) == 61 and one.value(at(199)) == 1.0
    one.drop(at(190))
    assert len(one) == 10 and one.newest_ns == at(199)


def test_dropping_keeps_the_state_that_held():
    for function in ("times", "share", "last"):
        one = window(function, HOUR, (0, 0), (10, 1))
        one.drop(at(500))
        assert len(one) == 1, function
    one = window("count", HOUR, (0, 0), (10, 1))
    one.drop(at(500))
    assert len(one) == 0


def test_too_many_samples_are_refused_by_name_and_the_window_stays_as_it_was():
    one = Window("mean", HOUR)
    for i in range(SAMPLES_MOST):
        one.add(T0 + i, 1.0)
    before = msgspec.msgpack.encode(one)
    with pytest.raises(Overrun, match="4096 samples in 3600s"):
        one.add(T0 + SAMPLES_MOST, 1.0)
    assert msgspec.msgpack.encode(one) == before and issubclass(Overrun, ArithmeticError)
    one.add(T0 - 2 * HOUR, 1.0)  # long past, not one too many
    assert msgspec.msgpack.encode(one) == before
    one.add(T0 + HOUR + 10, 1.0)  # ten have left
    assert len(one) == SAMPLES_MOST - 9


def test_what_cannot_be_said_as_a_number_raises():
    one = window("change", HOUR, (0, -1.7e308), (60, 1.7e308))
    with pytest.raises(OverflowError, match="change is not finite"):
        one.value(at(60))
    one = window("mean", HOUR, (0, 1.7e308), (60, 1.7e308))
    with pytest.raises(OverflowError):
        one.value(at(60))
    one.add(at(70), 1.0)  # and the window can still grow


def test_a_window_weighs_sixteen_bytes_a_sample():
    one = window("mean", 24 * HOUR, *((10 * i, float(i)) for i in range(145)))
    assert len(one) == 145
    assert len(msgspec.msgpack.encode(one)) < 145 * 16 + 100


# ---------------------------------------------------------------- measures


def test_a_key_names_function_subject_span_and_argument():
    def measure(function: str, span_ns: int, argument: float = 0) -> Measure:
        return Measure(function, "crack_mm", span_ns, argument, ("crack_mm",), lambda values: None)

    assert measure("mean", 24 * HOUR).key == "mean(crack_mm, 86400s)"
    assert measure("percentile", 90 * S, 99.5).key == "percentile(crack_mm, 90s, 99.5)"
    assert measure("percentile", 90 * S, 0).key == "percentile(crack_mm, 90s, 0)"
    assert measure("mean", S // 2).key == "mean(crack_mm, 0.5s)"
    assert measure("last", 0).key == "last(crack_mm)"
    assert measure("percentile", 90 * S, 99.5).window() == Window("percentile", 90 * S, 99.5)
    assert measure("mean", 24 * HOUR) == measure("mean", 24 * HOUR)


def test_windows_of_many_subjects_are_fed_asked_and_woken_by_their_keys():
    def sample(values):
        return values.get("crack_mm")

    mean = Measure("mean", "crack_mm", HOUR, 0, ("crack_mm",), sample)
    last = Measure("last", "crack_mm", 0, 0, ("crack_mm",), sample)
    count = Measure("count", "crack_mm", HOUR, 0, ("crack_mm",), lambda values: "crack_mm" in values or None)
    kept: Windows = {}
    assert [recall(kept, "wall-1", one, T0) for one in (mean, last, count)] == [None, None, 0.0]
    assert wakes_ns(kept, "wall-1", (mean, last, count), T0) is None and kept == {}
    feed(kept, "wall-1", (mean, last, count), {"smoke": 1.0}, at(0))
    assert kept == {}
    for minutes, value in ((0, 1.0), (40, 2.0), (40, 2.0)):
        feed(kept, "wall-1", (mean, last, count), {"crack_mm": value}, at(minutes))
    feed(kept, "wall-2", (last,), {"crack_mm": 9.0}, at(40))
    assert kept.keys() == {key_of(one, "wall-1") for one in (mean, last, count)} | {key_of(last, "wall-2")}
    assert [recall(kept, "wall-1", one, at(40)) for one in (mean, last, count)] == [1.5, 2.0, 2.0]
    assert recall(kept, "wall-2", last, at(40)) == 9.0
    assert wakes_ns(kept, "wall-1", (mean, last, count), at(40)) == at(60) + 1
    assert wakes_ns(kept, "wall-1", (last,), at(40)) is None
    assert wakes_ns(kept, "wall-1", (mean, count), at(70)) == at(100) + 1  # the count; no mean is left
