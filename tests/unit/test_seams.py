"""What lay between the parts: each of these lost an alert, a point, or raised a false alert."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store import Logged
from gateway.config import load
from gateway.core.engine import Engine
from gateway.core.lines import Formatter
from gateway.core.model import (
    SECOND,
    Alert,
    Device,
    Level,
    Limit,
    Marked,
    Message,
    Messages,
    Reading,
)
from gateway.core.silence import span_ns
from gateway.core.state import State
from tests.unit.test_quality import GATEWAY, GATEWAY_SILENT, RELAY, raised, restored
from tests.unit.worlds import CABINET, SILENT, SMOKE, Play, limits, of, world

HOUR = 3600
DAILY = replace(CABINET, expect_every_s=24 * HOUR, lateness_s=600)
SELDOM = replace(SILENT, limits=(Limit(level=Level.ORANGE, absent_s=26 * HOUR),))


def street(names=("cab-0", "cab-1", "cab-2"), model=DAILY, rule=SELDOM):
    """Devices that speak once a day behind a gateway that speaks all the time."""
    devices = {
        name: Device(id=name, model="cabinet", at="yard", topic=f"site/{name}", behind="gw") for name in names
    }
    known = world(rules=(rule, GATEWAY_SILENT), models={"cabinet": model, "gateway": RELAY}, devices=())
    return Play(Engine(replace(known, devices={**devices, "gw": GATEWAY}), State(identity="0000002a")))


def live(play, hours, dead=(), step_s=30, relay=True):
    """Each speaks once a day: cab-0 at hour 0, the others at hour 12; the gateway every half minute."""
    for _ in range(int(hours * HOUR / step_s)):
        second = play.at // SECOND % (24 * HOUR)
        for number, at in enumerate((0, 12 * HOUR, 12 * HOUR + 60)):
            if second == at and f"cab-{number}" not in dead:
                play.say(smoke=0, topic=f"site/cab-{number}")
        if relay:
            play.say(t=20, topic=GATEWAY.topic)
        play.wait(step_s)


def test_a_daily_word_of_neighbours_hides_no_silence():
    """Healthy neighbours that speak once a day were taken for dark, and the dead one was not told of."""
    play = street()
    live(play, 24)
    live(play, 30, dead=("cab-0",))
    assert raised(play) == [("cab-0", "orange")]


def test_a_gateway_that_speaks_itself_is_missed_at_once():
    """Those behind it speak once a day: by them alone its death was told of a day later."""
    play = street()
    live(play, 1)
    play.wait(70)
    assert raised(play) == [("gw", "yellow")]
    restored(play).wait(1800)
    assert raised(play) == [("gw", "yellow"), ("gw", "orange")]
    play.say(t=20, topic=GATEWAY.topic)
    play.wait(40)
    assert of(play.effects, Alert)[-1].state == "cleared"


def test_a_gateway_that_speaks_does_not_clear_the_silence_of_those_behind_it():
    play = street(rule=SILENT, model=replace(CABINET, expect_every_s=60))
    for name in ("cab-0", "cab-1", "cab-2"):
        play.say(smoke=0, topic=f"site/{name}")
    for _ in range(50):
        play.say(t=20, topic=GATEWAY.topic)
        play.wait(30)
    assert raised(play) == [("gw", "yellow")]
    assert "cleared" not in [alert.state for alert in of(play.effects, Alert)]


# ---------------------------------------------------------------- a mark is about one reading


def written(items, readings, marks_of=None):
    """What the forwarder makes of one message whose readings are these."""
    play = Play(Engine(world(), State(identity="0000002a")))
    play.engine.watches.of["cab-1"].decode = lambda device, message, received_ns, faults=None: readings(
        received_ns
    )
    for body in items:
        event = Messages(play.at, play.wall(), [Message("site/cab-1", body)])
        found = play.give(event)
        play.wait(1)
    marks = of(found, Marked)
    formatted = Formatter(play.engine.world, lambda message, now: []).format(
        Logged(0, event, marks, []), play.engine.readings
    )
    return formatted.lines.decode()


def test_history_beside_a_live_value_takes_nothing_from_it():
    def said(now):
        old = [
            Reading("cab-1", "", {"smoke": 0.0}, now - n * HOUR * SECOND, now, "", True, True) for n in (2, 1)
        ]
        return [*old, Reading("cab-1", "", {"smoke": 0.0, "temperature_c": 21.0}, now, now, "", True)]

    lines = written([b"a"], said).splitlines()
    assert [line.partition('quality="')[2].partition('"')[0] for line in lines] == [
        "history",
        "history",
        "good",
    ]
    assert len({line.rpartition(" ")[2] for line in lines}) == 3


# ---------------------------------------------------------------- the rules that are shipped


STREET = load(Path(__file__).parents[2] / "deploy/example/lilong.yaml", "en", environ={}).world


@pytest.mark.parametrize("model", sorted(STREET.models))
def test_a_device_that_speaks_as_its_model_says_is_never_silent(model):
    """A sensor in a bin that speaks every 20 minutes was silent for a rule made for cameras."""
    home, every_s = next(iter(STREET.places)), STREET.models[model].expect_every_s
    device = Device(id="one", model=model, at=home, topic="one")
    watch = Engine(replace(STREET, devices={"one": device}), State(identity="0000002a")).watches.of["one"]
    assert all(span > 2 * every_s * SECOND for span in watch.spans())


def test_absent_and_missed_wait_for_the_later():
    both = Limit(level=Level.YELLOW, absent_s=600, missed=3)
    assert [span_ns(both, every * SECOND) for every in (0, 60, 1200)] == [
        600 * SECOND,
        600 * SECOND,
        3600 * SECOND,
    ]


# ---------------------------------------------------------------- what ends by itself, by a clock that lags


@pytest.mark.parametrize("behind_s", [0, 6, 15, 100])
def test_a_camera_whose_clock_lags_is_heard(behind_s):
    """Every word had ended before the next one came: seven minutes in the lift told nobody."""
    repeats = replace(CABINET, ends_after_s=5.0)
    rule = replace(SMOKE, limits=limits((Level.RED, 0.5, 20, None)))
    play = Play(Engine(world(rules=(rule,), models={"cabinet": repeats}), State(identity="0000002a")))
    for _ in range(60):
        play.say(smoke=1, ts=play.wall() // SECOND - behind_s)
        play.wait(1)
    assert play.levels() == ["red"]
    play.wait(200)
    assert play.levels() == ["red", "clear"]


@pytest.mark.parametrize(("hold_s", "told"), [(0, ["red", "clear"]), (20, [])])
def test_a_pulse_that_comes_late_counts_for_as_long_as_it_lasted(hold_s, told):
    repeats = replace(CABINET, ends_after_s=10.0)
    rule = replace(SMOKE, limits=limits((Level.RED, 0.5, hold_s, None)))
    play = Play(Engine(world(rules=(rule,), models={"cabinet": repeats}), State(identity="0000002a")))
    play.say(smoke=1, ts=play.wall() // SECOND - 15)
    play.wait(200)
    assert play.levels() == told
