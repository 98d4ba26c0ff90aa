"""The pages in real Chromium, as a finger on a phone meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.model import Stage
from gateway.links import Purpose
from tests.browser.conftest import PHONE, VIOLATIONS
from tests.browser.street import CABINET, Street
from tests.waiting import until

pytestmark = pytest.mark.browser
DESK = {"width": 1280, "height": 800}
FINGER_PX = 44  # smaller than this is missed with gloves on

# A device's name is whatever an installer types; each of these has run somewhere once.
HOSTILE = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '\\"><svg onload=window.hacked=1>',
    "'-window.hacked=1-'",
    "{{7*7}}${window.hacked=1}",
    "</title></style><script>window.hacked=1</script>",
    "<a href=javascript:window.hacked=1>点我</a>",
]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with Street(tmp_path) as one:
        yield one


def visit(context: Any, street: Street, path: str) -> Any:
    """A page that has failed the test if it breaks its own policy or throws."""
    page = context.new_page()
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.trouble.append(said.text))
    page.on("dialog", lambda dialog: (page.trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.goto(street.url + path)
    return page


def sound(page: Any) -> None:
    assert page.trouble == []
    assert page.evaluate("window.violations") == []


def fire(street: Street) -> str:
    street.cabinet(hot=81.5)
    (case,) = street.cases()
    street.told()
    until(lambda: street.case(case.id).stage is Stage.SENT, 10)
    return case.id


# ---------------------------------------------------------------- the whole way, by hand


def test_inbox_from_message_to_closed_case(street: Street, phone: Any) -> None:
    page = visit(phone, street, "/inbox/wang")
    page.get_by_text("还没有消息").wait_for()
    case = fire(street)
    page.get_by_text("充电仓过热").first.wait_for()  # it comes by itself

    page.get_by_role("button", name="我来处理").tap()
    page.locator(".row.mine", has_text="我来处理").wait_for()
    assert (street.case(case).stage, street.case(case).acknowledged_by) == (Stage.ACKNOWLEDGED, "wang")
    assert page.get_by_role("button", name="我来处理").count() == 0

    page.get_by_role("button", name="已处理").tap()  # the slot is still hot
    page.get_by_text("传感器仍显示异常").wait_for()
    assert street.case(case).stage is Stage.HANDLING

    street.cabinet(hot=30)
    page.get_by_role("button", name="已处理").tap()
    until(lambda: street.case(case).stage is Stage.HANDLED, 10)
    street.pass_time(310)
    until(lambda: street.case(case).verifier != "", 10)
    assert street.case(case).stage is Stage.HANDLED, "red: somebody else must look"
    other = visit(phone, street, street.path(case=case, person=street.case(case).verifier))
    other.get_by_role("button", name="核验通过").tap()
    page.get_by_text("已结案").wait_for()
    assert street.case(case).stage is Stage.CLOSED
    sound(other)
    sound(page)


def test_link_from_acknowledged_to_false_alarm(street: Street, phone: Any) -> None:
    case = fire(street)
    page = visit(phone, street, street.path())
    page.get_by_role("button", name="我来处理").tap()
    page.get_by_text("这件事由您负责").wait_for()
    assert street.case(case).stage is Stage.ACKNOWLEDGED

    page.get_by_text("这是误报").tap()
    page.get_by_role("button", name="判为误报").tap()  # without a reason the browser itself stays
    assert street.case(case).stage is Stage.ACKNOWLEDGED
    page.get_by_label("原因").select_option(label="测试或演练")
    page.get_by_role("button", name="判为误报").tap()
    page.locator(".stage", has_text="误报").wait_for()
    assert street.case(case).stage is Stage.FALSE
    assert page.get_by_role("button").count() == 0
    sound(page)


def test_works_without_any_script(street: Street, chromium: Any) -> None:
    """Some chats' own browsers have none."""
    context = chromium.new_context(viewport=PHONE, java_script_enabled=False)
    case = fire(street)
    page = context.new_page()
    page.goto(f"{street.url}/inbox/wang")
    page.get_by_role("button", name="我来处理").click()
    page.locator(".row.mine", has_text="我来处理").wait_for()
    assert street.case(case).stage is Stage.ACKNOWLEDGED
    context.close()


