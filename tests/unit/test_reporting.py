"""Reports as people get them: gathered page by page, on the terminal, as page, table and digest."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest

from gateway.adapters import history
from gateway.adapters.archive import Count
from gateway.adapters.store import Record, Store
from gateway.chores import Chores
from gateway.core.engine import Engine
from gateway.core.ids import make_id
from gateway.core.model import (
    SECOND,
    Act,
    Case,
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Place,
    Stage,
    Tick,
    Told,
    Verb,
)
from gateway.core.state import State
from gateway.reporting import digest as weekly
from gateway.reporting import page, tables
from gateway.reporting.gather import Report, courses, gather
from tests.unit.test_case_life import street
from tests.unit.worlds import HOT, SMOKE, START_NS, Play

DAY_NS = 86400 * SECOND
YARD = "<script>alert(1)</script>小区"  # what somebody typed
MONDAY = date(2026, 11, 2)  # START_NS is 20:00 of that day


def site():
    """The street of the tests with a committee in it."""
    found = street(HOT, SMOKE)
    yard = Place(id="yard", says=YARD, kind="compound", within="jw")
    committee = Place(id="jw", says="宛南居委", kind="committee", within="street")
    return replace(found, places={**found.places, "jw": committee, "yard": yard})


@pytest.fixture
def play() -> Play:
    """A fire that was put out in 70 s and confirmed; an hour later a hot slot that nobody answers."""
    play = Play(Engine(site(), State(identity="0000002a")))
    play.say(smoke=1)
    for one in list(play.engine.state.notifications.values()):
        play.give(Outcome(play.at, play.wall(), one.id, Told.ACCEPTED))
    (case,) = play.engine.state.cases
    play.wait(10)
    play.act(case, Verb.ACKNOWLEDGE)
    play.wait(60)
    play.say(smoke=0)
    play.wait(61)
    play.act(case, Verb.DONE)
    play.wait(30)
    play.act(case, Verb.VERIFY, "li")
    play.wait(3600)
    play.say({3: 80})
    play.wait(1300)
    return play


@pytest.fixture
def store(play: Play, tmp_path: Path):
    store = Store(tmp_path / "state")
    store.commit([Record(Tick(1, 1), play.effects)], None, msgspec.msgpack.encode(site()))
    yield store
    store.close()


@pytest.fixture
def report(store: Store, play: Play) -> Report:
    return gathered(store, play)


def gathered(store, play, since_ns=START_NS - DAY_NS, until_ns=START_NS + DAY_NS, **more) -> Report:
    given = {"by": "committee", **more}
    return gather(store.reader(), site(), since_ns, until_ns, play.wall(), **given)


# ---------------------------------------------------------------- gathered


def test_what_is_gathered_is_what_happened(report: Report) -> None:
    total = report.total
    assert (total.found, total.closed, total.open, total.late_now) == (2, 1, 1, 1)
    legs = {leg: (one.lasted_s, one.judged, one.late) for leg, one in total.legs.items()}
    assert legs == {
        Stage.SENT: ([0], 0, 0),  # no clock; of the second no provider has taken a message
        Stage.ACKNOWLEDGED: ([10], 2, 1),
        Stage.HANDLED: ([121], 1, 0),
        Stage.VERIFIED: ([30], 1, 0),
        Stage.CLOSED: ([161], 0, 0),
    }
    assert list(report.groups) == ["jw"] and report.groups["jw"].found == 2
    assert [one.case.rule for one in report.late] == ["slot-hot"] and report.late_count == 1
    assert report.found_on == {"2026-11-02": 2} and report.closed_on == {"2026-11-02": 1}


def test_what_was_found_outside_the_days_or_the_place_is_not_in_it(store: Store, play: Play) -> None:
    later = gathered(store, play, START_NS + 1800 * SECOND)
    assert (later.total.found, later.total.closed) == (1, 0)
    after = gathered(store, play, START_NS + DAY_NS, START_NS + 2 * DAY_NS)
    assert after.total.found == after.load.alerts.count == 0 and len(after.late) == 1, (
        "it is late all the same"
    )
    assert gathered(store, play, place="jw").total.found == 2
    elsewhere = gathered(store, play, place="nowhere")
    assert elsewhere.total.found == elsewhere.load.alerts.count == len(elsewhere.late) == 0


def test_what_is_overdue_stays_so_on_the_shelf(store: Store, play: Play) -> None:
    """Somebody was told of it, and nobody answered: that it tells nobody for a while mends nothing."""
    (case,) = play.engine.state.cases
    before = len(play.effects)
    until_ns = play.wall() + 1800 * SECOND  # a red one, by one person alone
    play.give(Act(play.at, play.wall(), case, "wang", Verb.SHELVE, "换传感器", "cli", until_ns=until_ns))
    assert play.engine.state.cases[case].silent
    store.commit([Record(Tick(play.at, play.wall()), play.effects[before:])])
    report = gathered(store, play)
    assert [one.case.id for one in report.late] == [case]
    assert report.late_count == report.total.late_now == 1, "the list and the number above it"


def test_the_same_instants_give_the_same_figures_whatever_came_later(store: Store, play: Play) -> None:
    """What was written after the report's own instant changes nothing in it."""
    ends = START_NS - DAY_NS, START_NS + DAY_NS
    then = gather(store.reader(), site(), *ends, START_NS + 20 * SECOND, "committee").total
    assert (then.found, then.open, then.legs[Stage.ACKNOWLEDGED].lasted_s) == (1, 1, [10])
    assert then.legs[Stage.HANDLED].lasted_s == []


