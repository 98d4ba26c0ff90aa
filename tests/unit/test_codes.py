"""Codes of mistakes: every finding has one, the runbook lists them, and programs can read what was found."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway import reports
from gateway.codes import CODE_OF, CODES
from gateway.problems import PHRASES, ConfigError, say
from tests.unit.test_architecture import SOURCES

ROOT = Path(__file__).parents[2]


def test_the_runbook_lists_every_code_with_its_meaning() -> None:
    text = (ROOT / "deploy/README.md").read_text("utf-8").split("\n## What `lilong check` says\n")[1]
    said = dict(re.findall(r"^\| `([LW]\d+)` \| (.+) \|$", text.split("\n## ")[0], re.MULTILINE))
    assert said == {code: meaning for code, (meaning, _) in CODES.items()}


def test_a_phrase_has_one_code_and_exists() -> None:
    named = [phrase for _, phrases in CODES.values() for phrase in phrases.split()]
    assert len(named) == len(set(named)) and set(named) <= PHRASES.keys()
    assert list(CODES) == sorted(CODES) and all(re.fullmatch(r"[LW][1-9]\d\d", code) for code in CODES)


def test_whatever_is_told_as_found_has_a_code() -> None:
    """Else it would pass for L201 and change its code later."""
    found = set(told_as_found())
    assert len(found) > 80
    assert sorted(found - CODE_OF.keys()) == []


POSITIONS = {"mistake": 2, "self.mistake": 1, "_mistake": 2, "add": 3, "stop": 1, "_Stop": 0, "Refused": 0}


def told_as_found() -> Iterator[str]:
    """The names of phrases that code gives as `found`: in place, or by a variable of that function."""
    for path in SOURCES:
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for given in filter(None, map(_given, ast.walk(function))):
                    yield from _says(given)
                    if isinstance(given, ast.Name):
                        yield from _assigned(given.id, function)


def _given(node: ast.AST) -> ast.expr | None:
    """The `found` of a mistake(value, step, found, …), an add(…), a stop(line, found, …), a warning."""
    if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
        return node.value.elts[1]
    if not isinstance(node, ast.Call):
        return None
    name = ast.unparse(node.func)
    position = POSITIONS.get(name, POSITIONS.get(name.rpartition(".")[2]))
    return None if position is None or len(node.args) <= position else node.args[position]


def _assigned(name: str, function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and re.fullmatch(rf"\(?{name}\b.*", ast.unparse(node.targets[0])):
            yield from _says(node.value)


def _says(node: ast.expr) -> Iterator[str]:
    """The first phrase of each alternative; those that fill its blanks are no findings."""
    if isinstance(node, ast.IfExp):
        yield from [*_says(node.body), *_says(node.orelse)]
    elif isinstance(node, ast.Tuple):
        yield from _says(node.elts[0])
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
        assert isinstance(node.args[0], ast.Constant)
        yield str(node.args[0].value)


# ---------------------------------------------------------------- for programs

ODD = say("value", value='<"x">\ufffe')
ERROR = ConfigError("sites/a & b.yaml", 7, "devices[0].at", ODD, say("identifier"))
WARNING = ConfigError("rules/a.yaml", 9, "rules[0].on", say("fits_none", rule="r"), say("a_fitting_device"))


def test_json_has_a_row_for_each_with_these_keys() -> None:
    first, second = json.loads(reports.as_json([ERROR, WARNING]))
    assert list(first) == ["code", "file", "line", "path", "found", "expected"]
    assert (first["code"], first["file"], first["line"]) == ("L201", "sites/a & b.yaml", 7)
    assert second == {
        "code": "W505",
        "file": "rules/a.yaml",
        "line": 9,
        "path": "rules[0].on",
        "found": "the rule r, which no device fits",
        "expected": "a rule that some device fits",
    }
    assert json.loads(reports.as_json([])) == []


@pytest.mark.parametrize(("strict", "failures"), [(False, 1), (True, 2)])
def test_junit_fails_for_an_error_and_for_a_warning_when_strict(strict: bool, failures: int) -> None:
    suite = ElementTree.fromstring(reports.as_junit([ERROR, WARNING], strict))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", str(failures))
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == ["L201 devices[0].at", "W505 rules[0].on"]
    assert [case.get("file") for case in cases] == ["sites/a & b.yaml", "rules/a.yaml"]
    assert len(suite.findall("testcase/failure")) == failures
    failure = cases[0].find("failure")
    assert failure is not None and failure.get("type") == "L201"
    assert str(failure.text).startswith("sites/a & b.yaml:7: devices[0].at: found")


def test_junit_of_sound_files_is_one_case_that_passed() -> None:
    """A build server takes a report without any case for a broken one."""
    suite = ElementTree.fromstring(reports.as_junit([]))[0]
    assert (suite.get("tests"), suite.get("failures"), len(suite)) == ("1", "0", 1)
    assert len(suite[0]) == 0
