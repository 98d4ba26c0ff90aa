"""A stream as devices really send it, and its clean twin: same alerts, same points, and every flaw is listed.

The clean twin says each sample once, at its instant, in order. The other says the same samples with repeats
(in the same bytes, or under the same number), out of order, under a clock eight hours off, with history
frames of what was said before, with spikes, and with a needle that sticks beside them.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.adapters.store import Logged
from gateway.core import hearing, watches
from gateway.core.codecs import CODECS
from gateway.core.engine import Engine
from gateway.core.lines import Formatter
from gateway.core.model import (
    SECOND,
    Alert,
    Codec,
    Device,
    Field,
    Link,
    Marked,
    Message,
    Messages,
    Model,
    Noted,
    Quality,
    Tick,
)
from gateway.core.quality import assess
from gateway.core.state import State
from tests.unit.worlds import HOT, SMOKE, START_NS, of, payload, world

SPIKE = 40.0
EVERY_S, REORDER_S, LAG_S = 30, 60, 45  # a sample's way may take as long as the model waits, and less
PLAIN = Model(
    id="plain", says="", scene="cabinet", source="", lateness_s=600,
    codec=Codec(kind="json", time="ts", time_unit="s"),
    fields=(Field(quantity="smoke", path="smoke"), Field(quantity="crack_mm", path="crack")),
)  # fmt: skip
SMOKE_FIELD, CRACK_FIELD = PLAIN.fields
MODELS = {  # of the devices, by what is wrong with them
    "repeats": PLAIN,
    "retries": replace(PLAIN, codec=Codec(kind="json", sequence="seq")),
    "overtaken": replace(PLAIN, reorder_s=REORDER_S),
    "skewed": PLAIN,
    "remembers": PLAIN,
    "spiky": replace(PLAIN, fields=(SMOKE_FIELD, replace(CRACK_FIELD, spike_window=5, spike_over=0.5))),
    "sticks": replace(PLAIN, fields=(SMOKE_FIELD, replace(CRACK_FIELD, stuck_after=4))),
}
WIDE = replace(
    SMOKE, id="wide", quantity="crack_mm", clear_hold_s=40,
    limits=(replace(HOT.limits[0], above=5.0, hold_s=45, clear=4.0),),
)  # fmt: skip
KNOWN = world(
    rules=(SMOKE, WIDE),
    models={name: replace(model, id=name) for name, model in MODELS.items()},
    devices=(),
)
KNOWN = replace(KNOWN, devices={name: Device(id=name, model=name, at="yard", topic=name) for name in MODELS})


@dataclass(frozen=True)
class Sent:
    """One message and when it comes (seconds after the start)."""

    at_s: float
    device: str
    body: dict
    again: bool = False


@dataclass
class Told:
    """What a stream came to: alerts in the order of their instants, points by series and instant, flaws."""

    alerts: list[tuple] = field(default_factory=list)
    points: dict[tuple[str, str], str] = field(default_factory=dict)
    marks: Counter = field(default_factory=Counter)
    events: Counter = field(default_factory=Counter)


def historic(device, message, received_ns, faults=None):
    """A codec that knows a history frame by its mark, as Milesight's channel 20 does."""
    readings = CODECS["json"](PLAIN)(device, message, received_ns, faults)
    old = b'"old"' in message.payload
    return [structs.replace(one, history=old) for one in readings]


def play(stream):
    """The real engine and the real formatter of points on a stream."""
    engine, told = Engine(KNOWN, State(identity="0000002a")), Told()
    watch = engine.watches.of["remembers"]
    watch.decode, watch.numbered = historic, True
    watch.look_up()
    formatter = Formatter(KNOWN, lambda message, now: [])
    engine.step(Link(0, START_NS, True))
    for sent in [*sorted(stream, key=lambda one: one.at_s), None]:
        at = int((sent.at_s if sent else 10**5) * SECOND)
        while (due := engine.next_due()) is not None and due <= at:
            note(told, engine.step(Tick(due, START_NS + due)))
        if sent:
            event = Messages(
                at, START_NS + at, [Message(sent.device, payload(**sent.body), again=sent.again)]
            )
            effects = engine.step(event)
            note(told, effects)
            store(told, formatter, event, of(effects, Marked), engine.readings)
    told.alerts.sort()
    return told


def note(told, effects):
    for alert in of(effects, Alert):
        what = alert.device, alert.rule, alert.raised_ns, alert.changed_ns, alert.level, str(alert.state)
        told.alerts.append((*what, alert.value, alert.count))
    told.marks.update(str(mark.quality) for mark in of(effects, Marked))
    told.events.update(noted.event for noted in of(effects, Noted))


def store(told, formatter, event, marks, readings):
    for line in formatter.format(Logged(0, event, marks, []), readings).lines.decode().splitlines():
        series, fields, instant = line.split(" ")
        told.points[series, instant] = fields.partition("quality=")[0]


