"""Devices that should have spoken and have not: each alone, or all behind one gateway as one trouble."""

from __future__ import annotations

from gateway.core import silence
from gateway.core.alerts import Phase, expire, turn
from gateway.core.caseload import Step
from gateway.core.conditions import Counts, held_at
from gateway.core.judging import Judging, next_look, settle_ns
from gateway.core.model import SECOND, Limit, Link, Rule, Verdict
from gateway.core.silence import GROUP_LEAST, Group, note_interval, span_ns
from gateway.core.state import State
from gateway.core.timers import Timers
from gateway.core.watches import Watch, Watches

GRACE_NS_LEAST = 600 * SECOND  # after we hear again: a device may need as long to find its way back
GRACE_NS_MOST = 3600 * SECOND  # two of its intervals, and no more: a daily one may be late by then already
LINE_NS = 300 * SECOND  # a lost line may return within; from then on what we last knew must do


class Silences:
    """Who has been silent for how long, by when we could hear at all."""

    def __init__(self, state: State, watches: Watches, judging: Judging, timers: Timers) -> None:
        self.state, self.timers, self._of, self._judging = state, timers, watches.of, judging
        self._rule_of = watches.rule_of
        self._group()
        for watch in self._of.values():
            self.await_word(watch)

    def link(self, link: Link, heard_at: int) -> None:
        state = self.state
        if state.link_up:
            state.deaf_since = heard_at if link.up else link.at  # up again: the disk was full meanwhile
        if link.up:
            state.deaf = silence.noted(state.deaf, state.deaf_since, link.at)
            state.listening_since = link.at
            state.patient_until = link.at + settle_ns(link.at - state.deaf_since)
            for watch in self._of.values():
                self.await_word(watch)
        elif link.at >= state.patient_until:
            state.patient_until = link.at + LINE_NS
        state.link_up = link.up
        for key, track in state.tracks.items():
            self._judging.push_track(key, track, self._rule_of(key, track))  # patience may end sooner now

    def await_word(self, watch: Watch) -> None:
        """Arms the first instant at which the device may have been silent too long."""
        device, at, spans = watch.device.id, self.state.at, watch.spans()
        dark = self.is_dark_group(device)
        if not spans or (self._is_held(watch) and not dark):
            return
        since = self._since_of_group(watch, self.state.groups[device]) if dark else self._since(watch)
        if not dark and not self._speaks(watch):  # its first word makes it one that can fall silent
            self.timers.push(since + max((at - since) // spans[0] + 1, 1) * spans[0], "silence", device)
            return
        instants = self._instants(watch, since)
        due = next((one for one in instants if one > at), instants[0])
        if watch.works and instants[0] <= at:  # it may wait for the end of works
            look = next_look(at)
            due = min(due, look) if due > at else look
        self.timers.push(due, "silence", device)

    def _since(self, watch: Watch) -> int:
        """Silence counts from its last word, or from when what it speaks through was back; what we could not
        hear does not count.
        """
        group = self.state.groups.get(watch.device.behind)
        return self._listened_from(max(watch.heard.seen_at, group.back_at if group else 0))

    def _listened_from(self, since: int) -> int:
        """An instant, later by as long as we could not hear from it on."""
        deaf_ns = 0
        for begun, until in reversed(self.state.deaf):
            if until <= since:
                break  # and so do all before
            deaf_ns += until - max(begun, since)
        return since + deaf_ns

    def _proven_at(self, watch: Watch, since: int, span: int) -> int:
        """When a silence is as long as a span, and whoever had to find the way back to us had the time."""
        patience = max(GRACE_NS_LEAST, min(2 * watch.interval_ns(), GRACE_NS_MOST))
        return max(since + span, self.state.listening_since + min(span, patience))

    def _instants(self, watch: Watch, since: int) -> list[int]:
        """When its silence is as long as each of its spans, ascending."""
        return [self._proven_at(watch, since, span) for span in watch.spans()]

    def due(self, step: Step, due: int, device: str) -> None:
        """Looks whether a device has been silent too long; while we cannot hear, silence proves nothing."""
        if not self.state.link_up:
            return  # the link's return sets the next one
        watch = self._of[device]
        if self.is_dark_group(device):
            self._judge_group(step, watch, due)
            return
        if not self._speaks(watch):
            self.timers.push(due + watch.spans()[0], "silence", device)
            return
        since = self._since(watch)
        instants = self._instants(watch, since)
        if instants and due >= instants[0]:
            if self._falls_with_its_group(step, watch, due):
                return
            for rule in watch.silence:
                self._judge_silence(step, watch, rule, since, due, watch.heard.seen_at)
        self._look_again(step, watch, instants, due)

    def _look_again(self, step: Step, watch: Watch, instants: list[int], due: int) -> None:
        """At its next span; while works go on, every minute, so that their end is seen."""
        later = [at for at in instants if at > due]
        if held_at(watch.works, step.wall_ns) is not Counts.FULLY:
            later = [min([*later, next_look(step.at)])]
        if later:
            self.timers.push(later[0], "silence", watch.device.id)

    def _judge_silence(
        self, step: Step, watch: Watch, rule: Rule, since: int, due: int, heard_at: int, count: int = 0
    ) -> None:
        """`count` devices are silent behind this one, which is told of at once, at its lowest level."""
        late = [self._too_long(watch, limit, since, due) for limit in rule.limits]
        if count:
            late[0] = True
        counts = held_at(watch.works, step.wall_ns)
        late = [bad and not counts.holds(one.level) for one, bad in zip(rule.limits, late, strict=True)]
        key = f"{rule.id}|{watch.device.id}|"
        track = self.state.tracks.get(key)
        if not any(late):
            return
        if track is None:
            track = self._judging.new_track(rule, key, watch.device.id, "")
            watch.quiet = True
            watch.look_up()
        track.heard_at, track.count = heard_at, max(track.count, count)
        bad_again = False
        for limit, one, bad in zip(rule.limits, track.standings, late, strict=True):
            if bad:
                bad_again |= one.phase is Phase.CLEARING
                turn(one, limit, Verdict.BAD, step.at)
                expire(one, limit, rule, step.at)
        self._judging.moved(step, rule, key, track, bad_again)

    def _too_long(self, watch: Watch, limit: Limit, since: int, due: int) -> bool:
        span = span_ns(limit, watch.interval_ns())
        return span is not None and due >= self._proven_at(watch, since, span)

    def spoke(self, step: Step, watch: Watch) -> None:
        """A device that was silent has spoken: its rules of silence begin to clear."""
        for rule in watch.silence:
            key = f"{rule.id}|{watch.device.id}|"
            track = self.state.tracks.get(key)
            if track is not None:
                for limit, one in zip(rule.limits, track.standings, strict=True):
                    turn(one, limit, Verdict.GOOD, step.at)
                    expire(one, limit, rule, step.at)
                self._judging.moved(step, rule, key, track)
        self.await_word(watch)

    def learn(self, step: Step, watch: Watch) -> None:
        """How often it speaks; a pause that we did not hear, or called silence, is no interval."""
        heard = watch.heard
        if heard.seen_at >= self.state.listening_since and not watch.quiet and not watch.dark:
            heard.intervals = note_interval(heard.intervals, step.at - heard.seen_at)
            heard.seen_at = step.at
            self.await_word(watch)  # it may have become shorter: the sooner one counts

    def _group(self) -> None:
        """Who speaks through whom: silence of most behind one gateway is the gateway's."""
        self._behind: dict[str, list[Watch]] = {}
        for watch in self._of.values():
            if watch.silence and watch.device.behind in self._of:
                self._behind.setdefault(watch.device.behind, []).append(watch)
        for name, members in list(self._behind.items()):
            if len(members) < GROUP_LEAST or not self._of[name].silence:
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
        return self.is_dark_group(watch.device.behind)

    def is_dark_group(self, name: str) -> bool:
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
        if not dark or 2 * len(dark) <= self._could_tell(members, dark):
            return False
        before = self.state.groups.get(name, Group())
        group = self.state.groups[name] = Group(
            dark=True, dark_at=due, count=len(dark),
            heard_at=max(one.heard.seen_at for one in dark), back_at=before.back_at,
        )  # fmt: skip
        self._mark_dark(name, group)
        step.note("group_silent", device=name, count=len(dark))
        self._judge_group(step, self._of[name], due)
        return True

    def _could_tell(self, members: list[Watch], dark: list[Watch]) -> int:
        """How many have had the chance to show whether their gateway still speaks: all of them, or, when
        enough are dark, those and whoever has spoken since. A wall that speaks daily outvotes no cabinet.
        """
        if len(dark) < GROUP_LEAST:
            return len(members)
        last = max(one.heard.seen_at for one in dark)
        return len(dark) + sum(one.heard.seen_at > last for one in members)

    def _is_dark(self, watch: Watch, due: int) -> bool:
        """Half of what would make it an alert of its own, and more than what it takes between two words:
        reports of healthy neighbours are never so old.
        """
        spans, interval = watch.spans(), watch.interval_ns()
        if not spans or due - watch.heard.seen_at <= interval:
            return False  # nearly every one, of hundreds at each look
        since = self._since(watch)
        if due - since <= interval:
            return False
        return due >= self._proven_at(watch, since, spans[0] // 2)

    def _judge_group(self, step: Step, watch: Watch, due: int) -> None:
        """The gateway's own rules of silence, by the words of those behind it."""
        group = self.state.groups.get(watch.device.id)
        if group is None or not group.dark:
            return
        since = self._since_of_group(watch, group)
        for rule in watch.silence:
            self._judge_silence(step, watch, rule, since, due, group.heard_at, group.count)
        self._look_again(step, watch, self._instants(watch, since), due)

    def _since_of_group(self, watch: Watch, group: Group) -> int:
        """From the last word of those behind it, or its own, should it be one that speaks; what we could not
        hear does not count.
        """
        own = watch.heard.seen_at if self._speaks(watch) else 0
        return self._listened_from(max(group.heard_at, group.back_at, own))

    def speaks_again(self, step: Step, watch: Watch) -> None:
        """One of a silent group has spoken; with half of them back, each of the others is watched alone."""
        watch.dark = False
        watch.look_up()
        name = watch.device.behind
        group, members = self.state.groups[name], self._behind[name]
        back = sum(one.heard.seen_at >= group.dark_at for one in members)
        if 2 * back < min(group.count, len(members)):
            return
        group.dark, group.back_at = False, step.at
        self._mark_dark(name, group)
        step.note("group_back", device=name, count=len(members))
        gateway = self._of[name]
        since = self._since(gateway)
        if self._speaks(gateway) and any(
            step.at >= self._proven_at(gateway, since, s) for s in gateway.spans()
        ):
            self.await_word(gateway)  # others carry their words: it is silent itself
        else:
            self.spoke(step, gateway)
        for member in members:
            self.await_word(member)
