"""Edits that a running daemon must not take: the files are sound, and what stands would lose its meaning."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.edits import undeclared
from gateway.core.model import World
from gateway.core.state import Track
from gateway.problems import ConfigError, say


def undeclared_edits(tracks: Iterable[Track], world: World, locale: str) -> list[ConfigError]:
    """Rules that would ask another question while an alert of theirs stands, and do not say what then."""
    found, expected = say("another_question"), say("if_changed")
    return [
        ConfigError(rule.origin.file, rule.origin.line, rule.id, found, expected, locale)
        for rule in undeclared(tracks, {rule.id: rule for rule in world.rules})
    ]
