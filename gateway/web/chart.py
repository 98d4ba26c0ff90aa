"""The last hour of one quantity as an SVG: coordinates only, the template draws and the CSS colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from gateway.core.calendars import local
from gateway.core.model import SECOND, Level
from gateway.core.units import QUANTITIES, shown
from gateway.web.deps import Sample
from gateway.web.words import SIGNS

WIDTH, HEIGHT = 340, 180
LEFT, RIGHT, TOP, BOTTOM = 36, 266, 12, 154  # of the plot; around it values, limits and times
COLUMNS_MOST = 240  # of each only the lowest and the highest are drawn: peaks stay, bytes do not
HEADROOM = 0.12  # of the span, above and below
TIMES_MOST, VALUES_MOST = 5, 4
MINUTES = (1, 2, 5, 10, 15, 20, 30)  # between two times below the plot
STATES = {0: "否", 1: "是"}
MINUTE = 60 * SECOND
APART = 15  # of two limits' texts
GAP = 5  # a silence this many times longer than the usual distance breaks the line


@dataclass(frozen=True, slots=True)
class Mark:
    """A word at a place."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across, and its text, which stands aside where it would cover another."""

    at: float
    text_at: float
    text: str
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    newest: str
    lines: Sequence[str]  # each the points of a polyline
    limits: Sequence[Limit]
    values: Sequence[Mark]  # height, number
    times: Sequence[Mark]  # x, clock
    newest_x: float
    newest_y: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT


def draw(
    samples: Sequence[Sample], quantity: str, limits: Sequence[tuple[Level, float]], zone: str
) -> Chart | None:
    """None when there is nothing to draw a line through."""
    if len(samples) < 2 or quantity not in QUANTITIES:
        return None
    samples = sorted(samples)
    first_ns, last_ns = samples[0][0], samples[-1][0]
    if first_ns == last_ns:
        return None
    step = QUANTITIES[quantity].unit == "1"
    also = [float(state) for state in STATES] if step else [limit for _, limit in limits]
    low, high = _range([value for _, value in samples] + also)

    def x(ns: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (ns - first_ns) / (last_ns - first_ns), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    heights = STATES.items() if step else [(value, f"{value:g}") for value in _round_values(low, high)]
    runs = [_corners(run) if step else run for run in _runs(_thin(samples))]
    newest = samples[-1][1]
    return Chart(
        title=QUANTITIES[quantity].says,
        newest="" if step else rounded(quantity, newest),
        lines=[" ".join(f"{x(ns)},{y(value)}" for ns, value in run) for run in runs],
        limits=_limits(quantity, [(level, limit, y(limit)) for level, limit in limits]),
        values=[Mark(y(value), text) for value, text in heights],
        times=[Mark(x(ns), local(ns, zone).strftime("%H:%M")) for ns in _round_times(first_ns, last_ns)],
        newest_x=x(last_ns),
        newest_y=y(newest),
    )


def rounded(quantity: str, value: float) -> str:
    """A value as people read it, no finer than its sensor can tell."""
    resolution = QUANTITIES[quantity].resolution
    return shown(quantity, round(round(value / resolution) * resolution, 6))


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    return low - span * HEADROOM, high + span * HEADROOM


def _thin(samples: Sequence[Sample]) -> list[Sample]:
    """At most two samples a column: the lowest and the highest, in their order."""
    if len(samples) <= COLUMNS_MOST * 2:
        return list(samples)
    first_ns = samples[0][0]
    width_ns = (samples[-1][0] - first_ns) // COLUMNS_MOST + 1
    columns: dict[int, list[Sample]] = {}
    for sample in samples:
        columns.setdefault((sample[0] - first_ns) // width_ns, []).append(sample)
    kept: list[Sample] = []
    for column in columns.values():
        ends = {min(column, key=lambda one: one[1]), max(column, key=lambda one: one[1])}
        kept += sorted(ends)
    return kept


def _runs(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Cut where the sensor was silent: a line drawn across would be made up."""
    distances = sorted(b[0] - a[0] for a, b in pairwise(samples))
    usual_ns = distances[len(distances) // 2]
    runs = [[samples[0]]]
    for before, after in pairwise(samples):
        if after[0] - before[0] > usual_ns * GAP:
            runs.append([])
        runs[-1].append(after)
    return [run if len(run) > 1 else run * 2 for run in runs]


def _corners(run: Sequence[Sample]) -> list[Sample]:
    """A state stays what it is until it is something else."""
    corners = [run[0]]
    for before, after in pairwise(run):
        corners += [(after[0], before[1]), after]
    return corners


def _limits(quantity: str, limits: Sequence[tuple[Level, float, float]]) -> list[Limit]:
    """From the lowest on the page upward, each text at its line or just above the one below it."""
    placed: list[Limit] = []
    for level, limit, at in sorted(limits, key=lambda one: -one[2]):
        text_at = min(at, placed[-1].text_at - APART) if placed else at
        placed.append(Limit(at, text_at, f"{SIGNS[level]} {shown(quantity, limit)}", level.word))
    return placed


def _round_values(low: float, high: float) -> list[float]:
    """Some numbers between the two that people count in: steps of 1, 2 or 5."""
    rough = (high - low) / VALUES_MOST
    decade = 10 ** floor(log10(rough))
    size = next(decade * times for times in (1, 2, 5, 10) if decade * times >= rough * 0.999)
    return [round(i * size, 9) for i in range(ceil(low / size), floor(high / size) + 1)]


def _round_times(first_ns: int, last_ns: int) -> list[int]:
    """Whole minutes, evenly; both ends where no minute is whole between them."""
    span_ns = last_ns - first_ns
    size_ns = next((n * MINUTE for n in MINUTES if span_ns <= n * MINUTE * TIMES_MOST), MINUTES[-1] * MINUTE)
    times = list(range(-(-first_ns // size_ns) * size_ns, last_ns + 1, size_ns))
    return times or [first_ns, last_ns]
