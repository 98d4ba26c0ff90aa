"""quotas: no limit is ever hit, red overtakes and has its reserve, many messages become one text."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway import channels, telemetry
from gateway.channels.base import Answer
from gateway.channels.wecom_app import TEXT_BYTES_MOST, compose
from gateway.config import load
from gateway.core.digest import LEAST, REDS_MOST, chosen, digest
from gateway.core.model import (
    SECOND,
    Kind,
    Level,
    Notification,
    NotificationState,
    Told,
)
from gateway.core.quotas import DAY_S, PERSON, Per, Quota, Quotas, lowered, recount
from gateway.core.templates import SAID, safe
from gateway.notifier import shared
from tests.carrier import MINUTE, Carrier, Wheel
from tests.contract.dialects import notification

RING = Quota(most=4, span_s=60.0, reserve=1)


def red(**changes: Any) -> Notification:
    return notification(level=Level.RED, **changes)


# ---------------------------------------------------------------- counting


def test_a_window_rolls_and_gives_the_instant_of_the_next_token() -> None:
    quotas = Quotas([Quota(most=2, span_s=60.0)])
    for at in (0, 10 * SECOND):
        assert quotas.free_at(notification(), at) == at
        quotas.take(notification(), at)
    assert quotas.free_at(notification(), 20 * SECOND) == MINUTE
    assert quotas.free_at(notification(), MINUTE - 1) == MINUTE
    assert quotas.free_at(notification(), MINUTE) == MINUTE
    quotas.take(notification(), MINUTE)
    assert quotas.free_at(notification(), MINUTE) == MINUTE + 10 * SECOND


def test_the_reserve_is_for_red_alone_and_the_good_news_is_not_red() -> None:
    quotas = Quotas([RING])
    for _ in range(3):
        quotas.take(notification(), 0)
    assert quotas.free_at(notification(), 0) == MINUTE
    assert quotas.free_at(red(kind=Kind.CLEARED), 0) == MINUTE
    assert quotas.free_at(red(), 0) == 0
    quotas.take(red(), 0)
    assert quotas.free_at(red(), 0) == MINUTE, "the limit itself holds for red too"


def test_each_number_has_its_own_however_it_is_written() -> None:
    quotas = Quotas([Quota(most=1, span_s=60.0, per=Per.ADDRESS)])
    quotas.take(notification(address="13800000001"), 0)
    assert quotas.free_at(notification(address="+86 138 0000 0001"), 0) == MINUTE
    assert quotas.free_at(notification(address="13800000002"), 0) == 0


def test_the_mark_of_four_fifths_warns_once_a_window() -> None:
    quotas = Quotas([Quota(most=50, span_s=DAY_S, per=Per.ADDRESS)])
    warned = [(n, use) for n in range(1, 51) for use in quotas.take(notification(), n * MINUTE)]
    assert [n for n, _ in warned] == [40]
    assert (warned[0][1].used, warned[0][1].person) == (40, "wang")
    later = int(DAY_S * SECOND) + 40 * MINUTE
    assert quotas.take(notification(), later) == []
    assert [len(quotas.take(notification(), later + n * SECOND)) for n in range(1, 45)].count(1) == 1


def test_what_the_store_says_was_sent_counts_a_digest_once() -> None:
    quotas = Quotas([Quota(most=3, span_s=60.0)])
    told = [notification(id=f"n{n}", number="biz-1", told_at=SECOND) for n in range(7)]
    recount(quotas, [*told, notification(id="single", told_at=2 * SECOND)])
    assert quotas.free_at(notification(), 3 * SECOND) == 3 * SECOND
    quotas.take(notification(), 3 * SECOND)
    assert quotas.free_at(notification(), 3 * SECOND) == 61 * SECOND


def test_settings_lower_a_limit_and_never_raise_it() -> None:
    quotas = channels.find("voice_aliyun").QUOTAS
    found = lowered(quotas, "3/1h 10/24h")
    assert [(one.most, one.reserve) for one in found if not one.ours] == [(1, 0), (3, 1), (10, 4)]
    assert [one for one in found if one.ours] == list(PERSON)
    for wrong in ("6/1h", "0/1h", "3/2h", "much"):
        with pytest.raises(ValueError, match=r"channels\.call\.at_most: found"):
            channels.quotas("call", "voice_aliyun", {"at_most": wrong})
    with pytest.raises(ValueError, match="it has none"):
        channels.quotas("phone", "inbox", {"at_most": "1/1m"})


def test_check_refuses_more_than_the_provider_lets_through(tmp_path: Path) -> None:
    """With the numbers that there are: nobody should have to look for them."""
    path = tmp_path / "lilong.yaml"
    entry = "{kind: dingtalk, token_file: t, secret_file: s, at_most: 21/1m}"
    path.write_text(
        f"broker: {{host: x}}\ndirectories: {{sites: []}}\nchannels: {{group: {entry}}}\n", "utf-8"
    )
    problems = load(path, "en", environ={}).problems
    assert [problem.path for problem in problems] == ["channels.group.at_most"]
    assert "20/1m" in str(problems[0])


def test_whoever_rings_a_person_declares_what_its_provider_lets_through() -> None:
    rings = {kind for kind in channels.kinds() if kind not in ("inbox", "webhook", "siren", "failover")}
    for kind in rings:
        quotas = channels.find(kind).QUOTAS
        assert set(PERSON) <= set(quotas), kind
        assert all(0 <= one.reserve < one.most for one in quotas), kind


# ---------------------------------------------------------------- one text for several


def named(number: int, level: Level, **changes: Any) -> Notification:
    head = {Level.RED: "红色报警", Level.ORANGE: "橙色预警", Level.YELLOW: "黄色提示"}[level]
    text = f"位置：车棚{number}（枫林路街道 · 宛南居委 · 向阳小区）\n情况：仓温度 81 ℃\n要做：断开该仓"
    title = f"【{head}】充电仓过热 · 柜{number:04}"
    return notification(id=f"n{number:04}", level=level, title=title, text=text, **changes)


def test_a_digest_names_each_red_and_counts_the_others() -> None:
    batch = chosen([
        named(1, Level.YELLOW), named(2, Level.RED), named(3, Level.ORANGE), named(4, Level.RED),
        named(5, Level.YELLOW), named(6, Level.RED, kind=Kind.CLEARED),
    ])  # fmt: skip
    one = digest(batch)
    assert (one.id, one.level, one.together) == ("n0002", Level.RED, 6)
    assert one.title == "【红色报警】6条，最急：充电仓过热 · 柜0002"
    assert one.text.splitlines() == [
        "情况：另有 5 条：红色 1、橙色 1、黄色 2、已恢复 1",
        "1. 充电仓过热 · 柜0002（向阳小区车棚2）",
        "2. 充电仓过热 · 柜0004（向阳小区车棚4）",
        "位置：车棚2（枫林路街道 · 宛南居委 · 向阳小区）",
        "要做：断开该仓",
    ]


def test_an_sms_says_how_many_and_the_worst() -> None:
    one = digest([named(1, Level.RED), *(named(n, Level.ORANGE) for n in range(2, 14))])
    said = {name: safe(find(one)) for name, find in SAID.items()}
    assert said["title"].startswith("13条，最急：充电仓过热")
    assert said["situation"] == "另有 12 条：橙色 12"


def test_more_reds_than_can_be_named_wait_for_the_next_text() -> None:
    reds = [named(n, Level.RED) for n in range(REDS_MOST + 3)]
    first = chosen([named(99, Level.YELLOW), *reds])
    assert [told.level for told in first].count(Level.RED) == REDS_MOST


def test_all_reds_of_a_text_get_through_where_there_is_least_room() -> None:
    """The shortest of the texts is WeCom's, of 2,048 bytes with title and link."""
    reds = [named(n, Level.RED) for n in range(REDS_MOST)]
    reds = [replace(one, title=f"{one.title}{'长' * 60}") for one in reds]
    one = digest(reds)
    link = "https://alarm.fenglinlu-street.example.gov.cn/c/" + "x" * 200
    message = compose(one, one.text, link, 1, True)
    assert message["msgtype"] == "text"
    content = message["text"]["content"]
    assert len(content.encode()) <= TEXT_BYTES_MOST
    assert all(f"充电仓过热 · 柜{n:04}" in content for n in range(REDS_MOST))


