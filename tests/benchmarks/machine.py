"""What this box is: printed above every table, because a figure without its machine says nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

FSYNCS = 50
LIBRARIES = ("paho-mqtt", "influxdb-client", "msgspec")


def describe() -> dict[str, str]:
    return {
        "cpu": f"{os.cpu_count()} x {_of('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(_of('/proc/meminfo', 'MemTotal').split()[0]) // 1024} MB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load": " ".join(f"{one:.2f}" for one in os.getloadavg()) + " (1, 5, 15 min before the start)",
        "disk": f"{fsync_ms():.2f} ms per write and fsync",
        "servers": f"{_said('mosquitto', '-h')}; {_said('influxd', 'version')}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def fsync_ms() -> float:
    """Median time of writing 4 kB and forcing it to the disk that holds the benchmark's folder."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(FSYNCS):
            start = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[FSYNCS // 2] * 1000


def _of(path: str, key: str) -> str:
    match = re.search(rf"^{key}\s*:\s*(.+)$", Path(path).read_text(), re.MULTILINE)
    return match[1] if match else "?"


def _said(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return f"{command[0]} missing"
    return (answer.stdout or answer.stderr).partition("\n")[0].strip()
