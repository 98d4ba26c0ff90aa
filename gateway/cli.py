"""The command line: one thin function a command. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import math
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from gateway import __version__
from gateway.cli_cases import act, audit
from gateway.cli_devices import devices
from gateway.cli_drill import drill
from gateway.cli_models import model, schema
from gateway.cli_oncall import oncall
from gateway.cli_packs import pack
from gateway.cli_report import digest, report
from gateway.cli_route import route
from gateway.cli_rules import rule
from gateway.cli_scenarios import test
from gateway.cli_why import alerts, why, why_not
from gateway.problems import locale_of
from gateway.terminal import (
    Ordered,
    ask_gateway,
    config_option,
    judging_world,
    legible,
    load_files,
    load_world,
    local_time,
    now_of,
    open_store,
    print_problems,
    print_table,
    say,
)

HELP_COLUMNS = 110  # on a terminal that has them
SHEETS = ["problem", "coordination", "feedback", "closure"]  # core.cases.Sheet
STDIN_BYTES_MOST = 1 << 20  # more is no payload


@click.group(
    cls=Ordered,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_COLUMNS},
)
@click.version_option(__version__, prog_name="lilong")
def main() -> None:
    """里弄 Lilong: sensor gateway and alerting daemon for the safety of neighbourhoods."""


@main.command()
@config_option
@click.option("--anchor", default="", hidden=True, help="MONOTONIC_NS:WALL_NS:SPEED, for simulated time")
def run(path: Path, anchor: str) -> None:
    """运行网关 · Run the gateway until SIGTERM. SIGHUP loads the files again."""
    from gateway.adapters.clock import Anchor
    from gateway.adapters.store import StoreBusy
    from gateway.app import App, ConfigurationRefused

    try:
        app = App(path, locale_of(), Anchor.parse(anchor) if anchor else None)
    except ConfigurationRefused as refused:
        print_problems(refused.problems)
        sys.exit(1)
    except (StoreBusy, OSError, ValueError) as error:
        sys.exit(f"lilong: {error}")
    app.run()


@main.command()
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "junit"]), default="text", show_default=True
)
@click.option("--strict", is_flag=True, help="a warning counts as a mistake")
@config_option
def check(path: Path, form: str, strict: bool) -> None:
    """检查配置 · Every mistake in the files, with file and line. Exits 1 if there is one.

    Warnings tell what is no mistake and yet hardly meant.
    """
    from gateway.config import load
    from gateway.reports import FORMATS

    now_ns = time.time_ns()
    loaded = load(path, locale_of(), now_ns=now_ns, lint=True)
    found = [*loaded.problems, *loaded.warnings]
    if form != "text":
        click.echo(FORMATS[form](found, strict))
    else:
        print_problems(found)
        _count_parts(loaded, strict, now_ns)
    sys.exit(1 if loaded.problems or (strict and loaded.warnings) else 0)


def _count_parts(loaded: Any, strict: bool, now_ns: int) -> None:
    """What the files hold, when they hold; and what will be missing."""
    from gateway.config import unreadable_files
    from gateway.core.calendars import durings, local_date, missing_years

    if loaded.problems or (strict and loaded.warnings):
        return
    for secret in unreadable_files(loaded.config):
        click.echo(say(f"提醒: 密钥文件不可读 {secret}", f"note: secret file not readable: {secret}"))
    today = local_date(now_ns, loaded.world.timezone)
    for year in missing_years(loaded.world.calendar, durings(loaded.world), today):
        click.echo(say(f"提醒: 没有 {year} 年的工作日历", f"note: no calendar of workdays for {year}"))
    parts = ("models", "rules", "places", "persons", "devices", *(["warnings"] if loaded.warnings else []))
    sizes = {part: len(getattr(loaded if part == "warnings" else loaded.world, part)) for part in parts}
    click.echo("ok: " + ", ".join(f"{part} {size}" for part, size in sizes.items()))


@main.command()
@config_option
def doctor(path: Path) -> None:
    """体检 · Look at broker, database, clock, disk and secrets. Exits 1 if something is wrong."""
    from gateway.config import load
    from gateway.doctor import diagnose

    locale = locale_of()
    loaded = load(path, locale)
    findings = diagnose(loaded.config, loaded.problems, locale, loaded.world)
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.detail}")
        if finding.hint:
            click.echo(f"     → {finding.hint}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.command()
@config_option
def reload(path: Path) -> None:
    """重新加载 · The running gateway takes the files as they are. Mistakes change nothing."""
    said = ask_gateway(path, "reload")
    for line in said:
        click.echo(line, err=True)
    click.echo(say("配置未更改", "nothing was changed") if said else "ok")
    sys.exit(1 if said else 0)


@main.command("send-test")
@click.argument("person")
@config_option
def send_test(person: str, path: Path) -> None:
    """测试通知 · A message marked as a test, by every real channel."""
    from time import time_ns

    from gateway.tuning.drill import send_test as send

    loaded = load_files(path)
    known = loaded.world.persons
    if person not in known:
        sys.exit(f"lilong: no person {person}; known: {', '.join(sorted(known))}")
    answers = list(send(loaded.config, known[person], time_ns()))
    for channel, answer in answers:
        click.echo(f"{answer.told:9} {channel} {answer.detail}".rstrip())
    if not answers:
        click.echo(say("除收件箱外没有通知渠道", "there is no channel but the inbox"))
    sys.exit(0 if all(answer.told == "accepted" for _, answer in answers) else 1)


main.add_command(test)


@main.command()
@click.argument("model")
@click.argument("payload")
@config_option
def decode(model: str, payload: str, path: Path) -> None:
    """解码 · What a payload means by a device model. PAYLOAD - reads stdin; MODEL may be a device's id."""
    from gateway.tuning import examples

    world = load_world(path)
    device = world.devices.get(model)
    known = world.models.get(device.model if device else model)
    if known is None:
        sys.exit(f"lilong: no model or device {model}; models: {', '.join(sorted(world.models))}")
    payload = _stdin() if payload == "-" else payload
    entries = world.calibrations.get(device.id, ()) if device else ()
    understood = examples.understand(known if device else examples.anybodys(known), payload, device, entries)
    for reading in understood.readings:
        values = ", ".join(f"{name}={value:g}" for name, value in reading.values.items())
        measured = f" @ {local_time(reading.measured_ns, world.timezone)}" if reading.timed else ""
        click.echo(f"{reading.component or 'device'}{measured}: {values}")
    for fault in understood.faults:
        click.echo(f"refused: {fault.code}: {fault.field or 'payload'}: {fault.reason}")
    sys.exit(1 if understood.faults else 0)


