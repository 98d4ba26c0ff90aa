"""What a rule would have said of samples that came too late to ring: a ledger, never a page.

A device sends what it kept during an outage; a frame overtakes another. Such samples are stored and not
judged, and each rule follows them here as if they had come in time: same limits, same holds, event time.
"""

from __future__ import annotations

import msgspec

from gateway.core.alerts import ACTIVE, Phase, Standing, expire, turn
from gateway.core.conditions import Judge
from gateway.core.model import SECOND, Level

GAP_NS = 6 * 3600 * SECOND  # what lies further apart is another story


class Past(msgspec.Struct):
    """One rule on one subject along the late samples. `until_ns`: the instant of the last of them."""

    standings: list[Standing]
    until_ns: int


def would_have_fired(
    past: dict[str, Past], judge: Judge, value: float, measured_ns: int, minute: int
) -> list[tuple[Level, int]]:
    """The levels that one late sample shows to have fired, each with its instant (UTC ns)."""
    track = past.get(judge.key)
    if track is None or not track.until_ns <= measured_ns <= track.until_ns + GAP_NS:
        past.pop(judge.key, None)
        if not judge.beyond(value, measured_ns):
            return []
        limits = judge.rule.limits
        track = past[judge.key] = Past([Standing(limit.level) for limit in limits], measured_ns)
    track.until_ns = measured_ns
    fired = _moved(track, judge, value, measured_ns, minute)
    if all(one.phase is Phase.CALM for one in track.standings):
        del past[judge.key]
    return fired


def _moved(track: Past, judge: Judge, value: float, measured_ns: int, minute: int) -> list[tuple[Level, int]]:
    fired, rule = [], judge.rule
    for limit, one in zip(rule.limits, track.standings, strict=True):
        stood = one.phase in ACTIVE
        expire(one, limit, rule, measured_ns)  # until this sample it stayed as it was
        since_ns = one.since if one.phase in ACTIVE else None  # it may be over with this very sample
        verdict = judge.verdict(limit, value, one.phase in ACTIVE, minute, measured_ns)
        turn(one, limit, verdict, measured_ns)
        expire(one, limit, rule, measured_ns)
        if since_ns is None and one.phase in ACTIVE:
            since_ns = one.since
        if since_ns is not None and not stood:
            fired.append((limit.level, since_ns))
    return fired
