"""Whatever people, sensors, providers and editors of rules do, in any order: no alert is lost."""

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.cases import UNANSWERED
from gateway.core.engine import Engine
from gateway.core.model import Cause, Configured, Entry, Level, Outcome, Receipt, Reply, Told, Verb
from gateway.core.state import State
from gateway.web import words
from tests.unit.worlds import HOT, SMOKE, Play, of, world

HIDDEN = replace(HOT, inhibited_by=(Cause(rule="smoke"),), clear_hold_s=60, handle_within_s=1200)
WORLDS = (
    world(rules=(HIDDEN, SMOKE), digest="0"),
    world(rules=(HIDDEN, replace(SMOKE, mode="shadow")), digest="1"),
    world(rules=(replace(HIDDEN, mode="shadow"), SMOKE), digest="2"),
    world(rules=(HOT, replace(SMOKE, steps=("case", "event"))), digest="3"),
    world(rules=(HIDDEN,), digest="4"),
)
person = st.sampled_from(["wang", "li", "gone"])
doing = st.one_of(
    st.tuples(st.just("heat"), st.sampled_from([20, 52, 57, 70, 80])),
    st.tuples(st.just("smoke"), st.sampled_from([0, 1])),
    st.tuples(
        st.just("act"), st.tuples(st.sampled_from(list(Verb)), st.sampled_from(["wang", "li", "gone"]))
    ),
    st.tuples(st.just("outcome"), st.sampled_from(list(Told))),
    st.tuples(st.just("once"), st.sampled_from([0.0, 60.0])),
    st.tuples(st.just("receipt"), st.booleans()),
    st.tuples(st.just("reply"), st.sampled_from(["1", "2"])),
    st.tuples(st.just("reload"), st.integers(0, len(WORLDS) - 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 61, 301, 1201, 4000])),
)
picking = st.integers(0, 3)


def do(play, what, how, pick):
    cases = sorted(play.engine.state.cases) or [""]
    due = sorted(play.engine.state.notifications) or [""]
    sent = sorted(play.engine.state.sent) or ["biz"]
    if what == "heat":
        play.say({3: how})
    elif what == "smoke":
        play.say(smoke=how)
    elif what == "act":
        play.act(cases[pick % len(cases)], how[0], how[1])
    elif what == "outcome":
        play.give(Outcome(play.at, play.wall(), due[pick % len(due)], how))
    elif what == "once":
        more = {"number": f"biz-{play.at}", "once": True, "receipt_s": how}
        play.give(Outcome(play.at, play.wall(), due[pick % len(due)], Told.UNKNOWN, **more))
    elif what == "receipt":
        play.give(Receipt(play.at, play.wall(), "inbox", sent[pick % len(sent)], how))
    elif what == "reply":
        play.give(Reply(play.at, play.wall(), "inbox", "wang", how))
    elif what == "reload":
        play.effects += play.engine.reconfigure(Configured(play.at, play.wall(), str(how)), WORLDS[how])
        play.wait(0)
    else:
        play.wait(how)


def check(play, false):
    """Of each standing alert: hidden by what stands, or in a case; and that is answered, or tells."""
    state, cases = play.engine.state, play.engine.cases
    assert cases.placing.seen_otherwise() == [], "another engine, made now, would do something"
    for alert in state.alerts.values():
        rule = cases.rules[alert.rule]
        if not rule.opens or alert.case in false:
            continue
        case = state.cases[alert.case]
        if alert.hidden_by:
            cause = state.alerts[alert.hidden_by]
            assert cause.level >= alert.level and cause.case == alert.case
            assert alert.id not in case.alerts
        else:
            assert alert.id in case.alerts and case.level >= alert.level
            beside = [state.alerts[one] for one in case.alerts if one in state.alerts]
            assert case.silent is not any(cases.rules[one.rule].tells for one in beside)
            assert case.stage not in UNANSWERED or case.silent or tells(play, case)


def tells(play, case):
    """A message is on its way, or a rung is armed, or the ladder of a lesser alarm has told everybody."""
    armed = {key for _, kind, key in play.engine.cases.timers() if kind == "climb"}
    due = {told.case for told in play.engine.state.notifications.values()}
    over = case.level < Level.RED and play.engine.cases.telling.exhausted(case)
    return case.id in due or case.id in armed or over


def run(script, between=lambda play: None):
    play, false = Play(Engine(WORLDS[0], State(identity="0000002a"))), set()
    for (what, how), pick in script:
        between(play)
        before = set(play.engine.state.cases)
        do(play, what, how, pick)
        if what == "act" and how[0] is Verb.FALSE:
            false |= before - set(play.engine.state.cases)
        check(play, false)
    return play


@settings(max_examples=150)
@given(st.lists(st.tuples(doing, picking), max_size=25))
@example([(("heat", 80), 0), (("smoke", 1), 0), (("reload", 3), 0)])  # one tells, one does not
def test_no_alert_is_lost(script):
    """And in the end, whatever is red and unanswered does tell, if one only waits."""
    play = run(script)
    assert {one.what for one in of(play.effects, Entry)} <= words.ENTRIES.keys(), "a line without words"
    waiting = [
        case.id for case in play.engine.state.cases.values()
        if case.stage in UNANSWERED and case.level is Level.RED and not case.silent
        and any(one in play.engine.state.alerts for one in case.alerts)
    ]  # fmt: skip
    for one in list(play.engine.state.notifications.values()):
        play.told(one)
    seen = len(play.effects)
    play.wait(1300)
    told = {getattr(one, "case", "") for one in play.effects[seen:] if hasattr(one, "due_at")}
    still = [one for one in waiting if one in play.engine.state.cases]
    assert set(still) <= told | cleared(play, still)


def cleared(play, cases):
    """Those whose alert ended while we waited."""
    state = play.engine.state
    return {one for one in cases if not any(alert in state.alerts for alert in state.cases[one].alerts)}
