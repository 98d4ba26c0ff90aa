"""Hikvision ISAPI: `EventNotificationAlert` as XML or JSON, alone or in a multipart body.

An alert that lasts is repeated every second with eventState active; many models never send inactive, so a
model of this kind wants `ends_after`. What idles sends `videoloss` inactive as its heartbeat (domain.md 3.3).
A model's paths are the names of the elements, without namespaces: `channelID`, `Extensions.serialNumber`.
XML is read by expat with every door shut: no DTD (hence no entities of its own, no external ones), bounded
depth, count and size.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

from gateway.core.codecs import json
from gateway.core.codecs.events import EVENTS_MOST, EventDecoder, Pushed, check_size, text_of
from gateway.core.model import Model, PayloadError, Refusal

ROOT = "EventNotificationAlert"
STATES = {"active": True, "inactive": False}
ELEMENTS_MOST = 2_000  # of one document; an alert with regions and targets has some hundred
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?", re.ASCII)
_CHINESE = re.compile(rb"encoding\s*=\s*[\"'](?:gb2312|gbk|gb18030)[\"']", re.IGNORECASE)


def decoder(model: Model) -> EventDecoder:
    return EventDecoder(model, parse, time="dateTime", time_unit="iso")


def parse(payload: bytes) -> list[Pushed | PayloadError]:
    """The alerts of a payload, in its order. Raises PayloadError when there is none."""
    check_size(payload)
    documents = [part for part in parts(payload) if part[:1] in (b"<", b"{")]
    if not documents:
        raise PayloadError(Refusal.SYNTAX, reason=f"no {ROOT}, neither XML nor JSON")
    return [_alert(document) for document in documents]


def parts(payload: bytes) -> list[bytes]:
    """The bodies of a multipart payload, which shows itself by its first line; else the payload itself.

    Raises PayloadError when there are more than any camera sends.
    """
    body = payload.removeprefix(b"\xef\xbb\xbf").strip()
    if not body.startswith(b"--"):
        return [body]
    delimiter = b"\n" + body.partition(b"\n")[0].strip()
    _, *found = (b"\n" + body).split(delimiter, EVENTS_MOST + 2)  # the last is what ends them all
    if len(found) > EVENTS_MOST + 1:
        raise PayloadError(Refusal.OVERSIZE, reason=f"more than {EVENTS_MOST} alerts")
    return [_without_head(part) for part in found]


def _without_head(part: bytes) -> bytes:
    """What follows the empty line after a part's headers."""
    found = re.search(rb"\r?\n\r?\n", part)
    return part[found.end() :].strip() if found else b""


def _alert(document: bytes) -> Pushed | PayloadError:
    try:
        body = parse_xml(document) if document[:1] == b"<" else _unwrapped(json.parse(document))
        kind, state = body.get("eventType"), body.get("eventState")
        if not isinstance(kind, str) or not kind:
            raise PayloadError(Refusal.MISSING, "eventType", "required")
        if not isinstance(state, str) or state not in STATES:
            raise PayloadError(
                Refusal.TYPE, "eventState", f"found {json.short(state)}, expected {'|'.join(STATES)}"
            )
        return Pushed(kind, STATES[state], body)
    except PayloadError as error:
        return error


def _unwrapped(found: dict[str, Any]) -> dict[str, Any]:
    inner = found.get(ROOT)
    return inner if isinstance(inner, dict) else found


# ---------------------------------------------------------------- XML to an object


def parse_xml(document: bytes) -> dict[str, Any]:
    """The children of an alert's root element: texts, numbers, objects, and lists where a name comes again.

    Raises PayloadError: ENCODING, SYNTAX, DEPTH, OVERSIZE, TYPE (another root).
    """
    if _CHINESE.search(document[:200]):
        document = document.decode("gb18030", "replace").encode()
    tree = _Tree()
    try:
        tree.read(text_of(document).encode())
    except expat.ExpatError as error:
        raise PayloadError(Refusal.SYNTAX, reason=str(error)[:120]) from None
    name, root = tree.root
    if name != ROOT or not isinstance(root, dict):
        raise PayloadError(Refusal.TYPE, reason=f"found {json.short(name)}, expected {ROOT}")
    return root


class _Tree:
    """What expat reports, put together; refuses whatever could grow beyond what was sent."""

    def __init__(self) -> None:
        self.root: tuple[str, Any] = ("", None)
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []  # name, children, text
        self._count = 0

    def read(self, document: bytes) -> None:
        parser = expat.ParserCreate("utf-8")  # whatever the document claims: it has been decoded
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.Parse(document, True)

    def _refuse(self, *_: Any) -> int:
        raise PayloadError(Refusal.SYNTAX, reason="a DTD or an entity of its own")

    def _begin(self, name: str, _: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MOST:
            raise PayloadError(Refusal.OVERSIZE, reason=f"more than {ELEMENTS_MOST} elements")
        if len(self._open) >= json.DEPTH_MAX:
            raise PayloadError(Refusal.DEPTH, reason=f"more than {json.DEPTH_MAX} levels")
        self._open.append((name.rpartition(":")[2], {}, []))

    def _text(self, text: str) -> None:
        self._open[-1][2].append(text)

    def _end(self, _: str) -> None:
        name, children, texts = self._open.pop()
        value = children or _value("".join(texts).strip())
        if not self._open:
            self.root = (name, value)
            return
        around = self._open[-1][1]
        if name not in around:
            around[name] = value
        elif type(around[name]) is list:
            around[name].append(value)
        else:
            around[name] = [around[name], value]


def _value(text: str) -> str | int | float:
    """A number where the text is one and loses nothing by it (a serial number keeps its zeros)."""
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)
