"""What is shelved, on the command line: how it is named, and the list of it."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.terminal import local_time, say

if TYPE_CHECKING:
    from gateway.core.model import Shelf, World

# Whose ids name what is to be shelved, or is; an older version's store has no shelf.
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('cases', 'alert', 'shelf')"


def shelved_name(db: sqlite3.Connection, name: str) -> str:
    """The whole id of the case, alert or shelf that ends so; else a device, or rule|device|component."""
    tables = [row["name"] for row in db.execute(TABLES).fetchall()]
    found = [row["id"] for table in tables for row in db.execute(_ending_in(table), (name, name))]
    if len(found) > 1:
        sys.exit(f"lilong: more than one such case, alert or shelf: {', '.join(found)}")
    if found:
        return str(found[0])
    return name if name.count("|") != 1 else f"{name}|"


def _ending_in(table: str) -> str:
    return f"SELECT id FROM {table} WHERE substr(id, -length(?)) = ? ORDER BY id DESC LIMIT 2"


def shelf_rows(shelves: Sequence[Shelf], world: World) -> list[list[str]]:
    """Until when, up to which level, what, who answers for it, why, and its id."""
    return [_row(one, world) for one in shelves]


def _row(shelf: Shelf, world: World) -> list[str]:
    asked = "" if shelf.in_force else say("（待另一人同意）", " (a second person must agree)")
    subject = f"{shelf.device} {shelf.component}".strip()
    what = f"{shelf.rule} {subject}" if shelf.rule else f"{say('停用', 'out of service')} {subject}"
    until = local_time(shelf.until_ns, world.timezone)
    return [until, shelf.level.word, what, f"{shelf.person}{asked}", shelf.reason, shelf.id]