# ---------------------------------------------------------------- what is in the store


@main.command()
@config_option
@click.option("--all", "everything", is_flag=True, help="closed ones too")
@click.option("--list", "sheet", type=click.Choice(SHEETS), help="one of the four lists 四单")
def cases(path: Path, everything: bool, sheet: str | None) -> None:
    """事项 · Open cases, newest first. Since when, level, stage, what, where, who, id."""
    from gateway.core.cases import sheet_of
    from gateway.core.model import Case

    everything = everything or sheet == "closure"
    with closing(open_store(path)) as db:
        query = "SELECT body FROM cases WHERE open OR ? ORDER BY id DESC LIMIT 200"
        found = [_value(body, Case) for (body,) in db.execute(query, (everything,))]
        found = [case for case in found if sheet in (None, sheet_of(case))]
        world = judging_world(db)
    print_table([_case_row(case, world) for case in found])
    if not found:
        click.echo(say("没有未结案的事项", "no open case"), err=True)


@main.command()
@click.argument("case", default="")
@click.option(
    "--stages", is_flag=True, help="instead of its history: every stage, how long, by whom, late or not"
)
@config_option
def show(case: str, stages: bool, path: Path) -> None:
    """详情 · One case, and what happened since. CASE is its id, or the end of it; left out: the newest."""
    from gateway.core.model import Case
    from gateway.web.pages import view_case

    with closing(open_store(path)) as db:
        query = "SELECT body FROM cases WHERE ? = '' OR substr(id, -length(?)) = ? ORDER BY id DESC LIMIT 2"
        found = db.execute(query, (case, case, case)).fetchall()
        if not found or (case and len(found) > 1):
            sys.exit(f"lilong: {'more than one' if found else 'no'} such case; see lilong cases --all")
        world, whole, now_ns = judging_world(db), _value(found[0]["body"], Case), now_of(db)
        view = view_case(db, world, whole, now_ns)
        rows = (
            _stages(db, world, whole, now_ns)
            if stages
            else [(one.at, one.text, one.note or one.photo) for one in view.lines]
        )
    click.echo(f"【{view.badge.zh}】{view.says} · {view.subject}\n{' · '.join(view.place)}")
    click.echo(f"{view.quantity} {view.value} {view.limit}".strip())
    click.echo(f"{view.stage.zh} {view.owner}".rstrip() + (f"\n要做：{view.action}" if view.open else ""))
    print_table([(one.at, one.badge.zh, one.says, one.ref or "-") for one in view.pictures])
    print_table(rows)


