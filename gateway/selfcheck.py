"""The gateway as a device: every half minute a message of how it does itself, through the log like any other.

So its own troubles are judged by rules (rules/gateway.yaml), open cases and climb ladders, and a replay gives
them again. The message needs no broker. At most one is under way: while the disk refuses it, or the queue is
full, the next is left out and counted, and what happened meanwhile is told by the first that gets through.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import msgspec

from gateway import telemetry
from gateway.adapters import certificates
from gateway.adapters.clock import Clock
from gateway.adapters.store import Store
from gateway.beat import Beat
from gateway.core.calibration import due_within
from gateway.core.model import OWN, SECOND, Message, NotificationState, Stage, World
from gateway.forwarder import Standing
from gateway.outward import Outward
from gateway.pipeline import Pipeline, Report

EVERY_S = 30.0  # of the gateway's time; devices/lilong-gateway.yaml says the same
HOUR_NS = 3600 * SECOND
STARTS = "starts"  # key of the steady instants of the last hour's restarts
STARTS_MOST = 1_000
DIGITS = 3  # behind the point: milliseconds

# For how long a message that is due has been taken by nobody. Before its first try it may be held on purpose,
# for the night or between two calls, until its own instant; that moves with every try.
WAITED_NS = """
SELECT max(CASE WHEN attempt = 0 THEN ? - due_at ELSE ? - created_ns END) FROM notification WHERE state = ?
"""
# Refused within the hour, the case still as it was found, and nothing of it under way.
LOST = """
SELECT count(DISTINCT n.case_id) FROM notification n JOIN cases c ON c.id = n.case_id
WHERE n.state = ? AND n.due_at > ? AND c.stage = ?
AND n.case_id NOT IN (SELECT case_id FROM notification WHERE state = ?)
"""
QUARANTINED = "SELECT coalesce(max(id), 0) FROM quarantine"
HOLDING = "SELECT at FROM log WHERE first <= ? ORDER BY first DESC LIMIT 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is looked at. `standing` is the forwarder's, `failing` the notifier's."""

    store: Store
    pipeline: Pipeline
    clock: Clock
    world: Callable[[], World]
    standing: Callable[[], Mapping[str, Standing]]
    outward: Outward
    failing: Callable[[], Sequence[str]] = tuple  # the channels that do


