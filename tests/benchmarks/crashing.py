"""kill -9 in the middle of steady traffic, and a new start two seconds later: what is gone for good."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tests.benchmarks.alerts import told, until_quiet
from tests.benchmarks.arena import BUCKET, Arena, Arenas
from tests.benchmarks.pacing import settled
from tests.benchmarks.subjects import Subject
from tests.benchmarks.table import Row, medians
from tests.benchmarks.watching import Watch

RATE, SECONDS = 2_000.0, 16.0
KILLED_AFTER_S, AWAY_S = 6.5, 2.0
STREAK = 4  # samples of a crossing: 1.5 s, longer than the rule's hold of 1 s (B: 3 messages in a row)


def crash(arenas: Arenas, subjects: Sequence[Subject], runs: int) -> list[Row]:
    found: dict[str, list[Row]] = {}
    for _ in range(runs):
        for subject in subjects:
            with arenas.open() as arena:
                found.setdefault(subject.name, []).append(_crashed(arena, subject))
    return [medians(rows) for rows in found.values()]


def _crashed(arena: Arena, subject: Subject) -> Row:
    load = subject.loads(count=int(RATE * SECONDS), per_second=RATE, streak=STREAK)
    running = settled(arena, subject, load)
    publisher = arena.publish(load, RATE)
    pause = threading.Event()
    pause.wait(KILLED_AFTER_S)
    running.child.kill()
    pause.wait(AWAY_S)
    again = arena.start(subject, load)
    publisher.said()
    Watch(again, arena.database, BUCKET, load).until_all()
    until_quiet(arena)
    return {"who": subject.name, "samples": load.count, **arena.kept(load), **told(arena, load)}
