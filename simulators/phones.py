"""The telephones of the practice street: what providers show on them, and what people press.

One little server on this machine is WeCom's and Aliyun's side (strict: simulators/wecom.py and clouds.py) and
every person's phone. Whatever is pressed goes to the gateway as that provider's own callback: WeCom's signed
and encrypted, Aliyun's with the token of its address. Nothing here leaves the machine.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from simulators import clouds, wecom
from simulators.clouds import CALL_LIMITS, SMS_LIMITS, Taken
from simulators.phone_pages import index_page, items_html, phone_page
from simulators.reading import read_yaml

HOST = "127.0.0.1"
SIGN = "向阳街道"
KEY_SECRET, PUSH_TOKEN = "the-secret-of-the-key-0123456789", "practice-push-token-0123"
TEXT = "{level}：{title}。{place}，{situation}。"
APPROVED = {  # channel -> template -> its text: one that asks for an answer, one that tells the news
    "sms": {clouds.TEMPLATE: TEXT + "回复1接手。", clouds.NEWS: TEXT},
    "voice": {clouds.TEMPLATE: TEXT + "按1接手。", clouds.NEWS: TEXT},
}
RING_S = 160.0  # street time: long enough to be seen at twenty times the speed of life
RECEIPT_S = 2.0  # street time until an SMS is reported as delivered
PUSH_S, PUSH_TRIES, PUSH_PAUSE_S = 10.0, 5, 0.5  # providers call again too
HANG_UP = "hang_up"


@dataclass(frozen=True, slots=True)
class Owner:
    """A person with a phone. `member` is the WeCom userid, `number` the mobile number."""

    id: str
    says: str
    member: str
    number: str


@dataclass(slots=True)
class Item:
    """One thing on a phone. `at_s` is time.monotonic() of its arrival, `wall_s` the street's time."""

    id: int
    owner: str
    kind: str  # card, text, sms, call
    title: str
    text: str
    at_s: float
    wall_s: float
    head: str = ""  # of a card: its level, or that all is well
    colour: int = 0  # of that: 0 grey, 1 black, 2 red, 3 green
    link: str = ""
    number: str = ""  # the provider's own name of it
    buttons: dict[str, str] = field(default_factory=dict)  # key -> words
    state: str = ""  # what has become of it


def _said(channel: str, taken: Taken) -> str:
    return APPROVED[channel][taken.template].format(**dict(zip(clouds.NAMES, taken.values, strict=True)))


