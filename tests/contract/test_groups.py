"""What only `dingtalk` and `feishu` promise: signatures, their clock, their pace, what they draw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import channels
from gateway.adapters.http import Origin, Site
from gateway.channels import dingtalk, feishu
from gateway.channels.base import Channel, Secret
from gateway.core.model import SECOND, Kind, Level, NotificationState, Told
from tests.carrier import Carrier, Wheel
from tests.contract.dialects import TOTAL_S, Hand, notification
from tests.contract.groups import HOUR_S, SECRET, TOKEN, DingtalkGroup, FeishuGroup
from tests.contract.provider import Provider

LINK = "https://alarm.example/c/" + "t" * 170
PATHS = {"dingtalk": "/robot/send", "feishu": "/open-apis/bot/v2/hook"}
GROUPS = {"dingtalk": DingtalkGroup, "feishu": FeishuGroup}
MAKERS = {"dingtalk": dingtalk.Dingtalk, "feishu": feishu.Feishu}


class Room:
    """A robot and its group; `ours` is the gateway's own wall clock, `now` the steady one of both."""

    def __init__(self, kind: str, provider: Provider, now: Callable[[], float] | None = None) -> None:
        self.kind, self.provider = kind, provider
        self.group = GROUPS[kind](provider)
        self.group.now = now or self.group.now
        self.ours = Hand(self.group.wall())
        self.robot = self.made(TOKEN, SECRET)

    def made(self, token: str, secret: str) -> Channel:
        site = Site(Origin.parse(f"http://127.0.0.1:{self.provider.port}{PATHS[self.kind]}"), TOTAL_S)
        return MAKERS[self.kind](site, Secret(token), Secret(secret), self.group.now, self.ours)

    def send(self, **changes: Any) -> Any:
        return self.robot.send(notification(**changes), "文", LINK)


@pytest.fixture(params=GROUPS)
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    with Provider() as provider:
        yield Room(request.param, provider)
        assert provider.complaints == []


@pytest.fixture
def ding() -> Iterator[Room]:
    with Provider() as provider:
        yield Room("dingtalk", provider)


@pytest.fixture
def fei() -> Iterator[Room]:
    with Provider() as provider:
        yield Room("feishu", provider)


def test_a_signed_message_is_shown_with_its_link(room: Room) -> None:
    assert room.send().told is Told.ACCEPTED
    assert LINK in json.dumps(room.group.shown[0])


def test_a_wrong_secret_is_for_good_and_named(room: Room) -> None:
    answer = room.made(TOKEN, "another").send(notification(), "文", LINK)
    assert answer.told is Told.REFUSED
    assert "secret_file" in answer.detail


def test_a_wrong_token_is_for_good_and_named(room: Room) -> None:
    answer = room.made("another-token", SECRET).send(notification(), "文", LINK)
    assert answer.told is Told.REFUSED
    assert "token_file" in answer.detail


def test_our_clock_may_be_an_hour_off_and_not_more(room: Room) -> None:
    room.ours.now += HOUR_S - 1
    assert room.send().told is Told.ACCEPTED
    room.ours.now += 5
    answer = room.send()
    assert answer.told is Told.REFUSED
    assert "clock" in answer.detail


def test_every_message_is_signed_anew(room: Room) -> None:
    for _ in range(12):  # often enough for a signature with a + in it
        assert room.send().told is Told.ACCEPTED
        room.ours.now = room.group.wall.now = room.group.wall.now + 2 * HOUR_S
        room.group.now.now += 60


