"""A few hours of a small street as one fixed row of events, to be stopped and edited at any of them.

Every kind of condition is in it: limits with holds, windows, baselines, silence of one and of many, states
that end by themselves, doubted values, derived quantities. The row is made once, from a seed; what an engine
makes of it, killed or edited, is compared with what the undisturbed one made.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Effect,
    Event,
    Kind,
    Link,
    Message,
    Messages,
    Notification,
    NotificationState,
    Told,
    Verb,
    World,
)
from gateway.core.state import State
from simulators.encoding import Encoder
from simulators.lives import MINUTE, life_of
from tests.simulation.people import People, act, outcome
from tests.simulation.street import IDENTITY, START_NS, ZONE, Stock, street

STOCK = (
    Stock("tilt-chirpstack", 4, 600, "yards"),
    Stock("milesight-gs301", 4, 1200, "yards"),
    Stock("structure-monitor", 2, 600),
    Stock("crack-gauge", 2, 1800),
    Stock("cabinet-8", 2, 60),
    Stock("lift-camera", 2, 60),
    Stock("lift-camera-hikvision", 2, 30),
    Stock("waste-camera", 2, 60),
    Stock("shed-smoke", 3, 600),
    Stock("lorawan-gateway", 16, 30),
)
UNNUMBERED = "site/shed-smoke"  # its state holds nothing by which a message is known again
BEGINS_NS = START_NS + 19 * 60 * MINUTE + 40 * MINUTE  # windows close while it goes on, and a day ends
CHECKPOINT_EVERY = 8  # events
# What its devices may say beside an ordinary day: model -> (component, quantity, values)
SAYS = {
    "cabinet-8": [("slot-3", "slot_temperature_c", (34.0, 56.0, 66.0, 76.0)), ("", "smoke", (0.0, 0.0, 1.0))],
    "lift-camera": [("", "ebike_present", (0.0, 1.0))],
    "lift-camera-hikvision": [("", "ebike_present", (0.0, 1.0))],
    "waste-camera": [("", "bag_on_floor", (0.0, 1.0)), ("", "overflow", (0.0, 1.0))],
    "shed-smoke": [("", "smoke", (0.0, 0.0, 1.0)), ("", "battery_pct", (80.0, 15.0, 5.0))],
    "tilt-chirpstack": [("", "tilt_x_deg", (0.0, 0.22, 0.3, 0.4))],
    "structure-monitor": [("", "crack_mm", (0.0, 2.0, 6.0)), ("", "temperature_c", (15.0, 15.0))],
    "crack-gauge": [("", "crack_mm", (0.0, 2.0))],
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after so many events, and the messages remembered then."""

    index: int
    body: bytes
    recent: list[tuple[int, Message]]


