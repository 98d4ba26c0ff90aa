"""`email` under the contract of all channels, against a mail server that misbehaves at every step."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import channels
from gateway.channels.base import Answer, Secret
from gateway.channels.email import Email, Server, compose
from gateway.core.model import Kind, Level, Told
from tests.contract.dialects import TOTAL_S, notification
from tests.contract.mailserver import DROP, HANG, PASSWORD, USER, MailServer
from tests.servers.certificates import Certificates, make_certificates

LINK = "https://alarm.example/c/" + "t" * 170
TO = "wang@street.example"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.ca))


def secured(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    return context


@pytest.fixture(params=["starttls", "ssl"])
def mail(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[MailServer]:
    with MailServer(secured(certificates), at_once=request.param == "ssl") as one:
        yield one
        assert one.complaints == []


def channel(mail: MailServer, tls: ssl.SSLContext | None, **changes: object) -> Email:
    how = "ssl" if mail._at_once else "starttls"
    server = Server(
        host="127.0.0.1", port=mail.port, tls=how, sender="lilong@street.example", username=USER,
        password=Secret(PASSWORD),
    )  # fmt: skip
    return Email(replace(server, **changes), TOTAL_S, tls)  # type: ignore[arg-type]


def send(mail: MailServer, tls: ssl.SSLContext, **changes: object) -> Answer:
    return channel(mail, tls).send(notification(**{"address": TO, **changes}), "断开该仓", LINK)


# ---------------------------------------------------------------- what the server says


def test_accepted(mail: MailServer, trusting: ssl.SSLContext) -> None:
    answer = send(mail, trusting)
    assert answer.told is Told.ACCEPTED
    assert "queued as 4F1" in answer.detail
    letter = mail.letters[0]
    assert letter["Message-ID"] == f"<{notification().id}@street.example>"
    assert letter["Subject"] == "🟠 充电仓过热:3 号仓"
    assert (letter["From"], letter["To"]) == ("lilong@street.example", TO)
    assert letter.get_content().splitlines()[0] == "断开该仓"
    assert LINK in letter.get_content()


STEPS = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("step", [*STEPS, "END"])
def test_a_4xx_at_any_step_is_for_now(mail: MailServer, trusting: ssl.SSLContext, step: str) -> None:
    """Greylisting, a full disk, too many connections."""
    mail.says[step] = "451 4.7.1 try again later"
    answer = send(mail, trusting)
    assert (answer.told, mail.letters) == (Told.LATER, [])


@pytest.mark.parametrize("step", ["AUTH", "MAIL", "RCPT", "DATA", "END"])
def test_a_5xx_at_any_step_is_for_good(mail: MailServer, trusting: ssl.SSLContext, step: str) -> None:
    mail.says[step] = "554 5.7.1 no"
    assert send(mail, trusting).told is Told.REFUSED


def test_a_wrong_password_is_named_and_not_repeated(mail: MailServer, trusting: ssl.SSLContext) -> None:
    answer = channel(mail, trusting, password=Secret("wr0ng-0123456789")).send(
        notification(address=TO), "t", LINK
    )
    assert answer.told is Told.REFUSED
    assert "password_file" in answer.detail
    assert "wr0ng" not in answer.detail and "AGxpbG9uZw" not in answer.detail


def test_nobody_of_that_name(mail: MailServer, trusting: ssl.SSLContext) -> None:
    assert send(mail, trusting, address="zhao@street.example").told is Told.REFUSED


@pytest.mark.parametrize(
    "address", ["", "wang", "a@b>\r\nRCPT TO:<x@y", "王@street.example", "a b@c", "a@b,c@d"]
)
def test_what_is_no_address_is_not_even_said(
    mail: MailServer, trusting: ssl.SSLContext, address: str
) -> None:
    assert send(mail, trusting, address=address).told is Told.REFUSED
    assert mail.commands == []


# ---------------------------------------------------------------- no answer, or none to understand


@pytest.mark.parametrize("how", [DROP, HANG])
@pytest.mark.parametrize("step", STEPS)
def test_before_the_letter_nothing_was_sent(
    mail: MailServer, trusting: ssl.SSLContext, step: str, how: str
) -> None:
    mail.says[step] = how
    began = time.monotonic()
    assert send(mail, trusting).told is Told.LATER
    assert time.monotonic() - began < TOTAL_S * 3


@pytest.mark.parametrize("how", [DROP, HANG, "what?"])
def test_after_the_letter_nobody_knows(mail: MailServer, trusting: ssl.SSLContext, how: str) -> None:
    mail.says["END"] = how
    assert send(mail, trusting).told is Told.UNKNOWN


def test_the_bound_is_on_the_whole(certificates: Certificates, trusting: ssl.SSLContext) -> None:
    """Each line well within any time-out per read, the greeting never done."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = False

        def drip() -> None:
            wire, _ = listener.accept()
            with wire:
                while not stop:
                    wire.sendall(b"220-still here\r\n")
                    pause.wait(0.05)

        pause = threading.Event()
        threading.Thread(target=drip, daemon=True).start()
        server = Server(
            host="127.0.0.1", port=listener.getsockname()[1], tls="starttls", sender="a@b.example"
        )
        began = time.monotonic()
        answer = Email(server, TOTAL_S, trusting).send(notification(address=TO), "t", LINK)
        stop = True
        assert answer.told is Told.LATER
        assert time.monotonic() - began < TOTAL_S * 3


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = Server(host="127.0.0.1", port=port, tls="starttls", sender="a@b.example")
    assert Email(server, TOTAL_S).send(notification(address=TO), "t", LINK).told is Told.LATER


