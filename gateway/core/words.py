"""The words of an expression: read from its text, one after the other, each mistake with its column."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from gateway.core.units import QUANTITIES

LONGEST = 200  # characters
SPAN_S_MOST = 366 * 86_400
_MEANT = {"=": "==", "&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "false": "not true"}


class Said(NamedTuple):
    """A few words of a mistake, in both languages."""

    zh: str
    en: str


class Mistake(ValueError):
    """The text is no expression: what stands at a column (from 1), and what belongs there."""

    def __init__(self, column: int, found: Said | str, expected: Said | str) -> None:
        self.column, self.found, self.expected = column, _said(found), _said(expected)
        super().__init__(f"column {column}: found {self.found.en}, expected {self.expected.en}")


def _said(words: Said | str) -> Said:
    """What stands in the text is the same in every language."""
    return words if isinstance(words, Said) else Said(words, words)


END = Said("结尾", "the end")
NUMBER = Said("一个数", "a number")
CONDITION = Said("一个条件", "a condition")
SUCH_AS = Said("条件，例如 smoke > 0.5", "a condition such as smoke > 0.5")
QUANTITY = Said("量的名字", "a quantity")
FUNCTION = Said("函数", "a function")
OPERAND = Said("数、量或函数", "a number, a quantity or a function")
WORD = Said("数、名字、运算符或括号", "a number, name, sign or bracket")
SPAN = Said("时长，例如 24h，最长 366d", "a span such as 24h, up to 366d")
OF_MEMBERS = Said(
    "组内成员的说法，例如 worst(q)：组本身没有读数",
    "what members say, such as worst(q): a group has no readings",
)
OF_ONE_READING = Said(
    "单次读数的说法，因为要逐次记住", "what one reading says, since it is remembered over time"
)
POINT = Said("点，例如 10 3，从左到右，至少两个", "points such as 10 3, from left to right, at least two")
PERCENT = Said("百分数，0 到 100", "a percentage, 0 to 100")


class Function(NamedTuple):
    """A row of the table in rules/README.md."""

    written: str
    gives: str  # its unit, or truth
    parse: str  # the method of the parser for what stands in its brackets


_SAME = "unit of q"
_WRITTEN = {  # by what parses their brackets; of each what it gives
    "over_time": {
        **{f"{one}(q, 24h)": _SAME for one in ("mean", "median", "min", "max", "std")},
        **{"percentile(q, 24h, 95)": _SAME, "change(q, 10m)": _SAME, "last(q)": _SAME},
        "rate_per_minute(q, 10m)": f"{_SAME} / min",
        "rate_per_hour(q, 6h)": f"{_SAME} / h",
        "rate_per_day(q, 30d)": f"{_SAME} / d",
        "unusual(q, 14d)": "1",
        **{"count(C, 1h)": "1", "times(C, 1d)": "1", "share(C, 1h)": "%"},
    },
    "size": {"abs(x)": "unit of x"},
    "chosen": {"greatest(x, y)": "unit of both", "least(x, y)": "unit of both"},
    "percent": {"percent(x, y)": "%"},
    "curve": {"curve(x, 1 3, 10 3, 50 8)": "1"},
    "moved": {"moved(q)": _SAME},
    "others": {"siblings(q)": _SAME, "peers(q)": _SAME},
    "group": {
        **{"all(C)": "truth", "any(C)": "truth", "members(C)": "1"},
        **{f"{one}(x)": "unit of x" for one in ("worst", "lowest", "average")},
    },
    "quorum": {"quorum(2 of 3, C, 60s)": "truth", "quorum(2 of 3, C, 60s, degraded 1)": "truth"},
}
FUNCTIONS = {
    written: Function(written, gives, parse)
    for parse, rows in _WRITTEN.items()
    for written, gives in rows.items()
}
PARSE = {row.written.partition("(")[0]: row.parse for row in FUNCTIONS.values()}


class Token(NamedTuple):
    kind: str  # number, span, name, sign or end
    text: str
    column: int


_TOKEN = re.compile(
    r"(?P<span>\d[\d.]*[A-Za-z_]\w*(?:\.\w+)?)|(?P<number>\d+(?:\.\d+)?(?![\d.]))|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><=|>=|==|!=|[-+*/(),<>])|(?P<strange>&&|\|\||\d[\d.]*|\S)",
    re.ASCII,
)
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


def span_ns(text: str) -> int:
    """Nanoseconds of `24h`, `90s`, `1m30s`; ValueError for what is none, or not above zero."""
    match = _SPAN.fullmatch(text) if len(text) <= 24 else None
    sizes = zip(match.groups(), (86_400, 3600, 60, 1), strict=True) if match else ()
    found = round(sum(float(number or 0) * size for number, size in sizes) * 1e9)
    if not 0 < found <= SPAN_S_MOST * 10**9:
        raise ValueError
    return found


def _tokens(text: str) -> list[Token]:
    if len(text) > LONGEST:
        raise Mistake(LONGEST + 1, Said(f"{len(text)} 个字符", f"{len(text)} characters"), most(LONGEST))
    found = [Token(one.lastgroup or "", one[0], one.start() + 1) for one in _TOKEN.finditer(text)]
    for token in found:
        if token.kind == "strange" or token.text in _MEANT:
            raise Mistake(token.column, token.text, _MEANT.get(token.text, WORD))
    return [*found, Token("end", END.en, len(text) + 1)]


class Words:
    """Where one is in the text. What takes a word raises Mistake when another stands there."""

    def __init__(self, text: str) -> None:
        self.tokens, self.place = _tokens(text), 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def take(self, *words: str) -> str:
        """The next token if it is one of these, else nothing."""
        if self.token.text not in words or self.token.kind not in ("sign", "name"):
            return ""
        self.place += 1
        return self.tokens[self.place - 1].text

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise self.wrong(" / ".join(words))

    def of_kind(self, kind: str, expected: Said) -> Token:
        if self.token.kind != kind:
            raise self.wrong(expected)
        self.place += 1
        return self.tokens[self.place - 1]

    def wrong(self, expected: Said | str) -> Mistake:
        found = END if self.token.kind == "end" else self.token.text
        return Mistake(self.token.column, found, expected)

    def quantity(self) -> str:
        token = self.of_kind("name", QUANTITY)
        if token.text not in QUANTITIES:
            raise Mistake(token.column, token.text, nearest(token.text, QUANTITY, QUANTITIES))
        return token.text

    def span(self, name: str) -> int:
        self.expect(",")
        two = {"min": "least", "max": "greatest"}.get(name)
        hint = Said(f"；两个数之间用 {two}", f"; of two numbers: {two}") if two else Said("", "")
        token = self.of_kind("span", Said(SPAN.zh + hint.zh, SPAN.en + hint.en))
        try:
            return span_ns(token.text)
        except ValueError:
            raise Mistake(token.column, token.text, SPAN) from None

    def points(self) -> tuple[tuple[float, float], ...]:
        """`, 1 3, 10 3, 50 8`: where a curve of straight lines bends."""
        found: list[tuple[float, float]] = []
        while len(found) < 2 or self.token.text == ",":
            self.expect(",")
            at = self.token
            x, y = self.signed(POINT), self.signed(POINT)
            if found and x <= found[-1][0]:
                raise Mistake(at.column, at.text, POINT)
            found.append((x, y))
        return tuple(found)

    def signed(self, expected: Said) -> float:
        sign = -1.0 if self.take("-") else 1.0
        return sign * float(self.of_kind("number", expected).text)

    def percentage(self) -> float:
        self.expect(",")
        token = self.of_kind("number", PERCENT)
        if float(token.text) > 100:
            raise Mistake(token.column, token.text, PERCENT)
        return float(token.text)

    def whole(self, low: int, high: int) -> int:
        expected = Said(f"整数，{low} 到 {high}", f"a whole number, {low} to {high}")
        token = self.of_kind("number", expected)
        if not token.text.isdigit() or not low <= int(token.text) <= high:
            raise Mistake(token.column, token.text, expected)
        return int(token.text)


def most(count: int, zh: str = "", en: str = "") -> Said:
    return Said(f"最多 {count} {zh}".strip(), f"at most {count} {en}".strip())


def nearest(word: str, what: Said, known: Iterable[str]) -> Said:
    """What belongs there, and the known word that was probably meant."""
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return Said(f"{what.zh}，例如 {close[0]}", f"{what.en}, such as {close[0]}") if close else what
