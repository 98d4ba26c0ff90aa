"""Looking at a subject while it works: what it has done and what it has cost, at a few instants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.load import Load
from tests.benchmarks.servers import Database
from tests.benchmarks.subjects import Running

LOOK_S = 0.05  # rarely enough not to disturb; a 5 s run is then good to 1 %
REST_S = 0.05  # CPU in a second: a process with nothing to do uses less
STALLED_S = 20.0  # nothing new for so long: it is done, or never will be


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the messages that were durable by then, and what they had cost."""

    at_s: float
    committed: int
    written: int
    cpu_s: float

    @property
    def done(self) -> int:
        return max(self.committed, self.written)


@dataclass(frozen=True, slots=True)
class Watched:
    """From the first message to the last one, in the log and in the database."""

    first: Look
    committed: Look | None
    written: Look
    idle_cpu_s: float  # CPU when it had come to rest: the archive and the notifications are done too
    peak_mb: float

    def rate(self, end: Look | None) -> float:
        """Messages a second between the first look and `end`; 0 when it never came to that."""
        return (end.done - self.first.done) / (end.at_s - self.first.at_s) if end else 0.0

    @property
    def cpu_100k(self) -> float:
        """CPU seconds per 100,000 messages, of the whole work: until nothing was left to do."""
        done = self.written.done - self.first.done
        return (self.idle_cpu_s - self.first.cpu_s) / done * 100_000 if done else 0.0


class Watch:
    """Polls one subject and its database."""

    def __init__(self, running: Running, database: Database, bucket: str, load: Load) -> None:
        self._running, self._database, self._bucket, self._load = running, database, bucket, load
        self._points, self._pause = load.points, threading.Event()

    def until_all(self, begin_s: float = 30.0) -> Watched:
        """Watches until the whole load is in the database, or nothing moves any more."""
        count = self._load.count
        self._wait(self._running.begun, begin_s)
        first = last = self._look()
        committed: Look | None = None
        moved = first
        while last.written < count and last.at_s - moved.at_s < STALLED_S and self._running.child.running:
            self._pause.wait(LOOK_S)
            last = self._look()
            if (last.committed, last.written) != (moved.committed, moved.written):
                moved = last
            if committed is None and last.committed >= count:
                committed = last
        return Watched(first, committed, moved, self._at_rest(), self._running.child.peak_mb())

    def _at_rest(self) -> float:
        """CPU seconds so far, once a second passes in which next to none are added."""
        child, deadline = self._running.child, time.monotonic() + STALLED_S
        spent, before = child.cpu_s(), -1.0
        while spent - before > REST_S and time.monotonic() < deadline:
            self._pause.wait(1.0)
            spent, before = child.cpu_s(), spent
        return spent

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or not self._running.child.running:
                log = self._running.child.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"it never began: {log}")
            self._pause.wait(LOOK_S / 5)

    def _look(self) -> Look:
        cpu = self._running.child.cpu_s()
        written = self._database.written(self._bucket) * self._load.count // self._points
        return Look(time.monotonic(), self._running.committed(), written, cpu)
