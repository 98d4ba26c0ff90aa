"""kill -9 of the gateway at random moments: nothing is lost, nothing is there twice, everybody is told."""

from __future__ import annotations

import os
import random
import signal
import threading

import pytest

from tests.faults.checker import Checker
from tests.faults.hook import Call
from tests.faults.rig import Rig
from tests.faults.street import NAMES, Script
from tests.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KILLS, MESSAGES = 20, 20_000
SETTLE_S = 60.0


def checker_of(rig: Rig, script: Script) -> Checker:
    return Checker(script, rig.ledger, rig.influx, rig.bucket, rig.hook)


def test_killed_at_twenty_random_moments(rig: Rig, seed: int) -> None:
    """The devices never wait: each kill falls into a burst, or into the start after the one before."""
    lots = random.Random(seed)
    script = Script(seed, rounds=-(-MESSAGES // len(NAMES)))
    rig.gateway.start()
    pause = threading.Event()
    for kill in range(KILLS):
        rig.fleet.begin(script, script.left // (KILLS - kill))
        pause.wait(lots.uniform(0, 0.5))
        rig.gateway.kill()
        rig.fleet.wait()
        rig.gateway.revive(ready=lots.random() < 0.8)  # else the next one comes while it is starting
    rig.gateway.until_ready()
    rig.fleet.play(script, script.left)
    checker = checker_of(rig, script)
    verdict = checker.judged()
    print(f"\nseed={seed} kills={rig.gateway.kills} {verdict}")
    assert verdict.sent >= MESSAGES and not verdict.faults()
