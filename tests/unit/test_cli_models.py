"""`lilong model new`, `lilong schema` and `lilong devices inventory`: what a newcomer begins with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.config import load
from tests.unit.config_files import FILES, spoiled, write


@pytest.mark.parametrize("lang", ["zh_CN.UTF-8", "C.UTF-8"])
def test_a_new_model_is_sound_and_its_examples_pass(run, folder: Path, lang: str) -> None:
    ran = run("model", "new", "door-x", "--scene", "shed", lang=lang)
    file = folder / "devices" / "door-x.yaml"
    assert ran.exit_code == 0 and f"lilong test {file}" in ran.output
    assert load(folder / "lilong.yaml", "en", environ={}).problems == []
    assert run("test", str(file)).output.endswith("2 passed, 0 failed\n")
    text = file.read_text("utf-8")
    assert text.count("←") >= 6 and text.splitlines()[0].endswith("$schema=model.schema.json")
    assert ("报文" in text) == (lang != "C.UTF-8")
    assert (
        json.loads((folder / "devices" / "model.schema.json").read_text("utf-8"))["title"] == "Lilong: model"
    )


def test_a_new_model_like_another(run, folder: Path) -> None:
    assert run("model", "new", "cabinet-x", "--like", "cabinet").exit_code == 0
    text = (folder / "devices" / "cabinet-x.yaml").read_text("utf-8")
    assert text.endswith(FILES["devices/cabinet.yaml"]) and "begun as a copy of cabinet.yaml" in text
    assert "2 passed" in run("test", str(folder / "devices" / "cabinet-x.yaml")).output


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["cabinet"], 1, "there is a model cabinet: "),
        (["a/b"], 2, "a/b: letters, digits"),
        (["x", "--scene", "两"], 2, "letters, digits"),
        (["x", "--like", "y"], 1, "no model y; models: cabinet, camera"),
    ],
)
def test_a_new_model_that_cannot_be(run, folder: Path, words: list[str], code: int, says: str) -> None:
    before = sorted((folder / "devices").iterdir())
    ran = run("model", "new", *words)
    assert ran.exit_code == code and says in ran.output and sorted((folder / "devices").iterdir()) == before


def test_a_new_model_needs_a_directory_of_ones_own(run, folder: Path) -> None:
    write(folder, spoiled("lilong.yaml", "devices: [devices]", "devices: [builtin]"))
    write(folder, {"rules/all.yaml": "rules: []\n", "sites/site.yaml": "places: []\n"})
    ran = run("model", "new", "x")
    assert ran.exit_code == 1 and "directories: {devices: [builtin, devices]}" in ran.output


@pytest.mark.parametrize("kind", ["model", "rules", "site", "config"])
def test_schema_is_json(run, kind: str) -> None:
    assert json.loads(run("schema", kind).output)["title"] == f"Lilong: {kind}"


def test_schema_of_nothing_is_usage(run) -> None:
    assert run("schema", "devices").exit_code == 2


def test_the_inventory_names_what_is_missing(run, folder: Path) -> None:
    places = "id,says,kind,within\nother,空小区,compound,street\nshed,车棚,point,estate\n"
    write(folder, {"sites/places.csv": places})
    assert run("devices", "inventory").stdout.splitlines() == [
        "place          guarding  fire detection  extinguishing  central charging  structure",
        "街道 · 空小区  none      none            none           none              none",
        "街道 · 小区    1         1               none           1                 1",
    ]
    ran = run("devices", "inventory", "--kind", "point", lang="zh_CN.UTF-8")
    assert "车棚" in ran.stdout and "技防监控" in ran.stdout and ran.stderr == "1 处，1 处有缺\n"
