"""`sms_tencent`: an SMS by Tencent Cloud (sms 2021-01-11; domain notes 5.5).

One answer holds a status for each number: a 200 with a request id says nothing of ours. Delivery and
replies come as calls to us, or are fetched (`pull`; their support must grant it) where nobody can call. A
receipt that calls names their serial number alone: of a message whose answer we never heard, none is known.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from gateway.adapters import http
from gateway.channels import clouds, coded, signers
from gateway.channels.base import Answer, Barred, Call, Form, Heard, Receipted, Replied, Secret, Setup, detail
from gateway.channels.clouds import Coded
from gateway.core.model import Notification, Told
from gateway.core.quotas import DAY_S, HOUR_S, PERSON, Per, Quota
from gateway.core.templates import Template, Templates
from gateway.telemetry import mask

SETTINGS = frozenset(
    {"key_id", "app_id", "region", "sign", "template", "variables"}
    | {"receipt_within", "token_file", "pull", "url", "at_most"}
)
REQUIRED = frozenset({"key_id", "app_id", "sign", "template", "variables"})
SECRETS = frozenset({"key_secret_file"})
BLANKS = "{1}"
URL = "https://sms.tencentcloudapi.com"
VERSION, REGION = "2021-01-11", "ap-guangzhou"
FORMS = {"pull": Form(re.compile(r"(?:[2-9]|[1-5][0-9]|60)s"), "2s 到 60s", "2s to 60s")}
PULL_MOST, PULLS_MOST = 100, 5  # entries of one fetch; fetches in a row while each is full
PULL_S_MOST = 8.0  # for all of them
SEEN_MOST = 2_000  # entries that we would know again
GRANT = "ask Tencent's sms helper to open PullSmsSendStatus and PullSmsReplyStatus for this app"
NOT_GRANTED = re.compile("Unauthorized|Unsupported|NotActivated|Forbid", re.IGNORECASE)
HEARD = b'{"result":0,"errmsg":"OK"}'
BUSY_S = 5.0
QUOTAS = (  # as every account has them at first
    Quota(most=1, span_s=30.0, per=Per.ADDRESS),
    Quota(most=5, span_s=HOUR_S, per=Per.ADDRESS, reserve=2),
    Quota(most=10, span_s=DAY_S, per=Per.ADDRESS, reserve=4),
    *PERSON,
)
LIMITS = {  # of one number -> seconds it is left alone
    "LimitExceeded.PhoneNumberThirtySecondLimit": 30.0,
    "LimitExceeded.PhoneNumberOneHourLimit": 900.0,
    "LimitExceeded.PhoneNumberDailyLimit": 3600.0,
    "LimitExceeded.PhoneNumberSameContentDailyLimit": 3600.0,
    "LimitExceeded.DeliveryFrequencyLimit": 60.0,
    "LimitExceeded": 60.0,
}
MAYBE_SENT = "InternalError.Timeout"  # they did not hear from their own sending in time
CLOCK = "AuthFailure.SignatureExpire"
KEY = "check key_id and key_secret_file: the key may have been deleted or barred"
HINTS = {
    "AuthFailure.SecretIdNotFound": KEY,
    "AuthFailure.SignatureFailure": "the content of key_secret_file does not belong to key_id",
    "AuthFailure.UnauthorizedOperation": "the key may not do this: grant it QcloudSMSFullAccess",
    "UnauthorizedOperation.RequestIpNotInWhitelist": "this box's address is not on the list in the console",
    "UnauthorizedOperation.SmsSdkAppIdVerifyFail": "the app_id is not this account's",
    "FailedOperation.InsufficientBalanceInSmsPackage": "the package is used up: buy another in the console",
    "FailedOperation.SignatureIncorrectOrUnapproved": "the sign is not approved: check it in the console",
    "FailedOperation.TemplateIncorrectOrUnapproved": "the template is not approved: check it in the console",
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": (
        "the template has another number of variables than the setting names"
    ),
    "FailedOperation.ContainSensitiveWord": "a variable holds a word that is not let through",
    "FailedOperation.PhoneNumberInBlacklist": "the person has unsubscribed from SMS, or the carrier bars it",
    "InvalidParameterValue.IncorrectPhoneNumber": "the number does not exist: correct the person's reach",
    "InvalidParameterValue.TemplateParameterLengthLimit": "a variable is too long for the template",
    "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter": "a variable holds a link",
}


class SmsTencent:
    """`wall` is Unix seconds, for the signature's 5 minutes; `token` what their calls must say."""

    def __init__(
        self,
        site: http.Site,
        key_id: str,
        secret: Secret,
        order: Mapping[str, str],
        templates: Templates,
        region: str = REGION,
        receipt_s: float = 0.0,
        token: Secret | None = None,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
        pull_s: float = 0.0,
    ) -> None:
        self.pull_s, self._seen = pull_s, OrderedDict[str, None]()
        self._pulled = http.Site(site.origin, PULL_S_MOST, site.tls)  # a fetch keeps no sending waiting
        self._site, self._key_id, self._secret = site, key_id, secret
        self._order, self._templates, self._region = order, templates, region
        self._receipt_s, self._token, self._wall, self._barred = receipt_s, token, wall, Barred(now)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        found = clouds.how(notification, self._templates, self._barred)
        if isinstance(found, Answer):
            return found
        number, template = found
        body = msgspec.json.encode(self._ordered(notification, template, number))
        ask = partial(self._site.post, "/", body, self._headers(body, "SendSms"))
        answer = clouds.attempt(ask, partial(self._judge, number), self._secret)
        return replace(answer, receipt_s=self._receipt_s)

    def _judge(self, number: str, reply: http.Reply) -> Answer:
        return clouds.judged(reply, self._secret, _coded, partial(self._judge_code, number))

    def _ordered(self, notification: Notification, template: Template, number: str) -> dict[str, Any]:
        return {
            **self._order,
            "SignName": template.sign or self._order["SignName"],
            "TemplateId": template.id,
            "PhoneNumberSet": [f"+86{number}"],
            "TemplateParamSet": list(template.fill(notification).values()),
            "SessionContext": notification.id,
        }

    def _headers(self, body: bytes, action: str) -> dict[str, str]:
        timestamp_s, host = int(self._wall()), self._site.origin.authority
        signed = signers.tencent(self._key_id, self._secret.reveal(), host, timestamp_s, body)
        return {
            "Authorization": signed,
            "Content-Type": signers.TENCENT_TYPE,
            "X-TC-Action": action,
            "X-TC-Version": VERSION,
            "X-TC-Region": self._region,
            "X-TC-Timestamp": str(timestamp_s),
        }

    def _judge_code(self, number: str, answer: Coded) -> Answer:
        code, said, own = answer
        if code == "Ok":
            return Answer(Told.ACCEPTED, "Ok", number=own)
        if code in LIMITS:
            return clouds.later(self._barred, number, said, LIMITS[code])
        if code == MAYBE_SENT:
            return Answer(Told.UNKNOWN, said)
        if code.startswith(("RequestLimitExceeded", "LimitExceeded", "InternalError")):
            return Answer(Told.LATER, said, BUSY_S)
        return clouds.refused(said, clouds.CLOCK if code == CLOCK else HINTS.get(code))

    # ------------------------------------------------------------ receipts and replies

    def hear(self, call: Call) -> Heard:
        return clouds.heard(call, self._token, HEARD, _called)

    def pull(self) -> list[Receipted | Replied]:
        """What one fetch brought is kept, whatever becomes of the next: it is not said again."""
        until, found = self._pulled.deadline(), list[Mapping[str, Any]]()
        for kind in ("PullSmsSendStatus", "PullSmsReplyStatus"):
            for _ in range(PULLS_MOST):
                entries = self._entries(kind, until, bool(found))
                found += entries
                if len(entries) < PULL_MOST:
                    break
        return [said for entry in found if self._is_new(entry) for said in _pulled(entry)]

    def _entries(self, kind: str, until: float, some: bool) -> list[Mapping[str, Any]]:
        """Of one fetch. Raises ValueError, but not once there is something to lose."""
        body = msgspec.json.encode({"Limit": PULL_MOST, "SmsSdkAppId": self._order["SmsSdkAppId"]})
        try:
            reply = self._pulled.post("/", body, self._headers(body, kind), until)
            return _set_of(coded.read(reply), f"{kind}Set")
        except (http.Unreachable, http.Unanswered, ValueError) as error:
            if some:
                return []
            raise ValueError(mask(detail(f"{kind}: {error}", self._secret))) from None

    def _is_new(self, entry: Mapping[str, Any]) -> bool:
        """The same entry twice is one: of receipts the core would know it, of words not."""
        key = hashlib.sha256(msgspec.json.encode(entry, order="sorted")).hexdigest()
        known, self._seen[key] = key in self._seen, None
        if len(self._seen) > SEEN_MOST:
            self._seen.popitem(last=False)
        return not known


