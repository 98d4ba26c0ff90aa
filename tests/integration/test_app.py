"""The whole gateway in one process: starting, reloading, stopping, and starting again on what it left."""

import os
import shutil
import signal
import sqlite3
import threading
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from gateway import app as apps
from gateway import telemetry
from gateway.adapters.store import StoreBusy
from gateway.app import App, ConfigurationRefused, StillUnderWay
from gateway.cli import main
from gateway.config import load
from gateway.control import ControlError, ask
from gateway.core.model import Tick
from gateway.links import Grant, Purpose
from gateway.problems import ConfigError, say
from gateway.signatures import make_key, signed
from gateway.web.rows import open_cases
from tests.pictures import png
from tests.waiting import until

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example"
SETTINGS = """
state: state
directories: {devices: [builtin], rules: [builtin, rules], sites: [sites]}
broker: {host: 127.0.0.1, port: 1, client_id: nobody-listens, subscribe: [site/#, application/#]}
web: {listen: "127.0.0.1:%d", intake: {tokens_file: tokens}}
channels: {inbox: {kind: inbox}, duty-robot: {kind: inbox}, street-hook: {kind: inbox}}
"""
TOKEN = "t0ken-of-report-yuyuan"
RULE = """
rules:
  - id: too-warm
    says: 柜内偏热
    on: {scene: cabinet}
    when: temperature_c
    levels: {yellow: {above: %s}}
    action: 到场查看
    basis: {text: test, confidence: D}
"""


