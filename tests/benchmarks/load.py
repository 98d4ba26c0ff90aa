"""What the devices say: N messages of D devices, with a known number of alerts due and near misses.

190-byte JSON with 12 keys, 8 of them numeric quantities. Message i is the (i // devices)-th sample of
device i % devices; every sample has its own instant, so that each must be one point in the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

ALERTS_WAITING = 40
LIMIT, HIGH, NEAR_MISS, CALM = 5.0, 6.25, 4.75, 0.35  # of the one rule that this load can fire (tilt_x)
TOPIC = "site/street{street:02d}/compound{compound}/structure/{device}"
PAYLOAD = (
    b'{"id":"%s","seq":%d,"ts":%d,"fw":"1.4.2","tilt_x":%.3f,"tilt_y":%.3f,"tilt_z":%.3f,'
    b'"crack":%.3f,"settlement":%.2f,"temperature":%.2f,"humidity":%.1f,"battery":%.3f}'
)


def device_id(number: int) -> str:
    return f"d{number:05d}"


def topic_of(number: int) -> str:
    return TOPIC.format(street=number % 20, compound=number % 100, device=device_id(number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A seeded, repeatable series of messages."""

    kind: ClassVar[str] = "own"  # which packs it is meant for
    scenes: ClassVar[tuple[str, ...]] = ("structure",)  # the measurements its points stand in

    count: int
    devices: int = 1_000
    alerts: int = 250  # devices that cross the limit once; as many come near and must stay silent
    streak: int = 1  # samples a crossing lasts; 0: until the end of the load
    per_second: float = 10_000.0  # pace of the devices' own clocks (not of the sending)
    start_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @classmethod
    def waiting(cls, count: int) -> Self:
        """A load that was measured before now, as one that waits at a broker is.

        Of old news only what is still true may wake somebody, so that its crossings last; and are fewer.
        """
        load = cls(count=count, alerts=ALERTS_WAITING, streak=0)
        return replace(load, start_ms=load.start_ms - int(count * 1000 / load.per_second))

    @property
    def rounds(self) -> int:
        return max(1, self.count // self.devices)

    @property
    def points(self) -> int:
        """What its messages are in the database."""
        return self.count

    def may_cross(self) -> range:
        """Devices that may; the neighbour of each comes near and must stay silent."""
        return range(0, self.devices, 2)

    def crossings(self) -> dict[int, str]:
        """Message index -> device, for every alert due: evenly in time, each device once.

        From the second round on, and so that a whole streak fits before the end.
        """
        first = self.devices if self.rounds > 2 else 0
        span = max(1, self.count - first - self.streak * self.devices)
        found: dict[int, str] = {}
        free = set(self.may_cross())
        due = min(self.alerts, len(free))
        for alert in range(due):
            index = first + alert * span // due
            while index % self.devices not in free:
                index += 1
            free.remove(index % self.devices)
            found[index] = device_id(index % self.devices)
        return {index: device for index, device in found.items() if index < self.count}

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """(topic, payload) of every message, in order of sending."""
        topics = [topic_of(number) for number in range(self.devices)]
        ids = [device_id(number).encode() for number in range(self.devices)]
        odd = self.odd_values()
        for index in range(self.count):
            number = index % self.devices
            yield topics[number], self._payload(ids[number], index, odd.get(index))

    def odd_values(self) -> dict[int, float]:
        """Message index -> HIGH or NEAR_MISS, where it is not calm."""
        odd: dict[int, float] = {}
        for first in self.crossings():
            end = first + self.streak * self.devices if self.streak else self.count
            for index in range(first, end, self.devices):
                odd[index], odd[index + 1] = HIGH, NEAR_MISS
        return odd

    def at_ms(self, index: int) -> int:
        return self.start_ms + int(index * 1000 / self.per_second)

    def _payload(self, name: bytes, index: int, odd: float | None) -> bytes:
        small = (index * 7919 % 1000) / 1000  # looks like noise, repeats exactly
        tilt = odd if odd is not None else CALM + small / 10
        return PAYLOAD % (
            name, index // self.devices, self.at_ms(index), tilt, 0.2 + small, 0.1 + small,
            1.25 + small, 14.5 + small, 22 + small, 55 + small, 3.55 + small / 100,
        )  # fmt: skip
