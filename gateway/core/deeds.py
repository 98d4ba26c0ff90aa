"""What people do: take a case on, call it done or false, hand it on, put it off; how the sensor answers."""

from __future__ import annotations

from collections.abc import Set

from msgspec.structs import replace

from gateway.core.alerts import Phase
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import GUARDED, REASONS, TURN_OF, TURNS, UNANSWERED, Turn, turn_of
from gateway.core.duty import holder
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    AlertState,
    Case,
    Kind,
    Level,
    Person,
    Stage,
    Verb,
)
from gateway.core.photos import refused, written
from gateway.core.placing import Placing
from gateway.core.routing import acknowledgers, scene_of
from gateway.core.state import Closing
from gateway.core.telling import Telling, begun, resumed

RED_ALONE_NS = 1800 * SECOND  # so long one person may suspend a red case without a second one
SUSPENDED_NS_MOST = 366 * 86400 * SECOND
__all__ = ["GUARDED", "TURN_OF", "Deeds", "turn_of"]
TAKING = (*TURN_OF, Verb.TRANSFER, Verb.RETURN, Verb.SUSPEND, Verb.MERGE, Verb.SPLIT)
NEED_WORDS = (Verb.RETURN, Verb.SUSPEND, Verb.NOTE, Verb.REOPEN)


