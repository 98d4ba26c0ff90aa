"""How a level comes to fire beyond plain `hold`, how it ends, and what it does with a value that dances."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.alerts import ACTIVE, OPEN, Phase, Standing, due_at, expire, turn
from gateway.core.chatter import NONE, crosses, note_raised, note_side
from gateway.core.conditions import band, crossed
from gateway.core.engine import Engine
from gateway.core.judging import LOOKED_AT
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    Entry,
    Field,
    Level,
    Limit,
    Message,
    Messages,
    Rule,
    Verb,
    Verdict,
)
from gateway.core.state import State
from tests.unit.worlds import CABINET, HOT, SMOKE, START_NS, Play, of, payload, world

MINUTE = 60 * SECOND
YELLOW = Level.YELLOW


def limit(**keys) -> Limit:
    return Limit(level=YELLOW, **{"above": 55.0, **keys})


def fired_at(said: list[tuple[int, bool]], which: Limit, rule: Rule = HOT) -> int | None:
    """When the level first fires, of verdicts at instants; time goes on for a day after the last."""
    one = Standing(YELLOW)
    for at, bad in [*said, (said[-1][0] + 86_400 * SECOND, None)]:
        while (due := due_at(one, which, rule)) is not None and due <= at:
            expire(one, which, rule, due)
            if one.phase is Phase.FIRING:
                return one.fired
        if bad is not None:
            turn(one, which, Verdict.BAD if bad else Verdict.GOOD, at)
            expire(one, which, rule, at)
            if one.phase is Phase.FIRING:
                return one.fired
    return None


def minutes(text: str) -> list[tuple[int, bool]]:
    """`..##.`: a verdict a minute, # for bad."""
    return [(index * MINUTE, sign == "#") for index, sign in enumerate(text)]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("###", 2), (".##.##.###", 9), ("##.##", None), ("...", None),
    ],
)  # fmt: skip
def test_three_readings_on_end(said, wanted):
    found = fired_at(minutes(said), limit(readings=(3, 3)))
    assert found == (None if wanted is None else wanted * MINUTE)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("##..#", 4), ("#.#.#", 4), ("#..#.#", None), ("#...##.#", 7), ("#.#...#.#", None)],
)
def test_three_of_five_readings(said, wanted):
    """A good one in between takes nothing back; one that lies six readings back no longer counts."""
    found = fired_at(minutes(said), limit(readings=(3, 5)))
    assert found == (None if wanted is None else wanted * MINUTE)


def test_readings_wait_for_readings_and_not_for_the_clock():
    """Two bad ones of three, and then silence: nothing fires by itself."""
    assert fired_at(minutes("##"), limit(readings=(3, 3))) is None


@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=1, max_size=40), st.data())
def test_so_much_in_all_of_the_last_so_long(steps, data):
    """Against the plain sum over the window, second by second."""
    hold = data.draw(st.integers(1, 60))
    within = data.draw(st.integers(hold + 1, 180))
    said, at = [], 0
    for wait, bad in steps:
        at += wait
        said.append((at * SECOND, bad))
    found = fired_at(said, limit(hold_s=float(hold), within_s=float(within)))
    assert found == slowly(said, hold, within)


def slowly(said, hold: int, within: int) -> int | None:
    end = said[-1][0] // SECOND + hold + 1
    state, bad_at, index = False, set(), 0
    for second in range(end + 1):
        gathered = sum(one in bad_at for one in range(second - within, second))
        if state and gathered >= hold:
            return second * SECOND
        while index < len(said) and said[index][0] == second * SECOND:
            state, index = said[index][1], index + 1
        if state:
            bad_at.add(second)
    return None


def test_spells_are_forgotten_once_they_have_left_the_window():
    one, which = Standing(YELLOW), limit(hold_s=600.0, within_s=3600.0)
    turn(one, which, Verdict.BAD, 0)
    turn(one, which, Verdict.GOOD, 5 * MINUTE)
    assert one.phase is Phase.PENDING and one.bad == [(0, 5 * MINUTE)]
    expire(one, which, HOT, 65 * MINUTE - 1)
    assert one.phase is Phase.PENDING
    expire(one, which, HOT, 65 * MINUTE)
    assert one.phase is Phase.CALM and one.bad == []


