"""What only `webhook` promises: its body, signature, key and statuses."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from gateway import channels
from gateway.core.model import Level, Told
from tests.contract.dialects import SECRET, notification, webhook_dialect
from tests.contract.provider import Provider, reply


def send(provider: Provider, **changes: object) -> object:
    channel = webhook_dialect().build(f"http://127.0.0.1:{provider.port}", None)
    return channel.send(notification(**changes), '66.2 ℃ "quoted"\n<b>', "https://a.example/c/tok")


def test_body_and_headers() -> None:
    with Provider(reply(200)) as provider:
        send(provider, level=Level.RED)
        request = provider.requests[0]
    assert request.json == {
        "id": "01JD0000000000000000000001",
        "case": "01JD00000000000000000000CA",
        "alert": "01JD00000000000000000000A1",
        "kind": "raised",
        "level": "red",
        "person": "wang",
        "title": "充电仓过热:3 号仓",
        "text": '66.2 ℃ "quoted"\n<b>',
        "link": "https://a.example/c/tok",
        "created_at": "2026-09-21T14:13:20.123Z",
    }
    assert request.headers["idempotency-key"] == "01JD0000000000000000000001"
    assert request.headers["x-lilong-timestamp"] == "1790000000"


def test_signature_covers_timestamp_and_body() -> None:
    """As a receiver would check it."""
    with Provider(reply(200)) as provider:
        send(provider)
        request = provider.requests[0]
    signed = request.headers["x-lilong-timestamp"].encode() + b"." + request.body
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["x-lilong-signature"] == f"sha256={mac}"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_accepted_whatever_the_body(status: int) -> None:
    with Provider(reply(status, b"" if status == 204 else b'{"errcode":1}')) as provider:
        assert send(provider).told is Told.ACCEPTED


def test_409_means_it_had_it_already() -> None:
    with Provider(reply(409, b"seen")) as provider:
        assert send(provider).told is Told.ACCEPTED


@pytest.mark.parametrize("status", [408, 425, 429])
def test_for_now(status: int) -> None:
    with Provider(reply(status, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")) as provider:
        answer = send(provider)
    assert (answer.told, answer.retry_after_s) == (Told.LATER, 0.0)


BAD = [
    "ftp://a/b",
    "file:///etc/passwd",
    "https://user:hunter2@host/",
    "host/path",
    "https:///p",
    "https://h/a b",
    "http://h:99999/",
]


@pytest.mark.parametrize("url", BAD)
def test_bad_url_is_a_mistake_in_the_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "s").write_text(SECRET)
    with pytest.raises(ValueError, match=r"channels\.street\.url") as caught:
        channels.build("street", "webhook", {"url": url}, {"secret_file": tmp_path / "s"})
    assert "hunter2" not in str(caught.value)


def test_build_reads_its_secret_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(f"{SECRET}\n")
    with Provider(reply(200)) as provider:
        url = f"http://127.0.0.1:{provider.port}/x"
        channel = channels.build("street", "webhook", {"url": url}, {"secret_file": tmp_path / "s"})
        assert channel.send(notification(), "t", "l").told is Told.ACCEPTED
        request = provider.requests[0]
    mac = hmac.new(
        SECRET.encode(), request.headers["x-lilong-timestamp"].encode() + b"." + request.body, "sha256"
    )
    assert request.headers["x-lilong-signature"] == f"sha256={mac.hexdigest()}"


def test_missing_secret_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        channels.build("street", "webhook", {"url": "https://a.example/"}, {"secret_file": tmp_path / "none"})
