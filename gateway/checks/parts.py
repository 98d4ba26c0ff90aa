"""What is checked, and the few questions that every check asks: is the name known, does it come once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Any

from gateway.core.model import Device, Digest, Model, Person, Place, Post, Rotation, Scenario, Step, Unit
from gateway.core.templates import Template
from gateway.grammar import (
    CalibrationKeys,
    ClockKeys,
    DayKeys,
    DeriveKeys,
    MaintenanceKeys,
    PackKeys,
    RuleKeys,
    SiteKeys,
    level_of,
)
from gateway.problems import one_of, say
from gateway.typed import Builder

Names = Collection[str] | None


@dataclass(frozen=True, slots=True)
class Text:
    """A template, with what its channel adds."""

    template: Template
    sign: str  # the channel's, where the template has none
    spoken: bool  # in a call


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the world must fit: names that lilong.yaml gives; None when it has mistakes itself."""

    timezone: str
    channels: tuple[str, ...] | None
    groups: frozenset[str]  # of them those that reach a group or a place, whoever is told
    subscribe: tuple[str, ...] | None
    loud: frozenset[str] = frozenset()  # of them those that ring
    intake: bool | None = None  # whether anything can be posted
    whole: frozenset[str] | None = None  # channels that take a text of any length
    today: date | None = None  # whose year must be in the calendar; None: the calendar is not asked
    texts: tuple[Text, ...] = ()  # that a provider sends as they were approved


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that was built from the files, broken entries left out."""

    models: Sequence[Model]
    packs: Sequence[PackKeys]
    sites: Sequence[SiteKeys]

    @property
    def rules(self) -> list[RuleKeys]:
        return [rule for pack in self.packs for rule in pack.rules]

    @property
    def derived(self) -> list[DeriveKeys]:
        return [keys for pack in self.packs for keys in pack.derive]

    @property
    def scenarios(self) -> list[Scenario]:
        return [scenario for pack in self.packs for scenario in pack.scenarios]

    @property
    def places(self) -> list[Place]:
        return [place for site in self.sites for place in site.places]

    @property
    def units(self) -> list[Unit]:
        return [unit for site in self.sites for unit in site.units]

    @property
    def persons(self) -> list[Person]:
        return [person for site in self.sites for person in site.persons]

    @property
    def posts(self) -> list[Post]:
        return [post for site in self.sites for post in site.posts]

    @property
    def devices(self) -> list[Device]:
        return [device for site in self.sites for device in site.devices]

    @property
    def calibrations(self) -> list[CalibrationKeys]:
        return [entry for site in self.sites for entry in site.calibrations]

    @property
    def calendar(self) -> list[DayKeys]:
        return [entry for site in self.sites for entry in site.calendar]

    @property
    def maintenance(self) -> list[MaintenanceKeys]:
        return [entry for site in self.sites for entry in site.maintenance]

    @property
    def clocks(self) -> list[ClockKeys]:
        return [entry for site in self.sites for entry in site.clocks]

    @property
    def digests(self) -> list[Digest]:
        return [entry for site in self.sites for entry in site.digests]

    @property
    def timed(self) -> list[RuleKeys | MaintenanceKeys | ClockKeys | Post]:
        """What may count at some hours only."""
        return [*self.rules, *self.maintenance, *self.clocks, *self.posts]

    @property
    def rotations(self) -> list[Rotation]:
        return [one for site in self.sites for one in site.rotations]

    @property
    def ladders(self) -> list[tuple[str, tuple[Step, ...], SiteKeys]]:
        """By `red`, or `cabinet.red`."""
        return [(key, steps, site) for site in self.sites for key, steps in site.ladders.items()]

    def merged(self, name: str) -> dict[str, Any]:
        """One of the settings that are mappings, of all the files."""
        return {key: value for site in self.sites for key, value in getattr(site, name).items()}

    @property
    def duty(self) -> dict[str, Any]:
        """Who is told, as the fields of a World."""
        ladders = self.merged("ladders")
        return {
            "rotations": {one.id: one for one in self.rotations},
            "ladders": {level_of(key)[1]: steps for key, steps in ladders.items() if "." not in key},
            "scene_ladders": {key: steps for key, steps in ladders.items() if "." in key},
            **{name: self.merged(name) for name in ("quiet", "acknowledge_by", "fallback")},
            "shelve_most_s": self.merged("shelve_most"),
            "supervisor": next((site.supervisor for site in self.sites if site.supervisor), None),
        }


def passes(builder: Builder, check: Callable[..., None], *args: Any) -> bool:
    """Run a check; whether it found nothing."""
    before = len(builder.problems)
    check(*args, builder)
    return len(builder.problems) == before


def check_known(builder: Builder, value: Any, step: str, what: str, name: str, known: Names) -> bool:
    """Report a name that nothing has, with the one that was probably meant. None: it cannot be told."""
    if known is None or name in known:
        return True
    found = say("unknown", what=say(f"what_{what}"), value=name)
    names = sorted(known)
    builder.mistake(value, step, found, one_of(names, builder.nearest(name, names)))
    return False


def check_unique(
    builder: Builder, what: str, values: Sequence[Any], step: str, name: Callable[[Any], Any]
) -> None:
    first: dict[Any, Any] = {}
    for value in values:
        before = first.setdefault(name(value), value)
        if before is not value:
            found = say("twice", what=say(f"what_{what}"), value=name(value), where=line_of(before))
            builder.mistake(value, step, found, say("unique", what=say(f"what_{what}")))


def line_of(value: Any) -> str:
    """File and line of a built value, short enough never to be cut."""
    return f"{PurePath(value.origin.file).name}:{value.origin.line}"


def upward(place: str, parents: Mapping[str, str]) -> Iterator[str]:
    """A place and those above it; on a cycle it ends with the place that comes again."""
    seen: set[str] = set()
    while place and place in parents:
        yield place
        if place in seen:
            return
        seen.add(place)
        place = parents[place]
