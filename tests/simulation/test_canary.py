"""Planted bugs, each in an engine that plays a short street: whoever sees none of them proves nothing.

`SPOILT` names by hand what of the core each bug replaces; when such a name moves, only this table follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from gateway.core import alerts, calendars, conditions
from gateway.core.caseload import Caseload
from gateway.core.engine import Engine
from gateway.core.model import Configured, Event, Link, Messages, Tick, World
from gateway.core.repeats import Repeats
from gateway.core.silences import Silences
from simulators.lives import DAY, HOUR, MINUTE, Episode
from tests.simulation.judging import Verdict, judge
from tests.simulation.street import START_NS, Stock, remembered, street
from tests.simulation.teller import SLOT, Teller
from tests.simulation.voices import Lane
from tests.simulation.week import Fate, Week

SEEDS = 1 << 16
AT_H = 3.0  # when every story begins, unless a window says otherwise
CABINETS = (Stock("cabinet-8", 2, 120),)
SHEDS = (Stock("shed-smoke", 5, 600),)
WASTE = (Stock("waste-camera", 6, 60),)
YARDS = (Stock("milesight-gs301", 12, 1200, "yards"), Stock("lorawan-gateway", 16, 60))


class Punctual(Teller):
    """Everything happens at three in the morning."""

    def sometime(self, lasts_ns: int, hours: tuple[float, float] = (0, 24), known_ns: int = HOUR) -> int:
        fixed = hours[0] if hours[0] == hours[1] else AT_H
        return self.start_ns + round(fixed * HOUR)


# ---------------------------------------------------------------- the bugs


class TrustsTheLink(Engine):
    """Never hears that the broker is gone, so that every device seems to fall silent."""

    def step(self, event: Event):
        lost = isinstance(event, Link) and not event.up
        return super().step(Tick(event.at, event.wall_ns) if lost else event)


class StaysDeaf(Engine):
    """Takes every word for one that the broker kept, after the link was lost once."""

    def step(self, event: Event):
        if isinstance(event, Messages) and self.state.deaf_since > START_NS:
            event = Messages(event.at, event.wall_ns, event.items, kept=True)
        return super().step(event)


class TakesMemoryForNews(Engine):
    """Believes what the broker has kept as a state."""

    def step(self, event: Event):
        if isinstance(event, Messages):
            items = [type(one)(one.topic, one.payload, again=one.again) for one in event.items]
            event = Messages(event.at, event.wall_ns, items)
        return super().step(event)


class LosesItsTimers(Engine):
    """After an edit nothing is due any more."""

    def reconfigure(self, event: Configured, world: World):
        effects = super().reconfigure(event, world)
        self.timers._heap.clear()
        self.timers._armed.clear()
        return effects


class ForgetsAlerts(Engine):
    """After a restart nothing stands any more."""

    def __init__(self, world, state, recent=()):
        state.alerts.clear()
        super().__init__(world, state, recent)


class DropsTracks(Engine):
    """An edit of the rules begins everything anew."""

    def reconfigure(self, event: Configured, world: World):
        self.state.tracks.clear()
        return super().reconfigure(event, world)


def _at_once(one, limit, rule, quiet_ns=0, due=alerts.due_at):
    return due(one, replace(limit, hold_s=0.0), rule, quiet_ns)


def _calm_at_once(one, limit, rule, quiet_ns=0, due=alerts.due_at):
    return due(one, replace(limit, clear_hold_s=0.0), rule, quiet_ns)


def _limit_is_clear_limit(limit, value, active, crossed=conditions.crossed):
    return crossed(limit, value, False)


def _an_hour_more(text, parse=calendars.parse_window):
    start, end = parse(text)
    return start, end + 60


def _never_falls(self, step, track, rule, moved=Caseload.level_moved):
    level, alert = track.level(), self.state.alerts.get(track.alert)
    if level is None or alert is None or level >= alert.level:
        moved(self, step, track, rule)


def _no(self, *args):
    return False


def patient(world: World) -> World:
    """However late a sample comes, it counts as the present."""
    return replace(world, models={n: replace(m, lateness_s=1e6) for n, m in world.models.items()})


def without_silence(world: World) -> World:
    return replace(world, rules=tuple(rule for rule in world.rules if rule.quantity))


SPOILT = {
    "holds are ignored": {(alerts, "due_at"): _at_once},
    "clear holds are ignored": {(alerts, "due_at"): _calm_at_once},
    "clear limits are ignored": {(conditions, "crossed"): _limit_is_clear_limit},
    "a fall is not told": {(Caseload, "level_moved"): _never_falls},
    "windows end an hour late": {(calendars, "parse_window"): _an_hour_more},
    "a repetition is counted": {(Repeats, "said_before"): _no},
    "all behind a dead gateway are told of": {(Silences, "_falls_with_its_group"): _no},
}


# ---------------------------------------------------------------- where each must show


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A part of the street, what happens there, and the engine or World that is spoilt."""

    stock: tuple[Stock, ...]
    tell: Callable[[Teller], object]
    make: type[Engine] = Engine
    world: Callable[[World], World] = lambda world: world
    hours: int = 9
    restarts: tuple[float, ...] = ()  # hours after the start
    outages: tuple[float, ...] = ()
    edits: tuple[float, ...] = field(default=())


