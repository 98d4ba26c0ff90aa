"""Other systems hear of every change of a case: each once or known again, in its order, whatever happens."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from gateway import bridge, outward, telemetry
from gateway.adapters import history
from gateway.adapters.store import Record, Store
from gateway.bridge import Bridge
from gateway.config import OutwardConfig
from gateway.core.catalogue import Ask, Catalogue
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Act, Device, Outcome, Stage, Tick, Told, Verb
from gateway.core.state import State
from gateway.outward import PAGE, Lane, Outward
from tests.contract.provider import Request
from tests.contract.receivers import SECRET, City, Hub, Receiver
from tests.unit.test_case_life import street
from tests.unit.worlds import SMOKE, START_NS, Play

DAY_S = 86400.0
DEVICES = ("cab-1", "cab-2", "cab-3")
CITY = Catalogue(
    says="城市管理事件目录（示例）",
    fields={
        "eventId": "case", "eventCode": "code", "status": "stage", "grade": "level", "foundAt": "found_at",
        "address": "address",
    },
    codes={"smoke": "0501"},
    stages={"found": "1", "sent": "1", "acknowledged": "2", "handling": "2", "handled": "3", "closed": "9"},
    levels={"red": "一级"},
    constants={"source": "lilong"},
    ask=Ask(since="begin", until="end", page="pageNo", size="size", rows="data"),
)  # fmt: skip


def devices() -> dict[str, Device]:
    return {name: Device(id=name, model="cabinet", at="yard", topic=f"site/{name}") for name in DEVICES}


class Time:
    """Steady and wall time that a test moves."""

    def __init__(self) -> None:
        self.now = 0

    def at(self) -> int:
        return self.now

    def wall_ns(self) -> int:
        return START_NS + self.now

    def real_s(self, span_ns: int) -> float:
        return span_ns / SECOND


@dataclass
class Rig:
    """A street whose history is committed, and the lane that tells it to a receiver."""

    folder: Path
    url: str
    catalogue: Catalogue | None

    def __post_init__(self) -> None:
        self.world = street(SMOKE, devices=devices())
        self.play = Play(Engine(self.world, State(identity="0000002a")))
        self.time, self.store = Time(), Store(self.folder / "state")
        (self.folder / "secret").write_text(SECRET)
        self.commit()
        self.lane = self.built()

    def built(self) -> Lane:
        """The lane as a start would make it."""
        config = OutwardConfig(
            name="far", url=self.url, ask_url=self.url, secret_file=self.folder / "secret",
            catalogue=self.catalogue, reconcile_at="04:20", look_back_days=30,
        )  # fmt: skip
        (lane,) = bridge.lanes({"far": config}, self.store, lambda: self.world, self.time)
        return lane

    def commit(self) -> None:
        """What came of the play so far, in one transaction; the clock follows the play."""
        effects, self.play.effects[:] = list(self.play.effects), []
        self.store.commit([Record(Tick(self.play.at, self.play.wall()), effects)])
        self.time.now = max(self.time.now, self.play.at)

    def fire(self, device: str = "cab-1") -> str:
        """Smoke, told and taken on; returns the case."""
        self.play.say(smoke=1, topic=f"site/{device}")
        for one in list(self.play.engine.state.notifications.values()):
            self.play.give(Outcome(self.play.at, self.play.wall(), one.id, Told.ACCEPTED))
        (case,) = (one.id for one in self.play.engine.state.cases.values() if one.device == device)
        self.play.wait(10)
        self.play.act(case, Verb.ACKNOWLEDGE)
        self.commit()
        return case

    def out(self, case: str, device: str = "cab-1") -> None:
        """The smoke is gone, done is said, somebody has looked: closed."""
        self.play.say(smoke=0, topic=f"site/{device}")
        self.play.wait(61)
        self.play.act(case, Verb.DONE)
        self.play.wait(30)
        self.play.act(case, Verb.VERIFY, "li")
        self.commit()

    def run(self, seconds: float = 0.0) -> None:
        """The lane's thread in time of its own: until nothing is owed, or that time is over."""
        end = self.time.now + int(seconds * SECOND)
        while True:
            wait_s = self.lane.turn()
            if wait_s is None or (self.time.now >= end and wait_s):
                break
            self.time.now += int(wait_s * SECOND)
        self.time.now = max(self.time.now, end)

    def pass_by(self, seconds: float) -> None:
        self.time.now += int(seconds * SECOND)

    def written(self, case: str) -> list[int]:
        return [line.seq for line in history.numbered_lines_of(self.store.reader(), case)]


