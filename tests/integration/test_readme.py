"""The README's first screen and its walk-through, run exactly as a newcomer reads them.

Only the two port numbers differ, so that the walk can run beside anything else.
"""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import demo
from tests.waiting import until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SHOWS_S = 20.0  # how long what a block shows may take to come true
ENDS_S = 60.0  # how long one block may run
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One block of commands, and what the README says it shows ("" when it says nothing)."""

    commands: str
    shows: str

    def shown_by(self, output: str) -> bool:
        """… stands for anything in its line, alone in one for any lines; a column is as wide as it likes."""
        lines = (r"(.*\n)*?" if line == "…" else f" *{_words(line)} *\n" for line in self.shows.splitlines())
        return re.fullmatch("".join(lines), output.rstrip("\n") + "\n") is not None


def _words(line: str) -> str:
    return r"\s+".join(map(re.escape, line.split())).replace("…", ".*")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def steps(text: str) -> list[Step]:
    blocks = BLOCK.findall(text)
    followed = [*blocks[1:], ("", "")]
    return [
        Step(body, after if kind_after == "text" else "")
        for (kind, body), (kind_after, after) in zip(blocks, followed, strict=True)
        if kind == "sh"
    ]


class Shell:
    """One bash that is told block after block, as a terminal is."""

    def __init__(self, folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LILONG", "LC_"))}
        self.process = subprocess.Popen(
            ["bash", "-e"], cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            env=environment | {"HOME": str(folder), "LANG": "C.UTF-8"},
        )  # fmt: skip
        self.lines: list[str] = []
        self._count = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def run(self, commands: str) -> str:
        """What the commands printed; the first one that fails ends the shell, and so the test."""
        return self._tell(f"{commands}\n", commands)

    def ask(self, commands: str) -> tuple[str, bool]:
        """What the commands printed, and whether all went well: what is not there yet is no failure yet."""
        told = f"set +e; (set -e\n{commands}\n); echo $?; set -e\n"
        *said, status = self._tell(told, commands).splitlines()
        return "".join(f"{line}\n" for line in said), status == "0"

    def _tell(self, told: str, commands: str) -> str:
        assert self.process.stdin
        self._count, begin = self._count + 1, len(self.lines)
        end = f"-- end of block {self._count} --"
        self.process.stdin.write(f"{told}echo {shlex.quote(end)}\n")
        self.process.stdin.flush()
        until(lambda: end + "\n" in self.lines[begin:] or not self._reader.is_alive(), ENDS_S, commands)
        said = self.lines[begin:]
        assert end + "\n" in said, f"this failed:\n{commands}\nafter saying:\n{''.join(said)}"
        return "".join(said[: said.index(end + "\n")])

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # whatever the blocks have started, too
        self.process.wait()


class Walk:
    """The walk-through with ports of its own."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        first = 20_000 + os.getpid() % 6_000  # below those that connections are given, and each run its own
        self._ports = {"1893": str(demo.free_port(first)), "8421": str(demo.free_port(first + 6_000))}
        self.pages = f"http://{demo.HOST}:{self._ports['8421']}"

    def _with_ports(self, text: str) -> str:
        return re.sub("|".join(self._ports), lambda named: self._ports[named[0]], text)

    def take(self, step: Step) -> str:
        step = Step(self._with_ports(step.commands), self._with_ports(step.shows))
        if not step.shows:
            return self._shell.run(step.commands)
        last = ""

        def comes_true() -> bool:
            nonlocal last
            last, well = self._shell.ask(step.commands)
            return well and step.shown_by(last)

        try:
            until(comes_true, SHOWS_S)
        except AssertionError:
            pytest.fail(f"{step.commands}\nshows:\n{last}\nbut the README says:\n{step.shows}")
        return last

    def ready(self) -> dict[str, bool]:
        try:
            with urllib.request.urlopen(f"{self.pages}/readyz", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def press(self, button: str) -> None:
        """As the page's form does."""
        with urllib.request.urlopen(f"{self.pages}/inbox/li", timeout=10) as answer:
            page = answer.read().decode()
        form = re.search(rf'action="(/c/[^"]+)"[^>]*>\s*<input[^>]*><button[^>]*>{button}<', page)
        assert form, f"no button {button} on\n{page}"
        body = urllib.parse.urlencode({"back": "inbox"}).encode()
        request = urllib.request.Request(self.pages + html.unescape(form[1]), body, {"Origin": self.pages})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


@pytest.fixture
def shell(tmp_path):
    (tmp_path / ".venv").symlink_to(sys.prefix)
    assert (tmp_path / ".venv/bin/activate").exists(), "run the tests in a virtual environment: make test"
    opened = Shell(tmp_path)
    yield opened
    opened.close()


@pytest.mark.slow
def test_from_the_demo_to_your_own_device(shell):
    """Every block in its order, each showing what the README says; the presses are made where it says so."""
    walk = Walk(shell)
    for step in steps(section("From the demo to your own device")):
        if "lilong show" in step.commands:
            shows(shell, "lilong show", "传感器恢复正常")
            walk.press("已处理")
        if step.commands.startswith("kill"):
            a_mistake_changes_nothing_and_a_good_file_is_in_force_at_once(shell, walk)
        walk.take(step)
        if "quarantine list" in step.commands:
            walk.press("我来处理")
            shows(shell, "lilong cases", "已接手")
    shows(shell, "cat gateway.log", '"event": "stopped"')


def a_mistake_changes_nothing_and_a_good_file_is_in_force_at_once(shell: Shell, walk: Walk) -> None:
    """P10, on a running gateway."""
    shell.run("cp rules/door.yaml good.yaml; sed -i 's/hold: 5s/hold: 5/' rules/door.yaml")
    said = shell.run("lilong reload && false || echo refused")
    assert "rules/door.yaml:6" in said and "refused" in said
    assert "reload_refused" in shell.run("cat gateway.log") and not walk.ready()["config"]
    assert shell.run("cp good.yaml rules/door.yaml; lilong reload") == "ok\n"
    ready = walk.ready()
    assert ready.pop("channels_failing") == [] and all(ready.values())


def shows(shell: Shell, command: str, text: str) -> None:
    until(lambda: text in shell.run(command), SHOWS_S, f"{command} shows {text}")


def test_what_fails_though_it_shows_the_right_thing_is_noticed(shell):
    assert shell.ask("echo one\ntrue") == ("one\n", True)
    assert shell.ask("echo one; false\necho two") == ("one\n", False)
    with pytest.raises(AssertionError, match="this failed"):
        shell.run("echo one; false")


def test_a_step_that_shows_something_else_is_noticed():
    step = Step("x", "ok: models …, devices 1\n20…  yellow  door\n")
    assert step.shown_by("ok: models 7, rules 2, devices 1\n2026  yellow      door\n")
    assert not step.shown_by("ok: models 7, devices 2\n2026  yellow  door\n")
    assert not step.shown_by("ok: models 7, devices 1\n2026  yellow  door\nand more\n")
    step = Step("x", "ok\n…\n3 passed\n")
    assert step.shown_by("ok\n3 passed\n") and step.shown_by("ok\n\na\nb\n3 passed\n")
    assert not step.shown_by("ok\n4 passed\n") and not step.shown_by("ok\n3 passed\nb\n")


def test_a_command_that_fails_is_noticed(shell):
    with pytest.raises(AssertionError, match="this failed"):
        shell.run("lilong decode nothing '{}'")


# ---------------------------------------------------------------- what it points at


def test_make_knows_every_target_that_is_named():
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(body for _, body in BLOCK.findall(README))))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def links() -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", README)


def anchors(manual: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", manual.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("link", sorted({one for one in links() if "://" not in one}))
def test_a_link_leads_somewhere(link):
    path, _, anchor = link.partition("#")
    target = ROOT / path if path else ROOT / "README.md"
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


def test_it_can_be_read_in_one_go():
    assert len(README.splitlines()) <= 330
