"""A TCP proxy of a test's own: passes bytes on, later, not at all, or breaks the connection."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

CHUNK = 65536


class Proxy:
    """Listens at `port` and passes everything to 127.0.0.1:`target`.

    `hold()`: from now on nothing passes and nothing is told (a cable pulled out), until `release()`;
    `reset()`: every connection ends with RST; `refuse()`: new connections are reset at once;
    `delay_s`: what each chunk waits, in both directions.
    """

    def __init__(self, target: int, delay_s: float = 0.0) -> None:
        self._target, self.delay_s = target, delay_s
        self._passing, self._closed = threading.Event(), threading.Event()
        self._passing.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0  # connections so far
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._passing.set()
        self.reset()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def hold(self) -> None:
        self._passing.clear()

    def release(self) -> None:
        self._passing.set()

    def refuse(self, refusing: bool = True) -> None:
        self._refusing = refusing

    def reset(self) -> None:
        """End every connection with RST, as a router that forgot them would."""
        with self._lock:
            sockets, self._open = self._open, []
        for each in sockets:
            _reset(each)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:  # nobody within the timeout
                continue
            self.accepted += 1
            if self._refusing:
                _reset(near)
                continue
            with suppress(OSError):
                self._join(near, socket.create_connection(("127.0.0.1", self._target), 5))

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        with self._lock:
            self._open += [near, far]
        for source, sink in ((near, far), (far, near)):
            thread = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := self._next(source):
                if self.delay_s:
                    self._closed.wait(self.delay_s)
                self._passing.wait()
                sink.sendall(data)
            self._passing.wait()
            sink.shutdown(socket.SHUT_WR)

    def _next(self, source: socket.socket) -> bytes:
        source.settimeout(None)
        select.select([source], [], [])
        self._passing.wait()
        return source.recv(CHUNK)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()
