"""The practice telephones: the demo's own channels reach them; what is pressed there is a true callback."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway import channels, demo
from gateway.adapters.clock import Anchor
from gateway.channels.base import Call, Heard, Receipted, Replied
from gateway.config import load
from gateway.core.model import SECOND, Level, Notification, Told
from simulators import phones as module
from simulators.phones import HANG_UP, PUSH_TRIES, PhoneServer, Telephones, owners_of
from tests.contract.dialects import notification
from tests.waiting import until

STREET = Path(module.__file__).parent
GATEWAY = "http://127.0.0.1:9"  # nobody listens there
LINK = "http://127.0.0.1:9/c/" + "t" * 150
TEXT = "位置：充电区（向阳一村）\n情况：仓温度 81.2 ℃（限 75 ℃），14:05 起\n要做：断开该仓"
ADDRESSES = {"wecom": "WangJL", "sms": "13800000001", "voice": "13800000001"}


class Kept(Telephones):
    """What it would say to the gateway is kept, and answered with `statuses`, then with 200."""

    def __init__(self) -> None:
        super().__init__(owners_of(STREET / "site"), GATEWAY, time.time)
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.later: list[Any] = []  # what would happen in a while

    def _call(self, channel: str, query: Mapping[str, str], body: bytes) -> int:
        self.calls.append((channel, dict(query), body))
        return self.statuses.pop(0) if self.statuses else 200

    def _later(self, street_s: float, what: Any) -> None:
        self.later.append(what)


class Street:
    """The demo's configuration, its channels, and the telephones at their far side."""

    def __init__(self, folder: Path) -> None:
        self.phones = Kept()
        self.server = PhoneServer(self.phones)
        anchor = Anchor(time.monotonic_ns(), time.time_ns(), 1.0)
        stage = demo.Stage(directory=folder, web_port=9, phones=self.server.url, anchor=anchor, seed=1)
        demo._write_config(stage, STREET, 1)
        config = load(stage.config, "en").config
        assert config is not None
        self.channels: Mapping[str, Any] = channels.build_all(config.channels.values())

    def send(self, way: str, name: str = "n1", **changes: Any) -> channels.Answer:
        plain = {"id": name, "channel": way, "address": ADDRESSES[way], "text": TEXT, "level": Level.RED}
        plain["title"] = "【红色报警】充电仓过热 · 3号仓"
        plain["created_ns"] = time.time_ns() - SECOND // 10
        told: Notification = notification(**(plain | changes))
        answer: channels.Answer = self.channels[way].send(told, told.text, LINK)
        return answer

    def heard(self) -> Heard:
        """The newest call, as the gateway's channel understands it."""
        way, query, body = self.phones.calls[-1]
        found: Heard = self.channels[way].hear(Call(query, {}, body, time.time()))
        return found

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.server.url}{path}", timeout=10) as response:
            return str(response.read().decode())

    def press(self, owner: str, number: int, key: str) -> str:
        """As the browser does; the page one lands on."""
        data = urllib.parse.urlencode({"item": number, "key": key}).encode()
        with urllib.request.urlopen(f"{self.server.url}/{owner}/press", data, timeout=10) as response:
            return str(response.read().decode())


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    one = Street(tmp_path)
    with one.server:
        yield one


def test_everybody_who_can_be_told_in_all_ways_has_a_phone(street: Street) -> None:
    index = street.get("/")
    owners = owners_of(STREET / "site")
    assert len(owners) == 9 and all(f'href="/{one.id}">{one.says}的手机' in index for one in owners)
    assert f'href="{GATEWAY}/"' in index, "and the way back to the console"


def test_a_card_arrives_and_its_button_is_a_signed_call_of_that_member(street: Street) -> None:
    assert street.send("wecom").told is Told.ACCEPTED
    (card,) = street.phones.of("wang")
    assert (card.kind, card.link, card.buttons) == ("card", LINK, {"acknowledge": "收到"})
    assert card.head == "红色报警" and "充电仓过热" in card.title and "81.2" in card.text
    page = street.get("/wang")
    assert "充电仓过热" in page and f'href="{LINK}"' in page and 'value="acknowledge"' in page
    landed = street.press("wang", card.id, "acknowledge")
    heard = street.heard()
    assert heard.status == 200 and heard.said == (Replied("WangJL", "acknowledge", "n1"),)
    assert "已点“收到”" in landed and 'name="key"' not in landed, "it can be pressed once"


def test_a_card_that_the_gateway_changes_says_so(street: Street) -> None:
    answer = street.send("wecom")
    street.phones.change("WangJL", "n1", "李主任 已接手")
    (card,) = street.phones.of("wang")
    assert (card.state, card.buttons) == ("李主任 已接手", {}) and answer.card


