"""When a rule counts: windows and the days they belong to, China's workdays, works that go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config import Loaded, load
from gateway.core import state as states
from gateway.core.calendars import (
    DAYS,
    Hours,
    gaps,
    hours_of,
    is_workday,
    maintained,
    missing_years,
    parse_window,
)
from gateway.core.conditions import Counts, judge_for
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Calendar,
    Configured,
    Device,
    During,
    Level,
    Limit,
    Maintenance,
    Place,
    Scenario,
    Tick,
    Verdict,
)
from gateway.core.past import would_have_fired
from gateway.core.state import State
from gateway.grammar import DayKeys
from gateway.holidays import calendar_of
from gateway.tuning import scenarios
from tests.unit.config_files import FILES, told, write
from tests.unit.worlds import HOT, SILENT, SMOKE, START_NS, Play, limits, world

CHINA = calendar_of(())
SHANGHAI, BERLIN = "Asia/Shanghai", "Europe/Berlin"


def ns(text: str, timezone: str = SHANGHAI) -> int:
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(timezone))
    return int(at.timestamp()) * SECOND


def hours(timezone: str = SHANGHAI, calendar: Calendar = CHINA, **during) -> Hours:
    around = {
        "yard": Place(id="yard", says="", kind="point", windows={"two": ("06:30-08:30", "18:00-20:00")})
    }
    found = world(places=around, calendar=calendar, timezone=timezone)
    return hours_of(found, "yard", During(**during))


# ---------------------------------------------------------------- days


@pytest.mark.parametrize(
    ("day", "worked"),
    [
        ("2026-11-20", True),  # a Friday
        ("2026-11-21", False),  # a Saturday
        ("2026-01-04", True),  # Sunday, in exchange for New Year
        ("2026-02-14", True),  # Saturdays in exchange for Spring Festival
        ("2026-02-28", True),
        ("2026-05-09", True),
        ("2026-09-20", True),
        ("2026-10-10", True),
        ("2026-10-01", False),  # National Day, a Thursday
        ("2026-10-07", False),
        ("2026-10-08", True),
        ("2026-02-17", False),  # Spring Festival, a Tuesday
    ],
)
def test_workdays_of_2026(day: str, worked: bool) -> None:
    assert is_workday(CHINA, date.fromisoformat(day)) is worked
    noon = ns(f"{day}T12:00")
    assert hours(days=("workdays",)).hold_at(noon) is worked
    assert hours(days=("restdays",)).hold_at(noon) is not worked


def test_a_year_that_nobody_told_counts_by_weekdays() -> None:
    """Nothing is guessed: its New Year is a Friday, worked as far as we know."""
    assert 2026 in CHINA.years and 2031 not in CHINA.years
    assert is_workday(CHINA, date(2031, 1, 1)) and not is_workday(CHINA, date(2031, 1, 4))


def own(*days: tuple[str, str]) -> Calendar:
    return calendar_of(DayKeys(day=date.fromisoformat(d), kind=kind, says="") for d, kind in days)


def test_a_site_has_days_of_its_own() -> None:
    found = own(("2026-11-20", "restday"), ("2026-11-21", "workday"), ("2026-10-01", "workday"))
    assert not is_workday(found, date(2026, 11, 20))
    assert is_workday(found, date(2026, 11, 21)) and is_workday(found, date(2026, 10, 1))
    assert found.differs ^ CHINA.differs == {date(2026, 11, 20), date(2026, 11, 21), date(2026, 10, 1)}


def test_a_site_tells_a_year_by_naming_its_fixed_holidays() -> None:
    fixed = [(f"2031-{day}", "restday") for day in ("01-01", "05-01", "10-01")]
    assert 2031 in own(*fixed).years
    assert 2031 not in own(*fixed[:2]).years
    assert 2031 not in own(*fixed[:2], ("2031-10-01", "workday")).years


# ---------------------------------------------------------------- windows and the day they belong to


def test_gaps_are_what_lies_between() -> None:
    def between(*windows: str) -> list[tuple[int, int]]:
        return list(gaps(tuple(map(parse_window, windows))))

    assert between("06:30-08:30", "18:00-20:00") == [(510, 1080), (1200, 390)]
    assert between("22:00-06:00") == [(360, 1320)]
    assert between("00:00-24:00") == []
    assert between() == [(0, 1440)]
    assert between("06:00-08:00", "08:00-10:00", "07:00-09:00") == [(600, 360)]
    assert between("00:00-06:00", "12:00-24:00") == [(360, 720)]


@pytest.mark.parametrize(
    "during",
    [{"inside": "22:00-06:00"}, {"outside": "06:00-22:00"}],
    ids=["inside", "outside"],
)
def test_a_window_over_midnight_is_of_the_day_on_which_it_began(during: dict[str, str]) -> None:
    """Friday's night runs into Saturday; Sunday's into Monday, and is no workday's."""
    found = hours(**during, days=("workdays",))
    said = {
        "2026-11-20T21:59": False,
        "2026-11-20T22:00": True,  # Friday
        "2026-11-21T05:59": True,  # still Friday's
        "2026-11-21T06:00": False,
        "2026-11-21T23:00": False,  # Saturday
        "2026-11-23T05:00": False,  # Monday morning is Sunday's
        "2026-11-23T22:00": True,
    }
    assert {at: found.hold_at(ns(at)) for at in said} == said


