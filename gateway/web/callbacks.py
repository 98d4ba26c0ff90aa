"""The door for providers: /callback/CHANNEL, by which receipts, replies and pressed buttons come in.

What a call says enters through the one queue, and the provider is answered as its channel wants only
once that is committed. Past the provider's patience it is answered 503, so that it calls again; a call
that was heard before waits for the first one and is answered alike.
401 not authenticated · 404 no such channel, or one that hears nothing · 413 too large · 400 unreadable ·
429 too many wrong calls · 503 too many at once, or the disk does not take it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway import telemetry
from gateway.channels.base import Call, Heard, Listening, Receipted, Replied
from gateway.core.model import SECOND, Act, Event, Receipt, Reply, Verb, World
from gateway.web.guard import Attempts
from gateway.web.rows import find_notification

ANSWER_S = 4.0  # of the 5 s that WeCom, the least patient, gives us: the rest is the way to it and back
BODY_BYTES_MOST = 256 * 1024  # 100 receipts in one push are about 30 kB
PENDING_MOST = 16  # calls of one channel under way
KEYS_MOST = 4_096  # of calls heard lately, of all channels
# What can be said by one press: false, return and reset want a reason, which the page asks for.
PRESSED = {verb.value: verb for verb in (Verb.ACKNOWLEDGE, Verb.DONE, Verb.VERIFY, Verb.APPROVE, Verb.AGREE)}

CALLBACKS = telemetry.counter(
    "lilong_callbacks_total",
    "Calls of providers by outcome: heard, again, refused, large, unreadable, busy",
    ["channel", "outcome"],
)

NO_GROUPS: Mapping[str, str] = {}
Said = Receipted | Replied
Make = Callable[[int, int], Event]


class _TurnedAway(Exception):
    """The call ends here; `status` is all that the caller learns."""

    def __init__(self, status: int, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.outcome, self.reason = status, outcome, reason


class Callbacks:
    """Takes calls on the web server's loop. `submit` is the pipeline's, `reader` the store's."""

    def __init__(
        self,
        listeners: Mapping[str, Listening],
        submit: Callable[[Make], Future[Any]],
        world: Callable[[], World],
        reader: Callable[[], sqlite3.Connection],
        now_ns: Callable[[], int] = time.time_ns,
        answer_s: float = ANSWER_S,
        groups: Mapping[str, str] = NO_GROUPS,
    ) -> None:
        self._listeners, self._submit, self._now_ns = listeners, submit, now_ns
        self._world, self._reader, self._answer_s = world, reader, answer_s
        self._groups = groups  # a channel that is part of another -> as whose its messages were sent
        self._attempts = Attempts()
        self._pending: Counter[str] = Counter()
        self._heard: OrderedDict[tuple[str, str], Sequence[Future[Any]]] = OrderedDict()

    async def take(self, request: Request) -> Response:
        channel = request.path_params["channel"]
        listener = self._listeners.get(channel)
        if listener is None:
            return self._turn_away(request, "", _TurnedAway(404, "refused", "no channel that listens"))
        try:
            return await self._in_turn(request, channel, listener)
        except _TurnedAway as away:
            return self._turn_away(request, channel, away)

    async def _in_turn(self, request: Request, channel: str, listener: Listening) -> Response:
        if self._pending[channel] >= PENDING_MOST:
            raise _TurnedAway(503, "busy", f"{PENDING_MOST} calls of it are under way")
        self._pending[channel] += 1
        try:
            return await asyncio.wait_for(self._hear(request, channel, listener), self._answer_s)
        except TimeoutError:
            raise _TurnedAway(503, "busy", "not committed in time") from None
        finally:
            self._pending[channel] -= 1

    async def _hear(self, request: Request, channel: str, listener: Listening) -> Response:
        body = await _read(request)
        at_s = self._now_ns() / SECOND
        try:
            heard = listener.hear(Call(dict(request.query_params), dict(request.headers), body, at_s))
        except ValueError as error:
            raise _TurnedAway(400, "unreadable", str(error)) from None
        if heard.status in (401, 403):
            raise _TurnedAway(heard.status, "refused", "not authenticated")
        outcome = await self._enter(channel, heard)
        CALLBACKS.labels(channel, outcome).inc()
        return Response(heard.body, heard.status, {"Content-Type": heard.content_type})

    async def _enter(self, channel: str, heard: Heard) -> str:
        """Returns once all that was said is committed; one that failed is forgotten, and may come again."""
        key = channel, heard.key
        before = self._heard.get(key)
        if before is not None and any(map(_failed, before)):
            before = None
        futures = self._submit_all(channel, heard.said) if before is None else before
        if heard.key and before is None:
            self._remember(key, futures)
        try:
            for future in futures:
                await asyncio.shield(asyncio.wrap_future(future))
        except Exception as error:  # stopping, a full disk: for the provider it is all the same
            raise _TurnedAway(503, "busy", type(error).__name__) from None
        return "heard" if before is None else "again"

    def _submit_all(self, channel: str, said: Sequence[Said]) -> list[Future[Any]]:
        channel = self._groups.get(channel, channel)
        made = [event_of(one, channel, self._world(), self._reader()) for one in said]
        for one, make in zip(said, made, strict=True):
            if make is None:
                telemetry.log("callback_unmatched", "warning", channel=channel, message_id=one.number)
        return [self._submit(make) for make in made if make is not None]

    def _remember(self, key: tuple[str, str], futures: Sequence[Future[Any]]) -> None:
        self._heard[key] = futures
        if len(self._heard) > KEYS_MOST:
            self._heard.popitem(last=False)

    def _turn_away(self, request: Request, channel: str, away: _TurnedAway) -> Response:
        """Who is not authenticated learns nothing."""
        address = request.client.host if request.client else ""
        if channel:  # else anybody could make up names of metrics
            CALLBACKS.labels(channel, away.outcome).inc()
        event = "callback_busy" if away.status == 503 else "callback_refused"
        telemetry.log(event, "warning", channel=channel, address=address, reason=away.reason)
        wrong = away.status in (401, 403, 404) and self._attempts.too_many(address)
        headers = {"Retry-After": "60"} if wrong else {}
        return PlainTextResponse("", 429 if wrong else away.status, {**headers, "Connection": "close"})


