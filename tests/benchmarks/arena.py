"""The servers of one single run, all fresh: no run inherits the queue or the compactions of another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.child import Child, helper
from tests.benchmarks.load import Load
from tests.benchmarks.publisher import arguments_of
from tests.benchmarks.servers import Broker, Database, Influx, Sink, preload_session
from tests.benchmarks.subjects import Running, Setting, Subject
from tests.benchmarks.table import Row

BUCKET = "lilong"
COMING_S = 3.0  # longer than any flush interval


@dataclass(slots=True)
class Arena:
    folder: Path
    broker: Broker
    database: Database
    sink: Sink  # of webhooks, and the database too when none is wanted
    later: ExitStack  # what must be ended when the run ends, however it ends

    def start(self, subject: Subject, load: Load, port: int = 0) -> Running:
        """The subject at work on this arena's broker (or on whatever listens on `port`)."""
        running = subject.start(
            Setting(
                folder=self.folder, port=port or self.broker.port, url=self.database.url, bucket=BUCKET,
                hook=self.sink.hook, load=load,
            )
        )  # fmt: skip
        self.later.callback(running.child.stop)
        return running

    def helper(self, module: str, *arguments: str) -> Child:
        child = helper(module, self.folder / f"{module}.log", *arguments)
        self.later.callback(child.stop)
        return child

    def publish(self, load: Load, rate: float = 0.0) -> Child:
        """A publisher that has begun; its next word is its result."""
        child = self.helper("publisher", f"--port={self.broker.port}", f"--rate={rate}", *arguments_of(load))
        child.said()
        return child

    def preload(self, client_id: str, level: int, load: Load) -> None:
        """Leaves the whole load waiting in the broker for `client_id`."""
        preload_session(self.broker.port, client_id, level)
        sent = self.publish(load).said()["sent"]
        if sent != load.count:
            raise RuntimeError(f"only {sent} of {load.count} messages were published")

    def _read_back(self, load: Load) -> tuple[int, int]:
        """Points of the load and of everything, once all samples are there or no more are coming."""
        before, (found, all_told) = -1, self._points(load)
        while before < found < load.points:
            threading.Event().wait(COMING_S)
            before, (found, all_told) = found, self._points(load)
        return found, all_told

    def _points(self, load: Load) -> tuple[int, int]:
        points = self.database.points(BUCKET)
        return sum(points.get(scene, 0) for scene in load.scenes), sum(points.values())

    def kept(self, load: Load) -> Row:
        """Samples that are not in the database, that are in it twice, and points written once more."""
        found, all_told = self._read_back(load)
        difference = load.points - found
        again = self.database.written(BUCKET) - all_told
        return {"lost": max(0, difference), "duplicate": max(0, -difference), "written again": again}


class Arenas:
    """Makes one arena after another below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0

    @contextmanager
    def open(self, database: bool = True) -> Iterator[Arena]:
        """`database` False: the recorder takes the points, so that only the subject costs CPU."""
        self._made += 1
        folder = self._folder / f"run-{self._made}"
        folder.mkdir(parents=True)
        with ExitStack() as later:
            broker = _started(later, lambda: Broker(folder))
            sink = _started(later, lambda: Sink(folder))
            influx: Database = _started(later, lambda: Influx(folder / "influx")) if database else sink
            influx.create(BUCKET)
            yield Arena(folder, broker, influx, sink, later)


def _started(later: ExitStack, start: Callable[[], Any]) -> Any:
    server = start()
    later.callback(server.stop)
    return server
