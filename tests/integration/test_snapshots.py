"""A camera on a real broker is asked for a picture, and says where it lies; or does not, and nobody waits."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateway.adapters.clock import Anchor
from gateway.adapters.store import open_reader
from gateway.app import App
from gateway.core.model import SECOND, Snapshot, SnapshotState
from gateway.web.pages import view_case
from gateway.web.rows import messages_to, open_cases, snapshots_of
from simulators.neighbourhood import Sent
from simulators.publisher import Pace, Publisher
from tests.servers.mosquitto import Mosquitto
from tests.servers.process import Process, free_port
from tests.servers.publisher import publish
from tests.waiting import until

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
TOPIC = "site/yard/lift-1/event"
ASK, ANSWER = f"{TOPIC}/command/snapshot", f"{TOPIC}/snapshot"
URL = "https://nvr.fengqiao.example/lift-1/18-05-07.jpg"
EBIKE = b'{"ebike":1,"confidence":0.9}'
USERS = {"lilong": "one-of-ours", "lift-1": "the-cameras"}
ACL = "user lift-1\ntopic readwrite site/#\nuser lilong\ntopic read site/#\n"  # lilong may not write
CONFIG = """
state: state
directories: {{rules: [rules], sites: [sites]}}
broker: {{host: 127.0.0.1, port: {port}, client_id: lilong, protocol: {protocol}{more}}}
web: {{listen: "127.0.0.1:{web}"}}
channels: {{inbox: {{kind: inbox}}}}
"""
RULES = """
rules:
  - id: ebike
    says: 电动车进电梯
    on: {scene: lift}
    when: ebike_present
    levels: {yellow: {above: 0.5}}
    steps: [case, notify, event, snapshot]
    basis: {text: 项目缺省值, confidence: D}
    action: 到场劝阻
"""
SITE = """
places: [{id: yard, says: 和平苑, kind: compound}]
units: [{id: firm, says: 物业}]
persons: [{id: wang, says: 王经理, unit: firm, reach: {inbox: wang}}]
posts: [{role: property, at: yard, unit: firm, person: wang, from: 2026-01-01}]
ladders:
  yellow: [{role: property, by: [inbox]}]
  orange: [{role: property, by: [inbox]}]
  red: [{role: property, by: [inbox]}]
devices: [{id: lift-1, says: 1号梯, model: lift-camera, at: yard, topic: site/yard/lift-1/event}]
"""


class Lens:
    """A camera: it keeps what it is asked, and says where the picture lies if it is to."""

    def __init__(self, port: int, answers: bool = True, user: str = "") -> None:
        self.heard: list[MQTTMessage] = []
        self._answers, self._ready = answers, False
        self._client = Client(CallbackAPIVersion.VERSION2, "lift-1")
        if user:
            self._client.username_pw_set(user, USERS[user])
        self._client.on_message, self._client.on_subscribe = self._hear, self._subscribed
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(ASK, qos=1)
        self._client.loop_start()
        until(lambda: self._ready, what="the camera listens")

    def __enter__(self) -> Lens:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribed(self, *_: object) -> None:
        self._ready = True

    def _hear(self, _c: object, _u: object, message: MQTTMessage) -> None:
        self.heard.append(message)
        if self._answers:
            name = json.loads(message.payload)["id"]
            self._client.publish(ANSWER, json.dumps({"id": name, "snapshot_ref": URL}), qos=1)

    @property
    def asked(self) -> list[Any]:
        return [json.loads(message.payload) for message in list(self.heard)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as one:
        yield one


def written(folder: Path, port: int, protocol: str = "5", web: int = 0, more: str = "") -> Path:
    for name, text in (("rules", RULES), ("sites", SITE)):
        (folder / name).mkdir()
        (folder / name / "yard.yaml").write_text(text, "utf-8")
    path = folder / "lilong.yaml"
    path.write_text(CONFIG.format(port=port, protocol=protocol, web=web, more=more))
    return path


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., App]]:
    apps: list[App] = []

    def start(port: int, speed: float = 1.0, **more: str) -> App:
        anchor = Anchor(time.monotonic_ns(), time.time_ns(), speed)
        apps.append(App(written(tmp_path, port, **more), "en", anchor))
        apps[-1].start()
        until(lambda: apps[-1].pipeline.engine.state.link_up, what="the broker")
        return apps[-1]

    yield start
    for app in apps:
        app.stop()


def kept(app: App) -> list[Snapshot]:
    (case,) = open_cases(app.store.reader()) or [None]
    return snapshots_of(app.store.reader(), case.id) if case else []


def in_state(app: App, state: SnapshotState) -> Snapshot:
    """The one that is wanted, once it is there."""
    until(lambda: [one.state for one in kept(app)] == [state], 30, what=state)
    return kept(app)[0]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_asked_once_and_its_answer_is_on_the_page_until_it_expires(
    broker: Mosquitto, started: Callable[..., App], protocol: str
) -> None:
    """Our own subscription takes the request too: it is no message of the camera's."""
    app = started(broker.port, protocol=protocol)
    with Lens(broker.port) as camera:
        publish(broker.port, [(TOPIC, EBIKE)])
        taken = in_state(app, SnapshotState.TAKEN)
        assert camera.asked == [{"request": "snapshot", "id": taken.id}]
        assert [(one.qos, one.retain) for one in camera.heard] == [(1, False)]
    db, (case,) = app.store.reader(), open_cases(app.store.reader())
    assert [one.ref for one in view_case(db, app.world, case, taken.taken_ns).pictures] == [URL]
    assert [one.ref for one in view_case(db, app.world, case, taken.expires_ns).pictures] == [""]
    assert taken.expires_ns - taken.taken_ns == 30 * 86_400 * SECOND
    assert app.store.forget_snapshots(taken.expires_ns - 1) == 0 and kept(app)[0].ref == URL
    assert app.store.forget_snapshots(taken.expires_ns) == 1 and kept(app)[0].ref == ""
    assert app.store.forget_snapshots(taken.expires_ns) == 0
    assert db.execute("SELECT count(*) FROM quarantine").fetchone()[0] == 0


