"""Draws what befalls the street in a week: troubles that must be told, and noise that must raise nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.core.model import SECOND, Device, Level, World
from gateway.core.places import windows_of
from simulators.incidents import Course, Fault, Incident, Shape
from simulators.lives import DAY, HOUR, MINUTE, Episode, life_of, since_midnight_ns
from tests.simulation.stories import (
    RESET_NS,
    Kept,
    Points,
    Story,
    Told,
    Turn,
    between,
    counted,
    silent_ns,
    slopes,
    steps,
    trends,
    turns,
)
from tests.simulation.street import EVERY_S, START_NS, ZONE
from tests.simulation.voices import HANDED_NS, WARMTH_C

SLACK_NS = 5 * SECOND  # the way, and what a device writes its instant in
SETTLE_NS = 60 * SECOND  # a word that was kept waits up to so long whether it is taken back
ROUNDED_NS = 2 * SECOND
PATIENCE_S = 600, 3600  # with who must find the way back to us: two of its intervals, within these
DOWN_NS_MOST = 25 * SECOND  # of a restart
FAST_NS = 2 * DAY  # over which `settlement-fast` takes its slope
# What noise may do to a trend: of 0.012 mm/m a day, the least that is told of here, a tenth is four standard
# deviations of the slope of thirty days' medians (0.004 degrees an hourly word, of six days; else a quarter).
NOISE_OF_TREND = -0.1, 0.1
MM_M_PER_DEG = 17.4533


# ---------------------------------------------------------------- the teller


class Teller:
    """Draws a week's stories. `deaf`: when the gateway hears nothing; `quiet`: a long span without such."""

    def __init__(self, world: World, seed: int, days: float, deaf: Sequence[Episode], quiet: Episode) -> None:
        self.world, self.seed, self.dice = world, seed, random.Random(f"{seed}/stories")
        self.start_ns, self.end_ns = START_NS, START_NS + int(days * DAY)
        self.deaf, self.quiet = deaf, quiet
        # What the gateway knows of it: it heard last when it was handed something last.
        self.deaf_most = [Episode(one.begins_ns - 2 * HANDED_NS, one.ends_ns) for one in deaf]
        self.rules = {rule.id: rule for rule in world.rules}
        self._free: dict[str, list[Device]] = {}
        for device in world.devices.values():
            if device.baseline_period is None:
                self._free.setdefault(device.model, []).append(device)
        for devices in self._free.values():
            self.dice.shuffle(devices)
        self.stories: list[Story] = []
        self._creep: set[str] = set()
        self._dead: set[str] = set()
        self._smoky: set[str] = set()  # places

    def take(self, model: str) -> Device:
        return self._free[model].pop()

    def take_alone(self, model: str) -> Device:
        """One at whose place no other smokes: two at once are another matter."""
        free = self._free[model]
        device = next(one for one in reversed(free) if model != "shed-smoke" or one.at not in self._smoky)
        free.remove(device)
        self._smoky |= {device.at} if model == "shed-smoke" else set()
        return device

    def sometime(self, lasts_ns: int, hours: tuple[float, float] = (0, 24), known_ns: int = HOUR) -> int:
        """An instant from which on nothing else disturbs for so long, as far as that can be had. `known_ns`:
        of how much of its ordinary life the gateway has been told by then.
        """
        for _ in range(2000):
            day = self.start_ns + self.dice.randrange(max(1, (self.end_ns - self.start_ns) // DAY)) * DAY
            low, high = (round(hour * HOUR) for hour in hours)
            at = day + self.dice.randrange(low, max(high, low + 1))
            at -= at % SECOND
            span = Episode(at - HOUR // 2, at + lasts_ns + HOUR // 2)
            if (
                self.start_ns + known_ns < at
                and at + lasts_ns + HOUR < self.end_ns
                and not self._outage_in(span)
            ):
                return at
        raise ValueError(f"no room for {lasts_ns / HOUR:.1f} h")

    def _outage_in(self, span: Episode) -> bool:
        return any(
            one.begins_ns < span.ends_ns and span.begins_ns < one.ends_ns
            for one in self.deaf
            if one.ends_ns - one.begins_ns > DOWN_NS_MOST
        )

    def slack(self, earliest_ns: int, latest_ns: int) -> int:
        """How much later than its bound a word may be told, when the gateway was away just then."""
        away = [
            one.ends_ns - one.begins_ns
            for one in self.deaf
            if one.begins_ns <= latest_ns + SLACK_NS and earliest_ns - SETTLE_NS <= one.ends_ns
        ]
        return SLACK_NS + (sum(away) + SETTLE_NS if away else 0)

    def telling(
        self, rule: str, device: Device, component: str, found: Sequence[Turn], every_s: float = 0.0
    ) -> Told:
        """The alert's row, with what may come between. `every_s`: how often it speaks until it is over."""
        rows = [
            Turn(
                one.level,
                one.earliest_ns - ROUNDED_NS,
                one.latest_ns
                + self._put_off_ns(rule, device, every_s if one.level else 0.0)
                + self.slack(one.earliest_ns - self._waited_ns(rule, one), one.latest_ns),
            )
            for one in found
            if one.earliest_ns < self.end_ns
        ]
        return Told(rule, device.id, component, tuple(rows))

    def _put_off_ns(self, rule: str, device: Device, every_s: float) -> int:
        """A word counts in an expression for two and a half of its model's intervals. Who speaks more seldom
        here than that is unknown for a while before each word, and a hold that ends then waits for that word.
        """
        beat_s, counts_s = EVERY_S[device.model] * 1.05, 2.5 * self.world.models[device.model].expect_every_s
        return int(beat_s * SECOND) if self.rules[rule].when and (every_s or beat_s) > counts_s else 0

    def _waited_ns(self, rule: str, turn: Turn) -> int:
        """How long before a turn the gateway has told somebody who brought it about."""
        return RESET_NS if self.rules[rule].latch and turn.level is None else 0

    def tell(
        self, name: str, device: Device, begins_ns: int, *courses: Course,
        told: Sequence[Told] = (), every_s: float = 0.0,
    ) -> None:  # fmt: skip
        lasts = max((course.points[-1][0] for course in courses), default=0)
        courses += tuple(sure(course) for course in courses if course.quantity in SEEN)
        incident = Incident(
            name=name, says=name, device=device.id, span=Episode(begins_ns, begins_ns + lasts + 1),
            courses=courses, every_s=every_s,
        )  # fmt: skip
        self.stories.append(Story(name, (incident,), tuple(told)))

    def slot(self) -> str:
        return f"slot-{self.dice.randint(1, 8)}"

    # ------------------------------------------------------------ what must be told

    def slot_fire(self, model: str = "cabinet-8") -> None:
        device, slot, every = self.take(model), self.slot(), 30.0
        at = self.sometime(HOUR)
        minutes = ((0, 34), (6, 76), (8, 82), (14, 82), (15, 61), (35, 61), (40, 30), (50, 30))
        course = line(slot, "slot_temperature_c", [(minute * MINUTE, value) for minute, value in minutes])
        smoke = step("", "smoke", (0, 0), (9 * 60, 1), (25 * 60, 0), (50 * 60, 0))
        hot = turns(self.rules["slot-hot"], course.points, at, every, 2)
        smoked = turns(self.rules["cabinet-smoke"], steps((0, 0), (540, 1), (1500, 0), (3000, 0)), at, 0)
        rising = slopes(self.rules["slot-rising"], course.points, at, 2 * MINUTE, every)
        told = [
            self.telling("slot-hot", device, slot, hot),
            self.telling("slot-rising", device, slot, rising, every),
            self.telling("slot-warmer", device, slot, self.warmer(device, course.points, at, every), every),
        ]
        if model == "cabinet-8":  # the other kind smells nothing
            told.append(self.telling("cabinet-smoke", device, "", smoked))
        self.tell("slot fire", device, at, course, smoke, told=told, every_s=every)

    def warmer(self, device: Device, points: Points, at: int, every: float) -> list[Turn]:
        """What a slot that outdoes the others comes to: they are as warm as the air, or charging."""
        air = life_of(device, self.world.models[device.model], self.seed, ZONE).ambient_c
        around = [air(at + minutes * MINUTE) for minutes in range(-30, 91, 30)]
        low, high = min(around) - 1, max(around) + 1 + WARMTH_C
        rule = self.rules["slot-warmer"]
        early, late = (
            turns(rule, [(ns, value - others) for ns, value in points], at, every) for others in (low, high)
        )
        beat, calm = int(EVERY_S[device.model] * 1.05) * SECOND, int(rule.clear_hold_s * SECOND)
        ends = at + points[-1][0] + calm  # it is as the others from its last word on, or from its next
        on = Turn(early[0].level, early[0].earliest_ns, late[0].latest_ns)
        # On a cold night it stands out until that end, however warm the others are.
        return [on, Turn(None, late[1].earliest_ns if len(late) > 1 else ends, ends + beat)]

    def smoke(self, model: str, rule: str) -> None:
        device, at = self.take_alone(model), self.sometime(HOUR)
        self.states("smoke", device, rule, "smoke", at, self.dice.randint(60, 1200), every_s=30)

    def fire(self) -> None:
        """Two detectors of one shed smell it, the second two minutes later: that is no false alarm."""
        one, at = self.take_alone("shed-smoke"), self.sometime(2 * HOUR)
        other = next(x for x in self._free["shed-smoke"] if x.at == one.at)
        self._free["shed-smoke"].remove(other)
        smoked, told = [], []
        for device, begins, lasts in ((one, at, 900), (other, at + 2 * MINUTE, 360)):
            pairs = (0, 1), (lasts, 0), (lasts + 60, 0)
            smoked.append(Incident(
                name="fire", says="fire", device=device.id, every_s=30, courses=(step("", "smoke", *pairs),),
                span=Episode(begins, begins + (lasts + 60) * SECOND + 1),
            ))  # fmt: skip
            found = turns(self.rules["shed-smoke"], steps(*pairs), begins, 0)
            told.append(self.telling("shed-smoke", device, "", found))
        both = Turn(Level.RED, at + 2 * MINUTE, at + 2 * MINUTE)
        # The second one's last word of smoke counts for five minutes, then it must be good for five more.
        over = Turn(None, at + 8 * MINUTE - 30 * SECOND + 10 * MINUTE, at + 18 * MINUTE)
        told.append(self.telling("shed-fire", other, "", [both, over]))
        self.stories.append(Story("two detectors smell it", tuple(smoked), tuple(told)))

    def smoke_while_deaf(self, outage: Episode) -> None:
        """It begins while the broker cannot reach us, and goes on when it can."""
        device, at = self.take_alone("shed-smoke"), outage.begins_ns + MINUTE
        lasts = (outage.ends_ns - at) // SECOND + 300
        self.states("smoke while we are deaf", device, "shed-smoke", "smoke", at, lasts, 30)

    def ebike(self, model: str = "lift-camera") -> None:
        lasts = self.dice.choice((45, 90, 200, 420))
        device, at = self.take(model), self.sometime(HOUR, (7, 22))
        self.states("e-bike held too long", device, "lift-ebike", "ebike_present", at, lasts, every_s=10)

    def states(
        self, name: str, device: Device, rule: str, quantity: str, at: int, lasts_s: float, every_s: float
    ) -> None:
        """A state that is on for so long, said at its edges and in between."""
        courses = [step("", quantity, (0, 1), (lasts_s, 0), (lasts_s + 60, 0))]
        if quantity == EBIKE:  # the door is held as long
            courses.append(replace(courses[0], quantity="lift_door_held"))
        corners = steps((0, 1), (lasts_s, 0), (lasts_s + 60, 0))
        told = replace(
            self.telling(rule, device, "", turns(self.rules[rule], corners, at, 0)), counted=quantity
        )
        self.tell(name, device, at, *courses, told=[told] if told.turns else [], every_s=every_s)

    def door_while_charging(self) -> None:
        device, slot, at = self.take("cabinet-8"), self.slot(), self.sometime(HOUR)
        lasts = self.dice.choice((300, 900))
        pairs = (0, 1), (lasts, 0), (lasts + 60, 0)
        courses = step(slot, "slot_door_open", *pairs), step(slot, "slot_state", (0, 1), (lasts + 60, 1))
        found = turns(self.rules["slot-open-charging"], steps(*pairs), at, 0)
        told = self.telling("slot-open-charging", device, slot, found, 30)
        self.tell("door open while charging", device, at, *courses, told=[told], every_s=30)

    def charging_long(self) -> None:
        """A battery that takes a night and is not full: it is broken."""
        device, slot, at = self.take("cabinet-8"), self.slot(), self.sometime(13 * HOUR)
        pairs = (0, 0), (3600, 1), (11.5 * 3600, 0), (12 * 3600, 0)
        found = turns(self.rules["slot-charging-long"], steps(*pairs), at, 0)
        told = self.telling("slot-charging-long", device, slot, found)
        self.tell("charging for a night", device, at, step(slot, "slot_state", *pairs), told=[told])

    def part(
        self, name: str, model: str, rule: str, quantity: str, every_s: float, *pairs: tuple[float, float]
    ) -> None:
        """One quantity of a device or of a slot takes these values, each until the next."""
        device, at = self.take(model), self.sometime(int((pairs[-1][0] + 3600) * SECOND))
        component = self.slot() if self.rules[rule].each else ""
        found = turns(self.rules[rule], steps(*pairs), at, every_s)
        told = self.telling(rule, device, component, found)
        self.tell(name, device, at, step(component, quantity, *pairs), told=[told], every_s=every_s)

    def again_and_again(
        self, name: str, model: str, rule: str, quantity: str,
        times: int, lasts_s: int, gap_s: int, span_s: int,
    ) -> None:  # fmt: skip
        """Each time it is over before anybody is told; so often is trouble."""
        device, ends = self.take(model), (times - 1) * gap_s + lasts_s
        while True:  # its end is within what is played, or is not
            at = self.sometime((ends + 60) * SECOND)
            if abs(at + (span_s + 300) * SECOND - self.end_ns) > HOUR:
                break
        begins = [number * gap_s for number in range(times)]
        pairs = [pair for begin in begins for pair in ((begin, 1.0), (begin + lasts_s, 0.0))]
        course = step("", quantity, *pairs, (ends + 60, 0.0))
        found = counted(self.rules[rule], begins, at, span_s)
        self.tell(name, device, at, course, told=[self.telling(rule, device, "", found)])

    def bag_at_night(self) -> None:
        at = self.sometime(HOUR, (1, 4))
        lasts = self.dice.choice((400, 1300))
        device = self.take("waste-camera")
        self.states("bag outside the window", device, "waste-bag", "bag_on_floor", at, lasts, every_s=30)

    def bag_when_it_closes(self) -> None:
        """Until the window closes it may stand there; from then on it counts."""
        rule, (device, ends) = self.rules["waste-bag"], self.edge(1)
        began, lasts = ends - 20 * MINUTE, 20 * 60 + self.dice.choice((300, 1500))
        course = step("", "bag_on_floor", (0, 1), (lasts, 0), (lasts + 60, 0))
        late = turns(rule, steps((0, 1), (lasts - 1200, 0)), ends, 60)
        told = self.telling("waste-bag", device, "", late)
        self.tell("bag left when the window closes", device, began, course, told=[told], every_s=30)

    def bag_when_it_opens(self) -> None:
        """It stands there too early, and is all right once the window is open."""
        rule, (device, opens) = self.rules["waste-bag"], self.edge(0)
        course = step("", "bag_on_floor", (0, 1), (1500, 0), (1560, 0))
        early = turns(rule, steps((0, 1), (600, 0)), opens - 10 * MINUTE, 0)
        early[-1] = Turn(None, early[-1].earliest_ns, early[-1].latest_ns + 60 * SECOND)
        told = self.telling("waste-bag", device, "", early)
        self.tell("bag before the window", device, opens - 10 * MINUTE, course, told=[told], every_s=30)

    def edge(self, end: int) -> tuple[Device, int]:
        """A waste room and an instant at which its window opens (0) or closes (1)."""
        while True:
            device = self.take("waste-camera")
            hour = since_midnight_ns(self.dice.choice(self.windows(device)).split("-")[end]) / HOUR
            try:
                return device, self.sometime(HOUR, (hour, hour))
            except ValueError:
                continue  # the broker is away then, every day

    def windows(self, device: Device) -> tuple[str, ...]:
        return windows_of(self.world, device.at, "drop_off") or ()

    def overflow(self) -> None:
        at = self.sometime(2 * HOUR)
        device = self.take("waste-camera")
        self.states("bin full", device, "waste-overflow", "overflow", at, 1500, every_s=60)

    def moved(self, model: str, rule: str, quantity: str, hours: Points, blur_s: float) -> None:
        """A house moves by so much from its baseline, in either direction."""
        device = self.take(model)
        lasts = int(hours[-1][0] * HOUR)
        at = self.sometime(lasts + 4 * HOUR, known_ns=self.known_ns(quantity))
        sign = self.dice.choice((1, -1))
        points = [(int(hour * HOUR), value) for hour, value in hours]
        rest = device.baseline[quantity]
        course = line("", quantity, [(ns, rest + sign * value) for ns, value in points])
        every = EVERY_S[model] * 1.05
        told = [self.telling(rule, device, "", turns(self.rules[rule], points, at, every, blur_s))]
        if quantity == "settlement_mm":
            told += self.fast(device, points, at)
        self.tell(f"slow {quantity}", device, at, course, told=told)

    def known_ns(self, quantity: str) -> int:
        """Of a house on its first day a slope over two days is that of the one day that is known: what moves
        it for a third of that is steep, and is told. Stories are of houses that have been known for longer.
        """
        return FAST_NS + HOUR if quantity == "settlement_mm" else HOUR

    def fast(self, device: Device, points: Points, at: int) -> list[Told]:
        """What is told of how fast a house goes. It has rested for two days, and rests from the last point on
        for as long, during which what it did leaves the slope again.
        """
        rule, every = self.rules["settlement-fast"], EVERY_S[device.model] * 1.05
        rests = [*points, (points[-1][0] + FAST_NS + HOUR, points[-1][1])]
        found = between(*(turns(rule, one, at, every) for one in trends(rests, FAST_NS)))
        return [self.telling(rule.id, device, "", found)] if found else []

    def sinks(self) -> None:
        """A house sinks for a day and a half and stays there: it is told how far it went, and how fast."""
        device, at = self.take("static-level"), self.start_ns + FAST_NS + 2 * HOUR
        points = [(0, 0.0), (36 * HOUR, 14.0), (self.end_ns - at, 14.0)]
        course = line("", "settlement_mm", [(ns, device.baseline["settlement_mm"] - by) for ns, by in points])
        every = EVERY_S[device.model] * 1.05
        far = turns(self.rules["settlement"], points, at, every, 900)
        told = [self.telling("settlement", device, "", far), *self.fast(device, points, at)]
        self.tell("a house sinks", device, at, course, told=told)

    def creeping(
        self, model: str, rule: str, quantity: str, trend: float, unit: float = 1.0
    ) -> tuple[tuple[str, str], float]:
        """A movement that began weeks ago and goes on: what its trend says is told on the second day.

        `trend`: its change a day in the unit of the rule; `unit`: how many of those make one of the quantity.

        The trend is known from the first word of the first day on, and of which level it is its limits say.
        Noise may do something to it, and must not make another level of it.
        """
        device = next(
            one
            for one in self.world.devices.values()
            if one.model == model and one.baseline_period and one.id not in self._creep
            if one.behind not in self._dead
        )
        self._creep.add(device.id)
        lasts, per_day = self.end_ns - self.start_ns, trend / unit
        course = Course(
            component="", quantity=quantity, shape=Shape.ADDS,
            points=((0, 0.0), (lasts + HOUR, per_day * (lasts + HOUR) / DAY)),
        )  # fmt: skip
        steady = (((0, size), (lasts, size)) for size in (abs(trend) * (1 + by) for by in NOISE_OF_TREND))
        every = EVERY_S[model] * 1.05
        found = between(*(turns(self.rules[rule], one, self.start_ns, every) for one in steady))
        told = self.telling(rule, device, "", found)
        self.tell(f"creeping {quantity}", device, self.start_ns, course, told=[told])
        return (device.id, quantity), per_day

    def flat_battery(self) -> None:
        device, rule = self.take("shed-smoke"), self.rules["shed-battery-low"]
        at, pairs = self.sometime(14 * HOUR), ((0, 15), (3 * 3600, 5), (6 * 3600, 80), (6.2 * 3600, 80))
        told = self.telling(rule.id, device, "", turns(rule, steps(*pairs), at, 0))
        self.tell("flat battery", device, at, step("", "battery_pct", *pairs), told=[told])

    def dead(self, model: str, rule: str, lasts_ns: int, at: int | None = None) -> None:
        device, told = self.take(model), None
        every, given = int(EVERY_S[model] * SECOND * 1.05), at
        while told is None:  # drawn again while nobody could say which levels it reaches
            at = self.sometime(lasts_ns) if given is None else given
            told = self.silence(rule, device, at, at + lasts_ns, every, every)
        self.stories.append(Story(f"{model} dead", (silence(device, at, lasts_ns),), (told,)))

    def silence(self, rule_id: str, device: Device, at: int, ends: int, every: int, back: int) -> Told | None:
        """The row of a silence: the last word came up to `every` before, the first one `back` after.

        None: it may or may not reach one of its levels.
        """
        rule, rows = self.rules[rule_id], []
        interval_s = self.world.models[device.model].expect_every_s
        patience = int(max(PATIENCE_S[0], min(2 * interval_s, PATIENCE_S[1])) * SECOND)
        for limit in rule.limits:
            missed = (limit.missed or 0) * interval_s
            span = int(max(limit.absent_s or 0, missed) * SECOND)
            early = silent_ns(at - every, span, self.deaf, patience)
            late = silent_ns(at, span, self.deaf_most, patience)
            if late + SETTLE_NS < ends:
                rows.append(Turn(limit.level, early, late))
            elif early <= ends + SETTLE_NS:
                return None
        clear = int(rule.clear_hold_s * SECOND)
        rows.append(Turn(None, ends + clear, ends + back + clear))
        return self.telling(rule_id, device, "", rows)

    def gateway_dead(self, name: str, lasts_ns: int, at: int | None = None) -> None:
        """All behind it fall silent with it, and only it is told of."""
        device, told, given = self.world.devices[name], None, at
        self._dead.add(name)
        behind = [one for one in self.world.devices.values() if one.behind == name]
        for one in behind:
            if one in self._free.get(one.model, []):
                self._free[one.model].remove(one)
        own = int(EVERY_S[device.model] * SECOND * 1.05)
        slowest = max(int(EVERY_S[one.model] * SECOND * 1.05) for one in behind)
        while told is None:
            at = self.sometime(lasts_ns + 2 * HOUR) if given is None else given
            # Once all behind it count as silent, a level's span counts from the last word of those, its own
            # among them, and it ends when half of them are back.
            told = self.silence("gateway-silent", device, at, at + lasts_ns, own, slowest)
        gone = tuple(silence(one, at, lasts_ns) for one in (device, *behind))
        self.stories.append(Story("gateway dead", gone, (told,)))

    # ------------------------------------------------------------ what must raise nothing

    def nearly(
        self, name: str, model: str, component: str, quantity: str, *pairs: tuple[float, float]
    ) -> None:
        """Beyond a limit for less than its hold."""
        device, at = self.take(model), self.sometime(HOUR, (7, 22))
        part = self.slot() if component else ""
        rest = device.baseline.get(quantity, 0.0)
        course = step(part, quantity, *((at_s, rest + value) for at_s, value in pairs))
        # A slot then speaks as often as its model says: a slope over two minutes is known by four words.
        self.tell(name, device, at, course, every_s=30 if component else 0)

    def bag_in_window(self) -> None:
        device, at = self.edge(0)
        lasts = 60 * self.dice.randint(30, 80)  # the shortest window is open for two hours
        course = step("", "bag_on_floor", (0, 1), (lasts, 0), (lasts + 60, 0))
        self.tell("bag inside the window", device, at + MINUTE, course, every_s=60)

    def wrong_clock(self, model: str, shift_ns: int, lasts_ns: int, then: str = "") -> None:
        """A clock that is hours off, or that was never set; maybe with trouble behind it."""
        device, at = self.take_alone(model), self.sometime(lasts_ns)
        wrong = Incident(
            name="clock", says="clock", device=device.id, span=Episode(at, at + lasts_ns), fault=Fault.CLOCK,
            shift_ns=shift_ns,
        )  # fmt: skip
        self.stories.append(Story("clock wrong", (wrong,)))
        if then:
            quantity, rule, lasts = then.split()
            middle = at + lasts_ns // 2
            self.states("behind a wrong clock", device, rule, quantity, middle, float(lasts), every_s=10)

    def drifting_clock(self, model: str, rate: float) -> None:
        device = self.take(model)
        span = Episode(self.start_ns + 2 * HOUR, self.end_ns)
        still = Incident(name="drift", says="drift", device=device.id, span=span)
        self.stories.append(Story("clock drifts", (still,), drift=rate))

    def back_fill(
        self, model: str, component: str, quantity: str, value: float, lasts_ns: int, late_ns: int
    ) -> None:
        """It could not send for a while, then sends what it kept: bad values, all of them long over."""
        device, at = self.take(model), self.sometime(lasts_ns)
        value += device.baseline.get(quantity, 0.0)
        kept = Kept(at, at + lasts_ns - late_ns, self.slot() if component else "", quantity, value)
        self.stories.append(Story("history back-fill", (silence(device, at, lasts_ns),), kept=kept))


def line(component: str, quantity: str, points: Points) -> Course:
    return Course(component=component, quantity=quantity, shape=Shape.POINTS, points=tuple(points))


def step(component: str, quantity: str, *pairs: tuple[float, float]) -> Course:
    points = tuple((int(at * SECOND), float(value)) for at, value in pairs)
    return Course(component=component, quantity=quantity, shape=Shape.STEPS, points=points)


def sure(seen: Course) -> Course:
    """How sure a camera is of what it sees."""
    return replace(
        seen, quantity="confidence", points=tuple((at, 0.92 if on else 0.1) for at, on in seen.points)
    )


def silence(device: Device, at: int, lasts_ns: int) -> Incident:
    return Incident(
        name="silent", says="silent", device=device.id, span=Episode(at, at + lasts_ns), fault=Fault.SILENT
    )


# ---------------------------------------------------------------- a week of it

EIGHT_HOURS, NEVER_SET = 8 * HOUR, -(START_NS - 60 * SECOND)
SLOT, BAG, EBIKE = "slot_temperature_c", "bag_on_floor", "ebike_present"
SEEN = (BAG, EBIKE, "overflow", "exposed_waste")
# What happens, to whom, under which rule; what it says, how often beside its beat (s), and its values by the
# second. It speaks whenever one begins.
PARTS: tuple[tuple[Any, ...], ...] = (
    ("too much current", "cabinet-8", "slot-current", "slot_current_a", 30, (0, 14), (300, 8), (360, 8)),
    ("suppression fires", "cabinet-8", "cabinet-suppression", "suppression_fired", 30,
     (0, 1), (200, 0), (260, 0)),
    ("an extinguisher is taken", "extinguisher", "shed-tampered", "tampered", 60, (0, 1), (600, 0), (660, 0)),
    ("an extinguisher leaks", "extinguisher", "shed-extinguisher-pressure", "pressure_mpa", 1800,
     (0, 0.9), (7200, 1.2), (7260, 1.2)),
    ("an extinguisher is too old", "extinguisher", "shed-extinguisher-due", "expiry_days", 0,
     (0, 20), (7200, -1), (14400, 360), (14460, 360)),
    ("waste beside the room", "waste-camera", "waste-exposed", "exposed_waste", 60,
     (0, 1), (2400, 0), (2460, 0)),
    ("a weak radio", "tilt-chirpstack", "structure-radio-weak", "rssi_dbm", 0,
     (0, -119), (12600, -85), (12660, -85)),
    ("a house's flat battery", "structure-monitor", "structure-battery-low", "battery_pct", 0,
     (0, 15), (10800, 5), (21600, 80), (21660, 80)),
)  # fmt: skip
# The same, with how many times, for how long each, from one to the next, within how long it is too often (s).
OFTEN = (
    ("e-bikes come and go", "lift-camera", "lift-false-alarms", EBIKE, 6, 15, 540, 3600),
    ("an e-bike comes daily", "lift-camera", "lift-ebike-often", EBIKE, 8, 15, 1800, 86_400),
    ("bins full again", "waste-camera", "waste-overflow-often", "overflow", 3, 300, 3600, 86_400),
    ("waste dumped again", "waste-camera", "waste-exposed-often", "exposed_waste", 3, 600, 3600, 86_400),
)


def tell_week(world: World, seed: int, days: float, deaf: Sequence[Episode], quiet: Episode) -> Teller:
    """Everything that befalls the street; each kind some times, each on a device of its own."""
    teller = Teller(world, seed, days, deaf, quiet)
    teller.gateway_dead("gw-12", 2 * HOUR)  # first: nobody behind them may have a story of his own
    teller.gateway_dead("gw-01", 100 * MINUTE)
    if days >= 7:
        teller.gateway_dead("gw-05", 28 * HOUR, teller.quiet.begins_ns)
    _troubles(teller)
    if days >= 7:
        _slow_troubles(teller)
    for outage in deaf:
        if outage.ends_ns - outage.begins_ns > DOWN_NS_MOST:
            teller.smoke_while_deaf(outage)
    _noises(teller)
    return teller


def _troubles(teller: Teller) -> None:
    teller.fire()
    teller.charging_long()
    for _ in range(6):
        teller.slot_fire()
        teller.ebike()
        teller.smoke("shed-smoke", "shed-smoke")
    for _ in range(2):
        teller.smoke("cabinet-8", "cabinet-smoke")
        teller.slot_fire("cabinet-signals")
        teller.door_while_charging()
        for part in PARTS:
            teller.part(*part)
        for often in OFTEN:
            teller.again_and_again(*often)
        teller.bag_at_night()
        teller.bag_when_it_closes()
        teller.bag_when_it_opens()
        teller.overflow()
        teller.ebike("lift-edge-box")
        teller.dead("cabinet-8", "cabinet-silent", 25 * MINUTE)
        teller.dead("lift-camera", "lift-camera-silent", 100 * MINUTE)
        teller.dead("waste-camera", "waste-camera-silent", 25 * MINUTE)
        teller.dead("shed-smoke", "shed-silent", 260 * MINUTE)
        teller.wrong_clock("cabinet-8", EIGHT_HOURS, 4 * HOUR, "smoke cabinet-smoke 200")
        teller.wrong_clock("shed-smoke", NEVER_SET, 5 * HOUR, "smoke shed-smoke 200")
        teller.wrong_clock("lift-camera", EIGHT_HOURS, 3 * HOUR, "ebike_present lift-ebike 200")


def _slow_troubles(teller: Teller) -> None:
    for model in ("milesight-em310-tilt", "tilt-chirpstack"):
        for _ in range(3):
            hours = ((0, 0.0), (6, 0.25), (16, 0.25), (22, 0.0), (26, 0.0))
            teller.moved(model, "tilt-x", "tilt_x_deg", hours, 650)
    higher = ((0, 0.0), (6, 0.24), (12, 0.24), (18, 0.33), (28, 0.33), (34, 0.0), (40, 0.0))
    teller.moved("milesight-em310-tilt", "tilt-y", "tilt_y_deg", higher, 1500)
    teller.moved(
        "crack-gauge", "crack", "crack_mm", ((0, 0.0), (4, 2.0), (14, 2.0), (18, 0.0), (22, 0.0)), 90
    )
    for model in ("static-level", "structure-monitor"):
        # Not for long enough to be fast: two days' slope is steep for four hours, and again when that leaves.
        hours = ((0, 0.0), (8, 12.5), (11, 12.5), (19, 0.0), (23, 0.0))
        teller.moved(model, "settlement", "settlement_mm", hours, 240)
    teller.sinks()
    for _ in range(3):
        teller.flat_battery()
    for model in ("crack-gauge", "milesight-em310-tilt"):
        teller.dead(model, "structure-silent", 28 * HOUR, teller.quiet.begins_ns)


def creeping(teller: Teller) -> dict[tuple[str, str], float]:
    """Movements that began weeks ago: what the state must remember of them."""
    return dict(
        [
            teller.creeping("tilt-chirpstack", "tilt-x-trend", "tilt_x_deg", 0.02, MM_M_PER_DEG),
            teller.creeping("tilt-chirpstack", "tilt-x-trend", "tilt_x_deg", -0.012, MM_M_PER_DEG),
            teller.creeping("structure-monitor", "tilt-y-trend", "tilt_y_deg", -0.02, MM_M_PER_DEG),
            teller.creeping("structure-monitor", "tilt-y-trend", "tilt_y_deg", 0.012, MM_M_PER_DEG),
            teller.creeping("crack-gauge", "crack-trend", "crack_mm", 0.04),
            teller.creeping("static-level", "settlement-trend", "settlement_mm", -0.2),
        ]
    )


def _noises(teller: Teller) -> None:
    for _ in range(2):
        teller.nearly("45 s at 57 degrees", "cabinet-8", "slot", SLOT, (0, 57), (45, 34), (150, 34))
        teller.nearly("a single spike", "cabinet-8", "slot", SLOT, (0, 72), (5, 34), (150, 34))
        teller.bag_in_window()
        teller.nearly("a bag for two minutes", "waste-camera", "", BAG, (0, 1), (120, 0), (180, 0))
        teller.nearly(
            "leans for 40 minutes", "tilt-chirpstack", "", "tilt_x_deg", (0, 0.25), (2400, 0), (3000, 0)
        )
        teller.nearly("one odd crack", "crack-gauge", "", "crack_mm", (0, 3), (300, 0), (600, 0))
        teller.nearly(
            "a dip of the battery", "shed-smoke", "", "battery_pct", (0, 19), (1800, 90), (2400, 90)
        )
        teller.drifting_clock("shed-smoke", 0.003)
        teller.drifting_clock("shed-smoke", -0.003)
        teller.back_fill("shed-smoke", "", "smoke", 1.0, 18 * MINUTE, 13 * MINUTE)
        teller.back_fill("crack-gauge", "", "crack_mm", 3.0, 12 * HOUR, 150 * MINUTE)
        teller.back_fill("tilt-chirpstack", "", "tilt_x_deg", 0.4, 8 * HOUR, 90 * MINUTE)
    for _ in range(12):
        teller.nearly("an e-bike looks in", "lift-camera", "", EBIKE, (0, 1), (15, 0), (60, 0))
