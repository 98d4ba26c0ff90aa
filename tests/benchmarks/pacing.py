"""Messages at a steady pace: how long from a crossing sample to the POST, and how large the process is."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tests.benchmarks.alerts import arrivals, percentiles, told, until_quiet
from tests.benchmarks.arena import Arena, Arenas
from tests.benchmarks.load import Load
from tests.benchmarks.servers import preload_session
from tests.benchmarks.subjects import Running, Subject
from tests.benchmarks.table import Row, medians

SETTLE_S = 4.0  # to start, connect and subscribe before the first message
REPORT_EVERY = 100_000  # messages between two looks at the size, in a soak
SOAK_RATE = 10_000.0


def latency(arenas: Arenas, subjects: Sequence[Subject], rate: float, seconds: float, runs: int) -> list[Row]:
    """Publish of the crossing sample -> its webhook POST is here, while `rate` messages a second come in."""
    found: dict[str, list[Row]] = {}
    for _ in range(runs):
        for subject in subjects:
            with arenas.open() as arena:
                found.setdefault(subject.name, []).append(_latency(arena, subject, rate, seconds))
    return [medians(rows) for rows in found.values()]


def _latency(arena: Arena, subject: Subject, rate: float, seconds: float) -> Row:
    load = subject.loads(count=int(rate * seconds), per_second=rate)
    running = settled(arena, subject, load)
    idle_mb, before = running.child.rss_mb(), running.child.cpu_s()
    sent_ns = arena.publish(load, rate).said()["sent_ns"]
    cpu = (running.child.cpu_s() - before) / load.count * 100_000
    until_quiet(arena)
    return {
        "who": subject.name, "at msg/s": rate, **percentiles(sent_ns, arrivals(arena)), "cpu s/100k": cpu,
        "rss idle MB": idle_mb, "rss MB": running.child.rss_mb(), **told(arena, load),
    }  # fmt: skip


def settled(arena: Arena, subject: Subject, load: Load) -> Running:
    """The subject, connected and subscribed, with nothing to do yet."""
    preload_session(arena.broker.port, subject.client_id, subject.level)
    running = arena.start(subject, load)
    threading.Event().wait(SETTLE_S)
    return running


def soak(arenas: Arenas, subject: Subject, count: int) -> list[Row]:
    """The size of the process every 100,000 messages: flat, or not."""
    with arenas.open(database=True) as arena:
        running = settled(arena, subject, Load(count=count, alerts=0))
        rows: list[Row] = [_size(running, 0)]
        for done in range(REPORT_EVERY, count + 1, REPORT_EVERY):
            load = Load(count=REPORT_EVERY, per_second=SOAK_RATE, alerts=0)
            arena.publish(load, SOAK_RATE).said()
            rows.append(_size(running, done))
        return rows


def _size(running: Running, done: int) -> Row:
    row: Row = {"messages": done, "committed": running.committed(), "rss MB": running.child.rss_mb()}
    return {**row, "peak MB": running.child.peak_mb()}
