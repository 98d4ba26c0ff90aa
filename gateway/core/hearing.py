"""From a message to what rules judge: whose it is, what it says, and what that is worth."""

from __future__ import annotations

from gateway.core.caseload import Step
from gateway.core.decoding import Decoder
from gateway.core.derived import Derived
from gateway.core.doubts import STUCK, Trace, doubt
from gateway.core.judging import Judging
from gateway.core.lasting import Ending
from gateway.core.model import (
    SECOND,
    Fault,
    Marked,
    Message,
    Messages,
    PayloadError,
    Quality,
    Reading,
    Refusal,
    Refused,
)
from gateway.core.overdue import Overdue, is_overdue
from gateway.core.presence import ONLINE, is_will
from gateway.core.quality import (
    AHEAD_NS,
    EVENTS,
    NEVER_SET_NS,
    Heard,
    Held,
    Worth,
    apart,
    assess,
    name_of_skew,
    note_instant,
    said_again,
)
from gateway.core.repeats import Repeats
from gateway.core.silences import Silences
from gateway.core.state import State
from gateway.core.timers import Timers
from gateway.core.units import QUANTITIES
from gateway.core.watches import Subject, Watch, Watches

# After we hear again it may take as long as we did not hear until all that the broker kept is here: it hands
# over faster than it was told. Within these bounds.
KEPT_NS_LEAST, KEPT_NS = 60 * SECOND, 600 * SECOND
TOPICS_MOST = 10_000  # topics remembered beyond one a device: a + in a filter takes any number
ALL = "*"


