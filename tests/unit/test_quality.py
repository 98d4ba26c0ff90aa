"""What a reading is worth: each flaw has its name, its consequence, and a line that lists it."""

from dataclasses import replace
from functools import partial
from random import Random

import pytest

from gateway.adapters.store import Logged
from gateway.core import state as states
from gateway.core.doubts import Trace, is_spike, is_stuck
from gateway.core.engine import Engine
from gateway.core.lines import Formatter
from gateway.core.model import (
    SECOND,
    Alert,
    Basis,
    Codec,
    Configured,
    Device,
    Field,
    Level,
    Limit,
    Link,
    Marked,
    Message,
    Messages,
    Model,
    Noted,
    Quality,
    Reading,
    Rule,
)
from gateway.core.quality import Heard, assess, note_instant
from gateway.core.state import State
from tests.unit.worlds import CABINET, SILENT, SMOKE, START_NS, Play, limits, of, payload, world

D = Basis(text="test", confidence="D")
GAUGE = Model(
    id="cabinet", says="裂缝计", scene="cabinet", source="test", lateness_s=600,
    codec=Codec(kind="json", time="ts", time_unit="s"),
    fields=(
        Field(quantity="crack_mm", path="crack", spike_window=5, spike_over=0.5, low=0.0, high=50.0),
        Field(quantity="temperature_c", path="t", stuck_after=4),
        Field(quantity="smoke", path="smoke"),
    ),
)  # fmt: skip
WIDE = Rule(
    id="wide", says="裂缝", scene="cabinet", quantity="crack_mm", basis=D, action="查看", clear_hold_s=60,
    limits=limits((Level.YELLOW, 5, 0, None)),
)  # fmt: skip
WARM = replace(WIDE, id="warm", quantity="temperature_c", limits=limits((Level.YELLOW, 50, 0, None)))
FAULTY = replace(WIDE, id="faulty", quantity="sensor_stuck", limits=limits((Level.YELLOW, 0.5, 0, None)))
NUMBERED = Codec(kind="json", sequence="seq")


def playing(*rules, model=GAUGE, devices=("cab-1",), **changes):
    known = world(rules=rules, models={"cabinet": model}, devices=devices, **changes)
    return Play(Engine(known, State(identity="0000002a")))


def restored(play):
    """As after a restart."""
    state = states.load(states.save(play.engine.state))
    play.engine = Engine(play.engine.world, state, play.engine.recent)
    return play


def seconds(play, offset_s=0):
    return play.wall() // SECOND + offset_s


def qualities(play):
    return [str(mark.quality) for mark in of(play.effects, Marked)]


def series(play, name, values, every_s=60):
    for value in values:
        play.say(**{name: value}, ts=seconds(play))
        play.wait(every_s)


# ---------------------------------------------------------------- a value that stands out


def test_a_spike_is_kept_and_moves_no_rule():
    play = playing(WIDE)
    series(play, "crack", [1.0, 1.1, 1.0, 9.0, 1.1, 1.0])
    assert play.levels() == []
    assert qualities(play) == ["spike"] and of(play.effects, Marked)[0].left_out == ()
    assert play.noted() == ["value_spiked"]


def test_a_doubted_value_is_on_its_point_with_its_mark():
    """For the database and the archive alike: raw, and named."""
    play = playing(WIDE)
    series(play, "crack", [1.0, 1.1, 1.0])
    event = Messages(play.at, play.wall(), [Message("site/cab-1", payload(crack=9.0, ts=seconds(play)))])
    marks = of(play.give(event), Marked)
    formatted = Formatter(play.engine.world, lambda message, now: []).format(
        Logged(0, event, marks, []), play.engine.readings
    )
    assert b'crack_mm=9.0,quality="spike"' in formatted.lines and b"\tspike\t" in formatted.rows


def test_what_rules_hear_of_a_stuck_sensor_is_no_value_of_its_point():
    play = playing(FAULTY)
    series(play, "t", [20.0] * 4)
    assert [list(one.values) for said in play.engine.readings for one in said] == [["temperature_c"]]


def test_a_step_is_believed_as_soon_as_it_persists():
    """A wall that has moved is no spike: the third of five values makes the majority."""
    play = playing(WIDE)
    series(play, "crack", [1.0, 1.1, 1.0, 9.0, 9.1])
    assert play.levels() == []
    series(play, "crack", [9.0])
    assert play.levels() == ["yellow"]


