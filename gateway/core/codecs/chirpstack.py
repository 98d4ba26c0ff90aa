"""The envelope of LoRaWAN: ChirpStack `up` events, version 4 or 3, told apart by their keys.

What it holds is an `object` (the device profile decoded the frame) or the frame itself, as base64 `data`.
A field at its default is left out (no fCnt means 0, no fPort means 0), `time` has nanoseconds, and two
gateways hearing one frame share a `deduplicationId` (domain.md 3.1). Version 3 has neither: its frame counter
counts within one session (devAddr), `devEUI` is hex or base64, `object` may be a text of JSON (`objectJSON`),
and when it was said is `publishedAt`, or what the gateway that heard it says.
"""

from __future__ import annotations

import binascii
import json as stdlib_json
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from gateway.core.codecs.json import (
    BYTES_MAX,
    EXACT,
    Head,
    Part,
    as_text,
    at_path,
    check_identity,
    instant_ns,
    keys,
    parse,
    short,
)
from gateway.core.codecs.shapes import JsonDecoder
from gateway.core.model import Device, Fault, Message, Model, PayloadError, Reading, Refusal

NAME = "chirpstack"
OBJECT = "object"
NO_OBJECT = "the device profile in ChirpStack has no codec"


class _Info(msgspec.Struct, gc=False):
    devEui: str | None = None


class _Event(msgspec.Struct, gc=False):
    """Of a version 4 event, what a frame needs."""

    deviceInfo: _Info
    data: str
    time: str | None = None
    deduplicationId: str = ""
    fPort: int = 0


class _Heard(msgspec.Struct, gc=False):
    """One gateway that heard the frame; a zero is left out."""

    rssi: float = 0.0
    snr: float = 0.0


class _HeardEvent(_Event, gc=False):
    rxInfo: list[_Heard] = []


RADIO = ("rssi", "snr")
Values = dict[str, float]  # of the radio: quantity -> value
_quick = msgspec.json.Decoder(_Event).decode
_quick_heard = msgspec.json.Decoder(_HeardEvent).decode


class Envelope:
    """Opens the events of one model's devices."""

    def __init__(self, model: Model) -> None:
        codec = model.codec
        self.port = codec.port
        self.radio = [(Part(field), field.radio) for field in model.fields if field.radio]
        self._read: Callable[[bytes], _Event] = _quick_heard if self.radio else _quick
        self.time, self.time_unit = keys(codec.time), codec.time_unit
        self.sequence, self.identity = keys(codec.sequence), keys(codec.identity)

    def frame(self, device: Device, message: Message, received_ns: int) -> tuple[bytes, Head, Values]:
        """The bytes that the device sent. Raises PayloadError."""
        event = _read_quickly(message.payload, self._read)
        if event is None:
            return self._frame_of(parse(message.payload), device, message, received_ns)
        self._check(event.fPort, None if self.identity else event.deviceInfo.devEui, device, message)
        measured = instant_ns(event.time, "iso")
        head = (measured or received_ns, received_ns, event.deduplicationId[:64], measured is not None)
        return _bytes(event.data), head, self._heard(event) if self.radio else {}

    def _heard(self, event: _Event) -> Values:
        """As the gateway heard it that heard it best."""
        heard = event.rxInfo if isinstance(event, _HeardEvent) else []
        if not heard:
            return {}
        best = heard[0] if len(heard) == 1 else max(heard, key=attrgetter("rssi"))
        return {part.name: part.canonical(getattr(best, what)) for part, what in self.radio}

    def _frame_of(
        self, root: dict[str, Any], device: Device, message: Message, received_ns: int
    ) -> tuple[bytes, Head, Values]:
        head = self._head(root, device, message, received_ns)
        data = root.get("data")
        if data is None:
            raise PayloadError(Refusal.MISSING, "data", "an event without a frame")
        if type(data) is not str:
            raise PayloadError(Refusal.TYPE, "data", f"found {short(data)}, expected a text")
        return _bytes(data), head, self._heard_of(root)

    def object(
        self, device: Device, message: Message, received_ns: int
    ) -> tuple[dict[str, Any], Head, Values]:
        """What the device profile made of the frame. Raises PayloadError."""
        root = parse(message.payload)
        found = root.get(OBJECT)
        if found is None and type(root.get("objectJSON")) is str:
            found = parse(root["objectJSON"].encode("utf-8", "surrogatepass"))
        if type(found) is not dict:
            raise PayloadError(Refusal.MISSING, OBJECT, NO_OBJECT)
        return found, self._head(root, device, message, received_ns, found), self._heard_of(root)

    def _heard_of(self, root: dict[str, Any]) -> Values:
        """The same from a plain object, of either version; what is no number there is passed over."""
        said = root.get("rxInfo") if self.radio else None
        heard = [_gateway(one) for one in said if type(one) is dict] if type(said) is list else []
        best = max(heard, key=itemgetter("rssi"), default=None)
        return {part.name: part.canonical(best[what]) for part, what in self.radio} if best else {}

    def _head(
        self,
        root: dict[str, Any],
        device: Device,
        message: Message,
        received_ns: int,
        inside: dict[str, Any] | None = None,
    ) -> Head:
        """Who, when and which, by the envelope, unless the model names a path inside the object."""
        third = "devEUI" in root
        claimed = _eui(root["devEUI"]) if third else at_path(root, ("deviceInfo", "devEui"))
        claimed = at_path(inside, self.identity) if self.identity else claimed
        self._check(root.get("fPort", 0), claimed, device, message)
        said, unit = _said_at(root) if third else root.get("time"), "iso"
        if self.time:
            said, unit = at_path(inside, self.time), self.time_unit
        sequence = _counter(root) if third else root.get("deduplicationId")
        sequence = at_path(inside, self.sequence) if self.sequence else sequence
        measured = instant_ns(said, unit)
        return measured or received_ns, received_ns, as_text(sequence), measured is not None

    def _check(self, port: Any, claimed: Any, device: Device, message: Message) -> None:
        check_identity(claimed, device, message)
        if self.port and port != self.port:
            reason = f"found {short(port)}, this model's frames come on {self.port}"
            raise PayloadError(Refusal.EMPTY, "fPort", reason)


