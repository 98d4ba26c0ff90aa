"""From rows of the store to what a template prints: values only, in the reader's words.

A case outlives the configuration it was opened under, so that every look-up into the World may find
nothing; then the bare id is shown.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.core import cameras, photos
from gateway.core.cases import ENDED, TURNS, UNANSWERED, Turn, sheet_of
from gateway.core.clocks import limit_s, needs_person, runs_out_ns
from gateway.core.conditions import goes_by_the_unusual
from gateway.core.deeds import turn_of
from gateway.core.duty import holder
from gateway.core.effective import rule_of
from gateway.core.model import (
    SECOND,
    Alert,
    AlertState,
    Case,
    Entry,
    Kind,
    Notification,
    Person,
    Rule,
    Shelf,
    Snapshot,
    Stage,
    Verb,
    World,
)
from gateway.core.places import ancestors
from gateway.core.routing import scene_of, shelved_s_most
from gateway.core.sentences import level_sentences
from gateway.core.texts import LEVELS, UNUSUAL_LIMIT, clock, component_name, role_name, shelved, span
from gateway.core.units import QUANTITIES, shown, sign
from gateway.links import VALID_S, Grant, Links, Purpose
from gateway.web import rows, words
from gateway.web.chart import Chart, rounded
from gateway.web.deps import Health

HOUR_NS = 3600 * SECOND
CHART_NS = HOUR_NS
AT_THE_BOX = (  # `lilong act` and `lilong drill` alone
    Purpose.MERGE, Purpose.SPLIT, Purpose.REOPEN, Purpose.OUT_OF_SERVICE, Purpose.DRILL,
)  # fmt: skip
ACTING = tuple(purpose for purpose in Purpose if purpose.verb and purpose not in AT_THE_BOX)
SHELVING = (Purpose.SHELVE, Purpose.AGREE, Purpose.UNSHELVE)
IN_A_MESSAGE = (Purpose.ACKNOWLEDGE, Purpose.DONE)  # the buttons below one
REASONS: Mapping[Purpose, Mapping[str, str]] = {  # what must be said why, and what can be
    Purpose.FALSE: words.REASONS,
    Purpose.RESET: words.RESETS,
    Purpose.RETURN: {**words.RETURNS, **words.REJECTS},
}
RESULTS: Mapping[Purpose, Mapping[str, str]] = {Purpose.DONE: words.RESULTS}  # what may be said
CODED = (Purpose.FALSE, Purpose.DONE)  # their words are of core.cases.REASONS, and label the case
NOTE_MOST = 300  # characters of a person's own words
CONFIDENCE = {"V": "已查阅原文", "V2": "转引", "M": "凭经验记忆", "D": "本项目默认值"}


# ---------------------------------------------------------------- one case


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a case's history."""

    at: str
    text: str
    en: str
    note: str
    css: str
    photo: str = ""  # name of its file
    size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a camera gave, or did not give, of an alert at a level. Only its address is known here."""

    badge: words.Badge
    at: str  # when it was wanted
    says: str
    ref: str = ""  # http or https; "": there is none, or none any more
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    id: str
    badge: words.Badge
    says: str
    subject: str
    model: str
    place: Sequence[str]
    value: str
    value_at: str  # the number is not of this moment: it moved the alert last
    quantity: str
    limit: str
    evidence: str  # of a value that the gateway worked out
    since: str
    lasted: str
    action: str
    respond: str
    respond_by: str
    due: str  # by when the present stage must be over, and which it is
    overdue: str
    late: str  # which clock has run out
    said: str  # what the last hand-over, return or suspension was about
    doer: str  # who says that it is done
    stage: words.Said
    steps: Sequence[tuple[str, bool]]
    open: bool
    unanswered: bool
    bounced: bool  # "done" was said, and the sensor did not agree
    normal: bool  # every alert of it has cleared
    latched: bool  # an alarm of it waits to be reset
    owner: str
    asked: Person | None  # who has it now, while nobody has taken it on
    basis: str
    clause: str
    confidence: str
    lines: Sequence[Line]
    why: Sequence[str] = ()  # what must hold for each level, how far it went; for the console
    chart: Chart | None = None
    pictures: Sequence[Picture] = ()


def view_case(db: sqlite3.Connection, world: World, case: Case, now_ns: int) -> CaseView:
    rule = rule_of(world, case.rule, case.device)
    alerts = rows.alerts_of(db, case.id)
    alert = leading_alert(alerts)
    open_ = case.stage not in ENDED
    until_ns = now_ns if open_ else case.changed_ns
    behind = words.STEPS_DONE[case.stage]
    return CaseView(
        id=case.id,
        badge=words.Badge.of(case.level),
        says=says_of(case, rule),
        subject=subject(world, case),
        model=_model(world, case.device),
        place=near_places(world, case.place),
        value=_value(alert),
        value_at=clock(alert.changed_ns, world.timezone, now_ns) if alert else "",
        quantity=_quantity(alert),
        limit=_limit(alert, rule),
        evidence=alert.evidence if alert else "",
        since=clock(case.opened_ns, world.timezone, now_ns),
        lasted=words.ago(until_ns - case.opened_ns),
        action=rule.action if rule else "",
        respond=_respond(case, rule, world),
        respond_by=_due(case, rule, world, now_ns),
        due=_due(case, rule, world, now_ns) if case.stage in words.LATE else "",
        overdue=overdue(case, rule, world, now_ns, any(one.state is AlertState.FIRING for one in alerts)),
        late=words.LATE.get(case.stage, "响应时限"),
        said=_said(case, world, now_ns),
        doer=person_name(world, case.handled_by),
        stage=words.STAGES[case.stage],
        steps=[(name, i < behind) for i, name in enumerate(words.STEPS)],
        open=open_,
        unanswered=case.stage in UNANSWERED,
        bounced=case.stage is Stage.HANDLING,
        normal=alert is not None and alert.state == "cleared",
        latched=is_latched(alerts),
        owner=person_name(world, case.handled_by or case.acknowledged_by),
        asked=world.persons.get(case.responsible) if case.stage in UNANSWERED else None,
        basis=rule.basis.text if rule else "",
        clause=rule.basis.clause if rule else "",
        confidence=CONFIDENCE.get(rule.basis.confidence, rule.basis.confidence) if rule else "",
        lines=[_line(entry, world, now_ns) for entry in rows.entries_of(db, case.id)],
        why=_why(alert, rule, world) if alert else (),
        pictures=[picture(one, world, now_ns) for one in rows.snapshots_of(db, case.id)],
    )


def picture(one: Snapshot, world: World, now_ns: int) -> Picture:
    ref, zone = cameras.shown(one, now_ns), world.timezone
    says = words.PICTURES.get(one.state, "已过保存期，地址已删除")
    return Picture(
        badge=words.Badge.of(one.level),
        at=clock(one.wanted_ns, zone, now_ns),
        says=f"保存到 {clock(one.expires_ns, zone, now_ns)}" if ref else says,
        ref=ref,
        host=cameras.host_of(ref),
    )


def _why(alert: Alert, rule: Rule | None, world: World) -> list[str]:
    """The rest only the command knows: `lilong why`."""
    said = level_sentences(rule) if rule else []
    said.append(f"最高到{LEVELS[alert.worst]}，异常读数 {alert.count} 次")
    said += ["信号频繁跳变"] if alert.chattering else []
    origin = alert.origin or (str(rule.origin) if rule else "")
    changed = "（此后规则文件已更改）" if alert.digest and alert.digest != world.digest else ""
    return [*said, f"规则 {alert.rule} {origin}{changed}", f"lilong why {alert.id}"]


def with_chart(view: CaseView, chart: Chart | None) -> CaseView:
    return replace(view, chart=chart)


def leading_alert(alerts: Sequence[Alert]) -> Alert | None:
    """The one a page speaks of: no symptom, standing before cleared, worse before better, later before
    earlier.
    """

    def weight(one: Alert) -> tuple[bool, bool, int, int]:
        return not one.hidden_by, one.state != "cleared", one.level, one.raised_ns

    return max(alerts, key=weight, default=None)


def is_latched(alerts: Sequence[Alert]) -> bool:
    return any(one.state == "latched" for one in alerts)


def subject(world: World, case: Case) -> str:
    device = world.devices.get(case.device)
    name = (device.says if device else "") or case.device
    return f"{name} · {component_name(case.component)}" if case.component else name


def says_of(case: Case, rule: Rule | None) -> str:
    says = rule.says if rule else case.rule
    return f"【演练】{says}" if case.drill else says


def near_places(world: World, place: str) -> list[str]:
    """The way to a place, widest first, without what everybody here lives in."""
    names = [one.says for one in ancestors(world, place) if one.kind not in ("city", "district")]
    return names[::-1] or [place]


def person_name(world: World, person: str) -> str:
    known = world.persons.get(person)
    return known.says if known else person


def overdue(case: Case, rule: Rule | None, world: World, now_ns: int, firing: bool) -> str:
    """By how much the present stage has outrun its clock; "" when in time. As in the engine and the report,
    what became normal again in time has the longer clock, and what tells nobody runs late of none.
    """
    if case.silent and not case.overdue:
        return ""
    due_ns = runs_out_ns(world, rule, case, firing or case.overdue)
    late_ns = 0 if due_ns is None or case.stage is Stage.SUSPENDED else now_ns - due_ns
    return words.ago(late_ns) if late_ns > 0 else ""


def _respond(case: Case, rule: Rule | None, world: World) -> str:
    within_s = limit_s(world, rule, case, standing=True)
    return span(within_s) if within_s else ""


def _due(case: Case, rule: Rule | None, world: World, now_ns: int) -> str:
    due_ns = runs_out_ns(world, rule, case, standing=True)
    return "" if due_ns is None else clock(due_ns, world.timezone, now_ns)


def _said(case: Case, world: World, now_ns: int) -> str:
    """What must be known of a case that was put off, or handed on, before anything else."""
    by, until = person_name(world, case.word_by), clock(case.until_ns, world.timezone, now_ns)
    if case.stage is Stage.SUSPENDED:
        return f"已挂起到 {until}：{case.word}"
    if case.until_ns:
        return f"{by}申请挂起到 {until}（{case.word}），等待另一人批准，时限照算"
    return f"{by}：{case.word}" if case.handed_on and case.word and case.stage in UNANSWERED else ""


def _model(world: World, device: str) -> str:
    known = world.devices.get(device)
    model = world.models.get(known.model) if known else None
    return model.says if model else ""


def _value(alert: Alert | None) -> str:
    """The number, or what happened where a number says nothing."""
    if alert is None:
        return ""
    if alert.value is None:
        return "没有数据" if alert.state == "firing" else "数据已恢复"
    if alert.called and alert.unit:
        return f"{alert.value:.4g}{sign(alert.unit)}"
    if alert.called or is_state(alert.quantity):
        return "已解除" if alert.state == "cleared" else "检测到"
    return rounded(alert.quantity, alert.value) if alert.quantity in QUANTITIES else f"{alert.value:g}"


def _quantity(alert: Alert | None) -> str:
    if alert is not None and alert.called:
        return alert.called
    if alert is None or alert.quantity not in QUANTITIES:
        return alert.quantity if alert else ""
    return QUANTITIES[alert.quantity].says


def _limit(alert: Alert | None, rule: Rule | None) -> str:
    if alert is None or alert.limit is None or (is_state(alert.quantity) and not alert.called):
        return ""
    below = rule is not None and any(one.below is not None for one in rule.limits)
    either = "±" if rule is not None and rule.relative_to == "zero" else ""
    word = UNUSUAL_LIMIT if rule is not None and goes_by_the_unusual(rule) else "下限" if below else "上限"
    return f"{word} {either}{_number(alert, alert.limit)}"


def _number(alert: Alert, number: float) -> str:
    return f"{number:.6g}{sign(alert.unit)}" if alert.called else shown(alert.quantity, number)


def is_state(quantity: str) -> bool:
    return quantity in QUANTITIES and QUANTITIES[quantity].unit == "1"


def _line(entry: Entry, world: World, now_ns: int) -> Line:
    said = words.ENTRIES.get(entry.what, words.Said(entry.what, ""))
    blanks = {"who": person_name(world, entry.person), "note": role_name(entry.note)}
    photo = photos.read(entry.note) if entry.what == Verb.PHOTO else None
    return Line(
        at=clock(entry.wall_ns, world.timezone, now_ns),
        text=said.zh.format_map(blanks) if entry.what in words.ENTRIES else said.zh,
        en=said.en,
        note="" if photo or entry.what in words.NOTE_IS_SAID else entry.note,
        css=entry.what,
        photo=photos.name(photo) if photo else "",
        size=f"{max(photo.size // 1000, 1)} KB" if photo else "",
    )


# ---------------------------------------------------------------- the buttons


@dataclass(frozen=True, slots=True)
class Buttons:
    """Where each may POST to; "" for one that has no use in this stage."""

    acknowledge: str = ""
    done: str = ""
    false: str = ""
    reset: str = ""
    note: str = ""
    photo: str = ""
    transfer: str = ""
    return_: str = ""
    suspend: str = ""
    approve: str = ""
    verify: str = ""
    shelve: str = ""
    agree: str = ""
    unshelve: str = ""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides, beside a case's stage, which of them has a use."""

    latched: bool = False  # an alarm waits to be reset
    awaits: bool = False  # done and normal: somebody else must verify it
    rings: bool = False  # something stands of which people are told: it can be shelved
    shelved: bool = False  # something of it is on the shelf
    shelve_asked_by: frozenset[str] = frozenset()  # who wants to shelve it, and needs another to agree


