"""`sms_aliyun`: an SMS by Aliyun (dysmsapi 2017-05-25; domain notes 5.4).

An approved template is sent and nothing else; it has room for no link. Delivery comes as a push
(SmsReport), or is asked for (QuerySendDetails): a gateway that nobody can call knows it too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from gateway.adapters import http
from gateway.channels import aliyun, clouds, coded
from gateway.channels.aliyun import Account
from gateway.channels.base import Answer, Barred, Call, Heard, Receipted, Replied, Secret, Setup
from gateway.channels.clouds import mobile
from gateway.core.model import SECOND, Notification, Told
from gateway.core.quotas import DAY_S, PERSON, Per, Quota
from gateway.core.templates import Template, Templates

SETTINGS = frozenset(
    {"key_id", "sign", "template", "variables", "receipt_within", "token_file", "url", "at_most"}
)
REQUIRED = frozenset({"key_id", "sign", "template", "variables"})
BLANKS = "${level}"
SECRETS = frozenset({"key_secret_file"})
URL = "https://dysmsapi.aliyuncs.com"
QUOTAS = (Quota(most=50, span_s=DAY_S, per=Per.ADDRESS, reserve=10), *PERSON)  # of one template
DETAILS_MOST = 50  # a page of QuerySendDetails; more than a number gets in a day of one template
CHINA_S = 8 * 3600  # days are theirs
WAITS, FAILED, DELIVERED = 1, 2, 3  # SendStatus
QUERY_S = 3.0  # of the 10 s of an attempt: the rest is for the sending
FRESH_S = 3.0  # what is older has waited, or was sent by a process that did not live to write it down


class SmsAliyun:
    """`token` is what their pushes must say; without one, nothing is heard."""

    def __init__(
        self,
        account: Account,
        sign: str,
        templates: Templates,
        receipt_s: float = clouds.RECEIPT_S,
        token: Secret | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account, self._sign, self._templates = account, sign, templates
        self._receipt_s, self._token, self._barred = receipt_s, token, Barred(now)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        found = clouds.how(notification, self._templates, self._barred)
        if isinstance(found, Answer):
            return found
        number, template = found
        until, order = self._account.deadline(), self._order(notification, template, number)
        answer = self._earlier(notification, until) or self._ordered(order, number, until)
        return replace(answer, receipt_s=self._receipt_s)

    def _ordered(self, order: Mapping[str, str], number: str, until: float) -> Answer:
        judge = partial(aliyun.judge, barred=self._barred, number=number)
        return self._account.order("SendSms", order, until, "BizId", judge)

    def _earlier(self, notification: Notification, until: float) -> Answer | None:
        """What came of an earlier attempt, if there may have been one; None: it is to be sent."""
        if self._account.wall() - notification.created_ns / SECOND < FRESH_S:
            return None
        try:
            sent = self._details(notification, min(until, time.monotonic() + QUERY_S))
        except (http.Unreachable, http.Unanswered) as error:
            return Answer(Told.LATER, str(error))
        return Answer(Told.ACCEPTED, "taken before", number=notification.id) if sent else None

    def _order(self, notification: Notification, template: Template, number: str) -> dict[str, str]:
        return {
            "PhoneNumbers": number,
            "SignName": template.sign or self._sign,
            "TemplateCode": template.id,
            "TemplateParam": msgspec.json.encode(template.fill(notification)).decode(),
            "OutId": notification.id,
        }

    # ------------------------------------------------------------ receipts and replies

    def ask(self, notification: Notification) -> Receipted | None:
        """By our own id of it, so that also what may never have been taken is found."""
        try:
            sent = self._details(notification, self._account.deadline())
        except (http.Unreachable, http.Unanswered):
            return None
        if sent.get("SendStatus") not in (FAILED, DELIVERED):
            return None
        return Receipted(notification.id, sent["SendStatus"] == DELIVERED, clouds.text(sent, "ErrCode"))

    def _details(self, notification: Notification, until: float) -> Mapping[str, Any]:
        """What the provider knows of it, empty when that is nothing. Raises what Site.post does."""
        days = _day(self._account.wall()), _day(notification.created_ns / SECOND)
        for day in dict.fromkeys(days):
            query = {
                "PhoneNumber": mobile(notification.address),
                "SendDate": day,
                "PageSize": str(DETAILS_MOST),
                "CurrentPage": "1",
            }
            for sent in _listed(coded.read(self._account.post("QuerySendDetails", query, until))):
                if sent.get("OutId") == notification.id:
                    return sent
        return {}

    def hear(self, call: Call) -> Heard:
        return clouds.heard(call, self._token, aliyun.HEARD, _pushed)


def _day(wall_s: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(wall_s + CHINA_S))


def _listed(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """SmsSendDetailDTOs.SmsSendDetailDTO of an answer; nothing when it is not sound."""
    outer = document.get("SmsSendDetailDTOs")
    found = outer.get("SmsSendDetailDTO") if isinstance(outer, dict) else None
    return (one for one in (found if isinstance(found, list) else ()) if isinstance(one, dict))


def _pushed(item: Mapping[str, Any]) -> Iterator[Receipted | Replied]:
    """An entry of SmsReport (has `success`) or of SmsUp (has `content`)."""
    if "success" in item:
        name = clouds.text(item, "out_id") or clouds.text(item, "biz_id")
        words = f"{clouds.text(item, 'err_code')} {clouds.text(item, 'err_msg')}".strip()
        yield Receipted(name, item["success"] in (True, "true"), words)
    elif "content" in item:
        yield Replied(clouds.text(item, "phone_number"), clouds.text(item, "content"))


def build(setup: Setup) -> SmsAliyun:
    said, site = setup.settings, http.Site(setup.origin(URL))
    account = Account(site, said["key_id"], setup.secret("key_secret_file"))
    receipt_s = clouds.receipt_s(setup, clouds.RECEIPT_S)
    return SmsAliyun(account, said["sign"], clouds.templates(setup), receipt_s, clouds.token(setup))
