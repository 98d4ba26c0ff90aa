"""`voice_aliyun`: a call that reads a template aloud, by Aliyun (dyvmsapi 2017-05-25; domain notes 5.6).

Whether it was answered, and which key was pressed, comes as a push (VoiceReport) after the call; their
own query of a call is minutes behind and is not used. The same number: 1 a minute, 5 an hour, 20 a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from gateway.adapters import http
from gateway.channels import aliyun, clouds
from gateway.channels.aliyun import Account
from gateway.channels.base import Answer, Barred, Call, Heard, Receipted, Replied, Secret, Setup
from gateway.core.model import Failure, Notification
from gateway.core.quotas import DAY_S, HOUR_S, MINUTE_S, PERSON, Per, Quota
from gateway.core.templates import Template, Templates

LOUD = True  # it rings
SETTINGS = frozenset(
    {"key_id", "template", "variables", "show_number", "play_times", "receipt_within", "token_file"}
    | {"url", "at_most"}
)
REQUIRED = frozenset({"key_id", "template", "variables"})
SECRETS = frozenset({"key_secret_file"})
BLANKS = "${level}"
URL = "https://dyvmsapi.aliyuncs.com"
RECEIPT_S = 120.0  # it rings for up to a minute, is listened to, and only then reported
PLAY_TIMES = "2"
QUOTAS = (
    Quota(most=1, span_s=MINUTE_S, per=Per.ADDRESS),
    Quota(most=5, span_s=HOUR_S, per=Per.ADDRESS, reserve=2),
    Quota(most=20, span_s=DAY_S, per=Per.ADDRESS, reserve=8),
    *PERSON,
)
ANSWERED = {"200000": "接听并听完", "200001": "接听，没有听完"}
NOT_ANSWERED = {
    "200002": ("占线", Failure.BUSY),
    "200003": ("无人接听", Failure.NO_ANSWER),
    "200004": ("空号", Failure.INVALID),
    "200005": ("无法接通或拒接", Failure.OFF),
    "200007": ("不在服务区", Failure.OFF),
    "200010": ("关机", Failure.OFF),
    "200011": ("停机", Failure.OFF),
    "200012": ("呼叫受限", Failure.OTHER),
    "200117": ("来电显示号码不合法", Failure.OTHER),
    "200118": ("此时段限制呼叫", Failure.OTHER),
    "200119": ("呼叫过于频繁", Failure.OTHER),
    "200121": ("呼叫超过并发", Failure.OTHER),
}
UNDER_WAY = frozenset({"200100", "200101", "200102", "200201", "300000"})  # VoiceCallReport, not the end


class VoiceAliyun:
    def __init__(
        self,
        account: Account,
        templates: Templates,
        show_number: str = "",
        play_times: str = PLAY_TIMES,
        receipt_s: float = 0.0,
        token: Secret | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account, self._templates = account, templates
        self._show_number, self._play_times = show_number, play_times
        self._receipt_s, self._token, self._barred = receipt_s, token, Barred(now)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        found = clouds.how(notification, self._templates, self._barred)
        if isinstance(found, Answer):
            return found
        number, template = found
        order = self._order(notification, template, number)
        judge = partial(aliyun.judge, barred=self._barred, number=number)
        answer = self._account.order("SingleCallByTts", order, self._account.deadline(), "CallId", judge)
        return replace(answer, receipt_s=self._receipt_s)

    def _order(self, notification: Notification, template: Template, number: str) -> dict[str, str]:
        order = {
            "CalledNumber": number,
            "TtsCode": template.id,
            "TtsParam": msgspec.json.encode(template.fill(notification)).decode(),
            "PlayTimes": self._play_times,
            "OutId": notification.id,
        }
        return order | ({"CalledShowNumber": self._show_number} if self._show_number else {})

    def hear(self, call: Call) -> Heard:
        return clouds.heard(call, self._token, aliyun.HEARD, _pushed)


def _pushed(item: Mapping[str, Any]) -> Iterator[Receipted | Replied]:
    """An entry of VoiceReport, at the end of a call, or of VoiceCallReport, in its midst."""
    code, name = clouds.text(item, "status_code"), clouds.text(item, "out_id") or clouds.text(item, "call_id")
    if code and code not in UNDER_WAY:
        words, failure = NOT_ANSWERED.get(code, (ANSWERED.get(code, ""), Failure.OTHER))
        words = words or clouds.text(item, "status_msg")
        yield Receipted(name, code in ANSWERED, f"{words} {code}".strip(), failure)
    if key := clouds.text(item, "dtmf").strip("#* "):  # the call says whose; the number may come masked
        yield Replied("" if name else clouds.text(item, "callee"), key, name)


def build(setup: Setup) -> VoiceAliyun:
    said, site, token = setup.settings, http.Site(setup.origin(URL)), clouds.token(setup)
    account = Account(site, said["key_id"], setup.secret("key_secret_file"))
    play_times = said.get("play_times", PLAY_TIMES)
    if play_times not in ("1", "2", "3"):
        raise ValueError(f"channels.{setup.name}.play_times: found {play_times}, expected 1, 2 or 3")
    return VoiceAliyun(
        account, clouds.templates(setup), said.get("show_number", ""), play_times,
        clouds.receipt_s(setup, RECEIPT_S if token else 0.0), token,
    )  # fmt: skip
