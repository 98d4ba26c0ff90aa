"""What every test runs under: strict telemetry, a printed seed, and no silently skipped server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import hypothesis.core
import pytest

os.environ["LILONG_STRICT"] = "1"  # an event name that telemetry does not know is a KeyError

ROOT = Path(__file__).parents[1]
# marker -> what must be there, each as one of several commands
NEEDS = {
    "servers": [("mosquitto",), ("mosquitto_passwd",), ("influxd",), ("nginx",), ("systemd-analyze",)],
    "browser": [("chromium", "chromium-browser")],
}
SBIN = os.pathsep.join(["/usr/sbin", "/usr/local/sbin"])  # where Debian keeps servers, off a user's PATH

hypothesis.settings.register_profile("lilong", deadline=None, print_blob=True)
hypothesis.settings.load_profile("lilong")


def pytest_configure(config: pytest.Config) -> None:
    if SBIN not in os.environ.get("PATH", ""):
        os.environ["PATH"] = os.environ.get("PATH", os.defpath) + os.pathsep + SBIN
    # In the environment, so that xdist's workers and child processes have the same one.
    os.environ.setdefault("LILONG_SEED", str(seed_of_the_commit()))
    if config.getoption("--hypothesis-seed", None) is None:
        hypothesis.core.global_force_seed = int(os.environ["LILONG_SEED"])


def seed_of_the_commit() -> int:
    """Each commit has chances of its own and always the same ones: what was green when handed in stays
    green, and over the commits every chance has its turn. 0 where there is no commit to ask.
    """
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "rev-parse", "HEAD"]
    if not shutil.which("git"):
        return 0
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(asked.stdout[:8], 16) if asked.returncode == 0 else 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"the same again: LILONG_SEED={os.environ['LILONG_SEED']} make test")


@pytest.fixture(scope="session")
def seed() -> int:
    """The run's seed: print it, or build random.Random from it, never from the time."""
    return int(os.environ["LILONG_SEED"])


# ---------------------------------------------------------------- a missing server is a failure


def missing(marker: str) -> list[str]:
    """What a marked test needs and this machine has not."""
    lacking = ["|".join(names) for names in NEEDS[marker] if not any(map(shutil.which, names))]
    if marker == "browser" and not _has_chinese_font():
        lacking.append("a Chinese font")
    return lacking


def _has_chinese_font() -> bool:
    listed = (
        subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, check=False)
        if shutil.which("fc-list")
        else None
    )
    return bool(listed and listed.stdout.strip())


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in NEEDS:
        if item.get_closest_marker(marker) and (lacking := missing(marker)):
            pytest.fail(
                f"{marker} missing: {', '.join(lacking)}; run `make test`, which installs them", pytrace=False
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test of real servers that skips itself proves nothing: that is a failure too."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and any(map(item.get_closest_marker, NEEDS)):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} skipped itself, but tests of real servers must run: {report.longrepr}"
        )
    return report


# ---------------------------------------------------------------- an installation without a network


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with Lilong's wheel and those of requirements.lock: what one carries to a box."""
    directory = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for command in (
        ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(ROOT)],
        ["download", "--require-hashes", "-r", str(ROOT / "requirements.lock"), "-d", str(directory)],
    ):
        ran = subprocess.run([*pip, *command], cwd=directory, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return directory


@pytest.fixture(scope="session")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root below which install.sh put Lilong, offline; shared, so leave it as it is."""
    root = tmp_path_factory.mktemp("box")
    command = [str(ROOT / "deploy" / "install.sh"), "--root", str(root), "--wheels", str(wheels)]
    ran = subprocess.run([*command, "--python", sys.executable], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return root
