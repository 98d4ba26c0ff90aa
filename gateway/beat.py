"""What is done every so often on a thread of its own: to report, look or fetch beside the pipeline."""

from __future__ import annotations

import threading
from collections.abc import Callable

STOP_S = 5.0  # for the turn under way; one that hangs ends with the process


class Beat:
    """Does `turn` every `every_s` seconds of real time until it is stopped.

    A turn that fails is said by `failed`, and the next one comes all the same: what watches others must not
    fall silent because it looked at a bad moment.
    """

    def __init__(
        self, name: str, every_s: float, turn: Callable[[], object], failed: Callable[[Exception], object]
    ) -> None:
        self._every_s, self._turn, self._failed = every_s, turn, failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float = STOP_S) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self._turn()
            except Exception as error:
                self._failed(error)