def _failed(future: Future[Any]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def event_of(said: Said, channel: str, world: World, db: sqlite3.Connection) -> Make | None:
    """What enters the queue for it; None when it is about nothing of ours, or nobody of ours said it."""
    if isinstance(said, Receipted):
        heard = (channel, said.number, said.delivered, said.detail, said.failure)
        return lambda at, wall_ns: Receipt(at, wall_ns, *heard)
    if said.text in list(Verb):
        return _pressed(said, channel, world, db)
    answered = (channel, said.address, said.text, said.number)
    return lambda at, wall_ns: Reply(at, wall_ns, *answered)


def _pressed(said: Replied, channel: str, world: World, db: sqlite3.Connection) -> Make | None:
    """A button of a card, as the act of whoever pressed it on the case that the card is about."""
    verb = PRESSED.get(said.text)
    card = find_notification(db, said.number)
    person = _whose(said.address, channel, world)
    if verb is None or card is None or card.channel != channel or person is None:
        return None
    return lambda at, wall_ns: Act(at, wall_ns, card.case, person, verb, "", channel)


def _whose(address: str, channel: str, world: World) -> str | None:
    """The person behind an address. WeCom gives userids back in another case than it was given."""
    known = {one.reach.get(channel, "").casefold(): one.id for one in world.persons.values()}
    return known.get(address.casefold()) if address else None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MOST:
            raise _TurnedAway(413, "large", f"more than {BODY_BYTES_MOST} bytes")
    return bytes(body)
