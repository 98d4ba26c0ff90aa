"""Readings to payload bytes: the inverse of the codecs, driven by the same device model."""

from __future__ import annotations

import json
import math
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from struct import pack
from typing import Any

from gateway.core.codecs import waveform
from gateway.core.model import Device, Field, Model, Wave
from gateway.core.units import QUANTITIES, conversion

Said = dict[str, dict[str, float]]  # component ("" is the device itself) -> quantity -> canonical value

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
RADIO = {"gatewayId": "24e124fffef00001", "rssi": -87, "snr": 7.5, "crcStatus": "CRC_OK"}
RATE_HZ = 200  # of a block of samples whose device tells its rate
SPAN_S = 2.0
COUNT_MM_S = 1e-4  # of one count, in the block's unit, of a device that tells its scale
DIGITS = 9  # of a raw number after scale and offset were taken back: hides 1e-17, keeps 0.001 mrad


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """How one device writes what it has to say."""

    device: Device
    model: Model
    zone: tzinfo

    def __call__(self, said: Said, measured_ns: int, sequence: int) -> bytes:
        """One payload holding every quantity of `said` that the model maps; the others are left out."""
        root = self._body(said)
        if self.model.codec.kind == "chirpstack":
            root = self._up_event(root, measured_ns, sequence)
        else:
            codec = self.model.codec
            plant(root, codec.identity, self.device.id)
            plant(root, codec.sequence, sequence)
            plant(root, codec.time, instant(measured_ns, codec.time_unit, self.zone))
        return json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode()

    def _body(self, said: Said) -> dict[str, Any]:
        root: dict[str, Any] = {}
        _fill(root, [field for field in self.model.fields if not field.of], said.get("", {}))
        for part in self.model.components:
            fields = [field for field in self.model.fields if field.of == part.kind]
            rows = []
            for number in range(1, part.count + 1):
                values = said.get(f"{part.kind}-{number}")
                if values:
                    rows.append(_fill({part.number: number}, fields, values))
            plant(root, part.path, rows)
        if self.model.codec.wave:
            self._shake(root, self.model.codec.wave, said)
        return root

    def _shake(self, root: dict[str, Any], block: Wave, said: Said) -> None:
        """Samples of one event on each axis: a tone that swells and dies, of the PPV and frequency said."""
        rate, runs = block.rate_hz or RATE_HZ, []
        plant(root, block.rate_path, rate)
        plant(root, block.scale_path, COUNT_MM_S)
        counts = block.scale * (COUNT_MM_S if block.scale_path else 1.0) * waveform.UNITS[block.unit]
        for axis in block.axes:
            own = said.get(f"axis-{axis}", {})
            hertz, ppv = own.get("dominant_hz", 0.0), own.get("ppv_mm_s", 0.0)
            peak = ppv if block.unit in waveform.VELOCITY else ppv * 2 * math.pi * hertz / 1000
            runs.append([peak * _burst(hertz, i / rate) / counts for i in range(int(SPAN_S * rate))])
        if len(block.axes) > 1 and len(set(block.axes.values())) == 1:
            runs = [[one for samples in zip(*runs, strict=True) for one in samples]]
        for path, run in zip(block.axes.values(), runs, strict=False):
            plant(root, path, _written(run, block.samples))

    def _up_event(self, body: dict[str, Any], measured_ns: int, sequence: int) -> dict[str, Any]:
        """A ChirpStack v4 `up` event; protobuf-JSON leaves out a field at its default (fCnt 0)."""
        eui = _eui(self.device)
        root: dict[str, Any] = {
            "deduplicationId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{eui}/{sequence}")),
            "time": instant(measured_ns, "iso", self.zone),
            "deviceInfo": {"deviceName": self.device.id, "devEui": eui},
            "fPort": 85,
            "object": body,
            "rxInfo": [RADIO],
        }
        return root | ({"fCnt": sequence} if sequence else {})


def _burst(hertz: float, at_s: float) -> float:
    """Between -1 and 1; its greatest lies in the middle of the span."""
    away = at_s - SPAN_S / 2
    return math.exp(-((away / (SPAN_S / 8)) ** 2)) * math.cos(2 * math.pi * hertz * away)


def _written(run: list[float], samples: str) -> Any:
    """Samples as JSON numbers, or as base64 of integers."""
    if samples == "list":
        return [round(one, 4) for one in run]
    kind = {"16": "h", "32": "i"}[samples[3:5]]
    return b64encode(
        pack(f"{'<' if samples.endswith('le') else '>'}{len(run)}{kind}", *map(round, run))
    ).decode()


def concrete(topic: str) -> str:
    """A topic to publish on, from a device's topic that may hold wildcards."""
    return "/".join("1" if level in ("+", "#") else level for level in topic.split("/"))


def instant(ns: int, unit: str, zone: tzinfo) -> str | int:
    """An instant as the device writes it; ISO with milliseconds and the site's own offset."""
    if unit in PER_SECOND:
        return ns * PER_SECOND[unit] // PER_SECOND["ns"]
    return (EPOCH + timedelta(microseconds=ns // 1000)).astimezone(zone).isoformat(timespec="milliseconds")


def plant(root: dict[str, Any], path: str, value: Any) -> None:
    """Put `value` at a dotted path, making the objects on the way; no path, nothing planted."""
    if not path:
        return
    *way, last = path.split(".")
    for key in way:
        root = root.setdefault(key, {})
    root[last] = value


def _fill(root: dict[str, Any], fields: list[Field], values: Mapping[str, float]) -> dict[str, Any]:
    for field in fields:
        if field.quantity in values:
            plant(root, field.path, raw(field, values[field.quantity]))
    return root


def raw(field: Field, value: float) -> Any:
    """A canonical value as the device writes it: its resolution, its unit, its scale, its word."""
    quantity = QUANTITIES[field.quantity]
    value = round(round(value / quantity.resolution) * quantity.resolution, DIGITS)
    scale, offset = conversion(field.unit, quantity)
    number = round(((value - offset) / scale - field.offset) / field.scale, DIGITS)
    for word, worth in field.values.items():
        if worth == number:
            return {"true": True, "false": False}.get(word, word)
    return int(number) if number == int(number) else number


def _eui(device: Device) -> str:
    levels = device.topic.split("/")
    return levels[levels.index("device") + 1] if "device" in levels[:-1] else device.id
