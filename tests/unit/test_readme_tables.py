"""What the README lists, compared with the code: keys, defaults, commands, metrics, codes, marks, tests."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from gateway import channels
from gateway.cli import main
from gateway.config import ArchiveConfig, BrokerConfig, ConfigKeys, InfluxConfig, WebKeys, load
from gateway.core.codecs import json as json_codec
from gateway.core.model import Quality, Refusal
from gateway.packs import Directories
from gateway.typed import keys_of
from tests.unit.test_architecture import metric_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PROMISES = 11


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of every table row of a section, its heads left out."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [
        row for row, below in zip(cells, [*cells[1:], [""]], strict=True) if "---" not in row[0] + below[0]
    ]


# ---------------------------------------------------------------- configuration

BLOCKS = {
    "the file": ConfigKeys,
    "`directories`": Directories,
    "`broker`": BrokerConfig,
    "`influx`": InfluxConfig,
    "`archive`": ArchiveConfig,
    "`web`": WebKeys,
}
LISTED = dict(rows("lilong.yaml"))
# `key` (value; and what else there is to say)
KEY = re.compile(r"`(\w+)`(?: \(([^;)]+)[^)]*\))?")


def test_every_block_is_listed() -> None:
    assert LISTED.keys() == BLOCKS.keys() | {"`channels`"}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_lists_exactly_its_keys(block: str) -> None:
    assert [key for key, _ in KEY.findall(LISTED[block])] == sorted(
        (key.key for key in keys_of(BLOCKS[block])), key=LISTED[block].find
    )


def test_the_defaults_are_those_that_count(tmp_path: Path) -> None:
    """Written out, they make the very configuration that one gets by leaving them out."""
    least = {"broker": {"host": "x"}, "directories": {"sites": []}}
    influx = {"url": "http://x", "org": "o", "bucket": "b", "token_file": "t"}
    written = {key: yaml.safe_load(value) for key, value in KEY.findall(LISTED["the file"]) if value}
    for block in ("broker", "archive", "web", "influx"):
        written[block] = {k: yaml.safe_load(v) for k, v in KEY.findall(LISTED[f"`{block}`"]) if v}
    assert written["timezone"] and written["influx"] and written["broker"]["port"]
    full = (
        written
        | least
        | {"broker": written["broker"] | least["broker"], "influx": written["influx"] | influx}
    )
    assert _loaded(tmp_path, full) == _loaded(tmp_path, least | {"influx": influx})


def _loaded(folder: Path, content: dict[str, object]) -> object:
    path = folder / "lilong.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    found = load(path, "en", environ={})
    assert found.problems == []
    return found.config


def test_the_defaults_of_directories() -> None:
    said = {key: tuple(yaml.safe_load(value)) for key, value in KEY.findall(LISTED["`directories`"]) if value}
    assert said.keys() == {"devices", "rules", "sites", "signed"} and Directories(**said) == Directories()


def test_every_channel_with_its_settings() -> None:
    said = set(re.findall(r"`(\w+)`", LISTED["`channels`"])) - {"kind"}
    known = {
        key for kind in channels.kinds() for key in channels.find(kind).SETTINGS | channels.find(kind).SECRETS
    }
    assert said == known | set(channels.kinds())


# ---------------------------------------------------------------- commands, metrics, codes


def commands(group: click.Group, name: str) -> list[str]:
    found: list[str] = []
    for word, command in group.commands.items():
        full = f"{name} {word}"
        found += commands(command, full) if isinstance(command, click.Group) else [full]
    return found


def test_every_command_in_the_order_of_the_help() -> None:
    assert [row[0].strip("`") for row in rows("Commands")] == commands(main, "lilong")


def test_options_that_are_named_exist() -> None:
    for command, does in ((row[0].strip("`"), row[1]) for row in rows("Commands")):
        found: click.Command = main
        for word in command.split()[1:]:
            assert isinstance(found, click.Group)
            found = found.commands[word]
        options = {option for parameter in found.params for option in parameter.opts}
        assert set(re.findall(r"`(--[\w-]+)", does)) <= options, command


def test_every_metric() -> None:
    assert set(re.findall(r"`(lilong_\w+)`", section("Commands"))) == metric_names()


def test_every_refusal_code_and_its_bounds() -> None:
    said = section("Refusals and quality marks").split("Every stored point")[0]
    assert re.findall(r"`(\w+)` ", said) == list(Refusal)
    assert (
        f"above {json_codec.BYTES_MAX // 1024} kB" in said and f"deeper than {json_codec.DEPTH_MAX}" in said
    )


def test_every_quality_mark() -> None:
    said = section("Refusals and quality marks").split("is doubtful:")[1]
    assert [word for word in re.findall(r"`(\w+)` ", said) if word in set(Quality)] == list(Quality)


# ---------------------------------------------------------------- promises and layout


def test_every_promise_names_tests_that_are_there() -> None:
    said = rows("The promises, and what proves them")
    assert [re.findall(r"\*\*(P\d+)\*\*", row[0]) for row in said] == [
        [f"P{n}"] for n in range(1, PROMISES + 1)
    ]
    for promise, shown, _ in said:
        named = re.findall(r"`([a-z]+/[\w.]*)`", shown)
        assert named, promise
        assert [one for one in named if not any((ROOT / "tests").glob(one))] == [], promise


def test_every_folder_has_its_place() -> None:
    said = {one.split("/")[0] for row in rows("Layout") for one in re.findall(r"`([\w/.]+)`", row[0])}
    assert said == {
        path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")
    } - {
        "dist",
        "build",
    }


def test_a_forgotten_key_would_be_noticed() -> None:
    """The reading of tables itself: a cell's keys with and without a default, and nothing of the prose."""
    assert KEY.findall("`port` (1883) · `url` · `protocol` (5; or 3.1.1)") == [
        ("port", "1883"),
        ("url", ""),
        ("protocol", "5"),
    ]
