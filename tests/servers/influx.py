"""A real InfluxDB 1.6 behind nginx (which speaks the v2 write API), and a fake server with scripted answers.

`with Influx(tmp_path) as influx: ...` starts influxd and nginx on free ports. influxd 1.6 is the newest real
server that Debian has: its parser decides what a line means, so whatever it gives back is compared with what
was sent. The precision map is essential: 1.6 takes an unknown precision as ns without a word.
"""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.servers.process import Process, find_program, free_port

TOKEN, ORG, BUCKET = "devtoken", "street", "lilong"
USER, PASSWORD = "gw", "gwtoken"
HINT = "apt-get install --no-install-recommends influxdb nginx-light"

INFLUXD = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = true
  log-enabled = false
[monitor]
  store-enabled = false
"""
NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_max_body_size {body_most};
  client_body_buffer_size 4m;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  map $arg_precision $v1prec {{ ns n; us u; ms ms; s s; default n; }}
  map $http_authorization $v1auth {{ "Token {token}" "Basic {basic}"; default ""; }}
  server {{
    listen 127.0.0.1:{port};
    location = /api/v2/write {{
      if ($v1auth = "") {{ return 401 '{{"code":"unauthorized","message":"unauthorized access"}}'; }}
      proxy_set_header Authorization $v1auth;
      proxy_pass http://127.0.0.1:{influxd}/write?db=$arg_bucket&precision=$v1prec;
    }}
    location = /ping {{ proxy_pass http://127.0.0.1:{influxd}/ping; }}
    location ~ ^/(health|ready)$ {{
      default_type application/json;
      return 200 '{{"name":"influxdb","status":"pass"}}';
    }}
  }}
}}
"""


class Point(NamedTuple):
    """One stored point, as the server gives it back."""

    measurement: str
    tags: frozenset[tuple[str, str]]
    time_ns: int
    fields: frozenset[tuple[str, Any]]


