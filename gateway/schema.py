"""JSON Schemas of the YAML files, made from the same grammar that reads them: for an editor's completion.

A schema knows keys, kinds of values and lists of words; what only the whole site shows (unknown names, limits
in the wrong order) stays with `lilong check`. Draft 7, which editors know best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gateway.config import ConfigKeys
from gateway.core.catalogue import Catalogue
from gateway.core.model import Field, Level, Model
from gateway.core.units import QUANTITIES
from gateway.grammar import CalibrationKeys, PackKeys, RuleKeys, SiteKeys
from gateway.typed import IDENTIFIER, KINDS, Key, Kind, OneOrMore, keys_of

FILES: Mapping[str, type] = {
    "model": Model,
    "rules": PackKeys,
    "site": SiteKeys,
    "config": ConfigKeys,
    "catalogue": Catalogue,
}

Schema = dict[str, Any]

# What a kind of single value looks like, by the phrase that says what belongs there. One that is not here is
# left open: the schema then knows less, and says nothing wrong.
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_DURATION = r"(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?"
_LEVELS = "|".join(level.word for level in Level)
SHAPES: Mapping[str, Schema] = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "a_number": {"type": "number"},
    "truth": {"type": "boolean"},
    "some_text": {"type": "string", "pattern": r"\S"},
    "identifier": {"type": "string", "pattern": f"^{IDENTIFIER}$"},
    "day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "minute": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$"},
    "duration": {"type": "string", "pattern": f"^{_DURATION}$"},
    "positive_duration": {"type": "string", "pattern": f"^{_DURATION}$"},
    "window": {"type": "string", "pattern": f"^{_CLOCK}-({_CLOCK}|24:00)$"},
    "window_or_name": {"type": "string", "pattern": f"^({IDENTIFIER}|{_CLOCK}-({_CLOCK}|24:00))$"},
    "level_key": {"type": "string", "pattern": f"^({IDENTIFIER}\\.)?({_LEVELS})$"},
    "clock_time": {"type": "string", "pattern": f"^{_CLOCK}$"},
    "turn": {"type": "string", "pattern": f"^{_DURATION}$"},
    "level": {"enum": [level.word for level in Level]},
    "series": {"type": ["string", "number"]},
    "expectation": {"type": "string", "pattern": "@"},
    "person_act": {"type": "string", "pattern": "@"},
    "link_turn": {"type": "string", "pattern": "@"},
    "url": {"type": "string", "pattern": "^https?://"},
    "address": {"type": "string", "pattern": ":[0-9]{1,5}$"},
    "topic": {"type": "string", "pattern": "^[^$#]+$"},
    "filter": {"type": "string"},
    "zone": {"type": "string"},
    "size": {"type": "string"},
}
EXPRESSION: Schema = {"type": "string", "pattern": "[^a-z0-9_]"}  # more than a name
# Names that the grammar takes as texts and the checks compare with a list: an editor had better offer them.
OFFERED: Mapping[tuple[type, str], list[str]] = {
    (Field, "quantity"): list(QUANTITIES),
    (RuleKeys, "when"): list(QUANTITIES),
    (CalibrationKeys, "quantity"): list(QUANTITIES),
}


def schema_of(file: str, locale: str = "en") -> Schema:
    """The schema of one kind of file: a name of FILES."""
    making = _Making(locale)
    root = making.record(FILES[file])
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Lilong: {file}",
        **root,
        "definitions": making.definitions,
    }


class _Making:
    """One schema: the hints of a grammar, each dataclass once."""

    def __init__(self, locale: str) -> None:
        self._locale = locale
        self.definitions: dict[str, Schema] = {}

    def record(self, cls: type) -> Schema:
        """A mapping with the keys of a dataclass and no other."""
        properties: dict[str, Schema] = {}
        patterns: dict[str, Schema] = {}
        keys = [key for key in keys_of(cls) if not _is_file_name(cls, key)]
        for key in keys:
            if key.rest:
                item = self.of(get_args(key.hint)[1])
                properties = {**dict.fromkeys(key.rest.names(), item), **properties}
                if key.rest.prefix:
                    patterns[f"^{key.rest.prefix}({'|'.join(key.rest.names())})$"] = item
            else:
                properties[key.key] = self._key(cls, key)
        required = [key.key for key in keys if key.required and not key.rest]
        closed = {"additionalProperties": False}
        more = {"patternProperties": patterns} if patterns else {}
        return {"type": "object", "properties": properties, **more, "required": required, **closed}

    def _key(self, cls: type, key: Key) -> Schema:
        if (cls, key.field) in OFFERED:
            offered: Schema = {"enum": OFFERED[cls, key.field]}
            return {"anyOf": [offered, EXPRESSION]} if cls is RuleKeys else offered
        return self.of(key.hint)

    def of(self, hint: Any) -> Schema:
        """What a value of that hint looks like."""
        origin, args = get_origin(hint), get_args(hint)
        if origin is Annotated:
            if isinstance(args[1], OneOrMore):
                return {"anyOf": [self.of(get_args(args[0])[0]), self.of(args[0])]}
            return self._kind(args[1]) if isinstance(args[1], Kind) else self.of(args[0])
        if origin in (Union, UnionType):
            return {"anyOf": [{"type": "null"} if one is NoneType else self.of(one) for one in args]}
        if origin is Literal:
            return {"enum": list(args)}
        if origin is tuple:
            return {"type": "array", "items": self.of(args[0])}
        if origin is Mapping:
            names = {"propertyNames": _as_name(self.of(args[0]))}
            return {"type": "object", **names, "additionalProperties": self.of(args[1])}
        if isinstance(hint, type) and is_dataclass(hint):
            return self._reference(hint)
        return self._kind(KINDS[hint])

    def _reference(self, cls: type) -> Schema:
        if cls.__name__ not in self.definitions:
            self.definitions[cls.__name__] = {}  # it may hold itself
            self.definitions[cls.__name__] = self.record(cls)
        return {"$ref": f"#/definitions/{cls.__name__}"}

    def _kind(self, kind: Kind) -> Schema:
        phrase = kind.expected
        if phrase.name == "whole_between":
            low, high = (int(str(phrase.blanks[name])) for name in ("low", "high"))
            return {"type": "integer", "minimum": low, "maximum": high}
        shape = SHAPES.get(phrase.name, {})
        return {**shape, "description": phrase.in_(self._locale)} if shape else {}


def _as_name(shape: Schema) -> Schema:
    """What a key may be: it is always a text, also where it stands for a number."""
    return shape if shape.get("type", "string") == "string" else {"pattern": "^-?[0-9]+$"}


def _is_file_name(cls: type, key: Key) -> bool:
    """A model's id is the name of its file."""
    return cls is Model and key.field == "id"
