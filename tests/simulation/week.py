"""A week of a street of 2,000 devices on simulated time, with restarts, outages and edits thrown in."""

from __future__ import annotations

import gc
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from gateway import memory
from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    Case,
    Configured,
    Effect,
    Event,
    Kind,
    Link,
    Message,
    Messages,
    Noted,
    Notification,
    NotificationState,
    Refused,
    Verb,
    World,
)
from gateway.core.state import State
from simulators.lives import DAY, HOUR, MINUTE, Episode
from tests.simulation.edits import COPIED, Edit, copied, draw_edits
from tests.simulation.elsewhere import spoken
from tests.simulation.people import Make, People, act
from tests.simulation.stories import RESET_NS
from tests.simulation.street import START_NS, remembered, street
from tests.simulation.teller import DOWN_NS_MOST, creeping, tell_week
from tests.simulation.voices import Lane

DONE_NS = 30 * MINUTE
UNACKED = 20  # messages that the broker delivers again, flagged, after a lost connection
RECENT_MOST = 2_000  # messages remembered: each that comes again is looked for among all of them
JOURNAL_NS = 120 * SECOND  # at most so much lies behind a checkpoint
GARBAGE_MOST = 6  # engines left behind before they are looked for: each is 20 MB, a look half a second
DAYS_LEAST = 2  # of a story of 13 hours between two outages, with an hour before and after


# ---------------------------------------------------------------- what befalls the gateway itself


@dataclass(frozen=True)
class Fate:
    """When the gateway is cut off, dies and is edited."""

    outages: tuple[Episode, ...]
    restarts: tuple[Episode, ...]
    edits: tuple[int, ...]  # those at which it cannot hear are not made
    quiet: Episode  # none of them, so that a long silence can be told

    @property
    def deaf(self) -> list[Episode]:
        return sorted((*self.outages, *self.restarts), key=lambda one: one.begins_ns)


