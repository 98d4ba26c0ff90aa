"""Bytes of a CSV file to nodes that know their row, and values back to CSV: the tables of a site.

A table is what people keep in a spreadsheet, and a spreadsheet changes what they type: it saves as GB18030,
adds empty columns, takes the zeros off 007 and makes 1.2E+10 of a serial number. What does no harm is taken
as it is meant; what has lost something is a mistake with its row, so that nobody guesses.
Rows are counted as the spreadsheet counts them: the headings are row 1.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from gateway.problems import Phrase, Problems, one_of, say
from gateway.typed import Key, SomeText, keys_of, nearest
from gateway.yamlfile import Broken, List, Map, Node, Refused, Row, Scalar, read_bytes, resolve

BYTES_MOST = 4 * 1024 * 1024  # 20,000 devices; beyond it cut the table into several
COLUMNS_MOST = 200  # a device has some ten; more is another sheet
BOM = "\ufeff"

# ---------------------------------------------------------------- bytes to cells


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they were written: `rows` are (row number, cells), blank ones left out."""

    file: str
    headings: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]


class _Stop(Exception):
    """The file cannot be read as a table."""

    def __init__(self, found: Phrase, expected: Phrase, row: int = 0) -> None:
        super().__init__()
        self.found, self.expected, self.row = found, expected, row


def read(path: Path, problems: Problems, name: str = "") -> tuple[Table | None, bytes]:
    """The cells (None when it is no table) and the bytes they came from. Never raises."""
    name = name or str(path)
    data = read_bytes(path, BYTES_MOST, problems, name)
    return (None, b"") if data is None else (parse(data, problems, name), data)


def parse(data: bytes, problems: Problems, name: str) -> Table | None:
    """The cells of a file's bytes; None when nothing of it can be used. Never raises."""
    try:
        text = _decode(data)
        rows = list(_rows(text))
        if not rows:
            raise _Stop(say("empty"), say("headings"))
        (_, headings), *rest = rows
        return Table(name, headings, rest)
    except _Stop as stop:
        problems.add(name, stop.row, "", stop.found, stop.expected)
        return None


