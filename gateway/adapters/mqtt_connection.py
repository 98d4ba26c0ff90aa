"""One connection to the broker: paho's CONNECT, SUBSCRIBE and the rest; our reads and acknowledgements.

paho makes four reads and one wake-up for a message. Here its public external-loop calls are driven from
our own thread, PUBLISH packets are parsed in bulk from what one read brought, and every other packet is
handed back to paho whole. Should paho not be the version we know, it reads for itself (`fast=False`):
slower, otherwise the same.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import paho.mqtt
from paho.mqtt import client as paho_client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway import telemetry
from gateway.adapters import certificates
from gateway.adapters.mqtt_packets import PINGREQ, PINGRESP, Batch, PacketParser, pubacks
from gateway.core.model import Message

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

PAHO_KNOWN = "2.2."  # the versions whose one private name, Client._sock_recv, we know
SESSION_S = 30 * 86400  # how long the broker keeps our session (v5): longer than any repair takes
CONNECT_S = 5.0  # for TCP and TLS together; stop() may have to wait for it
QUIET_KEEPALIVES = 1.5  # no byte for so many keepalives, though we ping twice in each: it is dead
READ_BYTES = 65536  # one recv
READ_BYTES_MOST = 8 * READ_BYTES  # one Delivery: about 2,000 messages of a usual size
STOCK_PACKETS_MOST = 200  # one Delivery when paho reads for itself
LEAVE_S = 2.0  # for the last acknowledgements and DISCONNECT
PAUSE_S = 0.02  # between two looks while leaving
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class LostError(Exception):
    """The connection is over; the text says why."""


# ---------------------------------------------------------------- paho


class HandedClient(paho_client.Client):
    """paho, reading the packets we hand it instead of the socket."""

    handed = b""

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.handed:
            raise BlockingIOError
        part, self.handed = self.handed[:bufsize], self.handed[bufsize:]
        return part


def paho_is_known() -> bool:
    """Whether paho still has the one private name that HandedClient replaces."""
    return paho.mqtt.__version__.startswith(PAHO_KNOWN) and hasattr(paho_client.Client, "_sock_recv")


def make_client(config: BrokerConfig, fast: bool) -> paho_client.Client:
    """A client for one connection. Secrets and certificates are read now, so renewed ones count."""
    client = (HandedClient if fast else paho_client.Client)(
        CallbackAPIVersion.VERSION2,
        config.client_id,
        clean_session=None if config.protocol == 5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if config.protocol == 5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=not fast,  # when fast, paho sees no QoS 1, and may finish QoS 2 by itself
    )
    client.connect_timeout = CONNECT_S
    enter(client, config)
    client.on_socket_register_write = lambda *_: None  # paho then only queues: Connection.write sends
    return client


def enter(client: paho_client.Client, config: BrokerConfig) -> None:
    """Who we are at the broker, and whom we take for it."""
    if config.username:
        password = config.password_file.read_text("utf-8").strip("\r\n") if config.password_file else None
        client.username_pw_set(config.username, password)
    if config.ca_file or config.cert_file:
        client.tls_set_context(tls_context(config))


def tls_context(config: BrokerConfig) -> ssl.SSLContext:
    """The broker must show a certificate of its name that `ca_file` (else the system's list) vouches for."""
    context = ssl.create_default_context(cafile=config.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.cert_file:
        context.load_cert_chain(config.cert_file, config.key_file)
    return context


def connect(client: paho_client.Client, config: BrokerConfig) -> None:
    """Open the TCP (and TLS) connection and queue CONNECT for a session that outlives it."""
    more: dict[str, Any] = {}
    if config.protocol == 5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = config.receive_maximum
        more = {"clean_start": False, "properties": properties}
    client.connect(config.host, config.port, max(1, int(config.keepalive_s)), **more)
    opened = client.socket()
    certificates.note(config.host, config.port, opened)
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # While we do not read we cannot miss an answer: the kernel must notice that the far side is gone.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(config.keepalive_s * 2000))


# ---------------------------------------------------------------- one connection


class Waker:
    """Ends the network thread's sleep from another thread: many calls, one byte."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        self._woken = False

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            with suppress(OSError):  # full: it will wake anyhow; closed: nobody sleeps
                self._writer.send(b"\0")

    def clear(self) -> None:
        """To be called before looking for what one was woken for."""
        self.reader.recv(64)
        self._woken = False

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


class Connection:
    """One connection, from CONNECT to its loss. Only the network thread touches it."""

    def __init__(self, config: BrokerConfig, epoch: int, fast: bool, held: set[str]) -> None:
        self.epoch = epoch
        self.admitted = False  # CONNACK said yes
        self.verdict: tuple[bool, str] | None = None  # for the link callback
        self.full = False  # the last read left something behind
        self.heard_at = time.monotonic()
        self._config, self._held, self._fast = config, held, fast
        self._lost = ""
        self._asked: tuple[str, ...] | None = None  # filters subscribed in this connection
        self._waiting: dict[int | None, str] = {}  # SUBSCRIBE not yet answered: packet id -> filter
        self._leaving: dict[int | None, str] = {}  # the same of UNSUBSCRIBE
        self._refused: dict[str, str] = {}
        self._batch = Batch([], [], [])
        self._parser = PacketParser(config.protocol)
        self._out = bytearray()  # PUBACK and PINGREQ packets of ours
        self._begun = False  # a part of them is already on the wire
        self._pinged_at = self.heard_at
        self._client = make_client(config, fast)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = self._on_unsubscribe
        self._client.on_message = self._on_message
        connect(self._client, config)

    # -- waiting, reading, writing

    def wait(self, waker: Waker, reading: bool, timeout_s: float) -> bool:
        """Sleep until there is something to do; True when there is something to read."""
        sock = self._client.socket()
        if sock is None:
            return False
        writing = bool(self._out) or self._client.want_write()
        poller = select.poll()
        poller.register(waker.reader, select.POLLIN)
        poller.register(sock, select.POLLIN * reading | select.POLLOUT * writing)
        ready = dict(poller.poll(timeout_s * 1000))
        if waker.reader.fileno() in ready:
            waker.clear()
        state = ready.get(sock.fileno(), 0) & ~select.POLLOUT
        if state and not reading:  # POLLERR, POLLHUP: they are told unasked
            self._lost = self._lost or "the connection broke"
        return bool(state) and reading

    def read(self) -> Batch:
        """Everything that waits in the socket, up to READ_BYTES_MOST. A loss shows in `check`."""
        self.heard_at = time.monotonic()
        self._batch = Batch([], [], [])
        if self._fast:
            self._batch = self._parser.receive(self._received())
            for packet in self._batch.others:
                self._hand(packet)
        else:
            self._let_paho_read()
        return self._batch

    def _received(self) -> bytes:
        sock, parts, size = self._client.socket(), [], 0
        whole_records = isinstance(sock, ssl.SSLSocket)  # one recv brings one record, however small
        try:
            while sock and size < READ_BYTES_MOST:
                part = sock.recv(READ_BYTES)
                if not part:
                    self._lost = "the broker closed the connection"
                    break
                parts.append(part)
                size += len(part)
                if len(part) < READ_BYTES and not whole_records:
                    break
        except WOULD_BLOCK:
            pass
        except OSError as error:
            self._lost = str(error)
        self.full = size >= READ_BYTES
        return b"".join(parts)

    def _hand(self, packet: bytes) -> None:
        assert isinstance(self._client, HandedClient)
        self._client.handed = packet
        self._client.loop_read()

    def _let_paho_read(self) -> None:
        self.full = True
        for _ in range(STOCK_PACKETS_MOST):
            self._client.loop_read()
            sock = self._client.socket()
            if sock is None or not self._has_more(sock):
                self.full = False
                return

    @staticmethod
    def _has_more(sock: Any) -> bool:
        decrypted = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return decrypted or bool(poller.poll(0))

    def acknowledge(self, mids: Sequence[int]) -> None:
        self._out += pubacks(mids)

    def write(self) -> None:
        """Send what waits. Whoever began a packet, paho or we, ends it before the other begins one."""
        if not self._begun and self._client.want_write():
            self._client.loop_write()
            if self._client.want_write():
                return
        sock = self._client.socket()
        if not self._out or sock is None:
            return
        try:
            del self._out[: sock.send(self._out)]
        except WOULD_BLOCK:
            pass
        except OSError as error:
            self._lost = self._lost or str(error)
        self._begun = bool(self._out)

    # -- staying and leaving

    def check(self, reading: bool) -> None:
        """Ping when it is time; LostError when the connection is over, or must be taken for dead."""
        now = time.monotonic()
        if self._lost or self._client.socket() is None:
            raise LostError(self._lost or "the connection was lost")
        if not reading:
            self.heard_at = now  # we did not listen, so that silence proves nothing
        quiet_s = now - self.heard_at
        if quiet_s > min(QUIET_KEEPALIVES * self.keepalive_s, self._config.rebuild_after_s):
            raise LostError(f"nothing came from the broker for {quiet_s:.1f} s")
        if self.admitted and now - self._pinged_at >= self.keepalive_s / 2 and not self._out:
            self._out += PINGREQ  # ours, not paho's: it would expect the answer while we do not read
            self._pinged_at = now

    @property
    def keepalive_s(self) -> float:
        """Ours, or the broker's (v5) when that is shorter."""
        ours: float = self._config.keepalive_s
        return min(self._client.keepalive or ours, ours)

    def leave(self, waker: Waker) -> None:
        """Send what waits, hear that the broker has read it, then DISCONNECT; the session stays there.

        A socket closed with something unread in it is reset, and the broker forgets what it has not read of
        ours. So what still comes is read, and left unacknowledged: it comes again.
        """
        deadline = time.monotonic() + LEAVE_S
        self._out += PINGREQ
        heard = not self._fast  # paho tells nobody of a PINGRESP
        leaving = False
        while self._client.socket() is not None and not self._lost and time.monotonic() < deadline:
            if heard and not self._out and not leaving:
                self._client.disconnect()
                leaving = True
            self.write()
            if self.wait(waker, reading=not heard, timeout_s=PAUSE_S):
                heard = PINGRESP in self.read().others

    def close(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.close()

    # -- filters

    def match(self, wanted: tuple[str, ...]) -> None:
        """Subscribe to what is wanted and not yet asked for; unsubscribe what the session holds besides."""
        if not self.admitted or wanted == self._asked:
            return
        new = [filter for filter in wanted if filter not in (self._asked or ())]
        self._asked = wanted
        self._refused = {filter: why for filter, why in self._refused.items() if filter in wanted}
        for filter in new:
            self._subscribe(filter)
        for filter in self._held - set(wanted) - set(self._leaving.values()):
            self._leaving[self._client.unsubscribe(filter)[1]] = filter
        self._settle()

    def _subscribe(self, filter: str) -> None:
        try:
            if self._config.protocol == 5:  # what is retained comes once, not at every reconnection
                once = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
                asked = self._client.subscribe(filter, options=once)
            else:
                asked = self._client.subscribe(filter, qos=1)
        except ValueError as error:  # not a filter at all
            self._refuse(filter, str(error))
            return
        self._waiting[asked[1]] = filter
        self._held.add(filter)

    def _refuse(self, filter: str, reason: str) -> None:
        self._refused[filter] = reason
        hint = "let the broker's access list allow this subscription, or correct broker.subscribe"
        telemetry.log("subscription_refused", "error", topic=filter, reason=reason, hint=hint)

    def _settle(self) -> None:
        """When every SUBSCRIBE was answered: whether all that is wanted will come."""
        if not self._waiting:
            refused = ", ".join(f"{filter}: {why}" for filter, why in self._refused.items())
            self.verdict = (not refused, refused and f"subscription refused: {refused}")

    # -- what paho calls, from within loop_read and loop_write: on the network thread

    def _on_connect(self, _c: Any, _u: Any, flags: Any, code: ReasonCode, _p: Any) -> None:
        who = {"client_id": self._config.client_id, "address": f"{self._config.host}:{self._config.port}"}
        if code.is_failure:
            self._lost = f"refused: {code}"
            hint = "see broker.username, password_file, cert_file, client_id and protocol"
            telemetry.log("mqtt_refused", "error", reason=str(code), hint=hint, **who)
        else:
            self.admitted = True
            session = "session resumed" if flags.session_present else "new session"
            telemetry.log("mqtt_connected", reason=session, **who)

    def _on_disconnect(self, _c: Any, _u: Any, flags: Any, code: ReasonCode, _p: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._lost = f"the broker ended the connection: {code}"
        self._lost = self._lost or str(code)

    def _on_subscribe(self, _c: Any, _u: Any, mid: int, codes: list[ReasonCode], _p: Any) -> None:
        filter = self._waiting.pop(mid, "")
        for code in codes:
            if code.is_failure:
                self._refuse(filter, str(code))
            elif code.value == 0:
                hint = "with QoS 0 the broker drops what comes while the gateway is away"
                telemetry.log("subscription_downgraded", "warning", topic=filter, reason=str(code), hint=hint)
        self._settle()

    def _on_unsubscribe(self, _c: Any, _u: Any, mid: int, _codes: Any, _p: Any) -> None:
        filter = self._leaving.pop(mid, "")
        if filter not in (self._asked or ()):
            self._held.discard(filter)

    def _on_message(self, client: paho_client.Client, _u: Any, message: paho_client.MQTTMessage) -> None:
        """Only when paho reads for itself, or for QoS 2 (an older session may hold such a subscription)."""
        try:
            topic = message.topic
        except UnicodeDecodeError as error:
            topic = error.object.decode("utf-8", "replace")
        if message.qos == 2:  # taken, so that it does not stop the rest, but only kept in memory till then
            telemetry.log("mqtt_exactly_once", "warning", topic=topic, hint="subscribe with QoS 1")
            client.ack(message.mid, message.qos)
        self._batch.mids.append(message.mid if message.qos == 1 else 0)
        payload, retained, again = bytes(message.payload), bool(message.retain), bool(message.dup)
        self._batch.messages.append(Message(topic, payload, retained, again))
