"""The examples of a model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gateway.core.codecs import KEYS
from gateway.core.model import Model
from gateway.problems import listing, one_of, say
from gateway.typed import Builder


def check_examples(model: Model, builder: Builder) -> None:
    if not any(example.readings for example in model.examples):
        builder.mistake(model, "examples", say("none_of"), say("good_example"))
    for example in model.examples:
        _check_spoken(model, example, builder)
        if not example.readings and not example.error:
            builder.mistake(example, "", say("none_of"), say("only_one_of", words="readings, error"))
        for index, reading in enumerate(example.readings):
            for key in reading:
                _check_example_key(model, example, f"readings[{index}].{key}", key, reading, builder)


def _check_spoken(model: Model, example: Any, builder: Builder) -> None:
    if example.frame and example.payload:
        builder.mistake(example, "frame", say("both", first="payload", second="frame"), one_of(["payload"]))
    if example.frame and "block" not in _used(model):
        found = say("strange_key", key="frame", kind=model.codec.kind)
        builder.mistake(example, "frame", found, one_of(["payload"]))


def _used(model: Model) -> Collection[str]:
    """The keys of a field that the model's codec uses."""
    return KEYS[model.codec.kind].field if model.codec.kind in KEYS else ()


def _check_example_key(
    model: Model, example: Any, step: str, key: str, reading: Any, builder: Builder
) -> None:
    value = reading[key]
    if key == "history":
        if value is not True:
            builder.mistake(example, step, say("value", value=value), one_of(["true"]))
        return
    if key in ("component", "measured_at"):
        if not isinstance(value, str):
            builder.mistake(example, step, say("number", value=value), say("text"))
        return
    kind = str(reading.get("component", "")).rpartition("-")[0]
    quantities = [field.quantity for field in model.fields if field.of == kind]
    if key not in quantities:
        expected = say("model_quantity", words=listing(quantities))
        builder.mistake(example, step, say("unknown", what=say("what_quantity"), value=key), expected)
    elif type(value) not in (int, float):
        builder.mistake(example, step, say("value", value=value), say("a_number"))
