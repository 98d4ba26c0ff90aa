"""What cameras push: any bytes end as readings or closed codes, in bounded time; nothing sound is lost."""

import json
import math
import time
import tracemalloc
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.codecs import CODECS, dahua, isapi, keda
from gateway.core.codecs.events import EVENTS_MOST
from gateway.core.model import Codec, Device, Fault, Field, Message, Model, PayloadError, Refusal

KINDS = {"isapi": isapi.parse, "dahua": dahua.parse, "keda": keda.parse}
FIELDS = (
    Field(quantity="ebike_present", path="event.EBike"),
    Field(quantity="video_lost", path="event.videoloss"),
    Field(quantity="confidence", path="data.sure"),
)
RECEIVED = 1_793_620_800 * 10**9
DEVICE = Device(id="lift-1", model="camera", at="", topic="http/lift-1")


def model(kind, **codec):
    codec = Codec(kind=kind, ignore=("VMD",), **codec)
    return Model(id="camera", says="", scene="lift", source="", codec=codec, fields=FIELDS)


DECODERS = {kind: CODECS[kind](model(kind)) for kind in KINDS}


def decode(kind, body):
    """(readings, codes), with the promise checked that nothing else ever comes out."""
    faults: list[Fault] = []
    try:
        readings = DECODERS[kind](DEVICE, Message("http/lift-1", body), RECEIVED, faults)
    except PayloadError as error:
        return [], [error.code]
    instants = [reading.measured_ns for reading in readings]
    assert instants == sorted(set(instants)), "in order, and no two points in one place"
    for reading in readings:
        assert reading.values and all(math.isfinite(value) for value in reading.values.values())
    return readings, [fault.code for fault in faults]


# ---------------------------------------------------------------- any bytes, and nearly the right ones

word = st.text(alphabet="abEBike<>&;=\n\r\t{}\"' -\x00\u00e9\u4e2d", max_size=12)
kinds = st.sampled_from(["EBike", "videoloss", "VMD", "", "<b>", "Other"])
stamp = st.sampled_from(["2026-11-02T18:05:07+08:00", "2026-11-02T18:05:07", "1970-01-01T00:00:00Z", "", "x"])


@st.composite
def alert(draw):
    state = draw(st.sampled_from(["active", "inactive", "", "on"]))
    inner = escape(draw(word)) if draw(st.booleans()) else draw(word)
    name = draw(st.sampled_from(["EventNotificationAlert", "h:EventNotificationAlert", "Other"]))
    return (
        f"<{name}><eventType>{draw(kinds)}</eventType><eventState>{state}</eventState>"
        f"<dateTime>{draw(stamp)}</dateTime><x>{inner}</x></{name}>"
    )


@st.composite
def lines(draw):
    data = draw(st.sampled_from(["", "{}", '{"UTC": 1793620800}', '{"UTC": 1e999}', '{"a":[[', "[]"]) | word)
    action = draw(st.sampled_from(["Start", "Stop", "Pulse", "start", ""]))
    return f"Code={draw(kinds)};action={action};index=0" + (f";data={data}" if data else "")


def pushed(kind):
    part = {"isapi": alert(), "dahua": lines() | st.just("Heartbeat")}
    if kind == "keda":
        scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        value = scalar | st.lists(scalar, max_size=2)
        keys = st.sampled_from(["EventType", "EBikeInfo", "LocalTime", "data", "event"])
        return st.dictionaries(keys, value | kinds).map(lambda found: json.dumps(found))
    between = st.sampled_from(["\n", "\r\n--b\r\nContent-Type: x\r\n\r\n", "--b", ""])
    return st.lists(st.tuples(between, part[kind]), max_size=5).map(
        lambda found: "--b\r\n\r\n" + "".join(a + b for a, b in found)
    )


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_bytes(kind, data):
    readings, codes = decode(kind, data.draw(st.binary(max_size=300)))
    assert readings or codes
    assert all(code in Refusal for code in codes)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_nearly_the_right_shape(kind, data):
    readings, codes = decode(kind, data.draw(pushed(kind)).encode("utf-8", "surrogatepass"))
    assert readings or codes or data, "with every event ignored neither comes"


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_sound_payload_cut_anywhere_or_with_a_byte_changed(kind, data):
    """Half of what cameras send through bad lines: never a reading of an event that was not there."""
    body = bytearray(SOUND[kind])
    place = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        del body[place:]
    else:
        body[place] = data.draw(st.integers(0, 255))
    readings, _ = decode(kind, bytes(body))
    assert len(readings) <= 1


