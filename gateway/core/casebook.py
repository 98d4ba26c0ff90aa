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
    Rule,
    Stage,
    World,
)
from gateway.core.state import Closing, State

REMEMBERED_NS = 24 * 3600 * SECOND  # an ended case can be opened again so long
CLOSINGS_MOST = 2_000  # (rule, place) pairs whose last ends are remembered


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

    def rule(self, case: Case) -> Rule | None:
        """That of its worst alert, for its device."""
        return rule_of(self.world, case.rule, case.device)

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
        if self.own_case(alert) is not None:
            self.state.last[alert.case] = alert
        step.effects.append(alert)

    def keep_case(self, step: Step, case: Case) -> Case:
        step.effects.append(case)
        if case.stage in ENDED:
            self._remember(step, case)
            self.state.cases.pop(case.id, None)
            self.state.last.pop(case.id, None)
        else:
            self.state.cases[case.id] = case
        return case

    def _remember(self, step: Step, case: Case) -> None:
        """That it ended, for its recurrence, and for whoever opens it again."""
        rule = self.rules.get(case.rule)
        if case.stage is Stage.MERGED or case.id not in self.state.cases:
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
        step.effects.append(told)

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
        return max(self.standings(case), key=lambda alert: alert.level, default=None)

    def standings(self, case: Case) -> list[Alert]:
        return [self.state.alerts[alert] for alert in case.alerts if alert in self.state.alerts]

    def about(self, case: Case) -> Alert | None:
        """What there is to say of it: the worst that stands, or what ended last."""
        return self.worst(case) or self.state.last.get(case.id)

    def tells(self, case: Case) -> bool:
        """Whether people are told of anything that stands in it."""
        rules = map(self.rule_of, self.standings(case))
        return any(rule is None or rule.tells for rule in rules)


def trouble_of(alert: Alert) -> str:
    """What makes a second episode the same again."""
    return f"{alert.rule}|{alert.device}|{alert.component}"


def place_of(rule: str, place: str) -> str:
    """What makes a second case a recurrence."""
    return f"{rule}|{place}"
