"""Who answers for a role at a place at an instant, and why: posts, turns, leave, and what falls back upward.

Everything here is arithmetic on the instant it is asked for: the same question has the same answer live, in a
replay, and fourteen days before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from gateway.core.calendars import DAY_MIN, hours_of, local, local_date
from gateway.core.model import Person, Post, Unit, World
from gateway.core.places import ancestors
from gateway.core.rotas import changes, on_duty, wall_of

DELEGATES_MOST = 5  # who stands in for whom, one after the other


class Way(StrEnum):
    """How a person comes to answer for a role."""

    POST = "post"  # holds it
    TURN = "turn"  # it is their turn in the rotation that holds it
    OVERRIDE = "override"  # it would have been another's turn
    HEAD = "head"  # answers for the unit whose post is empty


class Lack(StrEnum):
    """Why nobody does."""

    VACANT = "vacant"  # no post, or it has ended and nobody follows
    NOT_BEGUN = "not_begun"  # its rotation has no first turn yet
    UNKNOWN = "unknown"  # held by a person who is none of the site
    LEAVE = "leave"  # away, and nobody stands in
    UNREACHABLE = "unreachable"  # without an address on any of the channels


@dataclass(frozen=True, slots=True)
class Gap:
    """A post that is empty at an instant."""

    role: str
    at: str  # place
    lack: Lack
    person: str = ""  # who is not there

    @property
    def key(self) -> str:
        """Names the post, whatever keeps it empty."""
        return post_key(self.role, self.at)


def post_key(role: str, place: str) -> str:
    return f"{role}|{place}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who answers, by which post, and the empty posts that were passed on the way to it."""

    person: Person | None  # None: nobody at all
    role: str  # the one that was asked for, or one that it falls back to
    at: str = ""  # place of the post
    way: Way = Way.POST
    stands_in_for: str = ""  # whoever is on leave
    gaps: tuple[Gap, ...] = ()


def holder(world: World, place: str, role: str, wall_ns: int, by: Sequence[str] = ()) -> Holder:
    """The nearest post upward that is not empty, then the roles it falls back to, then the unit's head.

    A role that is held nowhere on the way, or not at this hour, is a gap only when nobody answers at all.
    `by`: the person must have an address on one of these channels; (): on any.
    """
    gaps: list[Gap] = []
    for asked in (role, *world.fallback.get(role, ())):
        found = _upward(world, place, asked, wall_ns, by, gaps)
        if found is not None:
            return found
    for unit in _units(world, place, role):
        person = world.persons.get(unit.head)
        if person is not None and isinstance(found_at := _present(world, person, wall_ns, by), tuple):
            at = gaps[0].at if gaps else place
            return Holder(found_at[0], role, at, Way.HEAD, found_at[1], tuple(gaps))
    return Holder(None, role, gaps=tuple(gaps) or (Gap(role, place, Lack.VACANT),))


def _upward(
    world: World, place: str, role: str, wall_ns: int, by: Sequence[str], gaps: list[Gap]
) -> Holder | None:
    """The nearest post of one role that is not empty; the empty ones are added to the gaps."""
    for around in ancestors(world, place):
        posts = posts_at(world, role, around.id)
        post = next((post for post in posts if holds(world, post, wall_ns)), None)
        if post is None:
            left = _left(posts, local_date(wall_ns, world.timezone))
            if left is not None:
                gaps.append(Gap(role, around.id, Lack.VACANT, left.person))
            continue
        found = _by_post(world, post, wall_ns, by)
        if isinstance(found, Holder):
            return Holder(found.person, role, post.at, found.way, found.stands_in_for, tuple(gaps))
        gaps.append(found)
    return None


def _by_post(world: World, post: Post, wall_ns: int, by: Sequence[str]) -> Holder | Gap:
    name, way = post.person, Way.POST
    rotation = world.rotations.get(post.rotation)
    if rotation is not None:
        name, override = on_duty(rotation, wall_ns, world.timezone)
        way = Way.OVERRIDE if override else Way.TURN
        if not name:
            return Gap(post.role, post.at, Lack.NOT_BEGUN)
    person = world.persons.get(name)
    if person is None:
        return Gap(post.role, post.at, Lack.UNKNOWN, name)
    found = _present(world, person, wall_ns, by)
    if isinstance(found, Lack):
        return Gap(post.role, post.at, found, name)
    return Holder(found[0], post.role, post.at, way, found[1])


