"""Calibrations of sensors that exist."""

from __future__ import annotations

from gateway.checks.parts import Parts, check_known, check_unique
from gateway.core.model import Device, Model
from gateway.grammar import CalibrationKeys
from gateway.problems import one_of, say
from gateway.typed import Builder


def check_calibrations(parts: Parts, builder: Builder) -> None:
    models = {model.id: model for model in parts.models}
    devices = {device.id: device for device in parts.devices}
    for entry in parts.calibrations:
        check_known(builder, entry, "device", "device", entry.device, builder.ids(Device))
        if entry.scale == 0:
            builder.mistake(entry, "scale", say("number", value=0), say("not_zero"))
        if device := devices.get(entry.device):
            _check_sensor(entry, models.get(device.model), builder)
    check_unique(builder, "calibration", parts.calibrations, "from", _sensor_and_instant)


def _sensor_and_instant(entry: CalibrationKeys) -> str:
    return " ".join([entry.device, entry.component, entry.quantity, entry.since]).replace("  ", " ")


def _check_sensor(entry: CalibrationKeys, model: Model | None, builder: Builder) -> None:
    """The quantity must be one that this part of the device measures."""
    if not entry.quantity:
        usual_of = {"scale": 1.0, "offset": 0.0, "baseline": None, "unjoined": False}
        for key, usual in usual_of.items():
            if getattr(entry, key) != usual:
                builder.mistake(entry, key, say("without", first=key, second="quantity"), say("required"))
        return
    if model is None:
        return
    kind, _, number = entry.component.rpartition("-")
    counts = {part.kind: part.count for part in model.components}
    beyond = kind in counts and not (number.isdecimal() and 1 <= int(number) <= counts[kind])
    if entry.component and (beyond or kind not in {field.of for field in model.fields}):
        names = [f"{part}-1 … {part}-{count}" for part, count in counts.items()]
        found = say("unknown", what=say("what_component"), value=entry.component)
        builder.mistake(entry, "component", found, one_of(names))
        return
    measured = [field.quantity for field in model.fields if field.of == kind]
    check_known(builder, entry, "quantity", "quantity", entry.quantity, measured)
