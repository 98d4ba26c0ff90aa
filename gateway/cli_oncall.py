"""`lilong oncall`: who answers for which post at an instant, and which posts will be empty."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.terminal import Ordered, config_option, instant, load_world, local_time, print_table, say

if TYPE_CHECKING:
    from gateway.core.duty import Absence, Holder
    from gateway.core.model import World

DAY_NS = 86_400 * 10**9
LOOK_DAYS = 31  # so far ahead it is told until when somebody answers


@click.group(cls=Ordered)
def oncall() -> None:
    """值班 · Who answers for which post."""


@oncall.command()
@click.option("--at", "when", default="", metavar="TIME", help="2026-11-22T03:00, local; left out: now")
@click.option("--place", default="", help="the posts that count there, up to the street; left out: all posts")
@click.option("--json", "as_json", is_flag=True, help="for programs")
@config_option
def show(when: str, place: str, as_json: bool, path: Path) -> None:
    """谁在岗 · Who answers at an instant, until when, and why."""
    world = load_world(path)
    at_ns = instant(when, world.timezone)
    found = [_shown(world, *one, at_ns) for one in _posts(world, place)]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
        return
    head = say("地点 岗位 谁 到 原因", "place role who until why").split()
    rows = [
        (one["place"], one["role"], one["who"] or say("无人", "nobody"), one["until"], one["why"])
        for one in found
    ]
    print_table([head, *rows])


def _posts(world: World, place: str) -> list[tuple[str, str]]:
    """(place, role): of every post, or of those that count at a place."""
    from gateway.core.places import ancestors

    if not place:
        return list(dict.fromkeys((post.at, post.role) for post in world.posts))
    if place not in world.places:
        sys.exit(f"lilong: no place {place}")
    around = {one.id for one in ancestors(world, place)}
    return list(dict.fromkeys((place, post.role) for post in world.posts if post.at in around))


def _shown(world: World, place: str, role: str, at_ns: int) -> dict[str, str]:
    from gateway.core.duty import holder, instants
    from gateway.tuning.routes import lack, reason

    found = holder(world, place, role, at_ns)
    later = (
        edge
        for edge in instants(world, at_ns, at_ns + LOOK_DAYS * DAY_NS)
        if _id(holder(world, place, role, edge)) != _id(found)
    )
    until = next(later, None)
    why = [say(*reason(world, found))] if found.person else []
    why += [f"{gap.at}: {say(*lack(world, gap))}" for gap in found.gaps]
    return {
        "place": place, "role": role, "person": _id(found), "who": found.person.says if found.person else "",
        "until": local_time(until, world.timezone) if until else "", "why": "; ".join(why),
    }  # fmt: skip


def _id(found: Holder) -> str:
    return found.person.id if found.person else ""


@oncall.command()
@click.option("--days", default=14.0, show_default=True, help="so far ahead")
@click.option("--from", "since", default="", metavar="TIME", help="2026-11-22T00:00, local; left out: now")
@click.option("--place", default="", help="only for what stands there or within")
@click.option("--json", "as_json", is_flag=True, help="for programs")
@config_option
def gaps(days: float, since: str, place: str, as_json: bool, path: Path) -> None:
    """空岗 · Posts that the ladders name and that will be empty. Exits 1 if there is one."""
    from gateway.core.duty import absences
    from gateway.core.places import ancestors
    from gateway.core.routing import asked

    world = load_world(path)
    since_ns = instant(since, world.timezone, "--from")
    wanted = [
        one for one in asked(world) if not place or place in {each.id for each in ancestors(world, one.place)}
    ]
    found = absences(world, wanted, since_ns, since_ns + int(days * DAY_NS))
    if as_json:
        click.echo(json.dumps([_plain(world, one) for one in found], ensure_ascii=False, indent=1))
    elif found:
        head = say("从 到 地点 岗位 原因 改通知", "from to place role why instead").split()
        print_table([head, *_rows(world, found)])
    else:
        click.echo(say(f"ok: {days:g} 天内没有空岗", f"ok: no empty post in {days:g} days"))
    sys.exit(1 if found else 0)


def _rows(world: World, found: Sequence[Absence]) -> Iterator[Sequence[str]]:
    for one in found:
        plain = _plain(world, one)
        instead = world.persons[one.instead].says if one.instead else say("无人！", "nobody!")
        yield plain["from"], plain["to"], plain["place"], plain["role"], plain["why"], instead


def _plain(world: World, one: Absence) -> dict[str, Any]:
    from gateway.tuning.routes import lack

    return {
        "from": local_time(one.since_ns, world.timezone), "to": local_time(one.until_ns, world.timezone),
        "place": one.gap.at, "role": one.gap.role, "lack": one.gap.lack, "person": one.gap.person,
        "why": say(*lack(world, one.gap)), "instead": one.instead,
    }  # fmt: skip
