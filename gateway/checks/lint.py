"""Rules that are no mistake and yet hardly meant: warnings, for `lilong check` alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gateway.checks.alike import Alike, alike, alone
from gateway.checks.lengths import PART, PARTS_MOST, longest, short_messages
from gateway.checks.parts import Parts, line_of
from gateway.checks.rules import CLEARS, SILENCE, judges, kind_of, shown_limit
from gateway.checks.tune import tuned
from gateway.core.conditions import applies, crossed, goes_by_the_unusual, parsed
from gateway.core.model import Limit, Model, Rule, World
from gateway.core.texts import span
from gateway.core.units import QUANTITIES
from gateway.grammar import RuleKeys
from gateway.problems import Phrase, say
from gateway.typed import Builder

STORM_MOST = 200  # devices that may fall silent together; a robot takes 20 messages a minute
# What a rule says to people and does not judge by: two that differ in nothing else are one.
WORDS = ("id", "says", "basis", "action", "consequence", "owner", "respond_within", "clear_hold", "origin")
WRITTEN = {"equals": "is"}
Warned = tuple[str, Phrase, Phrase]  # step to the key, what stands there, what belongs there


@dataclass(frozen=True)
class Looked:
    """A rule, as written and as it judges, and what of the site it is about."""

    keys: RuleKeys
    rule: Rule
    parts: Parts
    world: World
    site: Sequence[Alike]  # its devices; or the one for which the rule is tuned
    tuned: bool = False

    @cached_property
    def judged(self) -> list[Alike]:
        if self.tuned:
            return list(self.site)
        models = self.world.models
        return [one for one in self.site if judges(self.keys, one.device, models[one.device.model])]

    @cached_property
    def models(self) -> list[Model]:
        """Of the devices it judges; where the site has none, every model it could be about."""
        named = {one.device.model for one in self.judged}
        on = self.keys.on
        could = [one for one in self.parts.models if one.scene == on.scene and on.model in ("", one.id)]
        return [one for one in could if one.id in named] or could

    @cached_property
    def limits(self) -> list[tuple[str, str, Limit]]:
        """Path, kind and limit of each level that judges a quantity we know, not an expression of some."""
        if self.rule.when or self.rule.quantity not in QUANTITIES:
            return []
        kinds = [kind_of(self.keys.levels[limit.level]) for limit in self.rule.limits]
        found = zip(kinds, self.rule.limits, strict=True)
        return [(f"levels.{one.level.word}", kind, one) for kind, one in found if kind not in SILENCE]

    def values(self, limit: Limit) -> list[float]:
        """Where a verdict can change within the range: its ends, and every number that the level names."""
        low, high = self.range
        ends = [end for pair in (limit.inside, limit.outside, limit.clear_range) for end in pair or ()]
        named = [limit.above, limit.below, limit.equals, limit.clear, *ends]
        return [low, high, *(value for value in named if value is not None and low <= value <= high)]

    @cached_property
    def range(self) -> tuple[float, float]:
        """What can be judged at all: the quantity's range, or the sensors' own where that is less."""
        quantity, each = QUANTITIES[self.rule.quantity], self.rule.each
        fields = [field for model in self.models for field in model.fields if field.of == each]
        fields = [field for field in fields if field.quantity == quantity.name]
        low = min((quantity.low if one.low is None else one.low for one in fields), default=quantity.low)
        high = max((quantity.high if one.high is None else one.high for one in fields), default=quantity.high)
        if self.rule.relative_to == "baseline":
            return 0.0, high - low
        return (0.0, max(abs(low), abs(high))) if self.rule.relative_to else (low, high)

    @cached_property
    def bounds(self) -> dict[str, str]:
        """The range in words."""
        return {
            "quantity": self.rule.quantity,
            "low": f"{self.range[0]:g}",
            "high": f"{self.range[1]:g}",
        }


def lint(parts: Parts, world: World, builder: Builder, short: bool = True) -> None:
    """Warn of every rule of sound files that hardly does what was meant.

    `short`: a whole message is to be short, since no approved text says how long it comes to be.
    """
    judging = [keys for keys in parts.rules if keys.mode != "off"]
    site = alike(world, parts.devices)
    for keys, rule in zip(judging, world.rules, strict=True):
        looked = Looked(keys, rule, parts, world, site)
        for look in LOOKS if short else (one for one in LOOKS if one is not _too_long):
            for step, found, expected in look(looked):
                builder.mistake(keys, step, found, expected)
    _twice(judging, builder)
    _lint_tuned(parts, world, builder)


def _lint_tuned(parts: Parts, world: World, builder: Builder) -> None:
    """What the numbers of a site make odd of a rule, at the entry that gives them; once for each entry."""
    seen: set[tuple[int, str, str]] = set()
    for one in tuned(parts, builder):
        of_the_pack, now = (
            [
                warned
                for look in OF_NUMBERS
                for warned in look(Looked(keys, keys.rule(), parts, world, [alone(one.device)], True))
            ]
            for keys in (one.rule, one.keys)
        )
        for step, found, expected in now:
            told = id(one.told.entry(step)), step, found.name
            if one.told.gives(step) and told not in seen and (step, found, expected) not in of_the_pack:
                seen.add(told)
                one.told.mistake(one.keys, step, found, expected)


def _out_of_reach(one: Looked) -> Iterator[Warned]:
    """The physical range ends before the level begins."""
    for step, kind, limit in one.limits:
        if not any(crossed(limit, value, False) for value in one.values(limit)):
            key, value = WRITTEN.get(kind, kind), shown_limit(getattr(limit, kind))
            found = say("out_of_reach", key=key, value=value, **one.bounds)
            yield f"{step}.{key}", found, say("within_reach", low=one.bounds["low"], high=one.bounds["high"])


def _never_clears(one: Looked) -> Iterator[Warned]:
    """A level that fired goes by its clear limit; nothing that can be measured is on its good side."""
    for step, kind, limit in one.limits:
        clear = limit.clear_range if limit.clear is None else limit.clear
        if all(crossed(limit, value, True) for value in one.values(limit)):
            key = WRITTEN.get(kind, kind) if clear is None else CLEARS[kind]
            value = getattr(limit, kind) if clear is None else clear
            found = say("never_clears", value=shown_limit(value), **one.bounds)
            yield f"{step}.{key}", found, say("within_reach", low=one.bounds["low"], high=one.bounds["high"])
        elif clear is not None and clear == getattr(limit, kind) and not _event(one):
            yield f"{step}.{CLEARS[kind]}", say("clear_at_limit", value=shown_limit(clear)), say("apart")


def _one_decides(one: Looked) -> Iterator[Warned]:
    """A state stands until the device says otherwise; a measured value does not, and waits for no second.

    Asked of the lowest level alone: what is worse may not wait for the next word, and yet give the device
    some seconds to take a spike back.
    """
    model = min((model for model in one.models if model.expect_every_s), key=_interval, default=None)
    lowest = min((limit.level for _, _, limit in one.limits), default=None)
    for step, _, limit in one.limits if model and not _event(one) else ():
        if model and limit.level is lowest and 0 < limit.hold_s < model.expect_every_s:
            every = span(model.expect_every_s)
            found = say("one_decides", hold=span(limit.hold_s), model=model.id, every=every)
            yield f"{step}.hold", found, say("two_messages", every=every)


def _fits_none(one: Looked) -> Iterator[Warned]:
    """Only of labels that no device carries where some are of that scene and model: a pack speaks of makes
    that a site need not have.
    """
    models, anybody = one.world.models, replace(one.rule, labels={})
    devices = [group.device for group in one.site]
    near = [device for device in devices if applies(anybody, device, models[device.model].scene)]
    if near and not any(applies(one.rule, device, models[device.model].scene) for device in near):
        yield "on", say("fits_none", rule=one.rule.id), say("a_fitting_device")


def _too_long(one: Looked) -> Iterator[Warned]:
    """Rules on derived quantities have hours and their evidence: they are not for a short message."""
    if one.judged:
        device, text = longest(one.rule, [group.talker for group in one.judged], one.world)
        if (parts := short_messages(text)) > PARTS_MOST:
            found = say("too_long", letters=len(text), parts=parts, device=device.id)
            yield "action", found, say("parts_most", most=PARTS_MOST, letters=PARTS_MOST * PART)


def _beside_no_limit(one: Looked) -> Iterator[Warned]:
    """A device whose values crept up for a month is as usual: that is seen by limits alone."""
    if goes_by_the_unusual(one.rule):
        limits = [rule for rule in one.parts.rules if rule.mode == "live" and rule.on.scene == one.rule.scene]
        judged = {name for rule in limits if not goes_by_the_unusual(rule.rule()) for name in rule.quantities}
        for name in dict.fromkeys(window.of for window in parsed(one.rule.when).unusual):
            if name not in judged:
                yield "when", say("no_limit_beside", quantity=name, scene=one.rule.scene), say("limit_beside")


def _storm(one: Looked) -> Iterator[Warned]:
    """One power cut, and as many messages as there are devices, unless they are behind something."""
    if {kind_of(level) for level in one.keys.levels.values()} <= SILENCE:
        alone = sum(group.alone for group in one.judged)
        if alone > STORM_MOST:
            yield "levels", say("storm", count=alone), say("behind_something", most=STORM_MOST)


OF_NUMBERS = (_out_of_reach, _never_clears, _one_decides)
LOOKS = (*OF_NUMBERS, _fits_none, _too_long, _storm, _beside_no_limit)


def _twice(rules: Sequence[RuleKeys], builder: Builder) -> None:
    """Two people are called for one trouble, and one of the two rules will be forgotten when it changes."""
    seen: dict[object, list[tuple[RuleKeys, object]]] = {}  # by what can be told apart at once
    for rule in rules:
        by, like = _judged_by(rule), seen.setdefault((rule.on.scene, *rule.quantities), [])
        before = next((one for one, other in like if other == by), None)
        like.append((rule, by))
        if before:
            found = say("same_rule", rule=before.id, where=line_of(before))
            builder.mistake(rule, "", found, say("once"))


def _judged_by(rule: RuleKeys) -> list[tuple[str, object]]:
    return [pair for pair in _fields(rule) if pair[0] not in WORDS]


def _fields(value: object) -> list[tuple[str, object]]:
    return [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]  # type: ignore[arg-type]


def _interval(model: Model) -> float:
    return model.expect_every_s


def _event(one: Looked) -> bool:
    known = QUANTITIES.get(one.rule.quantity)
    return known is not None and known.is_event
