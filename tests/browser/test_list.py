"""The list behind a digest: all that is open for one person, red first, and nothing of anybody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.digest import digest
from gateway.core.model import Notification, Stage
from gateway.links import Purpose
from tests.browser.street import CABINET, Street
from tests.browser.test_site import get, post, told
from tests.waiting import until

OTHERS = "cabinet-heping-1"  # its property post is held by somebody else


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Three cases of Wang's, the first of them yellow, and one that is not his."""
    with Street(tmp_path_factory.mktemp("street")) as one:
        one.cabinet(hot=57.0, slot=1)
        one.pass_time(90)
        one.cabinet(hot=57.0, slot=1)
        one.cabinet(hot=81.5, slot=2)
        one.cabinet(hot=81.5, slot=3)
        one.cabinet(hot=81.5, slot=4, device=OTHERS)
        until(lambda: all(case.stage is Stage.SENT for case in one.cases()), 10)
        yield one


def ours(street: Street) -> list[str]:
    return [case.id for case in street.cases() if case.device == CABINET]


def listed(street: Street, **changes: Any) -> str:
    """Where the link of a digest leads."""
    changes = {"case": "", **changes}
    return street.path(Purpose.LIST, told(street, ours(street)[0]), **changes).replace("/c/", "/l/")


def hrefs(page: str) -> list[str]:
    return re.findall(r'href="(/l/[^"]+)"', page)


def test_the_very_link_of_a_digest_lists_what_is_open_red_first(street: Street) -> None:
    messages = street.told("wang", 3)
    one = digest(sorted(messages, key=lambda told: -told.level))
    page = get(street, street.links.show(one, street.clock.wall_ns()))
    assert page.status == 200 and "王经理 未结案 3 件" in page.text
    found = [href.rpartition("/")[2] for href in hrefs(page.text)]
    assert sorted(found) == sorted(ours(street))
    levels = [street.case(case).level for case in found]
    assert levels == sorted(levels, reverse=True) and len(set(levels)) > 1
    assert "action=" not in page.text, "nothing can be done on it"


def test_each_leads_to_its_own_page_with_its_own_buttons(street: Street) -> None:
    case = ours(street)[-1]
    page = get(street, listed(street)).text
    (href,) = [one for one in hrefs(page) if one.endswith(case)]
    answer = get(street, href)
    assert answer.status == 303
    shown = get(street, answer.headers["location"])
    assert shown.status == 200 and case in shown.text
    grant = street.links.read(answer.headers["location"].rpartition("/")[2], street.clock.wall_ns())
    mother = street.links.read(listed(street).rpartition("/")[2], street.clock.wall_ns())
    assert (grant.case, grant.person, grant.purpose) == (case, "wang", Purpose.SHOW)
    assert grant.expires_s <= mother.expires_s, "its children do not outlive it"


def test_nobody_elses_case_can_be_reached_by_it(street: Street) -> None:
    (foreign,) = [case for case in street.cases() if case.device == OTHERS]
    assert "wang" not in foreign.told
    assert foreign.id not in get(street, listed(street)).text
    assert get(street, f"{listed(street)}/{foreign.id}").status == 403
    assert get(street, f"{listed(street)}/01JD00000000000000000000XX").status == 403


def test_it_acts_on_nothing_and_no_other_token_lists(street: Street) -> None:
    path, acts = listed(street), len(street.acts)
    for wrong in (path, path.replace("/l/", "/c/"), f"{path}/{ours(street)[0]}"):
        assert post(street, wrong, {"note": "x"}).status in (403, 405, 410)
    with_case = listed(street, case=ours(street)[0])  # even of a case, were one signed
    assert post(street, with_case.replace("/l/", "/c/"), {"note": "x"}).status == 403
    assert get(street, with_case.replace("/l/", "/c/")).status == 403
    assert len(street.acts) == acts
    for purpose in Purpose:
        if purpose is not Purpose.LIST:
            other = street.path(purpose, told(street, ours(street)[0])).replace("/c/", "/l/")
            assert get(street, other).status == 403
            assert get(street, f"{other}/{ours(street)[0]}").status == 403


def test_forged_expired_foreign(street: Street) -> None:
    good, case = listed(street), ours(street)[0]
    forged = good[:-9] + ("B" if good[-9] == "A" else "A") + good[-8:]
    past = listed(street, expires_s=street.clock.wall_ns() // 10**9 - 1)
    gone = listed(street, person="somebody-who-left")
    for path in ("", f"/{case}"):
        assert get(street, forged + path).status in (403, 429)
        assert get(street, past + path).status == 410
        assert get(street, gone + path).status == 403


def test_replayed_it_shows_what_is_open_then(street: Street) -> None:
    """It may be opened again and again: a list is no press."""
    street.cabinet(hot=81.5, slot=7)
    (fresh,) = [case for case in street.cases() if case.component == "slot-7"]
    until(lambda: street.case(fresh.id).stage is Stage.SENT, 10)
    assert "未结案 4 件" in get(street, listed(street)).text
    path = street.path(Purpose.FALSE, told(street, fresh.id))
    assert post(street, path, {"reason": "drill"}).status == 303
    assert "未结案 3 件" in get(street, listed(street)).text
    nobody = min(street.world.persons.keys() - {person for case in street.cases() for person in case.told})
    assert "没有未结案件" in get(street, listed(street, person=nobody)).text


def test_a_hundred_cases_fit_a_slow_line(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """The long address stands in each line; packed, it costs nothing."""
    case = street.case(ours(street)[0])
    many = [replace(case, id=f"01JD{number:022d}") for number in range(100)]
    monkeypatch.setattr("gateway.web.rows.cases_told_to", lambda db, person: many)
    page = get(street, listed(street), Accept_Encoding="identity")
    assert len(hrefs(page.text)) == 100
    assert packed(street, listed(street)) < 8_000


def packed(street: Street, path: str) -> int:
    """Bytes of an answer as a browser gets it."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", street.web.port, timeout=10)
    connection.request("GET", path, headers={"Accept-Encoding": "gzip, deflate"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.headers["content-encoding"] == "gzip"
    return len(body)


def test_a_digest_is_no_single_message(street: Street) -> None:
    """The link of one says its case, that of several none: the worst case alone would hide the others."""
    one: Notification = street.told("wang", 3)[0]
    assert "/c/" in street.links.show(one, street.clock.wall_ns())
    assert "/l/" in street.links.show(digest(street.told("wang", 3)), street.clock.wall_ns())
