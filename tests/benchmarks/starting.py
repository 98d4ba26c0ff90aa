"""From the command to the first sample in the database, and how large the idle process is."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from tests.benchmarks.arena import Arena, Arenas
from tests.benchmarks.subjects import Running, Subject
from tests.benchmarks.table import Row, medians
from tests.waiting import until

WAITING = 100  # messages that wait at the broker
IDLE_S = 5.0  # until what was only needed to start has been given back


def start_up(arenas: Arenas, subjects: Sequence[Subject], runs: int) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for _ in range(runs):
        for subject in subjects:
            with arenas.open(database=False) as arena:
                found.setdefault(subject.name, []).append(_started(arena, subject))
    return [medians(rows) for rows in found.values()]


def _started(arena: Arena, subject: Subject) -> Row:
    load = subject.loads.waiting(WAITING)
    arena.preload(subject.client_id, subject.level, load)
    before = time.monotonic_ns()
    running = arena.start(subject, load)
    until(lambda: arena.sink.state()["first_ns"], 30, "the first sample")
    first_s = (arena.sink.state()["first_ns"] - before) / 1e9
    cpu = running.child.cpu_s()
    return {"who": subject.name, "first sample s": first_s, "cpu s": cpu, **_idle(running)}


def _idle(running: Running) -> Row:
    threading.Event().wait(IDLE_S)
    return {"rss idle MB": running.child.rss_mb(), "peak MB": running.child.peak_mb()}
