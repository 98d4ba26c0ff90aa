"""Devices: heard, placed, of a model that exists, and with what it needs."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from gateway.checks.parts import Parts, Surroundings, check_known, upward
from gateway.checks.rules import check_needs, judges, needs
from gateway.core import cameras, derived
from gateway.core.codecs.formula import Formula
from gateway.core.decoding import matches
from gateway.core.model import OWN, POSTED, Device, Model, Place
from gateway.core.presence import status_topic
from gateway.grammar import RuleKeys
from gateway.problems import one_of, say
from gateway.typed import Builder

GATEWAY = "lilong-gateway"  # the model of what the gateway says of itself


def check_devices(parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    models = {model.id: model for model in parts.models}
    places = {place.id: place for place in parts.places}
    parents = {place.id: place.within for place in parts.places}
    devices, needy = parts.devices, _Needy(parts)
    nested = {device.id for device in devices if device.behind}
    _check_one_gateway(devices, builder)
    for device in devices:
        check_known(builder, device, "at", "place", device.at, builder.ids(Place))
        check_known(builder, device, "model", "model", device.model, builder.ids(Model))
        _check_heard(device, models.get(device.model), surroundings, builder)
        _check_zeros(device, builder)
        _check_behind(device, nested, builder)
        _check_period(device, builder)
        _check_neighbours(device, builder)
        around = [places[name] for name in upward(device.at, parents)]
        if model := models.get(device.model):
            _check_baseline(device, model, builder)
            _check_constants(device, model, builder)
            for rule in needy.rules_of(device, model):
                check_needs(rule, device, around, builder)


class _Needy:
    """The rules that read something of a device's entry, looked for once for all devices that are alike."""

    def __init__(self, parts: Parts) -> None:
        self._rules = [rule for rule in parts.rules if needs(rule)]
        self._found: dict[tuple[str, Hashable], list[RuleKeys]] = {}

    def rules_of(self, device: Device, model: Model) -> list[RuleKeys]:
        key = device.model, tuple(sorted(device.labels.items()))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = [rule for rule in self._rules if judges(rule, device, model)]
        return found


def _check_heard(device: Device, model: Model | None, surroundings: Surroundings, builder: Builder) -> None:
    """Its topic must reach us: by the broker, or by the intake, and then by nothing else."""
    if device.topic.startswith(POSTED):
        _check_posted(device, surroundings, builder)
        return
    if device.topic.startswith(OWN) or device.model == GATEWAY:
        _check_own(device, surroundings, builder)
        return
    subscribe = surroundings.subscribe
    if subscribe is None:
        return
    for topic in (device.topic, model and status_topic(model, device)):
        if topic and not any(matches(pattern, topic) for pattern in subscribe):
            builder.mistake(device, "topic", say("unheard", value=topic), one_of(subscribe))
    _, answer = (model and cameras.topics(model, device)) or ("", "")
    if answer and not any(matches(pattern, answer) for pattern in subscribe):
        builder.mistake(device, "topic", say("answer_unheard", value=answer), one_of(subscribe))


def _check_posted(device: Device, surroundings: Surroundings, builder: Builder) -> None:
    own = f"{POSTED}{device.id}"
    if device.topic != own:
        builder.mistake(device, "topic", say("value", value=device.topic), one_of([own]))
    if surroundings.intake is False:
        builder.mistake(device, "topic", say("no_intake", value=device.topic), say("an_intake"))
    _check_no_broker(device, POSTED, surroundings, builder)


def _check_no_broker(device: Device, below: str, surroundings: Surroundings, builder: Builder) -> None:
    """Else whoever may publish at the broker could speak for it."""
    for pattern in surroundings.subscribe or ():
        if matches(pattern, device.topic):
            found = say("heard_twice", value=device.topic, filter=pattern)
            builder.mistake(device, "topic", found, say("no_broker", value=below))


def _check_own(device: Device, surroundings: Surroundings, builder: Builder) -> None:
    """What the gateway says of itself comes by no way but its own."""
    own = f"{OWN}{device.id}"
    if device.topic != own:
        builder.mistake(device, "topic", say("value", value=device.topic), one_of([own]))
    _check_no_broker(device, OWN, surroundings, builder)


def _check_one_gateway(devices: Sequence[Device], builder: Builder) -> None:
    """A process is one gateway: a second device for it would never speak."""
    own = [device for device in devices if device.topic.startswith(OWN)]
    for other in own[1:]:
        found = say("second_gateway", value=other.id, other=own[0].id)
        builder.mistake(other, "topic", found, say("one_gateway"))


def _check_zeros(device: Device, builder: Builder) -> None:
    """A spreadsheet makes 71 of 0071; the topic, which is no number, still has them."""
    levels = device.topic.split("/") if device.id.isdecimal() else []
    for level in levels:
        if level != device.id and level.isdecimal() and level.lstrip("0") == device.id.lstrip("0"):
            found = say("zeros_lost", value=device.id, other=level)
            builder.mistake(device, "id", found, say("as_in_topic", value=level))


def _check_period(device: Device, builder: Builder) -> None:
    period, (low, high) = device.baseline_period, derived.PERIOD_DAYS
    if period and not low <= (period.until - period.since).days <= high:
        found = say("days", days=(period.until - period.since).days)
        builder.mistake(period, "to", found, say("days_between", low=low, high=high))


def _check_neighbours(device: Device, builder: Builder) -> None:
    others = builder.ids(Device) - {device.id} if device.neighbours else ()  # 10,000 names a device otherwise
    for near, apart_m in device.neighbours.items():
        known = check_known(builder, device, f"neighbours.{near}", "device", near, others)
        if known and apart_m <= 0:
            found = say("number", value=f"{apart_m:g}")
            builder.mistake(device, f"neighbours.{near}", found, say("above_zero"))


def _check_behind(device: Device, nested: Collection[str], builder: Builder) -> None:
    """One hop: the silence of many is told of what they all speak through, and that speaks for itself."""
    if not device.behind or not check_known(
        builder, device, "behind", "device", device.behind, builder.ids(Device)
    ):
        return
    if device.behind == device.id or device.behind in nested:
        builder.mistake(device, "behind", say("nested", value=device.behind), say("in_front"))


def _check_baseline(device: Device, model: Model, builder: Builder) -> None:
    measured = [field.quantity for field in model.fields]
    for quantity in device.baseline:
        check_known(builder, device, f"baseline.{quantity}", "quantity", quantity, measured)


def _check_constants(device: Device, model: Model, builder: Builder) -> None:
    """Its own, not those of the examples: another sensor's calibration would be silently wrong."""
    for name in device.constants:
        check_known(builder, device, f"constants.{name}", "constant", name, tuple(model.constants))
    for field in model.fields:
        names = Formula(field.formula).names - {"raw"} if field.formula else set()
        for name in sorted(names - device.constants.keys()) if field.required else ():
            found = say("no_constant", device=device.id, value=name)
            builder.mistake(device, "constants", found, say("constant_for", quantity=field.quantity))
