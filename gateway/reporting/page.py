"""A report as one HTML file: charts drawn as SVG here, no script, nothing to fetch, fit to be printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.core.calendars import local, local_date
from gateway.core.figures import ranked
from gateway.core.model import SECOND
from gateway.reporting import drills, tables
from gateway.reporting.gather import Report

WIDTH = 420  # a phone's: its letters stay legible there
BAR, GAP, LABEL = 22, 8, 125  # of a lying bar: its height, the space below, the room for its name
DAY_HEIGHT, DAY_FOOT = 140, 20  # of the chart by days, and of the dates below it
DAYS_MOST = 92  # a bar a day up to a quarter; beyond that each bar is a week
GROUPS_MOST = 30  # bars: the table has them all
DATES_MOST = 6
DATE = 36  # the room that one takes


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle with a name and a figure, in the units of its chart."""

    x: float
    y: float
    width: float
    height: float
    name: str
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    bars: Sequence[Bar]
    height: int
    width: int = WIDTH


def lying(rows: Sequence[tuple[str, float, str]]) -> Bars:
    """A bar a row of (name, value, text), as long as its share of the largest."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    room = WIDTH - LABEL - 55
    bars = [
        Bar(LABEL, place * (BAR + GAP), round(room * value / most, 1), BAR, name, text)
        for place, (name, value, text) in enumerate(rows)
    ]
    return Bars(bars, len(rows) * (BAR + GAP))


def by_days(report: Report) -> Bars:
    """Cases found and closed, side by side for each day, or for each week of a long time."""
    days = _days(report)
    step = 1 if len(days) <= DAYS_MOST else 7
    starts = days[::step]
    counts = [
        [sum(one[day.isoformat()] for day in days[at : at + step]) for at in range(0, len(days), step)]
        for one in (report.found_on, report.closed_on)
    ]
    most = max([1, *counts[0], *counts[1]])
    room = WIDTH / max(len(starts), 1)
    bars = []
    for place, day in enumerate(starts):
        named = place % (len(starts) // DATES_MOST + 1) == 0
        for side, css in enumerate(("found", "closed")):
            count = counts[side][place]
            height = round((DAY_HEIGHT - 14) * count / most, 1)
            x = round(place * room + side * room * 0.45, 1)
            name = f"{day:%m-%d}" if named and not side and x < WIDTH - DATE else ""
            bars.append(Bar(x, DAY_HEIGHT - height, round(room * 0.42, 1), height, name, str(count), css))
    return Bars(bars, DAY_HEIGHT + DAY_FOOT)


def _days(report: Report) -> list[date]:
    zone = report.world.timezone
    first = local_date(report.since_ns, zone)
    last = local_date(max(min(report.until_ns, report.now_ns) - SECOND, report.since_ns), zone)
    return [first + timedelta(days=days) for days in range((last - first).days + 1)]


def as_html(report: Report) -> str:
    """The whole page. What people or devices wrote is escaped."""
    names = [name for name in ranked(report.groups) if report.groups[name].on_time is not None]
    shares = [
        (tables.name_of(report.world, name), share, tables.percent(share))
        for name in names[:GROUPS_MOST]
        if (share := report.groups[name].on_time) is not None
    ]
    worst = [(name, float(count), str(count)) for name, count in tables.top(report, "rules")]
    zone = report.world.timezone
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    ).get_template("report.html")  # fmt: skip
    return template.render(
        report=report, tables=tables, drills=drills, days=by_days(report), shares=lying(shares),
        worst=lying(worst),
        since=local(report.since_ns, zone).strftime("%Y-%m-%d"),
        until=local(report.until_ns - SECOND, zone).strftime("%Y-%m-%d"),
        now=local(report.now_ns, zone).strftime("%Y-%m-%d %H:%M:%S"),
        where=tables.name_of(report.world, report.place) if report.place else "",
    )  # fmt: skip
