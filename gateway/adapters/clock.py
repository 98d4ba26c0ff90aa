"""The box's two times: `at` never steps and carries every duration; `wall_ns` is what people read."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anchor:
    """One instant on both scales, and how fast simulated time runs (1.0 in life, 20 in the demo)."""

    monotonic_ns: int
    wall_ns: int
    speed: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """From `MONOTONIC_NS:WALL_NS:SPEED`, which two processes share to agree on the time."""
        monotonic, wall, speed = text.split(":")
        return cls(int(monotonic), int(wall), float(speed))

    def __str__(self) -> str:
        return f"{self.monotonic_ns}:{self.wall_ns}:{self.speed}"


class Clock:
    """`at()` continues from `resume_at` (the store's last instant): it never goes back over a restart.

    `away_ns` is how long the box was down by the wall clock: ladders and deadlines ran on meanwhile.
    A wall clock that went backwards while we were down counts as no time at all.
    """

    def __init__(self, resume_at: int = 0, away_ns: int = 0, anchor: Anchor | None = None) -> None:
        self.anchor = anchor
        self.speed = anchor.speed if anchor else 1.0
        self._base = resume_at + max(away_ns, 0)
        self._from = time.monotonic_ns()

    def at(self) -> int:
        return self._base + int((time.monotonic_ns() - self._from) * self.speed)

    def wall_ns(self) -> int:
        if self.anchor is None:
            return time.time_ns()
        return self.anchor.wall_ns + int((time.monotonic_ns() - self.anchor.monotonic_ns) * self.speed)

    def real_s(self, span_ns: int) -> float:
        """How long to wait, in real seconds, until `span_ns` of our time has passed."""
        return max(span_ns, 0) / 1e9 / self.speed
