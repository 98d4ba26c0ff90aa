"""The tree of places, and who holds a post there on a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from gateway.core.model import Place, Post, World


def ancestors(world: World, place: str) -> Iterator[Place]:
    """The place itself, then each one around it, up to the root."""
    found = world.places.get(place)
    while found is not None:
        yield found
        found = world.places.get(found.within)


def whereabouts(world: World, place: str) -> str:
    """The place, then the way to it from the street down: "充电区（枫林路街道 · 宛南居委 · 向阳小区）".

    Whoever is told knows the city and the district.
    """
    here, *around = [p.says for p in ancestors(world, place) if p.kind not in ("city", "district")] or [place]
    return f"{here}（{' · '.join(reversed(around))}）" if around else here


def windows_of(world: World, place: str, name: str) -> tuple[str, ...] | None:
    """The nearest place upward that sets this window; None when none does."""
    return next((p.windows[name] for p in ancestors(world, place) if name in p.windows), None)


def post_at(world: World, place: str, role: str, day: date) -> Post | None:
    """Who holds a role for a place on a day: the nearest post upward; None is a gap that must be reported."""
    for around in ancestors(world, place):
        for post in world.posts:
            if post.role == role and post.at == around.id and holds(post, day):
                return post
    return None


def holds(post: Post, day: date) -> bool:
    return post.since <= day and (post.until is None or day < post.until)
