"""`lilong drill`: an alarm raised on purpose, to see whether people answer."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from gateway.core.model import LEVEL_OF, SECOND
from gateway.terminal import ask_gateway, config_option, say


@click.command()
@click.argument("rule")
@click.argument("device")
@click.option("--component", default="", help="such as slot-3")
@click.option("--level", type=click.Choice(list(LEVEL_OF)), default=None, help="the rule's highest")
@click.option(
    "--minutes", type=click.IntRange(1, 1440), default=30, show_default=True, help="then it is over"
)
@click.option("--person", required=True, help="who orders it: an id of the site")
@click.option("--note", default="", help="what is to be seen")
@config_option
def drill(
    rule: str,
    device: str,
    component: str,
    level: str | None,
    minutes: int,
    person: str,
    note: str,
    path: Path,
) -> None:
    """演练 · Tell real people of a drill, in the real way.

    Every text says 【演练】. It is counted apart from all that is real: lilong report
    shows the time to the answer, and its trend.
    """
    case, until_ns = f"{rule}|{device}|{component}", time.time_ns() + minutes * 60 * SECOND
    asked = {"case": case, "verb": "drill", "person": person, "note": note, "to": level or "", "reason": ""}
    for refusal in ask_gateway(path, "act", **asked, until_ns=until_ns):
        sys.exit(f"lilong: drill: {refusal}")
    click.echo(say("演练已发起；进展见 lilong cases", "begun; see lilong cases"))
