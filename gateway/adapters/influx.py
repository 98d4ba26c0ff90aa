"""InfluxDB 2.x/3.x, or any server of its write API, through influxdb-client's synchronous way.

The client sends one ready body a request and retries nothing: when to try again is the forwarder's business,
and which single points a server will not have is found here by halving. The bytes go over adapters.http,
whose one deadline bounds the whole exchange (the client's own bounds only each read) and whose body cap
keeps a mad answer out of our memory.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway import telemetry
from gateway.adapters.http import Origin, Reply, Site, Unanswered, Unreachable
from gateway.core.backoff import TransientError, retry_after_s
from gateway.core.lines import Batch, RefusedLine, Taken

if TYPE_CHECKING:
    from gateway.config import InfluxConfig

LINES_MOST = 5_000  # a request
GZIP_LEVEL = 1  # a third of the size for 0.2 us a line; level 9 (the client's own) costs ten times that
BARRED_S = 10.0  # at most one request in 10 s while a person must put something right first
HINTS = {
    401: "the token is wrong or has expired: renew the file that influx.token_file names",
    403: "the token may not write to influx.bucket: give it write permission",
    404: "influx.org or influx.bucket does not exist there, or influx.url is no InfluxDB",
}
NO_INFLUX = "what answers at influx.url is not InfluxDB's write API"
_PARTIAL = re.compile(rb"partial write|beyond retention|points? (?:were )?dropped|unable to parse")


class InfluxSink:
    """Takes batches; a point that the server refuses for good is handed back with the server's reason."""

    name = "influx"
    news_first = True  # a rewritten or reordered point is the same point

    def __init__(self, config: InfluxConfig, flush_s: float = 0.2, lines_most: int = LINES_MOST) -> None:
        self.flush_s = flush_s
        self._config, self._lines_most = config, lines_most
        _library()  # half a second of work: now, and not beside the first alert
        self._api: Any = None
        self._delivery: _Delivery | None = None

    def take(self, state: bytes, batch: Batch) -> Taken:
        """Raises TransientError; called again with the same batch it goes on where it was."""
        if self._delivery is None or self._delivery.batch is not batch:
            self._delivery = _Delivery(batch, self._lines_most)
        refused = self._deliver(self._delivery)
        self._delivery = None
        if refused:
            telemetry.log("points_refused", level="error", count=len(refused), error=refused[0].reason)
        return Taken(b"", tuple(refused))

    def tend(self, state: bytes) -> None:
        """Nothing to look after: the server does."""

    def close(self) -> None:
        self._forget()

    def _deliver(self, delivery: _Delivery) -> list[RefusedLine]:
        """Halves what is refused until each bad line stands alone: about 2 log2(n) requests for one."""
        while delivery.todo:
            first, end = delivery.todo[-1]
            reason = self._write(delivery.body(first, end))
            delivery.todo.pop()
            if reason and end - first > 1:
                middle = (first + end) // 2
                delivery.todo += [(middle, end), (first, middle)]
            elif reason:
                delivery.refused.append(RefusedLine(delivery.at[first], delivery.body(first, end), reason))
        return delivery.refused

    def _write(self, body: bytes) -> str:
        """Send a body: "" when every line is stored, the server's reason when not all are."""
        try:
            if self._api is None:
                self._api = _open(self._config)
            self._api.write(bucket=self._config.bucket, record=gzip.compress(body, GZIP_LEVEL, mtime=0))
            return ""
        except _Refused as answer:
            return self._judge(answer.reply)
        except Unreachable as error:
            raise TransientError(f"not reached: {error}") from None
        except Unanswered as error:
            raise TransientError(f"no answer: {error}") from None
        except (OSError, ValueError) as error:  # the token file, the URL
            self._forget()
            hint = f"check influx.token_file and influx.url: {error}"
            raise TransientError("cannot be asked", BARRED_S, hint) from None

    def _judge(self, reply: Reply) -> str:
        """The reason when halving may find the bad lines; TransientError when it is not about lines."""
        words = _words(reply)
        reason = f"{reply.status} {words}".strip()
        if reply.status == 413:
            return reason  # too much at once, whoever says so
        if reply.status in (201, 400, 422) and _is_databases(reply):
            return reason
        if reply.status >= 500 and _PARTIAL.search(reply.body):
            return reason  # old 2.x servers answer 500 for points beyond the retention
        if reply.status in HINTS:
            self._forget()  # the token file may be renewed while we wait
            raise TransientError(reason, BARRED_S, HINTS[reply.status])
        if reply.status in (408, 425, 429) or reply.status >= 500:
            asked = retry_after_s(reply.headers.get("retry-after"), reply.headers.get("date"))
            raise TransientError(reason, asked)
        raise TransientError(reason, BARRED_S, NO_INFLUX)

    def _forget(self) -> None:
        if self._api is not None:
            self._api.close()
        self._api = None


