"""Mistakes that no single entry shows: names nobody has, rules nothing can fire, posts nobody holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import PurePath
from typing import Any

from gateway.core import derived
from gateway.core.codecs import COMMON, KEYS, waveform
from gateway.core.codecs.bits import TYPES, picked, width
from gateway.core.codecs.formula import Formula
from gateway.core.decoding import matches
from gateway.core.doubts import STUCK
from gateway.core.model import (
    OWN,
    POSTED,
    Device,
    Field,
    Level,
    Model,
    Person,
    Place,
    Post,
    Scenario,
    Step,
    Unit,
    Wave,
)
from gateway.core.units import CONVERSIONS, QUANTITIES, conversion
from gateway.grammar import CalibrationKeys, DeriveKeys, LevelKeys, PackKeys, RuleKeys, SiteKeys
from gateway.problems import listing, one_of, say
from gateway.typed import IDENTIFIER, Builder, keys_of

Names = Collection[str] | None
OVERLAPS_MOST = 1_000  # told at once; two careless + in a table make millions
LIMITS = ("above", "below", "absent", "missed")
SILENCE = frozenset({"absent", "missed"})
SOURCES = ("of", "compensated_by", "across")  # keys of a derived quantity that name what is measured
DAY_S = 86400.0
GATEWAY = "lilong-gateway"  # the model of what the gateway says of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the world must fit: names that lilong.yaml gives; None when it has mistakes itself."""

    timezone: str
    channels: tuple[str, ...] | None
    subscribe: tuple[str, ...] | None
    intake: bool | None = None  # whether anything can be posted


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that was built from the files, broken entries left out."""

    models: Sequence[Model]
    packs: Sequence[PackKeys]
    sites: Sequence[SiteKeys]

    @property
    def rules(self) -> list[RuleKeys]:
        return [rule for pack in self.packs for rule in pack.rules]

    @property
    def derived(self) -> list[DeriveKeys]:
        return [keys for pack in self.packs for keys in pack.derive]

    @property
    def scenarios(self) -> list[Scenario]:
        return [scenario for pack in self.packs for scenario in pack.scenarios]

    @property
    def places(self) -> list[Place]:
        return [place for site in self.sites for place in site.places]

    @property
    def units(self) -> list[Unit]:
        return [unit for site in self.sites for unit in site.units]

    @property
    def persons(self) -> list[Person]:
        return [person for site in self.sites for person in site.persons]

    @property
    def posts(self) -> list[Post]:
        return [post for site in self.sites for post in site.posts]

    @property
    def devices(self) -> list[Device]:
        return [device for site in self.sites for device in site.devices]

    @property
    def calibrations(self) -> list[CalibrationKeys]:
        return [entry for site in self.sites for entry in site.calibrations]

    @property
    def ladders(self) -> list[tuple[Level, tuple[Step, ...], SiteKeys]]:
        return [(level, steps, site) for site in self.sites for level, steps in site.ladders.items()]


def check(parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    """Report every such mistake to the builder."""
    models_sound = builder.complete(Model) and _sound(builder, _check_models, parts.models)
    for keys in parts.derived if models_sound else ():
        _check_derived(keys, parts.models, builder)
    for rule in parts.rules:
        _check_levels(rule, builder)
        if models_sound:  # else "no model measures it" may only mean that the model is the broken one
            _check_subject(rule, parts, builder)
    _check_scenarios(parts, builder)
    _check_uniqueness(parts, builder)
    _check_devices(parts, surroundings, builder)
    _check_calibrations(parts, builder)
    site_sound = _sound(builder, _check_site, parts, surroundings.channels)
    if site_sound and builder.complete(Place, Person, Post, Step, SiteKeys):
        _check_ladders_complete(parts, builder)
        _check_answered(parts, builder)


def _sound(builder: Builder, check: Callable[..., None], *args: Any) -> bool:
    """Run a check; whether it found nothing."""
    before = len(builder.problems)
    check(*args, builder)
    return len(builder.problems) == before


def _check_models(models: Sequence[Model], builder: Builder) -> None:
    for model in models:
        if _sound(builder, _check_codec, model) and _sound(builder, _check_fields, model):
            _check_examples(model, builder)


def _check_site(parts: Parts, channels: Names, builder: Builder) -> None:
    _check_places(parts.places, builder)
    _check_people(parts, channels, builder)
    _check_ladders(parts, channels, builder)


# ---------------------------------------------------------------- names


def _known(builder: Builder, value: Any, step: str, what: str, name: str, known: Names) -> bool:
    """Report a name that nothing has, with the one that was probably meant. None: it cannot be told."""
    if known is None or name in known:
        return True
    found = say("unknown", what=say(f"what_{what}"), value=name)
    names = sorted(known)
    builder.mistake(value, step, found, one_of(names, builder.nearest(name, names)))
    return False


def _unique(
    builder: Builder, what: str, values: Sequence[Any], step: str, name: Callable[[Any], Any]
) -> None:
    first: dict[Any, Any] = {}
    for value in values:
        before = first.setdefault(name(value), value)
        if before is not value:
            found = say("twice", what=say(f"what_{what}"), value=name(value), where=_where(before))
            builder.mistake(value, step, found, say("unique", what=say(f"what_{what}")))


def _where(value: Any) -> str:
    """File and line of a built value, short enough never to be cut."""
    return f"{PurePath(value.origin.file).name}:{value.origin.line}"


def _check_uniqueness(parts: Parts, builder: Builder) -> None:
    for what, values in (
        ("rule", parts.rules),
        ("place", parts.places),
        ("unit", parts.units),
        ("person", parts.persons),
        ("device", parts.devices),
    ):
        _unique(builder, what, values, "id", lambda value: value.id)
    _unique(builder, "quantity", parts.derived, "quantity", lambda one: f"{one.on.scene} {one.quantity}")
    _unique(builder, "topic", parts.devices, "topic", lambda device: device.topic)
    _unique(builder, "scenario", parts.scenarios, "name", lambda one: f"{one.rule}: {one.name}")
    _check_overlapping_topics(parts.devices, builder)


def _check_overlapping_topics(devices: Sequence[Device], builder: Builder) -> None:
    """A + in one device's topic must not take in another device's."""
    for wide, other in islice(_overlapping(devices), OVERLAPS_MOST):
        later, first = (wide, other) if other.origin < wide.origin else (other, wide)
        found = say("overlapping", value=later.topic, other=first.topic, where=_where(first))
        builder.mistake(later, "topic", found, say("unique", what=say("what_topic")))


def _overlapping(devices: Sequence[Device]) -> Iterator[tuple[Device, Device]]:
    """Pairs of which the first has a +. Topics with a + at the same levels are looked up by the other levels:
    thousands of devices of one network server differ in one level only.
    """
    shapes: dict[tuple[int, tuple[int, ...]], list[tuple[Device, list[str]]]] = {}
    for device in devices:
        levels = device.topic.split("/")
        open_ended = tuple(n for n, level in enumerate(levels) if level == "+")
        shapes.setdefault((len(levels), open_ended), []).append((device, levels))
    for (count, open_ended), wide in shapes.items():
        for (_, others_open), others in shapes.items() if open_ended else ():
            fixed = [n for n in range(count) if n not in open_ended and n not in others_open]
            yield from _alike(wide, others, fixed)


def _alike(
    some: Sequence[tuple[Device, list[str]]], others: Sequence[tuple[Device, list[str]]], fixed: Sequence[int]
) -> Iterator[tuple[Device, Device]]:
    """Pairs of different topics, as long as each other, that are the same at the fixed levels."""
    index: dict[tuple[int, ...] | tuple[str, ...], list[Device]] = {}
    for device, levels in others:
        if len(levels) == len(some[0][1]):
            index.setdefault(tuple(levels[n] for n in fixed), []).append(device)
    for device, levels in some:
        for other in index.get(tuple(levels[n] for n in fixed), ()):
            if device is not other and device.topic != other.topic:
                yield device, other


# ---------------------------------------------------------------- models


def _check_fields(model: Model, builder: Builder) -> None:
    if not re.fullmatch(IDENTIFIER, model.id):
        builder.mistake(model, "", say("value", value=model.id), say("identifier"))
    kinds = model.kinds
    _check_wave(model, builder)
    seen: set[tuple[str, str, str]] = set()
    for field in model.fields:
        if field.of:
            _known(builder, field, "of", "component", field.of, kinds)
        if _known(builder, field, "quantity", "quantity", field.quantity, tuple(QUANTITIES)):
            if model.codec.wave and field.of == waveform.AXIS:
                _check_feature(field, model.codec.wave, builder)
            else:
                _check_unit(builder, field)
            _check_doubts(builder, field)
        if (field.of, field.block, field.quantity) in seen:
            found = say("twice", what=say("what_quantity"), value=field.quantity, where=_where(model))
            builder.mistake(field, "quantity", found, say("unique", what=say("what_quantity")))
        seen.add((field.of, field.block, field.quantity))
        if field.unless:
            others = [other.quantity for other in model.fields if other is not field]
            _known(builder, field, "unless", "quantity", field.unless, others)
    if not model.fields:
        builder.mistake(model, "fields", say("none_of"), say("at_least_one"))


def _check_codec(model: Model, builder: Builder) -> None:
    """Keys that its codec does not use, keys that it needs, and bytes that are not there."""
    keys = KEYS.get(model.codec.kind)
    if keys is None:
        return
    if not _sound(builder, _check_all_keys, model) or "block" not in keys.field:
        return
    if _sound(builder, _check_blocks, model) and _sound(builder, _check_in_blocks, model):
        for field in model.fields:
            if not field.radio:
                _check_bytes(field, model, builder)


def _check_all_keys(model: Model, builder: Builder) -> None:
    kind = model.codec.kind
    _check_keys(model.codec, "codec", KEYS[kind].codec | {"kind"}, kind, builder)
    for field in model.fields:
        if field.radio and model.codec.envelope:
            _check_keys(field, "radio", {"radio", *COMMON}, kind, builder)
        else:
            _check_keys(field, "fields", KEYS[kind].field - {"radio"} | COMMON, kind, builder)
    for part in model.components:
        _check_keys(part, "components", KEYS[kind].components | {"kind", "count"}, kind, builder)


def _check_keys(entry: Any, where: str, used: Collection[str], kind: str, builder: Builder) -> None:
    cls: Any = type(entry)
    spelt = {key.field: key.key for key in keys_of(cls)}
    for one in dataclasses.fields(entry):
        default = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        given = one.name in spelt and getattr(entry, one.name) != default
        if given and one.name not in used:
            found = say("strange_key", key=spelt[one.name], kind=kind)
            builder.mistake(entry, spelt[one.name], found, say("nothing_here"))
        elif not given and f"{where}.{one.name}" in KEYS[kind].needs:
            builder.mistake(entry, spelt[one.name], say("missing"), say("required"))


def _check_blocks(model: Model, builder: Builder) -> None:
    codec, blocks = model.codec, tuple(model.codec.blocks)
    lengths = {len(name) if re.fullmatch(r"([0-9a-f]{2}){1,4}", name) else 0 for name in blocks}
    if codec.kind == "tlv" and (0 in lengths or len(lengths) > 1):
        builder.mistake(codec, "blocks", say("value", value=listing(blocks)), say("tags"))
    for name, clock in codec.history.items():
        if _known(builder, codec, f"history.{name}", "block", name, blocks):
            _check_end(codec, f"history.{name}", "uint32le", clock, name, model, builder)
    if codec.flags_at is not None and codec.flags_at + 2 > codec.head:
        found = say("beyond_block", what="uint16be", end=codec.flags_at + 2, block="head", bytes=codec.head)
        builder.mistake(codec, "flags_at", found, say("in_block"))


def _check_in_blocks(model: Model, builder: Builder) -> None:
    for field in model.fields:
        if not field.radio:
            _known(builder, field, "block", "block", field.block, tuple(model.codec.blocks))


def _check_end(value: Any, step: str, kind: str, at: int, block: str, model: Model, builder: Builder) -> None:
    end, most = at + TYPES[kind], model.codec.blocks[block]
    if end > most:
        found = say("beyond_block", what=kind, end=end, block=block, bytes=most)
        builder.mistake(value, step, found, say("in_block"))


def _check_bytes(field: Any, model: Model, builder: Builder) -> None:
    if not field.type and not field.formula:
        builder.mistake(field, "type", say("no_type"), say("only_one_of", words="type, formula"))
    if field.type:
        _check_end(field, "type", field.type, field.at, field.block, model, builder)
    if field.bits and (not field.type or picked(field.bits)[1] >= width(field.type)):
        most = width(field.type) if field.type else 0
        found = say("beyond_type", bits=field.bits, type=field.type, width=most)
        builder.mistake(field, "bits", found, say("in_type"))
    if field.formula:
        formula = Formula(field.formula)
        for kind, at in sorted(formula.reads):
            _check_end(field, "formula", kind, at, field.block, model, builder)
        known = [*model.constants, *(["raw"] if field.type else [])]
        for name in sorted(formula.names):
            _known(builder, field, "formula", "constant", name, known)


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
    if not _known(builder, field, "path", "feature", field.path, waveform.FEATURES):
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


def _check_examples(model: Model, builder: Builder) -> None:
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


# ---------------------------------------------------------------- rules


def _check_levels(rule: RuleKeys, builder: Builder) -> None:
    if not rule.levels:
        builder.mistake(rule, "levels", say("none_of"), say("at_least_one"))
    if Level.RED in rule.levels and not rule.respond_within:
        builder.mistake(rule, "levels.red", say("red_without", key="respond_within"), say("required"))
    sound = [_check_level(rule, level, builder) for level in sorted(rule.levels)]
    if not all(sound):
        return
    for lower, level in pairwise(sorted(rule.levels)):
        _check_rise(rule, lower, level, builder)
    _check_measure(rule, builder)


def kind_of(keys: LevelKeys) -> str:
    """Which of LIMITS a sound level sets."""
    return next(name for name in LIMITS if getattr(keys, name) is not None)


def _check_level(rule: RuleKeys, level: Level, builder: Builder) -> bool:
    keys, step = rule.levels[level], f"levels.{level.word}"
    before = len(builder.problems)
    chosen = [name for name in LIMITS if getattr(keys, name) is not None]
    if len(chosen) != 1 and set(chosen) != SILENCE:
        found = say("both", first=chosen[0], second=chosen[1]) if chosen else say("none_of")
        builder.mistake(rule, step, found, say("only_one_of", words=listing(LIMITS)))
        return False
    fits = {"above": "clear_below", "below": "clear_above"}.get(chosen[0], "")
    strange = [name for name in ("clear_below", "clear_above") if getattr(keys, name) is not None]
    strange += ["hold"] if keys.hold and chosen[0] in SILENCE else []
    if keys.missed is not None and keys.missed < 1:
        builder.mistake(rule, f"{step}.missed", say("number", value=f"{keys.missed:g}"), say("over", low="1"))
    for name in strange:
        if name != fits:
            found = say("both", first=chosen[0], second=name)
            builder.mistake(rule, f"{step}.{name}", found, one_of([fits] if fits else []))
    _check_clear(rule, level, chosen[0], fits, builder)
    return len(builder.problems) == before


def _check_clear(rule: RuleKeys, level: Level, chosen: str, fits: str, builder: Builder) -> None:
    keys = rule.levels[level]
    clear = getattr(keys, fits) if fits else None
    limit = getattr(keys, chosen)
    if clear is not None and (clear > limit if chosen == "above" else clear < limit):
        found = say("clear_beyond", key=fits, value=f"{clear:g}", limit=f"{limit:g}")
        builder.mistake(rule, f"levels.{level.word}.{fits}", found, say("on_good_side"))


def _check_rise(rule: RuleKeys, lower: Level, level: Level, builder: Builder) -> None:
    """A higher level needs a worse value, or the same value for longer."""
    low, high, step = rule.levels[lower], rule.levels[level], f"levels.{level.word}"
    kind = kind_of(low)
    if kind != kind_of(high):
        builder.mistake(rule, step, say("mixed", first=kind, second=kind_of(high)), say("one_kind"))
        return
    if (low.missed is None) != (high.missed is None):  # one of them absent and missed
        builder.mistake(rule, step, say("mixed", first="absent", second="missed"), say("one_kind"))
        return
    sign = -1 if kind == "below" else 1
    if (sign * getattr(high, kind), high.hold) <= (sign * getattr(low, kind), low.hold) or (
        (high.missed or 0.0) < (low.missed or 0.0)
    ):
        builder.mistake(rule, step, say("order", level=level.word, lower=lower.word), say("rising"))


def _check_measure(rule: RuleKeys, builder: Builder) -> None:
    """A rule of silence judges no quantity; every other rule does."""
    kinds = {kind_of(keys) for keys in rule.levels.values()}
    if kinds and kinds <= SILENCE:
        kind = min(kinds)
        for key in ("when", "relative_to", "outside", "on_bad_quality"):
            if getattr(rule, key):
                builder.mistake(rule, key, say("both", first=kind, second=key), say("nothing_here"))
        if rule.on.each:
            builder.mistake(rule, "on.each", say("both", first=kind, second="each"), say("nothing_here"))
    elif kinds and not rule.when:
        builder.mistake(rule, "when", say("missing"), say("required"))
    if rule.relative_to and "below" in kinds:  # judged is a distance, which is never below anything bad
        builder.mistake(
            rule, "relative_to", say("both", first="relative_to", second="below"), one_of(["above"])
        )


def _check_subject(rule: RuleKeys, parts: Parts, builder: Builder) -> None:
    """Something in the world must be able to fire it."""
    on, models = rule.on, parts.models
    scenes = sorted({model.scene for model in models})
    if on.scene not in scenes:
        found = say("no_scene", value=on.scene)
        builder.mistake(rule, "on.scene", found, one_of(scenes, builder.nearest(on.scene, scenes)))
        return
    fitting = [model for model in models if model.scene == on.scene]
    if on.model:
        if not _known(builder, rule, "on.model", "model", on.model, [model.id for model in fitting]):
            return
        fitting = [model for model in fitting if model.id == on.model]
    kinds = sorted({kind for model in fitting for kind in model.kinds})
    if on.each and on.each not in kinds:
        expected = say("scene_component", words=listing(kinds))
        builder.mistake(rule, "on.each", say("no_component", value=on.each), expected)
        return
    if rule.when and _known(builder, rule, "when", "quantity", rule.when, tuple(QUANTITIES)):
        known = {name for model in fitting for name in _measured(model, on.each)}
        if not on.each:
            known |= {one.quantity for one in parts.derived for model in fitting if _derives(one, model)}
        measured = sorted(known)
        if rule.when not in measured:
            found = say("no_measure", value=rule.when, scene=on.scene)
            builder.mistake(rule, "when", found, one_of(measured, builder.nearest(rule.when, measured)))


def _measured(model: Model, kind: str) -> set[str]:
    """What a rule may judge of a device, or of its components of a kind."""
    fields = [field for field in model.fields if field.of == kind]
    stuck = {STUCK} if any(field.stuck_after for field in fields) else set()
    return {field.quantity for field in fields} | stuck


def _derives(keys: DeriveKeys, model: Model) -> bool:
    return keys.on.scene == model.scene and keys.on.model in ("", model.id)


# ---------------------------------------------------------------- derived quantities


def _check_derived(keys: DeriveKeys, models: Sequence[Model], builder: Builder) -> None:
    """Its source is measured, its unit follows from the source's, and it has what its way needs, no more."""
    on = keys.on
    scenes = sorted({model.scene for model in models})
    fitting = [model for model in models if model.scene == on.scene]
    if not fitting:
        found = say("no_scene", value=on.scene)
        builder.mistake(keys, "on.scene", found, one_of(scenes, builder.nearest(on.scene, scenes)))
        return
    if on.model:
        if not _known(builder, keys, "on.model", "model", on.model, [model.id for model in fitting]):
            return
        fitting = [model for model in fitting if model.id == on.model]
    measured = sorted({field.quantity for model in fitting for field in model.fields if not field.of})
    sound = [_sound(builder, _check_source, keys, step, measured) for step in SOURCES]
    _check_way(keys, builder)
    if not _known(builder, keys, "quantity", "quantity", keys.quantity, tuple(QUANTITIES)):
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


