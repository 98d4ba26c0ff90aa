"""The command line: one thin function a command. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gateway import __version__
from gateway.problems import locale_of

DEFAULT_CONFIG = Path("/etc/lilong/lilong.yaml")
config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True,
    envvar="LILONG_CONFIG", help="lilong.yaml",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lilong")
def main() -> None:
    """里弄 Lilong: sensor gateway and alerting daemon for the safety of neighbourhoods."""


@main.command()
@config_option
@click.option("--anchor", default="", hidden=True, help="MONOTONIC_NS:WALL_NS:SPEED, for simulated time")
def run(path: Path, anchor: str) -> None:
    """Run the gateway until SIGTERM; SIGHUP loads the files again. 运行网关"""
    from gateway.adapters.clock import Anchor
    from gateway.adapters.store import StoreBusy
    from gateway.app import App, ConfigurationRefused

    try:
        app = App(path, locale_of(), Anchor.parse(anchor) if anchor else None)
    except ConfigurationRefused as refused:
        _print_problems(refused.problems)
        sys.exit(1)
    except (StoreBusy, OSError, ValueError) as error:
        sys.exit(f"lilong: {error}")
    app.run()


@main.command()
@config_option
def check(path: Path) -> None:
    """Say every mistake in the files, with file and line; exit 1 if there is one. 检查配置"""
    from gateway.config import load, unreadable_files

    loaded = load(path, locale_of())
    _print_problems(loaded.problems)
    if loaded.config is None or loaded.world is None:
        sys.exit(1)
    for secret in unreadable_files(loaded.config):
        click.echo(_say(f"提醒: 密钥文件不可读 {secret}", f"note: secret file not readable: {secret}"))
    world = loaded.world
    counts = f"{len(world.models)} models, {len(world.rules)} rules, {len(world.places)} places, "
    click.echo(f"ok: {counts}{len(world.persons)} persons, {len(world.devices)} devices")


@main.command()
@config_option
def doctor(path: Path) -> None:
    """Look at broker, database, clock, disk and permissions; exit 1 if something is wrong. 体检"""
    from gateway.config import load
    from gateway.doctor import diagnose

    locale = locale_of()
    loaded = load(path, locale)
    findings = diagnose(loaded.config, loaded.problems, locale)
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.detail}")
        if finding.hint and not finding.ok:
            click.echo(f"     → {finding.hint}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.command()
@config_option
def reload(path: Path) -> None:
    """Have the running gateway take the files as they are now; mistakes change nothing. 重新加载"""
    said = _ask(path, "reload")
    for line in said:
        click.echo(line, err=True)
    click.echo(_say("配置未更改", "nothing was changed") if said else "ok")
    sys.exit(1 if said else 0)


@main.command()
@click.argument("packs", nargs=-1, type=click.Path(exists=True, path_type=Path))
@config_option
def test(packs: tuple[Path, ...], path: Path) -> None:
    """Run the scenarios of rule packs (default: all that lilong.yaml names). 运行规则场景"""
    from gateway.tuning.scenarios import missed
    from gateway.tuning.scenarios import run as play

    world = _world(path)
    rules = {rule.id: rule for rule in world.rules}
    wanted = [s for s in world.scenarios if not packs or _within(Path(s.origin.file), packs)]
    failed = 0
    for scenario in wanted:
        reason = missed(scenario, play(scenario, rules[scenario.rule]))
        failed += bool(reason)
        click.echo(f"{'FAIL' if reason else 'ok  '} {scenario.rule}: {scenario.name} {reason}".rstrip())
    click.echo(f"{len(wanted) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not wanted else 0)


@main.command()
@click.argument("model")
@click.argument("payload")
@config_option
def decode(model: str, payload: str, path: Path) -> None:
    """Show what a payload means by a device model. 解码一条消息"""
    from gateway.core.codecs import CODECS
    from gateway.core.model import Device, Fault, Message, PayloadError

    known = _world(path).models
    if model not in known:
        sys.exit(f"lilong: no model {model}; known: {', '.join(sorted(known))}")
    faults: list[Fault] = []
    device = Device(id="device", model=model, at="", topic="")
    try:
        message = Message("", payload.encode("utf-8", "surrogateescape"))
        readings = CODECS[known[model].codec.kind](known[model])(device, message, 0, faults)
    except PayloadError as error:
        sys.exit(f"refused: {error}")
    for reading in readings:
        click.echo(
            f"{reading.component or 'device'}: " + ", ".join(f"{k}={v:g}" for k, v in reading.values.items())
        )
    for fault in faults:
        click.echo(f"refused: {fault.code}: {fault.field}: {fault.reason}")
    sys.exit(1 if faults else 0)


# ---------------------------------------------------------------- what is in the store


@main.command()
@config_option
@click.option("--all", "everything", is_flag=True, help="closed ones too")
def cases(path: Path, everything: bool) -> None:
    """List open cases: level, stage, what, where, who. 待处理事项"""
    query = "SELECT * FROM cases WHERE open OR ? ORDER BY id DESC LIMIT 200"
    for row in _rows(path, query, everything):
        level = ("", "yellow", "orange", "red")[row["level"]]
        what = f"{row['rule']} {row['device']} {row['component']}".rstrip()
        click.echo(
            f"{_time(row['opened_ns'])} {level:6} {row['stage']:12} {what} {row['place']} {row['person']}"
        )


@main.group()
def quarantine() -> None:
    """Payloads that could not be believed: list, show, replay. 隔离区"""


@quarantine.command("list")
@config_option
@click.option("--code", default="", help="only this refusal code")
def quarantine_list(path: Path, code: str) -> None:
    """Newest first: number, time, code, device, why."""
    query = (
        "SELECT * FROM quarantine WHERE state = 'kept' AND (? = '' OR code = ?) ORDER BY id DESC LIMIT 500"
    )
    for row in _rows(path, query, code, code):
        why = f"{row['field']} {row['reason']}".strip()
        click.echo(
            f"{row['id']:>6} {_time(row['wall_ns'])} {row['code']:14} {row['device'] or row['topic']} {why}"
        )


@quarantine.command("show")
@click.argument("number", type=int)
@config_option
def quarantine_show(number: int, path: Path) -> None:
    """One payload, whole."""
    for row in _rows(path, "SELECT * FROM quarantine WHERE id = ?", number):
        for key in ("id", "state", "code", "device", "topic", "field", "reason", "position"):
            click.echo(f"{key:9} {row[key]}")
        click.echo(f"{'received':9} {_time(row['wall_ns'])}\n{'payload':9} {_printable(row['payload'])}")
        return
    sys.exit(f"lilong: {number} is not in quarantine")


@quarantine.command("replay")
@click.argument("numbers", nargs=-1, type=int)
@config_option
@click.option("--all", "everything", is_flag=True, help="everything that is kept")
def quarantine_replay(numbers: tuple[int, ...], path: Path, everything: bool) -> None:
    """Try kept payloads again after a repair: stored as of when they came, paging nobody."""
    if everything:
        numbers = tuple(row["id"] for row in _rows(path, "SELECT id FROM quarantine WHERE state = 'kept'"))
    still = _ask(path, "replay", ids=numbers)
    for line in still:
        click.echo(line)
    click.echo(f"{len(numbers) - len(still)} taken, {len(still)} still refused")
    sys.exit(1 if still else 0)


# ---------------------------------------------------------------- practice


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """Play a neighbourhood on a broker (see lilong simulate --help). 模拟社区"""
    from simulators.__main__ import main as simulators_main

    sys.exit(simulators_main(list(arguments)))


@main.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="keep everything here")
@click.option("--keep", is_flag=True, help="do not remove the folder at the end")
@click.option("--speed", default=0.0, help="how many times faster than life")
@click.option("--seed", default=1, show_default=True)
@click.option("--port", default=0, help="of the pages")
def demo(directory: Path | None, keep: bool, speed: float, seed: int, port: int) -> None:
    """The whole way on this machine, with an embedded broker and simulated devices. 演示"""
    from gateway import demo as play

    sys.exit(
        play.run_demo(directory, keep=keep, speed=speed or play.SPEED, seed=seed, port=port or play.PORT)
    )


# ---------------------------------------------------------------- helpers


def _say(zh: str, en: str) -> str:
    return zh if locale_of() == "zh" else en


def _print_problems(problems: Iterable[Exception]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)


def _loaded(path: Path) -> Any:
    from gateway.config import load

    loaded = load(path, locale_of())
    if loaded.config is None or loaded.world is None:
        _print_problems(loaded.problems)
        sys.exit(1)
    return loaded


def _world(path: Path) -> Any:
    return _loaded(path).world


def _ask(path: Path, do: str, **arguments: Any) -> list[str]:
    from gateway.control import SOCKET, ControlError, ask

    try:
        return ask(_state(path) / SOCKET, do, **arguments)
    except ControlError as error:
        sys.exit(f"lilong: {error}")


def _state(path: Path) -> Path:
    """Where the store is; read without judging the rest, so that a mistake elsewhere is no obstacle."""
    from gateway.config import state_directory

    return state_directory(path)


def _rows(path: Path, query: str, *values: object) -> list[sqlite3.Row]:
    from gateway.adapters.store import open_reader

    try:
        return open_reader(_state(path) / "lilong.db").execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        sys.exit(f"lilong: {_state(path)}: {error}")


def _within(file: Path, packs: Iterable[Path]) -> bool:
    return any(file.resolve().is_relative_to(pack.resolve()) for pack in packs)


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9).strftime("%Y-%m-%d %H:%M:%S")


def _printable(payload: bytes) -> str:
    return ascii(payload.decode("utf-8", "backslashreplace"))[1:-1]
