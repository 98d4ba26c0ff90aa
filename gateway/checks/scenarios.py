"""Scenarios: series and expectations that fit their rule."""

from __future__ import annotations

from gateway.checks.parts import Parts, check_known
from gateway.core.model import Scenario
from gateway.grammar import RuleKeys
from gateway.problems import say
from gateway.typed import Builder


def check_scenarios(parts: Parts, builder: Builder) -> None:
    rules = {rule.id: rule for rule in reversed(parts.rules)}  # of two with one id, the first
    names = builder.ids(RuleKeys)
    for scenario in parts.scenarios:
        if check_known(builder, scenario, "rule", "rule", scenario.rule, names) and scenario.rule in rules:
            _check_series(scenario, rules[scenario.rule], builder)
        _check_expectations(scenario, builder)


def _check_series(scenario: Scenario, rule: RuleKeys, builder: Builder) -> None:
    if not scenario.series:
        builder.mistake(scenario, "", say("none_of"), say("series"))
    elif rule.when and rule.when not in scenario.series:
        builder.mistake(scenario, "", say("without", first="rule", second=rule.when), say("series"))
    if len({len(steps) for steps in scenario.series.values()}) > 1:
        builder.mistake(scenario, "", say("lengths"), say("same_length"))
    if rule.outside and rule.outside not in scenario.windows:
        found = say("without", first="outside", second=f"windows.{rule.outside}")
        builder.mistake(scenario, "windows", found, say("window_for", rule=rule.id))


def _check_expectations(scenario: Scenario, builder: Builder) -> None:
    steps = max((len(series) for series in scenario.series.values()), default=0)
    end = steps * scenario.every_s
    instants = [at for _, at in scenario.expect]
    if instants != sorted(instants):
        builder.mistake(scenario, "expect", say("out_of_order"), say("ascending"))
    for index, at in enumerate(instants):
        if steps and at > end:
            found = say("too_late", value=f"{at:g}s", end=f"{end:g}s")
            builder.mistake(scenario, f"expect[{index}]", found, say("within_series"))
