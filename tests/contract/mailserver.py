"""A strict pretend mail server: TLS, login and order of commands by RFC 5321, misbehaving on demand."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage

USER, PASSWORD = "lilong", "s3cr3t-9b1f6c0e-7a42"
DROP, HANG = "drop", "hang"


class MailServer:
    """`says` replaces the answer to a command (GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, END).

    DROP hangs up there, HANG says nothing more. Letters that it answered 250 for are in `letters`.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, at_once: bool = False, says: Mapping[str, str] | None = None
    ) -> None:
        self.says = dict(says or {})
        self.letters: list[EmailMessage] = []
        self.commands: list[str] = []
        self.complaints: list[str] = []
        self.relays_for: set[str] = {"wang@street.example"}
        self.without_login = False
        self._tls, self._at_once = tls, at_once
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> MailServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                wire, _ = self._listener.accept()
                self._open.append(wire)
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: socket.socket) -> None:
        with suppress(OSError, ConnectionError):
            if self._at_once and self._tls:
                wire = self._tls.wrap_socket(wire, server_side=True)
            with wire:
                _Talk(self, wire).run()

    def answer(self, wire: socket.socket, command: str, usual: str) -> bool:
        """True when it went as usual."""
        said = self.says.get(command, usual)
        if said == HANG:
            self._over.wait(30)
        if said in (DROP, HANG):
            raise ConnectionError(command)
        wire.sendall(said.encode() + b"\r\n")
        return said == usual


class _Talk:
    """One connection."""

    def __init__(self, server: MailServer, wire: socket.socket) -> None:
        self._server, self._wire = server, wire
        self._stream = wire.makefile("rb")
        self._secure, self._known = isinstance(wire, ssl.SSLSocket), False
        self._sender, self._to = "", ""

    def run(self) -> None:
        self._server.answer(self._wire, "GREETING", "220 mail.street.example ESMTP")
        while line := self._stream.readline().decode("ascii").rstrip("\r\n"):
            verb = line.split(" ")[0].upper()
            self._server.commands.append(verb)
            do = getattr(self, f"_{verb.lower()}", None)
            if verb == "QUIT":
                return
            if do is None:
                self._complain(f"unknown command {line}")
                self._wire.sendall(b"502 what?\r\n")
            else:
                do(line)

    def _complain(self, what: str) -> None:
        self._server.complaints.append(what)

    def _ehlo(self, line: str) -> None:
        if line != "ehlo street.example":
            self._complain(line)
        offers = ["AUTH PLAIN LOGIN"] if self._secure else ["STARTTLS"] if self._server._tls else []
        usual = "\r\n".join([f"250-{one}" for one in ["mail.street.example", *offers]] + ["250 8BITMIME"])
        self._server.answer(self._wire, "EHLO", usual)

    def _starttls(self, line: str) -> None:
        if self._server.answer(self._wire, "STARTTLS", "220 go on") and self._server._tls:
            self._wire = self._server._tls.wrap_socket(self._wire, server_side=True)
            self._server._open.append(self._wire)
            self._stream, self._secure = self._wire.makefile("rb"), True

    def _auth(self, line: str) -> None:
        if not self._secure:
            self._complain("a password in the clear")
        right = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        self._known = line == f"AUTH PLAIN {right}"
        usual = "235 welcome" if self._known else f"535 5.7.8 no: {line}"
        self._server.answer(self._wire, "AUTH", usual)

    def _mail(self, line: str) -> None:
        self._sender = line
        allowed = self._known or self._server.without_login
        self._server.answer(self._wire, "MAIL", "250 ok" if allowed else "530 5.7.0 login first")

    def _rcpt(self, line: str) -> None:
        self._to = line.partition(":<")[2].rstrip(">")
        known = self._to in self._server.relays_for
        self._server.answer(self._wire, "RCPT", "250 ok" if known else "550 5.1.1 no such user")

    def _data(self, line: str) -> None:
        if not self._sender or not self._to:
            self._complain("DATA out of order")
        if not self._server.answer(self._wire, "DATA", "354 end with ."):
            return
        lines = []
        while (one := self._stream.readline()) not in (b".\r\n", b""):
            if not one.endswith(b"\r\n") or len(one) > 1000:
                self._complain(f"a line that is none: {one[:40]!r}")
            lines.append(one[1:] if one.startswith(b".") else one)
        body = b"".join(lines)
        if "END" not in self._server.says:  # kept first, answered then
            letter = message_from_bytes(body, policy=policy.default)
            assert isinstance(letter, EmailMessage)
            self._server.letters.append(letter)
        self._server.answer(self._wire, "END", "250 2.0.0 queued as 4F1")
