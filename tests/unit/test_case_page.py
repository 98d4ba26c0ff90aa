"""What a person can do on the page behind the link: which buttons there are when, and what each says."""

import re

import msgspec
import pytest

from gateway.core.model import SECOND, Act, AlertState, Entry, Stage, Verb
from gateway.links import Links, Purpose
from gateway.web import pages, rows, words
from gateway.web.deps import Health
from tests.unit.test_case_life import FITTING, SMOKE, street
from tests.unit.test_resets import ALERT, CASE, TOLD, Site
from tests.unit.worlds import START_NS

FIRING = msgspec.structs.replace(ALERT, state=AlertState.FIRING, value=1.0)
CLEARED = msgspec.structs.replace(ALERT, state=AlertState.CLEARED)


@pytest.fixture
def opened(tmp_path):
    sites = []

    def make(stage, alert=FIRING, **changes):
        case = msgspec.structs.replace(CASE, stage=stage, **{"handled_by": "", **changes})
        sites.append(Site(tmp_path, alert=alert, case=case, knows=lambda: street(SMOKE)))
        return sites[-1]

    yield make
    for site in sites:
        site.web.stop()
        site.store.close()


def action(page, before):
    """Where the form posts to that holds these words."""
    forms = re.findall(r'<form method="post" action="([^"]+)"[^>]*>(.*?)</form>', page, re.S)
    return next((path for path, body in forms if before in body), "")


def of_person(site, person):
    told = msgspec.structs.replace(TOLD, person=person)
    return site.ask("GET", site.links.show(told, START_NS))[1]


def buttons(page):
    return re.findall(r"<button[^>]*>([^<]+)</button>", page)


def test_each_stage_has_its_buttons(opened):
    site = opened(Stage.SENT)
    assert buttons(site.ask("GET", site.path())[1]) == [
        "判为误报", "提交结果", "转交", "退单", "搁置", "记下", "我来处理", "已处理",
    ]  # fmt: skip


def test_at_work_there_is_no_third_acknowledgement_but_a_suspension(opened):
    site = opened(Stage.HANDLING, acknowledged_by="wang")
    assert buttons(site.ask("GET", site.path())[1]) == [
        "判为误报", "提交结果", "转交", "申请挂起", "搁置", "记下", "已处理",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("alert", "flagged", "late"), [(FIRING, False, True), (CLEARED, False, False), (CLEARED, True, True)]
)
def test_what_was_normal_again_in_time_is_late_on_no_screen(opened, alert, flagged, late):
    """As in the engine and the report: two minutes are for what stands, or for what had run out by then."""
    site = opened(Stage.SENT, alert=alert, overdue=flagged)
    db, known, case = site.store.reader(), street(SMOKE), rows.open_cases(site.store.reader())[0]
    now_ns = (case.clock_ns or case.opened_ns) + 600 * SECOND
    assert bool(pages.view_case(db, known, case, now_ns).overdue) is late
    health = Health(progressing=True, broker=True, store_writable=True)
    assert pages.view_console(db, known, health, frozenset(), now_ns).overdue_count == late


@pytest.mark.parametrize("flagged", [False, True])
def test_what_tells_nobody_runs_late_on_no_screen(opened, flagged):
    """On the shelf no clock runs out, in the engine as here; what had run out before stays so."""
    site = opened(Stage.SENT, silent=True, overdue=flagged)
    db, known, case = site.store.reader(), street(SMOKE), rows.open_cases(site.store.reader())[0]
    now_ns = (case.clock_ns or case.opened_ns) + 600 * SECOND
    assert bool(pages.view_case(db, known, case, now_ns).overdue) is flagged
    health = Health(progressing=True, broker=True, store_writable=True)
    assert pages.view_console(db, known, health, frozenset(), now_ns).overdue_count == flagged


def test_returning_says_why_by_a_closed_list(opened):
    site = opened(Stage.SENT)
    path = action(site.ask("GET", site.path())[1], "退单")
    assert site.ask("POST", path, {"reason": "whatever"})[0] == 422 and not site.acts
    assert site.ask("POST", path, {"reason": "not_mine", "note": "供电\x00公司的\n柜子 "})[0] == 303
    (act,) = site.acts
    assert (act.verb, act.note, act.reason) == (Verb.RETURN, "不归我单位管：供电 公司的 柜子", "")


def test_transferring_names_a_post_that_somebody_else_holds(opened):
    site = opened(Stage.ACKNOWLEDGED, acknowledged_by="wang")
    page = site.ask("GET", site.path())[1]
    assert "居委 李主任" in page and "物业 王经理" not in page
    assert site.ask("POST", action(page, "交给谁"), {"to": "committee", "note": "我在外地"})[0] == 303
    assert site.acts == [Act(0, 0, "01AAAA", "wang", Verb.TRANSFER, "我在外地", "link", to="committee")]


def test_transferring_offers_whoever_answers_here_or_above_by_name_alone(opened):
    site = opened(Stage.ACKNOWLEDGED, acknowledged_by="wang")
    page = site.ask("GET", site.path())[1]
    box = page[page.index('<select name="to"') : page.index("</select>", page.index('<select name="to"'))]
    assert re.findall(r'<option value="(\w+)">([^<]+)', box) == [
        ("li", "居委 李主任"),
        ("zhao", "街道 赵队长"),
    ]
    assert not re.search(r"1\d{10}|inbox", box), "nobody's address"


