"""Pictures asked of cameras: once for each alert and level, by reference, and no alert waits for one."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from concurrent.futures import Future
from dataclasses import replace

import msgspec
import pytest

from gateway import snapshots as requests
from gateway import telemetry
from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.mqtt_publish import NotPublished
from gateway.adapters.store import Record, Store
from gateway.core import cameras
from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Camera,
    Configured,
    Device,
    Entry,
    Level,
    Marked,
    Message,
    Messages,
    Noted,
    Refused,
    Snapshot,
    SnapshotState,
    Tick,
    Told,
)
from gateway.core.snapshots import ANSWER_S, WAITING_MOST
from gateway.core.state import State
from gateway.web.rows import snapshots_of
from tests.unit import test_resets as resets
from tests.unit.config_files import FILES, loaded
from tests.unit.worlds import CABINET, HOT, SMOKE, START_NS, TOPIC, Play, limits, of, world
from tests.waiting import until

ASK, ANSWER = f"{TOPIC}/command/snapshot", f"{TOPIC}/snapshot"
URL = "https://nvr.fengqiao.example/2026/11/02/a.jpg"
STEPS = ("case", "notify", "event", "snapshot")
PICTURED = replace(HOT, steps=STEPS)
SEEN = replace(CABINET, snapshot=Camera(ref="picture.url"))
DUE, ASKED, TAKEN, MISSED = SnapshotState
CASE, ALERT = resets.CASE, resets.ALERT
PICTURE = Snapshot(
    id="a1-red", alert="a1", case="01AAAA", device="cab-1", level=Level.RED, topic=ASK, wanted_ns=START_NS,
    due_at=0, answer_by=0, state=TAKEN, ref=f"{URL}?a=1&b=2", taken_ns=START_NS,
    expires_ns=START_NS + 1,
)  # fmt: skip


def site(*rules, model=SEEN, topics=(TOPIC,), **changes):
    """Each topic's device is called as its last level."""
    names = {topic.rpartition("/")[2]: topic for topic in topics}
    found = world(rules=rules or (PICTURED,), models={"cabinet": model}, **changes)
    devices = {n: Device(id=n, model="cabinet", at="yard", topic=topic) for n, topic in names.items()}
    return replace(found, devices=devices)


def playing(*rules, **changes) -> Play:
    return Play(Engine(site(*rules, **changes), State(identity="0000002a")))


@pytest.fixture
def play() -> Play:
    return playing()


def snapshots(play: Play) -> list[Snapshot]:
    """The newest state of each."""
    return list({one.id: one for one in of(play.effects, Snapshot)}.values())


def answer(play: Play, name: str, ref: str = URL, topic: str = ANSWER, **more):
    return play.say(topic=topic, raw=json.dumps({"id": name, "snapshot_ref": ref}).encode(), **more)


def red(play: Play) -> Snapshot:
    play.say({3: 80})
    (one,) = snapshots(play)
    return one


# ---------------------------------------------------------------- one for each level


def test_one_for_each_level_that_an_alert_reaches(play):
    """Orange, red, back to orange, red again: the second red shows nothing new."""
    for t, pause in ((66, 20), (66, 20), (80, 20), (66, 400), (80, 20), (80, 20)):
        play.say({3: t})
        play.wait(pause)
    assert play.levels() == ["orange", "red", "orange", "red"]
    alert = next(iter(play.engine.state.alerts))
    assert [one.id for one in snapshots(play)] == [f"{alert}-orange", f"{alert}-red"]
    assert {one.topic for one in snapshots(play)} == {ASK}
    assert play.noted().count("snapshot_wanted") == 2


def test_a_second_episode_is_another_alert(play):
    first = red(play)
    play.say({3: 20})
    play.wait(400)
    play.say({3: 80})
    assert [one.level for one in snapshots(play)] == [Level.RED] * 2
    assert snapshots(play)[1].id != first.id


def test_only_a_rule_that_says_so_asks():
    for rule in (HOT, replace(PICTURED, mode="shadow"), replace(PICTURED, steps=("case", "notify"))):
        play = playing(rule)
        play.say({3: 80})
        assert play.levels() and not snapshots(play)