def test_a_growing_trouble_is_believed_at_once():
    """A ramp widens what it is measured by; only its first step has nothing beside it."""
    play = playing(WIDE)
    series(play, "crack", [1.0, 1.2, 2.0, 3.2, 4.4, 5.6])
    assert play.levels() == ["yellow"]


def test_a_spike_clears_nothing():
    play = playing(replace(WIDE, clear_hold_s=0))
    series(play, "crack", [9.0, 9.1, 9.0, 9.0, 1.0, 9.0])
    assert play.levels() == ["yellow"]


def test_red_is_raised_by_a_doubted_value_unless_its_rule_says_hold():
    """Two reports of waiting are minutes of a fire; but no doubted value ends it."""
    red = replace(WIDE, limits=limits((Level.RED, 5, 0, None)))
    for way, expected in (("", ["red"]), ("raise", ["red"]), ("hold", []), ("judge", ["red", "clear"])):
        play = playing(replace(red, on_bad_quality=way, clear_hold_s=0))
        series(play, "crack", [1.0, 1.1, 1.0, 9.0])
        assert play.levels() == expected[:1], way
        series(play, "crack", [9.0, 9.0, 9.0, 1.0] if expected else [])
        assert play.levels() == expected, way


def test_smoke_is_never_a_spike():
    """The one word of a detector before it burns."""
    play = playing(SMOKE)
    series(play, "smoke", [0, 0, 0, 0, 1])
    assert play.levels() == ["red"] and qualities(play) == []


def test_hampel_by_hand():
    """Median 1.0, deviations 0, 0, 0.1, 0.1, 0.4: scaled 0.148, three of them 0.445."""
    field = Field(quantity="crack_mm", path="crack", spike_window=5, spike_over=0.01)
    for last, spike in ((1.44, False), (1.45, True)):
        trace = Trace(window=[1.0, 0.9, 1.1, 1.0])
        assert is_spike(trace, last, field) is spike, last
    assert not is_spike(Trace(window=[1.0, 1.0]), 9.0, field), "too few to stand out from"


# ---------------------------------------------------------------- a value that stands still


def test_a_needle_that_sticks_is_a_fault_and_no_all_clear():
    play = playing(WARM, FAULTY)
    series(play, "t", [60.0, 60.0, 60.1, 60.0])
    assert [alert.rule for alert in of(play.effects, Alert)] == ["warm", "faulty"]
    assert qualities(play) == ["stuck"]
    series(play, "t", [61.0])
    play.wait(60)
    assert [alert.rule for alert in of(play.effects, Alert)] == ["warm", "faulty", "faulty"]
    assert play.noted().count("sensor_stuck") == play.noted().count("sensor_moved") == 1


def test_a_stuck_value_neither_raises_nor_clears_a_level_that_holds():
    play = playing(replace(WARM, clear_hold_s=0))
    series(play, "t", [60.0, 20.0, 20.0, 20.0])
    assert play.levels() == ["yellow", "clear"]
    edited = replace(WARM, limits=limits((Level.YELLOW, 10, 0, None)))
    play.engine.reconfigure(
        Configured(play.at, play.wall(), "two"),
        world(rules=(edited,), models={"cabinet": GAUGE}, digest="two"),
    )
    series(play, "t", [20.0, 20.0])
    assert play.levels() == ["yellow", "clear"]
    series(play, "t", [20.2])
    assert play.levels()[2:] == ["yellow"]


def test_stuck_is_counted_over_a_restart():
    play = playing(FAULTY)
    for _ in range(4):
        series(restored(play), "t", [20.0])
    assert play.levels() == ["yellow"] and qualities(play) == ["stuck"]


def test_one_resolution_of_noise_is_still_standing():
    """A needle that flickers by one step has not moved; one that creeps on has."""
    field = Field(quantity="temperature_c", path="t", stuck_after=4)
    flicker, creep = Trace(), Trace()
    assert [is_stuck(flicker, value, field) for value in (20.0, 20.1, 20.0, 20.1)] == [False] * 3 + [True]
    assert not any(is_stuck(creep, 20 + step * 0.06, field) for step in range(20))


