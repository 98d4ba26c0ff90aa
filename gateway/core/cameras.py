"""What is said to a camera and by it: a request for a picture, and the address under which that lies.

`snapshot` is the only thing a rule can have a device do, so the words of the request are written here and
nowhere in a file: whatever topic a model names, nothing else can be said on it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.core.codecs.json import at_path, keys
from gateway.core.model import OWN, POSTED, Device, Level, Model, Snapshot

REF_MOST = 500  # characters
ID, REF = "id", "snapshot_ref"  # keys of a camera's answer, a JSON object
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what a payload may do to a parser

# No name and password in it, nothing that ends an attribute, a line or a log field.
_REF = re.compile(
    r"https?://(?P<host>[0-9A-Za-z](?:[0-9A-Za-z.-]{0,251}[0-9A-Za-z])?|\[[0-9A-Fa-f:]{2,39}\])"
    r"(?::[0-9]{1,5})?(?:[/?][0-9A-Za-z._~:/?#\[\]@!$&()*+,;=%-]*)?"
)


def topics(model: Model, device: Device) -> tuple[str, str] | None:
    """Where a device is asked, and where it answers; None when it cannot be asked: its model has no
    `snapshot`, it posts, or a + leaves open where it listens.
    """
    if model.snapshot is None or "+" in device.topic or device.topic.startswith((POSTED, OWN)):
        return None
    above = device.topic.rpartition("/")[0]
    ask, answer = (
        one.replace("{topic}", device.topic).replace("{above}", above)
        for one in (model.snapshot.ask, model.snapshot.answer)
    )
    return ask, answer


def request(snapshot: Snapshot) -> bytes:
    """All that is ever said to a camera."""
    return msgspec.json.encode({"request": "snapshot", ID: snapshot.id})


def request_id(alert: str, level: Level) -> str:
    return f"{alert}-{level.word}"


def host_of(ref: str) -> str:
    """Whose address it is; "" when it is none that may be shown to people."""
    found = _REF.fullmatch(ref) if len(ref) <= REF_MOST else None
    return found["host"] if found else ""


def shown(snapshot: Snapshot, now_ns: int) -> str:
    """The picture's address while it may be shown, else nothing."""
    return snapshot.ref if now_ns < snapshot.expires_ns else ""


def texts_in(payload: bytes, *paths: str) -> tuple[str, ...]:
    """The texts at dotted paths of a JSON object; "" for each that is not there, or is none."""
    try:
        whole: Any = msgspec.json.decode(payload)
    except UNREADABLE:
        whole = None
    found = (at_path(whole, keys(path)) for path in paths)
    return tuple(text if isinstance(text, str) else "" for text in found)
