"""Pictures through the page's own door: from a form to the chained history; and who has no business there."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway import telemetry
from gateway.adapters import audit
from gateway.core.model import Stage
from gateway.core.photos import BYTES_MOST, PHOTOS_MOST
from gateway.core.pictures import cleaned
from gateway.links import Purpose
from gateway.web import server, uploads
from tests.browser.street import Street
from tests.browser.test_site import Answer, ask, get, told
from tests.pictures import JPEG, WEBP, form, png
from tests.waiting import until


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with Street(tmp_path_factory.mktemp("street")) as one:
        yield one


@pytest.fixture
def fire(street: Street) -> str:
    return street.burn()


@pytest.fixture(scope="module")
def burning(street: Street) -> str:
    """One case for all who are turned away."""
    return street.burn()


def upload(street: Street, path: str, picture: bytes, **more: Any) -> Answer:
    """As a browser sends the form; `more`: field, filename, or headers."""
    named = {key: more.pop(key) for key in ("field", "filename") if key in more}
    body, kind = form(picture, **named)
    return send(street, path, body, **{"Content-Type": kind}, **more)


def send(street: Street, path: str, body: bytes, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", street.web.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, body, named)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def door(street: Street, of: str, **changes: Any) -> str:
    """Where the form of a case posts to."""
    return street.path(Purpose.PHOTO, told(street, of), **changes)


def shown(street: Street, case: str) -> list[str]:
    """Addresses of the pictures on the page of a case."""
    page = get(street, street.path(told=told(street, case))).text
    return re.findall(r'<img src="([^"]+)"', page)


def raw(street: Street, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", street.web.port, timeout=10)
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    response = connection.getresponse()
    found = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    connection.close()
    return found


def files(street: Street) -> set[str]:
    return {path.name for path in street.photos.folder.iterdir()}


# ---------------------------------------------------------------- the way in and out


def test_from_the_form_to_the_history_and_back(street: Street, fire: str) -> None:
    page = get(street, street.path(told=told(street, fire))).text
    action = re.search(r'action="([^"]+)" enctype="multipart/form-data"', page)
    assert action
    assert upload(street, action[1], JPEG).status == 303
    kept = cleaned(JPEG)[1]
    sha256 = hashlib.sha256(kept).hexdigest()
    row = street.store.reader().execute(
        "SELECT person, note FROM entry WHERE case_id = ? AND what = 'photo'", (fire,)
    )
    assert tuple(row.fetchone()) == (street.case(fire).responsible, f"{sha256}.jpeg {len(kept)}")
    (address,) = shown(street, fire)
    status, headers, body = raw(street, address)
    assert (status, body) == (200, kept) and b"SecretPhone" not in body
    assert headers["content-type"] == "image/jpeg" and headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == f'inline; filename="{sha256[:12]}.jpeg"'
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["cache-control"] == "no-store" and "content-encoding" not in headers
    assert get(street, f"/case/{fire}").text.count(f'src="/case/{fire}/{sha256}.jpeg"') == 1
    assert raw(street, f"/case/{fire}/{sha256}.jpeg")[2] == kept


def test_two_uploads_of_the_same_picture_are_one(street: Street, fire: str) -> None:
    """The line broke before the answer: what was there already is a success, and nothing else."""
    path, before, acts = door(street, fire), files(street), len(street.acts)
    assert [upload(street, path, png(seed=1)).status for _ in range(2)] == [303, 303]
    assert len(street.acts) == acts + 1 and len(files(street) - before) == 1 and len(shown(street, fire)) == 1
    assert upload(street, path, png(seed=2)).status == 303
    assert len(shown(street, fire)) == 2, "another picture by the same form is another"


def test_the_file_is_there_before_the_event(
    street: Street, fire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what could not be committed is said, leaves an orphan, and may be sent again."""
    broken: Future[Any] = Future()
    broken.set_exception(sqlite3.OperationalError("disk full"))
    seen: list[set[str]] = []
    before = files(street)
    with monkeypatch.context() as patch:
        patch.setattr(street.pipeline, "_ask", lambda *_: (seen.append(files(street)), broken)[1])
        answer = upload(street, door(street, fire), png(seed=3))
    assert answer.status == 503 and "照片没有保存" in answer.text
    assert len(seen[0] - before) == 1 and shown(street, fire) == []
    assert upload(street, door(street, fire), png(seed=3)).status == 303 and len(shown(street, fire)) == 1


