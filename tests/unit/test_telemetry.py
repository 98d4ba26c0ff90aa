"""Log lines: nothing forged, nothing personal, nothing endless, and each event counted."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import telemetry
from gateway.telemetry import FIELD_BYTES_MOST, REPEAT_WINDOW_S, WINDOWS_MOST, Journal, mask

ROOT = Path(__file__).parents[2]


class Desk:
    """A journal with a clock the test turns, and the lines it wrote."""

    def __init__(self) -> None:
        self.now, self.lines = 0.0, []
        self.journal = Journal(
            self.lines.append, clock=lambda: self.now, wall=lambda: datetime(2026, 11, 2, tzinfo=UTC)
        )

    def log(self, event: str = "ready", level: str = "info", **fields: object) -> None:
        self.journal.log(event, level, fields)

    def parsed(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------- one line


def test_a_line_is_json_with_fixed_first_keys(desk: Desk) -> None:
    desk.log(device="lift-7", duration_s=1.5, count=3)
    assert desk.lines == [
        '{"at": "2026-11-02T00:00:00.000Z", "level": "info", "event": "ready", '
        '"device": "lift-7", "duration_s": 1.5, "count": 3}'
    ]


@given(st.text())
@example("ok\n\x1b[31mCRITICAL forged\x1b[0m\r\u2028next\u202e")
@example("\ud800")
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    """A newline and ANSI code in a device's name once made a forged CRITICAL line."""
    desk = Desk()
    desk.log(device=text)
    (line,) = desk.lines
    assert line.isprintable() or not any(
        ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029\u202e" for c in line
    )
    assert line.encode("utf-8").decode("utf-8") == line
    assert json.loads(line)["event"] == "ready"


@given(st.text(min_size=200), st.sampled_from(["x", "里", "😀"]))
def test_a_field_is_never_longer_than_a_kilobyte(text: str, filling: str) -> None:
    desk = Desk()
    desk.log(error=text + filling * FIELD_BYTES_MOST)
    value = desk.parsed()[0]["error"]
    assert len(value.encode("utf-8")) <= FIELD_BYTES_MOST
    assert value.endswith("…")


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, True),
        (None, None),
        (10**40, 10**40),
        (b"\xff\x00", "\\xff\\x00"),
        ({"a": 1}, "{'a': 1}"),
        (Unprintable(), "<Unprintable that cannot be printed>"),
        (ValueError("bad\nnews"), "ValueError: bad\\nnews"),
    ],
)
def test_any_value_becomes_something_json(desk: Desk, value: object, written: object) -> None:
    desk.log(error=value)
    assert desk.parsed()[0]["error"] == written


def test_an_exception_names_its_place(desk: Desk) -> None:
    try:
        raise ValueError("boom")
    except ValueError as error:
        desk.log(error=error)
    assert "test_telemetry.py:" in desk.parsed()[0]["error"]


def test_a_field_cannot_replace_the_event(desk: Desk) -> None:
    desk.journal.log("ready", "info", {"event": "forged", "level": "error", "at": "yesterday"})
    assert desk.parsed() == [{"at": "2026-11-02T00:00:00.000Z", "level": "info", "event": "ready"}]


def test_a_broken_pipe_stops_nothing() -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    before = telemetry.LINES_LOST._value.get()
    Journal(broken).log("ready", "info", {})
    assert telemetry.LINES_LOST._value.get() == before + 1


