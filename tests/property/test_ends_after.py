"""A source that never says that it is over is judged as its twin that does, wherever it is interrupted."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.engine import Engine
from tests.unit.test_ends_after import changes, play, said, street

ENDS_S = 10.5  # no instant of its own ever meets that of a hold
pause = st.integers(1, 9) | st.sampled_from([11, 12, 19, 21, 40, 130, 700])
script = st.lists(st.tuples(st.sampled_from([1, 1, 1, 0]), pause), max_size=12)


def by_itself(steps, between=lambda found: None):
    found = play(ENDS_S)
    for value, seconds in steps:
        between(found)
        said(found, value)
        between(found)
        found.wait(seconds)
    found.wait(600)
    return found


def by_word(steps):
    """The twin says 0 when its event is over."""
    found = play(0)
    for value, seconds in [*steps, (0, 600)]:
        said(found, value)
        if value and seconds > ENDS_S:
            found.wait(ENDS_S)
            said(found, 0)
            found.wait(seconds - ENDS_S)
        else:
            found.wait(seconds)
    return found


def restore(found):
    state = states.load(states.save(found.engine.state))
    found.engine = Engine(street(ENDS_S), state, found.engine.recent)


@given(script)
def test_it_is_as_for_the_twin_that_says_when_it_is_over(steps):
    steps = [*steps, (0, 1)]  # both have the same last word
    assert changes(by_itself(steps)) == changes(by_word(steps))


@settings(max_examples=60)
@given(script)
def test_checkpoint_and_restore_anywhere_changes_no_later_effect(steps):
    assert msgspec.json.encode(by_itself(steps, restore).effects) == msgspec.json.encode(
        by_itself(steps).effects
    )


def test_canary_an_engine_that_forgets_what_lasts_is_seen():
    """The property above can fail."""

    def forget(found):
        restore(found)
        found.engine.state.lasting.clear()

    steps = [(1, 9)] * 4
    assert changes(by_itself(steps, forget)) != changes(by_itself(steps))


@given(script)
def test_nothing_lasts_for_ever(steps):
    """Whatever was said: when it has been silent for long, no alert stands and nothing is remembered."""
    found = by_itself(steps)
    assert found.engine.state.alerts == {} and found.engine.state.lasting == {}
    assert found.engine.state.tracks == {}


@given(script, st.randoms())
def test_repeats_and_disorder_end_it_no_later(steps, chance):
    """Every word again, and an old one after it: the same changes as without."""

    def disturb(found):
        if chance.random() < 0.5 and found.at > 0:
            said(found, chance.choice([0, 1]), ago=chance.randint(1, 5))

    plain = by_itself([*steps, (0, 1)])
    found = play(ENDS_S)
    for value, seconds in [*steps, (0, 1)]:
        said(found, value)
        said(found, value)
        disturb(found)
        found.wait(seconds)
    found.wait(600)
    assert changes(found) == changes(plain)
