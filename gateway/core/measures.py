"""Windows with memory: what an expression says over the last hour, day or month of one subject.

A `Measure` is what an expression asks for, a `Window` what is remembered for it: a sorted set of (instant,
value), so that the order in which samples arrive never matters and a repeated one counts once. It covers
now - span to now, both ends included, on event time (UTC ns). Whatever arrives late lands in its place.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.core.signals import FloatArray, IntArray

    Mask = NDArray[np.bool_]

SAMPLES_MOST = 4096  # of one window: 64 kB, and a month of one every ten minutes has 4320 (take 28 days)
COVERED_PART = (
    0.5  # of the span, from the oldest sample to the newest: a mean of five minutes is no day's mean
)
FEW = 12  # samples, of which slopes are worked out without arrays
RATE_POINTS_MOST = 100  # of one slope: 4950 pairs; more samples are taken in groups
SHARE_STEPS = 100  # while a share moves with time alone it is looked at so often within its span
DAY_NS = 86_400_000_000_000
UNUSUAL = "unusual"  # how many standard deviations the newest lies from the median of those before it
BEFORE_LEAST = 24  # samples before it: a scatter of fewer is off by more than a quarter every third time
DAYS = {"rate_per_minute": 1 / 1440, "rate_per_hour": 1 / 24, "rate_per_day": 1.0}
STATISTICS = ("mean", "median", "min", "max", "std")  # as core.signals works them out
# Unknown until half of the span is covered.
COVERED = frozenset({*STATISTICS, "percentile", "change", *DAYS, UNUSUAL})
HELD = frozenset({"count", "times", "share"})  # of a condition: 0 or 1
ARGUED = frozenset({"percentile", UNUSUAL})  # have an argument
STATES = frozenset({"times", "share", "last"})  # need what held before the window began
FUNCTIONS = (*STATISTICS, "percentile", "change", *DAYS, UNUSUAL, "count", "times", "share", "last")
_INT, _FLOAT = Struct("q"), Struct("d")
_INT_AT = _INT.unpack_from
SIZE = _INT.size  # bytes of an instant, and of a value
TOP_OF_ONE = max(_FLOAT.pack(1.0)[-1], _FLOAT.pack(1.0)[0])  # a byte that 1.0 has and 0.0 has not
RISE = _FLOAT.pack(0.0) + _FLOAT.pack(1.0)  # found only where two samples say so: 0.0 has no such byte
_INTS, _FLOATS = ([Struct(f"{count}{kind}") for count in range(FEW + 1)] for kind in "qd")


class Overrun(ArithmeticError):
    """More than a bound allows (samples, members, devices compared): the rule is disabled, never wrong."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One function over one span. `key` names its window, alike in every process.

    `sample` takes from one reading's values what the window keeps: a number, or whether the condition held;
    None when the reading lacks what it needs. Raises ArithmeticError as an evaluation does.
    """

    function: str  # one of FUNCTIONS
    of: str  # the quantity, or the condition in its own words
    span_ns: int  # 0 of `last`
    argument: float  # the percent of a percentile; the least scatter of what is unusual; else 0
    quantities: tuple[str, ...]  # a reading without any of them need not be offered
    sample: Callable[[Mapping[str, float]], float | bool | None] = field(repr=False, compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        span = f", {self.span_ns / 1e9:.15g}s" if self.span_ns else ""
        argument = f", {self.argument:.15g}" if self.function in ARGUED else ""
        object.__setattr__(self, "key", f"{self.function}({self.of}{span}{argument})")

    def window(self) -> Window:
        """An empty one, to be kept under `key`."""
        return Window(self.function, self.span_ns, self.argument)


class Window(msgspec.Struct):
    """What one measure remembers of one subject; fit for the checkpoint as it is."""

    function: str
    span_ns: int
    argument: float = 0.0
    at: bytearray = msgspec.field(default_factory=bytearray)  # int64 each, ascending; UTC ns
    values: bytearray = msgspec.field(default_factory=bytearray)  # float64 each; a condition is 0 or 1

    def __len__(self) -> int:
        return len(self.at) // SIZE

    @property
    def newest_ns(self) -> int | None:
        """Instant of the newest sample."""
        return self._newest() if self.at else None

    def _newest(self) -> int:
        return int(_INT_AT(self.at, len(self.at) - SIZE)[0])

    def add(self, measured_ns: int, value: float) -> None:
        """Puts a sample in its place; what is older than the span before the newest is forgotten.

        Raises ValueError for a value that is not finite, Overrun when the span holds too many samples; the
        window is then without this sample.
        """
        value = float(value) + 0.0  # no negative zero: it would sort by the order of arrival
        if not math.isfinite(value):
            raise ValueError("a value is not finite")
        at = self.at
        newest = self._newest() if at else None
        if newest is None or measured_ns > newest:  # nearly always
            if at and _INT_AT(at)[0] < measured_ns - self.span_ns:
                self.drop(measured_ns - self.span_ns)
            if len(at) >= SAMPLES_MOST * SIZE:
                raise self._overrun()
            at += _INT.pack(measured_ns)
            self.values += _FLOAT.pack(value)
            return
        edge = newest - self.span_ns
        self.drop(edge)
        place = self._place(measured_ns, value)
        if place is None or (measured_ns < edge and self.function not in STATES):
            return
        if len(self.at) >= SAMPLES_MOST * SIZE:
            raise self._overrun()
        self.at[place * SIZE : place * SIZE] = _INT.pack(measured_ns)
        self.values[place * SIZE : place * SIZE] = _FLOAT.pack(value)
        if measured_ns < edge:
            self.drop(edge)

    def _overrun(self) -> Overrun:
        return Overrun(f"more than {SAMPLES_MOST} samples in {self.span_ns / 1e9:g}s")

    def drop(self, before_ns: int) -> None:
        """Forgets what is older, but for the state that held then, where that is needed."""
        at = self.at
        if not at or _INT_AT(at)[0] >= before_ns:
            return
        gone = 1
        if len(at) > SIZE and _INT_AT(at, SIZE)[0] < before_ns:
            with memoryview(at) as raw, raw.cast("q") as instants:
                gone = bisect_left(instants, before_ns)
        gone -= self.function in STATES
        if gone:
            del at[: gone * SIZE], self.values[: gone * SIZE]

    def forget_after(self, now_ns: int) -> None:
        """Forgets samples from ahead of an instant."""
        with memoryview(self.at) as raw, raw.cast("q") as at:
            kept = bisect_right(at, now_ns)
        del self.at[kept * SIZE :], self.values[kept * SIZE :]

    def _place(self, measured_ns: int, value: float) -> int | None:
        """Where a sample belongs; None when it is there already."""
        newest = self.newest_ns
        if newest is None or measured_ns > newest:
            return len(self)
        with memoryview(self.at) as raw, raw.cast("q") as at:
            first = bisect_left(at, measured_ns)
            last = bisect_right(at, measured_ns, first)
        with memoryview(self.values) as raw, raw.cast("d") as values:
            place = bisect_left(values, value, first, last)
            return None if place < last and values[place] == value else place

    def value(self, now_ns: int) -> float | None:
        """What the function says at an instant; None while it is not known. It changes nothing.

        A sample from ahead of `now_ns` moves now. Raises OverflowError when the result is not finite.
        """
        function, at = self.function, self.at
        if not at:
            return 0.0 if function in ("count", "times") else None
        if function in DAYS:
            if len(at) <= FEW * SIZE:
                return self._rate_of_few(now_ns)
        elif function == "last":
            return float(_FLOAT.unpack_from(self.values, len(self.values) - SIZE)[0])
        elif function in HELD:
            if self.never_held():
                return 0.0 if function != "share" or self._lasts(now_ns) else None
            if function != "share":
                return float(self._counted(now_ns))
        view = self._view(now_ns)
        if self.function in COVERED and not view.covered:
            return None
        found = _of(self.function, view, self.argument)
        if found is not None and not math.isfinite(found):
            raise OverflowError(f"{self.function} is not finite")
        return found

    def usual(self, now_ns: int) -> Usual | None:
        """What `unusual` goes by at an instant; None while it is not known."""
        return _usual(self._view(now_ns), self.argument) if self.at else None

    def next_change_ns(self, now_ns: int) -> int | None:
        """The earliest instant at which time alone may change the value; None: only a sample can."""
        if not self.at or self.function == "last":
            return None
        if self.function == "share" and not self._lasts(now_ns):
            return int(_INT.unpack_from(self.at)[0]) + 1
        if self.function in HELD and self.never_held():
            return None
        view = self._view(now_ns)
        if self.function == "share":
            mixed = view.values[max(view.first - 1, 0) :]
            step = max(self.span_ns // SHARE_STEPS, 1)
            return view.now_ns + step if mixed.min() < mixed.max() else None
        if self.function in COVERED:
            leaving = view.at[view.first :] if view.covered else view.at[:0]
        else:
            leaving = view.at[_rises(view) if self.function == "times" else _held(view)]
        return int(leaving[0]) + self.span_ns + 1 if leaving.size else None

    def _lasts(self, now_ns: int) -> bool:
        """There is time after the first sample, of which a share can be one."""
        first, last = (_INT.unpack_from(self.at, place)[0] for place in (0, len(self.at) - SIZE))
        return bool(max(now_ns, last) > first)

    def never_held(self) -> bool:
        """Nothing that is remembered held its condition: nearly always so, and quickly seen."""
        return TOP_OF_ONE not in self.values

    def _counted(self, now_ns: int) -> int:
        """How many samples in the span held, or how many of them right after one that did not."""
        start_ns, first = max(now_ns, self._newest()) - self.span_ns, 0
        if _INT_AT(self.at)[0] < start_ns:
            with memoryview(self.at) as raw, raw.cast("q") as at:
                first = bisect_left(at, start_ns)
        if self.function == "count":
            return self.values.count(TOP_OF_ONE, first * SIZE)
        return self.values.count(RISE, max(first - 1, 0) * SIZE)

    def _rate_of_few(self, now_ns: int) -> float | None:
        """The slope of a short window, as _per_day works it out; its arrays would cost more than its sums."""
        count = len(self.at) // SIZE
        at = _INTS[count].unpack(self.at)
        if at[-1] - at[0] < self.span_ns * COVERED_PART:
            return None  # nor would fewer of them do
        values = _FLOATS[count].unpack(self.values)
        first = bisect_left(at, max(now_ns, at[-1]) - self.span_ns)
        if first == count or at[-1] - at[first] < self.span_ns * COVERED_PART:
            return None
        if count - first == 2:
            return self._finite((values[-1] - values[first]) / ((at[-1] - at[first]) / DAY_NS))
        kept = [first, *(one for one in range(first + 1, count) if at[one] != at[one - 1])]  # the lowest
        slopes = [(values[j] - values[i]) / ((at[j] - at[i]) / DAY_NS) for i, j in combinations(kept, 2)]
        return self._finite(float(median(slopes)))

    def _finite(self, per_day: float) -> float:
        found = per_day * DAYS[self.function]
        if not math.isfinite(found):
            raise OverflowError(f"{self.function} is not finite")
        return found

    def _view(self, now_ns: int) -> View:
        import numpy as np  # not before a rule has a window

        # Copies: a view of a bytearray would forbid it to grow for as long as some traceback keeps it.
        at = np.frombuffer(bytes(self.at), np.int64)
        values = np.frombuffer(bytes(self.values), np.float64)
        now_ns = max(now_ns, int(at[-1]))
        first = int(at.searchsorted(now_ns - self.span_ns))
        return View(at, values, first, now_ns - self.span_ns, now_ns)


# ---------------------------------------------------------------- the windows of many subjects

Windows = dict[str, Window]  # key_of(…) -> what is remembered; a part of the checkpoint


def key_of(measure: Measure, subject: str) -> str:
    """Rules that ask the same of a subject share one window."""
    return f"{measure.key}|{subject}"


def feed(
    windows: Windows,
    subject: str,
    measures: Iterable[Measure],
    values: Mapping[str, float],
    measured_ns: int,
) -> None:
    """Remembers what one reading says; to be called once a reading is believed, late or not, before judging.

    Twice does no harm. Raises ArithmeticError as Measure.sample and Window.add do.
    """
    for measure in measures:
        sample = measure.sample(values)
        if sample is not None:
            key = key_of(measure, subject)
            one = windows.get(key)
            if one is None:
                one = windows[key] = measure.window()
            one.add(measured_ns, sample)


def recall(windows: Windows, subject: str, measure: Measure, now_ns: int) -> float | None:
    """What a Scope's `window` answers."""
    one = windows.get(key_of(measure, subject))
    return (measure.window() if one is None else one).value(now_ns)


