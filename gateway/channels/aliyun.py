"""Aliyun's calls: one action of one service, signed, as a POST with everything in its query.

Contract: https://help.aliyun.com, V3 signature, and domain notes 5.4 and 5.6. 200 does not mean sent.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gateway.adapters import http
from gateway.channels import clouds, signers
from gateway.channels.base import Answer, Barred, Secret
from gateway.channels.clouds import Coded
from gateway.core.model import Told

VERSION = "2017-05-25"  # of both services, SMS and voice
EMPTY = hashlib.sha256(b"").hexdigest()
HEARD = b'{"code":0,"msg":"OK"}'  # what a push wants to hear; anything else, and it comes again
LIMIT = "isv.BUSINESS_LIMIT_CONTROL"
LIMITS = {"分钟": 60.0, "小时": 900.0, "天": 3600.0}  # which limit, in their words -> seconds left alone
BUSY_S = 5.0
FOR_NOW = ("Throttling", "ServiceUnavailable", "InternalError", "isp.SYSTEM_ERROR")  # what a code begins with
CLOCK = ("InvalidTimeStamp", "IllegalTimestamp", "InvalidTimestamp", "SignatureExpired")
MONEY = "the account has no money left, or is barred: top it up in the console"
TEMPLATE = "the template is not approved, or not this account's: check it in the console"
VARIABLES = "the template's variables are others than the setting names"
RAM = "the key may not do this: grant its RAM user AliyunDysmsFullAccess or AliyunDyvmsFullAccess"
HINTS = {
    "isv.AMOUNT_NOT_ENOUGH": MONEY,
    "isv.OUT_OF_SERVICE": MONEY,
    "isv.ACCOUNT_ABNORMAL": MONEY,
    "isv.SMS_TEMPLATE_ILLEGAL": TEMPLATE,
    "isv.TTS_TEMPLATE_ILLEGAL": TEMPLATE,
    "isv.TEMPLATE_ILLEGAL": TEMPLATE,
    "isv.TEMPLATE_MISSING_PARAMETERS": VARIABLES,
    "isv.TEMPLATE_PARAMS_ILLEGAL": VARIABLES,
    "isv.SMS_SIGNATURE_ILLEGAL": "the sign is not approved: check it in the console",
    "isv.SMS_SIGN_ILLEGAL": "the sign is not approved: check it in the console",
    "isv.MOBILE_NUMBER_ILLEGAL": "the number does not exist: correct the person's reach",
    "isv.DISPLAY_NUMBER_ILLEGAL": "the number shown or called is not right: check show_number and reach",
    "isv.PARAM_LENGTH_LIMIT": "a variable is too long for its type in the template",
    "isv.PARAM_NOT_SUPPORT_URL": "a variable holds a link, which is not let through",
    "isv.BLACK_KEY_CONTROL_LIMIT": "a variable holds a word that is not let through",
    "isv.VOICE_ROBOT_NOT_PERIOD": "calls are not let through at this hour: ask the provider for the night",
    "isp.RAM_PERMISSION_DENY": RAM,
    "Forbidden.RAM": RAM,
    "NoPermission": RAM,
    "InvalidAccessKeyId.NotFound": "the key_id is not known: was the key deleted?",
    "SignatureDoesNotMatch": "the content of key_secret_file does not belong to key_id",
}


class Account:
    """Who we are at one Aliyun service. `wall` is Unix seconds, for the signature's 15 minutes."""

    def __init__(
        self, site: http.Site, key_id: str, secret: Secret, wall: Callable[[], float] = time.time
    ) -> None:
        self._site, self._key_id, self._secret, self.wall = site, key_id, secret, wall

    def deadline(self) -> float:
        """By when exchanges that begin now have ended, however many they are."""
        return self._site.deadline()

    def post(self, action: str, query: Mapping[str, str], until: float) -> http.Reply:
        """The reply to one action. Raises what Site.post does."""
        signed = {
            "host": self._site.origin.authority,
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.wall())),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": EMPTY,
        }
        authorization = signers.aliyun(self._key_id, self._secret.reveal(), query, signed)
        headers = {name: value for name, value in signed.items() if name != "host"}
        headers |= {"Authorization": authorization, "Accept": "application/json", "User-Agent": "lilong"}
        return self._site.post(f"/?{signers.aliyun_query(query)}", b"", headers, until)

    def order(
        self,
        action: str,
        query: Mapping[str, str],
        until: float,
        number: str,
        judge: Callable[[Coded], Answer],
    ) -> Answer:
        """What became of a message; `number` is the field that names it in the answer."""

        def read(document: Mapping[str, Any]) -> Coded | None:
            code, words = clouds.text(document, "Code"), clouds.text(document, "Message")
            return Coded(code, words, clouds.text(document, number)) if code else None

        secret = self._secret
        ask = partial(self.post, action, query, until)
        return clouds.attempt(ask, lambda reply: clouds.judged(reply, secret, read, judge), secret)


def judge(coded: Coded, barred: Barred, number: str) -> Answer:
    """A code of Aliyun's, for a message to a number."""
    code, said, own = coded
    if code == "OK":
        return Answer(Told.ACCEPTED, "OK", number=own)
    if code == LIMIT:
        spans = [span_s for word, span_s in LIMITS.items() if word in said]
        return clouds.later(barred, number, said, spans[0] if spans else LIMITS["小时"])
    if code.startswith(FOR_NOW):
        return Answer(Told.LATER, said, BUSY_S)
    return clouds.refused(said, clouds.CLOCK if code.startswith(CLOCK) else HINTS.get(code))
