"""The log's way out: each sink reads behind its own cursor, in its own thread, at its own pace.

A dead database never delays the archive, and neither ever delays the pipeline: the log is the queue between
them, on disk, so that memory stays flat however long an outage lasts. A batch counts as forwarded when the
sink has it for good *and* the cursor is saved; a crash in between sends it again, which both sinks make
harmless (InfluxDB overwrites the same point, the archive cuts what lies beyond its cursor).
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec import structs

from gateway import telemetry
from gateway.adapters.clock import Clock
from gateway.adapters.store import Logged, Record, Store, StoreDamaged
from gateway.core import backoff
from gateway.core.backlog import Owed, Range
from gateway.core.backoff import TransientError
from gateway.core.decoding import Decoder
from gateway.core.lines import Batch, Formatted, Formatter, RefusedLine, Taken
from gateway.core.model import SECOND, Message, Messages, QuarantineRow, Reading, Refusal, World

LINES_MOST = 5_000  # a request: larger ones gain nothing and hurt more when one line is bad
READ_MOST = 2_500  # messages read from the log at a time: some 5 MB while they are decoded
CACHE_MOST = 12_000  # messages kept formatted for the other sink (about 6 MB)
LEAD_MOST = 7_500  # messages a sink runs ahead of another that follows, so that it still finds them there
PATIENCE_S = 0.5  # how long it waits for that one at most, each time
GATHER_S = 0.1  # how often a gathering sink looks whether it has enough
TEND_S = 30.0  # how often a sink may look after itself while nothing arrives
REASON_MOST = 1_000  # characters of a server's words kept with a refused point
STOP_S = 12.0  # a request ends by itself within 10 s

BACKLOG = telemetry.gauge("lilong_backlog_messages", "Log positions a sink has not taken yet", ["sink"])
WRITTEN = telemetry.counter("lilong_points_written_total", "Points a sink has taken for good", ["sink"])
REQUEST_S = telemetry.histogram("lilong_sink_write_seconds", "Time a sink took for one batch", ["sink"])


class Sink(Protocol):
    """A place that formatted batches go to. Called by one thread only.

    `take` returns when the batch is there for good, or raises TransientError; it may be called again with
    the same batch, and after a crash with an overlapping one. `state` is what it returned with the last
    batch whose cursor was saved (b"" at first). `news_first`: whether batches may come out of order.
    """

    name: str
    flush_s: float
    news_first: bool

    def take(self, state: bytes, batch: Batch) -> Taken: ...
    def tend(self, state: bytes) -> None: ...
    def close(self) -> None: ...


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """What is saved of a sink."""

    owed: Owed = Owed()
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sink does, for health pages: `trouble` is "" while it takes what it is given."""

    backlog: int
    written: int
    trouble: str
    oldest: int = 0  # the first log position it has not taken


