"""What is said again and moves nothing goes a short way: all comes out the same as by the long one."""

import math
import random
from dataclasses import replace

import pytest
from msgspec import structs

from gateway.core import judging
from gateway.core import state as states
from gateway.core.alerts import Phase, Standing, expire, turn
from gateway.core.conditions import crossed, judge_for
from gateway.core.judging import Judging
from gateway.core.model import Level, Limit, Verdict
from gateway.core.state import Track
from gateway.core.steady import NOWHERE, beyond, short, stays, steady_of
from gateway.core.watches import Subject
from tests.property.test_restart_of_everything import Run
from tests.unit.worlds import HOT, SMOKE, Play, world

LIMITS = (
    Limit(level=Level.RED, above=1.0),
    Limit(level=Level.RED, above=1.0, clear=-1.0),
    Limit(level=Level.RED, below=1.0),
    Limit(level=Level.RED, below=-1.0, clear=1.0),
    Limit(level=Level.RED, equals=1.0),
    Limit(level=Level.RED, inside=(-1.0, 1.0), clear_range=(-2.0, 2.0)),
    Limit(level=Level.RED, outside=(-2.0, 2.0), clear_range=(-1.0, 1.0)),
    Limit(level=Level.RED, above=1.0, readings=(2, 3)),
    Limit(level=Level.RED, above=1.0, hold_s=5.0, within_s=9.0),
)
EDGES = [
    near for edge in (-2.0, -1.0, 1.0, 2.0) for near in (edge, *(math.nextafter(edge, to) for to in (-9, 9)))
]


def lies(value, band):
    return band[0] <= value <= band[1]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [*EDGES, -9.0, 0.0, 9.0])
def test_a_band_has_only_values_that_the_limit_judges_so(limit, value):
    for active in (False, True):
        assert crossed(limit, value, active) or not lies(value, beyond(limit, active))
    assert not (lies(value, short(limit)) and crossed(limit, value, False))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("value", [*EDGES, -9.0, 0.0, 9.0])
def test_a_value_in_the_band_moves_nothing_for_ever(limit, phase, value):
    one, rule = Standing(Level.RED, phase=phase), HOT
    if lies(value, stays(one, limit)):
        before = Standing(Level.RED, phase=phase)
        active = phase in (Phase.FIRING, Phase.CLEARING)
        turn(one, limit, Verdict.BAD if crossed(limit, value, active) else Verdict.GOOD, 7)
        expire(one, limit, rule, 1 << 60)
        assert one == before


def ruled(name, quantity, *limits, **more):
    return replace(SMOKE, id=name, quantity=quantity, limits=limits, **more)


def go_the_long_way(monkeypatch):
    """Every judge is asked of every reading, and turns every level."""
    monkeypatch.setattr(judging, "steady_of", lambda *args: None)
    monkeypatch.setattr(Subject, "asked", lambda self, values: self.judges)


@pytest.mark.parametrize("seed", range(3))
def test_the_short_way_leads_where_the_long_one_does(seed, monkeypatch):
    short_way = Run(seed, "").play()
    go_the_long_way(monkeypatch)
    long_way = Run(seed, "").play()
    assert short_way.effects == long_way.effects
    assert states.save(short_way.engine.state) == states.save(long_way.engine.state)


@pytest.mark.parametrize("seed", range(6))
def test_values_about_the_limits_lead_to_the_same(seed, monkeypatch):
    """Cleared below the limit, relative to a baseline, latched, and so often crossed that it chatters."""
    cold = Limit(level=Level.YELLOW, below=-4.0), Limit(level=Level.RED, below=-8.0)
    rules = (
        HOT,
        ruled("lean", "temperature_c", Limit(level=Level.RED, above=5.0, clear=3.0), relative_to="zero"),
        ruled("cold", "temperature_c", *cold),
        ruled("latch", "temperature_c", Limit(level=Level.RED, above=6.0), latch=True),
        ruled("exact", "smoke", Limit(level=Level.RED, equals=1.0)),
    )  # fmt: skip

    def play():
        lots, found = random.Random(seed), Play()
        found.engine = type(found.engine)(world(rules=rules), found.engine.state)
        for _ in range(150):
            heat = lots.choice((-9, -5, -4, 0, 3, 4, 5, 5.5, 6, 7))
            found.say({3: lots.choice((20, 52, 56, 66, 80))}, t=heat, smoke=lots.choice((0, 1)))
            found.wait(lots.choice((1, 1, 5, 70)))
        return found

    short_way = play()
    go_the_long_way(monkeypatch)
    long_way = play()
    assert len(long_way.levels()) > 20, seed
    assert short_way.effects == long_way.effects, seed
    assert states.save(short_way.engine.state) == states.save(long_way.engine.state), seed


def test_what_stands_is_not_worked_out_again(monkeypatch):
    """The work of a reading that says the same again: its rule, and the calm ones, are asked nothing."""
    applied = []
    whole = Judging._apply
    monkeypatch.setattr(Judging, "_apply", lambda *args: applied.append(args[2].rule.id) or whole(*args))
    play = Play()
    for _ in range(20):
        play.say({3: 80}, smoke=1)
        play.wait(10)
    assert applied.count("smoke") == 2 and applied.count("slot-hot") < 10, "its yellow level took a minute"
    assert {track.count for track in play.engine.state.tracks.values()} == {20}


def steady_at(value, limit, phase, **more):
    street = world(rules=(replace(SMOKE, limits=(limit,)),))
    judge = structs.replace(judge_for(street.rules[0], street.devices["cab-1"], "", street), **more)
    return steady_of(judge, Track("smoke", "cab-1", "", [Standing(Level.RED, phase=phase)]), value)


def test_short_ways():
    plain, sticky = LIMITS[:2]
    assert steady_at(2.0, plain, Phase.PENDING) is None and steady_at(0.0, plain, Phase.CLEARING) is None
    assert steady_at(2.0, plain, Phase.FIRING).holds(5.0)
    assert not steady_at(2.0, plain, Phase.FIRING).holds(1.0)
    between = steady_at(0.0, sticky, Phase.FIRING)
    assert between.holds(1.0) and not between.beyond, "above its clear limit, though not a bad reading"
    assert not between.holds(-1.0) and not between.holds(1.1)
    assert steady_at(2.0, plain, Phase.FIRING, zeros=((0, 0.0), (9, 1.0))) is None, "baselines with dates"
    away = steady_at(2.0, plain, Phase.FIRING, baseline=4.0)
    assert away.holds(6.0) and away.holds(-7.0) and not away.holds(4.5)
    late = Standing(Level.RED, phase=Phase.FIRING, not_before=7)
    assert stays(late, plain) == NOWHERE, "the next word says that nothing is taken back"
