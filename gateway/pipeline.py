"""The one writer: one queue of events, one `step`, one transaction, then the acknowledgement.

A power cut may fall on any line of `_decide`: what was not committed was not acknowledged either, so the
broker sends it again; what was committed is never told or stored twice, because the engine that is rebuilt
from checkpoint and log is the very same.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import msgspec

from gateway import telemetry
from gateway.adapters.clock import Clock
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import WORLD, WORLD_BEFORE, Checkpoint, Logged, Record, Store, StoreDamaged
from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.hearing import ALL
from gateway.core.model import (
    Act,
    Configured,
    Effect,
    Event,
    Link,
    Marked,
    Message,
    Messages,
    Noted,
    Notification,
    NotificationState,
    Outcome,
    Quality,
    Receipt,
    Refusal,
    Refused,
    Reply,
    Snapshot,
    Tick,
    World,
)
from gateway.core.noisy import Noise, kept_ns
from gateway.core.repeats import RECENT_MOST
from gateway.core.state import State
from gateway.suspicions import Suspicions
from gateway.upgrades import Names, read_world

DUE = NotificationState.DUE
QUEUE_MOST = 10_000  # messages waiting here; the broker holds the rest
BATCH_MOST = 2_500  # messages in one transaction: some 20 ms of work, so that an alert never waits long
GATHER_S = 0.0005  # least time between two commits: one fsync serves what comes meanwhile
CHECKPOINT_S = 10.0  # at most this much log is stepped again at start
IDLE_S = 1.0  # how often an idle pipeline shows that it lives
STOOD_STILL_S = 10.0  # between two turns of an idle loop: the process was stopped, or the whole box was
STORE_RETRY_S = 1.0  # between two attempts while the disk refuses
NOISE_S = 10.0  # between two lines about noisy devices
REPLAY_MOST = 5_000  # messages read from the log at a time while stepping again

MESSAGES = telemetry.counter("lilong_messages_total", "Messages from devices committed to the log")
COMMIT_S = telemetry.histogram("lilong_commit_seconds", "One transaction of the pipeline, fsync included")
MARKED = telemetry.counter("lilong_readings_marked_total", "Readings that are not plainly good", ["quality"])
NOISY = telemetry.counter(
    "lilong_messages_noisy_total", "Repetitions of flooding devices: acknowledged and let go"
)
QUEUED = telemetry.gauge("lilong_queue_messages", "Messages read from the broker and not yet committed")

REJUDGED_HINT = "another version, or other rules, judged it: look through the open cases (lilong cases)"

CRASHED = Marked(0, ALL, Quality.GOOD, store=False, left_out=(Refusal.CRASHED,))  # never stepped again

Make = Callable[[int, int], Event]
Object = Callable[[State], Exception | None]  # why what stands forbids a World, if it does


@dataclass(frozen=True, slots=True)
class Posted(Delivery):
    """A message whose sender waits for our answer, not for the broker's: `done` resolves once it is safe."""

    done: Future[None]

    def settle(self) -> None:
        if not self.done.done() and self.done.set_running_or_notify_cancel():
            self.done.set_result(None)


@dataclass(frozen=True, slots=True)
class Report(Posted):
    """What the gateway says of itself: no sensor spoke."""


class Acknowledger(Protocol):
    def acknowledge(self, deliveries: Sequence[Delivery]) -> None: ...


@dataclass(slots=True)
class _Asked:
    """An event from a person, a channel or the clock, and who waits for what follows."""

    make: Make
    future: Future[list[Effect]]
    world: World | None = None  # a Configured event brings its World
    object: Object | None = None  # asked in the very instant in which that would take over
    objection: Exception | None = None  # and what was answered
    refused: Refused | None = None  # a message that is not stepped: our own code failed on it


Work = list[Delivery | _Asked]


@dataclass(frozen=True, slots=True)
class _Done:
    record: Record
    asked: _Asked | None


