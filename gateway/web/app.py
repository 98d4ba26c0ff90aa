"""The routes. GET never changes anything; what a person does enters as an Act through the pipeline.

| path | for | from where |
| --- | --- | --- |
| /c/{token} /c/{token}/{photo} | the person a message was sent to | anywhere the box can be reached |
| /l/{token} /l/{token}/{case} | the person a digest was sent to: all that is open for them | anywhere |
| /healthz /readyz | probes | anywhere |
| /intake/{device} | what cameras, platforms and people's apps post (gateway/web/intake.py) | anywhere |
| /callback/{channel} | providers: receipts, replies, pressed buttons (gateway/web/callbacks.py) | anywhere |
| / /case/{id} /case/{id}/{photo} | the console | this box alone |
| /inbox/{person} /metrics | pretended phones, Prometheus | this box alone |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway import telemetry
from gateway.core.effective import rule_of
from gateway.core.model import SECOND, Act, Alert, Case, Level, Photo, World
from gateway.core.photos import PHOTOS_MOST
from gateway.links import Grant, LinkError, Purpose
from gateway.web import pages, rows, words
from gateway.web.chart import Chart, draw
from gateway.web.deps import Deps
from gateway.web.guard import Attempts, Guard, Used, is_local, is_own, read_form
from gateway.web.uploads import Refused, Uploads

HERE = Path(__file__).parent
COMMIT_S = 10.0  # the pipeline commits in milliseconds; a full disk may make it wait
HISTORY_S = 1.5  # a page without its chart is better than a chart without its page
NOTES = {  # status -> title, words, English
    400: ("这个请求看不懂", "请返回上一页再试。", "bad request"),
    403: ("这个链接不能用", "请从收到的消息里重新打开链接。", "this link is not valid"),
    404: ("没有这个页面", "请从收到的消息里重新打开链接。", "not found"),
    405: ("这里不能这样做", "请返回上一页再试。", "not allowed"),
    409: (
        "照片没有保存",
        f"这件事已经结案，或照片已经够多（一件事最多 {PHOTOS_MOST} 张）。",
        "closed, or enough",
    ),
    410: ("链接已过期", "链接只在 24 小时内有效。如果事情还没处理，请联系值班室。", "this link has expired"),
    413: ("内容太长", "请写短一些。", "too large"),
    415: ("这不是照片", "只收 JPEG、PNG、WebP 照片，且必须完整。", "not a picture"),
    422: ("请选择误报的原因", "返回上一页，选择一个原因后再提交。", "choose a reason"),
    429: ("尝试次数太多", "请一分钟后再试。", "too many attempts"),
    503: ("暂时没有记下来", "您的操作没有保存，请稍后再按一次。", "not saved, please try again"),
}
NO_PHOTO = {  # the words of an upload, where they are others
    413: ("照片太大", "每张最多 6 MB。请在相机里选小一些的尺寸，再拍一张。", "too large"),
    422: ("还没有选照片", "返回上一页，拍一张或选一张后再上传。", "no photo chosen"),
    503: ("暂时没有收下", "照片没有保存，请稍后再传一次。", "not saved, please try again"),
    507: ("放不下了", "主机磁盘已满，照片没有保存；请用“写备注”说明，并告诉管理员。", "no room on the disk"),
}
NO_LONGER = ("看不到这张照片", "已过保存期，或与记录不符。", "no longer kept, or not what was recorded")
PICTURE_POLICY = "default-src 'none'; sandbox"
NEED_WORDS = (Purpose.NOTE, Purpose.SUSPEND, Purpose.TRANSFER, Purpose.SHELVE)
NOBODY = ("请选择交给谁", "返回上一页，从名单里选一个人。", "choose whom")
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
            Route("/c/{token}/{photo}", site.photo_by_token, methods=["GET"]),
            Route("/l/{token}", site.list_by_token, methods=["GET"]),
            Route("/l/{token}/{case}", site.case_of_list, methods=["GET"]),
            Route("/", site.local(site.console)),
            Route("/fragment", site.local(site.console_fragment)),
            Route("/case/{case}", site.local(site.case_by_id)),
            Route("/case/{case}/{photo}", site.local(site.photo_by_id)),
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
        middleware=[Middleware(Guard), Middleware(GZipMiddleware)],  # to telephones on a slow line
        exception_handlers={HTTPException: site.refused},
    )


class _Site:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._attempts, self._used = Attempts(), Used()
        self._uploads = Uploads(deps.photos) if deps.photos else None
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
        purposes = [one for one in pages.ACTING if one is not Purpose.PHOTO or self._uploads]
        buttons = pages.buttons(case, grant, self._deps.links, self._standing(case), purposes, seen)
        return await self._case_page(case, buttons, grant.person, f"/c/{request.path_params['token']}")

    async def act(self, request: Request) -> Response:
        granted = self._granted(request)
        if isinstance(granted, Response):
            return granted
        grant, case = granted
        if grant.purpose.verb is None or not is_own(request, self._deps.public_url):
            return self._note(403)
        if grant.purpose is Purpose.PHOTO:
            return await self._take_photo(request, grant, case)
        form = await read_form(request)
        if form is None:
            return self._note(413)
        if (lack := self._lack(grant, case, form)) is not None:
            return self._note(422, lack)
        token = request.path_params["token"]
        allowed = pages.allowed(case, grant.purpose, self._standing(case), grant.person)
        news = allowed and self._used.take(token)
        if news and not await self._submit(grant, form):
            self._used.give_back(token)
            return self._note(503)
        return RedirectResponse(self._way_back(grant, form), 303)

    def _lack(self, grant: Grant, case: Case, form: dict[str, str]) -> tuple[str, str, str] | None:
        """What the form of an act should have said."""
        reasons, deps = pages.REASONS.get(grant.purpose, {}), self._deps
        if reasons and form.get("reason") not in reasons:
            return NOTES[422]
        asked = deps.world(), case, form.get("to", ""), grant.person, deps.now_ns()
        if grant.purpose is Purpose.TRANSFER and not pages.may_have(*asked):
            return NOBODY
        return NO_WORDS if grant.purpose in NEED_WORDS and not _words(form) else None

    def _standing(self, case: Case) -> pages.Standing:
        db = self._deps.reader()
        return pages.standing_of(rows.alerts_of(db, case.id), self._deps.world(), case, rows.shelves(db))

    def _granted(self, request: Request) -> tuple[Grant, Case] | Response:
        """Who may do what with which case; or the page that says why not."""
        grant = self._read(request)
        if isinstance(grant, Response):
            return grant
        case = rows.find_case(self._deps.reader(), grant.case)
        return self._note(410) if case is None else (grant, case)

    def _read(self, request: Request) -> Grant | Response:
        """What the link of a person of ours grants; or the page that says why not."""
        try:
            grant = self._deps.links.read(request.path_params["token"], self._deps.now_ns())
        except LinkError as error:
            return self._wrong(request, error)
        if grant.person not in self._deps.world().persons:
            return self._note(403, ("您已不在这个岗位", "这件事已交给接任的人。", "no longer on duty"))
        return grant

    def _wrong(self, request: Request, error: LinkError) -> Response:
        if error.expired:
            return self._note(410)
        telemetry.log("link_refused", "warning", reason=str(error))
        address = request.client.host if request.client else ""
        return self._note(429 if self._attempts.too_many(address) else 403)

    # ------------------------------------------------------------ pictures

    async def _take_photo(self, request: Request, grant: Grant, case: Case) -> Response:
        """Again with the same picture, when the line broke before our answer came, is the same as once."""
        if self._uploads is None or not pages.allowed(case, grant.purpose, pages.Standing(), grant.person):
            return self._note(409)
        try:
            photo = await self._uploads.take(request, grant.person)
        except Refused as refused:
            return self._note(refused.status, NO_PHOTO.get(refused.status))
        case = rows.find_case(self._deps.reader(), case.id) or case
        if photo.sha256 not in case.photos:
            if len(case.photos) >= PHOTOS_MOST:
                return self._note(409)
            if not await self._submit(grant, {}, photo):
                return self._note(503, NO_PHOTO[503])
        return RedirectResponse(self._way_back(grant, {}), 303)

    async def photo_by_token(self, request: Request) -> Response:
        granted = self._granted(request)
        if isinstance(granted, Response):
            return granted
        grant, case = granted
        return await self._photo(request, case.id) if grant.purpose is Purpose.SHOW else self._note(403)

    async def photo_by_id(self, request: Request) -> Response:
        return await self._photo(request, request.path_params["case"])

    async def _photo(self, request: Request, case: str) -> Response:
        """One of those that the history of that case names, and no other file."""
        photo = rows.photos_of(self._deps.reader(), case).get(request.path_params["photo"])
        if photo is None or self._deps.photos is None:
            return self._note(404)
        data = await to_thread.run_sync(self._deps.photos.read, photo)
        if data is None:
            return self._note(410, NO_LONGER)
        headers = {
            "Content-Disposition": f'inline; filename="{photo.sha256[:12]}.{photo.kind}"',
            "Content-Security-Policy": PICTURE_POLICY,
        }
        return Response(data, media_type=f"image/{photo.kind}", headers=headers)

    # ------------------------------------------------------------ the list behind a digest

    async def list_by_token(self, request: Request) -> Response:
        grant = self._read(request)
        if isinstance(grant, Response):
            return grant
        if grant.purpose is not Purpose.LIST:
            return self._note(403)
        deps, world = self._deps, self._deps.world()
        view = pages.view_list(deps.reader(), world, grant.person, deps.now_ns())
        return self._html("list.html", list=view, token=request.path_params["token"])

    async def case_of_list(self, request: Request) -> Response:
        """To the page of a case of theirs; its link holds no longer than the list's."""
        grant = self._read(request)
        if isinstance(grant, Response):
            return grant
        case = rows.find_case(self._deps.reader(), request.path_params["case"])
        if grant.purpose is not Purpose.LIST or case is None or not rows.concerns(case, grant.person):
            return self._note(403)
        shown = replace(grant, case=case.id, purpose=Purpose.SHOW)
        return RedirectResponse(f"/c/{self._deps.links.token(shown)}", 303)

    # ------------------------------------------------------------ into the pipeline

    async def _submit(self, grant: Grant, form: dict[str, str], photo: Photo | None = None) -> bool:
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
            return Act(at, wall_ns, *who, to=to, until_ns=until_ns, reason=code, photo=photo)

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
        if case is None:
            return self._note(404)
        return await self._case_page(case, pages.Buttons(), "", f"/case/{quote(case.id)}")

    async def _case_page(self, case: Case, buttons: pages.Buttons, person: str, path: str) -> Response:
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
            receivers=pages.receivers(world, case, person, deps.now_ns()) if buttons.transfer else {},
            shelf_spans=pages.shelf_spans(world, case) if buttons.shelve else {},
            mine=mine,
            person=person,
            local=not person,
            path=path,
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
        return self._html("console.html", console=self._console(), beside=self._deps.beside)

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
