"""The figures of a report: a small history written by hand, and what it comes to, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gateway.core.figures import Course, Tally, owner_by, quantile, ranked, spans
from gateway.core.load import Load, Rate
from gateway.core.model import SECOND, Alert, AlertState, Case, Entry, Level, Place, Post, Stage, Verb
from tests.unit.worlds import START_NS, Play, of, world

NOW_S = 90_000  # when the report is made: 25 hours after everything was found


def lines(text: str, case: str = "c") -> list[Entry]:
    """`0 found, 65 acknowledged wang`: seconds after the start, what, who."""
    found = []
    for line in text.split(","):
        seconds, what, *person = line.split()
        wall_ns = START_NS + int(seconds) * SECOND
        found.append(Entry(case=case, wall_ns=wall_ns, what=what, person="".join(person)))
    return found


def course(text: str, **more) -> Course:
    given = {
        "id": "c", "alerts": (), "device": "cab-1", "component": "", "place": "yard", "rule": "smoke",
        "level": Level.RED, "stage": Stage.FOUND, "opened_ns": START_NS, "changed_ns": START_NS,
    }  # fmt: skip
    return Course(Case(**{**given, **more}), spans(lines(text)), START_NS + NOW_S * SECOND)


# Red, suspended for an hour, and another case merged into it: FOUND 5, SENT 60, ACKNOWLEDGED 600 + 600,
# SUSPENDED 3600, HANDLED 60. In time everywhere.
A = """0 found, 0 red, 5 sent, 20 merged_in wang, 65 acknowledged wang, 665 suspended wang, 4265 resumed,
    4865 handled wang, 4925 cleared, 4925 verified, 4925 closed"""
# Answered too late, then twice sent back to the doer: FOUND 10, SENT 690 (late), ACKNOWLEDGED 300,
# HANDLED 100 + 100 + 100, HANDLING 600 + 200.
B = """0 found, 0 orange, 10 sent, 610 overdue, 610 escalated li, 700 acknowledged li, 1000 handled li,
    1100 bounced, 1700 handled li, 1800 rejected zhao, 2000 handled li, 2050 cleared, 2100 confirmed zhao,
    2100 closed"""
# Taken on, not handled in a day, and now nobody answers: FOUND 20, SENT 100, ACKNOWLEDGED 86400 (late),
# SENT since 86520 (late).
C = "0 found, 0 yellow, 20 sent, 120 acknowledged wang, 86520 expired wang, 87120 overdue, 87120 escalated li"
# A false alarm, said by who was told: FOUND 30, SENT 100.
D = "0 found, 0 yellow, 30 sent, 130 false wang"
# It went on in A.
E = "0 found, 0 red, 8 sent, 20 merged wang"
# Nobody is told of it.
F = "0 found, 0 yellow"


@pytest.fixture
def tally() -> Tally:
    found = Tally()
    found.note(course(A, reopened=True))
    found.note(course(B, level=Level.ORANGE, again=2))
    found.note(course(C, level=Level.YELLOW))
    found.note(course(D, level=Level.YELLOW, reason="sensor"))
    found.note(course(E))
    found.note(course(F, silent=True))
    return found


def test_a_merged_case_counts_once_and_a_silent_one_is_nobodys(tally) -> None:
    assert (tally.found, tally.closed, tally.open, tally.merged, tally.silent) == (4, 2, 1, 1, 1)
    assert tally.found == tally.closed + tally.open + tally.false.total(), "each is in one of them"
    assert (tally.late_now, tally.reopened, tally.again) == (1, 1, 1)
    assert tally.levels == {Level.RED: 1, Level.ORANGE: 1, Level.YELLOW: 2}
    assert tally.false == {"sensor": 1} and tally.false_share == 1 / 3, "one of the three that ended"


def test_each_leg_takes_the_seconds_that_were_counted_by_hand(tally) -> None:
    """Suspended time is nobody's; what was sent back adds up."""
    taken = {leg: one.lasted_s for leg, one in tally.legs.items()}
    assert taken == {
        Stage.SENT: [5, 10, 20, 30],
        Stage.ACKNOWLEDGED: [65, 700, 130],  # C is back there, and has not come to the end of it
        Stage.HANDLED: [1200, 1100],  # D was never taken on
        Stage.VERIFIED: [60, 300],
        Stage.CLOSED: [1325, 2100],  # 5 + 60 + 1200 + 60, and all of B
    }


