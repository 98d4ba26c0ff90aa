"""How each provider wants a request signed: pure arithmetic, pinned to the vendors' own examples.

No clock in here: the instant is an argument, so that an example of years ago is a test today.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote


def lilong(secret: str, timestamp: str, said: bytes) -> str:
    """`X-Lilong-Signature` of what we send to systems of the street's own: of a POST its body, of a GET its
    path with the query. `timestamp` is Unix seconds, as in `X-Lilong-Timestamp`.
    """
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + said, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def dingtalk(secret: str, timestamp_ms: int) -> str:
    """`sign` of a DingTalk robot: base64, to be URL-encoded. Good for an hour about `timestamp_ms`."""
    said = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), said, "sha256")).decode()


def feishu(secret: str, timestamp_s: int) -> str:
    """`sign` of a Feishu robot: base64. The text to sign is the *key*, and what is signed is nothing."""
    key = f"{timestamp_s}\n{secret}".encode()
    return base64.b64encode(hmac.digest(key, b"", "sha256")).decode()


def wecom_callback(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """`msg_signature` of a WeCom callback: SHA1 of the four, sorted. Hex in lower case."""
    said = "".join(sorted((token, timestamp, nonce, encrypted)))
    return hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()


# ---------------------------------------------------------------- clouds


def aliyun(
    key_id: str, secret: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes = b""
) -> str:
    """`Authorization` of a POST to /, by ACS3-HMAC-SHA256. Good for 15 minutes about its x-acs-date.

    `headers` in lower case: host and x-acs-* are signed, others are not. `query` is sent as `aliyun_query`.
    """
    signed = sorted(name for name in headers if name == "host" or name.startswith("x-acs-"))
    named = ";".join(signed)
    lines = [f"{name}:{headers[name].strip()}\n" for name in signed]
    request = "\n".join(("POST", "/", aliyun_query(query), "".join(lines), named, _hex(body)))
    signature = _hmac(secret.encode(), f"ACS3-HMAC-SHA256\n{_hex(request.encode())}").hex()
    return f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={named},Signature={signature}"


def aliyun_query(query: Mapping[str, str]) -> str:
    """Names ascending; all but unreserved characters as %XX of their UTF-8."""
    pairs = ((quote(name, safe="-_.~"), quote(query[name], safe="-_.~")) for name in sorted(query))
    return "&".join(f"{name}={value}" for name, value in pairs)


TENCENT_TYPE = "application/json; charset=utf-8"


def tencent(key_id: str, secret: str, host: str, timestamp_s: int, body: bytes) -> str:
    """`Authorization` of a POST to /, by TC3-HMAC-SHA256. Good for 5 minutes about `timestamp_s`.

    Signed headers are content-type;host, the type being TENCENT_TYPE; the service is the host's first name.
    """
    service, named = host.partition(".")[0], "content-type;host"
    lines = f"content-type:{TENCENT_TYPE}\nhost:{host}\n"
    request = "\n".join(("POST", "/", "", lines, named, _hex(body)))
    date = time.strftime("%Y-%m-%d", time.gmtime(timestamp_s))
    scope = f"{date}/{service}/tc3_request"
    said = f"TC3-HMAC-SHA256\n{timestamp_s}\n{scope}\n{_hex(request.encode())}"
    key = f"TC3{secret}".encode()
    for part in (date, service, "tc3_request"):
        key = _hmac(key, part)
    signature = _hmac(key, said).hex()
    return f"TC3-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={named}, Signature={signature}"


def _hex(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _hmac(key: bytes, said: str) -> bytes:
    return hmac.digest(key, said.encode(), "sha256")
