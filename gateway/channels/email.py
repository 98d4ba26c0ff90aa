"""`email`: a letter by the street's own mail server, over TLS.

RFC 5321. Until the letter itself is under way nothing was sent, and it may be tried again; once it is, only
the server's last word says whether it has it. `Message-ID` is our key, the same at every attempt: mailboxes
and servers know a repeated letter by it. A receipt is not asked for: accepted is not seen.
"""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from time import monotonic

from gateway.adapters import http
from gateway.channels.base import Answer, Form, Secret, Setup, detail
from gateway.channels.wording import door, sign
from gateway.core.model import SECOND, Level, Notification, Told
from gateway.core.quotas import PERSON

SETTINGS = frozenset({"host", "port", "tls", "sender", "username", "password_file"})
REQUIRED = frozenset({"host", "sender"})
SECRETS: frozenset[str] = frozenset()
QUOTAS = PERSON
PORTS = {"starttls": 587, "ssl": 465, "none": 25}  # by `tls`; none: a relay in the house, without a password
BUSY_S = 60.0  # greylisting wants minutes; the core's own patience is shorter and prevails
CONTENT_FOLLOWS, TAKEN = 354, range(200, 300)
FOR_NOW = range(400, 500)
HINTS = {
    530: "the server wants username and password_file",
    534: "the server wants another way of login",
    535: "username or password_file is wrong",
    550: "the address is not known there, or the server does not relay for us",
    553: "the server does not let us write as `sender`",
}
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
PORT = re.compile(r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]")
FORMS = {
    "host": Form(
        re.compile(r"[A-Za-z0-9.:-]{1,253}"), "邮件服务器的名称或地址", "a mail server's name or address"
    ),
    "port": Form(PORT, "1 到 65535 的数", "a number from 1 to 65535"),
    "tls": Form(re.compile("|".join(PORTS)), f"以下之一：{', '.join(PORTS)}", f"one of {', '.join(PORTS)}"),
    "sender": Form(ADDRESS, "邮箱地址", "an e-mail address"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where letters are given up, and as whom."""

    host: str
    port: int
    tls: str  # of PORTS
    sender: str
    username: str = ""
    password: Secret | None = None


class Email:
    """`total_s` bounds an attempt as a whole, however slowly the server drips."""

    def __init__(
        self, server: Server, total_s: float = http.TOTAL_S, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server, self._total_s = server, total_s
        self._tls = tls or ssl.create_default_context()
        self._hidden = _spellings(server)

    def send(self, notification: Notification, text: str, link: str) -> Answer:
        address = notification.address.strip()
        if not ADDRESS.fullmatch(address):
            return Answer(Told.REFUSED, "the address is no e-mail address")
        letter = compose(notification, text, link, self._server.sender, address)
        try:
            with self._session() as session:
                return self._give_up(session, address, letter)
        except smtplib.SMTPResponseException as error:
            return self._judge(error.smtp_code, error.smtp_error)
        except smtplib.SMTPNotSupportedError as error:  # never in the clear instead
            return Answer(Told.REFUSED, self._said(str(error)))
        except (OSError, ValueError) as error:
            return Answer(Told.LATER, self._said(http.named(error)))

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Connected, secured and logged in; cut off when the time is over."""
        deadline, server = monotonic() + self._total_s, self._server
        wire = http.dial(http.Origin(server.tls != "none", server.host, server.port), deadline)
        with wire.dup() as handle:
            guard = threading.Timer(max(deadline - monotonic(), 0), _cut, [handle])
            guard.daemon = True
            guard.start()
            try:
                wire.settimeout(self._total_s)
                yield self._logged_in(wire)
            finally:
                guard.cancel()
                _cut(handle)

    def _logged_in(self, wire: socket.socket) -> smtplib.SMTP:
        server = self._server
        if server.tls == "ssl":
            wire = self._tls.wrap_socket(wire, server_hostname=server.host)
        session = _Session(wire, server)
        _greet(session)
        if server.tls == "starttls":
            session.starttls(context=self._tls)
            _greet(session)
        if server.password is not None:
            session.login(server.username, server.password.reveal())
        return session

    def _give_up(self, session: smtplib.SMTP, address: str, letter: bytes) -> Answer:
        for command in (f"MAIL FROM:<{self._server.sender}>", f"RCPT TO:<{address}>"):
            code, words = session.docmd(command)
            if code not in TAKEN:
                return self._judge(code, words)
        code, words = session.docmd("DATA")
        if code != CONTENT_FOLLOWS:
            return self._judge(code, words)
        try:
            session.send(_dotted(letter))
            code, words = session.getreply()
        except OSError as error:  # it may have the letter
            return Answer(Told.UNKNOWN, self._said(http.named(error)))
        with suppress(OSError):
            session.putcmd("QUIT")
        return self._judge(code, words)

    def _judge(self, code: int, words: bytes | str) -> Answer:
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        said = self._said(f"{code} {text}")
        if code in TAKEN:
            return Answer(Told.ACCEPTED, said)
        if code in FOR_NOW:
            return Answer(Told.LATER, said, BUSY_S)
        if code not in range(500, 600):
            return Answer(Told.UNKNOWN, f"no answer of a mail server: {said}")
        return Answer(Told.REFUSED, detail(f"{said}; {HINTS[code]}") if code in HINTS else said)

    def _said(self, words: str) -> str:
        return detail(words, *self._hidden)


class _Session(smtplib.SMTP):
    """Over a connection that we made: its address was judged, its name resolved within our time."""

    def __init__(self, wire: socket.socket, server: Server) -> None:
        self._wire = wire
        super().__init__(server.host, server.port, local_hostname=server.sender.rpartition("@")[2])

    def _get_socket(self, *_: object) -> socket.socket:
        return self._wire


def _greet(session: smtplib.SMTP) -> None:
    """By ourselves: smtplib would take a server that is busy for one that knows no TLS."""
    code, words = session.ehlo()
    if code not in TAKEN:
        raise smtplib.SMTPResponseException(code, words)


def _cut(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _spellings(server: Server) -> list[Secret]:
    """The password as it may come back in a server's words: plain, or as the login has encoded it."""
    if server.password is None:
        return []
    plain = server.password.reveal()
    forms = (plain, f"\0{server.username}\0{plain}")
    return [server.password, *(Secret(base64.b64encode(one.encode()).decode()) for one in forms)]


# ---------------------------------------------------------------- the letter


def compose(notification: Notification, text: str, link: str, sender: str, address: str) -> bytes:
    """Byte for byte the same at every attempt."""
    letter = EmailMessage(SMTP.clone(cte_type="7bit"))
    domain = sender.rpartition("@")[2]
    letter["From"], letter["To"] = sender, address
    letter["Subject"] = f"{sign(notification)} {detail(notification.title)}"
    letter["Date"] = format_datetime(datetime.fromtimestamp(notification.created_ns // SECOND, UTC))
    letter["Message-ID"] = f"<{notification.id}@{domain}>"
    if notification.case:
        letter["References"] = f"<{notification.case}@{domain}>"  # so that a case is one conversation
    letter["Content-Language"] = "zh-CN"
    letter["Auto-Submitted"] = "auto-generated"  # no holiday notices in return
    if notification.level is Level.RED:
        letter["Importance"], letter["X-Priority"] = "high", "1"
    said = text.encode("utf-8", "replace").decode()
    letter.set_content(f"{said}\n\n{door(notification)}：\n{link}\n" if link else f"{said}\n")
    return bytes(letter)


def _dotted(letter: bytes) -> bytes:
    """With its end, and no line that could be taken for it."""
    return re.sub(rb"(?m)^\.", b"..", letter.rstrip(b"\r\n")) + b"\r\n.\r\n"


# ---------------------------------------------------------------- its entry in lilong.yaml


def build(setup: Setup) -> Email:
    settings = setup.settings
    setup.judge(FORMS)
    tls = settings.get("tls", "starttls")
    username, with_password = settings.get("username", ""), "password_file" in setup.secrets
    if bool(username) != with_password:
        raise ValueError(f"channels.{setup.name}: username and password_file go together")
    if with_password and tls == "none":
        raise ValueError(f"channels.{setup.name}.tls: a password does not travel in the clear")
    server = Server(
        host=settings["host"],
        port=int(settings.get("port", PORTS[tls])),
        tls=tls,
        sender=settings["sender"],
        username=username,
        password=setup.secret("password_file") if with_password else None,
    )
    return Email(server)
