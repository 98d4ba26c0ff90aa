"""Outgoing HTTP to one place: one kept connection, one deadline for everything, nothing logged.

By hand and not with a client library: the deadline must bound the whole exchange (a server that
drips one byte a second beats any time-out per read), the address must be judged between resolving
and connecting, a library's debug log would carry the keys that sit in some URLs, and it takes
twice the time. Only the reading of answers is left to the standard library.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from gateway.adapters import certificates

TOTAL_S = 10.0  # name, connection, TLS, request, answer: a person waits behind this
BODY_BYTES_MOST = 64 * 1024  # no provider's answer is longer than a few hundred bytes
IDLE_S_MOST = 30.0  # home routers forget a silent connection after about a minute
NEVER = frozenset(  # beside the link-local range: where clouds keep credentials, and broadcast
    map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "255.255.255.255"))
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unreachable(Exception):
    """Nothing was sent: the name, the connection or TLS failed."""


class Unanswered(Exception):
    """The request may have arrived: no answer, or half of one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status with what else was read; `whole` is False when the body was too long, late or torn."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL; the path may be a secret and is kept apart."""

    secure: bool
    host: str
    port: int
    path: str = field(default="/", repr=False)

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Raises ValueError in words that do not repeat the URL (it may hold a key)."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected https://host/path")
        if parts.username is not None or parts.password is not None:
            raise ValueError("user and password do not belong in a URL")
        if any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
            raise ValueError("a space, control or non-ASCII character in the URL")
        secure = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80), path)

    @property
    def authority(self) -> str:
        """The Host header: a signature may cover it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


class Site:
    """One far side. Safe from any thread; one exchange at a time."""

    def __init__(self, origin: Origin, total_s: float = TOTAL_S, tls: ssl.SSLContext | None = None) -> None:
        self.origin, self._total_s = origin, total_s
        self._tls = (tls or ssl.create_default_context()) if origin.secure else None
        self._lock = threading.Lock()
        self._kept: socket.socket | None = None
        self._used_at = 0.0

    def post(self, path: str, body: bytes, headers: Mapping[str, str], until: float | None = None) -> Reply:
        """Send once, never again by itself. Raises Unreachable or Unanswered, and nothing else.

        Paths and header values are ours; one with a line break in it is a bug and raises ValueError.
        `until` is a `deadline()` that several exchanges share.
        """
        return self._ask("POST", path, body, headers, until)

    def get(self, path: str, headers: Mapping[str, str], until: float | None = None) -> Reply:
        """Ask once, as `post` does."""
        return self._ask("GET", path, b"", headers, until)

    def reach(self) -> float | None:
        """The name, the connection and TLS, and nothing sent. Raises Unreachable.

        When its certificate ends, in seconds since 1970; None in the clear.
        """
        with self._lock:
            return certificates.ends_s(self._connected(self.deadline()))

    def deadline(self) -> float:
        """When an exchange that begins now ends at the latest, in time.monotonic()."""
        return time.monotonic() + self._total_s

    def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], until: float | None
    ) -> Reply:
        request = _request(self.origin, method, path, body, headers)
        with self._lock:
            deadline = until or self.deadline()
            wire = self._connected(deadline)
            try:
                reply, kept = _exchange(wire, method, request, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                raise Unanswered(named(error)) from None
            self._used_at = time.monotonic()
            if not kept:
                self.close()
            return reply

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How it is spoken to, for another connection to the same; None: in the clear."""
        return self._tls

    def close(self) -> None:
        if self._kept:
            self._kept.close()
        self._kept = None

    def _connected(self, deadline: float) -> socket.socket:
        if self._kept and (time.monotonic() - self._used_at > IDLE_S_MOST or _stale(self._kept)):
            self.close()
        if self._kept is None:
            try:
                self._kept = _connect(self.origin, self._tls, deadline)
            except (OSError, ValueError) as error:
                raise Unreachable(named(error)) from None
        return self._kept