# ---------------------------------------------------------------- the two streams


def streams(number):
    """(clean, spoilt, how often each flaw was put in), made from a number."""
    random = Random(number)
    clean, spoilt, flaws = [], [], Counter()
    for device in MODELS:
        steps = random.randint(4, 14)
        for step in range(steps):
            at = step * EVERY_S + 5
            body = {
                "smoke": random.choice([0, 0, 0, 1]),
                "crack": crack(random, device, step),
                "ts": START_NS // SECOND + at,
                "seq": step,
            }
            clean.append(Sent(at, device, body))
            spoil(random, clean[-1], spoilt, flaws)
    return clean, spoilt, flaws


def crack(random, device, step):
    """What moves by itself where a flaw would hide it: a spike needs quiet neighbours, a needle life."""
    if device in ("spiky", "sticks"):
        return round(1 + step % 4 / 10, 1)
    return random.choice([1.0, 4.5, 6.0])


def spoil(random, sent, spoilt, flaws):
    at, body, device = sent.at_s, sent.body, sent.device
    if device == "skewed":
        spoilt.append(Sent(at, device, {**body, "ts": body["ts"] + 8 * 3600}))
        flaws["skewed" if body["seq"] >= 2 else "ahead"] += 1
        return
    if device == "overtaken":
        spoilt.append(Sent(at + random.randint(0, LAG_S), device, body))
        return
    if device == "sticks":
        spoilt.append(Sent(at, device, {**body, "crack": 1.0}))
        flaws["stuck"] += body["seq"] >= 3
        return
    spoilt.append(sent)
    if device in ("repeats", "retries"):
        for wait in random.choices([0.5, 3.0, 20.0], k=random.randint(0, 2)):
            retry = {**body, "retry": True} if device == "retries" else body
            spoilt.append(Sent(at + wait, device, retry, random.random() < 0.5))
            flaws["duplicate"] += 1
    if device == "remembers" and random.random() < 0.5:
        spoilt.append(Sent(at + 7, device, {**body, "old": True}))
        flaws["history"] += 1
    if device == "spiky" and body["seq"] % 5 == 4:
        spoilt.append(Sent(at + 9, device, {"crack": SPIKE, "ts": body["ts"] + 9}))
        flaws["spike"] += 1


def without_flaws_own(told):
    """The points but those that are the flaw itself: the spike, and what the needle says."""
    return {
        key: fields
        for key, fields in told.points.items()
        if "device=sticks" not in key[0] and f"crack_mm={SPIKE}" not in fields
    }


def check(clean, spoilt, flaws):
    plain, real = play(clean), play(spoilt)
    assert real.alerts == plain.alerts
    assert without_flaws_own(real) == without_flaws_own(plain)
    assert plain.marks == Counter() and not set(plain.events) & set(LISTED)
    assert {name: real.marks[name] for name in FLAWS} == {name: flaws[name] for name in FLAWS}
    assert {event: real.events[event] for event in LISTED} == {
        "reading_repeated": flaws["duplicate"], "reading_historic": flaws["history"],
        "value_spiked": flaws["spike"], "sensor_stuck": min(flaws["stuck"], 1),
        "device_clock_skewed": min(flaws["skewed"], 1), "reading_ahead": flaws["ahead"],
    }  # fmt: skip


FLAWS = ("duplicate", "history", "spike", "stuck", "ahead", "skewed")
LISTED = (
    "reading_repeated", "reading_historic", "value_spiked", "sensor_stuck", "device_clock_skewed",
    "reading_ahead",
)  # fmt: skip


@given(st.integers(0, 2**32))
def test_a_real_stream_and_its_clean_twin(number):
    check(*streams(number))


class Hasty(watches.Watch):
    """Judges in the order of arrival, whatever its model says."""

    __slots__ = ()

    def __init__(self, *args):
        super().__init__(*args)
        self.reorder_ns = 0


@pytest.mark.parametrize(
    "lacking",
    [
        {"said_again": lambda heard, reading: False},
        {"doubt": lambda trace, value, field: Quality.GOOD},
        {"note_instant": lambda heard, reading, lateness_ns: False},
        {
            "assess": lambda heard, reading, *rest: assess(
                heard, structs.replace(reading, history=False), *rest
            )
        },
        {"Watch": Hasty},
    ],
    ids=["numbers", "doubts", "clocks", "history", "order"],
)
def test_canary_the_twins_tell_an_engine_that_lacks_a_check(seed, lacking, monkeypatch):
    """With any one of the checks taken out, some stream parts from its twin."""
    for name, instead in lacking.items():
        monkeypatch.setattr(watches if name == "Watch" else hearing, name, instead)
    with pytest.raises(AssertionError):
        for number in range(seed, seed + 20):
            check(*streams(number))