def standing_of(alerts: Sequence[Alert], world: World, case: Case, shelves: Sequence[Shelf] = ()) -> Standing:
    normal = all(one.hidden_by or one.state == "cleared" for one in alerts)
    person = needs_person(world, rule_of(world, case.rule, case.device), case.level)
    stand = [one for one in alerts if one.state != "cleared" and not one.hidden_by]
    return Standing(
        is_latched(alerts),
        person and normal and case.stage is Stage.HANDLED,
        any(not one.shelved for one in stand),
        any(one.shelved for one in stand),
        frozenset(one.person for one in shelves if one.case == case.id and not one.in_force),
    )


def shelf_spans(world: World, case: Case) -> dict[str, str]:
    """For how long its alarms may be shelved, in the words of a form."""
    most_s = shelved_s_most(world, scene_of(world, case.device), case.level)
    return {key: text for key, (span_s, text) in words.SPANS.items() if span_s <= most_s}


def allowed(case: Case, purpose: Purpose, standing: Standing, person: str) -> bool:
    """Whether an act would be one. A reset is of use while something is latched, whatever became of the
    case; the core says no in the end to what has changed meanwhile.
    """
    if purpose is Purpose.RESET:
        return standing.latched
    if purpose in SHELVING:
        return case.stage not in ENDED and _may_shelve(purpose, standing, person)
    if purpose in (Purpose.NOTE, Purpose.PHOTO):
        return case.stage not in ENDED
    verb = None if purpose in AT_THE_BOX else purpose.verb
    turn = turn_of(verb, case.stage) if verb else None
    if turn is None or (case.stage, turn) not in TURNS:
        return False
    if turn in (Turn.VERIFIED, Turn.REJECTED):
        return standing.awaits and person != case.handled_by
    return bool(case.until_ns) and person != case.word_by if purpose is Purpose.APPROVE else True