def test_bad_again_within_a_spell_does_not_begin_another():
    one, which = Standing(YELLOW), limit(hold_s=600.0, within_s=3600.0)
    turn(one, which, Verdict.BAD, 0)
    turn(one, which, Verdict.BAD, MINUTE)
    assert one.bad == [(0, OPEN)]


# ---------------------------------------------------------------- kinds of limits


@pytest.mark.parametrize(
    ("keys", "bad", "good"),
    [
        ({"inside": (5.0, 12.0)}, [5, 8, 12], [4.9, 12.1]),
        ({"outside": (5.0, 12.0)}, [4.9, 12.1], [5, 12]),
        ({"equals": 5.0}, [5], [4, 6]),
    ],
)
def test_what_a_limit_calls_bad(keys, bad, good):
    which = Limit(level=YELLOW, **keys)
    assert [crossed(which, value, False) for value in (*bad, *good)] == [True] * len(bad) + [False] * len(
        good
    )
    low, high = band(replace(HOT, limits=(which,)), None)
    assert not any(low <= value <= high for value in bad), "what is bad is never calm"


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"outside": (5.0, 12.0), "clear_range": (6.0, 11.0)}, 5.5),
        ({"inside": (5.0, 12.0), "clear_range": (4.0, 13.0)}, 12.5),
    ],
)
def test_a_range_clears_by_its_clear_range(keys, value):
    which = Limit(level=YELLOW, **keys)
    assert not crossed(which, value, False) and crossed(which, value, True)


# ---------------------------------------------------------------- how it ends


def test_a_level_may_have_its_own_clear_hold():
    rule = replace(SMOKE, limits=(Limit(level=Level.RED, above=0.5, clear_hold_s=10.0),))
    play = Play(Engine(world(rules=(rule,)), State(identity="0000002a")))
    play.say(smoke=1)
    play.say(smoke=0)
    play.wait(10)
    assert play.levels() == ["red", "clear"]


def test_an_alert_stands_at_least_min_on():
    rule = replace(SMOKE, clear_hold_s=0.0, min_on_s=120.0)
    play = Play(Engine(world(rules=(rule,)), State(identity="0000002a")))
    play.say(smoke=1)
    play.wait(10)
    play.say(smoke=0)
    play.wait(109)
    assert play.levels() == ["red"]
    play.wait(1)
    assert play.levels() == ["red", "clear"]


def test_what_is_latched_waits_for_a_person_through_a_restart_and_may_turn_bad_again():
    rule = replace(SMOKE, latch=True)
    play = Play(Engine(world(rules=(rule,)), State(identity="0000002a")))
    play.say(smoke=1)
    case = play.case().id
    play.say(smoke=0)
    play.wait(7200)
    assert [one.state for one in of(play.effects, Alert)] == ["firing", "latched"]
    play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
    (track,) = play.engine.state.tracks.values()
    assert track.standings[0].phase is Phase.LATCHED and Phase.LATCHED in ACTIVE
    play.say(smoke=1)
    assert track.standings[0].phase is Phase.FIRING
    play.give(Act(play.at, play.wall(), case, "wang", Verb.RESET, "已更换探头"))
    assert track.standings[0].phase is Phase.FIRING, "what is still bad cannot be reset"
    play.say(smoke=0)
    play.wait(60)
    play.give(Act(play.at, play.wall(), case, "wang", Verb.RESET, "已更换探头"))
    assert play.levels()[-1] == "clear" and play.engine.state.tracks == {}
    told = [(one.person, one.note) for one in of(play.effects, Entry) if "reset" in one.what]
    assert told[-1] == ("wang", "已更换探头")


# ---------------------------------------------------------------- chatter


def test_the_third_raise_in_a_minute_is_chatter():
    raised: dict[str, list[int]] = {}
    assert [note_raised(raised, "a", at * SECOND) for at in (0, 20, 59)] == [False, False, True]
    assert not note_raised(raised, "a", 125 * SECOND) and raised == {"a": [59 * SECOND, 125 * SECOND][1:]}


def test_a_value_that_keeps_changing_sides_is_chatter():
    sides = NONE
    for index in range(20):
        sides = note_side(sides, bool(index % 2))
        assert not crosses(sides), "21 readings are asked for"
    assert crosses(note_side(sides, False))
    steady = NONE
    for index in range(100):
        steady = note_side(steady, index % 4 == 0 and index > 80)
        assert not crosses(steady) or index > 80


