"""Messages to readings: whose topic it is, and what its model says the bytes mean."""

from __future__ import annotations

from gateway.core import cameras
from gateway.core.calibration import corrected
from gateway.core.codecs import CODECS, Decode
from gateway.core.model import Device, Fault, Message, PayloadError, Reading, Refusal, World
from gateway.core.presence import said_of, status_topic

STRANGERS_MAX = 10_000  # topics of unknown devices remembered, so that a flood costs no search each time


class Decoder:
    """Which device speaks on a topic, and its codec. Made once for a World; safe in any thread."""

    def __init__(self, world: World) -> None:
        self._codecs = {model.id: CODECS[model.codec.kind](model) for model in world.models.values()}
        self._of_device = {
            device.id: corrected(self._codecs[device.model], world.calibrations.get(device.id, ()))
            for device in world.devices.values()
        }
        self._models = world.models
        topics = [(d.topic, d, False) for d in world.devices.values()]
        topics += [
            (topic, d, True)
            for d in world.devices.values()
            if (topic := status_topic(world.models[d.model], d)) is not None
        ]
        asked = {
            found: d for d in world.devices.values() if (found := cameras.topics(world.models[d.model], d))
        }
        self._asked = {ask: d for (ask, _), d in asked.items()}  # there the gateway itself speaks
        self._answers = {answer: d for (_, answer), d in asked.items()}
        exact = {topic: d for topic, d, _ in topics if not is_filter(topic)}
        self._exact = {**self._asked, **self._answers, **exact}
        self._filters = [(topic, d) for topic, d, _ in topics if is_filter(topic)]
        self._status = [topic for topic, _, status in topics if status and is_filter(topic)]
        self._statuses = frozenset(topic for topic, _, status in topics if status)
        self._found: dict[str, Device | None] = {}

    def device_of(self, topic: str) -> Device | None:
        """The device that speaks on this topic; None when none of ours does."""
        device = self._exact.get(topic)
        if device is not None or not self._filters:
            return device
        if topic not in self._found:
            if len(self._found) >= STRANGERS_MAX:
                self._found.clear()
            self._found[topic] = next((d for each, d in self._filters if matches(each, topic)), None)
        return self._found[topic]

    def is_aside(self, topic: str) -> bool:
        """Whether what comes on this topic is no payload of the device's codec: a will or a birth, or about
        a picture.
        """
        return self.is_status(topic) or topic in self._answers or topic in self._asked

    def answering(self, topic: str) -> Device | None:
        """The device that says on this topic where a picture lies that it was asked for."""
        return self._answers.get(topic)

    def is_status(self, topic: str) -> bool:
        """Whether what comes on this topic is a will or a birth."""
        return topic in self._statuses or any(matches(each, topic) for each in self._status)

    def decode(self, message: Message, received_ns: int, faults: list[Fault] | None = None) -> list[Reading]:
        """What the message says. Raises PayloadError; see core.codecs.Decode for `faults`."""
        device = self.device_of(message.topic)
        if device is None:
            raise PayloadError(Refusal.UNKNOWN_DEVICE, reason=f"no device speaks on {message.topic[:120]}")
        if message.topic in self._answers or message.topic in self._asked:
            return []
        if (self._statuses or self._status) and self.is_status(message.topic):
            return [said_of(self._models[device.model], device, message, received_ns)]
        return self._of_device[device.id](device, message, received_ns, faults)

    def codec_of(self, device: Device) -> Decode:
        """The codec of a device, for a caller that already knows whose message it is."""
        return self._of_device[device.id]


def is_filter(topic: str) -> bool:
    """Whether it takes more than one topic."""
    return "+" in topic or "#" in topic


def matches(pattern: str, topic: str) -> bool:
    """Whether an MQTT topic filter (with + and a final #) takes this topic."""
    wanted, found = pattern.split("/"), topic.split("/")
    for index, part in enumerate(wanted):
        if part == "#":
            return True
        if index >= len(found) or part not in ("+", found[index]):
            return False
    return len(wanted) == len(found)
