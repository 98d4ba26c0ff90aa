"""Carries due notifications to their channels: a worker for each, so that none waits for another.

What became of a sending goes back in as an `Outcome` event. Until that is committed the row is
still DUE in the store, so a crash at any line here sends at most one copy more, and loses none.
A provider that can be asked is asked what became of a message while its receipt is waited for.
"""

from __future__ import annotations

import heapq
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import msgspec

from gateway import telemetry
from gateway.channels.base import Answer, Asking, Channel
from gateway.core.model import SECOND, Event, Level, Notification, NotificationState, Outcome, Receipt, Told

QUEUE_MOST = 2_000  # a channel's queue; what does not fit stays DUE in the store and is fetched later
SETTLED_S = 2.0  # for an outcome's commit; a disk that is slower must not silence a channel
REFILL_S = 1.0  # pause between two looks into a store that has nothing new for us
ASK_S = 15.0  # between two questions about one message: carriers take a few seconds, or a minute
STOP_S = 11.0  # a little more than a channel's longest attempt
NO_CHANNEL = "no such channel: add it to channels in lilong.yaml, or take it out of the ladder"

SENDING_S = telemetry.histogram(
    "lilong_notification_seconds", "How long one attempt took at the provider", ["channel"]
)
WAITING = telemetry.gauge("lilong_notifications_waiting", "Notifications in a channel's queue", ["channel"])

Submit = Callable[[Callable[[int, int], Event]], Future[Any]]
Ticket = tuple[str, int, int]  # id, attempt, due_at: one sending


class Time(Protocol):
    """What we need of adapters.clock.Clock."""

    def at(self) -> int: ...
    def real_s(self, span_ns: int) -> float: ...


class Ledger(Protocol):
    """What the store knows of notifications. Called from the workers' threads."""

    def still_due(self, notification: Notification) -> bool: ...
    def still_waited_for(self, notification: Notification) -> bool: ...
    def due(self, channel: str, most: int) -> Sequence[Notification]: ...


class StoreLedger:
    """Ledger over the store's read-only connections."""

    def __init__(self, reader: Callable[[], sqlite3.Connection]) -> None:
        self._reader = reader

    def still_due(self, notification: Notification) -> bool:
        """False once it was settled, cancelled, or put off to another attempt."""
        query = "SELECT state, attempt FROM notification WHERE id = ?"
        row = self._reader().execute(query, (notification.id,)).fetchone()
        return row is not None and tuple(row) == (NotificationState.DUE, notification.attempt)

    def still_waited_for(self, notification: Notification) -> bool:
        """False once its receipt came, or nobody waits for it any more."""
        query = "SELECT state FROM notification WHERE id = ?"
        row = self._reader().execute(query, (notification.id,)).fetchone()
        return row is not None and row[0] == notification.state

    def due(self, channel: str, most: int) -> list[Notification]:
        """The most urgent first."""
        query = "SELECT body FROM notification WHERE channel = ? AND state = ?"
        rows = self._reader().execute(query, (channel, NotificationState.DUE))
        found = [msgspec.json.decode(row[0], type=Notification) for row in rows]
        return sorted(found, key=lambda one: (-one.level, one.due_at))[:most]


class Notifier:
    """`link_of` makes the page's address for a notification. Start it after the pipeline."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        submit: Submit,
        clock: Time,
        ledger: Ledger,
        link_of: Callable[[Notification], str],
    ) -> None:
        self._submit = submit
        self._workers = {
            name: _Worker(name, channel, submit, clock, ledger, link_of) for name, channel in channels.items()
        }

    def start(self) -> None:
        for worker in self._workers.values():
            worker.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End after the attempts under way; what is queued stays DUE in the store."""
        for worker in self._workers.values():
            worker.tell_stop()
        for worker in self._workers.values():
            worker.join(timeout_s)

    def offer(self, notifications: Iterable[Notification]) -> None:
        """Take what is due (now or at its `due_at`), and what waits for its receipt, so that it is asked for.

        Never blocks; the same one twice is one sending.
        """
        for notification in notifications:
            worker = self._workers.get(notification.channel)
            if notification.state is not NotificationState.DUE:
                if worker and notification.receipt_by:
                    worker.ask_later(notification)
            elif worker:
                worker.offer(notification)
            else:
                _report(self._submit, notification, Answer(Told.REFUSED, NO_CHANNEL))

    def waiting(self) -> dict[str, int]:
        """How many are queued, by channel."""
        return {name: worker.waiting() for name, worker in self._workers.items()}


def _report(submit: Submit, notification: Notification, answer: Answer) -> Future[Any]:
    said = (notification.id, answer.told, answer.detail, answer.retry_after_s, answer.number, answer.card)
    return submit(lambda at, wall_ns: Outcome(at, wall_ns, *said, answer.once, answer.receipt_s))


@dataclass(frozen=True, slots=True)
class _Job:
    notification: Notification
    number: int  # order of arrival

    @property
    def ticket(self) -> Ticket:
        return self.notification.id, self.notification.attempt, self.notification.due_at


