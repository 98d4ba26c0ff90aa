"""Cards change for everybody once somebody has answered, by whatever way, and for nobody before."""

from __future__ import annotations

import pytest

from gateway.core import state as states
from gateway.core.cards import CARDS_MOST
from gateway.core.engine import Engine
from gateway.core.model import Kind, Notification, NotificationState, Told, Verb
from tests.unit.worlds import Play, of, world


def changes(effects) -> list[Notification]:
    found = [one for one in of(effects, Notification) if one.kind is Kind.ANSWERED]
    return [one for one in found if one.state is NotificationState.DUE and not one.attempt]


@pytest.fixture
def fire() -> Play:
    """Smoke; the first two people have a card each."""
    play = Play()
    play.say(smoke=1)
    first = play.notifications()[-1]
    play.told(first, card="card-1")
    play.wait(301)
    second = play.notifications()[-1]
    assert (first.person, second.person) == ("wang", "li")
    play.told(second, card="card-2")
    assert changes(play.effects) == []
    return play


def test_all_who_have_a_card_see_who_took_it_on(fire: Play) -> None:
    case = fire.case().id
    found = changes(fire.act(case, Verb.ACKNOWLEDGE, "li"))
    assert [(one.person, one.card, one.title) for one in found] == [
        ("wang", "card-1", "已由李主任接手"),
        ("li", "card-2", "已由李主任接手"),
    ]
    assert all(one.due_at == fire.at for one in found)
    assert len({one.id for one in [*found, *fire.notifications()]}) == len(found) + 2


def test_a_card_is_changed_once(fire: Play) -> None:
    """Its code is used up by that."""
    case = fire.case().id
    fire.act(case, Verb.ACKNOWLEDGE)
    assert changes(fire.act(case, Verb.DONE)) == []


@pytest.mark.parametrize(("verb", "words"), [(Verb.FALSE, "已判为误报"), (Verb.DONE, "王经理处理中")])
def test_other_answers_say_so_too(fire: Play, verb: Verb, words: str) -> None:
    """Done while the smoke is still there bounces: whoever said it is at it."""
    assert {one.title for one in changes(fire.act(fire.case().id, verb))} == {words}


def test_nothing_of_the_case_takes_a_change_back(fire: Play) -> None:
    """The provider was away for a while; meanwhile the case goes on."""
    case = fire.case().id
    change = changes(fire.act(case, Verb.ACKNOWLEDGE))[0]
    fire.told(change, Told.LATER, retry_after_s=30.0)
    fire.act(case, Verb.FALSE)
    assert fire.engine.state.notifications[change.id].attempt == 1


def test_a_change_is_nobodys_message(fire: Play) -> None:
    """Neither its success nor its refusal moves the case or its ladder."""
    case = fire.case().id
    one, two = changes(fire.act(case, Verb.ACKNOWLEDGE))
    before = fire.case()
    fire.told(one, Told.ACCEPTED)
    fire.told(two, Told.REFUSED, detail="72 h are over")
    assert fire.case() == before
    assert fire.engine.state.notifications == {}


def test_what_was_on_its_way_when_somebody_answered_is_changed_when_it_arrives() -> None:
    """A siren that begins to sound in that instant would sound for its whole minute."""
    play = Play()
    play.say(smoke=1)
    first = play.notifications()[-1]
    assert changes(play.act(play.case().id, Verb.ACKNOWLEDGE, person="li")) == []
    play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))  # over a restart too
    (change,) = changes(play.told(first, card="card-1"))
    assert (change.card, change.person) == ("card-1", "wang")
    assert changes(play.told(first, card="card-1")) == [], "once"


def test_what_was_taken_back_is_not_remembered_for_ever() -> None:
    play = Play()
    for _ in range(3):
        play.say(smoke=1)
        case = max(play.engine.state.cases)
        play.act(case, Verb.ACKNOWLEDGE)
        assert len(play.engine.state.recalled) == 1
        play.act(case, Verb.FALSE)
        play.say(smoke=0)
        play.wait(301)


def test_a_card_that_was_on_its_way_is_changed_when_it_arrives() -> None:
    """A case in which a message may be due although somebody has answered."""
    play = Play()
    play.say(smoke=1)
    first = play.notifications()[-1]
    play.wait(301)
    second = play.notifications()[-1]
    play.told(first)
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.engine.state.notifications[second.id] = second
    found = changes(play.told(second, card="card-2"))
    assert [(one.card, one.title) for one in found] == [("card-2", "已由王经理接手")]


def test_cards_survive_a_restart(fire: Play) -> None:
    case = fire.case().id
    state = states.load(states.save(fire.engine.state))
    fire.engine = Engine(fire.engine.world or world(), state)
    assert [one.card for one in changes(fire.act(case, Verb.ACKNOWLEDGE))] == ["card-1", "card-2"]


def test_what_was_not_taken_has_no_card() -> None:
    play = Play()
    play.say(smoke=1)
    play.told(play.notifications()[-1], Told.UNKNOWN, card="card-1")
    assert play.engine.state.cards == {}


def test_cards_of_a_case_are_bounded_and_go_with_it(fire: Play) -> None:
    """A red case that nobody answers is told again for days."""
    for number in range(CARDS_MOST):
        fire.wait(900)
        fire.told(fire.notifications()[-1], card=f"again-{number}")
    case = fire.case().id
    assert [len(cards) for cards in fire.engine.state.cards.values()] == [CARDS_MOST]
    assert len(changes(fire.act(case, Verb.FALSE))) == CARDS_MOST
    assert fire.engine.state.cards == {}
