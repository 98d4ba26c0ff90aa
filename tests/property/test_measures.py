"""What holds of every window, in whatever order its samples arrive and wherever the gateway restarts."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, median

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.measures import COVERED_PART, FUNCTIONS, Window

S = 1_000_000_000
SPAN = 100 * S
CONDITIONS = ("count", "times", "share")
value = st.floats(-1e4, 1e4).map(lambda one: round(one, 2))
instant = st.integers(0, 180).map(lambda one: one * S)
samples = st.lists(st.tuples(instant, value | st.sampled_from([0.0, -0.0, 1.0])), max_size=40)
function = st.sampled_from(FUNCTIONS)


def made(name: str, given_samples: list[tuple[int, float]]) -> Window:
    one = Window(name, 0 if name == "last" else SPAN, 90.0)
    for measured_ns, number in given_samples:
        one.add(measured_ns, float(number > 0) if name in CONDITIONS else number)
    return one


@given(function, samples.flatmap(lambda one: st.tuples(st.just(one), st.permutations(one))))
def test_the_order_of_arrival_leaves_no_trace(name, orders):
    """Not the value only: the very bytes, so that whatever comes later is alike, too."""
    arrived, other = orders
    assert msgspec.msgpack.encode(made(name, arrived)) == msgspec.msgpack.encode(made(name, sorted(other)))


@given(function, samples, st.integers(0, 40), st.integers(0, 300))
def test_saving_and_loading_anywhere_changes_nothing(name, given_samples, cut, now):
    whole = made(name, given_samples)
    half = made(name, given_samples[:cut])
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(half), type=Window)
    for measured_ns, number in given_samples[cut:]:
        restored.add(measured_ns, float(number > 0) if name in CONDITIONS else number)
    assert restored == whole
    assert restored.value(now * S) == whole.value(now * S)
    assert restored.next_change_ns(now * S) == whole.next_change_ns(now * S)


def brute(name: str, given_samples: list[tuple[int, float]], now: int) -> float | None:
    """The same from all samples there ever were, in plain Python."""
    everything = sorted({(at, float(v > 0) if name in CONDITIONS else v + 0.0) for at, v in given_samples})
    now = max(now, everything[-1][0]) if everything else now
    inside = [(at, v) for at, v in everything if at >= now - SPAN]
    values = [v for _, v in inside]
    if name == "last":
        return everything[-1][1] if everything else None
    if name == "count":
        return sum(values)
    if name == "times":
        return float(sum(b[1] > 0 == a[1] and b[0] >= now - SPAN for a, b in pairwise(everything)))
    if name == "share" and everything:
        ends = [*(at for at, _ in everything[1:]), now]
        spans = [
            (max(end - max(at, now - SPAN), 0), v) for (at, v), end in zip(everything, ends, strict=True)
        ]
        known = sum(length for length, _ in spans)
        return 100 * sum(length for length, v in spans if v) / known if known else None
    if not inside or not 0 < inside[-1][0] - inside[0][0] >= SPAN * COVERED_PART:
        return None
    if name in ("mean", "median", "min", "max"):
        return {"mean": fmean, "median": median, "min": min, "max": max}[name](values)
    if name == "change":
        return values[-1] - values[0]
    if name == "percentile":
        place = 0.9 * (len(values) - 1)
        low, high = sorted(values)[math.floor(place)], sorted(values)[math.ceil(place)]
        return low + (high - low) * (place - math.floor(place))
    if name == "std":
        return math.sqrt(sum((v - fmean(values)) ** 2 for v in values) / (len(values) - 1))
    if name == "unusual":  # 90: the argument of all, here the least standard deviation
        *before, newest = values
        middle = median(before)
        spread = max(1.4826 * median([abs(v - middle) for v in before]), 90.0)
        return abs(newest - middle) / spread if len(before) >= 24 else None
    first = {at: v for at, v in reversed(inside)}
    points = sorted(first.items())
    slopes = [(v - u) / (t - s) for i, (s, u) in enumerate(points) for t, v in points[i + 1 :]]
    return median(slopes) * S * {"minute": 60, "hour": 3600, "day": 86400}[name.removeprefix("rate_per_")]


@given(function, samples, st.integers(0, 300))
@example("share", [(0, 0.0), (S, 0.0)], 0)  # seconds ahead of now: time there was
def test_a_window_says_what_all_samples_together_say(name, given_samples, now):
    found, expected = made(name, given_samples).value(now * S), brute(name, given_samples, now * S)
    assert found is expected is None or found == pytest.approx(expected, rel=1e-9, abs=1e-7)


crowd = st.lists(st.tuples(instant, value), min_size=20, max_size=90)


@given(crowd, st.integers(0, 300))
def test_many_samples_say_how_unusual_the_newest_is(given_samples, now):
    """Enough of them for it to be known: 24 within the span, before the newest."""
    one = made("unusual", given_samples)
    found, expected = one.value(now * S), brute("unusual", given_samples, now * S)
    assert found is expected is None or found == pytest.approx(expected, rel=1e-9, abs=1e-7)
    usual = one.usual(now * S)
    assert (usual is None and found is None) or usual.apart == found


@given(crowd.flatmap(lambda one: st.tuples(st.just(one), st.permutations(one))), st.integers(0, 300))
def test_the_unusual_does_not_hang_on_the_order_of_arrival(orders, now):
    arrived, other = (made("unusual", one).value(now * S) for one in orders)
    assert arrived == other


@given(crowd, st.floats(0.1, 40), st.floats(-100, 100))
def test_another_unit_and_another_zero_are_as_unusual(given_samples, scale, shift):
    """Beyond the least scatter: of 90 here, and so of 90 times as much."""
    plain = Window("unusual", SPAN, 1e-3)
    other = Window("unusual", SPAN, 1e-3 * scale)
    for measured_ns, number in sorted(set(given_samples)):
        plain.add(measured_ns, number)
        other.add(measured_ns, number * scale + shift)
    one, two = plain.value(180 * S), other.value(180 * S)
    assert one is two is None or two == pytest.approx(one, rel=1e-6, abs=1e-6)


@given(function, samples, st.integers(0, 500), st.integers(1, 300 * S))
@example("share", [(0, 0.0)], 0, 1)  # of no time nothing is a share, and of the next nanosecond it is
@example("share", [(0, 1.0)], 0, 1)
def test_before_the_next_change_nothing_changes(name, given_samples, now, later):
    one = made(name, given_samples)
    told = one.next_change_ns(now * S)
    if name == "share" and told is not None:
        return  # it moves all the time, and is looked at in steps
    if told is not None:
        later = min(later, told - 1 - now * S) if told > now * S else 0
    assert one.value(now * S + max(later, 0)) == pytest.approx(one.value(now * S))


@given(function, samples, st.integers(0, 300))
def test_forgetting_what_has_left_changes_nothing(name, given_samples, now):
    one, lean = made(name, given_samples), made(name, given_samples)
    lean.drop(now * S - SPAN)
    assert lean.value(now * S) == one.value(now * S)
