"""The pages over plain HTTP: who may act, who may look, and that looking changes nothing."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway import telemetry
from gateway.core.model import Act, Level, Notification, Stage, Verb
from gateway.links import Purpose
from gateway.web import guard, server
from tests.browser.street import Street
from tests.waiting import until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with Street(tmp_path_factory.mktemp("street")) as one:
        yield one


@pytest.fixture
def fire(street: Street) -> str:
    return street.burn()


def told(street: Street, case: str) -> Notification:
    """The last message of a case to whoever is responsible; another channel may have been the quicker one."""

    def found() -> list[Notification]:
        return [one for one in street.told(street.case(case).responsible) if one.case == case]

    return until(found, 10, "the message of the case")[-1]


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode()


def ask(street: Street, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", street.web.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode(form).encode() if form is not None else (b"" if method == "POST" else None)
    connection.request(method, path, body, (FORM if method == "POST" else {}) | named)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def get(street: Street, path: str, **headers: str) -> Answer:
    return ask(street, "GET", path, None, **headers)


def post(street: Street, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
    return ask(street, "POST", path, form or {}, **headers)


def button(page: str, label: str) -> str:
    """Where the plain button of a page posts to."""
    found = re.search(rf'<form method="post" action="([^"]+)" class="act">\s*<button[^>]*>{label}<', page)
    assert found, page
    return found[1]


# ---------------------------------------------------------------- looking


def test_the_page_says_what_where_and_what_to_do(street: Street, fire: str) -> None:
    answer = get(street, street.path(told=told(street, fire)))
    assert answer.status == 200
    for word in (
        "充电仓过热",
        "81.5 ℃",
        "红色报警",
        "充电区",
        "远程断开",
        "2 分钟",  # the street's clock for red is shorter than the rule's own
        "筛查提示，不是法定鉴定结论",
        "我来处理",
    ):
        assert word in answer.text


def test_the_very_link_that_was_sent_opens(street: Street, fire: str) -> None:
    url = street.links.show(told(street, fire), street.clock.wall_ns())
    assert get(street, url).status == 200


def test_looking_changes_nothing(street: Street, fire: str) -> None:
    """Chats and mail scanners fetch every address they see, also those inside the page."""
    page = get(street, street.path(told=told(street, fire)))
    paths = re.findall(r'(?:href|action)="(/c/[^"]+)"', page.text)
    assert len(paths) == 9  # one for each act of somebody who has been told
    before, acts = street.case(fire), len(street.acts)
    for path in [street.path(told=told(street, fire)), *paths] * 3:
        for method in ("GET", "HEAD"):
            ask(street, method, path)
    assert (street.case(fire), len(street.acts)) == (before, acts)


@pytest.mark.parametrize("purpose", [Purpose.ACKNOWLEDGE, Purpose.DONE, Purpose.FALSE])
def test_a_buttons_token_does_not_show(street: Street, fire: str, purpose: Purpose) -> None:
    assert get(street, street.path(purpose, told(street, fire))).status == 403


# ---------------------------------------------------------------- acting


def test_acknowledge(street: Street, fire: str) -> None:
    one = told(street, fire)
    answer = post(street, street.path(Purpose.ACKNOWLEDGE, one))
    case = street.case(fire)
    assert (case.stage, case.acknowledged_by) == (Stage.ACKNOWLEDGED, one.person)
    assert answer.status == 303
    page = get(street, answer.headers["location"])
    assert "这件事由您负责" in page.text
    assert "我来处理" not in page.text
    assert "已处理" in page.text


def test_false_needs_a_reason(street: Street, fire: str) -> None:
    path = street.path(Purpose.FALSE, told(street, fire))
    for form in ({}, {"reason": ""}, {"reason": "because"}):
        assert post(street, path, form).status == 422
    assert street.case(fire).stage is Stage.SENT
    assert post(street, path, {"reason": "drill"}).status == 303
    assert street.case(fire).stage is Stage.FALSE
    rows = street.store.reader().execute(
        "SELECT note FROM entry WHERE case_id = ? AND what = 'false'", (fire,)
    )
    assert rows.fetchone()[0] == "测试或演练"


def test_the_same_press_twice_acts_once(street: Street, fire: str) -> None:
    path = street.path(Purpose.ACKNOWLEDGE, told(street, fire))
    first, acts = post(street, path), len(street.acts)
    again = post(street, path)
    assert (first.status, again.status) == (303, 303)
    assert len(street.acts) == acts


def test_done_replayed_after_the_sensor_disagreed(street: Street, fire: str) -> None:
    """A bounced case may be done again, but not by an old press."""
    path = street.path(Purpose.DONE, told(street, fire))
    post(street, path)
    until(lambda: street.case(fire).stage is Stage.HANDLING, 10)
    acts = len(street.acts)
    post(street, path)
    assert len(street.acts) == acts


def test_done_again_on_the_same_page_after_the_sensor_disagreed(street: Street, fire: str) -> None:
    """The link of one message serves all along: its page has a new button, and that is no old press."""
    link = street.path(Purpose.SHOW, told(street, fire))
    for bounced in (1, 2):
        post(street, button(get(street, link).text, "已处理"))
        lines = street.store.reader().execute(
            "SELECT COUNT(*) FROM entry WHERE case_id = ? AND what = 'bounced'", (fire,)
        )
        assert lines.fetchone()[0] == bounced


def test_two_notes_from_one_page_are_two(street: Street, fire: str) -> None:
    link = street.path(Purpose.SHOW, told(street, fire))
    for words in ("门锁着", "拿到钥匙了"):
        form = re.search(r'action="(/c/[^"]+)"[^>]*>\s*<label for="note"', get(street, link).text)
        assert form
        post(street, form[1], {"note": words})
    rows = street.store.reader().execute(
        "SELECT note FROM entry WHERE case_id = ? AND what = 'note'", (fire,)
    )
    assert [note for (note,) in rows] == ["门锁着", "拿到钥匙了"]


def test_show_token_cannot_act(street: Street, fire: str) -> None:
    before = street.case(fire)
    assert post(street, street.path(Purpose.SHOW, told(street, fire))).status == 403
    assert street.case(fire) == before


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}],
    ids=str,
)
def test_another_sites_form_does_not_act(street: Street, fire: str, headers: dict[str, str]) -> None:
    path = street.path(Purpose.ACKNOWLEDGE, told(street, fire))
    assert post(street, path, **headers).status == 403
    assert street.case(fire).stage is Stage.SENT
    own = f"http://127.0.0.1:{street.web.port}"
    assert post(street, path, Origin=own, Sec_Fetch_Site="same-origin").status == 303


def test_body_is_bounded(street: Street, fire: str) -> None:
    path = street.path(Purpose.FALSE, told(street, fire))
    assert post(street, path, {"reason": "x" * 10_000}).status == 413


def test_pipeline_that_fails_is_said_and_the_press_may_be_repeated(
    street: Street, fire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person must know that nothing was saved; and the token was not used up."""
    path = street.path(Purpose.ACKNOWLEDGE, told(street, fire))
    broken: Future[Any] = Future()
    broken.set_exception(sqlite3.OperationalError("disk full"))
    with monkeypatch.context() as patch:
        patch.setattr(street.pipeline, "_ask", lambda *_: broken)
        answer = post(street, path)
    assert answer.status == 503
    assert "没有记下来" in answer.text
    assert post(street, path).status == 303
    assert street.case(fire).stage is Stage.ACKNOWLEDGED


