"""Names and topics that two entries claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from gateway.checks.parts import Parts, check_unique, line_of
from gateway.core import cameras
from gateway.core.model import Device
from gateway.core.presence import status_topic
from gateway.problems import say
from gateway.typed import Builder

OVERLAPS_MOST = 1_000  # told at once; two careless + in a table make millions


def check_uniqueness(parts: Parts, builder: Builder) -> None:
    for what, values in (
        ("rule", parts.rules),
        ("place", parts.places),
        ("unit", parts.units),
        ("person", parts.persons),
        ("device", parts.devices),
    ):
        check_unique(builder, what, values, "id", lambda value: value.id)
    check_unique(builder, "quantity", parts.derived, "quantity", lambda one: f"{one.on.scene} {one.quantity}")
    check_unique(builder, "topic", parts.devices, "topic", lambda device: device.topic)
    check_unique(builder, "scenario", parts.scenarios, "name", lambda one: one.title)
    _check_overlapping_topics(parts, builder)


def _check_overlapping_topics(parts: Parts, builder: Builder) -> None:
    """A + in one device's topic must not take in another device's, nor a status be what another one says."""
    statuses = list(_statuses(parts))
    written = {id(status): device for device, status in statuses}
    spoken = [*parts.devices, *(status for _, status in statuses)]
    pairs = chain(_same(parts.devices, statuses), overlapping(spoken))
    for wide, other in islice(pairs, OVERLAPS_MOST):
        later, first = (wide, other) if other.origin < wide.origin else (other, wide)
        found = say("overlapping", value=later.topic, other=first.topic, where=line_of(first))
        builder.mistake(written.get(id(later), later), "topic", found, say("unique", what=say("what_topic")))


def _statuses(parts: Parts) -> Iterator[tuple[Device, Device]]:
    """Each device with births and wills, or with pictures, and as if it spoke on their topics."""
    models = {model.id: model for model in parts.models if model.status or model.snapshot}
    for device in parts.devices:
        model = models.get(device.model)
        for topic in (status_topic(model, device), *(cameras.topics(model, device) or ())) if model else ():
            if topic is not None:
                yield device, replace(device, topic=topic)


def _same(
    devices: Sequence[Device], statuses: Sequence[tuple[Device, Device]]
) -> Iterator[tuple[Device, Device]]:
    """Pairs of which the first is a status on the very topic of another device, or of an earlier status."""
    first = {device.topic: (device, device) for device in devices} if statuses else {}
    for device, status in statuses:
        owner, before = first.setdefault(status.topic, (device, status))
        if before is not status and owner.topic != device.topic:  # that is told of the devices themselves
            yield status, before


def overlapping(devices: Sequence[Device]) -> Iterator[tuple[Device, Device]]:
    """Pairs of which the first has a +. Topics with a + at the same levels are looked up by the other levels:
    thousands of devices of one network server differ in one level only.
    """
    shapes: dict[tuple[int, tuple[int, ...]], list[tuple[Device, list[str]]]] = {}
    for device in devices:
        levels = device.topic.split("/")
        open_ended = tuple(n for n, level in enumerate(levels) if level == "+")
        shapes.setdefault((len(levels), open_ended), []).append((device, levels))
    for (count, open_ended), wide in shapes.items():
        for (_, others_open), others in shapes.items() if open_ended else ():
            fixed = [n for n in range(count) if n not in open_ended and n not in others_open]
            yield from _alike(wide, others, fixed)


def _alike(
    some: Sequence[tuple[Device, list[str]]], others: Sequence[tuple[Device, list[str]]], fixed: Sequence[int]
) -> Iterator[tuple[Device, Device]]:
    """Pairs of different topics, as long as each other, that are the same at the fixed levels."""
    index: dict[tuple[int, ...] | tuple[str, ...], list[Device]] = {}
    for device, levels in others:
        if len(levels) == len(some[0][1]):
            index.setdefault(tuple(levels[n] for n in fixed), []).append(device)
    for device, levels in some:
        for other in index.get(tuple(levels[n] for n in fixed), ()):
            if device is not other and device.topic != other.topic:
                yield device, other