def test_a_picture_that_was_swapped_is_not_shown_and_an_edited_row_is_named(
    street: Street, fire: str
) -> None:
    upload(street, door(street, fire), png(seed=4))
    (address,) = shown(street, fire)
    (street.photos.folder / address.rpartition("/")[2]).write_bytes(png(seed=5))
    answer = get(street, address)
    assert answer.status == 410 and "与记录不符" in answer.text
    assert audit.verify(street.store.reader()).broken is None  # the history itself is whole: it convicts


def test_so_many_and_no_more(street: Street, fire: str) -> None:
    path = door(street, fire)
    assert {upload(street, path, png(seed=10 + n)).status for n in range(PHOTOS_MOST)} == {303}
    before = street.case(fire)
    answer = upload(street, path, png(seed=99))
    assert answer.status == 409 and f"{PHOTOS_MOST} 张" in answer.text and street.case(fire) == before


# ---------------------------------------------------------------- who has no business there


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.PHOTO])
def test_no_other_token_takes_a_picture(street: Street, burning: str, purpose: Purpose) -> None:
    before = files(street)
    upload(street, street.path(purpose, told(street, burning)), png(seed=20))
    assert files(street) == before and street.case(burning).photos == ()


def test_forged_expired_foreign(street: Street, fire: str) -> None:
    good, now_s, before = door(street, fire), street.clock.wall_ns() // 10**9, files(street)
    forged = good[:-9] + ("B" if good[-9] == "A" else "A") + good[-8:]
    assert upload(street, forged, png()).status in (403, 429)
    assert upload(street, door(street, fire, expires_s=now_s - 1), png()).status == 410
    assert upload(street, door(street, fire, case="01JD00000000000000000000XX"), png()).status == 410
    assert upload(street, door(street, fire, person="somebody-who-left"), png()).status == 403
    assert upload(street, good, png(), Origin="https://evil.example").status == 403
    assert upload(street, good, png(), Sec_Fetch_Site="cross-site").status == 403
    assert files(street) == before and street.case(fire).photos == ()


def test_looking_at_the_door_changes_nothing(street: Street, fire: str) -> None:
    before = street.case(fire)
    assert get(street, door(street, fire)).status == 403 and street.case(fire) == before


def test_a_picture_is_for_those_who_may_see_its_case(street: Street, fire: str) -> None:
    upload(street, door(street, fire), png(seed=21))
    (address,) = shown(street, fire)
    name = address.rpartition("/")[2]
    own = street.path(told=told(street, street.burn()))
    assert get(street, f"{own}/{name}").status == 404, "a picture of another case"
    assert get(street, address.replace("/c/", "/c/A")).status in (403, 429)
    past = street.path(told=told(street, fire), expires_s=street.clock.wall_ns() // 10**9 - 1)
    assert get(street, f"{past}/{name}").status == 410
    for purpose in (Purpose.PHOTO, Purpose.NOTE, Purpose.LIST):
        path = street.path(purpose, told(street, fire))
        assert get(street, f"{path}/{name}").status == 403
    assert get(street, f"/case/{fire}/{name}", X_Forwarded_For="203.0.113.7").status == 403
    assert ask(street, "POST", address, {}).status == 405


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2flink-key", "%2e%2e/link-key", "lilong.db", "../lilong.db", "%00", "x" * 4000],
    ids=range(6),
)
def test_no_path_leads_out_of_the_folder(street: Street, burning: str, name: str) -> None:
    for base in (street.path(told=told(street, burning)), f"/case/{burning}"):
        assert get(street, f"{base}/{name}").status == 404


def test_the_name_that_a_client_gives_is_nobodys(street: Street, fire: str) -> None:
    before = files(street)
    assert upload(street, door(street, fire), png(seed=22), filename="../../lilong.db").status == 303
    (fresh,) = files(street) - before
    assert re.fullmatch(r"[0-9a-f]{64}\.png", fresh)
    assert {path.name for path in street.photos.folder.parent.iterdir()} >= {"lilong.db", "photos"}


# ---------------------------------------------------------------- what is no picture


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (*form(b"<html>SecretPhone"), 415),
        (*form(b"GIF89a" + b"\0" * 50), 415),
        (*form(JPEG[:-1]), 415),
        (*form(b""), 422),
        (*form(JPEG, field="other"), 422),
        (JPEG, "image/jpeg", 400),
        (b"note=x", "application/x-www-form-urlencoded", 400),
        (form(JPEG)[0], "multipart/form-data", 400),
        (b"--frontier\r\nbroken", "multipart/form-data; boundary=frontier", 422),
        (b"--else\r\n", "multipart/form-data; boundary=frontier", 400),
    ],
    ids=[
        "html",
        "gif",
        "cut-off",
        "empty",
        "other-field",
        "bare",
        "urlencoded",
        "no-boundary",
        "broken",
        "else",
    ],
)
def test_what_is_no_picture_is_said_and_kept_nowhere(
    street: Street, burning: str, body: bytes, kind: str, status: int
) -> None:
    before = files(street)
    with telemetry.testing() as said:
        answer = send(street, door(street, burning), body, **{"Content-Type": kind})
    assert answer.status == status, answer.text
    assert files(street) == before and street.case(burning).photos == ()
    assert [one.event for one in said] == ["photo_refused"]


