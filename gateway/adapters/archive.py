"""Every reading on the box: an open segment of text rows, and daily Parquet files made of closed ones.

The daemon only appends text and fsyncs. A segment that is full or old is closed, and a short-lived child
process (`python -m gateway.adapters.archive compact`) turns closed segments into Parquet with DuckDB, whose
memory is thereby never ours. Queries read the three of them, so nothing is invisible at any moment:

    open-<position>-<ns>.tsv      the one being written: from which log position on, and begun when
    closed-<position>-<ns>.tsv    waits for the child
    recent-<position>-<ns>.tsv    is in the daily file already; a few are kept for the pages' charts
    2026-11-21/<position>-<ns>.parquet   that segment's readings measured on that day (site time)

Exactly once: the sink's cursor holds the open segment's durable length, and whatever lies beyond it is cut
before anything is appended. A file of a day is named by its segment, so compacting again makes the same
files. A row that came twice all the same (a crash between two steps) is dropped by every query.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from gateway import telemetry
from gateway.adapters.clock import Clock
from gateway.core.backoff import TransientError
from gateway.core.lines import ROW_END, Batch, Taken
from gateway.core.model import SECOND

if TYPE_CHECKING:
    from gateway.config import ArchiveConfig

SEGMENT_BYTES_MOST = 64 * 2**20  # about 300,000 readings: a few seconds of DuckDB's work
SEGMENT_S_MOST = 600.0  # what a backtest must read as text is never more than this
RECENT_MOST, RECENT_BYTES_MOST = 6, 64 * 2**20  # compacted segments that stay as text: an hour, on most boxes
MERGE_AT = 24  # small files of a day before they become one (a day has 144 segments)
MERGE_BYTES_MOST = 32 * 2**20  # a larger file is not small any more
TRIM_DAYS_MOST = 3  # days a run may drop: a wrong clock is noticed before the archive is gone
DUCKDB_MEMORY = "256MB"
ROW_BYTES_MOST = 2**20
NS_MAX = 2**63 - 1


class Row(NamedTuple):
    """One value of one reading."""

    position: int
    received_ns: int
    measured_ns: int
    device: str
    component: str
    scene: str
    model: str
    quality: str
    quantity: str
    value: float


class Count(NamedTuple):
    """Readings of one device and one quality."""

    device: str
    quality: str
    readings: int
    last_ns: int  # the newest instant among them


class Daily(NamedTuple):
    """The median of one UTC day, counted from 1970."""

    device: str
    component: str
    day: int
    value: float


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """What the cursor remembers: the open segment ("" for none) and how many bytes of it count."""

    segment: str = ""
    length: int = 0


# ---------------------------------------------------------------- writing (the daemon)


class ArchiveSink:
    """Appends every batch to the open segment. `directory` is absolute or relative to where we run."""

    name = "archive"
    news_first = False  # rows lie in the order of the log

    def __init__(
        self,
        config: ArchiveConfig,
        timezone: str,
        clock: Clock,
        *,
        flush_s: float = 1.0,  # a query is a second behind at most; more fsyncs would wear out an SD card
        segment_bytes: int = SEGMENT_BYTES_MOST,
        segment_s: float = SEGMENT_S_MOST,
    ) -> None:
        self.flush_s, self.directory = flush_s, config.directory
        self._config, self._timezone, self._clock = config, timezone, clock
        self._bytes_most, self._span = segment_bytes, int(segment_s * SECOND)
        self._file, self._segment, self._opened_at = -1, "", 0
        self._child: subprocess.Popen[bytes] | None = None
        self._tried_at: int | None = None  # when the last child was started
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self, state: bytes, batch: Batch) -> Taken:
        """Durable on return. Raises TransientError when the disk does not take it."""
        rows = batch.rows()
        if not rows:
            return Taken(state)
        try:
            saved = self._opened(_saved(state), batch)
            _write(self._file, rows, saved.length)
            os.fdatasync(self._file)
        except OSError as error:
            self._forget()
            raise TransientError(
                f"{error.strerror or error}", hint=_disk_hint(error, self.directory)
            ) from None
        return Taken(msgspec.msgpack.encode(Saved(saved.segment, saved.length + len(rows))))

    def tend(self, state: bytes) -> None:
        """Close the segment when its time has come, and see after the child."""
        saved = _saved(state)
        if saved.segment and saved.segment == self._segment and self._is_due(saved):
            self._close_segment(saved)
        self._reap()
        if self._child is None and self._may_compact():
            self._compact()

    def close(self) -> None:
        self._forget()
        if self._child and self._child.poll() is None:
            self._child.terminate()  # killed anywhere, it changes nothing
            self._child.wait()

    # ------------------------------------------------------------ the open segment

    def _opened(self, saved: Saved, batch: Batch) -> Saved:
        """The segment to append to, cut to what the cursor vouches for."""
        if saved.segment and saved.segment == self._segment and self._is_due(saved):
            self._close_segment(saved)
        if saved.segment != self._segment or self._file < 0:
            self._forget()
            if not saved.segment or not self._path("open", saved.segment).exists():
                saved = Saved(f"{batch.first:016d}-{self._clock.wall_ns()}")
            self._open(saved)
        size = os.fstat(self._file).st_size
        if size < saved.length:
            telemetry.log("archive_damaged", level="error", file=saved.segment, count=saved.length - size)
            saved = Saved(saved.segment, _whole_rows(self._path("open", saved.segment)))
        if size != saved.length:
            os.ftruncate(self._file, saved.length)
        return saved

    def _open(self, saved: Saved) -> None:
        self._file = os.open(self._path("open", saved.segment), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._segment, self._opened_at = saved.segment, self._clock.at()
        _sync_directory(self.directory)
        for stray in self.directory.glob("open-*.tsv"):  # of another life of this box: keep what is whole
            if stray != self._path("open", saved.segment):
                os.truncate(stray, _whole_rows(stray))
                os.rename(stray, stray.with_name(stray.name.replace("open-", "closed-", 1)))

    def _is_due(self, saved: Saved) -> bool:
        return saved.length >= self._bytes_most or self._clock.at() - self._opened_at >= self._span

    def _close_segment(self, saved: Saved) -> None:
        """The cursor covers all of it: from here on it belongs to the child."""
        path = self._path("open", saved.segment)
        if path.exists():
            os.truncate(path, saved.length)
            os.rename(path, self._path("closed", saved.segment))
            _sync_directory(self.directory)
        self._forget()

    def _forget(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._segment = -1, ""

    def _path(self, kind: str, segment: str) -> Path:
        return self.directory / f"{kind}-{segment}.tsv"

    # ------------------------------------------------------------ the child

    def _may_compact(self) -> bool:
        """After each closing, and again after a failure, but not without a pause."""
        if self._tried_at is not None and self._clock.at() - self._tried_at < self._span // 2:
            return False
        return any(self.directory.glob("closed-*.tsv"))

    def _compact(self) -> None:
        self._tried_at = self._clock.at()
        today = datetime.fromtimestamp(self._clock.wall_ns() / SECOND, ZoneInfo(self._timezone)).date()
        keep = ["--keep-days", str(self._config.keep_days), "--keep-bytes", str(self._config.keep_bytes)]
        command = [sys.executable, "-m", "gateway.adapters.archive", "compact", str(self.directory)]
        command += ["--timezone", self._timezone, "--today", today.isoformat(), *keep]
        home = str(Path(__file__).parents[2])  # where the package lies, wherever we were started
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )

    def _reap(self) -> None:
        """Say what the child did, once it is done."""
        if self._child is None or self._child.poll() is None:
            return
        said, cried = self._child.communicate()
        failed, self._child = self._child.returncode != 0, None
        done = _report(said)
        if failed:
            words = "; ".join(done.errors) or cried.decode("utf-8", "replace").strip()[-500:]
            telemetry.log("archive_compaction_failed", level="error", error=words)
        if done.segments:
            telemetry.log("archive_compacted", count=done.segments)
        if done.trimmed:
            telemetry.log(
                "archive_trimmed", level="warning", count=len(done.trimmed), reason=done.trimmed[-1]
            )


def _saved(state: bytes) -> Saved:
    return msgspec.msgpack.decode(state, type=Saved) if state else Saved()


def _write(file: int, data: bytes, offset: int) -> None:
    """All of it: a filling disk takes half and says so only the next time."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _whole_rows(path: Path) -> int:
    """How many bytes of a segment are whole rows."""
    data, end = path.read_bytes(), ROW_END.encode()
    return data.rfind(end) + len(end) if end in data else 0


