"""Every mistake that a person can make in a file, and the one line that must tell of it.

Each case of config_mistakes.txt spoils the small sound configuration of config_files.py in one way. All the
lines that `check` prints are compared, so that a mistake that drags others after it is a failure too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.config_files import FILES, spoiled, told


@dataclass
class Case:
    name: str
    file: str = ""
    old: str = ""
    new: str = ""
    expected: list[str] = field(default_factory=list)


def cases(text: str) -> list[Case]:
    """The blocks of config_mistakes.txt; its head tells the grammar."""
    found: list[Case] = []
    for line in text.splitlines():
        mark, rest = line[:1], line[1:]
        part = rest[:-1] + "\n" if rest.endswith("$") else rest
        if line.startswith("## "):
            found.append(Case(line[3:]))
        elif mark == "@":
            found[-1].file = rest
        elif mark == "-":
            found[-1].old += part
        elif mark == "+":
            found[-1].new += part
        elif mark == "!":
            found[-1].expected.append(rest)
    return found


CASES = cases(Path(__file__).with_name("config_mistakes.txt").read_text("utf-8"))


def test_the_sound_files_are_sound(tmp_path: Path) -> None:
    """Else no case below would show anything."""
    assert told(tmp_path, FILES) == []
    assert len(CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_told_with_its_line(case: Case, tmp_path: Path) -> None:
    found = told(tmp_path, spoiled(case.file, case.old, case.new))
    assert len(found) == len(case.expected), found
    for line, expected in zip(found, case.expected, strict=True):
        pattern = re.escape(expected).replace(re.escape("one of …"), r"one of [\w, …]+")
        assert re.fullmatch(pattern, line), f"{line!r} is not {expected!r}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_told_in_chinese_too(case: Case, tmp_path: Path) -> None:
    """Same places, other words."""
    english = told(tmp_path, spoiled(case.file, case.old, case.new))
    chinese = told(tmp_path, spoiled(case.file, case.old, case.new), "zh")
    places = [[line.split(": ")[0] for line in lines] for lines in (english, chinese)]
    assert sorted(places[0]) == sorted(places[1])
    assert all("发现" in line and "应为" in line and " found " not in line for line in chinese)


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Editing, checking, editing again for each of a dozen slips is how people stop checking."""
    files = dict(FILES)
    for file, old, new in (
        ("lilong.yaml", "state: state", "stat: state"),
        ("devices/cabinet.yaml", "quantity: smoke,", "quantity: smoek,"),
        ("rules/all.yaml", "red: {above: 75}", "red: {above: 45}"),
        ("sites/site.yaml", "person: wang", "person: wagn"),
    ):
        files[file] = files[file].replace(old, new)
    found = told(tmp_path, files)
    assert [line.split(":")[0] for line in found] == [
        "devices/cabinet.yaml",
        "lilong.yaml",
        "rules/all.yaml",
        "sites/site.yaml",
    ]