class Pipeline:
    """Owns the engine and the thread that steps it.

    `offer` gets the notifications that a commit made due or let wait for their receipt, and what became of
    snapshots; `committed`
    gets each commit's first position and records (for the forwarder). Give the network's half later
    with `listen_to`.
    """

    def __init__(
        self,
        world: World,
        store: Store,
        clock: Clock,
        offer: Callable[[Iterable[Notification | Snapshot]], None],
        committed: Callable[[int, Sequence[Record]], None],
    ) -> None:
        self.store, self.clock, self._offer, self._committed = store, clock, offer, committed
        self.suspicions = Suspicions(clock.at)
        self._world = judged_last(store) or world  # of what is committed
        self.engine = rebuild(self._world, store)
        self._sound = True  # the engine is what the store says
        self._next_world = world
        self._broker: Acknowledger | None = None
        self._news = threading.Condition()
        self._queue: deque[Delivery | _Asked] = deque()
        self._urgent: deque[_Asked] = deque()  # people and channels: before whatever the broker heaps up
        self._waiting = 0  # messages in the queue
        self._stopping = False
        self._company = threading.Event()  # set only to stop
        self._committed_at = 0.0
        self._turned_at = time.monotonic()  # the loop's last turn
        self._first = 0  # position of the last commit
        self._checkpoint_at = 0.0
        self.checkpointed = 0  # nothing before this position is needed to start again
        self._checkpoint_last = 0  # position of the newest one
        self._new_world: bytes | None = None
        self.progress_at = time.monotonic()  # last commit, or last proof that there was nothing to do
        self.received_ns = 0  # wall time of the last message
        self._noise = Noise(self.engine.world, self.engine.decoder)
        self._let_go: Counter[str] = Counter()  # device -> messages, not told yet
        self._noise_at = 0.0  # when they may be told next
        self._reports = 0  # of the gateway itself, in what is being committed
        self._held_back_at: float | None = None  # since when the queue is full or the disk refuses
        self._held_back_s = 0.0  # the longest such time that is over and was not asked for yet
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def listen_to(self, broker: Acknowledger) -> None:
        self._broker = broker

    def start(self) -> None:
        """Begins with the World it was made with; whatever judged before is let go in good order.

        Before that it says that it has been deaf since the last thing it knows, and still is.
        """
        last, self._turned_at = self.engine.state.at, time.monotonic()
        self.submit_in_order(lambda _, wall_ns: Link(last, wall_ns, False))
        self.submit(lambda at, wall_ns: Link(at, wall_ns, False))
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
                self._hold_back()
                return False
            self._queue.append(delivery)
            self._waiting += len(delivery.messages)
            self._news.notify()
        return True

    def submit(self, make: Make) -> Future[list[Effect]]:
        """What a person or a channel says. `make(at, wall_ns)` builds the event; the future resolves once it
        is committed, which waits for no message: an answer that is not written down is asked for again.
        """
        return self._ask(_Asked(make, Future()), self._urgent)

    def submit_in_order(self, make: Make) -> Future[list[Effect]]:
        """An event that means something only between the messages before and after it."""
        return self._ask(_Asked(make, Future()), self._queue)

    def reconfigure(self, world: World, object: Object | None = None) -> Future[list[Effect]]:
        """Another World from here on: between two events, never within one.

        `object` sees the state that it would take over; what it returns is the future's exception, and
        nothing changes. A future that can be cancelled still had no effect, and then has none.
        """
        asked = _Asked(lambda at, wall_ns: Configured(at, wall_ns, world.digest), Future(), world, object)
        return self._ask(asked, self._queue)

    def _ask(self, asked: _Asked, queue: deque[Any]) -> Future[list[Effect]]:
        with self._news:
            queue.append(asked)
            self._news.notify()
        return asked.future

    # ------------------------------------------------------------ not taking anything

    def take_held_back_s(self) -> float:
        """The longest time, now or since this was last asked, that the queue was full or the disk refused."""
        with self._news:
            now_s = self._since_held_back_s()
            found, self._held_back_s = max(now_s, self._held_back_s), 0.0
        return found * self.clock.speed

    def _since_held_back_s(self) -> float:
        return 0.0 if self._held_back_at is None else time.monotonic() - self._held_back_at

    def _hold_back(self) -> None:
        with self._news:
            self._held_back_at = self._held_back_at or time.monotonic()

    def _take_again(self) -> None:
        with self._news:
            self._held_back_s = max(self._held_back_s, self._since_held_back_s())
            self._held_back_at = None

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping:
            work = self._take()
            try:
                self._do(work)
            except Exception as error:
                telemetry.log("step_failed", "error", error=error, hint="messages are tried one by one")
                self._one_by_one(work)
        self._finish()
        self._save_last()

    def _do(self, work: Work) -> bool:
        """Commits and announces, however long the disk refuses; False: told to stop before it could.

        Raises what our own code does on the way, with nothing written.
        """
        try:
            done = self._decide(work)
        except sqlite3.Error as error:
            found = self._store_failed(work, error)
            if found is None:
                return False
            done = found
        self._announce(work, done)
        return True

    def _finish(self) -> None:
        """What channels and people have answered by now counts; messages in the queue come again."""
        with self._news:
            asked: Work = [*self._urgent, *(found for found in self._queue if isinstance(found, _Asked))]
            self._queue.clear()
            self._urgent.clear()
        if asked:
            try:
                self._announce(asked, self._decide(asked))
            except Exception as error:
                telemetry.log("event_failed", "error", error=error)

    def _take(self) -> Work:
        """The next stretch of the queue; waits for one, or until time alone may change something."""
        with self._news:
            if not self._queue and not self._urgent and not self._stopping:
                self._news.wait(self._pause_s())
        self._gather()
        with self._news:
            work: Work = [*self._urgent]
            self._urgent.clear()
            messages = 0
            while self._queue and messages < BATCH_MOST:
                found = self._queue.popleft()
                work.append(found)
                messages += len(found.messages) if isinstance(found, Delivery) else 0
                self._reports += isinstance(found, Report)
            self._waiting -= messages
            if self._held_back_at is not None and self._waiting < QUEUE_MOST // 2:  # else it is full at once
                self._take_again()
            QUEUED.set(self._waiting)
        return self._sifted(work)

    def _sifted(self, work: Work) -> Work:
        """Without what a flooding device repeats: that is acknowledged with its delivery, and counted."""
        if self._noise.decoder is not self.engine.decoder:
            self._noise = Noise(self.engine.world, self.engine.decoder)
        at, wall_ns = self.clock.at(), self.clock.wall_ns()
        kept = kept_ns(self.engine.state, at)
        sifted: Work = []
        for found in work:
            if isinstance(found, Delivery):
                messages = self._noise.sift(found.messages, at, wall_ns, kept, self._let_go)
                found = found if messages is found.messages else replace(found, messages=messages)
            sifted.append(found)
        self._tell_noise()
        return sifted

    def _tell_noise(self) -> None:
        """A line for each noisy device, at once and then every few seconds."""
        if self._let_go and time.monotonic() >= self._noise_at:
            for device, count in self._let_go.items():
                hint = "it repeats itself far more often than its model says; what changed is all kept"
                telemetry.log("device_noisy", "warning", device=device, count=count, hint=hint)
            NOISY.inc(self._let_go.total())
            self._let_go.clear()
            self._noise_at = time.monotonic() + NOISE_S

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
        """Step and commit. Raises with nothing written; the engine is then made anew before its next step."""
        if not self._sound:
            self.engine, self._new_world = rebuild(self._world, self.store), None
        self._sound = False
        done = [_Done(self._step(event, asked), asked) for event, asked in self._events(work)]
        if done:
            self._commit([one.record for one in done])
            self._committed_at = time.monotonic()
        self._world, self._sound = self.engine.world, True
        self.progress_at = self._turned_at = time.monotonic()
        return done

    def _announce(self, work: Work, done: Sequence[_Done]) -> None:
        """What is committed may be acknowledged, told, sent on; failing here must not repeat the commit."""
        self._acknowledge([found for found in work if isinstance(found, Delivery)])
        for one in done:
            self._tell(one.record.effects)
            if one.asked is not None and _claimed(one.asked.future):
                _answer(one.asked, one.record.effects)
        if done:
            self._committed(self._first, [one.record for one in done])

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Each to whom it came from."""
        for posted in deliveries:
            if isinstance(posted, Posted):
                posted.settle()
        if self._broker is not None:
            self._broker.acknowledge([one for one in deliveries if not isinstance(one, Posted)])

    def _events(self, work: Work) -> Iterable[tuple[Event, _Asked | None]]:
        """The work's events, after what is due; but whether we heard at all is said before it."""
        at, wall_ns = self.clock.at(), self.clock.wall_ns()
        if self._stood_still():
            yield Link(at, wall_ns, True), None
        events = self._made(work, at, wall_ns)
        first, due = next(events, None), self.engine.next_due()
        if due is not None and due <= at and not (first and isinstance(first[0], Link)):
            yield Tick(at, wall_ns), None
        if first:
            yield first
            yield from events

    def _stood_still(self) -> bool:
        """Whether we were stopped for a while under a link that stayed up: what was said meanwhile waits in
        it still, and silence until now proves nothing.
        """
        still_s = time.monotonic() - self._turned_at
        if still_s < STOOD_STILL_S or not self.engine.state.link_up:
            return False
        telemetry.log("stood_still", "warning", duration_s=round(still_s, 1))
        return True

    def _made(self, work: Work, at: int, wall_ns: int) -> Iterator[tuple[Event, _Asked | None]]:
        """Deliveries that follow each other are one event: one step and one row of the log."""
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
            yield Messages(at, wall_ns, items), None

    def _step(self, event: Event, asked: _Asked | None) -> Record:
        if isinstance(event, Configured) and asked is not None and asked.world is not None:
            if not self._may_take_over(asked):
                event = Tick(event.at, event.wall_ns)  # nothing but time has passed
                return Record(event, self.engine.step(event))
            self._checkpoint_at = 0.0  # the log before a change of rules is never stepped again by new ones
            self._new_world = msgspec.msgpack.encode(asked.world)
            return Record(event, self.engine.reconfigure(event, asked.world))
        if asked is not None and asked.refused is not None:
            return Record(event, [asked.refused, CRASHED])
        effects = self.engine.step(event)
        return Record(event, effects, self.engine.readings if isinstance(event, Messages) else ())

    def _may_take_over(self, asked: _Asked) -> bool:
        """From here on it can no longer be withdrawn: its commit may fail, and is then done again."""
        if not _claimed(asked.future):
            return False
        asked.objection = asked.object(self.engine.state) if asked.object is not None else None
        return asked.objection is None

    def _commit(self, records: Sequence[Record]) -> None:
        count = sum(record.count for record in records)
        checkpoint, world, self._new_world = None, self._new_world, None
        if time.monotonic() >= self._checkpoint_at:
            checkpoint = self._checkpoint(self.store.position() + count)
            self._checkpoint_at = time.monotonic() + CHECKPOINT_S
        with COMMIT_S.time():
            self._first = self.store.commit(records, checkpoint, world)
        if checkpoint is not None:
            self.checkpointed = max(self._checkpoint_last - RECENT_MOST, 0)  # the newest may be torn
            self._checkpoint_last = checkpoint.position
        messages = sum(r.count for r in records if isinstance(r.event, Messages))
        reports, self._reports = min(self._reports, messages), 0
        if messages > reports:
            MESSAGES.inc(messages - reports)
            self.received_ns = self.clock.wall_ns()

    def _checkpoint(self, position: int) -> Checkpoint:
        state = self.engine.state
        return Checkpoint(position, self.clock.at(), self.clock.wall_ns(), states.save(state))

    def _save_last(self) -> None:
        """The next start then has nothing to step again."""
        if not self._sound:
            return  # it knows of what nobody was told
        try:
            self.store.commit([], self._checkpoint(self.store.position()))
        except sqlite3.Error as error:
            telemetry.log(
                "store_failed", "error", error=error, hint="the log behind the checkpoint is enough"
            )

    def _tell(self, effects: Sequence[Effect]) -> None:
        due = [e for e in effects if isinstance(e, Notification) and (e.state is DUE or e.receipt_by)]
        if due:
            self._offer(due)  # before the log lines: a person is waiting
        for effect in effects:
            if isinstance(effect, Marked) and effect.quality is not Quality.GOOD:
                MARKED.labels(effect.quality).inc()
            elif isinstance(effect, Noted):
                telemetry.log(effect.event, telemetry.LEVEL_OF.get(effect.event, "info"), **effect.fields)
            elif isinstance(effect, Snapshot):
                self._offer([effect])
            elif isinstance(effect, Refused) and effect.code is Refusal.IDENTITY:
                self.suspicions.note(effect.code, device=effect.device, reason=effect.reason)

    # ------------------------------------------------------------ when something is wrong

    def _store_failed(self, work: Work, error: sqlite3.Error) -> list[_Done] | None:
        """Nothing was written or acknowledged: wait, and do the same work again from what is written.

        What fell silent meanwhile may wait at the broker, as all the others do: we listen anew from here.
        """
        telemetry.log(
            "store_failed", "error", error=error, hint="free or repair the disk; nothing is lost yet"
        )
        self._hold_back()
        listen = _Asked(lambda at, wall_ns: Link(at, wall_ns, self.engine.state.link_up), Future())
        while not self._company.wait(STORE_RETRY_S):
            try:
                self.store.reopen()
                done = self._decide([listen, *work])
            except sqlite3.Error:
                continue
            telemetry.log("store_recovered")
            self._take_again()
            return done
        return None

    def _one_by_one(self, work: Work) -> None:
        """Our own code failed on something here: find it, keep it in quarantine, lose nothing else."""
        if not work:
            self._company.wait(STORE_RETRY_S)  # time alone did it: at least do not spin
        for found in work:
            if isinstance(found, _Asked):
                self._alone(found)
                continue
            done = [self._alone_message(Delivery(found.epoch, (), [one])) for one in found.messages]
            if all(done):
                self._acknowledge([found])

    def _alone(self, asked: _Asked) -> None:
        try:
            self._do([asked])
        except Exception as error:
            telemetry.log("event_failed", "error", error=error)
            if _claimed(asked.future):
                asked.future.set_exception(error)

    def _alone_message(self, one: Delivery) -> bool:
        """False: told to stop before it was committed."""
        try:
            return self._do([one])
        except Exception as error:
            telemetry.log("message_crashed", "error", topic=one.messages[0].topic, error=error)
            refused = Refused(0, Refusal.CRASHED, "", "", f"{type(error).__name__}: {error}"[:200])
        kept = _Asked(lambda at, wall_ns: Messages(at, wall_ns, one.messages), Future(), refused=refused)
        return self._do([kept])


