"""`wecom_app`: a message of a WeCom app to one member, as a card with buttons (企业微信自建应用).

Contract: documents 90236 (send), 91039 (token), 94888 (update a card); domain notes 5.2. The status is
always 200: `errcode` is the answer, and under errcode 0 `invaliduser` may still say that nobody has it.
More than 30 messages a minute to one member vanish without a word: QUOTAS keeps well below. A pressed
button comes back by the callback; once somebody has answered, every card of the case says who.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.adapters import http
from gateway.channels import coded
from gateway.channels.base import Answer, Call, Form, Heard, Secret, Setup, cut, detail
from gateway.channels.coded import Coded
from gateway.channels.wecom_callback import KEY, TOKEN, Envelope
from gateway.channels.wording import door, fit, plain, sign, title
from gateway.core.asking import WORDED
from gateway.core.model import Kind, Level, Notification, Told, Verb
from gateway.core.quotas import PERSON, Per, Quota
from gateway.core.texts import BUTTONS, LEVELS

CALLBACK = frozenset({"callback_token_file", "callback_key_file"})  # both: the card has buttons
SETTINGS = (
    frozenset({"corp_id", "agent_id", "url", "at_most"}) | CALLBACK
)  # url: only for a relay that speaks the same
REQUIRED = frozenset({"corp_id", "agent_id"})
SECRETS = frozenset({"secret_file"})
URL = "https://qyapi.weixin.qq.com/cgi-bin"
SEND, UPDATE = "/message/send", "/message/update_template_card"

MEMBER_MOST, WINDOW_S = 16, 60.0  # of 30 a minute and 1,000 an hour: 16 a minute keeps both
RED_RESERVE = 4  # of those 16, kept free for red
QUOTAS = (Quota(most=MEMBER_MOST, span_s=WINDOW_S, per=Per.ADDRESS, reserve=RED_RESERVE), *PERSON)
TEXT_BYTES_MOST = 2048
TITLE_BYTES_MOST, BODY_BYTES_MOST = 128, 512  # of a card; more of it would be folded away
BUTTON_BYTES_MOST = 30
DUPLICATE_S = 4 * 3600  # the longest for which WeCom knows a repeated message again
RENEW_S = 300.0  # a token is given up so long before its time

OVER_LIMIT = 45009
STALE = frozenset({40014, 42001})  # the token: it may die before its time
FOR_NOW = {-1: 5.0, 45033: 5.0, OVER_LIMIT: 60.0} | dict.fromkeys(STALE, 5.0)  # errcode -> seconds
HINTS = {
    40001: "secret_file holds another app's secret, or an old one",
    40013: "corp_id is not a corp's id",
    40056: "agent_id is not an app's id",
    40091: "secret_file holds another app's secret, or an old one",
    48002: "the app may not call this interface",
    60011: "the member is not within what the app may see: widen it in the console",
    60020: "this box's address is not among the app's trusted ones (企业可信IP)",
    81013: "no such member, or not within what the app may see",
    301002: "agent_id and secret_file are of different apps",
}
UNREACHED = {  # listed under errcode 0
    "invaliduser": "no such member, or not within what the app may see",
    "unlicenseduser": "the member has no licence for messages of this app",
}
CODES = coded.Codes(for_now=FOR_NOW, hints=HINTS)
COLOURS = {Level.YELLOW: 0, Level.ORANGE: 1, Level.RED: 2}  # grey, black, red
GOOD_COLOUR = 3  # green
BLUE, GREY = 1, 4  # styles of a button

USERID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
FORMS = {
    "corp_id": Form(
        re.compile(r"[A-Za-z0-9_-]{6,64}"), "控制台显示的企业ID", "企业ID as the console shows it"
    ),
    "agent_id": Form(re.compile(r"[0-9]{1,12}"), "控制台显示的 AgentId", "AgentId as the console shows it"),
}
SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")


class Tokens:
    """The app's access token for whoever needs one: two fetches at once would kill each other's."""

    def __init__(self, site: http.Site, corp: str, secret: Secret, now: Callable[[], float]) -> None:
        self._site, self._secret, self._now = site, secret, now
        self._path = f"{site.origin.path}/gettoken?corpid={quote(corp)}&corpsecret={quote(secret.reveal())}"
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._good_until = 0.0

    def get(self, until: float, instead_of: Secret | None = None) -> Secret | Answer:
        """A token other than `instead_of`; or why there is none, and then nothing was sent."""
        with self._lock:
            if self._token is None or self._token is instead_of or self._now() >= self._good_until:
                return self._fetch(until)
            return self._token

    def _fetch(self, until: float) -> Secret | Answer:
        self._token = None
        ask = partial(self._site.get, self._path, {}, until)
        answer = coded.attempt(ask, self._judge, self._secret)
        if answer.told is Told.UNKNOWN:
            return replace(answer, told=Told.LATER)
        return self._token or answer

    def _judge(self, reply: http.Reply) -> Answer:
        answer = coded.judge(reply, CODES, self._secret)
        if answer.told is not Told.ACCEPTED:
            return answer
        token, span_s = answer.body.get("access_token"), answer.body.get("expires_in")
        if not isinstance(token, str) or not token or type(span_s) is not int:
            return Answer(Told.LATER, "errcode 0 without an access_token")
        self._token, self._good_until = Secret(token), self._now() + max(span_s - RENEW_S, 0.0)
        return answer


class WecomApp:
    """`now` is steady seconds, for the token's life."""

    def __init__(
        self,
        site: http.Site,
        corp: str,
        agent: int,
        secret: Secret,
        now: Callable[[], float] = time.monotonic,
        buttons: bool = False,
    ) -> None:
        self._site, self._agent, self._secret, self._buttons = site, agent, secret, buttons
        self._tokens = Tokens(site, corp, secret, now)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        until = self._site.deadline()
        if notification.kind is Kind.ANSWERED:
            return self._change(notification, until)
        address = notification.address.strip()
        if not USERID.fullmatch(address):
            return Answer(Told.REFUSED, "the address is no WeCom userid")
        message = compose(notification, text, link, self._agent, self._buttons)
        answer = self._call(SEND, message, until)
        if _is_of_the_card(answer, message):
            answer = self._call(SEND, as_text(notification, text, link, self._agent), until)
        return _judge_reach(answer)

    def _change(self, notification: Notification, until: float) -> Answer:
        """What a card says instead of its buttons. Its code serves once, for 72 h: no more is no loss."""
        message = {
            "userids": [notification.address.strip()],
            "agentid": self._agent,
            "response_code": notification.card,
            "button": {"replace_name": cut(notification.title, BUTTON_BYTES_MOST)},
        }
        answer = self._call(UPDATE, message, until)
        if answer.told is Told.REFUSED:
            return Answer(Told.ACCEPTED, detail(f"the card stays as it is: {answer.detail}"))
        return answer

    def _call(self, path: str, message: Mapping[str, Any], until: float) -> Answer:
        """One call; a token that died early is fetched once more, and the call made once more."""
        token = self._tokens.get(until)
        answer = token if isinstance(token, Answer) else self._post(path, token, message, until)
        if isinstance(token, Secret) and _code(answer) in STALE:
            token = self._tokens.get(until, instead_of=token)
            answer = token if isinstance(token, Answer) else self._post(path, token, message, until)
        return answer

    def _post(self, path: str, token: Secret, message: Mapping[str, Any], until: float) -> Answer:
        quoted = Secret(quote(token.reveal(), safe=""))
        full = f"{self._site.origin.path}{path}?access_token={quoted.reveal()}"
        ask = partial(self._site.post, full, msgspec.json.encode(message), coded.JSON, until)
        hidden = (self._secret, quoted, token)
        return coded.attempt(ask, lambda reply: coded.judge(reply, CODES, *hidden), *hidden)