def test_one_receipt_is_for_all_of_a_digest() -> None:
    one = digest([named(1, Level.RED), named(2, Level.RED), named(3, Level.RED)])
    assert shared(Answer(Told.ACCEPTED, "OK", number="biz", receipt_s=60), one).number == "biz"
    assert shared(Answer(Told.UNKNOWN, "?", once=True, receipt_s=60), one).number == "n0001"
    plain = shared(Answer(Told.ACCEPTED, "errcode 0"), one)
    assert (plain.number, plain.detail) == ("", "errcode 0 (3 in one text)")


# ---------------------------------------------------------------- a storm, in simulated time


class Strict:
    """A provider that counts by itself, and notes whoever goes over a limit."""

    def __init__(self, wheel: Wheel, limits: dict[float, int], whose: Callable[[Notification], str]) -> None:
        self._wheel, self._limits, self._whose = wheel, limits, whose
        self.way_ns: Callable[[], int] = lambda: 0  # how long a request takes to arrive
        self.got: list[tuple[int, Notification]] = []
        self.over: list[str] = []

    def send(self, told: Notification, text: str, link: str) -> Answer:
        self._wheel.now += self.way_ns()
        whose, now = self._whose(told), self._wheel.now
        for span_s, most in self._limits.items():
            since = now - span_s * SECOND
            if sum(at > since and self._whose(one) == whose for at, one in self.got) >= most:
                self.over.append(f"{whose}: more than {most} in {span_s:g} s at {now / SECOND:.1f}")
        self.got.append((now, told))
        self._wheel.now += SECOND // 20  # a request takes its time
        return Answer(Told.ACCEPTED, "OK", number=f"biz-{len(self.got)}")


