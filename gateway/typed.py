"""Nodes to frozen dataclasses, led by their type hints; every mistake is collected, none raised.

A key of the file is the name of the field, except: a field that ends in `_s` and is a float is written
without the ending, as a duration (`hold: 60s` -> hold_s); one that ends in `_bytes` likewise as a size;
`origin` is never written, it is filled with file and line; and what a Spelling says.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gateway.core.model import LEVEL_OF, Level, Origin
from gateway.problems import Phrase, Problems, one_of, say
from gateway.yamlfile import Broken, List, Map, Node, Row, Scalar

T = TypeVar("T")
MISSING, EMPTY_CELL, REQUIRED = say("missing"), say("empty_cell"), say("required")  # 256 kB can lack 360,000
HINTS_MOST = 20  # a mistake made 2,000 times over must not cost minutes: a hint takes up to 0.1 s
BROKEN: Any = object()  # what a node with a mistake becomes
SECRET = re.compile(r"(^|.*[_-])(password|passwd|pwd|token|secret|key|credential|credentials)", re.IGNORECASE)

# ---------------------------------------------------------------- single values


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of single value: `parse` takes what YAML resolved and raises ValueError when it is none."""

    expected: Phrase
    parse: Callable[[Any], Any]


class Misread(ValueError):
    """A text of which a part is wrong: `found` says which, and where in the text."""

    def __init__(self, found: Phrase) -> None:
        super().__init__(found.in_("en"))
        self.found = found


def _only(*types: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) not in types:
            raise ValueError
        return value

    return check


def _matching(pattern: str, turn: Callable[[str], Any] = str) -> Callable[[Any], Any]:
    compiled = re.compile(pattern)

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError
        return turn(value)

    return check


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError
    return float(value)


UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


