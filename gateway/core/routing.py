"""Who is told: the rung of the ladder, the post at the place on that day, the person and their address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from gateway.core.model import Level, Person, Step, World
from gateway.core.places import post_at


@dataclass(frozen=True, slots=True)
class Recipient:
    person: Person
    channels: tuple[tuple[str, str], ...]  # (channel, address)


def ladder(world: World, level: Level) -> Sequence[Step]:
    return world.ladders.get(level, ())


def recipient(world: World, place: str, step: Step, day: date) -> Recipient | None:
    """Whom a step tells for a place on a day; None when the post is empty or its person is not known."""
    post = post_at(world, place, step.role, day)
    person = world.persons.get(post.person) if post else None
    if person is None:
        return None
    return Recipient(person, tuple((channel, person.reach.get(channel, "")) for channel in step.by))
