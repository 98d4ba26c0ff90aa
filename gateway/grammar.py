"""How devices/*.yaml, rules/*.yaml and sites/*.yaml are written: the keys of each entry and their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from gateway.core.calendars import DAY_MIN, DAYS, WEEK, is_window, parse_clock, zone
from gateway.core.codecs import CODECS, chirpstack
from gateway.core.codecs.bits import TYPES, picked
from gateway.core.codecs.formula import Formula
from gateway.core.codecs.waveform import SHAPES, UNITS
from gateway.core.conditions import parsed
from gateway.core.derived import WAYS
from gateway.core.expressions import Expression
from gateway.core.model import (
    LEVEL_OF,
    SECOND,
    Actor,
    Basis,
    Calibration,
    Camera,
    Cause,
    Clock,
    Codec,
    Components,
    Derivation,
    Device,
    Digest,
    DoubleControl,
    During,
    Example,
    Field,
    Leave,
    Level,
    LevelTuning,
    Limit,
    Maintenance,
    Model,
    Number,
    Origin,
    Override,
    Period,
    Person,
    Place,
    Post,
    Recurrence,
    Refusal,
    Rotation,
    Rule,
    Scenario,
    Status,
    Step,
    Tuning,
    Unit,
    Wave,
)
from gateway.core.units import QUANTITIES
from gateway.core.words import Mistake
from gateway.problems import say
from gateway.series import SUBJECT, Said, parse_act, parse_expectation, parse_link, parse_series
from gateway.typed import (
    IDENTIFIER,
    LENIENT,
    ONE_OR_MORE,
    Duration,
    Identifier,
    Key,
    Kind,
    Minute,
    PositiveDuration,
    Rest,
    SomeText,
    Window,
    between,
    former,
    keys_of,
    parse_as,
    parse_duration,
    part_of,
    spell,
)

NOWHERE = Origin()
WITHIN_S = 7200.0  # two neighbours that both speak hourly always find each other
READINGS_MOST = 60  # they are remembered one by one
QUANTITY_NAME = re.compile(r"[a-z][a-z0-9_]*")  # the name of one, known or not; else an expression
_NUMBER = r"-?\d+(?:\.\d+)?"

# ---------------------------------------------------------------- single values


def parse_topic(value: Any) -> str:
    """What a device publishes on: + only as a whole level, no #, no $, no empty level."""
    if not isinstance(value, str) or len(value) > 1024 or value.startswith("$"):
        raise ValueError
    for level in value.split("/"):
        if (
            not level
            or "#" in level
            or ("+" in level and level != "+")
            or re.search(r"[\x00-\x1f\x7f]", level)
        ):
            raise ValueError
    return value


def parse_hex(value: Any) -> str:
    """Whole bytes in hexadecimal, spaces between them allowed; given back small and without spaces."""
    if not isinstance(value, str) or len(value) > 4096:
        raise ValueError
    return bytes.fromhex(value).hex()


def parse_tag(value: Any) -> str:
    """The id of a block: a word, or a tag in hexadecimal (small, as it is looked up)."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Za-z_]{1,16}", value, re.ASCII):
        raise ValueError
    return value.lower()


def parse_bits(value: Any) -> str:
    """`"0"`, or `1-15`: the lowest and the highest."""
    if not isinstance(value, str):
        raise ValueError
    picked(value)
    return value


def parse_signal(value: Any) -> str:
    """The id of a signal; its stars, if any, stand together."""
    if not isinstance(value, str) or not re.fullmatch(r"[^*]{0,32}\*{0,3}[^*]{0,32}", value) or not value:
        raise ValueError
    return value


def parse_constant(value: Any) -> str:
    """A name that a formula can hold."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value) or value == "raw":
        raise ValueError
    return value


def parse_formula(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    Formula(value)
    return value


def parse_raw(value: Any) -> int:
    """A key is a text; this one is a whole number."""
    if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,10}", value, re.ASCII):
        raise ValueError
    return int(value)


def parse_odd(value: Any) -> int:
    """The width of a filter that has a middle."""
    if type(value) is not int or not 5 <= value <= 25 or value % 2 == 0:
        raise ValueError
    return value


