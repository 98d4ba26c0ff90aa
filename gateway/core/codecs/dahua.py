"""Dahua event lines: `Code=CrossLineDetection;action=Start;index=0;data={...}`, several in one chunk.

As `eventManager.cgi?action=attach` streams them (then between boundaries and part headers) and as a bridge
posts them. `action` is Start, Stop or Pulse (a moment: it ends by the model's `ends_after`). `data` is a JSON
object over many lines and may be absent. A line `Heartbeat` is an event of that name. Paths of a model:
`event.CrossLineDetection`, `index`, `data.Object.ObjectType`.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.core.codecs import json
from gateway.core.codecs.events import EVENTS_MOST, EventDecoder, Pushed, text_of
from gateway.core.model import Model, PayloadError, Refusal

HEAD_MOST = 16  # words before `data`; cameras send three or four
ACTIONS = {"Start": True, "Pulse": True, "Stop": False}
_BEGIN = re.compile(r"^(?=Code=|Heartbeat\b)", re.MULTILINE)  # JSON texts hold no raw line break
_BOUNDARY = re.compile(r"\r?\n--")


def decoder(model: Model) -> EventDecoder:
    return EventDecoder(model, parse, time="data.UTC", time_unit="s")


def parse(payload: bytes) -> list[Pushed | PayloadError]:
    """The events of a chunk, in its order. Raises PayloadError when there is none."""
    _, *blocks = _BEGIN.split(text_of(payload))
    if not blocks:
        raise PayloadError(Refusal.SYNTAX, reason="no line that begins with Code=")
    if len(blocks) > EVENTS_MOST:
        raise PayloadError(Refusal.OVERSIZE, reason=f"more than {EVENTS_MOST} events")
    return [_event(_BOUNDARY.split(block, maxsplit=1)[0].strip()) for block in blocks]


def _event(block: str) -> Pushed | PayloadError:
    if block.startswith("Heartbeat"):
        return Pushed("Heartbeat", True, {})
    head, _, data = block.partition(";data=")
    said = dict(part.strip().partition("=")[::2] for part in head.split(";", HEAD_MOST))
    kind, action = said.pop("Code"), said.get("action", "")
    try:
        if not kind:
            raise PayloadError(Refusal.MISSING, "Code", "required")
        if action not in ACTIONS:
            raise PayloadError(
                Refusal.TYPE, "action", f"found {json.short(action)}, expected {'|'.join(ACTIONS)}"
            )
        body: dict[str, Any] = {**said, "data": json.parse(data.encode()) if data else {}}
        return Pushed(kind, ACTIONS[action], body)
    except PayloadError as error:
        return error
