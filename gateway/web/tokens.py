"""Who may post: for each device a token, or a key it signs with. Compared in constant time, told to nobody.

One line for each: `DEVICE token SECRET` or `DEVICE hmac SECRET`, # begins a remark. A device may have two
lines while its secret is being changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.requests import Request

from gateway import telemetry
from gateway.typed import IDENTIFIER

SECRET_CHARACTERS_MIN = 16
TIMESTAMP, SIGNATURE = "x-lilong-timestamp", "x-lilong-signature"
NOBODY = secrets.token_bytes(32)  # compared with where there is nothing to compare with


@dataclass(frozen=True, slots=True)
class Secret:
    kind: Literal["token", "hmac"]
    value: bytes


Secrets = Mapping[str, tuple[Secret, ...]]  # device -> its secrets


def parse_secrets(text: str) -> tuple[Secrets, list[tuple[int, str]]]:
    """The secrets of a file, and (line, why) of each other line; no secret is repeated."""
    found: dict[str, tuple[Secret, ...]] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or words[1] not in ("token", "hmac") or not re.fullmatch(IDENTIFIER, words[0]):
            wrong.append((number, "expected: DEVICE token|hmac SECRET"))
        elif len(words[2]) < SECRET_CHARACTERS_MIN:
            wrong.append((number, f"a secret of fewer than {SECRET_CHARACTERS_MIN} characters"))
        else:
            kind: Literal["token", "hmac"] = "hmac" if words[1] == "hmac" else "token"
            found[words[0]] = (*found.get(words[0], ()), Secret(kind, words[2].encode()))
    return found, wrong


def load_secrets(path: Path) -> Secrets:
    """Those of the file; what is unusable in it, or that there is none, is said in the log."""
    try:
        found, wrong = parse_secrets(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        hint = "no device can post until it is there and ours to read"
        telemetry.log("intake_tokens_unusable", "error", file=path, error=type(error).__name__, hint=hint)
        return {}
    for number, why in wrong:
        telemetry.log("intake_tokens_unusable", "error", file=f"{path}:{number}", reason=why)
    return found


# ---------------------------------------------------------------- one request


@dataclass(slots=True)
class Proof:
    """That a request is who it says it is: at once by a token, or once its whole body has been seen.

    `timestamp_s` is the instant of a signature, 0 for a token.
    """

    timestamp_s: int = 0
    signature: bytes = b""
    macs: tuple[hmac.HMAC, ...] = ()

    def add(self, chunk: bytes) -> None:
        for mac in self.macs:
            mac.update(chunk)

    def holds(self) -> bool:
        return not self.macs or any([_same(mac.digest(), self.signature) for mac in self.macs])


def prove(request: Request, known: tuple[Secret, ...], now_s: float, window_s: float) -> Proof | None:
    """What a request has to show for itself; None when it is not enough, whatever was wrong with it."""
    keys = [secret.value for secret in known if secret.kind == "hmac"]
    if SIGNATURE in request.headers:
        return _signed(request, keys, now_s, window_s)
    tokens = [secret.value for secret in known if secret.kind == "token"] or [NOBODY]
    given = list(_given(request))
    right = [_same(one, token) for one in given for token in tokens]  # all of them: no early way out
    return Proof() if any(right) else None


def brings(request: Request) -> bool:
    """Whether it shows anything at all: a camera asks without, to learn that it must."""
    return SIGNATURE in request.headers or any(_given(request))


def _signed(request: Request, keys: list[bytes], now_s: float, window_s: float) -> Proof | None:
    stamp = request.headers.get(TIMESTAMP, "")
    said = request.headers[SIGNATURE].removeprefix("sha256=")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or abs(now_s - int(stamp)) > window_s:
        return None
    try:
        signature = bytes.fromhex(said)
    except ValueError:
        return None
    macs = tuple(hmac.new(key, f"{stamp}.".encode(), hashlib.sha256) for key in keys or [NOBODY])
    return Proof(int(stamp), signature, macs)


def _given(request: Request) -> Iterator[bytes]:
    """The tokens a request brings: Bearer, the password of Basic, or (what can no better) ?token=."""
    kind, _, rest = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        yield rest.strip().encode()
    elif kind.lower() == "basic":
        try:
            yield base64.b64decode(rest, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            yield b""
    yield request.query_params.get("token", "").encode("utf-8", "replace")


def _same(given: bytes, expected: bytes) -> bool:
    """In a time that depends on neither."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())
