"""The routes. GET never changes anything; what a person does enters as an Act through the pipeline.

| path | for | from where |
| --- | --- | --- |
| /c/{token} | the person a message was sent to | anywhere the box can be reached |
| /healthz /readyz | probes | anywhere |
| /intake/{device} | what cameras, platforms and people's apps post (gateway/web/intake.py) | anywhere |
| /callback/{channel} | providers: receipts, replies, pressed buttons (gateway/web/callbacks.py) | anywhere |
| / /case/{id} /inbox/{person} /metrics | the console, the demo's phones, Prometheus | this box alone |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway import telemetry
from gateway.core.effective import rule_of
from gateway.core.model import SECOND, Act, Alert, Case, Level, World
from gateway.links import Grant, LinkError, Purpose
from gateway.web import pages, rows, words
from gateway.web.chart import Chart, draw
from gateway.web.deps import Deps
from gateway.web.guard import Attempts, Guard, Used, is_local, is_own, read_form

HERE = Path(__file__).parent
COMMIT_S = 10.0  # the pipeline commits in milliseconds; a full disk may make it wait
HISTORY_S = 1.5  # a page without its chart is better than a chart without its page
NOTES = {  # status -> title, words, English
    400: ("这个请求看不懂", "请返回上一页再试。", "bad request"),
    403: ("这个链接不能用", "请从收到的消息里重新打开链接。", "this link is not valid"),
    404: ("没有这个页面", "请从收到的消息里重新打开链接。", "not found"),
    405: ("这里不能这样做", "请返回上一页再试。", "not allowed"),
    410: ("链接已过期", "链接只在 24 小时内有效。如果事情还没处理，请联系值班室。", "this link has expired"),
    413: ("内容太长", "请写短一些。", "too large"),
    422: ("请选择误报的原因", "返回上一页，选择一个原因后再提交。", "choose a reason"),
    429: ("尝试次数太多", "请一分钟后再试。", "too many attempts"),
    503: ("暂时没有记下来", "您的操作没有保存，请稍后再按一次。", "not saved, please try again"),
}
NEED_WORDS = (Purpose.NOTE, Purpose.SUSPEND)
NO_WORDS = ("请写几个字", "返回上一页，写明原因后再提交。", "say why")
LOCAL_ONLY = (
    "这个页面只在网关本机上打开",
    "请在网关主机上访问，或使用 SSH 隧道。",
    "only on the gateway itself",
)

Page = Callable[[Request], Awaitable[Response]]


def create_app(deps: Deps) -> Starlette:
    """The whole site. Everything but `history` answers on the caller's event loop, within milliseconds."""
    site = _Site(deps)
    return Starlette(
        routes=[
            Route("/c/{token}", site.case_by_token, methods=["GET"]),
            Route("/c/{token}", site.act, methods=["POST"]),
            Route("/", site.local(site.console)),
            Route("/fragment", site.local(site.console_fragment)),
            Route("/case/{case}", site.local(site.case_by_id)),
            Route("/inbox/{person}", site.local(site.inbox)),
            Route("/inbox/{person}/messages", site.local(site.inbox_messages)),
            Route("/metrics", site.local(site.metrics)),
            Route("/healthz", site.healthz),
            Route("/readyz", site.readyz),
            *([Route("/intake/{device}", deps.intake.take, methods=["POST", "PUT"])] if deps.intake else []),
            *(
                [Route("/callback/{channel}", deps.callbacks.take, methods=["GET", "POST"])]
                if deps.callbacks
                else []
            ),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: site.refused},
    )


