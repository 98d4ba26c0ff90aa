"""Any bytes end as readings or as one of the closed codes: never as an exception, never as a hang."""

import json
import math
import time
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.codecs import CODECS, waveform
from gateway.core.codecs.shapes import JsonDecoder
from gateway.core.decoding import Decoder
from gateway.core.model import (
    Codec,
    Components,
    Device,
    Fault,
    Field,
    Message,
    Model,
    PayloadError,
    Refusal,
    Wave,
)
from tests.unit.worlds import CABINET, TOPIC, payload, world

DECODER = Decoder(world())
scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([1e308, -0.0, 2**63]),
)
anything = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
slot = st.fixed_dictionaries({}, optional={"no": anything, "t": anything})
near_miss = st.fixed_dictionaries(
    {},
    optional={
        "smoke": anything, "t": anything, "ts": anything, "id": anything,
        "slots": st.one_of(anything, st.lists(slot)),
    },
)  # fmt: skip


def decode(body):
    """(readings, codes), with the promise checked that nothing else ever comes out."""
    faults: list[Fault] = []
    try:
        readings = DECODER.decode(Message(TOPIC, body), 10**18, faults)
    except PayloadError as error:
        return [], [error.code]
    for reading in readings:
        assert reading.values and all(math.isfinite(value) for value in reading.values.values())
    return readings, [fault.code for fault in faults]


@given(st.binary(max_size=400))
def test_any_bytes(body):
    readings, codes = decode(body)
    assert readings or codes
    assert all(code in Refusal for code in codes)


@given(near_miss)
def test_any_json_of_nearly_the_right_shape(value):
    readings, codes = decode(json.dumps(value).encode("utf-8", "surrogatepass"))
    assert readings or codes


@given(st.dictionaries(st.integers(1, 8), st.floats(-50, 300), min_size=1))
def test_what_the_model_says_comes_back_exactly(slots):
    readings, codes = decode(payload(slots))
    assert not codes
    assert {r.component: r.values["slot_temperature_c"] for r in readings} == {
        f"slot-{n}": t for n, t in slots.items()
    }


@given(st.permutations(["smoke", "t", "ts"]), st.booleans())
def test_a_key_that_stands_twice_is_never_believed(keys, spaced):
    """However the text is laid out: which of the two is meant nobody knows."""
    colon = " \t: " if spaced else ":"
    body = ",".join(f'"{key}"{colon}0' for key in [*keys, keys[0]])
    assert decode(f"{{{body}}}".encode()) == ([], [Refusal.DUPLICATE_KEY])


# ---------------------------------------------------------------- the quick way says what the strict one says

FLAT = Model(
    id="flat", says="flat", scene="cabinet", source="test",
    codec=Codec(kind="json", time="ts", time_unit="s", sequence="seq"),
    fields=(Field(quantity="smoke", path="smoke"), Field(quantity="temperature_c", path="t")),
)  # fmt: skip
flat_value = st.one_of(scalar, st.lists(st.integers(), max_size=2), st.text(alphabet=',":{[', max_size=4))
flat = st.dictionaries(st.sampled_from(["smoke", "t", "ts", "seq", "x", "y"]), flat_value)


def outcome(decoder, body):
    faults: list[Fault] = []
    try:
        readings = decoder(Device(id="d", model="flat", at="", topic=""), Message("d", body), 7, faults)
    except PayloadError as error:
        return error.code, error.field
    return readings, faults


DEEP_ONE = Model(
    id="deep", says="deep", scene="cabinet", source="test",
    codec=Codec(kind="json", time="head.ts", time_unit="s", sequence="seq"),
    components=(Components(kind="slot", path="slots", number="no", count=3),),
    fields=(
        Field(quantity="smoke", path="smoke", values={"fire": 1.0, "normal": 0.0}, required=True),
        Field(quantity="temperature_c", path="head.t"),
        Field(quantity="humidity_pct", path="h"),
        Field(quantity="slot_temperature_c", path="t", of="slot", required=True),
        Field(quantity="slot_state", path="state", of="slot", values={"none": 0.0, "charging": 1.0}),
    ),
)  # fmt: skip
number = st.one_of(st.integers(-50, 90), st.floats(-50, 90))
odd = st.one_of(scalar, st.text(alphabet=',":{[', max_size=3))


def mostly(usual):
    return st.one_of(usual, usual, usual, odd)