class Telephones(wecom.Corp):
    """All phones, and both providers behind them. `wall_s` is street time, `gateway` its http:// address."""

    def __init__(
        self, owners: Iterable[Owner], gateway: str, wall_s: Callable[[], float], speed: float = 1.0
    ) -> None:
        self.owners = {one.id: one for one in owners}
        super().__init__({one.member for one in self.owners.values()}, time.monotonic)
        self.items: list[Item] = []
        self.console = f"{gateway}/"
        self._gateway, self._wall_s, self._speed = urlsplit(gateway).netloc, wall_s, speed
        self._lock = threading.RLock()
        self._taken: dict[int, Taken] = {}
        cloud = partial(clouds.Aliyun, KEY_SECRET, time.time, paced=wall_s, sign=SIGN)
        self._sms, self._voice = cloud(limits=SMS_LIMITS), cloud(limits=CALL_LIMITS)

    # ------------------------------------------------------------ as providers

    def provide(self, request: clouds.Request) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer to the gateway."""
        with self._lock:
            if urlsplit(request.path).path.startswith("/cgi-bin/"):
                return 200, self.answer(request)
            calls = request.headers.get("x-acs-action") == "SingleCallByTts"
            cloud = self._voice if calls else self._sms
            known = len(cloud.taken)
            answer = cloud.answer(request)
            for taken in cloud.taken[known:]:
                (self._ring if calls else self._text)(taken)
            return answer

    def show(self, member: str, message: dict[str, Any]) -> None:
        owner = next(one.id for one in self.owners.values() if one.member == member)
        if message["msgtype"] == "text":
            self._add(owner, "text", "企业微信", message["text"]["content"])
            return
        card = message["template_card"]
        buttons = {one["key"]: one["text"] for one in card.get("button_list", ()) if not one.get("type")}
        self._add(
            owner, "card", card["main_title"]["title"], card["sub_title_text"],
            head=card["source"]["desc"], colour=card["source"]["desc_color"],
            link=card["card_action"]["url"], number=card.get("task_id", ""), buttons=buttons,
        )  # fmt: skip

    def change(self, member: str, task: str, words: str) -> None:
        for item in self.items:
            if item.number == task and item.kind == "card":
                item.buttons, item.state = {}, words

    def _text(self, taken: Taken) -> None:
        text = f"【{SIGN}】{_said('sms', taken)}"
        buttons = {"1": "回复 1"} if taken.template == clouds.TEMPLATE else {}
        item = self._add(self._of(taken), "sms", "短信", text, number=taken.number, buttons=buttons)
        self._taken[item.id], taken.status = taken, 3
        self._later(RECEIPT_S, lambda: self._push("sms", self._sms.report(taken)))

    def _ring(self, taken: Taken) -> None:
        asks = {"1": "按 1 接手"} if taken.template == clouds.TEMPLATE else {}
        text, buttons = _said("voice", taken), {**asks, HANG_UP: "挂断"}
        item = self._add(
            self._of(taken), "call", "来电", text, number=taken.number, buttons=buttons, state="响铃中"
        )
        self._taken[item.id] = taken
        self._later(RING_S, lambda: self._end_call(item, "200003", "", "未接来电"))

    def _of(self, taken: Taken) -> str:
        return next(one.id for one in self.owners.values() if one.number == taken.phone)

    def _add(self, owner: str, kind: str, title: str, text: str, **more: Any) -> Item:
        item = Item(len(self.items), owner, kind, title, text, time.monotonic(), self._wall_s(), **more)
        self.items.append(item)
        return item

    # ------------------------------------------------------------ as people

    def of(self, owner: str) -> list[Item]:
        """What is on a phone, oldest first."""
        with self._lock:
            return [item for item in self.items if item.owner == owner]

    def press(self, owner: str, number: int, key: str) -> bool:
        """A button of an item on that phone; False when it is not there (any more)."""
        with self._lock:
            item = next((one for one in self.of(owner) if one.id == number and key in one.buttons), None)
            if item is None:
                return False
            words = item.buttons[key]
        if item.kind == "card":
            self._pressed(item, key, words)
        elif item.kind == "sms":
            self._replied(item, key)
        elif key == HANG_UP:
            self._end_call(item, "200005", "", "已挂断")
        else:
            self._end_call(item, "200000", key, f"已接听，按了 {key}")
        return True

    def _pressed(self, item: Item, key: str, words: str) -> None:
        member, at_s = self.owners[item.owner].member, self._wall_s()
        query, body = wecom.sealed(wecom.press(member, item.number, key, int(at_s)), at_s)
        status = self._call("wecom", query, body)
        with self._lock:
            if status != 200:
                item.state = f"没有提交成功（{status}），请再按一次"
            elif item.buttons:  # not changed by the gateway meanwhile
                item.buttons, item.state = {}, f"已点“{words}”"

    def _replied(self, item: Item, words: str) -> None:
        with self._lock:
            item.buttons, item.state = {}, f"已回复 {words}"
        self._push("sms", json.dumps([{"phone_number": self.owners[item.owner].number, "content": words}]))

    def _end_call(self, item: Item, code: str, key: str, words: str) -> None:
        with self._lock:
            if not item.buttons:
                return  # it has ended already
            item.buttons, item.state = {}, words
            report = self._voice.call_report(self._taken[item.id], code, key)
        self._push("voice", report)

    # ------------------------------------------------------------ to the gateway

    def _push(self, channel: str, body: bytes | str) -> None:
        """Again until it is taken, as the real ones do."""
        data = body.encode() if isinstance(body, str) else body
        for _ in range(PUSH_TRIES):
            if self._call(channel, {"token": PUSH_TOKEN}, data) == 200:
                return
            time.sleep(PUSH_PAUSE_S)

    def _call(self, channel: str, query: Mapping[str, str], body: bytes) -> int:
        """The status; 0 when there was no answer."""
        connection = http.client.HTTPConnection(self._gateway, timeout=PUSH_S)
        try:
            connection.request("POST", f"/callback/{channel}?{urlencode(query)}", body)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def _later(self, street_s: float, what: Callable[[], None]) -> None:
        timer = threading.Timer(street_s / self._speed, what)
        timer.daemon = True
        timer.start()


def owners_of(site: Path) -> list[Owner]:
    """The persons of a site who can be told by all three ways, for their phones."""
    rows = [row for file in sorted(site.glob("*.yaml")) for row in read_yaml(file).get("persons", [])]
    found = [(row, row.get("reach", {})) for row in rows]
    return [
        Owner(row["id"], row.get("says", row["id"]), reach["wecom"], reach["voice"])
        for row, reach in found
        if {"wecom", "voice"} <= reach.keys()
    ]


# ---------------------------------------------------------------- the little server


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    headers: Mapping[str, str]
    body: bytes


class PhoneServer(ThreadingHTTPServer):
    """Serves phones on a port of this machine (0: a free one, see `url`)."""

    daemon_threads = True

    def __init__(self, phones: Telephones, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.phones = phones
        self._thread = threading.Thread(target=self.serve_forever, name="phones", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def __enter__(self) -> PhoneServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: two writes would wait for each other
    server: PhoneServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/cgi-bin/"):
            self._provide()
            return
        phones, (owner, _, what) = self.server.phones, path.strip("/").partition("/")
        known = phones.owners.get(owner)
        if not owner:
            self._html(index_page(phones.owners.values(), phones.console))
        elif known is None:
            self._answer(404, b"no such phone", "text/plain")
        elif what == "items.json":
            self._answer(200, json.dumps([asdict(item) for item in phones.of(owner)]).encode())
        elif what == "items":
            self._html(items_html(owner, phones.of(owner)))
        else:
            self._html(phone_page(known, phones.of(owner)))

    def do_POST(self) -> None:
        owner, _, what = urlsplit(self.path).path.strip("/").partition("/")
        if what != "press" or owner not in self.server.phones.owners:
            self._provide()
            return
        form = parse_qs(self._body().decode())
        self.server.phones.press(owner, int(form["item"][0]), form["key"][0])
        self._answer(303, b"", "text/plain", {"Location": f"/{quote(owner)}"})

    def _provide(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, body = self.server.phones.provide(Asked(self.path, headers, self._body()))
        self._answer(status, json.dumps(body, ensure_ascii=False).encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _html(self, page: str) -> None:
        self._answer(200, page.encode(), "text/html; charset=utf-8")

    def _answer(
        self, status: int, body: bytes, kind: str = "application/json", more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        for name, value in (headers | dict(more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: paths hold tokens."""
