"""kill -9 of the gateway: nothing is lost, nothing is there twice, everybody is told once or twice."""

from __future__ import annotations

import random

import pytest

from tests.faults.conftest import MakeRig
from tests.faults.hook import Call
from tests.faults.killing import killed_and_told_again, killed_at_random, killed_while_nobody_listens
from tests.faults.rig import Rig
from tests.faults.street import NAMES, Script

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KILLS, MESSAGES = 20, 20_000


def rounds_of(messages: int) -> int:
    return -(-messages // len(NAMES))


def test_killed_at_twenty_random_moments(rig: Rig, seed: int) -> None:
    """The main proof: 20,000 messages with QoS 1, 54 alerts, 26 near-misses, 20 kills."""
    script = Script(seed, rounds_of(MESSAGES))
    verdict = killed_at_random(rig, script, KILLS)
    print(f"\nkilled at random: seed={seed} kills={rig.gateway.kills} {verdict}")
    assert verdict.sent >= MESSAGES and len(script.expected) >= 50
    assert not verdict.faults()


def test_killed_between_a_commit_and_its_acknowledgement(make_rig: MakeRig, seed: int) -> None:
    """What is committed and not acknowledged comes again, and is known."""
    rig, script = make_rig("dies_before_acknowledging"), Script(seed, rounds_of(4_000))
    rig.gateway.start()
    for lives in (3, 2, 1):
        rig.fleet.begin(script, script.left // (lives + 1), depth=1, rate=1_000)
        rig.gateway.until_dead()
        rig.fleet.wait()
        rig.gateway.mutant = "dies_before_acknowledging" if lives > 1 else ""
        rig.gateway.revive()
    rig.fleet.play(script, script.left)
    verdict = rig.checker(script).judged()
    print(f"\nkilled before acknowledging: seed={seed} kills={rig.gateway.kills} {verdict}")
    assert rig.gateway.kills == 3 and verdict.repeated >= 3
    assert not verdict.faults()


def test_killed_between_the_telling_and_its_record(rig: Rig, seed: int) -> None:
    """The webhook has the message, the gateway dies before it can note it: told again, and only once more."""
    lots = random.Random(seed)
    fatal = set(lots.sample(NAMES[:54], 8))

    def deadly(call: Call) -> None:
        if call.device in fatal:
            fatal.remove(call.device)
            rig.gateway.kill()

    rig.hook.heard = deadly
    script = Script(seed, rounds_of(4_000))
    rig.gateway.start()
    rig.fleet.begin(script, script.rounds, depth=1, rate=1_000)
    while rig.fleet.playing or fatal:
        if rig.gateway.killed.wait(0.1):
            rig.gateway.revive(ready=False)
    rig.fleet.wait()
    verdict = rig.checker(script).judged()
    again = sum(count - 1 for count in rig.hook.told.values())
    print(f"\nkilled while telling: seed={seed} kills={rig.gateway.kills} told again={again} {verdict}")
    assert rig.gateway.kills == again == 8, "a crash repeats the one message under way, no other"
    assert not verdict.faults()


def test_killed_while_nobody_listens(rig: Rig, seed: int) -> None:
    """The provider is down and the gateway dies again and again: the outbox still holds every alert."""
    script = Script(seed, rounds_of(4_000))
    verdict = killed_while_nobody_listens(rig, script, kills=4)
    print(f"\nkilled while nobody listens: seed={seed} kills={rig.gateway.kills} {verdict}")
    assert not verdict.faults()


def test_killed_and_everything_said_again(rig: Rig, seed: int) -> None:
    """Repetitions that no broker flags, within one read and over a kill: one point each, nobody told anew."""
    script = Script(seed, rounds_of(2_000))
    verdict = killed_and_told_again(rig, script, kills=2)
    print(f"\nsaid again: seed={seed} kills={rig.gateway.kills} sent again={rig.fleet.sent_again} {verdict}")
    assert not verdict.faults() and verdict.repeated >= rig.fleet.sent_again
