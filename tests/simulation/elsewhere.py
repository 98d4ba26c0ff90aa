"""A lane spoken by a process of its own: devices are other machines, and their words are work."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection

import msgspec

from gateway.core.model import Message
from tests.simulation.voices import Lane

HANDED_MOST = 2_000  # messages at once
Span = tuple[int, list[Message]]


class End(msgspec.Struct):
    """What is known of a lane once all has been said."""

    count: int
    words: dict[str, list[tuple[tuple[int, str], int]]]  # device -> (a story's beginning, rule), bad words


def spoken(lane: Lane) -> Iterator[Span]:
    """As lane.spans(); at the end the lane knows what it would know, had it spoken here."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    voice = multiprocessing.get_context("fork").Process(target=_speak, args=(lane, theirs), daemon=True)
    voice.start()
    theirs.close()
    decode = msgspec.msgpack.Decoder(list[Span]).decode
    try:
        while spans := decode(ours.recv_bytes()):
            yield from spans
        _remember(lane, msgspec.msgpack.decode(ours.recv_bytes(), type=End))
    except EOFError:
        raise RuntimeError("whoever speaks for the devices has died: its error stands above") from None
    finally:
        ours.close()
        voice.join()


def _speak(lane: Lane, to: Connection) -> None:
    encode, spans, waiting = msgspec.msgpack.Encoder().encode, list[Span](), 0
    try:
        for span in lane.spans():
            spans.append(span)
            waiting += len(span[1])
            if waiting >= HANDED_MOST:
                to.send_bytes(encode(spans))
                spans, waiting = [], 0
        for last in (spans, []) if spans else ([],):
            to.send_bytes(encode(last))
        words = {name: list(voice.words.items()) for name, voice in lane.by_name.items() if voice.words}
        to.send_bytes(encode(End(lane.count, words)))
    except BrokenPipeError:
        pass  # nobody listens any more


def _remember(lane: Lane, end: End) -> None:
    lane.count = end.count
    for name, words in end.words.items():
        lane.by_name[name].words = Counter(dict(words))
