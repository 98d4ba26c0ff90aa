"""Whose topics overlap: the quick way through thousands of devices finds what looking at each pair finds."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from gateway.checks.unique import overlapping
from gateway.core.model import Device

LEVEL = st.sampled_from(["a", "b", "+"])
TOPICS = st.lists(st.lists(LEVEL, min_size=1, max_size=3).map("/".join), max_size=12)


def overlap(one: str, other: str) -> bool:
    """Some topic is in both."""
    pairs = list(zip(one.split("/"), other.split("/"), strict=False))
    return one.count("/") == other.count("/") and all(a == b or "+" in (a, b) for a, b in pairs)


@given(TOPICS)
def test_every_overlap_is_found_and_nothing_else(topics: list[str]) -> None:
    devices = [Device(id=f"d{n}", model="m", at="p", topic=topic) for n, topic in enumerate(topics)]
    wanted = {
        (one.id, other.id)
        for one, other in permutations(devices, 2)
        if "+" in one.topic and one.topic != other.topic and overlap(one.topic, other.topic)
    }
    assert {(one.id, other.id) for one, other in overlapping(devices)} == wanted
