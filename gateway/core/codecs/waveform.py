"""Sampled blocks of acceleration or velocity, one to three axes, in a JSON object: features come out.

Samples are a JSON list of numbers, or base64 of fixed-width integers with a scale. Each axis becomes the
component axis-x, axis-y or axis-z with the features that the model maps: rms, peak, crest, ppv, dominant
(core.signals tells what each is and how far off it can be). The samples themselves stay in the log only.
One flawed axis is refused alone; a block whose axes differ in length is refused whole, for nobody knows which
of them is wrong.
"""

from __future__ import annotations

from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from gateway.core.codecs import json
from gateway.core.codecs.shapes import JsonDecoder
from gateway.core.model import Device, Fault, Message, Model, PayloadError, Reading, Refusal, Wave
from gateway.core.units import decimals

if TYPE_CHECKING:
    from gateway.core.signals import FloatArray

Run = Sequence[float] | bytes  # of samples: numbers, or integers side by side
AXIS = "axis"  # the kind of component
SAMPLES_LEAST = 64  # of an axis: core.signals asks for as many
SAMPLES_MOST = 3_072  # of an axis: 15 s at 200 Hz; three take 5 ms and 1 MB at most, whatever they hold
RATES_HZ = (10.0, 100_000.0)  # slower ones see nothing of the band, faster ones no building
SCALES = (1e-12, 1e9)
SAMPLE_MOST = 1e15  # beyond it squares and sums may leave the doubles
WIDTHS = {"int16le": "<i2", "int16be": ">i2", "int32le": "<i4", "int32be": ">i4"}
SHAPES = ("list", *WIDTHS)
ACCELERATION = {"m/s2": 1.0, "g": 9.80665, "mg": 0.00980665, "gal": 0.01}  # to m/s2
VELOCITY = {"mm/s": 1.0, "m/s": 1000.0, "cm/s": 10.0, "um/s": 0.001}  # to mm/s
UNITS = ACCELERATION | VELOCITY
FEATURES = ("rms", "peak", "crest", "ppv", "dominant")  # as core.signals.Vibration has them, in its order


def feature_unit(feature: str, unit: str) -> str:
    """The unit in which a block of samples in `unit` gives a feature."""
    own = "m/s2" if unit in ACCELERATION else "mm/s"
    return {"rms": own, "peak": own, "crest": "x", "ppv": "mm/s", "dominant": "Hz"}[feature]


@cache
def _numpy() -> tuple[Any, ModuleType]:
    """numpy and core.signals, loaded with the first message of a waveform: some 25 MB."""
    import numpy as np

    from gateway.core import signals

    return np, signals


def decoder(model: Model) -> WaveformDecoder:
    return WaveformDecoder(model)


