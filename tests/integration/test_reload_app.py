"""`lilong reload` again and again while a real publisher speaks through a real broker."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.app import App
from gateway.cli import main
from gateway.core.model import AlertState, Messages
from tests.servers.mosquitto import Mosquitto
from tests.servers.publisher import publish
from tests.waiting import until

RELOADS = 30
DEVICES = 20
PAUSE_S = 0.05  # beyond ten a second a cabinet would flood, and what it repeats be let go
SETTINGS = """
state: state
directories: {devices: [builtin], rules: [rules], sites: [sites]}
broker: {host: 127.0.0.1, port: %d, client_id: lilong, subscribe: [site/#]}
web: {listen: "127.0.0.1:0"}
channels: {inbox: {kind: inbox}}
"""
SITE = """
places: [{id: street, says: 枫林街道, kind: street}]
units: [{id: jw3, says: 豫源坊居委}]
persons: [{id: wang, says: 王师傅, unit: jw3, reach: {inbox: wang}}]
posts: [{role: duty, at: street, unit: jw3, person: wang, from: 2026-01-01}]
ladders:
  yellow: [{role: duty, by: [inbox]}]
  orange: [{role: duty, by: [inbox]}]
  red: [{role: duty, by: [inbox]}]
devices:
"""
DEVICE = "  - {id: cab-%d, says: 充电柜, model: cabinet-8, at: street, topic: site/cab-%d/up}\n"
RULES = """
rules:
  - id: warm
    says: 柜内偏热%s
    on: {scene: cabinet}
    when: %s
    levels: {orange: {above: %s}}
    action: 到场查看
    basis: {text: test, confidence: D}
"""
GOOD = {"A": RULES % ("甲", "temperature_c", 50), "B": RULES % ("乙", "temperature_c", 60)}
ANOTHER_QUESTION = RULES % ("丙", "smoke", 0.5)
BROKEN = "rules: ["


@pytest.fixture
def path(tmp_path):
    (tmp_path / "sites").mkdir()
    (tmp_path / "rules").mkdir()
    (tmp_path / "sites" / "street.yaml").write_text(SITE + "".join(DEVICE % (n, n) for n in range(DEVICES)))
    return tmp_path / "lilong.yaml"


def write(path: Path, text: str) -> None:
    (path.parent / "rules" / "own.yaml").write_text(text, "utf-8")


def say_reload(path: Path) -> tuple[int, str]:
    said = CliRunner().invoke(main, ["reload", "--config", str(path)])
    return said.exit_code, said.output


def words(app: App) -> str:
    return app.pipeline.engine.world.rules[0].says


def feed(port: int, sent: list[bytes], enough: threading.Event) -> None:
    """cab-0 is always too warm, the others never; every payload is another one."""
    pause = threading.Event()
    while not enough.is_set():
        some = []
        for number in range(DEVICES):
            warm = 70 if number == 0 else 30
            body = json.dumps({"temperature": warm, "smoke": 0, "n": len(sent) + number}).encode()
            some.append((f"site/cab-{number}/up", body))
        publish(port, some)
        sent += [body for _, body in some]
        pause.wait(PAUSE_S)


def test_thirty_reloads_while_a_broker_speaks(path, tmp_path):
    write(path, GOOD["A"])
    with Mosquitto(tmp_path) as broker:
        path.write_text(SETTINGS % broker.port, "utf-8")
        app = App(path, "en")
        app.start()
        try:
            spoken_through(app, broker, path)
        finally:
            app.stop()


def spoken_through(app: App, broker: Mosquitto, path: Path) -> None:
    until(lambda: app.pipeline.engine.state.link_up, what="the broker")
    sent, enough = list[bytes](), threading.Event()
    feeder = threading.Thread(target=feed, args=[broker.port, sent, enough])
    feeder.start()
    try:
        until(lambda: app.pipeline.engine.state.alerts)
        for number in range(RELOADS):
            one_reload(app, path, number)
    finally:
        enough.set()
        feeder.join(30)
    said = lambda: [m.payload for one in app.store.read_log(0, app.store.position()) for m in items(one)]  # noqa: E731
    until(lambda: len(said()) >= len(sent), 20, "all that was published")
    assert len(sent) > RELOADS * DEVICES // 4, "it spoke all the while"
    assert said() == sent, "each once, in order"
    (alert,) = app.pipeline.engine.state.alerts.values()
    rows = app.store.reader().execute("SELECT id, state FROM alert").fetchall()
    assert [tuple(row) for row in rows] == [(alert.id, AlertState.FIRING)], "one alert from first to last"


def items(one):
    return one.event.items if isinstance(one.event, Messages) else []


def one_reload(app: App, path: Path, number: int) -> None:
    """Every tenth is broken, every tenth asks another question of a standing alert: both change nothing."""
    before = words(app)
    if number % 10 in (3, 7):
        write(path, BROKEN if number % 10 == 3 else ANOTHER_QUESTION)
        code, said = say_reload(path)
        assert code == 1 and ("if_changed" in said) == (number % 10 == 7), said
        assert words(app) == before and not app.health().config_ok
        return
    write(path, GOOD["AB"[number % 2]])
    code, said = say_reload(path)
    assert code == 0 and said.endswith("ok\n"), said
    assert words(app) == f"柜内偏热{'甲乙'[number % 2]}" and app.health().config_ok