class SelfCheck:
    """Reports as the device of the site whose topic begins with self/; a site without one hears nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: Future[None] | None = None
        self._offset_ns = self._wall_less_steady()
        self._held_back_s = 0.0  # not told yet
        self._refused: deque[tuple[int, int]] = deque()  # (at, newest id in quarantine), an hour of them
        self._restarts: list[int] = []
        every_s = parts.clock.real_s(int(EVERY_S * SECOND))
        self._beat = Beat("selfcheck", every_s, self.report, _failed)

    def start(self) -> None:
        self._note_start()
        self._beat.start()

    def stop(self) -> None:
        self._beat.stop()

    def report(self) -> bool:
        """Hand one report over; False when it was left out."""
        topic = topic_of(self._parts.world())
        if topic is None:
            return False
        if self._under_way is not None and not self._under_way.done():
            telemetry.log("selfcheck_left_out", "warning", reason="the last one is not committed yet")
            return False
        offset_ns = self._wall_less_steady()
        said = {name: round(value, DIGITS) for name, value in self.quantities().items()}
        report = Report(0, (), [Message(topic, msgspec.json.encode(said))], Future())
        if not self._parts.pipeline.deliver(report):
            telemetry.log("selfcheck_left_out", "warning", reason="the queue is full")
            return False
        self._under_way, self._offset_ns = report.done, offset_ns
        self._held_back_s = 0.0
        return True

    # ------------------------------------------------------------ what it says

    def quantities(self) -> dict[str, float]:
        """By name, as devices/lilong-gateway.yaml has them."""
        standing, at = self._parts.standing(), self._parts.clock.at()
        reader = self._parts.store.reader()
        self._held_back_s = max(self._held_back_s, self._parts.pipeline.take_held_back_s())
        disabled = list(self._parts.pipeline.engine.state.disabled)  # rule|device|component
        found = {
            "broker_down_s": self._broker_down_s(at),
            "database_behind_s": self._behind_s(standing.get("influx"), reader, at),
            "archive_behind_s": self._behind_s(standing.get("archive"), reader, at),
            "disk_free_pct": free_pct(self._parts.store),
            "quarantined_per_hour": self._quarantined(reader, at),
            "notifications_waiting_s": self._waiting_s(reader),
            "notifications_lost": _one(reader, LOST, *_lost_of(at)),
            "outward_behind_s": self._parts.outward.behind_s(reader, self._parts.clock.wall_ns()),
            "outward_difference": self._parts.outward.difference(),
            "channels_failing": len(self._parts.failing()),
            "queue_full_s": self._held_back_s,
            "rules_disabled": len({key.partition("|")[0] for key in disabled}),
            "clock_step_s": (self._wall_less_steady() - self._offset_ns) / SECOND,
            "calibration_overdue_d": self._overdue_d(),
            "intrusions_per_hour": self._parts.pipeline.suspicions.per_hour(),
            "restarts_per_hour": sum(start > at - HOUR_NS for start in self._restarts),
        }
        days = certificates.days_left(self._parts.clock.wall_ns() / SECOND)
        return found if days is None else {**found, "certificate_days": days}

    def _broker_down_s(self, at: int) -> float:
        """By what the engine knows of the link: it remembers over a restart since when it is deaf."""
        state = self._parts.pipeline.engine.state
        return 0.0 if state.link_up else max(at - state.deaf_since, 0) / SECOND

    def _behind_s(self, standing: Standing | None, reader: sqlite3.Connection, at: int) -> float:
        """The age of the oldest event that a sink has not taken; 0 without such a sink."""
        if standing is None or not standing.backlog:
            return 0.0
        row = reader.execute(HOLDING, (standing.oldest,)).fetchone()
        return max(at - row[0], 0) / SECOND if row else 0.0

    def _waiting_s(self, reader: sqlite3.Connection) -> float:
        at, now_ns = self._parts.clock.at(), self._parts.clock.wall_ns()
        return max(_one(reader, WAITED_NS, at, now_ns, NotificationState.DUE), 0) / SECOND

    def _quarantined(self, reader: sqlite3.Connection, at: int) -> int:
        """Within the last hour, or since our start: ids ascend, so nothing needs to be counted."""
        newest = _one(reader, QUARANTINED)
        self._refused.append((at, newest))
        while self._refused[0][0] < at - HOUR_NS:
            self._refused.popleft()
        return max(newest - self._refused[0][1], 0)

    def _overdue_d(self) -> int:
        """Of the sensor that is past its calibration for longest."""
        world, now_ns = self._parts.world(), self._parts.clock.wall_ns()
        due = due_within(world.calibrations, now_ns, world.timezone, days=-1)
        return -due[0].days if due else 0

    def _wall_less_steady(self) -> int:
        return self._parts.clock.wall_ns() - self._parts.clock.at()

    def _note_start(self) -> None:
        """Every start but a store's first is a restart; the store remembers those of the last hour."""
        store, at = self._parts.store, self._parts.clock.at()
        before = store.recall(STARTS)
        known = [] if before is None else [*msgspec.json.decode(before, type=list[int]), at]
        self._restarts = [start for start in known if start > at - HOUR_NS][-STARTS_MOST:]
        try:
            store.remember(STARTS, msgspec.json.encode(self._restarts))
        except sqlite3.Error as error:
            telemetry.log("selfcheck_failed", "error", error=error)
        self._refused.append((at, _one(store.reader(), QUARANTINED)))


def topic_of(world: World) -> str | None:
    """The topic on which the gateway of this site tells of itself; None when no device stands for it."""
    return next((one.topic for one in world.devices.values() if one.topic.startswith(OWN)), None)


def free_pct(store: Store) -> float:
    usage = shutil.disk_usage(store.directory)
    return 100 * usage.free / usage.total if usage.total else 0.0


def _lost_of(at: int) -> tuple[str, int, str, str]:
    return NotificationState.REFUSED, at - HOUR_NS, Stage.FOUND, NotificationState.DUE


def _one(reader: sqlite3.Connection, query: str, *values: object) -> int:
    return reader.execute(query, values).fetchone()[0] or 0


def _failed(error: Exception) -> None:
    telemetry.log("selfcheck_failed", "error", error=error)
