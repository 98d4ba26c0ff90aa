"""`python -m tests.simulation --seed N` plays the very week of a seed again and prints what came of it."""

from __future__ import annotations

import argparse

from tests.simulation import boxes
from tests.simulation.judging import played, report
from tests.simulation.week import DAYS_LEAST, prepare


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--days", type=int, default=7, help=f"{DAYS_LEAST} or more; trends and long silences need seven"
    )
    parser.add_argument(
        "--boxes", type=int, default=boxes.BOXES, help="edge boxes that share the street, side by side"
    )
    parser.add_argument(
        "--only", default="", metavar="DEVICE,...",
        help="these alone, in seconds: what else befalls the street is as ever, and no other device speaks",
    )  # fmt: skip
    asked = parser.parse_args()
    only = [name for name in asked.only.split(",") if name]
    try:
        if only or asked.boxes < 2:
            found = played(prepare(asked.seed, asked.days, only).play())
        else:
            found = boxes.play(asked.seed, asked.days, asked.boxes)
    except ValueError as error:
        parser.error(str(error))
    print(report(found))
    print(dict(sorted(found.noted.items())))
    return 0 if found.verdict.perfect else 1


if __name__ == "__main__":
    raise SystemExit(main())
