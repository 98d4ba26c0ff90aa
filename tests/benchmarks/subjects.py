"""The two that are measured from outside: B (the tutorial) and ours, started the same way."""

from __future__ import annotations

import shlex
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tests.benchmarks import site, wire
from tests.benchmarks.child import Child, helper
from tests.benchmarks.load import Load
from tests.benchmarks.servers import TOKEN
from tests.benchmarks.shipped import Street


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a subject runs: its folder, its broker, its database, and where it tells people."""

    folder: Path
    port: int
    url: str
    bucket: str
    hook: str
    load: Load


class Running(Protocol):
    """A subject at work."""

    child: Child

    def begun(self) -> bool:
        """Whether it has seen its first message."""

    def committed(self) -> int:
        """Messages it has made durable itself; 0 for one that has no such notion."""


class Subject(Protocol):
    name: str
    client_id: str
    level: int  # of MQTT
    loads: type[Load]  # what its devices say
    most: int  # messages that tell its rate: more would only take longer

    def start(self, setting: Setting) -> Running: ...


# ---------------------------------------------------------------- B


class Tutorial:
    name, client_id, level = "B tutorial", "bench-b", wire.V311
    loads, most = Load, 50_000  # slow and steady

    def start(self, setting: Setting) -> Running:
        return TutorialRunning(
            helper(
                "tutorial", setting.folder / "tutorial.log", f"--port={setting.port}",
                f"--client-id={self.client_id}", f"--url={setting.url}", f"--token={TOKEN}",
                f"--bucket={setting.bucket}", f"--hook={setting.hook}",
                f"--streak={3 if setting.load.streak > 1 else 1}",
            )
        )  # fmt: skip


class TutorialRunning:
    def __init__(self, child: Child) -> None:
        self.child = child

    def begun(self) -> bool:
        return bool(self.child.said())

    def committed(self) -> int:
        return 0


# ---------------------------------------------------------------- ours

OURS = "ours"
LILONG = "from gateway.cli import main; main()"  # what the installed command `lilong` is


@dataclass(frozen=True, slots=True)
class Lilong:
    """`command` may be any program of ours; {config} stands for its lilong.yaml. `loads` brings its packs."""

    command: Sequence[str] = (sys.executable, "-c", LILONG, "run", "--config", "{config}")
    name: str = OURS
    client_id: str = "bench-ours"
    level: int = wire.V5
    loads: type[Load] = Load
    most: int = sys.maxsize

    @classmethod
    def of(cls, command: str) -> Lilong:
        return cls(tuple(shlex.split(command))) if command else cls()

    def with_shipped_packs(self) -> Lilong:
        return replace(self, name="shipped packs", loads=Street)

    def start(self, setting: Setting) -> Running:
        config = site.write(setting, self.client_id)
        words = [word.format(config=config) for word in self.command]
        child = Child(words, setting.folder / "lilong.log")
        return LilongRunning(child, Log(setting.folder / "state" / "lilong.db"))


class LilongRunning:
    def __init__(self, child: Child, log: Log) -> None:
        self.child, self._log = child, log

    def begun(self) -> bool:
        return self._log.messages() > 0

    def committed(self) -> int:
        return self._log.messages()


@dataclass(slots=True)
class Log:
    """Counts the messages in the gateway's log, from another process, reading each row once."""

    path: Path
    _next: int = 0
    _count: int = 0
    _db: sqlite3.Connection | None = field(default=None)

    NEW = (
        "SELECT first, count, instr(substr(body, 1, 16), CAST('messages' AS BLOB)) FROM log WHERE first >= ?"
    )

    def messages(self) -> int:
        """How many were committed so far; ticks and the like are not counted."""
        try:
            for first, count, is_messages in self._open().execute(self.NEW, (self._next,)):
                self._next = first + count
                self._count += count if is_messages else 0
        except sqlite3.OperationalError:
            self._db = None  # not created yet, or just being restarted
        return self._count

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)
        return self._db
