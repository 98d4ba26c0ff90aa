"""Numbers out of series: windows, slopes, compensation, lean, differential settlement, vibration.

Pure functions of numpy arrays. Nobody imports this module before a device needs it (numpy costs some 25 MB).
Whatever is not finite, too short or of the wrong shape raises ValueError; nothing here ever guesses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HUBER = 1.345  # standard deviations: 95 % as sharp as least squares on clean data, and bounded on foul
MAD_TO_STD = 1.4826  # of a normal distribution
ROUNDS_MOST = 50  # of reweighting; it settles within ten
SPAN_C_LEAST = 3.0  # with less swing than this nobody can tell what temperature does
POINTS_LEAST = 24  # of a fit of three unknowns
BAND_HZ = (1.0, 100.0)  # GB 50868 and DIN 4150-3 judge vibration of buildings in it
SAMPLES_LEAST = 64  # of a waveform
PLANS_MOST = 16  # lengths and rates of waveforms remembered
PAIRS_MOST = 400  # points of one slope: 80,000 pairs


def _checked(values: FloatArray | Sequence[float], least: int) -> FloatArray:
    """A one-dimensional array of at least so many finite numbers."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or found.size < least:
        raise ValueError(f"found shape {found.shape}, expected one dimension of at least {least}")
    if not np.isfinite(found).all():
        raise ValueError("a value is not finite")
    return found


# ---------------------------------------------------------------- windows on event time


@dataclass(frozen=True, slots=True)
class Window:
    """Samples `first` <= i < `last` of the series, measured from `start_ns` up to before `end_ns`."""

    start_ns: int
    end_ns: int
    first: int
    last: int


def tumbling(at_ns: IntArray | Sequence[int], width_ns: int, origin_ns: int = 0) -> list[Window]:
    """Windows side by side, whole widths from the origin; those without a sample are left out.

    `at_ns` ascends (several samples of one instant are all counted); a sample on an edge opens the later one.
    """
    return sliding(at_ns, width_ns, width_ns, origin_ns)


def sliding(at_ns: IntArray | Sequence[int], width_ns: int, step_ns: int, origin_ns: int = 0) -> list[Window]:
    """Windows of one width that begin every step; they overlap when the step is shorter than the width."""
    at = _ascending(at_ns)
    if width_ns <= 0 or step_ns <= 0:
        raise ValueError("a window has a width and a step above zero")
    if not at.size:
        return []
    lowest = (int(at[0]) - width_ns - origin_ns) // step_ns + 1
    highest = (int(at[-1]) - origin_ns) // step_ns
    starts = origin_ns + np.arange(lowest, highest + 1, dtype=np.int64) * step_ns
    firsts, lasts = np.searchsorted(at, starts), np.searchsorted(at, starts + width_ns)
    return [
        Window(int(start), int(start) + width_ns, int(first), int(last))
        for start, first, last in zip(starts, firsts, lasts, strict=True)
        if first < last
    ]


def sessions(at_ns: IntArray | Sequence[int], gap_ns: int) -> list[Window]:
    """Samples that follow each other within the gap belong together; a window ends with its last sample."""
    at = _ascending(at_ns)
    if gap_ns <= 0:
        raise ValueError("a session has a gap above zero")
    cuts = [0, *(np.flatnonzero(np.diff(at) > gap_ns) + 1).tolist(), at.size]
    return [
        Window(int(at[first]), int(at[last - 1]) + 1, first, last)
        for first, last in pairwise(cuts)
        if first < last
    ]


def _ascending(at_ns: IntArray | Sequence[int]) -> IntArray:
    at = np.asarray(at_ns, dtype=np.int64)
    if at.ndim != 1 or (at.size > 1 and (np.diff(at) < 0).any()):
        raise ValueError("instants must ascend")
    return at


STATISTICS: dict[str, Callable[[FloatArray], float]] = {
    "mean": lambda values: float(values.mean()),
    "median": lambda values: float(np.median(values)),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "std": lambda values: float(values.std(ddof=1)) if values.size > 1 else 0.0,
    "count": lambda values: float(values.size),
}


def summarize(values: FloatArray | Sequence[float], windows: Iterable[Window], what: str) -> list[float]:
    """One number a window: mean, median, min, max, std (n - 1 below; 0 of a single one), count, or p0 … p100.

    Percentiles interpolate linearly between the two nearest ranks. Units as the values.
    """
    series, statistic = _checked(values, 0), statistic_named(what)
    return [statistic(series[window.first : window.last]) for window in windows]


