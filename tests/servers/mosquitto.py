"""A real Mosquitto of a test's own, on a free port: `with Mosquitto(tmp_path) as broker: ...`.

After `broker.kill()` or `broker.stop()`, `broker.start()` brings it back: the same port, the same data.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.servers.certificates import Certificates
from tests.servers.process import Process, find_program, free_port

HINT = "apt-get install --no-install-recommends mosquitto"
PLUGINS = "/usr/lib/*/mosquitto_dynamic_security.so"


class Mosquitto(Process):
    """`persistence`: every change is on disk before it is acknowledged (autosave_on_changes).

    `users` name -> password (None: anonymous); `acl` text of an access list; `certificates`: TLS, and
    with `mutual` a client certificate whose name is the user; `subscribable`: the only filters that may be
    subscribed (any other gets a refusing SUBACK); `options`: further lines of the configuration.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        persistence: bool = False,
        users: Mapping[str, str] | None = None,
        acl: str = "",
        certificates: Certificates | None = None,
        mutual: bool = False,
        subscribable: Sequence[str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        directory = directory / f"mosquitto-{self.port}"
        directory.mkdir(parents=True)
        lines = ["per_listener_settings false", "user root", "max_queued_messages 0", "log_dest stderr"]
        lines += self._persistence(directory) if persistence else ["persistence false"]
        lines += self._access(directory, users, acl, mutual)
        lines += self._dynamic_security(directory, subscribable) if subscribable is not None else []
        lines += [*options, f"listener {self.port} 127.0.0.1"]
        lines += self._tls(certificates, mutual) if certificates else []
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        command = [find_program("mosquitto", HINT), "-c", "mosquitto.conf"]
        super().__init__(directory, command, [self.port])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _persistence(directory: Path) -> list[str]:
        (directory / "data").mkdir()
        where = f"persistence_location {directory}/data/"
        return ["persistence true", where, "autosave_interval 1", "autosave_on_changes true"]

    @staticmethod
    def _access(directory: Path, users: Mapping[str, str] | None, acl: str, mutual: bool) -> list[str]:
        lines = [f"allow_anonymous {'true' if users is None and not mutual else 'false'}"]
        if users is not None:
            (directory / "passwd").touch(mode=0o600)
            for name, password in users.items():
                program = find_program("mosquitto_passwd", HINT)
                subprocess.run([program, "-b", "passwd", name, password], cwd=directory, check=True)
            lines.append(f"password_file {directory}/passwd")
        if acl:
            (directory / "acl").write_text(acl)
            lines.append(f"acl_file {directory}/acl")
        return lines

    @staticmethod
    def _tls(certificates: Certificates, mutual: bool) -> list[str]:
        lines = [f"cafile {certificates.ca}", f"certfile {certificates.server}"]
        lines += [f"keyfile {certificates.server_key}", "tls_version tlsv1.2"]
        return lines + (["require_certificate true", "use_identity_as_username true"] if mutual else [])

    @staticmethod
    def _dynamic_security(directory: Path, subscribable: Sequence[str]) -> list[str]:
        """Only this plugin answers a forbidden SUBSCRIBE with a failure; an acl_file lets it pass."""
        (plugin,) = (str(path) for path in Path("/").glob(PLUGINS.lstrip("/")))
        rules: list[dict[str, Any]] = [
            {"acltype": "subscribeLiteral", "topic": filter, "priority": 0, "allow": True}
            for filter in subscribable
        ]
        access = {"publishClientSend": True, "publishClientReceive": True, "unsubscribe": True}
        body = {
            "defaultACLAccess": {**access, "subscribe": False},
            "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
            "anonymousGroup": "all",
            "roles": [{"rolename": "some", "acls": rules}],
        }
        (directory / "security.json").write_text(json.dumps(body))
        return [f"plugin {plugin}", f"plugin_opt_config_file {directory}/security.json"]
