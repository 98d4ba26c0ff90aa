"""Other files a thousand times under load: each message is judged wholly by the rules before or after."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import Change, Logged, Store
from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    Act,
    Alert,
    AlertState,
    Configured,
    Ended,
    Entry,
    Level,
    Limit,
    Link,
    Marked,
    Message,
    Messages,
    Noted,
    Notification,
    NotificationState,
    Refused,
    Stage,
    Verb,
    World,
)
from gateway.core.state import State
from gateway.pipeline import Pipeline
from tests.unit.worlds import SMOKE, START_NS, limits, payload, world
from tests.waiting import until

RELOADS = 1000
SECONDS_MOST = 25.0  # they take 15 on two free cores
RELOADS_LEAST = 60
DEVICES = tuple(f"cab-{number}" for number in range(200))
ROUND = len(DEVICES)
WARM_ROUNDS = 20  # a device is warm in one round of so many
PAUSE_S = 0.004  # between two deliveries of four: some 1,000 messages a second
RELOAD_CPU_S = 0.3  # of the pipeline's own time, whatever else the machine does: it is 10 ms here
LATENCY_S = 1.0  # of half the messages, on a machine that has others to serve: they take 10 ms, at most 140
STANDING, HELD = DEVICES[0], DEVICES[1]


def world_of(name: str, limit: float) -> World:
    """Alike but for one limit and the words of its rule."""
    warm = replace(
        SMOKE, id="warm", says=f"柜内偏热{name}", quantity="temperature_c", clear_hold_s=0.0,
        limits=limits((Level.ORANGE, limit, 0, None)),
    )  # fmt: skip
    held = replace(
        SMOKE, id="held", quantity="slot_temperature_c", each="slot",
        limits=limits((Level.YELLOW, 40, 3600, None)),
    )  # fmt: skip
    counted = replace(
        SMOKE, id="counted", quantity="temperature_c", when="count(temperature_c > 3, 1h)", called="次数",
        limits=(Limit(level=Level.YELLOW, above=1e6),),
    )  # fmt: skip
    return world(rules=(SMOKE, warm, held, counted), devices=DEVICES, digest=name)


WORLDS = {"A": world_of("A", 50), "B": world_of("B", 60)}


@dataclass
class Broker:
    """Takes the time between a delivery and its acknowledgement."""

    sent_at: dict[int, float] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)

    def acknowledge(self, deliveries):
        now = time.monotonic()
        self.took_s += [now - self.sent_at[delivery.epoch] for delivery in deliveries]


@dataclass
class Run:
    """What came of it: the log from its first event, and the state that the pipeline left."""

    log: list[Logged]
    entries: int
    state: State
    sent: list[Message]
    took_s: list[float]
    cpu_s: list[float]  # of each reconfiguration, its commit included
    identity: str
    seconds: float = 0.0


def temperature(number: int) -> float:
    """55: too warm in World A, and not in B."""
    return 55.0 if number // ROUND % WARM_ROUNDS == number % WARM_ROUNDS else 30.0


def message(number: int) -> Message:
    return Message(f"site/{DEVICES[number % ROUND]}", payload(t=temperature(number), n=number))


def feed(pipeline: Pipeline, broker: Broker, sent: list[Message], enough: threading.Event) -> None:
    """A steady load, in order, until told to stop."""
    pause = threading.Event()
    while not enough.is_set():
        some = [message(len(sent) + one) for one in range(4)]
        broker.sent_at[len(sent)] = time.monotonic()
        assert pipeline.deliver(Delivery(len(sent), (), some))
        sent += some
        pause.wait(PAUSE_S)


def play(folder: Path, reloads: int) -> Run:
    """A pipeline on a real store under load, its World changed so often."""
    store, broker, sent = Store(folder), Broker(), list[Message]()
    clock = Clock(0, 0, Anchor(time.monotonic_ns(), START_NS))
    pipeline = Pipeline(WORLDS["A"], store, clock, lambda _: None, lambda *_: None)
    pipeline.listen_to(broker)
    cpu_s = timed(pipeline)
    pipeline.start()
    pipeline.submit(lambda at, wall_ns: Link(at, wall_ns, True)).result(10)
    begin(pipeline, broker)
    enough = threading.Event()
    feeder = threading.Thread(target=feed, args=[pipeline, broker, sent, enough])
    feeder.start()
    enough_at = time.monotonic() + SECONDS_MOST
    for number in range(reloads):
        if time.monotonic() > enough_at and not number % 2:
            break  # a machine that starves us: as many as it lets us
        done = pipeline.reconfigure(WORLDS["BA"[number % 2]])
        if number % 3 != 1:  # else two at once, which one commit may serve
            done.result(60)
    enough.set()
    feeder.join()
    until(lambda: len(broker.took_s) == len(broker.sent_at) or not pipeline.alive)
    pipeline.stop()
    return replace(left_by(store, sent, broker, cpu_s), seconds=time.monotonic() - enough_at + SECONDS_MOST)


def timed(pipeline: Pipeline) -> list[float]:
    """Processor time of the commits that change the World."""
    decide, found = pipeline._decide, list[float]()

    def timing(work):
        begun = time.thread_time()
        done = decide(work)
        if any(isinstance(one.record.event, Configured) for one in done):
            found.append(time.thread_time() - begun)
        return done

    pipeline._decide = timing
    return found


def begin(pipeline: Pipeline, broker: Broker) -> None:
    """One alert that stands and is acknowledged, one hold of an hour."""
    broker.sent_at[-1] = time.monotonic()
    first = [
        Message(f"site/{STANDING}", payload(smoke=1)),
        Message(f"site/{HELD}", payload({3: 45.0})),
    ]
    pipeline.deliver(Delivery(-1, (), first))
    until(lambda: pipeline.engine.state.cases)
    (case,) = pipeline.engine.state.cases
    pipeline.submit(lambda at, wall_ns: Act(at, wall_ns, case, "wang", Verb.ACKNOWLEDGE)).result(10)


def left_by(store: Store, sent: list[Message], broker: Broker, cpu_s: list[float]) -> Run:
    checkpoint = store.load_checkpoint()
    assert checkpoint is not None and checkpoint.position == store.position()
    (entries,) = store.reader().execute("SELECT count(*) FROM entry").fetchone()
    log = store.read_log(0, store.position())
    found = Run(log, entries, states.load(checkpoint.body), sent, broker.took_s, cpu_s, store.identity)
    store.close()
    return found


# ---------------------------------------------------------------- what must be so


def said(log: list[Logged]) -> list[Message]:
    return [item for one in log if isinstance(one.event, Messages) for item in one.event.items]


def in_force(log: list[Logged]) -> Iterator[tuple[str, Logged]]:
    """Each event of the log with the World that judged it: what is due before another one takes over is
    still the former's.
    """
    name = "A"
    for one in log:
        if isinstance(one.event, Configured):
            name = one.event.digest
        yield name, one


def nothing_is_lost_or_doubled(run: Run) -> None:
    assert said(run.log)[2:] == run.sent, "every message once, in order"
    assert len(run.took_s) == len(run.sent) // 4 + 1, "every delivery acknowledged"
    positions = [one.first for one in run.log]
    assert positions == sorted(set(positions))


def no_mixture(run: Run) -> None:
    """By the log alone: whoever judged, limit and words are of the World in force."""
    judged = set[str]()
    for name, one in in_force(run.log):
        if not isinstance(one.event, Messages):
            continue
        for alert in raised(one, "warm"):
            assert alert.limit == WORLDS[name].rules[1].limits[0].above == 50.0, "55 is good in World B"
            judged.add(name)
        for told in one.changes:
            if is_new(told) and "柜内偏热" in told.title:
                assert f"柜内偏热{name}" in told.title
    assert judged == {"A"}


def is_new(change: Change) -> bool:
    return isinstance(change, Notification) and change.state is NotificationState.DUE and not change.attempt


def raised(one: Logged, rule: str) -> list[Alert]:
    return [
        change
        for change in one.changes
        if isinstance(change, Alert) and change.rule == rule and change.state is AlertState.FIRING
    ]


def whole_worlds_judged(run: Run) -> None:
    """Every effect, and the state at the end, is what a fresh engine makes of the log."""
    engine, entries = Engine(WORLDS["A"], State(identity=run.identity)), 0
    for one in run.log:
        if isinstance(one.event, Configured):
            effects = engine.reconfigure(one.event, WORLDS[one.event.digest])
        else:
            effects = engine.step(one.event)
        marks = [effect for effect in effects if isinstance(effect, Marked)]
        changes = [effect for effect in effects if not isinstance(effect, Marked | Refused | Entry | Noted)]
        entries += sum(isinstance(effect, Entry) for effect in effects)
        assert encoded(marks, changes) == encoded(one.marks, one.changes), one.event
    assert entries == run.entries
    assert states.save(engine.state) == states.save(run.state)


def encoded(marks: list[Marked], changes: list[Change | Ended]) -> bytes:
    return msgspec.msgpack.encode((marks, [(type(one).__name__, one) for one in changes]))


def what_stood_stands(run: Run) -> None:
    (alert,) = (one for one in run.state.alerts.values() if one.rule == "smoke")
    case = run.state.cases[alert.case]
    assert (alert.device, alert.state) == (STANDING, AlertState.FIRING)
    assert (case.stage, case.acknowledged_by) == (Stage.ACKNOWLEDGED, "wang")
    assert len([found for one in run.log for found in raised(one, "smoke")]) == 1, "it never went and came"


def holds_and_windows_go_on(run: Run) -> None:
    begun_at = next(one.event.at for one in run.log if isinstance(one.event, Messages))
    assert run.state.tracks[f"held|{HELD}|slot-3"].standings[0].since == begun_at
    kept = {key.split("|")[-2]: len(window) for key, window in run.state.windows.items()}
    for number, device in enumerate(DEVICES):
        assert kept[device] == len(range(number, len(run.sent), ROUND)), device


def nobody_waited(run: Run) -> None:
    """The pipeline's own time bounds each; half of the messages bound what a starved machine makes of it."""
    usual_s = sorted(run.took_s)[len(run.took_s) // 2]
    assert max(run.cpu_s) < RELOAD_CPU_S and usual_s < LATENCY_S, (max(run.cpu_s), usual_s)


PROMISES = (
    nothing_is_lost_or_doubled,
    no_mixture,
    whole_worlds_judged,
    what_stood_stands,
    holds_and_windows_go_on,
    nobody_waited,
)


def test_a_thousand_reloads_under_load(tmp_path):
    run = play(tmp_path, RELOADS)
    count = sum(isinstance(one.event, Configured) for one in run.log) - 1  # the start is one too
    assert count == RELOADS or (run.seconds >= SECONDS_MOST and count >= RELOADS_LEAST)
    for promise in PROMISES:
        promise(run)


def mixing(patch: pytest.MonkeyPatch) -> None:
    """The words of one World with the limits of the other."""
    reconfigure = Engine.reconfigure

    def mixed(engine, event, taken):
        other = WORLDS["A"].rules if taken.digest == "B" else WORLDS["B"].rules
        rules = tuple(replace(rule, limits=it.limits) for rule, it in zip(taken.rules, other, strict=True))
        return reconfigure(engine, event, replace(taken, rules=rules))

    patch.setattr(Engine, "reconfigure", mixed)


def forgetting(name: str):
    """Something of the state does not survive."""

    def patched(patch: pytest.MonkeyPatch) -> None:
        reconfigure = Engine.reconfigure

        def forgetful(engine, event, taken):
            getattr(engine.state, name).clear()
            return reconfigure(engine, event, taken)

        patch.setattr(Engine, "reconfigure", forgetful)

    return patched


def leaping(patch: pytest.MonkeyPatch) -> None:
    """Messages in front of a reload, in the same stretch of the queue, are acknowledged and never judged."""
    made = Pipeline._made

    def leapt(pipeline, work, at, wall_ns):
        found = [isinstance(one, Delivery) or one.world is None for one in work]
        return made(pipeline, work if all(found) else work[found.index(False) :], at, wall_ns)

    patch.setattr(Pipeline, "_made", leapt)


MUTANTS = {
    "a mixture": (mixing, [no_mixture]),
    "windows forgotten": (forgetting("windows"), [holds_and_windows_go_on]),
    "tracks forgotten": (forgetting("tracks"), [what_stood_stands, holds_and_windows_go_on]),
    "cases forgotten": (forgetting("cases"), [what_stood_stands]),
    "messages leapt over": (leaping, [nothing_is_lost_or_doubled]),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_seen(mutant, tmp_path, monkeypatch):
    breaking, promises = MUTANTS[mutant]
    with monkeypatch.context() as patch:
        breaking(patch)
        run = play(tmp_path, 60)
    seen = []
    for promise in PROMISES:
        try:
            promise(run)
        except (AssertionError, KeyError, ValueError):
            seen.append(promise)
    assert set(promises) & set(seen), seen
