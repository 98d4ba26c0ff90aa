"""The folder of the pictures: durable before it is named, found out when swapped, swept and bounded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway import telemetry
from gateway.adapters import photos as module
from gateway.adapters.photos import KEPT_DAYS, ORPHAN_S, NoRoom, Photos
from gateway.adapters.store import Record, Store
from gateway.app import App
from gateway.core import photos
from gateway.core.model import Entry, Photo, Stage, Tick
from tests.pictures import png
from tests.unit.test_resets import CASE

NOW_S = 1_790_000_000.0
DAY_S = 86_400


@pytest.fixture
def folder(tmp_path: Path) -> Photos:
    return Photos(tmp_path, lambda: NOW_S)


def kept(folder: Photos, seed: int, age_s: float = 0.0) -> Photo:
    photo = folder.keep("png", png(seed=seed))
    os.utime(folder.folder / photos.name(photo), (NOW_S - age_s,) * 2)
    return photo


def names(folder: Photos) -> set[str]:
    return {path.name for path in folder.folder.iterdir()}


def test_it_is_named_by_its_bytes_and_only_ours_to_read(folder: Photos) -> None:
    photo = folder.keep("png", png())
    path = folder.folder / f"{hashlib.sha256(png()).hexdigest()}.png"
    assert path.read_bytes() == folder.read(photo) == png() and photo.size == len(png())
    assert path.stat().st_mode & 0o777 == 0o600 and folder.folder.stat().st_mode & 0o777 == 0o700


def test_the_same_picture_twice_is_one_file(folder: Photos) -> None:
    assert kept(folder, 1) == kept(folder, 1)
    assert len(names(folder)) == 1 and folder._size == len(png(seed=1))


def test_file_and_name_are_on_the_disk_before_it_returns(
    folder: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, move = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        sync(handle)

    monkeypatch.setattr(module.os, "fsync", synced)
    monkeypatch.setattr(module.os, "replace", lambda *a: (done.append("name"), move(*a)))
    folder.keep("png", png())
    assert done == ["file", "name", "folder"]


def test_a_write_that_fails_leaves_nothing(folder: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.keep("png", png())
    assert names(folder) == set() and folder._size == 0


def test_another_file_in_its_place_is_not_shown_and_said(folder: Photos) -> None:
    photo = folder.keep("png", png())
    (folder.folder / photos.name(photo)).write_bytes(png(seed=9))
    with telemetry.testing() as said:
        assert folder.read(photo) is None
    assert [one.event for one in said] == ["photo_swapped"]
    (folder.folder / photos.name(photo)).unlink()
    assert folder.read(photo) is None


# ---------------------------------------------------------------- room


def test_orphans_are_swept_but_not_those_whose_event_is_on_its_way(folder: Photos) -> None:
    fresh, old, named = kept(folder, 1, ORPHAN_S - 1), kept(folder, 2, ORPHAN_S + 1), kept(folder, 3, DAY_S)
    (folder.folder / ".half-written").write_bytes(b"x")
    os.utime(folder.folder / ".half-written", (NOW_S - DAY_S,) * 2)
    with telemetry.testing() as said:
        folder.tidy({named.sha256}, set())
    assert names(folder) == {photos.name(fresh), photos.name(named)}
    assert old.sha256 not in str(names(folder)) and said[-1].fields["reason"] == "2 of no case"


def test_sent_again_it_is_young_again(folder: Photos) -> None:
    """Else it would be swept between its file and its event."""
    photo = kept(folder, 1, 2 * ORPHAN_S)
    folder.keep("png", png(seed=1))
    folder.tidy(set(), set())
    assert photos.name(photo) in names(folder)


def test_the_old_go_but_never_those_of_an_open_case(folder: Photos) -> None:
    old, older = kept(folder, 1, (KEPT_DAYS + 1) * DAY_S), kept(folder, 2, (KEPT_DAYS + 2) * DAY_S)
    young = kept(folder, 3, (KEPT_DAYS - 1) * DAY_S)
    folder.tidy({old.sha256, older.sha256, young.sha256}, {older.sha256})
    assert names(folder) == {photos.name(older), photos.name(young)}


def test_too_much_goes_the_oldest_first(folder: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (kept(folder, seed, seed * DAY_S) for seed in (1, 2, 3))
    monkeypatch.setattr(module, "KEPT_BYTES", 2 * len(png(seed=1)))
    folder.tidy({one.sha256, two.sha256, three.sha256}, set())
    assert names(folder) == {photos.name(one), photos.name(two)}
    assert folder._size == 2 * len(png(seed=1))


def test_no_more_is_taken_than_there_is_room_for(folder: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", len(png()))
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    kept(folder, 1)
    with pytest.raises(NoRoom):
        folder.keep("png", png(seed=2))
    kept(folder, 1)  # costs nothing
    again = Photos(folder.folder.parent, lambda: NOW_S)
    with pytest.raises(NoRoom):
        again.keep("png", png(seed=2))


def test_the_log_goes_first_when_the_disk_is_short(folder: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    room = os.statvfs(folder.folder)
    monkeypatch.setattr(module, "FREE_BYTES", room.f_bavail * room.f_frsize + 10**9)
    with pytest.raises(NoRoom):
        folder.keep("png", png())
    assert names(folder) == set()


# ---------------------------------------------------------------- by the history


def line(case: str, photo: Photo) -> Entry:
    return Entry(case=case, wall_ns=1, what="photo", person="wang", note=photos.written(photo))


def test_at_night_the_history_says_what_stays(folder: Photos) -> None:
    """Of an open case all; of an ended one for a while; of none nothing."""
    old_s = (KEPT_DAYS + 1) * DAY_S
    ours, ended, recent, orphan = (kept(folder, n, age) for n, age in enumerate((old_s, old_s, 0, old_s)))
    case = replace(CASE, photos=(ours.sha256,))
    closed = replace(CASE, id="01BBBB", stage=Stage.CLOSED, photos=(ended.sha256, recent.sha256))
    lines = [line(case.id, ours), line(closed.id, ended), line(closed.id, recent)]
    note = Entry(case=case.id, wall_ns=1, what="note", person="wang", note=photos.written(orphan))
    store = Store(folder.folder.parent)
    store.commit([Record(Tick(1, 1), [case, closed, *lines, note])])
    app = App.__new__(App)
    app.store, app.photos = store, folder
    app._tidy_photos()
    assert names(folder) == {photos.name(ours), photos.name(recent)}
    store.close()
