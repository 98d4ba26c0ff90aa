"""A city's catalogue of events and cases: how a case of ours is said in the words of its platform.

A file of the site's own, named in `outward`: nothing of a platform stands in the code. The record of a case
is a mapping from the platform's names to texts; two that are equal say the same to the platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.changes import FACTS, Change, facts
from gateway.core.model import Rule, World

CODE = "code"  # the fact that the catalogue itself adds
KNOWN = (*FACTS, CODE)
Record = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """How the platform is asked what it has: names of the parameters, and where the list stands."""

    since: str = "since"  # found no earlier
    until: str = "until"  # found before
    page: str = "page"  # from 1
    size: str = "size"  # rows a page
    rows: str = "rows"  # key of the list in its answer; "": the answer is the list


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a catalogue file says."""

    says: str  # which catalogue, and which edition
    fields: Mapping[str, str]  # the platform's name -> one of KNOWN
    codes: Mapping[str, str]  # rule, or scene for the rest of its rules -> code
    not_theirs: tuple[str, ...] = ()  # rules and scenes that are none of the city's business
    stages: Mapping[str, str] = field(default_factory=dict)  # ours -> theirs; none: as it is
    levels: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)  # what is the same in each record
    ask: Ask = Ask()

    def name_of(self, fact: str) -> str:
        """What the platform calls it; "" when it is not told."""
        return next((theirs for theirs, ours in self.fields.items() if ours == fact), "")

    def code_of(self, rule: Rule) -> str:
        """That of the rule, else that of its scene; "" without one."""
        return "" if self.leaves_out(rule) else self.codes.get(rule.id) or self.codes.get(rule.scene, "")

    def leaves_out(self, rule: Rule) -> bool:
        """Whether somebody decided that the city is not told of it."""
        by_scene = rule.scene in self.not_theirs and rule.id not in self.codes
        return rule.id in self.not_theirs or by_scene


def record_of(catalogue: Catalogue, change: Change, world: World) -> Record | None:
    """The case after a change, as the platform is told it; None when its rule has no code there."""
    rule = next((one for one in world.rules if one.id == change.case.rule), None)
    code = catalogue.code_of(rule) if rule else catalogue.codes.get(change.case.rule, "")
    if not code:
        return None
    said = {**facts(change, world), CODE: code}
    said["stage"] = catalogue.stages.get(said["stage"], said["stage"])
    said["level"] = catalogue.levels.get(said["level"], said["level"])
    return {**catalogue.constants, **{theirs: said[ours] for theirs, ours in catalogue.fields.items()}}


def differs(ours: Record, theirs: Mapping[str, object]) -> bool:
    """Whether what the platform has of a case is not what we say. A field that it does not give back says
    nothing; a number stands for its digits.
    """
    return any(name in theirs and str(theirs[name]) != text for name, text in ours.items())