class HearingWecomApp(WecomApp):
    """One whose buttons can be pressed."""

    def __init__(
        self,
        site: http.Site,
        corp: str,
        agent: int,
        secret: Secret,
        envelope: Envelope,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(site, corp, agent, secret, now, buttons=True)
        self._envelope = envelope

    def hear(self, call: Call) -> Heard:
        return self._envelope.hear(call)


def _code(answer: Answer) -> int | None:
    return answer.code if isinstance(answer, Coded) else None


def _is_of_the_card(answer: Answer, message: Mapping[str, Any]) -> bool:
    """Refused, and neither for whom it is to nor for who we are: as a text it may still arrive."""
    refused = answer.told is Told.REFUSED and _code(answer) not in (None, *HINTS)
    return refused and message["msgtype"] != "text"


def _judge_reach(answer: Answer) -> Answer:
    """errcode 0 means that WeCom understood, not that somebody has it."""
    if answer.told is not Told.ACCEPTED or not isinstance(answer, Coded):
        return answer
    for name, hint in UNREACHED.items():
        if answer.body.get(name):
            return Answer(Told.REFUSED, f"errcode 0, but {name}: {hint}")
    number, card = answer.body.get("msgid"), answer.body.get("response_code")
    return Answer(
        Told.ACCEPTED,
        answer.detail,
        number=number if isinstance(number, str) else "",
        card=card if isinstance(card, str) else "",
    )


# ---------------------------------------------------------------- the message


def compose(notification: Notification, text: str, link: str, agent: int, buttons: bool) -> dict[str, Any]:
    """A card; a text where there is nothing to open (a test) or more to read than it shows (a digest)."""
    if not link or notification.together:
        return as_text(notification, text, link, agent)
    good = notification.kind is Kind.CLEARED
    card: dict[str, Any] = {
        "card_type": "text_notice",
        "source": {
            "desc": "已恢复正常" if good else LEVELS[notification.level],
            "desc_color": GOOD_COLOUR if good else COLOURS[notification.level],
        },
        "main_title": {"title": cut(plain(notification.title), TITLE_BYTES_MOST)},
        "sub_title_text": cut(plain(text), BODY_BYTES_MOST),
        "card_action": {"type": 1, "url": link},
    }
    asks = [verb for verb in notification.asks if not (good and verb is Verb.ACKNOWLEDGE)]  # an older store's
    if buttons and asks:
        shown = {"task_id": notification.id, "button_list": _buttons(asks, link)}
        card |= {"card_type": "button_interaction", **shown}
    return _addressed(notification, agent, "template_card", card)


def _buttons(asks: Sequence[Verb], link: str) -> list[dict[str, Any]]:
    """What is asked for, and a look; what wants a reason opens the page, which asks for it."""
    shown = [_button(verb, link, BLUE if verb is asks[0] else GREY) for verb in asks]
    return [*shown, {"text": "打开", "style": GREY, "type": 1, "url": link}]


def _button(verb: Verb, link: str, style: int) -> dict[str, Any]:
    how = {"type": 1, "url": link} if verb in WORDED else {"key": verb.value}
    return {"text": BUTTONS[verb], "style": style, **how}


def as_text(notification: Notification, text: str, link: str, agent: int) -> dict[str, Any]:
    head = f"{sign(notification)} {title(notification)}"
    foot = f'<a href="{link}">{door(notification)}</a>' if link else ""
    content = {"content": fit(head, plain(text), foot, TEXT_BYTES_MOST)}
    return _addressed(notification, agent, "text", content)


def _addressed(notification: Notification, agent: int, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "touser": notification.address.strip(),
        "msgtype": kind,
        "agentid": agent,
        kind: content,
        "enable_duplicate_check": 1,
        "duplicate_check_interval": DUPLICATE_S,
    }


# ---------------------------------------------------------------- its entry in lilong.yaml


def build(setup: Setup) -> WecomApp:
    setup.judge(FORMS)
    corp, agent = setup.settings["corp_id"], int(setup.settings["agent_id"])
    site, secret = http.Site(setup.origin(URL)), _secret(setup, "secret_file", SECRET)
    if not CALLBACK & setup.secrets.keys():
        return WecomApp(site, corp, agent, secret)
    for name in CALLBACK - setup.secrets.keys():
        raise ValueError(f"channels.{setup.name}.{name}: needed beside the other one of the callback")
    token = _secret(setup, "callback_token_file", TOKEN)
    envelope = Envelope(corp, token, _secret(setup, "callback_key_file", KEY))
    return HearingWecomApp(site, corp, agent, secret, envelope)


def _secret(setup: Setup, name: str, form: re.Pattern[str]) -> Secret:
    secret = setup.secret(name)
    if not form.fullmatch(secret.reveal()):
        raise ValueError(f"channels.{setup.name}.{name}: expected as WeCom's console shows it")
    return secret
