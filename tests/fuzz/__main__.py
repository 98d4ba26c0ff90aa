"""Bytes at random against the decoder of every shipped model; what breaks a promise is printed.

    python -m tests.fuzz [--seconds 60] [--seed N] [--model ID] [--plain]

With atheris (libFuzzer, led by which lines were reached) where it can be had, else by mutating the seeds
blindly; the first line says which. Ends with 1 when something broke.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gateway.tuning.examples import enveloped
from tests.fuzz.target import Target, models
from tests.payloads import EUI

SLOW_S = 0.1  # ten times the promise, for a busy machine and an instrumented run
LONGEST = 4_096  # bytes; the seeds hold longer ones
NUMBERS = (b"1e999", b"NaN", b"-0", b"null", b"true", b'"x"', b"[]", b"{}", b"9" * 400, b"\xff", b"\\ud800")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**31)
    parser.add_argument("--model", choices=sorted(models()), help="only this one")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    options = parser.parse_args()
    targets = [Target(model) for name, model in models().items() if options.model in (None, name)]
    if options.plain or not _has_atheris():
        return blindly(targets, options.seconds, options.seed)
    return led(targets, options.seconds, options.seed)


def _has_atheris() -> bool:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def attempt(target: Target, payload: bytes) -> str:
    """The first code it ended in, "" for none. Raises on a broken promise; slowness is one."""
    began = time.process_time()
    codes = target.survive(payload)
    spent = time.process_time() - began
    assert spent < SLOW_S, f"{spent * 1e3:.0f} ms"
    return codes[0] if codes else ""


# ---------------------------------------------------------------- with atheris


def led(targets: Sequence[Target], seconds: int, seed: int) -> int:
    """Never comes back: libFuzzer ends the process. The first byte of an input picks the model."""
    import atheris

    print(f"atheris: {len(targets)} models, {seconds} s, seed {seed}", flush=True)
    for module in [one for name, one in sys.modules.items() if name.startswith("gateway.core.codecs.")]:
        for name, thing in list(vars(module).items()):
            if callable(thing) and getattr(thing, "__module__", "") == module.__name__:
                _instrument(atheris, module, name, thing)

    def once(data: bytes) -> None:
        if data:
            attempt(targets[data[0] % len(targets)], data[1:])

    folder = tempfile.mkdtemp(prefix="lilong-fuzz-")
    for index, target in enumerate(targets):
        for number, payload in enumerate(target.seeds()):
            if len(payload) <= LONGEST:
                Path(folder, f"{index}-{number}").write_bytes(bytes([index]) + payload)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-seed={seed}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/broke-", folder], once)
    atheris.Fuzz()
    return 0


def _instrument(atheris, module, name, thing) -> None:  # type: ignore[no-untyped-def]
    """Functions and methods of one module report the lines they reach."""
    if isinstance(thing, type):
        for key, method in list(vars(thing).items()):
            if callable(method) and hasattr(method, "__code__"):
                setattr(thing, key, atheris.instrument_func(method))
    elif hasattr(thing, "__code__"):
        setattr(module, name, atheris.instrument_func(thing))


# ---------------------------------------------------------------- without


def blindly(targets: Sequence[Target], seconds: int, seed: int) -> int:
    print(f"no atheris, seeds mutated blindly: {len(targets)} models, {seconds} s, seed {seed}", flush=True)
    dice, ends, tried = random.Random(seed), time.monotonic() + seconds, Counter[str]()
    seeds = {target.model.id: list(target.seeds()) for target in targets}
    broken = 0
    while time.monotonic() < ends and broken < 10:
        target = dice.choice(targets)
        payload = drawn(target, seeds[target.model.id], dice)
        try:
            tried[attempt(target, payload)] += 1
        except Exception:
            broken += 1
            print(f"{target.model.id}: {payload[:2_000]!r}\n{traceback.format_exc()}", flush=True)
    print(f"{tried.total():,} payloads, {broken} broke a promise; {dict(tried.most_common())}")
    return 1 if broken else 0


def drawn(target: Target, seeds: Sequence[bytes], dice: random.Random) -> bytes:
    """Mostly what is nearly right, now and then what has broken parsers before."""
    if dice.random() < 0.05:
        return mutated(dice.choice(seeds), dice)
    frames = target.frames()
    if frames and dice.random() < 0.7:
        return enveloped(target.model, mutated(dice.choice(frames), dice), EUI)
    return mutated(dice.choice(seeds[: len(target.model.examples)]), dice)


def mutated(payload: bytes, dice: random.Random) -> bytes:
    """One to eight small damages: bytes changed, cut out, put in twice, numbers swapped for odd ones."""
    found = bytearray(payload)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(found) + 1)
        to = min(len(found), at + dice.choice((1, 1, 2, 4, 16)))
        match dice.randrange(5):
            case 0:
                found[at:to] = dice.randbytes(to - at)
            case 1:
                del found[at:to]
            case 2:
                found[at:at] = found[at:to]
            case 3:
                found[at:to] = dice.choice(NUMBERS)
            case _ if at < len(found):
                found[at] ^= 1 << dice.randrange(8)
    return bytes(found)


if __name__ == "__main__":
    sys.exit(main())
