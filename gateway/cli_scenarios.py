"""`lilong test`: rules' scenarios and models' examples, and how much of the rules they show."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gateway.problems import locale_of
from gateway.terminal import DEFAULT_CONFIG, load_world, print_problems, readable, say, table_lines

WAYS = {  # of coverage.Covered
    "raised": ("升起", "raised"),
    "cleared": ("解除", "cleared"),
    "not_raised": ("临近而未升起", "not raised"),
}


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True,
    envvar="LILONG_CONFIG", show_envvar=True, metavar="FILE", help="lilong.yaml",
)  # fmt: skip
@click.option("--rule", default="", metavar="ID", help="only scenarios of this rule")
@click.option("--name", default="", metavar="TEXT", help="only those whose name holds this")
@click.option("--coverage-min", "least", type=click.FloatRange(0, 100), help="fail below so many percent")
@click.option("--json", "machine", is_flag=True, help="everything as JSON")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="write JUnit's XML too")
@click.pass_context
def test(
    ctx: click.Context, files: tuple[Path, ...], path: Path, rule: str, name: str,
    least: float | None, machine: bool, junit: Path | None,
) -> None:  # fmt: skip
    """试验 · Rules' scenarios and models' examples. FILES or folders pick some."""
    from gateway.tuning import bench, coverage, report

    picks = bench.Picks(files=files, rule=rule, name=name)
    world = _world(ctx, path, picks)
    tried = []
    for one in bench.trials(world, picks) if world else ():
        tried.append(one)
        if not machine:
            _print_trial(one)
    played = [one.played for one in tried if one.played]
    covered = coverage.cover(bench.rules_to_cover(world, picks, played), played) if world else []
    percent = coverage.share(covered)
    if machine:
        click.echo(json.dumps(report.as_json(tried, covered), ensure_ascii=False, indent=1))
    else:
        _print_summary(tried, covered, percent)
    if junit:
        junit.write_bytes(report.as_junit(tried))
    if not tried:
        click.echo(say("这些文件里没有场景或示例", "no scenario or example in these files"), err=True)
    short = least is not None and percent < least
    if short:
        click.echo(say(f"覆盖率低于 {least:g} %", f"coverage is below {least:g} %"), err=True)
    sys.exit(1 if short or not tried or any(one.reason for one in tried) else 0)


def _world(ctx: click.Context, path: Path, picks: Any) -> Any:
    """That of lilong.yaml, unless nothing of the files is in it: then they are taken as they lie there."""
    from gateway.tuning import bench

    asked = ctx.get_parameter_source("path") is not ParameterSource.DEFAULT
    if asked or not picks.files or path.exists():
        world = load_world(readable(path))
        origins = [example.origin for model in world.models.values() for example in model.examples]
        origins += [one.origin for one in (*world.scenarios, *world.rules)]
        if any(map(picks.file, origins)):
            return world
    world, problems = bench.bare_world(picks.files, locale_of())
    print_problems(problems)
    if problems:
        sys.exit(1)
    return world


def _print_trial(one: Any) -> None:
    from gateway.tuning import report

    word = click.style("FAIL", fg="red", bold=True) if one.reason else click.style("ok  ", fg="green")
    click.echo(f"{word} {one.name} {one.reason}".rstrip())
    if one.reason and one.played:
        head = (say("应为", "expected"), say("实际", "found"))
        for line in (*table_lines([head, *report.side_by_side(one.played)]), *report.timeline(one.played)):
            click.echo(f"     {line}")


def _print_summary(tried: Sequence[Any], covered: Sequence[Any], percent: float) -> None:
    """How many passed; for each level of each rule what the scenarios show, and what they do not."""
    from gateway.tuning import report

    failed = sum(bool(one.reason) for one in tried)
    click.echo(f"{len(tried) - failed} passed, {failed} failed")
    if not covered:
        return
    click.echo()
    for line in table_lines(report.coverage_rows(covered)):
        click.echo(line)
    for one in covered:
        if one.missing:
            missing = ", ".join(say(*WAYS[way]) for way in one.missing)
            line = f"{one.rule} {one.level.word}: {say('没有情景显示', 'no scenario shows')} {missing}"
            click.echo(click.style(line, fg="yellow"))
    ways = ", ".join(say(*words) for words in WAYS.values())
    click.echo(f"{say('覆盖率', 'coverage')} {percent:.4g} % ({say('每级', 'each level')}: {ways})")
