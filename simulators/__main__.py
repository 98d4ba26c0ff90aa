"""python -m simulators: play a script on a broker, or score a gateway against what was played."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.core.cameras import topics
from gateway.core.model import SECOND
from simulators.incidents import Script, load_script, span_ns
from simulators.neighbourhood import Neighbourhood
from simulators.poster import Poster, load_tokens
from simulators.publisher import Pace, Publisher
from simulators.scoring import load_truths, save_truths, score, seen_in_store
from simulators.street import load_street

HERE = Path(__file__).parent


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (OSError, ValueError) as error:
        print(f"simulators: {error}", file=sys.stderr)
        return 1


def play(arguments: argparse.Namespace) -> int:
    """Publish until the end or Ctrl-C; the truth is written before the first message."""
    zone = ZoneInfo(arguments.timezone)
    pace = Pace.parse(arguments.anchor) if arguments.anchor else _pace(arguments, zone)
    start_ns = _instant(arguments.start, zone) if arguments.start else pace.wall_ns
    world = load_street(
        arguments.devices or [_shipped_models()], arguments.site or [HERE / "site"], arguments.timezone
    )
    script = load_script(arguments.script, start_ns, zone) if arguments.script else Script(())
    lane = Neighbourhood(
        world, script, seed=arguments.seed, start_ns=start_ns, end_ns=start_ns + span_ns(arguments.lasts)
    )
    if arguments.truth:
        save_truths(arguments.truth, lane.truths())
    password = arguments.password_file.read_text().strip() if arguments.password_file else ""
    publisher = Publisher(
        arguments.host,
        arguments.port,
        username=arguments.username,
        password=password,
        client_id=arguments.client_id,
        poster=_poster(arguments),
        cameras=dict(
            found for one in world.devices.values() if (found := topics(world.models[one.model], one))
        ),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: publisher.stop())
    with publisher:
        print(f"seed {arguments.seed}, {len(world.devices)} devices, anchor {pace}", flush=True)
        publisher.play(lane, pace)
    print(publisher.tally, flush=True)
    return 0


def show_score(arguments: argparse.Namespace) -> int:
    """Print what was missed and what was false; exit 1 unless the score is perfect."""
    result = score(load_truths(arguments.truth), *seen_in_store(arguments.state))
    print(result)
    return 0 if result.perfect else 1


def _poster(arguments: argparse.Namespace) -> Poster | None:
    """For devices whose topic is http/DEVICE, when the gateway's address is given."""
    tokens = load_tokens(arguments.tokens) if arguments.tokens else {}
    return Poster(arguments.intake, tokens) if arguments.intake else None


def _shipped_models() -> Path:
    """The models that come with the package, or those of the checkout it runs from."""
    package = Path(str(resources.files("gateway")))
    shipped = package / "data" / "devices"
    return shipped if shipped.is_dir() else package.parent / "devices"


def _pace(arguments: argparse.Namespace, zone: ZoneInfo) -> Pace:
    wall_ns = _instant(arguments.start, zone) if arguments.start else time.time_ns()
    return Pace(time.monotonic_ns(), wall_ns, arguments.speed)


def _instant(text: str, zone: ZoneInfo) -> int:
    """A local wall time; one with a zone of its own keeps it."""
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()) * SECOND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulators", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    playing = commands.add_parser("play", help="publish a neighbourhood's day on a broker")
    playing.set_defaults(run=play)
    playing.add_argument("--host", default="127.0.0.1")
    playing.add_argument("--port", type=int, default=1883)
    playing.add_argument("--username", default="")
    playing.add_argument("--password-file", type=Path)
    playing.add_argument("--client-id", default="neighbourhood")
    playing.add_argument("--intake", default="", help="the gateway's http:// address, for devices that post")
    playing.add_argument("--tokens", type=Path, help="the gateway's tokens file, for these")
    playing.add_argument(
        "--devices", type=Path, action="append", help="folder of device models (the shipped ones)"
    )
    playing.add_argument("--site", type=Path, action="append", help="folder of the site (simulators/site)")
    playing.add_argument(
        "--script", type=Path, default=HERE / "scripts" / "day.yaml", help="incidents (scripts/day.yaml)"
    )
    playing.add_argument("--seed", type=int, default=1)
    playing.add_argument("--speed", type=float, default=1.0, help="simulated seconds in a second")
    playing.add_argument(
        "--start", default="", help="simulated local time of the first message, 2026-11-02T00:00 (now)"
    )
    playing.add_argument("--lasts", default="1d", help="simulated span: 20m, 1d (1d)")
    playing.add_argument("--timezone", default="Asia/Shanghai")
    playing.add_argument(
        "--anchor", default="", help="MONOTONIC_NS:WALL_NS:SPEED shared with a gateway; instead of --speed"
    )
    playing.add_argument("--truth", type=Path, help="write what must be told to this file, JSON lines")
    scoring = commands.add_parser("score", help="compare a gateway's store with a truth file")
    scoring.set_defaults(run=show_score)
    scoring.add_argument("--truth", type=Path, required=True)
    scoring.add_argument("--state", type=Path, required=True, help="the gateway's state directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())
