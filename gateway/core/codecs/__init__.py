"""Payload bytes to readings, driven by a device model. One file per codec; a codec is found by its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.core.codecs import chirpstack, dahua, isapi, json, keda
from gateway.core.model import Device, Fault, Message, Model, Reading


class Decode(Protocol):
    """What a codec makes of a model.

    Raises PayloadError when nothing of the payload can be believed; a part that cannot be is added to
    `faults` and the rest is used: a text in slot 3 must not hide the smoke.
    """

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]: ...


PUSHED = frozenset({"isapi", "dahua", "keda"})  # those that decode events: they know no components

CODECS: dict[str, Callable[[Model], Decode]] = {
    "json": json.decoder,
    "chirpstack": chirpstack.decoder,
    "isapi": isapi.decoder,
    "dahua": dahua.decoder,
    "keda": keda.decoder,
}
