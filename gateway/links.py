"""The links in messages: signed, expiring, each good for one purpose.

A token is urlsafe base64 of a packed (version, case, person, purpose, expiry, nonce) and the first
16 bytes of its HMAC-SHA256. The link in a message only *shows*; the page behind it carries one more
token for each button. So what a chat's link preview fetches can never act.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from gateway import telemetry
from gateway.core.model import SECOND, Notification, Verb

VERSION = 1
MAC_BYTES = 16  # 128 bits: not to be guessed, and short enough for a message
KEY_BYTES_LEAST = 32
TOKEN_CHARACTERS_MOST = 1024  # longer ones are not even looked at
VALID_S = 24 * 3600
SEEN = "."  # stands in no notification's id
_DOMAIN = b"lilong link\0"  # a key used elsewhere too would still make other signatures


class Purpose(StrEnum):
    """What the bearer may do; the acting ones are named like the model's Verb."""

    SHOW = "show"
    ACKNOWLEDGE = "acknowledge"
    DONE = "done"
    FALSE = "false"
    RESET = "reset"
    NOTE = "note"
    TRANSFER = "transfer"
    RETURN = "return"
    SUSPEND = "suspend"
    APPROVE = "approve"
    VERIFY = "verify"
    MERGE = "merge"
    SPLIT = "split"
    REOPEN = "reopen"
    PHOTO = "photo"
    LIST = "list"  # of all that is open for the person: no case of its own
    SHELVE = "shelve"
    OUT_OF_SERVICE = "out_of_service"
    AGREE = "agree"
    UNSHELVE = "unshelve"
    DRILL = "drill"

    @property
    def verb(self) -> Verb | None:
        return None if self in (Purpose.SHOW, Purpose.LIST) else Verb(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who may do what with which case, until when (Unix seconds)."""

    case: str
    person: str
    purpose: Purpose
    expires_s: int
    nonce: str  # the notification's id: tells two links to the same case apart

    def but(self, purpose: Purpose, seen: int = 0) -> Grant:
        """The same for another purpose: how the page makes its buttons.

        A button acts once. `seen` tells the buttons of one page from those of the same page later, when
        more has happened: a second note, or "done" once more after the sensor disagreed, is another press.
        """
        link = self.nonce.partition(SEEN)[0]
        return replace(self, purpose=purpose, nonce=f"{link}{SEEN}{seen}" if seen else link)


class LinkError(Exception):
    """A token is not believed. `expired` is told apart only for tokens that we did sign."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


class Links:
    """Makes and reads tokens. The first key signs, all are believed."""

    def __init__(self, keys: Sequence[bytes], public_url: str = "", valid_s: int = VALID_S) -> None:
        if not keys or any(len(key) < KEY_BYTES_LEAST for key in keys):
            raise ValueError(f"a link key has at least {KEY_BYTES_LEAST} bytes")
        self._keys = tuple(keys)
        self._base, self._valid_s = public_url.rstrip("/"), valid_s

    def show(self, notification: Notification, now_ns: int) -> str:
        """The address to send with a notification: of its case, or of the list that a digest stands for."""
        several = bool(notification.together)
        grant = Grant(
            case="" if several else notification.case,
            person=notification.person,
            purpose=Purpose.LIST if several else Purpose.SHOW,
            expires_s=now_ns // SECOND + self._valid_s,
            nonce=notification.id,
        )
        return f"{self._base}/{'l' if several else 'c'}/{self.token(grant)}"

    def token(self, grant: Grant) -> str:
        body = msgspec.msgpack.encode(
            (VERSION, grant.case, grant.person, grant.purpose, grant.expires_s, grant.nonce)
        )
        return _to_text(body + _mac(self._keys[0], body))

    def read(self, token: str, now_ns: int) -> Grant:
        """What the token grants. Raises LinkError."""
        raw = _from_text(token)
        body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        known = [hmac.compare_digest(_mac(key, body), mac) for key in self._keys]  # all, in constant time
        if not any(known):
            raise LinkError("not signed by us")
        grant = _unpack(body)
        if grant.expires_s <= now_ns // SECOND:
            raise LinkError("expired", expired=True)
        return grant


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, _DOMAIN + body, hashlib.sha256).digest()[:MAC_BYTES]


def _unpack(body: bytes) -> Grant:
    """The fields of a body whose signature was right (so these errors are our own older versions')."""
    try:
        version, case, person, purpose, expires_s, nonce = msgspec.msgpack.decode(
            body, type=tuple[int, str, str, Purpose, int, str]
        )
    except msgspec.DecodeError:
        raise LinkError("of a form we do not know") from None
    if version != VERSION:
        raise LinkError(f"of version {version}")
    return Grant(case=case, person=person, purpose=purpose, expires_s=expires_s, nonce=nonce)


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _from_text(token: str) -> bytes:
    if not token.isascii() or len(token) > TOKEN_CHARACTERS_MOST:
        _malformed()
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        _malformed()
    if len(raw) <= MAC_BYTES or _to_text(raw) != token:  # a second spelling of the same bytes is no token
        _malformed()
    return raw


def _malformed() -> NoReturn:
    raise LinkError("malformed")


# ---------------------------------------------------------------- the keys


def load_keys(path: Path) -> list[bytes]:
    """The keys of a file, one a line, the newest first; a file with one key is made if there is none.

    To change keys: put a new line on top, and take the old one away a day later, when every link
    that it signed has expired. Raises ValueError or OSError.
    """
    if not path.exists():
        _make_key(path)
    lines = path.read_text("ascii").split()
    if not lines or any(len(line) < KEY_BYTES_LEAST for line in lines):
        raise ValueError(f"{path}: expected one key a line, each of {KEY_BYTES_LEAST} characters or more")
    return [line.encode("ascii") for line in lines]


def _make_key(path: Path) -> None:
    """Written aside and renamed: a crash leaves the whole key or none, and never a readable one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle: Any = os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    with handle:
        handle.write(secrets.token_urlsafe(KEY_BYTES_LEAST) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(aside, path)  # unlike a rename it does not replace a key that another start has just made
    except FileExistsError:
        return
    finally:
        aside.unlink()
    telemetry.log("link_key_made", file=str(path))
