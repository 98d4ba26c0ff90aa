"""Why a rule did not fire: each reason, by the engine as it was and by the archive's readings alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from gateway.adapters.archive import Row
from gateway.adapters.store import Checkpoint, Record, Store
from gateway.core import state as states
from gateway.core.effective import effective
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Alert,
    Basis,
    Calibration,
    Cause,
    During,
    Event,
    Field,
    Level,
    Limit,
    Link,
    Maintenance,
    Marked,
    Message,
    Messages,
    Origin,
    QuarantineRow,
    Refused,
    Rule,
    World,
)
from gateway.core.state import State
from gateway.tuning.asked import Answer, Asked
from gateway.tuning.replaying import Past, from_archive, from_log
from gateway.tuning.whynot import inapplicable, nearest, why_not
from tests.unit.test_waveform import model as waves
from tests.unit.worlds import CABINET, HOT, SILENT, SMOKE, START_NS, TOPIC, Play, of, payload, world

CALM = replace(CABINET, expect_every_s=60.0)
WARM = Rule(
    id="warm", says="柜内偏热", scene="cabinet", quantity="temperature_c",
    limits=(Limit(level=Level.YELLOW, above=40.0, hold_s=60.0), Limit(level=Level.ORANGE, above=60.0)),
    basis=Basis(text="test", confidence="D"), action="看", origin=Origin("rules/x.yaml", 7),
)  # fmt: skip
TIMED = {"ts": START_NS // SECOND}


@dataclass
class Street(Play):
    """A play that keeps what the archive and the store would."""

    rows: list[Row] = field(default_factory=list)
    refused: list[QuarantineRow] = field(default_factory=list)

    def give(self, event):
        found = super().give(event)
        if isinstance(event, Messages):
            self.rows += [row for one in self.engine.readings[0] for row in self.archived(one, found)]
            self.refused += [
                QuarantineRow(0, one.code, one.device, "", b"", one.field, one.reason, event.wall_ns)
                for one in of(found, Refused)
            ]
        return found

    def archived(self, reading, effects):
        known = self.engine.world.devices[reading.device]
        mine = (one for one in of(effects, Marked) if one.said_ns == reading.measured_ns)
        mark = next((one for one in mine if one.component == reading.component), None)
        if mark is not None and not mark.store:
            return
        for name, value in reading.values.items():
            if mark is None or name not in mark.left_out:
                quality = str(mark.quality) if mark else "good"
                place = reading.component, "cabinet", known.model, quality
                yield Row(0, reading.received_ns, reading.measured_ns, known.id, *place, name, value)

    def fetch(self, device, since_ns, until_ns):
        return [row for row in self.rows if row.device == device and since_ns <= row.measured_ns < until_ns]

    def asked(self, rule: str, component: str, exact: bool, device: str = "cab-1") -> Asked:
        street, now = self.engine.world, self.wall()
        found = next(one for one in street.rules if one.id == rule)
        known = street.devices[device]
        past = Past(self.engine, self.at, now, exact=True)
        if not exact:
            past = from_archive(street, found, known, now, self.fetch)
        alerts = {one.id: one for one in of(self.effects, Alert) if one.rule == rule}
        return Asked(
            world=street, rule=effective(street, found, known), device=known, component=component,
            past=past, rows=[row for row in self.rows if row.device == device], refused=self.refused,
            alerts=[one for one in alerts.values() if one.component == component],
        )  # fmt: skip

    def why_not(self, rule: str, component: str = "", exact: bool = True) -> Answer:
        return why_not(self.asked(rule, component, exact))


def street(*rules: Rule, model=CALM, **changes) -> Street:
    baselines = changes.pop("devices_of", {})
    given = world(rules=rules or (HOT, SMOKE), models={"cabinet": model}, **changes)
    known = {name: replace(one, baseline=baselines.get(name, {})) for name, one in given.devices.items()}
    given = replace(given, devices=known)
    return Street(Engine(given, State(identity="0000002a")))


def said(*steps, rule: str = "warm", component: str = "", rules=(WARM,), **changes):
    """Steps are values of t, or seconds to wait behind "~"."""

    def play() -> tuple[Street, str, str]:
        found = street(*rules, **changes)
        for step in steps:
            if callable(step):
                step(found)
            elif isinstance(step, str):
                found.wait(float(step[1:]))
            else:
                found.say(t=step)
        return found, rule, component

    return play


def spiking(**more):
    fields = tuple(
        replace(one, spike_window=5, spike_over=5.0) if one.quantity == "temperature_c" else one
        for one in CALM.fields
    )
    return replace(CALM, fields=fields, **more)


def weighed(when: str, **more) -> Rule:
    return replace(WARM, when=when, called="算出的值", limits=(Limit(level=Level.RED, above=10.0),), **more)


def late(found: Street) -> None:
    found.wait(3600)
    found.say(t=70, ts=START_NS // SECOND)


def disorderly(found: Street) -> None:
    found.wait(300)
    found.say(t=20, ts=(found.wall() // SECOND))
    found.wait(1)
    found.say(t=70, ts=(found.wall() // SECOND) - 60)


def works(also_red: bool = False) -> tuple[Maintenance, ...]:
    until = START_NS + 86400 * SECOND
    return (Maintenance(says="更换风扇", by="wang", at="yard", until_ns=until, also_red=also_red),)


THREE = Limit(level=Level.YELLOW, above=40.0, readings=(3, 5))
IN_ALL = Limit(level=Level.YELLOW, above=40.0, hold_s=600.0, within_s=3600.0)
ORDERLY = replace(CALM, reorder_s=30.0)
CASES: dict[str, tuple[Callable[[], tuple[Street, str, str]], str, str]] = {
    "in the shadow": (said(20, rules=(replace(WARM, mode="shadow"),)), "shadow", "rules/x.yaml:7"),
    "never heard": (said("~60"), "unheard", "nothing was heard"),
    "silent since": (said(20, "~3600"), "unheard", "not heard for 1 小时"),
    "spoke of other things": (said(lambda one: one.say(smoke=0)), "unsaid", "never of temperature_c"),
    "refused as a whole": (said(20, lambda one: one.wait(1) or one.say(raw=b"{")), "refused", "syntax"),
    "out of range": (said(20, "~1", 4000), "refused", "expected"),
    "refused once, sound since": (said(20, "~1", 4000, "~1", 21), "not_beyond", "21 ℃"),
    "too late": (said(late), "marked", "late: stored"),
    "out of order": (said(disorderly), "marked", "older than"),
    "retained": (said(lambda one: one.say(t=70, retained=True, **TIMED)), "marked", "the broker's memory"),
    "a spike": (said(*[20, "~60"] * 5, 70, model=spiking()), "doubted", "a spike"),
    "less sure than asked for": (
        said(
            lambda one: one.say(t=70, sure=0.5), rules=(replace(WARM, confidence=0.8),),
            model=replace(CALM, fields=(*CALM.fields, Field(quantity="confidence", path="sure"))),
        ),
        "unsure", "confidence 0.5 of 0.8",
    ),
    "outside its hours": (
        said(70, rules=(replace(WARM, during=During(inside="06:00-18:00")),)), "during", "inside 06:00-18:00",
    ),
    "works go on": (said(70, maintenance=works()), "maintenance", "更换风扇 (wang"),
    "not beyond": (said(38.5), "not_beyond", "yellow is > 40 ℃, 1.5 ℃ short"),
    "not long enough": (said(50, "~45"), "not_long", "yellow: 45 s / 60 s"),
    "not often enough": (
        said(50, "~60", 50, rules=(replace(WARM, limits=(THREE,)),)), "not_long", "yellow: 2 / 3 (5)",
    ),
    "not long enough in all": (
        said(50, "~120", 20, "~60", 20, "~60", 50, "~60", rules=(replace(WARM, limits=(IN_ALL,)),)),
        "not_long", "yellow: 180 s / 600 s (3600 s)",
    ),
    "a neighbour is not known": (
        said(70, rules=(weighed("temperature_c - peers(temperature_c)"),)),
        "unknown", "because of peers(temperature_c) [0/0]",
    ),
    "a window is too short": (
        said(70, rules=(weighed("rate_per_minute(temperature_c, 3m)"),)),
        "unknown", "rate_per_minute(temperature_c, 180s)",
    ),
    "the rule failed": (
        said(70, lambda one: one.say(smoke=0), rules=(weighed("temperature_c / smoke"),)),
        "disabled", "division by zero",
    ),
    "another sensor": (
        said(
            70,
            rules=(replace(WARM, relative_to="baseline"),),
            devices_of={"cab-1": {"temperature_c": 20.0}},
            calibrations={
                "cab-1": (Calibration(quantity="temperature_c", since_ns=START_NS - 10, unjoined=True),)
            },
        ),
        "baseline",
        "nobody has said its baseline",
    ),
    "cooling down": (
        said(70, "~60", 20, "~301", 70, "~70", rules=(replace(WARM, clear_hold_s=300.0, cool_down_s=600.0),)),
        "cooling", "cooling down for",
    ),
    "not silent for long": (
        said(20, "~120", rules=(SILENT,), rule="silent"), "not_long", "not silent for long enough: 2 分钟",
    ),
    "it did fire": (said(70), "fired", "see lilong why "),
}  # fmt: skip


@pytest.mark.parametrize("exact", [True, False], ids=["log", "archive"])
@pytest.mark.parametrize("case", CASES)
def test_the_first_unmet_condition_is_named_with_its_numbers(case: str, exact: bool) -> None:
    play, reason, words = CASES[case]
    found, rule, component = play()
    answer = found.why_not(rule, component, exact)
    assert (answer.reason, answer.exact) == (reason, exact), answer
    assert words in answer.en, answer
    assert answer.zh and answer.zh != answer.en


def test_every_level_is_measured() -> None:
    found, rule, _ = said(38.5)()
    levels = found.why_not(rule).levels
    assert [(one.level, one.limit, one.found, one.wanting) for one in levels] == [
        ("yellow", "> 40 ℃", "38.5 ℃", "1.5 ℃"),
        ("orange", "> 60 ℃", "38.5 ℃", "21.5 ℃"),
    ]


def test_the_shadow_says_what_stood_in_the_way_beside_it() -> None:
    found, rule, _ = said(20, rules=(replace(WARM, mode="shadow"),))()
    further = found.why_not(rule).further
    assert further is not None and further.reason == "not_beyond"
    found, rule, _ = said(70, rules=(replace(WARM, mode="shadow"),))()
    answer = found.why_not(rule)
    assert answer.reason == "shadow" and answer.alert and answer.further.reason == "fired"


def test_red_is_raised_while_works_go_on() -> None:
    found, rule, _ = said(lambda one: one.say(smoke=1), rules=(SMOKE,), rule="smoke", maintenance=works())()
    assert found.why_not(rule).reason == "fired"
    everything = works(also_red=True)
    found, rule, _ = said(
        lambda one: one.say(smoke=1), rules=(SMOKE,), rule="smoke", maintenance=everything
    )()
    assert found.why_not(rule).reason == "maintenance"


def test_a_symptom_hides_behind_its_cause() -> None:
    hidden = replace(WARM, inhibited_by=(Cause(rule="smoke"),))
    found, rule, _ = said(lambda one: one.say(smoke=1), 70, rules=(SMOKE, hidden))()
    answer = found.why_not(rule)
    assert answer.reason == "hidden" and answer.alert == of(found.effects, Alert)[-1].id


@pytest.mark.parametrize("whose", [{"model": ORDERLY}, {"rules": (replace(WARM, lateness_s=30.0),)}])
def test_it_waits_for_its_turn(whose) -> None:
    """By its model's word, or by its own."""
    found, rule, _ = said(
        lambda one: one.say(t=70, ts=START_NS // SECOND), "~5", **{"rules": (WARM,), **whose}
    )()
    assert found.why_not(rule).reason == "waiting"


def test_what_we_could_not_hear_is_no_silence() -> None:
    found, rule, _ = said(20, rules=(SILENT,), rule="silent")()
    found.give(Link(found.at, found.wall(), False))
    assert found.why_not(rule).reason == "deaf"


def test_an_alert_that_is_over_did_not_stand_then() -> None:
    found, rule, _ = said(70, "~60", 20, "~400", 20)()
    assert found.levels() == ["orange", "yellow", "clear"] or "clear" in found.levels()
    assert found.why_not(rule).reason == "not_beyond"


def test_the_part_that_was_nearest() -> None:
    found = street(HOT)
    found.say({1: 20, 2: 56, 3: 54})
    found.wait(30)
    answers = [found.why_not("slot-hot", f"slot-{n}", exact=False) for n in (1, 2, 3)]
    assert nearest(answers).component == "slot-2" and nearest(answers).reason == "not_long"


# ---------------------------------------------------------------- what the files alone tell


def about(**changes: object) -> World:
    given = world(rules=(WARM, HOT), models={"cabinet": CALM})
    return replace(given, rules=(replace(WARM, **changes),), off={"gone": Origin("rules/x.yaml", 3)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given, rule, device, component, reason, words",
    [
        (about(), "warm", "cab-9", "", "unknown_device", "cab-9"),
        (about(), "wram", "cab-1", "", "unknown_rule", "wram"),
        (about(), "gone", "cab-1", "", "off", "rules/x.yaml:3"),
        (about(scene="lift"), "warm", "cab-1", "", "scene", "of scene lift, the device is cabinet"),
        (about(model="other"), "warm", "cab-1", "", "model", "only of model other, the device is cabinet"),
        (about(labels={"kind": "big"}), "warm", "cab-1", "", "label", "kind=big is asked for, found -"),
        (about(), "warm", "cab-1", "slot-3", "component", "not slot-3"),
        (about(quantity="ppv_mm_s"), "warm", "cab-1", "", "quantity", "does not measure ppv_mm_s"),
        (about(group="building"), "warm", "cab-1", "", "group", "in no building"),
        (about(relative_to="baseline"), "warm", "cab-1", "", "baseline", "no baseline"),
    ],
)
def test_what_the_files_alone_tell(given, rule, device, component, reason, words) -> None:
    answer = inapplicable(given, rule, device, component)
    assert answer is not None and answer.reason == reason and words in answer.en


def test_a_rule_that_is_about_the_device_is_not_barred() -> None:
    assert inapplicable(about(), "warm", "cab-1", "") is None


# ---------------------------------------------------------------- the axes of a waveform

SHARE = "percent(ppv_mm_s, curve(dominant_hz, 1 3, 10 3, 50 8))"
SHAKES = replace(
    WARM, id="shakes", scene="structure", each="axis", quantity="ppv_mm_s", when=SHARE, called="占限值的比例",
    limits=(Limit(level=Level.ORANGE, above=100.0),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("ppv", "hz", "reason", "words"),
    [
        (2.0, 5.0, "not_beyond", "66.67%, orange is > 100%"),
        (2.0, None, "unknown", "because of dominant_hz"),
        (4.0, 5.0, "fired", "by the rule it stands"),
    ],
)
def test_an_axis_is_answered_from_the_archive(ppv, hz, reason: str, words: str) -> None:
    """Its component has a letter where others have a number."""
    known = replace(
        world(rules=(SHAKES,), models={"cabinet": replace(waves(), id="cabinet", expect_every_s=60.0)}),
    )
    values = {"ppv_mm_s": ppv, **({"dominant_hz": hz} if hz else {})}
    place = "axis-y", "structure", "cabinet", "good"
    rows = [Row(0, START_NS, START_NS, "cab-1", *place, name, value) for name, value in values.items()]
    device, at_ns = known.devices["cab-1"], START_NS + 5 * SECOND
    past = from_archive(known, SHAKES, device, at_ns, lambda name, since_ns, until_ns: rows)
    answer = why_not(Asked(world=known, rule=SHAKES, device=device, component="axis-y", past=past, rows=rows))
    assert answer.reason == reason and words in answer.en, answer


@dataclass
class Kept:
    """A street with smoke, whose events a store keeps. `ahead_s`: by how much the clock is wrong."""

    store: Store
    ahead_s: int = 0

    def __post_init__(self) -> None:
        self.world = world(rules=(SMOKE,))
        self.engine = Engine(self.world, State(identity=self.store.identity))
        self.give(0, lambda at, wall: Link(at, wall, True))
        self.save()

    def give(self, at_s: int, make: Callable[[int, int], Event]) -> None:
        event = make(at_s * SECOND, START_NS + (at_s + self.ahead_s) * SECOND)
        effects = self.engine.step(event)
        readings = self.engine.readings if isinstance(event, Messages) else ()
        self.store.commit([Record(event, effects, readings)])
        self.wall_ns = event.wall_ns

    def say(self, at_s: int, smoke: int, again: bool = False) -> None:
        message = Message(TOPIC, payload(smoke=smoke), again=again)
        self.give(at_s, lambda at, wall: Messages(at, wall, [message]))

    def save(self) -> None:
        body = states.save(self.engine.state)
        self.store.commit([], Checkpoint(self.store.position(), self.engine.state.at, self.wall_ns, body))

    def is_played_again(self) -> bool:
        past = from_log(self.store.reader(), self.world, self.wall_ns)
        assert past is not None and past.exact
        return states.save(past.engine.state) == states.save(self.engine.state)


@pytest.fixture
def kept(tmp_path):
    store = Store(tmp_path)
    yield Kept(store)
    store.close()


def test_by_the_very_log_a_second_delivery_is_no_more_news_than_it_was(kept):
    """The first one lies before the checkpoint: without it an old fire would have burnt once more."""
    kept.say(10, smoke=1)
    kept.say(20, smoke=0)
    kept.save()
    kept.say(30, smoke=1, again=True)
    assert kept.is_played_again()


def test_by_the_very_log_what_a_clock_said_that_was_ahead_is_not_left_out(kept):
    kept.ahead_s = 3600
    kept.say(10, smoke=1)
    kept.ahead_s = 0
    kept.say(20, smoke=1)
    assert kept.is_played_again()
