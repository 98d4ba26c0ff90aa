"""Providers that answer 200 to everything: what they mean is a code in the body (WeCom, DingTalk, Feishu)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from gateway.adapters import http
from gateway.channels.base import Answer, Secret, detail, pause_s
from gateway.core.model import Told

JSON = {"Content-Type": "application/json; charset=utf-8"}
A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Where an answer has its code, 0 for success, and what the others mean: refused, if not said."""

    code: str = "errcode"
    words: str = "errmsg"
    for_now: Mapping[int, float]  # code -> seconds to wait
    hints: Mapping[int, str]  # what to do about a refusal


@dataclass(frozen=True, slots=True)
class Coded(Answer):
    """An Answer with what it was read from; the body may repeat secrets."""

    code: int | None = None  # None: the body had none
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


def attempt(ask: Callable[[], http.Reply], judge: Callable[[http.Reply], A], *secrets: Secret) -> A | Answer:
    """One exchange, and what to make of it when it fails on the way."""
    try:
        reply = ask()
    except http.Unreachable as error:
        return Answer(Told.LATER, detail(str(error), *secrets))
    except http.Unanswered as error:
        return Answer(Told.UNKNOWN, detail(str(error), *secrets))
    return judge(reply)


def judge(reply: http.Reply, codes: Codes, *secrets: Secret) -> Coded:
    said = detail(f"{reply.status} {reply.body.decode('utf-8', 'replace')}", *secrets)
    if reply.status == 429 or reply.status >= 500:
        return Coded(Told.LATER, said, pause_s(reply.headers))
    if reply.status != 200:
        return Coded(Told.REFUSED, said)
    body = read(reply)
    code = body.get(codes.code)
    if type(code) is not int:  # True is an int too
        return Coded(Told.UNKNOWN, f"200 without {_article(codes.code)}: {said}")
    words = detail(f"{codes.code} {code} {body.get(codes.words, '')}".strip(), *secrets)
    return _by_code(code, words, body, codes)


def _by_code(code: int, words: str, body: Mapping[str, Any], codes: Codes) -> Coded:
    if code == 0:
        return Coded(Told.ACCEPTED, f"{codes.code} 0", code=code, body=body)
    if code in codes.for_now:
        return Coded(Told.LATER, words, codes.for_now[code], code=code, body=body)
    said = f"{words}; {codes.hints[code]}" if code in codes.hints else words
    return Coded(Told.REFUSED, detail(said), code=code, body=body)


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def read(reply: http.Reply) -> Mapping[str, Any]:
    """The body when it is a whole JSON object, else nothing."""
    if not reply.whole:
        return {}
    try:
        body: Any = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
