"""Rules with an expression, in the engine: what they remember and compare with, and one that fails."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core import edits
from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    Calibration,
    Components,
    Configured,
    Device,
    DoubleControl,
    During,
    Entry,
    Field,
    Level,
    Limit,
    Link,
    Message,
    Messages,
    Rule,
)  # fmt: skip
from gateway.core.state import State
from gateway.web import pages
from tests.unit.worlds import CABINET, HOT, SMOKE, START_NS, TOPIC, Play, of, payload, rule, world

CALM = replace(CABINET, expect_every_s=60.0)


TRUE = (Limit(level=Level.RED, equals=1.0),)


def play(*rules: Rule, devices=("cab-1",), **changes) -> Play:
    street = world(rules=rules, devices=devices, models={"cabinet": CALM}, **changes)
    return Play(Engine(street, State(identity="0000002a")))


def alert(found: Play) -> Alert:
    return of(found.effects, Alert)[-1]


def test_a_rate_over_three_minutes_rings_and_clears():
    found = play(rule("rate_per_minute(slot_temperature_c, 3m)", above=5.0))
    for heat in (40, 40, 40, 40, 47, 54, 61, 61, 61, 61):
        found.say({3: heat})
        found.wait(60)
    assert found.levels() == ["red", "clear"]
    raised = next(one for one in of(found.effects, Alert))
    assert (raised.called, raised.unit) == ("算出的值", "C/min") and raised.value > 5
    (told,) = [one for one in found.notifications() if "红色" in one.title and one.kind == "raised"][:1]
    assert "算出的值 5.833 ℃/分钟（限 5 ℃/分钟）" in told.text and "仓温度 54 ℃" in told.text


def test_a_slot_against_its_neighbours():
    found = play(rule("slot_temperature_c - siblings(slot_temperature_c)", above=10.0))
    found.say({number: 30 for number in range(1, 9)})
    found.say({2: 41})
    assert found.levels() == ["red"] and alert(found).component == "slot-2"
    found.say({number: 41 for number in range(1, 9)})
    assert found.levels() == ["red", "clear"], "all are as warm: a summer's day"


def test_without_two_neighbours_nothing_is_known():
    found = play(rule("slot_temperature_c - siblings(slot_temperature_c)", above=10.0))
    found.say({1: 30, 2: 80})
    assert found.levels() == []


def test_a_house_against_its_street():
    found = play(
        rule("temperature_c - peers(temperature_c)", "temperature_c", above=10.0),
        devices=("cab-1", "cab-2", "cab-3"),
    )
    for name in ("cab-2", "cab-3"):
        found.say(t=20, topic=f"site/{name}")
    found.say(t=31)
    assert found.levels() == ["red"] and alert(found).device == "cab-1"


def test_old_words_of_others_do_not_count():
    """Two and a half intervals later what a neighbour said is no longer known."""
    found = play(rule("slot_temperature_c - siblings(slot_temperature_c)", above=10.0))
    found.say({1: 30, 4: 30})
    found.wait(151)
    found.say({2: 80})
    assert found.levels() == []


def test_two_quantities_need_not_come_in_one_message():
    found = play(rule("smoke > 0.5 and temperature_c > 60", "smoke", limits=TRUE))
    found.say(smoke=1)
    assert found.levels() == [], "the temperature is not known yet"
    found.say(t=70)
    assert found.levels() == ["red"]
    found.say(t=50)
    assert found.levels() == ["red", "clear"]


def test_times_go_down_though_nobody_speaks():
    found = play(rule("times(smoke > 0.5, 10m)", "smoke", above=2.5))
    found.say(smoke=0)
    for _ in range(3):
        found.say(smoke=1)
        found.wait(30)
        found.say(smoke=0)
        found.wait(30)
    assert found.levels() == ["red"]
    found.wait(600)
    assert found.levels() == ["red", "clear"] and found.engine.state.waking == {}


def test_what_has_not_happened_for_long_rings_by_itself():
    never = (Limit(level=Level.RED, below=0.5),)
    found = play(rule("count(smoke, 10m)", "smoke", limits=never))
    found.say(smoke=0)
    found.wait(599)
    assert found.levels() == []
    found.wait(3)
    assert found.levels() == ["red"]


def test_while_we_are_deaf_time_proves_nothing():
    never = (Limit(level=Level.RED, below=0.5),)
    found = play(rule("count(smoke, 10m)", "smoke", limits=never))
    found.say(smoke=0)
    found.give(Link(found.at, found.wall(), False))
    found.wait(3600)
    assert found.levels() == []
    found.give(Link(found.at, found.wall(), True))
    found.say(smoke=0)
    found.wait(500)
    assert found.levels() == []


# ---------------------------------------------------------------- groups


GROUP = rule("quorum(2 of 3, smoke > 0.5, 60s, degraded 1)", "smoke", limits=TRUE, group="place")


def test_two_of_three_within_a_minute():
    found = play(GROUP, devices=("cab-1", "cab-2", "cab-3"))
    for name in ("cab-1", "cab-2", "cab-3"):
        found.say(smoke=0, topic=f"site/{name}")
    found.say(smoke=1)
    found.wait(61)
    found.say(smoke=0)
    found.wait(61)
    found.say(smoke=1, topic="site/cab-2")
    assert found.levels() == [], "one alone, and one long ago"
    found.say(smoke=1, topic="site/cab-3")
    assert found.levels() == ["red"] and len(of(found.effects, Alert)) == 1
    found.say(smoke=0, topic="site/cab-3")
    found.say(smoke=0, topic="site/cab-2")
    found.wait(62)
    assert found.levels() == ["red", "clear"] and found.engine.state.tracks == {}


def test_one_is_enough_while_another_is_silent():
    found = play(GROUP, devices=("cab-1", "cab-2", "cab-3"))
    found.say(smoke=0, topic="site/cab-2")
    found.say(smoke=1)
    assert found.levels() == ["red"]


def test_the_slots_of_a_cabinet_together():
    warm = rule("members(slot_temperature_c > 50)", above=2.5, group="device")
    found = play(warm)
    found.say({number: 30 for number in range(1, 9)})
    found.say({1: 51, 2: 51})
    assert found.levels() == []
    found.say({1: 51, 2: 51, 5: 51})
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- memory, restart, edits


def test_a_restart_anywhere_changes_nothing():
    rules = (
        rule("rate_per_minute(slot_temperature_c, 3m)", above=5.0),
        replace(rule("times(smoke > 0.5, 10m)", "smoke", above=1.5), id="times"),
        replace(rule("slot_temperature_c - siblings(slot_temperature_c)", above=9.0), id="odd"),
    )

    def run(every: int) -> list:
        found = play(*rules)
        for index in range(60):
            found.say({1: 30 + index % 13, 2: 30, 3: 31}, smoke=index % 7 == 0)
            found.wait(37)
            if every and index % every == 0:
                state = states.load(states.save(found.engine.state))
                found.engine = Engine(found.engine.world, state, found.engine.recent)
        return found.effects

    undisturbed = run(0)
    assert {"red", "clear"} <= {"clear" if a.state == "cleared" else "red" for a in of(undisturbed, Alert)}
    assert run(1) == undisturbed and run(5) == undisturbed


def test_what_no_rule_asks_for_is_forgotten():
    found = play(rule("times(smoke > 0.5, 10m)", "smoke", above=1.5))
    found.say(smoke=1)
    assert found.engine.state.known and found.engine.state.windows
    found.engine.reconfigure(
        Configured(found.at, found.wall(), "two"), replace(found.engine.world, rules=(SMOKE,), digest="two")
    )
    assert found.engine.state.known == {} and found.engine.state.windows == {}


def test_a_late_sample_lands_in_its_window():
    """Kept data of an outage counts for what is said next, and rings nothing by itself."""
    found = play(rule("count(smoke > 0.5, 1h)", "smoke", above=2.5))
    said = START_NS // SECOND
    for ago in (3, 2):
        found.say(smoke=1, ts=said - ago * 1000)
    assert found.levels() == []
    found.wait(10)
    found.say(smoke=1, ts=said + 10)
    assert found.levels() == ["red"]


def test_two_that_came_together_are_two():
    """A gateway that was busy hears them in one batch: a count that took them for one would ring late."""
    found = play(rule("count(slot_temperature_c > 3, 1h)", above=1.5))
    said = [Message(TOPIC, payload(slots={3: 20}, seq=number)) for number in (1, 2)]
    found.give(Messages(found.at, found.wall(), said))
    assert [len(window) for window in found.engine.state.windows.values()] == [2]
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- a rule that fails


@pytest.mark.parametrize("when", ["temperature_c / smoke", "temperature_c * 1000000000000000000 / smoke"])
def test_a_rule_that_fails_is_disabled_alone(when):
    found = play(rule(when, "temperature_c", above=1.0), HOT, SMOKE)
    found.say(smoke=0, t=20)
    assert found.noted().count("rule_disabled") == 1
    assert list(found.engine.state.disabled) == ["weighed|cab-1|"]
    found.say({1: 80}, smoke=1, t=20)
    assert found.levels() == ["red", "red"], "the others judge on, in the same message"
    assert found.noted().count("rule_disabled") == 1


def test_a_full_window_disables_the_rule_and_no_other(monkeypatch):
    monkeypatch.setattr("gateway.core.measures.SAMPLES_MOST", 5)
    found = play(rule("count(smoke > 0.5, 10m)", "smoke", above=100.0), SMOKE)
    for _ in range(7):
        found.say(smoke=0)
        found.wait(1)
    assert list(found.engine.state.disabled) == ["weighed|cab-1|"]
    found.say(smoke=1)
    assert found.levels() == ["red"]


def test_another_world_gives_it_another_chance():
    found = play(rule("temperature_c / smoke", "temperature_c", above=1.0))
    found.say(smoke=0, t=20)
    mended = rule("temperature_c / 2", "temperature_c", above=1.0)
    found.engine.reconfigure(
        Configured(found.at, found.wall(), "two"), replace(found.engine.world, rules=(mended,), digest="two")
    )
    found.say(smoke=0, t=20)
    assert found.levels() == ["red"] and found.engine.state.disabled == {}


def test_components_are_named_by_their_model():
    model = replace(CABINET, components=(Components(kind="slot", path="slots", number="no", count=3),))
    assert model.parts("slot") == ["slot-1", "slot-2", "slot-3"] and model.parts("") == [""]


def test_a_page_names_what_an_expression_says_and_its_unit():
    found = play(rule("rate_per_minute(slot_temperature_c, 3m)", above=5.0))
    for heat in (40, 50, 60, 70):
        found.say({3: heat})
        found.wait(60)
    raised = alert(found)
    assert (pages._quantity(raised), pages._value(raised)) == ("算出的值", "10 ℃/分钟")
    assert pages._limit(raised, None) == "上限 5 ℃/分钟"
    truth = play(rule("smoke > 0.5", "smoke", limits=TRUE))
    truth.say(smoke=1)
    assert (pages._value(alert(truth)), pages._limit(alert(truth), None)) == ("检测到", "")


LOADED = """
import sys
from gateway.core.engine import Engine
from gateway.core.state import State
from tests.unit.test_weighing import rule
from tests.unit.worlds import world

