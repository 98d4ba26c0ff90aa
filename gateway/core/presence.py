"""A device that tells by itself whether it is there: its birth, and the will its broker speaks for it.

A will is the one message that is no word of its device: it may be judged (`online` is 0), but its silence
counts on. Whatever the device itself says afterwards is a birth.
"""

from __future__ import annotations

from gateway.core.model import OWN, POSTED, Device, Message, Model, PayloadError, Reading, Refusal

ONLINE = "online"
SHOWN_MOST = 80


def status_topic(model: Model, device: Device) -> str | None:
    """The topic, or the filter, of a device's births and wills; None when it has none, or no broker."""
    if model.status is None or device.topic.startswith((POSTED, OWN)):
        return None
    above = device.topic.rpartition("/")[0]
    return model.status.topic.replace("{topic}", device.topic).replace("{above}", above)


def said_of(model: Model, device: Device, message: Message, received_ns: int) -> Reading:
    """What a birth or a will says. Raises PayloadError when it is neither."""
    assert model.status is not None
    text = message.payload[: SHOWN_MOST + 1].decode("utf-8", "replace").strip()
    if text not in (model.status.online, model.status.offline):
        expected = f"{model.status.online} or {model.status.offline}"
        raise PayloadError(Refusal.TYPE, ONLINE, f"found {text[:SHOWN_MOST]}, expected {expected}")
    values = {ONLINE: float(text == model.status.online)}
    return Reading(device.id, "", values, received_ns, received_ns, timed=False)


def tells(model: Model, kind: str) -> set[str]:
    """The quantity that births and wills give beside the fields, of the device itself."""
    return {ONLINE} if model.status and not kind else set()


def is_will(reading: Reading) -> bool:
    return reading.values[ONLINE] == 0.0
