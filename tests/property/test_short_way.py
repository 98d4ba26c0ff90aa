"""The short way, and asking only the rules that a value may move: both mean what the long way means."""

from dataclasses import replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.engine import Engine
from gateway.core.model import SECOND, Level
from gateway.core.state import State, save
from gateway.core.watches import Subject
from tests.unit.worlds import CABINET, HOT, SMOKE, START_NS, Play, limits, world

ALSO = limits((Level.YELLOW, 30, 0, 25.0))
WARM = replace(SMOKE, id="warm", quantity="temperature_c", limits=ALSO)
RULES = (HOT, WARM, SMOKE, replace(WARM, id="warm-too", clear_hold_s=5.0))
temperature = st.sampled_from([20, 27, 31, 500, -500])  # calm, between the limits, beyond, impossible
saying = st.fixed_dictionaries(
    {"ago": st.sampled_from([-9, 0, 0, 0, 1, 5, 700]), "wait": st.sampled_from([0, 1, 61])},
    optional={
        "t": temperature,
        "smoke": st.sampled_from([0, 1]),
        "slots": st.dictionaries(st.integers(1, 2), st.sampled_from([20, 52, 57, 70, 999])),
    },
)


def play(script) -> tuple[list, bytes]:
    found = Play(Engine(world(rules=RULES), State(identity="0000002a")))
    for one in script:
        given = dict(one)
        ago, wait = given.pop("ago"), given.pop("wait")
        found.say(**given, ts=(START_NS + found.at) // SECOND - ago)
        found.wait(wait)
    return found.effects, save(found.engine.state)


@settings(max_examples=200)
@given(st.lists(saying, max_size=15))
def test_the_short_way_says_what_the_long_way_says(script):
    assert CABINET.lateness_s < 700, "else nothing of the script is late"
    with (
        patch.object(Subject, "plain", property(lambda subject: False, lambda subject, plain: None)),
        patch.object(Subject, "asked", lambda subject, values: subject.judges),
    ):
        expected = play(script)
    assert play(script) == expected
