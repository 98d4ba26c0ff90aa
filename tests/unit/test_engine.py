"""The engine as tables of what is said and what must follow. The docstring of each test is its reason."""

from dataclasses import replace

import msgspec
import pytest

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Alert, Configured, Link, Marked, Message, Messages, Quality, Refused
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, START_NS, TOPIC, Play, levels, of, payload, world


@pytest.fixture
def play():
    return Play()


@pytest.fixture
def listening():
    """With the rule of silence."""
    return Play(Engine(world(), State(identity="0000002a")))


def test_a_level_fires_only_after_its_hold(play):
    """One hot reading is a sensor's hiccup; a minute of them is a slot."""
    play.say({3: 56})
    play.wait(59.9)
    assert play.levels() == []
    play.wait(0.1)
    assert play.levels() == ["yellow"]


def test_a_good_value_within_the_hold_starts_it_anew(play):
    play.say({3: 56})
    play.wait(50)
    play.say({3: 54})
    play.wait(5)
    play.say({3: 56})
    play.wait(59)
    assert play.levels() == []


def test_levels_rise_through_one_alert_and_clear_once(play):
    play.say({3: 76})
    assert play.levels() == ["red"]
    play.say({3: 66})
    play.wait(600)
    assert play.levels()[-1] == "orange", "red is over, orange still stands"
    play.say({3: 40})
    play.wait(299)
    assert "clear" not in play.levels()
    play.wait(1)
    assert play.levels()[-1] == "clear" and play.levels().count("clear") == 1
    assert len({alert.id for alert in of(play.effects, Alert)}) == 1


def test_between_limit_and_clear_limit_nothing_moves(play):
    play.say({3: 56})
    play.wait(60)
    play.say({3: 52})
    play.wait(3600)
    assert play.levels() == ["yellow"]


def test_clearing_is_taken_back_by_a_bad_value(play):
    play.say({3: 76})
    play.say({3: 20})
    play.wait(200)
    play.say({3: 76})
    play.wait(200)
    assert "clear" not in play.levels()


def test_slots_are_judged_apart(play):
    play.say({1: 76, 2: 30, 3: 76})
    assert {alert.component for alert in of(play.effects, Alert)} == {"slot-1", "slot-3"}


def test_unknown_moves_nothing(play):
    """A message without the value neither arms nor clears; an impossible value is refused, not believed."""
    play.say({3: 76})
    play.say(smoke=0)
    play.say({3: 999})
    play.wait(3600)
    assert play.levels() == ["red"]
    refused = of(play.effects, Refused)
    assert [(r.code, r.field) for r in refused] == [("range", "slot_temperature_c")]


def test_retained_state_pages_nobody_and_proves_no_life(listening):
    """After a reconnect the broker repeats its memory: 100 stale alarms must wake nobody."""
    for _ in range(100):
        listening.say(smoke=1, retained=True)
    assert listening.levels() == []
    assert {mark.quality for mark in of(listening.effects, Marked)} == {Quality.RETAINED}
    listening.wait(300)
    assert listening.levels() == ["orange"], "it is still silent"