class _Worker:
    """One channel's thread and queue: first by instant until due, then by level."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        submit: Submit,
        clock: Time,
        ledger: Ledger,
        link_of: Callable[[Notification], str],
    ) -> None:
        self._name, self._channel, self._submit = name, channel, submit
        self._asking = channel if isinstance(channel, Asking) else None
        self._clock, self._ledger, self._link_of = clock, ledger, link_of
        self._news = threading.Condition()
        self._later: list[tuple[int, int, _Job]] = []  # due_at, number
        self._ready: list[tuple[int, int, _Job]] = []  # -level, number
        self._to_ask: list[tuple[int, int, _Job]] = []  # as _later; asked after all that is to be sent
        self._known: set[Ticket] = set()  # queued, under way, or not yet committed
        self._left_in_store = False
        self._stopping = False
        self._numbers = count()
        self._thread = threading.Thread(target=self._run, name=f"notifier-{name}", daemon=True)
        self._sending_s, self._waiting = SENDING_S.labels(name), WAITING.labels(name)

    def start(self) -> None:
        self._thread.start()

    def tell_stop(self) -> None:
        with self._news:
            self._stopping = True
            self._news.notify()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def waiting(self) -> int:
        with self._news:
            return len(self._later) + len(self._ready)

    def offer(self, notification: Notification) -> None:
        job = _Job(notification, next(self._numbers))
        with self._news:
            if job.ticket in self._known:
                return
            if len(self._later) + len(self._ready) >= QUEUE_MOST:
                self._left_in_store = True
                if notification.level is not Level.RED:  # for that there is always room
                    return
            self._known.add(job.ticket)
            heapq.heappush(self._later, (notification.due_at, job.number, job))
            self._news.notify()

    def ask_later(self, notification: Notification) -> None:
        """Asks the provider in a while, if it can be asked and somebody will still wait then."""
        due_at = self._clock.at() + int(ASK_S * SECOND)
        if self._asking is None or due_at >= notification.receipt_by:
            return
        job = _Job(notification, next(self._numbers))
        with self._news:
            if len(self._to_ask) < QUEUE_MOST:
                heapq.heappush(self._to_ask, (due_at, job.number, job))
                self._news.notify()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        job = None
        while not self._stopping:
            try:
                if job := self._next():
                    self._handle(job)
            except Exception as error:  # one that we cannot handle must not stop the others
                self._failed(job, error)

    def _failed(self, job: _Job | None, error: Exception) -> None:
        """Whatever was in hand is still due: the store will say so, when it can be read again."""
        if job:
            self._forget(job)
        telemetry.log(
            "notification_failed",
            "error",
            channel=self._name,
            message_id=job.notification.id if job else "",
            error=type(error).__name__,  # its words may hold the request, and so a key
        )
        with self._news:
            self._left_in_store = True
            if not self._stopping:
                self._news.wait(REFILL_S)

    def _next(self) -> _Job | None:
        """The most urgent that is due; waits for one. None: stop."""
        while not self._stopping:
            with self._news:
                self._ripen(self._clock.at())
                if self._ready and not self._stopping:
                    return heapq.heappop(self._ready)[2]
                if not self._left_in_store and not self._stopping:
                    self._news.wait(self._pause_s())
                    continue
            self._refill()
        return None

    def _ripen(self, at: int) -> None:
        while self._later and self._later[0][0] <= at:
            job = heapq.heappop(self._later)[2]
            heapq.heappush(self._ready, (-job.notification.level, job.number, job))
        self._waiting.set(len(self._later) + len(self._ready))
        while self._to_ask and self._to_ask[0][0] <= at:
            job = heapq.heappop(self._to_ask)[2]
            heapq.heappush(self._ready, (0, job.number, job))

    def _pause_s(self) -> float | None:
        first = min((one[0][0] for one in (self._later, self._to_ask) if one), default=None)
        return None if first is None else self._clock.real_s(first - self._clock.at())

    def _refill(self) -> None:
        """What once did not fit, now that nothing else is ready."""
        self._left_in_store = False
        before = len(self._known)
        found = self._ledger.due(self._name, QUEUE_MOST)
        for notification in found:
            self.offer(notification)
        with self._news:
            self._left_in_store |= len(found) == QUEUE_MOST
            if len(self._known) == before and not self._stopping:
                self._news.wait(REFILL_S)  # all of them wait for their commit: no use asking again at once

    def _handle(self, job: _Job) -> None:
        notification = job.notification
        if notification.state is not NotificationState.DUE:
            self._ask(notification)
            return
        if not self._ledger.still_due(notification):
            self._forget(job)
            return
        with self._sending_s.time():
            answer = self._attempt(notification)
        if answer.told is Told.ACCEPTED:  # all else is said by the core, which decides what follows
            telemetry.log(
                "notification_accepted",
                channel=self._name,
                message_id=notification.id,
                case=notification.case,
                attempt=notification.attempt + 1,
            )
        reported = _report(self._submit, notification, answer)
        reported.add_done_callback(lambda _: self._forget(job))
        wait([reported], SETTLED_S)  # only then the next: a crash repeats one message, not all of a burst

    def _ask(self, notification: Notification) -> None:
        """What became of a message, from the provider itself; again in a while when it does not know yet."""
        if self._asking is None or not self._ledger.still_waited_for(notification):
            return
        try:
            found = self._asking.ask(notification)
        except Exception as error:  # ours: without a receipt the ladder goes on
            fields = {"channel": self._name, "message_id": notification.id, "error": type(error).__name__}
            telemetry.log("notification_failed", "error", **fields)
            return
        if found is None:
            self.ask_later(notification)
            return
        channel = self._name
        self._submit(
            lambda at, wall_ns: Receipt(at, wall_ns, channel, notification.id, found.delivered, found.detail)
        )

    def _attempt(self, notification: Notification) -> Answer:
        try:
            return self._channel.send(notification, notification.text, self._link_of(notification))
        except Exception as error:  # ours, not the far side's: the ladder must go on all the same
            return Answer(Told.UNKNOWN, f"our own fault: {type(error).__name__}")

    def _forget(self, job: _Job) -> None:
        with self._news:
            self._known.discard(job.ticket)