main.add_command(alerts)
main.add_command(why)
main.add_command(why_not)


@main.command()
@click.argument("case")
@click.option("--person", required=True, help="who resets it: an id of the site")
@click.option("--reason", required=True, help="why it may be reset")
@config_option
def reset(case: str, person: str, reason: str, path: Path) -> None:
    """复位 · Let go what is latched in a case. CASE is its whole id, or an alert's."""
    for refusal in ask_gateway(path, "reset", case=case, person=person, reason=reason):
        sys.exit(f"lilong: not reset: {refusal}")
    click.echo(say("已复位", "reset"))


main.add_command(act)
main.add_command(drill)
main.add_command(audit)
main.add_command(report)
main.add_command(digest)


@main.command()
@click.argument("device", default="")
@click.option("--days", default=1.0, show_default=True, help="so far back")
@click.option(
    "--batteries", is_flag=True, help="instead: how long each battery will last, by its last 60 days"
)
@config_option
def quality(device: str, days: float, batteries: bool, path: Path) -> None:
    """质量 · How good each device's readings were, the worst first."""
    from gateway.adapters.archive import count_qualities

    now_ns, config = time.time_ns(), load_files(path).config
    if batteries:
        print_table(_batteries(config.archive.directory, device, now_ns))
        return
    found = count_qualities(config.archive.directory, device or None, now_ns - int(days * 86400e9))
    print_table(_scores(found, config.timezone))
    if not found:
        click.echo(say("这段时间没有数据", "no reading in that time"), err=True)


@main.group()
def quarantine() -> None:
    """隔离区 · Payloads that could not be believed."""


@quarantine.command("list")
@config_option
@click.option("--code", default="", help="only this refusal code")
def quarantine_list(path: Path, code: str) -> None:
    """Newest first: number, time, code, device, why."""
    query = (
        "SELECT * FROM quarantine WHERE state = 'kept' AND (? = '' OR code = ?) ORDER BY id DESC LIMIT 500"
    )
    with closing(open_store(path)) as db:
        found = db.execute(query, (code, code)).fetchall()
        zone = judging_world(db).timezone
    print_table([_quarantine_row(row, zone) for row in found])
    if not found:
        click.echo(say("隔离区是空的", "nothing in quarantine"), err=True)


@quarantine.command("show")
@click.argument("number", type=int)
@config_option
def quarantine_show(number: int, path: Path) -> None:
    """One payload, whole."""
    with closing(open_store(path)) as db:
        row = db.execute("SELECT * FROM quarantine WHERE id = ?", (number,)).fetchone()
        zone = judging_world(db).timezone
    if row is None:
        sys.exit(f"lilong: {number} is not in quarantine; see lilong quarantine list")
    for key in ("id", "state", "code", "device", "topic", "field", "reason", "position"):
        click.echo(f"{key:9} {legible(str(row[key]))}")
    click.echo(
        f"{'received':9} {local_time(row['wall_ns'], zone)}\n{'payload':9} {_printable(row['payload'])}"
    )


@quarantine.command("replay")
@click.argument("numbers", nargs=-1, type=int)
@config_option
@click.option("--all", "everything", is_flag=True, help="everything that is kept")
def quarantine_replay(numbers: tuple[int, ...], path: Path, everything: bool) -> None:
    """Try kept payloads again. They are stored as of when they came, and page nobody."""
    if everything:
        with closing(open_store(path)) as db:
            numbers = tuple(row["id"] for row in db.execute("SELECT id FROM quarantine WHERE state = 'kept'"))
    elif not numbers:
        raise click.UsageError("name the numbers that `lilong quarantine list` shows, or say --all")
    still = ask_gateway(path, "replay", ids=numbers)
    for line in still:
        click.echo(line)
    click.echo(f"{len(numbers) - len(still)} taken, {len(still)} still refused")
    sys.exit(1 if still else 0)


main.add_command(devices)
main.add_command(rule)
main.add_command(pack)
main.add_command(oncall)
main.add_command(route)
main.add_command(model)
main.add_command(schema)


