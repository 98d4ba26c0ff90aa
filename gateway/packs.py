"""devices/*.yaml, rules/*.yaml and sites/*.yaml to a World: where they lie, and how they are put together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, TypeVar

from gateway import checks, csvfile, holidays, signatures, yamlfile
from gateway.core.clocks import DEFAULTS
from gateway.core.model import Calibration, Clock, Model, World
from gateway.grammar import TABLES, PackKeys, SiteKeys
from gateway.memory import undisturbed
from gateway.problems import Problems, listing, one_of, say
from gateway.typed import LENIENT, Builder, Identifier, Kind, SomeText

T = TypeVar("T")
Sheets = Mapping[Path, yamlfile.List]  # tables as they would be: rows that stand for a file in sites/
Drafts = Mapping[Path, bytes]  # packs and their signatures as they would be
NO_DRAFTS: Drafts = {}
PublicKey = Annotated[str, Kind(say("public_key"), signatures.parse_public)]
REVIEW_AT = "08:30"  # when whoever has the day shift is at work
KEEP_SNAPSHOTS_S = 30 * 86_400.0  # as footage is, by the Regulation on public-safety video (M)
JOIN_S = 120.0  # alerts of one place and scene within it are one case: a fire is told of once
BUILTIN = "builtin"  # as a directory: the models and rules that come with the package


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """Where the three kinds of files lie; a file in a later directory replaces its namesake before.

    A pack in a directory of `rules` that is also in `signed` counts only when one of `signers` signed it.
    """

    devices: tuple[SomeText, ...] = (BUILTIN,)
    rules: tuple[SomeText, ...] = (BUILTIN,)
    sites: tuple[SomeText, ...] = ("sites",)
    signed: tuple[SomeText, ...] = ()
    signers: Annotated[Mapping[Identifier, PublicKey], LENIENT] = field(default_factory=dict)


SHIPPED = Directories()

# ---------------------------------------------------------------- loading


@undisturbed()
def load_world(
    directories: Directories,
    folder: Path,
    surroundings: checks.Surroundings,
    builder: Builder,
    owner: object,
    sheets: Sheets,
    lint: bool = False,
    drafts: Drafts = NO_DRAFTS,
) -> World | None:
    """The World those directories describe, or None with its mistakes in the builder's problems.

    `owner` is the built value that holds `directories`; mistakes in them are reported at its place.
    `sheets` and `drafts` are read instead of the files of those names: what an import or an installation
    would make of them.
    `lint`: warnings too, when there is no mistake.
    """
    loading = _Loading(directories, folder, builder, owner, sheets, drafts)
    _check_signed(directories, builder, owner)
    models = loading.records("devices", Model)
    packs = loading.records("rules", PackKeys)
    sites = loading.records("sites", SiteKeys)
    parts = checks.Parts(models, packs, sites)
    if not loading.lost:  # else every name in the lost file would be called unknown
        checks.check(parts, surroundings, builder)
    if len(builder.problems):
        return None
    digest = loading.digest(surroundings.timezone)
    world = replace(
        _world(parts, surroundings.timezone, digest),
        tunings=checks.tunings(parts, builder),
        groups=surroundings.groups,
        loud=surroundings.loud,
    )
    if lint:
        checks.lint(parts, world, builder, short=not surroundings.texts)
        checks.lint_texts(parts, world, surroundings.texts, builder)
        checks.lint_people(parts, surroundings.today, builder)
        checks.lint_clocks(parts, world, surroundings.today, builder)
    return world


def read_sites(
    directories: Directories, folder: Path, builder: Builder, owner: object
) -> tuple[list[SiteKeys], list[Path]]:
    """The site files as they are, each on its own, and which they are; nothing is checked across them."""
    loading = _Loading(directories, folder, builder, owner, {})
    return loading.records("sites", SiteKeys), loading.files("sites")


def rule_files(directories: Directories, folder: Path, drafts: Drafts = NO_DRAFTS) -> list[Path]:
    """The packs that count: of each name the one in the last directory that has it."""
    owner = yamlfile.Map("", 0, {})
    return _Loading(directories, folder, Builder(Problems()), owner, {}, drafts).files("rules")


def _world(parts: checks.Parts, timezone: str, digest: str) -> World:
    rules = tuple(keys.rule() for keys in parts.rules if keys.mode != "off")
    judging = {rule.id for rule in rules}
    return World(
        models={model.id: model for model in parts.models},
        rules=rules,
        places={place.id: place for place in parts.places},
        units={unit.id: unit for unit in parts.units},
        persons={person.id: person for person in parts.persons},
        posts=tuple(parts.posts),
        **parts.duty,
        devices={device.id: device for device in parts.devices},
        scenarios=tuple(one for one in parts.scenarios if judging.issuperset(one.tested)),
        calibrations=_calibrations(parts, timezone),
        derivations=tuple(keys.derivation() for keys in parts.derived),
        calendar=holidays.calendar_of(parts.calendar),
        maintenance=tuple(keys.maintenance(timezone) for keys in parts.maintenance),
        clocks=_clocks(parts),
        digests=tuple(parts.digests),
        join_within_s=next((one.join_within for one in parts.sites if one.join_within is not None), JOIN_S),
        keep_snapshots_s=next(
            (one.keep_snapshots for one in parts.sites if one.keep_snapshots), KEEP_SNAPSHOTS_S
        ),
        review_at=next((one.review_at for one in parts.sites if one.review_at), REVIEW_AT),
        off={keys.id: keys.rule().origin for keys in parts.rules if keys.mode == "off"},
        timezone=timezone,
        digest=digest,
    )


def _clocks(parts: checks.Parts) -> tuple[Clock, ...]:
    """One for each level, and those of single scenes, which leave the rest to it."""
    general = dict(DEFAULTS)
    general |= {one.level: one.clock(DEFAULTS[one.level]) for one in parts.clocks if not one.scene}
    return (*general.values(), *(one.clock(general[one.level]) for one in parts.clocks if one.scene))


def _calibrations(parts: checks.Parts, timezone: str) -> dict[str, tuple[Calibration, ...]]:
    """By device, in the order in which they come into force."""
    found: dict[str, list[Calibration]] = {}
    for keys in parts.calibrations:
        found.setdefault(keys.device, []).append(keys.calibration(timezone))
    return {device: tuple(sorted(each, key=lambda one: one.since_ns)) for device, each in found.items()}


def _check_signed(directories: Directories, builder: Builder, owner: object) -> None:
    """Only a site's own directories of rules can ask for signatures: what is built in came with us."""
    own = [named for named in directories.rules if named != BUILTIN]
    for index, named in enumerate(directories.signed):
        if named not in own:
            found = say("unknown", what=say("what_directory"), value=named)
            builder.mistake(owner, f"directories.signed[{index}]", found, one_of(own))


