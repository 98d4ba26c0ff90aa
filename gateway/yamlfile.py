"""Bytes of a YAML file to nodes that know their lines: a strict, small subset of YAML 1.2.

PyYAML only cuts the text into events here; its constructors, which turn 12:30 into 750, `on` into True
and 430 bytes of aliases into 387 million nodes, are never used. Everything surprising is a mistake
with a line, and reading goes on after it, so that a person sees all mistakes at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.problems import Phrase, Problems, say

BYTES_MOST = 256 * 1024  # a street of 2,000 devices takes half of it; beyond it a file is no hand's work
DEPTH_MOST = 32  # our deepest grammar needs 7; recursion further in stays far from Python's limit
INTEGER_MOST = 2**63 - 1  # what SQLite, InfluxDB and JSON readers can hold

# ---------------------------------------------------------------- nodes


@dataclass(frozen=True, slots=True)
class Node:
    file: str
    line: int  # from 1


@dataclass(frozen=True, slots=True)
class Scalar(Node):
    value: str | int | float | bool | None
    text: str  # as written, without quotes


@dataclass(frozen=True, slots=True)
class List(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Map(Node):
    entries: dict[str, tuple[Node, Node]]  # key -> (the key's own node, the value's)
    whole: bool = True  # False: a key was refused, so nothing is said of keys that are not here


@dataclass(frozen=True, slots=True)
class Row(Map):
    """A row of a table: its line is the row's number, which says where it is; paths begin in it."""


@dataclass(frozen=True, slots=True)
class Broken(Node):
    """Stands where a mistake was already reported; nothing more is said about it."""


class _Stop(Exception):
    """The rest of the file cannot be read."""


# ---------------------------------------------------------------- reading


def read(path: Path, problems: Problems, name: str = "") -> tuple[Node | None, bytes]:
    """The root node (None when the file as a whole is unusable) and the bytes it came from."""
    name = name or str(path)
    data = read_bytes(path, BYTES_MOST, problems, name)
    return (None, b"") if data is None else (parse(data, problems, name), data)


def read_bytes(path: Path, most: int, problems: Problems, name: str) -> bytes | None:
    """A file's first `most` bytes, and one more if there are more; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.add(name, 0, "", say("unreadable", reason=reason), say("readable"))
        return None


def parse(data: bytes, problems: Problems, name: str) -> Node | None:
    """The root node of a document's bytes; None when nothing of it can be used. Never raises."""
    reading = _Reading(name, problems)
    try:
        text = reading.decode(data)
        for event in _events(text):
            reading.take(event)
        if reading.root is None:
            reading.stop(1, say("empty"), say("a_mapping"))
    except yaml.YAMLError as error:
        line, reason = _syntax(error, data)
        problems.add(name, line, reading.path, say("syntax", reason=reason), say("yaml"))
        return None
    except _Stop:
        return None
    return reading.root


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is 6 times faster; both cut alike
    yield from yaml.parse(text, Loader=loader)


def _syntax(error: yaml.YAMLError, data: bytes) -> tuple[int, str]:
    """(line, why) as libyaml puts it; for a control character it tells only the byte."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    line = mark.line if mark else data.count(b"\n", 0, getattr(error, "position", 0))
    return line + 1, str(reason)


# ---------------------------------------------------------------- events to nodes


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet; in a mapping every second node is a key."""

    line: int
    mapping: bool
    nodes: list[Node] = field(default_factory=list)

    @property
    def step(self) -> str:
        """Where the next node goes, as a part of a path."""
        if not self.mapping:
            return f"[{len(self.nodes)}]"
        key = self.nodes[-1] if len(self.nodes) % 2 else None
        return f".{key.text}" if isinstance(key, Scalar) else ""

    @property
    def wants_key(self) -> bool:
        return self.mapping and len(self.nodes) % 2 == 0


