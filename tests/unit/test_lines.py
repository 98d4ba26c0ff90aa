"""Lines and rows: what a message says is what is written, and nothing in it can break the text."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.store import Logged
from gateway.core.decoding import Decoder
from gateway.core.lines import Batch, Formatter, apart, change_line, fields_of, measurement_text, tag_text
from gateway.core.model import (
    Alert,
    AlertState,
    Case,
    Kind,
    Level,
    Marked,
    Message,
    Messages,
    Notification,
    NotificationState,
    Quality,
    Reading,
    Refusal,
    Stage,
)
from gateway.core.units import QUANTITIES
from tests.servers import sample

WORLD = sample.world(3)
WALL = sample.START_NS + 5
PLACE = "building=b7,committee=jw3,compound=meilong-2"


def format_(items, marks=(), changes=(), world=WORLD, decode=None):
    logged = Logged(100, Messages(0, WALL, list(items)), list(marks), list(changes))
    return Formatter(world, decode or Decoder(world).decode).format(logged)


def lines_of(formatted):
    return formatted.lines.decode().split("\n") if formatted.lines else []


def test_a_reading_becomes_one_line_and_one_row():
    formatted = format_([sample.message(1, 3)])
    fields = "tilt_x_deg=1.5,tilt_y_deg=0.3,tilt_z_deg=0.25,crack_mm=0.25,settlement_mm=0.25,"
    fields += "temperature_c=0.25,humidity_pct=0.25,battery_v=0.25,"
    measured = sample.START_NS + 3_000_000_000
    assert lines_of(formatted) == [
        f'structure,{PLACE},device=d1,model=tilt-8,street=hudong {fields}quality="good" {measured}'
    ]
    row = f"100\t{WALL}\t{measured}\td1\t\tstructure\ttilt-8\tgood\t{fields};\n"
    assert formatted.rows.decode() == row
    assert (formatted.first, formatted.end, list(formatted.at)) == (100, 101, [100])


def test_each_component_is_a_series_of_its_own_and_the_device_has_no_component_tag():
    lines = lines_of(format_([sample.cabinet(1, slots=2)]))
    assert [",component=slot-" in line for line in lines] == [False, True, True]
    assert all(line.startswith("cabinet,") for line in lines)


def test_what_the_engine_refused_or_saw_before_is_not_written():
    marks = [Marked(0, "*", Quality.DUPLICATE, store=False), Marked(2, "*", Quality.GOOD, store=False)]
    formatted = format_([sample.message(0, n) for n in range(4)], marks)
    assert list(formatted.at) == [101, 103]
    assert not formatted.unreadable


def test_marks_name_shift_and_leave_out():
    marks = [
        Marked(0, "*", Quality.SKEWED, shift_ns=-7),
        Marked(1, "*", Quality.AHEAD, arrival=True),
        Marked(2, "slot-2", Quality.LATE, left_out=("slot_voltage_v",)),
        Marked(2, "slot-1", Quality.GOOD, store=False),
    ]
    formatted = format_([sample.message(0, 1), sample.message(1, 1), sample.cabinet(1, slots=2)], marks)
    skewed, ahead, device, slot2 = lines_of(formatted)
    assert skewed.endswith(f'quality="skewed" {sample.START_NS + 1_000_000_000 - 7}')
    assert ahead.endswith(f'quality="ahead" {WALL + 1}')
    assert 'smoke=0.0,quality="good"' in device
    assert "slot-2" in slot2 and ' slot_temperature_c=22.0,quality="late" ' in slot2
    assert formatted.rows.decode().count("\n") == 4
    assert "\tskewed\t" in formatted.rows.decode()


def test_a_reading_of_which_everything_is_left_out_is_no_line():
    marks = [Marked(0, "*", Quality.GOOD, left_out=tuple(sample.QUANTITIES.values()))]
    assert not format_([sample.message(0, 1)], marks).lines


def test_a_message_that_cannot_be_read_again_goes_to_quarantine_and_stops_no_other():
    stranger = Message("site/nobody", b"{}")
    formatted = format_([sample.message(0, 1), stranger, sample.message(1, 1)])
    assert list(formatted.at) == [100, 102]
    (row,) = formatted.unreadable
    assert (row.position, row.code, row.topic, row.payload) == (101, "unknown_device", "site/nobody", b"{}")


def test_our_own_mistake_costs_one_message_only():
    def decode(message, received_ns):
        if message.payload == b"poison":
            raise ZeroDivisionError("ours")
        return Decoder(WORLD).decode(message, received_ns)

    formatted = format_([Message("t", b"poison"), sample.message(1, 1)], decode=decode)
    assert list(formatted.at) == [101]
    assert formatted.unreadable[0].code == Refusal.CRASHED
    assert "ZeroDivisionError: ours" in formatted.unreadable[0].reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, object()])
def test_a_value_no_database_can_hold_is_quarantined_alone(value):
    """The decoders let none through; were one to slip by, it would stop all others behind it."""

    def decode(message, received_ns):
        bad = message.payload == b"bad"
        return [Reading("d0", "", {"tilt_x_deg": value if bad else 1.0}, received_ns, received_ns)]

    formatted = format_([Message("t", b"good"), Message("t", b"bad"), Message("t", b"good")], decode=decode)
    assert list(formatted.at) == [100, 102]
    assert [row.position for row in formatted.unreadable] == [101]
    assert len(lines_of(formatted)) == formatted.rows.count(b";\n") == 2


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted(QUANTITIES)), st.floats(allow_nan=False, allow_infinity=False), min_size=1
        ),
        max_size=5,
    )
)
def test_every_float_comes_back_from_the_fields_as_it_was(values):
    texts = fields_of(values)
    back = [{k: float(v) for k, v in (pair.split("=") for pair in text[:-1].split(","))} for text in texts]
    assert back == values


def test_names_of_quantities_need_no_escaping():
    """fields_of relies on it; `time` would be dropped by InfluxDB without a word."""
    assert all(name.isidentifier() and name.isascii() for name in QUANTITIES)
    assert not {"time", "quality", "null"} & QUANTITIES.keys()


ODD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(ODD, ODD)
def test_no_name_can_break_a_line_or_a_row(name, place):
    world = sample.world([name], places=((place, "street", ""),), at=place)
    formatted = format_([sample.message(0, 1)], world=world)
    assert formatted.lines.count(b"\n") == 0
    assert formatted.rows.count(b"\n") == 1 and formatted.rows.count(b"\t") == 8
    assert not formatted.unreadable


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b,c=d", r"a\ b\,c\=d"),
        ("ends\\", "ends\\_"),
        ("in\\side", "in\\side"),
        ("two\nlines", r"two\nlines"),
        ("塘桥", "塘桥"),
    ],
)
def test_tags_are_escaped(value, text):
    assert tag_text(value) == text


def test_a_measurement_is_never_a_comment():
    assert measurement_text("#scene") == "_#scene"


def test_a_kind_of_place_cannot_pose_as_the_device():
    world = sample.world(1, places=(("x", "device", ""),), at="x")
    (line,) = lines_of(format_([sample.message(0, 1)], world=world))
    assert "device=d0" in line and "place_device=x" in line


def test_places_that_lie_in_one_another_end():
    world = sample.world(1, places=(("a", "grid", "b"), ("b", "compound", "a")), at="a")
    assert lines_of(format_([sample.message(0, 1)], world=world))


ALERT = Alert(
    id="A1", rule="slot-hot", device="c1", component="slot-3", case="C1", level=Level.RED, worst=Level.RED,
    state=AlertState.FIRING, raised_ns=5, changed_ns=1_000_000_000, quantity="slot_temperature_c", value=80.5,
    limit=75.0,
)  # fmt: skip
CASE = Case(
    id="C1", alerts=("A1",), device="c1", component="slot-3", place="b7", rule="slot-hot", level=Level.RED,
    stage=Stage.SENT, opened_ns=5, changed_ns=6, responsible="zhang",
)  # fmt: skip
TOLD = Notification(
    id="N1", case="C1", alert="A1", kind=Kind.RAISED, level=Level.RED, person="zhang", channel="duty",
    address="13812345678", title="充电仓过热", text="到场查看", created_ns=7, due_at=0,
    state=NotificationState.ACCEPTED,
)  # fmt: skip


def test_alerts_cases_and_notifications_are_points_without_numbers_or_texts_of_people():
    formatted = format_([sample.message(0, 1)], changes=[ALERT, CASE, TOLD])
    _, alert, case, told = lines_of(formatted)
    assert alert.startswith(
        "alert,building=b7,committee=jw3,component=slot-3,compound=meilong-2,device=c1,level=red,model=cabinet-8,"
    )
    assert (
        ' id="A1",case="C1",worst="red",quantity="slot_temperature_c",value=80.5,limit=75.0,count=1i,'
        in alert
    )
    assert case.startswith("case,") and ",stage=sent" in case and 'responsible="zhang"' in case
    assert told.startswith("notification,channel=duty,kind=raised,level=red,person=zhang,state=accepted ")
    assert "138" not in told and "到场" not in told and "过热" not in told
    assert list(formatted.at) == [100] * 4
    assert formatted.rows.count(b"\n") == 1, "the archive keeps readings"


def test_an_alert_of_silence_has_no_value_and_strings_are_quoted():
    silent = change_line(msgspec.structs.replace(ALERT, value=None, limit=None, quantity='a"b\\c\nd'), WORLD)
    assert "value=" not in silent
    assert r'quantity="a\"b\\c d"' in silent


def test_a_shadow_or_hidden_alert_says_so_and_one_without_the_step_event_is_no_point():
    shadow = msgspec.structs.replace(ALERT, mode="shadow", case="")
    hidden = msgspec.structs.replace(ALERT, hidden_by="A0")
    left_out = msgspec.structs.replace(ALERT, point=False)
    _, *alerts = lines_of(format_([sample.message(0, 1)], changes=[shadow, hidden, left_out]))
    assert len(alerts) == 2 and ",mode=shadow," in alerts[0] and 'hidden_by="A0"' in alerts[1]
    assert ",mode=" not in alerts[1] and "hidden_by" not in alerts[0]


def test_two_messages_to_one_person_at_one_instant_are_two_points():
    assert apart(7, "N1") != apart(7, "N2")
    assert 7 <= apart(7, "N1") < 7 + 1_000_000
    assert apart(7, "N1") == apart(7, "N1")


def test_a_batch_joins_only_what_has_lines():
    empty = format_([], [])
    full = format_([sample.message(0, 1)])
    batch = Batch((empty, dataclasses.replace(full, first=101, end=102)))
    assert batch.lines() == full.lines and batch.at == [100]
    assert (batch.first, batch.end) == (100, 102)
