"""`lilong route test`: whom an alert would reach, when, by which channels, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.problems import locale_of
from gateway.terminal import (
    Ordered,
    config_option,
    instant,
    load_world,
    print_problems,
    print_table,
    say,
)

if TYPE_CHECKING:
    from gateway.core.model import World
    from gateway.tuning.routes import Answer, Checked, Line


@click.group(cls=Ordered)
def route() -> None:
    """通知路径 · Whom an alert would reach."""


@route.command("test")
@click.option("--device", default="", help="id of the device")
@click.option("--rule", default="", help="id of a rule that judges it")
@click.option("--level", type=click.Choice(["yellow", "orange", "red"]), default="red", show_default=True)
@click.option("--at", "when", default="", metavar="TIME", help="2026-11-22T03:00, local; left out: now")
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="many, with what is expected: YAML or CSV"
)
@click.option("--json", "as_json", is_flag=True, help="for programs")
@config_option
def route_test(
    device: str, rule: str, level: str, when: str, file: Path | None, as_json: bool, path: Path
) -> None:
    """演练 · Every rung, person, channel and empty post, as nobody answers. Tells nobody.

    With --file: exits 1 where the answer is not the expected one.
    """
    if bool(file) == bool(device and rule):
        raise click.UsageError(
            say("给出 --device 和 --rule，或 --file", "say --device and --rule, or --file")
        )
    world = load_world(path)
    if file:
        sys.exit(_check(file, world, as_json))
    found = _answer(world, device, rule, level, instant(when, world.timezone))
    if as_json:
        click.echo(json.dumps(_plain(found), ensure_ascii=False, indent=1))
        return
    _print(found)


def _answer(world: World, device: str, rule: str, level: str, wall_ns: int) -> Answer:
    from gateway.core.model import LEVEL_OF
    from gateway.tuning.routes import answer, unasked

    known = world.devices.get(device)
    judge = next((one for one in world.rules if one.id == rule), None)
    if known is None or judge is None:
        what = f"device {device}" if known is None else f"rule {rule}"
        sys.exit(f"lilong: no {what}; see lilong {'devices' if known is None else 'rule'} list")
    wrong = unasked(world, known, judge, LEVEL_OF[level])
    if wrong:
        sys.exit(f"lilong: {say(*wrong)}")
    return answer(world, known, judge, LEVEL_OF[level], wall_ns)


def _print(found: Answer) -> None:
    if found.waits_s:
        minutes = round(found.waits_s / 60)
        click.echo(say(f"静默时段：{minutes} 分钟后才通知", f"quiet hours: told {minutes} minutes later"))
    if not found.lines:
        click.echo(say("不通知任何人", "tells nobody"))
        return
    head = say("多久后 时刻 通知 渠道 原因", "after at whom by why").split()
    print_table([head, *map(_row, found.lines)])


def _row(line: Line) -> Sequence[str]:
    who = f"{line.says} ({line.person})" if line.person else say("无人", "nobody")
    mark = say("抄送 ", "copy ") if line.copy else ""
    by = " ".join(channel for channel, _ in line.channels) or "-"
    return f"+{line.after_s:g}s", line.at, f"{mark}{who}", by, say(*line.why)


def _check(file: Path, world: World, as_json: bool) -> int:
    from gateway.problems import Problems
    from gateway.tuning.routes import check_file

    problems = Problems(locale_of())
    checked = check_file(file, world, problems)
    print_problems(problems.listed())
    if as_json:
        click.echo(json.dumps([_outcome(one) for one in checked], ensure_ascii=False, indent=1))
    else:
        for one in checked:
            _print_checked(one)
        failed = sum(not one.passed for one in checked)
        click.echo(f"{len(checked) - failed} passed, {failed} failed")
    return 0 if checked and not len(problems) and all(one.passed for one in checked) else 1


def _print_checked(one: Checked) -> None:
    keys = one.keys
    click.echo(f"{'ok  ' if one.passed else 'FAIL'} {keys.device} {keys.rule} {keys.level.word} @ {keys.at}")
    if not one.passed:
        click.echo(
            f"     {say('预期', 'expected')}: {' '.join(each.text for each in keys.expect)}  ({keys.origin})"
        )
        click.echo(f"     {say('实际', 'found')}:    {' '.join(_short(one.answer))}")


def _short(found: Answer) -> list[str]:
    """As a file would expect it."""
    told = [line for line in found.lines if line.person]
    names = [f"{'copy:' if line.copy else ''}{line.person}@{line.after_s:g}s" for line in told]
    channels = ["/".join(channel for channel, _ in line.channels) for line in told]
    return ["/".join(pair) for pair in zip(names, channels, strict=True)]


def _outcome(one: Checked) -> dict[str, Any]:
    keys = one.keys
    return {
        "device": keys.device, "rule": keys.rule, "level": keys.level.word, "at": keys.at,
        "passed": one.passed, "expected": [each.text for each in keys.expect], "found": _short(one.answer),
    }  # fmt: skip


def _plain(found: Answer) -> dict[str, Any]:
    return {
        "waits_s": found.waits_s,
        "told": [
            {
                "after_s": line.after_s, "at": line.at, "person": line.person, "copy": line.copy,
                "role": line.role, "by": dict(line.channels), "why": say(*line.why),
            }
            for line in found.lines
        ],
    }  # fmt: skip
