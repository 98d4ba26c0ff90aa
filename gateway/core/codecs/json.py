"""JSON text to an object, and its fields to quantities.

Two parsers, the first handing what it cannot vouch for to the second: msgspec's plain objects, and a slow
strict one that gives each flaw its code. What goes before both: core.codecs.shapes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from gateway.core.model import (
    Components,
    Device,
    Fault,
    Field,
    Message,
    PayloadError,
    Refusal,
)
from gateway.core.units import QUANTITIES, conversion

BYTES_MAX = 131_072  # beyond this it is no sensor message: 3 x 4,096 samples in base64 have 96 kB at most
WORDY_BYTES_MAX = 32_768  # of one that is not ASCII: its texts take four times their bytes
WEIGHT_MAX = 700_000  # bytes that the values of a payload may take: 14,000 numbers, or 2,800 objects
LIGHT_BYTES = 4_096  # no payload up to here can weigh that much
FAULTS_MAX = 64  # of one message: whoever is wrong so often is not read on
DEPTH_MAX = 32  # no device nests deeper, and parsers recurse
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
NS_MAX = 2**63 - 1
LATEST = {unit: NS_MAX // scale for unit, scale in TIME_UNITS.items()}
EXACT = 2**53  # integers up to here are exact as a double
BEYOND = 10**400  # stands for NaN, Infinity and 1e999, so that only their own field is refused
_BRACKET = re.compile(rb"[][{}]")
_quick = msgspec.json.Decoder().decode


Head = tuple[int, int, str, bool]  # measured_ns, received_ns, sequence, timed: what all readings share


# ---------------------------------------------------------------- bytes to an object


def parse(payload: bytes) -> dict[str, Any]:
    """A JSON object: UTF-8, no key twice, no NaN, bounded size and depth. Raises PayloadError."""
    if len(payload) > LIGHT_BYTES:
        _check_weight(payload)
    root = _parse_quickly(payload)
    return _parse_strictly(payload) if root is None else root


def _parse_quickly(payload: bytes) -> dict[str, Any] | None:
    """The object, if no key of it can stand twice; else None: the strict parser must look."""
    try:
        root = _quick(payload)
        return root if type(root) is dict and payload.count(b",") == _commas_in(root) else None
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _check_weight(payload: bytes) -> None:
    """Bounds time and memory of what follows: a number takes 32 bytes of Python, a text 53, an object 232."""
    most = BYTES_MAX if payload.isascii() else WORDY_BYTES_MAX
    if len(payload) > most:
        raise PayloadError(Refusal.OVERSIZE, reason=f"{len(payload)} bytes, at most {most}")
    _check_depth(payload[:1_024])  # the better word for a payload that only nests
    count = payload.count
    weight = 48 * count(b",") + 40 * count(b'"') + 250 * (count(b"{") + count(b"["))
    if weight > WEIGHT_MAX:
        raise PayloadError(Refusal.OVERSIZE, reason="more values than any sensor sends")


def _commas_in(value: Any) -> int:
    """How many commas the text holds if no key stands twice and no text holds a comma itself.

    A key that stands twice brings a comma more than the object it ends up in can explain; counting is
    twenty times cheaper than watching every key.
    """
    commas = len(value) - 1 if value else 0
    for item in value.values() if type(value) is dict else value:
        if type(item) is dict or type(item) is list:
            commas += _commas_in(item)
    return commas


def _parse_strictly(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(Refusal.ENCODING, reason=f"no UTF-8 at byte {error.start}") from None
    if text[:1] == "\ufeff" or "\0" in text:
        raise PayloadError(Refusal.ENCODING, reason="byte order mark or NUL")
    _check_depth(payload)
    try:
        root = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_real
        )
    except ValueError as error:
        raise PayloadError(Refusal.SYNTAX, reason=str(error)) from None
    if type(root) is not dict:
        raise PayloadError(Refusal.SYNTAX, reason=f"found {short(root)}, expected an object")
    return root


def _check_depth(payload: bytes) -> None:
    """Brackets inside texts count too: that can only refuse more."""
    if payload.count(b"[") + payload.count(b"{") <= DEPTH_MAX:
        return
    depth = 0
    for match in _BRACKET.finditer(payload):
        depth += 1 if match[0] in b"[{" else -1
        if depth > DEPTH_MAX:
            raise PayloadError(Refusal.DEPTH, reason=f"more than {DEPTH_MAX} levels")
        if depth < 0:
            return  # the parser says where


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    twice = next(name for name, _ in pairs if found.pop(name, pairs) is pairs)  # no other is left by then
    raise PayloadError(Refusal.DUPLICATE_KEY, short(twice), "the key stands twice")


def _constant(word: str) -> int:
    return BEYOND


def _real(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else BEYOND


def _integer(digits: str) -> int:
    """int() refuses 4,301 digits and is quadratic before that; a double ends at 309."""
    return int(digits) if len(digits) <= 309 else BEYOND


# ---------------------------------------------------------------- an object to values


class Part:
    """One field, ready to turn a raw JSON value into a quantity's value."""

    def __init__(self, field: Field) -> None:
        self.field, self.name, self.keys = field, field.quantity, keys(field.path)
        quantity = QUANTITIES[field.quantity]
        scale, offset = conversion(field.unit, quantity)
        self.scale, self.offset = field.scale * scale, field.offset * scale + offset
        self.words = dict(field.values)
        self.divisor = _divisor(self.scale)
        self._said: dict[str, float] = {}  # of its words those that came, as values
        self.plain = self.scale == 1.0 and self.offset == 0.0 and not self.words
        self.state = quantity.unit == "1"  # true and false are numbers only for states

    def convert(self, raw: Any) -> float:
        """The canonical value; PayloadError names what is wrong."""
        if self.plain and (type(raw) is float or type(raw) is int) and -EXACT < raw < EXACT:
            return raw + 0.0  # a float, and no -0.0
        if type(raw) is str and raw in self._said:
            return self._said[raw]
        if raw is None:
            raise PayloadError(Refusal.MISSING, self.field.path, "required")
        number = self._word(raw) if self.words else raw
        if (isinstance(number, bool) and not self.state) or not isinstance(number, int | float):
            raise PayloadError(Refusal.TYPE, self.field.path, f"found {short(raw)}, expected a number")
        try:
            value = self.canonical(float(number))
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise PayloadError(Refusal.NOT_FINITE, self.field.path, "no number a double can hold")
        if type(raw) is str:
            self._said[raw] = value
        return value

    def canonical(self, number: float) -> float:
        """A plain number in our unit."""
        return (number / self.divisor if self.divisor else number * self.scale) + self.offset

    def _word(self, raw: Any) -> Any:
        word = str(raw).lower() if isinstance(raw, bool) else str(raw)
        if word in self.words:
            return self.words[word]
        expected = f"expected one of {', '.join(self.words)}"
        raise PayloadError(Refusal.TYPE, self.field.path, f"found {short(raw)}, {expected}")