slot = st.fixed_dictionaries(
    {
        "no": mostly(st.integers(0, 4)),
        "t": mostly(number),
        "state": mostly(st.sampled_from(["none", "charging"])),
    },
    optional={"x": odd},
)
deep = st.fixed_dictionaries(
    {
        "head": st.fixed_dictionaries({"ts": mostly(st.integers(0, 2_000_000_000)), "t": mostly(number)}),
        "smoke": mostly(st.sampled_from(["fire", "normal", True, 0])),
        "slots": st.one_of(st.lists(slot, max_size=4), odd),
    },
    optional={"h": mostly(number), "seq": odd, "x": st.one_of(odd, st.lists(number, max_size=2))},
)


@pytest.mark.parametrize(("model", "said"), [(FLAT, flat), (DEEP_ONE, deep)])
@given(data=st.data(), twice=st.booleans())
def test_a_learned_shape_changes_no_reading(model, said, data, twice):
    """Whatever was said before, a message means what it means to a decoder that never heard a word."""
    learned = JsonDecoder(model)
    values = data.draw(st.lists(said, min_size=1, max_size=5))
    for value in [*values, *values]:
        text = json.dumps(value)
        if twice and value:
            key, again = next(iter(value.items()))
            text = text[:-1] + f", {json.dumps(key)}: {json.dumps(again)}}}"
        body = text.encode()
        assert outcome(learned, body) == outcome(JsonDecoder(model), body)


LEARNT = (
    '{"head":{"ts":1700000000,"t":20.5},"smoke":"normal","seq":7,"x":"y",'
    '"slots":[{"no":1,"t":21,"state":"none"},{"no":2,"t":22.5,"state":"charging"}]}'
)
DIFFERENT = [  # what stands there, what stands there now
    ('"no":2', '"no":1'), ('"no":2', '"no":0'), ('"no":2', '"no":4'), ('"no":2', '"no":-1'),
    ('"no":2', '"no":2.0'), ('"no":2', '"no":true'), ('"no":2', '"no":"2"'), ('"no":2,', ""),
    ('"no":2', '"no":2,"no":3'), ('"t":22.5', '"t":22.5,"t":80'), ('"t":22.5', '"t":null'),
    ('"t":22.5', '"t":"80"'), ('"t":22.5', '"t":1e999'), ('"t":22.5,', ""), ('"t":22.5', '"t":22.5,"z":1'),
    ('"t":21', '"t":-0.0'), ('"t":21', '"t":true'), ('"charging"', '"melting"'), ('"charging"', "1"),
    ('"charging"', "null"), ('"charging"', "true"), ('"normal"', '"fire","smoke":"normal"'),
    ('"normal"', "1"), ('"normal"', "true"), ('"normal"', "null"), ('"normal"', "[]"),
    ('"smoke":"normal",', ""), ('"t":20.5', '"t":20.5,"t":90'), (',"t":20.5', ""),
    ('"ts":1700000000', '"ts":0'), ('"ts":1700000000', '"ts":null'), ('"ts":1700000000', '"ts":"then"'),
    ('"seq":7', '"seq":null'), ('"seq":7', '"seq":[7]'), ('"seq":7', '"seq":7,"seq":8'), ('"seq":7,', ""),
    ('"x":"y"', '"x":"y,z"'), ('"x":"y"', '"x":{}'), ('"x":"y"', '"x":[1,2]'), ('"x":"y",', ""),
    ('"head":{', '"head":{"more":1,'), ('{"head"', '{"h":55,"head"'), ('"slots":[', '"slots":[null,'),
    ('"slots":[', '"slots":[{"no":3,"t":23,"state":"none"},'), ('"slots":[', '"slot":['),
    ("}]}", "}]}}"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "now"), DIFFERENT)
def test_what_differs_from_the_learnt_form_means_what_it_always_meant(before, now):
    learned = JsonDecoder(DEEP_ONE)
    outcome(learned, LEARNT.encode())
    assert learned._shape is not None and before in LEARNT
    body = LEARNT.replace(before, now).encode()
    for _ in range(2):  # and so it does once it is learnt itself
        assert outcome(learned, body) == outcome(JsonDecoder(DEEP_ONE), body)


def test_a_message_like_the_last_one_goes_the_short_way():
    decoder, said = (
        JsonDecoder(DEEP_ONE),
        {"head": {"ts": 1_700_000_000, "t": 20.5}, "smoke": "normal", "seq": 7},
    )
    said["slots"] = [{"no": n, "t": 20 + n, "state": "none"} for n in (1, 2)]
    first = outcome(decoder, json.dumps(said).encode())
    said["slots"].append({"no": 3, "t": 23.5, "state": "charging"})
    readings = decoder._shape.read(
        Device(id="d", model="deep", at="", topic=""), Message("d", json.dumps(said).encode()), 7
    )
    assert [list(one.values) for one in readings[:3]] == [list(one.values) for one in first[0]]
    assert readings[3].values == {"slot_temperature_c": 23.5, "slot_state": 1.0}