class _Loading:
    """Finds and reads the files, and keeps the digest of what was read."""

    def __init__(
        self,
        directories: Directories,
        folder: Path,
        builder: Builder,
        owner: object,
        sheets: Sheets,
        drafts: Drafts = NO_DRAFTS,
    ) -> None:
        self._directories, self._folder, self._builder, self._owner = directories, folder, builder, owner
        self._sheets, self._drafts = sheets, drafts
        self._signed = {folder / named for named in directories.signed}
        self._sum = hashlib.sha256()
        self.lost = False  # a file or directory could not be read at all

    def digest(self, timezone: str) -> str:
        self._sum.update(f"{timezone} {holidays.SOURCE}".encode())
        return self._sum.hexdigest()

    def records(self, kind: str, cls: type[T]) -> list[T]:
        """One value for each file of that kind, in the order of their names; broken ones are left out."""
        found = []
        for path in self.files(kind):
            node, data = self._read(path, signed=kind == "rules" and path.parent in self._signed)
            self._add(f"{kind}/{path.name}", data)
            self.lost = self.lost or node is None
            given = {"id": path.stem} if cls is Model else {}
            found.append(self._builder.record(node, cls, **given))
        return [value for value in found if value is not None]

    def _read(self, path: Path, signed: bool) -> tuple[yamlfile.Node | None, bytes]:
        if path.suffix == ".yaml":
            return self._read_yaml(path, signed)
        if path in self._sheets:
            return table_node(path, self._sheets[path]), b""
        return read_table(path, self._builder.problems)

    def _read_yaml(self, path: Path, signed: bool) -> tuple[yamlfile.Node | None, bytes]:
        """What is parsed are the very bytes that were signed; of what nobody signed nothing more is said."""
        problems = self._builder.problems
        data = self._drafts.get(path)
        if data is None:
            data = yamlfile.read_bytes(path, yamlfile.BYTES_MOST, problems, str(path))
        if data is None or (signed and not self._vouched(path, data)):
            return None, data or b""
        return yamlfile.parse(data, problems, str(path)), data

    def _vouched(self, path: Path, data: bytes) -> bool:
        """Whether one of those whom the site believes signed it; reports why not."""
        beside, problems = signatures.beside(path), self._builder.problems
        try:
            given = self._drafts[beside] if beside in self._drafts else signatures.read(beside)
            signatures.signer_of(path.name, data, given, self._directories.signers)
        except signatures.SignatureError as error:
            problems.add(str(path), 0, "", error.found, error.expected)
            return False
        return True

    def _add(self, name: str, data: bytes) -> None:
        """Lengths go in too, so that no two sets of files read the same."""
        self._sum.update(f"{name}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)

    def files(self, kind: str) -> list[Path]:
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
            wanted = (".yaml", ".csv") if kind == "sites" else (".yaml",)
            inside = [path for path in inside if path.name[0] not in ".~"]  # ~$… is a sheet being edited
            planned = (*self._sheets, *self._drafts)
            inside = sorted({*inside, *(path for path in planned if path.parent == directory)})
            files |= {path.name: path for path in inside if path.suffix in wanted}
            for path in inside:
                _refuse_suffix(path, kind, self._builder.problems)
        return sorted(files.values(), key=lambda path: (path.suffix == ".csv", path.name))


def _refuse_suffix(path: Path, kind: str, problems: Problems) -> None:
    """A file that looks as if it counted, and would not be read."""
    if path.suffix == ".yml":
        problems.add(str(path), 0, "", say("other_suffix"), say("yaml_suffix"))
    elif kind == "sites" and path.suffix in (".xlsx", ".xls"):
        problems.add(str(path), 0, "", say("workbook_here"), say("saved_as_csv"))


# ---------------------------------------------------------------- tables


def table_kind(path: Path) -> str:
    """What a table holds, by its name: `devices` of devices.csv and of devices-waste.csv."""
    return path.stem.partition("-")[0]


def read_table(path: Path, problems: Problems) -> tuple[yamlfile.Node | None, bytes]:
    """A table of a site as the YAML file that it stands for, and its bytes."""
    cls = TABLES.get(table_kind(path))
    if cls is None:
        expected = say("table_name", words=listing(TABLES))
        problems.add(str(path), 0, "", say("other_table", value=path.name), expected)
        return None, b""
    table, data = csvfile.read(path, problems)
    return (table_node(path, csvfile.records(table, cls, problems)) if table else None), data


def table_node(path: Path, rows: yamlfile.List) -> yamlfile.Map:
    kind, name = table_kind(path), str(path)
    return yamlfile.Map(name, 1, {kind: (yamlfile.Scalar(name, 1, kind, kind), rows)})


def builtin(kind: str) -> Path:
    """The models or rules that come with the package: its own copy, or the checkout it runs from."""
    package = Path(str(resources.files("gateway")))
    shipped = package / "data" / kind
    return shipped if shipped.is_dir() else package.parent / kind
