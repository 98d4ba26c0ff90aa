"""The report as a page: on a screen nothing of a table is cut off, on a telephone only the tables scroll."""

from collections import Counter

import pytest

from gateway.core.figures import LEGS, Leg, Tally
from gateway.core.model import SECOND
from gateway.reporting import page
from gateway.reporting.gather import Report
from tests.unit.test_case_life import street
from tests.unit.test_figures import C, course
from tests.unit.worlds import START_NS

DAYS_S = [86_400.0 + 12 * 3600]  # the longest a span is written: 1 天 12 小时
A4 = {"width": 688, "height": 1000}  # between the margins
CUT = "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth).length"
BROAD = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def report(tmp_path):
    """The address of one with long names and large numbers."""
    day_ns = 86_400 * SECOND
    found = Report(
        since_ns=START_NS, until_ns=START_NS + day_ns, now_ns=START_NS + day_ns, by="property", place="",
        world=street(), total=busy(),
    )  # fmt: skip
    found.groups = {"安居物业管理有限公司向阳分公司": busy(), "宛南六村第二居民委员会": busy()}
    found.late, found.late_count = [course(C, id="01M6E5NNB800000AG000000007")], 1
    (tmp_path / "report.html").write_text(page.as_html(found), "utf-8")
    return f"file://{tmp_path}/report.html"


def busy():
    legs = {leg: Leg(lasted_s=DAYS_S, judged=1000, late=84) for leg in LEGS}
    counts = {"found": 1200, "closed": 1100, "open": 80, "late_now": 30, "false": Counter(sensor=40)}
    return Tally(legs=legs, **counts)


def test_nothing_is_cut_off_on_a_screen(chromium, report):
    tab = chromium.new_page(viewport={"width": 1000, "height": 800})
    tab.goto(report)
    assert tab.locator(".wide td").count() > 20
    assert (tab.evaluate(CUT), tab.evaluate(BROAD)) == (0, 0)
    tab.close()


def test_on_a_telephone_the_tables_scroll_and_the_page_does_not(phone, report):
    tab = phone.new_page()
    tab.goto(report)
    assert tab.evaluate(CUT) > 0, "or this looks at nothing"
    assert tab.evaluate(BROAD) == 0


def test_on_paper_every_column_is_there(chromium, report):
    tab = chromium.new_page(viewport=A4)
    tab.emulate_media(media="print")
    tab.goto(report)
    assert (tab.evaluate(CUT), tab.evaluate(BROAD)) == (0, 0)
    tab.close()
