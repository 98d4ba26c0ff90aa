"""Signals against closed forms: what the formula gives on paper is what comes out."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from gateway.core import signals
from gateway.core.signals import Window

HOUR = 3_600_000_000_000
RATE = 200.0


def tones(*parts: tuple[float, float], count: int = 1024, rate: float = RATE) -> np.ndarray:
    """Velocity in mm/s of sines (amplitude, Hz), one axis."""
    t = np.arange(count) / rate
    return sum(a * np.sin(2 * np.pi * f * t + f) for a, f in parts)[None, :]


def burst(
    hz: float, amplitude: float, count: int, rate: float, middle: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """(velocity mm/s, acceleration m/s2) of an event of known shape, one axis each."""
    t = np.arange(count) / rate
    middle, width, w = middle * count / rate, count / rate / 14, 2 * np.pi * hz
    bell = np.exp(-(((t - middle) / width) ** 2))
    velocity = amplitude * bell * np.sin(w * (t - middle) + 1)
    slope = (
        amplitude
        * bell
        * (w * np.cos(w * (t - middle) + 1) - 2 * (t - middle) / width**2 * np.sin(w * (t - middle) + 1))
    )
    return velocity[None, :], slope[None, :] / 1000


# ---------------------------------------------------------------- windows


def test_tumbling_windows_lie_side_by_side_and_skip_the_empty() -> None:
    at = [0, HOUR - 1, HOUR, 5 * HOUR]
    assert signals.tumbling(at, HOUR) == [
        Window(0, HOUR, 0, 2), Window(HOUR, 2 * HOUR, 2, 3), Window(5 * HOUR, 6 * HOUR, 3, 4),
    ]  # fmt: skip
    assert signals.tumbling(at[:2], HOUR, origin_ns=HOUR // 2) == [
        Window(-HOUR // 2, HOUR // 2, 0, 1), Window(HOUR // 2, 3 * HOUR // 2, 1, 2),
    ]  # fmt: skip


def test_sliding_windows_overlap() -> None:
    """Every window that holds a sample is there, also those that began before the first one."""
    found = signals.sliding([0, HOUR, 2 * HOUR], 2 * HOUR, HOUR)
    assert [(one.start_ns // HOUR, one.first, one.last) for one in found] == [
        (-1, 0, 1), (0, 0, 2), (1, 1, 3), (2, 2, 3),
    ]  # fmt: skip


def test_sessions_end_where_the_gap_is_too_long() -> None:
    assert signals.sessions([0, 10, 20, 31, 40], 10) == [Window(0, 21, 0, 3), Window(31, 41, 3, 5)]
    assert signals.sessions([], 10) == [] == signals.tumbling([], 10)


@pytest.mark.parametrize(
    ("what", "wanted"),
    [("mean", 4.0), ("median", 3.0), ("min", 1.0), ("max", 10.0), ("count", 5.0), ("p25", 2.0),
     ("std", math.sqrt(50 / 4)), ("p0", 1.0), ("p100", 10.0), ("p90", 7.6)],
)  # fmt: skip
def test_statistics_of_a_window(what: str, wanted: float) -> None:
    windows = signals.tumbling(range(6), 5)
    values = [1.0, 2.0, 3.0, 4.0, 10.0, 7.0]
    assert signals.summarize(values, windows, what)[0] == pytest.approx(wanted)


def test_flaws_of_windows_are_refused() -> None:
    for flaw in (
        lambda: signals.tumbling([2, 1], 5),
        lambda: signals.tumbling([1], 0),
        lambda: signals.sessions([1], 0),
        lambda: signals.summarize([math.nan], signals.tumbling([1], 5), "mean"),
        lambda: signals.statistic_named("p101"),
        lambda: signals.statistic_named("mode"),
    ):
        with pytest.raises(ValueError, match=r".+"):
            flaw()


# ---------------------------------------------------------------- slope


def test_the_slope_of_a_straight_line_is_itself() -> None:
    days = [0.0, 1.0, 2.5, 7.0, 11.0]
    found = signals.theil_sen(days, [3 - 0.25 * day for day in days])
    assert (found.per_day, found.low, found.high, found.count) == (-0.25, -0.25, -0.25, 5)


def test_the_slope_by_hand() -> None:
    """Slopes of the six pairs: 1 1 1 2 3 1/3 … their median is 1; two outliers of nine change nothing."""
    assert signals.theil_sen([0, 1, 2, 3], [0, 1, 2, 6]).per_day == pytest.approx(1.5)
    values = [float(day) for day in range(9)]
    values[3], values[7] = 900.0, -900.0
    assert signals.theil_sen(range(9), values).per_day == pytest.approx(1.0)


def test_the_interval_holds_the_true_slope_as_often_as_it_says() -> None:
    """Over 400 made series of 30 days, 95 % of the intervals hold 0.5 mm a day (binomial, ± 3 %)."""
    rng = np.random.default_rng(20261121)
    held = 0
    for _ in range(400):
        found = signals.theil_sen(np.arange(30.0), 0.5 * np.arange(30) + rng.normal(0, 1, 30))
        held += found.low <= 0.5 <= found.high
        assert abs(found.per_day - 0.5) < 0.1
    assert 0.92 <= held / 400 <= 0.98
    wide = signals.theil_sen(np.arange(30.0), rng.normal(0, 1, 30), confidence=0.99)
    assert wide.low < wide.per_day < wide.high


def test_the_rank_interval_by_hand() -> None:
    """n = 10: 45 slopes, C = 1.96 * sqrt(10*9*25/18) = 21.9: the 12th and the 34th of them."""
    rng = np.random.default_rng(3)
    days, values = np.arange(10.0), rng.normal(size=10)
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(10) for j in range(i + 1, 10))
    half = NormalDist().inv_cdf(0.975) * math.sqrt(10 * 9 * 25 / 18)
    found = signals.theil_sen(days, values)
    assert (round((45 - half) / 2), round((45 + half) / 2) + 1) == (12, 34)
    assert (found.low, found.high) == pytest.approx((slopes[11], slopes[33]))


@pytest.mark.parametrize("count", [2, 3, 12, 13, 100, 400])
def test_the_slope_alone_is_the_very_same_number(count: int) -> None:
    lots = np.random.default_rng(count)
    days, values = np.cumsum(lots.uniform(1e-4, 1, count)), lots.normal(size=count)
    by_hand = np.median(
        [(values[j] - values[i]) / (days[j] - days[i]) for j in range(count) for i in range(j)]
    )
    assert signals.median_slope(days, values) == by_hand
    if count > 2:
        assert signals.theil_sen(days, values).per_day == by_hand


def test_flaws_of_a_slope_are_refused() -> None:
    for days, values in (
        ([0, 1], [0, 1]),
        ([0, 1, 1], [0, 1, 2]),
        ([0, 1, 2], [0, 1]),
        ([0, 1, 2], [0, 1, math.inf]),
    ):
        with pytest.raises(ValueError, match=r".+"):
            signals.theil_sen(days, values)
    with pytest.raises(ValueError, match="at most 400"):
        signals.theil_sen(range(401), range(401))


# ---------------------------------------------------------------- temperature


def weeks(rng: np.random.Generator, days: int = 21, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(days, temperature): eight a day, a warm afternoon, weather."""
    at = np.arange(days * 8) / 8
    weather = np.repeat(rng.normal(0, 2, days), 8)
    return at, 15 + 6 * np.sin(2 * np.pi * at) + weather + noise * rng.normal(size=at.size)


