"""Edits under a standing alert: what a limit, a level, a question may change, and what it may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.edits import question, undeclared
from gateway.core.engine import Engine
from gateway.core.model import Alert, Configured, Level, Limit, Rule
from gateway.core.state import State
from tests.unit.worlds import SMOKE, Play, limits, of, world

WARM = replace(
    SMOKE, id="warm", quantity="temperature_c", limits=limits((Level.ORANGE, 50, 0, None)), clear_hold_s=60.0
)
HUMID = replace(WARM, quantity="smoke", limits=limits((Level.ORANGE, 0.5, 0, None)))


def standing(rule: Rule = WARM) -> Play:
    found = Play(Engine(world(rules=(rule,)), State(identity="0000002a")))
    found.say(t=60, smoke=0)
    assert found.levels() == ["orange"]
    return found


def edit(found: Play, *rules: Rule) -> None:
    changed = replace(found.engine.world, rules=rules, digest="two")
    found.effects += found.engine.reconfigure(Configured(found.at, found.wall(), "two"), changed)


@pytest.mark.parametrize(
    "change",
    [
        {"says": "别的说法"},
        {"limits": limits((Level.ORANGE, 55, 30, 50.0))},
        {"clear_hold_s": 600.0},
        {"latch": True},
        {"labels": {}},
    ],
)
def test_the_same_question_keeps_what_stands_and_needs_no_word(change):
    found, changed = standing(), replace(WARM, **change)
    assert question(changed) == question(WARM)
    before = [alert.id for alert in found.engine.state.alerts.values()]
    edit(found, changed)
    assert [alert.id for alert in found.engine.state.alerts.values()] == before
    assert not list(undeclared(found.engine.state.tracks.values(), {"warm": changed}))


@pytest.mark.parametrize(
    "change",
    [{"quantity": "smoke"}, {"when": "temperature_c * 2"}, {"relative_to": "zero"}, {"group": "place"}],
)
def test_another_question_is_asked_about_before_it_judges(change):
    found, changed = standing(), replace(WARM, **change)
    tracks = found.engine.state.tracks.values()
    assert [rule.id for rule in undeclared(tracks, {"warm": changed})] == ["warm"]
    assert not list(undeclared(tracks, {"warm": replace(changed, if_changed="keep")}))
    assert not list(undeclared(standing(WARM).engine.state.tracks.values(), {}))


def test_kept_it_stands_until_the_new_question_says_good():
    found = standing()
    edit(found, replace(HUMID, if_changed="keep"))
    found.wait(3600)
    assert found.levels() == ["orange"]
    found.say(smoke=0, t=60)
    found.wait(60)
    assert found.levels() == ["orange", "clear"]


@pytest.mark.parametrize("declared", ["re-evaluate", ""])
def test_evaluated_anew_it_ends_unless_the_new_question_says_bad(declared):
    found, other = standing(), standing()
    edit(found, replace(HUMID, if_changed=declared))
    found.wait(59)
    assert found.levels() == ["orange"]
    found.wait(1)
    assert found.levels() == ["orange", "clear"]
    edit(other, replace(HUMID, if_changed=declared))
    other.say(smoke=1, t=20)
    other.wait(3600)
    assert other.levels() == ["orange"], "bad by the new question: the same alert goes on"


def test_closed_it_ends_at_once_and_its_case_stays_with_its_people():
    found = standing()
    edit(found, replace(HUMID, if_changed="close"))
    assert found.levels() == ["orange", "clear"]
    assert list(found.engine.state.cases) and found.engine.state.tracks == {}


def test_a_level_that_is_taken_away_ends_with_the_edit():
    """And not with the next bad reading, which may never come."""
    both = replace(WARM, limits=limits((Level.YELLOW, 40, 0, None), (Level.ORANGE, 50, 0, None)))
    found = standing(both)
    edit(found, replace(both, limits=both.limits[:1]))
    assert found.levels() == ["orange", "yellow"]
    lone = standing()
    edit(lone, replace(WARM, limits=(Limit(level=Level.RED, above=70.0),)))
    assert lone.levels() == ["orange", "clear"]
    assert of(lone.effects, Alert)[-1].rule == "warm"
