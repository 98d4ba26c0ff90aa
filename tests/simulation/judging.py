"""What came of a week against what was true: each alert by rule, subject, levels, and when they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from gateway.core.model import SECOND, Alert, AlertState, Level
from simulators.lives import DAY, HOUR, MINUTE
from tests.simulation.stories import Story, Told
from tests.simulation.street import START_NS
from tests.simulation.voices import Lane

if TYPE_CHECKING:
    from tests.simulation.week import Week

LEFT_NS = 60 * MINUTE  # by when people have said that they are done


@dataclass
class Verdict:
    """What was told against what was true."""

    found: list[tuple[Story, Told, float]] = field(default_factory=list)  # with minutes to the alert
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def perfect(self) -> bool:
        return not (self.missed or self.false or self.problems)


def judge(week: Week, told: Sequence[Story]) -> Verdict:
    """Each alert that must come has come as its row says; no other has; nothing is left over."""
    rows: dict[tuple[str, str, str], list[list[Alert]]] = {}
    episodes: dict[str, list[Alert]] = {}
    for alert in week.alerts:
        if alert.id not in episodes:
            rows.setdefault((alert.rule, alert.device, alert.component), []).append(
                episodes.setdefault(alert.id, [])
            )
        episodes[alert.id].append(alert)
    verdict = Verdict(problems=[*week.problems])
    for story in told:
        for wanted in story.told:
            _judge_one(verdict, story, wanted, rows, week.lane)
    for left in rows.values():
        verdict.false += [_shown(episode) for episode in left]
    verdict.problems += _left_open(week)
    refused = [one for one in week.refused if "site/added-" not in one.reason]  # what was taken down
    if refused:
        verdict.problems.append(f"{len(refused)} payloads refused, first {refused[0]}")
    return verdict


def _judge_one(
    verdict: Verdict,
    story: Story,
    wanted: Told,
    rows: dict[tuple[str, str, str], list[list[Alert]]],
    lane: Lane,
) -> None:
    name = f"{story.name}: {wanted.rule} on {wanted.device} {wanted.component}"
    left = rows.get((wanted.rule, wanted.device, wanted.component), [])
    near = [one for one in left if wanted.turns[0].earliest_ns - HOUR <= one[0].raised_ns]
    if not near:
        verdict.missed.append(f"{name}: {_row(wanted)}")
        return
    episode = near[0]
    left.remove(episode)
    said = list(_changes(episode))
    fits = len(said) == len(wanted.turns) and all(
        level is turn.level and turn.earliest_ns <= ns <= turn.latest_ns
        for (level, ns), turn in zip(said, wanted.turns, strict=False)
    )
    if not fits:
        verdict.missed.append(f"{name}: expected {_row(wanted)}, found {_said(said)}")
    words = lane.by_name[wanted.device].words[story.begins_ns, wanted.rule]
    if wanted.counted and episode[-1].count != words:
        verdict.problems.append(f"{name}: counted {episode[-1].count} of {words} words")
    verdict.found.append((story, wanted, (said[0][1] - story.begins_ns) / MINUTE))


def _changes(episode: Sequence[Alert]) -> Iterator[tuple[Level | None, int]]:
    before: Level | None = None
    for alert in episode:
        level = None if alert.state is AlertState.CLEARED else alert.level
        if level is not before:
            yield level, alert.changed_ns
        before = level


def _left_open(week: Week) -> Iterator[str]:
    """A case is closed once its alert is over and somebody has said done."""
    standing = {one.id for one in week.engine.state.alerts.values()}
    for case in week.engine.state.cases.values():
        old = case.changed_ns < week.lane.ends_ns - LEFT_NS
        if old and not standing.intersection(case.alerts):
            yield f"case {case.id} of {case.rule} on {case.device} is left {case.stage}"


def _clock(ns: int) -> str:
    past = (ns - START_NS) / SECOND
    return (
        f"d{int(past // 86400)} {int(past % 86400 // 3600):02}:{int(past % 3600 // 60):02}:{past % 60:04.1f}"
    )


def _word(level: Level | None) -> str:
    return level.word if level else "clear"


def _row(wanted: Told) -> str:
    return ", ".join(
        f"{_word(one.level)} {_clock(one.earliest_ns)}..{_clock(one.latest_ns)}" for one in wanted.turns
    )


def _said(said: Sequence[tuple[Level | None, int]]) -> str:
    return ", ".join(f"{_word(level)} {_clock(ns)}" for level, ns in said)


def _shown(episode: list[Alert]) -> str:
    one = episode[0]
    return f"{one.rule} on {one.device} {one.component}: {_said(list(_changes(episode)))}"


@dataclass
class Played:
    """What came of a week: of one edge box, or of several together."""

    verdict: Verdict
    stories: list[str]  # what happened, by name
    scenes: set[str]
    noted: Counter[str]
    days: float
    boxes: int
    devices: int
    messages: int
    steps: int
    restarts: int
    outages: int
    edits: int
    spent_s: float


def played(week: Week) -> Played:
    stories, models = week.lane.stories, week.world.models
    return Played(
        verdict=judge(week, stories), stories=[story.name for story in stories],
        scenes={models[device.model].scene for device in week.world.devices.values()}, noted=week.noted,
        days=(week.lane.ends_ns - START_NS) / DAY, boxes=1, devices=len(week.world.devices),
        messages=week.lane.count, steps=week.stepped, restarts=len(week.fate.restarts),
        outages=len(week.fate.outages), edits=len(week.edits), spent_s=week.spent_s,
    )  # fmt: skip


def together(parts: Sequence[Played]) -> Played:
    """Of boxes that were played side by side: what one of them got wrong is wrong."""
    first, *others = parts
    whole = replace(first, boxes=len(parts))
    for one in others:
        whole.stories = whole.stories + one.stories
        whole.scenes, whole.noted = whole.scenes | one.scenes, whole.noted + one.noted
        for name in ("devices", "messages", "steps", "restarts", "outages", "edits"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
    whole.verdict = Verdict(
        *(
            [row for one in parts for row in getattr(one.verdict, name)]
            for name in ("found", "missed", "false", "problems")
        )
    )
    return whole


def report(played: Played) -> str:
    """The table of a week."""
    verdict, minutes = played.verdict, dict[str, list[float]]()
    for story, _, spent in verdict.found:
        minutes.setdefault(story.name, []).append(spent)
    lines = [f"{'what happened':32}{'times':>6}{'alerts':>8}{'minutes to alert, median and longest':>40}"]
    for name, times in Counter(played.stories).items():
        spent = minutes.get(name, [])
        row = f"{median(spent):.1f} {max(spent):.1f}" if spent else ""
        lines.append(f"{name:32}{times:6}{len(spent):8}{row:>40}")
    lines += [
        f"boxes {played.boxes}  devices {played.devices}  days {played.days:g}  "
        f"messages {played.messages:,}  steps {played.steps:,}",
        f"restarts {played.restarts}  outages {played.outages}  edits {played.edits}",
        f"stories {len(played.stories)}  alerts {len(verdict.found)}  missed {len(verdict.missed)}  "
        f"false {len(verdict.false)}  other {len(verdict.problems)}",
        f"{played.spent_s:.0f} s, {played.messages / played.spent_s:,.0f} simulated messages a second",
        *(f"  MISSED {one}" for one in verdict.missed),
        *(f"  FALSE  {one}" for one in verdict.false),
        *(f"  WRONG  {one}" for one in verdict.problems),
    ]
    return "\n".join(lines)