def statistic_named(what: str) -> Callable[[FloatArray], float]:
    """Raises ValueError for a name that is none."""
    if what in STATISTICS:
        return STATISTICS[what]
    share = what.removeprefix("p")
    if what.startswith("p") and share.replace(".", "", 1).isdecimal() and float(share) <= 100:
        return lambda values: float(np.percentile(values, float(share)))
    raise ValueError(f"found {what}, expected one of {', '.join(STATISTICS)} or p0 … p100")


def median_and_scatter(values: FloatArray) -> tuple[float, float]:
    """Of finite values, shape (n,), n >= 1: their median, and the standard deviation that the median of the
    distances from it would have of a normal distribution. Up to half of the values may be arbitrarily wrong.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        middle = np.median(values)
        return float(middle), MAD_TO_STD * float(np.median(np.abs(values - middle)))


# ---------------------------------------------------------------- how fast it changes


@dataclass(frozen=True, slots=True)
class Slope:
    """Change a day and the interval it lies in, in the unit of the values a day."""

    per_day: float
    low: float
    high: float
    count: int


def theil_sen(
    days: FloatArray | Sequence[float], values: FloatArray | Sequence[float], confidence: float = 0.95
) -> Slope:
    """The median of the slopes of all pairs (Theil 1950, Sen 1968), with Sen's rank interval.

    Both of shape (n,), 3 <= n <= 400, days distinct. Up to 29 % of the values may be arbitrarily wrong. The
    interval takes the normal approximation of Kendall's S without ties; it is sound from ten values on.
    """
    x, y = _checked(days, 3), _checked(values, 3)
    if x.size != y.size or x.size > PAIRS_MOST:
        raise ValueError(f"found {x.size} days and {y.size} values, expected as many, at most {PAIRS_MOST}")
    slopes = _slopes(x, y)
    return Slope(_middle(slopes), *_rank_interval(slopes, x.size, confidence), x.size)


def median_slope(days: FloatArray, values: FloatArray) -> float:
    """The same without its interval, of 2 to 400 points that are known to be finite: a third of the time."""
    return _middle(_slopes(days, values))


def _slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Of all pairs, ascending."""
    earlier, later = _pairs(x.size)
    apart = x[later] - x[earlier]
    if not apart.all():
        raise ValueError("a day stands twice")
    slopes = (y[later] - y[earlier]) / apart
    slopes.sort()
    return slopes


@lru_cache(maxsize=8)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    earlier, later = np.triu_indices(count, 1)
    return earlier, later


def _middle(ordered: FloatArray) -> float:
    half = ordered.size // 2
    return float(ordered[half]) if ordered.size % 2 else float(ordered[half - 1] + ordered[half]) / 2


def _rank_interval(ordered: FloatArray, count: int, confidence: float) -> tuple[float, float]:
    spread = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(
        count * (count - 1) * (2 * count + 5) / 18
    )
    low = max(round((ordered.size - spread) / 2) - 1, 0)
    high = min(round((ordered.size + spread) / 2), ordered.size - 1)
    return float(ordered[low]), float(ordered[high])


# ---------------------------------------------------------------- what temperature does


@dataclass(frozen=True, slots=True)
class Compensation:
    """value = level + per_degree * (temperature - reference_c), as fitted; `scatter` is what was left."""

    level: float
    per_degree: float
    reference_c: float
    scatter: float  # standard deviation of the residuals, robust; in the unit of the value
    count: int

    def residual(self, value: float, temperature_c: float) -> float:
        """How far the value lies from where this temperature alone would have put it."""
        return value - self.level - self.per_degree * (temperature_c - self.reference_c)


def fit_compensation(
    days: FloatArray | Sequence[float],
    values: FloatArray | Sequence[float],
    temperatures_c: FloatArray | Sequence[float],
) -> Compensation:
    """A straight line over temperature, beside a straight line over time, both robust (Huber, reweighted).

    All of shape (n,), n >= 24. The line over time takes up a drift that was there during the baseline, so
    that it does not pass for temperature; it is not subtracted later. Outliers in values are bounded, those
    in temperature are not. Raises ValueError when the temperature moved by less than 3 K (5th to 95th
    percentile): then nobody can tell what it does.
    """
    t, y, c = (_checked(one, POINTS_LEAST) for one in (days, values, temperatures_c))
    if not t.size == y.size == c.size:
        raise ValueError("expected as many days, values and temperatures")
    cold, warm = np.percentile(c, (5, 95))
    if warm - cold < SPAN_C_LEAST:
        raise ValueError(f"temperature moved by {warm - cold:.1f} K, expected at least {SPAN_C_LEAST:g} K")
    reference = float(np.median(c))
    design = np.column_stack([np.ones(t.size), c - reference, t - t.mean()])
    found, scatter = _huber(design, y)
    return Compensation(float(found[0]), float(found[1]), reference, scatter, t.size)


