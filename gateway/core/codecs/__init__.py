"""Payload bytes to readings, driven by a device model. One file per codec; a codec is found by its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.codecs import dahua, isapi, keda, waveform
from gateway.core.codecs.chirpstack import ObjectDecoder
from gateway.core.codecs.shapes import JsonDecoder
from gateway.core.codecs.signals import SignalsDecoder
from gateway.core.codecs.struct import StructDecoder
from gateway.core.codecs.tlv import TlvDecoder
from gateway.core.model import Device, Fault, Message, Model, Reading


class Decode(Protocol):
    """What a codec makes of a model.

    Raises PayloadError when nothing of the payload can be believed; a part that cannot be is added to
    `faults` and the rest is used: a text in slot 3 must not hide the smoke.
    """

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]: ...


def _json(model: Model) -> Decode:
    return ObjectDecoder(model) if model.codec.envelope else JsonDecoder(model)


CODECS: dict[str, Callable[[Model], Decode]] = {
    "json": _json,
    "tlv": TlvDecoder,
    "struct": StructDecoder,
    "signals": SignalsDecoder,
    "isapi": isapi.decoder,
    "dahua": dahua.decoder,
    "keda": keda.decoder,
    "waveform": waveform.decoder,
}


@dataclass(frozen=True, slots=True)
class Keys:
    """Which keys a codec's models are written with, by the names of model.py; `needs` are never left out."""

    codec: frozenset[str]
    field: frozenset[str]
    components: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


COMMON = frozenset(
    {
        "quantity",
        "scale",
        "offset",
        "unit",
        "values",
        "required",
        "low",
        "high",
        "stuck_after",
        "spike_window",
        "spike_over",
    }
)  # of a field, by every codec
_HEAD = {"time", "time_unit", "sequence", "identity"}
_FRAME = {"envelope", "port", "starts", "head", "blocks", "history"}
_IN_BLOCK = frozenset({"block", "at", "type", "bits", "formula", "invalid", "unless"})
_CAMERA = Keys(frozenset({*_HEAD, "ignore"}), frozenset({"path"}), needs=frozenset({"fields.path"}))
KEYS: dict[str, Keys] = {  # a kind that is not here takes any
    "json": Keys(
        frozenset({"envelope", "port", *_HEAD}),
        frozenset({"radio", "path", "of"}),
        frozenset({"path", "number"}),
        frozenset({"fields.path", "components.path", "components.number"}),
    ),
    "tlv": Keys(frozenset(_FRAME), _IN_BLOCK | {"radio"}, needs=frozenset({"codec.blocks", "fields.block"})),
    "struct": Keys(
        frozenset({*_FRAME, "flags_at"}),
        _IN_BLOCK | {"radio"},
        needs=frozenset({"codec.blocks", "fields.block"}),
    ),
    "signals": Keys(
        frozenset({*_HEAD, "list", "id_key", "value_key"}),
        frozenset({"signal", "of"}),
        frozenset({"number"}),
        frozenset({"codec.list", "fields.signal"}),
    ),
    "waveform": Keys(
        frozenset({*_HEAD, "wave"}),
        frozenset({"path", "of"}),
        needs=frozenset({"codec.wave", "fields.path"}),
    ),
    **dict.fromkeys(("isapi", "dahua", "keda"), _CAMERA),
}