def parse_duration(value: Any) -> float:
    """Seconds of `60s`, `5m`, `26h`, `2d`, `1m30s`; ValueError for anything else, a bare number too."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) <= 24 else None
    if not match or not value:
        raise ValueError
    return sum(float(n or 0) * unit for n, unit in zip(match.groups(), UNITS_S.values(), strict=True))


def _positive_duration(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError
    return seconds


SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = rf"\d{{1,6}}({'|'.join(SIZES)})"


def _size(text: str) -> int:
    digits = re.match(r"\d+", text)
    assert digits is not None  # the pattern has already matched
    return int(digits[0]) * SIZES[text[digits.end() :]]


def _day(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError
    return date.fromisoformat(value)


def _minute(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", value, re.ASCII):
        raise ValueError
    datetime.fromisoformat(value)
    return value


_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"


def _window(value: Any) -> str:
    """`06:30-08:30`; the second may be 24:00, or earlier than the first: then it crosses midnight."""
    if not isinstance(value, str) or not re.fullmatch(rf"{_CLOCK}-(?:{_CLOCK}|24:00)", value):
        raise ValueError
    if value[:5] == value[6:]:
        raise ValueError
    return value


def _level(value: Any) -> Level:
    if not isinstance(value, str) or value not in LEVEL_OF:
        raise ValueError
    return LEVEL_OF[value]


def _some_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def between(low: int, high: int) -> Kind:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Kind(say("whole_between", low=low, high=high), check)


def parse_as(value: Any, hint: Any) -> Any:
    """A single value by an annotated hint such as Minute; ValueError when it is none."""
    kind = get_args(hint)[1]
    assert isinstance(kind, Kind)
    return kind.parse(value)


IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Identifier = Annotated[str, Kind(say("identifier"), _matching(IDENTIFIER))]
SomeText = Annotated[str, Kind(say("some_text"), _some_text)]
Duration = Annotated[float, Kind(say("duration"), parse_duration)]
PositiveDuration = Annotated[float, Kind(say("positive_duration"), _positive_duration)]
Size = Annotated[int, Kind(say("size"), _matching(_SIZE, _size))]
Window = Annotated[str, Kind(say("window"), _window)]
Minute = Annotated[str, Kind(say("minute"), _minute)]

KINDS: dict[Any, Kind] = {
    str: Kind(say("text"), _only(str)),
    int: Kind(say("whole"), _only(int)),
    float: Kind(say("a_number"), _number),
    bool: Kind(say("truth"), _only(bool)),
    date: Kind(say("day"), _day),
    Path: Kind(say("some_text"), lambda value: Path(_some_text(value))),
    Level: Kind(say("level"), _level),
    Any: Kind(say("scalar"), lambda value: value),
}

# ---------------------------------------------------------------- how a dataclass is written


@dataclass(frozen=True, slots=True)
class Rest:
    """Marks the one field that takes the keys no other field has: `names` tells which are known, and
    `prefix` is a pattern of what may stand before them.
    """

    names: Callable[[], Sequence[str]]
    prefix: str = ""

    def knows(self, key: str) -> bool:
        return re.sub(f"^{self.prefix}", "", key, count=1) in self.names()


@dataclass(frozen=True, slots=True)
class Lenient:
    """Marks a list or mapping that does without its broken entries: one broken rule hides no other.

    Nothing built from broken files ever takes effect; this only lets the later checks see more.
    """


LENIENT = Lenient()


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """Marks a list that may be written as its only item: `days: workdays`."""


ONE_OR_MORE = OneOrMore()


@dataclass(frozen=True, slots=True)
class Key:
    """One field of a dataclass as the file writes it."""

    key: str
    field: str
    hint: Any
    required: bool
    rest: Rest | None = None


Spelling = Mapping[str, tuple[str, Any]]  # field -> (key in the file, its hint)
_SPELLINGS: dict[type, Spelling] = {}


def spell(cls: type, **fields: tuple[str, Any]) -> None:
    """Say how fields of a value type are written where their names and hints do not."""
    _SPELLINGS[cls] = fields


_FORMER: dict[type, Mapping[str, Phrase]] = {}


def former(cls: type, **keys: Phrase) -> None:
    """Keys that there were: what to write now."""
    _FORMER[cls] = keys


@cache
def keys_of(cls: Any) -> tuple[Key, ...]:
    """The keys a mapping for `cls` may have, in the order of its fields."""
    hints = get_type_hints(cls, include_extras=True)
    fields = [field for field in dataclasses.fields(cls) if field.name != "origin"]
    return tuple(_key(cls, field, hints[field.name]) for field in fields)


def _key(cls: type, field: dataclasses.Field[Any], hint: Any) -> Key:
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    key, hint = _SPELLINGS.get(cls, {}).get(field.name) or _usual(field.name, hint)
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    rest = next((extra for extra in extras if isinstance(extra, Rest)), None)
    return Key(key, field.name, get_args(hint)[0] if rest else hint, required, rest)


def _usual(name: str, hint: Any) -> tuple[str, Any]:
    if name == "id" and hint is str:
        return name, Identifier
    if name.endswith("_s") and hint in (float, float | None):
        return name.removesuffix("_s"), Duration if hint is float else Duration | None
    if name.endswith("_bytes") and hint is int:
        return name.removesuffix("_bytes") + "_bytes", Size
    return name, hint


def part_of(cls: type) -> Any:
    """A dataclass with the same keys, all of them optional and None when they are left out."""
    hints = {key.field: key.hint for key in keys_of(cls)}
    fields: list[Any] = [(name, hint | None, None) for name, hint in hints.items()]
    fields.append(("origin", Origin, dataclasses.field(default=Origin(), compare=False)))
    name = f"Some{cls.__name__}"
    made = dataclasses.make_dataclass(name, fields, frozen=True, slots=True, kw_only=True)
    spell(made, **{key.field: (key.key, key.hint | None) for key in keys_of(cls)})
    return made


# ---------------------------------------------------------------- building


class Builder:
    """Builds values and remembers where each stood, so that later checks can point there too."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._stood: dict[int, tuple[Any, Map, str]] = {}  # id(value) -> value (kept alive), node, path
        self._hints = 0
        self._broken: set[type] = set()
        self._ids: dict[type, set[str]] = {}

    # -- for checks that come after building

    def mistake(self, value: Any, step: str, found: Phrase, expected: Phrase) -> None:
        """A mistake in a built dataclass (or a node): `step` leads to a key of it (`levels.red`, `by[1]`)."""
        _, node, path = (value, value, "") if isinstance(value, Node) else self._stood[id(value)]
        line = _line_at(node, step)
        self.problems.add(node.file, line, joined(path, step), found, expected)

    def line_of(self, value: Any, step: str) -> int:
        """The line of a key of a built dataclass; of the innermost one that is there."""
        return _line_at(self._stood[id(value)][1], step)

    def ids(self, cls: type) -> set[str]:
        """Every id seen of that kind, in broken entries too: those are no unknown names."""
        return self._ids.setdefault(cls, set())

    def complete(self, *classes: type) -> bool:
        """Whether every entry of these kinds was sound, so that what is not there is really not there."""
        return self._broken.isdisjoint(classes)

    def nearest(self, word: str, known: Sequence[str]) -> str:
        """The known word that was probably meant, or "". Only for the first mistakes: each costs time."""
        self._hints += 1
        if self._hints > HINTS_MOST:
            return ""
        return nearest(word, known)

    # -- building

    def record(self, node: Node | None, cls: type[T], path: str = "", **given: Any) -> T | None:
        """A dataclass from a mapping; fields in `given` are not keys. None when there was a mistake."""
        if node is None:
            return None
        built = self._record(node, cls, path, given)
        return None if built is BROKEN else built

    def build(self, node: Node, hint: Any, path: str) -> Any:
        """The value a hint asks for, or BROKEN."""
        if isinstance(node, Broken):
            return BROKEN
        kind, origin, args = _asked(hint)
        if kind is not None:
            return self._scalar(node, kind, path)
        if origin is Annotated:
            return self._annotated(node, args[0], args[1], path)
        if origin in (Union, UnionType):
            return self._optional(node, args, path)
        if origin is Literal:
            return self._choice(node, args, path)
        if origin is tuple:
            return self._list(node, args[0], path)
        if origin is Mapping:
            return self._map(node, args[0], args[1], path)
        if isinstance(hint, type) and is_dataclass(hint):
            return self._record(node, hint, path, {})
        raise KeyError(hint)

    def _annotated(self, node: Node, hint: Any, extra: Any, path: str) -> Any:
        if isinstance(extra, OneOrMore):
            return self._one_or_more(node, hint, path)
        assert isinstance(extra, Lenient)
        if get_origin(hint) is tuple:
            return self._list(node, get_args(hint)[0], path, lenient=True)
        key_hint, item_hint = get_args(hint)
        return self._map(node, key_hint, item_hint, path, lenient=True)

    def _optional(self, node: Node, hints: tuple[Any, ...], path: str) -> Any:
        """One of them, and null or a word that stands for it."""
        words = [word for hint in hints if get_origin(hint) is Literal for word in get_args(hint)]
        if isinstance(node, Scalar) and (node.value in words or (node.value is None and not words)):
            return node.value
        others = (hint for hint in hints if hint is not NoneType and get_origin(hint) is not Literal)
        return self.build(node, next(others), path)

    def _scalar(self, node: Node, kind: Kind, path: str) -> Any:
        if isinstance(node, Scalar):
            try:
                return kind.parse(node.value)
            except Misread as wrong:
                self.problems.add(node.file, node.line, path, wrong.found, kind.expected)
                return BROKEN
            except (ValueError, OverflowError):
                pass
        text_wanted = kind is KINDS[str] and isinstance(node, Scalar) and node.value is not None
        return self._wrong(node, path, say("quoted_text") if text_wanted else kind.expected)

    def _choice(self, node: Node, words: tuple[Any, ...], path: str) -> Any:
        if isinstance(node, Scalar) and node.value in words and type(node.value) is type(words[0]):
            return node.value
        known = [str(word) for word in words if word != ""]
        return self._wrong(node, path, one_of(known, self.nearest(getattr(node, "text", ""), known)))

    def _wrong(self, node: Node, path: str, expected: Phrase) -> Any:
        self.problems.add(node.file, node.line, path, found_at(node), expected)
        return BROKEN

    def _list(self, node: Node, hint: Any, path: str, lenient: bool = False) -> Any:
        if not isinstance(node, List):
            return self._wrong(node, path, say("a_list"))
        items = [
            self.build(item, hint, "" if isinstance(item, Row) else f"{path}[{i}]")
            for i, item in enumerate(node.items)
        ]
        sound = tuple(item for item in items if item is not BROKEN)
        return sound if lenient or len(sound) == len(items) else BROKEN

    def _one_or_more(self, node: Node, hint: Any, path: str) -> Any:
        if isinstance(node, List):
            return self.build(node, hint, path)
        item = self.build(node, get_args(hint)[0], path)
        return BROKEN if item is BROKEN else (item,)

    def _map(self, node: Node, key_hint: Any, hint: Any, path: str, lenient: bool = False) -> Any:
        if not isinstance(node, Map):
            return self._wrong(node, path, say("a_mapping"))
        built: dict[Any, Any] = {}
        for text, (key, value) in node.entries.items():
            inside = joined(path, text)
            as_text = Scalar(key.file, key.line, text, text)  # a key is a text, whatever it looks like
            name = self.build(as_text, key_hint, inside)
            item = self.build(value, hint, inside)
            if name is not BROKEN and item is not BROKEN:
                built[name] = item
        return built if lenient or len(built) == len(node.entries) else BROKEN

    def _record(self, node: Node, cls: type[T], path: str, given: Mapping[str, Any]) -> Any:
        if not isinstance(node, Map):
            self._broken.add(cls)
            return BROKEN if isinstance(node, Broken) else self._wrong(node, path, say("a_mapping"))
        keys: Sequence[Key] = keys_of(cls)  # type: ignore[arg-type]
        if given:
            keys = [key for key in keys if key.field not in given]
        self._note_id(node, cls, given)
        built = dict(given)
        for key in keys:
            if key.rest:
                built[key.field] = self._rest(node, key, keys, path)
            elif key.key in node.entries:
                built[key.field] = self.build(node.entries[key.key][1], key.hint, joined(path, key.key))
            elif key.required:
                built[key.field] = self._missing(node, joined(path, key.key))
        self._report_unknown(node, keys, path, _FORMER.get(cls, {}))
        if any(value is BROKEN for value in built.values()):
            self._broken.add(cls)
            return BROKEN
        if "origin" in cls.__dataclass_fields__ and "origin" not in given:  # type: ignore[attr-defined]
            built["origin"] = Origin(node.file, node.line)
        value = cls(**built)
        self._stood[id(value)] = value, node, path
        return value

    def _missing(self, node: Map, path: str) -> Any:
        if node.whole:
            found = EMPTY_CELL if isinstance(node, Row) else MISSING
            self.problems.add(node.file, node.line, path, found, REQUIRED)
        return BROKEN

    def _note_id(self, node: Map, cls: type, given: Mapping[str, Any]) -> None:
        written = node.entries["id"][1] if "id" in node.entries else None
        name = given.get("id") or (written.text if isinstance(written, Scalar) else "")
        if name:
            self.ids(cls).add(name)

    def _rest(self, node: Map, key: Key, keys: Sequence[Key], path: str) -> Any:
        assert key.rest is not None
        taken = {other.key for other in keys if not other.rest}
        entries = {k: pair for k, pair in node.entries.items() if key.rest.knows(k) and k not in taken}
        return self._map(Map(node.file, node.line, entries), str, get_args(key.hint)[1], path)

    def _report_unknown(
        self, node: Map, keys: Sequence[Key], path: str, formerly: Mapping[str, Phrase]
    ) -> None:
        known = [key.key for key in keys if not key.rest]
        if node.entries.keys() <= set(known):
            return
        more = [name for key in keys if key.rest for name in key.rest.names()]
        rests = [key.rest for key in keys if key.rest]
        strange = [
            text for text in node.entries if text not in known and not any(rest.knows(text) for rest in rests)
        ]
        for text in strange:
            key = node.entries[text][0]
            if SECRET.fullmatch(text):
                found, expected = say("inline_secret", key=text), say("secret_file", key=text)
            else:
                found = say("unknown_key", key=text)
                expected = formerly.get(text) or one_of(known, self.nearest(text, [*known, *more]))
            self.problems.add(key.file, key.line, joined(path, text), found, expected)


