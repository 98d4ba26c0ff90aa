"""What a person gets who installs the wheel into an empty environment, far from any checkout."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import gateway

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(installed: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A program of the installed environment, with nothing of this checkout on its path."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    program = installed / "opt" / "lilong" / "venv" / "bin" / command[0]
    return subprocess.run(
        [program, *command[1:]],
        cwd=cwd or installed,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def names(wheels: Path) -> set[str]:
    (wheel,) = wheels.glob("lilong-*.whl")
    assert wheel.name == f"lilong-{gateway.__version__}-py3-none-any.whl"
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_code_its_data_and_nothing_else(wheels: Path) -> None:
    files = names(wheels)
    for folder in ("devices", "rules"):
        kept = {
            f"gateway/data/{folder}/{path.relative_to(ROOT / folder)}"
            for path in (ROOT / folder).rglob("*.yaml")
        }
        assert kept and kept <= files
    for path in [*ROOT.glob("gateway/**/*"), *ROOT.glob("simulators/**/*")]:
        if path.is_file() and path.suffix in {".py", ".html", ".css", ".js", ".yaml", ".svg"}:
            assert str(path.relative_to(ROOT)) in files
    tops = {name.split("/")[0] for name in files}
    assert tops == {"gateway", "simulators", f"lilong-{gateway.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in files)


def test_it_runs_from_where_it_was_installed(installed: Path) -> None:
    script = "import gateway, simulators, importlib.resources as r; print(gateway.__file__); "
    script += "print(len(list((r.files('gateway') / 'data' / 'devices').iterdir())) > 0)"
    ran = run(installed, "python", "-c", script)
    where, data = ran.stdout.split()
    assert where.startswith(str(installed)), ran.stderr
    assert data == "True"


def test_its_requirements_are_complete_and_fit(installed: Path) -> None:
    ran = run(installed, "python", "-m", "pip", "check")
    assert ran.returncode == 0, ran.stdout


def test_check_passes_the_example_and_names_a_mistake(installed: Path, tmp_path: Path) -> None:
    example = installed / "etc" / "lilong" / "lilong.yaml"
    ran = run(installed, "lilong", "check", "--config", str(example))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    broken = tmp_path / "lilong.yaml"
    broken.write_text("broker: {host: 127.0.0.1, prot: 1883}\n")
    ran = run(installed, "lilong", "check", "--config", str(broken))
    assert ran.returncode == 1
    assert "lilong.yaml:1" in ran.stdout + ran.stderr


def test_version_and_help_are_quick_and_whole(installed: Path) -> None:
    assert gateway.__version__ in run(installed, "lilong", "--version").stdout
    told = run(installed, "lilong", "--help").stdout
    assert all(command in told for command in ("run", "check", "doctor", "demo", "simulate", "quarantine"))
