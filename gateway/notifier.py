"""Carries due notifications to their channels: a worker for each, so that none waits for another.

What became of a sending goes back in as an `Outcome` event. Until that is committed the row is
still DUE in the store, so a crash at any line here sends at most one copy more, and loses none.
Before an attempt the channel's quotas are asked: without a token the job is held until the instant of the
next one, and whoever has several waiting gets one text for all (core.digest). What was sent within their
windows is read from the store at the start, so that a restart breaks no limit.
A provider that can be asked is asked what became of a message while its receipt is waited for.
"""

from __future__ import annotations

import dataclasses
import heapq
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from gateway import telemetry
from gateway.channels.base import Answer, Asking, Channel, Metered, spend
from gateway.channels.reliability import Reliability, Several
from gateway.core.digest import LEAST, chosen, digest, rank
from gateway.core.model import (
    SECOND,
    Event,
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Receipt,
    Told,
)
from gateway.core.quotas import Quota, Quotas, recount, urgent
from gateway.core.receipts import PATIENCE_S

QUEUE_MOST = 2_000  # a channel's queue; what does not fit stays DUE in the store and is fetched later
SETTLED_S = 2.0  # for an outcome's commit; a disk that is slower must not silence a channel
REFILL_S = 1.0  # pause between two looks into a store that has nothing new for us
ASK_S = 15.0  # between two questions about one message: carriers take a few seconds, or a minute
STOP_S = 11.0  # a little more than one exchange with a provider; what takes longer is told again
USED_UP = "the limits of this way are used up for now"
WENT = (  # may have reached the provider, and so counts against its limits
    NotificationState.ACCEPTED,
    NotificationState.UNSURE,
    NotificationState.DELIVERED,
    NotificationState.FAILED,
    NotificationState.MISSED,
)
HELD_MOST_S = 86_400.0  # how long before its sending a message may have been due
NO_CHANNEL = "no such channel: add it to channels in lilong.yaml, or take it out of the ladder"

SENDING_S = telemetry.histogram(
    "lilong_notification_seconds", "How long one attempt took at the provider", ["channel"]
)
WAITING = telemetry.gauge("lilong_notifications_waiting", "Notifications in a channel's queue", ["channel"])

NO_QUOTAS: Mapping[str, Sequence[Quota]] = {}
Submit = Callable[[Callable[[int, int], Event]], Future[Any]]
Ticket = tuple[str, int, int]  # id, attempt, due_at: one sending
Whose = tuple[str, str]  # person, address


class Time(Protocol):
    """What we need of adapters.clock.Clock."""

    def at(self) -> int: ...
    def real_s(self, span_ns: int) -> float: ...


class Ledger(Protocol):
    """What the store knows of notifications. Called from the workers' threads."""

    def still_due(self, notification: Notification) -> bool: ...
    def still_waited_for(self, notification: Notification) -> bool: ...
    def due(self, channel: str, most: int) -> Sequence[Notification]: ...
    def sent(self, channel: str, since_at: int) -> Sequence[Notification]: ...


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

    def sent(self, channel: str, since_at: int) -> list[Notification]:
        """What may have reached the provider from that steady instant on."""
        states = ",".join("?" * len(WENT))
        query = f"SELECT body FROM notification WHERE state IN ({states}) AND due_at >= ? AND channel = ?"
        due_at = since_at - int(HELD_MOST_S * SECOND)  # the index is on what was due; held back it went later
        rows = self._reader().execute(query, (*WENT, due_at, channel))
        found = (msgspec.json.decode(row[0], type=Notification) for row in rows)
        told = [replace(one, told_at=one.told_at or one.due_at) for one in found]
        return [one for one in told if one.told_at >= since_at]


class Notifier:
    """`link_of` makes the page's address for a notification, `quotas` are those of each channel by name.

    Start it after the pipeline.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        submit: Submit,
        clock: Time,
        ledger: Ledger,
        link_of: Callable[[Notification], str],
        quotas: Mapping[str, Sequence[Quota]] = NO_QUOTAS,
    ) -> None:
        self._submit = submit
        self._workers = {
            name: Worker(name, channel, submit, clock, ledger, link_of, quotas.get(name, ()))
            for name, channel in channels.items()
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

    def failing(self) -> list[str]:
        """The ways to people that failed again and again, and have taken nothing since."""
        return sorted({name for worker in self._workers.values() for name in worker.failing()})

    @property
    def workers(self) -> Sequence[Worker]:
        """For who drives them without their threads, in time of his own."""
        return tuple(self._workers.values())


def _report(submit: Submit, notification: Notification, answer: Answer) -> Future[Any]:
    said = (notification.id, answer.told, answer.detail, answer.retry_after_s, answer.number, answer.card)
    return submit(lambda at, wall_ns: Outcome(at, wall_ns, *said, answer.once, answer.receipt_s))


def shared(answer: Answer, told: Notification) -> Answer:
    """The answer to a digest, as each of its notifications hears it: one receipt is for all of them."""
    named = answer.receipt_s > 0 or answer.told is Told.UNKNOWN
    words = f"{answer.detail} ({told.together} in one text)".strip()
    return dataclasses.replace(
        answer, detail=words, card="", number=answer.number or (told.id if named else "")
    )


@dataclass(frozen=True, slots=True)
class _Job:
    notification: Notification
    number: int  # order of arrival

    @property
    def ticket(self) -> Ticket:
        return self.notification.id, self.notification.attempt, self.notification.due_at

    @property
    def whose(self) -> Whose:
        return self.notification.person, self.notification.address

    @property
    def urgent(self) -> bool:
        return urgent(self.notification)

    @property
    def counts(self) -> bool:
        """Whether it is a message that may become part of another: a question, or a card that is changed,
        rings nobody, and a week's digest is no alert.
        """
        due = self.notification.state is NotificationState.DUE
        return due and self.notification.kind not in (Kind.ANSWERED, Kind.WEEKLY)


@dataclass(slots=True)
class _Held:
    """One person's jobs that wait for a token."""

    until: int
    jobs: list[_Job]


