"""What became of every message that was ever sent, and of every alert that was to be told.

Three witnesses who know nothing of each other: the script (what was said), the gateway's log as it was
committed (Ledger, read from outside while it grows), and what the database and the webhook have now.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from gateway.adapters.store import open_reader
from gateway.forwarder import Cursor
from tests.faults.hook import Hook
from tests.faults.street import NAMES, Sample, Script
from tests.servers.influx import Influx
from tests.waiting import until

LOOK_S = 0.25  # the gateway forgets log rows ten seconds after everybody has passed them, not sooner
SETTLE_S = 45.0  # for everything to come to rest on a busy machine
LOOKS = 5  # a tick may be under way to the database at the very moment of looking
MEASUREMENT = "structure"


class Ledger:
    """Follows the gateway's log from another process, each row once: it is trimmed before long."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0
        self._db: sqlite3.Connection | None = None
        self._stopping, self._turn = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.received: Counter[Sample] = Counter()  # as committed: a second delivery counts again
        self.unknown = 0  # messages that are none of the script's
        self.repeated = self.refused = 0  # committed, but no point: known before / quarantined
        self.odd: Counter[str] = Counter()  # other qualities than good
        self.gaps = 0  # positions that were trimmed before we saw them: the test itself was too slow
        self.alerts: dict[str, tuple[str, str]] = {}  # id -> (rule, device)
        self.pending: dict[str, int] = {}  # sink -> positions it has not taken yet

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)
        if self._db:
            self._db.close()

    @property
    def messages(self) -> int:
        return self.received.total() + self.unknown

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Read what is new."""
        with self._turn:
            try:
                self._db = self._db or open_reader(self._path)
                self._read(self._db)
            except sqlite3.OperationalError:
                self._db = None  # not there yet

    def _read(self, db: sqlite3.Connection) -> None:
        for row in db.execute(
            "SELECT first, count, body FROM log WHERE first >= ? ORDER BY first", (self._next,)
        ):
            self.gaps += row["first"] - self._next
            self._next = row["first"] + row["count"]
            event, marks, changes = msgspec.msgpack.decode(row["body"])
            if event[0] == "messages":
                self._messages(event[3], marks)
            for kind, change in changes:
                if kind == "Alert":
                    self.alerts[change["id"]] = (change["rule"], change["device"])
        for row in db.execute("SELECT sink, body FROM cursor").fetchall():
            owed = msgspec.msgpack.decode(row["body"], type=Cursor).owed
            self.pending[row["sink"]] = owed.grown(self._next).count

    def _messages(self, items: list[list[Any]], marks: list[list[Any]]) -> None:
        for item in items:
            said = _parsed(item[1])
            if said:
                self.received[said] += 1
            else:
                self.unknown += 1
        for _, component, quality, *rest in marks:
            self.repeated += quality == "duplicate"
            self.refused += component == "*" and not rest[0]
            if quality not in ("good", "duplicate"):
                self.odd[quality] += 1

    def quarantined(self) -> int:
        assert self._db
        return int(self._db.execute("SELECT count(*) FROM quarantine").fetchone()[0])


def _parsed(payload: bytes) -> Sample | None:
    try:
        said = json.loads(payload)
        return said["id"], said["ts"]
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts; `faults()` are those that must be zero and are not."""

    sent: int
    received: int  # committed by the gateway, second deliveries included
    stored: int
    lost: int
    phantom: int  # points of messages that nobody ever sent
    duplicate: int  # a second point of one message
    changed: int
    repeated: int  # second deliveries that the gateway knew
    rewritten: int  # second deliveries that wrote the same point once more
    quarantined: int
    pending: int
    told_min: int
    told_max: int
    untold: tuple[str, ...]
    wrongly: tuple[str, ...]  # told although it was none
    twice_raised: int  # alerts of one device beyond the first
    gaps: int
    odd: Mapping[str, int] = field(default_factory=dict)

    @property
    def unaccounted(self) -> int:
        """received = stored + quarantined + deduplicated + pending."""
        return self.received - self.stored - self.rewritten - self.repeated - self.quarantined - self.pending

    def faults(self, told_most: int = 2) -> dict[str, Any]:
        zero = ("lost", "phantom", "duplicate", "changed", "quarantined", "pending", "twice_raised", "gaps")
        found: dict[str, Any] = {
            name: getattr(self, name) for name in (*zero, "unaccounted", "untold", "wrongly")
        }
        found["told more than twice"] = self.told_max > told_most
        return {name: value for name, value in found.items() if value}

    def __str__(self) -> str:
        return (
            f"N={self.sent} received={self.received} stored={self.stored} lost={self.lost} "
            f"duplicate points={self.duplicate} phantom={self.phantom} changed={self.changed} | "
            f"known again={self.repeated} written again={self.rewritten} quarantined={self.quarantined} "
            f"pending={self.pending} unaccounted={self.unaccounted} odd={dict(self.odd)} | "
            f"alerts told min/max {self.told_min}/{self.told_max}, untold {len(self.untold)}, "
            f"wrongly {len(self.wrongly)}, raised twice {self.twice_raised}"
        )


