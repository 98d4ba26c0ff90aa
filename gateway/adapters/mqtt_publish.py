"""One message to the broker, over a connection of its own that lives for as long as that takes.

The gateway's own connection only listens: while the disk is slow nothing is read from it, and so no answer
either, and what is said here must be heard then too. Never retained: who comes later would hear an order
of long ago.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from paho.mqtt import client as paho_client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.adapters.mqtt_connection import enter

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

TOTAL_S = 4.0  # the connection, the message, its acknowledgement
NOBODY_LISTENS = 0x10  # MQTT 5: the broker took it, and had nobody to give it to


class NotPublished(Exception):
    """The broker has not acknowledged it; the text says why. `for_good`: it will not."""

    def __init__(self, reason: str, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


@dataclass(slots=True)
class _Course:
    """How far one exchange has come."""

    connected: ReasonCode | None = None
    answered: ReasonCode | None = field(default=None)


def publish(
    config: BrokerConfig, name: str, topic: str, payload: bytes, expires_s: float, total_s: float = TOTAL_S
) -> None:
    """At QoS 1; returns once the broker has it, and somebody listens, which MQTT 5 can tell.

    `name` makes the connection's client id. With MQTT 5 who is away for longer than `expires_s` does not
    get it. Raises NotPublished.
    """
    deadline, course = time.monotonic() + total_s, _Course()
    client = _client(config, name, course, total_s)
    try:
        client.connect(config.host, config.port, keepalive=max(1, int(config.keepalive_s)))
        _turn(client, deadline, lambda: course.connected is not None)
        _judge("it is not let in", course.connected)
        client.publish(topic, payload, qos=1, retain=False, properties=_expiry(config, expires_s))
        _turn(client, deadline, lambda: course.answered is not None)
        _judge(f"{topic}: it is not taken", course.answered)
    except (OSError, ValueError) as error:
        raise NotPublished(f"the broker cannot be reached: {error}") from None
    finally:
        client.disconnect()
        client.loop_write()


def _client(config: BrokerConfig, name: str, course: _Course, total_s: float) -> paho_client.Client:
    v5 = config.protocol == 5
    client = paho_client.Client(
        CallbackAPIVersion.VERSION2,
        f"{config.client_id}-{name}",
        clean_session=None if v5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = total_s
    enter(client, config)

    def connected(_c: Any, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        course.connected = reason

    def answered(_c: Any, _u: Any, _m: int, reason: ReasonCode, _p: Any) -> None:
        course.answered = reason

    client.on_connect, client.on_publish = connected, answered
    return client


def _turn(client: paho_client.Client, deadline: float, done: Any) -> None:
    """Until it is done. Raises NotPublished when the far side is gone or the time is up."""
    while not done():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise NotPublished("the broker does not answer")
        if (error := client.loop(min(left_s, 0.1))) is not MQTTErrorCode.MQTT_ERR_SUCCESS and not done():
            raise NotPublished(f"the connection was lost: {paho_client.error_string(error)}")


def _judge(what: str, reason: ReasonCode | None) -> None:
    assert reason is not None
    if reason.is_failure:
        raise NotPublished(f"{what}: {reason}", for_good=True)
    if reason.value == NOBODY_LISTENS:
        raise NotPublished("nobody listens on its topic")


def _expiry(config: BrokerConfig, expires_s: float) -> Properties | None:
    if config.protocol != 5:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, int(expires_s))
    return properties
