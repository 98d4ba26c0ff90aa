"""What scenarios that pass prove of each level of each rule: raised, cleared, and not raised when near.

A level that was never near proves nothing by its silence: a lower level must have stood, or its limit been
crossed for less than its hold, or the value come within a fifth of it. A state that is 1 at once has no
nearer than 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.core.model import LEVEL_OF, Level, Limit, Rule
from gateway.core.silence import is_silence
from gateway.core.units import QUANTITIES
from gateway.series import Said, value_of
from gateway.tuning.playing import subjects
from gateway.tuning.scenarios import Happened, Played

NEAR = 0.2  # of a limit's size
WAYS = ("raised", "cleared", "not_raised")


@dataclass(frozen=True, slots=True)
class Covered:
    """One level of a rule, and the first scenario that shows each way; "" when none does."""

    rule: str
    level: Level
    raised: str = ""
    cleared: str = ""
    not_raised: str = ""

    @property
    def missing(self) -> list[str]:
        return [way for way in WAYS if not getattr(self, way)]


def cover(rules: Iterable[Rule], played: Sequence[Played]) -> list[Covered]:
    """One entry for each level of these rules, in their order."""
    sound = [one for one in played if not one.missed]
    return [
        _covered(rule, limit, [one for one in sound if rule.id in one.scenario.tested])
        for rule in rules
        for limit in rule.limits
    ]


def share(covered: Collection[Covered]) -> float:
    """How much of all there is to show is shown, in percent; 100 when there is nothing to show."""
    most = len(covered) * len(WAYS)
    return 100.0 * (most - sum(len(one.missing) for one in covered)) / most if most else 100.0


def _covered(rule: Rule, limit: Limit, played: Sequence[Played]) -> Covered:
    ways: dict[str, str] = {}
    for one in played:
        own = [event for event in one.happened if event.rule == rule.id]
        raised = {LEVEL_OF[event.what] for event in own if event.what in LEVEL_OF}
        if limit.level in raised:
            ways.setdefault("raised", one.scenario.name)
        elif any(level < limit.level for level in raised) or _near(one, rule, limit):
            ways.setdefault("not_raised", one.scenario.name)
        if limit.level in set(_cleared(own)):
            ways.setdefault("cleared", one.scenario.name)
    return Covered(rule.id, limit.level, **ways)


def _cleared(happened: Iterable[Happened]) -> Iterator[Level]:
    """The levels that were left, downward or altogether, of each subject on its own."""
    stood: dict[tuple[str, str], set[Level]] = {}
    for one in happened:
        levels = stood.setdefault((one.device, one.component), set())
        now = LEVEL_OF.get(one.what, 0 if one.what == "clear" else max(Level))
        yield from [level for level in levels if level > now]
        levels -= {level for level in levels if level > now}
        if one.what in LEVEL_OF:
            levels.add(LEVEL_OF[one.what])


# ---------------------------------------------------------------- how near it was


def _near(played: Played, rule: Rule, limit: Limit) -> bool:
    series = subjects(played.scenario, [rule])
    if is_silence(rule):
        span_s = limit.absent_s or (limit.missed or 0) * played.scenario.every_s
        steps = max(_longest_pause(said) for said in series.values())
        return steps * played.scenario.every_s >= (1 - NEAR) * span_s
    known = None if rule.when else QUANTITIES.get(rule.quantity)
    waits = bool(limit.hold_s or limit.readings)
    if known is None:  # an expression: what it was worth only the engine knows
        return not waits or (rule.id, limit.level) in played.beyond
    values = [value for key, said in series.items() if key[2] == known.name for value in _values(said)]
    if known.is_event and not waits:
        return bool(values)
    return any(_is_near(limit, abs(value) if rule.relative_to else value) for value in values)


def _is_near(limit: Limit, value: float) -> bool:
    if limit.above is not None:
        return value >= limit.above - NEAR * abs(limit.above)
    if limit.below is not None:
        return value <= limit.below + NEAR * abs(limit.below)
    bounds = [*(limit.inside or ()), *(limit.outside or ())]
    bounds += [] if limit.equals is None else [limit.equals]
    return any(abs(value - bound) <= NEAR * abs(bound) for bound in bounds)


def _values(said: Iterable[Said]) -> list[float]:
    return [value for one in said if (value := value_of(one)) is not None]


def _longest_pause(said: Iterable[Said]) -> int:
    """Steps from one word to the next, at most."""
    longest = pause = 0
    for one in said:
        pause += 1
        longest = max(longest, pause)
        if one is not None:
            pause = 0
    return longest