class Street(Carrier):
    """Strict providers, and each one's limits as ours declare them."""

    def __init__(self) -> None:
        wheel = Wheel()
        self.app = Strict(wheel, {60.0: 30, 3600.0: 1000}, lambda told: told.address)
        self.sms = Strict(wheel, {DAY_S: 50}, lambda told: told.address)
        self.robot = Strict(wheel, {60.0: 20}, lambda told: "robot")
        ways = {"app": self.app, "sms": self.sms, "robot": self.robot}
        super().__init__(wheel, ways, {"app": "wecom_app", "sms": "sms_aliyun", "robot": "dingtalk"})


ALARMS = 1_000


def storm(seed: int, persons: int, by: Sequence[str] = ("app", "sms")) -> list[list[Notification]]:
    """Alarms in the order of their instants within a minute, each a message on every channel of the rung."""
    rng = random.Random(seed)
    levels = rng.choices([Level.YELLOW, Level.ORANGE, Level.RED], [60, 36, 4], k=ALARMS)
    instants = sorted(rng.randrange(MINUTE) for _ in levels)
    found = []
    for number, (level, at) in enumerate(zip(levels, instants, strict=True)):
        person = rng.randrange(persons)
        whom = {"person": f"p{person}", "due_at": at}
        address = {"app": f"u{person}", "sms": f"1380000{person:04}", "robot": "@all"}
        one = named(number, level, **whom)
        found.append([
            replace(one, id=f"{one.id}-{way}", channel=way, address=address[way]) for way in by
        ])  # fmt: skip
    return found


@pytest.fixture(params=range(3))
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    print(f"seed {request.param}")
    yield request.param


@pytest.mark.parametrize("persons", [1, 3, 40])
def test_a_storm_hits_no_limit_and_nobody_gets_more_than_ten(seed: int, persons: int) -> None:
    street = Street()
    for told in storm(seed, persons):
        street.runs(told[0].due_at)
        street.raises(told)
    street.runs(11 * MINUTE)
    assert street.app.over + street.sms.over == []
    got = Counter(told.person for one in (street.app, street.sms) for _, told in one.got)
    assert max(got.values()) <= 10, got
    _check_every_red_was_named(street)


def _check_every_red_was_named(street: Street) -> None:
    """By its rule and place, to its person, within a minute."""
    said: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for at, told in street.app.got:
        said[told.person].append((at, f"{told.title}\n{told.text}"))
    reds = [one for one in street.ledger.rows.values() if one.level is Level.RED and one.channel == "app"]
    assert reds
    for one in reds:
        name = SAID["title"](one)
        first = min((at for at, text in said[one.person] if name in text), default=None)
        assert first is not None and first - one.due_at <= MINUTE, (name, one.due_at, first)


