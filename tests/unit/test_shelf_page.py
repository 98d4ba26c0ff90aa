"""What is shelved, where people see it: the page behind the link, the console, the command line."""

import re

import msgspec
import pytest

from gateway.adapters.store import Record, Store
from gateway.core.model import SECOND, Level, Shelf, Stage, Tick, Verb
from gateway.links import Purpose
from gateway.web import pages
from tests.unit.test_case_life import street
from tests.unit.test_case_page import FIRING, action, buttons, of_person
from tests.unit.test_cli import fill
from tests.unit.test_resets import CASE, TOLD, Site
from tests.unit.worlds import SMOKE, START_NS

SHELF = Shelf(
    id="01SHELF", rule="smoke", device="cab-1", component="", level=Level.RED, person="wang",
    reason="换探头", since_ns=START_NS, until_ns=START_NS + 7200 * SECOND, until_at=0, case="01AAAA",
)  # fmt: skip
ON_IT = msgspec.structs.replace(FIRING, shelved=SHELF.id)


@pytest.fixture
def opened(tmp_path):
    sites = []

    def make(alert=FIRING, shelf=None):
        case = msgspec.structs.replace(CASE, stage=Stage.SENT, handled_by="")
        sites.append(Site(tmp_path, alert=alert, case=case, knows=lambda: street(SMOKE)))
        if shelf is not None:
            sites[-1].store.commit([Record(Tick(2, START_NS), [shelf])])
        return sites[-1]

    yield make
    for site in sites:
        site.web.stop()
        site.store.close()


def test_shelving_wants_words_and_an_end_that_its_level_allows(opened):
    site = opened()
    page = site.ask("GET", site.path())[1]
    path = action(page, "搁置多久")
    assert re.findall(r'<option value="(\w+)">', page[page.index("搁置多久") :])[:3] == ["30m", "2h"]
    assert site.ask("POST", path, {"until": "2h", "note": " "})[0] == 422 and not site.acts
    assert site.ask("POST", path, {"until": "2h", "note": "换探头"})[0] == 303
    (act,) = site.acts
    assert (act.verb, act.case, act.person, act.note) == (Verb.SHELVE, "01AAAA", "wang", "换探头")
    assert act.until_ns == 7200 * SECOND


def test_only_somebody_else_is_asked_to_agree(opened):
    site = opened(shelf=SHELF)
    assert "同意搁置" not in buttons(of_person(site, "wang"))
    path = action(of_person(site, "li"), "同意搁置")
    assert site.ask("POST", path, {})[0] == 303
    assert [(one.verb, one.person) for one in site.acts] == [(Verb.AGREE, "li")]
    forged = site.links.token(pages.grant_of(TOLD).but(Purpose.AGREE))  # of whoever asked for it
    assert site.ask("POST", f"/c/{forged}", {})[0] == 303 and len(site.acts) == 1


def test_what_is_on_the_shelf_can_be_taken_off_it(opened):
    site = opened(ON_IT, msgspec.structs.replace(SHELF, in_force=True))
    page = site.ask("GET", site.path())[1]
    assert "搁置" not in buttons(page)
    assert site.ask("POST", action(page, "取消搁置"), {})[0] == 303
    assert site.acts[0].verb is Verb.UNSHELVE


def test_a_link_preview_shelves_nothing(opened):
    site = opened()
    path = action(site.ask("GET", site.path())[1], "搁置多久")
    assert site.ask("GET", path)[0] == 403 and not site.acts


@pytest.mark.parametrize(("in_force", "more"), [(True, ""), (False, "等待另一人同意")])
def test_the_console_lists_what_is_shelved(opened, in_force, more):
    site = opened(shelf=msgspec.structs.replace(SHELF, in_force=in_force))
    page = site.ask("GET", "/")[1]
    assert "充电柜烟雾 · cab-1 搁置到 22:00，不高于红色报警（王经理：换探头）" in page and more in page


def test_the_command_lists_and_names_it(run, folder, monkeypatch):
    fill(folder)
    assert "no such alert" in run("alerts", "--shelved").output
    store = Store(folder / "state")
    store.commit(
        [Record(Tick(3, START_NS), [SHELF, msgspec.structs.replace(SHELF, id="01OVER", ended_ns=1)])]
    )
    store.close()
    found = run("alerts", "--shelved").output
    assert found.split() == [
        "2026-11-02", "22:00:00", "red", "smoke", "cab-1", "wang", "(a", "second", "person", "must",
        "agree)", "换探头", "01SHELF",
    ]  # fmt: skip
    asked = []
    monkeypatch.setattr("gateway.cli_cases.ask_gateway", lambda path, do, **more: asked.append(more) or [])
    for name in ("SHELF", "AAAA", "slot-hot|cab-1", "slot-hot|cab-1|slot-3", "cab-1"):
        assert run("act", name, "unshelve", "--person", "li").exit_code == 0
    assert [one["case"] for one in asked] == [
        "01SHELF", "01AAAA", "slot-hot|cab-1|", "slot-hot|cab-1|slot-3", "cab-1",
    ]  # fmt: skip


def test_an_older_versions_store_has_no_shelf(run, folder):
    fill(folder)
    store = Store(folder / "state")
    store._db.execute("DROP TABLE shelf")
    store.close()
    assert "no such alert" in run("alerts", "--shelved").output
    assert "lilong" in run("act", "AAAA", "unshelve", "--person", "li").output  # that nobody answers
