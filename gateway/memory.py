"""When Python may look for garbage: never while an alert is on its way.

A full search walks everything that 1,000 devices keep (rules, tracks, codecs) with every thread standing
still: 50 to 100 ms on an edge box. What lives as long as we do is therefore put out of its sight, and the
full search is ours to call. Young garbage is still looked for as always, only less often.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 2_000  # new objects between two looks at the newest: 0.2 ms
MIDDLE = 5  # of those, before what survived them is looked at too: 3 ms
NEVER = 1_000_000_000


def settle() -> None:
    """One full search, and what it leaves is never walked again until the next call (0.1 s)."""
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@contextmanager
def undisturbed() -> Iterator[None]:
    """No search while very much is made that stays: a fifth of the time of loading 10,000 devices."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
