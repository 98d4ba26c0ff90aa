"""`clocks:` of a site: what it leaves out stays as shipped, and its mistakes are told with their lines."""

from __future__ import annotations

from pathlib import Path

from gateway.config import load
from gateway.core.clocks import DEFAULTS
from gateway.core.model import Level
from tests.unit.config_files import FILES, write

SITE = "sites/site.yaml"


def loaded(folder: Path, clocks: str):
    write(folder, {**FILES, SITE: f"{FILES[SITE]}\n{clocks}"})
    return load(folder / "lilong.yaml", "en", environ={})


def test_without_an_entry_the_shipped_ones_count(tmp_path: Path) -> None:
    world = loaded(tmp_path, "").world
    assert world.clocks == tuple(DEFAULTS.values()) and world.join_within_s == 120


def test_an_entry_changes_what_it_says(tmp_path: Path) -> None:
    text = (
        "clocks: [{level: red, handle: 1h}, {level: red, scene: cabinet, acknowledge: 1m}]\njoin_within: 0s"
    )
    world = loaded(tmp_path, text).world
    general, scene = (one for one in world.clocks if one.level is Level.RED)
    assert (general.acknowledge_s, general.handle_s, general.verify_by) == (120, 3600, "person")
    assert (scene.acknowledge_s, scene.handle_s, scene.scene) == (60, 3600, "cabinet")
    assert world.join_within_s == 0


def test_mistakes_are_told(tmp_path: Path) -> None:
    text = (
        "clocks:\n  - {level: red, handle: 1h}\n  - {level: red, verify: 1h}\n"
        "  - {level: orange, scene: cabinett}\n  - {level: yellow, during: {inside: office}}\n"
        "  - {level: pink}\n  - {level: yellow, scene: cabinet, verify_by: nobody}\n"
    )
    found = "\n".join(map(str, loaded(tmp_path, text).problems))
    for said in ("clock red a second time", "cabinett", "office", "pink", "nobody"):
        assert said in found, found
