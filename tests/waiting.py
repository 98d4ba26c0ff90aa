"""Waiting for the outside world in tests: on a condition, with a deadline, never for a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02  # how often the condition is looked at


def until(predicate: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """The first true value of `predicate`, or AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or predicate}"
        pause.wait(POLL_S)
    return value
