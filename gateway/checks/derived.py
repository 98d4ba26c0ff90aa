"""Derived quantities: what they come from, and in which unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.checks.parts import check_known, passes
from gateway.core import derived
from gateway.core.model import Model
from gateway.core.units import QUANTITIES
from gateway.grammar import DeriveKeys
from gateway.problems import one_of, say
from gateway.typed import Builder

SOURCES = ("of", "compensated_by", "across")  # keys of a derived quantity that name what is measured
DAY_S = 86400.0


def check_derived(keys: DeriveKeys, models: Sequence[Model], builder: Builder) -> None:
    """Its source is measured, its unit follows from the source's, and it has what its way needs, no more."""
    on = keys.on
    scenes = sorted({model.scene for model in models})
    fitting = [model for model in models if model.scene == on.scene]
    if not fitting:
        found = say("no_scene", value=on.scene)
        builder.mistake(keys, "on.scene", found, one_of(scenes, builder.nearest(on.scene, scenes)))
        return
    if on.model:
        if not check_known(builder, keys, "on.model", "model", on.model, [model.id for model in fitting]):
            return
        fitting = [model for model in fitting if model.id == on.model]
    measured = sorted({field.quantity for model in fitting for field in model.fields if not field.of})
    sound = [passes(builder, _check_source, keys, step, measured) for step in SOURCES]
    _check_way(keys, builder)
    if not check_known(builder, keys, "quantity", "quantity", keys.quantity, tuple(QUANTITIES)):
        return
    if keys.quantity in measured:
        found = say("measured", value=keys.quantity, scene=on.scene)
        builder.mistake(keys, "quantity", found, say("not_measured"))
    elif all(sound):
        _check_derived_unit(keys, builder)


def _check_source(keys: DeriveKeys, step: str, measured: Sequence[str], builder: Builder) -> None:
    name = getattr(keys, step)
    if name and name not in measured:
        found = say("no_measure", value=name, scene=keys.on.scene)
        builder.mistake(keys, step, found, one_of(measured, builder.nearest(name, measured)))


def _check_way(keys: DeriveKeys, builder: Builder) -> None:
    needs, may = derived.NEEDS[keys.how], derived.MAY[keys.how]
    for key in ("compensated_by", "across", "over", "within"):
        given = bool(getattr(keys, key))
        if given and key not in (*needs, *may):
            found = say("both", first=f"how: {keys.how}", second=key)
            builder.mistake(keys, key, found, say("nothing_here"))
        elif not given and key in needs:
            builder.mistake(keys, key, say("missing"), say("required"))
    low, high = derived.OVER_DAYS
    if keys.how == "trend" and keys.over and not low <= keys.over / DAY_S <= high:
        found = say("days", days=f"{keys.over / DAY_S:g}")
        builder.mistake(keys, "over", found, say("days_between", low=low, high=high))
    if keys.compensated_by in QUANTITIES and QUANTITIES[keys.compensated_by].unit != "C":
        found = say("value", value=keys.compensated_by)
        builder.mistake(keys, "compensated_by", found, say("a_temperature"))


def _check_derived_unit(keys: DeriveKeys, builder: Builder) -> None:
    try:
        derived.scale_of(keys.derivation())
    except ValueError:
        unit = QUANTITIES[keys.quantity].unit
        fitting = [name for name in QUANTITIES if _scales(keys, name)]
        builder.mistake(keys, "quantity", say("unit_mismatch", unit=unit), one_of(fitting))


def _scales(keys: DeriveKeys, quantity: str) -> bool:
    try:
        return bool(derived.scale_of(replace(keys, quantity=quantity).derivation()))
    except ValueError:
        return False
