"""What the parts of an expression work out, each compiled into one function of a scope.

Truth has three values (Kleene): True, False, and None for what is not known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import inf
from operator import add, eq, itemgetter, mul, ne, sub, truediv
from statistics import median
from typing import Any, Protocol

from gateway.core.measures import Measure, Overrun

MEMBERS_MOST = 64  # of a group
OTHERS_MOST = 1024  # components or devices one is compared with
OTHERS_LEAST = 2  # known ones, below which there is no median to compare with

Value = float | bool | None  # None: not known
Term = Callable[[Any], Any]  # a scope -> a Value; parsing has seen to it that numbers meet numbers only
Sample = Callable[[Mapping[str, float]], float | bool | None]  # what a window keeps of one reading
Test = Callable[[Any, Any], bool]
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": add, "-": sub, "*": mul, "/": truediv, "greatest": max, "least": min,
}  # fmt: skip


class Scope(Protocol):
    """What an expression may ask about its subject. None, or left out: not known. Values are finite."""

    def value(self, quantity: str) -> float | None: ...

    def window(self, measure: Measure) -> float | None: ...

    def moved(self, quantity: str) -> float | None:
        """How far the value lies from the device's baseline, without its sign."""
        ...

    def siblings(self, quantity: str) -> Sequence[float]:
        """Known values of the other components of the subject's kind on its device."""
        ...

    def peers(self, quantity: str) -> Sequence[float]:
        """Known values of the other devices of the subject's model in its compound."""
        ...

    def members(self) -> Sequence[Scope]:
        """One of each member of the subject, which is a group."""
        ...


class _Reading:
    """The scope of a condition that is remembered: one reading by itself."""

    __slots__ = ("value",)

    def __init__(self, values: Mapping[str, float]) -> None:
        self.value = values.get


def value_of(quantity: str) -> Sample:
    return lambda values: values.get(quantity)


def given(quantity: str) -> Sample:
    return lambda values: True if quantity in values else None


def held(term: Term) -> Sample:
    return lambda values: term(_Reading(values))


def guarded(term: Term, leaves: list[Term]) -> Term:
    """Nothing goes wrong while something is not known."""

    def whole(scope: Scope) -> Any:
        try:
            return term(scope)
        except ArithmeticError:
            if any(leaf(scope) is None for leaf in leaves):
                return None
            raise

    return whole


def both(sign: str, left: Term, right: Term) -> Term:
    work = ARITHMETIC[sign]

    def term(scope: Scope) -> float | None:
        if (a := left(scope)) is None or (b := right(scope)) is None:
            return None
        found: float = work(a, b)
        if found - found:  # infinite or not a number: the difference is not 0
            raise OverflowError("the result is not finite")
        return found

    return term


def either(name: str, left: Term, right: Term) -> Term:
    """(least, most) of `greatest` or `least` while one of the two is not known."""
    work = ARITHMETIC[name]

    def bounds(scope: Scope) -> tuple[float, float] | None:
        a, b = left(scope), right(scope)
        known = b if a is None else a
        if known is None:
            return None
        if a is None or b is None:
            return (known, inf) if name == "greatest" else (-inf, known)
        return work(a, b), work(a, b)

    return bounds


def along(at: Term, points: Sequence[tuple[float, float]]) -> Term:
    """Straight lines from point to point; before the first and after the last as there."""

    def term(scope: Scope) -> float | None:
        x: float | None = at(scope)
        if x is None:
            return None
        after = bisect_left(points, x, key=itemgetter(0))
        if after in (0, len(points)):
            return points[min(after, len(points) - 1)][1]
        (left, low), (right, high) = points[after - 1], points[after]
        return low + (high - low) * (x - left) / (right - left)

    return term


def compared(test: Test, mine: Term, other: Term) -> Term:
    def term(scope: Scope) -> Any:
        if (a := mine(scope)) is None or (b := other(scope)) is None:
            return None
        return test(a, b)

    return term


def in_any_case(test: Test, left: Term, right: Term) -> Term:
    """A comparison of what lies between bounds, (least, most) each: known once they no longer matter."""

    def term(scope: Scope) -> Any:
        mine, other = left(scope), right(scope)
        if mine is None or other is None:
            return None
        if test in (eq, ne):
            apart = mine[1] < other[0] or other[1] < mine[0]
            known = apart or (mine[0] == mine[1] and other[0] == other[1])
            return bool(apart) is (test is ne) if known else None
        found = test(mine[0], other[1])
        return found if found is test(mine[1], other[0]) else None

    return term


def point(term: Term) -> Term:
    return lambda scope: None if (a := term(scope)) is None else (a, a)


def logic(left: Term, right: Term, enough: bool) -> Term:
    """`or` when one True is enough, `and` when one False is."""

    def term(scope: Scope) -> Any:
        if (a := left(scope)) is enough or (b := right(scope)) is enough:
            return enough
        return None if a is None or b is None else not enough

    return term


def median_of(known: Sequence[float]) -> float | None:
    if len(known) > OTHERS_MOST:
        raise Overrun(f"compared with {len(known)}, more than {OTHERS_MOST}")
    return float(median(known)) if len(known) >= OTHERS_LEAST else None


def _of_members(term: Term, scope: Scope) -> list[Any]:
    members = scope.members()
    if len(members) > MEMBERS_MOST:
        raise Overrun(f"a group of {len(members)}, more than {MEMBERS_MOST}")
    return [term(one) for one in members]


def every(term: Term, enough: bool) -> Term:
    """`any` when one True is enough, `all` when one False is; of nobody nothing is known."""

    def all_or_any(scope: Scope) -> bool | None:
        found = _of_members(term, scope)
        if enough in found:
            return enough
        return None if None in found or not found else not enough

    return all_or_any


def bounds_of(term: Term) -> Term:
    """How many hold it at least, and at most."""

    def bounds(scope: Scope) -> tuple[float, float] | None:
        found = _of_members(term, scope)
        least = found.count(True)
        return (float(least), float(least + found.count(None))) if found else None

    return bounds


def exactly(bounds: Term) -> Term:
    def term(scope: Scope) -> float | None:
        found: tuple[float, float] | None = bounds(scope)
        return found[0] if found and found[0] == found[1] else None

    return term


def over_members(work: Callable[[list[float]], float], term: Term) -> Term:
    def over(scope: Scope) -> float | None:
        known = [value for value in _of_members(term, scope) if value is not None]
        return work(known) if known else None

    return over


def vote(recent: Term, still: Term, needed: int, total: int, degraded: int) -> Term:
    def vote(scope: Scope) -> bool | None:
        found = _of_members(lambda one: True if recent(one) else still(one), scope)
        yes, known = found.count(True), len(found) - found.count(None)
        least = needed if known >= total else degraded
        if yes >= least:
            return True
        unknown = max(total, len(found)) - known
        return False if yes + unknown < least else None

    return vote