class _Reading:
    """One pass over the events of one file; a stack instead of recursion."""

    def __init__(self, name: str, problems: Problems) -> None:
        self.name, self.problems = name, problems
        self.root: Node | None = None
        self._open: list[_Open] = []
        self._documents = 0

    @property
    def path(self) -> str:
        return "".join(each.step for each in self._open).lstrip(".")

    def mistake(self, line: int, found: Phrase, expected: Phrase, key: str = "") -> Broken:
        path = f"{self.path}.{key}".strip(".") if key else self.path
        self.problems.add(self.name, line, path, found, expected)
        return Broken(self.name, line)

    def stop(self, line: int, found: Phrase, expected: Phrase) -> None:
        self.mistake(line, found, expected)
        raise _Stop

    def decode(self, data: bytes) -> str:
        if len(data) > BYTES_MOST:
            self.stop(1, say("bytes", most=BYTES_MOST), say("at_most", most=BYTES_MOST))
        if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
            self.stop(1, say("bom"), say("utf8"))
        if (nul := data.find(b"\0")) >= 0:
            self.stop(data.count(b"\n", 0, nul) + 1, say("nul"), say("utf8"))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self.stop(data.count(b"\n", 0, error.start) + 1, say("not_utf8", byte=error.start), say("utf8"))
            raise AssertionError from None  # stop() has raised

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        match event:
            case yaml.ScalarEvent():  # most are
                self._refuse_properties(event, line)
                self._put(self._scalar(event, line))
            case yaml.DocumentStartEvent():
                self._document(event, line)
            case yaml.AliasEvent():
                self._put(self.mistake(line, say("alias", name=event.anchor), say("written_out")))
            case yaml.CollectionStartEvent():
                self._refuse_properties(event, line)
                if len(self._open) >= DEPTH_MOST:
                    self.stop(line, say("deep", most=DEPTH_MOST), say("at_most", most=DEPTH_MOST))
                self._open.append(_Open(line, isinstance(event, yaml.MappingStartEvent)))
            case yaml.CollectionEndEvent():
                closed = self._open.pop()
                self._put(self._map(closed) if closed.mapping else self._list(closed))

    def _document(self, event: Any, line: int) -> None:
        self._documents += 1
        if self._documents > 1:
            self.stop(line, say("documents"), say("one_document"))
        if event.version or event.tags:
            self.mistake(line, say("directive"), say("yaml"))

    def _refuse_properties(self, event: Any, line: int) -> None:
        if event.anchor:
            self.mistake(line, say("anchor", name=event.anchor), say("written_out"))
        if event.tag:
            self.mistake(line, say("tag", tag=event.tag), say("no_tag"))

    def _put(self, node: Node) -> None:
        if self._open:
            self._open[-1].nodes.append(node)
        else:
            self.root = node

    def _list(self, closed: _Open) -> List:
        return List(self.name, closed.line, tuple(closed.nodes))

    def _map(self, closed: _Open) -> Map:
        entries: dict[str, tuple[Node, Node]] = {}
        for key, value in zip(closed.nodes[::2], closed.nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                if not isinstance(key, Broken):
                    self.mistake(key.line, say("key_not_text"), say("text_key"))
            elif key.text in entries:
                twice = say("duplicate_key", key=key.text, line=entries[key.text][0].line)
                self.mistake(key.line, twice, say("one_key"), key.text)
            else:
                entries[key.text] = key, value
        return Map(
            self.name, closed.line, entries, whole=all(isinstance(key, Scalar) for key in closed.nodes[::2])
        )

    def _scalar(self, event: Any, line: int) -> Node:
        text = event.value
        plain = event.style is None or event.style == ""
        if not plain:
            return Scalar(self.name, line, text, text)
        if self._open and self._open[-1].wants_key and text == "<<":
            return self.mistake(line, say("merge"), say("written_out"))
        value = resolve(text)
        if isinstance(value, Refused):
            return self.mistake(line, value.found, value.expected)
        if value is None and self._open and self._open[-1].wants_key:
            return self.mistake(line, say("key_not_text"), say("text_key"))
        return Scalar(self.name, line, value, text)


# ---------------------------------------------------------------- plain scalars, as YAML 1.2 reads them


@dataclass(frozen=True, slots=True)
class Refused:
    """An unquoted text that YAML 1.1 and 1.2 (or a person) read differently."""

    found: Phrase
    expected: Phrase


WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BEGINS_NUMBER = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+|[-+]?0[xob][0-9a-fA-F_]+")


def resolve(text: str) -> str | int | float | bool | Refused | None:
    """What an unquoted text means; `on`, `yes`, 2026-01-02 and 1_000 are texts."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _BEGINS_NUMBER:
        return text  # most of what is written: not to be looked at five times more
    if _SEXAGESIMAL.fullmatch(text):
        return Refused(say("sexagesimal", value=text), say("quoted", value=text))
    if _LEADING_ZERO.fullmatch(text):
        return Refused(say("leading_zero", value=text), say("no_zero", value=text))
    if _INTEGER.fullmatch(text):
        return _whole(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else Refused(say("not_finite", value=text), say("finite"))
    if _NOT_FINITE.fullmatch(text):
        return Refused(say("not_finite", value=text), say("finite"))
    return text


def _whole(text: str) -> int | Refused:
    """int() itself raises beyond 4,300 digits, so the length is looked at first."""
    if len(text) <= 20 and abs(number := int(text)) <= INTEGER_MOST:
        return number
    return Refused(say("huge"), say("at_most", most=INTEGER_MOST))
