"""Whom an alert would reach: the ladder of a device, a rule's level and an instant; what a file expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from gateway import csvfile, yamlfile
from gateway.checks.parts import check_known
from gateway.core.calendars import local
from gateway.core.conditions import applies
from gateway.core.duty import Gap, Holder, Way
from gateway.core.effective import effective
from gateway.core.model import Device, Level, Origin, Rule, World
from gateway.core.routing import Recipient, Rung, plan, scene_of
from gateway.core.texts import LACKS, role_name
from gateway.grammar import NOWHERE, instant_ns
from gateway.problems import Problems, say, shown
from gateway.typed import LENIENT, Builder, Identifier, Kind, Minute, parse_duration, spell

COPY = "copy:"  # before a person who is only informed
LACKS_EN = {
    "vacant": "nobody holds it",
    "not_begun": "no turn has begun",
    "unknown": "held by nobody of the site",
    "leave": "{who} is on leave, nobody stands in",
    "unreachable": "{who} has no address on these channels",
}

# ---------------------------------------------------------------- one question


@dataclass(frozen=True, slots=True)
class Line:
    """One person that a rung tells; `person` is "" for a rung that reaches nobody."""

    after_s: float
    at: str  # local
    person: str
    says: str
    channels: tuple[tuple[str, str], ...]  # channel, address as it may be shown
    copy: bool
    role: str
    why: tuple[str, str]  # zh, en


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a ladder would do."""

    waits_s: float  # quiet hours
    lines: tuple[Line, ...]


def answer(world: World, device: Device, rule: Rule, level: Level, wall_ns: int) -> Answer:
    """As if the alert were raised at that instant, and nobody answered; no line if the rule tells nobody."""
    if not rule.tells:
        return Answer(0.0, ())
    waits_ns, rungs = plan(world, device, level, wall_ns)
    return Answer(waits_ns / 1e9, tuple(line for rung in rungs for line in _lines(world, rung)))


def _lines(world: World, rung: Rung) -> Iterator[Line]:
    at = local(rung.wall_ns, world.timezone).strftime("%Y-%m-%d %H:%M:%S")
    passed = [_lack(world, gap) for gap in rung.told.gaps]
    for one in rung.told.recipients:
        yield _line(world, rung, at, one, [] if one.copy else passed)
    if not rung.told.responsible:
        why = "；".join(zh for zh, _ in passed), "; ".join(en for _, en in passed)
        yield Line(rung.after_s, at, "", "", (), False, " ".join(rung.step.roles), why)


def _line(world: World, rung: Rung, at: str, one: Recipient, passed: Sequence[tuple[str, str]]) -> Line:
    zh, en = reason(world, one.holder)
    zh, en = "；".join([zh, *(text for text, _ in passed)]), "; ".join([en, *(text for _, text in passed)])
    channels = tuple((channel, shown(address)) for channel, address in one.channels)
    role = one.holder.role
    return Line(rung.after_s, at, one.person.id, one.person.says, channels, one.copy, role, (zh, en))


def reason(world: World, found: Holder) -> tuple[str, str]:
    """How somebody comes to answer."""
    place = world.places.get(found.at)
    where, name = place.says if place else found.at, role_name(found.role)
    zh, en = {
        Way.POST: (f"任{where} {name}", f"{found.role} at {found.at}"),
        Way.TURN: (f"{where} {name} 轮值", f"on duty as {found.role} at {found.at}"),
        Way.OVERRIDE: (f"{where} {name} 临时换班", f"an override as {found.role} at {found.at}"),
        Way.HEAD: (f"{where} {name} 所在单位负责人", f"head of the unit of {found.role} at {found.at}"),
    }[found.way]
    if not found.stands_in_for:
        return zh, en
    absent = world.persons[found.stands_in_for].says
    return f"{zh}，代{absent}", f"{en}, for {found.stands_in_for}"


def _lack(world: World, gap: Gap) -> tuple[str, str]:
    zh, en = lack(world, gap)
    place = world.places.get(gap.at)
    return (
        f"{place.says if place else gap.at} {role_name(gap.role)} 空缺：{zh}",
        f"{gap.role} at {gap.at} empty: {en}",
    )


