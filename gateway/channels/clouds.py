"""What the SMS and voice channels of the Chinese clouds share.

A message there costs money and cannot be recognised when it is sent again: whatever may have been taken
is never sent twice (`once`). The status of an answer says little, its body all; limits are counted by
the provider, also for what it refuses, so that who is over one is left alone for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from gateway.adapters import http
from gateway.channels import coded
from gateway.channels.base import (
    RETRY_S_MOST,
    Answer,
    Barred,
    Call,
    Heard,
    Receipted,
    Replied,
    Secret,
    Setup,
    detail,
    pause_s,
)
from gateway.core.model import Notification, Told
from gateway.core.templates import Template, Templates, variables
from gateway.telemetry import mask

GATEWAY_TIMEOUT = 504  # somebody between us did not hear the answer: it may have been taken
WORDS_MOST = 100  # of theirs before our hint: all of a detail is at most 200
RECEIPT_S, RECEIPT_S_MOST = 60.0, 600.0
MOBILE = re.compile(r"(?:(?:\+|00)?86)?(1[3-9]\d{9})", re.ASCII)
TOKEN_LEAST = 16
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_LEAST},128}}")  # it stands in an address
NO_MOBILE = "the address is no mobile number of the mainland: 11 digits, with or without +86"
CLOCK = "this box's clock is off, so its signatures are not accepted: put its clock right (chronyc tracking)"


class Coded(NamedTuple):
    """What the body of an answer says: the provider's code, its words, its name of the message."""

    code: str
    words: str
    number: str = ""


# ---------------------------------------------------------------- one request


def attempt(ask: Callable[[], http.Reply], judge: Callable[[http.Reply], Answer], secret: Secret) -> Answer:
    """One exchange. Whatever leaves it unknown whether a message was taken is not to be sent again."""
    answer = coded.attempt(ask, judge, secret)
    return replace(answer, detail=mask(answer.detail), once=answer.told is Told.UNKNOWN)


def judged(
    reply: http.Reply,
    secret: Secret,
    read: Callable[[Mapping[str, Any]], Coded | None],
    judge: Callable[[Coded], Answer],
) -> Answer:
    """What a reply means: by its body, if that has a code; a body without one is no answer."""
    whole = detail(f"{reply.status} {reply.body.decode('utf-8', 'replace')}", secret)
    if reply.status == GATEWAY_TIMEOUT:
        return Answer(Told.UNKNOWN, whole)
    if reply.status == 429 or reply.status >= 500:
        return Answer(Told.LATER, whole, pause_s(reply.headers))
    found = read(coded.read(reply))
    if found is not None:
        words = detail(f"{found.code} {found.words}", secret)
        return judge(found._replace(words=words))
    if 200 <= reply.status < 300:
        return Answer(Told.UNKNOWN, detail(f"no code in the answer: {whole}", secret))
    return Answer(Told.REFUSED, whole)


def refused(words: str, hint: str | None) -> Answer:
    """For good; with what to do about it, when we know that."""
    return Answer(Told.REFUSED, f"{words[:WORDS_MOST]}; {hint}" if hint else words)


def text(document: Mapping[str, Any], name: str) -> str:
    """A field that should be a text; "" when it is something else."""
    found = document.get(name)
    return found if isinstance(found, str) else ""


def how(told: Notification, templates: Templates, barred: Barred) -> tuple[str, Template] | Answer:
    """To which number and by which template; or why nothing is sent."""
    number, template = mobile(told.address), templates.of(told)
    if not number:
        return Answer(Told.REFUSED, NO_MOBILE, personal=True)
    if template is None:
        return unsaid(told)
    return over_limit(barred, number) or (number, template)


# ---------------------------------------------------------------- limits


def over_limit(barred: Barred, number: str) -> Answer | None:
    """LATER for a number that is over its limit; nothing is then sent, for the provider counts that too."""
    left_s = barred.left_s(number)
    if not left_s:
        return None
    words = f"this number has reached a limit of the provider: not asked again for {left_s:.0f} s"
    return Answer(Told.LATER, words, min(left_s, RETRY_S_MOST), personal=True)


def later(barred: Barred, number: str, said: str, span_s: float) -> Answer:
    barred.bar(number, span_s)
    return Answer(Told.LATER, said, min(span_s, RETRY_S_MOST), personal=True)


# ---------------------------------------------------------------- settings


def mobile(address: str) -> str:
    """The 11 digits of a mainland mobile number, however it is written; "" for anything else."""
    found = MOBILE.fullmatch(re.sub(r"[\s-]", "", address))
    return found[1] if found else ""


def templates(setup: Setup) -> Templates:
    """Those of the register, else the one that the entry itself names, for everything."""
    if setup.templates:
        return Templates(setup.templates)
    try:
        names = variables(setup.settings["variables"])
    except ValueError as error:
        raise ValueError(f"channels.{setup.name}.variables: {error}") from None
    return Templates.only(setup.settings["template"], names)


def unsaid(told: Notification) -> Answer:
    """Of this message alone: another kind has its template."""
    words = f"no approved template says that a case is {told.kind}: add one under templates in lilong.yaml"
    return Answer(Told.REFUSED, words, personal=True)


def receipt_s(setup: Setup, usual_s: float) -> float:
    """`receipt_within`: how long a receipt may take; 0: none is waited for."""
    written = setup.settings.get("receipt_within")
    if written is None:
        return usual_s
    found = re.fullmatch(r"(\d{1,3})s?", written, re.ASCII)
    if not found or int(found[1]) > RECEIPT_S_MOST:
        name = f"channels.{setup.name}.receipt_within"
        raise ValueError(f"{name}: found {written}, expected seconds, as in 60s, at most {RECEIPT_S_MOST:g}")
    return float(found[1])


def token(setup: Setup) -> Secret | None:
    """What the provider must say when it calls us; None: it cannot call."""
    if "token_file" not in setup.secrets:
        return None
    found = setup.secret("token_file")
    if not TOKEN.fullmatch(found.reveal()):
        raise ValueError(
            f"channels.{setup.name}.token_file: expected {TOKEN_LEAST} letters or digits, or more"
        )
    return found


# ---------------------------------------------------------------- what they call us with


def heard(
    call: Call,
    token: Secret | None,
    answer: bytes,
    read: Callable[[Mapping[str, Any]], Iterable[Receipted | Replied]],
) -> Heard:
    """A call with our token in its address, of one JSON object or an array of them. Raises ValueError."""
    given = call.query.get("token", "").encode()
    if token is None or not hmac.compare_digest(given, token.reveal().encode()):
        return Heard(403)
    try:
        found = msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("no JSON") from None
    items = found if isinstance(found, list) else [found]
    if not all(isinstance(item, dict) for item in items):
        raise ValueError("expected an object, or an array of them")
    said = tuple(one for item in items for one in read(item))
    return Heard(200, answer, "application/json", said, hashlib.sha256(call.body).hexdigest())