def test_a_press_that_the_gateway_did_not_take_can_be_repeated(street: Street) -> None:
    street.send("wecom")
    street.phones.statuses = [503]
    (card,) = street.phones.of("wang")
    assert "没有提交成功（503）" in street.press("wang", card.id, "acknowledge")
    street.press("wang", card.id, "acknowledge")
    assert len(street.phones.calls) == 2 and card.state == "已点“收到”"


def test_a_short_message_is_receipted_and_answered(street: Street) -> None:
    assert street.send("sms").told is Told.ACCEPTED
    (item,) = street.phones.of("wang")
    assert item.text.startswith("【向阳街道】红色报警：充电仓过热 3号仓。") and item.text.endswith(
        "回复1接手。"
    )
    for due in street.phones.later:
        due()
    assert street.heard().said == (Receipted("n1", True, "DELIVERED 用户接收成功"),)
    street.press("wang", item.id, "1")
    assert street.heard().said == (Replied("13800000001", "1"),)
    assert item.state == "已回复 1" and not street.phones.press("wang", item.id, "1")


@pytest.mark.parametrize(
    ("key", "said", "state"),
    [
        ("1", {Receipted, Replied}, "已接听，按了 1"),
        (HANG_UP, {Receipted}, "已挂断"),
        ("", {Receipted}, "未接来电"),
    ],
)
def test_a_call_rings_and_ends_once(street: Street, key: str, said: set[type], state: str) -> None:
    assert street.send("voice").told is Told.ACCEPTED
    (call,) = street.phones.of("wang")
    assert (call.kind, call.state) == ("call", "响铃中") and "按1接手" in call.text
    if key:
        street.press("wang", call.id, key)
    else:
        street.phones.later[-1]()  # nobody took it
    assert call.state == state and call.buttons == {}
    assert {type(one) for one in street.heard().said} == said
    calls = len(street.phones.calls)
    for due in street.phones.later:
        due()
    assert len(street.phones.calls) == calls, "what has ended does not ring on"


def test_a_push_is_repeated_until_it_is_taken_but_not_for_ever(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PUSH_PAUSE_S", 0.0)
    street.send("sms")
    (item,) = street.phones.of("wang")
    street.phones.statuses = [503, 0]
    street.press("wang", item.id, "1")
    assert len(street.phones.calls) == 3
    street.phones.statuses = [503] * 50
    street.phones.later[0]()
    assert len(street.phones.calls) == 3 + PUSH_TRIES


def test_a_gateway_that_is_not_there_is_no_answer() -> None:
    phones = Telephones(owners_of(STREET / "site"), GATEWAY, time.time)
    assert phones._call("sms", {"token": "x"}, b"[]") == 0


# ---------------------------------------------------------------- what does not go


def test_only_what_is_on_that_phone_can_be_pressed(street: Street) -> None:
    street.send("wecom")
    (card,) = street.phones.of("wang")
    assert not street.phones.press("li", card.id, "acknowledge"), "another's phone"
    assert not street.phones.press("wang", card.id, "done"), "no such button"
    assert not street.phones.press("wang", 99, "acknowledge")
    assert street.phones.calls == []


@pytest.mark.parametrize(("path", "status"), [("/nobody", 404), ("/nobody/items.json", 404)])
def test_no_such_phone(street: Street, path: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        street.get(path)
    assert caught.value.code == status


def test_words_of_devices_and_persons_are_words(street: Street) -> None:
    """The practice pages are no weaker than the true ones."""
    hostile = "<script>x()</script><img src=x onerror=x()>\"'"
    street.phones._add(
        "wang",
        "card",
        hostile,
        hostile,
        head=hostile,
        link='"><img src=x>',
        state=hostile,
        buttons={'"><img': hostile},
    )
    for path in ("/wang", "/wang/items"):
        page = street.get(path)
        assert page.count("&lt;img") == 7 and "<img" not in page and "<script>x()" not in page


def test_its_programs_read_what_people_see(street: Street) -> None:
    street.send("wecom")
    street.send("sms", name="n2")
    kinds = [item["kind"] for item in json.loads(street.get("/wang/items.json"))]
    assert kinds == ["card", "sms"] == re.findall(r'<article class="(\w+)"', street.get("/wang/items"))
    assert street.get("/li/items.json") == "[]" and "还没有消息" in street.get("/li")


def test_thirty_messages_a_minute_and_the_next_is_lost_without_a_word(street: Street) -> None:
    """As WeCom does it: the demo would show what the gateway's own limits are for."""
    answers = [street.send("wecom", name=f"n{number}").told for number in range(31)]
    assert set(answers) == {Told.ACCEPTED} and street.phones.dropped == 1
    assert until(lambda: len(street.phones.of("wang")) == 30)
