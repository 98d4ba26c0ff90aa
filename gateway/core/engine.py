"""The one place where anything is decided: `step(event)` changes the state and returns what follows.

Deterministic: no clock, no lots, no order of a set. The event carries its instant, every span is arithmetic
on it, so that the same log gives the same effects live, after a crash and in replay.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice, repeat

from gateway.core import calibration
from gateway.core.alerts import ACTIVE, AT_ONCE, Phase, Standing, due_at, expire, turn
from gateway.core.calendars import Works, local, works_on
from gateway.core.caseload import Caseload, Step
from gateway.core.codecs import Decode
from gateway.core.conditions import Counts, Judge, applies, held_at, judge_for
from gateway.core.decoding import Decoder
from gateway.core.derived import Derived, Deriving
from gateway.core.doubts import STUCK, Trace, doubt, traced
from gateway.core.model import (
    SECOND,
    Act,
    Configured,
    Device,
    Effect,
    Ended,
    Event,
    Fault,
    Field,
    Limit,
    Link,
    Marked,
    Message,
    Messages,
    Model,
    Outcome,
    PayloadError,
    Quality,
    Reading,
    Refusal,
    Refused,
    Rule,
    Verdict,
    World,
)
from gateway.core.past import would_have_fired
from gateway.core.quality import (
    AHEAD_NS,
    EVENTS,
    NEVER_SET_NS,
    TIES_NS,
    Heard,
    Held,
    Worth,
    apart,
    assess,
    name_of_skew,
    note_instant,
    said_again,
)
from gateway.core.silence import (
    GROUP_LEAST,
    Group,
    is_silence,
    learned_ns,
    learns,
    note_interval,
    span_ns,
    spans_ns,
)
from gateway.core.state import Lasting, State, Track
from gateway.core.units import QUANTITIES

RECENT_MOST = 20_000  # messages remembered to know a second delivery; brokers overrun a receive maximum
SETTLE_NS = 2 * SECOND  # a late word may be followed by the one that takes it back
SETTLE_NS_MOST = 60 * SECOND  # an hour of the broker's keeping comes in less
LATE_NS = 10 * SECOND  # from here on a word counts as late
KEPT_NS = 600 * SECOND  # after we hear again: as long it may take until all that the broker kept is here
LINE_NS = 300 * SECOND  # a lost line may return within; from then on what we last knew must do
IN_FLIGHT_NS = 600 * SECOND  # what we heard longer before a line broke has surely been acknowledged on it
REJUDGE_NS = 60 * SECOND  # how often a value waiting for its window's end is looked at again
LOOKED_BACK_MOST = (
    5_000  # messages among which a device's last one is looked for, once an instant comes twice
)
REPEATS_NS = 60 * SECOND  # what ends by itself within so long says its state again and again
TOPICS_MOST = 10_000  # topics remembered beyond one a device: a + in a filter takes any number
ALL = "*"
Bands = tuple[tuple[str, float, float], ...]  # (quantity, low, high)


class Subject:
    """A device or one component of it, with its rules made ready."""

    __slots__ = ("astir", "band", "derived", "judges", "ranges", "traced")

    def __init__(self, fields: Sequence[Field], judges: list[Judge], derived: Derived | None) -> None:
        self.ranges, self.judges, self.derived = ranges(fields), judges, derived
        self.band = bands(self.ranges, judges)
        self.traced = traced(fields)  # those whose values are compared with the ones before
        # Tracks of this subject: while 0, lying in the band is all there is to ask. One of which something
        # is derived is never done with so quickly.
        self.astir = 0 if derived is None else 1

    def calm(self, values: dict[str, float]) -> bool:
        if self.astir:
            return False
        get = values.get
        for quantity, low, high in self.band:
            value = get(quantity)
            if value is not None and not low <= value <= high:
                return False
        return True


class Watch:
    """One device of the World with its codec, its subjects, its rules of silence."""

    __slots__ = (
        "dark", "decode", "device", "ends_ns", "heard", "lateness_ns", "learns", "make", "model", "numbered",
        "plain", "quiet", "reorder_ns", "silence", "subjects", "swaps", "unusual", "works",
    )  # fmt: skip

    def __init__(self, device: Device, model: Model, decode: Decode, heard: Heard) -> None:
        self.device, self.model, self.decode, self.heard = device, model, decode, heard
        self.lateness_ns, self.reorder_ns = int(model.lateness_s * SECOND), int(model.reorder_s * SECOND)
        self.ends_ns = int(model.ends_after_s * SECOND)  # a state that is on ends so long after its last word
        self.numbered = numbers(model)
        self.subjects: dict[str, Subject] = {}
        self.silence: list[Rule] = []
        self.learns = False  # its interval
        self.quiet = False  # a rule of silence is astir
        self.swaps: tuple[int, ...] = ()  # instants from which it has another sensor, not come yet
        self.dark = False  # it has said nothing since all those behind its gateway fell silent
        self.works: tuple[Works, ...] = ()  # while one goes on its silence is not raised
        self.plain = not (self.reorder_ns or any(map(asks_more, model.fields)))
        self.look_up()

    def listen(self, silence: list[Rule]) -> None:
        """Its rules of silence; an interval that the model does not tell is learned when one asks for it."""
        self.silence, self.learns = silence, learns(silence) and not self.model.expect_every_s
        self.look_up()

    def look_up(self) -> None:
        """Whether its next message is more than a calm value: asked once a message, so decided here."""
        self.unusual = self.quiet or self.dark or self.numbered or self.learns or not self.plain

    def interval_ns(self) -> int:
        """How often it speaks: the model's word, or what it does; 0 while that is not known."""
        return int(self.model.expect_every_s * SECOND) or learned_ns(self.heard.intervals)

    def spans(self) -> list[int]:
        return spans_ns(self.silence, self.interval_ns()) if self.silence else []

    def subject(self, component: str, make: Callable[[Device, str], Subject]) -> Subject:
        found = self.subjects.get(component)
        if found is None:
            found = self.subjects[component] = make(self.device, component)
        return found