@dataclass(slots=True)
class _Delivery:
    """One batch on its way: which ranges of its lines are still to be sent, and what was refused."""

    batch: Batch
    lines_most: int
    at: list[int] = field(init=False)
    todo: list[tuple[int, int]] = field(init=False)
    refused: list[RefusedLine] = field(default_factory=list)
    _lines: list[bytes] | None = None

    def __post_init__(self) -> None:
        self.at = self.batch.at
        starts = range(0, len(self.at), self.lines_most)
        self.todo = [(first, min(first + self.lines_most, len(self.at))) for first in reversed(starts)]

    def body(self, first: int, end: int) -> bytes:
        if (first, end) == (0, len(self.at)):
            return self.batch.lines()
        if self._lines is None:
            self._lines = self.batch.lines().split(b"\n")
        return b"\n".join(self._lines[first:end])


# ---------------------------------------------------------------- influxdb-client over our own connection


class _Refused(Exception):
    """Any answer but 204."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.status))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class _Response:
    """What influxdb-client reads of urllib3's answer."""

    status: int
    reason: str
    data: bytes
    headers: Mapping[str, str]


class _Pool:
    """Stands where influxdb-client keeps its urllib3 pool."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def request(
        self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None, **_: object
    ) -> _Response:
        parts = urlsplit(url)
        reply = self._site.post(f"{parts.path}?{parts.query}", body, headers or {})
        if reply.status != 204:
            raise _Refused(reply)  # 200 from a login page, 201 for a half: only 204 means stored
        return _Response(reply.status, "", b"", reply.headers)

    def clear(self) -> None:
        self._site.close()


def _library() -> tuple[Any, Any]:
    """The client's class and its synchronous way of writing: 27 MB, for those who have a database."""
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS

    return InfluxDBClient, SYNCHRONOUS


class _Api:
    """The client and its write API, with the token as it is now."""

    def __init__(self, config: InfluxConfig) -> None:
        client, synchronous = _library()
        token = config.token_file.read_text().strip()
        self._site = Site(Origin.parse(config.url), config.timeout_s)
        url = config.url.rstrip("/")
        self._client: Any = client(url=url, token=token, org=config.org, retries=False)
        rest: Any = self._client.api_client.rest_client
        rest.pool_manager = _Pool(self._site)
        headers = {"Content-Encoding": "gzip", "Accept-Encoding": "identity"}
        self._client.api_client.default_headers.update(headers)
        self._write: Any = self._client.write_api(write_options=synchronous)

    def write(self, bucket: str, record: bytes) -> None:
        self._write.write(bucket=bucket, record=record, write_precision="ns")

    def close(self) -> None:
        self._site.close()
        self._client.close()


def _open(config: InfluxConfig) -> _Api:
    return _Api(config)


# ---------------------------------------------------------------- answers


def _words(reply: Reply) -> str:
    """The server's own sentence, short."""
    found = _object(reply.body)
    said = found.get("message") or found.get("error") or reply.body.decode("utf-8", "replace")
    return " ".join(str(said).split())[:500]


def _is_databases(reply: Reply) -> bool:
    """Whether a refusal speaks of our lines: a proxy's 400 must not send good points to quarantine."""
    return reply.status == 201 or bool({"message", "error"} & _object(reply.body).keys())


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
