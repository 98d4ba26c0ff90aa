"""The HTTP intake as devices meet it: a real server, real clients, a real log behind it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import telemetry
from gateway.adapters.clock import Clock
from gateway.adapters.store import Store
from gateway.core.codecs import isapi
from gateway.core.codecs.json import BYTES_MAX
from gateway.core.model import SECOND, Device, Link, Notification
from gateway.links import Links
from gateway.pipeline import Pipeline, Posted
from gateway.web import server as web_server
from gateway.web.app import create_app
from gateway.web.deps import Deps, Health
from gateway.web.intake import PENDING_MOST, Intake
from gateway.web.server import WebServer
from simulators.neighbourhood import Sent
from simulators.poster import Poster, load_tokens
from tests.unit.test_ends_after import CAMERA, EBIKE
from tests.unit.worlds import world
from tests.waiting import until

TOKEN, KEY = "t0ken-of-lift-1-0123456789", "key-of-lift-2-0123456789abcd"
TOKENS = f"""\
# device kind secret
lift-1 token {TOKEN}
lift-1 token the-next-token-of-lift-1
lift-2 hmac {KEY}
stranger token {TOKEN}-of-stranger
"""
HALF = (
    f"POST /intake/lift-1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    'Content-Length: 11\r\n\r\n{"eb'
).encode()
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
NAMES = ("lift-1", "lift-2")
AT_ONCE = replace(EBIKE, limits=(replace(EBIKE.limits[0], hold_s=0.0),))
STREET = replace(
    world(rules=(AT_ONCE,), devices=()),
    models={"camera": replace(CAMERA, lateness_s=86_400)},
    devices={name: Device(id=name, model="camera", at="yard", topic=f"http/{name}") for name in NAMES},
)


class Gateway:
    """Store, pipeline, intake and web server; `crash` leaves as kill -9 does."""

    def __init__(self, folder: Path, **intake: Any) -> None:
        (folder / "tokens").write_text(TOKENS)
        self.store = Store(folder / "state")
        self.clock = Clock(self.store.last_instant()[0])
        self.offered: list[Notification] = []
        self.pipeline = Pipeline(STREET, self.store, self.clock, self.offered.extend, lambda *_: None)
        before = [message for _, message in self.pipeline.engine.recent]
        self.now_ns = intake.pop("now_ns", time.time_ns)
        intake |= {"before": before, "suspect": self.pipeline.suspicions.note}
        self.intake = Intake(folder / "tokens", self.pipeline.deliver, self.now_ns, **intake)
        healthy = Health(progressing=True, broker=True, store_writable=True)
        deps = Deps(
            reader=self.store.reader, world=lambda: STREET, submit=self.pipeline.submit,
            links=Links([b"k" * 32]), health=lambda: healthy, intake=self.intake,
        )  # fmt: skip
        self.web = WebServer(create_app(deps), "127.0.0.1", 0)

    def start(self) -> Gateway:
        self.pipeline._thread = threading.Thread(target=self._run, daemon=True)
        self.pipeline.start()
        self.pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
        self.web.start()
        return self

    def _run(self) -> None:
        with suppress(Killed):
            type(self.pipeline)._run(self.pipeline)

    def stop(self) -> None:
        self.web.stop()
        self.pipeline.stop()
        self.store.close()

    def crash(self) -> None:
        self.pipeline._save_last = lambda: None  # type: ignore[method-assign]
        self.stop()

    def url(self, device: str = "lift-1") -> str:
        return f"http://127.0.0.1:{self.web.port}/intake/{device}"

    def logged(self) -> list[tuple[str, bytes]]:
        """(topic, payload) of every message in the log."""
        rows = self.store.read_log(0, 10_000)
        return [(m.topic, m.payload) for row in rows for m in getattr(row.event, "items", [])]

    def post(self, body: bytes = b'{"ebike":1}', device: str = "lift-1", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"} | more.pop("headers", {})
        return httpx.post(self.url(device), content=body, headers=headers, timeout=15, **more)

    def signed(
        self, body: bytes, *, at_s: float | None = None, key: str = KEY, **changes: str
    ) -> httpx.Response:
        return self.post(
            body, "lift-2", headers=signature(body, at_s or self.now_ns() / SECOND, key) | changes
        )


class Killed(BaseException):
    """The process ends here."""


def signature(body: bytes, at_s: float, key: str = KEY) -> dict[str, str]:
    stamp = str(int(at_s))
    mac = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Lilong-Timestamp": stamp, "X-Lilong-Signature": f"sha256={mac}", "Authorization": ""}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    found = Gateway(tmp_path).start()
    yield found
    found.stop()


# ---------------------------------------------------------------- the plain way


def test_answered_once_it_is_in_the_log(gateway: Gateway) -> None:
    answer = gateway.post()
    assert (answer.status_code, answer.json()) == (200, {"ReturnCode": 0})
    assert gateway.logged() == [("http/lift-1", b'{"ebike":1}')]
    until(lambda: gateway.offered)  # the same pipeline: a person is told


def test_no_answer_before_the_commit(gateway: Gateway) -> None:
    """The commit is held: the device must still be waiting. Then it goes on: the answer comes."""
    commit, go_on, begun = gateway.store.commit, threading.Event(), threading.Event()

    def held(*arguments: Any) -> int:
        begun.set()
        assert go_on.wait(10)
        return commit(*arguments)

    gateway.store.commit = held  # type: ignore[method-assign]
    answers: list[httpx.Response] = []
    poster = threading.Thread(target=lambda: answers.append(gateway.post()))
    poster.start()
    assert begun.wait(10)
    poster.join(0.2)
    assert answers == [] and gateway.logged() == []
    go_on.set()
    poster.join(10)
    assert answers[0].status_code == 200


@pytest.mark.parametrize(
    "way",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"Authorization": "bearer the-next-token-of-lift-1"}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(f"admin:{TOKEN}".encode()).decode()}},
        {"headers": {"Authorization": ""}, "params": {"token": TOKEN}},
    ],
)
def test_every_way_a_camera_can_say_its_token(gateway: Gateway, way: dict[str, Any]) -> None:
    assert gateway.post(**way).status_code == 200


def test_put_serves_and_get_does_not(gateway: Gateway) -> None:
    auth = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.put(gateway.url(), content=b'{"ebike":0}', headers=auth).status_code == 200
    assert httpx.get(gateway.url(), headers=auth).status_code == 405


def test_one_connection_carries_many_in_order(gateway: Gateway) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for number in range(20):
            assert client.post(gateway.url(), content=b'{"ebike":0,"n":%d}' % number).status_code == 200
    assert [json.loads(payload)["n"] for _, payload in gateway.logged()] == list(range(20))


def test_many_at_once_share_commits_and_keep_each_devices_order(gateway: Gateway) -> None:
    def speak(device: str, headers: dict[str, str] | None) -> None:
        with httpx.Client() as client:
            for number in range(30):
                body = b'{"ebike":0,"n":%d}' % number
                auth = headers or signature(body, time.time())
                assert client.post(gateway.url(device), content=body, headers=auth).status_code == 200

    bearer = {"Authorization": f"Bearer {TOKEN}"}
    threads = [threading.Thread(target=speak, args=args) for args in (("lift-1", bearer), ("lift-2", None))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for device in NAMES:
        said = [json.loads(payload)["n"] for topic, payload in gateway.logged() if topic == f"http/{device}"]
        assert said == list(range(30))


def test_chunked_in_drops(gateway: Gateway) -> None:
    """A body without a length, byte by byte."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.web.port, timeout=10)
    pieces = (b'{"ebike":1}'[i : i + 1] for i in range(11))
    connection.request(
        "POST", "/intake/lift-1", pieces, {"Authorization": f"Bearer {TOKEN}"}, encode_chunked=True
    )
    assert connection.getresponse().status == 200
    assert gateway.logged() == [("http/lift-1", b'{"ebike":1}')]


