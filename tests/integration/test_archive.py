"""The archive: exactly once through every crash, readable at every moment, small and bounded in the end."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway import telemetry
from gateway.adapters import archive
from gateway.adapters.archive import ArchiveSink, Saved, compact, query
from gateway.adapters.clock import Clock
from gateway.adapters.store import Logged
from gateway.config import ArchiveConfig
from gateway.core.backoff import TransientError
from gateway.core.decoding import Decoder
from gateway.core.lines import Batch, Formatter
from gateway.core.model import SECOND, Message, Messages
from gateway.web.history import recent_history
from tests.servers import sample
from tests.waiting import until

ZONE = "Asia/Shanghai"
TODAY = date(2026, 11, 22)  # sample.START_NS in Shanghai
DAY_S = 86_400
WORLD = sample.world(10)


class SetClock(Clock):
    """Time as a value."""

    def __init__(self):
        super().__init__()
        self.now = 0

    def at(self):
        return self.now

    def wall_ns(self):
        return sample.START_NS + self.now


class Crash(BaseException):
    """The power goes here: nothing of ours catches it."""


@pytest.fixture(autouse=True)
def journal():
    """What is logged is captured: a line held back here must not appear in another test."""
    with telemetry.testing() as said:
        yield said


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def sink_of(tmp_path, clock):
    """Makes sinks on one directory: a further one is the daemon after a restart."""
    sinks = []

    def make(**options):
        config = ArchiveConfig(directory=tmp_path / "archive", **options.pop("keep", {}))
        sinks.append(ArchiveSink(config, ZONE, clock, **options))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def batch(messages, first=0, world=WORLD):
    logged = Logged(first, Messages(0, sample.START_NS + first, list(messages)), [], [])
    return Batch((Formatter(world, Decoder(world).decode).format(logged),))


def batches(count, size=10):
    """`count` batches of `size` messages, no two samples alike."""
    return [batch(sample.samples(size, first=n * size), n * size) for n in range(count)]


def found(directory, **wanted):
    """(device, instant) of each tilt reading that a query gives, with its value; fails on doubles."""
    rows = query(directory, quantity="tilt_y_deg", **wanted)
    readings = {(row.device, row.measured_ns): row.value for row in rows}
    assert len(readings) == len(rows)
    return readings


def expected(count):
    step = SECOND
    return {(f"d{n % 10}", sample.START_NS + n // 10 * step): n // 10 / 10 for n in range(count)}


def names(directory, pattern):
    return sorted(path.name for path in directory.glob(pattern))


# ---------------------------------------------------------------- writing


def test_every_value_is_found_as_it_was_said(sink_of):
    sink = sink_of()
    sink.take(b"", batch([sample.message(3, 7), sample.cabinet(1, slots=2)], first=40))
    rows = query(sink.directory)
    assert len(rows) == 8 + 1 + 4
    (tilt,) = query(sink.directory, device="d3", quantity="tilt_y_deg")
    assert tilt == archive.Row(
        40, sample.START_NS + 40, sample.START_NS + 7 * SECOND, "d3", "", "structure", "tilt-8", "good",
        "tilt_y_deg", 0.7,
    )  # fmt: skip
    assert {row.component for row in rows if row.device == "c1"} == {"", "slot-1", "slot-2"}
    assert not query(sink.directory, until_ns=sample.START_NS)
    assert len(query(sink.directory, since_ns=sample.START_NS + 7 * SECOND)) == 8


def test_odd_names_come_back_as_they_are(sink_of):
    odd = ["a\tb", "ends;", "a=b,c", "100%", "a+b", "塘桥\\", "'quoted'", '"', "%41"]
    world = sample.world(odd)
    sink = sink_of()
    state = sink.take(b"", batch([sample.message(n, 1) for n in range(len(odd))], world=world)).state
    assert {row.device for row in query(sink.directory)} == set(odd)
    sink._close_segment(archive._saved(state))
    compact(sink.directory, ZONE, TODAY)
    assert {row.device for row in query(sink.directory)} == set(odd)
    assert len(query(sink.directory, device="'quoted'")) == 8


def test_a_crash_between_writing_and_the_cursor_writes_nothing_twice(sink_of):
    """The rows are durable, the cursor is not: after the restart the same batch comes again."""
    one, two = batches(2)
    state = sink_of().take(b"", one).state
    sink_of().take(state, two)  # its state is never saved
    sink = sink_of()
    state = sink.take(state, two).state
    (segment,) = sink.directory.glob("open-*.tsv")
    assert segment.read_bytes() == one.rows() + two.rows()
    assert archive._saved(state).length == segment.stat().st_size


def test_without_the_cut_the_doubles_would_be_seen(sink_of, monkeypatch):
    """Canary for the test above."""
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    monkeypatch.setattr(
        archive, "_write", lambda file, data, offset: os.pwrite(file, data, os.fstat(file).st_size)
    )
    one, two = batches(2)
    state = sink_of().take(b"", one).state
    sink_of().take(state, two)
    sink_of().take(state, two)
    (segment,) = sink_of().directory.glob("open-*.tsv")
    assert segment.read_bytes() != one.rows() + two.rows()


def test_a_longer_tail_than_what_comes_next_is_cut_too(sink_of):
    """After the crash the batches may be cut elsewhere: not all of the tail is written over."""
    one, two, three = batches(3)
    state = sink_of().take(b"", one).state
    sink_of().take(state, Batch((*two.parts, *three.parts)))
    sink_of().take(state, two)
    (segment,) = sink_of().directory.glob("open-*.tsv")
    assert segment.read_bytes() == one.rows() + two.rows()


@pytest.mark.parametrize("torn", [1, 7, 60, 90, 100, 110, 120])
def test_a_torn_tail_is_cut(sink_of, torn):
    one, two = batches(2)
    state = sink_of().take(b"", one).state
    (segment,) = sink_of().directory.glob("open-*.tsv")
    with segment.open("ab") as file:
        file.write(two.rows()[:torn])
    assert len(query(segment.parent)) == 80, "a query does not see it either"
    sink_of().take(state, two)
    assert segment.read_bytes() == one.rows() + two.rows()


def test_a_segment_that_lost_bytes_is_reported_and_goes_on(sink_of):
    one, two, three = batches(3)
    sink = sink_of()
    state = sink.take(sink.take(b"", one).state, two).state
    (segment,) = sink.directory.glob("open-*.tsv")
    os.truncate(segment, len(one.rows()) + 5)
    with telemetry.testing() as said:
        sink_of().take(state, three)
    assert [(each.event, each.fields["count"]) for each in said] == [("archive_damaged", len(two.rows()) - 5)]
    assert segment.read_bytes() == one.rows() + three.rows()


@pytest.mark.parametrize("fails", ["pwrite", "fdatasync"])
def test_a_full_disk_keeps_the_batch(sink_of, monkeypatch, fails):
    sink = sink_of()
    one, two = batches(2)
    state = sink.take(b"", one).state

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, fails, full)
        with pytest.raises(TransientError) as raised:
            sink.take(state, two)
    assert "No space left" in raised.value.reason and "room" in raised.value.hint
    sink.take(state, two)
    assert found(sink.directory) == expected(20)


def test_half_a_write_is_finished(sink_of, monkeypatch):
    """A disk that fills takes a part and says so only at the next call."""
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: whole(file, bytes(data)[:100], offset))
    sink = sink_of()
    sink.take(b"", batches(1)[0])
    assert found(sink.directory) == expected(10)


def test_a_batch_without_readings_makes_no_file(sink_of):
    sink = sink_of()
    assert sink.take(b"", batch([Message("site/stranger", b"{}")])).state == b""
    assert not list(sink.directory.iterdir())


def test_an_open_segment_of_another_life_is_kept(sink_of, tmp_path):
    """The store was lost, the archive was not: positions begin at 0 again."""
    one, two = batches(2)
    sink_of().take(b"", one)
    sink_of().take(b"", two)  # no cursor: a new store
    directory = tmp_path / "archive"
    assert len(names(directory, "closed-*")) == 1 and len(names(directory, "open-*")) == 1
    assert found(directory) == expected(20)


# ---------------------------------------------------------------- closing and compacting


def test_a_segment_closes_when_it_is_old_or_large(sink_of, clock):
    sink = sink_of(segment_bytes=3_000, segment_s=600)
    state = b""
    for each in batches(3):  # about 2 kB each
        state = sink.take(state, each).state
    assert len(names(sink.directory, "closed-*")) == 1
    clock.now += 600 * SECOND
    sink.tend(state)
    assert not names(sink.directory, "open-*")
    until(lambda: (sink.tend(state), not names(sink.directory, "closed-*"))[1], 30, "the child compacts")
    assert found(sink.directory) == expected(30)
    state = sink.take(state, batches(4)[3]).state
    assert found(sink.directory) == expected(40)
    assert archive._saved(state).length == len(batches(4)[3].rows())


def test_the_child_says_what_it_did(sink_of, clock):
    sink = sink_of()
    state = sink.take(b"", batches(1)[0]).state
    (sink.directory / "closed-0000000000000099-1.tsv").write_bytes(b"not\ta\trow;\n")
    clock.now += 601 * SECOND
    with telemetry.testing() as said:
        until(lambda: (sink.tend(state), said)[1], 30)
    assert [each.event for each in said] == ["archive_compaction_failed", "archive_compacted"]
    assert "closed-0000000000000099-1.tsv" in said[0].fields["error"]
    assert names(sink.directory, "closed-*") == ["closed-0000000000000099-1.tsv"], "the damaged one is kept"


def closed(directory, count=30, step_ms=1000, name="0000000000000000-1"):
    """A closed segment of `count` tilt readings, `step_ms` apart for each device."""
    directory.mkdir(exist_ok=True)
    messages = [sample.message(n % 10, n // 10, step_ms=step_ms) for n in range(count)]
    path = directory / f"closed-{name}.tsv"
    path.write_bytes(batch(messages).rows())
    return path


def test_a_day_is_the_sites_day(tmp_path):
    closed(tmp_path, count=100, step_ms=3_600_000)  # ten hours from 02:00 in Shanghai
    first_ns = sample.START_NS
    local = {(sample.START_NS // SECOND + n * 3600 + 8 * 3600) // DAY_S for n in range(10)}
    compact(tmp_path, ZONE, TODAY)
    days = [date.fromisoformat(name) for name in names(tmp_path, "2026-*")]
    assert days == sorted(date(1970, 1, 1) + timedelta(days=day) for day in local)
    assert len(found(tmp_path)) == 100
    assert (
        len(found(tmp_path, since_ns=first_ns + 3_600 * SECOND, until_ns=first_ns + 2 * 3_600 * SECOND)) == 10
    )


def test_the_charts_still_see_what_has_just_been_compacted(tmp_path):
    closed(tmp_path)
    wanted = ("d3", "", "tilt_y_deg", 0, archive.NS_MAX)
    before = recent_history(tmp_path)(*wanted)
    compact(tmp_path, ZONE, TODAY)
    assert len(before) == 3 and recent_history(tmp_path)(*wanted) == before
    assert len(found(tmp_path)) == 30, "and no query counts it twice"


def test_of_what_was_compacted_only_a_little_stays_as_text(tmp_path, monkeypatch):
    for n in range(archive.RECENT_MOST + 3):
        closed(tmp_path, name=f"{n:016d}-1")
    compact(tmp_path, ZONE, TODAY)
    kept = names(tmp_path, "recent-*")
    assert kept == [f"recent-{n + 3:016d}-1.tsv" for n in range(archive.RECENT_MOST)], "the newest"
    monkeypatch.setattr(archive, "RECENT_BYTES_MOST", 2 * (tmp_path / kept[0]).stat().st_size)
    compact(tmp_path, ZONE, TODAY)
    assert names(tmp_path, "recent-*") == kept[-2:]


def test_compacting_twice_changes_nothing(tmp_path):
    segment = closed(tmp_path)
    rows = segment.read_bytes()
    compact(tmp_path, ZONE, TODAY)
    once = {path: path.stat().st_size for path in tmp_path.rglob("*.parquet")}
    segment.write_bytes(rows)  # as if the power had gone before it was deleted
    assert found(tmp_path) == expected(30), "both are there, each value once"
    compact(tmp_path, ZONE, TODAY)
    assert {path: path.stat().st_size for path in tmp_path.rglob("*.parquet")} == once
    assert found(tmp_path) == expected(30)


STEPS = ["mkdir", "rename", "fsync", "unlink"]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("nth", range(1, 7))
def test_killed_at_any_step_nothing_is_lost_or_doubled(tmp_path, monkeypatch, name, nth):
    """The power goes before the n-th call of each kind; the next run finishes."""
    segment = closed(tmp_path, count=60, step_ms=6 * 3_600_000)  # two days, each a file
    wanted = {(f"d{n % 10}", sample.START_NS + n // 10 * 21_600 * SECOND): n // 10 / 10 for n in range(60)}
    calls = 0

    def crashing(genuine):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == nth:
                raise Crash
            return genuine(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        target = os if name in ("rename", "fsync") else Path
        patch.setattr(target, name, crashing(getattr(target, name)))
        _compact_until_crash(tmp_path)
    assert found(tmp_path) == wanted, "in the middle of it"
    done = compact(tmp_path, ZONE, TODAY)
    assert not done.errors and not segment.exists()
    assert found(tmp_path) == wanted
    assert not list(tmp_path.rglob("*.tmp"))


def _compact_until_crash(directory):
    with suppress(Crash):
        compact(directory, ZONE, TODAY)


@pytest.mark.slow
def test_a_killed_child_changes_nothing(tmp_path):
    closed(tmp_path, count=5_000)
    for n in range(1, 6):
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway.adapters.archive", "compact", str(tmp_path), "--timezone", ZONE,
             "--today", TODAY.isoformat(), "--keep-days", "400", "--keep-bytes", "1000000000"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.05 * n)  # somewhere in it
        child.kill()
        child.wait()
    compact(tmp_path, ZONE, TODAY)
    assert len(found(tmp_path)) == 5_000


def test_small_files_of_a_day_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MERGE_AT", 3)
    for n in range(3):
        messages = [sample.message(d, n) for d in range(10)]
        tmp_path.joinpath(f"closed-{n * 10:016d}-1.tsv").write_bytes(batch(messages, n * 10).rows())
    assert compact(tmp_path, ZONE, TODAY).merged == 3
    assert names(tmp_path, "*/*.parquet") == ["0000000000000020-1-merged.parquet"]
    assert found(tmp_path) == expected(30)


def test_a_crash_in_merging_leaves_doubles_that_no_query_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MERGE_AT", 3)
    for n in range(3):
        messages = [sample.message(d, n) for d in range(10)]
        tmp_path.joinpath(f"closed-{n * 10:016d}-1.tsv").write_bytes(batch(messages, n * 10).rows())

    def crash(path, *_, **__):
        if path.suffix == ".parquet":
            raise Crash
        genuine(path)

    genuine = Path.unlink
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(Crash):
            compact(tmp_path, ZONE, TODAY)
    assert len(names(tmp_path, "*/*.parquet")) == 4
    assert found(tmp_path) == expected(30)
    compact(tmp_path, ZONE, TODAY)
    assert len(names(tmp_path, "*/*.parquet")) == 1
    assert found(tmp_path) == expected(30)


def test_merging_never_writes_over_a_file_it_does_not_read(tmp_path, monkeypatch):
    """A large merged file whose last part was not deleted yet, when the power went."""
    monkeypatch.setattr(archive, "MERGE_AT", 3)
    for n in range(3):
        messages = [sample.message(d, n) for d in range(10)]
        tmp_path.joinpath(f"closed-{n * 10:016d}-1.tsv").write_bytes(batch(messages, n * 10).rows())
    compact(tmp_path, ZONE, TODAY)
    (merged,) = tmp_path.rglob("*-merged.parquet")
    monkeypatch.setattr(archive, "MERGE_BYTES_MOST", merged.stat().st_size)  # from here on it counts as large
    for n, name in ((3, 18), (4, 19), (2, 20)):
        messages = [sample.message(d, n) for d in range(10)]
        tmp_path.joinpath(f"closed-{name:016d}-1.tsv").write_bytes(batch(messages, n * 10).rows())
    compact(tmp_path, ZONE, TODAY)
    assert found(tmp_path) == expected(50)


def test_the_newest_of_two_rows_for_one_instant_counts(tmp_path):
    """As InfluxDB does when a point is written again."""
    for first, value in ((0, 1.0), (50, 2.0)):
        rows = batch([sample.message(0, 1, value)], first).rows()
        tmp_path.joinpath(f"closed-{first:016d}-1.tsv").write_bytes(rows)
    (row,) = query(tmp_path, quantity="tilt_x_deg")
    assert (row.value, row.position) == (2.0, 50)


# ---------------------------------------------------------------- retention


def days_of(directory, count):
    """An archive of `count` days, one reading each."""
    for n in range(count):
        rows = batch([sample.message(0, n, step_ms=DAY_S * 1000)], n).rows()
        directory.joinpath(f"closed-{n:016d}-1.tsv").write_bytes(rows)
    compact(directory, ZONE, TODAY)
    return [TODAY + timedelta(days=n) for n in range(count)]


def test_days_older_than_keep_days_go_a_few_a_run(tmp_path):
    days = days_of(tmp_path, 8)
    today = days[-1]
    done = compact(tmp_path, ZONE, today, keep_days=2)
    assert len(done.trimmed) == archive.TRIM_DAYS_MOST
    assert done.trimmed[0].startswith(f"{days[0]} keep_days")
    compact(tmp_path, ZONE, today, keep_days=2)
    assert names(tmp_path, "2026-*") == [day.isoformat() for day in days[-3:]]


def test_the_oldest_days_go_when_all_is_too_large(tmp_path):
    days = days_of(tmp_path, 4)
    sizes = [path.stat().st_size for path in sorted(tmp_path.rglob("*.parquet"))]
    done = compact(tmp_path, ZONE, days[-1], keep_bytes=sum(sizes[2:]))
    assert [line.split()[:2] for line in done.trimmed] == [[str(day), "keep_bytes"] for day in days[:2]]
    assert len(found(tmp_path)) == 2


def test_a_clock_that_runs_away_does_not_take_the_archive_with_it(tmp_path):
    days_of(tmp_path, 8)
    compact(tmp_path, ZONE, date(2126, 1, 1), keep_days=400)
    assert len(names(tmp_path, "2026-*")) == 8 - archive.TRIM_DAYS_MOST


def test_an_empty_archive_is_an_empty_answer(tmp_path):
    assert query(tmp_path) == []
    (tmp_path / "open-0000000000000000-1.tsv").touch()
    assert query(tmp_path, device="d0") == []
    assert compact(tmp_path, ZONE, TODAY).errors == []


def test_the_daemon_never_loads_duckdb():
    """90 MB that only a child may have."""
    program = "import sys, gateway.forwarder, gateway.adapters.archive, gateway.adapters.influx; "
    program += "print([name for name in ('duckdb', 'influxdb_client', 'urllib3') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_cursor_of_the_archive_is_small():
    assert len(archive.msgspec.msgpack.encode(Saved("0" * 36, 10**9))) < 60
