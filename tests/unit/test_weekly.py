"""The weekly digest gets to its reader once a week, whatever is repeated, restarted or late."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.adapters import history
from gateway.adapters.store import Record, Store
from gateway.core import digest as together
from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Digest,
    Event,
    Kind,
    Messages,
    Notification,
    NotificationState,
    Tick,
    Told,
    Weekly,
)
from gateway.core.state import State
from gateway.reporting.digest import Week
from gateway.reporting.mailing import Mailing, due_ns
from tests.unit.config_files import FILES, loaded, told
from tests.unit.test_case_life import street
from tests.unit.worlds import SMOKE, START_NS, Play, of

TO = Digest(of="street", role="committee", by=("inbox",))
WEEK = Week(date(2026, 10, 26))  # over since that Monday's midnight; START_NS is its evening
DAY_NS = 86_400 * SECOND


def playing(*digests: Digest) -> Play:
    return Play(Engine(street(SMOKE, digests=digests), State(identity="0000002a")))


def send(play: Play, to: Digest = TO, week: str = "2026-W44") -> list[Notification]:
    """What is told of a digest."""
    event = Weekly(play.at, play.wall(), to.key, week, "【周报】枫林街道", "发现 3，办结 2")
    return of(play.give(event), Notification)


# ---------------------------------------------------------------- the core


def test_the_holder_of_the_post_gets_it_once() -> None:
    play = playing(TO)
    (letter,) = send(play)
    assert (letter.kind, letter.person, letter.channel) == (Kind.WEEKLY, "li", "inbox")
    assert (letter.title, letter.text) == ("【周报】枫林街道", "发现 3，办结 2")
    assert letter.state is NotificationState.DUE and letter.due_at == play.at
    play.told(letter)
    assert send(play) == [] and send(play, week="2026-W43") == [], "an older week is no news"
    assert len(send(play, week="2026-W45")) == 1


@pytest.mark.parametrize("answer", [Told.ACCEPTED, Told.REFUSED])
def test_a_restart_between_any_two_steps_sends_no_second_one(answer: Told) -> None:
    play = playing(TO)
    (letter,) = send(play)
    for _ in range(3):
        saved = states.load(states.save(play.engine.state))
        play.engine = Engine(play.engine.world, saved)
        assert send(play) == []
        if letter.id in play.engine.state.notifications:
            play.told(letter, answer)
    assert letter.id not in play.engine.state.notifications


def test_it_is_no_load_of_alerts(tmp_path: Path) -> None:
    """A report counts how often people were told of alerts."""
    play = playing(TO)
    play.told(send(play)[0])
    store = Store(tmp_path)
    store.commit([Record(Tick(1, 1), play.effects)])
    assert list(history.tellings(store.reader(), START_NS - 1, START_NS + DAY_NS)) == []
    play.say(smoke=1)
    store.commit([Record(Tick(2, 2), play.effects)])
    assert [who for who, _ in history.tellings(store.reader(), START_NS - 1, START_NS + DAY_NS)] == ["wang"]
    store.close()


def test_it_is_tried_again_as_any_message() -> None:
    play = playing(TO)
    (letter,) = send(play)
    (again,) = of(play.told(letter, Told.LATER, retry_after_s=60.0), Notification)
    assert again.due_at >= play.at + 60 * SECOND and again.attempt == 1 and not play.engine.state.cases


def test_whoever_is_named_gets_it_on_each_way() -> None:
    to = Digest(of="street", person="wang", by=("inbox", "group"))
    play = playing(to)
    play.engine = Engine(replace(play.engine.world, groups=frozenset({"group"})), play.engine.state)
    assert [(one.person, one.channel, one.address) for one in send(play, to)] == [
        ("wang", "inbox", "wang"),
        ("wang", "group", ""),
    ]


def test_nobody_there_is_said() -> None:
    empty = Digest(of="street", role="fire", by=("inbox",))
    play = playing(empty)
    assert send(play, empty) == [] and play.noted()[-1] == "digest_undelivered"


def test_what_is_no_longer_configured_is_forgotten() -> None:
    play = playing(TO, replace(TO, role="street"))
    send(play)
    play.engine = Engine(street(SMOKE, digests=(TO,)), play.engine.state)
    assert send(play, replace(TO, role="street")) == [] and list(play.engine.state.digested) == [TO.key]


def test_the_log_keeps_it(tmp_path: Path) -> None:
    """An event like any other: stepped again after a crash it does the same."""
    event = Weekly(1, 2, TO.key, "2026-W44", "t", "x")
    decoder = msgspec.msgpack.Decoder(Event)
    assert decoder.decode(msgspec.msgpack.encode(event)) == event
    assert isinstance(decoder.decode(msgspec.msgpack.encode(Tick(1, 2))), Tick) and Messages


# ---------------------------------------------------------------- when, and from where


class Desk:
    """A gateway's queue, its engine, and the folder where another process writes the digests."""

    def __init__(self, folder: Path, play: Play) -> None:
        self.folder, self.play, self.written, self.events = folder, play, 0, 0
        self.now_ns = START_NS
        self.mailing = self.started()

    def started(self) -> Mailing:
        return Mailing(
            self.folder, lambda: self.play.engine.world, self.submit, lambda: self.now_ns, self.write
        )

    def write(self) -> None:
        self.written += 1
        (self.folder / "digests").mkdir(exist_ok=True)
        week = Week.before(self.now_ns, "Asia/Shanghai")
        (self.folder / "digests" / f"{week}-street.txt").write_text(
            f"【周报】街道 {week}\n发现 3\n办结 2\n", "utf-8"
        )

    def submit(self, make: Callable[[int, int], Event]) -> Future[Any]:
        self.events += 1
        done: Future[Any] = Future()
        done.set_result(self.play.give(make(self.play.at, self.now_ns)))
        return done

    def letters(self) -> list[tuple[str, str]]:
        return [(one.title, one.text) for one in of(self.play.effects, Notification)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, playing(TO))


