"""`webhook`: a signed POST to a system of the street's own.

The receiver should answer 2xx once it has the message safe, check `X-Lilong-Signature`
(sha256 HMAC of timestamp, a full stop and the body) and forget an `Idempotency-Key` it has seen.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable

import msgspec

from gateway.adapters import http
from gateway.channels.base import Answer, Secret, Setup, detail, pause_s
from gateway.core.model import Notification, Told

GROUP = True
SETTINGS = REQUIRED = frozenset({"url"})
SECRETS = frozenset({"secret_file"})
ALREADY_HAS_IT = 409
FOR_NOW = frozenset({408, 425, 429})
TLS_RETRY_S = 30.0  # a certificate does not mend itself within a second


class Webhook:
    """`wall` is Unix seconds: the receiver compares it with its own clock."""

    def __init__(self, site: http.Site, secret: Secret, wall: Callable[[], float] = time.time) -> None:
        self._site, self._secret, self._wall = site, secret, wall
        self._hidden = [secret, *map(Secret, filter(_may_be_key, re.split(r"[/?&=]", site.origin.path)))]

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        body = _body(notification, text, link)
        try:
            reply = self._site.post(self._site.origin.path, body, self._headers(notification.id, body))
        except http.Unreachable as error:
            return Answer(Told.LATER, self._said(str(error)), _wait_s(str(error)))
        except http.Unanswered as error:
            return Answer(Told.UNKNOWN, self._said(str(error)))
        return self._judge(reply)

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._wall()))
        mac = hmac.new(self._secret.reveal().encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "lilong",
            "Idempotency-Key": key,
            "X-Lilong-Timestamp": timestamp,
            "X-Lilong-Signature": f"sha256={mac.hexdigest()}",
        }

    def _judge(self, reply: http.Reply) -> Answer:
        """By the status alone: that is this contract. Only the word in a refusal comes from the body."""
        status = reply.status
        said = self._said(f"{status} {reply.body.decode('utf-8', 'replace')}")
        if 200 <= status < 300 or status == ALREADY_HAS_IT:
            return Answer(Told.ACCEPTED, str(status))
        if status in FOR_NOW or status >= 500:
            return Answer(Told.LATER, said, pause_s(reply.headers))
        if 300 <= status < 400:
            return Answer(Told.REFUSED, f"{status} redirects are not followed: give the final url")
        return Answer(Told.REFUSED, said)

    def _said(self, words: str) -> str:
        return detail(words, *self._hidden)


def _may_be_key(part: str) -> bool:
    """Many services put a key into the path; a part shorter than this could not be one."""
    return len(part) >= 8


def _body(notification: Notification, text: str, link: str) -> bytes:
    return msgspec.json.encode(
        {
            "id": notification.id,
            "case": notification.case,
            "alert": notification.alert,
            "kind": notification.kind,
            "level": notification.level.word,
            "person": notification.person,
            "title": notification.title,
            "text": text,
            "link": link,
            "created_at": _instant(notification.created_ns),
        }
    )


def _instant(wall_ns: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}Z"


def _wait_s(reason: str) -> float:
    return TLS_RETRY_S if reason.startswith("certificate") else 0.0


def build(setup: Setup) -> Webhook:
    try:
        origin = http.Origin.parse(setup.settings["url"])
    except ValueError as error:
        raise ValueError(f"channels.{setup.name}.url: {error}") from None
    return Webhook(http.Site(origin), setup.secret("secret_file"))
