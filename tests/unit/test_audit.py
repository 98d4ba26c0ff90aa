"""The hash chain of the history: whatever is done to a row afterwards is seen, and where."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.adapters import audit
from gateway.adapters.store import Record, Store, open_reader
from gateway.core.model import Entry, Tick

STORES = Path(__file__).parent / "stores"


def entry(number, case="c-1"):
    return Entry(case=case, wall_ns=1000 + number, what="note", person="wang", note=f"第 {number} 条")


@pytest.fixture
def folder(tmp_path):
    """A closed store of ten rows, three a transaction."""
    store = Store(tmp_path)
    for first in range(1, 11, 3):
        rows = [entry(number) for number in range(first, min(first + 3, 11))]
        store.commit([Record(Tick(first, first), rows)])
    store.close()
    return tmp_path


def verdict(folder, known=""):
    reader = open_reader(folder / "lilong.db")
    try:
        return audit.verify(reader, known)
    finally:
        reader.close()


def tamper(folder, *commands):
    with sqlite3.connect(folder / "lilong.db") as db:
        for command in commands:
            db.execute(command)
    db.close()


def test_what_nobody_touched_is_whole(folder):
    found = verdict(folder)
    assert (found.rows, found.broken, found.knows) == (10, None, True) and len(found.head) == 64


@pytest.mark.parametrize("column", ["case_id", "wall_ns", "what", "person", "channel", "note"])
def test_an_edited_row_is_named(folder, column):
    tamper(folder, f"UPDATE entry SET {column} = 77 WHERE seq = 4")
    found = verdict(folder).broken
    assert (found.seq, found.how) == (4, "edited")


@pytest.mark.parametrize("seq", [1, 5, 10])
def test_a_removed_row_is_named_the_last_one_too(folder, seq):
    tamper(folder, f"DELETE FROM entry WHERE seq = {seq}")
    found = verdict(folder).broken
    assert (found.seq, found.how) == (seq, "missing")


def test_all_rows_removed(folder):
    tamper(folder, "DELETE FROM entry")
    assert verdict(folder).broken == audit.Break(1, "missing")


def test_a_row_that_was_put_in_is_named(folder):
    tamper(folder, "INSERT INTO entry VALUES (11, 'c-1', 5, 'closed', 'li', '', '', NULL)")
    found = verdict(folder).broken
    assert (found.seq, found.how) == (11, "stranger")


def test_renumbering_hides_nothing(folder):
    tamper(folder, "DELETE FROM entry WHERE seq = 5", "UPDATE entry SET seq = seq - 1 WHERE seq > 5")
    assert verdict(folder).broken.seq == 5


def test_an_edit_with_its_hash_made_anew_breaks_the_next(folder):
    before = _hash(folder, 3)
    row = (4, "c-1", 1004, "note", "wang", "", "别的话")
    with sqlite3.connect(folder / "lilong.db") as db:
        made = audit.linked(before, row)
        db.execute("UPDATE entry SET note = ?, hash = ? WHERE seq = 4", ("别的话", made))
    db.close()
    assert verdict(folder).broken.seq == 5


def _hash(folder, seq):
    with sqlite3.connect(folder / "lilong.db") as db:
        (found,) = db.execute("SELECT hash FROM entry WHERE seq = ?", (seq,)).fetchone()
    db.close()
    return found


def test_a_chain_that_was_made_anew_is_not_the_one_somebody_noted(folder):
    noted = verdict(folder).head[:12]
    assert verdict(folder, noted).knows
    store = Store(folder)
    store.commit([Record(Tick(20, 20), [entry(11)])])
    store.close()
    assert verdict(folder, noted).knows, "it has only grown"
    tamper(
        folder, "UPDATE entry SET note = 'x' WHERE seq = 2", "ALTER TABLE entry DROP COLUMN hash",
        "DELETE FROM meta WHERE key = 'audit'",
    )  # fmt: skip
    Store(folder).close()
    assert verdict(folder).broken is None and not verdict(folder, noted).knows


def test_it_goes_on_after_a_restart_and_after_a_commit_that_failed(folder):
    store = Store(folder)
    with pytest.raises(OverflowError):
        bad = Entry(case="c", wall_ns=2**70, what="found")
        store.commit([Record(Tick(20, 20), [entry(11), bad])])
    store.commit([Record(Tick(21, 21), [entry(11)])])
    store.reopen()
    store.commit([Record(Tick(22, 22), [entry(12)])])
    store.close()
    assert (verdict(folder).rows, verdict(folder).broken) == (12, None)


def test_a_tail_cut_off_before_a_restart_stays_seen(folder):
    tamper(folder, "DELETE FROM entry WHERE seq >= 9")
    store = Store(folder)
    store.commit([Record(Tick(20, 20), [entry(11)])])
    store.close()
    assert verdict(folder).broken == audit.Break(9, "missing")


def test_an_older_store_is_chained_when_it_is_opened(tmp_path):
    with sqlite3.connect(tmp_path / "lilong.db") as db:
        db.executescript((STORES / "7ddeede.sql").read_text())
        (rows,) = db.execute("SELECT count(*) FROM entry").fetchone()
    db.close()
    store = Store(tmp_path)
    store.commit([Record(Tick(10**19 // 10, 1), [entry(1)])])
    store.close()
    assert (verdict(tmp_path).rows, verdict(tmp_path).broken) == (rows + 1, None)
    tamper(tmp_path, "UPDATE entry SET person = 'li' WHERE seq = 3")
    assert verdict(tmp_path).broken.seq == 3