def _decode(data: bytes) -> str:
    """The text, be it UTF-8 or GB18030; a file of which neither is true is refused, never half read."""
    if len(data) > BYTES_MOST:
        raise _Stop(say("bytes", most=BYTES_MOST), say("at_most", most=BYTES_MOST))
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise _Stop(say("workbook"), say("saved_as_csv"))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Stop(say("utf16"), say("saved_as_csv"))
    if (nul := data.find(b"\0")) >= 0:
        raise _Stop(say("nul"), say("saved_as_csv"), data.count(b"\n", 0, nul) + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _decode_gb(data, error)
    return _gb_in_disguise(data, text) or text


def _decode_gb(data: bytes, error: UnicodeDecodeError) -> str:
    """GB18030, unless it is UTF-8 with a damaged byte: nearly any bytes mean something in GB18030."""
    guess = data.decode("utf-8", "replace")
    damaged = guess.count("\ufffd")
    sound = sum(ord(letter) > 0x7FF for letter in guess) - damaged
    try:
        if damaged > sound:
            return data.decode("gb18030")
    except UnicodeDecodeError:
        pass
    row = data.count(b"\n", 0, error.start) + 1
    raise _Stop(say("not_utf8_gb", byte=error.start), say("saved_as_csv"), row) from None


_FOREIGN = re.compile("[^\x00-\x7f]")


def _gb_in_disguise(data: bytes, text: str) -> str:
    """A few Chinese words in GB18030 happen to be UTF-8 of Greek or Arabic letters; else ""."""
    foreign = _FOREIGN.findall(text)
    if not foreign or data.startswith(BOM.encode()) or max(foreign) > "\u07ff":
        return ""
    try:
        other = data.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    chinese = all("\u3000" <= letter <= "\u9fff" for letter in other if ord(letter) > 0x7F)
    return other if chinese else ""


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """(row, cells) of every row that holds something; empty columns at the end are gone."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            tidy = [_tidy(cell) for cell in cells]
            while tidy and not tidy[-1]:
                tidy.pop()
            if len(tidy) > COLUMNS_MOST:
                raise _Stop(say("columns", most=COLUMNS_MOST), say("at_most", most=COLUMNS_MOST), number)
            if tidy:
                yield number, tidy
    except csv.Error as error:
        raise _Stop(say("broken_csv", reason=error), say("csv"), number + 1) from None


def _delimiter(text: str) -> str:
    """What parts the headings: a comma, or what a spreadsheet writes where a comma is a decimal sign."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)


def _tidy(cell: str) -> str:
    """Without the blanks around it, wide, hard and invisible ones too, and without a sheet's text mark."""
    cell = cell.strip().strip("\u200b\ufeff").strip()
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA else cell


# ---------------------------------------------------------------- cells to nodes

HEADINGS = {  # what people here write over a column -> the key it stands for
    "编号": "id",
    "名称": "says",
    "型号": "model",
    "地点": "at",
    "主题": "topic",
    "基线": "baseline",
    "标签": "labels",
    "类别": "kind",
    "上级": "within",
    "时段": "windows",
    "设备": "device",
    "测量量": "quantity",
    "部件": "component",
    "起始": "from",
    "系数": "scale",
    "偏移": "offset",
    "证书": "certificate",
    "到期": "due",
    "备注": "note",
}
_UNSPOILT = re.compile(r"[a-z][a-z0-9_/.-]*", re.ASCII)  # most names and topics: no sheet makes such a thing
_WIDE = re.compile("[\uff01-\uff5e\u3000\u2018\u2019\u201c\u201d]")
_SHORTENED = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)
_SHEET_ERROR = re.compile(r"#(N/A|NAME\?|REF!|VALUE!|DIV/0!|NULL!|NUM!|#+)")
_MADE_A_DATE = re.compile(r"\d{1,2}月\d{1,2}日|\d{1,2}-[A-Z][a-z]{2}|[A-Z][a-z]{2}-\d{2}")
_DAY = re.compile(r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})(?:[ T](\d{1,2}):(\d\d)(?::00)?)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@")  # a cell that begins so is a formula to a spreadsheet


class _Column:
    """Where the cells of a column go, and what may stand in them: looked up once, not for every cell."""

    __slots__ = ("day", "free", "inner", "instant", "key", "many", "number", "path")

    def __init__(self, key: Key, inner: str, hint: Any) -> None:
        wanted = _types_of(hint)
        self.key, self.inner = key, inner  # `inner`: the name in a mapping
        self.path = f"{key.key}.{inner}" if inner else key.key
        self.number = not {float, int, bool}.isdisjoint(wanted)  # TRUE and FALSE are as plain as numbers
        self.free = hint is str or hint == SomeText  # people may write there what they like
        self.many = get_origin(hint) is tuple
        self.day, self.instant = date in wanted, _is_instant(hint)


def records(table: Table, cls: type, problems: Problems) -> List:
    """One Row for each row of the table, with the keys of `cls`; mistakes go to `problems`."""
    return _Records(table, cls, problems).rows()


