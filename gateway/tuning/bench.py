"""What is tried: rules' scenarios and models' examples, of a site or of files that no lilong.yaml names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from gateway import packs, yamlfile
from gateway.checks.parts import Surroundings
from gateway.core.model import Origin, Rule, World
from gateway.problems import ConfigError, Problems
from gateway.tuning import examples, scenarios
from gateway.tuning.scenarios import Played
from gateway.typed import Builder

RULE_KEYS = frozenset({"rules", "scenarios", "derive"})
TIMEZONE = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class Trial:
    """One scenario or example that was tried."""

    name: str
    origin: Origin
    reason: str  # why it failed; "" when it passed
    took_s: float
    played: Played | None = None  # of a scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """Which are wanted; what is empty asks for nothing."""

    files: tuple[Path, ...] = ()
    rule: str = ""
    name: str = ""

    def file(self, origin: Origin) -> bool:
        place = Path(origin.file).resolve()
        return not self.files or any(place.is_relative_to(one.resolve()) for one in self.files)

    def title(self, name: str, rules: Iterable[str] = ()) -> bool:
        return self.name.lower() in name.lower() and (not self.rule or self.rule in rules)


def trials(world: World, picks: Picks) -> Iterator[Trial]:
    """Each as it is done: examples first, then scenarios, in the order of their files."""
    for model in world.models.values():
        for example in model.examples:
            name = f"{model.id}: example of line {example.origin.line}"
            if picks.file(example.origin) and picks.title(name):
                began = perf_counter()
                reason = examples.missed(model, example)
                yield Trial(name, example.origin, reason, perf_counter() - began)
    rules = {rule.id: rule for rule in world.rules}
    for one in world.scenarios:
        if picks.file(one.origin) and picks.title(one.title, one.tested):
            began = perf_counter()
            tested = [rules[name] for name in one.tested]
            played = scenarios.play(one, *tested, calendar=world.calendar)
            yield Trial(one.title, one.origin, played.missed, perf_counter() - began, played)


def rules_to_cover(world: World, picks: Picks, played: Sequence[Played]) -> list[Rule]:
    """The rules of the files picked; when only some scenarios were, those that these test."""
    tested = {name for one in played for name in one.scenario.tested}
    return [
        rule
        for rule in world.rules
        if picks.file(rule.origin) and picks.rule in ("", rule.id) and (not picks.name or rule.id in tested)
    ]


# ---------------------------------------------------------------- without a lilong.yaml


def bare_world(files: Iterable[Path], locale: str) -> tuple[World | None, list[ConfigError]]:
    """The packs in some folders, with the models that come with the package, those of a folder `devices`
    next to them, and those given. (None, []) when the folders hold neither packs nor models.
    """
    folders = list(dict.fromkeys((one if one.is_dir() else one.parent).resolve() for one in files))
    rules = [folder for folder in folders if _keys(folder) & RULE_KEYS]
    models = [folder for folder in folders if "codec" in _keys(folder)]
    beside = [folder.parent / "devices" for folder in rules]
    models = list(dict.fromkeys([*(one for one in beside if "codec" in _keys(one)), *models]))
    if not rules and not models:
        return None, []
    problems = Problems(locale)
    directories = packs.Directories(
        devices=(packs.BUILTIN, *map(str, models)), rules=tuple(map(str, rules)), sites=()
    )
    surroundings = Surroundings(timezone=TIMEZONE, channels=None, groups=frozenset(), subscribe=None)
    owner = yamlfile.Map("", 0, {})
    world = packs.load_world(directories, Path(), surroundings, Builder(problems), owner, {})
    return world, problems.listed()


def _keys(folder: Path) -> set[str]:
    """The keys at the top of the YAML files in a folder; a broken file, which must be told of, is a pack."""
    found: set[str] = set()
    for path in sorted(folder.glob("[!.~]*.yaml")):
        node, _ = yamlfile.read(path, Problems())
        found |= set(node.entries) if isinstance(node, yamlfile.Map) else {"rules"}
    return found
