"""How long a rule's longest message is, and how many short messages (SMS) that makes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.conditions import parsed
from gateway.core.model import SECOND, Alert, AlertState, Case, Device, Kind, Rule, Stage, World
from gateway.core.places import whereabouts
from gateway.core.units import QUANTITIES

ONE, PART = 70, 67  # UCS-2 characters of a single SMS; of each part of a longer one (3GPP TS 23.040)
PARTS_MOST = 3  # what providers join without fail, and a locked screen still shows
LONG = -1234.0  # what an expression may come to
RAISED_NS, NOW_NS = 1_800_000_000 * SECOND, 1_800_086_400 * SECOND  # a day apart: the text tells dates


def short_messages(text: str) -> int:
    """Of Chinese text; a character beyond the basic plane counts as two."""
    letters = len(text.encode("utf-16-le")) // 2
    return 1 if letters <= ONE else -(-letters // PART)


def situations(rule: Rule, device: Device, world: World) -> dict[AlertState, str]:
    """What a rule's alert says of its number and its hours, at the longest, by the state that tells it."""
    states = (AlertState.FIRING, AlertState.CLEARED, AlertState.LATCHED)
    return {state: texts.situation(_alert(rule, device, "", state), world, NOW_NS) for state in states}


def longest(rule: Rule, devices: Sequence[Device], world: World) -> tuple[Device, str]:
    """Title and body as the longest-named of the devices would cause them, unanswered, at the top level.

    Without the line that tells where a derived value comes from, and without the link.
    """
    places = {place: len(whereabouts(world, place)) for place in {device.at for device in devices}}
    device = max(devices, key=lambda one: places[one.at] + len(one.says or one.id))
    person = max(world.persons.values(), key=lambda one: len(one.says)).id if world.persons else ""
    top = rule.limits[-1]
    parts = [one for one in world.models[device.model].components if one.kind == rule.each]
    component = f"{rule.each}-{parts[0].count}" if parts else ""
    alert = replace(_alert(rule, device, component), called="", unit="")
    case = Case(
        id="", alerts=(), device=device.id, component=component, place=device.at, rule=rule.id,
        level=top.level, stage=Stage.SENT, opened_ns=NOW_NS, changed_ns=NOW_NS, responsible=person,
    )  # fmt: skip
    title = texts.title(Kind.ESCALATED, top.level, rule, device, component)
    return device, f"{title}\n{texts.body(Kind.ESCALATED, alert, rule, case, world, NOW_NS)}"


def _alert(rule: Rule, device: Device, component: str, state: AlertState = AlertState.FIRING) -> Alert:
    """At the top level, with the longest number that its quantity can have."""
    top, quantity = rule.limits[-1], QUANTITIES.get(rule.quantity)
    limit, number = top.above if top.above is not None else top.below, LONG if rule.when else None
    return Alert(
        id="", rule=rule.id, device=device.id, component=component, case="", level=top.level, worst=top.level,
        state=state, raised_ns=RAISED_NS, changed_ns=NOW_NS - SECOND, heard_ns=RAISED_NS,
        quantity=rule.quantity, value=quantity.high - quantity.resolution if quantity else number,
        limit=limit, called=rule.called, unit=parsed(rule.when).unit if rule.when else "",
    )  # fmt: skip
