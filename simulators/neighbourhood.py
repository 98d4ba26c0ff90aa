"""Every device of the neighbourhood, speaking in time order. No clock, no network, only arithmetic."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.core.model import SECOND, Message, World
from gateway.core.places import windows_of
from gateway.core.units import QUANTITIES
from simulators.encoding import Encoder, Said, concrete
from simulators.incidents import Fault, Incident, Remembered, Script, Truth, span_ns
from simulators.lives import DAY, Episode, Life, life_of, midnight_before, midnights

BEAT_S = 60.0  # of a model that promises nothing
BEAT_JITTER = 0.02  # quartz and queues
DELAY_S = (0.05, 0.8)  # from measuring to publishing
TWICE = 0.01  # of the messages are published twice at once: a lost PUBACK
AGAIN = 0.003  # are published again much later: a device that repeats its buffer
AGAIN_S = (15.0, 90.0)
SURE = 0.9  # at least, of what a camera sees in an incident
STATES = frozenset({"lift", "waste", "shed"})  # scenes whose devices publish their state retained
WINDOW = "drop_off"


class Sent(NamedTuple):
    """One PUBLISH: when, and what."""

    at_ns: int
    topic: str
    payload: bytes
    qos: int = 1
    retained: bool = False

    def message(self) -> Message:
        return Message(self.topic, self.payload)


class Neighbourhood:
    """What the devices of `world` publish in [start, end): the same for the same seed and script."""

    def __init__(self, world: World, script: Script, *, seed: int, start_ns: int, end_ns: int) -> None:
        self.world, self.script, self.seed = world, script, seed
        self.start_ns, self.end_ns = start_ns, end_ns
        self.zone = ZoneInfo(world.timezone)
        unknown = {incident.device for incident in script.incidents} - set(world.devices)
        if unknown:
            raise ValueError(f"the script names devices that are not there: {sorted(unknown)}")

    def __iter__(self) -> Iterator[Sent]:
        speakers = [self._speaker(device) for device in sorted(self.world.devices)]
        return heapq.merge(*speakers, key=lambda sent: (sent.at_ns, sent.topic))

    def truths(self) -> list[Truth]:
        """What will have happened, in order of time."""
        played = [one for one in self.script.incidents if self.start_ns <= one.span.begins_ns < self.end_ns]
        return [truth for incident in played for truth in incident.truths()]

    def remembered(self) -> list[Sent]:
        """What the broker holds retained at the start."""
        return [self._speaker(one.device).remembered(one) for one in self.script.remembered]

    def _speaker(self, name: str) -> _Speaker:
        device = self.world.devices[name]
        life = life_of(
            device,
            self.world.models[device.model],
            self.seed,
            self.zone,
            windows_of(self.world, device.at, WINDOW) or (),
        )
        incidents = [one for one in self.script.incidents if one.device == name]
        return _Speaker(life, incidents, self.start_ns, self.end_ns)


class _Speaker:
    """One device, speaking."""

    def __init__(self, life: Life, incidents: list[Incident], start_ns: int, end_ns: int) -> None:
        self.life, self.incidents = life, incidents
        self.start_ns, self.end_ns = start_ns, end_ns
        self.dice = random.Random(f"{life.seed}/{life.device.id}/radio")
        self.beat_dice = random.Random(f"{life.seed}/{life.device.id}/beat")
        self.topic = concrete(life.device.topic)
        self.retained = life.model.scene in STATES
        codec = life.model.codec
        self.numbered = bool(codec.envelope or codec.sequence or codec.time)
        self.encode = Encoder(device=life.device, model=life.model, zone=life.zone)
        self.episodes: list[Episode] = []  # of the day being spoken of, and of the one before
        self.beat_ns = int((life.model.expect_every_s or BEAT_S) * SECOND)
        self.next_beat = start_ns + self.beat_dice.randrange(self.beat_ns)
        self.frozen: dict[str, Said] = {}

    def __iter__(self) -> Iterator[Sent]:
        """In time order: a repetition waits in the heap until its turn."""
        waiting: list[Sent] = []
        for number, ns in enumerate(self._instants()):
            while waiting and waiting[0].at_ns <= ns:
                yield heapq.heappop(waiting)
            for sent in self._publish(ns, number):
                if not self._silent(sent.at_ns):  # a repetition too stays in
                    heapq.heappush(waiting, sent)
        yield from sorted(waiting)

    def remembered(self, one: Remembered) -> Sent:
        ns = self.start_ns - span_ns(one.before)
        self.episodes = self._episodes_of(ns)
        said = self.life.say(ns, self.episodes)
        said[""] |= one.said
        self._assure([], said)
        return Sent(ns, self.topic, self.encode(said, ns, 0), retained=True)

    def _instants(self) -> Iterator[int]:
        """When it speaks, a day at a time: a street may go on for months."""
        yesterday = self._episodes_of(self.start_ns - DAY)
        for begins, ends in pairwise([*midnights(self.start_ns, self.end_ns, self.life.zone), self.end_ns]):
            today = self.life.episodes(begins)
            self.episodes, yesterday = yesterday + today, today
            found = set(self._beats(ends))
            for episode in self.episodes:
                found.update(self.life.instants(episode))
            for incident in self.incidents:
                found.update(incident.instants())
            yield from sorted(ns for ns in found if max(begins, self.start_ns) <= ns < ends)

    def _episodes_of(self, ns: int) -> list[Episode]:
        return self.life.episodes(midnight_before(ns, self.life.zone))

    def _beats(self, ends: int) -> Iterator[int]:
        while self.next_beat < ends:
            yield self.next_beat
            self.next_beat += int(self.beat_ns * self.beat_dice.uniform(1 - BEAT_JITTER, 1 + BEAT_JITTER))

    def _publish(self, ns: int, number: int) -> Iterator[Sent]:
        dice = self.dice
        delay, luck, more = dice.uniform(*DELAY_S), dice.random(), dice.uniform(*AGAIN_S)
        now = [one for one in self.incidents if ns in one.span]
        measured = ns + sum(one.shift_ns for one in now if one.fault is Fault.CLOCK)
        payload = self.encode(self._said(ns, now), measured, number)
        sent = Sent(ns + int(delay * SECOND), self.topic, payload, retained=self.retained)
        yield sent
        if self.numbered and luck < TWICE:
            yield sent._replace(at_ns=sent.at_ns + SECOND // 10)
        elif self.numbered and luck < TWICE + AGAIN:
            yield sent._replace(at_ns=sent.at_ns + int(more * SECOND))

    def _silent(self, ns: int) -> bool:
        return any(one.fault is Fault.SILENT and ns in one.span for one in self.incidents)

    def _said(self, ns: int, now: list[Incident]) -> Said:
        said = self.life.say(ns, self.episodes)
        for incident in now:
            incident.bend(ns, said)
        self._assure(now, said)
        for incident in now:
            if incident.fault is Fault.FROZEN:
                said = self.frozen.setdefault(incident.name, said)
        return said

    @staticmethod
    def _assure(now: list[Incident], said: Said) -> None:
        """A camera is sure of what an incident shows it, unless the incident says how sure."""
        if any(course.quantity == "confidence" for one in now for course in one.courses):
            return
        for own in said.values():
            if "confidence" in own and any(v and QUANTITIES[name].is_event for name, v in own.items()):
                own["confidence"] = max(own["confidence"], SURE)
