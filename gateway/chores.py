"""Calendar work, and only that: no timer that a person's safety hangs on depends on this scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apscheduler.schedulers.background import BackgroundScheduler

from gateway import memory, telemetry
from gateway.adapters.store import Store

TRIM_EVERY_S = 10  # the log is kept only until everybody has passed it
QUARANTINE_KEPT_DAYS = 90
CAP_EVERY_S = 60
MAIL_EVERY_S = 300  # how often it is looked whether a weekly digest is due
QUARANTINE_MOST = 100_000  # payloads: a stranger that floods us must not fill the disk
QUARANTINE_BYTES_MOST = 200_000_000


class Chores:
    """Trims the log, tidies store and memory at night, reminds in the morning, writes and mails
    each week's digests.

    `daily`: what else is to be done once a day, at which time ("04:20").
    """

    def __init__(
        self,
        timezone: str,
        store: Store,
        trim: Callable[[], int],
        now_ns: Callable[[], int],
        remind: Callable[[], None],
        digest: Callable[[], None] = lambda: None,
        daily: Sequence[tuple[str, Callable[[], None]]] = (),
        mail: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._trim, self._now_ns = store, trim, now_ns
        options = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 3600}
        self._scheduler = BackgroundScheduler(timezone=timezone, job_defaults=options)
        often = {"trigger": "interval", "seconds": TRIM_EVERY_S}
        self._scheduler.add_job(self._guard(self._trim), id="trim", **often)
        self._scheduler.add_job(self._guard(store.mark_high_water), id="high-water", **often)
        self._scheduler.add_job(self._guard(self._cap), "interval", seconds=CAP_EVERY_S, id="cap")
        self._scheduler.add_job(self._guard(self._tidy), "cron", hour=3, minute=17, id="tidy")
        self._scheduler.add_job(self._guard(remind), "cron", hour=8, minute=30, id="remind")
        weekly = {"trigger": "cron", "day_of_week": "mon", "hour": 6, "minute": 40}
        self._scheduler.add_job(self._guard(digest), id="digest", **weekly)
        self._scheduler.add_job(self._guard(mail), "interval", seconds=MAIL_EVERY_S, id="mail")
        for time, chore in daily:
            hour, minute = time.split(":")
            self._scheduler.add_job(self._guard(chore), "cron", hour=hour, minute=minute)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _cap(self) -> None:
        if gone := self._store.cap_quarantine(QUARANTINE_MOST, QUARANTINE_BYTES_MOST):
            hint = "who floods us? see lilong quarantine list"
            telemetry.log("quarantine_capped", "warning", count=gone, hint=hint)

    def _tidy(self) -> None:
        memory.settle()
        now_ns = self._now_ns()
        self._store.tidy(now_ns - QUARANTINE_KEPT_DAYS * 86_400 * 10**9)
        self._store.forget_snapshots(now_ns)

    def _guard(self, chore: Callable[[], object]) -> Callable[[], None]:
        """A chore that fails says so and is tried again at its next hour."""

        def run() -> None:
            try:
                chore()
            except Exception as error:
                telemetry.log("chore_failed", "error", error=error, hint="it is tried again")

        return run