# ---------------------------------------------------------------- forged, expired, foreign


def test_forged_tokens(street: Street, fire: str) -> None:
    good = street.path(Purpose.ACKNOWLEDGE, told(street, fire))
    other = good[:-9] + ("B" if good[-9] == "A" else "A") + good[-8:]
    for path in (other, good + "A", "/c/abc", good.replace("/c/", "/c/A")):
        for method in ("GET", "POST"):
            assert ask(street, method, path, {} if method == "POST" else None).status in (403, 429)
    assert street.case(fire).stage is Stage.SENT


def test_expired(street: Street, fire: str) -> None:
    past = street.clock.wall_ns() // 10**9 - 1
    for purpose in (Purpose.SHOW, Purpose.ACKNOWLEDGE):
        path = street.path(purpose, told(street, fire), expires_s=past)
        answer = post(street, path) if purpose is Purpose.ACKNOWLEDGE else get(street, path)
        assert answer.status == 410
        assert "过期" in answer.text
    assert street.case(fire).stage is Stage.SENT


def test_foreign(street: Street, fire: str) -> None:
    one = told(street, fire)
    assert get(street, street.path(told=one, case="01JD00000000000000000000XX")).status == 410
    assert get(street, street.path(told=one, person="somebody-who-left")).status == 403