def _coded(document: Mapping[str, Any]) -> Coded | None:
    """The status of the one number, or the error of the whole request."""
    response = document.get("Response")
    if not isinstance(response, dict):
        return None
    failed, statuses = response.get("Error"), response.get("SendStatusSet")
    if isinstance(failed, dict):
        found = failed
    elif isinstance(statuses, list) and len(statuses) == 1 and isinstance(statuses[0], dict):
        found = statuses[0]
    else:
        return None
    code = clouds.text(found, "Code")
    return Coded(code, clouds.text(found, "Message"), clouds.text(found, "SerialNo")) if code else None


def _set_of(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The entries of an answer. Raises ValueError with what it says instead."""
    response = document.get("Response")
    response = response if isinstance(response, dict) else {}
    found, failed = response.get(name), response.get("Error")
    if isinstance(found, list):
        return [one for one in found if isinstance(one, dict)]
    if not isinstance(failed, dict):
        raise ValueError("no answer that can be understood")
    code, words = clouds.text(failed, "Code"), clouds.text(failed, "Message")
    hint = clouds.CLOCK if code == CLOCK else HINTS.get(code) or (GRANT if NOT_GRANTED.search(code) else "")
    raise ValueError("; ".join(filter(None, (f"{code} {words}"[: clouds.WORDS_MOST], hint))))


def _pulled(entry: Mapping[str, Any]) -> Iterator[Receipted | Replied]:
    """An entry of PullSmsSendStatusSet (has ReportStatus), or of PullSmsReplyStatusSet (has ReplyContent)."""
    if "ReportStatus" in entry:
        name = clouds.text(entry, "SessionContext") or clouds.text(entry, "SerialNo")
        yield Receipted(name, entry["ReportStatus"] == "SUCCESS", clouds.text(entry, "Description"))
    elif "ReplyContent" in entry:
        yield Replied(clouds.text(entry, "PhoneNumber"), clouds.text(entry, "ReplyContent"))


def _called(item: Mapping[str, Any]) -> Iterator[Receipted | Replied]:
    """An entry of a status report (has `report_status`), or a reply (has `text`)."""
    if "report_status" in item:
        words = f"{clouds.text(item, 'errmsg')} {clouds.text(item, 'description')}".strip()
        yield Receipted(clouds.text(item, "sid"), item["report_status"] == "SUCCESS", words)
    elif "text" in item:
        yield Replied(clouds.text(item, "mobile"), clouds.text(item, "text"))


def build(setup: Setup) -> SmsTencent:
    said, site, token = setup.settings, http.Site(setup.origin(URL)), clouds.token(setup)
    setup.judge(FORMS)
    pull_s = float(said.get("pull", "0s").removesuffix("s"))
    receipt_s = clouds.receipt_s(setup, clouds.RECEIPT_S if token or pull_s else 0.0)
    order = {"SmsSdkAppId": said["app_id"], "SignName": said["sign"]}
    return SmsTencent(
        site, said["key_id"], setup.secret("key_secret_file"), order, clouds.templates(setup),
        said.get("region", REGION), receipt_s, token, pull_s=pull_s,
    )  # fmt: skip
