"""kill -9 of Mosquitto, with the profile we ship, while it waits for acknowledgements."""

from __future__ import annotations

import random
import signal
import threading

import pytest

from tests.faults.conftest import MakeRig
from tests.faults.street import Script
from tests.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KILLS = 5
OUTSTANDING, BURST = 4, 2  # rounds of ninety messages: before a kill, and around it


def test_broker_killed_with_messages_unacknowledged(make_rig: MakeRig, seed: int) -> None:
    """The gateway is frozen with the messages in its socket: its acknowledgements come to another broker.

    They must be dropped (the packet ids now name other messages), and what comes again must be known.
    Every second time the gateway is killed as well, in the midst of that. The broker saves every two seconds:
    what it must not forget waits for that. What came after is in the frozen gateway's socket alone.
    """
    rig, lots, pause = make_rig(), random.Random(seed), threading.Event()
    script = Script(seed, rounds=KILLS * (OUTSTANDING + BURST))
    rig.gateway.start()
    outstanding = 0
    for kill in range(KILLS):
        until(rig.broker.is_heard, 30, "the gateway is back")
        rig.broker.until_saved()  # who subscribed, too: else it keeps nothing for him after a kill
        rig.gateway.signal(signal.SIGSTOP)
        rig.fleet.play(script, OUTSTANDING)
        rig.broker.until_saved()
        rig.ledger.look()
        outstanding += len(script.truth) - len(rig.ledger.received)
        rig.fleet.begin(script, BURST)
        pause.wait(lots.uniform(0, 0.1))
        rig.broker.kill()
        rig.gateway.signal(signal.SIGCONT)
        rig.broker.start()
        rig.fleet.wait()
        if kill % 2:
            pause.wait(lots.uniform(0, 1.0))
            rig.gateway.kill()
            rig.gateway.revive()
    verdict = rig.checker(script).judged()
    again, stale = rig.fleet.sent_again, rig.gateway.everything_said().count("mqtt_acknowledged_stale")
    print(
        f"\nbroker killed: seed={seed} kills={KILLS} outstanding={outstanding} sent again={again} "
        f"stale acknowledgements dropped={stale} {verdict}"
    )
    assert outstanding >= KILLS * OUTSTANDING and verdict.repeated
    assert not verdict.faults()