class ObjectDecoder:
    """The json codec inside the envelope: paths of the model begin in `object`."""

    def __init__(self, model: Model) -> None:
        self._unwrap = Envelope(model).object
        self._inner = JsonDecoder(replace(model, fields=tuple(f for f in model.fields if not f.radio)))

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        root, head, heard = self._unwrap(device, message, received_ns)
        readings = self._inner.readings(device, root, head, [] if faults is None else faults)
        if heard and not readings[0].component:
            readings[0].values.update(heard)
        return readings


def wrapped(frame: bytes, eui: str, port: int = 0) -> bytes:
    """The smallest version 4 event that holds a frame: for examples, and for a frame typed by hand."""
    data = binascii.b2a_base64(frame, newline=False).decode()
    event = {"deviceInfo": {"devEui": eui}, "fPort": port, "data": data}
    return stdlib_json.dumps(event).encode()


# ---------------------------------------------------------------- the two versions


def _read_quickly(payload: bytes, read: Callable[[bytes], _Event]) -> _Event | None:
    """A version 4 event whose keys plainly stand there once; None says no more than: look closer."""
    if len(payload) > BYTES_MAX or b"\\" in payload or _twice(payload.count):
        return None
    try:
        payload.isascii() or payload.decode()
        return read(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _twice(count: Callable[[bytes], int]) -> bool:
    """Whether a key that we read may stand twice (or in a text: the strict parser will tell)."""
    return (
        count(b'"data"') > 1
        or count(b'"deviceInfo"') > 1
        or count(b'"time"') > 1
        or count(b'"devEui"') > 1
        or count(b'"fPort"') > 1
        or count(b'"deduplicationId"') > 1
    )


def _eui(raw: Any) -> Any:
    """devEUI of version 3: hex, or the base64 of its eight bytes."""
    if type(raw) is not str or len(raw) != 12:
        return raw.lower() if type(raw) is str else raw
    try:
        return binascii.a2b_base64(raw, strict_mode=True).hex()
    except ValueError:
        return raw


def _gateway(one: dict[str, Any]) -> dict[str, float]:
    """What a gateway says of the radio; version 3 calls it loRaSNR."""
    found = {"rssi": one.get("rssi", 0), "snr": one.get("snr", one.get("loRaSNR", 0))}
    return {
        what: float(raw) if type(raw) in (int, float) and abs(raw) < EXACT else 0.0
        for what, raw in found.items()
    }


def _said_at(root: dict[str, Any]) -> Any:
    heard = root.get("rxInfo")
    first = heard[0] if type(heard) is list and heard and type(heard[0]) is dict else {}
    return root.get("publishedAt") or first.get("time")


def _counter(root: dict[str, Any]) -> str:
    """A session's frame counter: it begins again at 0 with another devAddr."""
    return f"{short(root.get('devAddr', ''))}/{short(root.get('fCnt', 0))}"


def _bytes(data: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise PayloadError(Refusal.ENCODING, "data", "no base64") from None
