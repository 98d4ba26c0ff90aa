"""`dingtalk`: a message into a DingTalk group (钉钉自定义机器人), signed.

Contract: documents custom-robot-access and robot-message-type (domain notes 5.7). The status is always
200: `errcode` is the answer. More than 20 a minute bars the robot for ten. A robot has no receipt, and its
buttons only open links.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.adapters import http
from gateway.channels import coded, robots, signers
from gateway.channels.base import Setup, cut
from gateway.channels.robots import Signed
from gateway.channels.wording import door, plain, sign, title
from gateway.core.model import Notification
from gateway.core.quotas import PERSON, Quota

GROUP = True
SETTINGS = frozenset({"url", "at_most"})  # only for a relay that speaks the same
REQUIRED: frozenset[str] = frozenset()
SECRETS = frozenset({"token_file", "secret_file"})
URL = "https://oapi.dingtalk.com/robot/send"
TEXT_BYTES_MOST = 5_000  # the whole may have 20,000; nobody reads that much on a phone

MESSAGES_MOST, WINDOW_S = 20, 60.0  # per robot
RED_RESERVE = 3  # of those 20, kept free for red
BARRED_S = 600.0
QUOTAS = (Quota(most=MESSAGES_MOST, span_s=WINDOW_S, reserve=RED_RESERVE), *PERSON)
OVER_LIMIT = 130101
FOR_NOW = {-1: 5.0, OVER_LIMIT: BARRED_S}  # errcode -> seconds
HINTS = {
    300001: "the token is not valid: was the robot removed from its group? Put the new one into token_file",
    310000: "a guard of the robot: secret_file, this box's clock, the robot's keywords or its addresses",
}
CODES = coded.Codes(for_now=FOR_NOW, hints=HINTS)
MOBILE = re.compile(r"1\d{10}")


class Dingtalk(Signed):
    codes, over_limit = CODES, OVER_LIMIT

    def _path(self) -> str:
        now_ms = int(self._wall() * 1000)
        signature = quote(signers.dingtalk(self._secret.reveal(), now_ms), safe="")
        token = self._token.reveal()
        return f"{self._site.origin.path}?access_token={token}&timestamp={now_ms}&sign={signature}"

    def _body(self, notification: Notification, text: str, link: str) -> bytes:
        return msgspec.json.encode(compose(notification, text, link))


def compose(notification: Notification, text: str, link: str) -> dict[str, Any]:
    """What to POST. A card has a button, but only markdown can mention a number and so ring a phone."""
    head, body = f"{sign(notification)} {title(notification)}", cut(plain(text), TEXT_BYTES_MOST)
    said = f"### {head}\n\n" + "\n\n".join(body.splitlines())
    address = notification.address.strip()
    if link and not MOBILE.fullmatch(address):
        card = {"title": head, "text": said, "singleTitle": door(notification), "singleURL": link}
        return {"msgtype": "actionCard", "actionCard": card}
    said += f"\n\n[{door(notification)}]({link})" if link else ""
    at = [address] if MOBILE.fullmatch(address) else []
    said += "".join(f"\n\n@{one}" for one in at)
    return {"msgtype": "markdown", "markdown": {"title": head, "text": said}, "at": {"atMobiles": at}}


def build(setup: Setup) -> Dingtalk:
    token = robots.token(setup, "token_file", "access_token=", "the robot's access_token")
    return Dingtalk(http.Site(setup.origin(URL)), token, setup.secret("secret_file"))
