"""Devices that no rule can tell apart: what is asked of all of them is asked once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.model import Device, World
from gateway.core.places import whereabouts


@dataclass(slots=True)
class Alike:
    """Some devices of one model, and of one value of each label that rules ask for."""

    device: Device  # with the longest name of them
    place: str  # the longest of theirs
    talker: Device  # of whom name and place together are the longest
    alone: int = 0  # how many are behind nothing

    @property
    def name(self) -> int:
        return len(_name(self.device))


def alike(world: World, devices: Iterable[Device]) -> list[Alike]:
    """In the order in which the first of each is written."""
    names = sorted({name for rule in world.rules for name in rule.labels})
    places = {at: whereabouts(world, at) for at in world.places}
    found: dict[object, Alike] = {}
    for device in devices:
        key = device.model, tuple(device.labels.get(name) for name in names)
        place = places[device.at]
        known = found.setdefault(key, Alike(device, place, device))
        if known.name < len(_name(device)):
            known.device = device
        if len(known.place) < len(place):
            known.place = place
        if len(places[known.talker.at]) + len(_name(known.talker)) < len(place) + len(_name(device)):
            known.talker = device
        known.alone += not device.behind
    return list(found.values())


def alone(device: Device) -> Alike:
    """One by itself."""
    return Alike(device, "", device, int(not device.behind))


def _name(device: Device) -> str:
    return device.says or device.id
