"""The real process, killed while it tells another system of its cases: nothing lost, nothing out of order."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.adapters import history
from gateway.adapters.store import open_reader
from gateway.control import ControlError, ask
from tests.contract.receivers import SECRET, Hub
from tests.servers.process import Process, free_port
from tests.waiting import until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "example"
TOKEN = "t0ken-of-report-yuyuan"
PERSON = "xu-min"
KILLS = 4
SETTINGS = """
state: state
directories: {{sites: [sites]}}
broker: {{host: 127.0.0.1, port: 1, client_id: nobody-listens, subscribe: [site/#, application/#]}}
web: {{listen: "127.0.0.1:{web}", intake: {{tokens_file: tokens}}}}
channels: {{inbox: {{kind: inbox}}, duty-robot: {{kind: inbox}}, street-hook: {{kind: inbox}}}}
outward: {{hub: {{url: "http://127.0.0.1:{hub}/cases", secret_file: hub-secret}}}}
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(time.time) as hub:
        yield hub
        assert hub.complaints == []


@pytest.fixture
def web(tmp_path: Path, hub: Hub) -> int:
    """The port of the site's intake; the site is the example's."""
    port = free_port()
    shutil.copytree(EXAMPLE / "sites", tmp_path / "sites")
    (tmp_path / "lilong.yaml").write_text(SETTINGS.format(web=port, hub=hub.port))
    (tmp_path / "tokens").write_text(f"report-yuyuan token {TOKEN}\n")
    (tmp_path / "hub-secret").write_text(SECRET)
    return port


def reported(web: int) -> None:
    """A person's report: a case."""
    url, headers = f"http://127.0.0.1:{web}/intake/report-yuyuan", {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.post(url, json={"id": "1", "status": "open"}, headers=headers).status_code == 200


def noted(folder: Path, case: str, number: int) -> bool:
    """Whether the gateway says that it took a line of the history; it may be killed before it does."""
    act = {"case": case, "person": PERSON, "verb": "note", "note": f"{number}", "to": "", "reason": ""}
    with suppress(ControlError):
        return ask(folder / "state" / "control", "act", **act, until_ns=0) == []
    return False


def written(folder: Path) -> list[int]:
    with closing(open_reader(folder / "state" / "lilong.db")) as db:
        return [line.seq for line in history.lines_after(db, 0, 10_000)]


@pytest.fixture
def gateway(tmp_path: Path, web: int) -> Iterator[Process]:
    command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "gateway", "run", "--config", "lilong.yaml"]
    gateway = Process(tmp_path, command, [web])
    yield gateway
    gateway.kill()


def test_kills_lose_nothing_and_the_order_holds(tmp_path: Path, web: int, hub: Hub, gateway: Process) -> None:
    """Killed while the receiver has a change and has not answered yet: the worst instant there is."""
    take, doomed = hub.take, threading.Event()

    def dies(key: str, said: dict[str, Any]) -> int:
        answer = take(key, said)
        if doomed.is_set() and said["what"] == "note":
            doomed.clear()
            hub.keys[key] = hub.requests[-1].body  # it has it for good, and nobody hears so
            gateway.kill()
        return answer

    hub.take = dies  # type: ignore[method-assign]
    gateway.start()
    reported(web)
    case = until(lambda: hub.changes)[0]["case"]
    for number in range(KILLS):
        doomed.set()
        until(lambda n=number: noted(tmp_path, case, n) or not gateway.running, 30)  # type: ignore[misc]
        until(lambda: not gateway.running, 30)
        gateway.start()
    until(lambda: [one["seq"] for one in hub.changes] == written(tmp_path), 60)
    gateway.stop()
    assert [one["note"] for one in hub.changes if one["what"] == "note"] == [str(n) for n in range(KILLS)]
    assert hub.repeated >= KILLS, "each of them once more, and known again"
