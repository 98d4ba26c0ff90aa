"""The human side: alerts open cases, people answer, the sensor has the last word.

Every method changes the state and appends effects to the step; nothing here knows a clock or a channel.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from gateway.core.alerts import ACTIVE, Phase
from gateway.core.cards import Cards
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import UNANSWERED
from gateway.core.conditions import parsed
from gateway.core.deeds import Deeds
from gateway.core.drills import Drills
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Case,
    Kind,
    Level,
    Outcome,
    Rule,
    Stage,
    Verb,
    World,
)
from gateway.core.placing import Placing, situation
from gateway.core.receipts import Receipts
from gateway.core.shelving import SHELVING, Shelving
from gateway.core.snapshots import Snapshots
from gateway.core.standing import Standing
from gateway.core.state import State, Track
from gateway.core.telling import Telling

__all__ = ["Caseload", "Step"]
RETURN_NS = 300 * SECOND  # below its worst level for so long, an alert that comes back to it is news
CHANGED_RULES = ""  # as the name of a case: the alerts that another World sees otherwise


class Caseload:
    """Alerts and cases of one state, judged by one World."""

    def __init__(self, world: World, state: State) -> None:
        self.world, self.state = world, state
        self.book = Casebook(world, state)
        self.rules = self.book.rules
        self.telling = Telling(self.book)
        self.placing = Placing(self.book, self.telling)
        self.deeds = Deeds(self.book, self.telling, self.placing)
        self.shelving = Shelving(self.book, self.telling, self.placing)
        self.drills = Drills(self.book, self.telling)
        self.standing = Standing(self.book)
        self.receipts = Receipts(self.book, self.telling, self.act)
        self.cards = Cards(self.book)
        self.snapshots = Snapshots(self.book)

    # ------------------------------------------------------------ what the rules say

    def level_moved(self, step: Step, track: Track, rule: Rule) -> None:
        """A track's highest standing level may have changed: raise, rise, fall, latch or clear its alert."""
        level, alert = track.level(), self.state.alerts.get(track.alert)
        if level is None:
            if alert is not None:
                self._cleared(step, track, alert)
            return
        if alert is None:
            alert = self._raised(step, track, rule, level)
        elif level != alert.level:
            alert = self._level_changed(step, track, rule, alert, level)
        if is_latched(track) is not (alert.state is AlertState.LATCHED):
            self._latch_turned(step, track, alert)

    def _raised(self, step: Step, track: Track, rule: Rule, level: Level) -> Alert:
        alert = Alert(
            id=self.book.new_id(step), rule=rule.id, device=track.device, component=track.component, case="",
            level=level, worst=level, state=AlertState.FIRING, raised_ns=step.wall_ns,
            rises=((level, step.wall_ns),), changed_ns=step.wall_ns, quantity=rule.quantity,
            value=track.value, limit=_limit(rule, level), count=max(track.count, 1),
            heard_ns=_heard_ns(step, track), evidence=track.evidence, mode=rule.mode,
            point="event" in rule.steps, chattering=track.chattering,
            called=rule.called, unit=parsed(rule.when).unit if rule.when else "",
            origin=str(rule.origin) if rule.origin.line else "", digest=self.world.digest,
        )  # fmt: skip
        track.alert = alert.id
        self.book.track_of[alert.id] = track
        shadow = {} if rule.mode == "live" else {"mode": rule.mode}
        step.note(
            "alert_raised", alert=alert.id, rule=rule.id, device=alert.device, alert_level=level.word,
            **shadow,
        )  # fmt: skip
        if rule.opens:
            self.placing.settle(step, alert, Kind.RAISED)
        else:
            self.book.keep_alert(step, alert)
        self.placing.show_or_hide(step, alert)
        if alert.chattering:
            self._say_chatter(step, self.state.alerts[alert.id])
        self.snapshots.want(step, self.state.alerts[alert.id], rule)
        return self.state.alerts[alert.id]

    def chatters(self, step: Step, track: Track) -> None:
        """Its alert will not stand still: said once, and from here on it is slow to end."""
        alert = self.state.alerts.get(track.alert)
        if alert is not None:
            self._say_chatter(step, self.book.keep_alert(step, replace(alert, chattering=True)))

    def unjudged(self, step: Step, track: Track, why: str) -> None:
        """Its rule has failed on it: nobody but a person will see that the trouble is over."""
        alert = self.state.alerts.get(track.alert)
        case = self.book.own_case(alert) if alert is not None else None
        if case is not None:
            self.book.enter(step, case.id, "unjudged", note=why)

    def known(self, step: Step, track: Track, known: bool, wanting: str) -> None:
        """What it is judged by is not known any more, or is known again: meanwhile its alert stands."""
        alert = self.state.alerts.get(track.alert)
        case = self.book.own_case(alert) if alert is not None else None
        if case is not None:
            self.book.enter(step, case.id, "known" if known else "unknown", note=wanting)

    def member_gone(self, step: Step, track: Track) -> None:
        """The device that raised a group's alert is no longer configured: another speaks for the group."""
        alert = self.state.alerts.get(track.alert)
        if alert is None:
            return
        gone, here = alert.device, {"device": track.device, "component": track.component}
        self.book.keep_alert(step, replace(alert, **here))
        case = self.state.cases.get(alert.case)
        if case is not None and case.device == gone:
            self.book.keep_case(step, replace(case, **here))
            self.book.enter(step, case.id, "member_gone", note=gone)

    def _say_chatter(self, step: Step, alert: Alert) -> None:
        step.note("alert_chattering", alert=alert.id, rule=alert.rule, device=alert.device)
        case = self.book.own_case(alert)
        if case is not None:
            self.book.enter(step, case.id, "chattering")

    def _level_changed(self, step: Step, track: Track, rule: Rule, alert: Alert, level: Level) -> Alert:
        rises, news, worst = level > alert.level, level > alert.worst, max(alert.worst, level)
        path = (*alert.rises, (level, step.wall_ns)) if news else alert.rises
        alert = replace(
            alert, level=level, worst=worst, rises=path, changed_ns=step.wall_ns, value=track.value,
            limit=_limit(rule, level), count=track.count, evidence=track.evidence,
        )  # fmt: skip
        event = "alert_rose" if rises else "alert_fell"
        step.note(event, alert=alert.id, rule=rule.id, alert_level=level.word)
        case = self.book.own_case(alert)
        if case is not None:
            self._level_of_case(step, alert, case)
        elif alert.shelved and self._breaks_through(alert, rule):
            self.placing.settle(step, alert, Kind.RISEN)
        elif rises and news and alert.case and not alert.hidden_by and rule.opens:
            self.placing.settle(step, alert, Kind.RISEN)  # "false" was said of a lower level
        else:
            self.book.keep_alert(step, alert)
            self.placing.reconsider(step, alert)
        self.placing.show_or_hide(step, alert)
        if rises and news:
            self.snapshots.want(step, self.state.alerts[alert.id], rule)
        return self.state.alerts[alert.id]

    def _breaks_through(self, alert: Alert, rule: Rule) -> bool:
        """Whether it has become worse than whatever it is shelved by holds back."""
        return rule.opens and not alert.hidden_by and self.book.shelf_of(alert) is None

    def _level_of_case(self, step: Step, alert: Alert, case: Case) -> None:
        """A new worst level tells again; so does the return to it after a while below."""
        since, below = alert.fell_at, alert.level < case.level
        away = since is not None and step.at - since >= RETURN_NS
        fell_at = (step.at if since is None else since) if below else None
        shelved = alert.shelved if self.book.shelf_of(alert) else ""
        breaks_through = bool(alert.shelved) and not shelved
        alert = self.book.keep_alert(step, replace(alert, fell_at=fell_at, shelved=shelved))
        self.book.enter(step, case.id, alert.level.word, note=situation(self.book, step, alert))
        if breaks_through and case.silent:
            head = replace(case, rule=alert.rule, device=alert.device, component=alert.component)
            level = max(alert.level, case.level)
            self.telling.climb_anew(step, replace(head, level=level, silent=False), Kind.RISEN)
        elif alert.level > case.level:
            head = replace(case, rule=alert.rule, device=alert.device, component=alert.component)
            self.telling.climb_anew(step, replace(head, level=alert.level), Kind.RISEN)
        elif not below and away:
            self._returned(step, alert, case)

    def _returned(self, step: Step, alert: Alert, case: Case) -> None:
        """As bad again as it was at its worst: whoever is at it hears so. A ladder that still climbs goes on,
        since beginning it again with each return would never bring it to its upper rungs.
        """
        if case.stage is Stage.HANDLED:
            return  # it bounces
        waits = case.stage in UNANSWERED
        person = case.responsible if waits else case.handled_by or case.acknowledged_by
        if waits and self.telling.exhausted(case):
            person = ""
        if not self.telling.tell(step, case, alert, Kind.RISEN, person):
            self.telling.climb_anew(step, case, Kind.RISEN)

    def _latch_turned(self, step: Step, track: Track, alert: Alert) -> None:
        """Normal again and waiting for a person's reset; or bad again before anybody came."""
        latched, case = is_latched(track), self.book.own_case(alert)
        since, state = alert.fell_at, AlertState.LATCHED if latched else AlertState.FIRING
        fell_at = step.at if latched else None
        alert = replace(alert, state=state, changed_ns=step.wall_ns, value=track.value, fell_at=fell_at)
        alert = self.book.keep_alert(step, alert)
        step.note("alert_latched" if latched else "alert_rose", alert=alert.id, rule=alert.rule)
        rule = self.book.rule_of(alert)
        if case is None and not latched and not alert.hidden_by and rule is not None and rule.opens:
            self.placing.settle(step, alert, Kind.RAISED)  # "false" was said of what had ended before this
        if case is not None:
            what = "latched" if latched else alert.level.word
            self.book.enter(step, case.id, what, note=situation(self.book, step, alert))
            if latched:
                self.telling.tell_everyone_told(step, case, alert, Kind.LATCHED)
            elif case.stage is Stage.HANDLED:
                self.telling.bounce(step, case, alert)
            elif since is not None and step.at - since >= RETURN_NS:
                self.telling.climb_anew(step, case, Kind.RISEN)  # whoever took the last one may be long gone
            else:
                self.telling.arm(step, case)  # its ladder climbs faster than one that waits for a reset
        self.placing.show_or_hide(step, alert)

    def _cleared(self, step: Step, track: Track, alert: Alert) -> None:
        alert = replace(
            alert, state=AlertState.CLEARED, changed_ns=step.wall_ns, value=track.value, count=track.count
        )
        track.alert = ""
        self.book.end_alert(step, alert)
        step.note("alert_cleared", alert=alert.id, rule=alert.rule, device=alert.device)
        case = self.book.own_case(alert)
        if case is None:
            self.placing.symptom_ended(step, alert)
        else:
            self.book.enter(step, case.id, "cleared")
            case = self.placing.voice(step, case)
            if not self.book.standing(case):
                if case.stage is not Stage.HANDLED:
                    self.telling.tell_everyone_told(step, case, alert, Kind.CLEARED)
                elif not self.placing.leaves_more(alert):
                    self.deeds.confirm(step, case)
            self._arm_anew(step, case)
        self.placing.show_or_hide(step, alert)

    def rule_gone(self, step: Step, track: Track) -> None:
        """Its rule or device is no longer configured: the alert ends, the case stays with its people."""
        alert = self.state.alerts.get(track.alert)
        if alert is None:
            return
        alert = replace(alert, state=AlertState.CLEARED, changed_ns=step.wall_ns)
        self.book.end_alert(step, alert)
        step.note("alert_rule_gone", alert=alert.id, rule=alert.rule, device=alert.device)
        case = self.book.own_case(alert)
        if case is None:
            self.placing.symptom_ended(step, alert)
        else:
            self.book.enter(step, case.id, "rule_gone", note=alert.rule)
            case = self.placing.voice(step, case)
            bare = not self.book.standing(case) and not self.placing.leaves_more(alert)
            if case.stage is Stage.HANDLED and bare:
                self.deeds.confirm(step, case)  # nobody is left who could disagree with the doer
            self._arm_anew(step, case)
        self.placing.show_or_hide(step, alert)

    def _arm_anew(self, step: Step, case: Case) -> None:
        """Of what is normal again another clock counts, which may run out earlier."""
        case = self.state.cases.get(case.id, case)
        self.telling.arm(step, case)

    # ------------------------------------------------------------ what people do, and what time does

    def act(self, step: Step, act: Act) -> None:
        """A person's word on a case; one that comes too late, or twice, changes nothing."""
        case = self.state.cases.get(act.case)
        if act.verb in SHELVING:
            self.shelving.act(step, act)
            return
        if act.verb is Verb.DRILL:
            self.drills.act(step, act)
            return
        self.deeds.act(step, act)
        if case is not None and case.id not in self.state.cases:
            self.book.end_bare(step, case)
            for name in case.alerts:  # "false" was said of it: what hid behind it may be true
                if name in self.state.alerts:
                    self.placing.show_or_hide(step, self.state.alerts[name])

    def bad_again(self, step: Step, alert: Alert) -> None:
        """The sensor turned bad while we waited for it to confirm a "done"."""
        case = self.book.own_case(alert)
        if case is not None and case.stage is Stage.HANDLED:
            self.telling.bounce(step, case, alert)

    def climb(self, step: Step, case_id: str, due: int) -> None:
        """What was due on a case; or, once after a change of World, on all that it sees otherwise."""
        if case_id == CHANGED_RULES:
            self.placing.see_anew(step)
        else:
            self.telling.climb(step, case_id, due)

    def hand_over(self, step: Step, due: int, key: str) -> None:
        """A post may have ended."""
        self.telling.hand_over(step)

    def outcome(self, step: Step, outcome: Outcome) -> None:
        """What became of one attempt to tell; of one that is over already, only what stands there now."""
        self.snapshots.outcome(step, outcome)
        self.cards.keep(step, outcome)
        if outcome.notification not in self.state.notifications:
            return
        self.telling.outcome(step, outcome)
        self.receipts.outcome(step, outcome)

    def unwatched(self, armed: Callable[[str, str], int | None]) -> list[str]:
        """The open cases that time alone would not move, or too late: there should be none."""
        found = []
        for case in self.state.cases.values():
            due, next_at = armed("climb", case.id), self.telling.next_at(case)
            late = next_at is not None and (due is None or due > next_at)
            if late or (due is None and self.telling.must_move(case)):
                found.append(case.id)
        return found

    def timers(self) -> list[tuple[int, str, str]]:
        """What must be armed again after a restart or a change of World."""
        step = Step(self.state.at, 0)
        for case in self.state.cases.values():
            self.telling.arm(step, case)
        if any(post.until is not None for post in self.world.posts):
            step.timers.append((self.state.at, "hand_over", ""))
        step.timers += self.shelving.timers() + self.drills.timers() + self.standing.timers()
        step.timers += self.snapshots.timers()
        self.receipts.arm(step)
        if self.placing.seen_otherwise():
            step.timers.append((self.state.at, "climb", CHANGED_RULES))
        return step.timers


def is_latched(track: Track) -> bool:
    """Every level that stands only waits for a person's reset."""
    standing = [one.phase for one in track.standings if one.phase in ACTIVE]
    return bool(standing) and all(phase is Phase.LATCHED for phase in standing)


def _heard_ns(step: Step, track: Track) -> int:
    """Of silence, the last word on the wall's clock; it may have been another one before we started."""
    return step.wall_ns - (step.at - track.heard_at) if track.value is None else 0


def _limit(rule: Rule, level: Level) -> float | None:
    for limit in rule.limits:
        if limit.level is level:
            return limit.above if limit.above is not None else limit.below
    return None
