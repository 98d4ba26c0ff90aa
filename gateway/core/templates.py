"""What an approved SMS or voice template lets us say: short variables without what carriers refuse.

A provider sends nothing but a template that it has approved; ours to choose are which one, by the kind of
the message, and its variables. Each is at most VALUE_MOST characters, or what the template takes, holds no
link and no phone number (refused with the whole message), and only signs that the carriers take. Whoever
adds a sign to KEPT must have seen it pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from gateway.core.model import Kind, Notification, Origin
from gateway.core.texts import PLACE, SITUATION

VALUE_MOST = 35  # characters of one variable
UNCUT = 10_000  # characters: no text is as long
CLAUSE = re.compile("[，；]")
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
SAID_AS = frozenset(sign for sign in WORDS if len(sign) == 1)
BARRED = re.compile("装修|党政")  # themes that are not approved
KEPT = re.compile(r"[0-9A-Za-z\u4e00-\u9fa5 ,.:;!?()%+/=_\-，。：；！？、（）《》“”…]")
_HEAD = re.compile(r"【(?P<level>[^】]*)】(?P<title>.*)", re.DOTALL)


# ---------------------------------------------------------------- one variable


def safe(text: str, most: int = VALUE_MOST) -> str:
    """`text` as the carriers take it, never longer than `most` and never empty."""
    text = " ".join(text.split())
    while (cleaned := _cleaned(text)[:most].strip()) != text:  # what is cut or left out may make another one
        text = cleaned
    return text or NOTHING


def fit(text: str, most: int, variable: str) -> str:
    """As `safe`; of a situation whole clauses, so that no hour is cut in two: the number stands first."""
    if variable == "situation" and len(whole := safe(text, UNCUT)) > most:
        kept = [whole[: match.start()] for match in CLAUSE.finditer(whole) if match.start() <= most]
        return safe(kept[-1] if kept else whole, most)
    return safe(text, most)


def needed(text: str, variable: str) -> str:
    """The part of it that must not be cut: of a situation the number and its limit."""
    return CLAUSE.split(text, maxsplit=1)[0] if variable == "situation" else text


def refused(text: str, *, variable: bool = False) -> str:
    """The first thing in it that no carrier lets through, "" when there is none.

    `variable`: what `safe` says in other words is none, what it leaves out is.
    """
    found = LINK.search(text) or MOBILE.search(text) or BARRED.search(text)
    if found:
        return found[0]
    return next((letter for letter in text if not _carried(letter, variable)), "")


def _carried(letter: str, variable: bool) -> bool:
    """Beyond GB 2312 there are only traditional characters and rare ones."""
    if variable and not KEPT.fullmatch(letter):
        return letter in SAID_AS or bool(_kept(letter))
    try:
        letter.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return KEPT.fullmatch(letter) is not None


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


NO_BOUNDS: Mapping[str, int] = {}


def variables(names: str) -> tuple[str, ...]:
    """The variables of a template in their order, as in "level title place". Raises ValueError."""
    found = tuple(names.replace(",", " ").split())
    strange = [name for name in found if name not in SAID]
    if strange or len(set(found)) != len(found):
        raise ValueError(f"found {names!r}, expected some of {', '.join(SAID)}, each once")
    return found


def fill(names: Sequence[str], told: Notification, most: Mapping[str, int] = NO_BOUNDS) -> dict[str, str]:
    """What each variable says of a notification, in that order; `most`: of those that take less."""
    return {name: fit(SAID[name](told), most.get(name, VALUE_MOST), name) for name in names}


# ---------------------------------------------------------------- the register


APPROVED = "approved"
STATES = (APPROVED, "pending", "rejected")
DIGEST = "digest"  # beside the kinds: several messages as one
NEVER = (Kind.ANSWERED, Kind.WEEKLY)  # no template says it: a card that is changed, a page of text
KINDS = (*(kind.value for kind in Kind if kind not in NEVER), DIGEST)
PARTS_MOST = 3  # what providers join without fail, and a locked screen still shows
TEXT_MOST = 500  # characters of a template that a provider looks at
BLANK = re.compile(r"\$?\{(?P<name>\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One text as a provider approved it, or has yet to. Its blanks: ${level}, or {1} for the first variable.

    Without `kinds` it serves all kinds that no other template of the channel has.
    """

    channel: str
    id: str  # as the provider names it
    text: str  # "": nobody told us
    state: str  # of STATES
    since: date | None  # when it came into that state
    kinds: tuple[str, ...] = ()
    sign: str = ""  # without 【】; "": the channel's
    variables: tuple[str, ...] = ()
    most: Mapping[str, int] = field(default_factory=dict)  # characters of a variable
    parts: int = PARTS_MOST  # short messages that one text may be sent as
    origin: Origin = field(default_factory=Origin)

    @property
    def numbered(self) -> bool:
        """Whether its blanks are {1} {2}."""
        return bool(self.variables)

    @property
    def blanks(self) -> list[str]:
        """What stands between the braces of its text, as often as it stands there."""
        return [match["name"] for match in BLANK.finditer(self.text)]

    @property
    def names(self) -> tuple[str, ...]:
        """Its variables in their order, each once."""
        return self.variables or tuple(dict.fromkeys(self.blanks))

    @property
    def used(self) -> list[str]:
        """The variables of its blanks; of a sound text only."""
        return [self.variables[int(one) - 1] for one in self.blanks] if self.numbered else self.blanks

    def bound(self, name: str) -> int:
        return self.most.get(name, VALUE_MOST)

    def fill(self, told: Notification) -> dict[str, str]:
        """What each of its variables says of a notification, in their order."""
        return fill(self.names, told, self.most)

    def characters(self, said: Mapping[str, int], sign: str) -> int:
        """Of the whole text with its 【sign】, when its variables say so many characters each."""
        fixed = len(self.sign or sign) + len("【】") + len(BLANK.sub("", self.text))
        return fixed + sum(min(said[name], self.bound(name)) for name in self.used)


class Templates:
    """What one channel may say; whatever is not approved is not there."""

    def __init__(self, templates: Iterable[Template]) -> None:
        approved = [one for one in templates if one.state == APPROVED]
        self._of = {kind: one for one in approved for kind in one.kinds}
        self._other = next((one for one in approved if not one.kinds), None)

    @classmethod
    def only(cls, id_: str, names: Sequence[str]) -> Templates:
        """One for everything, of which we know no more than what it takes."""
        return cls(
            [Template(channel="", id=id_, text="", state=APPROVED, since=None, variables=tuple(names))]
        )

    def of(self, told: Notification) -> Template | None:
        """The one for this message; a digest without its own goes as the worst that is in it."""
        found = self._of.get(DIGEST) if told.together else None
        return found or self.for_(told.kind)

    def for_(self, kind: str) -> Template | None:
        return self._of.get(kind) or self._other

    @property
    def missing(self) -> list[str]:
        """The kinds that could not be told."""
        return [kind for kind in KINDS if kind != DIGEST and self.for_(kind) is None]


# ---------------------------------------------------------------- how long


def parts(characters: int) -> int:
    """How many messages a text of so many characters is sent, counted and paid as."""
    return 1 if characters <= ONE_PART else -(-characters // MANY_PARTS)