def _may_shelve(purpose: Purpose, standing: Standing, person: str) -> bool:
    if purpose is Purpose.AGREE:
        return bool(standing.shelve_asked_by) and person not in standing.shelve_asked_by
    return standing.rings if purpose is Purpose.SHELVE else standing.shelved


def buttons(
    case: Case,
    grant: Grant,
    links: Links,
    standing: Standing,
    purposes: Sequence[Purpose] = ACTING,
    seen: int = 0,
) -> Buttons:
    """`seen`: the newest line of the case's history that the page shows; without it, its last change."""
    names = {Purpose.RETURN: "return_"}
    made = {
        names.get(purpose, purpose.value): f"/c/{links.token(grant.but(purpose, seen or case.changed_ns))}"
        for purpose in purposes
        if allowed(case, purpose, standing, grant.person)
    }
    return Buttons(**made)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody to whom a case can be handed on; no address of anybody is on a page."""

    person: str
    says: str  # 居委 李主任


def receivers(world: World, case: Case, person: str, now_ns: int) -> dict[str, list[Receiver]]:
    """Whoever else holds a post at the place of a case or above it now, by that place's name, the nearest
    first; each person once.
    """
    roles, known = dict.fromkeys(post.role for post in world.posts), {person}
    found: dict[str, list[Receiver]] = {}
    for around in ancestors(world, case.place):
        for held in (holder(world, around.id, role, now_ns) for role in roles):
            one = held.person
            if one is not None and held.at == around.id and one.id not in known:
                known.add(one.id)
                receiver = Receiver(one.id, f"{role_name(held.role)} {one.says}")
                found.setdefault(around.says, []).append(receiver)
    return found


def may_have(world: World, case: Case, to: str, person: str, now_ns: int) -> bool:
    """Whether a case may be handed on to that person, or to whoever holds that role for its place."""
    roles = {post.role for post in world.posts}
    listed = receivers(world, case, person, now_ns).values()
    return to in roles or any(to == one.person for those in listed for one in those)


# ---------------------------------------------------------------- the inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One message in the conversation: from the gateway, or (`mine`) what the person did."""

    key: str
    at: str
    mine: bool
    text: str
    title: str = ""
    badge: words.Badge | None = None
    calm: bool = False  # good news
    link: str = ""
    state: str = ""
    buttons: Buttons = Buttons()


