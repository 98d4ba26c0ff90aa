"""Frames of channel, type, value, such as Milesight's: a tag tells which block follows.

A tag that the model does not list ends the reading, since nobody knows how long its block is; what stood
before it counts. A block of `history` is a sample of its own, with the instant it was taken at.
"""

from __future__ import annotations

from gateway.core.codecs.frames import Block, Frame, unknown
from gateway.core.model import Device, Fault, Message, Model, Reading, Refusal


class TlvDecoder:
    """The decoder of one model."""

    def __init__(self, model: Model) -> None:
        self._frame = Frame(model)
        self._blocks = {bytes.fromhex(name): block for name, block in self._frame.blocks.items()}
        self._tag = len(next(iter(self._blocks), b""))

    def __call__(
        self, device: Device, message: Message, received_ns: int, faults: list[Fault] | None = None
    ) -> list[Reading]:
        faults = [] if faults is None else faults
        frame, head, heard = self._frame.opened(device, message, received_ns)
        values: dict[str, float] = {}
        old: list[Reading] = []
        at, seen = self._frame.head, 0
        while at < len(frame):
            start = at + self._tag
            block = self._blocks.get(frame[at:start])
            if block is None:
                faults.append(unknown(frame[at:start], at))
                break
            at = start + block.bytes
            if at > len(frame):
                faults.append(block.truncated(len(frame) - start))
                break
            if block.clock is not None:
                old += block.old(frame, start, faults, device, head)
            elif seen & block.bit:
                faults.append(_again(block))
            else:
                block.read(frame, start, values, faults, device)
            seen |= block.bit
        return self._frame.readings(device, values, old, head, heard, faults)


def _again(block: Block) -> Fault:
    return Fault(Refusal.DUPLICATE_KEY, block.name, "the channel stands twice; the first is used")
