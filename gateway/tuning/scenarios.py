"""Rules' own tests: a series of values in simulated time, and what must come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.alerts import Phase
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Calendar,
    Effect,
    Event,
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Rule,
    Scenario,
    Tick,
    Told,
    Verb,
)
from gateway.core.state import State
from gateway.tuning.playing import KEEPER, Asked, events, world_of

TELLING = ("told", "untold")  # compared only where a scenario expects one of them
WEEKDAYS = Calendar()
NOTE = "scenario"  # why the person of a scenario does what it does


Expected = tuple[str, float]  # as Scenario.expect has it


@dataclass(frozen=True, slots=True)
class Happened:
    """One change of an alert: a level's word, "clear", "told" or "untold", seconds after the first value."""

    what: str
    after_s: float
    rule: str = ""
    device: str = ""
    component: str = ""

    @property
    def names(self) -> set[str]:
        """What an expectation may call its subject."""
        whole = f"{self.device}.{self.component}" if self.component else self.device
        return {self.rule, self.device, self.component, whole} - {""}

    def __str__(self) -> str:
        return f"{self.what} @ {self.after_s:g}s"


@dataclass(frozen=True, slots=True)
class Played:
    """What the production engine made of a scenario."""

    scenario: Scenario
    happened: tuple[Happened, ...]
    beyond: frozenset[tuple[str, Level]]  # a rule's level was beyond its limit for a while at least

    @property
    def found(self) -> list[Happened]:
        """What counts: of people told only where the scenario speaks of it."""
        telling = any(what.split()[-1] in TELLING for what, _ in self.scenario.expect)
        return [one for one in self.happened if telling or one.what not in TELLING]

    @property
    def missed(self) -> str:
        """Why it failed, as people read it; "" when it passed."""
        if all(wanted and found for wanted, found in self.pairs()):
            return ""
        found, wanted = map(self.line, self.found), (f"{what} @ {at:g}s" for what, at in self.scenario.expect)
        return f"found [{', '.join(found)}], expected [{', '.join(wanted)}]"

    def pairs(self) -> list[tuple[Expected | None, Happened | None]]:
        """Each expectation with its own event; those that say most choose first. In the order of instants."""
        left, pairs = list(self.found), list[tuple[Expected | None, Happened | None]]()
        for words, after_s in sorted(self.scenario.expect, key=lambda one: -len(one[0].split())):
            *subject, what = words.split()
            fits = (one for one in left if (one.what, one.after_s) == (what, after_s))
            chosen = next((one for one in fits if one.names.issuperset(subject)), None)
            pairs.append(((words, after_s), chosen))
            if chosen:
                left.remove(chosen)
        pairs += [(None, one) for one in left]
        return sorted(pairs, key=_instant)

    def line(self, one: Happened) -> str:
        """With as much of the subject as tells it from the others."""
        rule = f"{one.rule} " if len(self.scenario.tested) > 1 else ""
        subjects = {(other.device, other.component) for other in self.happened}
        subject = ".".join(filter(None, (one.device, one.component))) + " " if len(subjects) > 1 else ""
        return f"{rule}{subject}{one}"


def _instant(pair: tuple[Expected | None, Happened | None]) -> float:
    wanted, found = pair
    return wanted[1] if wanted else found.after_s if found else 0.0


def play(scenario: Scenario, *rules: Rule, calendar: Calendar = WEEKDAYS) -> Played:
    """Lives the scenario through, with these rules."""
    return _Play(scenario, rules, calendar).played()


def run(scenario: Scenario, *rules: Rule, calendar: Calendar = WEEKDAYS) -> list[Happened]:
    return play(scenario, *rules, calendar=calendar).found


def missed(scenario: Scenario, found: Sequence[Happened]) -> str:
    """Why the scenario failed, as people read it; "" when it passed."""
    return Played(scenario, tuple(found), frozenset()).missed


@dataclass(slots=True)
class _Play:
    """One run of the engine."""

    scenario: Scenario
    rules: Sequence[Rule]
    calendar: Calendar
    happened: list[Happened] = field(default_factory=list)
    beyond: set[tuple[str, Level]] = field(default_factory=set)
    stands: dict[str, Alert] = field(default_factory=dict)  # each alert as it was last
    worse: dict[tuple[str, int], Alert] = field(default_factory=dict)  # it rose at that instant
    told: set[tuple[str, int]] = field(default_factory=set)

    def played(self) -> Played:
        world = world_of(self.scenario, self.rules, self.calendar)
        engine = Engine(world, State(identity="00000000"))
        for event in events(self.scenario, self.rules, world.timezone):
            while (due := engine.next_due()) is not None and due < event.at:
                self._step(engine, Tick(due, event.wall_ns - event.at + due))
            for one in _acts(engine, event) if isinstance(event, Asked) else (event,):
                self._step(engine, one)
        self.happened += [
            _happened("told" if key in self.told else "untold", key[1], alert)
            for key, alert in self.worse.items()
        ]
        return Played(self.scenario, tuple(self.happened), frozenset(self.beyond))

    def _step(self, engine: Engine, event: Event) -> None:
        """One event, and what falls due at its very instant because of it."""
        self._note(engine, engine.step(event), event)
        due = engine.next_due()
        if due is not None and due <= event.at:
            self._note(engine, engine.step(Tick(event.at, event.wall_ns)), event)

    def _note(self, engine: Engine, effects: Sequence[Effect], event: Event) -> None:
        for effect in effects:
            if isinstance(effect, Alert):
                self._moved(effect, event.at)
            elif isinstance(effect, Notification) and effect.state is NotificationState.DUE:
                self._tell(engine, effect, event)
        for track in engine.state.tracks.values():
            self.beyond |= {(track.rule, one.level) for one in track.standings if one.phase is not Phase.CALM}

    def _moved(self, alert: Alert, at: int) -> None:
        before = self.stands.get(alert.id)
        self.stands[alert.id] = alert
        if before is not None and (before.level, before.state) == (alert.level, alert.state):
            return
        cleared = alert.state is AlertState.CLEARED
        self.happened.append(_happened("clear" if cleared else alert.level.word, at, alert))
        if not cleared and (before is None or alert.level > before.level):
            self.worse[alert.id, at] = alert

    def _tell(self, engine: Engine, told: Notification, event: Event) -> None:
        """The far side takes every message; that all is well again is no trouble told."""
        alert = self.stands.get(told.alert)
        if told.kind is not Kind.CLEARED and alert is not None:
            self.told.add((alert.id, event.at))
            self.worse.setdefault((alert.id, event.at), alert)
        engine.step(Outcome(event.at, event.wall_ns, told.id, Told.ACCEPTED))


def _acts(engine: Engine, asked: Asked) -> list[Event]:
    """What a person does on every case that is open."""
    cases = list(engine.state.cases)
    return [Act(asked.at, asked.wall_ns, case, KEEPER, Verb(asked.verb), NOTE) for case in cases]


def _happened(what: str, at: int, alert: Alert) -> Happened:
    at_s = round(at / SECOND, 6)  # a window forgets a nanosecond after its span
    return Happened(what, at_s, alert.rule, alert.device, alert.component)
