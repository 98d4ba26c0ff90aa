"""`make bench`: `python -m tests.benchmarks [CASE …] [--runs 3] [--messages 200000] [--quick] [--json FILE]`.

Prints one table a case, each with its references measured in the same command. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import crashing, draining, machine, pacing, starting
from tests.benchmarks.arena import Arenas
from tests.benchmarks.subjects import Lilong, Subject, Tutorial
from tests.benchmarks.table import Row, render

QUICK_MESSAGES, QUICK_SECONDS = 20_000, 6.0
LATENCY_S = 20.0
RATES = (1_000.0, 5_000.0)
SBIN = "/usr/sbin"  # where Debian keeps servers, off a user's PATH
SOAK_MESSAGES = 1_000_000
ONLY = "B: the tutorial, O: ours with 20 rules, S: ours with the shipped packs (A is always there)"


class Program:
    """The cases by name; each gives its title and its rows."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._arenas, self._runs, self._count = Arenas(folder), options.runs, options.messages
        self._seconds = QUICK_SECONDS if options.quick else LATENCY_S
        self._soak = options.soak
        self._ours = Lilong.of(options.command)
        subjects: list[Subject] = [Tutorial(), self._ours, self._ours.with_shipped_packs()]
        self._subjects = [one for one in subjects if one.name[0].upper() in options.only.upper()]

    def warm_up(self) -> None:
        """One start of each, not counted: modules are compiled, files are in memory."""
        starting.start_up(self._arenas, self._subjects, runs=1)

    def cases(self) -> dict[str, Callable[[], tuple[str, list[Row]]]]:
        return {
            "drain": self.drain, "sink": self.sink, "replay": self.replay, "latency": self.latency,
            "start": self.start, "crash": self.crash, "soak": self.soak,
        }  # fmt: skip

    def drain(self) -> tuple[str, list[Row]]:
        title = f"{self._count:,} messages waiting at Mosquitto, QoS 1, into InfluxDB 1.6 (B: at most 50,000)"
        return title, draining.drain(self._arenas, self._subjects, self._count, self._runs)

    def sink(self) -> tuple[str, list[Row]]:
        title = f"{self._count:,} messages waiting at Mosquitto, QoS 1, into a recorder that costs nothing"
        return title, draining.drain(self._arenas, self._subjects, self._count, self._runs, database=False)

    def replay(self) -> tuple[str, list[Row]]:
        title = f"{self._count:,} messages replayed without a broker, into the recorder"
        return title, draining.replay(self._arenas, self._subjects, self._count, self._runs)

    def latency(self) -> tuple[str, list[Row]]:
        rows = [row for rate in RATES for row in self._latency(rate)]
        return "publish of the crossing sample -> webhook POST received, 250 alerts (S: 100)", rows

    def _latency(self, rate: float) -> list[Row]:
        return pacing.latency(self._arenas, self._subjects, rate, self._seconds, self._runs)

    def start(self) -> tuple[str, list[Row]]:
        rows = starting.start_up(self._arenas, self._subjects, self._runs)
        return "command -> first sample stored; idle size", rows

    def crash(self) -> tuple[str, list[Row]]:
        title = "kill -9 after 6.5 s at 2,000 msg/s, started again 2 s later"
        return title, crashing.crash(self._arenas, self._subjects, self._runs)

    def soak(self) -> tuple[str, list[Row]]:
        title = f"{self._soak:,} messages at {pacing.SOAK_RATE:,.0f} msg/s: the size of the process"
        return title, pacing.soak(self._arenas, self._ours, self._soak)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", help="drain sink replay latency start crash soak (all but soak)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="one run of few messages: a look, not a figure")
    parser.add_argument(
        "--soak", type=int, nargs="?", const=SOAK_MESSAGES, default=0, help="messages of the soak"
    )
    parser.add_argument("--command", default="", help="starts ours; {config} is its lilong.yaml")
    parser.add_argument("--only", default="BOS", help=ONLY)
    parser.add_argument("--json", type=Path, help="write every row to this file too")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.messages = 1, min(options.messages, QUICK_MESSAGES)
    return options


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything we started is ended too
    os.environ["PATH"] += os.pathsep + SBIN
    options = arguments()
    box = machine.describe()
    print("\n".join(f"{name:10} {value}" for name, value in box.items()), flush=True)
    results: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="lilong-bench-") as folder:
        program = Program(options, Path(folder))
        program.warm_up()
        cases = program.cases()
        for name in options.cases or [name for name in cases if name != "soak" or options.soak]:
            title, results[name] = cases[name]()
            print(render(title, results[name]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": box, "results": results}, indent=2))


if __name__ == "__main__":
    main()
