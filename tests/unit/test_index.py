"""What a storm of alerts costs: its thousandth alert asks as few of the others as its first."""

import random
from dataclasses import replace

import msgspec
import pytest

from gateway.core import chatter
from gateway.core.casebook import Step
from gateway.core.engine import Engine
from gateway.core.index import Index
from gateway.core.model import Cause, Message, Messages, Stage, Told, Verb
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, Play, payload, world

STORM = 200
ASKED_MOST = 10  # entries of all tables that one message or deed may go through


class Counted(dict):
    """A table that counts the entries that somebody goes through."""

    asked = 0

    def _each(self, found):
        for one in found:
            Counted.asked += 1
            yield one

    def __iter__(self):
        return self._each(super().__iter__())

    def values(self):
        return self._each(super().values())

    def items(self):
        return self._each(super().items())


class Storm(Play):
    """Many cabinets that all say the same at once; heat hides behind smoke."""

    names = tuple(f"cab-{number}" for number in range(STORM))

    def __init__(self):
        rules = (replace(HOT, inhibited_by=(Cause(rule="smoke"),), clear_hold_s=60), SMOKE)
        super().__init__(Engine(world(rules=rules, devices=self.names), State(identity="0000002a")))
        self.all_say(smoke=0)
        for table in ("alerts", "cases", "notifications", "tracks", "raised"):
            setattr(self.engine.state, table, Counted(getattr(self.engine.state, table)))
        Counted.asked = 0

    def all_say(self, slots=None, **values):
        body = payload(slots, **values)
        self.give(Messages(self.at, self.wall(), [Message(f"site/{name}", body) for name in self.names]))


@pytest.fixture
def storm():
    return Storm()


def test_a_storm_goes_through_no_table(storm):
    """Raised, hidden, told, retried, refused, taken on, reported as done, bounced, ended."""
    state = storm.engine.state
    storm.all_say(smoke=1)
    storm.all_say({3: 80})
    assert len(state.alerts) == 2 * STORM and len(state.cases) == STORM
    notifications, cases = [*dict.values(state.notifications)], [*dict.keys(state.cases)]
    for one in notifications:
        storm.told(one, Told.LATER)
        storm.told(one, Told.REFUSED)
    for case in cases:
        storm.act(case, Verb.ACKNOWLEDGE)
        storm.act(case, Verb.DONE)
    assert {one.stage for one in dict.values(state.cases)} == {Stage.HANDLING}
    storm.all_say({3: 20}, smoke=0)
    storm.wait(61)
    assert not state.alerts
    deeds = 4 * STORM + 2 * len(notifications) + 2 * len(cases)
    assert Counted.asked <= ASKED_MOST * deeds, Counted.asked


def test_chatter_forgets_without_going_through_what_is_fresh(storm):
    raised = Counted()
    for number in range(STORM):
        chatter.note_raised(raised, str(number), number)
    assert Counted.asked <= STORM
    chatter.note_raised(raised, "0", STORM)
    chatter.note_raised(raised, "1", chatter.RAISED_NS + STORM // 2)
    assert [*dict.keys(raised)] == [*map(str, range(STORM // 2 + 1, STORM)), "0", "1"]


def test_alerts_are_found_the_oldest_first_in_whatever_order_they_hid(storm):
    storm.all_say({3: 80})
    book, found = storm.engine.cases.book, [*dict.values(storm.engine.state.alerts)]
    hiding = random.Random(1).sample(found, 20)
    for one in hiding:
        book.keep_alert(Step(0, 0), msgspec.structs.replace(one, hidden_by="x"))
    assert [one.id for one in book.alerts(("behind", "x"))] == sorted(one.id for one in hiding)
    assert found == sorted(found, key=lambda one: one.id)


@pytest.mark.parametrize("seed", range(20))
def test_an_index_is_what_one_made_anew_would_be(seed):
    """An entry has several keys, and may leave one for another."""
    lots, table = random.Random(seed), {}
    index = Index(table, lambda keys: keys)
    for _ in range(300):
        name = str(lots.randrange(12))
        if lots.random() < 0.3:
            table.pop(name, None)
            index.drop(name)
        else:
            table[name] = lots.choices("abc", k=lots.randrange(4))
            index.note(name, table[name])
        assert index.names == Index(table, lambda keys: keys).names, seed


def test_an_index_lists_what_never_moves_in_the_order_of_its_table():
    lots, table = random.Random(1), {}
    index = Index(table, lambda key: [key])
    for _ in range(500):
        name = str(lots.randrange(40))
        if name in table and lots.random() < 0.5:
            del table[name]
            index.drop(name)
        else:
            table[name] = str(int(name) % 3)
            index.note(name, table[name])
        for key in "012":
            assert index.of(key) == [one for one in table if table[one] == key]
