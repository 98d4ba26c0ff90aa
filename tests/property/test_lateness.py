"""A rule with a lateness: whatever overtook what on the way, it says what it would have said in order."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import judging
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Alert, Level, Limit, Link, Message, Messages, Tick
from gateway.core.state import State, load, save
from tests.unit.worlds import HOT, SMOKE, START_NS, TOPIC, of, payload, world

LATENESS_S, EVERY_S = 90, 20
WARM = replace(SMOKE, id="warm", quantity="temperature_c", limits=HOT.limits, clear_hold_s=45.0)
GATHERED = (
    Limit(level=Level.YELLOW, above=55, readings=(2, 4)),
    Limit(level=Level.ORANGE, above=55, hold_s=60, within_s=200),
)
RULES = (WARM, replace(WARM, id="often", limits=GATHERED), replace(SMOKE, min_on_s=70.0))
ORDERLY = tuple(replace(rule, lateness_s=float(LATENESS_S)) for rule in RULES)
VALUES = (20, 20, 52, 56, 57, 66, 78)


def samples(random: Random) -> list[tuple[float, bytes]]:
    """(seconds, payload), as a device measures them."""
    found = []
    for step in range(random.randint(4, 25)):
        at_s = step * EVERY_S + random.randint(0, 15)
        values = {"t": random.choice(VALUES), "smoke": random.choice((0, 0, 1))}
        body = dict(random.sample(sorted(values.items()), random.randint(1, 2)))
        found.append((at_s, payload(**body, ts=START_NS // SECOND + at_s)))
    return found


def shuffled(random: Random, clean: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Each comes at most `lateness` after it was measured; some come twice."""
    late = [(at_s + random.choice((0, 0, 1, 30, 61, LATENESS_S - 1)), body) for at_s, body in clean]
    again = random.sample(late, len(late) // 3)
    return sorted([*late, *((at_s, body) for at_s, body in again)], key=lambda one: one[0])


def play(rules, stream, restart_at: int = -1) -> list[tuple]:
    """The changes of all alerts, with their instants."""
    known = world(rules=rules)
    engine, alerts = Engine(known, State(identity="0000002a")), []
    engine.step(Link(0, START_NS, True))
    for number, (at_s, body) in enumerate([*stream, (10_000, None)]):
        at = int(at_s * SECOND)
        while (due := engine.next_due()) is not None and due <= at:
            alerts += of(engine.step(Tick(due, START_NS + due)), Alert)
        if body is not None:
            alerts += of(engine.step(Messages(at, START_NS + at, [Message(TOPIC, body)])), Alert)
        if number == restart_at:
            engine = Engine(known, load(save(engine.state)), engine.recent)
    return sorted(
        (one.rule, one.raised_ns, one.changed_ns, one.level, str(one.state), one.value, one.count)
        for one in alerts
    )


def check(number: int) -> None:
    random = Random(number)
    clean = samples(random)
    in_order = play(ORDERLY, clean)
    assert play(ORDERLY, shuffled(random, clean), random.randint(0, 20)) == in_order
    shift = LATENESS_S * SECOND
    plain = play(RULES, clean)  # of devices whose words take no time, the same, without the waiting
    shifted = [(rule, raised + shift, changed + shift, *rest) for rule, raised, changed, *rest in plain]
    assert in_order == shifted


@given(st.integers(0, 2**32))
def test_late_inside_the_bound_is_exactly_in_order(number):
    check(number)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("_lag_ns", lambda self, key: 0),  # holds that run out on our clock, not on the instants
        ("look_back", lambda *args: None),  # what was overtaken is lost
    ],
)
def test_canary_it_tells_an_engine_that_judges_as_it_hears(seed, name, instead, monkeypatch):
    monkeypatch.setattr(judging.Judging, name, instead)
    with pytest.raises(AssertionError):
        for number in range(seed, seed + 20):
            check(number)
