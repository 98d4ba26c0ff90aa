"""Other systems are told of every change of a case: each by its own thread, at its own pace.

The committed history is the outbox: a cursor in the store says how far each of them has come, and moves only
when the receiver has answered 2xx. So a crash tells the last few again, under the same key, and a receiver
that is away for a week only delays: what it is owed is read from the store a page at a time.

The order within a case always holds. What ends a wait, and what does not:
- no answer, 401, 403, 404, 429, 502, 503, 504: the receiver is away; nothing overtakes, all of it waits.
- any other 5xx, again and again, of one change: its case waits by itself, and the others go on.
- any other 4xx: the receiver will never have this change. It goes to quarantine, and the case goes on; the
  next change names it as the one `before`, so that the receiver can see the gap.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gateway import telemetry
from gateway.adapters import history, http
from gateway.adapters.store import Store
from gateway.channels.base import Secret, pause_s
from gateway.channels.webhook import ALREADY_HAS_IT, FOR_NOW, Endpoint
from gateway.core import backoff
from gateway.core.backoff import TransientError
from gateway.core.changes import Change, Line, change_at, told
from gateway.core.model import SECOND, QuarantineRow, Refusal, World

PAGE = 100  # lines of history read at a time, and at most told again after a crash
AWAY_S_MOST = 300.0  # an outage is noticed to be over within 5 minutes
TRIES_MOST = 5  # answers 5xx to one change before its case waits alone
HELD_MOST = 50  # cases that wait alone; with more of them it is the receiver that is broken
HELD_S = 300.0  # between two attempts at those
IDLE_S = 60.0  # how often it looks while there is no news
FAILED_S = 30.0  # after our own fault, or a full disk
STOP_S = 12.0  # a request ends by itself within 10 s
NOT_NOW = FOR_NOW | {401, 403, 404, 405, 407, 502, 503, 504}  # says nothing of the change itself
HINTS = {401: "secret", 403: "secret", 404: "url", 405: "url", 407: "proxy"}

WAITING = telemetry.gauge(
    "lilong_outward_waiting", "Lines of the cases' history that a system has not been told", ["target"]
)
CHANGES = telemetry.counter(
    "lilong_outward_changes_total",
    "Changes of cases by what became of them at a system",
    ["target", "outcome"],
)


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """What is saved of a target."""

    seq: int  # every line up to here is settled, but for those of
    held: dict[str, int] = {}  # case -> its first line that is not
    reconciled_ns: int = 0
    difference: int = 0  # cases, after the last comparison


class Time(Protocol):
    """What we need of adapters.clock.Clock."""

    def at(self) -> int: ...
    def wall_ns(self) -> int: ...
    def real_s(self, span_ns: int) -> float: ...


class Form(Protocol):
    """How changes are said to one kind of system."""

    def body(self, case: Sequence[Line], change: Change) -> bytes | None:
        """JSON; None when this line says nothing to it."""
        ...


class Hook:
    """Every change, in our own words."""

    def __init__(self, world: Callable[[], World]) -> None:
        self._world = world

    def body(self, case: Sequence[Line], change: Change) -> bytes:
        return msgspec.json.encode(told(change, self._world()))


class Stuck(TransientError):
    """An answer that may be about this change alone."""


class Refused(Exception):
    """The receiver will not have this change, now or ever."""


class Lane:
    """One target's way out. `turn` is one step of it; the thread only waits in between."""

    def __init__(self, name: str, store: Store, endpoint: Endpoint, form: Form, clock: Time) -> None:
        self.name = name
        self.woken, self.stopping = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"outward-{name}", daemon=True)
        self._store, self._endpoint, self._form, self._clock = store, endpoint, form, clock
        self._cursor = self._saved = self._load()
        self._failures, self._trouble = 0, ""
        self._tried: tuple[int, int] = 0, 0  # of the line that is stuck: its number, and how often
        self._held_again_at = 0

    @property
    def _sink(self) -> str:
        return f"outward-{self.name}"

    def _load(self) -> Cursor:
        """Where it stood; a target that is new begins with what comes from now on."""
        body = self._store.load_cursor(self._sink)
        if body is not None:
            return msgspec.msgpack.decode(body, type=Cursor)
        new = Cursor(self._store.last_line())
        self._store.save_cursor(self._sink, msgspec.msgpack.encode(new))
        return new

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                wait_s = self.turn()
            except Exception as error:  # a full disk, a bug: the store keeps everything meanwhile
                telemetry.log("outward_failed", "error", target=self.name, error=error)
                wait_s = FAILED_S
            if wait_s is None:
                self.woken.wait(IDLE_S)
                self.woken.clear()
            else:
                self.stopping.wait(wait_s)
        self._endpoint.close()

    def notify(self) -> None:
        """There may be news. Never blocks."""
        if self._store.last_line() > self._cursor.seq:
            self.woken.set()

    def turn(self) -> float | None:
        """One page, or less; how many seconds to wait then, None: until there is news."""
        try:
            busy = self._step()
        except TransientError as trouble:
            return self._put_off(trouble)
        finally:
            WAITING.labels(self.name).set(self.owed())
        self._recovered()
        return 0.0 if busy else None

    @property
    def difference(self) -> int:
        """Cases that the target had otherwise when it was last asked; 0 of one that is not asked."""
        return self._cursor.difference

    def first_owed(self) -> int:
        """The first line that is not settled; beyond the last when all are."""
        return min([self._cursor.seq + 1, *self._cursor.held.values()])

    def owed(self) -> int:
        """Lines not settled; of a case that waits alone its first is counted."""
        return max(self._store.last_line() - self._cursor.seq, 0) + len(self._cursor.held)

    def _step(self) -> bool:
        """Whether there is more to do at once. Whatever happens, what was settled is saved."""
        try:
            if self._cursor.held and self._clock.at() >= self._held_again_at:
                self._go_back()
            page = history.lines_after(self._store.reader(), self._cursor.seq, PAGE)
            for line in page:
                if line.entry.case not in self._cursor.held:
                    self._tell_or_hold(line)
                self._cursor = replace(self._cursor, seq=line.seq)
                if self.stopping.is_set():
                    break
            return bool(page)
        finally:
            self._save()

    def _save(self, refused: Sequence[QuarantineRow] = ()) -> None:
        if self._cursor != self._saved or refused:
            self._store.save_cursor(self._sink, msgspec.msgpack.encode(self._cursor), refused)
            self._saved = self._cursor

    # ------------------------------------------------------------ one change

    def _tell_or_hold(self, line: Line) -> None:
        """Raises TransientError while nothing can be told at all."""
        try:
            self._tell(line.entry.case, line.seq)
        except Stuck as trouble:
            tries = self._tried[1] + 1 if self._tried[0] == line.seq else 1
            self._tried = line.seq, tries
            if tries < TRIES_MOST or len(self._cursor.held) >= HELD_MOST:
                raise
            fields = {"target": self.name, "case": line.entry.case, "attempt": tries}
            telemetry.log("outward_held", "error", error=trouble.reason, **fields)
            self._held_again_at = self._clock.at() + int(HELD_S * SECOND)
            self._cursor = replace(self._cursor, held={**self._cursor.held, line.entry.case: line.seq})

    def _go_back(self) -> None:
        """One attempt at each case that waits alone, from its first change on."""
        self._held_again_at = self._clock.at() + int(HELD_S * SECOND)
        for case, first in self._cursor.held.items():
            with suppress(Stuck):
                self._catch_up(case, first)

    def _catch_up(self, case: str, first: int) -> None:
        for line in history.numbered_lines_of(self._store.reader(), case):
            if first <= line.seq <= self._cursor.seq:
                self._tell(case, line.seq)
                self._settled(case, line.seq)
        left = {one: seq for one, seq in self._cursor.held.items() if one != case}
        self._cursor = replace(self._cursor, held=left)

    def _tell(self, case: str, seq: int) -> None:
        lines, change = self._change(case, seq)
        body = self._form.body(lines, change) if change else None
        if change is None or body is None:
            CHANGES.labels(self.name, "left_out").inc()
            return
        try:
            self.post(change.key, body)
            CHANGES.labels(self.name, "taken").inc()
        except Refused as refused:
            self._refuse(change, body, str(refused))

    def _change(self, case: str, seq: int) -> tuple[list[Line], Change | None]:
        reader = self._store.reader()
        about = history.case_of(reader, case)
        lines = [_masked(line) for line in history.numbered_lines_of(reader, case)]
        return lines, change_at(about, lines, seq) if about else None

    def _refuse(self, change: Change, body: bytes, reason: str) -> None:
        """Kept where refused points are kept, in the transaction that says it is settled."""
        CHANGES.labels(self.name, "refused").inc()
        fields = {"target": self.name, "case": change.case.id, "message_id": change.key}
        telemetry.log("outward_refused", "error", error=reason, hint="lilong quarantine list", **fields)
        row = QuarantineRow(
            change.seq, Refusal.OUTWARD.value, change.case.device, f"outward/{self.name}", body, "", reason,
            self._clock.wall_ns(),
        )  # fmt: skip
        self._settled(change.case.id, change.seq)
        self._save([row])

    def _settled(self, case: str, seq: int) -> None:
        if case in self._cursor.held:
            self._cursor = replace(self._cursor, held={**self._cursor.held, case: seq + 1})
        else:
            self._cursor = replace(self._cursor, seq=seq)

    def post(self, key: str, body: bytes) -> None:
        """Until the receiver has it for good. Raises TransientError, Stuck or Refused."""
        try:
            reply = self._endpoint.post(key, body)
        except (http.Unreachable, http.Unanswered) as error:
            raise TransientError(
                self._endpoint.said(str(error)), hint="is it up, can it be reached?"
            ) from None
        judge(reply, self._endpoint.said(f"{reply.status} {reply.body.decode('utf-8', 'replace')}"))

    # ------------------------------------------------------------ waiting

    def _put_off(self, trouble: TransientError) -> float:
        self._failures += 1
        if trouble.reason != self._trouble:
            fields = {"error": trouble.reason, "hint": trouble.hint, "attempt": self._failures}
            telemetry.log("outward_delayed", "warning", target=self.name, **fields)
        self._trouble = trouble.reason
        key = f"{self.name}:{self._cursor.seq}"
        wait_s = backoff.wait_s(self._failures, key, trouble.retry_after_s, AWAY_S_MOST)
        return self._clock.real_s(int(wait_s * SECOND))

    def _recovered(self) -> None:
        if self._failures:
            telemetry.log("outward_recovered", target=self.name, attempt=self._failures)
        self._failures, self._trouble = 0, ""


