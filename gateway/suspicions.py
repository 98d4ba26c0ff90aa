"""What looks like somebody else than he says: logged, counted, and told by the gateway's own report.

Two things count, because neither happens by itself: a payload that calls itself another device on a device's
topic (`identity`), and a token or signature at the intake that is not the device's (`token`). A post without
any is a camera that asks first, a topic that nobody has is a device not entered yet: these do not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from gateway import telemetry
from gateway.core.model import SECOND

MINUTE_NS = 60 * SECOND
MINUTES = 60  # told of the last so many; a flood costs a number each

SUSPECTED = telemetry.counter(
    "lilong_security_suspected_total",
    "What looks like somebody else: identity (another device's name), token (a forged one at the intake)",
    ["code"],
)


class Suspicions:
    """`at` is the steady clock. From any thread."""

    def __init__(self, at: Callable[[], int]) -> None:
        self._at, self._lock = at, threading.Lock()
        self._minutes: deque[tuple[int, int]] = deque(maxlen=MINUTES)  # (minute, how many in it), ascending

    def note(self, code: str, **fields: str) -> None:
        SUSPECTED.labels(code).inc()
        telemetry.log("security_suspected", "warning", code=code, **fields)
        minute = self._at() // MINUTE_NS
        with self._lock:
            before = self._minutes.pop()[1] if self._minutes and self._minutes[-1][0] == minute else 0
            self._minutes.append((minute, before + 1))

    def per_hour(self) -> int:
        since = self._at() // MINUTE_NS - MINUTES
        with self._lock:
            return sum(count for minute, count in self._minutes if minute > since)
