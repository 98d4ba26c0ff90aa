"""lilong doctor: each thing that can be wrong is named, with the next step; what is right is not blamed."""

from __future__ import annotations

import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest.mock import Mock

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import doctor
from gateway.adapters.store import Record, Store
from gateway.config import (
    ArchiveConfig,
    BrokerConfig,
    ChannelConfig,
    Config,
    InfluxConfig,
    OutwardConfig,
    WebConfig,
)
from gateway.core.catalogue import Catalogue
from gateway.core.model import SECOND, NotificationState, Tick
from gateway.doctor import ClockWatch, Finding, Texts, diagnose
from gateway.problems import ConfigError, say
from tests.contract.dialects import notification
from tests.contract.provider import Provider, reply
from tests.contract.receivers import SECRET, City, Hub
from tests.contract.test_outward import CITY
from tests.servers.certificates import make_certificates
from tests.servers.mosquitto import Mosquitto
from tests.servers.process import free_port
from tests.waiting import until

ENGLISH = Texts("en")


def make_config(tmp_path: Path, **parts: object) -> Config:
    state = tmp_path / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    return Config(
        state=state,
        timezone="Asia/Shanghai",
        broker=parts.get("broker") or BrokerConfig(host="127.0.0.1", port=free_port()),
        influx=parts.get("influx"),
        archive=ArchiveConfig(directory=state / "archive", keep_bytes=1000),
        web=WebConfig(),
        channels={},
        path=tmp_path / "lilong.yaml",
    )


def secret(tmp_path: Path, name: str, text: str = "s3cret") -> Path:
    file = tmp_path / name
    file.write_text(text + "\n")
    file.chmod(0o600)
    return file


def ask_broker(**settings: object) -> Finding:
    return doctor._broker(BrokerConfig(host="127.0.0.1", **settings), ENGLISH)


# ---------------------------------------------------------------- broker


@pytest.mark.servers
def test_a_broker_that_takes_us_in(tmp_path: Path) -> None:
    password = secret(tmp_path, "password", "g1")
    with Mosquitto(tmp_path, users={"gateway": "g1"}) as broker:
        for protocol in (4, 5):
            told = ask_broker(port=broker.port, username="gateway", password_file=password, protocol=protocol)
            assert told.ok and not told.hint, told


@pytest.mark.servers
def test_a_wrong_password_a_refused_filter_and_a_stranger_are_told_apart(tmp_path: Path) -> None:
    wrong = secret(tmp_path, "password", "wrong")
    with Mosquitto(tmp_path, users={"gateway": "g1"}) as broker:
        told = ask_broker(port=broker.port, username="gateway", password_file=wrong)
    assert not told.ok and "password_file" in told.hint and "wrong" not in told.detail
    with Mosquitto(tmp_path, subscribable=["site/#"]) as broker:
        told = ask_broker(port=broker.port, subscribe=("site/#", "elsewhere/#"))
    assert not told.ok and "elsewhere/#" in told.detail and "site/#" not in told.detail
    told = ask_broker(port=free_port())
    assert not told.ok and "running" in told.hint


@pytest.mark.servers
def test_tls_is_checked_and_the_certificates_end_is_told(tmp_path: Path) -> None:
    """The test's certificates live a day: that is advice, not a failure."""
    certificates = make_certificates(tmp_path / "certificates")
    with Mosquitto(tmp_path, certificates=certificates) as broker:
        told = ask_broker(port=broker.port, ca_file=certificates.ca)
        assert told.ok and "0 days" in told.hint
        stranger = make_certificates(tmp_path / "others")
        told = ask_broker(port=broker.port, ca_file=stranger.ca)
        assert not told.ok and "ca_file" in told.hint


@pytest.mark.servers
def test_a_visit_does_not_push_the_running_gateway_out(tmp_path: Path) -> None:
    """It connects under a client id of its own."""
    with Mosquitto(tmp_path) as broker:
        lost: list[object] = []
        running = mqtt.Client(CallbackAPIVersion.VERSION2, "lilong-1")
        running.on_disconnect = lambda *_: lost.append(_)
        running.connect("127.0.0.1", broker.port)
        running.loop_start()
        until(running.is_connected, 20)
        assert ask_broker(port=broker.port, client_id="lilong-1").ok
        running.publish("x", "still here", 1).wait_for_publish(20)
        assert lost == []
        running.disconnect()
        running.loop_stop()


# ---------------------------------------------------------------- database


