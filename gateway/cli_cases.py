"""`lilong act`, `lilong audit`: what a person at the box does on a case, and whether the history is whole."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import click

from gateway.cli_shelf import shelved_name
from gateway.core.model import Verb
from gateway.terminal import ask_gateway, config_option, judging_world, local_time, open_store, say, state_of

SHELVING = ("shelve", "agree", "unshelve", "out_of_service")
UNSAID = (Verb.RESET, Verb.DRILL, Verb.PHOTO)  # they have commands of their own, or a page
VERBS = [verb.value for verb in Verb if verb not in UNSAID]


@click.command()
@click.argument("case", metavar="CASE")
@click.argument("verb", type=click.Choice(VERBS))
@click.option("--person", required=True, help="who does it: an id of the site")
@click.option("--note", default="", help="why, or what was found; suspend, shelve and others need it")
@click.option("--to", default="", help="transfer: person or role; merge: case; split: alert; shelve: level")
@click.option("--until", default="", metavar="YYYY-MM-DDTHH:MM", help="suspend, shelve: until when")
@click.option("--reason", default="", help="done, false: a word of the closed list")
@config_option
def act(case: str, verb: str, person: str, note: str, to: str, until: str, reason: str, path: Path) -> None:
    """办理 · What a person does on a case, as on its page. CASE is its id, or the end of it.

    shelve, agree, unshelve and out_of_service also take an alert or a shelf (lilong alerts --shelved), a
    device, or RULE|DEVICE|COMPONENT.
    """
    with closing(open_store(path)) as db:
        whole = shelved_name(db, case) if verb in SHELVING else _whole(db, case)
        zone = judging_world(db).timezone
    until_ns = _instant(until, zone) if until else 0
    asked = {"case": whole, "verb": verb, "person": person, "note": note, "to": to, "reason": reason}
    for refusal in ask_gateway(path, "act", **asked, until_ns=until_ns):
        sys.exit(f"lilong: {verb}: {refusal}")
    click.echo(say("已记下", "done"))


def _whole(db: sqlite3.Connection, case: str) -> str:
    query = "SELECT id FROM cases WHERE substr(id, -length(?)) = ? ORDER BY id DESC LIMIT 2"
    found = [row["id"] for row in db.execute(query, (case, case))]
    if len(found) != 1:
        sys.exit(f"lilong: {'more than one' if found else 'no'} such case; see lilong cases --all")
    return str(found[0])


def _instant(until: str, timezone: str) -> int:
    from gateway.grammar import instant_ns

    try:
        return instant_ns(until, timezone)
    except ValueError:
        sys.exit(f"lilong: --until {until}: expected a local time such as 2026-12-01T08:00")


@click.group()
def audit() -> None:
    """审计 · Is the history of all cases whole?"""


@audit.command("verify")
@click.option("--head", default="", help="a head that was printed before: is it still in the chain?")
@config_option
def verify(head: str, path: Path) -> None:
    """Names the first row that was edited, removed or slipped in, and each photo that is not the one its row
    names. Exits 1 if there is one.
    """
    from gateway.adapters import audit as chain
    from gateway.adapters.photos import swapped
    from gateway.web.rows import photos_named

    with closing(open_store(path)) as db:
        try:
            found = chain.verify(db, head)
        except sqlite3.OperationalError:
            sys.exit("lilong: an older version's store: it is sealed once lilong run has opened it")
        zone, others = judging_world(db).timezone, swapped(state_of(path), photos_named(db))
    if found.broken is not None:
        one = found.broken
        where = f" {one.case} {local_time(one.wall_ns, zone)}" if one.case else ""
        sys.exit(f"lilong: row {one.seq} {SAID[one.how]}{where}; {found.rows} rows before it are whole")
    if not found.knows:
        sys.exit(f"lilong: no row has the head {head}: the history was written anew since")
    if others:
        sys.exit("\n".join(f"lilong: photo {name} is not the one that the history names" for name in others))
    click.echo(f"ok: {found.rows} rows, head {found.head}")


SAID = {
    "edited": "was edited, or the row before it was",
    "missing": "was removed",
    "stranger": "was put in by somebody else",
}