def parse_readings(value: Any) -> tuple[int, int]:
    """`3`, or `3 of 5`: so many bad ones of the last so many."""
    if type(value) is int:
        value = str(value)
    match = re.fullmatch(r"(\d{1,2})(?: of (\d{1,2}))?", value, re.ASCII) if isinstance(value, str) else None
    if not match or not 2 <= int(match[1]) <= int(match[2] or match[1]) <= READINGS_MOST:
        raise ValueError
    return int(match[1]), int(match[2] or match[1])


def parse_equal(value: Any) -> float:
    """A number, or `true` of an expression that is a truth."""
    if value is True or type(value) in (int, float):
        return float(value)
    raise ValueError


def parse_range(value: Any) -> tuple[float, float]:
    """`5..12`: from the first to the second, which is greater."""
    match = re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", value, re.ASCII) if isinstance(value, str) else None
    if not match or float(match[1]) >= float(match[2]):
        raise ValueError
    return float(match[1]), float(match[2])


def parse_window_or_name(value: Any) -> str:
    """`drop_off`, or a window itself: `22:00-06:00`."""
    if not isinstance(value, str):
        raise ValueError
    return str(parse_as(value, Window if is_window(value) else Identifier))


TURN_S_LEAST, TURN_S_MOST = 3600.0, 31 * 86400.0  # of one person in a rotation


def parse_turn(value: Any) -> float:
    """How long each in a rotation is on duty: an hour to 31 days."""
    turn_s = parse_duration(value)
    if not TURN_S_LEAST <= turn_s <= TURN_S_MOST:
        raise ValueError
    return turn_s


def parse_clock_time(value: Any) -> str:
    """`20:00`, and not 24:00."""
    if not isinstance(value, str) or parse_clock(value) == DAY_MIN:
        raise ValueError
    return value


def parse_level_key(value: Any) -> str:
    """`red`, or `cabinet.red` for one scene."""
    if not isinstance(value, str):
        raise ValueError
    scene, dot, level = value.rpartition(".")
    if level not in LEVEL_OF or (dot and not re.fullmatch(IDENTIFIER, scene)):
        raise ValueError
    return value


def level_of(key: str) -> tuple[str, Level]:
    """Scene ("" for all) and level of a key of that kind."""
    scene, _, level = key.rpartition(".")
    return scene, LEVEL_OF[level]


def parse_status_topic(value: Any) -> str:
    """`{topic}/status`, `{above}/LWT`: the device's own topic, or that without its last level, and more."""
    start, slash, rest = value.partition("/") if isinstance(value, str) else ("", "", "")
    if start not in ("{topic}", "{above}") or not slash or "+" in rest or "{" in rest:
        raise ValueError
    parse_topic(rest)
    return str(value)


def parse_snapshot_topic(value: Any) -> str:
    """`{topic}/command/snapshot`: as a status, and its last level is the word: it is no other command's."""
    topic = parse_status_topic(value)
    if topic.rpartition("/")[2] != "snapshot":
        raise ValueError
    return topic


Hex = Annotated[str, Kind(say("hex"), parse_hex)]
Tag = Annotated[str, Kind(say("block_id"), parse_tag)]
Bits = Annotated[str, Kind(say("bits"), parse_bits)]
FormulaText = Annotated[str, Kind(say("formula"), parse_formula)]
RawValue = Annotated[int, Kind(say("whole"), parse_raw)]
Constant = Annotated[str, Kind(say("constant"), parse_constant)]
Bytes = Annotated[int, between(0, 1024)]
Series = Annotated[tuple[Said, ...], Kind(say("series"), parse_series)]
Expectation = Annotated[tuple[str, float], Kind(say("expectation"), parse_expectation)]
PersonAct = Annotated[tuple[str, float], Kind(say("person_act"), parse_act)]
LinkTurn = Annotated[tuple[str, float], Kind(say("link_turn"), parse_link)]
Topic = Annotated[str, Kind(say("topic"), parse_topic)]
StatusTopic = Annotated[str, Kind(say("status_topic"), parse_status_topic)]
SnapshotTopic = Annotated[str, Kind(say("snapshot_topic"), parse_snapshot_topic)]
Windows = Mapping[Identifier, tuple[Window, ...]]
Labels = Mapping[Identifier, SomeText]
Equal = Annotated[float, Kind(say("equal"), parse_equal)]
Readings = Annotated[tuple[int, int], Kind(say("readings", most=READINGS_MOST), parse_readings)]
Range = Annotated[tuple[float, float], Kind(say("range"), parse_range)]
Odd = Annotated[int, Kind(say("odd_between", low=5, high=25), parse_odd)]