class _Site:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._attempts, self._used = Attempts(), Used()
        self._one_at_a_time = CapacityLimiter(1)  # charts read files; more at once would only be slower
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["unbroken"] = words.unbroken

    def _html(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(**values), status)

    def _note(self, status: int, note: tuple[str, str, str] | None = None) -> HTMLResponse:
        title, text, english = note or NOTES.get(status, NOTES[400])
        return self._html("note.html", status, title=title, text=text, english=english)

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._note(error.status_code)

    def local(self, page: Page) -> Page:
        """That page, for browsers on this box."""

        async def guarded(request: Request) -> Response:
            return await page(request) if is_local(request) else self._note(403, LOCAL_ONLY)

        return guarded

    # ------------------------------------------------------------ the handler's page

    async def case_by_token(self, request: Request) -> Response:
        granted = self._granted(request)
        if isinstance(granted, Response):
            return granted
        grant, case = granted
        if grant.purpose is not Purpose.SHOW:
            return self._note(403)
        seen = rows.newest_entry(self._deps.reader(), case.id)
        buttons = pages.buttons(case, grant, self._deps.links, self._standing(case), seen=seen)
        return await self._case_page(case, buttons, grant.person)

    async def act(self, request: Request) -> Response:
        granted = self._granted(request)
        if isinstance(granted, Response):
            return granted
        grant, case = granted
        if grant.purpose is Purpose.SHOW or not is_own(request, self._deps.public_url):
            return self._note(403)
        form = await read_form(request)
        if form is None:
            return self._note(413)
        reasons = pages.REASONS.get(grant.purpose, {})
        if reasons and form.get("reason") not in reasons:
            return self._note(422)
        token = request.path_params["token"]
        if grant.purpose in NEED_WORDS and not _words(form):
            return self._note(422, NO_WORDS)
        allowed = pages.allowed(case, grant.purpose, self._standing(case), grant.person)
        news = allowed and self._used.take(token)
        if news and not await self._submit(grant, form):
            self._used.give_back(token)
            return self._note(503)
        return RedirectResponse(self._way_back(grant, form), 303)

    def _standing(self, case: Case) -> pages.Standing:
        return pages.standing_of(rows.alerts_of(self._deps.reader(), case.id), self._deps.world(), case)

    def _granted(self, request: Request) -> tuple[Grant, Case] | Response:
        """Who may do what with which case; or the page that says why not."""
        try:
            grant = self._deps.links.read(request.path_params["token"], self._deps.now_ns())
        except LinkError as error:
            return self._wrong(request, error)
        case = rows.find_case(self._deps.reader(), grant.case)
        if case is None:
            return self._note(410)
        if grant.person not in self._deps.world().persons:
            return self._note(403, ("您已不在这个岗位", "这件事已交给接任的人。", "no longer on duty"))
        return grant, case

    def _wrong(self, request: Request, error: LinkError) -> Response:
        if error.expired:
            return self._note(410)
        telemetry.log("link_refused", "warning", reason=str(error))
        address = request.client.host if request.client else ""
        return self._note(429 if self._attempts.too_many(address) else 403)

    async def _submit(self, grant: Grant, form: dict[str, str]) -> bool:
        """True once it is committed."""
        verb = grant.purpose.verb
        assert verb is not None
        known = {**pages.REASONS.get(grant.purpose, {}), **pages.RESULTS.get(grant.purpose, {})}
        reason = form.get("reason", "") if form.get("reason") in known else ""
        note = "：".join(part for part in (known.get(reason, ""), _words(form)) if part)
        channel = "inbox" if _from_inbox(form) else "link"
        code = reason if grant.purpose in pages.CODED else ""
        to, span_s = form.get("to", "")[: pages.NOTE_MOST], words.SPANS.get(form.get("until", ""), (0,))[0]

        def make(at: int, wall_ns: int) -> Act:
            until_ns = wall_ns + span_s * SECOND if span_s else 0
            who = grant.case, grant.person, verb, note, channel
            return Act(at, wall_ns, *who, to=to, until_ns=until_ns, reason=code)

        with suppress(Exception):  # stopping, a full disk, too slow: for the person it is all the same
            future = self._deps.submit(make)
            await asyncio.wait_for(asyncio.wrap_future(future), COMMIT_S)
            return True
        return False

    def _way_back(self, grant: Grant, form: dict[str, str]) -> str:
        if _from_inbox(form):
            return f"/inbox/{grant.person}"
        return f"/c/{self._deps.links.token(grant.but(Purpose.SHOW))}"

    async def case_by_id(self, request: Request) -> Response:
        case = rows.find_case(self._deps.reader(), request.path_params["case"])
        return await self._case_page(case, pages.Buttons(), "") if case else self._note(404)

    async def _case_page(self, case: Case, buttons: pages.Buttons, person: str) -> Response:
        deps, world = self._deps, self._deps.world()
        view = pages.view_case(deps.reader(), world, case, deps.now_ns())
        view = pages.with_chart(view, await self._chart(case, world))
        mine = bool(person) and person in (case.acknowledged_by, case.handled_by)
        return self._html(
            "case.html",
            case=view,
            buttons=buttons,
            reasons=words.REASONS,
            resets=words.RESETS,
            results=words.RESULTS,
            returns=words.REJECTS if buttons.verify else words.RETURNS,
            spans={key: text for key, (_, text) in words.SPANS.items()},
            receivers=pages.receivers(world, case, person, deps.now_ns()) if buttons.transfer else (),
            mine=mine,
            local=not person,
        )

    async def _chart(self, case: Case, world: World) -> Chart | None:
        alert = pages.leading_alert(rows.alerts_of(self._deps.reader(), case.id))
        if alert is None or not alert.quantity:
            return None
        now_ns = self._deps.now_ns()
        until_ns = now_ns if alert.state != "cleared" else min(now_ns, alert.changed_ns + pages.CHART_NS // 4)
        wanted = (alert.device, alert.component, alert.quantity, until_ns - pages.CHART_NS, until_ns)
        with suppress(Exception):  # the archive may be away; the person must see the page all the same
            samples = await asyncio.wait_for(
                to_thread.run_sync(
                    self._deps.history, *wanted, abandon_on_cancel=True, limiter=self._one_at_a_time
                ),
                HISTORY_S,
            )
            return draw(samples, alert.quantity, _limits(alert, world), world.timezone)
        return None

    # ------------------------------------------------------------ the inbox

    async def inbox(self, request: Request) -> Response:
        person = self._deps.world().persons.get(request.path_params["person"])
        if person is None or not self._deps.inboxes:
            return self._note(404)
        return self._html("inbox.html", person=person, bubbles=self._bubbles(person.id))

    async def inbox_messages(self, request: Request) -> Response:
        person = self._deps.world().persons.get(request.path_params["person"])
        if person is None or not self._deps.inboxes:
            return self._note(404)
        return self._html("messages.html", bubbles=self._bubbles(person.id))

    def _bubbles(self, person: str) -> list[pages.Bubble]:
        deps = self._deps
        return pages.view_inbox(deps.reader(), deps.world(), person, deps.inboxes, deps.links, deps.now_ns())

    # ------------------------------------------------------------ the console and the probes

    async def console(self, request: Request) -> Response:
        return self._html("console.html", console=self._console())

    async def console_fragment(self, request: Request) -> Response:
        return self._html("cases.html", console=self._console())

    def _console(self) -> pages.Console:
        deps = self._deps
        return pages.view_console(deps.reader(), deps.world(), deps.health(), deps.inboxes, deps.now_ns())

    async def metrics(self, request: Request) -> Response:
        return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def healthz(self, request: Request) -> Response:
        health = self._deps.health()
        return JSONResponse({"progressing": health.progressing}, 200 if health.progressing else 503)

    async def readyz(self, request: Request) -> Response:
        health = self._deps.health()
        parts = {
            "progressing": health.progressing,
            "broker": health.broker,
            "store": health.store_writable,
            "config": health.config_ok,
            "channels_failing": list(health.failing),
        }
        return JSONResponse(parts, 200 if health.ready else 503)


def _words(form: dict[str, str]) -> str:
    """A person's own words: one line, without what is no letter, sign or space."""
    text = "".join(one if one.isprintable() else " " for one in form.get("note", ""))
    return " ".join(text.split())[: pages.NOTE_MOST]


def _from_inbox(form: dict[str, str]) -> bool:
    return form.get("back") == "inbox"


def _limits(alert: Alert, world: World) -> list[tuple[Level, float]]:
    """The limits to draw: as values of the quantity itself, so none for rules about a difference."""
    rule = rule_of(world, alert.rule, alert.device)
    if rule is None or rule.when or rule.relative_to or pages.is_state(alert.quantity):
        return []
    values = [(one.level, one.above if one.above is not None else one.below) for one in rule.limits]
    return [(level, value) for level, value in values if value is not None]
