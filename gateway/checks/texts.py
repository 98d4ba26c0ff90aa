"""The register of approved templates: what a provider would refuse, cut or charge for, told beforehand.

The longest text of every rule is worked out from the longest name and place among devices that no rule can
tell apart, never from each pair of a rule and a device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from gateway.checks.lengths import situations
from gateway.checks.parts import Parts, Text, check_known
from gateway.core import texts
from gateway.core.conditions import speaks_of
from gateway.core.model import AlertState, Device, Kind, Rule, World
from gateway.core.places import whereabouts
from gateway.core.receipts import LADDER
from gateway.core.templates import (
    APPROVED,
    BLANK,
    DIGEST,
    KINDS,
    MANY_PARTS,
    SAID,
    TEXT_MOST,
    UNCUT,
    Template,
    Templates,
    needed,
    parts,
    refused,
    safe,
)
from gateway.grammar import RuleKeys
from gateway.problems import listing, one_of, say
from gateway.typed import Builder

NUMBERED = "{1}"
SPOKEN_MOST = 100  # characters, about 20 s at five in a second: who is woken listens no longer
WARNED_MOST = 40  # devices, and places, of one finding: nobody reads more
ASKS = re.compile(r"(?:回复|回|按|输入)\s*[“\"']?\s*(?:数字|键)?\s*[1１]")
STATE_OF = {Kind.CLEARED: AlertState.CLEARED, Kind.LATCHED: AlertState.LATCHED}  # else it is firing
LEVEL_SHOWN = {kind: len(head.format(level="黄色提示")) for kind, head in texts.KINDS.items()}
DIGEST_HEAD = len("99条，最急：")


# ---------------------------------------------------------------- the register by itself


def check_templates(
    templates: Sequence[Template], channels: Sequence[str], blanks: Mapping[str, str], builder: Builder
) -> None:
    """`blanks`: of each channel that says approved texts only, how a variable stands in them."""
    for one in templates:
        if check_known(builder, one, "channel", "channel", one.channel, list(blanks)):
            _check_text(one, blanks[one.channel] == NUMBERED, builder)
        for number, kind in enumerate(one.kinds):
            check_known(builder, one, f"kinds[{number}]", "kind", kind, KINDS)
    for name in channels:
        _check_kinds([one for one in templates if one.channel == name], builder)


def _check_kinds(own: Sequence[Template], builder: Builder) -> None:
    """Each kind once among the approved ones, and none left out."""
    taken: dict[str, Template] = {}
    for one in own:
        for number, kind in enumerate(one.kinds or ("",)) if one.state == APPROVED else ():
            before = taken.setdefault(kind, one)
            if before is not one:
                where = f"{before.id}:{before.origin.line}"
                found = say("twice", what=say("what_kind"), value=kind or "*", where=where)
                builder.mistake(one, f"kinds[{number}]", found, say("unique", what=say("what_kind")))
    if own and (missing := Templates(own).missing):
        found = say("no_template", channel=own[0].channel, words=listing(missing))
        builder.mistake(own[0], "", found, say("a_template"))


def _check_text(one: Template, numbered: bool, builder: Builder) -> None:
    for number, name in enumerate(one.variables):
        check_known(builder, one, f"variables[{number}]", "variable", name, SAID)
    for match in BLANK.finditer(one.text):
        if not _is_blank(one, match[0], numbered):
            known = [f"{{{n}}}" for n, _ in enumerate(one.variables, 1)] if numbered else _named()
            builder.mistake(one, "text", say("no_blank", value=match[0]), one_of(known))
    unused = [name for n, name in enumerate(one.variables, 1) if not numbered or str(n) not in one.blanks]
    if unused:
        builder.mistake(one, "variables", say("unused_variable", value=unused[0]), say("a_blank"))
    for name in one.most:
        check_known(builder, one, f"most.{name}", "variable", name, one.names)
    if (wrong := refused(BLANK.sub("，", one.text))) or len(one.text) > TEXT_MOST:
        found = say("refused_text", value=wrong) if wrong else say("letters", letters=len(one.text))
        builder.mistake(one, "text", found, say("approved_text", most=TEXT_MOST))


def _is_blank(one: Template, blank: str, numbered: bool) -> bool:
    name = blank.strip("${}")
    if numbered:
        known = name.isdecimal() and 1 <= int(name) <= len(one.variables)
        return known and not blank.startswith("$")
    return name in SAID and blank.startswith("$")


def _named() -> list[str]:
    return [f"${{{name}}}" for name in SAID]


# ---------------------------------------------------------------- the longest that each rule says


@dataclass(slots=True)
class Alike:
    """Devices that no rule tells apart: of all of them the longest name, and the longest place."""

    device: Device
    place: str

    @property
    def name(self) -> int:
        return len(self.device.says or self.device.id)


@dataclass(frozen=True)
class Worst:
    """The longest that one rule can say, in characters as carriers take them."""

    rule: Rule
    device: Device
    place: int
    world: World
    keys: RuleKeys | None = None  # as it is written; None where nobody is blamed

    @cached_property
    def title(self) -> int:
        component = longest_component(self.rule, self.device, self.world)
        return _letters(f"{self.rule.says} · {texts.subject_name(self.device, component)}")

    @cached_property
    def situations(self) -> dict[AlertState, str]:
        found = situations(self.rule, self.device, self.world)
        return {state: safe(text, UNCUT) for state, text in found.items()}

    @property
    def needs(self) -> dict[str, int]:
        """Of each variable what must not be cut."""
        least = max(len(needed(text, "situation")) for text in self.situations.values())
        return {"title": self.title, "situation": least}

    def blame(self, variable: str) -> tuple[object, str]:
        """Where it would have to be written shorter: the value, and its key."""
        if variable == "title" and len(self.device.says) > len(self.rule.says):
            return self.device, "says"
        return self.keys, "says" if variable == "title" else "levels"

    def said(self, kinds: Iterable[str]) -> dict[str, int]:
        """Of each variable, when it is told of one of these kinds."""
        states = {STATE_OF.get(Kind(kind), AlertState.FIRING) for kind in kinds if kind != DIGEST}
        return {
            "level": max((LEVEL_SHOWN[Kind(kind)] for kind in kinds if kind != DIGEST), default=0),
            "title": self.title + (DIGEST_HEAD if DIGEST in kinds else 0),
            "place": self.place,
            "situation": max(len(self.situations[state]) for state in states or {AlertState.FIRING}),
        }


def longest_component(rule: Rule, device: Device, world: World) -> str:
    """The last part of the kind that a rule judges; "" of a rule on the device itself."""
    found = [one for one in world.models[device.model].components if one.kind == rule.each]
    return f"{rule.each}-{found[0].count}" if found else ""


def alike(world: World) -> list[Alike]:
    names = sorted({name for rule in world.rules for name in rule.labels})
    places = {at: whereabouts(world, at) for at in {device.at for device in world.devices.values()}}
    found: dict[object, Alike] = {}
    for device in world.devices.values():
        key = device.model, tuple(device.labels.get(name) for name in names)
        known = found.setdefault(key, Alike(device, places[device.at]))
        if known.name < len(device.says or device.id):
            known.device = device
        if len(known.place) < len(places[device.at]):
            known.place = places[device.at]
    return list(found.values())


def worst(parts: Parts, world: World) -> Iterator[Worst]:
    """Of every rule that some device fits."""
    groups, judging = alike(world), [keys for keys in parts.rules if keys.mode != "off"]
    place = {one.place: _letters(one.place) for one in groups}
    for keys, rule in zip(judging, world.rules, strict=True):
        fitting = [one for one in groups if speaks_of(rule, one.device, world)]
        if fitting:
            device = max(fitting, key=lambda one: one.name).device
            yield Worst(rule, device, max(place[one.place] for one in fitting), world, keys)


def lengths(rule: Rule, device: Device, world: World, register: Sequence[Text]) -> list[tuple[Template, int]]:
    """Every approved text, and how many characters it comes to for one device at the most."""
    longest = Worst(rule, device, _letters(whereabouts(world, device.at)), world)
    used = [one for one in register if one.template.state == APPROVED and one.template.text]
    said = ((one, longest.said(_served(one.template, register))) for one in used)
    return [(one.template, one.template.characters(variables, one.sign)) for one, variables in said]


def _letters(text: str) -> int:
    return len(safe(text, UNCUT))


# ---------------------------------------------------------------- warnings


def lint_texts(parts: Parts, world: World, register: Sequence[Text], builder: Builder) -> None:
    """What sound files would make of the approved texts; a site that sends none hears nothing."""
    if not register:
        return
    served = [
        (text, _served(text.template, register)) for text in register if text.template.state == APPROVED
    ]
    for text in register:
        _lint_template(text.template, _served(text.template, register), builder)
    found = list(worst(parts, world))
    for text, kinds in served:
        _lint_length(text, kinds, found, builder)
    _lint_cut([text.template for text, _ in served], found, parts, builder)
    _lint_words(parts, builder)


def _served(one: Template, register: Sequence[Text]) -> list[str]:
    """The kinds that are told by it, itself taken for approved."""
    others = [text.template for text in register if text.template.channel == one.channel]
    taken = {kind for other in others if other.state == APPROVED for kind in other.kinds}
    return list(one.kinds) or [kind for kind in KINDS if kind not in taken and kind != DIGEST]


def _lint_template(one: Template, kinds: Sequence[str], builder: Builder) -> None:
    if not one.text:
        return
    if one.state != APPROVED:
        found = say("unapproved", template=one.id, state=one.state, day=str(one.since))
        builder.mistake(one, "state", found, say("approved"))
    in_vain = [kind for kind in kinds if kind not in (*LADDER, DIGEST)]
    if in_vain and (asks := ASKS.search(one.text)):
        builder.mistake(
            one, "text", say("asks_in_vain", value=asks[0], words=listing(in_vain)), say("own_text")
        )


def _lint_length(text: Text, kinds: Sequence[str], found: Sequence[Worst], builder: Builder) -> None:
    """Each template once, by the rule that makes it longest."""
    one = text.template
    long = [(one.characters(each.said(kinds), text.sign), each) for each in found] if one.text else []
    letters, by = max(long, key=lambda pair: pair[0], default=(0, None))
    if by is None:
        return
    told = {"template": one.id, "letters": letters, "rule": by.rule.id, "device": by.device.id}
    if text.spoken and letters > SPOKEN_MOST:
        builder.mistake(one, "text", say("long_call", **told), say("at_most_letters", most=SPOKEN_MOST))
    elif not text.spoken and parts(letters) > one.parts:
        expected = say("parts_most", most=one.parts, letters=one.parts * MANY_PARTS)
        builder.mistake(one, "text", say("many_parts", parts=parts(letters), **told), expected)


def _lint_cut(served: Sequence[Template], found: Sequence[Worst], parts: Parts, builder: Builder) -> None:
    """What has no room in a variable: its end is cut, and that would be the slot's number, or the limit.

    Each value is blamed once. Of a place the nearest stands first, and what is around it may go.
    """
    tightest = {name: _tightest(name, served) for name in ("title", "situation", "place")}
    told: dict[tuple[int, str], None] = {}
    for by in found:
        for name, letters in by.needs.items():
            (whose, step), one = by.blame(name), tightest[name]
            if one and letters > one.bound(name) and (id(whose), name) not in told:
                told[id(whose), name] = None
                about = {"variable": name, "letters": letters, "template": one.id}
                cut = say("cut_off", rule=by.rule.id, device=by.device.id, **about)
                builder.mistake(whose, step, cut, say("at_most_letters", most=one.bound(name)))
    if around := tightest["place"]:
        _lint_places(parts, around, builder)


def _lint_places(parts: Parts, one: Template, builder: Builder) -> None:
    most = one.bound("place")
    for place in islice((place for place in parts.places if len(place.says) > most), WARNED_MOST):
        found = say("long_place", letters=len(place.says), template=one.id)
        builder.mistake(place, "says", found, say("at_most_letters", most=most))


def _tightest(name: str, templates: Sequence[Template]) -> Template | None:
    using = [one for one in templates if name in one.names]
    return min(using, key=lambda one: one.bound(name), default=None)


def _lint_words(parts: Parts, builder: Builder) -> None:
    """What no carrier lets through is left out of a variable, or said otherwise: better not to write it."""
    named: list[Any] = [*parts.rules, *parts.devices, *parts.places]
    wrong = ((one, refused(one.says, variable=True)) for one in named if one.says)
    for one, value in islice((pair for pair in wrong if pair[1]), WARNED_MOST):
        builder.mistake(one, "says", say("left_out", value=value), say("carried"))
