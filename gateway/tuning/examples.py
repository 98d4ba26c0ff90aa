"""What a device model makes of a payload; and the examples inside it, which are the model's own tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from gateway.core.calibration import corrected
from gateway.core.codecs import CODECS, KEYS, chirpstack
from gateway.core.model import (
    Calibration,
    Device,
    Example,
    Fault,
    Message,
    Model,
    PayloadError,
    Reading,
    Refusal,
)
from gateway.core.units import QUANTITIES

DEVICE, TOPIC = "example", "example/24e124713d004a11"  # who an example's payload may say it comes from
NOWHERE = "\0"  # a path that no payload has
RECEIVED_NS = 1_800_000_000_000_000_000  # for payloads without an instant of their own; any will do


@dataclass(frozen=True, slots=True)
class Understood:
    """The readings that the gateway would believe, and what it would put into quarantine."""

    readings: list[Reading]
    faults: list[Fault]


def understand(
    model: Model,
    payload: str | bytes,
    device: Device | None = None,
    calibrations: Sequence[Calibration] = (),
) -> Understood:
    """What a payload of that device (else: of an example) means. Never raises for a payload.

    A frame may be given in hex, as manuals print it: it is put into the model's envelope.
    """
    faults: list[Fault] = []
    speaker = device or Device(id=DEVICE, model=model.id, at="", topic=TOPIC, constants=model.constants)
    if isinstance(payload, str):
        frame = _hex(payload) if takes_frames(model) else None
        text = payload.encode("utf-8", "surrogateescape")
        payload = text if frame is None else enveloped(model, frame, speaker.id)
    message = Message(speaker.topic, payload)
    try:
        decode = corrected(CODECS[model.codec.kind](model), calibrations)
        readings = decode(speaker, message, RECEIVED_NS, faults)
    except PayloadError as error:
        return Understood([], [Fault(error.code, error.field, error.reason)])
    possible = [_possible(reading, faults) for reading in readings]
    return Understood([reading for reading in possible if reading.values], faults)


def spoken(model: Model, example: Example) -> bytes:
    """The bytes of an example's message."""
    if example.frame:
        return enveloped(model, bytes.fromhex(example.frame), DEVICE)
    return example.payload.encode()


def takes_frames(model: Model) -> bool:
    """Whether its codec reads bytes, not texts."""
    return model.codec.kind in KEYS and "block" in KEYS[model.codec.kind].field


def enveloped(model: Model, frame: bytes, speaker: str) -> bytes:
    """A frame as the model's devices are heard."""
    return chirpstack.wrapped(frame, speaker, model.codec.port) if model.codec.envelope else frame


def _hex(payload: str) -> bytes | None:
    try:
        return bytes.fromhex(payload)
    except ValueError:
        return None


def anybodys(model: Model) -> Model:
    """The model, believing whoever a payload says it is from: for one that was caught in the field."""
    return replace(model, codec=replace(model.codec, identity=NOWHERE))


def missed(model: Model, example: Example) -> str:
    """Why an example failed, as people read it; "" when it decodes to what it says."""
    understood = understand(model, spoken(model, example))
    found = [_as_written(reading) for reading in understood.readings]
    wanted = [_normal(reading) for reading in example.readings]
    code = str(understood.faults[0].code) if understood.faults else ""
    if (found, code) == (wanted, example.error):
        return ""
    return f"found {_shown(found, code)}, expected {_shown(wanted, example.error)}"


def _possible(reading: Reading, faults: list[Fault]) -> Reading:
    """Without the values that cannot physically be; the engine refuses them in the same words."""
    values = dict(reading.values)
    for name, value in reading.values.items():
        quantity = QUANTITIES[name]
        if not quantity.low <= value <= quantity.high:
            reason = f"found {value:g}, expected {quantity.low:g}..{quantity.high:g} {quantity.unit}"
            faults.append(Fault(Refusal.RANGE, name, reason))
            del values[name]
    return msgspec.structs.replace(reading, values=values)


def _as_written(reading: Reading) -> dict[str, Any]:
    measured = {"measured_at": reading.measured_ns // 1000} if reading.timed else {}
    history = {"history": True} if reading.history else {}
    return {"component": reading.component, **measured, **history, **reading.values}


def _normal(reading: Mapping[str, Any]) -> dict[str, Any]:
    """An example's reading as `_as_written` gives it: its instant in microseconds, UTC."""
    entry = {"component": "", **reading}
    if "measured_at" in entry:
        instant = datetime.fromisoformat(entry["measured_at"])
        entry["measured_at"] = int(instant.timestamp()) * 10**6 + instant.microsecond
    return entry


def _shown(readings: list[dict[str, Any]], code: str) -> str:
    said = ["{" + ", ".join(f"{k}: {v}" for k, v in one.items() if v != "") + "}" for one in readings]
    return f"[{', '.join(said)}]" + (f" and {code}" if code else "")
