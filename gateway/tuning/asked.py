"""What is asked of an instant, and the shape of the answer: shared by the checks of `why-not`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.adapters.archive import Row
from gateway.core.calendars import local
from gateway.core.conditions import Judge, parsed
from gateway.core.doubts import STUCK
from gateway.core.model import SECOND, Alert, Device, QuarantineRow, Rule, World
from gateway.core.texts import span
from gateway.core.units import shown
from gateway.core.weighing import COUNTS_FOR, COUNTS_NS
from gateway.tuning.facts import Term, bound, distance, figure, judge_of, terms_of
from gateway.tuning.replaying import Past


class Reason(StrEnum):
    """In the order in which they are asked: the further down, the nearer it was to firing."""

    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_RULE = "unknown_rule"
    OFF = "off"
    SCENE = "scene"
    MODEL = "model"
    LABEL = "label"
    COMPONENT = "component"
    QUANTITY = "quantity"
    GROUP = "group"
    BASELINE = "baseline"
    SHADOW = "shadow"
    HIDDEN = "hidden"
    FIRED = "fired"
    DEAF = "deaf"
    BEHIND = "behind"
    UNHEARD = "unheard"
    UNSAID = "unsaid"
    REFUSED = "refused"
    MARKED = "marked"
    DOUBTED = "doubted"
    UNSURE = "unsure"
    COOLING = "cooling"
    WAITING = "waiting"
    DURING = "during"
    MAINTENANCE = "maintenance"
    DISABLED = "disabled"
    UNKNOWN = "unknown"
    NOT_BEYOND = "not_beyond"
    NOT_LONG = "not_long"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSaid:
    """One level: its condition, what was found, and how much was wanting."""

    level: str
    limit: str
    found: str
    wanting: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    reason: Reason
    zh: str
    en: str
    component: str = ""
    exact: bool = True
    levels: tuple[LevelSaid, ...] = ()
    terms: tuple[Term, ...] = ()
    alert: str = ""
    further: Answer | None = None  # what stood in the way beside that


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Everything that an answer goes by. `rule` is effective; rows ascend by their instant of arrival."""

    world: World
    rule: Rule
    device: Device
    component: str
    past: Past
    rows: Sequence[Row] = ()  # of the device, from some days before
    refused: Sequence[QuarantineRow] = ()  # of the device, ascending
    alerts: Sequence[Alert] = ()  # of the rule on the device, in the store
    judge: Judge | None = field(init=False)

    def __post_init__(self) -> None:
        found = judge_of(self.past.engine, self.rule.id, self.device, self.component)
        object.__setattr__(self, "judge", found)

    @property
    def quantities(self) -> tuple[str, ...]:
        return parsed(self.rule.when).quantities if self.rule.when else (self.rule.quantity,)

    @property
    def last(self) -> Row | None:
        """The newest reading of what the rule judges."""
        own = (one for one in self.rows if one.component == self.component)
        return max(
            (one for one in own if one.quantity in self.quantities),
            key=lambda one: (one.received_ns, one.measured_ns),
            default=None,
        )

    @property
    def unit(self) -> str:
        return parsed(self.rule.when).unit if self.rule.when else ""

    def clock(self, wall_ns: int) -> str:
        return local(wall_ns, self.world.timezone).strftime("%Y-%m-%d %H:%M:%S")

    def ago(self, wall_ns: int) -> str:
        return seconds((self.past.at_ns - wall_ns) / SECOND)


def seconds(value: float) -> str:
    """A span, to the second: 90 秒 is 90 s everywhere."""
    return span(round(value)) if value >= 1 else f"{value:.2g} 秒"


# ---------------------------------------------------------------- what the checks go by


def value_of(asked: Asked) -> float | None:
    """What the rule judged at the instant: the last word, or what its expression says."""
    judge, engine = asked.judge, asked.past.engine
    if judge is None:
        return None
    if judge.expression is not None:
        weighing = engine.watches.weighing
        try:
            seen = weighing.seen(asked.device.id, asked.component)
            return weighing.value(judge, seen, asked.past.at_ns)
        except ArithmeticError:
            return None
    if judge.quantity == STUCK:
        traces = engine.watches.of[asked.device.id].heard.traces
        own = [one.stuck for key, one in traces.items() if key.startswith(f"{asked.component}/")]
        return float(any(own)) if own else None
    return asked.last.value if asked.last else None


def counts_ns(asked: Asked) -> int:
    """For how long a word of the device counts."""
    return int(COUNTS_FOR * asked.past.engine.watches.of[asked.device.id].interval_ns()) or COUNTS_NS


def levels_of(asked: Asked) -> tuple[LevelSaid, ...]:
    judge, value = asked.judge, value_of(asked)
    if judge is None or value is None:
        return ()
    measure = judge.measure(value, asked.past.at_ns)
    return tuple(
        LevelSaid(
            level=limit.level.word,
            limit=bound(asked.rule, limit, asked.unit),
            found=figure(asked.rule, measure, asked.unit),
            wanting=figure(asked.rule, max(distance(limit, measure), 0.0), asked.unit),
        )
        for limit in judge.rule.limits
    )


def terms_then(asked: Asked) -> tuple[Term, ...]:
    judge = asked.judge
    if judge is None or judge.expression is None:
        return ()
    weighing = asked.past.engine.watches.weighing
    return tuple(terms_of(weighing, judge, (asked.device.id, asked.component), asked.past.at_ns))


def figure_of(asked: Asked, row: Row) -> str:
    return f"{row.quantity} {shown(row.quantity, row.value)}"
