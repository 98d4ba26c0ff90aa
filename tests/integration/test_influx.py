"""Batches into InfluxDB: a real server, whose every point is read back, and a scripted fake."""

from __future__ import annotations

import gzip
import math
import time
from array import array

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway import telemetry
from gateway.adapters.influx import BARRED_S, InfluxSink
from gateway.adapters.store import Logged
from gateway.config import InfluxConfig
from gateway.core.backoff import TransientError
from gateway.core.decoding import Decoder
from gateway.core.lines import Batch, Formatted, Formatter, tag_text
from gateway.core.model import Message, Messages
from tests.servers import sample
from tests.servers.influx import BUCKET, ORG, TOKEN, Answer, FakeInflux, Influx, refusal
from tests.servers.process import free_port
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.servers
WORLD = sample.world(10)


@pytest.fixture(autouse=True)
def journal():
    """What is logged is captured: a line held back here must not appear in another test."""
    with telemetry.testing() as said:
        yield said


@pytest.fixture(scope="module")
def influx(tmp_path_factory):
    with Influx(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def bucket(influx):
    influx.drop(BUCKET)
    influx.create(BUCKET)
    return influx


@pytest.fixture
def sink_of(tmp_path):
    """Makes a sink for a URL; its token file is `tmp_path / "token"`."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    sinks = []

    def make(url, timeout_s=10.0, bucket=BUCKET, **options):
        config = InfluxConfig(
            url=url, org=ORG, bucket=bucket, token_file=tmp_path / "token", timeout_s=timeout_s
        )
        sinks.append(InfluxSink(config, **options))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def batch(messages, world=WORLD, first=0):
    logged = Logged(first, Messages(0, sample.START_NS, list(messages)), [], [])
    return Batch((Formatter(world, Decoder(world).decode).format(logged),))


def lines(*texts, first=0):
    """A batch of ready lines, one log position each."""
    body = "\n".join(texts).encode()
    at = array("q", range(first, first + len(texts)))
    return Batch((Formatted(first, first + len(texts), body, at, b""),))


def plain(count, measurement="m"):
    return [f"{measurement},device=d{n % 7} v={n}.5 {sample.START_NS + n}" for n in range(count)]


# ---------------------------------------------------------------- the real server


def test_every_point_is_read_back_as_it_was_said(bucket, sink_of):
    taken = sink_of(bucket.url).take(b"", batch([*sample.samples(50), sample.cabinet(1)]))
    assert not taken.refused
    points = {
        (p.measurement, dict(p.tags)["device"], dict(p.tags).get("component", ""), p.time_ns): p
        for p in bucket.points()
    }
    assert len(points) == 50 + 9
    found = points["structure", "d3", "", sample.START_NS + 2_000_000_000]
    assert dict(found.tags) == {
        "street": "hudong", "committee": "jw3", "compound": "meilong-2", "building": "b7",
        "device": "d3", "model": "tilt-8",
    }  # fmt: skip
    wanted = dict.fromkeys(sample.QUANTITIES.values(), 0.25) | {"tilt_x_deg": 1.5, "tilt_y_deg": 0.2}
    assert dict(found.fields) == wanted | {"quality": "good"}
    slot = points["cabinet", "c1", "slot-8", sample.START_NS + 1_000_000_000]
    assert dict(slot.fields) == {"slot_temperature_c": 28.0, "slot_voltage_v": 48.0, "quality": "good"}


def test_the_same_batch_again_changes_nothing(bucket, sink_of):
    one = batch(sample.samples(100))
    for _ in range(3):
        sink_of(bucket.url).take(b"", one)
    assert len(bucket.points()) == 100


ODD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("ends\\", 1.5), ("#a", 2.5), ("two\nlines", 3.5), ("a b,c=d", -0.0)], "kind\\", "塘 桥\\")
@given(
    st.lists(st.tuples(ODD, FLOATS), min_size=1, max_size=6, unique_by=lambda pair: tag_text(pair[0])),
    ODD.filter(lambda kind: not kind.startswith("_")),
    ODD,
)
def test_whatever_a_name_or_value_is_it_is_stored_as_sent(influx, sink_of, devices, kind, place):
    """Names are ours to choose, so they can be anything: the real parser says what our text means."""
    influx.forget()
    world = sample.world([name for name, _ in devices], places=((place, kind, ""),), at=place)
    sent = batch([sample.message(n, 1, value) for n, (_, value) in enumerate(devices)], world)
    assert not sink_of(influx.url).take(b"", sent).refused
    stored = {dict(point.tags)["device"]: point for point in influx.points()}
    assert len(stored) == len(devices)
    for name, value in devices:
        point = stored[_read_back(name)]
        assert float(dict(point.fields)["tilt_x_deg"]) == value
        assert dict(point.tags).get(_read_back(kind), _read_back(place)) == _read_back(place)


def _read_back(name):
    """A name as the server gives it: unescaped, with our visible stand-ins for what cannot be written."""
    text = name.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t").replace("\0", "\\0")
    return text + "_" if text.endswith("\\") else text


def test_one_bad_point_of_5000_is_found_and_all_others_are_stored(bucket, sink_of):
    """400 partial write: the server keeps the good lines and says so of none of them."""
    bucket.write(f'structure,device=d0 tilt_x_deg="text" {sample.START_NS - 1}')
    text = [*plain(4999), f"structure,device=d0 tilt_x_deg=1.5 {sample.START_NS + 10}"]
    text[1234], text[4999] = text[4999], text[1234]
    with telemetry.testing() as said:
        taken = sink_of(bucket.url).take(b"", lines(*text, first=70))
    (refused,) = taken.refused
    assert refused.position == 70 + 1234
    assert refused.line == text[1234].encode()
    assert "field type conflict" in refused.reason and '"tilt_x_deg"' in refused.reason
    assert len(bucket.points()) == 4999 + 1
    assert [(each.event, each.fields["count"]) for each in said] == [("points_refused", 1)]


def test_a_malformed_line_is_found_too(bucket, sink_of):
    text = plain(50)
    text[7] = "no line at all"
    taken = sink_of(bucket.url).take(b"", lines(*text))
    assert [line.position for line in taken.refused] == [7]
    assert len(bucket.points()) == 49


def test_a_whole_batch_dropped_on_400_would_be_seen(bucket, sink_of, monkeypatch):
    """Canary: the classic bug, planted; the comparison of the test above sees it."""
    monkeypatch.setattr("gateway.adapters.influx.InfluxSink._judge", lambda self, reply: "")
    text = plain(50)
    text[7] = "no line at all"
    bucket.write(
        f"m v=1i {sample.START_NS - 1}"
    )  # every float is now a conflict: all of the batch is refused
    taken = sink_of(bucket.url).take(b"", lines(*text))
    assert len(bucket.points()) - 1 + len(taken.refused) < 50


def test_points_older_than_the_retention_are_handed_back(bucket, sink_of):
    bucket._query(f'ALTER RETENTION POLICY "autogen" ON "{BUCKET}" DURATION 1h SHARD DURATION 1h DEFAULT')
    now = time.time_ns()
    taken = sink_of(bucket.url).take(
        b"", lines(f"m v=1.0 {now}", "m v=1.0 1600000000000000000", f"m v=2.0 {now + 1}")
    )
    assert [line.position for line in taken.refused] == [1]
    assert len(bucket.points()) == 2


def test_a_wrong_token_is_never_a_loss_and_a_renewed_one_works_without_a_restart(bucket, sink_of, tmp_path):
    sink = sink_of(bucket.url)
    (tmp_path / "token").write_text("expired")
    with pytest.raises(TransientError) as raised:
        sink.take(b"", lines(*plain(3)))
    assert raised.value.retry_after_s == BARRED_S and "token_file" in raised.value.hint
    (tmp_path / "token").write_text(TOKEN)
    assert not sink.take(b"", lines(*plain(3))).refused
    assert len(bucket.points()) == 3


def test_an_unknown_bucket_is_kept_with_a_hint(bucket, sink_of):
    with pytest.raises(TransientError) as raised:
        sink_of(bucket.url, bucket="nowhere").take(b"", lines(*plain(3)))
    assert "404" in raised.value.reason and "influx.bucket" in raised.value.hint


def test_too_much_for_a_proxy_is_sent_in_halves(tmp_path, sink_of):
    """nginx answers 413 in HTML; that is about the size, whoever says it."""
    with Influx(tmp_path, body_most="2k") as small:
        taken = sink_of(small.url).take(b"", lines(*plain(1000)))
        assert not taken.refused
        assert len(small.points()) == 1000


def test_a_lost_answer_makes_no_second_point(bucket, sink_of):
    """The write arrives, the answer does not: sent again, stored once."""
    with Proxy(bucket.port) as proxy:
        sink = sink_of(f"http://127.0.0.1:{proxy.port}", timeout_s=1.0)
        proxy.delay_s = 0.7  # there in time, back too late
        with pytest.raises(TransientError):
            sink.take(b"", lines(*plain(200)))
        proxy.delay_s = 0.0
        sink.take(b"", lines(*plain(200)))
    assert len(bucket.points()) == 200


def test_killed_while_writing_what_was_acknowledged_is_there(bucket, sink_of):
    sink = sink_of(bucket.url)
    for part in range(5):
        sink.take(b"", lines(*plain(1000, f"m{part}")))
    bucket.kill()
    with pytest.raises(TransientError):
        sink.take(b"", lines(*plain(10, "later")))
    bucket.start()
    sink.take(b"", lines(*plain(10, "later")))
    assert len(bucket.points()) == 5010


# ---------------------------------------------------------------- the scripted one


def judge_bad(status=400, body=True):
    """Refuses any request with a line that holds "bad", storing nothing of it."""

    def judge(asked):
        if any(b"bad" in line for line in asked):
            return refusal(status, "one of your lines is bad") if body else Answer(status)
        return None

    return judge


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("bad", [[0], [4999], [17, 18, 3000]])
def test_halving_costs_few_requests_and_loses_nothing(sink_of, status, bad):
    text = plain(5000)
    for n in bad:
        text[n] = f"bad{n} v=1.0 1"
    with FakeInflux(judge=judge_bad(status)) as fake:
        taken = sink_of(fake.url).take(b"", lines(*text))
    assert sorted(line.position for line in taken.refused) == bad
    assert fake.stored.keys() == {line.encode() for line in text if not line.startswith("bad")}
    assert len(fake.requests) <= 2 * math.ceil(math.log2(5000)) * len(bad) + 3
    assert not fake.faults


def test_a_single_line_that_is_too_large_is_handed_back(sink_of):
    with FakeInflux(judge=judge_bad(413)) as fake:
        taken = sink_of(fake.url).take(b"", lines("a v=1 1", "bad v=1 2", "c v=1 3"))
    assert [line.position for line in taken.refused] == [1]
    assert len(fake.stored) == 2


def test_halving_goes_on_where_an_outage_interrupted_it(sink_of):
    text = plain(1000)
    text[600] = "bad v=1.0 1"
    with FakeInflux(judge=judge_bad()) as fake:
        sink = sink_of(fake.url)
        whole, answered = lines(*text), 0
        while True:
            fake.script.clear()
            fake.script.extend([*[None] * 3, refusal(503, "busy")])
            try:
                taken = sink.take(b"", whole)
                break
            except TransientError:
                answered += 1
                assert answered < 50
    assert [line.position for line in taken.refused] == [600]
    assert len(fake.stored) == 999
    assert answered >= 3
    assert len(fake.requests) - answered <= 2 * 10 + 3, "nothing was asked twice"


def test_more_than_5000_lines_are_several_requests(sink_of):
    with FakeInflux() as fake:
        sink_of(fake.url).take(b"", lines(*plain(12_001)))
    assert [len(request.lines) for request in fake.requests] == [5000, 5000, 2001]
    assert sum(fake.stored.values()) == 12_001


@pytest.mark.parametrize(
    ("answer", "asked_s"),
    [
        (refusal(429, "slow down", Retry_After="7"), 7),
        (refusal(429, "slow down"), 0),
        (refusal(503, "busy", Retry_After="-3"), 0),
        (refusal(503, "busy", Retry_After="999999999999"), 1e9),
        (
            refusal(
                503,
                "busy",
                Retry_After="Sat, 21 Nov 2026 22:02:00 GMT",
                Date="Sat, 21 Nov 2026 22:00:00 GMT",
            ),
            120,
        ),
        (refusal(500, "internal error"), 0),
        (refusal(408, "timeout"), 0),
        (Answer(502, b"<html>bad gateway</html>"), 0),
        (refusal(401, "unauthorized"), BARRED_S),
        (refusal(403, "forbidden"), BARRED_S),
        (refusal(404, "bucket not found"), BARRED_S),
        (refusal(418, "teapot"), BARRED_S),
        (Answer(400, b"<html>The plain HTTP request was sent to HTTPS port</html>"), BARRED_S),
        (Answer(200, b"<html>please log in to the Wi-Fi</html>"), BARRED_S),
        (Answer(302, b"", (("Location", "http://example.invalid/"),)), BARRED_S),
        (Answer(cut=True), 0),
        (Answer(raw=b"\x00\xff garbage \r\n\r\n"), 0),
        (Answer(raw=b"HTTP/1.1 900 ?\r\n\r\n"), None),
    ],
)
def test_everything_else_keeps_the_batch_and_asks_for_patience(sink_of, answer, asked_s):
    whole = lines(*plain(10))
    with FakeInflux(answer) as fake:
        sink = sink_of(fake.url)
        with pytest.raises(TransientError) as raised:
            sink.take(b"", whole)
        assert len(fake.requests) == 1, "one try, no halving"
        assert asked_s is None or raised.value.retry_after_s == asked_s
        assert bool(raised.value.hint) == (raised.value.retry_after_s == BARRED_S)
        assert not sink.take(b"", whole).refused
        assert len(fake.stored) == 10


def test_an_answer_of_half_success_is_looked_into(sink_of):
    """InfluxDB Cloud says 201 when some points were rejected."""
    with FakeInflux(
        judge=lambda asked: refusal(201, "some rejected") if b"bad v=1 2" in asked else None
    ) as fake:
        taken = sink_of(fake.url).take(b"", lines("a v=1 1", "bad v=1 2", "c v=1 3"))
    assert [line.position for line in taken.refused] == [1]
    assert len(fake.stored) == 2


def test_an_old_servers_500_for_points_beyond_retention_is_about_lines(sink_of):
    with FakeInflux(judge=judge_bad(500, body=False)) as fake:
        fake.judge = lambda asked: (
            refusal(500, "partial write: points beyond retention policy dropped=1")
            if b"bad v=1 2" in asked
            else None
        )
        taken = sink_of(fake.url).take(b"", lines("a v=1 1", "bad v=1 2", "c v=1 3"))
    assert [line.position for line in taken.refused] == [1]


@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(drip=True)], ids=["hang", "drip"])
def test_the_time_out_bounds_the_whole_exchange(sink_of, answer):
    """A server that drips one byte beats any time-out per read."""
    with FakeInflux(answer) as fake:
        sink = sink_of(fake.url, timeout_s=1.0)
        began = time.monotonic()
        with pytest.raises(TransientError):
            sink.take(b"", lines(*plain(10)))
        assert time.monotonic() - began < 3
        assert not sink.take(b"", lines(*plain(10))).refused


def test_a_giant_answer_does_not_fill_memory(sink_of):
    with FakeInflux(Answer(400, b"x" * 50_000_000)) as fake, pytest.raises(TransientError) as raised:
        sink_of(fake.url).take(b"", lines(*plain(10)))
    assert len(raised.value.reason) < 1000


def test_nobody_there(sink_of):
    with pytest.raises(TransientError) as raised:
        sink_of(f"http://127.0.0.1:{free_port()}").take(b"", lines(*plain(10)))
    assert "not reached" in raised.value.reason and not raised.value.hint


def test_a_missing_token_file_is_said_with_its_name(sink_of, tmp_path):
    sink = sink_of("http://127.0.0.1:1")
    (tmp_path / "token").unlink()
    with pytest.raises(TransientError) as raised:
        sink.take(b"", lines(*plain(1)))
    assert "token" in raised.value.hint and raised.value.retry_after_s == BARRED_S


def test_the_token_is_in_no_error(sink_of):
    """A server may echo the header; what we say goes to the journal."""
    with FakeInflux(refusal(401, "no")) as fake, pytest.raises(TransientError) as raised:
        sink_of(fake.url).take(b"", lines(*plain(1)))
    assert fake.requests[0].token == TOKEN
    assert TOKEN not in f"{raised.value} {raised.value.hint}"


def test_bodies_are_compressed():
    body = lines(*plain(5000)).lines()
    assert len(gzip.compress(body, 1)) < len(body) / 3


def test_a_message_is_no_line(sink_of):
    """A batch of events without readings asks nobody."""
    empty = batch([Message("site/stranger", b"{}")])
    with FakeInflux() as fake:
        assert sink_of(fake.url).take(b"", empty).refused == ()
    assert not fake.requests
