"""From a card to the case and back to every card: real log, real door, real sockets, a pretend WeCom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.adapters.clock import Clock
from gateway.adapters.http import Origin, Site
from gateway.adapters.store import Store
from gateway.channels.base import Secret
from gateway.channels.inbox import Inbox
from gateway.channels.wecom_app import HearingWecomApp
from gateway.channels.wecom_callback import Envelope
from gateway.core.model import Act, Case, Level, Link, Message, Messages, Person, Stage, Step, Verb
from gateway.links import Links
from gateway.notifier import Notifier, StoreLedger
from gateway.pipeline import Pipeline
from gateway.web.app import create_app
from gateway.web.callbacks import Callbacks
from gateway.web.deps import Deps, Health
from gateway.web.rows import find_case
from gateway.web.server import WebServer
from simulators.wecom import AES_KEY, AGENT, CORP_ID, CORP_SECRET, TOKEN, press
from tests.contract.corp import Corp, call
from tests.contract.provider import Provider
from tests.unit.worlds import SMOKE, TOPIC, payload, world
from tests.waiting import until

SPAN_S = 5.0  # CHN-07: within this every card says who
BY = ("app",)
STREET = world(
    rules=(SMOKE,),
    persons={
        "wang": Person(id="wang", says="王经理", unit="firm", reach={"app": "WangJL"}),
        "li": Person(id="li", says="李主任", unit="jw", reach={"app": "li"}),
    },
    ladders={level: (Step(role="property", by=BY), Step(role="committee", by=BY)) for level in Level},
)


class Street:
    """A gateway whose two people are told by cards."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.corp = Corp(provider, {"WangJL", "li"})
        self.store = Store(folder / "state")
        self.pipeline = Pipeline(
            STREET, self.store, Clock(), lambda due: self.notifier.offer(due), lambda *_: None
        )
        site = Site(Origin.parse(f"http://127.0.0.1:{provider.port}/cgi-bin"))
        envelope = Envelope(CORP_ID, Secret(TOKEN), Secret(AES_KEY))
        app = HearingWecomApp(site, CORP_ID, AGENT, Secret(CORP_SECRET), envelope)
        ledger, links = StoreLedger(self.store.reader), Links([b"k" * 32], "https://alarm.example")
        channels = {"app": app, "inbox": Inbox()}
        self.notifier = Notifier(
            channels,
            self.pipeline.submit,
            self.pipeline.clock,
            ledger,
            lambda told: links.show(told, time.time_ns()),
        )
        callbacks = Callbacks({"app": app}, self.pipeline.submit, lambda: STREET, self.store.reader)
        healthy = Health(progressing=True, broker=True, store_writable=True)
        deps = Deps(
            reader=self.store.reader, world=lambda: STREET, submit=self.pipeline.submit,
            links=links, health=lambda: healthy, callbacks=callbacks,
        )  # fmt: skip
        self.web = WebServer(create_app(deps), "127.0.0.1", 0)

    def burn(self) -> str:
        """Smoke; returns the case once both have their cards."""
        self.pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
        smoke = Message(TOPIC, payload(smoke=1))
        self.pipeline.submit(lambda at, wall: Messages(at, wall, [smoke])).result(10)
        until(lambda: len(self.corp.cards) == 2)
        (row,) = self.store.reader().execute("SELECT id FROM cases").fetchall()
        until(lambda: self.case(row[0]).stage is Stage.SENT)
        until(lambda: self._settled() == 2)
        return str(row[0])

    def _settled(self) -> int:
        return int(
            self.store.reader()
            .execute("SELECT count(*) FROM notification WHERE state = 'accepted'")
            .fetchone()[0]
        )

    def case(self, case: str) -> Case:
        found = find_case(self.store.reader(), case)
        assert found is not None
        return found

    def press(self, member: str, at_s: float) -> httpx.Response:
        """As WeCom says it, in its own spelling of a userid."""
        task = self.corp.shown["WangJL"][0]["template_card"]["task_id"]
        made = call(press(member, task), at_s)
        url = f"http://127.0.0.1:{self.web.port}/callback/app"
        return httpx.post(url, params=dict(made.query), content=made.body, timeout=10)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with Provider() as provider:
        found = Street(tmp_path, provider)
        found.pipeline.start()
        found.notifier.start()
        found.web.start()
        yield found
        found.web.stop()
        found.notifier.stop()
        found.pipeline.stop()
        found.store.close()
        assert provider.complaints == []


def test_a_pressed_button_takes_the_case_on_and_every_card_says_so(street: Street) -> None:
    case = street.burn()
    began = time.monotonic()
    answer = street.press("wangjl", time.time())
    assert (answer.status_code, answer.content) == (200, b"")
    assert street.case(case).stage is Stage.ACKNOWLEDGED, "answered only once it was committed"
    assert street.case(case).acknowledged_by == "wang"
    until(lambda: len(street.corp.changed) == 2)
    assert time.monotonic() - began < SPAN_S
    assert sorted(street.corp.changed) == [("WangJL", "已由王经理接手"), ("li", "已由王经理接手")]


def test_whoever_answers_by_the_link_is_on_the_cards_too(street: Street) -> None:
    case = street.burn()
    street.pipeline.submit(lambda at, wall: Act(at, wall, case, "li", Verb.ACKNOWLEDGE, "", "link")).result(
        10
    )
    until(lambda: len(street.corp.changed) == 2)
    assert {words for _, words in street.corp.changed} == {"已由李主任接手"}


def test_a_forged_press_takes_nothing_on(street: Street) -> None:
    case = street.burn()
    assert street.press("wangjl", time.time() - 3600).status_code == 401
    assert street.case(case).stage is Stage.SENT
