"""A rule's numbers as they are for one device: the pack's, the site's, its class's, its place's, its own.

An entry under `tune:` changes only the numbers it gives. Devices to which the same entries apply share one
Rule, so that thousands of them cost no more than one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway.core.builtin import BUILT_IN
from gateway.core.model import Device, Level, LevelTuning, Limit, Origin, Rule, Tuning, World
from gateway.core.places import ancestors

T = TypeVar("T")
Rank = tuple[int, int]  # none, labels, place, device; among labels how many, among places how near
SITE, LABELS, PLACE, DEVICE = range(4)


def effective(world: World, rule: Rule, device: Device) -> Rule:
    """The rule as it is for the device; the rule itself where nobody has tuned it."""
    book = book_of(world)
    return rule if rule.id not in book.entries else book.tuned(rule, device)


def is_tuned(world: World, rule: Rule) -> bool:
    """Whether there is an entry about it, for whichever device."""
    return rule.id in book_of(world).entries


def rule_of(world: World, rule: str, device: str) -> Rule | None:
    """The same by name; None for a rule that is none. Of a device that is gone, as the pack has it."""
    book = book_of(world)
    found, known = book.rules.get(rule), world.devices.get(device)
    if found is None or known is None or rule not in book.entries:
        return found
    return book.tuned(found, known)


def ranked(world: World, rule: str, device: Device) -> list[tuple[Rank, Tuning]]:
    """The entries about a rule that apply to a device, the weightiest last."""
    entries = book_of(world).entries.get(rule)
    return entries.of(world, device) if entries else []


# ---------------------------------------------------------------- which entries apply


class Entries:
    """The entries about one rule, so kept that those of a device are found without asking all of them."""

    def __init__(self, tunings: Sequence[Tuning]) -> None:
        self._wide: list[tuple[Rank, Tuning]] = []
        self._places: dict[str, list[Tuning]] = {}
        self._devices: dict[str, list[Tuning]] = {}
        for one in tunings:
            if one.device:
                self._devices.setdefault(one.device, []).append(one)
            elif one.at:
                self._places.setdefault(one.at, []).append(one)
            else:
                self._wide.append(((LABELS if one.labels else SITE, len(one.labels)), one))

    def of(self, world: World, device: Device) -> list[tuple[Rank, Tuning]]:
        """Those that apply to a device, the weightiest last; of equal rank as they stand in the files."""
        found = [
            (rank, one)
            for rank, one in self._wide
            if all(device.labels.get(name) == value for name, value in one.labels.items())
        ]
        for away, place in enumerate(ancestors(world, device.at)) if self._places else ():
            found += [((PLACE, -away), one) for one in self._places.get(place.id, ())]
        found += [((DEVICE, 0), one) for one in self._devices.get(device.id, ())]
        return sorted(found, key=lambda each: each[0])


class Book:
    """What is remembered of one World: its rules by name, and those that were worked out."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rules = BUILT_IN | {rule.id: rule for rule in reversed(world.rules)}
        by_rule: dict[str, list[Tuning]] = {}
        for one in world.tunings:
            by_rule.setdefault(one.rule, []).append(one)
        self.entries = {rule: Entries(tunings) for rule, tunings in by_rule.items()}
        self._tuned: dict[tuple[str, tuple[int, ...]], Rule] = {}

    def tuned(self, rule: Rule, device: Device) -> Rule:
        found = self.entries[rule.id].of(self._world, device)
        if not found:
            return rule
        key = rule.id, tuple(id(one) for _, one in found)  # the World keeps them alive
        return self._tuned.get(key) or self._tuned.setdefault(key, changed(rule, [one for _, one in found]))


_books: tuple[tuple[World, Book], ...] = ()


def book_of(world: World) -> Book:
    """Of the World that judges, and of the one that follows it: a memory of what is the same every time."""
    global _books
    for known, book in _books:
        if known is world:
            return book
    book = Book(world)
    _books = ((world, book), *_books[:1])
    return book


# ---------------------------------------------------------------- what comes of them