def test_many_wrong_tokens_are_turned_away_but_never_a_right_one(
    street: Street, fire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy everybody has one address: a lock-out must not lock out everybody."""
    statuses = [get(street, f"/c/wrong{i}").status for i in range(30)]
    assert statuses[-1] == 429
    assert get(street, street.path(told=told(street, fire))).status == 200


def test_attempts_are_counted_by_address_and_minute() -> None:
    now = [0.0]
    attempts = guard.Attempts(lambda: now[0])
    assert not any(attempts.too_many("a") for _ in range(10))
    assert attempts.too_many("a")
    assert not attempts.too_many("b")
    now[0] = 61.0
    assert not attempts.too_many("a")
    for i in range(5000):
        attempts.too_many(str(i))
    assert len(attempts._wrong) <= guard.ADDRESSES_MOST


def test_tokens_are_not_logged(street: Street, fire: str) -> None:
    with telemetry.testing() as said:
        path = street.path(Purpose.ACKNOWLEDGE, told(street, fire))
        get(street, path + "x")
        post(street, path)
    assert any(one.event == "link_refused" for one in said)
    assert path[3:40] not in str(said)


# ---------------------------------------------------------------- who may see the console

LOCAL = ["/", "/fragment", "/inbox/wang", "/inbox/wang/messages", "/metrics", "/case/{case}"]
AS_PROXY = [
    {"X_Forwarded_For": "203.0.113.7"},
    {"X_Real_IP": "203.0.113.7"},
    {"Forwarded": "for=203.0.113.7"},
    {"Via": "1.1 proxy"},
    {"Host": "alarm.street.example"},
    {"Host": "evil.example:8080"},
]


@pytest.mark.parametrize("path", LOCAL)
def test_console_is_for_this_box(street: Street, fire: str, path: str) -> None:
    path = path.replace("{case}", fire)
    assert get(street, path).status == 200
    for headers in AS_PROXY:
        assert get(street, path, **headers).status == 403


def test_naive_nginx_is_no_local_browser(street: Street) -> None:
    """As it comes it speaks HTTP/1.0, names us by our own address and forwards nothing."""
    with socket.create_connection(("127.0.0.1", street.web.port)) as wire:
        wire.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        assert wire.makefile("rb").readline().split()[1] == b"403"


def test_handlers_page_and_probes_work_behind_a_proxy(street: Street, fire: str) -> None:
    headers = {"X_Forwarded_For": "203.0.113.7", "Host": "alarm.street.example"}
    assert get(street, street.path(told=told(street, fire)), **headers).status == 200
    assert get(street, "/healthz", **headers).status == 200


@pytest.mark.parametrize("address", ["203.0.113.7", "10.0.0.5", "::ffff:10.0.0.5", "", "nonsense"])
def test_only_loopback_is_local(address: str) -> None:
    from starlette.requests import Request

    def request(client: str) -> Request:
        headers = [(b"host", b"localhost:8080")]
        return Request(
            {
                "type": "http",
                "http_version": "1.1",
                "client": (client, 1),
                "headers": headers,
                "method": "GET",
            }
        )

    assert guard.is_local(request("127.0.0.1"))
    assert guard.is_local(request("::1"))
    assert not guard.is_local(request(address))


# ---------------------------------------------------------------- probes


@pytest.mark.parametrize(
    ("change", "health", "ready"),
    [
        ({}, 200, 200),
        ({"progressing": False}, 503, 503),
        ({"broker": False}, 200, 503),
        ({"store_writable": False}, 200, 503),
        ({"config_ok": False}, 200, 503),
        ({"database": False}, 200, 200),
    ],
    ids=str,
)
def test_probes(
    street: Street, change: dict[str, bool], health: int, ready: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(street, "healthy", replace(street.healthy, **change))
    answers = get(street, "/healthz"), get(street, "/readyz")
    assert [one.status for one in answers] == [health, ready]
    assert all(isinstance(json.loads(one.text), dict) for one in answers)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"progressing": False}, "网关停滞"),
        ({"broker": False}, "收不到传感器消息"),
        ({"store_writable": False}, "磁盘写不进"),
        ({"database": False}, "报警不受影响"),
    ],
    ids=str,
)
def test_console_says_what_our_own_trouble_means(
    street: Street, change: dict[str, bool], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert says not in get(street, "/fragment").text
    monkeypatch.setattr(street, "healthy", replace(street.healthy, **change))
    assert says in get(street, "/fragment").text


def test_metrics(street: Street) -> None:
    answer = get(street, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "lilong_events_total" in answer.text


# ---------------------------------------------------------------- headers and failures


@pytest.mark.parametrize("path", ["/", "/c/abc", "/healthz", "/static/lilong.css", "/nowhere", "/metrics"])
def test_headers_are_on_everything(street: Street, path: str) -> None:
    headers = get(street, path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/", 405),
        ("PUT", "/c/abc", 405),
        ("GET", "/inbox/nobody", 404),
        ("GET", "/case/none", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
    ],
)
def test_kind_pages_for_what_is_not_there(street: Street, method: str, path: str, status: int) -> None:
    assert ask(street, method, path).status == status


def test_our_own_failure_is_one_line_and_a_plain_500(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(street, "healthy", None)
    with telemetry.testing() as said:
        answer = get(street, "/")
    assert answer.status == 500
    assert "Traceback" not in answer.text
    assert [one.event for one in said] == ["web_failed"]


def test_a_page_without_its_chart_is_better_than_none(
    street: Street, fire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(street, "samples", None)  # drawing it fails
    assert get(street, street.path(told=told(street, fire))).status == 200


def test_silent_clients_lose_their_place(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowloris: a head that never ends."""
    monkeypatch.setattr(server, "SILENT_S", 0.2)
    with socket.create_connection(("127.0.0.1", street.web.port)) as wire:
        wire.settimeout(10)
        wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        with suppress(ConnectionResetError):
            assert wire.recv(100) == b""


def test_connections_are_bounded(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MOST", 5)
    held = [socket.create_connection(("127.0.0.1", street.web.port)) for _ in range(20)]
    try:
        until(lambda: len(street.web._server.server_state.connections) <= 5, 10)
    finally:
        for wire in held:
            wire.close()
    until(lambda: _answers(street), 10)


def _answers(street: Street) -> bool:
    try:
        return get(street, "/healthz").status == 200
    except OSError:
        return False


# ---------------------------------------------------------------- the inbox


def test_inbox_reads_like_a_conversation(street: Street, fire: str) -> None:
    one = told(street, fire)
    page = get(street, f"/inbox/{one.person}").text
    assert one.title in page
    action = re.search(r'action="(/c/[^"]+)"(?:(?!action=).)*?我来处理', page[page.rindex(one.title) :], re.S)
    assert action
    back = post(street, action[1], {"back": "inbox"})
    assert (back.status, back.headers["location"]) == (303, f"/inbox/{one.person}")
    assert street.case(fire).stage is Stage.ACKNOWLEDGED
    rows = street.store.reader().execute(
        "SELECT channel FROM entry WHERE case_id = ? AND what = 'acknowledged'", (fire,)
    )
    assert rows.fetchone()[0] == "inbox"
    assert "我来处理" in get(street, f"/inbox/{one.person}/messages").text  # as what was said


def test_inbox_is_the_same_bytes_while_nothing_happens(street: Street, fire: str) -> None:
    """Else the page would be redrawn under the finger every two seconds."""
    person = street.case(fire).responsible
    first = get(street, f"/inbox/{person}/messages").text
    street.clock.ahead_ns += 10**9
    assert get(street, f"/inbox/{person}/messages").text == first


def test_no_inbox_where_none_is_configured(street: Street, tmp_path: Path) -> None:
    from gateway.web import WebServer, create_app

    web = WebServer(create_app(replace(street.deps(), inboxes=frozenset())), "127.0.0.1", 0)
    web.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
        connection.request("GET", "/inbox/wang")
        assert connection.getresponse().status == 404
        connection.close()
    finally:
        web.stop()


def test_port_that_is_taken_is_an_error_at_once(street: Street) -> None:
    from gateway.web import WebServer, create_app

    with pytest.raises(OSError, match="in use"):
        WebServer(create_app(street.deps()), "127.0.0.1", street.web.port).start()


def test_acts_arrive_as_acts(street: Street, fire: str) -> None:
    one = told(street, fire)
    post(street, street.path(Purpose.ACKNOWLEDGE, one))
    assert street.acts[-1] == Act(0, 0, fire, one.person, Verb.ACKNOWLEDGE, "", "link")


def test_console_counts(street: Street, fire: str) -> None:
    page = get(street, "/fragment").text
    assert f"/case/{fire}" in page
    assert f'count">{len(street.cases())}<' in page
    assert f"红色报警 {sum(case.level is Level.RED for case in street.cases())}<" in page
