"""What single parts of the core were promised to cost, each figure beside its bar.

    python -m tests.benchmarks.bars [judging street expressions checkpoint ticks storm]

CPU time, the least of many short repeats: whatever else runs on the box adds to a repeat and takes nothing
away. Nothing here waits for anything, so that on an idle box it is the time on the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from gateway import memory
from gateway.core import state as states
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Cause,
    Device,
    Level,
    Limit,
    Link,
    Message,
    Messages,
    Rule,
    Tick,
    Verb,
    World,
)
from gateway.core.state import State
from tests.benchmarks.load import Load
from tests.benchmarks.micro import bench_in
from tests.benchmarks.shipped import MIX, Street
from tests.benchmarks.table import Row, render
from tests.unit.worlds import CABINET, HOT, SILENT, SMOKE, START_NS, payload, world

IDENTITY = "0badcafe"  # of a store; hexadecimal
BATCH, BATCHES, REPEATS = 250, 30, 5
WARM = 8  # first batches of an engine, which raise what there is to raise
LIMITS = 100  # simple ones on each message
MANY, SOME = 10_000, 1_000  # devices, and those of them that are astir
SLOTS = 8  # of the cabinet
STORMS = (1_000, 2_000)  # alerts: twice as many cost twice as much


def row(what: str, found: float, unit: str, bar: str) -> Row:
    return {"what": what, "found": found, "unit": unit, "bar": bar}


def fastest_s(run: Callable[[], object], repeats: int = REPEATS) -> float:
    found = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return min(found)


# ---------------------------------------------------------------- judging


def judging() -> Iterable[Row]:
    """One message of eight quantities: what rules add to it."""
    with tempfile.TemporaryDirectory(prefix="lilong-bars-") as folder:
        bench = bench_in(Path(folder), BATCH * BATCHES, BATCH)
    calm, load = bench.world, Load(count=BATCH * BATCHES, alerts=0, per_second=BATCH)
    items = [Message(topic, body) for topic, body in load.messages()]
    firing = replace(calm, rules=(_fires(calm.rules[0]), *calm.rules[1:]))
    for name, street in (("calm", calm), ("one firing", firing)):
        found = min(steady_us(street, items, decoding=False) for _ in range(REPEATS))
        yield row(f"judging a message, 20 rules, {name}", found, "us", "<= 4")
    found = min(steady_us(replace(calm, rules=()), items) for _ in range(REPEATS))
    yield row("decode and quality alone", found, "us", "<= 5")
    for name, street in (("calm", calm), ("one firing", firing)):
        one, many = replace(street, rules=street.rules[:1]), replace(street, rules=_hundred(street.rules))
        pairs = [(steady_us(one, items), steady_us(many, items)) for _ in range(REPEATS)]
        found = min(alone for alone, _ in pairs) / min(among for _, among in pairs)
        yield row(f"rate with {LIMITS} rules, of that with one, {name}", found, "", ">= 0.75")


def _fires(rule: Rule) -> Rule:
    """The same for ever: every value of the load lies above."""
    return replace(rule, limits=(replace(rule.limits[0], above=0.0, hold_s=0.0),))


def _hundred(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """The first, and the others again and again."""
    others = islice(cycle(rules[1:]), LIMITS - 1)
    return (rules[0], *(replace(rule, id=f"many-{n}") for n, rule in enumerate(others)))


def steady_us(street: World, items: Sequence[Message], decoding: bool = True) -> float:
    """A message of the fastest batch, once every device is known and what rings has rung."""
    engine, batches, found = Engine(street, State(IDENTITY)), _batches(items), []
    if not decoding:
        _decode_before(engine, batches)
    for batch in batches:
        began = time.process_time()
        engine.step(batch)
        found.append((time.process_time() - began) / len(batch.items) * 1e6)
    return min(found[WARM:])


def _batches(items: Sequence[Message]) -> list[Messages]:
    now, chunks = time.time_ns(), [list(items[at : at + BATCH]) for at in range(0, len(items), BATCH)]
    instants = range(0, len(chunks) * SECOND, SECOND)
    return [Messages(at, now + at, chunk) for at, chunk in zip(instants, chunks, strict=True)]


def _decode_before(engine: Engine, batches: Sequence[Messages]) -> None:
    """What is left of a step is judging."""
    decode = Decoder(engine.world).decode
    known = {
        one.payload: decode(one, batch.wall_ns + index)
        for batch in batches
        for index, one in enumerate(batch.items)
    }
    for watch in engine.watches.of.values():
        watch.decode = lambda device, message, received, faults: known[message.payload]


def street() -> Iterable[Row]:
    """A message of each model of the shipped street: decode, quality and every shipped rule; no bar."""
    with tempfile.TemporaryDirectory(prefix="lilong-bars-") as folder:
        bench = bench_in(Path(folder), BATCH * BATCHES * len(MIX) // 2, BATCH, Street)
    said: dict[str, list[Message]] = {}
    for index, item in enumerate(bench.items):
        said.setdefault(MIX[index % len(MIX)], []).append(item)
    for model, items in said.items():
        own = items[: BATCH * BATCHES // 2]
        yield row(model, min(steady_us(bench.world, own) for _ in range(REPEATS)), "us", "")


# ---------------------------------------------------------------- expressions

EXPRESSIONS = (
    ("a limit", "", 1),
    ("rate_per_minute(slot_temperature_c, 3m)", "", 1),
    ("slot_temperature_c - siblings(slot_temperature_c)", "", 1),
    ("quorum(2 of 3, smoke > 0.5, 60s, degraded 1)", "place", 3),
)


def expressions() -> Iterable[Row]:
    """A reading of a cabinet every ten seconds; the windows are full."""
    for when, group, devices in EXPRESSIONS:
        rule = HOT if when == "a limit" else _weighed(when, group)
        found = min(_reading_us(rule, devices) for _ in range(REPEATS))
        yield row(f"a reading, decode and all: {when}", found, "us", "none")


def _weighed(when: str, group: str) -> Rule:
    limit = Limit(level=Level.RED, equals=1.0) if group else Limit(level=Level.RED, above=20.0)
    given = replace(SMOKE if group else HOT, id="weighed", when=when, called="算出的值", group=group)
    return replace(given, limits=(limit,), clear_hold_s=0.0)


def _reading_us(rule: Rule, count: int) -> float:
    names = tuple(f"cab-{number}" for number in range(count))
    engine = Engine(world(rules=(rule,), devices=names), State(IDENTITY))
    slots = {} if rule.group else {number: 30.0 for number in range(1, SLOTS + 1)}
    found, readings = [], count * (1 if rule.group else SLOTS)
    for turn in range(100):
        at, hot = turn * 10 * SECOND, {number: heat + turn % 7 / 10 for number, heat in slots.items()}
        body = payload(hot or None, smoke=0, ts=(START_NS + at) // SECOND)
        batch = Messages(at, START_NS + at, [Message(f"site/{name}", body) for name in names])
        began = time.process_time()
        engine.step(batch)
        found.append((time.process_time() - began) / readings * 1e6)
    return min(found[len(found) // 2 :])


# ---------------------------------------------------------------- 10,000 devices


def _street(*rules: Rule) -> World:
    """A tenth of them are cabinets, judged by expressions too; the others are of another scene."""
    plain = replace(CABINET, id="node", scene="plain")
    names = [f"cab-{number}" for number in range(MANY)]
    devices = {
        name: Device(id=name, model="cabinet" if n < SOME else "node", at="yard", topic=f"site/{name}")
        for n, name in enumerate(names)
    }
    found = world(rules=rules, models={"cabinet": CABINET, "node": plain})
    return replace(found, devices=devices)


def _say(engine: Engine, at: int, names: Sequence[str], **values: float) -> None:
    body = payload({1: values["t"]}, **values, ts=(START_NS + at) // SECOND)
    engine.step(Messages(at, START_NS + at, [Message(f"site/{name}", body) for name in names]))


def checkpoint() -> Iterable[Row]:
    """All were heard; a tenth have an alert, windows and known values."""
    smoke = replace(SMOKE, limits=(replace(SMOKE.limits[0], hold_s=3600.0),))  # astir; a case would be more
    street = _street(smoke, _weighed("rate_per_minute(slot_temperature_c, 3m)", ""))
    engine = Engine(street, State(IDENTITY))
    engine.step(Link(0, START_NS, True))
    names = list(street.devices)
    _say(engine, SECOND, names, t=20.0)
    for turn in range(1, 19):
        _say(engine, turn * 10 * SECOND, names[:SOME], t=20.0 + turn / 10, smoke=1.0)
    body = states.save(engine.state)
    assert len(engine.state.tracks) == len(engine.state.windows) == len(engine.state.known) == SOME
    found = fastest_s(lambda: states.save(engine.state))
    yield row(f"checkpoint of {MANY:,} devices, {len(body) / 1e6:.1f} MB: pause", found * 1e3, "ms", "<= 50")
    found = fastest_s(lambda: Engine(street, states.load(body)))
    yield row("restore of it: load and Engine()", found, "s", "<= 2")


def ticks() -> Iterable[Row]:
    """Devices that speak one after the other, each watched for silence."""
    street = _street(SILENT, replace(SILENT, id="quiet", scene="plain"))
    engine, names = Engine(street, State(IDENTITY)), list(street.devices)
    engine.step(Link(0, START_NS, True))
    for number, name in enumerate(names):
        _say(engine, SECOND + number * SECOND // 50, [name], t=20.0)
    yield row(f"a tick, all {MANY:,} looked at", _tick_s(engine, 301 * SECOND - 1) * 1e3, "ms", "none")
    nothing = min(_tick_s(engine, engine.state.at + 1) for _ in range(REPEATS))
    yield row(f"a tick over {MANY:,} devices, nothing due", nothing * 1e3, "ms", "<= 5")
    found = min(_tick_s(engine, engine.next_due() or 0) for _ in range(20))
    yield row("a tick, one due: it raises an alert", found * 1e3, "ms", "<= 5")


# ---------------------------------------------------------------- a storm


def storm() -> Iterable[Row]:
    """Every cabinet of a district reports smoke in one instant, as after a broker was away."""
    memory.settle()  # as in life
    for count in STORMS:
        found = [_storm_s(count) for _ in range(REPEATS)]
        raised, ended = (min(spent) * 1e3 for spent in zip(*found, strict=True))
        yield row(f"{count:,} alerts raised in one instant", raised, "ms", "<= 500")
        yield row(f"{count:,} of them taken on and ended", ended, "ms", "none")


def _storm_s(count: int) -> tuple[float, float]:
    names = [f"cab-{number}" for number in range(count)]
    hidden = replace(HOT, inhibited_by=(Cause(rule=SMOKE.id),))
    engine = Engine(world(rules=(hidden, SMOKE), devices=tuple(names)), State(IDENTITY))
    engine.step(Link(0, START_NS, True))
    _say(engine, SECOND, names, t=20.0, smoke=0.0)
    raised = fastest_s(lambda: _say(engine, 2 * SECOND, names, t=20.0, smoke=1.0), repeats=1)
    assert len(engine.state.cases) == count
    return raised, fastest_s(lambda: _calm_down(engine, names), repeats=1)


def _calm_down(engine: Engine, names: Sequence[str]) -> None:
    for case in list(engine.state.cases):
        engine.step(Act(2 * SECOND, START_NS + 2 * SECOND, case, "wang", Verb.ACKNOWLEDGE))
    _say(engine, 3 * SECOND, names, t=20.0, smoke=0.0)
    engine.step(Tick(100 * SECOND, START_NS + 100 * SECOND))
    assert not engine.state.alerts


def _tick_s(engine: Engine, at: int) -> float:
    return fastest_s(lambda: engine.step(Tick(at, START_NS + at)), repeats=1)


CASES = {
    "judging": judging, "street": street, "expressions": expressions, "checkpoint": checkpoint,
    "ticks": ticks, "storm": storm,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bars", description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=" ".join(CASES))
    for name in parser.parse_args().cases:
        print(render(CASES[name].__doc__ or name, list(CASES[name]())), flush=True)


if __name__ == "__main__":
    main()
