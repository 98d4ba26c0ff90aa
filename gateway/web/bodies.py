"""What of a posted body is kept. Of a device's all but its pictures, which never reach the log (domain.md
6.4); of a form that sends a picture that alone.

Bodies are read piece by piece: a part that is not wanted is skipped as it arrives and costs no memory.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # what it would say, a stranger has written
PARTS_MOST = 64
HEAD_BYTES_MOST = 4_096  # of one part
PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF")  # how JPEG, PNG, GIF and WebP or AVI begin
TEXTUAL = ("text/", "application/json", "application/xml", "application/x-www-form-urlencoded")


class TooLarge(Exception):
    """What is to be kept is more than any message of ours."""


class Unreadable(Exception):
    """It cannot be told what of it is a picture."""


class Body(Protocol):
    """Takes a body as it comes. Both raise TooLarge or Unreadable."""

    def add(self, chunk: bytes) -> None: ...

    def kept(self) -> bytes | None:
        """What goes into the log, at the end of the body; None when it was nothing but pictures."""


def body_of(content_type: str, most: int) -> Body:
    """`most` bytes may be kept."""
    kind, _ = parse_options_header(content_type)
    if not kind.startswith(b"multipart/"):
        return _Plain(most)
    return _Multipart(boundary_of(content_type), most)


def boundary_of(content_type: str) -> bytes:
    """Raises Unreadable when it names none."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not kind.startswith(b"multipart/") or not 0 < len(boundary) <= 200:
        raise Unreadable("multipart without a boundary")
    return boundary


class _Plain:
    def __init__(self, most: int) -> None:
        self._most, self._body = most, bytearray()

    def add(self, chunk: bytes) -> None:
        self._body += chunk
        if self._body.startswith(PICTURES):
            raise Unreadable("a picture where a message belongs")
        if len(self._body) > self._most:
            raise TooLarge

    def kept(self) -> bytes | None:
        if any(mark in self._body for mark in PICTURES[:2]):
            raise Unreadable("a picture inside a body that does not call itself multipart")
        return bytes(self._body)


class _Part:
    def __init__(self) -> None:
        self.head: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.wanted = True

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.head if key.lower() == name), b"")

    def written(self) -> bytes:
        return b"".join(key + b": " + value + b"\r\n" for key, value in self.head) + b"\r\n" + self.body


class _Parts(ABC):
    """Reads parts and their heads; what is done with them is its heirs' business."""

    def __init__(self, boundary: bytes) -> None:
        self._parts: list[_Part] = []
        self._name, self._value, self._head_size = bytearray(), bytearray(), 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._decide,
            },
        )

    def add(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise Unreadable(f"multipart that does not parse: {error}") from None

    # ------------------------------------------------------------ what the parser finds

    def _begin(self) -> None:
        self._parts.append(_Part())
        self._head_size = 0
        if len(self._parts) > PARTS_MOST:
            raise TooLarge

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += self._head(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._head(data[start:end])

    def _head(self, piece: bytes) -> bytes:
        self._head_size += len(piece)
        if self._head_size > HEAD_BYTES_MOST:
            raise TooLarge
        return piece

    def _header_end(self) -> None:
        self._parts[-1].head.append((bytes(self._name), bytes(self._value)))
        self._name, self._value = bytearray(), bytearray()

    @abstractmethod
    def _decide(self) -> None:
        """What to do with the part whose head has ended."""

    @abstractmethod
    def _data(self, data: bytes, start: int, end: int) -> None:
        """A piece of that part."""


class _Multipart(_Parts):
    """Keeps the parts that are text. A single one is kept as it is, several between their boundaries."""

    def __init__(self, boundary: bytes, most: int) -> None:
        super().__init__(boundary)
        self._boundary, self._most, self._size = boundary, most, 0

    def kept(self) -> bytes | None:
        if not self._parts:
            raise Unreadable("multipart without a part")
        kept = [part for part in self._parts if part.wanted and part.body.strip()]
        if len(kept) < 2:
            return bytes(kept[0].body) if kept else None
        delimiter = b"--" + self._boundary
        return (
            b"".join(delimiter + b"\r\n" + part.written() + b"\r\n" for part in kept) + delimiter + b"--\r\n"
        )

    def _decide(self) -> None:
        part = self._parts[-1]
        kind = part.header(b"content-type").decode("latin-1").strip().lower()
        part.wanted = (
            not kind or kind.startswith(TEXTUAL) or kind.partition(";")[0].endswith(("+xml", "+json"))
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if not part.wanted:
            return
        part.body += data[start:end]
        if _is_binary(part.body, start_at=len(part.body) - (end - start)):
            part.wanted, part.body = False, bytearray()  # whatever it calls itself
            return
        self._size += end - start
        if self._size > self._most:
            raise TooLarge


class PictureForm(_Parts):
    """Of a form the part called `name`, whatever it calls its file; nothing else of it."""

    def __init__(self, content_type: str, name: str, most: int) -> None:
        super().__init__(boundary_of(content_type))
        self._wanted, self._most = name.encode(), most
        self._body, self._large = bytearray(), False

    def picture(self) -> bytes:
        """At the end of the body; b"" when there was none. Raises TooLarge."""
        if self._large:
            raise TooLarge
        return bytes(self._body)

    def _decide(self) -> None:
        part = self._parts[-1]
        _, options = parse_options_header(part.header(b"content-disposition"))
        part.wanted = options.get(b"name") == self._wanted and not self._body

    def _data(self, data: bytes, start: int, end: int) -> None:
        """A form that is too large is read to its end all the same: only then its sender reads our answer."""
        if not self._parts[-1].wanted or self._large:
            return
        self._body += data[start:end]
        self._large = len(self._body) > self._most
        if self._large:
            self._body.clear()


def _is_binary(body: bytearray, start_at: int) -> bool:
    """Texts hold no NUL; pictures do, and begin in their own way."""
    return body.startswith(PICTURES) or body.find(b"\0", start_at) >= 0