def test_what_is_left_of_a_storm_is_told_in_the_end(seed: int) -> None:
    street = Street()
    for told in storm(seed, 3):
        street.runs(told[0].due_at)
        street.raises(told)
    street.runs(30 * MINUTE)
    assert {one.state for one in street.ledger.rows.values()} == {NotificationState.ACCEPTED}
    assert street.later == []


def test_a_robot_for_forty_people_stays_within_its_twenty_a_minute(seed: int) -> None:
    street = Street()
    for told in storm(seed, 40, by=("robot",)):
        street.runs(told[0].due_at)
        street.raises(told)
    street.runs(30 * MINUTE)
    assert street.robot.over == []
    assert {one.state for one in street.ledger.rows.values()} == {NotificationState.ACCEPTED}


def test_requests_that_take_their_time_break_no_limit(seed: int) -> None:
    """A provider counts when they arrive: one that was slow, and the next that is quick, are closer there."""
    street, rng = Street(), random.Random(seed)
    street.robot.way_ns = lambda: rng.choice([0, SECOND // 10, 2 * SECOND])
    reds = [named(n, Level.RED, channel="robot", person=f"p{n}", address="@all") for n in range(100)]
    street.raises(reds)
    street.runs(10 * MINUTE)
    assert len(street.robot.got) == 100
    assert street.robot.over == []


def test_a_restart_in_the_midst_breaks_no_limit(seed: int) -> None:
    """It knows what was sent from the store's rows alone."""
    street, rng = Street(), random.Random(seed)
    restarts = sorted(rng.randrange(MINUTE) for _ in range(20))
    for told in storm(seed, 2):
        street.runs(told[0].due_at)
        while restarts and restarts[0] <= street.wheel.now:
            restarts.pop(0)
            street.start()
        street.raises(told)
    street.runs(11 * MINUTE)
    got = Counter((told.person, one) for one in (street.app, street.sms) for _, told in one.got)
    assert street.app.over + street.sms.over == []
    assert max(got.values()) <= 5


def test_a_number_that_had_its_fifty_gets_no_more_after_a_restart() -> None:
    """Red is told at once that this way is shut, so that the ladder goes on."""
    street = Street()
    old = [named(n, Level.RED, channel="sms", address="13800000001", told_at=n * MINUTE) for n in range(50)]
    street.ledger.rows = {one.id: replace(one, state=NotificationState.DELIVERED) for one in old}
    street.wheel.now = 100 * MINUTE
    street.start()
    fire = named(900, Level.RED, channel="sms", address="13800000001")
    mild = named(901, Level.YELLOW, channel="sms", address="13800000001")
    street.raises([fire, mild])
    street.runs(101 * MINUTE)
    assert street.sms.got == []
    assert [(one.notification, one.told) for one in street.later] == [("n0900", Told.LATER)]
    assert street.later[0].retry_after_s > 3600


def test_the_mark_is_told_by_name() -> None:
    street = Street()
    with telemetry.testing() as said:
        for n in range(40):
            street.raises([named(n, Level.RED, channel="sms", address="13800000001", due_at=n * 3 * MINUTE)])
        street.runs(200 * MINUTE)
    short = [one for one in said if one.event == "quota_short"]
    assert [(one.fields["person"], one.fields["reason"]) for one in short] == [
        ("wang", "40 of 50 in 24h, per address")
    ]
    assert "lilong_quota_used_ratio" in telemetry.exposition().decode()
    assert "1380000" not in repr(short)


def test_a_single_red_waits_for_nobody() -> None:
    street = Street()
    street.raises([named(1, Level.YELLOW, channel="app"), named(2, Level.YELLOW, channel="app")])
    street.runs(SECOND)
    street.raises([named(3, Level.RED, channel="app", due_at=SECOND)])
    street.runs(2 * SECOND)
    assert [(told.id, told.together) for _, told in street.app.got] == [("n0001", 2), ("n0003", 0)]


def test_three_that_wait_become_one_text() -> None:
    street = Street()
    street.raises([named(n, Level.ORANGE, channel="app") for n in range(LEAST)])
    street.runs(SECOND)
    assert [told.together for _, told in street.app.got] == [LEAST]


def test_a_card_that_is_changed_is_no_message() -> None:
    street = Street()
    cards = [named(n, Level.RED, channel="app", kind=Kind.ANSWERED) for n in range(30)]
    street.raises(cards)
    street.runs(2 * SECOND)
    assert [told.together for _, told in street.app.got] == [0] * 30