def case_at(wall_ns: int, number: int, **more) -> Case:
    given = {
        "id": make_id(wall_ns, "2a", number), "alerts": (), "device": "cab-1", "component": "",
        "place": "yard", "rule": "smoke", "level": Level.RED, "stage": Stage.SENT, "opened_ns": wall_ns,
        "changed_ns": wall_ns,
    }  # fmt: skip
    return Case(**{**given, **more})


def test_pages_neither_skip_nor_repeat_whatever_their_size(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(history, "PAGE", 3)
    store = Store(tmp_path)
    cases = [
        case_at(START_NS + number // 2 * SECOND, number + 1, stage=Stage.CLOSED if number % 3 else Stage.SENT)
        for number in range(20)
    ]
    store.commit([Record(Tick(1, 1), cases)])
    db = store.reader()
    assert list(history.made_between(db, Case, START_NS, START_NS + DAY_NS)) == cases
    middle_ns = START_NS + 5 * SECOND
    assert list(history.made_between(db, Case, START_NS, middle_ns)) == cases[:10]
    assert list(history.made_between(db, Case, middle_ns, START_NS + DAY_NS)) == cases[10:]
    assert list(history.open_before(db, START_NS + DAY_NS)) == cases[::3]
    store.close()


def test_a_telling_is_counted_once_for_all_its_channels_and_not_when_it_was_cancelled(tmp_path: Path) -> None:
    def told(number: int, after_s: int, person: str, **more) -> Notification:
        wall_ns = START_NS + after_s * SECOND
        given = {
            "id": case_at(wall_ns, number).id, "case": "c", "alert": "a", "kind": Kind.RAISED,
            "level": Level.RED, "person": person, "channel": f"way-{number}", "address": "1", "title": "",
            "text": "", "created_ns": wall_ns, "due_at": 0, "state": NotificationState.ACCEPTED,
        }  # fmt: skip
        return Notification(**{**given, **more})

    store = Store(tmp_path)
    rows = [
        told(1, 0, "wang"), told(2, 0, "li"), told(3, 0, "wang"), told(4, 0, "wang", alert="b"),
        told(5, 60, "wang"), told(6, 90, "wang", state=NotificationState.CANCELLED),
    ]  # fmt: skip
    store.commit([Record(Tick(1, 1), rows)])
    found = list(history.tellings(store.reader(), START_NS, START_NS + DAY_NS))
    assert [person for person, _ in found] == ["wang", "li", "wang", "wang"]
    store.close()


def test_alerts_that_stand_for_more_than_a_day(store: Store, play: Play) -> None:
    tomorrow = gather(
        store.reader(), site(), START_NS, START_NS + DAY_NS, play.wall() + 2 * DAY_NS, "committee"
    )
    assert [one.rule for one in tomorrow.standing] == ["slot-hot"] and tomorrow.load.stood == 1
    assert gathered(store, play).standing == []


# ---------------------------------------------------------------- written


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 秒"), (59.4, "59 秒"), (60, "1 分"), (125, "2 分 5 秒"), (3600, "1 小时"),
        (12_000, "3 小时 20 分"), (187_300, "2 天 4 小时"), (None, "-"),
    ],
)  # fmt: skip
def test_spans_as_people_say_them(seconds: float | None, said: str) -> None:
    assert tables.lasted(seconds) == said


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert tables.percent(1999 / 2000) == "99.9%" and tables.percent(1.0) == "100%"
    assert tables.percent(0.29) == "29%" and tables.percent(None) == "-"


