"""The conditions of a rule in the order in which they are asked; the verdicts are the engine's own."""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.adapters.archive import Row
from gateway.core.alerts import ACTIVE, OPEN, Phase, Standing, due_at
from gateway.core.conditions import CONFIDENCE, Counts, held_at
from gateway.core.doubts import STUCK
from gateway.core.model import SECOND, Alert, AlertState, Limit, Quality, QuarantineRow, Verdict
from gateway.core.silence import is_silence, span_ns
from gateway.core.texts import LEVELS
from gateway.tuning.asked import (
    Answer,
    Asked,
    LevelSaid,
    Reason,
    counts_ns,
    figure_of,
    levels_of,
    seconds,
    terms_then,
    value_of,
)
from gateway.tuning.facts import bound, figure, hours_said

NOT_JUDGED = {
    Quality.LATE: ("来得太晚，只存不判", "late: stored, not judged"),
    Quality.DISORDER: ("比已有读数更早，不判", "older than what it already said: not judged"),
    Quality.HISTORY: ("设备自称旧数据，不判", "called old by the device itself: not judged"),
    Quality.RETAINED: ("代理保留的旧消息，不判", "the broker's memory: not judged"),
}
HELD_WITH_THE_CLOCK = (Quality.SKEWED, Quality.AHEAD)  # not judged where the model says wrong_clock: hold
DOUBTS = {Quality.SPIKE: ("尖峰", "a spike"), Quality.STUCK: ("读数不动", "stuck")}


def _shadow(asked: Asked) -> Answer | None:
    if asked.rule.mode != "shadow":
        return None
    further = next(answer for check in CHECKS[1:] if (answer := check(asked)) is not None)
    zh = f"规则在试运行（mode: shadow，{asked.rule.origin}）：触发也不通知任何人"
    en = f"the rule is in the shadow ({asked.rule.origin}): what it raises tells nobody"
    return Answer(reason=Reason.SHADOW, zh=zh, en=en, further=further, alert=further.alert)


def _fired(asked: Asked) -> Answer | None:
    """What the store says: it did fire, and stood then."""
    for alert in asked.alerts:
        gone_ns = alert.changed_ns if alert.state is AlertState.CLEARED else None
        if alert.raised_ns <= asked.past.at_ns and (gone_ns is None or asked.past.at_ns < gone_ns):
            return _standing(asked, alert)
    return None


def _standing(asked: Asked, alert: Alert) -> Answer:
    since = asked.clock(alert.raised_ns)
    if alert.hidden_by:
        zh = f"已触发（{since} 起），但被起因 {alert.hidden_by} 盖住，不另行通知"
        en = f"it did fire at {since}, hidden behind its cause {alert.hidden_by}"
        return Answer(reason=Reason.HIDDEN, zh=zh, en=en, alert=alert.id)
    zh = f"已触发：{since} 起，{LEVELS[alert.level]}；见 lilong why {alert.id}"
    en = f"it did fire at {since}, {alert.level.word}; see lilong why {alert.id}"
    return Answer(reason=Reason.FIRED, zh=zh, en=en, alert=alert.id)


def _silence(asked: Asked) -> Answer | None:
    """A rule of silence has conditions of its own."""
    if not is_silence(asked.rule):
        return None
    engine, watch = asked.past.engine, asked.past.engine.watches.of[asked.device.id]
    if not engine.state.link_up:
        return Answer(
            reason=Reason.DEAF,
            zh="网关自己没连上代理：沉默不作数",
            en="the gateway had no broker: silence proves nothing",
        )
    group = engine.state.groups.get(asked.device.behind)
    if group is not None and group.dark:
        zh = f"它所经的 {asked.device.behind} 之后 {group.count} 台一起失联，只报那一件"
        en = f"silent together with {group.count} devices behind {asked.device.behind}, which is told instead"
        return Answer(reason=Reason.BEHIND, zh=zh, en=en)
    held = _works(asked, held_at(asked.past.engine.watches.of[asked.device.id].works, asked.past.at_ns))
    if held is not None:
        return held
    silent_ns = asked.past.at - max(watch.heard.seen_at, engine.state.listening_since)
    levels = [_silent(asked, limit, silent_ns, watch.interval_ns()) for limit in asked.rule.limits]
    said = seconds(max(silent_ns, 0) / SECOND)
    zh, en = f"失联还不够久：{said}", f"not silent for long enough: {said}"
    return Answer(reason=Reason.NOT_LONG, zh=zh, en=en, levels=tuple(levels))


