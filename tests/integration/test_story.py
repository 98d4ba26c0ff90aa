"""Issue 5, "Done when", as one evening of the demo: nothing but real parts, and people who press buttons.

A slot of a charging cabinet burns. The property firm's man looks away, the grid's post is empty, the
committee's head takes it on, calls it done too early, and somebody else has to agree before it is closed.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import config, demo
from gateway.core.model import SECOND
from gateway.reporting.tables import lasted
from tests.integration.playing import Demo, Item
from tests.waiting import until

CABINET = "site/xincun-1-power/cabinet-xincun-1-1/up"
SLOT, LIMIT_C = 3, 75.0  # of rule slot-hot, red
REACHED_S = 2.0  # the promise: from the message that crosses the limit to the person's phone
AT_ONCE_S = 1.0  # an empty post costs no more
STAGE_S = 60.0  # of ours, for what takes minutes of the street's time
STAGES = (  # of the case that ends it, in their order, each with its instant
    "found", "red", "sent", "overdue", "undelivered", "post_empty", "escalated", "acknowledged", "bounced",
    "cleared", "handled", "confirmed", "closed",
)  # fmt: skip
SHOWN = ("正在通知", "等待接手", "已接手", "处理中", "待传感器核验", "已结案")  # of them what is a stage


class Ear:
    """When the broker handed out the first message that says more than the limit, in time.monotonic()."""

    def __init__(self, port: int) -> None:
        self.crossed_s = 0.0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ear", protocol=paho.MQTTv311)
        subscribed = threading.Event()
        self._client.on_connect = lambda *_: self._client.subscribe(CABINET, 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _c, _d, message: self._hear(json.loads(message.payload))
        self._client.connect(demo.HOST, port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def _hear(self, said: dict[str, Any]) -> None:
        slots = {one["no"]: one["t"] for one in said["slots"]}
        if not self.crossed_s and slots.get(SLOT, 0.0) > LIMIT_C:
            self.crossed_s = time.monotonic()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def playing(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def ear(playing: Demo) -> Iterator[Ear]:
    playing.shows("的手机", 60)
    loaded = config.load(playing.folder / "lilong.yaml")
    assert loaded.config is not None
    found = Ear(loaded.config.broker.port)
    yield found
    found.close()


def test_the_right_person_is_told_answers_and_the_matter_is_closed(playing: Demo, ear: Ear) -> None:
    wang, sun, wu = (playing.phone(person) for person in ("wang", "sun", "wu"))

    told = wang.waits_for("card", "升级为红色报警】充电仓过热", STAGE_S)
    assert ear.crossed_s > 0.0 and told["at_s"] - ear.crossed_s < REACHED_S, "on his phone in time"
    wang.waits_for("sms", "升级为红色报警", STAGE_S)  # by both ways of the first step

    # He looks away: he is called, and does not answer.
    call = wang.waits_for("call", "按1接手", STAGE_S)
    until(lambda: wang.again(call)["state"] == "未接来电", STAGE_S)
    missed_s = time.monotonic()

    # The grid's post is empty: whoever stands above it is told at once, and the gap is told.
    card = sun.waits_for("card", "无人响应", STAGE_S)
    assert card["at_s"] - missed_s < AT_ONCE_S
    case = playing.case_of(card)
    gap = wu.waits_for("card", "岗位空缺", STAGE_S)
    assert "网格" in gap["text"] and gap["at_s"] - card["at_s"] < AT_ONCE_S

    # Taken on by the button of the card; every card of the case says so.
    assert card["buttons"] == {"acknowledge": "收到"}
    sun.press(card, "acknowledge")
    until(lambda: "acknowledged" in playing.history(case))
    cards = [one for phone in (wang, sun, wu) for one in phone.items("card") if one["number"]]
    ours = [one for one in cards if playing.case_of(one) == case]
    assert {one["owner"] for one in ours} == {"wang", "sun", "wu"}
    until(lambda: all(one["state"] == "已由孙主任接手" for one in current(playing, ours)))

    # "Done", while it still burns: it comes back to her.
    playing.press(sun.open(card), "已处理")
    assert playing.history(case)[-1] == "bounced"
    sun.waits_for("card", "仍未恢复", STAGE_S)
    assert "请再到现场查看" in sun.open(card)

    # The sensor is normal; done again, and now somebody else must look: not she herself.
    until(lambda: "cleared" in playing.history(case), STAGE_S)
    playing.press(sun.open(card), "已处理")
    until(lambda: "handled" in playing.history(case))
    refused = playing.lilong("act", case, "verify", "--person", "sun")
    assert refused.returncode != 0 and "handled it himself" in refused.stderr
    assert "核验通过</button>" not in sun.open(card) and "closed" not in playing.history(case)

    # The duty officer of the street has been asked, looks, and agrees: that closes it.
    asked = wu.waits_for("card", "核验", STAGE_S)
    playing.press(wu.open(asked), "核验通过")
    entries = playing.entries(case)
    assert [one["what"] for one in entries][-1] == "closed"
    in_order(entries)
    assert len(wang.items("call")) == 1 and not wu.items(said="无人响应"), "nobody else once it was hers"
    shown_with_its_times(playing, case, entries)
    counted(playing)
    whole = playing.lilong("audit", "verify")
    assert whole.returncode == 0 and whole.stdout.startswith("ok: "), whole.stderr
    assert playing.end() == 0


def current(playing: Demo, items: list[Item]) -> list[Item]:
    return [playing.phone(one["owner"]).again(one) for one in items]


def shown_with_its_times(playing: Demo, case: str, entries: list[Item]) -> None:
    """`lilong show CASE --stages`, as its user reads it: every stage, since when, how long, by whom, late."""
    shown = playing.lilong("show", case, "--stages")
    assert shown.returncode == 0, shown.stderr
    print(shown.stdout)
    rows = [re.split(r"  +", line.strip()) for line in shown.stdout.splitlines() if line.startswith("20")]
    left = iter(rows)
    for stage in SHOWN:
        assert any(row[1] == stage for row in left), f"{stage} is not where it should be"
    zone = ZoneInfo(demo.ZONE)
    said = {f"{datetime.fromtimestamp(one['wall_ns'] // SECOND, zone):%Y-%m-%d %H:%M:%S}" for one in entries}
    assert {row[0] for row in rows} <= said, "each begins with a line of the audited history"
    for row, after in pairwise(rows):
        took_s = (clock(after[0]) - clock(row[0])).total_seconds()  # of instants without their fractions
        assert row[2] in {lasted(max(took_s + more, 0.0)) for more in (-1, 0, 1)}, row
    assert "孙主任" in {cell for row in rows for cell in row[3:]} and "逾期" in {row[-1] for row in rows}


def clock(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")


def counted(playing: Demo) -> None:
    """`lilong report --json`: the case is one of its figures, each leg with the time it took."""
    report = playing.lilong("report", "--json")
    assert report.returncode == 0, report.stderr
    total = json.loads(report.stdout)["total"]
    print(json.dumps(total))
    assert total["closed"] >= 1 and total["found"] >= total["closed"]
    for leg in ("sent", "acknowledged", "handled", "verified", "closed"):
        assert total["stages"][leg]["cases"] >= 1 and total["stages"][leg]["median_s"] > 0.0, leg


def in_order(entries: list[Item]) -> None:
    """Every stage is there, one after the other, each with an instant that is not before the last."""
    print(*(f"{one['wall_ns'] / SECOND:.1f} {one['what']} {one['person']}" for one in entries), sep="\n")
    left = iter(entries)
    for stage in STAGES:
        assert any(one["what"] == stage for one in left), f"{stage} is not where it should be"
    instants = [one["wall_ns"] for one in entries]
    assert instants == sorted(instants) and all(instants)
