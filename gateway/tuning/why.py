"""Why an alert fired: everything about it in one view, from the store, the archive and the World that judges.

What the store keeps is told as it is. What was true at the instant of the raise (holds, the terms of an
expression) is worked out by the engine from the archive's readings, by the rules as they are now; `changed`
says that these are not the very ones that raised it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

import msgspec
from msgspec import structs

from gateway.adapters.archive import Row
from gateway.core.alerts import Phase
from gateway.core.calendars import maintained
from gateway.core.cameras import shown
from gateway.core.conditions import Counts, parsed
from gateway.core.effective import Said, effective, provenance
from gateway.core.model import (
    LEVEL_OF,
    SECOND,
    Alert,
    Case,
    Device,
    Entry,
    Notification,
    Rule,
    Snapshot,
    World,
)
from gateway.core.silence import is_silence
from gateway.tuning.facts import Term, bound, hours_said, judge_of, number_of, sparkline, terms_of
from gateway.tuning.replaying import Fetch, from_archive, reach_s
from gateway.web import rows as store_rows

BEFORE_S, AFTER_S = 3600.0, 600.0  # of readings around the raise, at least
BEFORE_S_MOST = 7 * 86400.0
END_OF_TIME_NS = (1 << 63) - 1
READINGS_MOST = 8  # shown one by one, the last ones up to the raise
PATH = LEVEL_OF.keys() | {
    "found", "cleared", "latched", "reset", "chattering", "symptom", "symptom_ended", "merged", "rule_gone",
    "unjudged", "unknown", "known", "member_gone",
}  # fmt: skip
PHASES = {
    Phase.CALM: ("正常", "calm"), Phase.PENDING: ("计时中", "pending"), Phase.FIRING: ("触发", "firing"),
    Phase.CLEARING: ("恢复计时", "clearing"), Phase.LATCHED: ("待复位", "latched"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number of the rule as it is for the device, and who set it."""

    level: str
    name: str
    value: str
    origin: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """Where one level stood at the raise."""

    level: str
    limit: str
    phase: str  # of PHASES, in English
    since_s: float  # for how long


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One attempt to tell somebody."""

    created_ns: int
    kind: str
    person: str
    channel: str
    state: str
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The whole view. Empty is what does not apply, or what nobody knows any more."""

    alert: Alert
    says: str
    action: str
    origin: str  # file:line of the rule that raised it
    changed: bool  # other files judge since
    place: str
    device_says: str
    numbers: tuple[Number, ...] = ()
    spark: str = ""
    readings: tuple[Row, ...] = ()
    marks: tuple[tuple[str, int], ...] = ()  # quality -> how many of the readings around
    terms: tuple[Term, ...] = ()
    armed: tuple[Armed, ...] = ()
    during: str = ""
    works: str = ""
    path: tuple[Entry, ...] = ()
    case: Case | None = None
    told: tuple[Told, ...] = ()
    beside: tuple[str, ...] = ()  # other alerts of the same case
    snapshots: tuple[Snapshot, ...] = ()  # with the address of one that has not expired


# ---------------------------------------------------------------- which alert


def find(db: sqlite3.Connection, name: str) -> list[Alert]:
    """Those whose id begins or ends so; else those of the case of that name, its own rule's newest first."""
    named = "WHERE ? IN (substr(id, 1, length(?)), substr(id, -length(?))) LIMIT 2"
    found = db.execute(f"SELECT body FROM alert {named}", (name,) * 3).fetchall()
    if found:
        return [msgspec.json.decode(row[0], type=Alert) for row in found]
    cases = db.execute(f"SELECT id, rule FROM cases {named}", (name,) * 3).fetchall()
    if len(cases) != 1:
        return []
    own = [one for one in store_rows.alerts_of(db, cases[0][0]) if one.rule == cases[0][1]]
    return own[-1:]


# ---------------------------------------------------------------- everything about it


def why(
    db: sqlite3.Connection, fetch: Fetch, world: World, alert: Alert, now_ns: int = END_OF_TIME_NS
) -> Why:
    """`now_ns`: what has expired by then is not told."""
    device, rule = world.devices.get(alert.device), _rule(world, alert)
    told, path, case = _of_the_case(db, alert)
    found = Why(
        alert=alert,
        says=rule.says if rule else alert.rule,
        action=rule.action if rule else "",
        origin=alert.origin or (str(rule.origin) if rule else ""),
        changed=bool(alert.digest) and alert.digest != world.digest,
        place=device.at if device else "",
        device_says=device.says if device else "",
        told=told,
        path=path,
        case=case,
        snapshots=tuple(
            structs.replace(one, ref=shown(one, now_ns)) for one in store_rows.snapshots_of(db, "", alert.id)
        ),
        beside=tuple(one for one in (case.alerts if case else ()) if one != alert.id),
    )
    return found if rule is None or device is None else _with_readings(found, fetch, world, rule, device)


