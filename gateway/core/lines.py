"""Readings as InfluxDB line protocol and as archive rows: each is formatted once, for both sinks.

The text of a reading's fields (`tilt_x_deg=1.2,tilt_y_deg=0.1,`) is the same in both. Writing floats is most
of the work, and msgspec's JSON encoder does it in half the time of any formatting in Python: so the values of
a whole event are encoded as JSON once and turned into fields by one translation of characters. Everything
about a device that does not change is joined once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeGuard
from zlib import crc32

from msgspec import json, structs

from gateway.core.builtin import DRILL
from gateway.core.model import (
    Alert,
    Case,
    Ended,
    Event,
    Marked,
    Message,
    Messages,
    Notification,
    PayloadError,
    Quality,
    QuarantineRow,
    Reading,
    Refusal,
    Shelf,
    World,
)

SHAPES_MOST = (
    10_000  # sets of quantities remembered; a device that sends a new set each time must not fill memory
)
OWN_TAGS = frozenset({"component", "device", "model", "time"})  # a place kind of that name gets a prefix
ROW_END = ";\n"  # a row without it was cut off while it was written


class Logged(Protocol):
    """What the store gives back of one event (adapters.store.Logged)."""

    first: int
    event: Event
    marks: list[Marked]
    changes: list[Alert | Case | Shelf | Notification | Ended]


@dataclass(frozen=True, slots=True)
class Formatted:
    """One event of the log, ready for every sink. `at[i]` is the log position that line i came from."""

    first: int
    end: int
    lines: bytes  # joined by newlines, none at the end
    at: Sequence[int]
    rows: bytes  # each ends with ROW_END
    unreadable: tuple[QuarantineRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events: what a sink takes in one go."""

    parts: tuple[Formatted, ...]

    @property
    def first(self) -> int:
        return self.parts[0].first

    @property
    def end(self) -> int:
        return self.parts[-1].end

    @property
    def at(self) -> list[int]:
        return [position for part in self.parts for position in part.at]

    def lines(self) -> bytes:
        return b"\n".join(part.lines for part in self.parts if part.lines)

    def rows(self) -> bytes:
        return b"".join(part.rows for part in self.parts)


