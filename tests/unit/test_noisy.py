"""A flooding device keeps nobody waiting, and nothing that it says anew is lost."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import telemetry
from gateway.adapters.mqtt import Delivery
from gateway.core.decoding import Decoder
from gateway.core.model import SECOND, Link, Message
from gateway.core.noisy import LEAST, TIMES_MOST, UNTOLD_MOST, Noise, kept_ns
from gateway.core.state import State
from tests.unit.test_pipeline import Gateway
from tests.unit.worlds import CABINET, START_NS, TOPIC, payload, world
from tests.waiting import until

SPEAKS = replace(CABINET, expect_every_s=30)
WORLD = world(devices=("cab-1", "cab-2"), models={"cabinet": SPEAKS})
BOUND = 600  # of a cabinet, which speaks every half minute


def sifted(payloads, topic="site/cab-1", *, noise=None, at=0, kept=0, wall_ns=START_NS):
    noise = noise or Noise(WORLD, Decoder(WORLD))
    let_go = Counter()
    messages = [one if isinstance(one, Message) else Message(topic, one) for one in payloads]
    return noise.sift(messages, at, wall_ns, kept, let_go), let_go


def test_within_the_bound_all_is_kept_untouched():
    messages = [Message("site/cab-1", payload(smoke=0))] * BOUND
    kept, let_go = sifted(messages)
    assert kept == messages and not let_go


def test_beyond_it_repetitions_go_and_are_counted():
    kept, let_go = sifted([payload(smoke=0)] * 5_000)
    assert len(kept) == BOUND + 1 and let_go == {"cab-1": 4_999 - BOUND}  # and the first beyond


def test_the_change_is_never_among_them():
    """The one message of ten thousand that says smoke, and the one that takes it back."""
    flood = [payload(smoke=0)] * 5_000 + [payload(smoke=1)] * 5_000 + [payload(smoke=0)] * 5_000
    kept, _ = sifted(flood)
    beyond = [one.payload for one in kept[BOUND:]]
    assert beyond == [payload(smoke=0), payload(smoke=1), payload(smoke=0)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 30))
def test_every_step_of_any_values_is_kept(values, times):
    flood = [payload(smoke=0)] * BOUND + [
        payload(smoke=value % 2, t=20 + value) for value in values for _ in range(times)
    ]
    kept, let_go = sifted(flood)
    steps = [one for one, before in zip(flood[BOUND:], [None, *flood[BOUND:]], strict=False) if one != before]
    assert [one.payload for one in kept[BOUND:]] == steps
    assert len(kept) + sum(let_go.values()) == len(flood)


def test_a_part_that_moves_is_kept_beside_one_that_does_not():
    flood = [payload({1: 30.0})] * (BOUND + 10) + [payload({2: 40.0})] * 10 + [payload({2: 40.5})]
    kept, _ = sifted(flood)
    assert [one.payload for one in kept[BOUND:]] == [
        payload({1: 30.0}), payload({2: 40.0}), payload({2: 40.5}),
    ]  # fmt: skip


def test_a_device_that_sends_its_memory_loses_none_of_it():
    """A night of samples a minute apart in one breath: each has an instant of its own."""
    start = START_NS // 10**9
    night = [payload(smoke=0, ts=start - 60 * back) for back in range(2_000, 0, -1)]
    kept, let_go = sifted(night)
    assert len(kept) == 2_000 and not let_go


def test_arrivals_a_second_apart_count_though_nothing_moves():
    noise = Noise(WORLD, Decoder(WORLD))
    sifted([payload(smoke=0)] * (BOUND + 1), noise=noise)
    kept = [
        len(sifted([payload(smoke=0)] * 50, noise=noise, at=s * SECOND, wall_ns=START_NS + s * SECOND)[0])
        for s in range(1, 10)
    ]
    assert kept == [1] * 9


def test_others_are_not_touched():
    mixed = [payload(smoke=0)] * 3_000
    calm = Message("site/cab-2", payload(smoke=0))
    kept, let_go = sifted([*mixed, calm, *mixed, calm])
    assert [one for one in kept if one.topic == "site/cab-2"] == [calm, calm] and set(let_go) == {"cab-1"}


def test_what_nobody_can_read_goes_to_quarantine_and_strangers_are_not_ours():
    unread, let_go = sifted([b"{%d" % number for number in range(2_000)])
    strangers, let_go_too = sifted([b"{}"] * 20_000, "site/stranger")
    assert (len(unread), len(strangers)) == (2_000, 20_000) and not let_go and not let_go_too


def test_each_minute_has_its_own_allowance():
    noise = Noise(WORLD, Decoder(WORLD))
    first, _ = sifted([payload(smoke=0)] * 1_000, noise=noise)
    second, _ = sifted([payload(smoke=0)] * 1_000, noise=noise, at=60 * SECOND)
    assert len(first) == len(second) == BOUND + 1


def test_what_the_broker_kept_for_an_hour_has_an_hours_allowance():
    kept, let_go = sifted([payload(smoke=0)] * 10_000, kept=3600 * SECOND)
    assert len(kept) == 10_000 and not let_go


@pytest.mark.parametrize(
    ("state", "at", "expected"),
    [
        (State("x", link_up=True, listening_since=5000, deaf_since=1000), 6000, 4000),
        (State("x", link_up=True, listening_since=5000, deaf_since=1000), 5001 + 600 * SECOND, 0),
        (State("x", link_up=False, deaf_since=1000), 6000, 5000),  # the Link is in this very batch
    ],
)
def test_how_long_the_broker_may_have_kept_it(state, at, expected):
    assert kept_ns(state, at) == expected


def test_the_bound_follows_the_models_rate():
    noise = Noise(WORLD, Decoder(WORLD))
    assert noise._bound("site/cab-1") == LEAST and noise._bound("site/no") is None
    quick = world(models={"cabinet": replace(CABINET, expect_every_s=1)})
    assert Noise(quick, Decoder(quick))._bound(TOPIC) == TIMES_MOST * 60
    untold = world()
    assert Noise(untold, Decoder(untold))._bound(TOPIC) == UNTOLD_MOST


class Acknowledged(list):
    """A broker's end: the packet ids that came back."""

    def acknowledge(self, deliveries):
        self.extend(mid for delivery in deliveries for mid in delivery.mids)


def test_a_flood_is_acknowledged_and_the_alert_behind_it_is_raised(tmp_path):
    """The whole pipeline: of 20,000 repetitions most are never logged, all are acknowledged, it is named."""
    broker = Acknowledged()
    gateway = Gateway(tmp_path, broker)
    gateway.pipeline.start()
    gateway.pipeline.submit(lambda at, wall: Link(at, wall, True)).result(10)
    flood = [Message(TOPIC, payload(smoke=0))] * 500
    said = [*[flood] * 40, [Message(TOPIC, payload(smoke=1))]]
    with telemetry.testing() as seen:
        for first, messages in enumerate(said):
            mids = range(1 + 500 * first, 1 + 500 * first + len(messages))
            until(lambda mids=mids, messages=messages: gateway.pipeline.deliver(Delivery(1, mids, messages)))
        until(lambda: len(broker) == 20_001)
    assert broker == [*range(1, 20_002)]
    assert [row["rule"] for row in gateway.alerts()] == ["smoke"]
    assert UNTOLD_MOST < gateway.store.position() < UNTOLD_MOST + 500
    assert {one.fields["device"] for one in seen if one.event == "device_noisy"} == {"cab-1"}
    gateway.crash()
