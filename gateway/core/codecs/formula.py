"""Arithmetic that a model file may write: numbers, names, bytes of the block, + - * / ^, min, max, brackets.

`((uint16be(0) / uint16be(2) * 32768)^2 - f0^2) * k` is parsed once into functions; nothing of it is ever
given to Python to evaluate, and it has no loops, so that it takes as long as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway.core.codecs.bits import TYPES, reader

LONGEST = 200  # characters; the longest of a datasheet so far has 98
DEPTH_MAX = 16  # brackets and signs within each other
POWER_MAX = 6

_CHOOSE: dict[str, Callable[[float, float], float]] = {"min": min, "max": max}
Names = Mapping[str, float]
Term = Callable[[bytes, int, Names], float]  # the frame, where the block begins, raw and the constants
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([a-z]\w*)(?:\((\d{1,4})\))?|([-+*/^(),]))\s*", re.ASCII)


class Formula:
    """A parsed formula. Raises ValueError when the text is none.

    `names` are those it reads (`raw`, constants), `reads` the (type, byte) pairs it takes from the block.
    Calling it may raise ArithmeticError or KeyError.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"a formula of more than {LONGEST} characters")
        self.names: set[str] = set()
        self.reads: set[tuple[str, int]] = set()
        self._tokens, self._next, self._depth = _tokens(text), 0, 0
        self._term = self._sum()
        if self._next < len(self._tokens):
            raise ValueError("something left over")

    def __call__(self, frame: bytes, start: int, names: Names) -> float:
        return self._term(frame, start, names)

    # -- parsing, by how tightly the signs bind

    def _take(self, signs: str) -> str:
        """The next token if it is one of these signs, else nothing."""
        sign = self._tokens[self._next][3] if self._next < len(self._tokens) else ""
        if not sign or sign not in signs:
            return ""
        self._next += 1
        return sign

    def _sum(self) -> Term:
        left = self._product()
        while sign := self._take("+-"):
            left = _both(sign, left, self._product())
        return left

    def _product(self) -> Term:
        left = self._factor()
        while sign := self._take("*/"):
            left = _both(sign, left, self._factor())
        return left

    def _factor(self) -> Term:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ValueError("too many brackets")
        try:
            if self._take("-"):
                inner = self._factor()
                return lambda frame, start, names: -inner(frame, start, names)
            base = self._atom()
            return _power(base, self._exponent()) if self._take("^") else base
        finally:
            self._depth -= 1

    def _exponent(self) -> int:
        number = self._token()[0]
        if not number.isdigit() or int(number) > POWER_MAX:
            raise ValueError(f"a power that is not 0..{POWER_MAX}")
        return int(number)

    def _atom(self) -> Term:
        if self._take("("):
            inner = self._sum()
            self._expect(")")
            return inner
        number, name, byte, sign = self._token()
        if sign:
            raise ValueError(f"{sign} where a number belongs")
        if number:
            value = float(number)
            return lambda frame, start, names: value
        if byte:
            return self._bytes(name, int(byte))
        if name in _CHOOSE:
            return self._chosen(_CHOOSE[name])
        self.names.add(name)
        return lambda frame, start, names: names[name]

    def _bytes(self, kind: str, at: int) -> Term:
        if kind not in TYPES:
            raise ValueError(f"the unknown type {kind}")
        self.reads.add((kind, at))
        read = reader(kind)
        return lambda frame, start, names: read(frame, start + at)

    def _chosen(self, choose: Callable[[float, float], float]) -> Term:
        self._expect("(")
        left = self._sum()
        self._expect(",")
        right = self._sum()
        self._expect(")")
        return lambda frame, start, names: choose(left(frame, start, names), right(frame, start, names))

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise ValueError(f"no {sign} where one belongs")

    def _token(self) -> tuple[str, str, str, str]:
        if self._next >= len(self._tokens):
            raise ValueError("the end where a number belongs")
        self._next += 1
        return self._tokens[self._next - 1]


def _tokens(text: str) -> list[tuple[str, str, str, str]]:
    """(number, name, byte, sign) of each token; the three others are empty."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise ValueError(f"something strange at {text[at : at + 10]}")
        found.append((match[1] or "", match[2] or "", match[3] or "", match[4] or ""))
        at = match.end()
    return found


def _both(sign: str, left: Term, right: Term) -> Term:
    if sign == "+":
        return lambda frame, start, names: left(frame, start, names) + right(frame, start, names)
    if sign == "-":
        return lambda frame, start, names: left(frame, start, names) - right(frame, start, names)
    if sign == "*":
        return lambda frame, start, names: left(frame, start, names) * right(frame, start, names)
    return lambda frame, start, names: left(frame, start, names) / right(frame, start, names)


def _power(base: Term, exponent: int) -> Term:
    return lambda frame, start, names: float(base(frame, start, names)) ** exponent