def _claimed(future: Future[Any]) -> bool:
    """Whether somebody waits for it who can no longer turn away."""
    return future.running() or (not future.cancelled() and future.set_running_or_notify_cancel())


def _answer(asked: _Asked, effects: Sequence[Effect]) -> None:
    if asked.objection is not None:
        asked.future.set_exception(asked.objection)
    else:
        asked.future.set_result(list(effects))


def rebuild(world: World, store: Store) -> Engine:
    """The engine as it was after the last committed event: the checkpoint, and the log behind it again.

    The effects of what is stepped again are dropped: they were committed together with their events.
    """
    checkpoint = store.load_checkpoint()
    position = checkpoint.position if checkpoint else 0
    state = states.load(checkpoint.body) if checkpoint else State(identity=store.identity)
    engine = Engine(_judged_then(world, state, store), state, _recent(store, position))
    names, other = Names(), list[int]()  # positions
    for logged in _logged(store, position):
        if (
            isinstance(logged.event, Act | Outcome | Receipt | Reply) and names
        ):  # they speak of what was committed
            engine = names.given_to(engine)
        if CRASHED in logged.marks:
            continue
        if not names.agree(_again(engine, logged.event, world), logged.changes):
            other.append(logged.first)
    if other:
        telemetry.log("log_rejudged", "error", position=other[0], count=len(other), hint=REJUDGED_HINT)
    return names.given_to(engine) if names else engine