def wakes_ns(windows: Windows, subject: str, measures: Iterable[Measure], now_ns: int) -> int | None:
    """The earliest instant at which time alone may change what any of these windows says."""
    kept = (windows.get(key_of(measure, subject)) for measure in measures)
    told = (one.next_change_ns(now_ns) for one in kept if one is not None)
    return min((at for at in told if at is not None), default=None)


# ---------------------------------------------------------------- what a window says


class View(NamedTuple):
    """A window at an instant: samples from `first` on lie in it, those before only tell what held."""

    at: IntArray
    values: FloatArray
    first: int
    start_ns: int
    now_ns: int

    @property
    def covered(self) -> bool:
        """Whether its samples reach over half of the span."""
        if self.first == self.at.size:
            return False
        reach = int(self.at[-1] - self.at[self.first])
        return reach >= (self.now_ns - self.start_ns) * COVERED_PART


def _of(function: str, view: View, argument: float) -> float | None:
    if function == "share":
        return _share(view)
    inside = view.values[view.first :]
    if function == "change":
        return float(inside[-1]) - float(inside[0])
    if function in DAYS:
        return _per_day(view.at[view.first :], inside) * DAYS[function]
    if function == UNUSUAL:
        return None if (usual := _usual(view, argument)) is None else usual.apart
    import numpy as np

    from gateway.core.signals import statistic_named

    with np.errstate(over="ignore", invalid="ignore"):
        return statistic_named(f"p{argument:f}" if function == "percentile" else function)(inside)