for when in sys.argv[1:]:
    Engine(world(rules=(rule(when),)), State(identity="0000002a"))
    print("numpy" in sys.modules)
"""


def test_numpy_comes_with_the_first_rule_that_has_a_window_and_not_beside_its_alert():
    expressions = ("slot_temperature_c - siblings(slot_temperature_c)", "mean(slot_temperature_c, 1h)")
    words = [sys.executable, "-c", LOADED, *expressions]
    found = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert found.stdout.split() == ["False", "True"]


def test_one_device_on_which_a_rule_fails_takes_it_from_no_other():
    """A divisor that is 0 at one cabinet, or one that floods its window, switches off no city's rule."""
    found = play(rule("temperature_c / smoke", "temperature_c", above=30.0), devices=("cab-1", "cab-2"))
    found.say(smoke=1, t=40)
    assert found.levels() == ["red"]
    found.say(smoke=0, t=20)
    assert list(found.engine.state.disabled) == ["weighed|cab-1|"]
    assert [one.what for one in of(found.effects, Entry)][-1] == "unjudged"
    found.say(smoke=1, t=40, topic="site/cab-2")
    assert found.levels() == ["red", "red"]


def history(found: Play) -> list[tuple[str, str]]:
    return [(one.what, one.note) for one in of(found.effects, Entry) if one.what in ("unknown", "known")]


