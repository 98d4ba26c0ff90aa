"""The log and everything that follows from it, in one SQLite file: the truth of the box.

One writer; every commit is one fsynced transaction (WAL, synchronous=FULL) holding the events and all their
effects, so a power cut leaves both or neither. The log is kept in record batches (one row, many messages,
one checksum), because a row each would cost five times the CPU.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from gateway.adapters import audit
from gateway.core.cases import ENDED
from gateway.core.model import (
    Alert,
    Case,
    Effect,
    Ended,
    Entry,
    Event,
    Marked,
    Message,
    Messages,
    Noted,
    Notification,
    NotificationState,
    QuarantineRow,
    Reading,
    Refused,
    Shelf,
    Snapshot,
    SnapshotState,
)

SCHEMA_VERSION = 1
CHECKPOINTS_KEPT = 2  # the newest may be torn by the very crash it is needed after
WAL_PAGES = 256  # a short WAL: one flipped bit silently truncates it (1 MB at most at stake)
BUSY_MS = 10_000
AWAITED_NS = 3600 * 10**9  # more than a message takes to be sent and receipted: the index is read no further
HIGH_WATER = "high-water"  # a file beside the database
WORLD = "world"  # key of the World that judges what is behind the checkpoint
WORLD_BEFORE = "world-before"  # and of the one before it: the newest checkpoint may be torn

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
    first INTEGER PRIMARY KEY, count INTEGER NOT NULL, at INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    body BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS checkpoint (
    id INTEGER PRIMARY KEY, position INTEGER NOT NULL, at INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    body BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS alert (
    id TEXT PRIMARY KEY, case_id TEXT NOT NULL, rule TEXT NOT NULL, device TEXT NOT NULL,
    component TEXT NOT NULL, level INTEGER NOT NULL, state TEXT NOT NULL, raised_ns INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alert_case ON alert (case_id);
CREATE INDEX IF NOT EXISTS alert_standing ON alert (state, case_id) WHERE state != 'cleared';
CREATE TABLE IF NOT EXISTS cases (
    id TEXT PRIMARY KEY, device TEXT NOT NULL, component TEXT NOT NULL, place TEXT NOT NULL,
    rule TEXT NOT NULL, level INTEGER NOT NULL, stage TEXT NOT NULL, person TEXT NOT NULL,
    opened_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, open INTEGER NOT NULL,
    body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cases_open ON cases (open, id);
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY, case_id TEXT NOT NULL, wall_ns INTEGER NOT NULL, what TEXT NOT NULL,
    person TEXT NOT NULL, channel TEXT NOT NULL, note TEXT NOT NULL, hash BLOB);
CREATE INDEX IF NOT EXISTS entry_case ON entry (case_id, seq);
CREATE TABLE IF NOT EXISTS notification (
    id TEXT PRIMARY KEY, case_id TEXT NOT NULL, alert_id TEXT NOT NULL, person TEXT NOT NULL,
    channel TEXT NOT NULL, state TEXT NOT NULL, due_at INTEGER NOT NULL, attempt INTEGER NOT NULL,
    created_ns INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notification_state ON notification (state, due_at);
CREATE INDEX IF NOT EXISTS notification_person ON notification (person, created_ns);
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY, position INTEGER NOT NULL, code TEXT NOT NULL, device TEXT NOT NULL,
    topic TEXT NOT NULL, payload BLOB NOT NULL, field TEXT NOT NULL, reason TEXT NOT NULL,
    wall_ns INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'kept');
CREATE TABLE IF NOT EXISTS shelf (
    id TEXT PRIMARY KEY, device TEXT NOT NULL, until_ns INTEGER NOT NULL, ended INTEGER NOT NULL,
    body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (
    id TEXT PRIMARY KEY, alert_id TEXT NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL,
    expires_ns INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS snapshot_alert ON snapshot (alert_id);
CREATE TABLE IF NOT EXISTS cursor (sink TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""


_CUT_OFF = """
SELECT max(id) AS id FROM (
    SELECT id, row_number() OVER newest AS row, sum(length(payload)) OVER newest AS size
    FROM quarantine WINDOW newest AS (ORDER BY id DESC))
