"""Whether a far side is worth asking: after failures in a row it is left alone for a while, then probed."""

from __future__ import annotations

from gateway.core.model import SECOND

FAILURES_MOST = 2  # in a row: a provider that hangs costs 10 s each time, and its backup waits meanwhile
OPEN_S = 30.0


class Breaker:
    """Closed lets all through, open none, and after OPEN_S one at a time. Instants are steady nanoseconds."""

    def __init__(self) -> None:
        self._failures = 0
        self._probed_at = 0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES_MOST

    def lets(self, at: int) -> bool:
        """Whether to ask now. A probe that is let through is not followed by another for OPEN_S."""
        if self.is_open and at < self._probed_at:
            return False
        self._probed_at = at + int(OPEN_S * SECOND)
        return True

    def failed(self, at: int) -> bool:
        """True when that opened it."""
        self._failures += 1
        self._probed_at = at + int(OPEN_S * SECOND)
        return self._failures == FAILURES_MOST

    def succeeded(self) -> bool:
        """True when that closed it."""
        before, self._failures = self.is_open, 0
        return before
