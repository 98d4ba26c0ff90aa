"""What the benchmark's loads promise of themselves; its figures are another matter, and fail nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load as load_configuration
from gateway.core.decoding import Decoder
from gateway.core.engine import Engine
from gateway.core.model import SECOND, Alert, Fault, Message, Messages, World
from gateway.core.state import State
from tests.benchmarks.load import Load
from tests.benchmarks.publisher import add_load_arguments, arguments_of, load_of
from tests.benchmarks.shipped import MIX, SCENES, Street
from tests.benchmarks.site import write
from tests.benchmarks.subjects import Setting

START_MS = 1_795_284_000_123
BATCH = 250
KINDS = pytest.mark.parametrize("kind", [Load, Street])


def small(kind: type[Load]) -> Load:
    return kind(count=600, devices=200, alerts=10, streak=0, per_second=200, start_ms=START_MS)


def world_of(folder: Path, load: Load) -> World:
    setting = Setting(folder=folder, port=1, url="http://127.0.0.1:9", bucket="b", hook="http://h", load=load)
    loaded = load_configuration(write(setting, "bench"), "en")
    assert loaded.world, loaded.problems
    return loaded.world


@KINDS
def test_every_message_is_understood_and_is_as_many_points_as_said(kind: type[Load], tmp_path: Path) -> None:
    load = small(kind)
    world, faults = world_of(tmp_path, load), list[Fault]()
    decoder = Decoder(world)
    decoded = [
        decoder.decode(Message(topic, payload), load.at_ms(index) * 1_000_000, faults)
        for index, (topic, payload) in enumerate(load.messages())
    ]
    assert not faults
    points = {(reading.device, reading.component, reading.measured_ns) for one in decoded for reading in one}
    assert len(points) == load.points
    assert {world.models[world.devices[device].model].scene for device, *_ in points} == set(load.scenes)


@KINDS
def test_whoever_crosses_raises_and_nobody_else(kind: type[Load], tmp_path: Path) -> None:
    """Each in a case of its own, or one message would tell of several."""
    load = small(kind)
    engine = Engine(world_of(tmp_path, load), State(identity="0badcafe"))
    items, raised = [Message(topic, payload) for topic, payload in load.messages()], set[str]()
    for at in range(0, len(items), BATCH):
        ns = load.at_ms(at + BATCH) * 1_000_000
        batch = Messages(ns - START_MS * 1_000_000 + SECOND, ns, items[at : at + BATCH])
        raised |= {effect.device for effect in engine.step(batch) if isinstance(effect, Alert)}
    assert raised == set(load.crossings().values())
    assert len(raised) == len(engine.state.cases) == load.alerts


def test_the_street_has_every_shipped_scene_rule_and_two_detectors_in_a_shed(tmp_path: Path) -> None:
    world = world_of(tmp_path, small(Street))
    assert {world.models[model].scene for model in MIX} == set(SCENES)
    assert {"lift-ebike", "cabinet-smoke", "waste-bag", "tilt-x-trend"} <= {rule.id for rule in world.rules}
    assert world.devices["d00000"].at == world.devices["d00001"].at != world.devices["d00010"].at


@KINDS
def test_a_process_of_its_own_makes_the_same_load(kind: type[Load]) -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser()
    add_load_arguments(parser)
    again = load_of(parser.parse_args(arguments_of(small(kind))))
    assert again == small(kind) and type(again) is kind
    assert list(again.messages()) == list(small(kind).messages())