class RefusedLine(NamedTuple):
    """A line that the server will not have, in the server's own words."""

    position: int
    line: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A sink has the batch for good: what it wants to find again, and what it would not have."""

    state: bytes
    refused: tuple[RefusedLine, ...] = ()


class Head(NamedTuple):
    """The unchanging part of a device's (or component's) line and row."""

    line: str  # scene,committee=…,device=…,model=… with the space before the fields
    row: str  # device, component, scene, model


# ---------------------------------------------------------------- a world's formatter


class Formatter:
    """Formats what one World's devices say. Not for two threads at once."""

    def __init__(self, world: World, decode: Callable[[Message, int], list[Reading]]) -> None:
        self._world, self._decode = world, decode
        self._heads: dict[tuple[str, str], Head] = {}

    def format(self, logged: Logged, readings: Sequence[Sequence[Reading]] = ()) -> Formatted:
        """Never raises for what a message holds: that becomes a QuarantineRow.

        `readings` are those of each message, when somebody has decoded them already.
        """
        event, first = logged.event, logged.first
        kept, unreadable = list[_Kept](), list[QuarantineRow]()
        if type(event) is Messages:
            if readings and not logged.marks:  # by far the most: nothing to decode, nothing to judge
                kept += [(place, "good", one) for place, said in enumerate(readings, first) for one in said]
            else:
                self._read(event, first, _by_index(logged.marks), readings, kept, unreadable)
        kept += [(first, "good", one) for one in _ends(logged.changes, self._world)]
        lines, rows = self._written_safely(kept, event, first, unreadable)
        told = [change for change in logged.changes if _is_point(change)]
        at = [item[0] for item in kept] + [first] * len(told)
        lines += [change_line(change, self._world) for change in told]
        end = first + (len(event.items) if type(event) is Messages else 1)
        body, archived = encoded("\n".join(lines)), encoded("".join(rows))
        return Formatted(first, end, body, array("q", at), archived, tuple(unreadable))

    def _read(
        self,
        event: Messages,
        first: int,
        marks: Mapping[int, Sequence[Marked]],
        readings: Sequence[Sequence[Reading]],
        kept: list[_Kept],
        unreadable: list[QuarantineRow],
    ) -> None:
        """What the log holds, decoded (again, if need be), with what the engine said of it."""
        decode, marked = self._decode, marks.get
        received_ns, position = event.wall_ns, first
        for index, message in enumerate(event.items):
            odd = marked(index)
            if odd is None or not any(mark.component == "*" and not mark.store for mark in odd):
                try:
                    for reading in readings[index] if readings else decode(message, received_ns):
                        good = position, "good", reading
                        kept.append(good if odd is None else _judged(position, reading, odd))
                except Exception as error:  # it must not stop the others, whoever's fault it is
                    unreadable.append(_unreadable(position, message, received_ns, error))
            received_ns += 1
            position += 1
        if marks:
            kept[:] = [item for item in kept if item[2].values]  # nothing was left of a reading

    def _written_safely(
        self, kept: list[_Kept], event: Event, first: int, unreadable: list[QuarantineRow]
    ) -> tuple[list[str], list[str]]:
        """As `_written`; a reading that no sink could hold is taken out of `kept`."""
        try:
            return self._written(kept)
        except Exception:  # one of them: find out which
            lines, rows, whole = list[str](), list[str](), kept[:]
            kept.clear()
        for item in whole:
            try:
                line, row = self._written([item])
            except Exception as error:
                message = event.items[item[0] - first]  # type: ignore[union-attr]
                unreadable.append(_unreadable(item[0], message, item[2].received_ns, error))
            else:
                kept.append(item)
                lines += line
                rows += row
        return lines, rows

    def _written(self, kept: Sequence[_Kept]) -> tuple[list[str], list[str]]:
        """A line and a row of each."""
        lines, rows, heads = [], [], self._heads
        texts = fields_of([item[2].values for item in kept])
        for (position, quality, reading), fields in zip(kept, texts, strict=True):
            device, component, measured_ns = reading.device, reading.component, reading.measured_ns
            line, row = heads.get((device, component)) or self._head(device, component)
            lines.append(f'{line}{fields}quality="{quality}" {measured_ns}')
            rows.append(
                f"{position}\t{reading.received_ns}\t{measured_ns}\t{row}\t{quality}\t{fields}{ROW_END}"
            )
        return lines, rows

    def _head(self, device: str, component: str) -> Head:
        head = make_head(self._world, device, component)
        self._heads[device, component] = head
        return head


def _ends(changes: Sequence[Alert | Case | Shelf | Notification | Ended], world: World) -> list[Reading]:
    """The 0 of each state that ended by itself (and whose device is still ours), as if it had been said."""
    return [
        Reading(one.device, one.component, {one.quantity: 0.0}, one.wall_ns, one.wall_ns)
        for one in changes
        if isinstance(one, Ended) and one.device in world.devices
    ]


_Kept = tuple[int, str, Reading]  # log position, quality, what to write


def _unreadable(position: int, message: Message, wall_ns: int, error: Exception) -> QuarantineRow:
    code, field, reason = Refusal.CRASHED, "", f"{type(error).__name__}: {error}"
    if isinstance(error, PayloadError):
        code, field, reason = error.code, error.field, error.reason
    row = position, code.value, "", message.topic, message.payload, field, reason[:500], wall_ns
    return QuarantineRow(*row)


