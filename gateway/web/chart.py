"""The last hour of one quantity as an SVG: coordinates only, the template draws and the CSS colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.core.calendars import local
from gateway.core.model import Level
from gateway.core.units import QUANTITIES, shown
from gateway.web.deps import Sample

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 4, 354, 12, 128  # of the plot; below it the times
COLUMNS_MOST = 240  # of each only the lowest and the highest are drawn: peaks stay, bytes do not
HEADROOM = 0.12  # of the span, above and below
TIMES = 4
GAP = 5  # a silence this many times longer than the usual distance breaks the line


@dataclass(frozen=True, slots=True)
class Mark:
    """A word at a place."""

    at: float
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    title: str
    newest: str
    lines: Sequence[str]  # each the points of a polyline
    limits: Sequence[Mark]  # height, value, level
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
    low, high = _range([value for _, value in samples] + [limit for _, limit in limits])

    def x(ns: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (ns - first_ns) / (last_ns - first_ns), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    step = QUANTITIES[quantity].unit == "1"
    runs = [_corners(run) if step else run for run in _runs(_thin(samples))]
    newest = samples[-1][1]
    return Chart(
        title=QUANTITIES[quantity].says,
        newest="" if step else rounded(quantity, newest),
        lines=[" ".join(f"{x(ns)},{y(value)}" for ns, value in run) for run in runs],
        limits=[
            Mark(y(limit), "" if step else shown(quantity, limit), level.word) for level, limit in limits
        ],
        times=[Mark(x(ns), local(ns, zone).strftime("%H:%M")) for ns in _ticks(first_ns, last_ns)],
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


def _ticks(first_ns: int, last_ns: int) -> list[int]:
    return [first_ns + (last_ns - first_ns) * i // (TIMES - 1) for i in range(TIMES)]
