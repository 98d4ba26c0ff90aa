"""Readings to payload bytes: the inverse of the codecs, driven by the same device model."""

from __future__ import annotations

import json
import math
import re
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from struct import pack
from typing import Any

from gateway.core.codecs import waveform
from gateway.core.model import Device, Field, Model, Wave
from simulators import frames
from simulators.cameras import CAMERAS
from simulators.numbers import raw

Said = dict[str, dict[str, float]]  # component ("" is the device itself) -> quantity -> canonical value

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
RADIO = {"gatewayId": "24e124fffef00001", "rssi": -87, "snr": 7.5, "crcStatus": "CRC_OK"}
RATE_HZ = 200  # of a block of samples whose device tells its rate
SPAN_S = 2.0
COUNT_MM_S = 1e-4  # of one count, in the block's unit, of a device that tells its scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """How one device writes what it has to say."""

    device: Device
    model: Model
    zone: tzinfo

    def __call__(self, said: Said, measured_ns: int, sequence: int) -> bytes:
        """One payload holding every quantity of `said` that the model maps; the others are left out."""
        if camera := CAMERAS.get(self.model.codec.kind):
            stamp = str(instant(measured_ns, "iso", self.zone))
            return camera(self.model, said.get("", {}), stamp, measured_ns)
        if self.model.codec.blocks:
            own = said.get("", {})
            return self._framed(frames.frame(self.model, self.device, own), own, measured_ns, sequence)
        root = self._body(said)
        if self.model.codec.envelope:
            root = self._up_event(root, said.get("", {}), measured_ns, sequence)
        else:
            codec = self.model.codec
            plant(root, codec.identity, self.device.id)
            plant(root, codec.sequence, sequence)
            plant(root, codec.time, instant(measured_ns, codec.time_unit, self.zone))
        return json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode()

    def _body(self, said: Said) -> dict[str, Any]:
        root: dict[str, Any] = {}
        if self.model.codec.list:
            plant(root, self.model.codec.list, self._signals(said))
            return root
        _fill(root, [field for field in self.model.fields if field.path and not field.of], said.get("", {}))
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

    def _signals(self, said: Said) -> list[dict[str, Any]]:
        """Every value as an entry of the list, written as a text; the number beside the id or in it."""
        codec, keys = self.model.codec, {part.kind: part.number for part in self.model.components}
        entries = []
        for component, values in said.items():
            kind, _, number = component.rpartition("-")
            for field in self.model.fields:
                if field.of == kind and field.quantity in values:
                    stars = field.signal.count("*")
                    name = re.sub(r"\*+", number.zfill(stars), field.signal)
                    entry = {codec.id_key: name, codec.value_key: str(raw(field, values[field.quantity]))}
                    beside = {keys[kind]: number} if kind and not stars else {}
                    entries.append(entry | beside)
        return entries

    def _framed(self, frame: bytes, own: Mapping[str, float], measured_ns: int, sequence: int) -> bytes:
        if not self.model.codec.envelope:
            return frame
        root = self._up_event({}, own, measured_ns, sequence) | {"data": b64encode(frame).decode()}
        del root["object"]
        return json.dumps(root, separators=(",", ":")).encode()

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

    def _radio(self, own: Mapping[str, float]) -> dict[str, Any]:
        fields = [field for field in self.model.fields if field.radio and field.quantity in own]
        return {field.radio: raw(field, own[field.quantity]) for field in fields}

    def _up_event(
        self, body: dict[str, Any], own: Mapping[str, float], measured_ns: int, sequence: int
    ) -> dict[str, Any]:
        """A ChirpStack v4 `up` event; protobuf-JSON leaves out a field at its default (fCnt 0)."""
        eui = _eui(self.device)
        root: dict[str, Any] = {
            "deduplicationId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{eui}/{sequence}")),
            "time": instant(measured_ns, "iso", self.zone),
            "deviceInfo": {"deviceName": self.device.id, "devEui": eui},
            "fPort": self.model.codec.port or 85,
            "object": body,
            "rxInfo": [RADIO | self._radio(own)],
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


def _eui(device: Device) -> str:
    levels = device.topic.split("/")
    return levels[levels.index("device") + 1] if "device" in levels[:-1] else device.id
