"""N messages wait at the broker: how fast, and for how much CPU, are they worked off? Also without broker."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from statistics import mean
from typing import Any

from tests.benchmarks import wire
from tests.benchmarks.alerts import told, until_quiet
from tests.benchmarks.arena import BUCKET, Arena, Arenas
from tests.benchmarks.load import Load
from tests.benchmarks.publisher import arguments_of
from tests.benchmarks.subjects import OURS, Subject
from tests.benchmarks.table import Row, medians
from tests.benchmarks.watching import Watch, Watched

BARE = "A bare paho"
CLIENT_A = "bench-a"


def drain(
    arenas: Arenas, subjects: Sequence[Subject], count: int, runs: int, database: bool = True
) -> list[Row]:
    """A, B and ours in turn, `runs` times; medians, with ratios to A."""
    found: dict[str, list[Row]] = {}
    for _ in range(runs):
        found.setdefault(BARE, []).append(_bare(arenas, count))
        for subject in subjects:
            with arenas.open(database) as arena:
                found.setdefault(subject.name, []).append(_drained(arena, subject, count))
    return with_ratios([medians(rows) for rows in found.values()])


def replay(arenas: Arenas, subjects: Sequence[Subject], count: int, runs: int) -> list[Row]:
    """The same from our replaying broker, into the recorder: the clients alone."""
    found: dict[str, list[Row]] = {}
    for _ in range(runs):
        found.setdefault(BARE, []).append(_bare_replayed(arenas, count))
        for subject in subjects:
            found.setdefault(subject.name, []).append(_replayed(arenas, subject, count))
    return with_ratios([medians(rows) for rows in found.values()])


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """Each row with its rate and CPU relative to the first one's; after ours, relative to ours as well."""
    names = [row["who"] for row in rows]
    ours = names.index(OURS) if OURS in names else len(rows)
    related = [{**row, **_ratios(row, rows[0], "A")} for row in rows]
    against = [{**row, **_ratios(row, rows[ours], OURS)} for row in related[ours + 1 :]]
    return [*related[: ours + 1], *against]


def _ratios(row: Row, other: Row, name: str) -> Row:
    rate, cpu = float(other["msg/s"]), float(other["cpu s/100k"])
    mine, spent = float(row["msg/s"]), float(row["cpu s/100k"])
    stored = float(row.get("in database msg/s", 0) or mine)
    return {f"rate / {name}": mine / rate, f"stored / {name}": stored / rate, f"cpu / {name}": spent / cpu}


# ---------------------------------------------------------------- A, which times itself


def _bare(arenas: Arenas, count: int) -> Row:
    with arenas.open(database=False) as arena:
        arena.preload(CLIENT_A, wire.V311, Load.waiting(count))
        before = arena.broker.cpu_s()
        row = _bare_row(arena, arena.broker.port, count)
        return {**row, "broker cpu": (arena.broker.cpu_s() - before) / count * 100_000}


def _bare_replayed(arenas: Arenas, count: int) -> Row:
    with arenas.open(database=False) as arena:
        port = arena.helper("replay", *arguments_of(Load.waiting(count))).said()["port"]
        return _bare_row(arena, port, count)


def _bare_row(arena: Arena, port: int, count: int) -> Row:
    child = arena.helper("bare", f"--port={port}", f"--client-id={CLIENT_A}", f"--count={count}")
    said: dict[str, Any] = child.said()
    return {
        "who": BARE,
        "msg/s": (count - 1) / said["seconds"],
        "cpu s/100k": said["cpu_s"] / (count - 1) * 100_000,
        "rss MB": said["rss_mb"],
    }


# ---------------------------------------------------------------- B and ours, watched from outside


def _load(subject: Subject, count: int) -> Load:
    return subject.loads.waiting(min(count, subject.most))


def _drained(arena: Arena, subject: Subject, count: int) -> Row:
    load = _load(subject, count)
    arena.preload(subject.client_id, subject.level, load)
    before = arena.broker.cpu_s(), arena.database.cpu_s()
    running = arena.start(subject, load)
    watched = Watch(running, arena.database, BUCKET, load).until_all()
    servers = arena.broker.cpu_s() - before[0], arena.database.cpu_s() - before[1]
    row = _row(subject, watched, arena, load)
    broker, database = (seconds / load.count * 100_000 for seconds in servers)
    return {**row, "broker cpu": broker, "database cpu": database}


def _replayed(arenas: Arenas, subject: Subject, count: int) -> Row:
    load = _load(subject, count)
    with arenas.open(database=False) as arena:
        port = arena.helper("replay", *arguments_of(load)).said()["port"]
        running = arena.start(subject, load, port)
        watched = Watch(running, arena.database, BUCKET, load).until_all()
        return _row(subject, watched, arena, load)


def _row(subject: Subject, watched: Watched, arena: Arena, load: Load) -> Row:
    until_quiet(arena)
    return {
        "who": subject.name,
        "msg/s": watched.rate(watched.committed or watched.written),
        "in database msg/s": watched.rate(watched.written),
        "cpu s/100k": watched.cpu_100k,
        "rss MB": watched.peak_mb,
        "points / message": load.points / load.count,
        "bytes": mean(len(payload) for _, payload in islice(load.messages(), load.devices)),
        **arena.kept(load),
        **told(arena, load),
    }
