"""Rules that are no mistake and yet hardly meant: warnings, for `lilong check` alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gateway.checks.lengths import PART, PARTS_MOST, longest, short_messages
from gateway.checks.parts import Parts, line_of
from gateway.checks.rules import SILENCE, fits, judges, kind_of
from gateway.core.model import Device, Limit, Model, Rule, World
from gateway.core.texts import span
from gateway.core.units import QUANTITIES
from gateway.grammar import RuleKeys
from gateway.problems import Phrase, say
from gateway.typed import Builder

STORM_MOST = 200  # devices that may fall silent together; a robot takes 20 messages a minute
# What a rule says to people and does not judge by: two that differ in nothing else are one.
WORDS = ("id", "says", "basis", "action", "consequence", "owner", "respond_within", "clear_hold", "origin")
Warned = tuple[str, Phrase, Phrase]  # step to the key, what stands there, what belongs there


@dataclass(frozen=True)
class Looked:
    """A rule, as written and as it judges, and what of the site it is about."""

    keys: RuleKeys
    rule: Rule
    parts: Parts
    world: World

    @cached_property
    def judged(self) -> list[Device]:
        models = self.world.models
        return [one for one in self.parts.devices if judges(self.keys, one, models[one.model])]

    @cached_property
    def models(self) -> list[Model]:
        """Of the devices it judges; where the site has none, every model it could be about."""
        named = {device.model for device in self.judged}
        on = self.keys.on
        could = [one for one in self.parts.models if one.scene == on.scene and on.model in ("", one.id)]
        return [one for one in could if one.id in named] or could

    @cached_property
    def limits(self) -> list[tuple[str, Limit]]:
        """Each level that sets `above` or `below`: the path to it, the limit."""
        found = [(f"levels.{limit.level.word}", limit) for limit in self.rule.limits]
        return [(step, one) for step, one in found if one.above is not None or one.below is not None]

    @cached_property
    def range(self) -> tuple[float, float]:
        """What can be judged at all: the quantity's range, or the sensors' own where that is less."""
        quantity = QUANTITIES[self.rule.quantity]
        fields = [
            field for model in self.models for field in model.fields
            if (field.quantity, field.of) == (quantity.name, self.rule.each)
        ]  # fmt: skip
        low = min((quantity.low if one.low is None else one.low for one in fields), default=quantity.low)
        high = max((quantity.high if one.high is None else one.high for one in fields), default=quantity.high)
        if self.rule.relative_to == "baseline":
            return 0.0, high - low
        return (0.0, max(abs(low), abs(high))) if self.rule.relative_to else (low, high)


def lint(parts: Parts, world: World, builder: Builder) -> None:
    """Warn of every rule of sound files that hardly does what was meant."""
    for keys, rule in zip(parts.rules, world.rules, strict=True):
        looked = Looked(keys, rule, parts, world)
        for look in LOOKS:
            for step, found, expected in look(looked):
                builder.mistake(keys, step, found, expected)
    _twice(parts.rules, builder)


def _out_of_reach(one: Looked) -> Iterator[Warned]:
    """The physical range ends before the level begins."""
    for step, limit in one.limits if one.rule.quantity in QUANTITIES else ():
        low, high = one.range
        key, value = ("above", limit.above) if limit.above is not None else ("below", limit.below)
        if value is not None and (value >= high if key == "above" else value <= low):
            found = say("out_of_reach", key=key, value=f"{value:g}", **_range(one))
            yield f"{step}.{key}", found, say("within_reach", low=f"{low:g}", high=f"{high:g}")


def _never_clears(one: Looked) -> Iterator[Warned]:
    """It is over at the clear limit or on its good side; nothing may be there."""
    for step, limit in one.limits if one.rule.quantity in QUANTITIES else ():
        low, high = one.range
        clear, above = limit.clear, limit.above is not None
        key = f"{step}.{'clear_below' if above else 'clear_above'}"
        if clear is not None and (clear < low if above else clear > high):
            found = say("never_clears", value=f"{clear:g}", **_range(one))
            yield key, found, say("within_reach", low=f"{low:g}", high=f"{high:g}")
        elif clear is not None and clear in (limit.above, limit.below) and not _event(one):
            yield key, say("clear_at_limit", value=f"{clear:g}"), say("apart")


def _one_decides(one: Looked) -> Iterator[Warned]:
    """A state stands until the device says otherwise; a measured value does not, and waits for no second."""
    model = min((model for model in one.models if model.expect_every_s), key=_interval, default=None)
    for step, limit in one.limits if model and not _event(one) else ():
        if model and 0 < limit.hold_s < model.expect_every_s:
            every = span(model.expect_every_s)
            found = say("one_decides", hold=span(limit.hold_s), model=model.id, every=every)
            yield f"{step}.hold", found, say("two_messages", every=every)


def _fits_none(one: Looked) -> Iterator[Warned]:
    """Only of a rule that names more than a scene: a pack speaks of scenes that a site need not have."""
    narrow = any(bool(value) for key, value in _fields(one.keys.on) if key not in ("scene", "each"))
    models = one.world.models
    if narrow and not any(fits(one.keys, device, models[device.model]) for device in one.parts.devices):
        yield "on", say("fits_none", rule=one.rule.id), say("a_fitting_device")


def _too_long(one: Looked) -> Iterator[Warned]:
    """Rules on derived quantities have hours and their evidence: they are not for a short message."""
    if one.judged:
        device, text = longest(one.rule, one.judged, one.world)
        if (parts := short_messages(text)) > PARTS_MOST:
            found = say("too_long", letters=len(text), parts=parts, device=device.id)
            yield "action", found, say("parts_most", most=PARTS_MOST, letters=PARTS_MOST * PART)


def _storm(one: Looked) -> Iterator[Warned]:
    """One power cut, and as many messages as there are devices, unless they are behind something."""
    if {kind_of(level) for level in one.keys.levels.values()} <= SILENCE:
        alone = sum(not device.behind for device in one.judged)
        if alone > STORM_MOST:
            yield "levels", say("storm", count=alone), say("behind_something", most=STORM_MOST)


LOOKS = (_out_of_reach, _never_clears, _one_decides, _fits_none, _too_long, _storm)


def _twice(rules: Sequence[RuleKeys], builder: Builder) -> None:
    """Two people are called for one trouble, and one of the two rules will be forgotten when it changes."""
    first: dict[str, RuleKeys] = {}
    for rule in rules:
        judged_by = repr([pair for pair in _fields(rule) if pair[0] not in WORDS])
        before = first.setdefault(judged_by, rule)
        if before is not rule:
            builder.mistake(
                rule, "", say("same_rule", rule=before.id, where=line_of(before)), say("one_rule")
            )


def _fields(value: object) -> list[tuple[str, object]]:
    return [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]  # type: ignore[arg-type]


def _interval(model: Model) -> float:
    return model.expect_every_s


def _event(one: Looked) -> bool:
    known = QUANTITIES.get(one.rule.quantity)
    return known is not None and known.is_event


def _range(one: Looked) -> dict[str, str]:
    low, high = one.range
    return {"quantity": one.rule.quantity, "low": f"{low:g}", "high": f"{high:g}"}
