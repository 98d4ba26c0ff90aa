"""The registry with the whole gateway running: an import takes effect, a stranger's kept data comes in."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.adapters.mqtt import Delivery
from gateway.adapters.store import open_reader
from gateway.app import App
from gateway.cli import main
from gateway.core.model import Message, Tick

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example"
SETTINGS = """
state: state
broker: {host: 127.0.0.1, port: 1, client_id: nobody-listens, subscribe: [site/#, application/#]}
web: {listen: "127.0.0.1:0"}
channels: {%s}
"""
TOPIC = "site/yuyuan-lane-shed/smoke-new/up"


@pytest.fixture
def folder(tmp_path):
    """A complete site whose broker does not answer."""
    shutil.copytree(EXAMPLE / "sites", tmp_path / "sites")
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