def test_the_newest_is_in_sight_without_any_script(street: Street, chromium: Any) -> None:
    for slot in (1, 2, 3, 4):
        street.cabinet(hot=81.5, slot=slot)
    street.told(at_least=4)
    context = chromium.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{street.url}/inbox/wang")
    box = page.get_by_role("button", name="我来处理").last.bounding_box()
    assert box["y"] > 0 and box["y"] + box["height"] <= PHONE["height"]
    context.close()


@pytest.mark.parametrize("path", ["/", "/inbox/wang"])
def test_a_page_that_is_no_longer_kept_fresh_says_so(street: Street, phone: Any, path: str) -> None:
    """Nobody shall trust an empty list of a gateway that has died."""
    page = visit(phone, street, path)
    assert page.locator("body.stale").count() == 0
    phone.set_offline(True)
    page.locator("body.stale").wait_for()
    phone.set_offline(False)
    page.locator("body:not(.stale)").wait_for()


def test_a_dark_room_is_not_lit_up(street: Street, chromium: Any) -> None:
    """No white surface anywhere, and words that can be read on what is there."""
    fire(street)
    context = chromium.new_context(viewport=PHONE, color_scheme="dark")
    for path in (street.path(), "/inbox/wang", "/", "/c/wrong"):
        page = visit(context, street, path)
        light = page.evaluate("""() => [...document.querySelectorAll("body, body *")].map(element => [
            element.className, getComputedStyle(element).backgroundColor.match(/[\\d.]+/g).map(Number)
        ]).filter(([name, [r, g, b, a]]) => a !== 0 && r + g + b > 600).map(([name]) => name)""")
        assert light == []
    context.close()


