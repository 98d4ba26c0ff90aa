"""Faults as people make them, one at a time, in the practice street and the shipped packs.

`lilong check` names each by its code and at its line, and finds nothing in what is sound.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PROMISED = 25  # different kinds of faults, each with a code of its own
MANY = 201  # devices; the storm begins above 200

CONFIG = """\
state: state
directories: {devices: [devices], rules: [rules], sites: [site]}
broker: {host: 127.0.0.1, subscribe: ["site/#", "application/+/device/+/event/up"]}
channels: {wecom: {kind: inbox}, sms: {kind: inbox}, voice: {kind: inbox}}
"""


@dataclass(frozen=True)
class Fault:
    """`old`, which is there once or more, becomes `new` at its first place."""

    code: str
    file: str
    old: str
    new: str
    at: str = ""  # text that ends on the line where it must be told; "": where `new` begins to differ
    told_in: str = ""  # when that is in another file
    name: str = ""
    drags: bool = False  # other findings after it


STREET, CABINET, HOUSE = "site/street.yaml", "rules/cabinet.yaml", "rules/house.yaml"
BOX, TILT = "devices/cabinet-8.yaml", "devices/milesight-em310-tilt.yaml"
HEALTH, SHED, LIFT = "rules/health.yaml", "rules/shed.yaml", "rules/lift.yaml"
COPY = """\
  - id: shed-smoke-again
    says: 车棚有烟
    on: {scene: shed}
    when: smoke
    levels: {red: {above: 0.5}}
    latch: true
    basis: {text: 抄来的, confidence: D}
    action: 到场
    respond_within: 3m
    consequence: 起火
    owner: 物业

  - id: shed-silent
"""
DROP_OFF = 'windows: {drop_off: ["07:00-09:00", "18:00-20:00"]}'
CAMERAS = "devices:\n" + "".join(
    f"  - {{id: more-{n}, model: lift-camera, at: heping-b1, topic: site/heping-b1/more-{n}/event}}\n"
    for n in range(MANY)
)
SECOND = "  - {role: property, at: heping, unit: anju, person: wang, from: 2025-08-01}\n"
ACTION = "    action: 立即到车棚断开充电电源，有明火疏散并拨打119；误报也要到场复位\n"
RED = """\
  red:
    - {role: property, by: [wecom, sms]}
    - {role: committee, by: [wecom, voice], after: 2m}
