"""A server process of a test: started, waited for, stopped or killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from tests.waiting import until

START_S = 20.0  # generous: the machine may be busy with other tests


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_program(name: str, hint: str) -> str:
    """Where a server is installed; AssertionError with a hint how to get it."""
    path = shutil.which(name, path=None) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    assert path, f"{name} is not installed: {hint}"
    return path


class Process:
    """`command` running in `directory`, its output in the file `log`; `ports` tell when it is up."""

    def __init__(self, directory: Path, command: list[str], ports: list[int]) -> None:
        self.directory, self._command, self._ports = directory, command, ports
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self.directory, stdout=log, stderr=log)
        until(lambda: self._is_up(), START_S, f"{self._command[0]} listens on {self._ports}")

    def _is_up(self) -> bool:
        assert self._process and self._process.poll() is None, f"it ended at once:\n{self.log}"
        return all(listens(port) for port in self._ports)

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def stop(self) -> None:
        """As systemd would (SIGTERM), and killed when that does not help."""
        if self.running and self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """As a power cut would, but for what the kernel still writes: SIGKILL."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