def fire(teller: Teller) -> None:
    teller.slot_fire()


def smoke(teller: Teller) -> None:
    teller.states("smoke", teller.take("shed-smoke"), "shed-smoke", "smoke", teller.sometime(0), 900, 30)


def hot_for_45_s(teller: Teller) -> None:
    teller.nearly("45 s at 57 degrees", "cabinet-8", "slot", SLOT, (0, 57), (45, 34), (60, 34))


def flat(teller: Teller) -> None:
    teller.flat_battery()


def kept_for_long(teller: Teller) -> None:
    teller.back_fill("shed-smoke", "", "smoke", 1.0, 18 * MINUTE, 13 * MINUTE)


def dead_cabinet(teller: Teller) -> None:
    teller.dead("cabinet-8", "cabinet-silent", 25 * MINUTE)


def nothing(teller: Teller) -> None:
    """An ordinary day."""


CANARIES = {
    "holds are ignored": Canary(stock=CABINETS, tell=hot_for_45_s),
    "clear holds are ignored": Canary(stock=CABINETS, tell=fire),
    "clear limits are ignored": Canary(stock=CABINETS, tell=fire),
    "a fall is not told": Canary(stock=CABINETS, tell=fire),
    "windows end an hour late": Canary(stock=WASTE, tell=Teller.bag_when_it_closes, hours=24),
    "a repetition is counted": Canary(stock=SHEDS, tell=smoke),
    "all behind a dead gateway are told of": Canary(
        stock=YARDS, tell=lambda teller: teller.gateway_dead("gw-12", 2 * HOUR)
    ),
    "timers are lost at an edit": Canary(
        stock=CABINETS, tell=dead_cabinet, make=LosesItsTimers, edits=(AT_H + 0.05,)
    ),
    "a restart forgets alerts": Canary(stock=SHEDS, tell=flat, make=ForgetsAlerts, restarts=(5.0,), hours=12),
    "an outage is silence": Canary(stock=CABINETS, tell=nothing, make=TrustsTheLink, outages=(AT_H,)),
    "a return of the link is not heard": Canary(
        stock=SHEDS, outages=(AT_H,), make=StaysDeaf, hours=12,
        tell=lambda teller: (teller.smoke_while_deaf(teller.deaf[0]), flat(teller)),
    ),
    "an edit drops what stands": Canary(stock=SHEDS, tell=flat, make=DropsTracks, edits=(5.0,), hours=12),
    "what is long over is believed": Canary(stock=SHEDS, tell=kept_for_long, world=patient),
    "what the broker remembers is news": Canary(stock=SHEDS, tell=nothing, make=TakesMemoryForNews),
    "silence is not watched": Canary(
        stock=CABINETS, tell=dead_cabinet, world=without_silence
    ),
}  # fmt: skip


def played(canary: Canary, seed: int, spoilt: bool) -> Verdict:
    world, days = street(seed, canary.stock), canary.hours / 24
    fate = Fate(
        tuple(lasting(hour, 720) for hour in canary.outages),
        tuple(lasting(hour, 15) for hour in canary.restarts),
        tuple(START_NS + round(hour * HOUR) for hour in canary.edits),
        Episode(0, 0),
    )
    teller = Punctual(world, seed, days, fate.deaf, fate.quiet)
    canary.tell(teller)
    if spoilt:
        world = canary.world(world)
    lane, make = Lane(world, seed, teller.stories, days), canary.make if spoilt else Engine
    week = Week(world, lane, remembered(world, seed, {}), fate, make).play()
    return judge(week, teller.stories)


def lasting(hour: float, seconds: int) -> Episode:
    begins = START_NS + round(hour * HOUR)
    return Episode(begins, begins + seconds * (DAY // 86400))


@pytest.mark.parametrize("name", CANARIES)
def test_a_planted_bug_is_seen(name, seed, monkeypatch):
    """The same hours are perfect without the bug, and are not with it."""
    canary, seed = CANARIES[name], seed % SEEDS
    sound = played(canary, seed, spoilt=False)
    assert sound.perfect, f"seed {seed}: {sound}"
    for (owner, part), bug in SPOILT.get(name, {}).items():
        monkeypatch.setattr(owner, part, bug)
    assert not played(canary, seed, spoilt=True).perfect, f"seed {seed}: nobody noticed"


def test_the_same_seed_plays_the_same(seed):
    again = [played(CANARIES["an edit drops what stands"], seed % SEEDS, spoilt=False) for _ in range(2)]
    assert again[0].found == again[1].found and again[0].found


def test_every_bug_has_its_canary():
    assert SPOILT.keys() <= CANARIES.keys() and len(CANARIES) >= 10
