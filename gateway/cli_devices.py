"""`lilong devices …`: the registry of a site as people keep it, from a table to the running gateway."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.problems import locale_of, shown
from gateway.terminal import (
    Ordered,
    config_option,
    hand_over,
    load_files,
    load_world,
    local_time,
    open_store,
    print_problems,
    print_table,
    say,
    state_of,
)

if TYPE_CHECKING:
    from gateway.core.calibration import Due
    from gateway.core.model import Calibration, Device, World
    from gateway.registry import Change, Joint, Plan

LISTED_MOST = 20  # rows that change something, before the rest is only counted
UNKNOWN_MOST = 200  # topics of strangers shown
REPLAYED_AT_ONCE = 500  # messages; the running gateway takes some seconds for them
CALIBRATIONS = "calibrations.csv"
TABLE = "devices.csv"  # where new devices go unless --table names another

table_option = click.option(
    "--table",
    default=TABLE,
    show_default=True,
    metavar="NAME",
    help="where new rows go, and what they are: places.csv",
)
dry_option = click.option("--dry-run", is_flag=True, help="say what would change, and change nothing")


@click.group(cls=Ordered)
def devices() -> None:
    """设备台账 · The registry: tables, strangers, calibration."""


# ---------------------------------------------------------------- looking


@devices.command("list")
@click.argument("words", nargs=-1)
@config_option
@click.option("--due", is_flag=True, help="only what must be calibrated, the most urgent first")
@click.option("--within", default=30, show_default=True, metavar="DAYS", help="with --due: how far ahead")
def devices_list(words: tuple[str, ...], path: Path, due: bool, within: int) -> None:
    """列表 · Id, name, model, scene, place. WORDS pick: all of them must stand in the row."""
    world = load_world(path)
    if due:
        _list_due(world, within, words)
        return
    rows = [_device_row(world, device) for device in world.devices.values()]
    found = [row for row in rows if all(any(word in cell for cell in row) for word in words)]
    print_table(found)
    click.echo(say(f"{len(found)} 台", f"{len(found)} devices"), err=True)


def _list_due(world: World, within: int, words: Sequence[str]) -> None:
    from gateway.core.calibration import due_within

    found = due_within(world.calibrations, time.time_ns(), world.timezone, within)
    rows = [_due_row(world, one) for one in found]
    rows = [row for row in rows if all(any(word in cell for cell in row) for word in words)]
    print_table(rows)
    if not rows:
        zh, en = f"{within} 天内没有到期的校准", f"nothing is due within {within} days"
        click.echo(say(zh, en), err=True)


def _due_row(world: World, one: Due) -> Sequence[str]:
    late = say(f"逾期 {-one.days} 天", f"{-one.days} days overdue")
    left = say(f"还有 {one.days} 天", f"in {one.days} days")
    device = world.devices[one.device]
    what = " ".join([one.entry.component, one.entry.quantity]).strip() or say("整机", "whole device")
    when = late if one.days < 0 else left
    return str(one.entry.due), when, device.id, what, one.entry.certificate or "-", _place(world, device.at)


def _device_row(world: World, device: Device) -> Sequence[str]:
    scene = world.models[device.model].scene
    return device.id, device.says, device.model, scene, _place(world, device.at)


def _place(world: World, place: str) -> str:
    """From the compound down, as people call it."""
    from gateway.web.pages import near_places

    return " · ".join(near_places(world, place))


@devices.command("show")
@click.argument("device")
@config_option
def devices_show(device: str, path: Path) -> None:
    """一台 · One device, all there is. Place, topic, calibration, what judges it, where it is written."""
    from gateway.core.conditions import applies

    world = load_world(path)
    known = _known(world, device)
    model = world.models[known.model]
    rules = [rule.says for rule in world.rules if applies(rule, known, model.scene)]
    lines = [
        (say("编号", "id"), known.id),
        (say("名称", "name"), known.says),
        (say("型号", "model"), f"{known.model} · {model.says}"),
        (say("地点", "place"), f"{_place(world, known.at)} ({known.at})"),
        (say("主题", "topic"), known.topic),
        (say("基线", "baseline"), _pairs(known.baseline)),
        (say("标签", "labels"), _pairs(known.labels)),
        (say("规则", "rules"), "、".join(rules)),
        (say("写在", "written in"), str(known.origin)),
    ]
    lines += [(say("校准", "calibration"), _entry(world, one)) for one in world.calibrations.get(device, ())]
    print_table([line for line in lines if line[1]])


def _entry(world: World, one: Calibration) -> str:
    """One calibration entry as a line."""
    facts = {
        "": " ".join([one.component, one.quantity]).strip(),
        "× ": f"{one.scale:g}" if one.scale != 1 else "",
        "+ ": f"{one.offset:g}" if one.offset else "",
        say("未接上", "not joined"): " " if one.unjoined else "",
        say("基线 ", "baseline "): "" if one.baseline is None else f"{one.baseline:g}",
        say("传感器 ", "sensor "): one.sensor,
        say("证书 ", "certificate "): one.certificate,
        say("到期 ", "due "): str(one.due or ""),
        say("备注 ", "note "): one.note,
    }
    since = local_time(one.since_ns, world.timezone)[:16]
    return f"{say('自', 'from')} {since}  " + "  ".join(word + fact for word, fact in facts.items() if fact)


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {v:g}" if isinstance(v, float) else f"{name} {v}" for name, v in values.items())


def _known(world: World, device: str) -> Device:
    from gateway.typed import nearest

    found = world.devices.get(device)
    if found is None:
        close = nearest(device, list(world.devices))
        hint = say(f"；是否为 {close}？", f"; did you mean {close}?") if close else ""
        sys.exit(say(f"lilong: 没有设备 {device}{hint}", f"lilong: no device {device}{hint}"))
    return found


@devices.command("inventory")
@config_option
@click.option("--kind", "kinds", multiple=True, default=("compound",), show_default=True, help="of places")
def devices_inventory(path: Path, kinds: tuple[str, ...]) -> None:
    """盘点 · Which place lacks which protection. The one that lacks most comes first."""
    from gateway.tuning.inventory import PROTECTIONS, inventory

    world = load_world(path)
    found = inventory(world, kinds)
    head = [say("地点", "place"), *(say(one.zh, one.en) for one in PROTECTIONS)]
    none = say("缺", "none")
    rows = [[_place(world, one.place.id), *(str(count or none) for count in one.counts)] for one in found]
    print_table([head, *rows])
    lacking = sum(one.lacking > 0 for one in found)
    zh, en = f"{len(found)} 处，{lacking} 处有缺", f"{len(found)} places, {lacking} lack something"
    click.echo(say(zh, en), err=True)


# ---------------------------------------------------------------- tables in and out


@devices.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="-")
@click.option("--kind", default="devices", show_default=True, help="or places, calibrations, persons …")
@config_option
def devices_export(file: Path, kind: str, path: Path) -> None:
    """导出 · Every device as one CSV for a spreadsheet. `import` takes it back. FILE - is the output."""
    from gateway.csvfile import write
    from gateway.grammar import TABLES
    from gateway.registry import entries

    if kind not in TABLES:
        raise click.UsageError(f"--kind is one of {', '.join(TABLES)}")
    load_world(path)  # what is broken is told, not left out
    found = entries(path, kind)
    text = write(found, TABLES[kind])
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        file.write_text(text, "utf-8-sig")
    except OSError as error:
        sys.exit(f"lilong: {file}: {error.strerror}")
    click.echo(say(f"{len(found)} 行写入 {file}", f"{len(found)} rows written to {file}"))


@devices.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@table_option
@dry_option
def devices_import(file: Path, path: Path, table: str, dry_run: bool) -> None:
    """导入 · Take a CSV in, whole or not at all. With one mistake, nothing changes."""
    from gateway.registry import plan_file

    _check_table(table)
    _change(path, lambda: plan_file(path, file, table, locale_of()), str(file), dry_run)


def _check_table(table: str, kinds: Collection[str] = ()) -> None:
    from gateway.grammar import TABLES
    from gateway.packs import table_kind

    known = table_kind(Path(table)) in (kinds or TABLES)
    if Path(table).name != table or not table.endswith(".csv") or not known:
        raise click.UsageError("--table is a name such as devices-waste.csv, places.csv, calibrations.csv")


def _change(path: Path, make: Callable[[], Plan], source: str, dry_run: bool = False) -> None:
    """Plans, shows, writes, and has the running gateway take it; ends the command when something is wrong."""
    from gateway.registry import alone, put, put_back

    try:
        with alone(path):
            plan = make()
            _show_plan(plan, source)
            if plan.problems:
                click.echo(say("未作任何更改", "nothing was changed"), err=True)
                sys.exit(1)
            if dry_run or not plan.tables:
                click.echo(say("试运行：未作更改", "a dry run: nothing was changed") if dry_run else "ok")
                return
            before = put(plan.tables)
            hand_over(path, before, lambda: put_back(before))
    except BlockingIOError:
        sys.exit(say("lilong: 另一个导入正在进行", "lilong: another import is under way"))
    except OSError as error:
        sys.exit(f"lilong: {error.filename}: {error.strerror}")


# ---------------------------------------------------------------- what would change, for people


def _show_plan(plan: Plan, source: str) -> None:
    if plan.problems:
        _show_problems(plan, source)
    else:
        _show_changes(plan.changes)
    counts = {
        say("新增", "added"): len(plan.added),
        say("更改", "changed"): len(plan.changed),
        say("不变", "unchanged"): plan.same,
        say("错误", "mistakes"): len(plan.problems),
    }
    click.echo(", ".join(f"{word} {count}" for word, count in counts.items()))


def _show_changes(changes: Sequence[Change]) -> None:
    head = (say("行", "row"), say("动作", "does"), say("编号", "entry"), say("内容", "what"))
    rows = [
        (str(change.row), _does(change), change.name, what)
        for change in changes[:LISTED_MOST]
        for what in _what(change)
    ]
    if rows:
        print_table([head, *rows])
    if len(changes) > LISTED_MOST:
        more = len(changes) - LISTED_MOST
        click.echo(say(f"… 还有 {more} 行", f"… and {more} more rows"))


def _does(change: Change) -> str:
    return say("新增", "adds") if change.before is None else say("更改", "changes")


def _what(change: Change) -> list[str]:
    if change.before is None:
        return ["  ".join(_facts(change.after))]
    empty = say("（空）", "(empty)")
    differences = change.differences()
    return [f"{path}: {shown(old) or empty} → {shown(new) or empty}" for path, old, new in differences]


def _facts(cells: Mapping[str, str]) -> Iterable[str]:
    """What tells one new row from another at a glance."""
    for name in ("role", "says", "model", "kind", "within", "at", "topic"):
        if name in cells:
            yield shown(cells[name])
    for name in ("scale", "offset", "baseline", "unjoined", "sensor", "certificate", "due", "note"):
        if name in cells:
            yield f"{name} {shown(cells[name])}"


def _show_problems(plan: Plan, source: str) -> None:
    """Mistakes of the table by row and column; those of other files as `check` tells them."""
    own = [problem for problem in plan.problems if problem.file == source]
    head = (say("行", "row"), say("列", "column"), say("发现", "found"), say("应为", "expected"))
    rows = [(str(one.line or "-"), one.path or "-", one.found, one.expected) for one in own]
    if own:
        print_table([head, *rows])
    print_problems(problem for problem in plan.problems if problem.file != source)


# ---------------------------------------------------------------- sensors that were moved or changed

at_option = click.option("--at", "at", metavar="TIME", help="since when: 2026-11-20T10:00; now")


@devices.command("rezero")
@click.argument("device")
@click.argument("quantity")
@config_option
@at_option
@click.option("--component", default="", help="a part of it: slot-3")
@click.option("--was", type=float, help="what it showed before; the archive's last values before TIME")
@click.option("--reads", type=float, help="what it shows since; the archive's first values after TIME")
@click.option("--baseline", type=float, help="instead: rules count from this value, beginning at TIME")
@click.option("--note", default="", help="why: 移位, 修缮")
@dry_option
def devices_rezero(
    device: str, quantity: str, path: Path, at: str | None, component: str, was: float | None,
    reads: float | None, baseline: float | None, note: str, dry_run: bool,
) -> None:  # fmt: skip
    """归位 · A sensor was mounted anew. From TIME on its values go on where they were."""
    from gateway.registry import Joint, rezeroed

    loaded = load_files(path)
    _known(loaded.world, device)
    since = _minute(at, loaded.world.timezone)
    joint = Joint(loaded.world, device, component, quantity, since)
    if baseline is None:
        was, reads = _both_sides(loaded, joint, was, reads)
        _say_sides(joint, was, reads)
    cells = rezeroed(joint, was, reads, baseline, note)
    _put_entries(path, [cells], dry_run)


@devices.command("swap")
@click.argument("device")
@click.option("--sensor", required=True, metavar="SERIAL", help="serial number of the new one")
@config_option
@at_option
@click.option("--was", multiple=True, metavar="QUANTITY=VALUE", help="what the old one showed last")
@click.option("--reads", multiple=True, metavar="QUANTITY=VALUE", help="what the new one shows at first")
@click.option("--quantity", "quantities", multiple=True, help="only this; all with a baseline")
@click.option("--certificate", default="", help="of the new one")
@click.option("--due", default="", metavar="DAY", help="when it must be calibrated again: 2027-11-20")
@dry_option
def devices_swap(
    device: str, sensor: str, path: Path, at: str | None, was: tuple[str, ...], reads: tuple[str, ...],
    quantities: tuple[str, ...], certificate: str, due: str, dry_run: bool,
) -> None:  # fmt: skip
    """换装 · A sensor was changed. From TIME on: no jump, and the old one's clock is forgotten."""
    from gateway.registry import Joint, joined_quantities, swapped

    loaded = load_files(path)
    known, since = _known(loaded.world, device), _minute(at, loaded.world.timezone)
    given_was, given_reads = _given(was), _given(reads)
    whole = {"device": device, "from": since, "sensor": sensor, "certificate": certificate, "due": due}
    entries: list[Mapping[str, str]] = [whole]
    for component, quantity in joined_quantities(loaded.world, known, quantities, {*given_was, *given_reads}):
        joint = Joint(loaded.world, device, component, quantity, since)
        sides = _sides(loaded, joint, given_was.get(quantity), given_reads.get(quantity))
        _say_sides(joint, *sides)
        entries.append(swapped(joint, *sides))
    _put_entries(path, entries, dry_run)


