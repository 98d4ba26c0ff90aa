"""The registry of a site: what would change in its tables, and how they are written, whole or not at all.

Hand-written YAML is never touched; what machines and spreadsheets change lies in tables beside it. A plan is
judged as the whole site it would make, so that nothing is written that `lilong check` would refuse.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from gateway import csvfile
from gateway.config import load, site_files
from gateway.core.calibration import in_force
from gateway.core.model import SECOND, Calibration, Device, World
from gateway.csvfile import Cells, Table
from gateway.grammar import TABLES, instant_ns
from gateway.packs import table_kind
from gateway.problems import ConfigError, Problems
from gateway.typed import Builder
from gateway.yamlfile import List, Row

# device, component, quantity, since_ns, until_ns -> (measured_ns, value), ascending
History = Callable[[str, str, str, int, int], Sequence[tuple[int, float]]]
DIGITS = 9  # behind the point of an offset: no sensor knows more
TABLE_MODE = 0o644  # as the other site files; what is secret never stands in one
NAMES = {  # what makes two rows the same entry; in other tables their id
    "calibrations": "{device} {component} {quantity} {from}",
    "posts": "{role} {at} {from}",
}


# ---------------------------------------------------------------- what would change


@dataclass(frozen=True, slots=True)
class Change:
    """One row that adds an entry (`before` is None) or changes one."""

    row: int
    name: str
    before: Cells | None
    after: Cells

    def differences(self) -> list[tuple[str, str, str]]:
        """(path, before, after) of every cell that is not what it was."""
        before = self.before or {}
        paths = [*self.after, *(path for path in before if path not in self.after)]
        found = [(path, before.get(path, ""), self.after.get(path, "")) for path in paths]
        return [one for one in found if one[1] != one[2]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What rows would do to a site. `tables` are the files as they would be: none when there is a problem."""

    changes: Sequence[Change]
    same: int  # rows that say what is there already
    problems: Sequence[ConfigError]
    tables: Mapping[Path, str]

    @property
    def added(self) -> list[Change]:
        return [change for change in self.changes if change.before is None]

    @property
    def changed(self) -> list[Change]:
        return [change for change in self.changes if change.before is not None]


def plan_file(path: Path, source: Path, into: str, locale: str) -> Plan:
    """What the rows of a CSV file would do to the site of lilong.yaml `path`; `into` says what they are."""
    problems = Problems(locale)
    table, _ = csvfile.read(source, problems)
    if table is None:
        return Plan([], 0, problems.listed(), {})
    return plan_rows(path, table, into, locale)


def entries(path: Path, kind: str) -> list[Cells]:
    """Every entry of one kind that a site has, in YAML and in tables."""
    sites, _, _ = site_files(path)
    return [csvfile.cells_from(entry, TABLES[kind]) for site in sites for entry in getattr(site, kind)]


def plan_rows(path: Path, table: Table, into: str, locale: str) -> Plan:
    """What rows would do: an entry is changed in the table where it stands, a new one goes into `into`."""
    kind = table_kind(Path(into))
    problems = Problems(locale)
    rows = list(_rows(csvfile.records(table, TABLES[kind], problems)))
    present = _Present(path, kind, problems)
    changes, same = _compare(rows, present)
    merged = present.merged([row for row in rows if row.line not in same], into)
    found = [*problems.listed(), *load(path, locale, sheets=merged).problems]
    found = sorted({error.order: error for error in found}.values(), key=lambda error: error.order)
    texts = {} if found else {file: present.text(sheet) for file, sheet in merged.items()}
    return Plan(changes, len(same), found, texts)


def _rows(sheet: List) -> Iterator[Row]:
    return (row for row in sheet.items if isinstance(row, Row))


def _compare(rows: Sequence[Row], present: _Present) -> tuple[list[Change], set[int]]:
    """The changes, and the numbers of the rows that change nothing. A broken row is neither."""
    changes, same = [], set()
    often = Counter(map(present.name_of, rows))
    for row in rows:
        after, name = present.cells(row), present.name_of(row)
        before = present.entries.get(name)
        if after and before == after and often[name] == 1:
            same.add(row.line)
        elif after:
            changes.append(Change(row.line, name, before, after))
    return changes, same