def _divisor(scale: float) -> float:
    """1 / scale where that is whole: 35 / 100 is 0.35, 35 * 0.01 is 0.35000000000000003."""
    whole = round(1 / scale) if 0 < scale < 1 else 0
    return float(whole) if whole and 1 / whole == scale else 0.0


class Parts:
    """The fields of a device or of one component kind. Numbers at the top of the object go the short way."""

    def __init__(self, fields: Iterable[Field]) -> None:
        parts = [Part(field) for field in fields]
        self.direct = [(part.name, part.keys[0], part) for part in parts if _is_direct(part)]
        self.others = [part for part in parts if not _is_direct(part)]

    def values(self, entry: dict[str, Any], faults: list[Fault], prefix: str) -> dict[str, float]:
        values: dict[str, float] = {}
        get = entry.get
        for name, key, part in self.direct:
            raw = get(key)
            if type(raw) is float:  # both parsers give finite floats only
                values[name] = raw
            elif type(raw) is int and -EXACT < raw < EXACT:
                values[name] = float(raw)
            elif raw is not None or part.field.required:
                _take(values, part, raw, faults, prefix)
        for part in self.others:
            raw = get(part.keys[0]) if len(part.keys) == 1 else at_path(entry, part.keys)
            if raw is not None or part.field.required:
                _take(values, part, raw, faults, prefix)
        return values


