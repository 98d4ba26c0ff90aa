"""Pretend groups of DingTalk and Feishu: they check signature, clock, form and pace as documented."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.contract.dialects import Hand
from tests.contract.provider import Provider, Request, reply

TOKEN, SECRET = "t0ken-of-the-robot", "SEC-of-the-robot"
HOUR_S = 3600


class _Group(ABC):
    """`wall` and `now` are Hands that a test moves."""

    limits: Mapping[float, int]  # seconds -> how many within them

    def __init__(self, provider: Provider) -> None:
        self.wall, self.now = Hand(1_790_000_000.5), Hand()
        self.shown: list[dict[str, Any]] = []
        self.barred_until = 0.0
        self.over = 0  # how often the limit was hit
        self._times: list[float] = []
        provider.then(self.take)

    def take(self, provider: Provider, wire: socket.socket) -> bool:
        request = provider.requests[-1]
        return reply(200, json.dumps(self.answer(request)).encode())(provider, wire)

    @abstractmethod
    def answer(self, request: Request) -> dict[str, Any]:
        """The body of a 200."""

    def is_over(self, bar_s: float) -> bool:
        self._times.append(self.now())
        for span_s, most in self.limits.items():
            if sum(round(self.now() - at, 6) < span_s for at in self._times) > most:
                self.barred_until = self.now() + bar_s
        self.over += self.now() < self.barred_until
        return self.now() < self.barred_until


class DingtalkGroup(_Group):
    limits: Mapping[float, int] = MappingProxyType({60.0: 20})

    def answer(self, request: Request) -> dict[str, Any]:
        query = parse_qs(urlsplit(request.path).query, strict_parsing=True)
        if query["access_token"] != [TOKEN]:
            return {"errcode": 300001, "errmsg": "token is not exist"}
        if not self._is_signed(query["timestamp"][0], query["sign"][0]):
            return {"errcode": 310000, "errmsg": "sign not match"}
        message = request.json
        kind = message["msgtype"]
        if kind not in ("actionCard", "markdown") or not message[kind]["title"] or len(request.body) > 20_000:
            return {"errcode": 40035, "errmsg": "invalid parameter"}
        if self.is_over(bar_s=600):
            return {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}
        self.shown.append(message)
        return {"errcode": 0, "errmsg": "ok"}

    def _is_signed(self, stamp: str, signature: str) -> bool:
        mac = hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256).digest()
        fresh = abs(self.wall() * 1000 - int(stamp)) <= HOUR_S * 1000
        return fresh and signature == base64.b64encode(mac).decode()


class FeishuGroup(_Group):
    limits: Mapping[float, int] = MappingProxyType({1.0: 5, 60.0: 100})

    def answer(self, request: Request) -> dict[str, Any]:
        if unquote(request.path) != f"/open-apis/bot/v2/hook/{TOKEN}":
            return {"code": 19001, "msg": "param invalid: incoming webhook access token invalid"}
        message = request.json
        if not self._is_signed(message["timestamp"], message["sign"]):
            return {"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}
        if message["msg_type"] != "interactive" or len(request.body) > 20 * 1024:
            return {"code": 9499, "msg": "Bad Request"}
        if self.is_over(bar_s=1):
            return {"code": 11232, "msg": "frequency limited"}
        self.shown.append(message["card"])
        return {"code": 0, "msg": "success", "data": {}}

    def _is_signed(self, stamp: str, signature: str) -> bool:
        mac = hmac.new(f"{stamp}\n{SECRET}".encode(), b"", hashlib.sha256).digest()
        fresh = abs(self.wall() - int(stamp)) <= HOUR_S
        return fresh and signature == base64.b64encode(mac).decode()