def test_the_case_says_when_what_its_alert_goes_by_is_not_known():
    """Two intervals and a half after the last word of the door, though the smoke goes on speaking."""
    found = play(rule("smoke > 0.5 and temperature_c > 30", "smoke", limits=TRUE))
    found.say(smoke=1, t=40)
    for _ in range(3):
        found.wait(49)
        found.say(smoke=1)
    assert found.levels() == ["red"] and history(found) == []
    found.wait(4)
    assert history(found) == [("unknown", "温度")]
    found.say(smoke=1)
    restart = states.load(states.save(found.engine.state))
    found.engine = Engine(found.engine.world, restart, found.engine.recent)
    found.say(smoke=1)
    assert len(history(found)) == 1, "once"
    found.say(smoke=1, t=41)
    assert [what for what, _ in history(found)] == ["unknown", "known"] and found.levels() == ["red"]


def test_nobody_needs_to_speak_for_it_to_be_unknown():
    found = play(replace(GROUP, limits=TRUE), devices=("cab-1", "cab-2"))
    found.say(smoke=1)
    found.say(smoke=1, topic="site/cab-2")
    assert found.levels() == ["red"]
    found.wait(151)
    assert history(found) == [("unknown", "烟雾（cab-1、cab-2）")] and found.levels() == ["red"]


