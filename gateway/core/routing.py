"""Who is told: the rung of the ladder, the posts at the place at an instant, the persons, their addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.core.calendars import DAY_MIN, MINUTE_NS, begun, hours_of, local
from gateway.core.duty import Asked, Gap, Holder, addresses, holder
from gateway.core.model import SECOND, Device, During, Level, Person, Step, World

T = TypeVar("T")
# Of a street that says nothing else: the project's own.
SHELVED_S_MOST = {Level.YELLOW: 7 * 86400.0, Level.ORANGE: 86400.0, Level.RED: 4 * 3600.0}


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person of a rung."""

    person: Person
    channels: tuple[tuple[str, str], ...]  # (channel, address)
    holder: Holder
    copy: bool = False  # informed only


@dataclass(frozen=True, slots=True)
class Told:
    """Whom a rung tells, those who are responsible first; the empty posts that it found."""

    recipients: tuple[Recipient, ...]
    gaps: tuple[Gap, ...]

    @property
    def responsible(self) -> list[Recipient]:
        return [one for one in self.recipients if not one.copy]


def scene_of(world: World, device: str) -> str:
    """The scene of a device; "" of one that is gone."""
    found = world.devices.get(device)
    model = world.models.get(found.model) if found else None
    return model.scene if model else ""


def ladder(world: World, level: Level, scene: str = "") -> Sequence[Step]:
    """The scene's own, else that of the level."""
    return world.scene_ladders.get(f"{scene}.{level.word}") or world.ladders.get(level, ())


def recipients(world: World, place: str, step: Step, wall_ns: int) -> Told:
    """Whom a step tells for a place at an instant: nobody twice. An empty post of a copy is no gap."""
    told: dict[str, Recipient] = {}
    gaps: dict[Gap, None] = {}
    for role in (*step.roles, *step.copy):
        copy = role not in step.roles
        found = holder(world, place, role, wall_ns, step.by)
        if found.person is not None and found.person.id not in told:
            person = found.person
            channels = tuple(addresses(world, person, step.by))
            told[person.id] = Recipient(person, channels, found, copy)
        gaps |= {} if copy else dict.fromkeys(found.gaps)
    return Told(tuple(told.values()), tuple(gaps))


# ---------------------------------------------------------------- settings by level, or by scene and level


def _setting(settings: Mapping[str, T], scene: str, level: Level, usual: T) -> T:
    return settings.get(f"{scene}.{level.word}", settings.get(level.word, usual))


def acknowledgers(world: World, scene: str, level: Level) -> int:
    """How many persons must say "mine" before nobody else is told."""
    return _setting(world.acknowledge_by, scene, level, 1)


def shelved_s_most(world: World, scene: str, level: Level) -> float:
    """For how long an alarm may be shelved at most."""
    return _setting(world.shelve_most_s, scene, level, SHELVED_S_MOST[level])


def quiet_ns(world: World, place: str, scene: str, level: Level, wall_ns: int) -> int:
    """For how long a message must wait until the quiet hours of the place are over; red waits for nothing."""
    name = _setting(world.quiet, scene, level, "")
    if not name or level is Level.RED:
        return 0
    hours, end_ns = hours_of(world, place, During(inside=name)), wall_ns
    for _ in hours.spans:  # one may begin where another ends
        at = local(end_ns, world.timezone)
        minute = at.hour * 60 + at.minute
        span = next((span for span in hours.spans if begun(span, minute) is not None), None)
        if span is None:
            break
        end_ns += ((span[1] - minute) % DAY_MIN or DAY_MIN) * MINUTE_NS
        end_ns -= end_ns % MINUTE_NS
    return max(end_ns - wall_ns, 0)


def calm_ns(world: World, place: str, scene: str, level: Level, wall_ns: int) -> int:
    """The same for what is no alarm: of any level it keeps the quiet hours of those below too."""
    return max(quiet_ns(world, place, scene, one, wall_ns) for one in Level if one <= level)


def quietly(world: World, person: Person, channels: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Those that do not ring; else the person's others that do not; else there is no other way."""
    quiet = [one for one in channels if one[0] not in world.loud]
    others = addresses(world, person, [name for name in person.reach if name not in world.loud])
    return quiet or others or channels


# ---------------------------------------------------------------- beforehand


@dataclass(frozen=True, slots=True)
class Rung:
    """What a ladder would do at an instant."""

    after_s: float  # since the level began, or since the quiet hours were over
    wall_ns: int
    step: Step
    told: Told


def plan(world: World, device: Device, level: Level, wall_ns: int) -> tuple[int, list[Rung]]:
    """For how long quiet hours hold the telling back, and every rung in its order, as nobody answers.

    A rung that falls into quiet hours waits for their end too.
    """
    scene, rungs = scene_of(world, device.id), []
    waits_ns = quiet_ns(world, device.at, scene, level, wall_ns)
    begins_ns = wall_ns + waits_ns
    for step in ladder(world, level, scene):
        at_ns = begins_ns + int(step.after_s * SECOND)
        late_ns = quiet_ns(world, device.at, scene, level, at_ns)
        begins_ns += late_ns
        told = recipients(world, device.at, step, at_ns + late_ns)
        rungs.append(Rung((at_ns + late_ns - wall_ns - waits_ns) / SECOND, at_ns + late_ns, step, told))
    return waits_ns, rungs


def asked(world: World) -> list[Asked]:
    """What the ladders of all levels ask for wherever a device stands."""
    places = {device.at: set[str]() for device in world.devices.values()}
    for device in world.devices.values():
        places[device.at].add(scene_of(world, device.id))
    steps = [
        (place, step)
        for place, scenes in sorted(places.items())
        for scene in sorted(scenes)
        for level in Level
        for step in ladder(world, level, scene)
    ]
    found = [Asked(place, role, step.by) for place, step in steps for role in step.roles]
    return list(dict.fromkeys(found))