def test_the_practice_cameras_answer_too(broker: Mosquitto, started: Callable[..., App]) -> None:
    """And what they answer is not counted among what they played."""
    app = started(broker.port)
    with Publisher("127.0.0.1", broker.port, cameras={ASK: ANSWER}) as street:
        street.play([Sent(0, TOPIC, EBIKE)], Pace(0, 0))
        taken = in_state(app, SnapshotState.TAKEN)
        assert taken.ref == f"https://camera.invalid/{taken.id}.jpg"
    assert (street.tally.sent, street.tally.acknowledged) == (1, 1)


def test_a_camera_that_is_away_delays_nobody_and_is_said_so(
    broker: Mosquitto, started: Callable[..., App], capfd: pytest.CaptureFixture[str]
) -> None:
    """Its minute passes in six seconds; the message to the person went at once."""
    app = started(broker.port, speed=10.0)
    publish(broker.port, [(TOPIC, EBIKE)])
    missed = in_state(app, SnapshotState.MISSED)
    (told,) = messages_to(app.store.reader(), "wang", ["inbox"])
    assert told.told_at < missed.answer_by
    (case,) = open_cases(app.store.reader())
    (shown,) = view_case(app.store.reader(), app.world, case, app.clock.wall_ns()).pictures
    assert (shown.ref, shown.says) == ("", "没有收到图片")
    assert "snapshot_missed" in capfd.readouterr().err


def test_a_broker_that_does_not_let_us_ask_costs_the_picture_alone(
    tmp_path: Path, started: Callable[..., App]
) -> None:
    (tmp_path / "password").write_text(USERS["lilong"])
    with Mosquitto(tmp_path, users=USERS, acl=ACL) as broker, Lens(broker.port, user="lift-1") as camera:
        app = started(broker.port, more=", username: lilong, password_file: password")
        camera._client.publish(TOPIC, EBIKE, qos=1)
        assert "not taken" in in_state(app, SnapshotState.MISSED).detail
        until(lambda: messages_to(app.store.reader(), "wang", ["inbox"]), what="the message")
        assert not camera.heard


def test_the_address_is_in_no_log_line(
    broker: Mosquitto, started: Callable[..., App], capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither of the answer that is taken, nor of one that is not."""
    app = started(broker.port)
    with Lens(broker.port):
        publish(broker.port, [(TOPIC, EBIKE)])
        in_state(app, SnapshotState.TAKEN)
        publish(broker.port, [(ANSWER, json.dumps({"id": "x", "snapshot_ref": URL}).encode())])
        said = [""]
        until(lambda: said.append(said[-1] + capfd.readouterr().err) or "snapshot_ignored" in said[-1])
    assert "snapshot_taken" in said[-1] and "nvr.fengqiao" not in said[-1]


def test_killed_before_it_could_write_down_that_it_asked_it_asks_again_under_the_same_id(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """The camera has the request, the gateway dies: the next life asks once more, and no third time."""
    web = free_port()
    written(tmp_path, broker.port, web=web)

    def life(mutant: str) -> Process:
        run = [sys.executable, "-m", "tests.faults.mutant", mutant, "run", "--config", "lilong.yaml"]
        return Process(tmp_path, ["env", f"PYTHONPATH={ROOT}", *run], [web])

    with Lens(broker.port, answers=False) as camera:
        first, second = life("dies_after_asking"), life("sound")
        first.start()
        # Said until it is heard: whoever subscribes later has missed it.
        until(lambda: not first.running or publish(broker.port, [(TOPIC, EBIKE)]), 30, "it dies")
        until(lambda: len(camera.asked) == 1, what="what the broker had from it")
        assert states(tmp_path) == [SnapshotState.DUE]
        second.start()
        until(lambda: states(tmp_path) == [SnapshotState.ASKED], 30, "the second life asks")
        until(lambda: len(camera.asked) == 2, what="the same once more")
        assert camera.asked[0] == camera.asked[1]
        second.kill()
        second.start()
        said = [(ANSWER, answer(camera.asked[0]["id"]))]
        taken = [SnapshotState.TAKEN]
        until(lambda: states(tmp_path) == taken or publish(broker.port, said), 30, "the answer")
        assert len(camera.asked) == 2, "what is known to be asked is not asked again"
        second.stop()


def answer(name: str) -> bytes:
    return json.dumps({"id": name, "snapshot_ref": URL}).encode()


def states(folder: Path) -> list[str]:
    path = folder / "state" / "lilong.db"
    if not os.path.exists(path):
        return []
    with closing(open_reader(path)) as db:
        return [row["state"] for row in db.execute("SELECT state FROM snapshot")]
