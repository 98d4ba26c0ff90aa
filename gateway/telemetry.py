"""Every named event: one log line and one counter, in one place; and the private metric registry.

`log()` never raises for what it is handed (a device may have written it) and never lets it forge a
line: control characters are escaped, a field is at most 1 kB, phone numbers and keys are masked.
"""

from __future__ import annotations

import math
import os
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO, TypeVar

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

# ---------------------------------------------------------------- the closed lists

EVENTS: dict[str, str] = {
    # -- the process
    "chore_failed": "our own code failed on calendar work; it is tried again at its next hour",
    "control_failed": "a request of the command line could not be done",
    "crashed": "our own code failed; the process ends and systemd starts it again",
    "ready": "the gateway is at work",
    "rule_disabled": "a rule failed or overran its bounds and judges no more; the others go on",
    "reload_refused": "a changed configuration has mistakes; the old one stays in force",
    "reload_waits": "a changed configuration takes over as soon as the disk takes it",
    "reloaded": "a changed configuration is in force",
    "restart_needed": "a part of lilong.yaml changed that only a restart puts in force",
    "selfcheck_failed": "our own code failed on what the gateway tells of itself; it is tried again",
    "selfcheck_left_out": "what the gateway tells of itself found no room; the next report tells it",
    "started": "the process began",
    "stood_still": "the process, or the whole box, stood still; what was said meanwhile is heard now",
    "stopped": "the process ended cleanly",
    "stopping": "the process was told to end",
    # -- broker
    "mqtt_acknowledged_stale": "acknowledgements of an earlier connection were dropped; it sends again",
    "mqtt_connected": "the broker took us in",
    "mqtt_exactly_once": "a message of QoS 2 came, though we never subscribe so",
    "mqtt_held_back": "our queue is full; the broker holds the rest",
    "mqtt_lost": "the connection to the broker ended or could not be made; it is tried again",
    "mqtt_malformed": "the broker sent bytes that are not MQTT",
    "mqtt_refused": "the broker does not let us in",
    "mqtt_slow_path": "paho is not the version whose bulk reading we know",
    "mqtt_thread_failed": "our own code failed on the network thread; it starts afresh",
    "subscription_downgraded": "the broker grants a filter at QoS 0 only",
    "subscription_refused": "the broker does not let us subscribe to a filter",
    # -- judging
    "alert_chattering": "an alert will not stand still; from here on it is slow to end",
    "alert_cleared": "a sensor is normal again for its clear time",
    "alert_fell": "an alert went down a level",
    "alert_hidden": "an alert is a symptom of another one that stands: it is kept, and tells nobody",
    "alert_latched": "a sensor is normal again, and its alert waits for a person's reset",
    "alert_raised": "a rule found trouble",
    "alert_rose": "an alert went up a level",
    "drill_begun": "somebody has raised a drill: people are told as of the real thing",
    "drill_over": "its time is over; `person`: who had taken it on, if anybody",
    "return_due": "a device is out of service beyond its date: whoever answers for it is told",
    "standing_listed": "the morning list of what has stood for more than a day went to somebody",
    "alert_shelved": "an alarm is shelved, or a device out of service: nobody is told for a while",
    "alert_unshelved": "it is off the shelf: what still stands is told",
    "alert_shown": "an alert whose cause is over, or less bad than it, tells for itself",
    "alert_rule_gone": "an alert ended because its rule or device is no longer configured",
    "baseline_fitted": "what temperature does was learnt from a device's approved baseline period",
    "baseline_unfit": "an approved baseline period does not tell what temperature does; nothing is derived",
    "calendar_year_missing": "nobody told the workdays of the year in `reason`: it counts by weekdays alone",
    "calibration_overdue": "a sensor should have been calibrated by the day in `reason`",
    "device_noisy": "a device floods: of what it says beyond its bound only what is new is kept",
    "device_clock_skewed": "a device's clock is wrong by a constant span, or was set right again",
    "group_back": "half of those behind a gateway or broker speak again; each is watched alone",
    "group_silent": "most of those behind a gateway or broker fell silent together: one alert, not many",
    "reading_ahead": "a reading from the future; judged by its arrival",
    "reading_disordered": "a reading older than what its device already said; stored, not judged",
    "reading_historic": "a reading that the device itself calls an old one; stored, not judged",
    "reading_late": "a reading older than its model's lateness; stored, not judged",
    "reading_reordered": "a reading was put into the order of instants before it was judged",
    "reading_repeated": "a reading came again; neither stored nor judged",
    "sensor_moved": "a value that had stood still moves again",
    "sensor_stuck": "a value has stood still for longer than it can",
    "value_spiked": "a value far from those around it; kept raw, rules go by their on_bad_quality",
    "would_have_fired": "what a rule makes of a sample that came too late to ring",
    "event_failed": "our own code failed on an event from a person or a channel",
    "message_crashed": "our own code failed on a message; it is in quarantine",
    "payload_refused": "a payload, or a part of it, cannot be believed; it is in quarantine",
    "sensor_swapped": "a device has another sensor from here on; what was known of the old one is forgotten",
    "step_failed": "our own code failed on a batch; its messages are tried one by one",
    "timer_failed": "our own code failed on what was due at an instant; all else goes on",
    # -- store, database, archive
    "store_failed": "the disk does not take our commits; nothing is acknowledged until it does",
    "store_recovered": "the disk takes our commits again",
    "archive_compacted": "closed segments of the archive became daily files",
    "archive_compaction_failed": "closed segments could not become daily files; they stay and can be read",
    "archive_damaged": "a segment of the archive is shorter than what we had written to it",
    "archive_trimmed": "the oldest days left the archive, by keep_days or keep_bytes",
    "forwarding_failed": "our own code, or the disk, failed on the way out; it is tried again",
    "log_rejudged": "what was judged before the start came out otherwise now; what was told may differ",
    "log_damaged": "a row of the log does not match its checksum and cannot be forwarded",
    "log_lost": "positions that were committed once are no longer on the disk",
    "log_gap": "the log no longer holds what a sink was still owed",
    "message_unreadable": "a logged message cannot be written by today's configuration; it is in quarantine",
    "quarantine_capped": "quarantine is full: its oldest payloads were forgotten",
    "points_refused": "the database refuses single points for good; they are in quarantine with its reason",
    "sink_delayed": "the database or the archive takes no data now; the log keeps it for the next try",
    "sink_recovered": "the database or the archive takes data again",
    # -- cases and messages to people
    "act_ignored": "a person's word came too late or twice; it changed nothing",
    "case_closed": "handled, and verified by the sensor; and by a second person, where one must look",
    "case_overdue": "a stage of a case has outrun its clock: the post above is told",
    "case_stalled": "an open case's next step is long overdue: the pipeline is woken",
    "case_stalled_told": "it did not wake; the watchdog told somebody by itself; `reason`: what became of it",
    "watchdog_failed": "the escalation watchdog could not look; it looks again in a minute",
    "case_unwatched": "an open case had no next timer: a defect of ours; it is moved now",
    "verifier_missing": "nobody but the doer could verify a case: it stays open",
    "case_handed_over": "a post ended: whoever follows has its open case now",
    "snapshot_ignored": "a camera named a picture that nobody waits for, or nothing that is an address",
    "snapshot_missed": "a camera gave no picture in time; its alert goes on all the same",
    "snapshot_failed": "our own code failed on asking a camera for a picture; it is tried again",
    "snapshot_taken": "a camera said where the picture of an alert lies",
    "snapshot_wanted": "an alert was raised, or rose: its camera is asked for a picture",
    "ladder_missing": "a level has no ladder: nobody is told",
    "siren_stuck": "the command that switches a siren off failed; it is tried again",
    "notification_retried": "a message to a person will be tried again",
    "post_empty": "nobody holds a post that a ladder names; whoever it falls back to is told at once",
    "notification_accepted": "a provider took a message to a person",
    "notification_failed": "our own code failed on a message to a person; it stays due",
    "notification_refused": "a provider refused a message for good; the ladder goes on",
    "notification_undelivered": "a receipt says that a person does not have a message, or none came in time",
    "notification_unsure": "a message may have been sent; sent again it would be a second one, so it is not",
    "digest_undelivered": "nobody can get the weekly digest of a place: an empty post, or no address there",
    "channel_closed": "a provider that was left alone has taken a message again",
    "channel_opened": "a way to people failed again and again; of a failover it is left alone for a while",
    "quota_short": "four fifths of a provider's limit are used; what goes over it will wait",
    "receipt_ignored": "a receipt came twice, too late, or for a message we know nothing of",
    "reply_ignored": "a reply is no answer we know, or to no message of ours; it changed nothing",
    "security_suspected": "somebody may not be who he says he is: a device's name or a token is another's",
    # -- other systems
    "outward_delayed": "a system that is told of cases does not answer now; the store keeps what it is owed",
    "outward_differs": "after the daily comparison a platform still has other cases than we have",
    "outward_failed": "our own code, or the disk, failed on telling another system; it is tried again",
    "outward_held": "a system fails on one change again and again: its case waits alone, the others go on",
    "outward_recovered": "a system that is told of cases answers again",
    "outward_reconciled": "a platform was asked what it has, and given what it had not",
    "outward_refused": "a system will not have one change of a case; it is in quarantine, the case goes on",
    # -- web
    "callback_busy": "what a provider called us with could not be written down now; it will call again",
    "callback_refused": "a provider's call was turned away: not authenticated, too large, or not to be read",
    "pull_failed": "receipts and replies could not be fetched from a provider; it is tried again",
    "callback_unmatched": "a receipt or reply is about no message of ours, or from nobody of ours",
    "intake_busy": "a post could not be written down now; the device must post it again",
    "intake_refused": "a post was turned away: not authenticated, too large, or not to be read",
    "intake_tokens_unusable": "the tokens file, or a line of it, cannot be used; those devices cannot post",
    "link_key_made": "a key for the links in messages was made",
    "link_refused": "a link was forged, expired or meant for something else",
    "photo_refused": "a picture was turned away: too large, not one, or no room for it",
    "photo_swapped": "the file of a picture is not what the history says it is; it is not shown",
    "photos_removed": "pictures of long ago, or of no case, were removed from the disk",
    "web_failed": "a page could not be made",
    "web_started": "the pages are served",
}

