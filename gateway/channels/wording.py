"""How a message is put together where a provider counts bytes and draws what it reads."""

from __future__ import annotations

from gateway.channels.base import cut
from gateway.core.model import Kind, Level, Notification

TITLE_BYTES_MOST = 256  # so that a long title never pushes out the text or the link
SIGNS = {Level.YELLOW: "🟡", Level.ORANGE: "🟠", Level.RED: "🔴"}
GOOD_SIGN = "🟢"  # never red in front of 已恢复正常
# What a device's name could use to draw links, mention the whole group or change the layout.
_MARKUP = str.maketrans({"<": "＜", ">": "＞", "[": "［", "]": "］", "`": "｀", "*": "＊", "#": "＃"})


WEEKLY_SIGN = "📋"


def sign(notification: Notification) -> str:
    if notification.kind is Kind.WEEKLY:
        return WEEKLY_SIGN
    return GOOD_SIGN if notification.kind is Kind.CLEARED else SIGNS[notification.level]


def title(notification: Notification) -> str:
    return cut(plain(notification.title), TITLE_BYTES_MOST)


def door(notification: Notification) -> str:
    """The words of its link: a digest's leads to a list."""
    return "打开清单" if notification.together else "打开处置单"


def fit(head: str, text: str, foot: str, most: int) -> str:
    """Head and foot whole, the text as long as there is room (limits are in bytes of UTF-8)."""
    room = most - len(f"{head}\n\n{foot}".encode("utf-8", "replace"))
    return f"{head}\n{cut(text, room)}\n{foot}"


def plain(text: str) -> str:
    """A text that is shown as it is: `<@all>` in a device's name must not ring the whole group."""
    return text.translate(_MARKUP)
