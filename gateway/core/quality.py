"""What a message's instant is worth, before any rule looks at its values.

A device's clock can be unset, eight hours off or drifting; a broker can repeat itself; a device can send what
it kept during an outage. Each has a name (model.Quality) and a consequence: what is stored, what is judged.
A live device whose clock is wrong shows a constant offset; kept data that is sent later shows offsets that
shrink from message to message. Three messages tell the two apart. What a value is worth: core.doubts.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from gateway.core.doubts import Trace
from gateway.core.model import SECOND, Quality, Reading

AHEAD_NS = 120 * SECOND  # more than this in the future is no network delay and no ordinary drift
STEADY_NS = 30 * SECOND  # offsets this close to each other are one wrong clock
JITTER_NS = 2 * SECOND  # what the way may add to them
DRIFT_NS = 600 * SECOND  # a known error that has moved by less than this has drifted; more: it was set anew
TIES_NS = 1_000  # samples of one instant are told apart by this much: finer than any clock that devices send
NEVER_SET_NS = 365 * 86400 * SECOND  # before 1971 is a clock that counts from its own start
ODD_KEPT = 3
SEQUENCES_KEPT = 16  # a second gateway or a retry is seconds behind, not sixteen messages
UNIQUE_LENGTH = 32  # a sequence as long as this is an id, never a counter that begins anew
RETRY_NS = 120 * SECOND  # a counter said again after more than this began anew
EVENTS = {  # the quality event of each; RETAINED is no news, SKEWED is told once by device_clock_skewed
    Quality.DUPLICATE: "reading_repeated",
    Quality.DISORDER: "reading_disordered",
    Quality.LATE: "reading_late",
    Quality.HISTORY: "reading_historic",
    Quality.AHEAD: "reading_ahead",
}


class Said(msgspec.Struct, array_like=True):
    """A message's own number, and enough of it to know it again."""

    sequence: str
    measured_ns: int
    received_ns: int
    values: dict[str, float]


class Held(msgspec.Struct, array_like=True):
    """A reading that waits for its turn. `at` is its instant by our steady clock."""

    at: int
    measured_ns: int
    component: str
    values: dict[str, float]
    doubted: tuple[str, ...] = ()


class Heard(msgspec.Struct):
    """What is remembered of a device between its messages."""

    seen_at: int  # steady instant of its last word (or of our first knowing it)
    newest_ns: dict[str, int] = {}  # component -> device instant of the newest judged reading
    odd: list[tuple[int, int]] = []  # (measured, received) of its last messages whose instant was odd
    shift_ns: int = 0  # the constant error found; added to its instants
    swapped_ns: int = 0  # since when this is another sensor's memory
    drifting: bool = False  # that error grows
    said: list[Said] = []  # its last numbered messages, when its model numbers them
    traces: dict[str, Trace] = {}  # "component/quantity" -> where its values were, when its model asks
    held: list[Held] = []  # in the order of their turns, when its model reorders
    intervals: list[int] = []  # between its last messages, when its interval is learned
    offline: bool = False  # the broker spoke its will, and it has said nothing since


class Worth(msgspec.Struct, frozen=True, gc=False):
    """What to do with one reading. `age_ns`: how long before its arrival it was true."""

    quality: Quality
    judge: bool
    store: bool = True
    shift_ns: int = 0
    arrival: bool = False
    age_ns: int = 0


# ---------------------------------------------------------------- its clock


def note_instant(heard: Heard, reading: Reading, lateness_ns: int) -> bool:
    """Remembers a message's odd instant; True when its error has just been found, or is another kind now.

    An ordinary instant clears the memory: the clock was set. Ask once a message, not once a component.
    """
    offset = reading.received_ns - reading.measured_ns
    if -AHEAD_NS <= offset <= lateness_ns:
        changed = heard.shift_ns != 0
        heard.odd, heard.shift_ns, heard.drifting = [], 0, False
        if changed:
            heard.newest_ns = {}  # it was our own clock, maybe, and they lie hours ahead
        return changed
    if heard.odd and heard.odd[-1][1] == reading.received_ns:
        return False
    heard.odd = [*heard.odd, (reading.measured_ns, reading.received_ns)][-ODD_KEPT:]
    if not _is_one_wrong_clock(heard.odd) or abs(offset - heard.shift_ns) <= STEADY_NS:
        return False  # not sure, or known: a kept shift keeps corrected instants in order
    return _shifted(heard)


