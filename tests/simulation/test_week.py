"""A week of 2,000 devices, with restarts, outages and edits thrown in: nothing missed, nothing false.

Always the same week, so that what lands does not hang on chance; `python -m tests.simulation --seed N`
plays any other, and finds what this one does not.
"""

from __future__ import annotations

import pytest

from tests.simulation import boxes
from tests.simulation.judging import Played, played, report
from tests.simulation.street import STOCK, street
from tests.simulation.week import prepare

SEED = 1
AGAIN = f"the same week again: python -m tests.simulation --seed {SEED}"
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
def week() -> Played:
    found = boxes.play(SEED)
    print(f"{AGAIN}\n{report(found)}")
    return found


def test_nothing_is_missed_and_nothing_is_false(week):
    assert week.verdict.perfect, f"{AGAIN}\n{report(week)}"


def test_it_was_a_week_of_the_whole_street(week):
    """Two thousand devices of every scene spoke for seven days, and everything rare was met."""
    assert week.devices == sum(stock.count for stock in STOCK) == 2000
    assert week.scenes == {"structure", "cabinet", "lift", "waste", "shed", "gateway"}
    assert week.messages > 1_400_000
    assert set(week.noted) >= MET, MET - set(week.noted)
    assert len(week.verdict.found) > 60
    assert {told.rule for _, told, _ in week.verdict.found} >= WEIGHED


def test_the_gateways_had_a_hard_week(week):
    assert week.restarts > 40 and week.outages > 1 and week.edits > 40


def test_one_box_carries_the_whole_street():
    """Its first two days, in one engine."""
    found = played(prepare(SEED, days=2).play())
    assert found.verdict.perfect, f"{AGAIN} --days 2 --boxes 1\n{report(found)}"
    assert found.devices == 2000 and found.messages > 400_000 and found.restarts > 10


@pytest.mark.parametrize("count", [2, 3])
def test_boxes_share_the_street_along_its_gateways_and_compounds(count):
    devices = street(SEED).devices
    shares = boxes.shared(street(SEED), count)
    assert sorted(name for share in shares for name in share) == sorted(devices)
    sheds = {one.id: one.at for one in devices.values() if one.model == "shed-smoke"}
    for share in shares:
        assert {devices[name].behind for name in share} - {""} <= set(share) and len(share) > 400
        places = {sheds[name] for name in share if name in sheds}
        assert {name for name, place in sheds.items() if place in places} <= set(share)
