"""Owed against the plain set of positions that it stands for."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.backlog import Owed


class Positions(RuleBasedStateMachine):
    """Whatever happens in whatever order, exactly what was not taken is owed."""

    def __init__(self):
        super().__init__()
        self.owed, self.model, self.end = Owed(), set(), 0

    @rule(count=st.integers(0, 40))
    def grow(self, count):
        self.model |= set(range(self.end, self.end + count))
        self.end += count
        self.owed = self.owed.grown(self.end)

    @rule(first=st.integers(0, 200), count=st.integers(1, 60))
    def take(self, first, count):
        if not self.end:
            return
        first = min(first, self.end - 1)  # nobody takes what is not there
        end = first + count  # but a batch may end beyond what we had heard of
        self.model -= set(range(first, end))
        self.end = max(self.end, end)
        self.owed = self.owed.done(first, end)

    @rule(most=st.integers(0, 50))
    def split(self, most):
        self.owed = self.owed.split(most)
        assert self.owed.fresh[1] - self.owed.fresh[0] <= most

    @rule()
    def save_and_load(self):
        self.owed = msgspec.msgpack.decode(msgspec.msgpack.encode(self.owed), type=Owed)

    @invariant()
    def exactly_the_rest_is_owed(self):
        ranges = [*self.owed.old, self.owed.fresh]
        assert {n for first, end in ranges for n in range(first, end)} == self.model
        assert self.owed.count == len(self.model)
        assert all(first < end for first, end in self.owed.old)
        assert all(one[1] <= two[0] for one, two in pairwise(ranges))
        assert self.owed.oldest() == min(self.model, default=self.owed.fresh[0])


TestPositions = Positions.TestCase


def test_after_an_outage_news_go_first_and_the_old_is_drained_from_its_beginning():
    owed = Owed((100, 100)).grown(70_000).split(50_000)
    assert owed == Owed((70_000, 70_000), ((100, 70_000),))
    owed = owed.grown(70_010).done(70_000, 70_010).done(100, 5_100)
    assert owed == Owed((70_010, 70_010), ((5_100, 70_000),))
    assert owed.oldest() == 5_100


def test_a_second_outage_during_the_drain_keeps_both_parts():
    owed = Owed((0, 60_000)).split(50_000).done(0, 1_000).grown(130_000).split(50_000)
    assert owed == Owed((130_000, 130_000), ((1_000, 130_000),))


def test_a_short_delay_splits_nothing():
    assert Owed((0, 50_000)).split(50_000) == Owed((0, 50_000))


@given(st.integers(0, 100), st.integers(0, 100))
def test_growing_backwards_does_nothing(first, count):
    owed = Owed((first, first + count))
    assert owed.grown(first) == owed
