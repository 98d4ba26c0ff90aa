"""`wecom_robot`: a message into a WeCom group (企业微信群机器人, now 消息推送).

Contract: document 99110 of 2025-08-07 (see domain notes 5.1). The status is always 200 and says
nothing; `errcode` in the body is the answer. A robot has no receipt: accepted is not seen.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.adapters import http
from gateway.channels.base import Answer, Secret, Setup, cut, detail, pause_s
from gateway.core.model import Kind, Level, Notification, Told

SETTINGS = frozenset({"url"})  # only for a relay that speaks the same
REQUIRED: frozenset[str] = frozenset()
SECRETS = frozenset({"key_file"})
URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
TEXT_BYTES_MOST = 2048
MARKDOWN_BYTES_MOST = 4096
TITLE_BYTES_MOST = 256  # so that a long title never pushes out the text or the link

MESSAGES_MOST, WINDOW_S = 20, 60.0  # per robot; more is answered 45009 and the robot barred
RED_RESERVE = 3  # of those 20, kept free for red
BARRED_S = 60.0

OVER_LIMIT = 45009
FOR_NOW = {-1: 5.0, 45033: 5.0, OVER_LIMIT: BARRED_S}  # errcode -> seconds; busy, too many at once
HINTS = {
    93000: "the key is not valid: was the robot removed from its group? Put the new key into key_file",
    40008: "the kind of message is not allowed",
    45002: "the message is too long",
    44004: "the message is empty",
}

KEY = re.compile(r"[A-Za-z0-9_-]{8,128}")
MOBILE = re.compile(r"1\d{10}")
USERID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
EVERYBODY = "@all"
COLOURS = {Level.YELLOW: "comment", Level.ORANGE: "warning", Level.RED: "warning"}
SIGNS = {Level.YELLOW: "🟡", Level.ORANGE: "🟠", Level.RED: "🔴"}
GOOD_SIGN, GOOD_COLOUR = "🟢", "info"  # never red in front of 已恢复正常
# What a device's name could use to draw links, mention the whole group or change the layout.
_MARKUP = str.maketrans({"<": "＜", ">": "＞", "[": "［", "]": "］", "`": "｀", "*": "＊", "#": "＃"})


class Pace:
    """At most `most` in any `span_s`, counted one by one: a bucket would let twice as many through."""

    def __init__(self, most: int, span_s: float, now: Callable[[], float]) -> None:
        self._most, self._span_s, self._now = most, span_s, now
        self._taken: deque[float] = deque()
        self._barred_until = float("-inf")
        self._promised: dict[int, float] = {}  # reserve -> the last instant we sent somebody away to
        self._lock = threading.Lock()

    def take(self, reserve: int = 0) -> float:
        """0 when one more may go now (and is counted), else the seconds until it may."""
        with self._lock:
            now = self._now()
            while self._taken and now - self._taken[0] >= self._span_s:
                self._taken.popleft()
            over = len(self._taken) - (self._most - reserve)
            if over < 0 and now >= self._barred_until:
                self._taken.append(now)
                return 0.0
            return self._promise(reserve, over) - now

    def _promise(self, reserve: int, over: int) -> float:
        """When to come again: one after the other, or a flood would knock all at once, again and again."""
        free_at = self._taken[over] + self._span_s if over >= 0 else self._barred_until
        turn = self._promised.get(reserve, float("-inf")) + self._span_s / self._most
        self._promised[reserve] = max(free_at, self._barred_until, turn)
        return self._promised[reserve]

    def bar(self, span_s: float) -> None:
        """The far side has counted differently: nothing for a while."""
        with self._lock:
            self._barred_until = self._now() + span_s


class WecomRobot:
    """`now` is steady seconds, for the 20 a minute."""

    def __init__(self, site: http.Site, key: Secret, now: Callable[[], float] = time.monotonic) -> None:
        self._site, self._key = site, key
        self._pace = Pace(MESSAGES_MOST, WINDOW_S, now)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        urgent = notification.level is Level.RED
        if wait_s := self._pace.take(reserve=0 if urgent else RED_RESERVE):
            return Answer(Told.LATER, f"{MESSAGES_MOST} a minute for this robot are used up", wait_s)
        body = msgspec.json.encode(compose(notification, text, link))
        try:
            reply = self._site.post(self._path(), body, {"Content-Type": "application/json; charset=utf-8"})
        except http.Unreachable as error:
            return Answer(Told.LATER, detail(str(error), self._key))
        except http.Unanswered as error:
            return Answer(Told.UNKNOWN, detail(str(error), self._key))
        return self._judge(reply)

    def _path(self) -> str:
        return f"{self._site.origin.path}?key={self._key.reveal()}"

    def _judge(self, reply: http.Reply) -> Answer:
        said = detail(f"{reply.status} {reply.body.decode('utf-8', 'replace')}", self._key)
        if reply.status == 429 or reply.status >= 500:
            return Answer(Told.LATER, said, pause_s(reply.headers))
        if reply.status != 200:
            return Answer(Told.REFUSED, said)
        code, words = _read(reply)
        if code is None:
            return Answer(Told.UNKNOWN, f"200 without an errcode: {said}")
        return self._judge_code(code, detail(f"errcode {code} {words}", self._key))

    def _judge_code(self, code: int, said: str) -> Answer:
        if code == 0:
            return Answer(Told.ACCEPTED, "errcode 0")
        if code in FOR_NOW:
            if code == OVER_LIMIT:
                self._pace.bar(BARRED_S)
            return Answer(Told.LATER, said, FOR_NOW[code])
        return Answer(Told.REFUSED, f"{said}; {HINTS[code]}" if code in HINTS else said)


def _read(reply: http.Reply) -> tuple[int | None, str]:
    """errcode and errmsg of an answer; None when it is not one."""
    if not reply.whole:
        return None, ""
    try:
        answer: Any = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, ""
    code = answer.get("errcode") if isinstance(answer, dict) else None
    return (code, str(answer.get("errmsg", ""))) if type(code) is int else (None, "")


# ---------------------------------------------------------------- the message


def compose(notification: Notification, text: str, link: str) -> dict[str, Any]:
    """What to POST. Only `text` can mention a mobile number; `markdown` is easier to read."""
    address = notification.address.strip()
    if MOBILE.fullmatch(address):
        return _text(notification, text, link, {"mentioned_mobile_list": [address]})
    if address == EVERYBODY:
        return _text(notification, text, link, {"mentioned_list": [EVERYBODY]})
    return _markdown(notification, text, link, address if USERID.fullmatch(address) else "")


def _text(notification: Notification, text: str, link: str, mention: dict[str, list[str]]) -> dict[str, Any]:
    head = f"{_sign(notification)} {_title(notification)}"
    body = _fit(head, plain(text), link, TEXT_BYTES_MOST)
    return {"msgtype": "text", "text": {"content": body, **mention}}


def _markdown(notification: Notification, text: str, link: str, userid: str) -> dict[str, Any]:
    colour = GOOD_COLOUR if notification.kind is Kind.CLEARED else COLOURS[notification.level]
    head = f'{_sign(notification)} **<font color="{colour}">{_title(notification)}</font>**'
    foot = f"[打开处置单]({link})" + (f" <@{userid}>" if userid else "")
    body = _fit(head, plain(text), foot, MARKDOWN_BYTES_MOST)
    return {"msgtype": "markdown", "markdown": {"content": body}}


def _sign(notification: Notification) -> str:
    return GOOD_SIGN if notification.kind is Kind.CLEARED else SIGNS[notification.level]


def _title(notification: Notification) -> str:
    return cut(plain(notification.title), TITLE_BYTES_MOST)


def _fit(head: str, text: str, foot: str, most: int) -> str:
    """Head and foot whole, the text as long as there is room (limits are in bytes of UTF-8)."""
    room = most - len(f"{head}\n\n{foot}".encode("utf-8", "replace"))
    return f"{head}\n{cut(text, room)}\n{foot}"


def plain(text: str) -> str:
    """A text that WeCom shows as it is: `<@all>` in a device's name must not ring the whole group."""
    return text.translate(_MARKUP)


def build(setup: Setup) -> WecomRobot:
    try:
        origin = http.Origin.parse(setup.settings.get("url", URL))
    except ValueError as error:
        raise ValueError(f"channels.{setup.name}.url: {error}") from None
    return WecomRobot(http.Site(origin), _key(setup))


def _key(setup: Setup) -> Secret:
    """The key alone, also when somebody has pasted the whole address that WeCom shows."""
    key = setup.secret("key_file").reveal().rpartition("key=")[2]
    if not KEY.fullmatch(key):
        raise ValueError(f"channels.{setup.name}.key_file: expected the robot's key alone")
    return Secret(key)
