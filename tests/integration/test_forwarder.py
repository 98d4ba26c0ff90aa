"""The way out as a whole: log to sinks, cursors, outages, and what may never be lost on the way."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
import threading

import msgspec
import pytest

from gateway import telemetry
from gateway.adapters.archive import ArchiveSink, query
from gateway.adapters.clock import Clock
from gateway.adapters.influx import InfluxSink
from gateway.adapters.store import Logged, Record, Store, StoreDamaged
from gateway.config import ArchiveConfig, InfluxConfig
from gateway.core.backlog import Owed
from gateway.core.backoff import TransientError
from gateway.core.lines import RefusedLine, Taken
from gateway.core.model import Marked, Message, Quality, Tick
from gateway.forwarder import LINES_MOST, Cursor, Forwarder, Lane, LogReader
from tests.servers import sample
from tests.servers.influx import BUCKET, ORG, TOKEN, Answer, FakeInflux, Influx, refusal
from tests.waiting import until

WORLD = sample.world(10)


@pytest.fixture(autouse=True)
def journal():
    """What is logged is captured: a line held back here must not appear in another test."""
    with telemetry.testing() as said:
        yield said


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def quick(monkeypatch):
    """Retries in hundredths of their time: what is tested is their order, not their length."""
    waits = []

    def wait_s(attempt, key, asked_s=0.0):
        waits.append((attempt, asked_s))
        return 0.01

    monkeypatch.setattr("gateway.core.backoff.wait_s", wait_s)
    return waits


@pytest.fixture
def forwarder_of(store):
    """Makes started forwarders; a further one is the daemon after a restart."""
    made = []

    def make(*sinks, world=None):
        made.append(Forwarder(store, world or (lambda: WORLD), sinks, Clock()))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


class ListSink:
    """Takes everything into a list; `refuse` and `trouble` say otherwise."""

    news_first = False
    flush_s = 0.01

    def __init__(self, name="list", news_first=False):
        self.name, self.news_first = name, news_first
        self.batches, self.positions, self.states = [], [], []
        self.trouble = None
        self.refuse = lambda position: False
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0

    def take(self, state, batch):
        self.calls += 1
        self.gate.wait(10)
        if self.trouble:
            raise self.trouble
        self.states.append(state)
        self.batches.append((batch.first, batch.end))
        at, lines = batch.at, batch.lines().split(b"\n")
        bad = [n for n, position in enumerate(at) if self.refuse(position)]
        self.positions += [position for n, position in enumerate(at) if n not in bad]
        return Taken(b"%d" % batch.end, tuple(RefusedLine(at[n], lines[n], 'field "smoke" bad') for n in bad))

    def tend(self, state):
        pass

    def close(self):
        pass


def drained(forwarder, seconds=30):
    until(lambda: all(each.backlog == 0 for each in forwarder.standing().values()), seconds, "nothing owed")


def quarantine(store):
    return [dict(row) for row in store.reader().execute("SELECT * FROM quarantine ORDER BY position")]


# ---------------------------------------------------------------- the loop


def test_every_message_reaches_every_sink_once_and_in_order(store, forwarder_of):
    sample.fill(store, sample.samples(3000))
    one, two = ListSink("one"), ListSink("two")
    forwarder = forwarder_of(one, two)
    sample.fill(store, sample.samples(500, first=3000))
    forwarder.notify()
    drained(forwarder)
    assert one.positions == two.positions == list(range(3500))
    assert forwarder.oldest() == 3500
    assert forwarder.standing()["one"].written == 3500


def test_news_wake_the_loop(store, forwarder_of):
    sink = ListSink()
    forwarder = forwarder_of(sink)
    for n in range(5):
        sample.fill(store, sample.samples(10, first=10 * n))
        forwarder.notify()
        until(lambda n=n: len(sink.positions) == 10 * (n + 1), 5)


def test_requests_are_large_while_there_is_much_to_send(store, forwarder_of):
    sample.fill(store, sample.samples(12_000), each=100)
    sink = ListSink()
    drained(forwarder_of(sink))
    sizes = [end - first for first, end in sink.batches]
    assert max(sizes) == LINES_MOST
    assert len(sizes) == 3


def test_a_remainder_too_small_for_a_request_goes_after_the_flush_interval(store, forwarder_of):
    """Nobody wakes the loop again for it: everything was committed before."""
    sample.fill(store, sample.samples(7_000))
    sink = ListSink()
    sink.flush_s = 0.5
    drained(forwarder_of(sink), seconds=10)
    assert [end - first for first, end in sink.batches] == [LINES_MOST, 2_000]
    assert sink.states == [b"", b"5000"], "what a sink returned is what it is given next"


def test_a_message_is_decoded_and_formatted_once_for_all_sinks(store, forwarder_of, monkeypatch):
    seen = []
    genuine = LogReader._format
    monkeypatch.setattr(
        LogReader, "_format", lambda self, logged: seen.append(logged.first) or genuine(self, logged)
    )
    sinks = [ListSink("one"), ListSink("two")]
    forwarder = forwarder_of(*sinks)
    for n in range(8):
        sample.fill(store, sample.samples(100, first=100 * n), each=20)
        forwarder.notify()
    drained(forwarder)
    assert sinks[0].positions == sinks[1].positions == list(range(800))
    assert sorted(seen) == sorted(set(seen))


def test_a_fast_sink_keeps_together_with_a_slower_one(store, forwarder_of, monkeypatch):
    """Otherwise a backlog is decoded twice: the fast one is past the cache before the slow one comes."""
    seen = []
    genuine = LogReader._format
    monkeypatch.setattr(
        LogReader, "_format", lambda self, logged: seen.append(logged.first) or genuine(self, logged)
    )
    monkeypatch.setattr("gateway.forwarder.PATIENCE_S", 10.0)
    sample.fill(store, sample.samples(45_000))
    fast, slow = ListSink("fast"), ListSink("slow")
    take = slow.take
    slow.take = lambda state, batch: (slow.stopping.wait(0.05), take(state, batch))[1]
    slow.stopping = threading.Event()
    drained(forwarder_of(fast, slow))
    assert fast.positions == slow.positions == list(range(45_000))
    assert sorted(seen) == sorted(set(seen))


def test_nobody_waits_for_a_sink_in_trouble(store, forwarder_of, monkeypatch):
    monkeypatch.setattr("gateway.forwarder.PATIENCE_S", 10.0)
    sample.fill(store, sample.samples(45_000))
    dead, well = ListSink("dead"), ListSink("well")
    genuine = dead.take

    def take(state, batch):
        if dead.batches:
            raise TransientError("down")
        return genuine(state, batch)

    dead.take = take
    forwarder_of(dead, well)
    until(lambda: len(well.positions) == 45_000, 25)


def test_a_lag_without_an_outage_is_no_reason_to_change_the_order(store, forwarder_of, monkeypatch):
    """A burst: both sinks go on through the same part of the log, which is formatted once."""
    monkeypatch.setattr(Owed.split, "__defaults__", (1_000,))
    sink = ListSink(news_first=True)
    forwarder = forwarder_of(sink)
    sample.fill(store, sample.samples(10))
    forwarder.notify()
    drained(forwarder)
    until(lambda: not forwarder._lanes[0]._was_away, 5)
    sink.gate.clear()
    sample.fill(store, sample.samples(20_000, first=10))
    forwarder.notify()
    sink.gate.set()
    drained(forwarder)
    assert sink.positions == list(range(20_010))


def test_what_is_kept_formatted_is_bounded(store):
    sample.fill(store, sample.samples(40_000, devices=10))
    reader = LogReader(store, lambda: WORLD)
    position = 0
    while position < 40_000:
        position = reader.batch((position, 40_000)).end
    assert reader._cached <= 12_000
    assert sum(part.end - part.first for part in reader._cache.values()) == reader._cached


def test_reading_from_the_midst_of_an_event_counts_nothing_twice(store):
    sample.fill(store, sample.samples(100), each=100)
    reader = LogReader(store, lambda: WORLD)
    for _ in range(3):
        assert reader.batch((50, 100)).at == list(range(100))
    assert reader._cached == 100


def test_after_a_restart_it_goes_on_where_the_cursor_stands(store, forwarder_of):
    sample.fill(store, sample.samples(1000))
    first = ListSink()
    forwarder = forwarder_of(first)
    drained(forwarder)
    forwarder.stop()
    sample.fill(store, sample.samples(100, first=1000))
    second = ListSink()
    drained(forwarder_of(second))
    assert second.positions == list(range(1000, 1100))
    assert second.states == [b"1000"], "the sink finds its own state again"


def test_a_crash_before_the_cursor_sends_the_batch_again(store, forwarder_of, monkeypatch, quick):
    sample.fill(store, sample.samples(100))
    monkeypatch.setattr(store, "save_cursor", _failing(store.save_cursor, times=2))
    sink = ListSink()
    with telemetry.testing() as said:
        drained(forwarder_of(sink))
    assert sink.positions == list(range(100)) * 3
    assert sink.states == [b"", b"", b""], "a state that was not saved does not exist"
    assert "forwarding_failed" in {each.event for each in said}


def _failing(genuine, times):
    left = [times]

    def call(*arguments):
        if left[0]:
            left[0] -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return genuine(*arguments)

    return call


def test_stop_waits_for_the_batch_in_hand_and_not_for_the_backlog(store, forwarder_of):
    sample.fill(store, sample.samples(20_000))
    sink = ListSink()
    sink.gate.clear()
    forwarder = forwarder_of(sink)
    until(lambda: sink.calls, 10)
    ended = threading.Thread(target=forwarder.stop)
    ended.start()
    until(lambda: forwarder._lanes[0].stopping.is_set(), 5)
    sink.gate.set()
    ended.join(10)
    assert not ended.is_alive()
    assert len(sink.batches) == 1
    cursor = msgspec.msgpack.decode(store.load_cursor("list"), type=Cursor)
    assert cursor.owed.oldest() == sink.batches[0][1]


def test_stop_interrupts_a_long_wait(store, forwarder_of):
    sample.fill(store, sample.samples(10))
    sink = ListSink()
    sink.trouble = TransientError("asked for patience", retry_after_s=200)
    forwarder = forwarder_of(sink)
    until(lambda: forwarder.standing()["list"].trouble, 10)
    forwarder.stop(timeout_s=5)
    assert not forwarder._lanes[0].thread.is_alive()


# ---------------------------------------------------------------- trouble


def test_one_dead_sink_delays_no_other(store, forwarder_of):
    sample.fill(store, sample.samples(1000))
    dead, well = ListSink("dead"), ListSink("well")
    dead.trouble = TransientError("down")
    forwarder = forwarder_of(dead, well)
    until(lambda: len(well.positions) == 1000, 10)
    assert not dead.positions
    assert forwarder.oldest() == 0, "the log must keep what one of them still needs"
    assert forwarder.standing()["dead"].trouble == "down"


def test_a_hanging_sink_delays_no_other(store, forwarder_of):
    sample.fill(store, sample.samples(1000))
    hanging, well = ListSink("hanging"), ListSink("well")
    hanging.gate.clear()
    forwarder_of(hanging, well)
    until(lambda: len(well.positions) == 1000, 10)
    hanging.gate.set()


def test_trouble_is_said_once_with_its_hint_and_its_end(store, forwarder_of, quick):
    sample.fill(store, sample.samples(10))
    sink = ListSink()
    sink.trouble = TransientError("401 no", 10, "renew the token")
    with telemetry.testing() as said:
        forwarder = forwarder_of(sink)
        until(lambda: sink.calls > 20, 10)
        sink.trouble = None
        drained(forwarder)
        until(lambda: len(said) > 1, 5)
    assert [(each.event, each.level) for each in said] == [
        ("sink_delayed", "error"),
        ("sink_recovered", "info"),
    ]
    assert said[0].fields["hint"] == "renew the token"
    assert quick[0] == (1, 10) and quick[1] == (2, 10), "what was asked for reaches the wait"


def test_our_own_mistake_in_a_sink_does_not_end_the_loop(store, forwarder_of, quick):
    sample.fill(store, sample.samples(10))
    sink = ListSink()
    sink.trouble = ZeroDivisionError("ours")
    with telemetry.testing():
        forwarder = forwarder_of(sink)
        until(lambda: sink.calls > 3, 10)
        sink.trouble = None
        drained(forwarder)
    assert sink.positions == list(range(10))


def test_refused_points_go_to_quarantine_with_message_and_reason(store, forwarder_of):
    messages = sample.samples(100)
    sample.fill(store, messages, each=30)
    sink = ListSink()
    sink.refuse = lambda position: position in (7, 77)
    drained(forwarder_of(sink))
    rows = quarantine(store)
    assert [(row["position"], row["code"], row["device"], row["field"]) for row in rows] == [
        (7, "database", "d7", "smoke"),
        (77, "database", "d7", "smoke"),
    ]
    assert rows[1]["payload"] == messages[77].payload and rows[1]["topic"] == messages[77].topic
    assert rows[0]["reason"] == 'field "smoke" bad'
    assert sorted(sink.positions) == sorted(set(range(100)) - {7, 77})


def test_a_message_that_todays_configuration_cannot_read_is_quarantined_once(store, forwarder_of):
    """Its device was removed between receiving and forwarding; P1 counts it all the same."""
    sample.fill(store, sample.samples(20))
    smaller = dataclasses.replace(WORLD, devices={k: d for k, d in WORLD.devices.items() if k != "d3"})
    with telemetry.testing() as said:
        drained(forwarder_of(ListSink("one"), ListSink("two"), world=lambda: smaller))
    assert [(row["position"], row["code"]) for row in quarantine(store)] == [
        (3, "unknown_device"),
        (13, "unknown_device"),
    ]
    assert [each.event for each in said] == ["message_unreadable"]


def test_a_reload_is_used_from_the_next_batch_on(store, forwarder_of):
    worlds = [WORLD]
    sink = ListSink()
    forwarder = forwarder_of(sink, world=lambda: worlds[0])
    sample.fill(store, sample.samples(10))
    forwarder.notify()
    drained(forwarder)
    worlds[0] = sample.world(20)
    sample.fill(store, [sample.message(15, 1)])
    forwarder.notify()
    drained(forwarder)
    assert sink.positions[-1] == 10
    assert not quarantine(store)


def test_marks_and_events_without_messages(store, forwarder_of):
    store.commit([Record(Tick(1, 1), [])])
    sample.fill(store, sample.samples(4), [Marked(1, "*", Quality.DUPLICATE, store=False)])
    store.commit([Record(Tick(2, 2), [])])
    sink = ListSink()
    forwarder = forwarder_of(sink)
    drained(forwarder)
    assert sink.positions == [1, 3, 4]
    assert forwarder.oldest() == 6


# ---------------------------------------------------------------- holes in the log


def test_what_was_trimmed_from_under_a_sink_is_named(store, forwarder_of):
    sample.fill(store, sample.samples(1000), each=100)
    store.save_cursor("list", msgspec.msgpack.encode(Cursor(Owed((150, 150)))))
    store.trim(500)
    sink = ListSink()
    with telemetry.testing() as said:
        drained(forwarder_of(sink))
    assert sink.positions == list(range(500, 1000))
    assert [(each.event, each.fields["position"], each.fields["count"]) for each in said] == [
        ("log_gap", 150, 350)
    ]


def test_a_new_sink_never_had_a_claim_on_what_was_trimmed(store, forwarder_of):
    sample.fill(store, sample.samples(1000), each=100)
    store.trim(500)
    sink = ListSink()
    with telemetry.testing() as said:
        drained(forwarder_of(sink))
    assert sink.positions == list(range(500, 1000))
    assert not said


def test_a_damaged_row_costs_itself_and_is_named(store, forwarder_of):
    sample.fill(store, sample.samples(1000), each=100)
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE log SET body = zeroblob(length(body)) WHERE first = 300")
    with pytest.raises(StoreDamaged):
        store.read_log(300, 1)
    sink = ListSink()
    with telemetry.testing() as said:
        drained(forwarder_of(sink))
    assert sink.positions == [*range(300), *range(400, 1000)]
    assert "300..399" in next(each for each in said if each.event == "log_damaged").fields["error"]


def test_a_log_that_does_not_show_yet_what_was_committed_loses_nothing(
    store, forwarder_of, monkeypatch, quick
):
    sample.fill(store, sample.samples(100))
    store.save_cursor("list", msgspec.msgpack.encode(Cursor(Owed((0, 0)))))
    genuine, blind = store.read_log, [5]

    def read_log(after, most):
        if blind[0]:
            blind[0] -= 1
            return list[Logged]()
        return genuine(after, most)

    monkeypatch.setattr(store, "read_log", read_log)
    sink = ListSink()
    with telemetry.testing():
        drained(forwarder_of(sink))
    assert sink.positions == list(range(100))


# ---------------------------------------------------------------- outages


def test_after_an_outage_news_go_first_and_the_backlog_is_drained_oldest_first(
    store, forwarder_of, monkeypatch, quick
):
    monkeypatch.setattr(Owed.split, "__defaults__", (8_000,))
    sample.fill(store, sample.samples(20_000))
    sink = ListSink(news_first=True)
    sink.trouble = TransientError("down")
    forwarder = forwarder_of(sink)
    until(lambda: sink.calls > 2, 10)
    sample.fill(store, sample.samples(100, first=20_000))
    sink.trouble = None
    drained(forwarder)
    assert sorted(sink.positions) == list(range(20_100))
    news = sink.positions.index(20_000)
    assert news < sink.positions.index(14_999), "before the backlog was through"
    old = [position for position in sink.positions if position < 20_000]
    assert old == sorted(old)


def test_memory_stays_flat_while_a_sink_is_down(store, forwarder_of, quick):
    """The log on disk is the queue: a batch in hand and a bounded cache is all that is in memory."""
    sample.fill(store, sample.samples(60_000), each=1000)
    sink = ListSink()
    sink.trouble = TransientError("down")
    forwarder = forwarder_of(sink)
    until(lambda: sink.calls > 3, 10)
    lane = forwarder._lanes[0]
    assert len(lane._held.at) <= LINES_MOST
    assert forwarder._reader._cached <= 12_000
    assert forwarder.standing()["list"].backlog == 60_000


# ---------------------------------------------------------------- with the real sinks


@pytest.fixture
def influx_sink(tmp_path):
    def make(url):
        (tmp_path / "token").write_text(TOKEN)
        config = InfluxConfig(url=url, org=ORG, bucket=BUCKET, token_file=tmp_path / "token", timeout_s=5.0)
        return InfluxSink(config, flush_s=0.02)

    return make


@pytest.mark.servers
def test_database_and_archive_hold_the_same(store, forwarder_of, influx_sink, tmp_path):
    sample.fill(store, [*sample.samples(2000), sample.cabinet(1)], [Marked(4, "*", Quality.LATE)])
    archive = ArchiveSink(
        ArchiveConfig(directory=tmp_path / "archive"), "Asia/Shanghai", Clock(), flush_s=0.02
    )
    with Influx(tmp_path) as influx:
        drained(forwarder_of(archive, influx_sink(influx.url)))
        points = influx.points()
    stored = {
        (dict(p.tags)["device"], dict(p.tags).get("component", ""), p.time_ns, name): value
        for p in points
        for name, value in p.fields
        if name != "quality"
    }
    kept = {(r.device, r.component, r.measured_ns, r.quantity): r.value for r in query(archive.directory)}
    assert kept == stored
    assert len(kept) == 2000 * 8 + 1 + 16
    assert [p.time_ns for p in points if ("quality", "late") in p.fields] == [sample.START_NS]


@pytest.mark.servers
def test_the_database_goes_and_comes_and_nothing_is_missing_or_double(
    store, forwarder_of, influx_sink, tmp_path, quick
):
    with Influx(tmp_path) as influx:
        forwarder = forwarder_of(influx_sink(influx.url))
        for n in range(6):
            sample.fill(store, sample.samples(1000, first=1000 * n), each=50)
            forwarder.notify()
            if n == 1:
                influx.kill()
            if n == 4:
                assert forwarder.standing()["influx"].backlog > 0
                influx.start()
        drained(forwarder)
        points = influx.points()
    found = {(dict(point.tags)["device"], point.time_ns) for point in points}
    wanted = {(f"d{n % 10}", sample.START_NS + n // 10 * 1_000_000_000) for n in range(6000)}
    assert (len(wanted - found), len(points) - len(wanted)) == (0, 0), "missing, double"


GOOD_VALUES = ["1.5", "-0.0", "5e-324", "1.7976931348623157e308", "-1e300", "0.1", "1E5", "-7", "1" * 30]
BAD_VALUES = ["NaN", "Infinity", "1e999", "true", "null", '"1.5"', '""', '"\\ud800"', "[1]", "{}", "9" * 400]
ODD_VALUES = [*GOOD_VALUES, *BAD_VALUES, "01", "0x10", ""]


@pytest.mark.servers
def test_a_value_is_stored_as_it_was_sent_or_its_message_is_in_quarantine(
    store, forwarder_of, influx_sink, tmp_path
):
    """The engine has not looked at these: the way out alone must not let one vanish."""
    texts = [
        f'{{"ts":{sample.START_NS // 1_000_000 + n},"tilt_x":{value}}}' for n, value in enumerate(ODD_VALUES)
    ]
    sample.fill(store, [Message("site/0/t", text.encode()) for text in texts])
    with Influx(tmp_path) as influx, telemetry.testing():
        drained(forwarder_of(influx_sink(influx.url)))
        stored = {
            (p.time_ns - sample.START_NS) // 1_000_000: dict(p.fields)["tilt_x_deg"] for p in influx.points()
        }
    kept = {row["position"] for row in quarantine(store)}
    assert stored.keys() | kept == set(range(len(ODD_VALUES)))
    assert not stored.keys() & kept
    assert {ODD_VALUES[n]: float(value) for n, value in stored.items()} == {
        ODD_VALUES[n]: float(ODD_VALUES[n]) for n in stored
    }
    assert stored.keys() == set(range(len(GOOD_VALUES)))


SCRIPT = [
    refusal(503, "busy", Retry_After="1"),
    Answer(cut=True),
    refusal(429, "slow"),
    Answer(cut=True, store=True),
    refusal(401, "who are you"),
    Answer(502, b"<html>"),
    Answer(raw=b"garbage"),
]


@pytest.mark.parametrize("turn", range(len(SCRIPT)))
def test_whatever_the_server_does_each_line_is_stored_or_in_quarantine(
    store, forwarder_of, influx_sink, quick, turn
):
    """Conservation: received = stored + quarantined, for a fake that fails in every order."""
    sample.fill(store, sample.samples(8000))
    script = [*SCRIPT[turn:], *SCRIPT[:turn]]

    def judge(lines):
        bad = any(b"device=d3," in line and b"tilt_y_deg=7.7," in line for line in lines)
        return refusal(400, 'input field "tilt_y_deg" is of another type') if bad else None

    with FakeInflux(*script, judge=judge) as fake, telemetry.testing():
        drained(forwarder_of(influx_sink(fake.url)))
    rows = quarantine(store)
    assert [(row["position"], row["field"]) for row in rows] == [(773, "tilt_y_deg")]
    good = [line for line in fake.stored if not judge([line])]
    assert len(good) == 8000 - 1
    assert len(fake.requests) <= len(script) + 2 + 2 * math.ceil(math.log2(LINES_MOST)) + 2
    assert not fake.faults


def test_a_batch_dropped_on_400_would_be_seen(store, forwarder_of, influx_sink, monkeypatch):
    """Canary for the test above: the commonest bug of such forwarders, planted."""

    def drop(self, delivery):
        for first, end in delivery.todo:
            self._write(delivery.body(first, end))
        return []

    monkeypatch.setattr(InfluxSink, "_deliver", drop)
    sample.fill(store, sample.samples(100))
    with FakeInflux(judge=lambda lines: refusal(400, "no")) as fake:
        drained(forwarder_of(influx_sink(fake.url)))
    assert len(fake.stored) + len(quarantine(store)) < 100


def test_a_cursor_saved_before_the_sink_has_it_would_be_seen(store, forwarder_of, monkeypatch, quick):
    """Canary: saved first, taken after; what fails in between is lost."""
    genuine = Lane._deliver

    def early(self, batch):
        body = msgspec.msgpack.encode(Cursor(self.owed.done(batch.first, batch.end)))
        self._store.save_cursor(self.sink.name, body)
        genuine(self, batch)

    monkeypatch.setattr(Lane, "_deliver", early)
    sample.fill(store, sample.samples(100))
    dead = ListSink()
    dead.trouble = TransientError("down")
    forwarder = forwarder_of(dead)
    until(lambda: dead.calls, 10)
    forwarder.stop()
    sink = ListSink()
    drained(forwarder_of(sink))
    assert sink.positions != list(range(100))


def test_a_message_of_nobody_does_not_stand_in_the_way(store, forwarder_of):
    sample.fill(store, [Message("site/stranger", b"\xff"), sample.message(0, 1)])
    sink = ListSink()
    drained(forwarder_of(sink))
    assert sink.positions == [1]
    assert [row["position"] for row in quarantine(store)] == [0]
