"""Where an alert belongs: in a case of its own, in that of its cause as a symptom, or in none."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.builtin import DRILL
from gateway.core.casebook import Casebook, Step, place_of, trouble_of, troubles_of
from gateway.core.cases import ANSWERED, UNANSWERED, Turn
from gateway.core.clocks import began_at
from gateway.core.conditions import goes_by_the_unusual
from gateway.core.inhibition import cause_of, touched_by
from gateway.core.model import SECOND, Act, Alert, AlertState, Case, Kind, Recurrence, Rule, Shelf, Stage
from gateway.core.routing import scene_of
from gateway.core.state import Closing
from gateway.core.telling import Telling, begun

ENDED_MOST = 10  # episodes that are over, named in an open case; the alerts themselves name their case
JOINED_MOST = 100  # alerts of one moment in one case: each more is written down with all before it


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
        shelf = self.book.shelf_of(alert)
        if shelf is not None:
            self._put_on(step, alert, shelf)
            return
        case = self._joinable(step, alert)
        if case is None:
            case = self._new_case(step, alert)
            kind = Kind.RECURRED if case.lifted and kind is Kind.RAISED else kind
        alert = replace(alert, case=case.id, hidden_by="", shelved="", fell_at=None)
        self.book.keep_alert(step, alert)
        self.book.enter(step, case.id, alert.level.word, note=situation(self.book, step, alert))
        news = not self.book.standing(case)  # it had cleared, or is new: the telling begins again
        rises = not news and alert.level > case.level
        level = alert.level if news else max(alert.level, case.level)
        rule = self.book.rule_of(alert)
        silent = rule is not None and not rule.tells  # as it is now: the case may be of an edit ago
        troubles = tuple(dict.fromkeys((*case.troubles, trouble_of(alert))))
        case = replace(
            case, alerts=(*self._lately(case), alert.id), level=level, silent=silent, troubles=troubles
        )
        if news or rises:
            case = replace(case, rule=alert.rule, device=alert.device, component=alert.component)
            self.telling.climb_anew(step, case, Kind.RISEN if rises else kind)
        else:
            self.telling.arm(step, self.book.keep_case(step, case))
            step.joined[case.id] = None

    def _lately(self, case: Case) -> tuple[str, ...]:
        """What stands in a case, and what ended there last: one that comes and goes for weeks stays small."""
        ended = [name for name in case.alerts if name not in self.state.alerts]
        old = frozenset(ended[:-ENDED_MOST])
        return tuple(name for name in case.alerts if name not in old)

    def _joinable(self, step: Step, alert: Alert) -> Case | None:
        """The unanswered case of this trouble, or of this place and moment: a new episode never joins an old
        answer.
        """
        about = self.book.cases_about(alert)
        same = next((case for case in about if case.stage in UNANSWERED and not case.drill), None)
        if same is not None or not self.world.join_within_s:
            return same
        near = self.book.cases_at(self.world.devices[alert.device].at)
        return next((case for case in near if self._is_one_moment(step, alert, case)), None)

    def _is_one_moment(self, step: Step, alert: Alert, case: Case) -> bool:
        """Whether an alert is of the place and scene of a case that was found just now.

        One place is where the devices stand: a cabinet's point, a building. A person is told of both alike.
        """
        rule, other = self.book.rule_of(alert), self.book.rule(case)
        unanswered = case.stage in UNANSWERED and not case.drill
        if rule is None or other is None or case.opened_at is None or not unanswered:
            return False
        now = step.at - case.opened_at < int(self.world.join_within_s * SECOND)
        alike = rule.scene == other.scene and rule.tells is not case.silent
        hushed = goes_by_the_unusual(other) and not goes_by_the_unusual(rule)  # nobody was told of a limit
        return now and alike and not hushed and len(case.alerts) < JOINED_MOST

    def _new_case(self, step: Step, alert: Alert) -> Case:
        device, rule = self.world.devices[alert.device], self.book.rule_of(alert)
        case = Case(
            id=self.book.new_id(step), alerts=(), device=alert.device, component=alert.component,
            place=device.at, rule=alert.rule, level=alert.level, stage=Stage.FOUND, opened_ns=step.wall_ns,
            changed_ns=step.wall_ns, climbing_at=step.at, silent=rule is not None and not rule.tells,
            opened_at=step.at,
        )  # fmt: skip
        self.book.enter(step, case.id, Stage.FOUND)
        return self._recurring(step, case, rule.recurrence if rule else None)

    def _recurring(self, step: Step, case: Case, recurrence: Recurrence | None) -> Case:
        """The last of so many in a span goes to the post above at once, each further one a post higher."""
        ends = self.state.closings.get(place_of(case.rule, case.place), [])
        if recurrence is None or not ends:
            return case
        since = step.at - int(recurrence.within_s * SECOND)
        before = [one.case for one in ends if one.at > since and one.case.stage is Stage.CLOSED]
        if not before:
            return case
        last = before[-1]
        again = max(len(before), last.again if last.lifted else 0) + 1
        lifted = max(0, again - recurrence.times + 1)
        self.book.enter(step, case.id, "again", note=f"{again}|{last.id}")
        return replace(case, again=again, again_of=last.id, lifted=lifted)

    # ------------------------------------------------------------ causes and symptoms

    def show_or_hide(self, step: Step, changed: Alert) -> None:
        """Whatever may be a symptom of what has just changed, or no longer."""
        for alert in touched_by(self.book, changed):
            self.reconsider(step, alert)

    def reconsider(self, step: Step, alert: Alert) -> None:
        """Hides what has a cause and no answer yet; shows, in a case of its own, what has none any more."""
        if alert.device not in self.world.devices or self.book.rule_of(alert) is None:
            return  # it ends in this very step
        if alert.mode == DRILL:
            return  # it is nobody's symptom
        cause, case = cause_of(self.book, alert), self.book.own_case(alert)
        if alert.hidden_by:
            if cause is None:
                step.note("alert_shown", alert=alert.id, rule=alert.rule, device=alert.device)
                self._show(step, alert)
                self.show_or_hide(step, alert)
            elif (cause.id, cause.case) != (alert.hidden_by, alert.case):
                self._hide(step, alert, cause)
                self.show_or_hide(step, alert)
        elif cause and case and case.stage in UNANSWERED and case.level <= cause.level:
            self._merge(step, alert, case, cause)

    def _show(self, step: Step, alert: Alert) -> None:
        """What is no symptom any more: the same trouble of the same place stays in its case, on whose people
        and ladder it goes on; anything else gets a case of its own.
        """
        latched = alert.state is AlertState.LATCHED
        case, kind = self.home(alert), Kind.LATCHED if latched else Kind.RAISED
        alert = replace(alert, hidden_by="")
        if case is None:
            self.settle(step, alert, kind)
            return
        rises, leads = alert.level > case.level, not self.book.standing(case)
        alert = self.book.keep_alert(step, replace(alert, shelved="", fell_at=None))
        self.book.enter(step, case.id, alert.level.word, note=self._named(step, alert))
        troubles = tuple(dict.fromkeys((*troubles_of(case), trouble_of(alert))))
        case = replace(case, alerts=(*self._lately(case), alert.id), troubles=troubles)
        if rises or leads:
            case = replace(case, rule=alert.rule, device=alert.device, component=alert.component)
        if rises:
            self.telling.climb_anew(step, replace(case, level=alert.level), kind)
        else:
            self._go_on(step, case, alert, kind)

    def _go_on(self, step: Step, case: Case, alert: Alert, kind: Kind) -> None:
        """Whoever has it hears what is left of it; a "done" was said too early."""
        self.telling.arm(step, self.book.keep_case(step, case))
        if case.stage is Stage.HANDLED:
            self.telling.bounce(step, case, alert)
        else:
            self.telling.tell(step, case, alert, kind, case.acknowledged_by or case.responsible)

    def home(self, alert: Alert) -> Case | None:
        """The open case in which an alert hides, if it is as much its own: of the same place and scene."""
        case, rule = self.state.cases.get(alert.case), self.book.rule_of(alert)
        if case is None or rule is None or rule.tells is case.silent or self.book.shelf_of(alert):
            return None
        alike = scene_of(self.world, alert.device) == scene_of(self.world, case.device)
        return case if alike and self.world.devices[alert.device].at == case.place else None

    def leaves_more(self, alert: Alert) -> bool:
        """Whether something hides behind it that stays in its case when it ends."""
        hidden = self.book.alerts(("behind", alert.id))
        return any(self.home(one) is not None and cause_of(self.book, one) is None for one in hidden)

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
        others = [one for one in self._alerts_with(case) if not one.hidden_by and one.id != alert.id]
        self.book.carry_over(case, into)
        joined = self.telling.joined(case, self.telling.under_the_earlier(case, into))
        joined = replace(
            joined, told=tuple(dict.fromkeys((*into.told, *case.told))),
            troubles=tuple(dict.fromkeys((*troubles_of(into), *troubles_of(case)))),
        )  # fmt: skip
        self.telling.arm(step, self.book.keep_case(step, joined))
        self._tell_newcomers(step, case, into, cause)
        self._hide(step, alert, cause)
        self.show_or_hide(step, alert)
        for one in others:
            self._take_along(step, one, into.id)

    def _tell_newcomers(self, step: Step, case: Case, into: Case, cause: Alert) -> None:
        """Whoever knew of the one case alone: its cards are void now."""
        kind = Kind.RISEN if case.level < into.level else Kind.RAISED
        for person in case.told if into.stage in UNANSWERED else ():
            if person not in into.told:
                self.telling.tell(step, self.state.cases[into.id], cause, kind, person)

    def _take_along(self, step: Step, alert: Alert, name: str) -> None:
        """What stood beside it in the case that is no more: a symptom too, or the other case's own."""
        cause, case = cause_of(self.book, alert), self.state.cases[name]
        if cause is not None:
            self._hide(step, alert, cause)
        else:
            self.book.keep_alert(step, replace(alert, case=name))
            self.book.keep_case(step, replace(case, alerts=(*case.alerts, alert.id)))
        self.show_or_hide(step, alert)

    # ------------------------------------------------------------ the shelf

    def _put_on(self, step: Step, alert: Alert, shelf: Shelf) -> None:
        """It belongs to no case: of what nobody is told, nobody is asked for feedback either."""
        self.book.keep_alert(step, replace(alert, case="", hidden_by="", shelved=shelf.id))
        self.book.enter(step, shelf.id, "held", note=self._named(step, alert))

    def shelve(self, step: Step, alert: Alert, shelf: Shelf) -> None:
        """Nobody is told of a standing alert from here on, nor of its case, if nothing else stands in it.

        A symptom is told with its cause, and finds the shelf when the cause has ended.
        """
        if alert.hidden_by:
            return
        self.book.keep_alert(step, replace(alert, shelved=shelf.id))
        case = self.book.own_case(alert)
        if case is not None:
            self.voice(step, case)
        self.show_or_hide(step, alert)

    def unshelve(self, step: Step, alert: Alert) -> None:
        """What still stands is told at once, to whoever had taken it on too, unless another holds it."""
        other, rule = self.book.shelf_of(alert), self.book.rule_of(alert)
        alert = self.book.keep_alert(step, replace(alert, shelved=other.id if other else ""))
        if other is not None or rule is None:
            return
        case = self.book.own_case(alert)
        if case is not None:
            self.voice(step, case)
        elif not alert.case and rule.opens:
            latched = alert.state is AlertState.LATCHED
            self.settle(step, alert, Kind.LATCHED if latched else Kind.RAISED)
        self.show_or_hide(step, self.state.alerts[alert.id])

    def voice(self, step: Step, case: Case) -> Case:
        """A case is silent as long as nobody is to be told of anything that stands in it; one in which
        nothing stands goes by its rule.
        """
        rule, stands = self.book.rule(case), self.book.standing(case)
        tells = self.book.tells(case) if stands else rule is None or rule.tells
        if tells is not case.silent:
            return case
        if not tells:
            self.book.cancel_due(step, case, "shelved")
            return self.book.keep_case(step, replace(case, silent=True))
        case = begun(step, replace(case, silent=False))
        if stands and case.stage in (*UNANSWERED, *ANSWERED):
            self.telling.climb_anew(step, case, Kind.RAISED)
        else:
            self.telling.arm(step, self.book.keep_case(step, case))
        return self.state.cases[case.id]

    # ------------------------------------------------------------ by a person's word

    def merge(self, step: Step, case: Case, into: Case, act: Act) -> None:
        """One case goes on with the alerts of both, under the earlier of their deadlines.

        What is worse than anything that was answered there tells anew.
        """
        self.book.cancel_due(step, case, "merged")
        for alert in self._alerts_with(case):
            self.book.keep_alert(step, replace(alert, case=into.id))
        self.telling.turn(step, replace(case, merged_into=into.id), Turn.MERGED, act)
        earliest = case if began_at(case) < began_at(into) else into
        joined = replace(
            self.telling.joined(case, into), alerts=tuple(dict.fromkeys((*into.alerts, *case.alerts))),
            troubles=tuple(dict.fromkeys((*troubles_of(into), *troubles_of(case)))),
            told=tuple(dict.fromkeys((*into.told, *case.told))),
            clock_at=began_at(earliest), clock_ns=earliest.clock_ns or earliest.opened_ns,
            overdue=earliest.overdue,
            level=max(case.level, into.level), changed_ns=step.wall_ns,
        )  # fmt: skip
        self.book.carry_over(case, into)
        self.book.enter(step, into.id, "merged_in", act.person, act.channel, case.id)
        if case.level > into.level:
            head = replace(joined, rule=case.rule, device=case.device, component=case.component)
            self.telling.climb_anew(step, head, Kind.RISEN)
        else:
            self.telling.arm(step, self.book.keep_case(step, joined))

    def split(self, step: Step, case: Case, alert: Alert, act: Act) -> None:
        """A case of its own for one alert, as old as the one it was in: no deadline is put off by it."""
        rest = replace(case, alerts=tuple(one for one in case.alerts if one != alert.id))
        rest = replace(rest, troubles=tuple(one for one in troubles_of(case) if one != trouble_of(alert)))
        if head := self.book.worst(rest):
            rest = replace(rest, rule=head.rule, device=head.device, component=head.component)
        self.book.keep_case(step, replace(rest, changed_ns=step.wall_ns))
        own = replace(
            case, id=self.book.new_id(step), alerts=(alert.id,), troubles=(trouble_of(alert),),
            rule=alert.rule, device=alert.device, component=alert.component, level=alert.worst,
            place=self.world.devices[alert.device].at, stage=Stage.FOUND, opened_at=None, handed_on=True,
            acknowledged_by="", handled_by="",
        )  # fmt: skip
        for one in (alert, *(each for each in self._alerts_with(case) if each.hidden_by == alert.id)):
            self.book.keep_alert(step, replace(one, case=own.id))
        self.book.enter(step, case.id, "split", act.person, act.channel, own.id)
        self.book.enter(step, own.id, "split_from", act.person, act.channel, case.id)
        began, began_ns = began_at(case), case.clock_ns or case.opened_ns
        self.telling.climb_anew(step, own, Kind.RAISED)
        own = replace(self.state.cases[own.id], clock_at=began, clock_ns=began_ns)
        self.telling.arm(step, self.book.keep_case(step, own))

    def reopen(self, step: Step, ended: Closing, act: Act) -> None:
        """A new case that knows the old one: what ended stays as it was written."""
        before = ended.case
        case = replace(
            before, id=self.book.new_id(step), stage=Stage.FOUND, opened_ns=step.wall_ns, opened_at=step.at,
            alerts=(), acknowledged_by="", handled_by="", verified_by="", verifier="", reason="", told=(),
            responsible="", again_of=before.id, word=act.note, word_by=act.person, reopened=True,
            suspended_at=None, suspended_until=None, lifted=0, handed_on=False,
        )  # fmt: skip
        self.book.enter(step, before.id, "reopened", act.person, act.channel, act.note)
        self.book.enter(step, case.id, Stage.FOUND)
        self.book.enter(step, case.id, "reopened", act.person, act.channel, act.note)
        standing = self._alerts_with(before)
        for alert in standing:
            self.book.keep_alert(step, replace(alert, case=case.id))
        own = tuple(one.id for one in standing if not one.hidden_by)
        if ended.alert is not None:
            self.state.last[case.id] = replace(ended.alert, case=case.id)
        self.state.cases[case.id] = case = replace(case, alerts=own)
        self.telling.climb_anew(step, case, Kind.REOPENED)

    def _alerts_with(self, case: Case) -> list[Alert]:
        """What stands in it, symptoms too."""
        return [one for one in self.state.alerts.values() if one.case == case.id]

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
        elif case is not None and not case.silent and not self.book.tells(case):
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
        if rule is None or alert.mode == DRILL:
            return False
        if alert.mode != rule.mode or (rule.opens and not alert.case and not alert.shelved):
            return True
        if alert.hidden_by:
            cause = cause_of(self.book, alert)
            return cause is None or (cause.id, cause.case) != (alert.hidden_by, alert.case)
        return case is not None and case.silent is self.book.tells(case)

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
