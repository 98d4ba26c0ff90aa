"""What a person reads: zh-CN, the weightiest word first, what to do at the end of the first screen."""

from __future__ import annotations

from gateway.core.calendars import local
from gateway.core.model import Alert, Device, Kind, Level, Rule, World
from gateway.core.places import whereabouts
from gateway.core.units import QUANTITIES, shown

LEVELS = {Level.YELLOW: "黄色提示", Level.ORANGE: "橙色预警", Level.RED: "红色报警"}
COMPONENTS = {"slot": "号仓", "door": "号门", "channel": "号通道"}
KINDS = {
    Kind.RAISED: "",
    Kind.RISEN: "升级为",
    Kind.ESCALATED: "无人响应，上报：",
    Kind.BOUNCED: "未恢复，退回处理：",
    Kind.CLEARED: "已恢复正常：",
}
HINT = "筛查提示，不是法定鉴定结论。"


def component_name(component: str) -> str:
    """ "slot-3" as people say it: 3号仓."""
    kind, _, number = component.rpartition("-")
    return f"{number}{COMPONENTS.get(kind, '号' + kind)}" if kind else component


def subject_name(device: Device, component: str) -> str:
    name = device.says or device.id
    return f"{name} {component_name(component)}" if component else name


def title(kind: Kind, level: Level, rule: Rule, device: Device, component: str) -> str:
    return f"【{KINDS[kind]}{LEVELS[level]}】{rule.says} · {subject_name(device, component)}"


def body(kind: Kind, alert: Alert, rule: Rule, device: Device, world: World) -> str:
    """The text of one notification, without the link."""
    lines = [f"位置：{whereabouts(world, device.at)}", f"情况：{situation(alert, rule, world)}"]
    if kind is Kind.CLEARED:
        return "\n".join([*lines, "传感器已恢复正常。现场处理完请点“已处理”。"])
    lines.append(f"要做：{rule.action}")
    if kind is Kind.BOUNCED:
        lines.append("您已报完成，但传感器仍显示异常，请再到现场查看。")
    elif rule.respond_within_s:
        lines.append(f"请在 {span(rule.respond_within_s)}内响应。")
    return "\n".join([*lines, HINT])


def situation(alert: Alert, rule: Rule, world: World) -> str:
    """The number, its limit and since when: "仓温度 81.2 ℃（限 75 ℃），14:05 起"."""
    since = local(alert.raised_ns, world.timezone).strftime("%m-%d %H:%M")
    if alert.value is None:
        return f"{rule.says}，{since} 起没有数据"
    quantity = QUANTITIES[alert.quantity]
    if quantity.unit == "1":
        return f"{quantity.says}，{since} 起"
    found = f"{quantity.says} {shown(alert.quantity, alert.value)}"
    limit = f"（限 {shown(alert.quantity, alert.limit)}）" if alert.limit is not None else ""
    return f"{found}{limit}，{since} 起"


def span(seconds: float) -> str:
    """A duration as people say it."""
    for size, word in ((86400, "天"), (3600, "小时"), (60, "分钟")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} 秒"