def test_compensation_finds_what_was_put_in() -> None:
    """A drift during the baseline does not pass for temperature, nor do outliers."""
    rng = np.random.default_rng(7)
    at, temperature = weeks(rng)
    values = 2.0 + 0.02 * temperature + 0.01 * at
    exact = signals.fit_compensation(at, values, temperature)
    assert exact.per_degree == pytest.approx(0.02, abs=1e-9)
    assert exact.scatter == pytest.approx(0, abs=1e-9)
    assert exact.residual(values[80], temperature[80]) == pytest.approx(0.01 * (at[80] - at.mean()))
    values = values + rng.normal(0, 0.01, at.size)
    values[::10] += 5.0
    foul = signals.fit_compensation(at, values, temperature)
    assert foul.per_degree == pytest.approx(0.02, rel=0.05)
    assert foul.scatter == pytest.approx(0.01, rel=0.3)


def test_a_baseline_that_cannot_tell_is_refused() -> None:
    at, temperature = weeks(np.random.default_rng(7))
    with pytest.raises(ValueError, match="temperature moved by"):
        signals.fit_compensation(at, temperature, np.full(at.size, 20.0))
    with pytest.raises(ValueError, match="at least 24"):
        signals.fit_compensation(at[:23], temperature[:23], temperature[:23])
    with pytest.raises(ValueError, match="as many"):
        signals.fit_compensation(at, temperature[:-1], temperature)


