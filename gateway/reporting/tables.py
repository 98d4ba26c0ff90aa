"""A report as rows, for the terminal, a spreadsheet and programs: every figure once, in one order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from gateway.core.calendars import local
from gateway.core.effective import rule_of
from gateway.core.figures import CLOCKS, LEGS, Course, Leg, Tally, quantile, ranked
from gateway.core.load import Rate
from gateway.core.model import SECOND, Level, Stage, World
from gateway.csvfile import BOM, guarded
from gateway.reporting.gather import Report
from gateway.web import pages
from gateway.web.words import REASONS, STAGES, Said

Row = tuple[str, ...]
TOP = 10  # the worst rules and devices of ISA-18.2
LEG_WORDS: dict[Stage, Said] = {
    Stage.SENT: Said("通知送出", "sent"),
    Stage.ACKNOWLEDGED: Said("接手", "acknowledged"),
    Stage.HANDLED: Said("处理", "handled"),
    Stage.VERIFIED: Said("核验", "verified"),
    Stage.CLOSED: Said("全程", "closed"),
}
LEG_HEAD = (
    Said("环节", "stage"), Said("件数", "cases"), Said("按时率", "on time"), Said("逾期", "late"),
    Said("中位用时", "median"), Said("95% 以内", "p95"),
)  # fmt: skip
GROUP_HEAD = (
    Said("名次", "rank"), Said("名称", "name"), Said("发现", "found"), Said("办结", "closed"),
    Said("误报", "false"), Said("在办", "open"), Said("现逾期", "late now"), Said("按时率", "on time"),
    Said("接手中位", "acknowledged"), Said("处理中位", "handled"), Said("全程中位", "closed in"),
)  # fmt: skip
LATE_HEAD = (
    Said("发现时间", "found"), Said("级别", "level"), Said("环节", "stage"), Said("事项", "what"),
    Said("地点", "where"), Said("责任人", "who"), Said("编号", "id"),
)  # fmt: skip
PERSON_HEAD = (
    Said("人员", "person"), Said("通知次数", "told"), Said("每小时", "an hour"),
    Said("10 分钟最多", "peak of 10 min"), Said("告警泛滥时间", "flood"),
)  # fmt: skip
STAGE_HEAD = (
    Said("开始", "since"), Said("环节", "stage"), Said("用时", "lasted"), Said("经办人", "person"),
    Said("时限", "clock"),
)  # fmt: skip

# ---------------------------------------------------------------- single figures


def lasted(seconds: float | None) -> str:
    """8 秒, 2 分 5 秒, 3 小时 20 分, 2 天 4 小时; "-" for none."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    for size, word, less, small in (
        (86400, "天", 3600, "小时"),
        (3600, "小时", 60, "分"),
        (60, "分", 1, "秒"),
    ):
        if whole >= size:
            rest = whole % size // less
            return f"{whole // size} {word}" + (f" {rest} {small}" if rest else "")
    return f"{whole} 秒"


def percent(share: float | None) -> str:
    """Cut off, never rounded up: 100% is said only where nothing at all was missed."""
    return "-" if share is None else f"{int(share * 1000 + 1e-9) / 10:g}%"


def name_of(world: World, group: str) -> str:
    found = world.places.get(group) or world.units.get(group)
    return found.says if found else group or "（不属于任何一个）"


def rule_name(world: World, rule: str) -> str:
    return next((one.says for one in world.rules if one.id == rule), rule)


# ---------------------------------------------------------------- rows


def leg_rows(tally: Tally) -> list[Row]:
    return [_leg_row(leg, one) for leg, one in tally.legs.items()]


def _leg_row(leg: Stage, one: Leg) -> Row:
    late = str(one.late) if leg in CLOCKS else "-"
    spans = [lasted(quantile(one.lasted_s, share)) for share in (0.5, 0.95)]
    return (LEG_WORDS[leg].zh, str(len(one.lasted_s)), percent(one.on_time), late, *spans)


def group_rows(report: Report) -> list[Row]:
    """The best first. Whoever is alone is no ranking, and stands in it all the same."""
    names = ranked(report.groups)
    return [_group_row(report.world, rank, name, report.groups[name]) for rank, name in enumerate(names, 1)]


