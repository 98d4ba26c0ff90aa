"""What people do: take a case on, call it done or false, reset an alarm; and how the sensor answers."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.alerts import Phase
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import TURNS, Turn
from gateway.core.model import Act, Alert, AlertState, Case, Kind, Stage, Verb
from gateway.core.routing import acknowledgers, scene_of
from gateway.core.telling import Telling

TURN_OF = {Verb.ACKNOWLEDGE: Turn.ACKNOWLEDGED, Verb.DONE: Turn.DONE, Verb.FALSE: Turn.FALSE}


class Deeds:
    """Acts on the cases of one casebook."""

    def __init__(self, book: Casebook, telling: Telling) -> None:
        self.book, self.telling, self.state = book, telling, book.state

    def act(self, step: Step, act: Act) -> None:
        """A person's word on a case; one that comes too late, or twice, changes nothing."""
        if act.verb is Verb.RESET:
            self._reset(step, act)
            return
        case = self.state.cases.get(act.case)
        if case is None:
            self._ignore(step, act, "not open")
        elif (case.stage, TURN_OF[act.verb]) not in TURNS:
            self._ignore(step, act, f"already {case.stage}")
        elif act.person in case.copies and act.person not in case.told:
            self.book.enter(step, case.id, "copy_seen", act.person, act.channel, act.note)
            self._ignore(step, act, "informed only")
        elif act.verb is Verb.ACKNOWLEDGE and not self._enough(case, act.person):
            self._agree(step, case, act)
        else:
            self.book.cancel_due(step, case)
            self._do(step, case, act)

    def _enough(self, case: Case, person: str) -> bool:
        """Whether with this person as many have said "mine" as must, or all whom the ladder could tell."""
        said = {*case.agreed, person}
        wanted = acknowledgers(self.book.world, scene_of(self.book.world, case.device), case.level)
        return len(said) >= wanted or (self.telling.exhausted(case) and said >= set(case.told))

    def _agree(self, step: Step, case: Case, act: Act) -> None:
        """One of several: it stops nothing, and saying it twice makes no two of one."""
        if act.person in case.agreed:
            self._ignore(step, act, "said before")
            return
        self.book.enter(step, case.id, "agreed", act.person, act.channel, act.note)
        self.book.keep_case(step, replace(case, agreed=(*case.agreed, act.person), changed_ns=step.wall_ns))

    def _do(self, step: Step, case: Case, act: Act) -> None:
        if act.verb is Verb.ACKNOWLEDGE:
            case = replace(case, acknowledged_by=act.person)
            self.telling.turn(step, case, Turn.ACKNOWLEDGED, act)
        elif act.verb is Verb.DONE:
            self._done(step, replace(case, handled_by=act.person), act)
        else:
            self.telling.turn(step, case, Turn.FALSE, act)

    def _done(self, step: Step, case: Case, act: Act) -> None:
        """Handled, if the sensor is at least on its way to normal; else it bounces back to the doer."""
        bad = self._still_bad(case)
        if bad is not None:
            self.bounce(step, case, bad, act)
            return
        case = self.telling.turn(step, case, Turn.DONE, act)
        if not self.book.standing(case):
            self.close(step, case)

    def bounce(self, step: Step, case: Case, alert: Alert, act: Act | None = None) -> None:
        """Back to the doer; who is no longer there is nobody, and the ladder begins again."""
        case = self.telling.turn(step, case, Turn.BOUNCED, act)
        if not self.telling.tell(step, case, alert, Kind.BOUNCED, case.handled_by):
            self.telling.climb_anew(step, case, Kind.ESCALATED)

    def close(self, step: Step, case: Case) -> None:
        self.book.enter(step, case.id, Stage.VERIFIED)
        self.telling.turn(step, case, Turn.VERIFIED, None)
        step.note("case_closed", case=case.id)

    def _still_bad(self, case: Case) -> Alert | None:
        for alert in case.alerts:
            track = self.book.track_of.get(alert)
            if track is not None and any(one.phase is Phase.FIRING for one in track.standings):
                return self.state.alerts.get(alert)
        return None

    def _reset(self, step: Step, act: Act) -> None:
        """Lets go what is latched in a case, symptoms too; it works on an ended case and on a bare alert.

        The engine turns the tracks named in the step; their alerts clear as any other.
        """
        latched = [(key, alert) for key, alert in self._latched() if act.case in (alert.case, alert.id)]
        if not latched or not act.note.strip():
            self._ignore(step, act, "no reason given" if latched else "nothing is latched")
            return
        step.resets += [key for key, _ in latched]
        for case in dict.fromkeys(alert.case for _, alert in latched if alert.case):
            self.book.enter(step, case, Verb.RESET, act.person, act.channel, act.note)

    def _latched(self) -> list[tuple[str, Alert]]:
        found = [(key, self.state.alerts.get(track.alert)) for key, track in self.state.tracks.items()]
        return [(key, alert) for key, alert in found if alert and alert.state is AlertState.LATCHED]

    def _ignore(self, step: Step, act: Act, reason: str) -> None:
        step.note("act_ignored", case=act.case, verb=act.verb, reason=reason)
