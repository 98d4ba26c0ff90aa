"""How much alerting people bear, in the figures of ISA-18.2: rate, peak, floods, the ten worst, what stands.

Instants come in ascending order, each is looked at once, and none is kept longer than ten minutes.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from gateway.core.model import SECOND, Alert, AlertState, Level

WINDOW_NS = 600 * SECOND
FLOOD_OVER = 10  # more alerts than this within ten minutes are a flood
STANDING_NS = 24 * 3600 * SECOND
HOUR_NS = 3600 * SECOND


@dataclass(slots=True)
class Rate:
    """How often something happened, and how densely."""

    count: int = 0
    peak: int = 0  # the most within ten minutes, wherever they begin
    flood_ns: int = 0  # for so long there had been more than FLOOD_OVER within the last ten minutes
    _last: deque[int] = field(default_factory=deque)
    _until_ns: int = 0  # floods are counted up to there

    def note(self, wall_ns: int) -> None:
        """A clock that was set back counts as one that stood."""
        wall_ns = max(wall_ns, self._last[-1]) if self._last else wall_ns
        self.count += 1
        self._last.append(wall_ns)
        while self._last[0] <= wall_ns - WINDOW_NS:
            self._last.popleft()
        self.peak = max(self.peak, len(self._last))
        if len(self._last) > FLOOD_OVER:  # it lasts until the oldest of the newest eleven is ten minutes old
            ends_ns = self._last[-1 - FLOOD_OVER] + WINDOW_NS
            self.flood_ns += max(ends_ns - max(wall_ns, self._until_ns), 0)
            self._until_ns = max(self._until_ns, ends_ns)

    def per_hour(self, span_ns: int) -> float:
        return self.count / (span_ns / HOUR_NS) if span_ns > 0 else 0.0

    def flood_share(self, span_ns: int) -> float:
        return min(self.flood_ns / span_ns, 1.0) if span_ns > 0 else 0.0


@dataclass(slots=True)
class Load:
    """The alerts of some time. Those of rules in the shadow, or behind a cause, are borne by nobody."""

    alerts: Rate = field(default_factory=Rate)
    levels: Counter[Level] = field(default_factory=Counter)  # the worst of each
    rules: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)
    chattering: Counter[str] = field(default_factory=Counter)  # by rule
    stood: int = 0  # longer than a day
    persons: dict[str, Rate] = field(default_factory=dict)  # how often each was told

    def note_alert(self, alert: Alert, now_ns: int) -> None:
        if not is_borne(alert):
            return
        self.alerts.note(alert.raised_ns)
        self.levels[alert.worst] += 1
        self.rules[alert.rule] += 1
        self.devices[alert.device] += 1
        self.chattering[alert.rule] += alert.chattering
        self.stood += has_stood(alert, now_ns)

    def note_told(self, person: str, wall_ns: int) -> None:
        """One alert told to one person, by however many channels."""
        self.persons.setdefault(person, Rate()).note(wall_ns)


def is_borne(alert: Alert) -> bool:
    return alert.mode == "live" and bool(alert.case) and not alert.hidden_by


def has_stood(alert: Alert, now_ns: int) -> bool:
    """Longer than a day; what is latched stands still."""
    ended_ns = alert.changed_ns if alert.state is AlertState.CLEARED else now_ns
    return ended_ns - alert.raised_ns > STANDING_NS
