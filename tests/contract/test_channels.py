"""The one contract of all channels, against a provider that misbehaves in every way we know of."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import channels
from gateway.channels.base import Answer
from gateway.channels.wecom_robot import WecomRobot
from gateway.core.model import Told
from tests.contract.dialects import DIALECTS, SECRET, TOTAL_S, Dialect, inbox, notification, wecom
from tests.contract.provider import (
    Behaviour,
    Provider,
    drip,
    echo,
    giant,
    half_an_answer,
    hang_up,
    many_headers,
    not_http,
    reply,
    silence,
)

LINK = "https://alarm.example/c/abc"


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]()


@pytest.fixture
def provider(dialect: Dialect) -> Iterator[Provider]:
    with Provider(silence) as one:
        one.check = dialect.check
        one.gives_token = dialect.gives_token
        yield one
        assert one.complaints == []


def send(dialect: Dialect, provider: Provider, *behaviours: Behaviour) -> Answer:
    provider.then(*behaviours)
    return dialect.build(f"http://127.0.0.1:{provider.port}", None).send(dialect.told(), "text 文", LINK)


def test_every_kind_is_under_this_contract() -> None:
    """A channel that is added without its dialect here is not proven.

    Those whose far side is no HTTP server keep the same contract in a file of their own.
    """
    assert set(channels.kinds()) == {*DIALECTS, "inbox", "email", "siren", "failover"}


def test_inbox_accepts_at_once() -> None:
    assert inbox().send(notification(), "t", LINK) == Answer(Told.ACCEPTED, "")


def test_a_stranger_at_a_providers_port_disturbs_no_test() -> None:
    """A gateway of another test knocks where its broker was, and the port is a provider's by now."""
    with Provider(reply(200)) as provider, socket.create_connection(("127.0.0.1", provider.port)) as wire:
        wire.sendall(b"\x10\x28\x00\x04MQTT\x05\x02\x00\x14\x05\x11\x00\x27\x8d\x00\n")
        assert wire.recv(1) == b"", "it hangs up"
        assert (provider.requests, provider.complaints) == ([], [])


# ---------------------------------------------------------------- what the provider says


def test_accepted(dialect: Dialect, provider: Provider) -> None:
    assert send(dialect, provider, dialect.accepted).told is Told.ACCEPTED
    assert len(provider.requests) == 1


def test_throttled(dialect: Dialect, provider: Provider) -> None:
    answer = send(dialect, provider, dialect.throttled)
    assert (answer.told, answer.retry_after_s) == (Told.LATER, dialect.throttled_s)