@pytest.mark.parametrize(
    ("model", "topic"), [(CABINET, TOPIC), (replace(SEEN, snapshot=Camera()), "site/+/cab-1"),
                         (replace(SEEN, snapshot=Camera()), "http/cab-1")],
)  # fmt: skip
def test_a_device_that_cannot_be_asked_is_not(model, topic):
    """None in its model; a + that leaves open where it listens; one that posts and hears nothing."""
    play = playing(model=model, topics=(topic,))
    play.say({3: 80}, topic=topic.replace("+", "x"), id="cab-1")
    assert play.levels() == ["red"] and not snapshots(play)


def test_checkpoint_anywhere_asks_nothing_twice_and_forgets_nothing():
    """Stepped again from every checkpoint of the way: the very same effects."""
    script = [({3: 66}, 30), ({3: 80}, 5), ({3: 80}, 61), ({3: 20}, 400), ({5: 80}, 90)]
    undisturbed, restored = playing(), playing()
    for slots, pause in script:
        undisturbed.say(slots)
        undisturbed.wait(pause)
    for slots, pause in script:
        for _ in range(2):
            restored.engine = Engine(site(), states.load(states.save(restored.engine.state)))
            restored.say(slots) if _ == 0 else restored.wait(pause)
    assert msgspec.json.encode(restored.effects) == msgspec.json.encode(undisturbed.effects)
    assert [one.state for one in snapshots(undisturbed)] == [MISSED] * 3


def test_another_world_asks_nothing_anew(play):
    """A reload, or the step put into the rule of an alert that stands: what is seen now is another moment."""
    one = red(play)
    play.engine.reconfigure(Configured(play.at, play.wall(), "two"), site(digest="two"))
    play.wait(10)
    assert snapshots(play) == [one]
    play = playing(HOT)
    play.say({3: 80})
    play.engine.reconfigure(Configured(play.at, play.wall(), "two"), site(digest="two"))
    play.say({3: 81})
    play.wait(10)
    assert not snapshots(play)


# ---------------------------------------------------------------- what is said to the camera


def test_a_picture_is_all_that_can_be_asked(play):
    one = red(play)
    assert json.loads(cameras.request(one)) == {"request": "snapshot", "id": one.id}


def test_asked_once_the_broker_has_it(play):
    one = red(play)
    play.told(one)
    asked = snapshots(play)
    assert [one.state for one in asked] == [ASKED]
    for told in (Told.LATER, Told.REFUSED):  # of an attempt before it, which was heard of late
        play.told(one, told)
    assert snapshots(play) == asked


def test_tried_again_until_its_time_is_over_and_never_longer(play):
    one = red(play)
    for attempt in range(1, 30):
        play.told(one, Told.LATER, detail="the broker does not answer")
        (one,) = snapshots(play)
        if one.state is MISSED:
            break
        assert (one.state, one.attempt) == (DUE, attempt)
        assert 0 < one.due_at - play.at <= 10 * SECOND
        play.wait((one.due_at - play.at) / SECOND)
    assert one.state is MISSED and one.detail == "the broker does not answer"
    assert play.at <= ANSWER_S * SECOND + 10 * SECOND


def test_a_broker_that_lets_us_not_speak_there_ends_it(play):
    one = red(play)
    play.told(one, Told.REFUSED, detail="not authorized")
    assert [one.state for one in snapshots(play)] == [MISSED]
    assert not play.engine.state.snapshots


def test_no_answer_changes_nothing_for_the_alert():
    """The very same people are told at the very same instants as without the step."""
    plain, pictured = playing(HOT), playing(PICTURED)
    for play in (plain, pictured):
        play.say({3: 80})
        play.wait(1000)
    kept = [one for one in pictured.effects if not isinstance(one, Snapshot)]
    kept = [one for one in kept if not (isinstance(one, Noted) and one.event.startswith("snapshot"))]
    kept = [one for one in kept if not (isinstance(one, Entry) and one.what.startswith("snapshot"))]
    kept = [replace_point(one) for one in kept]
    assert msgspec.json.encode(kept) == msgspec.json.encode([replace_point(one) for one in plain.effects])
    assert [one.what for one in of(pictured.effects, Entry) if one.what.startswith("s")].count(
        "snapshot_missed"
    )