def without(found: Play, gone: str) -> None:
    street = found.engine.world
    devices = {name: one for name, one in street.devices.items() if name != gone}
    now = found.at, found.wall()
    found.effects += found.engine.reconfigure(
        Configured(*now, "two"), replace(street, devices=devices, digest="two")
    )


def test_a_groups_alert_outlives_the_device_that_raised_it():
    names = ("cab-1", "cab-2", "cab-3")
    found = play(rule("members(smoke > 0.5)", "smoke", above=0.5, group="place"), devices=names)
    for name in names[::-1]:
        found.say(smoke=1, topic=f"site/{name}")
    assert found.levels() == ["red"] and alert(found).device == "cab-3"
    without(found, "cab-3")
    found.say(smoke=1)
    found.wait(1)
    assert set(found.levels()) == {"red"} and len({one.id for one in of(found.effects, Alert)}) == 1
    assert (alert(found).device, found.case().device) == ("cab-1", "cab-1")
    assert [one.note for one in of(found.effects, Entry) if one.what == "member_gone"] == ["cab-3"]
    found.say(smoke=0)
    found.say(smoke=0, topic="site/cab-2")
    found.wait(1)
    assert found.levels()[-1] == "clear" and found.engine.state.tracks == {}


# ---------------------------------------------------------------- what belongs to one reading

SHOOK = replace(
    CALM, lateness_s=600.0, components=(),
    fields=(
        Field(quantity="ppv_mm_s", path="ppv"), Field(quantity="dominant_hz", path="hz"),
        Field(quantity="smoke", path="smoke"), Field(quantity="confidence", path="sure"),
    ),
)  # fmt: skip
SHARE = "percent(ppv_mm_s, curve(dominant_hz, 1 3, 10 3, 50 8))"


def shaken(one: Rule) -> Play:
    street = world(rules=(one,), models={"cabinet": SHOOK})
    return Play(Engine(street, State(identity="0000002a")))


