"""uvicorn in a thread of its own, bound before `start` returns, and with patience for nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway import telemetry

CONNECTIONS_MOST = 200  # a page must never starve the pipeline
HEAD_BYTES_MOST = 16 * 1024
KEEP_ALIVE_S = 15
SILENT_S = 10.0  # for a whole request to arrive: a slow or silent client loses its place
BODY_BYTES_S = 1_000.0  # but a picture on a line of 2G, which brings 2 to 5 kB/s, has the time it takes
BODY_S_MOST = 300.0  # altogether
STOP_S = 5.0


class _Impatient(H11Protocol):
    """Closes a connection whose request does not arrive in time (uvicorn itself waits for ever)."""

    _deadline: asyncio.TimerHandle | None = None
    _began_s, _came = 0.0, 0  # of the request that is arriving

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MOST:
            transport.abort()  # files are counted for the whole process: the store and the broker need theirs
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._came:
            self._began_s = self.loop.time()
        self._came += len(data)
        super().data_received(data)
        if self._deadline is not None and self.cycle is not None and self.cycle.more_body:
            self._give_time()

    def _give_time(self) -> None:
        """As much as its bytes so far have earned: a drop at a time earns nothing."""
        assert self._deadline is not None
        self._deadline.cancel()
        spent_s = SILENT_S + self._came / BODY_BYTES_S
        self._deadline = self.loop.call_at(self._began_s + min(spent_s, BODY_S_MOST), self._give_up)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.more_body:
            self._calm()

    def on_response_complete(self) -> None:
        self._await_request()
        super().on_response_complete()

    def _await_request(self) -> None:
        self._calm()
        self._came = 0
        idle_s = KEEP_ALIVE_S if self.cycle is not None else 0  # between two requests it may be quiet
        self._deadline = self.loop.call_later(SILENT_S + idle_s, self._give_up)

    def _calm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


class WebServer:
    """Serves an app on host:port (0: a free one, see `port` after `start`)."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._host, self.port = host, port
        settings: dict[str, Any] = {
            "http": _Impatient,
            "ws": "none",
            "lifespan": "off",
            "loop": "asyncio",
            "access_log": False,  # paths are tokens
            "log_config": None,
            "log_level": "critical",  # what it has to say of broken requests is noise
            "server_header": False,
            "proxy_headers": False,  # nobody's X-Forwarded-For is believed
            "h11_max_incomplete_event_size": HEAD_BYTES_MOST,
            "timeout_keep_alive": KEEP_ALIVE_S,
            "timeout_graceful_shutdown": int(STOP_S),
        }
        self._server = uvicorn.Server(uvicorn.Config(app, **settings))
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self.port), family=family, backlog=64)
        # Inherited by each connection; asyncio sets it only on sockets whose protocol is written out. Without
        # it an answer of two writes waits 40 ms for the client's acknowledgement of the first.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._socket.getsockname()[1]
        self._thread.start()
        telemetry.log("web_started", address=f"{self._host}:{self.port}")

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S + 1)
        if self._socket:
            self._socket.close()

    def _run(self) -> None:
        assert self._socket is not None
        self._server.run(sockets=[self._socket])
