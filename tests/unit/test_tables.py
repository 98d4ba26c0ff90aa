"""Tables of a site: what a spreadsheet saves is taken as it is meant, or named with its row."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import csvfile
from gateway.core.model import Device, Origin, Place, Post
from gateway.grammar import NOWHERE
from gateway.problems import Problems
from gateway.typed import Builder
from tests.unit.config_files import FILES, loaded, told

HEAD = "id,says,model,at,topic,baseline.tilt_x_deg,labels.watched\n"
ROW = "cam-2,二号箱房,camera,estate,site/estate/cam-2/up,-0.25,yes\n"


def site(rows: str | bytes, name: str = "devices-waste.csv") -> dict[str, str | bytes]:
    return {**FILES, f"sites/{name}": rows}


def only(tmp_path: Path, rows: str | bytes, name: str = "devices-waste.csv", locale: str = "en") -> str:
    """The one mistake of a table."""
    (line,) = told(tmp_path, site(rows, name), locale)
    assert line.startswith(f"sites/{name}:")
    return line.removeprefix(f"sites/{name}:")


# ---------------------------------------------------------------- what it holds


def test_a_row_is_a_device_like_any_other(tmp_path: Path) -> None:
    found = loaded(tmp_path, site(HEAD + ROW))
    assert found.problems == []
    device = found.world.devices["cam-2"]
    assert (device.says, device.baseline, device.labels) == (
        "二号箱房",
        {"tilt_x_deg": -0.25},
        {"watched": "yes"},
    )
    assert device.origin.line == 2 and device.origin.file.endswith("devices-waste.csv")


def test_places_people_and_posts_too(tmp_path: Path) -> None:
    files = site(
        "id,says,kind,within,windows.drop_off\nroom,箱房,point,estate,06:30-08:30 18:00-20:00\n", "places.csv"
    )
    files["sites/persons-new.csv"] = "id,says,unit,reach.inbox\nli,李师傅,firm,li\n"
    files["sites/posts.csv"] = "role,at,unit,person,from,to\nroom-keeper,room,firm,li,2026/3/1,\n"
    found = loaded(tmp_path, files)
    assert found.problems == []
    assert found.world.places["room"].windows == {"drop_off": ("06:30-08:30", "18:00-20:00")}
    assert {post.role: post.since for post in found.world.posts}["room-keeper"] == date(2026, 3, 1)


def test_headings_may_be_chinese_and_in_any_order(tmp_path: Path) -> None:
    rows = (
        "主题，,编号,型号,地点,名称,标签．watched,基线.tilt_x_deg\nsite/a,cam-2,camera,estate,箱房,yes,0.1\n"
    )
    found = loaded(tmp_path, site(rows.replace("主题，", "主题")))
    assert found.problems == [] and found.world.devices["cam-2"].labels == {"watched": "yes"}


def test_another_digest_for_other_rows(tmp_path: Path) -> None:
    first, second = (loaded(tmp_path / n, site(HEAD + ROW.replace("0.25", n))) for n in ("0.25", "0.26"))
    assert first.world.digest != second.world.digest


# ---------------------------------------------------------------- bytes

PLAIN = HEAD + ROW


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("gb18030"),
        PLAIN.replace("二号箱房", "一些").encode("gb18030"),  # these four bytes are UTF-8 too
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        ("\n" + PLAIN.replace("\n", ",,,\n") + ",,,,\n\n").encode(),
        PLAIN.replace("cam-2,", "　cam-2\u00a0 ,", 1).encode(),
    ],
    ids=[
        "utf-8",
        "bom",
        "gb18030",
        "gb18030 in disguise",
        "crlf",
        "semicolons",
        "tabs",
        "empty columns",
        "blanks",
    ],
)
def test_a_spreadsheets_ways_of_saving(data: bytes, tmp_path: Path) -> None:
    found = loaded(tmp_path, site(data))
    assert found.problems == []
    assert found.world.devices["cam-2"].says in ("二号箱房", "一些")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"PK\x03\x04...", '0: whole file: found an Excel workbook (.xlsx, .xls), expected a file that'),
        (PLAIN.encode("utf-16"), "0: whole file: found UTF-16 text"),
        (b"id\n\0", "2: whole file: found a NUL character"),
        (PLAIN.encode().replace("号".encode(), b"\xe5\x8f"), "2: whole file: found bytes"),
        (b"id\n\xff\xff\xff", "2: whole file: found bytes that are neither UTF-8 nor GB18030 (at byte 3)"),
        (b"", "0: whole file: found an empty file, expected a table whose first row holds the headings"),
        (b" ,,\n\n", "0: whole file: found an empty file"),
        ((HEAD + 'cam-2,"二号\n').encode(), "2: whole file: found a broken quote or cell (unexpected"),
        ((HEAD + '"a"b,x\n').encode(), "2: whole file: found a broken quote or cell"),
        (b"id" + b"," * 5_000_000, "0: whole file: found a file of more than 4194304 bytes"),
        (HEAD.encode() + b"x," * 300, "2: whole file: found more than 200 columns, expected at most 200"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_whole(data: bytes, line: str, tmp_path: Path) -> None:
    assert only(tmp_path, data).startswith(line)


def test_damaged_utf8_is_not_read_as_gb18030() -> None:
    """Nearly any bytes are some Chinese in GB18030: names would turn into others, and nobody would notice."""
    sound = (HEAD + ROW.replace("二号箱房", "和平里二号垃圾箱房东侧")).encode()
    misread = []
    for place in range(len(HEAD), len(sound)):
        damaged = sound[:place] + sound[place + 1 :]
        try:
            damaged.decode("gb18030")
        except UnicodeDecodeError:
            continue
        if not damaged.isascii() and b"\xef\xbf\xbd" not in damaged and not _is_utf8(damaged):
            misread.append(csvfile.parse(damaged, Problems(), "x.csv"))
    assert len(misread) > 3 and misread == [None] * len(misread)


def _is_utf8(data: bytes) -> bool:
    return "\ufffd" not in data.decode("utf-8", "replace")


def test_a_name_that_says_nothing_and_a_workbook_would_not_be_read(tmp_path: Path) -> None:
    assert only(tmp_path, PLAIN, "waste.csv") == (
        "0: whole file: found waste.csv, which names no table, expected a name that begins with "
        "places, units, persons, posts, devices, calibrations, such as devices-waste.csv"
    )
    found = told(tmp_path / "x", {**FILES, "sites/devices.xlsx": b"PK", "sites/~$devices.xlsx": b""})
    assert [line.split(":")[0] for line in found] == ["sites/devices.xlsx"]


# ---------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("cam-2,", "ｃａｍ-２,", "2: id: found full-width characters: ｃａｍ-２, expected half-width"),
        ("-0.25", "０.２５", "2: baseline.tilt_x_deg: found full-width characters: ０.２５"),
        ("-0.25", "1.234,5", "2: H: "),
        ("-0.25", "about 3", '2: baseline.tilt_x_deg: found "about 3", expected a number'),
        ("cam-2,", "1.2E+10,", "2: id: found 1.2E+10, a number that Excel shortened: digits are lost"),
        ("site/estate/cam-2/up", "site/2.41E+15/up", "2: topic: found site/2.41E+15/up, a number that"),
        ("yes", "8.6E+14", "2: labels.watched: found 8.6E+14, a number that Excel shortened"),
        ("cam-2,", "3月1日,", "2: id: found 3月1日, of which Excel has made a date, expected"),
        ("二号箱房", "#N/A", "2: says: found the spreadsheet's error #N/A, expected what was meant"),
        ("二号箱房", "######", "2: says: found the spreadsheet's error ######, expected what was meant"),
        ("二号箱房", '"二号\n箱房"', "2: says: found a line break inside the cell: 二号\\n箱房"),
        ("cam-2,", ",", "2: id: found an empty cell, expected a value (it is required)"),
        ("camera", "camrea", "2: model: found the unknown model camrea, expected one of cabinet"),
        ("cam-2,二", "cam-1,二", "2: id: found device cam-1 a second time (first at site.yaml:16)"),
        ("-0.25", "", "2: baseline: found no baseline of tilt_x_deg for device cam-2"),
        ("cam-2,二号箱房,camera,estate,site/estate/cam-2/up", "71,二号,camera,estate,site/estate/0071/up",
         "2: id: found 71, which its topic calls 0071: Excel took the zeros off, expected the id"),
        ("\ncam-2", "\n\ncam-2,,\ncam-2", "3: "),
        ("labels.watched", "", "2: G: found cells under no heading, expected a heading"),
        ("yes\n", "yes,more\n", "2: H: found cells under no heading, expected a heading"),
        ("labels.watched", "lables.watched", "1: lables.watched: found the unknown column lables.watched"),
        ("labels.watched", "says", "1: says: found the column says twice, expected each column once"),
        ("model,", "modle,", "1: "),
    ],
)  # fmt: skip
def test_a_cell_that_lost_something_is_named_with_its_row(
    old: str, new: str, line: str, tmp_path: Path
) -> None:
    assert PLAIN.count(old) == 1
    found = told(tmp_path, site(PLAIN.replace(old, new)))
    assert any(one.removeprefix("sites/devices-waste.csv:").startswith(line) for one in found), found
    assert all(one.startswith("sites/devices-waste.csv:") for one in found)
    chinese = told(tmp_path / "zh", site(PLAIN.replace(old, new)), "zh")
    assert len(chinese) == len(found) and all("发现" in one and " found " not in one for one in chinese)


def test_a_missing_column_is_said_once_and_not_for_every_row(tmp_path: Path) -> None:
    found = told(tmp_path, site("id,says,model,at\n" + "x,y,camera,estate\n" * 50))
    assert found == [
        "sites/devices-waste.csv:1: topic: found no column topic, expected a value (it is required)"
    ]


def test_a_reference_that_lost_its_zeros_is_guessed(tmp_path: Path) -> None:
    files = site(PLAIN.replace("camera,estate", "camera,7")) | {
        "sites/places.csv": "id,says,kind,within\n007,箱房,point,estate\n"
    }
    assert any("(did you mean 007?)" in line for line in told(tmp_path, files))


def test_all_mistakes_of_a_table_are_told_at_once(tmp_path: Path) -> None:
    rows = "".join(f"cam-{n},x,camera,nowhere,site/{n},0.1,yes\n" for n in range(10, 60))
    found = told(tmp_path, site(HEAD + rows))
    assert [line.split(":")[1] for line in found] == [str(row) for row in range(2, 52)]


# ---------------------------------------------------------------- there and back

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=False, allow_infinity=False, width=32)), max_size=5))
def test_what_is_written_is_read_back(rows: list[tuple[str, float]]) -> None:
    """Whatever a name holds: quotes, commas, =formulas."""
    devices = [
        Device(id=f"d-{n}", model="m", at="p", topic=f"t/{n}", says=says, baseline={"crack_mm": value})
        for n, (says, value) in enumerate(rows)
        if not says.startswith("'") and not says.startswith("#")
    ]
    assert back(written(devices), Device) == devices


def test_places_and_posts_are_read_back_too() -> None:
    place = Place(id="p", says="x", kind="point", windows={"a": ("06:30-08:30", "22:00-06:00")})
    post = Post(role="r", at="p", unit="u", person="n", since=date(2026, 1, 2), until=None)
    assert back(written([place]), Place) == [place]
    assert back(written([post]), Post) == [post]


@dataclass(frozen=True, kw_only=True)
class Span:
    since: date
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Holder:
    id: str
    span: Span | None = None
    open: bool = False
    origin: Origin = NOWHERE


def test_a_record_within_an_entry_has_a_column_for_each_of_its_keys() -> None:
    values = [Holder(id="a", span=Span(since=date(2026, 1, 2), by="x")), Holder(id="b", open=True)]
    text = written(values)
    assert text.splitlines()[0] == "id,span.by,span.since,open"
    assert back(text, Holder) == values
    problems = Problems()
    csvfile.records(csvfile.parse(b"id,span,span.till\n", problems, "x"), Holder, problems)
    assert [error.path for error in problems.listed()] == ["span", "span.till"]


def written(values: list) -> str:
    cls = type(values[0]) if values else Device
    return csvfile.write([csvfile.cells_from(value, cls) for value in values], cls)


def back(text: str, cls: type) -> list:
    problems = Problems()
    table = csvfile.parse(text.encode("utf-8-sig"), problems, "x.csv")
    assert table is not None
    rows = csvfile.records(table, cls, problems)
    built = [
        Builder(problems).record(row, cls, origin=cls.__dataclass_fields__["origin"].default)
        for row in rows.items
    ]
    assert problems.listed() == []
    return built


def test_no_cell_that_we_write_is_a_formula() -> None:
    device = Device(
        id="d", model="m", at="p", topic="t", says='=HYPERLINK("http://x")', baseline={"crack_mm": -2.5}
    )
    cells = list(csv.reader(io.StringIO(written([device]))))[1]
    assert cells == ["d", "m", "p", "t", '\'=HYPERLINK("http://x")', "-2.5"], "a negative number is none"


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_table_or_a_mistake(data: bytes) -> None:
    problems = Problems()
    table = csvfile.parse(b"id,says,model,at,topic\n" + data, problems, "x.csv")
    if table is None:
        assert len(problems)
    else:
        csvfile.records(table, Device, problems)
