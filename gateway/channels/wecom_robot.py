"""`wecom_robot`: a message into a WeCom group (企业微信群机器人, now 消息推送).

Contract: document 99110 of 2025-08-07 (see domain notes 5.1). The status is always 200 and says
nothing; `errcode` in the body is the answer. A robot has no receipt: accepted is not seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.adapters import http
from gateway.channels import coded, robots
from gateway.channels.base import Secret, Setup
from gateway.channels.robots import Robot
from gateway.channels.wording import door, fit, plain, sign, title
from gateway.core.model import Kind, Level, Notification
from gateway.core.quotas import PERSON, Quota

GROUP = True
SETTINGS = frozenset({"url", "at_most"})  # only for a relay that speaks the same
REQUIRED: frozenset[str] = frozenset()
SECRETS = frozenset({"key_file"})
URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
TEXT_BYTES_MOST = 2048
MARKDOWN_BYTES_MOST = 4096

MESSAGES_MOST, WINDOW_S = 20, 60.0  # per robot; more is answered 45009 and the robot barred
RED_RESERVE = 3  # of those 20, kept free for red
BARRED_S = 60.0
QUOTAS = (Quota(most=MESSAGES_MOST, span_s=WINDOW_S, reserve=RED_RESERVE), *PERSON)

OVER_LIMIT = 45009
FOR_NOW = {-1: 5.0, 45033: 5.0, OVER_LIMIT: BARRED_S}  # errcode -> seconds; busy, too many at once
HINTS = {
    93000: "the key is not valid: was the robot removed from its group? Put the new key into key_file",
    40008: "the kind of message is not allowed",
    45002: "the message is too long",
    44004: "the message is empty",
}

MOBILE = re.compile(r"1\d{10}")
USERID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
EVERYBODY = "@all"
CODES = coded.Codes(for_now=FOR_NOW, hints=HINTS)
COLOURS = {Level.YELLOW: "comment", Level.ORANGE: "warning", Level.RED: "warning"}
GOOD_COLOUR = "info"  # never red in front of 已恢复正常


class WecomRobot(Robot):
    codes, over_limit = CODES, OVER_LIMIT

    def __init__(self, site: http.Site, key: Secret, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(site, now, key)
        self._key = key

    def _path(self) -> str:
        return f"{self._site.origin.path}?key={self._key.reveal()}"

    def _body(self, notification: Notification, text: str, link: str) -> bytes:
        return msgspec.json.encode(compose(notification, text, link))


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
    head = f"{sign(notification)} {title(notification)}"
    body = fit(head, plain(text), link, TEXT_BYTES_MOST)
    return {"msgtype": "text", "text": {"content": body, **mention}}


def _markdown(notification: Notification, text: str, link: str, userid: str) -> dict[str, Any]:
    colour = GOOD_COLOUR if notification.kind is Kind.CLEARED else COLOURS[notification.level]
    head = f'{sign(notification)} **<font color="{colour}">{title(notification)}</font>**'
    foot = (f"[{door(notification)}]({link})" if link else "") + (f" <@{userid}>" if userid else "")
    body = fit(head, plain(text), foot, MARKDOWN_BYTES_MOST)
    return {"msgtype": "markdown", "markdown": {"content": body}}


def build(setup: Setup) -> WecomRobot:
    key = robots.token(setup, "key_file", "key=", "the robot's key")
    return WecomRobot(http.Site(setup.origin(URL)), key)
