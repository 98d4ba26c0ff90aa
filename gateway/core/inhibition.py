"""Causes and symptoms: which standing alert another one hides behind. Asked of the state alone, so the order
in which things came about, or were stepped again after a restart, changes nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from gateway.core.casebook import Casebook
from gateway.core.model import Alert, AlertState, Cause
from gateway.core.places import ancestors


def cause_of(book: Casebook, alert: Alert) -> Alert | None:
    """The alert that this one hides behind: the one it hides behind already, else the worst, else the oldest.

    None when none stands that is at least as bad and of which somebody was told. Whatever has returned to
    normal hides nothing, though it may be latched.
    """
    rule = book.rule_of(alert)
    if rule is None or not rule.inhibited_by or not rule.opens:
        return None
    found = [
        other
        for cause in rule.inhibited_by
        for other in book.alerts(*_causes(book, alert, cause))
        if _counts(book, other, alert, cause)
    ]
    present = next((other for other in found if other.id == alert.hidden_by), None)
    return present or min(found, key=lambda other: (-other.level, other.id), default=None)


def _causes(book: Casebook, symptom: Alert, how: Cause) -> Iterator[Hashable]:
    """Where a cause stands that is near enough: keys of the book."""
    yield "device", how.rule, symptom.device
    device = book.world.devices.get(symptom.device)
    if how.at == "place" and device is not None:
        for place in ancestors(book.world, device.at):
            yield "place", how.rule, place.id


def _counts(book: Casebook, cause: Alert, symptom: Alert, how: Cause) -> bool:
    case = book.state.cases.get(cause.case)
    if case is None or case.silent or cause.mode != "live" or cause.state is not AlertState.FIRING:
        return False
    if cause.case == symptom.case and not symptom.hidden_by:
        return False  # it hides behind this one itself
    return cause.level >= max(symptom.level, how.level or symptom.level)


def touched_by(book: Casebook, cause: Alert) -> list[Alert]:
    """The standing alerts that may have to hide or show themselves after this one has changed."""
    return book.alerts(("behind", cause.id), *_symptoms(book, cause))


def _symptoms(book: Casebook, cause: Alert) -> Iterator[Hashable]:
    """Where a symptom stands: keys of the book."""
    for rule, at in book.hides.get(cause.rule, ()):
        yield ("rule", rule) if at == "place" else ("device", rule, cause.device)
