"""Devices that post: one connection for all of them, each with its own token, again until it is taken."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gateway.core.model import POSTED
from simulators.neighbourhood import Sent

TIMEOUT_S = 15.0
TRIES, PAUSE_S = 5, 1.0


class Poster:
    """`url` is the gateway's, `tokens` device -> token. Raises ConnectionError when a post is not taken."""

    def __init__(self, url: str, tokens: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._tokens, self._netloc = tokens, parts.netloc
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)

    def post(self, sent: Sent) -> None:
        """Until it is answered 200. A refusal (401, 413, ...) is final."""
        device = sent.topic.removeprefix(POSTED)
        for _ in range(TRIES):
            status = self._try(device, sent.payload)
            if status == 200:
                return
            if status and status != 503:
                break
            time.sleep(PAUSE_S)
        raise ConnectionError(f"http://{self._netloc}/intake/{device}: {status or 'no answer'}")

    def _try(self, device: str, payload: bytes) -> int:
        """The status, 0 when there was no answer."""
        headers = {"Authorization": f"Bearer {self._tokens.get(device, '')}"}
        try:
            self._connection.request("POST", f"/intake/{device}", payload, headers)
            answer = self._connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens it anew
            return 0


def load_tokens(path: Path) -> dict[str, str]:
    """Those of a gateway's tokens file; devices that sign are left out."""
    rows = [line.partition("#")[0].split() for line in path.read_text("utf-8").splitlines()]
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "token"}