def _silent(asked: Asked, limit: Limit, silent_ns: int, interval_ns: int) -> LevelSaid:
    wanted = span_ns(limit, interval_ns)
    wanting = "间隔未知 interval unknown" if wanted is None else seconds(max(wanted - silent_ns, 0) / SECOND)
    found = seconds(max(silent_ns, 0) / SECOND)
    return LevelSaid(level=limit.level.word, limit=bound(asked.rule, limit), found=found, wanting=wanting)


def _unheard(asked: Asked) -> Answer | None:
    if not asked.rows:
        zh, en = "那之前没有收到过设备的任何读数", "nothing was heard of the device before that"
        return Answer(reason=Reason.UNHEARD, zh=zh, en=en)
    if asked.last is not None or asked.rule.quantity == STUCK or (asked.judge and asked.judge.members):
        return None
    names = "、".join(asked.quantities)
    heard = max(row.received_ns for row in asked.rows)
    zh = f"设备有读数（最近 {asked.clock(heard)}），但没说过 {names}"
    en = f"the device spoke (last at {asked.clock(heard)}), but never of {', '.join(asked.quantities)}"
    return Answer(reason=Reason.UNSAID, zh=zh, en=en)


def _refused(asked: Asked) -> Answer | None:
    """The newest word of it is in quarantine."""
    since_ns = asked.last.received_ns if asked.last else 0
    about = (one for one in asked.refused if since_ns < one.wall_ns <= asked.past.at_ns)
    named = [one for one in about if one.field in asked.quantities or _whole(one)]
    if not named:
        return None
    one = named[-1]
    zh = f"{asked.clock(one.wall_ns)} 的读数被拒收：{one.code} {one.field} {one.reason}".replace("  ", " ")
    en = f"the reading of {asked.clock(one.wall_ns)} was refused: {one.code} {one.field} {one.reason}"
    return Answer(reason=Reason.REFUSED, zh=zh, en=en.replace("  ", " "))


def _whole(one: QuarantineRow) -> bool:
    """Nothing of the message was believed, as far as its code tells."""
    return one.code not in ("range", "component", "database")


def _marked(asked: Asked) -> Answer | None:
    last, held = asked.last, asked.world.models[asked.device.model].wrong_clock == "hold"
    if last is None:
        return None
    quality = Quality(last.quality)
    overtaken = quality is Quality.DISORDER
    if overtaken and last.received_ns - last.measured_ns <= asked.rule.lateness_s * SECOND:
        return None  # the rule has waited for it
    told = NOT_JUDGED.get(quality)
    if told is None and held and quality in HELD_WITH_THE_CLOCK:
        told = "设备时钟不准，按型号不判", "the device's clock is wrong, and its model says hold"
    if told is None:
        return None
    value = figure_of(asked, last)
    when = asked.clock(last.measured_ns)
    return Answer(
        reason=Reason.MARKED,
        zh=f"{when} 的读数 {value}：{told[0]}",
        en=f"reading of {when}, {value}: {told[1]}",
    )


def _doubted(asked: Asked) -> Answer | None:
    """A spike, or a needle that is stuck, and no level that rises on such a value."""
    last, judge = asked.last, asked.judge
    if last is None or judge is None or Quality(last.quality) not in DOUBTS:
        return None
    if any(judge.despite(limit, Verdict.BAD) is Verdict.BAD for limit in judge.rule.limits):
        return None
    zh, en = DOUBTS[Quality(last.quality)]
    value = figure_of(asked, last)
    return Answer(
        reason=Reason.DOUBTED,
        zh=f"{asked.clock(last.measured_ns)} 的读数 {value} 可疑（{zh}），各级都等可信数据",
        en=f"the reading of {asked.clock(last.measured_ns)}, {value}, is {en}: levels wait for a sound one",
    )


def _unsure(asked: Asked) -> Answer | None:
    """The device itself is less sure of what it saw than the rule asks for."""
    last, judge = asked.last, asked.judge
    if last is None or judge is None or not judge.rule.confidence:
        return None
    said = {one.quantity: one.value for one in asked.rows if _same_reading(one, last)}
    if judge.believes(last.value, said):
        return None
    least = f"{judge.rule.confidence:g}"
    zh = f"{asked.clock(last.measured_ns)} 的读数置信度 {said[CONFIDENCE]:g}，规则要求至少 {least}"
    en = f"the reading of {asked.clock(last.measured_ns)} says confidence {said[CONFIDENCE]:g} of {least}"
    return Answer(reason=Reason.UNSURE, zh=zh, en=en)