def test_names_and_lists_of_days() -> None:
    found = hours(outside="two", days=("fri", "sun"))
    said = {
        "2026-11-20T05:00": False,  # the gap since Thursday 20:00
        "2026-11-20T07:00": False,  # inside
        "2026-11-20T08:30": True,
        "2026-11-20T20:00": True,
        "2026-11-21T06:29": True,
        "2026-11-21T09:00": False,
        "2026-11-22T09:00": True,
    }
    assert {at: found.hold_at(ns(at)) for at in said} == said
    assert {day: hours(days=(day,)).hold_at(ns("2026-10-10T12:00")) for day in DAYS} == {
        **dict.fromkeys(DAYS, False), "workdays": True, "sat": True,
    }  # fmt: skip


def test_inside_one_and_outside_another() -> None:
    found = hours(inside="22:00-06:00", outside="23:00-01:00", days=("fri",))
    said = {
        "2026-11-20T22:30": True,
        "2026-11-20T23:30": False,
        "2026-11-21T00:30": False,
        "2026-11-21T01:00": True,  # of the window that began on Friday
        "2026-11-21T22:30": False,
    }
    assert {at: found.hold_at(ns(at)) for at in said} == said


def test_a_zone_that_moves_its_clocks() -> None:
    """Hours are those on the wall: skipped in spring, there twice in autumn, and nights stay one window."""
    spring = hours(BERLIN, inside="02:00-03:00")
    minutes = range(ns("2026-03-29T00:00+01:00"), ns("2026-03-29T06:00+02:00"), 60 * SECOND)
    assert not any(map(spring.hold_at, minutes))
    minutes = range(ns("2026-10-25T00:00+02:00"), ns("2026-10-25T06:00+01:00"), 60 * SECOND)
    assert sum(map(spring.hold_at, minutes)) == 120
    night = hours(BERLIN, inside="22:00-06:00", days=("sat",))
    minutes = range(ns("2026-10-24T00:00+02:00"), ns("2026-10-27T00:00+01:00"), 60 * SECOND)
    assert sum(map(night.hold_at, minutes)) == 9 * 60
    assert night.hold_at(ns("2026-10-25T05:59+01:00")) and not night.hold_at(ns("2026-10-25T06:00+01:00"))


def test_a_zone_that_does_not() -> None:
    night = hours(inside="22:00-06:00", days=("sat",))
    minutes = range(ns("2026-10-24T00:00"), ns("2026-10-27T00:00"), 60 * SECOND)
    assert sum(map(night.hold_at, minutes)) == 8 * 60


# ---------------------------------------------------------------- a rule and its hours

NIGHT = replace(SMOKE, id="night", during=During(inside="22:00-06:00", days=("workdays",)), clear_hold_s=60)


def playing(*rules, **changes) -> Play:
    return Play(Engine(world(rules=rules, calendar=CHINA, **changes), State(identity="0000002a")))


def restored(play: Play) -> Play:
    """As after a restart: the state from a checkpoint, the rest made anew."""
    state = states.load(states.save(play.engine.state))
    play.engine = Engine(play.engine.world, state, play.engine.recent)
    return play


