"""The door for providers: what they say enters once, is committed, and only then answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import telemetry
from gateway.adapters.store import Record, Store
from gateway.channels.base import Call, Heard, Listening, Receipted, Replied, Secret
from gateway.core.model import Act, Event, Person, Receipt, Reply, Tick, Verb
from gateway.links import Links
from gateway.web.app import create_app
from gateway.web.callbacks import BODY_BYTES_MOST, PENDING_MOST, Callbacks, event_of
from gateway.web.deps import Deps, Health
from gateway.web.guard import WRONG_MOST
from gateway.web.server import WebServer
from tests.contract.clouds import MOBILE, Aliyun
from tests.contract.dialects import notification, sms_aliyun
from tests.unit.worlds import world
from tests.waiting import until

TOKEN = "a-token-of-ours-0123456789"
WANG = Person(id="wang", says="王经理", unit="firm", reach={"card": "wangjl", "other": "wangjl"})
WORLD = world(persons={"wang": WANG})
CARD = notification(channel="card", address="wangjl")
PRESS = Replied("wangjl", "acknowledge", CARD.id)


class Ear:
    """A channel that understands `ok …` and `forged`, and says what a test gives it."""

    def __init__(self) -> None:
        self.said: tuple[Receipted | Replied, ...] = (PRESS,)
        self.key = ""
        self.calls: list[Call] = []

    def hear(self, call: Call) -> Heard:
        self.calls.append(call)
        if call.body == b"forged":
            return Heard(401)
        if call.body == b"garbled":
            raise ValueError("neither JSON nor XML")
        return Heard(200, b'{"code":0}', "application/json", self.said, self.key)


class Queue:
    """The pipeline's submit: commits at once, or when a test says so."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.futures: list[Future[Any]] = []
        self.at_once = True

    def submit(self, make: Callable[[int, int], Event]) -> Future[Any]:
        self.events.append(make(5, 7))
        self.futures.append(Future())
        if self.at_once:
            self.futures[-1].set_result([])
        return self.futures[-1]


class Door:
    def __init__(self, folder: Path, answer_s: float = 0.5, groups: Mapping[str, str] = {}) -> None:
        self.ear, self.queue = Ear(), Queue()
        self.store = Store(folder / "state")
        self.store.commit([Record(Tick(1, 1), [CARD])])
        callbacks = Callbacks(
            {"card": self.ear, "duty": sms_aliyun("http://127.0.0.1", token=Secret(TOKEN))},
            self.queue.submit,
            lambda: WORLD,
            self.store.reader,
            lambda: 9_500_000_000,
            answer_s,
            groups,
        )
        healthy = Health(progressing=True, broker=True, store_writable=True)
        deps = Deps(
            reader=self.store.reader, world=lambda: WORLD, submit=self.queue.submit,
            links=Links([b"k" * 32]), health=lambda: healthy, callbacks=callbacks,
        )  # fmt: skip
        self.web = WebServer(create_app(deps), "127.0.0.1", 0)
        self.web.start()

    def call(self, body: bytes = b"ok", channel: str = "card", **more: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.web.port}/callback/{channel}"
        return httpx.post(url, content=body, timeout=10, **more)

    def stop(self) -> None:
        self.web.stop()
        self.store.close()


def test_what_a_member_of_a_failover_hears_is_about_the_failover(tmp_path: Path) -> None:
    """Its messages were sent under that name, and only so is the receipt's found."""
    found = Door(tmp_path, groups={"card": "sms"})
    found.ear.said = (Receipted("biz-1", True), Replied("13800000001", "1"))
    assert found.call().status_code == 200
    assert [one.channel for one in found.queue.events] == ["sms", "sms"]  # type: ignore[union-attr]
    found.stop()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    found = Door(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Door]:
    found = Door(tmp_path, answer_s=10.0)
    yield found
    found.stop()


def outcomes(outcome: str, channel: str = "card") -> float:
    name, labels = "lilong_callbacks_total", {"channel": channel, "outcome": outcome}
    return telemetry.REGISTRY.get_sample_value(name, labels) or 0.0


# ---------------------------------------------------------------- the plain way


def test_a_pressed_button_is_the_persons_act(door: Door) -> None:
    before = outcomes("heard")
    answer = door.call(params={"nonce": "n"}, headers={"X-Their-Own": "h"})
    assert (answer.status_code, answer.content) == (200, b'{"code":0}')
    assert answer.headers["content-type"] == "application/json"
    assert door.queue.events == [Act(5, 7, CARD.case, "wang", Verb.ACKNOWLEDGE, "", "card")]
    call = door.ear.calls[0]
    assert (call.query["nonce"], call.headers["x-their-own"], call.body, call.at_s) == ("n", "h", b"ok", 9.5)
    assert outcomes("heard") == before + 1


def test_a_get_is_heard_too(door: Door) -> None:
    """WeCom proves an address by a GET before it takes it."""
    door.ear.said = ()
    url = f"http://127.0.0.1:{door.web.port}/callback/card?echostr=x"
    assert httpx.get(url).status_code == 200
    assert door.ear.calls[0].query == {"echostr": "x"}


def test_receipts_and_replies_enter_for_the_core_to_judge(door: Door) -> None:
    door.ear.said = (Receipted("biz", False, "off"), Replied("13812341234", "1"))
    assert door.call().status_code == 200
    receipt, reply = door.queue.events
    assert receipt == Receipt(5, 7, "card", "biz", False, "off")
    assert reply == Reply(5, 7, "card", "13812341234", "1", "")