def test_a_device_has_its_own_range():
    """This gauge ends at 50 mm, though a crack may be 100."""
    play = playing(WIDE)
    for crack in (60, -1):
        play.say(crack=crack, ts=seconds(play))
    assert play.levels() == [] and play.noted() == ["payload_refused"] * 2


# ---------------------------------------------------------------- the same again


def test_a_retry_under_the_same_number_counts_once():
    """The device says it again in other bytes: its instant is the same, and so is its number."""
    model = replace(GAUGE, codec=replace(GAUGE.codec, sequence="seq"))
    play = playing(SMOKE, model=model)
    play.say(smoke=1, seq=7, ts=seconds(play))
    restored(play).say(smoke=1, seq=7, ts=seconds(play), retry=True)
    assert qualities(play) == ["duplicate"] and len(play.levels()) == 1
    play.say(smoke=0, seq=8, ts=seconds(play))
    assert qualities(play)[1:] == ["good"], "another number in the same second is another sample"


def test_a_retry_of_a_device_without_a_clock_counts_once():
    play = playing(SMOKE, model=replace(GAUGE, codec=NUMBERED))
    play.say(smoke=1, seq=7)
    play.wait(5)
    restored(play).say(smoke=1, seq=7)
    assert qualities(play) == ["duplicate"] and play.noted().count("reading_repeated") == 1


def test_a_counter_that_begins_anew_hides_no_smoke():
    """A restarted device numbers from one again."""
    play = playing(SMOKE, model=replace(GAUGE, codec=NUMBERED))
    play.say(smoke=0, seq=1)
    play.wait(600)
    play.say(smoke=0, seq=2)
    play.wait(600)
    play.say(smoke=1, seq=1)
    assert play.levels() == ["red"]


def test_one_frame_heard_by_two_gateways_is_one_reading():
    """ChirpStack's deduplicationId, with other radio data and a later `time`; also over a restart."""
    model = replace(GAUGE, codec=Codec(kind="json", envelope="chirpstack"))
    play = playing(SMOKE, model=model)

    def frame(gateway, time):
        return payload(
            deduplicationId="3ac7e3c4-4401-4b8d-9386-a5c902f9202d", time=time,
            rxInfo=[{"gatewayId": gateway}], object={"smoke": 1}, deviceInfo={"devEui": "cab-1"},
        )  # fmt: skip

    play.say(raw=frame("a", "2026-11-02T12:00:00.1+00:00"))
    restored(play).say(raw=frame("b", "2026-11-02T12:00:09.4+00:00"))
    assert qualities(play) == ["duplicate"] and len(play.levels()) == 1


# ---------------------------------------------------------------- what came too late


def test_history_is_stored_judged_as_of_then_and_pages_nobody():
    """`Reading.history` from a codec: stored at its own instant, whatever the rules make of it."""
    play = playing(SMOKE)
    play.say(smoke=0, ts=seconds(play))
    play.engine.watches.of["cab-1"].decode = historic
    play.engine.watches.of["cab-1"].numbered = True
    play.engine.watches.of["cab-1"].look_up()
    play.say(smoke=1, ts=seconds(play, -60))
    assert play.levels() == [] and play.notifications() == []
    assert [(mark.quality, mark.store) for mark in of(play.effects, Marked)] == [("history", True)]
    fired = [noted.fields for noted in of(play.effects, Noted) if noted.event == "would_have_fired"]
    assert [(one["rule"], one["alert_level"], one["instant"]) for one in fired] == [
        ("smoke", "red", "2026-11-02T19:59:00+08:00")
    ]


def historic(device, message, received_ns, faults=None, ago_s=60, smoke=1.0):
    return [Reading(device.id, "", {"smoke": smoke}, received_ns - ago_s * SECOND, received_ns, history=True)]


def test_history_without_trouble_is_marked_and_moves_no_order():
    """A calm old frame, newer than the last live one: the next live one may still be older than it."""
    play = playing(SMOKE)
    play.wait(600)
    said = partial(historic, smoke=0.0)
    live, play.engine.watches.of["cab-1"].decode = play.engine.watches.of["cab-1"].decode, said
    play.engine.watches.of["cab-1"].numbered = True
    play.engine.watches.of["cab-1"].look_up()
    play.say(smoke=0)
    play.engine.watches.of["cab-1"].decode = live
    play.say(smoke=1, ts=seconds(play, -90))
    play.wait(3)
    assert qualities(play) == ["history"] and play.levels() == ["red"]