@pytest.mark.parametrize("lacking", [{"ppv": 4.0}, {"hz": 2.0}])
def test_a_new_velocity_is_not_judged_by_an_old_frequency_nor_the_other_way_round(lacking):
    found = shaken(rule(SHARE, "ppv_mm_s", above=100.0))
    found.say(ppv=3.1, hz=12.0)
    assert found.levels() == []
    found.wait(1)
    found.say(**lacking)
    assert found.levels() == []
    found.wait(1)
    found.say(ppv=4.0, hz=12.0)
    assert found.levels() == ["red"]


def test_how_sure_a_camera_was_of_one_event_says_nothing_of_the_next():
    found = shaken(rule("smoke > 0.5 and confidence > 0.8", "smoke", limits=TRUE))
    found.say(smoke=0, sure=0.9)
    found.wait(1)
    found.say(smoke=1)
    assert found.levels() == []
    found.wait(1)
    found.say(smoke=1, sure=0.9)
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- double control

GAUGE = replace(
    CALM, expect_every_s=3600.0 * 6, lateness_s=600.0, components=(),
    fields=(Field(quantity="settlement_mm", path="s"),),
)  # fmt: skip
LEVELS = (
    Limit(level=Level.YELLOW, above=70.0, clear=60.0),
    Limit(level=Level.ORANGE, above=100.0, clear=90.0),
)
WENT_30 = DoubleControl(cumulative=30.0, rate_per_day=2.0, rate_over_s=7 * 86_400.0, combine="either")


def double(control: DoubleControl = WENT_30) -> Rule:
    when = control.expression("settlement_mm")
    return rule(when, "settlement_mm", limits=LEVELS, called="沉降双控比例", double_control=control)


def sinking(*rules: Rule, **changes) -> Play:
    device = Device(id="cab-1", model="cabinet", at="yard", topic=TOPIC, baseline={"settlement_mm": 5.0})
    street = replace(world(rules=rules, models={"cabinet": GAUGE}, **changes), devices={"cab-1": device})
    return Play(Engine(street, State(identity="0000002a")))


def sink(found: Play, *values: float) -> None:
    """Every six hours one."""
    for value in values:
        found.say(s=value)
        found.wait(6 * 3600)


def test_double_control_is_known_by_the_part_that_is_enough():
    """For three and a half days nobody knows how fast it goes."""
    found = sinking(double())
    sink(found, 5.0, -17.0)
    assert found.levels() == ["yellow"], "22 mm of 30 from the baseline of 5"
    sink(found, 5.0)
    assert found.levels() == ["yellow"], "no good word while the rate is not known"
    sink(found, *[5.0] * 30)
    assert found.levels() == ["yellow", "clear"]


def test_double_control_by_the_rate_alone_and_both_parts_are_named():
    found = sinking(double())
    sink(found, *[5.0 - 0.4 * step for step in range(20)])
    assert found.levels() == ["yellow"], "1.6 mm a day of 2"
    told = found.notifications()[0].text
    assert "自基线累计变化" in told and "（控制值 30 mm 的 19%）" in told, told
    assert "每天变化 1.6 mm（控制值 2 mm 的 80%）" in told


def test_double_control_of_both_waits_for_the_second():
    both = replace(WENT_30, combine="both")
    found = sinking(double(both))
    sink(found, 5.0, -30.0, *[-30.0] * 20)
    assert found.levels() == [], "far at once, and then it rests"
    found = sinking(double(replace(both, cumulative_over_s=28 * 86_400.0)))
    sink(found, *[5.0 - 0.51 * step for step in range(65)])
    assert found.levels()[:2] == ["yellow", "orange"], "2 mm a day, until it went 30 mm"


def test_double_control_without_a_baseline_goes_by_the_rate():
    entries = {"cab-1": (Calibration(quantity="settlement_mm", since_ns=START_NS - 10, unjoined=True),)}
    found = sinking(double(), calibrations=entries)
    sink(found, 5.0, -40.0)
    assert found.levels() == []


