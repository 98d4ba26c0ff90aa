"""The engine goes by the tuned numbers everywhere: limits, holds, ends, deadlines, silence, after an edit."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.engine import Engine
from gateway.core.model import Configured, Level, LevelTuning, Link, Tuning, Verb, World
from gateway.core.state import State
from tests.unit.worlds import HOT, SILENT, SMOKE, Play, world


def tuned(level: Level | None = None, rule: str = "slot-hot", rules=(HOT, SMOKE), **numbers) -> World:
    levels = {level: LevelTuning(numbers=numbers)} if level else {}
    more = {} if level else {"numbers": numbers}
    return world(rules=rules, tunings=(Tuning(rule=rule, because="x", levels=levels, **more),))


def playing(found: World) -> Play:
    return Play(Engine(found, State(identity="0000002a")))


def edit(play: Play, found: World) -> None:
    found = replace(found, digest="two")
    play.effects += play.engine.reconfigure(Configured(play.at, play.wall(), "two"), found)


def test_a_longer_hold_waits_longer() -> None:
    play = playing(tuned(Level.YELLOW, hold_s=300.0))
    play.say({3: 56.0})
    play.wait(200)
    assert play.levels() == []
    play.wait(110)
    assert play.levels() == ["yellow"]


def test_an_added_level_fires() -> None:
    play = playing(tuned(Level.YELLOW, rule="smoke", above=0.3))
    play.say(smoke=0.4)
    play.wait(30)
    assert play.levels() == ["yellow"]
    play.say(smoke=1)
    assert play.levels() == ["yellow", "red"]


def test_a_level_switched_off_does_not() -> None:
    off = Tuning(rule="slot-hot", because="x", levels={Level.ORANGE: LevelTuning(off=True)})
    play = playing(world(rules=(HOT,), tunings=(off,)))
    play.say({3: 66.0})
    play.wait(90)
    play.say({3: 76.0})
    assert play.levels() == ["yellow", "red"]


def test_a_shorter_end_ends_sooner() -> None:
    play = playing(tuned(clear_hold_s=60.0))
    play.say({3: 76.0})
    play.say({3: 40.0})
    play.wait(70)
    assert play.levels()[-1] == "clear"


def test_the_deadline_people_read_is_the_tuned_one() -> None:
    play = playing(tuned(respond_within_s=1800.0))
    play.say({3: 76.0})
    assert "（30 分钟内）" in play.notifications()[0].text


def test_silence_goes_by_its_own_span() -> None:
    play = playing(tuned(Level.ORANGE, rule="silent", rules=(SILENT,), absent_s=600.0))
    play.say({3: 40.0})
    play.wait(400)
    assert play.levels() == []
    play.wait(250)
    assert play.levels() == ["orange"]
    play.say({3: 40.0})
    play.wait(40)
    assert play.levels() == ["orange", "clear"]


def test_a_line_that_breaks_finds_the_tuned_holds() -> None:
    play = playing(tuned(Level.YELLOW, rule="smoke", above=0.3, hold_s=60.0))
    play.say(smoke=0.4)
    play.give(Link(play.at, play.wall(), False))
    play.give(Link(play.at, play.wall(), True))
    play.wait(90)
    assert play.levels() == ["yellow"]


def test_an_edit_keeps_what_stands() -> None:
    """The alert, who took it, and a hold that has begun; levels that came or went change nothing else."""
    play = playing(world(rules=(HOT, SMOKE)))
    play.say({3: 66.0}, smoke=0)
    play.wait(20)
    case = play.case()
    play.act(case.id, Verb.ACKNOWLEDGE)
    play.say({5: 56.0})
    play.wait(50)
    before = dict(play.engine.state.alerts)
    edit(play, tuned(Level.YELLOW, above=54.0, clear=49.0))
    assert play.engine.state.alerts == before and play.engine.state.cases[case.id].acknowledged_by == "wang"
    play.wait(20)  # the hold of slot 5 began before the edit
    assert play.levels()[-1] == "yellow"


def test_an_edit_adds_and_takes_levels_under_a_standing_alert() -> None:
    play = playing(world(rules=(HOT, SMOKE)))
    play.say({3: 66.0}, smoke=1)
    play.wait(90)
    off = Tuning(rule="slot-hot", because="x", levels={Level.ORANGE: LevelTuning(off=True)})
    more = Tuning(rule="smoke", because="x", levels={Level.YELLOW: LevelTuning(numbers={"above": 0.2})})
    edit(play, world(rules=(HOT, SMOKE), tunings=(off, more)))
    play.say({3: 40.0}, smoke=0)
    play.wait(400)
    assert play.levels()[-2:] == ["clear", "clear"]
    assert "timer_failed" not in play.noted() and not play.engine.state.tracks


def for_one(mode: str, *rules) -> World:
    only = Tuning(rule=rules[0].id, because="x", device="cab-1", numbers={"mode": mode})
    return world(rules=rules, tunings=(only,), devices=("cab-1", "cab-2"))


def both_say(play: Play, **values) -> None:
    play.say(**values)
    play.say(topic="site/cab-2", **values)


def test_in_the_shadow_for_one_device() -> None:
    play = playing(for_one("shadow", SMOKE))
    both_say(play, smoke=1)
    alerts = {one.device: one for one in play.engine.state.alerts.values()}
    assert {name: one.mode for name, one in alerts.items()} == {"cab-1": "shadow", "cab-2": "live"}
    assert not alerts["cab-1"].case and play.case().device == "cab-2"


def test_out_of_the_shadow_for_one_device() -> None:
    """A new rule is tried out everywhere and told of at one place first."""
    play = playing(for_one("live", replace(SMOKE, mode="shadow")))
    both_say(play, smoke=1)
    assert len(play.engine.state.alerts) == 2 and play.case().device == "cab-1"


def test_switched_off_for_one_device() -> None:
    for rule, said in ((SMOKE, {"smoke": 1}), (SILENT, {"smoke": 0})):
        play = playing(for_one("off", rule))
        both_say(play, **said)
        play.wait(400)
        assert [one.device for one in play.engine.state.alerts.values()] == ["cab-2"], rule.id


def test_what_stands_ends_when_it_is_switched_off_and_its_case_stays() -> None:
    play = playing(world(rules=(SMOKE,), devices=("cab-1", "cab-2")))
    both_say(play, smoke=1)
    edit(play, for_one("off", SMOKE))
    assert [one.device for one in play.engine.state.alerts.values()] == ["cab-2"]
    assert {one.device for one in play.engine.state.cases.values()} == {"cab-1", "cab-2"}
