"""The demo's parts on a real broker, and the demo itself as a person starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import demo
from simulators.neighbourhood import Sent
from simulators.publisher import UNACKED_MAX, Pace, Publisher
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker(tmp_path):
    """The demo's own broker, ready."""
    with demo.broker(tmp_path) as port:
        yield port


@pytest.fixture
def heard(broker):
    """What a subscriber to everything has received: (topic, payload)."""
    messages: list[tuple[str, bytes]] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ear", protocol=paho.MQTTv311)
    subscribed = threading.Event()
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, message: messages.append((message.topic, message.payload))
    client.connect(demo.HOST, broker)
    client.loop_start()
    assert subscribed.wait(10)
    yield messages
    client.disconnect()
    client.loop_stop()


def soon(count: int, speed: float = 1000.0, apart_ns: int = 1_000_000) -> tuple[list[Sent], Pace]:
    sents = [Sent(i * apart_ns, f"site/a/{i % 3}", str(i).encode()) for i in range(count)]
    return sents, Pace(time.monotonic_ns(), 0, speed)


def test_everything_published_arrives_in_order_and_is_acknowledged(broker, heard):
    sents, pace = soon(3 * UNACKED_MAX)
    with Publisher(demo.HOST, broker) as publisher:
        publisher.play(sents, pace)
    assert publisher.tally.sent == publisher.tally.acknowledged == len(sents)
    until(lambda: len(heard) == len(sents), 10)
    for topic in {sent.topic for sent in sents}:
        assert [payload for name, payload in heard if name == topic] == [
            s.payload for s in sents if s.topic == topic
        ]


def test_it_keeps_to_the_simulated_clock(broker, heard):
    """Two simulated seconds at ten times the speed of life take a fifth of a second, not less."""
    sents, pace = soon(3, speed=10.0, apart_ns=1_000_000_000)
    with Publisher(demo.HOST, broker) as publisher:
        began = time.monotonic()
        publisher.play(sents, pace)
        assert time.monotonic() - began >= 0.2 - 0.05
    assert 0 <= publisher.tally.lag_s_max < 5


def test_stop_ends_it_at_once(broker):
    sents, pace = soon(2, speed=1.0, apart_ns=3_600_000_000_000)
    with Publisher(demo.HOST, broker) as publisher:
        threading.Timer(0.1, publisher.stop).start()
        began = time.monotonic()
        publisher.play(sents, pace)
    assert publisher.tally.sent == 1 and time.monotonic() - began < 30


def test_a_missing_broker_is_named():
    with socket.socket() as unused:
        unused.bind((demo.HOST, 0))
        port = unused.getsockname()[1]
        publisher = Publisher(demo.HOST, port, patience_s=0.5)
        with pytest.raises(ConnectionError, match=f"{port}.*is it running"), publisher:
            pytest.fail("connected to nobody")
