"""`lilong why` and `why-not` on a real store and a real archive, as a person types them."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from gateway.adapters.archive import ArchiveSink
from gateway.adapters.clock import Clock
from gateway.adapters.store import Checkpoint, Logged, Record, Store
from gateway.cli import main
from gateway.config import ArchiveConfig, load
from gateway.core import state as states
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.lines import Batch, Formatter
from gateway.core.model import SECOND, Link, Marked, Message, Messages, Outcome, Told
from gateway.core.state import State
from gateway.links import Grant, Links, Purpose
from gateway.web import Deps, Health, WebServer, create_app
from tests.unit.config_files import write
from tests.unit.worlds import of

TUNED = """\
tune:
  - {rule: slot-hot, device: cab-1, levels: {yellow: {above: 52, clear_below: 48}}, because: 靠西墙}
"""
TOPIC = "site/estate/cab-1/up"


class Site:
    """What the gateway would leave behind: every event committed, every reading archived."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        loaded = load(folder / "lilong.yaml", "en")
        assert loaded.config is not None and loaded.world is not None, loaded.problems
        self.world, self.store = loaded.world, Store(loaded.config.state)
        self.engine = Engine(self.world, State(identity=self.store.identity))
        self.formatter = Formatter(self.world, Decoder(self.world).decode)
        self.sink = ArchiveSink(
            ArchiveConfig(directory=loaded.config.archive.directory), self.world.timezone, Clock(0, 0)
        )
        self.saved, self.start_ns, self.at = b"", time.time_ns() - 3600 * SECOND, 0
        self.give(Link(0, self.start_ns, True))

    def give(self, event) -> list:
        effects = self.engine.step(event)
        record = Record(event, effects, self.engine.readings if isinstance(event, Messages) else ())
        first = self.store.commit([record], world=msgspec.msgpack.encode(self.world))
        logged = Logged(first, event, of(effects, Marked), [])
        self.saved = self.sink.take(self.saved, Batch((self.formatter.format(logged),))).state
        return effects

    def say(self, celsius: float, after_s: float = 30.0, slot: int = 3) -> list:
        self.at += int(after_s * SECOND)
        wall_ns = self.start_ns + self.at
        heat = celsius * 1.8 + 32
        body = {"ts": wall_ns // 1_000_000, "smoke": 0, "slots": [{"no": slot, "t": heat}]}
        return self.give(Messages(self.at, wall_ns, [Message(TOPIC, json.dumps(body).encode())]))

    def checkpoint(self) -> None:
        wall_ns = self.start_ns + self.at
        body = states.save(self.engine.state)
        self.store.commit([], Checkpoint(self.store.position(), self.at, wall_ns, body))


@pytest.fixture
def site(tmp_path: Path):
    write(tmp_path)
    write(tmp_path, {"sites/tune.yaml": TUNED})
    (tmp_path / "hook-secret").write_text("s" * 32)
    made = Site(tmp_path)
    yield made
    made.sink.close()
    made.store.close()


@pytest.fixture
def run(site: Site):
    def runs(*words: str, lang: str = "C.UTF-8"):
        env = {"LANG": lang, "LC_ALL": None, "LC_MESSAGES": None}
        env["LILONG_CONFIG"] = str(site.folder / "lilong.yaml")
        return CliRunner().invoke(main, words, env=env)

    return runs


def hot(site: Site) -> str:
    """Yellow after a minute beyond 52; the one message is accepted. Returns the alert's id."""
    for celsius in (40, 41, 53, 54, 54.5, 55):
        effects = site.say(celsius)
    (told,) = [one for one in site.engine.state.notifications.values()]
    site.give(Outcome(site.at, site.start_ns + site.at, told.id, Told.ACCEPTED))
    assert effects is not None
    return next(iter(site.engine.state.alerts))


def test_everything_about_an_alert_in_one_view(site: Site, run) -> None:
    alert = hot(site)
    ran = run("why", alert)
    said = ran.stdout.replace(f"{site.folder}/", "")
    assert ran.exit_code == 0, ran.output
    for words in (
        "yellow 充电仓过热 · cab-1 slot-3 · ",
        "rule: slot-hot rules/all.yaml:2",
        "value: slot_temperature_c 54 > 52",
        "yellow  above           52 ℃   sites/tune.yaml:2  靠西墙",
        "yellow  hold            60 s   rules/all.yaml:7   -",
        "▁▁▇▇▇█  40 … 55",
        "slot_temperature_c  54.5  good",
        "yellow  > 52 ℃  firing",
        "yellow  仓温度 54 ℃（限 52 ℃）",
        "raised  wang  inbox  accepted",
    ):
        assert words in said, said
    assert "changed since" not in said
    assert run("why", alert[-6:]).stdout == ran.stdout, "the end of an id is enough"
    (case,) = site.engine.state.cases
    assert run("why", case).stdout == ran.stdout, "a case is its own rule's alert"
    assert "触发前后的读数" in run("why", alert, lang="zh_CN.UTF-8").stdout
    assert json.loads(run("why", alert, "--json").stdout)["alert"]["id"] == alert


def test_that_the_files_have_changed_since_is_said(site: Site, run) -> None:

    import msgspec

    alert = hot(site)
    other = msgspec.msgpack.encode(replace(site.world, digest="another"))
    site.store.commit([], world=other)
    assert "the files have changed since" in run("why", alert).stdout


def test_no_such_alert(site: Site, run) -> None:
    ran = run("why", "nothing")
    assert ran.exit_code == 1 and ran.output == "lilong: no such alert or case: nothing\n"


def test_why_not_by_the_very_log(site: Site, run) -> None:
    site.say(40)
    site.checkpoint()
    site.say(53)
    site.say(53)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((site.start_ns + site.at) / SECOND + 8 * 3600 + 10))
    ran = run("why-not", "cab-1", "slot-hot", "--component", "slot-3", "--at", at)
    assert "[not_long]" in ran.stdout and "the log is gone" not in ran.stderr, ran.output
    answer = json.loads(
        run("why-not", "cab-1", "slot-hot", "--component", "slot-3", "--at", at, "--json").stdout
    )[0]
    assert answer["exact"] and answer["levels"][0]["limit"] == "> 52 ℃"
    other = msgspec.msgpack.encode(replace(site.world, digest="another"))
    site.store.commit([], world=other)
    judged_by_another = run("why-not", "cab-1", "slot-hot", "--component", "slot-3", "--at", at)
    assert "the log is gone" in judged_by_another.stderr
    later = run("why-not", "cab-1", "slot-hot", "--component", "slot-3")
    assert "the log is gone" in later.stderr, "nothing ran meanwhile: the log tells nothing of an hour later"


