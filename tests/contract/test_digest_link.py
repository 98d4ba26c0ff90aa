"""A digest and its link on every way that carries one: to a list, called so, within the way's length."""

from __future__ import annotations

import json
from collections.abc import Callable
from email import message_from_bytes, policy

import pytest

from gateway.channels import dingtalk, email, feishu, wecom_app, wecom_robot
from gateway.channels.wecom_robot import MARKDOWN_BYTES_MOST, TEXT_BYTES_MOST
from gateway.core.digest import digest
from gateway.core.model import SECOND, Level, Notification
from gateway.links import Links
from tests.contract.dialects import notification

LINKS = Links([b"k" * 32], "https://alarm.xiangyang-street.example/lilong")
NOW_NS = 1_790_000_000 * SECOND
WIDE = "向阳一村电动自行车集中充电区"


def letter(told: Notification, text: str, link: str) -> str:
    made = email.compose(told, text, link, "lilong@street.example", "duty@street.example")
    return str(message_from_bytes(made, policy=policy.default).get_content())


WAYS: dict[str, Callable[[Notification, str, str], str]] = {
    "wecom_app": lambda told, text, link: json.dumps(
        wecom_app.compose(told, text, link, 1, False), ensure_ascii=False
    ),
    "wecom_robot": lambda told, text, link: json.dumps(
        wecom_robot.compose(told, text, link), ensure_ascii=False
    ),
    "dingtalk": lambda told, text, link: json.dumps(dingtalk.compose(told, text, link), ensure_ascii=False),
    "feishu": lambda told, text, link: json.dumps(feishu.compose(told, text, link), ensure_ascii=False),
    "email": letter,
}


def many(count: int) -> list[Notification]:
    """As much as a storm has to say to one person, in the longest words."""
    text = f"位置：{WIDE}（向阳街道 · 西片区 · 新村居委 · {WIDE}）\n情况：{'很热' * 40}\n要做：{'断开' * 60}"
    plain = {"title": f"【红色报警】充电仓过热 · {WIDE}12号柜 8号仓", "text": text, "level": Level.RED}
    return [notification(id=f"01JD{number:022d}", **plain) for number in range(count)]


@pytest.mark.parametrize("way", WAYS)
def test_a_digest_leads_to_a_list_and_a_single_message_to_its_case(way: str) -> None:
    several, one = digest(many(20)), many(1)[0]
    said = WAYS[way](several, several.text, LINKS.show(several, NOW_NS))
    assert "打开清单" in said and "/lilong/l/" in said
    single = WAYS[way](one, one.text, LINKS.show(one, NOW_NS))
    assert "/lilong/c/" in single and "打开清单" not in single


@pytest.mark.parametrize("way", ["wecom_app", "wecom_robot"])
def test_the_longest_digest_keeps_its_link_and_its_length(way: str) -> None:
    """What does not fit is cut from the text, never from the link: it is the way to all the rest."""
    told = digest(many(20))
    link = LINKS.show(told, NOW_NS)
    compose = wecom_robot.compose if way == "wecom_robot" else lambda *a: wecom_app.compose(*a, 1, False)
    body = compose(told, told.text, link)
    content = body[body["msgtype"]]["content"]
    assert link in content and content.rstrip().endswith((")", "</a>", ">"))
    assert len(content.encode()) <= (MARKDOWN_BYTES_MOST if way == "wecom_robot" else TEXT_BYTES_MOST)
