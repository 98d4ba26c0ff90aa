"""The practice street with everything real but the broker: store, pipeline, notifier, pages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.adapters.clock import Clock
from gateway.adapters.photos import Photos
from gateway.adapters.store import Store
from gateway.channels.inbox import Inbox
from gateway.config import load
from gateway.core.model import SECOND, Act, Case, Link, Message, Messages, Notification, Stage, Tick, World
from gateway.links import Grant, Links, Purpose
from gateway.notifier import Notifier, StoreLedger
from gateway.pipeline import Pipeline
from gateway.web import Deps, Health, WebServer, create_app
from gateway.web.deps import Sample
from gateway.web.rows import find_case, messages_to, open_cases
from tests.waiting import until

ROOT = Path(__file__).parents[2]
CABINET = "cabinet-xincun-1-1"  # its property post is held by wang
CABINETS = [f"cabinet-{place}-{n}" for place in ("heping", "xincun-1", "xincun-2") for n in (1, 2)]

LILONG_YAML = """\
state: state
directories: {{devices: [{root}/devices], rules: [{root}/rules, {rules}], sites: [{site}]}}
broker: {{host: 127.0.0.1, subscribe: [site/#, application/#]}}
channels: {{wecom: {{kind: inbox}}, sms: {{kind: inbox}}, voice: {{kind: inbox}}}} # nothing leaves the box
"""


class Watch(Clock):
    """A clock that a test can set forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ns = 0

    def at(self) -> int:
        return super().at() + self.ahead_ns

    def wall_ns(self) -> int:
        return super().wall_ns() + self.ahead_ns


class Street:
    """Start it, let devices speak, look at the pages."""

    def __init__(self, folder: Path, replacing: dict[str, str] | None = None) -> None:
        self.world = practice_world(folder, replacing or {})
        self.store, self.clock = Store(folder / "state"), Watch()
        self.photos = Photos(folder / "state")
        self.pipeline = Pipeline(self.world, self.store, self.clock, self._offer, lambda *_: None)
        self.links = Links([b"k" * 32])
        self.notifier = Notifier(
            dict.fromkeys(("wecom", "sms", "voice"), Inbox()),
            self.pipeline.submit,
            self.clock,
            StoreLedger(self.store.reader),
            lambda told: self.links.show(told, self.clock.wall_ns()),
        )
        self.samples: list[Sample] = []
        self.acts: list[Act] = []  # what the pages have asked for
        self.healthy = Health(progressing=True, broker=True, store_writable=True, database=True, backlog=1204)
        self.web = WebServer(create_app(self.deps()), "127.0.0.1", 0)
        self._cold = iter([(device, slot) for slot in range(1, 9) for device in CABINETS])

    def deps(self) -> Deps:
        return Deps(
            reader=self.store.reader,
            world=lambda: self.world,
            submit=self._submit,
            links=self.links,
            health=lambda: self.healthy,
            history=lambda *_: self.samples,
            now_ns=self.clock.wall_ns,
            inboxes=frozenset({"wecom"}),
            photos=self.photos,
        )

    def __enter__(self) -> Street:
        self.pipeline.start()
        self.notifier.start()
        self.web.start()
        self._do(lambda at, wall_ns: Link(at, wall_ns, True))
        return self

    def __exit__(self, *_: object) -> None:
        self.web.stop()
        self.notifier.stop()
        self.pipeline.stop()
        self.store.close()

    def _submit(self, make: Any) -> Any:
        self.acts.append(make(0, 0))
        return self.pipeline.submit(make)

    def _offer(self, due: Any) -> None:
        self.notifier.offer(one for one in due if isinstance(one, Notification))

    def _do(self, make: Any) -> Any:
        return self.pipeline.submit(make).result(timeout=10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web.port}"

    # ------------------------------------------------------------ what happens

    def say(self, device: str, payload: dict[str, Any]) -> None:
        """A device speaks, now."""
        topic = self.world.devices[device].topic
        body = json.dumps(payload | {"device": device}).encode()
        self._do(lambda at, wall_ns: Messages(at, wall_ns, [Message(topic, body)]))

    def cabinet(self, *, smoke: int = 0, hot: float = 30.0, slot: int = 3, device: str = CABINET) -> None:
        slots = [{"no": n, "t": hot if n == slot else 28.0 + n / 10} for n in range(1, 9)]
        self.say(
            device, {"ts": self.clock.wall_ns() // 10**6, "smoke": smoke, "temperature": 26.0, "slots": slots}
        )

    def burn(self) -> str:
        """One more slot runs hot, and whoever is responsible has been told: a red case of its own."""
        device, slot = next(self._cold)
        self.cabinet(hot=81.5, device=device, slot=slot)
        subject = (device, f"slot-{slot}")
        case = next(case for case in self.cases() if (case.device, case.component) == subject)
        until(lambda: self.case(case.id).stage is Stage.SENT, 10)
        return case.id

    def pass_time(self, seconds: float) -> None:
        self.clock.ahead_ns += int(seconds * SECOND)
        self._do(Tick)

    # ------------------------------------------------------------ what came of it

    def cases(self) -> list[Case]:
        return open_cases(self.store.reader())

    def case(self, case: str) -> Case:
        found = find_case(self.store.reader(), case)
        assert found is not None
        return found

    def told(self, person: str = "wang", at_least: int = 1) -> list[Notification]:
        """The messages a person has got, once there are so many."""

        def got() -> list[Notification]:
            found = messages_to(self.store.reader(), person, {"wecom"})
            return found if len(found) >= at_least else []

        return until(got, 10, f"{at_least} messages to {person}")

    def path(self, purpose: Purpose = Purpose.SHOW, told: Notification | None = None, **changes: Any) -> str:
        """The way to a page or a button, from a message that was sent."""
        one = told or self.told()[-1]
        grant: dict[str, Any] = {
            "case": one.case,
            "person": one.person,
            "purpose": purpose,
            "expires_s": self.clock.wall_ns() // SECOND + 3600,
            "nonce": one.id,
        }
        return f"/c/{self.links.token(Grant(**(grant | changes)))}"


def practice_world(folder: Path, replacing: dict[str, str]) -> World:
    """The shipped models and rules on the practice street; `replacing` swaps words of its files, or of rules,
    of which the site then has a file of its own.
    """
    site, rules = folder / "sites", folder / "rules"
    site.mkdir()
    rules.mkdir()
    found = {swapped(ROOT / "simulators" / "site" / "street.yaml", site, replacing)}
    found |= {swapped(path, rules, replacing, only=True) for path in (ROOT / "rules").glob("*.yaml")}
    assert replacing.keys() == set().union(*found)
    text = LILONG_YAML.format(root=ROOT, site=site, rules=rules)
    (folder / "lilong.yaml").write_text(text, "utf-8")
    loaded = load(folder / "lilong.yaml", "en")
    assert loaded.world is not None, loaded.problems
    return replace(loaded.world, join_within_s=0.0)  # each alarm has its own message: inboxes fill


def swapped(path: Path, into: Path, replacing: dict[str, str], only: bool = False) -> frozenset[str]:
    """Writes a file with words swapped, and says which; `only` if there are any."""
    text = path.read_text("utf-8")
    found = frozenset(old for old in replacing if old in text)
    for old in found:
        text = text.replace(old, replacing[old])
    if found or not only:
        (into / path.name).write_text(text, "utf-8")
    return found