# ---------------------------------------------------------------- who is not let in


@pytest.mark.parametrize(
    ("device", "headers"),
    [
        ("lift-1", {"Authorization": "Bearer wrong"}),
        ("lift-1", {"Authorization": ""}),
        ("lift-1", {"Authorization": "Basic !!!"}),
        ("lift-1", {"Authorization": "Digest username=admin"}),
        ("lift-2", {}),  # another's token, and a device that signs
        ("nobody", {}),
        ("lift-1", {"X-Lilong-Signature": "sha256=00", "X-Lilong-Timestamp": "1"}),
    ],
)
def test_whoever_is_not_authenticated_learns_nothing(
    gateway: Gateway, device: str, headers: dict[str, str]
) -> None:
    """The very same answer for a wrong token, an unknown device, a missing header."""
    answer, other = gateway.post(device=device, headers=headers), gateway.post(device="nobody-else")
    assert (answer.status_code, answer.content) == (other.status_code, other.content) == (401, other.content)
    same = {name: value for name, value in answer.headers.items() if name != "date"}
    assert same == {name: value for name, value in other.headers.items() if name != "date"}
    assert gateway.logged() == []


def test_wrong_tokens_are_counted_and_are_one_line_in_the_log(gateway: Gateway) -> None:
    with telemetry.testing() as said:
        statuses = [gateway.post(device=f"guess-{n}").status_code for n in range(14)]
    assert statuses[:10] == [401] * 10 and statuses[-1] == 429
    refused = [one for one in said if one.event == "intake_refused"]
    assert len(refused) == 14
    assert {frozenset(one.fields) & telemetry.IDENTITY for one in refused} == {frozenset()}  # so: one line
    assert gateway.pipeline.suspicions.per_hour() == 14
    assert gateway.post().status_code == 200, "nobody can lock out the right one"


