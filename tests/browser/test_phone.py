"""Proof, hand-over and list as a finger on a telephone meets them, on a slow line and on none."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.model import Stage
from gateway.core.photos import read
from gateway.links import Purpose
from tests.browser.conftest import PHONE
from tests.browser.street import Street
from tests.browser.test_pages import FINGER_PX, fire, sound, visit
from tests.contract.test_phones import Street as Practice
from tests.pictures import JPEG, png
from tests.waiting import until

pytestmark = pytest.mark.browser
FIRST_LOAD_BYTES = 14_000  # one window of a fresh connection, and some three seconds of 2G
TAPS_MOST = 3  # from the message to "mine"


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with Street(tmp_path) as one:
        yield one


def a_file(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": data}


def photos(street: Street, case: str) -> list[bytes]:
    """Those of its history, as they lie on the disk."""
    notes = street.store.reader().execute(
        "SELECT note FROM entry WHERE case_id = ? AND what = 'photo' ORDER BY seq", (case,)
    )
    found = [read(note) for (note,) in notes]
    return [street.photos.read(photo) or b"" for photo in found if photo]


def size_of(jpeg: bytes) -> tuple[int, int]:
    at = next(i for i in range(len(jpeg)) if jpeg[i] == 0xFF and jpeg[i + 1] in (0xC0, 0xC2))
    height, width = struct.unpack_from(">HH", jpeg, at + 5)
    return width, height


# ---------------------------------------------------------------- proof


def test_a_photo_is_made_small_sent_and_shown(street: Street, phone: Any) -> None:
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("拍照留证").tap()
    page.locator("#photo").set_input_files([a_file("IMG_1.png", png(2560, 20))])
    until(lambda: photos(street, case), 10)
    (kept,) = photos(street, case)
    assert size_of(kept) == (1280, 10) and b"Exif" not in kept
    page.get_by_text("王经理 拍照留证").wait_for()  # the page as it is now
    assert street.case(case).stage is Stage.SENT, "proof is no acknowledgement"
    page.get_by_text("看照片").tap()
    picture = page.locator(".history img")
    until(lambda: picture.evaluate("one => one.complete && one.naturalWidth") == 1280, 10)
    sound(page)


def test_a_photo_lies_the_right_way_up(street: Street, phone: Any) -> None:
    """The sample is 24 x 16 and says that it lies on its side."""
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("拍照留证").tap()
    page.locator("#photo").set_input_files([a_file("IMG_1.jpg", JPEG)])
    until(lambda: photos(street, case), 10)
    assert size_of(photos(street, case)[0]) == (16, 24)


def test_a_photo_goes_without_any_script(street: Street, chromium: Any) -> None:
    """As it is, by the form; and it turns the right way up all the same."""
    case = fire(street)
    context = chromium.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto(street.url + street.path())
    page.get_by_text("拍照留证").click()
    page.locator("#photo").set_input_files([a_file("../../IMG_1.jpg", JPEG)])
    page.get_by_role("button", name="上传照片").click()
    page.get_by_text("王经理 拍照留证").wait_for()
    (kept,) = photos(street, case)
    assert size_of(kept) == (24, 16) and b"SecretPhone" not in kept
    page.get_by_text("看照片").click()
    box = page.locator(".history img").bounding_box()
    assert box["height"] > box["width"] * 1.2, "its Exif says which way is up"
    context.close()


def test_what_is_no_photo_is_said_on_the_page(street: Street, phone: Any) -> None:
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("拍照留证").tap()
    page.locator("#photo").set_input_files([a_file("IMG_1.png", b"no picture at all")])
    page.get_by_text("有照片没有被收下").wait_for()
    assert photos(street, case) == []
    assert page.evaluate("localStorage.length") == 0, "it is not tried for ever"


def test_without_a_signal_it_waits_and_goes_by_itself(street: Street, phone: Any) -> None:
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("拍照留证").tap()
    phone.set_offline(True)
    page.locator("#photo").set_input_files([a_file("a.png", png(seed=1)), a_file("b.png", png(seed=9))])
    page.get_by_text("照片已存在本机").wait_for()
    assert photos(street, case) == []
    phone.set_offline(False)
    until(lambda: len(photos(street, case)) == 2, 10)
    page.get_by_text("王经理 拍照留证").first.wait_for()
    assert page.evaluate("localStorage.length") == 0


def test_a_page_that_was_closed_sends_when_it_is_opened_again(street: Street, phone: Any) -> None:
    """Also behind another link to the same case; never into another case."""
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("拍照留证").tap()
    phone.set_offline(True)
    page.locator("#photo").set_input_files([a_file("a.png", png())])
    page.get_by_text("照片已存在本机").wait_for()
    page.close()
    phone.set_offline(False)
    street.cabinet(hot=81.5, slot=5)
    (other,) = [one for one in street.cases() if one.id != case]
    told = next(one for one in street.told("wang", 2) if one.case == other.id)
    elsewhere = visit(phone, street, street.path(told=told))
    elsewhere.get_by_text("拍照留证").wait_for()
    assert photos(street, other.id) == photos(street, case) == []
    visit(phone, street, street.path(told=street.told()[0], nonce="another"))
    until(lambda: len(photos(street, case)) == 1, 10)
    assert photos(street, other.id) == []


def test_an_answer_that_got_lost_makes_no_second_photo(street: Street, phone: Any) -> None:
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("拍照留证").tap()
    lost: list[str] = []

    def lose(route: Any) -> None:
        if route.request.method == "POST" and not lost:
            lost.append(route.request.url)
            route.fetch(max_redirects=0)  # it arrives
            route.abort()  # and nobody hears of it
        else:
            route.continue_()

    page.route("**/c/*", lose)
    page.locator("#photo").set_input_files([a_file("a.png", png())])
    page.get_by_text("照片已存在本机").wait_for()
    assert len(photos(street, case)) == 1
    page.evaluate("dispatchEvent(new Event('online'))")
    page.get_by_text("王经理 拍照留证").wait_for()
    assert len(photos(street, case)) == 1 and page.evaluate("localStorage.length") == 0


# ---------------------------------------------------------------- hand-over and list


def test_handed_on_the_page_says_who_has_it(street: Street, phone: Any) -> None:
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_text("转交他人").tap()
    page.get_by_role("button", name="转交").tap()  # without whom and why the browser itself stays
    name = page.locator("#to option").nth(1).inner_text()
    page.get_by_label("交给谁").select_option(index=1)
    page.get_by_label("为什么转交").fill("我在外地")
    page.get_by_role("button", name="转交").tap()
    page.get_by_text("负责，等待接手").wait_for()
    assert street.world.persons[street.case(case).responsible].says in name
    assert street.case(case).word == "我在外地"
    sound(page)


@pytest.mark.parametrize("width", [320, 390])
def test_the_list_fits_and_leads_on(street: Street, chromium: Any, width: int) -> None:
    for slot in (1, 2, 3):
        street.cabinet(hot=81.5, slot=slot)
    told = street.told(at_least=3)[-1]
    context = chromium.new_context(viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto(street.url + street.path(Purpose.LIST, told, case="").replace("/c/", "/l/"))
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0 and page.locator("a.line").count() == 3
    assert all(one.bounding_box()["height"] >= FINGER_PX for one in page.locator("a.line").all())
    page.locator("a.line").first.tap()
    page.get_by_role("button", name="我来处理").wait_for()
    context.close()


# ---------------------------------------------------------------- the practice telephones


def test_a_practice_phone_shows_what_comes_and_takes_a_press(tmp_path: Path, phone: Any) -> None:
    practice = Practice(tmp_path)
    with practice.server:
        page = phone.new_page()
        page.goto(f"{practice.server.url}/")
        page.get_by_text("王经理的手机").tap()
        page.get_by_text("还没有消息").wait_for()
        practice.send("wecom")
        page.get_by_role("heading", name="充电仓过热").wait_for()  # it comes by itself
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
        for one in (*page.get_by_role("button").all(), *page.locator("a").all()):
            assert one.bounding_box()["height"] >= FINGER_PX
        page.get_by_role("button", name="收到").tap()
        page.get_by_text("已点“收到”").wait_for()
        assert [way for way, _, _ in practice.phones.calls] == ["wecom"]


# ---------------------------------------------------------------- a slow line


def test_from_the_message_to_mine_in_three_taps(street: Street, phone: Any) -> None:
    case = fire(street)
    taps = 1  # on the link in the message
    page = visit(phone, street, street.path())
    box = page.get_by_role("button", name="我来处理").bounding_box()
    assert box["y"] + box["height"] <= PHONE["height"], "without scrolling"
    page.get_by_role("button", name="我来处理").tap()
    taps += 1
    page.get_by_text("这件事由您负责").wait_for()
    assert street.case(case).acknowledged_by == "wang" and taps <= TAPS_MOST


def test_the_first_load_is_small(street: Street, chromium: Any) -> None:
    """All that a telephone fetches before the page stands: packed, heads and chart included."""
    fire(street)
    now = street.clock.wall_ns()
    street.samples = [(now - (60 - i) * 60 * 10**9, 30.0 + i % 7) for i in range(60)]
    context = chromium.new_context(viewport=PHONE)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    loaded: list[int] = []
    wire.on("Network.loadingFinished", lambda said: loaded.append(int(said["encodedDataLength"])))
    page.goto(street.url + street.path(), wait_until="networkidle")
    print(f"first load {sum(loaded)} bytes in {len(loaded)} answers")
    assert 2 <= len(loaded) <= 4 and 2_000 < sum(loaded) <= FIRST_LOAD_BYTES
    context.close()
