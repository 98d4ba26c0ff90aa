"""What WeCom calls an app with: signed and encrypted XML (documents 90930 and 90968, 加解密方案说明).

A call is believed when its signature is right and its instant near ours; its plaintext also names the corp.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import struct
from xml.etree import ElementTree

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.channels import signers
from gateway.channels.base import Call, Heard, Replied, Secret

WINDOW_S = 300.0  # between their clock and ours; they call again within seconds
KEY = re.compile(r"[A-Za-z0-9]{43}")
TOKEN = re.compile(r"[A-Za-z0-9]{1,32}")
BLOCK = 32  # their PKCS#7 pads to 32 bytes, not to the 16 of AES
RANDOM = 16  # bytes in front of every plaintext
_ENCRYPTED = re.compile(rb"<Encrypt>\s*<!\[CDATA\[([A-Za-z0-9+/=]+)\]\]>\s*</Encrypt>")
CARD, TEXT = "template_card_event", "text"


class Envelope:
    """Opens the calls of one app of one corp."""

    def __init__(self, corp: str, token: Secret, key: Secret) -> None:
        self._corp, self._token = corp.encode(), token
        self._key = base64.b64decode(key.reveal() + "=")

    def hear(self, call: Call) -> Heard:
        """The address is proven by a GET that wants its own words back; all else is a POST."""
        if not call.body:
            proof = self._open(call, call.query.get("echostr", ""))
            return Heard(401) if proof is None else Heard(200, proof)
        found = _ENCRYPTED.search(call.body)
        plain = self._open(call, found[1].decode("ascii")) if found else None
        return Heard(401) if plain is None else _heard(plain)

    def _open(self, call: Call, encrypted: str) -> bytes | None:
        """The plaintext; None for whatever was not made with our token and key, or not now."""
        stamp, nonce = call.query.get("timestamp", ""), call.query.get("nonce", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            return None
        expected = signers.wecom_callback(self._token.reveal(), stamp, nonce, encrypted)
        given = call.query.get("msg_signature", "")
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            return None
        return self._decrypt(encrypted) if abs(call.at_s - int(stamp)) <= WINDOW_S else None

    def _decrypt(self, encrypted: str) -> bytes | None:
        """16 random bytes, the length, the message, the corp; padded."""
        try:
            secret = base64.b64decode(encrypted, validate=True)
            opener = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16])).decryptor()
            padded = opener.update(secret) + opener.finalize()
        except (binascii.Error, ValueError):
            return None
        pad = padded[-1] if padded else 0
        if not 1 <= pad <= BLOCK or len(padded) < RANDOM + 4 + pad:
            return None
        length = struct.unpack_from(">I", padded, RANDOM)[0]
        message, corp = padded[RANDOM + 4 :][:length], padded[RANDOM + 4 + length : -pad]
        return message if hmac.compare_digest(corp, self._corp) else None


def _heard(plain: bytes) -> Heard:
    """An empty answer takes it. Raises ValueError for what is no XML of theirs."""
    said = _read(plain)
    sender, number = said.get("FromUserName", ""), said.get("TaskId", "")
    if said.get("MsgType") == "event" and said.get("Event") == CARD:
        key = "|".join((sender, said.get("CreateTime", ""), number, said.get("EventKey", "")))
        return Heard(200, said=(Replied(sender, said.get("EventKey", ""), number),), key=key)
    if said.get("MsgType") == TEXT:
        return Heard(200, said=(Replied(sender, said.get("Content", "")),), key=said.get("MsgId", ""))
    return Heard(200)  # who entered the chat, where they are: nothing to us


def _read(plain: bytes) -> dict[str, str]:
    """The texts right under <xml>. A document type could bring entities, and WeCom sends none."""
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ValueError("XML with a document type")
    try:
        root = ElementTree.fromstring(plain)
    except ElementTree.ParseError:
        raise ValueError("not XML") from None
    return {one.tag: (one.text or "").strip() for one in root}