SOUND = {
    "isapi": b"<EventNotificationAlert><dateTime>2026-11-02T18:05:07+08:00</dateTime>"
    b"<eventType>EBike</eventType><eventState>active</eventState></EventNotificationAlert>",
    "dahua": b'Code=EBike;action=Start;index=0;data={\n "UTC" : 1793620800, "sure": 0.5\n}',
    "keda": b'{"EventType":"EBike","LocalTime":"2026-11-02T18:05:07+08:00","EBikeInfo":[{"RegionId":0}]}',
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sound_ones_are_sound(kind):
    readings, codes = decode(kind, SOUND[kind])
    assert codes == [] and readings[0].values["ebike_present"] == 1 and readings[0].timed


# ---------------------------------------------------------------- what was said comes back


said = st.lists(
    st.tuples(st.sampled_from(["EBike", "videoloss"]), st.booleans(), st.integers(0, 5)), min_size=1
)


@given(said)
def test_every_event_of_a_chunk_in_the_order_of_its_instants(events):
    """Two or more in one chunk, out of order, some within one second."""
    chunk = "\r\n".join(
        f'Code={kind};action={"Start" if on else "Stop"};index=0;data={{"UTC": {1793620800 + second}}}'
        for kind, on, second in events
    )
    readings, codes = decode("dahua", chunk.encode())
    quantity = {"EBike": "ebike_present", "videoloss": "video_lost"}
    wanted = [{quantity[kind]: float(on)} for kind, on, _ in sorted(events, key=lambda event: event[2])]
    assert codes == [] and [reading.values for reading in readings] == wanted
    assert all(reading.measured_ns % 10**9 < len(events) for reading in readings)


@given(said, st.sampled_from(["boundary", "MIME_boundary", "--"]))
def test_every_alert_of_a_multipart_body(events, boundary):
    body = b""
    for kind, on, second in events:
        alert = SOUND["isapi"].replace(b"EBike", kind.encode()).replace(b":07+", f":0{second}+".encode())
        alert = alert if on else alert.replace(b"active", b"inactive")
        body += f"--{boundary}\r\nContent-Type: application/xml\r\n\r\n".encode() + alert + b"\r\n"
    readings, codes = decode("isapi", body + f"--{boundary}--\r\n".encode())
    assert codes == [] and len(readings) == len(events)
    assert sum(sum(reading.values.values()) for reading in readings) == sum(on for _, on, _ in events)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_broken_event_hides_no_other(broken):
    parts = [f'Code=EBike;action=Start;index=0;data={{"UTC": {1793620800 + n}}}' for n in range(3)]
    parts[broken] = parts[broken].replace("{", "[")
    readings, codes = decode("dahua", "\n".join(parts).encode())
    assert len(readings) == 2 and codes == [Refusal.SYNTAX]


def test_events_to_ignore_are_neither_readings_nor_flaws():
    assert decode("dahua", b"Code=VMD;action=Start;index=0") == ([], [])
    readings, codes = decode("dahua", b"Code=VMD;action=Start;index=0\nCode=EBike;action=Stop;index=0")
    assert [reading.values for reading in readings] == [{"ebike_present": 0}] and codes == []


def test_a_camera_that_claims_to_be_another_is_refused():
    decoder = CODECS["keda"](model("keda", identity="SerialNum"))
    body = SOUND["keda"].replace(b"{", b'{"SerialNum":"KD9",', 1)
    with pytest.raises(PayloadError) as caught:
        decoder(DEVICE, Message("http/lift-1", body), RECEIVED)
    assert caught.value.code is Refusal.IDENTITY


def test_chinese_of_either_century():
    """GB2312 in the declaration is decoded as its superset; UTF-8 as it is; a byte order mark is let go."""
    alert = (
        SOUND["isapi"]
        .decode()
        .replace("</dateTime>", "</dateTime><eventDescription>电动车</eventDescription>")
    )
    for body in (
        f'<?xml version="1.0" encoding="GB2312"?>{alert}'.encode("gb2312"),
        f'<?xml version="1.0" encoding="utf-8"?>{alert}'.encode(),
        b"\xef\xbb\xbf" + alert.encode(),
    ):
        (found,) = isapi.parse(body)
        assert found.body["eventDescription"] == "电动车"


# ---------------------------------------------------------------- bombs

ROOT, END = b"<EventNotificationAlert>", b"</EventNotificationAlert>"
LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
    + ROOT + b"<eventType>&c;</eventType>" + END
)  # fmt: skip
EXTERNAL = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + ROOT + b"<x>&x;</x>" + END
PARAMETER = b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x.dtd"> %p;]>' + ROOT + END
QUADRATIC = b'<!DOCTYPE a [<!ENTITY q "' + b"q" * 50_000 + b'">]>' + ROOT + b"&q;" * 5_000 + END
BOMBS = [
    ("isapi", LAUGHS, "syntax"),
    ("isapi", EXTERNAL, "syntax"),
    ("isapi", PARAMETER, "syntax"),
    ("isapi", QUADRATIC, "syntax"),
    ("isapi", b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">' + ROOT + END, "syntax"),
    ("isapi", ROOT + b"&undefined;" + END, "syntax"),
    ("isapi", ROOT + b"<a>" * 40_000, "depth"),
    ("isapi", ROOT + b"<a/>" * 60_000 + END, "oversize"),
    ("isapi", ROOT + b"<a " + b" ".join(b'b%d="c"' % n for n in range(7_500)) + b"/>" + END, "missing"),
    ("isapi", ROOT + b"x" * 300_000 + END, "oversize"),
    ("isapi", b"--b\r\n\r\n" + b"<a/>\r\n--b\r\n\r\n" * 15_000, "oversize"),
    ("isapi", b"--\r\n" * 60_000, "oversize"),
    ("isapi", ROOT.decode().encode("utf-16"), "syntax"),
    ("isapi", ROOT + b"\xff" + END, "encoding"),
    ("isapi", ROOT + b"\x00" + END, "encoding"),
    ("isapi", b"<Other/>", "type"),
    ("isapi", ROOT + b"<eventType>" + b"9" * 4_301 + b"</eventType>" + END, "type"),
    ("isapi", b'{"eventType":"EBike","eventState":["active"]}', "type"),
    ("isapi", b'{"eventType":{},"eventState":"active"}', "missing"),
    ("dahua", b"Code=EBike;action=Start;index=0;data=" + b"[" * 100_000, "depth"),
    ("dahua", b'Code=EBike;action=Start;index=0;data={"a":' + b"[" * 100_000 + b"}", "depth"),
    ("dahua", b"Code=a;action=Start\n" * 12_000, "oversize"),
    ("dahua", b"Code=" + b";" * 100_000, "missing"),
    ("dahua", b"Code=EBike;" + b"\r\n-" * 40_000, "type"),
    ("dahua", b'Code=EBike;action=Start;index=0;data={"a":1,"a":2}', "duplicate_key"),
    ("dahua", b"Code=EBike;action=Start;index=0;data={\xff}", "encoding"),
    ("dahua", b" " * 300_000, "oversize"),
    ("keda", b'{"EventType":"EBike","a":' + b"[" * 100_000, "depth"),
    ("keda", b'{"EventType":7}', "missing"),
]


@pytest.mark.parametrize(("kind", "body", "code"), BOMBS, ids=[f"{k} {b[:24]!r}" for k, b, _ in BOMBS])
def test_bombs_get_their_code_in_bounded_time(kind, body, code):
    began = time.process_time()
    _, codes = decode(kind, body)
    assert time.process_time() - began < 0.05, "bounded work (5 x the promise, for a busy machine)"
    assert codes[:1] == [code]


@pytest.mark.parametrize(("kind", "body", "code"), BOMBS, ids=[f"{k} {b[:24]!r}" for k, b, _ in BOMBS])
def test_bombs_take_bounded_memory(kind, body, code):
    tracemalloc.start()
    try:
        decode(kind, body)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000, (
            "some copies of what was sent, never a power of it"
        )
    finally:
        tracemalloc.stop()


def test_as_many_events_as_a_payload_may_hold():
    body = "\n".join(
        f'Code=EBike;action=Start;index={n};data={{"UTC":1793620800}}' for n in range(EVENTS_MOST)
    )
    began = time.process_time()
    readings, codes = decode("dahua", body.encode())
    assert len(readings) == EVENTS_MOST and codes == []
    assert time.process_time() - began < 0.05


@settings(max_examples=30)
@given(st.recursive(word, lambda inner: st.lists(st.tuples(st.sampled_from("abc"), inner), max_size=4)))
def test_any_tree_of_elements_comes_back(tree):
    """Elements to objects: children by name, again and again as a list, texts where there are none."""

    def written(node):
        return escape(node.replace("\0", "")) if isinstance(node, str) else "".join(
            f"<{name}>{written(inner)}</{name}>" for name, inner in node
        )  # fmt: skip

    found = isapi.parse_xml(
        f"<EventNotificationAlert><t>{written(tree)}</t></EventNotificationAlert>".encode()
    )["t"]
    names = {name for name, _ in tree} if isinstance(tree, list) else set()
    assert set(found) == names if names else not isinstance(found, dict)
