"""A picture on its way in: read in bounded time and space, looked through, stripped, on the disk.

Only the holder of a link comes so far. What is refused here has told nobody and cost no more than its bytes
on the wire; the event that names the picture is the caller's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request

from gateway import telemetry
from gateway.adapters.photos import NoRoom, Photos
from gateway.core.model import Photo
from gateway.core.photos import BYTES_MOST
from gateway.core.pictures import NotAPicture, cleaned
from gateway.web.bodies import PictureForm, TooLarge, Unreadable

FIELD = "photo"  # of the form
POSTED_MOST = 5 * BYTES_MOST  # read to its end, so that its sender reads that it was too large; then cut off
UPLOADS_MOST, UPLOADS_OF_ONE = 8, 2  # at a time: they are in memory until they are whole


class Refused(Exception):
    """No picture of ours: the status of the answer; the page's words go by it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Uploads:
    """Takes pictures on the web server's loop, cleans and writes them beside it."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._under_way: Counter[str] = Counter()
        self._one_at_a_time = CapacityLimiter(1)

    async def take(self, request: Request, person: str) -> Photo:
        """On return it is on the disk. Raises Refused."""
        try:
            with self._turn(person):
                data = await _read(request)
                return await to_thread.run_sync(self._keep, data, limiter=self._one_at_a_time)
        except Refused as refused:
            telemetry.log("photo_refused", "warning", person=person, reason=str(refused))
            raise

    @contextmanager
    def _turn(self, person: str) -> Iterator[None]:
        if self._under_way[person] >= UPLOADS_OF_ONE or self._under_way.total() >= UPLOADS_MOST:
            raise Refused(503, "too many at a time")
        self._under_way[person] += 1
        try:
            yield
        finally:
            self._under_way[person] -= 1
            self._under_way += Counter()  # those at nought go

    def _keep(self, data: bytes) -> Photo:
        try:
            return self._photos.keep(*cleaned(data))
        except NotAPicture as error:
            raise Refused(415, str(error)) from None
        except NoRoom:
            raise Refused(507, "no room on the disk") from None
        except OSError as error:
            raise Refused(503, type(error).__name__) from None


async def _read(request: Request) -> bytes:
    try:
        form = PictureForm(request.headers.get("content-type", ""), FIELD, BYTES_MOST)
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > POSTED_MOST:
                raise TooLarge
            form.add(chunk)
        data = form.picture()
    except TooLarge:
        raise Refused(413, f"more than {BYTES_MOST} bytes") from None
    except Unreadable as error:
        raise Refused(400, str(error)) from None
    except ClientDisconnect:
        raise Refused(400, "the line broke") from None
    if not data:
        raise Refused(422, "no picture in it")
    return data