def lack(world: World, gap: Gap) -> tuple[str, str]:
    """Why a post is empty."""
    who = world.persons.get(gap.person)
    zh = LACKS[gap.lack].format(who=who.says if who else gap.person)
    return zh, LACKS_EN[gap.lack].format(who=gap.person)


def unasked(world: World, device: Device, rule: Rule, level: Level) -> tuple[str, str] | None:
    """Why the question has no answer: the rule does not judge the device, or has no such level."""
    if not applies(rule, device, scene_of(world, device.id)):
        return f"规则 {rule.id} 不判断设备 {device.id}", f"rule {rule.id} does not judge device {device.id}"
    if all(limit.level is not level for limit in effective(world, rule, device).limits):
        return f"规则 {rule.id} 没有级别 {level.word}", f"rule {rule.id} has no level {level.word}"
    return None


# ---------------------------------------------------------------- many, with what is expected


@dataclass(frozen=True, slots=True)
class Expected:
    """`tang@2m/inbox/robot`, `copy:lift`: what is left out is not compared."""

    text: str
    person: str
    copy: bool = False
    after_s: float | None = None
    channels: tuple[str, ...] = ()

    def meets(self, line: Line) -> bool:
        told = tuple(channel for channel, _ in line.channels)
        return (
            (self.person, self.copy) == (line.person, line.copy)
            and self.after_s in (None, line.after_s)
            and self.channels in ((), told)
        )


def parse_expected(value: Any) -> Expected:
    """Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError
    told, *channels = value.split("/")
    name, at, after = told.partition("@")
    copy, name = name.startswith(COPY), name.removeprefix(COPY)
    if not name or " " in value or not all(channels):
        raise ValueError
    return Expected(value, name, copy, parse_duration(after) if at else None, tuple(channels))


ExpectedText = Annotated[Expected, Kind(say("told_person"), parse_expected)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteKeys:
    """One entry under `routes:`, or one row of a table."""

    device: Identifier
    rule: Identifier
    level: Level
    at: Minute
    expect: tuple[ExpectedText, ...]
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesKeys:
    """A file of routes."""

    routes: Annotated[tuple[RouteKeys, ...], LENIENT] = ()


spell(RouteKeys, expect=("expect", tuple[ExpectedText, ...]))


@dataclass(frozen=True, slots=True)
class Checked:
    """One entry of a file, and what the ladder does."""

    keys: RouteKeys
    answer: Answer

    @property
    def passed(self) -> bool:
        lines = [line for line in self.answer.lines if line.person]
        wanted = self.keys.expect
        return len(lines) == len(wanted) and all(map(Expected.meets, wanted, lines))


def check_file(path: Path, world: World, problems: Problems) -> list[Checked]:
    """Every entry of a YAML file or a table, answered; mistakes go to `problems`."""
    builder = Builder(problems)
    checked = []
    for keys in _read(path, builder, problems):
        device, rule = world.devices.get(keys.device), _rules(world).get(keys.rule)
        check_known(builder, keys, "device", "device", keys.device, world.devices)
        check_known(builder, keys, "rule", "rule", keys.rule, _rules(world))
        if device is None or rule is None:
            continue
        if unasked(world, device, rule, keys.level):
            found = say("no_such_route", rule=rule.id, level=keys.level.word, device=device.id)
            builder.mistake(keys, "rule", found, say("a_judging_rule"))
            continue
        at_ns = instant_ns(keys.at, world.timezone)
        checked.append(Checked(keys, answer(world, device, rule, keys.level, at_ns)))
    return checked


def _rules(world: World) -> dict[str, Rule]:
    return {rule.id: rule for rule in world.rules}


def _read(path: Path, builder: Builder, problems: Problems) -> Sequence[RouteKeys]:
    if path.suffix == ".csv":
        table, _ = csvfile.read(path, problems)
        rows = csvfile.records(table, RouteKeys, problems).items if table else ()
        return [keys for row in rows if (keys := builder.record(row, RouteKeys)) is not None]
    node, _ = yamlfile.read(path, problems)
    found = builder.record(node, RoutesKeys)
    return found.routes if found else ()
