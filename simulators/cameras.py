"""How cameras write what they see: Hikvision's alerts, Dahua's event lines, Keda's pushes.

And what one of ours says when it is asked for a picture.

A Hikvision or Keda camera never says that something is over, it only stops saying that it is there: so what
is 0 is left out, but for the heartbeat. Dahua says both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from gateway.core.cameras import ID, REF, texts_in
from gateway.core.model import SECOND, Field, Model

EVENT = "event."
REPEAT_S: Mapping[str, float] = {"isapi": 1.0, "keda": 2.0}  # how often what lasts is said again
BOUNDARY = "boundary"
NOWHERE = "https://camera.invalid"  # RFC 2606: that top level is never given to anybody


def isapi(model: Model, values: Mapping[str, float], stamp: str, measured_ns: int) -> bytes:
    """The alerts that are on, else the heartbeat; more than one in a multipart body."""
    more = {field.path: values[field.quantity] / field.scale for field in _others(model, values)}
    on = [name for name, value in _events(model, values) if value] or ["videoloss"]
    alerts = [_alert(name, name != "videoloss", stamp, more) for name in on]
    if len(alerts) == 1:
        return alerts[0].encode()
    head = f"--{BOUNDARY}\r\nContent-Type: application/xml\r\n\r\n"
    return (head + f"\r\n{head}".join(alerts) + f"\r\n--{BOUNDARY}--\r\n").encode()


def _alert(name: str, on: bool, stamp: str, more: Mapping[str, float]) -> str:
    body = f"<dateTime>{stamp}</dateTime><activePostCount>{int(on)}</activePostCount>"
    body += f"<eventType>{escape(name)}</eventType><eventState>{'active' if on else 'inactive'}</eventState>"
    for path, value in more.items() if on else ():
        opened = "".join(f"<{key}>" for key in path.split("."))
        closed = "".join(f"</{key}>" for key in reversed(path.split(".")))
        body += f"{opened}{round(value, 3):g}{closed}"
    return f"<EventNotificationAlert>{body}</EventNotificationAlert>"


def dahua(model: Model, values: Mapping[str, float], stamp: str, measured_ns: int) -> bytes:
    """A line for each event the model knows, Start or Stop; `Heartbeat` is a line of its own."""
    data = json.dumps({"UTC": round(measured_ns / SECOND, 3)})
    lines = [
        f"Code={name};action={'Start' if value else 'Stop'};index=0;data={data}"
        for name, value in _events(model, values)
        if name != "Heartbeat"
    ]
    return "\r\n".join([*lines, "Heartbeat"]).encode()


def keda(model: Model, values: Mapping[str, float], stamp: str, measured_ns: int) -> bytes:
    """The first event that is on, else the heartbeat: it has one of them in a push."""
    on = [name for name, value in _events(model, values) if value and name != "HeartBeat"]
    root: dict[str, Any] = {"EventType": on[0] if on else "HeartBeat", "LocalTime": stamp}
    return json.dumps(root | ({f"{on[0]}Info": [{"RegionId": 0}]} if on else {})).encode()


def _events(model: Model, values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for field in model.fields:
        if field.path.startswith(EVENT) and field.quantity in values:
            yield field.path.removeprefix(EVENT), values[field.quantity]


def _others(model: Model, values: Mapping[str, float]) -> list[Field]:
    return [f for f in model.fields if not f.path.startswith(EVENT) and f.quantity in values]


def answer(asked: bytes) -> bytes:
    """Where the picture lies that a request wants: an address that opens nowhere, for nothing was taken.
    Empty when it is no request.
    """
    (name,) = texts_in(asked, ID)
    return json.dumps({ID: name, REF: f"{NOWHERE}/{name}.jpg"}).encode() if name else b""


CAMERAS: Mapping[str, Callable[[Model, Mapping[str, float], str, int], bytes]] = {
    "isapi": isapi,
    "dahua": dahua,
    "keda": keda,
}