def test_history_is_no_wrong_clock():
    """Frames of eight hours ago, ten minutes apart: a resend, not a time zone."""
    play = playing(SMOKE)
    play.engine.watches.of["cab-1"].decode = partial(historic, ago_s=8 * 3600)
    play.engine.watches.of["cab-1"].plain = False
    play.engine.watches.of["cab-1"].look_up()
    for _ in range(4):
        play.say(smoke=1)
        play.wait(600)
    assert "device_clock_skewed" not in play.noted() and play.levels() == []


def test_history_ends_no_silence_of_the_clock_and_moves_no_order():
    """An old sample newer than the last live one must not make the next live one disorder."""
    heard = Heard(0, {"": 100})
    reading = Reading("d", "", {}, START_NS - 8 * 3600 * SECOND, START_NS, history=True)
    worth = assess(heard, reading, 600 * SECOND, False, "correct")
    assert worth.quality is Quality.HISTORY and worth.store and not worth.judge
    assert heard.newest_ns == {"": 100} and heard.odd == []


def test_back_fill_is_held_against_the_same_holds():
    """Six hours of memory: what lasted long enough would have fired, at its own instant, once."""
    hot = replace(WARM, limits=limits((Level.YELLOW, 50, 600, None)))
    play = playing(hot)
    for minute, t in enumerate([20, 60, 20, 60, 61, 62, 63, 20, 20]):
        play.say(t=t, ts=seconds(play, -6 * 3600 + minute * 300))
        play.wait(0.1)
    fired = [
        noted.fields["instant"] for noted in of(play.effects, Noted) if noted.event == "would_have_fired"
    ]
    assert fired == ["2026-11-02T14:25:00+08:00"]
    assert play.levels() == [] and play.noted().count("reading_late") == 9


def test_what_would_have_fired_is_asked_of_the_rules_of_today():
    """A rule that gets another level in the midst of a back-fill begins it anew."""
    play = playing(replace(WARM, limits=limits((Level.YELLOW, 50, 600, None))))
    play.say(t=60, ts=seconds(play, -7200))
    edited = replace(WARM, limits=limits((Level.YELLOW, 50, 600, None), (Level.RED, 55, 300, None)))
    known = world(rules=(edited,), models={"cabinet": GAUGE}, digest="two")
    play.engine.reconfigure(Configured(play.at, play.wall(), "two"), known)
    for ago in (7000, 6600):
        play.say(t=60, ts=seconds(play, -ago))
    assert play.noted().count("would_have_fired") == 1


def test_a_hold_that_ended_between_two_old_samples_would_have_fired():
    """Bad for a quarter of an hour, until the sample that ends it: the rule needed ten minutes."""
    play = playing(replace(WARM, limits=limits((Level.YELLOW, 50, 600, None))))
    for t, ago in ((60, 7200), (20, 6300)):
        play.say(t=t, ts=seconds(play, -ago))
    fired = [
        noted.fields["instant"] for noted in of(play.effects, Noted) if noted.event == "would_have_fired"
    ]
    assert fired == ["2026-11-02T18:10:00+08:00"] and play.levels() == []


# ---------------------------------------------------------------- wrong clocks


def offset_by(play, offsets_s, every_s=600, **values):
    for offset in offsets_s:
        play.say(**values or {"smoke": 0}, ts=seconds(play, offset))
        play.wait(every_s)


def skews(play):
    return [noted.fields["kind"] for noted in of(play.effects, Noted) if noted.event == "device_clock_skewed"]


@pytest.mark.parametrize(
    ("offsets", "kind"),
    [
        ([8 * 3600] * 3, "zone"),
        ([-8 * 3600] * 3, "zone"),
        ([-86_400] * 3, "zone"),
        ([1000, 1000, 1001], "offset"),
        ([130, 138, 146], "drift"),
        ([-700, -708, -716], "drift"),
    ],
)
def test_a_wrong_clock_is_named_within_three_messages(offsets, kind):
    play = playing(SMOKE)
    offset_by(play, offsets)
    assert skews(play) == [kind]


