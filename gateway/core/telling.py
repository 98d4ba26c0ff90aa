"""Who is told, when, and what becomes of it: cases climb ladders, messages are taken, refused or retried."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace as replaced

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.asking import CALM, CHECKED, INFORMED, offered
from gateway.core.backoff import wait_s
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import ANSWERED, ENDED, SAME_CLOCK, TURNS, UNANSWERED, Turn
from gateway.core.clocks import DAY_S, began_at, needs_person, runs_out_at
from gateway.core.duty import Gap, addresses, departed, next_end, post_key, successor
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    Case,
    Device,
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Person,
    Rule,
    Stage,
    Told,
)
from gateway.core.model import Step as Rung
from gateway.core.routing import Recipient, calm_ns, ladder, quiet_ns, quietly, recipients, scene_of

REPEAT_S = 900  # an unanswered red case, or one that reached nobody, tells its last rung again this often
RESET_S = 3600  # an alarm that is over and waits for its reset is told of no oftener
REMIND_S = DAY_S  # any other that nobody has answered: what stands is never forgotten in silence
RETRY_S_MOST = 60  # between two attempts at one notification
LOOK_NS = 3600 * SECOND  # so often, while a post is to end, as the clock on the wall may step


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
        out_at = self._out_at(case)
        if out_at is not None and out_at <= due:
            self._ran_out(step, case)
        elif not self._climbs(case) or self._rung_at(case) > due:  # a timer of a level it has left
            self.arm(step, case)
        elif self._quiet_ns(step, case):
            self.arm(step, self.book.keep_case(step, self._after_quiet(step, case)))
        else:
            self._climb(step, case)

    def _climb(self, step: Step, case: Case) -> None:
        """Every rung that is due by now; past the last one, that one again."""
        steps = self.steps(case)
        kind = Kind.LATCHED if self.book.latched(case) else Kind.ESCALATED
        while case.rung < len(steps) and self._rung_at(case) <= step.at:
            case = self._next_rung(step, case, kind if case.rung else Kind.RAISED)
        if case.rung >= len(steps) and self._rung_at(case) <= step.at:
            case = self._take_rung(step, replace(case, rung=len(steps) - 1), kind)
            case = replace(case, climbing_at=step.at - int(steps[-1].after_s * SECOND))
        self.book.keep_case(step, case)
        self.arm(step, case)

    def climb_anew(self, step: Step, case: Case, kind: Kind) -> None:
        """A new or higher level: the ladder begins again, through any acknowledgement of the lower one."""
        self.book.cancel_due(step, case)
        if case.stage is not Stage.FOUND:
            self.book.enter(step, case.id, Turn.RAISED)  # the history tells every turn
        case = replace(
            case, stage=TURNS[case.stage, Turn.RAISED], rung=0, climbing_at=step.at,
            changed_ns=step.wall_ns, answered_at=None, agreed=(), denied=(), until_ns=0, suspended_at=None,
            suspended_until=None,
        )  # fmt: skip
        case = begun(step, case)
        steps = self.steps(case)
        while not case.silent and case.rung < len(steps) and self._is_due(step, case):
            case = self._take_rung(step, case, kind)
        case = self._after_quiet(step, case)
        if not steps and not case.silent:
            step.note("ladder_missing", case=case.id, alert_level=case.level.word)
        self.book.keep_case(step, case)
        self.arm(step, case)

    def _is_due(self, step: Step, case: Case) -> bool:
        """What recurs is told a post higher at once; whoever stands below is told as ever."""
        return case.rung <= case.lifted or self._rung_at(case) <= step.at

    def exhausted(self, case: Case) -> bool:
        """No rung of the ladder is left."""
        return case.rung >= len(self.steps(case))

    def steps(self, case: Case) -> Sequence[Rung]:
        return ladder(self.world, case.level, scene_of(self.world, case.device))

    def _next_rung(self, step: Step, case: Case, kind: Kind) -> Case:
        """Where an empty post fell back to the one above it, that one's own rung is told already."""
        if self._is_told_already(step, case):
            return replace(case, rung=case.rung + 1)
        return self._take_rung(step, case, kind)

    def _is_told_already(self, step: Step, case: Case) -> bool:
        steps = self.steps(case)
        if not 0 < case.rung < len(steps) or steps[case.rung].roles == steps[case.rung - 1].roles:
            return False
        before, now = (self._responsible(step, case, one) for one in steps[case.rung - 1 : case.rung + 1])
        known = {one.person.id: set(one.channels) for one in before}
        return bool(now) and all(set(one.channels) <= known.get(one.person.id, set()) for one in now)

    def _take_rung(self, step: Step, case: Case, kind: Kind) -> Case:
        rung = self.steps(case)[case.rung]
        case = replace(case, rung=case.rung + 1)
        alert = self.book.about(case)
        if alert is None or case.device not in self.world.devices:
            return case
        found = recipients(self.world, case.place, rung, step.wall_ns)
        self._report_gaps(step, case, alert, found.gaps)
        for one in found.recipients:
            self.state.gaps.pop(post_key(one.holder.role, one.holder.at), None)
            if not one.copy:
                self.send(step, case, alert, kind, one)
            elif kind is not Kind.ESCALATED or one.person.id not in case.copies:  # not at every repetition
                others = found.responsible
                note = texts.copied(others[0].person if others else None)
                self.send(step, case, alert, Kind.COPIED, one, note)
        told = [one.person.id for one in found.responsible]
        copies = [one.person.id for one in found.recipients if one.copy]
        case = replace(case, copies=tuple(dict.fromkeys((*case.copies, *copies))))
        if not told:  # nobody holds the post: the next one is told at once
            left = self.steps(case)[case.rung :]
            return replace(case, climbing_at=step.at - int(left[0].after_s * SECOND)) if left else case
        for person in told if kind in UPWARD else ():
            what = "reminded" if kind is Kind.LATCHED else Kind.ESCALATED
            self.book.enter(step, case.id, what, person=person)
        everyone = tuple(dict.fromkeys((*case.told, *told)))
        return replace(case, responsible=told[0], told=everyone, changed_ns=step.wall_ns)

    def send(self, step: Step, case: Case, alert: Alert, kind: Kind, to: Recipient, note: str = "") -> None:
        for channel, address in quietly(self.world, to.person, to.channels) if kind in CALM else to.channels:
            self._notify(step, case, alert, kind, to.person.id, channel, address, note)

    def _rung_at(self, case: Case) -> int:
        """When the next rung is due; past the last one, when it is told again."""
        steps = self.steps(case)
        wait_s = (
            steps[case.rung].after_s if case.rung < len(steps) else steps[-1].after_s + self._repeat_s(case)
        )
        return case.climbing_at + int(wait_s * SECOND)

    def _repeat_s(self, case: Case) -> float:
        """Of a fire, or of what no provider has taken at all, the last rung is told again soon."""
        repeat_s = REPEAT_S if case.level is Level.RED or case.stage is Stage.FOUND else REMIND_S
        return max(repeat_s, RESET_S) if self.book.latched(case) else repeat_s

    def _climbs(self, case: Case) -> bool:
        """Whether its ladder goes on: nobody has taken it on, and there is something to take on."""
        waits = case.stage in UNANSWERED and (case.reopened or self.book.standing(case))
        return waits and not case.silent and bool(self.steps(case))

    def arm(self, step: Step, case: Case) -> None:
        next_at = self.next_at(case)
        if next_at is not None:
            step.timers.append((next_at, "climb", case.id))

    def next_at(self, case: Case) -> int | None:
        """When time alone will move it: its stage runs out, or the next rung is due."""
        rung_at = self._rung_at(case) if self._climbs(case) else None
        return min((at for at in (self._out_at(case), rung_at) if at is not None), default=None)

    def must_move(self, case: Case) -> bool:
        """Whether it may not lie: nobody has answered what stands, or its clock stands still for a while."""
        return self._climbs(case) or case.stage is Stage.SUSPENDED

    # ------------------------------------------------------------ two cases become one

    def joined(self, case: Case, into: Case) -> Case:
        """`into` with the ladder of both: no step of either comes later for it."""
        if not (self._climbs(case) and self._climbs(into)):
            return into
        due = min(self._rung_at(case), self._rung_at(into))
        if self.steps(case) == self.steps(into) and case.rung > into.rung:
            into, due = replace(into, rung=case.rung, responsible=case.responsible), self._rung_at(case)
        late = self._rung_at(into) - due
        return (
            replace(into, climbing_at=into.climbing_at - late) if into.rung < len(self.steps(into)) else into
        )

    def under_the_earlier(self, case: Case, into: Case) -> Case:
        """`into` under the earlier of their deadlines, which other spans may have set."""
        rule, other = self.book.rule(case), self.book.rule(into)
        mine = runs_out_at(self.world, rule, case, self.book.firing(case))
        theirs = runs_out_at(self.world, other, into, self.book.firing(into))
        if mine is None or theirs is None or mine >= theirs:
            return into
        began_ns = (into.clock_ns or into.opened_ns) - theirs + mine
        return replace(
            into,
            clock_at=began_at(into) - theirs + mine,
            clock_ns=began_ns,
            overdue=into.overdue or case.overdue,
        )

    # ------------------------------------------------------------ quiet hours

    def _quiet_ns(self, step: Step, case: Case) -> int:
        """Whoever is at work on a case is awake: only what nobody has answered waits."""
        if case.stage not in UNANSWERED:
            return 0
        scene = scene_of(self.world, case.device)
        return quiet_ns(self.world, case.place, scene, case.level, step.wall_ns)

    def _after_quiet(self, step: Step, case: Case) -> Case:
        """The ladder goes on as if the quiet hours had been no time at all."""
        waits_ns = self._quiet_ns(step, case)
        if not waits_ns or case.silent:
            return case
        self.book.enter(step, case.id, "quiet", note=self._clock(step.wall_ns + waits_ns, step))
        return replace(case, climbing_at=case.climbing_at + waits_ns)

    def _clock(self, wall_ns: int, step: Step) -> str:
        return texts.clock(wall_ns, self.world.timezone, step.wall_ns)

    # ------------------------------------------------------------ empty posts

    def _report_gaps(self, step: Step, case: Case, alert: Alert, gaps: Sequence[Gap]) -> None:
        """Each in the case; the supervisor hears of each once, until somebody holds the post again."""
        for gap in gaps:
            step.note("post_empty", case=case.id, place=gap.at, role=gap.role, reason=gap.lack)
            place, person = self.world.places.get(gap.at), self.world.persons.get(gap.person)
            says = texts.gap(gap.role, gap.lack, place, person)
            self.book.enter(step, case.id, "post_empty", note=says)
            known = gap.key in self.state.gaps
            if not known and self._tell_supervisor(step, case, alert, says) and not case.drill:
                self.state.gaps[gap.key] = step.wall_ns

    def _tell_supervisor(self, step: Step, case: Case, alert: Alert, says: str) -> bool:
        """Whether there is one."""
        if self.world.supervisor is None:
            return False
        told = recipients(self.world, case.place, self.world.supervisor, step.wall_ns).recipients
        for one in told:
            self.send(step, case, alert, Kind.GAP, one, says)
        return bool(told)

    # ------------------------------------------------------------ another holder

    def hand_over(self, step: Step) -> None:
        """What is open goes to whoever follows those whose posts have ended; looks again at the next end."""
        gone = departed(self.world, step.wall_ns)
        for case in list(self.state.cases.values()) if gone else ():
            owner = case.handled_by or case.acknowledged_by or case.responsible
            found = successor(self.world, case.place, owner, step.wall_ns) if owner in gone else None
            if found is not None and found.person is not None and not case.silent:
                self._hand_over(step, case, owner, found.person)
        next_ns = next_end(self.world, step.wall_ns)
        if next_ns is not None:
            step.timers.append((step.at + min(next_ns - step.wall_ns, LOOK_NS), "hand_over", ""))

    def _hand_over(self, step: Step, case: Case, before: str, after: Person) -> None:
        """Nobody's again but the successor's, who must say so; the ladder's next step counts from now."""
        note = texts.handed_over(self.world, before, after)
        self.book.enter(step, case.id, "handed_over", person=after.id, note=note)
        step.note("case_handed_over", case=case.id, person=after.id)
        told = tuple(dict.fromkeys((*case.told, after.id)))
        case = replace(case, responsible=after.id, told=told, changed_ns=step.wall_ns, agreed=(), denied=())
        if case.stage in ANSWERED:
            stage = TURNS[case.stage, Turn.EXPIRED]
            case = replace(case, stage=stage, acknowledged_by="", handled_by="", answered_at=None, until_ns=0)
            self.book.cancel_due(step, case, "handed_over")
        elif case.stage is Stage.SUSPENDED:
            case = replace(case, acknowledged_by=after.id)
        if case.stage is not Stage.SUSPENDED:
            case = begun(step, case)
        steps = self.steps(case)
        if steps and case.stage in UNANSWERED:
            taken = steps[max(min(case.rung, len(steps)) - 1, 0)]
            case = replace(case, climbing_at=step.at - int(taken.after_s * SECOND))
        self.book.keep_case(step, case)
        alert = self.book.about(case)
        if alert is not None:
            self.tell(step, case, alert, Kind.HANDED_OVER, before, note)
            self.tell(step, case, alert, Kind.TAKEN_OVER, after.id, note)
        self.arm(step, case)

    # ------------------------------------------------------------ a stage has lasted too long

    def _out_at(self, case: Case) -> int | None:
        """When the present stage runs out; None: never, or the post above knows already."""
        if case.stage is Stage.SUSPENDED:
            return case.suspended_until
        if case.silent or case.overdue or case.stage in ENDED:
            return None
        return runs_out_at(self.world, self.book.rule(case), case, self.book.firing(case))

    def _ran_out(self, step: Step, case: Case) -> None:
        if case.stage is Stage.SUSPENDED:
            self.resume(step, case)
        elif case.stage is Stage.HANDLED and self.awaits_person(case):
            self.ask_verifier(step, case, Kind.UNVERIFIED)
        elif case.stage in ANSWERED and self.book.firing(case):
            self._expire(step, case)
        else:
            self._late(step, case)

    def _late(self, step: Step, case: Case) -> None:
        """The post above is told once. Of what nobody has taken on the ladder may have told it already."""
        case = replace(case, overdue=True, changed_ns=step.wall_ns)
        self.book.enter(step, case.id, "overdue")
        step.note("case_overdue", case=case.id, reason=str(case.stage), alert_level=case.level.word)
        kind = {Stage.HANDLED: Kind.UNVERIFIED}.get(case.stage, Kind.LATE)
        if not self._climbs(case):
            his = {case.responsible, case.acknowledged_by, case.handled_by}
            case = self._tell_superior(step, case, kind, his)
            self.arm(step, self.book.keep_case(step, case))
            return
        self._climb(step, self._tell_late(step, case, kind))

    def _tell_late(self, step: Step, case: Case, kind: Kind) -> Case:
        """The next rung, when it is another's; else, beside the ladder, whoever is above."""
        who = [{one.person.id for one in self._responsible(step, case, rung)} for rung in self.steps(case)]
        if set().union(*who[: case.rung]) - who[0]:
            return case  # the ladder has been there
        below = who[0] | {case.responsible}
        if case.rung < len(who) and who[case.rung] - below:
            return self._take_rung(step, case, kind)
        return self._tell_superior(step, case, kind, below)

    def _tell_superior(self, step: Step, case: Case, kind: Kind, but: AbstractSet[str] = frozenset()) -> Case:
        """Who hears of the trouble hears of its end too."""
        above = self.tell_above(step, case, kind, but)
        return replace(case, told=tuple(dict.fromkeys((*case.told, above)))) if above else case

    def tell_above(self, step: Step, case: Case, kind: Kind, but: AbstractSet[str] = frozenset()) -> str:
        """The post above whoever was told last, and none of `but`; who it is, "" when nobody is there."""
        found, alert = self.above(step, case, but), self.book.about(case)
        if found is None or alert is None:
            return ""
        if kind is Kind.LATE:  # beside the ladder, which rings at its own time
            found = replaced(found, channels=tuple(quietly(self.world, found.person, found.channels)))
        self.send(step, case, alert, kind, found)
        self.book.enter(step, case.id, Kind.ESCALATED, person=found.person.id)
        return found.person.id

    def above(
        self, step: Step, case: Case, but: AbstractSet[str] = frozenset(), wait_ns: int = 0
    ) -> Recipient | None:
        """Who will hold the next rung's post then, or one still higher; past the last, whoever is highest."""
        steps = self.steps(case)
        order = [*steps[case.rung :], *reversed(steps[: case.rung])]
        found = (one for rung in order for one in self._responsible(step, case, rung, wait_ns))
        return next((one for one in found if one.person.id not in but), None)

    def _responsible(self, step: Step, case: Case, rung: Rung, wait_ns: int = 0) -> list[Recipient]:
        return recipients(self.world, case.place, rung, step.wall_ns + wait_ns).responsible

    def _expire(self, step: Step, case: Case) -> None:
        """Nobody's again: whoever took it on hears so, and the next rung is told, or the last one again."""
        owner, alert = case.handled_by or case.acknowledged_by, self.book.worst(case)
        self.book.cancel_due(step, case, "overdue")
        self.book.enter(step, case.id, Turn.EXPIRED, person=owner)
        step.note("case_overdue", case=case.id, reason=str(case.stage), alert_level=case.level.word)
        stage = TURNS[case.stage, Turn.EXPIRED]
        case = replace(case, stage=stage, answered_at=None, until_ns=0, changed_ns=step.wall_ns)
        case = begun(step, case)
        if alert is not None:
            self.tell(step, case, alert, Kind.OVERDUE, owner)
        case = self._over_his_head(step, case, owner)
        self.book.keep_case(step, replace(case, acknowledged_by="", handled_by=""))
        self.climb(step, case.id, step.at)

    def _over_his_head(self, step: Step, case: Case, owner: str) -> Case:
        """The next rung that is not his own, told now; or the last. Those behind it wait as long as ever."""
        steps = self.steps(case)
        if not steps or case.silent:
            return case
        left = range(min(case.rung, len(steps) - 1), len(steps))
        others = (
            at for at in left if {one.person.id for one in self._responsible(step, case, steps[at])} - {owner}
        )
        rung = next(others, len(steps) - 1)
        climbing_at = step.at - int(steps[rung].after_s * SECOND)
        return self._take_rung(step, replace(case, rung=rung, climbing_at=climbing_at), Kind.OVERDUE)

    def resume(self, step: Step, case: Case) -> None:
        """The day of return has come: its clock goes on from where it stood, and its owner hears so."""
        stood = step.at - (step.at if case.suspended_at is None else case.suspended_at)
        case = replace(
            case, clock_at=began_at(case) + stood, clock_ns=(case.clock_ns or case.opened_ns) + stood,
            suspended_at=None, suspended_until=None, until_ns=0,
        )  # fmt: skip
        case = self.turn(step, case, Turn.RESUMED, None)
        alert = self.book.about(case)
        if alert is not None and not self.tell(step, case, alert, Kind.RESUMED, case.acknowledged_by):
            self.tell_above(step, case, Kind.RESUMED)

    # ------------------------------------------------------------ who confirms a "done"

    def awaits_person(self, case: Case) -> bool:
        """Done was said, the sensor agrees, and somebody else must look."""
        needed = needs_person(self.world, self.book.rule(case), case.level)
        return needed and case.stage is Stage.HANDLED and not self.book.standing(case)

    def ask_verifier(self, step: Step, case: Case, kind: Kind = Kind.VERIFY) -> None:
        """The next post up that is not the doer's, and the one above it when it keeps us waiting."""
        if kind is Kind.UNVERIFIED:
            self.book.enter(step, case.id, "overdue")
            step.note("case_overdue", case=case.id, reason=str(case.stage), alert_level=case.level.word)
            case = replace(case, rung=case.rung + 1)
        found = self.above(step, case, {case.handled_by}, self._calm_ns(step, begun(step, case)))
        verifier = found.person.id if found else ""
        case = begun(step, replace(case, verifier=verifier, changed_ns=step.wall_ns))
        alert = self.book.about(case)
        if found is None or alert is None:
            step.note("verifier_missing", case=case.id, place=case.place)
        else:
            self.send(step, case, alert, kind, found)
            self.book.enter(step, case.id, "verifier", person=verifier)
        self.book.keep_case(step, case)
        self.arm(step, case)

    def _calm_ns(self, step: Step, case: Case) -> int:
        """Until the quiet hours are over, if its own time is not up by then."""
        scene, out_at = scene_of(self.world, case.device), self._out_at(case)
        waits_ns = calm_ns(self.world, case.place, scene, case.level, step.wall_ns)
        return waits_ns if out_at is None or step.at + waits_ns < out_at else 0

    def bounce(self, step: Step, case: Case, alert: Alert, act: Act | None = None) -> None:
        """Back to the doer; who is no longer there is nobody, and the ladder begins again."""
        case = self.turn(step, replace(resumed(case), verifier=""), Turn.BOUNCED, act)
        if not self.tell(step, case, alert, Kind.BOUNCED, case.handled_by):
            self.climb_anew(step, case, Kind.ESCALATED)

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
        counts = told.kind not in INFORMED and told.kind is not Kind.CLEARED
        if case is not None and (case.stage, Turn.TOLD) in TURNS and counts:
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
        if case is None or any(told.kind not in INFORMED for told in self.book.due(case.id)):
            return
        if refused.kind in (Kind.BOUNCED, Kind.REJECTED) and case.stage is Stage.HANDLING:
            self.climb_anew(step, case, Kind.ESCALATED)
        if case.stage in (Stage.FOUND, Stage.RETURNED):
            self.hurry(step, case)

    def hurry(self, step: Step, case: Case) -> None:
        """The next rung, if there is one, does not wait for its time."""
        steps = self.steps(case)
        while self._is_told_already(step, case):
            case = replace(case, rung=case.rung + 1)
        if case.rung < len(steps):
            late = replace(case, climbing_at=step.at - int(steps[case.rung].after_s * SECOND))
            self.state.cases[case.id] = late
            self.climb(step, case.id, step.at)

    def _notify(
        self, step: Step, case: Case, alert: Alert, kind: Kind, person: str, channel: str, address: str,
        note: str = "",
    ) -> None:  # fmt: skip
        rule, device = self.book.rule_of(alert), self.world.devices.get(alert.device)
        if (
            case.silent
            or rule is None
            or device is None
            or self._waits(step, case, alert, kind, person, channel)
        ):
            return
        said = texts.body(kind, alert, rule, case, self.world, step.wall_ns, person)
        said = f"{note}\n{said}".lstrip()
        waits_ns = self._calm_ns(step, case) if kind in CHECKED else self._quiet_ns(step, case)
        told = Notification(
            id=self.book.new_id(step), case=case.id, alert=alert.id, kind=kind, level=alert.level,
            person=person, channel=channel, address=address,
            title=self._title(kind, case, alert, rule, device, person),
            text=texts.of_a_drill(said, kind) if case.drill else said,
            created_ns=step.wall_ns, due_at=step.at + waits_ns,
            rung=case.rung, drill=case.drill, asks=offered(kind, case, person),
        )  # fmt: skip
        self.book.keep_notification(step, told)

    def _title(self, kind: Kind, case: Case, alert: Alert, rule: Rule, device: Device, person: str) -> str:
        head = texts.head(kind, alert, case, person)
        found = texts.title(kind, alert.level, rule, device, alert.component, case.drill, head)
        count = len(self.book.standings(case))
        return f"{found} 等 {count} 处" if count > 1 else found

    def recount(self, step: Step) -> None:
        """More joined a case in the very step that told of it: its messages say how many there are."""
        anew: dict[str, Notification] = {}
        for case in filter(None, map(self.state.cases.get, step.joined)):
            for told in self.book.due(case.id):
                alert = self.state.alerts.get(told.alert)
                rule = self.book.rule_of(alert) if alert else None
                device = self.world.devices.get(alert.device) if alert else None
                if told.created_ns == step.wall_ns and alert and rule and device:
                    title = self._title(told.kind, case, alert, rule, device, told.person)
                    anew[told.id] = replace(told, title=title)
        self.state.notifications.update(anew)
        step.effects[:] = [
            anew.get(one.id, one) if isinstance(one, Notification) else one for one in step.effects
        ]

    def _waits(self, step: Step, case: Case, alert: Alert, kind: Kind, person: str, channel: str) -> bool:
        """Whether the same is on its way already: a provider that was away must not get a pile of it, and
        nobody two of one instant, as whoever answers for it and as the one above.
        """
        there = [told for told in self.book.due(case.id) if (told.person, told.channel) == (person, channel)]
        now = [told.kind for told in there if told.created_ns == step.wall_ns]
        same = any((told.kind, told.alert) == (kind, alert.id) for told in there)
        return same or (kind in UPWARD and bool(set(now) & set(UPWARD)))

    def tell(self, step: Step, case: Case, alert: Alert, kind: Kind, person_id: str, note: str = "") -> bool:
        """One person, by the channels of the first rung of the case's level; False: there is no such."""
        person = self.world.persons.get(person_id)
        steps = self.steps(case)
        if person is None or not steps:
            return False
        channels = addresses(self.world, person, steps[0].by)
        for channel, address in quietly(self.world, person, channels) if kind in CALM else channels:
            self._notify(step, case, alert, kind, person.id, channel, address, note)
        return True

    def tell_everyone_told(self, step: Step, case: Case, alert: Alert, kind: Kind) -> None:
        """Whoever was told of the trouble is told of its end."""
        self._forget_unsent(step, case)
        for person in dict.fromkeys((*case.told, case.responsible, case.acknowledged_by, *case.copies)):
            self.tell(step, case, alert, kind, person)

    def _forget_unsent(self, step: Step, case: Case) -> None:
        """What waited for the morning and is over by then is told once, with its end."""
        for told in self.book.due(case.id):
            if told.attempt == 0 and told.due_at > step.at:
                self.book.settle(step, told, NotificationState.CANCELLED, "over")

    # ------------------------------------------------------------ a case turns

    def turn(self, step: Step, case: Case, turn: Turn, act: Act | None) -> Case:
        """Moves a case along its table and writes the line of its history."""
        stage = TURNS[case.stage, turn]
        answered_at = step.at if stage in ANSWERED else None
        case = replace(case, stage=stage, changed_ns=step.wall_ns, answered_at=answered_at)
        case = case if turn in SAME_CLOCK else begun(step, case)
        person, channel, note = (act.person, act.channel, act.note) if act else ("", "", "")
        self.book.enter(step, case.id, LINE_OF.get(turn, stage), person, channel, note)
        self.book.keep_case(step, case)
        self.arm(step, case)
        return case


LINE_OF = {
    one: one for one in (Turn.BOUNCED, Turn.REJECTED, Turn.TRANSFERRED, Turn.RESUMED)
}  # else the stage
UPWARD = (Kind.ESCALATED, Kind.OVERDUE, Kind.LATE, Kind.RETURNED, Kind.UNVERIFIED, Kind.LATCHED)


def resumed(case: Case) -> Case:
    """Whatever was suspended is not any more."""
    return replace(case, until_ns=0, suspended_at=None, suspended_until=None)


def begun(step: Step, case: Case) -> Case:
    """Its clock begins again, with a stage or with the person who has it."""
    return replace(case, clock_at=step.at, clock_ns=step.wall_ns, overdue=False)