def replace_point(one):
    return one


def test_so_many_wait_and_no_more():
    names = [f"cab-{n}" for n in range(WAITING_MOST + 1)]
    play = playing(topics=[f"site/{name}" for name in names])
    for name in names:
        play.say({3: 80}, topic=f"site/{name}")
    found = snapshots(play)
    assert len(found) == len(names) and len(play.engine.state.snapshots) == WAITING_MOST
    assert [one.device for one in found if one.state is MISSED] == [names[0]]


# ---------------------------------------------------------------- what the camera says


def test_the_answer_is_kept_for_as_long_as_the_site_says():
    play = playing(keep_snapshots_s=86_400.0)
    one = red(play)
    play.told(one)
    play.wait(4)
    answer(play, one.id)
    (one,) = snapshots(play)
    assert (one.state, one.ref) == (TAKEN, URL)
    assert one.expires_ns == play.wall() + 86_400 * SECOND
    assert cameras.shown(one, one.expires_ns - 1) == URL and cameras.shown(one, one.expires_ns) == ""
    play.wait(100)
    assert snapshots(play)[0].state is TAKEN and not play.engine.state.snapshots


def test_an_answer_that_overtakes_the_outcome_of_its_request_counts(play):
    one = red(play)
    answer(play, one.id)
    play.told(one)
    assert [one.state for one in snapshots(play)] == [TAKEN]


def test_the_address_is_in_nothing_but_the_snapshot(play):
    """Neither in a line of the history, which is never forgotten, nor in a log line or a refusal."""
    one = red(play)
    for ref in (URL, "javascript:alert('nvr.fengqiao')", f"{URL}\n"):
        answer(play, one.id, ref)
    said = [one for one in play.effects if not isinstance(one, Snapshot)]
    assert "fengqiao" not in msgspec.json.encode(said).decode()
    assert "snapshot" in [entry.what for entry in of(play.effects, Entry)]


def test_an_answer_counts_once_and_for_the_device_that_was_asked():
    play = playing(topics=(TOPIC, "site/cab-2"))
    one = red(play)
    answer(play, one.id, topic="site/cab-2/snapshot")
    assert snapshots(play)[0].state is DUE, "cab-2 speaks only for itself"
    answer(play, one.id, retained=True)
    assert snapshots(play)[0].state is DUE, "what the broker remembers answers nothing"
    answer(play, one.id)
    answer(play, one.id, "https://other.example/b.jpg")
    answer(play, "never-asked")
    assert [one.ref for one in snapshots(play)] == [URL]
    assert play.noted().count("snapshot_ignored") == 3


def test_what_is_no_answer_hurts_nobody(play):
    one = red(play)
    for raw in (b"", b"\xff", b"[]", b"[" * 100_000, b'{"id":1}', b'{"id":"' + one.id.encode() + b'"}'):
        play.say(topic=ANSWER, raw=raw)
    assert snapshots(play)[0].state is DUE and play.levels() == ["red"]
    assert not of(play.effects, Refused)


def test_our_own_request_comes_back_to_us_and_says_nothing(play):
    """`site/#` takes the topic of the request too."""
    one = red(play)
    before = len(play.effects)
    play.say(topic=ASK, raw=cameras.request(one))
    assert play.effects[before:] == []
    assert play.engine.state.heard["cab-1"].seen_at == 0, "and proves no life of the camera"


def test_an_answer_is_no_reading(play):
    one = red(play)
    before = len(play.effects)
    answer(play, one.id)
    assert not of(play.effects[before:], Refused) + of(play.effects[before:], Marked)
    assert play.engine.readings == [[]]


@pytest.mark.parametrize("ref", [
    "http://10.2.0.9:8080/p?id=7&size=full#x", "https://[fd00::1]/a.jpg", "https://nvr", "https://a-b.cn/%E5%9B%BE.jpg",
])  # fmt: skip
def test_addresses_that_may_be_shown(ref):
    assert cameras.host_of(ref)