def changed(rule: Rule, tunings: Sequence[Tuning]) -> Rule:
    """The rule with the numbers of these entries, the weightiest last."""
    base = {limit.level: limit for limit in rule.limits}
    levels = merged(base, [one.levels for one in tunings], lambda level: Limit(level=level))
    numbers: dict[str, Any] = {name: number for one in tunings for name, number in one.numbers.items()}
    limits = tuple(levels[level] for level in sorted(levels))
    return _controlled(replace(rule, limits=limits, **numbers), tunings)


def _controlled(rule: Rule, tunings: Sequence[Tuning]) -> Rule:
    """With other control values it works out the same of other numbers."""
    controls: dict[str, Any] = {name: number for one in tunings for name, number in one.controls.items()}
    if rule.double_control is None or not controls:
        return rule
    both = replace(rule.double_control, **controls)
    return replace(rule, double_control=both, when=both.expression(rule.quantity))


def merged(
    base: Mapping[Level, T], changes: Sequence[Mapping[Level, LevelTuning]], new: Any
) -> dict[Level, T]:
    """Levels with the numbers that were changed, without those that were switched off.

    What is switched off and then given a number again is as it was, with that number.
    """
    levels, off = dict(base), set[Level]()
    for change in changes:
        for level, one in change.items():
            (off.add if one.off else off.discard)(level)
            levels[level] = replace(levels.get(level) or new(level), **one.numbers)  # type: ignore[type-var]
    return {level: found for level, found in levels.items() if level not in off}


# ---------------------------------------------------------------- who set what


@dataclass(frozen=True, slots=True)
class Said:
    """One number of a rule for one device, and who set it. `because` is "" for what the pack says."""

    level: Level | None  # None: of the rule as a whole
    name: str  # a field of Limit or Rule; "off" for a level that is switched off
    value: Any
    origin: Origin
    because: str = ""


NUMBERS = (  # of Rule, that an entry may change
    "clear_hold_s", "min_on_s", "cool_down_s", "confidence", "latch", "respond_within_s", "mode",
)  # fmt: skip
CONTROLS = ("cumulative", "rate_per_day")  # of DoubleControl, that an entry may change
LIVE = "live"  # the mode of a rule that does not say one
UNSAID = frozenset({"hold_s", "within_s"})  # of a level, when 0
NO_NUMBERS = frozenset({"level", "origin"})  # fields of Limit


def provenance(world: World, rule: Rule, device: Device) -> list[Said]:
    """Every number of the rule for that device: those of a level by level, then those of the rule."""
    said: dict[tuple[Level | None, str], Said] = {}
    for one in _of_the_pack(rule):
        said[one.level, one.name] = one
    for _, tuning in ranked(world, rule.id, device):
        for one in _of_an_entry(tuning):
            if one.level is not None and one.name != "off":
                said.pop((one.level, "off"), None)
            said[one.level, one.name] = one
    off = {level for level, name in said if name == "off"}
    kept = [one for one in said.values() if one.level not in off or one.name == "off"]
    return sorted(kept, key=lambda one: one.level or len(Level) + 1)


def _of_the_pack(rule: Rule) -> Iterator[Said]:
    for limit in rule.limits:
        for name in limit.__dataclass_fields__:
            value = getattr(limit, name)
            if name not in NO_NUMBERS and value is not None and (value or name not in UNSAID):
                origin = limit.origin if limit.origin.line else rule.origin
                yield Said(limit.level, name, value, origin)
    for name in CONTROLS if rule.double_control else ():
        yield Said(None, f"double_control.{name}", getattr(rule.double_control, name), rule.origin)
    for name in NUMBERS:
        if getattr(rule, name) not in (0, LIVE):
            yield Said(None, name, getattr(rule, name), rule.origin)


def _of_an_entry(tuning: Tuning) -> Iterator[Said]:
    file, because = tuning.origin.file, tuning.because
    for level, one in tuning.levels.items():
        for name, number in one.numbers.items():
            yield Said(level, name, number, Origin(file, one.lines.get(name, tuning.origin.line)), because)
        if one.off:
            yield Said(level, "off", True, Origin(file, one.lines.get("off", tuning.origin.line)), because)
    controls = {f"double_control.{name}": number for name, number in tuning.controls.items()}
    for name, number in {**controls, **tuning.numbers}.items():
        yield Said(None, name, number, Origin(file, tuning.lines.get(name, tuning.origin.line)), because)