def _is_direct(part: Part) -> bool:
    return part.plain and len(part.keys) == 1


def _take(values: dict[str, float], part: Part, raw: Any, faults: list[Fault], prefix: str) -> None:
    try:
        values[part.name] = part.convert(raw)
    except PayloadError as error:
        faults.append(Fault(error.code, prefix + error.field, error.reason))


def entries(
    root: dict[str, Any], components: Components, faults: list[Fault]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(component name, its JSON object) of each part; one that is none of ours becomes a fault."""
    found = at_path(root, keys(components.path))
    if found is None:
        return
    if type(found) is not list:
        faults.append(Fault(Refusal.TYPE, components.path, f"found {short(found)}, expected a list"))
        return
    seen = set()
    for entry in found:
        if len(faults) >= FAULTS_MAX:
            return
        number = entry.get(components.number) if type(entry) is dict else None
        if type(number) is not int or not 1 <= number <= components.count or number in seen:
            reason = f"found {short(number)}, expected each of 1..{components.count} once"
            faults.append(Fault(Refusal.COMPONENT, f"{components.path}.{components.number}", reason))
            continue
        seen.add(number)
        yield f"{components.kind}-{number}", entry


def nothing(faults: list[Fault]) -> NoReturn:
    """No reading came of it: the first flaw is why."""
    first = faults[0] if faults else Fault(Refusal.EMPTY, "", "nothing this model maps")
    raise PayloadError(first.code, first.field, first.reason)


def keys(path: str) -> tuple[str, ...]:
    """A dotted path as keys; "" has none."""
    return tuple(path.split(".")) if path else ()


def at_path(root: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path, or None."""
    for key in path:
        if type(root) is not dict:
            return None
        root = root.get(key)
    return root


def check_identity(claimed: Any, device: Device, message: Message) -> None:
    """A device speaks only for itself: what it calls itself must be its id or stand in its topic."""
    if claimed is None or claimed == device.id:
        return
    if str(claimed) not in message.topic.split("/"):
        raise PayloadError(Refusal.IDENTITY, reason=f"claims to be {short(claimed)}")


def instant_ns(raw: Any, unit: str) -> int | None:
    """UTC nanoseconds of a device's instant; None when it sent none, or none that can be read.

    A zero is a clock that was never set. A text without a zone is not read: it may be eight hours off, and
    arrival is the better guess.
    """
    scale = TIME_UNITS.get(unit)
    if scale and type(raw) is int and 0 < raw <= LATEST[unit]:
        return raw * scale
    if scale and type(raw) in (int, float):
        return (int(raw * scale) or None) if 0 <= raw <= LATEST[unit] else None
    if scale or type(raw) is not str:
        return None
    try:
        found = datetime.fromisoformat(raw)
        if found.tzinfo is None:
            return None
        past = found - EPOCH
        since = ((past.days * 86400 + past.seconds) * 1_000_000 + past.microseconds) * 1000
        return since if 0 < since <= NS_MAX else None  # the year 3026 is beyond what is stored
    except (ValueError, OverflowError):
        return None


def as_text(raw: Any) -> str:
    return "" if raw is None else str(raw)[:64]


def short(raw: Any) -> str:
    """A found value as an error shows it: never long, never with control characters."""
    try:
        return ascii(raw)[:60]
    except ValueError:  # an integer of thousands of digits
        return "a very long integer"
