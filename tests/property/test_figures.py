"""Whatever happened, a report says of it what anybody would who reads the rows of the history one by one."""

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.adapters import history
from gateway.adapters.store import Record, Store
from gateway.core.engine import Engine
from gateway.core.figures import spans
from gateway.core.load import FLOOD_OVER, Rate
from gateway.core.model import SECOND, Case, Entry, Stage, Tick, Told, Verb
from gateway.core.state import State
from gateway.reporting.gather import gather
from tests.property.test_case_life import WORLD, do, doing, picking
from tests.unit.worlds import START_NS, Play, of

YEAR_NS = 366 * 86400 * SECOND
BEGINS = {
    "sent": "sent", "acknowledged": "acknowledged", "resumed": "acknowledged", "bounced": "handling",
    "rejected": "handling", "handled": "handled", "returned": "returned", "transferred": "found",
    "raised": "found", "suspended": "suspended", "expired": "sent", "closed": "closed", "false": "false",
    "merged": "merged",
}  # fmt: skip
WAITS, WORKS = {"found", "sent", "returned"}, {"acknowledged", "handling"}
OVER = {"closed", "false", "merged"}
PARTS = {  # leg -> its stages, and those in which a case is past it
    Stage.SENT: ({"found", "returned"}, {"sent", *WORKS, "suspended", "handled", "closed", "false"}),
    Stage.ACKNOWLEDGED: (WAITS, {*WORKS, "suspended", "handled", "closed", "false"}),
    Stage.HANDLED: (WORKS, {"handled", "closed", "false"}),
    Stage.VERIFIED: ({"handled"}, {"closed"}),
    Stage.CLOSED: ({*WAITS, *WORKS, "handled"}, {"closed"}),
}

ASKED = (Stage.ACKNOWLEDGED, Stage.HANDLED, Stage.VERIFIED)  # what has a clock


def stages_of(rows):
    """The stage after each row: no span, no merging, nothing remembered but the worst level."""
    stage, worst, found = "found", 0, []
    for _, what in rows:
        level = {"yellow": 1, "orange": 2, "red": 3}.get(what, 0)
        if stage not in OVER:
            if worst and level > worst:
                stage = "found"
            elif what == "handed_over" and stage in WORKS:
                stage = "sent"
            else:
                stage = BEGINS.get(what, stage)
        worst = max(worst, level)
        found.append(stage)
    return found


def brute(db, now_ns):
    """(leg -> durations, judged, late) and the last stages of every case, from the rows alone."""
    cases = {}
    lines = "SELECT case_id, wall_ns, what FROM entry WHERE case_id IN (SELECT id FROM cases) ORDER BY seq"
    for case, wall_ns, what in db.execute(lines):  # a shelf has a history of its own
        cases.setdefault(case, []).append((wall_ns, what))
    # What is put on the shelf was told of before.
    unheard = "SELECT id FROM cases WHERE body ->> 'silent' AND body ->> 'told' IS NULL"
    quiet = {row[0] for row in db.execute(unheard)}
    legs, ends = {leg: ([], 0, 0) for leg in PARTS}, []
    for name, rows in sorted(cases.items()):
        stages = stages_of(rows)
        if name in quiet or stages[-1] == "merged":
            continue
        ends.append(stages[-1])
        until = [wall_ns for wall_ns, _ in rows[1:]] + [now_ns]
        for leg, (inside, past) in PARTS.items():
            if not inside & set(stages):
                continue
            lasted_ns = sum(
                end - row[0] for row, stage, end in zip(rows, stages, until, strict=True) if stage in inside
            )
            late = any(
                what in ("overdue", "expired") and before in inside
                for (_, what), before in zip(rows[1:], stages, strict=False)
            )
            taken, judged, behind = legs[leg]
            over = stages[-1] in past
            legs[leg] = (
                taken + [lasted_ns / SECOND] * over,
                judged + (leg in ASKED and (over or late)),
                behind + (leg in ASKED and late),
            )
    return legs, ends


def played(script):
    play = Play(Engine(WORLD, State(identity="0000002a")))
    for (what, how), pick in script:
        do(play, what, how, pick)
    return play


SHELVED_TOO_LATE = [  # nobody answers a fire, and then it is put on the shelf
    (("smoke", 1), 0),
    (("outcome", Told.ACCEPTED), 0),
    (("wait", 1801), 0),
    (("act", (Verb.SHELVE, "wang")), 1),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(doing, picking), min_size=5, max_size=40))
@example(SHELVED_TOO_LATE)
def test_a_report_is_what_the_rows_say(script):
    """And of an ended case the rows say how it ended."""
    play = played(script)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.commit([Record(Tick(1, 1), play.effects)])
        db, now_ns = store.reader(), play.wall()
        report = gather(db, WORLD, START_NS - YEAR_NS, START_NS + YEAR_NS, now_ns, "compound")
        legs, ends = brute(db, now_ns)
        cases = list(history.made_between(db, Case, 0, START_NS + 2 * YEAR_NS))
        store.close()
    found = {leg: (one.lasted_s, one.judged, one.late) for leg, one in report.total.legs.items()}
    for leg, (taken, judged, late) in legs.items():
        assert (found[leg][1:], sorted(found[leg][0])) == ((judged, late), sorted(taken)), leg
    total = report.total
    assert (total.found, total.closed) == (len(ends), ends.count("closed"))
    assert total.false.total() == ends.count("false") and total.open == sum(e not in OVER for e in ends)
    assert report.late_count == total.late_now, "the list and the number above it are of the same cases"
    kept = [str(one.stage) for one in cases if (one.told or not one.silent) and one.stage is not Stage.MERGED]
    assert sorted(e for e in ends if e in OVER) == sorted(e for e in kept if e in OVER)
    assert sum(one.found for one in report.groups.values()) == total.found, "each in one group"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(doing, picking), min_size=5, max_size=40))
def test_the_history_tells_every_turn(script):
    """Where a case stands can be told from its lines alone."""
    play = played(script)
    lines = {}
    for one in of(play.effects, Entry):
        lines.setdefault(one.case, []).append(one)
    for case in {one.id: one for one in of(play.effects, Case)}.values():
        assert spans(lines[case.id])[-1].stage is case.stage, [one.what for one in lines[case.id]]


@given(st.lists(st.integers(0, 4000), max_size=80).map(sorted))
def test_floods_and_peaks_second_by_second(seconds):
    """More than ten within the ten minutes before, asked at every single second."""
    rate = Rate()
    for one in seconds:
        rate.note(START_NS + one * SECOND)
    within = [sum(now - 600 < one <= now for one in seconds) for now in range(4601)]
    assert rate.peak == max(within)
    assert rate.flood_ns == SECOND * sum(count > FLOOD_OVER for count in within)
