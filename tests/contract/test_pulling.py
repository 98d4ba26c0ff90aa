"""Receipts and replies that are fetched, where no provider can call us: Tencent's PullSms… and our thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from gateway import channels, telemetry
from gateway.channels import sms_tencent
from gateway.channels.base import Pulling, Receipted, Replied
from gateway.core.model import Event, Receipt, Reply, Told
from gateway.pulling import Puller
from tests.contract.clouds import MOBILE, Tencent
from tests.contract.dialects import SECRET
from tests.contract.provider import Provider, reply, silence
from tests.contract.test_clouds import Bench
from tests.unit.worlds import world
from tests.waiting import until

STATUS, REPLIES = "PullSmsSendStatus", "PullSmsReplyStatus"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Provider(silence) as provider:
        yield Bench("sms_tencent", provider)


def cloud(bench: Bench) -> Tencent:
    assert isinstance(bench.cloud, Tencent)
    return bench.cloud


def test_receipts_are_named_by_our_own_id(bench: Bench) -> None:
    """So that also a message whose answer we never heard is known to have arrived."""
    bench.provider.then(bench.cloud.lose)
    assert bench.send(bench.told("n1")).told is Told.UNKNOWN
    bench.provider.then(bench.cloud.behave)
    bench.hand.now += 60
    bench.send(bench.told("n2"))
    cloud(bench).reported(bench.cloud.taken[0])
    cloud(bench).reported(bench.cloud.taken[1], delivered=False)
    assert bench.channel.pull() == [Receipted("n1", True, "DELIVRD"), Receipted("n2", False, "用户关机")]
    assert bench.channel.pull() == []


def test_without_our_context_a_receipt_names_the_serial_number(bench: Bench) -> None:
    bench.send()
    cloud(bench).reported(*bench.cloud.taken)
    cloud(bench).waiting[STATUS][0]["SessionContext"] = ""
    assert bench.channel.pull() == [Receipted(bench.cloud.taken[0].number, True, "DELIVRD")]


def test_replies_are_fetched_too(bench: Bench) -> None:
    cloud(bench).replied("1")
    assert bench.channel.pull() == [Replied(f"+86{MOBILE}", "1")]


def test_the_same_entry_twice_is_one_and_the_same_words_later_are_two(bench: Bench) -> None:
    """An entry that comes again must not stand in the history again."""
    cloud(bench).repeats = True
    cloud(bench).replied("在路上")
    assert len(bench.channel.pull()) == 1
    cloud(bench).replied("在路上", at_s=1_790_000_060)
    assert len(bench.channel.pull()) == 1
    assert bench.channel.pull() == []


def test_more_than_a_hundred_are_fetched_at_once(bench: Bench) -> None:
    for number in range(130):
        cloud(bench).replied(f"第{number}条")
    assert len(bench.channel.pull()) == 130


def test_what_was_fetched_is_kept_when_the_next_fetch_fails(bench: Bench) -> None:
    """The provider has forgotten it already."""
    bench.send()
    cloud(bench).reported(*bench.cloud.taken)
    bench.provider.then(bench.cloud.behave, reply(500))
    assert [one.number for one in bench.channel.pull()] == ["n1"]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (reply(500), "no answer that can be understood"),
        (reply(200, b"[]"), "no answer that can be understood"),
        (reply(200, b'{"Response":{"PullSmsSendStatusSet":7}}'), "no answer that can be understood"),
    ],
)
def test_what_is_no_answer_is_said(bench: Bench, behaviour: Any, said: str) -> None:
    bench.provider.then(behaviour)
    with pytest.raises(ValueError, match=said):
        bench.channel.pull()


def test_an_app_that_was_not_granted_it_is_told_whom_to_ask(bench: Bench) -> None:
    cloud(bench).granted = set()
    with pytest.raises(
        ValueError, match="PullSmsSendStatus: UnsupportedOperation no; ask Tencent's sms helper"
    ):
        bench.channel.pull()


def test_a_clock_that_is_off_is_named_and_no_secret_is(bench: Bench) -> None:
    bench.skew_s = 900.0
    with pytest.raises(ValueError, match="clock is off") as told:
        bench.channel.pull()
    assert SECRET not in str(told.value)


def test_strange_entries_say_nothing(bench: Bench) -> None:
    body = b'{"Response":{"PullSmsSendStatusSet":[7,{},{"ReportStatus":1}],"PullSmsReplyStatusSet":["x"]}}'
    bench.provider.then(reply(200, body))
    assert bench.channel.pull() == [Receipted("", False, "")]


def pulled_in_vain(channel: Pulling) -> None:
    with pytest.raises(ValueError, match="PullSmsSendStatus"):
        channel.pull()


def test_a_fetch_that_hangs_keeps_no_message_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms_tencent, "PULL_S_MOST", 5.0)
    bench.channel = bench.make()
    bench.provider.then(silence, bench.cloud.behave)
    fetching = threading.Thread(target=pulled_in_vain, args=(bench.channel,), daemon=True)
    fetching.start()
    until(lambda: bench.provider.requests, what="the fetch is under way")
    assert bench.send().told is Told.ACCEPTED
    assert fetching.is_alive()


# ---------------------------------------------------------------- its entry in lilong.yaml

LEAST = {"key_id": "k", "app_id": "1400006666", "sign": "s", "template": "t", "variables": "title"}


@pytest.mark.parametrize(("pull", "pull_s", "receipt_s"), [("", 0.0, 0.0), ("5s", 5.0, 60.0)])
def test_who_fetches_waits_for_receipts(tmp_path: Any, pull: str, pull_s: float, receipt_s: float) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    more = {"pull": pull} if pull else {}
    found: Any = channels.build("tx", "sms_tencent", LEAST | more, {"key_secret_file": tmp_path / "secret"})
    assert isinstance(found, Pulling)
    assert (found.pull_s, found._receipt_s) == (pull_s, receipt_s)


@pytest.mark.parametrize("pull", ["0s", "1s", "61s", "5m", "often"])
def test_how_often_is_looked_at(tmp_path: Any, pull: str) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    with pytest.raises(ValueError, match="pull"):
        channels.build("tx", "sms_tencent", LEAST | {"pull": pull}, {"key_secret_file": tmp_path / "secret"})


# ---------------------------------------------------------------- the thread


class Queue:
    """A provider that gives each of these once."""

    pull_s = 0.01

    def __init__(self, *fetches: Sequence[Receipted | Replied] | Exception) -> None:
        self.fetches, self.asked = list(fetches), 0

    def pull(self) -> Sequence[Receipted | Replied]:
        self.asked += 1
        found = self.fetches.pop(0) if self.fetches else []
        if isinstance(found, Exception):
            raise found
        return found


class Disk:
    """What commits, or not."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.futures: list[Future[Any]] = []
        self.works = True

    def submit(self, make: Callable[[int, int], Event]) -> Future[Any]:
        self.events.append(make(7, 8))
        future: Future[Any] = Future()
        self.futures.append(future)
        if self.works:
            future.set_result([])
        return future