def view_inbox(
    db: sqlite3.Connection, world: World, person: str, channels: frozenset[str], links: Links, now_ns: int
) -> list[Bubble]:
    """The conversation, oldest first."""
    messages = rows.messages_to(db, person, channels)
    cases = rows.cases_of(db, {one.case for one in messages})
    newest = {one.case: one.id for one in messages}  # buttons only where one would look for them
    said: list[tuple[int, Bubble]] = []
    for one in messages:
        case = cases.get(one.case)
        asks = case if newest[one.case] == one.id else None
        said.append((one.created_ns, _received(one, case, asks, world, links, now_ns)))
    for entry in rows.deeds_of(db, person, cases):
        if entry.what in DEEDS:
            said.append((entry.wall_ns, _sent(entry, cases[entry.case], world, now_ns)))
    return [bubble for _, bubble in sorted(said, key=lambda pair: pair[0])]


DEEDS: Mapping[str, str] = {
    Stage.ACKNOWLEDGED: "我来处理",
    Stage.HANDLED: "已处理",
    Turn.BOUNCED: "已处理",  # what was said; the answer is the next message
    Stage.FALSE: "误报",
    Verb.RESET: "复位",
    Stage.RETURNED: "退单",
    Turn.TRANSFERRED: "转交",
    Turn.REJECTED: "核验未通过",
    Stage.SUSPENDED: "挂起",
    "confirmed": "核验通过",
    "asked": "申请挂起",
    "note": "备注",
    "photo": "照片",
}


