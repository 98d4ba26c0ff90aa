"""The gateway's own troubles reach a person: the real app, a broker that is killed, shipped rules only."""

import json
import sqlite3
import time
import urllib.error
import urllib.request
from dataclasses import replace

import msgspec
import pytest

from gateway import telemetry
from gateway.adapters import certificates
from gateway.adapters.clock import Anchor
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import Record
from gateway.app import App
from gateway.channels.base import Answer
from gateway.config import load
from gateway.core.model import (
    SECOND,
    Case,
    Kind,
    Level,
    Message,
    Notification,
    NotificationState,
    Stage,
    Tick,
    Told,
)
from gateway.doctor import diagnose
from gateway.forwarder import Standing
from gateway.web.rows import open_cases
from tests.servers.certificates import make_certificates
from tests.servers.mosquitto import Mosquitto
from tests.servers.publisher import publish
from tests.waiting import until

DEVICES = 500
SPEED = 60.0  # a minute of the gateway's time a second: five minutes of silence are five seconds
SETTINGS = """
state: state
directories: {sites: [sites]}
broker: {host: 127.0.0.1, port: %d, client_id: alone}
web: {listen: "127.0.0.1:0"}
"""
SITE = """
places: [{id: street, says: 枫桥里街道, kind: street}]
units: [{id: centre, says: 城运中心}]
persons: [{id: duty, says: 值班长, unit: centre, reach: {inbox: duty}}]
posts: [{role: street, at: street, unit: centre, person: duty, from: 2026-01-01}]
ladders:
  yellow: [{role: street, by: [inbox]}]
  orange: [{role: street, by: [inbox]}]
  red: [{role: street, by: [inbox]}]
devices:
"""
GATEWAY = "  - {id: gateway-1, model: lilong-gateway, at: street, topic: self/gateway-1}\n"
CABINET = "  - {id: cab-%d, model: cabinet-8, at: street, topic: site/street/cab-%d/up}\n"
CALM = b'{"temperature":18.5,"smoke":0}'


@pytest.fixture(autouse=True)
def nothing_shown_yet():
    """What far sides have shown in tests before: it is kept for the process."""
    certificates.forget()


def site(folder, port, devices=GATEWAY):
    (folder / "sites").mkdir(exist_ok=True)
    (folder / "sites" / "street.yaml").write_text(SITE + devices, "utf-8")
    (folder / "lilong.yaml").write_text(SETTINGS % port)
    return folder / "lilong.yaml"


@pytest.fixture
def started():
    apps = []

    def start(path, speed=SPEED):
        app = App(path, "en", Anchor(time.monotonic_ns(), time.time_ns(), speed))
        apps.append(app)
        app.start()
        return app

    yield start
    for app in apps:
        app.stop()


def column(app, query):
    return [row[0] for row in app.store.reader().execute(query)]


def test_500_devices_behind_one_dead_broker_are_one_case_for_one_person(tmp_path, started, monkeypatch):
    """By shipped rules each cabinet would be missed after five minutes; while deaf, only we are told of.

    The telling does not depend on the broker, and ends when the broker is back.
    """
    monkeypatch.setattr("gateway.adapters.mqtt.RETRY_S_MAX", 0.2)
    calm = [(f"site/street/cab-{number}/up", CALM) for number in range(DEVICES)]
    devices = GATEWAY + "".join(CABINET % (number, number) for number in range(DEVICES))
    with Mosquitto(tmp_path) as broker:
        app = started(site(tmp_path, broker.port, devices))
        until(lambda: app.pipeline.engine.state.link_up, what="the broker")
        publish(broker.port, calm)
        until(lambda: app.store.position() > DEVICES)
        broker.kill()
        down_s = lambda: app.selfcheck.quantities()["broker_down_s"]  # noqa: E731
        until(lambda: down_s() > 420, 15, "seven minutes without a broker")
        kinds = "SELECT json_extract(body, '$.kind') FROM notification ORDER BY id"
        until(lambda: "risen" in column(app, kinds), what="both levels")
        (case,) = open_cases(app.store.reader())
        assert (case.device, case.rule, case.level.word) == ("gateway-1", "gateway-broker-down", "orange")
        assert set(column(app, "SELECT person FROM notification")) == {"duty"}
        assert column(app, kinds) == ["raised", "risen"]  # once for each level
        broker.start()
        until(lambda: app.pipeline.engine.state.link_up, what="the broker again")
        publish(broker.port, calm)
        until(lambda: "cleared" in column(app, "SELECT state FROM alert"), what="the all-clear")
        assert column(app, "SELECT rule || ' ' || state FROM alert") == ["gateway-broker-down cleared"]
        assert column(app, "SELECT count(*) FROM cases") == [1]


def test_after_a_restart_it_still_knows_since_when_it_is_deaf(tmp_path, started):
    app = started(site(tmp_path, 1), speed=600.0)
    until(lambda: app.pipeline.engine.state.alerts)
    app.stop()
    app = started(tmp_path / "lilong.yaml")
    said = app.selfcheck.quantities()
    assert said["broker_down_s"] > 120 and said["restarts_per_hour"] == 1


