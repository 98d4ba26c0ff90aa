"""How a gateway is killed: shared by the proofs and by the mutants that must fail them."""

from __future__ import annotations

import random
import threading

from tests.faults.checker import SETTLE_S, Verdict
from tests.faults.rig import Rig
from tests.faults.street import Script
from tests.waiting import until

BURST_S = 0.5  # about what a thousand messages take on a busy machine


def killed_at_random(rig: Rig, script: Script, kills: int, patience_s: float = SETTLE_S) -> Verdict:
    """The devices never wait: each kill falls into a burst, or into the start after the kill before."""
    lots, pause = random.Random(script.seed), threading.Event()
    rig.gateway.start()
    for kill in range(kills):
        rig.fleet.begin(script, script.left // (kills - kill))
        pause.wait(lots.uniform(0, BURST_S))
        rig.gateway.kill()
        rig.fleet.wait()
        rig.gateway.revive(ready=lots.random() < 0.8)
    rig.gateway.until_ready()
    rig.fleet.play(script, script.left)
    return rig.checker(script).judged(patience_s)


def killed_while_nobody_listens(
    rig: Rig, script: Script, kills: int, patience_s: float = SETTLE_S
) -> Verdict:
    """Alerts are raised while the webhook refuses, and wait in the outbox while the gateway is killed."""
    rig.hook.status = 503
    rig.gateway.start()
    for kill in range(kills):
        rig.fleet.play(script, script.left // (kills - kill))
        rig.gateway.kill()
        rig.gateway.revive()
    rig.hook.status = 200
    return rig.checker(script).judged(patience_s)


def killed_and_told_again(rig: Rig, script: Script, kills: int, patience_s: float = SETTLE_S) -> Verdict:
    """Each time the devices never saw their PUBACKs and repeat themselves, once before a kill, once after."""
    rig.gateway.start()
    for kill in range(kills):
        rig.fleet.play(script, script.left // (kills - kill))
        rig.fleet.say_again()
        rig.gateway.kill()
        rig.gateway.revive()
        rig.fleet.say_again()
    until(lambda: rig.ledger.messages >= len(script.truth) + rig.fleet.sent_again, 30, "every repetition")
    return rig.checker(script).judged(patience_s)