@pytest.mark.parametrize("ref", [
    "", "nvr/a.jpg", "//nvr/a.jpg", "ftp://nvr/a.jpg", "javascript:alert(1)", "data:image/png;base64,AA==",
    "https://", "https:///a.jpg", "https://user:pass@nvr/a.jpg", "https://nvr@evil/a.jpg",
    "https://nvr/a b.jpg", 'https://nvr/"onclick="x', "https://nvr/<b>", "https://nvr/a\n.jpg",
    "https://nvr/a\u202egpj", "https://nvr\\@evil/", " https://nvr/a.jpg", "https://nvr/a.jpg\n",
    "https://nvr/" + "a" * 500, "file:///etc/passwd", "https://.nvr/",
])  # fmt: skip
def test_addresses_that_may_not(ref):
    assert cameras.host_of(ref) == ""


# ---------------------------------------------------------------- in its own message


def test_a_picture_named_in_the_message_that_raised_it_needs_no_request(play):
    play.say({3: 80}, picture={"url": URL})
    (one,) = snapshots(play)
    assert (one.state, one.ref) == (TAKEN, URL)


def test_a_picture_in_a_later_message_answers_too_and_only_while_one_is_wanted(play):
    play.say({3: 40}, picture={"url": "https://nvr.example/of-nothing.jpg"})
    red(play)
    play.say({3: 80}, picture={"url": "not an address"})
    assert snapshots(play)[0].state is DUE
    play.say({3: 80}, picture={"url": URL})
    play.say({3: 80}, picture={"url": "https://nvr.example/later.jpg"})
    assert [one.ref for one in snapshots(play)] == [URL]


def test_one_that_posts_may_name_a_picture_though_it_cannot_be_asked():
    play = playing(topics=("http/cab-1",))
    play.say({3: 80}, topic="http/cab-1")
    assert [(one.state, one.topic) for one in snapshots(play)] == [(ASKED, "")]
    play.say({3: 80}, topic="http/cab-1", picture={"url": URL})
    assert [one.state for one in snapshots(play)] == [TAKEN]


def test_out_of_quarantine_nothing_is_a_picture_of_now(play):
    red(play)
    body = json.dumps({"slots": [{"no": 3, "t": 80}], "picture": {"url": URL}}).encode()
    play.give(Messages(play.at, play.wall(), [Message(TOPIC, body)], True))
    assert snapshots(play)[0].state is DUE


def test_its_alert_may_be_over_when_the_picture_comes(play):
    """It goes to the case all the same."""
    rule = replace(PICTURED, clear_hold_s=1.0, limits=limits((Level.RED, 75, 0, None)))
    play = playing(rule)
    one = red(play)
    play.say({3: 20})
    play.wait(10)
    assert play.levels() == ["red", "clear"] and not play.engine.state.alerts
    answer(play, one.id)
    assert of(play.effects, Entry)[-1].what == "snapshot"
    assert snapshots(play)[0].state is TAKEN


def test_smoke_beside_it_is_not_held_up(play):
    """A rule without the step on the same device."""
    play = playing(PICTURED, SMOKE)
    play.say({3: 80}, smoke=1)
    assert sorted(play.levels()) == ["red", "red"] and len(snapshots(play)) == 1


# ---------------------------------------------------------------- the thread that asks


class Asking:
    """The requester over a real store: what it says to the broker, and what it reports."""

    def __init__(self, folder, monkeypatch, *answers) -> None:
        self.store, self.said, self.outcomes = Store(folder), [], []
        self._answers = list(answers)  # None: taken; else what is raised
        monkeypatch.setattr(requests, "publish", self._publish)
        self.clock = Clock(anchor=Anchor(time.monotonic_ns(), START_NS, 20.0))
        self.thread = requests.Requester(None, self._submit, self.clock, self.store.reader)

    def _publish(self, broker, name, topic, payload, expires_s) -> None:
        self.said.append((topic, json.loads(payload)["id"], expires_s))
        if self._answers and (raised := self._answers.pop(0)) is not None:
            raise raised

    def _submit(self, make):
        self.outcomes.append(make(0, 0))
        done = Future()
        done.set_result([])
        return done

    def want(self, name, **changes) -> Snapshot:
        given = {"id": name, "state": DUE, "ref": "", "due_at": 0, "answer_by": 600 * SECOND, **changes}
        wanted = msgspec.structs.replace(PICTURE, **given)
        self.store.commit([Record(Tick(1, START_NS), [wanted])])
        return wanted


