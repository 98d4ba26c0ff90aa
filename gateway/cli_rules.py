"""`lilong rule …`: what judges, in plain words, and who set each number of it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.terminal import Ordered, config_option, load_files, load_world, print_table, say

if TYPE_CHECKING:
    from gateway.checks.parts import Text
    from gateway.core.effective import Said
    from gateway.core.model import Device, Rule, World

TEXT = "text"  # the key of a row that is no number of a rule: characters of an approved text
ENTRIES_MOST = 50  # entries under tune shown of one rule


@click.group(cls=Ordered)
def rule() -> None:
    """规则 · Rules: what counts as trouble, and who set which number."""


@rule.command("list")
@config_option
def rule_list(path: Path) -> None:
    """列表 · Id, what it says, scene, levels, how many devices it judges, how many of them are tuned."""
    world = load_world(path)
    head = [say("编号", "id"), say("名称", "says"), say("场景", "scene"), say("级别", "levels")]
    head += [say("设备", "devices"), say("调整", "tuned")]
    print_table([head, *(_rule_row(world, one, alike) for alike in [_alike(world)] for one in world.rules)])
    click.echo(say(f"{len(world.rules)} 条", f"{len(world.rules)} rules"), err=True)


def _alike(world: World) -> list[tuple[Device, int]]:
    """One of those devices that no rule can tell apart, and how many they are."""
    kinds: dict[Any, Device] = {}
    counts: Counter[Any] = Counter()
    for device in world.devices.values():
        key = device.model, tuple(sorted(device.labels.items()))
        kinds.setdefault(key, device)
        counts[key] += 1
    return [(device, counts[key]) for key, device in kinds.items()]


def _rule_row(world: World, one: Rule, alike: Sequence[tuple[Device, int]]) -> list[str]:
    from gateway.core.conditions import speaks_of

    count = sum(many for device, many in alike if speaks_of(one, device, world))
    levels = " ".join(limit.level.word for limit in one.limits)
    return [one.id, one.says, one.scene, levels, str(count), str(_tuned(world, one))]


def _tuned(world: World, one: Rule) -> int:
    from gateway.core.conditions import speaks_of
    from gateway.core.effective import ranked

    if all(tuning.rule != one.id for tuning in world.tunings):
        return 0
    devices = world.devices.values()
    return sum(bool(speaks_of(one, device, world) and ranked(world, one.id, device)) for device in devices)


@rule.command("show")
@click.argument("name", metavar="ID")
@config_option
def rule_show(name: str, path: Path) -> None:
    """说明 · The whole rule in plain sentences, to be read aloud. Its tests, and who tuned it."""
    from gateway.core.sentences import sentences

    world = load_world(path)
    found = _known(world, name)
    click.echo(f"{found.says}（{found.id}，{found.origin}）")
    for sentence in sentences(found):
        click.echo(f"  {sentence}")
    for scenario in world.scenarios:
        if found.id in scenario.tested:
            click.echo(f"  试验：{scenario.name}（{scenario.origin}）")
    tunings = [one for one in world.tunings if one.rule == found.id]
    for tuning in tunings[:ENTRIES_MOST]:
        click.echo(f"  调整：{_scope(tuning)}：{tuning.because}（{tuning.origin}）")
    if len(tunings) > ENTRIES_MOST:
        click.echo(f"  … {len(tunings) - ENTRIES_MOST}")


def _scope(tuning: Any) -> str:
    labels = "、".join(f"{name}={value}" for name, value in tuning.labels.items())
    named = {"标签 ": labels, "地点 ": tuning.at, "设备 ": tuning.device}
    return next((word + value for word, value in named.items() if value), "全站")


@rule.command("effective")
@click.argument("device")
@config_option
@click.option("--rule", "only", default="", metavar="ID", help="of this rule alone")
@click.option("--json", "as_json", is_flag=True, help="for programs")
def rule_effective(device: str, path: Path, only: str, as_json: bool) -> None:
    """实际数值 · Every number that judges one device. Its value, the file and line that set it, and why.

    Where approved templates are registered, how long each comes to be for this device at the most, too.
    """
    from gateway.config import register
    from gateway.core.conditions import speaks_of
    from gateway.core.effective import provenance

    loaded = load_files(path)
    world, texts = loaded.world, register(loaded.config)
    if device not in world.devices:
        _unknown("设备", "device", device, list(world.devices))
    wanted = [_known(world, only)] if only else list(world.rules)
    known = world.devices[device]
    judging = [one for one in wanted if speaks_of(one, known, world)]
    said = [
        (one, number)
        for one in judging
        for number in (*provenance(world, one, known), *_texts(world, one, known, texts))
    ]
    if as_json:
        click.echo(json.dumps([_record(*each) for each in said], ensure_ascii=False, indent=1))
        return
    head = say("规则 级别 数值 为 写在 理由", "rule level key value set-in because").split()
    print_table([head, *(_number_row(*each) for each in said)])
    if not said:
        click.echo(say("没有规则判断这台设备", "no rule judges this device"), err=True)


def _texts(world: World, one: Rule, device: Device, register: Sequence[Text]) -> list[Said]:
    from gateway.checks.texts import lengths
    from gateway.core.effective import Said, effective

    found = lengths(effective(world, one, device), device, world, register)
    return [
        Said(None, TEXT, letters, template.origin, f"{template.channel} {template.id}")
        for template, letters in found
    ]


def _record(one: Rule, number: Said) -> dict[str, Any]:
    level = number.level.word if number.level else None
    where = {"file": number.origin.file, "line": number.origin.line}
    return {
        "rule": one.id, "level": level, "key": _key(number), "value": number.value,
        **where, "because": number.because or None,
    }  # fmt: skip


def _number_row(one: Rule, number: Said) -> Sequence[str]:
    level = number.level.word if number.level else "-"
    return one.id, level, _key(number), _value(one, number), str(number.origin), number.because or "-"


def _key(number: Said) -> str:
    """As the file writes it, but that `clear` is `clear_below` or `clear_above`."""
    return number.name.removesuffix("_s")


def _value(one: Rule, number: Said) -> str:
    from gateway.core.texts import span
    from gateway.tuning.facts import number_of

    if number.name == "off":
        return "off"
    if number.name == TEXT:
        from gateway.core.templates import parts

        return say(f"{number.value} 字", f"{number.value} characters") + f" ({parts(number.value)})"
    return span(number.value) if number.name.endswith("_s") else number_of(one, number)


# ---------------------------------------------------------------- names


def _known(world: World, name: str) -> Rule:
    from gateway.core.effective import book_of

    found = book_of(world).rules.get(name)
    return found or _unknown("规则", "rule", name, [one.id for one in world.rules])


def _unknown(zh: str, en: str, name: str, names: list[str]) -> Any:
    from gateway.typed import nearest

    close = nearest(name, names)
    hint = say(f"；是否为 {close}？", f"; did you mean {close}?") if close else ""
    sys.exit(say(f"lilong: 没有{zh} {name}{hint}", f"lilong: no {en} {name}{hint}"))
