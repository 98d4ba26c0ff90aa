"""What `lilong check` found, for a person, for a program and for a build server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from gateway.codes import is_warning
from gateway.problems import ConfigError

_NO_XML = re.compile("[\ufffe\uffff]")  # what XML cannot hold and shown() lets through


def line_of(problem: ConfigError) -> str:
    """`file:line: path: found … expected … [L301]`"""
    return f"{problem} [{problem.code}]"


def as_text(problems: Sequence[ConfigError], strict: bool = False) -> str:
    return "\n".join(line_of(problem) for problem in problems)


def as_json(problems: Sequence[ConfigError], strict: bool = False) -> str:
    """A list of {code, file, line, path, found, expected}; line 0 and no path: the whole file."""
    keys = ("code", "file", "line", "path", "found", "expected")
    rows = [{key: getattr(problem, key) for key in keys} for problem in problems]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def as_junit(problems: Sequence[ConfigError], strict: bool = False) -> str:
    """A test case for each finding, a failure when it is an error; one that passed when there is none."""
    from xml.etree import ElementTree

    failed = [problem for problem in problems if strict or not is_warning(problem.code)]
    counts = {"name": "lilong check", "tests": str(len(problems) or 1), "failures": str(len(failed))}
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", counts)
    for problem in problems:
        where = {"name": f"{problem.code} {problem.path}".strip(), "file": problem.file}
        where |= {"classname": problem.file, "line": str(problem.line)}
        case = ElementTree.SubElement(suite, "testcase", _sound(where))
        said = {"type": problem.code, "message": str(problem)} if problem in failed else {}
        one = ElementTree.SubElement(case, "failure" if problem in failed else "system-out", _sound(said))
        one.text = _NO_XML.sub("?", line_of(problem))
    if not problems:
        ElementTree.SubElement(suite, "testcase", {"name": "no mistake", "classname": "lilong check"})
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, "unicode", xml_declaration=True)


def _sound(attributes: Mapping[str, str]) -> dict[str, str]:
    return {key: _NO_XML.sub("?", value) for key, value in attributes.items()}


FORMATS: Mapping[str, Callable[[Sequence[ConfigError], bool], str]] = {
    "text": as_text,
    "json": as_json,
    "junit": as_junit,
}
