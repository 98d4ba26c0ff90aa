"""The words of Lilong: one small value each (see README, "The words").

Instants come in two kinds, both integers of nanoseconds:
`at` is the box's steady time (never steps; every duration is arithmetic on it), names ending in
`_ns` such as `wall_ns`, `measured_ns`, `received_ns` are UTC since 1970 (stored, plotted, shown).
Spans are seconds and end in `_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, IntEnum, StrEnum
from typing import Any

import msgspec

SECOND = 1_000_000_000  # nanoseconds
POSTED = "http/"  # before a device's id: the topic of what it posts to the HTTP intake
OWN = "self/"  # before a device's id: the topic on which the gateway tells of itself


# ---------------------------------------------------------------- where a value was written down


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """The file and line (from 1) of a configured thing; shown by `check` and `why`."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


# ---------------------------------------------------------------- levels, verdicts, refusals


class Level(IntEnum):
    """How bad it is; ordered, so that max() is the level of an alert."""

    YELLOW = 1
    ORANGE = 2
    RED = 3

    @property
    def word(self) -> str:
        return self.name.lower()


LEVEL_OF = {level.word: level for level in Level}


class Verdict(Enum):
    """What one condition says of one reading. UNKNOWN moves nothing, arms nothing, clears nothing."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Refusal(StrEnum):
    """Why a payload, or a part of it, was not believed: the closed list of quarantine codes."""

    UNKNOWN_DEVICE = "unknown_device"  # no device of ours speaks on this topic
    IDENTITY = "identity"  # the payload claims to be another device
    OVERSIZE = "oversize"
    ENCODING = "encoding"  # not UTF-8, BOM, NUL, lone surrogate
    SYNTAX = "syntax"  # not JSON at all, or cut off
    DEPTH = "depth"
    DUPLICATE_KEY = "duplicate_key"
    TYPE = "type"  # a text where a number belongs, true where 1.5 belongs
    MISSING = "missing"  # a required field is not there
    NOT_FINITE = "not_finite"
    RANGE = "range"  # outside what the quantity can physically be
    COMPONENT = "component"  # slot 9 of 8
    LENGTH = "length"  # a block of samples too short, too long, or of axes that differ
    EMPTY = "empty"  # decoded, but holds nothing we map
    DATABASE = "database"  # the time-series server refused this one point
    OUTWARD = "outward"  # a system outside refused this one change of a case
    CRASHED = "crashed"  # our own code failed on it twice


class Quality(StrEnum):
    """What to think of a reading's instant and worth. Anything but GOOD is named on its point."""

    GOOD = "good"
    RETAINED = "retained"  # the broker's memory of a state, not news
    DUPLICATE = "duplicate"
    DISORDER = "disorder"  # older than what this device already said: stored, not judged
    LATE = "late"  # older than the model's lateness: stored, not judged
    AHEAD = "ahead"  # the device's clock is ahead; judged by arrival
    SKEWED = "skewed"  # a constant clock error, named and corrected
    HISTORY = "history"  # the device itself calls it an old sample: stored, not judged
    SPIKE = "spike"  # far from the values around it: kept raw, rules go by their on_bad_quality
    STUCK = "stuck"  # has not moved for longer than it can stand still: likewise
    OVERDUE = "overdue"  # of a sensor past its calibration: judged


# ---------------------------------------------------------------- what devices say


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes as they came from the broker."""

    topic: str
    payload: bytes
    retained: bool = False
    again: bool = False  # the broker's DUP flag: it may have been delivered before


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What one message said of one device or component, in canonical units."""

    device: str
    component: str  # "" for the device itself, "slot-3" for a part of it
    values: dict[str, float]  # the name carries the unit: tilt_x_deg, slot_temperature_c, smoke
    measured_ns: int  # the device's own instant, or received_ns when it sends none
    received_ns: int
    sequence: str = ""  # what the device (or network server) numbers its messages by
    timed: bool = True  # False when measured_ns is only our own received_ns
    history: bool = False  # the device itself says that this is an old sample


class Fault(msgspec.Struct, frozen=True):
    """A part of a payload that was not believed while the rest of it was."""

    code: Refusal
    field: str
    reason: str


class PayloadError(Exception):
    """A device's payload cannot be believed: quarantine, count, acknowledge."""

    def __init__(self, code: Refusal, field: str = "", reason: str = "") -> None:
        super().__init__(f"{code}: {field}: {reason}" if field else f"{code}: {reason}")
        self.code, self.field, self.reason = code, field, reason


