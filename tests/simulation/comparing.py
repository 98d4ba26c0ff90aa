"""What of two rows is compared, and edits that must change nothing of it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from gateway.core.model import (
    Alert,
    Case,
    Configured,
    Effect,
    Ended,
    Entry,
    Event,
    Marked,
    Noted,
    Notification,
    Refused,
    World,
)


def timing(effects: Iterable[Effect]) -> list[tuple[object, ...]]:
    """Every effect with its instants, ids, subjects and levels, without the texts that an edit may change."""
    return [key for effect in effects if (key := _key(effect)) is not None]


def _key(effect: Effect) -> tuple[object, ...] | None:
    match effect:
        case Alert():
            one = effect
            subject = one.rule, one.device, one.component
            return (one.id, *subject, one.level, one.state, one.changed_ns, one.value, one.count, one.case)
        case Case():
            return effect.id, effect.stage, effect.level, effect.changed_ns, effect.rung, effect.responsible
        case Notification():
            told = effect
            return told.id, told.kind, told.level, told.person, told.channel, told.due_at, told.state
        case Entry():
            return effect.case, effect.what, effect.wall_ns, effect.person
        case Noted():
            return None if effect.event == "would_have_fired" else (effect.event,)
        case Marked() | Refused() | Ended():
            return (effect,)


def edited(world: World, dice: random.Random, digest: str) -> World:
    """An edit that concerns nothing that stands: texts, a rule nobody crosses, one more rule or device."""
    rules, index = list(world.rules), dice.randrange(len(world.rules))
    changes: dict[str, object] = {"digest": digest}
    match dice.randrange(4):
        case 0:
            rules[index] = replace(rules[index], action="到场查看，再报街道", says=rules[index].says + "。")
        case 1:
            rules = [replace(r, clear_hold_s=400.0) if r.id == "structure-radio-weak" else r for r in rules]
        case 2:
            hot = next(rule for rule in rules if rule.id == "slot-hot")
            limits = tuple(replace(one, above=(one.above or 0) + 50) for one in hot.limits)
            rules.insert(index, replace(hot, id=f"added-{digest}", limits=limits))
        case _:
            # A house that says nothing is missed after a day: not while the row goes on.
            like = next(one for one in world.devices.values() if one.model == "crack-gauge")
            more = replace(like, id=f"added-{digest}", topic=f"site/added-{digest}/up")
            changes["devices"] = {**world.devices, more.id: more}
    return replace(world, rules=tuple(rules), **changes)  # type: ignore[arg-type]


def configured(event: Event, digest: str) -> Configured:
    """An edit in the very instant of an event, just before it."""
    return Configured(event.at, event.wall_ns, digest)
