"""How each provider wants a request signed: pure arithmetic, pinned to the vendors' own examples.

No clock in here: the instant is an argument, so that an example of years ago is a test today.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


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
