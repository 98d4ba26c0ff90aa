"""The unit file and the installer: hardened, idempotent, and back to what ran when something fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gateway.adapters import systemd

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = (DEPLOY / "lilong.service").read_text("utf-8")
SECURITY_MOST = 15  # tenths of systemd's exposure level


# ---------------------------------------------------------------- the unit


def unit_file(directory: Path, text: str = UNIT) -> Path:
    """The unit with programs that are there: verify looks for them."""
    file = directory / "lilong.service"
    file.write_text(text.replace("/opt/lilong/venv/bin/lilong", shutil.which("true") or "/bin/true"), "utf-8")
    return file


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.servers
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """verify exits 0 on an unknown key and only says so: stderr must be empty."""
    ran = analyze("verify", str(unit_file(tmp_path)))
    assert (ran.returncode, ran.stderr) == (0, "")
    misspelt = analyze("verify", str(unit_file(tmp_path, UNIT.replace("WatchdogSec=", "WatchdogSecs="))))
    assert "WatchdogSecs" in misspelt.stderr


@pytest.mark.servers
def test_the_service_is_hardened(tmp_path: Path) -> None:
    rate = ["security", "--offline=true", f"--threshold={SECURITY_MOST}"]
    ran = analyze(*rate, str(unit_file(tmp_path)))
    assert ran.returncode == 0, ran.stdout
    bare = re.sub(r"^(Protect|Private|Restrict|SystemCall)\w+=.*$", "", UNIT, flags=re.MULTILINE)
    assert analyze(*rate, str(unit_file(tmp_path, bare))).returncode == 1


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=30",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "User=lilong",
        "StateDirectory=lilong",
        "ExecStart=/opt/lilong/venv/bin/lilong run --config /etc/lilong/lilong.yaml",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ],
)
def test_the_unit_says_what_the_runbook_promises(line: str) -> None:
    assert line in UNIT.splitlines()


# ---------------------------------------------------------------- sd_notify


def test_notify_speaks_systemds_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        said = []
        for call in (
            lambda: systemd.ready("1000 devices\nMAINPID=1"),
            lambda: systemd.status("里弄"),
            systemd.alive,
            systemd.reloading,
            systemd.stopping,
        ):
            assert call()
            said.append(manager.recv(4096).decode())
    assert said[0] == "READY=1\nSTATUS=1000 devices MAINPID=1", "a status cannot add an assignment"
    assert said[1:3] == ["STATUS=里弄", "WATCHDOG=1"]
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", said[3])
    assert said[4] == "STOPPING=1"


def test_an_abstract_socket_and_a_dead_or_deaf_manager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.alive()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not systemd.alive()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"lilong-test-{os.getpid()}"
        manager.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        taken = [systemd.alive() for _ in range(10_000)]  # nobody reads: full at some point, and never blocks
    assert taken[0] and not taken[-1]


@pytest.mark.parametrize(
    ("usec", "pid", "due"),
    [("30000000", None, 15.0), ("30000000", "1", 0.0), (None, None, 0.0), ("x", None, 0.0)],
)
def test_how_often_the_watchdog_wants_food(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, due: float
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval_s() == due


# ---------------------------------------------------------------- what watches us


def test_rules_and_dashboard_can_be_read() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 10
    assert all(rule["expr"] and rule["annotations"].keys() >= {"summary", "action"} for rule in rules)
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])


# ---------------------------------------------------------------- the installer


class Box:
    """install.sh on a machine of its own: below a folder, without systemd."""

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root, self.wheels = root, wheels

    def run(self, *words: str, expect: int = 0) -> str:
        command = [str(DEPLOY / "install.sh"), *words, "--root", str(self.root), "--python", sys.executable]
        ran = subprocess.run(
            [*command, "--wheels", str(self.wheels)], capture_output=True, text=True, check=False
        )
        assert ran.returncode == expect, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def mode(self, path: str) -> int:
        return self.path(path).stat().st_mode & 0o777

    @property
    def release(self) -> str:
        return self.path("/opt/lilong/venv").resolve().name

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in self.path("/opt/lilong/releases").iterdir())


@pytest.fixture
def box(installed: Path, wheels: Path, tmp_path: Path) -> Box:
    """A copy of the installed box that a test may spoil. (A venv's scripts name their first place: fine.)"""
    shutil.copytree(installed, tmp_path / "box", symlinks=True)
    return Box(tmp_path / "box", wheels)


@pytest.mark.slow
def test_install_puts_everything_in_its_place(box: Box) -> None:
    assert box.path("/opt/lilong/venv/bin/lilong").exists()
    assert box.path("/etc/systemd/system/lilong.service").read_text("utf-8") == UNIT
    assert box.path("/etc/lilong/lilong.yaml").exists() and box.path("/etc/lilong/sites").is_dir()
    assert os.access(box.path("/usr/local/bin/lilong"), os.X_OK)
    assert (box.mode("/var/lib/lilong"), box.mode("/etc/lilong"), box.mode("/etc/lilong/credentials")) == (
        0o700,
        0o750,
        0o750,
    )
    assert box.mode("/etc/lilong/credentials/link-key") == 0o640
    assert len(box.path("/etc/lilong/credentials/link-key").read_bytes()) >= 44
    dropin = box.path("/etc/systemd/system/lilong.service.d/credentials.conf").read_text("utf-8")
    assert "LoadCredential=link-key:/etc/lilong/credentials/link-key\n" in dropin


@pytest.mark.slow
def test_installing_again_changes_nothing_of_yours(box: Box) -> None:
    box.path("/etc/lilong/lilong.yaml").write_text(
        "# mine\n" + box.path("/etc/lilong/lilong.yaml").read_text("utf-8")
    )
    key, release = box.path("/etc/lilong/credentials/link-key").read_bytes(), box.release
    told = box.run("install")
    assert "already" in told
    assert box.path("/etc/lilong/lilong.yaml").read_text("utf-8").startswith("# mine\n")
    assert box.path("/etc/lilong/credentials/link-key").read_bytes() == key
    assert box.releases == [release]


@pytest.mark.slow
def test_a_new_secret_is_handed_to_the_service(box: Box) -> None:
    box.path("/etc/lilong/credentials/influx-token").write_text("t")
    box.run("credentials")
    dropin = box.path("/etc/systemd/system/lilong.service.d/credentials.conf").read_text("utf-8")
    assert "LoadCredential=influx-token:/etc/lilong/credentials/influx-token\n" in dropin
    assert box.mode("/etc/lilong/credentials/influx-token") == 0o640


@pytest.mark.slow
def test_an_upgrade_switches_and_can_go_back(box: Box) -> None:
    before = box.release
    assert "upgraded" in box.run("upgrade")
    after = box.release
    assert after != before and box.releases == sorted([before, after])
    box.run("rollback")
    assert box.release == before


@pytest.mark.slow
def test_a_version_that_refuses_the_configuration_is_not_switched_to(box: Box) -> None:
    before = box.release
    with box.path("/etc/lilong/lilong.yaml").open("a") as file:
        file.write("colour: green\n")
    told = box.run("upgrade", expect=1)
    assert "colour" in told and "the old one stays" in told
    assert box.releases == [before] == [box.release], "and nothing of the new one is left"


@pytest.mark.slow
def test_a_torn_installation_leaves_nothing_behind(box: Box, tmp_path: Path) -> None:
    """A wheel that lacks: pip fails half-way, and what runs stays."""
    before, box.wheels = box.release, tmp_path / "torn"
    box.wheels.mkdir()
    (box.wheels / "lilong-9-py3-none-any.whl").touch()
    box.run("upgrade", expect=1)
    assert box.releases == [before] == [box.release]


@pytest.mark.slow
def test_uninstall_keeps_records_unless_told(box: Box) -> None:
    box.path("/var/lib/lilong/lilong.db").write_text("records")
    box.run("uninstall")
    assert not box.path("/opt/lilong").exists()
    assert not box.path("/etc/systemd/system/lilong.service").exists()
    assert box.path("/var/lib/lilong/lilong.db").exists() and box.path("/etc/lilong/lilong.yaml").exists()
    box.run("uninstall", "--purge")
    assert not box.path("/var/lib/lilong").exists() and not box.path("/etc/lilong").exists()


def test_the_installer_says_what_it_cannot_do() -> None:
    ran = subprocess.run([DEPLOY / "install.sh", "instal"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "instal" in ran.stderr
    told = subprocess.run(
        [DEPLOY / "install.sh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(word in told for word in ("upgrade", "rollback", "uninstall", "--wheels"))
