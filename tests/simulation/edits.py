"""What people change in the rules and devices while a week goes on, drawn before it begins.

Drawn ahead, since a device that is added speaks from then on: whoever tells what is said must know.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.core.model import Device, Limit, World
from simulators.lives import Episode

CALM_RULES = ("structure-radio-weak", "waste-exposed", "cabinet-suppression", "structure-sensor-stuck")
COPIED = ("shed-smoke", "cabinet-8")  # models


@dataclass(frozen=True, slots=True)
class Edit:
    """From an instant on another World judges; a device may have been added or taken down."""

    at_ns: int
    world: World
    joins: Device | None = None
    leaves: str = ""


def draw_edits(
    world: World, instants: Iterable[int], deaf: Sequence[Episode], dice: random.Random
) -> list[Edit]:
    """One at each instant at which there is a gateway to hear of it."""
    drawing = _Drawing(world, dice)
    return [drawing.draw(at) for at in instants if not any(at in one for one in deaf)]


class _Drawing:
    """A text, a limit of a rule that is calm, a rule more or less, a device more or less."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.first = self.world = world
        self.dice, self.count = dice, 0
        self._kinds: tuple[Callable[[], World], ...] = self._text, self._limit, self._rule, self._device

    def draw(self, at_ns: int) -> Edit:
        self.count += 1
        before = self.world.devices
        world = self._kinds[self.dice.randrange(len(self._kinds))]()
        self.world = replace(world, digest=str(self.count))
        joins = next((one for name, one in world.devices.items() if name not in before), None)
        leaves = next((name for name in before if name not in world.devices), "")
        return Edit(at_ns, self.world, joins, leaves)

    def _text(self) -> World:
        return self._changed(self.dice.choice(self.world.rules).id, action="到场查看，再报街道")

    def _limit(self) -> World:
        """By a few per cent of what is shipped: one edit after the other must not come near ordinary life."""
        name = self.dice.choice(CALM_RULES)
        rule = next(one for one in self.first.rules if one.id == name)
        by = self.dice.choice((0.96, 0.98, 1.02))
        return self._changed(name, limits=tuple(scaled(one, by) for one in rule.limits), clear_hold_s=301.0)

    def _changed(self, name: str, **changes: object) -> World:
        rules = [
            replace(one, **changes) if one.id == name else one  # type: ignore[arg-type]
            for one in self.world.rules
        ]
        return replace(self.world, rules=tuple(rules))

    def _rule(self) -> World:
        """One more, or the one that came last goes."""
        world, rules = self.world, self.world.rules
        added = [one for one in rules if one.id.startswith("added-")]
        if added and self.dice.random() < 0.5:
            return replace(world, rules=tuple(one for one in rules if one is not added[-1]))
        hot = next(one for one in rules if one.id == "slot-hot")
        limits = tuple(replace(x, above=(x.above or 0) + 30) for x in hot.limits)
        return replace(world, rules=(*rules, replace(hot, id=f"added-{self.count}", limits=limits)))

    def _device(self) -> World:
        """One more, which speaks from now on, or the one that came last is taken down."""
        world = self.world
        added = [one for one in world.devices if one.startswith("added-")]
        if added and self.dice.random() < 0.5:
            return replace(world, devices={k: v for k, v in world.devices.items() if k != added[-1]})
        name = f"added-{self.count}"
        device = replace(copied(world), id=name, topic=f"site/{name}/up")
        return replace(world, devices={**world.devices, device.id: device})


def scaled(limit: Limit, by: float) -> Limit:
    """The limit and its clear limit, moved together."""
    above, below, clear = (x and x * by for x in (limit.above, limit.below, limit.clear))
    return replace(limit, above=above, below=below, clear=clear)


def copied(world: World) -> Device:
    """The device that an edit adds one more of."""
    return next(one for one in world.devices.values() if one.model in COPIED)
