"""A latched alarm is reset by a person with a reason: from the link's page, or at the box."""

import http.client
import re
from concurrent.futures import Future
from unittest.mock import Mock
from urllib.parse import urlencode

import msgspec
import pytest

from gateway.adapters.store import Record, Store
from gateway.app import App
from gateway.core.model import Act, Alert, AlertState, Case, Level, Noted, Notification, Stage, Tick, Verb
from gateway.links import Links, Purpose
from gateway.web import Deps, Health, WebServer, create_app, pages
from tests.unit.worlds import START_NS, world

CASE = Case(
    id="01AAAA", alerts=("a1",), device="cab-1", component="", place="yard", rule="smoke", level=Level.RED,
    stage=Stage.HANDLED, opened_ns=START_NS, changed_ns=START_NS, responsible="wang", handled_by="wang",
)  # fmt: skip
ALERT = Alert(
    id="a1", rule="smoke", device="cab-1", component="", case="01AAAA", level=Level.RED, worst=Level.RED,
    state=AlertState.LATCHED, raised_ns=START_NS, changed_ns=START_NS, quantity="smoke", value=0.0, limit=0.5,
)  # fmt: skip
TOLD = Notification(
    id="n1", case="01AAAA", alert="a1", kind="raised", level=Level.RED, person="wang", channel="inbox",
    address="wang", title="t", text="t", created_ns=START_NS, due_at=0,
)  # fmt: skip


class Site:
    """The pages over a store that holds one case; what they submit is kept and nothing comes of it."""

    def __init__(self, folder, alert=ALERT, case=CASE, knows=world):
        self.store, self.acts, self.links = Store(folder / "state"), [], Links([b"k" * 32])
        self.store.commit([Record(Tick(1, START_NS), [case, alert])])
        self.web = WebServer(
            create_app(
                Deps(
                    reader=self.store.reader, world=knows, submit=self._submit, links=self.links,
                    health=lambda: Health(progressing=True, broker=True, store_writable=True),
                    now_ns=lambda: START_NS,
                )
            ),
            "127.0.0.1",
            0,
        )  # fmt: skip
        self.web.start()

    def _submit(self, make):
        self.acts.append(make(0, 0))
        done = Future()
        done.set_result([])
        return done

    def ask(self, method, path, form=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=10)
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        connection.request(method, path, urlencode(form) if form is not None else None, kind)
        response = connection.getresponse()
        found = response.status, response.read().decode()
        connection.close()
        return found

    def path(self):
        return self.links.show(TOLD, START_NS)


@pytest.fixture
def opened(tmp_path):
    sites = []

    def make(**how):
        sites.append(Site(tmp_path, **how))
        return sites[-1]

    yield make
    for site in sites:
        site.web.stop()
        site.store.close()


def reset_path(page):
    found = re.search(r'action="([^"]+)" class="reset"', page)
    return found[1] if found else ""


def test_the_page_asks_for_a_reset_with_a_reason(opened):
    site = opened()
    status, page = site.ask("GET", site.path())
    assert status == 200 and "传感器已恢复，须人工复位，复位前不能结案" in page
    assert site.ask("POST", reset_path(page), {})[0] == 422
    assert site.ask("POST", reset_path(page), {"reason": "because"})[0] == 422 and not site.acts
    assert site.ask("POST", reset_path(page), {"reason": "checked"})[0] == 303
    assert site.acts == [Act(0, 0, "01AAAA", "wang", Verb.RESET, "现场确认，已恢复正常", "link")]


def test_a_link_preview_resets_nothing(opened):
    site = opened()
    path = reset_path(site.ask("GET", site.path())[1])
    assert site.ask("GET", path)[0] == 403 and not site.acts


def test_a_link_that_shows_is_no_reset(opened):
    """Each token is good for one purpose."""
    site = opened()
    assert site.ask("POST", site.path(), {"reason": "checked"})[0] == 403 and not site.acts


def test_nothing_latched_has_no_button_and_takes_no_reset(opened):
    site = opened(alert=msgspec.structs.replace(ALERT, state=AlertState.FIRING, value=1.0))
    assert not reset_path(site.ask("GET", site.path())[1])
    forged = site.links.token(pages.grant_of(TOLD).but(Purpose.RESET))
    assert site.ask("POST", f"/c/{forged}", {"reason": "checked"})[0] == 303 and not site.acts


def test_called_false_it_can_still_be_reset(opened):
    site = opened(case=msgspec.structs.replace(CASE, stage=Stage.FALSE))
    page = site.ask("GET", site.path())[1]
    assert reset_path(page) and "复位前不能结案" not in page


# ---------------------------------------------------------------- at the box


def box(effects):
    app, future = App.__new__(App), Future()
    future.set_result(effects)
    app.world, app.pipeline = world(), Mock()
    app.pipeline.submit.return_value = future
    return app


def test_the_command_line_says_who_and_why():
    app = box([])
    assert app._reset({"case": "01AAAA", "person": "wang", "reason": "看过了"}) == []
    (make,) = app.pipeline.submit.call_args.args
    assert make(3, 4) == Act(3, 4, "01AAAA", "wang", Verb.RESET, "看过了", "cli")


def test_what_was_not_reset_is_said():
    app = box([Noted("act_ignored", {"reason": "nothing is latched"})])
    assert app._reset({"case": "01AAAA", "person": "wang", "reason": "x"}) == ["nothing is latched"]
    assert app._reset({"case": "01AAAA", "person": "nobody", "reason": "x"}) == ["no person nobody"]
    assert app.pipeline.submit.call_count == 1


def test_a_symptom_never_leads_the_page():
    symptom = msgspec.structs.replace(ALERT, id="a2", hidden_by="a1", state=AlertState.FIRING)
    assert pages.leading_alert([symptom, ALERT]) == ALERT


def test_any_act_at_the_box_says_who_and_why():
    app = box([])
    asked = {"case": "01AAAA", "person": "wang", "verb": "transfer", "note": "我在外地", "to": "committee"}
    assert app._act({**asked, "reason": "", "until_ns": 0}) == []
    (make,) = app.pipeline.submit.call_args.args
    assert make(3, 4) == Act(3, 4, "01AAAA", "wang", Verb.TRANSFER, "我在外地", "cli", to="committee")
    assert app._act({**asked, "person": "nobody", "reason": "", "until_ns": 0}) == ["no person nobody"]
