"""The waveform codec: whatever shape the samples come in, the features are the same; flaws have codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from base64 import b64encode
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.core.codecs import CODECS, waveform
from gateway.core.model import Codec, Device, Fault, Field, Message, Model, PayloadError, Reading, Wave

AXES = {"x": "b.x", "y": "b.y", "z": "b.z"}
FIELDS = (
    Field(quantity="temperature_c", path="t"),
    Field(quantity="ppv_mm_s", path="ppv", of="axis"),
    Field(quantity="dominant_hz", path="dominant", of="axis"),
    Field(quantity="velocity_rms_mm_s", path="rms", of="axis"),
    Field(quantity="crest_factor", path="crest", of="axis"),
)
T = np.arange(256) / 200
WAVES = {
    "x": np.round(300 * np.sin(2 * np.pi * 12.5 * T)),
    "y": np.round(120 * np.sin(2 * np.pi * 25 * T + 1)),
    "z": np.round(50 * np.sin(2 * np.pi * 50 * T + 2)),
}


def model(**block: Any) -> Model:
    given = {"axes": AXES, "unit": "mm/s", "rate_hz": 200.0, "scale": 0.01} | block
    codec = Codec(kind="waveform", wave=Wave(**given))
    return Model(id="m", says="x", scene="structure", source="t", codec=codec, fields=FIELDS)


def packed(dtype: str, values: Any) -> str:
    return b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def decode(which: Model, **said: Any) -> tuple[list[Reading], list[str]]:
    """(readings, codes)."""
    faults: list[Fault] = []
    device = Device(id="d", model="m", at="", topic="site/d")
    try:
        body = json.dumps(said).encode()
        readings = CODECS["waveform"](which)(device, Message("site/d", body), 7, faults)
    except PayloadError as error:
        return [], [str(error.code)]
    return readings, [f"{fault.code}: {fault.field}" for fault in faults]


def lists() -> dict[str, list[float]]:
    return {axis: wave.tolist() for axis, wave in WAVES.items()}


PLAIN, _ = decode(model(), b=lists(), t=18)


def test_every_axis_is_a_component_with_its_features() -> None:
    assert [one.component for one in PLAIN] == ["", "axis-x", "axis-y", "axis-z"]
    assert PLAIN[0].values == {"temperature_c": 18.0}
    assert [round(one.values["dominant_hz"], 1) for one in PLAIN[1:]] == [12.5, 25.0, 50.0]
    assert PLAIN[1].values["ppv_mm_s"] == pytest.approx(3.0, abs=0.01)
    assert PLAIN[1].values["velocity_rms_mm_s"] == pytest.approx(3 / 2**0.5, rel=0.01)


@pytest.mark.parametrize(("samples", "dtype"), waveform.WIDTHS.items())
def test_base64_of_any_width_says_the_same(samples: str, dtype: str) -> None:
    blocks = {axis: packed(dtype, wave) for axis, wave in WAVES.items()}
    assert decode(model(samples=samples), b=blocks, t=18) == (PLAIN, [])


@pytest.mark.parametrize("samples", ["list", "int16le"])
def test_interleaved_samples_say_the_same(samples: str) -> None:
    mixed = np.column_stack(list(WAVES.values())).ravel()
    together = model(samples=samples, axes=dict.fromkeys(AXES, "b"))
    said = mixed.tolist() if samples == "list" else packed("<i2", mixed)
    assert decode(together, b=said, t=18) == (PLAIN, [])
    short = said[:-3] if samples == "list" else packed("<i2", mixed[:-1])
    assert decode(together, b=short[:-1] if samples == "list" else short)[1] == ["length"]


def test_rate_and_scale_may_stand_in_the_payload() -> None:
    moving = model(rate_hz=0.0, rate_path="b.rate", scale=1.0, scale_path="b.scale")
    assert decode(moving, b=lists() | {"rate": 200, "scale": 0.01}, t=18) == (PLAIN, [])
    for flaw, code in (
        ({"rate": 200}, "missing: b.scale"),
        ({"rate": "200", "scale": 1}, "type: b.rate"),
        ({"rate": True, "scale": 1}, "type: b.rate"),
        ({"rate": 0, "scale": 1}, "range: b.rate"),
        ({"rate": 200, "scale": -1}, "range: b.scale"),
        ({"rate": float("nan"), "scale": 1}, "not_finite: b.rate"),
    ):
        assert decode(moving, b=lists() | flaw, t=18)[1] == [code], flaw


@pytest.mark.parametrize(("unit", "scale"), [("m/s", 1e-5), ("cm/s", 1e-3), ("um/s", 10.0)])
def test_units_are_converted(unit: str, scale: float) -> None:
    assert decode(model(unit=unit, scale=scale), b=lists(), t=18)[0] == PLAIN


def test_acceleration_in_g_becomes_velocity() -> None:
    """0.1 g at 25 Hz is 0.981 / (2 pi 25) m/s = 6.24 mm/s."""
    fields = (
        Field(quantity="ppv_mm_s", path="ppv", of="axis"),
        Field(quantity="acceleration_peak_m_s2", path="peak", of="axis"),
    )
    wave = (100 * np.sin(2 * np.pi * 25 * T)).tolist()
    shaker = replace(model(unit="mg", scale=1.0, axes={"z": "z"}), fields=fields)
    (found,), _ = decode(shaker, z=wave)
    assert found.values["acceleration_peak_m_s2"] == pytest.approx(0.980665, rel=0.01)
    assert found.values["ppv_mm_s"] == pytest.approx(6.243, rel=0.03)


def with_x(value: Any) -> dict[str, Any]:
    return lists() | {"x": value}


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (with_x(None), "missing: b.x"),
        (with_x("AAAA"), "type: b.x"),
        (with_x({"0": 1}), "type: b.x"),
        (with_x([1.0] * 255 + [True]), "type: b.x"),
        (with_x([1.0] * 255 + ["1"]), "type: b.x"),
        (with_x([1.0] * 255 + [None]), "type: b.x"),
        (with_x([1.0] * 255 + [[1]]), "type: b.x"),
        (with_x([1.0] * 255 + [float("nan")]), "not_finite: b.x"),
        (with_x([1.0] * 255 + [10**400]), "not_finite: b.x"),
        (with_x([1.0] * 255 + [1e300]), "range: b.x"),
        (with_x([]), "length: b.x"),
        (with_x([1.0] * 63), "length: b.x"),
        (with_x([1] * 3073), "length: b.x"),
    ],
)  # fmt: skip
def test_one_flawed_axis_is_refused_alone(block: dict[str, Any], code: str) -> None:
    readings, codes = decode(model(), b=block, t=18)
    assert codes == [code] and readings == [PLAIN[0], *PLAIN[2:]]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("AAA", "syntax"),
        ("A" * 684 + "é", "syntax"),
        ("AA AA" * 200, "syntax"),
        ("", "length"),
        (packed("<i1", [1] * 255), "length"),
    ],
)
def test_flawed_base64(text: str, code: str) -> None:
    blocks = {axis: packed("<i2", wave) for axis, wave in WAVES.items()} | {"x": text}
    readings, codes = decode(model(samples="int16le"), b=blocks, t=18)
    assert codes == [f"{code}: b.x"] and len(readings) == 3


def test_axes_of_different_length_are_refused_together() -> None:
    readings, codes = decode(model(), b=with_x(lists()["x"][:128]), t=18)
    assert codes == ["length: b.x"] and readings == [PLAIN[0]]


def test_a_payload_without_anything() -> None:
    assert decode(model(), u=1)[1] == ["missing"]


def test_numpy_is_not_loaded_before_a_waveform_comes() -> None:
    """Every gateway knows the model; few have such a device."""
    code = "import sys; import gateway.config; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("samples", ["list", "int16le"])
def test_the_largest_block_is_bounded_work(samples: str) -> None:
    """5 ms and 1 MB, also when the length is a prime number; 5 x the time for a busy machine."""
    wave = np.random.default_rng(1).integers(-30000, 30000, 3067)
    said = np.round(wave / 7, 1).tolist() if samples == "list" else packed("<i2", wave)
    blocks, which = dict.fromkeys("xyz", said), model(samples=samples)
    decode(which, b=blocks)
    began = time.process_time()
    readings, codes = decode(which, b=blocks)
    assert time.process_time() - began < 0.05
    assert len(readings) == 3 and codes == []
    tracemalloc.start()
    decode(which, b=blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000, "the payload itself is in it too"
