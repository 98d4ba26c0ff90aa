"""A rule as plain Chinese sentences, made from its data alone: what a reviewer reads aloud and signs.

Each key has its row in one of the tables below; a test fails for a key of a rule or of a level without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.core.conditions import goes_by_the_unusual, parsed
from gateway.core.model import SECOND, Cause, During, Level, Limit, Recurrence, Rule
from gateway.core.texts import COMPONENTS, LEVELS, span
from gateway.core.units import QUANTITIES, shown, sign

CONFIDENCE = {"V": "已核对原文", "V2": "转引", "M": "凭记忆，未核对", "D": "项目缺省"}
GROUPS = {"device": "设备", "place": "地点", "building": "楼栋", "compound": "小区", "point": "点位"}
BAD_QUALITY = {
    "by level": "可疑数据（尖峰、读数不动）：红色可以触发，其余等可信数据；都不据此解除",
    "hold": "可疑数据（尖峰、读数不动）：不触发也不解除",
    "raise": "可疑数据（尖峰、读数不动）：可以触发，不据此解除",
    "judge": "可疑数据（尖峰、读数不动）：与其他数据同样判断",
}


def sentences(rule: Rule) -> list[str]:
    """For whom, every level from the lowest with how it ends, exceptions, what to do, whence the figures."""
    levels, to_do = level_sentences(rule), f"要做：{rule.action}。"
    return [
        _subject(rule),
        *_double_control(rule),
        *_unusual(rule),
        *levels,
        *_extras(rule),
        to_do,
        *_respond(rule),
        _basis(rule),
    ]


def level_sentences(rule: Rule) -> list[str]:
    """Every level from the lowest: when it begins, when it ends."""
    return [_level(rule, limit) for limit in rule.limits]


# ---------------------------------------------------------------- for whom, what to do, whence


def _subject(rule: Rule) -> str:
    parts = [f"适用：{rule.scene} 场景的设备"]
    parts += [f"型号 {rule.model}"] if rule.model else []
    parts += [f"标签 {name} 为 {value}" for name, value in sorted(rule.labels.items())]
    parts += [f"每个{COMPONENTS.get(rule.each, rule.each).removeprefix('号')}单独判断"] if rule.each else []
    parts += [f"同一{GROUPS.get(rule.group, '片区')}的合起来判断"] if rule.group else []
    return "，".join(parts) + "。"


def _respond(rule: Rule) -> list[str]:
    return [f"时限：{span(rule.respond_within_s)}内有人到场。"] if rule.respond_within_s else []


def _basis(rule: Rule) -> str:
    clause = f"，{rule.basis.clause}" if rule.basis.clause else ""
    return f"依据：{rule.basis.text}{clause}（{CONFIDENCE[rule.basis.confidence]}）。"


# ---------------------------------------------------------------- a level


def _level(rule: Rule, limit: Limit) -> str:
    bad = "且".join(_said(CONDITIONS, rule, limit))
    begins = "，".join([bad, *_said(ARMING, rule, limit)])
    ends = "，".join([*_said(CLEARING, rule, limit), *_clear_hold(rule, limit)])
    return f"{begins}：{LEVELS[limit.level]}；恢复：{ends}。"


def _clear_hold(rule: Rule, limit: Limit) -> list[str]:
    held_s = rule.clear_hold_s if limit.clear_hold_s is None else limit.clear_hold_s
    return [f"持续 {span(held_s)}"] if held_s else []


Saying = Callable[[Rule, Limit, Any], str]  # of the number that the field of that name holds


def _said(table: Mapping[str, Saying], rule: Rule, limit: Limit) -> list[str]:
    """What a table says of a level: each row whose field is set may add a word."""
    numbers = {name: getattr(limit, name) for name in table}
    found = [table[name](rule, limit, number) for name, number in numbers.items() if number is not None]
    return [words for words in found if words]


def _above(rule: Rule, limit: Limit, number: float) -> str:
    if _is_event(rule):
        return f"出现“{_quantity(rule)}”"
    if rule.relative_to == "baseline":
        return f"{_quantity(rule)}偏离基线超过 {_shown(rule, number)}"
    either = "（不分正负）" if rule.relative_to == "zero" else ""
    return f"{_quantity(rule)}{either}高于 {_shown(rule, number)}"


def _below(rule: Rule, limit: Limit, number: float) -> str:
    return f"没有“{_quantity(rule)}”" if _is_event(rule) else f"{_quantity(rule)}低于 {_shown(rule, number)}"


def _good_again(rule: Rule, limit: Limit, number: float) -> str:
    """On the good side of the clear limit, or of the limit itself."""
    if _is_event(rule):
        return "不再出现" if limit.above is not None else "重新出现"
    value = _shown(rule, number if limit.clear is None else limit.clear)
    if rule.relative_to == "baseline":
        return f"偏离小于 {value}"
    return f"{'低于' if limit.above is not None else '高于'} {value}"


def _absent(rule: Rule, limit: Limit, number: float) -> str:
    return f"{span(number)}没有任何消息"


def _missed(rule: Rule, limit: Limit, number: float) -> str:
    return f"按设备自己的间隔漏报 {number:g} 次"


def _heard_again(rule: Rule, limit: Limit, number: float) -> str:
    return "重新上报"


def _span_of(rule: Rule, bounds: tuple[float, float]) -> str:
    return f"{_shown(rule, bounds[0])}到 {_shown(rule, bounds[1])}"


def _outside(rule: Rule, limit: Limit, bounds: tuple[float, float]) -> str:
    return f"{_quantity(rule)}不在 {_span_of(rule, bounds)}之间"


def _inside(rule: Rule, limit: Limit, bounds: tuple[float, float]) -> str:
    return f"{_quantity(rule)}在 {_span_of(rule, bounds)}之间"


def _within_again(rule: Rule, limit: Limit, bounds: tuple[float, float]) -> str:
    return f"回到 {_span_of(rule, limit.clear_range or bounds)}之间"


def _outside_again(rule: Rule, limit: Limit, bounds: tuple[float, float]) -> str:
    return f"离开 {_span_of(rule, limit.clear_range or bounds)}之间"


def _hold(rule: Rule, limit: Limit, number: float) -> str:
    if limit.within_s:
        return f"{span(limit.within_s)}内累计 {span(number)}"
    return f"持续 {span(number)}" if number else ""


def _readings(rule: Rule, limit: Limit, number: tuple[int, int]) -> str:
    least, last = number
    return f"连续 {least} 次" if least == last else f"最近 {last} 次中有 {least} 次"


def _equals(rule: Rule, limit: Limit, number: float) -> str:
    if _is_truth(rule):
        return f"“{rule.called}”成立"
    return f"{_quantity(rule)}为 {_shown(rule, number)}"


def _equals_no_more(rule: Rule, limit: Limit, number: float) -> str:
    return "不再成立" if _is_truth(rule) else f"不再为 {_shown(rule, number)}"


def _is_truth(rule: Rule) -> bool:
    return bool(rule.when) and parsed(rule.when).kind == "truth"


CONDITIONS: Mapping[str, Saying] = {
    "above": _above,
    "below": _below,
    "inside": _inside,
    "outside": _outside,
    "equals": _equals,
    "absent_s": _absent,
    "missed": _missed,
}
ARMING: Mapping[str, Saying] = {"hold_s": _hold, "readings": _readings}
CLEARING: Mapping[str, Saying] = {
    "above": _good_again,
    "below": _good_again,
    "inside": _outside_again,
    "outside": _within_again,
    "equals": _equals_no_more,
    "absent_s": _heard_again,
    "missed": lambda rule, limit, number: "" if limit.absent_s is not None else "重新上报",
}


def _quantity(rule: Rule) -> str:
    return rule.called or QUANTITIES[rule.quantity].says


def _is_event(rule: Rule) -> bool:
    return not rule.when and QUANTITIES[rule.quantity].is_event


def _shown(rule: Rule, number: float) -> str:
    return f"{number:.6g}{sign(parsed(rule.when).unit)}" if rule.when else shown(rule.quantity, number)


# ---------------------------------------------------------------- exceptions


def _steps(rule: Rule, steps: tuple[str, ...]) -> str:
    left_out = [STEPS[step] for step in STEPS if step not in steps]
    recorded = [f"只记录：{'、'.join(left_out)}"] if left_out else []
    pictured = ["触发和升级时请摄像机抓拍"] if "snapshot" in steps else []
    return "；".join([*recorded, *pictured])


def _causes(rule: Rule, causes: tuple[Cause, ...]) -> str:
    said = [f"{'同一设备' if one.at == 'device' else '同一地点'}已有“{one.rule}”报警" for one in causes]
    return f"{'，或'.join(said)}时不另行通知" if said else ""


def _handle_within(rule: Rule, within_s: float) -> str:
    return f"确认后 {span(within_s)}内未处理完：再次通知，并继续上报" if within_s else ""


def _recurrence(rule: Rule, often: Recurrence | None) -> str:
    return f"同一地点 {span(often.within_s)}内第 {often.times} 次：直接报到上一级" if often else ""


VERIFIED = {"person": "处理完须由另一人核验才能结案", "sensor": "处理完由传感器核验即可结案"}


def _during(during: During) -> str:
    parts = [f"在“{during.inside}”时段"] if during.inside else []
    parts += [f"在“{during.outside}”时段之外"] if during.outside else []
    parts += ["、".join(DAYS_SAID[day] for day in during.days)] if during.days else []
    return "仅" + "，".join(parts) + "判断，其余时间视为正常"


def _double_control(rule: Rule) -> list[str]:
    both = rule.double_control
    if both is None:
        return []
    unit = sign(QUANTITIES[rule.quantity].unit)
    since = f"{span(both.cumulative_over_s)}内" if both.cumulative_over_s else "自基线"
    goes = f"近 {span(both.rate_over_s)}每天变化 {both.rate_per_day:g}{unit}"
    which = "取占比较大的一个" if both.combine == "either" else "取占比较小的一个，即两者都要达到"
    return [f"双控的控制值：{since}累计变化 {both.cumulative:g}{unit}，{goes}；{which}。"]


def _unusual(rule: Rule) -> list[str]:
    """What a deviation is counted in, and that it is no limit."""
    if not goes_by_the_unusual(rule):
        return []
    windows = [
        f"{QUANTITIES[one.of].says}（此前 {span(one.span_ns / SECOND)}，至少 {shown(one.of, one.argument)}）"
        for one in parsed(rule.when).unusual
    ]
    beside = "、".join(windows)
    return [f"反常提示，不是限值：最新读数与同一设备此前读数的中位数相差几个稳健标准差：{beside}。"]


def _cool_down(cool_s: float) -> str:
    return f"结束后 {span(cool_s)}内同一对象不再触发（更严重的除外），届时仍异常的再触发"


def _lateness(late_s: float) -> str:
    waits = f"按测得的先后判断，等 {span(late_s)}以便迟到的数据归位"
    return f"{waits}；来得更晚的不触发，只记录“本应触发”"


DAYS_SAID = {"workdays": "工作日", "restdays": "休息日"}
DAYS_SAID |= {"mon": "周一", "tue": "周二", "wed": "周三", "thu": "周四", "fri": "周五"}
DAYS_SAID |= {"sat": "周六", "sun": "周日"}
STEPS = {"case": "不立案", "notify": "不通知", "event": "不写入数据库"}
EXTRAS: Mapping[str, Callable[[Rule, Any], str]] = {  # field of Rule -> what it says
    "mode": lambda rule, mode: "试运行：只记录，不立案、不通知任何人" if mode == "shadow" else "",
    "steps": _steps,
    "inhibited_by": _causes,
    "handle_within_s": _handle_within,
    "verify": lambda rule, who: VERIFIED[who] if who else "",
    "recurrence": _recurrence,
    "min_on_s": lambda rule, least_s: f"触发后至少保持 {span(least_s)}" if least_s else "",
    "cool_down_s": lambda rule, cool_s: _cool_down(cool_s) if cool_s else "",
    "confidence": lambda rule, least: f"设备给出置信度时，低于 {least:g} 的不算" if least else "",
    "latch": lambda rule, latch: "恢复后仍保持，须由人说明原因后复位" if latch else "",
    "during": lambda rule, during: _during(during) if during else "",
    "lateness_s": lambda rule, late_s: _lateness(late_s) if late_s else "",
    "consequence": lambda rule, words: f"无人处理的后果：{words}" if words else "",
    "owner": lambda rule, words: f"负责：{words}" if words else "",
    "on_bad_quality": lambda rule, way: BAD_QUALITY[way or _usual_way(rule)] if rule.quantity else "",
}


def _usual_way(rule: Rule) -> str:
    """What a doubted value does when the rule does not say: red may begin by it, the others wait."""
    red = {limit.level is Level.RED for limit in rule.limits}
    return "by level" if len(red) > 1 else "raise" if True in red else "hold"


def _extras(rule: Rule) -> Iterator[str]:
    for name, say in EXTRAS.items():
        if sentence := say(rule, getattr(rule, name)):
            yield f"{sentence}。"


# Fields that are said by name above, or are no part of what a rule promises.
SAID = frozenset({"id", "says", "scene", "quantity", "limits", "basis", "action", "each", "model", "labels"})
SAID |= {
    "double_control",
    "relative_to",
    "when",
    "called",
    "group",
    "if_changed",
    "clear_hold_s",
    "respond_within_s",
    "origin",
}
SAID_OF_LIMITS = frozenset({"level", "within_s", "clear", "clear_range", "clear_hold_s", "origin"})
