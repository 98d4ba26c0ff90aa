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


class Mistake(ValueError):
    """The text is no expression: what stands at a column (from 1), and what belongs there."""

    def __init__(self, column: int, found: str, expected: str) -> None:
        super().__init__(f"column {column}: found {found}, expected {expected}")
        self.column, self.found, self.expected = column, found, expected


class Function(NamedTuple):
    """A row of the table in rules/README.md."""

    written: str
    gives: str  # its unit, or truth
    parse: str  # the method of the parser for what stands in its brackets


_SAME = "unit of q"
_ROWS = (
    *(Function(f"{one}(q, 24h)", _SAME, "over_time") for one in ("mean", "median", "min", "max", "std")),
    Function("percentile(q, 24h, 95)", _SAME, "over_time"),
    Function("change(q, 10m)", _SAME, "over_time"),
    Function("rate_per_minute(q, 10m)", f"{_SAME} / min", "over_time"),
    Function("rate_per_hour(q, 6h)", f"{_SAME} / h", "over_time"),
    Function("rate_per_day(q, 30d)", f"{_SAME} / d", "over_time"),
    Function("last(q)", _SAME, "over_time"),
    Function("count(C, 1h)", "1", "over_time"),
    Function("times(C, 1d)", "1", "over_time"),
    Function("share(C, 1h)", "%", "over_time"),
    Function("abs(x)", "unit of x", "size"),
    Function("greatest(x, y)", "unit of both", "chosen"),
    Function("least(x, y)", "unit of both", "chosen"),
    Function("siblings(q)", _SAME, "others"),
    Function("peers(q)", _SAME, "others"),
    Function("all(C)", "truth", "group"),
    Function("any(C)", "truth", "group"),
    Function("members(C)", "1", "group"),
    Function("quorum(2 of 3, C, 60s)", "truth", "quorum"),
    Function("quorum(2 of 3, C, 60s, degraded 1)", "truth", "quorum"),
    Function("worst(x)", "unit of x", "group"),
    Function("lowest(x)", "unit of x", "group"),
    Function("average(x)", "unit of x", "group"),
)
FUNCTIONS = {row.written: row for row in _ROWS}
PARSE = {row.written.partition("(")[0]: row.parse for row in _ROWS}


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
        raise Mistake(LONGEST + 1, f"{len(text)} characters", f"at most {LONGEST}")
    found = [Token(one.lastgroup or "", one[0], one.start() + 1) for one in _TOKEN.finditer(text)]
    for token in found:
        if token.kind == "strange" or token.text in _MEANT:
            raise Mistake(token.column, token.text, _MEANT.get(token.text, "a number, name, sign or bracket"))
    return [*found, Token("end", "the end", len(text) + 1)]


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
            raise self.wrong(" or ".join(words))

    def of_kind(self, kind: str, expected: str) -> Token:
        if self.token.kind != kind:
            raise self.wrong(expected)
        self.place += 1
        return self.tokens[self.place - 1]

    def wrong(self, expected: str) -> Mistake:
        return Mistake(self.token.column, self.token.text, expected)

    def quantity(self) -> str:
        token = self.of_kind("name", "a quantity")
        if token.text not in QUANTITIES:
            raise Mistake(token.column, token.text, nearest(token.text, "a quantity", QUANTITIES))
        return token.text

    def span(self, name: str) -> int:
        self.expect(",")
        meant = {"min": "; of two numbers: least", "max": "; of two numbers: greatest"}.get(name, "")
        token = self.of_kind("span", f"a span such as 24h{meant}")
        try:
            return span_ns(token.text)
        except ValueError:
            raise Mistake(token.column, token.text, "a span such as 24h, up to 366d") from None

    def percent(self) -> float:
        self.expect(",")
        token = self.of_kind("number", "a percentage, 0 to 100")
        if float(token.text) > 100:
            raise Mistake(token.column, token.text, "a percentage, 0 to 100")
        return float(token.text)

    def whole(self, low: int, high: int) -> int:
        token = self.of_kind("number", f"a whole number, {low} to {high}")
        if not token.text.isdigit() or not low <= int(token.text) <= high:
            raise Mistake(token.column, token.text, f"a whole number, {low} to {high}")
        return int(token.text)


def nearest(word: str, what: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f"{what}, such as {close[0]}" if close else what
