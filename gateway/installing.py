"""Installing a rule pack: who signed it, what it would change, whether the site still fits, and the writing.

The site's own say (`tune`, in sites/) is never touched: what would come of it under the new pack is judged as
the whole site, so that nothing is written that `lilong check` would refuse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway import packs, signatures, yamlfile
from gateway.config import directories_of, load, site_files
from gateway.grammar import PackKeys, TuneKeys
from gateway.problems import ConfigError, Problems, say
from gateway.registry import rewrite
from gateway.typed import Builder, joined

KINDS = {"rules": "id", "derive": "quantity", "scenarios": "name"}  # the lists of a pack, what names an entry
Flat = Mapping[str, str]  # path -> text, of every single value of an entry


# ---------------------------------------------------------------- what would change


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that a pack adds (`before` is empty), removes (`after` is empty) or changes."""

    kind: str  # of KINDS
    name: str
    before: Flat
    after: Flat

    def differences(self) -> list[tuple[str, str, str]]:
        """(path, before, after) of every value that is not what it was."""
        paths = dict.fromkeys([*self.after, *self.before])
        found = [(path, self.before.get(path, ""), self.after.get(path, "")) for path in paths]
        return [one for one in found if one[1] != one[2]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What installing a pack would do. With a problem nothing may be written."""

    target: Path
    data: bytes
    signatures: bytes
    problems: Sequence[ConfigError]
    signer: str = ""
    version: int = 0  # 0: it is not believed, or broken, and nothing is said of what is in it
    installed: int | None = None  # the version that counts now; None: no pack of that name
    changes: Sequence[Change] = ()
    kept: Sequence[TuneKeys] = ()  # entries of the site about rules that the pack has
    lost: Sequence[TuneKeys] = ()  # about rules that it had, and has no more

    @property
    def there(self) -> bool:
        """Whether it is installed already, to the last byte."""
        return _bytes_of(self.target) == (self.data, self.signatures)


def target_of(path: Path, into: Path | None) -> Path | None:
    """The directory for packs of the site of lilong.yaml `path`: as named, else the last that must be signed,
    else the last of its own. None when that is no directory of rules of its own.
    """
    directories = directories_of(path)
    own = [name for name in directories.rules if name != packs.BUILTIN]
    wanted = [name for name in own if name in directories.signed] or own
    if into is None:
        return path.parent / wanted[-1] if wanted else None
    same = [name for name in own if into.resolve() == (path.parent / name).resolve() or name == str(into)]
    return path.parent / same[-1] if same else None


def plan_pack(path: Path, source: Path, folder: Path, downgrade: bool, locale: str) -> Plan:
    """What the pack `source` would do in `folder` of the site of lilong.yaml `path`."""
    problems, target = Problems(locale), folder / source.name
    pack = signed_pack(path, source, problems)
    if pack.keys is None:
        return Plan(target, pack.data, pack.signatures, problems.listed())
    drafts = {target: pack.data, signatures.beside(target): pack.signatures}
    before = _installed(path, target.name)
    _check_place(path, target, drafts, problems, source)
    if before is not None and not downgrade:
        _check_version(pack.keys, source, pack.data, before, problems)
    kept, lost = _tuned(path, before, pack.keys)
    return Plan(
        target=target,
        data=pack.data,
        signatures=pack.signatures,
        problems=[*problems.listed(), *load(path, locale, drafts=drafts).problems],
        signer=pack.signer,
        version=pack.keys.version,
        installed=before.version if before else None,
        changes=_changes(before.node if before else None, _node(pack.data)),
        kept=kept,
        lost=lost,
    )


# ---------------------------------------------------------------- one pack by itself


@dataclass(frozen=True, slots=True)
class Signed:
    """A pack as it came: `keys` only when somebody whom the site believes signed it and it has no mistake."""

    data: bytes = b""
    signatures: bytes = b""
    signer: str = ""
    keys: PackKeys | None = None


def signed_pack(path: Path, source: Path, problems: Problems) -> Signed:
    """The pack `source` and who signed it, as the site of lilong.yaml `path` sees it."""
    data = yamlfile.read_bytes(source, yamlfile.BYTES_MOST, problems, str(source))
    if data is None:
        return Signed()
    try:
        given = signatures.read(signatures.beside(source))
        signer = signatures.signer_of(source.name, data, given, directories_of(path).signers)
    except signatures.SignatureError as error:
        problems.add(str(source), 0, "", error.found, error.expected)
        return Signed()
    return Signed(data, given or b"", signer, read_pack(source, data, problems))


def read_pack(source: Path, data: bytes, problems: Problems) -> PackKeys | None:
    """A pack by itself; None when it has mistakes, or is none that a directory would be asked for."""
    if source.suffix != ".yaml" or source.name[0] in ".~":
        problems.add(str(source), 0, "", say("value", value=source.name), say("yaml_suffix"))
        return None
    keys = Builder(problems).record(yamlfile.parse(data, problems, str(source)), PackKeys)
    if keys is not None and not keys.version:
        problems.add(str(source), 1, "version", say("missing"), say("required"))
    return None if len(problems) else keys


# ---------------------------------------------------------------- beside what is installed


@dataclass(frozen=True, slots=True)
class _Installed:
    """The pack of that name which counts now; however broken, its version is the one it says."""

    data: bytes
    node: yamlfile.Node | None

    @property
    def version(self) -> int:
        written = _below(self.node, "version")
        value = written.value if isinstance(written, yamlfile.Scalar) else 0
        return value if isinstance(value, int) else 0


def _installed(path: Path, name: str) -> _Installed | None:
    files = {file.name: file for file in packs.rule_files(directories_of(path), path.parent)}
    if name not in files:
        return None
    node, data = yamlfile.read(files[name], Problems())
    return _Installed(data, node)


def _check_place(path: Path, target: Path, drafts: packs.Drafts, problems: Problems, source: Path) -> None:
    """Nothing in a later directory stands in its place."""
    directories = directories_of(path)
    counting = {file.name: file.parent for file in packs.rule_files(directories, path.parent, drafts)}
    for name in directories.rules:
        there = packs.builtin("rules") if name == packs.BUILTIN else path.parent / name
        if there == counting.get(target.name) != target.parent:
            found = say("shadowed", where=f"{name}/{target.name}")
            problems.add(str(source), 0, "", found, say("last_directory", value=name))


def _check_version(keys: PackKeys, source: Path, data: bytes, before: _Installed, problems: Problems) -> None:
    """An old pack with its good old signature is an attack, or a mistake."""
    installed = before.version
    if keys.version > installed or data == before.data:
        return
    older = say("older_version", value=keys.version, installed=installed)
    found = older if keys.version < installed else say("same_version", value=keys.version)
    problems.add(str(source), 0, "version", found, say("newer_version", installed=installed))


def _tuned(path: Path, before: _Installed | None, keys: PackKeys) -> tuple[list[TuneKeys], list[TuneKeys]]:
    """The entries under tune about rules of the pack: those that find theirs, and those that no more do."""
    sites, _, _ = site_files(path)
    entries = [entry for site in sites for entry in site.tune]
    had = _entries(before.node, "rules") if before else {}
    has = {rule.id for rule in keys.rules}
    kept = [entry for entry in entries if entry.rule in has]
    return kept, [entry for entry in entries if entry.rule in had and entry.rule not in has]


# ---------------------------------------------------------------- two packs side by side


def _node(data: bytes) -> yamlfile.Node | None:
    return yamlfile.parse(data, Problems(), "")


def _changes(before: yamlfile.Node | None, after: yamlfile.Node | None) -> list[Change]:
    found = []
    for kind in KINDS:
        old, new = _entries(before, kind), _entries(after, kind)
        for name in dict.fromkeys([*old, *new]):
            found.append(Change(kind, name, old.get(name, {}), new.get(name, {})))
    return [change for change in found if change.before != change.after]


def _entries(pack: yamlfile.Node | None, kind: str) -> dict[str, Flat]:
    """By name, every entry of one list of a pack; a second one of a name gets a number."""
    items = _below(pack, kind)
    found: dict[str, Flat] = {}
    often = Counter[str]()
    for item in items.items if isinstance(items, yamlfile.List) else ():
        flat = _flat(item, "")
        name = flat.get(KINDS[kind], "")
        often[name] += 1
        found[name if often[name] == 1 else f"{name} #{often[name]}"] = flat
    return found


def _below(pack: yamlfile.Node | None, key: str) -> yamlfile.Node | None:
    """What stands under a key at the top of a pack."""
    return pack.entries[key][1] if isinstance(pack, yamlfile.Map) and key in pack.entries else None


def _flat(node: yamlfile.Node, path: str) -> dict[str, str]:
    """Every single value below a node, by its path."""
    if isinstance(node, yamlfile.Map):
        inside = [(joined(path, key), value) for key, (_, value) in node.entries.items()]
    elif isinstance(node, yamlfile.List):
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(node.items)]
    else:
        return {path: node.text if isinstance(node, yamlfile.Scalar) else ""}
    return {step: text for below, value in inside for step, text in _flat(value, below).items()}


# ---------------------------------------------------------------- whole or not at all

Bytes = tuple[bytes | None, bytes | None]  # of a pack and of its signatures; None: no such file


def put(plan: Plan) -> Bytes:
    """Writes pack and signature, and returns what was there. Raises OSError, with nothing changed."""
    before = _bytes_of(plan.target)
    try:
        put_back(plan.target, (plan.data, plan.signatures))
    except OSError:
        with suppress(OSError):
            put_back(plan.target, before)
        raise
    return before


def put_back(target: Path, wanted: Bytes) -> None:
    """Makes a pack and its signature what is wanted; in between both signatures are there, so that a crash
    on any line leaves the old pack or the new one, and either is believed.
    """
    data, given = wanted
    beside = signatures.beside(target)
    if data is None:
        target.unlink(missing_ok=True)
    else:
        if given is not None:
            rewrite(beside, (_bytes_of(target)[1] or b"") + given)
        rewrite(target, data)
    if given is None:
        beside.unlink(missing_ok=True)
    else:
        rewrite(beside, given)


def _bytes_of(target: Path) -> Bytes:
    found = [one.read_bytes() if one.exists() else None for one in (target, signatures.beside(target))]
    return found[0], found[1]
