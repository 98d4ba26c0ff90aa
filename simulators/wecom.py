"""A practice WeCom corp: gives tokens, takes messages, changes cards, drops what is too much, calls back.

Strict as documents 91039, 90236, 94888 and 90968 have it; the contract tests and the demo's telephones
speak to the same one. Nothing in here is anybody's: the corp, its keys and its app are invented.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from simulators.clouds import Request

CORP_ID, AGENT, CORP_SECRET = "ww0123456789abcdef", 1000002, "the-secret-of-the-app-0123456789"
TOKEN, AES_KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
MEMBER_MOST, CARD_S = 30, 72 * 3600
TASK_ID = re.compile(r"[A-Za-z0-9_@-]{1,128}")
CARD_TYPES = {"button_interaction", "text_notice"}
Said = tuple[int, Mapping[str, Any]]  # errcode, what else the answer holds


class Corp:
    """`now` is steady seconds."""

    def __init__(self, members: set[str], now: Callable[[], float]) -> None:
        self.members, self.now = members, now
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

    def answer(self, request: Request) -> dict[str, Any]:
        """The body of an answer; its status is always 200."""
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        if parts.path.endswith("/gettoken"):
            code, more = self._give_token(query)
        else:
            code, more = self._take(parts.path, query["access_token"][0], json.loads(request.body))
        return {"errcode": code, "errmsg": "as documented" if code else "ok", **more}

    def _give_token(self, query: Mapping[str, list[str]]) -> Said:
        if query != {"corpid": [CORP_ID], "corpsecret": [CORP_SECRET]}:
            return 40001, {}
        self.dead.update(self.tokens)  # a corp has one token an app
        self.tokens.append(f"token-{len(self.tokens)}/+=")
        return 0, {"access_token": self.tokens[-1], "expires_in": 7200}

    def _take(self, path: str, token: str, message: dict[str, Any]) -> Said:
        if token not in self.tokens:
            return 40014, {}
        if token in self.dead:
            return 42001, {}
        if message["agentid"] != AGENT:
            return 40056, {}
        take = {"/cgi-bin/message/send": self._send, "/cgi-bin/message/update_template_card": self._update}
        return take[path](message)

    def _send(self, message: dict[str, Any]) -> Said:
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
            self.show(member, message)
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

    def _update(self, asked: dict[str, Any]) -> Said:
        found = self.cards.pop(asked["response_code"], None)
        if found is None or self.now() - found[1] > CARD_S:
            return 42015, {}
        words, task = asked["button"]["replace_name"], found[0]["template_card"]["task_id"]
        for member in asked["userids"]:
            self.changed.append((member, words))
            self.change(member, task, words)
        return 0, {"invaliduser": []}

    # ------------------------------------------------------------ for whoever looks at a member's phone

    def show(self, member: str, message: dict[str, Any]) -> None:
        """A message is on a member's phone."""

    def change(self, member: str, task: str, words: str) -> None:
        """The buttons of a card have become words."""


# ---------------------------------------------------------------- its calls


def encrypt(message: bytes, corp: str = CORP_ID, key: str = AES_KEY) -> str:
    secret = base64.b64decode(key + "=")
    plain = os.urandom(16) + struct.pack(">I", len(message)) + message + corp.encode()
    pad = 32 - len(plain) % 32
    locker = Cipher(algorithms.AES(secret), modes.CBC(secret[:16])).encryptor()
    return base64.b64encode(locker.update(plain + bytes([pad]) * pad) + locker.finalize()).decode()


def sealed(
    message: str, at_s: float, token: str = TOKEN, nonce: str = "1372623149", **how: str
) -> tuple[dict[str, str], bytes]:
    """What WeCom posts when something happened: query and body."""
    encrypted, stamp = encrypt(message.encode(), **how), str(int(at_s))
    body = f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><AgentID>{AGENT}</AgentID>"
    body += f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    said = "".join(sorted((token, stamp, nonce, encrypted)))
    signature = hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()
    return {"msg_signature": signature, "timestamp": stamp, "nonce": nonce}, body.encode()


def press(member: str, task: str, button: str = "acknowledge", created_s: int = 1_790_000_000) -> str:
    return (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[{member}]]></FromUserName>"
        f"<CreateTime>{created_s}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[template_card_event]]></Event><EventKey><![CDATA[{button}]]></EventKey>"
        f"<TaskId><![CDATA[{task}]]></TaskId><CardType><![CDATA[button_interaction]]></CardType>"
        f"<ResponseCode><![CDATA[RESPONSECODE]]></ResponseCode><AgentID>{AGENT}</AgentID></xml>"
    )
