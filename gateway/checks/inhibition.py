"""Mistakes in what follows from an alert: causes nobody has, that hide each other, or that hide nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.model import Cause, Level
from gateway.grammar import RuleKeys
from gateway.problems import one_of, say
from gateway.typed import Builder


def check_inhibition(rules: Sequence[RuleKeys], builder: Builder) -> None:
    """Steps that make no sense, and causes that would never, or wrongly, hide."""
    by_id = {rule.id: rule for rule in reversed(rules)}  # of two with one id, the first
    for rule in rules:
        if "notify" in rule.steps and "case" not in rule.steps:
            builder.mistake(rule, "steps", say("without", first="notify", second="case"), one_of(["case"]))
        for index, cause in enumerate(rule.inhibited_by):
            _check_cause(rule, cause, f"inhibited_by[{index}]", by_id, builder)
    _check_rings(by_id, builder)


def _check_cause(
    rule: RuleKeys, cause: Cause, step: str, rules: Mapping[str, RuleKeys], builder: Builder
) -> None:
    if cause.rule == rule.id:
        builder.mistake(rule, f"{step}.rule", say("hides_itself", rule=rule.id), say("a_cause"))
    elif cause.rule in rules and _is_unusual(rules[cause.rule]) and not _is_unusual(rule):
        builder.mistake(rule, f"{step}.rule", say("unusual_hides", rule=cause.rule), say("a_limit_as_cause"))
    elif cause.rule in rules:
        _check_levels(rule, cause, step, rules[cause.rule], builder)
    elif cause.rule not in builder.ids(RuleKeys):
        found = say("unknown", what=say("what_rule"), value=cause.rule)
        names = sorted(rules)
        builder.mistake(rule, f"{step}.rule", found, one_of(names, builder.nearest(cause.rule, names)))


def _is_unusual(rule: RuleKeys) -> bool:
    return rule.expression is not None and bool(rule.expression.unusual)


def _check_levels(rule: RuleKeys, cause: Cause, step: str, other: RuleKeys, builder: Builder) -> None:
    """What gets red is never explained by what cannot."""
    words = [level.word for level in sorted(other.levels)]
    if cause.level is not None and cause.level not in other.levels:
        found = say("no_such_level", level=cause.level.word, rule=other.id)
        builder.mistake(rule, f"{step}.level", found, one_of(words))
    elif rule.levels and other.levels:
        worst, reached = max(rule.levels), max(other.levels)
        if reached < (worst if worst is Level.RED else min(rule.levels)):
            found = say("never_hides", rule=other.id, level=reached.word)
            builder.mistake(rule, f"{step}.rule", found, say("as_bad"))


def _check_rings(rules: Mapping[str, RuleKeys], builder: Builder) -> None:
    """Each ring is told once, at the first of its rules by name."""
    for start in sorted(rules):
        ring = _ring_from(start, rules)
        if len(ring) > 2 and start == min(ring):
            found = say("hide_each_other", value=" → ".join(ring))
            builder.mistake(rules[start], "inhibited_by", found, say("a_cause"))


def _ring_from(start: str, rules: Mapping[str, RuleKeys]) -> list[str]:
    """The way from a rule over its causes back to itself; empty when there is none."""
    ways, seen = [[start]], set[str]()
    while ways:
        way = ways.pop()
        for cause in rules[way[-1]].inhibited_by:
            if cause.rule == start:
                return [*way, start]
            if cause.rule in rules and cause.rule not in seen:
                seen.add(cause.rule)
                ways.append([*way, cause.rule])
    return []
