"""What must hold for any windows and days, and for works and hours over any restart."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.calendars import DAY_MIN, DAYS, gaps, hours_of, inside, is_one_of, never
from gateway.core.engine import Engine
from gateway.core.model import SECOND, During, Maintenance
from gateway.core.state import State
from gateway.holidays import calendar_of
from tests.unit.worlds import HOT, SILENT, SMOKE, START_NS, Play, world

CHINA = calendar_of(())
minute = st.integers(0, DAY_MIN - 1)
window = st.tuples(minute, st.integers(0, DAY_MIN)).filter(lambda one: one[0] != one[1])
windows = st.lists(window, max_size=4).map(tuple)
days = st.lists(st.sampled_from(DAYS), max_size=3).map(tuple)


def text(one):
    return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in one)


@given(windows)
@example(((0, DAY_MIN),))
@example(((0, 60), (60, DAY_MIN)))
def test_gaps_are_all_that_is_in_no_window(some):
    """Every minute lies in a window or in a gap, and in no two gaps."""
    between = gaps(some)
    for at in range(DAY_MIN):
        holding = [gap for gap in between if inside([gap], at)]
        assert len(holding) == (not inside(some, at))


@given(windows, windows)
def test_never_is_told_of_what_never_comes(within, without):
    left = [at for at in range(DAY_MIN) if inside(within, at) and not inside(without, at)]
    assert never(within, without) == (not left)


@given(st.none() | window, st.none() | window, days, st.integers(0, 400 * DAY_MIN))
@example(None, (720, DAY_MIN), ("mon",), 6 * 60)  # Monday, 1 December 2025, 06:00: the gap begins at midnight
def test_hours_are_what_a_calendar_on_the_wall_says(within, without, some, later):
    """Each window put on each day by hand: where the instant lies in one, the day is that one's."""
    at = datetime(2025, 12, 1) + timedelta(minutes=later)
    during = During(
        inside=text(within) if within else "", outside=text(without) if without else "", days=some
    )
    hours = hours_of(world(calendar=CHINA), "yard", during)
    wall_ns = int(at.replace(tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * SECOND
    assert hours.hold_at(wall_ns) == by_hand(at, within, without, some)


def by_hand(at, within, without, some):
    if without and any(begins <= at < ends for begins, ends in laid_out(at, without)):
        return False
    whole = [(midnight(at), midnight(at) + timedelta(days=1))]
    held = laid_out(at, within) if within else laid_out(at, gap(without)) if without else whole
    started = [begins for begins, ends in held if begins <= at < ends]
    return any(not some or is_one_of(CHINA, some, begins.date()) for begins in started)


def gap(without):
    return without[1] % DAY_MIN, without[0] or DAY_MIN


def midnight(at):
    return at.replace(hour=0, minute=0)


def laid_out(at, one):
    """The window on the days around an instant."""
    start, end = one
    for day in (midnight(at) - timedelta(days=1), midnight(at)):
        ends = day + timedelta(minutes=end, days=start > end)
        yield day + timedelta(minutes=start), ends


# ---------------------------------------------------------------- over a restart

NIGHT = replace(SMOKE, id="night", during=During(outside="19:00-20:45", days=("mon",)), clear_hold_s=60)
WORKS = (
    Maintenance(
        says="更换", by="wang", at="yard", since_ns=START_NS + 90 * SECOND, until_ns=START_NS + 2000 * SECOND
    ),
    Maintenance(says="保养", by="wang", device="cab-1", during=During(inside="20:50-21:20"), also_red=True),
)
WORLD = world(rules=(HOT, NIGHT, SILENT), calendar=CHINA, maintenance=WORKS)
temperature = st.sampled_from([40.0, 56.0, 66.0, 76.0])
word = st.tuples(st.dictionaries(st.integers(1, 2), temperature), st.sampled_from([0, 1]))
pause = st.sampled_from([1, 7, 60, 119, 301, 900, 1801])


def play(script, between):
    found = Play(Engine(WORLD, State(identity="0000002a")))
    for (slots, smoke), seconds in script:
        found.say(slots, smoke=smoke)
        found.wait(seconds // 2)
        between(found)
        found.wait(seconds - seconds // 2)
    found.wait(7200)
    return found


def restore(found):
    found.engine = Engine(WORLD, states.load(states.save(found.engine.state)), found.engine.recent)


@given(st.lists(st.tuples(word, pause), max_size=8))
def test_a_restart_amid_hours_and_works_changes_nothing(script):
    """Timers are not saved: those that wait for an hour must come back at the same instants."""
    assert play(script, restore).effects == play(script, lambda found: None).effects
