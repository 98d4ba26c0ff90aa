"""How the pages say things: zh-CN first, a small English beside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.cases import Sheet
from gateway.core.model import SECOND, Level, SnapshotState, Stage
from gateway.core.texts import LEVELS


@dataclass(frozen=True, slots=True)
class Said:
    """One idea in both languages, as templates print it."""

    zh: str
    en: str


STAGES: Mapping[Stage, Said] = {
    Stage.FOUND: Said("正在通知", "notifying"),
    Stage.SENT: Said("等待接手", "waiting for someone"),
    Stage.ACKNOWLEDGED: Said("已接手", "taken on"),
    Stage.HANDLING: Said("处理中", "being handled"),
    Stage.HANDLED: Said("待传感器核验", "sensor to confirm"),
    Stage.VERIFIED: Said("已核验", "verified"),
    Stage.CLOSED: Said("已结案", "closed"),
    Stage.FALSE: Said("误报", "false alarm"),
    Stage.MERGED: Said("已并入", "merged"),
    Stage.RETURNED: Said("已退单", "returned"),
    Stage.SUSPENDED: Said("已挂起", "suspended"),
}
SIGNS: Mapping[Level, str] = {Level.YELLOW: "▲", Level.ORANGE: "◆", Level.RED: "●"}  # not by colour alone
LEVELS_EN: Mapping[Level, str] = {Level.YELLOW: "notice", Level.ORANGE: "warning", Level.RED: "alarm"}

# What the history says; {who} is a person, {note} the entry's own words.
ENTRIES: Mapping[str, Said] = {
    "found": Said("系统发现问题", "found"),
    "yellow": Said("黄色提示", "notice"),
    "orange": Said("橙色预警", "warning"),
    "red": Said("红色报警", "alarm"),
    "sent": Said("通知已送出", "sent"),
    "escalated": Said("无人响应，继续通知 {who}", "escalated"),
    "reminded": Said("再次通知 {who}", "told again"),
    "verifier": Said("请 {who} 核验", "asked to verify"),
    "post_empty": Said("岗位空缺：{note}", "empty post"),
    "raised": Said("从头逐级通知", "the ladder begins again"),
    "quiet": Said("静默时段，{note} 起通知", "quiet hours"),
    "handed_over": Said("岗位换人，移交给 {who}：{note}", "handed over"),
    "agreed": Said("{who} 接手，还须他人一同接手", "taken on, not by enough yet"),
    "denied": Said("{who} 判为误报，还须他人也这样认为", "called false, not by enough yet"),
    "copy_seen": Said("{who} 已知悉（抄送，不算接手）", "seen, for information"),
    "acknowledged": Said("{who} 接手", "taken on"),
    "handling": Said("{who} 处理中", "being handled"),
    "handled": Said("{who} 报告处理完成", "reported done"),
    "bounced": Said("传感器仍异常，退回 {who}", "still bad"),
    "cleared": Said("传感器恢复正常", "sensor normal again"),
    "unjudged": Said("规则算错，不再判断此处，须由人确认", "the rule failed here: a person must look"),
    "unknown": Said("判断所需的数据未知，报警保持：{note}", "what it goes by is not known: the alert stands"),
    "known": Said("判断所需的数据已恢复", "what it goes by is known again"),
    "member_gone": Said(
        "报警的设备已移除，由同组其他设备继续判断：{note}", "its device was removed from the group"
    ),
    "chattering": Said("信号频繁跳变，连续正常 10 分钟才算恢复", "chattering: over after ten good minutes"),
    "rule_gone": Said("规则或设备已从配置中移除：{note}", "rule or device removed"),
    "verified": Said("传感器核验通过", "sensor agrees"),
    "confirmed": Said("{who} 核验通过", "somebody else agrees"),
    "closed": Said("结案", "closed"),
    "false": Said("{who} 判为误报", "false alarm"),
    "latched": Said("传感器已恢复，须人工复位", "normal, to be reset"),
    "reset": Said("{who} 复位", "reset"),
    "expired": Said("{who} 接手后未按时处理完", "not handled in time"),
    "symptom": Said("伴随情况（不另行通知）", "symptom"),
    "symptom_ended": Said("伴随情况恢复正常", "symptom over"),
    "merged": Said("并入另一事件", "merged into another"),
    "overdue": Said("逾期，报上一级督办", "overdue"),
    "again": Said("再次发生：第 {note} 次", "it happened again"),
    "note": Said("{who} 备注", "note"),
    "photo": Said("{who} 拍照留证", "photo"),
    "returned": Said("{who} 退单", "returned"),
    "transferred": Said("{who} 转交", "transferred"),
    "asked": Said("{who} 申请挂起", "asked to suspend"),
    "approved": Said("{who} 批准挂起", "approved"),
    "suspended": Said("{who} 挂起，时限暂停", "suspended"),
    "resumed": Said("挂起到期，时限继续", "resumed"),
    "rejected": Said("{who} 核验未通过，退回处理人", "not verified"),
    "merged_in": Said("{who} 将 {note} 并入", "another was merged in"),
    "split": Said("{who} 拆出 {note}", "split off"),
    "split_from": Said("{who} 由 {note} 拆出", "split from"),
    "reopened": Said("{who} 重新立案", "reopened"),
    "shelve_asked": Said("{who} 申请搁置，等待另一人同意：{note}", "asked to shelve"),
    "shelve_refused": Said("搁置申请没有得到同意：{note}", "not shelved"),
    "shelved": Said("{who} 搁置，暂不通知：{note}", "shelved"),
    "out_of_service": Said("{who} 停用设备，暂不通知：{note}", "out of service"),
    "drill": Said("【演练】{who} 发起演练，没有真实情况", "a drill"),
    "standing": Said("已持续 {note}，列入每日提醒（负责人：{who}）", "stands for more than a day"),
    "held": Said("搁置期间发生：{note}", "happened on the shelf"),
    "unshelved": Said("{who} 取消搁置：{note}", "off the shelf"),
    "shelf_ended": Said("搁置到期：{note}", "its time on the shelf is over"),
    "silenced": Said("规则不再通知：{note}", "its rule tells nobody now"),
    "delivered": Said("{who} 已收到", "delivered"),
    "undelivered": Said("没有送达 {who}", "not delivered"),
    "no_answer": Said("{who} 没有接听", "not answered"),
    "busy": Said("{who} 的电话占线", "busy"),
    "off": Said("{who} 的电话打不通", "switched off, or out of reach"),
    "invalid": Said("{who} 的号码是空号", "no such number"),
    "call_again": Said("再次呼叫 {who}：第 {note} 次", "called again"),
    "unsure": Said("不知是否送出，不重发：{who}", "may have been sent; not sent again"),
    "unneeded": Said("{who} 未接听，已有人接手", "not answered: somebody has taken it on"),
    "unreceipted": Said("没有等到 {who} 的送达回执", "no receipt in time"),
    "snapshot": Said("摄像机抓拍已收到", "a picture has come"),
    "snapshot_missed": Said("没有收到摄像机抓拍", "no picture came"),
    "replied": Said("{who} 回复", "replied"),
}
NOTE_IS_SAID = frozenset(
    {"post_empty", "rule_gone", "silenced", "again", "call_again", "merged_in", "split", "split_from"}
    | {"quiet", "handed_over", "unknown", "member_gone", "held", "shelf_ended", "unshelved", "out_of_service"}
    | {"shelved", "shelve_asked", "shelve_refused", "standing"}
)  # their words are in the sentence already

TROUBLES: Mapping[str, Said] = {
    "progressing": Said(
        "网关停滞：报警可能发不出去。请巡查重点部位，并联系网关管理员。", "alerts may not go out"
    ),
    "broker": Said(
        "收不到传感器消息：新情况不会出现在这里。请巡查重点部位，并联系网关管理员。", "no sensor is heard"
    ),
    "store": Said(
        "磁盘写不进：新情况不会出现在这里。请巡查重点部位，并联系网关管理员。", "nothing can be kept"
    ),
    "channels": Said(
        "有通知渠道接连失败：发不通时用电话通知责任人，并联系网关管理员。", "messages may not reach people"
    ),
    "database": Said(
        "数据库连不上：报警不受影响，数据先存在本机，恢复后自动补写。", "alerts are not affected"
    ),
}

REASONS: Mapping[str, str] = {
    "sensor": "传感器误动作",
    "work": "正常施工或搬运",
    "drill": "测试或演练",
    "repeat": "同一件事重复上报",
    "other": "其他原因",
}
RESULTS: Mapping[str, str] = {  # what ended the trouble: core.cases.DONE_REASONS
    "fixed": "已修复",
    "removed": "已清除或搬离",
    "dissuaded": "已劝阻",
    "reported": "已报相关部门处理",
    "itself": "自行恢复，现场已查看",
}
RETURNS: Mapping[str, str] = {  # why a case is not whose it was thought to be
    "not_mine": "不归我单位管",
    "wrong_place": "地点不对",
    "not_able": "需专业单位处理，无力处置",
    "several": "涉及多个单位，请上级协调",
}
REJECTS: Mapping[str, str] = {  # why what was done is not verified
    "not_done": "现场还没有处理好",
    "not_seen": "现场无法核实",
    "not_safe": "仍有隐患",
}
SPANS: Mapping[str, tuple[int, str]] = {  # how long a case may be suspended, in seconds
    "30m": (1800, "30 分钟"),
    "2h": (7200, "2 小时"),
    "1d": (86400, "1 天"),
    "3d": (3 * 86400, "3 天"),
    "7d": (7 * 86400, "7 天"),
    "30d": (30 * 86400, "30 天"),
}
LATE: Mapping[Stage, str] = {  # which clock of a case has run out
    Stage.ACKNOWLEDGED: "处理时限",
    Stage.HANDLING: "处理时限",
    Stage.HANDLED: "核验时限",
}  # else 响应时限
RESETS: Mapping[str, str] = {  # why an alarm is reset
    "checked": "现场确认，已恢复正常",
    "work": "施工或搬运引起，已结束",
    "drill": "测试或演练",
    "sensor": "传感器误动作，已报修",
}

PICTURES: Mapping[SnapshotState, str] = {  # of a picture that is not there
    SnapshotState.DUE: "正在请摄像机抓拍",
    SnapshotState.ASKED: "已请摄像机抓拍，等待图片",
    SnapshotState.MISSED: "没有收到图片",
}

SHEETS: Mapping[Sheet, Said] = {
    Sheet.PROBLEM: Said("问题单", "problems"),
    Sheet.COORDINATION: Said("协调单", "several parties"),
    Sheet.FEEDBACK: Said("反馈单", "to be verified"),
    Sheet.CLOSURE: Said("销案单", "closed"),
}

# Stage -> how many of the steps 发现 · 通知 · 接手 · 处理 · 核验 are behind us.
STEPS = ("发现", "通知", "接手", "处理", "核验")
STEPS_DONE: Mapping[Stage, int] = {
    Stage.FOUND: 1,
    Stage.SENT: 2,
    Stage.ACKNOWLEDGED: 3,
    Stage.HANDLING: 3,
    Stage.HANDLED: 4,
    Stage.VERIFIED: 5,
    Stage.CLOSED: 5,
    Stage.FALSE: 5,
    Stage.MERGED: 5,
    Stage.RETURNED: 2,
    Stage.SUSPENDED: 3,
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A level, as templates print it."""

    css: str
    sign: str
    zh: str
    en: str

    @classmethod
    def of(cls, level: Level) -> Badge:
        return cls(level.word, SIGNS[level], LEVELS[level], LEVELS_EN[level])


def ago(span_ns: int) -> str:
    """A span as people say it, in its largest unit: 8 秒, 12 分钟, 3 小时, 2 天."""
    seconds = max(span_ns, 0) // SECOND
    for size, word in ((86400, "天"), (3600, "小时"), (60, "分钟")):
        if seconds >= size:
            return f"{seconds // size} {word}"
    return f"{seconds} 秒"


def unbroken(text: str) -> str:
    """Keeps a number and its unit on one line."""
    return re.sub(r"(?<=\d) (?=\S)", "\N{NO-BREAK SPACE}", text)
