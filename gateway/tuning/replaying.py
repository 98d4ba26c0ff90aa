"""The engine as it was at an instant: by checkpoint and log while there are any, else by the archive.

The store keeps the log only until database and archive have passed it, some seconds. Before that the
archive's readings are played as messages through a fresh engine with the rules as they are now; what it
cannot know then (a repeated message, what another device had said long before) it does not know.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import msgspec

from gateway.adapters.archive import Row
from gateway.adapters.store import Checkpoint, StoreDamaged, checkpoint_before, log_after
from gateway.core import state as states
from gateway.core.conditions import parsed
from gateway.core.effective import effective
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Calibration,
    Codec,
    Components,
    Configured,
    Device,
    Fault,
    Field,
    Link,
    Message,
    Messages,
    Model,
    Quality,
    Reading,
    Rule,
    Tick,
    World,
)
from gateway.core.repeats import RECENT_MOST
from gateway.core.state import State
from gateway.core.units import QUANTITIES
from gateway.core.weighing import compound_of, group_of, groups
from gateway.pipeline import CRASHED

Fetch = Callable[[str, int, int], Sequence[Row]]  # device, since_ns, until_ns -> its archived values
WARM_S = 3600.0  # played before the longest span of the rule, so that windows and holds are filled
DEVICES_MOST = 64  # others that a rule compares with or counts
GAP_S_MOST = 600.0  # behind the last thing written: a gateway that was down judged nothing meanwhile
EVENTS_MOST = 200_000  # instants at which time alone moved something, before we give up


@dataclass(frozen=True, slots=True)
class Past:
    """An engine that has come to an instant. `exact`: by the very log, not by what the archive tells."""

    engine: Engine
    at: int  # steady
    at_ns: int
    exact: bool


# ---------------------------------------------------------------- from checkpoint and log


def from_log(db: sqlite3.Connection, world: World, at_ns: int) -> Past | None:
    """None when the store does not reach there, or another World judged then."""
    saved = checkpoint_before(db, at_ns)
    if saved is None:
        return None
    try:
        state = states.load(saved.body)
        if state.digest != world.digest:  # asked before the engine writes its own into it
            return None
        engine = Engine(world, state, _remembered(db, saved))
        at, wall_ns = saved.at, saved.wall_ns
        for logged in log_after(db, saved.position, at_ns):
            if isinstance(logged.event, Configured):
                return None
            if CRASHED not in logged.marks:
                engine.step(logged.event)
            at, wall_ns = logged.event.at, logged.event.wall_ns
    except (msgspec.MsgspecError, StoreDamaged):
        return None
    if at_ns - wall_ns > GAP_S_MOST * SECOND:
        return None
    end = at + max(at_ns - wall_ns, 0)
    pass_time(engine, end, at_ns - end)
    return Past(engine, end, at_ns, exact=True)


def _remembered(db: sqlite3.Connection, saved: Checkpoint) -> deque[tuple[int, Message]]:
    """The last messages before a checkpoint: what a broker delivers once more is no news."""
    found: deque[tuple[int, Message]] = deque(maxlen=RECENT_MOST)
    for logged in log_after(db, max(saved.position - RECENT_MOST, 0), saved.wall_ns):
        if logged.first >= saved.position:
            break
        if isinstance(logged.event, Messages):
            found.extend((logged.event.at, message) for message in logged.event.items)
    return found


def pass_time(engine: Engine, until: int, epoch_ns: int) -> None:
    """A tick at every instant that the engine asks for, then one at the end."""
    for _ in range(EVENTS_MOST):
        due = engine.next_due()
        if due is None or due > until:
            break
        due = max(due, engine.state.at)
        engine.step(Tick(due, due + epoch_ns))
    engine.step(Tick(until, until + epoch_ns))


# ---------------------------------------------------------------- from the archive


def from_archive(world: World, rule: Rule, device: Device, at_ns: int, fetch: Fetch) -> Past:
    """The device alone, with those that the rule compares it with, under this rule alone."""
    since_ns = at_ns - int((reach_s(effective(world, rule, device)) + WARM_S) * SECOND)
    devices = about(world, rule, device)
    rows = [row for name in devices for row in fetch(name, since_ns, at_ns + 1) if row.received_ns <= at_ns]
    engine = Engine(_small(world, rule, devices, rows), State(identity="0" * 8))
    for name in devices:
        engine.watches.of[name].decode = _decode
    engine.step(Link(since_ns, since_ns, True))  # steady time is the wall's here
    for event in _events(world, rows, since_ns):
        pass_time(engine, event.at, 0)
        engine.step(event)
    pass_time(engine, at_ns, 0)
    return Past(engine, at_ns, at_ns, exact=False)


def reach_s(rule: Rule) -> float:
    """How far back the rule looks, at most."""
    spans = [rule.clear_hold_s, rule.min_on_s, rule.cool_down_s, rule.lateness_s]
    for limit in rule.limits:
        spans += [limit.hold_s, limit.within_s, limit.absent_s or 0.0, limit.clear_hold_s or 0.0]
    if rule.when:
        spans += [one.span_ns / SECOND for one in parsed(rule.when).windows]
    return max(spans)


def about(world: World, rule: Rule, device: Device) -> list[str]:
    """The device, and the others that its verdict hangs on."""
    others: list[str] = []
    if rule.group:
        members = groups(world, rule).get(group_of(world, rule, device), [])
        others = [name for name, _ in members]
    elif rule.when and "peers" in parsed(rule.when).scope:
        here = compound_of(world, device)
        alike = (one for one in world.devices.values() if one.model == device.model)
        others = [one.id for one in alike if compound_of(world, one) == here]
    return list(dict.fromkeys([device.id, *others]))[:DEVICES_MOST]


def _small(world: World, rule: Rule, devices: Sequence[str], rows: Sequence[Row]) -> World:
    """Only they, speaking the archive's language: names and units are ours, corrections are made."""
    known = {name: replace(world.devices[name], topic=name) for name in devices}
    said: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        said.setdefault(row.device, set()).add((row.component.rpartition("-")[0], row.quantity))
    models: dict[str, Model] = {}
    for device in known.values():
        model = models.get(device.model, world.models[device.model])
        models[device.model] = _plain(model, said.get(device.id, set()))
    kept = {
        name: tuple(map(_made, world.calibrations[name])) for name in devices if name in world.calibrations
    }
    return replace(
        world, models=models, devices=known, rules=(rule,), derivations=(), scenarios=(), calibrations=kept
    )


