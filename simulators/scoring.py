"""What was told against what was true: missed, false, late, and minutes to the alert."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from gateway.core.model import LEVEL_OF, Alert, Level
from simulators.incidents import Truth

MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One alert and when it first reached each level."""

    alert: str
    rule: str
    device: str
    component: str
    reached: tuple[tuple[Level, int], ...]  # ascending by instant

    def at_least(self, level: Level) -> int | None:
        """When it was first at this level or above."""
        return next((ns for reached, ns in self.reached if reached >= level), None)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a run told the truth."""

    played: int = 0  # incidents
    found: list[tuple[Truth, float]] = field(default_factory=list)  # with minutes since the incident began
    missed: list[Truth] = field(default_factory=list)
    ahead: list[Truth] = field(default_factory=list)  # the run ended before they had to be told
    false: list[tuple[Seen, str]] = field(default_factory=list)  # with the reason

    @property
    def perfect(self) -> bool:
        return not self.missed and not self.false

    def __str__(self) -> str:
        minutes = [spent for _, spent in self.found]
        counts: dict[str, list[Any]] = {"found": self.found, "missed": self.missed, "false": self.false}
        counts |= {"still ahead": self.ahead} if self.ahead else {}
        lines = [
            f"incidents {self.played}  " + "  ".join(f"{word} {len(them)}" for word, them in counts.items())
        ]
        if minutes:
            lines.append(f"minutes to the alert: median {median(minutes):.1f}, longest {max(minutes):.1f}")
        lines += [f"  {spent:7.1f} min  {_named(truth)}" for truth, spent in self.found]
        lines += [f"  MISSED  {_named(truth)}" for truth in self.missed]
        lines += [f"  FALSE   {_shown(seen)}: {why}" for seen, why in self.false]
        return "\n".join(lines)


def score(truths: Sequence[Truth], alerts: Iterable[Seen], until_ns: int | None = None) -> Score:
    """Compare what was told up to `until_ns` (None: to the end) with what was true.

    A truth is found when its rule reaches its level on its subject within its span.

    An alert is false when no incident explains it: too early, too high, too long after, or told as a second
    episode of an incident that one alert had told already.
    """
    result = Score(played=len({truth.incident for truth in truths}))
    seen = sorted(alerts, key=lambda one: one.reached[0][1])
    for truth in truths:
        if truth.rule:
            _look_for(truth, seen, result, until_ns)
    explained: set[tuple[str, str]] = set()  # (incident, rule and subject) that an alert has told
    for one in seen:
        why = _unexplained(one, truths, explained)
        if why:
            result.false.append((one, why))
    return result


def _look_for(truth: Truth, seen: list[Seen], result: Score, until_ns: int | None) -> None:
    level = LEVEL_OF[truth.level]
    for one in seen:
        reached = one.at_least(level) if _subject(one) == _subject(truth) else None
        if reached is not None and truth.earliest_ns <= reached <= truth.latest_ns:
            result.found.append((truth, (reached - truth.begins_ns) / MINUTE_NS))
            return
    (result.missed if until_ns is None or truth.latest_ns <= until_ns else result.ahead).append(truth)


def _unexplained(one: Seen, truths: Sequence[Truth], explained: set[tuple[str, str]]) -> str:
    """Why an alert is false; empty when it is not."""
    mine = [truth for truth in truths if truth.rule and _subject(truth) == _subject(one)]
    first = one.reached[0][1]
    mine = [truth for truth in mine if truth.begins_ns <= first <= truth.until_ns]
    if not mine:
        return "nothing of the kind happened"
    key = (mine[0].incident, "/".join(_subject(one)))
    if key in explained:
        return f"told twice: {mine[0].incident}"
    explained.add(key)
    if first < min(truth.earliest_ns for truth in mine):
        return f"too early for {mine[0].incident}"
    highest = max(LEVEL_OF[truth.level] for truth in mine)
    worst = max(level for level, _ in one.reached)
    return f"{worst.word}, and {highest.word} is the worst of {mine[0].incident}" if worst > highest else ""


def _subject(one: Truth | Seen) -> tuple[str, str, str]:
    return one.rule, one.device, one.component


def _named(truth: Truth) -> str:
    where = f"{truth.device}/{truth.component}" if truth.component else truth.device
    return f"{truth.incident}: {truth.rule} {truth.level} on {where}"


def _shown(seen: Seen) -> str:
    where = f"{seen.device}/{seen.component}" if seen.component else seen.device
    levels = ", ".join(level.word for level, _ in seen.reached)
    return f"{seen.rule} {levels} on {where}"


# ---------------------------------------------------------------- where alerts are read from


def seen_in_effects(alerts: Iterable[Alert]) -> list[Seen]:
    """From every Alert effect of a run, in the order the engine gave them."""
    first: dict[str, Alert] = {}
    rises: dict[str, dict[Level, int]] = {}
    for alert in alerts:
        first.setdefault(alert.id, alert)
        reached = rises.setdefault(alert.id, {})
        if alert.level > max(reached, default=0):
            reached[alert.level] = alert.changed_ns
    return [_seen(alert, tuple(rises[alert.id].items())) for alert in first.values()]


def seen_in_store(directory: Path) -> tuple[list[Seen], int]:
    """From a gateway's store: its alerts with their rises, and the last instant of the run."""
    file = directory / "lilong.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reader:
        bodies = reader.execute("SELECT body FROM alert ORDER BY raised_ns").fetchall()
        last_ns = reader.execute("SELECT MAX(wall_ns) FROM log").fetchone()[0] or 0
    alerts = [msgspec.json.decode(body, type=Alert) for (body,) in bodies]
    return [_seen(alert, alert.rises) for alert in alerts], last_ns


def _seen(alert: Alert, rises: tuple[tuple[Level, int], ...]) -> Seen:
    return Seen(
        alert=alert.id,
        rule=alert.rule,
        device=alert.device,
        component=alert.component,
        reached=rises or ((alert.worst, alert.raised_ns),),  # an older store's alert knows its worst only
    )


def load_truths(path: Path) -> list[Truth]:
    """The lines of a truth file."""
    return [msgspec.json.decode(line, type=Truth) for line in path.read_bytes().splitlines() if line]


def save_truths(path: Path, truths: Iterable[Truth]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(truth) + b"\n" for truth in truths))
