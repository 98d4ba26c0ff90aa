"""Builds the parts, owns the threads, the signals and the order of starting and stopping.

Start: store, pipeline (which rebuilds its state), the ways out, the ways in; stop: the other way round,
with a checkpoint and without draining: what was not acknowledged, the broker keeps.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec

from gateway import __version__, bridge, channels, memory, telemetry
from gateway.adapters import systemd
from gateway.adapters.archive import ArchiveSink
from gateway.adapters.clock import Anchor, Clock
from gateway.adapters.influx import InfluxSink
from gateway.adapters.mqtt import Subscriber
from gateway.adapters.photos import Photos
from gateway.adapters.store import Record, Store
from gateway.checks.edits import undeclared_edits
from gateway.chores import Chores
from gateway.config import Config, load
from gateway.control import SOCKET, Control
from gateway.core.calendars import durings, local_date, missing_years
from gateway.core.calibration import due_within
from gateway.core.model import (
    Act,
    Effect,
    Link,
    Message,
    Messages,
    Noted,
    Notification,
    Refused,
    Snapshot,
    Tick,
    Verb,
    World,
)  # fmt: skip
from gateway.core.state import State
from gateway.forwarder import Forwarder, Sink
from gateway.links import Links, load_keys
from gateway.notifier import Notifier, StoreLedger
from gateway.outward import Outward
from gateway.pipeline import Pipeline, judged_last
from gateway.problems import ConfigError, say
from gateway.pulling import Puller
from gateway.reporting.digest import write_apart
from gateway.reporting.mailing import Mailing
from gateway.selfcheck import Parts, SelfCheck
from gateway.snapshots import Requester
from gateway.watchdog import Watchdog
from gateway.web.app import create_app
from gateway.web.callbacks import Callbacks
from gateway.web.deps import Deps, Health
from gateway.web.history import recent_history
from gateway.web.rows import photos_named, photos_of_open
from gateway.web.server import WebServer

if TYPE_CHECKING:
    from gateway.web.intake import Intake

SWITCH_S = (
    0.0005  # a thread waits this long for the interpreter: 5 ms (the default) would be an alert's delay
)
PROGRESS_S = 10.0  # a pipeline that has finished nothing for so long is stuck
LOST_HINT = "the disk lost what it had promised to keep: check it, and what these messages were"
FORWARDING_S = 2.0  # for the requests under way at the end; one that hangs is sent again at the next start
TELLING_S = 2.0  # for the sendings under way at the end; one that takes longer is told again
RELOADING_S = 5.0  # for a reload under way at the end; one that hangs comes with the next start
BEAT_S = 1.0  # how often the main thread looks whether all is well
ANSWER_S = 20.0  # for the pipeline to take what a person asked for; control.PATIENCE_S is longer
UNDER_WAY = f"the disk has not answered for {ANSWER_S:.0f} s: it is done as soon as it does"
CHANGED_HINT = "say if_changed in the rule"
KEY_FILE = "link-key"
NOTHING_BESIDE: Mapping[str, str] = {}
FILTERS = "filters"  # what the broker's session was last subscribed to


class ConfigurationRefused(Exception):
    """The files have mistakes; `problems` are all of them."""

    def __init__(self, problems: list[ConfigError]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class StillUnderWay(Exception):
    """It was asked for and could not be taken back: it is done as soon as the disk takes it."""


def load_or_refuse(path: Path, locale: str) -> tuple[Config, World]:
    """What the files say. Raises ConfigurationRefused."""
    loaded = load(path, locale)
    if loaded.config is None or loaded.world is None:
        raise ConfigurationRefused(loaded.problems)
    return loaded.config, loaded.world


def load_or_last(path: Path, locale: str) -> tuple[Config, World | None]:
    """What the files say; no World when a pack is broken. Raises ConfigurationRefused (lilong.yaml)."""
    loaded = load(path, locale)
    if loaded.config is None:
        raise ConfigurationRefused(loaded.problems)
    for problem in loaded.problems:
        telemetry.log("reload_refused", "error", error=str(problem), hint="lilong check shows it all")
    return loaded.config, loaded.world


class App:
    """One gateway. Raises ConfigurationRefused, StoreBusy, OSError while it is made."""

    def __init__(
        self,
        path: Path,
        locale: str = "zh",
        anchor: Anchor | None = None,
        beside: Mapping[str, str] = NOTHING_BESIDE,
    ) -> None:
        """`beside`: addresses to show in the console's head, and their names."""
        self._path, self._locale = path, locale
        self._stop, self._reload_wanted = threading.Event(), threading.Event()
        self._reloading = threading.Lock()
        self._open_store(anchor)
        self.pipeline = Pipeline(self.world, self.store, self.clock, self._offer, self._committed)
        self._build_ways_out()
        self._build_ways_in(beside)
        self._build_chores()
        self._build_watchers()

    # ------------------------------------------------------------ building, in the order of who needs whom

    def _open_store(self, anchor: Anchor | None) -> None:
        """What the files say, and what was left of the last time."""
        self.config, found = load_or_last(self._path, self._locale)
        self._config_ok = found is not None
        self.store = Store(self.config.state)
        self.world = found or self._last_good()
        self.clock = _resumed(self.store, anchor)

    def _last_good(self) -> World:
        """After a crash with a broken pack on disk, the World that judged before goes on judging."""
        world = judged_last(self.store)
        if world is None:
            self.store.close()
            raise ConfigurationRefused(load(self._path, self._locale).problems)
        return world

    def _build_ways_out(self) -> None:
        """To the database, the platform above us, people, and cameras."""
        sinks = _sinks(self.config, self.clock)
        self.forwarder = Forwarder(self.store, lambda: self.world, sinks, self.clock)
        self.outward = Outward(bridge.lanes(self.config.outward, self.store, lambda: self.world, self.clock))
        self.links = _links(self.config)
        entries = self.config.channels.values()
        self.channels = channels.build_all(entries, self.config.broker)
        self.notifier = Notifier(
            self.channels, self.pipeline.submit, self.clock, StoreLedger(self.store.reader), self._page_of,
            {one.name: channels.quotas(one.name, one.kind, one.settings) for one in entries},
        )  # fmt: skip
        self.requester = Requester(self.config.broker, self.pipeline.submit, self.clock, self.store.reader)

    def _build_ways_in(self, beside: Mapping[str, str]) -> None:
        """From the broker, from people's browsers and reports, and from providers that are asked."""
        formerly = msgspec.json.decode(self.store.recall(FILTERS) or b"[]", type=list[str])
        self.subscriber = Subscriber(self.config.broker, self.pipeline.deliver, self._link, formerly=formerly)
        self._remember_filters(self.config)
        self.pipeline.listen_to(self.subscriber)
        self.intake = _intake(self.config, self.pipeline, self.clock)
        self.photos = Photos(self.config.state)
        self.web = WebServer(create_app(self._deps(beside)), self.config.web.host, self.config.web.port)
        self.pullers = self._pullers()
        asked = {"reload": self._asked_reload, "replay": self._replay, "reset": self._reset, "act": self._act}
        self.control = Control(self.config.state / SOCKET, asked)

    def _build_chores(self) -> None:
        """What goes by the calendar."""
        mailing = Mailing(
            self.config.state, lambda: self.world, self.pipeline.submit, self.clock.wall_ns,
            self._write_digests,
        )  # fmt: skip
        self.chores = Chores(
            self.config.timezone, self.store, self._trim, self.clock.wall_ns, self._remind,
            self._write_digests,
            [("03:27", self._tidy_photos), *bridge.daily(self.config.outward, self.outward)],
            mailing.send_due,
        )  # fmt: skip

    def _build_watchers(self) -> None:
        """What looks after the rest."""
        parts = Parts(
            store=self.store, pipeline=self.pipeline, clock=self.clock, world=lambda: self.world,
            standing=self.forwarder.standing, outward=self.outward, failing=self.notifier.failing,
        )  # fmt: skip
        self.selfcheck = SelfCheck(parts)
        self.watchdog = Watchdog(
            self.store, self.clock, lambda: self.world, self.channels, lambda: self.pipeline.submit(Tick)
        )

    # ------------------------------------------------------------ running

    def run(self) -> None:
        """Until SIGTERM or SIGINT; SIGHUP loads the files again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        self.start()
        try:
            self._watch()
        finally:
            self.stop()

    def start(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        telemetry.log("started", version=__version__)
        if lost := self.store.lost():
            telemetry.log("log_lost", "error", position=lost.start, count=len(lost), hint=LOST_HINT)
        self.pipeline.start()
        self.notifier.start()
        self.notifier.offer(self.store.due_notifications())
        self.notifier.offer(self.store.awaited_notifications(self.clock.at()))
        self.requester.start()
        self.requester.offer(self.store.due_snapshots())
        self.forwarder.start()
        self.outward.start()
        self.web.start()
        memory.settle()  # before the first message: it stops every thread
        self.subscriber.start()
        self.chores.start()
        self.selfcheck.start()
        for puller in self.pullers:
            puller.start()
        self.watchdog.start()
        self.control.start()
        systemd.ready(f"{len(self.world.devices)} devices, {len(self.world.rules)} rules")
        telemetry.log("ready", count=len(self.world.devices))

    def stop(self) -> None:
        """In the order in which nothing can be lost or come twice; the store goes last."""
        systemd.stopping()
        telemetry.log("stopping")
        self.control.stop()
        self._stop.set()
        self._reloading.acquire(timeout=RELOADING_S)  # the one under way; none begins from here on
        for puller in self.pullers:
            puller.stop()
        self.watchdog.stop()
        self.selfcheck.stop()
        self.chores.stop()
        with suppress(OSError):  # a full disk: the mark before it serves, and the rest must still stop
            self.store.mark_high_water()
        self.web.stop()
        self.notifier.stop(TELLING_S)  # before the pipeline, which then commits what became of the last ones
        self.requester.stop(TELLING_S)
        self.pipeline.stop()  # before the network, which then sends the last acknowledgements
        self.subscriber.stop()
        self.outward.stop(FORWARDING_S)
        self.forwarder.stop(FORWARDING_S)
        self.store.close()
        telemetry.log("stopped")
        telemetry.flush(everything=True)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload_wanted.set()

    def _watch(self) -> None:
        """Feeds systemd's watchdog as long as the pipeline gets on with its work; never otherwise."""
        while not self._stop.wait(BEAT_S):
            if self._reload_wanted.is_set() and not self._reloading.locked():
                self._reload_wanted.clear()  # beside the watchdog: a slow disk must not starve that
                threading.Thread(target=self._reload_beside, name="reload", daemon=True).start()
            if self.progressing():
                systemd.alive()
            telemetry.flush()

    def _reload_beside(self) -> None:
        with suppress(StillUnderWay):  # it was logged, and ends by itself
            self.reload()

    def progressing(self) -> bool:
        return self.pipeline.alive and time.monotonic() - self.pipeline.progress_at < PROGRESS_S

    # ------------------------------------------------------------ another configuration

    def reload(self) -> list[ConfigError]:
        """Takes the files as they are now, or keeps what it has and says why not.

        Raises StillUnderWay when the disk has it in its hands and does not answer.
        """
        with self._reloading:
            return self._take_files()

    def _take_files(self) -> list[ConfigError]:
        systemd.reloading()
        try:
            config, world = load_or_refuse(self._path, self._locale)
        except ConfigurationRefused as refused:
            return self._refuse(refused.problems, "lilong check shows it all")
        taken = self.pipeline.reconfigure(world, partial(_objection, world, self._locale))
        try:
            taken.result(ANSWER_S)
        except ConfigurationRefused as refused:
            return self._refuse(refused.problems, CHANGED_HINT)
        except TimeoutError:
            return self._withdraw(taken, config, world)
        self._adopt(config, world)
        return []

    def _withdraw(self, taken: Future[list[Effect]], config: Config, world: World) -> list[ConfigError]:
        """A reload that the disk keeps waiting: taken back whole, or, if it has begun, taken as it ends."""
        hint = "lilong doctor looks at the disk; then reload again"
        if taken.cancel():
            found, expected = say("store_waits", seconds=int(ANSWER_S)), say("store_answers")
            return self._refuse([ConfigError(str(self._path), 0, "", found, expected, self._locale)], hint)
        taken.add_done_callback(partial(self._taken_late, config, world))
        telemetry.log("reload_waits", "error", duration_s=ANSWER_S, hint=hint)
        systemd.ready("a reload is under way; it takes over as soon as the disk takes it")
        raise StillUnderWay(UNDER_WAY)

    def _taken_late(self, config: Config, world: World, taken: Future[list[Effect]]) -> None:
        """How it ended after whoever asked was told that it is under way."""
        failed = taken.exception()
        if failed is None:
            self._adopt(config, world)
        elif isinstance(failed, ConfigurationRefused):
            self._refuse(failed.problems, CHANGED_HINT)

    def _adopt(self, config: Config, world: World) -> None:
        """The pipeline judges by it from here on; so does all the rest."""
        self.world, self._config_ok = world, True
        self.subscriber.subscribe(config.broker.subscribe)
        self._remember_filters(config)
        if self.intake is not None:
            self.intake.load()
        for part in changed_parts(self.config, config):
            telemetry.log("restart_needed", "warning", field=part, hint="systemctl restart lilong")
        memory.settle()
        telemetry.log("reloaded", count=len(world.devices))
        systemd.ready(f"{len(world.devices)} devices, {len(world.rules)} rules")

    def _refuse(self, problems: list[ConfigError], hint: str) -> list[ConfigError]:
        self._config_ok = False
        for problem in problems:
            telemetry.log("reload_refused", "error", error=str(problem), hint=hint)
        systemd.ready("reload refused; the configuration before it stays in force")
        return problems

    def _remember_filters(self, config: Config) -> None:
        """The broker's session keeps filters over our restarts; unwanted ones must be taken back."""
        self.store.remember(FILTERS, msgspec.json.encode(config.broker.subscribe))

    def _asked_reload(self, _: Mapping[str, Any]) -> list[str]:
        return [str(problem) for problem in self.reload()]

    def _replay(self, asked: Mapping[str, Any]) -> list[str]:
        """Quarantined messages once more, as of when they came; returns a line for each still refused."""
        query = "SELECT id, topic, payload, wall_ns FROM quarantine WHERE state = 'kept' AND id = ?"
        still: list[str] = []
        for number in asked["ids"]:
            row = self.store.reader().execute(query, (int(number),)).fetchone()
            if row is None:
                still.append(f"{number}: not in quarantine")
                continue
            effects = settled(self.pipeline.submit(partial(_out_of_quarantine, row)))
            self.store.settle_quarantine([row["id"]], "replayed")
            still += [f"{number}: {e.code}: {e.reason}" for e in effects if isinstance(e, Refused)]
        return still

    def _reset(self, asked: Mapping[str, Any]) -> list[str]:
        """A person at this box resets what is latched; returns why not, if so."""
        case, person, reason = (str(asked[key]) for key in ("case", "person", "reason"))
        if person not in self.world.persons:
            return [f"no person {person}"]
        effects = settled(
            self.pipeline.submit(
                lambda at, wall_ns: Act(at, wall_ns, case, person, Verb.RESET, reason, "cli")
            )
        )
        ignored = [one for one in effects if isinstance(one, Noted) and one.event == "act_ignored"]
        return [str(one.fields["reason"]) for one in ignored]

    def _act(self, asked: Mapping[str, Any]) -> list[str]:
        """What a person at this box does on a case; returns why not, if so."""
        case, person, note, to, reason = (
            str(asked[key]) for key in ("case", "person", "note", "to", "reason")
        )
        if person not in self.world.persons:
            return [f"no person {person}"]
        verb, until_ns = Verb(asked["verb"]), int(asked["until_ns"])
        effects = settled(
            self.pipeline.submit(
                lambda at, wall_ns: Act(
                    at, wall_ns, case, person, verb, note, "cli", to=to, until_ns=until_ns, reason=reason
                )
            )
        )
        ignored = [one for one in effects if isinstance(one, Noted) and one.event == "act_ignored"]
        return [str(one.fields["reason"]) for one in ignored]

    # ------------------------------------------------------------ between the parts

    def _offer(self, due: Iterable[Notification | Snapshot]) -> None:
        for one in due:
            if isinstance(one, Snapshot):
                self.requester.offer([one])
            else:
                self.notifier.offer([one])

    def _committed(self, first: int, records: Sequence[Record]) -> None:
        self.forwarder.notify(first, records)
        self.outward.notify()

    def _link(self, up: bool, reason: str) -> None:
        self.pipeline.submit_in_order(lambda at, wall_ns: Link(at, wall_ns, up))

    def _page_of(self, told: Notification) -> str:
        """The link to its case; "" where it speaks of none."""
        return self.links.show(told, self.clock.wall_ns()) if told.case else ""

    def _trim(self) -> int:
        """Forgets the log that state, database and archive have all passed."""
        return self.store.trim(min(self.pipeline.checkpointed, self.forwarder.oldest()))

    def _write_digests(self) -> None:
        write_apart(self.config.path)

    def _remind(self) -> None:
        """A sensor past its calibration measures nobody knows what; a year without holidays has none."""
        world, now_ns = self.world, self.clock.wall_ns()
        for one in due_within(world.calibrations, now_ns, world.timezone, days=-1):
            day, quantity = str(one.entry.due), one.entry.quantity
            telemetry.log("calibration_overdue", "warning", device=one.device, quantity=quantity, reason=day)
        for year in missing_years(world.calendar, durings(world), local_date(now_ns, world.timezone)):
            hint = "update chinesecalendar, or write the year's holidays under calendar: in sites/"
            telemetry.log("calendar_year_missing", "warning", reason=str(year), hint=hint)

    def _tidy_photos(self) -> None:
        """Those of open cases stay whatever the room."""
        db = self.store.reader()
        self.photos.tidy({photo.sha256 for photo in photos_named(db)}, photos_of_open(db))

    def _deps(self, beside: Mapping[str, str]) -> Deps:
        return Deps(
            reader=self.store.reader,
            world=lambda: self.world,
            submit=self.pipeline.submit,
            links=self.links,
            health=self.health,
            history=recent_history(self.config.archive.directory),
            now_ns=self.clock.wall_ns,
            public_url=self.config.web.public_url,
            inboxes=frozenset(c.name for c in self.config.channels.values() if c.kind == "inbox"),
            intake=self.intake,
            callbacks=self._callbacks(),
            photos=self.photos,
            beside=beside,
        )

    def _pullers(self) -> list[Puller]:
        """For the channels that fetch what their providers have to say."""
        groups = channels.groups(self.config.channels.values())
        pulling = {name: one for name, one in self.channels.items() if isinstance(one, channels.Pulling)}
        return [
            Puller(name, one, self.pipeline.submit, lambda: self.world, self.store.reader, groups)
            for name, one in pulling.items()
            if one.pull_s
        ]

    def _callbacks(self) -> Callbacks | None:
        """The door for providers, when a channel's one calls back."""
        listeners = {name: one for name, one in self.channels.items() if isinstance(one, channels.Listening)}
        if not listeners:
            return None
        return Callbacks(
            listeners, self.pipeline.submit, lambda: self.world, self.store.reader, self.clock.wall_ns,
            groups=channels.groups(self.config.channels.values()),
        )  # fmt: skip

    def health(self) -> Health:
        standing = self.forwarder.standing()
        influx = standing.get("influx")
        return Health(
            progressing=self.progressing(),
            broker=self.subscriber.connected,
            store_writable=os.access(self.store.path, os.W_OK),
            config_ok=self._config_ok,
            failing=tuple(self.notifier.failing()),
            database=not influx.trouble if influx else None,
            backlog=max((one.backlog for one in standing.values()), default=0),
            last_message_ns=self.pipeline.received_ns or None,
        )


