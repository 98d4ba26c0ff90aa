"""What every way to reach a person has in common, and how answers are put into words."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gateway import telemetry
from gateway.adapters import http
from gateway.core.backoff import retry_after_s
from gateway.core.model import Failure, Notification, Told
from gateway.core.quotas import Quota, Quotas, span
from gateway.core.templates import Template

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

RETRY_S_MOST = 300.0  # a provider may ask for an hour; a person in danger may not have it
DETAIL_CHARACTERS_MOST = 200
BARRED_MOST = 10_000  # names over a limit of the provider that we remember
ALL = ""  # the name of a whole way, where the provider bars that
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt. `detail` is shown to people and logged: it never holds a secret."""

    told: Told
    detail: str
    retry_after_s: float = 0.0  # of LATER; 0: as the ladder thinks best
    number: str = ""  # the provider's own name of the message: a receipt will say it again
    card: str = ""  # by what it is changed once somebody has answered: see Kind.ANSWERED
    once: bool = False  # of UNKNOWN: sent again it might reach the person, and cost, twice
    receipt_s: float = 0.0  # within this a receipt should come, else the ladder goes on; 0: none comes
    personal: bool = False  # of LATER and REFUSED: it lies with this address; others are served


class Channel(Protocol):
    """One way to reach a person. Found by its kind: `kind: webhook` is gateway/channels/webhook.py,

    which has `build(setup: Setup) -> Channel`, and the names it reads: `SETTINGS` (of which it cannot do
    without `REQUIRED`, but for what another one spares: `SPARED`) and `SECRETS` (needed all); perhaps
    `FORMS`, what settings may look like. What its provider lets through are `QUOTAS` of core.quotas; who
    rings a person adds PERSON. `at_most` lowers them. With `GROUP = True` it tells a group or a place:
    nobody needs an address on it. `BLANKS` is there when it says approved templates only: how a variable
    stands in the text, as in "${level}" or "{1}". With `LOUD = True` it rings: nothing that is no alarm
    goes by it while there is another way.
    """

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        """One attempt, at most 10 s (of each member of a failover). Never raises for the far side's faults.

        `text` is what to say without the link, `link` opens the case on the person's phone.
        """
        ...


@runtime_checkable
class Metered(Protocol):
    """A channel that counts by itself what it sends."""

    span_s: float  # how far back it wants to know

    def recount(self, sent: Sequence[Notification], at: int) -> None:
        """What the store says was sent, as of the steady instant `at`."""
        ...


# ---------------------------------------------------------------- what a provider calls us with


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a provider to /callback/CHANNEL. A GET has no body."""

    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    at_s: float  # when it arrived, Unix seconds


@dataclass(frozen=True, slots=True)
class Receipted:
    """What became of a message that the provider had accepted."""

    number: str  # the provider's name of it: Answer.number
    delivered: bool
    detail: str = ""
    failure: Failure = Failure.OTHER


@dataclass(frozen=True, slots=True)
class Replied:
    """What a person answered: words, or the key of the button that was pressed."""

    address: str  # whose, as in Person.reach of this channel
    text: str
    number: str = ""  # the notification it answers, as far as the provider knows


@dataclass(frozen=True, slots=True)
class Heard:
    """How to answer a call, and what it said. Who is not authenticated has said nothing: 401.

    `key` is the provider's own name of the call, "" when it has none: a call heard twice enters once.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    said: tuple[Receipted | Replied, ...] = ()
    key: str = ""


@runtime_checkable
class Listening(Protocol):
    """A channel whose provider calls back."""

    def hear(self, call: Call) -> Heard:
        """Within milliseconds, on the web server's loop: nothing is sent or read from disk here.

        Raises ValueError for a body that is authentic and not to be understood.
        """
        ...


@runtime_checkable
class Asking(Protocol):
    """A channel whose provider can be asked what became of a message."""

    def ask(self, notification: Notification) -> Receipted | None:
        """What is known by now, None when nothing is. At most 10 s; the far side's faults are no answer."""
        ...