# ---------------------------------------------------------------- knowledge: models and rules (data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One quantity of a device model and where its payload holds it (codecs.KEYS: what each codec uses)."""

    quantity: str  # a name of core.units.QUANTITIES
    path: str = ""  # json: dotted path inside the (component's) object
    radio: str = ""  # in an envelope: rssi or snr, as the gateway heard it that heard it best
    signal: str = ""  # signals: the id; each * in it is a digit of the component's number
    block: str = ""  # tlv, struct: the block of bytes that holds it
    at: int = 0  # its first byte inside the block
    type: str = ""  # a name of codecs.binary.TYPES
    bits: str = ""  # only these bits of it: "0", or "1-15", the lowest and the highest
    formula: str = ""  # what to make of it before scale and offset (codecs.formula)
    invalid: Mapping[int, str] = field(default_factory=dict)  # raw values that are none, and why
    unless: str = ""  # a state that makes this value meaningless while it is not 0
    of: str = ""  # component kind this belongs to; "" for the device itself
    scale: float = 1.0  # canonical = raw * scale + offset
    offset: float = 0.0
    unit: str = ""  # the device's unit when it is not ours: converted, a mismatch is a mistake
    values: Mapping[str, float] = field(default_factory=dict)  # words to numbers: {open: 1, closed: 0}
    required: bool = False
    low: float | None = None  # the device's own range, where it is narrower than the quantity's
    high: float | None = None
    stuck_after: int = 0  # so many reports without a change beyond the resolution: stuck; 0: never asked
    spike_window: int = 0  # Hampel filter over so many last values; 0: none
    spike_over: float = 0.0  # least distance from their median that is a spike; 0: three resolutions


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The parts of a device: `slot` 1..8, found in a list of objects or among signals."""

    kind: str  # "slot" gives components slot-1, slot-2, ...
    count: int
    path: str = ""  # json: dotted path of the list
    number: str = ""  # key of the part's number inside an entry (signals: or it is in the id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Where the waveform codec finds its samples, and what they are."""

    axes: Mapping[str, str]  # x, y, z -> dotted path of its samples; one path for all: interleaved
    unit: str  # of the samples, scaled; it tells acceleration from velocity
    samples: str = "list"  # list | int16le | int16be | int32le | int32be: integers in base64
    rate_hz: float = 0.0  # samples a second, when it is always the same
    rate_path: str = ""  # else dotted path of it
    scale: float = 1.0  # sample in `unit` = number * scale * what stands at scale_path
    scale_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    kind: str  # a name of codecs.CODECS
    envelope: str = ""  # chirpstack: the payload is a LoRaWAN event that holds an object or a frame
    port: int = 0  # only frames of this fPort; 0: of any
    time: str = ""  # dotted path of the device's instant; "" when it sends none
    time_unit: str = "iso"  # iso | s | ms | us | ns
    sequence: str = ""  # dotted path of the device's own message number
    identity: str = ""  # dotted path of the device id in the payload; must equal the device's own
    starts: str = ""  # tlv, struct: the frame begins with these bytes, in hex
    head: int = 0  # bytes before the first block
    flags_at: int | None = None  # struct: byte of the flags (uint16be) that tell which blocks are there
    blocks: Mapping[str, int] = field(default_factory=dict)  # id (tlv: tag in hex) -> bytes behind the tag
    history: Mapping[str, int] = field(default_factory=dict)  # block of old samples -> byte of its instant
    list: str = ""  # signals: dotted path of the list
    id_key: str = "id"
    value_key: str = "value"
    ignore: tuple[str, ...] = ()  # isapi, dahua, keda: event types that prove life and say no more
    wave: Wave | None = None  # of the waveform codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A payload and what it must decode to: the model's own test, and what the simulator speaks."""

    payload: str = ""
    frame: str = ""  # or the bytes inside the envelope, in hex
    readings: tuple[Mapping[str, Any], ...] = ()  # {component?, measured_at?, quantity: value, ...}
    error: str = ""  # the Refusal code it must end in
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a device says that it is there, and its broker that it is gone: MQTT birth and will."""

    topic: str = "{topic}/status"  # {topic}: the device's own; {above}: that without its last level
    online: str = "online"  # the whole payload
    offline: str = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Where a device is asked for a picture, and where it says under which address that one lies. Topics as
    in Status. A picture is all that can be asked: the words of the request are ours (core.snapshots).
    """

    ask: str = "{topic}/command/snapshot"
    answer: str = "{topic}/snapshot"
    ref: str = ""  # json: dotted path of such an address in the device's own payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What one make of device says: a file in devices/."""

    id: str  # the file's name without .yaml
    says: str
    scene: str
    source: str
    codec: Codec
    fields: tuple[Field, ...]
    components: tuple[Components, ...] = ()
    status: Status | None = None
    snapshot: Camera | None = None
    constants: Mapping[str, float] = field(default_factory=dict)  # of the examples' device; each has its own
    expect_every_s: float = 0.0
    lateness_s: float = 600.0  # an older sample is stored, not judged
    ends_after_s: float = 0.0  # a state that is 1 and not said again ends then; 0: only when it says 0
    reorder_s: float = 0.0  # judged so long after its instant, in the order of instants; 0: as it comes
    wrong_clock: str = "correct"  # correct | arrival | hold: what a wrong clock's readings are worth
    examples: tuple[Example, ...] = ()
    origin: Origin = Origin()

    @property
    def kinds(self) -> list[str]:
        """Its kinds of components; the axes of a waveform are components too."""
        return [part.kind for part in self.components] + (["axis"] if self.codec.wave else [])

    def parts(self, kind: str) -> list[str]:
        """The names of its components of a kind; of kind "" there is one, the device itself."""
        if self.codec.wave and kind == "axis":
            return [f"axis-{name}" for name in self.codec.wave.axes]
        counts = [part.count for part in self.components if part.kind == kind]
        return [f"{kind}-{one + 1}" for count in counts for one in range(count)] if kind else [""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """A quantity worked out from others: one entry under `derive:` of rules/*.yaml."""

    quantity: str  # what comes of it, judged by rules like any other
    how: str  # a name of core.derived.WAYS
    of: str  # the quantity it is worked out from
    scene: str
    model: str = ""  # only this model
    labels: Mapping[str, str] = field(default_factory=dict)  # only devices that carry these
    compensated_by: str = ""  # the temperature whose part is taken off
    across: str = ""  # of a lean: the other axis
    over_s: float = 0.0  # of a trend: so much of the past
    within_s: float = 0.0  # of a difference: how old the neighbour's word may be
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One level of a rule: one of the limits is set, or absent_s and missed (the later one)."""

    level: Level
    above: float | None = None
    below: float | None = None
    inside: tuple[float, float] | None = None  # bad from the first to the second, both included
    outside: tuple[float, float] | None = None
    equals: float | None = None  # `is`
    absent_s: float | None = None
    missed: float | None = None  # absent for so many of the device's own intervals
    hold_s: float = 0.0
    within_s: float = 0.0  # 0: hold_s on end; else so much in all of the last within_s
    readings: tuple[int, int] | None = None  # instead of hold_s: so many bad ones of the last so many
    clear: float | None = None  # clear_below / clear_above; None: the limit itself
    clear_range: tuple[float, float] | None = None  # clear_inside / clear_outside; None: the limit itself
    clear_hold_s: float | None = None  # None: the rule's
    origin: Origin = field(default=Origin(), compare=False)  # where the level was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Where a limit comes from. confidence: V read, V2 second hand, M from memory, D our default."""

    text: str
    confidence: str
    clause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Whose alert hides another rule's: its symptoms are kept and shown, and tell nobody."""

    rule: str
    at: str = "device"  # the same device, any part of it; or "place": the same place, or one inside it
    level: Level | None = None  # the lowest level of the cause that counts; None: any


@dataclass(frozen=True, slots=True, kw_only=True)
class During:
    """When something counts, by all that is given. A window is the name of a place's, or "22:00-06:00"."""

    inside: str = ""
    outside: str = ""
    days: tuple[str, ...] = ()  # of calendars.DAYS, any of them, by the day on which the window began


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """The same rule at the same place, so many times in a span: the last of them climbs at once."""

    within_s: float
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleControl:
    """How far a value went and how fast it goes, each as a percentage of its control value."""

    cumulative: float  # in the unit of the quantity
    rate_per_day: float
    rate_over_s: float  # the slope is that of so long
    combine: str  # "either": the one that is nearer its control value counts; "both": the other one
    cumulative_over_s: float = 0.0  # how far it went in so long; 0: since the baseline

    def expression(self, quantity: str) -> str:
        """The same in the words of core.expressions."""
        went = f"moved({quantity})"
        if self.cumulative_over_s:
            went = f"abs(change({quantity}, {self.cumulative_over_s:.15g}s))"
        goes = f"abs(rate_per_day({quantity}, {self.rate_over_s:.15g}s))"
        of_both = f"percent({went}, {self.cumulative:.15g}), percent({goes}, {self.rate_per_day:.15g})"
        return f"{'greatest' if self.combine == 'either' else 'least'}({of_both})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of rules/*.yaml."""

    id: str
    says: str
    scene: str
    quantity: str  # "" for a rule of silence
    limits: tuple[Limit, ...]  # ascending by level
    basis: Basis
    action: str
    each: str = ""  # component kind; "" judges the device itself
    model: str = ""  # only this model
    labels: Mapping[str, str] = field(default_factory=dict)  # only devices that carry these
    when: str = ""  # an expression, where it is more than `quantity`, which is then the first that it reads
    called: str = ""  # what the expression says, in Chinese
    double_control: DoubleControl | None = None  # where the expression comes from, when it is one
    group: str = ""  # judged together: device, place, or a kind of place
    relative_to: str = ""  # "baseline": judges |value - the device's baseline|; "zero": |value|
    during: During | None = None  # when it counts; else the verdict is good
    lateness_s: float = 0.0  # a value may come so much later than it was measured; 0: the model's
    clear_hold_s: float = 300.0
    min_on_s: float = 0.0  # an alert stands at least so long
    cool_down_s: float = 0.0  # so long after one has ended nothing that is no worse is raised
    confidence: float = 0.0  # a bad value counts from here on, where its reading says how sure it is
    latch: bool = False  # a level that fired stands until a person resets it
    respond_within_s: float = 0.0
    if_changed: str = ""  # keep | re-evaluate | close: what stands, once the rule asks another question
    on_bad_quality: str = ""  # hold | raise | judge; "": red levels raise, the others hold
    mode: str = "live"  # live | shadow: raised and stored, but no case and nobody told. off: not in a World
    steps: tuple[str, ...] = ("case", "notify", "event")  # what follows from its alert
    inhibited_by: tuple[Cause, ...] = ()
    handle_within_s: float = 0.0  # an acknowledgement holds so long; 0: as long as the street's clock says
    verify: str = ""  # who confirms a "done": sensor | person; "": the street's clock says
    recurrence: Recurrence | None = None  # when the same again goes to a higher post at once
    consequence: str = ""  # what happens when nobody comes; a red level needs it
    owner: str = ""  # who answers for it: a role that holds a post, or words; a red level needs it
    origin: Origin = Origin()

    @property
    def opens(self) -> bool:
        """Whether its alert opens a case."""
        return self.mode == "live" and "case" in self.steps

    @property
    def tells(self) -> bool:
        """Whether people are told of that case."""
        return self.opens and "notify" in self.steps

    @property
    def wants_snapshot(self) -> bool:
        """Whether the device of its alert is asked for a picture."""
        return self.mode == "live" and "snapshot" in self.steps


@dataclass(frozen=True, slots=True)
class Sample:
    """One step of a scenario's series that is more than a value; its faults are the whole message's."""

    value: float | None = None
    late_s: float = 0.0  # it comes so long after it was measured
    again: bool = False  # the device's last message comes once more, byte for byte
    skew_s: float | None = None  # from here on its clock is ahead by so much; -inf: it counts from 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A device of a scenario, where it is more than the one that every rule is about."""

    scene: str = ""  # "": that of the first rule
    labels: Mapping[str, str] = field(default_factory=dict)  # beside those the rules ask for
    behind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A rule's test in simulated time, beside the rule."""

    name: str
    every_s: float
    series: Mapping[str, tuple[float | Sample | None, ...]]  # [device.][component/]quantity -> its steps
    expect: tuple[tuple[str, float], ...]  # ("[rule] [subject] yellow", seconds after start)
    rule: str = ""
    rules: tuple[str, ...] = ()  # instead of one
    start: str = "2026-11-02T12:00"  # local wall time of the first step
    windows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: Mapping[str, Actor] = field(default_factory=dict)
    acts: tuple[tuple[str, float], ...] = ()  # (verb, seconds after start): on the cases open then
    link: tuple[tuple[str, float], ...] = ()  # ("down" | "up", seconds after start)
    origin: Origin = Origin()

    @property
    def tested(self) -> tuple[str, ...]:
        """The rules that judge in it."""
        return self.rules or (self.rule,)

    @property
    def title(self) -> str:
        return f"{', '.join(self.tested)}: {self.name}"


# ---------------------------------------------------------------- the site


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node of the tree: city, district, street, area, committee, compound, grid, building, point."""

    id: str
    says: str
    kind: str
    within: str = ""  # id of the parent; "" for the root
    windows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {"drop_off": ("06:30-08:30",)}
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    id: str
    says: str
    within: str = ""  # the unit above it
    head: str = ""  # the person who answers for it where a post of it is empty
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Local days on which a person is away; `to` is the first day back."""

    since: date
    until: date
    delegate: str = ""  # the person who stands in; "": the posts are empty meanwhile
    origin: Origin = Origin()

    def __str__(self) -> str:
        return f"{self.since}/{self.until}/{self.delegate}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: str
    says: str
    unit: str
    reach: Mapping[str, str] = field(default_factory=dict)  # channel name -> address on it
    verified: Mapping[str, date] = field(default_factory=dict)  # channel -> when a test reached them
    leave: tuple[Leave, ...] = ()
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody else is on duty for once: `2026-02-01T20:00` to the first minute it is over, local."""

    since: str
    until: str
    person: str
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Persons who take turns: from `handover` on the first day each has `turn_s` of the clock on the wall."""

    id: str
    members: tuple[str, ...]
    since: date
    handover: str  # "20:00"
    turn_s: float
    overrides: tuple[Override, ...] = ()
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A unit's role at a place, from/to (local dates; `to` is the first day it no longer holds).

    One of person and rotation is given. With `during` it is held at those hours only: then another post of
    the same role there, or one above, answers for the rest of the day.
    """

    role: str
    at: str
    unit: str
    person: str = ""
    rotation: str = ""
    since: date
    until: date | None = None
    during: During | None = None
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of a ladder: `after_s` from the level's start, tell `role` by these channels."""

    role: str | tuple[str, ...]  # one, or several who are responsible together
    by: tuple[str, ...]
    after_s: float = 0.0
    copy: tuple[str, ...] = ()  # roles that are informed: whatever they press takes nothing on

    def __post_init__(self) -> None:
        if isinstance(self.role, str):
            object.__setattr__(self, "role", (self.role,))

    @property
    def roles(self) -> tuple[str, ...]:
        """Those who are responsible, the first of them before the others."""
        return (self.role,) if isinstance(self.role, str) else self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Local days in which a device was at rest, as somebody approved: they tell what temperature does."""

    since: date
    until: date  # the first day that is no part of it
    approved_by: str

    def __str__(self) -> str:
        return f"{self.since}/{self.until}/{self.approved_by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One installed thing."""

    id: str
    model: str
    at: str  # place
    topic: str  # what it speaks on; may hold + for parts we do not care about
    says: str = ""
    baseline: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(
        default_factory=dict
    )  # its calibration sheet's: names of the model
    baseline_period: Period | None = None
    neighbours: Mapping[str, float] = field(default_factory=dict)  # device -> metres away
    behind: str = ""  # the device (a gateway, a broker) through which it speaks
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the sensor behind a quantity is corrected by from an instant on, until its next entry begins."""

    quantity: str  # "" for the device as a whole: it has only a sensor, a certificate, a day
    since_ns: int  # by when a value was measured
    component: str = ""
    scale: float = 1.0  # value = decoded * scale + offset, in our unit
    offset: float = 0.0
    baseline: float | None = None  # what rules count from; None: as before
    unjoined: bool = False  # nobody knows yet how its values go on: rules that count from a baseline wait
    sensor: str = ""  # serial number of another sensor: what was remembered of the old one is forgotten
    certificate: str = ""
    due: date | None = None
    note: str = ""


Number = int | float | bool | str | tuple[float, ...]  # whatever a rule's number may be


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTuning:
    """What an entry changes of one level: fields of Limit. A level that was not there is added."""

    numbers: Mapping[str, Number] = field(default_factory=dict)
    off: bool = False
    lines: Mapping[str, int] = field(default_factory=dict)  # field of Limit -> line of its key


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Numbers of a rule as they are at this site, or for some of its devices: one entry under `tune:`.

    At most one of labels, at, device says for which devices; none: for all that the rule judges.
    """

    rule: str
    because: str  # who decided it, and why
    labels: Mapping[str, str] = field(default_factory=dict)
    at: str = ""  # a place, and all that is within
    device: str = ""
    levels: Mapping[Level, LevelTuning] = field(default_factory=dict)
    numbers: Mapping[str, Number] = field(default_factory=dict)  # fields of Rule: clear_hold_s
    controls: Mapping[str, float] = field(default_factory=dict)  # fields of DoubleControl
    lines: Mapping[str, int] = field(default_factory=dict)  # field of Rule -> line of its key
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Which days people work. Of a year that is not in `years` nobody has said: weekdays are then worked."""

    differs: frozenset[date] = frozenset()  # Saturdays and Sundays that are worked, weekdays that are not
    years: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Works on a device, or on all that stands at a place: meanwhile no alert is raised there."""

    says: str  # why
    by: str  # the person who answers for it
    at: str = ""  # place; one of place and device is given
    device: str = ""
    since_ns: int = 0
    until_ns: int = 0  # the first instant at which it is over; 0: again and again, by `during` alone
    during: During | None = None  # only then; None: all the time
    also_red: bool = False  # red levels are held too
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How long a case of a level may stay in a stage: one entry under `clocks:`. 0: as long as it likes."""

    level: Level
    scene: str = ""  # only cases of this scene; it outweighs an entry without
    acknowledge_s: float = 0.0  # until somebody says "mine"
    handle_s: float = 0.0  # from there until "done"; of what nobody took on, until any feedback
    verify_s: float = 0.0  # until the sensor, or a second person, agrees
    verify_by: str = "sensor"  # or "person": somebody other than the doer, after the sensor
    during: During | None = None  # the hours that count; None: all
    origin: Origin = field(default=Origin(), compare=False)


DIGESTED = ("street", "area", "committee", "grid")  # kinds of places that have a weekly digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Who gets the weekly digest of a place, and when in the week after."""

    of: str  # the place
    by: tuple[str, ...]  # channels
    role: str = ""  # whoever answers for it there, then
    person: str = ""  # or this one
    day: str = "mon"
    at: str = "08:00"
    origin: Origin = field(default=Origin(), compare=False)

    @property
    def key(self) -> str:
        """Tells it from every other: nobody gets the same place's twice on one way."""
        return "|".join((self.of, self.role or self.person, *self.by))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything the core knows that is not state: swapped whole, atomically, on reload."""

    models: Mapping[str, Model]
    rules: tuple[Rule, ...]
    places: Mapping[str, Place]
    units: Mapping[str, Unit]
    persons: Mapping[str, Person]
    posts: tuple[Post, ...]
    ladders: Mapping[Level, tuple[Step, ...]]
    devices: Mapping[str, Device]
    scenarios: tuple[Scenario, ...] = ()
    calibrations: Mapping[str, tuple[Calibration, ...]] = field(default_factory=dict)  # device -> ascending
    derivations: tuple[Derivation, ...] = ()
    tunings: tuple[Tuning, ...] = ()
    calendar: Calendar = Calendar()
    maintenance: tuple[Maintenance, ...] = ()
    rotations: Mapping[str, Rotation] = field(default_factory=dict)
    scene_ladders: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)  # "cabinet.red": goes first
    quiet: Mapping[str, str] = field(default_factory=dict)  # "yellow", "waste.orange" -> window, or a place's
    acknowledge_by: Mapping[str, int] = field(default_factory=dict)  # "red", "cabinet.red" -> persons; 1
    shelve_most_s: Mapping[str, float] = field(default_factory=dict)  # "red", "cabinet.red" -> the longest
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role -> others, when empty
    supervisor: Step | None = None  # who hears of an empty post
    digests: tuple[Digest, ...] = ()
    off: Mapping[str, Origin] = field(default_factory=dict)  # rules of mode off, and where they are written
    clocks: tuple[Clock, ...] = ()  # none: only what rules say counts, and the sensor alone verifies
    join_within_s: float = 0.0  # alerts of one place and scene join one case; 0: each has its own
    keep_snapshots_s: float = 2_592_000.0  # the address of a camera's picture is forgotten then
    review_at: str = ""  # "08:30": when what stands for more than a day is told of again; "": never
    groups: frozenset[str] = frozenset()  # channels that reach a group or a place: no address is needed
    loud: frozenset[str] = frozenset()  # channels that ring: what is no alarm goes by another
    timezone: str = "Asia/Shanghai"
    digest: str = ""  # of every file it was read from: names this version


# ---------------------------------------------------------------- what goes into the engine


class Messages(msgspec.Struct, frozen=True, tag="messages", array_like=True):
    """What the broker handed over in one go. Message i was received at wall_ns + i."""

    at: int
    wall_ns: int
    items: list[Message]
    kept: bool = False  # taken out of quarantine: stored as of then, never judged as news


class Tick(msgspec.Struct, frozen=True, tag="tick", array_like=True):
    at: int
    wall_ns: int


class Link(msgspec.Struct, frozen=True, tag="link", array_like=True):
    """The broker's connection came up or went down. While down, silence proves nothing."""

    at: int
    wall_ns: int
    up: bool


class Verb(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    DONE = "done"
    FALSE = "false"
    RESET = "reset"  # of what is latched; the note says why
    NOTE = "note"
    TRANSFER = "transfer"  # to `to`, a person or a role
    RETURN = "return"  # not mine: to the post above; or, of what is to be verified, back to the doer
    SUSPEND = "suspend"  # until `until_ns`
    APPROVE = "approve"  # what somebody else asked to suspend
    VERIFY = "verify"
    MERGE = "merge"  # into the case `to`
    SPLIT = "split"  # the alert `to` gets a case of its own
    REOPEN = "reopen"  # of one that ended: a new case that knows the old one
    PHOTO = "photo"  # a picture that proves what was found or done
    SHELVE = "shelve"  # nobody is told of it until `until_ns`, up to the level `to`
    OUT_OF_SERVICE = "out_of_service"  # nor of anything about a device
    AGREE = "agree"  # to what somebody else asked to shelve
    UNSHELVE = "unshelve"
    DRILL = "drill"  # an alarm raised on purpose: the case is rule|device|component


class Photo(msgspec.Struct, frozen=True, array_like=True):
    """A picture of the handling. The core sees its name and size; the bytes lie outside the log."""

    sha256: str  # of the bytes as they are kept, hexadecimal
    kind: str  # of core.photos.KINDS
    size: int  # bytes


class Act(msgspec.Struct, frozen=True, tag="act", array_like=True):
    """What a person did on a case."""

    at: int
    wall_ns: int
    case: str
    person: str
    verb: Verb
    note: str = ""
    channel: str = "link"
    to: str = ""
    until_ns: int = 0
    reason: str = ""  # of the closed list core.cases.REASONS
    photo: Photo | None = None  # of PHOTO


class Told(StrEnum):
    """What became of one attempt to send."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good: next rung
    LATER = "later"  # for now: retry_after_s
    UNKNOWN = "unknown"  # no answer; may have been sent


class Outcome(msgspec.Struct, frozen=True, tag="outcome", array_like=True):
    at: int
    wall_ns: int
    notification: str  # or a snapshot: what was to be said to somebody
    told: Told
    detail: str = ""
    retry_after_s: float = 0.0
    number: str = ""  # the provider's own name of the message, when it gave one
    card: str = ""  # by what the message can be changed once somebody has answered
    once: bool = False  # of UNKNOWN: sent again it might be a second message, so it is not
    receipt_s: float = 0.0  # within this a receipt should come; 0: this way gives none


class Failure(StrEnum):
    """Why a person was not reached, as far as the provider can tell."""

    NO_ANSWER = "no_answer"  # it rang
    BUSY = "busy"
    OFF = "off"  # switched off, out of reach, or barred for now
    INVALID = "invalid"  # there is no such number: it never reaches anybody
    OTHER = ""


class Receipt(msgspec.Struct, frozen=True, tag="receipt", array_like=True):
    """What a provider says, later, of a message that it had taken."""

    at: int
    wall_ns: int
    channel: str
    number: str  # the provider's name of the message, or our id of it
    delivered: bool
    detail: str = ""
    failure: Failure = Failure.OTHER


class Reply(msgspec.Struct, frozen=True, tag="reply", array_like=True):
    """What a person answered on a channel: the words of an SMS, a key pressed in a call."""

    at: int
    wall_ns: int
    channel: str
    address: str
    text: str
    number: str = ""  # of the message it answers, as in Receipt; "": the newest that was told there


class Configured(msgspec.Struct, frozen=True, tag="configured", array_like=True):
    """From here on another World judges."""

    at: int
    wall_ns: int
    digest: str


class Weekly(msgspec.Struct, frozen=True, tag="weekly", array_like=True):
    """The digest of a place was made: whoever is to have it gets it, once."""

    at: int
    wall_ns: int
    to: str  # Digest.key of who
    week: str  # such as 2026-W47: the later one sorts behind
    title: str
    text: str


Event = Messages | Tick | Link | Act | Outcome | Receipt | Reply | Weekly | Configured


# ---------------------------------------------------------------- what comes out of it


class AlertState(StrEnum):
    FIRING = "firing"
    LATCHED = "latched"  # returned to normal, waiting for a person's reset
    CLEARED = "cleared"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule on one subject, one episode, a level that can rise and fall."""

    id: str
    rule: str
    device: str
    component: str
    case: str
    level: Level  # now; when cleared, the last one
    worst: Level
    state: AlertState
    raised_ns: int
    changed_ns: int
    rises: tuple[tuple[Level, int], ...] = ()  # its level path: each worse one and when it was first there
    quantity: str
    value: float | None  # what moved it last; None for silence
    limit: float | None
    count: int = 1  # bad readings so far
    evidence: str = ""  # of a derived quantity: from what, and by which version of which baseline
    heard_ns: int = 0  # of silence: the device's last word, or when we first knew of it
    called: str = ""  # of an expression: what `value` is, and in which unit
    unit: str = ""
    chattering: bool = False  # it will not stand still: told once, slow to end
    mode: str = "live"  # of its rule; a shadow one has no case and tells nobody; or core.builtin.DRILL
    hidden_by: str = ""  # the alert whose symptom it is: it stands in that one's case, and tells nobody
    point: bool = True  # its changes are points of the time series
    fell_at: int | None = None  # steady instant from which it is below its case's level
    origin: str = ""  # file and line of the rule that raised it
    digest: str = ""  # of the World that raised it
    shelved: str = ""  # the shelf it is on: nobody is told of it


class Shelf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of what nobody is told for a while, up to which level, why, and who answers for that."""

    id: str
    rule: str  # "": every rule: the device is out of service
    device: str
    component: str
    level: Level
    person: str
    reason: str
    since_ns: int  # of one that was renewed, when the first began
    until_ns: int
    until_at: int  # steady
    in_force: bool = False  # else a second person has not agreed yet, or it has ended
    agreed_by: str = ""
    case: str = ""  # on whose page it was asked for
    ended_ns: int = 0
    ended_by: str = ""  # "": its time was over

    @property
    def key(self) -> str:
        return f"{self.rule}|{self.device}|{self.component}"

    def holds(self, alert: Alert) -> bool:
        """Whether nobody is told of this alert as it is now, as long as the shelf is in force."""
        if self.rule and (self.rule, self.component) != (alert.rule, alert.component):
            return False
        return self.device == alert.device and alert.level <= self.level


class SnapshotState(StrEnum):
    DUE = "due"  # the camera is to be asked
    ASKED = "asked"  # the broker has the request
    TAKEN = "taken"  # it said where the picture lies
    MISSED = "missed"  # it did not in time; its alert goes on all the same


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture wanted of the device that raised an alert: one for each level that it reaches.

    `id` is made of both, so that the camera knows a request that comes again. Only the picture's address is
    kept, and that until `expires_ns`.
    """

    id: str
    alert: str
    case: str  # that of the alert when it was wanted; "": none
    device: str
    level: Level
    topic: str  # where the camera is asked; "": it cannot be, its own messages may say
    wanted_ns: int
    due_at: int  # steady
    answer_by: int  # steady
    state: SnapshotState = SnapshotState.DUE
    attempt: int = 0
    detail: str = ""  # why it could not be asked
    ref: str = ""  # http or https
    taken_ns: int = 0
    expires_ns: int = 0


class Stage(StrEnum):
    """Where a case stands (domain table 6.1)."""

    FOUND = "found"
    SENT = "sent"  # a provider took the message
    ACKNOWLEDGED = "acknowledged"
    HANDLING = "handling"
    HANDLED = "handled"  # the doer says done
    VERIFIED = "verified"  # and the sensor agrees
    CLOSED = "closed"
    FALSE = "false"
    MERGED = "merged"  # another case goes on with its alerts
    RETURNED = "returned"  # whoever was told says that it is another's: the post above has it
    SUSPENDED = "suspended"  # its clocks stand until the day of return


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The human side of an alert. Open until its stage is CLOSED, FALSE or MERGED."""

    id: str
    alerts: tuple[str, ...]
    device: str
    component: str
    place: str
    rule: str
    level: Level
    stage: Stage
    opened_ns: int
    changed_ns: int
    responsible: str = ""  # person told last
    acknowledged_by: str = ""
    handled_by: str = ""
    rung: int = 0  # steps of the ladder already taken for this level
    climbing_at: int = 0  # steady instant the present ladder began
    told: tuple[str, ...] = ()  # every person whom the ladder has named
    silent: bool = False  # nobody is told: its rule only keeps a list, or went into the shadow
    answered_at: int | None = None  # steady instant of the acknowledgement, or of the bounce after it
    merged_into: str = ""  # the case of the cause, or the one that a person named
    opened_at: int | None = None  # steady
    clock_at: int | None = None  # when the clock of the present stage began: steady, and on the wall
    clock_ns: int = 0
    overdue: bool = False  # the present stage has outrun its clock, and the post above knows
    verifier: str = ""  # asked to verify
    verified_by: str = ""
    reason: str = ""  # why it ended: of core.cases.REASONS
    word: str = ""  # what was said with the last transfer, return or suspension
    word_by: str = ""
    until_ns: int = 0  # day of return of a suspension; asked for, or in force
    suspended_at: int | None = None  # steady
    suspended_until: int | None = None  # steady
    handed_on: bool = False  # it was returned or transferred: several parties have to do with it
    again: int = 0  # the how-manyeth within the span of its rule's recurrence
    again_of: str = ""  # the case before it
    lifted: int = 0  # rungs that are taken at once beyond the first
    reopened: bool = False  # by a person: its ladder climbs although its sensor is normal
    troubles: tuple[str, ...] = ()  # rule|device|component of every alert that was ever in it
    copies: tuple[str, ...] = ()  # persons who were only informed
    agreed: tuple[str, ...] = ()  # who has said "mine" while more than one must
    denied: tuple[str, ...] = ()  # who has called it false while more than one must
    drill: bool = False  # raised on purpose: told as such, and counted apart
    drill_until: int = 0  # steady: then it is over, whoever has answered
    photos: tuple[str, ...] = ()  # sha256 of each picture that proves its handling

    @property
    def unheard(self) -> bool:
        """Nobody was ever told of it: one that is on the shelf for a while was, and counts on."""
        return self.silent and not self.told


class NotificationState(StrEnum):
    DUE = "due"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNSURE = "unsure"  # it may have arrived, and is not sent again
    DELIVERED = "delivered"  # says its receipt
    FAILED = "failed"  # says its receipt: the person does not have it
    MISSED = "missed"  # no receipt in time


class Kind(StrEnum):
    """Why a person is told."""

    RAISED = "raised"
    RISEN = "risen"
    ESCALATED = "escalated"
    BOUNCED = "bounced"  # "done" came while the sensor still says bad
    CLEARED = "cleared"  # the sensor is normal again
    LATCHED = "latched"  # it is, but somebody must reset the alarm
    OVERDUE = "overdue"  # acknowledged, and not handled in time
    LATE = "late"  # nobody has taken it on in time; or given any feedback
    RECURRED = "recurred"  # once more: the post above is told at once
    RETURNED = "returned"
    TRANSFERRED = "transferred"
    VERIFY = "verify"  # done and normal: a second person is asked to look
    REJECTED = "rejected"  # who looked says that it is not done
    UNVERIFIED = "unverified"  # done was said, and nobody and nothing has confirmed it in time
    ASKED = "asked"  # somebody wants to suspend it, and another must agree
    SHELVE_ASKED = "shelve_asked"  # or to shelve its alert
    STANDING = "standing"  # of no case: the morning list of what has stood for more than a day
    RESUMED = "resumed"  # its suspension is over
    REOPENED = "reopened"
    COPIED = "copied"  # for information: somebody else is responsible
    WEEKLY = "weekly"  # the digest of a place: about no case
    GAP = "gap"  # a post that the ladder names is empty
    HANDED_OVER = "handed_over"  # another holds the post now, and has the case
    TAKEN_OVER = "taken_over"  # the case of whoever held the post before
    ANSWERED = "answered"  # no message: the card that stands there is changed (core.cards)


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One text to one person on one channel. `id` is the key that makes a second sending recognisable."""

    id: str
    case: str
    alert: str
    kind: Kind
    level: Level
    person: str
    channel: str
    address: str
    title: str
    text: str  # without the link; the sender appends it
    created_ns: int
    due_at: int  # steady
    state: NotificationState = NotificationState.DUE
    attempt: int = 0
    detail: str = ""
    number: str = ""  # the provider's own name of it
    rung: int = 0  # of its case's ladder when it was made: how many had been taken
    receipt_by: int = 0  # steady: until then a receipt is waited for; 0: none is
    card: str = ""  # of ANSWERED: what it changes
    told_at: int = 0  # steady: when it was sent, for all we know; counts against the channel's limits
    calls: int = 0  # how often it has rung already without an answer
    drill: bool = False  # of a case that was raised on purpose
    together: int = 0  # of a digest, which is never stored: how many it stands for
    asks: tuple[Verb, ...] = (Verb.ACKNOWLEDGE,)  # what may be done by it; older stores' asked for this alone


class Refused(msgspec.Struct, frozen=True):
    """Message `index` of the event, or a part of it, goes to quarantine."""

    index: int
    code: Refusal
    device: str
    field: str
    reason: str


class QuarantineRow(msgspec.Struct, frozen=True):
    """A message, or a single point of it, that is kept because it could not be believed or stored."""

    position: int  # in the log
    code: str  # a Refusal
    device: str
    topic: str
    payload: bytes
    field: str
    reason: str
    wall_ns: int  # when it was received


class Marked(msgspec.Struct, frozen=True, array_like=True):
    """What the forwarder must know of message `index` beyond its bytes. Unmarked means good.

    `component` "*" means every reading of the message. `store` False: no point is written.
    `said_ns` names the reading by the instant it was decoded with: a message may hold many of a component.
    `values` names quantities left out. `shift_ns` is added to measured_ns.
    """

    index: int
    component: str
    quality: Quality
    store: bool = True
    shift_ns: int = 0
    left_out: tuple[str, ...] = ()
    arrival: bool = False  # measured_ns cannot be used at all: store at received_ns
    derived: dict[str, float] = {}  # quantities worked out from this reading, stored beside its own
    said_ns: int | None = None  # None: every reading of the component


class Ended(msgspec.Struct, frozen=True):
    """A state is over by its model's `ends_after`, unsaid by anybody: its last point is a 0, as of then."""

    device: str
    component: str
    quantity: str
    wall_ns: int


class Noted(msgspec.Struct, frozen=True):
    """Something worth a log line and a counter; `event` is a name of gateway.telemetry."""

    event: str
    fields: dict[str, Any]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a case's history (append-only): what happened, who did it."""

    case: str
    wall_ns: int
    what: str  # a Stage, a Kind, a Told or a Level word
    person: str = ""
    channel: str = ""
    note: str = ""


Effect = Alert | Case | Shelf | Notification | Snapshot | Refused | Marked | Ended | Noted | Entry