def test_chatter_is_told_once_and_ends_after_ten_good_minutes():
    rule = replace(SMOKE, clear_hold_s=0.0)
    play = Play(Engine(world(rules=(rule,)), State(identity="0000002a")))
    for _ in range(6):
        play.say(smoke=1)
        play.wait(5)
        play.say(smoke=0)
        play.wait(5)
    assert play.levels() == ["red", "clear", "red", "clear", "red"], "the third raise stands"
    alerts = [one for one in play.effects if isinstance(one, Alert) and one.chattering]
    assert len({one.id for one in alerts}) == 1
    play.wait(594)
    assert play.levels()[-1] == "red"
    play.wait(2)
    assert play.levels()[-1] == "clear" and play.engine.state.tracks == {}


# ---------------------------------------------------------------- events of a camera

SEEN = replace(
    SMOKE, clear_hold_s=10.0, cool_down_s=600.0,
    limits=(Limit(level=YELLOW, above=0.5, hold_s=20.0), Limit(level=Level.RED, above=0.5, hold_s=300.0)),
)  # fmt: skip


def seeing(rule: Rule) -> Play:
    fields = (*CABINET.fields, Field(quantity="confidence", path="sure"))
    model = replace(CABINET, fields=fields)
    return Play(Engine(world(rules=(rule,), models={"cabinet": model}), State(identity="0000002a")))


def visit(play: Play, seconds: float) -> None:
    play.say(smoke=1)
    play.wait(seconds)
    play.say(smoke=0)
    play.wait(30)


def test_after_an_alert_nothing_that_is_no_worse_is_raised_until_it_has_cooled_down():
    play = seeing(SEEN)
    visit(play, 60)
    assert play.levels() == ["yellow", "clear"]
    visit(play, 120)
    play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
    visit(play, 120)
    assert play.levels() == ["yellow", "clear"], "the same visit"
    play.wait(600)
    visit(play, 60)
    assert play.levels() == ["yellow", "clear"] * 2


def test_what_has_cooled_down_is_forgotten_a_few_at_each_alert():
    """When a whole district ends its alerts at once, each must not go through all the others."""
    names = [f"cab-{number}" for number in range(120)]
    play = Play(Engine(world(rules=(SEEN,), devices=names), State(identity="0000002a")))

    def visits(names: list[str]) -> int:
        for smoke, seconds in ((1, 60), (0, 30)):
            body = payload(smoke=smoke)
            play.give(Messages(play.at, play.wall(), [Message(f"site/{name}", body) for name in names]))
            play.wait(seconds)
        return len(play.engine.state.cooling)

    assert visits(names[:50]) == 50
    assert visits(names[50:51]) == 51, "none has cooled down"
    play.wait(600)
    left = [visits([name]) for name in names[51:]]
    assert left[:3] == [51 + (1 - LOOKED_AT) * turn for turn in (1, 2, 3)]
    assert left[-1] <= 8, "only those of the last ten minutes"


def test_what_is_worse_does_not_wait_and_what_stays_is_raised_then():
    play = seeing(SEEN)
    visit(play, 60)
    ended = play.at - 20 * SECOND
    play.say(smoke=1)
    play.wait(299)
    assert play.levels() == ["yellow", "clear"]
    play.wait(1)
    assert play.levels() == ["yellow", "clear", "red"]
    play = seeing(replace(SEEN, limits=SEEN.limits[:1]))
    visit(play, 60)
    for _ in range(30):
        play.say(smoke=1)  # said again and again
        play.wait(30)
    raised = [one.raised_ns for one in of(play.effects, Alert) if one.state == "firing"]
    assert play.levels() == ["yellow", "clear", "yellow"]
    assert raised[-1] == START_NS + ended + 600 * SECOND


def test_what_the_device_is_not_sure_of_moves_nothing():
    play = seeing(replace(SEEN, confidence=0.8))
    play.say(smoke=1, sure=0.79)
    play.wait(60)
    assert play.levels() == []
    play.say(smoke=1, sure=0.8)
    play.wait(15)
    play.say(smoke=1, sure=0.1)
    play.wait(5)
    assert play.levels() == ["yellow"], "nor takes anything back"
    play.say(smoke=0, sure=0.1)
    play.wait(10)
    assert play.levels() == ["yellow", "clear"], "that nothing is there is believed"


def test_a_reading_that_says_no_confidence_is_believed():
    play = seeing(replace(SEEN, confidence=0.8))
    visit(play, 60)
    assert play.levels() == ["yellow", "clear"]
