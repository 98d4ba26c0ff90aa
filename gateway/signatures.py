"""Signatures of rule packs: whose figures these are, by whatever way they came to the box.

Ed25519 over the name of a file and its exact bytes, in which its version stands: it holds for no other
content, version or name. Beside cabinet.yaml lies cabinet.yaml.sig: KEY SIGNATURE in a line, KEY being the
fingerprint of the public key. One line that holds is enough; while a pack is replaced there are two.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.problems import Phrase, listing, one_of, say

SUFFIX = ".sig"
BYTES_MOST = 4096  # of a file of signatures: some forty lines
DOMAIN = b"lilong pack 1\0"  # a signature made for anything else holds for no pack
PRIVATE_MODE, PUBLIC_MODE = 0o600, 0o644
_LINES = re.compile(r"(?:[0-9a-f]{16} [A-Za-z0-9+/]{86}==\n)+")

Signers = Mapping[str, str]  # who -> public key, as parse_public gives it


class SignatureError(Exception):
    """A pack that is not believed: what was found, and what would be."""

    def __init__(self, found: Phrase, expected: Phrase) -> None:
        super().__init__(found.in_("en"))
        self.found, self.expected = found, expected


def beside(pack: Path) -> Path:
    """Where the signature of a pack lies."""
    return pack.with_name(pack.name + SUFFIX)


def read(path: Path) -> bytes | None:
    """A file of signatures; None when there is none. Raises SignatureError."""
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SignatureError(say("unreadable", reason=error.strerror), say("whole_signature")) from None


# ---------------------------------------------------------------- keys


def parse_public(value: Any) -> str:
    """A public key as `lilong pack keygen` shows it: 32 bytes in base64. Raises ValueError."""
    if not isinstance(value, str) or _encoded(raw := base64.b64decode(value, validate=True)) != value:
        raise ValueError
    if len(raw) != 32:
        raise ValueError
    return value


def fingerprint(public: str) -> str:
    """What a signature calls a key: 16 hexadecimal digits."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()[:16]


def public_file(key_file: Path) -> Path:
    """Where the public half of a private key lies."""
    return key_file.with_name(f"{key_file.name}.pub")


def make_key(path: Path) -> str:
    """Writes a new private key, for its owner alone, beside it the public one, and returns that.

    Raises OSError; a key that is there already is never replaced.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    for file in (path, public_file(path)):
        if file.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    _write_new(path, pem, PRIVATE_MODE)
    public = _public_of(key)
    _write_new(public_file(path), f"{public}\n".encode("ascii"), PUBLIC_MODE)
    return public


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _load_key(path: Path) -> Any:
    """Raises OSError, SignatureError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise SignatureError(say("open_key"), say("private_mode", file=path.name))
        pem = file.read(BYTES_MOST)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(say("no_private_key"), say("private_key"))
    return key


def _public_of(key: Any) -> str:
    return _encoded(key.public_key().public_bytes_raw())


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


# ---------------------------------------------------------------- signing and verifying


def signed(name: str, data: bytes, key_file: Path) -> bytes:
    """The file of signatures for a pack of that name and content. Raises OSError, SignatureError: the key."""
    key = _load_key(key_file)
    line = f"{fingerprint(_public_of(key))} {_encoded(key.sign(_message(name, data)))}\n"
    return line.encode("ascii")


def signer_of(name: str, data: bytes, signatures: bytes | None, signers: Signers) -> str:
    """Who of `signers` signed these bytes under that file name. Raises SignatureError."""
    expected = signature_of(signers)
    if signatures is None:
        raise SignatureError(say("unsigned", file=name + SUFFIX), expected)
    lines = _lines(name, signatures)
    known = {fingerprint(public): who for who, public in signers.items()}
    ours = [(known[key], signature) for key, signature in lines if key in known]
    if not ours:
        raise SignatureError(say("strange_signer", keys=listing(key for key, _ in lines)), expected)
    for who, signature in ours:
        if _holds(signers[who], signature, _message(name, data)):
            return who
    raise SignatureError(say("not_as_signed", signer=ours[0][0]), say("as_signed"))


def signature_of(signers: Signers) -> Phrase:
    """A signature by one of those whom we believe."""
    names = [f"{who} ({fingerprint(public)})" for who, public in signers.items()]
    return say("signature_of", signers=one_of(names) if names else say("a_signer"))


def _lines(name: str, signatures: bytes) -> list[tuple[str, str]]:
    """(key, signature) of each line; only as they are written here, so that no two files mean the same."""
    text = signatures.decode("ascii", "replace")
    if not _LINES.fullmatch(text) or len(text) > BYTES_MOST:
        raise SignatureError(say("torn_signature", file=name + SUFFIX), say("whole_signature"))
    pairs = [line.split(" ") for line in text.splitlines()]
    if any(_encoded(base64.b64decode(signature)) != signature for _, signature in pairs):
        raise SignatureError(say("torn_signature", file=name + SUFFIX), say("whole_signature"))
    return [(key, signature) for key, signature in pairs]


def _holds(public: str, signature: str, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
        key.verify(base64.b64decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(name: str, data: bytes) -> bytes:
    """A file name holds no NUL, so no name and content read like another name and content."""
    return DOMAIN + os.fsencode(name) + b"\0" + data
