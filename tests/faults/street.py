"""The street of the fault tests: 90 devices, three rules, one person; and the script its devices play.

The script is the truth that a checker compares with: every message ever sent, who must be told of whom, and
whose near-miss must stay silent. It is drawn from a seed.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 5.0  # of every rule
STEEP_HOLD_S, LASTING_HOLD_S = 20, 2
CROSSINGS, NEARLY = 27, 13  # devices of each kind below; the rest is never remarkable
DEVICES = 90  # the shipped broker profile lets a hundred in on its plain listener

Message = tuple[str, bytes]  # topic, payload
Sample = tuple[str, int]  # device, its own instant in us: no device says two things at once

MODEL = """\
says: 故障试验节点
scene: structure
source: tests/faults, made up for breaking things
codec: {kind: json, time: ts, time_unit: us, sequence: seq, identity: id}
expect_every: 1h
examples:
  - {payload: '{"id":"d00","ts":1795284000123456,"seq":1,"x":1.25}', readings: [{tilt_x_deg: 1.25}]}
fields:
  - {quantity: tilt_x_deg, path: x}
  - {quantity: tilt_y_deg, path: y}
  - {quantity: crack_mm, path: crack}
  - {quantity: temperature_c, path: mark}
"""
RULES = f"""\
rules:
  - id: spike
    says: 一次越限即报
    on: {{scene: structure}}
    when: tilt_x_deg
    levels: {{red: {{above: {LIMIT}}}}}
    basis: {{text: made up for breaking things, confidence: D}}
    action: 到场查看
    respond_within: 10m
    consequence: none
    owner: 无人
  - id: lasting
    says: 持续越限才报
    on: {{scene: structure}}
    when: crack_mm
    levels: {{red: {{above: {LIMIT}, hold: {LASTING_HOLD_S}s}}}}
    basis: {{text: made up for breaking things, confidence: D}}
    action: 到场查看
    respond_within: 10m
    consequence: none
    owner: 无人
  - id: steep
    says: 长时间越限才报
    on: {{scene: structure}}
    when: tilt_y_deg
    levels: {{red: {{above: {LIMIT}, hold: {STEEP_HOLD_S}s}}}}
    basis: {{text: made up for breaking things, confidence: D}}
    action: 到场查看
    respond_within: 10m
    consequence: none
    owner: 无人
"""
PEOPLE = """\
places:
  - {id: yard, says: 试验场, kind: street}
units:
  - {id: firm, says: 试验物业}
persons:
  - {id: keeper, says: 值班员, unit: firm, reach: {hook: duty}}
join_within: 0s # each alarm has a message of its own, so that none can hide another's loss
posts:
  - {role: duty, at: yard, unit: firm, person: keeper, from: "2020-01-01"}
ladders:
  yellow: [{role: duty, by: [hook]}]
  orange: [{role: duty, by: [hook]}]
  red: [{role: duty, by: [hook]}]
"""
NAMES = [f"d{number:02}" for number in range(DEVICES)]


def write_street(folder: Path) -> None:
    """devices/, rules/ and sites/ below `folder`."""
    devices = [f"  - {{id: {n}, says: {n}, model: node, at: yard, topic: {topic_of(n)}}}\n" for n in NAMES]
    files = {
        "devices/node.yaml": MODEL,
        "rules/faults.yaml": RULES,
        "sites/people.yaml": PEOPLE,
        "sites/devices.yaml": "devices:\n" + "".join(devices),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")


def topic_of(device: str) -> str:
    return f"site/yard/{device}/telemetry"


@dataclass(slots=True)
class Script:
    """Every device in turn, each message later than its last one. `rounds`: messages of each device.

    27 devices spike above the limit for two samples; 27 rise and stay there; 13 touch the limit and do not
    cross it; 13 cross it for one sample of a rule that wants twenty seconds. (Two: a single one that comes
    more than ten seconds late, and is taken back by the next, is told to nobody by design.)
    """

    seed: int
    rounds: int
    truth: dict[Sample, float] = field(default_factory=dict)  # everything that was ever said -> its mark
    spoke_at: dict[str, float] = field(default_factory=dict)  # steady instant of a device's crossing
    said: int = 0  # rounds so far
    _turns: dict[str, int] = field(default_factory=dict)  # device -> the round in which it acts
    _last_us: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lots = random.Random(self.seed)
        # Not in the first rounds (there must be a before), nor so late that no hold could end.
        self._turns = {name: lots.randrange(self.rounds // 20, self.rounds * 3 // 4) for name in NAMES}

    @property
    def expected(self) -> frozenset[str]:
        """Devices of which a person must be told, each once."""
        return frozenset(NAMES[: 2 * CROSSINGS])

    @property
    def left(self) -> int:
        return self.rounds - self.said

    def round(self) -> Iterator[tuple[str, Message]]:
        """One message of every device, made at this very moment."""
        turn, self.said = self.said, self.said + 1
        for number, device in enumerate(NAMES):
            now_us = max(time.time_ns() // 1000, self._last_us.get(device, 0) + 1)
            self._last_us[device] = now_us
            mark = (turn * DEVICES + number) % 4000 / 10
            self.truth[device, now_us] = mark
            values = {"x": 1.5, "y": 0.5, "crack": 0.25, "mark": mark} | self._act(number, device, turn)
            body = {"id": device, "ts": now_us, "seq": turn, **values}
            yield device, (topic_of(device), json.dumps(body).encode())

    def _act(self, number: int, device: str, turn: int) -> dict[str, float]:
        """What is remarkable about this device now."""
        now, its_turn = turn == self._turns[device], turn >= self._turns[device]
        if now:
            self.spoke_at[device] = time.monotonic()
        if number < CROSSINGS:
            return {"x": LIMIT + 0.01} if 0 <= turn - self._turns[device] < 2 else {}
        if number < 2 * CROSSINGS:
            return {"crack": LIMIT + 0.01} if its_turn else {}
        if number < 2 * CROSSINGS + NEARLY:
            return {"x": LIMIT} if now else {}
        return {"y": LIMIT + 20} if now and number < 2 * (CROSSINGS + NEARLY) else {}