@contextmanager
def database(status: int, body: bytes = b"", date: str | None = None) -> Iterator[tuple[InfluxConfig, list]]:
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Authorization"], sent))
            self.send_response_only(status)
            self.send_header("Date", date or self.date_time_string())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/base"
        yield InfluxConfig(url=url, org="street 1", bucket="lilong", token_file=Path()), asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "ok", "word"),
    [
        (204, b"", True, ""),
        (400, b'{"code":"invalid","message":"writing requires points"}', True, ""),
        (401, b'{"message":"unauthorized access"}', False, "token_file"),
        (403, b"", False, "may not write"),
        (404, b'{"message":"bucket not found"}', False, "create"),
        (500, b"oops", False, "log"),
    ],
)
def test_what_the_database_answers(tmp_path: Path, status: int, body: bytes, ok: bool, word: str) -> None:
    with database(status, body) as (config, asked):
        told = doctor._database(replace(config, token_file=secret(tmp_path, "token")), ClockWatch(), ENGLISH)
    assert told.ok is ok and word in told.hint, told
    path, authorization, sent = asked[0]
    assert path == "/base/api/v2/write?org=street%201&bucket=lilong&precision=ns"
    assert authorization == "Token s3cret"
    assert sent.startswith(b"#"), "a comment: nothing may be stored"


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    config = InfluxConfig(
        url=f"http://127.0.0.1:{free_port()}", org="o", bucket="b", token_file=secret(tmp_path, "token")
    )
    told = doctor._database(config, ClockWatch(), ENGLISH)
    assert not told.ok and "running" in told.hint


def test_a_clock_that_differs_from_the_databases_is_told(tmp_path: Path) -> None:
    """Eight hours off is the classic of a box whose zone and clock were set by hand."""
    watch = ClockWatch()
    with database(204, date="Mon, 02 Nov 2020 00:00:00 GMT") as (config, _):
        doctor._database(replace(config, token_file=secret(tmp_path, "token")), watch, ENGLISH)
    told = doctor._clock(watch, ENGLISH)
    assert not told.ok and "database" in told.detail


# ---------------------------------------------------------------- systems outside


def outside(tmp_path: Path, url: str, catalogue: Catalogue | None = None) -> OutwardConfig:
    file = secret(tmp_path, "outside", SECRET)
    return OutwardConfig(
        name="far", url=url, ask_url=url, secret_file=file, catalogue=catalogue, reconcile_at="04:20",
        look_back_days=30,
    )  # fmt: skip


def look(config: OutwardConfig) -> Finding:
    (found,) = doctor._outward(Mock(outward={"far": config}), ENGLISH)
    assert found.name == "outward" and SECRET not in repr(found)
    return found


def test_who_only_listens_is_sent_nothing(tmp_path: Path) -> None:
    with Hub(time.time) as hub:
        found = look(outside(tmp_path, f"http://127.0.0.1:{hub.port}/changes"))
        assert found.ok and not found.hint and "nothing was sent" in found.detail
        until(lambda: hub.connections)
        assert hub.requests == []


def test_a_platform_is_asked_about_no_time_at_all_and_told_nothing(tmp_path: Path) -> None:
    with City(time.time) as city:
        found = look(outside(tmp_path, f"http://127.0.0.1:{city.port}/events", CITY))
        assert found.ok and not found.hint, found
        (asked,) = city.asked
        assert asked["begin"] == asked["end"]
        assert [one.line.split()[0] for one in city.requests] == ["GET"]
        assert city.complaints == [] and city.rows == {}


@pytest.mark.parametrize("status", [401, 404, 422, 500, 503])
def test_a_platform_that_does_not_say_what_it_has(tmp_path: Path, status: int) -> None:
    with City(time.time) as city:
        city.statuses = [status]
        found = look(outside(tmp_path, f"http://127.0.0.1:{city.port}/events", CITY))
        assert not found.ok and str(status) in found.detail and "secret_file of outward.far" in found.hint


def test_a_platform_whose_answer_is_no_list(tmp_path: Path) -> None:
    with City(time.time) as city:
        wrong = replace(CITY, ask=replace(CITY.ask, rows="elsewhere"))
        found = look(outside(tmp_path, f"http://127.0.0.1:{city.port}/events", wrong))
        assert not found.ok and "no list of cases" in found.detail


def test_a_system_that_is_not_there_or_has_no_secret(tmp_path: Path) -> None:
    """What stands in its address may be a key: it is not said."""
    config = outside(tmp_path, f"http://127.0.0.1:{free_port()}/hook/k3y-of-the-street")
    found = look(config)
    assert not found.ok and "addresses" in found.hint and "k3y" not in repr(found)
    config.secret_file.unlink()
    assert not look(config).ok
    config_with_it = replace(make_config(tmp_path), outward={"far": config})
    assert [told.ok for told in doctor._secrets(config_with_it, ENGLISH)] == [False]


def test_its_certificate_must_be_one_that_we_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's certificates live a day: that is advice, not a failure."""
    made = make_certificates(tmp_path / "certificates")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.server, made.server_key)
    with Provider(reply(200), tls=tls) as far:
        config = outside(tmp_path, f"https://localhost:{far.port}/changes")
        assert not look(config).ok
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        found = look(config)
        assert found.ok and "0 days" in found.hint
        assert far.requests == []


# ---------------------------------------------------------------- clock, disk, secrets, mistakes


