"""The other side of our HTTP: records webhook posts and, in place of a database, counts line protocol.

    python -m tests.benchmarks.sink

Prints its port. POST /hook is stamped with the steady clock when its last byte is here. A POST to
/api/v2/write is unpacked and counted, nothing else, so that it costs almost no CPU. GET /state, /hooks and
/points read back.
"""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import threading
import time
from typing import Any

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Recorder:
    """What has arrived so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hooks: list[tuple[int, str]] = []
        self.bodies: list[bytes] = []
        self.lines = self.first_ns = self.last_ns = 0

    def hook(self, body: bytes) -> bytes:
        with self._lock:
            self.hooks.append((time.monotonic_ns(), body.decode(errors="replace")))
        return OK % (2, b"{}")

    def write(self, body: bytes, packed: bool) -> bytes:
        lines = gzip.decompress(body) if packed else body
        with self._lock:
            self.bodies.append(body)
            self.lines += len(lines.splitlines())
            self.last_ns = time.monotonic_ns()
            self.first_ns = self.first_ns or self.last_ns
        return NO_CONTENT

    def state(self) -> dict[str, Any]:
        instants = {"first_ns": self.first_ns, "last_ns": self.last_ns}
        return {"lines": self.lines, "hooks": len(self.hooks), **instants}

    def points(self) -> dict[str, int]:
        """Measurement -> distinct points (series and instant)."""
        found: dict[str, set[tuple[bytes, bytes]]] = {}
        for body in self.bodies:
            for line in (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).splitlines():
                series, _, rest = line.partition(b" ")
                name = series.partition(b",")[0].decode()
                found.setdefault(name, set()).add((series, rest.rpartition(b" ")[2]))
        return {name: len(points) for name, points in found.items()}


RECORDER = Recorder()
READERS: dict[str, Any] = {
    "/state": RECORDER.state,
    "/points": RECORDER.points,
    "/hooks": lambda: RECORDER.hooks,
    "/health": lambda: {"status": "pass"},
    "/ping": dict,
}


class Handler(socketserver.StreamRequestHandler):
    """HTTP/1.1 with keep-alive, by hand: http.server spends more on a header than we do on everything."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline():
            headers = self._headers()
            body = self.rfile.read(int(headers.get(b"content-length", 0)))
            method, target, _ = line.split(b" ", 2)
            answer = self._answer(method, target.partition(b"?")[0].decode(), body, headers)
            self.wfile.write(answer)
            if headers.get(b"connection", b"").lower() == b"close":
                return

    def _headers(self) -> dict[bytes, bytes]:
        headers = {}
        while (line := self.rfile.readline()).strip():
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _answer(self, method: bytes, path: str, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        if path.startswith("/hook") and method == b"POST":
            return RECORDER.hook(body)
        if path.endswith("/write"):
            return RECORDER.write(body, headers.get(b"content-encoding") == b"gzip")
        found = json.dumps(READERS[path]()).encode() if path in READERS else b"{}"
        return OK % (len(found), found)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    address_family = socket.AF_INET


def main() -> None:
    with Server(("127.0.0.1", 0), Handler) as server:
        print(json.dumps({"port": server.server_address[1]}), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