# ---------------------------------------------------------------- rules and devices


def judges(rule: RuleKeys, device: Device, model: Model) -> bool:
    """Whether the rule has anything to say of this device."""
    on = rule.on
    return (
        model.scene == on.scene
        and on.model in ("", model.id)
        and on.labels.items() <= device.labels.items()
        and (not rule.when or rule.when in _measured(model, on.each))
    )


# ---------------------------------------------------------------- scenarios


def _check_scenarios(parts: Parts, builder: Builder) -> None:
    rules = {rule.id: rule for rule in reversed(parts.rules)}  # of two with one id, the first
    names = builder.ids(RuleKeys)
    for scenario in parts.scenarios:
        if _known(builder, scenario, "rule", "rule", scenario.rule, names) and scenario.rule in rules:
            _check_series(scenario, rules[scenario.rule], builder)
        _check_expectations(scenario, builder)


def _check_series(scenario: Scenario, rule: RuleKeys, builder: Builder) -> None:
    if not scenario.series:
        builder.mistake(scenario, "", say("none_of"), say("series"))
    elif rule.when and rule.when not in scenario.series:
        builder.mistake(scenario, "", say("without", first="rule", second=rule.when), say("series"))
    if len({len(steps) for steps in scenario.series.values()}) > 1:
        builder.mistake(scenario, "", say("lengths"), say("same_length"))
    if rule.outside and rule.outside not in scenario.windows:
        found = say("without", first="outside", second=f"windows.{rule.outside}")
        builder.mistake(scenario, "windows", found, say("window_for", rule=rule.id))


