"""notifier: no channel waits for another, red goes first, nothing goes twice, outcomes come back."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway import notifier as module
from gateway import telemetry
from gateway.channels.base import Answer, Receipted
from gateway.core.model import SECOND, Event, Level, Notification, NotificationState, Outcome, Receipt, Told
from gateway.core.quotas import Quota
from gateway.notifier import ASK_S, Notifier, StoreLedger
from tests.contract.dialects import notification
from tests.waiting import until


class Hand:
    """Steady time that the test moves; waiting is real but short, as a span counts."""

    def __init__(self) -> None:
        self.now = 0

    def at(self) -> int:
        return self.now

    def real_s(self, span_ns: int) -> float:
        return 0.02


class Recorder:
    """A channel that keeps what it was told, and can be held."""

    def __init__(self, answer: Answer | Exception = Answer(Told.ACCEPTED, "ok")) -> None:  # noqa: B008
        self.answer = answer
        self.sent: list[str] = []
        self.links: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = threading.Semaphore(0)
        self.now = self.most_at_once = 0

    def send(self, one: Notification, text: str, link: str) -> Answer:
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        self.sent.append(one.id)
        self.links.append(link)
        self.at_gate.release()
        assert self.gate.wait(10)
        self.now -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Book:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.settled: set[str] = set()
        self.heard: set[str] = set()
        self.rows: list[Notification] = []

    def still_due(self, one: Notification) -> bool:
        return one.id not in self.settled

    def still_waited_for(self, one: Notification) -> bool:
        return one.id not in self.heard

    def due(self, channel: str, most: int) -> list[Notification]:
        rows = [one for one in self.rows if one.channel == channel and one.id not in self.settled]
        return sorted(rows, key=lambda one: -one.level)[:most]

    def sent(self, channel: str, since_at: int) -> list[Notification]:
        return []


class Pipeline:
    """Stamps and keeps events; commits them at once unless told to wait."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.receipts: queue.Queue[Receipt] = queue.Queue()
        self.hold = False
        self.futures: list[Future[Any]] = []

    def submit(self, make: Callable[[int, int], Event]) -> Future[Any]:
        event = make(7, 8)
        if isinstance(event, Receipt):
            self.receipts.put(event)
            return Future()
        assert isinstance(event, Outcome)
        future: Future[Any] = Future()
        self.futures.append(future)
        if not self.hold:
            if event.told is Told.ACCEPTED:
                self.book.settled.add(event.notification)
            future.set_result([])
        self.outcomes.put(event)
        return future

    def next(self) -> Outcome:
        return self.outcomes.get(timeout=10)


class Bench:
    def __init__(
        self,
        street: Recorder | None = None,
        quotas: Mapping[str, Sequence[Quota]] = module.NO_QUOTAS,
        starts: bool = True,
    ) -> None:
        self.clock, self.book = Hand(), Book()
        self.pipeline = Pipeline(self.book)
        self.street, self.duty = street or Recorder(), Recorder()
        self.notifier = Notifier(
            {"street": self.street, "duty": self.duty},
            self.pipeline.submit,
            self.clock,
            self.book,
            lambda one: f"https://a.example/c/{one.id}",
            quotas,
        )
        if starts:
            self.notifier.start()


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    one.street.gate.set()
    one.duty.gate.set()
    one.notifier.stop()


def test_outcome_comes_back_as_an_event(bench: Bench) -> None:
    bench.street.answer = Answer(Told.LATER, "429", 7.0)
    bench.notifier.offer([notification(id="n1")])
    assert bench.pipeline.next() == Outcome(7, 8, "n1", Told.LATER, "429", 7.0)
    assert bench.street.links == ["https://a.example/c/n1"]