def test_refused(dialect: Dialect, provider: Provider) -> None:
    assert send(dialect, provider, dialect.refused).told is Told.REFUSED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_4xx_is_for_good(dialect: Dialect, provider: Provider, status: int) -> None:
    answer = send(dialect, provider, reply(status, b"words of theirs"))
    assert answer.told is Told.REFUSED
    assert str(status) in answer.detail


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_is_for_now(dialect: Dialect, provider: Provider, status: int) -> None:
    answer = send(dialect, provider, reply(status, b"<html>", Retry_After="11"))
    if status == 504 and dialect.once:  # somebody between us gave up waiting: it may have been taken
        assert (answer.told, answer.once) == (Told.UNKNOWN, True)
        return
    assert (answer.told, answer.retry_after_s) == (Told.LATER, 11.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(dialect: Dialect, provider: Provider, status: int) -> None:
    """A redirect would carry the message, and a signature, to a host that nobody listed."""
    with Provider(dialect.accepted) as other:
        location = f"http://127.0.0.1:{other.port}/"
        assert send(dialect, provider, reply(status, Location=location)).told is Told.REFUSED
        assert other.connections == 0


@pytest.mark.parametrize("header", ["-5", "nan", "inf", "soon", "999999999", "1e400", "٣", ""])
def test_senseless_retry_after(dialect: Dialect, provider: Provider, header: str) -> None:
    answer = send(dialect, provider, reply(503, Retry_After=header.encode().decode("latin-1")))
    assert answer.told is Told.LATER
    assert 0 <= answer.retry_after_s <= 300


# ---------------------------------------------------------------- no answer, or none to understand


def test_nobody_listens(dialect: Dialect) -> None:
    """Nothing was sent, so it may be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    channel = dialect.build(f"http://127.0.0.1:{port}", None)
    assert channel.send(dialect.told(), "t", LINK).told is Told.LATER


def test_a_name_that_nobody_knows(dialect: Dialect) -> None:
    channel = dialect.build("http://no-such-provider.invalid", None)
    assert channel.send(dialect.told(), "t", LINK).told is Told.LATER


@pytest.mark.parametrize("behaviour", [hang_up, not_http, many_headers], ids=lambda b: b.__name__)
def test_no_answer_to_speak_of(dialect: Dialect, provider: Provider, behaviour: Behaviour) -> None:
    """It may have been sent: not for us to say that it was not."""
    answer = send(dialect, provider, behaviour)
    assert (answer.told, answer.once) == (Told.UNKNOWN, dialect.once)


SLOW = {
    "silence": silence,
    "drips its status": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" * 20),
    "drips its headers": drip(b"HTTP/1.1 200 OK\r\n" + b"X-Padding: 0123456789\r\n" * 100),
}


@pytest.mark.parametrize("behaviour", SLOW.values(), ids=SLOW)
def test_slow(dialect: Dialect, provider: Provider, behaviour: Behaviour) -> None:
    """The bound is on the whole exchange; a drip stays inside every time-out per read."""
    began = time.monotonic()
    answer = send(dialect, provider, behaviour)
    assert (answer.told, answer.once) == (Told.UNKNOWN, dialect.once)
    assert time.monotonic() - began < TOTAL_S * 3


BODIES = {
    "torn": half_an_answer,
    "giant": giant(b'{"errcode":0}'),
    "drips": drip(b" " * 9000, at_once=b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"),
    "not JSON": reply(200, b"<html>ok</html>"),
    "not UTF-8": reply(200, b'{"errcode":0,"errmsg":"\xff\xfe"}'),
    "a list": reply(200, b"[0]"),
    "no errcode": reply(200, b'{"errmsg":"ok"}'),
    "errcode is text": reply(200, b'{"errcode":"0"}'),
    "errcode is false": reply(200, b'{"errcode":false}'),
    "errcode is 0.0": reply(200, b'{"errcode":0.0}'),
    "deep": reply(200, b"[" * 60_000),
    "empty": reply(200, b""),
}


@pytest.mark.parametrize("behaviour", BODIES.values(), ids=BODIES)
def test_body_that_says_nothing(dialect: Dialect, provider: Provider, behaviour: Behaviour) -> None:
    """Where the body is the answer it is unknown; where the status is, it has been said already."""
    began = time.monotonic()
    answer = send(dialect, provider, behaviour)
    assert answer.told is (Told.UNKNOWN if dialect.reads_body else Told.ACCEPTED)
    assert time.monotonic() - began < TOTAL_S * 3


# ---------------------------------------------------------------- the connection


def test_connection_is_kept(dialect: Dialect, provider: Provider) -> None:
    provider.then(dialect.accepted)
    channel = dialect.build(f"http://127.0.0.1:{provider.port}", None)
    for _ in range(5):
        assert channel.send(dialect.told(), "t", LINK).told is Told.ACCEPTED
    assert provider.connections == 1


def test_connection_that_the_far_side_closed_is_made_anew(dialect: Dialect, provider: Provider) -> None:
    closed = threading.Semaphore(0)

    def accept_and_close(one: Provider, wire: socket.socket) -> bool:
        dialect.accepted(one, wire)
        wire.shutdown(socket.SHUT_RDWR)
        closed.release()
        return False

    provider.then(accept_and_close)
    channel = dialect.build(f"http://127.0.0.1:{provider.port}", None)
    for _ in range(3):
        assert channel.send(dialect.told(), "t", LINK).told is Told.ACCEPTED
        assert closed.acquire(timeout=5)
    assert (len(provider.requests), provider.connections) == (3, 3)


def test_nothing_of_a_torn_answer_reaches_the_next(dialect: Dialect, provider: Provider) -> None:
    """The rest of a giant body must not be read as the next answer."""
    provider.then(giant(b'{"errcode":0}'), dialect.accepted)
    channel = dialect.build(f"http://127.0.0.1:{provider.port}", None)
    channel.send(dialect.told(), "t", LINK)
    assert channel.send(dialect.told(), "t", LINK).told is Told.ACCEPTED
    assert provider.connections == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself; the key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    both = folder / "both.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=provider"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        ["openssl", *request.split(), *names, *files],
        check=True,
        capture_output=True,
    )
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def test_tls_is_verified(dialect: Dialect, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    with Provider(dialect.accepted, tls=server) as provider:
        provider.gives_token = dialect.gives_token
        base = f"https://127.0.0.1:{provider.port}"
        answer = dialect.build(base, None).send(dialect.told(), "t", LINK)
        assert (answer.told, provider.requests) == (Told.LATER, [])
        assert "certificate" in answer.detail
        trusting = ssl.create_default_context(cafile=str(certificate))
        channel = dialect.build(base, trusting)
        assert [channel.send(dialect.told(), "t", LINK).told for _ in range(3)] == [Told.ACCEPTED] * 3
        assert provider.connections == 2  # the one refused, and one for all three


# ---------------------------------------------------------------- the secret

LEAKS = {
    "echoes the path": echo(400, lambda request: request.line.encode()),
    "echoes all of it in a 200": echo(
        200, lambda r: b'{"errcode":93000,"errmsg":"%s"}' % r.path.rpartition("/")[2].encode()
    ),
    "hangs up": hang_up,
    "says no HTTP": not_http,
    "echoes its status line": lambda provider, wire: (
        wire.sendall(f"HTTP/1.1 {provider.requests[-1].path} no\r\n\r\n".encode()) or False
    ),
    "tears": half_an_answer,
    "fails": echo(500, lambda request: repr(request).encode()),
}


@pytest.mark.parametrize("behaviour", LEAKS.values(), ids=LEAKS)
def test_secret_is_nowhere(
    dialect: Dialect, provider: Provider, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.then(behaviour)
    channel = dialect.build(f"http://127.0.0.1:{provider.port}", None)
    answer = channel.send(dialect.told(), "t", LINK)
    assert (SECRET in str(provider.requests)) is not dialect.signs_only  # else this test could not fail
    said = f"{answer!r} {channel!r} {vars(channel)!r} {caplog.text}"
    assert SECRET not in said
    assert len(answer.detail) <= 200
    assert answer.detail.isprintable()


# ---------------------------------------------------------------- canary


@pytest.mark.parametrize("dialect", ["wecom_robot"], indirect=True)
def test_the_suite_can_see_success_judged_by_status(provider: Provider) -> None:
    """What four plugins of a well-known library do: a 200 is a success. The contract must fail it."""

    class ByStatus(WecomRobot):
        def _judge(self, answer: object) -> Answer:
            return Answer(Told.ACCEPTED, "") if answer.status == 200 else super()._judge(answer)  # type: ignore

    honest = DIALECTS["wecom_robot"]()

    def build(base: str, tls: ssl.SSLContext | None) -> ByStatus:
        good = honest.build(base, tls)
        return ByStatus(good._site, good._key)  # type: ignore

    mutant = Dialect("mutant", build, wecom(0), wecom(45009), 60.0, wecom(93000), True)  # type: ignore
    for check in (test_throttled, test_refused):
        with pytest.raises(AssertionError):
            check(mutant, provider)
