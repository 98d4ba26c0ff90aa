"""Models against their codecs: keys that are not used, keys that are missing, bytes that are not there."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Any

from gateway.checks.parts import check_known, passes
from gateway.core.codecs import COMMON, KEYS
from gateway.core.codecs.bits import TYPES, picked, width
from gateway.core.codecs.formula import Formula
from gateway.core.model import Model
from gateway.problems import listing, say
from gateway.typed import Builder, keys_of


def check_codec(model: Model, builder: Builder) -> None:
    """Keys that its codec does not use, keys that it needs, and bytes that are not there."""
    keys = KEYS.get(model.codec.kind)
    if keys is None:
        return
    if not passes(builder, _check_all_keys, model) or "block" not in keys.field:
        return
    if passes(builder, _check_blocks, model) and passes(builder, _check_in_blocks, model):
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
        if check_known(builder, codec, f"history.{name}", "block", name, blocks):
            _check_end(codec, f"history.{name}", "uint32le", clock, name, model, builder)
    if codec.flags_at is not None and codec.flags_at + 2 > codec.head:
        found = say("beyond_block", what="uint16be", end=codec.flags_at + 2, block="head", bytes=codec.head)
        builder.mistake(codec, "flags_at", found, say("in_block"))


def _check_in_blocks(model: Model, builder: Builder) -> None:
    for field in model.fields:
        if not field.radio:
            check_known(builder, field, "block", "block", field.block, tuple(model.codec.blocks))


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
            check_known(builder, field, "formula", "constant", name, known)