class _Present:
    """The entries of one kind that a site has now: what each says, and the tables that hold some of them."""

    def __init__(self, path: Path, kind: str, problems: Problems) -> None:
        self._cls, self._name = TABLES[kind], NAMES.get(kind, "{id}")
        _, files, self._folder = site_files(path)
        self.entries = {self._name.format_map(_Blank(cells)): cells for cells in entries(path, kind)}
        tables = [file for file in files if file.suffix == ".csv" and table_kind(file) == kind]
        self._sheets = {file: self._read(file, problems) for file in tables}

    def _read(self, file: Path, problems: Problems) -> List:
        table, _ = csvfile.read(file, problems)
        return csvfile.records(table, self._cls, problems) if table else List(str(file), 1, ())

    def cells(self, row: Row) -> Cells:
        """What a row means, however it is written; nothing when it is broken."""
        value = Builder(Problems()).record(row, self._cls)
        return csvfile.cells_from(value, self._cls) if value is not None else {}

    def name_of(self, row: Row) -> str:
        return self._name.format_map(_Blank(csvfile.cells_of(row)))

    def text(self, sheet: List) -> str:
        return csvfile.write([csvfile.cells_of(row) for row in _rows(sheet)], self._cls)

    def merged(self, new: Sequence[Row], into: str) -> Mapping[Path, List]:
        """The tables that would change: a row goes where its entry stands, else to the end of `into`."""
        first = {self.name_of(row): row for row in reversed(new)}
        merged: dict[Path, list[Row]] = {}
        placed = set()
        for file, sheet in self._sheets.items():
            here = {self.name_of(row) for row in _rows(sheet)} & first.keys()
            if here:
                merged[file] = [first.get(self.name_of(row), row) for row in _rows(sheet)]
                placed |= {id(first[name]) for name in here}
        left = [row for row in new if id(row) not in placed]
        if left:
            end = self._folder / into
            before = merged.get(end) or list(_rows(self._sheets.get(end, List("", 1, ()))))
            merged[end] = [*before, *left]
        return {file: List(str(file), 1, tuple(rows)) for file, rows in merged.items()}


class _Blank(dict[str, str]):
    """Cells, with nothing where there is none."""

    def __missing__(self, key: str) -> str:
        return ""


# ---------------------------------------------------------------- joints: a sensor moved or changed

SIDE_NS = 2 * 86_400 * SECOND  # how far from a joint its two sides are looked for
SIDE_MOST = 5  # readings whose median is a side: one of them may be a spike


@dataclass(frozen=True, slots=True)
class Joint:
    """From `since` (local time) on a quantity goes on where it was, though its sensor does not."""

    world: World
    device: str
    component: str
    quantity: str
    since: str

    @property
    def since_ns(self) -> int:
        return instant_ns(self.since, self.world.timezone)

    def entries(self) -> list[Calibration]:
        """What its sensor had before, ascending; an entry of the same instant is the one to be replaced."""
        return [
            one
            for one in self.world.calibrations.get(self.device, ())
            if (one.component, one.quantity) == (self.component, self.quantity)
        ]

    def cells(self, **more: str) -> Cells:
        names = {"device": self.device, "from": self.since, "quantity": self.quantity}
        return {**names, "component": self.component, **more}


def around(history: History, joint: Joint) -> tuple[float | None, float | None]:
    """Medians of what is stored right before a joint and right after it; None where nothing is.

    After a joint that has its entry already some values are stored by that, some not: they say nothing.
    """
    at, key = joint.since_ns, (joint.device, joint.component, joint.quantity)
    before = [value for _, value in history(*key, at - SIDE_NS, at - 1)][-SIDE_MOST:]
    since = [value for _, value in history(*key, at, at + SIDE_NS)][:SIDE_MOST]
    ours, old = in_force(joint.entries(), at), in_force(joint.entries(), at - 1)
    mixed = ours is not old and _correction(ours) != _correction(old)
    return (median(before) if before else None), (median(since) if since and not mixed else None)