def _huber(design: FloatArray, y: FloatArray) -> tuple[FloatArray, float]:
    """Coefficients and robust scatter by iteratively reweighted least squares."""
    weights = np.ones(y.size)
    found: FloatArray = np.zeros(design.shape[1])
    scatter = 0.0
    for _ in range(ROUNDS_MOST):
        root = np.sqrt(weights)
        before: FloatArray = found
        found = np.asarray(np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0], np.float64)
        left = y - design @ found
        scatter = median_and_scatter(left)[1]
        if scatter == 0.0 or np.allclose(found, before, rtol=1e-9, atol=1e-12):
            break
        weights = 1 / np.maximum(np.abs(left) / (HUBER * scatter), 1.0)
    return found, scatter


# ---------------------------------------------------------------- lean


@dataclass(frozen=True, slots=True)
class Lean:
    """Of two inclined axes together. `one_in`: a lean of 1/n; infinite when upright."""

    mm_per_m: float
    bearing_deg: float  # clockwise from the azimuth of the x axis, 0 <= b < 360: where the top moved
    one_in: float

    def top_mm(self, height_m: float) -> float:
        """How far the top of a rigid wall of that height stands out."""
        return self.mm_per_m * height_m


def lean(x_deg: float, y_deg: float, azimuth_x_deg: float = 0.0) -> Lean:
    """Exact for any angle below 90 degrees: each axis leans by the tangent of its own angle."""
    if not (abs(x_deg) < 90 and abs(y_deg) < 90 and math.isfinite(azimuth_x_deg)):
        raise ValueError("expected angles between -90 and 90 degrees")
    along, across = math.tan(math.radians(x_deg)), math.tan(math.radians(y_deg))
    slope = math.hypot(along, across)
    bearing = (math.degrees(math.atan2(across, along)) + azimuth_x_deg) % 360 % 360
    return Lean(1000 * slope, bearing, 1 / slope if slope else math.inf)


# ---------------------------------------------------------------- differential settlement


@dataclass(frozen=True, slots=True)
class Differential:
    """One point against another: how much deeper, and the angle between them. Down is negative."""

    point: str
    against: str
    apart_m: float
    difference_mm: float

    @property
    def distortion_mm_m(self) -> float:
        return self.difference_mm / self.apart_m

    @property
    def one_in(self) -> float:
        return 1000 / abs(self.distortion_mm_m) if self.difference_mm else math.inf


def differentials(
    levels_mm: Mapping[str, float], pairs: Iterable[tuple[str, str, float]]
) -> list[Differential]:
    """Of pairs (point, against, metres apart), the steepest first; a pair without both levels is left out."""
    found = []
    for point, against, apart_m in pairs:
        if not (math.isfinite(apart_m) and apart_m > 0):
            raise ValueError(f"{point} and {against} are {apart_m} m apart, expected more than zero")
        if point in levels_mm and against in levels_mm:
            difference = levels_mm[point] - levels_mm[against]
            found.append(Differential(point, against, apart_m, difference))
    return sorted(found, key=lambda one: -abs(one.distortion_mm_m))


# ---------------------------------------------------------------- vibration


class Vibration(NamedTuple):
    """What one axis of a block says. rms, peak: in the unit of the samples."""

    rms: float
    peak: float
    crest: float  # peak / rms; 0 of an axis that did not move
    ppv_mm_s: float
    dominant_hz: float  # of the velocity of that axis; 0 of an axis that did not move


@dataclass(frozen=True, slots=True)
class _Plan:
    """What depends on the length and rate of a block only."""

    taper: FloatArray
    integrate: NDArray[np.complex128]  # m/s2 to mm/s, nothing outside the band
    line_hz: float


@lru_cache(maxsize=PLANS_MOST)
def _plan(count: int, rate_hz: float) -> _Plan:
    if count < SAMPLES_LEAST or not (math.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"found {count} samples at {rate_hz:g} Hz, expected at least {SAMPLES_LEAST}")
    edge = count // 8
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    taper = np.concatenate([rise, np.ones(count - 2 * edge), rise[::-1]])
    lines = np.fft.rfftfreq(count, 1 / rate_hz)
    band = (lines >= BAND_HZ[0]) & (lines <= BAND_HZ[1])
    integrate = np.zeros(lines.size, dtype=np.complex128)
    integrate[band] = 1000 / (2j * np.pi * lines[band])
    return _Plan(taper, integrate, rate_hz / count)


