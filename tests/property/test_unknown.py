"""What is not known moves nothing, and time beside it moves nothing either: a hold that ran out waits for the
next known word. Against a second reading of the manual, for every pair of values and any pauses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core import state as states
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Alert, AlertState, Level, Limit
from gateway.core.state import State
from tests.unit.worlds import CABINET, Play, rule, world

HOLD_S, CLEAR_S = 100, 120
COUNTS_S = 150  # two and a half of the device's minutes: from then on a word is not known
TRUE = Limit(level=Level.RED, equals=1.0, hold_s=HOLD_S)
Known = bool | None


def both(a: Known, b: Known) -> Known:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def either(a: Known, b: Known) -> Known:
    found = both(None if a is None else not a, None if b is None else not b)
    return None if found is None else not found


TABLE = {
    "smoke > 0.5 and temperature_c > 60": both,
    "smoke > 0.5 or temperature_c > 60": either,
    "smoke > 0.5 and not temperature_c > 60": lambda a, b: both(a, None if b is None else not b),
}
word = st.dictionaries(st.sampled_from(["smoke", "t"]), st.booleans(), min_size=1)
pause = st.sampled_from([1, 49, 99, 100, 101, 119, 120, 121, 149, 150, 151, 300, 2000])


class Manual:
    """How a level lives, in seconds, as rules/README.md has it."""

    def __init__(self, says) -> None:
        self.says, self.heard, self.phase, self.since, self.now = says, {}, "calm", 0, 0
        self.found: list[tuple[str, int]] = []

    def verdict(self, at: int) -> Known:
        def known(name: str) -> Known:
            value, said_at = self.heard.get(name, (None, 0))
            return value if at - said_at <= COUNTS_S else None

        return self.says(known("smoke"), known("t"))

    def word(self, at: int, said: dict[str, bool]) -> None:
        self.heard |= {name: (value, at) for name, value in said.items()}
        verdict = self.verdict(at)
        turned = {("calm", True): "pending", ("pending", False): "calm",
                  ("firing", False): "clearing", ("clearing", True): "firing"}  # fmt: skip
        if (self.phase, verdict) in turned:
            self.phase, self.since = turned[self.phase, verdict], at
        if verdict is not None and at >= self.due():
            self.over(at)

    def due(self) -> float:
        return self.since + {"pending": HOLD_S, "clearing": CLEAR_S}.get(self.phase, float("inf"))

    def over(self, at: int) -> None:
        self.found.append(("red" if self.phase == "pending" else "clear", at))
        self.phase = "firing" if self.phase == "pending" else "calm"

    def passes(self, until: int) -> None:
        due = self.due()
        if self.now < due <= until and self.verdict(int(due)) is not None:
            self.over(int(due))
        self.now = until


def alarms(found: Play, effects) -> list[tuple[str, int]]:
    told = [one for one in effects if isinstance(one, Alert)]
    return [
        ("clear" if one.state is AlertState.CLEARED else one.level.word, found.at // SECOND) for one in told
    ]


def restored(found: Play) -> Engine:
    return Engine(found.engine.world, states.load(states.save(found.engine.state)), found.engine.recent)


@pytest.mark.parametrize("text", TABLE)
@given(st.lists(st.tuples(word, pause), min_size=1, max_size=9), st.booleans())
@example([({"smoke": True, "t": True}, 49), ({"smoke": True}, 300), ({"smoke": True}, 1)], True)
@example([({"smoke": True, "t": True}, 101), ({"smoke": False}, 49), ({"t": False}, 300)], True)
def test_an_unknown_value_lets_no_time_run_out(text, script, restarts):
    about = rule(text, "smoke", limits=(TRUE,), clear_hold_s=CLEAR_S)
    model = replace(CABINET, expect_every_s=60.0)
    found = Play(Engine(world(rules=(about,), models={"cabinet": model}), State(identity="0000002a")))
    manual, told = Manual(TABLE[text]), []
    found.give = lambda event: told.extend(alarms(found, effects := found.engine.step(event))) or effects
    for said, seconds in script:
        values = {"smoke": float(said["smoke"])} if "smoke" in said else {}
        values |= {"t": 70.0 if said["t"] else 50.0} if "t" in said else {}
        found.say(**values)
        manual.word(found.at // SECOND, said)
        if restarts:
            found.engine = restored(found)
        found.wait(seconds)
        manual.passes(found.at // SECOND)
        if restarts:
            found.engine = restored(found)
    assert told == manual.found, script
