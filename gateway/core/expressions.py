"""What a rule judges, as a person writes it: `median(tilt_x_deg, 24h) - peers(tilt_x_deg)`.

An expression is parsed once into functions; nothing of it is ever given to Python to evaluate, it has no
loops, and its cost is known before it runs. Units are checked while parsing. Truth has three values: what is
not known makes unknown whatever depends on it, and only that (Kleene). Grammar and tables: rules/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import eq, ge, gt, le, lt, ne
from statistics import fmean
from typing import Any, NamedTuple

from gateway.core import terms
from gateway.core.measures import DAYS, HELD, RATE_POINTS_MOST, SAMPLES_MOST, UNUSUAL, Measure
from gateway.core.terms import MEMBERS_MOST, OTHERS_MOST, Sample, Scope, Term, Test, Value
from gateway.core.units import QUANTITIES, Dimension, dimension, product, unit_of
from gateway.core.words import (
    CONDITION,
    FUNCTION,
    NUMBER,
    OF_MEMBERS,
    OF_ONE_READING,
    OPERAND,
    PARSE,
    QUANTITY,
    SUCH_AS,
    Mistake,
    Said,
    Words,
    most,
    nearest,
)

DEPTH_MOST = 16  # brackets, functions, signs and nots within each other
NODES_MOST = 64  # numbers, names, signs and functions
COST_MOST = 1_000_000  # steps: some ten milliseconds, when every window and group is as full as it may be
RATE_COST = RATE_POINTS_MOST * (RATE_POINTS_MOST - 1) // 2
MORE_COST = {**dict.fromkeys(DAYS, RATE_COST), UNUSUAL: SAMPLES_MOST}  # a median, and that of the distances


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed text. Nothing about it changes any more.

    `windows` are to be kept for the subject, or for each member when `scope` has "members". `cost` counts
    steps, with every window, group and comparison at its fullest.
    """

    text: str
    kind: str  # "number" or "truth"
    unit: str  # of a number; "" of a truth
    quantity: str  # when the whole of it is the name of one; else ""
    quantities: tuple[str, ...]  # all it reads, in windows and of others too
    from_baseline: tuple[str, ...]  # those of which it asks how far they have moved
    windows: tuple[Measure, ...]
    scope: frozenset[str]  # of siblings, peers, members: what it needs
    cost: int
    of_whoever_is_known: bool  # the worst, lowest or average of a group: another one once a member is silent
    _term: Term = field(repr=False, compare=False)
    _bounds: Term | None = field(repr=False, compare=False)
    goes_by: frozenset[str] = field(init=False)  # names of the quantities and keys of the windows it reads
    is_of_states: bool = field(init=False)

    def __post_init__(self) -> None:
        goes_by = frozenset((*self.quantities, *(one.key for one in self.windows)))
        object.__setattr__(self, "goes_by", goes_by)
        object.__setattr__(self, "is_of_states", self._goes_by_states())

    def evaluate(self, scope: Scope) -> Value:
        """A float, a bool, or None for unknown.

        Raises ArithmeticError (division by zero, overflow, a bound overrun) only when all that it reads is
        known.
        """
        value: Value = self._term(scope)
        return value

    def _goes_by_states(self) -> bool:
        """Whether last values, and windows of what held, are all it reads. While the values stay and nothing
        in those windows held, it says the same, or that it does not know.
        """
        others = self.scope - {"members"} or self.of_whoever_is_known or self.from_baseline
        return not others and all(one.function in HELD for one in self.windows)

    @property
    def unusual(self) -> tuple[Measure, ...]:
        """The windows by which it asks how unusual a reading is: its rule then goes by no limit."""
        return tuple(one for one in self.windows if one.function == UNUSUAL)

    @property
    def may_be_known_in_part(self) -> bool:
        return self._bounds is not None

    def bounds(self, scope: Scope) -> tuple[float, float] | None:
        """(least, most) of a number of which a part is not known; None when nothing is sure."""
        return self._bounds(scope) if self._bounds is not None else None


_COMPARE: dict[str, Test] = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq, "!=": ne}
_OVER_MEMBERS: dict[str, Callable[[list[float]], float]] = {"worst": max, "lowest": min, "average": fmean}
_CONDITIONS = ("count", "times", "share")  # over time; `count` takes a quantity too
_PER = {"rate_per_minute": "min", "rate_per_hour": "h", "rate_per_day": "d"}