# ---------------------------------------------------------------- what is masked


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("13800138000", "138****8000"),
        ("+86 138-0013-8000 不通", "+86 138****8000 不通"),
        ("8613800138000", "86138****8000"),
        ("tel=19912345678,13012345678", "tel=199****5678,130****5678"),
        (13800138000, "138****8000"),
        ("1795284000123456789", "1795284000123456789"),  # an instant in ns is no phone number
        ("12345678901", "12345678901"),  # nor is what begins with 12
        ("https://qyapi/send?key=693a-91f&debug=1", "https://qyapi/send?key=***&debug=1"),
        ("access_token=abc.def&x=1", "access_token=***&x=1"),
        ("corpsecret=s3 x", "corpsecret=*** x"),
        ('{"token": "abc", "to": "li"}', '{"token": "***", "to": "li"}'),
        ("Authorization: Token devtoken", "Authorization: Token ***"),
        ("Bearer abcdefgh", "Bearer ***"),
        ("mqtts://gateway:hunter2@broker:8883", "mqtts://gateway:***@broker:8883"),
        (
            "https://open.feishu.cn/open-apis/bot/v2/hook/0a1b2c3d-4e",
            "https://open.feishu.cn/open-apis/bot/v2/hook/***",
        ),
        ("unknown key: colour", "unknown key: colour"),  # prose stays
    ],
)
def test_numbers_and_keys_are_masked(desk: Desk, said: object, written: str) -> None:
    desk.log(error=said)
    assert desk.parsed()[0]["error"] == written


@given(st.from_regex(r"\A1[3-9][0-9]{9}\Z"), st.text(), st.text())
def test_no_mobile_number_is_ever_legible(number: str, before: str, after: str) -> None:
    text = f"{before} {number} {after}"
    assert number not in mask(text) or number in before + after


# ---------------------------------------------------------------- repeats


def test_repeats_become_one_line_and_a_count(desk: Desk) -> None:
    for second in range(8):
        desk.now = second
        desk.log(device="a", attempt=second)
    desk.now = REPEAT_WINDOW_S
    desk.log(device="a", attempt=99)
    assert [(line["attempt"], line.get("repeated", 1)) for line in desk.parsed()] == [(0, 1), (99, 8)]


def test_the_count_comes_out_without_another_repeat(desk: Desk) -> None:
    desk.log(device="a", attempt=1)
    desk.log(device="a", attempt=2)
    desk.now = REPEAT_WINDOW_S - 0.1
    desk.journal.flush()
    assert len(desk.lines) == 1
    desk.now = REPEAT_WINDOW_S
    desk.log("reloaded")  # any other line lets it out, and so does flush()
    assert [(line["event"], line.get("attempt")) for line in desk.parsed()] == [
        ("ready", 1),
        ("ready", 2),
        ("reloaded", None),
    ]


def test_another_subject_or_level_is_another_line(desk: Desk) -> None:
    desk.log(device="a")
    desk.log(device="b")
    desk.log(device="a", level="error")
    desk.log("reloaded", device="a")
    assert len(desk.lines) == 4


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=200))
def test_no_occurrence_is_lost_from_the_count(steps: list[tuple[int, int]]) -> None:
    """Lines without `repeated` stand for one, with it for that many: together for all."""
    desk = Desk()
    for device, seconds in steps:
        desk.now += seconds
        desk.log(device=f"d{device}")
    desk.journal.flush(everything=True)
    assert sum(line.get("repeated", 1) for line in desk.parsed()) == len(steps)


def test_the_memory_of_repeats_is_bounded(desk: Desk) -> None:
    for number in range(WINDOWS_MOST * 2):
        desk.log(device=f"d{number}")
    assert len(desk.journal._windows) <= WINDOWS_MOST


# ---------------------------------------------------------------- log(), counters, levels


def counted(event: str) -> float:
    return telemetry.REGISTRY.get_sample_value("lilong_events_total", {"event": event})


def test_every_event_has_a_counter_from_the_start() -> None:
    """A rate over a counter that appears with its first event misses that first event."""
    assert all(counted(event) is not None for event in telemetry.EVENTS)


def test_log_counts_and_captures() -> None:
    before = counted("ready")
    with telemetry.testing() as said:
        telemetry.log("ready", version="1")
        telemetry.log("ready", "debug", error="key=x")
    assert [(s.event, s.level, dict(s.fields)) for s in said] == [
        ("ready", "info", {"version": "1"}),
        ("ready", "debug", {"error": "key=***"}),
    ]
    assert counted("ready") == before + 2