# ---------------------------------------------------------------- practice


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """模拟 · Play a neighbourhood on a broker; score who listened."""
    from simulators.__main__ import main as simulators_main

    sys.exit(simulators_main(list(arguments)))


@main.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="keep everything here")
@click.option("--keep", is_flag=True, help="do not remove the folder at the end")
@click.option("--speed", default=0.0, help="how many times faster than life; 20")
@click.option("--seed", default=1, show_default=True, help="of everything random")
@click.option("--port", default=0, help="of the pages; 8420 or the next free one")
def demo(directory: Path | None, keep: bool, speed: float, seed: int, port: int) -> None:
    """演示 · The whole way on this machine, nothing else needed."""
    from gateway import demo as play

    sys.exit(
        play.run_demo(directory, keep=keep, speed=speed or play.SPEED, seed=seed, port=port or play.PORT)
    )


# ---------------------------------------------------------------- helpers


def _value(body: bytes, kind: type[Any]) -> Any:
    import msgspec

    return msgspec.json.decode(body, type=kind)


def _stages(db: sqlite3.Connection, world: Any, case: Any, now_ns: int) -> list[Sequence[str]]:
    from gateway.reporting import tables
    from gateway.reporting.gather import course_of

    course = course_of(db, case, now_ns)
    head = tuple(say(one.zh, one.en) for one in tables.STAGE_HEAD)
    return [head, *(tables.stage_rows(course, world) if course else [])]


def _case_row(case: Any, world: Any) -> Sequence[str]:
    from gateway.core.effective import rule_of
    from gateway.web import pages, words

    rule = rule_of(world, case.rule, case.device)
    who = pages.person_name(world, case.handled_by or case.acknowledged_by or case.responsible)
    what = f"{pages.says_of(case, rule)} · {pages.subject(world, case)}"
    where = " · ".join(pages.near_places(world, case.place))
    stage = words.STAGES[case.stage].zh
    return local_time(case.opened_ns, world.timezone), case.level.word, stage, what, where, who, case.id


def _batteries(directory: Path, only: str, now_ns: int) -> list[Sequence[str]]:
    """A row a battery, the one that ends first on top: days left, percent now, percent a month."""
    from gateway.adapters.archive import daily_medians
    from gateway.core.battery import DAYS_MOST, forecast

    found: dict[tuple[str, str], list[Any]] = {}
    for one in daily_medians(directory, "battery_pct", now_ns - DAYS_MOST * 86_400 * 10**9):
        if only in ("", one.device):
            found.setdefault((one.device, one.component), []).append(one)
    rows: list[tuple[float, Sequence[str]]] = []
    for (device, component), said in found.items():
        now = forecast([one.day for one in said], [one.value for one in said])
        left = "" if now.left_d is None else say(f"约 {now.left_d:.0f} 天", f"some {now.left_d:.0f} days")
        monthly = "" if now.per_month_pct is None else f"{now.per_month_pct:+.1f}%/30d"
        name = f"{device} {component}".strip()
        rows.append(
            (math.inf if now.left_d is None else now.left_d, (name, f"{now.now_pct:.0f}%", left, monthly))
        )
    return [row for _, row in sorted(rows)]


def _scores(found: Sequence[Any], zone: str) -> list[Sequence[str]]:
    """A row a device: the share of good readings, the newest instant, and how many of each other quality."""
    devices: dict[str, list[Any]] = {}
    for one in found:
        devices.setdefault(one.device, []).append(one)
    rows: list[tuple[float, Sequence[str]]] = []
    for device, counts in devices.items():
        good = sum(one.readings for one in counts if one.quality == "good")
        share = good / sum(one.readings for one in counts)
        flaws = " ".join(f"{one.quality}={one.readings}" for one in counts if one.quality != "good")
        last = local_time(max(one.last_ns for one in counts), zone)
        rows.append((share, (device, f"{share:.2%}", str(good), last, flaws)))
    return [row for _, row in sorted(rows)]


def _quarantine_row(row: sqlite3.Row, zone: str) -> Sequence[str]:
    why = f"{row['field']} {row['reason']}".strip()
    return str(row["id"]), local_time(row["wall_ns"], zone), row["code"], row["device"] or row["topic"], why


def _stdin() -> str:
    """One payload, as mosquitto_sub gives it."""
    return sys.stdin.buffer.read(STDIN_BYTES_MOST).decode("utf-8", "surrogateescape")


def _printable(payload: bytes) -> str:
    return ascii(payload.decode("utf-8", "backslashreplace"))[1:-1]
