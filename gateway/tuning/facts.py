"""What `why` and `why-not` both show: a rule's limits and figures, the terms of an expression, readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.adapters.archive import Row
from gateway.core import terms
from gateway.core.conditions import Judge, parsed
from gateway.core.effective import Said
from gateway.core.engine import Engine
from gateway.core.measures import UNUSUAL, Measure, Window
from gateway.core.model import Device, During, Level, Limit, Rule
from gateway.core.texts import span
from gateway.core.units import QUANTITIES, shown, sign
from gateway.core.weighing import Weighing
from gateway.tuning.report import blocks

SHOWN_MOST = 60  # readings drawn as blocks


@dataclass(frozen=True, slots=True)
class Term:
    """A part of an expression and what it was worth. `value` None: not known."""

    text: str
    value: float | None
    shown: str


def judge_of(engine: Engine, rule: str, device: Device, component: str) -> Judge | None:
    """The engine's own judge of a rule on a subject, or of the group it belongs to."""
    subject = engine.watches.of[device.id].subject(component)
    judges = (*subject.judges, *subject.orderly, *(one for one, _ in subject.weighed))
    return next((judge for judge in judges if judge.rule.id == rule), None)


def figure(rule: Rule, value: float, unit: str = "") -> str:
    """A number of the rule with its unit; `unit` is that of an expression."""
    return f"{value:.4g}{sign(unit)}" if rule.when else shown(rule.quantity, value)


def number_of(rule: Rule, number: Said) -> str:
    """A number of a level with the unit of what the rule judges; of the rule itself as it stands."""
    if number.level is None or not isinstance(number.value, float):
        return f"{number.value:g}" if isinstance(number.value, float) else str(number.value)
    return figure(rule, number.value, parsed(rule.when).unit if rule.when else "")


def bound(rule: Rule, limit: Limit, unit: str = "") -> str:
    """The condition of a level in signs: "> 55 ℃"."""
    if limit.above is not None:
        return f"> {figure(rule, limit.above, unit)}"
    if limit.below is not None:
        return f"< {figure(rule, limit.below, unit)}"
    if limit.equals is not None:
        return f"= {limit.equals:g}"
    bounds = limit.inside or limit.outside
    if bounds is not None:
        sign_ = "∈" if limit.inside else "∉"
        return f"{sign_} [{figure(rule, bounds[0], unit)}, {figure(rule, bounds[1], unit)}]"
    parts = [f"{span(limit.absent_s)}"] if limit.absent_s is not None else []
    parts += [f"{limit.missed:g}×"] if limit.missed is not None else []
    return f"∅ ≥ {' / '.join(parts)}"


def hours_said(during: During) -> list[str]:
    """When a rule counts, as its file says it."""
    said = [f"{key} {value}" for key in ("inside", "outside") if (value := getattr(during, key))]
    return [*said, f"days {' '.join(during.days)}"] if during.days else said


def distance(limit: Limit, measure: float) -> float:
    """How far a measure is from crossing a level's limit; 0 or less: it has."""
    if limit.above is not None:
        return limit.above - measure
    if limit.below is not None:
        return measure - limit.below
    if limit.equals is not None:
        return abs(limit.equals - measure)
    if limit.inside is not None:
        return max(limit.inside[0] - measure, measure - limit.inside[1], 0.0)
    if limit.outside is not None:
        return min(measure - limit.outside[0], limit.outside[1] - measure)
    return 0.0


def terms_of(weighing: Weighing, judge: Judge, subject: tuple[str, str], now_ns: int) -> list[Term]:
    """Everything an expression reads, with its value at an instant: of a group, of each member."""
    assert judge.expression is not None
    found = []
    for device, component in judge.members or (subject,):
        where = f"{device} {component}: ".replace(" :", ":") if judge.members else ""
        for quantity in judge.expression.quantities:
            value = weighing.known(device, component, quantity, now_ns)
            found.append(_term(where + quantity, value, QUANTITIES[quantity].unit))
        for quantity in judge.expression.from_baseline:
            value = weighing.moved(device, component, quantity, now_ns)
            found.append(_term(f"{where}moved({quantity})", value, QUANTITIES[quantity].unit))
        for measure in judge.expression.windows:
            window = weighing.seen(device, component).window_of(measure)
            found.append(_term(where + measure.key, window.value(now_ns), ""))
            found += _usual(where, measure, window, now_ns)
    return found + _others(weighing, judge, subject, now_ns)


def _usual(where: str, measure: Measure, window: Window, now_ns: int) -> list[Term]:
    """What a reading is unusual beside; nothing of other windows."""
    known = window.usual(now_ns) if measure.function == UNUSUAL else None
    if known is None:
        return []
    named, unit = {"median": known.median, "scatter": known.scatter}, QUANTITIES[measure.of].unit
    return [_term(f"{where}{measure.key} {name}", value, unit) for name, value in named.items()]


def _others(weighing: Weighing, judge: Judge, subject: tuple[str, str], now_ns: int) -> list[Term]:
    """The medians of neighbours that it is compared with."""
    assert judge.expression is not None
    device, component = subject
    model = weighing.world.models[weighing.world.devices[device].model]
    parts = model.parts(component.rpartition("-")[0])
    around = {
        "siblings": [(device, part) for part in parts if part != component],
        "peers": [(other, component) for other in weighing.peers(device)],
    }
    found = []
    for name in sorted(judge.expression.scope & around.keys()):
        for quantity in judge.expression.quantities:
            known = (weighing.known(*one, quantity, now_ns) for one in around[name])
            values = [value for value in known if value is not None]
            text = f"{name}({quantity}) [{len(values)}/{len(around[name])}]"
            found.append(_term(text, terms.median_of(values), QUANTITIES[quantity].unit))
    return found


def _term(text: str, value: float | None, unit: str) -> Term:
    return Term(text, value, "?" if value is None else f"{value:.6g}{sign(unit)}")


def sparkline(rows: Sequence[Row]) -> str:
    """The newest values as blocks, lowest to highest, with both ends."""
    values = [row.value for row in rows][-SHOWN_MOST:]
    return f"{blocks(values)}  {min(values):g} … {max(values):g}" if values else ""


def level_word(level: Level | None) -> str:
    return level.word if level else "-"