def vibration_of_velocity(mm_s: FloatArray, rate_hz: float) -> list[Vibration]:
    """Features of each axis of velocity samples of shape (axes, n), n >= 64, in mm/s.

    The mean is taken off, then the PPV is the largest sample. A peak between two samples is missed by at most
    1 - cos(pi f / rate): 5 % at a tenth of the rate. The dominant frequency is that of any line above 0 Hz.
    """
    plan, means = _planned(mm_s, rate_hz)
    block = mm_s - means
    lines = np.fft.rfft(block * plan.taper)
    frequencies, squares = _dominant_hz(lines, lines, plan), _squares(block)
    peaks = _peaks(block)
    return _features(squares, block.shape[1], peaks, peaks, frequencies)


def vibration_of_acceleration(m_s2: FloatArray, rate_hz: float) -> list[Vibration]:
    """Features of each axis of acceleration samples of shape (axes, n), n >= 64, in m/s2.

    PPV and dominant frequency are those of the velocity: integrated in the frequency domain from 1 to 100 Hz,
    the first and last eighth tapered. The PPV of an event in the middle three quarters is within 2 %; of a
    tone that fills the block, within 10 % from ten periods on and 25 % from five. With fewer than five
    periods in a block, ask for a longer one.
    """
    plan, means = _planned(m_s2, rate_hz)
    axes, count = m_s2.shape
    both = np.empty((2 * axes, count))  # acceleration above velocity: what is one call is quicker than two
    block, velocity = both[:axes], both[axes:]
    np.subtract(m_s2, means, out=block)
    lines = np.fft.rfft(block * plan.taper)
    integrated = lines * plan.integrate
    np.fft.irfft(integrated, count, out=velocity)
    frequencies, squares = _dominant_hz(lines, integrated, plan), _squares(block)
    peaks = _peaks(both)
    return _features(squares, count, peaks[:axes], peaks[axes:], frequencies)


def _features(
    squares: list[float], count: int, peaks: list[float], ppv_mm_s: list[float], dominant_hz: list[float]
) -> list[Vibration]:
    found = []
    for square, peak, ppv, frequency in zip(squares, peaks, ppv_mm_s, dominant_hz, strict=True):
        rms = math.sqrt(square / count)
        found.append(Vibration(rms, peak, peak / rms if rms else 0.0, ppv, frequency))
    return found


def _planned(samples: FloatArray, rate_hz: float) -> tuple[_Plan, FloatArray]:
    """What the length and rate of a block ask for, and the mean of each of its axes."""
    if samples.ndim != 2 or not len(samples):
        raise ValueError(f"found shape {samples.shape}, expected (axes, samples)")
    plan = _plan(samples.shape[1], rate_hz)
    sums = np.add.reduce(samples, axis=1, keepdims=True)
    if not math.isfinite(sum(sums.ravel().tolist())):  # a sample that is not finite makes the sum so
        raise ValueError("a sample is not finite, or they are too large to add")
    return plan, sums / samples.shape[1]


def _squares(block: FloatArray) -> list[float]:
    squares: list[float] = np.vecdot(block, block).tolist()
    return squares


def _peaks(block: FloatArray) -> list[float]:
    """The largest of each row, without its sign. Takes the signs off in place."""
    peaks: list[float] = np.maximum.reduce(np.abs(block, out=block), axis=1).tolist()
    return peaks


def _dominant_hz(lines: NDArray[np.complex128], velocity: NDArray[np.complex128], plan: _Plan) -> list[float]:
    """Frequency of the strongest line of each axis' velocity, to a fraction of a line.

    A Hann window (three lines convolved) and a parabola through three logarithms: a pure tone of at least
    five periods is found within a tenth of a line (rate / n).
    """
    velocity[:, 0] = 0.0
    tops = np.abs(velocity).argmax(axis=1).tolist()
    return [_fraction(lines, axis, top) * plan.line_hz for axis, top in enumerate(tops)]


def _fraction(lines: NDArray[np.complex128], axis: int, top: int) -> float:
    """Between which lines of an axis the peak at line `top` lies."""
    if not 2 <= top <= lines.shape[1] - 3:
        return float(top) if lines[axis, top] else 0.0
    a, b, c, d, e = lines[axis, top - 2 : top + 3].tolist()
    below, at, above = abs(2 * b - a - c), abs(2 * c - b - d), abs(2 * d - c - e)
    if not (at > 0 and below > 0 and above > 0):
        return float(top) if c else 0.0
    left, middle, right = math.log(below), math.log(at), math.log(above)
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return top + min(max(shift, -0.5), 0.5)  # the strongest of the velocity need be no peak of these lines
