"""Lists of id and value, such as the protocols of charging cabinets.

`{"attrList": [{"id": "02103001", "value": "1", "doorId": "3"}, ...]}`: the number of the component stands
beside the id (`number` of the component), or in it (a * of the signal is a digit of the number). These
protocols write numbers as texts as often as not; both are read.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.core.codecs.json import (
    FAULTS_MAX,
    Part,
    as_text,
    at_path,
    check_identity,
    instant_ns,
    keys,
    nothing,
    parse,
    short,
)
from gateway.core.model import (
    Components,
    Device,
    Fault,
    Field,
    Message,
    Model,
    PayloadError,
    Reading,
    Refusal,
)

_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)


class SignalsDecoder:
    """The decoder of one model."""

    def __init__(self, model: Model) -> None:
        codec, kinds = model.codec, {part.kind: part for part in model.components}
        self._list, self._id, self._value = keys(codec.list), codec.id_key, codec.value_key
        self._time, self._unit = keys(codec.time), codec.time_unit
        self._sequence, self._identity = keys(codec.sequence), keys(codec.identity)
        self._beside = tuple({part.number: None for part in model.components if part.number})
        self._plain: dict[tuple[str, bool], _Signal] = {}
        self._starred: list[_Signal] = []
        for field in model.fields:
            signal = _Signal(field, kinds.get(field.of))
            if "*" in field.signal:
                self._starred.append(signal)
            else:
                self._plain[field.signal, bool(field.of)] = signal
        self._required = [field for field in model.fields if field.required and not field.of]

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        faults = [] if faults is None else faults
        root = parse(message.payload)
        if self._identity:
            check_identity(at_path(root, self._identity), device, message)
        measured = instant_ns(at_path(root, self._time), self._unit) if self._time else None
        sequence = as_text(at_path(root, self._sequence)) if self._sequence else ""
        found: dict[str, dict[str, float]] = {"": {}}
        for entry in self._entries(root):
            if len(faults) >= FAULTS_MAX:
                break
            try:
                self._take(entry, found)
            except PayloadError as error:
                faults.append(Fault(error.code, error.field, error.reason))
        faults += [
            Fault(Refusal.MISSING, field.signal, "required")
            for field in self._required
            if field.quantity not in found[""]
        ]
        head = (measured or received_ns, received_ns, sequence, measured is not None)
        readings = [Reading(device.id, part, values, *head) for part, values in found.items() if values]
        return readings or nothing(faults)

    def _entries(self, root: dict[str, Any]) -> list[Any]:
        entries, path = at_path(root, self._list), ".".join(self._list)
        if entries is None:
            raise PayloadError(Refusal.MISSING, path, "no list of signals")
        if type(entries) is not list:
            raise PayloadError(Refusal.TYPE, path, f"found {short(entries)}, expected a list")
        return entries

    def _take(self, entry: Any, found: dict[str, dict[str, float]]) -> None:
        """One signal into the component it speaks of; what the model does not map is passed over."""
        name = entry.get(self._id) if type(entry) is dict else None
        if type(name) is not str:
            raise PayloadError(Refusal.TYPE, self._id, f"found {short(name)}, expected the id of a signal")
        beside = None
        for key in self._beside:
            if beside in (None, ""):
                beside = entry.get(key)
        beside = None if beside == "" else beside
        signal, number = self._plain.get((name, beside is not None)), beside
        if signal is None:
            signal, number = self._star(name)
        if signal is None or (raw := entry.get(self._value)) is None or raw == "":
            return
        values = found.setdefault(signal.component(number), {})
        value = signal.value(raw)
        if values.setdefault(signal.part.name, value) != value:
            del values[signal.part.name]
            raise PayloadError(Refusal.DUPLICATE_KEY, name, "said twice, with different values")

    def _star(self, name: str) -> tuple[_Signal | None, str]:
        for signal in self._starred:
            if number := signal.number_in(name):
                return signal, number
        return None, ""


class _Signal:
    """One field and the signal that carries it."""

    def __init__(self, field: Field, components: Components | None) -> None:
        self.part, self.components = Part(field), components
        self._field = field.signal
        self._names = _names(components) if components else {}
        before, stars, after = re.fullmatch(r"([^*]*)(\**)([^*]*)", field.signal).groups()  # type: ignore[union-attr]
        self._in_id = re.compile(f"{re.escape(before)}(\\d{{{len(stars)}}}){re.escape(after)}", re.ASCII)

    def number_in(self, name: str) -> str:
        match = self._in_id.fullmatch(name[:64])
        return match[1] if match else ""

    def component(self, number: Any) -> str:
        """`slot-3`. Raises PayloadError for slot 9 of 8."""
        if self.components is None:
            return ""
        name = self._names.get(number) if type(number) in (int, str) else None
        if name is None:
            reason = f"found {short(number)}, expected 1..{self.components.count}"
            raise PayloadError(Refusal.COMPONENT, self._field, reason)
        return name

    def value(self, raw: Any) -> float:
        try:
            if type(raw) is str and not self.part.words and _NUMBER.fullmatch(raw):
                return self.part.convert(float(raw))
            return self.part.convert(raw)
        except PayloadError as error:
            raise PayloadError(error.code, self._field, error.reason) from None


def _names(components: Components) -> dict[int | str, str]:
    """A part's number as protocols write it (3, "3", "03", "003") -> `slot-3`."""
    numbers = range(1, components.count + 1)
    names: dict[int | str, str] = {number: f"{components.kind}-{number}" for number in numbers}
    return names | {f"{n:0{width}}": f"{components.kind}-{n}" for n in numbers for width in (1, 2, 3)}