class _Records:
    """One pass over the cells of one table."""

    def __init__(self, table: Table, cls: type, problems: Problems) -> None:
        self._table, self._problems = table, problems
        self._keys = {key.key: key for key in keys_of(cls)}
        self._lacking = False
        self._nameless: set[int] = set()  # columns without a heading, each told once
        self._columns = [self._column(number, cell) for number, cell in enumerate(table.headings)]
        self._check_columns()

    def rows(self) -> List:
        return List(self._table.file, 1, tuple(self._row(*row) for row in self._table.rows))

    def _mistake(self, row: int, path: str, found: Phrase, expected: Phrase) -> Broken:
        self._problems.add(self._table.file, row, path, found, expected)
        return Broken(self._table.file, row)

    # -- the headings

    def _column(self, number: int, cell: str) -> _Column | None:
        """What a heading means; None for an empty one, and for one that nothing has."""
        name, dot, inner = unicodedata.normalize("NFKC", cell).partition(".")
        name = HEADINGS.get(name.strip(), name.strip().lower())
        key = self._keys.get(name)
        if key is not None and bool(dot) == _holds_names(key.hint):
            hint = _hint_within(key.hint, inner.strip())
            if hint is not None:
                return _Column(key, inner.strip(), hint)
        if cell:
            known = [f"{one}.…" if _holds_names(k.hint) else one for one, k in self._keys.items()]
            self._mistake(1, cell, say("unknown_column", value=cell), one_of(known, nearest(name, known)))
        return None

    def _check_columns(self) -> None:
        paths = [column.path for column in self._columns if column]
        for path in sorted({path for path in paths if paths.count(path) > 1}):
            self._mistake(1, path, say("column_twice", value=path), say("unique", what=say("what_column")))
        for key in self._keys.values():
            if key.required and key.key not in paths:
                self._lacking = True
                self._mistake(1, key.key, say("no_column", value=key.key), say("required"))

    # -- the rows

    def _row(self, number: int, cells: Sequence[str]) -> Row:
        file = self._table.file
        entries: dict[str, tuple[Node, Node]] = {}
        for index, cell in enumerate(cells):
            column = self._columns[index] if index < len(self._columns) else None
            if column is None or not cell:
                self._note_nameless(number, index, cell)
                continue
            node = self._cell(number, column, cell)
            head = Scalar(file, number, column.key.key, column.key.key)
            if column.inner:
                inner = Scalar(file, number, column.inner, column.inner)
                _, within = entries.setdefault(column.key.key, (head, Map(file, number, {})))
                assert isinstance(within, Map)
                within.entries[column.inner] = inner, node
            else:
                entries[column.key.key] = head, node
        return Row(file, number, entries, whole=not self._lacking)

    def _note_nameless(self, row: int, index: int, cell: str) -> None:
        headed = index < len(self._table.headings) and self._table.headings[index]
        if cell and not headed and index not in self._nameless:
            self._nameless.add(index)
            self._mistake(row, _letter(index), say("no_heading"), say("heading"))

    def _cell(self, row: int, column: _Column, cell: str) -> Node:
        wrong = _spoilt(cell, column)
        if wrong:
            return self._mistake(row, column.path, *wrong)
        if column.many:
            parts = re.split(r"[\s;、，；]+", cell)
            scalars = tuple(Scalar(self._table.file, row, part, part) for part in parts if part)
            return List(self._table.file, row, scalars)
        value = _value(cell, column)
        if isinstance(value, Refused):
            return self._mistake(row, column.path, value.found, value.expected)
        return Scalar(self._table.file, row, value, cell)


def _spoilt(cell: str, column: _Column) -> tuple[Phrase, Phrase] | None:
    """(found, expected) when a spreadsheet, or a Chinese keyboard, has made something else of a cell."""
    if _UNSPOILT.fullmatch(cell):
        return None
    if "\n" in cell or "\r" in cell:
        return say("line_break", value=cell), say("one_line")
    if _SHEET_ERROR.fullmatch(cell):
        return say("sheet_error", value=cell), say("what_was_meant")
    parts = [cell] if column.free else cell.split("/")
    if not column.number and any(map(_SHORTENED.fullmatch, parts)):
        return say("shortened", value=cell), say("typed_as_text")
    if column.free:
        return None
    if _WIDE.search(cell):
        narrow = unicodedata.normalize("NFKC", cell)
        return say("full_width", value=cell), say("half_width", value=narrow)
    if _MADE_A_DATE.fullmatch(cell):
        return say("made_a_date", value=cell), say("typed_as_text")
    return None


def _value(cell: str, column: _Column) -> Any:
    """What a cell holds: a number only where one belongs, a day as we write it where a day belongs."""
    if column.number:
        return resolve(cell)
    if (column.day or column.instant) and (match := _DAY.fullmatch(cell)):
        day = f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}"
        if column.day:
            return cell if match[4] else day
        return f"{day}T{int(match[4] or 0):02}:{match[5] or '00'}"
    return cell


