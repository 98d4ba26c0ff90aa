"""Mistakes that no single entry shows: names nobody has, rules nothing can fire, posts nobody holds."""

from __future__ import annotations

from gateway.checks.calibrations import check_calibrations
from gateway.checks.clocks import check_clocks, lint_clocks
from gateway.checks.derived import check_derived
from gateway.checks.devices import check_devices
from gateway.checks.digests import check_digests
from gateway.checks.hours import check_hours, check_years
from gateway.checks.inhibition import check_inhibition
from gateway.checks.lint import lint
from gateway.checks.models import check_models
from gateway.checks.parts import Names, Parts, Surroundings, passes
from gateway.checks.people import (
    check_answered,
    check_ladders,
    check_ladders_complete,
    check_people,
    lint_people,
)
from gateway.checks.places import check_places
from gateway.checks.rules import (
    check_confidence,
    check_double_control,
    check_expression,
    check_levels,
    check_subject,
)
from gateway.checks.scenarios import check_scenarios
from gateway.checks.texts import lint_texts
from gateway.checks.tune import check_tune, tunings
from gateway.checks.unique import check_uniqueness
from gateway.core.model import Model, Person, Place, Post, Step
from gateway.grammar import SiteKeys
from gateway.typed import Builder

__all__ = ["Parts", "Surroundings", "check", "lint", "lint_clocks", "lint_people", "lint_texts", "tunings"]


def check(parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    """Report every such mistake to the builder."""
    models_sound = builder.complete(Model) and passes(builder, check_models, parts.models)
    for keys in parts.derived if models_sound else ():
        check_derived(keys, parts.models, builder)
    for rule in parts.rules:
        check_levels(rule, builder)
        check_expression(rule, builder)
        check_double_control(rule, builder)
        check_confidence(rule, builder)
        if models_sound:  # else "no model measures it" may only mean that the model is the broken one
            check_subject(rule, parts, builder)
    check_inhibition(parts.rules, builder)
    check_scenarios(parts, builder)
    check_uniqueness(parts, builder)
    check_devices(parts, surroundings, builder)
    check_calibrations(parts, builder)
    check_hours(parts, builder)
    check_clocks(parts, builder)
    check_years(parts, surroundings.today, builder)
    check_digests(parts, surroundings, builder)
    site_sound = passes(builder, _check_site, parts, surroundings.channels)
    if site_sound and builder.complete(Place, Person, Post, Step, SiteKeys):
        check_ladders_complete(parts, builder)
        check_answered(parts, builder)
    check_tune(parts, builder)


def _check_site(parts: Parts, channels: Names, builder: Builder) -> None:
    check_places(parts.places, builder)
    check_people(parts, channels, builder)
    check_ladders(parts, channels, builder)