def test_a_value_rings_when_its_hours_come() -> None:
    """At 20:00 on a Monday it is good; at 22:00, unsaid again, it is not; at 06:00 it is good again."""
    play = playing(NIGHT)
    play.say(smoke=1)
    play.wait(2 * 3600 - 1)
    assert play.levels() == []
    play.wait(60)
    assert play.levels() == ["red"]
    play.wait(8 * 3600 + 60)
    assert play.levels() == ["red", "clear"]


def test_a_rule_without_hours_looks_at_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path pays nothing."""
    from gateway.core import calendars

    monkeypatch.setattr(calendars, "_clock", None)
    play = playing(SMOKE, HOT)
    play.say(smoke=1)
    assert play.levels() == ["red"]


def test_a_minute_is_worked_out_once() -> None:
    from gateway.core.calendars import _clock

    found = hours(inside="22:00-06:00")
    found.hold_at(START_NS)
    misses = _clock.cache_info().misses
    for second in range(60):
        found.hold_at(START_NS + second * SECOND)
    assert _clock.cache_info().misses == misses


def test_a_scenario_goes_by_the_calendar_it_is_given() -> None:
    """National Day is a Thursday: a rest day, unless nobody told the year."""
    rule = replace(SMOKE, during=During(inside="08:00-20:00", days=("restdays",)))
    scenario = Scenario(
        name="smoke on a holiday", rule=rule.id, every_s=60, series={"smoke": (1.0, 1.0)},
        expect=(("red", 0.0),), start="2026-10-01T12:00",
    )  # fmt: skip
    assert scenarios.missed(scenario, scenarios.run(scenario, rule, calendar=CHINA)[:1]) == ""
    assert scenarios.run(scenario, rule) == []


def test_an_old_sample_is_looked_back_at_by_its_own_hour() -> None:
    """What would have fired on Friday night is not asked by the clock of Monday."""
    judge = judge_for(NIGHT, world().devices["cab-1"], "", world(calendar=CHINA))
    assert judge is not None
    friday, sunday = ns("2026-11-21T05:00"), ns("2026-11-23T05:00")
    assert would_have_fired({}, judge, 1.0, friday) == [(Level.RED, friday)]
    assert would_have_fired({}, judge, 1.0, sunday) == []


# ---------------------------------------------------------------- works

WORKS = Maintenance(
    says="更换烟感", by="wang", at="street", since_ns=START_NS, until_ns=START_NS + 3600 * SECOND
)
WARM = replace(SMOKE, id="warm", quantity="temperature_c", limits=limits((Level.ORANGE, 30, 0, 20.0)))


def judged(
    *works: Maintenance, level: Level = Level.ORANGE, active: bool = False, after_s: int = 0
) -> Verdict:
    found = world(rules=(WARM,), maintenance=works)
    judge = judge_for(WARM, found.devices["cab-1"], "", found)
    assert judge is not None
    counts = judge.counts_at(START_NS + after_s * SECOND)
    return judge.verdict(Limit(level=level, above=30), 40.0, active, counts)


def test_works_hold_what_would_be_raised() -> None:
    assert judged() is Verdict.BAD
    assert judged(WORKS) is Verdict.GOOD
    assert judged(WORKS, active=True) is Verdict.BAD  # it stands, and nobody may call it normal
    assert judged(WORKS, after_s=-1) is Verdict.BAD
    assert judged(WORKS, after_s=3599) is Verdict.GOOD
    assert judged(WORKS, after_s=3600) is Verdict.BAD
    assert judged(replace(WORKS, at="", device="cab-2")) is Verdict.BAD
    assert judged(replace(WORKS, at="elsewhere")) is Verdict.BAD
    assert judged(replace(WORKS, at="", device="cab-1")) is Verdict.GOOD


def test_red_is_held_only_by_who_says_so() -> None:
    assert judged(WORKS, level=Level.RED) is Verdict.BAD
    assert judged(replace(WORKS, also_red=True), level=Level.RED) is Verdict.GOOD
    assert judged(WORKS, replace(WORKS, also_red=True), level=Level.RED) is Verdict.GOOD
    assert [Counts.HELD.holds(level) for level in Level] == [True, True, False]


def test_works_come_again_every_week() -> None:
    """START is a Monday, 20:00."""
    weekly = replace(WORKS, since_ns=0, until_ns=0, during=During(inside="20:00-21:00", days=("mon",)))
    assert judged(weekly) is Verdict.GOOD
    assert judged(weekly, after_s=3600) is Verdict.BAD
    assert judged(weekly, after_s=86400) is Verdict.BAD
    assert judged(weekly, after_s=7 * 86400) is Verdict.GOOD
    until = replace(weekly, until_ns=START_NS + 86400 * SECOND)
    assert judged(until, after_s=7 * 86400) is Verdict.BAD


def test_who_works_where() -> None:
    red = replace(WORKS, says="电梯保养", also_red=True)
    found = world(maintenance=(WORKS, red))
    device = found.devices["cab-1"]
    assert maintained(found, device, START_NS) is red
    assert maintained(found, device, WORKS.until_ns) is None
    assert maintained(found, Device(id="x", model="cabinet", at="", topic="x"), START_NS) is None


@pytest.mark.parametrize("change", [lambda play: play, restored], ids=["undisturbed", "restarted"])
def test_what_is_still_true_when_works_end_is_raised_at_once(change) -> None:
    """LIF-07: nobody says it again, and the end of the works is enough."""
    play = playing(WARM, maintenance=(WORKS,))
    play.say(t=40)
    play.wait(1800)
    change(play).wait(1799)
    assert play.levels() == []
    play.wait(61)
    assert play.levels() == ["orange"]


def test_what_is_over_before_the_works_are_is_never_raised() -> None:
    play = playing(WARM, maintenance=(WORKS,))
    play.say(t=40)
    play.wait(1800)
    play.say(t=15)
    play.wait(7200)
    assert play.levels() == []


def test_an_alert_that_stands_is_no_all_clear_because_of_works() -> None:
    play = playing(WARM, maintenance=(replace(WORKS, since_ns=START_NS + 60 * SECOND),))
    play.say(t=40)
    play.wait(3000)
    assert play.levels() == ["orange"]
    play.say(t=15)
    play.wait(120)
    assert play.levels() == ["orange", "clear"]


def test_works_taken_out_of_the_file_end() -> None:
    play = playing(WARM, maintenance=(WORKS,))
    play.say(t=40)
    play.wait(125)
    play.engine.reconfigure(
        Configured(play.at, play.wall(), "two"), replace(play.engine.world, maintenance=())
    )
    play.say(t=40)
    assert play.levels() == ["orange"]


@pytest.mark.parametrize("change", [lambda play: play, restored], ids=["undisturbed", "restarted"])
def test_silence_is_held_too(change) -> None:
    """Whoever changes a sensor takes it off the line; if it stays off, that is told when the works end."""
    quiet = replace(
        SILENT, limits=(Limit(level=Level.YELLOW, absent_s=300), Limit(level=Level.ORANGE, absent_s=900))
    )
    play = playing(quiet, maintenance=(WORKS,))
    play.say(smoke=0)
    play.wait(1807)
    change(play).wait(3600 - 1807 - 1)
    assert play.levels() == []
    play.wait(61)
    assert play.levels() == ["orange"]


def test_silence_is_raised_in_the_same_instants_live_and_stepped_again() -> None:
    """Else the alert that is stepped again has another id than the one that was committed."""

    until = replace(WORKS, also_red=True, until_ns=START_NS + 3630 * SECOND)

    def raised(change) -> list[tuple[str, int]]:
        play = playing(SILENT, maintenance=(until,))
        play.wait(7)
        play.say(smoke=0)
        play.wait(3613)
        change(play).at += 20 * SECOND
        play.give(Tick(play.at, play.wall()))  # the works are over, and the next look is not due
        play.wait(7200)
        return [(alert.id, alert.raised_ns) for alert in play.engine.state.alerts.values()]

    assert raised(restored) == raised(lambda play: play) != []


def test_red_silence_is_raised_during_works() -> None:
    play = playing(SILENT, maintenance=(WORKS,))
    play.say(smoke=0)
    play.wait(1000)
    assert play.levels() == ["red"]


# ---------------------------------------------------------------- files

ASKS = During(days=("workdays",))
RULES = FILES["rules/all.yaml"].replace("{outside: drop_off}", "{outside: drop_off, days: workdays}")
FIXED = "calendar:" + "".join(
    f"\n  - {{date: 2031-{day}, kind: restday, says: 法定}}" for day in ("01-01", "05-01", "10-01")
)


def loaded(folder: Path, day: str, **files: str) -> Loaded:
    path = write(folder, {**FILES, "rules/all.yaml": RULES, **files})
    return load(path, "en", environ={}, now_ns=ns(f"{day}T00:30"))


def test_years_that_are_missing() -> None:
    assert missing_years(CHINA, [None, ASKS], date(2026, 11, 1)) == []
    assert missing_years(CHINA, [None, ASKS], date(2026, 11, 2)) == [2027]
    assert missing_years(CHINA, [None, ASKS], date(2027, 1, 1)) == [2027]
    assert missing_years(CHINA, [None, ASKS], date(2027, 12, 31)) == [2027, 2028]
    assert missing_years(CHINA, [None, During(days=("mon",))], date(2027, 1, 1)) == []


def test_a_year_without_a_calendar_is_a_mistake(tmp_path: Path) -> None:
    assert loaded(tmp_path, "2030-12-31", **{"sites/days.yaml": FIXED}).problems != []
    assert loaded(tmp_path, "2031-01-01", **{"sites/days.yaml": FIXED}).problems == []
    assert loaded(tmp_path, "2026-12-31").problems == []
    (found,) = map(str, loaded(tmp_path, "2032-01-01").problems)
    assert found.endswith(
        "rules/all.yaml:18: rules[1].during.days: found no calendar of workdays for 2032, expected a newer "
        "chinesecalendar, or the year's holidays under calendar: in sites/"
    )


def test_a_gateway_starts_on_new_years_morning(tmp_path: Path) -> None:
    """Whoever does not say what day it is is not held up by a calendar."""
    path = write(tmp_path, {**FILES, "rules/all.yaml": RULES})
    assert load(path, "en", environ={}).problems == []


def test_the_year_is_that_of_the_place(tmp_path: Path) -> None:
    """16:30 UTC on New Year's Eve is past midnight in Shanghai."""
    eve = int(datetime(2031, 12, 31, 16, 30, tzinfo=UTC).timestamp()) * SECOND
    path = write(tmp_path, {**FILES, "rules/all.yaml": RULES, "sites/days.yaml": FIXED})
    assert load(path, "en", environ={}, now_ns=eve - 3600 * SECOND).problems == []
    assert len(load(path, "en", environ={}, now_ns=eve).problems) == 1