def test_why_not_by_the_archive_where_the_log_is_gone(site: Site, run) -> None:
    site.say(40)
    site.say(49.5)
    site.store.trim(site.store.position())
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((site.start_ns + site.at) / SECOND + 8 * 3600 + 10))
    ran = run("why-not", "cab-1", "slot-hot", "--at", at)
    assert "→ not beyond the limit: 49.5 ℃, yellow is > 52 ℃, 2.5 ℃ short [not_beyond]" in ran.stdout
    assert "cab-1 slot-3 · slot-hot" in ran.stdout and "the log is gone" in ran.stderr
    assert "unsaid" in ran.stdout, "the seven others"


def test_why_not_points_at_what_did_fire(site: Site, run) -> None:
    alert = hot(site)
    assert f"see lilong why {alert} [fired]" in run("why-not", "cab-1", "slot-hot").stdout
    assert "[unsaid]" in run("why-not", "cab-1", "slot-hot", "--component", "slot-4").stdout


def test_a_rule_that_is_off_is_known_with_its_line(site: Site, run) -> None:
    rules = (site.folder / "rules" / "all.yaml").read_text()
    (site.folder / "rules" / "all.yaml").write_text(
        rules.replace("- id: bag\n", "- id: bag\n    mode: off\n")
    )
    off = load(site.folder / "lilong.yaml", "en").world
    assert off is not None
    site.store.commit([], world=msgspec.msgpack.encode(off))
    said = run("why-not", "cam-1", "bag").stdout.replace(f"{site.folder}/", "")
    assert "→ the rule is switched off (mode: off, rules/all.yaml:14) [off]" in said


def test_a_wrong_instant_is_said(site: Site, run) -> None:
    ran = run("why-not", "cab-1", "slot-hot", "--at", "yesterday")
    assert ran.exit_code == 1 and "--at yesterday: expected 2026-11-22T14:05" in ran.output


def test_the_console_says_why(site: Site) -> None:
    """Limits as sentences, the rule's line, the command that knows the rest; a link shows none of it."""
    alert = hot(site)
    (case,) = site.engine.state.cases
    deps = Deps(
        reader=site.store.reader, world=lambda: site.world, submit=lambda make: Future(),
        links=Links([b"k" * 32]),
        health=lambda: Health(progressing=True, broker=True, store_writable=True),
    )  # fmt: skip
    web = WebServer(create_app(deps), "127.0.0.1", 0)
    web.start()
    try:
        here = f"http://127.0.0.1:{web.port}"
        page = httpx.get(f"{here}/case/{case}", trust_env=False).text
        until_s = int(time.time()) + 100
        grant = Grant(case=case, person="wang", purpose=Purpose.SHOW, expires_s=until_s, nonce="n")
        public = httpx.get(f"{here}/c/{deps.links.token(grant)}", trust_env=False).text
    finally:
        web.stop()
    assert "为什么报警" in page and f"lilong why {alert}" in page and "rules/all.yaml:2" in page
    assert "仓温度高于 52 ℃，持续 1 分钟：黄色提示" in page, "as it is tuned"
    assert "充电仓过热" in public and "rules/all.yaml" not in public