def test_an_unsynchronised_or_stepped_clock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "synchronised", lambda: False)
    assert "set-ntp" in doctor._clock(ClockWatch(), ENGLISH).hint
    monkeypatch.setattr(doctor, "synchronised", lambda: None)
    assert doctor._clock(ClockWatch(), ENGLISH).ok, "a kernel that does not say is no fault"
    watch = ClockWatch()
    watch._wall -= 120
    assert not doctor._clock(watch, ENGLISH).ok
    assert doctor.synchronised() in (True, False, None)


def test_a_slow_or_full_disk_and_wrong_modes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path)
    assert all(told.ok for told in doctor._disk(config, ENGLISH))
    monkeypatch.setattr(doctor, "FSYNC_S_MOST", 0.0)
    assert "SSD" in doctor._disk(config, ENGLISH)[1].hint
    monkeypatch.setattr(doctor, "_free_bytes", lambda _: 1000)
    assert "room" in doctor._disk(config, ENGLISH)[0].hint
    config.state.chmod(0o755)
    (told,) = doctor._disk(config, ENGLISH)
    assert not told.ok and "chmod 0700" in told.hint


def test_an_archive_that_cannot_fit_is_advice(tmp_path: Path) -> None:
    config = replace(
        make_config(tmp_path), archive=ArchiveConfig(directory=tmp_path / "none", keep_bytes=10**18)
    )
    told = doctor._free(config, ENGLISH)
    assert told.ok and "keep_bytes" in told.hint


def test_secrets_that_lack_are_empty_or_open(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    key = secret(tmp_path, "link-key")
    config = replace(config, web=WebConfig(link_key_file=key))
    assert [told.ok for told in doctor._secrets(config, ENGLISH)] == [True]
    for spoil, word in (
        (lambda: key.chmod(0o644), "chmod"),
        (lambda: key.write_text(" \n"), "write"),
        (key.unlink, "put"),
    ):
        spoil()
        (told,) = doctor._secrets(config, ENGLISH)
        assert not told.ok and word in told.hint
        assert "s3cret" not in told.detail


def test_mistakes_are_told_in_the_readers_language() -> None:
    mistake = ConfigError("lilong.yaml", 3, "broker.port", say("missing"), say("required"))
    zh, en = diagnose(None, [mistake], "zh"), diagnose(None, [mistake], "en")
    assert [told.ok for told in zh + en] == [False, False]
    assert zh[0].detail != en[0].detail and "lilong.yaml:3" in zh[0].detail


def test_how_much_of_each_channels_limits_is_used(tmp_path: Path) -> None:
    """As the store tells it, also of a failover's members; nobody's number is shown."""
    kinds = {"sms-ali": "sms_aliyun", "sms-tx": "sms_tencent", "call": "voice_aliyun", "page": "inbox"}
    entries = {name: ChannelConfig(name=name, kind=kind) for name, kind in kinds.items()}
    entries["sms"] = ChannelConfig(name="sms", kind="failover", settings={"of": "sms-ali sms-tx"})
    config = replace(make_config(tmp_path), channels=entries)
    assert doctor._channels(config, 0, ENGLISH) == []
    now_ns, at, hour = 10**18, 10**15, 3600 * SECOND
    by = [("sms", "sms-tx: Ok")] * 9 + [("sms", "sms-ali: OK")] + [("call", "OK")] * 2
    sent = [
        notification(
            id=f"n{n}", channel=channel, detail=detail, state=NotificationState.ACCEPTED,
            address="13800000001", due_at=at - n * hour, told_at=at - n * hour,
        )
        for n, (channel, detail) in enumerate(by)
    ]  # fmt: skip
    store = Store(config.state)
    store.commit([Record(Tick(1, 1), sent)])
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("INSERT INTO checkpoint VALUES (1, 1, ?, ?, x'', 0)", (at, now_ns))
        db.commit()
    found = {one.detail.split(" ")[0]: one for one in doctor._channels(config, now_ns, ENGLISH)}
    store.close()
    assert "1/50 in 24h (wang)" in found["sms-ali"].detail
    assert "9/10 in 24h (wang)" in found["sms-tx"].detail and "little is left" in found["sms-tx"].hint
    assert "2/20 in 24h" in found["call"].detail and found["call"].ok
    assert found.keys() == {"sms-ali", "sms-tx", "call"}
    assert "1380000" not in repr(found)


def test_every_check_answers_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Finding]:
        raise RuntimeError("boom")

    for name in ("_secrets", "_disk", "_broker", "_database", "_clock", "_outward"):
        monkeypatch.setattr(doctor, name, broken)
    told = diagnose(make_config(tmp_path), locale="en")
    names = ["config", "secrets", "disk", "broker", "database", "clock", "outward"]
    assert [finding.name for finding in told] == names
    assert [finding.ok for finding in told] == [True] + [False] * 6
    assert all("boom" in finding.detail and finding.hint for finding in told[1:])
