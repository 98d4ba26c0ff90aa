"""What robots in a group have in common: a token that is all of the address, and a limit that bars them."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from gateway.adapters import http
from gateway.channels import coded
from gateway.channels.base import ALL, Answer, Barred, Secret, Setup
from gateway.core.model import Notification, Told

TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")


class Robot(ABC):
    """`now` is steady seconds."""

    codes: ClassVar[coded.Codes]
    over_limit: ClassVar[int]  # its code; knocking again would not make it shorter

    def __init__(self, site: http.Site, now: Callable[[], float], *secrets: Secret) -> None:
        self._site, self._secrets, self._barred = site, secrets, Barred(now)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        if wait_s := self._barred.left_s():
            return Answer(Told.LATER, "the robot has gone over its limit, and is left alone", wait_s)
        ask = partial(self._site.post, self._path(), self._body(notification, text, link), coded.JSON)
        return coded.attempt(ask, self._judge, *self._secrets)

    @abstractmethod
    def _path(self) -> str:
        """Of its address, with the token."""

    @abstractmethod
    def _body(self, notification: Notification, text: str, link: str) -> bytes:
        """What to POST."""

    def _judge(self, reply: http.Reply) -> Answer:
        answer = coded.judge(reply, self.codes, *self._secrets)
        if answer.code == self.over_limit:
            self._barred.bar(ALL, answer.retry_after_s)
        return answer


class Signed(Robot):
    """One with a secret to sign by. `wall` is Unix seconds: a signature is good for an hour."""

    def __init__(
        self,
        site: http.Site,
        token: Secret,
        secret: Secret,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(site, now, token, secret)
        self._token, self._secret, self._wall = token, secret, wall


def token(setup: Setup, name: str, before: str, expected: str) -> Secret:
    """The token alone, also when somebody has pasted the whole address that the group shows."""
    found = setup.secret(name).reveal().rpartition(before)[2]
    if not TOKEN.fullmatch(found):
        raise ValueError(f"channels.{setup.name}.{name}: expected {expected} alone")
    return Secret(found)
