"""Where an alert belongs: in a case of its own, in that of its cause as a symptom, or in none."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import UNANSWERED, Turn
from gateway.core.inhibition import cause_of, touched_by
from gateway.core.model import Alert, AlertState, Case, Kind, Rule, Stage
from gateway.core.telling import Telling


class Placing:
    """Puts the alerts of one casebook where they belong, and has people told who must know."""

    def __init__(self, book: Casebook, telling: Telling) -> None:
        self.book, self.telling = book, telling
        self.world, self.state = book.world, book.state

    # ------------------------------------------------------------ into a case

    def settle(self, step: Step, alert: Alert, kind: Kind) -> None:
        """Behind its cause; else into the unanswered case of its trouble, or a new one: people are told."""
        cause = cause_of(self.book, alert)
        if cause is not None:
            self._hide(step, alert, cause)
            return
        case = self._joinable(alert) or self._new_case(step, alert)
        alert = replace(alert, case=case.id, hidden_by="", fell_at=None)
        self.book.keep_alert(step, alert)
        self.book.enter(step, case.id, alert.level.word, note=situation(self.book, step, alert))
        news = not self.book.standing(case)  # it had cleared, or is new: the telling begins again
        rises = not news and alert.level > case.level
        level = alert.level if news else max(alert.level, case.level)
        rule = self.book.rule_of(alert)
        silent = rule is not None and not rule.tells  # as it is now: the case may be of an edit ago
        case = replace(case, alerts=(*case.alerts, alert.id), level=level, silent=silent)
        if news or rises:
            self.telling.climb_anew(step, case, Kind.RISEN if rises else kind)
        else:
            self.book.keep_case(step, case)

    def _joinable(self, alert: Alert) -> Case | None:
        """The open case of this trouble, if unanswered: a new episode never joins an old answer."""
        about = self.book.cases_about(alert)
        return next((case for case in about if case.stage in UNANSWERED), None)

    def _new_case(self, step: Step, alert: Alert) -> Case:
        device, rule = self.world.devices[alert.device], self.book.rule_of(alert)
        case = Case(
            id=self.book.new_id(step), alerts=(), device=alert.device, component=alert.component,
            place=device.at, rule=alert.rule, level=alert.level, stage=Stage.FOUND, opened_ns=step.wall_ns,
            changed_ns=step.wall_ns, climbing_at=step.at, silent=rule is not None and not rule.tells,
        )  # fmt: skip
        self.book.enter(step, case.id, Stage.FOUND)
        return case

    # ------------------------------------------------------------ causes and symptoms

    def show_or_hide(self, step: Step, changed: Alert) -> None:
        """Whatever may be a symptom of what has just changed, or no longer."""
        for alert in touched_by(self.book, changed):
            self.reconsider(step, alert)

    def reconsider(self, step: Step, alert: Alert) -> None:
        """Hides what has a cause and no answer yet; shows, in a case of its own, what has none any more."""
        if alert.device not in self.world.devices or self.book.rule_of(alert) is None:
            return  # it ends in this very step
        cause, case = cause_of(self.book, alert), self.book.own_case(alert)
        if alert.hidden_by:
            if cause is None:
                step.note("alert_shown", alert=alert.id, rule=alert.rule, device=alert.device)
                latched = alert.state is AlertState.LATCHED
                self.settle(step, replace(alert, hidden_by=""), Kind.LATCHED if latched else Kind.RAISED)
                self.show_or_hide(step, alert)
            elif (cause.id, cause.case) != (alert.hidden_by, alert.case):
                self._hide(step, alert, cause)
                self.show_or_hide(step, alert)
        elif cause and case and case.stage in UNANSWERED and case.level <= cause.level:
            self._merge(step, alert, case, cause)

    def _hide(self, step: Step, alert: Alert, cause: Alert) -> None:
        alert = replace(alert, case=cause.case, hidden_by=cause.id)
        self.book.keep_alert(step, alert)
        self.book.enter(step, cause.case, "symptom", note=self._named(step, alert))
        step.note("alert_hidden", alert=alert.id, rule=alert.rule, device=alert.device, case=cause.case)

    def _merge(self, step: Step, alert: Alert, case: Case, cause: Alert) -> None:
        """The cause came after its symptom, whose case nobody has answered: one case is enough."""
        into = self.state.cases[cause.case]
        self.book.cancel_due(step, case, "merged")
        self.telling.turn(step, replace(case, merged_into=into.id), Turn.MERGED, None)
        told = tuple(dict.fromkeys((*into.told, *case.told)))
        self.book.keep_case(step, replace(into, told=told))
        self._hide(step, alert, cause)
        self.show_or_hide(step, alert)

    def symptom_ended(self, step: Step, alert: Alert) -> None:
        if alert.hidden_by and alert.case in self.state.cases:
            self.book.enter(step, alert.case, "symptom_ended", note=self._named(step, alert))

    # ------------------------------------------------------------ another World

    def _adapt(self, step: Step, alert: Alert, rule: Rule) -> None:
        """A standing alert under its rule as it is now: into the shadow, out of it, or with other steps."""
        case = self.book.own_case(alert)
        if alert.hidden_by and not rule.opens:
            alert = replace(alert, hidden_by="", case="")
        alert = replace(alert, mode=rule.mode, point="event" in rule.steps)
        self.book.keep_alert(step, alert)
        if case is not None and case.silent and rule.tells:
            self._speak(step, replace(case, silent=False))
        elif case is not None and not case.silent and not rule.tells:
            self.book.cancel_due(step, case, "silent")
            self.book.enter(step, case.id, "silenced", note=alert.rule)
            self.book.keep_case(step, replace(case, silent=True))
        elif not alert.case and rule.opens:
            self.settle(step, alert, Kind.RAISED)
        self.show_or_hide(step, alert)

    def _speak(self, step: Step, case: Case) -> None:
        """Who has answered knows of it already."""
        if case.stage in UNANSWERED:
            self.telling.climb_anew(step, case, Kind.RAISED)
        else:
            self.book.keep_case(step, case)

    def seen_otherwise(self) -> list[str]:
        """The standing alerts to which this World does something else than the one before."""
        return [alert.id for alert in self.state.alerts.values() if self._is_seen_otherwise(alert)]

    def _is_seen_otherwise(self, alert: Alert) -> bool:
        rule, case = self.book.rule_of(alert), self.book.own_case(alert)
        if rule is None:
            return False
        if alert.mode != rule.mode or (rule.opens and not alert.case):
            return True
        if alert.hidden_by:
            cause = cause_of(self.book, alert)
            return cause is None or (cause.id, cause.case) != (alert.hidden_by, alert.case)
        return case is not None and case.silent is rule.tells

    def see_anew(self, step: Step) -> None:
        for name in self.seen_otherwise():
            alert = self.state.alerts[name]
            rule = self.book.rule_of(alert)
            if rule is not None and self._is_seen_otherwise(alert):
                self._adapt(step, alert, rule)
                self.reconsider(step, self.state.alerts[name])

    def _named(self, step: Step, alert: Alert) -> str:
        """A symptom in its cause's case: what it is, where, and how bad."""
        rule, device = self.book.rule_of(alert), self.world.devices.get(alert.device)
        says = rule.says if rule else alert.rule
        name = texts.subject_name(device, alert.component) if device else alert.device
        return f"{texts.LEVELS[alert.level]} {says} · {name}：{situation(self.book, step, alert)}"


def situation(book: Casebook, step: Step, alert: Alert) -> str:
    return texts.situation(alert, book.world, step.wall_ns)
