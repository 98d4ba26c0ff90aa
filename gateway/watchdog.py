"""The escalation watchdog: every minute, beside the pipeline, it proves from the store that each open case
has a next step that is not long overdue. Where one has, it wakes the pipeline; and should that not help, it
tells by itself, past queue and disk: the siren sounds and whoever supervises is told directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from gateway import telemetry
from gateway.adapters.clock import Clock
from gateway.adapters.store import Store
from gateway.beat import Beat
from gateway.channels import Channel
from gateway.core import texts
from gateway.core.ids import make_id
from gateway.core.model import SECOND, Case, Kind, Notification, World
from gateway.core.routing import Recipient, ladder, recipients, scene_of
from gateway.core.stalled import stalled
from gateway.web import rows

EVERY_S = 60.0
AGAIN_NS = 3600 * SECOND  # so often one that stays as it is is told of again
IDENTITY = "00000d06"  # part of the ids of what it tells; they are in no store

STALLED = telemetry.gauge("lilong_cases_stalled", "Open cases whose next step is long overdue", [])


class Watchdog:
    """`wake` has the pipeline do what is due; nothing else here needs it, or a disk that can be written."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        world: Callable[[], World],
        channels: Mapping[str, Channel],
        wake: Callable[[], object],
    ) -> None:
        self._store, self._clock, self._world, self._channels = store, clock, world, channels
        self._wake = wake
        self._found: set[str] = set()  # at the last look: one that is found twice did not wake
        self._told: dict[str, int] = {}  # case -> when
        self._beat = Beat("watchdog", clock.real_s(int(EVERY_S * SECOND)), self.look, _failed)

    def start(self) -> None:
        self._beat.start()

    def stop(self) -> None:
        self._beat.stop()

    def look(self) -> list[Case]:
        """The cases that lie, after something was done about them."""
        db, at = self._store.reader(), self._clock.at()
        found = stalled(self._world(), rows.every_open_case(db), rows.standing_alerts(db), at)
        STALLED.set(len(found))
        if found:
            self._wake()
        for case in found:
            telemetry.log("case_stalled", "error", case=case.id, alert_level=case.level.word)
        for case in [one for one in found if one.id in self._found and self._is_news(one, at)]:
            self._told[case.id] = at
            self._tell(case)
        self._found = {case.id for case in found}
        self._told = {name: since for name, since in self._told.items() if name in self._found}
        return found

    def _is_news(self, case: Case, at: int) -> bool:
        return case.id not in self._told or at - self._told[case.id] >= AGAIN_NS

    def _tell(self, case: Case) -> None:
        """Every channel that may carry it; one that fails keeps no other from it."""
        for number, (person, name, address) in enumerate(self._ways(case)):
            channel = self._channels.get(name)
            if channel is None:
                continue
            told = self._notification(case, number, person, name, address)
            try:
                said = str(channel.send(told, told.text, "").told)
            except Exception as error:
                said = type(error).__name__
            telemetry.log("case_stalled_told", "error", case=case.id, channel=name, reason=said)

    def _ways(self, case: Case) -> Iterator[tuple[str, str, str]]:
        """(person, channel, address) of the supervisor, and of the ladder's last rung."""
        world, wall_ns = self._world(), self._clock.wall_ns()
        steps = [*ladder(world, case.level, scene_of(world, case.device))[-1:]]
        rungs = [*([world.supervisor] if world.supervisor else []), *steps]
        whom: Iterable[Recipient] = (
            one for rung in rungs for one in recipients(world, case.place, rung, wall_ns).recipients
        )
        ways = ((one.person.id, name, address) for one in whom for name, address in one.channels)
        yield from dict.fromkeys(ways)

    def _notification(self, case: Case, number: int, person: str, channel: str, address: str) -> Notification:
        wall_ns = self._clock.wall_ns()
        title, text = texts.stalled(case, self._world(), wall_ns)
        return Notification(
            id=make_id(wall_ns, IDENTITY, number), case=case.id, alert="", kind=Kind.ESCALATED,
            level=case.level, person=person, channel=channel, address=address, title=title, text=text,
            created_ns=wall_ns, due_at=0, drill=case.drill,
        )  # fmt: skip


def _failed(error: Exception) -> None:
    telemetry.log("watchdog_failed", "error", error=error)
