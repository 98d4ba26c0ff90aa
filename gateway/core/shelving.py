"""Alarms put on the shelf: for a while nobody is told of them, because somebody has said why and until when.

What is shelved is judged on and listed; a rise beyond the level that was shelved tells as ever, and so does,
when the time is over, whatever still stands. A device out of service is the same for all of its rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.builtin import RETURN
from gateway.core.casebook import Casebook, Step, trouble_of
from gateway.core.model import LEVEL_OF, SECOND, Act, Alert, AlertState, Kind, Level, Shelf, Verb
from gateway.core.placing import Placing
from gateway.core.routing import scene_of, shelved_s_most
from gateway.core.telling import Telling

ALONE_NS = 1800 * SECOND  # so long one person may shelve a red alarm without a second one
OUT_NS_MOST = 366 * 86400 * SECOND  # a device out of service for longer is none any more
SHELVING = (Verb.SHELVE, Verb.OUT_OF_SERVICE, Verb.AGREE, Verb.UNSHELVE)


class Shelving:
    """The shelves of one state."""

    def __init__(self, book: Casebook, telling: Telling, placing: Placing) -> None:
        self.book, self.telling, self.placing = book, telling, placing
        self.world, self.state = book.world, book.state

    def act(self, step: Step, act: Act) -> None:
        """What somebody shelves, agrees to or takes back. `act.case` names a case, an alert, a shelf, a
        trouble (rule|device|component) or a device; of what cannot be done it is said why.
        """
        if act.verb in (Verb.SHELVE, Verb.OUT_OF_SERVICE):
            refusal = self._shelve(step, act)
        elif act.verb is Verb.AGREE:
            refusal = self._agree(step, act)
        else:
            refusal = self._unshelve(step, act)
        if refusal:
            step.note("act_ignored", case=act.case, verb=act.verb, reason=refusal)

    # ------------------------------------------------------------ onto it

    def _shelve(self, step: Step, act: Act) -> str:
        """Why not; "" when every trouble that was named is on the shelf, or waits for a second person."""
        if not act.note.strip() or not act.person:
            return "no reason given" if act.person else "nobody answers for it"
        wanted = list(self._wanted(step, act))
        if not wanted:
            return "no such alert, rule or device"
        refusals = [self._refusal(step, one) for one in wanted]
        if any(refusals):
            return next(filter(None, refusals))
        for one in wanted:
            self._put(step, one, act)
        return ""

    def _wanted(self, step: Step, act: Act) -> Iterator[Shelf]:
        """A shelf for each trouble that is meant, as if nobody else had to agree."""
        until_at = step.at + act.until_ns - step.wall_ns
        for rule, device, component, level in self._troubles(act):
            yield Shelf(
                id=self.book.new_id(step), rule=rule, device=device, component=component, level=level,
                person=act.person, reason=act.note, since_ns=step.wall_ns, until_ns=act.until_ns,
                until_at=until_at,
            )  # fmt: skip

    def _troubles(self, act: Act) -> Iterator[tuple[str, str, str, Level]]:
        """(rule, device, component, up to which level); no rule: all of them."""
        if act.verb is Verb.OUT_OF_SERVICE:
            if act.case in self.world.devices:
                yield "", act.case, "", Level.RED
            return
        said = LEVEL_OF.get(act.to)
        found = self._alerts_of(act.case)
        for alert in found:
            yield alert.rule, alert.device, alert.component, said or alert.level
        rule, _, subject = act.case.partition("|")
        device, _, component = subject.partition("|")
        if not found and rule in self.book.rules and device in self.world.devices:
            yield rule, device, component, said or Level.YELLOW

    def _alerts_of(self, name: str) -> list[Alert]:
        """The standing alerts of a case that are no symptoms, or the one of that id or trouble."""
        case = self.state.cases.get(name)
        if case is not None:
            return self.book.standings(case)
        alert = self.state.alerts.get(name)
        found = [alert] if alert else [a for a in self.state.alerts.values() if trouble_of(a) == name]
        return [one for one in found if one.mode == "live"]

    def _refusal(self, step: Step, shelf: Shelf) -> str:
        """Renewed again and again it is no longer for a while: the whole time counts."""
        if shelf.until_ns <= step.wall_ns:
            return "no end given"
        since_ns = min([shelf.since_ns, *(old.since_ns for old in self._same(shelf))])
        most_ns = self._most_ns(shelf)
        if shelf.until_ns - since_ns > most_ns:
            return f"longer than {shelf.level.word} may be shelved: {texts.span(most_ns / SECOND)}"
        return ""

    def _most_ns(self, shelf: Shelf) -> int:
        if not shelf.rule:
            return OUT_NS_MOST
        return int(shelved_s_most(self.world, scene_of(self.world, shelf.device), shelf.level) * SECOND)

    def _same(self, shelf: Shelf) -> list[Shelf]:
        """What holds exactly this already."""
        return [one for one in self.state.shelves.values() if one.key == shelf.key and one.in_force]

    def _put(self, step: Step, shelf: Shelf, act: Act) -> None:
        """At once, or, of a red one for long, once a second person agrees; until then it tells as ever."""
        before = self._same(shelf)
        since_ns = min([shelf.since_ns, *(old.since_ns for old in before)])
        alone = shelf.level is not Level.RED or shelf.until_ns - since_ns <= ALONE_NS
        shelf = replace(shelf, since_ns=since_ns, case=act.case if act.case in self.state.cases else "")
        if alone:
            self._hold(step, shelf, act)
            return
        self._keep(step, shelf)
        self._enter(step, shelf, "shelve_asked", act)
        self._ask(step, shelf)
        step.timers.append((shelf.until_at, "shelf", shelf.id))

    def _ask(self, step: Step, shelf: Shelf) -> None:
        """The post above whoever has the case hears what is asked; of what has none, the list shows it."""
        case = self.state.cases.get(shelf.case)
        alert = self.book.worst(case) if case is not None else None
        above = self.telling.above(step, case, but={shelf.person}) if case is not None else None
        if case is not None and alert is not None and above is not None:
            note = texts.shelved(shelf, self.world, step.wall_ns)
            self.telling.send(step, case, alert, Kind.SHELVE_ASKED, above, note)

    def _agree(self, step: Step, act: Act) -> str:
        asked = [
            one
            for one in self.state.shelves.values()
            if not one.in_force and act.case and act.case in (one.id, one.case, one.device)
        ]
        if not asked:
            return "nothing to agree to"
        if any(act.person in ("", one.person) for one in asked):
            return "asked for it himself"
        for one in asked:
            self._hold(step, replace(one, agreed_by=act.person), act)
        return ""

    def _hold(self, step: Step, shelf: Shelf, act: Act) -> None:
        """From here on nobody is told. What held the same before has become this."""
        for old in self._same(shelf):
            self._keep(step, replace(old, in_force=False, ended_ns=step.wall_ns, ended_by=act.person))
        self._keep(step, shelf := replace(shelf, in_force=True))
        self._enter(step, shelf, "shelved" if shelf.rule else "out_of_service", act)
        step.note(
            "alert_shelved", rule=shelf.rule, device=shelf.device, component=shelf.component,
            alert_level=shelf.level.word, person=shelf.person,
        )  # fmt: skip
        step.timers.append((shelf.until_at, "shelf", shelf.id))
        for alert in [one for one in self.state.alerts.values() if shelf.holds(one) and one.mode == "live"]:
            self.placing.shelve(step, alert, shelf)

    # ------------------------------------------------------------ off it

    def _unshelve(self, step: Step, act: Act) -> str:
        """Whatever is said to be on the shelf; what was only asked for is taken back or refused."""
        found = [one for one in self.state.shelves.values() if act.case and act.case in self._names(one)]
        if not found:
            return "nothing is shelved"
        for one in found:
            self._end(step, one, "unshelved", act)
        return ""

    def _names(self, shelf: Shelf) -> tuple[str, ...]:
        """By what it may be named: itself, its device or trouble, an alert that it holds, or its case."""
        held = [one for one in self.state.alerts.values() if one.shelved == shelf.id]
        of_all = (shelf.device,) if not shelf.rule else (shelf.key,)
        return (shelf.id, *of_all, shelf.case, *(one.id for one in held), *(one.case for one in held))

    def due(self, step: Step, due: int, name: str) -> None:
        """Its time is over: what still stands is told at once, and whoever answers for a device hears so."""
        shelf = self.state.shelves.get(name)
        if shelf is None:
            return
        if shelf.until_at > due:
            step.timers.append((shelf.until_at, "shelf", name))
            return
        self._end(step, shelf, "shelf_ended", None)
        if not shelf.rule and shelf.in_force and shelf.device in self.world.devices:
            self._ask_return(step, shelf)

    def _ask_return(self, step: Step, shelf: Shelf) -> None:
        """Nobody has said that the device is back in service: an alarm, to whoever answers for it first."""
        standing = [one for one in self.state.alerts.values() if one.rule == RETURN.id]
        alert = next((one for one in standing if one.device == shelf.device), None)
        if alert is None:
            level = RETURN.limits[0].level
            alert = Alert(
                id=self.book.new_id(step), rule=RETURN.id, device=shelf.device, component="", case="",
                level=level, worst=level, state=AlertState.FIRING, raised_ns=step.wall_ns,
                changed_ns=step.wall_ns, rises=((level, step.wall_ns),), quantity="", value=1.0, limit=None,
                called=RETURN.called, evidence=texts.shelved(shelf, self.world, step.wall_ns),
                digest=self.world.digest,
            )  # fmt: skip
            step.note("return_due", device=shelf.device, person=shelf.person)
            self.placing.settle(step, alert, Kind.RAISED)
        alert = self.state.alerts[alert.id]
        case = self.book.own_case(alert)
        if case is not None and shelf.person not in case.told:
            self.telling.tell(step, case, alert, Kind.RAISED, shelf.person)
            self.book.keep_case(step, replace(case, told=(*case.told, shelf.person)))

    def _end(self, step: Step, shelf: Shelf, what: str, act: Act | None) -> None:
        held = shelf.in_force
        self._keep(
            step, replace(shelf, in_force=False, ended_ns=step.wall_ns, ended_by=act.person if act else "")
        )
        self._enter(step, shelf, what if held else "shelve_refused", act)
        step.note("alert_unshelved", rule=shelf.rule, device=shelf.device, reason=what)
        for alert in [one for one in self.state.alerts.values() if one.shelved == shelf.id]:
            self.placing.unshelve(step, alert)

    # ------------------------------------------------------------ the books

    def _keep(self, step: Step, shelf: Shelf) -> None:
        step.effects.append(shelf)
        if shelf.ended_ns:
            self.state.shelves.pop(shelf.id, None)
        else:
            self.state.shelves[shelf.id] = shelf

    def _enter(self, step: Step, shelf: Shelf, what: str, act: Act | None) -> None:
        """In its own history, and in that of every case which it is about."""
        person, channel = (act.person, act.channel) if act else ("", "")
        note = f"{texts.shelved(shelf, self.world, step.wall_ns)} {act.note if act else ''}".rstrip()
        about = [one.case for one in self.state.alerts.values() if shelf.holds(one) and one.case]
        for case in dict.fromkeys((shelf.id, shelf.case, *about)):
            if case == shelf.id or case in self.state.cases:
                self.book.enter(step, case, what, person, channel, note)

    def timers(self) -> list[tuple[int, str, str]]:
        """What must be armed again after a restart or a change of World."""
        return [(one.until_at, "shelf", one.id) for one in self.state.shelves.values()]