def test_a_push_of_aliyuns_needs_our_token(door: Door) -> None:
    cloud = Aliyun("", lambda: 0.0, {})
    push = cloud.report(cloud.take("n1", MOBILE, []))
    for token in ("wrong", ""):
        assert door.call(push, "duty", params={"token": token}).status_code == 403
    assert door.queue.events == [] and outcomes("refused", "duty") == 2
    answer = door.call(push, "duty", params={"token": TOKEN})
    assert (answer.status_code, answer.json()["code"]) == (200, 0)
    again = door.call(push, "duty", params={"token": TOKEN})
    assert (again.status_code, outcomes("again", "duty")) == (200, 1)
    assert door.queue.events == [Receipt(5, 7, "duty", "n1", True, "DELIVERED 用户接收成功")]
    assert door.call(b"{", "duty", params={"token": TOKEN}).status_code == 400


NOBODYS = [
    Replied("stranger", "acknowledge", CARD.id),
    Replied("wangjl", "acknowledge", "01JD0000000000000000000009"),
    Replied("wangjl", "reset", CARD.id),
]


@pytest.mark.parametrize("said", NOBODYS, ids=["who", "what", "which button"])
def test_what_is_nobodys_changes_nothing(door: Door, said: Replied) -> None:
    """Answered all the same: calling again would not make it ours. It is in the log."""
    door.ear.said = (said,)
    with telemetry.testing() as log:
        assert door.call().status_code == 200
    assert door.queue.events == []
    assert [one.event for one in log] == ["callback_unmatched"]


def test_another_channels_card_is_not_answered_here(door: Door) -> None:
    """Who may speak on one channel has no voice on another."""
    assert event_of(PRESS, "other", WORLD, door.store.reader()) is None


# ---------------------------------------------------------------- committed first, once, in time


def test_it_is_answered_only_after_the_commit(patient: Door) -> None:
    door = patient
    door.queue.at_once = False
    got: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: got.append(door.call()))
    caller.start()
    until(lambda: door.queue.futures)
    assert got == []
    door.queue.futures[0].set_result([])
    caller.join(5)
    assert got[0].status_code == 200


def test_past_the_providers_patience_it_is_a_failure_and_comes_again(door: Door) -> None:
    door.ear.key = "msg-1"
    door.queue.at_once = False
    assert door.call().status_code == 503
    door.queue.futures[0].set_result([])
    assert door.call().status_code == 200
    assert len(door.queue.events) == 1, "the second call waited for what the first had said"


def test_what_was_not_committed_is_said_anew(patient: Door) -> None:
    door = patient
    door.ear.key = "msg-1"
    door.queue.at_once = False
    caller = threading.Thread(target=door.call)
    caller.start()
    until(lambda: door.queue.futures)
    door.queue.futures[0].set_exception(OSError("disk full"))
    caller.join(5)
    door.queue.at_once = True
    assert door.call().status_code == 200
    assert len(door.queue.events) == 2


def test_a_call_heard_twice_enters_once(door: Door) -> None:
    door.ear.key, before = "msg-1", outcomes("again")
    assert [door.call().status_code for _ in range(3)] == [200] * 3
    assert len(door.queue.events) == 1
    assert outcomes("again") == before + 2


def test_calls_without_a_key_are_each_their_own(door: Door) -> None:
    for _ in range(2):
        door.call()
    assert len(door.queue.events) == 2


# ---------------------------------------------------------------- strangers


def test_a_forged_call_says_nothing(door: Door) -> None:
    with telemetry.testing() as log:
        answer = door.call(b"forged")
    assert (answer.status_code, answer.content, door.queue.events) == (401, b"", [])
    assert [one.event for one in log] == ["callback_refused"]


def test_wrong_calls_run_out_and_right_ones_do_not(door: Door) -> None:
    codes = [door.call(b"forged").status_code for _ in range(WRONG_MOST + 2)]
    assert codes == [401] * WRONG_MOST + [429] * 2
    assert door.call().status_code == 200, "nobody can lock the provider out"


def test_a_channel_that_does_not_listen_is_not_there(door: Door) -> None:
    assert door.call(channel="sms").status_code == 404
    assert (
        telemetry.REGISTRY.get_sample_value(
            "lilong_callbacks_total", {"channel": "sms", "outcome": "refused"}
        )
        is None
    ), "a stranger would make up a metric for each name"


def test_a_body_has_a_bound(door: Door) -> None:
    assert door.call(b"x" * (BODY_BYTES_MOST + 1)).status_code == 413
    assert door.ear.calls == []


def test_what_is_not_to_be_understood_is_said_so(door: Door) -> None:
    assert door.call(b"garbled").status_code == 400


def test_calls_under_way_are_bounded(patient: Door) -> None:
    door = patient
    door.queue.at_once = False
    callers = [threading.Thread(target=door.call) for _ in range(PENDING_MOST)]
    for one in callers:
        one.start()
    until(lambda: len(door.queue.futures) == PENDING_MOST)
    assert door.call().status_code == 503
    assert len(door.queue.futures) == PENDING_MOST, "it was turned away at the door"
    for future in door.queue.futures:
        future.set_result([])
    for one in callers:
        one.join(5)
    door.queue.at_once = True
    assert door.call().status_code == 200


def test_who_listens_is_told_by_its_shape() -> None:
    assert isinstance(Ear(), Listening)
    assert not isinstance(object(), Listening)
