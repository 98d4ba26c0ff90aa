"""The broker: one network thread that reads in gulps and acknowledges in batches.

Nothing is acknowledged here: whoever took a Delivery gives it to `acknowledge()` when it is safe on disk.
Packet ids mean something within one connection only, so that a Delivery carries its connection's epoch.
What happens inside a connection stands in mqtt_connection.py, what its bytes mean in mqtt_packets.py.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paho.mqtt

from gateway import telemetry
from gateway.adapters.mqtt_connection import Connection, LostError, Waker, paho_is_known
from gateway.adapters.mqtt_packets import MalformedError
from gateway.core.model import Message

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

RETRY_S_MIN, RETRY_S_MAX = 1.0, 30.0  # between attempts to connect
STEADY_S = 30.0  # a connection that lasted this long makes the next attempt a first one again
IDLE_S_MOST = 1.0  # between two looks at the keepalive
GATHER_S = 0.005  # wait before a read while much comes in: halves our CPU and the broker's
GATHER_ABOVE = 10_000  # messages a second; below it nobody pays those 5 ms
PACE_S = 0.05  # over which that rate is taken
OFFER_S = 0.02  # between two offers of a Delivery that found the gateway's queue full


@dataclass(frozen=True, slots=True)
class Delivery:
    """One read's worth of messages, and what `acknowledge` needs once they are safe."""

    epoch: int
    mids: Sequence[int]  # the packet id of each message; 0 for QoS 0, which needs no answer
    messages: list[Message]


class Pace:
    """Whether so much comes in that waiting a little before each read pays."""

    def __init__(self) -> None:
        self.fast = False
        self._count, self._since = 0, time.monotonic()

    def count(self, messages: int) -> None:
        self._count += messages
        span_s = time.monotonic() - self._since
        if span_s >= PACE_S:
            self.fast = self._count > GATHER_ABOVE * span_s
            self._count, self._since = 0, self._since + span_s


def retry_s(attempt: int) -> float:
    """How long to wait before connecting again; `attempt` from 1. Spread, so that gateways do not march."""
    return random.uniform(0.5, 1.0) * min(RETRY_S_MAX, RETRY_S_MIN * 2.0 ** min(attempt - 1, 10))


class Subscriber:
    """Hands over what the broker sends on `config.subscribe`, at QoS 1, in order, until stop().

    `deliver` and `link` are called on the network thread and must not block. `deliver` returns False when
    it has no room: the Delivery is offered again, meanwhile nothing is read and the broker holds the rest.
    `link(up, reason)` is told changes: up when CONNACK and every SUBACK said yes.
    `formerly` are filters that an earlier process may have left in the session.
    """

    def __init__(
        self,
        config: BrokerConfig,
        deliver: Callable[[Delivery], bool],
        link: Callable[[bool, str], None],
        *,
        formerly: Sequence[str] = (),
        fast: bool | None = None,
    ) -> None:
        self.epoch = 0  # the number of the present connection
        self.progress_at = time.monotonic()  # of the last byte in
        self._config, self._deliver, self._link = config, deliver, link
        self._fast = paho_is_known() if fast is None else fast
        self._wanted = tuple(config.subscribe)
        self._held = set(formerly)  # filters the session may hold
        self._acks: deque[Delivery] = deque()
        self._parked: Delivery | None = None
        self._told: tuple[bool, str] | None = None
        self._pace, self._waker, self._stopping = Pace(), Waker(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)

    # -- from any thread

    def start(self) -> None:
        if not self._fast:
            hint = "install paho-mqtt 2.2: without it each message costs twenty times the CPU"
            telemetry.log("mqtt_slow_path", "warning", version=paho.mqtt.__version__, hint=hint)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what was acknowledged, then DISCONNECT; the session stays at the broker."""
        self._stopping.set()
        self._waker.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._waker.close()

    @property
    def connected(self) -> bool:
        return self._told is not None and self._told[0]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """The broker may forget these. Call in the order of delivery; those of an older epoch are dropped."""
        self._acks.extend(deliveries)
        self._waker.wake()

    def subscribe(self, filters: Sequence[str]) -> None:
        """From now on these: new ones are subscribed, others unsubscribed."""
        self._wanted = tuple(filters)
        self._waker.wake()

    # -- the network thread

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                reason = self._live()
                attempt = 1 if time.monotonic() - began > STEADY_S else attempt + 1
                self._tell(False, reason)
                self._pause(retry_s(attempt))
            except Exception as error:  # whatever it was, the next connection starts afresh
                telemetry.log("mqtt_thread_failed", "error", client_id=self._config.client_id, error=error)
                with suppress(Exception):  # it may be the very callback that failed
                    self._tell(False, f"the gateway's own mistake: {error}")
                self._stopping.wait(RETRY_S_MIN)

    def _live(self) -> str:
        """One connection from CONNECT to its end, and why it ended."""
        self.epoch += 1
        connection = None
        try:
            connection = Connection(self._config, self.epoch, self._fast, self._held)
            while not self._stopping.is_set():
                self._turn(connection)
            self._pass_on(connection)
            connection.leave(self._waker)
            return "stopped"
        except (LostError, MalformedError, OSError) as error:
            event = "mqtt_malformed" if isinstance(error, MalformedError) else "mqtt_lost"
            telemetry.log(event, "warning", client_id=self._config.client_id, reason=str(error))
            return str(error)
        finally:
            if connection:
                connection.close()

    def _turn(self, connection: Connection) -> None:
        if self._pace.fast or connection.full:
            time.sleep(GATHER_S)
        reading = self._parked is None
        timeout_s = min(IDLE_S_MOST, connection.keepalive_s / 8) if reading else OFFER_S
        readable = connection.wait(self._waker, reading, timeout_s)
        self._pass_on(connection)
        if readable:
            self._read(connection)
        self._offer()
        connection.match(self._wanted)
        connection.write()
        if connection.verdict:
            self._tell(*connection.verdict)
            connection.verdict = None
        connection.check(reading)

    def _read(self, connection: Connection) -> None:
        batch = connection.read()
        self.progress_at = connection.heard_at
        self._pace.count(len(batch.messages))
        if batch.messages:
            self._parked = Delivery(connection.epoch, batch.mids, batch.messages)

    def _offer(self) -> None:
        if self._parked and self._deliver(self._parked):
            self._parked = None
        elif self._parked:
            hint = "the broker holds the rest; is the disk slow or full?"
            telemetry.log("mqtt_held_back", "warning", count=len(self._parked.messages), hint=hint)

    def _pass_on(self, connection: Connection) -> None:
        """Acknowledge what came on this connection: on another, the same packet id names another message."""
        stale = 0
        while self._acks:
            delivery = self._acks.popleft()
            if is_current(delivery, connection.epoch):
                connection.acknowledge(delivery.mids)
            else:
                stale += len(delivery.mids)
        if stale:
            telemetry.log("mqtt_acknowledged_stale", "warning", count=stale)

    def _tell(self, up: bool, reason: str) -> None:
        if self._told != (up, reason):
            self._told = (up, reason)
            self._link(up, reason)

    def _pause(self, seconds: float) -> None:
        """Wait for the next attempt; a parked Delivery need not."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0 and not self._stopping.is_set():
            self._offer()
            self._stopping.wait(min(left_s, OFFER_S) if self._parked else left_s)


def is_current(delivery: Delivery, epoch: int) -> bool:
    return delivery.epoch == epoch
