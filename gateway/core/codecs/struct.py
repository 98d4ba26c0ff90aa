"""Fixed frames, such as Decentlab's: blocks in one order, and flags that tell which of them are there."""

from __future__ import annotations

from gateway.core.codecs.bits import reader
from gateway.core.codecs.frames import Frame
from gateway.core.model import Device, Fault, Message, Model, Reading, Refusal

_flags = reader("uint16be")


class StructDecoder:
    """The decoder of one model."""

    def __init__(self, model: Model) -> None:
        self._frame, self._flags_at = Frame(model), model.codec.flags_at
        self._blocks = list(self._frame.blocks.values())
        self._all = (1 << len(self._blocks)) - 1

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        faults = [] if faults is None else faults
        frame, head, heard = self._frame.opened(device, message, received_ns)
        flags = self._all if self._flags_at is None else int(_flags(frame, self._flags_at))
        values: dict[str, float] = {}
        old: list[Reading] = []
        at = self._frame.head
        for block in self._blocks:
            if not flags & block.bit:
                continue
            start, at = at, at + block.bytes
            if at > len(frame):
                faults.append(block.truncated(len(frame) - start))
                break
            if block.clock is None:
                block.read(frame, start, values, faults, device)
            else:
                old += block.old(frame, start, faults, device, head)
        if at < len(frame) or flags & ~self._all:
            faults.append(_left_over(len(frame) - at, flags & ~self._all))
        return self._frame.readings(device, values, old, head, heard, faults)


def _left_over(left: int, flags: int) -> Fault:
    return Fault(Refusal.SYNTAX, "", f"{max(left, 0)} bytes left over, unknown flags {flags:#06x}")
