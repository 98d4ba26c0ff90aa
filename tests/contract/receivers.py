"""Strict pretend systems outside: a hub of the street's own, and a city's platform that loses things.

Both check signature, order and idempotency as our manual promises them, and complain of what is not so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.contract.provider import Provider, Request, reply

SECRET = "a-secret-of-the-street"
WINDOW_S = 300.0


class Receiver(Provider, ABC):
    """Answers by `take` (POST) and `give` (GET). `now_s` is its own clock, Unix seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__(lambda _, wire: self._answer(wire))
        self.check = self._signed
        self.now_s = now_s
        self.away = False
        self.statuses: list[int] = []  # what it answers next, before it looks at anything
        self.keys: dict[str, bytes] = {}  # idempotency key -> body
        self.repeated = 0

    def _answer(self, wire: socket.socket) -> bool:
        request = self.requests[-1]
        if self.away:
            return False
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return reply(status, b"not now")(self, wire)
        if request.line.startswith("GET "):
            return reply(200, json.dumps(self.give(request)).encode())(self, wire)
        key = request.headers["idempotency-key"]
        if key in self.keys:
            self.repeated += 1
            if self.keys[key] != request.body:
                self.complaints.append(f"{key} says something else the second time")
            return reply(200)(self, wire)
        status = self.take(key, request.json)
        if status < 300:
            self.keys[key] = request.body
        return reply(status)(self, wire)

    def _signed(self, request: Request, _: str) -> list[str]:
        """As a receiver is told to check it."""
        stamp = request.headers.get("x-lilong-timestamp", "0")
        said = request.path.encode() if request.line.startswith("GET ") else request.body
        mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + said, hashlib.sha256).hexdigest()
        wrong = [] if request.headers.get("x-lilong-signature") == f"sha256={mac}" else ["signature"]
        return wrong + ([] if abs(self.now_s() - int(stamp)) <= WINDOW_S else [f"an old signature: {stamp}"])

    @abstractmethod
    def take(self, key: str, said: Any) -> int:
        """The status for a change that is told for the first time."""

    def give(self, request: Request) -> Any:
        """What it says when asked; only a platform is."""
        self.complaints.append(f"asked for {request.path}, though it only listens")


class Hub(Receiver):
    """Keeps every change. `refuses` and `breaks_at` pick changes by their key."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__(now_s)
        self.changes: list[dict[str, Any]] = []
        self.refuses: Callable[[dict[str, Any]], bool] = lambda _: False
        self.breaks_at: Callable[[dict[str, Any]], bool] = lambda _: False
        self._last: dict[str, int] = {}  # case -> its newest change, also one that was refused

    def take(self, key: str, said: Any) -> int:
        if self.breaks_at(said):
            return 500
        if said["id"] != key or said["id"] != f"{said['case']}:{said['seq']}":
            self.complaints.append(f"key {key} of {said['id']}")
        if said["before"] != self._last.get(said["case"], said["before"]):
            self.complaints.append(f"{key} follows {said['before']}, not {self._last[said['case']]}")
        self._last[said["case"]] = said["seq"]
        if self.refuses(said):
            return 422
        self.changes.append(said)
        return 200


class City(Receiver):
    """A platform: keeps the newest record of each case, gives them back a page at a time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__(now_s)
        self.rows: dict[str, dict[str, str]] = {}
        self.drops: Callable[[dict[str, str]], bool] = lambda _: False  # accepted, and lost
        self.refuses: Callable[[dict[str, str]], bool] = lambda _: False
        self.asked: list[dict[str, str]] = []

    def take(self, key: str, said: Any) -> int:
        if self.refuses(said):
            return 400
        if not self.drops(said):
            self.rows[said["eventId"]] = said
        return 201

    def give(self, request: Request) -> Any:
        query = dict(parse_qsl(urlsplit(request.path).query))
        self.asked.append(query)
        found = [row for row in self.rows.values() if query["begin"] <= row["foundAt"] < query["end"]]
        first = (int(query["pageNo"]) - 1) * int(query["size"])
        return {"data": found[first : first + int(query["size"])]}
