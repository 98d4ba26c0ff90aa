"""A camera that repeats "active" and never says "inactive": one event with a start and an end."""

import json
from dataclasses import replace

import pytest

from gateway.adapters.store import Logged, Record, Store
from gateway.core import state as states
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.lines import Formatter
from gateway.core.model import (
    SECOND,
    Basis,
    Codec,
    Configured,
    Device,
    Ended,
    Field,
    Level,
    Link,
    Message,
    Messages,
    Model,
    Rule,
    Tick,
)
from gateway.core.state import State
from tests.unit.worlds import START_NS, Play, limits, of, world

TOPIC = "http/lift-1"
CAMERA = Model(
    id="camera", says="摄像机", scene="lift", source="test", ends_after_s=10,
    codec=Codec(kind="json", time="ts", time_unit="s"),
    fields=(Field(quantity="ebike_present", path="ebike"), Field(quantity="confidence", path="sure")),
)  # fmt: skip
EBIKE = Rule(
    id="ebike", says="电动车进电梯", scene="lift", quantity="ebike_present", clear_hold_s=5,
    limits=limits((Level.YELLOW, 0.5, 20, None), (Level.ORANGE, 0.5, 120, None)),
    basis=Basis(text="test", confidence="D"), action="劝阻",
)  # fmt: skip
DEVICES = {"lift-1": Device(id="lift-1", model="camera", at="yard", topic=TOPIC)}


def street(ends_after_s=10.0):
    model = replace(CAMERA, ends_after_s=ends_after_s)
    return replace(world(rules=(EBIKE,), devices=()), models={"camera": model}, devices=DEVICES)


def play(ends_after_s=10.0):
    return Play(Engine(street(ends_after_s), State(identity="0000002a")))


def said(found, ebike=1, ago=0.0, **more):
    body = json.dumps({"ebike": ebike, "ts": (START_NS + found.at) / SECOND - ago, **more}).encode()
    return found.give(Messages(found.at, found.wall(), [Message(TOPIC, body)]))


def repeat(found, seconds, every=1):
    """It says "active" every second, then no more."""
    for _ in range(0, seconds, every):
        said(found)
        found.wait(every)


