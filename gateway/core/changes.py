"""What other systems are told of a case: a change for every line of its history.

All of it is worked out from the case's lines up to that one, never from where the case stands by now: a
change that is told twice says the same twice, and one that is told a week late says what was so then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.core.figures import spans
from gateway.core.model import LEVEL_OF, SECOND, Case, Entry, Level, Stage, World
from gateway.core.places import whereabouts


class Line(NamedTuple):
    """A line of the history with its number, which never changes and never comes again."""

    seq: int
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a line made of its case."""

    case: Case  # only what never changes of it is looked at: what it is about
    seq: int
    before: int  # the case's change before this one; 0: it is the first
    entry: Entry
    stage: Stage
    stage_ns: int  # when it came to that stage
    level: Level  # the worst so far

    @property
    def key(self) -> str:
        """By which a receiver knows it again."""
        return f"{self.case.id}:{self.seq}"


def change_at(case: Case, lines: Sequence[Line], seq: int) -> Change:
    """The change that line `seq` is. `lines` are all of the case, in their order."""
    so_far = [line for line in lines if line.seq <= seq]
    stay = spans(line.entry for line in so_far)[-1]
    return Change(
        case=case,
        seq=seq,
        before=so_far[-2].seq if len(so_far) > 1 else 0,
        entry=so_far[-1].entry,
        stage=stay.stage,
        stage_ns=stay.began_ns,
        level=max(_levels(so_far) or _levels(lines)[:1] or [case.level]),
    )


def _levels(lines: Sequence[Line]) -> list[Level]:
    """The first of them stands behind the line "found", in the same transaction."""
    return [LEVEL_OF[one.entry.what] for one in lines if one.entry.what in LEVEL_OF]


FACTS = (
    "case", "rule", "title", "level", "stage", "stage_at", "found_at", "place", "address", "device",
    "component",
)  # fmt: skip


def facts(change: Change, world: World) -> dict[str, str]:
    """What there is to say of a case after a change: FACTS, all of them texts. No person is in it."""
    case = change.case
    title = next((rule.says for rule in world.rules if rule.id == case.rule), case.rule)
    said = (
        case.id, case.rule, title, change.level.word, change.stage.value, instant(change.stage_ns),
        instant(case.opened_ns), case.place, whereabouts(world, case.place), case.device, case.component,
    )  # fmt: skip
    return dict(zip(FACTS, said, strict=True))


def told(change: Change, world: World) -> dict[str, str | int | bool]:
    """A change as a webhook tells it: the facts, and the line itself. Of a person only the id; and a drill is
    called one, lest somebody sends an engine.
    """
    entry = change.entry
    return {
        "id": change.key,
        "seq": change.seq,
        "before": change.before,
        "at": instant(entry.wall_ns),
        "what": entry.what,
        "person": entry.person,
        "channel": entry.channel,
        "note": entry.note,
        "drill": change.case.drill,
        **facts(change, world),
    }


def instant(wall_ns: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    seconds, rest = divmod(wall_ns, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
