"""Values to the bytes of a frame: the inverse of the codecs tlv and struct, driven by the same model."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.codecs.bits import TYPES, picked
from gateway.core.codecs.formula import Formula
from gateway.core.model import Device, Field, Model
from simulators.numbers import raw


def frame(model: Model, device: Device, values: Mapping[str, float]) -> bytes:
    """One frame that says every value that can be said; what two blocks could say stands in the first."""
    head = bytes.fromhex(model.codec.starts).ljust(model.codec.head, b"\0")
    body, flags, left = b"", 0, dict(values)
    for index, (name, length) in enumerate(model.codec.blocks.items()):
        fields = [field for field in _sayable(model) if field.block == name and field.quantity in left]
        if fields and name not in model.codec.history:
            tag = bytes.fromhex(name) if model.codec.kind == "tlv" else b""
            body += tag + _block(fields, length, device, {f.quantity: left.pop(f.quantity) for f in fields})
            flags |= 1 << index
    if model.codec.flags_at is not None:
        at = model.codec.flags_at
        head = head[:at] + flags.to_bytes(2, "big") + head[at + 2 :]
    return head + body


def sayable(model: Model) -> set[str]:
    """The quantities that a frame of this model, or its envelope, can be made to say."""
    return {field.quantity for field in [*_sayable(model), *(one for one in model.fields if one.radio)]}


def _sayable(model: Model) -> list[Field]:
    """All but those whose formula reads other bytes than its own, or bytes that another field says."""
    inside = [field for field in model.fields if field.block]
    plain = {(field.block, field.at) for field in inside if not field.formula}
    return [
        field
        for field in inside
        if not field.formula or not (Formula(field.formula).reads or (field.block, field.at) in plain)
    ]


def _block(fields: list[Field], length: int, device: Device, values: Mapping[str, float]) -> bytes:
    """Fields of the same bytes are laid over each other, a number without bits first."""
    block = bytearray(length)
    for field in sorted(fields, key=lambda one: bool(one.bits)):
        number = _number(field, device, values[field.quantity])
        size, order = TYPES[field.type], "big" if field.type.endswith("be") else "little"
        low, high = picked(field.bits) if field.bits else (0, 8 * size - 1)
        mask = ((1 << (high - low + 1)) - 1) << low
        held = int.from_bytes(block[field.at : field.at + size], order)  # type: ignore[arg-type]
        held = held & ~mask | number << low & mask
        block[field.at : field.at + size] = held.to_bytes(size, order)  # type: ignore[arg-type]
    return bytes(block)


def _number(field: Field, device: Device, value: float) -> int:
    if not field.formula:
        return round(float(raw(field, value)))
    formula = Formula(field.formula)
    zero, one = (formula(b"", 0, {"raw": at, **device.constants}) for at in (0.0, 1.0))
    return round(
        (float(raw(field, value)) - zero) / (one - zero)
    )  # straight lines only, which a test sees to