def changes(found):
    """(level or clear, seconds after the start) of each change of the alert."""
    return [
        ("clear" if alert.state == "cleared" else alert.level.word, (alert.changed_ns - START_NS) // SECOND)
        for alert in found.effects
        if hasattr(alert, "raised_ns")
    ]


def test_repeats_are_one_event_that_ends_after_its_last_word():
    found = play()
    repeat(found, 40)  # the last word is at 39 s, so it is over at 49 s, and clear 5 s later
    found.wait(600)
    assert changes(found) == [("yellow", 20), ("clear", 54)]


def test_it_is_as_for_a_device_that_says_when_it_is_over():
    by_itself, by_word = play(), play(ends_after_s=0)
    repeat(by_itself, 31)
    by_itself.wait(300)
    repeat(by_word, 31)
    by_word.wait(9)  # 10 s after the last word, which was at 30 s
    said(by_word, 0)
    by_word.wait(300)
    assert changes(by_itself) == changes(by_word) == [("yellow", 20), ("clear", 45)]


def test_without_it_the_alert_stands_for_ever():
    """The mutant of the first test: nothing else ends it."""
    found = play(ends_after_s=0)
    repeat(found, 40)
    found.wait(600)
    assert ("clear", 54) not in changes(found) and len(found.engine.state.alerts) == 1


def test_a_glance_ends_before_the_hold_and_tells_nobody():
    found = play()
    repeat(found, 5)
    found.wait(600)
    assert changes(found) == [] and found.engine.state.lasting == {}


def test_a_pause_shorter_than_the_end_is_no_end():
    """The hold of 20 s has run out when the next word confirms it."""
    found = play()
    for _ in range(6):
        said(found)
        found.wait(9)
    assert changes(found) == [("yellow", 27)]


def test_what_it_waits_for_an_end_is_no_hold():
    """15 s of words and 10 s of waiting are a glance all the same."""
    found = play()
    repeat(found, 15)
    found.wait(600)
    assert changes(found) == []


def test_what_says_its_start_once_is_believed_until_its_end():
    """A long ends_after only guards against a lost end: two starts and then no word are no glance."""
    found = play(ends_after_s=900)
    said(found)
    found.wait(3)
    said(found)
    found.wait(60)
    said(found, 0)
    found.wait(60)
    assert changes(found) == [("yellow", 20), ("clear", 68)]


def test_inactive_ends_it_at_once():
    found = play()
    repeat(found, 25)
    said(found, 0)
    assert found.engine.state.lasting == {}
    found.wait(60)
    assert changes(found) == [("yellow", 20), ("clear", 30)]


def test_a_start_that_arrives_after_its_stop_starts_nothing():
    """Out of order: the stop of 12:00:05 is here when the start of 12:00:03 comes."""
    found = play()
    found.wait(10)
    said(found, 0)
    said(found, 1, ago=2)
    found.wait(600)
    assert changes(found) == [] and found.engine.state.lasting == {}


def test_a_stop_that_arrives_after_the_next_start_ends_nothing():
    found = play()
    said(found, 1)
    found.wait(5)
    said(found, 1)
    said(found, 0, ago=3)
    repeat(found, 30)
    assert changes(found) == [("yellow", 20)]


def test_old_words_end_when_they_were_over():
    """A word of 30 s ago was over 20 s ago: nothing begins now."""
    found = play()
    found.wait(60)
    said(found, ago=30)
    found.wait(600)
    assert changes(found) == []


def test_a_confidence_is_no_event():
    found = play()
    said(found, sure=0.9)
    assert list(found.engine.state.lasting) == ["lift-1||ebike_present"]


def test_while_the_line_is_down_nothing_ends():
    """Its next word may wait at the broker: what was there is believed for the line's patience."""
    found = play()
    repeat(found, 25)
    found.give(Link(found.at, found.wall(), False))
    found.wait(60)
    assert changes(found) == [("yellow", 20)]
    found.give(Link(found.at, found.wall(), True))
    found.wait(60)
    assert [change for change, _ in changes(found)] == ["yellow", "clear"]


@pytest.mark.parametrize("seconds", [3, 15, 30])
def test_a_checkpoint_anywhere_changes_nothing(seconds):
    plain, restored = play(), play()
    for found in (plain, restored):
        repeat(found, seconds)
        if found is restored:
            state = states.load(states.save(found.engine.state))
            found.engine = Engine(street(), state, found.engine.recent)
        found.wait(600)
    assert restored.effects == plain.effects


def test_a_model_that_no_longer_ends_by_itself_lets_go():
    found = play()
    repeat(found, 3)
    found.engine.reconfigure(Configured(found.at, found.wall(), "two"), street(ends_after_s=0))
    assert found.engine.state.lasting == {}


def test_a_late_tick_ends_it_as_of_then():
    """The box was busy for a minute: the hold that had not run out by the end is not run out afterwards."""
    found = play()
    repeat(found, 5)
    found.at += 60 * SECOND
    found.give(Tick(found.at, found.wall()))
    assert changes(found) == []


def test_a_glance_before_the_line_breaks_is_no_alert_when_patience_ends():
    """Its end and its hold are due in one instant, and the end comes first."""
    found = play()
    repeat(found, 5)
    found.give(Link(found.at, found.wall(), False))
    found.wait(900)
    assert changes(found) == [] and found.engine.state.lasting == {}


def test_the_end_is_a_point_of_its_own_in_database_and_archive():
    """Else the last thing a chart knows is that the bike is in the lift."""
    found = play()
    repeat(found, 5)
    found.wait(60)
    (ended,) = of(found.effects, Ended)
    assert ended == Ended("lift-1", "", "ebike_present", START_NS + 14 * SECOND)
    written = Formatter(street(), Decoder(street()).decode).format(Logged(7, Tick(0, 0), [], [ended]))
    assert written.lines.decode().startswith("lift,") and "device=lift-1" in written.lines.decode()
    assert written.lines.decode().endswith(f'ebike_present=0.0,quality="good" {START_NS + 14 * SECOND}')
    assert b"ebike_present=0.0" in written.rows and list(written.at) == [7]


def test_the_end_outlives_the_log(tmp_path):
    store = Store(tmp_path)
    ended = Ended("lift-1", "", "ebike_present", 1)
    store.commit([Record(Tick(0, 0), [ended])])
    assert store.read_log(0, 10)[0].changes == [ended]
    store.close()


def test_a_device_that_is_gone_has_no_end_to_write():
    ended = Ended("lift-9", "", "ebike_present", 1)
    assert (
        Formatter(street(), Decoder(street()).decode).format(Logged(7, Tick(0, 0), [], [ended])).lines == b""
    )


def test_a_broken_line_ends_nothing_that_went_on_meanwhile():
    """The words that the broker kept come late: one event, and one end."""
    found = play()
    repeat(found, 5)
    found.give(Link(found.at, found.wall(), False))
    found.wait(60)
    found.give(Link(found.at, found.wall(), True))
    for ago in range(59, 0, -1):
        said(found, ago=ago)
    found.wait(600)
    assert [ended.wall_ns for ended in of(found.effects, Ended)] == [START_NS + (64 + 10) * SECOND]


def test_a_late_tick_clears_as_of_then():
    """The clear time has run since the end, not since the box looked."""
    found = play()
    repeat(found, 31)
    found.at += 100 * SECOND
    found.give(Tick(found.at, found.wall()))
    found.wait(3)  # as long as a late word may be taken back, not the whole clear time
    assert [change for change, _ in changes(found)] == ["yellow", "clear"]


def test_what_is_said_once_counts_until_it_ends():
    """A pulse of 30 s outlasts a hold of 20 s: nobody promised to say it again."""
    found = play(ends_after_s=30)
    said(found)
    found.wait(600)
    assert changes(found) == [("yellow", 20), ("clear", 35)]