def _shifted(heard: Heard) -> bool:
    """The error is what the last messages say; True unless it only went on drifting."""
    offsets = [received - measured for measured, received in heard.odd]
    before, heard.shift_ns = heard.shift_ns, sorted(offsets)[ODD_KEPT // 2]
    heard.newest_ns = {}
    moved = before != 0 and abs(heard.shift_ns - before) <= DRIFT_NS
    went_on = moved and heard.drifting
    heard.drifting = moved or _drifts(offsets)
    return not went_on


def _drifts(offsets: list[int]) -> bool:
    """They go one way, by more than the network explains."""
    way = sorted(offsets) in (offsets, offsets[::-1])
    return way and abs(offsets[-1] - offsets[0]) > JITTER_NS


def _is_one_wrong_clock(odd: list[tuple[int, int]]) -> bool:
    """Live samples keep their distance to arrival; kept ones, sent in a burst, lose a report's span each."""
    offsets = [received - measured for measured, received in odd]
    span = odd[-1][0] - odd[0][0]
    allowed = min(STEADY_NS, max(JITTER_NS, span // 4))
    return len(odd) == ODD_KEPT and span > 0 and max(offsets) - min(offsets) <= allowed


def name_of_skew(shift_ns: int, measured_ns: int, drifting: bool = False) -> str:
    """unset (near 1970), drift (it grows), zone (whole hours off), or offset."""
    if measured_ns < NEVER_SET_NS:
        return "unset"
    if drifting:
        return "drift"
    hours = shift_ns / (3600 * SECOND)
    return "zone" if abs(hours - round(hours)) * 3600 <= 120 and round(hours) else "offset"


# ---------------------------------------------------------------- its instant


def assess(heard: Heard, reading: Reading, lateness_ns: int, known: bool, wrong_clock: str) -> Worth:
    """What a reading is worth that is not plainly plausible and new (which hearing asks first).

    `known`: it came before. `wrong_clock`: the model's policy, correct, arrival or hold.
    """
    if known:
        return Worth(Quality.DUPLICATE, judge=False, store=False)
    if not reading.timed:
        return Worth(Quality.GOOD, judge=True)
    age = reading.received_ns - reading.measured_ns
    if reading.history:
        ahead = age - heard.shift_ns < -AHEAD_NS
        return Worth(Quality.HISTORY, judge=False, shift_ns=0 if ahead else heard.shift_ns, arrival=ahead)
    if heard.shift_ns and abs(age - heard.shift_ns) <= STEADY_NS:
        return _skewed(heard, reading, age - heard.shift_ns, wrong_clock)
    if age < -AHEAD_NS:
        return Worth(Quality.AHEAD, judge=wrong_clock != "hold", arrival=True)
    if age > lateness_ns:
        return Worth(Quality.LATE, judge=False)
    return _in_order(heard, reading, Quality.GOOD, 0, max(age, 0))


def _skewed(heard: Heard, reading: Reading, age: int, wrong_clock: str) -> Worth:
    if wrong_clock == "arrival":
        return Worth(Quality.SKEWED, judge=True, arrival=True)
    if wrong_clock == "hold":
        return Worth(Quality.SKEWED, judge=False, shift_ns=heard.shift_ns)
    return _in_order(heard, reading, Quality.SKEWED, heard.shift_ns, max(age, 0))


def _in_order(heard: Heard, reading: Reading, quality: Quality, shift: int, age: int) -> Worth:
    measured, newest = reading.measured_ns + shift, heard.newest_ns.get(reading.component, 0)
    if measured < newest - TIES_NS:
        return Worth(Quality.DISORDER, judge=False, shift_ns=shift)
    if measured <= newest:
        shift += newest - measured + 1  # samples of one instant: all are kept, all count
    return Worth(quality, judge=True, shift_ns=shift, age_ns=age)


def apart(held: list[Held], reading: Reading, worth: Worth) -> Worth:
    """Another sample of an instant that still waits for its turn: both are kept, both count."""
    taken = {one.measured_ns for one in held if one.component == reading.component}
    shift = worth.shift_ns
    while reading.measured_ns + shift in taken:
        shift += 1
    return replace(worth, shift_ns=shift)


# ---------------------------------------------------------------- its number


def said_again(heard: Heard, reading: Reading) -> bool:
    """Whether a message of this number was said before: by a retry, or heard by a second gateway.

    An id as long as a UUID is one message for ever. A counter begins anew when its device restarts, so its
    number counts only beside the same instant, or, without instants, right after the same values.
    """
    sequence = reading.sequence
    if not sequence:
        return False
    if any(_is_same(one, reading) for one in heard.said):
        return True
    said = Said(sequence, reading.measured_ns, reading.received_ns, reading.values)
    heard.said = [*heard.said[1 - SEQUENCES_KEPT :], said]
    return False


def _is_same(one: Said, reading: Reading) -> bool:
    if one.sequence != reading.sequence:
        return False
    if len(one.sequence) >= UNIQUE_LENGTH:
        return True
    if reading.timed:
        return abs(one.measured_ns - reading.measured_ns) <= JITTER_NS
    return one.values == reading.values and reading.received_ns - one.received_ns <= RETRY_NS
