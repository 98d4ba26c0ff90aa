"""Small worlds for tests of the core: one street, one cabinet, two people, a clock that is a number."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date

from gateway.core.conditions import parsed
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Basis,
    Case,
    Codec,
    Components,
    Device,
    Effect,
    Event,
    Field,
    Level,
    Limit,
    Link,
    Message,
    Messages,
    Model,
    Noted,
    Notification,
    Outcome,
    Person,
    Place,
    Post,
    Rule,
    Step,
    Tick,
    Told,
    Unit,
    Verb,
    World,
)
from gateway.core.state import State

START_NS = 1_793_620_800 * SECOND  # 2026-11-02 20:00 in Shanghai
TOPIC = "site/cab-1"


def limits(*rows):
    """(level, above, hold_s, clear) rows."""
    return tuple(
        Limit(level=level, above=float(above), hold_s=hold, clear=clear) for level, above, hold, clear in rows
    )


HOT = Rule(
    id="slot-hot", says="充电仓过热", scene="cabinet", quantity="slot_temperature_c", each="slot",
    limits=limits((Level.YELLOW, 55, 60, 50.0), (Level.ORANGE, 65, 10, 58.0), (Level.RED, 75, 0, None)),
    basis=Basis(text="test", confidence="D"), action="断开该仓", respond_within_s=600,
)  # fmt: skip
SMOKE = Rule(
    id="smoke", says="充电柜烟雾", scene="cabinet", quantity="smoke", clear_hold_s=60,
    limits=limits((Level.RED, 0.5, 0, None)), basis=Basis(text="test", confidence="D"), action="疏散",
)  # fmt: skip
SILENT = Rule(
    id="silent", says="充电柜失联", scene="cabinet", quantity="", clear_hold_s=30,
    limits=(Limit(level=Level.ORANGE, absent_s=300), Limit(level=Level.RED, absent_s=900)),
    basis=Basis(text="test", confidence="D"), action="到场查看",
)  # fmt: skip


def rule(when: str = "", quantity: str = "", **more) -> Rule:
    """One that weighs an expression, or else looks at a quantity; `above` may stand for its limits."""
    quantity = quantity or (parsed(when).quantities[0] if when else "temperature_c")
    given = {
        "id": "weighed", "says": "试验", "scene": "cabinet", "quantity": quantity, "when": when,
        "called": "算出的值" if when else "", "each": "slot" if quantity.startswith("slot") else "",
        "limits": (Limit(level=Level.RED, above=more.pop("above", 0.5)),), "clear_hold_s": 0.0,
        "basis": Basis(text="test", confidence="D"), "action": "看",
    }  # fmt: skip
    return Rule(**{**given, **more})


CABINET = Model(
    id="cabinet", says="充电柜", scene="cabinet", source="test", lateness_s=600,
    codec=Codec(kind="json", time="ts", time_unit="s", identity="id"),
    components=(Components(kind="slot", path="slots", number="no", count=8),),
    fields=(
        Field(quantity="smoke", path="smoke"),
        Field(quantity="temperature_c", path="t"),
        Field(quantity="slot_temperature_c", path="t", of="slot"),
    ),
)  # fmt: skip


def world(rules=(HOT, SMOKE, SILENT), devices=("cab-1",), **changes) -> World:
    ladder = (
        Step(role="property", by=("inbox",)),
        Step(role="committee", by=("inbox",), after_s=300),
    )
    parts = {
        "models": {"cabinet": CABINET},
        "rules": tuple(rules),
        "places": {
            "street": Place(id="street", says="枫林街道", kind="street"),
            "yard": Place(id="yard", says="向阳小区", kind="compound", within="street"),
        },
        "units": {"firm": Unit(id="firm", says="徐房物业"), "jw": Unit(id="jw", says="宛南居委")},
        "persons": {
            "wang": Person(id="wang", says="王经理", unit="firm", reach={"inbox": "wang"}),
            "li": Person(id="li", says="李主任", unit="jw", reach={"inbox": "li"}),
        },
        "posts": (
            Post(role="property", at="yard", unit="firm", person="wang", since=date(2026, 1, 1)),
            Post(role="committee", at="street", unit="jw", person="li", since=date(2026, 1, 1)),
        ),
        "ladders": {level: ladder for level in Level},
        "devices": {
            name: Device(id=name, model="cabinet", at="yard", topic=f"site/{name}") for name in devices
        },
        "digest": "one",
    }
    return World(**{**parts, **changes})


def payload(slots=None, **values) -> bytes:
    """A cabinet's message: slots={3: 56.0}, smoke=1, ts=…"""
    if slots is not None:
        values["slots"] = [{"no": number, "t": t} for number, t in slots.items()]
    return json.dumps(values).encode()


@dataclass
class Play:
    """An engine, the hour, and everything that came of it."""

    engine: Engine = field(
        default_factory=lambda: Engine(world(rules=(HOT, SMOKE)), State(identity="0000002a"))
    )
    at: int = 0
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self):
        self.give(Link(0, START_NS, True))

    def wall(self) -> int:
        return START_NS + self.at

    def give(self, event: Event) -> list[Effect]:
        found = self.engine.step(event)
        self.effects += found
        return found

    def wait(self, seconds: float) -> list[Effect]:
        """Time passes, with a tick at every instant that the engine asks for."""
        end, found = self.at + int(seconds * SECOND), []
        while (due := self.engine.next_due()) is not None and due <= end:
            self.at = max(due, self.at)
            found += self.give(Tick(self.at, self.wall()))
        self.at = end
        return found

    def say(
        self, slots=None, *, topic=TOPIC, retained=False, again=False, raw=None, **values
    ) -> list[Effect]:
        body = raw if raw is not None else payload(slots, **values)
        return self.give(Messages(self.at, self.wall(), [Message(topic, body, retained, again)]))

    def act(self, case: str, verb: Verb, person: str = "wang") -> list[Effect]:
        return self.give(Act(self.at, self.wall(), case, person, verb))

    def told(self, notification: Notification, told: Told = Told.ACCEPTED, **more) -> list[Effect]:
        return self.give(Outcome(self.at, self.wall(), notification.id, told, **more))

    # ------------------------------------------------------------ what came of it

    def levels(self) -> list[str]:
        """The alert changes in order: levels, and "clear"."""
        return levels(self.effects)

    def notifications(self) -> list[Notification]:
        return of(self.effects, Notification)

    def case(self) -> Case:
        """The newest state of the one case."""
        found = {case.id: case for case in of(self.effects, Case)}
        assert len(found) == 1, found
        return next(iter(found.values()))

    def noted(self) -> list[str]:
        return [noted.event for noted in of(self.effects, Noted)]


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]


def levels(effects) -> list[str]:
    return [
        "clear" if alert.state is AlertState.CLEARED else alert.level.word for alert in of(effects, Alert)
    ]