def _disk_hint(error: OSError, directory: Path) -> str:
    return f"make room on, or repair, the disk that holds {directory}"


# ---------------------------------------------------------------- compacting (the child)


class Compacted(msgspec.Struct):
    """What a run did; the child's one line of output."""

    segments: int = 0
    merged: int = 0
    trimmed: list[str] = []
    errors: list[str] = []


def _report(said: bytes) -> Compacted:
    try:
        return msgspec.json.decode(said, type=Compacted)
    except msgspec.MsgspecError:
        return Compacted()


def compact(
    directory: Path, timezone: str, today: date, keep_days: int = 10**6, keep_bytes: int = NS_MAX
) -> Compacted:
    """Closed segments to daily files, many small files to one, too old days away."""
    done = Compacted()
    for stale in directory.glob("**/*.tmp"):  # of a run that was killed
        stale.unlink(missing_ok=True)
    for segment in sorted(directory.glob("closed-*.tsv")):
        try:
            _compact_segment(segment, timezone)
            done.segments += 1
        except Exception as error:  # the others must not wait behind a damaged one
            done.errors.append(f"{segment.name}: {type(error).__name__}: {str(error)[:300]}")
    _forget_recent(directory)
    for day in _days(directory):
        done.merged += _merge(day)
    done.trimmed = _trim(directory, today, keep_days, keep_bytes)
    return done


