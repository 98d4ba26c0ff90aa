"""Mistakes that no single entry shows: names nobody has, rules nothing can fire, posts nobody holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from gateway.core import derived
from gateway.core.codecs import waveform
from gateway.core.decoding import matches
from gateway.core.model import Device, Field, Level, Model, Person, Place, Post, Scenario, Step, Unit, Wave
from gateway.core.units import CONVERSIONS, QUANTITIES, conversion
from gateway.grammar import DeriveKeys, LevelKeys, PackKeys, RuleKeys, SiteKeys
from gateway.problems import listing, one_of, say
from gateway.typed import IDENTIFIER, Builder

Names = Collection[str] | None
LIMITS = ("above", "below", "absent")
SOURCES = ("of", "compensated_by", "across")  # keys of a derived quantity that name what is measured
DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the world must fit: names that lilong.yaml gives; None when it has mistakes itself."""

    timezone: str
    channels: tuple[str, ...] | None
    subscribe: tuple[str, ...] | None


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
        if _sound(builder, _check_fields, model):
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
    open_ended = [device for device in devices if "+" in device.topic]
    for wide in open_ended:
        for other in devices:
            later = wide if other.origin < wide.origin else other
            if wide is not other and wide.topic != other.topic and _overlap(wide.topic, other.topic):
                first = other if later is wide else wide
                found = say("overlapping", value=later.topic, other=first.topic, where=_where(first))
                builder.mistake(later, "topic", found, say("unique", what=say("what_topic")))


def _overlap(one: str, other: str) -> bool:
    levels = list(zip(one.split("/"), other.split("/"), strict=False))
    return one.count("/") == other.count("/") and all(a == b or "+" in (a, b) for a, b in levels)


# ---------------------------------------------------------------- models


def _check_fields(model: Model, builder: Builder) -> None:
    if not re.fullmatch(IDENTIFIER, model.id):
        builder.mistake(model, "", say("value", value=model.id), say("identifier"))
    kinds = model.kinds
    _check_wave(model, builder)
    seen: set[tuple[str, str]] = set()
    for field in model.fields:
        if field.of:
            _known(builder, field, "of", "component", field.of, kinds)
        if _known(builder, field, "quantity", "quantity", field.quantity, tuple(QUANTITIES)):
            if model.codec.wave and field.of == waveform.AXIS:
                _check_feature(field, model.codec.wave, builder)
            else:
                _check_unit(builder, field)
        if (field.of, field.quantity) in seen:
            found = say("twice", what=say("what_quantity"), value=field.quantity, where=_where(model))
            builder.mistake(field, "quantity", found, say("unique", what=say("what_quantity")))
        seen.add((field.of, field.quantity))
    if not model.fields:
        builder.mistake(model, "fields", say("none_of"), say("at_least_one"))


def _check_wave(model: Model, builder: Builder) -> None:
    """A waveform has a wave, nothing else has one, and its rate comes from one place."""
    codec, wave = model.codec, model.codec.wave
    if wave is None:
        if codec.kind == "waveform":
            builder.mistake(codec, "wave", say("missing"), say("required"))
        return
    if codec.kind != "waveform":
        found = say("both", first=f"kind: {codec.kind}", second="wave")
        builder.mistake(codec, "wave", found, say("nothing_here"))
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


def _check_examples(model: Model, builder: Builder) -> None:
    if not any(example.readings for example in model.examples):
        builder.mistake(model, "examples", say("none_of"), say("good_example"))
    for example in model.examples:
        if not example.readings and not example.error:
            builder.mistake(example, "", say("none_of"), say("only_one_of", words="readings, error"))
        for index, reading in enumerate(example.readings):
            for key in reading:
                _check_example_key(model, example, f"readings[{index}].{key}", key, reading, builder)


def _check_example_key(
    model: Model, example: Any, step: str, key: str, reading: Any, builder: Builder
) -> None:
    value = reading[key]
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
    if len(chosen) != 1:
        found = say("both", first=chosen[0], second=chosen[1]) if chosen else say("none_of")
        builder.mistake(rule, step, found, say("only_one_of", words=listing(LIMITS)))
        return False
    fits = {"above": "clear_below", "below": "clear_above", "absent": ""}[chosen[0]]
    strange = [name for name in ("clear_below", "clear_above") if getattr(keys, name) is not None]
    strange += ["hold"] if keys.hold and chosen[0] == "absent" else []
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
    sign = -1 if kind == "below" else 1
    if (sign * getattr(high, kind), high.hold) <= (sign * getattr(low, kind), low.hold):
        builder.mistake(rule, step, say("order", level=level.word, lower=lower.word), say("rising"))


def _check_measure(rule: RuleKeys, builder: Builder) -> None:
    """A rule of silence judges no quantity; every other rule does."""
    kinds = {kind_of(keys) for keys in rule.levels.values()}
    if kinds == {"absent"}:
        for key in ("when", "relative_to", "outside"):
            if getattr(rule, key):
                builder.mistake(rule, key, say("both", first="absent", second=key), say("nothing_here"))
        if rule.on.each:
            builder.mistake(rule, "on.each", say("both", first="absent", second="each"), say("nothing_here"))
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
        known = {field.quantity for model in fitting for field in model.fields if field.of == on.each}
        if not on.each:
            known |= {one.quantity for one in parts.derived for model in fitting if _derives(one, model)}
        measured = sorted(known)
        if rule.when not in measured:
            found = say("no_measure", value=rule.when, scene=on.scene)
            builder.mistake(rule, "when", found, one_of(measured, builder.nearest(rule.when, measured)))


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
        and (not rule.when or any(f.quantity == rule.when and f.of == on.each for f in model.fields))
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
    for device in parts.devices:
        _known(builder, device, "at", "place", device.at, builder.ids(Place))
        _known(builder, device, "model", "model", device.model, builder.ids(Model))
        _check_heard(device, surroundings.subscribe, builder)
        _check_period(device, builder)
        _check_neighbours(device, builder)
        around = [places[name] for name in _upward(device.at, parents)]
        if model := models.get(device.model):
            _check_baseline(device, model, builder)
            for rule in parts.rules:
                if judges(rule, device, model):
                    _check_needs(rule, device, around, builder)


def _check_heard(device: Device, subscribe: Names, builder: Builder) -> None:
    if subscribe is not None and not any(matches(pattern, device.topic) for pattern in subscribe):
        builder.mistake(device, "topic", say("unheard", value=device.topic), one_of(tuple(subscribe)))


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


def _check_baseline(device: Device, model: Model, builder: Builder) -> None:
    measured = [field.quantity for field in model.fields]
    for quantity in device.baseline:
        _known(builder, device, f"baseline.{quantity}", "quantity", quantity, measured)


def _check_needs(rule: RuleKeys, device: Device, around: Sequence[Place], builder: Builder) -> None:
    """What the rule reads of the device's entry must be there, or it would judge nothing and say nothing."""
    if rule.relative_to == "baseline" and rule.when not in device.baseline:
        found = say("no_baseline", device=device.id, quantity=rule.when)
        builder.mistake(device, "baseline", found, say("baseline_for", rule=rule.id))
    if rule.outside and around and not any(rule.outside in place.windows for place in around):
        found = say("no_window", device=device.id, window=rule.outside)
        builder.mistake(device, "at", found, say("window_for", rule=rule.id))