# ---------------------------------------------------------------- lean and settlement


def test_lean_by_hand() -> None:
    """0.1719 degrees are 3 mm/m are 1/333 (domain table); 3 and 4 mm/m across make 5."""
    one = signals.lean(0.171887, 0.0)
    assert (one.mm_per_m, one.bearing_deg) == (pytest.approx(3.0, rel=1e-5), 0.0)
    assert one.one_in == pytest.approx(333.33, rel=1e-4) and one.top_mm(12.0) == pytest.approx(36, rel=1e-4)
    both = signals.lean(math.degrees(math.atan(0.003)), math.degrees(math.atan(-0.004)), azimuth_x_deg=90)
    assert both.mm_per_m == pytest.approx(5.0)
    assert both.bearing_deg == pytest.approx(90 - math.degrees(math.atan2(4, 3)))
    assert signals.lean(0, 0).one_in == math.inf
    with pytest.raises(ValueError, match="angles"):
        signals.lean(90, 0)


def test_the_worst_pair_of_six_points_comes_first() -> None:
    """F sank 12 mm at 4 m from E: 3 mm/m; A against B is deeper, but far apart."""
    levels = {"A": -1.0, "B": 19.0, "C": 0.0, "D": 0.5, "E": 0.0, "F": -12.0}
    pairs = [("A", "B", 20.0), ("C", "D", 5.0), ("F", "E", 4.0), ("A", "gone", 3.0)]
    found = signals.differentials(levels, pairs)
    assert [(one.point, one.against, one.difference_mm, one.distortion_mm_m) for one in found] == [
        ("F", "E", -12.0, -3.0), ("A", "B", -20.0, -1.0), ("C", "D", -0.5, -0.1),
    ]  # fmt: skip
    assert found[0].one_in == pytest.approx(333.3, rel=1e-3) and found[0].apart_m == 4.0
    with pytest.raises(ValueError, match="more than zero"):
        signals.differentials(levels, [("A", "B", 0.0)])


# ---------------------------------------------------------------- vibration


@pytest.mark.parametrize(
    ("parts", "dominant"),
    [
        ([(4.0, 12.5)], 12.5),
        ([(4.0, 12.5), (1.0, 31.0)], 12.5), ([(1.0, 6.3), (2.5, 41.7), (0.5, 71.0)], 41.7),
    ],
)  # fmt: skip
def test_mixes_of_sines(parts: list[tuple[float, float]], dominant: float) -> None:
    """The frequency within a tenth of a line, the RMS as Parseval has it, the peak that of the samples."""
    block = tones(*parts)
    (found,) = signals.vibration_of_velocity(block, RATE)
    assert found.dominant_hz == pytest.approx(dominant, abs=0.1 * RATE / 1024)
    assert found.rms == pytest.approx(math.sqrt(sum(a * a for a, _ in parts) / 2), rel=0.01)
    assert found.ppv_mm_s == found.peak == pytest.approx(np.abs(block - block.mean()).max())
    assert found.crest == pytest.approx(found.peak / found.rms)