class Engine:
    """Judges events of one World. `recent` are the last (at, message) before the state's position."""

    def __init__(self, world: World, state: State, recent: Iterable[tuple[int, Message]] = ()) -> None:
        self.state = state
        self.recent: deque[tuple[int, Message]] = deque(recent, maxlen=RECENT_MOST)
        self._kept_ns = 0  # how much older than its device's lateness a word may be that the broker kept
        self._items: list[Message] = []  # of the event being stepped
        self._said: set[tuple[str, bytes]] | None = None
        self._said_until = 0
        self.readings: list[list[Reading]] = []  # of each message of the last Messages event
        self._adopt(world)

    # ------------------------------------------------------------ the one door

    def step(self, event: Event) -> list[Effect]:
        """What follows from an event, after what was due before it."""
        step = Step(event.at, event.wall_ns)
        heard_at, self.state.at = self.state.at, event.at
        self._let_go(step)
        if isinstance(event, Link):
            self._link(event, heard_at)  # first: a silence that fell due while we were deaf proves nothing
        self._advance(step)
        if isinstance(event, Messages):
            self._messages(step, event)
        elif isinstance(event, Outcome):
            self.cases.outcome(step, event)
        elif isinstance(event, Act):
            self.cases.act(step, event)
        self._arm(step)
        return step.effects

    def reconfigure(self, event: Configured, world: World) -> list[Effect]:
        """From this event on another World judges; what stands, stands. Save a checkpoint right after."""
        before = self.step(event)
        self.state.past.clear()  # what the rules that go would have said
        self._adopt(world)
        step = Step(event.at, event.wall_ns)
        self._let_go(step)
        return before + step.effects

    def next_due(self) -> int | None:
        """The steady instant at which time alone may change something; a Tick is wanted then."""
        return self._timers[0][0] if self._timers else None

    # ------------------------------------------------------------ the World

    def _adopt(self, world: World) -> None:
        self.world, self.state.digest = world, world.digest
        self.decoder = Decoder(world)
        self.cases = Caseload(world, self.state)
        self._deriving = Deriving(world, self.state)
        self._timers: list[tuple[int, str, str]] = []
        self._armed: dict[tuple[str, str], int] = {}
        self._judges: dict[str, Judge] = {}
        self._bands: dict[Bands, Bands] = {}  # those alike are one: a thousand are cold
        self._rules: dict[tuple[str, str], list[Rule]] = {}
        self._silences: dict[str, list[Rule]] = {}  # by scene
        for rule in filter(is_silence, world.rules):
            self._silences.setdefault(rule.scene, []).append(rule)
        self._by_topic: dict[str, Watch] = {}
        self._watches = {device.id: self._watch(device) for device in world.devices.values()}
        self._group()
        for watch in self._watches.values():
            self._await(watch)
        self._gone: list[Track] = []
        self._sort_out_tracks()
        for key, track in self.state.tracks.items():
            self._attach(key, track)
        self._resume_lasting()
        for timer in self.cases.timers():
            self._push(*timer)

    def _watch(self, device: Device) -> Watch:
        model = self.world.models[device.model]
        heard = self.state.heard.setdefault(device.id, Heard(self.state.at))
        watch = Watch(device, model, self.decoder.codec_of(device), heard)
        watch.works = works_on(self.world, device)
        changed = calibration.swaps(self.world.calibrations.get(device.id, ()))
        watch.swaps = tuple(at_ns for at_ns in changed if at_ns > heard.swapped_ns)
        rules = self._silences.get(model.scene, ())
        watch.listen([rule for rule in rules if applies(rule, device, model.scene)])
        self._await_turn(watch)
        return watch

    def _make_subject(self, device: Device, component: str) -> Subject:
        kind = component.rpartition("-")[0]
        judges = [
            judge
            for rule in self._rules_of(device.model, kind)
            if (judge := judge_for(rule, device, component, self.world)) is not None
        ]
        self._judges.update({judge.key: judge for judge in judges})
        model = self.world.models[device.model]
        fields = [field for field in model.fields if field.of == kind]
        subject = Subject(fields, judges, self._deriving.of(device, component))
        subject.band = self._bands.setdefault(subject.band, subject.band)
        subject.astir += int(model.ends_after_s > 0)  # each of its words counts, so none goes the short way
        return subject

    def _rules_of(self, model: str, kind: str) -> list[Rule]:
        """The rules that may be about a model's components of a kind, looked for once."""
        found = self._rules.get((model, kind))
        if found is None:
            scene = self.world.models[model].scene
            found = self._rules[model, kind] = [
                rule
                for rule in self.world.rules
                if rule.scene == scene and rule.each == kind and rule.quantity
            ]
        return found

    def _sort_out_tracks(self) -> None:
        """Tracks of rules and devices that are gone end; a rule whose levels changed keeps what it can."""
        for name in [name for name in self.state.heard if name not in self._watches]:
            del self.state.heard[name]
        for key, track in list(self.state.tracks.items()):
            if not self._has_a_say(key, track):
                self._gone.append(self.state.tracks.pop(key))
                continue
            here = {one.level: one for one in track.standings}
            limits = self.cases.rules[track.rule].limits
            track.standings = [here.get(limit.level, Standing(limit.level)) for limit in limits]

    def _has_a_say(self, key: str, track: Track) -> bool:
        """Whether the rule of a track, as it is now, still judges that subject in the same way."""
        rule, watch = self.cases.rules.get(track.rule), self._watches.get(track.device)
        if rule is None or watch is None or is_silence(rule) != (track.value is None):
            return False
        if is_silence(rule):
            return rule in watch.silence
        if not has_component(watch.model, track.component):
            return False
        watch.subject(track.component, self._make_subject)
        return key in self._judges

    def _attach(self, key: str, track: Track) -> None:
        """Puts a loaded track back to work."""
        watch, rule = self._watches[track.device], self.cases.rules[track.rule]
        if is_silence(rule):
            watch.quiet = True
            watch.look_up()
        else:
            watch.subject(track.component, self._make_subject).astir += 1
        self._push_track(key, track, rule)

    def _let_go(self, step: Step) -> None:
        """Ends the alerts whose rule or device is no longer configured; their cases stay with people."""
        while self._gone:
            self.cases.rule_gone(step, self._gone.pop())

    # ------------------------------------------------------------ messages

    def _messages(self, step: Step, event: Messages) -> None:
        self._items, self._said, self._said_until = event.items, None, 0
        self._kept_ns = self._kept_for_ns(step.at)
        known = self._delivered_before(event)
        by_topic, received = self._by_topic, event.wall_ns - 1
        decoded: list[list[Reading]] = []
        self.readings, kept = decoded, event.kept
        faults: list[Fault] = []  # a new list after each message that had some: nearly none has
        for index, message in enumerate(event.items):
            received += 1
            if faults:
                faults = []
            watch = by_topic.get(message.topic) or self._watch_of(step, message.topic, received)
            if watch is None:
                decoded.append([])
                reason = f"no device speaks on {message.topic[:120]}"
                self._refuse_whole(step, index, "", Fault(Refusal.UNKNOWN_DEVICE, "", reason))
                continue
            try:
                readings = watch.decode(watch.device, message, received, faults)
            except PayloadError as error:
                decoded.append([])
                fault = Fault(error.code, error.field, error.reason)
                self._refuse_whole(step, index, watch.device.id, fault)
                continue
            decoded.append(readings)
            if kept:
                self._keep(step, index, watch, readings, faults)
            elif faults or message.retained or watch.unusual or index in known:
                self._unusual(step, index, watch, readings, message, faults, index in known)
            else:
                self._usual(step, index, watch, readings, message)
        self.recent.extend(zip(repeat(event.at), event.items, strict=False))

    def _kept_for_ns(self, at: int) -> int:
        """How long the broker may have kept what comes now: it is late by our fault, and may still stand."""
        deaf = self.state.listening_since > self.state.deaf_since
        return at - self.state.deaf_since if deaf and at - self.state.listening_since <= KEPT_NS else 0

    def _watch_of(self, step: Step, topic: str, received: int) -> Watch | None:
        """The watch of the device that speaks on a topic, remembered for the next message."""
        device = self.decoder.device_of(topic)
        if device is None:
            return None
        if len(self._by_topic) >= len(self._watches) + TOPICS_MOST:
            self._by_topic.clear()
        watch = self._watches[device.id]
        if watch.swaps:  # looked at again with every message until the last of them has come
            self._swap(step, watch, received)
        else:
            self._by_topic[topic] = watch
        return watch

    def _swap(self, step: Step, watch: Watch, received: int) -> None:
        """Another sensor speaks for the device: its clock and its numbers have nothing to do with the old."""
        come = [at_ns for at_ns in watch.swaps if at_ns <= received]
        if come:
            watch.swaps = watch.swaps[len(come) :]
            old = watch.heard
            watch.heard = Heard(old.seen_at, swapped_ns=come[-1], held=old.held, intervals=old.intervals)
            self.state.heard[watch.device.id] = watch.heard
            step.note("sensor_swapped", device=watch.device.id)

    def _usual(self, step: Step, index: int, watch: Watch, readings: list[Reading], message: Message) -> None:
        """The hot path: a message without a flaw. Most readings are plausible, newer than the last one, and
        calm; then that is all.
        """
        heard, oldest_ns = watch.heard, watch.lateness_ns
        heard.seen_at = step.at
        known_clock = not (heard.shift_ns or heard.odd)
        newest = heard.newest_ns
        for reading in readings:
            component, measured_ns = reading.component, reading.measured_ns
            subject = watch.subjects.get(component) or watch.subject(component, self._make_subject)
            age_ns = reading.received_ns - measured_ns
            plausible = known_clock and -AHEAD_NS <= age_ns <= oldest_ns
            if plausible and measured_ns > newest.get(component, 0) and subject.calm(reading.values):
                newest[component] = measured_ns
            else:
                self._heed(step, index, watch, reading, message, known=False)

    def _unusual(
        self,
        step: Step,
        index: int,
        watch: Watch,
        readings: list[Reading],
        message: Message,
        faults: list[Fault],
        known: bool,
    ) -> None:
        for fault in faults:
            self._refuse(step, index, watch.device.id, fault)
        if message.retained:  # a state the broker remembers, not news: it proves no life and pages nobody
            for reading in readings:
                self._mark(step, index, reading, Worth(Quality.RETAINED, judge=False, store=reading.timed))
            return
        heard = watch.heard
        if watch.learns and not known:
            self._learn(step, watch)
        heard.seen_at = step.at
        known = known or (watch.numbered and bool(readings) and said_again(heard, readings[0]))
        if known or faults or watch.reorder_ns or any(one.history for one in readings):
            for reading in readings:
                self._heed(step, index, watch, reading, message, known)
        elif watch.plain:
            self._usual(step, index, watch, readings, message)
        else:
            for reading in readings:
                self._compare(step, index, watch, reading, message)
        if watch.quiet and not self._is_dark_group(watch.device.id):
            self._spoke(step, watch)
        if watch.dark:
            self._speaks_again(step, watch)

    def _compare(self, step: Step, index: int, watch: Watch, reading: Reading, message: Message) -> None:
        """As _usual, for a device whose values are compared with those before."""
        heard, component, measured_ns = watch.heard, reading.component, reading.measured_ns
        subject = watch.subject(component, self._make_subject)
        age_ns = reading.received_ns - measured_ns
        known_clock = not (heard.shift_ns or heard.odd)
        newer = known_clock and measured_ns > heard.newest_ns.get(component, 0)
        if not (newer and -AHEAD_NS <= age_ns <= watch.lateness_ns and subject.calm(reading.values)):
            self._heed(step, index, watch, reading, message, known=False)
            return
        heard.newest_ns[component] = measured_ns
        if not subject.traced:
            return
        values = dict(reading.values)
        doubted, quality = self._doubt(step, watch, subject, component, values, Quality.GOOD)
        if doubted:
            self._mark(step, index, reading, Worth(quality, judge=True))
            self._judge(step, watch, subject, component, values, max(age_ns, 0), doubted)

    def _keep(
        self, step: Step, index: int, watch: Watch, readings: list[Reading], faults: list[Fault]
    ) -> None:
        """A message out of quarantine: its points are written as of then, and it tells nobody anything."""
        for fault in faults:
            self._refuse(step, index, watch.device.id, fault)
        for reading in readings:
            subject = watch.subject(reading.component, self._make_subject)
            left_out = self._impossible(step, index, reading, subject)
            self._mark(step, index, reading, Worth(Quality.LATE, judge=False), left_out)

    def _delivered_before(self, event: Messages) -> set[int]:
        """Which messages were delivered and committed before: asked only of those the broker flags itself."""
        flagged = [index for index, message in enumerate(event.items) if message.again]
        if not flagged:
            return set()
        since = self.state.deaf_since - IN_FLIGHT_NS
        seen = {(message.topic, message.payload) for at, message in self.recent if at >= since}
        return {i for i in flagged if (event.items[i].topic, event.items[i].payload) in seen}

    def _heed(
        self, step: Step, index: int, watch: Watch, reading: Reading, message: Message, known: bool
    ) -> None:
        """A reading that is not plainly good and calm: what is it worth, and what does it say?"""
        heard, subject = watch.heard, watch.subject(reading.component, self._make_subject)
        told = reading.timed and not reading.history and not known
        if told and note_instant(heard, reading, watch.lateness_ns):
            self._note_skew(step, watch, reading)
        known = known or self._said_before(watch, reading, message, index)
        lateness_ns, policy = watch.lateness_ns + self._kept_ns, watch.model.wrong_clock
        worth = assess(heard, reading, lateness_ns, known, policy)
        if heard.held and worth.judge:
            worth = apart(heard.held, reading, worth)
        left_out = self._impossible(step, index, reading, subject)
        values = {name: value for name, value in reading.values.items() if name not in left_out}
        doubted: tuple[str, ...] = ()
        quality = worth.quality
        if subject.traced and worth.judge:
            doubted, quality = self._doubt(step, watch, subject, reading.component, values, quality)
        if quality is not Quality.GOOD or worth.shift_ns or left_out:
            self._mark(step, index, reading, worth, left_out, quality)
        if worth.quality in EVENTS:
            component = reading.component
            step.note(EVENTS[worth.quality], device=watch.device.id, component=component)
        measured_ns = reading.measured_ns + worth.shift_ns
        if subject.derived is not None and worth.judge:
            sound = {name: value for name, value in values.items() if name not in doubted}
            at_ns = reading.received_ns if worth.arrival else measured_ns
            values |= self._derive(step, index, reading, subject.derived, sound, at_ns)
        held = Held(step.at - worth.age_ns, measured_ns, reading.component, values, doubted)
        if not worth.judge:
            if worth.store and measured_ns > NEVER_SET_NS:
                self._look_back(step, watch, subject, values, measured_ns)
        elif not reading.timed or worth.arrival:
            self._believe(step, watch, held)
        elif worth.age_ns < watch.reorder_ns:
            self._hold(step, watch, held)
        else:
            self._take_turn(step, watch, held)

    def _derive(
        self, step: Step, index: int, reading: Reading, derived: Derived, values: dict[str, float], at_ns: int
    ) -> dict[str, float]:
        """What is worked out from a reading; a mark beside it keeps it with the message."""
        found = derived.add(values, at_ns, step.note)
        if found:
            said_ns = reading.measured_ns
            step.effects.append(
                Marked(index, reading.component, Quality.GOOD, derived=found, said_ns=said_ns)
            )
        return found

    def _said_before(self, watch: Watch, reading: Reading, message: Message, index: int) -> bool:
        """An instant we know, in the very bytes or under the same number: a device's retry, or a broker that
        does not flag its own.
        """
        heard = watch.heard
        newest = heard.newest_ns.get(reading.component, 0)
        measured_ns = reading.measured_ns + heard.shift_ns
        if not reading.timed:
            return False
        if any(
            (one.component, one.measured_ns) == (reading.component, measured_ns)
            and one.values.items() >= reading.values.items()
            for one in heard.held
        ):
            return True
        if measured_ns > newest:
            return False
        if (message.topic, message.payload) in self._said_until_now(index):
            return True
        tie = measured_ns >= newest - TIES_NS and reading.sequence != "" and not watch.numbered
        return tie and self._last_number(watch, message.topic, index) == reading.sequence

    def _last_number(self, watch: Watch, topic: str, index: int) -> str:
        """What the device numbered its last message by: asked only when an instant comes twice."""
        before = chain(reversed(self._items[:index]), (old for _, old in reversed(self.recent)))
        for old in islice(before, LOOKED_BACK_MOST):
            if old.topic == topic:
                try:
                    return next((one.sequence for one in watch.decode(watch.device, old, 0, [])), "")
                except PayloadError:
                    continue
        return ""

    def _said_until_now(self, index: int) -> set[tuple[str, bytes]]:
        """What came before message `index`, also in its own event; made once somebody asks."""
        said = self._said
        if said is None:
            said = self._said = {(old.topic, old.payload) for _, old in self.recent}
        said.update((one.topic, one.payload) for one in self._items[self._said_until : index])
        self._said_until = index
        return said

    def _mark(
        self,
        step: Step,
        index: int,
        reading: Reading,
        worth: Worth,
        left_out: tuple[str, ...] = (),
        quality: Quality | None = None,
    ) -> None:
        quality = quality or worth.quality
        said = reading.component, quality, worth.store, worth.shift_ns, left_out, worth.arrival
        step.effects.append(Marked(index, *said, said_ns=reading.measured_ns))

    def _note_skew(self, step: Step, watch: Watch, reading: Reading) -> None:
        heard = watch.heard
        shift = heard.shift_ns
        kind = name_of_skew(shift, reading.measured_ns, heard.drifting) if shift else "set"
        step.note("device_clock_skewed", device=watch.device.id, kind=kind, offset_s=round(shift / SECOND))

    def _impossible(self, step: Step, index: int, reading: Reading, subject: Subject) -> tuple[str, ...]:
        """Quantities whose value cannot physically be: refused one by one, the others are used."""
        refused = []
        for name, value in reading.values.items():
            low, high = subject.ranges.get(name) or (QUANTITIES[name].low, QUANTITIES[name].high)
            if not low <= value <= high:
                reason = f"found {value:g}, expected {low:g}..{high:g} {QUANTITIES[name].unit}"
                self._refuse(step, index, reading.device, Fault(Refusal.RANGE, name, reason))
                refused.append(name)
        return tuple(refused)

    def _doubt(
        self,
        step: Step,
        watch: Watch,
        subject: Subject,
        component: str,
        values: dict[str, float],
        quality: Quality,
    ) -> tuple[tuple[str, ...], Quality]:
        """The quantities that spike or are stuck, and the quality of the point; tells rules that ask."""
        doubted, stuck = [], []
        for field in subject.traced:
            name, key = field.quantity, f"{component}/{field.quantity}"
            trace = watch.heard.traces.get(key) or watch.heard.traces.setdefault(key, Trace())
            was = trace.stuck
            found = doubt(trace, values[name], field) if name in values else Quality.GOOD
            if found is not Quality.GOOD:
                doubted.append(name)
                quality = found if quality is not Quality.STUCK else quality
            if found is Quality.SPIKE or trace.stuck != was:
                turned = "sensor_moved" if was else "sensor_stuck"
                event = "value_spiked" if found is Quality.SPIKE else turned
                step.note(event, device=watch.device.id, component=component, quantity=name)
            if field.stuck_after:
                stuck.append(trace.stuck)
        if stuck:
            values[STUCK] = float(any(stuck))
        return tuple(doubted), quality

    def _look_back(
        self, step: Step, watch: Watch, subject: Subject, values: Mapping[str, float], measured_ns: int
    ) -> None:
        """What would have fired, had this sample come in time: it is told to the log, and to nobody."""
        for judge in subject.judges:
            value = values.get(judge.quantity)
            if value is None:
                continue
            for level, at_ns in would_have_fired(self.state.past, judge, value, measured_ns):
                step.note(
                    "would_have_fired", rule=judge.rule.id, device=watch.device.id, quantity=judge.quantity,
                    component=judge.key.rpartition("|")[2], alert_level=level.word,
                    instant=local(at_ns, self.world.timezone).isoformat(timespec="seconds"),
                )  # fmt: skip

    # ------------------------------------------------------------ one after the other

    def _hold(self, step: Step, watch: Watch, held: Held) -> None:
        """Keeps a reading until its turn: `reorder` after its instant, so that order of arrival is none."""
        waiting = watch.heard.held
        if waiting and held.measured_ns < waiting[-1].measured_ns:
            step.note("reading_reordered", device=watch.device.id, component=held.component)
        watch.heard.held = sorted([*waiting, held], key=lambda one: (one.at, one.measured_ns))
        self._await_turn(watch)

    def _await_turn(self, watch: Watch) -> None:
        if watch.heard.held:
            self._push(watch.heard.held[0].at + watch.reorder_ns, "held", watch.device.id)

    def _turn_due(self, step: Step, due: int, device: str) -> None:
        watch = self._watches[device]
        held = watch.heard.held
        while held and held[0].at + watch.reorder_ns <= due:
            self._take_turn(step, watch, held.pop(0), watch.reorder_ns)
        self._await_turn(watch)

    def _take_turn(self, step: Step, watch: Watch, held: Held, waited_ns: int = 0) -> None:
        watch.heard.newest_ns[held.component] = held.measured_ns
        self._believe(step, watch, held, waited_ns)

    def _believe(self, step: Step, watch: Watch, held: Held, waited_ns: int = 0) -> None:
        """What is in order, or has no order: it is news, and rules judge it as of its instant."""
        subject, age_ns = watch.subject(held.component, self._make_subject), step.at - held.at
        component, values, doubted = held.component, held.values, held.doubted
        self._judge(step, watch, subject, component, values, age_ns, doubted, waited_ns)
        if watch.ends_ns:
            self._lasts(watch, component, values, held.at, step.at)

    def _refuse(self, step: Step, index: int, device: str, fault: Fault) -> None:
        step.effects.append(Refused(index, fault.code, device, fault.field, fault.reason))
        step.note("payload_refused", code=fault.code, device=device, field=fault.field, reason=fault.reason)

    def _refuse_whole(self, step: Step, index: int, device: str, fault: Fault) -> None:
        self._refuse(step, index, device, fault)
        step.effects.append(Marked(index, ALL, Quality.GOOD, store=False))

    # ------------------------------------------------------------ judging

    def _judge(
        self,
        step: Step,
        watch: Watch,
        subject: Subject,
        component: str,
        values: dict[str, float],
        age_ns: int,
        doubted: tuple[str, ...] = (),
        waited_ns: int = 0,
    ) -> None:
        """`waited_ns` of its age it has waited here for what would take it back."""
        tracks = self.state.tracks
        for judge in subject.judges:
            value = values.get(judge.quantity)
            if value is None:
                continue  # unknown moves nothing
            if judge.low <= value <= judge.high and not (subject.astir and judge.key in tracks):
                continue
            track = tracks.get(judge.key)
            if track is None:
                track = self._new_track(judge.rule, judge.key, watch.device.id, component)
                subject.astir += 1
            if subject.derived is not None:
                track.evidence = subject.derived.evidence(judge.quantity)
            self._apply(step, judge, track, value, age_ns, judge.quantity in doubted, waited_ns)

    def _new_track(self, rule: Rule, key: str, device: str, component: str) -> Track:
        track = Track(rule.id, device, component, [Standing(limit.level) for limit in rule.limits])
        self.state.tracks[key] = track
        return track

    def _apply(
        self,
        step: Step,
        judge: Judge,
        track: Track,
        value: float,
        age_ns: int,
        doubted: bool = False,
        waited_ns: int = 0,
    ) -> None:
        """One value moves every level of one rule; a doubted one those that the rule lets it move."""
        rule, at, bad_again = judge.rule, step.at - age_ns, False
        measured_ns, late_ns = step.wall_ns - age_ns, age_ns - waited_ns
        counts = judge.counts_at(measured_ns)
        not_before = step.at + _settle_ns(late_ns) if late_ns > LATE_NS else AT_ONCE
        believed = moved = False
        for limit, one in zip(rule.limits, track.standings, strict=True):
            was, waits = one.phase, one.not_before
            verdict = judge.verdict(limit, value, was in ACTIVE, counts, measured_ns)
            if doubted:
                verdict = judge.despite(limit, verdict)
            believed |= verdict is not Verdict.UNKNOWN
            turn(one, verdict, at, not_before)
            if was is one.phase and verdict is Verdict.BAD:
                one.not_before = AT_ONCE  # said twice: no need to wait whether it is taken back
            expire(one, int(limit.hold_s * SECOND), _clear_ns(rule), at)
            bad_again |= was is Phase.CLEARING and one.phase is Phase.FIRING
            moved |= was is not one.phase or waits != one.not_before
        if believed:
            track.value = value
            track.count += judge.beyond(value, measured_ns)
        if moved or judge.timed or track.alert not in self.state.alerts:  # else it stands as it stood
            self._moved(step, rule, judge.key, track, bad_again)

    def _moved(self, step: Step, rule: Rule, key: str, track: Track, bad_again: bool = False) -> None:
        """After standings have moved: alerts and cases follow, timers are set, a calm track goes."""
        self.cases.level_moved(step, track, rule)
        alert = self.state.alerts.get(track.alert)
        if bad_again and alert is not None:
            self.cases.bad_again(step, alert)
        if self._astir(key, track):
            self._push_track(key, track, rule)
            return
        del self.state.tracks[key]
        watch = self._watches[track.device]
        if is_silence(rule):
            watch.quiet = any(f"{other.id}|{track.device}|" in self.state.tracks for other in watch.silence)
            watch.look_up()
        else:
            watch.subjects[track.component].astir -= 1

    def _astir(self, key: str, track: Track) -> bool:
        """A level is not calm, or a value is beyond its limit and only the hour makes it good."""
        if any(one.phase is not Phase.CALM for one in track.standings):
            return True
        judge = self._judges.get(key)
        return bool(judge and judge.timed and track.value is not None and judge.beyond(track.value))

    # ------------------------------------------------------------ silence

    def _link(self, link: Link, heard_at: int) -> None:
        state = self.state
        if state.link_up:
            state.deaf_since = heard_at if link.up else link.at  # up again: the disk was full meanwhile
        if link.up:
            state.listening_since = link.at
            state.patient_until = link.at + _settle_ns(link.at - state.deaf_since)
            for watch in self._watches.values():
                self._await(watch)
        elif link.at >= state.patient_until:
            state.patient_until = link.at + LINE_NS
        state.link_up = link.up
        for key, track in state.tracks.items():
            self._push_track(key, track, self.cases.rules[track.rule])  # patience may end sooner now
        self._resume_lasting()

    def _await(self, watch: Watch) -> None:
        """Arms the first instant at which the device may have been silent too long."""
        device, since = watch.device.id, None
        if self._is_dark_group(device):
            since = max(self.state.groups[device].since_at, self.state.listening_since)
        elif not self._is_held(watch):
            since = self._since(watch)
        spans = watch.spans()
        if since is not None and spans:
            later = (since + span for span in spans if since + span > self.state.at)
            due = next(later, since + spans[0])
            if watch.works and since + spans[0] <= self.state.at:  # it may wait for the end of works
                look = _next_look(self.state.at)
                due = min(due, look) if due > self.state.at else look
            self._push(due, "silence", device)

    def _since(self, watch: Watch) -> int:
        """Silence counts from its last word, or from when we, or what it speaks through, could hear again."""
        group = self.state.groups.get(watch.device.behind)
        back_at = group.back_at if group else watch.heard.seen_at
        return max(watch.heard.seen_at, self.state.listening_since, back_at)

    def _silence_due(self, step: Step, due: int, device: str) -> None:
        """Looks whether a device has been silent too long; while we cannot hear, silence proves nothing."""
        if not self.state.link_up:
            return  # the link's return sets the next one
        watch = self._watches[device]
        if self._is_dark_group(device):
            self._judge_group(step, watch, due)
            return
        if not self._speaks(watch):
            self._push(due + watch.spans()[0], "silence", device)
            return
        since = self._since(watch)
        too_long = any(due - since >= span for span in watch.spans())
        if too_long and self._falls_with_its_group(step, watch, due):
            return
        for rule in watch.silence:
            self._judge_silence(step, watch, rule, due - since, watch.heard.seen_at)
        self._look_again(step, watch, since, due)

    def _look_again(self, step: Step, watch: Watch, since: int, due: int) -> None:
        """At its next span; while works go on, every minute, so that their end is seen."""
        later = [since + span for span in watch.spans() if since + span > due]
        if held_at(watch.works, step.wall_ns) is not Counts.FULLY:
            later = [min([*later, _next_look(step.at)])]
        if later:
            self._push(later[0], "silence", watch.device.id)

    def _judge_silence(
        self, step: Step, watch: Watch, rule: Rule, silent_ns: int, heard_at: int, count: int = 0
    ) -> None:
        """`count` devices are silent behind this one, which is told of at once, at its lowest level."""
        late = [self._too_long(watch, limit, silent_ns) for limit in rule.limits]
        if count:
            late[0] = True
        counts = held_at(watch.works, step.wall_ns)
        late = [bad and not counts.holds(one.level) for one, bad in zip(rule.limits, late, strict=True)]
        key = f"{rule.id}|{watch.device.id}|"
        track = self.state.tracks.get(key)
        if not any(late):
            return
        if track is None:
            track = self._new_track(rule, key, watch.device.id, "")
            watch.quiet = True
            watch.look_up()
        track.heard_at, track.count = heard_at, max(track.count, count)
        bad_again = False
        for limit, one, bad in zip(rule.limits, track.standings, late, strict=True):
            if bad:
                bad_again |= one.phase is Phase.CLEARING
                turn(one, Verdict.BAD, step.at)
                expire(one, int(limit.hold_s * SECOND), _clear_ns(rule), step.at)
        self._moved(step, rule, key, track, bad_again)

    def _too_long(self, watch: Watch, limit: Limit, silent_ns: int) -> bool:
        span = span_ns(limit, watch.interval_ns())
        return span is not None and silent_ns >= span

    def _spoke(self, step: Step, watch: Watch) -> None:
        """A device that was silent has spoken: its rules of silence begin to clear."""
        for rule in watch.silence:
            key = f"{rule.id}|{watch.device.id}|"
            track = self.state.tracks.get(key)
            if track is not None:
                for one in track.standings:
                    turn(one, Verdict.GOOD, step.at)
                    expire(one, 0, _clear_ns(rule), step.at)
                self._moved(step, rule, key, track)
        self._await(watch)

    def _learn(self, step: Step, watch: Watch) -> None:
        """How often it speaks; a pause that we did not hear, or called silence, is no interval."""
        heard = watch.heard
        if heard.seen_at >= self.state.listening_since and not watch.quiet and not watch.dark:
            heard.intervals = note_interval(heard.intervals, step.at - heard.seen_at)
            heard.seen_at = step.at
            self._await(watch)  # it may have become shorter: the sooner one counts

    # ------------------------------------------------------------ the silence of many

    def _group(self) -> None:
        """Who speaks through whom: silence of most behind one gateway is the gateway's."""
        self._behind: dict[str, list[Watch]] = {}
        for watch in self._watches.values():
            if watch.silence and watch.device.behind in self._watches:
                self._behind.setdefault(watch.device.behind, []).append(watch)
        for name, members in list(self._behind.items()):
            if len(members) < GROUP_LEAST or not self._watches[name].silence:
                del self._behind[name]
        for name in [name for name in self.state.groups if name not in self._behind]:
            del self.state.groups[name]
        for name, group in self.state.groups.items():
            self._mark_dark(name, group)

    def _mark_dark(self, name: str, group: Group) -> None:
        for member in self._behind[name]:
            member.dark = group.dark and member.heard.seen_at < group.dark_at
            member.look_up()

    def _is_held(self, watch: Watch) -> bool:
        return self._is_dark_group(watch.device.behind)

    def _is_dark_group(self, name: str) -> bool:
        group = self.state.groups.get(name)
        return group is not None and group.dark

    def _speaks(self, watch: Watch) -> bool:
        """Whether its own silence means something: what stands before others may never say a word itself."""
        return watch.device.id not in self._behind or bool(watch.heard.newest_ns)

    def _falls_with_its_group(self, step: Step, watch: Watch, due: int) -> bool:
        """Whether most of those behind its gateway are silent too: then that is told, once, and not this."""
        name = watch.device.behind
        members = self._behind.get(name)
        if members is None or self._is_held(watch):
            return members is not None
        dark = [one for one in members if self._is_dark(one, due)]
        if 2 * len(dark) <= len(members):
            return False
        group = self.state.groups[name] = Group(
            dark=True, dark_at=due, count=len(dark),
            since_at=max(map(self._since, dark)), heard_at=max(one.heard.seen_at for one in dark),
        )  # fmt: skip
        self._mark_dark(name, group)
        step.note("group_silent", device=name, count=len(dark))
        self._judge_group(step, self._watches[name], due)
        return True

    def _is_dark(self, watch: Watch, due: int) -> bool:
        """Half of what would make it an alert of its own, and more than what it takes between two words:
        reports of healthy neighbours are never so old.
        """
        spans, silent_ns = watch.spans(), due - self._since(watch)
        return bool(spans) and 2 * silent_ns >= spans[0] and silent_ns > watch.interval_ns()

    def _judge_group(self, step: Step, watch: Watch, due: int) -> None:
        """The gateway's own rules of silence, by the words of those behind it."""
        group = self.state.groups.get(watch.device.id)
        if group is None or not group.dark:
            return
        since = max(group.since_at, self.state.listening_since)
        for rule in watch.silence:
            self._judge_silence(step, watch, rule, due - since, group.heard_at, group.count)
        self._look_again(step, watch, since, due)

    def _speaks_again(self, step: Step, watch: Watch) -> None:
        """One of a silent group has spoken; with half of them back, each of the others is watched alone."""
        watch.dark = False
        watch.look_up()
        name = watch.device.behind
        group, members = self.state.groups[name], self._behind[name]
        if 2 * sum(one.heard.seen_at >= group.dark_at for one in members) < len(members):
            return
        group.dark, group.back_at = False, step.at
        self._mark_dark(name, group)
        step.note("group_back", device=name, count=len(members))
        gateway = self._watches[name]
        if self._speaks(gateway) and any(step.at - self._since(gateway) >= one for one in gateway.spans()):
            self._await(gateway)  # others carry their words: it is silent itself
        else:
            self._spoke(step, gateway)
        for member in members:
            self._await(member)

    # ------------------------------------------------------------ events that never say that they are over

    def _lasts(self, watch: Watch, component: str, values: dict[str, float], said_at: int, now: int) -> None:
        """What is on lasts until so long after its last word; what is off is over already."""
        for quantity, value in values.items():
            key = f"{watch.device.id}|{component}|{quantity}"
            if value > 0 and QUANTITIES[quantity].is_event:
                ripe = now + watch.ends_ns
                again = key in self.state.lasting
                self.state.lasting[key] = Lasting(said_at + watch.ends_ns, again, ripe)
                self._push(ripe, "end", key)
            else:
                self.state.lasting.pop(key, None)

    def _end_due(self, step: Step, due: int, key: str) -> None:
        """Judges a 0 that the device never sends, as of the instant at which it became true."""
        lasting = self.state.lasting.get(key)
        if lasting is None:
            return
        until = lasting.until
        ripe = max(
            until, lasting.ripe, self.state.patient_until
        )  # while we are deaf its next word may be under way
        if due < ripe:
            self._push(ripe, "end", key)
            return
        del self.state.lasting[key]
        device, component, quantity = key.split("|")
        watch = self._watches[device]
        subject = watch.subject(component, self._make_subject)
        step.effects.append(Ended(device, component, quantity, step.wall_ns - (step.at - until)))
        self._judge(step, watch, subject, component, {quantity: 0.0}, step.at - until)

    def _unconfirmed(self, track: Track, rule: Rule) -> bool:
        """Whether a hold that has run out waits for one more word, or for the end.

        What repeats itself counts up to its last word: 15 s in the lift are not 20 s only because 10 s had to
        be waited for. A long `ends_after` is for what says its end, should that be lost.
        """
        lasting = self.state.lasting.get(f"{track.device}|{track.component}|{rule.quantity}")
        held = [
            one.since + int(limit.hold_s * SECOND)
            for limit, one in zip(rule.limits, track.standings, strict=True)
            if one.phase is Phase.PENDING
        ]
        if lasting is None or not held:
            return False
        repeats = lasting.repeated and self._watches[track.device].ends_ns <= REPEATS_NS
        return repeats or min(held) > lasting.until  # over before its hold is, though its end is not ripe

    def _resume_lasting(self) -> None:
        """After a start or a change of World; what no longer ends by itself is left to say so."""
        lasting = self.state.lasting
        for key in [key for key in lasting if not self._ends(key.partition("|")[0])]:
            del lasting[key]
        for key, one in lasting.items():
            self._push(max(one.until, one.ripe, self.state.patient_until), "end", key)

    def _ends(self, device: str) -> bool:
        return device in self._watches and self._watches[device].ends_ns > 0

    # ------------------------------------------------------------ time

    def _advance(self, step: Step) -> None:
        """Everything that was due, in the order in which it was."""
        while self._timers and self._timers[0][0] <= step.at:
            due, kind, key = heapq.heappop(self._timers)
            if self._armed.get((kind, key)) != due:
                continue  # an earlier one took its place
            del self._armed[kind, key]
            try:
                self._due(step, due, kind, key)
            except Exception as error:  # it comes before every event: left alone it would stop them all
                step.note("timer_failed", kind=kind, error=error)
            self._arm(step)

    def _due(self, step: Step, due: int, kind: str, key: str) -> None:
        """What was due at an instant and no more: a stale timer must not change the order."""
        if kind == "climb":
            self.cases.climb(step, key, due)
        elif kind == "rejudge":
            self._rejudge(step, key)
        else:
            TIMED[kind](self, step, due, key)

    def _track_due(self, step: Step, due: int, key: str) -> None:
        track = self.state.tracks.get(key)
        if track is None:
            return
        if due < self.state.patient_until:
            self._push(self.state.patient_until, "track", key)
            return
        rule = self.cases.rules[track.rule]
        if self._unconfirmed(track, rule):
            return
        for limit, one in zip(rule.limits, track.standings, strict=True):
            expire(one, int(limit.hold_s * SECOND), _clear_ns(rule), due)
        self._moved(step, rule, key, track)

    def _rejudge(self, step: Step, key: str) -> None:
        """The last value again, at another hour: a window may have opened or closed since."""
        track, judge = self.state.tracks.get(key), self._judges.get(key)
        if track is not None and judge is not None and track.value is not None:
            track.count -= judge.beyond(track.value, step.wall_ns)  # the same value is not counted twice
            self._apply(step, judge, track, track.value, 0)

    def _push_track(self, key: str, track: Track, rule: Rule) -> None:
        for limit, one in zip(rule.limits, track.standings, strict=True):
            due = due_at(one, int(limit.hold_s * SECOND), _clear_ns(rule))
            if due is not None:
                self._push(max(due, self.state.patient_until), "track", key)
        if key in self._judges and self._judges[key].timed:
            self._push(_next_look(self.state.at), "rejudge", key)

    def _push(self, due: int, kind: str, key: str) -> None:
        """At most one timer of a kind and key counts, the earliest; whoever handles it sets the next."""
        armed = self._armed.get((kind, key))
        if armed is None or due < armed:
            self._armed[kind, key] = due
            heapq.heappush(self._timers, (due, kind, key))

    def _arm(self, step: Step) -> None:
        for timer in step.timers:
            self._push(*timer)
        step.timers.clear()