def test_another_control_value_is_no_other_question():
    found = sinking(double())
    sink(found, 5.0, -17.0)
    laxer = double(replace(WENT_30, cumulative=60.0))
    assert edits.question(laxer) == edits.question(double())
    assert edits.question(double(replace(WENT_30, combine="both"))) != edits.question(laxer)
    street = replace(found.engine.world, rules=(laxer,), digest="two")
    found.effects += found.engine.reconfigure(Configured(found.at, found.wall(), "two"), street)
    assert found.levels() == ["yellow"] and list(found.engine.state.alerts)


def test_what_stays_as_it_was_is_weighed_once(monkeypatch):
    """Of rules on nothing but values; a window goes on with each reading, whatever it says."""
    found = play(
        rule("smoke > 0.5 and temperature_c > 40", limits=TRUE),
        replace(rule("count(smoke < 0.5, 1h)", above=10.0), id="often"),
    )
    weighing, weighed = found.engine.watches.weighing, []
    really = weighing.value

    def value(judge, *about):
        weighed.append(judge.rule.id)
        return really(judge, *about)

    monkeypatch.setattr(weighing, "value", value)
    for smoke, warmth in ((0, 30), (0, 30), (0, 30), (1, 30), (1, 30), (1, 45)):
        found.wait(30)
        found.say(smoke=smoke, t=warmth)
    assert [weighed.count(name) for name in ("often", "weighed")] == [6, 3]
    assert found.levels() == ["red"]


def test_a_value_forgotten_because_our_clock_was_set_back_is_weighed_when_it_is_said_again():
    """0 is also what nothing said yet would count as."""
    found = play(rule("smoke < 0.5", limits=TRUE))
    found.say(smoke=1)
    found.say(smoke=1)
    assert found.levels() == []
    found.give(Messages(found.at + SECOND, START_NS - 3600 * SECOND, [Message(TOPIC, payload(smoke=0))]))
    assert found.levels() == ["red"]


def test_a_slot_that_stays_warm_while_its_neighbours_cool_down():
    found = play(rule("slot_temperature_c - siblings(slot_temperature_c)", above=10.0))
    for others in (41, 41, 30):
        found.say({number: 41 if number == 2 else others for number in range(1, 9)})
    assert found.levels() == ["red"] and alert(found).component == "slot-2"


def test_a_value_that_stays_while_what_it_is_counted_from_moves():
    """From an instant on the sensor's zero is another."""
    day = 86_400 * SECOND
    rezeroed = Calibration(quantity="settlement_mm", since_ns=START_NS + day, baseline=50.0)
    found = sinking(
        rule("moved(settlement_mm)", above=10.0),
        calibrations={"cab-1": (rezeroed,)},
    )
    sink(found, 6.0, 6.0, 6.0, 6.0)
    assert found.levels() == []
    sink(found, 6.0)
    assert found.levels() == ["red"]


# ---------------------------------------------------------------- what is not known lets no time run out

HELD = (replace(TRUE[0], hold_s=200.0),)
BOTH = rule("smoke > 0.5 and temperature_c > 30", "smoke", limits=HELD, clear_hold_s=200.0)


def test_a_hold_does_not_run_out_while_its_value_is_not_known():
    found = play(BOTH)
    found.say(smoke=1, t=40)
    found.wait(120)
    found.say(smoke=1)
    found.wait(1000)
    assert found.levels() == [], "a temperature of more than 150 s ago is nobody's word"
    found.say(smoke=1)
    assert found.levels() == [], "half of it is not known yet"
    found.say(t=40)
    assert found.levels() == ["red"], "the next known word fires"


def test_the_next_known_word_calms_a_hold_too():
    found = play(BOTH)
    found.say(smoke=1, t=40)
    found.wait(1000)
    found.say(smoke=1, t=20)
    found.wait(1000)
    assert found.levels() == []


