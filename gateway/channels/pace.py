"""Keeping under a provider's limit ourselves: what goes over it is often dropped without a word."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

ADDRESSES_MOST = 10_000  # of which we remember what they got; the one longest quiet goes first


class Pace:
    """At most `most` in any `span_s`, counted one by one: a bucket would let twice as many through."""

    def __init__(self, most: int, span_s: float, now: Callable[[], float]) -> None:
        self._most, self._span_s, self._now = most, span_s, now
        self._taken: deque[float] = deque()
        self._barred_until = float("-inf")
        self._promised: dict[int, float] = {}  # reserve -> the last instant we sent somebody away to
        self._lock = threading.Lock()

    def take(self, reserve: int = 0) -> float:
        """0 when one more may go now (and is counted), else the seconds until it may."""
        with self._lock:
            now = self._now()
            while self._taken and now - self._taken[0] >= self._span_s:
                self._taken.popleft()
            over = len(self._taken) - (self._most - reserve)
            if over < 0 and now >= self._barred_until:
                self._taken.append(now)
                return 0.0
            return self._promise(reserve, over) - now

    def _promise(self, reserve: int, over: int) -> float:
        """When to come again: one after the other, or a flood would knock all at once, again and again."""
        free_at = self._taken[over] + self._span_s if over >= 0 else self._barred_until
        turn = self._promised.get(reserve, float("-inf")) + self._span_s / self._most
        self._promised[reserve] = max(free_at, self._barred_until, turn)
        return self._promised[reserve]

    def bar(self, span_s: float) -> None:
        """The far side has counted differently: nothing for a while."""
        with self._lock:
            self._barred_until = self._now() + span_s


class Paces:
    """A Pace for each address."""

    def __init__(self, most: int, span_s: float, now: Callable[[], float]) -> None:
        self._most, self._span_s, self._now = most, span_s, now
        self._of: OrderedDict[str, Pace] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, address: str, reserve: int = 0) -> float:
        """As Pace.take."""
        with self._lock:
            pace = self._of.setdefault(address, Pace(self._most, self._span_s, self._now))
            self._of.move_to_end(address)
            if len(self._of) > ADDRESSES_MOST:
                self._of.popitem(last=False)
        return pace.take(reserve)