class Deeds:
    """Acts on the cases of one casebook."""

    def __init__(self, book: Casebook, telling: Telling, placing: Placing) -> None:
        self.book, self.telling, self.placing = book, telling, placing
        self.world, self.state = book.world, book.state

    def act(self, step: Step, act: Act) -> None:
        """A person's word on a case; one that comes too late, or twice, changes nothing."""
        case = self.state.cases.get(act.case)
        if act.verb in NEED_WORDS and not act.note.strip():
            self._ignore(step, act, "no reason given")
        elif act.verb is Verb.RESET:
            self._reset(step, act)
        elif act.verb is Verb.REOPEN:
            self._reopen(step, act)
        elif case is None:
            self._ignore(step, act, "not open")
        elif (turn := turn_of(act.verb, case.stage)) and (case.stage, turn) not in TURNS:
            self._ignore(step, act, f"already {case.stage}")
        elif act.verb in TAKING and act.person in case.copies and act.person not in case.told:
            self.book.enter(step, case.id, "copy_seen", act.person, act.channel, act.note)
            self._ignore(step, act, "informed only")
        elif refusal := self._refusal(step, case, act):
            self._ignore(step, act, refusal)
        elif act.verb is Verb.ACKNOWLEDGE and not self._enough(case, {*case.agreed, act.person}):
            self._agree(step, case, act)
        elif act.verb is Verb.DONE and self._is_a_word_alone(case, act):
            self._agree(step, case, act, self._still_bad(case))
        elif act.verb is Verb.FALSE and not self._enough(case, {*case.denied, act.person}):
            self._deny(step, case, act)
        else:
            self._do(step, case, act)

    def _enough(self, case: Case, said: Set[str]) -> bool:
        """Whether as many have said it as must, or all whom the ladder could tell."""
        wanted = acknowledgers(self.book.world, scene_of(self.book.world, case.device), case.level)
        return len(said) >= wanted or (self.telling.exhausted(case) and said >= set(case.told))

    def _is_a_word_alone(self, case: Case, act: Act) -> bool:
        """A "done" that the sensor denies takes the case on, and that needs more than one. Where the sensor
        agrees, it is the second witness.
        """
        if case.stage not in UNANSWERED or self._still_bad(case) is None:
            return False
        return not self._enough(case, {*case.agreed, act.person})

    def _agree(self, step: Step, case: Case, act: Act, bad: Alert | None = None) -> None:
        """One of several: it stops nothing, and saying it twice makes no two of one."""
        if act.person in case.agreed:
            self._ignore(step, act, "said before")
            return
        self.book.enter(step, case.id, "agreed", act.person, act.channel, act.note)
        case = replace(case, agreed=(*case.agreed, act.person), changed_ns=step.wall_ns)
        self.book.keep_case(step, case)
        if bad is not None:
            self.telling.tell(step, case, bad, Kind.BOUNCED, act.person)

    def _deny(self, step: Step, case: Case, act: Act) -> None:
        """No sensor bears out that it was false: as many must say so as must take it on."""
        if act.person in case.denied:
            self._ignore(step, act, "said before")
            return
        self.book.enter(step, case.id, "denied", act.person, act.channel, act.note)
        self.book.keep_case(step, replace(case, denied=(*case.denied, act.person), changed_ns=step.wall_ns))

    # ------------------------------------------------------------ what may not be

    def _refusal(self, step: Step, case: Case, act: Act) -> str:
        """Why this one may not do that now; "" when he may."""
        turn = turn_of(act.verb, case.stage)
        if act.reason and act.reason not in REASONS.get(turn or Turn.TOLD, ()):
            return "no such reason"
        asks = {
            Verb.RETURN: self._may_return,
            Verb.TRANSFER: self._may_transfer,
            Verb.SUSPEND: self._may_suspend,
            Verb.APPROVE: self._may_approve,
            Verb.VERIFY: self._may_verify,
            Verb.MERGE: self._may_merge,
            Verb.SPLIT: self._may_split,
            Verb.PHOTO: self._may_photo,
        }
        return asks[act.verb](step, case, act) if act.verb in asks else ""

    def _may_return(self, step: Step, case: Case, act: Act) -> str:
        if case.stage is Stage.HANDLED:
            return "the sensor verifies it" if not self.telling.awaits_person(case) else ""
        return "" if self.telling.above(step, case, but={act.person}) else "nobody above"

    def _may_transfer(self, step: Step, case: Case, act: Act) -> str:
        return "" if self._receiver(step, case, act.to) else "no such person or post"

    def _may_suspend(self, step: Step, case: Case, act: Act) -> str:
        left_ns = act.until_ns - step.wall_ns
        return "" if 0 < left_ns <= SUSPENDED_NS_MOST else "no day of return"

    def _may_approve(self, step: Step, case: Case, act: Act) -> str:
        if case.until_ns <= step.wall_ns:
            return "nothing to approve"
        return "asked for it himself" if act.person in ("", case.word_by) else ""

    def _may_verify(self, step: Step, case: Case, act: Act) -> str:
        if not self.telling.awaits_person(case):
            return "the sensor verifies it"
        return "handled it himself" if act.person in ("", case.handled_by) else ""

    def _may_merge(self, step: Step, case: Case, act: Act) -> str:
        into = self.state.cases.get(act.to)
        if into is None or into.id == case.id or into.stage is Stage.HANDLED:
            return "no such open case"
        if into.drill is not case.drill:
            return "one of them is a drill"
        return "the other one tells nobody" if into.silent and not case.silent else ""

    def _may_split(self, step: Step, case: Case, act: Act) -> str:
        alert = self.state.alerts.get(act.to)
        stands = alert is not None and alert.id in case.alerts and alert.device in self.world.devices
        return "" if stands and len(self.book.standings(case)) > 1 else "no such alert beside another"

    def _may_photo(self, step: Step, case: Case, act: Act) -> str:
        return refused(act.photo, case.photos)

    # ------------------------------------------------------------ what is done

    def _do(self, step: Step, case: Case, act: Act) -> None:
        how = {
            Verb.ACKNOWLEDGE: self._acknowledge,
            Verb.DONE: self._done,
            Verb.FALSE: self._false,
            Verb.NOTE: self._note,
            Verb.TRANSFER: self._transfer,
            Verb.RETURN: self._return,
            Verb.SUSPEND: self._suspend,
            Verb.APPROVE: self._approve,
            Verb.VERIFY: self._verify,
            Verb.MERGE: self._merge,
            Verb.SPLIT: self._split,
            Verb.PHOTO: self._photo,
        }
        how[act.verb](step, case, act)

    def _acknowledge(self, step: Step, case: Case, act: Act) -> None:
        self.book.cancel_due(step, case)
        case = replace(case, acknowledged_by=act.person)
        self.telling.turn(step, case, Turn.ACKNOWLEDGED, act)

    def _done(self, step: Step, case: Case, act: Act) -> None:
        """Handled, if the sensor is at least on its way to normal; else it bounces back to the doer."""
        self.book.cancel_due(step, case)
        case = replace(case, handled_by=act.person, reason=act.reason)
        self.book.end_bare(step, case)
        bad = self._still_bad(case)
        if bad is not None:
            self.telling.bounce(step, case, bad, act)
            return
        case = self.telling.turn(step, resumed(case), Turn.DONE, act)
        if not self.book.standing(case):
            self.confirm(step, case)

    def confirm(self, step: Step, case: Case) -> None:
        """The sensor agrees with the doer: that ends it, unless a second person must see it first."""
        if self.telling.awaits_person(case):
            self.telling.ask_verifier(step, begun(step, case))
        else:
            self._close(step, case, None)

    def _close(self, step: Step, case: Case, act: Act | None) -> None:
        if act is None:
            self.book.enter(step, case.id, Stage.VERIFIED)
        else:
            self.book.enter(step, case.id, "confirmed", act.person, act.channel, act.note)
        self.telling.turn(step, case, Turn.VERIFIED, None)
        step.note("case_closed", case=case.id)

    def _false(self, step: Step, case: Case, act: Act) -> None:
        self.book.cancel_due(step, case)
        self.telling.turn(step, replace(case, reason=act.reason), Turn.FALSE, act)

    def _note(self, step: Step, case: Case, act: Act) -> None:
        self.book.enter(step, case.id, "note", act.person, act.channel, act.note)

    def _photo(self, step: Step, case: Case, act: Act) -> None:
        """Its hash stands in the chained history: another picture in its place would be seen."""
        assert act.photo is not None
        self.book.enter(step, case.id, "photo", act.person, act.channel, written(act.photo))
        self.book.keep_case(step, replace(case, photos=(*case.photos, act.photo.sha256)))

    def _transfer(self, step: Step, case: Case, act: Act) -> None:
        """Theirs to take on; when they do not, the ladder goes on above where it stood."""
        found = self._receiver(step, case, act.to)
        if found is None:
            return
        self.book.cancel_due(step, case, "transferred")
        told = tuple(dict.fromkeys((*case.told, found.id)))
        case = replace(_handed_on(case, act), responsible=found.id, told=told)
        case = self._ladder_waits(step, self.telling.turn(step, case, Turn.TRANSFERRED, act))
        alert = self.book.about(case)
        if alert is not None:
            self.telling.tell(step, case, alert, Kind.TRANSFERRED, found.id)

    def _return(self, step: Step, case: Case, act: Act) -> None:
        """To the post above; or, of what should be verified, back to who did it."""
        self.book.cancel_due(step, case, "returned")
        if case.stage is Stage.HANDLED:
            self._reject(step, case, act)
            return
        above = self.telling.above(step, case, but={act.person})
        case = self.telling.turn(step, _handed_on(case, act), Turn.RETURNED, act)
        to = self.telling.tell_above(step, case, Kind.RETURNED, but={act.person})
        assert above is not None and to == above.person.id
        rung = min(case.rung + 1, len(self.telling.steps(case)))
        case = replace(case, responsible=to, told=tuple(dict.fromkeys((*case.told, to))), rung=rung)
        self._ladder_waits(step, case)

    def _reject(self, step: Step, case: Case, act: Act) -> None:
        case = replace(case, word=act.note, word_by=act.person, verifier="")
        case, alert = self.telling.turn(step, case, Turn.REJECTED, act), self.book.about(case)
        if alert is not None and not self.telling.tell(step, case, alert, Kind.REJECTED, case.handled_by):
            self.telling.tell_above(step, case, Kind.REJECTED)

    def _ladder_waits(self, step: Step, case: Case) -> Case:
        """Whoever has it now gets as long as anybody before the next rung is told."""
        steps = self.telling.steps(case)
        last = steps[min(case.rung, len(steps)) - 1].after_s if steps and case.rung else 0.0
        case = replace(case, climbing_at=step.at - int(last * SECOND))
        self.telling.arm(step, self.book.keep_case(step, case))
        return case

    def _suspend(self, step: Step, case: Case, act: Act) -> None:
        """At once, or, of a red case for long, once a second person agrees; until then its clocks run."""
        case = replace(case, until_ns=act.until_ns, word=act.note, word_by=act.person)
        if case.level is not Level.RED or act.until_ns - step.wall_ns <= RED_ALONE_NS:
            self._put_off(step, case, act)
            return
        self.book.enter(step, case.id, "asked", act.person, act.channel, act.note)
        self.book.keep_case(step, replace(case, changed_ns=step.wall_ns))
        self.telling.tell_above(step, case, Kind.ASKED, but={act.person})

    def _approve(self, step: Step, case: Case, act: Act) -> None:
        self.book.enter(step, case.id, "approved", act.person, act.channel, act.note)
        self._put_off(step, case, act)

    def _put_off(self, step: Step, case: Case, act: Act) -> None:
        self.book.cancel_due(step, case, "suspended")
        until = step.at + case.until_ns - step.wall_ns
        case = replace(case, suspended_at=step.at, suspended_until=until)
        self.telling.turn(step, case, Turn.SUSPENDED, act)

    def _verify(self, step: Step, case: Case, act: Act) -> None:
        self.book.cancel_due(step, case, "verified")
        self._close(step, replace(case, verified_by=act.person), act)

    def _merge(self, step: Step, case: Case, act: Act) -> None:
        self.placing.merge(step, case, self.state.cases[act.to], act)

    def _split(self, step: Step, case: Case, act: Act) -> None:
        self.placing.split(step, case, self.state.alerts[act.to], act)

    def _reopen(self, step: Step, act: Act) -> None:
        closings = (one for ends in self.state.closings.values() for one in ends)
        ended = next((one for one in closings if one.case.id == act.case), None)
        if ended is None or self._reopened(ended):
            self._ignore(step, act, "not remembered as ended")
        else:
            self.placing.reopen(step, ended, act)

    def _reopened(self, ended: Closing) -> bool:
        return any(case.again_of == ended.case.id and case.reopened for case in self.state.cases.values())

    # ------------------------------------------------------------ looking up

    def _receiver(self, step: Step, case: Case, to: str) -> Person | None:
        """A person by id, or who holds that post for the place of the case now."""
        steps = self.telling.steps(case)
        if to in self.world.persons or not steps:
            return self.world.persons.get(to)
        return holder(self.world, case.place, to, step.wall_ns, steps[0].by).person

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
        latched = self._latched(act.case)
        if not latched or not act.note.strip():
            self._ignore(step, act, "no reason given" if latched else "nothing is latched")
            return
        step.resets += latched
        cases = (self.state.alerts[self.state.tracks[key].alert].case for key in latched)
        for case in dict.fromkeys(filter(None, cases)):
            self.book.enter(step, case, Verb.RESET, act.person, act.channel, act.note)

    def _latched(self, name: str) -> list[str]:
        """Keys of the tracks of what is latched in a case, or of the alert of that name."""
        latched = AlertState.LATCHED
        found = {
            alert.id
            for alert in self.state.alerts.values()
            if alert.state is latched and name in (alert.case, alert.id)
        }
        return [key for key, track in self.state.tracks.items() if track.alert in found] if found else []

    def _ignore(self, step: Step, act: Act, reason: str) -> None:
        step.note("act_ignored", case=act.case, verb=act.verb, reason=reason)


def _handed_on(case: Case, act: Act) -> Case:
    """Nobody's for the moment, and why."""
    return replace(
        case, handed_on=True, word=act.note, word_by=act.person, acknowledged_by="", handled_by="",
        until_ns=0, agreed=(), denied=(),
    )  # fmt: skip
