"""Which ranges of the log a sink is still owed: a small value, saved as the sink's cursor.

Usually one range, from where the sink stands to the log's end. After an outage the range is split, so that
what happens now reaches the database first and the backlog is drained in between, oldest first.
"""

from __future__ import annotations

import msgspec

Range = tuple[int, int]  # half-open: [first, end) of log positions

BEHIND_MOST = 50_000  # messages owed before old and new part company: about a second's work


class Owed(msgspec.Struct, frozen=True, array_like=True):
    """Ascending disjoint ranges `old`, then the growing one `fresh`, whose end is the log's end."""

    fresh: Range = (0, 0)
    old: tuple[Range, ...] = ()

    @property
    def count(self) -> int:
        return sum(end - first for first, end in (*self.old, self.fresh))

    def oldest(self) -> int:
        """The first position still owed; the log before it is not needed any more."""
        return self.old[0][0] if self.old else self.fresh[0]

    def grown(self, end: int) -> Owed:
        """The log has grown to `end`."""
        return self if end <= self.fresh[1] else Owed((self.fresh[0], end), self.old)

    def split(self, most: int = BEHIND_MOST) -> Owed:
        """When more than `most` is owed at the fresh end, it all becomes old: news go first now."""
        first, end = self.fresh
        if end - first <= most:
            return self
        return Owed((end, end), _joined((*self.old, self.fresh)))

    def done(self, first: int, end: int) -> Owed:
        """[first, end) was taken. What was not owed does not matter: a batch may overlap its range."""
        old = tuple(part for owed in self.old for part in _without(owed, first, end))
        start, stop = self.fresh
        if start < first < stop:  # something in its midst: what lies before it is old now
            old, start = (*old, (start, first)), end
        elif first <= start < end:
            start = end
        return Owed((start, max(stop, start)), old)


def _without(owed: Range, first: int, end: int) -> list[Range]:
    parts = (owed[0], min(owed[1], first)), (max(owed[0], end), owed[1])
    return [part for part in parts if part[0] < part[1]]


def _joined(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """Touching neighbours become one."""
    joined: list[Range] = []
    for first, end in ranges:
        if joined and joined[-1][1] >= first:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif first < end:
            joined.append((first, end))
    return tuple(joined)