@pytest.fixture
def folder(tmp_path):
    """A complete site whose broker does not answer."""
    shutil.copytree(EXAMPLE / "sites", tmp_path / "sites")
    channels = load(EXAMPLE / "lilong.yaml", "en").config.channels
    listed = ", ".join(f"{name}: {{kind: inbox}}" for name in channels)
    (tmp_path / "lilong.yaml").write_text(
        SETTINGS.replace(
            "inbox: {kind: inbox}, duty-robot: {kind: inbox}, street-hook: {kind: inbox}", listed
        )
        % 0
    )
    (tmp_path / "tokens").write_text(f"report-yuyuan token {TOKEN}\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(RULE % 35)
    return tmp_path


@pytest.fixture
def start(folder):
    apps = []

    def started():
        app = App(folder / "lilong.yaml", "en")
        apps.append(app)
        app.start()
        return app

    yield started
    for app in apps:
        app.stop()


def limit_of(app):
    return next(rule for rule in app.pipeline.engine.world.rules if rule.id == "too-warm").limits[0].above


def test_a_reload_takes_good_files_whole(folder, start):
    app = start()
    (folder / "rules" / "own.yaml").write_text(RULE % 40)
    assert app.reload() == [] and limit_of(app) == 40


def test_a_bad_file_changes_nothing_and_every_mistake_is_said(folder, start):
    app = start()
    (folder / "rules" / "own.yaml").write_text(RULE % "hot" + "  - id: too-warm\n")
    with telemetry.testing() as seen:
        problems = app.reload()
    assert limit_of(app) == 35 and not app.health().config_ok
    assert len(problems) >= 2 and {Path(problem.file).name for problem in problems} == {"own.yaml"}
    assert [said for said in seen if said.event == "reload_refused"]


def test_the_command_line_reaches_it(folder, start):
    app = start()
    (folder / "rules" / "own.yaml").write_text(RULE % 41)
    assert ask(app.config.state / "control", "reload") == [] and limit_of(app) == 41
    with pytest.raises(ControlError):
        ask(app.config.state / "control", "explode")


def test_a_pack_broken_while_we_were_down_starts_with_the_rules_before(folder, start):
    """A crash restart must not turn into an outage because somebody left a file half edited."""
    app = start()
    app.pipeline.submit(Tick).result(10)
    app.stop()
    (folder / "rules" / "own.yaml").write_text("rules: [")
    app = start()
    assert limit_of(app) == 35 and not app.health().config_ok


def test_without_a_last_good_a_broken_pack_does_not_start(folder):
    (folder / "rules" / "own.yaml").write_text("rules: [")
    with pytest.raises(ConfigurationRefused) as refused:
        App(folder / "lilong.yaml", "en")
    assert refused.value.problems
    (folder / "rules" / "own.yaml").write_text(RULE % 35)
    App(folder / "lilong.yaml", "en").store.close()


@pytest.fixture
def signed_pack(folder):
    """`rules` must be signed; writes own.yaml with a limit, signed unless told otherwise."""
    signers = f"signed: [rules], signers: {{centre: {make_key(folder / 'key')}}}, sites"
    settings = (folder / "lilong.yaml").read_text()
    (folder / "lilong.yaml").write_text(settings.replace("sites", signers, 1))

    def write(limit, anew=True):
        data = ("version: 1" + RULE % limit).encode()
        (folder / "rules" / "own.yaml").write_bytes(data)
        if anew:
            (folder / "rules" / "own.yaml.sig").write_bytes(signed("own.yaml", data, folder / "key"))

    write(35)
    return write


def test_a_pack_that_nobody_signed_changes_nothing(signed_pack, start):
    app = start()
    signed_pack(40)
    assert app.reload() == [] and limit_of(app) == 40
    signed_pack(400, anew=False)
    with telemetry.testing() as seen:
        (problem,) = app.reload()
    assert problem.code == "L112" and limit_of(app) == 40 and not app.health().config_ok
    assert [said.fields["error"] for said in seen if said.event == "reload_refused"] == [str(problem)]


def test_installing_a_pack_reaches_the_gateway_that_runs(signed_pack, folder, start):
    app = start()
    (folder / "new").mkdir()
    data = b"version: 2" + (RULE % 42).encode()
    (folder / "new" / "own.yaml").write_bytes(data)
    (folder / "new" / "own.yaml.sig").write_bytes(signed("own.yaml", data, folder / "key"))
    words = ["pack", "install", str(folder / "new" / "own.yaml"), "--yes"]
    ran = CliRunner().invoke(
        main, [*words, "--config", str(folder / "lilong.yaml")], env={"LC_ALL": "C.UTF-8"}
    )
    assert ran.exit_code == 0 and ran.output.endswith("the gateway has taken it\n"), ran.output
    assert limit_of(app) == 42 and app.health().config_ok


def test_a_pack_tampered_with_while_we_were_down_starts_with_the_rules_before(signed_pack, start):
    app = start()
    app.pipeline.submit(Tick).result(10)
    app.stop()
    signed_pack(400, anew=False)
    app = start()
    assert limit_of(app) == 35 and not app.health().config_ok
    signed_pack(40)
    assert app.reload() == [] and limit_of(app) == 40 and app.health().config_ok


def test_without_a_last_good_a_tampered_pack_does_not_start(signed_pack, folder):
    signed_pack(400, anew=False)
    with pytest.raises(ConfigurationRefused) as refused:
        App(folder / "lilong.yaml", "en")
    assert [problem.code for problem in refused.value.problems] == ["L112"]


def test_a_second_gateway_on_the_same_state_refuses(folder, start):
    app = start()
    with pytest.raises(StoreBusy):
        App(folder / "lilong.yaml", "en")
    assert app.progressing()


def test_what_is_posted_becomes_a_case(folder, start):
    """The whole way, with a broker that does not answer: post, commit, answer, rule, case."""
    app = start()
    url = f"http://127.0.0.1:{app.web.port}/intake/report-yuyuan"
    answer = httpx.post(url, json={"id": "1", "status": "open"}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()) == (200, {"ReturnCode": 0})
    until(lambda: open_cases(app.store.reader()))
    (case,) = open_cases(app.store.reader())
    assert (case.device, case.rule) == ("report-yuyuan", "person-report")


def test_a_reload_takes_new_tokens(folder, start):
    app = start()
    (folder / "tokens").write_text("works-yuyuan token another-token-0123456789")
    url = f"http://127.0.0.1:{app.web.port}/intake/works-yuyuan"
    headers = {"Authorization": "Bearer another-token-0123456789"}
    assert httpx.post(url, json={"works": "begun"}, headers=headers).status_code == 401
    app.reload()
    assert httpx.post(url, json={"works": "begun"}, headers=headers).status_code == 200


def test_a_photo_goes_through_the_whole_daemon(folder, start):
    """From the form to the disk, past the sweep of the night, over a restart."""
    app = start()
    url = f"http://127.0.0.1:{app.web.port}"
    said = {"id": "1", "status": "open"}
    post = {"headers": {"Authorization": f"Bearer {TOKEN}"}, "json": said}
    assert httpx.post(f"{url}/intake/report-yuyuan", **post).status_code == 200
    (case,) = until(lambda: open_cases(app.store.reader()))
    grant = Grant(
        case=case.id, person=min(app.world.persons), purpose=Purpose.PHOTO, expires_s=2**32, nonce="n"
    )
    door = f"{url}/c/{app.links.token(grant)}"
    assert httpx.post(door, files={"photo": ("x.png", png())}).status_code == 303
    orphan = app.photos.keep("png", png(seed=1))
    os.utime(app.photos.folder / f"{orphan.sha256}.png", (0, 0))
    night = "cron[hour='3', minute='27']"
    (job,) = [one for one in app.chores._scheduler.get_jobs() if str(one.trigger) == night]
    job.func()
    (left,) = app.photos.folder.iterdir()
    assert left.read_bytes() == png()
    app.stop()
    again = start()
    show = again.links.token(grant.but(Purpose.SHOW))
    found = httpx.get(f"http://127.0.0.1:{again.web.port}/c/{show}/{left.name}")
    assert (found.status_code, found.content, found.headers["content-type"]) == (200, png(), "image/png")


# ---------------------------------------------------------------- a reload while the disk stalls


@pytest.fixture
def stalled(start, folder, monkeypatch):
    """A running gateway with another file to take, whose next commit hangs until `go_on` is set."""
    monkeypatch.setattr(apps, "ANSWER_S", 0.3)
    app, hanging, go_on = start(), threading.Event(), threading.Event()
    app.pipeline.submit(Tick).result(10)
    commit = app.store.commit

    def hangs(*arguments):
        hanging.set()
        assert go_on.wait(20)
        return commit(*arguments)

    monkeypatch.setattr(app.store, "commit", hangs)
    (folder / "rules" / "own.yaml").write_text(RULE % 40)
    yield app, hanging, go_on
    go_on.set()


def test_a_reload_that_waits_behind_a_stall_is_taken_back_whole(stalled, folder):
    """Refused means refused: it does not come true once the disk is well again, and the next one does."""
    app, hanging, go_on = stalled
    app.pipeline.submit(Tick)
    assert hanging.wait(10)
    (problem,) = app.reload()
    assert "taken back" in str(problem) and not app.health().config_ok
    go_on.set()
    app.pipeline.submit_in_order(Tick).result(10)
    assert limit_of(app) == 35
    assert app.reload() == [] and limit_of(app) == 40 and app.health().config_ok


def test_a_reload_in_the_hands_of_the_disk_takes_over_with_it(stalled):
    """It cannot be taken back any more: nobody is told that it was, and all parts take it together."""
    app, hanging, go_on = stalled
    with telemetry.testing() as seen, pytest.raises(StillUnderWay):
        app.reload()
    assert hanging.is_set() and [said for said in seen if said.event == "reload_waits"]
    assert next(rule for rule in app.world.rules if rule.id == "too-warm").limits[0].above == 35
    go_on.set()
    until(lambda: app.health().config_ok and app.world is app.pipeline.engine.world)
    assert limit_of(app) == 40


def test_a_reload_that_what_stands_forbids_is_refused_however_late(stalled, monkeypatch):
    """Whoever asked has gone; the operator still hears that the old rules judge, and why."""
    app, _, go_on = stalled
    problem = ConfigError("rules/own.yaml", 1, "", say("store_waits", seconds=1), say("store_answers"), "en")
    monkeypatch.setattr(apps, "undeclared_edits", lambda *_: [problem])
    with pytest.raises(StillUnderWay):
        app.reload()
    with telemetry.testing() as seen:
        go_on.set()
        (said,) = until(lambda: [one for one in seen if one.event == "reload_refused"])
    assert said.fields["error"] == str(problem)
    assert limit_of(app) == 35 and not app.health().config_ok


def test_a_refusing_disk_keeps_a_reload_until_it_heals(stalled, monkeypatch):
    """Every attempt asks again, and what is asked for in between is not answered twice."""
    app, _, go_on = stalled
    monkeypatch.setattr("gateway.pipeline.STORE_RETRY_S", 0.01)
    monkeypatch.setattr(apps, "ANSWER_S", 20.0)
    go_on.set()
    commit, failures = app.store.commit, iter([sqlite3.OperationalError("disk is full")] * 3)

    def failing(*arguments):
        for failure in failures:
            raise failure
        return commit(*arguments)

    monkeypatch.setattr(app.store, "commit", failing)
    assert app.reload() == [] and limit_of(app) == 40 and next(failures, None) is None


def test_a_hangup_during_a_stall_does_not_starve_the_watchdog(stalled, monkeypatch):
    """The main thread goes on feeding it, for as long as the pipeline's own progress allows."""
    app, hanging, _ = stalled
    monkeypatch.setattr(apps, "ANSWER_S", 20.0)
    monkeypatch.setattr(apps, "BEAT_S", 0.01)
    fed = []
    monkeypatch.setattr(apps.systemd, "alive", lambda: fed.append(hanging.is_set()))
    app._on_reload(signal.SIGHUP, None)
    watching = threading.Thread(target=app._watch)
    watching.start()
    until(lambda: sum(fed) >= 20)
    app._stop.set()
    watching.join(5)
    assert not watching.is_alive()