def test_the_page_stands_alone_and_escapes_what_people_wrote(report: Report) -> None:
    report.groups["yard"] = report.total
    html = page.as_html(report)
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.search(r"(src|href)=|https?://|@import|url\(", html), "nothing to fetch"
    assert "viewport" in html and "@media print" in html and html.count("<svg") >= 2
    assert "充电仓过热" in html and "按时率" in html
    assert not re.search(r"\bNone\b|\bnan\b", html)


def test_a_page_of_nothing_is_a_page(store: Store, play: Play) -> None:
    empty = gathered(store, play, START_NS + 9 * DAY_NS, START_NS + 10 * DAY_NS, place="nowhere")
    assert "没有。" in page.as_html(empty) and tables.as_csv(empty) and tables.as_json(empty)


def test_the_chart_by_days_shows_every_case_once(report: Report) -> None:
    bars = page.by_days(report)
    assert sum(int(bar.text) for bar in bars.bars if bar.css == "found") == 2
    assert max(bar.x + bar.width for bar in bars.bars) <= bars.width
    report.since_ns -= 365 * DAY_NS  # weeks, then
    weeks = page.by_days(report)
    assert len(weeks.bars) < 2 * 60 and sum(int(bar.text) for bar in weeks.bars if bar.css == "found") == 2


def test_the_table_opens_in_a_spreadsheet_and_adds_up(report: Report) -> None:
    text = tables.as_csv(report)
    assert text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["名称"] for row in rows] == ["合计", "宛南居委"]
    for column in ("发现", "办结", "误报", "在办", "并入"):
        assert int(rows[0][column]) == sum(int(row[column]) for row in rows[1:])
    assert rows[0]["处理中位秒"] == "121.000" and rows[0]["接手逾期"] == "1"
    assert rows[0]["按时率"] == "0.7500", "three of four clocks"


def test_a_name_is_no_formula(report: Report) -> None:
    report.groups["=1+1"] = report.groups.pop("jw")
    assert "1,'=1+1,'=1+1," in tables.as_csv(report)


def test_every_stage_of_a_case_with_its_time(store: Store, play: Play) -> None:
    fire, slot = courses(store.reader(), START_NS - 1, START_NS + DAY_NS, play.wall())
    assert [(row[0][-8:], *row[1:]) for row in tables.stage_rows(fire, site())] == [
        ("20:00:00", "正在通知", "-", "", ""),
        ("20:00:00", "等待接手", "10 秒", "", ""),
        ("20:00:10", "已接手", "2 分 1 秒", "王经理", ""),
        ("20:02:11", "待传感器核验", "30 秒", "王经理", ""),
        ("20:02:41", "已结案", "-", "", ""),
    ]
    assert tables.stage_rows(slot, site())[-1][4] == "逾期"


# ---------------------------------------------------------------- the digest


COUNTS = (
    Count("cab-1", "good", 90, 1), Count("cab-1", "late", 10, 1), Count("stranger", "stuck", 1000, 1),
)  # fmt: skip


def test_a_digest_is_less_than_a_page_and_says_what_matters(store: Store, play: Play) -> None:
    text = weekly.digest(store.reader(), site(), "jw", weekly.Week(MONDAY), play.wall(), COUNTS)
    lines = text.splitlines()
    assert lines[0] == "【周报】宛南居委 · 2026-11-02 至 2026-11-08"
    assert lines[1] == "发现 2，办结 1，误报 0，在办 1（其中逾期 1）。前一周发现 0"
    assert "按时率：75%" in lines[2] and "接手 50%（中位 10 秒）" in lines[2]
    assert (
        "  1 起  充电仓过热" in text
        and "现在逾期：" in lines
        and "数据质量：90% 的读数完好；最差 cab-1 90%" in lines
    )
    assert len(lines) < 40 and "None" not in text


def test_weeks_begin_on_monday_in_local_time() -> None:
    sunday_ns = weekly.day_ns(date(2026, 11, 9), "Asia/Shanghai") - SECOND
    assert weekly.Week.before(sunday_ns, "Asia/Shanghai").monday == date(2026, 10, 26)
    assert weekly.Week.before(sunday_ns + SECOND, "Asia/Shanghai").monday == MONDAY
    assert str(weekly.Week(MONDAY)) == "2026-W45" and weekly.Week.parse("2026-W45").monday == MONDAY
    since_ns, until_ns = weekly.Week(MONDAY).instants("Asia/Shanghai")
    assert (until_ns - since_ns, START_NS - since_ns) == (7 * DAY_NS, 20 * 3600 * SECOND)


