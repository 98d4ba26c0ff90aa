"""What the week once found in the engine, as the smallest examples."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.engine import Engine
from gateway.core.model import SECOND, Alert, Codec, Device, Field, Level, Limit, Link, Model, World
from gateway.core.state import State, load, save
from tests.unit.worlds import CABINET, SILENT, SMOKE, START_NS, Play, of, world

GATEWAY = Model(
    id="gw", says="网关", scene="gateway", source="test", codec=Codec(kind="json"),
    fields=(Field(quantity="smoke", path="smoke"),),
)  # fmt: skip
TILT = replace(CABINET, id="tilt", scene="structure")
DAY_S = 24 * 3600


def silent(rule_id: str, scene: str, yellow_s: float, orange_s: float = 0.0):
    limits = [Limit(level=Level.YELLOW, absent_s=yellow_s)]
    limits += [Limit(level=Level.ORANGE, absent_s=orange_s)] if orange_s else []
    return replace(SILENT, id=rule_id, scene=scene, limits=tuple(limits))


def behind_a_gateway(tilts: int = 0, cabinets: int = 3) -> World:
    """Cabinets that are missed after half an hour, tilts after 26 h, all behind one gateway."""
    rules = (
        silent("gw", "gateway", 600, 3600),
        silent("cab", "cabinet", 1800),
        silent("tilt", "structure", 26 * 3600),
    )
    names = {f"c{n}": "cabinet" for n in range(cabinets)} | {f"t{n}": "tilt" for n in range(tilts)}
    devices = {
        name: Device(id=name, model=model, at="yard", topic=f"site/{name}", behind="gw")
        for name, model in names.items()
    }
    devices["gw"] = Device(id="gw", model="gw", at="yard", topic="site/gw")
    models = {"gw": GATEWAY, "tilt": TILT, "cabinet": CABINET}
    return replace(world(rules=rules), models=models, devices=devices)


def begun(judging: World) -> Play:
    return Play(Engine(judging, State(identity="0000002a")))


def told(play: Play, since: int = 0) -> list[tuple[str, str, float]]:
    """(rule, level, seconds after `since`) of every alert."""
    return [
        (one.rule, one.level.word, (one.changed_ns - START_NS - since) / SECOND)
        for one in of(play.effects, Alert)
    ]


def test_a_silence_of_26_hours_is_told_though_the_link_is_renewed_every_day():
    """A broker that restarts at night, a gateway that is updated: a dead house is never missed."""
    play = begun(world(rules=(silent("cab", "cabinet", 26 * 3600),)))
    play.say(smoke=0)
    for _ in range(5):
        play.wait(DAY_S)
        play.give(Link(play.at, play.wall(), False))
        play.wait(5)
        play.give(Link(play.at, play.wall(), True))
    assert [level for _, level, _ in told(play)] == ["yellow"]


def test_a_restart_changes_nothing_for_a_gateway_that_has_not_spoken_yet():
    """Its first word comes after the restart; falling silent then it is told of 38 minutes late."""
    found = []
    for restarts in (False, True):
        play = begun(behind_a_gateway(tilts=3, cabinets=0))
        play.wait(660)
        if restarts:
            play.engine = Engine(play.engine.world, load(save(play.engine.state)), play.engine.recent)
        play.wait(60)
        play.say(topic="site/gw", smoke=0)
        play.wait(7200)
        found.append(told(play))
    assert found[0] == found[1]


def test_a_dead_gateway_is_told_of_once_whatever_is_behind_it():
    """Five tilts that may be silent for a day outvote three cabinets that may not."""
    play = begun(behind_a_gateway(tilts=5))
    for name in play.engine.world.devices:
        play.say(topic=f"site/{name}", smoke=0)
    play.wait(7200)
    assert {rule for rule, _, _ in told(play)} == {"gw"}


def test_an_hour_of_a_gateways_silence_is_an_hour():
    """Its cabinets spoke ten minutes before it fell silent: orange comes after 50 minutes instead of 60."""
    play = begun(behind_a_gateway())
    for name in play.engine.world.devices:
        play.say(topic=f"site/{name}", smoke=0)
    for _ in range(10):
        play.wait(60)
        play.say(topic="site/gw", smoke=0)
    last = play.at
    play.wait(7200)
    assert ("gw", "orange", 3600.0) in told(play, last)


def test_an_hour_of_listening_is_an_hour_however_often_the_link_is_renewed():
    """A radio gateway that never speaks itself: every renewal put its orange off by an hour once more."""
    play = begun(behind_a_gateway())
    for number in range(3):
        play.say(topic=f"site/c{number}", smoke=0)
    last = play.at
    for _ in range(4):
        play.wait(2400)
        play.give(Link(play.at, play.wall(), False))
        play.wait(60)
        play.give(Link(play.at, play.wall(), True))
    assert ("gw", "orange", 3600.0 + 60) in told(play, last)


def test_a_restart_makes_no_news_of_what_a_device_kept_itself():
    """Smoke of 17 to 13 minutes ago, which it sends 7 minutes after we were away for 24 seconds."""
    play = begun(world(rules=(SMOKE,)))
    play.say(smoke=0, ts=play.wall() / SECOND)
    play.wait(600)
    play.give(Link(play.at, play.wall(), False))
    play.wait(24)
    play.give(Link(play.at, play.wall(), True))
    play.wait(450)
    for minutes in range(17, 12, -1):
        play.say(smoke=1, ts=play.wall() / SECOND - 60 * minutes)
    assert told(play) == [] and "reading_late" in play.noted()


def test_what_the_broker_kept_for_us_is_news_though_it_takes_its_time():
    """Smoke that began while we were away for ten minutes, handed over five minutes after we were back."""
    play = begun(world(rules=(SMOKE,)))
    play.say(smoke=0, ts=play.wall() / SECOND)
    play.give(Link(play.at, play.wall(), False))
    play.wait(600)
    play.give(Link(play.at, play.wall(), True))
    play.wait(300)
    play.say(smoke=1, ts=play.wall() / SECOND - 840)
    play.wait(60)
    assert [level for _, level, _ in told(play)] == ["red"]