def test_second_delivery_counts_once(play):
    play.say(smoke=1, ts=START_NS // SECOND)
    play.effects.clear()
    play.say(smoke=1, ts=START_NS // SECOND, again=True)
    assert [mark.store for mark in of(play.effects, Marked)] == [False]
    assert play.levels() == [] and play.notifications() == []


def test_a_retry_of_the_same_instant_counts_once(play):
    """A device that repeats itself, or a broker that does not flag its second delivery: one point."""
    play.say(smoke=0, ts=seconds(play))
    play.say(smoke=0, ts=seconds(play))
    assert [(mark.quality, mark.store) for mark in of(play.effects, Marked)] == [(Quality.DUPLICATE, False)]


def test_a_retry_within_one_event_counts_once(play):
    """A device whose PUBACK was lost with the broker says it again at once: both come in one read."""
    said = Message(TOPIC, payload(smoke=0, ts=seconds(play)))
    play.give(Messages(play.at, play.wall(), [said, said]))
    assert [mark.quality for mark in of(play.effects, Marked)] == [Quality.DUPLICATE]


def test_two_samples_of_one_instant_both_count(play):
    """A clock of whole seconds: smoke in the same second as none is smoke, and both points are kept."""
    play.say(smoke=0, ts=seconds(play))
    play.say(smoke=1, ts=seconds(play))
    assert play.levels() == ["red"]
    assert [mark.shift_ns for mark in of(play.effects, Marked)] == [1]


def test_redelivery_of_what_we_never_committed_is_news(play):
    """The broker's flag alone proves nothing: we may have crashed before the commit."""
    play.say(smoke=1, again=True)
    assert play.levels() == ["red"]


def test_silence_raises_by_steps_and_speaking_clears(listening):
    listening.say(smoke=0)
    listening.wait(299)
    assert listening.levels() == []
    listening.wait(1)
    assert listening.levels() == ["orange"]
    listening.wait(600)
    assert listening.levels() == ["orange", "red"]
    listening.say(smoke=0)
    listening.wait(29)
    assert listening.levels()[-1] == "red"
    listening.wait(1)
    assert listening.levels()[-1] == "clear"


def test_silence_proves_nothing_while_we_are_deaf(listening):
    """500 devices behind one dead broker are not 500 alarms."""
    listening.say(smoke=0)
    listening.wait(100)
    listening.give(Link(listening.at, listening.wall(), False))
    listening.wait(7200)
    assert listening.levels() == []
    listening.give(Link(listening.at, listening.wall(), True))
    listening.wait(290)
    assert listening.levels() == []
    listening.wait(20)
    assert listening.levels() == ["orange"], "silent for 300 s of our listening"


def test_stranger_and_impostor_are_refused(play):
    play.say(smoke=1, topic="site/unknown")
    play.say(smoke=1, id="cab-9")
    assert [(r.code, r.device) for r in of(play.effects, Refused)] == [
        ("unknown_device", ""),
        ("identity", "cab-1"),
    ]
    assert play.levels() == []


def test_a_flaw_in_one_slot_does_not_hide_the_smoke(play):
    play.say(raw=b'{"smoke":1,"slots":[{"no":3,"t":"hot"},{"no":9,"t":20},{"no":1,"t":20}]}')
    assert play.levels() == ["red"]
    assert sorted(r.code for r in of(play.effects, Refused)) == ["component", "type"]


# ---------------------------------------------------------------- time


def seconds(play, offset=0):
    return (play.wall() + offset) // SECOND


def test_clock_eight_hours_ahead_neither_raises_nor_hides(play):
    """+08:00 sent as Z: judged by arrival at once, named and corrected from the third message."""
    for _ in range(4):
        play.say({3: 30}, ts=seconds(play, 8 * 3600 * SECOND))
        play.wait(30)
    qualities = [mark.quality for mark in of(play.effects, Marked)]
    assert qualities == [Quality.AHEAD, Quality.AHEAD, Quality.SKEWED, Quality.SKEWED]
    assert of(play.effects, Marked)[-1].shift_ns // SECOND in range(-8 * 3600 - 1, -8 * 3600 + 2)
    assert play.noted().count("device_clock_skewed") == 1
    play.say({3: 80}, ts=seconds(play, 8 * 3600 * SECOND))
    assert play.levels() == ["red"]


def test_unset_clock_is_named(play):
    for step in range(3):
        play.say({3: 30}, ts=1000 + 30 * step)
        play.wait(30)
    noted = next(n for n in play.effects if getattr(n, "event", "") == "device_clock_skewed")
    assert noted.fields["kind"] == "unset"


def test_kept_data_sent_later_is_stored_and_pages_nobody(play):
    """Six hours from a device's memory, in one burst: the past rings nothing, and is no wrong clock."""
    for ago in range(6 * 3600, 600, -30):
        play.say({3: 90}, ts=seconds(play, -ago * SECOND))
        play.at += SECOND // 10
    assert play.levels() == []
    assert {mark.quality for mark in of(play.effects, Marked)} == {Quality.LATE}
    play.say({3: 90}, ts=seconds(play))
    assert play.levels() == ["red"], "what is still true rings"


def test_late_word_waits_for_the_one_that_takes_it_back(play):
    """Smoke three minutes ago, none one minute ago, both delivered now: it is over."""
    play.say(smoke=1, ts=seconds(play, -180 * SECOND))
    play.say(smoke=0, ts=seconds(play, -60 * SECOND))
    play.wait(60)
    assert play.levels() == []


def test_late_word_that_stands_rings(play):
    play.say(smoke=1, ts=seconds(play, -180 * SECOND))
    play.wait(2)
    assert play.levels() == ["red"]


def test_what_was_true_before_our_first_moment_fires_too(play):
    """A new store's steady time begins at zero; a crossing measured a second before lies below it."""
    play.say(smoke=1, ts=seconds(play) - 1)
    assert play.levels() == ["red"]


def test_older_than_the_last_word_is_not_judged(play):
    play.say({3: 20}, ts=seconds(play))
    play.say({3: 90}, ts=seconds(play, -30 * SECOND))
    assert play.levels() == []
    assert of(play.effects, Marked)[-1].quality is Quality.DISORDER


def test_hold_is_measured_between_samples_not_arrivals(play):
    """A minute of heat that a slow network delivers at once was a minute of heat."""
    for ago in (90, 60, 30, 5):
        play.say({3: 56}, ts=seconds(play, -ago * SECOND))
    assert play.levels() == ["yellow"]


def test_wall_clock_steps_change_no_span(play):
    play.say({3: 56})
    play.wait(30)
    play.engine.step(Messages(play.at, START_NS + 365 * 86400 * SECOND, []))
    play.wait(29)
    assert play.levels() == []
    play.wait(1)
    assert play.levels() == ["yellow"]


# ---------------------------------------------------------------- checkpoints and edits


def test_checkpoint_anywhere_changes_nothing():
    """Restored in the middle of a hold, a clearing, a silence: the same effects at the same instants."""
    script = [
        ({3: 56}, 30),
        ({3: 66}, 61),
        ({1: 80}, 10),
        ({3: 40, 1: 40}, 200),
        (None, 1500),
        ({3: 20}, 400),
    ]
    undisturbed = Play(Engine(world(), State(identity="0000002a")))
    for slots, pause in script:
        undisturbed.say(slots) if slots else None
        undisturbed.wait(pause)
    restored = Play(Engine(world(), State(identity="0000002a")))
    for slots, pause in script:
        restored.engine = Engine(world(), states.load(states.save(restored.engine.state)))
        restored.say(slots) if slots else None
        restored.engine = Engine(world(), states.load(states.save(restored.engine.state)))
        restored.wait(pause)
    assert msgspec.json.encode(restored.effects) == msgspec.json.encode(undisturbed.effects)


def test_edit_of_a_threshold_keeps_the_alert(play):
    play.say({3: 80})
    edited = world(rules=(_with_red_at(90), SMOKE), digest="two")
    play.engine.reconfigure(Configured(play.at, play.wall(), "two"), edited)
    play.wait(100)
    assert play.levels() == ["red"], "kept until the sensor says otherwise"
    play.say({3: 80})
    play.wait(301)
    assert play.levels()[-1] == "orange", "80 is no longer red, still orange"


def _with_red_at(limit):
    red = replace(HOT.limits[2], above=limit)
    return replace(HOT, limits=(*HOT.limits[:2], red))


def test_rule_that_is_gone_ends_its_alert(play):
    play.say({3: 80})
    effects = play.engine.reconfigure(
        Configured(play.at, play.wall(), "two"), world(rules=(SMOKE,), digest="two")
    )
    assert levels(effects) == ["clear"]
    assert play.engine.state.cases, "the case stays with its people"


def test_new_device_is_not_silent_at_once(listening):
    listening.wait(10_000)
    listening.engine.reconfigure(
        Configured(listening.at, listening.wall(), "two"), world(devices=("cab-1", "cab-2"), digest="two")
    )
    listening.effects.clear()
    listening.wait(299)
    assert not [a for a in listening.effects if getattr(a, "device", "") == "cab-2"]


def test_the_same_log_gives_the_same_effects_byte_for_byte():
    def once():
        play = Play(Engine(world(), State(identity="0000002a")))
        play.say({3: 56, 4: 90})
        play.wait(400)
        play.say({3: 20, 4: 20})
        play.wait(4000)
        return msgspec.json.encode(play.effects)

    assert once() == once()


def test_payload_helper_speaks_the_model():
    assert payload({3: 56}) == b'{"slots": [{"no": 3, "t": 56}]}'
