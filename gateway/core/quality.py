"""What a message's instant is worth, before any rule looks at its values.

A device's clock can be unset, eight hours off or drifting; a broker can repeat itself; a device can send what
it kept during an outage. Each has a name (model.Quality) and a consequence: what is stored, what is judged.
A live device whose clock is wrong shows a constant offset; kept data that is sent later shows offsets that
shrink from message to message. Three messages tell the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gateway.core.model import SECOND, Quality, Reading

AHEAD_NS = 120 * SECOND  # more than this in the future is no network delay and no ordinary drift
STEADY_NS = 30 * SECOND  # offsets this close to each other are one wrong clock
JITTER_NS = 2 * SECOND  # what the way may add to them
TIES_NS = 1_000  # samples of one instant are told apart by this much: finer than any clock that devices send
ODD_KEPT = 3


class Heard(msgspec.Struct):
    """What is remembered of a device between its messages."""

    seen_at: int  # steady instant of its last word (or of our first knowing it)
    newest_ns: dict[str, int] = {}  # component -> device instant of the newest judged reading
    sequence: str = ""
    odd: list[tuple[int, int]] = []  # (measured, received) of its last messages whose instant was odd
    shift_ns: int = 0  # the constant error found; added to its instants
    swapped_ns: int = 0  # since when this is another sensor's memory


@dataclass(frozen=True, slots=True)
class Worth:
    """What to do with one reading. `age_ns`: how long before its arrival it was true."""

    quality: Quality
    judge: bool
    store: bool = True
    shift_ns: int = 0
    arrival: bool = False
    age_ns: int = 0


def note_instant(heard: Heard, reading: Reading, lateness_ns: int) -> bool:
    """Remembers a message's odd instant; True when its constant error has just been found or has changed.

    An ordinary instant clears the memory: the clock was set. Ask once a message, not once a component.
    """
    offset = reading.received_ns - reading.measured_ns
    if -AHEAD_NS <= offset <= lateness_ns:
        changed = heard.shift_ns != 0
        heard.odd, heard.shift_ns = [], 0
        if changed:
            heard.newest_ns = {}  # it was our own clock, maybe, and they lie hours ahead
        return changed
    if heard.odd and heard.odd[-1][1] == reading.received_ns:
        return False
    heard.odd = [*heard.odd, (reading.measured_ns, reading.received_ns)][-ODD_KEPT:]
    if not _is_one_wrong_clock(heard.odd) or abs(offset - heard.shift_ns) <= STEADY_NS:
        return False  # not sure, or known: a kept shift keeps corrected instants in order
    heard.shift_ns = sorted(received - measured for measured, received in heard.odd)[ODD_KEPT // 2]
    heard.newest_ns = {}
    return True


def _is_one_wrong_clock(odd: list[tuple[int, int]]) -> bool:
    """Live samples keep their distance to arrival; kept ones, sent in a burst, lose a report's span each."""
    offsets = [received - measured for measured, received in odd]
    span = odd[-1][0] - odd[0][0]
    allowed = min(STEADY_NS, max(JITTER_NS, span // 4))
    return len(odd) == ODD_KEPT and span > 0 and max(offsets) - min(offsets) <= allowed


def assess(heard: Heard, reading: Reading, lateness_ns: int, known: bool) -> Worth:
    """What a reading is worth that is not plainly plausible and new (which Engine._usual asks first).

    `known`: these very bytes came before.
    """
    if known:
        return Worth(Quality.DUPLICATE, judge=False, store=False)
    if not reading.timed:
        return Worth(Quality.GOOD, judge=True)
    age = reading.received_ns - reading.measured_ns
    if heard.shift_ns and abs(age - heard.shift_ns) <= STEADY_NS:
        quality, shift, age = Quality.SKEWED, heard.shift_ns, max(age - heard.shift_ns, 0)
    elif age < -AHEAD_NS:
        return Worth(Quality.AHEAD, judge=True, arrival=True)
    elif age > lateness_ns:
        return Worth(Quality.LATE, judge=False)
    else:
        quality, shift = Quality.GOOD, 0
    return _in_order(heard, reading, quality, shift, max(age, 0))


def _in_order(heard: Heard, reading: Reading, quality: Quality, shift: int, age: int) -> Worth:
    measured, newest = reading.measured_ns + shift, heard.newest_ns.get(reading.component, 0)
    if measured < newest - TIES_NS:
        return Worth(Quality.DISORDER, judge=False, shift_ns=shift)
    if measured <= newest:
        shift += newest - measured + 1  # samples of one instant: all are kept, all count
    return Worth(quality, judge=True, shift_ns=shift, age_ns=age)


def name_of_skew(shift_ns: int, measured_ns: int) -> str:
    """unset (near 1970), zone (whole hours off), or offset."""
    if measured_ns < 365 * 86400 * SECOND:
        return "unset"
    hours = shift_ns / (3600 * SECOND)
    return "zone" if abs(hours - round(hours)) * 3600 <= 120 and round(hours) else "offset"
