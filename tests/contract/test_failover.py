"""failover: what one has definitely not taken goes to the next at once; what it may have taken, to none."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import channels, telemetry
from gateway.channels.base import Answer, Receipted, Setup
from gateway.channels.failover import Failover, Member, build
from gateway.channels.reliability import Several
from gateway.config import load
from gateway.core.breaker import FAILURES_MOST, OPEN_S, Breaker
from gateway.core.model import SECOND, Level, Notification, Told
from gateway.core.quotas import Per, Quota
from tests.contract.dialects import notification

OK = Answer(Told.ACCEPTED, "OK", number="biz", receipt_s=60.0)
NOT_TAKEN = {
    "no connection": Answer(Told.LATER, "connection refused"),
    "throttled": Answer(Told.LATER, "429", 60.0),
    "its own fault": Answer(Told.LATER, "503"),
    "no money": Answer(Told.REFUSED, "isv.AMOUNT_NOT_ENOUGH"),
    "this number's limit": Answer(Told.LATER, "BUSINESS_LIMIT_CONTROL", 300.0, personal=True),
}
MAYBE = Answer(Told.UNKNOWN, "no answer within 10 s", once=True)
HALF = Quota(most=2, span_s=60.0, per=Per.ADDRESS)


class Way:
    """A provider; each of its answers takes `takes_s`."""

    def __init__(self, street: Street, answer: Answer, takes_s: float = 0.1) -> None:
        self._street, self.answer, self.takes_s = street, answer, takes_s
        self.got: list[str] = []
        self.knows: Receipted | None = None

    def send(self, told: Notification, text: str, link: str) -> Answer:
        self.got.append(told.id)
        self._street.now += int(self.takes_s * SECOND)
        return self.answer

    def ask(self, told: Notification) -> Receipted | None:
        return self.knows


class Street:
    def __init__(self, first: Answer = OK, second: Answer = OK, quotas: tuple[Quota, ...] = ()) -> None:
        self.now = 1_000 * SECOND
        self.ali, self.tx = Way(self, first), Way(self, second)
        self.members = [Member("sms-ali", self.ali, quotas), Member("sms-tx", self.tx)]
        self.sms = Failover(self.members, lambda: self.now)

    def send(self, name: str = "n1", **changes: Any) -> Answer:
        told = notification(id=name, **changes)
        return self.sms.send(told, told.text, "")


@pytest.fixture
def said() -> Iterator[list[telemetry.Said]]:
    with telemetry.testing() as found:
        yield found


def test_the_first_is_used_as_long_as_it_works() -> None:
    street = Street()
    assert street.send() == Answer(Told.ACCEPTED, "sms-ali: OK", number="biz", receipt_s=60.0)
    assert (street.ali.got, street.tx.got) == (["n1"], [])


@pytest.mark.parametrize("why", NOT_TAKEN)
def test_what_was_not_taken_goes_to_the_next_in_the_same_attempt(why: str) -> None:
    street = Street(NOT_TAKEN[why])
    assert street.send().detail == "sms-tx: OK"
    assert (street.ali.got, street.tx.got) == (["n1"], ["n1"])


def test_a_provider_that_hangs_costs_less_than_half_a_minute() -> None:
    street = Street(NOT_TAKEN["no connection"])
    street.ali.takes_s = street.tx.takes_s = 10.0  # an attempt's longest
    began = street.now
    assert street.send().told is Told.ACCEPTED
    assert street.now - began < 30 * SECOND


def test_a_slow_sending_counts_from_its_answer() -> None:
    """The provider counts when it arrives: 59 s after a slow one it would be one too many there."""
    street = Street(quotas=(HALF,))
    street.ali.takes_s = 2.0
    began = street.now
    for n in range(2):
        street.send(f"n{n}")
    street.now = began + 61 * SECOND
    street.send("n2")
    assert (street.ali.got, street.tx.got) == (["n0", "n1"], ["n2"])


def test_what_may_have_been_taken_goes_to_no_other() -> None:
    street = Street(MAYBE)
    answer = street.send()
    assert (answer.told, answer.once) == (Told.UNKNOWN, True)
    assert street.tx.got == []


def test_one_that_is_sent_again_stays_where_it_may_be_known() -> None:
    street = Street(Answer(Told.UNKNOWN, "?"))
    street.send()
    street.ali.answer = NOT_TAKEN["its own fault"]
    assert street.send(attempt=1).told is Told.LATER
    assert (street.ali.got, street.tx.got) == (["n1", "n1"], [])
    street.ali.answer = OK
    street.send(attempt=2)
    street.ali.answer = NOT_TAKEN["its own fault"]
    street.send("n2")
    assert street.tx.got == ["n2"]


def test_after_failures_it_is_left_alone_then_probed_once_then_used_again(said: list[telemetry.Said]) -> None:
    street = Street(NOT_TAKEN["its own fault"])
    for n in range(FAILURES_MOST + 3):
        street.send(f"n{n}")
    assert len(street.ali.got) == FAILURES_MOST
    assert [one.fields["channel"] for one in said if one.event == "channel_opened"] == ["sms-ali"]
    street.now += int(OPEN_S * SECOND)
    for n in range(3):
        assert street.send(f"probe{n}").told is Told.ACCEPTED
    assert street.ali.got[FAILURES_MOST:] == ["probe0"]
    assert b'lilong_channel_open{channel="sms-ali"} 1.0' in telemetry.exposition()
    street.now += int(OPEN_S * SECOND)
    street.ali.answer = OK
    assert [street.send(f"well{n}").detail for n in range(2)] == ["sms-ali: OK"] * 2
    assert [one.event for one in said] == ["channel_opened", "channel_closed"]
    assert b'lilong_channel_open{channel="sms-ali"} 0.0' in telemetry.exposition()


def test_the_member_that_fails_is_named_while_another_serves() -> None:
    street = Street(first=Answer(Told.REFUSED, "no money left"))
    street.send("a")
    street.send("b")
    assert isinstance(street.sms, Several)
    assert street.sms.failing() == ["sms-ali"]


def test_time_outs_open_it_too() -> None:
    street = Street(MAYBE)
    found = [street.send(f"n{n}").told for n in range(FAILURES_MOST + 1)]
    assert found == [Told.UNKNOWN] * FAILURES_MOST + [Told.ACCEPTED]


def test_numbers_that_are_over_their_limit_open_nothing() -> None:
    street = Street(NOT_TAKEN["this number's limit"])
    for n in range(9):
        street.send(f"n{n}")
    assert not street.members[0].breaker.is_open


def test_with_all_of_them_failing_each_is_still_tried() -> None:
    """Better a provider that fails than nobody."""
    street = Street(NOT_TAKEN["its own fault"], NOT_TAKEN["throttled"])
    answers = [street.send(f"n{n}") for n in range(5)]
    assert {(one.told, one.detail, one.retry_after_s) for one in answers} == {
        (Told.LATER, "sms-ali: 503", 0.0)
    }
    assert len(street.ali.got) == len(street.tx.got) == 5


def test_refused_by_all_is_refused() -> None:
    street = Street(NOT_TAKEN["no money"], Answer(Told.REFUSED, "no such number"))
    assert street.send() == Answer(Told.REFUSED, "sms-tx: no such number")


def test_a_member_without_room_is_passed_over() -> None:
    street = Street(quotas=(HALF,))
    found = [street.send(f"n{n}", address="13800000001").detail for n in range(3)]
    assert found == ["sms-ali: OK", "sms-ali: OK", "sms-tx: OK"]
    street.tx.answer = NOT_TAKEN["its own fault"]
    full = street.send("n4", address="13800000001", level=Level.RED)
    assert full.told is Told.LATER
    assert len(street.ali.got) == 2, "not even when the other one fails"


def test_a_restart_knows_what_each_has_sent() -> None:
    street = Street(quotas=(HALF,))
    by = {"n1": "sms-ali: OK", "n2": "sms-tx: OK", "n3": "DELIVRD"}
    sent = [
        notification(id=name, detail=detail, address="13800000001", told_at=5 * SECOND)
        for name, detail in by.items()
    ]
    street.sms.recount(sent[:2], at=10 * SECOND)
    assert street.send("n4", address="13800000001").detail == "sms-ali: OK"
    again = Street(quotas=(HALF,))
    again.sms.recount(sent, at=10 * SECOND)
    assert again.send("n4", address="13800000001").detail == "sms-tx: OK"
    again.now += 56 * SECOND
    assert again.send("n5", address="13800000001").detail == "sms-ali: OK"


def test_whoever_knows_of_it_answers_for_it() -> None:
    street = Street()
    assert street.sms.ask(notification()) is None
    street.tx.knows = Receipted("n1", True)
    assert street.sms.ask(notification()) == Receipted("n1", True)


def test_the_breaker_lets_one_probe_through_at_a_time() -> None:
    breaker = Breaker()
    assert [breaker.failed(0) for _ in range(FAILURES_MOST + 1)] == [False] * (FAILURES_MOST - 1) + [
        True,
        False,
    ]
    later = int(OPEN_S * SECOND)
    assert [breaker.lets(at) for at in (later - 1, later, later, 2 * later - 1, 2 * later)] == [
        False, True, False, False, True
    ]  # fmt: skip
    assert breaker.succeeded() and not breaker.succeeded()


# ---------------------------------------------------------------- in lilong.yaml

LILONG = """
    broker: {{host: 127.0.0.1}}
    directories: {{sites: []}}
    channels:
      one: {{kind: inbox}}
      two: {{kind: inbox}}
      sms: {{kind: failover, of: {of}}}
"""


@pytest.mark.parametrize("of", ["one three", "one sms", "one one"])
def test_check_refuses_members_that_are_none(tmp_path: Path, of: str) -> None:
    path = tmp_path / "lilong.yaml"
    path.write_text(textwrap.dedent(LILONG.format(of=of)), "utf-8")
    assert [problem.path for problem in load(path, "en", environ={}).problems] == ["channels.sms.of"]


def test_it_is_made_of_the_channels_it_names(tmp_path: Path) -> None:
    path = tmp_path / "lilong.yaml"
    path.write_text(textwrap.dedent(LILONG.format(of="two one")), "utf-8")
    loaded = load(path, "en", environ={})
    assert loaded.config is not None and loaded.problems == []
    entries = list(loaded.config.channels.values())
    made = channels.build_all(entries)
    assert made["sms"].send(notification(), "", "").detail == "two:"
    assert channels.groups(entries) == {"one": "sms", "two": "sms"}


def test_one_that_is_not_there_is_said_by_name() -> None:
    with pytest.raises(ValueError, match=r"channels\.sms\.of: found gone"):
        build(Setup(name="sms", settings={"of": "gone"}, secrets={}))
