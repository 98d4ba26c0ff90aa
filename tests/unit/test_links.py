"""links: nothing forged, swapped, stretched or respelled is believed (proof G1)."""

from __future__ import annotations

import base64
import hmac
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import links as module
from gateway.core.model import SECOND, Verb
from gateway.links import Grant, LinkError, Links, Purpose, load_keys
from tests.contract.dialects import notification

KEY, OTHER = b"k" * 32, b"o" * 32
NOW_NS = 1_790_000_000 * SECOND
GRANT = Grant(case="CASE1", person="wang", purpose=Purpose.SHOW, expires_s=1_790_000_100, nonce="N1")


@pytest.fixture
def links() -> Links:
    return Links([KEY], "https://alarm.example/")


def raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def text(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def refused(links: Links, token: str, now_ns: int = NOW_NS) -> LinkError:
    with pytest.raises(LinkError) as caught:
        links.read(token, now_ns)
    return caught.value


@pytest.mark.parametrize("purpose", Purpose)
def test_what_is_signed_is_read(links: Links, purpose: Purpose) -> None:
    assert links.read(links.token(GRANT.but(purpose)), NOW_NS) == GRANT.but(purpose)


def test_every_act_has_its_own_purpose() -> None:
    assert {purpose.verb for purpose in Purpose} == {None, *Verb}


def test_link_of_a_notification(links: Links) -> None:
    url = links.show(notification(id="N7", case="C7", person="li"), NOW_NS)
    assert url.startswith("https://alarm.example/c/")
    grant = links.read(url.rpartition("/")[2], NOW_NS)
    assert (grant.case, grant.person, grant.purpose, grant.nonce) == ("C7", "li", Purpose.SHOW, "N7")
    assert grant.expires_s == 1_790_000_000 + 24 * 3600
    assert len(url) < 200  # it has to fit into a message


def test_the_link_of_a_digest_is_to_a_list_and_to_no_case(links: Links) -> None:
    """Bound to the person and the message; no longer than a single one's."""
    url = links.show(notification(id="N7", case="C7", person="li", together=40), NOW_NS)
    assert url.startswith("https://alarm.example/l/")
    grant = links.read(url.rpartition("/")[2], NOW_NS)
    assert (grant.case, grant.person, grant.purpose, grant.nonce) == ("", "li", Purpose.LIST, "N7")
    assert grant.expires_s == 1_790_000_000 + 24 * 3600 and grant.purpose.verb is None
    assert len(url) <= len(links.show(notification(id="N7", case="C7", person="li"), NOW_NS))


FIELDS: list[dict[str, Any]] = [
    {"case": "CASE2"},
    {"person": "li"},
    {"purpose": Purpose.ACKNOWLEDGE},
    {"purpose": Purpose.DONE},
    {"purpose": Purpose.FALSE},
    {"expires_s": GRANT.expires_s + 1},
    {"nonce": "N2"},
]


@pytest.mark.parametrize("change", FIELDS, ids=lambda change: "-".join(map(str, change)))
def test_no_field_can_be_altered(links: Links, change: dict[str, Any]) -> None:
    """The altered body with the signature of the true one."""
    altered = {f: getattr(GRANT, f) for f in Grant.__slots__} | change
    body = msgspec.msgpack.encode(
        (1, *[altered[f] for f in ("case", "person", "purpose", "expires_s", "nonce")])
    )
    true = raw(links.token(GRANT))
    assert not refused(links, text(body + true[-16:])).expired


def test_every_bit_counts(links: Links) -> None:
    true = raw(links.token(GRANT))
    for i in range(len(true) * 8):
        forged = bytearray(true)
        forged[i // 8] ^= 1 << i % 8
        refused(links, text(bytes(forged)))


def test_another_spelling_of_the_same_bytes_is_no_token(links: Links) -> None:
    """Else a list of used tokens could be walked around."""
    for nonce in ("a", "ab", "abc"):
        token = links.token(Grant(case="C", person="p", purpose=Purpose.DONE, expires_s=2**31, nonce=nonce))
        links.read(token, NOW_NS)
        spellings = [
            token + "=",
            token + "==",
            f" {token}",
            token + "\n",
            token[:-1] + chr(ord(token[-1]) + 1),
        ]
        for spelling in spellings:
            refused(links, spelling)


@pytest.mark.parametrize(
    "token", ["", "=", "a", "%00", "é" * 40, "A" * 22, "A" * 23, "A" * 5000, "../../etc"]
)
def test_rubbish(links: Links, token: str) -> None:
    refused(links, token)


@given(st.text(max_size=300))
def test_any_text(token: str) -> None:
    refused(Links([KEY]), token)


def test_expiry(links: Links) -> None:
    token = links.token(GRANT)
    links.read(token, (GRANT.expires_s * SECOND) - 1)
    assert refused(links, token, GRANT.expires_s * SECOND).expired


def test_expired_is_told_only_of_our_own(links: Links) -> None:
    forged = Links([OTHER]).token(GRANT)
    assert not refused(links, forged, GRANT.expires_s * SECOND).expired


def test_signature_of_the_same_key_for_another_use_is_no_link(links: Links) -> None:
    body = raw(links.token(GRANT))[:-16]
    mac = hmac.new(KEY, body, "sha256").digest()[:16]
    refused(links, text(body + mac))


def test_compared_in_constant_time_with_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: seen.append((a, b)) or False)
    refused(Links([KEY, OTHER]), Links([KEY]).token(GRANT))
    assert len(seen) == 2
    assert all(len(one) == 16 for pair in seen for one in pair)


# ---------------------------------------------------------------- keys


def test_keys_turn_over() -> None:
    """The newest signs; what the older one signed holds until the line is taken away."""
    old, both, new = Links([KEY]), Links([OTHER, KEY]), Links([OTHER])
    assert both.read(old.token(GRANT), NOW_NS) == GRANT
    assert new.read(both.token(GRANT), NOW_NS) == GRANT
    refused(new, old.token(GRANT))


def test_first_start_makes_a_key_that_only_we_can_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "link-key"
    keys = load_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(keys) == 1
    assert len(keys[0]) >= 32
    assert load_keys(path) == keys
    assert [file.name for file in path.parent.iterdir()] == ["link-key"]
    assert load_keys(tmp_path / "another") != keys


@pytest.mark.parametrize("content", ["", "\n\n", "short\n", "k" * 40 + "\nshort"])
def test_weak_key_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "k").write_text(content)
    with pytest.raises(ValueError, match="one key a line"):
        load_keys(tmp_path / "k")


def test_weak_key_is_refused_in_memory_too() -> None:
    for keys in ([], [b"short"], [KEY, b""]):
        with pytest.raises(ValueError, match="at least 32"):
            Links(keys)
