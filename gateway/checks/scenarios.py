"""Scenarios: series and expectations that fit their rule."""

from __future__ import annotations

from gateway.checks.hours import named_windows
from gateway.checks.parts import Parts, check_known
from gateway.core.model import Scenario
from gateway.core.units import QUANTITIES
from gateway.grammar import RuleKeys
from gateway.problems import say
from gateway.series import parse_subject
from gateway.typed import Builder


def check_scenarios(parts: Parts, builder: Builder) -> None:
    rules = {rule.id: rule for rule in reversed(parts.rules)}  # of two with one id, the first
    names = builder.ids(RuleKeys)
    for scenario in parts.scenarios:
        if bool(scenario.rule) == bool(scenario.rules):
            found = say("two_rules") if scenario.rule else say("missing")
            builder.mistake(scenario, "", found, say("one_rule"))
            continue
        for index, name in enumerate(scenario.tested):
            step = f"rules[{index}]" if scenario.rules else "rule"
            if check_known(builder, scenario, step, "rule", name, names) and name in rules:
                _check_series(scenario, rules[name], builder)
        _check_actors(scenario, builder)
        _check_expectations(scenario, builder)


def _check_series(scenario: Scenario, rule: RuleKeys, builder: Builder) -> None:
    quantities = {parse_subject(key)[2] for key in scenario.series}
    if not quantities:
        builder.mistake(scenario, "", say("none_of"), say("series"))
    elif rule.when in QUANTITIES and rule.when not in quantities:
        builder.mistake(scenario, "", say("without", first="rule", second=rule.when), say("series"))
    if len({len(steps) for steps in scenario.series.values()}) > 1:
        builder.mistake(scenario, "", say("lengths"), say("same_length"))
    for key, name in named_windows(rule.during):
        if name not in scenario.windows:
            found = say("without", first=f"during.{key}", second=f"windows.{name}")
            builder.mistake(scenario, "windows", found, say("window_for", rule=rule.id))


def _check_actors(scenario: Scenario, builder: Builder) -> None:
    """A device that an entry describes must say something."""
    speaking = {parse_subject(key)[0] for key in scenario.series}
    for name in scenario.devices:
        if name not in speaking:
            builder.mistake(scenario, f"devices.{name}", say("actor_unseen", value=name), say("with_series"))


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