def test_a_channel_that_hangs_delays_no_other(bench: Bench) -> None:
    bench.street.gate.clear()
    bench.notifier.offer([notification(id="stuck"), notification(id="behind")])
    assert bench.street.at_gate.acquire(timeout=5)
    bench.notifier.offer([notification(id=f"n{i}", channel="duty") for i in range(50)])
    assert {bench.pipeline.next().notification for _ in range(50)} == {f"n{i}" for i in range(50)}
    assert bench.street.sent == ["stuck"]


def test_red_overtakes(bench: Bench) -> None:
    bench.street.gate.clear()
    bench.notifier.offer([notification(id="first", level=Level.YELLOW)])
    assert bench.street.at_gate.acquire(timeout=5)
    levels = [Level.YELLOW, Level.ORANGE, Level.YELLOW, Level.RED, Level.ORANGE, Level.RED]
    bench.notifier.offer([notification(id=f"{level.word}{i}", level=level) for i, level in enumerate(levels)])
    bench.street.gate.set()
    for _ in range(7):
        bench.pipeline.next()
    assert bench.street.sent == ["first", "red3", "red5", "orange1", "orange4", "yellow0", "yellow2"]


def test_same_sending_is_not_made_twice(bench: Bench) -> None:
    """Neither while it waits, nor while it is sent, nor before its outcome is committed."""
    bench.pipeline.hold = True
    bench.street.gate.clear()
    bench.notifier.offer([notification(id="n1")])
    assert bench.street.at_gate.acquire(timeout=5)
    bench.notifier.offer([notification(id="n1"), notification(id="n2"), notification(id="n2")])
    bench.street.gate.set()
    bench.pipeline.next(), bench.pipeline.next()
    bench.notifier.offer([notification(id="n1"), notification(id="n3")])
    assert bench.pipeline.next().notification == "n3"
    assert bench.street.sent == ["n1", "n2", "n3"]
    assert bench.street.most_at_once == 1


def test_next_attempt_goes_even_before_the_last_is_committed(bench: Bench) -> None:
    bench.pipeline.hold = True
    bench.notifier.offer([notification(id="n1")])
    bench.pipeline.next()
    bench.notifier.offer([notification(id="n1", attempt=1)])
    assert bench.pipeline.next().notification == "n1"


def test_what_was_settled_meanwhile_is_not_sent(bench: Bench) -> None:
    bench.street.gate.clear()
    bench.notifier.offer([notification(id="n1"), notification(id="cancelled"), notification(id="n3")])
    assert bench.street.at_gate.acquire(timeout=5)
    bench.book.settled.add("cancelled")
    bench.street.gate.set()
    assert [bench.pipeline.next().notification for _ in range(2)] == ["n1", "n3"]
    assert bench.street.sent == ["n1", "n3"]


@pytest.mark.parametrize(
    "state", [state for state in NotificationState if state is not NotificationState.DUE]
)
def test_only_due_ones_are_taken(bench: Bench, state: NotificationState) -> None:
    bench.notifier.offer([notification(id="not", state=state), notification(id="due")])
    assert bench.pipeline.next().notification == "due"
    assert bench.street.sent == ["due"]


def test_waits_for_its_instant(bench: Bench) -> None:
    bench.notifier.offer([notification(id="later", due_at=100), notification(id="now")])
    assert bench.pipeline.next().notification == "now"
    assert bench.street.sent == ["now"]
    bench.clock.now = 100
    assert bench.pipeline.next().notification == "later"


def test_our_own_fault_stops_nobody_and_tells_no_secret(bench: Bench) -> None:
    """A ladder must go on even over a bug of ours; its words may hold the request."""
    bench.street.answer = RuntimeError("POST https://h/?key=hunter2")
    with telemetry.testing() as said:
        bench.notifier.offer([notification(id="n1")])
        outcome = bench.pipeline.next()
        bench.street.answer = Answer(Told.ACCEPTED, "")
        bench.notifier.offer([notification(id="n2")])
        assert bench.pipeline.next().told is Told.ACCEPTED
    assert outcome.told is Told.UNKNOWN
    assert "hunter2" not in f"{outcome} {said}"


