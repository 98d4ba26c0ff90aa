"""Signatures against the vectors that domain.md and the vendors publish."""

from __future__ import annotations

from urllib.parse import quote

from gateway.channels import signers


def test_dingtalk() -> None:
    said = signers.dingtalk("SECexample", 1_700_000_000_000)
    assert quote(said, safe="") == "uroalHrWHORz59talE1o26b8HuX2kOp8WlAN91F9Pj0%3D"


def test_feishu() -> None:
    assert signers.feishu("demo", 1_599_360_473) == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


def test_wecom_callback_sorts_and_needs_all_four() -> None:
    """The example of the vendor's own document on callbacks (加解密方案说明)."""
    encrypted = (
        "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/"
        "sYYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+H"
        "MZfJYuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJ"
        "B3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3f"
        "VKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="
    )
    said = signers.wecom_callback("QDG6eK", "1409659813", "1372623149", encrypted)
    assert said == "477715d11cdb4164915debcba66cb864d751f3e6"