def _received(
    one: Notification, case: Case | None, asks: Case | None, world: World, links: Links, now_ns: int
) -> Bubble:
    grant = grant_of(one)
    alive = grant.expires_s * SECOND > now_ns
    return Bubble(
        key=one.id,
        at=clock(one.created_ns, world.timezone, now_ns),
        mine=False,
        title=one.title,
        text=one.text,
        badge=words.Badge.of(one.level),
        calm=one.kind in (Kind.CLEARED, Kind.WEEKLY),
        link=f"/c/{links.token(grant)}" if case and alive else "",
        state=_state(asks, world) if asks else "",
        buttons=buttons(asks, grant, links, Standing(), IN_A_MESSAGE) if asks and alive else Buttons(),
    )


def grant_of(one: Notification) -> Grant:
    """The same at every look, so that a page that did not change is the same bytes."""
    return Grant(
        case=one.case,
        person=one.person,
        purpose=Purpose.SHOW,
        expires_s=one.created_ns // SECOND + VALID_S,
        nonce=one.id,
    )


def _state(case: Case, world: World) -> str:
    """Where the case stands, once somebody has answered."""
    if case.stage in UNANSWERED:
        return ""
    owner = person_name(world, case.handled_by or case.acknowledged_by)
    said = words.STAGES[case.stage].zh
    return f"{said} · {owner}" if owner and case.stage not in ENDED else said


def _sent(entry: Entry, case: Case, world: World, now_ns: int) -> Bubble:
    note = f"：{entry.note}" if entry.note and entry.what != Verb.PHOTO else ""
    rule = rule_of(world, case.rule, case.device)
    return Bubble(
        key=f"{entry.case}-{entry.wall_ns}",
        at=clock(entry.wall_ns, world.timezone, now_ns),
        mine=True,
        title=rule.says if rule else "",
        text=DEEDS[entry.what] + note,
    )


# ---------------------------------------------------------------- the list behind a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case in a list."""

    id: str
    badge: words.Badge
    says: str
    subject: str
    place: str
    who: str
    stage: words.Said
    sheet: words.Said
    since: str
    lasted: str
    overdue: str


@dataclass(frozen=True, slots=True)
class CaseList:
    """What is open for one person, the worst first."""

    person: str
    rows: Sequence[Row]
    counts: Sequence[tuple[words.Badge, int]]
    cut: bool  # there are more
    clock: str


def view_list(db: sqlite3.Connection, world: World, person: str, now_ns: int) -> CaseList:
    cases, firing = rows.cases_told_to(db, person), rows.firing_cases(db)
    counts = Counter(case.level for case in cases)
    return CaseList(
        person=person_name(world, person),
        rows=[_row(case, world, now_ns, firing) for case in cases],
        counts=[(words.Badge.of(level), counts[level]) for level in sorted(counts, reverse=True)],
        cut=len(cases) >= rows.OPEN_MOST,
        clock=clock(now_ns, world.timezone, now_ns),
    )