@runtime_checkable
class Pulling(Protocol):
    """A channel whose provider keeps what it has to say until it is fetched: for who cannot be called."""

    pull_s: float  # between two fetches; 0: it is not fetched

    def pull(self) -> Sequence[Receipted | Replied]:
        """What has come since; what was fetched is not said again. At most 10 s.

        Raises ValueError, in words fit to be logged, when the far side does not give it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """What a setting may look like, and how to say so. A kind's `FORMS` are looked at by `check` too."""

    pattern: re.Pattern[str]
    zh: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One entry of `channels` in lilong.yaml."""

    name: str
    settings: Mapping[str, str]
    secrets: Mapping[str, Path]  # setting name -> file
    others: Mapping[str, tuple[Channel, Sequence[Quota]]] = field(default_factory=dict)  # to be made of
    templates: Sequence[Template] = ()  # of the register, that are its own
    broker: BrokerConfig | None = None  # the gateway's own, for who speaks there

    def origin(self, usual: str = "") -> http.Origin:
        """Where the provider is: `url`, or where it usually is. Raises ValueError with what is wrong."""
        try:
            return http.Origin.parse(self.settings.get("url", usual))
        except ValueError as error:
            raise ValueError(f"channels.{self.name}.url: {error}") from None

    def judge(self, forms: Mapping[str, Form]) -> None:
        """Raises ValueError for the first setting that is not as it may be."""
        for name, form in forms.items():
            if name in self.settings and not form.pattern.fullmatch(self.settings[name]):
                raise ValueError(f"channels.{self.name}.{name}: expected {form.en}")

    def secret(self, name: str) -> Secret:
        """The content of a secret file. Raises ValueError with what is wrong, never with the content."""
        return read_secret(self.secrets[name], f"channels.{self.name}")


USED = telemetry.gauge(
    "lilong_quota_used_ratio",
    "How much of a limit was used at the last sending, by its span; of those per number the fullest",
    ["channel", "span"],
)


def spend(channel: str, quotas: Quotas, told: Notification, at: int) -> None:
    """Counts one sending, and says so when a limit comes near."""
    for use in quotas.take(told, at):
        reason = f"{use.used} of {use.quota.most} in {span(use.quota.span_s)}, per {use.quota.per}"
        telemetry.log("quota_short", "warning", channel=channel, person=use.person, reason=reason)
    for use in quotas.uses(at):
        if not use.quota.ours:
            USED.labels(channel, span(use.quota.span_s)).set(use.used / use.quota.most)


class Barred:
    """Who has reached a limit, as the provider says: until when they are left alone. `now` is steady seconds.

    Our own counting is done before, by the quotas: this is for what others have sent, or the provider counts
    in another way.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._until, self._lock = now, dict[str, float](), threading.Lock()

    def left_s(self, name: str = ALL) -> float:
        with self._lock:
            return max(self._until.get(name, 0.0) - self._now(), 0.0)

    def bar(self, name: str, span_s: float) -> None:
        with self._lock:
            if len(self._until) >= BARRED_MOST:
                self._until = {one: until for one, until in self._until.items() if until > self._now()}
            self._until[name] = self._now() + span_s


class Secret:
    """A text that is not printed by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def hide(self, text: str) -> str:
        """`text` without this secret in it."""
        return text.replace(self._text, "***")

    def __repr__(self) -> str:
        return "***"


def read_secret(path: Path, where: str) -> Secret:
    """A secret file's content. Raises ValueError with what is wrong at `where`, never with the content."""
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {path} cannot be read ({type(error).__name__})") from None
    if not text:
        raise ValueError(f"{where}: {path} is empty")
    return Secret(text)


def detail(text: str, *secrets: Secret) -> str:
    """The far side's words, fit to be shown: one line, short, without our secrets."""
    for secret in secrets:
        text = secret.hide(text)
    return _UNPRINTABLE.sub(" ", text).strip()[:DETAIL_CHARACTERS_MOST]


def pause_s(headers: Mapping[str, str]) -> float:
    """What a Retry-After header asks for, 0 when there is none that makes sense."""
    return min(retry_after_s(headers.get("retry-after"), headers.get("date")), RETRY_S_MOST)


def cut(text: str, most: int) -> str:
    """`text` in at most `most` bytes of UTF-8, ending in … and never inside a character."""
    body = text.encode("utf-8", "replace")
    if len(body) <= most:
        return body.decode("utf-8")
    mark = "…"
    return body[: max(most - len(mark.encode()), 0)].decode("utf-8", "ignore") + (mark if most >= 3 else "")
