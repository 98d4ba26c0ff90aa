"""`siren` under the contract of all channels: it sounds, falls silent, and nothing hangs on its command."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway import channels, telemetry
from gateway.adapters.mqtt_publish import publish
from gateway.channels import siren
from gateway.channels.base import Answer
from gateway.channels.siren import Order, Siren
from gateway.config import BrokerConfig
from gateway.core.model import Kind, Level, Told
from tests.contract.dialects import notification
from tests.servers.process import free_port
from tests.sirens import silenced, watching
from tests.waiting import until

LONG_S = 600.0


@pytest.fixture(autouse=True)
def no_siren_is_left() -> Iterator[None]:
    with silenced():
        yield


class Roof:
    """A siren that is a file: there while it sounds; `calls` has a line for each command."""

    def __init__(self, folder: Path, sounds_s: float = LONG_S, on: str = "", off: str = "") -> None:
        self.horn, self._calls = folder / "horn", folder / "calls"
        self._calls.touch()
        self.siren = Siren(
            [self.script(folder, "on", on or f"touch {self.horn}")],
            [self.script(folder, "off", off or f"rm -f {self.horn}")],
            sounds_s,
        )

    def script(self, folder: Path, name: str, does: str) -> str:
        path = folder / name
        path.write_text(f"#!/bin/sh\necho {name} >> {self._calls}\n{does}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def send(self, **changes: object) -> Answer:
        return self.siren.send(notification(**{"level": Level.RED, **changes}), "文", "")

    @property
    def sounds(self) -> bool:
        return self.horn.exists()

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().split()


def test_red_sounds_within_two_seconds(tmp_path: Path) -> None:
    roof = Roof(tmp_path)
    began = time.monotonic()
    answer = roof.send()
    assert (answer.told, answer.card, roof.sounds) == (Told.ACCEPTED, notification().case, True)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("level", [Level.YELLOW, Level.ORANGE])
def test_what_is_not_red_is_not_told_by_it(tmp_path: Path, level: Level) -> None:
    """Refused and not accepted: nobody has heard anything, and the ladder must go on."""
    roof = Roof(tmp_path)
    assert roof.send(level=level).told is Told.REFUSED
    assert not roof.sounds


def test_it_has_no_sound_for_paper_work(tmp_path: Path) -> None:
    """Nothing was refused, so no operator is called; and nothing sounds that would have to end."""
    roof = Roof(tmp_path)
    answer = roof.send(kind=Kind.BOUNCED)
    assert (answer.told, answer.card, roof.calls) == (Told.ACCEPTED, "", [])


@pytest.mark.parametrize("kind", [Kind.RISEN, Kind.ESCALATED, Kind.OVERDUE])
def test_it_sounds_when_nobody_is_at_it(tmp_path: Path, kind: Kind) -> None:
    roof = Roof(tmp_path)
    assert roof.send(kind=kind).card
    assert roof.sounds


@pytest.mark.parametrize("kind", [Kind.CLEARED, Kind.LATCHED])
def test_it_falls_silent_when_the_sensor_is_normal(tmp_path: Path, kind: Kind) -> None:
    roof = Roof(tmp_path)
    roof.send()
    assert roof.send(kind=kind).told is Told.ACCEPTED
    assert not roof.sounds


def test_it_falls_silent_when_somebody_has_answered(tmp_path: Path) -> None:
    """The change of a card belongs to no case: the card says which."""
    roof = Roof(tmp_path)
    card = roof.send().card
    assert roof.send(kind=Kind.ANSWERED, case="", card=card).told is Told.ACCEPTED
    assert not roof.sounds


def test_it_sounds_until_no_case_wants_it(tmp_path: Path) -> None:
    roof = Roof(tmp_path)
    cards = [roof.send(case=case).card for case in ("one", "two")]
    roof.send(kind=Kind.ANSWERED, case="", card=cards[0])
    assert roof.sounds
    roof.send(kind=Kind.ANSWERED, case="", card=cards[1])
    assert not roof.sounds


def test_it_falls_silent_by_itself(tmp_path: Path) -> None:
    roof = Roof(tmp_path, sounds_s=0.2)
    roof.send()
    until(lambda: not roof.sounds)


def test_nothing_watches_one_that_is_silent(tmp_path: Path) -> None:
    """And one that sounds again is watched again."""
    before, roof = watching(), Roof(tmp_path)
    for _ in range(2):
        roof.send()
        assert len(watching() - before) == 1
        until(lambda: roof.siren._news._waiters, what="its ten minutes have begun")  # type: ignore[attr-defined]
        roof.send(kind=Kind.CLEARED)
        until(lambda: watching() <= before)


def test_told_again_it_sounds_anew(tmp_path: Path) -> None:
    """A case that nobody answers is escalated: its time begins again."""
    roof = Roof(tmp_path, sounds_s=0.2)
    roof.send()
    until(lambda: not roof.sounds)
    roof.send(kind=Kind.ESCALATED)
    until(lambda: roof.calls.count("on") == 2)
    until(lambda: not roof.sounds)


def test_what_a_process_before_us_left_on_ends_too(tmp_path: Path) -> None:
    """The power came back: the relay still sounds, and nobody remembers why."""
    (tmp_path / "horn").touch()
    roof = Roof(tmp_path, sounds_s=0.2)
    until(lambda: not roof.sounds)


def test_an_off_that_fails_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siren, "AGAIN_S", 0.1)
    with telemetry.testing() as log:
        stuck = f"test $(grep -c off {tmp_path}/calls) -ge 3 && rm -f {tmp_path}/horn"
        roof = Roof(tmp_path, sounds_s=0.2, off=stuck)
        roof.send()
        until(lambda: not roof.sounds)
    assert [one.event for one in log] == ["siren_stuck"] * 2


def test_an_off_that_fails_is_asked_for_again(tmp_path: Path) -> None:
    roof = Roof(tmp_path, off="exit 3")
    roof.send()
    assert roof.send(kind=Kind.CLEARED).told is Told.LATER


# ---------------------------------------------------------------- the command


def test_a_command_that_fails_is_for_now(tmp_path: Path) -> None:
    answer = Roof(tmp_path, on="exit 7").send()
    assert (answer.told, answer.retry_after_s) == (Told.LATER, siren.AGAIN_S)
    assert "ended with 7" in answer.detail


def test_a_command_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siren, "COMMAND_S", 0.3)
    began = time.monotonic()
    assert Roof(tmp_path, on="exec sleep 30").send().told is Told.LATER
    assert time.monotonic() - began < 5


def test_a_command_that_is_not_there_is_for_good(tmp_path: Path) -> None:
    answer = Siren(["/no/such/command"], ["true"], LONG_S).send(notification(level=Level.RED), "t", "")
    assert answer.told is Told.REFUSED
    assert "/no/such/command" in answer.detail


def test_no_shell_and_no_secrets_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a device's words nor our environment are part of a command."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/lilong")
    roof = Roof(tmp_path, on=f'env > {tmp_path}/env; echo "$@" > {tmp_path}/words')
    roof.send(title="$(touch /tmp/x)", text="`id`")
    assert "CREDENTIALS" not in (tmp_path / "env").read_text()
    assert (tmp_path / "words").read_text().strip() == ""


# ---------------------------------------------------------------- its entry in lilong.yaml


LEAST = {"on": "relay 1 on", "off": "relay 1 off", "sounds": "3600s"}


def made(**settings: str) -> Siren:
    found = channels.build("roof", "siren", LEAST | settings, {})
    assert isinstance(found, Siren)
    return found


def test_commands_are_words_not_lines_of_a_shell() -> None:
    found = made(on="mosquitto_pub -t 'yard/siren set' -m on; reboot")
    assert found._on == ["mosquitto_pub", "-t", "yard/siren set", "-m", "on;", "reboot"]


def test_only_red_unless_it_says_otherwise() -> None:
    assert made()._levels == {Level.RED}
    assert made(levels="orange, red")._levels == {Level.ORANGE, Level.RED}


BAD = [("on", "'"), ("off", " "), ("sounds", "0s"), ("sounds", "5m"), ("sounds", "nans"), ("levels", "pink")]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_settings_are_looked_at(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        made(**{name: value})


# ---------------------------------------------------------------- a relay at the broker

RELAY = {"topic": "relay/yard/siren", "sounds": "90s"}


def test_a_topic_spares_the_commands_and_the_order_says_for_how_long() -> None:
    found = channels.build("roof", "siren", RELAY, {}, broker=BrokerConfig(host="127.0.0.1"))
    assert isinstance(found, Siren)
    on, off = found._on, found._off
    assert isinstance(on, Order) and isinstance(off, Order)
    assert (on.topic, json.loads(on.payload)) == ("relay/yard/siren", {"on": True, "for_s": 90})
    assert json.loads(off.payload) == {"on": False}


def test_a_relay_may_want_other_words() -> None:
    own = {"on": "ON {seconds}", "off": "OFF"}
    found = channels.build("roof", "siren", RELAY | own, {}, broker=BrokerConfig(host="127.0.0.1"))
    assert isinstance(found, Siren) and isinstance(found._on, Order) and isinstance(found._off, Order)
    assert (found._on.payload, found._off.payload) == (b"ON 90", b"OFF")


@pytest.mark.parametrize("topic", ["", "relay/#", "relay/+/siren", "$SYS/siren", "relay/the yard"])
def test_a_topic_is_one_topic(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        channels.build("roof", "siren", {"topic": topic}, {}, broker=BrokerConfig(host="127.0.0.1"))


def test_without_a_broker_it_is_for_now(tmp_path: Path) -> None:
    """Nothing is lost: it is tried again, and the ladder goes on meanwhile."""
    broker = BrokerConfig(host="127.0.0.1", port=free_port())
    found = channels.build("roof", "siren", RELAY, {}, broker=broker)
    answer = found.send(notification(level=Level.RED), "t", "")
    assert (answer.told, answer.retry_after_s) == (Told.LATER, siren.AGAIN_S)
    assert "broker" in answer.detail


def test_a_broker_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siren, "publish", partial(publish, total_s=0.3))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        broker = BrokerConfig(host="127.0.0.1", port=deaf.getsockname()[1])
        found = channels.build("roof", "siren", RELAY, {}, broker=broker)
        began = time.monotonic()
        assert found.send(notification(level=Level.RED), "t", "").told is Told.LATER
        assert time.monotonic() - began < 2.0
