"""`siren`: what sounds on the spot when the line out is cut: a relay, a light, a loudspeaker.

A command of this box switches it on, another one off, and neither goes through a shell; or a message to a
relay that listens at the broker. It sounds for a red case that nobody is at, and falls silent when somebody
has answered, when the sensor is normal, or by itself. Several cases may want it at once: it sounds until
none does.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import telemetry
from gateway.adapters.mqtt_publish import NotPublished, publish
from gateway.channels.base import Answer, Form, Setup, detail
from gateway.core.model import Kind, Level, Notification, Told

if TYPE_CHECKING:
    from gateway.config import BrokerConfig

GROUP = True
SETTINGS = frozenset({"on", "off", "topic", "sounds", "levels"})
REQUIRED = frozenset({"on", "off"})
SPARED = {"topic": REQUIRED}
ON, OFF = '{"on":true,"for_s":{seconds}}', '{"on":false}'  # what a relay hears, unless it wants other words
SECONDS = "{seconds}"
SECRETS: frozenset[str] = frozenset()
COMMAND_S = 4.0  # one that hangs is killed; two of them fit into an attempt's 10 s
AGAIN_S = 2.0  # after a command that failed
SOUNDS_S = 180.0
ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
# The kinds that say that nobody is at it; for all others a siren has no sound.
SOUNDING = frozenset(["raised", "risen", "escalated", "overdue", "late", "recurred", "returned", "reopened"])
SILENCING = frozenset({Kind.CLEARED, Kind.LATCHED, Kind.ANSWERED})
_LEVEL = "|".join(level.word for level in Level)
FORMS = {
    "sounds": Form(
        re.compile(r"[1-9][0-9]{0,2}s|[12][0-9]{3}s|3[0-5][0-9]{2}s|3600s"), "1s 到 3600s", "1s to 3600s"
    ),
    "topic": Form(
        re.compile(r"[^+#$\x00-\x20][^+#\x00-\x20]{0,199}"),
        "一个主题，不含 + # 和空格",
        "a topic without + # or blanks",
    ),
    "levels": Form(
        re.compile(rf"({_LEVEL})(, ?({_LEVEL}))*"), "red，或如 orange, red", "red, or as orange, red"
    ),
}
THREAD = "siren"
BEFORE_US = ""  # the case of whatever a process before this one may have left on


@dataclass(frozen=True, slots=True)
class Order:
    """What a relay at the broker is told. One that is away for longer than `expires_s` need not hear it."""

    broker: BrokerConfig
    name: str
    topic: str
    payload: bytes
    expires_s: float


class Siren:
    """`on` and `off` are commands with their arguments, or orders to a relay; `now` is steady seconds."""

    def __init__(
        self,
        on: Sequence[str] | Order,
        off: Sequence[str] | Order,
        sounds_s: float = SOUNDS_S,
        levels: frozenset[Level] = frozenset({Level.RED}),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on, self._off, self._sounds_s, self._levels, self._now = on, off, sounds_s, levels, now
        self._until = {BEFORE_US: now() + sounds_s}  # case -> when it falls silent by itself
        self._news = threading.Condition(threading.RLock())
        self._watched = False
        with self._news:
            self._changed()

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        if notification.kind in SILENCING:
            return self._silence(notification.card or notification.case)
        if notification.level not in self._levels:
            return Answer(Told.REFUSED, f"not for {notification.level.word}: see levels", personal=True)
        if notification.kind not in SOUNDING:
            return Answer(Told.ACCEPTED, f"a siren has no sound for {notification.kind}")
        return self._sound(notification.case)

    def _sound(self, case: str) -> Answer:
        with self._news:
            self._until[case] = self._now() + self._sounds_s
            failed = _run(self._on)
            self._changed()  # after it: whatever becomes of the thread, it sounds
            return Answer(Told.ACCEPTED, "it sounds", card=case) if failed is None else failed

    def _silence(self, case: str) -> Answer:
        """Off, when it was the last one that wanted it."""
        with self._news:
            left = {one: until for one, until in self._until.items() if one not in (case, BEFORE_US)}
            if not left and (failed := _run(self._off)) is not None:
                return failed
            self._until = left
            self._changed()
            return Answer(Told.ACCEPTED, "another case wants it" if left else "silent")

    # ------------------------------------------------------------ the thread: there while something sounds

    def _changed(self) -> None:
        self._news.notify()
        if self._until and not self._watched:
            threading.Thread(target=self._watch, name=THREAD, daemon=True).start()
            self._watched = True

    def _watch(self) -> None:
        with self._news:
            try:
                while self._until:
                    self._news.wait(self._pause_s())
                    self._expire()
            finally:
                self._watched = False

    def _pause_s(self) -> float:
        """Until the next one is over."""
        return max(min(self._until.values()) - self._now(), 0.0)

    def _expire(self) -> None:
        now = self._now()
        left = {one: until for one, until in self._until.items() if until > now}
        if len(left) == len(self._until):
            return
        failed = None if left else _run(self._off)
        if failed is None:
            self._until = left
            return
        telemetry.log(
            "siren_stuck", "error", error=failed.detail, hint="it may still sound: the command `off`"
        )
        self._until = {BEFORE_US: now + AGAIN_S}


def _run(order: Sequence[str] | Order) -> Answer | None:
    """None when it went well."""
    return _tell(order) if isinstance(order, Order) else _command_runs(order)


def _tell(order: Order) -> Answer | None:
    """Told again it is the same order, so that nothing is lost by trying again."""
    try:
        publish(order.broker, order.name, order.topic, order.payload, order.expires_s)
    except NotPublished as error:
        return Answer(Told.REFUSED if error.for_good else Told.LATER, detail(str(error)), AGAIN_S)
    return None


def _command_runs(command: Sequence[str]) -> Answer | None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=ENVIRONMENT, timeout=COMMAND_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(Told.LATER, f"{command[0]} took more than {COMMAND_S:.0f} s", AGAIN_S)
    except OSError as error:
        return Answer(Told.REFUSED, f"{command[0]}: {error.strerror}")
    return (
        Answer(Told.LATER, f"{command[0]} ended with {done.returncode}", AGAIN_S) if done.returncode else None
    )


# ---------------------------------------------------------------- its entry in lilong.yaml


def build(setup: Setup) -> Siren:
    setup.judge(FORMS)
    sounds_s = float(setup.settings.get("sounds", f"{SOUNDS_S}s").removesuffix("s"))
    words = re.findall(r"\w+", setup.settings.get("levels", "red"))
    chosen = frozenset(level for level in Level if level.word in words)
    make = _order if "topic" in setup.settings else _command
    return Siren(make(setup, "on", sounds_s), make(setup, "off", sounds_s), sounds_s, chosen)


def _order(setup: Setup, name: str, sounds_s: float) -> Order:
    """With `topic`, `on` and `off` are what a relay is told; {seconds} in it: for how long."""
    if setup.broker is None:
        raise ValueError(f"channels.{setup.name}.topic: there is no broker to say it to")
    payload = setup.settings.get(name, {"on": ON, "off": OFF}[name]).replace(SECONDS, f"{sounds_s:.0f}")
    return Order(setup.broker, setup.name, setup.settings["topic"], payload.encode(), sounds_s)


def _command(setup: Setup, name: str, sounds_s: float) -> list[str]:
    try:
        words = shlex.split(setup.settings[name])
    except ValueError:
        words = []
    if not words:
        raise ValueError(f"channels.{setup.name}.{name}: expected a command and its arguments")
    return words