def test_an_alert_is_not_over_while_its_value_is_not_known():
    found = play(BOTH)
    for _ in range(3):
        found.say(smoke=1, t=40)
        found.wait(120)
    found.say(smoke=0, t=40)
    found.wait(2000)
    assert found.levels() == ["red"]
    found.say(smoke=0, t=40)
    assert found.levels() == ["red", "clear"]


@pytest.mark.parametrize("gathered", [{"within_s": 900.0}, {"readings": (2, 3)}])
def test_what_is_gathered_waits_for_a_known_word_too(gathered):
    limit = replace(TRUE[0], hold_s=200.0 if "within_s" in gathered else 0.0, **gathered)
    found = play(replace(BOTH, limits=(limit,)))
    found.say(smoke=1, t=40)
    found.wait(1000)
    assert found.levels() == []
    found.say(smoke=1, t=40)
    assert found.levels() == ["red"]


def test_a_restart_does_not_forget_that_a_hold_waits_for_a_word():
    """Not even when the word of somebody else makes it known meanwhile: that tells this subject nothing."""
    far = rule("temperature_c - peers(temperature_c)", "temperature_c", limits=(
        Limit(level=Level.RED, above=10.0, hold_s=200.0),))  # fmt: skip
    found = play(far, devices=("cab-1", "cab-2", "cab-3"))
    for name in ("cab-2", "cab-3"):
        found.say(t=20, topic=f"site/{name}")
    found.say(t=40)
    found.wait(300)
    for name in ("cab-2", "cab-3"):
        found.say(t=20, topic=f"site/{name}")
    restart = states.load(states.save(found.engine.state))
    found.engine = Engine(found.engine.world, restart, found.engine.recent)
    found.wait(300)
    assert found.levels() == []
    found.say(t=40)
    assert found.levels() == []
    for name in ("cab-2", "cab-3"):
        found.say(t=20, topic=f"site/{name}")
    found.say(t=40)
    assert found.levels() == ["red"]


def test_the_level_that_is_known_in_part_goes_on_alone():
    """The distance is enough for yellow in any case; whether it is orange, the rate would have to say."""
    slow = tuple(replace(one, hold_s=3600.0) for one in LEVELS)
    found = sinking(replace(double(), limits=slow))
    sink(found, 5.0, -17.0)
    assert found.levels() == ["yellow"]


def test_a_rule_that_was_disabled_fires_no_hold():
    found = play(rule("1 / smoke", "smoke", limits=(Limit(level=Level.RED, above=0.5, hold_s=100.0),)))
    found.say(smoke=1)
    found.wait(50)
    found.say(smoke=0)
    found.wait(1000)
    assert "rule_disabled" in found.noted() and found.levels() == []


def test_an_hour_that_comes_arms_nothing_by_a_value_that_is_not_known():
    """20:00 is outside these hours; when they begin, the word of the evening is hours old."""
    by_day = replace(BOTH, during=During(inside="07:00-19:00"))
    found = play(by_day)
    found.say(smoke=1, t=40)
    found.wait(14 * 3600)
    assert found.levels() == []
    found.say(smoke=1, t=40)
    found.wait(120)
    found.say(smoke=1, t=40)
    found.wait(120)
    assert found.levels() == ["red"]


def test_a_look_at_the_hour_fires_no_hold_of_what_is_not_known():
    """Such rules are looked at with every minute, also in the one in which the hold runs out."""
    held = (replace(TRUE[0], hold_s=180.0),)
    found = play(replace(BOTH, limits=held, during=During(inside="19:00-22:00")))
    found.say(smoke=1, t=40)
    found.wait(1000)
    assert found.levels() == []


def test_the_hour_that_ends_clears_what_was_raised_whatever_is_known():
    """Outside its hours nothing is bad: to know that, nobody needs a word."""
    by_night = replace(BOTH, during=During(inside="19:00-22:00"), clear_hold_s=0.0)
    found = play(by_night)
    for _ in range(3):
        found.say(smoke=1, t=40)
        found.wait(120)
    found.wait(3 * 3600)
    assert found.levels() == ["red", "clear"]
