"""What goes wrong, when, and what must follow: scripts/*.yaml to Incident values, and the truth they leave.

A script is knowledge, so it is data: README.md is its manual. A mistake raises ScriptError with its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from gateway.core.model import LEVEL_OF, SECOND, Level
from simulators.encoding import Said
from simulators.lives import Episode, midnight_before, since_midnight_ns
from simulators.reading import convert, read_yaml

SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ROUNDED_NS = SECOND  # a device writes its instant in milliseconds, perhaps in seconds
AFTERMATH_S = 1800.0  # an alert may stay open this long after its incident is over (clear holds)


class ScriptError(ValueError):
    """An entry of a script that cannot be played; names the entry and what was expected."""


class Shape(StrEnum):
    """How a course gets from point to point."""

    POINTS = "points"  # straight lines between absolute values
    STEPS = "steps"  # each value holds until the next
    ADDS = "adds"  # straight lines, added to ordinary life


class Fault(StrEnum):
    """What is wrong with the device itself."""

    NONE = ""
    FROZEN = "frozen"  # goes on sending its last values
    SILENT = "silent"
    CLOCK = "clock"  # its clock is off by `shift`


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One quantity's way through the incident; from the last point on, ordinary life goes on."""

    component: str
    quantity: str
    shape: Shape
    points: tuple[tuple[int, float], ...]  # (nanoseconds after the beginning, value)

    def bend(self, since_ns: int, said: Said) -> None:
        """Let `said` tell what this course makes true `since_ns` after the beginning."""
        value = self._value(since_ns)
        if value is not None:
            own = said.setdefault(self.component, {})
            own[self.quantity] = value + (own.get(self.quantity, 0.0) if self.shape is Shape.ADDS else 0.0)

    def _value(self, since_ns: int) -> float | None:
        for (left_ns, left), (right_ns, right) in zip(self.points, self.points[1:], strict=False):
            if left_ns <= since_ns < right_ns:
                if self.shape is Shape.STEPS:
                    return left
                return left + (right - left) * (since_ns - left_ns) / (right_ns - left_ns)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """One alert that has to follow: this rule, on this component, reaching this level in this span."""

    rule: str
    component: str
    level: Level
    earliest_ns: int  # after the beginning
    latest_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that happens to one device."""

    name: str
    says: str
    device: str
    span: Episode
    courses: tuple[Course, ...] = ()
    fault: Fault = Fault.NONE
    shift_ns: int = 0
    every_s: float = 0.0  # the device repeats itself this often meanwhile
    must: tuple[Must, ...] = ()
    until_ns: int = 0  # what `must` names may stay open until then

    def instants(self) -> Iterator[int]:
        """When the device speaks because of it, beyond its ordinary beat."""
        if self.fault is Fault.NONE:
            for course in self.courses:
                yield from (self.span.begins_ns + since for since, _ in course.points)
            if self.every_s:
                yield from self.span.instants(self.every_s)

    def bend(self, ns: int, said: Said) -> None:
        for course in self.courses:
            course.bend(ns - self.span.begins_ns, said)

    def truths(self) -> list[Truth]:
        """One line for each alert that must follow; one with an empty rule when none may."""
        begins = self.span.begins_ns
        nothing = Truth(
            incident=self.name, says=self.says, device=self.device, begins_ns=begins, until_ns=self.until_ns
        )
        return [
            replace(
                nothing,
                component=must.component,
                rule=must.rule,
                level=must.level.word,
                earliest_ns=begins + must.earliest_ns - ROUNDED_NS,
                latest_ns=begins + must.latest_ns,
            )
            for must in self.must
        ] or [nothing]


class Truth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the truth file. An empty `rule` says: nothing may fire because of this."""

    incident: str
    says: str
    device: str
    begins_ns: int
    until_ns: int
    component: str = ""
    rule: str = ""
    level: str = ""
    earliest_ns: int = 0
    latest_ns: int = 0


