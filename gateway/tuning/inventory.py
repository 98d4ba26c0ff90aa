"""Which place has which protection, by what its devices measure; and which has none.

The rows of the table are what was found missing before anything was watched: 无技防监控设施、消防设施不全、
无集中充电设施 (no guarding, incomplete fire protection, no central charging).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.core.model import Place, World
from gateway.core.places import ancestors


@dataclass(frozen=True, slots=True)
class Protection:
    """One kind of protection, and the quantities of which a device must measure one to give it."""

    zh: str
    en: str
    quantities: frozenset[str]


def _by(zh: str, en: str, quantities: str) -> Protection:
    return Protection(zh, en, frozenset(quantities.split()))


PROTECTIONS = (
    _by("技防监控", "guarding", "ebike_present bag_on_floor overflow exposed_waste door_open lift_door_held"),
    _by("火灾探测", "fire detection", "smoke"),
    _by("灭火装置", "extinguishing", "suppression_fired pressure_mpa"),
    _by("集中充电", "central charging", "slot_voltage_v slot_current_a slot_temperature_c slot_state"),
    _by(
        "房屋监测",
        "structure",
        "tilt_x_deg tilt_y_deg lean_mm_per_m crack_mm settlement_mm strain_ue ppv_mm_s",
    ),
)


@dataclass(frozen=True, slots=True)
class Holding:
    """A place, and how many devices there or within give each of PROTECTIONS."""

    place: Place
    counts: Sequence[int]

    @property
    def lacking(self) -> int:
        return sum(not count for count in self.counts)


def inventory(world: World, kinds: Iterable[str]) -> list[Holding]:
    """Every place of these kinds, the one that lacks most first."""
    places = [place for place in world.places.values() if place.kind in set(kinds)]
    counts = {place.id: [0] * len(PROTECTIONS) for place in places}
    gives = {model.id: _given({field.quantity for field in model.fields}) for model in world.models.values()}
    for device in world.devices.values():
        for place in ancestors(world, device.at):
            if place.id in counts:
                counts[place.id] = [a + b for a, b in zip(counts[place.id], gives[device.model], strict=True)]
    found = [Holding(place, counts[place.id]) for place in places]
    return sorted(found, key=lambda one: -one.lacking)


def _given(quantities: set[str]) -> list[int]:
    return [int(not one.quantities.isdisjoint(quantities)) for one in PROTECTIONS]
