"""`feishu`: a card into a Feishu group (飞书自定义机器人), signed.

Contract: document bot-v2/add-custom-bot (domain notes 5.7). `code` in the body is the answer. A robot has no
receipt, and its buttons only open links. Everybody's reports go out at :00 and :30, and Feishu then refuses
more (11232): that is for now, like any limit.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.adapters import http
from gateway.channels import coded, robots, signers
from gateway.channels.base import Answer, Setup, cut
from gateway.channels.robots import Signed
from gateway.channels.wording import door, plain, sign, title
from gateway.core.model import Kind, Level, Notification, Told
from gateway.core.quotas import PERSON, Quota

GROUP = True
SETTINGS = frozenset({"url", "at_most"})  # only for a relay that speaks the same; the token follows it
REQUIRED: frozenset[str] = frozenset()
SECRETS = frozenset({"token_file", "secret_file"})
URL = "https://open.feishu.cn/open-apis/bot/v2/hook"
TEXT_BYTES_MOST = 5_000  # the whole may have 20 kB

MINUTE_MOST, MINUTE_S = 100, 60.0  # per robot
SECOND_MOST, SECOND_S = 5, 1.0
RED_RESERVE = 20  # of those 100, kept free for red
QUOTAS = (
    Quota(most=MINUTE_MOST, span_s=MINUTE_S, reserve=RED_RESERVE),
    Quota(most=SECOND_MOST, span_s=SECOND_S),
    *PERSON,
)
RUSH_EVERY_S, RUSH_S = 1800.0, 10.0  # at :00 and :30 all but red lets the others go first
OVER_LIMIT, BUSY_S = 11232, 10.0
FOR_NOW = {OVER_LIMIT: BUSY_S}  # code -> seconds
HINTS = {
    9499: "the message is not as Feishu wants it",
    19001: "the token is not valid: was the robot removed from its group? Put the new one into token_file",
    19021: "the signature does not hold: secret_file, or this box's clock",
    19022: "this box's address is not on the robot's list",
    19024: "none of the robot's keywords stands in the message",
}
CODES = coded.Codes(code="code", words="msg", for_now=FOR_NOW, hints=HINTS)
COLOURS = {Level.YELLOW: "yellow", Level.ORANGE: "orange", Level.RED: "red"}
GOOD_COLOUR = "green"
OPEN_ID = re.compile(r"ou_[A-Za-z0-9]{8,64}")


class Feishu(Signed):
    codes, over_limit = CODES, OVER_LIMIT

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        past_s = self._wall() % RUSH_EVERY_S
        if past_s < RUSH_S and notification.level is not Level.RED:
            return Answer(Told.LATER, "everybody sends at :00 and :30: after the rush", RUSH_S - past_s)
        return super().send(notification, text, link)

    def _path(self) -> str:
        return f"{self._site.origin.path.rstrip('/')}/{self._token.reveal()}"

    def _body(self, notification: Notification, text: str, link: str) -> bytes:
        now_s = int(self._wall())
        signature = signers.feishu(self._secret.reveal(), now_s)
        card = compose(notification, text, link)
        return msgspec.json.encode({"timestamp": str(now_s), "sign": signature, **card})


def compose(notification: Notification, text: str, link: str) -> dict[str, Any]:
    """The card. Texts go as plain_text, in which nothing draws; only the mention is their markdown."""
    good = notification.kind is Kind.CLEARED
    elements: list[dict[str, Any]] = [_div("plain_text", cut(plain(text), TEXT_BYTES_MOST))]
    address = notification.address.strip()
    if OPEN_ID.fullmatch(address):
        elements.append(_div("lark_md", f"<at id={address}></at>"))
    if link:
        elements.append({"tag": "action", "actions": [_button(door(notification), link)]})
    header = {
        "title": {"tag": "plain_text", "content": f"{sign(notification)} {title(notification)}"},
        "template": GOOD_COLOUR if good else COLOURS[notification.level],
    }
    card = {"config": {"wide_screen_mode": True}, "header": header, "elements": elements}
    return {"msg_type": "interactive", "card": card}


def _div(tag: str, content: str) -> dict[str, Any]:
    return {"tag": "div", "text": {"tag": tag, "content": content}}


def _button(words: str, link: str) -> dict[str, Any]:
    said = {"tag": "plain_text", "content": words}
    return {"tag": "button", "text": said, "url": link, "type": "primary"}


def build(setup: Setup) -> Feishu:
    token = robots.token(setup, "token_file", "/hook/", "the end of the robot's address")
    return Feishu(http.Site(setup.origin(URL)), token, setup.secret("secret_file"))