KEYS: dict[str, str] = {  # beside these a line has only: at, level, event, repeated
    "address": "host:port of the far side",
    "alert": "id of an alert",
    "alert_level": "yellow, orange or red",
    "attempt": "which try this was, from 1",
    "case": "id of a case",
    "channel": "name of a channel",
    "client_id": "our name at the broker",
    "code": "a refusal code, or the far side's",
    "component": "part of a device",
    "count": "how many",
    "device": "id of a device",
    "duration_s": "how long it took",
    "error": "what went wrong, in the words of whoever refused",
    "file": "file, or file:line",
    "field": "part of a payload",
    "hint": "what to do next",
    "instant": "when it was so, on the wall",
    "kind": "which kind of it",
    "message_id": "id of a message or notification",
    "mode": "live or shadow: whether an alert opens a case",
    "offset_s": "how far a device's clock is behind ours",
    "person": "id of a person, never a name or number",
    "place": "id of a place",
    "position": "position in the log",
    "quantity": "name of a quantity",
    "reason": "why, in one phrase",
    "role": "what a post is for",
    "rule": "id of a rule",
    "sink": "influx or archive",
    "target": "name of an entry of outward",
    "topic": "an MQTT topic",
    "verb": "what a person did",
    "version": "version of this program, or of what was learnt",
}

