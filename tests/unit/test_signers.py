"""Signatures against the vectors that domain.md and the vendors publish."""

from __future__ import annotations

from urllib.parse import quote

import pytest

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


# ---------------------------------------------------------------- clouds

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
QUERY = {
    "RegionId": "cn-shanghai",
    "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
}


@pytest.mark.parametrize(
    ("date", "nonce", "signature"),
    [
        (
            "2023-10-26T10:22:32Z",
            "3156853299f313e23d1673dc12e1703d",
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
        ),
        (
            "2023-10-26T09:01:01Z",
            "d410180a5abf7fe235dd9b74aca91fc0",
            "e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804",
        ),
    ],
)
def test_aliyun(date: str, nonce: str, signature: str) -> None:
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": EMPTY,
        "x-acs-date": date,
        "x-acs-signature-nonce": nonce,
        "x-acs-version": "2014-05-26",
        "user-agent": "is not signed",
    }
    said = signers.aliyun("YourAccessKeyId", "YourAccessKeySecret", QUERY, headers)
    named = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
    assert said == f"ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders={named},Signature={signature}"


def test_aliyun_query_is_sent_as_it_is_signed() -> None:
    """Spaces as %20 and never +, ~ bare, * encoded, the rest as UTF-8."""
    said = signers.aliyun_query({"b": "a b+c*~", "*": "1", "A": '{"title":"烟雾"}'})
    assert said == "%2A=1&A=%7B%22title%22%3A%22%E7%83%9F%E9%9B%BE%22%7D&b=a%20b%2Bc%2A~"


def test_tencent() -> None:
    """The vendor's example with content-type;host signed: we have chosen that form."""
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    secret, host = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", "cvm.tencentcloudapi.com"
    said = signers.tencent("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", secret, host, 1551113065, body)
    assert said == (
        "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, "
        "SignedHeaders=content-type;host, "
        "Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
    )
