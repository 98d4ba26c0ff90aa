"""What only `wecom_robot` promises: byte limits, mentions, 20 a minute, errcodes (document 99110)."""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import channels
from gateway.channels.base import Barred, cut
from gateway.channels.wecom_robot import (
    MARKDOWN_BYTES_MOST,
    RED_RESERVE,
    TEXT_BYTES_MOST,
    WecomRobot,
    compose,
)
from gateway.core.model import SECOND, Kind, Level, Notification, Told
from gateway.core.quotas import Quotas
from tests.carrier import MINUTE, Carrier, Wheel
from tests.contract.dialects import SECRET, Hand, notification, wecom, wecom_dialect
from tests.contract.provider import Provider

LINK = "https://alarm.example/c/" + "t" * 170


def content(**changes: object) -> str:
    text = str(changes.pop("said", "文"))
    body = compose(notification(**changes), text, LINK)
    return str(body[body["msgtype"]]["content"])


# ---------------------------------------------------------------- the message


def test_mobile_number_is_mentioned_in_a_text() -> None:
    body = compose(notification(address="13812341234"), "文", LINK)
    assert body["msgtype"] == "text"
    assert body["text"]["mentioned_mobile_list"] == ["13812341234"]
    assert LINK in body["text"]["content"]


def test_member_is_mentioned_in_markdown() -> None:
    assert "<@wang>" in content(address="wang")


def test_good_news_is_green_whatever_its_level_was() -> None:
    for address in ("wang", "13812341234"):
        assert content(address=address, kind=Kind.CLEARED, level=Level.RED).startswith("🟢")
        assert content(address=address, level=Level.RED).startswith("🔴")


def test_everybody_only_when_the_address_says_so() -> None:
    body = compose(notification(address="@all", title="<@all>"), "<@all>", LINK)
    assert body["text"]["mentioned_list"] == ["@all"]
    assert "<@all>" not in body["text"]["content"]