def test_an_unknown_event_raises_only_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    with telemetry.testing() as said:
        with pytest.raises(KeyError, match="no_such_event"):
            telemetry.log("no_such_event")
        monkeypatch.setenv("LILONG_STRICT", "0")
        before = counted("unknown")
        telemetry.log("no_such_event")
    assert [s.event for s in said] == ["no_such_event"]
    assert counted("unknown") == before + 1


def test_stderr_is_json_when_it_is_no_terminal_and_debug_is_off() -> None:
    script = "from gateway import telemetry as t; t.log('ready', 'debug'); t.log('ready', hint='里弄')"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT, check=True)
    assert ran.stdout == b""
    assert json.loads(ran.stderr.decode())["hint"] == "里弄"


def test_configure_sets_level_and_form(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.flush(everything=True)  # what other tests of this process still held back
    capsys.readouterr()
    try:
        telemetry.configure("error", pretty=True)
        telemetry.log("ready")
        telemetry.log("ready", "error", hint="看一眼")
    finally:
        telemetry.configure()
    assert capsys.readouterr().err.count("\n") == 1


# ---------------------------------------------------------------- metrics


def test_a_metric_is_made_once() -> None:
    one = telemetry.gauge("lilong_test_depth", "depth", ["queue"])
    assert telemetry.gauge("lilong_test_depth", "depth", ["queue"]) is one
    with pytest.raises(ValueError, match="already"):
        telemetry.counter("lilong_test_depth", "depth", ["queue"])
    with pytest.raises(ValueError, match="already"):
        telemetry.gauge("lilong_test_depth", "depth")


@pytest.mark.parametrize(
    ("name", "labels"), [("depth", []), ("lilong_x", ["device"]), ("lilong_x", ["person"])]
)
def test_a_metric_has_our_prefix_and_no_personal_label(name: str, labels: list[str]) -> None:
    with pytest.raises(ValueError, match=r"lilong_|label"):
        telemetry.gauge(name, "x", labels)


def test_exposition_is_what_prometheus_reads() -> None:
    telemetry.histogram("lilong_test_seconds", "x", buckets=[0.1, 1]).observe(0.5)
    text = telemetry.exposition().decode()
    assert 'lilong_test_seconds_bucket{le="1.0"}' in text
    assert "lilong_process_resident_memory_bytes" in text


# ---------------------------------------------------------------- the whole source keeps to the lists


def calls_of_log() -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted([*ROOT.glob("gateway/**/*.py"), *ROOT.glob("simulators/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "telemetry.log":
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def test_every_logged_event_and_key_is_in_the_lists() -> None:
    wrong = []
    for place, call in calls_of_log():
        if (
            call.args
            and isinstance(call.args[0], ast.Constant)
            and call.args[0].value not in telemetry.EVENTS
        ):
            wrong.append(f"{place}: event {call.args[0].value}")
        for keyword in call.keywords:
            if keyword.arg and keyword.arg != "level" and keyword.arg not in telemetry.KEYS:
                wrong.append(f"{place}: key {keyword.arg}")
    assert wrong == []


def test_every_event_is_said_somewhere() -> None:
    """A name nobody logs would promise a metric that never moves."""
    source = "".join(
        path.read_text("utf-8") for path in ROOT.glob("gateway/**/*.py") if path.name != "telemetry.py"
    )
    assert [event for event in telemetry.EVENTS if f'"{event}"' not in source] == []


def test_the_lists_are_in_plain_words() -> None:
    for name, help in {**telemetry.EVENTS, **telemetry.KEYS}.items():
        assert name.replace("_", "").isalnum() and name.islower(), name
        assert 10 < len(help) < 100 or name in telemetry.KEYS, name