def _same_reading(one: Row, other: Row) -> bool:
    return (one.component, one.measured_ns) == (other.component, other.measured_ns)


def _cooling(asked: Asked) -> Answer | None:
    """An alert has just ended, and what stands now is no worse."""
    judge, value = asked.judge, value_of(asked)
    if judge is None or value is None or not judge.beyond(value, asked.past.at_ns):
        return None
    cooling = asked.past.engine.state.cooling.get(judge.key)
    track = asked.past.engine.state.tracks.get(judge.key)
    left_ns = cooling.until - asked.past.at if cooling else 0
    if left_ns <= 0 or track is None or track.level() is not None:
        return None
    left = seconds(left_ns / SECOND)
    zh = f"上一次报警刚结束，冷却中（cool_down），还有 {left}"
    en = f"its last alert has just ended: cooling down for {left}"
    return Answer(reason=Reason.COOLING, zh=zh, en=en, levels=levels_of(asked))


def _waiting(asked: Asked) -> Answer | None:
    """The model reorders, or the rule has a lateness, and the reading waits for its turn."""
    engine, judge = asked.past.engine, asked.judge
    watch = engine.watches.of[asked.device.id]
    held = [one.at for one in watch.heard.held if one.component == asked.component]
    key, lag_ns = "reorder", watch.reorder_ns
    queue = engine.state.queues.get(judge.key) if judge else None
    if judge and queue and queue.waiting:
        held, key, lag_ns = [queue.waiting[-1].at], "lateness", judge.lag_ns
    if not held:
        return None
    left = seconds((held[-1] + lag_ns - asked.past.at) / SECOND)
    zh = f"读数还在排队等先后（{key}），还要 {left}"
    en = f"the reading waits for its turn ({key}): {left}"
    return Answer(reason=Reason.WAITING, zh=zh, en=en)


def _during(asked: Asked) -> Answer | None:
    judge = asked.judge
    if judge is None or judge.counts_at(asked.past.at_ns) is not Counts.NOT_NOW:
        return None
    during = asked.rule.during
    assert during is not None
    hours = hours_said(during)
    zh = f"{asked.clock(asked.past.at_ns)} 不在规则的时段内（during：{'，'.join(hours)}）"
    en = f"{asked.clock(asked.past.at_ns)} is outside the rule's during ({', '.join(hours)})"
    return Answer(reason=Reason.DURING, zh=zh, en=en)


def _maintenance(asked: Asked) -> Answer | None:
    judge = asked.judge
    if judge is None:
        return None
    value, counts = value_of(asked), judge.counts_at(asked.past.at_ns)
    beyond = value is not None and judge.beyond(value, asked.past.at_ns)
    free = [limit for limit in judge.rule.limits if not counts.holds(limit.level)]
    if beyond and any(judge.verdict(one, value or 0.0, False, counts) is Verdict.BAD for one in free):
        return None  # red is raised all the same
    return _works(asked, counts) if beyond or not free else None


def _works(asked: Asked, counts: Counts) -> Answer | None:
    if counts is Counts.FULLY:
        return None
    works = asked.past.engine.watches.of[asked.device.id].works
    going = [one.entry for one in works if one.hold_at(asked.past.at_ns)]
    entry = max(going, key=lambda one: one.also_red)
    until = asked.clock(entry.until_ns) if entry.until_ns else "-"
    zh = f"正在施工维护：{entry.says}（{entry.by}，至 {until}，{entry.origin}）"
    en = f"works go on: {entry.says} ({entry.by}, until {until}, {entry.origin})"
    return Answer(reason=Reason.MAINTENANCE, zh=zh, en=en)


def _disabled(asked: Asked) -> Answer | None:
    why = asked.past.engine.state.disabled.get(asked.judge.key) if asked.judge else None
    if why is None:
        return None
    zh, en = f"规则算错后停用：{why}", f"the rule failed and judges no more: {why}"
    return Answer(reason=Reason.DISABLED, zh=zh, en=en, terms=terms_then(asked))