def settled(asked: Future[list[Effect]]) -> list[Effect]:
    """What came of it. Raises StillUnderWay."""
    try:
        return asked.result(ANSWER_S)
    except TimeoutError:
        raise StillUnderWay(UNDER_WAY) from None


def _objection(world: World, locale: str, state: State) -> ConfigurationRefused | None:
    """Whether what stands would lose its meaning; asked by the pipeline, between two events."""
    problems = undeclared_edits(state.tracks.values(), world, locale)
    return ConfigurationRefused(problems) if problems else None


def _out_of_quarantine(row: sqlite3.Row, at: int, _: int) -> Messages:
    return Messages(at, row["wall_ns"], [Message(row["topic"], row["payload"])], True)


def changed_parts(before: Config, after: Config) -> list[str]:
    """Top-level keys of lilong.yaml that only a restart puts in force."""
    names = ("state", "timezone", "influx", "archive", "web", "channels", "outward")
    found = [name for name in names if getattr(before, name) != getattr(after, name)]
    same_filters = replace(before.broker, subscribe=after.broker.subscribe)
    return found if same_filters == after.broker else [*found, "broker"]


def _resumed(store: Store, anchor: Anchor | None) -> Clock:
    """A clock that goes on from the store's last instant; the time we were away has passed for ladders."""
    at, wall_ns = store.last_instant()
    now_ns = Clock(anchor=anchor).wall_ns()
    return Clock(at, now_ns - wall_ns if wall_ns else 0, anchor)


def _sinks(config: Config, clock: Clock) -> list[Sink]:
    sinks: list[Sink] = [ArchiveSink(config.archive, config.timezone, clock)]
    if config.influx is not None:
        sinks.append(InfluxSink(config.influx))
    return sinks


def _intake(config: Config, pipeline: Pipeline, clock: Clock) -> Intake | None:
    wanted = config.web.intake
    if wanted is None:
        return None
    from gateway.web.intake import Intake  # its readers of multipart bodies are not everybody's need

    return Intake(
        wanted.tokens_file,
        pipeline.deliver,
        clock.wall_ns,
        window_s=wanted.window_s,
        body_bytes=wanted.body_bytes,
        before=[message for _, message in pipeline.engine.recent],
        suspect=pipeline.suspicions.note,
    )


def _links(config: Config) -> Links:
    web = config.web
    key_file = web.link_key_file or config.state / KEY_FILE
    public = web.public_url or f"http://{web.host}:{web.port}"
    return Links(load_keys(key_file), public, int(web.link_valid_s))
