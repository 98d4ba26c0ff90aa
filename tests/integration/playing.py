"""The demo in a process of its own, and people who live in it: they look at their phones and press."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway import demo
from tests.waiting import until

ROOT = Path(__file__).parents[2]
LILONG = [sys.executable, "-c", "from gateway.cli import main; main()"]
Item = dict[str, Any]  # one of simulators.phones.Item


@dataclass(frozen=True)
class Phone:
    """A person's practice phone. Whatever is pressed goes the way a provider's callback goes."""

    url: str

    def items(self, kind: str = "", said: str = "") -> list[Item]:
        found = json.loads(fetch(f"{self.url}/items.json"))
        return [one for one in found if kind in ("", one["kind"]) and said in f"{one['title']} {one['text']}"]

    def waits_for(self, kind: str, said: str, seconds: float) -> Item:
        """The newest of that kind which says so."""
        return until(lambda: self.items(kind, said), seconds, f"{kind} {said}: {self.items()}")[-1]

    def again(self, item: Item) -> Item:
        """As it is now."""
        return next(one for one in self.items() if one["id"] == item["id"])

    def press(self, item: Item, key: str) -> None:
        fetch(f"{self.url}/press", {"item": str(item["id"]), "key": key})

    def open(self, card: Item) -> str:
        """The handling page behind a card."""
        return fetch(card["link"])


def fetch(url: str, form: dict[str, str] | None = None, origin: str = "") -> str:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, {"Origin": origin} if origin else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
        return str(response.read().decode())


def button(page: str, label: str) -> str:
    """Where the plain button of a page posts to."""
    found = re.search(rf'<form method="post" action="([^"]+)" class="act">\s*<button[^>]*>{label}<', page)
    assert found, f"no button {label}: {page}"
    return html.unescape(found[1])


class Demo:
    """`lilong demo` in a process of its own; `lines` are what its screen shows."""

    def __init__(self, tmp_path: Path) -> None:
        self.home, self.port = tmp_path, demo.free_port(18420)
        self.environ = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
        command = [*LILONG, "demo", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=tmp_path, env=self.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def shows(self, text: str, seconds: float) -> str:
        return until(
            lambda: next((line for line in self.lines if text in line), ""), seconds, f"{text}: {self.lines}"
        )

    @property
    def url(self) -> str:
        return f"http://{demo.HOST}:{self.port}"

    def get(self, path: str) -> str:
        return fetch(f"{self.url}{path}")

    def press(self, page: str, label: str) -> None:
        """A button of the handling page."""
        fetch(f"{self.url}{button(page, label)}", {}, self.url)

    def phone(self, person: str) -> Phone:
        first = self.shows("的手机", 60)
        found = re.search(r"(http://[0-9.:]+)/wang", first)
        assert found, first
        return Phone(f"{found[1]}/{person}")

    @cached_property
    def folder(self) -> Path:
        return next(self.home.glob("lilong-demo-*"))

    def lilong(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command at the box."""
        command = [*LILONG, *words, "--config", str(self.folder / "lilong.yaml")]
        return subprocess.run(command, env=self.environ, text=True, capture_output=True, timeout=60)

    # ------------------------------------------------------------ the store

    def rows(self, query: str, *values: str) -> list[Any]:
        database = self.folder / "state" / "lilong.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
            return reader.execute(query, values).fetchall()

    def case_of(self, card: Item) -> str:
        return str(self.rows("SELECT case_id FROM notification WHERE id = ?", card["number"])[0][0])

    def entries(self, case: str) -> list[Item]:
        """The lines of a case's history, in their order."""
        keys = ("wall_ns", "what", "person", "channel", "note")
        query = f"SELECT {', '.join(keys)} FROM entry WHERE case_id = ? ORDER BY seq"
        return [dict(zip(keys, row, strict=True)) for row in self.rows(query, case)]

    def history(self, case: str) -> list[str]:
        return [one["what"] for one in self.entries(case)]

    def children(self) -> list[str]:
        """Command lines of processes that work in its folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended while we looked
            if "lilong-demo-" in line and str(self.home) in line:
                found.append(line)
        return found

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.reader.join(10)
        return status