def test_digests_of_long_ago_go_and_nothing_else(tmp_path: Path) -> None:
    for name in ("2025-W37-jw.txt", "2025-W38-jw.txt", "2025-notes.txt"):
        (tmp_path / name).write_text("x")
    weekly.write(tmp_path, weekly.Week(MONDAY), [("jw", "周报\n")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2025-W38-jw.txt", "2025-notes.txt", "2026-W45-jw.txt",
    ]  # fmt: skip


def test_the_calendar_writes_them_on_monday_morning() -> None:
    chores = Chores("Asia/Shanghai", Mock(), int, int, int, int)
    job = chores._scheduler.get_job("digest")
    fields = {one.name: str(one) for one in job.trigger.fields}
    assert (fields["day_of_week"], fields["hour"], fields["minute"]) == ("mon", "6", "40")


# ---------------------------------------------------------------- the commands


@pytest.fixture
def filled(folder: Path, play: Play) -> Path:
    store = Store(folder / "state")
    store.commit([Record(Tick(1, 1), play.effects)], None, msgspec.msgpack.encode(site()))
    store.close()
    return folder


def test_the_command_prints_a_month(run, filled: Path) -> None:
    said = run("report", "--month", "2026-11")
    assert said.exit_code == 0, said.output
    assert "处置报告 2026-11-01 至 2026-11-30" in said.output and "发现 2，办结 1" in said.output
    assert "宛南居委" in said.output and "充电仓过热" in said.output
    by = run("report", "--from", "2026-11-02", "--to", "2026-11-03", "--by", "property", "--json").output
    found = json.loads(by)
    assert [one["id"] for one in found["groups"]] == ["firm"] and found["total"]["found"] == 2
    assert found["total"]["stages"]["handled"]["median_s"] == 121


def test_the_command_writes_page_and_table(run, filled: Path) -> None:
    html, table = filled / "r.html", filled / "r.csv"
    said = run("report", "--month", "2026-11", "--html", str(html), "--csv", str(table))
    assert (said.exit_code, said.output) == (0, "")
    assert html.read_text("utf-8").startswith("<!doctype html>")
    assert table.read_bytes().startswith(b"\xef\xbb\xbf") and b"\r\n" in table.read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--month", "2026-13"], "--month 2026-13-01: expected a date"),
        (["--month", "2026-11", "--to", "2026-12-01"], "say --month, or --from and --to"),
        (["--from", "2026-11-05", "--to", "2026-11-05"], "must be before"),
        (["--by", "planet"], "--by planet: expected one of committee, compound"),
        (["--place", "mars"], "--place mars: no such place"),
    ],
)
def test_what_cannot_be_reported_is_refused_by_name(run, filled: Path, words: list[str], says: str) -> None:
    said = run("report", *words)
    assert said.exit_code == 2 and says in said.output


def test_show_tells_every_stage_of_a_case(run, filled: Path) -> None:
    said = run("show", "--stages").output.splitlines()
    assert said[-2].split() == ["since", "stage", "lasted", "person", "clock"]
    assert said[-1].startswith("2026-11-02 21:02:41  正在通知") and said[-1].endswith("逾期")


def test_a_store_from_tomorrow_is_reported_all_the_same(
    run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's night may be still to come, and a clock may have been set back."""
    monkeypatch.setattr("time.time_ns", lambda: START_NS - 3600 * SECOND)
    said = run("report", "--month", "2026-11", "--json")
    assert said.exit_code == 0 and json.loads(said.output)["total"]["found"] == 2
    assert "正在通知" in run("show", "--stages").output


def test_the_gateway_has_the_digests_written_by_another_process(folder: Path, play: Play) -> None:
    store = Store(folder / "state")
    store.commit([Record(Tick(1, 1), play.effects)], None, msgspec.msgpack.encode(site()))
    weekly.write_apart(folder / "lilong.yaml")
    store.close()
    names = sorted(path.name.partition("-W")[2][3:] for path in (folder / "state" / "digests").iterdir())
    assert names == ["jw.txt", "street.txt"]


def test_why_it_could_not_be_written_is_said(folder: Path) -> None:
    with pytest.raises(weekly.subprocess.SubprocessError, match=r"lilong\.db"):
        weekly.write_apart(folder / "lilong.yaml")
