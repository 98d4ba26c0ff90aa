"""Starting twice, stopping, and other files under load: the daily life of a daemon, with nothing lost."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.faults.rig import ROOT, STOP_S_MOST, Rig
from tests.faults.street import RULES, Script
from tests.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

STOPS = 4
TIGHTER = """\
  - id: tighter
    says: 改后的规则
    on: {scene: structure}
    when: temperature_c
    levels: {red: {above: 399.5, hold: 0s}}
    basis: {text: made up for breaking things, confidence: D}
    action: 到场查看
    respond_within: 10m
    consequence: none
    owner: 无人
"""


def test_second_instance_refuses(rig: Rig, seed: int) -> None:
    """It says why and ends; the first one does not even notice."""
    script = Script(seed, rounds=40)
    rig.gateway.start()
    rig.fleet.begin(script, script.rounds, rate=2_000)
    second = subprocess.run(rig.gateway.command("run"), cwd=ROOT, capture_output=True, text=True, timeout=30)
    rig.fleet.wait()
    verdict = rig.checker(script).judged()
    said = second.stderr.strip()
    print(f"\nsecond instance: exit {second.returncode}, {said!r}; first: seed={seed} {verdict}")
    assert second.returncode == 1 and str(rig.folder / "state") in said and "another lilong" in said
    assert "Traceback" not in said
    assert rig.gateway.running and rig.gateway.everything_said().count("mqtt_connected") == 1
    assert not verdict.faults() and verdict.repeated == 0


def test_stopped_under_load(rig: Rig, seed: int) -> None:
    """SIGTERM: gone within five seconds, exit 0, and every commit was acknowledged: nothing comes again."""
    script, ends = Script(seed, rounds=80), []
    rig.gateway.start()
    for stop in range(STOPS):
        rig.fleet.begin(script, script.left // (STOPS - stop), rate=2_000)
        until(lambda: rig.ledger.messages, 10)
        ends.append(rig.gateway.stop())
        rig.gateway.start()
        rig.fleet.wait()
    verdict = rig.checker(script).judged()
    print(
        f"\nstopped: seed={seed} stops={STOPS} slowest={max(s for s, _ in ends):.2f} s, "
        f"codes={[code for _, code in ends]} {verdict}"
    )
    assert all(seconds <= STOP_S_MOST and code == 0 for seconds, code in ends)
    assert not verdict.faults(told_most=1)
    assert verdict.repeated == verdict.rewritten == 0


def test_reloaded_under_load(rig: Rig, seed: int) -> None:
    """A broken file changes nothing; a good one counts from one message to the next; nothing is lost."""
    script = Script(seed, rounds=120)
    rules = rig.folder / "rules" / "faults.yaml"
    rig.gateway.start()
    rig.fleet.begin(script, script.rounds, rate=1_500)
    rules.write_text(RULES + "  - id: [broken\n", "utf-8")
    rig.gateway.signal(signal.SIGHUP)
    until(lambda: rig.gateway.said("reload_refused"), 10)
    told = len(rig.hook.devices())
    until(lambda: len(rig.hook.devices()) > told, 20, "the old rules still fire")
    rules.write_text(RULES + TIGHTER, "utf-8")
    rig.gateway.signal(signal.SIGHUP)
    until(lambda: rig.gateway.said("reloaded"), 10)
    rig.fleet.wait()
    until(lambda: any(rule == "tighter" for rule, _ in _alerts(rig)), 20, "the new rule fires")
    verdict = rig.checker(script).judged()
    print(f"\nreloaded: seed={seed} {verdict}")
    faults = verdict.faults()
    for name in ("wrongly", "twice_raised", "told more than twice"):
        faults.pop(name, None)  # the new rule's, which the script knows nothing of
    assert not faults


def _alerts(rig: Rig) -> list[tuple[str, str]]:
    rig.ledger.look()
    return list(rig.ledger.alerts.values())