WHERE row > ? OR size > ?
"""


class StoreBusy(Exception):
    """Another Lilong runs on this directory."""


class StoreDamaged(Exception):
    """A row of the log does not match its checksum: name the range, never go on in silence."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event and all that followed from it.

    `readings` is what each message of it says: not stored, for whoever would decode them again.
    """

    event: Event
    effects: Sequence[Effect]
    readings: Sequence[Sequence[Reading]] = ()

    @property
    def count(self) -> int:
        """How many positions of the log it takes."""
        return len(self.event.items) if isinstance(self.event, Messages) else 1


Change = Alert | Case | Shelf | Notification | Ended


class Logged(msgspec.Struct):
    """One event of the log. Message i of a Messages event has position first + i."""

    first: int
    event: Event
    marks: list[Marked]
    changes: list[Change]


class Checkpoint(msgspec.Struct):
    """A saved engine state: everything before `position` is in it."""

    position: int
    at: int
    wall_ns: int
    body: bytes


class _Body(msgspec.Struct, array_like=True):
    event: Event
    marks: list[Marked]
    changes: list[tuple[str, Any]]


_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode
_CHANGES: dict[str, type[Change]] = {
    "Alert": Alert,
    "Case": Case,
    "Shelf": Shelf,
    "Notification": Notification,
    "Ended": Ended,
}
_AGED = WORLD_BEFORE, WORLD


class Store:
    """The state directory of one gateway. Safe from any thread: writes take turns, readers do not wait."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "lilong.db"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = _lock(directory / "lock")
        self._turn = threading.Lock()
        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._db = self._connect()
        self._db.executescript(SCHEMA)
        audit.upgrade(self._db)
        self._chain = audit.Chain(self._db)
        self._position = self._next_position()
        self.identity = self._identity()

    def reopen(self) -> None:
        """A fresh writer after an I/O error: a failed fsync may have lost what an earlier one promised.

        `position` is then what the disk really holds.
        """
        with self._turn:
            self._db.close()
            self._db = self._connect()
            self._chain = audit.Chain(self._db)
            self._position = self._next_position()

    def close(self) -> None:
        with self._turn:
            for connection in (*self._opened, self._db):
                connection.close()
            self._opened.clear()
            self._lock_file.close()

    # ------------------------------------------------------------ writing

    def commit(
        self, records: Sequence[Record], checkpoint: Checkpoint | None = None, world: bytes | None = None
    ) -> int:
        """Events, effects, checkpoint (and the World that judges from here on) in one transaction.

        On return they survive a power cut.

        Returns the position of the first event. Raises sqlite3.Error with nothing written.
        """
        first = self._position
        with self._transaction() as db:
            position = first
            self._chain.begin()
            for record in records:
                position = self._append(db, position, record)
            self._chain.save(db)
            if checkpoint is not None:
                self._save_checkpoint(db, checkpoint)
            if world is not None:
                db.execute("INSERT OR REPLACE INTO meta SELECT ?, value FROM meta WHERE key = ?", _AGED)
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (WORLD, world))
        self._chain.committed()
        self._position = position
        return first

    def _append(self, db: sqlite3.Connection, position: int, record: Record) -> int:
        event = record.event
        marks: list[Marked] = []
        changes: list[tuple[str, Change]] = []
        for effect in record.effects:
            if isinstance(effect, Marked):
                marks.append(effect)
            elif isinstance(effect, Refused):
                self._quarantine(db, [_refused_row(position, event, effect)])
            elif isinstance(effect, Entry):
                self._chain.append(db, effect)
            elif isinstance(effect, Snapshot):  # there alone: it is no point, and its address is forgotten
                _upsert_snapshot(db, effect)
            elif not isinstance(effect, Noted):
                changes.append((type(effect).__name__, effect))
                _UPSERTS[type(effect).__name__](db, effect)
        body = _encode(_Body(event, marks, changes))
        values = (position, record.count, event.at, event.wall_ns, body, zlib.crc32(body))
        db.execute("INSERT INTO log VALUES (?,?,?,?,?,?)", values)
        return position + record.count

    def save_cursor(self, sink: str, body: bytes, quarantined: Sequence[QuarantineRow] = ()) -> None:
        """How far a sink has come; the points it refused for good go to quarantine in the same breath."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?)", (sink, body))
            self._quarantine(db, quarantined)

    def _quarantine(self, db: sqlite3.Connection, rows: Iterable[QuarantineRow]) -> None:
        db.executemany(
            "INSERT INTO quarantine (position, code, device, topic, payload, field, reason, wall_ns) "
            "VALUES (?,?,?,?,?,?,?,?)",
            [msgspec.structs.astuple(row) for row in rows],
        )

    def settle_quarantine(self, ids: Sequence[int], state: str) -> None:
        """Marks kept rows as replayed (or dropped by a person)."""
        with self._transaction() as db:
            db.executemany("UPDATE quarantine SET state = ? WHERE id = ?", [(state, row) for row in ids])

    def trim(self, before: int) -> int:
        """Forgets log rows wholly before a position that every reader has passed; returns how many."""
        with self._transaction() as db:
            return db.execute("DELETE FROM log WHERE first + count <= ?", (before,)).rowcount

    def remember(self, key: str, value: bytes) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def tidy(self, before_ns: int) -> None:
        """Forgets quarantined payloads older than an instant, and refreshes the planner's figures."""
        with self._transaction() as db:
            db.execute("DELETE FROM quarantine WHERE wall_ns < ?", (before_ns,))
        with self._turn:
            self._db.execute("PRAGMA optimize")

    def forget_snapshots(self, now_ns: int) -> int:
        """Takes the addresses of pictures whose time is over out of the store; returns how many."""
        without = "CAST(json_remove(CAST(body AS TEXT), '$.ref') AS BLOB)"
        over = "state = ? AND expires_ns <= ? AND json_extract(CAST(body AS TEXT), '$.ref') IS NOT NULL"
        query = f"UPDATE snapshot SET body = {without} WHERE {over}"
        with self._transaction() as db:
            return db.execute(query, (SnapshotState.TAKEN, now_ns)).rowcount

    def cap_quarantine(self, rows: int, size: int) -> int:
        """Forgets the oldest refused payloads beyond so many rows or bytes; returns how many."""
        newest = self.reader().execute(_CUT_OFF, (rows, size)).fetchone()["id"]
        if newest is None:
            return 0
        with self._transaction() as db:
            return db.execute("DELETE FROM quarantine WHERE id <= ?", (newest,)).rowcount

    def _save_checkpoint(self, db: sqlite3.Connection, saved: Checkpoint) -> None:
        db.execute(
            "INSERT INTO checkpoint (position, at, wall_ns, body, crc) VALUES (?,?,?,?,?)",
            (saved.position, saved.at, saved.wall_ns, saved.body, zlib.crc32(saved.body)),
        )
        newest = "SELECT id FROM checkpoint ORDER BY id DESC LIMIT ?"
        db.execute(f"DELETE FROM checkpoint WHERE id NOT IN ({newest})", (CHECKPOINTS_KEPT,))

    # ------------------------------------------------------------ reading (any thread)

    def mark_high_water(self) -> None:
        """Writes down, outside the database, how much was committed; lags by as often as it is called."""
        write_durably(self.directory / HIGH_WATER, f"{self.identity} {self._position}\n")

    def lost(self) -> range:
        """Log positions that were committed once and are no longer there: a flipped bit in the write-ahead
        log cuts it short without a word. Empty when all is well.
        """
        try:
            identity, position = (self.directory / HIGH_WATER).read_text().split()
        except (OSError, ValueError):
            return range(0)
        return range(self._position, int(position)) if identity == self.identity else range(0)

    def position(self) -> int:
        """The position the next event gets: how many there were."""
        return self._position

    def last_line(self) -> int:
        """The number of the newest line of the cases' histories; 0 when there is none."""
        return self._chain.last

    def read_log(self, after: int, most: int) -> list[Logged]:
        """Events from position `after` on, ascending, about `most` messages. Raises StoreDamaged."""
        query = (
            "SELECT first, count, body, crc FROM log WHERE first + count > ? AND first >= ? ORDER BY first"
        )
        found, taken = [], 0
        start = self._row_holding(after)
        for row in self.reader().execute(query, (after, start)):
            found.append(_logged(row))
            taken += row["count"]
            if taken >= most:
                break
        return found

    def _row_holding(self, position: int) -> int:
        row = (
            self.reader()
            .execute("SELECT max(first) AS first FROM log WHERE first <= ?", (position,))
            .fetchone()
        )
        return row["first"] if row["first"] is not None else position

    def row_end(self, position: int) -> int:
        """The end of the row that holds a position: a damaged row is stepped over whole."""
        query = "SELECT first + count AS end FROM log WHERE first + count > ? ORDER BY first LIMIT 1"
        row = self.reader().execute(query, (position,)).fetchone()
        return int(row["end"]) if row else position + 1

    def load_cursor(self, sink: str) -> bytes | None:
        row = self.reader().execute("SELECT body FROM cursor WHERE sink = ?", (sink,)).fetchone()
        return row["body"] if row else None

    def load_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that is whole."""
        for row in self.reader().execute("SELECT * FROM checkpoint ORDER BY id DESC"):
            if zlib.crc32(row["body"]) == row["crc"]:
                return Checkpoint(row["position"], row["at"], row["wall_ns"], row["body"])
        return None

    def recall(self, key: str) -> bytes | None:
        """What was remembered under a name; WORLD judged what is behind the checkpoint."""
        row = self.reader().execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row["value"] if row else None

    def last_instant(self) -> tuple[int, int]:
        """(at, wall_ns) of the newest thing we wrote; (0, 0) in a new store."""
        query = "SELECT max(at) AS at, max(wall_ns) AS wall FROM (SELECT at, wall_ns FROM log WHERE first ="
        query += " (SELECT max(first) FROM log) UNION ALL SELECT at, wall_ns FROM checkpoint)"
        row = self.reader().execute(query).fetchone()
        return (row["at"] or 0, row["wall"] or 0)

    def due_notifications(self) -> list[Notification]:
        """Every message that a person has not been told yet."""
        rows = self.reader().execute(
            "SELECT body FROM notification WHERE state = ? ORDER BY id", (NotificationState.DUE,)
        )
        return [msgspec.json.decode(row["body"], type=Notification) for row in rows]

    def awaited_notifications(self, at: int) -> list[Notification]:
        """Every message that a provider took, and whose receipt is waited for beyond a steady instant."""
        query = "SELECT body FROM notification WHERE state IN (?, ?) AND due_at > ? ORDER BY id"
        states = NotificationState.ACCEPTED, NotificationState.UNSURE
        rows = self.reader().execute(query, (*states, at - AWAITED_NS))
        found = [msgspec.json.decode(row["body"], type=Notification) for row in rows]
        return [one for one in found if one.receipt_by > at]

    def due_snapshots(self) -> list[Snapshot]:
        """Every picture that its camera has not been asked for yet."""
        rows = self.reader().execute(
            "SELECT body FROM snapshot WHERE state = ? ORDER BY id", (SnapshotState.DUE,)
        )
        return [msgspec.json.decode(row["body"], type=Snapshot) for row in rows]

    def reader(self) -> sqlite3.Connection:
        """This thread's read-only connection; rows come by name. Never leave a transaction open on it."""
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            connection = open_reader(self.path)
            self._readers.connection = connection
            with self._turn:
                self._opened.append(connection)
        return connection

    # ------------------------------------------------------------ opening

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        os.chmod(self.path, 0o600)
        return db

    def _next_position(self) -> int:
        row = self._db.execute(
            "SELECT max(p) FROM (SELECT max(first + count) AS p FROM log"
            " UNION ALL SELECT max(position) FROM checkpoint)"
        ).fetchone()
        return row[0] or 0

    def _identity(self) -> str:
        """Random bits of this store, part of every id made here: a new store never repeats an old one's."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (secrets.token_hex(4),))
        row = self._db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        return str(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection to a store, also from another process. Raises sqlite3.OperationalError."""
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    return connection


