"""What holds of every series, whatever is in it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core import signals

instants = st.lists(st.integers(-(10**6), 10**6), max_size=60).map(sorted)
number = st.floats(-1e4, 1e4).map(lambda value: round(value, 3))
series = st.lists(number, min_size=3, max_size=40)
angle = st.floats(-40, 40)


@given(instants, st.integers(1, 10**5), st.integers(-(10**6), 10**6))
def test_tumbling_windows_hold_every_sample_once(at, width, origin):
    windows = signals.tumbling(at, width, origin)
    assert [i for one in windows for i in range(one.first, one.last)] == list(range(len(at)))
    for one in windows:
        assert (one.start_ns - origin) % width == 0
        assert all(one.start_ns <= t < one.end_ns for t in at[one.first : one.last])


@given(instants, st.integers(1, 50), st.integers(1, 8))
def test_sliding_windows_hold_every_sample_as_often_as_the_width_has_steps(at, step, times):
    windows = signals.sliding(at, step * times, step)
    assert sum(one.last - one.first for one in windows) == times * len(at)


@given(instants, st.integers(1, 10**5))
def test_sessions_are_parted_by_gaps_and_hold_none(at, gap):
    windows = signals.sessions(at, gap)
    assert [i for one in windows for i in range(one.first, one.last)] == list(range(len(at)))
    for before, after in pairwise(windows):
        assert at[after.first] - at[before.last - 1] > gap
    assert all(
        b - a <= gap
        for one in windows
        for a, b in zip(at[one.first :], at[one.first + 1 : one.last], strict=False)
    )


@given(series, number, st.floats(-50, 50).map(lambda value: round(value, 3)))
def test_a_line_added_adds_its_slope(values, offset, slope):
    """And the interval moves with it; a mirrored series has the mirrored slope."""
    days = np.arange(len(values), dtype=float)
    plain = signals.theil_sen(days, values)
    moved = signals.theil_sen(days, np.array(values) + offset + slope * days)
    assert (moved.per_day - slope, moved.low - slope, moved.high - slope) == pytest.approx(
        (plain.per_day, plain.low, plain.high), abs=1e-6
    )
    assert signals.theil_sen(days, -np.array(values)).per_day == pytest.approx(-plain.per_day)
    assert plain.low <= plain.per_day <= plain.high


@given(series, st.randoms(use_true_random=False))
def test_the_order_of_days_does_not_matter(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    shuffled = signals.theil_sen(order, [values[i] for i in order])
    assert shuffled.per_day == pytest.approx(signals.theil_sen(range(len(values)), values).per_day)


@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 0.5), st.floats(-0.05, 0.05))
def test_compensation_leaves_what_is_not_temperature(seed, per_degree, drift):
    rng = np.random.default_rng(seed)
    at = np.arange(14 * 8) / 8
    temperature = 15 + 5 * np.sin(2 * np.pi * at) + np.repeat(rng.normal(0, 2, 14), 8)
    found = signals.fit_compensation(at, 1 + per_degree * temperature + drift * at, temperature)
    assert found.per_degree == pytest.approx(per_degree, abs=1e-6)
    assert found.residual(1 + per_degree * 35, 35) == pytest.approx(-drift * at.mean(), abs=1e-4)


@given(angle, angle, st.floats(0, 360))
def test_a_lean_and_its_opposite(x, y, azimuth):
    one, other = signals.lean(x, y, azimuth), signals.lean(-x, -y, azimuth)
    assert one.mm_per_m == pytest.approx(other.mm_per_m) and 0 <= one.bearing_deg < 360
    assume(abs(x) + abs(y) > 1e-6)
    assert (one.bearing_deg - other.bearing_deg) % 360 == pytest.approx(180, abs=1e-6)
    assert one.mm_per_m >= 1000 * np.tan(np.radians(max(abs(x), abs(y)))) * (1 - 1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.sampled_from([64, 200, 256, 1000]))
def test_twice_as_strong_is_twice_as_strong_and_nothing_else(seed, factor, count):
    block = np.random.default_rng(seed).normal(size=(3, count))
    for measure in (signals.vibration_of_velocity, signals.vibration_of_acceleration):
        for plain, louder in zip(measure(block, 200.0), measure(block * factor + 7, 200.0), strict=True):
            assert (louder.rms, louder.peak, louder.ppv_mm_s) == pytest.approx(
                (plain.rms * factor, plain.peak * factor, plain.ppv_mm_s * factor), rel=1e-6, abs=1e-9
            )
            assert (louder.crest, louder.dominant_hz) == pytest.approx(
                (plain.crest, plain.dominant_hz), rel=1e-4
            )
            assert 1 - 1e-9 <= plain.crest <= count**0.5 + 1e-9 and 0 <= plain.dominant_hz <= 100


@given(st.floats(5, 40), st.floats(0, 6.28), st.floats(0.1, 50))
def test_a_tone_that_fills_the_block(periods, phase, amplitude):
    """The errors that the docstrings promise, for velocity and acceleration alike."""
    count, rate = 256, 200.0
    hz = periods * rate / count
    at = 2 * np.pi * hz * np.arange(count) / rate + phase
    velocity, acceleration = amplitude * np.sin(at), amplitude * 2 * np.pi * hz * np.cos(at) / 1000
    (direct,) = signals.vibration_of_velocity(velocity[None, :], rate)
    (integrated,) = signals.vibration_of_acceleration(acceleration[None, :], rate)
    for found in (direct, integrated):
        assert found.dominant_hz == pytest.approx(hz, abs=0.1 * rate / count)
    assert direct.ppv_mm_s >= amplitude * (np.cos(np.pi * hz / rate) - 0.06)
    assert integrated.ppv_mm_s == pytest.approx(amplitude, rel=0.10 if periods >= 10 else 0.25)