def _rule(world: World, alert: Alert) -> Rule | None:
    return next((one for one in world.rules if one.id == alert.rule), None)


def _of_the_case(
    db: sqlite3.Connection, alert: Alert
) -> tuple[tuple[Told, ...], tuple[Entry, ...], Case | None]:
    if not alert.case:
        return (), (), None
    case = store_rows.find_case(db, alert.case)
    query = "SELECT body FROM notification WHERE case_id = ? AND alert_id = ? ORDER BY created_ns, id"
    sent = [
        msgspec.json.decode(row[0], type=Notification) for row in db.execute(query, (alert.case, alert.id))
    ]
    told = tuple(
        Told(
            created_ns=one.created_ns, kind=one.kind, person=one.person, channel=one.channel,
            state=one.state, attempt=one.attempt, detail=one.detail,
        )
        for one in sent
    )  # fmt: skip
    path = tuple(one for one in store_rows.entries_of(db, alert.case) if _of_its_path(alert, case, one))
    return told, path, case


def _of_its_path(alert: Alert, case: Case | None, entry: Entry) -> bool:
    """Alerts of one place share a case: a level another one reached is not of this one's path."""
    alone = case is None or len(case.alerts) < 2
    if alone or entry.what not in LEVEL_OF:
        return entry.what in PATH
    return (LEVEL_OF[entry.what], entry.wall_ns) in alert.rises


def _with_readings(found: Why, fetch: Fetch, world: World, rule: Rule, device: Device) -> Why:
    """What the archive and the World add."""
    alert = found.alert
    back_s = min(max(BEFORE_S, reach_s(rule)), BEFORE_S_MOST)
    since_ns, until_ns = alert.raised_ns - int(back_s * SECOND), alert.raised_ns + int(AFTER_S * SECOND)
    quantities = parsed(rule.when).quantities if rule.when else (rule.quantity,)
    around = [
        row
        for row in fetch(device.id, since_ns, until_ns)
        if row.component == alert.component and row.quantity in quantities
    ]
    first = [row for row in around if row.quantity == quantities[0]]
    before = tuple(row for row in around if row.received_ns <= alert.raised_ns)[-READINGS_MOST:]
    marks = [row.quality for row in around if row.quality != "good"]
    works = maintained(world, device, alert.raised_ns)
    armed, terms, counts = _then(world, rule, device, alert, fetch)
    return replace(
        found,
        numbers=_numbers(world, rule, device),
        spark=sparkline(first),
        readings=before,
        marks=tuple((one, marks.count(one)) for one in sorted(set(marks))),
        terms=terms,
        armed=armed,
        during=_during(rule, counts),
        works=f"{works.says} ({works.by}, {works.origin})" if works else "",
    )


def _numbers(world: World, rule: Rule, device: Device) -> tuple[Number, ...]:
    return tuple(
        Number(
            level=one.level.word if one.level else "-",
            name=one.name.removesuffix("_s"),
            value=_value(rule, one),
            origin=str(one.origin),
            because=one.because,
        )
        for one in provenance(world, rule, device)
    )


def _value(rule: Rule, one: Said) -> str:
    return f"{one.value:g} s" if one.name.endswith("_s") else number_of(rule, one)


def _during(rule: Rule, counts: Counts | None) -> str:
    if rule.during is None:
        return ""
    return f"{', '.join(hours_said(rule.during))}{'' if counts is not Counts.NOT_NOW else ' ✗'}"


def _then(
    world: World, rule: Rule, device: Device, alert: Alert, fetch: Fetch
) -> tuple[tuple[Armed, ...], tuple[Term, ...], Counts | None]:
    """The engine at the raise, from the archive's readings."""
    if is_silence(rule):
        return (), (), None
    past = from_archive(world, rule, device, alert.raised_ns, fetch)
    judge = judge_of(past.engine, rule.id, device, alert.component)
    if judge is None:
        return (), (), None
    track = past.engine.state.tracks.get(judge.key)
    own, unit = effective(world, rule, device), parsed(rule.when).unit if rule.when else ""
    armed = tuple(
        Armed(
            level=limit.level.word, limit=bound(own, limit, unit), phase=PHASES[one.phase][1],
            since_s=round((past.at - one.since) / SECOND, 3) if one.phase is not Phase.CALM else 0.0,
        )
        for limit, one in zip(judge.rule.limits, track.standings if track else (), strict=bool(track))
    )  # fmt: skip
    terms: list[Term] = []
    if judge.expression is not None:
        subject = device.id, alert.component
        terms = terms_of(past.engine.watches.weighing, judge, subject, alert.raised_ns)
    return armed, tuple(terms), judge.counts_at(alert.raised_ns)