def _request(origin: Origin, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Head and body in one piece: one packet, and a third of the time http.client would take."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {origin.authority}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _exchange(wire: socket.socket, method: str, request: bytes, deadline: float) -> tuple[Reply, bool]:
    """The reply, and whether the connection is fit for another."""
    wire.settimeout(_left(deadline))  # sendall counts this over the whole sending
    wire.sendall(request)
    timed = cast(socket.socket, _Timed(wire, deadline))  # HTTPResponse asks of it makefile() and no more
    with http.client.HTTPResponse(timed, method=method) as response:
        response.begin()
        names = {name.lower(): value for name, value in response.getheaders()}
        body, whole = _read(response)
        return Reply(response.status, names, body, whole), whole and not response.will_close


def _read(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    try:
        body = response.read(BODY_BYTES_MOST)
        return body, not response.read(1)
    except (OSError, http.client.HTTPException, ValueError):
        return b"", False


def _connect(origin: Origin, tls: ssl.SSLContext | None, deadline: float) -> socket.socket:
    wire = dial(origin, deadline)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.settimeout(_left(deadline))
    try:
        if tls is None:
            return wire
        secured = tls.wrap_socket(wire, server_hostname=origin.host)
        certificates.note(origin.host, origin.port, secured)
        return secured
    except BaseException:
        wire.close()
        raise


def _stale(wire: socket.socket) -> bool:
    """True when the far side has closed, or says something that nobody asked for."""
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    return bool(poll.poll(0))


class _Timed(io.RawIOBase):
    """Reads of a socket that together end at one instant, however slowly the far side drips."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What HTTPResponse asks its socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)  # type: ignore[arg-type]

    def close(self) -> None:
        self._raw.close()
        super().close()


# ---------------------------------------------------------------- which address


def dial(origin: Origin, deadline: float) -> socket.socket:
    """Connect to one of the host's addresses: each is judged, and the one judged is the one used."""
    problem: Exception = OSError("the name has no address")
    for family, address in _resolve(origin, deadline):
        if reason := refused(address, origin):
            problem = OSError(reason)
            continue
        wire = socket.socket(family, socket.SOCK_STREAM)
        wire.settimeout(_left(deadline))
        try:
            wire.connect((str(address), origin.port))
            return wire
        except OSError as error:
            wire.close()
            problem = error
    raise problem


def refused(address: Address, origin: Origin) -> str:
    """Why we do not speak to that address, or "".

    A host written as an address or as `localhost` may be this very box; a *name* that leads here is
    somebody else's trick (rebinding). Machine metadata and multicast are never anybody's webhook.
    """
    inner = _inner(address)
    if inner.is_link_local or inner.is_multicast or inner.is_unspecified or inner in NEVER:
        return "the address is link-local, multicast, broadcast or a machine's metadata"
    if inner.is_loopback and not (origin.host == "localhost" or _literal(origin.host)):
        return "the name leads to this box itself"
    if not origin.secure and inner.is_global:
        return "plain http to a public address"
    return ""


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one may carry (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _resolve(origin: Origin, deadline: float) -> list[tuple[socket.AddressFamily, Address]]:
    """The host's addresses. The system's resolver knows no time-out, so a thread waits for it."""
    if literal := _literal(origin.host):
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, literal)]
    answer: queue.SimpleQueue[list[tuple[socket.AddressFamily, Address]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            answer.put([(one[0], ipaddress.ip_address(str(one[4][0]))) for one in found])
        except (OSError, ValueError) as error:
            answer.put(OSError(f"the name is not known: {error}"))

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    with suppress(queue.Empty):
        found = answer.get(timeout=_left(deadline))
        if isinstance(found, OSError):
            raise found
        return found
    raise TimeoutError("the name server does not answer")


# ---------------------------------------------------------------- small


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("out of time")
    return left


def named(error: Exception) -> str:
    """An error in words without the request's own bytes (they may hold a key)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return str(error) if str(error) in ("out of time", "the name server does not answer") else "timed out"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return type(error).__name__  # http.client quotes the far side's line, which may echo ours
