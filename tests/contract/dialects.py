"""How each channel is built against a pretend provider, and how that provider says what it says."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.adapters.http import Origin, Site
from gateway.channels.aliyun import Account
from gateway.channels.base import Channel, Secret
from gateway.channels.inbox import Inbox
from gateway.channels.sms_aliyun import SmsAliyun
from gateway.channels.sms_tencent import SmsTencent
from gateway.channels.voice_aliyun import VoiceAliyun
from gateway.channels.webhook import Webhook
from gateway.channels.wecom_robot import WecomRobot
from gateway.core.model import Kind, Level, Notification
from tests.contract.clouds import KEY_ID, MOBILE, NAMES, SIGN, TEMPLATE, Aliyun, Tencent
from tests.contract.provider import Behaviour, Check, Request, json_post, reply

SECRET = "s3cr3t-9b1f6c0e-7a42-4d0f"
TOTAL_S = 0.6  # the real one is 10 s; the promise is that it is total


@dataclass
class Hand:
    """A steady clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Dialect:
    name: str
    build: Callable[[str, ssl.SSLContext | None], Channel]
    accepted: Behaviour
    throttled: Behaviour
    throttled_s: float
    refused: Behaviour
    reads_body: bool  # False: the status alone is the answer
    secret_in_path: bool = False
    clock: Hand = field(default_factory=Hand)
    check: Check = json_post  # of each of its requests
    address: str = "wang"  # a person's, as this channel wants it
    once: bool = False  # what may have been taken is not sent again
    signs_only: bool = False  # the secret itself is never sent

    def told(self) -> Notification:
        """What is sent in the suite."""
        return notification(address=self.address)


def wecom(code: int, message: str = "") -> Behaviour:
    return reply(200, json.dumps({"errcode": code, "errmsg": message}).encode())


def webhook_dialect() -> Dialect:
    def build(base: str, tls: ssl.SSLContext | None) -> Channel:
        site = Site(Origin.parse(f"{base}/hook/{SECRET}"), TOTAL_S, tls)
        return Webhook(site, Secret(SECRET), lambda: 1_790_000_000.5)

    return Dialect(
        "webhook",
        build,
        reply(204),
        reply(429, Retry_After="7"),
        7.0,
        reply(422, b"no such case type"),
        False,
    )


def wecom_dialect() -> Dialect:
    clock = Hand()

    def build(base: str, tls: ssl.SSLContext | None) -> Channel:
        site = Site(Origin.parse(f"{base}/cgi-bin/webhook/send"), TOTAL_S, tls)
        return WecomRobot(site, Secret(SECRET), clock)

    ok, limit = wecom(0, "ok"), wecom(45009, "api freq out of limit")
    bad = wecom(93000, "invalid webhook url")
    return Dialect("wecom_robot", build, ok, limit, 60.0, bad, True, secret_in_path=True, clock=clock)


# ---------------------------------------------------------------- clouds

WALL_S = 1_790_000_000.5  # a moment after notification() was made


def aliyun(code: str, message: str = "", **more: str) -> Behaviour:
    return reply(200, json.dumps({"Code": code, "Message": message, "RequestId": "R", **more}).encode())


def tencent(code: str, message: str = "", number: str = "") -> Behaviour:
    status = {"Code": code, "Message": message, "SerialNo": number}
    return reply(200, json.dumps({"Response": {"SendStatusSet": [status], "RequestId": "R"}}).encode())


def signed(cloud: Aliyun | Tencent) -> Check:
    """A fresh cloud's look at a signature."""

    def check(request: Request, host: str) -> list[str]:
        if isinstance(cloud, Tencent):
            return [*json_post(request, host), *filter(None, [cloud.unsigned(request)])]
        query = dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True))
        return list(filter(None, [cloud.unsigned(request, query)]))

    return check


def sms_aliyun(base: str, tls: ssl.SSLContext | None = None, **more: Any) -> SmsAliyun:
    account = _account(base, tls, more.pop("wall", lambda: WALL_S))
    return SmsAliyun(account, SIGN, TEMPLATE, NAMES, **more)


def voice_aliyun(base: str, tls: ssl.SSLContext | None = None, **more: Any) -> VoiceAliyun:
    account = _account(base, tls, more.pop("wall", lambda: WALL_S))
    return VoiceAliyun(account, TEMPLATE, NAMES, "02164310000", **more)


def _account(base: str, tls: ssl.SSLContext | None, wall: Callable[[], float]) -> Account:
    return Account(Site(Origin.parse(base), TOTAL_S, tls), KEY_ID, Secret(SECRET), wall)


def sms_tencent(base: str, tls: ssl.SSLContext | None = None, **more: Any) -> SmsTencent:
    site, wall = Site(Origin.parse(base), TOTAL_S, tls), more.pop("wall", lambda: WALL_S)
    order = {"SmsSdkAppId": "1400006666", "SignName": SIGN, "TemplateId": TEMPLATE}
    return SmsTencent(site, KEY_ID, Secret(SECRET), order, NAMES, wall=wall, **more)


def sms_aliyun_dialect() -> Dialect:
    limit = aliyun("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1")
    bad = aliyun("isv.SMS_TEMPLATE_ILLEGAL", "短信模板不合法")
    ok = aliyun("OK", "OK", BizId="900619746936498440^0")
    check = signed(Aliyun(SECRET, lambda: WALL_S, {}))
    return Dialect("sms_aliyun", sms_aliyun, ok, limit, 60.0, bad, True, check=check, **_CLOUD)


def voice_aliyun_dialect() -> Dialect:
    limit = aliyun("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1")
    bad = aliyun("isv.TTS_TEMPLATE_ILLEGAL", "TTS模板不合法")
    ok = aliyun("OK", "OK", CallId="116012354148^102281158148")
    check = signed(Aliyun(SECRET, lambda: WALL_S, {}))
    return Dialect("voice_aliyun", voice_aliyun, ok, limit, 60.0, bad, True, check=check, **_CLOUD)


def sms_tencent_dialect() -> Dialect:
    ok = tencent("Ok", "send success", "2019:538884")
    limit = tencent("LimitExceeded.PhoneNumberThirtySecondLimit", "30s")
    bad = tencent("FailedOperation.SignatureIncorrectOrUnapproved", "sign")
    check = signed(Tencent(SECRET, lambda: WALL_S, {}))
    return Dialect("sms_tencent", sms_tencent, ok, limit, 30.0, bad, True, check=check, **_CLOUD)


_CLOUD: dict[str, Any] = {"address": MOBILE, "once": True, "signs_only": True}


def inbox() -> Inbox:
    return Inbox()


DIALECTS = {
    "sms_aliyun": sms_aliyun_dialect,
    "sms_tencent": sms_tencent_dialect,
    "voice_aliyun": voice_aliyun_dialect,
    "webhook": webhook_dialect,
    "wecom_robot": wecom_dialect,
}


def notification(**changes: Any) -> Notification:
    plain: dict[str, Any] = {
        "id": "01JD0000000000000000000001",
        "case": "01JD00000000000000000000CA",
        "alert": "01JD00000000000000000000A1",
        "kind": Kind.RAISED,
        "level": Level.ORANGE,
        "person": "wang",
        "channel": "street",
        "address": "wang",
        "title": "充电仓过热:3 号仓",
        "text": "梧桐里 12 号车棚,66.2 ℃,超过 65 ℃。断开该仓,到场查看。",
        "created_ns": 1_790_000_000_123_456_789,
        "due_at": 0,
    }
    return Notification(**(plain | changes))
