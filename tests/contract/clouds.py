"""The practice clouds on a pretend provider's wire, and Tencent's.

`lose` takes an order and says nothing, which is what a time-out after acceptance is.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from typing import Any

from gateway.channels import signers
from simulators import clouds
from simulators.clouds import DAY_S, KEY_ID, SIGN, Cloud, Taken
from tests.contract.provider import Provider, Request, reply

MOBILE = "13812341234"


class Wired(Cloud):
    """A cloud as a behaviour of a Provider."""

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


class Aliyun(clouds.Aliyun, Wired):
    """Both services of Aliyun."""


# ---------------------------------------------------------------- Tencent


APP_ID = "1400006666"
PULLS = ("PullSmsSendStatus", "PullSmsReplyStatus")


class Tencent(Wired):
    """sms 2021-01-11. `waiting`: what is fetched of each kind; once, as from a queue, unless `repeats`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.waiting: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PULLS}
        self.granted, self.repeats = set(PULLS), False

    def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        if code := self.unsigned(request):
            return 200, self.failed(code)
        order, action = json.loads(request.body), request.headers["x-tc-action"]
        if action in PULLS:
            return 200, self.pulled(action, order)
        if action != "SendSms":
            return 200, self.failed("InvalidAction")
        statuses = [self.status(order, phone) for phone in order["PhoneNumberSet"]]
        return 200, {"Response": {"SendStatusSet": statuses, "RequestId": "R"}}

    def failed(self, code: str) -> dict[str, Any]:
        return {"Response": {"Error": {"Code": code, "Message": "no"}, "RequestId": "R"}}

    def pulled(self, kind: str, order: Mapping[str, Any]) -> dict[str, Any]:
        if order.keys() != {"Limit", "SmsSdkAppId"} or not 1 <= order["Limit"] <= 100:
            return self.failed("InvalidParameter")
        if order["SmsSdkAppId"] != APP_ID:
            return self.failed("UnauthorizedOperation.SmsSdkAppIdVerifyFail")
        if kind not in self.granted:
            return self.failed("UnsupportedOperation")
        given = self.waiting[kind][: order["Limit"]]
        if not self.repeats:
            del self.waiting[kind][: order["Limit"]]
        return {"Response": {f"{kind}Set": given, "RequestId": "R"}}

    def reported(self, *taken: Taken, delivered: bool = True) -> None:
        """The carrier has told what became of them."""
        self.waiting["PullSmsSendStatus"] += [
            {
                "UserReceiveTime": 1_790_000_000, "CountryCode": "86", "SubscriberNumber": one.phone[3:],
                "PhoneNumber": one.phone, "SerialNo": one.number, "SessionContext": one.out_id,
                "ReportStatus": "SUCCESS" if delivered else "FAIL",
                "Description": "DELIVRD" if delivered else "用户关机",
            }
            for one in taken
        ]  # fmt: skip

    def replied(self, text: str, at_s: int = 1_790_000_000) -> None:
        """Somebody has answered."""
        self.waiting["PullSmsReplyStatus"].append(
            {
                "ExtendCode": "", "CountryCode": "86", "PhoneNumber": f"+86{MOBILE}", "SignName": SIGN,
                "ReplyContent": text, "ReplyTime": at_s, "SubscriberNumber": MOBILE,
            }
        )  # fmt: skip

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
        most = self.approved.get(order["TemplateId"])
        if most is None:
            return "FailedOperation.TemplateIncorrectOrUnapproved", None
        if len(values) != len(most):
            return "FailedOperation.TemplateParamSetNotMatchApprovedTemplate", None
        if any("://" in value for value in values):
            return "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", None
        if any(len(value) > room for value, room in zip(values, most.values(), strict=True)):
            return "InvalidParameterValue.TemplateParameterLengthLimit", None
        words = {30.0: "ThirtySecond", 3600.0: "OneHour", DAY_S: "Daily"}
        if span_s := self.over(phone):
            return f"LimitExceeded.PhoneNumber{words[span_s]}Limit", None
        return "Ok", self.take(order["SessionContext"], phone, values, order["TemplateId"])

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