def test_it_says_all_that_its_model_maps(tmp_path, started):
    """Each quantity once, sound on a sound box; only who speaks TLS has certificates."""
    app = started(site(tmp_path, 1), speed=1.0)  # before the missing broker is an alert
    said = app.selfcheck.quantities()
    fields = {field.quantity for field in app.world.models["lilong-gateway"].fields}
    assert fields == said.keys() | {"certificate_days"}
    assert 0 < said["disk_free_pct"] <= 100
    fine = said.keys() - {"broker_down_s", "disk_free_pct", "clock_step_s", "archive_behind_s"}
    assert {name: said[name] for name in fine} == dict.fromkeys(fine, 0)


def test_a_site_without_it_is_told_by_doctor(tmp_path, started):
    path = site(tmp_path, 1, CABINET % (1, 1))
    loaded = load(path, "en")
    assert loaded.problems == []
    (found,) = [one for one in diagnose(loaded.config, (), "en", loaded.world) if one.name == "gateway"]
    assert found.ok and "lilong-gateway" in found.hint
    app = started(path)
    assert app.selfcheck.report() is False


def test_what_cannot_be_written_down_does_not_pile_up(tmp_path, started):
    """One report at most is under way; after the disk is back the time without it is told."""
    app = started(site(tmp_path, 1), speed=1.0)
    until(lambda: app.store.position() > 2)
    commit, broken = app.store.commit, True

    def failing(*arguments):
        if broken:
            raise sqlite3.OperationalError("disk is full")
        return commit(*arguments)

    app.store.commit = failing
    with telemetry.testing() as seen:
        assert app.selfcheck.report() is True
        assert [app.selfcheck.report() for _ in range(3)] == [False] * 3
        assert [said.event for said in seen].count("selfcheck_left_out") == 3
        until(lambda: [said for said in seen if said.event == "store_failed"])
        broken = False
        until(app.selfcheck.report, what="the disk takes it again")
    assert app.pipeline.take_held_back_s() == 0  # it was told


def test_the_time_without_acknowledgement_is_told_by_the_first_report(tmp_path, started, monkeypatch):
    app = started(site(tmp_path, 1), speed=1.0)
    monkeypatch.setattr("gateway.pipeline.QUEUE_MOST", 0)
    with telemetry.testing() as seen:
        assert app.selfcheck.report() is False
        assert [said.fields["reason"] for said in seen if said.event == "selfcheck_left_out"] == [
            "the queue is full"
        ]
    monkeypatch.setattr("gateway.pipeline.QUEUE_MOST", 10)
    app.pipeline._take_again()
    app.pipeline._held_back_s = 77.0
    assert app.selfcheck.quantities()["queue_full_s"] == 77
    assert app.selfcheck.quantities()["queue_full_s"] == 77  # until it is handed over
    assert app.selfcheck.report() and app.selfcheck.quantities()["queue_full_s"] == 0


def test_a_step_of_the_clock_is_told_once(tmp_path, started, monkeypatch):
    app = started(site(tmp_path, 1), speed=1.0)
    wall_ns = app.clock.wall_ns
    monkeypatch.setattr(app.clock, "wall_ns", lambda: wall_ns() - 3600 * SECOND)
    assert app.selfcheck.quantities()["clock_step_s"] == pytest.approx(-3600, abs=0.1)
    assert app.selfcheck.report()
    assert app.selfcheck.quantities()["clock_step_s"] == pytest.approx(0, abs=0.1)


# ---------------------------------------------------------------- each figure by itself


def put(app, *effects):
    app.pipeline.stop()  # there is one writer, and now it is us
    app.store.commit([Record(Tick(app.clock.at(), app.clock.wall_ns()), list(effects))])


def case_of(app, name, stage):
    now_ns = app.clock.wall_ns()
    return Case(
        id=name, alerts=(), device="gateway-1", component="", place="street", rule="x", level=Level.YELLOW,
        stage=stage, opened_ns=now_ns, changed_ns=now_ns, climbing_at=0,
    )  # fmt: skip


def told(app, case, state, *, ago_s=0, name="n"):
    return Notification(
        id=f"{case}-{name}", case=case, alert="a", kind=Kind.RAISED, level=Level.YELLOW, person="duty",
        channel="gone", address="", title="", text="", state=state,
        created_ns=app.clock.wall_ns() - ago_s * SECOND, due_at=app.clock.at() - ago_s * SECOND,
    )  # fmt: skip


def test_a_case_that_nobody_could_be_told_of_is_lost(tmp_path, started):
    """Refused by all within the hour. Not: told after all, still under way, or long ago."""
    app = started(site(tmp_path, 1), speed=1.0)
    refused, due = NotificationState.REFUSED, NotificationState.DUE
    put(
        app,
        case_of(app, "lost", Stage.FOUND),
        told(app, "lost", refused),
        told(app, "lost", refused, name="m"),
    )
    put(app, case_of(app, "sent", Stage.SENT), told(app, "sent", refused))
    put(app, case_of(app, "trying", Stage.FOUND), told(app, "trying", refused))
    put(app, told(app, "trying", due, name="again"))
    put(app, case_of(app, "old", Stage.FOUND), told(app, "old", refused, ago_s=3700))
    assert app.selfcheck.quantities()["notifications_lost"] == 1


