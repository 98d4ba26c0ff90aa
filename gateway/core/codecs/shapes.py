"""JSON objects whose fields a model maps to quantities.

One way to readings, three parsers before it, each handing what it cannot vouch for to the next: typed
structures made for the very form that this model's devices send (`_Shape`, 1 us a message), msgspec's plain
objects, and at last a slow strict parser that gives each flaw its code (core.codecs.json). A flaw in one
part becomes a fault and the sound parts are still used: a text in slot 3 must not hide the smoke.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import msgspec

from gateway.core.codecs.json import (
    BYTES_MAX,
    Head,
    Parts,
    as_text,
    at_path,
    check_identity,
    entries,
    instant_ns,
    keys,
    nothing,
    parse,
)
from gateway.core.model import Components, Device, Fault, Message, Model, PayloadError, Reading

FORM_DEPTH = 4  # deeper than that nothing is learnt
SHAPES_MOST = 16  # forms remembered for a model; a device that varies them endlessly gains nothing


class JsonDecoder:
    """The decoder of one model."""

    def __init__(self, model: Model) -> None:
        self.own = Parts(field for field in model.fields if not field.of)
        self.components = [
            (part, Parts(field for field in model.fields if field.of == part.kind))
            for part in model.components
        ]
        self.identity, self.time_unit = keys(model.codec.identity), model.codec.time_unit
        self.time, self.sequence = keys(model.codec.time), keys(model.codec.sequence)
        self._shape: _Shape | None = None
        self._shapes: dict[Form, _Shape | None] = {}

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        if self._shape is not None:
            readings = self._shape.read(device, message, received_ns)
            if readings is not None:
                return readings
        faults = [] if faults is None else faults
        root = parse(message.payload)
        self._learn(root)
        if self.identity:
            check_identity(at_path(root, self.identity), device, message)
        measured = instant_ns(at_path(root, self.time), self.time_unit) if self.time else None
        sequence = as_text(at_path(root, self.sequence)) if self.sequence else ""
        return self.readings(
            device, root, (measured or received_ns, received_ns, sequence, measured is not None), faults
        )

    def readings(
        self, device: Device, root: dict[str, Any], head: Head, faults: list[Fault]
    ) -> list[Reading]:
        """What an object says, for a caller who knows when it was said and by whom."""
        readings = []
        if values := self.own.values(root, faults, ""):
            readings.append(Reading(device.id, "", values, *head))
        for components, parts in self.components:
            for name, entry in entries(root, components, faults):
                if values := parts.values(entry, faults, f"{name}."):
                    readings.append(Reading(device.id, name, values, *head))
        return readings or nothing(faults)

    def _learn(self, root: dict[str, Any]) -> None:
        """Remembers how this model's devices speak: most say the same keys every time."""
        form = form_of(root)
        if form not in self._shapes and len(self._shapes) < SHAPES_MOST:
            self._shapes[form] = _shape_for(self, form)
        self._shape = self._shapes.get(form)


# ---------------------------------------------------------------- bytes to values at once


Form = tuple[tuple[str, Any], ...]  # of an object: its keys, each with the form of what stands there
SCALAR = int | float | str | bool
WHERE = "f{}".format  # what the keys of a shape are called, by their place


def form_of(value: Any, depth: int = 0) -> Any:
    """Of an object its keys; of a list the form of its first object; None of anything else."""
    if type(value) is list:
        first = value[0] if value else None
        return ("", form_of(first, depth + 1)) if type(first) is dict and depth < FORM_DEPTH else ("", None)
    if type(value) is not dict or depth >= FORM_DEPTH:
        return None
    return tuple((key, form_of(item, depth + 1)) for key, item in value.items())


class _NoShape(Exception):
    """What the other parsers must read."""


class _Shape:
    """Typed structures for one form: what decodes has every key, the right types, and no other key.

    With as many commas as such an object has, no key stands twice either. None from `read` says no more
    than that the other parsers must look.
    """

    def __init__(self, owner: JsonDecoder, form: Form) -> None:
        special = [path for path in (owner.time, owner.sequence, owner.identity) if path]
        self._types: dict[tuple[str, ...], Any] = dict.fromkeys(special, int | float | str)
        self._own = _Taking(owner.own, form, self._types)
        self._lists = [_Listed(part, parts, form, self._types) for part, parts in owner.components]
        if not (self._own.wanted or self._lists):
            raise _NoShape
        self.commas = 0
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(self._made(form, ())).decode
        self._time, self._sequence, self._identity = (
            attrgetter(_place(form, path)) if path else None
            for path in (owner.time, owner.sequence, owner.identity)
        )
        self._unit = owner.time_unit

    def _made(self, form: Form, path: tuple[str, ...]) -> type:
        """The structure of an object, and of those in it. A stranger's list or object has any commas."""
        types = [
            (WHERE(place), self._type(form, (*path, form[place][0]), place)) for place in range(len(form))
        ]
        self.commas += max(len(form) - 1, 0)
        names = {WHERE(place): key for place, (key, _) in enumerate(form)}
        return msgspec.defstruct("Shape", types, rename=names, forbid_unknown_fields=True, gc=False)

    def _type(self, form: Form, path: tuple[str, ...], place: int) -> Any:
        within = form[place][1]
        if any(path == listed.path for listed in self._lists):
            return self._types[path]
        if within is None:
            return self._types.get(path, msgspec.Raw)
        if path in self._types or within[:1] == ("",):  # an object for a value; a list that is none of ours
            raise _NoShape
        return self._made(within, path)

    def read(self, device: Device, message: Message, received_ns: int) -> list[Reading] | None:
        payload = message.payload
        try:
            found = self._decode(payload)
            payload.isascii() or payload.decode()  # it does not look into texts that we do not map
            commas = self.commas
            for listed in self._lists:
                commas += listed.commas(found)
            if payload.count(b",") != commas or len(payload) > BYTES_MAX:
                return None
            head = self._head(device, message, received_ns, found)
            readings = [Reading(device.id, "", self._own.values(found), *head)] if self._own.wanted else []
            for listed in self._lists:
                readings += listed.readings(found, device.id, head)
            return readings
        except (msgspec.MsgspecError, RecursionError, UnicodeError, _NoShape):
            return None

    def _head(self, device: Device, message: Message, received_ns: int, found: Any) -> Head:
        if self._identity and (claimed := self._identity(found)) != device.id:
            check_identity(claimed, device, message)
        measured = instant_ns(self._time(found), self._unit) if self._time else None
        sequence = str(self._sequence(found))[:64] if self._sequence else ""
        if measured is None:
            return received_ns, received_ns, sequence, False
        return measured, received_ns, sequence, True


