"""Ids of our own: they sort by time, never repeat, and the same log gives the same ids again."""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32, as in a ULID
LENGTH = 26
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


def make_id(wall_ns: int, identity: str, counter: int) -> str:
    """26 characters: 48 bits of milliseconds, 32 bits of this store, 48 bits of its counter.

    A ULID whose random part is replaced by what is unique by construction, because the core draws no lots.
    """
    number = (wall_ns // 1_000_000 & (1 << 48) - 1) << 80 | int(identity, 16) << 48 | counter & (1 << 48) - 1
    return "".join([PAIRS[number >> shift & 1023] for shift in range(5 * LENGTH - 10, -1, -10)])
