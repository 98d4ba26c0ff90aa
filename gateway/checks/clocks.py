"""The clocks of cases: one entry for a level and scene, and hours that some place has."""

from __future__ import annotations

from gateway.checks.hours import named_windows
from gateway.checks.parts import Parts, check_known, check_unique, line_of
from gateway.core.model import Model
from gateway.grammar import RuleKeys
from gateway.problems import say
from gateway.typed import Builder


def check_clocks(parts: Parts, builder: Builder) -> None:
    check_unique(builder, "clock", parts.clocks, "level", lambda one: f"{one.level.word} {one.scene}".strip())
    scenes = {model.scene for model in parts.models} | {rule.on.scene for rule in parts.rules}
    windows = {name for place in parts.places for name in place.windows}
    sound = builder.complete(Model, RuleKeys)
    for clock in parts.clocks:
        if clock.scene and sound:
            check_known(builder, clock, "scene", "scene", clock.scene, scenes)
        for key, name in named_windows(clock.during):
            check_known(builder, clock, f"during.{key}", "window", name, windows)
    reviewing = [site for site in parts.sites if site.review_at is not None]
    for site in reviewing[1:]:
        found = say("twice", what="review_at", value=str(site.review_at), where=line_of(reviewing[0]))
        builder.mistake(site, "review_at", found, say("unique", what="review_at"))
    joining = [site for site in parts.sites if site.join_within is not None]
    for site in joining[1:]:
        found = say("twice", what="join_within", value=f"{site.join_within:g}s", where=line_of(joining[0]))
        builder.mistake(site, "join_within", found, say("unique", what="join_within"))