class _Taking:
    """The fields of an object, taken out of its structure."""

    def __init__(self, parts: Parts, form: Form, types: dict[tuple[str, ...], Any]) -> None:
        direct, others = [part for _, _, part in parts.direct], parts.others
        self._parts = [part for part in (*direct, *others) if _is_in(form, part.keys)]
        if any(part.field.required and part not in self._parts for part in (*direct, *others)):
            raise _NoShape
        if len({part.name for part in self._parts}) < len(self._parts):
            raise _NoShape
        for part in self._parts:
            if part.keys in types:
                raise _NoShape
            types[part.keys] = float if part in direct else SCALAR
        self.wanted = bool(self._parts)
        plain = [part for part in self._parts if part in direct]
        self._names = [part.name for part in plain]
        places = [_place(form, part.keys) for part in plain]
        self._values: Callable[[Any], Any] = attrgetter(*places, *places[:1]) if places else lambda found: ()
        self._others = [(part, attrgetter(_place(form, part.keys))) for part in self._parts if part in others]

    def values(self, found: Any) -> dict[str, float]:
        """In the order in which the other parsers find them. Raises _NoShape for a flaw."""
        values = dict(zip(self._names, self._values(found), strict=False))  # one more than names: never one
        try:
            for part, place in self._others:
                values[part.name] = part.convert(place(found))
        except PayloadError:
            raise _NoShape from None
        return values


class _Listed:
    """The components of one kind: a list of objects of one form."""

    def __init__(self, part: Components, parts: Parts, form: Form, types: dict[tuple[str, ...], Any]) -> None:
        self.path, self._kind, self._most = keys(part.path), part.kind, part.count
        within = _at(form, self.path)
        if self.path in types or within is None or within[:1] != ("",) or within[1] is None:
            raise _NoShape
        own: dict[tuple[str, ...], Any] = {(part.number,): int}
        self._taking = _Taking(parts, within[1], own)
        entry, kinds = within[1], []
        for place, (key, inner) in enumerate(entry):
            if inner is not None:
                raise _NoShape
            kinds.append((WHERE(place), own.get((key,), msgspec.Raw)))
        names = {WHERE(place): key for place, (key, _) in enumerate(entry)}
        made: Any = msgspec.defstruct("Entry", kinds, rename=names, forbid_unknown_fields=True)
        types[self.path] = list[made]
        self._commas = len(entry)
        self._list, self._number = (
            attrgetter(_place(form, self.path)),
            attrgetter(_place(entry, (part.number,))),
        )

    def commas(self, found: Any) -> int:
        """Within its objects, and between them."""
        return max(len(self._list(found)) * self._commas - 1, 0)

    def readings(self, found: Any, device: str, head: Head) -> Iterator[Reading]:
        seen = set()
        for entry in self._list(found):
            number = self._number(entry)
            if not 1 <= number <= self._most or number in seen:
                raise _NoShape
            seen.add(number)
            yield Reading(device, f"{self._kind}-{number}", self._taking.values(entry), *head)


def _at(form: Any, path: tuple[str, ...]) -> Any:
    """The form of what stands at a path. Raises _NoShape where nothing does."""
    for key in path:
        if form is None or form[:1] == ("",):
            raise _NoShape
        form = next((within for name, within in form if name == key), _NoShape)
        if form is _NoShape:
            raise _NoShape
    return form


def _is_in(form: Any, path: tuple[str, ...]) -> bool:
    try:
        _at(form, path)
    except _NoShape:
        return False
    return True


def _place(form: Any, path: tuple[str, ...]) -> str:
    """What attrgetter calls it. Raises _NoShape where nothing stands."""
    places = []
    for key in path:
        _at(form, (key,))
        place = next(number for number, (name, _) in enumerate(form) if name == key)
        places.append(WHERE(place))
        form = form[place][1]
    return ".".join(places)


def _shape_for(owner: JsonDecoder, form: Form) -> _Shape | None:
    """The shape of this form, if all that we map stands in it, each in a place of its own."""
    try:
        return _Shape(owner, form)
    except _NoShape:
        return None