def test_a_name_that_nobody_knows() -> None:
    server = Server(host="no-such-provider.invalid", port=587, tls="starttls", sender="a@b.example")
    assert Email(server, TOTAL_S).send(notification(address=TO), "t", LINK).told is Told.LATER


# ---------------------------------------------------------------- TLS, or nothing


def test_tls_is_verified(mail: MailServer) -> None:
    answer = channel(mail, None).send(notification(address=TO), "t", LINK)
    assert answer.told is Told.LATER
    assert "certificate" in answer.detail
    assert not {"AUTH", "MAIL"} & set(mail.commands)


def test_a_server_without_tls_gets_neither_password_nor_letter(trusting: ssl.SSLContext) -> None:
    """Whoever stands between could have taken the offer out."""
    with MailServer() as mail:
        answer = send(mail, trusting)
        assert answer.told is Told.REFUSED
        assert "STARTTLS" in answer.detail
        assert mail.commands == ["EHLO"]


def test_a_relay_in_the_house_may_do_without() -> None:
    with MailServer() as mail:
        mail.without_login = True
        server = Server(host="127.0.0.1", port=mail.port, tls="none", sender="lilong@street.example")
        assert Email(server, TOTAL_S).send(notification(address=TO), "t", LINK).told is Told.ACCEPTED
        assert "AUTH" not in mail.commands


@pytest.mark.parametrize("step", ["AUTH", "MAIL", "RCPT", "DATA", "END"])
def test_secret_is_nowhere(
    mail: MailServer, trusting: ssl.SSLContext, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mail.says[step] = f"554 you said {PASSWORD} and AGxpbG9uZwBzM2NyM3QtOWIxZjZjMGUtN2E0Mg=="
    one = channel(mail, trusting)
    answer = one.send(notification(address=TO), "t", LINK)
    said = f"{answer!r} {one!r} {vars(one)!r} {caplog.text}"
    assert PASSWORD not in said and "AGxpbG9uZ" not in said
    assert len(answer.detail) <= 200


# ---------------------------------------------------------------- the letter


def letter(**changes: object) -> bytes:
    text = str(changes.pop("said", "文"))
    return compose(notification(**changes), text, LINK, "lilong@street.example", TO)


def test_every_attempt_writes_the_same_bytes() -> None:
    """What one mailbox takes for two letters rings twice."""
    assert letter() == letter(attempt=3, due_at=99)


def test_a_case_is_one_conversation() -> None:
    one, other = letter(id="01JDA"), letter(id="01JDB", kind=Kind.CLEARED)
    assert one.count(b"References: <01JD00000000000000000000CA@street.example>") == 1
    assert other.count(b"References: <01JD00000000000000000000CA@street.example>") == 1


def test_red_is_important_and_nothing_else_is() -> None:
    assert b"Importance: high" in letter(level=Level.RED)
    assert b"Importance" not in letter(level=Level.ORANGE)


def test_words_cannot_become_headers_or_end_the_letter(mail: MailServer, trusting: ssl.SSLContext) -> None:
    hostile = "x\r\nBcc: evil@evil.example\r\n\r\nbody"
    said = "one\r\n.\r\nMAIL FROM:<evil@evil.example>\n.\n..two\ud800"
    answer = channel(mail, trusting).send(notification(address=TO, title=hostile), said, LINK)
    assert answer.told is Told.ACCEPTED
    assert mail.letters[0]["Bcc"] is None
    assert mail.commands.count("MAIL") == 1
    assert LINK in mail.letters[0].get_content()


def test_dots_arrive_as_they_were(trusting: ssl.SSLContext, mail: MailServer) -> None:
    channel(mail, trusting).send(notification(address=TO), "..two", "")
    assert mail.letters[0].get_content().startswith("..two")


# ---------------------------------------------------------------- its entry in lilong.yaml


def made(folder: Path, **settings: str) -> object:
    (folder / "password").write_text(PASSWORD)
    files = {"password_file": folder / "password"} if settings.get("username") else {}
    return channels.build(
        "mail", "email", {"host": "mail.x.example", "sender": "a@b.example"} | settings, files
    )


def test_ports_follow_the_way_of_tls(tmp_path: Path) -> None:
    ports = {"starttls": 587, "ssl": 465, "none": 25}
    assert {tls: made(tmp_path, tls=tls)._server.port for tls in ports} == ports  # type: ignore[attr-defined]
    assert made(tmp_path, port="2525")._server.port == 2525  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"tls": "maybe"}, "tls"),
        ({"tls": "none", "username": "u"}, "clear"),
        ({"port": "70000"}, "port"),
        ({"port": "²"}, "port"),
        ({"host": "a b"}, "host"),
        ({"sender": "nobody"}, "sender"),
    ],
)
def test_settings_are_looked_at(settings: dict[str, str], word: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=word):
        made(tmp_path, **settings)


def test_a_user_without_a_password_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="password_file"):
        channels.build("m", "email", {"host": "h", "sender": "a@b.example", "username": "u"}, {})
