"""Quantities worked out from others: trends, values without the part of temperature, lean, differences.

A pack declares them (`derive:`), the engine adds them to a reading after its quality is known and before
rules judge it, so that ordinary rules with ordinary limits speak of them. A device without a declaration
costs nothing. What must be remembered is engine state: means of three hours for some weeks, no raw samples.

Only days are closed, never guessed: a trend is worked out when the first word of a new local day arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from struct import Struct
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from gateway.core import texts
from gateway.core.calendars import local
from gateway.core.calibration import zero_at, zeros
from gateway.core.conditions import applies
from gateway.core.model import SECOND, Derivation, Device, Period, World
from gateway.core.state import Fit, Latest, Series, State
from gateway.core.units import QUANTITIES, decimals, factor

if TYPE_CHECKING:
    from gateway.core.signals import Differential

NEEDS = {  # way -> the keys of a declaration that it cannot do without
    "trend": ("over",),
    "compensated": ("compensated_by",),
    "lean": ("across",),
    "difference": (),
    "distortion": (),
}
MAY = {
    "trend": ("compensated_by",),
    "compensated": (),
    "lean": (),
    "difference": ("within",),
    "distortion": ("within",),
}
WAYS = tuple(NEEDS)
BLOCK_H = 3  # eight means a day follow the sun well enough
BLOCKS = 24 // BLOCK_H  # a day
BLOCKS_LEAST = BLOCKS // 2  # of a day whose median counts
KEPT_DAYS = 45  # a baseline period may be approved so long after it began
OVER_DAYS = (7, 90)  # of a trend
PERIOD_DAYS = (7, 31)  # of a baseline
TREND_PART = 2 / 3  # of its days that must be there
PERIOD_PART = 1 / 3  # of a baseline's blocks: a device that speaks every six hours fills half of them
RECORD = Struct("<Iff")  # number, mean, mean temperature

Values = Mapping[str, float]
Zeros = tuple[tuple[int, float], ...]  # from when on, what is counted from; NaN: its sensor is not joined yet
Note = Callable[..., None]


class Work(Protocol):
    """One way to derive, of one device."""

    def add(self, values: Values, measured_ns: int, note: Note) -> dict[str, float]:
        """What follows from a reading; most often nothing, or one number."""
        ...

    def evidence(self, quantity: str) -> str | None:
        """Where what `add` gave last comes from; None for a quantity of another."""
        ...


class Derived:
    """All that is derived of one device."""

    def __init__(self, works: list[Work]) -> None:
        self._works = works

    def add(self, values: Values, measured_ns: int, note: Note) -> dict[str, float]:
        found: dict[str, float] = {}
        for work in self._works:
            found |= work.add(values, measured_ns, note)
        return {name: round(value, decimals(name)) + 0.0 for name, value in found.items()}

    def evidence(self, quantity: str) -> str:
        """In words, for the alert; "" for a quantity that was measured."""
        return next((said for work in self._works if (said := work.evidence(quantity)) is not None), "")


class Deriving:
    """What a World derives. Forgets what no declaration asks for any more."""

    def __init__(self, world: World, state: State) -> None:
        self._world, self._state = world, state
        self._compared = {near for device in world.devices.values() for near in device.neighbours}
        self._of = {
            device.id: Derived(works)
            for device in (world.devices.values() if world.derivations else ())
            if (works := list(self._works(device)))
        }
        if self._of:
            import_module("gateway.core.signals")  # numpy: now, and not beside an alert
        self._forget()

    def of(self, device: Device, component: str) -> Derived | None:
        """None for nearly every device. Parts of devices are not derived of."""
        return None if component else self._of.get(device.id)

    def _works(self, device: Device) -> Iterator[Work]:
        followed: dict[tuple[str, str], list[Derivation]] = {}
        model = self._world.models[device.model]
        said = {"", *(field.quantity for field in model.fields if not field.of)}
        for one in self._world.derivations:
            if not applies(one, device, model.scene) or not {one.of, one.compensated_by, one.across} <= said:
                continue
            if one.how in ("trend", "compensated"):
                followed.setdefault((one.of, one.compensated_by), []).append(one)
            elif one.how == "lean":
                yield Leaning(one, device, (self._zeros(device, one.of), self._zeros(device, one.across)))
            elif device.neighbours or device.id in self._compared:
                yield Comparing(one, device, self._state.latest, self._zeros(device, one.of))
        for (of, by), wanted in followed.items():
            series = self._state.series.setdefault(f"{of}|{by}|{device.id}", Series())
            yield Following(wanted, device, series, self._world.timezone, self._zeros(device, of))

    def _zeros(self, device: Device, quantity: str) -> Zeros:
        entries = self._world.calibrations.get(device.id, ())
        return zeros(entries, "", quantity, device.baseline.get(quantity, 0.0))

    def _forget(self) -> None:
        derivations, devices = self._world.derivations, self._world.devices
        series = {f"{one.of}|{one.compensated_by}" for one in derivations}
        latest = {one.of for one in derivations if one.how in ("difference", "distortion")}
        for kept, asked in ((self._state.series, series), (self._state.latest, latest)):
            for key in [key for key in kept if not _asked(key, asked, devices)]:
                del kept[key]


def _asked(key: str, asked: set[str], devices: Mapping[str, Device]) -> bool:
    what, _, device = key.rpartition("|")
    return what in asked and device in devices


def scale_of(one: Derivation) -> float:
    """What turns the unit of `of` into that of the derived quantity. Raises ValueError for a wrong unit."""
    unit, wanted = QUANTITIES[one.of].unit, QUANTITIES[one.quantity].unit
    if one.how == "trend":
        if not wanted.endswith("/d"):
            raise ValueError(f"{wanted} is no change a day")
        wanted = wanted.removesuffix("/d")
    elif one.how in ("lean", "distortion"):
        if wanted != "mm/m" or unit != {"lean": "deg", "distortion": "mm"}[one.how]:
            raise ValueError(f"{wanted} is no {one.how} of {unit}")
        return 1.0
    return factor(unit, wanted)


# ---------------------------------------------------------------- trends and temperature


class Following:
    """One quantity of one device over weeks: its trend, and what is left of it without temperature."""

    def __init__(
        self, wanted: list[Derivation], device: Device, series: Series, timezone: str, rest: Zeros
    ) -> None:
        self._of, self._by, self._rest = wanted[0].of, wanted[0].compensated_by, rest
        self._compensated = [(one.quantity, scale_of(one)) for one in wanted if one.how == "compensated"]
        self._trends = [
            (one.quantity, scale_of(one), round(one.over_s / 86400)) for one in wanted if one.how == "trend"
        ]
        self._kept_days = max([KEPT_DAYS, *(days for _, _, days in self._trends)])
        self._device, self._series, self._timezone = device, series, timezone
        self._said: dict[str, Callable[[], str]] = {}
        if series.fit is not None and series.fit.period != str(device.baseline_period):
            series.fit = None  # nobody approves of it any more

    def add(self, values: Values, measured_ns: int, note: Note) -> dict[str, float]:
        value, warmth = values.get(self._of), values.get(self._by) if self._by else 0.0
        if value is None or warmth is None or math.isnan(zero_at(self._rest, measured_ns)):
            return {}
        series, found = self._series, dict[str, float]()
        at = local(measured_ns, self._timezone)
        block = at.toordinal() * BLOCKS + at.hour // BLOCK_H
        if block > series.block:
            before, day = series.block // BLOCKS, block // BLOCKS
            self._close(block)
            if before and day > before:
                found = self._close_day(day, note)
        if block == series.block:  # an older one: a clock was set back, and that hour is counted already
            series.count += 1
            series.total += value
            series.warmth += warmth
        return found | self._left(value, warmth)

    def evidence(self, quantity: str) -> str | None:
        said = self._said.get(quantity)
        return said() if said else None

    def _left(self, value: float, warmth: float) -> dict[str, float]:
        """What is left of a value without the part of temperature; nothing before that is known."""
        fit = self._series.fit
        if fit is None or not self._compensated:
            return {}
        for quantity, _ in self._compensated:
            self._said[quantity] = partial(self._compensation, fit)
        left = fit.residual(value, warmth)
        return {quantity: left * scale for quantity, scale in self._compensated}

    def _close(self, block: int) -> None:
        series = self._series
        if series.count:
            mean, warmth = series.total / series.count, series.warmth / series.count
            series.closed += RECORD.pack(series.block, mean, warmth)
        series.block, series.count, series.total, series.warmth = block, 0, 0.0, 0.0

    # -- once a day

    def _close_day(self, day: int, note: Note) -> dict[str, float]:
        """The days before `day` are over: learn what can be learnt, and see where it is going."""
        first = (day - self._kept_days) * BLOCKS
        series = self._series
        while series.closed and RECORD.unpack_from(series.closed)[0] < first:
            series.closed = series.closed[RECORD.size :]
        if self._by:
            self._learn(day, note)
        found: dict[str, float] = {}
        for quantity, scale, days in self._trends if series.fit or not self._by else ():
            found |= self._trend(quantity, scale, day, days)
        return found

    def _learn(self, day: int, note: Note) -> None:
        """Fits once the approved period is over."""
        series, period = self._series, self._device.baseline_period
        if period is None or series.fit is not None or day < period.until.toordinal():
            return
        from gateway.core.signals import fit_compensation

        blocks = [one for one in RECORD.iter_unpack(series.closed) if _within(one[0], period)]
        wanted = round((period.until - period.since).days * BLOCKS * PERIOD_PART)
        try:
            if len(blocks) < wanted:
                raise ValueError(f"{len(blocks)} of at least {wanted} means of {BLOCK_H} hours")
            numbers, values, warmths = zip(*blocks, strict=True)
            one = fit_compensation([number / BLOCKS for number in numbers], values, warmths)
        except ValueError as error:
            note("baseline_unfit", device=self._device.id, quantity=self._of, reason=str(error))
            return
        version = f"{crc32(f'{period} {one.level!r} {one.per_degree!r}'.encode()) & 0xFFFF:04x}"
        series.fit = Fit(str(period), version, one.level, one.per_degree, one.reference_c, one.scatter)
        note("baseline_fitted", device=self._device.id, quantity=self._of, version=version)

    def _trend(self, quantity: str, scale: float, day: int, days: int) -> dict[str, float]:
        from gateway.core.signals import theil_sen

        medians = self._medians(day - days, day)
        if len(medians) < days * TREND_PART:
            return {}
        slope = theil_sen(list(medians), list(medians.values()))
        low, high = slope.low * scale, slope.high * scale
        fit = self._series.fit
        self._said[quantity] = lambda: texts.trend(
            quantity, days, slope.count, low, high, self._compensation(fit) if fit else ""
        )
        return {quantity: slope.per_day * scale}

    def _medians(self, first: int, last: int) -> dict[int, float]:
        """Local day -> median of its means, without temperature where that is known."""
        fit, by_day = self._series.fit, dict[int, list[float]]()
        for number, value, warmth in RECORD.iter_unpack(self._series.closed):
            if first <= number // BLOCKS < last:
                left = fit.residual(value, warmth) if fit else value
                by_day.setdefault(number // BLOCKS, []).append(left)
        return {day: _median(means) for day, means in by_day.items() if len(means) >= BLOCKS_LEAST}

    def _compensation(self, fit: Fit) -> str:
        period = self._device.baseline_period
        return texts.compensation(period, fit.version) if period else ""


def _within(block: int, period: Period) -> bool:
    return period.since.toordinal() <= block // BLOCKS < period.until.toordinal()


def _median(values: list[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


# ---------------------------------------------------------------- lean


class Leaning:
    """Two axes together, each as far as it has moved from the device's baseline."""

    def __init__(self, one: Derivation, device: Device, rest: tuple[Zeros, Zeros]) -> None:
        self._one, self._rest = one, rest
        self._said: tuple[float, float] | None = None

    def add(self, values: Values, measured_ns: int, note: Note) -> dict[str, float]:
        along, across = values.get(self._one.of), values.get(self._one.across)
        if along is None or across is None:
            return {}
        from gateway.core.signals import lean

        try:
            rest = [zero_at(axis, measured_ns) for axis in self._rest]
            found = lean(along - rest[0], across - rest[1])
        except ValueError:  # a sensor that lies flat: nothing can be said of the wall
            return {}
        self._said = found.bearing_deg, found.one_in
        return {self._one.quantity: found.mm_per_m}

    def evidence(self, quantity: str) -> str | None:
        return texts.lean(*self._said) if quantity == self._one.quantity and self._said else None


