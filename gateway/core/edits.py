"""What an edit of a rule means for what stands: limits, holds and texts may change under an alert as they
like; when the rule asks another question, its author says what becomes of the answer (`if_changed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gateway.core.model import Rule
from gateway.core.state import Track

KEEP, REEVALUATE, CLOSE = "keep", "re-evaluate", "close"
WAYS = (KEEP, REEVALUATE, CLOSE)


def question(rule: Rule) -> str:
    """What a rule asks of its subjects; another one makes what it remembers of them another matter."""
    return "|".join((_judged(rule), rule.relative_to, rule.each, rule.group))


def _judged(rule: Rule) -> str:
    """Other control values are other limits, not another question."""
    both = rule.double_control
    if both is None:
        return rule.when or rule.quantity
    return f"{rule.quantity} {both.combine} {both.cumulative_over_s:g}s {both.rate_over_s:g}s"


def is_another(track: Track, rule: Rule) -> bool:
    """Whether a track belongs to a question that its rule no longer asks."""
    return track.question not in ("", question(rule))


def undeclared(tracks: Iterable[Track], rules: Mapping[str, Rule]) -> Iterator[Rule]:
    """Rules that would ask another question while an alert of theirs stands, and do not say what then."""
    found = {
        track.rule: rule
        for track in tracks
        if track.alert and (rule := rules.get(track.rule)) is not None and is_another(track, rule)
    }
    return (rule for rule in found.values() if not rule.if_changed)
