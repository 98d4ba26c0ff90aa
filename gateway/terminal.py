"""What the commands share: which files, which language, tables on a terminal, the gateway that runs."""

from __future__ import annotations

import sqlite3
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gateway import reports
from gateway.problems import ConfigError, locale_of

DEFAULT_CONFIG = Path("/etc/lilong/lilong.yaml")


class Ordered(click.Group):
    """Lists its commands as they stand in their file: the day's work first, practice last."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        zh = "用 --config 文件 或环境变量 LILONG_CONFIG 指定您的 lilong.yaml"
        en = "name your lilong.yaml with --config FILE or in LILONG_CONFIG"
        sys.exit(f"lilong: {path}: {error.strerror}; {say(zh, en)}")
    return path


config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True,
    envvar="LILONG_CONFIG", show_envvar=True, metavar="FILE", help="lilong.yaml",
    callback=lambda ctx, param, path: readable(path),
)  # fmt: skip


def say(zh: str, en: str) -> str:
    return zh if locale_of() == "zh" else en


def print_problems(problems: Iterable[Exception]) -> None:
    """One a line, with its code where it has one."""
    for problem in problems:
        click.echo(reports.line_of(problem) if isinstance(problem, ConfigError) else problem, err=True)


def load_files(path: Path) -> Any:
    from gateway.config import load

    loaded = load(path, locale_of())
    if loaded.config is None or loaded.world is None:
        print_problems(loaded.problems)
        sys.exit(1)
    return loaded


def load_world(path: Path) -> Any:
    return load_files(path).world


def ask_gateway(path: Path, do: str, **arguments: Any) -> list[str]:
    from gateway.control import SOCKET, ControlError, ask

    try:
        return ask(state_of(path) / SOCKET, do, **arguments)
    except ControlError as error:
        sys.exit(f"lilong: {error}")


def hand_over(path: Path, written: Iterable[Path], put_back: Callable[[], None]) -> None:
    """The running gateway takes what was written, or the files become what they were and the command ends."""
    from gateway.control import SOCKET, ControlError, ask

    for file in written:
        click.echo(say(f"已写入 {file}", f"written: {file}"))
    try:
        refused = ask(state_of(path) / SOCKET, "reload")
    except (ControlError, OSError):
        zh = "网关没有运行：下次启动时生效"
        click.echo(say(zh, "no gateway is running: it takes effect at the next start"))
        return
    if refused:
        put_back()
        print_problems(map(Exception, refused))
        sys.exit("lilong: " + say("网关拒绝，文件已恢复原样", "the gateway refused; the files are as before"))
    click.echo(say("网关已加载", "the gateway has taken it"))


def state_of(path: Path) -> Path:
    """Where the store is; read without judging the rest, so that a mistake elsewhere is no obstacle."""
    from gateway.config import state_directory

    return state_directory(path)


def open_store(path: Path) -> sqlite3.Connection:
    """The records, read-only; the gateway may run meanwhile."""
    from gateway.adapters.store import open_reader

    file = state_of(path) / "lilong.db"
    try:
        db = open_reader(file)
        db.execute("SELECT 1 FROM meta").fetchone()
        return db
    except sqlite3.DatabaseError as error:
        hint = f"{error}" if file.exists() else "nothing there yet; lilong run makes it"
        sys.exit(f"lilong: {file}: {hint}")


def now_of(db: sqlite3.Connection) -> int:
    """What time it is for the cases of a store: never before its newest line, whose clock may be another one
    (the demo's night, or one that has been set back since).
    """
    newest = db.execute("SELECT wall_ns FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    return max(time.time_ns(), newest[0] if newest else 0)


def judging_world(db: sqlite3.Connection) -> Any:
    """The World by which the gateway judges, for names; one without any while it has kept none."""
    import msgspec

    from gateway.adapters.store import WORLD
    from gateway.core.model import World

    row = db.execute("SELECT value FROM meta WHERE key = ?", (WORLD,)).fetchone()
    try:
        return msgspec.msgpack.decode(row["value"] if row else b"", type=World)
    except msgspec.MsgspecError:  # none yet, or of another version's making
        return World(models={}, rules=(), places={}, units={}, persons={}, posts=(), ladders={}, devices={})


def print_table(rows: Sequence[Sequence[str]]) -> None:
    for line in table_lines(rows):
        click.echo(line)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they must be; a Chinese character takes two places on a terminal."""
    rows = [[legible(cell) for cell in row] for row in rows]
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def legible(text: str) -> str:
    """What a device wrote must not draw on the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def local_time(wall_ns: int, zone: str) -> str:
    from gateway.core.calendars import local

    return local(wall_ns, zone).strftime("%Y-%m-%d %H:%M:%S")


def instant(when: str, timezone: str, option: str = "--at") -> int:
    """Nanoseconds of a local time such as 2026-11-22T14:05; of now when `option` was left out."""
    from gateway.core.calendars import zone

    if not when:
        return time.time_ns()
    try:
        found = datetime.fromisoformat(when)
    except ValueError:
        sys.exit(f"lilong: {option} {when}: {say('须为', 'expected')} 2026-11-22T14:05")
    found = found if found.tzinfo else found.replace(tzinfo=zone(timezone))
    return int(found.timestamp() * 1000) * 1_000_000
