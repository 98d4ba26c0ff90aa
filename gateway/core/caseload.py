"""The human side: alerts open cases, cases climb ladders, people answer, the sensor has the last word.

Every method changes the state and appends effects to the step; nothing here knows a clock or a channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.alerts import Phase
from gateway.core.backoff import wait_s
from gateway.core.calendars import local_date
from gateway.core.cases import ENDED, TURNS, UNANSWERED, Turn
from gateway.core.conditions import parsed
from gateway.core.ids import make_id
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Case,
    Effect,
    Entry,
    Kind,
    Level,
    Noted,
    Notification,
    NotificationState,
    Outcome,
    Rule,
    Stage,
    Told,
    Verb,
    World,
)
from gateway.core.routing import ladder, recipient
from gateway.core.state import State, Track

REPEAT_S = 900  # an unanswered red case, or one that reached nobody, tells its last rung again this often
RETRY_S_MOST = 60  # between two attempts at one notification


@dataclass(slots=True)
class Step:
    """One event being worked on: its instants, and what follows from it."""

    at: int
    wall_ns: int
    effects: list[Effect] = field(default_factory=list)
    timers: list[tuple[int, str, str]] = field(default_factory=list)

    def note(self, event: str, **fields: Any) -> None:
        self.effects.append(Noted(event, fields))


class Caseload:
    """Alerts, cases and notifications of one state, judged by one World."""

    def __init__(self, world: World, state: State) -> None:
        self.world, self.state = world, state
        self.rules = {rule.id: rule for rule in world.rules}

    # ------------------------------------------------------------ what the rules say

    def level_moved(self, step: Step, track: Track, rule: Rule) -> None:
        """A track's highest standing level may have changed: raise, rise, fall or clear its alert."""
        level, alert = track.level(), self.state.alerts.get(track.alert)
        if level is None:
            if alert is not None:
                self._cleared(step, track, alert)
        elif alert is None:
            self._raised(step, track, rule, level)
        elif level != alert.level:
            self._level_changed(step, track, rule, alert, level)

    def _raised(self, step: Step, track: Track, rule: Rule, level: Level) -> None:
        case = self._joinable(track) or self._new_case(step, track, level)
        alert = Alert(
            id=self._id(step), rule=rule.id, device=track.device, component=track.component, case=case.id,
            level=level, worst=level, state=AlertState.FIRING, raised_ns=step.wall_ns,
            changed_ns=step.wall_ns, quantity=rule.quantity, value=track.value,
            limit=_limit(rule, level), count=max(track.count, 1), heard_ns=_heard_ns(step, track),
            evidence=track.evidence, chattering=track.chattering,
            called=rule.called, unit=parsed(rule.when).unit if rule.when else "",
        )  # fmt: skip
        track.alert = alert.id
        self._keep_alert(step, alert)
        self._enter(step, case, level.word, note=texts.situation(alert, self.world, step.wall_ns))
        news = not self._standing(case)  # it had cleared, or is new: the telling begins again
        rises = not news and level > case.level
        level = level if news else max(level, case.level)
        case = replace(case, alerts=(*case.alerts, alert.id), level=level)
        if news or rises:
            self._climb_anew(step, case, Kind.RISEN if rises else Kind.RAISED)
        else:
            self._keep_case(step, case)
        step.note("alert_raised", alert=alert.id, rule=rule.id, device=alert.device, alert_level=level.word)
        if alert.chattering:
            self._say_chatter(step, alert)

    def _level_changed(self, step: Step, track: Track, rule: Rule, alert: Alert, level: Level) -> None:
        rises, case = level > alert.level, self.state.cases.get(alert.case)
        if case is None and level > alert.worst:  # "false" was said of a lower level
            case = replace(self._new_case(step, track, level), alerts=(alert.id,), level=alert.worst)
            alert = replace(alert, case=case.id)
        alert = replace(
            alert, level=level, worst=max(alert.worst, level), changed_ns=step.wall_ns,
            value=track.value, limit=_limit(rule, level), count=track.count, evidence=track.evidence,
        )  # fmt: skip
        self._keep_alert(step, alert)
        event = "alert_rose" if rises else "alert_fell"
        step.note(event, alert=alert.id, rule=rule.id, alert_level=level.word)
        if case is None:
            return
        self._enter(step, case, level.word, note=texts.situation(alert, self.world, step.wall_ns))
        if level > case.level:
            self._climb_anew(step, replace(case, level=level), Kind.RISEN)

    def chatters(self, step: Step, track: Track) -> None:
        """Its alert will not stand still: said once, and from here on it is slow to end."""
        alert = self.state.alerts.get(track.alert)
        if alert is None:
            return
        self._keep_alert(step, replace(alert, chattering=True, changed_ns=step.wall_ns))
        self._say_chatter(step, alert)

    def _say_chatter(self, step: Step, alert: Alert) -> None:
        step.note("alert_chattering", alert=alert.id, rule=alert.rule, device=alert.device)
        case = self.state.cases.get(alert.case)
        if case is not None:
            self._enter(step, case, "chattering")

    def _cleared(self, step: Step, track: Track, alert: Alert) -> None:
        alert = replace(
            alert, state=AlertState.CLEARED, changed_ns=step.wall_ns, value=track.value, count=track.count
        )
        track.alert = ""
        step.effects.append(alert)
        self.state.alerts.pop(alert.id, None)
        step.note("alert_cleared", alert=alert.id, rule=alert.rule, device=alert.device)
        case = self.state.cases.get(alert.case)
        if case is None:
            return
        self._enter(step, case, "cleared")
        if self._standing(case):
            return
        if case.stage is Stage.HANDLED:
            self._close(step, case)
        else:
            self._tell_everyone_told(step, case, alert, Kind.CLEARED)

    def rule_gone(self, step: Step, track: Track) -> None:
        """Its rule or device is no longer configured: the alert ends, the case stays with its people."""
        alert = self.state.alerts.pop(track.alert, None)
        if alert is None:
            return
        step.effects.append(replace(alert, state=AlertState.CLEARED, changed_ns=step.wall_ns))
        step.note("alert_rule_gone", alert=alert.id, rule=alert.rule, device=alert.device)
        case = self.state.cases.get(alert.case)
        if case is None:
            return
        self._enter(step, case, "rule_gone", note=alert.rule)
        if case.stage is Stage.HANDLED and not self._standing(case):
            self._close(step, case)  # nobody is left who could disagree with the doer

    # ------------------------------------------------------------ what people do

    def act(self, step: Step, act: Act) -> None:
        """A person's word on a case; one that comes too late, or twice, changes nothing."""
        case = self.state.cases.get(act.case)
        if case is None:
            step.note("act_ignored", case=act.case, verb=act.verb, reason="not open")
            return
        if act.verb is Verb.ACKNOWLEDGE:
            self._acknowledge(step, case, act)
        elif act.verb is Verb.DONE:
            self._done(step, case, act)
        else:
            self._turn(step, self._cancel_due(step, case), Turn.FALSE, act)

    def _acknowledge(self, step: Step, case: Case, act: Act) -> None:
        if (case.stage, Turn.ACKNOWLEDGED) not in TURNS:
            step.note("act_ignored", case=case.id, verb=act.verb, reason=f"already {case.stage}")
            return
        case = self._cancel_due(step, replace(case, acknowledged_by=act.person))
        self._turn(step, case, Turn.ACKNOWLEDGED, act)

    def _done(self, step: Step, case: Case, act: Act) -> None:
        """Handled, if the sensor is at least on its way to normal; else it bounces back to the doer."""
        if (case.stage, Turn.DONE) not in TURNS:
            step.note("act_ignored", case=case.id, verb=act.verb, reason=f"already {case.stage}")
            return
        case = self._cancel_due(step, replace(case, handled_by=act.person))
        bad = self._still_bad(case)
        if bad is not None:
            case = self._turn(step, case, Turn.BOUNCED, act)
            self._bounce(step, case, bad)
            return
        case = self._turn(step, case, Turn.DONE, act)
        if not self._standing(case):
            self._close(step, case)

    def bad_again(self, step: Step, alert: Alert) -> None:
        """The sensor turned bad while we waited for it to confirm a "done"."""
        case = self.state.cases.get(alert.case)
        if case is not None and case.stage is Stage.HANDLED:
            self._bounce(step, self._turn(step, case, Turn.BOUNCED, None), alert)

    def _bounce(self, step: Step, case: Case, alert: Alert) -> None:
        """Back to the doer; who is no longer there is nobody, and the ladder begins again."""
        if not self._tell(step, case, alert, Kind.BOUNCED, case.handled_by):
            self._climb_anew(step, case, Kind.ESCALATED)

    def _still_bad(self, case: Case) -> Alert | None:
        for track in self.state.tracks.values():
            if track.alert in case.alerts and any(one.phase is Phase.FIRING for one in track.standings):
                return self.state.alerts.get(track.alert)
        return None

    def _close(self, step: Step, case: Case) -> None:
        self._enter(step, case, Stage.VERIFIED)
        self._turn(step, case, Turn.VERIFIED, None)
        step.note("case_closed", case=case.id)

    # ------------------------------------------------------------ telling

    def climb(self, step: Step, case_id: str, due: int) -> None:
        """Takes every step of the ladder if one was due then; an empty post costs no time."""
        case = self.state.cases.get(case_id)
        if case is None or case.stage not in UNANSWERED:
            return
        steps = ladder(self.world, case.level)
        left = case.rung < len(steps) or _told_again(case)
        if not steps or not left or self._rung_at(case) > due:  # a timer of a level it has left
            self._arm(step, case)
            return
        while case.rung < len(steps) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, case, Kind.ESCALATED if case.rung else Kind.RAISED)
        if case.rung >= len(steps) and _told_again(case) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, replace(case, rung=len(steps) - 1), Kind.ESCALATED)
            case = replace(case, climbing_at=step.at - int(steps[-1].after_s * SECOND))
        self._keep_case(step, case)
        self._arm(step, case)

    def _climb_anew(self, step: Step, case: Case, kind: Kind) -> None:
        """A new or higher level: the ladder begins again, through any acknowledgement of the lower one."""
        case = replace(
            self._cancel_due(step, case), stage=TURNS[case.stage, Turn.RAISED], rung=0,
            climbing_at=step.at, changed_ns=step.wall_ns,
        )  # fmt: skip
        steps = ladder(self.world, case.level)
        while case.rung < len(steps) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, case, kind)
        if not steps:
            step.note("ladder_missing", case=case.id, alert_level=case.level.word)
        self._keep_case(step, case)
        self._arm(step, case)

    def _take_rung(self, step: Step, case: Case, kind: Kind) -> Case:
        rung = ladder(self.world, case.level)[case.rung]
        case = replace(case, rung=case.rung + 1)
        alert = self._worst(case)
        device = self.world.devices.get(case.device)
        found = recipient(self.world, case.place, rung, local_date(step.wall_ns, self.world.timezone))
        if alert is None or device is None:
            return case
        if found is None:  # nobody holds the post: the next one is told at once, and the gap is reported
            step.note("post_empty", case=case.id, place=case.place, role=rung.role)
            self._enter(step, case, "post_empty", note=rung.role)
            left = ladder(self.world, case.level)[case.rung :]
            return replace(case, climbing_at=step.at - int(left[0].after_s * SECOND)) if left else case
        for channel, address in found.channels:
            self._notify(step, case, alert, kind, found.person.id, channel, address)
        if kind is Kind.ESCALATED:
            self._enter(step, case, kind, person=found.person.id)
        return replace(case, responsible=found.person.id, changed_ns=step.wall_ns)

    def _rung_at(self, case: Case) -> int:
        """When the next rung is due; past the last one, when it is told again."""
        steps = ladder(self.world, case.level)
        wait_s = steps[case.rung].after_s if case.rung < len(steps) else steps[-1].after_s + REPEAT_S
        return case.climbing_at + int(wait_s * SECOND)

    def _arm(self, step: Step, case: Case) -> None:
        steps = ladder(self.world, case.level)
        if steps and case.stage in UNANSWERED and (case.rung < len(steps) or _told_again(case)):
            step.timers.append((self._rung_at(case), "climb", case.id))

    def timers(self) -> list[tuple[int, str, str]]:
        """What must be armed again after a restart."""
        step = Step(0, 0)
        for case in self.state.cases.values():
            self._arm(step, case)
        return step.timers

    def outcome(self, step: Step, outcome: Outcome) -> None:
        """What became of one attempt: told, refused for good, or to be tried again."""
        told = self.state.notifications.get(outcome.notification)
        if told is None:
            return
        case = self.state.cases.get(told.case)
        if outcome.told is Told.ACCEPTED:
            self._settle(step, told, NotificationState.ACCEPTED, outcome.detail)
            if case is not None and (case.stage, Turn.TOLD) in TURNS and told.kind is not Kind.CLEARED:
                self._turn(step, case, Turn.TOLD, None)
        elif outcome.told is Told.REFUSED:
            self._settle(step, told, NotificationState.REFUSED, outcome.detail)
            fields = {"case": told.case, "channel": told.channel, "error": outcome.detail}
            step.note("notification_refused", **fields)
            self._next_rung_if_unreached(step, told)
        else:
            self._try_again(step, told, outcome)

    def _try_again(self, step: Step, told: Notification, outcome: Outcome) -> None:
        attempt = told.attempt + 1
        wait = wait_s(attempt, told.id, outcome.retry_after_s, RETRY_S_MOST)
        told = replace(told, attempt=attempt, due_at=step.at + int(wait * SECOND), detail=outcome.detail)
        self.state.notifications[told.id] = told
        step.effects.append(told)
        step.note("notification_retried", channel=told.channel, attempt=attempt, error=outcome.detail)

    def _next_rung_if_unreached(self, step: Step, refused: Notification) -> None:
        """Nobody of this rung can be reached any more: do not wait for the clock."""
        case = self.state.cases.get(refused.case)
        waiting = any(told.case == refused.case for told in self.state.notifications.values())
        if case is None or waiting:
            return
        if refused.kind is Kind.BOUNCED and case.stage is Stage.HANDLING:
            self._climb_anew(step, case, Kind.ESCALATED)
        if case.stage is not Stage.FOUND:
            return
        steps = ladder(self.world, case.level)
        if case.rung < len(steps):
            late = replace(case, climbing_at=step.at - int(steps[case.rung].after_s * SECOND))
            self.state.cases[case.id] = late
            self.climb(step, case.id, step.at)

    def _notify(
        self, step: Step, case: Case, alert: Alert, kind: Kind, person: str, channel: str, address: str
    ) -> None:
        rule, device = self.rules.get(alert.rule), self.world.devices.get(alert.device)
        if rule is None or device is None or self._waits(case, kind, person, channel):
            return
        told = Notification(
            id=self._id(step), case=case.id, alert=alert.id, kind=kind, level=alert.level, person=person,
            channel=channel, address=address,
            title=texts.title(kind, alert.level, rule, device, alert.component),
            text=texts.body(kind, alert, rule, case, self.world, step.wall_ns),
            created_ns=step.wall_ns, due_at=step.at,
        )  # fmt: skip
        self.state.notifications[told.id] = told
        step.effects.append(told)

    def _waits(self, case: Case, kind: Kind, person: str, channel: str) -> bool:
        """Whether the same is on its way already: a provider that was away must not get a pile of it."""
        same = (case.id, kind, person, channel)
        return any(
            (told.case, told.kind, told.person, told.channel) == same
            for told in self.state.notifications.values()
        )

    def _tell(self, step: Step, case: Case, alert: Alert, kind: Kind, person_id: str) -> bool:
        """One person, by the channels of the first rung of the case's level; False: there is no such."""
        person = self.world.persons.get(person_id)
        steps = ladder(self.world, case.level)
        if person is None or not steps:
            return False
        for channel in steps[0].by:
            self._notify(step, case, alert, kind, person.id, channel, person.reach.get(channel, ""))
        return True

    def _tell_everyone_told(self, step: Step, case: Case, alert: Alert, kind: Kind) -> None:
        """Whoever was told of the trouble is told of its end."""
        if case.responsible:
            self._tell(step, case, alert, kind, case.responsible)
        if case.acknowledged_by and case.acknowledged_by != case.responsible:
            self._tell(step, case, alert, kind, case.acknowledged_by)

    # ------------------------------------------------------------ keeping

    def _turn(self, step: Step, case: Case, turn: Turn, act: Act | None) -> Case:
        """Moves a case along its table and writes the line of its history."""
        case = replace(case, stage=TURNS[case.stage, turn], changed_ns=step.wall_ns)
        person, channel, note = (act.person, act.channel, act.note) if act else ("", "", "")
        self._enter(step, case, turn if turn is Turn.BOUNCED else case.stage, person, channel, note)
        self._keep_case(step, case)
        return case

    def _cancel_due(self, step: Step, case: Case) -> Case:
        for told in [told for told in self.state.notifications.values() if told.case == case.id]:
            self._settle(step, told, NotificationState.CANCELLED, "answered")
        return case

    def _settle(self, step: Step, told: Notification, state: NotificationState, detail: str) -> None:
        del self.state.notifications[told.id]
        step.effects.append(replace(told, state=state, detail=detail))

    def _keep_case(self, step: Step, case: Case) -> None:
        step.effects.append(case)
        if case.stage in ENDED:
            self.state.cases.pop(case.id, None)
        else:
            self.state.cases[case.id] = case

    def _keep_alert(self, step: Step, alert: Alert) -> None:
        self.state.alerts[alert.id] = alert
        step.effects.append(alert)

    def _enter(
        self, step: Step, case: Case, what: str, person: str = "", channel: str = "", note: str = ""
    ) -> None:
        step.effects.append(
            Entry(case=case.id, wall_ns=step.wall_ns, what=what, person=person, channel=channel, note=note)
        )

    def _joinable(self, track: Track) -> Case | None:
        """The open case of this trouble, if unanswered: a new episode never joins an old answer."""
        for case in self.state.cases.values():
            same = (case.rule, case.device, case.component) == (track.rule, track.device, track.component)
            if same and case.stage in UNANSWERED:
                return case
        return None

    def _new_case(self, step: Step, track: Track, level: Level) -> Case:
        device = self.world.devices[track.device]
        case = Case(
            id=self._id(step), alerts=(), device=track.device, component=track.component, place=device.at,
            rule=track.rule, level=level, stage=Stage.FOUND, opened_ns=step.wall_ns,
            changed_ns=step.wall_ns, climbing_at=step.at,
        )  # fmt: skip
        self._enter(step, case, Stage.FOUND)
        return case

    def _standing(self, case: Case) -> bool:
        return any(alert in self.state.alerts for alert in case.alerts)

    def _worst(self, case: Case) -> Alert | None:
        standing = [self.state.alerts[alert] for alert in case.alerts if alert in self.state.alerts]
        return max(standing, key=lambda alert: alert.level, default=None)

    def _id(self, step: Step) -> str:
        self.state.counter += 1
        return make_id(step.wall_ns, self.state.identity, self.state.counter)


def _told_again(case: Case) -> bool:
    """Nobody answers a fire, or no provider has taken a message at all: its last rung is told again."""
    return case.level is Level.RED or case.stage is Stage.FOUND


def _heard_ns(step: Step, track: Track) -> int:
    """Of silence, the last word on the wall's clock; it may have been another one before we started."""
    return step.wall_ns - (step.at - track.heard_at) if track.value is None else 0


def _limit(rule: Rule, level: Level) -> float | None:
    for limit in rule.limits:
        if limit.level is level:
            return limit.above if limit.above is not None else limit.below
    return None
