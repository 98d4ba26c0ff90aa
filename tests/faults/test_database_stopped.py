"""The database hangs, is gone, and comes back: nothing is lost, memory stays flat, alerts do not wait.

LILONG_FULL=1: ten minutes at 1,000 messages a second. Otherwise 60,000 messages at 3,000 a second.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from tests.faults.checker import Checker
from tests.faults.rig import Rig
from tests.faults.street import CROSSINGS, NAMES, Script
from tests.servers.influx import Influx
from tests.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

FULL = bool(os.environ.get("LILONG_FULL"))
MESSAGES, RATE = (600_000, 1_000.0) if FULL else (60_000, 3_000.0)
GROWTH_MB_MOST, DELAY_S_MOST = 50.0, 1.0
INTAKE = 1_000  # messages a second of the promise; the backlog must go five times as fast
DRAIN_S = 900.0 if FULL else 120.0


@dataclass
class Drained:
    """How long the backlog took from its first point in the database to its last."""

    backlog: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.backlog / max(self.seconds, 0.001)


def most_memory_while_down(rig: Rig, script: Script) -> float:
    """Half of the script the database hangs, then it is gone. The gateway's peak in MB."""
    os.kill(rig.influx.server.pid, signal.SIGSTOP)
    rig.fleet.begin(script, script.left, depth=1, rate=RATE)
    half, most = script.said + script.left // 2, 0.0
    while rig.fleet.playing:
        most = max(most, rig.gateway.rss_mb())
        if script.said >= half and rig.influx.server.running:
            rig.influx.kill()
        threading.Event().wait(0.2)
    rig.fleet.wait()
    return most


def drained(rig: Rig, checker: Checker, before: int) -> Drained:
    rig.influx.start()
    until(lambda: checker.stored() > before, 90, "the first point after the outage")
    began, held = time.monotonic(), checker.stored()
    total = len(checker.script.truth)
    until(lambda: checker.stored() >= total, DRAIN_S, "the whole backlog")
    return Drained(total - held, time.monotonic() - began)


@pytest.mark.timeout(2400 if FULL else 300)
def test_database_down_and_back(rig: Rig, seed: int) -> None:
    script = Script(seed, rounds=MESSAGES // len(NAMES))
    checker = rig.checker(script)
    rig.gateway.start()
    rig.fleet.play(script, script.rounds // 20, rate=RATE)
    until(lambda: checker.stored() == len(script.truth), 30, "the points before the outage")
    before, rss = checker.stored(), rig.gateway.rss_mb()
    most = most_memory_while_down(rig, script)
    spikes = NAMES[:CROSSINGS]
    until(lambda: set(spikes) <= rig.hook.devices(), 10, "every alert, in the midst of the outage")
    backlog = len(script.truth) - before
    drain = drained(rig, checker, before)
    most = max(most, rig.gateway.rss_mb())
    delays = sorted(rig.hook.first()[name] - script.spoke_at[name] for name in spikes)
    verdict = checker.judged()
    print(
        f"\ndatabase down: seed={seed} backlog={backlog} drained {drain.backlog} at {drain.rate:.0f}/s, "
        f"gateway {rss:.0f} MB before, {most:.0f} MB at most; publish to webhook p50 "
        f"{delays[len(delays) // 2] * 1000:.0f} ms, p99 {delays[-1] * 1000:.0f} ms {verdict}"
    )
    assert not verdict.faults()
    assert most - rss < GROWTH_MB_MOST
    assert delays[-1] < DELAY_S_MOST
    assert not FULL or drain.rate >= 5 * INTAKE


def test_database_killed_under_load(rig: Rig, influx: Influx, seed: int) -> None:
    """kill -9 of influxd between and within its writes: what it said 204 to, it has; the rest comes again."""
    script, kills = Script(seed, rounds=100), 3
    rig.gateway.start()
    rig.fleet.begin(script, script.rounds, rate=2_000)
    for kill in range(kills):
        until(lambda k=kill: script.said > (k + 1) * script.rounds // (kills + 1), 60)
        influx.kill()
        influx.start()
    rig.fleet.wait()
    verdict = rig.checker(script).judged()
    print(f"\ndatabase killed: seed={seed} kills={kills} {verdict}")
    assert not verdict.faults()
