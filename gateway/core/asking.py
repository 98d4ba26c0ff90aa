"""What a message asks of whoever gets it: the buttons that it may show, and that its text may name.

The kind says what is asked, the stage what can be done, and whoever is only informed is asked for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.cases import ANSWERED, TURNS, turn_of
from gateway.core.model import Case, Kind, Stage, Verb

INFORMED = frozenset({Kind.COPIED, Kind.GAP, Kind.HANDED_OVER})  # told to somebody who is not to answer
CHECKED = frozenset({Kind.VERIFY, Kind.UNVERIFIED})  # the trouble is over: a look can wait for the morning
# No alarm, or for whoever need not hurry: never by a way that rings, where there is another.
CALM = CHECKED | INFORMED | {Kind.ASKED, Kind.SHELVE_ASKED, Kind.LATCHED, Kind.CLEARED}
OVER = (Kind.CLEARED, Kind.LATCHED)  # good news: of a case that another has, no more than that
ASKED: Mapping[Kind, tuple[Verb, ...]] = {
    **dict.fromkeys(Kind, (Verb.ACKNOWLEDGE,)),
    **dict.fromkeys((Kind.CLEARED, Kind.BOUNCED, Kind.REJECTED, Kind.RESUMED), (Verb.DONE,)),
    **dict.fromkeys(CHECKED, (Verb.VERIFY, Verb.RETURN)),
    Kind.LATCHED: (Verb.ACKNOWLEDGE, Verb.RESET),
    Kind.ASKED: (Verb.APPROVE,),
    Kind.SHELVE_ASKED: (Verb.AGREE,),
    **dict.fromkeys((*INFORMED, Kind.ANSWERED), ()),
}
WORDED = frozenset({Verb.RETURN, Verb.RESET})  # want a reason: their button opens the page that asks for it


def offered(kind: Kind, case: Case, person: str) -> tuple[Verb, ...]:
    """What a person may do by the message. Whoever is at work on the case may say that it is done."""
    if informed(kind, case, person) or (case.drill and kind is Kind.CLEARED):
        return ()  # of a drill nothing is left to do
    if kind in CHECKED and not (case.verifier and case.stage is Stage.HANDLED):
        return ()  # it is the sensor that has not confirmed it
    found = tuple(verb for verb in ASKED[kind] if possible(verb, case.stage))
    at_work = not found and Verb.ACKNOWLEDGE in ASKED[kind] and case.stage in ANSWERED
    return (Verb.DONE,) if at_work else found


def informed(kind: Kind, case: Case, person: str) -> bool:
    """Whether somebody else is to answer."""
    owner = case.handled_by or case.acknowledged_by
    anothers = kind in OVER and case.stage in (*ANSWERED, Stage.SUSPENDED) and owner not in ("", person)
    return kind in INFORMED or anothers or (person in case.copies and person not in case.told)


def possible(verb: Verb, stage: Stage) -> bool:
    turn = turn_of(verb, stage)
    return turn is None or (stage, turn) in TURNS