def _judged(position: int, reading: Reading, marks: Sequence[Marked]) -> _Kept:
    """A reading of which the engine said more than "good"; without values when it said: do not store."""
    quality, measured_ns, values = Quality.GOOD, reading.measured_ns, dict(reading.values)
    for mark in marks:
        if mark.component not in ("*", reading.component):
            continue
        if mark.said_ns not in (None, reading.measured_ns):
            continue  # of another sample in the same message
        if mark.quality is not Quality.GOOD:
            quality = mark.quality
        measured_ns = (reading.received_ns if mark.arrival else measured_ns) + mark.shift_ns
        for name in mark.left_out if mark.store else tuple(values):
            values.pop(name, None)
        values |= mark.derived
    return position, quality.value, structs.replace(reading, measured_ns=measured_ns, values=values)


def _by_index(marks: Sequence[Marked]) -> dict[int, list[Marked]]:
    found: dict[int, list[Marked]] = {}
    for mark in marks:
        found.setdefault(mark.index, []).append(mark)
    return found


# ---------------------------------------------------------------- the parts that are made once


def make_head(world: World, device: str, component: str) -> Head:
    """Raises KeyError for a device that the world does not know."""
    known = world.devices[device]
    scene = world.models[known.model].scene
    tags = place_tags(world, known.at) | {"device": device, "model": known.model, "component": component}
    row = "\t".join(row_text(part) for part in (device, component, scene, known.model))
    return Head(f"{measurement_text(scene)}{tags_text(tags)} ", row)


_encode = json.Encoder().encode
_JSON_TO_FIELDS = bytes.maketrans(b":}", b"=,")  # {"a":1.5,"b":2.0} -> {"a"=1.5,"b"=2.0, -> a=1.5,b=2.0,


def fields_of(values: Sequence[Mapping[str, float]]) -> list[str]:
    """The fields of each reading as text, a comma after each. Names are of core.units: nothing to escape.

    Raises PayloadError when a value is not finite (the decoders let none through).
    """
    if not values:
        return []
    text = _encode(values).translate(_JSON_TO_FIELDS, b'"').decode()
    if "=null," in text:  # what JSON makes of NaN and infinity
        raise PayloadError(Refusal.NOT_FINITE, reason="a value that no database can hold")
    return text[2:-1].split(",{")  # between "[{" and "]"; a reading ends with a comma of its own


def place_tags(world: World, place: str) -> dict[str, str]:
    """The place and all it lies in, the nearest of a kind: {"street": "tangqiao", "committee": "jw3", …}."""
    tags: dict[str, str] = {}
    seen: set[str] = set()
    while place and place in world.places and place not in seen:
        seen.add(place)
        found = world.places[place]
        kind = f"place_{found.kind}" if found.kind in OWN_TAGS else found.kind
        tags.setdefault(kind, found.id)
        place = found.within
    return tags


# ---------------------------------------------------------------- what happened is points too


def _is_point(change: Alert | Case | Shelf | Notification | Ended) -> TypeGuard[Alert | Case | Notification]:
    """A state that is over is a point of its quantity; an alert is one unless its rule leaves that out. A
    shelf is none: the alerts on it are.
    """
    return not isinstance(change, Ended | Shelf) and (not isinstance(change, Alert) or change.point)


def change_line(change: Alert | Case | Notification, world: World) -> str:
    """A point of what happened: no names, numbers or texts of people, only ids."""
    if isinstance(change, Alert):
        return _alert_line(change, world)
    return _case_line(change, world) if isinstance(change, Case) else _notification_line(change)


def _alert_line(alert: Alert, world: World) -> str:
    tags = _subject_tags(world, alert.device, alert.component)
    tags |= {"rule": alert.rule, "level": alert.level.word, "state": alert.state.value}
    tags |= {} if alert.mode == "live" else {"mode": alert.mode}
    fields: dict[str, str | int | float | None] = {
        "id": alert.id,
        "case": alert.case,
        "worst": alert.worst.word,
        "quantity": alert.quantity,
        "value": alert.value,
        "limit": alert.limit,
        "count": alert.count,
        "raised_ns": alert.raised_ns,
    }
    fields |= {"hidden_by": alert.hidden_by} if alert.hidden_by else {}
    name = _measurement("alert", alert.mode == DRILL)
    return f"{name}{tags_text(tags)} {fields_text(fields)} {apart(alert.changed_ns, alert.id)}"