@pytest.fixture
def asking(tmp_path, monkeypatch):
    made = []

    def start(*answers) -> Asking:
        made.append(Asking(tmp_path, monkeypatch, *answers))
        made[-1].thread.start()
        return made[-1]

    yield start
    for one in made:
        one.thread.stop()
        one.store.close()


def test_what_became_of_each_attempt_is_reported(asking):
    one = asking(None, NotPublished("the broker does not answer"), NotPublished("not let in", for_good=True))
    one.thread.offer([one.want(name) for name in ("a", "b", "c")])
    until(lambda: len(one.outcomes) == 3)
    assert [(each.notification, each.told) for each in one.outcomes] == [
        ("a", Told.ACCEPTED), ("b", Told.LATER), ("c", Told.REFUSED),
    ]  # fmt: skip
    assert all(topic == ASK and 0 < expires_s <= 30 for topic, _, expires_s in one.said)


def test_what_is_over_is_not_asked(asking):
    """Its time is up, it is answered, it was put off to another attempt: what the store says counts."""
    one = asking()
    late, taken, again = one.want("late", answer_by=0), one.want("taken"), one.want("again")
    one.want("taken", state=TAKEN)
    one.want("again", attempt=1)
    one.thread.offer([late, taken, again, one.want("asked", state=ASKED), one.want("last")])
    until(lambda: one.outcomes)
    assert [name for _, name, _ in one.said] == ["last"]


def test_our_own_fault_is_tried_again_and_stops_nobody(asking):
    with telemetry.testing() as logged:
        one = asking(RuntimeError("ours"))
        one.thread.offer([one.want("a"), one.want("b")])
        until(lambda: len(one.outcomes) == 2)
    assert [name for _, name, _ in one.said] == ["a", "b", "a"]
    assert [each.event for each in logged] == ["snapshot_failed"]


# ---------------------------------------------------------------- what `check` says of it

CAMERA = FILES["devices/camera.yaml"].replace("codec:", "snapshot: {}\ncodec:")
SECOND_CAMERA = (
    "  - {id: cam-2, model: camera, at: estate, topic: site/estate/cam-2/up, baseline: {tilt_x_deg: 0}}\n"
)


def checked(folder, camera, site="", config=""):
    """The files with a camera that can be asked."""
    files = {**FILES, "devices/camera.yaml": camera, "sites/site.yaml": FILES["sites/site.yaml"] + site}
    files["lilong.yaml"] = config or files["lilong.yaml"]
    return loaded(folder, files)


def test_every_device_has_topics_of_its_own(tmp_path):
    """Two that hear one request would answer it both."""
    assert checked(tmp_path, CAMERA, SECOND_CAMERA).problems == []
    for key in ("ask", "answer"):
        shared = CAMERA.replace("snapshot: {}", f'snapshot: {{{key}: "{{above}}/snapshot"}}')
        near = SECOND_CAMERA.replace("cam-2/up", "cam-1/down")
        (problem,) = checked(tmp_path, shared, near).problems
        assert problem.code == "L303" and "site/estate/cam-1/snapshot" in str(problem)


def test_answers_that_nobody_would_hear_are_warned_of(tmp_path):
    """No error: a site that listens narrowly gets no pictures, and all else as before."""
    config = FILES["lilong.yaml"].replace("[site/#]", "[site/+/+/up]")
    found = checked(tmp_path, CAMERA, config=config)
    assert found.problems == [] and [one.code for one in found.warnings] == ["W801"]
    assert "site/estate/cam-1/up/snapshot" in str(found.warnings[0])


def test_one_of_the_models_is_enough(tmp_path):
    """A pack speaks of makes that a site may mix."""
    rule = FILES["rules/all.yaml"].replace(
        "action: 归桶", "steps: [case, notify, event, snapshot]\n    action: 归桶"
    )
    other = FILES["devices/camera.yaml"]
    files = {**FILES, "rules/all.yaml": rule, "devices/other.yaml": other}
    assert [one.code for one in loaded(tmp_path, files).problems] == ["L522"]
    assert loaded(tmp_path, {**files, "devices/other.yaml": CAMERA}).problems == []


