"""The chart of the last hour: round axes, texts that do not cover each other."""

from itertools import pairwise

import pytest

from gateway.core.model import SECOND, Level
from gateway.web import chart

START_NS = 1_793_620_800 * SECOND  # 20:00 in Shanghai
LIMITS = [(Level.YELLOW, 74.0), (Level.ORANGE, 74.5), (Level.RED, 75.0)]


def drawn(quantity="slot_temperature_c", limits=LIMITS, minutes=60, values=lambda i: 20.0 + i):
    samples = [(START_NS + i * 60 * SECOND, values(i)) for i in range(minutes + 1)]
    return chart.draw(samples, quantity, limits, "Asia/Shanghai")


def test_times_are_round_and_inside():
    it = drawn()
    assert [time.text for time in it.times] == ["20:00", "20:15", "20:30", "20:45", "21:00"]
    assert all(chart.LEFT <= time.at <= chart.RIGHT for time in it.times)


def test_values_are_round_and_inside():
    it = drawn()
    assert [value.text for value in it.values] == ["20", "40", "60", "80"]
    assert all(chart.TOP <= value.at <= chart.BOTTOM for value in it.values)


@pytest.mark.parametrize("size", [1e-6, 0.003, 1.0, 7e8])
def test_some_values_whatever_the_size(size):
    assert 2 <= len(drawn(limits=[], values=lambda i: i * size).values) <= chart.VALUES_MOST + 1


def test_texts_of_near_limits_stand_apart_and_keep_their_lines():
    it = drawn()
    heights = [limit.text_at for limit in it.limits]
    assert all(below - above >= chart.APART for below, above in pairwise(heights))
    assert [limit.text for limit in it.limits] == ["▲ 74 ℃", "◆ 74.5 ℃", "● 75 ℃"], "not by colour alone"
    assert it.limits[0].at - it.limits[2].at < chart.APART, "the lines are where they belong"


def test_a_state_is_yes_or_no():
    it = drawn("smoke", [], values=lambda i: 1.0)
    assert [value.text for value in it.values] == ["否", "是"]
    assert all(chart.TOP <= value.at <= chart.BOTTOM for value in it.values)


def test_less_than_a_minute_still_has_a_time():
    samples = [(START_NS + SECOND, 1.0), (START_NS + 9 * SECOND, 2.0)]
    assert chart.draw(samples, "slot_temperature_c", [], "Asia/Shanghai").times
