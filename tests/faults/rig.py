"""Everything that is real here: Mosquitto with our profile, influxd, a webhook, the gateway as a child.

`with Rig(folder, influx) as rig:` starts broker, webhook and fleet; the gateway is the test's own to start.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.faults.checker import Checker, Ledger
from tests.faults.fleet import Fleet
from tests.faults.hook import Hook
from tests.faults.street import NAMES, Script, write_street
from tests.servers.influx import ORG, TOKEN, Influx
from tests.servers.mosquitto import HINT
from tests.servers.process import Process, find_program, free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "deploy" / "mosquitto"
PASSWORD = "not-a-secret-here"
READY_S = 30.0  # to start on a busy machine
SAVE_S_MOST = 20.0  # the profile says two seconds; the machine may be busy
STOP_S_MOST = 5.0  # the promise for SIGTERM

LILONG = """\
state: state
directories: {{devices: [devices], rules: [rules], sites: [sites]}}
broker:
  {{host: 127.0.0.1, port: {port}, client_id: faults, subscribe: [site/#],
    username: lilong, password_file: broker-password}}
influx: {{url: "{url}", org: {org}, bucket: {bucket}, token_file: influx-token}}
archive: {{directory: archive}}
web: {{listen: "127.0.0.1:{web}", link_key_file: link-key, public_url: "http://127.0.0.1:{web}"}}
channels:
  hook: {{kind: webhook, url: "{hook}", secret_file: hook-secret}}
"""


class Broker(Process):
    """Mosquitto with deploy/mosquitto: every name its own password and topics, saved every two seconds."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        (directory / "data").mkdir()
        (directory / "lilong.acl").write_bytes((PROFILE / "lilong.acl").read_bytes())
        passwords = directory / "lilong.passwd"
        passwords.write_text("".join(f"{name}:{PASSWORD}\n" for name in ["lilong", *NAMES]))
        subprocess.run([find_program("mosquitto_passwd", HINT), "-U", str(passwords)], check=True)
        self.port = free_port()
        text = (PROFILE / "lilong.conf").read_text("utf-8").partition("# ---- devices, from outside")[0]
        for old, new in {
            "/etc/mosquitto/": f"{directory}/",
            "/var/lib/mosquitto/": f"{directory}/data/",
            "listener 1883 ": f"listener {self.port} ",
        }.items():
            assert old in text, f"the shipped profile has no {old} any more"
            text = text.replace(old, new)
        text += "log_dest stderr\nlog_type subscribe\n" + ("user root\n" if os.geteuid() == 0 else "")
        (directory / "lilong.conf").write_text(text, "utf-8")
        command = [find_program("mosquitto", HINT), "-c", f"{directory}/lilong.conf"]
        super().__init__(directory, command, [self.port])

    def is_heard(self) -> bool:
        """Whether somebody has subscribed since its last start."""
        return "site/#" in self.log.rpartition(" starting")[2]

    def until_saved(self) -> None:
        """What it has acknowledged, and who subscribed, is on its disk: a kill cannot take it back."""
        before = self._saved()
        until(lambda: self._saved() != before, SAVE_S_MOST, "the broker has saved")

    def _saved(self) -> int:
        """Changes with each save: Mosquitto renames a new file into place."""
        file = self.directory / "data" / "mosquitto.db"
        return file.stat().st_ctime_ns if file.exists() else 0


class Gateway:
    """`lilong run` as a child process; with `mutant`, one with that planted (tests/faults/mutant.py)."""

    def __init__(self, folder: Path, mutant: str = "") -> None:
        self.folder, self.config = folder, folder / "lilong.yaml"
        self.log_path = folder / "gateway.log"
        self.mutant = mutant
        self._child: subprocess.Popen[bytes] | None = None
        self._from = 0  # where the present child's words begin in the log
        self.kills = self.starts = 0
        self.killed = threading.Event()

    def command(self, *words: str) -> list[str]:
        lilong = ["-m", "tests.faults.mutant", self.mutant] if self.mutant else ["-c", CLI]
        return [sys.executable, *lilong, *words, "--config", str(self.config)]

    def start(self, ready: bool = True) -> None:
        self._from = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.killed.clear()
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(self.command("run"), cwd=ROOT, stdout=log, stderr=log)
        self.starts += 1
        if ready:
            self.until_ready()

    def until_ready(self) -> None:
        until(self._is_ready, READY_S, "the gateway is ready")

    def _is_ready(self) -> bool:
        assert self.running, f"the gateway ended by itself:\n{self.words()[-3000:]}"
        return self.said("ready") and self.said("mqtt_connected")

    def said(self, event: str) -> bool:
        """Whether the present child has logged this event."""
        return f'"event": "{event}"' in self.words() or f'"event":"{event}"' in self.words()

    def words(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._from)
            return log.read().decode("utf-8", "replace")

    def everything_said(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child
        return self._child.pid

    def kill(self) -> None:
        """SIGKILL; safe from any thread. The process is gone on return but not reaped: `revive` does that."""
        assert self._child
        os.kill(self._child.pid, signal.SIGKILL)
        self.kills += 1
        self.killed.set()

    def until_dead(self) -> None:
        """It has ended by itself, and counts as killed."""
        until(lambda: not self.running, READY_S, "the gateway has died")
        self.kills += 1

    def revive(self, ready: bool = True) -> None:
        """Start again at once after `kill`."""
        assert self._child
        self._child.wait(10)
        self.start(ready)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self) -> tuple[float, int]:
        """SIGTERM: (seconds until it was gone, exit code)."""
        assert self._child
        began = time.monotonic()
        self._child.terminate()
        code = self._child.wait(30)
        return time.monotonic() - began, code

    def end(self) -> None:
        if self.running and self._child:
            self._child.send_signal(signal.SIGCONT)
            self._child.kill()
            self._child.wait(10)

    def rss_mb(self) -> float:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0


CLI = "from gateway.cli import main; main()"  # what the installed command `lilong` is


class Rig:
    """One broker, one webhook, one gateway; `influx` may serve several rigs, each has its own bucket."""

    def __init__(self, folder: Path, influx: Influx, mutant: str = "") -> None:
        self.folder, self.influx = folder, influx
        self.bucket = re.sub(r"\W", "-", folder.name)
        self.gateway = Gateway(folder, mutant)
        self.broker = Broker(folder / "broker")
        self.hook = Hook()
        self.fleet = Fleet(self.broker.port, PASSWORD)
        self.ledger = Ledger(folder / "state" / "lilong.db")
        self._later = ExitStack()

    def __enter__(self) -> Self:
        self.influx.create(self.bucket)
        self._later.callback(self.influx.drop, self.bucket)
        self.broker.start()
        self._later.callback(self.broker.stop)
        self._later.enter_context(self.hook)
        self._configure()
        self._later.callback(self.gateway.end)
        self._later.enter_context(self.ledger)
        self._later.callback(self.fleet.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._later.close()

    def checker(self, script: Script) -> Checker:
        return Checker(script, self.ledger, self.influx, self.bucket, self.hook)

    def _configure(self) -> None:
        write_street(self.folder)
        words = {"port": self.broker.port, "url": self.influx.url, "org": ORG, "bucket": self.bucket}
        text = LILONG.format(**words, hook=self.hook.url, web=free_port())
        self.gateway.config.write_text(text, "utf-8")
        secrets = {
            "broker-password": PASSWORD,
            "influx-token": TOKEN,
            "hook-secret": "s3" * 20,
            "link-key": "k" * 40,
        }
        for name, secret in secrets.items():
            (self.folder / name).write_text(secret)
            (self.folder / name).chmod(0o600)
