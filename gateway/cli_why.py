"""`lilong why`, `lilong why-not`: everything about an alert that fired, and what kept a rule from firing."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.terminal import config_option, judging_world, open_store, print_table, say

if TYPE_CHECKING:
    from gateway.tuning.asked import Answer
    from gateway.tuning.replaying import Fetch


@click.command("why-not")
@click.argument("device")
@click.argument("rule")
@click.option("--component", default="", help="slot-3; left out: each of the rule's")
@click.option("--at", "when", default="", metavar="TIME", help="2026-11-22T14:05, local; left out: now")
@click.option("--json", "as_json", is_flag=True, help="for programs")
@config_option
def why_not(device: str, rule: str, component: str, when: str, as_json: bool, path: Path) -> None:
    """为什么没报警 · What kept a rule from firing, with numbers."""
    from gateway.tuning.whynot import ask, nearest

    with closing(open_store(path)) as db:
        world = judging_world(db)
        at_ns = _instant(when, world.timezone)
        answers = ask(db, _archive(path), world, rule, device, component, at_ns)
    if as_json:
        click.echo(json.dumps([_plain(one) for one in answers], ensure_ascii=False, indent=1))
        return
    best = nearest(answers)
    click.echo(f"{device} {best.component} · {rule} · {_local(at_ns, world.timezone)}".replace("  ", " "))
    _print_answer(best)
    others = [(one.component, one.reason, say(one.zh, one.en)) for one in answers if one is not best]
    if others:
        print_table(others)
    if not best.exact:
        zh = "（日志已清理，由存档读数和现行规则推得）"
        click.echo(
            say(zh, "(the log is gone: by the archive's readings and the rules as they are)"), err=True
        )


def _print_answer(one: Answer) -> None:
    click.echo(f"→ {say(one.zh, one.en)} [{one.reason}]")
    if one.levels:
        head = say("级别 条件 实际 还差", "level limit found short").split()
        print_table([head, *((lv.level, lv.limit, lv.found, lv.wanting) for lv in one.levels)])
    for term in one.terms:
        click.echo(f"  {term.text} = {term.shown}")
    if one.further is not None:
        _print_answer(one.further)


# ---------------------------------------------------------------- helpers


def _archive(path: Path) -> Fetch:
    """The archive's values of a device; an archive that is not there yet holds nothing."""
    from gateway.adapters.archive import query
    from gateway.terminal import load_files

    directory = load_files(path).config.archive.directory
    return lambda device, since_ns, until_ns: query(
        directory, device, since_ns=max(since_ns, 0), until_ns=until_ns
    )


def _instant(when: str, timezone: str) -> int:
    """Nanoseconds of a local time, or of now."""
    from gateway.core.calendars import zone

    if not when:
        return time.time_ns()
    try:
        found = datetime.fromisoformat(when)
    except ValueError:
        sys.exit(f"lilong: --at {when}: {say('须为', 'expected')} 2026-11-22T14:05")
    found = found if found.tzinfo else found.replace(tzinfo=zone(timezone))
    return int(found.timestamp() * 1000) * 1_000_000


def _local(wall_ns: int, timezone: str) -> str:
    from gateway.terminal import local_time

    return local_time(wall_ns, timezone)


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)