def draw_fate(seed: int, days: float) -> Fate:
    restarts, outages, edits = (math.ceil(rate * days) for rate in (6, 0.4, 6))
    dice, span = random.Random(f"{seed}/fate"), int(days * DAY)
    quiet = (
        Episode(START_NS + 3 * DAY + 5 * HOUR, START_NS + 4 * DAY + 12 * HOUR) if days >= 7 else Episode(0, 0)
    )

    def sometime() -> int:
        while True:
            at = START_NS + dice.randrange(span // 40, span - span // 40) // SECOND * SECOND
            if not quiet.begins_ns - HOUR < at < quiet.ends_ns:
                return at

    taken: list[Episode] = []
    for lasts_least, lasts_most, wanted in ((300, 900, outages), (3, DOWN_NS_MOST // SECOND, restarts)):
        for _ in range(wanted):
            begins = sometime()
            one = Episode(begins, begins + dice.randint(lasts_least, lasts_most) * SECOND)
            near = Episode(begins - HOUR // 2, one.ends_ns + HOUR // 4)
            if not any(near.begins_ns < other.ends_ns and other.begins_ns < near.ends_ns for other in taken):
                taken.append(one)
    cut = [one for one in taken if one.ends_ns - one.begins_ns > DOWN_NS_MOST]
    died = [one for one in taken if one not in cut]
    return Fate(tuple(cut), tuple(died), tuple(sorted(sometime() for _ in range(edits))), quiet)


# ---------------------------------------------------------------- the week


@dataclass
class Week:
    """Plays a lane to an engine that is cut off, killed and edited, while people answer it."""

    world: World
    lane: Lane
    state: State
    fate: Fate
    make: Callable[..., Engine] = Engine
    alerts: list[Alert] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    noted: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    stepped: int = 0
    spent_s: float = 0.0

    def play(self) -> Week:
        began = time.perf_counter()
        self.engine = self._made(self.world, self.state)
        self.dice = random.Random(f"{self.lane.seed}/play")
        self._people = People(DONE_NS)
        self._ids: set[str] = set()
        self._topics = {voice.topic for voice in self.lane.voices if voice.retained}
        self._states: dict[str, Message] = {}  # what the broker holds retained
        self._last: deque[Message] = deque(maxlen=UNACKED)
        self._kept: list[Message] = []
        self._journal: list[tuple[Event, list[Effect]]] | None = None
        self._away: Episode | None = None
        self._garbage = 0
        self._step(START_NS, lambda at, wall: Link(at, wall, True))
        self._hear(START_NS, self.lane.remembered())
        plan = deque(self._plan())
        with settled():
            for at_ns, messages in spoken(self.lane):
                while plan and plan[0][0] <= at_ns:
                    due, happen = plan.popleft()
                    self._until(due)
                    happen(due)
                self._publish(at_ns, messages)
            self._until(self.lane.ends_ns)
        self.spent_s = time.perf_counter() - began
        return self

    def _plan(self) -> Iterator[tuple[int, Callable[[int], None]]]:
        """What will happen to the gateway, in order of time."""
        saves = [one.begins_ns - self.dice.randrange(JOURNAL_NS) for one in self.fate.restarts]
        self.edits = draw_edits(self.world, self.fate.edits, self.fate.deaf, self.dice)
        for edit in self.edits:
            if edit.joins is not None:
                self.lane.join(edit.joins, edit.at_ns)
            if edit.leaves:
                self.lane.leave(edit.leaves, edit.at_ns)
        found: list[tuple[int, Callable[[int], None]]] = [(one.at_ns, self._edit(one)) for one in self.edits]
        for one in self.fate.outages:
            found += [(one.begins_ns, self._cut_off(one)), (one.ends_ns, self._back)]
        for one, saved in zip(self.fate.restarts, saves, strict=True):
            found += [(saved, self._save), (one.begins_ns, self._die(one)), (one.ends_ns, self._restart)]
        found = [one for one in found if one[0] < self.lane.ends_ns]
        return iter(sorted(found, key=lambda pair: pair[0]))

    # ------------------------------------------------------------ the broker

    def _publish(self, at_ns: int, messages: list[Message]) -> None:
        by_name = self._states
        for message in messages:
            if message.topic in self._topics:
                by_name[message.topic] = message
        if self._away is not None:
            self._kept += messages
            return
        self._last.extend(messages)
        self._until(at_ns)
        self._hear(at_ns, messages)

    def _cut_off(self, outage: Episode) -> Callable[[int], None]:
        def happen(at_ns: int) -> None:
            self._step(at_ns, lambda at, wall: Link(at, wall, False))
            self._away = outage

        return happen

    def _back(self, at_ns: int) -> None:
        """The broker hands over what it holds: states, what was not acknowledged, and what it kept."""
        self._away = None
        self._step(at_ns, lambda at, wall: Link(at, wall, True))
        held = [Message(one.topic, one.payload, retained=True) for one in self._states.values()]
        held += [Message(one.topic, one.payload, again=True) for one in self._last]
        held += self._kept
        self._kept, self._last = [], deque(self._kept, maxlen=UNACKED)
        self._hear(at_ns, held)

    # ------------------------------------------------------------ the gateway dies

    def _save(self, at_ns: int) -> None:
        """A checkpoint, and from now on a journal of what lies behind it."""
        self._saved = states.save(self.engine.state), list(self.engine.recent), self.engine.world
        self._journal = []

    def _die(self, outage: Episode) -> Callable[[int], None]:
        def happen(at_ns: int) -> None:
            self._away = outage
            self._restore()

        return happen

    def _left_behind(self) -> None:
        """An engine, or the rooms of one, that nobody needs any more."""
        self._garbage += 1
        if self._garbage % GARBAGE_MOST == 0:
            memory.settle()

    def _made(self, world: World, state: State, recent: Sequence[tuple[int, Message]] = ()) -> Engine:
        engine = self.make(world, state, recent)
        engine.repeats.recent = deque(engine.recent, maxlen=RECENT_MOST)
        return engine

    def _restore(self) -> None:
        """From the checkpoint, and the events behind it stepped again: to the same effects."""
        body, recent, world = self._saved
        self.engine = self._made(world, states.load(body), recent)
        for event, effects in self._journal or ():
            if self.engine.step(event) != effects:
                self.problems.append(f"stepped again at {event.wall_ns}: other effects")
        self._journal = None
        self._left_behind()

    def _restart(self, at_ns: int) -> None:
        self._back(at_ns)

    # ------------------------------------------------------------ the rules are edited

    def _edit(self, edit: Edit) -> Callable[[int], None]:
        def happen(at_ns: int) -> None:
            event = Configured(at_ns, at_ns, edit.world.digest)
            self._take(self.engine.reconfigure(event, edit.world), at_ns)
            if self._journal is not None:
                self._save(at_ns)  # a checkpoint follows a reload at once
            self._left_behind()

        return happen

    # ------------------------------------------------------------ time

    def _until(self, wall_ns: int) -> None:
        """Everything that is due before an instant: timers of the engine, answers, people."""
        if self._away is not None and self._away in self.fate.restarts:
            return  # there is no engine
        while (due := self._people.first(self.engine.next_due(), wall_ns)) is not None:
            self._step(*due)

    def _hear(self, at_ns: int, items: list[Message]) -> None:
        if items:
            self._step(at_ns, lambda at, wall: Messages(at, wall, items))

    def _step(self, at_ns: int, make: Make) -> None:
        """The steady clock and the wall agree all week: one number serves as both."""
        at_ns = max(at_ns, self.engine.state.at)
        event = make(at_ns, at_ns)
        effects = self.engine.step(event)
        self.stepped += 1
        if self._journal is not None:
            self._journal.append((event, effects))
        if effects:
            self._take(effects, at_ns)

    def _take(self, effects: Sequence[Effect], at_ns: int) -> None:
        for effect in effects:
            if isinstance(effect, Noted):
                self.noted[effect.event] += 1
            elif isinstance(effect, Alert):
                self.alerts.append(effect)
            elif isinstance(effect, Case):
                self.cases[effect.id] = effect
            elif isinstance(effect, Refused):
                self.refused.append(effect)
            elif isinstance(effect, Notification) and effect.state is NotificationState.DUE:
                self._told(effect, at_ns)

    # ------------------------------------------------------------ people

    def _told(self, told: Notification, now: int) -> None:
        if told.id in self._ids:
            self.problems.append(f"message id {told.id} given twice")
        self._ids.add(told.id)
        self._people.told(told, now)
        if told.kind is Kind.LATCHED:
            self._people.plan(now + RESET_NS, act(told, Verb.RESET, "到场看过，无火情"))


@contextmanager
def settled() -> Iterator[None]:
    """Python looks for garbage as in the daemon: what lives as long as the engine is not walked each time."""
    before = gc.get_threshold()
    memory.settle()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


# ---------------------------------------------------------------- of a seed


def prepare(seed: int, days: float = 7, only: Sequence[str] = ()) -> Week:
    """The week of a seed, or its first days, ready to be played. `only`: devices that speak, with whoever
    shares a story or a gateway with them; all others are not there. Raises ValueError for too short a span.
    """
    if days < DAYS_LEAST:
        raise ValueError(f"found {days:g} days, expected at least {DAYS_LEAST}, or not every story has room")
    world = street(seed)
    if unknown := set(only) - world.devices.keys():
        raise ValueError(
            f"found no device {', '.join(sorted(unknown))}, expected such as tilt-chirpstack-000"
        )
    fate = draw_fate(seed, days)
    teller = tell_week(world, seed, days, fate.deaf, fate.quiet)
    creeps = creeping(teller) if days >= 7 else {}
    stories = teller.stories
    if only:
        stories = [story for story in stories if story.devices & set(only)]
        world = part(world, set(only).union(*(story.devices for story in stories)))
    return Week(world, Lane(world, seed, stories, days), remembered(world, seed, creeps), fate)


def part(world: World, names: Set[str]) -> World:
    """Some of its devices, the gateways that carry them, and one that edits can copy."""
    kept = {*names, *(world.devices[name].behind for name in names)}
    if not any(world.devices[name].model in COPIED for name in names):
        kept.add(copied(world).id)
    return replace(world, devices={name: one for name, one in world.devices.items() if name in kept})
