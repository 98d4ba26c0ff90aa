"""`lilong why`, `lilong why-not`: everything about an alert that fired, and what kept a rule from firing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.terminal import (
    config_option,
    instant,
    judging_world,
    now_of,
    open_store,
    print_table,
    say,
    table_lines,
)

if TYPE_CHECKING:
    from gateway.core.model import Alert, World
    from gateway.tuning.asked import Answer
    from gateway.tuning.replaying import Fetch
    from gateway.tuning.why import Why


@click.command()
@click.argument("alert")
@click.option("--json", "as_json", is_flag=True, help="for programs")
@config_option
def why(alert: str, as_json: bool, path: Path) -> None:
    """为什么报警 · All about one alert, in one view."""
    from gateway.tuning import why as telling

    with closing(open_store(path)) as db:
        world, found = judging_world(db), telling.find(db, alert)
        if len(found) != 1:
            count = say("不止一个", "more than one") if found else say("没有", "no")
            sys.exit(f"lilong: {count} {say('这样的报警或事项', 'such alert or case')}: {alert}")
        view = telling.why(db, _archive(path), world, found[0], now_of(db))
    if as_json:
        click.echo(json.dumps(_plain(view), ensure_ascii=False, indent=1))
        return
    for title, lines in _sections(view, world):
        if lines:
            click.echo(f"{title}")
            for line in lines:
                click.echo(f"  {line}")


def _sections(view: Why, world: World) -> Iterator[tuple[str, Sequence[str]]]:
    """Each part of the view with its heading; one that has nothing to say is left out."""
    zone = world.timezone
    yield _headline(view, zone), _facts(view, zone)
    numbers = [(one.level, one.name, one.value, one.origin, one.because or "-") for one in view.numbers]
    yield say("数值，由谁设定", "numbers, and who set them"), table_lines(numbers) if numbers else []
    yield say("触发前后的读数", "readings around it"), _readings(view, zone)
    yield say("算式各项（触发时）", "terms at the raise"), [f"{one.text} = {one.shown}" for one in view.terms]
    armed = [(one.level, one.limit, one.phase, f"{one.since_s:g} s") for one in view.armed]
    yield say("各级（触发时）", "levels at the raise"), table_lines(armed) if armed else []
    path = [(_local(one.wall_ns, zone), one.what, one.note) for one in view.path]
    yield say("级别变化", "level path"), table_lines(path) if path else []
    yield say("摄像机抓拍", "snapshots"), _snapshots(view, zone)
    yield say("通知了谁", "who was told"), _told(view, zone)


def _readings(view: Why, zone: str) -> list[str]:
    """The course as blocks, the last ones before the raise, and how many were not plainly good."""
    rows = [
        (_local(one.measured_ns, zone), one.quantity, f"{one.value:g}", one.quality) for one in view.readings
    ]
    marks = [f"{quality} × {count}" for quality, count in view.marks]
    return [*([view.spark] if view.spark else []), *(table_lines(rows) if rows else []), *marks]


def _snapshots(view: Why, zone: str) -> list[str]:
    """At which level a picture was wanted, what became of that, and where it lies."""
    rows = [
        (_local(one.wanted_ns, zone), one.level.word, one.state, one.ref or one.detail or "-")
        for one in view.snapshots
    ]
    return table_lines(rows) if rows else []


def _told(view: Why, zone: str) -> list[str]:
    """Who, by which channel, what became of it."""
    rows = [
        (_local(one.created_ns, zone), one.kind, one.person, one.channel, one.state, one.detail)
        for one in view.told
    ]
    return table_lines(rows) if rows else [say("没有通知任何人", "nobody was told")]


def _headline(view: Why, zone: str) -> str:
    alert = view.alert
    subject = f"{view.device_says or alert.device} {alert.component}".strip()
    return f"{alert.level.word} {view.says} · {subject} · {_local(alert.raised_ns, zone)} ({alert.id})"


def _facts(view: Why, zone: str) -> list[str]:
    """What is one line each; what does not apply has none."""
    alert = view.alert
    changed = say("（此后规则文件已更改）", " (the files have changed since)") if view.changed else ""
    called = alert.called or alert.quantity
    value = "" if alert.value is None else f"{called} {alert.value:.6g}"
    limit = "" if alert.limit is None else f" > {alert.limit:g}"
    lines = {
        ("规则", "rule"): f"{alert.rule} {view.origin}{changed}",
        ("值", "value"): f"{value}{limit}",
        ("最后一次消息", "last word"): _local(alert.heard_ns, zone) if alert.heard_ns else "",
        ("状态", "state"): f"{alert.state}, {say('最高', 'worst')} {alert.worst.word}, × {alert.count}",
        ("依据的数据", "evidence"): alert.evidence,
        ("时段", "during"): view.during,
        ("施工维护", "works"): view.works,
        ("被起因盖住", "hidden by"): alert.hidden_by,
        ("已搁置", "shelved"): alert.shelved,
        ("信号跳变", "chattering"): say("是", "yes") if alert.chattering else "",
        ("试运行", "mode"): alert.mode if alert.mode != "live" else "",
        ("事项", "case"): f"{alert.case} {view.case.stage if view.case else ''}".strip(),
        ("同一事项", "beside"): " ".join(view.beside),
    }
    return [f"{say(*name)}: {text}" for name, text in lines.items() if text]


@click.command()
@click.option("--hidden", is_flag=True, help="only those behind a cause")
@click.option("--shadow", is_flag=True, help="only those of rules in the shadow")
@click.option(
    "--shelved", is_flag=True, help="only those on the shelf; and what is shelved, by whom, until when"
)
@config_option
def alerts(hidden: bool, shadow: bool, shelved: bool, path: Path) -> None:
    """正在报警 · Every alert that stands, and those nobody was told of."""
    from gateway.cli_shelf import shelf_rows
    from gateway.web.rows import shelves, standing_alerts

    asked = hidden, shadow, shelved
    with closing(open_store(path)) as db:
        world = judging_world(db)
        found = [one for one in standing_alerts(db) if not any(asked) or _untold(one, *asked)]
        held = shelves(db) if shelved else []
    print_table(shelf_rows(held, world))
    print_table([_alert_row(one, world) for one in found])
    if not found and not held:
        click.echo(say("没有这样的报警", "no such alert"), err=True)


def _untold(alert: Alert, hidden: bool, shadow: bool, shelved: bool) -> bool:
    behind = (hidden and bool(alert.hidden_by)) or (shelved and bool(alert.shelved))
    return behind or (shadow and alert.mode == "shadow")


def _alert_row(alert: Alert, world: World) -> list[str]:
    """When, how bad, which, of what, and why nobody was told."""
    value = "" if alert.value is None else f"{alert.called or alert.quantity} {alert.value:.6g}"
    untold = [f"{say('起因', 'behind')} {alert.hidden_by}"] if alert.hidden_by else []
    untold += [say("已搁置", "shelved")] if alert.shelved else []
    untold += [say("试运行", "shadow")] if alert.mode == "shadow" else []
    subject = f"{alert.device} {alert.component}".strip()
    since = _local(alert.raised_ns, world.timezone)
    return [since, alert.level.word, alert.state, alert.rule, subject, value, alert.id, *(untold or ["-"])]


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
        at_ns = instant(when, world.timezone)
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


def _local(wall_ns: int, timezone: str) -> str:
    from gateway.terminal import local_time

    return local_time(wall_ns, timezone)


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)
