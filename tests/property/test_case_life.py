"""Whatever is done in whatever order to cases that join, climb, wait and return: none is left to lie, none
moves otherwise than the table says, and an engine made now from what is stored would do the same.
"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.cases import ENDED, TURNS, UNANSWERED, Turn
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Act, Case, Entry, Level, Outcome, Photo, Recurrence, Stage, Told, Verb
from gateway.core.stalled import stalled
from gateway.core.state import State
from gateway.web import words
from tests.unit.test_case_life import DAY, HOUR, street
from tests.unit.worlds import HOT, SMOKE, Play, of

RULES = (
    replace(HOT, clear_hold_s=60, recurrence=Recurrence(within_s=DAY, times=2)),
    replace(SMOKE, latch=True),
)
WORLD = street(*RULES, join_within_s=120)
person = st.sampled_from(["wang", "li", "zhao"])
doing = st.one_of(
    st.tuples(st.just("heat"), st.tuples(st.integers(1, 3), st.sampled_from([20, 56, 70, 80]))),
    st.tuples(st.just("smoke"), st.sampled_from([0, 1])),
    st.tuples(
        st.just("act"), st.tuples(st.sampled_from(list(Verb)), st.sampled_from(["wang", "li", "zhao"]))
    ),
    st.tuples(st.just("outcome"), st.sampled_from(list(Told))),
    st.tuples(st.just("wait"), st.sampled_from([1, 61, 121, 301, 1801, 4 * HOUR, DAY])),
)
picking = st.integers(0, 3)


def do(play, what, how, pick):
    state = play.engine.state
    cases, due = sorted(state.cases) or [""], sorted(state.notifications) or [""]
    if what == "heat":
        play.say({how[0]: how[1]})
    elif what == "smoke":
        play.say(smoke=how)
    elif what == "outcome":
        play.give(Outcome(play.at, play.wall(), due[pick % len(due)], how))
    elif what == "wait":
        play.wait(how)
    else:
        _act(play, *how, cases, pick)


def _act(play, verb, person, cases, pick):
    state = play.engine.state
    ended = [one.case.id for ends in state.closings.values() for one in ends]
    name = cases[pick % len(cases)] if verb is not Verb.REOPEN or not ended else ended[pick % len(ended)]
    case = state.cases.get(name)
    to = {
        Verb.TRANSFER: ["wang", "committee", "street", "nobody"][pick],
        Verb.MERGE: cases[(pick + 1) % len(cases)],
        Verb.SPLIT: case.alerts[pick % len(case.alerts)] if case and case.alerts else "",
    }.get(verb, "")
    until = play.wall() + [0, 600, 2 * HOUR, DAY][pick] * SECOND
    shown = Photo(f"{pick:064x}", "jpeg", 1 + pick) if verb is Verb.PHOTO else None
    play.give(Act(play.at, play.wall(), name, person, verb, "因为", to=to, until_ns=until, photo=shown))


def played(script, check=lambda play: None):
    """All of it; `check` is called after each deed."""
    play = Play(Engine(WORLD, State(identity="0000002a")))
    for (what, how), pick in script:
        do(play, what, how, pick)
        check(play)
    return play


def check(play):
    engine = play.engine
    state, cases = engine.state, engine.cases
    assert cases.unwatched(engine.timers.armed) == [], "an open case that nothing would ever move"
    lie = stalled(engine.world, state.cases.values(), state.alerts.values(), state.at)
    assert lie == [], "by what is stored alone it should have moved"
    for case in state.cases.values():
        standing = [one for one in case.alerts if one in state.alerts]
        if standing and case.stage in UNANSWERED and not case.silent:
            assert engine.timers.armed("climb", case.id) is not None, "nobody has answered what stands"
        if case.stage is Stage.SUSPENDED:
            assert case.suspended_until is not None and case.suspended_until > state.at
        worst = cases.book.worst(case)
        assert worst is None or worst.level <= case.level, "a red behind a yellow"
    for alert in state.alerts.values():
        open_case = state.cases.get(alert.case)
        assert open_case is None or alert.id in open_case.alerts or alert.hidden_by
    homes = [alert for case in state.cases.values() for alert in case.alerts if alert in state.alerts]
    assert len(homes) == len(set(homes)), "an alert in two cases"


def moved_by_the_table(effects):
    """Every change of a case's stage, also those within one step, is a move of the table."""
    legal = {(start, end) for (start, _), end in TURNS.items()}
    stages = {}
    for case in of(effects, Case):
        was = stages.get(case.id, Stage.FOUND)
        assert case.stage is was or (was, case.stage) in legal, (was, case.stage)
        assert was not in ENDED, "out of an end"
        stages[case.id] = case.stage
    return stages


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(doing, picking), max_size=30))
def test_no_case_is_left_to_lie(script):
    play = played(script, check)
    assert not any(one.event == "case_unwatched" for one in play.effects if hasattr(one, "event"))
    moved_by_the_table(play.effects)
    assert {one.what for one in of(play.effects, Entry)} <= words.ENTRIES.keys(), "a line without words"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(doing, picking), max_size=20), st.integers(0, 20))
def test_a_restart_anywhere_changes_nothing(script, cut):
    """Saved and loaded in the middle: the rest of the play comes out the same, to the last message."""
    plays = [Play(Engine(WORLD, State(identity="0000002a"))) for _ in range(2)]
    for number, ((what, how), pick) in enumerate(script):
        if number == cut:
            saved = states.load(states.save(plays[1].engine.state))
            plays[1].engine = Engine(WORLD, saved, plays[1].engine.recent)
        for play in plays:
            do(play, what, how, pick)
    one, other = ([found for found in play.effects if type(found).__name__ != "Noted"] for play in plays)
    assert one == other


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(doing, picking), max_size=25))
def test_red_is_never_closed_by_who_did_it(script):
    play = played(script)
    for case in of(play.effects, Case):
        if case.stage is Stage.CLOSED and case.level is Level.RED:
            assert case.verified_by and case.verified_by != case.handled_by


def test_the_table_has_no_turn_that_is_never_taken():
    assert {turn for _, turn in TURNS} == set(Turn)
