"""Mistakes in what sites tune: unknown names, entries that contradict each other, rules that come out broken.

What comes out is judged as a rule is, for every set of entries that some device has, and told at the line
of the entry that made it so.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from gateway.checks.parts import Parts, check_known, line_of
from gateway.checks.rules import check_confidence, check_double_control, check_levels
from gateway.core.conditions import speaks_of
from gateway.core.effective import LIVE, Entries, Rank, merged
from gateway.core.model import Device, Level, LevelTuning, Place, Rule, Tuning, World
from gateway.grammar import OFF, RULE_NUMBERS, LevelKeys, RuleKeys, TuneKeys
from gateway.problems import Phrase, listing, say
from gateway.typed import Builder

SCOPES = ("labels", "at", "device")


def entries_of(parts: Parts) -> list[TuneKeys]:
    return [entry for site in parts.sites for entry in site.tune]


def tunings(parts: Parts, builder: Builder) -> tuple[Tuning, ...]:
    """What the core needs of the entries, with the line of each number."""
    return tuple(_tuning(entry, builder) for entry in entries_of(parts))


def _tuning(entry: TuneKeys, builder: Builder) -> Tuning:
    return entry.tuning(lambda step: builder.line_of(entry, step))


def check_tune(parts: Parts, builder: Builder) -> None:
    """Report every such mistake to the builder.

    What comes of the entries is judged when all else is sound: a broken rule or a cycle of places is told
    where it stands, and not once more with every entry about it.
    """
    entries = entries_of(parts)
    for entry in entries:
        _check_entry(entry, builder)
    if entries and not len(builder.problems):
        _Touching(parts, builder).check()


# ---------------------------------------------------------------- one entry alone


def _check_entry(entry: TuneKeys, builder: Builder) -> None:
    """Its names are known, it says for whom at most once, and it changes something."""
    kinds = {"rule": ("rule", RuleKeys), "at": ("place", Place), "device": ("device", Device)}
    for key, (what, cls) in kinds.items():
        name = getattr(entry, key)
        if name:
            check_known(builder, entry, key, what, name, builder.ids(cls))
    scopes = [name for name in SCOPES if getattr(entry, name)]
    if len(scopes) > 1:
        found = say("both", first=scopes[0], second=scopes[1])
        builder.mistake(entry, scopes[1], found, say("only_one_of", words=listing(SCOPES)))
    if not entry.levels and not entry.controls and all(getattr(entry, name) is None for name in RULE_NUMBERS):
        builder.mistake(entry, "", say("tunes_nothing"), say("a_change"))
    if entry.levels.get(Level.RED) == OFF:
        builder.mistake(entry, "levels.red", say("red_off"), say("red_stays"))


# ---------------------------------------------------------------- what they make of the rules


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The entries that apply to a device, the weightiest last."""

    device: Device
    entries: Sequence[tuple[Rank, TuneKeys]]


@dataclass(frozen=True, slots=True)
class Tuned:
    """A rule as it comes out for a device, and where to tell what is odd about it."""

    rule: RuleKeys  # of the pack
    keys: RuleKeys
    device: Device
    told: Pointing


def tuned(parts: Parts, builder: Builder) -> Iterator[Tuned]:
    """Every rule that sound files tune, once for each set of entries that some device has."""
    return _Touching(parts, builder).results() if entries_of(parts) else iter(())


class _Touching:
    """Every rule that is tuned, with every set of entries that some device of it has."""

    def __init__(self, parts: Parts, builder: Builder) -> None:
        self._builder, self._world = builder, _surroundings(parts)
        self._rules = {rule.id: rule for rule in parts.rules}
        self._devices = {device.id: device for device in parts.devices}
        self._kinds = _alike(parts.devices)
        self._entries: dict[str, list[TuneKeys]] = {}
        for entry in entries_of(parts):
            self._entries.setdefault(entry.rule, []).append(entry)

    def check(self) -> None:
        for name, entries in self._entries.items():
            rule, touched = self._rules[name], set()
            for one in self._combinations(rule, entries):
                touched |= {id(entry) for _, entry in one.entries}
                if not _told_twice(one, self._builder):
                    _check_result(rule, [entry for _, entry in one.entries], self._builder)
            for entry in entries:
                if id(entry) not in touched:
                    step = next((name for name in SCOPES if getattr(entry, name)), "rule")
                    self._builder.mistake(entry, step, say("tunes_nobody", rule=name), say("a_judged_device"))

    def results(self) -> Iterator[Tuned]:
        for name, entries in self._entries.items():
            rule = self._rules[name]
            for one in self._combinations(rule, entries):
                applied = [entry for _, entry in one.entries]
                yield Tuned(rule, _result(rule, applied), one.device, Pointing(self._builder, applied))

    def _combinations(self, rule: RuleKeys, entries: Sequence[TuneKeys]) -> Iterator[_Ranked]:
        """One device for each set of entries: most of thousands are alike."""
        by_tuning = {id(tuning := _bare(entry)): (tuning, entry) for entry in entries}
        index = Entries([tuning for tuning, _ in by_tuning.values()])
        seen: set[tuple[int, ...]] = set()
        for device in self._candidates(rule.rule(), entries):
            found = index.of(self._world, device)
            key = tuple(id(tuning) for _, tuning in found)
            if found and key not in seen:
                seen.add(key)
                yield _Ranked(device, [(rank, by_tuning[id(tuning)][1]) for rank, tuning in found])

    def _candidates(self, rule: Rule, entries: Sequence[TuneKeys]) -> Iterator[Device]:
        """Devices that the rule judges, and that these entries may tell apart."""
        placed = any(entry.at for entry in entries)
        for alike in self._kinds:
            if speaks_of(rule, alike[0], self._world):
                yield from alike if placed else alike[:1]
        for name in {entry.device: None for entry in entries if entry.device}:
            if speaks_of(rule, self._devices[name], self._world):
                yield self._devices[name]


