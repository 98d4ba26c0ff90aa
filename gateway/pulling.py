"""Fetches receipts and replies from providers that cannot call us, and feeds them in as the door would.

A provider forgets what it has given. So what was fetched is kept here until it is committed, and is handed in
again when the disk did not take it; meanwhile nothing more is fetched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

from gateway import telemetry
from gateway.beat import Beat
from gateway.channels.base import Pulling
from gateway.core.model import Event, World
from gateway.web.callbacks import NO_GROUPS, Said, event_of

COMMIT_S = 5.0  # for what one fetch brought; a disk that is slower is waited for at the next turn
STOP_S = 1.0

Submit = Callable[[Callable[[int, int], Event]], Future[Any]]
Kept = tuple[Said, Future[Any] | None]  # None: to be handed in


class Puller:
    """One channel's thread."""

    def __init__(
        self,
        name: str,
        channel: Pulling,
        submit: Submit,
        world: Callable[[], World],
        reader: Callable[[], sqlite3.Connection],
        groups: Mapping[str, str] = NO_GROUPS,
    ) -> None:
        self._name, self._channel, self._submit = name, channel, submit
        self._world, self._reader = world, reader
        self._as = groups.get(name, name)  # as whose its messages were sent
        self._kept: list[Kept] = []
        self._beat = Beat(f"puller-{name}", channel.pull_s, self.turn, self._failed)

    def start(self) -> None:
        self._beat.start()

    def stop(self) -> None:
        """One that is fetching ends by itself: nothing waits for it."""
        self._beat.stop(STOP_S)

    def _failed(self, error: Exception) -> None:
        """A store that cannot be read for now: what was fetched is kept."""
        telemetry.log("pull_failed", "error", channel=self._name, error=type(error).__name__)

    def turn(self) -> None:
        """One fetch, unless something fetched before is not committed yet."""
        if not self._kept:
            self._fetch()
        for number, (said, future) in enumerate(self._kept):
            if future is None:
                self._kept[number] = said, self._handed_in(said)
        wait([future for _, future in self._kept if future], COMMIT_S)
        self._kept = [kept for one in self._kept if (kept := _left_of(one)) is not None]

    def _fetch(self) -> None:
        try:
            self._kept = [(said, None) for said in self._channel.pull()]
        except ValueError as error:
            telemetry.log("pull_failed", "warning", channel=self._name, error=str(error))

    def _handed_in(self, said: Said) -> Future[Any]:
        make = event_of(said, self._as, self._world(), self._reader())
        if make is not None:
            return self._submit(make)
        telemetry.log("callback_unmatched", "warning", channel=self._as, message_id=said.number)
        nothing: Future[Any] = Future()
        nothing.set_result(None)
        return nothing


def _left_of(kept: Kept) -> Kept | None:
    """Nothing once it is committed, all of it when that failed."""
    said, future = kept
    if future is None or not future.done():
        return kept
    failed = future.cancelled() or future.exception() is not None
    return (said, None) if failed else None