def test_shares_in_time_go_by_the_clocks_that_ran_out(tally) -> None:
    judged = {leg: (one.judged, one.late) for leg, one in tally.legs.items()}
    assert judged[Stage.ACKNOWLEDGED] == (4, 2), "B, and C the second time; A and D were in time"
    assert judged[Stage.HANDLED] == (3, 1), "C expired"
    assert judged[Stage.VERIFIED] == (2, 0)
    assert tally.legs[Stage.ACKNOWLEDGED].on_time == 0.5
    assert tally.on_time == 6 / 9, "(4 + 3 + 2) judged, 2 + 1 late"


def test_who_is_at_work_is_not_judged_yet() -> None:
    found = Tally()
    found.note(course("0 found, 0 red, 5 sent, 50 acknowledged wang"))
    assert (found.legs[Stage.HANDLED].judged, found.legs[Stage.HANDLED].on_time) == (0, None)
    assert found.legs[Stage.HANDLED].lasted_s == [] and found.legs[Stage.ACKNOWLEDGED].lasted_s == [50]


def test_every_stage_with_its_time_and_person() -> None:
    found = [
        (one.stage, (one.began_ns - START_NS) // SECOND, one.person, one.late) for one in spans(lines(B))
    ]
    assert found == [
        (Stage.FOUND, 0, "", False), (Stage.SENT, 10, "", True), (Stage.ACKNOWLEDGED, 700, "li", False),
        (Stage.HANDLED, 1000, "li", False), (Stage.HANDLING, 1100, "", False),
        (Stage.HANDLED, 1700, "li", False), (Stage.HANDLING, 1800, "zhao", False),
        (Stage.HANDLED, 2000, "li", False), (Stage.CLOSED, 2100, "", False),
    ]  # fmt: skip


def test_a_higher_level_begins_again_and_a_lower_one_does_not() -> None:
    text = "0 found, 0 yellow, 5 sent, 50 acknowledged wang, 100 red, 103 sent, 160 acknowledged li"
    rose = [one.stage for one in spans(lines(text))]
    assert rose == [Stage.FOUND, Stage.SENT, Stage.ACKNOWLEDGED] * 2
    fell = spans(lines("0 found, 0 red, 5 sent, 50 acknowledged wang, 100 yellow, 110 red"))
    assert fell[-1].stage is Stage.ACKNOWLEDGED and fell[-1].began_ns == START_NS + 50 * SECOND


def test_a_ladder_that_begins_again_waits_for_an_answer_again() -> None:
    """Done was said by somebody who is no longer there, and the sensor says bad: nobody has it."""
    play = Play()
    play.say(smoke=1)
    (case,) = play.engine.state.cases
    play.act(case, Verb.ACKNOWLEDGE, "gone")
    play.act(case, Verb.DONE, "gone")
    history = of(play.effects, Entry)
    assert [one.what for one in history][-3:] == ["bounced", "raised", "escalated"]
    assert spans(history)[-1].stage is play.engine.state.cases[case].stage is Stage.FOUND


def test_another_holder_of_the_post_has_not_taken_it_on() -> None:
    taken = spans(lines("0 found, 5 sent, 50 acknowledged wang, 100 handed_over li"))
    assert taken[-1].stage is Stage.SENT
    kept = spans(lines("0 found, 5 sent, 50 acknowledged wang, 60 suspended wang, 100 handed_over li"))
    assert kept[-1].stage is Stage.SUSPENDED


def test_nothing_moves_what_has_ended_nor_does_a_clock_set_back_make_less_than_nothing() -> None:
    over = spans(lines("0 found, 0 yellow, 5 sent, 9 false wang, 50 reopened li, 60 red"))
    assert over[-1].stage is Stage.FALSE and over[-1].lasted_s(START_NS + NOW_S * SECOND) == 0
    back = spans(lines("100 found, 40 sent, 50 acknowledged wang"))
    assert back[0].lasted_s(START_NS) == 0 and back[1].lasted_s(START_NS) == 10


def test_quantiles_are_values_that_occurred() -> None:
    """Nearest rank: of ten the fifth and the tenth, of twenty-one the eleventh and the twentieth."""
    ten, more = list(range(10, 0, -1)), list(range(21))
    assert (quantile(ten, 0.5), quantile(ten, 0.95)) == (5, 10)
    assert (quantile(more, 0.5), quantile(more, 0.95)) == (10, 19)
    assert quantile([], 0.5) is None and quantile([7], 0.95) == 7


def test_the_ranking_goes_by_share_then_by_time_then_by_how_many() -> None:
    """Of whom nobody has asked anything there is nothing to praise."""

    def of(*texts: str) -> Tally:
        tally = Tally()
        for text in texts:
            tally.note(course(text))
        return tally

    slow = A.replace("4925 closed", "8000 closed")
    new = "0 found, 5 sent"
    groups = {"new": of(new), "late": of(B, A), "slow": of(slow), "quick": of(A), "more": of(A, A)}
    assert ranked(groups) == ["more", "quick", "slow", "late", "new"]


def test_whose_a_case_is_when_the_firm_was_replaced_at_midnight() -> None:
    """By a kind of place the nearest around it; by a role the unit that held it when the case was found."""
    before = world()
    firm, committee = before.posts
    replaced = (
        replace(firm, until=date(2026, 11, 3)),
        Post(role="property", at="yard", unit="other", person="wang", since=date(2026, 11, 3)),
        committee,
    )
    point = Place(id="p-3", says="3 号柜", kind="point", within="yard")
    site = replace(before, posts=replaced, places={**before.places, "p-3": point})
    at_eight, after_midnight = course("0 found", place="p-3"), course("14400 found", place="p-3")
    assert owner_by(site, "compound")(at_eight) == "yard" and owner_by(site, "street")(at_eight) == "street"
    assert owner_by(site, "property")(at_eight) == "firm"
    assert owner_by(site, "property")(after_midnight) == "other"
    assert owner_by(site, "committee")(at_eight) == "jw", "no place of that kind: the role"
    assert owner_by(site, "area")(at_eight) == ""


# ---------------------------------------------------------------- ISA-18.2


def rate_of(*seconds: float) -> Rate:
    rate = Rate()
    for one in seconds:
        rate.note(START_NS + int(one * SECOND))
    return rate


def test_a_flood_lasts_while_more_than_ten_came_in_the_last_ten_minutes() -> None:
    """Twelve, ten seconds apart: the eleventh comes at 100 s; from 610 s, when the second is ten minutes old,
    there are ten left.
    """
    flood = rate_of(*range(0, 120, 10))
    assert (flood.count, flood.peak, flood.flood_ns) == (12, 12, 510 * SECOND)
    assert flood.flood_share(3600 * SECOND) == 510 / 3600 and flood.per_hour(1800 * SECOND) == 24
    assert rate_of(*range(0, 100, 10)).flood_ns == 0, "ten are none"
    assert rate_of(*range(0, 6600, 600)).peak == 1, "ten minutes apart they never meet"


def test_two_floods_add_up_and_what_overlaps_counts_once() -> None:
    one, later = [0.0] * 11, [4000.0] * 11
    assert rate_of(*one, *later).flood_ns == 1200 * SECOND
    assert rate_of(*one, *[300.0] * 11).flood_ns == 900 * SECOND
    assert rate_of(*one, 100, 50).count == 13, "a clock that was set back"


def alert(**more) -> Alert:
    given = {
        "id": "a", "rule": "smoke", "device": "cab-1", "component": "", "case": "c", "level": Level.YELLOW,
        "worst": Level.RED, "state": AlertState.CLEARED, "raised_ns": START_NS,
        "changed_ns": START_NS + 60 * SECOND, "quantity": "smoke", "value": 1.0, "limit": 0.5,
    }  # fmt: skip
    return Alert(**{**given, **more})


def test_the_load_is_what_people_bear() -> None:
    load, now_ns, day_ns = Load(), START_NS + 2 * 86400 * SECOND, 86400 * SECOND
    load.note_alert(alert(), now_ns)
    load.note_alert(alert(rule="slot-hot", worst=Level.YELLOW, chattering=True), now_ns)
    load.note_alert(alert(rule="slot-hot", device="cab-2", state=AlertState.LATCHED), now_ns)  # stands
    load.note_alert(alert(changed_ns=START_NS + day_ns), now_ns)  # to the second a day: not longer
    load.note_alert(alert(changed_ns=START_NS + day_ns + 1), now_ns)
    for nobodys in ({"hidden_by": "b"}, {"mode": "shadow"}, {"case": ""}):
        load.note_alert(alert(**nobodys), now_ns)
    assert load.alerts.count == 5 and load.rules == {"smoke": 3, "slot-hot": 2}
    assert load.devices == {"cab-1": 4, "cab-2": 1} and load.levels == {Level.RED: 4, Level.YELLOW: 1}
    assert load.chattering.total() == 1 and load.stood == 2
