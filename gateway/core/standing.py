"""The morning list: what has stood for more than a day, who has it, and what is shelved or out of service.

Once a day, at the site's hour, to whoever holds the first post for the place; of what nobody has taken on to
the supervisor too. It is in each case's history, so that nobody can say he was not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.core import texts
from gateway.core.builtin import DRILL
from gateway.core.calendars import DAY_MIN, local, parse_clock
from gateway.core.casebook import Casebook, Step
from gateway.core.load import STANDING_NS
from gateway.core.model import (
    SECOND,
    Alert,
    Case,
    Kind,
    Level,
    Notification,
    NotificationState,
    Shelf,
)
from gateway.core.model import Step as Rung
from gateway.core.rotas import wall_of
from gateway.core.routing import Recipient, ladder, recipients, scene_of

LOOK_NS = 3600 * SECOND  # so often, for the clock on the wall may step


@dataclass(slots=True)
class _List:
    """What one person is told of in the morning."""

    to: Recipient
    alerts: list[Alert] = field(default_factory=list)
    shelves: list[Shelf] = field(default_factory=list)


class Standing:
    """The morning lists of one casebook."""

    def __init__(self, book: Casebook) -> None:
        self.book, self.world, self.state = book, book.world, book.state

    def timers(self) -> list[tuple[int, str, str]]:
        return [(self.state.at, "review", "")] if self.world.review_at else []

    def due(self, step: Step, due: int, key: str) -> None:
        """Tells it once a day, however often the gateway was started; a new store begins with tomorrow's."""
        if not self.state.reviewed_ns:
            self.state.reviewed_ns = step.wall_ns
        next_ns = self._next_ns(self.state.reviewed_ns)
        if next_ns <= step.wall_ns:
            self._tell(step)
            self.state.reviewed_ns = step.wall_ns
            next_ns = self._next_ns(step.wall_ns)
        step.timers.append((step.at + min(next_ns - step.wall_ns, LOOK_NS), "review", ""))

    def _next_ns(self, after_ns: int) -> int:
        """The first such hour after an instant, by the clock on the wall."""
        now = local(after_ns, self.world.timezone).replace(tzinfo=None)
        minute = parse_clock(self.world.review_at) % DAY_MIN
        at = now.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
        at_ns = wall_of(at, self.world.timezone)
        return at_ns if at_ns > after_ns else wall_of(at + timedelta(days=1), self.world.timezone)

    def _tell(self, step: Step) -> None:
        self._replace(step)
        lists: dict[str, _List] = {}
        for alert in self._stood(step):
            case = self.state.cases.get(alert.case)
            for to in self._whom(step, alert.device, alert.level, not _is_taken(case)):
                lists.setdefault(to.person.id, _List(to)).alerts.append(alert)
            if case is not None:
                lasted = texts.lasted((step.wall_ns - alert.raised_ns) // SECOND)
                self.book.enter(step, case.id, "standing", _owner(case), note=lasted)
        for shelf in self.state.shelves.values():
            for to in self._whom(step, shelf.device, shelf.level, False):
                lists.setdefault(to.person.id, _List(to)).shelves.append(shelf)
        for one in lists.values():
            self._send(step, one)

    def _replace(self, step: Step) -> None:
        """A list that has not gone out by the next one would only be old; a channel may be away for weeks."""
        for told in self.book.due(""):
            if told.kind is Kind.STANDING:
                self.book.settle(step, told, NotificationState.CANCELLED, "replaced")

    def _stood(self, step: Step) -> list[Alert]:
        """For more than a day, the longest first; a symptom stands with its cause."""
        found = [
            one
            for one in self.state.alerts.values()
            if step.wall_ns - one.raised_ns > STANDING_NS and one.mode not in ("shadow", DRILL)
        ]
        return sorted((one for one in found if not one.hidden_by), key=lambda one: (one.raised_ns, one.id))

    def _whom(self, step: Step, device: str, level: Level, nobodys: bool) -> Iterator[Recipient]:
        """Who holds the first post that anybody holds; of what is nobody's the supervisor too."""
        known = self.world.devices.get(device)
        place = known.at if known else ""
        rungs = ladder(self.world, level, scene_of(self.world, device))
        found = (self._responsible(step, place, rung) for rung in rungs)
        first = next(filter(None, found), [])
        above = self.world.supervisor if nobodys or not first else None
        also = self._responsible(step, place, above) if above else []
        yield from {one.person.id: one for one in (*also, *first)}.values()

    def _responsible(self, step: Step, place: str, rung: Rung) -> list[Recipient]:
        return recipients(self.world, place, rung, step.wall_ns).responsible

    def _send(self, step: Step, one: _List) -> None:
        """It belongs to no case: no answer to one of them takes it back."""
        said = [(alert, self.state.cases.get(alert.case)) for alert in one.alerts]
        title, text = texts.standing(said, one.shelves, self.world, step.wall_ns)
        step.note("standing_listed", person=one.to.person.id, count=len(one.alerts))
        for channel, address in one.to.channels:
            told = Notification(
                id=self.book.new_id(step), case="", alert="", kind=Kind.STANDING, level=Level.YELLOW,
                person=one.to.person.id, channel=channel, address=address, title=title, text=text,
                created_ns=step.wall_ns, due_at=step.at,
            )  # fmt: skip
            self.book.keep_notification(step, told)


def _owner(case: Case) -> str:
    return case.handled_by or case.acknowledged_by


def _is_taken(case: Case | None) -> bool:
    return case is not None and bool(_owner(case))
