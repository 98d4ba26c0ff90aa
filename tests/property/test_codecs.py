"""Every codec and every shipped model, whatever the bytes: readings or one of the closed codes, in bounds."""

import base64
import contextlib
import json
import random
import time
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.codecs import CODECS
from gateway.core.codecs.chirpstack import wrapped
from gateway.core.codecs.formula import Formula
from tests.fuzz.__main__ import mutated
from tests.fuzz.target import Target, models
from tests.payloads import EUI, NASTY

MS = 0.010  # the promise; a busy machine gets five times as long
BYTES = 1_000_000
TARGETS = [Target(model) for model in models().values()]
ONE_OF_EACH = list(
    {target.model.codec.kind + target.model.codec.envelope: target for target in TARGETS}.values()
)
target = st.sampled_from(TARGETS)
scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
anything = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
event = st.fixed_dictionaries(
    {},
    optional={
        "deviceInfo": st.just({"devEui": EUI}) | anything,
        "devEUI": st.sampled_from([EUI, "JOEkcT0AShE="]) | anything,
        "data": st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()) | anything,
        "fPort": st.integers(0, 255) | anything,
        "object": anything, "objectJSON": anything, "time": anything, "rxInfo": anything, "fCnt": anything,
    },
)  # fmt: skip


def test_every_codec_has_a_model_here() -> None:
    assert {one.model.codec.kind for one in TARGETS} == set(CODECS)


@given(target, st.binary(max_size=300))
def test_any_bytes(one, payload):
    one.survive(payload)


@given(target, st.data())
def test_damaged_examples(one, data):
    """As the fuzz program damages them: most of a parser is only reached by what is nearly right."""
    payload = data.draw(st.sampled_from(list(one.seeds())[: len(one.model.examples)]))
    one.survive(mutated(payload, random.Random(data.draw(st.integers(0, 2**32)))))


@given(target, event)
def test_any_event(one, value):
    one.survive(json.dumps(value).encode("utf-8", "surrogatepass"))


@given(target, st.binary(max_size=120))
def test_any_frame(one, frame):
    one.survive(wrapped(frame, EUI, one.model.codec.port))


@given(target, st.binary(max_size=60))
def test_any_frame_that_begins_well(one, frame):
    """As a device of this model would begin: the head, a block it has."""
    tags = [bytes.fromhex(name) for name in one.model.codec.blocks if one.model.codec.kind == "tlv"]
    begun = bytes.fromhex(one.model.codec.starts).ljust(one.model.codec.head, b"\0") + b"".join(tags[:1])
    one.survive(wrapped(begun + frame, EUI, one.model.codec.port))
    one.survive(begun + frame)


@pytest.mark.parametrize("payload", NASTY.values(), ids=NASTY)
def test_what_has_broken_parsers_before(payload):
    for one in TARGETS:
        one.survive(payload)


@pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda one: one.model.id)
@pytest.mark.parametrize("name", NASTY)
def test_bounds_of_time_and_memory(one, name):
    """The best of three, since other processes want the CPU too; memory beside the payload itself."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        one.survive(NASTY[name])
        spent.append(time.process_time() - began)
    assert min(spent) < 5 * MS
    tracemalloc.start()
    try:
        one.survive(NASTY[name])
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()


@given(st.text(alphabet="raw0123456789.+-*/^(), uint8be16minx", max_size=40))
@example("9" * 200)
@example("raw ^ 6 ^ 6")
def test_any_formula(text):
    """It is a formula or it is not; one that is ends in a number or in arithmetic, never in anything else."""
    try:
        formula = Formula(text)
    except ValueError:
        return
    with contextlib.suppress(ArithmeticError):
        formula(bytes(16_384), 0, {name: 1e300 for name in formula.names})