TIMED = {  # kind of timer -> who handles it
    "silence": Engine._silence_due,
    "track": Engine._track_due,
    "end": Engine._end_due,
    "held": Engine._turn_due,
}


def numbers(model: Model) -> bool:
    """Whether its messages must be known by their number: a device without a clock that says one again, and
    a network server that two gateways tell of one frame. With the device's own instant that is enough.
    """
    codec = model.codec
    return bool(codec.envelope or (codec.sequence and not codec.time))


def asks_more(field: Field) -> bool:
    """Whether a value of it is compared with those before."""
    return bool(field.stuck_after or field.spike_window)


def has_component(model: Model, component: str) -> bool:
    """Whether a device of this model has that part."""
    kind, _, number = component.rpartition("-")
    if not component:
        return True
    return any(
        part.kind == kind and number.isdecimal() and 1 <= int(number) <= part.count
        for part in model.components
    )


def _settle_ns(age_ns: int) -> int:
    """How long to wait for a word that takes back one of this age: the older, the more is still to come."""
    return max(SETTLE_NS, min(age_ns // 100, SETTLE_NS_MOST))


def _next_look(at: int) -> int:
    """Whole multiples, so that an engine made anew looks in the very instants in which this one would."""
    return (at // REJUDGE_NS + 1) * REJUDGE_NS


def _clear_ns(rule: Rule) -> int:
    return int(rule.clear_hold_s * SECOND)


def ranges(fields: Iterable[Field]) -> dict[str, tuple[float, float]]:
    """What each quantity can be: physically, and for this make of device."""
    found = {}
    for field in fields:
        known = QUANTITIES[field.quantity]
        low, high = known.low, known.high
        low = low if field.low is None else max(low, field.low)
        high = high if field.high is None else min(high, field.high)
        found[field.quantity] = low, high
    return found


def bands(possible: Mapping[str, tuple[float, float]], judges: Iterable[Judge]) -> Bands:
    """Each quantity with the interval in which it is possible and every rule calls it good."""
    found = dict(possible)
    for judge in judges:
        if judge.quantity in found:
            low, high = found[judge.quantity]
            found[judge.quantity] = max(low, judge.low), min(high, judge.high)
    return tuple((name, low, high) for name, (low, high) in found.items())