def test_a_post_that_shows_nothing_is_a_camera_that_asks_first(gateway: Gateway) -> None:
    """Hikvision sends Basic only when asked: no forgery. A right token, and one that is not, tell apart."""
    assert gateway.post(headers={"Authorization": ""}).status_code == 401
    assert gateway.post().status_code == 200
    assert gateway.pipeline.suspicions.per_hour() == 0
    basic = base64.b64encode(b"admin:guessed").decode()
    assert gateway.post(headers={"Authorization": f"Basic {basic}"}).status_code == 401
    assert gateway.signed(b'{"ebike":1}', key="another-key-0123456789").status_code == 401
    assert gateway.pipeline.suspicions.per_hour() == 2


def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("lift-1 token short\nlift-1 secretsecretsecret\n")
    with telemetry.testing() as said:
        intake = Intake(tmp_path / "tokens", lambda _: True)
    assert [one.event for one in said] == ["intake_tokens_unusable"] * 2
    assert "short" not in str(said).replace("shorter", "") and "secretsecret" not in str(said)
    assert intake._secrets == {}


def test_tokens_are_read_again(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKENS.replace(TOKEN, "another-token-of-lift-1"))
    gateway.intake.load()
    assert gateway.post().status_code == 401
    assert gateway.post(headers={"Authorization": "Bearer another-token-of-lift-1"}).status_code == 200


# ---------------------------------------------------------------- signatures


def test_a_signed_post(gateway: Gateway) -> None:
    assert gateway.signed(b'{"ebike":1}').status_code == 200
    assert gateway.logged() == [("http/lift-2", b'{"ebike":1}')]


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "another-key-0123456789"},
        {"X-Lilong-Signature": "sha256=" + "0" * 64},
        {"X-Lilong-Signature": "sha256=not hex"},
        {"X-Lilong-Timestamp": "soon"},
        {"X-Lilong-Timestamp": str(int(time.time()) - 1)},  # of another instant
        {"at_s": 1.0},
    ],
)
def test_a_signature_that_is_not_right(gateway: Gateway, changes: dict[str, Any]) -> None:
    assert gateway.signed(b'{"ebike":1}', **changes).status_code == 401
    assert gateway.logged() == []


def test_a_signature_holds_for_the_body_it_was_made_for(gateway: Gateway) -> None:
    other = signature(b'{"ebike":0}', time.time())
    assert gateway.post(b'{"ebike":1}', "lift-2", headers=other).status_code == 401


@pytest.mark.parametrize(("off_s", "status"), [(-290, 200), (290, 200), (-310, 401), (310, 401)])
def test_the_window(gateway: Gateway, off_s: float, status: int) -> None:
    assert gateway.signed(b'{"ebike":1}', at_s=time.time() + off_s).status_code == status


