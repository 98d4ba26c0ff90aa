"""Telling systemd how we are (sd_notify). Without systemd every call does nothing."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def notify(message: str) -> bool:
    """Send one datagram of NAME=value lines to the supervisor; True when it was taken."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)  # a supervisor that does not read must not stop the pipeline
        channel.sendto(message.encode("utf-8", "replace"), address)
        return True
    return False


def _line(text: str) -> str:
    """One line: a newline in a status would begin another assignment."""
    return " ".join(text.split())


def ready(status: str = "") -> bool:
    return notify("READY=1" + (f"\nSTATUS={_line(status)}" if status else ""))


def status(text: str) -> bool:
    """What `systemctl status lilong` shows."""
    return notify(f"STATUS={_line(text)}")


def reloading() -> bool:
    """A reload began; it ends with ready(). systemd wants the steady instant in microseconds with it."""
    return notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> bool:
    return notify("STOPPING=1")


def alive() -> bool:
    """Feed the watchdog. Call it on progress (a commit, a finished tick), never from a bare timer."""
    return notify("WATCHDOG=1")


def watchdog_interval_s() -> float:
    """How often alive() is due at least: half of WatchdogSec, or 0.0 when nobody watches this process."""
    with suppress(ValueError):
        if int(os.environ.get("WATCHDOG_PID") or os.getpid()) == os.getpid():
            return int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    return 0.0