def addresses(world: World, person: Person, by: Sequence[str]) -> list[tuple[str, str]]:
    """(channel, address) of each channel by which a person is told; "" where a group is told with them."""
    reach = dict.fromkeys(world.groups, "") | dict(person.reach)
    return [(channel, reach[channel]) for channel in by if channel in reach]


def _present(world: World, person: Person, wall_ns: int, by: Sequence[str]) -> tuple[Person, str] | Lack:
    """The person or whoever stands in, and for whom; or why neither can be told."""
    day, away = local_date(wall_ns, world.timezone), ""
    for _ in range(DELEGATES_MOST):
        leave = next((one for one in person.leave if one.since <= day < one.until), None)
        if leave is None:
            reached = bool(addresses(world, person, by) if by else person.reach)
            return (person, away) if reached else Lack.UNREACHABLE
        away = away or person.id
        delegate = world.persons.get(leave.delegate)
        if delegate is None:
            return Lack.LEAVE
        person = delegate
    return Lack.LEAVE


def _units(world: World, place: str, role: str) -> Iterator[Unit]:
    """The units whose posts of a role lie on the way up, each with those above it; each once."""
    seen: set[str] = set()
    for around in ancestors(world, place):
        for post in posts_at(world, role, around.id):
            unit = world.units.get(post.unit)
            while unit is not None and unit.id not in seen:
                seen.add(unit.id)
                yield unit
                unit = world.units.get(unit.within)


# ---------------------------------------------------------------- posts

_indexes: tuple[tuple[World, dict[tuple[str, str], list[Post]]], ...] = ()


def posts_at(world: World, role: str, place: str) -> Sequence[Post]:
    """The posts of a role at one place: those of some hours before those of the whole day, then by time."""
    global _indexes
    for known, index in _indexes:
        if known is world:
            return index.get((role, place), ())
    index = {}
    for post in sorted(world.posts, key=lambda post: (post.during is None, post.since)):
        index.setdefault((post.role, post.at), []).append(post)
    _indexes = ((world, index), *_indexes[:1])
    return index.get((role, place), ())


def _held_on(post: Post, day: date) -> bool:
    return post.since <= day and (post.until is None or day < post.until)


def holds(world: World, post: Post, wall_ns: int) -> bool:
    """Whether a post is held at an instant."""
    if not _held_on(post, local_date(wall_ns, world.timezone)):
        return False
    return post.during is None or hours_of(world, post.at, post.during).hold_at(wall_ns)


def _left(posts: Sequence[Post], day: date) -> Post | None:
    """The last post of a place that has ended without another after it; None when it is only not its hour."""
    posts = [post for post in posts if post.during is None] or posts
    if any(_held_on(post, day) for post in posts):
        return None
    ended = [post for post in posts if post.until is not None and post.until <= day]
    return max(ended, key=lambda post: post.since, default=None)


# ---------------------------------------------------------------- another holder


def departed(world: World, wall_ns: int) -> set[str]:
    """Everybody who answered by a post that has ended; some may have another."""
    day = local_date(wall_ns, world.timezone)
    ended = [post for post in world.posts if post.until is not None and post.until <= day]
    return set().union(*(_people(world, post) for post in ended))


def successor(world: World, place: str, person: str, wall_ns: int) -> Holder | None:
    """Who has followed a person whose posts on the way up from a place have all ended; None: nobody has."""
    day = local_date(wall_ns, world.timezone)
    around = {one.id for one in ancestors(world, place)}
    held = [post for post in world.posts if post.at in around and person in _people(world, post)]
    ended = [post for post in held if post.until is not None and post.until <= day]
    if not ended or any(post.since <= day for post in held if post not in ended):
        return None
    last = max(ended, key=lambda post: post.until or day)
    found = holder(world, place, last.role, wall_ns)
    return found if found.person is not None and found.person.id != person else None


def _people(world: World, post: Post) -> set[str]:
    """Everybody who may answer by a post, whoever stands in for them too."""
    names = set(_turns(world, post))
    persons = [world.persons[name] for name in names if name in world.persons]
    return names | {leave.delegate for person in persons for leave in person.leave} - {""}


