"""A scenario as the gateway would live it: its devices in a small world, its events in simulated time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec

from gateway.core.calendars import zone
from gateway.core.conditions import parsed
from gateway.core.model import (
    SECOND,
    Actor,
    Calendar,
    Codec,
    Components,
    Device,
    Event,
    Field,
    Level,
    Link,
    Message,
    Messages,
    Model,
    Person,
    Place,
    Post,
    Rule,
    Sample,
    Scenario,
    Step,
    Tick,
    Unit,
    World,
)
from gateway.series import UNSET, Said, parse_subject, value_of

DEVICE = "scenario"  # the device whose name no series gives
HERE, KEEPER = "here", "keeper"
COMPONENT = 1  # the part whose name no series gives
TAIL_S = 7 * 86400  # how long after the last value time may go on, for what still must happen
Subject = tuple[str, str, str]  # device, component, quantity


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person does at an instant; of which case, only the play can tell."""

    at: int
    wall_ns: int
    verb: str


# ---------------------------------------------------------------- who speaks of what


def subjects(scenario: Scenario, rules: Sequence[Rule]) -> dict[Subject, tuple[Said, ...]]:
    """The series, each with the device and the part that the file may leave out."""
    found = {}
    for key, said in scenario.series.items():
        device, component, quantity = parse_subject(key)
        kind = _kind(quantity, rules)
        found[device or DEVICE, component or (f"{kind}-{COMPONENT}" if kind else ""), quantity] = said
    return found


def _kind(quantity: str, rules: Sequence[Rule]) -> str:
    """The kind of part it is measured on: that of the rule that names it."""
    naming = [rule for rule in rules if quantity in quantities_of(rule)]
    return (naming or rules)[0].each


def quantities_of(rule: Rule) -> tuple[str, ...]:
    return parsed(rule.when).quantities if rule.when else (rule.quantity,)


# ---------------------------------------------------------------- the world


def world_of(scenario: Scenario, rules: Sequence[Rule], calendar: Calendar) -> World:
    """The smallest world in which the rules have these devices to judge, and somebody to tell."""
    series = subjects(scenario, rules)
    actors = {name: scenario.devices.get(name, Actor()) for name, _, _ in series}
    scenes = {name: actor.scene or rules[0].scene for name, actor in actors.items()}
    models = {scene: _model(scene, series, rules) for scene in sorted(set(scenes.values()))}
    devices = [
        _device(name, actors[name], models[scene], [rule for rule in rules if rule.scene == scene], series)
        for name, scene in scenes.items()
    ]
    rung = (Step(role=KEEPER, by=("inbox",)),)
    post = Post(role=KEEPER, at=HERE, unit=KEEPER, person=KEEPER, since=date.min)
    return World(
        models={model.id: model for model in models.values()},
        rules=tuple(rules),
        places={HERE: Place(id=HERE, says=HERE, kind="point", windows=scenario.windows)},
        units={KEEPER: Unit(id=KEEPER, says=KEEPER)},
        persons={KEEPER: Person(id=KEEPER, says=KEEPER, unit=KEEPER, reach={"inbox": KEEPER})},
        posts=(post,),
        ladders=dict.fromkeys(Level, rung),
        devices={device.id: device for device in devices},
        calendar=calendar,
    )


def _model(scene: str, series: Mapping[Subject, object], rules: Sequence[Rule]) -> Model:
    names = [rule.model for rule in rules if rule.scene == scene and rule.model]
    kinds: dict[str, int] = {}
    fields: dict[tuple[str, str], Field] = {}
    for _, component, quantity in series:
        kind, _, number = component.rpartition("-")
        fields[kind, quantity] = Field(quantity=quantity, path=quantity, of=kind)
        if kind:
            kinds[kind] = max(kinds.get(kind, 0), int(number))
    return Model(
        id=names[0] if names else scene, says=scene, scene=scene, source="scenario",
        codec=Codec(kind="json", time="time", time_unit="ns"), fields=tuple(fields.values()),
        components=tuple(
            Components(kind=kind, path=f"{kind}s", number="no", count=count) for kind, count in kinds.items()
        ),
    )  # fmt: skip


