"""A new device model to begin with: valid, commented, with examples that pass."""

from __future__ import annotations

from pathlib import Path

SCHEMA_FILE = "model.schema.json"
EDITOR = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"

CHINESE = """\
# {id}：这种设备说什么。改好带 ← 的行，再运行 lilong check 和 lilong test {file}
# 所有的键与测量量见 devices/README.md；lilong decode {id} '报文' 显示一条报文的含义。
says: 新型号 {id} # ← 人们怎么称呼它
source: 待填：厂家手册第几节 # ← 下面每个数字的含义从何而来
scene: {scene} # 规则按场景选设备：structure lift waste cabinet shed，或新的场景
codec: {{kind: json, time: time, time_unit: iso, sequence: seq}} # ← 时刻与序号在报文的哪里；没有就删掉
expect_every: 10m # ← 平时多久说一次

fields: # ← 报文里的每个量：测量量的名字、在报文中的路径
  - {{quantity: temperature_c, path: data.temp, required: true}} # data.temp 即 {{"data": {{"temp": …}}}}
  - {{quantity: battery_pct, path: batt}}
  # 换算：canonical = 原值 × scale + offset，或写明设备的单位
  # - {{quantity: distance_mm, path: data.dist, unit: cm}}
  # 文字变成数字：
  # - {{quantity: door_open, path: data.door, values: {{open: 1, closed: 0}}}}

examples: # ← 换成真实的报文（mosquitto_sub -v -C 1 -t 'site/#' 可以抓一条）；它们就是测试
  - payload: '{{"time": "2026-11-02T12:00:00+08:00", "seq": 1, "data": {{"temp": 18.5}}, "batt": 96}}'
    readings: [{{measured_at: "2026-11-02T12:00:00+08:00", temperature_c: 18.5, battery_pct: 96}}]
  # 一条坏的：应当以哪个错误码结束
  - {{payload: '{{"time": "2026-11-02T12:00:00+08:00", "seq": 2, "data": {{"temp": "hot"}}}}', error: type}}
"""
ENGLISH = """\
# {id}: what this make of device says. Put the lines with ← right, then: lilong check; lilong test {file}
# Every key and quantity: devices/README.md. What a payload means: lilong decode {id} 'PAYLOAD'
says: 新型号 {id} # ← what people call it, in Chinese
source: 'to be filled in: the section of the vendor manual' # ← whence the meaning of every number below comes
scene: {scene} # rules pick devices by it: structure lift waste cabinet shed, or a new one
codec: {{kind: json, time: time, time_unit: iso, sequence: seq}} # ← instant and number, or leave out
expect_every: 10m # ← how often it speaks on an ordinary day

fields: # ← each quantity in the payload: its name with us, its path there
  - {{quantity: temperature_c, path: data.temp, required: true}} # data.temp is {{"data": {{"temp": …}}}}
  - {{quantity: battery_pct, path: batt}}
  # Conversion: canonical = raw × scale + offset, or the device's unit:
  # - {{quantity: distance_mm, path: data.dist, unit: cm}}
  # Words to numbers:
  # - {{quantity: door_open, path: data.door, values: {{open: 1, closed: 0}}}}

examples: # ← real payloads instead (mosquitto_sub -v -C 1 -t 'site/#' catches one); they are the tests
  - payload: '{{"time": "2026-11-02T12:00:00+08:00", "seq": 1, "data": {{"temp": 18.5}}, "batt": 96}}'
    readings: [{{measured_at: "2026-11-02T12:00:00+08:00", temperature_c: 18.5, battery_pct: 96}}]
  # A bad one: the code it must end in.
  - {{payload: '{{"time": "2026-11-02T12:00:00+08:00", "seq": 2, "data": {{"temp": "hot"}}}}', error: type}}
"""


def new_model(name: str, scene: str, file: Path, locale: str) -> str:
    """The text of a model file that passes `lilong check` and `lilong test` as it is."""
    template = CHINESE if locale == "zh" else ENGLISH
    return EDITOR + template.format(id=name, scene=scene, file=file)


def model_like(original: Path, name: str, locale: str) -> str:
    """Another model's file under a new name."""
    zh, en = f"# {name}：由 {original.name} 复制而来\n", f"# {name}: begun as a copy of {original.name}\n"
    return EDITOR + (zh if locale == "zh" else en) + original.read_text("utf-8")
