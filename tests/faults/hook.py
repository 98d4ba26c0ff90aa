"""The street office's own system, where a webhook arrives: remembers everything, and misbehaves on demand."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Call:
    """One POST: `at` is the steady instant at which its last byte was here."""

    at: float
    key: str
    alert: str
    device: str
    kind: str
    accepted: bool


class Hook:
    """`status` is what it answers. `heard` is called before the answer, with each call it accepts."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.status = 200
        self.heard: Callable[[Call], None] = lambda call: None
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def take(self, key: str, body: bytes) -> int:
        said = json.loads(body)
        status, at = self.status, time.monotonic()
        device = said["title"].rpartition(" · ")[2]
        call = Call(at, key, said["alert"], device, said["kind"], status < 300)
        self.calls.append(call)
        if call.accepted:
            self.heard(call)
        return status

    # ------------------------------------------------------------ what was told

    @property
    def told(self) -> Counter[tuple[str, str]]:
        """(device, idempotency key) -> how often it was accepted."""
        return Counter((call.device, call.key) for call in list(self.calls) if call.accepted)

    def devices(self) -> set[str]:
        return {device for device, _ in self.told}

    def first(self) -> dict[str, float]:
        """Device -> when a person was first told of it."""
        found: dict[str, float] = {}
        for call in list(self.calls):
            if call.accepted:
                found.setdefault(call.device, call.at)
        return found


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Its callers are killed on purpose, in the midst of a word: nothing to say."""


def _handler(hook: Hook) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = hook.take(self.headers["Idempotency-Key"], body)
            self.send_response_only(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """One line for each call would hide the counts."""

    return Handler