def _holds_names(hint: Any) -> bool:
    """Whether a key has names of its own, each with a column: a mapping, or another record."""
    return get_origin(hint) is Mapping or _record_in(hint) is not None


def _record_in(hint: Any) -> type | None:
    return next((one for one in _types_of(hint) if isinstance(one, type) and is_dataclass(one)), None)


def _hint_within(hint: Any, inner: str) -> Any:
    """The hint of a name within a key, or of the key itself; None when there is no such name."""
    if get_origin(hint) is Mapping:
        return get_args(hint)[1] if inner else None
    record = _record_in(hint)
    if record is None:
        return hint
    return next((key.hint for key in keys_of(record) if key.key == inner), None)


def _types_of(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return _types_of(get_args(hint)[0])
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_instant(hint: Any) -> bool:
    """Whether a local time belongs there: its kind takes one."""
    for extra in get_args(hint)[1:]:
        try:
            return bool(extra.parse("2026-01-31T02:00"))
        except (AttributeError, ValueError, TypeError):
            continue
    return False


def _letter(number: int) -> str:
    """The name of a column as a spreadsheet shows it: A, B, … Z, AA."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


# ---------------------------------------------------------------- and back

Cells = Mapping[str, str]  # path of a key -> what its cell holds; empty ones are left out


def cells_of(row: Map) -> Cells:
    """What stands in a row, by path: `baseline.crack_mm`."""
    return {path: text for path, text in _flat(row, "") if text}


def _flat(node: Map, before: str) -> Iterator[tuple[str, str]]:
    for name, (_, value) in node.entries.items():
        if isinstance(value, Map):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, List):
            yield f"{before}{name}", " ".join(one.text for one in value.items if isinstance(one, Scalar))
        elif isinstance(value, Scalar):
            yield f"{before}{name}", value.text


def cells_from(value: Any, cls: Any) -> Cells:
    """What a row for a built value holds, however it was written."""
    cells: dict[str, str] = {}
    for key in keys_of(cls):
        held = getattr(value, key.field)
        if isinstance(held, Mapping):
            cells |= {f"{key.key}.{inner}": _text(one) for inner, one in held.items()}
        elif is_dataclass(held):
            cells |= {f"{key.key}.{inner}": one for inner, one in cells_from(held, type(held)).items()}
        elif key.required or held != _default(cls, key):
            cells[key.key] = _text(held)
    return {path: text for path, text in cells.items() if text}


def _default(cls: type, key: Key) -> Any:
    return next(each.default for each in dataclasses.fields(cls) if each.name == key.field)


def _text(held: Any) -> str:
    if held is None:
        return ""
    if isinstance(held, bool):
        return str(held).lower()
    if isinstance(held, float):
        return repr(held).removesuffix(".0")
    return " ".join(map(str, held)) if isinstance(held, tuple) else str(held)


def write(rows: Iterable[Cells], cls: type) -> str:
    """A table that `parse` and `records` read back as these cells. Columns that nobody uses are left out."""
    rows = list(rows)
    used = {path for row in rows for path in row}
    keys = [key.key for key in keys_of(cls)]
    wanted = used | {key.key for key in keys_of(cls) if key.required}
    paths = sorted(wanted, key=lambda path: (keys.index(path.partition(".")[0]), path))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(paths)
    writer.writerows([guarded(row.get(path, "")) for path in paths] for row in rows)
    return out.getvalue()


def guarded(cell: str) -> str:
    """What a spreadsheet would run as a formula gets the mark that makes it a text; a number is none."""
    return f"'{cell}" if cell.startswith(_FORMULA) and isinstance(resolve(cell), str) else cell


def table_of(file: str, rows: Sequence[tuple[int, Cells]]) -> Table:
    """Cells by path as a table, for rows that no file holds yet."""
    paths = sorted({path for _, row in rows for path in row})
    return Table(file, paths, [(line, [row.get(path, "") for path in paths]) for line, row in rows])
