"""Pictures that prove the handling of a case: what the core asks of one, and how the history names it."""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway.core.model import Photo

KINDS = ("jpeg", "png", "webp")
BYTES_MOST = 6_000_000  # a telephone's 12 megapixels as they come are 3 to 5 MB
PHOTOS_MOST = 12  # of one case: a few of each stage, and no album
_WRITTEN = re.compile(rf"([0-9a-f]{{64}})\.({'|'.join(KINDS)}) ([1-9][0-9]{{0,7}})")


def refused(photo: Photo | None, known: Collection[str]) -> str:
    """Why a case that has the `known` ones does not take it; "" when it does."""
    if photo is None or photo.size > BYTES_MOST or read(written(photo)) != photo:
        return "no such photo"
    if photo.sha256 in known:
        return "the same photo"
    return "photos enough" if len(known) >= PHOTOS_MOST else ""


def name(photo: Photo) -> str:
    """Of its file, and of its address on a page."""
    return f"{photo.sha256}.{photo.kind}"


def written(photo: Photo) -> str:
    """As the note of its line in the history: `HASH.jpeg 123456`."""
    return f"{name(photo)} {photo.size}"


def read(note: str) -> Photo | None:
    """The picture of such a note; None for any other words."""
    found = _WRITTEN.fullmatch(note)
    return Photo(found[1], found[2], int(found[3])) if found else None
