"""`lilong model new` and `lilong schema`: to begin a device model, and to be helped while writing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from gateway.problems import locale_of
from gateway.terminal import config_option, load_world, say


@click.group()
def model() -> None:
    """设备型号 · Device models: what each make of device says."""


@model.command("new")
@click.argument("name", metavar="ID")
@config_option
@click.option("--scene", default="structure", show_default=True, help="which rules are about it")
@click.option("--like", default="", metavar="MODEL", help="begin with a copy of that model")
def model_new(name: str, path: Path, scene: str, like: str) -> None:
    """新建 · Begin a model. A commented file with examples that pass, in your own directory of devices."""
    from gateway.config import own_devices
    from gateway.tuning import scaffold
    from gateway.typed import IDENTIFIER

    for word in (name, scene):
        if not re.fullmatch(IDENTIFIER, word):
            raise click.UsageError(f"{word}: letters, digits, - _ . and at most 64 of them")
    world = load_world(path)
    folder = own_devices(path)
    if folder is None:
        zh = "lilong.yaml 没有自己的型号目录；请写 directories: {devices: [builtin, devices]}"
        en = "lilong.yaml names no directory of your own; write directories: {devices: [builtin, devices]}"
        sys.exit("lilong: " + say(zh, en))
    if name in world.models:
        there = world.models[name].origin.file
        sys.exit("lilong: " + say(f"型号 {name} 已经有了：{there}", f"there is a model {name}: {there}"))
    file = folder / f"{name}.yaml"
    if not like:
        _write(file, scaffold.new_model(name, scene, file, locale_of()))
    elif like in world.models:
        _write(file, scaffold.model_like(Path(world.models[like].origin.file), name, locale_of()))
    else:
        sys.exit(f"lilong: no model {like}; models: {', '.join(sorted(world.models))}")


def _write(file: Path, text: str) -> None:
    from gateway.tuning.scaffold import SCHEMA_FILE

    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
        (file.parent / SCHEMA_FILE).write_text(_schema("model"), "utf-8")
    except OSError as error:
        sys.exit(f"lilong: {file}: {error.strerror}")
    zh = f"已写入 {file}\n下一步：改好带 ← 的行，然后 lilong check && lilong test {file}"
    en = f"written: {file}\nnext: put the lines with ← right, then lilong check && lilong test {file}"
    click.echo(say(zh, en))


@click.command()
@click.argument("kind", type=click.Choice(["model", "rules", "site", "config"]))
def schema(kind: str) -> None:
    """编辑器 · A JSON Schema for an editor. Of models, rules, sites or lilong.yaml: it completes keys."""
    click.echo(_schema(kind), nl=False)


def _schema(kind: str) -> str:
    from gateway.schema import schema_of

    return json.dumps(schema_of(kind, locale_of()), ensure_ascii=False, indent=1) + "\n"