Make = Callable[[type[Receiver]], tuple[Rig, Receiver]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[tuple[Rig, Receiver]] = []

    def build(kind: type[Receiver]) -> tuple[Rig, Receiver]:
        far = kind(lambda: rig.time.wall_ns() / SECOND)
        url = f"http://127.0.0.1:{far.port}/cases"
        rig = Rig(tmp_path, url, CITY if kind is City else None)
        made.append((rig, far))
        return rig, far

    yield build
    for rig, far in made:
        far.over.set()
        rig.store.close()
        assert far.complaints == []


# ---------------------------------------------------------------- every change, in order, known again


def test_every_line_of_a_case_is_told_once_and_in_order(make: Make) -> None:
    rig, hub = make(Hub)
    case = rig.fire()
    rig.run()
    rig.out(case)
    rig.run()
    assert [one["seq"] for one in hub.changes] == rig.written(case) and hub.repeated == 0
    assert [one["before"] for one in hub.changes] == [0, *rig.written(case)[:-1]]
    stages = list(dict.fromkeys(one["stage"] for one in hub.changes))
    assert stages == ["found", "sent", "acknowledged", "handled", "closed"]
    assert {one["level"] for one in hub.changes} == {"red"} and hub.changes[0]["title"] == "充电柜烟雾"
    assert hub.changes[-1]["stage_at"] == hub.changes[-1]["at"] and rig.lane.owed() == 0


def test_what_was_there_before_the_target_is_not_told(make: Make) -> None:
    rig, hub = make(Hub)
    rig.fire()
    rig.run()
    rig.store._db.execute("DELETE FROM cursor")  # as if the entry were new
    told, rig.lane = len(hub.changes), rig.built()
    rig.run()
    assert len(hub.changes) == told > 0


def test_a_kill_before_the_cursor_is_saved_tells_the_same_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once; and the second time it is word for word the first, a week later too."""
    rig, hub = make(Hub)
    case = rig.fire()
    with monkeypatch.context() as dying:
        dying.setattr(Lane, "_save", lambda *_: None)
        rig.run()
    told = len(hub.changes)
    rig.out(case)  # the case has gone on since
    rig.pass_by(7 * DAY_S)
    rig.lane = rig.built()
    rig.run()
    assert hub.repeated == told > 0
    assert [one["seq"] for one in hub.changes] == rig.written(case)


def test_a_start_goes_on_where_it_stood(make: Make) -> None:
    rig, hub = make(Hub)
    case = rig.fire()
    rig.run()
    rig.lane = rig.built()
    rig.out(case)
    rig.run()
    assert hub.repeated == 0 and [one["seq"] for one in hub.changes] == rig.written(case)


def test_many_changes_are_read_a_page_at_a_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, hub = make(Hub)
    sizes = []
    read = history.lines_after
    monkeypatch.setattr(history, "lines_after", lambda *a: (found := read(*a), sizes.append(len(found)))[0])
    for _ in range(25):
        rig.out(rig.fire())
        rig.play.wait(7200)
    rig.run()
    assert len(hub.changes) > 2 * PAGE and max(sizes) == PAGE


def test_nobodys_number_leaves_the_box(make: Make) -> None:
    rig, hub = make(Hub)
    case = rig.fire()
    note = "打给 13812345678 了"
    rig.play.give(Act(rig.play.at, rig.play.wall(), case, "wang", Verb.NOTE, note))
    rig.commit()
    rig.run()
    said = b"".join(request.body for request in hub.requests).decode()
    assert "138****5678" in said and "13812345678" not in said and "王经理" not in said


# ---------------------------------------------------------------- what it answers


@pytest.mark.parametrize("status", [401, 403, 404, 429, 302, 502, 503])
def test_a_receiver_that_is_away_only_delays(make: Make, status: int) -> None:
    """Not one change is lost to an expired secret or a proxy that lost its upstream."""
    rig, hub = make(Hub)
    case = rig.fire()
    hub.statuses = [status] * 7
    with telemetry.testing() as seen:
        rig.run(DAY_S)
    assert [one["seq"] for one in hub.changes] == rig.written(case)
    assert [one.event for one in seen if one.event.startswith("outward")] == [
        "outward_delayed",
        "outward_recovered",
    ]


def test_a_refused_change_is_kept_and_the_case_goes_on(make: Make) -> None:
    rig, hub = make(Hub)
    case = rig.fire()
    second = rig.fire("cab-2")
    refused = rig.written(case)[2]
    hub.refuses = lambda said: said["seq"] == refused
    with telemetry.testing() as seen:
        rig.run()
    told = [one["seq"] for one in hub.changes]
    assert told == [seq for seq in sorted(rig.written(case) + rig.written(second)) if seq != refused]
    (row,) = rig.store.reader().execute("SELECT * FROM quarantine").fetchall()
    assert row["code"] == "outward" and json.loads(row["payload"])["seq"] == refused
    (line,) = [one for one in seen if one.event == "outward_refused"]
    assert line.level == "error" and line.fields["case"] == case and "422" in line.fields["error"]
    rig.lane = rig.built()
    rig.run()
    assert len(rig.store.reader().execute("SELECT * FROM quarantine").fetchall()) == 1, "settled for good"


def test_a_change_that_breaks_the_receiver_delays_its_own_case_alone(make: Make) -> None:
    rig, hub = make(Hub)
    first, second = rig.fire(), rig.fire("cab-2")
    broken = rig.written(first)[1]
    hub.breaks_at = lambda said: said["seq"] == broken
    with telemetry.testing() as seen:
        rig.run(600)
    assert [one["seq"] for one in hub.changes if one["case"] == second] == rig.written(second)
    assert [one["seq"] for one in hub.changes if one["case"] == first] == rig.written(first)[:1]
    assert [one.fields["case"] for one in seen if one.event == "outward_held"] == [first]
    rig.lane = rig.built()  # a start forgets nothing of it
    rig.out(first)
    rig.run(600)
    assert [one["seq"] for one in hub.changes if one["case"] == first] == rig.written(first)[:1]
    hub.breaks_at = lambda _: False
    rig.pass_by(600)
    rig.run()
    assert [one["seq"] for one in hub.changes if one["case"] == first] == rig.written(first)
    assert rig.lane.owed() == 0


def test_how_far_a_target_is_behind_is_known(make: Make) -> None:
    """By the oldest line it was not told; the gateway's own rules watch it."""
    rig, hub = make(Hub)
    whole = Outward([rig.lane])

    def behind_s() -> float:
        return whole.behind_s(rig.store.reader(), rig.time.wall_ns())

    assert behind_s() == 0.0 and Outward([]).behind_s(rig.store.reader(), rig.time.wall_ns()) == 0.0
    first, found_at = rig.fire(), rig.time.now
    hub.breaks_at = lambda said: said["case"] == first
    rig.run(3600)
    second = rig.fire("cab-2")
    rig.run(10)
    assert [one["case"] for one in hub.changes if one["case"] == second]
    assert behind_s() == pytest.approx((rig.time.now - found_at) / SECOND, abs=15)
    hub.breaks_at = lambda _: False
    rig.pass_by(outward.HELD_S)
    rig.run()
    assert behind_s() == 0.0


def test_a_receiver_that_breaks_at_everything_is_not_hammered(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With so many cases waiting alone it is not the cases."""
    monkeypatch.setattr(outward, "HELD_MOST", 1)
    rig, hub = make(Hub)
    cases = [rig.fire(device) for device in DEVICES]
    hub.breaks_at = lambda _: True
    rig.run(DAY_S)
    assert len(hub.requests) < 3 * DAY_S / outward.AWAY_S_MOST and len(rig.lane._cursor.held) == 1
    hub.breaks_at = lambda _: False
    rig.run(600)
    rig.pass_by(600)
    rig.run()
    for case in cases:
        assert [one["seq"] for one in hub.changes if one["case"] == case] == rig.written(case)


# ---------------------------------------------------------------- the city's platform


def difference() -> float:
    return bridge.DIFFERENCE.labels("far")._value.get()


def test_a_platform_is_told_what_changes_in_its_own_words(make: Make) -> None:
    rig, city = make(City)
    case = rig.fire()
    rig.run()
    rig.out(case)
    rig.run()
    posts = [request.json["status"] for request in city.requests]
    assert posts == ["1", "2", "3", "9"], "what only our own history distinguishes is not told"
    assert city.rows[case] == {
        "eventId": case, "eventCode": "0501", "status": "9", "grade": "一级", "source": "lilong",
        "foundAt": "2026-11-02T12:00:00.000Z", "address": "向阳小区（枫林街道）",
    }  # fmt: skip


def test_a_rule_without_a_code_is_left_out(make: Make) -> None:
    rig, city = make(City)
    rig.catalogue = dataclasses.replace(CITY, codes={"other": "1"})
    rig.lane = rig.built()
    rig.fire()
    rig.run()
    assert city.requests == [] and rig.lane.owed() == 0


def test_seven_days_away_a_lost_push_and_a_changed_status_come_to_no_difference(make: Make) -> None:
    """LOOP-08. The clock is the test's own; the platform, its pages and its signatures are as documented."""
    rig, city = make(City)
    rig.out(rig.fire())
    rig.run()
    known = set(city.rows)
    city.away = True
    cases = []
    for _ in range(7):
        rig.play.wait(DAY_S - 200)
        cases.append(rig.fire())
        rig.out(cases[-1])
        rig.run(100)
    away = len(city.requests)
    assert set(city.rows) == known and away < 7 * DAY_S / outward.AWAY_S_MOST * 2
    assert rig.lane.owed() > 7
    open_one = rig.fire("cab-2")
    city.away = False
    city.drops = lambda said: said["eventId"] == cases[3]
    rig.run(outward.AWAY_S_MOST * 2)
    city.drops = lambda _: False
    city.rows[cases[5]]["status"] = "1"
    assert set(city.rows) == {*known, *cases, open_one} - {cases[3]}, "nothing but the lost one is missing"

    lane = rig.lane
    assert isinstance(lane, Bridge)
    lane.reconcile()
    with telemetry.testing() as seen:
        rig.run()
    (line,) = [one for one in seen if one.event == "outward_reconciled"]
    assert line.fields["count"] == 2 and line.fields["reason"] == "1 missing, 1 other, 0 unknown to us"
    assert not [one for one in seen if one.event == "outward_differs"] and difference() == 0
    assert {case: row["status"] for case, row in city.rows.items()} == {
        **dict.fromkeys([*known, *cases], "9"), open_one: "2"
    }  # fmt: skip
    lane.reconcile()
    posts = [request for request in city.requests if request.line.startswith("POST")]
    rig.run()
    assert posts == [request for request in city.requests if request.line.startswith("POST")], "nothing left"


def test_more_cases_than_a_page_are_all_compared(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "ROWS", 2)
    rig, city = make(City)
    cases = []
    for _ in range(5):
        cases.append(rig.fire())
        rig.out(cases[-1])
        rig.play.wait(7200)
    rig.run()
    city.rows.pop(cases[0])
    city.rows[cases[4]]["status"] = "1"
    rig.lane.reconcile()
    rig.run()
    assert {row["status"] for row in city.rows.values()} == {"9"} and set(city.rows) == set(cases)
    assert [one["pageNo"] for one in city.asked[:3]] == ["1", "2", "3"]


def test_what_cannot_be_put_right_is_an_alarm(make: Make) -> None:
    """A case that it will not have, and one that we know nothing of."""
    rig, city = make(City)
    case = rig.fire()
    city.refuses = lambda _: True
    rig.run()
    city.rows["X"] = {
        "eventId": "X",
        "status": "1",
        "foundAt": "2026-11-02T12:00:00.000Z",
        "source": "lilong",
    }
    city.rows["Y"] = {**city.rows["X"], "eventId": "Y", "source": "another system"}
    rig.lane.reconcile()
    with telemetry.testing() as seen:
        rig.run()
    (line,) = [one for one in seen if one.event == "outward_differs"]
    assert line.level == "error" and line.fields["reason"] == "1 missing, 0 other, 1 unknown to us"
    assert difference() == 2 and case not in city.rows
    assert Outward([rig.built()]).difference() == 2, "over a restart too: the gateway tells of itself"


def test_a_platform_that_cannot_be_asked_is_told_all_the_same(make: Make) -> None:
    rig, city = make(City)
    case = rig.fire()
    rig.run()
    city.give = lambda _: {"error": "maintenance"}  # type: ignore[method-assign]
    rig.lane.reconcile()
    with telemetry.testing() as seen:
        rig.run()
        rig.out(case)
        rig.run()
    assert city.rows[case]["status"] == "9"
    assert [
        "no list of cases" in str(one.fields["error"]) for one in seen if one.event == "outward_delayed"
    ] == [True]
    del city.give
    city.rows.clear()
    rig.pass_by(outward.AWAY_S_MOST)
    rig.run()
    assert city.rows[case]["status"] == "9", "asked again as soon as it can be"


def test_what_happens_during_the_comparison_is_no_difference(make: Make) -> None:
    """It is only owed, and comes in its turn."""
    rig, city = make(City)
    case = rig.fire()
    rig.run()
    give = city.give

    def meanwhile(request: Request) -> object:
        city.give = give  # type: ignore[method-assign]
        rig.out(case)
        return give(request)

    city.give = meanwhile  # type: ignore[method-assign]
    rig.lane.reconcile()
    with telemetry.testing() as seen:
        rig.lane.turn()
    assert [one.fields["count"] for one in seen if one.event == "outward_reconciled"] == [0]
    rig.run()
    assert city.rows[case]["status"] == "9" and len(city.keys) == 4, "each once, under its own key"


def test_a_comparison_that_was_missed_is_made_up_for(make: Make) -> None:
    rig, city = make(City)
    rig.fire()
    rig.run()
    rig.lane.reconcile()
    rig.run()
    asked, rig.lane = len(city.asked), rig.built()
    rig.run()
    assert len(city.asked) == asked, "that was just now"
    rig.pass_by(2 * DAY_S)
    rig.lane = rig.built()
    rig.run()
    assert len(city.asked) > asked


def test_a_case_that_waits_alone_is_not_overtaken_by_the_comparison(make: Make) -> None:
    rig, city = make(City)
    case = rig.fire()
    rig.lane._cursor = changed(rig.lane._cursor, seq=rig.store.last_line(), held={case: 1})
    rig.lane._held_again_at = int(DAY_S * SECOND)
    rig.lane.reconcile()
    rig.run()
    assert city.rows == {} and difference() == 1
    assert Stage.ACKNOWLEDGED in {one.stage for one in rig.play.engine.state.cases.values()}
