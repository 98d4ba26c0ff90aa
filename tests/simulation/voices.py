"""What the street says, second by second: millions of payloads, made as cheaply as bytes can be.

An ordinary day is spoken from templates that the simulators' own encoders wrote, a fresh one for every device
and half a day; instants and numbers are put in with %. Whatever a story touches is encoded anew each time.
"""

from __future__ import annotations

import heapq
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np

from gateway.core.model import SECOND, Device, Message, Model, World
from gateway.core.signals import FloatArray
from simulators.encoding import PER_SECOND, Encoder, instant
from simulators.incidents import Fault, Incident
from simulators.lives import DAY, HOUR, Cabinet, life_of
from simulators.neighbourhood import STATES
from tests.simulation.stories import Story
from tests.simulation.street import EVERY_S, START_NS, ZONE

# Of one template. What temperature does is learnt by the hour; and of two charges that follow one another a
# template must show that the first one ended.
BLOCK_NS, LEARNT_NS, CHARGING_NS = 12 * HOUR, 3 * HOUR, HOUR // 2
WARMTH_C = 7.0  # of a charging slot: what it gains from one template to the next is no fire
HANDED_NS = 2 * SECOND  # what arrives within so long is handed over together
NUMBER = 900_000_001  # stands for a message's number in a template: no value looks like it
DELAY_NS = (SECOND // 20, SECOND * 4 // 5)  # from measuring to the broker
BENT_DELAY_NS = SECOND // 10  # while a story goes on: always the same, so that no word overtakes another
BENT_TWICE = 0.2
JITTER = 0.02  # of the beat
# So often a message is delivered twice at once, again much later, or after the one that follows it.
TWICE, AGAIN, OVERTAKEN = 0.001, 0.0005, 0.0005
ODD = TWICE + AGAIN + OVERTAKEN
Sent = tuple[int, Message]


class Voice:
    """One device, speaking."""

    def __init__(self, device: Device, model: Model, seed: int) -> None:
        self.device, self.model = device, model
        self.topic = device.topic
        self.life = life_of(device, model, seed, ZONE)
        self.encode = Encoder(device=device, model=model, zone=ZONE)
        self.every_s = EVERY_S[model.id]
        self.number, self.gone_ns = 0, 1 << 62  # it says nothing from then on
        # Its own, so that it says the same whoever else speaks: a week may be played of a few devices only.
        self.dice = random.Random(f"{seed}/{device.id}/way")
        self._noise = np.random.default_rng([seed, crc32(device.id.encode())])
        self._phase = self._noise.uniform(JITTER, 1 - JITTER) * min(self.every_s, 3600)
        self._turn = int(self._noise.integers(0, 1 << 20))
        self.words: Counter[tuple[int, str]] = Counter()  # (a story's beginning, rule) -> bad words said
        self.parts: list[tuple[Story, Incident]] = []  # what befalls it
        codec = model.codec
        self.retained = model.scene in STATES
        self.told_apart = bool(codec.envelope or codec.sequence or codec.time)
        self._unit = codec.time_unit if codec.time else "iso" if codec.envelope else ""
        self.timed = bool(self._unit)
        self._block, self._block_ns = -1, LEARNT_NS if device.baseline_period else BLOCK_NS
        if isinstance(self.life, Cabinet):
            self.life.WARMTH_C, self._block_ns = WARMTH_C, CHARGING_NS  # type: ignore[misc]
        self._template = b""

    def beats(self, hour: int) -> FloatArray:
        """Shape (3, n): when in an hour it speaks (s), which share of the longest way its words take, and
        their luck. Hours are asked for in turn.
        """
        every, hours = min(self.every_s, 3600), max(1, self.every_s // 3600)
        found = self._noise.random((3, 0 if (hour + self._turn) % hours else 3600 // every))
        found[0] = (np.arange(found.shape[1]) + JITTER * (2 * found[0] - 1)) * every + self._phase
        return found

    def ordinary(self, ns: int, stamp: bytes) -> Message:
        """What it says on a day on which nothing happens. `stamp`: `ns` as ISO text."""
        if ns // self._block_ns != self._block:
            self._block = ns // self._block_ns
            self._template = self._written(ns)
        self.number = number = self.number + 1
        unit = self._unit
        if unit in PER_SECOND:
            stamp = b"%d" % (ns * PER_SECOND[unit] // SECOND)
        return Message(self.topic, self._template % {b"t": stamp, b"n": number})

    def _written(self, ns: int) -> bytes:
        """A payload in which instant and number are left open."""
        body = self.encode(self.life.say(ns, ()), ns, NUMBER).replace(b"%", b"%%")
        if self._unit:
            body = body.replace(str(instant(ns, self._unit, ZONE)).encode(), b"%(t)b")
        if self.model.codec.envelope:
            eui = self.device.topic.split("/")[3]
            frame = uuid.uuid5(uuid.NAMESPACE_OID, f"{eui}/{NUMBER}")
            body = body.replace(str(frame).encode(), eui.encode() + b"-4000-8000-%(n)012x")
        return body.replace(b"%d" % NUMBER, b"%(n)d")

    def bent(self, ns: int) -> Message | None:
        """What it says while stories go on; None: nothing, it is silent."""
        said, measured = self.life.say(ns, ()), ns
        for story, one in self.parts:
            if ns not in one.span:
                continue
            if one.fault is Fault.SILENT:
                return None
            one.bend(ns, said)
            measured += one.shift_ns if one.fault is Fault.CLOCK else 0
            measured += int((ns - one.span.begins_ns) * story.drift)
        self.number += 1
        for story, one in self.parts:
            if ns in one.span:
                for told in story.told:
                    self.words[story.begins_ns, told.rule] += said[""].get(told.counted, 0.0) > 0
        return Message(self.topic, self.encode(said, measured, self.number))

    def is_silent(self, ns: int) -> bool:
        return any(one.fault is Fault.SILENT and ns in one.span for _, one in self.parts)

    def is_busy(self, ns: int) -> bool:
        """Whether a story goes on."""
        return any(ns in one.span for _, one in self.parts)

    def kept(self, story: Story) -> Iterator[Message]:
        """What it stored while it could not send."""
        kept = story.kept
        assert kept is not None
        for ns in range(kept.begins_ns, kept.ends_ns, self.every_s * SECOND // 10):
            said = self.life.say(ns, ())
            said[kept.component][kept.quantity] = kept.value
            self.number += 1
            yield Message(self.topic, self.encode(said, ns, self.number))


class Lane:
    """Everything that is published from the start on, in the order in which it arrives."""

    def __init__(
        self, world: World, seed: int, stories: Sequence[Story], days: float, begins_ns: int = START_NS
    ) -> None:
        self.world, self.seed, self.stories = world, seed, stories
        self.begins_ns, self.ends_ns = begins_ns, START_NS + int(days * DAY)
        self.voices = [Voice(one, world.models[one.model], seed) for one in world.devices.values()]
        self.by_name = {voice.device.id: voice for voice in self.voices}
        self.count = 0  # messages that devices said
        self._waiting: list[tuple[int, int, Message]] = []
        self._order = 0
        self._joins: list[tuple[int, Device]] = []
        self._leaves: list[tuple[int, str]] = []
        for story in stories:
            for one in story.incidents:
                if one.device in self.by_name:
                    self.by_name[one.device].parts.append((story, one))

    def leave(self, name: str, at_ns: int) -> None:
        """It is taken down, and says no more."""
        self._leaves.append((at_ns, name))

    def join(self, device: Device, at_ns: int) -> None:
        """A device that is installed on the way."""
        self._joins.append((at_ns, device))

    def _change(self, begins: int, ends: int) -> None:
        """Who comes within an hour speaks at once, and from the next hour on by its beat."""
        for at_ns, device in self._joins:
            if begins <= at_ns < ends:
                voice = Voice(device, self.world.models[device.model], self.seed)
                self.voices.append(voice)
                self.by_name[device.id] = voice
                for ns in range(at_ns + SECOND, begins + HOUR, voice.every_s * SECOND):
                    said = voice.ordinary(ns, str(instant(ns, "iso", ZONE)).encode())
                    self._wait(ns + BENT_DELAY_NS, said)
        for at_ns, name in self._leaves:
            if begins <= at_ns < ends:
                self.by_name.pop(name).gone_ns = at_ns

    def remembered(self) -> list[Message]:
        """What the broker held retained at the start: yesterday's drill, a test button just now."""
        found = []
        for name, before in (("shed-smoke-000", 9 * HOUR), ("shed-smoke-001", 240 * SECOND)):
            voice = self.by_name.get(name)
            if voice is None:
                continue
            said = voice.life.say(self.begins_ns - before, ())
            said[""]["smoke"] = 1.0
            payload = voice.encode(said, self.begins_ns - before, 0)
            found.append(Message(voice.topic, payload, retained=True))
        return found

    def spans(self) -> Iterator[tuple[int, list[Message]]]:
        """(instant, messages) of each span in which any arrived: they are handed over when it is over."""
        ends, batch = 0, list[Message]()
        for arrives, message in self._arrivals():
            if arrives >= ends:
                if batch:
                    yield ends, batch
                ends, batch = (arrives // HANDED_NS + 1) * HANDED_NS, []
            batch.append(message)
        if batch:
            yield ends, batch

    def _arrivals(self) -> Iterator[Sent]:
        """In the order of arrival, an hour's beats at a time; what is bent, twice or late waits in a heap."""
        waiting = self._waiting
        for hour in range(self.begins_ns, self.ends_ns, HOUR):
            until, prefix = min(hour + HOUR, self.ends_ns), _prefix(hour)
            for sent in self._told(hour, until):
                self._wait(*sent)
            beats = self._beats(hour)
            self._change(hour, hour + HOUR)
            for arrives, measured, index, luck in beats:
                voice = self.voices[index]
                if measured >= until or arrives >= voice.gone_ns:
                    continue
                while waiting and waiting[0][0] <= arrives:
                    at, _, message = heapq.heappop(waiting)
                    yield at, message
                if voice.parts and voice.is_busy(measured):
                    said = voice.bent(measured)
                    if said is None:
                        continue
                else:
                    minute, rest = divmod((measured - hour) // 1_000_000, 60_000)
                    said = voice.ordinary(measured, b"%b%02d:%06.3f+08:00" % (prefix, minute, rest / 1000))
                self.count += 1
                if luck < ODD and voice.told_apart and self._is_late(voice, arrives, luck, said):
                    continue
                if arrives < until:
                    yield arrives, said
                else:
                    self._wait(arrives, said)
            while waiting and waiting[0][0] < until:
                at, _, message = heapq.heappop(waiting)
                yield at, message

    def _wait(self, at: int, message: Message) -> None:
        self._order += 1
        heapq.heappush(self._waiting, (at, self._order, message))

    def _is_late(self, voice: Voice, arrives: int, luck: float, message: Message) -> bool:
        """Delivers it once more; or once only, but after the one that follows."""
        if luck < OVERTAKEN:
            if voice.parts or not voice.timed:
                return False
            self._wait(arrives + int(1.1 * min(voice.every_s, 600) * SECOND), message)
            return True
        spent = SECOND // 10 if luck < OVERTAKEN + TWICE else voice.dice.randrange(15, 90) * SECOND
        if not voice.is_silent(arrives + spent):
            self._wait(arrives + spent, message)
        return False

    def _beats(self, hour: int) -> list[tuple[int, int, int, float]]:
        """(arrival, measured, number of the device, luck) of an hour's ordinary beats."""
        beats = [voice.beats(hour // HOUR) for voice in self.voices]
        devices = np.repeat(np.arange(len(beats)), [one.shape[1] for one in beats])
        seconds, share, luck = np.concatenate(beats, axis=1)
        measured = hour + (seconds * 1000).astype(np.int64) * 1_000_000
        steady = np.array([bool(voice.parts) for voice in self.voices])[devices]
        delays = (share * (DELAY_NS[1] - DELAY_NS[0])).astype(np.int64) + DELAY_NS[0]
        arrives = measured + np.where(steady, BENT_DELAY_NS, delays)
        order = np.argsort(arrives, kind="stable")
        rows = arrives[order], measured[order], devices[order], luck[order]
        return list(zip(*(row.tolist() for row in rows), strict=True))

    def _told(self, begins: int, ends: int) -> Iterator[Sent]:
        """What stories make devices say beyond their beat, within an hour."""
        for story in self.stories:
            for one in story.incidents:
                if one.span.ends_ns < begins or one.span.begins_ns >= ends:
                    continue
                voice = self.by_name.get(one.device)
                if voice is None:
                    continue
                for ns in sorted({ns for ns in one.instants() if begins <= ns < ends}):
                    message = voice.bent(ns)
                    if message is not None:
                        self.count += 1
                        yield ns + BENT_DELAY_NS, message
                        if voice.told_apart and voice.dice.random() < BENT_TWICE:
                            yield ns + 2 * BENT_DELAY_NS, message
                if story.kept is not None and begins <= one.span.ends_ns < ends:
                    for late, message in enumerate(voice.kept(story)):
                        self.count += 1
                        yield one.span.ends_ns + late * SECOND // 4, message


def _prefix(hour: int) -> bytes:
    """The hour of ISO texts: 2026-11-02T18: (local time, whole hours from UTC)."""
    return str(instant(hour, "iso", ZONE))[:14].encode()
