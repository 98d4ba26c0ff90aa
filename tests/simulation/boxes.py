"""A street under several edge boxes, each with gateways and compounds of its own, played side by side.

Nothing of a device hangs on who else speaks, so the street says the same; each box is cut off, dies and is
edited as one for all would be. Two boxes on two cores take half the time.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from gateway.core.model import Device, World
from tests.simulation.judging import Played, played, together
from tests.simulation.street import street
from tests.simulation.week import prepare

BOXES = 2


def play(seed: int, days: float = 7, boxes: int = BOXES) -> Played:
    """Raises ValueError for too short a span."""
    began, shares = time.perf_counter(), shared(street(seed), boxes)
    with ProcessPoolExecutor(boxes, multiprocessing.get_context("fork")) as pool:
        parts = list(pool.map(partial(_play, seed, days), shares))
    whole = together(parts)
    whole.spent_s = time.perf_counter() - began
    return whole


def _play(seed: int, days: float, share: list[str]) -> Played:
    week = prepare(seed, days, share)
    if beyond := week.world.devices.keys() - share:
        raise AssertionError(f"a story needs {', '.join(sorted(beyond))} of another box")
    return played(week.play())


def shared(world: World, boxes: int) -> list[list[str]]:
    """The devices of each box: those behind a gateway follow it, all others their compound."""
    shares: list[list[str]] = [[] for _ in range(boxes)]
    for device in world.devices.values():
        shares[_number(device) % boxes].append(device.id)
    return shares


def _number(device: Device) -> int:
    """Of its gateway, or of its compound: gw-07, c07."""
    if device.behind or device.id.startswith("gw-"):
        return int((device.behind or device.id).removeprefix("gw-"))
    return int(device.at.removeprefix("c"))
