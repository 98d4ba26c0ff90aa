"""Pictures: only what draws them is kept, and only of a whole one of three kinds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.pictures import NotAPicture, cleaned
from tests.pictures import JPEG, PROGRESSIVE, WEBP, WEBP_LOSSLESS, chunk, png

EVERY = {"jpeg": JPEG, "progressive": PROGRESSIVE, "webp": WEBP, "lossless": WEBP_LOSSLESS, "png": png()}
HOME = chunk(b"tEXt", b"Comment\0SecretPhone"), chunk(b"eXIf", b"MM\0\x2aSecretPhone")


def refusal(data: bytes) -> str:
    with pytest.raises(NotAPicture) as caught:
        cleaned(data)
    return str(caught.value)


@pytest.mark.parametrize("name", EVERY)
def test_a_whole_picture_is_taken(name: str) -> None:
    kind, data = cleaned(EVERY[name])
    assert kind == {"progressive": "jpeg", "lossless": "webp"}.get(name, name)
    assert cleaned(data) == (kind, data), "cleaning once is enough"


@pytest.mark.parametrize("data", [JPEG, WEBP, png(3, 2, *HOME)], ids=["jpeg", "webp", "png"])
def test_what_tells_of_a_home_is_not_kept(data: bytes) -> None:
    """Exif with place and telephone, XMP, comments."""
    assert b"SecretPhone" in data
    kept = cleaned(data)[1]
    for told in (b"SecretPhone", b"taken at home", b"XMP", b"tEXt", b"eXIf", struct.pack(">I", 0x8825)[2:]):
        assert told not in kept


def test_which_way_is_up_is_all_that_stays_of_exif() -> None:
    """Else every second photo would lie on its side."""
    kept = cleaned(JPEG)[1]
    (at,) = [i for i in range(len(kept)) if kept[i : i + 6] == b"Exif\0\0"]
    tiff = kept[at + 6 : at + 6 + 26]
    assert tiff == b"MM\0\x2a\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    assert kept[at - 2 : at] == struct.pack(">H", 2 + 32)


def test_a_webp_does_not_promise_what_was_taken_out() -> None:
    """Else a strict reader looks for an Exif block that is not there."""
    kept = cleaned(WEBP)[1]
    assert WEBP[12:16] == kept[12:16] == b"VP8X" and WEBP[20] & 0x0C and kept[20] == 0
    assert struct.unpack_from("<I", kept, 4)[0] == len(kept) - 8


def test_a_stretch_of_drawn_lines_is_untouched() -> None:
    scan = JPEG[JPEG.index(b"\xff\xda") :]
    assert cleaned(JPEG)[1].endswith(scan)


@pytest.mark.parametrize("name", EVERY)
def test_what_hangs_on_behind_is_cut_off(name: str) -> None:
    """A moving picture behind a still one, or anything else that somebody hides there."""
    assert cleaned(EVERY[name] + b"<script>SecretPhone</script>") == cleaned(EVERY[name])


@pytest.mark.parametrize("name", EVERY)
def test_none_that_is_cut_off_anywhere_is_taken(name: str) -> None:
    """A line that broke must not look like proof."""
    whole = EVERY[name]
    for size in range(len(whole)):
        refusal(whole[:size])


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a" + b"\0" * 40, b"%PDF-1.4", b"<svg onload=alert(1)>", b"RIFF\x04\0\0\0AVI ", b"\xff\xd8"],
)
def test_other_kinds_are_not_pictures(data: bytes) -> None:
    assert refusal(data) == "neither JPEG nor PNG nor WebP"


def test_a_picture_that_would_burst_a_telephone_is_refused() -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 19_999, 19_999, 8, 0, 0, 0, 0))
    assert "19999 x 19999" in refusal(bomb + chunk(b"IDAT", b"x") + chunk(b"IEND", b""))
    at = JPEG.index(b"\xff\xc0") + 5
    assert "65535 x 65535" in refusal(JPEG[:at] + b"\xff\xff\xff\xff" + JPEG[at + 4 :])
    assert "pixels" in refusal(png(0, 0))


def test_a_flipped_bit_in_a_png_is_seen() -> None:
    whole = png()
    assert refusal(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]) == "png with a wrong checksum"


def test_moving_and_unknown_pictures_are_refused() -> None:
    animated = b"ANIM" + struct.pack("<I", 6) + b"\0" * 6
    body = WEBP_LOSSLESS[12:] + animated
    assert "more than one" in refusal(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    assert "do not know" in refusal(png(3, 2, chunk(b"CgBI", b"x")))
    two = JPEG[:-2] + JPEG[JPEG.index(b"\xff\xc0") :]
    assert "without one picture" in refusal(two)


@given(st.binary(max_size=200), st.sampled_from(sorted(EVERY)), st.integers(0, 400))
def test_any_bytes_are_a_picture_or_refused(noise: bytes, name: str, at: int) -> None:
    whole = EVERY[name]
    for data in (noise, whole[:4] + noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            kind, kept = cleaned(data)
        except NotAPicture:
            continue
        assert cleaned(kept) == (kind, kept) and len(kept) <= len(data) + 64