def parse(text: str) -> Expression:
    """Raises Mistake, a ValueError with its column."""
    return _Parser(text).expression()


# ---------------------------------------------------------------- parsing, by how tightly the signs bind


class _Node(NamedTuple):
    """A part that is understood. `unit` None: a bare number, which goes with any unit."""

    term: Term
    truth: bool
    unit: Dimension | None
    column: int
    quantity: str = ""
    bounds: Term | None = None  # of what is known in part: (least, most)


class _Parser(Words):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text
        self._depth = self._nodes = self._cost = 0
        self._inside = ""  # "window" or "members": what may stand here
        self._grouped, self._alone = 0, 0  # columns of a function of a group, of what reads one subject
        self._quantities: dict[str, None] = {}
        self._from_baseline: dict[str, None] = {}
        self._windows: dict[str, Measure] = {}
        self._scope: set[str] = set()
        self._of_whoever_is_known = False
        self._leaves: list[Term] = []

    def expression(self) -> Expression:
        node = self._or()
        if self.token.kind != "end":
            raise self.wrong(Said("运算符或结尾", "an operator or the end"))
        if self._grouped and self._alone:
            raise Mistake(self._alone, Said("一个读数", "a reading"), OF_MEMBERS)
        if self._cost > COST_MOST:
            raise Mistake(1, Said(f"{self._cost} 步计算", f"work of {self._cost} steps"), most(COST_MOST))
        kind, unit = ("truth", "") if node.truth else ("number", unit_of(node.unit or ()))
        return Expression(
            self._text, kind, unit, node.quantity, tuple(self._quantities), tuple(self._from_baseline),
            tuple(self._windows.values()), frozenset(self._scope), self._cost,
            self._of_whoever_is_known, terms.guarded(node.term, self._leaves),
            terms.guarded(node.bounds, self._leaves) if node.bounds else None,
        )  # fmt: skip

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > DEPTH_MOST:
            raise self.wrong(most(DEPTH_MOST, "层嵌套", "within each other"))
        yield
        self._depth -= 1

    def _node(
        self, term: Term, unit: Dimension | None, column: int, *, truth: bool = False, **more: Any
    ) -> _Node:
        self._nodes += 1
        self._cost += 1
        if self._nodes > NODES_MOST:
            raise self.wrong(most(NODES_MOST, "个数、名字和运算符", "numbers, names and signs"))
        return _Node(term, truth, unit, column, **more)

    # -- truth

    def _or(self) -> _Node:
        left = self._and()
        while self.take("or"):
            left = self._joined(left, self._and(), True)
        return left

    def _and(self) -> _Node:
        left = self._not()
        while self.take("and"):
            left = self._joined(left, self._not(), False)
        return left

    def _joined(self, left: _Node, right: _Node, enough: bool) -> _Node:
        term = terms.logic(_truth(left).term, _truth(right).term, enough)
        return self._node(term, None, left.column, truth=True)

    def _not(self) -> _Node:
        column = self.token.column
        if not self.take("not"):
            return self._comparison()
        with self._deeper():
            term = _truth(self._not()).term
        return self._node(
            lambda scope: None if (a := term(scope)) is None else not a, None, column, truth=True
        )

    def _comparison(self) -> _Node:
        left, at = self._sum(), self.token.column
        if not (sign := self.take(*_COMPARE)):
            return left
        right = self._sum()
        self._same_unit(left, right, sign, at)
        if self.token.text in _COMPARE:
            raise self.wrong(Said("两个比较之间用 and", "and between two comparisons"))
        return self._node(_compared(_COMPARE[sign], left, right), None, left.column, truth=True)

    # -- numbers

    def _sum(self) -> _Node:
        left = self._product()
        while sign := self.take("+", "-"):
            at = self.tokens[self.place - 1].column
            right = self._product()
            unit = self._same_unit(left, right, sign, at)
            left = self._node(terms.both(sign, left.term, right.term), unit, left.column)
        return left

    def _product(self) -> _Node:
        left = self._signed()
        while sign := self.take("*", "/"):
            left, right = _number(left), _number(self._signed())
            unit = None
            if left.unit is not None or right.unit is not None:
                unit = product(left.unit or (), right.unit or (), 1 if sign == "*" else -1)
            left = self._node(terms.both(sign, left.term, right.term), unit, left.column)
        return left

    def _signed(self) -> _Node:
        column = self.token.column
        if not self.take("-"):
            return self._atom()
        with self._deeper():
            inner = _number(self._signed())
        term = inner.term
        return self._node(lambda scope: None if (a := term(scope)) is None else -a, inner.unit, column)

    @staticmethod
    def _same_unit(left: _Node, right: _Node, sign: str, column: int) -> Dimension | None:
        """The unit of both; a bare number has any."""
        mine, other = _number(left).unit, _number(right).unit
        if mine is not None and other is not None and mine != other:
            found = f"{unit_of(mine)} {sign} {unit_of(other)}"
            raise Mistake(column, found, Said("两边同一单位", "one unit on both sides"))
        return other if mine is None else mine

    def _atom(self) -> _Node:
        token = self.token
        if self.take("("):
            with self._deeper():
                inner = self._or()
            self.expect(")")
            return inner._replace(quantity="", column=token.column)
        if token.kind == "number":
            self.place += 1
            value = float(token.text)
            return self._node(lambda scope: value, None, token.column)
        if self.take("true"):
            return self._node(lambda scope: True, None, token.column, truth=True)
        name = self.of_kind("name", OPERAND).text
        if self.take("("):
            if name not in PARSE:
                raise Mistake(token.column, name, nearest(name, FUNCTION, PARSE))
            with self._deeper():
                node: _Node = getattr(self, f"_{PARSE[name]}")(name, token.column)
            self.expect(")")
            return node
        if name in PARSE:
            raise self.wrong(Said(f"{name} 之后的 (", f"( after {name}"))
        if name not in QUANTITIES:
            raise Mistake(token.column, name, nearest(name, QUANTITY, QUANTITIES))
        return self._read(lambda scope: scope.value(name), name, token.column)

    def _read(self, term: Term, name: str, column: int) -> _Node:
        self._quantities.setdefault(name)
        self._leaf(term, column)
        return self._node(term, dimension(QUANTITIES[name].unit), column, quantity=name)

    def _leaf(self, term: Term, column: int) -> None:
        self._leaves.append(term)
        if not self._inside:
            self._alone = self._alone or column

    # -- functions: each stands after the bracket that opens and stops before the one that closes

    def _size(self, name: str, column: int) -> _Node:
        inner = _number(self._sum())
        term = inner.term
        return self._node(lambda scope: None if (a := term(scope)) is None else abs(a), inner.unit, column)

    def _chosen(self, name: str, column: int) -> _Node:
        left = self._sum()
        self.expect(",")
        right = self._sum()
        unit = self._same_unit(left, right, "and", column)
        bounds = terms.either(name, left.term, right.term)
        return self._node(terms.both(name, left.term, right.term), unit, column, bounds=bounds)

    def _percent(self, name: str, column: int) -> _Node:
        """Of a limit: both in one unit, or the limit a bare number."""
        part = self._sum()
        self.expect(",")
        whole = self._sum()
        self._same_unit(part, whole, "and", column)
        share = terms.both("/", part.term, whole.term)
        return self._node(terms.both("*", share, lambda scope: 100.0), dimension("%"), column)

    def _curve(self, name: str, column: int) -> _Node:
        at = _number(self._sum()).term
        return self._node(terms.along(at, self.points()), None, column)

    def _quantity(self) -> tuple[str, Dimension]:
        name = self.quantity()
        self._quantities.setdefault(name)
        return name, dimension(QUANTITIES[name].unit)

    def _moved(self, name: str, column: int) -> _Node:
        self._refuse_in_window(name, column)
        quantity, unit = self._quantity()
        self._from_baseline.setdefault(quantity)

        def term(scope: Scope) -> float | None:
            return scope.moved(quantity)

        self._leaf(term, column)
        return self._node(term, unit, column)

    def _others(self, name: str, column: int) -> _Node:
        self._refuse_in_window(name, column)
        quantity, unit = self._quantity()
        self._scope.add(name)
        self._cost += OTHERS_MOST
        siblings = name == "siblings"

        def term(scope: Scope) -> float | None:
            known = scope.siblings(quantity) if siblings else scope.peers(quantity)
            return terms.median_of(known)

        self._leaf(term, column)
        return self._node(term, unit, column)

    def _refuse_in_window(self, name: str, column: int) -> None:
        if self._inside == "window":
            raise Mistake(column, name, OF_ONE_READING)

    def _over_time(self, name: str, column: int) -> _Node:
        self._refuse_in_window(name, column)
        sample: Sample
        if name in _CONDITIONS:
            node, of, quantities = self._remembered()
            sample = (
                terms.given(node.quantity)
                if name == "count" and node.quantity
                else terms.held(_truth(node).term)
            )
            unit = dimension("%" if name == "share" else "1")
        else:
            of, unit = self._quantity()
            quantities, sample = (of,), terms.value_of(of)
        unit = product(unit, dimension(_PER[name]), -1) if name in DAYS else unit
        span, argument = 0 if name == "last" else self.span(name), 0.0
        if name == "percentile":
            argument = self.percentage()
        if name == UNUSUAL:
            unit, argument = dimension("1"), QUANTITIES[of].resolution
        term = self._window(Measure(name, of, span, argument, quantities, sample))
        self._leaf(term, column)
        return self._node(term, unit, column)

    def _window(self, measure: Measure) -> Term:
        measure = self._windows.setdefault(measure.key, measure)
        self._cost += SAMPLES_MOST + MORE_COST.get(measure.function, 0)
        return lambda scope: scope.window(measure)

    def _remembered(self) -> tuple[_Node, str, tuple[str, ...]]:
        """What each reading answers by itself, its own words, and what it reads."""
        begin, quantities, self._quantities = self.place, self._quantities, {}
        node = self._within("window")
        read, self._quantities = tuple(self._quantities), quantities | self._quantities
        words = " ".join(token.text for token in self.tokens[begin : self.place])
        if not read:
            raise Mistake(node.column, words, Said("读取某个量的条件", "a condition that reads a quantity"))
        return node, words, read

    def _within(self, inside: str) -> _Node:
        """What stands in a window or of a member; what is not known of it is its own affair."""
        before, leaves = self._inside, self._leaves
        self._inside, self._leaves = inside, []
        node = self._or()
        node = node._replace(term=terms.guarded(node.term, self._leaves))
        self._inside, self._leaves = before, leaves
        return node

    # -- functions of a group

    @contextmanager
    def _each_member(self, name: str, column: int) -> Iterator[None]:
        """What is worked out in here is worked out of every member."""
        if self._inside:
            raise Mistake(column, name, Said("单个成员的说法", "what one member says"))
        self._grouped = self._grouped or column
        self._scope.add("members")
        before, self._cost = self._cost, 0
        yield
        self._cost = before + self._cost * MEMBERS_MOST

    def _group(self, name: str, column: int) -> _Node:
        with self._each_member(name, column):
            node = self._within("members")
        if name in _OVER_MEMBERS:
            self._of_whoever_is_known = True
            return self._node(terms.over_members(_OVER_MEMBERS[name], _number(node).term), node.unit, column)
        term = _truth(node).term
        if name == "members":
            bounds = terms.bounds_of(term)
            return self._node(terms.exactly(bounds), (), column, bounds=bounds)
        return self._node(terms.every(term, name == "any"), None, column, truth=True)

    def _quorum(self, name: str, column: int) -> _Node:
        needed = self.whole(1, MEMBERS_MOST)
        self.expect("of")
        total = self.whole(needed, MEMBERS_MOST)
        self.expect(",")
        with self._each_member(name, column):
            node, of, quantities = self._remembered()
            now = _truth(node).term
            recent = self._window(Measure("count", of, self.span(name), 0.0, quantities, terms.held(now)))
        degraded = needed
        if self.take(","):
            self.expect("degraded")
            degraded = self.whole(1, needed)
        return self._node(terms.vote(recent, now, needed, total, degraded), None, column, truth=True)


def _compared(test: Test, left: _Node, right: _Node) -> Term:
    if left.bounds or right.bounds:
        return terms.in_any_case(
            test, left.bounds or terms.point(left.term), right.bounds or terms.point(right.term)
        )
    return terms.compared(test, left.term, right.term)


def _truth(node: _Node) -> _Node:
    if not node.truth:
        raise Mistake(node.column, node.quantity or NUMBER, SUCH_AS)
    return node


def _number(node: _Node) -> _Node:
    if node.truth:
        raise Mistake(node.column, CONDITION, NUMBER)
    return node