def _compact_segment(segment: Path, timezone: str) -> None:
    """One file for each day it holds; the segment is done with when all of them are durable."""
    directory = segment.parent
    with _duckdb(directory) as db:
        if segment.stat().st_size:
            db.execute(f"CREATE TABLE long AS {_long_rows([segment], strict=True)}")
            _check_rows(db, segment)
            for day, first_ns, end_ns in _days_of(db, ZoneInfo(timezone)):
                rows = f"SELECT * FROM long WHERE measured_ns >= {first_ns} AND measured_ns < {end_ns}"
                _write_parquet(db, rows, directory / day.isoformat() / _parquet_name(segment))
    os.rename(segment, directory / segment.name.replace("closed-", "recent-", 1))
    _sync_directory(directory)


def _forget_recent(directory: Path) -> None:
    """Only the newest stay, and not many bytes."""
    total = 0
    for n, segment in enumerate(sorted(directory.glob("recent-*.tsv"), reverse=True)):
        total += segment.stat().st_size
        if n >= RECENT_MOST or total > RECENT_BYTES_MOST:
            segment.unlink()


def _parquet_name(segment: Path) -> str:
    return segment.name.removeprefix("closed-").removesuffix(".tsv") + ".parquet"


def _check_rows(db: Any, segment: Path) -> None:
    """Everything that was written must be there before the segment goes."""
    wanted = segment.read_bytes().count(ROW_END.encode())
    (found,) = db.execute(
        f"SELECT count(*) FROM ({_text_rows([segment], strict=True)}) WHERE {_WHOLE}"
    ).fetchone()
    if found != wanted:
        raise ValueError(f"{found} of {wanted} rows can be read")


def _days_of(db: Any, zone: ZoneInfo) -> Iterator[tuple[date, int, int]]:
    """The local days in the table, each with its first instant and the next day's."""
    quarters = db.execute("SELECT DISTINCT measured_ns // 900000000000 FROM long").fetchall()
    days = {datetime.fromtimestamp(quarter * 900, zone).date() for (quarter,) in quarters}
    for day in sorted(days):
        yield day, _midnight_ns(day, zone), _midnight_ns(day + timedelta(days=1), zone)


def _midnight_ns(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp()) * SECOND