def test_how_long_they_are_kept_is_said_once(tmp_path):
    assert checked(tmp_path, CAMERA).world.keep_snapshots_s == 30 * 86_400.0
    assert checked(tmp_path, CAMERA, "keep_snapshots: 7d\n").world.keep_snapshots_s == 7 * 86_400.0
    files = {**FILES, "sites/a.yaml": "keep_snapshots: 7d\n", "sites/b.yaml": "keep_snapshots: 8d\n"}
    (problem,) = loaded(tmp_path, files).problems
    assert "b.yaml:1: keep_snapshots" in str(problem)


# ---------------------------------------------------------------- where people see it


@pytest.fixture
def page(tmp_path):
    """The page of a case whose alert has this picture."""
    opened = []

    def ask(**changes) -> str:
        opened.append(resets.Site(tmp_path / str(len(opened))))
        picture = msgspec.structs.replace(PICTURE, **changes)
        opened[-1].store.commit([Record(Tick(2, START_NS), [picture])])
        return opened[-1].ask("GET", opened[-1].path())[1]

    yield ask
    for one in opened:
        one.web.stop()
        one.store.close()


def test_the_page_links_to_it_and_loads_nothing_from_there(page):
    """Whoever opens it leaves this system, and that one does not learn from where."""
    found = page()
    link = re.search(r'<a href="([^"]+)" target="_blank" rel="([^"]+)" referrerpolicy="([^"]+)"', found)
    assert link.groups() == (URL + "?a=1&amp;b=2", "noopener noreferrer", "no-referrer")
    assert "nvr.fengqiao.example，不在本系统内" in found and "<img" not in found


@pytest.mark.parametrize(("changes", "says"), [
    ({"expires_ns": START_NS}, "已过保存期，地址已删除"),
    ({"state": MISSED, "expires_ns": 0}, "没有收到图片"),
    ({"state": DUE, "expires_ns": 0}, "正在请摄像机抓拍"), ({"state": ASKED, "expires_ns": 0}, "等待图片"),
])  # fmt: skip
def test_the_page_says_why_there_is_none(page, changes, says):
    found = page(**changes)
    assert says in found and "nvr.fengqiao" not in found


def test_the_commands_show_it_until_it_expires(folder, run):
    now_ns = time.time_ns()
    for expires_ns, there in ((now_ns + 3600 * SECOND, True), (now_ns - SECOND, False)):
        picture = msgspec.structs.replace(PICTURE, expires_ns=expires_ns)
        store = Store(folder / "state")
        store.commit([Record(Tick(1, START_NS), [CASE, ALERT, picture])])
        store.close()
        for words in (["show", "AAAA"], ["why", "a1"], ["why", "a1", "--json"]):
            assert (URL in run(*words).output) is there, words


def test_an_older_versions_store_has_none(tmp_path):
    """Read by the commands before a gateway of this version has opened it."""
    with sqlite3.connect(tmp_path / "old.db") as db:
        assert snapshots_of(db, "01AAAA") == []
    db.close()


def test_it_stands_in_its_own_table_alone(tmp_path):
    """Forgotten there, it is forgotten: the log holds none, and the version before this one can read it."""
    store = Store(tmp_path)
    store.commit([Record(Tick(1, START_NS), [ALERT, PICTURE])])
    assert [type(one).__name__ for row in store.read_log(0, 10) for one in row.changes] == ["Alert"]
    for table in ("log", "alert", "entry"):
        rows = store.reader().execute(f"SELECT * FROM {table}").fetchall()
        assert "nvr.fengqiao" not in repr([tuple(row) for row in rows])
    store.close()


def test_the_next_start_asks_what_was_left(tmp_path):
    store = Store(tmp_path)
    left = msgspec.structs.replace(PICTURE, state=DUE, ref="")
    others = [msgspec.structs.replace(left, id=one, state=one) for one in (ASKED, TAKEN, MISSED)]
    store.commit([Record(Tick(1, START_NS), [left, *others])])
    assert store.due_snapshots() == [left]
    store.close()