def test_a_full_number_of_periods_is_exact() -> None:
    """A sine of 2 mm/s: RMS 2/sqrt 2, crest sqrt 2; a resting value is no vibration."""
    t = np.arange(256) / 256
    block = 2 * np.cos(2 * np.pi * 16 * t)[None, :] + 70.0
    (found,) = signals.vibration_of_velocity(block, 256.0)
    assert found.rms == pytest.approx(math.sqrt(2)) and found.crest == pytest.approx(math.sqrt(2))
    assert (found.ppv_mm_s, found.dominant_hz) == pytest.approx((2.0, 16.0), rel=1e-5)


@pytest.mark.parametrize("hz", [8.0, 16.0, 33.3, 62.0])
@pytest.mark.parametrize("middle", [0.3, 0.5, 0.7])
def test_ppv_from_acceleration_of_an_event(hz: float, middle: float) -> None:
    velocity, acceleration = burst(hz, 3.0, 512, RATE, middle)
    (found,) = signals.vibration_of_acceleration(acceleration, RATE)
    assert found.ppv_mm_s == pytest.approx(np.abs(velocity).max(), rel=0.02)
    assert found.dominant_hz == pytest.approx(
        signals.vibration_of_velocity(velocity, RATE)[0].dominant_hz, abs=0.4
    )
    assert found.peak == pytest.approx(np.abs(acceleration - acceleration.mean()).max())


def test_what_lies_outside_the_band_is_no_velocity() -> None:
    """Gravity, a slow tilt of the sensor and 120 Hz: integrated they would drown everything else."""
    t = np.arange(2048) / 500
    slow, fast = 0.02 * np.sin(2 * np.pi * 0.25 * t), 5.0 * np.sin(2 * np.pi * 150 * t)
    _, event = burst(20.0, 2.0, 2048, 500.0)
    (found,) = signals.vibration_of_acceleration(event + 9.81 + slow + fast, 500.0)
    assert found.ppv_mm_s == pytest.approx(2.0, rel=0.06) and found.dominant_hz == pytest.approx(20, abs=0.5)
    assert found.peak > 4.9


def test_each_axis_stands_for_itself_and_a_still_one_is_zero() -> None:
    block = np.vstack([tones((2.0, 10.0)), np.zeros((1, 1024)), tones((0.5, 25.0))])
    found = signals.vibration_of_velocity(block, RATE)
    assert [round(one.dominant_hz, 1) for one in found] == [10.0, 0.0, 25.0]
    assert found[1] == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert [one.ppv_mm_s for one in found] == pytest.approx([2.0, 0.0, 0.5], abs=0.01)


def test_samples_too_small_to_square_divide_nothing_by_zero() -> None:
    block = tones((1e-200, 10.0))
    (found,) = signals.vibration_of_velocity(block, RATE)
    assert found.dominant_hz == pytest.approx(10, abs=0.1) and (found.rms, found.crest) == (0.0, 0.0)


@pytest.mark.parametrize("shape", [(3, 63), (256,), (0, 256)])
def test_flaws_of_a_block_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="found"):
        signals.vibration_of_velocity(np.zeros(shape), RATE)


def test_a_sample_that_is_not_finite_is_refused() -> None:
    block = np.zeros((2, 64))
    block[1, 5] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        signals.vibration_of_acceleration(block, RATE)
    with pytest.raises(ValueError, match="at least 64"):
        signals.vibration_of_velocity(np.zeros((1, 64)), 0.0)


@pytest.mark.parametrize("count", [64, 65, 256, 1023])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_samples_stay_the_callers(axes: int, count: int) -> None:
    """Much is computed in place."""
    block = np.cumsum(np.random.default_rng([axes, count]).normal(size=(axes, count)), axis=1)
    before = block.copy()
    for way in (signals.vibration_of_acceleration, signals.vibration_of_velocity):
        assert way(block, RATE) == way(block, RATE)
        assert np.array_equal(block, before)
