"""What reports read of a store, a page at a time: neither a year of it in memory nor a reader that holds up
the write-ahead log for longer than a page takes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from gateway.core.changes import Line
from gateway.core.ids import make_id
from gateway.core.model import Alert, Case, Entry, Notification, NotificationState

T = TypeVar("T", Case, Alert, Notification)
PAGE = 500
STANDING = "state != 'cleared'"  # of an alert; word for word as the store's index has it
STANDING_MOST = 200  # more of them in one list is read by nobody; the count is the true one
_TABLES: dict[type, str] = {Case: "cases", Alert: "alert", Notification: "notification"}


def made_between(db: sqlite3.Connection, kind: type[T], since_ns: int, until_ns: int) -> Iterator[T]:
    """Every case, alert or notification that was made in [since, until), oldest first: ids sort by time."""
    last, end = make_id(since_ns, "0", 0), make_id(until_ns, "0", 0)
    query = f"SELECT id, body FROM {_TABLES[kind]} WHERE id > ? AND id < ? ORDER BY id LIMIT {PAGE}"
    decoder = msgspec.json.Decoder(kind)
    while page := db.execute(query, (last, end)).fetchall():
        yield from (decoder.decode(row[1]) for row in page)
        last = page[-1][0]


def open_before(db: sqlite3.Connection, until_ns: int) -> Iterator[Case]:
    """The cases made before an instant that are open still."""
    last, end = "", make_id(until_ns, "0", 0)
    query = f"SELECT id, body FROM cases WHERE open = 1 AND id > ? AND id < ? ORDER BY id LIMIT {PAGE}"
    while page := db.execute(query, (last, end)).fetchall():
        yield from (msgspec.json.decode(row[1], type=Case) for row in page)
        last = page[-1][0]


def lines_of(db: sqlite3.Connection, case: str, until_ns: int) -> list[Entry]:
    """The whole history of a case up to an instant, in the order in which it was written."""
    query = """SELECT case_id, wall_ns, what, person, channel, note FROM entry
               WHERE case_id = ? AND wall_ns <= ? ORDER BY seq"""
    return [
        Entry(case=name, wall_ns=wall_ns, what=what, person=person, channel=channel, note=note)
        for name, wall_ns, what, person, channel, note in db.execute(query, (case, until_ns))
    ]


def lines_after(db: sqlite3.Connection, seq: int, most: int) -> list[Line]:
    """The next lines of all cases, in the order in which they were committed."""
    return _lines(db, "seq > ? ORDER BY seq LIMIT ?", seq, most)


def numbered_lines_of(db: sqlite3.Connection, case: str) -> list[Line]:
    """The whole history of a case."""
    return _lines(db, "case_id = ? ORDER BY seq", case)


def _lines(db: sqlite3.Connection, which: str, *values: object) -> list[Line]:
    query = f"SELECT seq, case_id, wall_ns, what, person, channel, note FROM entry WHERE {which}"
    return [
        Line(seq, Entry(case=case, wall_ns=wall_ns, what=what, person=person, channel=channel, note=note))
        for seq, case, wall_ns, what, person, channel, note in db.execute(query, values)
    ]


def case_of(db: sqlite3.Connection, case: str) -> Case | None:
    row = db.execute("SELECT body FROM cases WHERE id = ?", (case,)).fetchone()
    return msgspec.json.decode(row[0], type=Case) if row else None


def tellings(db: sqlite3.Connection, since_ns: int, until_ns: int) -> Iterator[tuple[str, int]]:
    """(person, instant) of every alert told to somebody, oldest first; two channels are one telling."""
    now_ns, said = -1, set[tuple[str, str]]()
    for one in made_between(db, Notification, since_ns, until_ns):
        if one.state is NotificationState.CANCELLED or one.drill or not one.alert:
            continue  # nobody got it, or it was no alert: a drill, a week's digest
        if one.created_ns != now_ns:
            now_ns, said = one.created_ns, set()
        if (one.person, one.alert) not in said:
            said.add((one.person, one.alert))
            yield one.person, one.created_ns


def standing_before(db: sqlite3.Connection, raised_ns: int) -> list[Alert]:
    """The alerts that stand and were raised before an instant, the oldest first."""
    query = f"SELECT body FROM alert WHERE {STANDING} AND raised_ns < ? ORDER BY raised_ns LIMIT ?"
    rows = db.execute(query, (raised_ns, STANDING_MOST))
    return [msgspec.json.decode(row[0], type=Alert) for row in rows]
