"""What each condition judges: a rule made ready for one subject.

A `Judge` also knows its calm band, the interval of values in which every one of its limits says good. A
subject none of whose rules is astir needs no more than "every value lies in its band": 20 rules cost as
much as 8 comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache

import msgspec

from gateway.core.calendars import Hours, Works, hours_of, works_on
from gateway.core.calibration import zeros
from gateway.core.doubts import STUCK
from gateway.core.effective import effective
from gateway.core.expressions import Expression, parse
from gateway.core.model import SECOND, Derivation, Device, Level, Limit, Rule, Verdict, World
from gateway.core.presence import tells

parsed = cache(parse)
CONFIDENCE = "confidence"
OFF = "off"  # the mode of a rule that a site has switched off for a device
NEVER_CALM = (math.inf, -math.inf)
ANYTHING = (-math.inf, math.inf)  # bounds of what is not known at all
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


class Judge(msgspec.Struct, frozen=True, gc=False):
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
    expression: Expression | None = None  # what gives the value, where it is no quantity
    members: tuple[tuple[str, str], ...] = ()  # of a group: (device, component)
    restless: bool = False  # it has windows, and a value that sinks as they empty may become bad
    lag_ns: int = 0  # it judges so long after the instants, for what may come late: its rule's, its model's

    def of(self, key: str) -> Judge:
        """The same of another subject."""
        return Judge(
            self.rule, key, self.quantity, self.baseline, self.low, self.high, self.zeros, self.hours,
            self.works, self.expression, self.members, self.restless, self.lag_ns,
        )  # fmt: skip

    @property
    def goes_by_states(self) -> bool:
        """Whether it stays calm while no state that it reads is another."""
        return self.expression is not None and self.expression.is_of_states

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
        return any(crossed(limit, self.measure(value, measured_ns), False) for limit in self.rule.limits)

    def believes(self, value: float, values: Mapping[str, float]) -> bool:
        """Whether a value counts, beside what its reading says of how sure it is of what it saw."""
        least = self.rule.confidence
        return not least or values.get(CONFIDENCE, least) >= least or not self.beyond(value)

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

    def in_any_case(
        self, limit: Limit, bounds: tuple[float, float], active: bool, counts: Counts, measured_ns: int
    ) -> Verdict:
        """What this level says of a value that is only known to lie between bounds."""
        if counts is Counts.NOT_NOW:
            return Verdict.GOOD
        if limit.above is None and limit.below is None:
            return Verdict.UNKNOWN
        least, most = (self.verdict(limit, one, active, counts, measured_ns) for one in bounds)
        return least if least is most else Verdict.UNKNOWN

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
    if limit.equals is not None:
        return value == limit.equals
    bounds = limit.clear_range if active and limit.clear_range else limit.inside or limit.outside
    if bounds is None:
        return False
    return (bounds[0] <= value <= bounds[1]) == (limit.inside is not None)


def goes_by_the_unusual(rule: Rule) -> bool:
    """Whether it asks how unusual a reading is for its device: such a rule stands beside limits, is yellow
    at most, and hides none.
    """
    return bool(rule.when) and bool(parsed(rule.when).unusual)


def applies(rule: Rule | Derivation, device: Device, scene: str) -> bool:
    """Whether a rule, or what a pack derives, is about this device."""
    return (
        rule.scene == scene
        and rule.model in ("", device.model)
        and (not rule.labels or all(device.labels.get(name) == one for name, one in rule.labels.items()))
    )


def speaks_of(rule: Rule, device: Device, world: World) -> bool:
    """Whether a rule can ever say anything of a device: it is silence, or measured, or derived for it."""
    model = world.models[device.model]
    if not applies(rule, device, model.scene):
        return False
    fields = [field for field in model.fields if field.of == rule.each]
    derived = [one.quantity for one in world.derivations if applies(one, device, model.scene)]
    if rule.when:
        return set(parsed(rule.when).quantities) <= {
            *(field.quantity for field in fields),
            *derived,
            *tells(model, rule.each),
        }
    told = tells(model, rule.each)
    known = {"", *(field.quantity for field in fields), *([] if rule.each else derived), *told}
    return rule.quantity in known or (rule.quantity == STUCK and any(field.stuck_after for field in fields))


def is_for_all(rule: Rule, world: World) -> bool:
    """Whether what it judges is the same of every device of a model, but for the numbers tuned for it."""
    return not (rule.labels or rule.relative_to not in ("", "zero") or rule.during or world.maintenance)


def judge_for(rule: Rule, device: Device, component: str, world: World) -> Judge | None:
    """The rule made ready for a subject, with the numbers tuned for it; None when it says nothing of it."""
    if not applies(rule, device, world.models[device.model].scene):
        return None
    rule = effective(world, rule, device)
    if rule.mode == OFF:
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
    lag_ns = int(max(rule.lateness_s, world.models[device.model].reorder_s) * SECOND)
    if rule.when:
        works, expression = works_on(world, device), parsed(rule.when)
        sinks = bool(expression.windows) and any(limit.above is None for limit in rule.limits)
        return Judge(
            rule, key, "", None, *band(rule, None), hours=hours, works=works, expression=expression,
            restless=sinks, lag_ns=lag_ns,
        )  # fmt: skip
    bands = [NEVER_CALM if math.isnan(zero) else band(rule, zero) for _, zero in held]
    bands = bands or [band(rule, baseline)]
    low, high = max(low for low, _ in bands), min(high for _, high in bands)
    held = held if len(held) > 1 else ()
    works = works_on(world, device)
    return Judge(rule, key, rule.quantity, baseline, low, high, held, hours, works, lag_ns=lag_ns)


def band(rule: Rule, baseline: float | None) -> tuple[float, float]:
    """(low, high): a value in it is good for every level."""
    calm = [calm_of(limit) for limit in rule.limits]
    low, high = max(low for low, _ in calm), min(high for _, high in calm)
    return (low, high) if baseline is None else (baseline - high, baseline + high)


def calm_of(limit: Limit) -> tuple[float, float]:
    """One interval in which the limit is surely not crossed: below it, where there is another above."""
    if limit.outside is not None:
        return limit.outside
    worst = limit.inside[0] if limit.inside else limit.equals
    if worst is not None:
        return -math.inf, math.nextafter(worst, -math.inf)
    low, high = limit.below, limit.above
    return -math.inf if low is None else low, math.inf if high is None else high
