"""A pretend WeCom corp: gives tokens, takes messages, changes cards once, drops what is too much, calls."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import struct
from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.channels import signers
from gateway.channels.base import Call
from tests.contract.dialects import Hand
from tests.contract.provider import Provider, Request, reply

CORP_ID, AGENT, CORP_SECRET = "ww0123456789abcdef", 1000002, "the-secret-of-the-app-0123456789"
TOKEN, AES_KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
MEMBER_MOST, CARD_S = 30, 72 * 3600
TASK_ID = re.compile(r"[A-Za-z0-9_@-]{1,128}")
CARD_TYPES = {"button_interaction", "text_notice"}


class Corp:
    """As documents 91039, 90236 and 94888 have it. `now` is a Hand that a test moves."""

    def __init__(self, provider: Provider, members: set[str]) -> None:
        self.members, self.now = members, Hand()
        self.unlicensed: set[str] = set()
        self.no_cards = False
        self.tokens: list[str] = []
        self.dead: set[str] = set()
        self.shown: dict[str, list[dict[str, Any]]] = {}  # member -> messages
        self.dropped = 0
        self.cards: dict[str, tuple[dict[str, Any], float]] = {}  # response_code -> message, when
        self.changed: list[tuple[str, str]] = []  # member, words
        self.tasks: set[str] = set()
        self._times: dict[str, deque[float]] = {}
        provider.gives_token = self.give_token
        provider.then(self.take)

    def give_token(self, provider: Provider, wire: socket.socket) -> bool:
        asked = parse_qs(urlsplit(provider.token_requests[-1].path).query)
        if asked != {"corpid": [CORP_ID], "corpsecret": [CORP_SECRET]}:
            return self._answer(provider, wire, 40001, "invalid credential")
        self.dead.update(self.tokens)  # a corp has one token an app
        self.tokens.append(f"token-{len(self.tokens)}/+=")
        return self._answer(provider, wire, 0, "ok", access_token=self.tokens[-1], expires_in=7200)

    def take(self, provider: Provider, wire: socket.socket) -> bool:
        request = provider.requests[-1]
        token = parse_qs(urlsplit(request.path).query)["access_token"][0]
        if token not in self.tokens:
            return self._answer(provider, wire, 40014, "invalid access_token")
        if token in self.dead:
            return self._answer(provider, wire, 42001, "access_token expired")
        take = {"/cgi-bin/message/send": self._send, "/cgi-bin/message/update_template_card": self._update}
        code, more = take[urlsplit(request.path).path](request)
        return self._answer(provider, wire, code, "ok" if code == 0 else "as documented", **more)

    def _answer(self, provider: Provider, wire: socket.socket, code: int, words: str, **more: Any) -> bool:
        return reply(200, json.dumps({"errcode": code, "errmsg": words} | more).encode())(provider, wire)

    def _send(self, request: Request) -> tuple[int, dict[str, Any]]:
        message = request.json
        if message["agentid"] != AGENT:
            return 40056, {}
        if message["msgtype"] == "template_card" and (self.no_cards or not self._is_card(message)):
            return 40058, {}
        member = message["touser"]
        if member not in self.members:
            return (81013, {}) if "|" not in member else (0, {"invaliduser": member})
        if member in self.unlicensed:
            return 0, {"unlicenseduser": member, "msgid": "m"}
        return 0, self._show(member, message)

    def _show(self, member: str, message: dict[str, Any]) -> dict[str, Any]:
        times = self._times.setdefault(member, deque())
        while times and self.now() - times[0] >= 60:
            times.popleft()
        times.append(self.now())
        if len(times) > MEMBER_MOST:
            self.dropped += 1  # and still errcode 0
        else:
            self.shown.setdefault(member, []).append(message)
        more: dict[str, Any] = {"msgid": f"msg-{len(self.shown[member])}"}
        card = message.get("template_card", {})
        if card.get("card_type") == "button_interaction":
            more["response_code"] = f"code-{member}-{len(self.cards)}"
            self.cards[more["response_code"]] = message, self.now()
        return more

    def _is_card(self, message: dict[str, Any]) -> bool:
        card = message["template_card"]
        known = card["card_type"] in CARD_TYPES and bool(card["main_title"]["title"])
        if card["card_type"] == "text_notice":
            return known and card["card_action"]["type"] == 1
        fresh = bool(TASK_ID.fullmatch(card["task_id"])) and card["task_id"] not in self.tasks
        self.tasks.add(card["task_id"])
        pressed = [one for one in card["button_list"] if not one.get("type")]
        opened = [one for one in card["button_list"] if one.get("type") == 1]
        return (
            known and fresh and all("key" in one for one in pressed) and all("url" in one for one in opened)
        )

    def _update(self, request: Request) -> tuple[int, dict[str, Any]]:
        asked = request.json
        found = self.cards.pop(asked["response_code"], None)
        if found is None or self.now() - found[1] > CARD_S or asked["agentid"] != AGENT:
            return 42015, {}
        self.changed += [(member, asked["button"]["replace_name"]) for member in asked["userids"]]
        return 0, {"invaliduser": []}


# ---------------------------------------------------------------- its calls


def encrypt(message: bytes, corp: str = CORP_ID, key: str = AES_KEY) -> str:
    secret = base64.b64decode(key + "=")
    plain = os.urandom(16) + struct.pack(">I", len(message)) + message + corp.encode()
    pad = 32 - len(plain) % 32
    locker = Cipher(algorithms.AES(secret), modes.CBC(secret[:16])).encryptor()
    return base64.b64encode(locker.update(plain + bytes([pad]) * pad) + locker.finalize()).decode()


def call(message: str, at_s: float, token: str = TOKEN, nonce: str = "1372623149", **how: str) -> Call:
    """What WeCom posts when something happened."""
    encrypted = encrypt(message.encode(), **how)
    stamp = str(int(at_s))
    body = f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><AgentID>{AGENT}</AgentID>"
    body += f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    signature = signers.wecom_callback(token, stamp, nonce, encrypted)
    query = {"msg_signature": signature, "timestamp": stamp, "nonce": nonce}
    return Call(query, {}, body.encode(), at_s)


def press(member: str, task: str, button: str = "acknowledge", created_s: int = 1_790_000_000) -> str:
    return (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[{member}]]></FromUserName>"
        f"<CreateTime>{created_s}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[template_card_event]]></Event><EventKey><![CDATA[{button}]]></EventKey>"
        f"<TaskId><![CDATA[{task}]]></TaskId><CardType><![CDATA[button_interaction]]></CardType>"
        f"<ResponseCode><![CDATA[RESPONSECODE]]></ResponseCode><AgentID>{AGENT}</AgentID></xml>"
    )
