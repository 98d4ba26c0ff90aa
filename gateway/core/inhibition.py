"""Causes and symptoms: which standing alert another one hides behind. Asked of the state alone, so the order
in which things came about, or were stepped again after a restart, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

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
        for other in book.state.alerts.values()
        for cause in rule.inhibited_by
        if cause.rule == other.rule and _counts(book, other, alert, cause)
    ]
    present = next((other for other in found if other.id == alert.hidden_by), None)
    return present or max(found, key=lambda other: other.level, default=None)


def _counts(book: Casebook, cause: Alert, symptom: Alert, how: Cause) -> bool:
    case = book.state.cases.get(cause.case)
    if case is None or case.silent or cause.mode != "live" or cause.state is not AlertState.FIRING:
        return False
    if cause.case == symptom.case and not symptom.hidden_by:
        return False  # it hides behind this one itself
    return cause.level >= max(symptom.level, how.level or symptom.level) and _near(book, cause, symptom, how)


def _near(book: Casebook, cause: Alert, symptom: Alert, how: Cause) -> bool:
    if cause.device == symptom.device:
        return True
    devices = book.world.devices
    if how.at != "place" or cause.device not in devices or symptom.device not in devices:
        return False
    around = ancestors(book.world, devices[symptom.device].at)
    return any(place.id == devices[cause.device].at for place in around)


def touched_by(book: Casebook, cause: Alert) -> Iterator[Alert]:
    """The standing alerts that may have to hide or show themselves after this one has changed."""
    for alert in list(book.state.alerts.values()):
        rule = book.rule_of(alert)
        if alert.hidden_by == cause.id or (rule and any(one.rule == cause.rule for one in rule.inhibited_by)):
            yield alert