LEVEL_OF = {  # of events that the core notes; the others are information
    "alert_raised": "warning",
    "alert_rose": "warning",
    "alert_rule_gone": "warning",
    "alert_shelved": "warning",
    "return_due": "warning",
    "drill_begun": "warning",
    "alert_shown": "warning",
    "baseline_unfit": "warning",
    "device_clock_skewed": "warning",
    "digest_undelivered": "warning",
    "group_silent": "warning",
    "sensor_stuck": "warning",
    "snapshot_ignored": "warning",
    "snapshot_missed": "warning",
    "ladder_missing": "error",
    "case_unwatched": "error",
    "verifier_missing": "error",
    "notification_refused": "error",
    "timer_failed": "error",
    "notification_retried": "warning",
    "notification_undelivered": "warning",
    "notification_unsure": "warning",
    "payload_refused": "warning",
    "post_empty": "error",
}
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
IDENTITY = frozenset(  # what makes two lines the same line; the other fields only describe it
    {"alert", "case", "channel", "client_id", "code", "component", "device", "file"}
    | {"message_id", "person", "quantity", "rule", "sink", "target"}
)
REPEAT_WINDOW_S = 10.0  # within it, the same line is only counted
WINDOWS_MOST = 1000  # lines remembered for that; the oldest goes first, so memory stays bounded
FIELD_BYTES_MOST = 1024

# ---------------------------------------------------------------- what may not be in a line

