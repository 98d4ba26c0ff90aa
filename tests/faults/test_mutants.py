"""The proofs can fail: each is run on a gateway with a bug planted, and must find it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.checker import Verdict
from tests.faults.conftest import MakeRig
from tests.faults.killing import killed_and_told_again, killed_at_random, killed_while_nobody_listens
from tests.faults.rig import Rig
from tests.faults.street import Script

pytestmark = [pytest.mark.servers, pytest.mark.slow]

TRIES, ROUNDS, KILLS = 5, 50, 3  # a kill must hit the gap that the bug opens: other seeds, until one does
QUIET_S = 6.0  # what is not there by then is not coming

Kill = Callable[[Rig, Script, int, float], Verdict]
MUTANTS: dict[str, tuple[Kill, set[str]]] = {
    "ack_first": (killed_at_random, {"lost"}),
    "no_memory": (killed_and_told_again, {"duplicate"}),
    "outbox_apart": (killed_while_nobody_listens, {"untold"}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_found(make_rig: MakeRig, seed: int, mutant: str) -> None:
    kill, telling = MUTANTS[mutant]
    for attempt in range(TRIES):
        verdict = kill(make_rig(mutant, attempt), Script(seed + attempt, ROUNDS), KILLS, QUIET_S)
        print(f"\nmutant {mutant}: seed={seed + attempt} {verdict}")
        if telling & set(verdict.faults()):
            return
    pytest.fail(f"{mutant} was not seen in {TRIES} runs")