def _unknown(asked: Asked) -> Answer | None:
    """An expression whose value is not known, or a baseline that nobody knows."""
    judge, value = asked.judge, value_of(asked)
    if judge is None:
        return Answer(reason=Reason.BASELINE, zh="没有可比的基线", en="there is no baseline to count from")
    if judge.expression is not None and value is None:
        terms = terms_then(asked)
        wanting = [one.text for one in terms if one.value is None]
        zh = f"算式的值未知，因为不知道 {'、'.join(wanting) or '?'}"
        en = f"the expression is unknown, because of {', '.join(wanting) or '?'}"
        return Answer(reason=Reason.UNKNOWN, zh=zh, en=en, terms=terms)
    if value is not None and math.isnan(judge.measure(value, asked.past.at_ns)):
        zh, en = "换过传感器，还没有新的基线", "another sensor, and nobody has said its baseline"
        return Answer(reason=Reason.BASELINE, zh=zh, en=en)
    return None


def _not_long(asked: Asked) -> Answer | None:
    """A level that is on its way: how much of how much."""
    track = asked.judge and asked.past.engine.state.tracks.get(asked.judge.key)
    if not track or asked.judge is None:
        return None
    pairs = list(zip(asked.judge.rule.limits, track.standings, strict=True))
    if any(one.phase in ACTIVE for _, one in pairs):
        zh, en = "按规则应已触发（回放所得）", "by the rule it stands (so says the replay)"
        return Answer(reason=Reason.FIRED, zh=zh, en=en, levels=levels_of(asked))
    pending = [(limit, one) for limit, one in pairs if one.phase is Phase.PENDING]
    if not pending:
        return None
    said = [how_long(asked, limit, one) for limit, one in pending]
    head = f"{said[0].level}: {said[0].found}"
    zh, en = f"超限了，但还不够久：{head}", f"beyond, but not for long enough: {head}"
    return Answer(reason=Reason.NOT_LONG, zh=zh, en=en, levels=tuple(said), terms=terms_then(asked))


def how_long(asked: Asked, limit: Limit, one: Standing) -> LevelSaid:
    """How much of its hold or of its readings a pending level has."""
    now, due = asked.past.at, due_at(one, limit, asked.rule)
    wanting = seconds(max(due - now, 0) / SECOND) if due is not None else ""
    if limit.readings:
        found = f"{one.bits.bit_count()} / {limit.readings[0]} ({limit.readings[1]})"
        wanting = wanting or f"{limit.readings[0] - one.bits.bit_count()} ×"
    elif limit.within_s:
        since = now - int(limit.within_s * SECOND)
        bad_ns = sum(max(min(end, now) - max(begun, since), 0) for begun, end in one.bad)
        found = f"{bad_ns / SECOND:g} s / {limit.hold_s:g} s ({limit.within_s:g} s)"
        wanting = wanting if one.bad and one.bad[-1][1] == OPEN else "-"
    else:
        found = f"{(now - one.since) / SECOND:g} s / {limit.hold_s:g} s"
    return LevelSaid(
        level=limit.level.word, limit=bound(asked.rule, limit, asked.unit), found=found, wanting=wanting
    )


def _not_beyond(asked: Asked) -> Answer | None:
    judge, value = asked.judge, value_of(asked)
    if judge is None or value is None or judge.beyond(value, asked.past.at_ns):
        return None
    last = asked.last
    stale = last is not None and asked.past.at_ns - last.received_ns > counts_ns(asked)
    levels = levels_of(asked)
    said = figure(asked.rule, value, asked.unit)
    if stale and last is not None:
        ago = asked.ago(last.received_ns)
        zh = f"{ago}没有读数（最后 {asked.clock(last.received_ns)}，{said}，未超限）"
        en = f"not heard for {ago} (last at {asked.clock(last.received_ns)}: {said}, not beyond)"
        return Answer(reason=Reason.UNHEARD, zh=zh, en=en, levels=levels)
    near = levels[0]  # of the lowest level
    zh = f"没有超限：{said}，{near.level} 为 {near.limit}，还差 {near.wanting}"
    en = f"not beyond the limit: {said}, {near.level} is {near.limit}, {near.wanting} short"
    return Answer(reason=Reason.NOT_BEYOND, zh=zh, en=en, levels=levels, terms=terms_then(asked))


def _undecided(asked: Asked) -> Answer:
    zh = "超限了，但回放中没有开始计时：请核对读数"
    en = "beyond, and yet nothing was pending in the replay: look at the readings"
    return Answer(reason=Reason.UNDECIDED, zh=zh, en=en, levels=levels_of(asked), terms=terms_then(asked))


CHECKS: tuple[Callable[[Asked], Answer | None], ...] = (
    _shadow, _fired, _silence, _unheard, _refused, _marked, _doubted, _unsure, _waiting, _during,
    _maintenance, _disabled, _unknown, _cooling, _not_long, _not_beyond, _undecided,
)  # fmt: skip