def _plain(model: Model, said: set[tuple[str, str]]) -> Model:
    """The model without its codec (see _decode); what was derived is a field like any other."""
    fields = {(one.of, one.quantity): _named(one) for one in model.fields}
    for kind, quantity in sorted(said - fields.keys()):
        if quantity in QUANTITIES:
            fields[kind, quantity] = Field(quantity=quantity, path=quantity, of=kind)
    codec = Codec(kind="json", time="time", wave=model.codec.wave)  # whose axes are its components
    return replace(
        model, codec=codec, fields=tuple(fields.values()), components=_named_parts(model), reorder_s=0.0
    )


def _named_parts(model: Model) -> tuple[Components, ...]:
    return tuple(replace(part, path=f"{part.kind}s", number="no") for part in model.components)


def _named(field: Field) -> Field:
    """What judges its worth stays; how it was read goes."""
    return Field(
        quantity=field.quantity, path=field.quantity, of=field.of, low=field.low, high=field.high,
        stuck_after=field.stuck_after, spike_window=field.spike_window, spike_over=field.spike_over,
    )  # fmt: skip


def _made(entry: Calibration) -> Calibration:
    """Its correction is in the archived value; its baseline still counts."""
    return replace(entry, scale=1.0, offset=0.0)


class Archived(msgspec.Struct):
    """What one message said: values by component, as they were stored."""

    measured_ns: int
    parts: dict[str, dict[str, float]]


def _decode(
    device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
) -> list[Reading]:
    """An archived message; the codec of its device has done its work long ago."""
    said = msgspec.json.decode(message.payload, type=Archived)
    return [
        Reading(device.id, part, found, said.measured_ns, received_ns) for part, found in said.parts.items()
    ]


def _events(world: World, rows: Sequence[Row], since_ns: int) -> Iterator[Messages]:
    """One message for each device and instant, as they came."""

    def key(row: Row) -> tuple[int, str, int]:
        return max(row.received_ns, since_ns), row.device, row.measured_ns

    for (received_ns, device, measured_ns), group in groupby(sorted(rows, key=key), key=key):
        found = list(group)
        parts: dict[str, dict[str, float]] = {}
        for row in found:
            if row.quantity in QUANTITIES:
                parts.setdefault(row.component, {})[row.quantity] = row.value
        retained = all(row.quality == Quality.RETAINED for row in found)
        message = Message(device, msgspec.json.encode(Archived(measured_ns, parts)), retained)
        yield Messages(received_ns, received_ns, [message])
