"""What a person reads: zh-CN, the weightiest word first, what to do at the end of the first screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

import msgspec

from gateway.core.asking import OVER, informed
from gateway.core.calendars import MINUTE_NS, local
from gateway.core.cases import ANSWERED, ENDED, UNANSWERED
from gateway.core.clocks import limit_s, runs_out_ns
from gateway.core.conditions import goes_by_the_unusual
from gateway.core.duty import Lack
from gateway.core.effective import book_of
from gateway.core.measures import Measure, Usual
from gateway.core.model import (
    SECOND,
    Alert,
    AlertState,
    Case,
    Device,
    Kind,
    Level,
    Period,
    Person,
    Place,
    Rule,
    Shelf,
    Stage,
    Verb,
    World,
)
from gateway.core.places import whereabouts
from gateway.core.units import QUANTITIES, SIGNS, shown, sign

LEVELS = {Level.YELLOW: "黄色提示", Level.ORANGE: "橙色预警", Level.RED: "红色报警"}
COMPONENTS = {"slot": "号仓", "door": "号门", "channel": "号通道"}
KINDS = {  # the level stands first, since a locked screen shows little more; good news has none
    Kind.RAISED: "{level}",
    Kind.RISEN: "升级为{level}",
    Kind.ESCALATED: "{level}，无人响应",
    Kind.BOUNCED: "{level}，仍未恢复",
    Kind.CLEARED: "已恢复正常",
    Kind.LATCHED: "已恢复，须人工复位",
    Kind.OVERDUE: "{level}，接手后未处理完",
    Kind.LATE: "{level}，逾期无人接手",
    Kind.RECURRED: "{level}，屡次发生",
    Kind.RETURNED: "{level}，被退单",
    Kind.TRANSFERRED: "{level}，转交给您",
    Kind.VERIFY: "请您核验",
    Kind.REJECTED: "{level}，核验未通过",
    Kind.UNVERIFIED: "逾期未核验",
    Kind.ASKED: "{level}，申请挂起",
    Kind.SHELVE_ASKED: "{level}，申请搁置",
    Kind.RESUMED: "{level}，挂起到期",
    Kind.REOPENED: "{level}，重新立案",
    Kind.COPIED: "{level}，抄送",
    Kind.WEEKLY: "周报",
    Kind.GAP: "岗位空缺",
    Kind.STANDING: "每日提醒",
    Kind.HANDED_OVER: "{level}，已移交",
    Kind.TAKEN_OVER: "{level}，移交给您",
    Kind.ANSWERED: "已有人接手",
}
CARDS = {  # what a card says once its case stands there; short, for it is the word on a button
    Stage.ACKNOWLEDGED: "已由{who}接手",
    Stage.HANDLING: "{who}处理中",
    Stage.HANDLED: "{who}已处理",
    Stage.FALSE: "已判为误报",
    Stage.MERGED: "已并入另一事件",
}
ENDED_CARD = "已结案"
BUTTONS = {  # on a card and on the page alike
    Verb.ACKNOWLEDGE: "收到",
    Verb.DONE: "已处理",
    Verb.VERIFY: "核验通过",
    Verb.RETURN: "退回",
    Verb.APPROVE: "批准挂起",
    Verb.AGREE: "同意搁置",
    Verb.RESET: "复位",
}
HINT = "筛查提示，不是法定鉴定结论。"
PLACE, SITUATION = "位置：", "情况："  # templates find by these what is where


def component_name(component: str) -> str:
    """ "slot-3" as people say it: 3号仓."""
    kind, _, number = component.rpartition("-")
    if kind == "axis":
        return f"{number.upper()}向"
    return f"{number}{COMPONENTS.get(kind, '号' + kind)}" if kind else component


def subject_name(device: Device, component: str) -> str:
    name = device.says or device.id
    return f"{name} {component_name(component)}" if component else name


def head(kind: Kind, alert: Alert, case: Case, to: str) -> str:
    """What a title begins with, for this person."""
    if kind is Kind.ESCALATED and to == case.responsible:
        return "{level}，请您响应"
    if kind is Kind.LATE and (alert.state is not AlertState.FIRING or case.stage in ANSWERED):
        return "已恢复，逾期未反馈"
    return KINDS[kind]


def title(
    kind: Kind,
    level: Level,
    rule: Rule,
    device: Device,
    component: str,
    drill: bool = False,
    begins: str = "",
) -> str:
    """A drill says so twice: where a provider takes the words apart, each part says it."""
    words = (begins or KINDS[kind]).format(level=LEVELS[level])
    if drill:
        words = "演练结束" if kind is Kind.CLEARED else words
        return f"【演练】演练（{words}）：{rule.says} · {subject_name(device, component)}"
    return f"【{words}】{rule.says} · {subject_name(device, component)}"


def of_a_drill(text: str, kind: Kind) -> str:
    """The text of a notification about a drill: nobody may take it for the real thing, nor ignore it."""
    over = kind is Kind.CLEARED
    says = "演练已结束，不必再处理。" if over else "这是演练，没有真实情况；请照真实情况接手、处理。"
    kept = text.splitlines()
    return "\n".join([f"【演练】{says}", *(kept[:2] if over else kept)])


def body(kind: Kind, alert: Alert, rule: Rule, case: Case, world: World, now_ns: int, to: str = "") -> str:
    """The text of one notification to a person, without the link."""
    lines = [f"{PLACE}{whereabouts(world, case.place)}", f"{SITUATION}{situation(alert, world, now_ns)}"]
    if alert.evidence:
        lines.append(f"数据来源：{alert.evidence}")
    if informed(kind, case, to):
        return "\n".join([*lines, *INFORMS.get(kind, ())])
    asks = _asks(kind, case).format(**_said_of(case, world, now_ns, to))
    lines.append(f"要做：{asks or rule.action}")
    if kind in OVER:  # good news warns of nothing
        return "\n".join(lines)
    if kind is Kind.BOUNCED:
        lines.append("您已报处理完成，但传感器仍显示异常，请再到现场查看，处理好再点“已处理”。")
    elif case.stage in UNANSWERED and alert.state is AlertState.FIRING and limit_s(world, rule, case, True):
        due = deadline(rule, case, world, now_ns)
        lines.append(f"时限：{due.removesuffix(HURRY) if kind is Kind.LATE else due}")
    lines += _before(kind, rule, case, world, now_ns, to)
    return "\n".join([*lines, HINT])


HURRY = "，请马上响应"  # not to whoever is to see that another does
INFORMS = {  # what there is to say to whoever is not to answer; others bring their own words
    Kind.GAP: ("要做：请尽快安排该岗位的人员；这件事本身不用您接手。",),
    Kind.CLEARED: ("供您了解，无需操作。",),
    Kind.LATCHED: ("供您了解，无需操作。",),
}


def _asks(kind: Kind, case: Case) -> str:
    if kind is Kind.UNVERIFIED and not case.verifier:
        return "{doer}已报处理完成，但传感器至今没有恢复正常；请督促其再到现场查看"
    return ASKS.get(kind, "")


ASKS = {  # where it is not the rule's own action that is to be done
    Kind.CLEARED: "到现场确认，处理完请点“已处理”。",
    Kind.LATCHED: "到现场确认，请点“复位”并写明原因；复位前不能结案。",
    Kind.VERIFY: "{doer}已报处理完成，传感器也已恢复；请到现场或电话核实，再点“核验通过”或“退回”",
    Kind.UNVERIFIED: "{doer}已报处理完成，但至今没有核验；请核实后点“核验通过”或“退回”",
    Kind.ASKED: "{by}申请挂起到 {until}，原因：{word}；同意请点“批准挂起”，不同意不用操作，时限照算",
    Kind.SHELVE_ASKED: "同意请点“同意搁置”，不同意不用操作，报警照常通知",
}


def _before(kind: Kind, rule: Rule, case: Case, world: World, now_ns: int, to: str) -> list[str]:
    """What has gone before: who was told, who had it, what was said. Facts for whoever is told next."""
    said = _said_of(case, world, now_ns, to)
    line = BEFORE.get(kind, "")
    if kind is Kind.LATE and (case.acknowledged_by or case.handled_by):
        line = "{opened} 发现，{doer}已接手，至今没有反馈结果，请您督办。"
    if kind is Kind.ESCALATED and case.responsible not in world.persons:
        return []
    if kind is Kind.OVERDUE:
        within = runs_out_s(world, rule, case)
        yours = "仍由您处理的，请再次接手。" if said["doer"] == YOU else ""
        late = f"{said['doer']}已接手，但{span(within)}内没有处理完。{yours}"
        return [late] if said["doer"] and within else []
    return [line.format(**said)] if line else []


BEFORE = {
    Kind.ESCALATED: "此前已通知{told}，尚无响应。",
    Kind.LATE: "{opened} 发现，已通知{told}，至今无人接手或反馈；请您督办，必要时直接接手。",
    Kind.RECURRED: "这是近期第 {again} 次，直接报到您这一级，请一并查清原因。",
    Kind.RETURNED: "{by}退单，原因：{word}；请您接手或转交。",
    Kind.TRANSFERRED: "{by}转交：{word}",
    Kind.REJECTED: "{by}核验未通过：{word}；请再到现场处理。",
    Kind.RESUMED: "挂起已到期（原因：{word}），时限重新走起，请继续处理。",
    Kind.REOPENED: "{by}重新立案：{word}",
}


YOU = "您"


def _said_of(case: Case, world: World, now_ns: int, to: str = "") -> dict[str, str]:
    """What the sentences above are filled with, for whoever reads them."""

    def name(person: str) -> str:
        known = world.persons.get(person)
        return YOU if person and person == to else known.says if known else person

    return {
        "told": name(case.responsible) or "责任人",
        "doer": name(case.handled_by or case.acknowledged_by),
        "by": name(case.word_by) or "值班人员",
        "word": case.word or "未说明",
        "until": clock(case.until_ns, world.timezone, now_ns),
        "opened": clock(case.opened_ns, world.timezone, now_ns),
        "again": str(case.again),
    }


def copied(responsible: Person | None) -> str:
    who = f"由{responsible.says}负责处理，" if responsible else ""
    return f"抄送：{who}您无需接手。"


ROLES = {  # of the shipped packs and the example; others by their id
    "property": "物业",
    "committee": "居委",
    "grid": "网格",
    "street": "街道",
    "fire-station": "微型消防站",
}
LACKS = {
    Lack.VACANT: "无人任职",
    Lack.NOT_BEGUN: "轮值尚未开始",
    Lack.UNKNOWN: "任职者不在名册",
    Lack.LEAVE: "{who}休假，无人代理",
    Lack.UNREACHABLE: "{who}没有可用的联系方式",
}


def gap(role: str, lack: Lack, place: Place | None, person: Person | None) -> str:
    """Which post is empty, and why: "豫源坊 物业（徐敏休假，无人代理）"."""
    why = LACKS[lack].format(who=person.says if person else "")
    return f"{place.says if place else ''} {role_name(role)}（{why}）".strip()


LISTED_MOST = 10  # lines of the morning list: more is read by nobody on a phone; the first line counts all


def standing(
    alerts: Sequence[tuple[Alert, Case | None]], shelves: Sequence[Shelf], world: World, now_ns: int
) -> tuple[str, str]:
    """Title and text of the morning list: alerts, the longest first, with who has each; what is shelved."""
    count = f"{len(alerts)} 条报警超过 24 小时未恢复" if alerts else ""
    held = f"{len(shelves)} 项已搁置或停用" if shelves else ""
    said = "；".join(filter(None, (count, held)))
    lines = [_stood(alert, case, world, now_ns) for alert, case in alerts]
    lines += [shelved(one, world, now_ns) for one in shelves]
    more = [f"另有 {len(lines) - LISTED_MOST} 项，见控制台"] if len(lines) > LISTED_MOST else []
    numbered = [f"{number}. {line}" for number, line in enumerate(lines[:LISTED_MOST], 1)]
    asks = "要做：逐条处理、转交，或者说明原因后搁置；不处理的，明天再次提醒。"
    return f"【{KINDS[Kind.STANDING]}】{said}", "\n".join([f"{SITUATION}{said}", *numbered, *more, asks])


def _stood(alert: Alert, case: Case | None, world: World, now_ns: int) -> str:
    """What, where, for how long, and who has it: "充电仓过热 · 1号柜 3号仓，2 天 3 小时，王经理已接手"."""
    rule, device = book_of(world).rules.get(alert.rule), world.devices.get(alert.device)
    name = subject_name(device, alert.component) if device else alert.device
    owner = (case.handled_by or case.acknowledged_by) if case else ""
    known = world.persons.get(owner)
    who = f"{known.says if known else owner}已接手" if owner else "无人接手"
    who = "已搁置" if alert.shelved else who
    since = lasted((now_ns - alert.raised_ns) // SECOND)
    return f"{rule.says if rule else alert.rule} · {name}，{since}，{who}"


def lasted(seconds: int) -> str:
    """Whole days and hours: 2 天 3 小时."""
    days, hours = seconds // 86400, seconds % 86400 // 3600
    return f"{days} 天 {hours} 小时" if hours else f"{days} 天"


def stalled(case: Case, world: World, now_ns: int) -> tuple[str, str]:
    """Title and text of what the gateway says when its own escalation stands still."""
    rule, device = book_of(world).rules.get(case.rule), world.devices.get(case.device)
    name = subject_name(device, case.component) if device else case.device
    title = f"【{LEVELS[case.level]}，网关升级停滞】{rule.says if rule else case.rule} · {name}"
    lines = [
        f"{PLACE}{whereabouts(world, case.place)}",
        f"{SITUATION}{clock(case.opened_ns, world.timezone, now_ns)} 发现，网关没有按时逐级通知",
        "要做：请直接联系现场处理，并通知网关管理员检查网关。",
    ]
    return (f"【演练】{title}" if case.drill else title), "\n".join(lines)


def shelved(shelf: Shelf, world: World, now_ns: int) -> str:
    """What is shelved, up to which level, until when, who answers for it and why."""
    rule, device = book_of(world).rules.get(shelf.rule), world.devices.get(shelf.device)
    name = subject_name(device, shelf.component) if device else shelf.device
    until = clock(shelf.until_ns, world.timezone, now_ns)
    person = world.persons.get(shelf.person)
    who = person.says if person else shelf.person
    if not shelf.rule:
        return f"{name} 停用到 {until}（{who}：{shelf.reason}）"
    what = f"{rule.says if rule else shelf.rule} · {name}"
    return f"{what} 搁置到 {until}，不高于{LEVELS[shelf.level]}（{who}：{shelf.reason}）"


def role_name(role: str) -> str:
    return ROLES.get(role, role)


def handed_over(world: World, before: str, after: Person) -> str:
    """Who had it, who has it now."""
    unit = world.units.get(after.unit)
    old = world.persons.get(before)
    return f"{old.says if old else before}已不在岗，由{unit.says if unit else ''}{after.says}接任。"


def answered(case: Case, world: World) -> str:
    """What its cards say now, "" as long as nobody has answered."""
    if case.stage in UNANSWERED:
        return ""
    owner = case.handled_by or case.acknowledged_by
    who = world.persons[owner].says if owner in world.persons else "他人"
    words = CARDS.get(case.stage, ENDED_CARD if case.stage in ENDED else "")
    return words.format(who=who)


def situation(alert: Alert, world: World, now_ns: int) -> str:
    """The number, its limit and since when: "仓温度 81.2 ℃（限 75 ℃），14:05 起"."""
    since = clock(alert.raised_ns, world.timezone, now_ns)
    if alert.state is AlertState.CLEARED:
        return f"{_found(alert, world)}，{since} 至 {clock(alert.changed_ns, world.timezone, now_ns)} 异常"
    if alert.state is AlertState.LATCHED:
        return f"{_found(alert, world)}，{since} 起；传感器已恢复，须人工复位"
    if alert.value is not None:
        unsteady = "，信号频繁跳变" if alert.chattering else ""
        return f"{_found(alert, world)}，{since} 起{unsteady}"
    last = f"（最后一次 {clock(alert.heard_ns, world.timezone, now_ns)}）" if alert.heard_ns else ""
    return f"{_found(alert, world)}{last}，{since} 发现"


def _found(alert: Alert, world: World) -> str:
    cleared = alert.state is AlertState.CLEARED
    if alert.value is None:
        several = f"所带 {alert.count} 台设备同时" if alert.count > 1 and not cleared else ""
        return "数据已恢复" if cleared else f"{several}没有数据"
    rule = book_of(world).rules.get(alert.rule)
    if alert.called:
        unusual = rule is not None and goes_by_the_unusual(rule)
        found = _of_expression(alert, cleared, UNUSUAL_LIMIT if unusual else LIMIT)
        return f"{found}{ONLY_UNUSUAL}" if unusual and not cleared else found
    quantity = QUANTITIES[alert.quantity]
    if quantity.unit == "1":
        return f"{quantity.says}已解除" if cleared else quantity.says
    either = "±" if rule is not None and rule.relative_to == "zero" else ""
    limit = f"（限 {either}{shown(alert.quantity, alert.limit)}）" if alert.limit is not None else ""
    return f"{quantity.says} {shown(alert.quantity, alert.value)}{limit}"


LIMIT, UNUSUAL_LIMIT = "限", "反常界限"
ONLY_UNUSUAL = "，只是对该设备反常，并非超限"


def _of_expression(alert: Alert, cleared: bool, word: str) -> str:
    """What a rule worked out itself, under the name that it gives it."""
    if not alert.unit:
        return f"{alert.called}已解除" if cleared else alert.called
    unit = sign(alert.unit)
    limit = f"（{word} {alert.limit:.6g}{unit}）" if alert.limit is not None else ""
    return f"{alert.called} {alert.value:.4g}{unit}{limit}"


def usual(measure: Measure, found: Usual, device: str = "") -> str:
    """What a reading is unusual beside, and by how much; `device`: of a group, whose reading it is."""
    whose = f"{device} " if device else ""
    middle = f"此前 {span(measure.span_ns / SECOND)}中位数 {shown(measure.of, found.median)}"
    newest = f"{QUANTITIES[measure.of].says} {shown(measure.of, found.newest)}"
    return f"{whose}{newest}，{middle}，相差 {found.apart:.3g} 个标准差"


def double_control(rule: Rule, went: float | None, goes: float | None) -> str:
    """Both parts by name, each with its share of the control value."""
    both, unit = rule.double_control, QUANTITIES[rule.quantity].unit
    assert both is not None
    since = f"{span(both.cumulative_over_s)}内" if both.cumulative_over_s else "自基线"
    return "，".join((
        _part(f"{since}累计变化", went, both.cumulative, unit),
        _part("每天变化", goes, both.rate_per_day, unit),
    ))  # fmt: skip


def _part(name: str, found: float | None, control: float, unit: str) -> str:
    if found is None:
        return f"{name}未知"
    share = abs(found) / control * 100
    return f"{name} {abs(found):.3g}{sign(unit)}（控制值 {control:g}{sign(unit)} 的 {share:.0f}%）"


def trend(quantity: str, days: int, count: int, low: float, high: float, compensated: str) -> str:
    """Where a trend comes from and how sure it is."""
    unit = SIGNS[QUANTITIES[quantity].unit]
    whole = f"近 {days} 天" if count == days else f"近 {days} 天（{count} 天有数据）"
    sure = f"真实值有 95% 的把握在 {low:.3g} 至 {high:.3g}{unit} 之间"
    return "；".join(part for part in (f"{whole}每日中位数的走势，{sure}", compensated) if part)


def compensation(period: Period, version: str) -> str:
    """Which approved days tell what temperature does."""
    last = period.until - timedelta(days=1)
    return f"已扣除温度影响（基准期 {period.since} 至 {last}，{period.approved_by}批准，版本 {version}）"


def lean(bearing_deg: float, one_in: float) -> str:
    slope = f"，约 1/{one_in:.0f}" if one_in < 1e6 else ""
    return f"由两个轴合成，朝传感器 X 轴顺时针 {bearing_deg:.0f}° 方向{slope}"


def difference(near: str, apart_m: float) -> str:
    return f"与测点 {near} 相比（相距 {apart_m:g} 米），两点都从各自的基线算起"


def runs_out_s(world: World, rule: Rule, case: Case) -> float:
    """For how long whoever took it on had it."""
    return limit_s(world, rule, msgspec.structs.replace(case, stage=Stage.ACKNOWLEDGED), standing=True)


def deadline(rule: Rule, case: Case, world: World, now_ns: int) -> str:
    """By when, on the clock: whoever is woken does not know since when the span counts."""
    zone, due_ns = world.timezone, runs_out_ns(world, rule, case, standing=True) or now_ns
    if due_ns <= now_ns:
        return f"{clock(due_ns, zone, now_ns)} 已过{HURRY}"
    within_s = (due_ns - now_ns) / SECOND
    whole = f"（{span(within_s)}内）" if case.opened_ns == now_ns else ""
    return f"{clock(due_ns, zone, now_ns)} 前响应{whole}"


def clock(wall_ns: int, zone: str, now_ns: int) -> str:
    """14:05, with the date when it was another day."""
    return _clock(wall_ns // MINUTE_NS, zone, now_ns // MINUTE_NS)


@lru_cache(maxsize=256)  # a thousand alerts of one instant all say the same
def _clock(minute: int, zone: str, now_minute: int) -> str:
    then, now = local(minute * MINUTE_NS, zone), local(now_minute * MINUTE_NS, zone)
    return then.strftime("%H:%M") if then.date() == now.date() else then.strftime("%m-%d %H:%M")


def span(seconds: float) -> str:
    """A duration as people say it."""
    for size, word in ((86400, "天"), (3600, "小时"), (60, "分钟")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} 秒"
