"""Drills in a report: apart from all that is real, how long people took to answer, month by month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.calendars import local
from gateway.core.cases import ANSWERED
from gateway.core.effective import rule_of
from gateway.core.figures import Course, quantile
from gateway.core.model import SECOND, Stage, World
from gateway.core.texts import LEVELS
from gateway.reporting.tables import Row, lasted
from gateway.web import pages
from gateway.web.words import Said

HEAD = (
    Said("时间", "at"), Said("级别", "level"), Said("演练内容", "what"), Said("地点", "where"),
    Said("发现到接手", "detection to answer"), Said("谁接手", "who"), Said("编号", "id"),
)  # fmt: skip
TREND_HEAD = (
    Said("月份", "month"), Said("演练", "drills"), Said("有人接手", "answered"), Said("接手中位", "median"),
    Said("最慢", "slowest"),
)  # fmt: skip
ANSWERS = (*ANSWERED, Stage.HANDLED)  # who says done at once has answered too


def answer_s(course: Course) -> float | None:
    """Seconds from the drill's beginning to somebody's answer; None: nobody has."""
    answered = next((span for span in course.spans if span.stage in ANSWERS), None)
    return None if answered is None else (answered.began_ns - course.found_ns) / SECOND


def rows(drills: Sequence[Course], world: World) -> list[Row]:
    return [_row(course, world) for course in drills]


def _row(course: Course, world: World) -> Row:
    case, took_s = course.case, answer_s(course)
    rule = rule_of(world, case.rule, case.device)
    at = local(course.found_ns, world.timezone).strftime("%Y-%m-%d %H:%M")
    says = f"{rule.says if rule else case.rule} · {pages.subject(world, case)}"
    where = " · ".join(pages.near_places(world, case.place))
    by = next((span.person for span in course.spans if span.stage in ANSWERS), "")
    took = "无人接手" if took_s is None else lasted(took_s)
    return at, LEVELS[case.level], says, where, took, pages.person_name(world, by), case.id


def trend(drills: Sequence[Course], world: World) -> list[dict[str, Any]]:
    """Month by month: how many, how many were answered, the median and the slowest answer in seconds."""
    months: dict[str, list[Course]] = {}
    for course in drills:
        month = local(course.found_ns, world.timezone).strftime("%Y-%m")
        months.setdefault(month, []).append(course)
    return [{"month": month, **_figures(found)} for month, found in sorted(months.items())]


def _figures(drills: Sequence[Course]) -> dict[str, Any]:
    took = [one for one in map(answer_s, drills) if one is not None]
    return {
        "drills": len(drills), "answered": len(took),
        "median_s": quantile(took, 0.5), "slowest_s": max(took, default=None),
    }  # fmt: skip


def trend_rows(drills: Sequence[Course], world: World) -> list[Row]:
    return [
        (
            one["month"], str(one["drills"]), str(one["answered"]), lasted(one["median_s"]),
            lasted(one["slowest_s"]),
        )
        for one in trend(drills, world)
    ]  # fmt: skip


def as_json(drills: Sequence[Course], world: World) -> dict[str, Any]:
    found = [{"case": one.case.id, "found_ns": one.found_ns, "answer_s": answer_s(one)} for one in drills]
    return {"found": found, "trend": trend(drills, world)}
