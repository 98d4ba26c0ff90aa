"""Whether the very bytes came before: the numbers that are kept say what a look at all of them says."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import repeats
from gateway.core.model import Message
from gateway.core.repeats import Repeats

MOST = 6
said = st.integers(0, 9).map(lambda number: Message("site/a", b"%d" % number))
events = st.lists(st.tuples(st.lists(said, max_size=8), st.booleans()), max_size=12)


@given(st.lists(said, max_size=8), events)
def test_what_is_kept_says_what_a_look_at_all_says(before, given_events):
    """Asked of some events only, with more messages than are remembered."""
    with patch.object(repeats, "RECENT_MOST", MOST):
        one = Repeats((0, message) for message in before)
        for items, is_asked in given_events:
            one.begin(items)
            for index, message in enumerate(items if is_asked else ()):
                known = [old for _, old in one.recent] + items[:index]
                assert one._came_before(message, index) is (message in known)
            one.end(0)
            assert len(one._numbers) <= 2 * MOST


def test_each_message_is_looked_at_once_however_often_one_asks():
    """A city whose devices repeat themselves: each doubt once cost a look at 20,000 messages."""
    looked = []

    class Counted(dict):
        def __setitem__(self, said, number):
            looked.append(number)
            super().__setitem__(said, number)

    one = Repeats((0, Message("site/a", b"%d" % number)) for number in range(1000))
    one._numbers = Counted()
    for number in range(1000, 1200):
        message = Message("site/a", b"%d" % number)
        one.begin([message])
        assert not one._came_before(message, 0)
        one.end(0)
    assert looked == list(range(1199))