def test_a_clock_that_was_never_set_is_named():
    play = playing(SMOKE)
    for uptime in (10, 610, 1210):
        play.say(smoke=0, ts=uptime)
        play.wait(600)
    assert skews(play) == ["unset"]


def test_a_drifting_clock_is_followed_and_named_once():
    """Ten seconds a message: never more than half a minute wrong, never called late, told once."""
    play = playing(SMOKE)
    offset_by(play, [130 + 10 * step for step in range(60)])
    assert skews(play) == ["drift"]
    assert set(qualities(play)[3:]) == {"skewed"}
    play.say(smoke=1, ts=seconds(play, 730))
    assert play.levels() == ["red"]


@pytest.mark.parametrize(
    ("policy", "levels", "arrival"),
    [("correct", ["red"], False), ("arrival", ["red"], True), ("hold", [], False)],
)
def test_a_wrong_clock_is_corrected_or_held_by_policy(policy, levels, arrival):
    play = playing(SMOKE, model=replace(GAUGE, wrong_clock=policy))
    offset_by(play, [8 * 3600] * 3)
    play.say(smoke=1, ts=seconds(play, 8 * 3600))
    assert play.levels() == levels
    mark = of(play.effects, Marked)[-1]
    assert (mark.quality, mark.store, mark.arrival) == (Quality.SKEWED, True, arrival)


def test_kept_data_is_no_drifting_clock():
    """Sent in a burst, its offsets shrink by the span between its samples."""
    heard = Heard(0)
    for step in range(10):
        reading = Reading("d", "", {}, START_NS + step * 30 * SECOND, START_NS + 7200 * SECOND + step)
        assert not note_instant(heard, reading, 600 * SECOND)
    assert heard.shift_ns == 0


# ---------------------------------------------------------------- out of order


def test_order_of_arrival_is_none_when_a_model_reorders():
    """The cool word overtakes the hot one: in their own order they are hot, then cool."""
    play = playing(SMOKE, model=replace(GAUGE, reorder_s=60))
    play.wait(100)
    play.say(smoke=0, ts=seconds(play))
    play.say(smoke=1, ts=seconds(play, -20))
    restored(play).wait(39)
    assert play.levels() == []
    play.wait(1)
    assert play.levels() == ["red"], "a minute after its instant"
    play.wait(79)
    assert play.levels() == ["red"], "what would spoil the good minute may still be under way"
    play.wait(1)
    assert play.levels() == ["red", "clear"], "a minute of good air, and a minute for what comes late"
    assert play.noted().count("reading_reordered") == 1


def test_a_hold_runs_on_instants_where_a_model_reorders():
    """Shorter than the wait: a cool word that is here, and has not had its turn, still takes it back."""
    held = replace(SMOKE, limits=limits((Level.RED, 0.5, 45, None)))
    play = playing(held, model=replace(GAUGE, reorder_s=60))
    play.say(smoke=1, ts=seconds(play))
    play.wait(30)
    play.say(smoke=0, ts=seconds(play))
    play.wait(600)
    assert play.levels() == []


def test_a_reordering_model_keeps_samples_of_one_second_and_drops_repeats():
    play = playing(SMOKE, model=replace(GAUGE, reorder_s=60))
    play.say(smoke=0, ts=seconds(play))
    play.say(smoke=1, ts=seconds(play))
    play.say(smoke=0, ts=seconds(play))
    assert [(mark.quality, mark.shift_ns) for mark in of(play.effects, Marked)] == [
        ("good", 1),
        ("duplicate", 0),
    ]
    play.wait(60)
    assert play.levels() == ["red"]


def test_what_overtakes_more_than_the_model_waits_for_is_stored_and_listed():
    play = playing(SMOKE, model=replace(GAUGE, reorder_s=60))
    play.wait(1000)
    play.say(smoke=0, ts=seconds(play, -1))
    play.wait(61)
    play.say(smoke=1, ts=seconds(play, -100))
    assert play.levels() == [] and qualities(play) == ["disorder"]
    assert "would_have_fired" in play.noted()


def test_what_comes_too_late_to_wait_is_late_by_all_of_its_age():
    """It has waited nowhere, so the next word may still take it back, as with any other model."""
    play = playing(SMOKE, model=replace(GAUGE, reorder_s=60))
    play.wait(1000)
    play.say(smoke=1, ts=seconds(play, -65))
    play.say(smoke=0, ts=seconds(play, -62))
    play.wait(300)
    assert play.levels() == []


