"""JPEG, PNG and WebP as bytes: known by how they begin, walked to their end, rid of what they tell aside.

A telephone writes into a picture where it was taken: of a home, a thing that nobody may keep. Only the parts
that draw it are taken over; of its metadata nothing stays but which way is up.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

SIDE_MOST = 20_000  # pixels
PIXELS_MOST = 100_000_000  # more would cost whoever looks at it the memory of a telephone
PARTS_MOST = 20_000  # segments or chunks: pictures of the size that is let in have some hundreds

_STANDALONE = (0x01, *range(0xD0, 0xD8))  # JPEG markers without a length
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what browsers draw
_DRAWS = (*_FRAMES, 0xC4, 0xDA, 0xDB, 0xDD)  # and their tables and scans
_NEXT = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # a marker that is neither a restart nor a stuffed byte
_PNG, _PNG_DRAWS = b"\x89PNG\r\n\x1a\n", (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"sRGB", b"IDAT", b"IEND")
_WEBP_DRAWS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH")
_ALPHA = 0x10  # of the flags of VP8X: the others say what is not taken over
# An Exif block that says which way is up and nothing else: big-endian TIFF, one entry, no next directory.
_UP = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0"


class NotAPicture(Exception):
    """Not JPEG, PNG or WebP, or not whole; the text says what is wrong."""


def cleaned(data: bytes) -> tuple[str, bytes]:
    """(kind, the picture without its metadata). Raises NotAPicture."""
    for kind, (begins, clean) in _READERS.items():
        if begins(data):
            try:
                return kind, clean(data)
            except (struct.error, IndexError):
                raise NotAPicture(f"{kind} that is cut off") from None
    raise NotAPicture("neither JPEG nor PNG nor WebP")


def _sized(width: int, height: int) -> None:
    if not (0 < width <= SIDE_MOST and 0 < height <= SIDE_MOST and width * height <= PIXELS_MOST):
        raise NotAPicture(f"{width} x {height} pixels")


# ---------------------------------------------------------------- JPEG


def _jpeg(data: bytes) -> bytes:
    kept, up, drawn, scanned = [b"\xff\xd8"], b"", 0, False
    for marker, body in _segments(data):
        if marker == 0xE1:
            up = up or _way_up(body)
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            kept.append(b"\xff\xe0\0\x10" + body[:12] + b"\0\0")  # without its thumbnail
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) == 12:
            kept.append(b"\xff\xee\0\x0e" + body)  # how its colours are to be read
        elif marker in _DRAWS:
            kept.append(bytes((0xFF, marker)) + body)
        if marker in _FRAMES:
            drawn += 1
            height, width = struct.unpack_from(">HH", body, 3)
            _sized(width, height)
        scanned |= marker == 0xDA
    if drawn != 1 or not scanned:
        raise NotAPicture("jpeg without one picture in it")
    if up:
        kept.insert(1, b"\xff\xe1" + struct.pack(">H", len(up) + 2) + up)
    return b"".join(kept) + b"\xff\xd9"


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) up to the end of the picture; of those that draw, the body begins with its length."""
    at = 2
    for _ in range(PARTS_MOST):
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1  # fill bytes
        if data[at] != 0xFF:
            raise NotAPicture("jpeg with bytes between its segments")
        marker, at = data[at + 1], at + 2
        if marker == 0xD9:
            return
        if marker in _STANDALONE:
            continue
        (size,) = struct.unpack_from(">H", data, at)
        end = _scan_end(data, at + size) if marker == 0xDA else at + size
        if size < 2 or end > len(data):
            raise NotAPicture("jpeg that is cut off")
        yield marker, data[at if marker in _DRAWS else at + 2 : end]
        at = end
    raise NotAPicture("jpeg of too many segments")


def _scan_end(data: bytes, at: int) -> int:
    """Where the drawn lines end."""
    found = _NEXT.search(data, at)
    if found is None:
        raise NotAPicture("jpeg that is cut off")
    return found.start()


def _way_up(body: bytes) -> bytes:
    """Of an Exif block, only that; b"" when it says nothing of it."""
    order = {b"II": "<", b"MM": ">"}.get(body[6:8])
    if not body.startswith(b"Exif\0\0") or order is None:
        return b""
    tiff = body[6:]
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * min(count, 64), 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if (tag, kind) == (0x0112, 3):
                return _UP % value if 1 < value <= 8 else b""
    except struct.error:
        pass
    return b""


# ---------------------------------------------------------------- PNG


def _png(data: bytes) -> bytes:
    kept, seen = [_PNG], []
    for name, body in _chunks(data):
        seen.append(name)
        if name in _PNG_DRAWS:
            kept.append(_png_chunk(name, body))
        elif name[0] & 0x20 == 0:  # a capital: who does not know it cannot draw the picture
            raise NotAPicture("png of a kind that we do not know")
        if name == b"IHDR":
            _sized(*struct.unpack_from(">II", body))
    if seen[0] != b"IHDR" or seen.count(b"IHDR") != 1 or b"IDAT" not in seen:
        raise NotAPicture("png without one picture in it")
    return b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) up to and with IEND, each with its right checksum."""
    at = len(_PNG)
    for _ in range(PARTS_MOST):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        (crc,) = struct.unpack_from(">I", data, at + 8 + size)
        if crc != zlib.crc32(name + body):
            raise NotAPicture("png with a wrong checksum")
        yield name, body
        if name == b"IEND":
            return
        at += 12 + size
    raise NotAPicture("png of too many chunks")


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


# ---------------------------------------------------------------- WebP


def _webp(data: bytes) -> bytes:
    kept: dict[bytes, bytes] = {}
    for name, body in _riff(data):
        if name in (b"ANIM", b"ANMF") or name in kept:
            raise NotAPicture("webp of more than one picture")
        if name == b"VP8X":
            body = bytes((body[0] & _ALPHA,)) + body[1:10]
            _sized(1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"))
        if name in _WEBP_DRAWS:
            kept[name] = body
    if (b"VP8 " in kept) == (b"VP8L" in kept):
        raise NotAPicture("webp without one picture in it")
    _sized(*(_lossy(kept[b"VP8 "]) if b"VP8 " in kept else _lossless(kept[b"VP8L"])))
    body = b"".join(
        name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in kept.items()
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _riff(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each chunk of the file that its head speaks of; what hangs on behind is not read."""
    end, at = 8 + struct.unpack_from("<I", data, 4)[0], 12
    if end > len(data):
        raise NotAPicture("webp that is cut off")
    for _ in range(PARTS_MOST):
        if at >= end:
            return
        name, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > end:
            raise NotAPicture("webp that is cut off")
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    raise NotAPicture("webp of too many chunks")


def _lossy(body: bytes) -> tuple[int, int]:
    if body[3:6] != b"\x9d\x01\x2a":
        raise NotAPicture("webp without a first frame")
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _lossless(body: bytes) -> tuple[int, int]:
    if body[0] != 0x2F:
        raise NotAPicture("webp without its signature")
    (bits,) = struct.unpack_from("<I", body, 1)
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


_READERS: Mapping[str, tuple[Callable[[bytes], bool], Callable[[bytes], bytes]]] = {
    "jpeg": (lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    "png": (lambda data: data.startswith(_PNG), _png),
    "webp": (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
}
