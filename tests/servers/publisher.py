"""Publishes to a test's broker, and returns when the broker has taken everything."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

SECONDS_MOST = 60.0
WINDOW = 1000  # messages on their way at a time


def publish(
    port: int,
    messages: Iterable[tuple[str, bytes]],
    *,
    qos: int = 1,
    retain: bool = False,
    username: str = "",
    password: str = "",
) -> None:
    """Each (topic, payload) in order; with QoS 1 each is acknowledged by the broker on return."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(WINDOW)
    if username:
        client.username_pw_set(username, password)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert connected.wait(10), "the broker did not take the publisher in"
        sent = [client.publish(topic, payload, qos, retain) for topic, payload in messages]
        for each in sent:
            each.wait_for_publish(SECONDS_MOST)
            assert each.is_published(), "the broker did not acknowledge"
    finally:
        client.disconnect()
        client.loop_stop()
