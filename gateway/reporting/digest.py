"""The weekly digest 周报 of a place: less than a page of text, made on the box."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from gateway.adapters import history
from gateway.adapters.archive import Count
from gateway.adapters.store import write_durably
from gateway.core.calendars import local_date, zone
from gateway.core.figures import CLOCKS, quantile
from gateway.core.model import DIGESTED, SECOND, Case, Stage, World
from gateway.core.places import ancestors
from gateway.reporting import tables
from gateway.reporting.gather import Report, gather

PROBLEMS, LATE, DEVICES = 5, 8, 3  # lines of each list: it is to stay below a page
KEPT = 60  # weeks of files
FOLDER = "digests"  # in the state directory
TIMEOUT_S = 900  # a stuck one must not hold up the calendar's other work for long


@dataclass(frozen=True, slots=True)
class Week:
    """Monday to Monday, local time."""

    monday: date

    @classmethod
    def before(cls, wall_ns: int, timezone: str) -> Week:
        """The last one that is over."""
        today = local_date(wall_ns, timezone)
        return cls(today - timedelta(days=today.weekday() + 7))

    @classmethod
    def parse(cls, text: str) -> Week:
        """`2026-W47`. Raises ValueError."""
        return cls(datetime.strptime(f"{text}-1", "%G-W%V-%u").date())

    def __str__(self) -> str:
        return f"{self.monday:%G-W%V}"

    def instants(self, timezone: str) -> tuple[int, int]:
        return day_ns(self.monday, timezone), day_ns(self.monday + timedelta(days=7), timezone)


def day_ns(day: date, timezone: str) -> int:
    """The instant at which a local day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone(timezone)).timestamp()) * SECOND


def places(world: World) -> list[str]:
    """Those that get a digest, the widest first."""
    found = [place for place in world.places.values() if place.kind in DIGESTED]
    return [place.id for place in sorted(found, key=lambda one: (DIGESTED.index(one.kind), one.id))]


def digest(
    db: sqlite3.Connection, world: World, place: str, week: Week, now_ns: int, counts: Iterable[Count]
) -> str:
    """The text; `counts` are the readings of that week, of any device."""
    since_ns, until_ns = week.instants(world.timezone)
    report = gather(db, world, since_ns, until_ns, now_ns, "compound", place)
    before = gather(db, world, 2 * since_ns - until_ns, since_ns, now_ns, "compound", place).total
    last = week.monday + timedelta(days=6)
    return "\n".join([
        f"【周报】{tables.name_of(world, place)} · {week.monday} 至 {last}",
        f"{tables.count_line(report)}。前一周发现 {before.found}",
        _in_time(report, before.on_time),
        *_problems(db, report),
        *_late(report),
        f"报警：{tables.load_lines(report)[0].removeprefix('报警 ')}",
        f"长期未恢复：{tables.load_lines(report)[2]}",
        _quality(report, counts),
    ]) + "\n"  # fmt: skip


def _in_time(report: Report, before: float | None) -> str:
    said = [
        f"；{tables.LEG_WORDS[leg].zh} {tables.percent(one.on_time)}"
        f"（中位 {tables.lasted(quantile(one.lasted_s, 0.5))}）"
        for leg in CLOCKS
        if (one := report.total.legs[leg]).judged
    ]
    return f"按时率：{tables.percent(report.total.on_time)}，前一周 {tables.percent(before)}" + "".join(said)


def _problems(db: sqlite3.Connection, report: Report) -> list[str]:
    """What happened most, and where."""
    counts: Counter[tuple[str, str]] = Counter()
    for case in history.made_between(db, Case, report.since_ns, report.until_ns):
        around = {one.id for one in ancestors(report.world, case.place)}
        if report.place in around and case.stage is not Stage.MERGED and not (case.unheard or case.drill):
            counts[case.rule, case.place] += 1
    world = report.world
    worst = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:PROBLEMS]
    lines = [
        f"  {count} 起  {tables.rule_name(world, rule)} · {tables.name_of(world, at)}"
        for (rule, at), count in worst
    ]
    return ["主要问题：", *lines] if lines else ["主要问题：无"]


def _late(report: Report) -> list[str]:
    rows = [f"  {' · '.join(row[:6])}" for row in tables.late_rows(report)[:LATE]]
    more = report.late_count - len(rows)
    tail = [f"  另有 {more} 件"] if more > 0 else []
    return ["现在逾期：", *rows, *tail] if rows else ["现在逾期：无"]


def _quality(report: Report, counts: Iterable[Count]) -> str:
    """The share of good readings of the devices of the place, and the worst of them."""
    good: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for one in counts:
        device = report.world.devices.get(one.device)
        if device and any(around.id == report.place for around in ancestors(report.world, device.at)):
            every[one.device] += one.readings
            good[one.device] += one.readings if one.quality == "good" else 0
    if not every:
        return "数据质量：这一周没有读数"
    shares = sorted((good[name] / count, name) for name, count in every.items())
    worst = [f"{name} {tables.percent(share)}" for share, name in shares[:DEVICES] if share < 1]
    said = f"数据质量：{tables.percent(good.total() / every.total())} 的读数完好"
    return said + (f"；最差 {'，'.join(worst)}" if worst else "")


# ---------------------------------------------------------------- as files


def write(folder: Path, week: Week, texts: Sequence[tuple[str, str]]) -> list[Path]:
    """A file a place, whole or not at all; those of weeks long ago go."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{week}-{place}.txt" for place, _ in texts]
    for path, (_, text) in zip(paths, texts, strict=True):
        write_durably(path, text)
    oldest = f"{Week(week.monday - timedelta(weeks=KEPT))}"
    for old in folder.glob("????-W??-*.txt"):
        if old.name[: len(oldest)] <= oldest:
            old.unlink()
    return paths


def write_apart(config: Path) -> None:
    """Has another process write the digests of last week: what it loads never weighs on the gateway.

    Raises subprocess.SubprocessError, with what it said.
    """
    command = [sys.executable, "-m", "gateway", "digest", "--write", "--config", str(config.absolute())]
    home = Path(__file__).parents[2]  # where the package lies, wherever we were started
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, cwd=home)
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.decode("utf-8", "replace").strip()[-500:])
