"""Waiting before another try: growing, never in step, never longer than 5 minutes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.backoff import ASKED_S_MOST, BASE_S, GROWN_S_MOST, retry_after_s, wait_s

DATE = "Sat, 21 Nov 2026 22:00:00 GMT"
LATER = "Sat, 21 Nov 2026 22:02:00 GMT"


@given(st.integers(-5, 10_000), st.text(max_size=20), st.floats(-1e12, 1e12))
def test_a_wait_is_never_nothing_and_never_above_five_minutes(attempt, key, asked):
    assert BASE_S / 2 <= wait_s(attempt, key, asked) <= ASKED_S_MOST


def test_waits_double_up_to_a_minute():
    waits = [wait_s(attempt, "influx") for attempt in range(1, 15)]
    for attempt, wait in enumerate(waits):
        assert min(GROWN_S_MOST, BASE_S * 2**attempt) / 2 <= wait <= min(GROWN_S_MOST, BASE_S * 2**attempt)


def test_the_same_key_waits_the_same_and_others_do_not_knock_in_step():
    assert wait_s(4, "a") == wait_s(4, "a")
    assert len({round(wait_s(4, f"gateway-{n}"), 3) for n in range(100)}) > 90


@given(st.floats(61, ASKED_S_MOST / 1.1), st.text(max_size=5))
def test_what_the_server_asks_for_is_the_least_wait(asked, key):
    assert asked <= wait_s(1, key, asked) <= asked * 1.1


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        (None, None, 0),
        ("", None, 0),
        ("120", None, 120),
        (" 7 ", None, 7),
        ("-5", None, 0),
        ("99999999999999999999999999", None, 1e9),
        ("1.5", None, 0),
        ("soon", DATE, 0),
        ("١٢", None, 0),  # digits, but not ASCII
        (LATER, DATE, 120),
        (DATE, LATER, 0),
        (LATER, None, 0),  # our own clock may be years off: no Date header, no answer
        (LATER, "Sat, 21 Nov 2026 22:00:00", 0),
    ],
)
def test_retry_after_in_every_form(header, date, seconds):
    assert retry_after_s(header, date) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_can_raise(header, date):
    assert retry_after_s(header, date) >= 0