def test_a_site_with_days_and_works(tmp_path: Path) -> None:
    works = """
maintenance:
  - {at: estate, from: 2026-11-24T09:00, to: 2026-11-24T17:00, says: 更换烟感, by: wang}
  - {device: cam-1, during: {inside: drop_off, days: [tue]}, says: 保养, by: wang, also_red: true}
"""
    found = loaded(tmp_path, "2031-06-01", **{"sites/days.yaml": FIXED + works}).world
    assert found is not None
    once, weekly = found.maintenance
    assert (once.since_ns, once.until_ns) == (ns("2026-11-24T09:00"), ns("2026-11-24T17:00"))
    assert (weekly.device, weekly.during) == ("cam-1", During(inside="drop_off", days=("tue",)))
    assert weekly.also_red and not once.also_red
    assert date(2031, 5, 1) in found.calendar.differs and 2031 in found.calendar.years
    assert maintained(found, found.devices["cam-1"], ns("2026-11-24T07:00")) == weekly
    assert maintained(found, found.devices["cab-1"], ns("2026-11-24T07:00")) is None
    assert found.rules[1].during == During(outside="drop_off", days=("workdays",))


def test_a_world_survives_being_remembered(tmp_path: Path) -> None:
    """It is kept in the store, calendar and all."""
    import msgspec

    from gateway.core.model import World

    found = loaded(tmp_path, "2026-11-22").world
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=World) == found


def test_days_may_be_a_list(tmp_path: Path) -> None:
    rules = RULES.replace("days: workdays", 'inside: "22:00-06:00", days: [mon, restdays]')
    found = loaded(tmp_path, "2026-11-22", **{"rules/all.yaml": rules}).world
    assert found is not None
    assert found.rules[1].during == During(inside="22:00-06:00", outside="drop_off", days=("mon", "restdays"))


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_the_former_key_says_what_to_write_now(tmp_path: Path, locale: str) -> None:
    files = {
        **FILES,
        "rules/all.yaml": FILES["rules/all.yaml"].replace("during: {outside: drop_off}", "outside: x"),
    }
    (found,) = told(tmp_path, files, locale)
    assert found.endswith("during: {outside: WINDOW}" if locale == "en" else "during: {outside: 时段}")
