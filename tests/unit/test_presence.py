"""Births and wills: what a broker says of a device that is gone, and what that is worth."""

from dataclasses import replace

import pytest

from gateway.core import state as states
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.model import (
    Alert,
    Basis,
    Cause,
    Device,
    Level,
    Limit,
    Marked,
    Message,
    NotificationState,
    PayloadError,
    Quality,
    Refusal,
    Rule,
    Status,
)
from gateway.core.state import State
from tests.unit.config_files import spoiled, told
from tests.unit.worlds import CABINET, SILENT, START_NS, TOPIC, Play, of, rule, world

SPEAKS = replace(CABINET, status=Status())
WILL = f"{TOPIC}/status"
OFFLINE = Rule(
    id="offline", says="掉线", scene="cabinet", quantity="online", clear_hold_s=60, action="到场",
    limits=(
        Limit(level=Level.ORANGE, below=0.5, hold_s=60), Limit(level=Level.RED, below=0.5, hold_s=720),
    ), basis=Basis(text="test", confidence="D"),
)  # fmt: skip


def playing(*rules, model=SPEAKS):
    street = replace(world(rules=rules), models={"cabinet": model})
    return Play(Engine(street, State(identity="0000002a")))


def alerts(play, rule):
    return [one for one in of(play.effects, Alert) if one.rule == rule]


def test_a_will_is_told_after_its_hold_and_a_birth_clears_it():
    play = playing(OFFLINE)
    play.say(smoke=0)
    play.say(topic=WILL, raw=b"offline")
    play.wait(59)
    assert play.levels() == []
    play.wait(1)
    assert play.levels() == ["orange"]
    play.say(topic=WILL, raw=b"online")
    play.wait(60)
    assert play.levels() == ["orange", "clear"]


def test_a_device_that_connects_anew_within_the_hold_tells_nobody():
    play = playing(OFFLINE)
    play.say(topic=WILL, raw=b"offline")
    play.wait(30)
    play.say(topic=WILL, raw=b"online")
    play.wait(600)
    assert play.levels() == []


@pytest.mark.parametrize(
    "weighed",
    [rule("times(online < 0.5, 1h)", above=1.5), rule("members(online < 0.5)", group="place")],
    ids=lambda one: one.when,
)
def test_a_will_is_weighed_at_once_though_nothing_follows_it(weighed):
    """A dead device's will is its last message: the next one, of whoever, may come tomorrow."""
    play = playing(weighed)
    for raw in (b"online", b"offline", b"online", b"offline"):
        play.wait(60)
        play.say(topic=WILL, raw=raw)
    assert play.levels()[-1] == "red" and not play.engine.judging.unsettled


def test_whatever_it_says_itself_takes_its_will_back():
    play = playing(OFFLINE)
    play.say(topic=WILL, raw=b"offline")
    play.wait(100)
    play.say(smoke=0)
    play.wait(60)
    assert play.levels() == ["orange", "clear"]


def test_so_it_does_after_a_restart_from_the_checkpoint():
    play = playing(OFFLINE)
    play.say(topic=WILL, raw=b"offline")
    play.wait(100)
    play.engine = Engine(
        replace(world(rules=(OFFLINE,)), models={"cabinet": SPEAKS}),
        states.load(states.save(play.engine.state)),
    )
    play.say(smoke=0)
    play.wait(60)
    assert play.levels() == ["orange", "clear"]


def test_what_the_broker_only_remembers_pages_nobody_and_proves_no_life():
    play = playing(OFFLINE, SILENT)
    seen = play.engine.state.heard["cab-1"].seen_at
    play.wait(10)
    for raw in (b"offline", b"online"):
        play.say(topic=WILL, raw=raw, retained=True)
    assert play.engine.state.heard["cab-1"].seen_at == seen
    play.wait(100)
    assert alerts(play, "offline") == []
    assert {one.quality for one in of(play.effects, Marked)} == {Quality.RETAINED}


