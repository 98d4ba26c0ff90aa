"""Rules: their levels, what they judge, and what they need of a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from gateway.checks.hours import named_windows
from gateway.checks.parts import Parts, check_known
from gateway.core.conditions import parsed
from gateway.core.doubts import STUCK
from gateway.core.expressions import Expression
from gateway.core.measures import BEFORE_LEAST, COVERED, SAMPLES_MOST, UNUSUAL
from gateway.core.model import SECOND, Device, Level, Model, Place
from gateway.core.presence import tells
from gateway.core.texts import span
from gateway.core.units import QUANTITIES
from gateway.core.words import Mistake
from gateway.grammar import QUANTITY_NAME, DeriveKeys, LevelKeys, RuleKeys
from gateway.problems import Phrase, Verbatim, listing, one_of, say
from gateway.typed import Builder

CLEARS = {  # each kind of limit, and by which key it clears
    "above": "clear_below",
    "below": "clear_above",
    "inside": "clear_outside",
    "outside": "clear_inside",
    "equals": "",
    "absent": "",
    "missed": "",
}
LIMITS = tuple(CLEARS)
RED_NEEDS = ("consequence", "owner", "respond_within")  # besides action and basis, which every rule needs
SILENCE = frozenset({"absent", "missed"})


def check_levels(rule: RuleKeys, builder: Builder) -> None:
    if not rule.levels:
        builder.mistake(rule, "levels", say("none_of"), say("at_least_one"))
    for key in RED_NEEDS if Level.RED in rule.levels else ():
        if not getattr(rule, key):
            builder.mistake(rule, "levels.red", say("red_without", key=key), say("required"))
    _check_unusual(rule, builder)
    sound = [_check_level(rule, level, builder) for level in sorted(rule.levels)]
    if not all(sound):
        return
    for lower, level in pairwise(sorted(rule.levels)):
        _check_rise(rule, lower, level, builder)
    _check_measure(rule, builder)


def _check_unusual(rule: RuleKeys, builder: Builder) -> None:
    """What is only unusual is a hint: whoever is woken is woken for a limit. A state has no scatter."""
    unusual = rule.expression.unusual if rule.expression else ()
    for level in sorted(rule.levels) if unusual else ():
        if level > Level.YELLOW:
            found = say("unusual_above_yellow", level=level.word)
            builder.mistake(rule, f"levels.{level.word}", found, say("yellow_alone"))
    for name in dict.fromkeys(one.of for one in unusual):
        if QUANTITIES[name].unit == "1":
            builder.mistake(rule, "when", say("unusual_state", quantity=name), say("a_measured_one"))


def kind_of(keys: LevelKeys) -> str:
    """Which of LIMITS a sound level sets."""
    return next(name for name in LIMITS if getattr(keys, name) is not None)


def _written(names: Sequence[str]) -> list[str]:
    return ["is" if name == "equals" else name for name in names]


def _check_level(rule: RuleKeys, level: Level, builder: Builder) -> bool:
    keys, step = rule.levels[level], f"levels.{level.word}"
    before = len(builder.problems)
    chosen = [name for name in LIMITS if getattr(keys, name) is not None]
    if len(chosen) != 1 and set(chosen) != SILENCE:
        both = _written(chosen)
        found = say("both", first=both[0], second=both[1]) if chosen else say("none_of")
        builder.mistake(rule, step, found, say("only_one_of", words=listing(_written(LIMITS))))
        return False
    fits = CLEARS[chosen[0]]
    strange = [name for name in CLEARS.values() if name and getattr(keys, name) is not None]
    strange += [name for name in ARMING if getattr(keys, name) and chosen[0] in SILENCE]
    _check_arming(rule, level, builder)
    if keys.missed is not None and keys.missed < 1:
        builder.mistake(rule, f"{step}.missed", say("number", value=f"{keys.missed:g}"), say("over", low="1"))
    for name in strange:
        if name != fits:
            found = say("both", first=_written(chosen)[0], second=name)
            builder.mistake(rule, f"{step}.{name}", found, one_of([fits] if fits else []))
    _check_clear(rule, level, chosen[0], fits, builder)
    return len(builder.problems) == before


ARMING = ("hold", "within", "readings")


def _check_arming(rule: RuleKeys, level: Level, builder: Builder) -> None:
    """Bad on end, bad in all within a longer span, or so many readings."""
    keys, step = rule.levels[level], f"levels.{level.word}"
    if keys.readings and keys.hold:
        found = say("both", first="hold", second="readings")
        builder.mistake(rule, f"{step}.readings", found, say("one_way"))
    if keys.within is not None and not 0 < keys.hold < keys.within:
        found = say("not_longer", key="within", other="hold")
        builder.mistake(rule, f"{step}.within", found, say("longer_than", other="hold"))


def _check_clear(rule: RuleKeys, level: Level, chosen: str, fits: str, builder: Builder) -> None:
    keys = rule.levels[level]
    clear = getattr(keys, fits) if fits else None
    limit = getattr(keys, chosen)
    if clear is not None and BEYOND[chosen](clear, limit):
        found = say("clear_beyond", key=fits, value=shown_limit(clear), limit=shown_limit(limit))
        builder.mistake(rule, f"levels.{level.word}.{fits}", found, say("on_good_side"))


BEYOND: Mapping[str, Callable[[Any, Any], bool]] = {  # a clear limit on the bad side of the limit
    "above": lambda clear, limit: clear > limit,
    "below": lambda clear, limit: clear < limit,
    "inside": lambda clear, limit: clear[0] > limit[0] or clear[1] < limit[1],
    "outside": lambda clear, limit: clear[0] < limit[0] or clear[1] > limit[1],
}


def shown_limit(limit: float | tuple[float, float]) -> str:
    return f"{limit[0]:g}..{limit[1]:g}" if isinstance(limit, tuple) else f"{limit:g}"


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
    if not _rises(kind, low, high):
        builder.mistake(rule, step, say("order", level=level.word, lower=lower.word), say("rising"))


def _rises(kind: str, low: LevelKeys, high: LevelKeys) -> bool:
    one, other = getattr(low, kind), getattr(high, kind)
    if (high.missed or 0.0) < (low.missed or 0.0):
        return False
    if one == other:
        return _patience(high) > _patience(low)
    return WORSE[kind](one, other)


WORSE: Mapping[str, Callable[[Any, Any], bool]] = {  # whatever is bad for the higher level is for the lower
    "above": lambda low, high: low < high,
    "below": lambda low, high: low > high,
    "inside": lambda low, high: low[0] <= high[0] and high[1] <= low[1],
    "outside": lambda low, high: high[0] <= low[0] and low[1] <= high[1],
    "equals": lambda low, high: True,  # codes have no order
    "absent": lambda low, high: low < high,
    "missed": lambda low, high: low < high,
}


def _patience(keys: LevelKeys) -> tuple[float, int]:
    return keys.hold, keys.readings[0] if keys.readings else 0


def _check_measure(rule: RuleKeys, builder: Builder) -> None:
    """A rule of silence judges no quantity; every other rule does."""
    kinds = {kind_of(keys) for keys in rule.levels.values()}
    if kinds and kinds <= SILENCE:
        kind = min(kinds)
        for key in ("when", "relative_to", "during", "lateness", "cool_down", "confidence", "on_bad_quality"):
            if getattr(rule, key):
                builder.mistake(rule, key, say("both", first=kind, second=key), say("nothing_here"))
        if rule.on.each:
            builder.mistake(rule, "on.each", say("both", first=kind, second="each"), say("nothing_here"))
    elif kinds and not rule.when:
        builder.mistake(rule, "when", say("missing"), say("required"))
    others = _written(sorted(kinds - {"above"}))
    if rule.relative_to and others:  # judged is a distance, which is never below anything bad
        found = say("both", first="relative_to", second=others[0])
        builder.mistake(rule, "relative_to", found, one_of(["above"]))


def check_subject(rule: RuleKeys, parts: Parts, builder: Builder) -> None:
    """Something in the world must be able to fire it."""
    on, models = rule.on, parts.models
    scenes = sorted({model.scene for model in models})
    if on.scene not in scenes:
        found = say("no_scene", value=on.scene)
        builder.mistake(rule, "on.scene", found, one_of(scenes, builder.nearest(on.scene, scenes)))
        return
    fitting = [model for model in models if model.scene == on.scene]
    if on.model:
        if not check_known(builder, rule, "on.model", "model", on.model, [model.id for model in fitting]):
            return
        fitting = [model for model in fitting if model.id == on.model]
    kinds = sorted({kind for model in fitting for kind in model.kinds})
    if on.each and on.each not in kinds:
        expected = say("scene_component", words=listing(kinds))
        builder.mistake(rule, "on.each", say("no_component", value=on.each), expected)
        return
    if rule.when and _is_readable(rule, builder):
        _check_reads(rule, fitting, parts, builder)
    _check_snapshot(rule, fitting, builder)


def _check_snapshot(rule: RuleKeys, fitting: Sequence[Model], builder: Builder) -> None:
    """Something it judges must have a picture to give."""
    judged = [one for one in fitting if set(rule.quantities) <= _measured(one, rule.on.each)] or fitting
    if "snapshot" in rule.steps and not any(one.snapshot for one in judged):
        found = say("no_snapshot", words=listing([one.id for one in judged]))
        builder.mistake(rule, "steps", found, say("a_snapshot"))


def _is_readable(rule: RuleKeys, builder: Builder) -> bool:
    """A quantity that exists, or an expression that can be parsed."""
    if QUANTITY_NAME.fullmatch(rule.when):
        return check_known(builder, rule, "when", "quantity", rule.when, tuple(QUANTITIES))
    try:
        parsed(rule.when)
    except Mistake as mistake:
        words = Verbatim("", words=(mistake.found.zh, mistake.found.en))
        found = say("in_column", column=mistake.column, found=words)
        expected = Verbatim("", words=(mistake.expected.zh, mistake.expected.en))
        builder.mistake(rule, "when", found, expected)
        return False
    return True


def _check_reads(rule: RuleKeys, fitting: Sequence[Model], parts: Parts, builder: Builder) -> None:
    """Each quantity is measured, or derived, by a model that the rule is about."""
    known = {name for model in fitting for name in _measured(model, rule.on.each)}
    if not rule.on.each:
        derived = {one.quantity for one in parts.derived for model in fitting if _derives(one, model)}
        if rule.relative_to == "baseline" and rule.when in derived - known:  # a device's entry has none
            found = say("both", first="relative_to: baseline", second=rule.when)
            builder.mistake(rule, "relative_to", found, one_of(["zero"]))
        known |= derived
        if rule.lateness and any(one.quantity == rule.when for one in parts.derived):
            found = say("both", first="lateness", second=rule.when)
            builder.mistake(rule, "lateness", found, say("nothing_here"))
    measured = sorted(known)
    for name in rule.quantities:
        if name not in known:
            found = say("no_measure", value=name, scene=rule.on.scene)
            builder.mistake(rule, "when", found, one_of(measured, builder.nearest(name, measured)))
    for model in fitting:
        if rule.expression is not None:
            _check_memory(rule, rule.expression, model, builder)
        if rule.lateness and rule.lateness > model.lateness_s:
            found = say("value", value=span(rule.lateness))
            builder.mistake(rule, "lateness", found, _within_lateness(model))


def _within_lateness(model: Model) -> Phrase:
    return say("within_lateness", model=model.id, lateness=span(model.lateness_s))


def _check_memory(rule: RuleKeys, expression: Expression, model: Model, builder: Builder) -> None:
    """A window must hold enough readings of a device to say anything, and no more than it can keep."""
    every_s = model.expect_every_s
    for one in expression.windows if every_s else ():
        span_s = one.span_ns / SECOND
        least = BEFORE_LEAST if one.function == UNUSUAL else 2
        if one.function in COVERED and span_s < least * every_s:
            found = say("short_window", window=one.key, model=model.id, every=f"{every_s:g}")
            builder.mistake(rule, "when", found, say("longer_window", least=least))
        if span_s > SAMPLES_MOST * every_s:
            found = say("long_window", window=one.key, model=model.id, most=SAMPLES_MOST)
            builder.mistake(rule, "when", found, say("shorter_window"))


def check_expression(rule: RuleKeys, builder: Builder) -> None:
    """What goes with an expression, and what only goes with one."""
    expression = rule.expression
    if expression is None:
        for key in ("called", "on.group"):
            if rule.on.group if key == "on.group" else rule.called:
                builder.mistake(rule, key, say("without_expression", key=key), say("nothing_here"))
        return
    if not rule.called and not rule.double_control:
        builder.mistake(rule, "called", say("missing"), say("required"))
    for key in ("relative_to", "lateness", "confidence"):
        if getattr(rule, key):
            found = say("both", first=key, second="when")
            builder.mistake(rule, key, found, say("nothing_here"))
    if ("members" in expression.scope) != bool(rule.on.group):
        found = say("group_and_members")
        builder.mistake(rule, "on.group", found, say("both_or_neither"))
    for level, keys in rule.levels.items():
        if expression.kind == "truth" and keys.equals != 1.0:
            builder.mistake(rule, f"levels.{level.word}", say("a_truth"), say("is_true"))


def check_double_control(rule: RuleKeys, builder: Builder) -> None:
    """Of one quantity, whose distance and rate never go below anything bad; its control values are not 0."""
    both = rule.double_control
    if both is None:
        return
    if rule.when and not QUANTITY_NAME.fullmatch(rule.when):
        builder.mistake(rule, "when", say("value", value=rule.when), say("what_quantity"))
    for level, keys in rule.levels.items():
        if keys.above is None:
            builder.mistake(rule, f"levels.{level.word}", say("missing"), one_of(["above"]))
    for key in ("cumulative", "rate_per_day"):
        if getattr(both, key) <= 0:
            found = say("number", value=f"{getattr(both, key):g}")
            builder.mistake(rule, f"double_control.{key}", found, say("over", low="0"))


def check_confidence(rule: RuleKeys, builder: Builder) -> None:
    if not 0 <= rule.confidence <= 1:
        found = say("number", value=f"{rule.confidence:g}")
        builder.mistake(rule, "confidence", found, say("a_share"))


def _measured(model: Model, kind: str) -> set[str]:
    """What a rule may judge of a device, or of its components of a kind."""
    fields = [field for field in model.fields if field.of == kind]
    stuck = {STUCK} if any(field.stuck_after for field in fields) else set()
    return {field.quantity for field in fields} | stuck | tells(model, kind)


def _derives(keys: DeriveKeys, model: Model) -> bool:
    return keys.on.scene == model.scene and keys.on.model in ("", model.id)


def judges(rule: RuleKeys, device: Device, model: Model) -> bool:
    """Whether the rule has anything to say of this device."""
    on = rule.on
    return (
        model.scene == on.scene
        and on.model in ("", model.id)
        and on.labels.items() <= device.labels.items()
        and set(rule.quantities) <= _measured(model, on.each)
    )


def needs(rule: RuleKeys) -> bool:
    """Whether it reads anything of a device's entry or place: check_needs would find nothing otherwise."""
    return bool(counted_from_baseline(rule)) or bool(rule.during)


def counted_from_baseline(rule: RuleKeys) -> tuple[str, ...]:
    """The quantities of which it asks how far they lie from the device's baseline."""
    if rule.expression is not None:
        return rule.expression.from_baseline
    return (rule.when,) if rule.relative_to == "baseline" else ()


def check_needs(rule: RuleKeys, device: Device, around: Sequence[Place], builder: Builder) -> None:
    """What the rule reads of the device's entry must be there, or it would judge nothing and say nothing."""
    for quantity in counted_from_baseline(rule):
        if quantity not in device.baseline:
            found = say("no_baseline", device=device.id, quantity=quantity)
            builder.mistake(device, "baseline", found, say("baseline_for", rule=rule.id))
    for _, name in named_windows(rule.during):
        if around and not any(name in place.windows for place in around):
            found = say("no_window", device=device.id, window=name)
            builder.mistake(device, "at", found, say("window_for", rule=rule.id))