def _group_row(world: World, rank: int, name: str, tally: Tally) -> Row:
    counts = (tally.found, tally.closed, tally.false.total(), tally.open, tally.late_now)
    legs = (Stage.ACKNOWLEDGED, Stage.HANDLED, Stage.CLOSED)
    medians = [lasted(quantile(tally.legs[leg].lasted_s, 0.5)) for leg in legs]
    return (str(rank), name_of(world, name), *map(str, counts), percent(tally.on_time), *medians)


def late_rows(report: Report) -> list[Row]:
    return [_late_row(report.world, course) for course in report.late]


def _late_row(world: World, course: Course) -> Row:
    case = course.case
    rule = rule_of(world, case.rule, case.device)
    who = pages.person_name(world, case.handled_by or case.acknowledged_by or case.responsible)
    found = local(course.found_ns, world.timezone).strftime("%m-%d %H:%M")
    says = f"{rule.says if rule else case.rule} · {pages.subject(world, case)}"
    where = " · ".join(pages.near_places(world, case.place))
    return found, _LEVEL[case.level], STAGES[course.stage].zh, says, where, who, case.id


def stage_rows(course: Course, world: World) -> list[Row]:
    """Every stage of one case: since when, how long, who brought it there, whether its clock ran out."""
    return [
        (
            local(span.began_ns, world.timezone).strftime("%Y-%m-%d %H:%M:%S"),
            STAGES[span.stage].zh,
            lasted(span.lasted_s(course.now_ns)) if span.began_ns != span.ended_ns else "-",
            pages.person_name(world, span.person),
            "逾期" if span.late else "",
        )
        for span in course.spans
    ]


def count_line(report: Report) -> str:
    one = report.total
    more = {
        "并入他案": one.merged,
        "只登记不通知": one.silent,
        "重新立案": one.reopened,
        "重复发生": one.again,
    }
    said = f"发现 {one.found}，办结 {one.closed}，误报 {one.false.total()}，在办 {one.open}"
    said += f"（其中逾期 {one.late_now}）"
    return said + "".join(f"；{word} {count}" for word, count in more.items() if count)


def load_lines(report: Report) -> list[str]:
    """ISA-18.2, a figure a line."""
    load, span_ns = report.load, report.span_ns
    mix = "，".join(
        f"{_LEVEL[level]} {load.levels[level]}" for level in reversed(Level) if load.levels[level]
    )
    return [
        f"报警 {load.alerts.count} 条，每小时 {load.alerts.per_hour(span_ns):.2f} 条"
        f"，10 分钟最多 {load.alerts.peak} 条，泛滥时间占 {percent(load.alerts.flood_share(span_ns))}",
        f"级别：{mix or '-'}",
        f"反复跳变 {load.chattering.total()} 条；"
        f"持续超过 24 小时 {load.stood} 条，现在仍有 {len(report.standing)} 条",
        f"误报占已结束的 {percent(report.total.false_share)}" + _reasons(report.total),
        f"最多的规则：{_top(report, 'rules')}",
        f"最多的设备：{_top(report, 'devices')}",
    ]


_LEVEL = {Level.RED: "红", Level.ORANGE: "橙", Level.YELLOW: "黄"}


def _reasons(tally: Tally) -> str:
    said = [f"{REASONS.get(reason, '未说明')} {count}" for reason, count in tally.false.most_common()]
    return f"（{'，'.join(said)}）" if said else ""


def _top(report: Report, what: str) -> str:
    return "，".join(f"{name} {count}" for name, count in top(report, what)) or "-"


def top(report: Report, what: str) -> list[tuple[str, int]]:
    """The ten rules or devices with most alerts, by name."""
    counts = report.load.rules if what == "rules" else report.load.devices
    worst = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:TOP]
    return [(rule_name(report.world, name) if what == "rules" else name, count) for name, count in worst]


def person_rows(report: Report) -> list[Row]:
    """Whoever was told most comes first."""
    rates = sorted(report.load.persons.items(), key=lambda one: (-one[1].count, one[0]))
    return [(pages.person_name(report.world, name), *_rate(one, report.span_ns)) for name, one in rates]


