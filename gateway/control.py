"""How the command line talks to the running gateway: a socket in the state directory, its user's alone.

One JSON object a connection: {"do": NAME, …} in, {"said": [lines]} or {"error": text} out.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway import telemetry

SOCKET = "control"
REQUEST_BYTES_MOST = 1_000_000
PATIENCE_S = 60.0  # a reload of ten thousand devices takes seconds

Do = Callable[[Mapping[str, Any]], list[str]]


class ControlError(Exception):
    """The gateway is not running, or could not do what was asked."""


class Control:
    """Answers one request after the other, on its own thread."""

    def __init__(self, path: Path, commands: Mapping[str, Do]) -> None:
        self._path, self._commands = path, commands
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        self._path.unlink(missing_ok=True)  # left by a crash; the store's lock says that nobody else is here
        _at(self._path, self._socket.bind)
        os.chmod(self._path, 0o600)
        self._socket.listen(8)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stopping:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            with caller, suppress(OSError):
                caller.settimeout(PATIENCE_S)
                caller.sendall(json.dumps(self._answer(caller)).encode())

    def _answer(self, caller: socket.socket) -> dict[str, Any]:
        try:
            asked = json.loads(_read_all(caller))
            return {"said": self._commands[asked["do"]](asked)}
        except Exception as error:
            telemetry.log("control_failed", "error", error=error)
            return {"error": f"{type(error).__name__}: {error}"}


def ask(path: Path, do: str, **arguments: Any) -> list[str]:
    """What the running gateway answers. Raises ControlError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(PATIENCE_S)
        try:
            _at(path, caller.connect)
            caller.sendall(json.dumps({"do": do, **arguments}).encode())
            caller.shutdown(socket.SHUT_WR)
            answer = json.loads(_read_all(caller))
        except (OSError, ValueError) as error:
            raise ControlError(f"no lilong answers at {path}: {error}") from None
    if "error" in answer:
        raise ControlError(answer["error"])
    said: list[str] = answer["said"]
    return said


def _at(path: Path, use: Callable[[str], None]) -> None:
    """A socket's path may have 107 bytes; through its folder's descriptor any folder will do."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        use(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _read_all(channel: socket.socket) -> bytes:
    found = b""
    while (more := channel.recv(65_536)) and len(found) <= REQUEST_BYTES_MOST:
        found += more
    return found
