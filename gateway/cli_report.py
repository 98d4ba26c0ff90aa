"""`lilong report`, `lilong digest`: what became of the cases of some time, and what people bore meanwhile."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from gateway.terminal import (
    config_option,
    judging_world,
    legible,
    load_files,
    local_time,
    now_of,
    open_store,
    print_table,
    say,
    state_of,
)

USUAL = ("committee", "compound", "street")  # the first that the site has is ranked by


@click.command()
@click.option("--month", default="", metavar="YYYY-MM", help="a whole month")
@click.option("--from", "since", default="", metavar="YYYY-MM-DD", help="the first day; 30 days back")
@click.option(
    "--to", "until", default="", metavar="YYYY-MM-DD", help="the first day no longer in it; tomorrow"
)
@click.option(
    "--by", default="",
    help="rank by a kind of place (street, area, committee, compound), or by a role (property): its units; "
    "committee, where there are some",
)  # fmt: skip
@click.option("--place", default="", help="only what is in this place: its id")
@click.option("--html", type=click.Path(path_type=Path), help="as a page with charts, to read or print")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="as a table for a spreadsheet")
@click.option("--json", "as_json", is_flag=True, help="for a program")
@config_option
def report(
    month: str, since: str, until: str, by: str, place: str, html: Path | None, table: Path | None,
    as_json: bool, path: Path,
) -> None:  # fmt: skip
    """报告 · What became of the cases found in some days.

    In time or late, how long each stage took, who was best, and the alerts people bore: worked out from the
    audited history as it is now.
    """
    from gateway.reporting import gather, page, tables

    with closing(open_store(path)) as db:
        world, now_ns = judging_world(db), now_of(db)
        since_ns, until_ns = _interval(month, since, until, world.timezone, now_ns)
        by = _known(world, by, place)
        found = gather.gather(db, world, since_ns, until_ns, now_ns, by, place)
    if html:
        html.write_text(page.as_html(found), "utf-8")
    if table:
        table.write_text(tables.as_csv(found), "utf-8", newline="")
    if as_json:
        click.echo(json.dumps(tables.as_json(found), ensure_ascii=False, indent=1))
    elif not html and not table:
        _print(found)


def _interval(month: str, since: str, until: str, timezone: str, now_ns: int) -> tuple[int, int]:
    """(first instant, first instant after it) of what was asked for, in local days."""
    from gateway.core.calendars import local_date
    from gateway.reporting.digest import day_ns

    today = local_date(now_ns, timezone)
    if month and (since or until):
        raise click.UsageError("say --month, or --from and --to")
    if month:
        first = _day(f"{month}-01", "--month")
        last = (first + timedelta(days=31)).replace(day=1)
    else:
        last = _day(until, "--to") if until else today + timedelta(days=1)
        first = _day(since, "--from") if since else last - timedelta(days=30)
    if first >= last:
        raise click.UsageError(f"--from {first} must be before --to {last}")
    return day_ns(first, timezone), day_ns(last, timezone)


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{option} {text}: expected a date such as 2026-11-01") from None


def _known(world: Any, by: str, place: str) -> str:
    """What to rank by. What the site does not have is refused by name."""
    kinds = {one.kind for one in world.places.values()} | {one.role for one in world.posts}
    if by and by not in kinds:
        raise click.UsageError(f"--by {by}: expected one of {', '.join(sorted(kinds))}")
    if place and place not in world.places:
        raise click.UsageError(f"--place {place}: no such place")
    return by or next((one for one in USUAL if one in kinds), USUAL[0])


def _print(found: Any) -> None:
    from gateway.reporting import drills, tables

    zone, second_ns = found.world.timezone, 10**9
    since, until = (local_time(ns, zone)[:10] for ns in (found.since_ns, found.until_ns - second_ns))
    click.echo(f"处置报告 {since} 至 {until}，截至 {local_time(found.now_ns, zone)}")
    click.echo(tables.count_line(found))
    _section("各环节（挂起时间不计）", tables.LEG_HEAD, tables.leg_rows(found.total))
    _section(f"排名 --by {found.by}", tables.GROUP_HEAD, tables.group_rows(found))
    _section("现在逾期", tables.LATE_HEAD, tables.late_rows(found))
    click.echo("\n报警负荷（ISA-18.2）")
    for line in tables.load_lines(found):
        click.echo(legible(line))
    _section("通知到人", tables.PERSON_HEAD, tables.person_rows(found))
    _section("演练（不计入以上各数）", drills.HEAD, drills.rows(found.drills, found.world))
    _section("演练接手时间，逐月", drills.TREND_HEAD, drills.trend_rows(found.drills, found.world))


def _section(title: str, head: Any, rows: Any) -> None:
    if rows:
        click.echo(f"\n{title}")
        print_table([tuple(say(one.zh, one.en) for one in head), *rows])


@click.command()
@click.argument("place", default="")
@click.option("--week", default="", metavar="YYYY-Www", help="such as 2026-W47; the last one that is over")
@click.option("--write", is_flag=True, help="a file a place into the digests folder of the state directory")
@config_option
def digest(place: str, week: str, write: bool, path: Path) -> None:
    """周报 · The week of a place on less than a page. PLACE left out: of every street, committee and grid."""
    from gateway.adapters.archive import count_qualities
    from gateway.reporting import digest as weekly

    now_ns, archive = time.time_ns(), load_files(path).config.archive.directory
    with closing(open_store(path)) as db:
        world = judging_world(db)
        asked = _week(week, world.timezone, now_ns)
        if place and place not in world.places:
            raise click.UsageError(f"{place}: no such place")
        counts = count_qualities(archive, None, *asked.instants(world.timezone))
        texts = [
            (one, weekly.digest(db, world, one, asked, now_ns, counts))
            for one in ([place] if place else weekly.places(world))
        ]
    if write:
        for file in weekly.write(state_of(path) / weekly.FOLDER, asked, texts):
            click.echo(str(file))
    else:
        click.echo("\n".join(text for _, text in texts), nl=False)


def _week(text: str, timezone: str, now_ns: int) -> Any:
    from gateway.reporting.digest import Week

    try:
        return Week.parse(text) if text else Week.before(now_ns, timezone)
    except ValueError:
        sys.exit(f"lilong: --week {text}: {say('须为', 'expected')} 2026-W47")
