"""What a text names can be pressed where it is read, whatever it is about and wherever its case stands."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from gateway.channels.wecom_app import compose
from gateway.core import texts
from gateway.core.asking import ASKED, INFORMED, WORDED, offered
from gateway.core.cases import ENDED, TURNS, UNANSWERED
from gateway.core.clocks import DEFAULTS
from gateway.core.deeds import turn_of
from gateway.core.engine import Engine
from gateway.core.model import (
    Alert,
    AlertState,
    Case,
    Kind,
    Notification,
    NotificationState,
    Stage,
    Step,
    Verb,
)
from gateway.core.state import State
from gateway.web.callbacks import PRESSED
from tests.unit.worlds import SMOKE, START_NS, Play, of, world

ROOT = Path(__file__).parents[2]
LINK = "https://box.example/c/token"
MESSAGES = [kind for kind in Kind if kind is not Kind.ANSWERED]  # which is no message
OPEN = [stage for stage in Stage if stage not in (*ENDED, Stage.VERIFIED)]
NAMED = re.compile("“([^”]+)”")
SAID_IN = {  # where the flow says it, of those that are asked of something
    Kind.VERIFY: [Stage.HANDLED],
    Kind.UNVERIFIED: [Stage.HANDLED],
    Kind.ASKED: [Stage.ACKNOWLEDGED, Stage.HANDLING],
    Kind.BOUNCED: [Stage.HANDLING, *UNANSWERED],  # there, when one says done and two must take it on
    Kind.REJECTED: [Stage.HANDLING],
    Kind.RESUMED: [Stage.ACKNOWLEDGED],
    Kind.CLEARED: [stage for stage in OPEN if stage is not Stage.HANDLED],
    Kind.LATCHED: OPEN,
}
SAID = [(kind, stage) for kind in MESSAGES for stage in SAID_IN.get(kind, OPEN)]


def burning() -> Play:
    ladder = (Step(role="property", by=("inbox",), copy=("committee",)),)
    known = world(rules=(SMOKE,), clocks=tuple(DEFAULTS.values()))
    known = replace(known, ladders=dict.fromkeys(known.ladders, ladder))
    play = Play(Engine(known, State(identity="0000002a")))
    play.say(smoke=1)
    return play


@pytest.fixture(scope="module")
def fire() -> tuple[Play, Case, Alert]:
    play = burning()
    return play, play.case(), of(play.effects, Alert)[-1]


def in_stage(case: Case, stage: Stage) -> Case:
    """With all that a text may speak of."""
    return structs.replace(
        case, stage=stage, acknowledged_by="wang", handled_by="wang", verifier="li", word="等配件",
        word_by="wang", until_ns=START_NS + 1,
    )  # fmt: skip


def text_of(fire, kind: Kind, stage: Stage, to: str = "wang", verifier: str = "li") -> str:
    play, case, alert = fire
    case = structs.replace(in_stage(case, stage), verifier=verifier)
    if kind in (Kind.CLEARED, Kind.LATCHED):
        alert = structs.replace(alert, state=AlertState(kind.value))
    return texts.body(kind, alert, SMOKE, case, play.engine.world, START_NS, to)


def card_of(asks: tuple[Verb, ...], kind: Kind) -> dict:
    told = Notification(
        id="n", case="c", alert="a", kind=kind, level=SMOKE.limits[0].level, person="wang", channel="wecom",
        address="wang", title="【x】y", text="t", created_ns=0, due_at=0, asks=asks,
    )  # fmt: skip
    return compose(told, "t", LINK, 1, True)["template_card"]


@pytest.mark.parametrize("to", ["wang", "li"])
@pytest.mark.parametrize(("kind", "stage"), SAID)
def test_every_button_that_a_text_names_is_on_its_card(fire, kind: Kind, stage: Stage, to: str) -> None:
    """`li` is informed only."""
    case = in_stage(fire[1], stage)
    asks = offered(kind, case, to)
    shown = {one["text"] for one in card_of(asks, kind).get("button_list", ())} - {"打开"}
    assert set(NAMED.findall(text_of(fire, kind, stage, to))) <= shown
    assert shown == {texts.BUTTONS[verb] for verb in asks}


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if ASKED[kind]])
def test_where_it_is_said_it_asks_for_something(fire, kind: Kind) -> None:
    for stage in SAID_IN.get(kind, [Stage.FOUND, Stage.SENT, Stage.RETURNED, Stage.ACKNOWLEDGED]):
        assert offered(kind, in_stage(fire[1], stage), "wang"), stage


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("stage", OPEN)
def test_what_is_offered_is_a_move_of_the_table_and_can_be_pressed(fire, kind: Kind, stage: Stage) -> None:
    asks = offered(kind, in_stage(fire[1], stage), "wang")
    for verb in asks:
        turn = turn_of(verb, stage)
        assert verb in (Verb.RESET, Verb.AGREE) or (stage, turn) in TURNS
        assert verb in WORDED or verb.value in PRESSED
    for one in card_of(asks, kind).get("button_list", ()):
        assert one.get("url") == LINK or one["key"] in PRESSED


@pytest.mark.parametrize("kind", [*sorted(INFORMED), Kind.CLEARED, Kind.LATCHED])
def test_who_is_informed_is_asked_for_nothing(fire, kind: Kind) -> None:
    for stage in OPEN:
        said = text_of(fire, kind, stage, "li" if kind not in INFORMED else "wang")
        assert not NAMED.findall(said) and "响应" not in said and "时限" not in said
        assert offered(kind, in_stage(fire[1], stage), "li" if kind not in INFORMED else "wang") == ()
        assert card_of((), kind)["card_type"] == "text_notice"


def test_what_the_sensor_must_confirm_is_nobodys_to_verify(fire) -> None:
    assert "没有恢复正常" in text_of(fire, Kind.UNVERIFIED, Stage.HANDLED, verifier="")
    assert not NAMED.findall(text_of(fire, Kind.UNVERIFIED, Stage.HANDLED, verifier=""))
    case = structs.replace(in_stage(fire[1], Stage.HANDLED), verifier="")
    assert offered(Kind.UNVERIFIED, case, "wang") == ()


def test_the_page_has_a_button_of_each_name() -> None:
    """The same message is read where there are no buttons: the link leads to them."""
    parts = (ROOT / "gateway/web/templates" / name for name in ("case.html", "shelf.html"))
    page = "".join(part.read_text("utf-8") for part in parts)
    named = {name for words in texts.ASKS.values() for name in NAMED.findall(words)}
    assert named and all(f'"{name}"' in page or f">{name}<" in page for name in named)


# ---------------------------------------------------------------- cards that stand


def changes(effects) -> list[tuple[str, str]]:
    found = [one for one in of(effects, Notification) if one.state is NotificationState.DUE]
    return [(one.person, one.title) for one in found if one.kind is Kind.ANSWERED]


def take_cards(play: Play) -> None:
    for one in list(play.engine.state.notifications.values()):
        play.told(one, card=f"card-{one.id}")


@pytest.fixture
def street() -> Play:
    known = world(rules=(replace(SMOKE, clear_hold_s=0),), clocks=tuple(DEFAULTS.values()))
    play = Play(Engine(known, State(identity="0000002a")))
    play.say(smoke=1)
    take_cards(play)
    return play


def test_a_card_stands_until_what_it_asks_for_is_done(street: Play) -> None:
    """The bounce asks its doer for another done, and is no answer by itself."""
    case = street.case().id
    street.act(case, Verb.ACKNOWLEDGE)
    street.act(case, Verb.DONE)
    bounce = street.notifications()[-1]
    assert (bounce.kind, bounce.asks) == (Kind.BOUNCED, (Verb.DONE,))
    assert changes(street.told(bounce, card="bounce")) == []
    street.say(smoke=0)
    street.wait(1)
    assert changes(street.act(case, Verb.DONE)) == [("wang", "王经理已处理")]


def test_the_card_of_who_is_to_verify_stands_until_it_is_verified(street: Play) -> None:
    case = street.case().id
    street.act(case, Verb.ACKNOWLEDGE)
    street.say(smoke=0)
    street.wait(1)
    street.act(case, Verb.DONE)
    asked = street.notifications()[-1]
    assert (asked.person, asked.asks) == ("li", (Verb.VERIFY, Verb.RETURN))
    assert changes(street.told(asked, card="look")) == []
    assert ("li", "已结案") in changes(street.act(case, Verb.VERIFY, "li"))


def test_good_news_says_who_took_it_on_to_all_others(street: Play) -> None:
    street.wait(301)
    take_cards(street)
    street.say(smoke=0)
    street.wait(1)
    take_cards(street)
    found = changes(street.act(street.case().id, Verb.ACKNOWLEDGE, "li"))
    assert [words for _, words in found] == ["已由李主任接手"] * len(found)
    left = [one for one in street.engine.state.cards[street.case().id]]
    assert [(one.person, one.kind) for one in left] == [("li", Kind.CLEARED)], "hers still asks for done"


def test_a_change_of_a_card_is_not_itself_a_card(street: Play) -> None:
    street.act(street.case().id, Verb.ACKNOWLEDGE)
    for one in list(street.engine.state.notifications.values()):
        assert one.kind is Kind.ANSWERED and changes(street.told(one, card="again")) == []


def test_an_older_stores_message_asked_to_be_taken_on() -> None:
    old = structs.asdict(Notification(
        id="n", case="c", alert="a", kind=Kind.RAISED, level=SMOKE.limits[0].level, person="wang",
        channel="wecom", address="wang", title="t", text="t", created_ns=0, due_at=0,
    ))  # fmt: skip
    del old["asks"]
    assert Notification(**old).asks == (Verb.ACKNOWLEDGE,)
