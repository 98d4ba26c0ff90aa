"""The tree of places."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.core.model import Place, World


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
