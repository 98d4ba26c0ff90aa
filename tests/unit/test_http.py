"""adapters/http: which addresses we never speak to (proof G2), and what a URL may look like."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time

import pytest

from gateway.adapters import http
from gateway.adapters.http import Origin, Site, Unreachable, refused

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::ffff:100.100.100.200",
    "64:ff9b::a9fe:a9fe",  # NAT64 of it
    "2002:a9fe:a9fe::",  # 6to4 of 169.254.169.254
]


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("host", ["named.example", "literal", "localhost"])
def test_never(address: str, host: str) -> None:
    origin = Origin(True, address if host == "literal" else host, 443)
    assert refused(ipaddress.ip_address(address), origin)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_to_this_box_is_a_trick(address: str) -> None:
    assert refused(ipaddress.ip_address(address), Origin(True, "hook.example", 443))
    assert not refused(ipaddress.ip_address(address), Origin(True, "localhost", 443))
    assert not refused(ipaddress.ip_address(address), Origin(False, address, 80))


def test_plain_http_stays_in_the_house() -> None:
    assert refused(ipaddress.ip_address("8.8.8.8"), Origin(False, "hook.example", 80))
    assert not refused(ipaddress.ip_address("8.8.8.8"), Origin(True, "hook.example", 443))
    assert not refused(ipaddress.ip_address("10.1.2.3"), Origin(False, "hook.street.local", 80))


FORMS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "0x7f.1", "017700000001"]


@pytest.mark.parametrize("host", FORMS)
def test_no_spelling_of_loopback_gets_a_connection(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver understands them all; the address that it gives is judged, not the spelling."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        site = Site(Origin(False, host, listener.getsockname()[1]), total_s=5)
        with pytest.raises(Unreachable):
            site.post("/", b"{}", {})
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_address_judged_is_the_address_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers differently the second time is asked only once."""
    answers = iter([[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.255.255.1", 80))]])
    dialled: list[object] = []
    monkeypatch.setattr(http.socket, "getaddrinfo", lambda *_, **__: next(answers))
    monkeypatch.setattr(http.socket.socket, "connect", lambda _, where: dialled.append(where) or _fail())
    with pytest.raises(Unreachable):
        Site(Origin(False, "rebind.example", 80)).post("/", b"", {})
    assert dialled == [("10.255.255.1", 80)]


def _fail() -> None:
    raise ConnectionRefusedError("no")


def test_a_name_server_that_hangs_does_not_hang_us(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(http.socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    began = time.monotonic()
    with pytest.raises(Unreachable, match="name server"):
        Site(Origin(True, "slow.example", 443), total_s=0.2).post("/", b"", {})
    assert time.monotonic() - began < 5
    over.set()


def test_the_path_is_not_printed() -> None:
    assert "key" not in repr(Origin.parse("https://h.example/hook?key=1"))
