"""How many messages a way may carry, counted before the wire: what goes over a limit is often lost unsaid.

Counted one by one in rolling windows, for providers count so; a bucket refilled at a rate would let twice
as many through. Some of each quota is kept for red alone. Instants are steady nanoseconds, never asked for.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.core.model import SECOND, Kind, Level, Notification

WARNS_AT = 0.8  # of a quota: somebody can still do something about it
KEYS_MOST = 10_000  # addresses that we count for; those quiet for longest are forgotten
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
SPANS = {"s": 1.0, "m": MINUTE_S, "h": HOUR_S}
DIGITS = 11  # of a mobile number: +86 138… and 138… are counted as one


class Per(StrEnum):
    """Whose messages are counted together."""

    CHANNEL = "channel"  # all of it: a robot, an account
    ADDRESS = "address"  # a number, a member
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `most` messages in any `span_s`; the last `reserve` of them are for red alone."""

    most: int
    span_s: float
    per: Per = Per.CHANNEL
    reserve: int = 0
    ours: bool = False  # no provider's: it spares the person, and needs no warning
    spares_red: bool = False  # red may go over it


# What one person gets on one channel: in a storm each message tells all that came meanwhile (core.digest).
# On two channels that is at most 10 in the 10 minutes after a storm of one, and no red waits for a minute;
# for a red that comes still later there is always room.
PERSON = (
    Quota(most=2, span_s=20.0, per=Per.PERSON, reserve=1, ours=True),
    Quota(most=3, span_s=MINUTE_S, per=Per.PERSON, reserve=1, ours=True),
    Quota(most=5, span_s=10 * MINUTE_S, per=Per.PERSON, ours=True, spares_red=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How much of a quota is used; `person` is one of those it was used for, "" when it is everybody's."""

    quota: Quota
    used: int
    person: str = ""


def urgent(told: Notification) -> bool:
    """Red, and not the news that it is over."""
    return told.level is Level.RED and told.kind is not Kind.CLEARED


class Quotas:
    """What one channel has sent, against its quotas."""

    def __init__(self, quotas: Sequence[Quota] = ()) -> None:
        self._quotas = tuple(quotas)
        self._sent: dict[tuple[Quota, str], deque[int]] = {}
        self._person: dict[tuple[Quota, str], str] = {}
        self._quiet_until: dict[tuple[Quota, str], int] = {}  # warned once a window

    def __bool__(self) -> bool:
        return bool(self._quotas)

    @property
    def span_s(self) -> float:
        """How far back it must know what was sent."""
        return max((quota.span_s for quota in self._quotas), default=0.0)

    def free_at(self, told: Notification, at: int) -> int:
        """The first instant, from `at` on, when this one may go."""
        return max((self._free_at(quota, told, at) for quota in self._quotas), default=at)

    def room(self, told: Notification, at: int) -> float:
        """How many like this one may go at once."""
        return min((self._room(quota, told, at) for quota in self._quotas), default=math.inf)

    def take(self, told: Notification, at: int) -> list[Use]:
        """Counts one sending; returns the quotas that came to their 80 % mark by it."""
        return [use for quota in self._quotas if (use := self._take(quota, told, at))]

    def uses(self, at: int) -> Iterator[Use]:
        """Of each quota the fullest window."""
        for quota in self._quotas:
            windows = [(self._count(key, at), self._person[key]) for key in self._sent if key[0] == quota]
            used, person = max(windows, default=(0, ""))
            yield Use(quota=quota, used=used, person=person)

    def _free_at(self, quota: Quota, told: Notification, at: int) -> int:
        room, key = self._room(quota, told, at), _key(quota, told)
        return at if room > 0 else self._sent[key][-int(room)] + _ns(quota)

    def _room(self, quota: Quota, told: Notification, at: int) -> float:
        red = urgent(told)
        if red and quota.spares_red:
            return math.inf
        return quota.most - (0 if red else quota.reserve) - self._count(_key(quota, told), at)

    def _take(self, quota: Quota, told: Notification, at: int) -> Use | None:
        key = _key(quota, told)
        self._sent.setdefault(key, deque()).append(at)
        self._person[key] = "" if quota.per is Per.CHANNEL else told.person
        if len(self._sent) > KEYS_MOST:
            self._forget(at)
        used = self._count(key, at)
        if quota.ours or used < quota.most * WARNS_AT or self._quiet_until.get(key, at) > at:
            return None
        self._quiet_until[key] = at + _ns(quota)
        return Use(quota=quota, used=used, person=self._person[key])

    def _count(self, key: tuple[Quota, str], at: int) -> int:
        sent = self._sent.get(key, deque())
        while sent and sent[0] + _ns(key[0]) <= at:
            sent.popleft()
        return len(sent)

    def _forget(self, at: int) -> None:
        """Windows in which nothing is left, and then the one that was begun first."""
        for key in [key for key in self._sent if not self._count(key, at)] or [next(iter(self._sent))]:
            for known in (self._sent, self._person, self._quiet_until):
                known.pop(key, None)


def _ns(quota: Quota) -> int:
    return int(quota.span_s * SECOND)


def _key(quota: Quota, told: Notification) -> tuple[Quota, str]:
    return quota, NAMES[quota.per](told)


def _address(told: Notification) -> str:
    digits = "".join(letter for letter in told.address if letter in "0123456789")
    return digits[-DIGITS:] if len(digits) >= DIGITS else told.address.strip()


NAMES: dict[Per, Callable[[Notification], str]] = {
    Per.CHANNEL: lambda told: "",
    Per.ADDRESS: _address,
    Per.PERSON: lambda told: f"{told.person} {_address(told)}",
}


# ---------------------------------------------------------------- after a restart


def recount(quotas: Quotas, sent: Iterable[Notification]) -> None:
    """Counts what the store says was sent; those of one digest, which share a number, once."""
    ordered = sorted(sent, key=lambda told: told.told_at)
    for told in {(_address(told), told.number or told.id): told for told in ordered}.values():
        quotas.take(told, told.told_at)


# ---------------------------------------------------------------- lower numbers


def lowered(quotas: Sequence[Quota], text: str) -> tuple[Quota, ...]:
    """`quotas` with what `at_most` says, as in "10/1m 40/24h": a lower number for a span that has one.

    Raises ValueError with what is wrong.
    """
    found = dict(_parsed(word) for word in text.split())
    theirs = [quota for quota in quotas if not quota.ours]
    for span_s, most in found.items():
        known = [quota.most for quota in theirs if quota.span_s == span_s]
        if not known or not 1 <= most <= known[0]:
            spans = " ".join(f"{quota.most}/{span(quota.span_s)}" for quota in theirs)
            raise ValueError(f"found {text}, expected at most {spans or 'nothing: it has none'}")
    return tuple(_lower(quota, found) for quota in quotas)


def _lower(quota: Quota, found: dict[float, int]) -> Quota:
    most = quota.most if quota.ours else found.get(quota.span_s, quota.most)
    return replace(quota, most=most, reserve=quota.reserve * most // quota.most)


def _parsed(word: str) -> tuple[float, int]:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,4})([smh])", word, re.ASCII)
    if not found:
        raise ValueError(f"found {word}, expected a number and a span, as in 40/24h")
    return float(found[2]) * SPANS[found[3]], int(found[1])


def span(span_s: float) -> str:
    """60 → 1m, 86400 → 24h."""
    unit = next(unit for unit in ("h", "m", "s") if span_s % SPANS[unit] == 0)
    return f"{span_s / SPANS[unit]:g}{unit}"
