"""Asks cameras for pictures: one thread, so that no person's message waits for a broker or a camera.

What became of an attempt goes back in as an `Outcome` event. Until that is committed the row is still DUE
in the store, so a crash at any line here asks at most once more, under the same id, by which the camera knows
it. No broker keeps the request: a camera that was away for longer than an answer is waited for is not asked.
"""

from __future__ import annotations

import heapq
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from gateway import telemetry
from gateway.adapters.mqtt_publish import NotPublished, publish
from gateway.core.cameras import request
from gateway.core.model import SECOND, Outcome, Snapshot, SnapshotState, Told

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

NAME = "snapshot"  # behind our name at the broker
SETTLED_S = 2.0  # for an outcome's commit; a disk that is slower must not silence us
FAILED_S = 1.0  # after our own fault, or a store that cannot be read
STOP_S = 5.0  # a little more than one exchange with the broker


class Time(Protocol):
    """What we need of adapters.clock.Clock."""

    def at(self) -> int: ...
    def real_s(self, span_ns: int) -> float: ...


class Requester:
    """Start it after the pipeline. `reader` gives this thread's read-only connection to the store."""

    def __init__(
        self,
        broker: BrokerConfig,
        submit: Callable[[Callable[[int, int], Outcome]], Any],
        clock: Time,
        reader: Callable[[], sqlite3.Connection],
    ) -> None:
        self._broker, self._submit, self._clock, self._reader = broker, submit, clock, reader
        self._news = threading.Condition()
        self._queue: list[tuple[int, int, Snapshot]] = []  # due_at, number; core.snapshots bounds it
        self._numbers = count()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Ends after the attempt under way; what is queued stays DUE in the store."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def offer(self, snapshots: Iterable[Snapshot]) -> None:
        """Takes those that are due, now or at their `due_at`. Never blocks."""
        with self._news:
            for one in snapshots:
                if one.state is SnapshotState.DUE:
                    heapq.heappush(self._queue, (one.due_at, next(self._numbers), one))
            self._news.notify()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            try:
                self._ask(wanted)
            except Exception as error:
                telemetry.log("snapshot_failed", "error", alert=wanted.alert, error=error)
                again = self._clock.at() + int(FAILED_S * SECOND)
                with self._news:
                    heapq.heappush(self._queue, (again, next(self._numbers), wanted))

    def _next(self) -> Snapshot | None:
        """The first that is due; waits for it. None: stop."""
        with self._news:
            while not self._stopping:
                left_ns = self._queue[0][0] - self._clock.at() if self._queue else None
                if left_ns is not None and left_ns <= 0:
                    return heapq.heappop(self._queue)[2]
                self._news.wait(None if left_ns is None else self._clock.real_s(left_ns))
        return None

    def _ask(self, wanted: Snapshot) -> None:
        left_s = self._clock.real_s(wanted.answer_by - self._clock.at())
        if left_s <= 0 or not self._still_due(wanted):
            return
        told, detail = Told.ACCEPTED, ""
        try:
            publish(self._broker, NAME, wanted.topic, request(wanted), left_s)
        except NotPublished as error:
            told, detail = Told.REFUSED if error.for_good else Told.LATER, str(error)
        outcome = self._submit(lambda at, wall_ns: Outcome(at, wall_ns, wanted.id, told, detail))
        wait([outcome], SETTLED_S)  # only then the next: a crash repeats one request, not all of a burst

    def _still_due(self, wanted: Snapshot) -> bool:
        """False once it came, was given up, or was put off to another attempt."""
        query = "SELECT state, json_extract(CAST(body AS TEXT), '$.attempt') FROM snapshot WHERE id = ?"
        row = self._reader().execute(query, (wanted.id,)).fetchone()
        return row is not None and (row[0], row[1] or 0) == (SnapshotState.DUE, wanted.attempt)