def _minute(at: str | None, timezone: str) -> str:
    from gateway.typed import Minute, parse_as

    found = at or local_time(time.time_ns(), timezone)[:16].replace(" ", "T")  # the box may be set to UTC
    try:
        return str(parse_as(found, Minute))
    except ValueError:
        raise click.UsageError("--at is a local time such as 2026-11-20T10:00") from None


def _given(pairs: Iterable[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        quantity, _, value = pair.partition("=")
        try:
            found[quantity] = float(value)
        except ValueError:
            raise click.UsageError(f"{pair}: QUANTITY=VALUE, such as crack_mm=2.5") from None
    return found


def _sides(
    loaded: Any, joint: Joint, was: float | None, reads: float | None
) -> tuple[float | None, float | None]:
    """What the quantity showed before the joint and since, as far as it was said or the archive knows."""
    from gateway.registry import around
    from gateway.web.history import recent_history

    before, since = around(recent_history(loaded.config.archive.directory), joint)
    return (before if was is None else was), (since if reads is None else reads)


def _both_sides(loaded: Any, joint: Joint, was: float | None, reads: float | None) -> tuple[float, float]:
    before, since = _sides(loaded, joint, was, reads)
    if was is not None and since is None:
        since = _sides(loaded, joint, None, None)[0]  # nothing since: its last word is what it shows now
    if before is None or since is None:
        zh = "档案中没有安装前后的读数；请用 --at 指明时刻，或用 --was 和 --reads 写明"
        en = "the archive has no values on both sides; say --at when, or --was and --reads what"
        sys.exit("lilong: " + say(zh, en))
    return before, since


def _say_sides(joint: Joint, was: float | None, reads: float | None) -> None:
    if was is None or reads is None:
        after = f"lilong devices rezero {joint.device} {joint.quantity} --at {joint.since}"
        zh = f"新传感器读数未知，相对基线的规则暂停判断，有读数后接上：{after}"
        en = f"not known on both sides; rules that count from a baseline wait for: {after}"
        click.echo(f"{joint.quantity}: {say(zh, en)}")
        return
    sides = say(f"之前 {was:g}，之后读 {reads:g}", f"was {was:g}, reads {reads:g} since")
    click.echo(f"{joint.quantity}: {sides}")


def _put_entries(path: Path, entries: Sequence[Mapping[str, str]], dry_run: bool) -> None:
    from gateway.csvfile import table_of
    from gateway.registry import plan_rows

    rows = [(n, {key: cell for key, cell in entry.items() if cell}) for n, entry in enumerate(entries, 1)]
    table = table_of("calibration", rows)
    _change(path, lambda: plan_rows(path, table, CALIBRATIONS, locale_of()), "calibration", dry_run)


# ---------------------------------------------------------------- strangers


@devices.command("unknown")
@config_option
def devices_unknown(path: Path) -> None:
    """陌生 · Who speaks and is in no table. Messages kept, first, last, which models understand them."""
    world = load_world(path)
    with closing(open_store(path)) as db:
        query = (
            "SELECT topic, count(*) AS count, min(wall_ns) AS first, max(wall_ns) AS last, max(id) AS id "
            "FROM quarantine WHERE state = 'kept' AND code = 'unknown_device' GROUP BY topic "
            "ORDER BY last DESC LIMIT ?"
        )
        found = db.execute(query, (UNKNOWN_MOST,)).fetchall()
        payload = "SELECT payload FROM quarantine WHERE id = ?"
        said = [db.execute(payload, (row["id"],)).fetchone()["payload"] for row in found]
    if not found:
        click.echo(say("没有陌生设备", "no strangers"), err=True)
        return
    head = (say("主题", "topic"), say("条数", "kept"), say("最早", "first"), say("最近", "last"))
    rows = [_stranger_row(world, *each) for each in zip(found, said, strict=True)]
    print_table([(*head, say("可能的型号", "models that fit")), *rows])
    zh = "收编：lilong devices adopt 主题 --as 编号 --model 型号 --at 地点"
    en = "to take one in: lilong devices adopt TOPIC --as ID --model MODEL --at PLACE"
    click.echo(say(zh, en), err=True)


def _stranger_row(world: World, row: sqlite3.Row, payload: bytes) -> Sequence[str]:
    first, last = (local_time(row[at], world.timezone) for at in ("first", "last"))
    return row["topic"], str(row["count"]), first, last, ", ".join(_fitting(world, payload)) or "-"


def _fitting(world: World, payload: bytes) -> list[str]:
    """The models that make something of a payload without a fault; whoever reads most of it first."""
    from gateway.tuning.examples import anybodys, understand

    text = payload.decode("utf-8", "surrogateescape")
    found = []
    for model in world.models.values():
        understood = understand(anybodys(model), text)
        if understood.readings and not understood.faults:
            found.append((-sum(len(one.values) for one in understood.readings), model.id))
    return [name for _, name in sorted(found)[:3]]


@devices.command("adopt")
@click.argument("topic")
@click.option("--as", "name", required=True, metavar="ID", help="what it is to be called")
@click.option("--model", required=True, help="what it is: a name of lilong devices unknown")
@click.option("--at", "place", required=True, metavar="PLACE", help="id of a place")
@click.option("--says", default="", metavar="NAME", help="its name, as in messages")
@table_option
@config_option
def devices_adopt(topic: str, name: str, model: str, place: str, says: str, table: str, path: Path) -> None:
    """收编 · Take a stranger in, with all it has said. That is stored as of then, and pages nobody."""
    from gateway.csvfile import table_of
    from gateway.registry import plan_rows

    _check_table(table, ["devices"])
    cells = {"id": name, "says": says, "model": model, "at": place, "topic": topic}
    row = table_of("adopt", [(1, {path: cell for path, cell in cells.items() if cell})])
    _change(path, lambda: plan_rows(path, row, table, locale_of()), "adopt")
    _replay(path, _kept(path, topic))


def _kept(path: Path, topic: str) -> list[int]:
    """What strangers have said on the topic of a device (which may hold a +)."""
    from gateway.core.decoding import matches

    if not (state_of(path) / "lilong.db").exists():
        return []
    query = "SELECT id, topic FROM quarantine WHERE state = 'kept' AND code = 'unknown_device' ORDER BY id"
    with closing(open_store(path)) as db:
        return [row["id"] for row in db.execute(query) if matches(topic, row["topic"])]


def _replay(path: Path, numbers: Sequence[int]) -> None:
    from gateway.control import SOCKET, ControlError, ask

    still: list[str] = []
    try:
        for first in range(0, len(numbers), REPLAYED_AT_ONCE):
            still += ask(state_of(path) / SOCKET, "replay", ids=numbers[first : first + REPLAYED_AT_ONCE])
    except (ControlError, OSError):
        zh = f"{len(numbers)} 条旧数据仍在隔离区；网关运行后执行 lilong quarantine replay --all"
        en = f"{len(numbers)} messages stay in quarantine; once it runs: lilong quarantine replay --all"
        click.echo(say(zh, en))
        return
    for line in still:
        click.echo(line)
    taken = len(numbers) - len(still)
    zh = f"补入 {taken} 条旧数据，仍被拒绝 {len(still)} 条"
    click.echo(say(zh, f"{taken} kept messages taken, {len(still)} still refused"))
    sys.exit(1 if still else 0)
