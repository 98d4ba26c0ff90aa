"""`failover`: one way made of several, as in `{kind: failover, of: sms-ali sms-tx}`: the first that can.

What one has definitely not taken goes to the next in the same attempt. What it may have taken goes to no
other, for the person would get it twice: the core goes on as after any such message. A provider that fails
again and again is left alone for a while (core.breaker), unless no other is left.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from msgspec import structs

from gateway.channels.base import Answer, Asking, Channel, Receipted, Setup, detail, spend
from gateway.channels.reliability import Reliability
from gateway.core.model import SECOND, Notification, Told
from gateway.core.quotas import PERSON, Quota, Quotas, recount

SETTINGS = REQUIRED = frozenset({"of"})
SECRETS: frozenset[str] = frozenset()
QUOTAS = PERSON  # the providers' are its members'
DOUBTFUL_MOST = 1_000  # messages that one member may have taken


class Member(Reliability):
    """One of the ways, with what it may carry and how reliable it is."""

    def __init__(self, name: str, channel: Channel, quotas: Sequence[Quota] = ()) -> None:
        super().__init__(name)
        self.channel = channel
        self.quotas = Quotas([one for one in quotas if not one.ours])

    def free_s(self, told: Notification, at: int) -> float:
        return (self.quotas.free_at(told, at) - at) / SECOND


class Failover:
    """`now` is steady nanoseconds."""

    def __init__(self, members: Sequence[Member], now: Callable[[], int] = time.monotonic_ns) -> None:
        self._members, self._now = tuple(members), now
        self._doubtful: OrderedDict[str, str] = OrderedDict()  # message -> the member that may have it

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        failed: list[Answer] = []
        for member in self._in_turn(notification):
            answer = self._by(member, notification, text, link)
            if answer.told in (Told.ACCEPTED, Told.UNKNOWN):
                self._keep(notification, member, answer)
                return answer
            failed.append(answer)
        return _worst(failed)

    def _in_turn(self, told: Notification) -> list[Member]:
        """Those worth asking, else all: better a provider that fails than nobody."""
        if (doubtful := self._doubtful.get(told.id)) is not None:
            return [member for member in self._members if member.name == doubtful]
        at = self._now()
        free = [member for member in self._members if member.free_s(told, at) <= 0]
        sound = [member for member in free if member.breaker.lets(at)]
        return sound + [member for member in free or self._members if member not in sound]

    def _by(self, member: Member, told: Notification, text: str, link: str) -> Answer:
        at = self._now()
        if (wait_s := member.free_s(told, at)) > 0:
            return Answer(Told.LATER, f"{member.name}: its limits are used up for now", wait_s)
        try:
            answer = member.channel.send(told, text, link)
        finally:  # it counts as of its answer: a provider counts when it arrives
            spend(member.name, member.quotas, told, self._now())
        member.learn(answer, self._now())
        return replace(answer, detail=detail(f"{member.name}: {answer.detail}"))

    def _keep(self, told: Notification, member: Member, answer: Answer) -> None:
        """Which member may have it, when it is to be sent again: another could not know it again."""
        self._doubtful.pop(told.id, None)
        if answer.told is Told.UNKNOWN and not answer.once:
            self._doubtful[told.id] = member.name
        if len(self._doubtful) > DOUBTFUL_MOST:
            self._doubtful.popitem(last=False)

    def failing(self) -> list[str]:
        at = self._now()
        return [member.name for member in self._members if member.failing(at)]

    def ask(self, notification: Notification) -> Receipted | None:
        """Whichever knows it."""
        asked = (one.channel for one in self._members if isinstance(one.channel, Asking))
        found = (channel.ask(notification) for channel in asked)
        return next((one for one in found if one is not None), None)

    # ------------------------------------------------------------ after a restart

    @property
    def span_s(self) -> float:
        return max(member.quotas.span_s for member in self._members)

    def recount(self, sent: Sequence[Notification], at: int) -> None:
        """What was sent before our start; a row that does not say by whom counts for each."""
        by = self._now() - at  # from the gateway's instants to ours
        for member in self._members:
            own = [told for told in sent if self._said_by(told) in (member.name, "")]
            recount(member.quotas, [_moved(told, by) for told in own])

    def _said_by(self, told: Notification) -> str:
        names = (member.name for member in self._members)
        return next((name for name in names if told.detail.startswith(f"{name}: ")), "")


def _moved(told: Notification, by: int) -> Notification:
    return structs.replace(told, told_at=told.told_at + by)


def _worst(failed: Sequence[Answer]) -> Answer:
    """Of several that did not take it: the soonest that may yet, else what the last one says."""
    later = [answer for answer in failed if answer.told is Told.LATER]
    return min(later, key=lambda answer: answer.retry_after_s) if later else failed[-1]


def build(setup: Setup) -> Failover:
    names = setup.settings["of"].split()
    for name in names:
        if name not in setup.others or names.count(name) > 1:
            raise ValueError(f"channels.{setup.name}.of: found {name}, expected other channels, each once")
    return Failover([Member(name, *setup.others[name]) for name in names])
