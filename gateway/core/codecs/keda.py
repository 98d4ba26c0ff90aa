"""Keda-style pushes: one JSON object a post, `EventType` names what it is and nothing says that it is over.

While an e-bike is in the car `EBike` is posted again and again (`ReportCount`), the boxes in `EBikeInfo`;
`HeartBeat` between them. The path of the model is `event.EBike`; it wants `ends_after`. The answer that the
camera waits for, {"ReturnCode":0}, is the intake's (gateway/web/intake.py).
"""

from __future__ import annotations

from gateway.core.codecs import json
from gateway.core.codecs.events import EventDecoder, Pushed, check_size
from gateway.core.model import Model, PayloadError, Refusal


def decoder(model: Model) -> EventDecoder:
    return EventDecoder(model, parse, time="LocalTime", time_unit="iso")


def parse(payload: bytes) -> list[Pushed | PayloadError]:
    """The one event of a push; one whose list of findings is empty is over."""
    check_size(payload)
    body = json.parse(payload)
    kind = body.get("EventType")
    if not isinstance(kind, str) or not kind:
        raise PayloadError(Refusal.MISSING, "EventType", "required")
    return [Pushed(kind, body.get(f"{kind}Info") != [], body)]
