"""What every decoder promises for any bytes at all, checked for one payload on one model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gateway.config import load
from gateway.core.codecs import CODECS, Decode
from gateway.core.model import Device, Fault, Message, Model, PayloadError, Refusal
from gateway.tuning.examples import spoken
from tests.payloads import EUI, NASTY

STREET = Path(__file__).parents[2] / "deploy/example/lilong.yaml"
RECEIVED_NS = 1_800_000_000_000_000_000
INT64 = 2**63


@cache
def models() -> dict[str, Model]:
    """Every model that is shipped."""
    world = load(STREET, "en", environ={}).world
    assert world is not None
    return dict(world.models)


class Target:
    """One model's decoder and its device."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.device = Device(
            id="example", model=model.id, at="", topic=f"example/{EUI}", constants=model.constants
        )
        self.decode: Decode = CODECS[model.codec.kind](model)

    def seeds(self) -> Iterator[bytes]:
        """What to begin with: its own examples, and what has broken parsers before."""
        yield from (spoken(self.model, example) for example in self.model.examples)
        yield from NASTY.values()

    def frames(self) -> list[bytes]:
        """The frames among its examples, to be damaged inside their envelope."""
        return [bytes.fromhex(example.frame) for example in self.model.examples if example.frame]

    def survive(self, payload: bytes) -> list[str]:
        """The codes it ended in. AssertionError, or anything else that is raised, is a broken promise."""
        faults: list[Fault] = []
        try:
            readings = self.decode(self.device, Message(self.device.topic, payload), RECEIVED_NS, faults)
        except PayloadError as error:
            assert error.code in Refusal and len(str(error)) < 1_000
            return [str(error.code)]
        known = {field.quantity for field in self.model.fields}
        assert readings, "neither readings nor a code"
        for reading in readings:
            assert reading.values and reading.values.keys() <= known
            assert all(type(value) is float and math.isfinite(value) for value in reading.values.values())
            assert -INT64 <= reading.measured_ns < INT64 and len(reading.sequence) <= 64
        assert all(fault.code in Refusal and len(fault.reason) < 1_000 for fault in faults)
        return [str(fault.code) for fault in faults]
