"""Small real pictures, made with Pillow 12, and some made by hand. The JPEG and the WebP tell where they
were taken (31 N, 11 E), by which telephone, and that the picture lies on its side.
"""

from __future__ import annotations

import base64
import struct
import zlib

JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/4QB8RXhpZgAATU0AKgAAAAgAAwEPAAIAAAAMAAAAMgESAAMAAAABAAYAAIglAAQAAAAB"
    "AAAAPgAAAABTZWNyZXRQaG9uZQAAAgABAAIAAAACTgAAAAACAAUAAAADAAAAXAAAAAAAAAAfAAAAAQAAAAsAAAABAAAALQAA"
    "AAL//gAPdGFrZW4gYXQgaG9tZf/bAEMAFA4PEg8NFBIQEhcVFBgeMiEeHBwePSwuJDJJQExLR0BGRVBac2JQVW1WRUZkiGVt"
    "d3uBgoFOYI2XjH2Wc36BfP/bAEMBFRcXHhoeOyEhO3xTRlN8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8"
    "fHx8fHx8fHx8fHx8fP/AABEIABAAGAMBIgACEQEDEQH/xAAfAAABBQEBAQEBAQAAAAAAAAAAAQIDBAUGBwgJCgv/xAC1EAAC"
    "AQMDAgQDBQUEBAAAAX0BAgMABBEFEiExQQYTUWEHInEUMoGRoQgjQrHBFVLR8CQzYnKCCQoWFxgZGiUmJygpKjQ1Njc4OTpD"
    "REVGR0hJSlNUVVZXWFlaY2RlZmdoaWpzdHV2d3h5eoOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbH"
    "yMnK0tPU1dbX2Nna4eLj5OXm5+jp6vHy8/T19vf4+fr/xAAfAQADAQEBAQEBAQEBAAAAAAAAAQIDBAUGBwgJCgv/xAC1EQAC"
    "AQIEBAMEBwUEBAABAncAAQIDEQQFITEGEkFRB2FxEyIygQgUQpGhscEJIzNS8BVictEKFiQ04SXxFxgZGiYnKCkqNTY3ODk6"
    "Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqCg4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TF"
    "xsfIycrS09TV1tfY2dri4+Tl5ufo6ery8/T19vf4+fr/2gAMAwEAAhEDEQA/AMKO09qtR2ntWlHae1Wo7T2rWeIOfD4ozI7T"
    "2orcjtPaiud4jU9unitD/9k="
)
PROGRESSIVE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhl"
    "bXd7gYKBTmCNl4x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8"
    "fHx8fHx8fHx8fHx8fHz/wgARCAAQABgDASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABAAD/8QAFgEBAQEAAAAAAAAA"
    "AAAAAAAAAwIE/9oADAMBAAIQAxAAAAEGqdaM06Pb/8QAFhAAAwAAAAAAAAAAAAAAAAAAAAEC/9oACAEBAAEFAlIpFIpFIpP/"
    "xAAWEQEBAQAAAAAAAAAAAAAAAAADAAL/2gAIAQMBAT8BNbK3/8QAFxEBAAMAAAAAAAAAAAAAAAAAAAEDE//aAAgBAgEBPwGb"
    "Gj//xAAUEAEAAAAAAAAAAAAAAAAAAAAg/9oACAEBAAY/Al//xAAUEAEAAAAAAAAAAAAAAAAAAAAg/9oACAEBAAE/IUqr/9oA"
    "DAMBAAIAAwAAABD4P//EABURAQEAAAAAAAAAAAAAAAAAAAAh/9oACAEDAQE/EBB//8QAFhEBAQEAAAAAAAAAAAAAAAAAAAEh"
    "/9oACAECAQE/EFdP/8QAFRABAQAAAAAAAAAAAAAAAAAAAGH/2gAIAQEAAT8Qiiiiii//2Q=="
)
WEBP = base64.b64decode(
    "UklGRgoBAABXRUJQVlA4WAoAAAAMAAAAFwAADwAAVlA4IFYAAACQAwCdASoYABAAPxF6tFAsKCUisAgBgCIJbACdMoRwACm7"
    "3xYgAP7pPEEkkwua2R/PkzYQPt+PESXqkajfGyvGaNiw2ngcf+yjgdLbAo/XuPbRThgAAEVYSUZ0AAAATU0AKgAAAAgAAwEP"
    "AAIAAAAMAAAAMgESAAMAAAABAAYAAIglAAQAAAABAAAAPgAAAABTZWNyZXRQaG9uZQAAAgABAAIAAAACTgAAAAACAAUAAAAD"
    "AAAAXAAAAAAAAAAfAAAAAQAAAAsAAAABAAAALQAAAAJYTVAgEgAAADx4PlNlY3JldFBob25lPC94Pg=="
)
WEBP_LOSSLESS = base64.b64decode("UklGRh4AAABXRUJQVlA4TBEAAAAvC8ABEAdQhSJXoYCBiOh/AAA=")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int = 3, height: int = 2, *more: bytes, seed: int = 0) -> bytes:
    """Grey, without compression worth the name; `more` chunks before its data."""
    lines = b"".join(b"\0" + bytes((seed + x + y) % 256 for x in range(width)) for y in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    parts = head, *more, chunk(b"IDAT", zlib.compress(lines, 0)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def form(picture: bytes, field: str = "photo", filename: str = "IMG_1.jpg") -> tuple[bytes, str]:
    """Body and content type, as a browser sends a form with one file."""
    head = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'
    head += "Content-Type: image/jpeg\r\n\r\n"
    body = b"--frontier\r\n" + head.encode() + picture + b"\r\n--frontier--\r\n"
    return body, "multipart/form-data; boundary=frontier"
