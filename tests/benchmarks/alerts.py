"""What the webhook sink has seen, against what the load had due: missed, false, told twice, latencies."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping

from tests.benchmarks.arena import Arena
from tests.benchmarks.load import Load
from tests.benchmarks.table import Row

DEVICE = re.compile(r"\bd\d{5}\b")
QUIET_S = 3.0  # no further post for so long after the last message: nobody is told any more
QUIET_S_MAX = 60.0


def arrivals(arena: Arena) -> dict[str, list[int]]:
    """Device -> the steady instants (ns) at which somebody was told about it."""
    found: dict[str, list[int]] = {}
    for at, body in arena.sink.hooks():
        for device in set(DEVICE.findall(body)):
            found.setdefault(device, []).append(at)
    return found


def told(arena: Arena, load: Load) -> Row:
    """Alerts due that nobody heard of, alerts that were none, and repeats."""
    due, posts = set(load.crossings().values()), arrivals(arena)
    times = Counter({device: len(instants) for device, instants in posts.items()})
    return {
        "alerts missed": len(due - posts.keys()),
        "false": len(posts.keys() - due),
        "told twice": sum(count - 1 for count in times.values()),
    }


def until_quiet(arena: Arena) -> None:
    """Waits until no more posts come in."""
    pause, deadline = threading.Event(), time.monotonic() + QUIET_S_MAX
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S and time.monotonic() < deadline:
        now = arena.sink.state()["hooks"]
        if now != seen:
            seen, since = now, time.monotonic()
        pause.wait(0.1)


def percentiles(sent_ns: Mapping[str, int], posts: Mapping[str, list[int]]) -> Row:
    """p50, p99 and the longest, in ms, of those that arrived."""
    waits = sorted((min(posts[device]) - at) / 1e6 for device, at in sent_ns.items() if device in posts)
    if not waits:
        return {"p50 ms": "none", "p99 ms": "none", "max ms": "none"}
    return {
        "p50 ms": waits[len(waits) // 2],
        "p99 ms": waits[min(len(waits) - 1, int(len(waits) * 0.99))],
        "max ms": waits[-1],
    }
