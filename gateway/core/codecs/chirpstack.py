"""ChirpStack v4 `up` events: protobuf-JSON whose `object` holds what the device profile's codec decoded.

A field at its default is left out (no fCnt means 0), `time` has nanoseconds, `object` is missing when the
profile has no codec, and two gateways hearing one frame share a `deduplicationId` (domain.md 3.1).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.core.codecs import json
from gateway.core.model import Components, Field, Model

OBJECT = "object"


def decoder(model: Model) -> json.JsonDecoder:
    """The json codec, told where an `up` event keeps things."""
    envelope = replace(
        model.codec,
        time=model.codec.time or "time",
        sequence=model.codec.sequence or "deduplicationId",
        identity=model.codec.identity or "deviceInfo.devEui",
    )
    return json.JsonDecoder(
        replace(
            model,
            codec=envelope,
            fields=tuple(_inside(field) for field in model.fields),
            components=tuple(_inside_list(part) for part in model.components),
        ),
        needs=OBJECT,
        needs_hint="the device profile in ChirpStack has no codec",
    )


def _inside(field: Field) -> Field:
    return field if field.of else replace(field, path=f"{OBJECT}.{field.path}")


def _inside_list(part: Components) -> Components:
    return replace(part, path=f"{OBJECT}.{part.path}")