# ---------------------------------------------------------------- a rule with a lateness

ORDERLY = replace(SMOKE, id="orderly", lateness_s=30.0)


def told_of(play, rule):
    return [one.level.word for one in of(play.effects, Alert) if one.rule == rule]


def test_only_the_rule_that_declares_a_lateness_waits():
    play = playing(SMOKE, ORDERLY)
    play.say(smoke=1, ts=seconds(play))
    assert told_of(play, "smoke") == ["red"] and told_of(play, "orderly") == []
    restored(play).wait(30)
    assert told_of(play, "orderly") == ["red"]


def test_what_is_later_than_its_rule_allows_is_listed():
    """Other rules go by their model, which allows ten minutes."""
    play = playing(SMOKE, ORDERLY)
    play.wait(1000)
    play.say(smoke=1, ts=seconds(play, -31))
    play.wait(300)
    assert told_of(play, "smoke") == ["red"] and told_of(play, "orderly") == []
    listed = [one.fields["rule"] for one in of(play.effects, Noted) if one.event == "would_have_fired"]
    assert listed == ["orderly"]


def test_what_overtakes_is_put_in_its_place_by_the_rule_alone():
    play = playing(SMOKE, ORDERLY)
    play.wait(1000)
    play.say(smoke=0, ts=seconds(play))
    play.say(smoke=1, ts=seconds(play, -20))
    play.wait(300)
    assert told_of(play, "smoke") == [] and told_of(play, "orderly") == ["red", "red"], "raised, cleared"
    listed = [one.fields["rule"] for one in of(play.effects, Noted) if one.event == "would_have_fired"]
    assert listed == ["smoke"]


def test_without_an_instant_it_counts_as_of_its_arrival():
    play = playing(ORDERLY)
    play.say(smoke=1)
    play.wait(29)
    assert play.levels() == []
    play.wait(1)
    assert play.levels() == ["red"]


def test_what_the_broker_kept_is_late_by_our_fault():
    play = playing(ORDERLY)
    play.wait(1000)
    play.give(Link(play.at, play.wall(), False))
    play.wait(400)
    play.give(Link(play.at, play.wall(), True))
    play.say(smoke=1, ts=seconds(play, -300))
    play.wait(300)
    assert play.levels() == ["red"]


def test_an_end_that_nobody_says_is_never_late():
    """Of a word that the broker kept for five minutes: it was over three minutes before we heard it."""
    play = playing(ORDERLY, model=replace(GAUGE, ends_after_s=120.0))
    play.wait(1000)
    play.give(Link(play.at, play.wall(), False))
    play.wait(400)
    play.give(Link(play.at, play.wall(), True))
    play.say(smoke=1, ts=seconds(play, -300))
    restored(play).wait(60)
    assert play.levels() == ["red"]
    play.wait(600)
    assert play.levels() == ["red", "clear"]


def test_what_waits_for_another_question_is_dropped():
    play = playing(ORDERLY)
    play.say(smoke=1, ts=seconds(play))
    warm = replace(ORDERLY, quantity="temperature_c", limits=limits((Level.RED, 0.5, 0, None)))
    known = world(rules=(warm,), models={"cabinet": GAUGE}, digest="two")
    play.effects += play.engine.reconfigure(Configured(play.at, play.wall(), "two"), known)
    play.wait(300)
    assert play.levels() == []


# ---------------------------------------------------------------- silence


GATEWAY = Device(id="gw", model="gateway", at="yard", topic="gw")
RELAY = Model(
    id="gateway", says="网关", scene="gateway", source="test", codec=Codec(kind="json"),
    fields=(Field(quantity="temperature_c", path="t"),),
)  # fmt: skip
GATEWAY_SILENT = replace(
    SILENT, id="gateway-silent", scene="gateway",
    limits=(Limit(level=Level.YELLOW, absent_s=60), Limit(level=Level.ORANGE, absent_s=1800)),
)  # fmt: skip