def _alike(devices: Sequence[Device]) -> list[list[Device]]:
    """One device of each place, by model and labels: only an entry of their own tells the others apart."""
    kinds: dict[Hashable, dict[str, Device]] = {}
    for device in devices:
        key = device.model, tuple(sorted(device.labels.items()))
        kinds.setdefault(key, {}).setdefault(device.at, device)
    return [list(by_place.values()) for by_place in kinds.values()]


def _surroundings(parts: Parts) -> World:
    """So much of the World as tells where a device is, and what can be judged of it."""
    return World(
        models={model.id: model for model in parts.models},
        places={place.id: place for place in parts.places},
        derivations=tuple(keys.derivation() for keys in parts.derived),
        rules=(), units={}, persons={}, posts=(), ladders={}, devices={},
    )  # fmt: skip


def _bare(entry: TuneKeys) -> Tuning:
    return entry.tuning(lambda step: 0)


def _told_twice(one: _Ranked, builder: Builder) -> bool:
    """Two entries of equal rank that set the same number of one device: nobody could tell which counts."""
    before = len(builder.problems)
    for (rank, other), (same, entry) in combinations(one.entries, 2):
        for step in _steps(entry) if rank == same else ():
            if any(_within(step, its) or _within(its, step) for its in _steps(other)):
                where = line_of(other)
                found = say("tuned_twice", key=step, where=where, device=one.device.id)
                builder.mistake(entry, step, found, say("one_say"))
    return len(builder.problems) > before


def _within(step: str, other: str) -> bool:
    """Whether a path is another, or leads to something in it."""
    return f"{step}.".startswith(f"{other}.")


def _steps(entry: TuneKeys) -> list[str]:
    """The paths of the numbers that an entry gives; a level that is off is all of its numbers."""
    found = [name for name in RULE_NUMBERS if getattr(entry, name) is not None]
    found += [f"double_control.{name}" for name in entry.controls]
    for level in entry.levels:
        found += [f"levels.{level.word}.{key.key}" for key in entry.given(level)]
        found += [f"levels.{level.word}"] if entry.levels[level] == OFF else []
    return found


def _result(rule: RuleKeys, entries: Sequence[TuneKeys]) -> RuleKeys:
    levels = merged(rule.levels, [_changes(entry) for entry in entries], lambda _: LevelKeys())
    numbers = {
        name: value for e in entries for name in RULE_NUMBERS if (value := getattr(e, name)) is not None
    }
    controls: dict[str, Any] = {name: value for one in entries for name, value in one.controls.items()}
    both = replace(rule.double_control, **controls) if rule.double_control else None
    return replace(rule, levels=levels, double_control=both, **numbers)


def _check_result(rule: RuleKeys, entries: Sequence[TuneKeys], builder: Builder) -> None:
    """The rule that comes of them must be as sound as one that was written so."""
    result, told = _result(rule, entries), Pointing(builder, entries)
    check_levels(result, told)
    check_double_control(result, told)
    for entry in entries if rule.double_control is None else ():
        if entry.double_control is not None:
            told.mistake(
                result, "double_control", say("unknown_key", key="double_control"), say("nothing_here")
            )
    check_confidence(result, told)
    if rule.mode == LIVE and result.mode != LIVE and Level.RED in result.levels:
        told.mistake(result, "mode", say("red_silenced", value=result.mode), say("red_stays"))


def _changes(entry: TuneKeys) -> Mapping[Level, LevelTuning]:
    changes = {}
    for level in entry.levels:
        numbers = {key.field: number for key, number in entry.given(level).items()}
        changes[level] = LevelTuning(numbers=numbers, off=entry.levels[level] == OFF)
    return changes


class Pointing(Builder):
    """Reports what is wrong with a result at the weightiest entry that gives the key in question."""

    def __init__(self, builder: Builder, entries: Sequence[TuneKeys]) -> None:
        super().__init__(builder.problems)
        self._builder, self._entries = builder, entries

    def mistake(self, value: Any, step: str, found: Phrase, expected: Phrase) -> None:
        self._builder.mistake(self.entry(step), step, found, expected)

    def entry(self, step: str) -> TuneKeys:
        """Which one it would be told of."""
        level = ".".join(step.split(".")[:2])
        return next(iter(self._giving(step) or self._giving(level) or self._entries[::-1]))

    def gives(self, step: str) -> bool:
        """Whether some entry gives a key of that level."""
        return bool(self._giving(".".join(step.split(".")[:2])))

    def _giving(self, path: str) -> list[TuneKeys]:
        """The entries that give a key, or one below it, the weightiest first."""
        return [
            entry for entry in reversed(self._entries) if any(_within(step, path) for step in _steps(entry))
        ]
