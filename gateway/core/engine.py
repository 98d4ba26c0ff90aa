"""The one place where anything is decided: `step(event)` changes the state and returns what follows.

Deterministic: no clock, no lots, no order of a set. The event carries its instant, every span is arithmetic
on it, so that the same log gives the same effects live, after a crash and in replay.

The parts, each knowing only those before it: watches (what is configured), judging (rules), lasting and
silences (what time alone brings), hearing (messages). Here they are put together, and time passes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from gateway.core import weekly
from gateway.core.caseload import Caseload, Step
from gateway.core.decoding import Decoder
from gateway.core.hearing import Hearing
from gateway.core.judging import Judging
from gateway.core.lasting import Ending
from gateway.core.model import (
    SECOND,
    Act,
    Configured,
    Effect,
    Event,
    Link,
    Message,
    Messages,
    Outcome,
    Reading,
    Receipt,
    Reply,
    Weekly,
    World,
)
from gateway.core.repeats import Repeats
from gateway.core.silences import Silences
from gateway.core.state import State
from gateway.core.timers import Timers
from gateway.core.watches import Watches

RETRY_NS = 60 * SECOND  # after what was due has failed
WATCH_NS = 60 * SECOND  # between two looks at whether every open case has a next timer


class Engine:
    """Judges events of one World. `recent` are the last (at, message) before the state's position."""

    def __init__(self, world: World, state: State, recent: Iterable[tuple[int, Message]] = ()) -> None:
        self.state, self.repeats = state, Repeats(recent)
        self._adopt(world)

    @property
    def recent(self) -> deque[tuple[int, Message]]:
        return self.repeats.recent

    @property
    def readings(self) -> list[list[Reading]]:
        """Of each message of the last Messages event."""
        return self.hearing.readings

    # ------------------------------------------------------------ the one door

    def step(self, event: Event) -> list[Effect]:
        """What follows from an event, after what was due before it."""
        step = Step(event.at, event.wall_ns)
        heard_at, self.state.at = self.state.at, event.at
        self.judging.let_go(step)
        if isinstance(event, Link):  # first: a silence that fell due while we were deaf proves nothing
            self.silences.link(event, heard_at)
            self.ending.resume()
        self._advance(step)
        if isinstance(event, Messages):
            self.hearing.messages(step, event)
            self._look_for_pictures(step, event)
        elif isinstance(event, Outcome):
            self.cases.outcome(step, event)
        elif isinstance(event, Receipt):
            self.cases.receipts.receipt(step, event)
        elif isinstance(event, Reply):
            self.cases.receipts.reply(step, event)
        elif isinstance(event, Weekly):
            weekly.send(self.cases.book, step, event)
        elif isinstance(event, Act):
            self.cases.act(step, event)
            self.judging.reset(step)
        if step.joined:
            self.cases.telling.recount(step)
        self.cases.cards.follow(step)
        self._arm(step)
        self._watch(step)
        return step.effects

    def _look_for_pictures(self, step: Step, event: Messages) -> None:
        """What cameras say of pictures; nearly always nothing."""
        snapshots, decoder = self.cases.snapshots, self.decoder
        if not event.kept and self.state.snapshots:
            snapshots.look(step, event.items, decoder)
        if self.hearing.asides:
            snapshots.heard(step, self.hearing.asides, decoder)
            self.hearing.asides = []

    def reconfigure(self, event: Configured, world: World) -> list[Effect]:
        """From this event on another World judges; what stands, stands. Save a checkpoint right after."""
        before = self.step(event)
        self.state.past.clear()  # what the rules that go would have said
        self.state.disabled.clear()
        self._adopt(world)
        step = Step(event.at, event.wall_ns)
        self.judging.let_go(step)
        self._arm(step)
        return before + step.effects

    def next_due(self) -> int | None:
        """The steady instant at which time alone may change something; a Tick is wanted then."""
        return self.timers.next_due()

    # ------------------------------------------------------------ the World

    def _adopt(self, world: World) -> None:
        state = self.state
        self.world, state.digest = world, world.digest
        self.timers, self.decoder = Timers(), Decoder(world)
        self.cases = Caseload(world, state)
        self.watches = Watches(world, state, self.decoder)
        self.judging = Judging(world, state, self.watches, self.cases, self.timers)
        self.ending = Ending(state, self.watches, self.judging, self.timers)
        self.silences = Silences(state, self.watches, self.judging, self.timers)
        self.hearing = Hearing(
            state, self.decoder, self.watches, self.judging, self.silences, self.ending, self.repeats,
            self.timers,
        )  # fmt: skip
        for timer in self.cases.timers():
            self.timers.push(*timer)
        self._handlers: dict[str, Callable[[Step, int, str], None]] = {  # by kind of timer
            "climb": lambda step, due, key: self.cases.climb(step, key, due),
            "hand_over": self.cases.hand_over,
            "track": self.judging.track_due,
            "rejudge": self.judging.rejudge,
            "weigh": self.judging.weigh_due,
            "end": self.ending.due,
            "silence": self.silences.due,
            "held": self.hearing.turn_due,
            "review": self.cases.standing.due,
            "drill": self.cases.drills.due,
            "shelf": self.cases.shelving.due,
            "receipt": self.cases.receipts.due,
            "snapshot": self.cases.snapshots.due,
            "turn": self.judging.turn_due,  # after "track": at one instant a hold runs out first
        }

    # ------------------------------------------------------------ time

    def _advance(self, step: Step) -> None:
        """Everything that was due, in the order in which it was."""
        while (timer := self.timers.pop(step.at)) is not None:
            due, kind, key = timer
            try:
                self._handlers[kind](step, due, key)
            except Exception as error:  # it comes before every event: left alone it would stop them all
                step.note("timer_failed", kind=kind, error=error)
                self.timers.push(step.at + RETRY_NS, kind, key)  # what time must move is not forgotten
            self._arm(step)

    def _watch(self, step: Step) -> None:
        """Now and then: an open case that nothing would ever move again is a defect of ours. It is said, and
        the case moves.
        """
        if step.at - self.state.watched_at < WATCH_NS:
            return
        self.state.watched_at = step.at
        for case in self.cases.unwatched(self.timers.armed):
            step.note("case_unwatched", case=case)
            self.timers.push(step.at, "climb", case)

    def _arm(self, step: Step) -> None:
        for timer in step.timers:
            self.timers.push(*timer)
        step.timers.clear()