def _rate(rate: Rate, span_ns: int) -> Row:
    flood = percent(rate.flood_share(span_ns))
    return str(rate.count), f"{rate.per_hour(span_ns):.2f}", str(rate.peak), flood


# ---------------------------------------------------------------- for a spreadsheet, and for programs


def as_csv(report: Report) -> str:
    """A row for everything, then a row a group, the best first; seconds as numbers, and the BOM for Excel."""
    out = io.StringIO()
    writer = csv.writer(out)
    legs = [f"{LEG_WORDS[leg].zh}{what}" for leg in LEGS for what in ("件数", "逾期", "中位秒", "95%秒")]
    writer.writerow(
        ("名次", "编号", "名称", "发现", "办结", "误报", "在办", "现逾期", "并入", "按时率", *legs)
    )
    writer.writerow(_csv_row("", "", "合计", report.total))
    for rank, name in enumerate(ranked(report.groups), 1):
        writer.writerow(_csv_row(str(rank), name, name_of(report.world, name), report.groups[name]))
    return BOM + out.getvalue()


def _csv_row(rank: str, group: str, name: str, tally: Tally) -> list[str]:
    counts = (tally.found, tally.closed, tally.false.total(), tally.open, tally.late_now, tally.merged)
    legs = [cell for leg in tally.legs.values() for cell in _csv_leg(leg)]
    share = "" if tally.on_time is None else f"{tally.on_time:.4f}"
    return [rank, guarded(group), guarded(name), *map(str, counts), share, *legs]


def _csv_leg(leg: Leg) -> Sequence[str]:
    found = [quantile(leg.lasted_s, share) for share in (0.5, 0.95)]
    seconds = ["" if one is None else f"{one:.3f}" for one in found]
    return str(len(leg.lasted_s)), str(leg.late), *seconds


def as_json(report: Report) -> dict[str, Any]:
    from gateway.reporting import drills  # which says its spans as these tables do

    load, span_ns = report.load, report.span_ns
    return {
        "since_ns": report.since_ns, "until_ns": report.until_ns, "now_ns": report.now_ns,
        "by": report.by, "place": report.place,
        "total": _tally(report.total),
        "groups": [
            {"id": name, "name": name_of(report.world, name), "rank": rank, **_tally(report.groups[name])}
            for rank, name in enumerate(ranked(report.groups), 1)
        ],
        "overdue_count": report.late_count,
        "overdue": [
            {"case": one.case.id, "stage": str(one.stage), "found_ns": one.found_ns} for one in report.late
        ],
        "drills": drills.as_json(report.drills, report.world),
        "found_on": dict(report.found_on), "closed_on": dict(report.closed_on),
        "load": {
            "alerts": _rate_figures(load.alerts, span_ns),
            "levels": {level.word: count for level, count in load.levels.items()},
            "rules": dict(load.rules.most_common(TOP)), "devices": dict(load.devices.most_common(TOP)),
            "chattering": load.chattering.total(), "stood_24h": load.stood,
            "standing": [alert.id for alert in report.standing],
            "persons": {name: _rate_figures(rate, span_ns) for name, rate in load.persons.items()},
        },
    }  # fmt: skip


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "found": tally.found, "closed": tally.closed, "open": tally.open, "overdue": tally.late_now,
        "merged": tally.merged, "silent": tally.silent, "reopened": tally.reopened, "again": tally.again,
        "false": dict(tally.false), "on_time": tally.on_time,
        "levels": {level.word: count for level, count in tally.levels.items()},
        "stages": {
            str(leg): {
                "cases": len(one.lasted_s), "judged": one.judged, "late": one.late,
                "on_time": one.on_time,
                "median_s": quantile(one.lasted_s, 0.5), "p95_s": quantile(one.lasted_s, 0.95),
            }
            for leg, one in tally.legs.items()
        },
    }  # fmt: skip


def _rate_figures(rate: Rate, span_ns: int) -> dict[str, float]:
    share = rate.flood_share(span_ns)
    return {
        "count": rate.count, "per_hour": rate.per_hour(span_ns), "peak_10min": rate.peak,
        "flood_s": rate.flood_ns / SECOND, "flood_share": share,
    }  # fmt: skip