def test_the_oldest_message_that_no_provider_took(tmp_path, started):
    app = started(site(tmp_path, 1), speed=1.0)
    due, accepted = NotificationState.DUE, NotificationState.ACCEPTED
    put(
        app,
        told(app, "a", due, ago_s=50),
        told(app, "b", due, ago_s=130),
        told(app, "c", accepted, ago_s=900),
    )
    assert app.selfcheck.quantities()["notifications_waiting_s"] == pytest.approx(130, abs=5)


def test_a_message_that_is_held_on_purpose_is_not_one_that_nobody_took(tmp_path, started):
    """For the night, or until the next of three calls; once tried, it counts from when it was made."""
    app, due, hour = started(site(tmp_path, 1), speed=1.0), NotificationState.DUE, 3600
    put(
        app,
        msgspec.structs.replace(
            told(app, "night", due, ago_s=8 * hour), due_at=app.clock.at() + hour * SECOND
        ),
    )
    put(app, msgspec.structs.replace(told(app, "call", due, ago_s=165), due_at=app.clock.at() - 5 * SECOND))
    assert app.selfcheck.quantities()["notifications_waiting_s"] == pytest.approx(5, abs=4)
    tried = msgspec.structs.replace(
        told(app, "tried", due, ago_s=130), attempt=3, due_at=app.clock.at() + hour * SECOND
    )
    put(app, tried)
    assert app.selfcheck.quantities()["notifications_waiting_s"] == pytest.approx(130, abs=5)


def test_payloads_refused_within_the_hour(tmp_path, started, monkeypatch):
    app = started(site(tmp_path, 1), speed=1.0)
    junk = [Message(f"site/street/stranger-{number}", b"{}") for number in range(7)]
    assert app.pipeline.deliver(Delivery(0, (), junk))
    until(lambda: app.selfcheck.quantities()["quarantined_per_hour"] == 7)
    at = app.clock.at
    monkeypatch.setattr(app.clock, "at", lambda: at() + 3601 * SECOND)
    assert app.selfcheck.quantities()["quarantined_per_hour"] == 0


def test_how_old_what_a_sink_has_not_taken_is(tmp_path, started, monkeypatch):
    app = started(site(tmp_path, 1), speed=1.0)
    app.pipeline.stop()
    first = app.store.position()
    put(app)
    at = app.clock.at
    monkeypatch.setattr(app.clock, "at", lambda: at() + 700 * SECOND)
    put(app)
    standing = {
        "influx": Standing(2, 0, "away", first),
        "archive": Standing(1, 0, "", first + 1),
    }
    app.selfcheck._parts = replace(app.selfcheck._parts, standing=lambda: standing)
    said = app.selfcheck.quantities()
    assert said["database_behind_s"] == pytest.approx(700, abs=5)
    assert said["archive_behind_s"] == pytest.approx(0, abs=5)
    standing["influx"] = Standing(0, 9, "", first)  # nothing owed, however old the last one is
    assert app.selfcheck.quantities()["database_behind_s"] == 0


def test_the_brokers_certificate(tmp_path, started):
    """Valid for a day: shown at the handshake, counted from then on."""
    certificates.forget()
    shown = make_certificates(tmp_path / "certificates")
    with Mosquitto(tmp_path, certificates=shown) as broker:
        path = site(tmp_path, broker.port)
        path.write_text(
            path.read_text().replace("client_id: alone", f"client_id: alone, ca_file: {shown.ca}")
        )
        app = started(path, speed=1.0)
        until(lambda: app.subscriber.connected)
        assert 0.5 < app.selfcheck.quantities()["certificate_days"] < 1.5
    certificates.forget()


def test_a_provider_that_fails_is_told_by_the_gateway_itself(tmp_path, started):
    """On /readyz, on the console, and as the case that its own rule opens."""
    path = site(tmp_path, 1)
    app = started(path)
    reliability = next(one for one in app.notifier.workers if one.failing() == [])._reliability
    for _ in range(2):
        reliability.learn(Answer(Told.REFUSED, "no money left"), app.clock.at())
    assert app.selfcheck.quantities()["channels_failing"] == 1
    assert app.health().failing == ("inbox",)
    with urllib.request.urlopen(f"http://127.0.0.1:{app.web.port}/", timeout=10) as page:
        assert "失败：inbox" in page.read().decode()
    with pytest.raises(urllib.error.HTTPError) as unready:  # there is no broker
        urllib.request.urlopen(f"http://127.0.0.1:{app.web.port}/readyz", timeout=10)
    assert json.loads(unready.value.read())["channels_failing"] == ["inbox"]