class Influx:
    """influxd and nginx; `url` is what a gateway writes to. `stop`, `kill` and `start` mean influxd alone."""

    def __init__(self, directory: Path, body_most: str = "64m") -> None:
        folder = directory / "influx"
        folder.mkdir(parents=True)
        self._port, front = free_port(), free_port()
        self.url = f"http://127.0.0.1:{front}"
        self.server = _influxd(folder, self._port)
        self.front = _nginx(folder, front, self._port, body_most)
        self.port = front

    def __enter__(self) -> Self:
        self.server.start()
        self.front.start()
        self._query(f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES")
        self.create(BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self.front.stop()
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def kill(self) -> None:
        self.server.kill()

    def create(self, bucket: str) -> None:
        self._query(f'CREATE DATABASE "{bucket}"')

    def drop(self, bucket: str) -> None:
        self._query(f'DROP DATABASE "{bucket}"')

    def forget(self, bucket: str = BUCKET) -> None:
        """Every point of it; much cheaper than a new bucket."""
        self._query("DROP SERIES FROM /.*/", bucket)

    def write(self, lines: str, bucket: str = BUCKET) -> None:
        """Straight to influxd, for a test's preparations."""
        url = (
            f"http://127.0.0.1:{self._port}/write?{urllib.parse.urlencode({'db': bucket, 'precision': 'n'})}"
        )
        urllib.request.urlopen(_authorized(url, lines.encode()), timeout=30).close()

    def points(self, bucket: str = BUCKET) -> list[Point]:
        """Every point there is."""
        found = self._query("SELECT * FROM /.*/ GROUP BY *", bucket).get("series", [])
        return [point for series in found for point in _points(series)]

    def count(self, measurement: str, bucket: str = BUCKET, field: str = "quality") -> int:
        found = self._query(f'SELECT count("{field}") FROM "{measurement}"', bucket).get("series")
        return int(found[0]["values"][0][1]) if found else 0

    def _query(self, text: str, bucket: str = "") -> dict[str, Any]:
        form = urllib.parse.urlencode({"q": text, "db": bucket, "epoch": "ns"}).encode()
        with urllib.request.urlopen(
            _authorized(f"http://127.0.0.1:{self._port}/query", form), timeout=60
        ) as answer:
            result = json.load(answer)["results"][0]
        assert "error" not in result, result
        return dict(result)


def _influxd(folder: Path, port: int) -> Process:
    (folder / "influxd").mkdir()
    config = folder / "influxd" / "influxd.conf"
    config.write_text(INFLUXD.format(rpc=free_port(), port=port, folder=folder / "influxd"))
    return Process(config.parent, [find_program("influxd", HINT), "run", "-config", str(config)], [port])


def _nginx(folder: Path, port: int, influxd: int, body_most: str) -> Process:
    (folder / "nginx").mkdir()
    config = folder / "nginx" / "nginx.conf"
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    values = {"folder": config.parent, "port": port, "influxd": influxd, "body_most": body_most}
    config.write_text(NGINX.format(token=TOKEN, basic=basic, **values))
    return Process(config.parent, [find_program("nginx", HINT), "-c", str(config)], [port])


def _authorized(url: str, body: bytes) -> urllib.request.Request:
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return urllib.request.Request(url, body, {"Authorization": f"Basic {basic}"})


def _points(series: dict[str, Any]) -> list[Point]:
    tags = frozenset((key, value) for key, value in series.get("tags", {}).items() if value)
    points = []
    for row in series["values"]:
        values = dict(zip(series["columns"], row, strict=True))
        at = values.pop("time")
        present = frozenset((key, value) for key, value in values.items() if value is not None)
        points.append(Point(series["name"], tags, at, present))
    return points


# ---------------------------------------------------------------- a fake v2 server


@dataclass(frozen=True, slots=True)
class Answer:
    """What the fake does with one write."""

    status: int = 204
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    store: bool | None = None  # None: only when it says 204
    hang: bool = False  # no answer at all, the connection stays open
    drip: bool = False  # one byte of the answer every 0.2 s, for ever
    cut: bool = False  # the connection is reset instead of an answer
    raw: bytes = b""  # these bytes instead of an HTTP answer


def refusal(status: int, message: str, **headers: str) -> Answer:
    """An answer in InfluxDB's own form."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status, json.dumps({"code": "invalid", "message": message}).encode(), named)


@dataclass(frozen=True, slots=True)
class Request:
    """One write as it came: `at` is steady seconds."""

    at: float
    lines: tuple[bytes, ...]
    token: str
    query: dict[str, list[str]] = field(default_factory=dict)


class FakeInflux:
    """Answers writes as scripted, then 204. Stores what it accepts: `stored` counts each line.

    `judge` may look at the lines of a request and refuse (an Answer) or accept (None); it comes after the
    script. Strict: a body that is not gzip, a wrong precision, org or bucket, or an empty line is a failure
    that the test sees in `faults`.
    """

    def __init__(
        self, *script: Answer, judge: Callable[[Sequence[bytes]], Answer | None] | None = None
    ) -> None:
        self.script, self.judge = deque(script), judge
        self.requests: list[Request] = []
        self.stored: dict[bytes, int] = {}
        self.faults: list[str] = []
        self.ended = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = self.script.popleft() if self.script else None
        answer = answer or (self.judge(request.lines) if self.judge else None) or Answer()
        taken = answer.status == 204 and not (answer.hang or answer.drip or answer.cut or answer.raw)
        if taken if answer.store is None else answer.store:
            for line in request.lines:
                self.stored[line] = self.stored.get(line, 0) + 1
        return answer


def _handler(fake: FakeInflux) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._respond(fake.answer(self._request(body)))

        def _request(self, body: bytes) -> Request:
            parts = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(parts.query)
            wanted = {"org": [ORG], "bucket": [BUCKET], "precision": ["ns"]}
            if parts.path != "/api/v2/write" or query != wanted:
                fake.faults.append(f"asked for {self.path}")
            if self.headers.get("Content-Encoding") != "gzip":
                fake.faults.append("not gzip")
            lines = tuple(gzip.decompress(body).split(b"\n"))
            if b"" in lines:
                fake.faults.append("an empty line")
            token = str(self.headers.get("Authorization", "")).removeprefix("Token ")
            return Request(time.monotonic(), lines, token, query)

        def _respond(self, answer: Answer) -> None:
            if answer.hang:
                fake.ended.wait()
            elif answer.cut:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif answer.drip:
                self._drip()
            elif answer.raw:
                self.wfile.write(answer.raw)
            else:
                self._send(answer)
                return
            self.close_connection = True

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)  # no Date header but a scripted one
            for name, value in answer.headers:
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def _drip(self) -> None:
            try:
                self.wfile.write(b"HTTP/1.1 503 Busy\r\nX-Slow: ")
                while not fake.ended.wait(0.2):
                    self.wfile.write(b"a")
            except OSError:
                pass  # the client has had enough

        def log_message(self, *_: object) -> None:
            """A test prints what it needs."""

    return Handler
