"""Practice clouds that send SMS and make calls: strict about signature, clock and limits, as documented.

A cloud takes an order, or refuses it inside a 200. What it has taken it can report, as its pushes do. The
contract tests and the demo's telephones speak to the same ones. Contract: help.aliyun.com, V3 signature,
dysmsapi and dyvmsapi 2017-05-25.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

DAY_S = 86_400.0
KEY_ID = "LTAI5tEXAMPLE"
SIGN, TEMPLATE, NAMES = "枫林街道", "SMS_154950909", ("level", "title", "place", "situation")
NEWS = "SMS_154950910"  # the same without a call for an answer
APPROVED: Mapping[str, Mapping[str, int]] = {one: dict.fromkeys(NAMES, 35) for one in (TEMPLATE, NEWS)}
ALGORITHM = "ACS3-HMAC-SHA256"
SIGNED = re.compile(rf"{ALGORITHM} Credential=([^,]+),SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{{64}})")
ALWAYS_SIGNED = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-content-sha256"}
CLOCK_S = 900.0  # how far off a caller's clock may be


class Request(Protocol):
    """One HTTP request; the names of its headers are in lower case."""

    @property
    def path(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


@dataclass
class Taken:
    """One message or call that a cloud has accepted."""

    out_id: str
    number: str  # BizId, CallId, SerialNo
    phone: str
    at_s: float
    values: list[str]
    template: str = TEMPLATE
    status: int = 1  # 1 on its way, 2 failed, 3 delivered


@dataclass
class Cloud(ABC):
    """`wall` is Unix seconds, and the only clock here, unless `paced` counts the limits' time."""

    secret: str
    wall: Callable[[], float]
    limits: Mapping[float, int]  # seconds -> how many to one number within them
    paced: Callable[[], float] | None = None  # faster than life, in the demo
    sign: str = SIGN
    approved: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: dict(APPROVED))  # id -> lengths
    taken: list[Taken] = field(default_factory=list)
    tried: list[tuple[str, float]] = field(default_factory=list)  # refused ones count too, for some
    nonces: set[str] = field(default_factory=set)

    @abstractmethod
    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Status and body."""

    def over(self, phone: str) -> float:
        """The span whose limit this number has reached, 0 when none; the attempt is counted."""
        now = (self.paced or self.wall)()
        self.tried.append((phone, now))
        for span_s, most in sorted(self.limits.items()):
            if sum(one == phone and now - at < span_s for one, at in self.tried) > most:
                return span_s
        return 0.0

    def take(self, out_id: str, phone: str, values: list[str], template: str = TEMPLATE) -> Taken:
        one = Taken(out_id, f"9006{len(self.taken):014d}^0", phone, self.wall(), values, template=template)
        self.taken.append(one)
        return one


# ---------------------------------------------------------------- Aliyun

LIMIT_WORDS = {60.0: "触发分钟级流控Permits", 3600.0: "触发小时级流控Permits", DAY_S: "触发天级流控Permits"}
SMS_LIMITS = {DAY_S: 50}  # per number, signature and template, in a rolling day
CALL_LIMITS = {60.0: 1, 3600.0: 5, DAY_S: 20}


class Aliyun(Cloud):
    """dysmsapi and dyvmsapi 2017-05-25."""

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        query = dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True))
        if code := self.unsigned(request, query):
            return 400, {"Code": code, "Message": "Specified signature is not matched", "RequestId": "R"}
        action = request.headers["x-acs-action"]
        if action == "QuerySendDetails":
            return 200, self.details(query)
        code, words, taken = (self.sms if action == "SendSms" else self.call)(query)
        number = {"BizId" if action == "SendSms" else "CallId": taken.number} if taken else {}
        return 200, {"Code": code, "Message": words, "RequestId": "R", **number}

    def unsigned(self, request: Request, query: Mapping[str, str]) -> str:
        """The code of what is wrong with it, "" when it is signed as it should be."""
        headers = request.headers
        date = datetime.fromisoformat(headers["x-acs-date"].replace("Z", "+00:00")).timestamp()
        if abs(date - self.wall()) > CLOCK_S:
            return "InvalidTimeStamp.Expired"
        if headers["x-acs-signature-nonce"] in self.nonces:
            return "SignatureNonceUsed"
        self.nonces.add(headers["x-acs-signature-nonce"])
        found = SIGNED.fullmatch(headers.get("authorization", ""))
        if found is None or not set(found[2].split(";")) >= ALWAYS_SIGNED:
            return "IncompleteSignature"
        if found[1] != KEY_ID:
            return "InvalidAccessKeyId.NotFound"
        right = hmac.compare_digest(found[3], signature(self.secret, query, request, found[2].split(";")))
        return "" if right else "SignatureDoesNotMatch"

    def sms(self, query: Mapping[str, str]) -> tuple[str, str, Taken | None]:
        phone = query["PhoneNumbers"]
        values = json.loads(query["TemplateParam"])
        if not re.fullmatch(r"1[3-9]\d{9}", phone):
            return "isv.MOBILE_NUMBER_ILLEGAL", f"{phone}invalid mobile number", None
        if query["SignName"] != self.sign:
            return "isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法", None
        if query["TemplateCode"] not in self.approved:
            return "isv.SMS_TEMPLATE_ILLEGAL", "短信模板不合法", None
        return self.deliver(query, query["TemplateCode"], phone, values)

    def call(self, query: Mapping[str, str]) -> tuple[str, str, Taken | None]:
        phone, values = query["CalledNumber"], json.loads(query["TtsParam"])
        if query["PlayTimes"] not in ("1", "2", "3"):
            return "isv.INVALID_PARAMETERS", "参数异常", None
        if query["TtsCode"] not in self.approved:
            return "isv.TTS_TEMPLATE_ILLEGAL", "TTS模板不合法", None
        return self.deliver(query, query["TtsCode"], phone, values)

    def deliver(
        self, query: Mapping[str, str], template: str, phone: str, values: dict[str, str]
    ) -> tuple[str, str, Taken | None]:
        most = self.approved[template]
        if values.keys() != most.keys():
            return "isv.TEMPLATE_MISSING_PARAMETERS", "模板缺少变量", None
        if any("://" in value for value in values.values()):
            return "isv.PARAM_NOT_SUPPORT_URL", "不支持url", None
        if any(not 1 <= len(value) <= most[name] for name, value in values.items()):
            return "isv.PARAM_LENGTH_LIMIT", "参数超出长度限制", None
        if span_s := self.over(phone):
            return "isv.BUSINESS_LIMIT_CONTROL", f"{LIMIT_WORDS[span_s]}:{self.limits[span_s]}", None
        return "OK", "OK", self.take(query["OutId"], phone, list(values.values()), template)

    def details(self, query: Mapping[str, str]) -> dict[str, Any]:
        day = query["SendDate"]
        found = [
            {
                "PhoneNum": one.phone, "OutId": one.out_id, "SendStatus": one.status,
                "ErrCode": {1: "", 2: "MOBILE_NOT_ON_SERVICE", 3: "DELIVERED"}[one.status],
            }
            for one in self.taken
            if one.phone == query["PhoneNumber"] and china_day(one.at_s) == day
        ]  # fmt: skip
        return {"Code": "OK", "TotalCount": len(found), "SmsSendDetailDTOs": {"SmsSendDetailDTO": found}}

    # ------------------------------------------------------------ pushes

    def report(self, *taken: Taken, delivered: bool = True) -> bytes:
        """SmsReport."""
        return json.dumps(
            [
                {
                    "phone_number": one.phone, "send_time": "2026-09-21 20:53:20",
                    "report_time": "2026-09-21 20:53:25", "success": delivered,
                    "err_code": "DELIVERED" if delivered else "MOBILE_NOT_ON_SERVICE",
                    "err_msg": "用户接收成功" if delivered else "停机", "sms_size": "1",
                    "biz_id": one.number, "out_id": one.out_id,
                }
                for one in taken
            ]
        ).encode()  # fmt: skip

    def call_report(self, one: Taken, status: str = "200000", dtmf: str = "") -> bytes:
        """VoiceReport."""
        return json.dumps(
            [
                {
                    "status_code": status, "callee": one.phone, "duration": "10", "voice_type": "voice",
                    "call_id": one.number, "caller": "02164310000", "status_msg": "执行完成",
                    "out_id": one.out_id, "dtmf": dtmf, "toll_type": "LOCAL",
                }
            ]
        ).encode()  # fmt: skip


def signature(secret: str, query: Mapping[str, str], request: Request, named: list[str]) -> str:
    """What a caller who knows the secret writes: in hex. A second reading of the contract, on purpose."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    canonical = [
        *("POST", "/", "&".join(f"{name}={value}" for name, value in pairs)),
        *(f"{name}:{request.headers[name].strip()}" for name in named),
        *("", ";".join(named), hashlib.sha256(request.body).hexdigest()),
    ]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    return hmac.digest(secret.encode(), f"{ALGORITHM}\n{digest}".encode(), "sha256").hex()


def china_day(wall_s: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(wall_s + 8 * 3600))
