"""`lilong` with a bug planted, so that the fault tests can show that they see: each of these was written
somewhere in earnest once. And one with no bug but an appointed end, for the moment that chance seldom hits.

    python -m tests.faults.mutant ack_first run --config lilong.yaml
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from gateway import snapshots
from gateway.adapters.mqtt import Delivery, Subscriber
from gateway.adapters.store import Record, Store
from gateway.cli import main as lilong
from gateway.core.model import Notification
from gateway.core.repeats import Repeats
from gateway.notifier import StoreLedger
from gateway.pipeline import Pipeline


def ack_first() -> None:
    """Acknowledges what it has received, not what it has committed."""
    deliver = Pipeline.deliver

    def hasty(self: Pipeline, delivery: Delivery) -> bool:
        taken = deliver(self, delivery)
        if taken and self._broker is not None:
            self._broker.acknowledge([delivery])
        return taken

    def announce(self: Pipeline, work: Any, done: Any) -> None:
        broker, self._broker = self._broker, None  # it has been told already
        try:
            original(self, work, done)
        finally:
            self._broker = broker

    original = Pipeline._announce
    Pipeline.deliver, Pipeline._announce = hasty, announce  # type: ignore[method-assign]


def outbox_apart() -> None:
    """Keeps what is to be told in memory until it has been told: the outbox is not in the transaction."""
    commit = Store.commit

    def without_outbox(self: Store, records: Sequence[Record], *rest: Any) -> int:
        kept = [Record(r.event, [e for e in r.effects if not isinstance(e, Notification)]) for r in records]
        return commit(self, kept, *rest)

    def always_due(self: Any, notification: Notification) -> bool:
        return True

    Store.commit = without_outbox  # type: ignore[method-assign]
    StoreLedger.still_due = always_due  # type: ignore[method-assign]


def no_memory() -> None:
    """Takes every second delivery for news."""
    Repeats.delivered_before = lambda self, *rest: set()  # type: ignore[method-assign]
    Repeats.said_before = lambda self, *rest: False  # type: ignore[method-assign]


def dies_before_acknowledging() -> None:
    """No bug: kill -9 of itself between its third commit of messages and its acknowledgement."""
    acknowledge, left = Subscriber.acknowledge, count(COMMITS_OF_A_LIFE, -1)

    def fatal(self: Subscriber, deliveries: Sequence[Delivery]) -> None:
        if deliveries and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        acknowledge(self, deliveries)

    Subscriber.acknowledge = fatal  # type: ignore[method-assign]


def dies_after_asking() -> None:
    """No bug: kill -9 of itself once the broker has a request for a picture, before that is written down."""
    publish = snapshots.publish

    def fatal(*said: Any) -> None:
        publish(*said)
        os.kill(os.getpid(), signal.SIGKILL)

    snapshots.publish = fatal


def sound() -> None:
    """Nothing at all: the life after."""


COMMITS_OF_A_LIFE = 2
MUTANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        ack_first,
        outbox_apart,
        no_memory,
        dies_before_acknowledging,
        dies_after_asking,
        sound,
    )
}


def main(arguments: Sequence[str]) -> None:
    MUTANTS[arguments[0]]()
    lilong(list(arguments[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
