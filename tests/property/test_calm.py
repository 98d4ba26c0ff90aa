"""What was found calm is not asked again before there is news of it: all comes out as if it were."""

from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.conditions import parsed
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Configured, Level, Limit
from gateway.core.state import State, save
from gateway.core.weighing import Weighing
from tests.unit.worlds import CABINET, START_NS, Play, levels, rule, world

TRUE = (Limit(level=Level.RED, equals=1.0),)
DEVICES = ("cab-1", "cab-2", "cab-3")
TEXTS = {  # to its limit
    "smoke > 0.5 and temperature_c > 30": TRUE,
    "times(smoke > 0.5, 10m)": (Limit(level=Level.YELLOW, above=0.5),),
    "share(smoke > 0.5, 10m)": (Limit(level=Level.YELLOW, above=40.0),),
    "count(smoke > 0.5, 10m) < 1": (Limit(level=Level.YELLOW, equals=0.0),),
    "quorum(2 of 2, smoke > 0.5, 5m)": TRUE,
    "quorum(2 of 3, smoke > 0.5, 5m, degraded 1)": TRUE,
    "any(smoke > 0.5 and temperature_c > 30)": TRUE,
    "all(temperature_c > 30)": TRUE,
    "members(smoke > 0.5)": (Limit(level=Level.YELLOW, above=1.0),),
    "worst(temperature_c)": (Limit(level=Level.YELLOW, above=30.0),),
    "lowest(temperature_c)": (Limit(level=Level.YELLOW, above=30.0),),
}
GROUPED = ("quorum", "any", "all", "members", "worst", "lowest")
saying = st.fixed_dictionaries(
    {
        "device": st.sampled_from(DEVICES),
        "ago": st.sampled_from([-9, 0, 0, 0, 1, 5, 90, 200, 700]),
        "wait": st.sampled_from([0, 1, 61, 200, 400]),
    },
    optional={"t": st.sampled_from([20, 31]), "smoke": st.sampled_from([0, 0, 1])},
)


def play(text, script, before) -> tuple[list, bytes]:
    """`before` it is written so much is said already, of which another rule has asked."""
    grouped = "place" if text.startswith(GROUPED) else ""
    asked = replace(rule(text, limits=TEXTS[text]), each="", group=grouped)
    asking = replace(rule("smoke > 5 and temperature_c > 500", limits=TRUE), id="asking")
    model = replace(CABINET, expect_every_s=60.0)
    street = world(rules=(asking,), devices=DEVICES, models={"cabinet": model})
    found = Play(Engine(street, State(identity="0000002a")))
    for number, one in enumerate(script):
        if number == before:
            event, street = Configured(found.at, found.wall(), "two"), replace(street, rules=(asking, asked))
            found.effects += found.engine.reconfigure(event, replace(street, digest="two"))
        said = dict(one)
        device, ago, wait = said.pop("device"), said.pop("ago"), said.pop("wait")
        found.say(topic=f"site/{device}", **said, ts=(START_NS + found.at) // SECOND - ago)
        found.wait(wait)
    return found.effects, save(found.engine.state)


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=120)
@given(st.lists(saying, max_size=14), st.sampled_from([0, 0, 0, 3]))
def test_who_is_not_asked_again_would_have_said_the_same(text, script, before):
    with patch.object(Weighing, "note_calm", lambda weighing, judge, seen: False):
        expected = play(text, script, before)
    assert play(text, script, before) == expected


def says(device, smoke, ago=0, wait=0):
    return {"device": device, "smoke": smoke, "t": 20, "ago": ago, "wait": wait}


def test_a_late_word_that_held_ends_a_calm():
    """The last word stays as it was; what happened before it is news all the same."""
    script = [
        says("cab-1", 0, wait=200),
        says("cab-1", 0, wait=9),
        says("cab-1", 1, ago=90),
        says("cab-1", 0),
    ]
    effects, _ = play("times(smoke > 0.5, 10m)", script, before=0)
    assert levels(effects) == ["yellow"]


def test_nobody_is_calm_who_has_not_heard_everybody_yet():
    """A rule came when one smoked already: with another silent that one is enough."""
    script = [
        says("cab-3", 0, wait=100), says("cab-1", 1, wait=20), says("cab-2", 0, wait=40), says("cab-2", 0),
    ]  # fmt: skip
    effects, _ = play("quorum(2 of 3, smoke > 0.5, 5m, degraded 1)", script, before=2)
    assert levels(effects) == ["red"]


def test_most_of_them_go_by_states():
    """What asks the worst or the lowest of those known does not: one more that is silent changes it."""
    states = {text: parsed(text).is_of_states for text in TEXTS}
    assert [text for text, one in states.items() if not one] == [
        "worst(temperature_c)",
        "lowest(temperature_c)",
    ]
