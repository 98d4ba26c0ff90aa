"""Alerts that no sensor stands behind, and the rule that is in no pack: their end is what a person says."""

from __future__ import annotations

from gateway.core.model import Alert, Basis, Level, Limit, Rule

DRILL = "drill"  # mode of an alert that somebody raised to see whether people answer
RETURN = Rule(
    id="out-of-service", says="停用到期，未办理恢复", scene="", quantity="", called="停用到期",
    limits=(Limit(level=Level.YELLOW),), basis=Basis(text="本项目默认值", confidence="D"),
    action="确认设备已恢复使用；需要继续停用的，重新办理并写明日期", owner="停用登记人",
)  # fmt: skip
BUILT_IN = {RETURN.id: RETURN}


def is_bare(alert: Alert) -> bool:
    """Whether it ends when a person says done: there is nothing that could return to normal by itself."""
    return alert.mode == DRILL or alert.rule in BUILT_IN