def _row(case: Case, world: World, now_ns: int, firing: Collection[str]) -> Row:
    rule = rule_of(world, case.rule, case.device)
    until_ns = case.changed_ns if case.stage in ENDED else now_ns
    return Row(
        id=case.id,
        badge=words.Badge.of(case.level),
        says=says_of(case, rule),
        subject=subject(world, case),
        place=" · ".join(near_places(world, case.place)),
        who=person_name(world, case.handled_by or case.acknowledged_by or case.responsible),
        stage=words.STAGES[case.stage],
        sheet=words.SHEETS[sheet_of(case)],
        since=clock(case.opened_ns, world.timezone, now_ns),
        lasted=words.ago(until_ns - case.opened_ns),
        overdue=overdue(case, rule, world, now_ns, case.id in firing),
    )


# ---------------------------------------------------------------- the console


@dataclass(frozen=True, slots=True)
class Pill:
    """One part of the gateway's own health."""

    zh: str
    en: str
    value: str
    css: str  # good | bad | plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    open: Sequence[Row]
    open_count: int
    counts: Sequence[tuple[words.Badge, int]]  # open cases of each level, the worst first
    overdue_count: int
    sheets: Sequence[tuple[words.Said, Sequence[Row]]]  # the open ones by list, empty lists left out
    ended: Sequence[Row]
    shelved: Sequence[str]  # of what nobody is told now, until when, who answers for it and why
    pills: Sequence[Pill]
    troubles: Mapping[str, words.Said]
    inboxes: Sequence[tuple[str, str]]  # person, name
    clock: str


def view_console(
    db: sqlite3.Connection, world: World, health: Health, inboxes: frozenset[str], now_ns: int
) -> Console:
    firing = rows.firing_cases(db)
    listed = [_row(case, world, now_ns, firing) for case in rows.open_cases(db)]
    counts = rows.count_open(db)
    persons = [one for one in world.persons.values() if inboxes & set(one.reach)] if inboxes else []
    return Console(
        open=listed,
        open_count=sum(counts.values()),
        counts=[(words.Badge.of(level), count) for level, count in counts.items()],
        overdue_count=sum(bool(row.overdue) for row in listed),
        sheets=[(name, found) for name in words.SHEETS.values() if (found := _on(listed, name))],
        ended=[_row(case, world, now_ns, firing) for case in rows.ended_cases(db)],
        shelved=[shelf_line(one, world, now_ns) for one in rows.shelves(db)],
        pills=pills(health, now_ns),
        troubles=troubles(health),
        inboxes=[(one.id, one.says) for one in persons or (world.persons.values() if inboxes else ())],
        clock=clock(now_ns, world.timezone, now_ns),
    )


def shelf_line(shelf: Shelf, world: World, now_ns: int) -> str:
    said = shelved(shelf, world, now_ns)
    return said if shelf.in_force else f"{said} —— 等待另一人同意，报警照常"


def _on(listed: Sequence[Row], sheet: words.Said) -> list[Row]:
    return [row for row in listed if row.sheet is sheet]


def pills(health: Health, now_ns: int) -> list[Pill]:
    last = health.last_message_ns
    database = {None: "仅本机归档", True: "正常", False: "连不上"}[health.database]
    failing = "、".join(health.failing)
    return [
        Pill("主机", "gateway", *(_well(health.progressing, "运行中", "停滞"))),
        Pill("消息总线", "broker", *(_well(health.broker, "已连接", "断开"))),
        Pill("存储", "store", *(_well(health.store_writable, "可写", "不可写"))),
        Pill("数据库", "database", database, "bad" if health.database is False else "good"),
        Pill("配置", "config", *(_well(health.config_ok, "有效", "有错，沿用旧的"))),
        Pill("通知", "channels", *_well(not health.failing, "正常", f"失败：{failing}")),
        Pill("待入库", "backlog", f"{health.backlog:,}", "plain"),
        Pill("最近消息", "latest", f"{words.ago(now_ns - last)}前" if last else "尚无", "plain"),
    ]


def troubles(health: Health) -> dict[str, words.Said]:
    """What a failing part of ours means for whoever relies on this screen."""
    well = {
        "progressing": health.progressing,
        "broker": health.broker,
        "store": health.store_writable,
        "database": health.database is not False,
        "channels": not health.failing,
    }
    return {part: words.TROUBLES[part] for part, good in well.items() if not good}


def _well(good: bool, yes: str, no: str) -> tuple[str, str]:
    return (yes, "good") if good else (no, "bad")
