"""The ways to reach a person: one file each, found by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from gateway.channels.base import Answer, Channel, Listening, Setup
from gateway.core.quotas import Quota, lowered

__all__ = ["Answer", "Channel", "Listening", "Setup", "build", "find", "kinds", "quotas"]

_NOT_KINDS = frozenset(
    {"__init__", "aliyun", "base", "clouds", "coded", "pace", "signers", "wecom_callback", "wording"}
)


def kinds() -> list[str]:
    """Every kind that `channels` in lilong.yaml may name."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in _NOT_KINDS)


def find(kind: str) -> ModuleType:
    """The module of a kind. Raises ValueError for a kind that we do not have."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", kind) or kind not in kinds():
        raise ValueError(f"kind: found {kind}, expected one of {', '.join(kinds())}")
    return import_module(f"{__name__}.{kind}")


def build(name: str, kind: str, settings: Mapping[str, str], secrets: Mapping[str, Path]) -> Channel:
    """The channel of one entry of lilong.yaml. Raises ValueError naming the setting that is wrong."""
    channel: Channel = find(kind).build(Setup(name=name, settings=settings, secrets=secrets))
    return channel


def quotas(name: str, kind: str, settings: Mapping[str, str]) -> tuple[Quota, ...]:
    """What one channel may carry; `at_most` lowers it. Raises ValueError naming the setting."""
    declared: tuple[Quota, ...] = getattr(find(kind), "QUOTAS", ())
    try:
        return lowered(declared, settings.get("at_most", ""))
    except ValueError as error:
        raise ValueError(f"channels.{name}.at_most: {error}") from None
