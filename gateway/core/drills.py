"""Drills: an alarm that somebody raises on purpose, and that goes to real people in the real way.

It has a case of its own, joins none, hides nothing and recurs as nothing. Every text about it says that it is
a drill. It is over when somebody has said "done", or when its time is: then everybody told hears so.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.builtin import DRILL
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import Turn
from gateway.core.model import LEVEL_OF, SECOND, Act, Alert, AlertState, Case, Kind, Level, Rule, Stage
from gateway.core.telling import Telling

LASTS_NS = 1800 * SECOND  # where whoever ordered it does not say
LASTS_NS_MOST = 24 * 3600 * SECOND
OVER = "drill"  # the reason for which it ends by itself: of core.cases.FALSE_REASONS


class Drills:
    """The drills of one casebook."""

    def __init__(self, book: Casebook, telling: Telling) -> None:
        self.book, self.telling = book, telling
        self.world, self.state = book.world, book.state

    def act(self, step: Step, act: Act) -> None:
        """Raises one. `act.case` is rule|device|component, `to` the level (the rule's highest)."""
        name, _, subject = act.case.partition("|")
        device, _, component = subject.partition("|")
        rule = self.book.rules.get(name)
        refusal = self._refusal(step, act, rule, device)
        if rule is None or refusal:
            step.note("act_ignored", case=act.case, verb=act.verb, reason=refusal)
            return
        level = LEVEL_OF.get(act.to) or max(limit.level for limit in rule.limits)
        self._raise(step, act, rule, device, component, level)

    def _refusal(self, step: Step, act: Act, rule: Rule | None, device: str) -> str:
        if rule is None or device not in self.world.devices:
            return "no such rule or device"
        if self.world.models[self.world.devices[device].model].scene != rule.scene:
            return "the rule is not about such a device"
        if act.until_ns and not 0 < act.until_ns - step.wall_ns <= LASTS_NS_MOST:
            return "no end within a day"
        same = (one for one in self.state.cases.values() if one.drill)
        return "a drill goes on there" if any(one.device == device for one in same) else ""

    def _raise(self, step: Step, act: Act, rule: Rule, device: str, component: str, level: Level) -> None:
        place = self.world.devices[device].at
        lasts_ns = act.until_ns - step.wall_ns if act.until_ns else LASTS_NS
        name = self.book.new_id(step)
        alert = Alert(
            id=self.book.new_id(step), rule=rule.id, device=device, component=component, case=name,
            level=level, worst=level, state=AlertState.FIRING, raised_ns=step.wall_ns,
            changed_ns=step.wall_ns, rises=((level, step.wall_ns),), quantity=rule.quantity, value=1.0,
            limit=None, called="演练", mode=DRILL, origin=str(rule.origin) if rule.origin.line else "",
            digest=self.world.digest,
        )  # fmt: skip
        case = Case(
            id=name, alerts=(alert.id,), device=device, component=component, place=place, rule=rule.id,
            level=level, stage=Stage.FOUND, opened_ns=step.wall_ns, changed_ns=step.wall_ns,
            climbing_at=step.at, opened_at=step.at, drill=True, drill_until=step.at + lasts_ns,
        )  # fmt: skip
        self.book.keep_alert(step, alert)
        step.note("drill_begun", case=case.id, rule=rule.id, device=device, alert_level=level.word)
        self.book.enter(step, case.id, Stage.FOUND)
        self.book.enter(step, case.id, "drill", act.person, act.channel, act.note)
        self.book.enter(step, case.id, level.word)
        step.timers.append((step.at + lasts_ns, "drill", case.id))
        self.telling.climb_anew(step, case, Kind.RAISED)

    def due(self, step: Step, due: int, name: str) -> None:
        """Its time is over, whoever has answered or has not."""
        case = self.state.cases.get(name)
        if case is None or not case.drill:
            return
        if case.drill_until > due:
            step.timers.append((case.drill_until, "drill", name))
            return
        self.book.cancel_due(step, case, "over")
        if (alert := self.book.about(case)) is not None:
            self.telling.tell_everyone_told(step, case, alert, Kind.CLEARED)
        step.note("drill_over", case=case.id, person=case.acknowledged_by or case.handled_by)
        self.telling.turn(step, replace(case, reason=OVER), Turn.FALSE, None)
        self.book.end_bare(step, case)

    def timers(self) -> list[tuple[int, str, str]]:
        """What must be armed again after a restart or a change of World."""
        return [(one.drill_until, "drill", one.id) for one in self.state.cases.values() if one.drill]