def rezeroed(
    joint: Joint, was: float | None, reads: float | None, baseline: float | None, note: str
) -> Cells:
    """The entry by which what is shown as `reads` counts as `was`; or the new baseline alone."""
    present = in_force(joint.entries(), joint.since_ns)  # by which `reads` is shown; maybe of this very joint
    scale, offset = _correction(present)
    if was is not None and reads is not None:
        offset += was - reads
    more = {"scale": _number(scale, 1.0), "offset": _number(offset, 0.0), "note": note}
    more["baseline"] = "" if baseline is None else repr(baseline)
    if present:
        ours = present.since_ns == joint.since_ns
        more |= {"certificate": present.certificate, "due": str(present.due or "")}
        more["sensor"] = present.sensor if ours else ""
    return joint.cells(**more)


def swapped(joint: Joint, was: float | None, reads: float | None) -> Cells:
    """The entry of a quantity whose sensor is another from the joint on: nothing of the old one's holds.

    Not joined while one side is not known: a rule that counts from a baseline then judges nothing.
    """
    if was is None or reads is None:
        return joint.cells(unjoined="true")
    scale, offset = _correction(in_force(joint.entries(), joint.since_ns))
    return joint.cells(offset=_number(was - (reads - offset) / scale, 0.0), scale="1")


def joined_quantities(
    world: World, device: Device, only: Collection[str], named: Collection[str]
) -> list[tuple[str, str]]:
    """(component, quantity) of what a new sensor must take up: what has a baseline or a calibration."""
    entries = world.calibrations.get(device.id, ())
    found = {("", quantity) for quantity in (*device.baseline, *only, *named)}
    found |= {(one.component, one.quantity) for one in entries if one.quantity}
    return sorted(one for one in found if not only or one[1] in (*only, *named))


def _correction(entry: Calibration | None) -> tuple[float, float]:
    """(scale, offset) by which an entry makes values of what was decoded."""
    return (entry.scale, entry.offset) if entry else (1.0, 0.0)


def _number(value: float, usual: float) -> str:
    return "" if value == usual else repr(round(value, DIGITS)).removesuffix(".0")


# ---------------------------------------------------------------- whole or not at all


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else changes the tables of that site meanwhile. Raises BlockingIOError when somebody does."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def put(texts: Mapping[Path, str]) -> Mapping[Path, bytes | None]:
    """Writes the tables, each at once, and returns what was there. Raises OSError, with nothing changed."""
    before = {file: file.read_bytes() if file.exists() else None for file in texts}
    _put({file: text.encode("utf-8-sig") for file, text in texts.items()}, before)
    return before


def put_back(before: Mapping[Path, bytes | None]) -> None:
    """Makes the tables what they were."""
    for file, data in before.items():
        if data is None:
            file.unlink(missing_ok=True)
        else:
            rewrite(file, data)


def _put(files: Mapping[Path, bytes], before: Mapping[Path, bytes | None]) -> None:
    done: dict[Path, bytes | None] = {}
    try:
        for file, data in files.items():
            done[file] = before[file]
            rewrite(file, data)
    except OSError:
        with suppress(OSError):
            put_back(done)
        raise


def _give(handle: int, file: Path) -> None:
    """To whom the file belonged, who the gateway's user may be that must read it."""
    there = file.exists()
    status = (file if there else file.parent).stat()
    os.fchmod(handle, status.st_mode & 0o777 if there else TABLE_MODE)
    with suppress(PermissionError):
        os.fchown(handle, status.st_uid, status.st_gid)


def rewrite(file: Path, data: bytes) -> None:
    """The old content or the new, whatever happens: written beside it, synced, renamed."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as beside:
            beside.write(data)
            _give(beside.fileno(), file)
            beside.flush()
            os.fsync(beside.fileno())
        os.replace(name, file)
    except OSError:
        with suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
