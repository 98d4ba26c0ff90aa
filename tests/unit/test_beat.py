"""What is done every so often goes on whatever happens to one turn, and ends when it is told to."""

from __future__ import annotations

import threading

from gateway.beat import Beat


def test_a_turn_that_fails_is_said_and_the_next_one_comes() -> None:
    said: list[str] = []
    turns, fourth = iter(range(1, 100)), threading.Event()

    def turn() -> None:
        number = next(turns)
        if number >= 4:
            fourth.set()
        if number % 2:
            raise ValueError(f"turn {number}")

    beat = Beat("test", 0.001, turn, lambda error: said.append(str(error)))
    beat.start()
    assert fourth.wait(10)
    beat.stop()
    assert said[:2] == ["turn 1", "turn 3"]


def test_stopped_it_takes_no_further_turn() -> None:
    begun, may_end, turns = threading.Event(), threading.Event(), []

    def turn() -> None:
        turns.append(1)
        begun.set()
        assert may_end.wait(10)

    beat = Beat("test", 0.001, turn, lambda error: None)
    beat.start()
    assert begun.wait(10)
    beat.stop(0.0)  # one that hangs holds nothing up
    may_end.set()
    beat.stop()
    assert turns == [1] and not any(one.name == "test" for one in threading.enumerate())


def test_one_that_never_began_can_be_stopped() -> None:
    Beat("test", 60.0, lambda: None, lambda error: None).stop()
