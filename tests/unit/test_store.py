"""The store: what is committed together is read together, survives a restart, and damage is named."""

import sqlite3

import pytest

from gateway.adapters.history import STANDING
from gateway.adapters.store import Checkpoint, Record, Store, StoreBusy, StoreDamaged
from gateway.core.model import (
    Entry,
    Marked,
    Message,
    Messages,
    Quality,
    QuarantineRow,
    Refusal,
    Refused,
    Tick,
)


def burst(at, *payloads):
    return Messages(at, at, [Message("t/1", payload) for payload in payloads])


def test_log_is_read_back_from_any_position(tmp_path):
    store = Store(tmp_path)
    store.commit([Record(burst(1, b"a", b"b"), []), Record(Tick(2, 2), [])])
    assert store.commit([Record(burst(3, b"c"), [Marked(0, "*", Quality.LATE)])]) == 3
    assert [logged.first for logged in store.read_log(0, 100)] == [0, 2, 3]
    assert store.read_log(1, 100)[0].event.items[1].payload == b"b", "a position inside a row finds its row"
    assert store.read_log(3, 100)[0].marks == [Marked(0, "*", Quality.LATE)]
    assert store.read_log(4, 100) == [] and store.position() == 4


def test_position_and_contents_survive_a_restart(tmp_path):
    store = Store(tmp_path)
    store.commit([Record(burst(1, b"a"), [])], Checkpoint(1, 10, 11, b"state"))
    identity = store.identity
    store.close()
    store = Store(tmp_path)
    assert store.position() == 1 and store.identity == identity
    assert store.load_checkpoint() == Checkpoint(1, 10, 11, b"state")
    assert store.last_instant() == (10, 11)


def test_an_identity_that_looks_like_a_number_stays_a_text(tmp_path, monkeypatch):
    """A column with numeric affinity would turn 12e45678 into infinity: no id could ever be made."""
    monkeypatch.setattr("gateway.adapters.store.secrets.token_hex", lambda _: "12e45678")
    assert Store(tmp_path).identity == "12e45678"


def test_a_failed_commit_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    bad = Entry(case="c", wall_ns=2**70, what="found")  # beyond what SQLite can hold
    with pytest.raises(OverflowError):
        store.commit([Record(burst(1, b"a"), [bad])])
    assert store.position() == 0 and store.read_log(0, 10) == []
    assert store.commit([Record(Tick(1, 1), [])]) == 0


def test_second_instance_refuses_and_harms_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(StoreBusy, match="in use by another lilong"):
        Store(tmp_path)
    store.commit([Record(Tick(1, 1), [])])
    assert store.position() == 1


def test_a_flipped_bit_in_the_log_is_named(tmp_path):
    store = Store(tmp_path)
    store.commit([Record(burst(1, b"abc", b"def"), [])])
    store.close()
    db = sqlite3.connect(tmp_path / "lilong.db")
    body = bytearray(db.execute("SELECT body FROM log").fetchone()[0])
    body[-5] ^= 1
    db.execute("UPDATE log SET body = ?", (bytes(body),))
    db.commit()
    db.close()
    with pytest.raises(StoreDamaged, match=r"positions 0\.\.1"):
        Store(tmp_path).read_log(0, 10)


def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path):
    store = Store(tmp_path)
    for number in (1, 2, 3):
        store.commit([Record(Tick(number, number), [])], Checkpoint(number, 0, 0, b"state-%d" % number))
    with store._transaction() as db:
        db.execute("UPDATE checkpoint SET body = x'00' WHERE position = 3")
    assert store.load_checkpoint().body == b"state-2"


def test_refused_messages_and_cursor_rows_wait_in_quarantine(tmp_path):
    store = Store(tmp_path)
    store.commit([Record(burst(7, b"good", b"bad"), [Refused(1, Refusal.SYNTAX, "d-1", "", "no JSON")])])
    store.save_cursor("influx", b"at-2", [QuarantineRow(0, "database", "d-1", "t/1", b"good", "", "type", 7)])
    rows = store.reader().execute("SELECT position, code, payload, wall_ns FROM quarantine").fetchall()
    assert [tuple(row) for row in rows] == [(1, "syntax", b"bad", 8), (0, "database", b"good", 7)]
    assert store.load_cursor("influx") == b"at-2" and store.load_cursor("archive") is None


def test_trim_keeps_what_a_reader_has_not_passed(tmp_path):
    store = Store(tmp_path)
    store.commit([Record(burst(1, b"a", b"b"), []), Record(burst(2, b"c", b"d"), [])])
    assert store.trim(3) == 1
    assert [logged.first for logged in store.read_log(0, 10)] == [2]


def test_quarantine_keeps_the_newest_rows_and_no_more_bytes_than_told(tmp_path):
    store = Store(tmp_path)
    items = [b"x" * size for size in (9, 1, 1, 5, 1)]
    store.commit([Record(burst(1, *items), [Refused(i, Refusal.SYNTAX, "d", "", "") for i in range(5)])])
    assert store.cap_quarantine(rows=10, size=100) == 0
    assert store.cap_quarantine(rows=4, size=100) == 1
    assert store.cap_quarantine(rows=4, size=7) == 1
    kept = store.reader().execute("SELECT length(payload) FROM quarantine ORDER BY id").fetchall()
    assert [tuple(row) for row in kept] == [(1,), (5,), (1,)]


def test_a_cut_off_log_is_noticed_at_the_next_start(tmp_path):
    """One flipped bit silently truncates a write-ahead log; integrity_check then says ok."""
    store = Store(tmp_path)
    store.commit([Record(burst(1, b"a", b"b", b"c"), [])])
    store.mark_high_water()
    store.close()
    db = sqlite3.connect(tmp_path / "lilong.db")
    db.execute("DELETE FROM log")
    db.commit()
    db.close()
    assert Store(tmp_path).lost() == range(0, 3)


def test_nothing_is_lost_when_all_is_well_or_the_store_is_new(tmp_path):
    store = Store(tmp_path / "old")
    store.commit([Record(burst(1, b"a"), [])])
    store.mark_high_water()
    assert not store.lost()
    store.commit([Record(burst(2, b"b"), [])])
    assert not store.lost(), "the mark may lag"
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "high-water").write_text((tmp_path / "old" / "high-water").read_text())
    assert not Store(tmp_path / "new").lost(), "another store's mark says nothing"


def test_reopened_after_an_error_it_goes_on_where_the_disk_is(tmp_path):
    store = Store(tmp_path)
    store.commit([Record(burst(1, b"a"), [])])
    store._position = 7  # believed, but never on the disk
    store.reopen()
    assert store.position() == 1 and store.commit([Record(Tick(2, 2), [])]) == 1


def test_what_stands_is_found_without_a_look_at_all_that_ever_did(tmp_path):
    """The watchdog asks every minute, a console every few seconds; a store keeps years of alerts."""
    store = Store(tmp_path)
    db = store.reader()
    for query in (
        f"SELECT body FROM alert WHERE {STANDING} ORDER BY level DESC, raised_ns",
        f"SELECT case_id FROM alert WHERE {STANDING} AND state = 'firing'",
        "SELECT body FROM alert WHERE case_id = 'x' ORDER BY id",
    ):
        (first, *_) = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert "USING" in first and "INDEX alert_" in first, first
    store.close()