_PHONE = re.compile(r"(?<!\d)((?:(?:\+|00)?86[- ]?)?1[3-9]\d)[- ]?\d{4}[- ]?(\d{4})(?!\d)")
_PHONE_NUMBERS = range(13_000_000_000, 20_000_000_000)  # the same as an integer
_WORDS = r"(?:key|token|secret|sign|signature|password|passwd|pwd|ticket)"
_SECRETS = [
    re.compile(rf"(?i)(\b[\w-]*{_WORDS}=)[^&\s\"'#,;]+"),  # ?key=…, access_token=…
    re.compile(rf"(?i)([\"'][\w-]*{_WORDS}[\"']\s*:\s*[\"'])[^\"']+"),  # {"token": "…"}
    re.compile(r"(?i)(\b(?:bearer|basic)\s+|\bauthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)[\w.+/=~-]{4,}"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),  # https://user:…@host
    re.compile(r"(/hook/)[\w-]{8,}"),  # webhook addresses whose path is the secret
]
# Control characters, line and paragraph separators, direction overrides, lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def mask(text: str) -> str:
    """`text` with mainland mobile numbers as 138****1234, and keys and tokens as ***."""
    text = _PHONE.sub(r"\1****\2", text)
    for secret in _SECRETS:
        text = secret.sub(r"\1***", text)
    return text


def _clean(value: object) -> object:
    """A value that is safe in a line: numbers as they are, anything else as a short masked text."""
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int and value not in _PHONE_NUMBERS:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return _short(_UNSAFE.sub(_escaped, mask(_text(value))))


def _text(value: object) -> str:
    try:
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {value}{_place(value)}"
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).decode("utf-8", "backslashreplace")
        return str(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be printed>"


def _place(error: BaseException) -> str:
    """Where an exception was raised: the last line of its traceback."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _short(text: str) -> str:
    if len(text) * 4 <= FIELD_BYTES_MOST:  # no character is longer than 4 bytes
        return text
    body = text.encode("utf-8")
    if len(body) <= FIELD_BYTES_MOST:
        return text
    return body[: FIELD_BYTES_MOST - 3].decode("utf-8", "ignore") + "…"


# ---------------------------------------------------------------- the journal


@dataclass(slots=True)
class _Window:
    """What was said of one line since it was last written."""

    until: float
    count: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """Writes lines; the same line within REPEAT_WINDOW_S is counted instead.

    A line without `repeated` stands for one occurrence, a line with `repeated=n` for n of them.
    `write` gets one finished line without its newline; `clock` is steady seconds.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        pretty: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write, self._clock, self._wall = write, clock, wall
        self._render = _renderer(pretty)
        self._windows: OrderedDict[tuple[object, ...], _Window] = OrderedDict()
        self._lock = threading.RLock()  # re-entrant: a signal handler may log in the midst of a line

    def log(self, event: str, level: str, fields: Mapping[str, Any]) -> None:
        key = (event, level, *sorted((k, _text(v)) for k, v in fields.items() if k in IDENTITY))
        now = self._clock()
        with self._lock:
            ripe = self._windows.get(key)
            if ripe and now < ripe.until:
                ripe.count, ripe.fields = ripe.count + 1, fields
                return
            count = self._windows.pop(key).count if ripe else 0
            self._windows[key] = _Window(now + REPEAT_WINDOW_S)
            closed = self._close(now)
        self._emit(closed)
        self._line(event, level, fields, count + 1)

    def flush(self, *, everything: bool = False) -> None:
        """Write the counts whose window is over (or all, at the end of the process)."""
        with self._lock:
            closed = self._close(math.inf if everything else self._clock())
        self._emit(closed)

    def _close(self, now: float) -> list[tuple[tuple[object, ...], _Window]]:
        """Take out the windows that are over; they lie in the order of their ends."""
        closed = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if now < window.until and len(self._windows) <= WINDOWS_MOST:
                break
            del self._windows[key]
            closed.append((key, window))
        return closed

    def _emit(self, closed: Sequence[tuple[tuple[object, ...], _Window]]) -> None:
        for (event, level, *_), window in closed:
            if window.count:
                self._line(str(event), str(level), window.fields, window.count)

    def _line(self, event: str, level: str, fields: Mapping[str, Any], count: int) -> None:
        """Render and write; a full disk or a closed pipe must never stop the gateway."""
        instant = self._wall().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"at": instant, "level": level, "event": event}
        line |= {_short(_UNSAFE.sub(_escaped, str(k))): _clean(v) for k, v in fields.items() if k not in line}
        if count > 1:
            line |= {"repeated": count}
        try:
            self._write(_PRIORITY.get(level, "") + str(self._render(None, level, line)))
        except Exception:
            LINES_LOST.inc()


