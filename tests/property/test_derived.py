"""Whatever devices say and however long they are away: bounded, finite, and the same after any restart."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.derived import KEPT_DAYS, RECORD, WAYS
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Codec,
    Derivation,
    Device,
    Field,
    Marked,
    Message,
    Messages,
    Model,
    Period,
)
from gateway.core.state import State
from tests.unit.worlds import START_NS, world

SAID = {"tilt_x_deg": "x", "tilt_y_deg": "y", "settlement_mm": "s", "temperature_c": "t"}
WALL = Model(
    id="wall", says="wall", scene="structure", source="test", lateness_s=3600,
    codec=Codec(kind="json", time="ts", time_unit="s"),
    fields=tuple(Field(quantity=quantity, path=path) for quantity, path in SAID.items()),
)  # fmt: skip
MADE = {
    "trend": (
        "tilt_x_trend_mm_m_day",
        "tilt_x_deg",
        {"compensated_by": "temperature_c", "over_s": 7 * 86400.0},
    ),
    "compensated": ("tilt_x_compensated_mm_m", "tilt_x_deg", {"compensated_by": "temperature_c"}),
    "lean": ("lean_mm_per_m", "tilt_x_deg", {"across": "tilt_y_deg"}),
    "difference": ("settlement_difference_mm", "settlement_mm", {"within_s": 7200.0}),
    "distortion": ("angular_distortion_mm_m", "settlement_mm", {"within_s": 7200.0}),
}
PERIOD = Period(since=date(2026, 11, 2), until=date(2026, 11, 10), approved_by="li")
WALLS = {
    name: Device(
        id=name,
        model="wall",
        at="yard",
        topic=f"site/{name}",
        baseline_period=PERIOD,
        neighbours={other: 5.0},
    )
    for name, other in (("a", "b"), ("b", "a"))
}
STREET = replace(
    world(rules=()), models={"wall": WALL}, devices=WALLS,
    derivations=tuple(
        Derivation(quantity=quantity, how=how, of=of, scene="structure", **more)
        for how, (quantity, of, more) in MADE.items()
    ),
)  # fmt: skip
angle = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0, 91.0, 1e300]))
values = st.fixed_dictionaries(
    {}, optional={"x": angle, "y": angle, "s": st.floats(-500, 500), "t": st.floats(-60, 400)}
)
gap_s = st.one_of(st.integers(0, 7200), st.sampled_from([0, 10800, 86400, 9 * 86400]))
step = st.tuples(st.sampled_from(["a", "b"]), values, gap_s, st.integers(-4000, 200))


def play(script, restored=frozenset()):
    """Effects and final state; restored from a checkpoint before the steps of those numbers."""
    engine, at, effects = Engine(STREET, State(identity="0000002a")), 0, []
    for number, (device, said, gap, late) in enumerate(script):
        if number in restored:
            engine = Engine(STREET, states.load(states.save(engine.state)), engine.recent)
        at += gap * SECOND
        body = json.dumps({"ts": (START_NS + at) / SECOND + late} | said).encode()
        effects += engine.step(Messages(at, START_NS + at, [Message(f"site/{device}", body)]))
    return effects, engine.state


def test_every_way_is_played():
    assert set(MADE) == set(WAYS)


@settings(deadline=None)
@given(st.lists(step, max_size=40), st.sets(st.integers(0, 39)))
def test_any_restart_any_gap_any_value(script, restored):
    effects, state = play(script)
    again, restarted = play(script, restored)
    assert effects == again and states.save(state) == states.save(restarted)
    for mark in effects:
        if isinstance(mark, Marked):
            assert all(math.isfinite(value) for value in mark.derived.values())
    for series in state.series.values():
        numbers = [record[0] for record in RECORD.iter_unpack(series.closed)]
        assert all(before < after for before, after in pairwise(numbers))
        assert not numbers or numbers[-1] < series.block
        assert len(numbers) <= (KEPT_DAYS + 2) * 8


@settings(deadline=None, max_examples=20)
@given(st.floats(-0.5, 0.5), st.floats(-0.1, 0.1), st.integers(1, 6))
def test_a_line_is_found_whatever_the_sun_does(drift, per_degree, every_h):
    """Exact input, exact answer (means are kept in single precision): slope in mm/m a day within 1 %."""
    script = []
    for hour in range(0, 24 * 20, every_h):
        t = 15 + 8 * math.sin(2 * math.pi * hour / 24) + 3 * math.sin(hour / 50)
        x = drift * hour / 24 + per_degree * t
        script.append(("a", {"x": x / 17.4532925199433, "t": t}, 3600 * every_h, 0))
    effects, _ = play(script)
    found = [
        mark.derived["tilt_x_trend_mm_m_day"]
        for mark in effects
        if isinstance(mark, Marked) and "tilt_x_trend_mm_m_day" in mark.derived
    ]
    assert found and abs(found[-1] - drift) <= 0.01 * abs(drift) + 1e-4
