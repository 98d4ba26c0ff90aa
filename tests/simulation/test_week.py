"""A week of 2,000 devices, with restarts, outages and edits thrown in: nothing missed, nothing false.

Always the same week, so that what lands does not hang on chance; `python -m tests.simulation.week --seed N`
plays any other, and finds what this one does not.
"""

from __future__ import annotations

import pytest

from tests.simulation.judging import Verdict, judge, report
from tests.simulation.street import STOCK
from tests.simulation.week import Week, prepare

SEED = 1
# What must have been met in a week for it to have proved anything.
MET = {
    "alert_fell", "alert_hidden", "alert_latched", "baseline_fitted", "case_closed", "device_clock_skewed",
    "group_back", "group_silent", "reading_ahead", "reading_disordered", "reading_late", "reading_repeated",
    "would_have_fired",
}  # fmt: skip
# Rules on more than one quantity, one subject or one instant, and those that latch: each must have rung.
WEIGHED = {
    "cabinet-suppression", "lift-ebike-often", "lift-false-alarms", "settlement-fast", "shed-fire",
    "shed-smoke", "slot-charging-long", "slot-open-charging", "slot-rising", "slot-warmer",
    "waste-exposed-often", "waste-overflow-often",
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # minutes of work, and a box may be busy


@pytest.fixture(scope="module")
def week() -> Week:
    return prepare(SEED).play()


@pytest.fixture(scope="module")
def verdict(week) -> Verdict:
    verdict = judge(week, week.lane.stories)
    print(f"python -m tests.simulation.week --seed {week.lane.seed}\n{report(week, verdict)}")
    return verdict


def test_nothing_is_missed_and_nothing_is_false(week, verdict):
    again = f"the same week again: python -m tests.simulation.week --seed {week.lane.seed}"
    assert verdict.perfect, f"{again}\n{report(week, verdict)}"


def test_it_was_a_week_of_the_whole_street(week, verdict):
    """Two thousand devices of every scene spoke for seven days, and everything rare was met."""
    assert len(week.world.devices) == sum(stock.count for stock in STOCK) == 2000
    scenes = {week.world.models[device.model].scene for device in week.world.devices.values()}
    assert scenes == {"structure", "cabinet", "lift", "waste", "shed", "gateway"}
    assert week.lane.count > 1_400_000
    assert set(week.noted) >= MET, MET - set(week.noted)
    assert len(verdict.found) > 60
    assert {told.rule for _, told, _ in verdict.found} >= WEIGHED


def test_the_gateway_had_a_hard_week(week):
    assert len(week.fate.restarts) > 20 and week.fate.outages and len(week.edits) > 20
