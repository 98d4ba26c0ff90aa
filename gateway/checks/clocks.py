"""The clocks of cases: one entry for a level and scene, and hours that some place has."""

from __future__ import annotations

from datetime import date

from gateway.checks.hours import named_windows
from gateway.checks.parts import Parts, check_known, check_unique, line_of
from gateway.core.clocks import needs_person
from gateway.core.duty import candidates
from gateway.core.model import Device, Level, Model, Post, World
from gateway.core.routing import ladder, scene_of
from gateway.grammar import RuleKeys
from gateway.problems import say
from gateway.typed import Builder

SAID_ONCE = ("review_at", "join_within", "keep_snapshots")  # in one file of a site, for all of it


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
    for key in SAID_ONCE:
        saying = [site for site in parts.sites if getattr(site, key) is not None]
        for site in saying[1:]:
            value = getattr(site, key)
            shown = f"{value:g}s" if isinstance(value, float) else str(value)
            found = say("twice", what=key, value=shown, where=line_of(saying[0]))
            builder.mistake(site, key, found, say("unique", what=key))


def lint_clocks(parts: Parts, world: World, today: date | None, builder: Builder) -> None:
    """Warn of a post whose holder is alone on a ladder and would have to verify his own work: he may not."""
    warned: set[Post] = set()
    for device in parts.devices:
        for level in Level:
            who = _who(world, device, level, today)
            if len(who) == 1 and _needs_person(world, device, level):
                ((person, post),) = who.items()
                if post not in warned:
                    warned.add(post)
                    found = say("one_alone", role=post.role, place=post.at, person=person, level=level.word)
                    builder.mistake(post, "", found, say("a_verifier", level=level.word))


def _who(world: World, device: Device, level: Level, today: date | None) -> dict[str, Post]:
    steps = ladder(world, level, scene_of(world, device.id))
    return candidates(world, device.at, [role for step in steps for role in step.roles], today)


def _needs_person(world: World, device: Device, level: Level) -> bool:
    scene = scene_of(world, device.id)
    rules = [rule for rule in world.rules if rule.scene == scene and rule.tells]
    with_level = [rule for rule in rules if any(limit.level is level for limit in rule.limits)]
    return any(needs_person(world, rule, level) for rule in with_level)
