"""The chain of the history: every row carries a hash of itself and of all before it.

Whoever edits, removes or slips in a row breaks it there; whoever rewrites all of it from there on changes the
head, which a person may have noted elsewhere. Rows of an older version's store are chained when it is opened
by this one, and are vouched for from then on.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from gateway.core.model import Entry

HEAD = "audit"  # key in meta of the last row's number and hash, written in the transaction of that row
BEGINNING = hashlib.sha256(b"lilong history").digest()
_ROWS = "SELECT seq, case_id, wall_ns, what, person, channel, note, hash FROM entry ORDER BY seq"
_INSERT = (
    "INSERT INTO entry (seq, case_id, wall_ns, what, person, channel, note, hash) VALUES (?,?,?,?,?,?,?,?)"
)
_json = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The newest row of the chain."""

    seq: int
    hash: bytes


class Chain:
    """What the one writer appends to. Nothing counts until the transaction is committed."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._kept = self._head = _head_of(db) or Head(0, BEGINNING)

    @property
    def last(self) -> int:
        """The number of the newest committed row."""
        return self._kept.seq

    def begin(self) -> None:
        """A transaction begins: what an earlier one could not commit never was."""
        self._head = self._kept

    def append(self, db: sqlite3.Connection, entry: Entry) -> None:
        seq = self._head.seq + 1
        row = (seq, entry.case, entry.wall_ns, entry.what, entry.person, entry.channel, entry.note)
        self._head = Head(seq, linked(self._head.hash, row))
        db.execute(_INSERT, (*row, self._head.hash))

    def save(self, db: sqlite3.Connection) -> None:
        """Last thing before the commit."""
        if self._head is not self._kept:
            _save_head(db, self._head)

    def committed(self) -> None:
        self._kept = self._head


def upgrade(db: sqlite3.Connection) -> None:
    """Adds the chain to a store that has none."""
    if any(row[1] == "hash" for row in db.execute("PRAGMA table_info(entry)")):
        return
    db.execute("BEGIN IMMEDIATE")
    db.execute("ALTER TABLE entry ADD COLUMN hash BLOB")
    head = Head(0, BEGINNING)
    for *row, _ in db.execute(_ROWS).fetchall():
        head = Head(row[0], linked(head.hash, tuple(row)))
        db.execute("UPDATE entry SET hash = ? WHERE seq = ?", (head.hash, head.seq))
    _save_head(db, head)
    db.execute("COMMIT")


def linked(before: bytes, row: tuple[object, ...]) -> bytes:
    """The hash of a row (number, case, instant, what, person, channel, note) behind another one's."""
    return hashlib.sha256(before + _json(row)).digest()


# ---------------------------------------------------------------- looking at it


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain is broken: row `seq` was `edited`, is `missing`, or was put in as a `stranger`."""

    seq: int
    how: str
    case: str = ""
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    rows: int
    head: str  # hexadecimal: to be noted elsewhere
    broken: Break | None
    knows: bool  # whether the head that was asked for is, or was, one of this chain


def verify(db: sqlite3.Connection, known: str = "") -> Verdict:
    """The first break, if any. `known`: the beginning of a head that was noted before."""
    count, last, seen, broken = 0, Head(0, BEGINNING), not known, None
    db.execute("BEGIN")  # one moment of it: the gateway may be writing
    try:
        ended = _head_of(db)
        for found, head in _walk(db):
            if found is not None:
                broken = found
                break
            count, last, seen = count + 1, head, seen or head.hash.hex().startswith(known.lower())
    finally:
        db.execute("COMMIT")
    if broken is None and ended is not None and ended != last:
        broken = Break(last.seq + 1, "missing")
    return Verdict(count, last.hash.hex(), broken, seen)


def _walk(db: sqlite3.Connection) -> Iterator[tuple[Break | None, Head]]:
    """Each row's head, or what is wrong with it. The first row may have any number: an old store's."""
    head: Head | None = None
    for *row, kept in db.execute(_ROWS):
        seq, case, wall_ns = row[0], str(row[1]), row[2]
        if head is not None and seq != head.seq + 1:
            yield Break(head.seq + 1, "missing"), head
            return
        made = Head(seq, linked(head.hash if head else BEGINNING, tuple(row)))
        if kept != made.hash:
            how = "stranger" if kept is None else "edited"
            if head is None and seq > 1:
                how = "missing"
            yield Break(seq if how != "missing" else 1, how, case, wall_ns), made
            return
        head = made
        yield None, made


def _head_of(db: sqlite3.Connection) -> Head | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (HEAD,)).fetchone()
    return msgspec.msgpack.decode(row[0], type=Head) if row else None


def _save_head(db: sqlite3.Connection, head: Head) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HEAD, msgspec.msgpack.encode(head)))
