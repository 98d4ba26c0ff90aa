"""What the codecs of binary frames share: blocks of bytes, and the fields that a model finds in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from gateway.core.codecs.bits import Read, reader, width
from gateway.core.codecs.chirpstack import Envelope, Values
from gateway.core.codecs.formula import Formula
from gateway.core.codecs.json import Head, Part, nothing, short
from gateway.core.model import SECOND, Device, Fault, Field, Message, Model, PayloadError, Reading, Refusal

FRAME_MAX = 1024  # bytes: LoRaWAN carries 242, NB-IoT a little more; a decoder's work is bounded by it

Open = Callable[[Device, Message, int], tuple[bytes, Head, Values]]
_instant = reader("uint32le")


def opener(model: Model) -> Open:
    """How the model's payloads give their frame."""
    return Envelope(model).frame if model.codec.envelope else _bare


def _bare(device: Device, message: Message, received_ns: int) -> tuple[bytes, Head, Values]:
    return message.payload, (received_ns, received_ns, "", False), {}


class Frame:
    """What every message of one model begins and ends with."""

    def __init__(self, model: Model) -> None:
        self._unwrap = opener(model)
        self.starts, self.head = bytes.fromhex(model.codec.starts), model.codec.head
        self.blocks = {name: Block(model, name, index) for index, name in enumerate(model.codec.blocks)}
        self._required = [field.quantity for field in model.fields if field.required]
        self._unless = [(field.quantity, field.unless) for field in model.fields if field.unless]

    def opened(self, device: Device, message: Message, received_ns: int) -> tuple[bytes, Head, Values]:
        """Its bytes, long enough for the head and begun as this model's begin. Raises PayloadError."""
        frame, head, heard = self._unwrap(device, message, received_ns)
        if len(frame) > FRAME_MAX:
            raise PayloadError(Refusal.OVERSIZE, reason=f"a frame of {len(frame)} bytes, at most {FRAME_MAX}")
        if not frame.startswith(self.starts):
            begun = frame[: len(self.starts)].hex()
            raise PayloadError(Refusal.SYNTAX, reason=f"begins with {begun}, expected {self.starts.hex()}")
        if len(frame) < self.head:
            raise PayloadError(
                Refusal.SYNTAX, reason=f"truncated: {len(frame)} bytes, the head has {self.head}"
            )
        return frame, head, heard

    def readings(
        self,
        device: Device,
        values: Values,
        old: list[Reading],
        head: Head,
        heard: Values,
        faults: list[Fault],
    ) -> list[Reading]:
        """The device's reading behind those of its history. Raises PayloadError when there is none."""
        for name, state in self._unless:
            if values.get(state):
                values.pop(name, None)
        for name in self._required:
            if name not in values and not old:
                faults.append(Fault(Refusal.MISSING, name, "required"))
        if values:
            values |= heard
            old.append(Reading(device.id, "", values, *head))
        return old or nothing(faults)


class Block:
    """A stretch of bytes and what stands in it. `clock`: of history, the byte of its instant."""

    def __init__(self, model: Model, name: str, index: int) -> None:
        self.name, self.bit, self.bytes = name, 1 << index, model.codec.blocks[name]
        self.clock = model.codec.history.get(name)
        pieces = [_Piece(field) for field in model.fields if field.block == name]
        self._plain = [(piece.name, piece.at, piece.plain) for piece in pieces if piece.plain]
        self._others = [piece for piece in pieces if not piece.plain]

    def read(
        self, frame: bytes, start: int, values: dict[str, float], faults: list[Fault], device: Device
    ) -> None:
        """Adds what the block at `start` says; the caller sees to it that the block is whole."""
        for name, at, plain in self._plain:
            values[name] = plain(frame, start + at)
        for piece in self._others:
            try:
                value = piece.value(frame, start, device.constants)
            except PayloadError as error:
                faults.append(Fault(error.code, piece.name, error.reason))
                continue
            if value is not None:
                values[piece.name] = value

    def old(self, frame: bytes, start: int, faults: list[Fault], device: Device, head: Head) -> list[Reading]:
        """What a block of history says of the instant it names."""
        values: dict[str, float] = {}
        self.read(frame, start, values, faults, device)
        measured = int(_instant(frame, start + (self.clock or 0))) * SECOND
        return [Reading(device.id, "", values, measured, head[1], head[2], True, True)] if values else []

    def truncated(self, left: int) -> Fault:
        reason = f"truncated: block {self.name} wants {self.bytes} bytes, {max(left, 0)} left"
        return Fault(Refusal.SYNTAX, self.name, reason)


class _Piece:
    """One field, ready to be read out of its block."""

    def __init__(self, field: Field) -> None:
        self.name, self.at, self.invalid = field.quantity, field.at, dict(field.invalid)
        self.required = field.required
        self._part = Part(field)
        self._read = reader(field.type, field.bits) if field.type else None
        self._formula = Formula(field.formula) if field.formula else None
        self.plain = self._plainly(field)

    def _plainly(self, field: Field) -> Read | None:
        """The whole of it as one function, where no value of these bytes can be refused."""
        if self._read is None or self._formula or self.invalid or self._part.words or not width(field.type):
            return None
        read, divisor = self._read, self._part.divisor
        if divisor and not self._part.offset:
            return lambda frame, at: read(frame, at) / divisor
        canonical = self._part.canonical
        return lambda frame, at: canonical(read(frame, at))

    def value(self, frame: bytes, start: int, constants: Mapping[str, float]) -> float | None:
        """In our unit; None when a constant of the device is wanting. Raises PayloadError."""
        raw = self._read(frame, start + self.at) if self._read else 0.0
        if raw in self.invalid:
            raise PayloadError(Refusal.MISSING, self.name, f"{raw:g}: {short(self.invalid[int(raw)])}")
        if self._part.words or self._formula is None:
            return self._part.convert(raw)
        return self._calculated(frame, start, {"raw": raw, **constants})

    def _calculated(self, frame: bytes, start: int, names: Mapping[str, float]) -> float | None:
        assert self._formula is not None
        if not self._formula.names <= names.keys():
            if self.required:
                raise PayloadError(Refusal.MISSING, self.name, "the device's constants")
            return None
        try:
            value = self._part.canonical(self._formula(frame, start, names))
        except ArithmeticError:
            value = math.inf
        if not math.isfinite(value):
            raise PayloadError(Refusal.NOT_FINITE, self.name, "no number a double can hold")
        return value


def unknown(tag: Iterable[int], at: int) -> Fault:
    return Fault(Refusal.SYNTAX, bytes(tag).hex(), f"the unknown channel {bytes(tag).hex()} at byte {at}")
