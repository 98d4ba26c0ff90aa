"""The neighbourhood on a real broker: MQTT 3.1.1, QoS 1, as fast as the simulated clock says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.model import POSTED, SECOND
from simulators.cameras import answer
from simulators.neighbourhood import Sent
from simulators.poster import Poster

UNACKED_MAX = 200  # PUBLISHes without their PUBACK; beyond it we wait, so that a stopped broker stops us
CONNECT_S = 15.0
DRAIN_S = 10.0
NO_CAMERAS: Mapping[str, str] = {}
SLICE_S = 0.1  # how soon a stop is noticed


@dataclass(frozen=True, slots=True)
class Pace:
    """Simulated wall time as arithmetic on the monotonic clock; the text form is shared between processes."""

    monotonic_ns: int
    wall_ns: int
    speed: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Pace:
        """From `MONOTONIC_NS:WALL_NS:SPEED`."""
        monotonic, wall, speed = text.split(":")
        return cls(int(monotonic), int(wall), float(speed))

    def __str__(self) -> str:
        return f"{self.monotonic_ns}:{self.wall_ns}:{self.speed}"

    def wait_s(self, wall_ns: int) -> float:
        """Real seconds until it is `wall_ns`; negative when that is past."""
        return ((wall_ns - self.wall_ns) / self.speed - (time.monotonic_ns() - self.monotonic_ns)) / SECOND


@dataclass(slots=True)
class Tally:
    """What became of the publishing."""

    sent: int = 0
    acknowledged: int = 0
    posted: int = 0
    reconnects: int = -1  # the first connection is none
    lag_s_max: float = 0.0
    refused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"published {self.sent}, acknowledged {self.acknowledged + self.posted}, "
            f"reconnects {max(0, self.reconnects)}, lag at most {self.lag_s_max:.2f} s"
        )


class Publisher:
    """One connection that speaks for all devices: a context manager. `stop()` may come from a signal."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        username: str = "",
        password: str = "",
        client_id: str = "",
        patience_s: float = CONNECT_S,
        poster: Poster | None = None,
        cameras: Mapping[str, str] = NO_CAMERAS,
    ) -> None:
        """`cameras`: where each is asked for a picture, and where it answers."""
        self.host, self.port, self.patience_s = host, port, patience_s
        self.tally = Tally()
        self._poster = poster  # for devices that post instead of publishing
        self._cameras, self._answers = cameras, set[int]()  # message ids of answers: they are not played
        self._up, self._moved = threading.Event(), threading.Event()
        self._stopped = False  # no Event: a signal handler that sets one may meet the lock it holds
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        if username:
            self._client.username_pw_set(username, password or None)
        self._client.max_inflight_messages_set(UNACKED_MAX)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._up.clear()
        self._client.on_publish, self._client.on_message = self._on_publish, self._on_message

    def __enter__(self) -> Publisher:
        self._client.connect_async(self.host, self.port, keepalive=20)
        self._client.loop_start()
        self._wait(self.patience_s, self._up.is_set)
        if not self._up.is_set() and not self._stopped:
            self._client.loop_stop()
            why = self.tally.refused[-1] if self.tally.refused else "no answer"
            raise ConnectionError(f"broker {self.host}:{self.port}: {why}; is it running, and may we log in?")
        return self

    def __exit__(self, *_: object) -> None:
        self._drain()
        self._client.disconnect()
        self._client.loop_stop()

    def stop(self) -> None:
        self._stopped = True

    def _wait(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> bool:
        """Waits until it is enough or the time is over; False when we were stopped."""
        deadline = time.monotonic() + seconds
        while not self._stopped and not enough() and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))
        return not self._stopped

    def play(self, sents: Iterable[Sent], pace: Pace) -> Tally:
        """Publish each message at its simulated instant, until there are no more or `stop()` is called."""
        for sent in sents:
            behind_s = -pace.wait_s(sent.at_ns)
            if not self._wait(-behind_s):
                break
            self.tally.lag_s_max = max(self.tally.lag_s_max, behind_s)
            if not self._publish(sent):
                break
        return self.tally

    def _publish(self, sent: Sent) -> bool:
        """False when we were stopped."""
        if self._poster is not None and sent.topic.startswith(POSTED):
            self.tally.sent += 1
            self._poster.post(sent)
            self.tally.posted += 1
            return True
        while self._unacked() >= UNACKED_MAX and not self._stopped:
            self._moved.wait(SLICE_S)
            self._moved.clear()
        if self._stopped:
            return False
        self._client.publish(sent.topic, sent.payload, qos=sent.qos, retain=sent.retained)
        self.tally.sent += 1
        return True

    def _unacked(self) -> int:
        return self.tally.sent - self.tally.posted - self.tally.acknowledged

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while self._unacked() and time.monotonic() < deadline and not self._stopped:
            self._moved.wait(SLICE_S)
            self._moved.clear()

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _props: object
    ) -> None:
        if reason.is_failure:
            self.tally.refused.append(str(reason))
            return
        self.tally.reconnects += 1
        if self._cameras:
            self._client.subscribe([(topic, 1) for topic in self._cameras])
        self._up.set()

    def _on_message(self, client: paho.Client, _data: object, asked: paho.MQTTMessage) -> None:
        """A camera is asked for a picture. This is the thread in which the answer's PUBACK comes, later."""
        topic, said = self._cameras[asked.topic], answer(bytes(asked.payload))
        if said:
            self._answers.add(client.publish(topic, said, qos=1).mid)

    def _on_publish(self, _client: paho.Client, _data: object, mid: int, *_: object) -> None:
        # no lock here: paho holds its own while it calls us, and publish() takes that one too
        if mid in self._answers:
            self._answers.discard(mid)
            return
        self.tally.acknowledged += 1
        self._moved.set()
