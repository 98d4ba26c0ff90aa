"""The shorthand of scenarios: what a device says step by step, what people and the link do, what is expected.

`40 56x4 gapx3 76~10m dup stuckx2 40..50/11 skew+8h 40`: see rules/README.md, "What a series can say".
"""

from __future__ import annotations

import re
from typing import Any

from gateway.core.model import Level, Sample, Verb
from gateway.problems import say
from gateway.typed import Misread, parse_duration

STEPS_MOST = 100_000  # of one scenario: a year at 5 minutes
UNSET = float("-inf")  # a clock that counts from 1970
WORDS = (*(level.word for level in Level), "clear", "told", "untold")
Said = float | None | Sample

_NUMBER = r"-?\d+(?:\.\d+)?"
_STEP = re.compile(
    rf"(?:(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})/(?P<steps>\d{{1,6}})"
    rf"|(?P<word>{_NUMBER}|-|gap|dup|stuck)(?:x(?P<times>\d{{1,6}}))?)(?:~(?P<late>[0-9dhms.]+))?",
    re.ASCII,
)
_SKEW = re.compile(r"skew(?:(?P<unset>1970)|(?P<sign>[+-])(?P<span>[0-9dhms.]+))", re.ASCII)
SUBJECT = r"(?:([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.)?(?:([a-z][a-z_]{0,31}-[1-9][0-9]{0,2})/)?"  # of a series

# ---------------------------------------------------------------- what a device says


def parse_series(value: Any) -> tuple[Said, ...]:
    """One entry a step. Misread tells which word is wrong, and in which column it begins."""
    if type(value) in (int, float):
        return (float(value),)
    if not isinstance(value, str) or not value.split():
        raise ValueError
    steps: list[Said] = []
    skew_s: float | None = None
    for match in re.finditer(r"\S+", value):
        word, column = match[0], match.start() + 1
        try:
            if word.startswith("skew"):
                skew_s, more = _skew(word), []
            else:
                more = _steps(word, steps)
        except ValueError:
            raise Misread(say("at_column", value=word, column=column)) from None
        if len(steps) + len(more) > STEPS_MOST:
            raise Misread(say("steps_over", most=STEPS_MOST, value=word, column=column))
        if more and skew_s is not None:
            more[0], skew_s = _skewed(more[0], skew_s), None
        steps += more
    if skew_s is not None:  # a clock that nothing follows
        raise Misread(say("at_column", value=word, column=column))
    return tuple(steps)


def _steps(word: str, before: list[Said]) -> list[Said]:
    match = _STEP.fullmatch(word)
    if not match:
        raise ValueError
    said = _ramp(match) if match["steps"] else [_said(match["word"], before)] * int(match["times"] or 1)
    if not match["late"]:
        return said
    late_s = parse_duration(match["late"])
    if late_s <= 0 or any(not isinstance(one, float) for one in said):
        raise ValueError  # what is not said does not come late
    return [Sample(one, late_s=late_s) for one in said if isinstance(one, float)]


def _ramp(match: re.Match[str]) -> list[Said]:
    """So many values from the first to the last, evenly."""
    low, high, steps = float(match["low"]), float(match["high"]), int(match["steps"])
    if not 2 <= steps <= STEPS_MOST:
        raise ValueError
    return [round(low + (high - low) * step / (steps - 1), 9) for step in range(steps)]


def _said(word: str, before: list[Said]) -> Said:
    if word == "dup":
        if all(one is None for one in before):
            raise ValueError  # there is nothing to say again
        return Sample(again=True)
    if word == "stuck":
        values = [value for one in before if (value := value_of(one)) is not None]
        if not values:
            raise ValueError
        return values[-1]
    return None if word in ("-", "gap") else float(word)


def _skew(word: str) -> float:
    match = _SKEW.fullmatch(word)
    if not match:
        raise ValueError
    if match["unset"]:
        return UNSET
    return parse_duration(match["span"]) * (1 if match["sign"] == "+" else -1)


def _skewed(said: Said, skew_s: float) -> Sample:
    if isinstance(said, Sample):
        return Sample(said.value, late_s=said.late_s, again=said.again, skew_s=skew_s)
    return Sample(said, skew_s=skew_s)


def value_of(said: Said) -> float | None:
    """The value of a step; None when it says none."""
    return said.value if isinstance(said, Sample) else said


# ---------------------------------------------------------------- of what it speaks


def parse_subject(key: str) -> tuple[str, str, str]:
    """(device, component, quantity) of `b.slot-2/slot_temperature_c`; the first two may be ""."""
    match = re.match(SUBJECT, key)
    assert match is not None  # both parts may be missing
    return match[1] or "", match[2] or "", key[match.end() :]


# ---------------------------------------------------------------- what happens when


def parse_expectation(value: Any) -> tuple[str, float]:
    """`yellow @ 1m30s`, `slot-hot b.slot-2 red @ 9m`: what happens, to whom, how long after the start."""
    what, after_s = _moment(value)
    *subject, word = what.split()
    if word not in WORDS or len(subject) > 2:
        raise ValueError
    return " ".join((*subject, word)), after_s


def parse_act(value: Any) -> tuple[str, float]:
    """`acknowledge @ 5m`: what a person does on the case that is open then."""
    return _one_of(value, tuple(Verb))


def parse_link(value: Any) -> tuple[str, float]:
    """`down @ 5m`, `up @ 20m`: the connection to the broker."""
    return _one_of(value, ("down", "up"))


def _one_of(value: Any, words: tuple[str, ...]) -> tuple[str, float]:
    what, after_s = _moment(value)
    if what not in words:
        raise ValueError
    return what, after_s


def _moment(value: Any) -> tuple[str, float]:
    what, at, when = value.partition("@") if isinstance(value, str) else ("", "", "")
    if not what.strip() or not at:
        raise ValueError
    return what.strip(), parse_duration(when.strip())