def test_too_large_is_read_to_its_end_and_said(street: Street, fire: str) -> None:
    before = files(street)
    answer = upload(street, door(street, fire), png() + b"\0" * BYTES_MOST)
    assert answer.status == 413 and "照片太大" in answer.text and files(street) == before


def test_what_has_no_end_is_cut_off(street: Street, fire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "POSTED_MOST", 10_000)
    monkeypatch.setattr(uploads, "BYTES_MOST", 5_000)
    assert upload(street, door(street, fire), png() + b"\0" * 60_000).status == 413


def test_a_full_disk_is_said(street: Street, fire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.adapters.photos.FREE_BYTES", 10**18)
    answer = upload(street, door(street, fire), png(seed=30))
    assert answer.status == 507 and "磁盘已满" in answer.text


def test_after_the_end_nothing_is_taken(street: Street, fire: str) -> None:
    path, before = door(street, fire), files(street)
    ask(street, "POST", street.path(Purpose.FALSE, told(street, fire)), {"reason": "drill"})
    assert street.case(fire).stage is Stage.FALSE
    assert upload(street, path, WEBP).status == 409 and files(street) == before
    assert "拍照留证" not in get(street, street.path(told=told(street, fire))).text


# ---------------------------------------------------------------- in bounded time


def slowly(street: Street, path: str, size: int) -> socket.socket:
    """A connection that has promised `size` bytes of a form."""
    wire = socket.create_connection(("127.0.0.1", street.web.port))
    wire.settimeout(10)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
    wire.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=frontier\r\n\r\n")
    return wire


def ended(wire: socket.socket) -> bool:
    with suppress(ConnectionResetError):
        return wire.recv(100) == b""
    return True


def test_drop_by_drop_loses_its_place(street: Street, fire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes earn time, and a few of them earn none to speak of."""
    monkeypatch.setattr(server, "SILENT_S", 0.2)
    with slowly(street, door(street, fire), 100_000) as wire:
        wire.sendall(b"--frontier\r\n")
        assert ended(wire)
    assert street.case(fire).photos == ()
    until(lambda: not street.web._server.server_state.tasks, 10)


def test_nobody_is_given_more_than_the_most(
    street: Street, fire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_S_MOST", 0.2)
    with slowly(street, door(street, fire), 100_000) as wire:
        wire.sendall(form(b"x" * 60_000)[0][:60_000])
        assert ended(wire)


def test_a_slow_line_has_the_time_its_bytes_earn(
    street: Street, fire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first half earns what its second half needs, long after a silent one would have been cut off."""
    body, _ = form(png(300, 300))
    half = len(body) // 2
    given: list[float] = []
    original = server._Impatient._give_time

    def noted(one: server._Impatient) -> None:
        original(one)
        assert one._deadline is not None
        given.append(one._deadline.when() - one._began_s)

    monkeypatch.setattr(server._Impatient, "_give_time", noted)
    with slowly(street, door(street, fire), len(body)) as wire:
        wire.sendall(body[:half])
        until(lambda: given and given[-1] > server.SILENT_S + half / server.BODY_BYTES_S, 10)
        wire.sendall(body[half:])
        assert wire.recv(12) == b"HTTP/1.1 303"
    assert len(street.case(fire).photos) == 1


def test_one_person_has_so_many_under_way(street: Street, fire: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's slow line keeps the others out."""
    monkeypatch.setattr(uploads, "UPLOADS_OF_ONE", 1)
    with slowly(street, door(street, fire), 100) as wire:
        until(lambda: _answer(street, door(street, fire)) == 503, 10)
        wire.sendall(b"-" * 100)
        assert wire.recv(12) == b"HTTP/1.1 400"
    assert _answer(street, door(street, fire)) == 303


def _answer(street: Street, path: str) -> int:
    return upload(street, path, png(seed=40)).status


def test_the_state_folder_is_no_part_of_the_site(street: Street, fire: str) -> None:
    upload(street, door(street, fire), png(seed=41))
    for name in files(street):
        for path in (f"/photos/{name}", f"/static/{name}", f"/static/../photos/{name}"):
            assert get(street, path).status == 404
    assert Path(street.photos.folder).name == "photos"
