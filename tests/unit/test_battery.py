"""The forecast of a battery: two weeks' notice at least, and no cry in the frost."""

import random

import pytest

from gateway.core.battery import DAYS_LEAST, DAYS_MOST, EMPTY_PCT, forecast


def falling(per_day, start=100.0, days=DAYS_MOST, noise=1.0, seed=1):
    rng = random.Random(seed)
    return [start - per_day * day + rng.uniform(-noise, noise) for day in range(days)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("per_day", [0.3, 0.7, 1.2])
def test_a_falling_battery_is_told_two_weeks_before_within_a_fifth(per_day, seed):
    start = EMPTY_PCT + per_day * (DAYS_MOST - 1 + 20)
    found = forecast(range(DAYS_MOST), falling(per_day, start, seed=seed))
    assert found.left_d == pytest.approx(20 + 2, rel=0.2)  # the median of the last five days is two days old


def test_one_that_does_not_plainly_fall_has_no_end():
    rng = random.Random(5)
    frost = [90 - 5 * (10 < day % 30 < 20) + rng.uniform(-1, 1) for day in range(DAYS_MOST)]
    assert forecast(range(DAYS_MOST), frost).left_d is None
    assert forecast(range(DAYS_MOST), [80.0] * DAYS_MOST).left_d is None


def test_a_day_of_nonsense_does_not_move_it():
    values = falling(0.5)
    values[20:24] = [values[20] + 8] * 4
    assert forecast(range(DAYS_MOST), values).left_d == pytest.approx(122, rel=0.15)


def test_a_new_battery_begins_anew():
    days, values = range(40), falling(2.0, 60, 20) + falling(0.5, 100, 20)
    found = forecast(days, values)
    assert found.now_pct > 85 and found.left_d == pytest.approx(165, rel=0.2)


def test_too_few_days_tell_only_how_full_it_is():
    found = forecast(range(DAYS_LEAST - 1), falling(1.0, days=DAYS_LEAST - 1, noise=0))
    assert (found.now_pct, found.per_month_pct, found.left_d) == (94.0, None, None)


def test_an_empty_one_has_no_day_left():
    assert forecast(range(20), falling(0.5, 15, 20)).left_d == 0