class Hearing:
    """Every message of one World's devices. `readings` are those of each message of the last event."""

    def __init__(
        self,
        state: State,
        decoder: Decoder,
        watches: Watches,
        judging: Judging,
        silences: Silences,
        ending: Ending,
        repeats: Repeats,
        timers: Timers,
    ) -> None:
        self.state, self.decoder, self.timers, self._of = state, decoder, timers, watches.of
        self._judging, self._silences, self._ending, self._repeats = judging, silences, ending, repeats
        self._by_topic: dict[str, Watch] = {}
        self._kept_ns = 0  # how much older than its device's lateness a word may be that the broker kept
        self.readings: list[list[Reading]] = []
        self.asides: list[Message] = []  # about pictures; whoever reads them takes them away
        self._overdue = Overdue(watches.world, watches.of)
        self._keeping = False  # what is heard lay in quarantine
        for watch in self._of.values():
            self._await_turn(watch)

    def messages(self, step: Step, event: Messages) -> None:
        self._repeats.begin(event.items)
        self._overdue.look(event.wall_ns)
        self._kept_ns = self._judging.kept_ns = self._kept_for_ns(step.at)
        known = self._repeats.delivered_before(event, self.state.deaf_since)
        by_topic, judging, received = self._by_topic, self._judging, event.wall_ns - 1
        decoded: list[list[Reading]] = []
        self.readings, kept, self._keeping = decoded, event.kept, event.kept
        faults: list[Fault] = []  # a new list after each message that had some: nearly none has
        for index, message in enumerate(event.items):
            received += 1
            if faults:
                faults = []
            watch = by_topic.get(message.topic) or self._watch_of(step, message.topic, received)
            if watch is None:
                decoded.append(self._aside(step, index, message, received, index in known))
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
            if judging.unsettled:
                judging.settle(step)
        self._repeats.end(event.at)

    def _kept_for_ns(self, at: int) -> int:
        """How long the broker may have kept what comes now: it is late by our fault, and may still stand."""
        since, back = self.state.deaf_since, self.state.listening_since
        takes = min(max(back - since, KEPT_NS_LEAST), KEPT_NS)
        return at - since if since < back and at - back <= takes else 0

    def _watch_of(self, step: Step, topic: str, received: int) -> Watch | None:
        """The watch of the device that speaks on a topic, remembered for the next message."""
        device = self.decoder.device_of(topic)
        if device is None or self.decoder.is_aside(topic):
            return None
        if len(self._by_topic) >= len(self._of) + TOPICS_MOST:
            self._by_topic.clear()
        watch = self._of[device.id]
        if watch.swaps:  # looked at again with every message until the last of them has come
            self._swap(step, watch, received)
        else:
            self._by_topic[topic] = watch
        return watch

    def _aside(self, step: Step, index: int, message: Message, received: int, known: bool) -> list[Reading]:
        """A message that is none of a device's payloads: a birth, a will, or a stranger's."""
        device = self.decoder.device_of(message.topic)
        try:
            readings = self.decoder.decode(message, received)
        except PayloadError as error:
            fault = Fault(error.code, error.field, error.reason)
            self._refuse_whole(step, index, "" if device is None else device.id, fault)
            return []
        assert device is not None
        if not readings:  # about a picture, and none of it is for the rules
            self.asides.append(message)
            return []
        watch = self._of[device.id]
        if self._keeping:
            self._keep(step, index, watch, readings, [])
        elif message.retained or known:
            self._unusual(step, index, watch, readings, message, [], known)
        else:
            if is_will(readings[0]):  # no word of its own: its silence counts on
                watch.heard.offline = True
                watch.look_up()
            else:
                self._unusual(step, index, watch, [], message, [], known)
            self._heed(step, index, watch, readings[0], message, known)
        self._judging.settle(step)
        return readings

    def _is_back(self, step: Step, watch: Watch) -> None:
        """Whatever it says itself takes its will back."""
        watch.heard.offline = False
        watch.look_up()
        self._judging.judge(step, watch, watch.subject(""), "", {ONLINE: 1.0}, 0)

    def _swap(self, step: Step, watch: Watch, received: int) -> None:
        """Another sensor speaks for the device: its clock and its numbers have nothing to do with the old."""
        come = [at_ns for at_ns in watch.swaps if at_ns <= received]
        if come:
            watch.swaps = watch.swaps[len(come) :]
            old = watch.heard
            watch.heard = Heard(old.seen_at, swapped_ns=come[-1], held=old.held, intervals=old.intervals)
            watch.heard.offline = old.offline
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
            subject = watch.subjects.get(component) or watch.subject(component)
            age_ns = reading.received_ns - measured_ns
            plausible = known_clock and -AHEAD_NS <= age_ns <= oldest_ns
            if not plausible or measured_ns <= newest.get(component, 0):
                self._heed(step, index, watch, reading, message, known=False)
            elif subject.calm(reading.values):
                newest[component] = measured_ns
            else:
                plain = subject.plain and not (reading.history or heard.held)
                asked = subject.asked(reading.values) if plain else None
                if asked is None:
                    self._heed(step, index, watch, reading, message, known=False)
                    continue
                newest[component] = measured_ns  # all that _heed would find out is known: it is good and news
                age_ns, values = max(age_ns, 0), reading.values
                if subject.derived is not None:
                    found = self._derive(step, index, reading, subject.derived, values, measured_ns)
                    if found:
                        values = values | found
                        asked = subject.asked(values)
                self._judging.judge(step, watch, subject, component, values, age_ns, asked=asked, index=index)
                if watch.ends_ns:
                    self._ending.note(watch, component, values, step.at - age_ns, step.at)

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
        for reading in readings if watch.overdue else ():
            if is_overdue(watch.overdue, reading):
                self._mark(step, index, reading, Worth(Quality.OVERDUE, judge=True))
        if message.retained:  # a state the broker remembers, not news: it proves no life and pages nobody
            for reading in readings:
                self._mark(step, index, reading, Worth(Quality.RETAINED, judge=False, store=reading.timed))
            return
        heard = watch.heard
        if watch.learns and not known:
            self._silences.learn(step, watch)
        heard.seen_at = step.at
        if heard.offline and not known:
            self._is_back(step, watch)
        known = known or (watch.numbered and bool(readings) and said_again(heard, readings[0]))
        if known or faults or watch.reorder_ns or any(one.history for one in readings):
            for reading in readings:
                self._heed(step, index, watch, reading, message, known)
        elif watch.plain:
            self._usual(step, index, watch, readings, message)
        else:
            for reading in readings:
                self._compare(step, index, watch, reading, message)
        if watch.quiet and not self._silences.is_dark_group(watch.device.id):
            self._silences.spoke(step, watch)
        if watch.dark:
            self._silences.speaks_again(step, watch)

    def _compare(self, step: Step, index: int, watch: Watch, reading: Reading, message: Message) -> None:
        """As _usual, for a device whose values are compared with those before."""
        heard, component, measured_ns = watch.heard, reading.component, reading.measured_ns
        subject = watch.subject(component)
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
            self._judging.judge(step, watch, subject, component, values, max(age_ns, 0), doubted, index=index)

    def _keep(
        self, step: Step, index: int, watch: Watch, readings: list[Reading], faults: list[Fault]
    ) -> None:
        """A message out of quarantine: its points are written as of then, and it tells nobody anything."""
        for fault in faults:
            self._refuse(step, index, watch.device.id, fault)
        for reading in readings:
            subject = watch.subject(reading.component)
            left_out = self._impossible(step, index, reading, subject)
            self._mark(step, index, reading, Worth(Quality.LATE, judge=False), left_out)

    def _heed(
        self, step: Step, index: int, watch: Watch, reading: Reading, message: Message, known: bool
    ) -> None:
        """A reading that is not plainly good and calm: what is it worth, and what does it say?"""
        heard, subject = watch.heard, watch.subject(reading.component)
        told = reading.timed and not reading.history and not known
        if told and note_instant(heard, reading, watch.lateness_ns):
            self._note_skew(step, watch, reading)
        known = known or self._repeats.said_before(watch, reading, message, index)
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
                overtaken = worth.quality is Quality.DISORDER
                component = reading.component
                self._judging.look_back(step, watch, subject, component, values, measured_ns, overtaken)
        elif not reading.timed or worth.arrival:
            self._believe(step, watch, held, index=index)
        elif worth.age_ns < watch.reorder_ns:
            self._hold(step, watch, held)
        else:
            self._take_turn(step, watch, held, index=index)

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

    def _hold(self, step: Step, watch: Watch, held: Held) -> None:
        """Keeps a reading until its turn: `reorder` after its instant, so that order of arrival is none."""
        waiting = watch.heard.held
        if waiting and held.measured_ns < waiting[-1].measured_ns:
            step.note("reading_reordered", device=watch.device.id, component=held.component)
        watch.heard.held = sorted([*waiting, held], key=lambda one: (one.at, one.measured_ns))
        self._await_turn(watch)

    def _await_turn(self, watch: Watch) -> None:
        if watch.heard.held:
            self.timers.push(watch.heard.held[0].at + watch.reorder_ns, "held", watch.device.id)

    def turn_due(self, step: Step, due: int, device: str) -> None:
        watch = self._of[device]
        held = watch.heard.held
        while held and held[0].at + watch.reorder_ns <= due:
            self._take_turn(step, watch, held.pop(0), watch.reorder_ns)
        self._judging.settle(step)
        self._await_turn(watch)

    def _take_turn(self, step: Step, watch: Watch, held: Held, waited_ns: int = 0, index: int = 0) -> None:
        watch.heard.newest_ns[held.component] = held.measured_ns
        self._believe(step, watch, held, waited_ns, index)

    def _believe(self, step: Step, watch: Watch, held: Held, waited_ns: int = 0, index: int = 0) -> None:
        """What is in order, or has no order: it is news, and rules judge it as of its instant."""
        subject, age_ns = watch.subject(held.component), step.at - held.at
        component, values, doubted = held.component, held.values, held.doubted
        self._judging.judge(step, watch, subject, component, values, age_ns, doubted, waited_ns, index=index)
        if watch.ends_ns:
            self._ending.note(watch, component, values, held.at, step.at)

    def _refuse(self, step: Step, index: int, device: str, fault: Fault) -> None:
        step.effects.append(Refused(index, fault.code, device, fault.field, fault.reason))
        step.note("payload_refused", code=fault.code, device=device, field=fault.field, reason=fault.reason)

    def _refuse_whole(self, step: Step, index: int, device: str, fault: Fault) -> None:
        self._refuse(step, index, device, fault)
        step.effects.append(Marked(index, ALL, Quality.GOOD, store=False))