DEEP = b'{"smoke":1,"x":' + b"[" * 60_000 + b"]" * 60_000 + b"}"
DEEPER = DEEP.replace(b"[]", b"[" * 40_000 + b"]" * 40_000)
TRICKY = [
    (b"", "syntax"),
    (b"[]", "syntax"),
    (b'{"smoke":1', "syntax"),
    (b'{"smoke":1}}', "syntax"),
    (b"\xef\xbb\xbf{}", "encoding"),
    (b'{"smoke":1,"x":"\xff"}', None),  # a stranger's field: msgspec skips it unread
    (b'{"smoke":1,"x":"a\x00b"}', "encoding"),
    (b'{"smoke":"\\ud800"}', "type"),
    (DEEP, "depth"),
    (DEEPER, "oversize"),
    (b'{"smoke":' + b"1" * 4301 + b"}", "not_finite"),
    (b'{"smoke":NaN}', "not_finite"),
    (b'{"smoke":-Infinity}', "not_finite"),
    (b'{"t":1e999}', "not_finite"),
    (b'{"t":true}', "type"),
    (b'{"t":"21.5"}', "type"),
    (b'{"t":null}', "empty"),
    (b'{"other":1}', "empty"),
    (b'{"slots":[{"no":9,"t":20}]}', "component"),
    (b'{"slots":[{"no":1,"t":20},{"no":1,"t":90}]}', "component"),
    (b'{"slots":{"no":1}}', "type"),
    (b'{"id":"somebody","smoke":1}', "identity"),
    (b'{"smoke":1}' + b" " * 300_000, "oversize"),
]


@pytest.mark.parametrize(("body", "code"), TRICKY, ids=[repr(body[:24]) for body, _ in TRICKY])
def test_tricky_payloads_get_their_code_in_time(body, code):
    began = time.process_time()
    _, codes = decode(body)
    assert time.process_time() - began < 0.05, "bounded work (5 x the promise, for a busy machine)"
    assert codes == ([code] if code else codes)


@given(st.text(max_size=40))
def test_any_topic(topic):
    try:
        DECODER.decode(Message(topic, b"{}"), 0)
    except PayloadError as error:
        assert error.code in (Refusal.UNKNOWN_DEVICE, Refusal.EMPTY)


def test_the_model_under_test_has_every_kind_of_field():
    assert CABINET.components and CABINET.codec.identity and CABINET.codec.time


# ---------------------------------------------------------------- waveforms

SAMPLES = {"x": "b.x", "y": "b.y"}
WAVE = Model(
    id="wave", says="wave", scene="structure", source="test",
    codec=Codec(kind="waveform", wave=Wave(axes=SAMPLES, unit="mm/s", rate_path="r", scale_path="s")),
    fields=(
        Field(quantity="ppv_mm_s", path="ppv", of="axis"),
        Field(quantity="dominant_hz", path="dominant", of="axis"),
    ),
)  # fmt: skip
samples = st.one_of(
    anything,
    st.text(max_size=200),
    st.lists(scalar, max_size=80),
    st.integers(60, 70).flatmap(lambda count: st.lists(st.floats(), min_size=count, max_size=count)),
    st.binary(max_size=400).map(lambda body: b64encode(body).decode()),
)
wave_payload = st.fixed_dictionaries(
    {"r": st.one_of(st.just(200), anything), "s": st.one_of(st.just(1), anything)},
    optional={"b": st.one_of(anything, st.fixed_dictionaries({"x": samples}, optional={"y": samples}))},
)


@given(wave_payload, st.sampled_from(waveform.SHAPES), st.booleans())
def test_any_waveform_of_nearly_the_right_shape(value, shape, together):
    wave = replace(
        WAVE.codec.wave, samples=shape, axes=dict.fromkeys(SAMPLES, "b.x") if together else SAMPLES
    )
    decoder = CODECS["waveform"](replace(WAVE, codec=replace(WAVE.codec, wave=wave)))
    readings, faults = outcome(decoder, json.dumps(value).encode("utf-8", "surrogatepass"))
    if isinstance(readings, Refusal):
        return
    assert readings or faults
    for reading in readings:
        assert all(math.isfinite(one) and one >= 0 for one in reading.values.values())
