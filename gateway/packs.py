"""devices/*.yaml, rules/*.yaml and sites/*.yaml to a World: where they lie, and how they are put together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

from gateway import crosscheck, yamlfile
from gateway.core.model import Model, World
from gateway.grammar import PackKeys, SiteKeys
from gateway.problems import say
from gateway.typed import Builder, SomeText

T = TypeVar("T")
BUILTIN = "builtin"  # as a directory: the models and rules that come with the package


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """Where the three kinds of files lie; a file in a later directory replaces its namesake before."""

    devices: tuple[SomeText, ...] = (BUILTIN,)
    rules: tuple[SomeText, ...] = (BUILTIN,)
    sites: tuple[SomeText, ...] = ("sites",)


SHIPPED = Directories()

# ---------------------------------------------------------------- loading


def load_world(
    directories: Directories,
    folder: Path,
    surroundings: crosscheck.Surroundings,
    builder: Builder,
    owner: object,
) -> World | None:
    """The World those directories describe, or None with its mistakes in the builder's problems.

    `owner` is the built value that holds `directories`; mistakes in them are reported at its place.
    """
    loading = _Loading(directories, folder, builder, owner)
    models = loading.records("devices", Model)
    packs = loading.records("rules", PackKeys)
    sites = loading.records("sites", SiteKeys)
    parts = crosscheck.Parts(models, packs, sites)
    if not loading.lost:  # else every name in the lost file would be called unknown
        crosscheck.check(parts, surroundings, builder)
    if len(builder.problems):
        return None
    return _world(parts, surroundings.timezone, loading.digest(surroundings.timezone))


def _world(parts: crosscheck.Parts, timezone: str, digest: str) -> World:
    return World(
        models={model.id: model for model in parts.models},
        rules=tuple(keys.rule() for keys in parts.rules),
        places={place.id: place for place in parts.places},
        units={unit.id: unit for unit in parts.units},
        persons={person.id: person for person in parts.persons},
        posts=tuple(parts.posts),
        ladders={level: steps for site in parts.sites for level, steps in site.ladders.items()},
        devices={device.id: device for device in parts.devices},
        scenarios=tuple(parts.scenarios),
        derivations=tuple(keys.derivation() for keys in parts.derived),
        timezone=timezone,
        digest=digest,
    )


class _Loading:
    """Finds and reads the files, and keeps the digest of what was read."""

    def __init__(self, directories: Directories, folder: Path, builder: Builder, owner: object) -> None:
        self._directories, self._folder, self._builder, self._owner = directories, folder, builder, owner
        self._sum = hashlib.sha256()
        self.lost = False  # a file or directory could not be read at all

    def digest(self, timezone: str) -> str:
        self._sum.update(timezone.encode())
        return self._sum.hexdigest()

    def records(self, kind: str, cls: type[T]) -> list[T]:
        """One value for each file of that kind, in the order of their names; broken ones are left out."""
        found = []
        for path in self._files(kind):
            node, data = yamlfile.read(path, self._builder.problems)
            self._add(f"{kind}/{path.name}", data)
            self.lost = self.lost or node is None
            given = {"id": path.stem} if cls is Model else {}
            found.append(self._builder.record(node, cls, **given))
        return [value for value in found if value is not None]

    def _add(self, name: str, data: bytes) -> None:
        """Lengths go in too, so that no two sets of files read the same."""
        self._sum.update(f"{name}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)

    def _files(self, kind: str) -> list[Path]:
        files: dict[str, Path] = {}
        for index, named in enumerate(getattr(self._directories, kind)):
            directory = builtin(kind) if named == BUILTIN and kind != "sites" else self._folder / named
            try:
                inside = sorted(directory.iterdir())
            except OSError:
                self.lost = True
                found, step = say("no_directory", value=named), f"directories.{kind}[{index}]"
                self._builder.mistake(self._owner, step, found, say("a_directory"))
                continue
            files |= {path.name: path for path in inside if path.suffix == ".yaml" and path.name[0] != "."}
            for path in inside:
                if path.suffix == ".yml":
                    self._builder.problems.add(str(path), 0, "", say("other_suffix"), say("yaml_suffix"))
        return [files[name] for name in sorted(files)]


def builtin(kind: str) -> Path:
    """The models or rules that come with the package: its own copy, or the checkout it runs from."""
    package = Path(str(resources.files("gateway")))
    shipped = package / "data" / kind
    return shipped if shipped.is_dir() else package.parent / kind