class Checker:
    """Compares the witnesses. Ask when everything has come to rest."""

    def __init__(self, script: Script, ledger: Ledger, influx: Influx, bucket: str, hook: Hook) -> None:
        self.script, self._ledger, self._hook = script, ledger, hook
        self._influx, self._bucket = influx, bucket

    def stored(self) -> int:
        return self._influx.count(MEASUREMENT, self._bucket)

    def settled(self) -> bool:
        """Nothing under way any more, as far as one can see: no promise that all is there."""
        self._ledger.look()
        return not self._ledger.pending.get("influx", 1) and self.script.expected <= self._hook.devices()

    def whole(self) -> bool:
        return self.stored() >= len(self.script.truth) and self.settled()

    def judged(self, seconds: float = SETTLE_S) -> Verdict:
        """The verdict once all is there, or so long after: then it says what is missing."""
        with suppress(AssertionError):
            until(self.whole, seconds)
        for _ in range(LOOKS):
            verdict = self.verdict()
            if not verdict.pending:
                break
        return verdict

    def verdict(self) -> Verdict:
        self._ledger.look()
        ledger, truth = self._ledger, self.script.truth
        points = self._points()
        known = {(device, ns // 1000): mark for device, ns, mark in points if not ns % 1000}
        known = {sample: mark for sample, mark in known.items() if sample in truth}
        ours = sum((device, ns // 1000) in truth for device, ns, _ in points)
        told, expected = self._hook.told, self.script.expected
        times = Counter({device: 0 for device in expected})
        for (device, _), count in told.items():
            times[device] += count
        raised = Counter(device for _, device in ledger.alerts.values())
        return Verdict(
            sent=len(truth), received=ledger.messages, stored=len(known), lost=len(truth) - len(known),
            phantom=len(points) - ours, duplicate=ours - len(known),
            changed=sum(mark != truth[sample] for sample, mark in known.items()),
            repeated=ledger.repeated,
            rewritten=ledger.messages - ledger.repeated - ledger.refused - len(ledger.received),
            quarantined=ledger.quarantined(), pending=ledger.pending.get("influx", 0),
            told_min=min(times[device] for device in expected), told_max=max(times.values()),
            untold=tuple(sorted(device for device in expected if not times[device])),
            wrongly=tuple(sorted(set(times) - expected)),
            twice_raised=sum(count - 1 for count in raised.values()), gaps=ledger.gaps, odd=ledger.odd,
        )  # fmt: skip

    def _points(self) -> list[tuple[str, int, float]]:
        """(device, instant in ns, mark). A second point of a message lies some nanoseconds beside it."""
        return [(device, instant, mark) for device in NAMES for instant, mark in self._marks(device)]

    def _marks(self, device: str) -> list[list[Any]]:
        """Of one device at a time: all points as objects would fill the memory of a full run."""
        query = f"SELECT temperature_c FROM {MEASUREMENT} WHERE device = '{device}'"
        found = self._influx._query(query, self._bucket).get("series", [])
        return [row for series in found for row in series["values"]]