def _check_expectations(scenario: Scenario, builder: Builder) -> None:
    steps = max((len(series) for series in scenario.series.values()), default=0)
    end = steps * scenario.every_s
    instants = [at for _, at in scenario.expect]
    if instants != sorted(instants):
        builder.mistake(scenario, "expect", say("out_of_order"), say("ascending"))
    for index, at in enumerate(instants):
        if steps and at > end:
            found = say("too_late", value=f"{at:g}s", end=f"{end:g}s")
            builder.mistake(scenario, f"expect[{index}]", found, say("within_series"))


# ---------------------------------------------------------------- places


def _check_places(places: Sequence[Place], builder: Builder) -> None:
    parents = {place.id: place.within for place in places}
    for place in places:
        if place.within:
            _known(builder, place, "within", "place", place.within, builder.ids(Place))
    for place in places:
        chain = list(_upward(place.id, parents))
        if chain[-1] == place.id and len(chain) > 1 and place.id == min(chain):
            found = say("cycle", value=" → ".join(chain))
            builder.mistake(place, "within", found, say("a_tree"))


def _upward(place: str, parents: Mapping[str, str]) -> Iterator[str]:
    """A place and those above it; on a cycle it ends with the place that comes again."""
    seen: set[str] = set()
    while place and place in parents:
        yield place
        if place in seen:
            return
        seen.add(place)
        place = parents[place]