class Remembered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A retained message the broker still holds from before the start."""

    device: str
    said: dict[str, float]
    before: str  # how long before the start it was said


@dataclass(frozen=True, slots=True)
class Script:
    incidents: tuple[Incident, ...]
    remembered: tuple[Remembered, ...] = ()


# ---------------------------------------------------------------- reading a script


class _Course(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    quantity: str
    component: str = ""
    points: str = ""
    steps: str = ""
    adds: str = ""


class _Must(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: str
    level: Literal["yellow", "orange", "red"]
    within: str
    component: str = ""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    says: str
    device: str
    at: str = ""
    after: str = ""
    lasts: str = ""
    courses: list[_Course] = []
    fault: Fault = Fault.NONE
    shift: str = "0s"
    every: str = "0s"
    must: list[_Must] = []


class _Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    incidents: list[dict[str, Any]]
    remembered: list[Remembered] = []


def load_script(path: Path, start_ns: int, zone: tzinfo) -> Script:
    """The incidents of a script, laid on a run that begins at `start_ns`."""
    try:
        script = convert(read_yaml(path), _Script)
    except msgspec.ValidationError as error:
        raise ScriptError(f"{path}: {error}") from None
    incidents = tuple(_incident(entry, start_ns, zone, path) for entry in script.incidents)
    return Script(tuple(sorted(incidents, key=lambda one: one.span.begins_ns)), tuple(script.remembered))


def _incident(raw: Mapping[str, Any], start_ns: int, zone: tzinfo, path: Path) -> Incident:
    try:
        entry = convert(raw, _Entry)
        begins = _begin_ns(entry, start_ns, zone)
        courses = tuple(_course(course) for course in entry.courses)
        lasts = span_ns(entry.lasts) if entry.lasts else max(course.points[-1][0] for course in courses)
        must = tuple(_must(one) for one in entry.must)
    except (msgspec.ValidationError, ValueError) as error:
        raise ScriptError(f"{path}: {raw.get('name', raw)}: {error}") from None
    latest = max([lasts, *(one.latest_ns for one in must)])
    return Incident(
        name=entry.name,
        says=entry.says,
        device=entry.device,
        span=Episode(begins, begins + lasts),
        courses=courses,
        fault=entry.fault,
        shift_ns=span_ns(entry.shift),
        every_s=span_ns(entry.every) / SECOND,
        must=must,
        until_ns=begins + latest + int(AFTERMATH_S * SECOND),
    )


def _begin_ns(entry: _Entry, start_ns: int, zone: tzinfo) -> int:
    if bool(entry.at) == bool(entry.after):
        raise ValueError('expected either at: "HH:MM" (first day) or after: SPAN')
    if entry.after:
        return start_ns + span_ns(entry.after)
    return midnight_before(start_ns, zone) + since_midnight_ns(entry.at)


def _course(course: _Course) -> Course:
    given = [(shape, text) for shape in Shape if (text := getattr(course, shape.value))]
    if len(given) != 1:
        raise ValueError(f"{course.quantity}: expected exactly one of points, steps, adds")
    shape, text = given[0]
    return Course(
        component=course.component, quantity=course.quantity, shape=shape, points=tuple(_points(text))
    )


def _points(text: str) -> Iterable[tuple[int, float]]:
    """`0s 34, 2m 58` -> spans after the beginning with values."""
    last = -1
    for point in text.split(","):
        span, _, value = point.strip().partition(" ")
        if span_ns(span) <= last:
            raise ValueError(f"{point.strip()}: expected a later span than the one before")
        last = span_ns(span)
        yield last, float(value)


def _must(must: _Must) -> Must:
    earliest, _, latest = must.within.partition("..")
    return Must(
        rule=must.rule,
        component=must.component,
        level=LEVEL_OF[must.level],
        earliest_ns=span_ns(earliest),
        latest_ns=span_ns(latest),
    )


def span_ns(text: str) -> int:
    """`90s`, `6m`, `8h`, `1d12h` as nanoseconds."""
    parts = SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"found {text!r}, expected a span such as 90s, 6m or 8h")
    return sum(round(float(number) * SECONDS[unit] * SECOND) for number, unit in parts)
