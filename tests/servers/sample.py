"""A small world, its messages, and a store full of them: what the tests of the way out send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gateway.adapters.store import Record, Store
from gateway.core.model import (
    Codec,
    Components,
    Device,
    Effect,
    Field,
    Message,
    Messages,
    Model,
    Place,
    World,
)

QUANTITIES = {
    "tilt_x": "tilt_x_deg",
    "tilt_y": "tilt_y_deg",
    "tilt_z": "tilt_z_deg",
    "crack": "crack_mm",
    "settlement": "settlement_mm",
    "temperature": "temperature_c",
    "humidity": "humidity_pct",
    "battery": "battery_v",
}
SLOT_FIELDS = (
    Field(quantity="slot_temperature_c", path="temp", of="slot"),
    Field(quantity="slot_voltage_v", path="volt", of="slot"),
)
TILT = Model(
    id="tilt-8",
    says="倾角计",
    scene="structure",
    source="test",
    codec=Codec(kind="json", time="ts", time_unit="ms"),
    fields=tuple(Field(quantity=name, path=path) for path, name in QUANTITIES.items()),
)
CABINET = Model(
    id="cabinet-8",
    says="换电柜",
    scene="cabinet",
    source="test",
    codec=Codec(kind="json", time="ts", time_unit="ms"),
    fields=(Field(quantity="smoke", path="smoke"), *SLOT_FIELDS),
    components=(Components(kind="slot", path="slots", number="n", count=8),),
)
START_NS = 1_795_284_000_000_000_000  # 2026-11-21 22:00 in Shanghai
PLACES = (
    ("hudong", "street", ""),
    ("jw3", "committee", "hudong"),
    ("meilong-2", "compound", "jw3"),
    ("b7", "building", "meilong-2"),
)


def world(
    devices: int | Iterable[str] = 10,
    places: Iterable[tuple[str, str, str]] = PLACES,
    at: str = "b7",
    models: Mapping[str, Model] | None = None,
) -> World:
    """Tilt meters (and one cabinet `c1`) at place b7 of a street."""
    names = [f"d{n}" for n in range(devices)] if isinstance(devices, int) else list(devices)
    known = {name: Device(id=name, model=TILT.id, at=at, topic=f"site/{n}/t") for n, name in enumerate(names)}
    known["c1"] = Device(id="c1", model=CABINET.id, at=at, topic="site/c1/t")
    return World(
        models=models or {TILT.id: TILT, CABINET.id: CABINET},
        rules=(),
        places={id: Place(id=id, says=id, kind=kind, within=within) for id, kind, within in places},
        units={},
        persons={},
        posts=(),
        ladders={},
        devices=known,
    )


def message(device: int, sample: int, value: float | str | bool = 1.5, step_ms: int = 1000) -> Message:
    """Sample number `sample` of tilt meter number `device`; each sample has an instant of its own."""
    body = {"id": f"d{device}", "ts": START_NS // 1_000_000 + sample * step_ms}
    body |= dict.fromkeys(QUANTITIES, 0.25) | {"tilt_x": value, "tilt_y": sample / 10}
    return Message(f"site/{device}/t", msgspec.json.encode(body))


def cabinet(sample: int, slots: int = 8, smoke: float = 0.0) -> Message:
    body = {"ts": START_NS // 1_000_000 + sample * 1000, "smoke": smoke}
    body["slots"] = [{"n": n, "temp": 20.0 + n, "volt": 48.0} for n in range(1, slots + 1)]
    return Message("site/c1/t", msgspec.json.encode(body))


def fill(
    store: Store, messages: Sequence[Message], effects: Sequence[Effect] = (), each: int = 500
) -> list[Messages]:
    """Commit the messages in events of `each`; the effects belong to the first event."""
    events = [
        Messages(n, START_NS + (store.position() + n) * 1000, list(messages[n : n + each]))
        for n in range(0, len(messages), each)
    ]
    for n, event in enumerate(events):
        store.commit([Record(event, effects if n == 0 else ())])
    return events


def samples(count: int, devices: int = 10, first: int = 0) -> list[Message]:
    """`count` messages of `devices` tilt meters in turn, no two of one device at the same instant."""
    return [message(n % devices, n // devices) for n in range(first, first + count)]