# ---------------------------------------------------------------- units, persons, posts, ladders


def _check_people(parts: Parts, channels: Names, builder: Builder) -> None:
    units, persons, places = builder.ids(Unit), builder.ids(Person), builder.ids(Place)
    for person in parts.persons:
        _known(builder, person, "unit", "unit", person.unit, units)
        for channel in person.reach:
            _known(builder, person, f"reach.{channel}", "channel", channel, channels)
    for post in parts.posts:
        _known(builder, post, "at", "place", post.at, places)
        _known(builder, post, "unit", "unit", post.unit, units)
        _known(builder, post, "person", "person", post.person, persons)
        if post.until and post.until <= post.since:
            builder.mistake(post, "to", say("ends_first"), say("after_since"))
    _check_one_person(parts.posts, builder)


def _check_one_person(posts: Sequence[Post], builder: Builder) -> None:
    """One named person is told: two in one post would each think it the other's."""
    ordered = sorted(posts, key=lambda post: (post.role, post.at, post.since))
    for before, post in pairwise(ordered):
        same = (before.role, before.at) == (post.role, post.at)
        if same and (before.until is None or post.since < before.until):
            builder.mistake(post, "from", say("overlap", where=_where(before)), say("one_person"))


def _check_ladders(parts: Parts, channels: Names, builder: Builder) -> None:
    seen: dict[Level, SiteKeys] = {}
    for level, steps, site in parts.ladders:
        step = f"ladders.{level.word}"
        if level in seen:
            found = say("twice", what=say("what_ladder"), value=level.word, where=_where(seen[level]))
            builder.mistake(site, step, found, say("unique", what=say("what_ladder")))
        seen.setdefault(level, site)
        if not steps:
            builder.mistake(site, step, say("none_of"), say("at_least_one"))
        if [rung.after_s for rung in steps] != sorted(rung.after_s for rung in steps):
            builder.mistake(site, step, say("out_of_order"), say("ascending"))
        for rung in steps:
            if _sound(builder, _check_rung, rung, parts, channels):
                _check_reach(rung, level, parts, channels, builder)


