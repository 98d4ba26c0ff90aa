"""Payloads that have broken parsers: what fuzzing begins with, and what every codec must survive."""

from __future__ import annotations

from base64 import b64encode

from gateway.core.codecs.chirpstack import wrapped
from gateway.core.codecs.json import BYTES_MAX, WEIGHT_MAX

EUI = "24e124713d004a11"


def event(data: bytes) -> bytes:
    """A ChirpStack event whose `data` is anything at all."""
    return b'{"deviceInfo":{"devEui":"%s"},"fPort":85,"data":"%s"}' % (EUI.encode(), data)


def filled(part: bytes, count: int, before: bytes = b'{"a":[', after: bytes = b"]}") -> bytes:
    return before + b",".join([part] * count) + after


NUMBERS = WEIGHT_MAX // 48 - 20  # just as many as are let in
OBJECTS = WEIGHT_MAX // 300 - 20
KEYS = WEIGHT_MAX // 130

NASTY: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "cut off": b'{"smoke":1',
    "too much": b'{"smoke":1}}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"smoke":"\xff"}',
    "NUL": b'{"smoke":"a\x00b"}',
    "lone surrogate": b'{"smoke":"\\ud800","devId":"\\udfff"}',
    "surrogates as bytes": b'{"smoke":"\xed\xa0\x80"}',
    "nested 100,000 deep": b'{"smoke":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested 60,000 deep": b'{"object":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "opened 100,000 times": b'{"a":' * 20_000,
    "4,301 digits": b'{"smoke":' + b"1" * 4_301 + b',"fCnt":' + b"9" * 4_301 + b"}",
    "100,000 digits": b'{"smoke":' + b"1" * 100_000 + b"}",
    "a thousand years on": b'{"device":"example","time":"3026-11-02T12:00:00+08:00","settlement_mm":1}',
    "a thousand years ago": b'{"device":"example","time":"1026-11-02T12:00:00+08:00","settlement_mm":1}',
    "not finite": b'{"smoke":NaN,"temperature":-Infinity,"t":1e999,"time":1e999}',
    "a key twice": b'{"smoke":1,"smoke":0}',
    "a key twice, at the end": filled(
        b"", 0, b"{" + b",".join(b'"%d":0' % n for n in range(KEYS)), b',"1":1}'
    ),
    "many numbers": filled(b"1", NUMBERS),
    "many reals, strictly": filled(b"1.5", NUMBERS, b'{"b":",","a":['),
    "many objects": filled(b"{}", OBJECTS),
    "many objects, strictly": filled(b"{}", OBJECTS, b'{"b":",","a":['),
    "many lists side by side": filled(b"[]", BYTES_MAX // 3 - 10),
    "many slots": filled(b'{"no":9}', WEIGHT_MAX // 400, b'{"device":"example","slots":['),
    "many signals": filled(
        b'{"id":"01119001","value":"x","doorId":"3"}',
        WEIGHT_MAX // 900,
        b'{"devId":"example","attrList":[',
    ),
    "a wide text": b'{"a":"\xf0\x9f\x98\x80' + b"x" * 32_000 + b'","b":1,"b":1}',
    "a wide text, escaped": b'{"a":"\\ud83d\\ude00' + b"x" * 130_000 + b'","b":1,"b":1}',
    "brackets that close": b'{"a":' + b"[" * 40 + b"]" * 120_000,
    "larger than any": b'{"smoke":1}' + b" " * BYTES_MAX,
    "no base64": event(b"A%3D"),
    "half of base64": event(b"AXV"),
    "a wide data": event("数据".encode()),
    "no data": event(b""),
    "a long frame": wrapped(b"\x01\x75\x00" * 300, EUI, 85),
    "a frame too long": wrapped(b"\x01" * 60_000, EUI, 85),
    "much history": wrapped((b"\x20\xce" + b"\x01" * 8) * 102, EUI, 85),
    "data is a number": b'{"deviceInfo":{"devEui":"%s"},"data":1}' % EUI.encode(),
    "deviceInfo is none": b'{"deviceInfo":[],"data":"AXVk","object":{}}',
    "third version": b'{"devEUI":"JOEkcT0AShE=","data":"AXVk","fCnt":' + b"1" * 4_301 + b',"rxInfo":[[]]}',
    "object in a text": b'{"devEUI":"24e124713d004a11","objectJSON":"{\\"a\\":\\"\\\\ud800\\"}"}',
    "flags of everything": wrapped(b"\x02\x00\x01\xff\xff" + b"\xff" * 200, EUI, 1),
    "a division by nothing": wrapped(bytes.fromhex("0203d400033bf6000000000c60"), EUI, 1),
    "encoded twice": b64encode(b64encode(b"x" * 1_000)),
}
