"""`webhook`: a signed POST to a system of the street's own.

The receiver should answer 2xx once it has the message safe, check `X-Lilong-Signature`
(sha256 HMAC of timestamp, a full stop and the body) and forget an `Idempotency-Key` it has seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import msgspec

from gateway.adapters import http
from gateway.channels import signers
from gateway.channels.base import Answer, Secret, Setup, detail, pause_s
from gateway.core.changes import instant
from gateway.core.model import Notification, Told

GROUP = True
SETTINGS = REQUIRED = frozenset({"url"})
SECRETS = frozenset({"secret_file"})
ALREADY_HAS_IT = 409
FOR_NOW = frozenset({408, 425, 429})
TLS_RETRY_S = 30.0  # a certificate does not mend itself within a second


class Endpoint:
    """A system of the street's own, spoken to under a shared secret: by this channel, and by `outward`.

    `wall` is Unix seconds: the receiver compares it with its own clock.
    """

    def __init__(self, site: http.Site, secret: Secret, wall: Callable[[], float] = time.time) -> None:
        self._site, self._secret, self._wall = site, secret, wall
        self._hidden = [secret, *map(Secret, filter(_may_be_key, re.split(r"[/?&=]", site.origin.path)))]

    def post(self, key: str, body: bytes) -> http.Reply:
        """One signed POST of JSON; `key` makes a second one recognisable. Raises as Site.post does."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Idempotency-Key": key,
            **self._signed(body),
        }
        return self._site.post(self._site.origin.path, body, headers)

    def get(self, query: str) -> http.Reply:
        """One signed GET. Raises as Site.get does."""
        path = self._site.origin.path
        path += f"{'&' if '?' in path else '?'}{query}"
        return self._site.get(path, self._signed(path.encode()))

    def reach(self) -> float | None:
        """As Site.reach."""
        return self._site.reach()

    def said(self, words: str) -> str:
        """The far side's words, fit to be shown."""
        return detail(words, *self._hidden)

    def close(self) -> None:
        self._site.close()

    def _signed(self, said: bytes) -> dict[str, str]:
        timestamp = str(int(self._wall()))
        return {
            "User-Agent": "lilong",
            "X-Lilong-Timestamp": timestamp,
            "X-Lilong-Signature": signers.lilong(self._secret.reveal(), timestamp, said),
        }


class Webhook:
    """Tells an endpoint what a person is told."""

    def __init__(self, site: http.Site, secret: Secret, wall: Callable[[], float] = time.time) -> None:
        self._endpoint = Endpoint(site, secret, wall)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        said = self._endpoint.said
        try:
            reply = self._endpoint.post(notification.id, _body(notification, text, link))
        except http.Unreachable as error:
            return Answer(Told.LATER, said(str(error)), _wait_s(str(error)))
        except http.Unanswered as error:
            return Answer(Told.UNKNOWN, said(str(error)))
        return self._judge(reply)

    def _judge(self, reply: http.Reply) -> Answer:
        """By the status alone: that is this contract. Only the word in a refusal comes from the body."""
        status = reply.status
        said = self._endpoint.said(f"{status} {reply.body.decode('utf-8', 'replace')}")
        if 200 <= status < 300 or status == ALREADY_HAS_IT:
            return Answer(Told.ACCEPTED, str(status))
        if status in FOR_NOW or status >= 500:
            return Answer(Told.LATER, said, pause_s(reply.headers))
        if 300 <= status < 400:
            return Answer(Told.REFUSED, f"{status} redirects are not followed: give the final url")
        return Answer(Told.REFUSED, said)


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
            "created_at": instant(notification.created_ns),
        }
    )


def _wait_s(reason: str) -> float:
    return TLS_RETRY_S if reason.startswith("certificate") else 0.0


def build(setup: Setup) -> Webhook:
    return Webhook(http.Site(setup.origin()), setup.secret("secret_file"))
