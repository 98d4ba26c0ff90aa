"""The pictures of people's handling: files of the state directory, each named by the hash of its bytes.

A file is on the disk before the event that names it is committed, so that no line of the history is without
its picture; the other way round, what no line came to name is swept away. Whoever puts another file in the
place of one is found out at the next look: the hash stands in the chained history.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from gateway import telemetry
from gateway.core import photos
from gateway.core.model import Photo

FOLDER = "photos"  # in the state directory
KEPT_DAYS = 400  # as long as the archive
KEPT_BYTES = 2_000_000_000  # some ten thousand as a page sends them
SPARE_BYTES = 200_000_000  # beyond that until the next sweep; then no more is taken
FREE_BYTES = 500_000_000  # left on the disk whatever comes: the log goes first
ORPHAN_S = 3600  # an upload's event is committed within seconds, or never
NAME = re.compile(r"[0-9a-f]{64}\.(?:jpeg|png|webp)")


class NoRoom(Exception):
    """The disk is kept for what matters more."""


class Photos:
    """The folder of one gateway. Safe from any thread. `now_s` is what the files' times are of."""

    def __init__(self, state: Path, now_s: Callable[[], float] = time.time) -> None:
        self.folder, self._now_s = state / FOLDER, now_s
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._turn = threading.Lock()
        self._size = sum(size for _, _, size in self._files())

    def keep(self, kind: str, data: bytes) -> Photo:
        """On return it survives a power cut. The same bytes are the same file. Raises NoRoom, OSError."""
        photo = Photo(hashlib.sha256(data).hexdigest(), kind, len(data))
        path = self.folder / photos.name(photo)
        with self._turn:
            if path.exists():
                os.utime(path)  # young again: not to be swept before its event
                return photo
            room = os.statvfs(self.folder)
            if self._size + photo.size > KEPT_BYTES + SPARE_BYTES or (
                room.f_bavail * room.f_frsize < FREE_BYTES + photo.size
            ):
                raise NoRoom
            _write(path, data)
            self._size += photo.size
        return photo

    def read(self, photo: Photo) -> bytes | None:
        """Its very bytes; None when they are no longer there, or not those that were kept."""
        try:
            data = (self.folder / photos.name(photo)).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() == photo.sha256:
            return data
        telemetry.log("photo_swapped", "error", file=photos.name(photo))
        return None

    def tidy(self, named: Collection[str], wanted: Collection[str]) -> None:
        """Sweeps away orphans (whose hash is not `named`) and what is too old or too much, the oldest first;
        never one that is `wanted`: of an open case.
        """
        now_s, left, gone, orphans = self._now_s(), 0, 0, 0
        for path, changed_s, size in sorted(self._files(), key=lambda one: -one[1]):
            sha256, age_s = path.name.partition(".")[0], now_s - changed_s
            if not NAME.fullmatch(path.name) or sha256 not in named:
                orphans += age_s > ORPHAN_S and self._remove(path, changed_s)
            elif sha256 not in wanted and (age_s > KEPT_DAYS * 86_400 or left + size > KEPT_BYTES):
                gone += self._remove(path, changed_s)
                continue
            left += size
        with self._turn:
            self._size = sum(size for _, _, size in self._files())
        if gone or orphans:
            telemetry.log("photos_removed", count=gone, reason=f"{orphans} of no case")

    def _remove(self, path: Path, changed_s: float) -> bool:
        """Unless it has become young again meanwhile."""
        with self._turn:
            if path.stat().st_mtime != changed_s:
                return False
            path.unlink()
            return True

    def _files(self) -> list[tuple[Path, float, int]]:
        found = [(path, path.stat()) for path in self.folder.iterdir()]
        return [(path, stat.st_mtime, stat.st_size) for path, stat in found]


def swapped(state: Path, named: Iterable[Photo]) -> list[str]:
    """The files whose bytes are not those that the history names; one that is gone was swept, or lost."""
    paths = {state / FOLDER / photos.name(photo): photo.sha256 for photo in named}
    return sorted(path.name for path, sha256 in paths.items() if path.exists() and _hash(path) != sha256)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, whenever the power goes; its name too."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
