"""What only `wecom_robot` promises: byte limits, mentions, 20 a minute, errcodes (document 99110)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import channels
from gateway.channels.base import cut
from gateway.channels.pace import Pace
from gateway.channels.wecom_robot import (
    MARKDOWN_BYTES_MOST,
    RED_RESERVE,
    TEXT_BYTES_MOST,
    WecomRobot,
    compose,
)
from gateway.core.model import Kind, Level, Told
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


def test_the_21st_stays_off_the_wire_and_red_has_a_reserve() -> None:
    with Provider(wecom(0)) as provider:
        channel, clock = robot(provider)

        def tell(level: Level) -> Told:
            return channel.send(notification(level=level), "文", LINK).told

        assert [tell(Level.YELLOW) for _ in range(17)] == [Told.ACCEPTED] * 17
        assert tell(Level.ORANGE) is Told.LATER
        assert [tell(Level.RED) for _ in range(RED_RESERVE)] == [Told.ACCEPTED] * RED_RESERVE
        refused = channel.send(notification(level=Level.RED), "文", LINK)
        assert (refused.told, refused.retry_after_s) == (Told.LATER, 60.0)
        assert len(provider.requests) == 20
        clock.now += 60.0
        assert tell(Level.RED) is Told.ACCEPTED


def test_45009_bars_the_robot_for_a_minute() -> None:
    with Provider(wecom(45009), wecom(0)) as provider:
        channel, clock = robot(provider)
        assert channel.send(notification(), "文", LINK).retry_after_s == 60.0
        clock.now += 59.0
        assert channel.send(notification(level=Level.RED), "文", LINK).told is Told.LATER
        assert len(provider.requests) == 1
        clock.now += 1.0
        assert channel.send(notification(), "文", LINK).told is Told.ACCEPTED


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=200))
def test_never_more_than_twenty_in_any_minute(steps: list[tuple[float, bool]]) -> None:
    clock = Hand()
    pace = Pace(20, 60.0, clock)
    sent: list[float] = []
    for span, red in steps:
        clock.now += span
        wait_s = pace.take(0 if red else RED_RESERVE)
        assert wait_s >= 0
        if wait_s == 0:
            sent.append(clock.now)
    assert all(late - early >= 60.0 for early, late in zip(sent, sent[20:], strict=False))


def test_a_flood_is_sent_away_one_after_the_other() -> None:
    """All told "in 60 s" would all be back in 60 s, again and again."""
    clock = Hand()
    pace = Pace(20, 60.0, clock)
    waits = [pace.take(RED_RESERVE) for _ in range(1000)][17:]
    assert waits[0] == 60.0
    assert all(abs((b - a) - 3.0) < 1e-6 for a, b in pairwise(waits))
    assert [pace.take() for _ in range(3)] == [0.0] * 3  # red does not stand in that line


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