"""


VERIFIED = ", verified: {sms: 2026-11-02, voice: 2026-11-02}"


def reach(member: str, number: int) -> str:
    """How the street's file writes a person's addresses."""
    return f'reach: {{wecom: {member}, sms: "1380000000{number}", voice: "1380000000{number}"}}{VERIFIED}'


FAULTS = [
    # reading the files
    Fault("L101", CABINET, "each: slot}", "each: slot", at="when: slot_temperature_c"),
    Fault("L106", CABINET, "basis: {text: 项目缺省值，", "basis: &usual {text: 项目缺省值，"),
    Fault("L107", CABINET, "    clear_hold: 1m\n", "    says: 失联\n"),
    Fault("L108", STREET, '"17:30-20:30"', "17:30", drags=True),
    # keys and values
    Fault("L201", CABINET, "hold: 60s", "hold: 60"),
    Fault("L202", CABINET, "{above: 75", "{abov: 75", drags=True),
    Fault("L203", SHED, ACTION, "", at="id: shed-smoke"),
    Fault("L204", "lilong.yaml", "host: 127.0.0.1,", "host: 127.0.0.1, password: hunter2,"),
    Fault("L205", CABINET, "{above: 55,", "{above: 55, below: 10,"),
    # names
    Fault("L301", STREET, "at: heping-power,", "at: heping-powr,"),
    Fault("L301", STREET, "model: cabinet-8,", "model: cabinet-9,", name="another model"),
    Fault("L302", STREET, "{id: cabinet-heping-2,", "{id: cabinet-heping-1,"),
    Fault("L302", STREET, "cabinet-heping-2/up", "cabinet-heping-1/up", name="one topic for two"),
    Fault("L303", STREET, "site/heping-power/cabinet-heping-2/up", "site/heping-power/+/up"),
    # models
    Fault("L404", BOX, "slot_temperature_c,", "slot_temperature_c, unit: V,"),
    Fault("L402", TILT, "at: 4, type", "at: 6, type"),
    # rules
    Fault("L501", SHED, "on: {scene: shed}", "on: {scene: garage}"),
    Fault("L502", CABINET, "each: slot}", "each: drawer}"),
    Fault("L503", CABINET, "when: slot_temperature_c", "when: temperature_c", drags=True),
    Fault("L504", CABINET, "above: 65, hold: 10s, clear_below: 58", "above: 52, hold: 10s, clear_below: 48"),
    Fault("L506", CABINET, "clear_below: 50", "clear_below: 57"),
    Fault("L507", CABINET, "    owner: 充电柜运营单位；物业先到场\n", "", at="red: {above: 75"),
    Fault("L702", SHED, "owner: 物业", "owner: fire-brigade", name="an owner nobody is"),
    Fault("L602", CABINET, "clear @ 9m]", "clear @ 90m]"),
    # the site
    Fault("L701", STREET, "compound, within: dongsi, ", "compound, within: dongsi-12, ", at="id: dongsi-12,"),
    Fault("L702", STREET, "role: committee, by: [wecom], after: 10m", "role: comittee, by: [wecom]"),
    Fault("L703", STREET, "  - {role: street,", SECOND + "  - {role: street,"),
    Fault("L705", STREET, reach("ChenSF", 2), "reach: {}"),
    Fault("L706", STREET, "model: lorawan-gateway, at: dongsi-li,", "model: lorawan-gateway, at: city,"),
    Fault("L707", STREET, RED, "", at="ladders:"),
    Fault("L801", STREET, "tilt_y_deg: 0.24, crack_mm: 2.49", "crack_mm: 2.49"),
    Fault("L802", STREET, DROP_OFF, "windows: {}", at="id: yongkang-waste-1,"),
    Fault("L804", STREET, "behind: gw-dongsi", "behind: tilt-2"),
    Fault("L805", STREET, "site/heping-power/cabinet-heping-1", "sit/heping-power/cabinet-heping-1"),
    Fault("L708", STREET, "fallback:", 'quiet: {red: "22:00-07:00"}\nfallback:'),
    Fault("L708", STREET, "fallback:", 'quiet: {yellow: "00:00-24:00"}\nfallback:', name="always quiet"),
    Fault("L709", STREET, "fallback:", "acknowledge_by: {yellow: 3}\nfallback:"),
    Fault("L710", STREET, ", delegate: he}]", "}, {from: 2027-02-12, to: 2027-02-14}]"),
    Fault("L711", STREET, "delegate: he}", "delegate: chen}"),
    Fault("L301", STREET, "rotation: duty-room", "rotation: duty-rom", name="no such rotation"),
    Fault("L301", STREET, "members: [zhou, wu]", "members: [zhou, wuu]", name="no such member"),
    Fault("L301", STREET, "  cabinet.red:", "  cabinets.red:", name="a ladder of no scene"),
    Fault("L702", STREET, "committee: [street]}", "committee: [strret]}", name="no fallback"),
    Fault("L205", STREET, "rotation: duty-room", "person: wu, rotation: duty-room", at="role: street"),
    Fault("L201", STREET, "turn: 12h", "turn: 12m", name="a turn of minutes"),
    Fault("L705", STREET, reach("WuZB", 7), "reach: {}", name="who takes turns and has no address"),
    Fault("L705", STREET, reach("HeSF", 8), "reach: {}", name="who stands in and has no address"),
    # no mistake, and yet hardly meant
    Fault("W702", STREET, ", delegate: he", ""),
    Fault("W701", STREET, reach("WangJL", 1), reach("WangJL", 1).removesuffix(VERIFIED)),
    Fault("W501", SHED, "red: {above: 0.5}", "red: {above: 1}"),
    Fault("W502", HOUSE, "clear_below: 0.16", "clear_below: -0.16"),
    Fault("W503", CABINET, "clear_below: 50", "clear_below: 55"),
    Fault("W504", CABINET, "hold: 60s", "hold: 6s"),
    Fault("W505", SHED, "on: {scene: shed}", "on: {scene: shed, labels: {zone: noth}}"),
    Fault("W506", SHED, "  - id: shed-silent\n", COPY),
    Fault("W507", LIFT, "action: 到场劝阻", "action: " + "请马上到场" * 10 + "劝阻"),
    Fault("W508", STREET, "devices:\n", CAMERAS, at="on: {scene: lift}\n    levels:", told_in=HEALTH),
]  # fmt: skip


def street(folder: Path) -> Path:
    """A copy of the practice street with its packs and models; its lilong.yaml."""
    for name, source in (("devices", "devices"), ("rules", "rules"), ("site", "simulators/site")):
        shutil.copytree(ROOT / source, folder / name)
    (folder / "lilong.yaml").write_text(CONFIG, "utf-8")
    return folder / "lilong.yaml"


def told(path: Path) -> list[tuple[str, str]]:
    """(code, file:line) of every mistake and warning."""
    loaded = load(path, "en", environ={}, lint=True)
    found = [*loaded.problems, *loaded.warnings]
    return [(one.code, f"{one.file.removeprefix(f'{path.parent}/')}:{one.line}") for one in found]


def alike(one: str, other: str) -> int:
    """How many characters they begin with together."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def plant(folder: Path, fault: Fault) -> str:
    """Make the mistake; the file and line where it must be told."""
    file, asked = folder / fault.file, folder / (fault.told_in or fault.file)
    before = file.read_text("utf-8")
    begins = before.index(fault.old) + alike(fault.old, fault.new)
    after = before.replace(fault.old, fault.new, 1)
    file.write_text(after, "utf-8")
    text = asked.read_text("utf-8")
    end = text.index(fault.at) + len(fault.at) if fault.at else begins
    return f"{fault.told_in or fault.file}:{text.count(chr(10), 0, end) + 1}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.code} {fault.name}".strip())
def test_a_seeded_fault_is_found_at_its_line_and_nothing_else_is_said(fault: Fault, tmp_path: Path) -> None:
    path = street(tmp_path)
    where = plant(tmp_path, fault)
    found = set(told(path))
    assert (fault.code, where) in found
    assert len(found) == 1 or fault.drags, found


def test_they_are_as_many_as_promised() -> None:
    assert len({fault.code for fault in FAULTS}) >= PROMISED


# ---------------------------------------------------------------- what is sound


def test_the_practice_street_and_every_shipped_pack_are_clean(tmp_path: Path) -> None:
    assert told(street(tmp_path)) == []


def test_the_example_of_the_runbook_is_clean() -> None:
    assert told(ROOT / "deploy/example/lilong.yaml") == []


def test_the_tutorial_is_clean(tmp_path: Path) -> None:
    for name, text in re.findall(r"^cat > (\S+) <<'EOT'\n(.*?\n)EOT$", README, re.DOTALL | re.MULTILINE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    assert (tmp_path / "rules/door.yaml").exists()
    assert told(tmp_path / "lilong.yaml") == []
