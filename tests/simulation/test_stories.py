"""What the week holds for true: a level is that of the rule's limits, and a slope needs its past."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest

from gateway.core.model import SECOND, Level, World
from simulators.lives import DAY, HOUR, Episode
from tests.simulation.edits import scaled
from tests.simulation.street import START_NS, Stock, street
from tests.simulation.teller import FAST_NS, MM_M_PER_DEG, Teller
from tests.simulation.voices import Lane
from tests.simulation.week import DAYS_LEAST, part, prepare

HOUSES = (
    Stock("tilt-chirpstack", 3, 3600, "houses", 2),
    Stock("static-level", 6, 3600),
    Stock("shed-smoke", 8, 600),
    Stock("cabinet-8", 3, 120),
    Stock("lorawan-gateway", 16, 60),
)


@pytest.fixture(scope="module")
def world() -> World:
    return street(1, HOUSES)


def teller(world: World, seed: int = 1, days: float = 7) -> Teller:
    return Teller(world, seed, days, (), Episode(0, 0))


def creep(world: World, trend: float) -> list[Level | None]:
    found = teller(world)
    found.creeping("tilt-chirpstack", "tilt-x-trend", "tilt_x_deg", trend, MM_M_PER_DEG)
    return [turn.level for story in found.stories for told in story.told for turn in told.turns]


@pytest.mark.parametrize("way", [1, -1])
def test_of_which_level_a_creeping_lean_is_its_limits_say(world, way):
    """0.008 and 0.0167 mm/m a day: 0.015 was once told as orange, from a limit that has been raised since."""
    assert creep(world, 0.012 * way) == [Level.YELLOW]
    assert creep(world, 0.015 * way) == [Level.YELLOW]
    assert creep(world, 0.02 * way) == [Level.ORANGE]
    lower = replace(world, rules=tuple(map(_halved, world.rules)))
    assert creep(lower, 0.012 * way) == [Level.ORANGE]


def _halved(rule):
    limits = tuple(scaled(one, 0.5) for one in rule.limits)
    return replace(rule, limits=limits) if rule.id == "tilt-x-trend" else rule


def test_a_trend_that_noise_may_carry_across_a_limit_is_no_story(world):
    with pytest.raises(AssertionError):
        creep(world, 0.0165)


def test_a_house_that_sinks_for_hours_has_been_known_for_two_days(world):
    """On its first day a slope over two days is that of one day: twice as steep, and rightly told."""
    hours = ((0, 0.0), (8, 12.5), (11, 12.5), (19, 0.0), (23, 0.0))
    for seed in range(6):
        found = teller(world, seed, days=4)
        found.moved("static-level", "settlement", "settlement_mm", hours, 240)
        (story,) = found.stories
        assert story.begins_ns > START_NS + FAST_NS
        assert {told.rule for told in story.told} == {"settlement"}


def test_what_sinks_for_longer_is_told_as_fast(world):
    found = teller(world)
    points = [(0, 0.0), (30 * HOUR, 14.0), (48 * HOUR, 14.0)]
    (told,) = found.fast(next(iter(world.devices.values())), points, START_NS + FAST_NS)
    assert told.rule == "settlement-fast" and told.turns[0].level is Level.YELLOW


def test_a_fire_of_a_cold_night_has_its_end(world):
    """A slot of 30 degrees stands out among others of 15 and less, in the coldest corner and at its end."""
    for seed in range(24):
        found = teller(world, seed)
        found.sometime = lambda lasts_ns: START_NS + round(2.5 * HOUR)
        found.slot_fire()
        (warmer,) = (told for story in found.stories for told in story.told if told.rule == "slot-warmer")
        assert [turn.level for turn in warmer.turns] == [Level.YELLOW, None]


def test_a_hold_of_an_expression_may_wait_for_the_next_word(world):
    """A cabinet that speaks every two minutes is unknown from 75 s after each word on; a plain limit's hold
    runs on, and so does one while a word comes every 30 s.
    """
    found, waits = teller(world), 126 * SECOND
    found.charging_long()
    found.door_while_charging()
    found.smoke("cabinet-8", "cabinet-smoke")
    long, door, smoke = ([t.latest_ns - t.earliest_ns for t in s.told[0].turns] for s in found.stories)
    assert min(long) >= waits and door[0] < waits <= door[1] and max(smoke) < waits


# ---------------------------------------------------------------- a part of the street


def said(world: World, names: set[str]) -> dict[str, list[bytes]]:
    """By topic, what some devices of it say in six hours, in the order of arrival."""
    found = teller(world)
    at = START_NS + 2 * HOUR
    found.states("smoke", world.devices["shed-smoke-004"], "shed-smoke", "smoke", at, 900, 30)
    topics = {world.devices[name].topic for name in names}
    by_topic = defaultdict(list)
    for _, messages in Lane(world, 1, found.stories, 6 * HOUR / DAY).spans():
        for one in messages:
            if one.topic in topics:
                by_topic[one.topic].append(one.payload)
    return by_topic


def test_a_part_of_the_street_says_what_it_says_in_the_whole(world):
    """So that what one device met can be played again in seconds."""
    names = {"shed-smoke-004", "shed-smoke-006", "cabinet-8-001", "tilt-chirpstack-001"}
    some = part(world, names)
    assert len(some.devices) < len(world.devices) / 2
    assert said(some, names) == said(world, names) and len(said(some, names)) == len(names)


def test_those_who_share_a_story_or_a_gateway_are_played_with_it():
    """The gateway of the one is dead for two hours, and all behind it with it; that of the other is well."""
    week = prepare(1, 2, only=["gs301-000", "gs301-001"])
    assert [story.name for story in week.lane.stories] == ["gateway dead"]
    assert {"gs301-004", "gw-12", "gw-13"} <= week.world.devices.keys()
    assert week.lane.stories[0].devices <= week.world.devices.keys()


@pytest.mark.parametrize(
    ("days", "only", "said"), [(1, "", f"at least {DAYS_LEAST}"), (2, "shed-0", "shed-0")]
)
def test_what_cannot_be_played_is_said(days, only, said):
    with pytest.raises(ValueError, match=said):
        prepare(9, days, [only] if only else [])
