"""The one writer: one queue of events, one `step`, one transaction, then the acknowledgement.

A power cut may fall on any line of `_decide`: what was not committed was not acknowledged either, so the
broker sends it again; what was committed is never told or stored twice, because the engine that is rebuilt
from checkpoint and log is the very same.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import msgspec

from gateway import telemetry
from gateway.adapters.clock import Clock
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import WORLD, Checkpoint, Record, Store
from gateway.core import state as states
from gateway.core.engine import ALL, RECENT_MOST, Engine
from gateway.core.model import (
    Configured,
    Effect,
    Event,
    Marked,
    Message,
    Messages,
    Noted,
    Notification,
    NotificationState,
    Quality,
    Refusal,
    Refused,
    Tick,
    World,
)
from gateway.core.state import State

QUEUE_MOST = 10_000  # messages waiting here; the broker holds the rest
BATCH_MOST = 2_500  # messages in one transaction: some 20 ms of work, so that an alert never waits long
GATHER_S = 0.002  # least time between two commits: at 1,000 messages a second it halves the work, for 1 ms
CHECKPOINT_S = 10.0  # at most this much log is stepped again at start
IDLE_S = 1.0  # how often an idle pipeline shows that it lives
STORE_RETRY_S = 1.0  # between two attempts while the disk refuses
REPLAY_MOST = 5_000  # messages read from the log at a time while stepping again

MESSAGES = telemetry.counter("lilong_messages_total", "Messages committed to the log")
COMMIT_S = telemetry.histogram("lilong_commit_seconds", "One transaction of the pipeline, fsync included")
QUEUED = telemetry.gauge("lilong_queue_messages", "Messages read from the broker and not yet committed")

Make = Callable[[int, int], Event]


class Acknowledger(Protocol):
    def acknowledge(self, deliveries: Sequence[Delivery]) -> None: ...


@dataclass(slots=True)
class _Asked:
    """An event from a person, a channel or the clock, and who waits for what follows."""

    make: Make
    future: Future[list[Effect]]
    world: World | None = None  # a Configured event brings its World


Work = list[Delivery | _Asked]


@dataclass(frozen=True, slots=True)
class _Done:
    record: Record
    asked: _Asked | None


class Pipeline:
    """Owns the engine and the thread that steps it.

    `offer` gets the notifications that a commit made due, `committed` gets each commit's first position
    and records (for the forwarder). Give the network's half later with `listen_to`.
    """

    def __init__(
        self,
        world: World,
        store: Store,
        clock: Clock,
        offer: Callable[[Iterable[Notification]], None],
        committed: Callable[[int, Sequence[Record]], None],
    ) -> None:
        self.store, self.clock, self._offer, self._committed = store, clock, offer, committed
        self.engine = rebuild(judged_last(store) or world, store)
        self._next_world = world
        self._broker: Acknowledger | None = None
        self._news = threading.Condition()
        self._queue: deque[Delivery | _Asked] = deque()
        self._waiting = 0  # messages in the queue
        self._stopping = False
        self._company = threading.Event()  # set only to stop
        self._committed_at = 0.0
        self._first = 0  # position of the last commit
        self._checkpoint_at = 0.0
        self.checkpointed = 0  # nothing before this position is needed to start again
        self._new_world: bytes | None = None
        self.progress_at = time.monotonic()  # last commit, or last proof that there was nothing to do
        self.received_ns = 0  # wall time of the last message
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def listen_to(self, broker: Acknowledger) -> None:
        self._broker = broker

    def start(self) -> None:
        """Begins with the World it was made with; whatever judged before is let go in good order."""
        self.reconfigure(self._next_world)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Commits what is under way and a checkpoint; the queue was not acknowledged and comes again."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._company.set()
        self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    # ------------------------------------------------------------ the way in

    def deliver(self, delivery: Delivery) -> bool:
        """From the network thread: False when the queue is full, and the broker must hold the rest."""
        with self._news:
            if self._waiting >= QUEUE_MOST or self._stopping:
                return False
            self._queue.append(delivery)
            self._waiting += len(delivery.messages)
            self._news.notify()
        return True

    def submit(self, make: Make) -> Future[list[Effect]]:
        """Any other event. `make(at, wall_ns)` builds it; the future resolves once it is committed."""
        return self._ask(_Asked(make, Future()))

    def reconfigure(self, world: World) -> Future[list[Effect]]:
        """Another World from here on: between two events, never within one."""
        return self._ask(_Asked(lambda at, wall_ns: Configured(at, wall_ns, world.digest), Future(), world))

    def _ask(self, asked: _Asked) -> Future[list[Effect]]:
        with self._news:
            self._queue.append(asked)
            self._news.notify()
        return asked.future

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping:
            work = self._take()
            try:
                done = self._decide(work)
            except sqlite3.Error as error:
                self._store_failed(work, error)
            except Exception as error:
                telemetry.log("step_failed", "error", error=error, hint="messages are tried one by one")
                self._one_by_one(work)
            else:
                self._announce(work, done)
        self._finish()
        self._save_last()

    def _finish(self) -> None:
        """What channels and people have answered by now counts; messages in the queue come again."""
        with self._news:
            asked: Work = [found for found in self._queue if isinstance(found, _Asked)]
            self._queue.clear()
        if asked:
            try:
                self._announce(asked, self._decide(asked))
            except Exception as error:
                telemetry.log("event_failed", "error", error=error)

    def _take(self) -> Work:
        """The next stretch of the queue; waits for one, or until time alone may change something."""
        with self._news:
            if not self._queue and not self._stopping:
                self._news.wait(self._pause_s())
        self._gather()
        with self._news:
            work: Work = []
            messages = 0
            while self._queue and messages < BATCH_MOST:
                found = self._queue.popleft()
                work.append(found)
                messages += len(found.messages) if isinstance(found, Delivery) else 0
            self._waiting -= messages
            QUEUED.set(self._waiting)
            return work

    def _gather(self) -> None:
        """Right after a commit, waits for company: one fsync serves as many as come."""
        left_s = self._committed_at + GATHER_S - time.monotonic()
        if left_s > 0 and self._waiting < BATCH_MOST:
            self._company.wait(left_s)

    def _pause_s(self) -> float:
        due = self.engine.next_due()
        if due is None:
            return IDLE_S
        return min(self.clock.real_s(due - self.clock.at()), IDLE_S)

    def _decide(self, work: Work) -> list[_Done]:
        """Step and commit. Raises with nothing written."""
        done = [_Done(self._step(event, asked), asked) for event, asked in self._events(work)]
        if done:
            self._commit([one.record for one in done])
            self._committed_at = time.monotonic()
        self.progress_at = time.monotonic()
        return done

    def _announce(self, work: Work, done: Sequence[_Done]) -> None:
        """What is committed may be acknowledged, told, sent on; failing here must not repeat the commit."""
        if self._broker is not None:
            self._broker.acknowledge([found for found in work if isinstance(found, Delivery)])
        for one in done:
            self._tell(one.record.effects)
            if one.asked is not None and one.asked.future.set_running_or_notify_cancel():
                one.asked.future.set_result(list(one.record.effects))
        if done:
            self._committed(self._first, [one.record for one in done])

    def _events(self, work: Work) -> Iterable[tuple[Event, _Asked | None]]:
        """Deliveries that follow each other are one event: one step and one row of the log."""
        at, wall_ns = self.clock.at(), self.clock.wall_ns()
        due = self.engine.next_due()
        if due is not None and due <= at:
            yield Tick(at, wall_ns), None
        items: list[Message] = []
        for found in work:
            if isinstance(found, Delivery):
                items.extend(found.messages)
                continue
            if items:
                yield Messages(at, wall_ns, items), None
                items = []
            yield found.make(at, wall_ns), found
        if items:
            self.received_ns = wall_ns
            yield Messages(at, wall_ns, items), None

    def _step(self, event: Event, asked: _Asked | None) -> Record:
        if isinstance(event, Configured) and asked is not None and asked.world is not None:
            self._checkpoint_at = 0.0  # the log before a change of rules is never stepped again by new ones
            self._new_world = msgspec.msgpack.encode(asked.world)
            return Record(event, self.engine.reconfigure(event, asked.world))
        effects = self.engine.step(event)
        return Record(event, effects, self.engine.readings if isinstance(event, Messages) else ())

    def _commit(self, records: Sequence[Record]) -> None:
        count = sum(record.count for record in records)
        checkpoint, world, self._new_world = None, self._new_world, None
        if time.monotonic() >= self._checkpoint_at:
            checkpoint = self._checkpoint(self.store.position() + count)
            self._checkpoint_at = time.monotonic() + CHECKPOINT_S
        with COMMIT_S.time():
            self._first = self.store.commit(records, checkpoint, world)
        if checkpoint is not None:
            self.checkpointed = max(checkpoint.position - RECENT_MOST, 0)
        MESSAGES.inc(sum(r.count for r in records if isinstance(r.event, Messages)))

    def _checkpoint(self, position: int) -> Checkpoint:
        state = self.engine.state
        return Checkpoint(position, self.clock.at(), self.clock.wall_ns(), states.save(state))

    def _save_last(self) -> None:
        """The next start then has nothing to step again."""
        try:
            self.store.commit([], self._checkpoint(self.store.position()))
        except sqlite3.Error as error:
            telemetry.log(
                "store_failed", "error", error=error, hint="the log behind the checkpoint is enough"
            )

    def _tell(self, effects: Sequence[Effect]) -> None:
        due = []
        for effect in effects:
            if isinstance(effect, Noted):
                telemetry.log(effect.event, telemetry.LEVEL_OF.get(effect.event, "info"), **effect.fields)
            elif isinstance(effect, Notification) and effect.state is NotificationState.DUE:
                due.append(effect)
        if due:
            self._offer(due)

    # ------------------------------------------------------------ when something is wrong

    def _store_failed(self, work: Work, error: sqlite3.Error) -> None:
        """Nothing was written or acknowledged: wait, and do the same work again from what is written."""
        telemetry.log(
            "store_failed", "error", error=error, hint="free or repair the disk; nothing is lost yet"
        )
        while not self._stopping:
            with self._news:
                self._news.wait(STORE_RETRY_S)
            try:
                self.store.reopen()
                self.engine = rebuild(self.engine.world, self.store)
                done = self._decide(work)
            except sqlite3.Error:
                continue
            telemetry.log("store_recovered")
            self._announce(work, done)
            return

    def _one_by_one(self, work: Work) -> None:
        """Our own code failed on something here: find it, keep it in quarantine, lose nothing else."""
        for found in work:
            if isinstance(found, _Asked):
                self._alone(found)
                continue
            for message in found.messages:
                self._alone_message(message)
            if self._broker is not None:
                self._broker.acknowledge([found])

    def _alone(self, asked: _Asked) -> None:
        self.engine = rebuild(self.engine.world, self.store)
        try:
            done = self._decide([asked])
        except Exception as error:
            telemetry.log("event_failed", "error", error=error)
            asked.future.set_exception(error)
            self.engine = rebuild(self.engine.world, self.store)
        else:
            self._announce([asked], done)

    def _alone_message(self, message: Message) -> None:
        at, wall_ns = self.clock.at(), self.clock.wall_ns()
        event = Messages(at, wall_ns, [message])
        try:
            record = Record(event, self.engine.step(event))
        except Exception as error:
            telemetry.log("message_crashed", "error", topic=message.topic, error=error)
            refused = Refused(0, Refusal.CRASHED, "", "", f"{type(error).__name__}: {error}"[:200])
            record = Record(event, [refused, Marked(0, ALL, Quality.GOOD, store=False)])
            self.engine = rebuild(self.engine.world, self.store)
        self._commit([record])
        self._tell(record.effects)


def rebuild(world: World, store: Store) -> Engine:
    """The engine as it was after the last committed event: the checkpoint, and the log behind it again.

    The effects of what is stepped again are dropped: they were committed together with their events.
    """
    checkpoint = store.load_checkpoint()
    position = checkpoint.position if checkpoint else 0
    state = states.load(checkpoint.body) if checkpoint else State(identity=store.identity)
    engine = Engine(world, state, _recent(store, position))
    end = store.position()
    while position < end:
        for logged in store.read_log(position, REPLAY_MOST):
            event = logged.event
            crashed = isinstance(event, Messages) and len(event.items) == 1 and _is_crashed(logged.marks)
            if not crashed:
                engine.step(event)
            position = logged.first + (len(event.items) if isinstance(event, Messages) else 1)
    return engine


def judged_last(store: Store) -> World | None:
    """The World of the log behind the checkpoint: files may have been edited while we were down."""
    body = store.recall(WORLD)
    try:
        return msgspec.msgpack.decode(body, type=World) if body else None
    except msgspec.MsgspecError:  # of another version's making
        return None


def _is_crashed(marks: Sequence[Marked]) -> bool:
    return bool(marks) and marks[0].component == ALL and not marks[0].store


def _recent(store: Store, position: int) -> list[Message]:
    """The last messages before a position, to know a broker's second delivery over a restart."""
    found: deque[Message] = deque(maxlen=RECENT_MOST)
    start = max(position - RECENT_MOST, 0)
    while start < position:
        rows = store.read_log(start, RECENT_MOST)
        if not rows:
            break
        for logged in rows:
            items = logged.event.items if isinstance(logged.event, Messages) else []
            found.extend(islice(items, max(position - logged.first, 0)))
            start = logged.first + max(len(items), 1)
    return list(found)
