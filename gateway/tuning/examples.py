"""Device models' own tests: payloads, and what they must decode to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.core.codecs import CODECS
from gateway.core.model import Device, Example, Fault, Message, Model, PayloadError, Reading, Refusal
from gateway.core.units import QUANTITIES

DEVICE, TOPIC = "example", "example/24e124713d004a11"  # who an example's payload may say it comes from
RECEIVED_NS = 1_800_000_000_000_000_000  # for payloads without an instant of their own; any will do


def missed(model: Model, example: Example) -> str:
    """Why an example failed, as people read it; "" when it decodes to what it says."""
    readings, code = decoded(model, example.payload)
    wanted = [_wanted(reading) for reading in example.readings]
    if (readings, code) == (wanted, example.error):
        return ""
    return f"found {_shown(readings, code)}, expected {_shown(wanted, example.error)}"


def decoded(model: Model, payload: str) -> tuple[list[dict[str, Any]], str]:
    """A payload's readings as an example writes them, and the code of its first flaw."""
    faults: list[Fault] = []
    try:
        readings = decode(model, Device(id=DEVICE, model=model.id, at="", topic=TOPIC), payload, faults)
    except PayloadError as error:
        return [], str(error.code)
    found = [
        {"component": one.component, **({"measured_at": one.measured_ns // 1000} if one.timed else {})}
        | one.values
        for one in readings
    ]
    return found, str(faults[0].code) if faults else ""


def decode(model: Model, device: Device, payload: str, faults: list[Fault]) -> list[Reading]:
    """What the gateway would believe of a payload of that device; the rest is in `faults`.

    Raises PayloadError when nothing of it can be believed.
    """
    message = Message(device.topic or TOPIC, payload.encode("utf-8", "surrogateescape"))
    readings = [
        replace_values(one, faults)
        for one in CODECS[model.codec.kind](model)(device, message, RECEIVED_NS, faults)
    ]
    believed = [one for one in readings if one.values]
    if not believed:
        raise PayloadError(faults[0].code, faults[0].field, faults[0].reason)
    return believed
