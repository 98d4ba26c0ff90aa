"""Models: their fields, units and waveforms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.checks.codecs import check_codec
from gateway.checks.examples import check_examples
from gateway.checks.parts import check_known, line_of, passes
from gateway.core.codecs import waveform
from gateway.core.model import Field, Model, Wave
from gateway.core.units import CONVERSIONS, QUANTITIES, conversion
from gateway.problems import listing, one_of, say
from gateway.typed import IDENTIFIER, Builder


def check_models(models: Sequence[Model], builder: Builder) -> None:
    for model in models:
        if passes(builder, check_codec, model) and passes(builder, _check_fields, model):
            check_examples(model, builder)


def _check_fields(model: Model, builder: Builder) -> None:
    if not re.fullmatch(IDENTIFIER, model.id):
        builder.mistake(model, "", say("value", value=model.id), say("identifier"))
    kinds = model.kinds
    _check_wave(model, builder)
    _check_status(model, builder)
    _check_camera(model, builder)
    seen: set[tuple[str, str, str]] = set()
    for field in model.fields:
        if field.of:
            check_known(builder, field, "of", "component", field.of, kinds)
        if check_known(builder, field, "quantity", "quantity", field.quantity, tuple(QUANTITIES)):
            if model.codec.wave and field.of == waveform.AXIS:
                _check_feature(field, model.codec.wave, builder)
            else:
                _check_unit(builder, field)
            _check_doubts(builder, field)
        if (field.of, field.block, field.quantity) in seen:
            found = say("twice", what=say("what_quantity"), value=field.quantity, where=line_of(model))
            builder.mistake(field, "quantity", found, say("unique", what=say("what_quantity")))
        seen.add((field.of, field.block, field.quantity))
        if field.unless:
            others = [other.quantity for other in model.fields if other is not field]
            check_known(builder, field, "unless", "quantity", field.unless, others)
    if not model.fields:
        builder.mistake(model, "fields", say("none_of"), say("at_least_one"))


def _check_status(model: Model, builder: Builder) -> None:
    """What is said of a device's presence is one of two words, and stands until the other comes."""
    status = model.status
    if status is not None and status.online == status.offline:
        found = say("value", value=status.offline)
        builder.mistake(status, "offline", found, say("unique", what=say("what_quantity")))
    if status is not None and model.ends_after_s:
        found = say("both", first="status", second="ends_after")
        builder.mistake(model, "status", found, say("only_one_of", words="status, ends_after"))


def _check_camera(model: Model, builder: Builder) -> None:
    """A request never comes where the answers do, and only an object has paths."""
    camera, kind = model.snapshot, model.codec.kind
    if camera is not None and camera.ask == camera.answer:
        builder.mistake(
            camera, "answer", say("value", value=camera.answer), say("unique", what=say("what_topic"))
        )
    if camera is not None and camera.ref and kind != "json":
        found = say("both", first="ref", second=f"kind: {kind}")
        builder.mistake(camera, "ref", found, say("nothing_here"))


def _check_wave(model: Model, builder: Builder) -> None:
    """The rate of a waveform comes from one place."""
    wave = model.codec.wave
    if wave is None:
        return
    if not wave.axes:
        builder.mistake(wave, "axes", say("none_of"), say("at_least_one"))
    if bool(wave.rate_path) == bool(wave.rate_hz):
        words = say("both", first="rate_hz", second="rate_path") if wave.rate_path else say("none_of")
        builder.mistake(wave, "", words, say("only_one_of", words="rate_hz, rate_path"))
    for key in ("rate_hz", "scale"):
        value = getattr(wave, key)
        if value < 0 or (key == "scale" and value == 0):
            builder.mistake(wave, key, say("number", value=f"{value:g}"), say("above_zero"))


def _check_feature(field: Field, wave: Wave, builder: Builder) -> None:
    """What a waveform's axis gives is a feature, in the feature's own unit."""
    if not check_known(builder, field, "path", "feature", field.path, waveform.FEATURES):
        return
    given, wanted = waveform.feature_unit(field.path, wave.unit), QUANTITIES[field.quantity].unit
    if given != wanted:
        fitting = [quantity.name for quantity in QUANTITIES.values() if quantity.unit == given]
        found = say("feature_in", feature=field.path, unit=given)
        builder.mistake(field, "quantity", found, one_of(fitting))
    for key, usual in (("unit", ""), ("scale", 1.0), ("offset", 0.0)):
        if getattr(field, key) != usual:
            builder.mistake(field, key, say("value", value=getattr(field, key)), say("nothing_here"))


def _check_unit(builder: Builder, field: Any) -> None:
    quantity = QUANTITIES[field.quantity]
    try:
        conversion(field.unit, quantity)
    except ValueError:
        fit = [theirs for theirs, ours in CONVERSIONS if ours == quantity.unit] + [quantity.unit]
        expected = say("convertible", unit=quantity.unit, words=listing(fit))
        builder.mistake(field, "unit", say("unit_mismatch", unit=field.unit), expected)


def _check_doubts(builder: Builder, field: Any) -> None:
    """A state is no series: smoke that comes once is no spike, and none for a year is not stuck."""
    for key in ("stuck_after", "spike_window"):
        if getattr(field, key) and QUANTITIES[field.quantity].unit == "1":
            builder.mistake(field, key, say("a_state", value=field.quantity), say("a_measure"))
    if field.spike_over and not field.spike_window:
        found = say("without", first="spike_over", second="spike_window")
        builder.mistake(field, "spike_over", found, say("together", words="spike_window, spike_over"))
    if field.low is not None and field.high is not None and field.low >= field.high:
        builder.mistake(
            field, "high", say("value", value=f"{field.high:g}"), say("over", low=f"{field.low:g}")
        )