def _case_line(case: Case, world: World) -> str:
    tags = place_tags(world, case.place) | {"device": case.device, "component": case.component}
    tags |= {"rule": case.rule, "level": case.level.word, "stage": case.stage.value}
    fields: dict[str, str | int | float | None] = {
        "id": case.id,
        "alerts": len(case.alerts),
        "responsible": case.responsible,
        "acknowledged_by": case.acknowledged_by,
        "handled_by": case.handled_by,
        "rung": case.rung,
        "opened_ns": case.opened_ns,
    }
    name = _measurement("case", case.drill)
    return f"{name}{tags_text(tags)} {fields_text(fields)} {apart(case.changed_ns, case.id)}"


def _notification_line(told: Notification) -> str:
    tags = {"channel": told.channel, "kind": told.kind.value, "level": told.level.word, "person": told.person}
    tags["state"] = told.state.value
    fields: dict[str, str | int | float | None] = {
        "id": told.id,
        "case": told.case,
        "alert": told.alert,
        "attempt": told.attempt,
    }
    name = _measurement("notification", told.drill)
    return f"{name}{tags_text(tags)} {fields_text(fields)} {apart(told.created_ns, told.id)}"


def _measurement(name: str, drill: bool) -> str:
    """Drills have measurements of their own: no figure of the real ones counts them by mistake."""
    return f"drill_{name}" if drill else name


def _subject_tags(world: World, device: str, component: str) -> dict[str, str]:
    known = world.devices.get(device)
    tags = place_tags(world, known.at) | {"model": known.model} if known else {}
    return tags | {"device": device, "component": component}


def apart(instant_ns: int, key: str) -> int:
    """The instant moved by less than a millisecond, always alike for one key.

    Two alerts that one event raised have the same instant and can have the same tags: InfluxDB would keep
    one of the two points.
    """
    return instant_ns + crc32(key.encode("utf-8", "replace")) % 1_000_000


# ---------------------------------------------------------------- escaping

_TAG = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})
_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ ", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})
_STRING = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": " ", "\r": " ", "\0": ""})
_ROW = str.maketrans({"%": "%25", "\t": "%09", "\n": "%0A", "\r": "%0D", ",": "%2C", "=": "%3D", ";": "%3B"})


def tag_text(value: str) -> str:
    """A tag key or value. Line protocol cannot hold a line break or a final backslash.

    They are written as the two characters \\n (as influxdb-client does) and as \\_: visible, and accepted.
    """
    text = value.translate(_TAG)
    return text + "_" if text.endswith("\\") else text


def measurement_text(name: str) -> str:
    """As a tag, but a leading # would make the whole line a comment: 204, and nothing stored."""
    text = name.translate(_MEASUREMENT)
    text = text + "_" if text.endswith("\\") else text
    return "_" + text if text.startswith("#") else text


def row_text(value: str) -> str:
    """Percent-encoded where a character would end a column or a value of an archive row."""
    return value.translate(_ROW)


def tags_text(tags: Mapping[str, str]) -> str:
    """,key=value of each that is not empty (those are not in the protocol), sorted as servers like it."""
    return "".join(f",{tag_text(key)}={tag_text(tags[key])}" for key in sorted(tags) if tags[key])


def fields_text(fields: Mapping[str, str | int | float | None]) -> str:
    """Texts quoted, ints with i, floats finite; None and empty texts are left out."""
    return ",".join(f"{key}={_value(value)}" for key, value in fields.items() if _writable(value))


def _writable(value: str | int | float | None) -> bool:
    return value not in (None, "") and not (isinstance(value, float) and not math.isfinite(value))


def _value(value: str | int | float | None) -> str:
    if isinstance(value, str):
        return f'"{value.translate(_STRING)}"'
    return f"{value}i" if isinstance(value, int) else str(value)


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate (legal in JSON, no character) becomes a question mark."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
