"""How long a device may be silent, and when the silence of many is one trouble of what they speak through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from gateway.core.model import SECOND, Limit, Rule

DEAF_MOST = 32  # spans remembered
GROUP_LEAST = 3  # of two silent devices each is told: that is no flood
LEARNED_FROM = 5  # intervals; of fewer the median is a guess
LEARNED_KEPT = 15
LEARNED_NS_LEAST = 60 * SECOND  # a burst of an event device is no rhythm
LEARNED_NS_MOST = 26 * 3600 * SECOND  # a daily word, and two hours


class Group(msgspec.Struct):
    """The devices behind one gateway or broker while most of them are silent together, and after."""

    dark: bool = False
    dark_at: int = 0  # steady instant at which that was found
    heard_at: int = 0  # the last word of those that are silent
    back_at: int = 0  # steady instant at which half of them had spoken again: silence counts from there
    count: int = 0  # how many were silent


def note_interval(intervals: list[int], span_ns: int) -> list[int]:
    """The last intervals of a device; two messages of one instant are one word."""
    return [*intervals[1 - LEARNED_KEPT :], span_ns] if span_ns > 0 else intervals


def learned_ns(intervals: Sequence[int]) -> int:
    """The median of the last intervals, within bounds; 0 while there are too few."""
    if len(intervals) < LEARNED_FROM:
        return 0
    median = sorted(intervals)[len(intervals) // 2]
    return min(max(median, LEARNED_NS_LEAST), LEARNED_NS_MOST)


def span_ns(limit: Limit, interval_ns: int) -> int | None:
    """The silence at which a level begins, the later of absent and missed; None while it cannot be told."""
    found = [] if limit.absent_s is None else [int(limit.absent_s * SECOND)]
    if limit.missed is not None and interval_ns:
        found.append(int(limit.missed * interval_ns))
    return max(found, default=None)


def spans_ns(rules: Iterable[Rule], interval_ns: int) -> list[int]:
    """The silences at which some level of these rules begins, ascending."""
    found = (span_ns(limit, interval_ns) for rule in rules for limit in rule.limits)
    return sorted(span for span in found if span is not None)


def noted(deaf: list[tuple[int, int]], begun: int, until: int) -> list[tuple[int, int]]:
    """The spans in which we could not hear, with one more; of very many the oldest count as one."""
    found = [*deaf, (begun, until)] if until > begun else deaf
    while len(found) > DEAF_MOST:
        found = [(found[0][0], found[1][1]), *found[2:]]
    return found


def is_silence(rule: Rule) -> bool:
    return not rule.quantity


def learns(rules: Iterable[Rule]) -> bool:
    """Whether a level of these rules is counted in the device's own intervals."""
    return any(limit.missed is not None for rule in rules for limit in rule.limits)
