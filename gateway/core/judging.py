"""Values against rules: every level of every rule moves along its table, alerts and cases follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite

from gateway.core import chatter, edits
from gateway.core.alerts import (
    ACTIVE,
    AT_ONCE,
    UNENDED,
    Phase,
    Standing,
    drop_pending,
    due_at,
    expire,
    refit,
    reset,
    turn,
)
from gateway.core.calendars import local
from gateway.core.caseload import Caseload, Step
from gateway.core.conditions import ANYTHING, Judge, parsed
from gateway.core.lateness import Late, Queue
from gateway.core.model import SECOND, Level, Rule, Verdict, World
from gateway.core.past import would_have_fired
from gateway.core.silence import is_silence
from gateway.core.state import Cooling, State, Track
from gateway.core.steady import Steady, steady_of
from gateway.core.timers import Timers
from gateway.core.watches import Subject, Watch, Watches, has_component
from gateway.core.weighing import Seen

SETTLE_NS = 2 * SECOND  # a late word may be followed by the one that takes it back
SETTLE_NS_MOST = 60 * SECOND  # an hour of the broker's keeping comes in less
LATE_NS = 10 * SECOND  # from here on a word counts as late
REJUDGE_NS = 60 * SECOND  # how often a value waiting for its window's end is looked at again
WAKE_NS_LEAST = 1  # a window that empties now is looked at after this instant, once for each sample
LOOKED_AT = 2  # of what cools down, at each alert that ends: more than one, or they only become more
REPEATS_NS = 60 * SECOND  # what ends by itself within so long says its state again and again


class Judging:
    """The tracks of one state, judged by one World."""

    def __init__(self, world: World, state: State, watches: Watches, cases: Caseload, timers: Timers) -> None:
        self.world, self.state, self.cases, self.timers = world, state, cases, timers
        self._of, self._judges, self._rule_of = watches.of, watches.judges, watches.rule_of
        self._weighing = watches.weighing
        for key, due in state.waking.items():
            timers.push(due, "weigh", key)
        self._steady: dict[str, Steady] = {}  # by key of the judge, until its track moves
        self._gone: list[Track] = []
        self._rehomed: list[Track] = []  # of groups, whose device is none of them any more
        self._changed: list[str] = []  # tracks whose level an edit moved
        self.kept_ns = 0  # so much more than its lateness a value may be late that the broker kept
        for key, queue in state.queues.items():
            if queue.waiting:
                timers.push(queue.waiting[0].at, "turn", key)
        self.unsettled: dict[str, tuple[Judge, Watch, str, int, int]] = {}  # by key of the judge
        self._heard: set[str] = set()  # their components, and maybe some that have been weighed since
        self.sort_out_tracks()
        for key, track in state.tracks.items():
            self.attach(key, track)

    def judge(
        self,
        step: Step,
        watch: Watch,
        subject: Subject,
        component: str,
        values: dict[str, float],
        age_ns: int,
        doubted: tuple[str, ...] = (),
        waited_ns: int = 0,
        is_said: bool = True,
        asked: Sequence[Judge] | None = None,
        index: int = 0,
    ) -> None:
        """`waited_ns` of its age it has waited here for what would take it back. What nobody said, but time
        has ended, is never late. `asked`: subject.asked of the values, where that is known. `index` of the
        message in its event: two of one device that came together are two, a nanosecond apart.
        """
        if asked is None:
            asked = subject.asked(values)
        tracks, steadies = self.state.tracks, self._steady
        for judge in subject.judges if asked is None else asked:
            value, key = values.get(judge.quantity), judge.key
            if value is None:
                continue  # unknown moves nothing
            steady = steadies.get(key)
            if steady is None and judge.low <= value <= judge.high and key not in tracks:
                continue
            if judge.rule.confidence and not judge.believes(value, values):
                continue
            track = steady.track if steady else self._track(judge, watch, component)
            if subject.derived is not None:
                track.evidence = subject.derived.evidence(judge.quantity)
            if steady is not None and steady.holds(value) and judge.quantity not in doubted:
                self._note_reading(step, track, value, steady.beyond)
            elif self._apply(step, judge, track, value, age_ns, judge.quantity in doubted, waited_ns):
                self._settle_in(judge, track, value)
        if subject.orderly:
            measured_ns = step.wall_ns + index - age_ns
            late_ns = age_ns - waited_ns if is_said else 0
            self._queue(step, watch, subject, component, values, measured_ns, late_ns, doubted)
        if subject.weighs:
            if component in self._heard and any(one[2] == component for one in self.unsettled.values()):
                self.settle(step)  # an older sample of the same message is not judged by what this one says
            sound: Mapping[str, float] = values
            if doubted:
                sound = {name: value for name, value in values.items() if name not in doubted}
            self.remember(step, watch, subject, sound, step.wall_ns + index - age_ns, index)
            calm, disabled, said = self._weighing.calm, self.state.disabled, sound.keys()
            for judge, read in subject.weighed:
                key = judge.key
                if key not in calm and key not in disabled and not said.isdisjoint(read):
                    self.unsettled[key] = judge, watch, component, age_ns, waited_ns
                    self._heard.add(component)

    def _track(self, judge: Judge, watch: Watch, component: str) -> Track:
        """Its track; a new one for what was calm until now."""
        track = self.state.tracks.get(judge.key)
        if track is None:
            track = self.new_track(judge.rule, judge.key, watch.device.id, component)
            watch.subject(component).stir(judge.key)
        return track

    def _settle_in(self, judge: Judge, track: Track, value: float) -> None:
        """A value that has left everything as it was: the next one like it is only noted."""
        steady = steady_of(judge, track, value)
        if steady is not None:
            self._steady[judge.key] = steady

    # ------------------------------------------------------------ rules with a lateness

    def _queue(
        self,
        step: Step,
        watch: Watch,
        subject: Subject,
        component: str,
        values: Mapping[str, float],
        measured_ns: int,
        late_ns: int,
        doubted: tuple[str, ...] = (),
    ) -> None:
        """A value waits for its turn; one that is later than its rule allows is only looked back at."""
        at = step.at - (step.wall_ns - measured_ns)
        for judge in subject.orderly:
            value = values.get(judge.quantity)
            if value is None or not judge.believes(value, values):
                continue
            queue = self._queue_of(judge)
            in_time = late_ns <= judge.lag_ns + self.kept_ns
            if in_time and queue.add(Late(at, measured_ns, value, judge.quantity in doubted)):
                due = max(queue.waiting[0].at + judge.lag_ns, self.state.patient_until)
                self.timers.push(due, "turn", judge.key)
            else:
                self._would_have_fired(step, watch, component, judge, value, measured_ns)

    def _queue_of(self, judge: Judge) -> Queue:
        queue, question = self.state.queues.get(judge.key), edits.question(judge.rule)
        if queue is None or queue.question != question:
            queue = self.state.queues[judge.key] = Queue(question)
        return queue

    def turn_due(self, step: Step, due: int, key: str) -> None:
        """Judges what has waited for long enough, each value as of its instant."""
        _, name, component = key.split("|")
        watch, queue = self._of.get(name), self.state.queues[key]
        judge = self._judge_of(watch, key, component)
        if watch is None or judge is None or queue.question != edits.question(judge.rule):
            del self.state.queues[key]  # its rule or device is gone, or asks something else now
            return
        for one in queue.leave(due - judge.lag_ns):
            age_ns = step.at - one.at
            if judge.key in self.state.tracks or judge.beyond(one.value, one.measured_ns):
                track = self._track(judge, watch, component)
                self._apply(step, judge, track, one.value, age_ns, one.doubted, waited_ns=age_ns)
        if queue.waiting:
            self.timers.push(queue.waiting[0].at + judge.lag_ns, "turn", key)

    def _judge_of(self, watch: Watch | None, key: str, component: str) -> Judge | None:
        if watch is None or not has_component(watch.model, component):
            return None
        watch.subject(component)  # its judges are made with it
        return self._judges.get(key)

    def _lag_ns(self, key: str) -> int:
        """How far behind the instants a track is judged; silence is not."""
        judge = self._judges.get(key)
        return judge.lag_ns if judge is not None else 0

    # ------------------------------------------------------------ expressions

    def settle(self, step: Step) -> None:
        """Weighs what the readings of a message were about, once all of them are known: a slot that is
        compared with its neighbours is not compared with those of a minute ago. A group is weighed once.
        """
        for judge, watch, component, age_ns, waited_ns in self.unsettled.values():
            self._weigh(step, judge, watch, component, age_ns, waited_ns)
        self.unsettled.clear()
        self._heard.clear()

    def remember(
        self,
        step: Step,
        watch: Watch,
        subject: Subject,
        values: Mapping[str, float],
        measured_ns: int,
        index: int = 0,
    ) -> None:
        """Keeps what expressions ask for; a window that cannot hold it disables what goes by it."""
        for failed in self._weighing.note(subject.seen, values, measured_ns, step.wall_ns + index):
            for judge, _ in subject.weighed:
                if failed.key in {one.key for one in parsed(judge.rule.when).windows}:
                    self._disable(step, judge, watch, failed)

    def _weigh(
        self,
        step: Step,
        judge: Judge,
        watch: Watch,
        component: str,
        age_ns: int,
        waited_ns: int = 0,
        is_reading: bool = True,
    ) -> None:
        """One value of an expression, as of `age_ns` ago; one that fails is disabled, and no other. What a
        group says is true no longer than the newest of what it goes by.
        """
        seen, now_ns = watch.subject(component).seen, step.wall_ns - age_ns
        track = self.state.tracks.get(judge.key)
        try:
            value = self._weighing.value(judge, seen, now_ns)
            if track is None and value is not None and judge.low <= value <= judge.high:
                stays = judge.goes_by_states and self._weighing.note_calm(judge, seen)
                if stays or not judge.restless:
                    self.state.waking.pop(judge.key, None)
                    return  # calm before and after: time alone moves nothing either
            bounds = self._weighing.bounds(judge, seen, now_ns) if value is None else None
        except Exception as error:
            self._disable(step, judge, watch, error)
            return
        if track is not None:
            self._note_known(step, judge, track, seen, now_ns, value is not None or bounds is not None)
        if bounds is not None:
            value = bounds[0] if isfinite(bounds[0]) else bounds[1]  # the part that is known
        if judge.members:
            age_ns = max(min(age_ns, step.wall_ns - self._weighing.newest_ns(judge)), 0)
        if value is not None and (track is not None or judge.beyond(value)):
            track = self._track(judge, watch, component)
            track.evidence = self._weighing.evidence(judge, seen, now_ns)
            self._apply(
                step, judge, track, value, age_ns, waited_ns=waited_ns, is_reading=is_reading, bounds=bounds
            )
        self._wake_later(step, judge, seen, now_ns)

    def _note_known(
        self, step: Step, judge: Judge, track: Track, seen: Seen, now_ns: int, known: bool
    ) -> None:
        """What is not known clears nothing: the case of an alert that goes by nothing any more says so."""
        if track.unknown is known and track.alert:
            track.unknown = not known
            wanting = "" if known else self._weighing.wanting(judge, seen, now_ns)
            self.cases.known(step, track, known, wanting)

    def _wake_later(self, step: Step, judge: Judge, seen: Seen, now_ns: int) -> None:
        """Windows empty by themselves, and words grow old: that matters to what is astir, and where little
        is bad.
        """
        track = self.state.tracks.get(judge.key)
        if track is not None or judge.restless:
            found = [self._weighing.wakes_ns(judge, seen, now_ns)]
            if track is not None and track.alert:
                found.append(self._weighing.expires_ns(judge, seen, now_ns))
            wakes_ns = min((one for one in found if one is not None), default=None)
            if wakes_ns is not None:
                later_ns = max(wakes_ns - step.wall_ns + judge.lag_ns, WAKE_NS_LEAST)
                due = step.at + later_ns
                self.state.waking[judge.key] = due
                self.timers.push(due, "weigh", judge.key)
                return
        self.state.waking.pop(judge.key, None)

    def weigh_due(self, step: Step, due: int, key: str) -> None:
        """Looks again, though nobody spoke; while we cannot hear, time proves nothing."""
        wanted = self.state.waking.get(key)
        if wanted is None:
            return
        if wanted > due:  # put off since: a restarted engine knows of no earlier one, nor keeps another order
            self.timers.push(wanted, "weigh", key)
            return
        del self.state.waking[key]
        if due < self.state.patient_until or not self.state.link_up:
            self.state.waking[key] = later = max(self.state.patient_until, due + REJUDGE_NS)
            self.timers.push(later, "weigh", key)
            return
        _, name, component = key.split("|")
        judge = self._judges.get(key)
        device, component = judge.members[0] if judge and judge.members else (name, component)
        watch = self._of.get(device)
        if watch is not None and key not in self.state.disabled:
            watch.subject(component)
            if key in self._judges:
                judge = self._judges[key]
                self._weigh(step, judge, watch, component, step.at - due + judge.lag_ns, is_reading=False)

    def _disable(self, step: Step, judge: Judge, watch: Watch, error: Exception) -> None:
        """The rule judges this subject no more until its files change, and every other as before; what it
        has raised stands.
        """
        if judge.key not in self.state.disabled:
            self.state.disabled[judge.key] = f"{type(error).__name__}: {error}"
            step.note("rule_disabled", rule=judge.rule.id, device=watch.device.id, error=error)
            track = self.state.tracks.get(judge.key)
            if track is not None:
                self.cases.unjudged(step, track, self.state.disabled[judge.key])

    def new_track(self, rule: Rule, key: str, device: str, component: str) -> Track:
        standings = [Standing(limit.level) for limit in rule.limits]
        track = Track(rule.id, device, component, standings, question=edits.question(rule))
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
        is_reading: bool = True,
        bounds: tuple[float, float] | None = None,
    ) -> bool:
        """One value moves every level of one rule; a doubted one those that the rule lets it move. Looked at
        again only because time has passed, it is no further reading. One that is known in part moves the
        levels that all between its `bounds` would move. Returns whether it was believed, and moved nothing.
        """
        rule, at, bad_again = judge.rule, step.at - age_ns, False
        measured_ns, late_ns = step.wall_ns - age_ns, age_ns - waited_ns
        counts = judge.counts_at(measured_ns)
        not_before = step.at + settle_ns(late_ns) if late_ns > LATE_NS else AT_ONCE
        believed = moved = False
        cooling = self.state.cooling.get(judge.key) if rule.cool_down_s else None
        for limit, one in zip(rule.limits, track.standings, strict=True):
            was, waits = one.phase, one.not_before
            cool = cooled_at(cooling, one)
            if limit.readings and not is_reading and was not in ACTIVE:
                continue
            verdict = judge.verdict(limit, value, was in UNENDED, counts, measured_ns)
            if doubted:
                verdict = judge.despite(limit, verdict)
            if bounds is not None:
                verdict = judge.in_any_case(limit, bounds, was in UNENDED, counts, measured_ns)
            believed |= verdict is not Verdict.UNKNOWN
            turn(one, limit, verdict, at, max(not_before, cool))
            if was is one.phase and verdict is Verdict.BAD:
                one.not_before = cool  # said twice: no need to wait whether it is taken back
            if verdict is not Verdict.UNKNOWN:
                expire(one, limit, rule, at, track.quiet_ns)
            bad_again |= was is Phase.CLEARING and one.phase is Phase.FIRING
            moved |= was is not one.phase or waits != one.not_before
        if believed and is_reading:
            self._note_reading(step, track, value, judge.beyond(value, measured_ns))
        elif believed:
            track.value = value
        if moved or judge.timed or track.alert not in self.state.alerts:  # else it stands as it stood
            self.moved(step, rule, judge.key, track, bad_again)
            return False
        return believed

    def _note_reading(self, step: Step, track: Track, value: float, beyond: bool) -> None:
        track.value = value
        track.count += beyond
        sides = chatter.note_side(track.sides, beyond)
        if sides == track.sides:
            return  # all its readings were on this side
        track.sides = sides
        if track.alert and not track.chattering and chatter.crosses(sides):
            track.chattering = True
            self.cases.chatters(step, track)

    def moved(self, step: Step, rule: Rule, key: str, track: Track, bad_again: bool = False) -> None:
        """After standings have moved: alerts and cases follow, timers are set, a calm track goes."""
        self._steady.pop(key, None)
        if not track.alert and track.level() is not None:
            track.chattering |= chatter.note_raised(self.state.raised, key, step.at)
        before = self.state.alerts.get(track.alert)
        self.cases.level_moved(step, track, rule)
        alert = self.state.alerts.get(track.alert)
        if before is not None and alert is None and rule.cool_down_s:
            self._cool_down(step, rule, key, before.worst)
        if bad_again and alert is not None:
            self.cases.bad_again(step, alert)
        if self._astir(key, track):
            self.push_track(key, track, rule)
            return
        del self.state.tracks[key]
        watch = self._of[track.device]
        if is_silence(rule):
            watch.quiet = any(f"{other.id}|{track.device}|" in self.state.tracks for other in watch.silence)
            watch.look_up()
        else:
            watch.subjects[track.component].settle(key)

    def _cool_down(self, step: Step, rule: Rule, key: str, level: Level) -> None:
        """After an alert of a level. What has cooled down meanwhile is forgotten a few at a time, those first
        that were not looked at for longest: all of them after each of a thousand alerts are a million.
        """
        cooling = self.state.cooling
        cooling.pop(key, None)
        for name in list(islice(cooling, LOOKED_AT)):
            one = cooling.pop(name)
            if one.until > step.at:
                cooling[name] = one
        cooling[key] = Cooling(step.at - self._lag_ns(key) + int(rule.cool_down_s * SECOND), level)

    def _astir(self, key: str, track: Track) -> bool:
        """A level is not calm, or a value is beyond its limit and only the hour makes it good."""
        if any(one.phase is not Phase.CALM for one in track.standings):
            return True
        judge = self._judges.get(key)
        return bool(judge and judge.timed and track.value is not None and judge.beyond(track.value))

    def look_back(
        self,
        step: Step,
        watch: Watch,
        subject: Subject,
        component: str,
        values: Mapping[str, float],
        measured_ns: int,
        overtaken: bool,
    ) -> None:
        """What would have fired, had this sample come in time: it is told to the log, and to nobody. A rule
        with a lateness may still have a turn for one that was only overtaken.
        """
        if subject.weighs:
            self.remember(step, watch, subject, values, measured_ns)
        for judge in subject.judges if overtaken else (*subject.judges, *subject.orderly):
            value = values.get(judge.quantity)
            if value is not None and judge.believes(value, values):
                self._would_have_fired(step, watch, component, judge, value, measured_ns)
        if subject.orderly and overtaken:
            age_ns = step.wall_ns - measured_ns
            self._queue(step, watch, subject, component, values, measured_ns, age_ns)

    def _would_have_fired(
        self, step: Step, watch: Watch, component: str, judge: Judge, value: float, measured_ns: int
    ) -> None:
        for level, at_ns in would_have_fired(self.state.past, judge, value, measured_ns):
            step.note(
                "would_have_fired", rule=judge.rule.id, device=watch.device.id, quantity=judge.quantity,
                component=component, alert_level=level.word,
                instant=local(at_ns, self.world.timezone).isoformat(timespec="seconds"),
            )  # fmt: skip

    def track_due(self, step: Step, due: int, key: str) -> None:
        track = self.state.tracks.get(key)
        if track is None:
            return
        if due < self.state.patient_until:
            self.timers.push(self.state.patient_until, "track", key)
            return
        rule = self._rule_of(key, track)
        if self._unconfirmed(track, rule):
            return
        at, judge = due - self._lag_ns(key), self._judges.get(key)
        now_ns = step.wall_ns - (step.at - at)
        bounds = self._doubt(step, judge, track, now_ns) if judge else None
        for limit, one in zip(rule.limits, track.standings, strict=True):
            known = True
            if judge and bounds:
                active, counts = one.phase in UNENDED, judge.counts_at(now_ns)
                known = judge.in_any_case(limit, bounds, active, counts, now_ns) is not Verdict.UNKNOWN
            expire(one, limit, rule, at, track.quiet_ns, known)
        self.moved(step, rule, key, track)

    def _doubt(self, step: Step, judge: Judge, track: Track, now_ns: int) -> tuple[float, float] | None:
        """Between what the value of an expression lies that is not known at an instant; None: it is known."""
        if judge.expression is None:
            return None
        if judge.key in self.state.disabled:
            return ANYTHING
        seen = self._weighing.seen(track.device, track.component)
        try:
            if self._weighing.value(judge, seen, now_ns) is not None:
                return None
            return self._weighing.bounds(judge, seen, now_ns) or ANYTHING
        except Exception as error:
            self._disable(step, judge, self._of[track.device], error)
            return ANYTHING

    def reset(self, step: Step) -> None:
        """What people have reset: those levels end that only waited for it."""
        for key in step.resets:
            track = self.state.tracks.get(key)
            if track is not None and any([reset(one) for one in track.standings]):
                self.moved(step, self._rule_of(key, track), key, track)

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
        repeats = lasting.repeated and self._of[track.device].ends_ns <= REPEATS_NS
        return repeats or min(held) > lasting.until  # over before its hold is, though its end is not ripe

    def rejudge(self, step: Step, due: int, key: str) -> None:
        """The last value again, at another hour: a window may have opened or closed since."""
        track, judge = self.state.tracks.get(key), self._judges.get(key)
        if track is not None and judge is not None and track.value is not None:
            lag_ns = judge.lag_ns
            bounds = self._doubt(step, judge, track, step.wall_ns - lag_ns)
            self._apply(
                step, judge, track, track.value, lag_ns, waited_ns=lag_ns, is_reading=False, bounds=bounds
            )

    def push_track(self, key: str, track: Track, rule: Rule) -> None:
        for limit, one in zip(rule.limits, track.standings, strict=True):
            due = due_at(one, limit, rule, track.quiet_ns)
            if due is not None:
                due += self._lag_ns(key)
                self.timers.push(max(due, self.state.patient_until), "track", key)
        if key in self._judges and self._judges[key].timed:
            self.timers.push(next_look(self.state.at), "rejudge", key)

    def sort_out_tracks(self) -> None:
        """Tracks of rules and devices that are gone end; a rule whose levels changed keeps what it can."""
        for name in [name for name in self.state.heard if name not in self._of]:
            del self.state.heard[name]
        for key, track in list(self.state.tracks.items()):
            self._rehome(key, track)
            if not self._has_a_say(key, track):
                self._gone.append(self.state.tracks.pop(key))
                continue
            rule, here = self._rule_of(key, track), {one.level: one for one in track.standings}
            track.standings = [here.get(limit.level, Standing(limit.level)) for limit in rule.limits]
            for limit, one in zip(rule.limits, track.standings, strict=True):
                refit(one, limit)
            if edits.is_another(track, rule) and not self._carry_over(track, rule):
                self._gone.append(self.state.tracks.pop(key))
            elif track.alert and self._level_told(track) is not track.level():
                self._changed.append(key)

    def _rehome(self, key: str, track: Track) -> None:
        """A group's alert does not end with the device that happened to raise it."""
        judge = self._judges.get(key)
        if judge and judge.members and (track.device, track.component) not in judge.members:
            track.device, track.component = judge.members[0]
            self._rehomed.append(track)

    def _level_told(self, track: Track) -> Level | None:
        """What its alert says; None when it is not there."""
        alert = self.state.alerts.get(track.alert)
        return alert.level if alert is not None else None

    def _carry_over(self, track: Track, rule: Rule) -> bool:
        """What stands under a rule that asks another question now; False: it ends."""
        track.question = edits.question(rule)
        for limit, one in zip(rule.limits, track.standings, strict=True):
            drop_pending(one)
            if rule.if_changed == edits.REEVALUATE or not rule.if_changed:
                turn(one, limit, Verdict.GOOD, self.state.at)  # until the new question says bad
                one.bits, one.bad = 0, []
        return rule.if_changed != edits.CLOSE and any(one.phase in ACTIVE for one in track.standings)

    def _has_a_say(self, key: str, track: Track) -> bool:
        """Whether the rule of a track, as it is now, still judges that subject in the same way."""
        rule, watch = self.cases.rules.get(track.rule), self._of.get(track.device)
        if rule is None or watch is None or is_silence(rule) != (track.value is None):
            return False
        if is_silence(rule):
            return any(one.id == rule.id for one in watch.silence)
        if not has_component(watch.model, track.component):
            return False
        watch.subject(track.component)
        return key in self._judges

    def attach(self, key: str, track: Track) -> None:
        """Puts a loaded track back to work."""
        watch, rule = self._of[track.device], self._rule_of(key, track)
        if is_silence(rule):
            watch.quiet = True
            watch.look_up()
        else:
            watch.subject(track.component).stir(key)
        self.push_track(key, track, rule)

    def let_go(self, step: Step) -> None:
        """Ends the alerts whose rule or device is no longer configured; their cases stay with people. Those
        whose level is no more move on.
        """
        while self._rehomed:
            self.cases.member_gone(step, self._rehomed.pop())
        while self._gone:
            self.cases.rule_gone(step, self._gone.pop())
        while self._changed:
            key = self._changed.pop()
            track = self.state.tracks[key]
            self.moved(step, self._rule_of(key, track), key, track)


def cooled_at(cooling: Cooling | None, one: Standing) -> int:
    """Before which instant a level is not raised, since it, or a worse one, has just ended."""
    if cooling is None or one.level > cooling.level or one.phase in ACTIVE:
        return AT_ONCE
    return cooling.until


def settle_ns(age_ns: int) -> int:
    """How long to wait for a word that takes back one of this age: the older, the more is still to come."""
    return max(SETTLE_NS, min(age_ns // 100, SETTLE_NS_MOST))


def next_look(at: int) -> int:
    """Whole multiples, so that an engine made anew looks in the very instants in which this one would."""
    return (at // REJUDGE_NS + 1) * REJUDGE_NS