def test_a_press_that_was_not_saved_says_so(
    street: Street, phone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fire(street)
    page = visit(phone, street, "/inbox/wang")

    def broken(asked: Any) -> Any:
        raise RuntimeError("stopping")

    monkeypatch.setattr(street.pipeline, "_ask", broken)
    page.get_by_role("button", name="我来处理").tap()
    page.get_by_text("暂时没有记下来").wait_for()


def test_console_follows(street: Street, phone: Any) -> None:
    page = visit(phone, street, "/")
    page.get_by_text("一切正常").wait_for()
    case = fire(street)
    page.locator(f'a[href="/case/{case}"]').tap()
    page.get_by_role("heading", name="充电仓过热").wait_for()
    assert page.get_by_role("button").count() == 0  # the console looks; people act with their own links
    sound(page)


# ---------------------------------------------------------------- how it lies in the hand


@pytest.mark.parametrize("size", [PHONE, DESK, {"width": 320, "height": 568}], ids=str)
def test_nothing_sticks_out_and_buttons_fit_a_finger(
    street: Street, chromium: Any, size: dict[str, int]
) -> None:
    case = fire(street)
    now = street.clock.wall_ns()
    street.samples = [(now - (60 - i) * 60 * 10**9, 30.0 + i) for i in range(60)]
    context = chromium.new_context(viewport=size)
    context.add_init_script(VIOLATIONS)
    for path in (street.path(), "/inbox/wang", "/", f"/case/{case}", "/c/wrong"):
        page = visit(context, street, path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
        for button in page.get_by_role("button").all():
            box = button.bounding_box()
            assert box is None or box["height"] >= FINGER_PX
        if path.startswith("/c/") and path != "/c/wrong":
            box = page.get_by_role("button", name="我来处理").bounding_box()
            assert box["y"] + box["height"] <= size["height"]  # in sight without scrolling
            assert page.locator("polyline").count() == 1
        if path != "/c/wrong":
            sound(page)
    context.close()


def test_a_new_message_does_not_tear_the_reader_away(street: Street, phone: Any) -> None:
    for slot in (1, 2, 3, 4):
        street.cabinet(hot=81.5, slot=slot)
    street.told(at_least=4)
    page = visit(phone, street, "/inbox/wang")
    talk = page.locator("#talk")
    page.locator("article").nth(3).wait_for()
    talk.evaluate("e => { e.scrollTop = 0 }")
    street.cabinet(hot=81.5, slot=5)
    page.locator("article").nth(4).wait_for(state="attached")
    assert talk.evaluate("e => e.scrollTop") < 50


# ---------------------------------------------------------------- hostile names


def test_names_are_words_and_nothing_else(tmp_path: Path, phone: Any) -> None:
    hostile = " ".join(HOSTILE)
    named = (
        "says: 向阳一村充电区1号柜",
        "says: 向阳一村充电区,",
        "says: 王经理",
    )  # a device, its place, a person
    renamed = {name: f'says: "{hostile}"' + "," * name.endswith(",") for name in named}
    with Street(tmp_path, renamed) as street:
        case = fire(street)
        street.samples = [(street.clock.wall_ns() - i * 10**9, float(i)) for i in range(30)]
        for path in (street.path(), "/inbox/wang", "/", f"/case/{case}"):
            page = visit(phone, street, path)
            page.get_by_text("<script>window.hacked=1</script>").locator("visible=true").first.wait_for()
            assert page.evaluate("window.hacked") is None
            sound(page)


def test_the_policy_itself_holds(street: Street, phone: Any) -> None:
    """The canary of the test above: were something written unescaped, this is what would stop it."""
    fire(street)
    page = visit(phone, street, street.path())
    page.evaluate("""() => {
        const script = document.createElement("script"); script.textContent = "window.hacked = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=/static/none onerror='window.hacked=1'>");
    }""")
    until(lambda: len(page.evaluate("window.violations")) >= 2, 10)
    assert page.evaluate("window.hacked") is None
    with pytest.raises(AssertionError):
        sound(page)


def test_expired_link_is_kind(street: Street, phone: Any) -> None:
    fire(street)
    page = visit(phone, street, street.path(Purpose.SHOW, expires_s=1))
    page.get_by_text("链接已过期").wait_for()
    assert CABINET in {case.device for case in street.cases()}


RECURS = "    recurrence: {within: 7d, times: 3} # the third in a week is the committee's affair too\n"


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Street]:
    """A street whose own rule of e-bikes asks for a picture."""
    with Street(tmp_path, {RECURS: f"{RECURS}    steps: [case, notify, event, snapshot]\n"}) as one:
        yield one


def test_a_cameras_picture_is_a_link_that_nothing_opens_by_itself(asking: Street, phone: Any) -> None:
    """A finger meets it, the longest name of a host breaks the line, and nobody there hears of the page."""
    street, camera, host = asking, "lift-heping-b1-1", f"{'pictures' * 20}.example"
    street.say(camera, {"ebike": 1, "confidence": 0.9})
    street.pass_time(21)
    street.say(camera, {"ebike": 1, "confidence": 0.9, "snapshot_ref": f"https://{host}/a.jpg"})
    (case,) = street.cases()
    until(lambda: street.case(case.id).stage is Stage.SENT, 10)
    told = next(one for one in street.told(case.responsible) if one.case == case.id)
    asked: list[str] = []
    phone.on("request", lambda request: asked.append(request.url))
    page = visit(phone, street, street.path(told=told))
    link = page.get_by_role("link", name="看图片")
    assert link.get_attribute("href") == f"https://{host}/a.jpg"
    assert link.bounding_box()["height"] >= FINGER_PX
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert asked and all(url.startswith(street.url) for url in asked)
    sound(page)