@cache
def _asked(hint: Any) -> tuple[Kind | None, Any, tuple[Any, ...]]:
    """The kind of single value that a hint asks for, if it does; its origin, its arguments."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(args[1], Kind):
        return args[1], origin, args
    return KINDS.get(hint), origin, args


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that was probably meant, or "". A spreadsheet makes 7 of 007."""
    if word.isdecimal():
        padded = next((one for one in known if one.isdecimal() and one.lstrip("0") == word.lstrip("0")), "")
        if padded:
            return padded
    return next(iter(difflib.get_close_matches(word[:64], known, n=1, cutoff=0.6)), "")


def joined(path: str, step: str) -> str:
    return f"{path}.{step}".strip(".")


def found_at(node: Node) -> Phrase:
    """What stands at a node, in words."""
    if isinstance(node, List):
        return say("list")
    if not isinstance(node, Scalar):
        return say("mapping")
    if node.value is None:
        return say("null")
    if isinstance(node.value, bool):
        return say("bool", value=node.text)
    return say("value" if isinstance(node.value, str) else "number", value=node.text)


_INDEX = re.compile(r"\[(\d+)\]\.?")


def _line_at(node: Node, step: str) -> int:
    """The line of the innermost node along a path that exists."""
    line = node.line
    while step and (inside := _inside(node, step)) is not None:
        line, node, step = inside
    return line


def _inside(node: Node, step: str) -> tuple[int, Node, str] | None:
    """Line and node of the path's first step, and the rest of it. A key may hold dots: the longest counts."""
    if isinstance(node, Map):
        ends = [len(step), *(match.start() for match in re.finditer(r"[.\[]", step))]
        end = max((end for end in ends if step[:end] in node.entries), default=None)
        if end is not None:
            key, value = node.entries[step[:end]]
            return key.line, value, step[end:].removeprefix(".")
    match = _INDEX.match(step)
    if isinstance(node, List) and match and int(match[1]) < len(node.items):
        item = node.items[int(match[1])]
        return item.line, item, step[match.end() :]
    return None
