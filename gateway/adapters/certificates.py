"""Until when the certificates hold that far sides have shown us, by their last handshake."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

DAY_S = 86_400.0
_ends_s: dict[str, float] = {}  # "host:port" -> seconds since 1970


def ends_s(wire: object) -> float | None:
    """When the certificate of a connection's far side ends; None without TLS."""
    shown: Mapping[str, Any] | None = wire.getpeercert() if isinstance(wire, ssl.SSLSocket) else None
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"]))) if shown else None


def note(host: str, port: int, wire: object) -> None:
    """Remember what a new connection has shown."""
    ends = ends_s(wire)
    if ends is not None:
        _ends_s[f"{host}:{port}"] = ends


def days_left(now_s: float) -> float | None:
    """Days until the first of them ends; None while nothing was spoken over TLS."""
    ends = min(_ends_s.values(), default=None)
    return None if ends is None else (ends - now_s) / DAY_S


def forget() -> None:
    """For tests: as after a start."""
    _ends_s.clear()
