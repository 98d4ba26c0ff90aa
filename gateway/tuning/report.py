"""What was tried, for people and for machines: side by side, as a line of blocks, as JSON, as JUnit's XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from gateway.core.model import Level, Sample
from gateway.series import Said, value_of
from gateway.tuning.bench import Trial
from gateway.tuning.coverage import WAYS, Covered, share
from gateway.tuning.scenarios import Played

BLOCKS = "▁▂▃▄▅▆▇█"
AROUND = 12  # steps shown before and after the difference
SPANS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def spoken_span(seconds: float) -> str:
    """A span as files write it: 1m30s."""
    left, text = seconds, ""
    for size, unit in SPANS[:-1]:
        count, left = divmod(left, size)
        text += f"{count:g}{unit}" if count else ""
    return text + (f"{left:g}s" if left or not text else "")


# ---------------------------------------------------------------- one that failed


def side_by_side(played: Played) -> list[tuple[str, str]]:
    """(expected, found), instant by instant; what stands on one side only has nothing beside it."""
    return [
        (
            f"{wanted[0]} @ {spoken_span(wanted[1])}" if wanted else "-",
            f"{played.line(found).partition(' @ ')[0]} @ {spoken_span(found.after_s)}" if found else "-",
        )
        for wanted, found in played.pairs()
    ]


def timeline(played: Played) -> list[str]:
    """Each series around the first difference, lowest to highest; `^` stands under the step it fell into."""
    scenario = played.scenario
    step = int(_first_difference(played) // scenario.every_s)
    first = max(step - AROUND, 0)
    width = max(map(len, scenario.series))
    lines = []
    for key, steps in scenario.series.items():
        shown = steps[first : step + AROUND + 1]
        values = [value for one in shown if (value := value_of(one)) is not None]
        scale = f"{min(values):g} … {max(values):g}" if values else ""
        lines.append(f"{key:{width}}  {blocks(shown)}  {scale}".rstrip())
    return [*lines, f"{'':{width}}  {' ' * (step - first)}^ {spoken_span(step * scenario.every_s)}"]


def blocks(steps: Sequence[Said]) -> str:
    """One sign a step: · for silence, = for a message said again."""
    values = [value for one in steps if (value := value_of(one)) is not None]
    low, span = min(values, default=0.0), (max(values, default=0.0) - min(values, default=0.0)) or 1.0
    return "".join(_block(one, low, span) for one in steps)


def _block(said: Said, low: float, span: float) -> str:
    value = value_of(said)
    if value is None:
        return "=" if isinstance(said, Sample) and said.again else "·"
    return BLOCKS[int((value - low) / span * (len(BLOCKS) - 1))]


def _first_difference(played: Played) -> float:
    for wanted, found in played.pairs():
        if wanted and not found:
            return wanted[1]
        if found and not wanted:
            return found.after_s
    return 0.0


# ---------------------------------------------------------------- coverage


def coverage_rows(covered: Sequence[Covered]) -> list[tuple[str, ...]]:
    """A row a rule, a cell a level: ✓ or - for raised, cleared, not raised."""
    rows: dict[str, dict[Level, str]] = {}
    for one in covered:
        cell = "".join("-" if way in one.missing else "✓" for way in WAYS)
        rows.setdefault(one.rule, {})[one.level] = cell
    head = ("", *(level.word for level in Level))
    return [head, *((rule, *(cells.get(level, "") for level in Level)) for rule, cells in rows.items())]


# ---------------------------------------------------------------- for machines


def as_json(tried: Sequence[Trial], covered: Sequence[Covered]) -> dict[str, Any]:
    return {
        "passed": sum(not one.reason for one in tried),
        "failed": sum(bool(one.reason) for one in tried),
        "trials": [
            {
                "name": one.name, "file": one.origin.file, "line": one.origin.line, "ok": not one.reason,
                "reason": one.reason, "took_s": round(one.took_s, 6),
            }
            for one in tried
        ],
        "coverage": {
            "percent": round(share(covered), 2),
            "levels": [
                {"rule": one.rule, "level": one.level.word, **{way: getattr(one, way) for way in WAYS}}
                for one in covered
            ],
        },
    }  # fmt: skip


def as_junit(tried: Sequence[Trial]) -> bytes:
    """The XML that CI systems read; a suite a file."""
    root = ElementTree.Element("testsuites", name="lilong test")
    for file in dict.fromkeys(one.origin.file for one in tried):
        own = [one for one in tried if one.origin.file == file]
        failed = sum(bool(one.reason) for one in own)
        took_s = f"{sum(one.took_s for one in own):.3f}"
        counts = {"name": file, "tests": str(len(own)), "failures": str(failed), "time": took_s}
        suite = ElementTree.SubElement(root, "testsuite", counts)
        for one in own:
            place = {"classname": file, "file": file, "line": str(one.origin.line)}
            told = {"name": _legal(one.name), "time": f"{one.took_s:.3f}", **place}
            case = ElementTree.SubElement(suite, "testcase", told)
            if one.reason:
                ElementTree.SubElement(case, "failure", message=_legal(one.reason)).text = _detail(one)
    return b"<?xml version='1.0' encoding='utf-8'?>\n" + bytes(ElementTree.tostring(root, encoding="utf-8"))


def _detail(one: Trial) -> str:
    if one.played is None:
        return _legal(one.reason)
    pairs = [f"{left} | {right}" for left, right in side_by_side(one.played)]
    return "\n".join([*pairs, *timeline(one.played)])


def _legal(text: str) -> str:
    """XML has no control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
