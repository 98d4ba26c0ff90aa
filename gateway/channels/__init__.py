"""The ways to reach a person: one file each, found by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from gateway.channels.base import Answer, Channel, Listening, Pulling, Setup
from gateway.core.quotas import Quota, lowered
from gateway.core.templates import Template

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

__all__ = [
    "Answer",
    "Channel",
    "Listening",
    "Pulling",
    "Setup",
    "build",
    "build_all",
    "find",
    "groups",
    "kinds",
    "quotas",
]

_PARTS = [
    "aliyun", "base", "clouds", "coded", "reliability", "robots", "signers", "wecom_callback", "wording",
]  # fmt: skip
_NOT_KINDS = frozenset(["__init__", *_PARTS])


FAILOVER = "failover"


def kinds() -> list[str]:
    """Every kind that `channels` in lilong.yaml may name."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in _NOT_KINDS)


def find(kind: str) -> ModuleType:
    """The module of a kind. Raises ValueError for a kind that we do not have."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", kind) or kind not in kinds():
        raise ValueError(f"kind: found {kind}, expected one of {', '.join(kinds())}")
    return import_module(f"{__name__}.{kind}")


class Entry(Protocol):
    """One entry of `channels` in lilong.yaml, as config.ChannelConfig is."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    @property
    def secrets(self) -> Mapping[str, Path]: ...
    @property
    def templates(self) -> Sequence[Template]: ...


def build_all(entries: Iterable[Entry], broker: BrokerConfig | None = None) -> dict[str, Channel]:
    """Every channel by its name; what others are made of first. Raises as `build`."""
    entries = list(entries)
    plain = {one.name: one for one in entries if one.kind != FAILOVER}
    built = {
        name: build(name, one.kind, one.settings, one.secrets, one.templates, broker)
        for name, one in plain.items()
    }
    others = {name: (built[name], quotas(name, one.kind, one.settings)) for name, one in plain.items()}
    for one in entries:
        if one.kind == FAILOVER:
            setup = Setup(name=one.name, settings=one.settings, secrets=one.secrets, others=others)
            built[one.name] = find(one.kind).build(setup)
    return built


def groups(entries: Iterable[Entry]) -> dict[str, str]:
    """By the name of each member, the failover that it belongs to: what is heard of it is heard of that."""
    made = [one for one in entries if one.kind == FAILOVER]
    return {name: one.name for one in made for name in one.settings.get("of", "").split()}


def build(
    name: str,
    kind: str,
    settings: Mapping[str, str],
    secrets: Mapping[str, Path],
    templates: Sequence[Template] = (),
    broker: BrokerConfig | None = None,
) -> Channel:
    """The channel of one entry of lilong.yaml. Raises ValueError naming the setting that is wrong."""
    setup = Setup(name=name, settings=settings, secrets=secrets, templates=templates, broker=broker)
    channel: Channel = find(kind).build(setup)
    return channel


def quotas(name: str, kind: str, settings: Mapping[str, str]) -> tuple[Quota, ...]:
    """What one channel may carry; `at_most` lowers it. Raises ValueError naming the setting."""
    declared: tuple[Quota, ...] = getattr(find(kind), "QUOTAS", ())
    try:
        return lowered(declared, settings.get("at_most", ""))
    except ValueError as error:
        raise ValueError(f"channels.{name}.at_most: {error}") from None
