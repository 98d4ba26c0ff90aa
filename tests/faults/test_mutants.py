"""The proofs can fail: each is run on a gateway with a bug planted, and must find it."""

from __future__ import annotations

import pytest

from tests.faults.checker import Verdict
from tests.faults.conftest import MakeRig
from tests.faults.killing import killed_at_random, killed_while_nobody_listens
from tests.faults.street import Script

pytestmark = [pytest.mark.servers, pytest.mark.slow]

TRIES, ROUNDS, KILLS = 4, 60, 4  # a kill must hit the gap that the bug opens


def seen(verdict: Verdict, *names: str) -> bool:
    return any(name in verdict.faults() for name in names)


@pytest.mark.parametrize(
    ("mutant", "names"),
    [("ack_first", ("lost",)), ("cursor_first", ("lost",)), ("no_memory", ("duplicate", "twice_raised"))],
)
def test_mutant_killed_at_random_is_found(
    make_rig: MakeRig, seed: int, mutant: str, names: tuple[str, ...]
) -> None:
    rig = make_rig(mutant)
    verdicts = []
    for attempt in range(TRIES):
        pass
    assert verdicts
