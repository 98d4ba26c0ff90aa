"""What is due when: one instant a kind and key, the earliest that anybody set."""

from __future__ import annotations

import heapq


class Timers:
    """At most one timer of a kind and key counts, the earliest; whoever handles it sets the next."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, str]] = []
        self._armed: dict[tuple[str, str], int] = {}

    def push(self, due: int, kind: str, key: str) -> None:
        armed = self._armed.get((kind, key))
        if armed is None or due < armed:
            self._armed[kind, key] = due
            heapq.heappush(self._heap, (due, kind, key))

    def armed(self, kind: str, key: str) -> int | None:
        """When it is due; None: it is not."""
        return self._armed.get((kind, key))

    def next_due(self) -> int | None:
        """The first instant at which one is due; an earlier one may have taken its place since."""
        return self._heap[0][0] if self._heap else None

    def pop(self, until: int) -> tuple[int, str, str] | None:
        """The next one due by then, in the order of instants."""
        while self._heap and self._heap[0][0] <= until:
            due, kind, key = heapq.heappop(self._heap)
            if self._armed.get((kind, key)) == due:
                del self._armed[kind, key]
                return due, kind, key
        return None
