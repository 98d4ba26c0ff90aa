"""A city's platform: told of cases in its own words, and asked once a day what it has of them.

What it was told it may lose all the same, or change. So the comparison is by what it says that it has: what
is missing or differs is told again, under a key of that day, since it knows the first one; then it is asked
once more. What differs then is a person's matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from gateway import telemetry
from gateway.adapters import history, http
from gateway.adapters.store import Store
from gateway.channels.base import read_secret
from gateway.channels.webhook import Endpoint
from gateway.config import OutwardConfig
from gateway.core.backoff import TransientError
from gateway.core.calendars import local_date
from gateway.core.catalogue import Catalogue, Record, differs, record_of
from gateway.core.changes import Change, Line, change_at, instant
from gateway.core.model import SECOND, Case, World
from gateway.outward import AWAY_S_MOST, Hook, Lane, Outward, Refused, Time, endpoint, judge

ROWS = 100  # asked for at a time; what we read of an answer is 64 kB
ROWS_MOST = 100_000  # a year of a district: more is not ours
DAY_NS = 86_400 * SECOND
OVERDUE_NS = 25 * 3600 * SECOND  # a start so long after the last comparison makes up for it

DIFFERENCE = telemetry.gauge(
    "lilong_outward_difference",
    "Cases that a platform has otherwise than we, after the comparison",
    ["target"],
)
Rows = dict[str, Mapping[str, object]]  # by our id of the case


class Words:
    """A case in the platform's words: only a line that changes them says something to it."""

    def __init__(self, catalogue: Catalogue, world: Callable[[], World]) -> None:
        self.catalogue, self._world = catalogue, world

    def record(self, change: Change) -> Record | None:
        if change.case.drill or change.case.unheard:
            return None
        return record_of(self.catalogue, change, self._world())

    def day(self, wall_ns: int) -> str:
        return local_date(wall_ns, self._world().timezone).isoformat()

    def body(self, case: Sequence[Line], change: Change) -> bytes | None:
        record = self.record(change)
        if record is None:
            return None
        if change.before and self.record(change_at(change.case, case, change.before)) == record:
            return None
        return msgspec.json.encode(record)


@dataclass(slots=True)
class Difference:
    """What a comparison found."""

    missing: int = 0
    other: int = 0  # it says something else of it
    strangers: int = 0  # it has a case, as ours, that we do not know
    changes: list[Change] = field(default_factory=list)  # what to tell again

    @property
    def count(self) -> int:
        return self.missing + self.other + self.strangers


class Asked:
    """A platform, asked what it has: that changes nothing there."""

    def __init__(self, endpoint: Endpoint, catalogue: Catalogue) -> None:
        self.catalogue, self._endpoint = catalogue, endpoint

    def rows(self, since_ns: int, until_ns: int) -> Rows:
        """All that the platform has of us, of cases found in that time. Raises TransientError."""
        found: Rows = {}
        for page in range(1, ROWS_MOST // ROWS + 1):
            rows = {name: row for row in self.page(since_ns, until_ns, page) if (name := self._ours(row))}
            if not rows.keys() - found.keys():  # the end, or a platform that knows no pages
                return found
            found |= rows
        raise TransientError(f"more than {ROWS_MOST} rows", hint="ask it for fewer: look_back_days")

    def _ours(self, row: Mapping[str, object]) -> str:
        """Our id of the case; "" for what another system told it."""
        if any(str(row.get(name, text)) != text for name, text in self.catalogue.constants.items()):
            return ""
        return str(row.get(self.catalogue.name_of("case"), ""))

    def page(self, since_ns: int, until_ns: int, page: int) -> Iterator[Mapping[str, object]]:
        """Its records of cases found in that time. Raises TransientError."""
        ask = self.catalogue.ask
        query = {ask.since: instant(since_ns), ask.until: instant(until_ns), ask.page: page, ask.size: ROWS}
        try:
            reply = self._endpoint.get(urlencode(query))
        except (http.Unreachable, http.Unanswered) as error:
            raise TransientError(self._endpoint.said(str(error))) from None
        said = self._endpoint.said(f"{reply.status} {reply.body.decode('utf-8', 'replace')}")
        try:
            judge(reply, said)
        except Refused as refused:
            raise TransientError(str(refused), hint="look at `ask` of its catalogue") from None
        return self._parsed(reply, said)

    def _parsed(self, reply: http.Reply, said: str) -> Iterator[Mapping[str, object]]:
        """The rows of an answer; each must say of which case it is, and where that stands."""
        catalogue = self.catalogue
        key, needed = catalogue.ask.rows, {catalogue.name_of("case"), catalogue.name_of("stage")}
        try:
            body = msgspec.json.decode(reply.body) if reply.whole else {}
            rows = body[key] if key else body
        except (msgspec.DecodeError, KeyError, TypeError):
            rows = None
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and needed <= row.keys() for row in rows
        ):
            raise TransientError(f"no list of cases: {said}", hint="look at `ask` of its catalogue")
        return iter(rows)