def _write_parquet(db: Any, rows: str, path: Path) -> None:
    """Whole or not at all: written aside, fsynced, renamed."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700)
        _sync_directory(path.parent.parent)
    aside = path.with_suffix(".tmp")
    form = "FORMAT parquet, COMPRESSION zstd"
    db.execute(f"COPY ({rows} ORDER BY device, component, measured_ns, quantity) TO '{_sql(aside)}' ({form})")
    with aside.open("rb+") as file:
        os.fsync(file.fileno())
    os.rename(aside, path)
    _sync_directory(path.parent)


def _merge(day: Path) -> int:
    """Many small files of a day become one; a crash in between leaves doubles, which queries drop."""
    small = sorted(path for path in day.glob("*.parquet") if path.stat().st_size < MERGE_BYTES_MOST)
    if len(small) < MERGE_AT:
        return 0
    with _duckdb(day.parent) as db:
        rows = f"SELECT DISTINCT * FROM read_parquet({_list(small)})"
        merged = _merged_name(small)
        _write_parquet(db, rows, merged)
    for path in small:
        if path != merged:
            path.unlink()
    _sync_directory(day)
    return len(small)


def _merged_name(small: Sequence[Path]) -> Path:
    """A name that is free, or one of those that are merged: never that of a file we did not read."""
    merged = small[-1].with_name(f"{small[-1].stem}-merged.parquet")
    while merged.exists() and merged not in small:
        merged = merged.with_name(f"{merged.stem}-merged.parquet")
    return merged


def _trim(directory: Path, today: date, keep_days: int, keep_bytes: int) -> list[str]:
    """Drop whole days, oldest first, until the rest is young and small enough; at most a few a run."""
    dropped: list[str] = []
    days = _days(directory)
    sizes = {day: sum(path.stat().st_size for path in day.iterdir()) for day in days}
    oldest_kept = today - timedelta(days=min(keep_days, today.toordinal() - 1))
    for day in days[:TRIM_DAYS_MOST]:
        why = "keep_days" if date.fromisoformat(day.name) < oldest_kept else ""
        why = why or ("keep_bytes" if sum(sizes.values()) > keep_bytes else "")
        if not why:
            break
        for path in sorted(day.iterdir()):
            path.unlink()
        day.rmdir()
        dropped.append(f"{day.name} {why} {sizes.pop(day)} bytes")
    return dropped


def _days(directory: Path) -> list[Path]:
    return sorted(
        path for path in directory.glob("[0-9]*-[0-9]*-[0-9]*") if path.is_dir() and _is_day(path.name)
    )


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


# ---------------------------------------------------------------- reading (commands and children)


def query(
    directory: Path,
    device: str | None = None,
    quantity: str | None = None,
    since_ns: int = 0,
    until_ns: int = NS_MAX,
) -> list[Row]:
    """Values measured in [since_ns, until_ns), by instant; each once, whatever crashed when it was written.

    Loads DuckDB (90 MB): not for the daemon's own process.
    """
    wanted: dict[str, str | int] = {"measured_ns >= ?": since_ns, "measured_ns < ?": until_ns}
    wanted |= {"device = ?": device} if device is not None else {}
    wanted |= {"quantity = ?": quantity} if quantity is not None else {}
    return [Row(*row) for row in _tried(directory, _VALUES, wanted, since_ns, until_ns)]


def count_qualities(
    directory: Path, device: str | None = None, since_ns: int = 0, until_ns: int = NS_MAX
) -> list[Count]:
    """How many readings of each device were of which quality, by device. Loads DuckDB, as `query`."""
    wanted: dict[str, str | int] = {"measured_ns >= ?": since_ns, "measured_ns < ?": until_ns}
    wanted |= {"device = ?": device} if device is not None else {}
    return [Count(*row) for row in _tried(directory, _QUALITIES, wanted, since_ns, until_ns)]


def daily_medians(directory: Path, quantity: str, since_ns: int) -> list[Daily]:
    """A value a day of each device that says the quantity. Loads DuckDB, as `query`."""
    wanted: dict[str, str | int] = {"measured_ns >= ?": since_ns, "quantity = ?": quantity}
    return [Daily(*row) for row in _tried(directory, _DAILY, wanted, since_ns, NS_MAX)]


def _tried(
    directory: Path, text: str, wanted: dict[str, str | int], since_ns: int, until_ns: int
) -> list[tuple[Any, ...]]:
    for _ in range(5):
        try:
            return _query(directory, text, wanted, since_ns, until_ns)
        except _Moved:  # the child made a file of a segment, or one file of many, meanwhile
            continue
    raise TransientError(f"{directory} changes faster than it can be read")


class _Moved(Exception):
    """A file that was listed is gone."""


def _query(
    directory: Path, text: str, wanted: dict[str, str | int], since_ns: int, until_ns: int
) -> list[tuple[Any, ...]]:
    """`text` asks of {rows}, those rows of all files for which `wanted` holds."""
    segments = [path for kind in ("open", "closed") for path in sorted(directory.glob(f"{kind}-*.tsv"))]
    files = [
        path for day in _days_between(directory, since_ns, until_ns) for path in sorted(day.glob("*.parquet"))
    ]
    sources = [_long_rows(segments, strict=False)] if any(_size(path) for path in segments) else []
    sources += [f"SELECT * FROM read_parquet({_list(files)})"] if files else []
    if not sources:
        return []
    rows = f"(SELECT * FROM ({' UNION ALL '.join(sources)}) WHERE {' AND '.join(wanted)})"
    with _duckdb(None) as db:
        try:
            found: list[tuple[Any, ...]] = db.execute(
                text.format(rows=rows), list(wanted.values())
            ).fetchall()
            return found
        except Exception:
            if not all(path.exists() for path in [*segments, *files]):
                raise _Moved from None
            raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise _Moved from None


def _days_between(directory: Path, since_ns: int, until_ns: int) -> Iterable[Path]:
    """Days that can hold such instants in any time zone."""
    first = _utc_date(since_ns) - timedelta(days=1) if since_ns > 86_400 * SECOND else date.min
    last = _utc_date(until_ns) + timedelta(days=1)
    return [day for day in _days(directory) if first <= date.fromisoformat(day.name) <= last]


def _utc_date(instant_ns: int) -> date:
    return datetime.fromtimestamp(instant_ns // SECOND, UTC).date()


# ---------------------------------------------------------------- SQL

_VALUES = f"""
    SELECT {", ".join(Row._fields)} FROM (
        SELECT max(position) AS position, arg_max(received_ns, position) AS received_ns, measured_ns,
               device, component, quantity,
               arg_max(scene, position) AS scene, arg_max(model, position) AS model,
               arg_max(quality, position) AS quality, arg_max(value, position) AS value
        FROM {{rows}} GROUP BY measured_ns, device, component, quantity)
    ORDER BY measured_ns, device, component, quantity"""
_QUALITIES = """
    SELECT device, quality, count(*), max(measured_ns) FROM (
        SELECT measured_ns, device, component, arg_max(quality, position) AS quality
        FROM {rows} GROUP BY measured_ns, device, component)
    GROUP BY device, quality ORDER BY device, quality"""
_DAILY = """
    SELECT device, component, measured_ns // 86400000000000 AS day, median(value)
    FROM {rows} GROUP BY device, component, day ORDER BY device, component, day"""
_COLUMNS = {
    "position": "BIGINT",
    "received_ns": "BIGINT",
    "measured_ns": "BIGINT",
    "device": "VARCHAR",
    "component": "VARCHAR",
    "scene": "VARCHAR",
    "model": "VARCHAR",
    "quality": "VARCHAR",
    "fields": "VARCHAR",
}
_WHOLE = "ends_with(fields, ';')"  # else it is being written, or was cut off


def _text_rows(segments: Sequence[Path], strict: bool) -> str:
    """The rows of segments; not strict leaves out a torn one, as the open segment may end in."""
    form = "delim='\\t', header=false, auto_detect=false, quote='', escape='', nullstr='\\0', new_line='\\n'"
    form += f", null_padding=true, max_line_size={ROW_BYTES_MOST}"
    form += "" if strict else ", ignore_errors=true"
    names = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())
    return f"SELECT * FROM read_csv({_list(segments)}, {form}, columns={{{names}}})"


def _long_rows(segments: Sequence[Path], strict: bool) -> str:
    """One row for each value: `a=1.5,b=2.0,;` becomes two."""
    names = ", ".join(f"url_decode({name}) AS {name}" for name in ("device", "component", "scene", "model"))
    return f"""
        SELECT position, received_ns, measured_ns, {names}, quality,
               split_part(pair, '=', 1) AS quantity, CAST(split_part(pair, '=', 2) AS DOUBLE) AS value
        FROM (SELECT *, unnest(string_split(fields[:-3], ',')) AS pair
              FROM ({_text_rows(segments, strict)}) WHERE {_WHOLE})"""


def _list(paths: Iterable[Path]) -> str:
    return "[" + ", ".join(f"'{_sql(path)}'" for path in paths) + "]"


def _sql(path: Path) -> str:
    return str(path).replace("'", "''")


def _duckdb(directory: Path | None) -> Any:
    """A connection in memory, of one thread and bounded memory; what does not fit goes to `directory`."""
    import duckdb

    db = duckdb.connect()
    db.execute(f"SET threads=1; SET memory_limit='{DUCKDB_MEMORY}'; SET preserve_insertion_order=false")
    if directory:
        db.execute(f"SET temp_directory='{_sql(directory / 'spill')}'")
    return db


# ---------------------------------------------------------------- files


def _sync_directory(directory: Path) -> None:
    """Make names in it durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway.adapters.archive", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("compact")
    one.add_argument("directory", type=Path)
    one.add_argument("--timezone", required=True)
    one.add_argument("--today", type=date.fromisoformat, required=True)
    one.add_argument("--keep-days", type=int, required=True)
    one.add_argument("--keep-bytes", type=int, required=True)
    two = commands.add_parser("query", help="one JSON array a line, in the order of Row's fields")
    two.add_argument("directory", type=Path)
    two.add_argument("--device")
    two.add_argument("--quantity")
    two.add_argument("--since-ns", type=int, default=0)
    two.add_argument("--until-ns", type=int, default=NS_MAX)
    given = parser.parse_args(arguments)
    if given.command == "query":
        for row in query(given.directory, given.device, given.quantity, given.since_ns, given.until_ns):
            print(json.dumps(row, ensure_ascii=False))
        return 0
    done = compact(given.directory, given.timezone, given.today, given.keep_days, given.keep_bytes)
    print(msgspec.json.encode(done).decode())
    return 1 if done.errors else 0


if __name__ == "__main__":
    sys.exit(main())
