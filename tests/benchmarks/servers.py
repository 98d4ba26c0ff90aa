"""The real servers of one run: Mosquitto, and InfluxDB 1.6 behind nginx (which speaks the v2 write API).

Everything is bound to 127.0.0.1 on a free port, lives in one folder, and is ended by its pid.
"""

from __future__ import annotations

import base64
import json
import socket
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from tests.benchmarks import wire
from tests.benchmarks.child import Child, helper
from tests.waiting import until

TOKEN = "devtoken"  # accepted by nginx, which knows the 1.6 user behind it
ORG = "street"

MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages {inflight}
log_type error
set_tcp_nodelay true
"""
# Unlimited for 3.1.1, whose clients cannot name a window; MQTT 5 ones bring their Receive Maximum.
INFLIGHT = 65_535

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
  client_max_body_size 64m;
  client_body_buffer_size 4m;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  map $arg_precision $v1prec {{ ns n; us u; ms ms; s s; default n; }}
  map $http_authorization $v1auth {{ "Token {token}" "Basic {basic}"; default ""; }}
  upstream influxd {{ server 127.0.0.1:{influxd}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location = /api/v2/write {{
      if ($v1auth = "") {{ return 401 '{{"code":"unauthorized","message":"unauthorized access"}}'; }}
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization $v1auth;
      proxy_pass http://influxd/write?db=$arg_bucket&precision=$v1prec;
    }}
    location = /ping {{ proxy_pass http://influxd/ping; }}
    location = /health {{ return 200 '{{"name":"influxdb","status":"pass"}}'; }}
  }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


class Broker:
    """Mosquitto with an unlimited queue."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(MOSQUITTO.format(port=self.port, inflight=INFLIGHT))
        self.child = Child(["mosquitto", "-c", str(config)], folder / "mosquitto.log")
        until(lambda: listening(self.port), 10, "mosquitto")

    def cpu_s(self) -> float:
        return self.child.cpu_s()

    def stop(self) -> None:
        self.child.stop()


class Database(Protocol):
    """What the cases need of a place that points are written to."""

    url: str

    def create(self, bucket: str) -> None: ...
    def drop(self, bucket: str) -> None: ...
    def written(self, bucket: str) -> int:
        """Points taken so far, repeats counted again: cheap enough to ask often."""

    def points(self, bucket: str) -> dict[str, int]:
        """Distinct points of each measurement, read back."""

    def cpu_s(self) -> float: ...
    def stop(self) -> None: ...


class Influx:
    """influxd 1.6 and the nginx in front of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port, front = free_port(), free_port()
        self.url = f"http://127.0.0.1:{front}"
        self._influxd = self._start_influxd(folder)
        self._nginx = self._start_nginx(folder, front)
        self._query("CREATE USER gw WITH PASSWORD 'gwtoken' WITH ALL PRIVILEGES")

    def _start_influxd(self, folder: Path) -> Child:
        config = folder / "influxd.conf"
        config.write_text(INFLUXD.format(rpc=free_port(), port=self._port, folder=folder))
        child = Child(["influxd", "run", "-config", str(config)], folder / "influxd.log")
        until(lambda: listening(self._port), 20, "influxd")
        return child

    def _start_nginx(self, folder: Path, port: int) -> Child:
        config = folder / "nginx.conf"
        basic = base64.b64encode(b"gw:gwtoken").decode()
        words = {"folder": folder, "port": port, "influxd": self._port, "token": TOKEN, "basic": basic}
        config.write_text(NGINX.format(**words))
        command = ["nginx", "-p", str(folder), "-e", f"{folder}/nginx-start.log", "-c", str(config)]
        child = Child(command, folder / "nginx-out.log")
        until(lambda: listening(port), 10, "nginx")
        return child

    def create(self, bucket: str) -> None:
        self._query(f'CREATE DATABASE "{bucket}"')

    def drop(self, bucket: str) -> None:
        self._query(f'DROP DATABASE "{bucket}"')

    def written(self, bucket: str) -> int:
        found = get_json(f"http://127.0.0.1:{self._port}/debug/vars")
        shards = (entry for name, entry in found.items() if name.startswith("shard:"))
        return sum(s["values"]["writePointsOk"] for s in shards if s["tags"]["database"] == bucket)

    def points(self, bucket: str) -> dict[str, int]:
        query = "SELECT COUNT(*) FROM /.*/ GROUP BY model, component"  # in each of these the same fields
        found: Counter[str] = Counter()
        for one in self._query(query, bucket)["results"][0].get("series", []):
            found[one["name"]] += max(count or 0 for count in one["values"][0][1:])
        return dict(found)

    def cpu_s(self) -> float:
        return self._influxd.cpu_s() + self._nginx.cpu_s()

    def stop(self) -> None:
        self._nginx.stop()
        self._influxd.stop()

    def _query(self, query: str, bucket: str = "") -> Any:
        body = urllib.parse.urlencode({"q": query, "db": bucket}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/query", body, timeout=60) as answer:
            return json.load(answer)


class Sink:
    """Our recorder: webhook target for every run, and a database that costs nothing where that is wanted."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.child = helper("sink", folder / "sink.log")
        self.url = f"http://127.0.0.1:{self.child.said()['port']}"
        self.hook = f"{self.url}/hook"

    def create(self, bucket: str) -> None:
        """One recorder holds one run."""

    def drop(self, bucket: str) -> None:
        """Stopping it forgets everything."""

    def state(self) -> dict[str, int]:
        found: dict[str, int] = get_json(f"{self.url}/state")
        return found

    def written(self, bucket: str) -> int:
        return self.state()["lines"]

    def points(self, bucket: str) -> dict[str, int]:
        found: dict[str, int] = get_json(f"{self.url}/points")
        return found

    def hooks(self) -> list[tuple[int, str]]:
        """(steady ns of arrival, body) of every webhook post."""
        return [(at, body) for at, body in get_json(f"{self.url}/hooks")]

    def cpu_s(self) -> float:
        return self.child.cpu_s()

    def stop(self) -> None:
        self.child.stop()


def preload_session(port: int, client_id: str, level: int) -> None:
    """Makes the broker keep a session and its subscription for `client_id`, then leaves."""
    packets = wire.Packets()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for request in (wire.connect(client_id, level), wire.subscribe("site/#", level)):
            connection.sendall(request)
            next(packets.feed(connection.recv(256)))
        connection.sendall(wire.DISCONNECT_BYTES)
