"""The last hours of one quantity for a page's chart, from the tail of the archive's text segments.

The pages must not load a query engine into the daemon, and need no more than what was lately appended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.web.deps import Sample

TAIL_BYTES = 4_000_000  # some ten thousand rows: hours of a street, and read in a few milliseconds
SEGMENTS_MOST = 8  # the open one and those before it: ten minutes each, unless many readings fill it sooner


def recent_history(directory: Path) -> Callable[[str, str, str, int, int], list[Sample]]:
    """A function (device, component, quantity, since_ns, until_ns) -> samples, ascending."""

    def history(device: str, component: str, quantity: str, since_ns: int, until_ns: int) -> list[Sample]:
        found = {
            sample[0]: sample
            for segment in _newest(directory)
            for sample in _samples(_tail(segment), device, component, quantity)
            if since_ns <= sample[0] <= until_ns
        }
        return [found[instant] for instant in sorted(found)]

    return history


def _newest(directory: Path) -> list[Path]:
    segments = directory.glob("*.tsv")  # recent-, closed-, open-: from position and instant on, each its own
    return sorted(segments, key=lambda path: path.name.partition("-")[2])[-SEGMENTS_MOST:]


def _tail(segment: Path) -> bytes:
    try:
        with segment.open("rb") as file:
            file.seek(max(segment.stat().st_size - TAIL_BYTES, 0))
            return file.read(TAIL_BYTES)
    except FileNotFoundError:  # it has just got another name
        return b""


def _samples(rows: bytes, device: str, component: str, quantity: str) -> Iterator[Sample]:
    """Rows hold position, received, measured, device, component, scene, model, quality, fields."""
    needle, wanted = f"\t{device}\t{component}\t".encode(), quantity.encode() + b"="
    start = rows.find(needle)
    while start >= 0:
        line = rows[rows.rfind(b"\n", 0, start) + 1 : rows.find(b"\n", start)].split(b"\t")
        if len(line) == 9:
            for field in line[8].split(b","):
                if field.startswith(wanted):
                    yield int(line[2]), float(field[len(wanted) :])
        start = rows.find(needle, start + 1)
