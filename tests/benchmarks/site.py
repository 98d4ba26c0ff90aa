"""The configuration of the benchmark's neighbourhood: 1,000 devices, 20 rules on each, one person told.

Or, for a load of that kind, the shipped packs over a thousand devices of theirs: `shipped`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import shipped
from tests.benchmarks.load import LIMIT, Load, device_id, topic_of

if TYPE_CHECKING:
    from tests.benchmarks.subjects import Setting

SCENE, MODEL = "structure", "bench-node"
DEVICES_A_FILE = 250  # one file of a site may have 256 kB
HOLD = "1s"  # of the one rule that fires, when a crossing lasts more than one sample

# quantity -> (key in the payload, far beyond what the load ever says)
QUANTITIES = {
    "tilt_x_deg": ("tilt_x", 80),
    "tilt_y_deg": ("tilt_y", 80),
    "tilt_z_deg": ("tilt_z", 90),
    "crack_mm": ("crack", 90),
    "settlement_mm": ("settlement", 400),
    "temperature_c": ("temperature", 300),
    "humidity_pct": ("humidity", 99),
    "battery_v": ("battery", 50),
}
RULES = 20

LILONG = """\
state: state
directories: {{{packs}sites: [sites]}}
broker: {{host: 127.0.0.1, port: {port}, protocol: 5, client_id: {client}, subscribe: [site/#]}}
influx: {{url: "{url}", org: street, bucket: {bucket}, token_file: influx-token}}
web: {{listen: "127.0.0.1:{web}", link_key_file: link-key, public_url: "http://127.0.0.1:{web}"}}
channels:
  street-hook: {{kind: webhook, url: "{hook}", secret_file: hook-secret}}
"""

MODEL_HEAD = """\
says: 性能测试节点
scene: structure
source: tests/benchmarks, made up for measuring
codec: {kind: json, time: ts, time_unit: ms, sequence: seq, identity: id}
expect_every: 1h
examples:
  - {payload: '{"id":"d00000","seq":1,"ts":1795284000123,"crack":1.25}', readings: [{crack_mm: 1.25}]}
fields:
"""

RULE = """\
  - id: {id}
    says: 性能测试规则 {id}
    on: {{scene: structure}}
    when: {quantity}
    levels:
{levels}
    basis: {{text: made up for measuring, confidence: D}}
    action: 到场查看
    respond_within: 10m
    consequence: none
    owner: 无人
"""

PEOPLE = """\
places:
  - {id: street, says: 测试街道, kind: street}
units:
  - {id: firm, says: 测试物业}
persons:
  - {id: keeper, says: 值班员, unit: firm, reach: {street-hook: duty}}
posts:
  - {role: duty, at: street, unit: firm, person: keeper, from: "2020-01-01"}
ladders:
  yellow: [{role: duty, by: [street-hook]}]
  orange: [{role: duty, by: [street-hook]}]
  red: [{role: duty, by: [street-hook]}]
"""


def write(setting: Setting, client_id: str) -> Path:
    """lilong.yaml and all it names, below the setting's folder; the same again for a second start."""
    from tests.benchmarks.servers import TOKEN, free_port

    path = setting.folder / "lilong.yaml"
    if path.exists():
        return path
    WORLDS[setting.load.kind](setting.folder, setting.load)
    (setting.folder / "sites/people.yaml").write_text(PEOPLE)
    for name, secret in (("influx-token", TOKEN), ("hook-secret", "s3cret" * 6), ("link-key", "k" * 40)):
        (setting.folder / name).write_text(secret)
        (setting.folder / name).chmod(0o600)
    words = {"port": setting.port, "client": client_id, "url": setting.url, "bucket": setting.bucket}
    words["packs"] = PACKS[setting.load.kind]
    path.write_text(LILONG.format(**words, hook=setting.hook, web=free_port()))
    return path


def write_world(folder: Path, load: Load) -> None:
    """devices/, rules/ and sites/."""
    hold = load.streak > 1
    files = {
        f"devices/{MODEL}.yaml": MODEL_HEAD + "".join(_field(name) for name in QUANTITIES),
        "rules/bench.yaml": "rules:\n" + "".join(_rule(number, hold) for number in range(RULES)),
    }
    for first in range(0, load.devices, DEVICES_A_FILE):
        numbers = range(first, min(load.devices, first + DEVICES_A_FILE))
        files[f"sites/devices-{first}.yaml"] = "devices:\n" + "".join(map(_device, numbers))
        files[f"sites/places-{first}.yaml"] = "places:\n" + "".join(map(_place, numbers))
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


WORLDS = {Load.kind: write_world, shipped.Street.kind: shipped.write_world}
PACKS = {
    Load.kind: "devices: [devices], rules: [rules], ",
    shipped.Street.kind: "",
}  # none named: the shipped


def _field(quantity: str) -> str:
    return f"  - {{quantity: {quantity}, path: {QUANTITIES[quantity][0]}}}\n"


def _rule(number: int, hold: bool) -> str:
    """Rule 0 fires above LIMIT; the others look at every quantity in turn and have nothing to say."""
    quantity = list(QUANTITIES)[number % len(QUANTITIES)]
    far = QUANTITIES[quantity][1]
    if number == 0:
        levels = f"      red: {{above: {LIMIT}{f', hold: {HOLD}' if hold else ''}}}"
    elif number < len(QUANTITIES) * 2:
        levels = f"      yellow: {{above: {far * 0.9 + number % 3:g}, hold: 60s}}\n"
        levels += f"      red: {{above: {far + 5}}}"
    else:
        levels = f"      orange: {{below: {-far - number % 3}, hold: 10s}}"
    return RULE.format(id=f"bench-{number:02d}", quantity=quantity, levels=levels)


def _device(number: int) -> str:
    name = device_id(number)
    return f"  - {{id: {name}, says: {name}, model: {MODEL}, at: at-{name}, topic: {topic_of(number)}}}\n"


def _place(number: int) -> str:
    """One for each device: what rings at one place joins one case, and one message tells of it all."""
    return f"  - {{id: at-{device_id(number)}, says: 测点, kind: point, within: street}}\n"