def candidates(world: World, place: str, roles: Iterable[str], day: date | None) -> dict[str, Post]:
    """Everybody whose turn it may be to answer for one of these roles at a place, and by which post.

    Neither who stands in for one of them nor the head of a unit: they come only where that one is not there.
    `day`: posts that have ended by then do not count; None: all do.
    """
    asked = [one for role in roles for one in (role, *world.fallback.get(role, ()))]
    around = list(ancestors(world, place))
    posts = [post for role in asked for one in around for post in posts_at(world, role, one.id)]
    found: dict[str, Post] = {}
    for post in posts:
        if day is None or post.until is None or post.until > day:
            for name in _turns(world, post):
                found.setdefault(name, post)
    return {name: post for name, post in found.items() if name in world.persons}


def _turns(world: World, post: Post) -> list[str]:
    """Whoever holds it, or takes turns in it."""
    rotation = world.rotations.get(post.rotation)
    return (
        [post.person, *rotation.members, *(one.person for one in rotation.overrides)]
        if rotation
        else [post.person]
    )


def next_end(world: World, wall_ns: int) -> int | None:
    """The next instant at which a post ends."""
    day = local_date(wall_ns, world.timezone)
    days = [post.until for post in world.posts if post.until is not None and post.until > day]
    return _midnight(min(days), world.timezone) if days else None


# ---------------------------------------------------------------- beforehand


@dataclass(frozen=True, slots=True)
class Absence:
    """A post that will be empty for a while, and who answers meanwhile."""

    gap: Gap
    since_ns: int
    until_ns: int
    instead: str  # person; "": nobody


@dataclass(frozen=True, slots=True)
class Asked:
    """What a ladder will ask for at a place."""

    place: str
    role: str
    by: tuple[str, ...]


def absences(world: World, asked: Iterable[Asked], since_ns: int, until_ns: int) -> list[Absence]:
    """Every gap that these would find in that time, the first one first; each post once."""
    edges = instants(world, since_ns, until_ns)
    found: dict[tuple[Gap, str], list[tuple[int, int]]] = {}
    for one in dict.fromkeys(asked):
        for begins, ends in zip(edges, [*edges[1:], until_ns], strict=True):
            who = holder(world, one.place, one.role, begins, one.by)
            for gap in who.gaps:
                spans = found.setdefault((gap, who.person.id if who.person else ""), [])
                spans.append((begins, ends))
    listed = [
        Absence(gap, begins, ends, instead)
        for (gap, instead), spans in found.items()
        for begins, ends in _joined(spans)
    ]
    return sorted(listed, key=lambda one: (one.since_ns, one.gap.at, one.gap.role, one.gap.person))


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of which one begins where the other ends are one."""
    joined: list[tuple[int, int]] = []
    for begins, ends in sorted(set(spans)):
        if joined and begins <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(ends, joined[-1][1])
        else:
            joined.append((begins, ends))
    return joined


def instants(world: World, since_ns: int, until_ns: int) -> list[int]:
    """The first one, and every one before the last at which somebody else may answer; ascending."""
    zone = world.timezone
    days = [day for post in world.posts for day in (post.since, post.until) if day is not None]
    days += [day for one in world.persons.values() for away in one.leave for day in (away.since, away.until)]
    found = {_midnight(day, zone) for day in days}
    for rotation in world.rotations.values():
        found |= set(changes(rotation, since_ns, until_ns, zone))
    found |= _hours(world, since_ns, until_ns)
    return [since_ns, *sorted(ns for ns in found if since_ns < ns < until_ns)]


def _hours(world: World, since_ns: int, until_ns: int) -> set[int]:
    """Where the hours of posts begin and end, on every day in between."""
    hours = [hours_of(world, post.at, post.during) for post in world.posts if post.during]
    spans = {minute for one in hours for span in (*one.spans, *one.barred) for minute in span}
    minutes = sorted({minute % DAY_MIN for minute in spans} | ({0} if hours else set()))
    first = local(since_ns, world.timezone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    count = int((until_ns - since_ns) / 86_400e9) + 2 if minutes else 0
    days = [first + timedelta(days=number) for number in range(count)]
    return {wall_of(day + timedelta(minutes=minute), world.timezone) for day in days for minute in minutes}


def _midnight(day: date, timezone: str) -> int:
    return wall_of(datetime(day.year, day.month, day.day), timezone)
