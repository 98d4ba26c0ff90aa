"""What older versions wrote down, as this one says it. A World is never read for less than it said, and what
was told to people under an id keeps it, although this version would have given it another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.core import state as states
from gateway.core.codecs import CODECS
from gateway.core.engine import Engine
from gateway.core.model import Alert, Case, Effect, Notification, World

_decode = msgspec.msgpack.Decoder(World).decode


def read_world(body: bytes) -> World | None:
    """None when it says what this version does not know: judging without that would be another matter."""
    try:
        said = _renamed(msgspec.msgpack.decode(body))
        world = _decode(msgspec.msgpack.encode(said))
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError):
        return None
    known = msgspec.msgpack.decode(msgspec.msgpack.encode(world))
    if not all(model.codec.kind in CODECS for model in world.models.values()):
        return None
    return world if _is_within(said, known) else None


def _renamed(said: dict[str, Any]) -> dict[str, Any]:
    """Until 7ddeede a rule said `outside: WINDOW`, since then `during: {outside: WINDOW}`."""
    for rule in said["rules"]:
        outside = rule.pop("outside", "")
        if outside:
            rule["during"] = {"outside": outside}
    return said


def _is_within(said: Any, known: Any) -> bool:
    """Whether every key of the one has its place in the other, however deep."""
    if isinstance(said, dict):
        return all(key in known and _is_within(value, known[key]) for key, value in said.items())
    if isinstance(said, list):
        return all(map(_is_within, said, known))
    return True


class Names:
    """Which ids another version gave to what this one makes of the same events. They have one length."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._given)

    def agree(self, made: Iterable[Effect], committed: Iterable[Effect]) -> bool:
        """Whether the same came of an event, whatever it is called; learns what it is called."""
        here, there = _gists(made), _gists(committed)
        if [rest for _, rest in here] != [rest for _, rest in there]:
            return False
        for (mine, _), (theirs, _) in zip(here, there, strict=True):
            if self._given.get(mine, mine) != theirs:
                self._given[mine] = theirs
        return True

    def given_to(self, engine: Engine) -> Engine:
        """The engine as if it had given them itself; they are then forgotten."""
        names = {mine.encode(): theirs.encode() for mine, theirs in self._given.items()}
        self._given.clear()
        any_of_them = re.compile(b"|".join(map(re.escape, names)))
        body = any_of_them.sub(lambda found: names[found[0]], states.save(engine.state))
        return Engine(engine.world, states.load(body), engine.recent)


def _gists(changes: Iterable[Effect]) -> list[tuple[str, tuple[str, str, int, str]]]:
    """Ids of alerts, cases and messages, and what each came to, sorted by that: who it is about, how bad."""
    found = []
    for one in changes:
        if isinstance(one, Alert):
            about, came_to = f"{one.rule}|{one.device}|{one.component}", one.state.value
        elif isinstance(one, Case):
            about, came_to = f"{one.rule}|{one.device}|{one.component}", one.stage.value
        elif isinstance(one, Notification):
            about, came_to = f"{one.person}|{one.channel}|{one.kind}", one.state.value
        else:
            continue
        found.append((one.id, (type(one).__name__, about, int(one.level), came_to)))
    return sorted(found, key=lambda one: one[1])