def street(count=20):
    """So many cabinets behind one gateway, all heard a moment ago, a second apart."""
    names = [f"cab-{number}" for number in range(count)]
    devices = {
        name: Device(id=name, model="cabinet", at="yard", topic=f"site/{name}", behind="gw") for name in names
    }
    known = world(
        rules=(SILENT, GATEWAY_SILENT), models={"cabinet": CABINET, "gateway": RELAY},
        devices=(),
    )  # fmt: skip
    play = Play(Engine(replace(known, devices={**devices, "gw": GATEWAY}), State(identity="0000002a")))
    speak(play, names, 0.1)
    return play, names


def speak(play, names, pause_s=1.0):
    for name in names:
        play.say(smoke=0, topic=f"site/{name}")
        play.wait(pause_s)


def raised(play):
    return [(alert.device, alert.level.word) for alert in of(play.effects, Alert) if alert.count >= 0]


def test_a_dead_gateway_is_one_alarm():
    play, _ = street(500)
    play.wait(1700)
    assert raised(play) == [("gw", "yellow")]
    assert "所带 500 台设备同时没有数据（最后一次 20:00），20:05 发现" in play.notifications()[0].text
    play.wait(300)
    assert raised(play) == [("gw", "yellow"), ("gw", "orange")], "its own rule goes on"
    assert play.noted().count("group_silent") == 1


def test_a_silent_device_among_living_ones_still_alarms():
    play, names = street()
    for _ in range(4):
        play.wait(60)
        speak(play, names[1:], 0.1)
    play.wait(60)
    assert raised(play) == [("cab-0", "orange")]


def test_a_member_that_stays_silent_after_the_group_is_back_alarms():
    play, names = street()
    play.wait(1000)
    restored(play)
    speak(play, names[:9], 0)
    assert "group_back" not in play.noted(), "fewer than half"
    for _ in range(6):
        speak(play, names[:19], 0)
        play.wait(60)
    found = raised(play)
    assert found[0] == ("gw", "yellow") and ("cab-19", "orange") in found
    assert {device for device, _ in found} == {"gw", "cab-19"}
    assert [a.state for a in of(play.effects, Alert) if a.device == "gw"][-1] == "cleared"


def test_a_silent_group_is_the_same_after_a_restart():
    """Stepped again from a checkpoint in its midst: nothing is told twice, nothing is forgotten."""
    plain, again = street()[0], street()[0]
    for play, between in ((plain, lambda one: one), (again, restored)):
        for _ in range(8):
            between(play).wait(200)
        between(play)
        for number in range(12):
            speak(between(play), [f"cab-{number}"])
        between(play).wait(900)
    assert again.effects == plain.effects


def test_two_devices_are_no_group():
    play, _ = street(2)
    play.wait(301)
    assert {device for device, _ in raised(play)} >= {"cab-0", "cab-1"}


def test_silence_tells_when_it_was_heard_last():
    play = playing(SILENT, model=CABINET)
    play.wait(100)
    play.say(smoke=0)
    play.wait(300)
    alert = of(play.effects, Alert)[0]
    assert alert.heard_ns == START_NS + 100 * SECOND
    assert "没有数据（最后一次 20:01），20:06 发现" in play.notifications()[0].text


def missing(reports):
    return replace(SILENT, limits=(Limit(level=Level.ORANGE, missed=reports),))


def test_an_interval_is_the_models_word():
    play = playing(missing(3), model=replace(CABINET, expect_every_s=100))
    play.say(smoke=0)
    play.wait(299)
    assert play.levels() == []
    play.wait(1)
    assert play.levels() == ["orange"]


def test_an_interval_is_learned_when_the_model_tells_none():
    """Median of the last: a burst in between changes nothing; before five nobody can tell."""
    play = playing(missing(3), model=CABINET)
    play.say(smoke=0)
    play.wait(10)
    play.say(smoke=0)
    play.wait(50_000)
    assert play.levels() == []
    for pause in (600, 600, 1, 1, 600, 600, 600):
        restored(play).say(smoke=0)
        play.wait(pause)
    play.say(smoke=0)
    play.wait(1799)
    assert play.levels() == []
    restored(play).wait(1)
    assert play.levels() == ["orange"]


def test_an_outage_of_ours_is_no_interval_of_the_device():
    """Every ten minutes, with our line lost for hours again and again."""
    play = playing(missing(3), model=CABINET)
    for _ in range(7):
        play.say(smoke=0)
        play.wait(600)
        play.say(smoke=0)
        play.give(Link(play.at, play.wall(), False))
        play.wait(9000)
        play.give(Link(play.at, play.wall(), True))
    play.say(smoke=0)
    play.wait(1801)
    assert play.levels() == ["orange"]