def puller(queue: Queue, disk: Disk) -> Puller:
    return Puller("tx", queue, disk.submit, world, lambda: sqlite3.connect(":memory:"), {"tx": "sms"})


def test_what_is_fetched_goes_in_as_if_it_had_been_called(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    puller(Queue([Receipted("n1", True, "DELIVRD"), Replied(MOBILE, "1")]), disk).turn()
    assert disk.events == [Receipt(7, 8, "sms", "n1", True, "DELIVRD"), Reply(7, 8, "sms", MOBILE, "1", "")]


def test_what_the_disk_did_not_take_is_handed_in_again_and_nothing_more_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.pulling.COMMIT_S", 0.01)
    disk, queue = Disk(), Queue([Receipted("n1", True), Receipted("n2", True)], [Receipted("n3", True)])
    disk.works, one = False, puller(queue, disk)
    one.turn()
    one.turn()
    assert (len(disk.events), queue.asked) == (2, 1)
    disk.futures[0].set_result([])
    disk.futures[1].set_exception(OSError("disk full"))
    one.turn()  # hears of both
    disk.works = True
    one.turn()
    assert [event.number for event in disk.events if isinstance(event, Receipt)] == ["n1", "n2", "n2"]
    one.turn()
    assert disk.events[-1] == Receipt(7, 8, "sms", "n3", True)


def test_a_provider_that_is_away_is_said_and_asked_again() -> None:
    disk, queue = Disk(), Queue(ValueError("PullSmsSendStatus: refused"), [Receipted("n1", True)])
    with telemetry.testing() as said:
        one = puller(queue, disk)
        one.start()
        until(lambda: disk.events, what="the receipt")
        one.stop()
    assert [one.event for one in said if one.event == "pull_failed"] == ["pull_failed"]
