"""What stands before every page: headers, who may see what, and patience with wrong tokens."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import telemetry

BODY_BYTES_MOST = 4096  # a verb, a reason and a few words
WRONG_MOST, WRONG_SPAN_S = 10, 60.0
ADDRESSES_MOST = 1024  # remembered for that; the oldest goes first
FORWARDED = ("x-forwarded-for", "x-real-ip", "forwarded", "via")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


class Guard:
    """Middleware: sets HEADERS on everything, and turns our own failures into one line and a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)  # a picture's policy is stricter still
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except ClientDisconnect:
            return
        except Exception as error:
            telemetry.log("web_failed", "error", error=error)  # never the path: it may be a token
            if not begun:
                await PlainTextResponse("内部错误 internal error", 500)(scope, receive, send_guarded)


def is_local(request: Request) -> bool:
    """A browser on this very box, and not a proxy that speaks for somebody else.

    Behind a careless reverse proxy everybody comes from 127.0.0.1. Proxies give themselves away by a
    forwarding header, by HTTP/1.0 (nginx as it comes), or by handing on the outer host name.
    """
    client = request.client.host if request.client else ""
    try:
        near = ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
    proxied = request.scope["http_version"] == "1.0" or any(name in request.headers for name in FORWARDED)
    return near and not proxied and host_name(request.headers.get("host", "")) in LOOPBACK_NAMES


def host_name(host: str) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()


def is_own(request: Request, public_url: str) -> bool:
    """Whether a POST comes from a page of ours: by Origin when there is one, and by the browser's word."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True  # no browser of the last years leaves it out; the token itself is the capability
    ours = {request.headers.get("host", "").lower(), urlsplit(public_url).netloc.lower()} - {""}
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() in ours


async def read_form(request: Request) -> dict[str, str] | None:
    """The fields of a small form; None when the body is larger than any of ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MOST:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


class Attempts:
    """Counts wrong tokens by address. Only wrong ones are turned away: nobody can lock out the right."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def too_many(self, address: str) -> bool:
        """Counts one more wrong token; True when that address has had its share for now."""
        now = self._now()
        with self._lock:
            times = self._wrong.setdefault(address, deque(maxlen=WRONG_MOST + 1))
            self._wrong.move_to_end(address)
            times.append(now)
            if len(self._wrong) > ADDRESSES_MOST:
                self._wrong.popitem(last=False)
            return len(times) > WRONG_MOST and now - times[0] < WRONG_SPAN_S


class Used:
    """Action tokens that have acted. In memory: after a restart the case's own table still says no twice."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._tokens: OrderedDict[str, None] = OrderedDict()

    def take(self, token: str) -> bool:
        """True for the first one who comes with it."""
        if token in self._tokens:
            return False
        self._tokens[token] = None
        if len(self._tokens) > self._most:
            self._tokens.popitem(last=False)
        return True

    def give_back(self, token: str) -> None:
        """It did not act after all."""
        self._tokens.pop(token, None)