def judge(reply: http.Reply, said: str) -> None:
    """Nothing when the receiver has it; else raises what there is to do."""
    status = reply.status
    if 200 <= status < 300 or status == ALREADY_HAS_IT:
        return
    if status in NOT_NOW or status < 400:
        hint = f"look at {HINTS[status]} of this entry of outward" if status in HINTS else ""
        raise TransientError(said, pause_s(reply.headers), hint)
    if status >= 500:
        raise Stuck(said, pause_s(reply.headers))
    raise Refused(said)


def _masked(line: Line) -> Line:
    """Nobody's number leaves the box, whoever typed it into a note."""
    entry = line.entry
    return Line(
        line.seq, replace(entry, note=telemetry.mask(entry.note), person=telemetry.mask(entry.person))
    )


class Outward:
    """All targets. Start it after the pipeline, stop it before the store is closed."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes: Mapping[str, Lane] = {lane.name: lane for lane in lanes}

    def start(self) -> None:
        for lane in self.lanes.values():
            lane.thread.start()

    def notify(self) -> None:
        for lane in self.lanes.values():
            lane.notify()

    def difference(self) -> int:
        return sum(lane.difference for lane in self.lanes.values())

    def behind_s(self, reader: sqlite3.Connection, now_ns: int) -> float:
        """The age of the oldest line that some target has not been told."""
        first = min((lane.first_owed() for lane in self.lanes.values()), default=None)
        query = "SELECT wall_ns FROM entry WHERE seq >= ? ORDER BY seq LIMIT 1"
        row = reader.execute(query, (first,)).fetchone() if first is not None else None
        return max(now_ns - row[0], 0) / SECOND if row else 0.0

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Ends after the request under way; the cursors say where to go on."""
        for lane in self.lanes.values():
            lane.stopping.set()
            lane.woken.set()
        for lane in self.lanes.values():
            if lane.thread.is_alive():
                lane.thread.join(timeout_s)


def endpoint(url: str, secret: Secret, wall: Callable[[], float]) -> Endpoint:
    """Raises ValueError for an address that is none."""
    return Endpoint(http.Site(http.Origin.parse(url)), secret, wall)