LevelKey = Annotated[str, Kind(say("level_key"), parse_level_key)]
Turn = Annotated[float, Kind(say("turn"), parse_turn)]
ClockTime = Annotated[str, Kind(say("clock_time"), parse_clock_time)]
Acknowledgers = Annotated[int, between(2, 9)]
Roles = Annotated[tuple[Identifier, ...], ONE_OR_MORE]
WindowOrName = Annotated[str, Kind(say("window_or_name"), parse_window_or_name)]
SomeDays = Annotated[tuple[Literal[DAYS], ...], ONE_OR_MORE]  # type: ignore[valid-type]

PLACE_KINDS = Literal[
    "city", "district", "street", "area", "committee", "compound", "grid", "building", "point"
]
TIME_UNITS = Literal["iso", "s", "ms", "us", "ns"]

# ---------------------------------------------------------------- how the words of model.py are written

spell(
    Model,
    says=("says", SomeText),
    scene=("scene", Identifier),
    source=("source", SomeText),
    constants=("constants", Mapping[Constant, float]),
    expect_every_s=("expect_every", PositiveDuration),
    lateness_s=("lateness", PositiveDuration),
    ends_after_s=("ends_after", PositiveDuration),
    wrong_clock=("wrong_clock", Literal["correct", "arrival", "hold"]),
)
spell(
    Field,
    quantity=("quantity", SomeText),
    path=("path", SomeText),
    radio=("radio", Literal["", *chirpstack.RADIO]),
    signal=("signal", Annotated[str, Kind(say("signal"), parse_signal)]),
    block=("block", Tag),
    at=("at", Bytes),
    type=("type", Literal[tuple(TYPES)]),
    bits=("bits", Bits),
    formula=("formula", FormulaText),
    invalid=("invalid", Mapping[RawValue, SomeText]),
    stuck_after=("stuck_after", Annotated[int, between(3, 100_000)]),
    spike_window=("spike_window", Odd),
)
spell(
    Components,
    kind=("kind", Identifier),
    path=("path", SomeText),
    number=("number", SomeText),
    count=("count", Annotated[int, between(1, 256)]),
)
spell(
    Codec,
    kind=("kind", Literal[tuple(CODECS)]),
    envelope=("envelope", Literal["", chirpstack.NAME]),
    port=("port", Annotated[int, between(1, 255)]),
    time_unit=("time_unit", TIME_UNITS),
    starts=("starts", Hex),
    head=("head", Bytes),
    flags_at=("flags_at", Bytes),
    blocks=("blocks", Mapping[Tag, Bytes]),
    history=("history", Mapping[Tag, Bytes]),
    list=("list", SomeText),
    id_key=("id_key", SomeText),
    value_key=("value_key", SomeText),
)
spell(
    Wave,
    axes=("axes", Mapping[Literal["x", "y", "z"], SomeText]),
    unit=("unit", Literal[tuple(UNITS)]),
    samples=("samples", Literal[SHAPES]),
)
spell(
    Status,
    topic=("topic", StatusTopic),
    online=("online", SomeText),
    offline=("offline", SomeText),
)
spell(Camera, ask=("ask", SnapshotTopic), answer=("answer", StatusTopic), ref=("ref", SomeText))
spell(Example, frame=("frame", Hex), error=("error", Literal[("", *(str(code) for code in Refusal))]))
spell(
    Basis,
    text=("text", SomeText),
    confidence=("confidence", Literal["V", "V2", "M", "D"]),
)
spell(Recurrence, within_s=("within", PositiveDuration), times=("times", Annotated[int, between(2, 20)]))
spell(
    DoubleControl,
    rate_over_s=("rate_over", PositiveDuration),
    cumulative_over_s=("cumulative_over", PositiveDuration),
    combine=("combine", Literal["either", "both"]),
)
spell(Cause, rule=("rule", Identifier), at=("at", Literal["device", "place"]))
spell(
    Place,
    says=("says", SomeText),
    kind=("kind", PLACE_KINDS),
    within=("within", Identifier),
    windows=("windows", Windows),
)
spell(Unit, says=("says", SomeText), within=("within", Identifier), head=("head", Identifier))
spell(Leave, since=("from", date), until=("to", date), delegate=("delegate", Identifier))
spell(
    Person,
    says=("says", SomeText),
    unit=("unit", Identifier),
    reach=("reach", Mapping[Identifier, str]),
    verified=("verified", Mapping[Identifier, date]),
)
spell(Override, since=("from", Minute), until=("to", Minute), person=("person", Identifier))
spell(
    Rotation,
    members=("members", tuple[Identifier, ...]),
    since=("from", date),
    handover=("handover", ClockTime),
    turn_s=("turn", Turn),
)
spell(
    Post,
    role=("role", Identifier),
    at=("at", Identifier),
    unit=("unit", Identifier),
    person=("person", Identifier),
    rotation=("rotation", Identifier),
    since=("from", date),
    until=("to", date | None),
)
spell(
    Digest,
    of=("of", Identifier),
    by=("by", tuple[Identifier, ...]),
    role=("role", Identifier),
    person=("person", Identifier),
    day=("day", Literal[WEEK]),
    at=("at", ClockTime),
)
spell(Step, role=("role", Roles), by=("by", tuple[Identifier, ...]), copy=("copy", Roles))
spell(
    Device,
    model=("model", Identifier),
    at=("at", Identifier),
    topic=("topic", Topic),
    baseline=("baseline", Mapping[Identifier, float]),
    labels=("labels", Labels),
    constants=("constants", Mapping[Constant, float]),
    neighbours=("neighbours", Mapping[Identifier, float]),
    behind=("behind", Identifier),
)
spell(
    During,
    inside=("inside", WindowOrName),
    outside=("outside", WindowOrName),
    days=("days", SomeDays),
)
spell(Actor, scene=("scene", Identifier), labels=("labels", Labels), behind=("behind", Identifier))
spell(Period, since=("from", date), until=("to", date), approved_by=("approved_by", SomeText))
spell(
    Scenario,
    name=("name", SomeText),
    rule=("rule", Identifier),
    rules=("rules", tuple[Identifier, ...]),
    every_s=("every", PositiveDuration),
    series=("series", Annotated[Mapping[str, Series], Rest(lambda: tuple(QUANTITIES), SUBJECT)]),
    expect=("expect", tuple[Expectation, ...]),
    start=("start", Minute),
    windows=("windows", Windows),
    devices=("devices", Mapping[Identifier, Actor]),
    acts=("acts", tuple[PersonAct, ...]),
    link=("link", tuple[LinkTurn, ...]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKeys:
    """`on:` of a rule: which devices, and whether each part of them is judged on its own."""

    scene: Identifier
    each: Identifier = ""
    model: Identifier = ""
    labels: Labels = field(default_factory=dict)
    group: Literal["", "device", "place", PLACE_KINDS] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelKeys:
    """One level of a rule."""

    above: float | None = None
    below: float | None = None
    inside: Range | None = None
    outside: Range | None = None
    equals: float | None = None
    absent: PositiveDuration | None = None
    missed: float | None = None
    hold: Duration = 0.0
    within: PositiveDuration | None = None
    readings: Readings | None = None
    clear_below: float | None = None
    clear_above: float | None = None
    clear_inside: Range | None = None
    clear_outside: Range | None = None
    clear_hold: Duration | None = None
    origin: Origin = field(default=NOWHERE, compare=False)


spell(LevelKeys, equals=("is", Equal | None))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleKeys:
    """One entry under `rules:`."""

    id: str
    says: SomeText
    on: SubjectKeys
    levels: Mapping[Level, LevelKeys]
    basis: Basis
    action: SomeText
    when: SomeText = ""
    called: SomeText = ""
    double_control: DoubleControl | None = None
    relative_to: Literal["", "baseline", "zero"] = ""
    during: During | None = None
    lateness: PositiveDuration | None = None
    clear_hold: Duration = 300.0
    min_on: Duration = 0.0
    cool_down: Duration = 0.0
    confidence: float = 0.0
    latch: bool = False
    respond_within: PositiveDuration | None = None
    if_changed: Literal["", "keep", "re-evaluate", "close"] = ""
    on_bad_quality: Literal["", "hold", "raise", "judge"] = ""
    mode: Literal["live", "shadow", "off"] = "live"
    steps: tuple[Literal["case", "notify", "event", "snapshot"], ...] = ("case", "notify", "event")
    inhibited_by: tuple[Cause, ...] = ()
    handle_within: PositiveDuration | None = None
    verify: Literal["", "sensor", "person"] = ""
    recurrence: Recurrence | None = None
    consequence: SomeText = ""
    owner: SomeText = ""  # a role that holds a post, or words
    origin: Origin = NOWHERE

    @property
    def _text(self) -> str:
        """The expression in words; "" for silence, or a quantity by itself."""
        if not QUANTITY_NAME.fullmatch(self.when):
            return self.when
        return self.double_control.expression(self.when) if self.double_control else ""

    @property
    def expression(self) -> Expression | None:
        """What is worked out; None for silence, a quantity, or a text that is none."""
        try:
            return parsed(self._text) if self._text else None
        except Mistake:
            return None

    @property
    def _called(self) -> str:
        both = (
            {"either": "任一", "both": "同时"}.get(self.double_control.combine) if self.double_control else ""
        )
        return self.called or (f"{QUANTITIES[self.quantity].says}双控比例（{both}）" if both else "")

    @property
    def quantities(self) -> tuple[str, ...]:
        """All that it reads."""
        return self.expression.quantities if self.expression else (self.when,) if self.when else ()

    @property
    def quantity(self) -> str:
        """The quantity judged; of an expression the first that it reads."""
        return self.expression.quantities[0] if self.expression else self.when

    def rule(self) -> Rule:
        return Rule(
            id=self.id,
            says=self.says,
            scene=self.on.scene,
            quantity=self.quantity,
            when=self._text if self.expression else "",
            called=self._called if self.expression else self.called,
            double_control=self.double_control,
            group=self.on.group,
            limits=tuple(_limit(level, self.levels[level]) for level in sorted(self.levels)),
            basis=self.basis,
            action=self.action,
            each=self.on.each,
            model=self.on.model,
            labels=self.on.labels,
            relative_to=self.relative_to,
            during=self.during,
            lateness_s=self.lateness or 0.0,
            clear_hold_s=self.clear_hold,
            min_on_s=self.min_on,
            cool_down_s=self.cool_down,
            confidence=self.confidence,
            latch=self.latch,
            respond_within_s=self.respond_within or 0.0,
            if_changed=self.if_changed,
            on_bad_quality=self.on_bad_quality,
            mode=self.mode,
            steps=self.steps,
            inhibited_by=self.inhibited_by,
            handle_within_s=self.handle_within or 0.0,
            verify=self.verify,
            recurrence=self.recurrence,
            consequence=self.consequence,
            owner=self.owner,
            origin=self.origin,
        )


former(RuleKeys, outside=say("now_during"))


def _limit(level: Level, keys: LevelKeys) -> Limit:
    return Limit(
        level=level,
        above=keys.above,
        below=keys.below,
        inside=keys.inside,
        outside=keys.outside,
        equals=keys.equals,
        absent_s=keys.absent,
        missed=keys.missed,
        hold_s=keys.hold,
        within_s=keys.within or 0.0,
        readings=keys.readings,
        clear=keys.clear_below if keys.clear_above is None else keys.clear_above,
        clear_range=keys.clear_inside or keys.clear_outside,
        clear_hold_s=keys.clear_hold,
        origin=keys.origin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationKeys:
    """One entry under `calibrations:`: from an instant on, of one sensor of one device."""

    device: Identifier
    since: Minute
    quantity: Identifier = ""
    component: Identifier = ""
    scale: float = 1.0
    offset: float = 0.0
    baseline: float | None = None
    unjoined: bool = False
    sensor: str = ""
    certificate: str = ""
    due: date | None = None
    note: str = ""
    origin: Origin = NOWHERE

    def calibration(self, timezone: str) -> Calibration:
        return Calibration(
            quantity=self.quantity,
            since_ns=instant_ns(self.since, timezone),
            component=self.component,
            scale=self.scale,
            offset=self.offset,
            baseline=self.baseline,
            unjoined=self.unjoined,
            sensor=self.sensor,
            certificate=self.certificate,
            due=self.due,
            note=self.note,
        )


spell(CalibrationKeys, since=("from", Minute))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedKeys:
    """Of an entry for all that is below a place, or for one device."""

    at: Identifier = ""
    device: Identifier = ""
    origin: Origin = NOWHERE


OFF = "off"
SomeLevelKeys = part_of(LevelKeys)
LIMIT_FIELDS = {  # how the number of a level is called in Limit, where not as in the file
    "is": "equals",
    "absent": "absent_s",
    "hold": "hold_s",
    "within": "within_s",
    "clear_below": "clear",
    "clear_above": "clear",
    "clear_inside": "clear_range",
    "clear_outside": "clear_range",
    "clear_hold": "clear_hold_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlKeys:
    """`double_control:` of a tuning: other control values; over how long each is taken stays the rule's."""

    cumulative: float | None = None
    rate_per_day: float | None = None

    @property
    def given(self) -> dict[str, float]:
        pairs = {"cumulative": self.cumulative, "rate_per_day": self.rate_per_day}
        return {name: value for name, value in pairs.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneKeys(PlacedKeys):
    """One entry under `tune:`: a rule's numbers for some devices. What it does not give stays as it was."""

    rule: Identifier
    because: SomeText
    labels: Labels = field(default_factory=dict)
    levels: Mapping[Level, Any] = field(default_factory=dict)  # OFF, or some of the keys of a level
    double_control: ControlKeys | None = None
    clear_hold: Duration | None = None
    min_on: Duration | None = None
    cool_down: Duration | None = None
    confidence: float | None = None
    latch: bool | None = None
    respond_within: PositiveDuration | None = None
    mode: Literal["live", "shadow", "off"] | None = None

    def given(self, level: Level) -> dict[Key, Number]:
        """The keys that the entry gives of a level."""
        keys = self.levels[level]
        known = () if keys == OFF else keys_of(SomeLevelKeys)
        return {key: number for key in known if (number := getattr(keys, key.field)) is not None}

    @property
    def controls(self) -> dict[str, float]:
        """The control values that the entry gives."""
        return self.double_control.given if self.double_control else {}

    def tuning(self, line_at: Callable[[str], int]) -> Tuning:
        """`line_at` tells the line of a key of the entry."""
        numbers = {name: getattr(self, name) for name in RULE_NUMBERS if getattr(self, name) is not None}
        controls = self.controls
        return Tuning(
            rule=self.rule,
            because=self.because,
            labels=self.labels,
            at=self.at,
            device=self.device,
            levels={level: self._level(level, line_at) for level in sorted(self.levels)},
            numbers={RULE_NUMBERS[name]: number for name, number in numbers.items()},
            controls=controls,
            lines={RULE_NUMBERS[name]: line_at(name) for name in numbers}
            | {f"double_control.{name}": line_at(f"double_control.{name}") for name in controls},
            origin=self.origin,
        )

    def _level(self, level: Level, line_at: Callable[[str], int]) -> LevelTuning:
        given, step = self.given(level), f"levels.{level.word}"
        lines = {LIMIT_FIELDS.get(key.key, key.key): line_at(f"{step}.{key.key}") for key in given}
        return LevelTuning(
            numbers={LIMIT_FIELDS.get(key.key, key.key): number for key, number in given.items()},
            off=self.levels[level] == OFF,
            lines=lines or {OFF: line_at(step)},
        )


RULE_NUMBERS = {  # key -> field of Rule
    "clear_hold": "clear_hold_s",
    "min_on": "min_on_s",
    "cool_down": "cool_down_s",
    "confidence": "confidence",
    "latch": "latch",
    "respond_within": "respond_within_s",
    "mode": "mode",
}
spell(TuneKeys, levels=("levels", Mapping[Level, Literal["off"] | SomeLevelKeys]))  # type: ignore[valid-type]


def instant_ns(minute: str, timezone: str) -> int:
    """UTC nanoseconds of a local time such as 2026-01-31T02:00."""
    return int(datetime.fromisoformat(minute).replace(tzinfo=zone(timezone)).timestamp()) * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class DayKeys:
    """One entry under `calendar:`: a day that is other than the published calendar says."""

    day: date
    kind: Literal["workday", "restday"]
    says: SomeText
    origin: Origin = NOWHERE


spell(DayKeys, day=("date", date))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceKeys(PlacedKeys):
    """One entry under `maintenance:`."""

    says: SomeText
    by: Identifier
    since: Minute | None = None
    until: Minute | None = None
    during: During | None = None
    also_red: bool = False

    def maintenance(self, timezone: str) -> Maintenance:
        return Maintenance(
            says=self.says,
            by=self.by,
            at=self.at,
            device=self.device,
            since_ns=instant_ns(self.since, timezone) if self.since else 0,
            until_ns=instant_ns(self.until, timezone) if self.until else 0,
            during=self.during,
            also_red=self.also_red,
            origin=self.origin,
        )


spell(MaintenanceKeys, since=("from", Minute | None), until=("to", Minute | None))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockKeys:
    """One entry under `clocks:`. What it leaves out stays as it is for all scenes, or as shipped."""

    level: Level
    scene: Identifier = ""
    acknowledge: Duration | None = None
    handle: Duration | None = None
    verify: Duration | None = None
    verify_by: Literal["", "sensor", "person"] = ""
    during: During | None = None
    origin: Origin = NOWHERE

    def clock(self, base: Clock) -> Clock:
        given = {
            "acknowledge_s": self.acknowledge,
            "handle_s": self.handle,
            "verify_s": self.verify,
            "verify_by": self.verify_by or None,
            "during": self.during,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(base, level=self.level, scene=self.scene, origin=self.origin, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKeys:
    """`on:` of a derived quantity: which devices it is worked out for."""

    scene: Identifier
    model: Identifier = ""
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeriveKeys:
    """One entry under `derive:`."""

    quantity: Identifier
    how: Literal[WAYS]  # type: ignore[valid-type]
    on: SourceKeys
    of: Identifier
    compensated_by: Identifier = ""
    across: Identifier = ""
    over: PositiveDuration | None = None
    within: PositiveDuration | None = None
    origin: Origin = NOWHERE

    def derivation(self) -> Derivation:
        return Derivation(
            quantity=self.quantity,
            how=self.how,
            of=self.of,
            scene=self.on.scene,
            model=self.on.model,
            labels=self.on.labels,
            compensated_by=self.compensated_by,
            across=self.across,
            over_s=self.over or 0.0,
            within_s=self.within or WITHIN_S,
            origin=self.origin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackKeys:
    """A file in rules/. `version` rises with every issue of the pack; 0: it has none."""

    version: Annotated[int, between(0, 99_999_999)] = 0
    derive: Annotated[tuple[DeriveKeys, ...], LENIENT] = ()
    rules: Annotated[tuple[RuleKeys, ...], LENIENT] = ()
    scenarios: Annotated[tuple[Scenario, ...], LENIENT] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteKeys:
    """A file in sites/; a site may be cut into as many files as suit the people who keep them."""

    places: Annotated[tuple[Place, ...], LENIENT] = ()
    units: Annotated[tuple[Unit, ...], LENIENT] = ()
    persons: Annotated[tuple[Person, ...], LENIENT] = ()
    posts: Annotated[tuple[Post, ...], LENIENT] = ()
    rotations: Annotated[tuple[Rotation, ...], LENIENT] = ()
    ladders: Annotated[Mapping[LevelKey, tuple[Step, ...]], LENIENT] = field(default_factory=dict)
    quiet: Mapping[LevelKey, WindowOrName] = field(default_factory=dict)
    acknowledge_by: Mapping[LevelKey, Acknowledgers] = field(default_factory=dict)
    shelve_most: Mapping[LevelKey, PositiveDuration] = field(default_factory=dict)
    fallback: Mapping[Identifier, Roles] = field(default_factory=dict)
    supervisor: Step | None = None
    devices: Annotated[tuple[Device, ...], LENIENT] = ()
    calibrations: Annotated[tuple[CalibrationKeys, ...], LENIENT] = ()
    tune: Annotated[tuple[TuneKeys, ...], LENIENT] = ()
    calendar: Annotated[tuple[DayKeys, ...], LENIENT] = ()
    maintenance: Annotated[tuple[MaintenanceKeys, ...], LENIENT] = ()
    clocks: Annotated[tuple[ClockKeys, ...], LENIENT] = ()
    digests: Annotated[tuple[Digest, ...], LENIENT] = ()
    join_within: Duration | None = None
    review_at: ClockTime | None = None
    keep_snapshots: PositiveDuration | None = None
    origin: Origin = NOWHERE


TABLES: Mapping[str, type] = {  # what a site file may also hold as devices.csv, devices-waste.csv, …
    "places": Place,
    "units": Unit,
    "persons": Person,
    "posts": Post,
    "devices": Device,
    "calibrations": CalibrationKeys,
}