class Forwarder:
    """Owns one thread for each sink. The first sink records messages that cannot be decoded again."""

    def __init__(self, store: Store, world: Callable[[], World], sinks: Sequence[Sink], clock: Clock) -> None:
        self._reader = LogReader(store, world)
        self._lanes = [Lane(store, self._reader, sink, clock, first=sink is sinks[0]) for sink in sinks]

    def start(self) -> None:
        for lane in self._lanes:
            lane.thread.start()

    def notify(self, first: int = 0, records: Sequence[Record] = ()) -> None:
        """There is news from position `first` on; `records` spare us decoding them again. Never blocks."""
        for record in records:
            self._reader.hand(first, record.readings)
            first += record.count
        for lane in self._lanes:
            lane.woken.set()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Ends after the batch in hand, without draining: the cursors say where to go on."""
        for lane in self._lanes:
            lane.stopping.set()
            lane.woken.set()
        for lane in self._lanes:
            if lane.thread.is_alive():
                lane.thread.join(timeout_s)

    def oldest(self) -> int:
        """The first log position that any sink still needs; everything before it may be trimmed."""
        return min((lane.owed.oldest() for lane in self._lanes), default=0)

    def standing(self) -> Mapping[str, Standing]:
        return {lane.sink.name: lane.standing() for lane in self._lanes}


# ---------------------------------------------------------------- reading


class LogReader:
    """Formatted events of the log; what one sink has just had formatted, the next gets for nothing.

    Decoding and formatting is most of the way's work, so sinks that go through the same part of the log keep
    together: the faster one waits a little for the other, unless that one is in trouble or far away.
    """

    def __init__(self, store: Store, world: Callable[[], World]) -> None:
        self._store, self._world_now = store, world
        self._world: World | None = None
        self._decoder: Decoder | None = None
        self._formatter: Formatter | None = None
        self._cache: OrderedDict[int, Formatted] = OrderedDict()
        self._cached = 0  # messages in it
        self._handed: dict[int, Sequence[Sequence[Reading]]] = {}  # written by the pipeline's thread alone
        self._handed_count = 0
        self._turn = threading.Lock()  # held while formatting: the second sink waits and then finds it
        self._places: dict[str, int] = {}  # where each healthy sink stands
        self._moved = threading.Condition()

    def hand(self, position: int, readings: Sequence[Sequence[Reading]]) -> None:
        """What the messages of the event at a position say, already decoded; kept for a moment."""
        if readings and self._places:  # no use while every sink is in trouble
            self._handed[position] = readings
            self._handed_count += len(readings)
        while self._handed_count > CACHE_MOST:
            self._handed_count -= len(self._handed.pop(next(iter(self._handed))))

    def passed(self, sink: str, position: int | None) -> None:
        """A sink has taken everything to here, or (None) is in trouble: nobody waits for it."""
        with self._moved:
            if position is None:
                self._places.pop(sink, None)
            else:
                self._places[sink] = position
            self._moved.notify_all()

    def keep_together(self, sink: str, position: int) -> None:
        """Wait while another sink follows so closely that it would profit."""
        ours = range(position - CACHE_MOST, position - LEAD_MOST)
        with self._moved:
            self._moved.wait_for(
                lambda: not any(at in ours for name, at in self._places.items() if name != sink), PATIENCE_S
            )

    def batch(self, wanted: Range) -> Batch | None:
        """The first events of the range, up to about LINES_MOST lines; None when the log has none there.

        Raises StoreDamaged when the very first cannot be read.
        """
        parts: list[Formatted] = []
        lines, position = 0, wanted[0]
        while position < wanted[1] and lines < LINES_MOST:
            try:
                found = self._read(position, min(READ_MOST, wanted[1] - position))
            except StoreDamaged:
                if not parts:
                    raise
                break  # what lies before it first
            if not found or (parts and found[0].first != parts[-1].end):
                break  # the log's end, or a hole: the next batch begins behind it
            for part in found:
                if part.first >= wanted[1] or (parts and lines + len(part.at) > LINES_MOST):
                    return _batch(parts)
                parts.append(part)
                lines += len(part.at)
            position = parts[-1].end
        return _batch(parts)

    def _read(self, position: int, most: int) -> list[Formatted]:
        with self._turn:
            found: list[Formatted] = []
            while (part := self._cache.get(found[-1].end if found else position)) and len(found) < most:
                found.append(part)
            if found:
                return found
            found = [self._format(logged) for logged in self._log(position, most)]
            self._keep(found)
            return found

    def _log(self, position: int, most: int) -> list[Logged]:
        """Like Store.read_log, but a damaged row only costs itself."""
        try:
            return self._store.read_log(position, most)
        except StoreDamaged:
            return self._store.read_log(position, 1)  # raises again when it is the first

    def _format(self, logged: Logged) -> Formatted:
        world = self._world_now()
        if self._formatter is None or world is not self._world:
            self._world, self._decoder = world, Decoder(world)
            self._formatter = Formatter(world, self._decoder.decode)
        return self._formatter.format(logged, self._handed.get(logged.first, ()))

    def _keep(self, found: Iterable[Formatted]) -> None:
        for part in found:
            if part.first not in self._cache:
                self._cache[part.first] = part
                self._cached += part.end - part.first
        while self._cached > CACHE_MOST:
            _, oldest = self._cache.popitem(last=False)
            self._cached -= oldest.end - oldest.first

    def messages(self, positions: Iterable[int]) -> dict[int, Message]:
        """The messages at these positions, for quarantine; none for an event that is no message."""
        found: dict[int, Message] = {}
        first, items = 0, list[Message]()
        for position in sorted(set(positions)):
            if not first <= position < first + len(items):
                first, items = self._items(position)
            if first <= position < first + len(items):
                found[position] = items[position - first]
        return found

    def _items(self, position: int) -> tuple[int, list[Message]]:
        with suppress(StoreDamaged):
            for logged in self._store.read_log(position, 1):
                if type(logged.event) is Messages:
                    return logged.first, logged.event.items
        return 0, []

    def device_of(self, topic: str) -> str:
        device = self._decoder.device_of(topic) if self._decoder else None
        return device.id if device else ""


def _batch(parts: Sequence[Formatted]) -> Batch | None:
    return Batch(tuple(parts)) if parts else None


# ---------------------------------------------------------------- one sink


class Lane:
    """One sink's loop: wait for news, gather a moment, send until nothing is owed, save, again."""

    def __init__(self, store: Store, reader: LogReader, sink: Sink, clock: Clock, *, first: bool) -> None:
        self.sink, self.owed = sink, Owed()
        self.woken, self.stopping = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, name=f"forwarder-{sink.name}", daemon=True)
        self._store, self._reader, self._clock, self._first = store, reader, clock, first
        self._state = b""
        self._held: Batch | None = None  # offered, not taken yet
        self._news_at = 0  # when the next small batch may go
        self._failures, self._trouble, self._written = 0, "", 0
        self._was_away = True  # the sink, since all was well last; after a start we cannot know
        self._known = self._load()

    def standing(self) -> Standing:
        owed = self.owed.grown(self._store.position())
        return Standing(owed.count, self._written, self._trouble, owed.oldest())

    def run(self) -> None:
        self._reader.passed(self.sink.name, self.owed.oldest())
        while not self.stopping.is_set():
            try:
                self._drain()
                self.sink.tend(self._state)
                self._recovered()
                if not self.owed.count:  # a remainder too small for a request only waits to be gathered
                    self.woken.wait(TEND_S)
                self.woken.clear()
                self._gather()
            except TransientError as trouble:
                self._wait(trouble)
            except Exception as error:  # a full disk, a bug: the log keeps everything meanwhile
                telemetry.log("forwarding_failed", level="error", sink=self.sink.name, error=error)
                self._wait(TransientError(f"{type(error).__name__}: {error}"))
        self.sink.close()

    def _gather(self) -> None:
        """One request of many beats many of one: wait the flush interval, or until a request is full."""
        left_s = self.sink.flush_s
        while left_s > 0 and self._store.position() - self.owed.fresh[0] < LINES_MOST:
            if self.stopping.wait(min(left_s, GATHER_S)):
                return
            left_s -= GATHER_S

    def _load(self) -> bool:
        """Continue where the saved cursor stands; without one, from the log's beginning."""
        body = self._store.load_cursor(self.sink.name)
        if body is None:
            return False
        cursor = msgspec.msgpack.decode(body, type=Cursor)
        self.owed, self._state = cursor.owed, cursor.state
        return True

    def _drain(self) -> None:
        while not self.stopping.is_set():
            batch = self._held = self._held or self._next()
            if batch is None:
                self._was_away = self._was_away and self.owed.count > 0
                return
            self._deliver(batch)

    def _next(self) -> Batch | None:
        """News as soon as they fill a request or the flush interval has passed; the backlog in between."""
        self.owed = self.owed.grown(self._store.position())
        if self.sink.news_first and self._was_away:
            self.owed = self.owed.split()
        BACKLOG.labels(self.sink.name).set(self.owed.count)
        first, end = self.owed.fresh
        if end > first and (end - first >= LINES_MOST or self._clock.at() >= self._news_at):
            self._news_at = self._clock.at() + int(self.sink.flush_s * SECOND)
            return self._read((first, end), news=True) or self._next()
        if self.owed.old:
            return self._read(self.owed.old[0], news=False) or self._next()
        return None

    def _read(self, wanted: Range, news: bool) -> Batch | None:
        """A batch of the range. What the log has lost of it is named, and owed no longer."""
        try:
            self._reader.keep_together(self.sink.name, wanted[0])
            batch = self._reader.batch(wanted)
        except StoreDamaged as error:
            telemetry.log("log_damaged", level="error", sink=self.sink.name, error=error)
            self.owed = self.owed.done(wanted[0], self._store.row_end(wanted[0]))
            return None
        if batch is None and news and self._known:
            raise TransientError("the log does not show yet what was committed")
        lost = (batch.first if batch else wanted[1]) - wanted[0]
        if lost > 0:
            self.owed = self.owed.done(wanted[0], wanted[0] + lost)
            if self._known:  # a sink that is new here never had a claim on what was trimmed
                telemetry.log("log_gap", level="error", sink=self.sink.name, position=wanted[0], count=lost)
        return batch

    def _deliver(self, batch: Batch) -> None:
        with REQUEST_S.labels(self.sink.name).time():
            taken = self.sink.take(self._state, batch)
        owed = self.owed.done(batch.first, batch.end)
        body = msgspec.msgpack.encode(Cursor(owed, taken.state))
        self._store.save_cursor(self.sink.name, body, self._quarantined(batch, taken.refused))
        self.owed, self._state, self._held, self._known = owed, taken.state, None, True
        self._reader.passed(self.sink.name, batch.end)
        written = len(batch.at) - len(taken.refused)
        self._written += written
        WRITTEN.labels(self.sink.name).inc(written)
        self._recovered()

    def _quarantined(self, batch: Batch, refused: Sequence[RefusedLine]) -> list[QuarantineRow]:
        rows = [row for part in batch.parts for row in part.unreadable] if self._first else []
        if rows:
            telemetry.log("message_unreadable", level="error", count=len(rows), error=rows[0].reason)
        return [self._named(row) for row in rows] + self._refused_rows(refused)

    def _named(self, row: QuarantineRow) -> QuarantineRow:
        return structs.replace(row, device=row.device or self._reader.device_of(row.topic))

    def _refused_rows(self, refused: Sequence[RefusedLine]) -> list[QuarantineRow]:
        """Points the database would not have, with their messages (an alert or a case has only its line)."""
        messages, wall_ns = self._reader.messages(line.position for line in refused), self._clock.wall_ns()
        rows, code = [], Refusal.DATABASE
        for line in refused:
            message = messages.get(line.position) or Message("", line.line)
            device, field = self._reader.device_of(message.topic), _field_of(line.reason)
            reason = line.reason[:REASON_MOST]
            rows.append(
                QuarantineRow(
                    line.position, code.value, device, message.topic, message.payload, field, reason, wall_ns
                )
            )
        return rows

    def _wait(self, trouble: TransientError) -> None:
        """Until it is worth another try; only stop() cuts it short."""
        self._failures += 1
        self._was_away = True
        self._reader.passed(self.sink.name, None)
        if trouble.reason != self._trouble:
            level = "error" if trouble.hint else "warning"
            fields = {"error": trouble.reason, "hint": trouble.hint, "attempt": self._failures}
            telemetry.log("sink_delayed", level=level, sink=self.sink.name, **fields)
        self._trouble = trouble.reason
        BACKLOG.labels(self.sink.name).set(self.standing().backlog)
        key = f"{self.sink.name}:{self.owed.oldest()}"
        self.stopping.wait(backoff.wait_s(self._failures, key, trouble.retry_after_s))

    def _recovered(self) -> None:
        if self._failures:
            telemetry.log("sink_recovered", sink=self.sink.name, attempt=self._failures)
        self._failures, self._trouble = 0, ""


def _field_of(reason: str) -> str:
    """The field that InfluxDB names: `field type conflict: input field "smoke" on measurement …`."""
    named = re.search(r'field "([^"\\]{1,100})\\?"', reason)
    return named[1] if named else ""
