"""A process we started: what it costs, how large it is, and its end. Read from /proc."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
STOP_S = 15.0  # a clean end may write a checkpoint; after that, SIGKILL


def environment() -> dict[str, str]:
    """Ours, but with compiled modules as an installed program has them: compiling is no part of a start."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"lilong-bench-pyc-{os.getuid()}"),
    }


class Child:
    """Started in its own session, ended by its pid and nothing else."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.command, self.log = list(command), log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out,
                env=environment(), start_new_session=True, text=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def said(self) -> dict[str, Any]:
        """The next line of its output, which is JSON; raises with its log's end when it died instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command} ended: {self.log.read_text(errors='replace')[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """User and system seconds of it and of its children, dead or alive."""
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        return _status_mb(self.pid, "VmRSS")

    def peak_mb(self) -> float:
        return _status_mb(self.pid, "VmHWM")

    def kill(self) -> None:
        """SIGKILL: the power cut."""
        self._process.kill()
        self._close()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait(STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


def helper(module: str, log: Path, *arguments: str) -> Child:
    """One of our own processes: `python -m tests.benchmarks.MODULE`."""
    return Child([sys.executable, "-m", f"tests.benchmarks.{module}", *arguments], log)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process used between two looks."""

    cpu_s: float
    rss_mb: float


def cpu_s(pid: int) -> float:
    """utime + stime + cutime + cstime of `pid`, plus the same of its living children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS + sum(cpu_s(int(child)) for child in children)


def _status_mb(pid: int, key: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0