# ---------------------------------------------------------------- differences


class Comparing:
    """One device against its neighbours: the worst pair counts. A neighbour long silent is left out."""

    def __init__(self, one: Derivation, device: Device, latest: dict[str, Latest], rest: Zeros) -> None:
        self._one, self._device, self._latest, self._rest = one, device, latest, rest
        self._scale, self._within_ns = scale_of(one), int(one.within_s * SECOND)
        self._said: tuple[str, float] | None = None

    def add(self, values: Values, measured_ns: int, note: Note) -> dict[str, float]:
        value = values.get(self._one.of)
        if value is None:
            return {}
        own = value - zero_at(self._rest, measured_ns)
        if math.isnan(own):
            self._latest.pop(f"{self._one.of}|{self._device.id}", None)
            return {}
        self._latest[f"{self._one.of}|{self._device.id}"] = Latest(measured_ns, own)
        from gateway.core.signals import differentials

        name, neighbours = self._device.id, self._device.neighbours
        pairs = [(name, near, apart_m) for near, apart_m in neighbours.items()]
        worst = max(
            differentials({name: own} | self._fresh(measured_ns), pairs), key=self._size, default=None
        )
        if worst is None:
            return {}
        self._said = worst.against, worst.apart_m
        return {self._one.quantity: self._of_pair(worst) * self._scale}

    def _fresh(self, measured_ns: int) -> dict[str, float]:
        """The neighbours' last words, of those that are not long silent."""
        last = {near: self._latest.get(f"{self._one.of}|{near}") for near in self._device.neighbours}
        return {
            near: one.value
            for near, one in last.items()
            if one is not None and abs(measured_ns - one.measured_ns) <= self._within_ns
        }

    def _of_pair(self, pair: Differential) -> float:
        return pair.distortion_mm_m if self._one.how == "distortion" else pair.difference_mm

    def _size(self, pair: Differential) -> float:
        return abs(self._of_pair(pair))

    def evidence(self, quantity: str) -> str | None:
        return texts.difference(*self._said) if quantity == self._one.quantity and self._said else None
