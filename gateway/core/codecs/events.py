"""What cameras push, event by event: each becomes the object a JSON device would have sent.

An event of type `linedetection` that begins is `{"event": {"linedetection": 1}, ...all else it holds}`, one
that ends says 0 there; a model's fields then map it like any JSON object (`path: event.linedetection`). One
payload may hold many events, of which one that is broken must not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.core.codecs import json
from gateway.core.model import Device, Fault, Message, Model, PayloadError, Reading, Refusal

EVENTS_MOST = 256  # in one payload; a camera sends a handful
EVENT = "event"


@dataclass(frozen=True, slots=True)
class Pushed:
    """One event: its type, whether it is on, and all else it says."""

    kind: str
    on: bool
    body: dict[str, Any]

    def root(self) -> dict[str, Any]:
        return {**self.body, EVENT: {self.kind: int(self.on)}}


Parse = Callable[[bytes], list[Pushed | PayloadError]]


class EventDecoder:
    """The decoder of one model. `parse` raises PayloadError when a payload is none of its kind at all."""

    def __init__(self, model: Model, parse: Parse, time: str, time_unit: str) -> None:
        codec = model.codec
        self._parse, self._fields = parse, json.Parts(model.fields)
        self._time, self._unit = json.keys(codec.time or time), codec.time_unit if codec.time else time_unit
        self._sequence, self._identity = json.keys(codec.sequence), json.keys(codec.identity)
        self._ignored = frozenset(codec.ignore)

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        """Readings in the order of their instants; none at all when every event is one to be ignored."""
        faults = [] if faults is None else faults
        readings: list[Reading] = []
        for found in self._parse(message.payload):
            try:
                if isinstance(found, PayloadError):
                    raise found
                if found.kind not in self._ignored:
                    readings.append(self._read(found, device, message, received_ns, faults))
            except PayloadError as error:
                faults.append(Fault(error.code, error.field, error.reason))
        if faults and not readings:
            raise PayloadError(faults[0].code, faults[0].field, faults[0].reason)
        return _apart(readings)

    def _read(
        self, pushed: Pushed, device: Device, message: Message, received_ns: int, faults: list[Fault]
    ) -> Reading:
        root, flaws = pushed.root(), list[Fault]()
        if self._identity:
            json.check_identity(json.at_path(root, self._identity), device, message)
        values = self._fields.values(root, flaws, "")
        if not values:
            first = flaws[0] if flaws else _unmapped(pushed)
            raise PayloadError(first.code, first.field, first.reason)
        faults += flaws
        measured = json.instant_ns(json.at_path(root, self._time), self._unit)
        sequence = json.as_text(json.at_path(root, self._sequence)) if self._sequence else ""
        return Reading(
            device.id, "", values, measured or received_ns, received_ns, sequence, measured is not None
        )


def check_size(payload: bytes) -> None:
    if len(payload) > json.BYTES_MAX:
        raise PayloadError(Refusal.OVERSIZE, reason=f"{len(payload)} bytes, at most {json.BYTES_MAX}")


def text_of(payload: bytes) -> str:
    """The payload as text. Raises PayloadError when it is no UTF-8, or too long."""
    check_size(payload)
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(Refusal.ENCODING, reason=f"no UTF-8 at byte {error.start}") from None
    if "\0" in text:
        raise PayloadError(Refusal.ENCODING, reason="NUL")
    return text.removeprefix("\ufeff")  # .NET puts a byte order mark before its XML


def _unmapped(pushed: Pushed) -> Fault:
    """What the camera calls it is what a person writing the model must know."""
    kind = json.short(pushed.kind)
    return Fault(
        Refusal.EMPTY, f"{EVENT}.{pushed.kind}"[:80], f"no field maps the event {kind}, nor is it ignored"
    )


def _apart(readings: list[Reading]) -> list[Reading]:
    """By instant; those of one instant a nanosecond apart, so that a start and its stop are two points."""
    readings.sort(key=lambda reading: reading.measured_ns)
    last = 0
    for index, one in enumerate(readings):
        if one.measured_ns <= last:
            readings[index] = _at(one, last + 1)
        last = readings[index].measured_ns
    return readings


def _at(one: Reading, measured_ns: int) -> Reading:
    return Reading(
        one.device, one.component, one.values, measured_ns, one.received_ns, one.sequence, one.timed
    )
