"""Who is told, when, and what becomes of it: cases climb ladders, messages are taken, refused or retried."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.backoff import wait_s
from gateway.core.calendars import local_date
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import ANSWERED, TURNS, UNANSWERED, Turn
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    Case,
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Stage,
    Told,
)
from gateway.core.routing import ladder, recipient

REPEAT_S = 900  # an unanswered red case, or one that reached nobody, tells its last rung again this often
RETRY_S_MOST = 60  # between two attempts at one notification


class Telling:
    """The ladders and messages of one casebook. A silent case takes no step and sends nothing."""

    def __init__(self, book: Casebook) -> None:
        self.book, self.world, self.state = book, book.world, book.state

    # ------------------------------------------------------------ the ladder

    def climb(self, step: Step, case_id: str, due: int) -> None:
        """Takes every step of the ladder if one was due then; an empty post costs no time."""
        case = self.state.cases.get(case_id)
        if case is None:
            return
        expires_at = self._expires_at(case)
        if expires_at is not None and expires_at <= due:
            self._expire(step, case)
            return
        if not self._climbs(case) or self._rung_at(case) > due:  # a timer of a level it has left
            self.arm(step, case)
            return
        steps = ladder(self.world, case.level)
        while case.rung < len(steps) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, case, Kind.ESCALATED if case.rung else Kind.RAISED)
        if case.rung >= len(steps) and _told_again(case) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, replace(case, rung=len(steps) - 1), Kind.ESCALATED)
            case = replace(case, climbing_at=step.at - int(steps[-1].after_s * SECOND))
        self.book.keep_case(step, case)
        self.arm(step, case)

    def climb_anew(self, step: Step, case: Case, kind: Kind) -> None:
        """A new or higher level: the ladder begins again, through any acknowledgement of the lower one."""
        self.book.cancel_due(step, case)
        case = replace(
            case, stage=TURNS[case.stage, Turn.RAISED], rung=0, climbing_at=step.at,
            changed_ns=step.wall_ns, answered_at=None,
        )  # fmt: skip
        steps = ladder(self.world, case.level)
        while not case.silent and case.rung < len(steps) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, case, kind)
        if not steps and not case.silent:
            step.note("ladder_missing", case=case.id, alert_level=case.level.word)
        self.book.keep_case(step, case)
        self.arm(step, case)

    def exhausted(self, case: Case) -> bool:
        """No rung of the ladder is left."""
        return case.rung >= len(ladder(self.world, case.level))

    def _take_rung(self, step: Step, case: Case, kind: Kind) -> Case:
        rung = ladder(self.world, case.level)[case.rung]
        case = replace(case, rung=case.rung + 1)
        alert = self.book.worst(case)
        device = self.world.devices.get(case.device)
        found = recipient(self.world, case.place, rung, local_date(step.wall_ns, self.world.timezone))
        if alert is None or device is None:
            return case
        if found is None:  # nobody holds the post: the next one is told at once, and the gap is reported
            step.note("post_empty", case=case.id, place=case.place, role=rung.role)
            self.book.enter(step, case.id, "post_empty", note=rung.role)
            left = ladder(self.world, case.level)[case.rung :]
            return replace(case, climbing_at=step.at - int(left[0].after_s * SECOND)) if left else case
        person = found.person.id
        for channel, address in found.channels:
            self._notify(step, case, alert, kind, person, channel, address)
        if kind in (Kind.ESCALATED, Kind.OVERDUE):
            self.book.enter(step, case.id, Kind.ESCALATED, person=person)
        told = case.told if person in case.told else (*case.told, person)
        return replace(case, responsible=person, told=told, changed_ns=step.wall_ns)

    def _rung_at(self, case: Case) -> int:
        """When the next rung is due; past the last one, when it is told again."""
        steps = ladder(self.world, case.level)
        wait_s = steps[case.rung].after_s if case.rung < len(steps) else steps[-1].after_s + REPEAT_S
        return case.climbing_at + int(wait_s * SECOND)

    def _climbs(self, case: Case) -> bool:
        steps = ladder(self.world, case.level)
        left = case.rung < len(steps) or _told_again(case)
        return bool(steps) and not case.silent and case.stage in UNANSWERED and left

    def arm(self, step: Step, case: Case) -> None:
        expires_at = self._expires_at(case)
        if expires_at is not None:
            step.timers.append((expires_at, "climb", case.id))
        elif self._climbs(case):
            step.timers.append((self._rung_at(case), "climb", case.id))

    # ------------------------------------------------------------ an acknowledgement runs out

    def _expires_at(self, case: Case) -> int | None:
        """When an acknowledged case should have been handled; None while nothing of it stands."""
        rule = self.book.rules.get(case.rule)
        if rule is None or not rule.handle_within_s or case.answered_at is None or case.silent:
            return None
        if case.stage not in ANSWERED or not self.book.standing(case):
            return None
        return case.answered_at + int(rule.handle_within_s * SECOND)

    def _expire(self, step: Step, case: Case) -> None:
        """Nobody's again: whoever took it on hears so, and the next rung is told, or the last one again."""
        owner, alert = case.handled_by or case.acknowledged_by, self.book.worst(case)
        self.book.cancel_due(step, case, "overdue")
        self.book.enter(step, case.id, Turn.EXPIRED, person=owner)
        stage = TURNS[case.stage, Turn.EXPIRED]
        case = replace(case, stage=stage, answered_at=None, changed_ns=step.wall_ns)
        if alert is not None:
            self.tell(step, case, alert, Kind.OVERDUE, owner)
        steps = ladder(self.world, case.level)
        if steps:
            rung = min(case.rung, len(steps) - 1)
            climbing_at = step.at - int(steps[rung].after_s * SECOND)
            case = self._take_rung(step, replace(case, rung=rung, climbing_at=climbing_at), Kind.OVERDUE)
        self.book.keep_case(step, replace(case, acknowledged_by="", handled_by=""))
        self.climb(step, case.id, step.at)

    # ------------------------------------------------------------ one message

    def outcome(self, step: Step, outcome: Outcome) -> None:
        """What became of one attempt: told, refused for good, or to be tried again."""
        told = self.state.notifications.get(outcome.notification)
        if told is None:
            return
        if outcome.told is Told.ACCEPTED:
            self.book.sent(step, told, outcome)
            self.reached(step, told)
        elif outcome.told is Told.REFUSED:
            self.book.settle(step, told, NotificationState.REFUSED, outcome.detail)
            fields = {"case": told.case, "channel": told.channel, "error": outcome.detail}
            step.note("notification_refused", **fields)
            self._next_rung_if_unreached(step, told)
        elif outcome.told is Told.UNKNOWN and outcome.once:
            self.book.sent(step, told, outcome)
            step.note("notification_unsure", channel=told.channel, case=told.case, error=outcome.detail)
        else:
            self._try_again(step, told, outcome)

    def reached(self, step: Step, told: Notification) -> None:
        """A provider has it for sure."""
        case = self.state.cases.get(told.case)
        if case is not None and (case.stage, Turn.TOLD) in TURNS and told.kind is not Kind.CLEARED:
            self.turn(step, case, Turn.TOLD, None)

    def _try_again(self, step: Step, told: Notification, outcome: Outcome) -> None:
        attempt = told.attempt + 1
        wait = wait_s(attempt, told.id, outcome.retry_after_s, RETRY_S_MOST)
        due_at = step.at + int(wait * SECOND)
        self.book.keep_notification(
            step, replace(told, attempt=attempt, due_at=due_at, detail=outcome.detail)
        )
        step.note("notification_retried", channel=told.channel, attempt=attempt, error=outcome.detail)

    def _next_rung_if_unreached(self, step: Step, refused: Notification) -> None:
        """Nobody of this rung can be reached any more: do not wait for the clock."""
        case = self.state.cases.get(refused.case)
        if case is None or self.book.due(case.id):
            return
        if refused.kind is Kind.BOUNCED and case.stage is Stage.HANDLING:
            self.climb_anew(step, case, Kind.ESCALATED)
        if case.stage is Stage.FOUND:
            self.hurry(step, case)

    def hurry(self, step: Step, case: Case) -> None:
        """The next rung, if there is one, does not wait for its time."""
        steps = ladder(self.world, case.level)
        if case.rung < len(steps):
            late = replace(case, climbing_at=step.at - int(steps[case.rung].after_s * SECOND))
            self.state.cases[case.id] = late
            self.climb(step, case.id, step.at)

    def _notify(
        self, step: Step, case: Case, alert: Alert, kind: Kind, person: str, channel: str, address: str
    ) -> None:
        rule, device = self.book.rule_of(alert), self.world.devices.get(alert.device)
        if case.silent or rule is None or device is None or self._waits(case, kind, person, channel):
            return
        told = Notification(
            id=self.book.new_id(step), case=case.id, alert=alert.id, kind=kind, level=alert.level,
            person=person, channel=channel, address=address,
            title=texts.title(kind, alert.level, rule, device, alert.component),
            text=texts.body(kind, alert, rule, case, self.world, step.wall_ns),
            created_ns=step.wall_ns, due_at=step.at, rung=case.rung,
        )  # fmt: skip
        self.book.keep_notification(step, told)

    def _waits(self, case: Case, kind: Kind, person: str, channel: str) -> bool:
        """Whether the same is on its way already: a provider that was away must not get a pile of it."""
        same = (kind, person, channel)
        return any((told.kind, told.person, told.channel) == same for told in self.book.due(case.id))

    def tell(self, step: Step, case: Case, alert: Alert, kind: Kind, person_id: str) -> bool:
        """One person, by the channels of the first rung of the case's level; False: there is no such."""
        person = self.world.persons.get(person_id)
        steps = ladder(self.world, case.level)
        if person is None or not steps:
            return False
        for channel in steps[0].by:
            self._notify(step, case, alert, kind, person.id, channel, person.reach.get(channel, ""))
        return True

    def tell_everyone_told(self, step: Step, case: Case, alert: Alert, kind: Kind) -> None:
        """Whoever was told of the trouble is told of its end."""
        for person in dict.fromkeys((*case.told, case.responsible, case.acknowledged_by)):
            self.tell(step, case, alert, kind, person)

    # ------------------------------------------------------------ a case turns

    def turn(self, step: Step, case: Case, turn: Turn, act: Act | None) -> Case:
        """Moves a case along its table and writes the line of its history."""
        stage = TURNS[case.stage, turn]
        answered_at = step.at if stage in ANSWERED else None
        case = replace(case, stage=stage, changed_ns=step.wall_ns, answered_at=answered_at)
        person, channel, note = (act.person, act.channel, act.note) if act else ("", "", "")
        self.book.enter(step, case.id, turn if turn is Turn.BOUNCED else stage, person, channel, note)
        self.book.keep_case(step, case)
        self.arm(step, case)
        return case


def _told_again(case: Case) -> bool:
    """Nobody answers a fire, or no provider has taken a message at all: its last rung is told again."""
    return case.level is Level.RED or case.stage is Stage.FOUND
