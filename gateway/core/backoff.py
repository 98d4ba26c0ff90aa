"""When to try again: growing waits with a jitter that a key decides, and what a server asks for.

Deterministic on purpose: the jitter comes from a hash of the key and the attempt, so a replay of the same
history waits the same, while two gateways (two keys) never knock in step.
"""

from __future__ import annotations

import hashlib
from email.utils import parsedate_to_datetime

BASE_S = 0.5  # the first wait: a server that restarts is back within a second or two
GROWN_S_MOST = 60.0  # an outage is noticed to be over within a minute
ASKED_S_MOST = 300.0  # whatever Retry-After says: nobody may silence us for longer than 5 minutes


class TransientError(Exception):
    """The far side refuses or does not answer for now; what was to be sent stays where it is.

    `retry_after_s` is the least wait it asks for (0: none), `hint` what a person can do about it.
    """

    def __init__(self, reason: str, retry_after_s: float = 0.0, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s, self.hint = reason, retry_after_s, hint


def wait_s(attempt: int, key: str, asked_s: float = 0.0, most_s: float = GROWN_S_MOST) -> float:
    """Seconds to wait after the `attempt`-th failure in a row (from 1).

    What the server asked for is the least wait, lengthened by up to a tenth and capped at 5 minutes;
    otherwise BASE_S doubles up to `most_s`, of which the upper half is jitter.
    """
    grown = min(most_s, BASE_S * 2.0 ** min(max(attempt, 1) - 1, 30))
    fraction = jitter(f"{key}:{attempt}")
    asked = min(max(asked_s, 0.0) * (1.0 + fraction / 10.0), ASKED_S_MOST)
    return max(asked, grown * (0.5 + fraction / 2.0))


def jitter(key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    digest = hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def retry_after_s(header: str | None, date: str | None = None) -> float:
    """A Retry-After header in seconds; 0 when there is none, it has passed, or it cannot be read.

    The date form is measured against the answer's own Date header, never against our wall clock:
    two clocks that disagree by a day would otherwise make a day's silence.
    """
    if not header:
        return 0.0
    text = header.strip()
    if text.isascii() and text.lstrip("+-").isdigit():
        return float(min(max(int(text[:20]), 0), 10**9))
    try:
        span = parsedate_to_datetime(text) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):  # no date, or one with a zone and one without
        return 0.0
    return max(span.total_seconds(), 0.0)
