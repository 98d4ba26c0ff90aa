"""Catalogue files: read, checked, and compared with the rules of the site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway import yamlfile
from gateway.core.catalogue import KNOWN, Catalogue
from gateway.core.model import LEVEL_OF, Stage, World
from gateway.problems import one_of, say
from gateway.typed import Builder

NEEDED = ("case", "stage")  # without them nothing can be found again, or compared


def read(path: Path, builder: Builder) -> Catalogue | None:
    """What the file says; None when it has mistakes, which the builder then has too."""
    node, _ = yamlfile.read(path, builder.problems)
    found = builder.record(node, Catalogue)
    if found is not None:
        _check(found, builder)
    return found


def _check(catalogue: Catalogue, builder: Builder) -> None:
    named = {f"fields.{theirs}": ours for theirs, ours in catalogue.fields.items()}
    _check_words(catalogue, named, KNOWN, "what_fact", builder)
    for step, words, what in (
        ("stages", list(map(str, Stage)), "what_stage"),
        ("levels", list(LEVEL_OF), "what_level"),
    ):
        named = {f"{step}.{word}": word for word in getattr(catalogue, step)}
        _check_words(catalogue, named, words, what, builder)
    for fact in NEEDED:
        if not catalogue.name_of(fact):
            builder.mistake(catalogue, "fields", say("without", first="fields", second=fact), say("required"))


def _check_words(
    catalogue: Catalogue, named: Mapping[str, str], known: Iterable[str], what: str, builder: Builder
) -> None:
    for step, word in named.items():
        if word not in (words := list(known)):
            expected = one_of(words, builder.nearest(word, words))
            builder.mistake(catalogue, step, say("unknown", what=say(what), value=word), expected)


def lint(catalogue: Catalogue, world: World, builder: Builder) -> None:
    """Warn of rules that open cases of which the platform would never hear, and of codes for nothing."""
    for rule in world.rules:
        if rule.tells and not catalogue.leaves_out(rule) and not catalogue.code_of(rule):
            builder.mistake(catalogue, "codes", say("no_code", rule=rule.id), say("a_code"))
    known = {rule.id for rule in world.rules} | {rule.scene for rule in world.rules} | world.off.keys()
    named = {f"codes.{name}": name for name in catalogue.codes}
    named |= {f"not_theirs[{number}]": name for number, name in enumerate(catalogue.not_theirs)}
    for step, name in named.items():
        if name not in known:
            builder.mistake(catalogue, step, say("code_of_nothing", value=name), say("rule_or_scene"))
