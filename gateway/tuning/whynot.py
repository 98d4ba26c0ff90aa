"""Why a rule did not fire on a subject at an instant: the first condition that was not met, with its numbers.

What the files alone tell is asked first; then the engine as it was (`replaying`), condition by condition
(`unmet`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from gateway.core.conditions import applies, speaks_of
from gateway.core.effective import effective, provenance
from gateway.core.model import SECOND, Alert, Device, Origin, QuarantineRow, Rule, World
from gateway.core.weighing import group_of, groups
from gateway.tuning.asked import Answer, Asked, Reason
from gateway.tuning.replaying import Fetch, from_archive, from_log
from gateway.tuning.unmet import CHECKS

BACK_NS = 7 * 86400 * SECOND  # how far back the last reading is looked for
REFUSED_MOST = 100  # refusals of the device that are looked at


def ask(
    db: sqlite3.Connection,
    fetch: Fetch,
    world: World,
    rule_id: str,
    device_id: str,
    component: str,
    at_ns: int,
) -> list[Answer]:
    """An answer for the component; for each of the rule's components when none is named."""
    rule = next((one for one in world.rules if one.id == rule_id), None)
    device = world.devices.get(device_id)
    parts = [component]
    if not component and rule is not None and rule.each and device is not None:
        parts = world.models[device.model].parts(rule.each) or [""]
    barred = inapplicable(world, rule_id, device_id, parts[0])
    if barred is not None or rule is None or device is None:
        return [barred] if barred else []
    past = from_log(db, world, at_ns) or from_archive(world, rule, device, at_ns, fetch)
    rows = [one for one in fetch(device_id, at_ns - BACK_NS, at_ns + 1) if one.received_ns <= at_ns]
    refused, alerts = _refused(db, device_id, at_ns), _alerts(db, world, rule, device)
    one_rule = effective(world, rule, device)
    return [
        why_not(
            Asked(
                world=world, rule=one_rule, device=device, component=part, past=past, rows=rows,
                refused=refused, alerts=[one for one in alerts if rule.group or one.component == part],
            )
        )
        for part in parts
    ]  # fmt: skip


def _refused(db: sqlite3.Connection, device: str, at_ns: int) -> list[QuarantineRow]:
    columns = ", ".join(QuarantineRow.__struct_fields__)
    query = f"SELECT {columns} FROM quarantine WHERE device = ? AND wall_ns <= ? ORDER BY id DESC LIMIT ?"
    return [QuarantineRow(*row) for row in db.execute(query, (device, at_ns, REFUSED_MOST))][::-1]


def _alerts(db: sqlite3.Connection, world: World, rule: Rule, device: Device) -> list[Alert]:
    """Newest first; of a rule about groups, those of its group."""
    members = groups(world, rule).get(group_of(world, rule, device), []) if rule.group else []
    names = {device.id, *(name for name, _ in members)}
    query = "SELECT body FROM alert WHERE rule = ? ORDER BY raised_ns DESC"
    found = (msgspec.json.decode(row[0], type=Alert) for row in db.execute(query, (rule.id,)))
    return [one for one in found if one.device in names]


# ---------------------------------------------------------------- before anything is replayed


def inapplicable(world: World, rule_id: str, device_id: str, component: str) -> Answer | None:
    """What the files alone tell: no such rule or device, another scene, model, label or part."""
    device = world.devices.get(device_id)
    rule = next((one for one in world.rules if one.id == rule_id), None)
    if device is None:
        return Answer(
            reason=Reason.UNKNOWN_DEVICE, zh=f"没有设备 {device_id}", en=f"there is no device {device_id}"
        )
    if rule is None:
        where = world.off.get(rule_id)
        if where is not None:
            return _off(where)
        return Answer(reason=Reason.UNKNOWN_RULE, zh=f"没有规则 {rule_id}", en=f"there is no rule {rule_id}")
    said = (one for one in provenance(world, rule, device) if (one.name, one.value) == ("mode", "off"))
    off = next((_off(one.origin) for one in said), None)
    return _not_about(world, rule, device) or _no_part(world, rule, device, component) or off


def _off(where: Origin) -> Answer:
    zh, en = f"规则已关闭（mode: off，{where}）", f"the rule is switched off (mode: off, {where})"
    return Answer(reason=Reason.OFF, zh=zh, en=en)


def _not_about(world: World, rule: Rule, device: Device) -> Answer | None:
    scene = world.models[device.model].scene
    if applies(rule, device, scene):
        return None
    if rule.scene != scene:
        zh, en = (
            f"规则管 {rule.scene} 场景，设备属于 {scene}",
            f"of scene {rule.scene}, the device is {scene}",
        )
        return Answer(reason=Reason.SCENE, zh=zh, en=en)
    if rule.model not in ("", device.model):
        zh = f"规则只管型号 {rule.model}，设备是 {device.model}"
        return Answer(
            reason=Reason.MODEL, zh=zh, en=f"only of model {rule.model}, the device is {device.model}"
        )
    wanting = {name: value for name, value in rule.labels.items() if device.labels.get(name) != value}
    name, value = next(iter(wanting.items()))
    has = device.labels.get(name, "-")
    zh, en = f"规则要求标签 {name}={value}，设备为 {has}", f"label {name}={value} is asked for, found {has}"
    return Answer(reason=Reason.LABEL, zh=zh, en=en)


def _no_part(world: World, rule: Rule, device: Device, component: str) -> Answer | None:
    model = world.models[device.model]
    parts = model.parts(rule.each)
    if not rule.group and component not in parts:
        known = " ".join(one for one in parts if one) or "-"
        zh = f"规则判断的部件是 {known}，不是 {component or '设备本身'}"
        en = f"the rule judges {known}, not {component or 'the device itself'}"
        return Answer(reason=Reason.COMPONENT, zh=zh, en=en)
    if not speaks_of(rule, device, world):
        zh = f"型号 {device.model} 不测 {rule.when or rule.quantity}"
        return Answer(
            reason=Reason.QUANTITY,
            zh=zh,
            en=f"model {device.model} does not measure {rule.when or rule.quantity}",
        )
    if rule.group and not group_of(world, rule, device):
        zh, en = f"设备不在任何 {rule.group} 之内", f"the device is in no {rule.group}"
        return Answer(reason=Reason.GROUP, zh=zh, en=en)
    if rule.relative_to == "baseline" and rule.quantity not in device.baseline:
        return Answer(reason=Reason.BASELINE, zh="设备没有基线", en="the device has no baseline")
    return None


# ---------------------------------------------------------------- what the engine tells


def why_not(asked: Asked) -> Answer:
    """The first condition that was not met."""
    found = next(answer for check in CHECKS if (answer := check(asked)) is not None)
    return replace(found, component=asked.component, exact=asked.past.exact)


def nearest(answers: Sequence[Answer]) -> Answer:
    """Of several parts the one that was nearest to firing."""
    order = list(Reason)
    fired = (Reason.FIRED, Reason.HIDDEN)
    return max(answers, key=lambda one: (one.reason in fired, order.index(one.reason)))
