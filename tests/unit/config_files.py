"""A small sound configuration, and how to spoil it: what the tests of config and packs start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.config import Loaded, load

FILES = {
    "lilong.yaml": """\
state: state
directories: {devices: [devices], rules: [rules], sites: [sites]}
broker:
  host: 127.0.0.1
  subscribe: [site/#]
channels:
  inbox: {kind: inbox}
  hook: {kind: webhook, url: "https://hook.example/in", secret_file: hook-secret}
""",
    "devices/cabinet.yaml": """\
says: 充电柜
source: invented
scene: cabinet
codec: {kind: json, time: ts, time_unit: ms}
components:
  - {kind: slot, path: slots, number: no, count: 8}
expect_every: 30s
fields:
  - {quantity: smoke, path: smoke, required: true}
  - {quantity: slot_temperature_c, path: t, of: slot, unit: F}
examples:
  - payload: '{"smoke": 0}'
    readings: [{smoke: 0}]
  - {payload: "x", error: syntax}
""",
    "devices/camera.yaml": """\
says: 摄像机
source: invented
scene: waste
codec: {kind: json}
fields:
  - {quantity: bag_on_floor, path: bag}
  - {quantity: tilt_x_deg, path: tilt}
examples:
  - payload: '{"bag": 1}'
    readings: [{bag_on_floor: 1}]
""",
    "rules/all.yaml": """\
rules:
  - id: slot-hot
    says: 充电仓过热
    on: {scene: cabinet, each: slot}
    when: slot_temperature_c
    levels:
      yellow: {above: 55, hold: 60s, clear_below: 50}
      red: {above: 75}
    basis: {text: 项目缺省值, confidence: D}
    action: 断开该仓
    respond_within: 10m
    consequence: 起火
    owner: 物业
  - id: bag
    says: 小包垃圾落地
    on: {scene: waste, labels: {watched: "yes"}}
    when: bag_on_floor
    during: {outside: drop_off}
    levels: {yellow: {above: 0.5, hold: 3m}}
    basis: {text: 项目缺省值, confidence: D}
    action: 归桶
  - id: silent
    says: 失联
    on: {scene: cabinet}
    levels: {orange: {absent: 5m}}
    basis: {text: 项目缺省值, confidence: D}
    action: 到场查看
  - id: lean
    says: 倾斜
    on: {scene: waste, model: camera}
    when: tilt_x_deg
    relative_to: baseline
    levels: {yellow: {above: 1}}
    basis: {text: 项目缺省值, confidence: D}
    action: 到场查看
scenarios:
  - name: climbs
    rule: slot-hot
    every: 30s
    slot_temperature_c: 40 56x4
    expect: [yellow @ 1m30s]
""",
    "sites/site.yaml": """\
places:
  - {id: street, says: 街道, kind: street}
  - {id: estate, says: 小区, kind: compound, within: street, windows: {drop_off: ["06:30-08:30"]}}
units:
  - {id: firm, says: 物业}
persons:
  - {id: wang, says: 王经理, unit: firm, reach: {inbox: wang}}
posts:
  - {role: property, at: estate, unit: firm, person: wang, from: 2025-01-01, to: 2027-01-01}
ladders:
  yellow: [{role: property, by: [inbox]}]
  orange: [{role: property, by: [inbox]}]
  red: [{role: property, by: [inbox]}]
devices:
  - {id: cab-1, model: cabinet, at: estate, topic: site/estate/cab-1/up}
  - id: cam-1
    model: camera
    at: estate
    topic: site/estate/cam-1/up
    baseline: {tilt_x_deg: 0.1}
    labels: {watched: "yes"}
""",
}


def write(folder: Path, files: Mapping[str, str | bytes] = FILES) -> Path:
    """Write the files and return lilong.yaml."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "lilong.yaml"


def spoiled(file: str, old: str, new: str) -> dict[str, str]:
    """FILES with `old` (which must be there once) turned into `new`."""
    assert FILES[file].count(old) == 1, f"{file} holds {old!r} {FILES[file].count(old)} times"
    return {**FILES, file: FILES[file].replace(old, new)}


def told(folder: Path, files: Mapping[str, str | bytes], locale: str = "en") -> list[str]:
    """Every mistake of the files, as `check` prints it, without the folder's own name."""
    return [str(problem).replace(f"{folder}/", "") for problem in loaded(folder, files, locale).problems]


def loaded(folder: Path, files: Mapping[str, str | bytes], locale: str = "en") -> Loaded:
    return load(write(folder, files), locale, environ={})
