"""What must hold for any series of values, pauses, repeats and restarts."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Level, NotificationState
from gateway.core.state import State
from tests.unit.worlds import START_NS, Play, world

temperature = st.one_of(st.integers(0, 100).map(float), st.sampled_from([50.0, 55.0, 58.0, 65.0, 75.0, 75.1]))
pause = st.one_of(st.integers(0, 120), st.sampled_from([300, 301, 900, 3600]))
saying = st.tuples(st.dictionaries(st.integers(1, 3), temperature, min_size=1), pause)
smoking = st.tuples(st.sampled_from([0, 1]), pause)
HOLD_S = {Level.YELLOW: 60, Level.ORANGE: 10, Level.RED: 0}


def play(script, between=lambda found: None):
    found = Play(Engine(world(), State(identity="0000002a")))
    for slots, seconds in script:
        between(found)
        found.say(slots, ts=(START_NS + found.at) / SECOND)
        between(found)
        found.wait(seconds)
    return found


def restore(found):
    found.engine = Engine(world(), states.load(states.save(found.engine.state)), found.engine.recent)


@given(st.lists(saying, max_size=12))
def test_raise_and_clear_alternate(script):
    """Of each alert: raised once, cleared at most once, and nothing after that."""
    histories = {}
    for effect in play(script).effects:
        if hasattr(effect, "raised_ns"):
            histories.setdefault(effect.id, []).append(str(effect.state))
    for history in histories.values():
        assert history.count("cleared") <= 1 and "cleared" not in history[:-1]


@given(st.lists(saying, max_size=12))
def test_nothing_fires_before_its_hold(script):
    """A level stands only if the value was beyond its limit for the whole hold, silence being no change."""
    found, said = Play(Engine(world(), State(identity="0000002a"))), {}
    for slots, seconds in script:
        for slot, value in slots.items():
            said.setdefault(f"slot-{slot}", []).append((found.at, value))
        for alert in (*found.say(slots), *found.wait(seconds)):
            if getattr(alert, "rule", "") == "slot-hot" and hasattr(alert, "raised_ns"):
                check_hold(alert, said[alert.component])


def check_hold(alert, words):
    """`words` are all (instant, value) that the slot had said when its alert was raised."""
    limit = {Level.YELLOW: 55, Level.ORANGE: 65, Level.RED: 75}[alert.level]
    if alert.raised_ns != alert.changed_ns:
        return
    good = max((index for index, (_, value) in enumerate(words) if value <= limit), default=-1)
    bad_since = words[good + 1][0]
    assert alert.raised_ns - START_NS - bad_since >= HOLD_S[alert.level] * SECOND


@given(st.lists(saying, max_size=10), st.data())
def test_repeats_tell_nobody_twice(script, data):
    """Every message delivered again, any number of times: the same alerts, the same notifications."""
    plain, repeated = play(script), Play(Engine(world(), State(identity="0000002a")))
    for slots, seconds in script:
        ts = (START_NS + repeated.at) / SECOND
        repeated.say(slots, ts=ts)
        for _ in range(data.draw(st.integers(0, 2))):
            repeated.say(slots, ts=ts, again=True)
        repeated.wait(seconds)
    assert repeated.levels() == plain.levels()
    assert [n.id for n in repeated.notifications()] == [n.id for n in plain.notifications()]


@settings(max_examples=60)
@given(st.lists(saying, min_size=1, max_size=8))
def test_checkpoint_and_restore_anywhere_changes_no_later_effect(script):
    assert msgspec.json.encode(play(script, restore).effects) == msgspec.json.encode(play(script).effects)


def test_canary_an_engine_that_forgets_its_holds_is_seen():
    """The property above can fail: rule state that lives in memory only changes the effects."""

    def forget(found):
        state = states.load(states.save(found.engine.state))
        state.tracks.clear()
        found.engine = Engine(world(), state, found.engine.recent)

    script = [({3: 56.0}, 30), ({3: 56.0}, 40)]
    assert play(script, forget).levels() != play(script).levels()


@given(st.lists(smoking, max_size=12))
def test_every_standing_alert_has_a_case_and_a_way_to_a_person(script):
    """Whatever happened: no alert without a case, none whose person was not told of that very alert."""
    found = Play(Engine(world(), State(identity="0000002a")))
    for smoke, seconds in script:
        found.say(smoke=smoke)
        found.wait(seconds)
    told = {n.alert for n in found.notifications() if n.state is NotificationState.DUE}
    for alert in found.engine.state.alerts.values():
        assert alert.case in found.engine.state.cases
        assert alert.id in told
