"""The life of a case, as a table: who may do what in which stage, and where it leads (domain table 6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gateway.core.model import Case, Stage, Verb


class Turn(StrEnum):
    """What can happen to a case."""

    TOLD = "told"  # a provider took a message
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"  # not mine, says who was told or took it on: to the post above
    TRANSFERRED = "transferred"  # to another person or role: theirs to take on
    SUSPENDED = "suspended"  # the clocks stand
    RESUMED = "resumed"  # and go on
    DONE = "done"  # and the sensor is, or is becoming, normal
    BOUNCED = "bounced"  # done was said, but the sensor says bad
    REJECTED = "rejected"  # done was said, but who was to verify it says no
    VERIFIED = "verified"  # the sensor has been normal for its clear time, and whoever must has looked
    FALSE = "false"
    RAISED = "raised"  # a higher level: everything said about the lower one is void
    EXPIRED = "expired"  # acknowledged, and not handled in time: nobody's again
    MERGED = "merged"  # another case goes on with its alerts


UNANSWERED = (Stage.FOUND, Stage.SENT, Stage.RETURNED)  # nobody has said "mine": the ladder goes on
ANSWERED = (Stage.ACKNOWLEDGED, Stage.HANDLING)  # somebody is at work: the ladder waits
ENDED = (Stage.CLOSED, Stage.FALSE, Stage.MERGED)
_UNDONE = (*UNANSWERED, *ANSWERED, Stage.SUSPENDED)
_OPEN = (*_UNDONE, Stage.HANDLED)
TURNS: dict[tuple[Stage, Turn], Stage] = {
    (Stage.FOUND, Turn.TOLD): Stage.SENT,
    (Stage.RETURNED, Turn.TOLD): Stage.SENT,
    **{(stage, Turn.ACKNOWLEDGED): Stage.ACKNOWLEDGED for stage in UNANSWERED},
    (Stage.SENT, Turn.RETURNED): Stage.RETURNED,
    (Stage.ACKNOWLEDGED, Turn.RETURNED): Stage.RETURNED,
    **{(stage, Turn.TRANSFERRED): Stage.FOUND for stage in (*UNANSWERED, *ANSWERED)},
    **{(stage, Turn.SUSPENDED): Stage.SUSPENDED for stage in ANSWERED},
    (Stage.SUSPENDED, Turn.RESUMED): Stage.ACKNOWLEDGED,
    **{(stage, Turn.DONE): Stage.HANDLED for stage in _UNDONE},
    **{(stage, Turn.BOUNCED): Stage.HANDLING for stage in _OPEN},
    (Stage.HANDLED, Turn.REJECTED): Stage.HANDLING,
    (Stage.HANDLED, Turn.VERIFIED): Stage.CLOSED,
    **{(stage, Turn.FALSE): Stage.FALSE for stage in _OPEN},
    **{(stage, Turn.RAISED): Stage.FOUND for stage in _OPEN},
    **{(stage, Turn.EXPIRED): Stage.SENT for stage in ANSWERED},
    **{(stage, Turn.MERGED): Stage.MERGED for stage in _UNDONE},
}
SAME_CLOCK = (Turn.TOLD, Turn.SUSPENDED, Turn.RESUMED)  # every other turn begins a stage, and its clock

TURN_OF = {
    Verb.ACKNOWLEDGE: Turn.ACKNOWLEDGED,
    Verb.DONE: Turn.DONE,
    Verb.FALSE: Turn.FALSE,
}
GUARDED = {  # these ask for more than a stage: see Deeds._refusal
    Verb.TRANSFER: Turn.TRANSFERRED,
    Verb.SUSPEND: Turn.SUSPENDED,
    Verb.APPROVE: Turn.SUSPENDED,
    Verb.VERIFY: Turn.VERIFIED,
    Verb.MERGE: Turn.MERGED,
}


def turn_of(verb: Verb, stage: Stage) -> Turn | None:
    """What an act would do in a stage; a return says of what is done that it is not. None: no turn at all."""
    if verb is Verb.RETURN:
        return Turn.REJECTED if stage is Stage.HANDLED else Turn.RETURNED
    return TURN_OF.get(verb) or GUARDED.get(verb)


FALSE_REASONS = ("sensor", "work", "drill", "repeat", "other")  # no trouble was there
DONE_REASONS = ("fixed", "removed", "dissuaded", "reported", "itself")  # there was, and this ended it
REASONS: Mapping[Turn, tuple[str, ...]] = {Turn.FALSE: FALSE_REASONS, Turn.DONE: DONE_REASONS}


class Sheet(StrEnum):
    """The four lists 四单: every case is on one of them."""

    PROBLEM = "problem"  # 问题单: open, one party's
    COORDINATION = "coordination"  # 协调单: open, and several parties have to do with it
    FEEDBACK = "feedback"  # 反馈单: done was said, not verified yet
    CLOSURE = "closure"  # 销案单


def sheet_of(case: Case) -> Sheet:
    if case.stage in ENDED:
        return Sheet.CLOSURE
    if case.stage in (Stage.HANDLED, Stage.VERIFIED):
        return Sheet.FEEDBACK
    several = case.handed_on or case.stage in (Stage.RETURNED, Stage.SUSPENDED) or bool(case.until_ns)
    return Sheet.COORDINATION if several else Sheet.PROBLEM