def test_it_is_sent_when_it_is_due_and_made_where_it_was_not(desk: Desk) -> None:
    """START_NS is Monday 20:00: last week's is due since the morning, and nobody has written it."""
    desk.mailing.send_due()
    assert desk.letters() == [("【周报】街道 2026-W44", "发现 3\n办结 2")] and desk.written == 1
    desk.mailing.send_due()
    assert desk.events == 1, "the log does not grow with every look"


def test_a_new_process_asks_and_the_core_knows(desk: Desk) -> None:
    desk.mailing.send_due()
    desk.mailing = desk.started()
    desk.mailing.send_due()
    assert desk.events == 2 and len(desk.letters()) == 1 and desk.written == 1


def test_the_next_one_comes_a_week_later_and_not_before(desk: Desk) -> None:
    desk.mailing.send_due()
    monday_8_ns = due_ns(TO, Week(date(2026, 11, 2)), "Asia/Shanghai")
    desk.now_ns = monday_8_ns - 1
    desk.mailing.send_due()
    assert len(desk.letters()) == 1
    desk.now_ns += 1
    desk.mailing.send_due()
    assert [title for title, _ in desk.letters()] == ["【周报】街道 2026-W44", "【周报】街道 2026-W45"]


def test_the_day_and_hour_are_the_sites() -> None:
    due = due_ns(replace(TO, day="wed", at="17:30"), WEEK, "Asia/Shanghai")
    assert due == START_NS + 2 * DAY_NS - (2 * 60 + 30) * 60 * SECOND


def test_what_could_not_be_made_is_tried_again(desk: Desk) -> None:
    desk.mailing = Mailing(
        desk.folder, lambda: desk.play.engine.world, desk.submit, lambda: START_NS, lambda: None
    )
    with pytest.raises(OSError):
        desk.mailing.send_due()
    desk.write()
    desk.mailing.send_due()
    assert len(desk.letters()) == 1


# ---------------------------------------------------------------- the files, and the channels


def test_only_a_way_that_takes_a_page_will_do(tmp_path: Path) -> None:
    files = dict(FILES)
    files["lilong.yaml"] += '  horn: {kind: siren, on: "true", off: "true"}\n'
    files["sites/site.yaml"] += "digests: [{of: street, role: property, by: [hook, horn]}]\n"
    assert [line.partition(": ")[2] for line in told(tmp_path, files)] == [
        "digests[0].by[1]: found horn, which takes no page of text, expected one of hook, inbox"
    ]
    sound = files | {"sites/site.yaml": files["sites/site.yaml"].replace("hook, horn", "inbox")}
    world = loaded(tmp_path, sound).world
    assert world and [one.key for one in world.digests] == ["street|property|inbox"]


def test_a_digest_of_alerts_never_swallows_it() -> None:
    """core.digest puts several alerts into one text; a page would be lost in it."""
    from gateway.notifier import _Job

    play = playing(TO)
    (letter,) = send(play)
    assert not _Job(letter, 1).counts and together.LEAST > 1
