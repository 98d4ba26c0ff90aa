"""What the pages need of the rest of the gateway."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.core.model import Event, World
from gateway.links import Links

if TYPE_CHECKING:
    from gateway.adapters.photos import Photos
    from gateway.web.callbacks import Callbacks
    from gateway.web.intake import Intake  # loaded only where something can be posted

Sample = tuple[int, float]  # measured_ns, value
# device, component, quantity, since_ns, until_ns -> samples in any order, perhaps none
History = Callable[[str, str, str, int, int], list[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the gateway itself is; `database` is None when none is configured."""

    progressing: bool  # the pipeline has finished something lately
    broker: bool
    store_writable: bool
    config_ok: bool = True  # the files as they are now would be taken
    failing: tuple[str, ...] = ()  # names of the channels that do; others may still reach people
    database: bool | None = None
    backlog: int = 0  # messages not yet in the database
    last_message_ns: int | None = None

    @property
    def ready(self) -> bool:
        return self.progressing and self.broker and self.store_writable and self.config_ok


def no_history(device: str, component: str, quantity: str, since_ns: int, until_ns: int) -> list[Sample]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """`reader` gives the calling thread's read-only connection; `submit` is the pipeline's."""

    reader: Callable[[], sqlite3.Connection]
    world: Callable[[], World]
    submit: Callable[[Callable[[int, int], Event]], Future[Any]]
    links: Links
    health: Callable[[], Health]
    history: History = no_history
    now_ns: Callable[[], int] = time.time_ns
    public_url: str = ""  # its host may be asked for; "" leaves only loopback names
    inboxes: frozenset[str] = frozenset()  # names of the channels of kind `inbox`
    intake: Intake | None = None  # None: nothing can be posted
    callbacks: Callbacks | None = None  # None: no channel listens
    photos: Photos | None = None  # None: none are taken or shown
    beside: Mapping[str, str] = field(default_factory=dict)  # address -> name, for the console's head
