"""How long start and `lilong check` take over a large site: `python -m tests.benchmarks.loading [--profile]`.

10,000 devices from tables and 2,000 rules from packs, of one scene (every rule judges every device) or of
twenty; 200 entries under tune. Each row is a process of its own; the peak counts Python and its modules too.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.table import Row, render

RULES, DEVICES, TUNED, PLACES = 2_000, 10_000, 200, 400
RULES_A_FILE, DEVICES_A_FILE = 400, 2_000
PROFILED = 30  # lines of a profile

LILONG = """\
state: state
directories: {devices: [devices], rules: [rules], sites: [sites]}
broker: {host: 127.0.0.1, subscribe: [site/#]}
channels:
  inbox: {kind: inbox}
  sms: {kind: sms_aliyun, key_id: k, key_secret_file: s, sign: 街道}
templates:
  - channel: sms
    id: SMS_1
    kinds: [cleared, latched]
    text: "${title}已恢复，位置${place}。"
    state: approved
    since: 2026-10-08
  - channel: sms
    id: SMS_2
    text: "${level}：${title}，${place}，${situation}。"
    state: approved
    since: 2026-10-08
"""
MODEL = """\
says: 性能测试节点
scene: {scene}
source: tests/benchmarks, made up for measuring
codec: {{kind: json}}
expect_every: 1h
fields:
  - {{quantity: crack_mm, path: crack}}
  - {{quantity: tilt_x_deg, path: tilt}}
examples:
  - {{payload: '{{"crack": 1}}', readings: [{{crack_mm: 1}}]}}
"""
RULE = """\
  - id: rule-{n}
    says: 性能测试规则 {n}
    on: {{scene: {scene}}}
    when: {quantity}
    levels:
      yellow: {{above: {limit}, hold: 60s, clear_below: {clear}}}
      red: {{above: {worse}}}
    basis: {{text: made up for measuring, confidence: D}}
    action: 到场查看
    respond_within: 10m
    consequence: none
    owner: 无人
"""
SITE = """\
units:
  - {id: firm, says: 物业}
persons:
  - {id: wang, says: 王经理, unit: firm, reach: {inbox: wang}}
posts:
  - {role: property, at: street, unit: firm, person: wang, from: 2025-01-01}
ladders:
  yellow: [{role: property, by: [inbox]}]
  orange: [{role: property, by: [inbox]}]
  red: [{role: property, by: [inbox]}]
places:
  - {id: street, says: 街道, kind: street}
"""
PLACE = "  - {{id: yard-{n}, says: 小区, kind: compound, within: street}}\n"


def write_site(folder: Path, rules: int, devices: int, scenes: int, tuned: int) -> Path:
    """A sound configuration of that size; returns its lilong.yaml."""
    files = {"lilong.yaml": LILONG, "sites/tune.yaml": "tune:\n" + "".join(map(_entry, range(tuned)))}
    for scene in range(scenes):
        files[f"devices/node-{scene}.yaml"] = MODEL.format(scene=f"scene-{scene}")
    for first in range(0, rules, RULES_A_FILE):
        numbers = range(first, min(first + RULES_A_FILE, rules))
        files[f"rules/pack-{first}.yaml"] = "rules:\n" + "".join(_rule(n, scenes) for n in numbers)
    places = "".join(
        f"  - {{id: yard-{n}, says: 小区, kind: compound, within: street}}\n" for n in range(PLACES)
    )
    files["sites/site.yaml"] = SITE + places
    for first in range(0, devices, DEVICES_A_FILE):
        numbers = range(first, min(first + DEVICES_A_FILE, devices))
        rows = "".join(_device(n, scenes) for n in numbers)
        files[f"sites/devices-{first}.csv"] = "id,says,model,at,topic,labels.class\n" + rows
    for name, text in files.items() if tuned else [(n, t) for n, t in files.items() if "tune" not in n]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder / "lilong.yaml"


def _rule(n: int, scenes: int) -> str:
    limit = 20 + n % 30
    quantity = ("crack_mm", "tilt_x_deg")[n % 2]
    numbers = {"limit": limit, "clear": limit - 2, "worse": limit + 20}
    return RULE.format(n=n, scene=f"scene-{n % scenes}", quantity=quantity, **numbers)


def _device(n: int, scenes: int) -> str:
    kind = ("masonry", "timber", "concrete")[n % 3]
    return f"d{n:05},测点{n},node-{n % scenes},yard-{n % PLACES},site/yard-{n % PLACES}/d{n:05}/up,{kind}\n"


def _entry(n: int) -> str:
    """One for a class, a place, a device, the site; of rules that are different ones."""
    scope = ("labels: {class: masonry}, ", "at: street, ", "", "")[n % 4]
    return f"  - {{rule: rule-{n}, {scope}levels: {{yellow: {{hold: {n + 1}s}}}}, because: measured}}\n"


# ---------------------------------------------------------------- one row


def load_once(path: Path, profile: bool) -> dict[str, float]:
    """Seconds of a load with its checks, and the peak of this process in MB."""
    from gateway.config import load

    before_mb, profiler = _peak_mb(), cProfile.Profile()
    began, cpu = time.perf_counter(), time.process_time()
    loaded = profiler.runcall(load, path, "en") if profile else load(path, "en")
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    if loaded.world is None:
        raise SystemExit("\n".join(map(str, loaded.problems[:5])))
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(PROFILED)
    peak_mb, began = _peak_mb(), time.process_time()
    load(path, "en", lint=True)
    checked_s = time.process_time() - began
    return {
        "load s": took, "cpu s": cpu, "check cpu s": checked_s, "peak MB": peak_mb, "before MB": before_mb,
    }  # fmt: skip


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(rules: int, devices: int, scenes: int, tuned: int, profile: bool) -> Row:
    with tempfile.TemporaryDirectory(prefix="lilong-bench-") as folder:
        path = write_site(Path(folder), rules, devices, scenes, tuned)
        words = [
            sys.executable,
            "-m",
            __spec__.name,
            "--load",
            str(path),
            *(["--profile"] if profile else []),
        ]
        found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return {"rules": rules, "devices": devices, "scenes": scenes, "tuned": tuned, **found}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.loading", description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--profile", action="store_true", help="where the time goes, to stderr")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load_once(options.load, options.profile)))
        return
    kinds = [(20, 0), (20, TUNED), (1, 0), (1, TUNED)]
    rows = [row(options.rules, options.devices, *kind, options.profile) for kind in kinds]
    print(render("load and check of one site, seconds and peak memory of a process", rows))


if __name__ == "__main__":
    main()