class Usual(NamedTuple):
    """A sample beside those of the span before it, all in their unit."""

    newest: float
    median: float
    scatter: float  # a standard deviation of those before it, robust; never 0

    @property
    def apart(self) -> float:
        """How many standard deviations it lies from their median, in either direction."""
        return abs(self.newest - self.median) / self.scatter


def _usual(view: View, scatter_least: float) -> Usual | None:
    """The newest is no part of what it is compared with. Where none of the others differs their scatter
    would be 0, and the last digit of the sensor an event.
    """
    before = view.values[view.first : -1]
    if before.size < BEFORE_LEAST or not view.covered:
        return None
    from gateway.core.signals import median_and_scatter

    median, scatter = median_and_scatter(before)
    return Usual(float(view.values[-1]), median, max(scatter, scatter_least))


def _held(view: View) -> Mask:
    """Which samples lie in the window and held."""
    held: Mask = (view.values > 0) & (view.at >= view.start_ns)
    return held


def _rises(view: View) -> Mask:
    """Which samples in the window held right after one that did not; the first word of all is no rise."""
    rises = _held(view)
    rises[0] = False
    rises[1:] &= view.values[:-1] == 0
    return rises


def _share(view: View) -> float | None:
    """Percent of the time that is known, each value holding until the next; None of no time."""
    since = view.at.clip(view.start_ns)
    until = since.copy()
    until[:-1], until[-1] = since[1:], view.now_ns
    known = view.now_ns - int(since[0])
    return 100 * int((until - since)[view.values > 0].sum()) / known if known else None


def _per_day(at: IntArray, values: FloatArray) -> float:
    """Theil-Sen slope. More than RATE_POINTS_MOST samples go in even groups, each by its mean instant and
    median value; the oldest few that fill no group are left out.
    """
    import numpy as np

    from gateway.core.signals import median_slope

    newer = at[1:] > at[:-1]
    if not newer.all():  # of several values of one instant the lowest
        fresh = np.append(True, newer)
        at, values = at[fresh], values[fresh]
    days = (at - at[0]) / DAY_NS
    size = -(-days.size // RATE_POINTS_MOST)
    if size > 1:
        rest = days.size % size
        days = days[rest:].reshape(-1, size).mean(axis=1)
        values = np.median(values[rest:].reshape(-1, size), axis=1)
    return median_slope(days, values)
