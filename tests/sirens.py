"""Every siren that a test made is silent after it, and no thread of one is left to complain for the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.channels import siren
from gateway.channels.siren import Siren
from tests.waiting import until


@contextmanager
def silenced() -> Iterator[None]:
    """At the end `off` succeeds, and every one that was made in here is over."""
    made, before = list[Siren](), watching()
    make = Siren.__init__

    def remember(one: Siren, *given: object, **more: object) -> None:
        make(one, *given, **more)  # type: ignore[arg-type]
        made.append(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Siren, "__init__", remember)
        yield
    for one in made:
        _end(one)
    until(lambda: watching() <= before, what="every siren is silent")


def _end(one: Siren) -> None:
    with one._news:
        one._off, one._until = ["true"], dict.fromkeys(one._until, 0.0)
        one._changed()


def watching() -> set[threading.Thread]:
    """The threads of sirens that are not silent."""
    return {thread for thread in threading.enumerate() if thread.name == siren.THREAD}
