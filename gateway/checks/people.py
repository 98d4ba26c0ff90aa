"""Persons, posts and ladders: whoever must be told holds a post and has an address."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gateway.checks.parts import Names, Parts, check_known, line_of, passes, upward
from gateway.core.model import Level, Person, Place, Post, Step, Unit
from gateway.grammar import SiteKeys
from gateway.problems import listing, say
from gateway.typed import Builder


def check_people(parts: Parts, channels: Names, builder: Builder) -> None:
    units, persons, places = builder.ids(Unit), builder.ids(Person), builder.ids(Place)
    for person in parts.persons:
        check_known(builder, person, "unit", "unit", person.unit, units)
        for channel in person.reach:
            check_known(builder, person, f"reach.{channel}", "channel", channel, channels)
    for post in parts.posts:
        check_known(builder, post, "at", "place", post.at, places)
        check_known(builder, post, "unit", "unit", post.unit, units)
        check_known(builder, post, "person", "person", post.person, persons)
        if post.until and post.until <= post.since:
            builder.mistake(post, "to", say("ends_first"), say("after_since"))
    _check_one_person(parts.posts, builder)


def _check_one_person(posts: Sequence[Post], builder: Builder) -> None:
    """One named person is told: two in one post would each think it the other's."""
    ordered = sorted(posts, key=lambda post: (post.role, post.at, post.since))
    for before, post in pairwise(ordered):
        same = (before.role, before.at) == (post.role, post.at)
        if same and (before.until is None or post.since < before.until):
            builder.mistake(post, "from", say("overlap", where=line_of(before)), say("one_person"))


def check_ladders(parts: Parts, channels: Names, builder: Builder) -> None:
    seen: dict[Level, SiteKeys] = {}
    for level, steps, site in parts.ladders:
        step = f"ladders.{level.word}"
        if level in seen:
            found = say("twice", what=say("what_ladder"), value=level.word, where=line_of(seen[level]))
            builder.mistake(site, step, found, say("unique", what=say("what_ladder")))
        seen.setdefault(level, site)
        if not steps:
            builder.mistake(site, step, say("none_of"), say("at_least_one"))
        if [rung.after_s for rung in steps] != sorted(rung.after_s for rung in steps):
            builder.mistake(site, step, say("out_of_order"), say("ascending"))
        for rung in steps:
            if passes(builder, _check_rung, rung, parts, channels):
                _check_reach(rung, level, parts, channels, builder)


def _check_rung(rung: Step, parts: Parts, channels: Names, builder: Builder) -> None:
    if not rung.by:
        builder.mistake(rung, "by", say("none_of"), say("at_least_one"))
    for index, channel in enumerate(rung.by):
        check_known(builder, rung, f"by[{index}]", "channel", channel, channels)
    if builder.complete(Post) and all(post.role != rung.role for post in parts.posts):
        builder.mistake(rung, "role", say("no_post", value=rung.role), say("a_post"))


def _check_reach(rung: Step, level: Level, parts: Parts, channels: Names, builder: Builder) -> None:
    """Whoever a rung tells needs an address on one of its channels (a misspelt one was reported already)."""
    holders = {post.person for post in parts.posts if post.role == rung.role}
    for person in parts.persons:
        spelt = channels is None or person.reach.keys() <= set(channels)
        if person.id in holders and spelt and not set(rung.by) & person.reach.keys():
            found = say("unreachable", person=person.id, channels=listing(rung.by))
            builder.mistake(person, "reach", found, say("reach_for", level=level.word))


def check_ladders_complete(parts: Parts, builder: Builder) -> None:
    missing = set(Level) - {level for level, _, _ in parts.ladders}
    for level in sorted(missing) if parts.devices else ():
        site = next((site for site in parts.sites if site.ladders), parts.sites[0])
        builder.mistake(site, "ladders", say("no_ladder", level=level.word), say("a_ladder"))


def check_answered(parts: Parts, builder: Builder) -> None:
    """Some post of each ladder must lie on the way up from every device, or nobody is ever told."""
    parents = {place.id: place.within for place in parts.places}
    posts = {(post.role, post.at) for post in parts.posts}
    for device in parts.devices:
        around = list(upward(device.at, parents))
        for level, steps, _ in parts.ladders if around else ():
            if not any((step.role, place) in posts for step in steps for place in around):
                found = say("nobody", level=level.word, place=device.at)
                builder.mistake(device, "at", found, say("somebody"))