def test_a_replayed_post_enters_once(gateway: Gateway) -> None:
    """Whoever caught it on the way, and the device that missed our answer, get that answer again."""
    headers = signature(b'{"ebike":1}', time.time())
    answers = [gateway.post(b'{"ebike":1}', "lift-2", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(gateway.logged()) == 1


def test_a_replay_after_the_window_is_refused(tmp_path: Path) -> None:
    now = [time.time_ns()]
    gateway = Gateway(tmp_path, now_ns=lambda: now[0]).start()
    headers = signature(b'{"ebike":1}', now[0] / SECOND)
    assert gateway.post(b'{"ebike":1}', "lift-2", headers=headers).status_code == 200
    now[0] += 301 * SECOND
    assert gateway.post(b'{"ebike":1}', "lift-2", headers=headers).status_code == 401
    assert gateway.signed(b'{"ebike":0}').status_code == 200
    gateway.stop()


# ---------------------------------------------------------------- bodies


def multipart(*parts: tuple[str, bytes], boundary: str = "boundary") -> tuple[bytes, dict[str, str]]:
    """(body, headers) of parts with their types."""
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="p{n}"\r\nContent-Type: {kind}\r\n'
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for n, (kind, data) in enumerate(parts)
    )
    return body + f"--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    }


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", "text/plain", "application/xml"])
def test_pictures_are_cut_off_before_the_log(gateway: Gateway, kind: str) -> None:
    """Whatever they call themselves; what is left is the message as it was sent."""
    body, headers = multipart(("application/json", b'{"ebike":1}'), (kind, JPEG))
    assert gateway.post(body, headers=headers).status_code == 200
    assert gateway.logged() == [("http/lift-1", b'{"ebike":1}')]


def test_several_texts_stay_between_their_boundaries(gateway: Gateway) -> None:
    body, headers = multipart(
        ("application/xml", b"<a/>"), ("image/jpeg", JPEG), ("application/xml", b"<b/>")
    )
    assert gateway.post(body, headers=headers).status_code == 200
    ((_, payload),) = gateway.logged()
    assert JPEG[:8] not in payload and payload.startswith(b"--boundary\r\nContent-Disposition")
    assert payload.count(b"--boundary") == 3 and b"\r\n\r\n<a/>\r\n" in payload and b"<b/>" in payload


@pytest.mark.parametrize("alerts", [1, 2])
def test_what_is_kept_of_a_hikvision_post_still_means_the_same(gateway: Gateway, alerts: int) -> None:
    """One alert is kept as it is, several as multipart: the codec reads both."""
    alert = b"<EventNotificationAlert><eventType>VMD</eventType><eventState>active</eventState>"
    alert += b"</EventNotificationAlert>"
    body, headers = multipart(*[("application/xml", alert)] * alerts, ("image/jpeg", JPEG))
    assert gateway.post(body, headers=headers).status_code == 200
    ((_, payload),) = gateway.logged()
    assert [(found.kind, found.on) for found in isapi.parse(payload)] == [("VMD", True)] * alerts


def test_a_large_picture_costs_no_memory_and_no_refusal(gateway: Gateway) -> None:
    body, headers = multipart(("application/json", b'{"ebike":1}'), ("image/jpeg", JPEG * 300))
    assert len(body) > 3_000_000
    assert gateway.post(body, headers=headers).status_code == 200
    assert gateway.logged() == [("http/lift-1", b'{"ebike":1}')]


def test_nothing_but_a_picture_is_no_message(gateway: Gateway) -> None:
    body, headers = multipart(("image/jpeg", JPEG))
    assert gateway.post(body, headers=headers).status_code == 200
    assert gateway.logged() == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (JPEG, {"Content-Type": "image/jpeg"}, 415),
        (b'{"ebike":1}' + JPEG, {}, 415),
        (b"\x1f\x8b...", {"Content-Encoding": "gzip"}, 415),
        (b"--x\r\n", {"Content-Type": "multipart/mixed"}, 415),
        (b"no boundary here", {"Content-Type": "multipart/mixed; boundary=x"}, 415),
        (b"{" + b" " * BYTES_MAX, {}, 413),
        (b" " * 8_000_001, {}, 413),
    ],
)  # fmt: skip
def test_bodies_that_are_turned_away(
    gateway: Gateway, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert gateway.post(body, headers=headers).status_code == status
    assert gateway.logged() == []
    assert gateway.post().status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=boundary"])
def test_a_body_that_never_ends_is_cut_off_while_it_is_read(gateway: Gateway, kind: str) -> None:
    """Chunked, so no length gives it away beforehand; the server must not read on, picture or not."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"--boundary\r\nContent-Type: image/jpeg\r\n\r\n"
        while sent < 200_000_000:
            sent += 65_536
            yield b" " * 65_536

    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    with suppress(httpx.TransportError):
        assert httpx.post(gateway.url(), content=endless(), headers=headers).status_code == 413
    assert sent < 50_000_000
    assert gateway.logged() == []


def test_a_slow_client_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "SILENT_S", 0.3)
    gateway = Gateway(tmp_path).start()
    with socket.create_connection(("127.0.0.1", gateway.web.port), 10) as slow:
        slow.sendall(HALF)
        assert slow.recv(100) == b"", "closed, without a word"
    assert gateway.logged() == []
    assert gateway.post().status_code == 200
    gateway.stop()


def test_a_client_that_hangs_up_leaves_nothing(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.web.port), 10) as gone:
        gone.sendall(HALF)
    assert gateway.post().status_code == 200
    assert gateway.logged() == [("http/lift-1", b'{"ebike":1}')]


# ---------------------------------------------------------------- full, broken, killed


def test_a_full_queue_makes_the_device_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(tmp_path).start()
    monkeypatch.setattr("gateway.pipeline.QUEUE_MOST", 0)
    answer = gateway.post()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    monkeypatch.undo()
    assert gateway.post().status_code == 200
    gateway.stop()


def test_a_disk_that_takes_nothing_gives_no_200(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.intake.COMMIT_S", 0.2)
    gateway = Gateway(tmp_path).start()
    commit, go_on = gateway.store.commit, threading.Event()

    def held(*arguments: Any) -> int:
        go_on.wait(10)
        return commit(*arguments)

    gateway.store.commit = held  # type: ignore[method-assign]
    assert gateway.post().status_code == 503
    go_on.set()
    assert gateway.post().status_code == 200
    gateway.stop()


def test_one_device_cannot_take_the_places_of_the_others(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path).start()
    gateway.intake._pending["lift-1"] = PENDING_MOST
    assert gateway.post().status_code == 503
    assert gateway.signed(b'{"ebike":0}').status_code == 200
    gateway.stop()


def test_what_cannot_be_decoded_lies_in_quarantine_with_its_source(gateway: Gateway) -> None:
    assert gateway.post(b"<nonsense/>").status_code == 200
    answer = gateway.post(
        b'{"ebike":1}', "stranger", headers={"Authorization": f"Bearer {TOKEN}-of-stranger"}
    )
    assert answer.status_code == 200
    rows = (
        gateway.store.reader().execute("SELECT topic, code, payload FROM quarantine ORDER BY id").fetchall()
    )
    assert [tuple(row) for row in rows] == [
        ("http/lift-1", "syntax", b"<nonsense/>"),
        ("http/stranger", "unknown_device", b'{"ebike":1}'),
    ]


def killed_before_the_answer(folder: Path, post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(folder).start()
    dying = threading.Event()

    def die(_: Posted) -> None:
        gateway.pipeline._stopping = True
        dying.set()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Posted, "settle", die)
        patched.setattr("gateway.web.intake.COMMIT_S", 0.3)
        assert post(gateway).status_code == 503, "it has no answer of ours"
    assert dying.is_set() and len(gateway.logged()) == 1, "but it was committed"
    gateway.crash()


UNTIMED = b'{"ebike":1}'


@pytest.mark.parametrize("device", NAMES)
def test_killed_between_the_commit_and_the_answer(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device posts again: a duplicate that is recognised, so nobody is told twice."""
    headers = signature(UNTIMED, time.time()) if device == "lift-2" else {}

    def post(gateway: Gateway) -> httpx.Response:
        return gateway.post(UNTIMED, device, headers=headers)

    killed_before_the_answer(tmp_path, post, monkeypatch)
    again = Gateway(tmp_path).start()
    assert post(again).status_code == 200
    rows = again.store.read_log(0, 1000)
    marks = [mark.quality for row in rows for mark in row.marks]
    assert marks == ["duplicate"] and len(again.logged()) == 2
    alerts = again.store.reader().execute("SELECT count(*) FROM alert").fetchone()[0]
    assert alerts == 1
    again.stop()


def test_after_a_restart_a_new_word_is_no_duplicate(tmp_path: Path) -> None:
    """The bike came, went, the gateway was restarted, a bike comes: the same bytes as the first, and news."""
    gateway = Gateway(tmp_path).start()
    assert gateway.post(b'{"ebike":1}').status_code == gateway.post(b'{"ebike":0}').status_code == 200
    gateway.stop()
    again = Gateway(tmp_path).start()
    assert again.post(b'{"ebike":1}').status_code == 200
    assert [mark for row in again.store.read_log(0, 1000) for mark in row.marks] == []
    again.stop()


# ---------------------------------------------------------------- the simulator is a client like any other


def test_a_simulated_camera_posts_until_it_is_taken(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection for two devices; a full queue is met with patience, a wrong token is not."""
    monkeypatch.setattr("simulators.poster.PAUSE_S", 0.05)
    poster = Poster(f"http://127.0.0.1:{gateway.web.port}", load_tokens(tmp_path / "tokens"))
    poster.post(Sent(0, "http/lift-1", b'{"ebike":1}'))
    with monkeypatch.context() as full:
        full.setattr("gateway.pipeline.QUEUE_MOST", 0)
        threading.Timer(0.1, full.undo).start()
        poster.post(Sent(0, "http/stranger", b'{"ebike":0}'))
    assert [topic for topic, _ in gateway.logged()] == ["http/lift-1", "http/stranger"]
    with pytest.raises(ConnectionError, match="401"):
        poster.post(Sent(0, "http/lift-2", b'{"ebike":1}'))