def _renderer(pretty: bool) -> Any:
    if pretty:
        return structlog.dev.ConsoleRenderer(timestamp_key="at", sort_keys=False, pad_event_to=24)
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _journald_priorities(stream: TextIO) -> dict[str, str]:
    """The <n> prefixes by which systemd sorts lines (`journalctl -p err`), when it reads our stream."""
    with suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
            return {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>"}
    return {}


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")  # looked up each time: a test or a supervisor may replace it
    sys.stderr.flush()


# ---------------------------------------------------------------- metrics

# They would be a second series for each counter, which says only when the process began.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(namespace="lilong", registry=REGISTRY)  # memory, CPU seconds, open files
PERSONAL_LABELS = frozenset({"device", "component", "person", "phone", "case", "alert", "topic", "address"})
_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)
_metrics: dict[str, Counter | Gauge | Histogram] = {}


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:
    return _metric(Counter, name, help, labels)


def gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
    return _metric(Gauge, name, help, labels)


def histogram(name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = ()) -> Histogram:
    """`buckets` are upper bounds, ascending; none gives the library's, 5 ms to 10 s."""
    return _metric(Histogram, name, help, labels, **({"buckets": tuple(buckets)} if buckets else {}))


def _metric(kind: type[_Metric], name: str, help: str, labels: Sequence[str], **more: Any) -> _Metric:
    """The metric of that name, made once: asking again (a second app in one process) gives the same."""
    if not name.startswith("lilong_"):
        raise ValueError(f"{name}: metric names start with lilong_")
    if personal := PERSONAL_LABELS & set(labels):
        raise ValueError(f"{name}: a label {sorted(personal)} would make a series for each device or person")
    known = _metrics.get(name)
    if known is None:
        known = _metrics[name] = kind(name, help, labelnames=tuple(labels), registry=REGISTRY, **more)
    if not isinstance(known, kind) or known._labelnames != tuple(labels):
        raise ValueError(f"{name} is already another metric")
    return known


def exposition() -> bytes:
    """Everything in REGISTRY as Prometheus text (for /metrics)."""
    return generate_latest(REGISTRY)


_EVENTS_TOTAL = counter("lilong_events_total", "Named events, by name", ["event"])
_COUNTED = {event: _EVENTS_TOTAL.labels(event) for event in (*EVENTS, "unknown")}
LINES_LOST = counter("lilong_log_lines_lost_total", "Log lines that could not be written")

# ---------------------------------------------------------------- the one way to say something

_PRIORITY = _journald_priorities(sys.stderr)
_journal: Any = Journal(_to_stderr, pretty=sys.stderr.isatty())
_threshold = LEVELS["info"]


def configure(level: str = "info", *, pretty: bool | None = None) -> None:
    """Set the least level that is written, and the form (None: pretty on a terminal, else JSON)."""
    global _journal, _threshold
    _journal.flush(everything=True)
    _journal = Journal(_to_stderr, pretty=sys.stderr.isatty() if pretty is None else pretty)
    _threshold = LEVELS[level]


def log(event: str, level: str = "info", **fields: Any) -> None:
    """Say that `event` (a name of EVENTS) happened: one line and one count, or a count of repeats.

    A level below the configured one is neither written nor counted, and costs a dictionary look-up.
    An unknown event raises KeyError under LILONG_STRICT=1 (tests); otherwise it counts as "unknown".
    """
    if LEVELS.get(level, LEVELS["error"]) < _threshold:
        return
    counted = _COUNTED.get(event)
    if counted is None:
        if os.environ.get("LILONG_STRICT") == "1":
            raise KeyError(f"{event} is not in gateway.telemetry.EVENTS")
        counted = _COUNTED["unknown"]
    counted.inc()
    _journal.log(event, level, fields)


def flush(*, everything: bool = False) -> None:
    """Write due counts of repeats; the ticker calls it, and the end of the process with `everything`."""
    _journal.flush(everything=everything)


# ---------------------------------------------------------------- for tests


@dataclass(frozen=True, slots=True)
class Said:
    """One call of log(), as a test sees it (fields cleaned, repeats not collapsed)."""

    event: str
    level: str
    fields: Mapping[str, Any]


class _Capture(list[Said]):
    def log(self, event: str, level: str, fields: Mapping[str, Any]) -> None:
        self.append(Said(event, level, {k: _clean(v) for k, v in fields.items()}))

    def flush(self, *, everything: bool = False) -> None:
        """Nothing is held back here."""


@contextmanager
def testing() -> Iterator[list[Said]]:
    """Capture what every thread logs, at every level, instead of writing it."""
    global _journal, _threshold
    before = _journal, _threshold
    capture = _journal = _Capture()
    _threshold = LEVELS["debug"]
    try:
        yield capture
    finally:
        _journal, _threshold = before
