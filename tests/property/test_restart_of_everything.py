"""Rules of all kinds at once, in any order of events: a restart after every event changes nothing, and
what belongs together in the state stays together.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gateway.core import state as states
from gateway.core.alerts import due_at
from gateway.core.casebook import Casebook
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Alert,
    Case,
    Cause,
    Configured,
    During,
    Level,
    LevelTuning,
    Limit,
    Link,
    Maintenance,
    Message,
    Messages,
    Notification,
    Outcome,
    Receipt,
    Reply,
    Rule,
    Stage,
    Tick,
    Told,
    Tuning,
    Verb,
    World,
)
from gateway.core.silence import is_silence
from gateway.core.state import State
from tests.unit.worlds import CABINET, SILENT, START_NS, Play, of, payload, rule, world

YELLOW, ORANGE, RED_ = Level.YELLOW, Level.ORANGE, Level.RED
DEVICES = ("cab-1", "cab-2", "cab-3")
HOURS = During(inside="20:05-20:40")


def named(name: str, when: str, quantity: str, *limits: Limit, **more) -> Rule:
    given = {"id": name, "says": name, "called": name if when else "", "limits": limits, "clear_hold_s": 45.0}
    return rule(when, quantity, **{**given, **more})


RED = Limit(level=RED_, above=0.5)
TRUE = Limit(level=RED_, equals=1.0, hold_s=20)
SLOT, HEAT = "slot_temperature_c", "temperature_c"
RULES = (
    named("hot", "", SLOT, Limit(level=YELLOW, above=55, hold_s=60, clear=50), Limit(level=RED_, above=75)),
    named("counted", "", HEAT, Limit(level=ORANGE, above=40, readings=(3, 5))),
    named("gathered", "", HEAT, Limit(level=YELLOW, above=45, hold_s=90, within_s=400), min_on_s=120.0),
    named("smoke", "", "smoke", RED, latch=True, handle_within_s=300.0),
    named("hours", "", HEAT, Limit(level=YELLOW, above=35), Limit(level=ORANGE, above=60), during=HOURS),
    named("band", "", HEAT, Limit(level=YELLOW, inside=(25.0, 28.0), readings=(2, 2))),
    named("rate", f"rate_per_minute({SLOT}, 3m)", SLOT, Limit(level=RED_, above=8.0)),
    named("times", "times(smoke > 0.5, 5m)", "smoke", Limit(level=ORANGE, above=1.5), min_on_s=30.0),
    named("rare", "count(smoke, 4m)", "smoke", Limit(level=YELLOW, below=1.5)),
    named("share", "share(temperature_c > 30, 6m)", HEAT, Limit(level=YELLOW, above=60.0, readings=(2, 3))),
    named("odd", f"{SLOT} - siblings({SLOT})", SLOT, Limit(level=ORANGE, above=15.0), latch=True),
    named("unlike", "temperature_c - peers(temperature_c)", HEAT, Limit(level=YELLOW, above=15.0)),
    named("both", "smoke > 0.5 and temperature_c > 40", "smoke", TRUE, during=HOURS),
    named("street", "members(temperature_c > 40)", HEAT, Limit(level=YELLOW, above=0.5, hold_s=30),
          Limit(level=RED_, above=1.5, readings=(2, 3)), group="place"),
    named("cabinet", f"members({SLOT} > 50)", SLOT, Limit(level=ORANGE, above=1.5), group="device"),
    named("symptom", "", HEAT, Limit(level=YELLOW, above=50),
          inhibited_by=(Cause(rule="smoke", at="place"), Cause(rule="hot"))),
    named("shadow", "temperature_c * 2", HEAT, Limit(level=YELLOW, above=90.0), mode="shadow"),
    replace(SILENT, inhibited_by=(Cause(rule="smoke"),)),
)  # fmt: skip
TUNINGS = (
    Tuning(rule="hot", device="cab-2", levels={YELLOW: LevelTuning(off=True)}, because=""),
    Tuning(rule="street", device="cab-3", levels={YELLOW: LevelTuning(off=True)}, because=""),
    Tuning(
        rule="counted", device="cab-1", levels={YELLOW: LevelTuning(numbers={"above": 30.0})}, because="x"
    ),
    Tuning(rule="hot", at="yard", numbers={"clear_hold_s": 20.0, "latch": True}, because=""),
)
WORKS = Maintenance(
    says="x", by="wang", device="cab-2", since_ns=START_NS + 600 * SECOND, until_ns=START_NS + 1500 * SECOND
)
MODEL = replace(CABINET, expect_every_s=60.0)


def worlds() -> list[World]:
    first = world(
        rules=RULES, devices=DEVICES, models={"cabinet": MODEL}, tunings=TUNINGS, maintenance=(WORKS,)
    )
    edited = tuple(
        replace(one, if_changed="keep", limits=tuple(replace(limit, hold_s=15.0, within_s=0.0, readings=None)
                for limit in one.limits)) if one.id in ("counted", "gathered", "share") else one
        for one in RULES
    )  # fmt: skip
    changed = tuple(replace(one, mode="live") if one.id == "shadow" else one for one in edited)
    second = replace(first, rules=changed, tunings=TUNINGS[2:], maintenance=(), digest="two")
    fewer = {name: one for name, one in first.devices.items() if name != "cab-3"}
    third = replace(first, rules=RULES[2:], devices=fewer, digest="three")
    return [first, second, third]


class Run(Play):
    """`way`: what is done after each event. `said` is what people would see."""

    def __init__(self, seed: int, way: str) -> None:
        self.lots, self.way, self.worlds = random.Random(seed), way, worlds()
        self.answered: set[str] = set()
        self.ticked_at = -1
        super().__init__(Engine(self.worlds[0], State(identity="0000002a")))

    def after(self, found: list) -> list:
        self.answered |= {one.id for one in of(found, Case) if one.stage is Stage.FALSE}
        check(self.engine, self.answered)
        if self.way == "restarts" and self.at != self.ticked_at:  # it looks at once, once, who is silent
            self.ticked_at = self.at
            state = states.load(states.save(self.engine.state))
            self.engine = Engine(self.engine.world, state, self.engine.recent)
            check(self.engine, self.answered)
        return found

    def give(self, event):
        self.ticked_at = self.ticked_at if isinstance(event, Tick) else -1
        return self.after(super().give(event))

    def play(self, events: int = 60) -> Run:
        for _ in range(events):
            self.one()
        self.wait(3000)
        return self

    def one(self) -> None:
        lots = self.lots
        what = lots.random()
        if what < 0.80:
            said = [self.message() for _ in range(lots.choice((1, 1, 1, 2, 4)))]
            self.give(Messages(self.at, self.wall(), said))
        elif what < 0.86 and (cases := sorted(self.engine.state.cases)):
            verb = lots.choice((Verb.ACKNOWLEDGE, Verb.DONE, Verb.FALSE, Verb.RESET))
            self.give(Act(self.at, self.wall(), lots.choice(cases), "wang", verb, note="看过"))
        elif what < 0.90 and (due := sorted(self.engine.state.notifications)):
            number, once, receipt_s = lots.choice(("", "biz")), lots.random() < 0.5, lots.choice((0.0, 60.0))
            more = {"number": number and f"biz-{self.at}", "once": once, "receipt_s": receipt_s}
            self.give(Outcome(self.at, self.wall(), lots.choice(due), lots.choice(list(Told)), **more))
        elif what < 0.92 and (sent := sorted(self.engine.state.sent)):
            told = self.engine.state.sent[lots.choice(sent)]
            if lots.random() < 0.7:
                name, delivered = lots.choice((told.id, told.number, "biz")), lots.random() < 0.5
                self.give(Receipt(self.at, self.wall(), told.channel, name, delivered))
            else:
                said = (lots.choice((told.address, "nobody")), lots.choice(("1", "好的")), told.number)
                self.give(Reply(self.at, self.wall(), told.channel, *said))
        elif what < 0.94:
            self.give(Link(self.at, self.wall(), lots.random() < 0.6))
        elif what < 0.96:
            street = lots.choice(self.worlds)
            event = Configured(self.at, self.wall(), street.digest)
            found = self.engine.reconfigure(event, street)
            self.effects += found
            self.after(found)
        self.wait(lots.choice((0, 0.4, 5, 20, 60, 61, 200)))

    def message(self) -> Message:
        lots, values = self.lots, {}
        if lots.random() < 0.8:
            values["t"] = lots.choice((20, 26, 31, 38, 42, 48, 52, 65))
        if lots.random() < 0.6:
            values["smoke"] = int(lots.random() < 0.3)
        slots = (
            {n: lots.choice((20, 30, 45, 53, 58, 80)) for n in range(1, 4)} if lots.random() < 0.5 else None
        )
        if lots.random() < 0.6:
            late = lots.choice((0, 0, 0, 8, 30, 200, 900))
            values["ts"] = (START_NS + self.at) // SECOND - late
        return Message(f"site/{lots.choice(DEVICES)}", payload(slots, **values))

    def seen(self) -> list:
        """Alerts, cases and messages in their order."""
        return [one for one in self.effects if isinstance(one, Alert | Case | Notification)]


def check(engine: Engine, answered: set[str]) -> None:
    """What belongs together in a state."""
    state, armed = engine.state, engine.timers._armed
    book, anew = engine.cases.book, Casebook(engine.world, state)
    for index in ("alerts_by", "cases_by", "due_by"):
        assert getattr(book, index).names == getattr(anew, index).names, index
    assert book.track_of == anew.track_of
    assert {track.alert for track in state.tracks.values() if track.alert} == set(state.alerts)
    for watch in engine.watches.of.values():
        for component, subject in watch.subjects.items():
            own = int(subject.derived is not None) + int(watch.ends_ns > 0) + int(subject.weighs)
            mine = [
                key for key, track in state.tracks.items()
                if (track.device, track.component) == (watch.device.id, component) and track.value is not None
            ]  # fmt: skip
            assert subject.astir == own + len(mine), (watch.device.id, component, mine)
    for key, track in state.tracks.items():
        rule = engine.watches.rule_of(key, track)
        assert is_silence(rule) == (track.value is None), key
        for limit, one in zip(rule.limits, track.standings, strict=True):
            due = due_at(one, limit, rule, track.quiet_ns)
            assert due is None or armed[("track", key)] <= max(due, state.patient_until), key
    for key, due in state.waking.items():
        assert armed[("weigh", key)] <= due, key
    for due, kind, key in engine.cases.timers():
        assert armed.get((kind, key), due + 1) <= due, f"{kind} {key} would not climb before a restart"
    for alert in state.alerts.values():
        rule_now = engine.cases.book.rule_of(alert)
        if rule_now is not None and rule_now.opens and not alert.hidden_by and ("climb", "") not in armed:
            assert alert.case in state.cases or alert.case in answered, alert
        assert not alert.hidden_by or alert.hidden_by in state.alerts, alert


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_after_every_event_changes_nothing(seed):
    undisturbed, restarted = Run(seed, "").play(), Run(seed, "restarts").play()
    assert "timer_failed" not in undisturbed.noted() and undisturbed.engine.state.disabled == {}
    for one, other in zip(undisturbed.seen(), restarted.seen(), strict=False):
        assert one == other
    assert len(undisturbed.seen()) == len(restarted.seen()) > 50
