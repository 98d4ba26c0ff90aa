"""The books: every change of an alert, a case or a message is kept in the state and told as an effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from gateway.core.cases import ENDED
from gateway.core.effective import rule_of
from gateway.core.ids import make_id
from gateway.core.model import (
    SECOND,
    Alert,
    Case,
    Effect,
    Entry,
    Noted,
    Notification,
    NotificationState,
    Outcome,
    Rule,
    Told,
    World,
)
from gateway.core.state import State

SENT_MOST = 500  # messages of open cases that may still be receipted or answered: half a megabyte of state


@dataclass(slots=True)
class Step:
    """One event being worked on: its instants, and what follows from it."""

    at: int
    wall_ns: int
    effects: list[Effect] = field(default_factory=list)
    timers: list[tuple[int, str, str]] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)  # keys of the tracks that a person has reset

    def note(self, event: str, **fields: Any) -> None:
        self.effects.append(Noted(event, fields))


class Casebook:
    """What stands and is open in one state, under the rules of one World."""

    def __init__(self, world: World, state: State) -> None:
        self.world, self.state = world, state
        self.rules = {rule.id: rule for rule in world.rules}

    def rule_of(self, alert: Alert) -> Rule | None:
        """The rule as it is now for its device; None when it is no longer configured."""
        return rule_of(self.world, alert.rule, alert.device)

    def new_id(self, step: Step) -> str:
        self.state.counter += 1
        return make_id(step.wall_ns, self.state.identity, self.state.counter)

    # ------------------------------------------------------------ writing

    def keep_alert(self, step: Step, alert: Alert) -> Alert:
        self.state.alerts[alert.id] = alert
        step.effects.append(alert)
        return alert

    def end_alert(self, step: Step, alert: Alert) -> None:
        self.state.alerts.pop(alert.id, None)
        step.effects.append(alert)

    def keep_case(self, step: Step, case: Case) -> Case:
        step.effects.append(case)
        if case.stage in ENDED:
            self.state.cases.pop(case.id, None)
        else:
            self.state.cases[case.id] = case
        return case

    def keep_notification(self, step: Step, told: Notification) -> None:
        self.state.notifications[told.id] = told
        step.effects.append(told)

    def sent(self, step: Step, told: Notification, outcome: Outcome) -> None:
        """A provider has it, or may have it: what becomes of it there may still be heard."""
        state = NotificationState.ACCEPTED if outcome.told is Told.ACCEPTED else NotificationState.UNSURE
        until = step.at + int(outcome.receipt_s * SECOND) if outcome.receipt_s > 0 else 0
        told = replace(told, number=outcome.number, receipt_by=until)
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

    def settle(self, step: Step, told: Notification, state: NotificationState, detail: str) -> None:
        del self.state.notifications[told.id]
        step.effects.append(replace(told, state=state, detail=detail))

    def cancel_due(self, step: Step, case: Case, why: str = "answered") -> None:
        for told in [told for told in self.state.notifications.values() if told.case == case.id]:
            self.settle(step, told, NotificationState.CANCELLED, why)

    def enter(
        self, step: Step, case: str, what: str, person: str = "", channel: str = "", note: str = ""
    ) -> None:
        """A line of a case's history."""
        step.effects.append(
            Entry(case=case, wall_ns=step.wall_ns, what=what, person=person, channel=channel, note=note)
        )

    # ------------------------------------------------------------ looking up

    def own_case(self, alert: Alert) -> Case | None:
        """The open case that is about this alert; one in which it is only a symptom is not."""
        return None if alert.hidden_by else self.state.cases.get(alert.case)

    def standing(self, case: Case) -> bool:
        return any(alert in self.state.alerts for alert in case.alerts)

    def worst(self, case: Case) -> Alert | None:
        standing = [self.state.alerts[alert] for alert in case.alerts if alert in self.state.alerts]
        return max(standing, key=lambda alert: alert.level, default=None)