class WaveformDecoder:
    """The decoder of one model."""

    def __init__(self, model: Model) -> None:
        block = model.codec.wave
        assert block is not None  # `check` saw to it
        self._block: Wave = block
        self._json = JsonDecoder(replace(model, fields=tuple(f for f in model.fields if not f.of)))
        self._axes = [(f"{AXIS}-{axis}", json.keys(path), path) for axis, path in block.axes.items()]
        self._together = len(self._axes) > 1 and len(set(block.axes.values())) == 1
        self._rate, self._scale = json.keys(block.rate_path), json.keys(block.scale_path)
        self._features = [
            (f.quantity, FEATURES.index(f.path), 10.0 ** decimals(f.quantity))
            for f in model.fields
            if f.of == AXIS
        ]
        self._unit = UNITS[block.unit] * block.scale
        self._width = int(WIDTHS[block.samples][-1]) if block.samples in WIDTHS else 0
        self._velocity = block.unit in VELOCITY

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        faults, own = [] if faults is None else faults, self._json
        root = json.parse(message.payload)
        if own.identity:
            json.check_identity(json.at_path(root, own.identity), device, message)
        measured = json.instant_ns(json.at_path(root, own.time), own.time_unit) if own.time else None
        sequence = json.at_path(root, own.sequence) if own.sequence else None
        said = "" if sequence is None else str(sequence)[:64]
        head = (measured or received_ns, received_ns, said, measured is not None)
        readings = []
        if values := own.own.values(root, faults, ""):
            readings.append(Reading(device.id, "", values, *head))
        for name, features in self._vibration(root, faults):
            readings.append(Reading(device.id, name, features, *head))
        if not readings:
            first = faults[0] if faults else Fault(Refusal.EMPTY, "", "nothing this model maps")
            raise PayloadError(first.code, first.field, first.reason)
        return readings

    # ------------------------------------------------------------ the block

    def _vibration(self, root: dict[str, Any], faults: list[Fault]) -> list[tuple[str, dict[str, float]]]:
        """(component, its quantities) of each axis that can be believed."""
        signals = _numpy()[1]
        try:
            rate = self._number(root, self._rate, self._block.rate_hz, RATES_HZ)
            scale = self._number(root, self._scale, 1.0, SCALES)
            names, samples = self._samples(root, scale * self._unit, faults)
            if not names:
                return []
            found = (
                signals.vibration_of_velocity(samples, rate)
                if self._velocity
                else signals.vibration_of_acceleration(samples, rate)
            )
        except PayloadError as error:
            faults.append(Fault(error.code, error.field, error.reason))
            return []
        return [  # no feature is negative: so they are rounded in a third of round()'s time
            (
                name,
                {quantity: int(one[index] * fine + 0.5) / fine for quantity, index, fine in self._features},
            )
            for name, one in zip(names, found, strict=True)
        ]

    def _number(
        self, root: dict[str, Any], path: tuple[str, ...], fixed: float, bounds: tuple[float, float]
    ) -> float:
        """What the payload says, or what the model says. Raises PayloadError."""
        if not path:
            return fixed
        raw, name = json.at_path(root, path), ".".join(path)
        if raw is None:
            raise PayloadError(Refusal.MISSING, name, "required")
        if type(raw) not in (int, float):
            raise PayloadError(Refusal.TYPE, name, f"found {type(raw).__name__}, expected a number")
        try:
            value = float(raw)
        except OverflowError:
            raise PayloadError(Refusal.NOT_FINITE, name, "no number a double can hold") from None
        if not bounds[0] <= value <= bounds[1]:
            reason = f"found {value:g}, expected {bounds[0]:g}..{bounds[1]:g}"
            raise PayloadError(Refusal.RANGE, name, reason)
        return value

    def _samples(
        self, root: dict[str, Any], unit: float, faults: list[Fault]
    ) -> tuple[list[str], FloatArray]:
        """The axes that can be believed and their samples, shape (axes, n). Raises PayloadError."""
        if self._together:
            return self._interleaved(root, unit)
        names, runs = [], []
        for name, path, shown in self._axes:
            try:
                runs.append(self._run(json.at_path(root, path), shown, 1))
            except PayloadError as error:
                faults.append(Fault(error.code, error.field, error.reason))
            else:
                names.append(name)
        if len({len(run) for run in runs}) > 1:
            raise PayloadError(Refusal.LENGTH, self._axes[0][2], "the axes differ in length")
        samples = self._array(runs, unit)
        return names, samples.reshape(len(runs), samples.size // max(len(runs), 1))

    def _interleaved(self, root: dict[str, Any], unit: float) -> tuple[list[str], FloatArray]:
        """One run of samples, x y z x y z …"""
        (_, path, shown), axes = self._axes[0], len(self._axes)
        run = self._array([self._run(json.at_path(root, path), shown, axes)], unit)
        return [name for name, _, _ in self._axes], run.reshape(-1, axes).T.copy()

    def _run(self, raw: Any, name: str, axes: int) -> Run:
        """The samples of one path as they came. Raises PayloadError."""
        if raw is None:
            raise PayloadError(Refusal.MISSING, name, "required")
        if type(raw) is list and len(raw) > SAMPLES_MOST * axes:
            reason = f"found {len(raw)} samples, expected {SAMPLES_LEAST} to {SAMPLES_MOST}"
            raise PayloadError(Refusal.LENGTH, name, reason)  # before each of them is looked at
        run = _unpacked(raw, name) if self._width else _listed(raw, name)
        count, rest = divmod(len(run), axes * (self._width or 1))
        if rest or not SAMPLES_LEAST <= count <= SAMPLES_MOST:
            each = "" if axes == 1 else f" for each of {axes} axes"
            reason = (
                f"found {len(run) / (self._width or 1):g} samples, expected {SAMPLES_LEAST} to {SAMPLES_MOST}"
            )
            raise PayloadError(Refusal.LENGTH, name, reason + each)
        return run

    def _array(self, runs: list[Run], unit: float) -> FloatArray:
        """All of them behind each other, as doubles."""
        np = _numpy()[0]
        if self._width:
            packed = np.frombuffer(b"".join(cast("list[bytes]", runs)), dtype=WIDTHS[self._block.samples])
            return cast("FloatArray", packed * unit)
        return cast("FloatArray", np.array(runs, dtype=np.float64).ravel() * unit)


def _listed(raw: Any, name: str) -> list[float]:
    """A list of plain numbers: no texts, no true, no null, nothing that is not finite."""
    if type(raw) is not list:
        raise PayloadError(Refusal.TYPE, name, f"found {type(raw).__name__}, expected a list of numbers")
    if not set(map(type, raw)) <= {int, float}:
        strange = next(one for one in raw if type(one) not in (int, float))
        raise PayloadError(Refusal.TYPE, name, f"found {type(strange).__name__}, expected numbers only")
    try:
        numbers = list(map(float, raw))
    except OverflowError:  # NaN, Infinity and 1e999 come as integers that no double holds
        raise PayloadError(Refusal.NOT_FINITE, name, "a sample that no double can hold") from None
    if numbers and not -SAMPLE_MOST <= min(numbers) <= max(numbers) <= SAMPLE_MOST:
        raise PayloadError(Refusal.RANGE, name, f"a sample beyond {SAMPLE_MOST:g}")
    return numbers


def _unpacked(raw: Any, name: str) -> bytes:
    """base64, nothing before, between or behind."""
    if type(raw) is not str:
        raise PayloadError(Refusal.TYPE, name, f"found {type(raw).__name__}, expected base64")
    try:
        return a2b_base64(raw, strict_mode=True)
    except (NotBase64, ValueError):  # ValueError: a letter that is not ASCII
        raise PayloadError(Refusal.SYNTAX, name, "no base64, or cut off") from None