def _device(
    name: str, actor: Actor, model: Model, rules: Sequence[Rule], series: Mapping[Subject, object]
) -> Device:
    """It carries what the rules of its scene ask for; every baseline is 0."""
    labels = {label: value for rule in rules for label, value in rule.labels.items()} | dict(actor.labels)
    baseline = {quantity: 0.0 for _, _, quantity in series}
    return Device(
        id=name, model=model.id, at=HERE, topic=name, baseline=baseline, labels=labels, behind=actor.behind
    )


# ---------------------------------------------------------------- the events


def events(scenario: Scenario, rules: Sequence[Rule], timezone: str) -> Iterator[Event | Asked]:
    """What happens, in its order; at one instant the link first, then the devices, then people."""
    start = datetime.fromisoformat(scenario.start).replace(tzinfo=zone(timezone))
    start_ns = int(start.timestamp()) * SECOND
    yield Link(0, start_ns, True)
    found: list[Event | Asked] = [
        Link(_ns(after_s), start_ns + _ns(after_s), turn == "up") for turn, after_s in scenario.link
    ]
    found += _messages(scenario, rules, start_ns)
    found += [Asked(_ns(after_s), start_ns + _ns(after_s), verb) for verb, after_s in scenario.acts]
    yield from sorted(found, key=lambda event: event.at)
    end = _end(scenario, max(event.at for event in found))
    yield Tick(end, start_ns + end)


def _end(scenario: Scenario, last: int) -> int:
    """Time goes on until the last thing that happens or is expected, though for that not for ever."""
    expected = max((_ns(after_s) for _, after_s in scenario.expect), default=0)
    return max(last, last_step(scenario), min(expected, last_step(scenario) + _ns(TAIL_S)))


def last_step(scenario: Scenario) -> int:
    """The instant of the last step."""
    return _ns((max(map(len, scenario.series.values())) - 1) * scenario.every_s)


def _messages(scenario: Scenario, rules: Sequence[Rule], start_ns: int) -> Iterator[Messages]:
    """Each with the instant at which it comes; what is sent while the link is down the broker keeps."""
    series = subjects(scenario, rules)
    for device in dict.fromkeys(name for name, _, _ in series):
        own = {key[1:]: steps for key, steps in series.items() if key[0] == device}
        for said_at, payload in _said(own, _ns(scenario.every_s), start_ns):
            at = _heard_at(scenario, said_at)
            if at is not None:
                yield Messages(at, start_ns + at, [Message(device, payload)])


def _said(
    series: Mapping[tuple[str, str], Sequence[Said]], every_ns: int, start_ns: int
) -> Iterator[tuple[int, bytes]]:
    """When a device sends what. One fault in a step is the fault of the whole message."""
    skew_s, last = 0.0, b""
    for step in range(max(map(len, series.values()))):
        said = {key: steps[step] for key, steps in series.items() if step < len(steps)}
        faults = [one for one in said.values() if isinstance(one, Sample)]
        at = step * every_ns
        skew_s = next((one.skew_s for one in faults if one.skew_s is not None), skew_s)
        if last and any(one.again for one in faults):
            yield at, last
        values = {key: value for key, one in said.items() if (value := value_of(one)) is not None}
        if values:
            last = payload_of(values, SECOND + at if skew_s == UNSET else start_ns + at + _ns(skew_s))
            yield at + _ns(max((one.late_s for one in faults), default=0.0)), last


def payload_of(values: Mapping[tuple[str, str], float], measured_ns: int) -> bytes:
    body: dict[str, object] = {"time": measured_ns}
    for (component, quantity), value in values.items():
        kind, _, number = component.rpartition("-")
        if not kind:
            body[quantity] = value
            continue
        parts = body.setdefault(f"{kind}s", {})
        assert isinstance(parts, dict)
        parts.setdefault(number, {"no": int(number)})[quantity] = value
    listed = {key: list(part.values()) if isinstance(part, dict) else part for key, part in body.items()}
    return msgspec.json.encode(listed)


def _heard_at(scenario: Scenario, said_at: int) -> int | None:
    """When the gateway gets it; None when the link stays down."""
    turns = sorted((_ns(after_s), turn == "up") for turn, after_s in scenario.link)
    before = [up for at, up in turns if at <= said_at]
    if not before or before[-1]:
        return said_at
    return next((at for at, up in turns if at > said_at and up), None)


def _ns(seconds: float) -> int:
    return int(seconds * SECOND)