def _logged(store: Store, position: int) -> Iterator[Logged]:
    """The log from a position to its end. A damaged row is named and costs itself, not the start."""
    end, most = store.position(), REPLAY_MOST
    while position < end:
        try:
            rows = store.read_log(position, most)
        except StoreDamaged as error:
            if most == 1:
                telemetry.log("log_damaged", "error", position=position, error=error)
                position = store.row_end(position)
            most = 1 if most > 1 else REPLAY_MOST  # what lies before it first
            continue
        for logged in rows:
            position = logged.first + (len(logged.event.items) if isinstance(logged.event, Messages) else 1)
            yield logged
        if not rows:
            return


def _again(engine: Engine, event: Event, world: World) -> list[Effect]:
    """One event of the log; from its Configured on, the World that judged last takes over."""
    if isinstance(event, Configured) and event.digest == world.digest and engine.world is not world:
        return engine.reconfigure(event, world)
    return engine.step(event)


def _judged_then(world: World, state: State, store: Store) -> World:
    """The World of a checkpoint: with the newest one torn, it may be another than that which judged last."""
    if state.digest in ("", world.digest):
        return world
    body = store.recall(WORLD_BEFORE)
    before = read_world(body) if body else None
    return before if before is not None and before.digest == state.digest else world


def judged_last(store: Store) -> World | None:
    """The World of the log behind the checkpoint: files may have been edited while we were down."""
    body = store.recall(WORLD)
    return read_world(body) if body else None


def _recent(store: Store, position: int) -> list[tuple[int, Message]]:
    """The last messages before a position, to know a broker's second delivery over a restart."""
    found: deque[tuple[int, Message]] = deque(maxlen=RECENT_MOST)
    for logged in _logged(store, max(position - RECENT_MOST, 0)):
        if logged.first >= position:
            break
        if isinstance(logged.event, Messages):
            items = islice(logged.event.items, position - logged.first)
            found.extend((logged.event.at, message) for message in items)
    return list(found)
