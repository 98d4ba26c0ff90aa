"""Numbers as they lie in a frame: the closed list of types, and what single bits of them mean."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

Read = Callable[[bytes, int], float]  # the frame, the first byte -> an int, or a float for float32

_FORMATS = {
    "uint8": "B", "int8": "b",
    "uint16le": "<H", "int16le": "<h", "uint16be": ">H", "int16be": ">h",
    "uint32le": "<I", "int32le": "<i", "uint32be": ">I", "int32be": ">i",
    "float32le": "<f", "float32be": ">f",
}  # fmt: skip
TYPES = {name: struct.calcsize(form) for name, form in _FORMATS.items()} | {
    "uint24le": 3,
    "int24le": 3,
    "uint24be": 3,
    "int24be": 3,
}  # fmt: skip  name -> bytes


def reader(kind: str, bits: str = "") -> Read:
    """How to read one number of a type of TYPES; of an integer, only some `bits`.

    Bits of a signed type are signed themselves. The caller sees to it that the bytes are there.
    """
    if not bits:
        return _whole(kind)
    read, (low, high) = _whole(f"u{kind.removeprefix('u')}"), picked(bits)
    mask = (1 << (high - low + 1)) - 1
    sign = 0 if kind.startswith("u") else 1 << (high - low)
    return lambda frame, at: (((int(read(frame, at)) >> low) & mask) ^ sign) - sign


def picked(bits: str) -> tuple[int, int]:
    """(lowest, highest) of `0` or `1-15`. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", bits, re.ASCII)
    if not match or int(match[1]) > int(match[2] or match[1]):
        raise ValueError(bits)
    return int(match[1]), int(match[2] or match[1])


def _whole(kind: str) -> Read:
    if kind in _FORMATS:
        unpack = struct.Struct(_FORMATS[kind]).unpack_from
        return lambda frame, at: unpack(frame, at)[0]
    signed, big = not kind.startswith("u"), kind.endswith("be")
    return lambda frame, at: int.from_bytes(frame[at : at + 3], "big" if big else "little", signed=signed)


def width(kind: str) -> int:
    """How many bits an integer type has; 0 for a float, which has none to pick."""
    return 0 if kind.startswith("float") else TYPES[kind] * 8