def test_channel_that_is_not_configured_is_refused_at_once(bench: Bench) -> None:
    bench.notifier.offer([notification(id="n1", channel="gone")])
    assert bench.pipeline.next().told is Told.REFUSED


def test_store_that_fails_once_is_not_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = iter([True])
    settled = bench.book.still_due
    monkeypatch.setattr(bench.book, "still_due", lambda one: _raise() if next(fails, False) else settled(one))
    bench.notifier.offer([notification(id="n1"), notification(id="n2")])
    assert bench.pipeline.next().notification == "n2"
    bench.notifier.offer([notification(id="n1")])  # as at the next start
    assert bench.pipeline.next().notification == "n1"


def _raise() -> bool:
    raise sqlite3.OperationalError("disk I/O error")


def test_queue_is_bounded_and_the_rest_comes_from_the_store(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_MOST", 10)
    bench.street.gate.clear()
    bench.notifier.offer([notification(id="first")])
    assert bench.street.at_gate.acquire(timeout=5)
    bench.book.rows = [notification(id=f"n{i:02}") for i in range(40)]
    bench.notifier.offer(bench.book.rows)
    bench.notifier.offer([notification(id="red", level=Level.RED)])
    assert bench.notifier.waiting()["street"] == 11
    bench.street.gate.set()
    for _ in range(42):
        bench.pipeline.next()
    assert bench.street.sent[:2] == ["first", "red"]
    assert sorted(bench.street.sent[2:]) == [f"n{i:02}" for i in range(40)]


def test_stop_ends_the_threads_and_leaves_the_rest_due() -> None:
    bench = Bench()
    bench.street.gate.clear()
    bench.notifier.offer([notification(id="n1"), notification(id="n2")])
    assert bench.street.at_gate.acquire(timeout=5)
    threading.Timer(0.05, bench.street.gate.set).start()
    bench.notifier.stop()
    assert bench.street.sent == ["n1"]
    until(lambda: not any(t.name in ("notifier-street", "notifier-duty") for t in threading.enumerate()), 5)


def test_without_a_token_the_thread_waits_for_its_instant_and_takes_no_other_way() -> None:
    bench = Bench(quotas={"street": [Quota(most=1, span_s=60.0)]})
    bench.notifier.offer([notification(id="n1"), notification(id="n2", person="li", address="li")])
    bench.pipeline.next()
    bench.notifier.offer([notification(id="other", channel="duty")])
    assert bench.pipeline.next().notification == "other"
    assert bench.street.sent == ["n1"] and bench.notifier.waiting()["street"] == 1
    bench.clock.now = 60 * SECOND - 1
    assert bench.pipeline.outcomes.empty()
    bench.clock.now = 60 * SECOND
    assert bench.pipeline.next().notification == "n2"
    bench.notifier.stop()


def test_a_store_that_cannot_say_what_was_sent_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent without knowing, a message could be the one too many."""
    bench = Bench(quotas={"street": [Quota(most=1, span_s=60.0)]}, starts=False)
    asked: list[int] = []
    before = notification(id="n0", told_at=0)

    def sent(channel: str, since_at: int) -> list[Notification]:
        if channel == "street":
            asked.append(since_at)
        return [before] if len(asked) > 1 or _raise() else []

    monkeypatch.setattr(bench.book, "sent", sent)
    bench.notifier.start()
    bench.notifier.offer([notification(id="n1")])
    until(lambda: len(asked) == 2 and bench.notifier.waiting()["street"] == 1)
    assert bench.street.sent == []
    bench.clock.now = 60 * SECOND
    assert bench.pipeline.next().notification == "n1"
    bench.notifier.stop()


# ---------------------------------------------------------------- the store as ledger


@pytest.fixture
def ledger() -> tuple[StoreLedger, sqlite3.Connection]:
    base = sqlite3.connect(":memory:")
    base.row_factory = sqlite3.Row
    columns = "id, case_id, alert_id, person, channel, state, due_at, attempt, created_ns, body"
    base.execute(f"CREATE TABLE notification({columns})")
    return StoreLedger(lambda: base), base


def put(base: sqlite3.Connection, one: Notification) -> None:
    row = (one.id, one.case, one.alert, one.person, one.channel, one.state, one.due_at, one.attempt)
    base.execute(
        "INSERT INTO notification VALUES (?,?,?,?,?,?,?,?,?,?)",
        (*row, one.created_ns, msgspec.json.encode(one)),
    )


def test_ledger_knows_what_is_still_due(ledger: tuple[StoreLedger, sqlite3.Connection]) -> None:
    book, base = ledger
    put(base, notification(id="due"))
    put(base, notification(id="gone", state=NotificationState.CANCELLED))
    put(base, notification(id="again", attempt=1))
    assert book.still_due(notification(id="due"))
    assert book.still_due(notification(id="again", attempt=1))
    for one in (notification(id="gone"), notification(id="again"), notification(id="unheard of")):
        assert not book.still_due(one)


def test_ledger_gives_the_urgent_first(ledger: tuple[StoreLedger, sqlite3.Connection]) -> None:
    book, base = ledger
    put(base, notification(id="yellow", level=Level.YELLOW))
    put(base, notification(id="red", level=Level.RED, due_at=5))
    put(base, notification(id="other", channel="duty", level=Level.RED))
    put(base, notification(id="done", state=NotificationState.ACCEPTED))
    assert [one.id for one in book.due("street", 9)] == ["red", "yellow"]
    assert [one.id for one in book.due("street", 1)] == ["red"]


def test_ledger_knows_what_was_sent(ledger: tuple[StoreLedger, sqlite3.Connection]) -> None:
    book, base = ledger
    for state in NotificationState:
        put(base, notification(id=state.value, state=state, due_at=90, told_at=100))
    put(base, notification(id="held", state=NotificationState.ACCEPTED, due_at=10, told_at=100))
    put(base, notification(id="old", state=NotificationState.ACCEPTED, due_at=10, told_at=20))
    put(base, notification(id="before the upgrade", state=NotificationState.ACCEPTED, due_at=99))
    put(base, notification(id="other", channel="duty", state=NotificationState.ACCEPTED, due_at=99))
    found = {one.id: one.told_at for one in book.sent("street", 50)}
    went = {"accepted", "unsure", "delivered", "failed", "missed", "held"}
    assert found == dict.fromkeys(went, 100) | {"before the upgrade": 99}


# ---------------------------------------------------------------- asking for receipts


class Asked(Recorder):
    """A channel whose provider can be asked; `known` is what it knows of a message, by its id."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Receipted | Exception] = {}
        self.asked: list[str] = []

    def ask(self, one: Notification) -> Receipted | None:
        self.asked.append(one.id)
        found = self.known.get(one.id)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def asking() -> Iterator[Bench]:
    one = Bench(Asked())
    yield one
    one.notifier.stop()


def waiting(name: str = "n1", receipt_s: int = 60, **changes: Any) -> Notification:
    state = NotificationState.ACCEPTED
    return notification(id=name, state=state, receipt_by=receipt_s * SECOND, **changes)


def test_what_waits_for_its_receipt_is_asked_for(asking: Bench) -> None:
    asking.notifier.offer([waiting()])
    asking.clock.now = int(ASK_S * SECOND) - 1
    asking.notifier.offer([notification(id="n2")])  # the worker has been round
    asking.pipeline.next()
    assert asking.street.asked == []
    asking.clock.now += 1
    until(lambda: asking.street.asked == ["n1"])
    asking.street.known["n1"] = Receipted("biz", False, "no such number")
    asking.clock.now += int(ASK_S * SECOND)
    found = asking.pipeline.receipts.get(timeout=10)
    assert found == Receipt(7, 8, "street", "n1", False, "no such number")
    assert asking.street.asked == ["n1", "n1"]
    assert asking.street.sent == ["n2"]


def test_it_is_not_asked_for_once_it_has_come(asking: Bench) -> None:
    asking.book.heard.add("n1")
    asking.notifier.offer([waiting(), waiting("n2")])
    asking.clock.now = int(ASK_S * SECOND)
    until(lambda: asking.street.asked == ["n2"])


def test_nobody_asks_when_nobody_waits_any_more(asking: Bench) -> None:
    asking.notifier.offer([waiting(receipt_s=15), waiting("n2", receipt_s=31)])
    for count in (1, 2):
        asking.clock.now += int(ASK_S * SECOND)
        until(lambda count=count: asking.street.asked == ["n2"] * count)
    asking.clock.now += int(ASK_S * SECOND)
    asking.notifier.offer([notification(id="n3")])
    asking.pipeline.next()
    asking.notifier.stop()
    assert asking.street.asked == ["n2"] * 2


def test_what_is_asked_for_is_not_waiting_to_be_sent(asking: Bench) -> None:
    asking.notifier.offer([waiting()])
    assert asking.notifier.waiting()["street"] == 0


def test_a_channel_that_fails_when_asked_still_sends(asking: Bench) -> None:
    asking.street.known["n1"] = RuntimeError("ours")
    asking.notifier.offer([waiting()])
    asking.clock.now = int(ASK_S * SECOND)
    until(lambda: asking.street.asked == ["n1"])
    asking.notifier.offer([notification(id="n2")])
    assert asking.pipeline.next().told is Told.ACCEPTED


def test_a_channel_that_cannot_be_asked_is_not(bench: Bench) -> None:
    bench.notifier.offer([waiting()])
    bench.clock.now = int(60 * SECOND)
    bench.notifier.offer([notification(id="n2")])
    bench.pipeline.next()
    assert bench.street.sent == ["n2"]


def test_ledger_knows_what_is_still_waited_for(ledger: tuple[StoreLedger, sqlite3.Connection]) -> None:
    book, base = ledger
    put(base, waiting("open"))
    put(base, replace(waiting("heard"), state=NotificationState.DELIVERED, receipt_by=0))
    assert book.still_waited_for(waiting("open"))
    for one in (waiting("heard"), waiting("unheard of")):
        assert not book.still_waited_for(one)


# ---------------------------------------------------------------- ways that fail


def send(bench: Bench, name: str, answer: Answer) -> None:
    bench.street.answer = answer
    bench.notifier.offer([notification(id=name)])
    bench.pipeline.next()


def test_a_way_that_fails_again_and_again_is_named_until_a_message_is_taken(bench: Bench) -> None:
    """No money, a key that was deleted, a cut line: the operator hears of it before others do."""
    send(bench, "n1", Answer(Told.REFUSED, "isv.AMOUNT_NOT_ENOUGH"))
    assert bench.notifier.failing() == []
    send(bench, "n2", Answer(Told.LATER, "connection refused"))
    assert bench.notifier.failing() == ["street"]
    assert b'lilong_channel_open{channel="street"} 1.0' in telemetry.exposition()
    send(bench, "n3", Answer(Told.ACCEPTED, "ok"))
    assert bench.notifier.failing() == []


def test_a_wrong_number_is_no_fault_of_the_way(bench: Bench) -> None:
    for number in range(3):
        send(bench, f"n{number}", Answer(Told.REFUSED, "no such number", personal=True))
    assert bench.notifier.failing() == []


def test_a_way_that_nobody_has_used_for_an_hour_is_not_said_to_fail(bench: Bench) -> None:
    for number in range(2):
        send(bench, f"n{number}", Answer(Told.LATER, "429"))
    bench.clock.now += 3_599 * SECOND
    assert bench.notifier.failing() == ["street"]
    bench.clock.now += SECOND
    assert bench.notifier.failing() == []
