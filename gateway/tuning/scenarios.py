"""Rules' own tests: a series of values in simulated time, and the levels it must raise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gateway.core.calendars import zone
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    AlertState,
    Calendar,
    Codec,
    Components,
    Device,
    Effect,
    Event,
    Field,
    Link,
    Message,
    Messages,
    Model,
    Place,
    Rule,
    Scenario,
    Tick,
    World,
)
from gateway.core.state import State

TAIL_S = 7 * 86400  # how long after the last value time goes on, for what still must happen
COMPONENT = 1
WEEKDAYS = Calendar()


@dataclass(frozen=True, slots=True)
class Happened:
    """One change of the alert: "yellow", "orange", "red" or "clear", seconds after the first value."""

    what: str
    after_s: float

    def __str__(self) -> str:
        return f"{self.what} @ {self.after_s:g}s"


def run(scenario: Scenario, rule: Rule, calendar: Calendar = WEEKDAYS) -> list[Happened]:
    """What the production engine makes of a scenario."""
    world = _world(scenario, rule, calendar)
    start_ns = int(datetime.fromisoformat(scenario.start).replace(tzinfo=zone(world.timezone)).timestamp())
    start_ns *= SECOND
    engine = Engine(world, State(identity="00000000"))
    found: list[Happened] = []
    engine.step(Link(0, start_ns, True))
    for event in _events(scenario, rule, start_ns):
        while (due := engine.next_due()) is not None and due < event.at:
            found += _happened(engine.step(Tick(due, start_ns + due)), due)
        found += _happened(engine.step(event), event.at)
    return found


def missed(scenario: Scenario, found: list[Happened]) -> str:
    """Why the scenario failed, as people read it; "" when it passed."""
    wanted = [Happened(what, after_s) for what, after_s in scenario.expect]
    if found == wanted:
        return ""
    return f"found [{', '.join(map(str, found))}], expected [{', '.join(map(str, wanted))}]"


def _happened(effects: list[Effect], at: int) -> Iterator[Happened]:
    for effect in effects:
        if isinstance(effect, Alert):
            cleared = effect.state is AlertState.CLEARED
            yield Happened("clear" if cleared else effect.level.word, at / SECOND)


def _events(scenario: Scenario, rule: Rule, start_ns: int) -> Iterator[Event]:
    steps = max(len(values) for values in scenario.series.values())
    for step in range(steps):
        at = int(step * scenario.every_s * SECOND)
        said = {name: values[step] for name, values in scenario.series.items() if step < len(values)}
        text = ",".join(f'"{name}":{value!r}' for name, value in said.items() if value is not None)
        if text:
            inside = f'"parts":[{{"no":{COMPONENT},{text}}}]' if rule.each else text
            payload = f"{{{inside}}}".encode()
            yield Messages(at, start_ns + at, [Message("scenario", payload)])
    end = int(((steps - 1) * scenario.every_s + TAIL_S) * SECOND)
    expected = max((after_s for _, after_s in scenario.expect), default=0.0)
    last = max(int(expected * SECOND), int((steps - 1) * scenario.every_s * SECOND))
    yield Tick(min(end, last), start_ns + min(end, last))


def _world(scenario: Scenario, rule: Rule, calendar: Calendar) -> World:
    """The smallest world in which the rule has one device to judge."""
    fields = tuple(Field(quantity=name, path=name, of=rule.each) for name in scenario.series)
    parts = (Components(kind=rule.each, path="parts", number="no", count=COMPONENT),) if rule.each else ()
    model = Model(
        id=rule.model or "scenario", says=rule.scene, scene=rule.scene, source="scenario",
        codec=Codec(kind="json"), fields=fields, components=parts,
    )  # fmt: skip
    place = Place(id="here", says="here", kind="point", windows=scenario.windows)
    baseline = dict.fromkeys(scenario.series, 0.0)
    device = Device(
        id="scenario", model=model.id, at="here", topic="scenario", baseline=baseline, labels=rule.labels
    )
    return World(
        models={model.id: model}, rules=(rule,), places={"here": place}, units={}, persons={}, posts=(),
        ladders={}, devices={"scenario": device}, calendar=calendar,
    )  # fmt: skip
