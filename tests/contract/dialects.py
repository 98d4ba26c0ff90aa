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
from gateway.channels.dingtalk import Dingtalk
from gateway.channels.feishu import Feishu
from gateway.channels.inbox import Inbox
from gateway.channels.robots import Signed
from gateway.channels.sms_aliyun import SmsAliyun
from gateway.channels.sms_tencent import SmsTencent
from gateway.channels.voice_aliyun import VoiceAliyun
from gateway.channels.webhook import Webhook
from gateway.channels.wecom_app import WecomApp
from gateway.channels.wecom_robot import WecomRobot
from gateway.core.model import Kind, Level, Notification
from gateway.core.templates import Templates
from simulators.clouds import KEY_ID, NAMES, SIGN, TEMPLATE
from tests.contract.clouds import MOBILE, Aliyun, Tencent
from tests.contract.provider import Behaviour, Check, Request, json_post, reply

SECRET = "s3cr3t-9b1f6c0e-7a42-4d0f"
ONLY = Templates.only(TEMPLATE, NAMES)
TOTAL_S = 0.6  # the real one is 10 s; the promise is that it is total
WALL_S = 1_790_000_000.5  # a moment after notification() was made; no half hour, at which Feishu's wait


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
    gives_token: Behaviour | None = None
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


def wecom_token(token: str = SECRET, span_s: int = 7200) -> Behaviour:
    body = {"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": span_s}
    return reply(200, json.dumps(body).encode())


def wecom_app_dialect() -> Dialect:
    """The token is the secret here: it is what stands in the path of every message."""
    clock = Hand()

    def build(base: str, tls: ssl.SSLContext | None) -> Channel:
        site = Site(Origin.parse(f"{base}/cgi-bin"), TOTAL_S, tls)
        return WecomApp(site, "ww0123456789abcdef", 1000002, Secret("corp-" + SECRET), clock, buttons=True)

    return Dialect(
        "wecom_app",
        build,
        wecom(0, "ok"),
        wecom(45009, "api freq out of limit"),
        60.0,
        wecom(81013, "user & party & tag all invalid"),
        True,
        secret_in_path=True,
        clock=clock,
        gives_token=wecom_token(),
    )


def signed_robot(name: str, made: type[Signed], path: str, *answers: Behaviour, wait_s: float) -> Dialect:
    """`answers`: accepted, throttled for `wait_s`, refused."""
    clock = Hand()

    def build(base: str, tls: ssl.SSLContext | None) -> Channel:
        site = Site(Origin.parse(f"{base}{path}"), TOTAL_S, tls)
        return made(site, Secret(SECRET), Secret("sign-" + SECRET), clock, lambda: WALL_S)

    ok, limit, bad = answers
    return Dialect(name, build, ok, limit, wait_s, bad, True, secret_in_path=True, clock=clock)


def dingtalk_dialect() -> Dialect:
    ok, limit = wecom(0, "ok"), wecom(130101, "send too fast, exceed 20 times per minute")
    bad = wecom(310000, "sign not match")
    return signed_robot("dingtalk", Dingtalk, "/robot/send", ok, limit, bad, wait_s=600.0)


def feishu(code: int, message: str = "") -> Behaviour:
    return reply(200, json.dumps({"code": code, "msg": message, "data": {}}).encode())


def feishu_dialect() -> Dialect:
    ok, limit = feishu(0, "success"), feishu(11232, "frequency limited")
    bad = feishu(19021, "sign match fail or timestamp is not within one hour from current time")
    return signed_robot("feishu", Feishu, "/open-apis/bot/v2/hook", ok, limit, bad, wait_s=10.0)


# ---------------------------------------------------------------- clouds


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
    return SmsAliyun(account, SIGN, more.pop("templates", ONLY), **more)


def voice_aliyun(base: str, tls: ssl.SSLContext | None = None, **more: Any) -> VoiceAliyun:
    account = _account(base, tls, more.pop("wall", lambda: WALL_S))
    return VoiceAliyun(account, more.pop("templates", ONLY), "02164310000", **more)


def _account(base: str, tls: ssl.SSLContext | None, wall: Callable[[], float]) -> Account:
    return Account(Site(Origin.parse(base), TOTAL_S, tls), KEY_ID, Secret(SECRET), wall)


def sms_tencent(base: str, tls: ssl.SSLContext | None = None, **more: Any) -> SmsTencent:
    site, wall = Site(Origin.parse(base), TOTAL_S, tls), more.pop("wall", lambda: WALL_S)
    order = {"SmsSdkAppId": "1400006666", "SignName": SIGN}
    return SmsTencent(site, KEY_ID, Secret(SECRET), order, more.pop("templates", ONLY), wall=wall, **more)


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
    "dingtalk": dingtalk_dialect,
    "feishu": feishu_dialect,
    "sms_aliyun": sms_aliyun_dialect,
    "sms_tencent": sms_tencent_dialect,
    "voice_aliyun": voice_aliyun_dialect,
    "webhook": webhook_dialect,
    "wecom_app": wecom_app_dialect,
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