class Worker:
    """One channel's thread and queue: first by instant until due, then by level, then by quota."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        submit: Submit,
        clock: Time,
        ledger: Ledger,
        link_of: Callable[[Notification], str],
        quotas: Sequence[Quota] = (),
    ) -> None:
        self._name, self._channel, self._submit = name, channel, submit
        self._asking = channel if isinstance(channel, Asking) else None
        self._clock, self._ledger, self._link_of = clock, ledger, link_of
        self._news = threading.Condition()
        self._later: list[tuple[int, int, _Job]] = []  # due_at, number
        self._ready: list[tuple[int, int, _Job]] = []  # -rank, number
        self._held: dict[Whose, _Held] = {}
        self._quotas = Quotas(quotas)
        self._metered = channel if isinstance(channel, Metered) else None
        self._recounted = False
        self._to_ask: list[tuple[int, int, _Job]] = []  # as _later; asked after all that is to be sent
        self._known: set[Ticket] = set()  # queued, under way, or not yet committed
        self._left_in_store = False
        self._stopping = False
        self._numbers = count()
        self._thread = threading.Thread(target=self._run, name=f"notifier-{name}", daemon=True)
        self._reliability = Reliability(name)
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
            return self._length()

    def failing(self) -> list[str]:
        """Its name, when it fails; of those that it is made of, theirs."""
        own = [self._name] if self._reliability.failing(self._clock.at()) else []
        return [*own, *(self._channel.failing() if isinstance(self._channel, Several) else ())]

    def _length(self) -> int:
        return len(self._later) + len(self._ready) + sum(len(held.jobs) for held in self._held.values())

    def offer(self, notification: Notification) -> None:
        job = _Job(notification, next(self._numbers))
        with self._news:
            if job.ticket in self._known:
                return
            if self._length() >= QUEUE_MOST:
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
        while not self._stopping:
            jobs: list[_Job] = []
            try:
                self._recount()
                if jobs := self._next():
                    self._handle(jobs)
            except Exception as error:  # one that we cannot handle must not stop the others
                self._failed(jobs, error)

    def turn(self) -> bool:
        """One round without waiting; False when nothing is to be done before `next_at`."""
        self._recount()
        with self._news:
            jobs = self._take(self._clock.at())
        if jobs:
            self._handle(jobs)
        return bool(jobs)

    def next_at(self) -> int | None:
        """When the next of what waits may go; None: nothing does."""
        firsts = [queue[0][0] for queue in (self._later, self._to_ask) if queue]
        return min([*firsts, *(held.until for held in self._held.values())], default=None)

    def _recount(self) -> None:
        """What was sent before our start counts too."""
        if self._recounted:
            return
        at, span_s = self._clock.at(), max(self._quotas.span_s, self._metered.span_s if self._metered else 0)
        sent = self._ledger.sent(self._name, at - int(span_s * SECOND)) if span_s else ()
        recount(self._quotas, sent)
        if self._metered:
            self._metered.recount(sent, at)
        self._recounted = True

    def _failed(self, jobs: Sequence[_Job], error: Exception) -> None:
        """Whatever was in hand is still due: the store will say so, when it can be read again."""
        for job in jobs:
            self._forget(job)
        telemetry.log(
            "notification_failed",
            "error",
            channel=self._name,
            message_id=jobs[0].notification.id if jobs else "",
            error=type(error).__name__,  # its words may hold the request, and so a key
        )
        with self._news:
            self._left_in_store = True
            if not self._stopping:
                self._news.wait(REFILL_S)

    def _next(self) -> list[_Job]:
        """The most urgent that is due, with what goes into the same text; waits for one. Empty: stop."""
        while not self._stopping:
            with self._news:
                if (jobs := self._take(self._clock.at())) and not self._stopping:
                    return jobs
                if not self._left_in_store and not self._stopping:
                    self._news.wait(self._pause_s())
                    continue
            self._refill()
        return []

    def _take(self, at: int) -> list[_Job]:
        """What may go now; on the way, what may not is held until it may."""
        self._ripen(at)
        while self._ready:
            job = heapq.heappop(self._ready)[2]
            if not job.counts:
                return [job]
            free_at = self._quotas.free_at(job.notification, at)
            if free_at <= at:
                return self._together(job, at)
            if job.urgent and free_at - at > PATIENCE_S * SECOND:
                return [job]  # the ladder must know that it does not go this way
            self._hold(job, free_at)
        return []

    def _hold(self, job: _Job, until: int) -> None:
        held = self._held.setdefault(job.whose, _Held(until, []))
        held.until = min(held.until, until)
        held.jobs.append(job)

    def _together(self, job: _Job, at: int) -> list[_Job]:
        """With all that waits for the same person, once it is too much to be sent one by one."""
        others = self._others(job)
        if len(others) + 1 < LEAST:  # a red is not mixed with a single yellow: alone it has its buttons
            alike = self._short(job.notification, at) and [one for one in others if one.urgent == job.urgent]
            self._put_back(one for one in others if not alike or one not in alike)
            others = alike or []
        if not others:
            return [job]
        waiting = {one.notification.id: one for one in (job, *others)}
        told = [one.id for one in chosen([one.notification for one in waiting.values()])]
        self._put_back(one for name, one in waiting.items() if name not in told)
        return [waiting[name] for name in told]

    def _others(self, job: _Job) -> list[_Job]:
        """Taken out of the queue: what else waits for the same person, for a token or for its turn."""
        if not self._quotas:
            return []
        held = self._held.pop(job.whose, None)
        same = [one for _, _, one in self._ready if one.whose == job.whose and one.counts]
        if same:
            taken = {one.number for one in same}
            self._ready = [entry for entry in self._ready if entry[2].number not in taken]
            heapq.heapify(self._ready)
        return same + (held.jobs if held else [])

    def _short(self, told: Notification, at: int) -> bool:
        """Whether after this one there is no token for another."""
        return self._quotas.room(told, at) < 2

    def _put_back(self, jobs: Iterable[_Job]) -> None:
        for job in jobs:
            heapq.heappush(self._ready, (-rank(job.notification), job.number, job))

    def _ripen(self, at: int) -> None:
        while self._later and self._later[0][0] <= at:
            self._put_back([heapq.heappop(self._later)[2]])
        for whose in [whose for whose, held in self._held.items() if held.until <= at]:
            self._put_back(self._held.pop(whose).jobs)
        self._waiting.set(self._length())
        while self._to_ask and self._to_ask[0][0] <= at:
            job = heapq.heappop(self._to_ask)[2]
            heapq.heappush(self._ready, (0, job.number, job))

    def _pause_s(self) -> float | None:
        first = self.next_at()
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

    def _handle(self, jobs: Sequence[_Job]) -> None:
        if jobs[0].notification.state is not NotificationState.DUE:
            self._ask(jobs[0].notification)
            return
        due = []
        for job in jobs:
            if self._ledger.still_due(job.notification):
                due.append(job)
            else:
                self._forget(job)
        if due:
            self._settle(due, self._send([job.notification for job in due]))

    def _send(self, batch: Sequence[Notification]) -> Answer:
        """One text, for one notification or for several."""
        told, at = digest(batch) if len(batch) > 1 else batch[0], self._clock.at()
        counts = told.kind is not Kind.ANSWERED and self._quotas
        if counts and (wait_ns := self._quotas.free_at(told, at) - at) > 0:
            return Answer(Told.LATER, USED_UP, wait_ns / SECOND)
        with self._sending_s.time():
            answer = self._attempt(told)
        if counts:  # as of now: a provider counts when it arrives, and that may have taken seconds
            spend(self._name, self._quotas, told, self._clock.at())
        self._reliability.learn(answer, self._clock.at())
        if len(batch) == 1:
            return answer
        return shared(answer, told)

    def _settle(self, jobs: Sequence[_Job], answer: Answer) -> None:
        """Tells what became of each; goes on once that is committed."""
        reported = []
        for job in jobs:
            notification = job.notification
            if answer.told is Told.ACCEPTED:  # all else is said by the core, which decides what follows
                telemetry.log(
                    "notification_accepted",
                    channel=self._name,
                    message_id=notification.id,
                    case=notification.case,
                    attempt=notification.attempt + 1,
                )
            future = _report(self._submit, notification, answer)
            future.add_done_callback(partial(self._committed, job))
            reported.append(future)
        wait(reported, SETTLED_S)  # only then the next: a crash repeats one message, not all of a burst

    def _committed(self, job: _Job, _: object) -> None:
        self._forget(job)

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
        said = (self._name, notification.id, found.delivered, found.detail, found.failure)
        self._submit(lambda at, wall_ns: Receipt(at, wall_ns, *said))

    def _attempt(self, notification: Notification) -> Answer:
        try:
            return self._channel.send(notification, notification.text, self._link_of(notification))
        except Exception as error:  # ours, not the far side's: the ladder must go on all the same
            return Answer(Told.UNKNOWN, f"our own fault: {type(error).__name__}")

    def _forget(self, job: _Job) -> None:
        with self._news:
            self._known.discard(job.ticket)
