"""The pure engine on simulated time, between a broker in memory, a provider that delivers, and people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gateway.adapters.store import Record
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    Case,
    Effect,
    Link,
    Message,
    Messages,
    Notification,
    NotificationState,
    Tick,
    World,
)
from gateway.core.state import State
from simulators.lives import MINUTE
from simulators.neighbourhood import Neighbourhood, Sent
from tests.simulation.people import Make, People

DONE_NS = 10 * MINUTE
RESET_NS = 30 * MINUTE  # of what is latched, once it is good again
IDENTITY = "000000da"  # a store's, part of every id
UNACKED = 20  # messages that the broker delivers again, flagged, after a lost connection


@dataclass(frozen=True)
class Outage:
    """The broker cannot reach us: it keeps what is published, and hands it over afterwards."""

    begins_ns: int
    ends_ns: int


@dataclass
class Day:
    """Plays a neighbourhood to an engine. `records` is what a gateway would have committed."""

    world: World
    lane: Neighbourhood
    outages: tuple[Outage, ...] = ()
    make: Callable[[World, State], Engine] = Engine
    heard: Callable[[Message], Message] = lambda message: message  # a canary may spoil it
    records: list[Record] = field(default_factory=list)

    def play(self) -> Day:
        self.engine = self.make(self.world, State(identity=IDENTITY))
        self._people = People(DONE_NS, RESET_NS, "现场已查看")
        start = self.lane.start_ns
        self._step(start, lambda at, wall: Link(at, wall, True))
        self._hear(start, [_retained(sent) for sent in self.lane.remembered()])
        for at_ns, link, messages in self._broker():
            self._until(at_ns)
            if link is not None:
                self._step(at_ns, lambda at, wall, up=link: Link(at, wall, up))
            self._hear(at_ns, messages)
        self._until(self.lane.end_ns)
        return self

    def effects(self) -> Iterator[Effect]:
        return (effect for record in self.records for effect in record.effects)

    def alerts(self) -> list[Alert]:
        return [effect for effect in self.effects() if isinstance(effect, Alert)]

    def cases(self) -> dict[str, Case]:
        """Every case as it stands at the end."""
        return {effect.id: effect for effect in self.effects() if isinstance(effect, Case)}

    # ------------------------------------------------------------ the broker

    def _broker(self) -> Iterator[tuple[int, bool | None, list[Message]]]:
        """(instant, the link's change, messages): one delivery for each second in which anything came."""
        states: dict[str, Sent] = {}
        last: list[Sent] = []  # delivered, and not yet acknowledged should the link be lost now
        kept: list[Sent] = []
        outage: Outage | None = None
        coming = list(self.outages)
        for second in _seconds(self.lane):
            now = second[-1].at_ns
            if outage is not None and now >= outage.ends_ns:
                again = [Message(sent.topic, sent.payload, again=True) for sent in last]
                held = [*map(_retained, states.values()), *again, *(sent.message() for sent in kept)]
                yield outage.ends_ns, True, held
                outage, last, kept = None, kept, []
            if coming and now >= coming[0].begins_ns:
                outage = coming.pop(0)
                yield outage.begins_ns, False, []
            states.update({sent.topic: sent for sent in second if sent.retained})
            if outage is not None:
                kept += second
            else:
                last = [*last, *second][-UNACKED:]
                yield now, None, [sent.message() for sent in second]

    # ------------------------------------------------------------ time

    def _until(self, wall_ns: int) -> None:
        """Everything that is due before an instant: timers of the engine, answers, people."""
        while (due := self._people.first(self.engine.next_due(), wall_ns)) is not None:
            self._step(*due)

    def _hear(self, wall_ns: int, messages: Iterable[Message]) -> None:
        items = [self.heard(message) for message in messages]
        if items:
            self._step(wall_ns, lambda at, wall: Messages(at, wall, items))

    def _step(self, wall_ns: int, make: Make) -> None:
        """The steady clock and the wall agree all day: one number serves as both."""
        event = make(wall_ns, wall_ns)
        effects = self.engine.step(event)
        if effects or not isinstance(event, Tick):
            self.records.append(Record(event, effects))
        for effect in effects:
            if isinstance(effect, Notification) and effect.state is NotificationState.DUE:
                self._people.told(effect, wall_ns)


def _retained(sent: Sent) -> Message:
    return Message(sent.topic, sent.payload, retained=True)


def _seconds(sents: Iterable[Sent]) -> Iterator[list[Sent]]:
    """Messages that came in the same second."""
    second: list[Sent] = []
    for sent in sents:
        if second and sent.at_ns // SECOND != second[0].at_ns // SECOND:
            yield second
            second = []
        second.append(sent)
    if second:
        yield second
