"""What the pages read from the store: one function for each question, read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from gateway.adapters.history import STANDING
from gateway.core.model import (
    Alert,
    AlertState,
    Case,
    Entry,
    Level,
    Notification,
    Photo,
    Shelf,
    Snapshot,
    Verb,
)
from gateway.core.photos import name, read

T = TypeVar("T")
OPEN_MOST = 200  # more on one screen helps nobody; the count above the list is the true one
ENTRIES_MOST = 500
MESSAGES_MOST = 60


def find_case(db: sqlite3.Connection, case: str) -> Case | None:
    found = _all(db, Case, "SELECT body FROM cases WHERE id = ?", case)
    return found[0] if found else None


def find_notification(db: sqlite3.Connection, notification: str) -> Notification | None:
    found = _all(db, Notification, "SELECT body FROM notification WHERE id = ?", notification)
    return found[0] if found else None


def open_cases(db: sqlite3.Connection) -> list[Case]:
    """The worst first, then the oldest."""
    return _all(
        db, Case, "SELECT body FROM cases WHERE open = 1 ORDER BY level DESC, opened_ns LIMIT ?", OPEN_MOST
    )


def cases_told_to(db: sqlite3.Connection, person: str, most: int = OPEN_MOST) -> list[Case]:
    """The open ones that a person has to do with, the worst first, then the oldest."""
    query = "SELECT body FROM cases WHERE open = 1 ORDER BY level DESC, opened_ns"
    found = (case for case in _all(db, Case, query) if concerns(case, person))
    return list(islice(found, most))


def concerns(case: Case, person: str) -> bool:
    """Whether a person was told of a case, or has done something in it: each has had a link to it."""
    doers = case.responsible, case.acknowledged_by, case.handled_by, case.verifier
    return person in (*case.told, *case.copies, *doers)


def every_open_case(db: sqlite3.Connection) -> list[Case]:
    return _all(db, Case, "SELECT body FROM cases WHERE open = 1")


def count_open(db: sqlite3.Connection) -> dict[Level, int]:
    """How many of each level, the worst first."""
    query = "SELECT level, count(*) FROM cases WHERE open = 1 GROUP BY level ORDER BY level DESC"
    return {Level(level): count for level, count in db.execute(query)}


def ended_cases(db: sqlite3.Connection, most: int = 12) -> list[Case]:
    query = "SELECT body FROM cases WHERE open = 0 ORDER BY id DESC LIMIT ?"
    return sorted(_all(db, Case, query, most), key=lambda case: -case.changed_ns)


def cases_of(db: sqlite3.Connection, ids: Collection[str]) -> dict[str, Case]:
    marks = ",".join("?" * len(ids))
    return {case.id: case for case in _all(db, Case, f"SELECT body FROM cases WHERE id IN ({marks})", *ids)}


def alerts_of(db: sqlite3.Connection, case: str) -> list[Alert]:
    return _all(db, Alert, "SELECT body FROM alert WHERE case_id = ? ORDER BY id", case)


def firing_cases(db: sqlite3.Connection) -> set[str]:
    """The cases in which something is still bad, and not only waiting for its reset."""
    query = f"SELECT case_id FROM alert WHERE {STANDING} AND state = ?"
    return {row[0] for row in db.execute(query, (AlertState.FIRING,))}


def standing_alerts(db: sqlite3.Connection) -> list[Alert]:
    """Those that nobody has been told of too: hidden behind a cause, in the shadow, without a case."""
    return _all(db, Alert, f"SELECT body FROM alert WHERE {STANDING} ORDER BY level DESC, raised_ns")


def shelves(db: sqlite3.Connection) -> list[Shelf]:
    """Of what nobody is told, or would not be, should somebody agree; what ends first comes first."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'shelf'").fetchone():
        return []  # an older version's store, which nobody has opened since
    return _all(db, Shelf, "SELECT body FROM shelf WHERE NOT ended ORDER BY until_ns, id")


def snapshots_of(db: sqlite3.Connection, case: str, alert: str = "") -> list[Snapshot]:
    """The pictures wanted of a case's alerts, or of one alert, oldest first."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'snapshot'").fetchone():
        return []  # as with shelves
    query = """SELECT body FROM snapshot WHERE alert_id = ?
               OR alert_id IN (SELECT id FROM alert WHERE case_id = ? AND ? = '') ORDER BY id"""
    return sorted(_all(db, Snapshot, query, alert, case, alert), key=lambda one: one.wanted_ns)


def entries_of(db: sqlite3.Connection, case: str) -> list[Entry]:
    rows = db.execute(f"{_ENTRY} WHERE case_id = ? ORDER BY seq LIMIT ?", (case, ENTRIES_MOST))
    return _entries(rows)


def photos_of(db: sqlite3.Connection, case: str) -> dict[str, Photo]:
    """By the name of the file."""
    query = f"{_ENTRY} WHERE case_id = ? AND what = ? ORDER BY seq"
    found = [read(entry.note) for entry in _entries(db.execute(query, (case, Verb.PHOTO)))]
    return {name(photo): photo for photo in found if photo}


def photos_named(db: sqlite3.Connection) -> set[Photo]:
    """Every picture that any case's history names."""
    found = (read(note) for (note,) in db.execute("SELECT note FROM entry WHERE what = ?", (Verb.PHOTO,)))
    return {photo for photo in found if photo}


def photos_of_open(db: sqlite3.Connection) -> set[str]:
    cases = _all(db, Case, "SELECT body FROM cases WHERE open = 1")
    return {sha256 for case in cases for sha256 in case.photos}


def newest_entry(db: sqlite3.Connection, case: str) -> int:
    """The number of the last line of a case's history; 0 when there is none."""
    (found,) = db.execute("SELECT MAX(seq) FROM entry WHERE case_id = ?", (case,)).fetchone()
    return found or 0


def deeds_of(db: sqlite3.Connection, person: str, cases: Collection[str]) -> list[Entry]:
    """What a person did on some cases, oldest first."""
    marks = ",".join("?" * len(cases))
    rows = db.execute(
        f"{_ENTRY} WHERE case_id IN ({marks}) AND person = ? ORDER BY seq LIMIT ?",
        (*cases, person, ENTRIES_MOST),
    )
    return _entries(rows)


def messages_to(
    db: sqlite3.Connection, person: str, channels: Collection[str], most: int = MESSAGES_MOST
) -> list[Notification]:
    """The newest messages a person has got, oldest first."""
    marks = ",".join("?" * len(channels))
    query = f"""SELECT body FROM notification WHERE person = ? AND state = 'accepted' AND channel IN ({marks})
                ORDER BY created_ns DESC, id DESC LIMIT ?"""
    return _all(db, Notification, query, person, *channels, most)[::-1]


_ENTRY = "SELECT case_id, wall_ns, what, person, channel, note FROM entry"


def _entries(rows: sqlite3.Cursor) -> list[Entry]:
    return [
        Entry(case=case, wall_ns=wall_ns, what=what, person=person, channel=channel, note=note)
        for case, wall_ns, what, person, channel, note in rows
    ]


def _all(db: sqlite3.Connection, kind: type[T], query: str, *values: Any) -> list[T]:
    rows: Sequence[Any] = db.execute(query, values).fetchall()
    return [msgspec.json.decode(row[0], type=kind) for row in rows]