def silent_after(*said):
    """When the rule of silence raised its alert, in seconds after the last word of the device itself."""
    play = playing(SILENT)
    play.say(smoke=0)
    since = play.at
    for wait, raw in said:
        play.wait(wait)
        play.say(topic=WILL, raw=raw)
    play.wait(7200)
    return (alerts(play, SILENT.id)[0].raised_ns - START_NS - since) // 10**9


def test_a_will_is_no_word_of_life_and_a_birth_is():
    without = silent_after()
    assert silent_after((100, b"offline")) == without
    assert silent_after((100, b"online")) == without + 100


def test_its_silence_is_no_second_trouble():
    """No deadman double: one message for the will; the silence is kept under it and tells nobody."""
    hidden = replace(SILENT, inhibited_by=(Cause(rule="offline"),))
    play = playing(OFFLINE, hidden)
    play.say(smoke=0)
    play.say(topic=WILL, raw=b"offline")
    play.wait(3600)
    assert alerts(play, SILENT.id)
    rules = {one.id: one.rule for one in of(play.effects, Alert)}
    due = {rules[one.alert] for one in play.notifications() if one.state is NotificationState.DUE}
    assert due == {"offline"}


def test_a_birth_does_not_put_what_its_device_measured_before_out_of_order():
    play = playing(OFFLINE)
    play.say(topic=WILL, raw=b"online")
    play.say(smoke=0)
    assert of(play.effects, Marked) == []


def test_a_word_that_is_neither_is_refused():
    decoder = Decoder(replace(world(), models={"cabinet": SPEAKS}))
    with pytest.raises(PayloadError) as raised:
        decoder.decode(Message(WILL, b"sleeping"), START_NS)
    assert raised.value.code is Refusal.TYPE
    play = playing(OFFLINE)
    play.say(topic=WILL, raw=b"sleeping")
    assert "payload_refused" in play.noted()


def test_a_status_beside_the_topic_and_one_behind_a_filter():
    device = Device(id="cab-1", model="cabinet", at="yard", topic="site/+/cab-1/up")
    beside = replace(CABINET, status=Status(topic="{above}/LWT", offline="Offline"))
    decoder = Decoder(replace(world(), models={"cabinet": beside}, devices={"cab-1": device}))
    found = decoder.decode(Message("site/yard/cab-1/LWT", b"Offline"), START_NS)
    assert [one.values for one in found] == [{"online": 0.0}]
    assert not decoder.is_status("site/yard/cab-1/up")


def test_what_is_posted_has_no_will():
    device = Device(id="cab-1", model="cabinet", at="yard", topic="http/cab-1")
    decoder = Decoder(replace(world(), models={"cabinet": SPEAKS}, devices={"cab-1": device}))
    assert decoder.device_of("http/cab-1/status") is None


# ---------------------------------------------------------------- lilong check


def spoilt(status):
    return spoiled("devices/cabinet.yaml", "expect_every: 30s", f"expect_every: 30s\nstatus: {status}")


def test_a_status_that_stands_beside_nothing_is_no_topic(tmp_path):
    assert "{topic}/status" in told(tmp_path, spoilt('{topic: "status"}'))[0]


def test_two_words_that_are_one(tmp_path):
    assert "status.offline" in told(tmp_path, spoilt("{offline: online}"))[0]


def test_a_status_that_is_anothers_topic(tmp_path):
    files = spoilt('{topic: "{above}/state"}')
    files["sites/site.yaml"] = files["sites/site.yaml"].replace("cam-1/up", "cab-1/state")
    assert any("site/estate/cab-1/state" in one for one in told(tmp_path, files))


def test_a_status_that_is_not_subscribed_to(tmp_path):
    files = spoilt('{topic: "{topic}/status"}')
    files["lilong.yaml"] = files["lilong.yaml"].replace("site/#", "site/+/+/up")
    assert "site/estate/cab-1/up/status" in told(tmp_path, files)[0]
