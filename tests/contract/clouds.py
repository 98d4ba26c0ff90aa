"""Pretend clouds: they check signature, clock and limits as the real ones document, and remember.

A cloud takes an order, or refuses it inside a 200; `lose` takes it and says nothing, which is what a
time-out after acceptance is. What it has taken it can report, as its pushes do.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.channels import signers
from tests.contract.provider import Provider, Request, reply

DAY_S = 86_400.0
KEY_ID = "LTAI5tEXAMPLE"
SIGN, TEMPLATE, NAMES = "枫林街道", "SMS_154950909", ("level", "title", "place", "situation")
MOBILE = "13812341234"


@dataclass
class Taken:
    """One message or call that a cloud has accepted."""

    out_id: str
    number: str  # BizId, CallId, SerialNo
    phone: str
    at_s: float
    values: list[str]
    status: int = 1  # 1 on its way, 2 failed, 3 delivered


@dataclass
class Cloud:
    """`wall` is Unix seconds, and the only clock here."""

    secret: str
    wall: Callable[[], float]
    limits: Mapping[float, int]  # seconds -> how many to one number within them
    taken: list[Taken] = field(default_factory=list)
    tried: list[tuple[str, float]] = field(default_factory=list)  # refused ones count too, for some
    nonces: set[str] = field(default_factory=set)

    def behave(self, provider: Provider, wire: socket.socket) -> bool:
        status, body = self.answer(provider.requests[-1])
        return reply(status, json.dumps(body, ensure_ascii=False).encode())(provider, wire)

    def lose(self, provider: Provider, wire: socket.socket) -> bool:
        """Takes it; nobody hears of that."""
        self.answer(provider.requests[-1])
        provider.over.wait(30)
        return False

    def lose_at_the_gateway(self, provider: Provider, wire: socket.socket) -> bool:
        self.answer(provider.requests[-1])
        return reply(504, b"<html>gateway time-out</html>")(provider, wire)

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        raise NotImplementedError

    def over(self, phone: str) -> float:
        """The span whose limit this number has reached, 0 when none; the attempt is counted."""
        now = self.wall()
        self.tried.append((phone, now))
        for span_s, most in sorted(self.limits.items()):
            if sum(one == phone and now - at < span_s for one, at in self.tried) > most:
                return span_s
        return 0.0

    def take(self, out_id: str, phone: str, values: list[str]) -> Taken:
        one = Taken(out_id, f"9006{len(self.taken):014d}^0", phone, self.wall(), values)
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
        headers = request.headers
        date = datetime.fromisoformat(headers["x-acs-date"].replace("Z", "+00:00")).timestamp()
        if abs(date - self.wall()) > 900:
            return "InvalidTimeStamp.Expired"
        if headers["x-acs-signature-nonce"] in self.nonces:
            return "SignatureNonceUsed"
        self.nonces.add(headers["x-acs-signature-nonce"])
        expected = signers.aliyun(KEY_ID, self.secret, query, headers, request.body)
        return "" if headers.get("authorization") == expected else "SignatureDoesNotMatch"

    def sms(self, query: Mapping[str, str]) -> tuple[str, str, Taken | None]:
        phone = query["PhoneNumbers"]
        values = json.loads(query["TemplateParam"])
        if not re.fullmatch(r"1[3-9]\d{9}", phone):
            return "isv.MOBILE_NUMBER_ILLEGAL", f"{phone}invalid mobile number", None
        if query["SignName"] != SIGN:
            return "isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法", None
        if query["TemplateCode"] != TEMPLATE:
            return "isv.SMS_TEMPLATE_ILLEGAL", "短信模板不合法", None
        return self.deliver(query, phone, values)

    def call(self, query: Mapping[str, str]) -> tuple[str, str, Taken | None]:
        phone, values = query["CalledNumber"], json.loads(query["TtsParam"])
        if query["PlayTimes"] not in ("1", "2", "3"):
            return "isv.INVALID_PARAMETERS", "参数异常", None
        if query["TtsCode"] != TEMPLATE:
            return "isv.TTS_TEMPLATE_ILLEGAL", "TTS模板不合法", None
        return self.deliver(query, phone, values)

    def deliver(
        self, query: Mapping[str, str], phone: str, values: dict[str, str]
    ) -> tuple[str, str, Taken | None]:
        if set(values) != set(NAMES):
            return "isv.TEMPLATE_MISSING_PARAMETERS", "模板缺少变量", None
        if any("://" in value for value in values.values()):
            return "isv.PARAM_NOT_SUPPORT_URL", "不支持url", None
        if any(not 1 <= len(value) <= 35 for value in values.values()):
            return "isv.PARAM_LENGTH_LIMIT", "参数超出长度限制", None
        if span_s := self.over(phone):
            return "isv.BUSINESS_LIMIT_CONTROL", f"{LIMIT_WORDS[span_s]}:{self.limits[span_s]}", None
        return "OK", "OK", self.take(query["OutId"], phone, list(values.values()))

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


def china_day(wall_s: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(wall_s + 8 * 3600))


# ---------------------------------------------------------------- Tencent


class Tencent(Cloud):
    """sms 2021-01-11."""

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        if code := self.unsigned(request):
            return 200, {"Response": {"Error": {"Code": code, "Message": "no"}, "RequestId": "R"}}
        order = json.loads(request.body)
        statuses = [self.status(order, phone) for phone in order["PhoneNumberSet"]]
        return 200, {"Response": {"SendStatusSet": statuses, "RequestId": "R"}}

    def unsigned(self, request: Request) -> str:
        headers = request.headers
        timestamp_s = int(headers["x-tc-timestamp"])
        if abs(timestamp_s - self.wall()) > 300:
            return "AuthFailure.SignatureExpire"
        if not headers.get("x-tc-region") or headers["x-tc-version"] != "2021-01-11":
            return "MissingParameter"
        expected = signers.tencent(KEY_ID, self.secret, headers["host"], timestamp_s, request.body)
        if headers["content-type"] != signers.TENCENT_TYPE or headers.get("authorization") != expected:
            return "AuthFailure.SignatureFailure"
        return ""

    def status(self, order: Mapping[str, Any], phone: str) -> dict[str, str]:
        code, taken = self.judge(order, phone)
        return {
            "SerialNo": taken.number if taken else "", "PhoneNumber": phone, "Fee": str(int(code == "Ok")),
            "SessionContext": order["SessionContext"], "Code": code, "Message": f"{phone} {code}",
            "IsoCode": "CN",
        }  # fmt: skip

    def judge(self, order: Mapping[str, Any], phone: str) -> tuple[str, Taken | None]:
        values = order["TemplateParamSet"]
        if not re.fullmatch(r"\+861[3-9]\d{9}", phone):
            return "InvalidParameterValue.IncorrectPhoneNumber", None
        if order["SignName"] != SIGN:
            return "FailedOperation.SignatureIncorrectOrUnapproved", None
        if order["TemplateId"] != TEMPLATE:
            return "FailedOperation.TemplateIncorrectOrUnapproved", None
        if len(values) != len(NAMES):
            return "FailedOperation.TemplateParamSetNotMatchApprovedTemplate", None
        if any("://" in value for value in values):
            return "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", None
        words = {30.0: "ThirtySecond", 3600.0: "OneHour", DAY_S: "Daily"}
        if span_s := self.over(phone):
            return f"LimitExceeded.PhoneNumber{words[span_s]}Limit", None
        return "Ok", self.take(order["SessionContext"], phone, values)

    def report(self, *taken: Taken, delivered: bool = True) -> bytes:
        return json.dumps(
            [
                {
                    "user_receive_time": "2026-09-21 20:53:25", "nationcode": "86", "mobile": one.phone[3:],
                    "report_status": "SUCCESS" if delivered else "FAIL",
                    "errmsg": "DELIVRD" if delivered else "MK:0001",
                    "description": "用户短信送达成功" if delivered else "用户关机", "sid": one.number,
                }
                for one in taken
            ]
        ).encode()  # fmt: skip


TENCENT_LIMITS = {30.0: 1, 3600.0: 5, DAY_S: 10}
