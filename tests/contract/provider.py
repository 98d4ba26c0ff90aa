"""A strict pretend provider: a raw HTTP server that checks what it gets and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Behaviour = Callable[["Provider", socket.socket], bool]  # after a request was read; True: keep the connection
Check = Callable[["Request", str], list[str]]  # (request, our own host:port) -> what is wrong with it


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Provider:
    """Answers each request with the next behaviour (the last one again and again)."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(behaviours)
        self.gives_token: Behaviour | None = None  # answers GET /…/gettoken aside from the script
        self.token_requests: list[Request] = []
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.check: Check = json_post
        self.connections = 0
        self.over = threading.Event()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for one in (self._listener, *self._open):
            one.close()

    def then(self, *behaviours: Behaviour) -> None:
        self.script[:] = behaviours

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: socket.socket) -> None:
        try:
            if self._tls:
                wire = self._tls.wrap_socket(wire, server_side=True)
                self._open.append(wire)
            with wire, wire.makefile("rb") as stream:
                while request := self._read(stream):
                    if self.gives_token and request.line.startswith("GET "):
                        self.token_requests.append(request)
                        if not self.gives_token(self, wire):
                            return
                        continue
                    self.requests.append(request)
                    behaviour = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                    if not behaviour(self, wire):
                        return
        except (OSError, UnicodeDecodeError):  # gone, or no HTTP: the port was somebody else's a moment ago
            return

    def _read(self, stream: Any) -> Request | None:
        line = stream.readline().decode("ascii").rstrip("\r\n")
        if not line:
            return None
        headers: dict[str, str] = {}
        while text := stream.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = text.partition(": ")
            headers[name.lower()] = value
        body = stream.read(int(headers.get("content-length", 0)))
        request = Request(line, headers, body)
        own = headers.get("host", "") if self._tls else f"127.0.0.1:{self.port}"
        if not (self.gives_token and line.startswith("GET ")):
            self.complaints += self.check(request, own)
        return request


def json_post(request: Request, host: str) -> list[str]:
    """What is wrong with a request that should be a POST of JSON to `host`."""
    headers, wrong = request.headers, []
    if not request.line.startswith("POST /") or not request.line.endswith(" HTTP/1.1"):
        wrong.append(f"not a POST: {request.line}")
    if not headers.get("content-type", "").startswith("application/json"):
        wrong.append(f"content-type {headers.get('content-type')}")
    if headers.get("host") != host:
        wrong.append(f"host {headers.get('host')}")
    try:
        json.loads(request.body)
    except ValueError:
        wrong.append("not JSON")
    return wrong


def reply(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    def behave(provider: Provider, wire: socket.socket) -> bool:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True

    return behave


def echo(status: int, make: Callable[[Request], bytes]) -> Behaviour:
    """Answers with something made of the request, as careless servers do."""
    return lambda provider, wire: reply(status, make(provider.requests[-1]))(provider, wire)


def silence(provider: Provider, wire: socket.socket) -> bool:
    provider.over.wait(30)
    return False


def hang_up(provider: Provider, wire: socket.socket) -> bool:
    return False


def half_an_answer(provider: Provider, wire: socket.socket) -> bool:
    wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    return False


def not_http(provider: Provider, wire: socket.socket) -> bool:
    wire.sendall(b"\x00\xff SSH-2.0 what do you want\r\n\r\n")
    return False


def many_headers(provider: Provider, wire: socket.socket) -> bool:
    wire.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n")
    return False


def giant(start: bytes) -> Behaviour:
    """A body of ten gigabytes, or as much of it as is taken."""

    def behave(provider: Provider, wire: socket.socket) -> bool:
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + start)
        while not provider.over.is_set():
            wire.sendall(b" " * 65536)
        return False

    return behave


def drip(text: bytes, at_once: bytes = b"") -> Behaviour:
    """One byte at a time: each well within any time-out per read, the whole never done."""

    def behave(provider: Provider, wire: socket.socket) -> bool:
        wire.sendall(at_once)
        for i in range(len(text)):
            wire.sendall(text[i : i + 1])
            if provider.over.wait(0.05):
                return False
        provider.over.wait(30)
        return False

    return behave
