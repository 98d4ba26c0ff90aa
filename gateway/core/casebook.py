"""The books: every change of an alert, a case or a message is kept in the state and told as an effect."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from gateway.core.builtin import is_bare
from gateway.core.cases import ENDED
from gateway.core.effective import rule_of
from gateway.core.ids import make_id
from gateway.core.index import Index
from gateway.core.model import (
    SECOND,
    Alert,
    AlertState,
    Case,
    Effect,
    Entry,
    Noted,
    Notification,
    NotificationState,
    Outcome,
    Rule,
    Shelf,
    Stage,
    Told,
    World,
)
from gateway.core.state import Closing, State

REMEMBERED_NS = 24 * 3600 * SECOND  # an ended case can be opened again so long
CLOSINGS_MOST = 2_000  # (rule, place) pairs whose last ends are remembered

SENT_MOST = 500  # messages of open cases that may still be receipted or answered: half a megabyte of state
RECALLED_NS = 120 * SECOND  # an exchange with a provider ends within 10 s, a queue soon after
RECALLED_MOST = 200


@dataclass(slots=True)
class Step:
    """One event being worked on: its instants, and what follows from it."""

    at: int
    wall_ns: int
    effects: list[Effect] = field(default_factory=list)
    timers: list[tuple[int, str, str]] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)  # keys of the tracks that a person has reset
    joined: dict[str, None] = field(default_factory=dict)  # cases to which alerts came without a message

    def note(self, event: str, **fields: Any) -> None:
        self.effects.append(Noted(event, fields))


class Casebook:
    """What stands and is open in one state, under the rules of one World.

    What is looked for with every alert has an index: a thousand alerts of one instant cost what a thousand
    alone would.
    """

    def __init__(self, world: World, state: State) -> None:
        self.world, self.state = world, state
        self.rules = {rule.id: rule for rule in world.rules}
        self.hides: dict[str, list[tuple[str, str]]] = {}  # rule -> those that hide behind it, and how near
        for rule in world.rules:
            for cause in rule.inhibited_by:
                self.hides.setdefault(cause.rule, []).append((rule.id, cause.at))
        self.hidden = {rule.id for rule in world.rules if rule.inhibited_by}
        self.alerts_by = Index(state.alerts, self._keys_of)
        self.cases_by = Index(state.cases, lambda case: [*troubles_of(case), ("at", case.place)])
        self.due_by = Index(state.notifications, lambda told: [told.case])
        self.track_of = {track.alert: track for track in state.tracks.values() if track.alert}

    def rule_of(self, alert: Alert) -> Rule | None:
        """The rule as it is now for its device; None when it is no longer configured."""
        return rule_of(self.world, alert.rule, alert.device)

    def rule(self, case: Case) -> Rule | None:
        """That of its worst alert, for its device."""
        return rule_of(self.world, case.rule, case.device)

    def new_id(self, step: Step) -> str:
        self.state.counter += 1
        return make_id(step.wall_ns, self.state.identity, self.state.counter)

    # ------------------------------------------------------------ writing

    def keep_alert(self, step: Step, alert: Alert) -> Alert:
        self.state.alerts[alert.id] = alert
        self.alerts_by.note(alert.id, alert)
        step.effects.append(alert)
        return alert

    def end_alert(self, step: Step, alert: Alert) -> None:
        self.state.alerts.pop(alert.id, None)
        if self.own_case(alert) is not None:
            self.state.last[alert.case] = alert
        self.alerts_by.drop(alert.id)
        self.track_of.pop(alert.id, None)
        step.effects.append(alert)

    def end_bare(self, step: Step, case: Case) -> None:
        """A person has said the last word on what no sensor can: what nothing stands behind ends with it."""
        for alert in self.standings(case):
            if is_bare(alert):
                cleared = replace(alert, state=AlertState.CLEARED, changed_ns=step.wall_ns)
                self.end_alert(step, cleared)

    def keep_case(self, step: Step, case: Case) -> Case:
        step.effects.append(case)
        if case.stage in ENDED:
            self._note_end(step, case)
            self.state.cases.pop(case.id, None)
            self.state.last.pop(case.id, None)
            self.cases_by.drop(case.id)
        else:
            self.state.cases[case.id] = case
            self.cases_by.note(case.id, case)
        return case

    def _note_end(self, step: Step, case: Case) -> None:
        """That it ended, for its recurrence, and for whoever opens it again."""
        rule = self.rules.get(case.rule)
        if case.stage is Stage.MERGED or case.drill or case.id not in self.state.cases:
            return
        recurrence = rule.recurrence if rule else None
        kept_ns = max(int(recurrence.within_s * SECOND) if recurrence else 0, REMEMBERED_NS)
        key, closings = place_of(case.rule, case.place), self.state.closings
        fresh = [one for one in closings.pop(key, []) if one.at > step.at - kept_ns]
        fresh.append(Closing(case, step.at, self.about(case)))
        closings[key] = fresh[-(recurrence.times if recurrence else 1) :]
        while len(closings) > CLOSINGS_MOST:
            del closings[next(iter(closings))]

    def keep_notification(self, step: Step, told: Notification) -> None:
        self.state.notifications[told.id] = told
        self.due_by.note(told.id, told)
        step.effects.append(told)

    def sent(self, step: Step, told: Notification, outcome: Outcome) -> None:
        """A provider has it, or may have it: what becomes of it there may still be heard."""
        state = NotificationState.ACCEPTED if outcome.told is Told.ACCEPTED else NotificationState.UNSURE
        until = step.at + int(outcome.receipt_s * SECOND) if outcome.receipt_s > 0 else 0
        told = replace(told, number=outcome.number, receipt_by=until, told_at=step.at)
        self.settle(step, told, state, outcome.detail)
        if told.number or until or state is NotificationState.UNSURE:
            self._remember(step, replace(told, state=state, detail=outcome.detail))

    def _remember(self, step: Step, told: Notification) -> None:
        sent = self.state.sent
        for old in [old.id for old in sent.values() if old.case not in self.state.cases]:
            del sent[old]
        sent[told.id] = told
        if len(sent) > SENT_MOST:
            step.note("receipt_ignored", channel=sent.pop(next(iter(sent))).channel, reason="too many wait")
        if told.receipt_by:
            step.timers.append((told.receipt_by, "receipt", told.id))

    def carry_over(self, case: Case, into: Case) -> None:
        """What is still heard of the messages of one case is heard of the one that it went into."""
        for told in [one for one in self.state.sent.values() if one.case == case.id]:
            self.state.sent[told.id] = replace(told, case=into.id)

    def settle(self, step: Step, told: Notification, state: NotificationState, detail: str) -> None:
        del self.state.notifications[told.id]
        self.due_by.drop(told.id)
        step.effects.append(replace(told, state=state, detail=detail))

    def cancel_due(self, step: Step, case: Case, why: str = "answered") -> None:
        for told in self.due(case.id):
            self.settle(step, told, NotificationState.CANCELLED, why)
            if told.due_at <= step.at:
                self._recall(step, told)

    def _recall(self, step: Step, told: Notification) -> None:
        """It may be at the provider: what comes of it there is heard for a while."""
        recalled = self.state.recalled
        for old in [old.id for old in recalled.values() if old.due_at < step.at - RECALLED_NS]:
            del recalled[old]
        recalled[told.id] = replace(told, due_at=step.at)
        if len(recalled) > RECALLED_MOST:
            del recalled[next(iter(recalled))]

    def enter(
        self, step: Step, case: str, what: str, person: str = "", channel: str = "", note: str = ""
    ) -> None:
        """A line of a case's history."""
        step.effects.append(
            Entry(case=case, wall_ns=step.wall_ns, what=what, person=person, channel=channel, note=note)
        )

    # ------------------------------------------------------------ looking up

    def due(self, case: str) -> list[Notification]:
        """What its people have not been told yet."""
        return [self.state.notifications[name] for name in self.due_by.of(case)]

    def cases_about(self, alert: Alert) -> list[Case]:
        """The open cases of the same trouble."""
        return [self.state.cases[name] for name in sorted(self.cases_by.of(trouble_of(alert)))]

    def cases_at(self, place: str) -> list[Case]:
        """The open cases of a place itself."""
        return [self.state.cases[name] for name in sorted(self.cases_by.of(("at", place)))]

    def alerts(self, *keys: Hashable) -> list[Alert]:
        """The standing alerts under any of these keys of theirs, the oldest first."""
        found = {name for key in keys for name in self.alerts_by.of(key)}
        return [self.state.alerts[name] for name in sorted(found)]

    def _keys_of(self, alert: Alert) -> Iterator[Hashable]:
        """Nearly every alert is of a rule that neither hides another nor hides behind one."""
        name = alert.rule
        if name in self.hides:
            device = self.world.devices.get(alert.device)
            yield "place", name, device.at if device else ""
        if name in self.hides or name in self.hidden:
            yield "rule", name
            yield "device", name, alert.device
        if alert.hidden_by:
            yield "behind", alert.hidden_by

    def own_case(self, alert: Alert) -> Case | None:
        """The open case that is about this alert; one in which it is only a symptom is not."""
        return None if alert.hidden_by else self.state.cases.get(alert.case)

    def standing(self, case: Case) -> bool:
        return any(alert in self.state.alerts for alert in case.alerts)

    def worst(self, case: Case) -> Alert | None:
        return max(self.standings(case), key=lambda alert: alert.level, default=None)

    def firing(self, case: Case) -> bool:
        """Whether anything in it is still bad, and not only waiting for its reset."""
        return any(alert.state is AlertState.FIRING for alert in self.standings(case))

    def latched(self, case: Case) -> bool:
        """All of it is normal again, and a person must say so."""
        return self.standing(case) and not self.firing(case)

    def standings(self, case: Case) -> list[Alert]:
        return [self.state.alerts[alert] for alert in case.alerts if alert in self.state.alerts]

    def about(self, case: Case) -> Alert | None:
        """What there is to say of it: the worst that stands, or what ended last."""
        return self.worst(case) or self.state.last.get(case.id)

    def tells(self, case: Case) -> bool:
        """Whether people are told of anything that stands in it."""
        return any(map(self.tells_of, self.standings(case)))

    def tells_of(self, alert: Alert) -> bool:
        rule = self.rule_of(alert)
        return not alert.shelved and (rule is None or rule.tells)

    def shelf_of(self, alert: Alert) -> Shelf | None:
        """What holds it back as it is now; of several the one that does so longest."""
        found = (one for one in self.state.shelves.values() if one.in_force and one.holds(alert))
        return max(found, key=lambda one: (one.until_at, one.id), default=None)


def trouble_of(one: Alert | Case) -> str:
    """What makes a second episode the same again."""
    return f"{one.rule}|{one.device}|{one.component}"


def troubles_of(case: Case) -> tuple[str, ...]:
    """What was ever in it; an older store's case knows only its first."""
    return case.troubles or (trouble_of(case),)


def place_of(rule: str, place: str) -> str:
    """What makes a second case a recurrence."""
    return f"{rule}|{place}"
