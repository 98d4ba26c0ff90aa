"""The weekly digests on their way: made, read from their files, and handed over as events, when they are due.

Whether one was sent already the core knows, over every restart; so what is due is handed over once by every
run of the process, and it may be days late: a box that was off on Monday morning sends on Tuesday.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from gateway.core.calendars import WEEK, parse_clock
from gateway.core.model import SECOND, Digest, Event, Weekly, World
from gateway.reporting.digest import FOLDER, Week, day_ns

HANDED_S = 60.0  # for the event's commit; what takes longer is handed over again

Submit = Callable[[Callable[[int, int], Event]], Future[Any]]


class Mailing:
    """`write` makes the files of the last week, in `state`; `submit` commits an event."""

    def __init__(
        self,
        state: Path,
        world: Callable[[], World],
        submit: Submit,
        now_ns: Callable[[], int],
        write: Callable[[], None],
    ) -> None:
        self._folder, self._world, self._submit = state / FOLDER, world, submit
        self._now_ns, self._write = now_ns, write
        self._handed: set[tuple[str, str]] = set()  # key of a digest, week

    def send_due(self) -> None:
        """Hands over what is due. Raises what `write` does, and TimeoutError when the disk waits."""
        world, now_ns = self._world(), self._now_ns()
        week = Week.before(now_ns, world.timezone)
        for entry in world.digests:
            if due_ns(entry, week, world.timezone) <= now_ns and (entry.key, str(week)) not in self._handed:
                title, text = self._read(entry.of, week)
                made = partial(_event, entry.key, str(week), title, text)
                self._submit(made).result(HANDED_S)
                self._handed.add((entry.key, str(week)))

    def _read(self, place: str, week: Week) -> tuple[str, str]:
        path = self._folder / f"{week}-{place}.txt"
        if not path.exists():
            self._write()
        title, _, text = path.read_text("utf-8").partition("\n")
        return title, text.rstrip("\n")


def _event(to: str, week: str, title: str, text: str, at: int, wall_ns: int) -> Weekly:
    return Weekly(at, wall_ns, to, week, title, text)


def due_ns(entry: Digest, week: Week, timezone: str) -> int:
    """When the digest of a week is to be sent: in the week after it, on its day and hour."""
    day = week.monday + timedelta(days=7 + WEEK.index(entry.day))
    return day_ns(day, timezone) + parse_clock(entry.at) * 60 * SECOND
