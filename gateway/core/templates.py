"""What an approved SMS or voice template lets us say: short variables without what carriers refuse.

A provider sends nothing but a template that it has approved; ours to choose are its variables. Each is
at most VALUE_MOST characters, holds no link and no phone number (refused with the whole message), and
only signs that the carriers take. Whoever adds a sign to KEPT must have seen it pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from gateway.core.model import Notification
from gateway.core.texts import PLACE, SITUATION

VALUE_MOST = 35  # characters of one variable
ONE_PART, MANY_PARTS = 70, 67  # characters of a message in one part; of each part when there are several
NOTHING = "无"  # a variable must not be empty: the whole message would be refused

LINK = re.compile(  # a scheme, www, or a name with a letter in it before its last dot: 3.5mm is none
    r"(?i)(?:[a-z][a-z+.-]*://|www\.)\S*|\b(?:[a-z0-9-]+\.)*[a-z0-9-]*[a-z][a-z0-9-]*\.[a-z]{2,}\b(?:[:/]\S*)?",
    re.ASCII,
)
MOBILE = re.compile(r"(?<!\d)(?:(?:\+|00)?86[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}(?!\d)", re.ASCII)
WORDS = {  # what stands for a sign, and words with which a message is not let through
    "mm/s²": "毫米每秒方", "m²": "平方米", "㎡": "平方米", "m³": "立方米", "℃": "度", "°C": "度", "°": "度",
    "【": "(", "】": ")", "[": "(", "]": ")", "→": "到", "≥": "不小于", "≤": "不大于", "±": "正负",
    "×": "x", "·": " ", "•": " ", "装修": "施工",
}  # fmt: skip
KEPT = re.compile(r"[0-9A-Za-z\u4e00-\u9fa5 ,.:;!?()%+/=_\-，。：；！？、（）《》“”…]")
_HEAD = re.compile(r"【(?P<level>[^】]*)】(?P<title>.*)", re.DOTALL)


# ---------------------------------------------------------------- one variable


def safe(text: str, most: int = VALUE_MOST) -> str:
    """`text` as the carriers take it, never longer than `most` and never empty."""
    text = " ".join(text.split())
    while (cleaned := _cleaned(text)[:most].strip()) != text:  # what is cut or left out may make another one
        text = cleaned
    return text or NOTHING


def _cleaned(text: str) -> str:
    """Without links, numbers and signs; the end of what is too long is cut by whoever calls."""
    text = MOBILE.sub("", LINK.sub("", text))
    for sign, word in WORDS.items():
        text = text.replace(sign, word)
    return re.sub(r" {2,}", " ", "".join(map(_kept, text)))


def _kept(letter: str) -> str:
    """A letter that may be there, or its plain form (① is 1), or nothing."""
    if KEPT.fullmatch(letter):
        return letter
    plain = unicodedata.normalize("NFKC", letter)
    return plain if all(map(KEPT.fullmatch, plain)) else ""


# ---------------------------------------------------------------- the variables of a notification


def _level(told: Notification) -> str:
    head = _HEAD.fullmatch(told.title)
    return head["level"] if head else ""


def _title(told: Notification) -> str:
    head = _HEAD.fullmatch(told.title)
    return head["title"] if head else told.title


def _line(told: Notification, label: str) -> str:
    found = (line for line in told.text.splitlines() if line.startswith(label))
    return next(found, label).removeprefix(label)


SAID: dict[str, Callable[[Notification], str]] = {
    "level": _level,  # 橙色预警, or 已恢复正常
    "title": _title,  # what, and which device
    "place": lambda told: _line(told, PLACE),
    "situation": lambda told: _line(told, SITUATION),
}


def variables(names: str) -> tuple[str, ...]:
    """The variables of a template in their order, as in "level title place". Raises ValueError."""
    found = tuple(names.replace(",", " ").split())
    strange = [name for name in found if name not in SAID]
    if strange or len(set(found)) != len(found):
        raise ValueError(f"found {names!r}, expected some of {', '.join(SAID)}, each once")
    return found


def fill(names: Sequence[str], told: Notification) -> dict[str, str]:
    """What each variable says of a notification, in that order."""
    return {name: safe(SAID[name](told)) for name in names}


# ---------------------------------------------------------------- how long


def parts(characters: int) -> int:
    """How many messages a text of so many characters is sent, counted and paid as."""
    return 1 if characters <= ONE_PART else -(-characters // MANY_PARTS)


def longest(template: str, sign: str, names: Sequence[str]) -> int:
    """Characters of a template's text in the worst case, with its 【sign】; variables stand as ${name}."""
    fixed = template
    for name in names:
        fixed = fixed.replace(f"${{{name}}}", "")
    return len(sign) + len("【】") + len(fixed) + VALUE_MOST * len(names)