def checkpoint_before(db: sqlite3.Connection, wall_ns: int) -> Checkpoint | None:
    """The newest whole checkpoint made no later than an instant."""
    for row in db.execute("SELECT * FROM checkpoint WHERE wall_ns <= ? ORDER BY id DESC", (wall_ns,)):
        if zlib.crc32(row["body"]) == row["crc"]:
            return Checkpoint(row["position"], row["at"], row["wall_ns"], row["body"])
    return None


def log_after(db: sqlite3.Connection, position: int, wall_ns: int) -> Iterator[Logged]:
    """Events from a position on, ascending, to the last one by an instant: also those of a clock that was
    ahead meanwhile. Raises StoreDamaged.
    """
    last = "(SELECT max(first) FROM log WHERE wall_ns <= ?)"
    query = f"SELECT first, count, body, crc FROM log WHERE first BETWEEN ? AND {last} ORDER BY first"
    for row in db.execute(query, (position, wall_ns)):
        yield _logged(row)


def write_durably(path: Path, text: str) -> None:
    """All of the text or the file as it was, whenever the power goes."""
    fresh = path.with_suffix(".new")
    with open(fresh, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def _lock(path: Path) -> IO[str]:
    handle = open(path, "a+")  # noqa: SIM115 held as long as the store lives
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise StoreBusy(f"{path.parent} is in use by another lilong; stop it first") from None
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle


def _refused_row(position: int, event: Event, refused: Refused) -> QuarantineRow:
    message = event.items[refused.index] if type(event) is Messages else Message("", b"")
    return QuarantineRow(
        position + refused.index,
        refused.code,
        refused.device,
        message.topic,
        message.payload,
        refused.field,
        refused.reason,
        event.wall_ns + refused.index,
    )


def _logged(row: sqlite3.Row) -> Logged:
    if zlib.crc32(row["body"]) != row["crc"]:
        last = row["first"] + row["count"] - 1
        raise StoreDamaged(f"log positions {row['first']}..{last} do not match their checksum")
    body = _decode(row["body"])
    changes = [msgspec.convert(change, _CHANGES[kind]) for kind, change in body.changes]
    return Logged(row["first"], body.event, body.marks, changes)


def _upsert_alert(db: sqlite3.Connection, alert: Alert) -> None:
    head = (alert.id, alert.case, alert.rule, alert.device, alert.component, int(alert.level), alert.state)
    tail = (alert.raised_ns, alert.changed_ns, _json(alert))
    db.execute("INSERT OR REPLACE INTO alert VALUES (?,?,?,?,?,?,?,?,?,?)", (*head, *tail))


def _upsert_case(db: sqlite3.Connection, case: Case) -> None:
    is_open = case.stage not in ENDED
    head = (case.id, case.device, case.component, case.place, case.rule, int(case.level), case.stage)
    tail = (case.responsible, case.opened_ns, case.changed_ns, is_open, _json(case))
    db.execute("INSERT OR REPLACE INTO cases VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (*head, *tail))


def _upsert_notification(db: sqlite3.Connection, told: Notification) -> None:
    head = (told.id, told.case, told.alert, told.person, told.channel, told.state, told.due_at, told.attempt)
    db.execute(
        "INSERT OR REPLACE INTO notification VALUES (?,?,?,?,?,?,?,?,?,?)",
        (*head, told.created_ns, _json(told)),
    )


def _upsert_shelf(db: sqlite3.Connection, shelf: Shelf) -> None:
    row = (shelf.id, shelf.device, shelf.until_ns, bool(shelf.ended_ns), _json(shelf))
    db.execute("INSERT OR REPLACE INTO shelf VALUES (?,?,?,?,?)", row)


def _upsert_snapshot(db: sqlite3.Connection, one: Snapshot) -> None:
    row = (one.id, one.alert, one.device, one.state, one.expires_ns, _json(one))
    db.execute("INSERT OR REPLACE INTO snapshot VALUES (?,?,?,?,?,?)", row)


_UPSERTS: dict[str, Callable[[sqlite3.Connection, Any], None]] = {
    "Alert": _upsert_alert,
    "Case": _upsert_case,
    "Shelf": _upsert_shelf,
    "Notification": _upsert_notification,
    "Ended": lambda db, ended: None,  # the log alone holds it, for the forwarder
}
