"""A source that never says that it is over is judged by its words alone, wherever it is interrupted."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.engine import Engine
from tests.unit.test_ends_after import changes, play, said, street

ENDS_S = 10.5  # no instant of its own ever meets that of a hold
CLEAR_S = 5
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


def expected(steps):
    """What a person with paper and a stop-watch would say: (level or clear, second) of each change."""
    told, at, began, last, over = [], 0, None, 0, None
    for value, seconds in [*steps, (0, 600)]:
        if began is not None and (value == 0 or at > last + ENDS_S):
            over, began = (at if at <= last + ENDS_S else last + ENDS_S), None
        if told and told[-1][0] != "clear" and over is not None and over + CLEAR_S <= at:
            told.append(("clear", over + CLEAR_S))
        if value:
            over = None
            began = at if began is None else began
            last = at
            standing = told and told[-1][0] != "clear"
            if at >= began + 20 and not standing:
                told.append(("yellow", at))
            if at >= began + 120 and told[-1][0] == "yellow":
                told.append(("orange", at))
        at += seconds
    if told and told[-1][0] != "clear":
        told.append(("clear", over + CLEAR_S))
    return [(change, int(second)) for change, second in told]


def restore(found):
    state = states.load(states.save(found.engine.state))
    found.engine = Engine(street(ENDS_S), state, found.engine.recent)


@given(script)
def test_it_is_as_it_would_be_with_a_stop_watch(steps):
    assert changes(by_itself([*steps, (0, 600)])) == expected(steps)


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
