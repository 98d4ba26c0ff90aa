"""The weekly digest on its way to people: sent once for each week, whatever is repeated or restarted."""

from __future__ import annotations

from gateway.core.casebook import Casebook, Step
from gateway.core.duty import addresses, holder
from gateway.core.model import Digest, Kind, Level, Notification, Person, Weekly


def send(book: Casebook, step: Step, event: Weekly) -> None:
    """To whoever is to have it by now; one that is no longer configured, or was sent, is left."""
    digested = book.state.digested
    entries = {one.key: one for one in book.world.digests}
    for gone in digested.keys() - entries.keys():
        del digested[gone]
    entry = entries.get(event.to)
    if entry is None or event.week <= digested.get(event.to, ""):
        return
    digested[event.to] = event.week
    person = _reader(book, step, entry)
    ways = addresses(book.world, person, entry.by) if person else []
    if person is None or not ways:
        step.note("digest_undelivered", place=entry.of, role=entry.role, person=entry.person)
        return
    for channel, address in ways:
        book.keep_notification(step, _letter(book, step, event, person.id, channel, address))


def _reader(book: Casebook, step: Step, entry: Digest) -> Person | None:
    if entry.person:
        return book.world.persons.get(entry.person)
    return holder(book.world, entry.of, entry.role, step.wall_ns, entry.by).person


def _letter(
    book: Casebook, step: Step, event: Weekly, person: str, channel: str, address: str
) -> Notification:
    return Notification(
        id=book.new_id(step), case="", alert="", kind=Kind.WEEKLY, level=Level.YELLOW, person=person,
        channel=channel, address=address, title=event.title, text=event.text, created_ns=step.wall_ns,
        due_at=step.at,
    )  # fmt: skip