@pytest.mark.parametrize("kind", GROUPS)
def test_a_flood_never_hits_the_limit(kind: str) -> None:
    """1,000 messages in a minute, a tenth of them red, through the notifier, which counts before the wire."""
    wheel = Wheel()
    with Provider() as provider:
        room = Room(kind, provider, wheel.steady_s)
        street = Carrier(wheel, {"group": room.robot}, {"group": kind})
        for number in range(1000):
            level = Level.RED if number % 10 == 0 else Level.YELLOW
            whom = {"person": f"p{number}", "channel": "group", "due_at": wheel.now}
            street.raises([notification(id=f"n{number}", level=level, **whom)])
            street.runs(wheel.now + 60 * SECOND // 1000)
        assert room.group.over == 0
        went = [one for one in street.ledger.rows.values() if one.state is NotificationState.ACCEPTED]
        assert len(room.group.shown) == len(went) <= {"dingtalk": 20, "feishu": 100}[kind]
        red = sum(one.level is Level.RED for one in went)
        assert red >= {"dingtalk": 3, "feishu": 20}[kind], "the reserve"
        assert provider.complaints == []


def test_dingtalk_leaves_a_barred_robot_alone(ding: Room) -> None:
    """Someone else used the same robot: ten minutes, and knocking would not make them shorter."""
    ding.group.barred_until = ding.group.now() + 600
    assert (answer := ding.send()).told is Told.LATER and answer.retry_after_s == 600
    before = len(ding.provider.requests)
    assert ding.send(level=Level.RED).told is Told.LATER
    assert len(ding.provider.requests) == before
    ding.group.now.now += 601
    assert ding.send().told is Told.ACCEPTED


@pytest.mark.parametrize("past_s", [0, 5, 9])
def test_feishu_lets_the_rush_of_the_half_hours_go_first(fei: Room, past_s: int) -> None:
    fei.ours.now = fei.group.wall.now = fei.group.wall.now // 1800 * 1800 + past_s
    answer = fei.send(level=Level.ORANGE)
    assert (answer.told, answer.retry_after_s) == (Told.LATER, 10 - past_s)
    assert fei.provider.requests == []
    assert fei.send(level=Level.RED).told is Told.ACCEPTED
    fei.ours.now += answer.retry_after_s
    assert fei.send(level=Level.ORANGE).told is Told.ACCEPTED


def test_feishu_is_busy_for_a_moment(fei: Room) -> None:
    fei.group.barred_until = fei.group.now() + 5
    assert fei.send().told is Told.LATER
    before = len(fei.provider.requests)
    fei.group.now.now += 9
    assert fei.send(level=Level.RED).told is Told.LATER
    assert len(fei.provider.requests) == before
    fei.group.now.now += 2
    assert fei.send().told is Told.ACCEPTED


# ---------------------------------------------------------------- what is drawn


def test_dingtalk_mentions_a_number_in_markdown_and_has_a_button_otherwise(ding: Room) -> None:
    ding.send(address="13812341234")
    ding.send(address="group")
    mention, card = ding.group.shown
    assert mention["at"] == {"atMobiles": ["13812341234"]}
    assert "@13812341234" in mention["markdown"]["text"]
    assert card["actionCard"]["singleURL"] == LINK


def test_feishu_mentions_an_open_id_and_has_a_button(fei: Room) -> None:
    fei.send(address="ou_0123456789abcdef")
    fei.send(address="<at id=all></at>")
    mention, plain = (json.dumps(card) for card in fei.group.shown)
    assert "<at id=ou_0123456789abcdef></at>" in mention
    assert "<at" not in plain


HOSTILE = ["<at id=all></at>", "[here](https://evil.example)", "**bold**", "# head", "`code`"]


@pytest.mark.parametrize("words", HOSTILE)
def test_a_devices_words_draw_nothing(room: Room, words: str) -> None:
    room.robot.send(notification(title=words), words, LINK)
    assert words not in json.dumps(room.group.shown[0], ensure_ascii=False)


def test_long_words_fit(room: Room) -> None:
    assert room.robot.send(notification(title="警" * 900), "警" * 9000, LINK).told is Told.ACCEPTED


def test_good_news_is_green(fei: Room) -> None:
    fei.send(kind=Kind.CLEARED, level=Level.RED)
    fei.send(level=Level.RED)
    assert [card["header"]["template"] for card in fei.group.shown] == ["green", "red"]


def test_a_test_message_opens_nothing(room: Room) -> None:
    assert room.robot.send(notification(), "测试", "").told is Told.ACCEPTED
    assert "打开处置单" not in json.dumps(room.group.shown[0], ensure_ascii=False)


# ---------------------------------------------------------------- its entry in lilong.yaml

PASTED = {
    "dingtalk": "https://oapi.dingtalk.com/robot/send?access_token=",
    "feishu": "https://open.feishu.cn/open-apis/bot/v2/hook/",
}


def test_the_whole_address_may_be_pasted(room: Room, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(PASTED[room.kind] + TOKEN)
    (tmp_path / "secret").write_text(SECRET)
    files = {"token_file": tmp_path / "token", "secret_file": tmp_path / "secret"}
    url = f"http://127.0.0.1:{room.provider.port}{PATHS[room.kind]}"
    channel = channels.build("duty", room.kind, {"url": url}, files)
    room.group.wall.now = time.time()
    urgent = notification(level=Level.RED)  # whatever the hour
    assert channel.send(urgent, "t", LINK).told is Told.ACCEPTED


@pytest.mark.parametrize("kind", PASTED)
@pytest.mark.parametrize("token", ["short", "with space inside", "令牌"])
def test_what_cannot_be_a_token(kind: str, token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token)
    (tmp_path / "secret").write_text(SECRET)
    with pytest.raises(ValueError, match="token_file") as caught:
        channels.build(
            "duty", kind, {}, {"token_file": tmp_path / "token", "secret_file": tmp_path / "secret"}
        )
    assert token not in str(caught.value)
