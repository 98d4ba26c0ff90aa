"""The life of a case, as a table: who may do what in which stage, and where it leads (domain table 6.1)."""

from __future__ import annotations

from enum import StrEnum

from gateway.core.model import Stage


class Turn(StrEnum):
    """What can happen to a case."""

    TOLD = "told"  # a provider took a message
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"  # and the sensor is, or is becoming, normal
    BOUNCED = "bounced"  # done was said, but the sensor says bad
    VERIFIED = "verified"  # the sensor has been normal for its clear time
    FALSE = "false"
    RAISED = "raised"  # a higher level: everything said about the lower one is void
    EXPIRED = "expired"  # acknowledged, and not handled in time: nobody's again
    MERGED = "merged"  # its alert turned out to be a symptom


_OPEN = (Stage.FOUND, Stage.SENT, Stage.ACKNOWLEDGED, Stage.HANDLING, Stage.HANDLED)
TURNS: dict[tuple[Stage, Turn], Stage] = {
    (Stage.FOUND, Turn.TOLD): Stage.SENT,
    (Stage.FOUND, Turn.ACKNOWLEDGED): Stage.ACKNOWLEDGED,
    (Stage.SENT, Turn.ACKNOWLEDGED): Stage.ACKNOWLEDGED,
    **{(stage, Turn.DONE): Stage.HANDLED for stage in _OPEN[:4]},
    **{(stage, Turn.BOUNCED): Stage.HANDLING for stage in _OPEN},
    (Stage.HANDLED, Turn.VERIFIED): Stage.CLOSED,
    **{(stage, Turn.FALSE): Stage.FALSE for stage in _OPEN},
    **{(stage, Turn.RAISED): Stage.FOUND for stage in _OPEN},
    (Stage.ACKNOWLEDGED, Turn.EXPIRED): Stage.SENT,
    (Stage.HANDLING, Turn.EXPIRED): Stage.SENT,
    (Stage.FOUND, Turn.MERGED): Stage.MERGED,
    (Stage.SENT, Turn.MERGED): Stage.MERGED,
}
UNANSWERED = (Stage.FOUND, Stage.SENT)  # nobody has said "mine": the ladder goes on
ANSWERED = (Stage.ACKNOWLEDGED, Stage.HANDLING)  # somebody is at work: the ladder waits
ENDED = (Stage.CLOSED, Stage.FALSE, Stage.MERGED)
