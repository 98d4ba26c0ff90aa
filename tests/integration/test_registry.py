"""The registry with the whole gateway running: an import takes effect, a stranger's kept data comes in."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import telemetry
from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import open_reader
from gateway.app import App
from gateway.cli import main
from gateway.core.calendars import local_date
from gateway.core.model import Calendar, During, Message, Tick

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example"
SETTINGS = """
state: state
broker: {host: 127.0.0.1, port: 1, client_id: nobody-listens, subscribe: [site/#, application/#]}
web: {listen: "127.0.0.1:0", intake: {tokens_file: tokens}}
channels: {%s}
"""
TOPIC = "site/yuyuan-lane-shed/smoke-new/up"


@pytest.fixture
def folder(tmp_path):
    """A complete site whose broker does not answer."""
    shutil.copytree(EXAMPLE / "sites", tmp_path / "sites")
    (tmp_path / "tokens").write_text(f"report-yuyuan token {'a-token-' * 4}\n")
    (tmp_path / "tokens").chmod(0o600)
    names = ("inbox", "duty-robot", "street-hook")
    (tmp_path / "lilong.yaml").write_text(SETTINGS % ", ".join(f"{name}: {{kind: inbox}}" for name in names))
    return tmp_path


@pytest.fixture
def app(folder):
    found = App(folder / "lilong.yaml", "en")
    found.start()
    yield found
    found.stop()


@pytest.fixture
def lilong(folder):
    def run(*words: str):
        env = {"LANG": "C.UTF-8", "LC_ALL": None, "LILONG_CONFIG": str(folder / "lilong.yaml")}
        return CliRunner().invoke(main, words, env=env)

    return run


def deliver(app: App, *messages: Message) -> None:
    assert app.pipeline.deliver(Delivery(0, [0] * len(messages), list(messages)))
    app.pipeline.submit_in_order(Tick).result(10)  # whatever came before it is committed


def say_smoke(app: App, sequence: int) -> None:
    said = {"device": "smoke-new", "seq": sequence, "smoke": "alarm"}
    deliver(app, Message(TOPIC, json.dumps(said).encode()))


def rows(folder: Path, query: str) -> list[tuple]:
    with closing(open_reader(folder / "state" / "lilong.db")) as db:
        return [tuple(row) for row in db.execute(query)]


def kept(folder: Path) -> list[tuple]:
    return rows(folder, "SELECT code, state FROM quarantine ORDER BY id")


def test_a_stranger_pages_nobody_until_it_is_ours_and_never_for_what_it_said_before(folder, app, lilong):
    """Smoke in quarantine is a stranger's word; adopted, it is stored as of then; new smoke rings."""
    say_smoke(app, 1)
    say_smoke(app, 2)
    assert kept(folder) == [("unknown_device", "kept")] * 2
    assert f"{TOPIC}  2" in lilong("devices", "unknown").stdout
    words = ["--as", "smoke-new", "--model", "shed-smoke", "--at", "yuyuan-lane-shed"]
    ran = lilong("devices", "adopt", TOPIC, *words)
    assert ran.exit_code == 0 and "2 kept messages taken, 0 still refused" in ran.output
    assert kept(folder) == [("unknown_device", "replayed")] * 2
    assert "smoke-new" in app.pipeline.engine.world.devices
    assert rows(folder, "SELECT id FROM cases") == [], "for smoke of yesterday nobody is woken"
    say_smoke(app, 3)
    assert rows(folder, "SELECT device FROM cases") == [("smoke-new",)]


def test_a_bad_table_changes_nothing_in_the_running_gateway(folder, app, lilong):
    before = app.pipeline.engine.world
    (folder / "in.csv").write_text(
        "id,model,at,topic\na,shed-smoke,yuyuan-lane-shed,site/a\nb,none,c,site/b\n"
    )
    assert lilong("devices", "import", str(folder / "in.csv")).exit_code == 1
    assert app.pipeline.engine.world is before and app.health().config_ok
    (folder / "in.csv").write_text("id,model,at,topic\na,shed-smoke,yuyuan-lane-shed,site/a\n")
    assert lilong("devices", "import", str(folder / "in.csv")).exit_code == 0
    assert "a" in app.pipeline.engine.world.devices


WALL = "site/yuyuan-lane-7/house-yuyuan-7-east/up"


def say_crack(app: App, sequence: int, mm: float) -> float:
    """What the gateway makes of what the wall's box says."""
    tilt = {"x": 0.12, "y": -0.24}
    said = {"device": "house-yuyuan-7-east", "seq": sequence, "tilt": tilt, "crack": mm}
    deliver(app, Message(WALL, json.dumps(said).encode()))
    (reading,) = app.pipeline.engine.readings[-1]
    return reading.values["crack_mm"]


def test_a_gauge_that_was_mounted_anew_goes_on_where_it_was(folder, app, lilong):
    assert say_crack(app, 1, 2.6) == 2.6
    words = ["--was", "2.6", "--reads", "0.1"]
    ran = lilong("devices", "rezero", "house-yuyuan-7-east", "crack_mm", *words)
    assert ran.exit_code == 0 and "the gateway has taken it" in ran.output, ran.output
    assert say_crack(app, 2, 0.1) == pytest.approx(2.6)


def test_who_is_overdue_is_said_every_morning(folder, app, lilong):
    (folder / "sites" / "calibrations.csv").write_text(
        "device,quantity,from,due\nhouse-yuyuan-7-east,crack_mm,2020-01-01T00:00,2020-12-31\n"
    )
    assert lilong("reload").exit_code == 0
    with telemetry.testing() as seen:
        app._remind()
    (said,) = (one for one in seen if one.event != "calendar_year_missing")  # as it is each November
    assert said.event == "calibration_overdue" and said.fields["device"] == "house-yuyuan-7-east"


def test_a_year_that_nobody_has_told_is_said_every_morning(app):
    asks = replace(app.world.rules[0], during=During(days=("workdays",)))
    app.world = replace(app.world, rules=(asks,), calendar=Calendar())
    with telemetry.testing() as seen:
        app._remind()
    year = local_date(app.clock.wall_ns(), app.world.timezone).year
    assert {said.event for said in seen} == {"calendar_year_missing"}
    assert seen[0].fields["reason"] == str(year)
