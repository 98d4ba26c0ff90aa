"""What each condition judges: a rule made ready for one subject.

A `Judge` also knows its calm band, the interval of values in which every one of its limits says good. A
subject none of whose rules is astir needs no more than "every value lies in its band": 20 rules cost as
much as 8 comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from gateway.core.calendars import Hours, Works, hours_of, works_on
from gateway.core.calibration import zeros
from gateway.core.model import Derivation, Device, Level, Limit, Rule, Verdict, World

NEVER_CALM = (math.inf, -math.inf)
NOW = 2**63 - 1  # after every entry of a table: the baseline that holds last


class Counts(Enum):
    """What a value beyond its limit counts for at an instant."""

    FULLY = "fully"
    HELD = "held"  # works go on: what stands, stands; nothing but a red level is raised
    HELD_RED = "held_red"  # nor is that
    NOT_NOW = "not_now"  # outside the rule's `during`

    def holds(self, level: Level) -> bool:
        """Whether that level is not raised now."""
        return self is not Counts.FULLY and (self is not Counts.HELD or level is not Level.RED)


def held_at(works: Iterable[Works], wall_ns: int) -> Counts:
    """What works make of an instant."""
    going = [one.entry.also_red for one in works if one.hold_at(wall_ns)]
    if not going:
        return Counts.FULLY
    return Counts.HELD_RED if any(going) else Counts.HELD


@dataclass(frozen=True, slots=True)
class Judge:
    """One rule on one subject. `key` names its state; in its calm band `low`..`high` every value is good.

    `zeros` are the baselines with the instant from which each holds, when there is more than one; NaN where
    nobody knows what to count from: the verdict is then unknown.
    """

    rule: Rule
    key: str
    quantity: str
    baseline: float | None  # judged is |value - baseline|; 0 when relative to zero
    low: float
    high: float
    zeros: tuple[tuple[int, float], ...] = ()
    hours: Hours | None = None  # outside them nothing is bad
    works: tuple[Works, ...] = ()  # while one goes on nothing is raised

    @property
    def timed(self) -> bool:
        """Whether its verdict on one value may change with the hour."""
        return self.hours is not None or bool(self.works)

    def counts_at(self, wall_ns: int) -> Counts:
        """What a value beyond its limit counts for at that instant."""
        if self.hours is not None and not self.hours.hold_at(wall_ns):
            return Counts.NOT_NOW
        return held_at(self.works, wall_ns) if self.works else Counts.FULLY

    def measure(self, value: float, measured_ns: int = NOW) -> float:
        if self.baseline is None:
            return value
        zero = self.baseline
        for since_ns, other in self.zeros:
            zero = other if since_ns <= measured_ns else zero
        return abs(value - zero)

    def beyond(self, value: float, measured_ns: int = NOW) -> bool:
        """Whether any level's limit is crossed, whatever the hour."""
        if not self.zeros:
            return not self.low <= value <= self.high
        return any(crossed(limit, self.measure(value, measured_ns), False) for limit in self.rule.limits)

    def verdict(
        self,
        limit: Limit,
        value: float,
        active: bool,
        counts: Counts = Counts.FULLY,
        measured_ns: int = NOW,
    ) -> Verdict:
        """What this level says of a value. An active level goes by its clear limit."""
        if counts is Counts.NOT_NOW:
            return Verdict.GOOD
        measure = self.measure(value, measured_ns)
        if math.isnan(measure):
            return Verdict.UNKNOWN
        held = not active and counts.holds(limit.level)
        return Verdict.BAD if crossed(limit, measure, active) and not held else Verdict.GOOD

    def despite(self, limit: Limit, verdict: Verdict) -> Verdict:
        """What is left of a verdict on a doubted value: a stuck or spiking one never clears by default.

        Unless the rule says otherwise a red level takes it for bad, since nobody may sleep through a fire
        that began between two reports, and the others wait for a sound value.
        """
        way = self.rule.on_bad_quality or ("raise" if limit.level is Level.RED else "hold")
        if way == "judge" or (way == "raise" and verdict is Verdict.BAD):
            return verdict
        return Verdict.UNKNOWN


def crossed(limit: Limit, value: float, active: bool) -> bool:
    """Beyond the limit; an active level stays crossed until the value is past its clear limit."""
    if limit.above is not None:
        return value > (limit.above if not active or limit.clear is None else limit.clear)
    if limit.below is not None:
        return value < (limit.below if not active or limit.clear is None else limit.clear)
    return False


def applies(rule: Rule | Derivation, device: Device, scene: str) -> bool:
    """Whether a rule, or what a pack derives, is about this device."""
    return (
        rule.scene == scene
        and rule.model in ("", device.model)
        and all(device.labels.get(name) == value for name, value in rule.labels.items())
    )


def judge_for(rule: Rule, device: Device, component: str, world: World) -> Judge | None:
    """The rule made ready for a subject; None when it has nothing to say of it."""
    if not applies(rule, device, world.models[device.model].scene):
        return None
    baseline = None
    held: tuple[tuple[int, float], ...] = ()
    if rule.relative_to == "zero":
        baseline = 0.0
    elif rule.relative_to:
        baseline = device.baseline.get(rule.quantity)
        if baseline is None:
            return None  # `check` refuses this; a rule without its zero must not guess one
        held = zeros(world.calibrations.get(device.id, ()), component, rule.quantity, baseline)
    hours = hours_of(world, device.at, rule.during) if rule.during else None
    key = f"{rule.id}|{device.id}|{component}"
    bands = [NEVER_CALM if math.isnan(zero) else band(rule, zero) for _, zero in held]
    bands = bands or [band(rule, baseline)]
    low, high = max(low for low, _ in bands), min(high for _, high in bands)
    held = held if len(held) > 1 else ()
    return Judge(rule, key, rule.quantity, baseline, low, high, held, hours, works_on(world, device))


def band(rule: Rule, baseline: float | None) -> tuple[float, float]:
    """(low, high): a value in it is good for every level."""
    high = min((limit.above for limit in rule.limits if limit.above is not None), default=math.inf)
    low = max((limit.below for limit in rule.limits if limit.below is not None), default=-math.inf)
    return (low, high) if baseline is None else (baseline - high, baseline + high)