@dataclass(frozen=True)
class Row:
    """The events, what came of each, and a checkpoint now and then."""

    seed: int
    world: World
    events: list[Event]
    effects: list[list[Effect]]
    checkpoints: list[Checkpoint]

    def before(self, index: int) -> Checkpoint:
        """The last checkpoint at or before an event."""
        return self.checkpoints[index // CHECKPOINT_EVERY]

    def resumed(self, index: int, world: World | None = None) -> Engine:
        """An engine from that checkpoint, to which every event before `index` has been told again."""
        saved = self.before(index)
        engine = Engine(world or self.world, states.load(saved.body), saved.recent)
        for event in self.events[saved.index : index]:
            engine.step(event)
        return engine


def small_street(seed: int) -> World:
    world = street(seed, STOCK)
    gateways = {device.behind for device in world.devices.values()} - {""}
    kept = {n: d for n, d in world.devices.items() if d.model != "lorawan-gateway" or n in gateways}
    one = min(gateways)  # all behind the same, so that they may fall silent together
    devices = {n: replace(d, behind=one) if d.behind else d for n, d in kept.items()}
    models = {device.model: world.models[device.model] for device in devices.values()}
    return replace(world, devices=devices, models=models)


def make_row(seed: int, length: int) -> Row:
    """Plays until there are `length` events."""
    return _Playing(seed, small_street(seed)).play(length)


class _Playing:
    def __init__(self, seed: int, world: World) -> None:
        self.seed, self.world, self.dice = seed, world, random.Random(f"{seed}/kills")
        self.engine = Engine(world, State(identity=IDENTITY, at=BEGINS_NS - SECOND))
        self.row = Row(seed, world, [], [], [])
        self.people = People()
        self.number = count()
        self.lives = {
            name: life_of(device, world.models[device.model], seed, ZONE)
            for name, device in world.devices.items()
        }
        self.silent_until: dict[str, int] = {}
        self.sent: deque[Message] = deque(maxlen=20)
        self.moods: dict[tuple[str, str], float] = {}

    def play(self, length: int) -> Row:
        now, up = BEGINS_NS, True
        self.step(Link(now, now, True))
        self.step(Messages(now, now, [self.said(name, now) for name in sorted(self.lives)]))
        while len(self.row.events) < length:
            now += self.dice.choice((1, 3, 10, 20, 45, 60, 90, 400)) * SECOND
            self.until(now)
            chance = self.dice.random()
            if chance < 0.03:
                up = not up
                self.step(Link(now, now, up))
            elif chance < 0.05:
                self.falls_silent(now)
            elif up:
                self.step(Messages(now, now, list(self.messages(now))))
        return self.row

    def falls_silent(self, now: int) -> None:
        """One device, or the gateway and all behind it, for up to an hour or two."""
        gone = [self.dice.choice(sorted(self.lives))]
        gone += [name for name, one in self.world.devices.items() if one.behind == gone[0]]
        for name in gone:
            self.silent_until[name] = now + self.dice.randrange(10, 120) * MINUTE

    def messages(self, now: int) -> Iterator[Message]:
        for name in self.dice.sample(sorted(self.lives), self.dice.choice((1, 4, 8, 12))):
            if self.silent_until.get(name, 0) < now:
                message = self.said(name, now - self.dice.choice((0, 0, 0, 1, 30, 4000)) * SECOND)
                yield message
                if self.dice.random() < 0.05:
                    yield message
                self.sent.append(message)
        if len(self.sent) > 4 and self.dice.random() < 0.2:  # the broker was not sure that we have it
            yield _again(self.dice.choice(self.sent))
        yield from self.remembered()

    def remembered(self) -> Iterator[Message]:
        """Once more, as the broker delivers it: what the last checkpoint alone knows that we have."""
        kept = [one for _, one in self.row.checkpoints[-1].recent if one.topic.startswith(UNNUMBERED)]
        yield from map(_again, kept[-1:])

    def said(self, name: str, measured: int) -> Message:
        device, life = self.world.devices[name], self.lives[name]
        said = life.say(measured, ())
        for component, quantity, values in SAYS.get(device.model, ()):
            key = name, quantity
            if key not in self.moods or self.dice.random() < 0.1:  # it stays so for a while
                self.moods[key] = self.dice.choice(values)
            said[component][quantity] = device.baseline.get(quantity, 0.0) + self.moods[key]
        payload = Encoder(device=device, model=life.model, zone=ZONE)(said, measured, next(self.number))
        return Message(device.topic, payload)

    def until(self, now: int) -> None:
        """Timers and answers that are due before an instant."""
        while (due := self.people.first(self.engine.next_due(), now)) is not None:
            at, make = due
            self.step(make(at, at))

    def step(self, event: Event) -> None:
        if len(self.row.events) % CHECKPOINT_EVERY == 0:
            body, recent = states.save(self.engine.state), list(self.engine.recent)
            self.row.checkpoints.append(Checkpoint(len(self.row.events), body, recent))
        effects = self.engine.step(event)
        self.row.events.append(event)
        self.row.effects.append(effects)
        for effect in effects:
            if isinstance(effect, Notification) and effect.state is NotificationState.DUE:
                self.told(effect, event.at)

    def told(self, told: Notification, now: int) -> None:
        found = self.dice.choice((Told.ACCEPTED, Told.ACCEPTED, Told.LATER, Told.REFUSED))
        self.people.plan(now + SECOND, outcome(told, found))
        if told.kind is not Kind.CLEARED and self.dice.random() < 0.7:
            verb = self.dice.choice((Verb.ACKNOWLEDGE, Verb.DONE, Verb.FALSE))
            self.people.plan(now + self.dice.randrange(10, 1200) * SECOND, act(told, verb))


def _again(message: Message) -> Message:
    return Message(message.topic, message.payload, again=True)