HOSTILE = ["<@all>", "[here](https://evil.example)", '<font color="info">', "**bold**", "`code`", "# head"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("address", ["wang", "13812341234", ""])
def test_a_devices_words_draw_nothing(text: str, address: str) -> None:
    """A device's name is written by whoever installed it."""
    assert text not in content(address=address, said=text, title=text)


@given(
    said=st.text(max_size=3000),
    title=st.text(max_size=400),
    address=st.sampled_from(["wang", "13812341234", "@all", "王 先生", ""]),
    level=st.sampled_from(Level),
)
@settings(max_examples=150)
def test_limits_count_bytes_and_spare_the_link(said: str, title: str, address: str, level: Level) -> None:
    body = compose(notification(title=title, address=address, level=level), said, LINK)
    kind = body["msgtype"]
    written = body[kind]["content"].encode()  # strict: no half character, no lone surrogate
    assert len(written) <= {"text": TEXT_BYTES_MOST, "markdown": MARKDOWN_BYTES_MOST}[kind]
    assert LINK.encode() in written


@pytest.mark.parametrize(("address", "most"), [("13812341234", TEXT_BYTES_MOST), ("", MARKDOWN_BYTES_MOST)])
def test_long_text_fills_the_room_and_says_that_it_was_cut(address: str, most: int) -> None:
    written = content(address=address, said="警" * 5000)
    assert most - 3 <= len(written.encode()) <= most
    assert "警…" in written


@given(st.text(max_size=60), st.integers(0, 100))
def test_cut(text: str, most: int) -> None:
    got = cut(text, most)
    assert len(got.encode()) <= most
    clean = text.encode("utf-8", "replace").decode()
    assert got == clean or clean.startswith(got.removesuffix("…"))


# ---------------------------------------------------------------- what it answers


def answer(code: int, message: str = "") -> object:
    with Provider(wecom(code, message)) as provider:
        channel = wecom_dialect().build(f"http://127.0.0.1:{provider.port}", None)
        return channel.send(notification(), "文", LINK)


def test_bad_key_is_refused_with_a_hint() -> None:
    got = answer(93000, f"invalid webhook url key={SECRET}")
    assert got.told is Told.REFUSED
    assert "key_file" in got.detail
    assert SECRET not in got.detail


@pytest.mark.parametrize("code", [40008, 44004, 45002, 40058, 1, 999999])
def test_other_codes_are_refused(code: int) -> None:
    got = answer(code, "words")
    assert got.told is Told.REFUSED
    assert f"errcode {code} words" in got.detail


@pytest.mark.parametrize("code", [-1, 45033])
def test_busy_is_for_now(code: int) -> None:
    got = answer(code)
    assert got.told is Told.LATER
    assert got.retry_after_s > 0


# ---------------------------------------------------------------- twenty a minute


def robot(provider: Provider) -> tuple[WecomRobot, Hand]:
    dialect = wecom_dialect()
    channel = dialect.build(f"http://127.0.0.1:{provider.port}", None)
    assert isinstance(channel, WecomRobot)
    return channel, dialect.clock


def told(number: int, level: Level = Level.YELLOW) -> Notification:
    """Each to somebody else in the group: what is counted here is the robot's."""
    return notification(id=f"n{number:04}", person=f"p{number}", address="@all", level=level, channel="duty")


def carried(provider: Provider) -> Carrier:
    """The robot behind the notifier, which counts before the wire."""
    wheel = Wheel()
    channel, _ = robot(provider)
    channel._barred = Barred(wheel.steady_s)
    return Carrier(wheel, {"duty": channel}, {"duty": "wecom_robot"})


def test_the_21st_stays_off_the_wire_and_red_has_a_reserve() -> None:
    with Provider(wecom(0)) as provider:
        street = carried(provider)
        numbers = count()

        def tell(level: Level, many: int) -> int:
            """How many of them went at once."""
            before = len(provider.requests)
            street.raises([told(next(numbers), level) for _ in range(many)])
            street.runs(street.wheel.now + 1)
            return len(provider.requests) - before

        assert tell(Level.YELLOW, 17) == 17
        assert tell(Level.ORANGE, 1) == 0
        assert tell(Level.RED, RED_RESERVE) == RED_RESERVE
        assert tell(Level.RED, 1) == 0
        assert len(provider.requests) == 20
        assert street.later == [], "it is not sent away: it waits here for its token"
        street.runs(MINUTE)
        assert len(provider.requests) == 20
        street.runs(MINUTE + 1)
        assert len(provider.requests) == 22, "the orange and the red"


def test_45009_bars_the_robot_for_a_minute() -> None:
    with Provider(wecom(45009), wecom(0)) as provider:
        channel, clock = robot(provider)
        assert channel.send(notification(), "文", LINK).retry_after_s == 60.0
        clock.now += 59.0
        assert channel.send(notification(level=Level.RED), "文", LINK).told is Told.LATER
        assert len(provider.requests) == 1
        clock.now += 1.0
        assert channel.send(notification(), "文", LINK).told is Told.ACCEPTED


@given(st.integers(0, 2**32), st.sampled_from([0.1, 1.0, 3.0, 10.0]))
def test_never_more_than_twenty_in_any_minute(dice: int, mean_s: float) -> None:
    rng, quotas, at = random.Random(dice), Quotas(channels.quotas("duty", "wecom_robot", {})), 0
    sent: list[int] = []
    for number in range(200):
        at += int(rng.uniform(0, 2 * mean_s) * SECOND)
        one = told(number, rng.choice([Level.RED, Level.ORANGE]))
        assert quotas.free_at(one, at) >= at
        if quotas.free_at(one, at) == at:
            quotas.take(one, at)
            sent.append(at)
    assert all(late - early >= MINUTE for early, late in zip(sent, sent[20:], strict=False))


def test_a_flood_goes_as_fast_as_the_limit_and_no_faster() -> None:
    """None is sent away, to knock again with all the others; red does not stand in that line."""
    with Provider(wecom(0)) as provider:
        street = carried(provider)
        street.raises([told(n) for n in range(1000)])
        for minute in range(10):
            street.runs(minute * MINUTE + 1)
            assert len(provider.requests) == 17 * (minute + 1), "all that fit, at once"
            street.runs((minute + 1) * MINUTE)
            assert len(provider.requests) == 17 * (minute + 1), "and not one before the minute is over"
        street.runs(10 * MINUTE + 1)
        street.raises([told(2000 + n, Level.RED) for n in range(RED_RESERVE)])
        street.runs(10 * MINUTE + 2)
        assert len(provider.requests) == 17 * 11 + RED_RESERVE
        assert street.later == []


# ---------------------------------------------------------------- its entry in lilong.yaml


def test_the_whole_address_may_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={SECRET}\n")
    with Provider(wecom(0)) as provider:
        url = f"http://127.0.0.1:{provider.port}/cgi-bin/webhook/send"
        channel = channels.build("duty", "wecom_robot", {"url": url}, {"key_file": tmp_path / "key"})
        assert channel.send(notification(), "t", LINK).told is Told.ACCEPTED
        assert provider.requests[0].path == f"/cgi-bin/webhook/send?key={SECRET}"


@pytest.mark.parametrize("key", ["short", "with space inside", "新密钥", "a" * 200])
def test_what_cannot_be_a_key(key: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key)
    with pytest.raises(ValueError, match="key_file") as caught:
        channels.build("duty", "wecom_robot", {}, {"key_file": tmp_path / "key"})
    assert key not in str(caught.value)