def test_transferring_goes_to_them_alone_and_says_why(opened):
    """A form can be written by hand: no stranger is made responsible by it."""
    site = opened(Stage.ACKNOWLEDGED, acknowledged_by="wang")
    path = action(site.ask("GET", site.path())[1], "交给谁")
    for wrong in ({"to": ""}, {"to": "nobody"}, {"to": "wang"}, {}, {"to": "li", "note": " "}):
        assert site.ask("POST", path, {"note": "我在外地", **wrong})[0] == 422
    assert not site.acts
    assert site.ask("POST", path, {"to": "li", "note": "我在外地"})[0] == 303
    assert (site.acts[0].to, site.acts[0].note) == ("li", "我在外地")


def test_the_page_says_who_has_it_now(opened):
    site = opened(Stage.FOUND, handed_on=True, responsible="li", word="我在外地", word_by="wang")
    page = of_person(site, "wang")
    assert "现由 李主任 负责，等待接手" in page and "王经理：我在外地" in page
    assert "现由" not in of_person(site, "li"), "he sees his buttons"


def test_once_somebody_has_taken_it_on_the_page_says_who(opened):
    page = of_person(opened(Stage.ACKNOWLEDGED, responsible="li", acknowledged_by="li"), "wang")
    assert "李主任 已接手" in page and "等待接手" not in page


def test_suspending_wants_words_and_a_day(opened):
    site = opened(Stage.ACKNOWLEDGED, acknowledged_by="wang")
    path = action(site.ask("GET", site.path())[1], "挂起多久")
    assert site.ask("POST", path, {"until": "2h", "note": "  "})[0] == 422 and not site.acts
    assert site.ask("POST", path, {"until": "2h", "note": "等配件"})[0] == 303
    assert (site.acts[0].until_ns, site.acts[0].note) == (7200 * SECOND, "等配件")


def test_done_may_say_how_and_labels_the_case(opened):
    site = opened(Stage.ACKNOWLEDGED, acknowledged_by="wang")
    page = site.ask("GET", site.path())[1]
    assert site.ask("POST", action(page, "提交结果"), {"reason": "fixed", "note": "换了插座"})[0] == 303
    assert (site.acts[0].reason, site.acts[0].note) == ("fixed", "已修复：换了插座")


def test_false_labels_the_case_by_the_reason(opened):
    site = opened(Stage.SENT)
    assert site.ask("POST", action(site.ask("GET", site.path())[1], "判为误报"), {"reason": "work"})[0] == 303
    assert (site.acts[0].reason, site.acts[0].note) == ("work", "正常施工或搬运")


def test_only_somebody_else_is_asked_to_verify(opened):
    """Red, done and normal."""
    site = opened(Stage.HANDLED, CLEARED, handled_by="wang")
    assert "核验通过" not in of_person(site, "wang")
    page = of_person(site, "li")
    assert buttons(page)[-1] == "核验通过" and "王经理 已报处理完成" in page
    assert site.ask("POST", action(page, "核验通过"), {})[0] == 303
    assert (site.acts[0].verb, site.acts[0].person) == (Verb.VERIFY, "li")
    forged = site.links.token(pages.grant_of(TOLD).but(Purpose.VERIFY))  # the doer's own
    assert site.ask("POST", f"/c/{forged}", {})[0] == 303 and len(site.acts) == 1


def test_not_verified_is_said_with_a_reason(opened):
    page = of_person(site := opened(Stage.HANDLED, CLEARED, handled_by="wang"), "li")
    assert "现场还没有处理好" in page and "不归我单位管" not in page
    assert site.ask("POST", action(page, "为什么退"), {"reason": "not_done"})[0] == 303
    assert (site.acts[0].verb, site.acts[0].note) == (Verb.RETURN, "现场还没有处理好")


def test_the_sensor_is_waited_for_first(opened):
    page = of_person(opened(Stage.HANDLED, FIRING, handled_by="wang"), "li")
    assert "核验通过" not in page


def test_a_suspension_that_was_asked_for_is_approved_by_another(opened):
    later = START_NS + 7200 * SECOND
    site = opened(Stage.ACKNOWLEDGED, acknowledged_by="wang", until_ns=later, word="等配件", word_by="wang")
    assert "批准挂起" not in buttons(of_person(site, "wang"))
    page = of_person(site, "li")
    assert "王经理申请挂起到 22:00（等配件）" in page
    assert site.ask("POST", action(page, "批准挂起"), {})[0] == 303 and site.acts[0].verb is Verb.APPROVE


def test_an_ended_case_has_no_buttons_and_takes_nothing(opened):
    site = opened(Stage.CLOSED, CLEARED)
    assert buttons(site.ask("GET", site.path())[1]) == []
    for purpose in (Purpose.NOTE, Purpose.VERIFY, Purpose.TRANSFER):
        token = site.links.token(pages.grant_of(TOLD).but(purpose))
        site.ask("POST", f"/c/{token}", {"note": "x", "to": "committee"})
    assert not site.acts


def test_a_word_is_escaped(opened):
    site = opened(Stage.RETURNED, word="<b>不归我</b>", word_by="wang", handed_on=True)
    page = of_person(site, "li")
    assert "&lt;b&gt;不归我" in page and "<b>不归我" not in page


def test_every_verb_that_a_page_carries_is_one_of_the_core(opened):
    assert {one.verb for one in Purpose} - {None} <= set(Verb)
    assert {"note", "transfer", "return", "suspend", "approve", "verify"} <= set(map(str, FITTING))
    assert Entry(case="c", wall_ns=0, what="note").what in words.ENTRIES and Links([b"k" * 32])