def _check_rung(rung: Step, parts: Parts, channels: Names, builder: Builder) -> None:
    if not rung.by:
        builder.mistake(rung, "by", say("none_of"), say("at_least_one"))
    for index, channel in enumerate(rung.by):
        _known(builder, rung, f"by[{index}]", "channel", channel, channels)
    if builder.complete(Post) and all(post.role != rung.role for post in parts.posts):
        builder.mistake(rung, "role", say("no_post", value=rung.role), say("a_post"))


def _check_reach(rung: Step, level: Level, parts: Parts, channels: Names, builder: Builder) -> None:
    """Whoever a rung tells needs an address on one of its channels (a misspelt one was reported already)."""
    holders = {post.person for post in parts.posts if post.role == rung.role}
    for person in parts.persons:
        spelt = channels is None or person.reach.keys() <= set(channels)
        if person.id in holders and spelt and not set(rung.by) & person.reach.keys():
            found = say("unreachable", person=person.id, channels=listing(rung.by))
            builder.mistake(person, "reach", found, say("reach_for", level=level.word))


def _check_ladders_complete(parts: Parts, builder: Builder) -> None:
    missing = set(Level) - {level for level, _, _ in parts.ladders}
    for level in sorted(missing) if parts.devices else ():
        site = next((site for site in parts.sites if site.ladders), parts.sites[0])
        builder.mistake(site, "ladders", say("no_ladder", level=level.word), say("a_ladder"))


