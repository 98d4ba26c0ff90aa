"""The HTTP way in: POST /intake/DEVICE. What is posted enters the queue and log of the broker's messages.

A device is answered {"ReturnCode":0} (Keda wants these very words, the others want the status 200) only once
its message is committed. Whatever it is answered otherwise, it has to post again:
401 not authenticated · 413 too large · 400, 415 unreadable · 429 too many wrong tokens · 503 full, or the
disk does not take it. What cannot be decoded is answered 200: it lies in quarantine, and another try would
not make it better.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway import telemetry
from gateway.adapters.mqtt import Delivery
from gateway.core.codecs.json import BYTES_MAX
from gateway.core.model import POSTED, SECOND, Message
from gateway.pipeline import Posted
from gateway.web.bodies import Body, TooLarge, Unreadable, body_of
from gateway.web.guard import Attempts
from gateway.web.tokens import Proof, Secrets, brings, load_secrets, prove

COMMIT_S = 10.0  # the pipeline commits in milliseconds; a full disk may make it wait
RETRY_AFTER_S = 5
PENDING_MOST = 8  # posts of one device under way: it must not take the places of the others
SIGNATURES_MOST = 2_000  # of one device within the window: six a second
COMMITTED = {"ReturnCode": 0}
TURNED_AWAY = {"ReturnCode": 1}
PAGE_WORDS = {"WWW-Authenticate": 'Basic realm="lilong"'}  # a Hikvision camera sends Basic only when asked

POSTS = telemetry.counter(
    "lilong_intake_posts_total",
    "Posts by outcome: accepted, again, picture, refused, large, unreadable, busy",
    ["outcome"],
)


class TurnedAway(Exception):
    """The request ends here; `status` is all that the device learns."""

    def __init__(self, status: int, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.outcome, self.reason = status, outcome, reason


class Intake:
    """Takes posts on the web server's loop. `deliver` is the pipeline's.

    `before` are the last messages of the log: by them the first word of a device after our restart is known
    when it is the last one before it. `suspect` is told of forged tokens: Suspicions.note.
    """

    def __init__(
        self,
        tokens_file: Path,
        deliver: Callable[[Delivery], bool],
        now_ns: Callable[[], int] = time.time_ns,
        *,
        window_s: float = 300.0,
        body_bytes: int = 8_000_000,
        before: Iterable[Message] = (),
        suspect: Callable[..., None] = lambda code, **fields: None,
    ) -> None:
        self._suspect = suspect
        self._tokens_file, self._deliver, self._now_ns = tokens_file, deliver, now_ns
        self._window_s, self._body_bytes = window_s, body_bytes
        self._last = {one.topic: one.payload for one in before if one.topic.startswith(POSTED)}
        self._started_s = now_ns() // SECOND
        self._secrets: Secrets = {}
        self._attempts = Attempts()
        self._pending: Counter[str] = Counter()
        self._signed: dict[str, _Signatures] = {}
        self.load()

    def load(self) -> None:
        """The tokens as their file has them now."""
        self._secrets = load_secrets(self._tokens_file)

    async def take(self, request: Request) -> Response:
        device = request.path_params["device"]
        try:
            proof = self._prove(request, device)
            kept = await self._read(request, proof)
            outcome = await self._enter(device, proof, kept)
        except TurnedAway as away:
            return self._turn_away(request, device, away)
        POSTS.labels(outcome).inc()
        return JSONResponse(COMMITTED)

    # ------------------------------------------------------------ who is it, and what does it say

    def _prove(self, request: Request, device: str) -> Proof:
        known = self._secrets.get(device, ())
        proof = prove(request, known, self._now_ns() / SECOND, self._window_s)
        if proof is None:
            raise TurnedAway(401, "refused", "not authenticated")
        return proof

    async def _read(self, request: Request, proof: Proof) -> bytes | None:
        """What is kept of the body. A signature holds for all of it, pictures included."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise TurnedAway(415, "unreadable", "a compressed body")
        if int(request.headers.get("content-length", "0")) > self._body_bytes:
            raise TurnedAway(413, "large", f"more than {self._body_bytes} bytes")
        try:
            body = body_of(request.headers.get("content-type", ""), BYTES_MAX)
            await self._fill(body, request, proof)
            if not proof.holds():  # before anything of it is looked at
                raise TurnedAway(401, "refused", "not authenticated")
            return body.kept()
        except TooLarge:
            raise TurnedAway(413, "large", f"more than {BYTES_MAX} bytes beside its pictures") from None
        except Unreadable as error:
            raise TurnedAway(415, "unreadable", str(error)) from None
        except ClientDisconnect:
            raise TurnedAway(400, "unreadable", "it hung up in the midst of its body") from None

    async def _fill(self, body: Body, request: Request, proof: Proof) -> None:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._body_bytes:
                raise TurnedAway(413, "large", f"more than {self._body_bytes} bytes")
            proof.add(chunk)
            if chunk:
                body.add(chunk)

    # ------------------------------------------------------------ into the log

    async def _enter(self, device: str, proof: Proof, kept: bytes | None) -> str:
        """How it ended, once it is committed."""
        if kept is None:
            return "picture"
        if not proof.signature:
            await self._commit(device, Message(POSTED + device, kept, again=self._is_last(device, kept)))
            return "accepted"
        seen = self._signed.setdefault(device, _Signatures())
        seen.forget(self._now_ns() / SECOND - self._window_s)  # older ones are refused by their age
        if proof.signature in seen.known:
            await self._wait(seen.known[proof.signature][1])  # the answer it missed; nothing enters twice
            return "again"
        if len(seen.known) >= SIGNATURES_MOST:
            raise TurnedAway(503, "busy", "more signed posts than a window holds")
        old = proof.timestamp_s <= self._started_s  # signed before our restart: we may have had it
        message = Message(POSTED + device, kept, again=self._is_last(device, kept) or old)
        await self._commit(device, message, seen, proof)
        return "accepted"

    def _is_last(self, device: str, kept: bytes) -> bool:
        """The first word since our start, and the very last one before it: it may have missed our answer."""
        return self._last.pop(POSTED + device, None) == kept

    async def _commit(
        self, device: str, message: Message, seen: _Signatures | None = None, proof: Proof | None = None
    ) -> None:
        if self._pending[device] >= PENDING_MOST:
            raise TurnedAway(503, "busy", f"{PENDING_MOST} posts of it are under way")
        posted = Posted(0, (), [message], Future())
        if not self._deliver(posted):
            raise TurnedAway(503, "busy", "the queue is full")
        if seen is not None and proof is not None:
            seen.known[proof.signature] = (proof.timestamp_s, posted.done)
        self._pending[device] += 1
        try:
            await self._wait(posted.done)
        finally:
            self._pending[device] -= 1
            self._pending += Counter()  # those at nought go

    async def _wait(self, done: Future[None]) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), COMMIT_S)
        except TimeoutError:
            raise TurnedAway(503, "busy", "the disk does not take it") from None

    # ------------------------------------------------------------ what is said when it cannot be

    def _turn_away(self, request: Request, device: str, away: TurnedAway) -> Response:
        """Who is not authenticated learns nothing, and is no name in the log: anybody can say any name."""
        POSTS.labels(away.outcome).inc()
        address = request.client.host if request.client else ""
        if away.status == 401:
            telemetry.log("intake_refused", "warning", address=address, reason=away.reason)
            if brings(request):
                self._suspect("token", address=address)
            if self._attempts.too_many(address):
                return JSONResponse(TURNED_AWAY, 429, {"Retry-After": "60", "Connection": "close"})
            return JSONResponse(TURNED_AWAY, 401, {**PAGE_WORDS, "Connection": "close"})
        event = "intake_busy" if away.status == 503 else "intake_refused"
        telemetry.log(event, "warning", device=device, address=address, reason=away.reason)
        retry = {"Retry-After": str(RETRY_AFTER_S)} if away.status == 503 else {"Connection": "close"}
        return JSONResponse(TURNED_AWAY, away.status, retry)


class _Signatures:
    """Those of one device within the window, oldest first, each with what becomes of its message."""

    def __init__(self) -> None:
        self.known: OrderedDict[bytes, tuple[int, Future[None]]] = OrderedDict()

    def forget(self, before_s: float) -> None:
        for signature in [one for one, (stamp_s, _) in self.known.items() if stamp_s < before_s]:
            del self.known[signature]