def test_a_learned_interval_is_bounded():
    play = playing(missing(3), model=CABINET)
    for _ in range(8):
        play.say(smoke=0)
        play.wait(1)
    play.wait(178)
    assert play.levels() == []
    play.wait(2)
    assert play.levels() == ["orange"]


# ---------------------------------------------------------------- a changed World


def test_a_component_that_the_new_model_lacks_lets_go_of_its_alert():
    """Slot 8 of a cabinet that has four now: nobody will ever say that it is cool."""
    hot = replace(WARM, quantity="slot_temperature_c", each="slot")
    play = playing(hot, model=CABINET)
    play.say({8: 60, 2: 60})
    four = replace(CABINET, components=(replace(CABINET.components[0], count=4),))
    event = Configured(play.at, play.wall(), "two")
    effects = play.engine.reconfigure(event, world(rules=(hot,), models={"cabinet": four}, digest="two"))
    assert [(alert.component, alert.state) for alert in of(effects, Alert)] == [("slot-8", "cleared")]
    assert set(play.engine.state.tracks) == {"warm|cab-1|slot-2"}


def test_deaf_again_in_a_silent_group_proves_nothing():
    play, names = street()
    play.wait(400)
    play.give(Link(play.at, play.wall(), False))
    play.wait(3000)
    play.give(Link(play.at, play.wall(), True))
    play.give(Messages(play.at, play.wall(), [Message(f"site/{name}", payload(smoke=0)) for name in names]))
    play.wait(200)
    assert raised(play) == [("gw", "yellow"), ("gw", "yellow")], "raised, and cleared"


# ---------------------------------------------------------------- live and stepped again


def any_day(random, play, names):
    """Cabinets behind a gateway, gauges that reorder, devices without a clock: anything in any order."""
    for _ in range(random.randint(10, 60)):
        what = random.randrange(10)
        if what == 0:
            play.give(Link(play.at, play.wall(), random.random() < 0.6))
        elif what < 4:
            speak(play, random.sample(names, random.randint(1, len(names))), 0)
        else:
            late = random.choice([0, 0, 0, 5, 20, 50, 300, 900, -200, -8 * 3600])
            values = {
                "smoke": random.choice([0, 0, 1]), "t": random.choice([20, 20, 20, 60]),
                "crack": random.choice([1, 1, 1, 9]), "seq": random.randint(1, 4),
            }  # fmt: skip
            play.say(topic=random.choice(["gauge", "mute"]), ts=seconds(play, -late), **values)
        play.wait(random.choice([0, 0, 1, 10, 30, 61, 200, 301, 1000]))


def any_street():
    play, names = street(5)
    gauge = replace(GAUGE, id="gauge", reorder_s=30)
    mute = replace(GAUGE, id="mute", codec=NUMBERED, wrong_clock="arrival")
    known = play.engine.world
    devices = {name: Device(id=name, model=name, at="yard", topic=name) for name in ("gauge", "mute")}
    known = replace(
        known,
        models={**known.models, "gauge": gauge, "mute": mute},
        devices={**known.devices, **devices},
        rules=(*known.rules, SMOKE, WIDE, WARM, FAULTY, replace(missing(3), id="missing")),
    )
    return Play(Engine(known, State(identity="0000002a"))), names


@pytest.mark.parametrize("number", range(30))
def test_every_flaw_stepped_again_tells_the_same_story(seed, number):
    """From any checkpoint, byte for byte: what is remembered of a device is remembered in the state."""
    play, names = any_street()
    live, step = [], play.engine.step

    def watched(event):
        before = states.save(play.engine.state), list(play.engine.recent)
        live.append((*before, event, step(event)))
        return live[-1][-1]

    play.engine.step = watched
    random = Random(f"{seed}:{number}")
    any_day(random, play, names)
    for start in random.sample(range(len(live)), min(6, len(live))):
        again = Engine(play.engine.world, states.load(live[start][0]), live[start][1])
        for *_, event, effects in live[start:]:
            assert again.step(event) == effects, event
        assert states.save(again.state) == states.save(play.engine.state)