def _check_answered(parts: Parts, builder: Builder) -> None:
    """Some post of each ladder must lie on the way up from every device, or nobody is ever told."""
    parents = {place.id: place.within for place in parts.places}
    posts = {(post.role, post.at) for post in parts.posts}
    for device in parts.devices:
        around = list(_upward(device.at, parents))
        for level, steps, _ in parts.ladders if around else ():
            if not any((step.role, place) in posts for step in steps for place in around):
                found = say("nobody", level=level.word, place=device.at)
                builder.mistake(device, "at", found, say("somebody"))


# ---------------------------------------------------------------- devices


def _check_devices(parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    models = {model.id: model for model in parts.models}
    places = {place.id: place for place in parts.places}
    parents = {place.id: place.within for place in parts.places}
    _check_one_gateway(parts.devices, builder)
    for device in parts.devices:
        _known(builder, device, "at", "place", device.at, builder.ids(Place))
        _known(builder, device, "model", "model", device.model, builder.ids(Model))
        _check_heard(device, surroundings, builder)
        _check_zeros(device, builder)
        _check_behind(device, parts.devices, builder)
        _check_period(device, builder)
        _check_neighbours(device, builder)
        around = [places[name] for name in _upward(device.at, parents)]
        if model := models.get(device.model):
            _check_baseline(device, model, builder)
            _check_constants(device, model, builder)
            for rule in parts.rules:
                if judges(rule, device, model):
                    _check_needs(rule, device, around, builder)


def _check_heard(device: Device, surroundings: Surroundings, builder: Builder) -> None:
    """Its topic must reach us: by the broker, or by the intake, and then by nothing else."""
    if device.topic.startswith(POSTED):
        _check_posted(device, surroundings, builder)
        return
    if device.topic.startswith(OWN) or device.model == GATEWAY:
        _check_own(device, surroundings, builder)
        return
    subscribe = surroundings.subscribe
    if subscribe is not None and not any(matches(pattern, device.topic) for pattern in subscribe):
        builder.mistake(device, "topic", say("unheard", value=device.topic), one_of(subscribe))


def _check_posted(device: Device, surroundings: Surroundings, builder: Builder) -> None:
    own = f"{POSTED}{device.id}"
    if device.topic != own:
        builder.mistake(device, "topic", say("value", value=device.topic), one_of([own]))
    if surroundings.intake is False:
        builder.mistake(device, "topic", say("no_intake", value=device.topic), say("an_intake"))
    _check_no_broker(device, POSTED, surroundings, builder)


def _check_no_broker(device: Device, below: str, surroundings: Surroundings, builder: Builder) -> None:
    """Else whoever may publish at the broker could speak for it."""
    for pattern in surroundings.subscribe or ():
        if matches(pattern, device.topic):
            found = say("heard_twice", value=device.topic, filter=pattern)
            builder.mistake(device, "topic", found, say("no_broker", value=below))


def _check_own(device: Device, surroundings: Surroundings, builder: Builder) -> None:
    """What the gateway says of itself comes by no way but its own."""
    own = f"{OWN}{device.id}"
    if device.topic != own:
        builder.mistake(device, "topic", say("value", value=device.topic), one_of([own]))
    _check_no_broker(device, OWN, surroundings, builder)


def _check_one_gateway(devices: Sequence[Device], builder: Builder) -> None:
    """A process is one gateway: a second device for it would never speak."""
    own = [device for device in devices if device.topic.startswith(OWN)]
    for other in own[1:]:
        found = say("second_gateway", value=other.id, other=own[0].id)
        builder.mistake(other, "topic", found, say("one_gateway"))


def _check_zeros(device: Device, builder: Builder) -> None:
    """A spreadsheet makes 71 of 0071; the topic, which is no number, still has them."""
    levels = device.topic.split("/") if device.id.isdecimal() else []
    for level in levels:
        if level != device.id and level.isdecimal() and level.lstrip("0") == device.id.lstrip("0"):
            found = say("zeros_lost", value=device.id, other=level)
            builder.mistake(device, "id", found, say("as_in_topic", value=level))


def _check_period(device: Device, builder: Builder) -> None:
    period, (low, high) = device.baseline_period, derived.PERIOD_DAYS
    if period and not low <= (period.until - period.since).days <= high:
        found = say("days", days=(period.until - period.since).days)
        builder.mistake(period, "to", found, say("days_between", low=low, high=high))


def _check_neighbours(device: Device, builder: Builder) -> None:
    others = builder.ids(Device) - {device.id}
    for near, apart_m in device.neighbours.items():
        known = _known(builder, device, f"neighbours.{near}", "device", near, others)
        if known and apart_m <= 0:
            found = say("number", value=f"{apart_m:g}")
            builder.mistake(device, f"neighbours.{near}", found, say("above_zero"))


def _check_behind(device: Device, devices: Sequence[Device], builder: Builder) -> None:
    """One hop: the silence of many is told of what they all speak through, and that speaks for itself."""
    if not device.behind or not _known(
        builder, device, "behind", "device", device.behind, builder.ids(Device)
    ):
        return
    if device.behind == device.id or any(one.behind for one in devices if one.id == device.behind):
        builder.mistake(device, "behind", say("nested", value=device.behind), say("in_front"))


def _check_baseline(device: Device, model: Model, builder: Builder) -> None:
    measured = [field.quantity for field in model.fields]
    for quantity in device.baseline:
        _known(builder, device, f"baseline.{quantity}", "quantity", quantity, measured)


def _check_constants(device: Device, model: Model, builder: Builder) -> None:
    """Its own, not those of the examples: another sensor's calibration would be silently wrong."""
    for name in device.constants:
        _known(builder, device, f"constants.{name}", "constant", name, tuple(model.constants))
    for field in model.fields:
        names = Formula(field.formula).names - {"raw"} if field.formula else set()
        for name in sorted(names - device.constants.keys()) if field.required else ():
            found = say("no_constant", device=device.id, value=name)
            builder.mistake(device, "constants", found, say("constant_for", quantity=field.quantity))


def _check_needs(rule: RuleKeys, device: Device, around: Sequence[Place], builder: Builder) -> None:
    """What the rule reads of the device's entry must be there, or it would judge nothing and say nothing."""
    if rule.relative_to == "baseline" and rule.when not in device.baseline:
        found = say("no_baseline", device=device.id, quantity=rule.when)
        builder.mistake(device, "baseline", found, say("baseline_for", rule=rule.id))
    if rule.outside and around and not any(rule.outside in place.windows for place in around):
        found = say("no_window", device=device.id, window=rule.outside)
        builder.mistake(device, "at", found, say("window_for", rule=rule.id))


# ---------------------------------------------------------------- calibrations


def _check_calibrations(parts: Parts, builder: Builder) -> None:
    models = {model.id: model for model in parts.models}
    devices = {device.id: device for device in parts.devices}
    for entry in parts.calibrations:
        _known(builder, entry, "device", "device", entry.device, builder.ids(Device))
        if entry.scale == 0:
            builder.mistake(entry, "scale", say("number", value=0), say("not_zero"))
        if device := devices.get(entry.device):
            _check_sensor(entry, models.get(device.model), builder)
    _unique(builder, "calibration", parts.calibrations, "from", _sensor_and_instant)


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
    _known(builder, entry, "quantity", "quantity", entry.quantity, measured)