class Bridge(Lane):
    """The lane of a platform."""

    def __init__(
        self,
        config: OutwardConfig,
        store: Store,
        endpoint: Endpoint,
        asked: Asked,
        form: Words,
        clock: Time,
    ) -> None:
        super().__init__(config.name, store, endpoint, form, clock)
        self._asked, self._words, self._look_back_days = asked, form, config.look_back_days
        reconciled_ns = self._cursor.reconciled_ns
        self._wanted = bool(reconciled_ns) and clock.wall_ns() - reconciled_ns > OVERDUE_NS
        self._not_before, self._no_answer = 0, ""

    def reconcile(self) -> None:
        """Compare as soon as the platform has been told all it is owed."""
        self._wanted = True
        self.woken.set()

    def _step(self) -> bool:
        busy = super()._step()
        if not busy and self._wanted and self._clock.at() >= self._not_before:
            self._try_to_reconcile()
        return busy

    def _try_to_reconcile(self) -> None:
        """A platform that cannot be asked now is told all the same."""
        try:
            self._reconcile()
        except TransientError as trouble:
            self._not_before = self._clock.at() + int(AWAY_S_MOST * SECOND)
            if trouble.reason != self._no_answer:
                fields = {"error": trouble.reason, "hint": trouble.hint}
                telemetry.log("outward_delayed", "warning", target=self.name, **fields)
            self._no_answer = trouble.reason
        else:
            self._wanted, self._no_answer = False, ""

    def _reconcile(self) -> None:
        now_ns = self._clock.wall_ns()
        found = self._compare(now_ns)
        DIFFERENCE.labels(self.name).set(found.count)
        for change in found.changes:
            self._tell_again(change, now_ns)
        left = self._compare(now_ns) if found.count else found
        DIFFERENCE.labels(self.name).set(left.count)
        self._report(found, left)
        self._cursor = replace(self._cursor, reconciled_ns=now_ns, difference=left.count)
        self._save()

    def _report(self, found: Difference, left: Difference) -> None:
        reason = f"{found.missing} missing, {found.other} other, {found.strangers} unknown to us"
        telemetry.log("outward_reconciled", target=self.name, count=found.count, reason=reason)
        if left.count:
            reason = f"{left.missing} missing, {left.other} other, {left.strangers} unknown to us"
            hint = "lilong quarantine list; ask whoever runs the platform"
            telemetry.log(
                "outward_differs", "error", target=self.name, count=left.count, reason=reason, hint=hint
            )

    def _tell_again(self, change: Change, now_ns: int) -> None:
        """What it refuses once more stays different, and is reported so."""
        record = self._words.record(change)
        try:
            self.post(f"{change.key}:{self._words.day(now_ns)}", msgspec.json.encode(record))
        except Refused as refused:
            telemetry.log(
                "outward_refused", "error", target=self.name, case=change.case.id, error=str(refused)
            )

    # ------------------------------------------------------------ comparing

    def _compare(self, now_ns: int) -> Difference:
        since_ns, found = now_ns - self._look_back_days * DAY_NS, Difference()
        theirs = self._asked.rows(since_ns, now_ns)
        for case in history.made_between(self._store.reader(), Case, since_ns, now_ns):
            self._compare_one(case, theirs.pop(case.id, None), found)
        reader = self._store.reader()
        found.strangers = sum(history.case_of(reader, case) is None for case in theirs)
        return found

    def _compare_one(self, case: Case, theirs: Mapping[str, object] | None, found: Difference) -> None:
        """As of the last change it was told: what it is owed is no difference."""
        if (change := self._last_told(case)) is None or (ours := self._words.record(change)) is None:
            return
        if theirs is None:
            found.missing += 1
        elif differs(ours, theirs):
            found.other += 1
        else:
            return
        if case.id not in self._cursor.held:  # else its own first change has to go first
            found.changes.append(change)

    def _last_told(self, case: Case) -> Change | None:
        lines = history.numbered_lines_of(self._store.reader(), case.id)
        told = [line for line in lines if line.seq <= self._cursor.seq]
        return change_at(case, told, told[-1].seq) if told else None


# ---------------------------------------------------------------- building


def lanes(
    configs: Mapping[str, OutwardConfig], store: Store, world: Callable[[], World], clock: Time
) -> list[Lane]:
    """One for each entry of `outward`. Raises ValueError for a secret that cannot be read, or an address."""
    return [_lane(config, store, world, clock) for config in configs.values()]


def _lane(config: OutwardConfig, store: Store, world: Callable[[], World], clock: Time) -> Lane:
    secret = read_secret(config.secret_file, f"outward.{config.name}")

    def reached(url: str) -> Endpoint:
        return endpoint(url, secret, lambda: clock.wall_ns() / SECOND)

    if config.catalogue is None:
        return Lane(config.name, store, reached(config.url), Hook(world), clock)
    words = Words(config.catalogue, world)
    asked = Asked(reached(config.ask_url), config.catalogue)
    return Bridge(config, store, reached(config.url), asked, words, clock)


def look(config: OutwardConfig) -> float | None:
    """Whether a system can be reached and, a platform, says what it has, asked about no time at all.

    Nothing is told to it. When its certificate ends, in seconds since 1970; None in the clear. Raises
    ValueError for the secret or an address, TransientError for what does not work.
    """
    secret = read_secret(config.secret_file, f"outward.{config.name}")
    with closing(endpoint(config.url, secret, time.time)) as told:
        try:
            ends_s = told.reach()
        except http.Unreachable as error:
            raise TransientError(told.said(str(error))) from None
    if config.catalogue is not None:
        with closing(endpoint(config.ask_url, secret, time.time)) as one:
            now_ns = time.time_ns()
            Asked(one, config.catalogue).page(now_ns, now_ns, 1)
    return ends_s


def daily(configs: Mapping[str, OutwardConfig], outward: Outward) -> list[tuple[str, Callable[[], None]]]:
    """("04:20", what to do then) of each platform."""
    lanes = [lane for lane in outward.lanes.values() if isinstance(lane, Bridge)]
    return [(configs[lane.name].reconcile_at, lane.reconcile) for lane in lanes]
