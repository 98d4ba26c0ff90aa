"""A canonical value as a device writes it."""

from __future__ import annotations

from typing import Any

from gateway.core.model import Field
from gateway.core.units import QUANTITIES, conversion

DIGITS = 9  # of a raw number after scale and offset were taken back: hides 1e-17, keeps 0.001 mrad


def raw(field: Field, value: float) -> Any:
    """A canonical value as the device writes it: its resolution, its unit, its scale, its word."""
    quantity = QUANTITIES[field.quantity]
    value = round(round(value / quantity.resolution) * quantity.resolution, DIGITS)
    scale, offset = conversion(field.unit, quantity)
    number = round(((value - offset) / scale - field.offset) / field.scale, DIGITS)
    for word, worth in field.values.items():
        if worth == number:
            return {"true": True, "false": False}.get(word, word)
    return int(number) if number == int(number) else number
